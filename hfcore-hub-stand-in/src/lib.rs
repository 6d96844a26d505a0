//! A Hugging Face Hub for tests.
//!
//! It speaks the real protocol on one port, and that of its storage on another, as the Hub redirects large files to
//! another host; it records what it is asked, and goes wrong as a script of [`Fault`]s tells it. The measure of it is
//! Python's `huggingface_hub` 2.4.0, which works against it unchanged.
//!
//! ```
//! use hfcore_hub_stand_in::{Fault, StandIn};
//!
//! let hub = StandIn::start();
//! let commit = hub
//!     .model("org/name")
//!     .file("config.json", "{}")
//!     .file("model.safetensors", vec![7; 1000]) // in LFS, and so on the second host
//!     .create();
//! hub.fault(Fault::on("model.safetensors").method("GET").once().cut_after(10));
//!
//! // … a client with the endpoint `hub.endpoint()` downloads …
//!
//! assert_eq!(hub.world(|world| world.commit_of("org/name", "main")), Some(commit));
//! assert_eq!(hub.served("model.safetensors"), 0);
//! assert!(hub.leaks().is_empty());
//! ```
//!
//! Errors are answered as the Hub does: a repository that is not there, or private, is 401 to strangers and 404
//! `RepoNotFound` to others; revisions and files are 404 `RevisionNotFound` and `EntryNotFound`, the latter with
//! `X-Repo-Commit`; gated ones 401 and 403 `GatedRepo`; a token that is nobody's is 401.

#![forbid(unsafe_code)]

mod api;
mod content;
mod fault;
mod files;
mod http;
mod publish;
mod server;
mod world;

pub use fault::Fault;
pub use http::{Host, Request};
pub use server::{Builder, RepositoryBuilder, StandIn};
pub use world::{Kind, Role, World};
