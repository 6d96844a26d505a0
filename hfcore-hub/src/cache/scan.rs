//! Everything that a cache holds: repositories, revisions, files, what they take on the disk, and what is wrong
//! (`scan_cache_dir` in `utils/_cache_manager.py`, whose numbers these are).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Cache, file, io_error, shared};
use crate::error::HubError;
use crate::repo::{Repo, RepoType};

/// What a [`Cache`] holds, at the time it was looked through.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheInfo {
    /// The cache.
    pub cache: Cache,
    /// Bytes on the disk. What repositories share counts once, so that it may be less than their sum.
    pub size: u64,
    /// The repositories, by kind and name. A damaged one is a warning instead.
    pub repos: Vec<CachedRepo>,
    /// Downloads that were cut off, or are under way.
    pub incomplete: Vec<IncompleteFile>,
    /// What is wrong.
    pub warnings: Vec<CacheWarning>,
}

/// One repository in a cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachedRepo {
    /// What kind it is.
    pub repo_type: RepoType,
    /// Its name, `org/name`, as its folder has it.
    pub id: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes of all its blobs, each once.
    pub size: u64,
    /// How many blobs it has.
    pub blobs: usize,
    /// The commits of which there are files, in order.
    pub revisions: Vec<CachedRevision>,
    /// When one of its blobs was last read, as far as the file system keeps that.
    pub last_accessed: SystemTime,
    /// When one of its blobs was last written.
    pub last_modified: SystemTime,
}

/// One commit of a repository in a cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachedRevision {
    /// The commit: the name of the folder.
    pub commit: String,
    /// The folder with its files.
    pub folder: PathBuf,
    /// Bytes of its blobs, each once.
    pub size: u64,
    /// Its files, by path.
    pub files: Vec<CachedFile>,
    /// The branches, tags and pull requests that stood for it last. None: it is detached.
    pub refs: BTreeSet<String>,
    /// When one of its blobs was last written.
    pub last_modified: SystemTime,
}

/// One file of a commit in a cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachedFile {
    /// Its path in the repository.
    pub path: String,
    /// Where it is in the snapshot.
    pub pointer: PathBuf,
    /// Where its contents are: what `pointer` links to, or `pointer` itself if it is a copy.
    pub blob: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When the blob was last read, by any revision.
    pub last_accessed: SystemTime,
    /// When the blob was last written.
    pub last_modified: SystemTime,
}

/// A download that was cut off, or is under way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct IncompleteFile {
    /// The file.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// Something in a cache that a cache does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {}", .path.display(), .problem)]
#[non_exhaustive]
pub struct CacheWarning {
    /// Where.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: CacheProblem,
}

/// What is wrong with a part of a cache. With all but the last the repository is not listed, as in Python.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheProblem {
    /// A file lies where only folders of repositories do.
    #[error("is a file, among the folders of repositories")]
    NotAFolder,
    /// The folder's name is not that of a repository's.
    #[error("is not called like the folder of a repository")]
    NotARepository,
    /// The folder's name begins with something that is no kind of repository.
    #[error("is called like the folder of a repository, of the unknown kind {0:?}")]
    UnknownRepoType(String),
    /// There is no folder `snapshots`.
    #[error("does not exist, or is no folder")]
    NoSnapshots,
    /// `refs` is a file.
    #[error("is a file, and not the folder of references")]
    RefsIsAFile,
    /// A file lies among the folders of commits.
    #[error("is a file, among the folders of commits")]
    SnapshotIsAFile,
    /// The contents of a file are not there.
    #[error("is missing: a file of a snapshot links to it")]
    MissingBlob,
    /// References stand for commits of which there is no folder.
    #[error("has references to commits that are not there: {}", .0.join(", "))]
    DanglingRefs(Vec<String>),
    /// A folder of the repository is a link. Python follows it, and would delete what it leads to.
    #[error("is a link, where a folder has to be")]
    LinkedFolder,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A file of a snapshot links to somewhere outside the repository's blobs: it is never used, nor removed.
    #[error("is outside the repository's blobs, and a file of a snapshot links to it")]
    Foreign,
}

impl CachedRepo {
    /// The repository, if its folder is called like one that the Hub can have.
    #[must_use]
    pub fn repo(&self) -> Option<Repo> {
        Repo::from_folder_name(self.folder.file_name()?.to_str()?)
    }

    /// `model/org/name`: how commands name it.
    #[must_use]
    pub fn cache_id(&self) -> String {
        format!("{}/{}", self.repo_type.as_str(), self.id)
    }

    /// All references of all its revisions.
    #[must_use]
    pub fn refs(&self) -> BTreeSet<&str> {
        let refs = self.revisions.iter().flat_map(|revision| &revision.refs);
        refs.map(String::as_str).collect()
    }
}

