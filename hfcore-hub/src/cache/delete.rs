//! Removing what a cache holds: first a plan, which says what would be freed, then its execution, references and links
//! before contents, so that what is cut off leaves no link to nothing (`DeleteCacheStrategy` in
//! `utils/_cache_manager.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::scan::{CacheInfo, CachedFile, CachedRepo, CachedRevision};
use super::{Cache, io_error};
use crate::error::HubError;

/// What a deletion removes, and what that frees.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeletePlan {
    /// Bytes that will be free. Contents that something else needs stay and do not count.
    pub expected_freed: u64,
    /// Folders of whole repositories.
    pub repos: BTreeSet<PathBuf>,
    /// Folders of commits.
    pub snapshots: BTreeSet<PathBuf>,
    /// References.
    pub refs: BTreeSet<PathBuf>,
    /// Files of snapshots.
    pub files: BTreeSet<PathBuf>,
    /// Contents.
    pub blobs: BTreeSet<PathBuf>,
    cache: Cache,
}

/// What a deletion did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Deleted {
    /// How many files and folders are gone, of those that the plan names.
    pub removed: usize,
    /// What could not be removed: it is in use, or may not be.
    pub failures: Vec<HubError>,
    /// It was stopped by the callback; what was not removed is still usable.
    pub stopped: bool,
}

impl CacheInfo {
    /// What `target` means, as commands have it: `org/name` (a model) or `datasets/org/name`, also `model/org/name`, for
    /// all revisions of a repository; a commit or its beginning, of at least 7 digits, for one; `org/name@commit` where
    /// several repositories have it.
    ///
    /// # Errors
    /// [`HubError::Argument`] if the cache has nothing of that name, or several commits begin so.
    pub fn find(&self, target: &str) -> Result<Vec<&CachedRevision>, HubError> {
        let refuse = |why: String| {
            let what = format!("{target:?}");
            Err(HubError::Argument { what, why })
        };
        if let Some(repo) = self.find_repo(target) {
            return Ok(repo.revisions.iter().collect());
        }
        let (repo, prefix) = match target.rsplit_once('@') {
            Some((name, prefix)) => match self.find_repo(name) {
                Some(repo) => (Some(repo), prefix),
                None => return refuse(format!("the cache has no repository {name}")),
            },
            None => (None, target),
        };
        let hexadecimal = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hexadecimal || prefix.len() < 7 {
            return refuse("it is no repository in the cache, and no commit".to_owned());
        }
        let prefix = prefix.to_ascii_lowercase();
        let repos = self.repos.iter();
        let found: Vec<(&CachedRepo, &CachedRevision)> = repos
            .filter(|candidate| repo.is_none_or(|repo| repo.folder == candidate.folder))
            .flat_map(|repo| repo.revisions.iter().map(move |revision| (repo, revision)))
            .filter(|(_, revision)| revision.commit.starts_with(&prefix))
            .collect();
        match found[..] {
            [(_, revision)] => Ok(vec![revision]),
            [] => refuse("the cache has no commit that begins so".to_owned()),
            _ => {
                let names = found
                    .iter()
                    .map(|(repo, revision)| format!("{}@{}", repo.cache_id(), revision.commit));
                let names: Vec<String> = names.collect();
                refuse(format!("it could be {}", names.join(" or ")))
            }
        }
    }

    /// The repository of that name, in upper or lower case: `model/org/name`, `datasets/org/name`, or `org/name` alone for
    /// a model.
    #[must_use]
    pub fn find_repo(&self, name: &str) -> Option<&CachedRepo> {
        let name = name.to_lowercase();
        let called = |repo: &&CachedRepo| {
            let id = repo.id.to_lowercase();
            let with = |kind: &str| name.strip_prefix(kind) == Some(&format!("/{id}"));
            with(repo.repo_type.as_str()) || with(repo.repo_type.plural())
        };
        let is_model = |repo: &&CachedRepo| repo.repo_type == crate::RepoType::Model;
        let mut models = self.repos.iter().filter(is_model);
        let model = models.find(|repo| repo.id.to_lowercase() == name);
        model.or_else(|| self.repos.iter().find(called))
    }

