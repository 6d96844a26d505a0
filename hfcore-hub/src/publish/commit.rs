//! One commit: what the Hub is asked before, what goes to the storage of large files, and the commit itself.

use hfcore_weights::RelPath;
use serde::Deserialize;
use serde_json::json;

use super::content::{Addition, Content, UploadMode, hash_of};
use super::note::{self, UploadNote};
use super::operation::{self, CommitOperation, CommitOptions};
use super::payload::Payload;
use super::target::Target;
use super::{preupload, secret, transfer};
use crate::error::HubError;
use crate::hash::HashKind;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::parallel;
use crate::progress::Event;
use crate::repo::{Commit, Repo, Revision};

/// The largest file that is sent inside a commit. The Hub draws its own line at 10 MB.
const MAX_REGULAR_BYTES: u64 = 100 << 20;
/// The largest body of a commit, which is in memory.
const MAX_PAYLOAD_BYTES: u64 = 1 << 30;

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitInfo {
    /// Whether there is a new commit. If not, nothing would have changed, and the rest is about the newest one there was.
    pub created: bool,
    /// Its page.
    pub url: String,
    /// Its name.
    pub oid: Commit,
    /// The page of the pull request, if one was asked for.
    pub pr_url: Option<String>,
    /// Its number: its revision is `refs/pr/N`.
    pub pr_num: Option<u64>,
    /// The files that the commit adds or replaces.
    pub added: Vec<RelPath>,
    /// The files and folders that it deletes.
    pub deleted: Vec<RelPath>,
    /// The files that the repository had already, as they are.
    pub unchanged: Vec<RelPath>,
    /// What the author should know.
    pub notes: Vec<UploadNote>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    commit_url: String,
    commit_oid: String,
    #[serde(default)]
    pull_request_url: Option<String>,
}

impl Hub {
    /// Makes one commit of these operations: all of them, or nothing.
    ///
    /// Files that the repository has already, as they are, are left out; if nothing is left, no commit is made and
    /// [`CommitInfo::created`] says so.
    ///
    /// # Errors
    /// [`HubError::Conflict`] if the branch moved meanwhile; [`HubError::Secret`] if a file holds an access token;
    /// [`HubError::Upload`] about a file that cannot be; [`HubError::RepositoryNotFound`] if there is no such repository
    /// ([`create_repo`](Self::create_repo) makes one); what the network and the account do not allow.
    pub fn create_commit(
        &self,
        repo: &Repo,
        operations: Vec<CommitOperation>,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HubError> {
        let mut draft = Draft::new(self, repo, operations, options)?;
        draft.ask()?;
        draft.commit()
    }
}

/// A commit before it is made.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    target: Target<'a>,
    options: &'a CommitOptions,
    pub(super) additions: Vec<Addition>,
    steps: Vec<Step>,
    /// The path of a card that is added only where there is none.
    card: Option<RelPath>,
    pub(super) notes: Vec<UploadNote>,
}

#[derive(Debug)]
enum Step {
    /// An index into the additions, and whether something at its path is deleted before.
    Add {
        index: usize,
        replaces: bool,
    },
    Delete(RelPath),
    DeleteFolder(RelPath),
    Copy {
        from: RelPath,
        revision: Option<Revision>,
        path: RelPath,
    },
}

impl<'a> Draft<'a> {
    /// Refuses what needs no server to be refused.
    pub(super) fn new(
        hub: &'a Hub,
        repo: &'a Repo,
        operations: Vec<CommitOperation>,
        options: &'a CommitOptions,
    ) -> Result<Self, HubError> {
        options.check()?;
        operation::check_order(&operations)?;
        if !hub.has_token() {
            return Err(HubError::NoToken { what: "uploading" });
        }
        let mut draft = Self {
            target: Target {
                hub,
                repo,
                revision: &options.revision,
                create_pr: options.create_pr,
            },
            options,
            additions: Vec::new(),
            steps: Vec::new(),
            card: None,
            notes: Vec::new(),
        };
        let replaced: Vec<bool> = operations
            .iter()
            .map(|added| operation::deletes(&operations, added.path().as_str()))
            .collect();
        for (operation, replaces) in operations.into_iter().zip(replaced) {
            draft.push(operation, replaces)?;
        }
        Ok(draft)
    }

