//! Caches in temporary folders, and what a download does to them.

use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hfcore_hub::cache::{Cache, ETag, IfPresent, RepoCache};
use hfcore_hub::hash::{HashKind, hash_reader};
use hfcore_hub::{Commit, HubError, RelPath, Repo, Revision};
use tempfile::TempDir;

/// What a file system may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) symlinks: bool,
    pub(crate) locks: bool,
}

pub(crate) const MODES: [Mode; 4] = [
    Mode::of(true, true),
    Mode::of(true, false),
    Mode::of(false, true),
    Mode::of(false, false),
];

impl Mode {
    pub(crate) const fn of(symlinks: bool, locks: bool) -> Self {
        Self { symlinks, locks }
    }
}

/// A cache that is gone after the test.
pub(crate) struct Sandbox {
    folder: TempDir,
    pub(crate) cache: Cache,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::in_mode(MODES[0])
    }

    pub(crate) fn in_mode(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // On some systems the temporary folder is itself behind a link.
        let root = folder.path().canonicalize().unwrap().join("hub");
        let cache = Cache::new(root)
            .with_symlinks(mode.symlinks)
            .with_locks(mode.locks);
        Self { folder, cache }
    }

    pub(crate) fn repo(&self) -> RepoCache {
        self.cache.repo(&repo())
    }

    /// A place outside the cache.
    pub(crate) fn outside(&self) -> PathBuf {
        let path = self.folder.path().canonicalize().unwrap().join("outside");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// All files and links of the cache, but those for locks and the tag.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut found = tree(self.cache.root());
        found.retain(|line| !line.starts_with(".locks/") && line != "CACHEDIR.TAG");
        found
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        path(below).join_to(self.cache.root())
    }
}

pub(crate) fn repo() -> Repo {
    Repo::model("org/name").unwrap()
}

pub(crate) fn path(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

pub(crate) fn revision(name: &str) -> Revision {
    Revision::parse(name).unwrap()
}

/// A commit of one digit, forty times.
pub(crate) fn commit(digit: char) -> Commit {
    Commit::parse(&digit.to_string().repeat(40)).unwrap()
}

pub(crate) fn etag_of(kind: HashKind, bytes: &[u8]) -> ETag {
    let hash = hash_reader(kind, bytes.len() as u64, &mut &bytes[..], &mut |_| {}).unwrap();
    ETag::parse(hash.hex()).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> ETag {
    etag_of(HashKind::Sha256, bytes)
}

pub(crate) fn git_sha1(bytes: &[u8]) -> ETag {
    etag_of(HashKind::GitSha1, bytes)
}

/// What a download does: lock, look again, write, publish. The result says whether anything was downloaded.
pub(crate) fn download(
    repo: &RepoCache,
    commit: &Commit,
    file: &str,
    bytes: &[u8],
    etag: &ETag,
) -> Result<(PathBuf, bool), HubError> {
    let size = Some(bytes.len() as u64);
    let lock = repo.lock(etag, &mut |_| {});
    if let hfcore_hub::cache::Lookup::Found(found) = repo.lookup(commit, &path(file))? {
        return Ok((found, false));
    }
    if repo.find_blob(etag, size).is_some() {
        return Ok((repo.link(commit, &path(file), etag)?, false));
    }
    let mut partial = repo.partial(etag, size, &lock)?;
    let begin = usize::try_from(partial.resume_from()).unwrap();
    for part in bytes[begin..].chunks(64 * 1024) {
        partial.write_all(part).unwrap();
    }
    let pointer = repo.publish(partial, commit, &path(file), IfPresent::Keep)?;
    Ok((pointer, true))
}

/// A file in the cache, named by git's hash if it is small, else by SHA-256.
pub(crate) fn put(repo: &RepoCache, commit: &Commit, file: &str, bytes: &[u8]) -> PathBuf {
    let etag = if bytes.len() < 100 {
        git_sha1(bytes)
    } else {
        sha256(bytes)
    };
    download(repo, commit, file, bytes, &etag).unwrap().0
}

/// All files below `root`, and where links lead.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    fn visit(folder: &Path, name: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{name}{}", entry.file_name().to_str().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                visit(&entry.path(), &format!("{name}/"), found);
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                found.push(format!("{name} -> {}", target.to_str().unwrap()));
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    visit(root, "", &mut found);
    found.sort();
    found
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[cfg(unix)]
pub(crate) fn symlink(target: impl AsRef<Path>, link: &Path) {
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, link).unwrap();
}

#[cfg(unix)]
pub(crate) fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Makes a file look as if it had been written `hours` ago.
pub(crate) fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    let times = FileTimes::new().set_modified(then).set_accessed(then);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(times).unwrap();
}

#[cfg(unix)]
pub(crate) fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata().unwrap().ino()
}

#[cfg(unix)]
pub(crate) fn go_on(_: &Path) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The message of an error, with the folder of the sandbox taken out of it.
pub(crate) fn message(sandbox: &Sandbox, error: &HubError) -> String {
    let root = sandbox.cache.root().to_str().unwrap();
    error.to_string().replace(root, "CACHE")
}
