//! `hfcore.lock`: which commit of which repository a program was tested with, and every file's size and hash, so that a
//! deployment runs these bytes or none. One JSON object, in an order that does not change, for version control:
//!
//! ```json
//! {
//!   "version": 1,
//!   "repositories": [
//!     {
//!       "type": "model",
//!       "id": "org/name",
//!       "revision": "main",
//!       "commit": "0123456789abcdef0123456789abcdef01234567",
//!       "files": [
//!         { "path": "config.json", "size": 2, "git-sha1": "9e26dfeeb6e641a33dae4961196235bdb965b21b" }
//!       ]
//!     }
//!   ]
//! }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hfcore_weights::RelPath;
use serde::{Deserialize, Serialize};

use crate::cache::{
    ExpectedFile, OnProgress, VerifyProgress, file, files_of, io_error, promised_by_name,
    verify_folder,
};
use crate::error::HubError;
use crate::hash::{self, ContentHash, HashKind};
use crate::repo::{Commit, Repo, RepoId, RepoType, Revision};

/// How a lock file is called by default.
pub const LOCK_FILE_NAME: &str = "hfcore.lock";
/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// A lock file: what repositories are pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    path: PathBuf,
    repos: BTreeMap<(Repo, Revision), LockedRepo>,
}

/// What one revision of one repository is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockedRepo {
    /// The repository.
    pub repo: Repo,
    /// What was asked for.
    pub revision: Revision,
    /// The commit that it stood for: the one to use.
    pub commit: Commit,
    /// The files that may be used.
    pub files: BTreeMap<RelPath, LockedFile>,
}

/// What a file is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile {
    /// Bytes.
    pub size: u64,
    /// Their hash.
    pub hash: ContentHash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockJson {
    version: u32,
    repositories: Vec<RepoJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepoJson {
    #[serde(rename = "type")]
    repo_type: String,
    id: String,
    revision: String,
    commit: String,
    files: Vec<FileJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    path: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(rename = "git-sha1", skip_serializing_if = "Option::is_none")]
    git_sha1: Option<String>,
}

