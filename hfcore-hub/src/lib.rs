#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "net")]
pub mod account;
pub mod cache;
#[cfg(feature = "net")]
pub mod card;
#[cfg(feature = "net")]
mod disk;
#[cfg(feature = "net")]
mod download;
mod environment;
mod error;
#[cfg(feature = "net")]
mod fetch;
mod fnmatch;
#[cfg(feature = "net")]
pub mod hash;
#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
mod hub;
#[cfg(feature = "net")]
mod info;
#[cfg(feature = "net")]
mod lineage;
#[cfg(feature = "net")]
mod local_folder;
#[cfg(feature = "net")]
pub mod lock_file;
#[cfg(feature = "net")]
mod metadata;
#[cfg(feature = "net")]
mod parallel;
#[cfg(feature = "net")]
mod progress;
#[cfg(feature = "net")]
pub mod publish;
#[cfg(feature = "net")]
mod range;
#[cfg(feature = "net")]
mod remote;
mod repo;
#[cfg(feature = "net")]
mod resolve;
#[cfg(feature = "net")]
mod search;
#[cfg(feature = "net")]
mod snapshot;
#[cfg(feature = "net")]
mod suggest;
mod token;
#[cfg(feature = "net")]
mod transfer;
#[cfg(feature = "net")]
mod tree;

pub use cache::Cache;
#[cfg(feature = "net")]
pub use download::{CachedFile, DownloadOptions};
pub use environment::{DEFAULT_ENDPOINT, Environment};
pub use error::HubError;
pub use fnmatch::Patterns;
#[cfg(feature = "net")]
pub use hub::{Hub, HubBuilder};
#[cfg(feature = "net")]
pub use info::{Gated, GitRef, ListedFile, ModelInfo, ParameterCounts, RepoRefs};
#[cfg(feature = "net")]
pub use lineage::Ancestor;
#[cfg(feature = "net")]
pub use lock_file::{LockFile, LockedFile, LockedRepo};
#[cfg(feature = "net")]
pub use metadata::FileMetadata;
#[cfg(feature = "net")]
pub use progress::{Event, NoProgress, Progress};
#[cfg(feature = "net")]
pub use remote::{RemoteFile, RemoteOptions, RemoteTensor, RemoteWeights};
pub use repo::{Commit, ModelName, NameError, NameKind, Repo, RepoId, RepoType, Revision};
#[cfg(feature = "net")]
pub use resolve::Resolved;
#[cfg(feature = "net")]
pub use search::{FoundModels, ModelSearch, ModelSort};
#[cfg(feature = "net")]
pub use snapshot::{PlannedFile, Snapshot, SnapshotFile, SnapshotOptions, SnapshotPlan};
pub use token::Token;
#[cfg(feature = "net")]
pub use tree::{RepoFile, SkippedFile, Tree};

/// How much is read of remote weights; see [`RemoteOptions`].
#[cfg(feature = "net")]
pub use hfcore_weights::Limits;
/// File names that come from outside, checked by the rules of every system.
pub use hfcore_weights::{RelPath, RelPathError};
