//! What the cache has: which commit a revision stood for last, where a file of a commit is, whether a blob is there.
//! Nothing is written, so that all of it works on a cache that cannot be written to.

use std::fs;
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;

use super::{ETag, RepoCache, damaged, file, io_error};
use crate::error::HubError;
use crate::repo::{Commit, Revision};

/// A reference is 40 bytes; some room for a line end and what editors add.
const MAX_REF_BYTES: u64 = 1024;

/// What the cache knows about one file of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It is here.
    Found(PathBuf),
    /// The commit has no such file: the Hub said so.
    Absent,
    /// Nothing.
    Unknown,
}

impl RepoCache {
    /// The commit that `revision` stood for when it was last asked of the Hub, if it was. A revision that is a commit
    /// stands for itself.
    ///
    /// # Errors
    /// [`HubError::CacheDamaged`] if the reference is no regular file or holds anything but a commit.
    pub fn commit_of(&self, revision: &Revision) -> Result<Option<Commit>, HubError> {
        if let Some(commit) = revision.as_commit() {
            return Ok(Some(commit));
        }
        let path = self.ref_path(revision);
        match path.symlink_metadata() {
            // `refs/pr` is a folder where `refs/pr/1` is cached.
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Ok(_) => {}
            Err(error) if file::is_missing(&error) => return Ok(None),
            Err(error) => return Err(io_error(&path, "read")(error)),
        }
        let bytes = match file::read_limited(&path, MAX_REF_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if file::is_missing(&error) => return Ok(None),
            Err(error) if error.raw_os_error().is_none() => {
                return Err(damaged(&path, error.to_string()));
            }
            Err(error) => return Err(io_error(&path, "read")(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        match Commit::parse(text.trim()) {
            Ok(commit) => Ok(Some(commit)),
            Err(error) => Err(damaged(&path, error.to_string())),
        }
    }

    /// What is known about `path` at `commit`. A file that is found is a regular one, or a symbolic link to a blob of
    /// this repository or to one that repositories of this cache share.
    ///
    /// # Errors
    /// [`HubError::CacheDamaged`] if it is a link to anywhere else, or no regular file; [`HubError::Io`] if the folder
    /// cannot be read.
    pub fn lookup(&self, commit: &Commit, path: &RelPath) -> Result<Lookup, HubError> {
        let pointer = path.join_to(&self.snapshot(commit));
        match pointer.symlink_metadata() {
            // Something is asked for that is a folder of the repository.
            Ok(metadata) if metadata.is_dir() => return Ok(Lookup::Unknown),
            Ok(_) => {}
            Err(error) if file::is_missing(&error) => return Ok(self.lookup_absent(commit, path)),
            Err(error) => return Err(io_error(&pointer, "read")(error)),
        }
        let real = match pointer.canonicalize() {
            Ok(real) => real,
            // A link to a blob that is gone, as a deletion that was cut off leaves it: to be fetched again.
            Err(error) if file::is_missing(&error) => return Ok(Lookup::Unknown),
            Err(error) => return Err(damaged(&pointer, error.to_string())),
        };
        self.check_real(commit, &pointer, &real)?;
        match real.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Lookup::Found(pointer)),
            Ok(metadata) if metadata.is_dir() => Ok(Lookup::Unknown),
            Ok(_) => Err(damaged(&pointer, "it is no regular file")),
            Err(error) if file::is_missing(&error) => Ok(Lookup::Unknown),
            Err(error) => Err(io_error(&real, "read")(error)),
        }
    }

    /// Whether the cache knows that `commit` has no `path`.
    fn lookup_absent(&self, commit: &Commit, path: &RelPath) -> Lookup {
        let marker = path.join_to(&self.folder.join(".no_exist").join(commit.as_str()));
        match marker.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => Lookup::Absent,
            _ => Lookup::Unknown,
        }
    }

    /// Is `real`, the end of all links of `pointer`, a place where this repository's contents may be?
    fn check_real(&self, commit: &Commit, pointer: &Path, real: &Path) -> Result<(), HubError> {
        // The folders of the cache and of the repository may be links themselves: the user put them on another disk.
        let own = self
            .folder
            .canonicalize()
            .map_err(io_error(&self.folder, "read"))?;
        if real.starts_with(own.join("snapshots").join(commit.as_str())) {
            return Ok(());
        }
        if real.parent() == Some(&own.join("blobs")) {
            let name = real.file_name().and_then(|name| name.to_str());
            return match name.map(ETag::parse) {
                Some(Ok(_)) => Ok(()),
                _ => Err(damaged(
                    pointer,
                    format!("it leads to {}, which is no blob", real.display()),
                )),
            };
        }
        if self.cache.is_shared_blob(real) {
            return Ok(());
        }
        Err(damaged(
            pointer,
            format!(
                "it leads out of the repository's blobs, to {}",
                real.display()
            ),
        ))
    }

    /// The blob that `etag` names, if it is there with `size` bytes: a regular file, or a link to a shared blob.
    #[must_use]
    pub fn find_blob(&self, etag: &ETag, size: Option<u64>) -> Option<PathBuf> {
        let blob = self.blob(etag);
        let metadata = blob.symlink_metadata().ok()?;
        let metadata = if metadata.is_symlink() {
            self.cache.shared_target(&blob)?.symlink_metadata().ok()?
        } else {
            metadata
        };
        let fits = metadata.is_file() && size.is_none_or(|size| metadata.len() == size);
        fits.then_some(blob)
    }

    /// The commits of which there is a snapshot, in order; other names in the folder are passed over.
    #[must_use]
    pub fn commits(&self) -> Vec<Commit> {
        let entries = fs::read_dir(self.folder.join("snapshots"));
        let mut commits: Vec<Commit> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| Commit::parse(entry.file_name().to_str()?).ok())
            .collect();
        commits.sort();
        commits
    }

    pub(super) fn ref_path(&self, revision: &Revision) -> PathBuf {
        let mut path = self.folder.join("refs");
        path.extend(revision.as_str().split('/'));
        path
    }
}