    fn push(&mut self, operation: CommitOperation, replaces: bool) -> Result<(), HubError> {
        let step = match operation {
            CommitOperation::Add { path, content } => {
                let addition = Addition::new(path, content)?;
                self.inspect(&addition)?;
                self.additions.push(addition);
                let index = self.additions.len() - 1;
                Step::Add { index, replaces }
            }
            CommitOperation::Delete { path } => Step::Delete(path),
            CommitOperation::DeleteFolder { path } => Step::DeleteFolder(path),
            CommitOperation::Copy {
                from,
                revision,
                path,
            } => Step::Copy {
                from,
                revision,
                path,
            },
        };
        self.steps.push(step);
        Ok(())
    }

    /// A card, which does not replace one that the repository has.
    pub(super) fn offer_card(&mut self, path: RelPath, card: &str) -> Result<(), HubError> {
        self.card = Some(path.clone());
        let content = Content::Bytes(card.as_bytes().to_owned());
        self.push(CommitOperation::add(path, content), false)
    }

    /// What a file's author should know before it is published.
    fn inspect(&mut self, addition: &Addition) -> Result<(), HubError> {
        let path = &addition.path;
        if !self.options.allow_secrets && addition.size <= secret::MAX_SEARCHED_BYTES {
            let own = self.target.hub.http().token();
            let bytes = addition.read()?;
            if let Some(line) = secret::line_of_token(&bytes, own.map(|token| token.expose())) {
                let path = path.to_string();
                return Err(HubError::Secret { path, line });
            }
        }
        if note::is_pickle(path.as_str(), &addition.sample) {
            let path = path.clone();
            self.notes.push(UploadNote::Pickle { path });
        }
        let holds_data = self.target.repo.repo_type() == crate::repo::RepoType::Dataset;
        if !holds_data && note::is_data(path.as_str()) {
            let path = path.clone();
            self.notes.push(UploadNote::Data { path });
        }
        Ok(())
    }

    /// Asks the Hub about the card and about each file; nothing has been sent there then but samples of the files.
    pub(super) fn ask(&mut self) -> Result<(), HubError> {
        self.validate_card()?;
        let rules = self.find(".gitignore").map(Addition::read).transpose()?;
        let rules = rules.map(|rules| String::from_utf8_lossy(&rules).into_owned());
        preupload::fetch_modes(&self.target, &mut self.additions, rules.as_deref())?;
        self.withdraw_card();
        let ignored = self
            .additions
            .iter()
            .filter(|addition| addition.git_ignored);
        let notes = ignored.map(|addition| UploadNote::GitIgnored {
            path: addition.path.clone(),
        });
        self.notes.extend(notes.collect::<Vec<_>>());
        Ok(())
    }

    fn find(&self, path: &str) -> Option<&Addition> {
        let mut additions = self.additions.iter();
        additions.find(|addition| addition.path.as_str() == path)
    }

