//! A folder, or a file, becomes a commit.

use std::collections::HashSet;
use std::path::Path;

use hfcore_weights::RelPath;

use super::commit::{CommitInfo, Draft};
use super::content::{Addition, Content, UploadMode, hash_of};
use super::folder::{self, Choice};
use super::note::UploadNote;
use super::operation::{CommitOperation, CommitOptions};
use crate::error::HubError;
use crate::fnmatch::Patterns;
use crate::hash::HashKind;
use crate::hub::Hub;
use crate::repo::Repo;

/// What of a folder is uploaded, and to where.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UploadOptions {
    /// The commit.
    pub commit: CommitOptions,
    /// The folder in the repository. Default: its root.
    pub path_in_repo: Option<RelPath>,
    /// Only files that match one of these patterns ([`Patterns`]), which see paths in the folder. Default: all.
    pub allow: Option<Vec<String>>,
    /// No files that match one of these.
    pub ignore: Vec<String>,
    /// Files of the repository, below [`path_in_repo`](Self::path_in_repo), that match one of these and are not uploaded
    /// are deleted by the same commit. `.gitattributes` stays.
    pub delete: Vec<String>,
    /// Whether files are uploaded to which a link leads out of the folder, as in the cache.
    pub follow_links: bool,
    /// A card (`README.md`) for a repository that has none, from a folder that has none.
    pub card: Option<String>,
}

impl UploadOptions {
    /// As this commit.
    #[must_use]
    pub fn with_commit(mut self, commit: CommitOptions) -> Self {
        self.commit = commit;
        self
    }

    /// To this folder of the repository.
    #[must_use]
    pub fn with_path_in_repo(mut self, path: RelPath) -> Self {
        self.path_in_repo = Some(path);
        self
    }

    /// Only files that match one of these patterns.
    #[must_use]
    pub fn with_allow<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        let allow = self.allow.get_or_insert_default();
        allow.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// No files that match one of these patterns.
    #[must_use]
    pub fn with_ignore<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.ignore.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Deletes files of the repository that match one of these patterns and are not uploaded.
    #[must_use]
    pub fn with_delete<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.delete.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Uploads files to which a link leads out of the folder, too.
    #[must_use]
    pub const fn with_follow_links(mut self, follow_links: bool) -> Self {
        self.follow_links = follow_links;
        self
    }

    /// Adds this card if there is none.
    #[must_use]
    pub fn with_card(mut self, card: impl Into<String>) -> Self {
        self.card = Some(card.into());
        self
    }
}

/// What an upload would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadPlan {
    /// The files, in the order in which the commit would name them.
    pub files: Vec<PlannedFile>,
    /// What it would delete.
    pub deleted: Vec<RelPath>,
    /// What the author should know.
    pub notes: Vec<UploadNote>,
}

/// A file of an [`UploadPlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFile {
    /// In the repository.
    pub path: RelPath,
    /// In bytes.
    pub size: u64,
    /// How the Hub wants it. Nothing if there is no such repository yet.
    pub mode: Option<UploadMode>,
    /// What would become of it.
    pub status: FileStatus,
}

/// How a file stands to the one of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileStatus {
    /// There is none.
    New,
    /// It would be replaced.
    Changed,
    /// It is the same, and would not be uploaded.
    Unchanged,
    /// Left out because of a `.gitignore`.
    GitIgnored,
}

impl Hub {
    /// Uploads the files below `folder` to a repository that exists, as one commit.
    ///
    /// What git, the Hub's clients and macOS keep for themselves (`.git`, `.cache/huggingface`, `.DS_Store`) and unfinished
    /// downloads (`*.incomplete`) are left out, and so is what the repository has already. If it breaks off, nothing is
    /// committed; the large files that were finished are not sent again the next time.
    ///
    /// # Errors
    /// As [`create_commit`](Self::create_commit); and if the folder cannot be read, or has a link that leads out of it.
    pub fn upload_folder(
        &self,
        folder: &Path,
        repo: &Repo,
        options: &UploadOptions,
    ) -> Result<CommitInfo, HubError> {
        let commit = named(&options.commit, || "Upload folder using hfcore".to_owned());
        let (mut draft, _) = draft(self, folder, repo, options, &commit)?;
        draft.ask()?;
        draft.commit()
    }

    /// Refuses what no server needs to be asked to refuse: a file that cannot be published, or holds an access token. For
    /// callers that make the repository only if there is something to put into it.
    ///
    /// # Errors
    /// As [`upload_folder`](Self::upload_folder), as far as they are about the folder.
    pub fn check_folder(
        &self,
        folder: &Path,
        repo: &Repo,
        options: &UploadOptions,
    ) -> Result<(), HubError> {
        let local = UploadOptions {
            delete: Vec::new(),
            ..options.clone()
        };
        draft(self, folder, repo, &local, &local.commit).map(|_| ())
    }

