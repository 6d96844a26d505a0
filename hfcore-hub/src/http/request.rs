//! What is asked: of the Hub itself, with the token, or of a storage host, without.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::address::Address;
use crate::error::HubError;
use crate::repo::{Repo, Revision};

/// What to do with the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Doing it twice is as good as once: it may be sent again although it is not known whether it arrived.
    pub(crate) const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post)
    }
}

/// What is sent. Every kind can be sent again.
#[derive(Clone)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    Bytes {
        bytes: Arc<[u8]>,
        content_type: Option<&'static str>,
    },
    /// `len` bytes of a file from `offset` on. A file that has fewer by then is an error, not a shorter body.
    File {
        path: PathBuf,
        offset: u64,
        len: u64,
    },
}

impl Body {
    /// The bytes, their number, and what they are.
    pub(crate) fn open(&self) -> Result<OpenBody, HubError> {
        Ok(match self {
            Self::Empty => OpenBody {
                reader: Box::new(io::empty()),
                len: 0,
                content_type: None,
            },
            Self::Json(value) => {
                let bytes = value.to_string().into_bytes();
                OpenBody {
                    len: bytes.len() as u64,
                    reader: Box::new(io::Cursor::new(bytes)),
                    content_type: Some("application/json"),
                }
            }
            Self::Bytes {
                bytes,
                content_type,
            } => OpenBody {
                len: bytes.len() as u64,
                reader: Box::new(io::Cursor::new(Arc::clone(bytes))),
                content_type: *content_type,
            },
            Self::File { path, offset, len } => {
                let open = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(*offset))?;
                    Ok(file)
                };
                let file = open().map_err(|source| HubError::Io {
                    path: path.clone(),
                    doing: "read",
                    source,
                })?;
                OpenBody {
                    reader: Box::new(Exactly {
                        inner: file,
                        left: *len,
                    }),
                    len: *len,
                    content_type: None,
                }
            }
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            // A body may hold credentials.
            Self::Json(_) => f.write_str("Json(…)"),
            Self::Bytes { bytes, .. } => write!(f, "Bytes({})", bytes.len()),
            Self::File { path, offset, len } => {
                write!(f, "File({}, {offset}, {len})", path.display())
            }
        }
    }
}

/// A body on its way.
pub(crate) struct OpenBody {
    pub(crate) reader: Box<dyn Read>,
    pub(crate) len: u64,
    pub(crate) content_type: Option<&'static str>,
}

/// `left` bytes, or an error.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the file became shorter while it was sent: {} bytes are missing",
                    self.left
                ),
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Bytes counted as they pass.
pub(crate) struct Counted {
    pub(crate) inner: Box<dyn Read>,
    pub(crate) on_sent: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.on_sent)(count as u64);
        Ok(count)
    }
}

/// Which redirects are followed. At most ten, never from https to http, and never by anything but GET and HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// All. The token stays behind at the first that leads to another origin.
    Follow,
    /// Those to the same origin, and those that say nothing about the file: one to another origin that does is the reply.
    /// What a HEAD for a file's metadata wants.
    ToMetadata,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Patience {
    /// To connect, TLS included.
    pub(crate) connect: Duration,
    /// From the end of the request to the end of the reply's headers.
    pub(crate) response: Duration,
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
}

/// One request, which may be sent more than once.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) address: Address,
    /// Whether the token goes along (and then only to the endpoint's own origin).
    pub(crate) authorized: bool,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    pub(crate) redirects: Redirects,
    pub(crate) patience: Patience,
    /// How often it is tried again.
    pub(crate) retries: u32,
    pub(crate) idempotent: bool,
    /// "looking up org/name": what an error says was being done.
    pub(crate) doing: String,
    pub(crate) repo: Option<Repo>,
    pub(crate) revision: Option<Revision>,
    pub(crate) path: Option<String>,
    pub(crate) stop: Option<Arc<AtomicBool>>,
    pub(crate) on_sent: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl Request {
    /// One more header. The value is checked when the request is sent.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What is sent along.
    #[must_use]
    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// A JSON body.
    #[must_use]
    pub(crate) fn json(self, value: Value) -> Self {
        self.body(Body::Json(value))
    }

    /// Says in errors what was being done: "looking up org/name".
    #[must_use]
    pub(crate) fn doing(mut self, doing: impl Into<String>) -> Self {
        self.doing = doing.into();
        self
    }

    /// Which repository it is about: 401 and 404 are then errors about it.
    #[must_use]
    pub(crate) fn about(mut self, repo: &Repo) -> Self {
        self.repo = Some(repo.clone());
        self
    }

    /// Which revision of it.
    #[must_use]
    pub(crate) fn at(mut self, revision: &Revision) -> Self {
        self.revision = Some(revision.clone());
        self
    }

    /// Which file of it.
    #[must_use]
    pub(crate) fn file(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// How often it is tried again at most; 5 if nothing is said.
    #[must_use]
    pub(crate) fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// May be sent again although it is not known whether it arrived: said of a POST that only asks.
    #[must_use]
    pub(crate) fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Waits that long for the reply's headers: for what the server takes its time with.
    #[must_use]
    pub(crate) fn patient(mut self, response: Duration) -> Self {
        self.patience.response = response;
        self.patience.idle = self.patience.idle.max(response);
        self
    }

    /// Other waiting times altogether.
    #[must_use]
    pub(crate) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Which redirects are followed.
    #[must_use]
    pub(crate) fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Gives up, between tries, once this is set.
    #[must_use]
    pub(crate) fn stop(mut self, stop: &Arc<AtomicBool>) -> Self {
        self.stop = Some(Arc::clone(stop));
        self
    }

    /// Told of each piece of the body that was sent. After a failure they begin again.
    #[must_use]
    pub(crate) fn on_sent(mut self, on_sent: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        self.on_sent = Some(on_sent);
        self
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No headers: one may be a secret.
        write!(f, "{} {}", self.method.as_str(), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_sent_again_from_where_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, b"0123456789").unwrap();
        let body = Body::File {
            path: path.clone(),
            offset: 3,
            len: 4,
        };
        for _ in 0..2 {
            let mut open = body.open().unwrap();
            let mut text = String::new();
            open.reader.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), open.len), ("3456", 4));
        }
        std::fs::write(&path, b"01234").unwrap();
        let mut open = body.open().unwrap();
        let error = open.reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the file became shorter while it was sent: 2 bytes are missing"
        );
    }
}
