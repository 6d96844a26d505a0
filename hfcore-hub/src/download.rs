//! One file of a repository: from the cache, or from the Hub into the cache (`hf_hub_download` of `huggingface_hub` 2.4).
//!
//! The revision is resolved to a commit first, and everything else is asked for by that commit, so that a branch that
//! moves meanwhile changes nothing. A file of a commit that is in the cache is the answer without a request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hfcore_weights::RelPath;

use crate::cache::{ETag, ETagKind, IfPresent, Lookup, Partial, RepoCache};
use crate::disk;
use crate::error::HubError;
use crate::hash::{HashKind, Hasher};
use crate::http::request::Method;
use crate::http::status;
use crate::hub::Hub;
use crate::metadata::plain_404_is_an_entry;
use crate::progress::Event;
use crate::repo::{Commit, Repo, Revision};
use crate::transfer;
use crate::tree::RepoFile;

/// How [`Hub::download`] goes about it. The default is Python's.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DownloadOptions {
    /// Downloads what is in the cache already, too.
    pub force: bool,
    /// Never asks the network.
    pub local_files_only: bool,
    /// Puts the file into this folder, by its path in the repository, and not into the cache.
    pub to: Option<PathBuf>,
}

impl DownloadOptions {
    /// Downloads what is in the cache already, too.
    #[must_use]
    pub const fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Never asks the network.
    #[must_use]
    pub const fn with_local_files_only(mut self, local_files_only: bool) -> Self {
        self.local_files_only = local_files_only;
        self
    }

    /// Puts the file into this folder, by its path in the repository, and not into the cache.
    #[must_use]
    pub fn with_to(mut self, folder: impl Into<PathBuf>) -> Self {
        self.to = Some(folder.into());
        self
    }
}

/// A file that is there now.
#[derive(Debug)]
#[non_exhaustive]
pub struct CachedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the revision stands for.
    pub commit: Commit,
    /// Whether any of it was downloaded now.
    pub downloaded: bool,
    /// Why the Hub was not believed or not asked, if the cache was the answer to something that only the Hub knows:
    /// it may have a newer commit.
    pub from_cache_because: Option<HubError>,
}