    /// Plans to remove these revisions: their folders, the references to them, and the contents that no other revision
    /// has. A repository of which nothing would be left goes as a whole.
    #[must_use]
    pub fn delete_revisions(&self, revisions: &[&CachedRevision]) -> DeletePlan {
        let selected: BTreeSet<&Path> = revisions.iter().map(|r| r.folder.as_path()).collect();
        let mut plan = self.empty_plan();
        let mut unlinked = BTreeMap::new();
        for repo in &self.repos {
            let (gone, stay): (Vec<_>, Vec<_>) = repo
                .revisions
                .iter()
                .partition(|revision| selected.contains(revision.folder.as_path()));
            if gone.is_empty() {
                continue;
            }
            let kept: BTreeSet<&Path> = blobs(&stay);
            for revision in &gone {
                for file in &revision.files {
                    // What lies elsewhere is not this cache's to remove.
                    if kept.contains(file.blob.as_path()) || !repo.owns(file) {
                        continue;
                    }
                    unlinked.insert(file.blob.clone(), file.size);
                    if !stay.is_empty() && file.blob != file.pointer {
                        plan.blobs.insert(file.blob.clone());
                    }
                }
                if !stay.is_empty() {
                    plan.snapshots.insert(revision.folder.clone());
                    let refs = repo.folder.join("refs");
                    plan.refs
                        .extend(revision.refs.iter().map(|name| refs.join(name)));
                }
            }
            if stay.is_empty() {
                plan.repos.insert(repo.folder.clone());
            }
        }
        plan.expected_freed = self.cache.bytes_freed(&unlinked);
        plan
    }

    /// Plans to remove whole repositories, those without any revision too.
    #[must_use]
    pub fn delete_repos(&self, repos: &[&CachedRepo]) -> DeletePlan {
        let revisions: Vec<_> = repos.iter().flat_map(|repo| &repo.revisions).collect();
        let mut plan = self.delete_revisions(&revisions);
        plan.repos
            .extend(repos.iter().map(|repo| repo.folder.clone()));
        plan
    }

    /// Plans to remove these files: their entries in snapshots, and the contents that no other file has. References and
    /// the folders of commits stay.
    #[must_use]
    pub fn delete_files(&self, files: &[&CachedFile]) -> DeletePlan {
        let selected: BTreeSet<&Path> = files.iter().map(|file| file.pointer.as_path()).collect();
        let mut plan = self.empty_plan();
        let mut unlinked = BTreeMap::new();
        for repo in &self.repos {
            let all = || repo.revisions.iter().flat_map(|revision| &revision.files);
            let stays = |file: &&CachedFile| !selected.contains(file.pointer.as_path());
            let kept: BTreeSet<&Path> = all()
                .filter(stays)
                .map(|file| file.blob.as_path())
                .collect();
            for file in all().filter(|file| !stays(file)) {
                plan.files.insert(file.pointer.clone());
                if kept.contains(file.blob.as_path()) || !repo.owns(file) {
                    continue;
                }
                unlinked.insert(file.blob.clone(), file.size);
                if file.blob != file.pointer {
                    plan.blobs.insert(file.blob.clone());
                }
            }
        }
        plan.expected_freed = self.cache.bytes_freed(&unlinked);
        plan
    }

    fn empty_plan(&self) -> DeletePlan {
        DeletePlan {
            expected_freed: 0,
            repos: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            refs: BTreeSet::new(),
            files: BTreeSet::new(),
            blobs: BTreeSet::new(),
            cache: self.cache.clone(),
        }
    }
}

fn blobs<'a>(revisions: &[&'a CachedRevision]) -> BTreeSet<&'a Path> {
    let files = revisions.iter().flat_map(|revision| &revision.files);
    files.map(|file| file.blob.as_path()).collect()
}

impl Cache {
    /// Bytes that are free once these blobs, with their sizes, are gone. A shared one counts once, if nobody else has it.
    fn bytes_freed(&self, blobs: &BTreeMap<PathBuf, u64>) -> u64 {
        if self.shared_store().is_none() {
            return blobs.values().sum();
        }
        let (mut freed, mut shared) = (0, BTreeSet::new());
        for (blob, size) in blobs {
            match self.shared_target(blob) {
                Some(entry) => _ = shared.insert(entry),
                None => freed += size,
            }
        }
        let gone: BTreeSet<PathBuf> = blobs.keys().cloned().collect();
        let entries = shared.iter();
        freed
            + entries
                .map(|entry| self.shared_bytes_freed(entry, &gone))
                .sum::<u64>()
    }
}

