//! A model of the Hub, fetched as far as loading reads it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hfcore_hub::{
    Commit, Hub, HubError, LockFile, LockedRepo, Patterns, RelPath, Revision, SnapshotOptions,
    SnapshotPlan,
};

use super::selection::{Checkpoint, Selection, inside, names_inside};
use super::{Network, Pretrained, Request, cached};
use crate::error::Error;
use crate::model_dir::ModelDir;

/// What to do where the cache is all there is.
const REMEDY: &str = "fetch it while there is a network (`hfcore download`)";

/// The model, from the cache as far as it is there.
pub(super) fn fetch(source: &Pretrained, request: &Request) -> Result<ModelDir, Error> {
    let lock = Lock::read(source.lock_file.as_deref(), request)?;
    let hub = source.network.hub(request)?;
    let (dir, used) = if source.local_files_only || hub.offline().is_some() {
        let means_network = [
            (source.network.force_download, "force_download"),
            (source.network.to.is_some(), "a folder to download to"),
        ];
        if let Some((_, what)) = means_network.iter().find(|(is_set, _)| *is_set) {
            return Err(argument(what, "the network is off"));
        }
        offline(request, lock.as_ref())?
    } else {
        match online(source, request, lock.as_ref(), &hub) {
            // Where the Hub gives no answer, what the cache has is one, as in Python.
            Err(Error::Hub(error))
                if error.leaves_the_cache() && source.network.may_use_cache() =>
            {
                match (offline(request, lock.as_ref()), error) {
                    (Ok(found), _) => found,
                    (Err(Error::Hub(missing)), error @ HubError::Network { .. }) => {
                        return Err(missing.because_of(error).into());
                    }
                    (Err(_), error) => return Err(error.into()),
                }
            }
            fetched => fetched?,
        }
    };
    if let Some(lock) = &lock {
        lock.check(&dir, &used)?;
    }
    Ok(dir)
}

/// The model and the files that loading it reads, without the network.
fn offline(request: &Request, lock: Option<&Lock>) -> Result<(ModelDir, Vec<String>), Error> {
    match lock {
        None => cached::find(request, REMEDY, &request.revision, None),
        Some(lock) => {
            let commit = Revision::from(lock.repo.commit.clone());
            cached::find(request, REMEDY, &commit, Some(lock.names()))
        }
    }
}

/// What loading reads of a commit.
struct Contents {
    commit: Commit,
    selection: Selection,
}

impl Contents {
    /// Asks the Hub; with `local_files_only` its answers of earlier times are taken, or none.
    fn ask(
        request: &Request,
        lock: Option<&Lock>,
        hub: &Hub,
        local_files_only: bool,
    ) -> Result<Self, Error> {
        let repo = &request.repo;
        let (commit, listed) = match lock {
            Some(lock) => (lock.repo.commit.clone(), lock.names()),
            None => {
                let resolved = hub.resolve_with(repo, &request.revision, local_files_only)?;
                let names = if local_files_only {
                    let kept = request.cache.repo(repo).read_listing(&resolved.commit);
                    let kept = kept.ok_or_else(|| HubError::Offline {
                        what: format!("the list of files of {repo}"),
                        why: "the option `local_files_only`",
                    })?;
                    kept.into_keys().map(|path| path.to_string()).collect()
                } else if let Some(why) = resolved.from_cache_because {
                    return Err(why.into());
                } else {
                    let files = hub.list_files(repo, &resolved.commit)?;
                    files.iter().map(|file| file.path.to_string()).collect()
                };
                (resolved.commit, names)
            }
        };
        let subfolder = request.subfolder.as_ref();
        let names = names_inside(listed.iter().map(String::as_str), subfolder);
        let selection = Selection::new(names, request.variant.as_deref())?;
        match &selection.weights {
            Checkpoint::None { wanted, instead } if !request.skip_weights => {
                Err(Error::NoWeights {
                    origin: format!("{repo}@{commit}"),
                    wanted: inside(subfolder, wanted),
                    instead: instead.clone(),
                })
            }
            _ => Ok(Self { commit, selection }),
        }
    }

    /// All but the shards.
    fn first_files(&self, request: &Request) -> Vec<String> {
        let files = self.selection.files(request.skip_weights);
        let subfolder = request.subfolder.as_ref();
        files.iter().map(|name| inside(subfolder, name)).collect()
    }

    /// The index of the shards, if they are wanted and there are several.
    fn index(&self, request: &Request) -> Option<&str> {
        match &self.selection.weights {
            Checkpoint::Index(index) if !request.skip_weights => Some(index),
            _ => None,
        }
    }
}

