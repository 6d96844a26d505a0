//! Are the bytes in the cache those that the Hub promised? Every blob is read again and compared with the hash that is
//! its name; a snapshot or a folder with the hashes of its files (`utils/_verification.py`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;

use super::scan::{relative, walk};
use super::{Cache, ETag, ListedFile, Lookup, RepoCache, file, io_error};
use crate::error::HubError;
use crate::hash::{self, ContentHash, HashKind};
use crate::repo::{Commit, Repo};

/// What a file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedFile {
    /// How many bytes, if that is known.
    pub size: Option<u64>,
    /// Their hash, if it is known.
    pub hash: Option<ContentHash>,
}

/// How far a check is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct VerifyProgress<'a> {
    /// The file that is read.
    pub path: &'a Path,
    /// How many of its bytes have been read: 0 before the first.
    pub read: u64,
}

impl<'a> VerifyProgress<'a> {
    pub(crate) const fn new(path: &'a Path, read: u64) -> Self {
        Self { path, read }
    }
}

/// Told about progress; what it answers is heeded between files: `Break` ends the check there.
pub type OnProgress<'a> = dyn FnMut(&VerifyProgress<'_>) -> ControlFlow<()> + 'a;

/// A file that is not what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// Its path, in the repository.
    pub path: String,
    /// `sha256 …`, `git-sha1 …`, `N bytes`.
    pub expected: String,
    /// The same of what is there, or what is there instead.
    pub found: String,
}

/// What the comparison of a folder with what its files are to be has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The folder.
    pub folder: PathBuf,
    /// How many files are what they are to be.
    pub matching: usize,
    /// Files that are not.
    pub mismatched: Vec<Mismatch>,
    /// Files that are not there.
    pub missing: Vec<String>,
    /// Files that nothing is known about: they should not be there.
    pub extra: Vec<String>,
    /// Files whose hash nothing says: their size is right, if that is known.
    pub unknown: Vec<String>,
    /// The callback stopped it.
    pub stopped: bool,
}

/// A blob whose bytes do not have the hash that is its name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedBlob {
    /// The repository's folder's name.
    pub repo: String,
    /// The blob.
    pub path: PathBuf,
    /// `sha256 …` or `git-sha1 …`.
    pub expected: String,
    /// The same of what is there, or what is there instead.
    pub found: String,
}

/// What reading all blobs has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobVerification {
    /// How many blobs have the hash that is their name.
    pub matching: usize,
    /// Blobs that have not.
    pub damaged: Vec<DamagedBlob>,
    /// Blobs whose name is no hash.
    pub unknown: Vec<PathBuf>,
    /// The callback stopped it.
    pub stopped: bool,
}

impl Verification {
    /// Whether everything that is to be there is, as it is to be. More files do no harm.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.mismatched.is_empty() && self.missing.is_empty() && !self.stopped
    }
}

impl ListedFile {
    /// What the contents of the file are to be.
    #[must_use]
    pub fn expected(&self) -> ExpectedFile {
        match &self.lfs_sha256 {
            Some(sha256) => ExpectedFile {
                size: self.lfs_size.or(Some(self.size)),
                hash: ContentHash::parse(HashKind::Sha256, sha256),
            },
            None => ExpectedFile {
                size: Some(self.size),
                hash: ContentHash::parse(HashKind::GitSha1, &self.blob_id),
            },
        }
    }
}

