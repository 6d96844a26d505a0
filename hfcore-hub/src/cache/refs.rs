//! Small files that say something about the repository: which commit a revision stands for, that a commit lacks a file.

use std::fs;
use std::io;

use hfcore_weights::RelPath;

use super::{Cache, RepoCache, file, io_error};
use crate::error::HubError;
use crate::repo::{Commit, Revision};

/// By the Cache Directory Tagging Specification (<https://bford.info/cachedir/>): programs that make backups pass over
/// a folder with such a file.
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # Everything in this folder can be downloaded again from the Hugging Face Hub.\n\
    # https://bford.info/cachedir/\n";

impl RepoCache {
    /// Remembers that `revision` stands for `commit` now. Call it after the files of the commit are there: who finds
    /// the reference then finds them. Nothing is written if it says so already, or if the revision is the commit.
    ///
    /// # Errors
    /// If it cannot be written. That may be passed over where everything asked for was cached: the cache may be one
    /// that cannot be written to.
    pub fn write_ref(&self, revision: &Revision, commit: &Commit) -> Result<(), HubError> {
        if revision.as_str() == commit.as_str() {
            return Ok(());
        }
        if let Ok(Some(known)) = self.commit_of(revision)
            && known == *commit
        {
            return Ok(());
        }
        let path = self.ref_path(revision);
        let parent = path.parent().unwrap_or(&self.folder);
        self.make_folder(parent)?;
        // Not beside the reference: what a crash leaves there would be taken for one, by Python for a damaged one.
        let temporary = self.folder.join(format!("ref.{}.tmp", file::unique()));
        let written = file::write_new(&temporary, commit.as_str().as_bytes());
        let renamed = written.and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = renamed {
            // It may not even be there.
            let _ = fs::remove_file(&temporary);
            return Err(io_error(&path, "written")(error));
        }
        file::sync_folder(parent);
        Ok(())
    }

    /// Remembers that `commit` has no `path`.
    ///
    /// # Errors
    /// If it cannot be written; that may be passed over.
    pub fn write_absent(&self, commit: &Commit, path: &RelPath) -> Result<(), HubError> {
        let marker = path.join_to(&self.folder.join(".no_exist").join(commit.as_str()));
        self.make_folder(marker.parent().unwrap_or(&self.folder))?;
        match fs::File::create_new(&marker) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error(&marker, "written")(error))
            }
            _ => Ok(()),
        }
    }
}

impl Cache {
    /// Makes the folder of the cache, and marks it as one for programs that make backups.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn make(&self) -> Result<(), HubError> {
        fs::create_dir_all(&self.root).map_err(io_error(&self.root, "made"))?;
        let tag = self.root.join("CACHEDIR.TAG");
        // A backup that is larger than need be is no reason to fail.
        let _ = file::write_new(&tag, CACHEDIR_TAG.as_bytes());
        Ok(())
    }
}
