//! Publishing: repositories are made, and files committed to them.
//!
//! An upload is a handful of questions and one commit, as `huggingface_hub` 2.4.0 makes it without Xet (`_commit_api.py`,
//! `lfs.py`): the Hub says of each file whether it goes inside the commit or to the storage of large files
//! (`preupload`), which is then asked what it lacks (`lfs`) and gets it in parts (`transfer`); the commit (`payload`)
//! names what is there. Until that last request, nobody sees anything of it.

mod base64;
mod commit;
mod content;
mod folder;
mod lfs;
mod note;
mod operation;
mod payload;
mod preupload;
mod repository;
mod secret;
mod target;
mod transfer;
mod upload;

pub use commit::CommitInfo;
pub use content::{Content, UploadMode};
pub use note::UploadNote;
pub use operation::{CommitOperation, CommitOptions};
pub use repository::{CreateRepo, CreatedRepo};
pub use upload::{FileStatus, PlannedFile, UploadOptions, UploadPlan};