impl RepoCache {
    /// Compares the snapshot of `commit` with what its files are to be: with `expected`, from the Hub or a lock file; or,
    /// without that, with what the cache itself says: the listing of the commit, the names of blobs. Then no file is
    /// missing or too many.
    ///
    /// # Errors
    /// If there is no snapshot, or a file cannot be read.
    pub fn verify(
        &self,
        commit: &Commit,
        expected: Option<&BTreeMap<RelPath, ExpectedFile>>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Verification, HubError> {
        let folder = self.snapshot(commit);
        if !folder.is_dir() {
            return Err(HubError::NotCached {
                repo: self.repo.clone(),
                revision: commit.clone().into(),
                path: "snapshot".to_owned(),
                cache: self.cache.root.clone(),
                remedy: "download it first",
                source: None,
            });
        }
        let own;
        let expected = match expected {
            Some(expected) => expected,
            None => {
                own = self.promised(commit, &folder);
                &own
            }
        };
        // A link that leads out of the cache is no file of it, whatever is there.
        let is_inside = |path: &RelPath| match self.lookup(commit, path) {
            Err(HubError::CacheDamaged { why, .. }) => Err(why),
            Err(error) => Err(error.chain()),
            Ok(Lookup::Found(_) | Lookup::Absent | Lookup::Unknown) => Ok(()),
        };
        compare(&folder, expected, &is_inside, on_progress)
    }

    /// What the cache itself says of the files that it has.
    fn promised(&self, commit: &Commit, folder: &Path) -> BTreeMap<RelPath, ExpectedFile> {
        let listing = self.read_listing(commit).unwrap_or_default();
        let mut promised = BTreeMap::new();
        for pointer in walk(folder) {
            let Ok(path) = RelPath::parse(&relative(&pointer, folder)) else {
                continue;
            };
            let expected = match listing.get(&path) {
                Some(listed) => listed.expected(),
                None => ExpectedFile {
                    size: None,
                    hash: promised_by_name(&pointer),
                },
            };
            promised.insert(path, expected);
        }
        promised
    }

    /// Reads every blob of the repository again.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn verify_blobs(
        &self,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<BlobVerification, HubError> {
        let mut report = BlobVerification::default();
        let folder = self.repo.folder_name();
        verify_blobs_of(&self.cache, &folder, &mut report, on_progress)?;
        Ok(report)
    }
}

impl Cache {
    /// Reads every blob of every repository again.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn verify_blobs(
        &self,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<BlobVerification, HubError> {
        let mut report = BlobVerification::default();
        let entries = fs::read_dir(&self.root).map_err(io_error(&self.root, "read"))?;
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        for name in names
            .iter()
            .filter(|name| Repo::from_folder_name(name).is_some())
        {
            verify_blobs_of(self, name, &mut report, on_progress)?;
            if report.stopped {
                break;
            }
        }
        Ok(report)
    }
}

impl DamagedBlob {
    /// Takes the blob out of use: what links to it is then as if it had not been downloaded. The bytes are kept under a
    /// name that nothing reads and that pruning removes; of a shared blob it is the link that goes.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn set_aside(&self) -> Result<(), HubError> {
        let is_link = self
            .path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink());
        let done = if is_link {
            fs::remove_file(&self.path)
        } else {
            let name = self.path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{name}.{}.corrupt.incomplete", file::unique());
            fs::rename(&self.path, self.path.with_file_name(name))
        };
        done.map_err(io_error(&self.path, "set aside"))
    }
}

fn verify_blobs_of(
    cache: &Cache,
    folder: &str,
    report: &mut BlobVerification,
    on_progress: &mut OnProgress<'_>,
) -> Result<(), HubError> {
    let blobs = cache.root.join(folder).join("blobs");
    // Where the folder is a link they are no blobs of this cache, and nothing may be renamed there.
    if !blobs
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
    {
        return Ok(());
    }
    let entries = fs::read_dir(&blobs).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Temporary files have names that no etag has.
        let Ok(etag) = ETag::parse(&name) else {
            continue;
        };
        let Some(expected) = etag.hash() else {
            report.unknown.push(path);
            continue;
        };
        if on_progress(&VerifyProgress::new(&path, 0)).is_break() {
            report.stopped = true;
            return Ok(());
        }
        let is_link = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink());
        let found = if is_link && cache.shared_target(&path).is_none() {
            "a link to nothing, or out of the cache".to_owned()
        } else {
            match hash_of(&path, expected.kind(), on_progress) {
                Ok((found, _)) if found == expected => {
                    report.matching += 1;
                    continue;
                }
                Ok((found, _)) => found.to_string(),
                Err(error) => match no_contents(&error) {
                    Some(found) => found,
                    None => return Err(error),
                },
            }
        };
        report.damaged.push(DamagedBlob {
            repo: folder.to_owned(),
            path,
            expected: expected.to_string(),
            found,
        });
    }
    Ok(())
}