impl CacheInfo {
    /// Bytes of the downloads that were cut off, or are under way.
    #[must_use]
    pub fn incomplete_size(&self) -> u64 {
        self.incomplete.iter().map(|file| file.size).sum()
    }
}

/// What operating systems leave in folders that were looked at.
const IGNORED: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

impl Cache {
    /// Looks through the whole cache. What is damaged is a warning, and the rest is listed.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read.
    pub fn scan(&self) -> Result<CacheInfo, HubError> {
        let mut info = CacheInfo {
            cache: self.clone(),
            size: 0,
            repos: Vec::new(),
            incomplete: Vec::new(),
            warnings: Vec::new(),
        };
        let store = self.shared_store();
        for folder in entries(&self.root).map_err(io_error(&self.root, "read"))? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if IGNORED.contains(&&*name) || name == ".locks" || name == "CACHEDIR.TAG" {
                continue;
            }
            info.incomplete.extend(incomplete_files(&folder));
            if Some(&folder) == store.as_ref() {
                continue;
            }
            match scan_repo(&folder, &name) {
                Ok(repo) => info.repos.push(repo),
                Err(warning) => info.warnings.push(warning),
            }
        }
        info.repos
            .sort_by(|a, b| (a.repo_type, &a.id).cmp(&(b.repo_type, &b.id)));
        info.incomplete.sort();
        info.warnings.extend(info.foreign());
        info.size = self.physical_size(&info.repos, store.is_some());
        Ok(info)
    }

    /// Bytes of all blobs and of all that repositories share, each once.
    fn physical_size(&self, repos: &[CachedRepo], has_store: bool) -> u64 {
        let files = repos.iter().flat_map(CachedRepo::files);
        let own = files.filter(|file| !has_store || self.shared_target(&file.blob).is_none());
        let mut blobs: BTreeSet<PathBuf> = own.map(|file| file.blob.clone()).collect();
        blobs.extend(self.shared_blobs());
        let sizes = blobs.iter().filter_map(|blob| blob.metadata().ok());
        sizes.map(|metadata| metadata.len()).sum()
    }
}

impl CacheInfo {
    /// Files whose contents are nowhere that this cache keeps any.
    fn foreign(&self) -> Vec<CacheWarning> {
        let mut found = BTreeSet::new();
        for repo in &self.repos {
            let snapshots = repo.folder.join("snapshots");
            let files = repo.files().filter(|file| !repo.owns(file));
            // A file of a snapshot may be another name of one.
            let files = files.filter(|file| !file.blob.starts_with(&snapshots));
            found.extend(files.map(|file| file.blob.clone()));
        }
        let warning = |path| CacheWarning {
            path,
            problem: CacheProblem::Foreign,
        };
        found.into_iter().map(warning).collect()
    }
}

impl CachedRepo {
    fn files(&self) -> impl Iterator<Item = &CachedFile> {
        self.revisions.iter().flat_map(|revision| &revision.files)
    }

    /// Whether the contents of `file` are a blob of this repository, or a copy in a snapshot.
    pub(super) fn owns(&self, file: &CachedFile) -> bool {
        file.blob == file.pointer || file.blob.parent() == Some(&self.folder.join("blobs"))
    }
}

/// What is in a folder, in order.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

fn incomplete_files(folder: &Path) -> Vec<IncompleteFile> {
    let blobs = folder.join("blobs");
    // Through a link it would be other people's files that pruning removes.
    if !blobs
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
    {
        return Vec::new();
    }
    let paths = entries(&blobs).unwrap_or_default().into_iter();
    let incomplete = |path: &PathBuf| path.as_os_str().to_string_lossy().ends_with(".incomplete");
    let measured = paths.filter(incomplete).filter_map(|path| {
        let size = path.metadata().ok()?.len();
        Some(IncompleteFile { path, size })
    });
    measured.collect()
}