impl DeletePlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths().next().is_none()
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let folders = self.repos.iter().chain(&self.snapshots);
        folders
            .chain(&self.refs)
            .chain(&self.files)
            .chain(&self.blobs)
    }

    /// Does it. `on_path` is told of each file and folder before it is removed, and may stop it there. What another
    /// process is downloading stays.
    pub fn execute(&self, on_path: &mut dyn FnMut(&Path) -> ControlFlow<()>) -> Deleted {
        let shared = self.shared_entries();
        let mut deleted = Deleted::default();
        let mut blobs_needed = false;
        // References first, contents last: whatever is there at any time can be used.
        let unlinked = self.files.iter().map(|path| (path, Kind::File));
        let repos = self.repos.iter().map(|path| (path, Kind::Repo));
        let snapshots = self.snapshots.iter().map(|path| (path, Kind::Folder));
        let refs = self.refs.iter().map(|path| (path, Kind::File));
        let blobs = self.blobs.iter().map(|path| (path, Kind::Blob));
        for (path, kind) in refs
            .chain(unlinked)
            .chain(repos)
            .chain(snapshots)
            .chain(blobs)
        {
            if on_path(path).is_break() {
                deleted.stopped = true;
                break;
            }
            if kind == Kind::Blob && blobs_needed {
                continue;
            }
            match self.cache.remove(path, kind) {
                Ok(true) => deleted.removed += 1,
                Ok(false) => {}
                Err(error) => {
                    deleted.failures.push(error);
                    // A link that stays needs its contents.
                    blobs_needed |= matches!(kind, Kind::File | Kind::Folder);
                }
            }
        }
        let linked = match shared.is_empty() {
            true => BTreeSet::new(),
            false => self.cache.linked_shared_blobs(),
        };
        for entry in shared {
            if let Err(error) = self.cache.sweep_shared_blob(&entry, &linked) {
                deleted.failures.push(io_error(&entry, "removed")(error));
            }
        }
        deleted
    }

    /// The shared blobs that what goes links to: looked at afterwards, whether anybody needs them.
    fn shared_entries(&self) -> BTreeSet<PathBuf> {
        if self.cache.shared_store().is_none() {
            return BTreeSet::new();
        }
        let mut blobs: Vec<PathBuf> = self.blobs.iter().cloned().collect();
        for repo in &self.repos {
            let entries = fs::read_dir(repo.join("blobs"))
                .into_iter()
                .flatten()
                .flatten();
            blobs.extend(entries.map(|entry| entry.path()));
        }
        let entries = blobs
            .iter()
            .filter_map(|blob| self.cache.shared_target(blob));
        entries.collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Blob,
    Repo,
}

impl Cache {
    /// Removes one thing; false if it was gone already.
    fn remove(&self, path: &Path, kind: Kind) -> Result<bool, HubError> {
        let in_use = || {
            let why = "another process is downloading it";
            let error = io::Error::new(io::ErrorKind::ResourceBusy, why);
            Err(io_error(path, "removed")(error))
        };
        match kind {
            Kind::Blob if self.is_blob_locked(path) => return in_use(),
            // The user put it on another disk, or somebody means harm: what it leads to is not removed, as in Python.
            Kind::Repo
                if path
                    .symlink_metadata()
                    .is_ok_and(|metadata| metadata.is_symlink()) => {}
            Kind::Repo => {
                let name = path.file_name().unwrap_or_default();
                if self.is_repo_locked(&name.to_string_lossy()) {
                    return in_use();
                }
                // In this order, so that what is cut off can be used.
                for part in ["refs", "snapshots"] {
                    let part = path.join(part);
                    remove_all(&part).map_err(io_error(&part, "removed"))?;
                }
            }
            _ => {}
        }
        remove_all(path).map_err(io_error(path, "removed"))
    }

    /// Whether somebody has the lock of a blob of a repository.
    pub(super) fn is_blob_locked(&self, blob: &Path) -> bool {
        let folder = blob
            .parent()
            .and_then(Path::parent)
            .and_then(Path::file_name);
        let (Some(folder), Some(name)) = (folder, blob.file_name()) else {
            return false;
        };
        let lock = self.lock_path(&folder.to_string_lossy(), &name.to_string_lossy());
        self.is_locked(&lock)
    }

    /// Whether somebody has the lock of any blob of the repository whose folder is called so.
    fn is_repo_locked(&self, folder: &str) -> bool {
        let locks = self.root.join(".locks").join(folder);
        let entries = fs::read_dir(locks).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| self.is_locked(&entry.path()))
    }
}

/// Removes a file, a link (not what it leads to) or a folder with all in it; false if nothing is there.
pub(super) fn remove_all(path: &Path) -> io::Result<bool> {
    let result = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if super::file::is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
