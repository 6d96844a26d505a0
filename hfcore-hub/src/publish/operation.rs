//! What a commit does, and what it may not do.

use std::collections::HashSet;

use hfcore_weights::RelPath;

use super::content::Content;
use crate::error::HubError;
use crate::repo::{Commit, Revision};

/// One thing that a commit does to a repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CommitOperation {
    /// A file is there afterwards, with these bytes.
    Add {
        /// In the repository.
        path: RelPath,
        /// Its bytes.
        content: Content,
    },
    /// A file is no longer there.
    Delete {
        /// In the repository.
        path: RelPath,
    },
    /// A folder and all that was in it is no longer there.
    DeleteFolder {
        /// In the repository.
        path: RelPath,
    },
    /// A file is there afterwards with the bytes of another one; those of a large file do not travel.
    Copy {
        /// In the repository.
        from: RelPath,
        /// Where the other one is to be found, if not where the commit goes.
        revision: Option<Revision>,
        /// In the repository.
        path: RelPath,
    },
}

impl CommitOperation {
    /// A file with these bytes.
    #[must_use]
    pub const fn add(path: RelPath, content: Content) -> Self {
        Self::Add { path, content }
    }

    /// A file less.
    #[must_use]
    pub const fn delete(path: RelPath) -> Self {
        Self::Delete { path }
    }

    /// Where it happens.
    #[must_use]
    pub const fn path(&self) -> &RelPath {
        match self {
            Self::Add { path, .. }
            | Self::Delete { path }
            | Self::DeleteFolder { path }
            | Self::Copy { path, .. } => path,
        }
    }
}

/// How and where a commit is made.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CommitOptions {
    /// The branch, or the pull request (`refs/pr/N`). Default: `main`.
    pub revision: Revision,
    /// The first line of its message. Default: what was uploaded.
    pub message: Option<String>,
    /// The rest of it.
    pub description: Option<String>,
    /// Whether the commit is proposed (a pull request against `main`) and not made.
    pub create_pr: bool,
    /// The commit that must be the newest for this one to be made.
    pub parent: Option<Commit>,
    /// Whether files may hold what looks like an access token.
    pub allow_secrets: bool,
}

impl CommitOptions {
    /// To this branch or pull request.
    #[must_use]
    pub fn with_revision(mut self, revision: Revision) -> Self {
        self.revision = revision;
        self
    }

    /// With this message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// With this text below the message.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// As a pull request.
    #[must_use]
    pub const fn with_create_pr(mut self, create_pr: bool) -> Self {
        self.create_pr = create_pr;
        self
    }

    /// Only if nothing was committed after this.
    #[must_use]
    pub fn with_parent(mut self, parent: Commit) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Even if a file holds what looks like an access token.
    #[must_use]
    pub const fn with_allow_secrets(mut self, allow_secrets: bool) -> Self {
        self.allow_secrets = allow_secrets;
        self
    }

    /// What no server needs to be asked to refuse.
    pub(super) fn check(&self) -> Result<(), HubError> {
        if self.create_pr && self.revision != Revision::default() {
            return Err(HubError::Argument {
                what: format!("the revision {} with a new pull request", self.revision),
                why:
                    "a pull request is opened against main; to add to one, commit to its refs/pr/N"
                        .to_owned(),
            });
        }
        if self.message.as_ref().is_some_and(|m| m.trim().is_empty()) {
            return Err(HubError::Argument {
                what: "an empty commit message".to_owned(),
                why: "a commit has one".to_owned(),
            });
        }
        Ok(())
    }
}

/// Refuses operations that undo each other: which of them wins is the server's choice, and then a file is not what the
/// caller thinks. Deleting first and adding then is plain, and allowed.
pub(super) fn check_order(operations: &[CommitOperation]) -> Result<(), HubError> {
    let mut added: HashSet<&str> = HashSet::new();
    for operation in operations {
        let path = operation.path().as_str();
        let refuse = |why: &str| {
            Err(HubError::Upload {
                path: path.to_owned(),
                why: why.to_owned(),
            })
        };
        match operation {
            CommitOperation::Add { .. } | CommitOperation::Copy { .. } => {
                if !added.insert(path) {
                    return refuse("the commit adds it twice");
                }
            }
            CommitOperation::Delete { .. } => {
                if added.contains(path) {
                    return refuse("the commit adds it and then deletes it");
                }
            }
            CommitOperation::DeleteFolder { .. } => {
                if added.iter().any(|added| is_below(added, path)) {
                    return refuse("the commit adds a file below it and then deletes it");
                }
            }
        }
    }
    Ok(())
}

/// Whether these operations delete what is at `path`.
pub(super) fn deletes(operations: &[CommitOperation], path: &str) -> bool {
    operations.iter().any(|operation| match operation {
        CommitOperation::Delete { path: deleted } => deleted.as_str() == path,
        CommitOperation::DeleteFolder { path: deleted } => is_below(path, deleted.as_str()),
        CommitOperation::Add { .. } | CommitOperation::Copy { .. } => false,
    })
}

fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RelPath {
        RelPath::parse(path).unwrap()
    }

    fn add(at: &str) -> CommitOperation {
        CommitOperation::add(path(at), Content::Bytes(Vec::new()))
    }

    fn delete_folder(at: &str) -> CommitOperation {
        CommitOperation::DeleteFolder { path: path(at) }
    }

    #[test]
    fn operations_may_not_undo_each_other() {
        let copy = CommitOperation::Copy {
            from: path("x"),
            revision: None,
            path: path("a"),
        };
        for (operations, why) in [
            (vec![add("a"), add("a")], "adds it twice"),
            (vec![add("a"), copy], "adds it twice"),
            (
                vec![add("a"), CommitOperation::delete(path("a"))],
                "adds it and then",
            ),
            (vec![add("a/b"), delete_folder("a")], "a file below it"),
        ] {
            let error = check_order(&operations).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let plain = [
            CommitOperation::delete(path("a")),
            delete_folder("b"),
            add("a"),
            add("b/c"),
            add("bc"),
        ];
        check_order(&plain).unwrap();
        assert!(deletes(&plain, "a") && deletes(&plain, "b/c"));
        assert!(!deletes(&plain, "bc") && !deletes(&plain, "b"));
    }

    #[test]
    fn a_pull_request_is_against_main() {
        let pr = Revision::parse("refs/pr/1").unwrap();
        let options = CommitOptions::default().with_create_pr(true);
        options.check().unwrap();
        let error = options.with_revision(pr).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the revision refs/pr/1 with a new pull request cannot be used: a pull request is opened against main; to \
             add to one, commit to its refs/pr/N"
        );
        assert!(CommitOptions::default().with_message(" ").check().is_err());
    }
}
