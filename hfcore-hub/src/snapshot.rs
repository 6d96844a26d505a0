//! All files of a repository at a revision, or those whose names match (`snapshot_download` of `huggingface_hub` 2.4):
//! listed once, with their hashes, and then downloaded several at a time.

use std::path::{Path, PathBuf};
use std::sync::Once;

use hfcore_weights::RelPath;

use crate::cache::{ETag, Lookup, RepoCache};
use crate::disk;
use crate::error::HubError;
use crate::fetch::{Fetched, Wanted};
use crate::fnmatch::Patterns;
use crate::hub::Hub;
use crate::local_folder::LocalFolder;
use crate::parallel;
use crate::progress::Event;
use crate::repo::{Commit, Repo, Revision};
use crate::tree::{self, RepoFile, SkippedFile, Tree};

/// How [`Hub::snapshot`] goes about it. The default is Python's: everything.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// Which files.
    pub patterns: Patterns,
    /// Downloads what is in the cache already, too.
    pub force: bool,
    /// Never asks the network.
    pub local_files_only: bool,
    /// Puts the files into this folder, as plain files, and not into the cache.
    pub to: Option<PathBuf>,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            patterns: Patterns::all(),
            force: false,
            local_files_only: false,
            to: None,
        }
    }
}

impl SnapshotOptions {
    /// Only files that match.
    #[must_use]
    pub fn with_patterns(mut self, patterns: Patterns) -> Self {
        self.patterns = patterns;
        self
    }

    /// Downloads what is in the cache already, too.
    #[must_use]
    pub const fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Never asks the network.
    #[must_use]
    pub const fn with_local_files_only(mut self, local_files_only: bool) -> Self {
        self.local_files_only = local_files_only;
        self
    }

    /// Puts the files into this folder, as plain files, and not into the cache: a folder that loads as it is, on a
    /// machine without a network too. What is there already and unchanged is not downloaded again.
    #[must_use]
    pub fn with_to(mut self, folder: impl Into<PathBuf>) -> Self {
        self.to = Some(folder.into());
        self
    }
}

/// The files of a revision, on this machine.
#[derive(Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The folder they are in.
    pub folder: PathBuf,
    /// What the revision stands for.
    pub commit: Commit,
    /// The files, by path.
    pub files: Vec<SnapshotFile>,
    /// Files that were passed over, since their names could not be written everywhere.
    pub skipped: Vec<SkippedFile>,
    /// Why the cache answered and not the Hub, if it did.
    pub from_cache_because: Option<HubError>,
}

/// One file of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotFile {
    /// Its path in the repository, and below the folder.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// What the Hub calls its contents: their SHA-256 or git's SHA-1. Nothing if the cache does not know.
    pub etag: Option<ETag>,
    /// Whether any of it was downloaded now.
    pub downloaded: bool,
}

/// What [`Hub::snapshot`] would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotPlan {
    /// What the revision stands for.
    pub commit: Commit,
    /// The files, by path.
    pub files: Vec<PlannedFile>,
    /// Files that would be passed over.
    pub skipped: Vec<SkippedFile>,
}

impl SnapshotPlan {
    /// How many bytes would be downloaded, as far as sizes are known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let missing = self.files.iter().filter(|file| !file.present);
        missing.filter_map(|file| file.size).sum()
    }
}

/// One file of a [`SnapshotPlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFile {
    /// Its path in the repository.
    pub path: RelPath,
    /// Bytes, if the Hub says.
    pub size: Option<u64>,
    /// Whether it is there already.
    pub present: bool,
}

