//! Which files a commit has: `trees/<commit>.json`, which never changes (`_tree_cache.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use hfcore_weights::RelPath;
use serde::{Deserialize, Serialize};

use super::{RepoCache, file, io_error, shared};
use crate::error::HubError;
use crate::repo::Commit;

/// About a million files.
const MAX_BYTES: u64 = 256 << 20;
/// The version of the format that Python writes.
const FORMAT_VERSION: u32 = 1;

/// What the Hub says of one file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListedFile {
    /// Bytes.
    pub size: u64,
    /// Git's SHA-1: of the contents, or, for a file in LFS, of the pointer to them.
    pub blob_id: String,
    /// The SHA-256 of the contents, for a file in LFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lfs_sha256: Option<String>,
    /// Bytes of the contents, for a file in LFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lfs_size: Option<u64>,
    /// What Xet calls the contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xet_hash: Option<String>,
}

impl ListedFile {
    /// A file of `size` bytes whose blob git calls `blob_id`.
    #[must_use]
    pub const fn new(size: u64, blob_id: String) -> Self {
        Self {
            size,
            blob_id,
            lfs_sha256: None,
            lfs_size: None,
            xet_hash: None,
        }
    }

    /// Its contents are in LFS: their SHA-256, and how many bytes they are.
    #[must_use]
    pub fn with_lfs(mut self, sha256: String, size: u64) -> Self {
        self.lfs_sha256 = Some(sha256);
        self.lfs_size = Some(size);
        self
    }

    /// What Xet calls its contents.
    #[must_use]
    pub fn with_xet_hash(mut self, xet_hash: String) -> Self {
        self.xet_hash = Some(xet_hash);
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Listing {
    format_version: u32,
    files: BTreeMap<String, ListedFile>,
}

impl RepoCache {
    /// The files of `commit`, if they were listed before. What is damaged, or has names or hashes that no file of a
    /// repository has, is as if it were not there.
    #[must_use]
    pub fn read_listing(&self, commit: &Commit) -> Option<BTreeMap<RelPath, ListedFile>> {
        let bytes = file::read_limited(&self.listing_path(commit), MAX_BYTES).ok()?;
        let listing: Listing = serde_json::from_slice(&bytes).ok()?;
        if listing.format_version != FORMAT_VERSION {
            return None;
        }
        let files = listing.files.into_iter();
        files
            .map(|(path, file)| {
                let plain = file.xet_hash.as_deref().is_none_or(shared::is_xet_hash);
                plain.then_some((RelPath::parse(&path).ok()?, file))
            })
            .collect()
    }

    /// Remembers the files of `commit`.
    ///
    /// # Errors
    /// If they cannot be written; that may be passed over.
    pub fn write_listing(
        &self,
        commit: &Commit,
        files: &BTreeMap<RelPath, ListedFile>,
    ) -> Result<(), HubError> {
        let path = self.listing_path(commit);
        let folder = path.parent().unwrap_or(&self.folder);
        self.make_folder(folder)?;
        let listing = Listing {
            format_version: FORMAT_VERSION,
            files: files
                .iter()
                .map(|(path, file)| (path.to_string(), file.clone()))
                .collect(),
        };
        let json = serde_json::to_vec_pretty(&listing)
            .map_err(|error| io_error(&path, "written")(error.into()))?;
        let temporary = folder.join(format!("{commit}.{}.tmp", file::unique()));
        let written =
            file::write_new(&temporary, &json).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error(&path, "written")(error)
        })
    }

    fn listing_path(&self, commit: &Commit) -> PathBuf {
        self.folder.join("trees").join(format!("{commit}.json"))
    }
}