impl LockFile {
    /// An empty one, to be written to `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            repos: BTreeMap::new(),
        }
    }

    /// Reads the lock file at `path`.
    ///
    /// # Errors
    /// [`HubError::Io`] if there is none or it cannot be read; [`HubError::BadLockFile`] if it is none, is of another
    /// version, or says anything twice or anything else than it should.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, HubError> {
        let path = path.into();
        let mut bytes = Vec::new();
        let opened = file::open_following(&path).map_err(io_error(&path, "opened"))?;
        let read = opened.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(io_error(&path, "read"))?;
        let bad = |why: String| HubError::BadLockFile {
            lock_file: path.clone(),
            why,
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(bad(format!("it has more than {MAX_BYTES} bytes")));
        }
        // The version first: another one may look different.
        let version: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        match &version["version"] {
            version if version.as_u64() == Some(u64::from(VERSION)) => {}
            other => {
                return Err(bad(format!(
                    "its version is {other}, and {VERSION} is known"
                )));
            }
        }
        let json: LockJson =
            serde_json::from_value(version).map_err(|error| bad(error.to_string()))?;
        let mut repos = BTreeMap::new();
        for repo in json.repositories {
            let locked = LockedRepo::from_json(repo).map_err(&bad)?;
            let key = (locked.repo.clone(), locked.revision.clone());
            let twice = format!("{}@{} is in it twice", locked.repo, locked.revision);
            if repos.insert(key, locked).is_some() {
                return Err(bad(twice));
            }
        }
        Ok(Self { path, repos })
    }

    /// The same, or an empty one if there is no file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_or_new(path: impl Into<PathBuf>) -> Result<Self, HubError> {
        let path = path.into();
        match path.metadata() {
            Err(error) if file::is_missing(&error) => Ok(Self::new(path)),
            _ => Self::read(path),
        }
    }

    /// Writes it: the file is the old one or the new one at any time.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Result<(), HubError> {
        let repositories = self.repos.values().map(LockedRepo::to_json).collect();
        let json = LockJson {
            version: VERSION,
            repositories,
        };
        let mut text = serde_json::to_vec_pretty(&json)
            .map_err(|error| io_error(&self.path, "written")(error.into()))?;
        text.push(b'\n');
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = format!(".{name}.{}.tmp", file::unique());
        let temporary = self.path.with_file_name(temporary);
        let written =
            file::write_new(&temporary, &text).and_then(|()| fs::rename(&temporary, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error(&self.path, "written")(error)
        })?;
        if let Some(folder) = self.path.parent() {
            file::sync_folder(folder);
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that it pins, by repository and revision.
    pub fn repos(&self) -> impl Iterator<Item = &LockedRepo> {
        self.repos.values()
    }

    /// What `revision` of `repo` is pinned to, if it is.
    #[must_use]
    pub fn entry(&self, repo: &Repo, revision: &Revision) -> Option<&LockedRepo> {
        let by_name = self.repos.get(&(repo.clone(), revision.clone()));
        let commit = revision.as_commit();
        by_name.or_else(|| {
            // Who asks for the commit itself asks for what is pinned.
            let pins = |locked: &&LockedRepo| {
                locked.repo == *repo && Some(&locked.commit) == commit.as_ref()
            };
            self.repos.values().find(pins)
        })
    }

    /// What `revision` of `repo` is pinned to: its commit is the one to use, whatever the revision stands for now.
    ///
    /// # Errors
    /// [`HubError::Locked`] if nothing is known about it.
    pub fn require(&self, repo: &Repo, revision: &Revision) -> Result<&LockedRepo, HubError> {
        self.entry(repo, revision).ok_or_else(|| {
            let known = self.repos.values().filter(|locked| locked.repo == *repo);
            let known: Vec<&str> = known.map(|locked| locked.revision.as_str()).collect();
            let why = if known.is_empty() {
                "it does not have the repository".to_owned()
            } else {
                format!(
                    "it has revision {}, and not {revision}",
                    known.join(" and ")
                )
            };
            self.locked(repo, why)
        })
    }

    /// Pins a revision of a repository. Files of the same commit are added to those that are known; another commit takes
    /// the place of the one that was pinned.
    ///
    /// # Errors
    /// [`HubError::Locked`] if a file of that commit was pinned to other bytes: a commit never changes.
    pub fn insert(&mut self, new: LockedRepo) -> Result<(), HubError> {
        let key = (new.repo.clone(), new.revision.clone());
        match self.repos.get(&key) {
            Some(old) if old.commit == new.commit => {
                for (path, file) in &new.files {
                    if let Some(known) = old.files.get(path)
                        && known.differs(file)
                    {
                        return Err(self.locked(&new.repo, known.difference(path, file)));
                    }
                }
            }
            _ => {
                self.repos.insert(key, new);
                return Ok(());
            }
        }
        if let Some(old) = self.repos.get_mut(&key) {
            for (path, file) in new.files {
                old.files.entry(path).or_insert(file);
            }
        }
        Ok(())
    }

    /// Takes a revision of a repository out.
    pub fn remove(&mut self, repo: &Repo, revision: &Revision) -> Option<LockedRepo> {
        self.repos.remove(&(repo.clone(), revision.clone()))
    }

    /// What the file `path` of `locked`, which is of this lock file, has to be.
    ///
    /// # Errors
    /// [`HubError::Locked`] if it is not pinned: then it must not be used.
    pub fn expected<'a>(
        &self,
        locked: &'a LockedRepo,
        path: &RelPath,
    ) -> Result<&'a LockedFile, HubError> {
        let file = locked.files.get(path);
        file.ok_or_else(|| self.locked(&locked.repo, format!("{path} is not in it")))
    }

    /// Compares one file that is to be used with what it has to be.
    ///
    /// # Errors
    /// [`HubError::Locked`] if it is not pinned, or is something else.
    pub fn check_file(
        &self,
        locked: &LockedRepo,
        path: &RelPath,
        found: &LockedFile,
    ) -> Result<(), HubError> {
        let expected = self.expected(locked, path)?;
        if expected.differs(found) {
            return Err(self.locked(&locked.repo, expected.difference(path, found)));
        }
        Ok(())
    }

    /// Reads the files of a snapshot or another folder, and compares them with what they have to be. Files that are not
    /// pinned do no harm, for they may not be used.
    ///
    /// # Errors
    /// [`HubError::Locked`] names the files that are missing or something else; [`HubError::Io`] if one cannot be read;
    /// [`HubError::Argument`] if `on_progress` stopped it.
    pub fn check(
        &self,
        locked: &LockedRepo,
        folder: &Path,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<(), HubError> {
        let files = locked.files.iter();
        let expected = files
            .map(|(path, file)| (path.clone(), file.to_expected()))
            .collect();
        let report = verify_folder(folder, &expected, on_progress)?;
        let missing = report
            .missing
            .iter()
            .map(|path| format!("{path} is missing"));
        let mismatched = report.mismatched.iter().map(|file| {
            format!(
                "{} is to be {} and is {}",
                file.path, file.expected, file.found
            )
        });
        let wrong: Vec<String> = mismatched.chain(missing).collect();
        if !wrong.is_empty() {
            return Err(self.locked(&locked.repo, wrong.join(", ")));
        }
        if report.stopped {
            return Err(HubError::Argument {
                what: "the check against the lock file".to_owned(),
                why: "it was stopped".to_owned(),
            });
        }
        Ok(())
    }

    /// A [`HubError::Locked`] of this lock file.
    #[must_use]
    pub fn locked(&self, repo: &Repo, why: String) -> HubError {
        HubError::Locked {
            lock_file: self.path.clone(),
            repo: repo.clone(),
            why,
        }
    }
}

