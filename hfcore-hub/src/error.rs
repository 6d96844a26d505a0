//! What can go wrong with the Hub and its cache, each with what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::repo::{Commit, NameError, Repo, Revision};
use hfcore_weights::{RelPath, RelPathError};

/// Why something could not be had from the Hub or its cache. The cause, where there is one, is its `source()`.
///
/// No message holds a token or the query of a signed address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// What was given as a name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What was given, or what a repository calls a file, is no path inside it.
    #[error(transparent)]
    Path(#[from] RelPathError),
    /// A model card cannot be read, or the Hub would not take it.
    #[cfg(feature = "net")]
    #[error(transparent)]
    Card(#[from] crate::card::CardError),

    /// There is no such repository, or it is private and the token does not open it: the Hub does not say which.
    #[error("{repo} is not on {endpoint}, or is private: {}{}", if *.authenticated {
        "the account of the token in use does not see it"
    } else {
        "no token is in use; `hfcore login` stores one, HF_TOKEN gives one"
    }, nearest(.suggestions))]
    RepositoryNotFound {
        /// What was asked for.
        repo: Repo,
        /// Where.
        endpoint: String,
        /// Whether a token was sent.
        authenticated: bool,
        /// Repositories with a similar name.
        suggestions: Vec<String>,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision}{}", nearest(.suggestions))]
    RevisionNotFound {
        /// The repository.
        repo: Repo,
        /// What was asked for.
        revision: Revision,
        /// Its branches and tags with a similar name.
        suggestions: Vec<String>,
    },
    /// The repository has no such file at that revision.
    #[error("{repo} has no {path} at revision {revision}{}", nearest(.suggestions))]
    EntryNotFound {
        /// The repository.
        repo: Repo,
        /// The revision.
        revision: Revision,
        /// What was asked for.
        path: String,
        /// Its files with a similar name.
        suggestions: Vec<String>,
    },
    /// The repository opens only to accounts that accepted its conditions.
    #[error("{repo} is gated: visit {page} and accept its conditions {}", match .account {
        Some(account) => format!("as {account}, whose token is in use"),
        None => "with an account, then give its token (`hfcore login`, or HF_TOKEN)".to_owned(),
    })]
    Gated {
        /// The repository.
        repo: Repo,
        /// The page to visit.
        page: String,
        /// Whose token was sent, if one was.
        account: Option<String>,
    },
    /// The token was not accepted (401).
    #[error("{endpoint} did not accept the token{}: make a new one at {endpoint}/settings/tokens and give it to `hfcore login` or HF_TOKEN", because(.message))]
    Unauthorized {
        /// Where.
        endpoint: String,
        /// What the server said.
        message: Option<String>,
    },
    /// The token is valid but not for this (403).
    #[error("{endpoint} does not allow this to the token in use{}: it may lack the scope (read or write), or the account the right", because(.message))]
    Forbidden {
        /// Where.
        endpoint: String,
        /// What the server said.
        message: Option<String>,
    },
    /// Removed from the Hub by its operators or its owner (410, 451).
    #[error("{repo} cannot be had: it was disabled or taken down{}", because(.message))]
    Disabled {
        /// The repository.
        repo: Repo,
        /// What the server said.
        message: Option<String>,
    },
    /// Too many requests, and waiting longer than is reasonable would be needed.
    #[error("{endpoint} limits the rate of requests: try again {}{}", when(*.retry_after), if *.authenticated {
        ""
    } else {
        "; with a token (`hfcore login`, or HF_TOKEN) the limits are higher"
    })]
    RateLimited {
        /// Where.
        endpoint: String,
        /// When the server said it may be tried again.
        retry_after: Option<Duration>,
        /// Whether a token was sent.
        authenticated: bool,
    },

    /// The network is switched off, and this needs it.
    #[error("{what} needs the network, which {} switches off", .why)]
    Offline {
        /// What was asked for.
        what: String,
        /// What switches it off: `HF_HUB_OFFLINE`, `local_files_only` …
        why: &'static str,
    },
    /// The network is switched off, or could not be reached, and the cache does not have it.
    #[error("{repo} at revision {revision} has no {path} in the cache {}: {remedy}", .cache.display())]
    NotCached {
        /// The repository.
        repo: Repo,
        /// The revision.
        revision: Revision,
        /// The file, or `snapshot` for all of it.
        path: String,
        /// The cache.
        cache: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// Why the network did not help, if it was tried.
        source: Option<Box<Self>>,
    },
    /// No connection, or one that broke for longer than it was retried.
    #[error("{host} could not be reached while {doing}")]
    Network {
        /// What was being done.
        doing: String,
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A status that no other variant stands for.
    #[error("{url} answered {status}{}{}", because(.message), request(.request_id))]
    Status {
        /// The address, without its query.
        url: String,
        /// The status.
        status: u16,
        /// What the server said.
        message: Option<String>,
        /// `X-Request-Id`, which the Hub's operators can look up.
        request_id: Option<String>,
    },
    /// A redirect that is not followed.
    #[error("{from} redirects to {to}, which is not followed: {why}")]
    Redirect {
        /// From here, without its query.
        from: String,
        /// To there, without its query.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// A reply that breaks the protocol: nothing of it was used.
    #[error("the reply of {url} was refused: {why}")]
    BadReply {
        /// The address, without its query.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be used on this machine or as it is set up.
    #[error("https cannot be used: {why}")]
    Tls {
        /// Why.
        why: String,
    },

    /// The bytes that came are not those that the Hub promised.
    #[error("{path} of {repo} is damaged: expected {expected}, found {found}; the bytes that came are kept aside at {}, the next download begins anew", .kept.display())]
    Checksum {
        /// The repository.
        repo: Repo,
        /// The file.
        path: String,
        /// `sha256 …`, `git-sha1 …` or `N bytes`.
        expected: String,
        /// The same of what came.
        found: String,
        /// Where the bytes are.
        kept: PathBuf,
    },
    /// There is no room.
    #[error("{} has {available} bytes free, and {needed} are needed: `hfcore cache prune` makes room, HF_HUB_CACHE chooses another place", .path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// A file of the cache or of a folder could not be read or written.
    #[error("{} could not be {doing}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `written`, `renamed` …
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Something in the cache is not what a cache holds: it is not used.
    #[error("{} in the cache is not used: {why}", .path.display())]
    CacheDamaged {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A lock file (`hfcore.lock`) does not allow this.
    #[error("{} pins {repo} to other bytes: {why}", .lock_file.display())]
    Locked {
        /// The lock file.
        lock_file: PathBuf,
        /// The repository.
        repo: Repo,
        /// What differs.
        why: String,
    },
    /// A lock file (`hfcore.lock`) that cannot be used.
    #[error("{} is no lock file: {why}; `hfcore download --lock` writes one", .lock_file.display())]
    BadLockFile {
        /// The lock file.
        lock_file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A revision stands for another commit than the one that was asked to stay.
    #[error("{repo} moved: {revision} was {expected} and is {found}")]
    Moved {
        /// The repository.
        repo: Repo,
        /// The revision.
        revision: Revision,
        /// The commit that was relied upon.
        expected: Commit,
        /// The commit it is now.
        found: Commit,
    },
    /// A file cannot be uploaded as it is.
    #[error("{path} cannot be uploaded: {why}")]
    Upload {
        /// In the folder or in the repository.
        path: String,
        /// Why.
        why: String,
    },
    /// A file that was to be published holds what looks like an access token.
    #[error(
        "{path} has what looks like an access token in line {line}: take it out, and if it was ever published make a new one; if it is none, allow secrets"
    )]
    Secret {
        /// In the repository.
        path: String,
        /// From 1.
        line: usize,
    },
    /// Somebody else committed first.
    #[error("{repo} changed at revision {revision} meanwhile{}: nothing was committed; look at what is new, then upload again", because(.message))]
    Conflict {
        /// The repository.
        repo: Repo,
        /// Where the commit was to go.
        revision: Revision,
        /// What the server said.
        message: Option<String>,
    },
    /// There is a repository of that name.
    #[error("{repo} is on {endpoint} already")]
    RepositoryExists {
        /// The repository.
        repo: Repo,
        /// Where.
        endpoint: String,
    },
    /// Only somebody with a token may do this.
    #[error(
        "{what} needs an access token, and none is in use: `hfcore login` stores one, HF_TOKEN gives one"
    )]
    NoToken {
        /// What.
        what: &'static str,
    },

    /// The repository has no safetensors.
    #[error("{repo} has no {expected} at revision {revision}{}", instead(.found))]
    NoRemoteWeights {
        /// The repository.
        repo: Repo,
        /// The revision.
        revision: Revision,
        /// The files that were looked for.
        expected: String,
        /// Some weights of other kinds that it has.
        found: Vec<String>,
    },
    /// What the headers or the index of a repository's weights say cannot be.
    #[error("{path} of {repo} is refused: {why}")]
    RemoteWeights {
        /// The repository.
        repo: Repo,
        /// The file.
        path: RelPath,
        /// What is wrong with it.
        why: String,
    },

    /// An option or an argument cannot be used.
    #[error("{what} cannot be used: {why}")]
    Argument {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
}

impl HubError {
    /// Whether the cache may answer in the Hub's place, as it does in Python (`_get_metadata_or_catch_error`,
    /// `snapshot_download`): whenever it is not certain that what was asked for does not exist.
    #[must_use]
    pub const fn leaves_the_cache(&self) -> bool {
        matches!(
            self,
            Self::Offline { .. }
                | Self::Network { .. }
                | Self::Tls { .. }
                | Self::Status { .. }
                | Self::RateLimited { .. }
                | Self::BadReply { .. }
                | Self::RepositoryNotFound { .. }
                | Self::Gated { .. }
                | Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::Disabled { .. }
        )
    }

    /// Says why the network did not help, if this is about something that the cache does not have.
    #[must_use]
    pub fn because_of(mut self, why: Self) -> Self {
        if let Self::NotCached { source, .. } = &mut self {
            *source = Some(Box::new(why));
        }
        self
    }

    /// The error and its causes, outermost first, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

fn nearest(suggestions: &[String]) -> String {
    if suggestions.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", suggestions.join(" or "))
}

fn instead(found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    format!("; it has {}", found.join(", "))
}

fn because(message: &Option<String>) -> String {
    message
        .as_ref()
        .map_or_else(String::new, |message| format!(" ({message})"))
}

fn request(id: &Option<String>) -> String {
    id.as_ref()
        .map_or_else(String::new, |id| format!(" [request {id}]"))
}

fn when(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(
        || "later".to_owned(),
        |wait| format!("in {} seconds", wait.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_remedy() {
        let repo = Repo::model("org/name").unwrap();
        let error = HubError::Gated {
            repo: repo.clone(),
            page: "https://huggingface.co/org/name".to_owned(),
            account: Some("ada".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "org/name is gated: visit https://huggingface.co/org/name and accept its conditions as ada, whose token is in use"
        );
        let error = HubError::RepositoryNotFound {
            repo,
            endpoint: "https://huggingface.co".to_owned(),
            authenticated: false,
            suggestions: vec!["org/game".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "org/name is not on https://huggingface.co, or is private: no token is in use; `hfcore login` stores one, \
            HF_TOKEN gives one; did you mean org/game?"
        );
    }
}
