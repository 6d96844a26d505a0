//! Removing what nobody needs: revisions that no reference stands for, downloads that were cut off, shared blobs without
//! a repository (`hf cache prune`), and what crashes left behind.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::scan::{CacheInfo, CachedRevision, IncompleteFile, walk};
use super::{Cache, DeletePlan, Deleted, delete, file, io_error, lock};

/// After that long nobody is writing to a temporary file any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What pruning removes, and what that frees.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrunePlan {
    /// The revisions that nothing refers to.
    pub revisions: DeletePlan,
    /// Downloads that were cut off. Those under way are not among them.
    pub incomplete: Vec<IncompleteFile>,
    /// Contents that no repository needs, with their sizes in bytes.
    pub shared_blobs: Vec<(PathBuf, u64)>,
    /// Temporary files, older than a day.
    pub leftovers: Vec<PathBuf>,
    /// Bytes that will be free.
    pub expected_freed: u64,
    cache: Cache,
    now: SystemTime,
}

/// The lock of a file that nobody downloads into, where there are locks.
struct Abandoned(#[allow(dead_code, reason = "it is held, and not looked at")] Option<File>);

impl CacheInfo {
    /// Plans to remove what nobody needs.
    #[must_use]
    pub fn prune(&self) -> PrunePlan {
        let now = SystemTime::now();
        let detached: Vec<&CachedRevision> = self
            .repos
            .iter()
            .flat_map(|repo| &repo.revisions)
            .filter(|revision| revision.refs.is_empty())
            .collect();
        let revisions = self.delete_revisions(&detached);
        let mut incomplete = self.incomplete.clone();
        incomplete.retain(|file| self.cache.abandoned(&file.path, now).is_some());
        let shared_blobs = self.cache.unreferenced_shared_blobs();
        let cut_off: u64 = incomplete.iter().map(|file| file.size).sum();
        let shared: u64 = shared_blobs.iter().map(|(_, size)| size).sum();
        PrunePlan {
            expected_freed: revisions.expected_freed + cut_off + shared,
            revisions,
            incomplete,
            shared_blobs,
            leftovers: self.cache.leftovers(now),
            cache: self.cache.clone(),
            now,
        }
    }
}

impl PrunePlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let files = self.incomplete.is_empty() && self.leftovers.is_empty();
        files && self.revisions.is_empty() && self.shared_blobs.is_empty()
    }

    /// Does it. `on_path` is told of each file and folder before it is removed, and may stop it there.
    pub fn execute(&self, on_path: &mut dyn FnMut(&Path) -> ControlFlow<()>) -> Deleted {
        let mut deleted = self.revisions.execute(on_path);
        if deleted.stopped {
            return deleted;
        }
        // Somebody may have taken a file up since; until it is removed nobody does.
        let cut_off = self.incomplete.iter().filter_map(|file| {
            let right = self.cache.abandoned(&file.path, self.now)?;
            Some((&file.path, right))
        });
        let leftovers = self.leftovers.iter();
        let leftovers = leftovers.map(|path| (path, Abandoned(None)));
        for (path, _right) in cut_off.chain(leftovers) {
            if on_path(path).is_break() {
                deleted.stopped = true;
                return deleted;
            }
            match delete::remove_all(path) {
                Ok(true) => deleted.removed += 1,
                Ok(false) => {}
                Err(error) => deleted.failures.push(io_error(path, "removed")(error)),
            }
        }
        let linked = self.cache.linked_shared_blobs();
        for (path, _) in &self.shared_blobs {
            if on_path(path).is_break() {
                deleted.stopped = true;
                return deleted;
            }
            match self.cache.sweep_shared_blob(path, &linked) {
                Ok(0) => {}
                Ok(_) => deleted.removed += 1,
                Err(error) => deleted.failures.push(io_error(path, "removed")(error)),
            }
        }
        deleted
    }
}

