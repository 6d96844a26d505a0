//! HTTP/1.1 as far as a server for tests needs it: requests read whole, answers described before they are written.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::content::Content;

/// Larger heads and bodies than this are not read.
const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: u64 = 256 << 20;

/// Which of the two hosts was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Hub: the API and the addresses of files.
    Hub,
    /// The storage of large files, where the Hub redirects to: never to be told a token.
    Cdn,
}

/// A request as it came, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The host that was asked.
    pub host: Host,
    /// `GET`, `HEAD` …
    pub method: String,
    /// The path as it came, undecoded.
    pub path: String,
    /// What came after the question mark, undecoded.
    pub query: String,
    /// Names in lower case, with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, if it came.
    pub body: Vec<u8>,
    /// The status that was answered; 0 where nothing was.
    pub status: u16,
    /// `org/name/path`, where the contents of a file were asked for.
    pub file: Option<String>,
    /// How many bytes of the contents of a file were sent.
    pub served: u64,
}

impl Request {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values of a parameter of the query, decoded.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.query.split('&').filter_map(move |pair| {
            let (n, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(n, true) == name).then(|| decoded(value, true))
        })
    }

    /// The first value of a parameter of the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A connection whose next request is read up to its last byte but one. A connection that is closed with a byte unread
/// is reset, and not just ended: that is how resets are made without a way to set `SO_LINGER`.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Whether the last byte of the head is still to be read.
    unread: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // How soon a quiet connection notices that the server ends.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self {
            stream,
            unread: false,
        })
    }

    /// The next request without its body; `None` where the client, or the server, is done.
    pub(crate) fn head(&mut self, host: Host, stop: &AtomicBool) -> io::Result<Option<Request>> {
        let mut buffer = vec![0; MAX_HEAD];
        let mut before = 0;
        let end = loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let n = match self.stream.peek(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => n,
                Err(e) if waits(&e) => continue,
                Err(e) => return Err(e),
            };
            if let Some(end) = buffer[..n].windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if n == MAX_HEAD {
                return Err(io::Error::other("the head is too long"));
            }
            if n == before {
                thread::sleep(Duration::from_millis(1));
            }
            before = n;
        };
        self.stream.read_exact(&mut buffer[..end - 1])?;
        self.unread = true;
        let head = String::from_utf8_lossy(&buffer[..end - 1]).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Some(Request {
            host,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Vec::new(),
            status: 0,
            file: None,
            served: 0,
        }))
    }

    /// Reads what is left of the request.
    pub(crate) fn body(&mut self, request: &mut Request) -> io::Result<()> {
        let mut last = [0];
        self.read(&mut last)?;
        self.unread = false;
        if request.header("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = request
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            loop {
                let len = u64::from_str_radix(self.line()?.trim(), 16).map_err(io::Error::other)?;
                let mut chunk =
                    vec![0; capacity(len + request.body.len() as u64)? - request.body.len()];
                self.read(&mut chunk)?;
                request.body.extend(&chunk);
                self.line()?;
                if len == 0 {
                    return Ok(());
                }
            }
        }
        let len = match request.header("content-length") {
            Some(len) => len.parse().map_err(io::Error::other)?,
            None => 0,
        };
        request.body = vec![0; capacity(len)?];
        let mut body = std::mem::take(&mut request.body);
        self.read(&mut body)?;
        request.body = body;
        Ok(())
    }

    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        // A body that pauses for half a minute will not come any more.
        let mut patience = 300;
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => buffer = &mut buffer[n..],
                Err(e) if waits(&e) && patience > 0 => patience -= 1,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") && line.len() < 1024 {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

fn capacity(len: u64) -> io::Result<usize> {
    if len > MAX_BODY {
        return Err(io::Error::other("the body is too long"));
    }
    usize::try_from(len).map_err(io::Error::other)
}

