//! The files of a commit, with their sizes and hashes: what a snapshot is made of. A commit never changes, so its
//! listing is kept in the cache.

use std::collections::{BTreeMap, HashSet};

use hfcore_weights::RelPath;
use serde::Deserialize;

use crate::cache::{ETag, ListedFile, RepoCache};
use crate::error::HubError;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::metadata::is_xet_hash;
use crate::repo::{Commit, Repo, Revision};

/// Ten times the largest repository that is known.
const MAX_FILES: usize = 1_000_000;

/// Of all their names together.
const MAX_NAME_BYTES: usize = 256 << 20;

/// One file of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepoFile {
    /// Its path.
    pub path: RelPath,
    /// Its size in bytes; nothing if a mirror does not say.
    pub size: Option<u64>,
    /// Git's SHA-1 of what lies in git, 40 digits: the contents, or for a large file the pointer to them.
    pub oid: Option<String>,
    /// The SHA-256 of the contents, 64 digits, if they lie in LFS.
    pub sha256: Option<String>,
    /// The name of the contents in the Xet store, 64 digits, if they are in it.
    pub xet_hash: Option<String>,
}

impl RepoFile {
    /// A file of which only the name is known.
    pub(crate) const fn named(path: RelPath) -> Self {
        Self {
            path,
            size: None,
            oid: None,
            sha256: None,
            xet_hash: None,
        }
    }

    /// What the Hub calls the contents, and the cache the blob: the SHA-256 of a large file, git's SHA-1 of another.
    #[must_use]
    pub fn etag(&self) -> Option<ETag> {
        let hash = self.sha256.as_ref().or(self.oid.as_ref())?;
        ETag::parse(hash).ok()
    }
}

/// A file that a repository lists and that is passed over, since its name could not be written everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedFile {
    /// Its name, shortened if it is very long.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// The files of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tree {
    /// Those that can be had, in the Hub's order.
    pub files: Vec<RepoFile>,
    /// Those that cannot.
    pub skipped: Vec<SkippedFile>,
}

/// An entry of `/tree/`.
#[derive(Deserialize)]
struct TreeEntry {
    r#type: String,
    path: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    oid: Option<String>,
    #[serde(default)]
    lfs: Option<TreeLfs>,
    #[serde(default, rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct TreeLfs {
    oid: String,
    size: u64,
}

/// The `siblings` of `/revision/`, for mirrors without `/tree/`.
#[derive(Deserialize)]
struct SiblingsReply {
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, rename = "blobId")]
    blob_id: Option<String>,
    #[serde(default)]
    lfs: Option<SiblingLfs>,
}

#[derive(Deserialize)]
struct SiblingLfs {
    sha256: String,
    size: u64,
}

impl Hub {
    /// The files of `commit`. Those whose names could not be written on every system are left out:
    /// [`tree`](Self::tree) names them.
    ///
    /// # Errors
    /// If there is no such repository or commit, it is not for this account, or there is no network and the listing was
    /// not kept.
    pub fn list_files(&self, repo: &Repo, commit: &Commit) -> Result<Vec<RepoFile>, HubError> {
        Ok(self.tree(repo, commit)?.files)
    }

