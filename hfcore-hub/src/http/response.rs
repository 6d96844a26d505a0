//! What came back. Everything in it is untrusted: sizes are capped, and a body that trickles is an error.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::HeaderMap;

use super::address::Address;
use crate::error::HubError;

/// The largest JSON that is read: a listing of 100,000 files has some 20 MB.
pub(crate) const MAX_JSON: u64 = 64 << 20;

/// A body slower than this for a whole [`Pace::window`] is a failure: a server that sends a byte a second would otherwise
/// hold a download for years without ever being silent.
const SLOWEST: u64 = 1024;

/// A reply whose status was judged already.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Whose reply it is, after redirects.
    pub(crate) address: Address,
    /// Whether the token was sent to it.
    pub(crate) authenticated: bool,
    pub(crate) body: BodyReader,
}

impl Response {
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The header's value, if it is text. Of several the first.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// `Content-Length`, if it is a number.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is too large, breaks off, or is something else (the login page of a network, say).
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, HubError> {
        let kind = self.header("content-type").unwrap_or_default();
        if kind.to_ascii_lowercase().contains("html") {
            return Err(self.refuse(
                "it is a web page where JSON was expected: a proxy, a firewall or a login page of the network may have answered in place of the Hub",
            ));
        }
        let address = self.address.clone();
        let bytes = self.bytes(MAX_JSON)?;
        serde_json::from_slice(&bytes).map_err(|error| HubError::BadReply {
            url: address.to_string(),
            why: format!("it is not the JSON that was expected: {error}"),
        })
    }

    /// All of the body.
    ///
    /// # Errors
    /// If it has more than `limit` bytes, or breaks off.
    pub(crate) fn bytes(self, limit: u64) -> Result<Vec<u8>, HubError> {
        let too_large =
            |response: &Self| response.refuse(&format!("it has more than {limit} bytes"));
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_large(&self));
        }
        let mut response = self;
        let mut bytes = Vec::new();
        let mut limited = (&mut response.body).take(limit + 1);
        let read = limited.read_to_end(&mut bytes);
        if let Err(source) = read {
            return Err(HubError::Network {
                doing: format!("reading {}", response.address),
                host: response.address.host(),
                source,
            });
        }
        if bytes.len() as u64 > limit {
            return Err(too_large(&response));
        }
        Ok(bytes)
    }

    /// The body as it comes.
    pub(crate) fn reader(self) -> BodyReader {
        self.body
    }

    /// Reads what is left of a short body, so that its connection serves the next request.
    pub(crate) fn drain(&mut self) {
        const SHORT: u64 = 64 * 1024;
        if self.content_length().is_some_and(|length| length <= SHORT) {
            // If that fails the connection is not used again, which is all.
            let _ = io::copy(&mut (&mut self.body).take(SHORT), &mut io::sink());
        }
    }

    /// Whether it says where it ends: otherwise one that breaks off looks like one that ends.
    pub(crate) fn has_an_end(&self) -> bool {
        let chunked = self.header("transfer-encoding");
        self.content_length().is_some()
            || chunked.is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"))
    }

    /// An error that says what is wrong with this reply.
    pub(crate) fn refuse(&self, why: &str) -> HubError {
        HubError::BadReply {
            url: self.address.to_string(),
            why: why.to_owned(),
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No headers: a `Location` may be signed.
        write!(f, "{} from {}", self.status, self.address)
    }
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A body, read no slower than [`SLOWEST`].
pub(crate) struct BodyReader {
    inner: ureq::BodyReader<'static>,
    pace: Pace,
}

impl BodyReader {
    pub(crate) fn new(body: ureq::Body, window: Duration) -> Self {
        Self {
            // Every use of a body has a limit of its own.
            inner: body.into_with_config().limit(u64::MAX).reader(),
            pace: Pace::new(window),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pace.wait_begins(Instant::now());
        let count = self.inner.read(buffer).map_err(|error| {
            // ureq wraps its own errors, a time-out among them.
            super::failure::into_io(ureq::Error::from(error))
        })?;
        self.pace.count(count as u64, Instant::now())?;
        Ok(count)
    }
}

/// How fast bytes come, by windows of time in which the reader waited for them. The time in which nobody reads (a slow
/// disk, a full pipe) is the reader's own.
struct Pace {
    window: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    const fn new(window: Duration) -> Self {
        Self {
            window,
            waiting_since: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    fn wait_begins(&mut self, now: Instant) {
        self.waiting_since = Some(now);
    }

    fn count(&mut self, bytes: u64, now: Instant) -> io::Result<()> {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.duration_since(since);
        }
        self.bytes += bytes;
        if bytes > 0 && self.waited >= self.window {
            let least = SLOWEST.saturating_mul(self.window.as_secs().max(1));
            if self.bytes < least {
                let message = format!(
                    "only {} bytes came in {} seconds",
                    self.bytes,
                    self.waited.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            self.waited = Duration::ZERO;
            self.bytes = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_an_error_and_a_pause_of_the_reader_is_none() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_secs(60));
        for second in 0..59 {
            pace.wait_begins(at(second));
            pace.count(1, at(second + 1)).unwrap();
        }
        pace.wait_begins(at(59));
        let error = pace.count(1, at(60)).unwrap_err();
        assert_eq!(error.to_string(), "only 60 bytes came in 60 seconds");

        let mut pace = Pace::new(Duration::from_secs(60));
        for hour in 0..100 {
            pace.wait_begins(at(hour * 3600));
            pace.count(1, at(hour * 3600)).unwrap();
        }

        let mut pace = Pace::new(Duration::from_secs(60));
        for minute in 0..100 {
            pace.wait_begins(at(minute * 60));
            pace.count(60 * 1024, at(minute * 60 + 60)).unwrap();
        }
    }
}