/// Whether it is only a time-out.
fn waits(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// The contents of a file from here on, so many bytes.
    File {
        content: Arc<Content>,
        start: u64,
        len: u64,
    },
    /// This, then that again and again, until the client has enough.
    Endless(Vec<u8>, Vec<u8>),
}

impl Body {
    /// How many bytes it has, if it ends.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { len, .. } => Some(*len),
            Self::Endless(..) => None,
        }
    }

    /// A piece of it, `offset` counted from its start.
    pub(crate) fn piece(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes
                .iter()
                .skip(usize::try_from(offset).map_err(io::Error::other)?)
                .take(len)
                .copied()
                .collect()),
            Self::File {
                content,
                start,
                len: all,
            } => {
                let len = len.min(usize::try_from(all - offset).unwrap_or(len));
                content.read(start + offset, len)
            }
            Self::Endless(first, again) => {
                let offset = usize::try_from(offset).map_err(io::Error::other)?;
                Ok(first
                    .iter()
                    .chain(again.iter().cycle())
                    .skip(if offset < first.len() {
                        offset
                    } else {
                        first.len() + (offset - first.len()) % again.len()
                    })
                    .take(len)
                    .copied()
                    .collect())
            }
        }
    }
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status)
            .with("Content-Type", "application/json; charset=utf-8")
            .bytes(value.to_string().into_bytes())
    }

    /// An error as the Hub answers it: in headers, and again in the body.
    pub(crate) fn error(status: u16, code: Option<&str>, message: &str) -> Self {
        let mut response = Self::json(status, &serde_json::json!({ "error": message }));
        if let Some(code) = code {
            response = response.with("X-Error-Code", code);
        }
        response.with("X-Error-Message", message)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.body = Body::Bytes(bytes);
        self
    }

    /// Puts a header in place of those of its name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }
}

/// The phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// A text out of an address.
pub(crate) fn decoded(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let digits = bytes
            .get(i + 1..i + 3)
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        match (bytes[i], digits) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
                continue;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A text for an address: everything but what is never special, and `keep`, is escaped.
pub(crate) fn encoded(text: &str, keep: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || keep.as_bytes().contains(&byte)
        {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The part of `len` bytes that a `Range` header asks for: `Ok(None)` is all of it, an error that it has no such part.
pub(crate) fn range(header: Option<&str>, len: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some((first, last)) = header
        .and_then(|header| header.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(len)),
        (Ok(start), Err(_)) if last.is_empty() => (start, len),
        (Err(_), Ok(suffix)) if first.is_empty() => (len.saturating_sub(suffix), len),
        // What cannot be read is ignored, several ranges among it.
        _ => return Ok(None),
    };
    if start < end {
        Ok(Some((start, end)))
    } else {
        Err(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (header, expected) in [
            (None, Ok(None)),
            (Some("bytes=0-"), Ok(Some((0, 10)))),
            (Some("bytes=3-5"), Ok(Some((3, 6)))),
            (Some("bytes=3-99"), Ok(Some((3, 10)))),
            (Some("bytes=-4"), Ok(Some((6, 10)))),
            (Some("bytes=10-"), Err(())),
            (Some("bytes=5-3"), Ok(None)),
            (Some("bytes=0-1,3-4"), Ok(None)),
            (Some("lines=0-1"), Ok(None)),
        ] {
            assert_eq!(range(header, 10), expected, "{header:?}");
        }
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "refs/pr/1 \u{e9}+%&?";
        assert_eq!(decoded(&encoded(text, ""), true), text);
        assert_eq!(encoded("a/b c", "/"), "a/b%20c");
        assert_eq!(decoded("%2e%2E%zz%", false), "..%zz%");
    }

    #[test]
    fn an_endless_body_goes_on() {
        let body = Body::Endless(b"[".to_vec(), b"1,".to_vec());
        assert_eq!(body.piece(0, 6).unwrap(), b"[1,1,1");
        assert_eq!(body.piece(6, 3).unwrap(), b",1,");
    }
}
