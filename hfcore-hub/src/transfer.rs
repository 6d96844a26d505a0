//! The bytes of one file, from wherever the Hub sends us to the partial file in the cache: continued where they break off,
//! begun anew where the server cannot continue, and never anything but a whole reply to what was asked.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::cache::Partial;
use crate::error::HubError;
use crate::http::Http;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::retry::Waits;
use crate::progress::Event;

/// Large enough that the calls do not show, and that progress is not told too often.
const CHUNK: usize = 256 * 1024;

/// Downloads what `request` asks for into `partial`, from what it has already. The contents are not verified here, but
/// their number is; with neither a number nor, later, a hash, the reply has to say where it ends.
///
/// # Errors
/// If what comes is not what was asked for, or breaks off again and again without a new byte in between.
pub(crate) fn fill(
    http: &Http,
    request: &Request,
    partial: &mut Partial,
    has_hash: bool,
) -> Result<(), HubError> {
    let path = request.path.as_deref().unwrap_or_default();
    let mut transfer = Transfer {
        http,
        request,
        path,
        has_hash,
        waits: Waits::new(http.backoff()),
        tries: 0,
        furthest: partial.resume_from(),
    };
    http.progress().event(&Event::Start {
        path,
        size: partial.size(),
        resumed: partial.resume_from(),
    });
    while partial
        .size()
        .is_none_or(|size| partial.resume_from() < size)
    {
        match transfer.attempt(partial)? {
            Outcome::Whole => break,
            Outcome::Broke(error) => transfer.failed(partial, error)?,
        }
    }
    Ok(())
}

struct Transfer<'a> {
    http: &'a Http,
    request: &'a Request,
    path: &'a str,
    /// The contents have a hash, by which they are verified in the end.
    has_hash: bool,
    waits: Waits,
    tries: u32,
    /// The most bytes that were ever there: only more than that is progress. A server that always breaks off and cannot
    /// continue would be asked for ever otherwise.
    furthest: u64,
}

enum Outcome {
    /// The reply ended where it said it would.
    Whole,
    /// The next try may bring more.
    Broke(HubError),
}

impl Transfer<'_> {
    /// One reply, as far as it comes.
    fn attempt(&self, partial: &mut Partial) -> Result<Outcome, HubError> {
        let from = partial.resume_from();
        let mut request = self.request.clone();
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = match self.http.send(&request) {
            Ok(response) => response,
            // What is here is not the beginning of what is there.
            Err(error @ HubError::Status { status: 416, .. }) if from > 0 => {
                self.restart(partial)?;
                return Ok(Outcome::Broke(error));
            }
            Err(error) => return Err(error),
        };
        match response.status() {
            206 if from > 0 => check_range(&response, from, partial.size())?,
            200 if from > 0 => self.restart(partial)?,
            200 => {}
            status => {
                return Err(
                    response.refuse(&format!("a file was expected, and not status {status}"))
                );
            }
        }
        if let (Some(announced), Some(size)) = (response.content_length(), partial.size()) {
            let missing = size - partial.resume_from();
            if announced != missing {
                return Err(response.refuse(&format!(
                    "it announces {announced} bytes where {missing} are missing of {}",
                    self.path
                )));
            }
        }
        if partial.size().is_none() && !self.has_hash && !response.has_an_end() {
            return Err(response.refuse(&format!(
                "nothing says how long {} is: what is missing of it would not be missed",
                self.path
            )));
        }
        self.copy(response, partial)
    }

    fn copy(&self, response: Response, partial: &mut Partial) -> Result<Outcome, HubError> {
        let host = response.address().host();
        let url = response.address().to_string();
        let broke = |source| {
            Ok(Outcome::Broke(HubError::Network {
                doing: self.request.doing.clone(),
                host: host.clone(),
                source,
            }))
        };
        let mut reader = response.reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            if self.request.is_stopped() {
                return Err(stopped(&self.request.doing, &host));
            }
            let count = match reader.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return broke(error),
            };
            if count == 0 {
                return match partial.size() {
                    Some(size) if partial.resume_from() < size => broke(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!(
                            "the reply broke off at {} of {size} bytes",
                            partial.resume_from()
                        ),
                    )),
                    _ => Ok(Outcome::Whole),
                };
            }
            let left = partial.size().map(|size| size - partial.resume_from());
            if left.is_some_and(|left| count as u64 > left) {
                return Err(HubError::BadReply {
                    url,
                    why: format!("{} has more bytes than were promised", self.path),
                });
            }
            partial
                .write_all(&buffer[..count])
                .map_err(|error| write_error(partial.path(), left, error))?;
            self.http.progress().event(&Event::Advance {
                path: self.path,
                bytes: count as u64,
            });
        }
    }

    fn restart(&self, partial: &mut Partial) -> Result<(), HubError> {
        partial.restart()?;
        self.http
            .progress()
            .event(&Event::Restart { path: self.path });
        Ok(())
    }

    /// Waits for the next try, if there is to be one.
    fn failed(&mut self, partial: &Partial, error: HubError) -> Result<(), HubError> {
        if partial.resume_from() > self.furthest {
            self.furthest = partial.resume_from();
            self.tries = 0;
            self.waits.reset();
        }
        self.tries += 1;
        if self.tries > self.request.retries || self.request.is_stopped() {
            return Err(error);
        }
        match self.waits.next(None) {
            Some(wait) => self.http.wait(self.request, wait, &error),
            None => return Err(error),
        }
        Ok(())
    }
}

/// Whether a partial reply is the one that was asked for: `bytes 100-199/200`.
fn check_range(response: &Response, from: u64, size: Option<u64>) -> Result<(), HubError> {
    let header = response.header("content-range").unwrap_or_default();
    let range = ContentRange::parse(header);
    let fits = range.is_some_and(|range| {
        range.first == from && (range.total.is_none() || size.is_none() || range.total == size)
    });
    if fits {
        return Ok(());
    }
    let shown: String = header.chars().take(80).collect();
    Err(response.refuse(&format!(
        "it is another part than the one from byte {from} that was asked for (Content-Range: {shown:?})"
    )))
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let in_order = first <= last && total.is_none_or(|total| last < total);
        in_order.then_some(Self { first, last, total })
    }
}

/// Another file failed, so this one is no longer wanted.
pub(crate) fn stopped(doing: &str, host: &str) -> HubError {
    HubError::Network {
        doing: doing.to_owned(),
        host: host.to_owned(),
        source: io::Error::new(io::ErrorKind::Interrupted, "the download was stopped"),
    }
}

/// What failed when bytes were to be written; that the disk is full has a remedy of its own.
pub(crate) fn write_error(path: &Path, needed: Option<u64>, source: io::Error) -> HubError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull {
            path: path.parent().unwrap_or(path).to_owned(),
            needed: needed.unwrap_or(1),
            available: 0,
        },
        _ => HubError::Io {
            path: path.to_owned(),
            doing: "written",
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_and_judged() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ContentRange::parse("bytes 0-9/10"), range(0, 9, Some(10)));
        assert_eq!(ContentRange::parse(" bytes 5-5/* "), range(5, 5, None));
        for bad in [
            "",
            "bytes */10",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "items 0-9/10",
            "bytes 0-9",
            "bytes -1-9/10",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }
}
