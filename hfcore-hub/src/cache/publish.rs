//! How a download becomes a blob: verified, on the disk, and only then under its name, which it keeps for ever.

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;

use super::{Partial, RepoCache, file, io_error};
use crate::error::HubError;
use crate::hash;
use crate::repo::Commit;

/// What to do with a blob of the right size that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfPresent {
    /// It stays: another process was faster.
    #[default]
    Keep,
    /// The new one takes its name: the user asked to download anew. Who has the old one open keeps it.
    Replace,
}

impl RepoCache {
    /// Verifies what was downloaded by its size and by the hash that its etag is, gives it the name of a blob, and puts it
    /// into the snapshot of `commit` as `path`; the path there is the result. Where links are impossible it goes into
    /// the snapshot at once.
    ///
    /// # Errors
    /// [`HubError::Checksum`] if it is not what was promised: the bytes are then kept aside, under a name that nothing
    /// reads and that [`prune`](super::CacheInfo::prune) removes. Others if files cannot be written.
    pub fn publish(
        &self,
        mut partial: Partial,
        commit: &Commit,
        path: &RelPath,
        if_present: IfPresent,
    ) -> Result<PathBuf, HubError> {
        self.verify_partial(&mut partial, path)?;
        partial
            .file
            .sync_all()
            .map_err(io_error(&partial.path, "written to the disk"))?;
        let pointer = self.pointer(commit, path)?;
        if self.cache.can_symlink() {
            let blob = self.blob(&partial.etag);
            self.name_blob(&mut partial, &blob, if_present)?;
            self.link_to(&blob, &pointer, path)?;
        } else {
            fs::rename(&partial.path, &pointer).map_err(io_error(&pointer, "renamed"))?;
            partial.done = true;
            file::sync_folder(pointer.parent().unwrap_or(&self.folder));
        }
        Ok(pointer)
    }

    /// Compares what came with what was promised.
    fn verify_partial(&self, partial: &mut Partial, path: &RelPath) -> Result<(), HubError> {
        if let Some(size) = partial.size
            && size != partial.written
        {
            let (expected, found) = (bytes(size), bytes(partial.written));
            // Too few may be continued; what is too much was never written.
            return Err(self.checksum(path, expected, found, &partial.path));
        }
        let Some(expected) = partial.etag.hash() else {
            return Ok(());
        };
        let found = if let Some(hasher) = partial.hasher.take() {
            hasher.finish()
        } else {
            // Git hashes the length first, and it was not known.
            partial
                .file
                .seek(SeekFrom::Start(0))
                .and_then(|_| hash::hash_open_file(&partial.file, expected.kind(), &mut |_| {}))
                .map_err(io_error(&partial.path, "read"))?
                .0
        };
        if found == expected {
            return Ok(());
        }
        let kept = self.set_aside(partial);
        Err(self.checksum(path, expected.to_string(), found.to_string(), &kept))
    }

    fn checksum(&self, path: &RelPath, expected: String, found: String, kept: &Path) -> HubError {
        HubError::Checksum {
            repo: self.repo.clone(),
            path: path.to_string(),
            expected,
            found,
            kept: kept.to_owned(),
        }
    }

    /// Gives damaged bytes a name under which nobody continues them, and Python's pruning too finds them.
    fn set_aside(&self, partial: &mut Partial) -> PathBuf {
        let name = format!("{}.{}.corrupt.incomplete", partial.etag, file::unique());
        let aside = self.blobs().join(name);
        if fs::rename(&partial.path, &aside).is_err() {
            // Then they are removed with it.
            return partial.path.clone();
        }
        partial.done = true;
        aside
    }

    /// Gives `partial` the name `blob`, which nothing loses that is right.
    fn name_blob(
        &self,
        partial: &mut Partial,
        blob: &Path,
        if_present: IfPresent,
    ) -> Result<(), HubError> {
        if if_present == IfPresent::Keep {
            // Unlike renaming, a hard link never takes the place of what another process has just put there.
            match fs::hard_link(&partial.path, blob) {
                Ok(()) => {
                    file::sync_folder(&self.blobs());
                    // Left behind it would be a second name of the blob, which `adopt` passes over.
                    let _ = fs::remove_file(&partial.path);
                    partial.done = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if self
                        .find_blob(&partial.etag, Some(partial.written))
                        .is_some()
                    {
                        let _ = fs::remove_file(&partial.path);
                        partial.done = true;
                        return Ok(());
                    }
                    // A file of another length, a link to a blob that is gone: no blob.
                }
                // No hard links here.
                Err(_) => {}
            }
        }
        fs::rename(&partial.path, blob).map_err(io_error(blob, "renamed"))?;
        partial.done = true;
        file::sync_folder(&self.blobs());
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    format!("{count} bytes")
}
