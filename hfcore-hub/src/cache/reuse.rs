//! A download that is none: the contents are there, because another repository of the cache brought them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BlobLock, ETag, ETagKind, RepoCache, file, shared};
use crate::hash::{self, HashKind};

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
        let kind = match etag.kind() {
            ETagKind::Sha256 => HashKind::Sha256,
            ETagKind::GitSha1 => HashKind::GitSha1,
            // Nothing says that the contents are those.
            ETagKind::Opaque => return None,
        };
        let (found, _) = hash::hash_open_file(&contents, kind, &mut |_| {}).ok()?;
        if found.hex() != etag.as_str() {
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