impl Hub {
    /// The files at `revision` that match, downloaded if they are not there. The first that fails ends it; what is there
    /// by then stays, and the next call goes on from it.
    ///
    /// Where the Hub cannot be reached, or does not let this account in, the snapshot that the cache has is the answer,
    /// if it is known to have all files that are asked for or nothing is known to be missing, as in Python.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn snapshot(
        &self,
        repo: &Repo,
        revision: &Revision,
        options: &SnapshotOptions,
    ) -> Result<Snapshot, HubError> {
        self.check_force(options.force, options.local_files_only)?;
        self.snapshot_inner(repo, revision, options)
            .map_err(|error| self.explain(error, options.local_files_only))
    }

    /// What [`snapshot`](Self::snapshot) would download. Nothing is written but the listing.
    ///
    /// # Errors
    /// If there is no such repository or revision, it is not for this account, or there is no network and the listing
    /// was not kept.
    pub fn plan_snapshot(
        &self,
        repo: &Repo,
        revision: &Revision,
        options: &SnapshotOptions,
    ) -> Result<SnapshotPlan, HubError> {
        self.plan_inner(repo, revision, options)
            .map_err(|error| self.explain(error, options.local_files_only))
    }

    fn plan_inner(
        &self,
        repo: &Repo,
        revision: &Revision,
        options: &SnapshotOptions,
    ) -> Result<SnapshotPlan, HubError> {
        let commit = self
            .resolve_with(repo, revision, options.local_files_only)?
            .commit;
        let tree = self.listing(repo, &commit, options)?;
        // A folder that is not there has nothing, and is not made for a plan.
        let target = match &options.to {
            Some(folder) if !folder.exists() => None,
            _ => Some(self.target(repo, options)?),
        };
        let is_present = |file: &RepoFile| {
            let target = target.as_ref();
            !options.force && target.is_some_and(|target| target.has(&commit, file))
        };
        let files = chosen(&tree, &options.patterns).map(|file| PlannedFile {
            path: file.path.clone(),
            size: file.size,
            present: is_present(file),
        });
        let mut files: Vec<PlannedFile> = files.collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(SnapshotPlan {
            commit,
            files,
            skipped: tree.skipped,
        })
    }

    fn listing(
        &self,
        repo: &Repo,
        commit: &Commit,
        options: &SnapshotOptions,
    ) -> Result<Tree, HubError> {
        let Some(why) = self.offline_because(options.local_files_only) else {
            return self.tree(repo, commit);
        };
        let kept = tree::read_kept(&self.cache().repo(repo), commit);
        kept.ok_or_else(|| HubError::Offline {
            what: format!("the list of files of {repo}"),
            why,
        })
    }

    fn target(&self, repo: &Repo, options: &SnapshotOptions) -> Result<Target, HubError> {
        let cache = self.cache().repo(repo);
        Ok(match &options.to {
            Some(folder) => Target::Folder(LocalFolder::new(folder, cache)?),
            None => Target::Cache(cache),
        })
    }

    fn snapshot_inner(
        &self,
        repo: &Repo,
        revision: &Revision,
        options: &SnapshotOptions,
    ) -> Result<Snapshot, HubError> {
        let resolved = self.resolve_with(repo, revision, options.local_files_only)?;
        let commit = resolved.commit;
        if let Some(why) = self.offline_because(options.local_files_only) {
            let because = resolved
                .from_cache_because
                .unwrap_or_else(|| HubError::Offline {
                    what: format!("the files of {repo}"),
                    why,
                });
            return self.cached_snapshot(repo, revision, commit, options, because);
        }
        if let Some(because) = resolved.from_cache_because {
            return self.cached_snapshot(repo, revision, commit, options, because);
        }
        let tree = match self.tree(repo, &commit) {
            Ok(tree) => tree,
            Err(error) if error.leaves_the_cache() => {
                return self.cached_snapshot(repo, revision, commit, options, error);
            }
            Err(error) => return Err(error),
        };
        self.fetch_snapshot(repo, revision, commit, tree, options)
    }

    fn fetch_snapshot(
        &self,
        repo: &Repo,
        revision: &Revision,
        commit: Commit,
        tree: Tree,
        options: &SnapshotOptions,
    ) -> Result<Snapshot, HubError> {
        let target = self.target(repo, options)?;
        let mut skipped = tree.skipped.clone();
        let mut wanted: Vec<&RepoFile> = Vec::new();
        for file in chosen(&tree, &options.patterns) {
            match target.refuses(&file.path) {
                Some(why) => skipped.push(SkippedFile {
                    name: file.path.to_string(),
                    why: why.to_owned(),
                }),
                None => wanted.push(file),
            }
        }
        let (present, mut missing): (Vec<&RepoFile>, Vec<&RepoFile>) = wanted
            .into_iter()
            .partition(|file| !options.force && target.has(&commit, file));
        // Large files first: a small one at the end keeps nobody waiting.
        missing.sort_by(|a, b| b.size.cmp(&a.size).then(a.path.cmp(&b.path)));
        let bytes = missing.iter().filter_map(|file| file.size).sum();
        self.http().progress().event(&Event::Plan {
            repo,
            commit: &commit,
            files: missing.len(),
            bytes,
            present: present.len(),
        });
        let partly = target.bytes_under_way(&missing);
        disk::check(
            target.folder(&commit).as_ref(),
            bytes.saturating_sub(partly),
        )?;
        let keep = Once::new();
        let downloaded = parallel::run(
            self.workers(),
            &missing,
            |file, stop| -> Result<Fetched, HubError> {
                let mut wanted = match file.etag() {
                    Some(etag) => Wanted {
                        commit: &commit,
                        revision,
                        path: &file.path,
                        etag: Some(etag),
                        size: file.size,
                        xet_hash: file.xet_hash.clone(),
                        force: options.force,
                        stop: None,
                    },
                    // The mirror lists no hashes.
                    None => {
                        let cache = self.cache().repo(repo);
                        self.describe(&cache, &commit, revision, &file.path, options.force)?
                    }
                };
                wanted.stop = Some(stop);
                let fetched = match &target {
                    Target::Cache(cache) => self.fetch(cache, &wanted),
                    Target::Folder(folder) => self.fetch_to_folder(folder, &wanted),
                }?;
                // Early, so that a snapshot that is cut off is known to lack something.
                keep.call_once(|| tree::write_kept(target.listings(), &commit, &tree));
                Ok(fetched)
            },
        )?;
        if !present.is_empty() && tree::read_kept(target.listings(), &commit).is_none() {
            tree::write_kept(target.listings(), &commit, &tree);
        }
        let mut files = Vec::new();
        for file in present {
            if let (Target::Folder(folder), Some(etag)) = (&target, file.etag()) {
                // Of this commit now, too. The folder may be one that cannot be written to.
                let _ = folder.remember(&commit, &file.path, &etag);
            }
            files.push(target.file(&commit, file, file.etag(), false)?);
        }
        for (file, fetched) in missing.into_iter().zip(downloaded) {
            files.push(target.file(&commit, file, Some(fetched.etag), fetched.downloaded)?);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if let (Target::Cache(cache), false) = (&target, files.is_empty()) {
            let nothing_new = files.iter().all(|file| !file.downloaded);
            match cache.write_ref(revision, &commit) {
                // All was there: the cache may be one that cannot be written to.
                Err(_) if nothing_new => {}
                written => written?,
            }
        }
        Ok(Snapshot {
            folder: target.folder(&commit),
            commit,
            files,
            skipped,
            from_cache_because: None,
        })
    }

    /// The snapshot that is there, without the network.
    fn cached_snapshot(
        &self,
        repo: &Repo,
        revision: &Revision,
        commit: Commit,
        options: &SnapshotOptions,
        because: HubError,
    ) -> Result<Snapshot, HubError> {
        let target = self.target(repo, options)?;
        let folder = target.folder(&commit);
        let tree = match tree::read_kept(target.listings(), &commit) {
            Some(tree) => tree,
            None => {
                let mut files = Vec::new();
                walk(&folder, "", &mut files);
                // In a folder of the user's own there may be files that are no repository's.
                if files.is_empty() || options.to.is_some() {
                    return Err(self.not_cached(repo, revision, "snapshot", because));
                }
                Tree {
                    files,
                    skipped: Vec::new(),
                }
            }
        };
        let mut files = Vec::new();
        for file in chosen(&tree, &options.patterns) {
            let found = target.file(&commit, file, file.etag(), false);
            match found {
                Ok(found) if target.has(&commit, file) => files.push(found),
                Err(error @ HubError::CacheDamaged { .. }) => return Err(error),
                _ => {
                    return Err(self.not_cached(repo, revision, file.path.as_str(), because));
                }
            }
        }
        if files.is_empty() && !folder.is_dir() {
            return Err(self.not_cached(repo, revision, "snapshot", because));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Snapshot {
            folder,
            commit,
            files,
            skipped: tree.skipped,
            from_cache_because: Some(because),
        })
    }
}

