//! A download that is none: the contents are there, because another repository of the cache brought them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{BlobLock, Cache, ETag, RepoCache, file, manifest, shared};
use crate::hash;

impl RepoCache {
    /// Makes the blob `etag` a link to the contents `xet_hash` that repositories share, if they are there with `size`
    /// bytes and with the hash that the etag promises. Nothing if they are not, or if that is impossible or switched
    /// off: download it then. `lock` is the blob's own.
    ///
    /// Python believes the size; the hash is checked here, since what is wrong in one repository would be wrong in all.
    #[must_use]
    pub fn reuse_shared(
        &self,
        etag: &ETag,
        xet_hash: &str,
        size: u64,
        _lock: &BlobLock,
    ) -> Option<PathBuf> {
        let wanted = self.cache.shared_blobs && shared::is_xet_hash(xet_hash);
        if !wanted || !self.cache.can_symlink() {
            return None;
        }
        let entry = self
            .cache
            .shared_store()?
            .join(&xet_hash[..2])
            .join(xet_hash);
        let contents = file::open_regular(&entry).ok()?;
        if contents.metadata().ok()?.len() != size {
            return None;
        }
        // Where the etag is no hash, nothing says that the contents are those.
        let expected = etag.hash()?;
        let (found, _) = hash::hash_open_file(&contents, expected.kind(), &mut |_| {}).ok()?;
        if found != expected {
            return None;
        }
        self.make_folder(&self.blobs()).ok()?;
        let _shared_lock = self.cache.lock_shared(&entry)?;
        // Nobody removes it from here on; it may have been before.
        let still_there = file::is_same_file(&contents, &entry);
        still_there
            .then(|| self.link_shared(etag, &entry))
            .flatten()
    }

    fn link_shared(&self, etag: &ETag, entry: &Path) -> Option<PathBuf> {
        let blob = self.blob(etag);
        // From `<cache>/models--org--name/blobs`.
        let mut target = PathBuf::from("../../blobs");
        target.extend(entry.parent()?.file_name());
        target.extend(entry.file_name());
        let temporary = self
            .blobs()
            .join(format!(".{etag}.{}.shared", file::unique()));
        file::symlink(&target, &temporary).ok()?;
        // Should the repository's folder be a link to another disk, the way up does not lead to the cache.
        let leads_there = temporary.canonicalize().ok() == entry.canonicalize().ok();
        let linked = leads_there
            && self.cache.add_reference(entry, &blob).is_ok()
            && fs::rename(&temporary, &blob).is_ok();
        if !linked {
            let _ = fs::remove_file(&temporary);
        }
        linked.then_some(blob)
    }
}

impl Cache {
    /// Adds the link `blob` to the manifest of `entry`, on the disk when this returns: before the link can be seen.
    fn add_reference(&self, entry: &Path, blob: &Path) -> io::Result<()> {
        let path = manifest::beside(entry, "refs");
        let line = self
            .relative_blob(blob)
            .ok_or(io::ErrorKind::InvalidInput)?
            + "\n";
        let mut options = OpenOptions::new();
        options.append(true);
        let mut manifest = match options.clone().create_new(true).open(&path) {
            Ok(file) => {
                file::set_mode(&file, manifest::MODE);
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                file::open_as(&path, &path.symlink_metadata()?, &mut options, true)?
            }
            Err(error) => return Err(error),
        };
        // One call: two lines that are appended at once must not mix.
        if manifest.write(line.as_bytes())? != line.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        manifest.sync_all()
    }
}
