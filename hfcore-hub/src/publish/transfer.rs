//! Large files on their way to the storage: several at once, each part of one by itself, and none of them with the token.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::content::Addition;
use super::lfs::{self, Transfer};
use super::target::Target;
use crate::environment::DEFAULT_ENDPOINT;
use crate::error::HubError;
use crate::http::request::{Body, Method};
use crate::hub::Hub;
use crate::parallel;
use crate::progress::Event;

/// How often addresses are asked for: they are signed for some time, which a large upload may outlast.
const ROUNDS: usize = 3;

/// How long the storage may think about a part, and about making a file of all parts.
const RESPONSE: Duration = Duration::from_secs(300);

/// Brings what the storage lacks of these files there.
pub(super) fn upload(target: &Target<'_>, additions: &[&Addition]) -> Result<(), HubError> {
    // Files with the same bytes are one object.
    let mut objects: Vec<&Addition> = Vec::new();
    let mut seen = HashSet::new();
    for &addition in additions {
        if seen.insert(addition.sha256()?) {
            objects.push(addition);
        }
    }
    for batch in objects.chunks(lfs::BATCH) {
        upload_batch(target, batch)?;
    }
    Ok(())
}

fn upload_batch(target: &Target<'_>, batch: &[&Addition]) -> Result<(), HubError> {
    let mut left: Vec<&Addition> = batch.to_vec();
    let mut last = None;
    for _ in 0..ROUNDS {
        let transfers = lfs::batch(target, &left)?;
        let objects = left.iter().zip(transfers);
        let objects: Vec<Object<'_>> = objects
            .filter(|(_, transfer)| *transfer != Transfer::Present)
            .map(|(addition, transfer)| Object::new(addition, transfer))
            .collect();
        upload_parts(target, &objects)?;
        let (path, refusal) = {
            let mut refused = objects.iter().filter(|object| object.refusal().is_some());
            let Some(first) = refused.next() else {
                return Ok(());
            };
            left = vec![first.addition];
            left.extend(refused.map(|object| object.addition));
            (&first.addition.path, first.refusal().take())
        };
        last = refusal.map(|error| HubError::Upload {
            path: path.to_string(),
            why: format!(
                "the storage of large files takes it at none of the addresses that it names ({error}); is the clock of \
                 this machine right?"
            ),
        });
    }
    last.map_or(Ok(()), Err)
}

/// One file, while it is being uploaded.
struct Object<'a> {
    addition: &'a Addition,
    transfer: Transfer,
    begun: AtomicBool,
    /// How many parts are not there yet.
    left: AtomicUsize,
    /// Of the parts that are there.
    etags: Mutex<Vec<String>>,
    /// The storage does not take it at this address (any more); or it did, and its answer was lost. Either way the batch API
    /// knows what is left to do.
    refusal: Mutex<Option<HubError>>,
}

impl<'a> Object<'a> {
    fn new(addition: &'a Addition, transfer: Transfer) -> Self {
        let parts = match &transfer {
            Transfer::Present => 0,
            Transfer::Basic { .. } => 1,
            Transfer::Multipart { parts, .. } => parts.len(),
        };
        Self {
            addition,
            transfer,
            begun: AtomicBool::new(false),
            left: AtomicUsize::new(parts),
            etags: Mutex::new(vec![String::new(); parts]),
            refusal: Mutex::new(None),
        }
    }

    fn parts(&self) -> usize {
        self.etags().len()
    }

    fn refusal(&self) -> MutexGuard<'_, Option<HubError>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn etags(&self) -> MutexGuard<'_, Vec<String>> {
        self.etags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the part goes, and which bytes it is.
    fn part(&self, index: usize) -> (&str, u64, u64) {
        let size = self.addition.size;
        match &self.transfer {
            Transfer::Multipart {
                part_size, parts, ..
            } => {
                let offset = part_size * index as u64;
                (&parts[index], offset, (*part_size).min(size - offset))
            }
            Transfer::Basic { url, .. } => (url, 0, size),
            Transfer::Present => ("", 0, 0),
        }
    }
}

/// The parts of all files, those of one file behind each other.
fn upload_parts(target: &Target<'_>, objects: &[Object<'_>]) -> Result<(), HubError> {
    let hub = target.hub;
    let parts = objects.iter();
    let parts = parts.flat_map(|object| (0..object.parts()).map(move |part| (object, part)));
    let parts: Vec<(&Object<'_>, usize)> = parts.collect();
    parallel::run(hub.workers(), &parts, |(object, part), stop| {
        let worker = Worker { hub, stop };
        worker.upload_part(object, *part)
    })?;
    Ok(())
}

/// Whoever uploads a part, and is told when others failed.
struct Worker<'a> {
    hub: &'a Hub,
    stop: &'a Arc<AtomicBool>,
}

