#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod repo;

pub use error::HubError;
pub use repo::{Commit, ModelName, NameError, NameKind, Repo, RepoId, RepoType, Revision};

/// File names that come from outside, checked by the rules of every system.
pub use hfcore_weights::{RelPath, RelPathError};