    /// What [`upload_folder`](Self::upload_folder) would do: the folder is looked through and the Hub asked about each file,
    /// and nothing is changed. A repository that does not exist yet is taken for an empty one.
    ///
    /// # Errors
    /// As [`upload_folder`](Self::upload_folder), but for what only the commit itself can fail with.
    pub fn plan_upload(
        &self,
        folder: &Path,
        repo: &Repo,
        options: &UploadOptions,
    ) -> Result<UploadPlan, HubError> {
        let (mut draft, deleted) = draft(self, folder, repo, options, &options.commit)?;
        match draft.ask() {
            Ok(()) | Err(HubError::RepositoryNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let files = draft.additions.iter().map(plan);
        Ok(UploadPlan {
            files: files.collect::<Result<_, _>>()?,
            deleted,
            notes: draft.notes,
        })
    }

    /// Uploads one file to a repository that exists.
    ///
    /// # Errors
    /// As [`create_commit`](Self::create_commit).
    pub fn upload_file(
        &self,
        file: &Path,
        path: &RelPath,
        repo: &Repo,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HubError> {
        let commit = named(options, || format!("Upload {path} with hfcore"));
        let operation = CommitOperation::add(path.clone(), Content::File(file.to_owned()));
        self.create_commit(repo, vec![operation], &commit)
    }
}

fn named(options: &CommitOptions, message: impl FnOnce() -> String) -> CommitOptions {
    let mut options = options.clone();
    options.message.get_or_insert_with(message);
    options
}

fn draft<'a>(
    hub: &'a Hub,
    folder: &Path,
    repo: &'a Repo,
    options: &UploadOptions,
    commit: &'a CommitOptions,
) -> Result<(Draft<'a>, Vec<RelPath>), HubError> {
    const CARD: &str = "README.md";
    commit.check()?;
    let choice = Choice {
        allow: options.allow.clone(),
        ignore: options.ignore.clone(),
        follow_links: options.follow_links,
    };
    let (files, notes) = folder::list(folder, &choice)?;
    let mut added = HashSet::new();
    let mut additions = Vec::new();
    for file in files {
        let path = match &options.path_in_repo {
            Some(prefix) => RelPath::parse(&format!("{prefix}/{}", file.path))?,
            None => file.path,
        };
        added.insert(path.clone());
        additions.push(CommitOperation::add(path, Content::File(file.file)));
    }
    let deleted = deletions(hub, repo, options, &added)?;
    let deletions = deleted.iter().cloned().map(CommitOperation::delete);
    let operations = deletions.chain(additions).collect();
    let mut draft = Draft::new(hub, repo, operations, commit)?;
    draft.notes.splice(0..0, notes);
    let card = RelPath::parse(CARD)?;
    if let Some(text) = &options.card
        && !added.contains(&card)
        && !deleted.contains(&card)
    {
        draft.offer_card(card, text)?;
    }
    Ok((draft, deleted))
}

/// What of the repository goes because of `options.delete`.
fn deletions(
    hub: &Hub,
    repo: &Repo,
    options: &UploadOptions,
    added: &HashSet<RelPath>,
) -> Result<Vec<RelPath>, HubError> {
    if options.delete.is_empty() {
        return Ok(Vec::new());
    }
    // Asked for, even where the cache knows of one: what was there lately may not be what is to be deleted now.
    let commit = hub.ask_commit(repo, &options.commit.revision, None)?;
    let meant = Patterns::all().allow(&options.delete);
    let prefix = options.path_in_repo.as_ref();
    let prefix = prefix.map_or_else(String::new, |path| format!("{path}/"));
    let files = hub.list_files(repo, &commit)?.into_iter();
    let paths = files.map(|file| file.path);
    Ok(paths
        .filter(|path| {
            let below = path.as_str().strip_prefix(&prefix);
            below.is_some_and(|below| meant.matches(below))
                && path.as_str() != ".gitattributes"
                && !added.contains(path)
        })
        .collect())
}

fn plan(addition: &Addition) -> Result<PlannedFile, HubError> {
    let status = match &addition.remote_oid {
        _ if addition.git_ignored => FileStatus::GitIgnored,
        None => FileStatus::New,
        Some(oid) => {
            let same = match addition.mode {
                Some(UploadMode::Lfs) => addition.sha256()? == oid,
                _ => hash_of(HashKind::GitSha1, &addition.read()?) == *oid,
            };
            if same {
                FileStatus::Unchanged
            } else {
                FileStatus::Changed
            }
        }
    };
    Ok(PlannedFile {
        path: addition.path.clone(),
        size: addition.size,
        mode: addition.mode,
        status,
    })
}
