//! What happens during a download, for whoever shows it.

use std::time::Duration;

use crate::error::HubError;
use crate::repo::{Commit, Repo};

/// Told of everything that happens, from the threads in which it happens: keep it short, and print nothing of `why` that
/// is not for the user's eyes (it holds no secrets).
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _: &Event<'_>) {}
}

impl<F: Fn(&Event<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Something that happens. The bytes of one file are its `Start`'s `resumed` and all its `Advance`s; a `Restart` takes
/// them back to nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is known what a snapshot needs.
    Plan {
        /// The repository.
        repo: &'a Repo,
        /// What its revision stands for.
        commit: &'a Commit,
        /// Files to download; those that are there already are not among them.
        files: usize,
        /// Their bytes, as far as they are known.
        bytes: u64,
        /// Files that are there already.
        present: usize,
    },
    /// The download of a file begins.
    Start {
        /// The file.
        path: &'a str,
        /// Its size in bytes.
        size: Option<u64>,
        /// Bytes that an earlier try left.
        resumed: u64,
    },
    /// More of a file arrived.
    Advance {
        /// The file.
        path: &'a str,
        /// Bytes since the last event about it.
        bytes: u64,
    },
    /// What arrived of a file so far is of no use: it begins anew.
    Restart {
        /// The file.
        path: &'a str,
    },
    /// Another process downloads this file; it is waited for.
    Waiting {
        /// The file.
        path: &'a str,
    },
    /// A request failed and is tried again.
    Retry {
        /// What was being done.
        what: &'a str,
        /// After that long.
        after: Duration,
        /// Why it failed.
        why: &'a HubError,
    },
    /// A file is where it belongs.
    Done {
        /// The file.
        path: &'a str,
        /// Whether any of it was downloaded now.
        downloaded: bool,
    },
    /// More of a file was read, to know its hash before it is published.
    Hashed {
        /// The file, by its path in the repository.
        path: &'a str,
        /// Bytes since the last event about it.
        bytes: u64,
    },
    /// The bytes of a file that is being published. A try that fails takes back what it sent, as a negative number.
    Sent {
        /// The file, by its path in the repository.
        path: &'a str,
        /// Bytes since the last event about it.
        bytes: i64,
    },
}
