//! The cache on disk, as Python's `huggingface_hub` 2.4 lays it out (`file_download.py`, `utils/_cache_manager.py`,
//! `utils/_shared_blobs.py`), so that either finds what the other downloaded:
//!
//! ```text
//! CACHEDIR.TAG
//! .locks/models--org--name/<etag>.lock           never deleted
//! blobs/<xx>/<xet hash>                          contents that several repositories share
//! models--org--name/
//!     blobs/<etag>                               the contents, or a link into the shared blobs
//!     blobs/<etag>.<8 digits>.incomplete         a download under way
//!     snapshots/<commit>/<path>                  a relative link to the blob, or a copy where links are impossible
//!     refs/<revision>                            the commit that it stood for last
//!     .no_exist/<commit>/<path>                  empty: the commit has no such file
//!     trees/<commit>.json                        the files of the commit
//! ```
//!
//! Nothing in it is believed: a name, a link or a number that a cache would not hold is an error, never followed.
//! A blob has its name only once it is complete and verified, and is never written to again. Locks save bandwidth;
//! nothing depends on them.
//!
//! | file | what |
//! |---|---|
//! | `lookup.rs` | what is there |
//! | `lock.rs`, `partial.rs`, `publish.rs`, `link.rs`, `refs.rs` | how something comes to be there |
//! | `shared.rs`, `manifest.rs`, `reuse.rs` | the blobs that repositories share |
//! | `listing.rs` | the files of a commit |
//! | `scan.rs`, `delete.rs`, `prune.rs`, `verify.rs` | the whole cache: sizes, removing, checking |
//! | `etag.rs`, `file.rs` | names of blobs; careful opening of files |

mod delete;
mod etag;
pub(crate) mod file;
mod link;
mod listing;
mod lock;
mod lookup;
mod manifest;
#[cfg(feature = "net")]
mod partial;
mod prune;
#[cfg(feature = "net")]
mod publish;
mod refs;
#[cfg(feature = "net")]
mod reuse;
mod scan;
mod shared;
#[cfg(feature = "net")]
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::HubError;
use crate::repo::{Commit, Repo};

pub use delete::{DeletePlan, Deleted};
pub use etag::{ETag, ETagError, ETagKind};
pub use listing::ListedFile;
pub use lock::BlobLock;
pub use lookup::Lookup;
#[cfg(feature = "net")]
pub use partial::Partial;
pub use prune::PrunePlan;
#[cfg(feature = "net")]
pub use publish::IfPresent;
pub use scan::{
    CacheInfo, CacheProblem, CacheWarning, CachedFile, CachedRepo, CachedRevision, IncompleteFile,
};
#[cfg(feature = "net")]
pub use verify::{
    BlobVerification, DamagedBlob, ExpectedFile, Mismatch, OnProgress, Verification,
    VerifyProgress, verify_folder,
};
#[cfg(feature = "net")]
pub(crate) use verify::{files_of, promised_by_name};

/// A cache: the folder that `HF_HUB_CACHE` names. It need not exist yet. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    symlinks: bool,
    shared_blobs: bool,
    locks: bool,
    /// Whether symbolic links can be made here, once it was tried.
    links_work: Arc<OnceLock<bool>>,
}

impl Cache {
    /// The cache at `root`, made absolute.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            // An empty path is the current folder, as for Python; without one, what is opened says so.
            root: std::path::absolute(&root).unwrap_or(root),
            symlinks: true,
            shared_blobs: true,
            locks: true,
            links_work: Arc::new(OnceLock::new()),
        }
    }

    /// Whether snapshots may be symbolic links (`HF_HUB_DISABLE_SYMLINKS`); else, and where they are impossible, they
    /// are copies. The default is that they may.
    #[must_use]
    pub const fn with_symlinks(mut self, symlinks: bool) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// Whether contents that other repositories have brought are used (`HF_HUB_DISABLE_SHARED_BLOBS`). The default is
    /// that they are. What is linked to them already is found in any case.
    #[must_use]
    pub const fn with_shared_blobs(mut self, shared_blobs: bool) -> Self {
        self.shared_blobs = shared_blobs;
        self
    }

    /// Whether the operating system's locks are used. Without them two processes may download the same file twice, and
    /// nothing is resumed; every result is the same. For file systems that are known to lie about locks, and for tests.
    #[must_use]
    pub const fn with_locks(mut self, locks: bool) -> Self {
        self.locks = locks;
        self
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The part of it that belongs to `repo`, which need not be there yet.
    #[must_use]
    pub fn repo(&self, repo: &Repo) -> RepoCache {
        RepoCache {
            folder: self.root.join(repo.folder_name()),
            cache: self.clone(),
            repo: repo.clone(),
        }
    }
}

/// What a [`Cache`] holds of one repository.
#[derive(Debug, Clone)]
pub struct RepoCache {
    cache: Cache,
    repo: Repo,
    folder: PathBuf,
}

impl RepoCache {
    /// The cache that it is part of.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The repository.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Its folder: `<cache>/models--org--name`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the files of `commit` are, whether or not there are any.
    #[must_use]
    pub fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.folder.join("snapshots").join(commit.as_str())
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    fn blob(&self, etag: &ETag) -> PathBuf {
        self.blobs().join(etag.as_str())
    }

    /// Makes a folder of this repository, below [`folder`](Self::folder), through no symbolic link.
    fn make_folder(&self, folder: &Path) -> Result<(), HubError> {
        // The repository's own may be one: the user put it on another disk.
        fs::create_dir_all(&self.folder).map_err(io_error(&self.folder, "made"))?;
        let mut path = self.folder.clone();
        for part in folder.strip_prefix(&self.folder).into_iter().flatten() {
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error(&path, "made")(error)),
            }
            let metadata = path.symlink_metadata().map_err(io_error(&path, "read"))?;
            if metadata.is_symlink() {
                return Err(damaged(&path, "it is a link, where a folder has to be"));
            }
            if !metadata.is_dir() {
                let error = io::ErrorKind::NotADirectory.into();
                return Err(io_error(&path, "made")(error));
            }
        }
        Ok(())
    }
}

/// A [`HubError::Io`] about `path`, which could not be `doing`.
pub(crate) fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> HubError {
    let path = path.to_owned();
    move |source| HubError::Io {
        path,
        doing,
        source,
    }
}

/// A [`HubError::CacheDamaged`].
fn damaged(path: &Path, why: impl Into<String>) -> HubError {
    HubError::CacheDamaged {
        path: path.to_owned(),
        why: why.into(),
    }
}
