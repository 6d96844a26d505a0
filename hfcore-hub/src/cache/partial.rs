//! A download under way: `blobs/<etag>.<8 digits>.incomplete`, which one writer has for itself. Every writer makes a
//! file of its own, so that two that do not see each other's locks waste bandwidth and nothing else
//! (`huggingface_hub`, pull request 4228). What a process that died left behind is continued where that is certain to be alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{BlobLock, ETag, ETagKind, RepoCache, file, io_error, lock};
use crate::error::HubError;
use crate::hash::{self, HashKind, Hasher};

/// The contents of a blob as they arrive: [`Write`] appends, and hashes on the way. [`RepoCache::publish`] makes a blob of
/// it. One that is dropped before stays for the next attempt if locks allow to continue it, and is removed if not.
#[derive(Debug)]
pub struct Partial {
    pub(super) repo: RepoCache,
    pub(super) etag: ETag,
    pub(super) size: Option<u64>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// How many bytes are there.
    pub(super) written: u64,
    /// Of those bytes; nothing if the etag promises no hash, or one that depends on an unknown length.
    pub(super) hasher: Option<Hasher>,
    /// Somebody could continue it: the file is on a disk of this machine, and locked in a way that others see.
    resumable: bool,
    /// It has been published or removed.
    pub(super) done: bool,
}

impl RepoCache {
    /// The file to download the blob `etag` into: a new one, or one that was left behind, which is hashed again. `size` is
    /// how many bytes it is to have, if the Hub said so.
    ///
    /// # Errors
    /// If the folder or the file cannot be made.
    pub fn partial(
        &self,
        etag: &ETag,
        size: Option<u64>,
        lock: &BlobLock,
    ) -> Result<Partial, HubError> {
        self.cache.make()?;
        let blobs = self.blobs();
        self.make_folder(&blobs)?;
        let own = lock.path() == self.lock_path(etag.as_str());
        if own && lock.excludes() && size.is_some() {
            for path in leftovers(&blobs, etag) {
                if let Some(partial) = self.adopt(etag, size, &path) {
                    return Ok(partial);
                }
            }
        }
        self.new_partial(etag, size)
    }

    fn new_partial(&self, etag: &ETag, size: Option<u64>) -> Result<Partial, HubError> {
        let (path, file) = create_unique(&self.blobs(), etag)?;
        // Without a size nothing tells that it is the same file, so that nobody takes it up.
        let resumable =
            size.is_some() && self.cache.locks && file.try_lock().is_ok() && is_alone(&file, &path);
        Ok(Partial {
            repo: self.clone(),
            etag: etag.clone(),
            size,
            path,
            file,
            written: 0,
            hasher: hasher(etag, size),
            resumable,
            done: false,
        })
    }

    /// What another process left at `path`, if it is certain that it is gone and nobody else takes it up.
    fn adopt(&self, etag: &ETag, size: Option<u64>, path: &Path) -> Option<Partial> {
        let metadata = path.symlink_metadata().ok()?;
        // An empty one is no gain, a longer one no beginning.
        if metadata.len() == 0 || size.is_none_or(|size| metadata.len() > size) {
            return None;
        }
        let mut options = OpenOptions::new();
        let file = file::open_as(path, &metadata, options.read(true).write(true), true).ok()?;
        file.try_lock().ok()?;
        if !is_alone(&file, path) {
            return None;
        }
        let written = file.metadata().ok()?.len();
        let mut hasher = hasher(etag, size);
        if let Some(hasher) = &mut hasher {
            hash::feed(hasher, written, &mut &file, &mut |_| {}).ok()?;
        }
        (&file).seek(SeekFrom::Start(written)).ok()?;
        Some(Partial {
            repo: self.clone(),
            etag: etag.clone(),
            size,
            path: path.to_owned(),
            file,
            written,
            hasher,
            resumable: true,
            done: false,
        })
    }
}

/// Whether `file`, which is locked, is ours alone: on a disk of this machine, where a lock that keeps a second handle out
/// keeps every process out; and under this one name, for a blob whose publishing was cut off may have two.
fn is_alone(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    let one_name = {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 1)
    };
    #[cfg(not(unix))]
    let one_name = true;
    one_name && hfcore_weights::is_on_local_disk(file, path) && lock::excludes(file, path)
}

/// The partial files of `etag`, the longest first.
fn leftovers(blobs: &Path, etag: &ETag) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(blobs)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| is_partial_of(name, etag))
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.len(), entry.path())))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_partial_of(name: &str, etag: &ETag) -> bool {
    name.strip_suffix(".incomplete")
        .and_then(|name| name.strip_prefix(etag.as_str()))
        .and_then(|name| name.strip_prefix('.'))
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn create_unique(blobs: &Path, etag: &ETag) -> Result<(PathBuf, File), HubError> {
    loop {
        let path = blobs.join(format!("{etag}.{}.incomplete", file::unique()));
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error(&path, "made")(error)),
        }
    }
}

/// What makes the hash that `etag` promises, if it can begin now.
fn hasher(etag: &ETag, size: Option<u64>) -> Option<Hasher> {
    match etag.kind() {
        ETagKind::Sha256 => Some(Hasher::new(HashKind::Sha256, size.unwrap_or(0))),
        ETagKind::GitSha1 => size.map(|size| Hasher::new(HashKind::GitSha1, size)),
        ETagKind::Opaque => None,
    }
}

impl Partial {
    /// How many bytes are there: where a request for the rest begins.
    #[must_use]
    pub const fn resume_from(&self) -> u64 {
        self.written
    }

    /// How many bytes it is to have.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names the blob by the SHA-256 of what has come, as for a server that gives no etag: the result is the new one.
    ///
    /// # Errors
    /// If the file cannot be read again.
    pub fn name_by_hash(&mut self) -> Result<ETag, HubError> {
        let mut hasher = Hasher::new(HashKind::Sha256, self.written);
        // By this handle: on Windows the lock keeps every other one from reading.
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| hash::feed(&mut hasher, self.written, &mut file, &mut |_| {}))
            .map_err(io_error(&self.path, "read"))?;
        let etag = ETag::of(&hasher.clone().finish());
        self.hasher = Some(hasher);
        self.etag = etag.clone();
        Ok(etag)
    }

    /// Begins anew, with another file: as when the server answers a request for the rest with the whole.
    ///
    /// # Errors
    /// If there can be no other file.
    pub fn restart(&mut self) -> Result<(), HubError> {
        let fresh = self.repo.new_partial(&self.etag, self.size)?;
        let mut old = std::mem::replace(self, fresh);
        old.resumable = false;
        Ok(())
    }

    /// Removes it.
    pub fn discard(mut self) {
        self.resumable = false;
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(size) = self.size
            && bytes.len() as u64 > size.saturating_sub(self.written)
        {
            let why = format!("more than the {size} bytes that were promised");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let count = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..count]);
        }
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let stays = self.resumable && self.written > 0;
        if !self.done && !stays {
            // What stays is swept by `prune`.
            let _ = fs::remove_file(&self.path);
        }
    }
}
