//! Lock files: what was downloaded is pinned, or is held to what was pinned.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use hfcore::hub::{
    Commit, LockFile, LockedFile, LockedRepo, RelPath, Repo, Revision, Snapshot, hash,
};

use super::Job;
use crate::output::{self, Result, counted};
use crate::progress::Count;

/// What a lock file holds a model to.
pub(super) struct Pins {
    file: LockFile,
    repo: LockedRepo,
}

impl Pins {
    pub(super) fn read(path: &Path, repo: &Repo, revision: &Revision) -> Result<Self> {
        let file = LockFile::read(path)?;
        let repo = file.require(repo, revision)?.clone();
        Ok(Self { file, repo })
    }

    pub(super) const fn commit(&self) -> &Commit {
        &self.repo.commit
    }

    /// Refuses a file that is not pinned.
    pub(super) fn check_names<'a>(
        &self,
        names: impl IntoIterator<Item = &'a RelPath>,
    ) -> Result<()> {
        for name in names {
            self.file.expected(&self.repo, name)?;
        }
        Ok(())
    }

    /// Reads the files, and refuses one that is not what was pinned.
    pub(super) fn check(&self, snapshot: &Snapshot) -> Result<()> {
        self.check_names(snapshot.files.iter().map(|file| &file.path))?;
        let mut repo = self.repo.clone();
        repo.files
            .retain(|path, _| snapshot.files.iter().any(|file| file.path == *path));
        let bytes = repo.files.values().map(|file| file.size).sum();
        let mut count = Count::new("checking", bytes);
        self.file.check(&repo, &snapshot.folder, &mut |progress| {
            count.at(progress.read);
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// Pins what was downloaded.
pub(super) fn write(path: &Path, job: &Job<'_>, snapshot: &Snapshot) -> Result<()> {
    let mut files = BTreeMap::new();
    for file in &snapshot.files {
        let hash = match file.etag.as_ref().and_then(|etag| etag.hash()) {
            Some(hash) => hash,
            // A mirror that names files otherwise.
            None => {
                let path = file.path.join_to(&snapshot.folder);
                hash::hash_file(&path, hash::HashKind::Sha256, &mut |_| {})?.0
            }
        };
        let size = file.size;
        files.insert(file.path.clone(), LockedFile { size, hash });
    }
    let n = counted(files.len(), "file");
    let (repo, revision, commit) = (&job.repo, &job.revision, &snapshot.commit);
    let mut lock = LockFile::read_or_new(path)?;
    let before = lock
        .entry(repo, revision)
        .map(|locked| locked.commit.clone());
    lock.insert(LockedRepo::new(
        repo.clone(),
        revision.clone(),
        commit.clone(),
        files,
    ))?;
    lock.write()?;
    match before {
        Some(before) if before != *commit => output::message(format_args!(
            "{}: {repo}@{revision} was {before} and is {commit} now ({n})",
            path.display()
        )),
        _ => output::message(format_args!(
            "{}: {repo}@{revision} is {commit} ({n})",
            path.display()
        )),
    }
    Ok(())
}
