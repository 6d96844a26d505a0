//! Contents, from the Hub into the cache: found there, waited for, continued, or downloaded, and verified in any case.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hfcore_weights::RelPath;

use crate::cache::{BlobLock, ETag, ETagKind, IfPresent, Lookup, Partial, RepoCache};
use crate::disk;
use crate::error::HubError;
use crate::hash::{HashKind, Hasher};
use crate::http::request::Method;
use crate::http::status;
use crate::hub::Hub;
use crate::metadata::plain_404_is_an_entry;
use crate::progress::Event;
use crate::repo::{Commit, Revision};
use crate::transfer;
use crate::tree::RepoFile;

/// Contents that are wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) commit: &'a Commit,
    /// What was asked for: for errors.
    pub(crate) revision: &'a Revision,
    pub(crate) path: &'a RelPath,
    /// What they are called. Nothing if nobody says: then they are named by the hash of what comes.
    pub(crate) etag: Option<ETag>,
    pub(crate) size: Option<u64>,
    pub(crate) xet_hash: Option<String>,
    pub(crate) force: bool,
    pub(crate) stop: Option<&'a Arc<AtomicBool>>,
}

/// Contents that are there.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    pub(crate) etag: ETag,
    pub(crate) downloaded: bool,
}

impl Hub {
    /// As [`describe`](Self::describe); what a plain file server does not say may stand in its listing.
    pub(crate) fn describe_listed<'a>(
        &self,
        cache: &RepoCache,
        commit: &'a Commit,
        revision: &'a Revision,
        path: &'a RelPath,
        force: bool,
    ) -> Result<Wanted<'a>, HubError> {
        let mut wanted = self.describe(cache, commit, revision, path, force)?;
        if wanted.etag.is_none()
            && let Ok(tree) = self.tree(cache.repo(), commit)
        {
            let listed = tree.files.iter().find(|file| file.path == *path);
            wanted.etag = listed.and_then(RepoFile::etag);
        }
        Ok(wanted)
    }

    /// What the Hub says about `path`, as something to fetch. That a commit has no such file is remembered.
    pub(crate) fn describe<'a>(
        &self,
        cache: &RepoCache,
        commit: &'a Commit,
        revision: &'a Revision,
        path: &'a RelPath,
        force: bool,
    ) -> Result<Wanted<'a>, HubError> {
        let repo = cache.repo();
        let by_commit = Revision::from(commit.clone());
        let metadata = match self.head(repo, &by_commit, path) {
            Ok(metadata) => metadata,
            Err(error @ HubError::EntryNotFound { .. }) => {
                // Best effort, as in Python: it saves a request next time.
                let remembered = cache.write_absent(commit, path);
                let _ = remembered.and_then(|()| cache.write_ref(revision, commit));
                return Err(status::with_revision(error, revision));
            }
            Err(error) => return Err(plain_404_is_an_entry(repo, revision, path)(error)),
        };
        let mut wanted = Wanted {
            commit,
            revision,
            path,
            etag: metadata.etag,
            size: metadata.size,
            xet_hash: metadata.xet_hash,
            force,
            stop: None,
        };
        match metadata.commit {
            Some(found) if found != *commit => {
                return Err(HubError::BadReply {
                    url: format!("{}/{repo}/resolve/{commit}/{path}", self.endpoint()),
                    why: format!("it is of commit {found}"),
                });
            }
            Some(_) => {}
            // A plain file server: what it calls the contents says nothing about them, unless it is a hash.
            None => wanted.etag = wanted.etag.filter(is_hash),
        }
        Ok(wanted)
    }

    /// Makes sure that what is wanted is in the snapshot.
    pub(crate) fn fetch(
        &self,
        cache: &RepoCache,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, HubError> {
        let fetched = match &wanted.etag {
            Some(etag) => self.fetch_named(cache, wanted, etag)?,
            None => self.fetch_unnamed(cache, wanted)?,
        };
        self.http().progress().event(&Event::Done {
            path: wanted.path.as_str(),
            downloaded: fetched.downloaded,
        });
        Ok(fetched)
    }

    fn fetch_named(
        &self,
        cache: &RepoCache,
        wanted: &Wanted<'_>,
        etag: &ETag,
    ) -> Result<Fetched, HubError> {
        let present = || -> Result<Option<Fetched>, HubError> {
            if wanted.force || cache.find_blob(etag, wanted.size).is_none() {
                return Ok(None);
            }
            let path = cache.link(wanted.commit, wanted.path, etag)?;
            Ok(Some(Fetched {
                path,
                etag: etag.clone(),
                downloaded: false,
            }))
        };
        if let Some(fetched) = present()? {
            return Ok(fetched);
        }
        let lock = self.lock(cache, wanted, etag)?;
        // Whoever had the lock may have downloaded it.
        if let Some(fetched) = present()? {
            return Ok(fetched);
        }
        // Where links are impossible there is no blob, only the file itself.
        if !wanted.force
            && let Ok(Lookup::Found(path)) = cache.lookup(wanted.commit, wanted.path)
            && has_size(&path, wanted.size)
        {
            return Ok(Fetched {
                path,
                etag: etag.clone(),
                downloaded: false,
            });
        }
        if let (Some(xet_hash), Some(size), false) = (&wanted.xet_hash, wanted.size, wanted.force)
            && cache.reuse_shared(etag, xet_hash, size, &lock).is_some()
            && let Some(fetched) = present()?
        {
            return Ok(fetched);
        }
        let mut adopted = true;
        loop {
            let mut partial = cache.partial(etag, wanted.size, &lock)?;
            let continued = partial.resume_from() > 0;
            self.fill(cache, wanted, &mut partial)?;
            let if_present = if wanted.force {
                IfPresent::Replace
            } else {
                IfPresent::Keep
            };
            match cache.publish(partial, wanted.commit, wanted.path, if_present) {
                Ok(path) => {
                    return Ok(Fetched {
                        path,
                        etag: etag.clone(),
                        downloaded: true,
                    });
                }
                // What an earlier process left may be what was wrong: once more, without it.
                Err(HubError::Checksum { .. }) if continued && adopted => adopted = false,
                Err(error) => return Err(error),
            }
        }
    }

    /// Contents that nobody has named: by the SHA-256 of what comes.
    fn fetch_unnamed(&self, cache: &RepoCache, wanted: &Wanted<'_>) -> Result<Fetched, HubError> {
        let what = format!("{}/{}", wanted.commit, wanted.path);
        let mut hasher = Hasher::new(HashKind::Sha256, what.len() as u64);
        hasher.update(what.as_bytes());
        let stand_in = ETag::parse(&format!("unnamed-{}", hasher.finish().hex()))
            .expect("letters, digits and `-` are the name of a file");
        let lock = self.lock(cache, wanted, &stand_in)?;
        // Without a size nothing is continued: nothing would tell whether it is the same file.
        let mut partial = cache.partial(&stand_in, None, &lock)?;
        self.fill(cache, wanted, &mut partial)?;
        let etag = partial.name_by_hash()?;
        let size = partial.resume_from();
        if let Some(expected) = wanted.size.filter(|expected| *expected != size) {
            return Err(HubError::BadReply {
                url: format!("{}/{}", self.endpoint(), cache.repo()),
                why: format!(
                    "{} has {size} bytes where {expected} were promised",
                    wanted.path
                ),
            });
        }
        if let (Some(_), false) = (cache.find_blob(&etag, Some(size)), wanted.force) {
            partial.discard();
            let path = cache.link(wanted.commit, wanted.path, &etag)?;
            return Ok(Fetched {
                path,
                etag,
                downloaded: true,
            });
        }
        let _lock = self.lock(cache, wanted, &etag)?;
        let path = cache.publish(partial, wanted.commit, wanted.path, IfPresent::Keep)?;
        Ok(Fetched {
            path,
            etag,
            downloaded: true,
        })
    }

    fn fill(
        &self,
        cache: &RepoCache,
        wanted: &Wanted<'_>,
        partial: &mut Partial,
    ) -> Result<(), HubError> {
        if let Some(size) = wanted.size {
            disk::check(cache.folder(), size.saturating_sub(partial.resume_from()))?;
        }
        let (repo, path) = (cache.repo(), wanted.path);
        let has_hash = wanted.etag.as_ref().is_some_and(is_hash);
        let by_commit = Revision::from(wanted.commit.clone());
        let mut request = self
            .file_request(Method::Get, repo, &by_commit, path)?
            .doing(format!("downloading {path} of {repo}"));
        if let Some(stop) = wanted.stop {
            request = request.stop(stop);
        }
        transfer::fill(self.http(), &request, partial, has_hash).map_err(plain_404_is_an_entry(
            repo,
            wanted.revision,
            path,
        ))
    }

    /// Waits until no other process downloads the same, unless another file failed meanwhile.
    fn lock(
        &self,
        cache: &RepoCache,
        wanted: &Wanted<'_>,
        etag: &ETag,
    ) -> Result<BlobLock, HubError> {
        let path = wanted.path.as_str();
        let lock = cache.lock_unless_stopped(etag, &mut |_| {
            self.http().progress().event(&Event::Waiting { path });
            match wanted.stop {
                Some(stop) if stop.load(Ordering::Relaxed) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        let doing = format!("downloading {path} of {}", cache.repo());
        lock.ok_or_else(|| transfer::stopped(&doing, self.endpoint()))
    }
}

fn has_size(path: &Path, size: Option<u64>) -> bool {
    let found = path.metadata().map(|metadata| metadata.len());
    found.is_ok_and(|found| size.is_none_or(|size| size == found))
}

fn is_hash(etag: &ETag) -> bool {
    etag.kind() != ETagKind::Opaque
}