impl LockedFile {
    /// What the file has to be.
    #[must_use]
    pub fn to_expected(&self) -> ExpectedFile {
        ExpectedFile {
            size: Some(self.size),
            hash: Some(self.hash.clone()),
        }
    }

    /// Hashes of two kinds cannot be compared: such files differ.
    fn differs(&self, other: &Self) -> bool {
        self != other
    }

    fn difference(&self, path: &RelPath, found: &Self) -> String {
        let describe = |file: &Self| format!("{} bytes with {}", file.size, file.hash);
        format!(
            "{path} is to be {} and is {}",
            describe(self),
            describe(found)
        )
    }
}

impl LockedRepo {
    /// Pins `revision` of `repo`, which stands for `commit`, to these files.
    #[must_use]
    pub const fn new(
        repo: Repo,
        revision: Revision,
        commit: Commit,
        files: BTreeMap<RelPath, LockedFile>,
    ) -> Self {
        Self {
            repo,
            revision,
            commit,
            files,
        }
    }

    /// Pins them to the files of a snapshot or another folder, which are read. The hash is the one that the Hub names the
    /// file by where the folder shows that, else SHA-256.
    ///
    /// # Errors
    /// If a file cannot be read, has a name that no file of a repository has, or `on_progress` stopped it.
    pub fn of_folder(
        repo: Repo,
        revision: Revision,
        commit: Commit,
        folder: &Path,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Self, HubError> {
        let mut files = BTreeMap::new();
        for name in files_of(folder) {
            let path = RelPath::parse(&name)?;
            let file = path.join_to(folder);
            if on_progress(&VerifyProgress::new(&file, 0)) == ControlFlow::Break(()) {
                return Err(HubError::Argument {
                    what: folder.display().to_string(),
                    why: "its check was stopped".to_owned(),
                });
            }
            let kind = promised_by_name(&file).map_or(HashKind::Sha256, |hash| hash.kind());
            let mut read = 0;
            let (hash, size) = hash::hash_file(&file, kind, &mut |bytes| {
                read += bytes;
                // Heeded before the next file.
                let _ = on_progress(&VerifyProgress::new(&file, read));
            })?;
            files.insert(path, LockedFile { size, hash });
        }
        Ok(Self::new(repo, revision, commit, files))
    }

    fn to_json(&self) -> RepoJson {
        let hash = |file: &LockedFile, kind| {
            (file.hash.kind() == kind).then(|| file.hash.hex().to_owned())
        };
        let files = self.files.iter().map(|(path, file)| FileJson {
            path: path.to_string(),
            size: file.size,
            sha256: hash(file, HashKind::Sha256),
            git_sha1: hash(file, HashKind::GitSha1),
        });
        RepoJson {
            repo_type: self.repo.repo_type().as_str().to_owned(),
            id: self.repo.id().to_string(),
            revision: self.revision.to_string(),
            commit: self.commit.to_string(),
            files: files.collect(),
        }
    }

    fn from_json(json: RepoJson) -> Result<Self, String> {
        let kinds = RepoType::ALL.into_iter();
        let repo_type = kinds.clone().find(|kind| kind.as_str() == json.repo_type);
        let Some(repo_type) = repo_type else {
            return Err(format!("{:?} is no kind of repository", json.repo_type));
        };
        let id = RepoId::parse(&json.id).map_err(|error| error.to_string())?;
        let revision = Revision::parse(&json.revision).map_err(|error| error.to_string())?;
        let commit = Commit::parse(&json.commit).map_err(|error| error.to_string())?;
        let mut files = BTreeMap::new();
        for file in json.files {
            let path = RelPath::parse(&file.path).map_err(|error| error.to_string())?;
            let twice = format!("{path} of {id} is in it twice");
            let hash = match (&file.sha256, &file.git_sha1) {
                (Some(hex), None) => ContentHash::parse(HashKind::Sha256, hex),
                (None, Some(hex)) => ContentHash::parse(HashKind::GitSha1, hex),
                _ => None,
            };
            let Some(hash) = hash else {
                return Err(format!(
                    "{path} of {id} has one hash: a sha256 of 64 or a git-sha1 of 40 hexadecimal digits"
                ));
            };
            let size = file.size;
            if files.insert(path, LockedFile { size, hash }).is_some() {
                return Err(twice);
            }
        }
        let repo = Repo::new(repo_type, id);
        Ok(Self::new(repo, revision, commit, files))
    }
}
