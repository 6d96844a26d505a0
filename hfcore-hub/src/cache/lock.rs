//! One download of one file at a time: an operating system's lock on `.locks/<repository>/<etag>.lock`, the file and
//! the kind of lock that Python's `filelock` uses. Lock files are never deleted: whoever waits for a deleted one waits
//! for a lock that nobody else sees.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cache, ETag, RepoCache, file};

/// How long to wait between two attempts, at first and at most. The operating system's own wait has no time limit, and
/// would leave whoever waits without a word.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// How often who waits is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How often a lock file may be found replaced before its lock is taken for good.
const MAX_RENAMED: u32 = 100;

/// The right to download one blob, until it is dropped. Where locks do not work it holds nothing, and everything is
/// right nevertheless.
#[derive(Debug)]
pub struct BlobLock {
    path: PathBuf,
    file: Option<File>,
}

impl BlobLock {
    /// Whether there is a lock: the file system has them, and the lock file could be made.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.file.is_some()
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the lock is seen to keep others out, as some network file systems' are not.
    #[cfg(feature = "net")]
    pub(super) fn excludes(&self) -> bool {
        self.file
            .as_ref()
            .is_some_and(|file| excludes(file, &self.path))
    }
}

/// Whether a second handle to `path` is refused the lock that `held` has. That says nothing about other machines.
pub(super) fn excludes(held: &File, path: &Path) -> bool {
    let second = match open_lock_file(path, None) {
        Ok(file) => file,
        Err(_) => return false,
    };
    file::is_same_file(held, path) && matches!(second.try_lock(), Err(TryLockError::WouldBlock))
}

impl RepoCache {
    /// Waits until nobody else, Python included, downloads what `etag` names in this repository. As long as it waits,
    /// `on_wait` is told about once a second for how long already. Look again afterwards whether the blob is there.
    #[must_use]
    pub fn lock(&self, etag: &ETag, on_wait: &mut dyn FnMut(Duration)) -> BlobLock {
        let mut on_wait = |waited| {
            on_wait(waited);
            ControlFlow::Continue(())
        };
        let lock = self.lock_unless_stopped(etag, &mut on_wait);
        lock.unwrap_or_else(|| BlobLock {
            path: self.lock_path(etag.as_str()),
            file: None,
        })
    }

    /// The same, and `on_wait` may end it: then there is nothing.
    #[must_use]
    pub fn lock_unless_stopped(
        &self,
        etag: &ETag,
        on_wait: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> Option<BlobLock> {
        let path = self.lock_path(etag.as_str());
        match self.cache.wait_for(&path, 0o664, on_wait) {
            ControlFlow::Continue(file) => Some(BlobLock { path, file }),
            ControlFlow::Break(()) => None,
        }
    }

    /// Where the lock of a blob is.
    pub(super) fn lock_path(&self, blob: &str) -> PathBuf {
        self.cache.lock_path(&self.repo.folder_name(), blob)
    }
}

impl Cache {
    /// Where the lock of a blob is of the repository whose folder is `folder`.
    pub(super) fn lock_path(&self, folder: &str, blob: &str) -> PathBuf {
        let folder = self.root.join(".locks").join(folder);
        folder.join(format!("{blob}.lock"))
    }

    /// Waits for the lock on `path`, a file that is made with the rights `mode` if need be, unless `on_wait` ends it.
    /// Nothing where there are no locks.
    pub(super) fn wait_for(
        &self,
        path: &Path,
        mode: u32,
        on_wait: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> ControlFlow<(), Option<File>> {
        if !self.locks {
            return ControlFlow::Continue(None);
        }
        acquire(path, mode, on_wait)
    }

    /// Whether another process holds the lock on `path`, which is not made for that.
    pub(super) fn is_locked(&self, path: &Path) -> bool {
        let file = self
            .locks
            .then(|| open_lock_file(path, None).ok())
            .flatten();
        file.is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

fn acquire(
    path: &Path,
    mode: u32,
    on_wait: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) -> ControlFlow<(), Option<File>> {
    let none = ControlFlow::Continue(None);
    let folder = path.parent().map(std::fs::create_dir_all);
    if !matches!(folder, Some(Ok(()))) {
        return none;
    }
    let mut renamed = 0;
    let begin = Instant::now();
    let (mut pause, mut told) = (FIRST_PAUSE, Duration::ZERO);
    loop {
        let Ok(file) = open_lock_file(path, Some(mode)) else {
            return none;
        };
        match file.try_lock() {
            // Python's fallbacks delete lock files: a lock on a file without a name keeps nobody out.
            // Should a file system number its files anew at each look, that does not go on for ever.
            Ok(()) if renamed == MAX_RENAMED || file::is_same_file(&file, path) => {
                return ControlFlow::Continue(Some(file));
            }
            Ok(()) => {
                renamed += 1;
                continue;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                continue;
            }
            // ENOLCK, ENOTSUP …: there are no locks here.
            Err(TryLockError::Error(_)) => return none,
        }
        let waited = begin.elapsed();
        if waited.saturating_sub(told) >= TELL_EVERY {
            told = waited;
            on_wait(waited)?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Opens a lock file, which is made first with the rights `create`; never through a link, and never waiting for a pipe.
fn open_lock_file(path: &Path, create: Option<u32>) -> io::Result<File> {
    if let Some(mode) = create {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        match options.open(path) {
            Ok(file) => {
                file::set_mode(&file, mode);
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let metadata = path.symlink_metadata()?;
    let write = file::open_as(
        path,
        &metadata,
        OpenOptions::new().read(true).write(true),
        true,
    );
    match write {
        // Another user's lock file: a lock needs no right to write, except on NFS.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            file::open_as(path, &metadata, OpenOptions::new().read(true), true)
        }
        other => other,
    }
}