fn scan_repo(folder: &Path, name: &str) -> Result<CachedRepo, CacheWarning> {
    let warn = |problem| warning(folder, problem);
    if !folder.is_dir() {
        return Err(warn(CacheProblem::NotAFolder));
    }
    let Some((plural, id)) = name.split_once("--") else {
        return Err(warn(CacheProblem::NotARepository));
    };
    let kinds = RepoType::ALL.into_iter();
    let Some(repo_type) = kinds.clone().find(|kind| kind.plural() == plural) else {
        return Err(warn(CacheProblem::UnknownRepoType(plural.to_owned())));
    };
    for part in ["blobs", "refs", "snapshots"] {
        let part = folder.join(part);
        if is_link(&part) {
            return Err(warning(&part, CacheProblem::LinkedFolder));
        }
    }
    let snapshots = folder.join("snapshots");
    if !snapshots.is_dir() {
        return Err(warning(&snapshots, CacheProblem::NoSnapshots));
    }
    let mut refs = scan_refs(&folder.join("refs"))?;
    let mut blobs = BTreeMap::new();
    let mut revisions = Vec::new();
    for revision in entries(&snapshots).map_err(|error| unreadable(&snapshots, &error))? {
        let commit = revision.file_name().unwrap_or_default().to_string_lossy();
        if IGNORED.contains(&&*commit) {
            continue;
        }
        let refs = refs.remove(&*commit).unwrap_or_default();
        revisions.push(scan_revision(&revision, &commit, refs, &mut blobs)?);
    }
    if !refs.is_empty() {
        let dangling = refs.into_iter().flat_map(|(commit, names)| {
            let commit: String = commit.chars().take(60).collect();
            names
                .into_iter()
                .map(move |name| format!("{name} is {commit:?}"))
        });
        return Err(warn(CacheProblem::DanglingRefs(dangling.collect())));
    }
    let own = || {
        folder
            .metadata()
            .map_err(|error| unreadable(folder, &error))
    };
    let (last_accessed, last_modified) = match newest(blobs.values()) {
        Some(times) => times,
        None => times(&own()?),
    };
    Ok(CachedRepo {
        repo_type,
        id: id.replace("--", "/"),
        folder: folder.to_owned(),
        size: blobs.values().map(Metadata::len).sum(),
        blobs: blobs.len(),
        revisions,
        last_accessed,
        last_modified,
    })
}

/// Which references stand for which commit.
fn scan_refs(folder: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, CacheWarning> {
    let mut by_commit: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if !folder.exists() {
        return Ok(by_commit);
    }
    if !folder.is_dir() {
        return Err(warning(folder, CacheProblem::RefsIsAFile));
    }
    for path in walk(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if IGNORED.contains(&&*name) {
            continue;
        }
        // Far more than the 40 bytes of a commit; what is longer is none.
        let bytes = file::read_limited(&path, 4096).map_err(|error| unreadable(&path, &error))?;
        let commit = String::from_utf8_lossy(&bytes).into_owned();
        by_commit
            .entry(commit)
            .or_default()
            .insert(relative(&path, folder));
    }
    Ok(by_commit)
}

fn scan_revision(
    folder: &Path,
    commit: &str,
    refs: BTreeSet<String>,
    blobs: &mut BTreeMap<PathBuf, Metadata>,
) -> Result<CachedRevision, CacheWarning> {
    if is_link(folder) {
        return Err(warning(folder, CacheProblem::LinkedFolder));
    }
    if folder.is_file() {
        return Err(warning(folder, CacheProblem::SnapshotIsAFile));
    }
    let mut files = Vec::new();
    let mut own = BTreeMap::new();
    for pointer in walk(folder) {
        // The first link only: the repository's blob may itself be a link to a shared one, and it is the blob that
        // goes when the file does.
        let blob = match fs::read_link(&pointer) {
            Ok(target) => shared::normalise(&pointer.parent().unwrap_or(folder).join(target)),
            Err(_) => pointer.clone(),
        };
        let metadata = match blobs.get(&blob) {
            Some(metadata) => metadata.clone(),
            None => match blob.metadata() {
                Ok(metadata) => metadata,
                Err(_) => return Err(warning(&blob, CacheProblem::MissingBlob)),
            },
        };
        let (last_accessed, last_modified) = times(&metadata);
        files.push(CachedFile {
            path: relative(&pointer, folder),
            size: metadata.len(),
            last_accessed,
            last_modified,
            blob: blob.clone(),
            pointer,
        });
        blobs.insert(blob.clone(), metadata.clone());
        own.insert(blob, metadata);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let last_modified = match newest(own.values()) {
        Some((_, modified)) => modified,
        None => {
            let metadata = folder
                .metadata()
                .map_err(|error| unreadable(folder, &error))?;
            times(&metadata).1
        }
    };
    Ok(CachedRevision {
        commit: commit.to_owned(),
        folder: folder.to_owned(),
        size: own.values().map(Metadata::len).sum(),
        files,
        refs,
        last_modified,
    })
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
}

/// All below `root` that is no folder and no link to one. Folders that are links are not entered, those that cannot be
/// read are passed over, as by Python's `glob("**/*")`.
pub(super) fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_symlink() && path.is_dir() => {}
                _ => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// `path` below `root`, with `/` on every system.
pub(super) fn relative(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// When a file was last read and last written; the beginning of 1970 where the system does not say.
fn times(metadata: &Metadata) -> (SystemTime, SystemTime) {
    let unknown = SystemTime::UNIX_EPOCH;
    let modified = metadata.modified().unwrap_or(unknown);
    (metadata.accessed().unwrap_or(modified), modified)
}

fn newest<'a>(files: impl Iterator<Item = &'a Metadata>) -> Option<(SystemTime, SystemTime)> {
    files.map(times).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
}

fn warning(path: &Path, problem: CacheProblem) -> CacheWarning {
    let path = path.to_owned();
    CacheWarning { path, problem }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CacheWarning {
    warning(path, CacheProblem::Unreadable(error.to_string()))
}