/// Compares the files of a folder, which is no part of a cache, with what they are to be. What Git and downloads keep
/// there for themselves does not count.
///
/// # Errors
/// If a file cannot be read.
pub fn verify_folder(
    folder: &Path,
    expected: &BTreeMap<RelPath, ExpectedFile>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Verification, HubError> {
    compare(folder, expected, &|_| Ok(()), on_progress)
}

fn compare(
    folder: &Path,
    expected: &BTreeMap<RelPath, ExpectedFile>,
    is_inside: &dyn Fn(&RelPath) -> Result<(), String>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Verification, HubError> {
    let mut report = Verification {
        folder: folder.to_owned(),
        extra: files_of(folder),
        ..Verification::default()
    };
    report
        .extra
        .retain(|path| !RelPath::parse(path).is_ok_and(|path| expected.contains_key(&path)));
    for (path, expected) in expected {
        let file = path.join_to(folder);
        if on_progress(&VerifyProgress::new(&file, 0)).is_break() {
            report.stopped = true;
            return Ok(report);
        }
        if let Err(found) = is_inside(path) {
            report.mismatch(path, described(expected), found);
            continue;
        }
        match compare_file(&file, expected, on_progress) {
            Ok(None) if expected.hash.is_some() => report.matching += 1,
            Ok(None) => report.unknown.push(path.to_string()),
            Ok(Some((expected, found))) => report.mismatch(path, expected, found),
            Err(HubError::Io { source, .. }) if file::is_missing(&source) => {
                report.missing.push(path.to_string());
            }
            Err(error) => match no_contents(&error) {
                Some(found) => report.mismatch(path, described(expected), found),
                None => return Err(error),
            },
        }
    }
    Ok(report)
}

impl Verification {
    fn mismatch(&mut self, path: &RelPath, expected: String, found: String) {
        self.mismatched.push(Mismatch {
            path: path.to_string(),
            expected,
            found,
        });
    }
}

/// What `file` is to be and what it is, where that differs.
fn compare_file(
    file: &Path,
    expected: &ExpectedFile,
    on_progress: &mut OnProgress<'_>,
) -> Result<Option<(String, String)>, HubError> {
    let len = file::open_following(file)
        .and_then(|file| Ok(file.metadata()?.len()))
        .map_err(io_error(file, "opened"))?;
    if let Some(size) = expected.size
        && size != len
    {
        return Ok(Some((format!("{size} bytes"), format!("{len} bytes"))));
    }
    let Some(hash) = &expected.hash else {
        return Ok(None);
    };
    let (found, _) = hash_of(file, hash.kind(), on_progress)?;
    Ok((found != *hash).then(|| (hash.to_string(), found.to_string())))
}

fn hash_of(
    path: &Path,
    kind: HashKind,
    on_progress: &mut OnProgress<'_>,
) -> Result<(ContentHash, u64), HubError> {
    let mut read = 0;
    hash::hash_file(path, kind, &mut |bytes| {
        read += bytes;
        // Heeded before the next file.
        let _ = on_progress(&VerifyProgress::new(path, read));
    })
}

/// The files of a folder, as paths of a repository.
pub(crate) fn files_of(folder: &Path) -> Vec<String> {
    let paths = walk(folder).into_iter().map(|path| relative(&path, folder));
    let own = |path: &String| {
        let path = format!("/{path}");
        path.contains("/.git/") || path.contains("/.cache/huggingface/")
    };
    paths.filter(|path| !own(path)).collect()
}

/// The hash that the name of the blob promises to which `pointer` links.
pub(crate) fn promised_by_name(pointer: &Path) -> Option<ContentHash> {
    let target = fs::read_link(pointer).ok()?;
    ETag::parse(target.file_name()?.to_str()?).ok()?.hash()
}

fn described(expected: &ExpectedFile) -> String {
    match (&expected.hash, expected.size) {
        (Some(hash), _) => hash.to_string(),
        (None, Some(size)) => format!("{size} bytes"),
        (None, None) => "a file".to_owned(),
    }
}

/// What is there, where it is no file that has contents. Other errors are about reading it.
fn no_contents(error: &HubError) -> Option<String> {
    match error {
        HubError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            Some(source.to_string())
        }
        _ => None,
    }
}