impl Cache {
    /// If nobody is downloading into `path`, the right to remove it: its lock, which keeps others from taking it up. It is
    /// given if the file's own lock can be had and the lock of its blob is free, which is all that Python holds; where locks
    /// say nothing, only age does.
    fn abandoned(&self, path: &Path, now: SystemTime) -> Option<Abandoned> {
        let metadata = path.symlink_metadata().ok()?;
        if metadata.is_symlink() {
            return Some(Abandoned(None));
        }
        let stale = is_stale(&metadata, now);
        let mut options = OpenOptions::new();
        let opened = file::open_as(path, &metadata, options.read(true), true).ok();
        let Some(file) = opened.filter(|_| self.locks) else {
            return stale.then_some(Abandoned(None));
        };
        match file.try_lock() {
            Ok(()) if lock::excludes(&file, path) => {}
            Err(TryLockError::WouldBlock) => return None,
            Ok(()) | Err(TryLockError::Error(_)) => return stale.then_some(Abandoned(None)),
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let blob = path.with_file_name(etag_of(&name));
        let free = stale || !self.is_blob_locked(&blob);
        free.then_some(Abandoned(Some(file)))
    }

    /// Temporary files of this crate's and of Python's that a crash left behind.
    fn leftovers(&self, now: SystemTime) -> Vec<PathBuf> {
        let mut found = BTreeSet::new();
        for folder in folders(&self.root) {
            let is_repo = self
                .relative_blob(&folder.join("blobs").join("x"))
                .is_some();
            if is_repo {
                // `ref.1234abcd.tmp`, `link.1234abcd.tmp`.
                found.extend(files(&folder).filter(|path| has_unique(path, "tmp")));
                found.extend(files(&folder.join("trees")).filter(|path| ends(path, ".tmp")));
                let refs = folder.join("refs");
                if is_folder(&refs) {
                    found.extend(
                        walk(&refs)
                            .into_iter()
                            .filter(|path| has_unique(path, "tmp")),
                    );
                }
                let blobs = files(&folder.join("blobs"));
                found.extend(blobs.filter(|path| has_unique(path, "shared") || is_probe(path)));
            }
        }
        // `symlink-trial.1234abcd.tmp`.
        let locks = self.root.join(".locks");
        found.extend(files(&locks).filter(|path| has_unique(path, "tmp")));
        if let Some(store) = self.shared_store() {
            found.extend(files(&store).filter(|path| has_unique(path, "tmp")));
            for prefix in folders(&store) {
                found.extend(files(&prefix).filter(|path| has_unique(path, "tmp")));
            }
        }
        let old = |path: &PathBuf| {
            let metadata = path.symlink_metadata();
            metadata.is_ok_and(|metadata| is_stale(&metadata, now))
        };
        found.into_iter().filter(old).collect()
    }
}

/// `<etag>.1234abcd.incomplete`, `<etag>.1234abcd.corrupt.incomplete` and, of older versions, `<etag>.incomplete`.
fn etag_of(name: &str) -> &str {
    let name = name.strip_suffix(".incomplete").unwrap_or(name);
    let name = name.strip_suffix(".corrupt").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((etag, digits)) if is_unique(digits) => etag,
        _ => name,
    }
}

/// Eight hexadecimal digits, as this crate and Python make names of their own.
fn is_unique(digits: &str) -> bool {
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `….1234abcd.<suffix>`.
fn has_unique(path: &Path, suffix: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name
        .strip_suffix(suffix)
        .and_then(|name| name.strip_suffix('.'));
    stem.and_then(|stem| stem.rsplit_once('.'))
        .is_some_and(|(_, digits)| is_unique(digits))
}

/// The empty file that Python makes to learn the umask: `tmp_` and a UUID.
fn is_probe(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("tmp_")
        .is_some_and(|uuid| uuid.len() == 36)
        && path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.len() == 0)
}

fn ends(path: &Path, suffix: &str) -> bool {
    path.as_os_str().to_string_lossy().ends_with(suffix)
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
}

fn is_stale(metadata: &fs::Metadata, now: SystemTime) -> bool {
    let written = metadata.modified().unwrap_or(now);
    now.duration_since(written).is_ok_and(|age| age > STALE)
}

/// The folders in `folder`, which is none of them itself if it is a link.
fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(folder).filter(|path| is_folder(path))
}

/// What is no folder in `folder`.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(folder).filter(|path| !is_folder(path))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let open = is_folder(folder).then(|| fs::read_dir(folder));
    let entries = open.into_iter().flatten().flatten().flatten();
    entries.map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_told_from_others() {
        assert_eq!(etag_of("abc.1234abcd.incomplete"), "abc");
        assert_eq!(etag_of("abc.1234abcd.corrupt.incomplete"), "abc");
        assert_eq!(etag_of("abc.incomplete"), "abc");
        assert_eq!(etag_of("a.b.1234abcd.incomplete"), "a.b");
        assert!(has_unique(Path::new("main.1234abcd.tmp"), "tmp"));
        assert!(has_unique(Path::new(".abc.1234abcd.shared"), "shared"));
        for other in ["main.tmp", "main", "1234abcd.tmp", "main.1234abcg.tmp"] {
            assert!(!has_unique(Path::new(other), "tmp"), "{other}");
        }
    }
}
