//! How a file of a commit comes to be in the snapshot: a relative symbolic link to its blob, or, where links are
//! impossible or unwanted, the blob itself moved or copied there (`_create_symlink` in `file_download.py`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;

use super::{Cache, ETag, RepoCache, damaged, file, io_error};
use crate::error::HubError;
use crate::repo::Commit;

impl Cache {
    /// Whether snapshots can be symbolic links here: tried once, in the cache itself, since that depends on the disk
    /// and on the rights of the user.
    #[must_use]
    pub fn can_symlink(&self) -> bool {
        self.symlinks
            && *self
                .links_work
                .get_or_init(|| try_symlink(&self.root.join(".locks")))
    }
}

/// Whether a symbolic link can be made in `folder`: that of the locks, the only one of a cache in which a scan does not mind
/// what a crash has left, Python's neither. What cannot be tried is taken for possible: the attempt to make the
/// real one then fails with the reason.
fn try_symlink(folder: &Path) -> bool {
    let trial = folder.join(format!("symlink-trial.{}.tmp", file::unique()));
    if fs::create_dir_all(folder).is_err() {
        return true;
    }
    match file::symlink(Path::new("CACHEDIR.TAG"), &trial) {
        Ok(()) => {
            let _ = fs::remove_file(&trial);
            true
        }
        Err(error) => !is_impossible(&error),
    }
}

/// Whether an error says that there are no symbolic links here, rather than that this one could not be made: `EPERM`
/// (FAT, some network file systems), `ENOTSUP`, `ENOSYS`; on Windows a right that the user lacks.
fn is_impossible(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error().is_none_or(|code| {
        [libc::EPERM, libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOSYS].contains(&code)
    });
    #[cfg(not(unix))]
    return error.kind() != io::ErrorKind::NotFound;
}

impl RepoCache {
    /// Puts `path` into the snapshot of `commit`: its contents are the blob `etag`, which is there already and may
    /// belong to other commits too. What the snapshot has under that name gives way, unless it is just that.
    ///
    /// # Errors
    /// If the blob is not there (any more), or the snapshot cannot be written, or leads out of the repository.
    pub fn link(&self, commit: &Commit, path: &RelPath, etag: &ETag) -> Result<PathBuf, HubError> {
        // A link to elsewhere is none, and is neither linked to nor copied.
        let Some(blob) = self.find_blob(etag, None) else {
            let blob = self.blob(etag);
            return Err(io_error(&blob, "found")(io::ErrorKind::NotFound.into()));
        };
        let pointer = self.pointer(commit, path)?;
        if self.cache.can_symlink() {
            self.link_to(&blob, &pointer, path)?;
        } else {
            self.copy_to(&blob, &pointer)?;
        }
        Ok(pointer)
    }

    /// Where `path` is in the snapshot of `commit`, whose folder is made if need be.
    pub(super) fn pointer(&self, commit: &Commit, path: &RelPath) -> Result<PathBuf, HubError> {
        let pointer = path.join_to(&self.snapshot(commit));
        self.make_folder(pointer.parent().unwrap_or(&self.folder))?;
        if pointer
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
        {
            return Err(damaged(
                &pointer,
                "it is a folder, and a file of the repository",
            ));
        }
        Ok(pointer)
    }

    /// Makes `pointer` a link to `blob`.
    pub(super) fn link_to(
        &self,
        blob: &Path,
        pointer: &Path,
        path: &RelPath,
    ) -> Result<(), HubError> {
        // Up from the folder of `path`, from the commit, and from `snapshots`.
        let mut target = PathBuf::new();
        for _ in 0..path.as_str().split('/').count() + 1 {
            target.push("..");
        }
        target.push("blobs");
        target.extend(blob.file_name());
        // A link is there at once and whole, or not at all.
        match file::symlink(&target, pointer) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // The repository is on another disk than the cache.
            Err(error) if is_impossible(&error) => return self.copy_to(blob, pointer),
            Err(error) => return Err(io_error(pointer, "linked")(error)),
        }
        if fs::read_link(pointer).is_ok_and(|found| found == target) {
            return Ok(());
        }
        let temporary = self.folder.join(format!("link.{}.tmp", file::unique()));
        let made =
            file::symlink(&target, &temporary).and_then(|()| fs::rename(&temporary, pointer));
        made.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error(pointer, "linked")(error)
        })
    }

    /// Makes `pointer` a copy of `blob`.
    fn copy_to(&self, blob: &Path, pointer: &Path) -> Result<(), HubError> {
        let mut from = file::open_following(blob).map_err(io_error(blob, "opened"))?;
        self.make_folder(&self.blobs())?;
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        // Where Python too looks for what a crash left.
        let temporary = self
            .blobs()
            .join(format!("{name}.{}.incomplete", file::unique()));
        let copied = File::create_new(&temporary).and_then(|mut to| {
            io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            drop(to);
            fs::rename(&temporary, pointer)
        });
        copied.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error(pointer, "copied")(error)
        })?;
        file::sync_folder(pointer.parent().unwrap_or(&self.folder));
        Ok(())
    }
}