fn chosen<'a>(tree: &'a Tree, patterns: &'a Patterns) -> impl Iterator<Item = &'a RepoFile> {
    tree.files
        .iter()
        .filter(|file| patterns.matches(file.path.as_str()))
}

/// Where the files of a snapshot go.
enum Target {
    Cache(RepoCache),
    Folder(LocalFolder),
}

impl Target {
    fn folder(&self, commit: &Commit) -> PathBuf {
        match self {
            Self::Cache(cache) => cache.snapshot(commit),
            Self::Folder(folder) => folder.root().to_owned(),
        }
    }

    /// Whether `file` is there.
    fn has(&self, commit: &Commit, file: &RepoFile) -> bool {
        match self {
            Self::Cache(cache) => match cache.lookup(commit, &file.path) {
                Ok(Lookup::Found(found)) => {
                    let size = found.metadata().ok().map(|metadata| metadata.len());
                    file.size.is_none() || size == file.size
                }
                _ => false,
            },
            Self::Folder(folder) => folder.has(commit, &file.path, file.etag().as_ref(), file.size),
        }
    }

    /// Where listings of files are kept.
    fn listings(&self) -> &RepoCache {
        match self {
            Self::Cache(cache) => cache,
            Self::Folder(folder) => folder.staging(),
        }
    }