/// What a revision stands for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// The commit.
    pub commit: Commit,
    /// Why the cache answered and not the Hub, if it did: the revision may stand for another commit by now.
    pub from_cache_because: Option<HubError>,
}

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
    /// What `revision` stands for: asked of the Hub, or, where that cannot be asked, what it stood for when it last was.
    ///
    /// # Errors
    /// If there is no such repository or revision, or there is no network and the cache does not know either.
    pub fn resolve(&self, repo: &Repo, revision: &Revision) -> Result<Commit, HubError> {
        Ok(self.resolve_with(repo, revision, false)?.commit)
    }

    /// As [`resolve`](Self::resolve), and says who answered. With `local_files_only` the cache does.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with(
        &self,
        repo: &Repo,
        revision: &Revision,
        local_files_only: bool,
    ) -> Result<Resolved, HubError> {
        if let Some(commit) = revision.as_commit() {
            return Ok(Resolved {
                commit,
                from_cache_because: None,
            });
        }
        let cache = self.cache().repo(repo);
        let offline = self.offline_because(local_files_only);
        // A reference that is damaged is as good as none while the Hub can be asked.
        let known = match (cache.commit_of(revision), offline) {
            (Err(error), Some(_)) => return Err(error),
            (known, _) => known.ok().flatten(),
        };
        let error = match offline {
            Some(why) => HubError::Offline {
                what: format!("revision {revision} of {repo}"),
                why,
            },
            None => {
                // Without retries while there is something to fall back on, as in Python.
                let retries = known.is_some().then_some(0);
                match self.ask_commit(repo, revision, retries) {
                    Ok(commit) => {
                        return Ok(Resolved {
                            commit,
                            from_cache_because: None,
                        });
                    }
                    Err(error) => error,
                }
            }
        };
        match known {
            Some(commit) if falls_back(&error) => Ok(Resolved {
                commit,
                from_cache_because: Some(error),
            }),
            _ => Err(self.with_suggestions(self.not_cached(repo, revision, "the commit", error))),
        }
    }

    /// The file `path` at `revision`, downloaded if it is not in the cache.
    ///
    /// Where the Hub cannot be reached, or does not let this account in, the file that the cache has for the revision is
    /// the answer, as in Python, and [`CachedFile::from_cache_because`] says so.
    ///
    /// # Errors
    /// If there is no such repository, revision or file; if it is not for this account; if there is no network and the
    /// cache does not have it; if what came is damaged; if there is no room.
    pub fn download(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
        options: &DownloadOptions,
    ) -> Result<CachedFile, HubError> {
        self.check_force(options.force, options.local_files_only)?;
        let found = match &options.to {
            Some(folder) => self.download_to(repo, revision, path, folder, options),
            None => self.download_to_cache(repo, revision, path, options),
        };
        found.map_err(|error| self.explain(error, options.local_files_only))
    }

    fn download_to_cache(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
        options: &DownloadOptions,
    ) -> Result<CachedFile, HubError> {
        let cache = self.cache().repo(repo);
        let resolved = self
            .resolve_with(repo, revision, options.local_files_only)
            .map_err(missing_file(path))?;
        let (commit, because) = (resolved.commit, resolved.from_cache_because);
        let lookup = match cache.lookup(&commit, path) {
            Ok(lookup) => lookup,
            Err(error) if self.offline_because(options.local_files_only).is_some() => {
                return Err(error);
            }
            // A link that leads elsewhere is replaced by what belongs there.
            Err(_) => Lookup::Unknown,
        };
        if let (Lookup::Found(found), false) = (&lookup, options.force) {
            if because.is_none() {
                // The file is there, and that is what counts: the cache may be one that cannot be written to.
                let _ = cache.write_ref(revision, &commit);
            }
            return Ok(CachedFile {
                path: found.clone(),
                commit,
                downloaded: false,
                from_cache_because: because,
            });
        }
        if let Some(why) = self.offline_because(options.local_files_only) {
            if lookup == Lookup::Absent {
                return Err(no_entry(repo, revision, path));
            }
            let error = HubError::Offline {
                what: format!("{path} of {repo}"),
                why,
            };
            return Err(self.not_cached(repo, revision, path.as_str(), error));
        }
        let fetched = self
            .describe_listed(&cache, &commit, revision, path, options.force)
            .and_then(|wanted| self.fetch(&cache, &wanted));
        let fetched = match fetched {
            Ok(fetched) => fetched,
            // Of a commit that only the cache knows: there is no network at all.
            Err(error @ HubError::Network { .. }) if because.is_some() => {
                return Err(self.not_cached(repo, revision, path.as_str(), error));
            }
            Err(error) => return Err(error),
        };
        if because.is_none() {
            cache.write_ref(revision, &commit)?;
        }
        Ok(CachedFile {
            path: fetched.path,
            commit,
            downloaded: fetched.downloaded,
            from_cache_because: because,
        })
    }

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
        let lock = cache.lock(etag, &mut |_| self.tell_waiting(wanted.path));
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
        let lock = cache.lock(&stand_in, &mut |_| self.tell_waiting(wanted.path));
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
        let _lock = cache.lock(&etag, &mut |_| self.tell_waiting(wanted.path));
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

    /// The error, with what may have been meant, unless the network is not to be asked.
    pub(crate) fn explain(&self, error: HubError, local_files_only: bool) -> HubError {
        if local_files_only {
            error
        } else {
            self.with_suggestions(error)
        }
    }

    fn tell_waiting(&self, path: &RelPath) {
        let path = path.as_str();
        self.http().progress().event(&Event::Waiting { path });
    }

    /// What keeps the network from being asked, if something does.
    pub(crate) fn offline_because(&self, local_files_only: bool) -> Option<&'static str> {
        if local_files_only {
            Some("`local_files_only`")
        } else {
            self.offline()
        }
    }

    /// Downloading anew without a network is nothing that can be done.
    pub(crate) fn check_force(&self, force: bool, local_files_only: bool) -> Result<(), HubError> {
        match self.offline_because(local_files_only).filter(|_| force) {
            Some(why) => Err(HubError::Argument {
                what: "`force`".to_owned(),
                why: format!("{why} switches the network off"),
            }),
            None => Ok(()),
        }
    }

    /// The error of something that neither the Hub nor the cache gave: the Hub's own, where it answered, or that it is
    /// not in the cache either.
    pub(crate) fn not_cached(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &str,
        error: HubError,
    ) -> HubError {
        let remedy = match &error {
            HubError::Offline { .. } => {
                "download it once while the network is on (`hfcore download`)"
            }
            HubError::Network { .. } => "check the connection and try again",
            _ => return error,
        };
        HubError::NotCached {
            repo: repo.clone(),
            revision: revision.clone(),
            path: path.to_owned(),
            cache: self.cache().root().to_owned(),
            remedy,
            source: Some(Box::new(error)),
        }
    }
}

/// Whether Python uses the cache after such an error (`_get_metadata_or_catch_error`, `snapshot_download`): whenever it
/// is not certain that what was asked for does not exist.
pub(crate) const fn falls_back(error: &HubError) -> bool {
    matches!(
        error,
        HubError::Offline { .. }
            | HubError::Network { .. }
            | HubError::Tls { .. }
            | HubError::Status { .. }
            | HubError::RateLimited { .. }
            | HubError::BadReply { .. }
            | HubError::RepositoryNotFound { .. }
            | HubError::Gated { .. }
            | HubError::Unauthorized { .. }
            | HubError::Forbidden { .. }
            | HubError::Disabled { .. }
    )
}

fn has_size(path: &Path, size: Option<u64>) -> bool {
    let found = path.metadata().map(|metadata| metadata.len());
    found.is_ok_and(|found| size.is_none_or(|size| size == found))
}

fn is_hash(etag: &ETag) -> bool {
    etag.kind() != ETagKind::Opaque
}

/// Of a revision that the cache does not know it is the file that is missed.
pub(crate) fn missing_file(wanted: &RelPath) -> impl FnOnce(HubError) -> HubError {
    let wanted = wanted.to_string();
    move |error| match error {
        HubError::NotCached {
            repo,
            revision,
            cache,
            remedy,
            source,
            ..
        } => HubError::NotCached {
            path: wanted,
            repo,
            revision,
            cache,
            remedy,
            source,
        },
        error => error,
    }
}

fn no_entry(repo: &Repo, revision: &Revision, path: &RelPath) -> HubError {
    HubError::EntryNotFound {
        repo: repo.clone(),
        revision: revision.clone(),
        path: path.to_string(),
        suggestions: Vec::new(),
    }
}