    /// The head of a card decides where and how the Hub shows a model: one that it cannot read is refused before anything
    /// is uploaded.
    fn validate_card(&mut self) -> Result<(), HubError> {
        #[derive(Deserialize)]
        struct Verdict {
            #[serde(default)]
            warnings: Vec<Warning>,
        }
        #[derive(Deserialize)]
        struct Warning {
            #[serde(default)]
            message: String,
        }
        const CARD: &str = "README.md";
        let Some(card) = self.find(CARD) else {
            return Ok(());
        };
        let refuse = |why: String| HubError::Upload {
            path: CARD.to_owned(),
            why,
        };
        let text = String::from_utf8(card.read()?)
            .map_err(|_| refuse("a card is UTF-8 text".to_owned()))?;
        let repo = self.target.repo;
        let http = self.target.hub.http();
        let request = http
            .api(Method::Post, "/api/validate-yaml")?
            .json(json!({ "content": text, "repoType": repo.repo_type().as_str() }))
            .idempotent()
            .doing("checking README.md");
        let verdict: Verdict = match http.send(&request) {
            Ok(response) => response.json()?,
            Err(HubError::Status {
                status: 400,
                message,
                ..
            }) => {
                let message = message.unwrap_or_else(|| "no reason is given".to_owned());
                return Err(refuse(format!("the Hub does not take its head: {message}")));
            }
            // A mirror that does not check cards.
            Err(HubError::Status {
                status: 404 | 405 | 501,
                ..
            }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let warnings = verdict.warnings.into_iter();
        self.notes.extend(warnings.map(|warning| UploadNote::Card {
            message: warning.message,
        }));
        Ok(())
    }

    /// A card that was only offered does not replace one that is there.
    fn withdraw_card(&mut self) {
        let Some(card) = self.card.take() else {
            return;
        };
        let withdrawn =
            |addition: &Addition| addition.path == card && addition.remote_oid.is_some();
        if let Some(at) = self.additions.iter().position(withdrawn) {
            self.additions.remove(at);
            self.steps
                .retain(|step| !matches!(step, Step::Add { index, .. } if *index == at));
            for step in &mut self.steps {
                if let Step::Add { index, .. } = step
                    && *index > at
                {
                    *index -= 1;
                }
            }
            self.notes.push(UploadNote::CardKept);
        }
    }

    /// Sends the large files, and then the commit.
    pub(super) fn commit(mut self) -> Result<CommitInfo, HubError> {
        self.hash_large_files()?;
        let mut large = Vec::new();
        for step in &self.steps {
            if let Step::Add { index, replaces } = step
                && let addition = &self.additions[*index]
                && addition.mode == Some(UploadMode::Lfs)
                && !addition.git_ignored
                && (*replaces || addition.remote_oid.as_deref() != Some(addition.sha256()?))
            {
                large.push(addition);
            }
        }
        transfer::upload(&self.target, &large)?;

        let message = self
            .options
            .message
            .as_deref()
            .unwrap_or("Commit with hfcore");
        let description = self.options.description.as_deref().unwrap_or_default();
        let parent = self.options.parent.as_ref().map(Commit::as_str);
        let mut writer = Writer {
            payload: Payload::new(message, description, parent),
            added: Vec::new(),
            deleted: Vec::new(),
            unchanged: Vec::new(),
        };
        for step in &self.steps {
            match step {
                Step::Add { index, replaces } => writer.add(&self.additions[*index], *replaces)?,
                Step::Delete(path) => {
                    writer.payload.deleted_file(path.as_str());
                    writer.deleted.push(path.clone());
                }
                Step::DeleteFolder(path) => {
                    writer.payload.deleted_folder(path.as_str());
                    writer.deleted.push(path.clone());
                }
                Step::Copy {
                    from,
                    revision,
                    path,
                } => self.copy(&mut writer, from, revision.as_ref(), path)?,
            }
        }
        for addition in &large {
            addition.check_unchanged()?;
        }
        let notes = std::mem::take(&mut self.notes);
        let Writer {
            payload,
            added,
            deleted,
            unchanged,
        } = writer;
        if payload.is_empty() {
            return self.newest(unchanged, notes);
        }
        let reply: Reply = self.target.post_commit(payload.into_bytes())?;
        let bad = |what: &str| self.target.bad_reply("commit", format!("{what} is none"));
        let oid = Commit::parse(&reply.commit_oid).map_err(|_| bad("its commitOid"))?;
        let pr_url = reply.pull_request_url.filter(|_| self.options.create_pr);
        let pr_num = pr_url.as_deref().and_then(number_of_pull_request);
        Ok(CommitInfo {
            created: true,
            url: reply.commit_url,
            oid,
            pr_url,
            pr_num,
            added,
            deleted,
            unchanged,
            notes,
        })
    }

    /// Several at once: it takes as long as reading them.
    fn hash_large_files(&self) -> Result<(), HubError> {
        let hub = self.target.hub;
        let large = self.additions.iter();
        let large: Vec<&Addition> = large
            .filter(|addition| addition.mode == Some(UploadMode::Lfs) && !addition.git_ignored)
            .collect();
        parallel::run(hub.workers(), &large, |addition, _| {
            let path = addition.path.as_str();
            let progress = hub.http().progress();
            let hashed = addition.sha256_watched(&mut |bytes| {
                progress.event(&Event::Hashed { path, bytes });
            });
            hashed.map(|_| ())
        })?;
        Ok(())
    }

    /// The Hub copies what is in the storage of large files; the rest goes down and up again.
    fn copy(
        &self,
        writer: &mut Writer,
        from: &RelPath,
        revision: Option<&Revision>,
        path: &RelPath,
    ) -> Result<(), HubError> {
        let Target { hub, repo, .. } = self.target;
        let revision = revision.unwrap_or(self.target.revision);
        let commit = hub.ask_commit(repo, revision, None)?;
        let files = hub.list_files(repo, &commit)?;
        let Some(file) = files.iter().find(|file| file.path == *from) else {
            return Err(HubError::EntryNotFound {
                repo: repo.clone(),
                revision: revision.clone(),
                path: from.to_string(),
                suggestions: Vec::new(),
            });
        };
        match &file.sha256 {
            Some(sha256) => writer.payload.lfs_file(path.as_str(), sha256, None),
            None => {
                let size = file.size.ok_or_else(|| {
                    let why = format!("it does not say how large {from} is");
                    self.target.bad_reply("tree", why)
                })?;
                check_regular_size(from, size)?;
                let bytes = match size {
                    0 => Vec::new(),
                    size => hub.read_range(repo, &commit, from, 0..size)?,
                };
                writer.payload.file(path.as_str(), &bytes);
            }
        }
        writer.added.push(path.clone());
        writer.check_size()
    }

    /// What an upload that changes nothing returns.
    fn newest(
        &self,
        unchanged: Vec<RelPath>,
        notes: Vec<UploadNote>,
    ) -> Result<CommitInfo, HubError> {
        let Target { hub, repo, .. } = self.target;
        let oid = hub.ask_commit(repo, self.target.revision, None)?;
        Ok(CommitInfo {
            created: false,
            url: format!("{}/{repo}/commit/{oid}", hub.endpoint()),
            oid,
            pr_url: None,
            pr_num: None,
            added: Vec::new(),
            deleted: Vec::new(),
            unchanged,
            notes,
        })
    }
}

/// The commit as it is written down, and what is in it.
struct Writer {
    payload: Payload,
    added: Vec<RelPath>,
    deleted: Vec<RelPath>,
    unchanged: Vec<RelPath>,
}

impl Writer {
    fn add(&mut self, addition: &Addition, replaces: bool) -> Result<(), HubError> {
        if addition.git_ignored {
            return Ok(());
        }
        let path = &addition.path;
        let remote = addition.remote_oid.as_deref().filter(|_| !replaces);
        if addition.mode == Some(UploadMode::Lfs) {
            let sha256 = addition.sha256()?;
            if remote == Some(sha256) {
                self.unchanged.push(path.clone());
                return Ok(());
            }
            let size = Some(addition.size);
            self.payload.lfs_file(path.as_str(), sha256, size);
        } else {
            check_regular_size(path, addition.size)?;
            let bytes = addition.read()?;
            if remote.is_some() && remote == Some(&hash_of(HashKind::GitSha1, &bytes)) {
                self.unchanged.push(path.clone());
                return Ok(());
            }
            self.payload.file(path.as_str(), &bytes);
        }
        self.added.push(path.clone());
        self.check_size()
    }

    fn check_size(&self) -> Result<(), HubError> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(HubError::Argument {
                what: "this upload".to_owned(),
                why: "its small files are more than 1 GiB, which no server takes as one commit; upload it in several \
                      steps, by patterns"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

fn check_regular_size(path: &RelPath, size: u64) -> Result<(), HubError> {
    if size > MAX_REGULAR_BYTES {
        return Err(HubError::Upload {
            path: path.to_string(),
            why: format!(
                "the server wants its {size} bytes inside the commit, where there is room for {MAX_REGULAR_BYTES}"
            ),
        });
    }
    Ok(())
}

/// `https://huggingface.co/org/name/discussions/2` is about number 2.
fn number_of_pull_request(url: &str) -> Option<u64> {
    let (_, number) = url.rsplit_once("/discussions/")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_has_a_number() {
        let number = |url| number_of_pull_request(url);
        assert_eq!(
            number("https://huggingface.co/a/b/discussions/12"),
            Some(12)
        );
        assert_eq!(number("https://huggingface.co/a/b"), None);
        assert_eq!(
            number("https://huggingface.co/a/b/discussions/12/files"),
            None
        );
    }
}
