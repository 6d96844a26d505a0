//! What a revision stands for: asked of the Hub, or remembered by the cache, and which of them is believed when.

use hfcore_weights::RelPath;

use crate::error::HubError;
use crate::hub::Hub;
use crate::repo::{Commit, Repo, Revision};

/// What a revision stands for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// The commit.
    pub commit: Commit,
    /// Why the cache answered and not the Hub, if it did: the revision may stand for another commit by now.
    pub from_cache_because: Option<HubError>,
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
            Some(commit) if error.leaves_the_cache() => Ok(Resolved {
                commit,
                from_cache_because: Some(error),
            }),
            _ => Err(self.with_suggestions(self.not_cached(repo, revision, "the commit", error))),
        }
    }

    /// The error, with what may have been meant, unless the network is not to be asked.
    pub(crate) fn explain(&self, error: HubError, local_files_only: bool) -> HubError {
        if local_files_only {
            error
        } else {
            self.with_suggestions(error)
        }
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