fn online(
    source: &Pretrained,
    request: &Request,
    lock: Option<&Lock>,
    hub: &Hub,
) -> Result<(ModelDir, Vec<String>), Error> {
    let contents = Contents::ask(request, lock, hub, false)?;
    let fetch = |files: &[String]| -> Result<PathBuf, Error> {
        let mut options = only(files).with_force(source.network.force_download);
        options.to.clone_from(&source.network.to);
        let by_commit = Revision::from(contents.commit.clone());
        Ok(hub.snapshot(&request.repo, &by_commit, &options)?.folder)
    };
    let mut used = contents.first_files(request);
    let folder = fetch(&used)?;
    if let Some(index) = contents.index(request) {
        let shards = cached::shards(request, &folder, index)?;
        fetch(&shards)?;
        used.extend(shards);
    }
    if lock.is_none() && source.network.to.is_none() {
        // The branch is remembered once all of its files are there. A cache that cannot be written to has them already.
        let cache = request.cache.repo(&request.repo);
        let _ = cache.write_ref(&request.revision, &contents.commit);
    }
    let dir = cached::model_dir(request, &folder, contents.commit)?;
    Ok((dir, used))
}

/// What [`fetch`] would download. Of a model in several files, the index is fetched to know which.
pub(super) fn plan(source: &Pretrained, request: &Request) -> Result<SnapshotPlan, Error> {
    let lock = Lock::read(source.lock_file.as_deref(), request)?;
    let hub = source.network.hub(request)?;
    let local_files_only = source.local_files_only;
    let contents = Contents::ask(request, lock.as_ref(), &hub, local_files_only)?;
    let by_commit = Revision::from(contents.commit.clone());
    let mut files = contents.first_files(request);
    if let Some(index) = contents.index(request) {
        let path = inside(request.subfolder.as_ref(), index);
        let snapshot = hub.snapshot(
            &request.repo,
            &by_commit,
            &only(&[path]).with_local_files_only(local_files_only),
        )?;
        files.extend(cached::shards(request, &snapshot.folder, index)?);
    }
    let mut options = only(&files)
        .with_force(source.network.force_download)
        .with_local_files_only(local_files_only);
    options.to.clone_from(&source.network.to);
    Ok(hub.plan_snapshot(&request.repo, &by_commit, &options)?)
}

/// These files and no others.
fn only(files: &[String]) -> SnapshotOptions {
    // Of what has a meaning in a pattern, only `[` can be in the name of a file.
    let patterns = Patterns::all().allow(files.iter().map(|name| name.replace('[', "[[]")));
    SnapshotOptions::default().with_patterns(patterns)
}

/// What a lock file says of the model.
struct Lock {
    file: LockFile,
    repo: LockedRepo,
}

impl Lock {
    fn read(path: Option<&Path>, request: &Request) -> Result<Option<Self>, Error> {
        let Some(path) = path else {
            return Ok(None);
        };
        let file = LockFile::read(path)?;
        let repo = file.require(&request.repo, &request.revision)?.clone();
        Ok(Some(Self { file, repo }))
    }

    fn names(&self) -> Vec<String> {
        self.repo.files.keys().map(ToString::to_string).collect()
    }

    /// Reads what loading is going to read, and compares.
    fn check(&self, dir: &ModelDir, used: &[String]) -> Result<(), Error> {
        let mut repo = self.repo.clone();
        for name in used {
            let path = RelPath::parse(name).map_err(HubError::from)?;
            self.file.expected(&self.repo, &path)?;
        }
        repo.files
            .retain(|path, _| used.iter().any(|name| name == path.as_str()));
        let snapshot = dir.snapshot().unwrap_or_else(|| dir.path());
        Ok(self
            .file
            .check(&repo, snapshot, &mut |_| ControlFlow::Continue(()))?)
    }
}

impl Network {
    /// Whether what is in the cache will do.
    const fn may_use_cache(&self) -> bool {
        !self.force_download && self.to.is_none()
    }

    /// The Hub to ask.
    fn hub(&self, request: &Request) -> Result<Hub, Error> {
        if let Some(hub) = &self.hub {
            for (is_set, what) in [
                (self.token.is_some(), "a token"),
                (self.progress.is_some(), "a progress"),
            ] {
                if is_set {
                    return Err(argument(what, "the Hub that is given has its own"));
                }
            }
            return Ok(hub.clone());
        }
        let mut builder = Hub::builder()?.cache(request.cache.root());
        if let Some(token) = &self.token {
            builder = builder.token(token.clone());
        }
        if let Some(progress) = &self.progress {
            builder = builder.progress(progress.clone());
        }
        Ok(builder.build()?)
    }
}

fn argument(what: &str, why: &str) -> Error {
    let (what, why) = (what.to_owned(), why.to_owned());
    HubError::Argument { what, why }.into()
}