    /// Why a file of that name is not written there.
    fn refuses(&self, path: &RelPath) -> Option<&'static str> {
        match self {
            Self::Cache(_) => None,
            Self::Folder(_) => LocalFolder::refuses(path),
        }
    }

    /// How much of what is missing need not be downloaded: blobs that other commits have.
    fn bytes_under_way(&self, missing: &[&RepoFile]) -> u64 {
        let Self::Cache(cache) = self else {
            return 0;
        };
        let present = missing.iter().filter(|file| {
            let blob = file
                .etag()
                .and_then(|etag| cache.find_blob(&etag, file.size));
            blob.is_some()
        });
        present.filter_map(|file| file.size).sum()
    }

    fn file(
        &self,
        commit: &Commit,
        file: &RepoFile,
        etag: Option<ETag>,
        downloaded: bool,
    ) -> Result<SnapshotFile, HubError> {
        if let Self::Cache(cache) = self {
            // An error if it is a link to elsewhere.
            cache.lookup(commit, &file.path)?;
        }
        let path = file.path.join_to(&self.folder(commit));
        let metadata = path.metadata().map_err(|source| HubError::Io {
            path,
            doing: "read",
            source,
        })?;
        Ok(SnapshotFile {
            path: file.path.clone(),
            size: metadata.len(),
            etag,
            downloaded,
        })
    }
}

/// The files below a snapshot's folder, for a commit whose listing was not kept.
fn walk(folder: &Path, prefix: &str, files: &mut Vec<RepoFile>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{path}/"), files),
            Ok(_) => files.extend(RelPath::parse(&path).ok().map(RepoFile::named)),
            Err(_) => {}
        }
    }
}
