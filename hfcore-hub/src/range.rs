//! A few bytes of a file, without the rest: what a safetensors header takes.

use std::io::Read;
use std::ops::Range;

use hfcore_weights::RelPath;

use crate::error::HubError;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::metadata::plain_404_is_an_entry;
use crate::repo::{Commit, Repo, Revision};
use crate::transfer::ContentRange;

/// The largest header that a safetensors file may have, and some more.
const MAX_BYTES: u64 = 128 << 20;

/// What is read and thrown away at most, where a server sends the whole file from its beginning.
const MAX_PASSED_OVER: u64 = 128 << 20;

impl Hub {
    /// The bytes `range` of `path` at `commit`; fewer where the file ends within them.
    ///
    /// # Errors
    /// If the range is empty, has more than 128 MiB, or begins behind the end of the file; else as
    /// [`download`](Self::download). Nothing is kept in the cache.
    pub fn read_range(
        &self,
        repo: &Repo,
        commit: &Commit,
        path: &RelPath,
        range: Range<u64>,
    ) -> Result<Vec<u8>, HubError> {
        self.read_range_inner(repo, commit, path, range)
            .map_err(|error| self.with_suggestions(error))
    }

    fn read_range_inner(
        &self,
        repo: &Repo,
        commit: &Commit,
        path: &RelPath,
        range: Range<u64>,
    ) -> Result<Vec<u8>, HubError> {
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 || wanted > MAX_BYTES {
            return Err(HubError::Argument {
                what: format!("the range {}..{} of {path}", range.start, range.end),
                why: format!("it has 1 to {MAX_BYTES} bytes"),
            });
        }
        let revision = Revision::from(commit.clone());
        let request = self
            .file_request(Method::Get, repo, &revision, path)?
            .header("range", format!("bytes={}-{}", range.start, range.end - 1))
            .doing(format!("reading a part of {path} of {repo}"));
        let mut tries = 0;
        loop {
            let response = self
                .http()
                .send(&request)
                .map_err(plain_404_is_an_entry(repo, &revision, path))?;
            let (host, status) = (response.address().host(), response.status());
            let expected = match status {
                206 => {
                    let header = response.header("content-range").unwrap_or_default();
                    let fits =
                        |found: &ContentRange| found.first == range.start && found.last < range.end;
                    let Some(found) = ContentRange::parse(header).filter(fits) else {
                        return Err(
                            response.refuse("it is another part than the one that was asked for")
                        );
                    };
                    let length = found.last - found.first + 1;
                    // It may only be shorter because the file ends there.
                    let ends = found.total.is_none_or(|total| total == found.last + 1);
                    if length < wanted && !ends {
                        return Err(
                            response.refuse("it is a smaller part than the one that was asked for")
                        );
                    }
                    Some(length)
                }
                // A server that knows no ranges: from the beginning, as far as is needed.
                200 if range.start <= MAX_PASSED_OVER => response
                    .content_length()
                    .map(|length| length.saturating_sub(range.start).min(wanted)),
                200 => {
                    return Err(response.refuse(
                        "the server sends the whole file where a part of it was asked for",
                    ));
                }
                _ => return Err(response.refuse("a part of a file was expected")),
            };
            let mut body = response.reader();
            let pass_over = if status == 200 { range.start } else { 0 };
            let read = std::io::copy(&mut (&mut body).take(pass_over), &mut std::io::sink())
                .and_then(|_| {
                    let mut bytes = Vec::new();
                    body.take(wanted).read_to_end(&mut bytes)?;
                    Ok(bytes)
                });
            let broke = match read {
                Ok(bytes) if expected.is_none_or(|expected| bytes.len() as u64 == expected) => {
                    if bytes.is_empty() {
                        return Err(HubError::Argument {
                            what: format!("the range {}..{} of {path}", range.start, range.end),
                            why: "the file ends before".to_owned(),
                        });
                    }
                    return Ok(bytes);
                }
                Ok(_) => {
                    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the reply broke off")
                }
                Err(error) => error,
            };
            let error = HubError::Network {
                doing: request.doing.clone(),
                host,
                source: broke,
            };
            tries += 1;
            if tries > request.retries {
                return Err(error);
            }
            self.http()
                .wait(&request, self.http().backoff().first, &error);
        }
    }
}