    /// The files of `commit`, and the names that are passed over. A [`snapshot`](Self::snapshot) keeps its listing, which
    /// is then the answer.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub fn tree(&self, repo: &Repo, commit: &Commit) -> Result<Tree, HubError> {
        match read_kept(&self.cache().repo(repo), commit) {
            Some(kept) => Ok(kept),
            None => self.ask_tree(repo, commit),
        }
    }

    /// The listing, from the Hub.
    pub(crate) fn ask_tree(&self, repo: &Repo, commit: &Commit) -> Result<Tree, HubError> {
        let revision = Revision::from(commit.clone());
        let request = self
            .repo_request(Method::Get, repo, &format!("/tree/{commit}?recursive=true"))?
            .at(&revision)
            .doing(format!("listing the files of {repo}"));
        let mut listing = Listing::new(format!("{}/api/{repo}/tree", self.endpoint()));
        for (at, entry) in self.http().pages::<TreeEntry>(request).enumerate() {
            match entry {
                Ok(entry) if entry.r#type == "file" => listing.add_entry(entry)?,
                Ok(_) => {}
                Err(HubError::Status { status: 404, .. }) if at == 0 => {
                    return self.ask_siblings(repo, &revision);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listing.tree)
    }

    fn ask_siblings(&self, repo: &Repo, revision: &Revision) -> Result<Tree, HubError> {
        let suffix = format!("/revision/{revision}?blobs=true");
        let request = self
            .repo_request(Method::Get, repo, &suffix)?
            .at(revision)
            .doing(format!("listing the files of {repo}"));
        let reply: SiblingsReply = self.http().send(&request)?.json()?;
        let mut listing = Listing::new(format!("{}/api/{repo}/revision", self.endpoint()));
        for sibling in reply.siblings {
            let lfs = sibling.lfs;
            listing.add(
                &sibling.rfilename,
                lfs.as_ref().map(|lfs| lfs.size).or(sibling.size),
                sibling.blob_id,
                lfs.map(|lfs| lfs.sha256),
                None,
            )?;
        }
        Ok(listing.tree)
    }
}

/// A listing as it grows, within its limits.
struct Listing {
    url: String,
    names: HashSet<String>,
    name_bytes: usize,
    tree: Tree,
}

impl Listing {
    fn new(url: String) -> Self {
        Self {
            url,
            names: HashSet::new(),
            name_bytes: 0,
            tree: Tree {
                files: Vec::new(),
                skipped: Vec::new(),
            },
        }
    }

    fn add_entry(&mut self, entry: TreeEntry) -> Result<(), HubError> {
        let size = entry.lfs.as_ref().map(|lfs| lfs.size).or(entry.size);
        let sha256 = entry.lfs.map(|lfs| lfs.oid);
        self.add(&entry.path, size, entry.oid, sha256, entry.xet_hash)
    }

    fn add(
        &mut self,
        name: &str,
        size: Option<u64>,
        oid: Option<String>,
        sha256: Option<String>,
        xet_hash: Option<String>,
    ) -> Result<(), HubError> {
        let refuse = |why: String| HubError::BadReply {
            url: self.url.clone(),
            why,
        };
        self.name_bytes += name.len();
        if self.names.len() >= MAX_FILES || self.name_bytes > MAX_NAME_BYTES {
            return Err(refuse("it lists more than a million files".to_owned()));
        }
        let short = || name.chars().take(200).collect::<String>();
        if !self.names.insert(name.to_owned()) {
            return Err(refuse(format!("it lists {:?} twice", short())));
        }
        let hexadecimal = |text: &str, digits| {
            let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            text.len() == digits && text.bytes().all(digit)
        };
        if oid.as_ref().is_some_and(|oid| !hexadecimal(oid, 40))
            || sha256.as_ref().is_some_and(|hash| !hexadecimal(hash, 64))
        {
            return Err(refuse(format!("the hash of {:?} is none", short())));
        }
        match RelPath::parse(name) {
            Ok(path) => self.tree.files.push(RepoFile {
                path,
                size,
                oid,
                sha256,
                xet_hash: xet_hash.filter(|hash| is_xet_hash(hash)),
            }),
            Err(error) => self.tree.skipped.push(SkippedFile {
                name: short(),
                why: error.to_string(),
            }),
        }
        Ok(())
    }
}

/// The listing that was kept, if one was and it is whole: anything else is asked for again.
pub(crate) fn read_kept(cache: &RepoCache, commit: &Commit) -> Option<Tree> {
    let mut listing = Listing::new(String::new());
    for (path, file) in cache.read_listing(commit)? {
        let size = Some(file.lfs_size.unwrap_or(file.size));
        let (oid, sha256) = (Some(file.blob_id), file.lfs_sha256);
        listing
            .add(path.as_str(), size, oid, sha256, file.xet_hash)
            .ok()?;
    }
    Some(listing.tree)
}

/// Keeps a listing that Python could use: with all sizes and hashes, and nothing passed over. Whether it could be kept
/// does not matter: the cache may be one that cannot be written to. There should be a snapshot: a folder of a repository
/// that has none is damage to Python's eyes.
pub(crate) fn write_kept(cache: &RepoCache, commit: &Commit, tree: &Tree) {
    if !tree.skipped.is_empty() {
        return;
    }
    let kept = |file: &RepoFile| {
        let size = file.size?;
        let mut listed = ListedFile::new(size, file.oid.clone()?);
        if let Some(sha256) = &file.sha256 {
            listed = listed.with_lfs(sha256.clone(), size);
        }
        if let Some(xet_hash) = &file.xet_hash {
            listed = listed.with_xet_hash(xet_hash.clone());
        }
        Some((file.path.clone(), listed))
    };
    if let Some(files) = tree
        .files
        .iter()
        .map(kept)
        .collect::<Option<BTreeMap<_, _>>>()
    {
        let _ = cache.write_listing(commit, &files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;

    fn listing(names: &[&str]) -> Result<Tree, HubError> {
        let mut listing = Listing::new("https://hub/api".to_owned());
        for name in names {
            listing.add(name, Some(1), Some("0".repeat(40)), None, None)?;
        }
        Ok(listing.tree)
    }

    #[test]
    fn hostile_names_are_passed_over_and_named() {
        let tree = listing(&["a.txt", "../x", "/etc/passwd", "C:\\x", "con", "a/b"]).unwrap();
        let kept: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(kept, ["a.txt", "a/b"]);
        let skipped: Vec<&str> = tree.skipped.iter().map(|file| &*file.name).collect();
        assert_eq!(skipped, ["../x", "/etc/passwd", "C:\\x", "con"]);
    }

    #[test]
    fn a_listing_that_contradicts_itself_is_refused() {
        let error = listing(&["a", "a"]).unwrap_err().to_string();
        assert!(error.ends_with("it lists \"a\" twice"), "{error}");
        let mut listing = Listing::new(String::new());
        let hash = Some("../../x".to_owned());
        assert!(listing.add("a", None, hash, None, None).is_err());
    }

    #[test]
    fn a_listing_comes_back_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path()).repo(&Repo::model("org/name").unwrap());
        let commit = Commit::parse(&"c".repeat(40)).unwrap();
        let mut listing = Listing::new(String::new());
        let (oid, sha256) = ("0".repeat(40), "1".repeat(64));
        let add = listing.add("a.txt", Some(3), Some(oid.clone()), None, None);
        add.unwrap();
        let xet = Some("2".repeat(64));
        let add = listing.add("b", Some(9), Some(oid), Some(sha256.clone()), xet);
        add.unwrap();
        write_kept(&cache, &commit, &listing.tree);
        assert_eq!(read_kept(&cache, &commit), Some(listing.tree.clone()));
        assert_eq!(listing.tree.files[1].etag().unwrap().as_str(), sha256);
    }

    #[test]
    fn a_listing_that_python_could_not_use_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path()).repo(&Repo::model("org/name").unwrap());
        let commit = Commit::parse(&"c".repeat(40)).unwrap();
        write_kept(&cache, &commit, &listing(&["a", "../x"]).unwrap());
        let mut unknown = listing(&["a"]).unwrap();
        unknown.files[0].size = None;
        write_kept(&cache, &commit, &unknown);
        assert_eq!(read_kept(&cache, &commit), None);
        write_kept(&cache, &commit, &listing(&["a"]).unwrap());
        assert!(read_kept(&cache, &commit).is_some());
    }
}