impl Worker<'_> {
    fn upload_part(&self, object: &Object<'_>, part: usize) -> Result<(), HubError> {
        if object.refusal().is_some() {
            return Ok(());
        }
        if !object.begun.swap(true, Ordering::Relaxed) {
            self.hub.http().progress().event(&Event::Start {
                path: object.addition.path.as_str(),
                size: Some(object.addition.size),
                resumed: 0,
            });
        }
        let (url, offset, len) = object.part(part);
        let etag = match self.put(object, url, offset, len) {
            Err(
                error @ HubError::Status {
                    status: 403 | 404, ..
                },
            ) => {
                *object.refusal() = Some(error);
                return Ok(());
            }
            etag => etag?,
        };
        object.etags()[part] = etag;
        let was_last = object.left.fetch_sub(1, Ordering::AcqRel) == 1;
        if !was_last {
            return Ok(());
        }
        object.addition.check_unchanged()?;
        match self.complete(object) {
            // Where the answer to a first request was lost, the second one finds nothing left to complete.
            Err(
                error @ HubError::Status {
                    status: 400..=499, ..
                },
            ) => {
                *object.refusal() = Some(error);
                Ok(())
            }
            completed => {
                completed?;
                self.verify(object)
            }
        }
    }

    /// Sends one part; its `ETag` is what the storage says it is called.
    fn put(
        &self,
        object: &Object<'_>,
        url: &str,
        offset: u64,
        len: u64,
    ) -> Result<String, HubError> {
        let hub = self.hub;
        let path = object.addition.path.as_str();
        let meter = Arc::new(Meter::new(hub, path, len));
        let on_sent = Arc::clone(&meter);
        let request = hub
            .http()
            .storage(Method::Put, &on_this_endpoint(url, hub.endpoint()))?
            .body(object.addition.body(offset, len))
            .doing(format!("uploading {path}"))
            .patient(RESPONSE)
            .stop(self.stop)
            .on_sent(Arc::new(move |bytes| on_sent.count(bytes)));
        let sent = hub.http().send(&request).and_then(|response| {
            let etag = response.header("etag").unwrap_or_default().to_owned();
            if etag.is_empty() && matches!(object.transfer, Transfer::Multipart { .. }) {
                return Err(response.refuse("it has no ETag, by which the part would be known"));
            }
            Ok(etag)
        });
        meter.settle(sent.is_ok());
        sent
    }

    /// All parts are there: the storage makes a file of them.
    fn complete(&self, object: &Object<'_>) -> Result<(), HubError> {
        let Transfer::Multipart { complete, .. } = &object.transfer else {
            return Ok(());
        };
        let addition = object.addition;
        let hub = self.hub;
        let list = lfs::completion(addition.sha256()?, &object.etags());
        // Signed as the addresses of the parts are: no token.
        let request = hub
            .http()
            .storage(Method::Post, &on_this_endpoint(complete, hub.endpoint()))?
            .header("accept", lfs::MEDIA_TYPE)
            .body(Body::Bytes {
                bytes: list.to_string().into_bytes().into(),
                content_type: Some(lfs::MEDIA_TYPE),
            })
            .idempotent()
            .patient(RESPONSE)
            .doing(format!("finishing {}", addition.path));
        hub.http().send(&request)?;
        Ok(())
    }

    /// The Hub looks whether what is there is what was announced.
    fn verify(&self, object: &Object<'_>) -> Result<(), HubError> {
        let addition = object.addition;
        let hub = self.hub;
        let verify = match &object.transfer {
            Transfer::Multipart { verify, .. } | Transfer::Basic { verify, .. } => verify.as_ref(),
            Transfer::Present => None,
        };
        if let Some(verify) = verify {
            let mut request = hub
                .http()
                .storage(Method::Post, &on_this_endpoint(verify, hub.endpoint()))?
                .json(json!({ "oid": addition.sha256()?, "size": addition.size }))
                .idempotent()
                .patient(RESPONSE)
                .doing(format!("verifying {}", addition.path));
            // The Hub's own: the token goes along, as long as it is on the endpoint's origin.
            request.authorized = true;
            hub.http().send(&request)?;
        }
        hub.http().progress().event(&Event::Done {
            path: addition.path.as_str(),
            downloaded: true,
        });
        Ok(())
    }
}

/// How much of a part was sent, over all tries.
struct Meter {
    hub: Hub,
    path: String,
    len: u64,
    sent: Mutex<u64>,
}

impl Meter {
    fn new(hub: &Hub, path: &str, len: u64) -> Self {
        Self {
            hub: hub.clone(),
            path: path.to_owned(),
            len,
            sent: Mutex::new(0),
        }
    }

    /// More than all of it means that it is sent again.
    fn count(&self, bytes: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if *sent + bytes > self.len {
            self.tell(*sent, 0);
            *sent = 0;
        }
        self.tell(0, bytes);
        *sent += bytes;
    }

    /// At the end, what was told is the part, or nothing.
    fn settle(&self, arrived: bool) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let total = if arrived { self.len } else { 0 };
        self.tell(*sent, total);
        *sent = total;
    }

    fn tell(&self, from: u64, to: u64) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let bytes = signed(to) - signed(from);
        if bytes != 0 {
            let path = &self.path;
            self.hub
                .http()
                .progress()
                .event(&Event::Sent { path, bytes });
        }
    }
}

/// A Hub behind a proxy hands out addresses of the public one: they are meant for the proxy (`fix_hf_endpoint_in_url` of
/// Python's `utils/_http.py`).
fn on_this_endpoint(url: &str, endpoint: &str) -> String {
    match url.strip_prefix(DEFAULT_ENDPOINT) {
        Some(rest) if rest.starts_with('/') => format!("{endpoint}{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_public_hub_are_for_the_proxy() {
        let proxy = "http://proxy:8080/hub";
        for (url, expected) in [
            (
                "https://huggingface.co/api/x?a=b",
                "http://proxy:8080/hub/api/x?a=b",
            ),
            (
                "https://huggingface.co.evil/x",
                "https://huggingface.co.evil/x",
            ),
            (
                "https://s3/https://huggingface.co/",
                "https://s3/https://huggingface.co/",
            ),
        ] {
            assert_eq!(on_this_endpoint(url, proxy), expected);
        }
    }
}
