#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "net")]
pub mod account;
pub mod cache;
#[cfg(feature = "net")]
pub mod card;
mod environment;
mod error;
mod fnmatch;
#[cfg(feature = "net")]
pub mod hash;
#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
mod hub;
#[cfg(feature = "net")]
pub mod lock_file;
#[cfg(feature = "net")]
mod progress;
mod repo;
mod token;

pub use cache::Cache;
pub use environment::{DEFAULT_ENDPOINT, Environment};
pub use error::HubError;
pub use fnmatch::Patterns;
#[cfg(feature = "net")]
pub use hub::{Hub, HubBuilder};
#[cfg(feature = "net")]
pub use progress::{Event, NoProgress, Progress};
pub use repo::{Commit, ModelName, NameError, NameKind, Repo, RepoId, RepoType, Revision};

pub use token::Token;

/// File names that come from outside, checked by the rules of every system.
pub use hfcore_weights::{RelPath, RelPathError};
