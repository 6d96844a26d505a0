//! One file of a repository: from the cache, or from the Hub into the cache (`hf_hub_download` of `huggingface_hub` 2.4).
//!
//! The revision is resolved to a commit first, and everything else is asked for by that commit, so that a branch that
//! moves meanwhile changes nothing. A file of a commit that is in the cache is the answer without a request.

use std::path::PathBuf;

use hfcore_weights::RelPath;

use crate::cache::Lookup;
use crate::error::HubError;
use crate::hub::Hub;
use crate::repo::{Commit, Repo, Revision};
use crate::resolve::missing_file;

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

impl Hub {
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
}

fn no_entry(repo: &Repo, revision: &Revision, path: &RelPath) -> HubError {
    HubError::EntryNotFound {
        repo: repo.clone(),
        revision: revision.clone(),
        path: path.to_string(),
        suggestions: Vec::new(),
    }
}
