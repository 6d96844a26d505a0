//! A model that the cache holds, found without the network.

use std::fs;
use std::path::Path;

use hfcore_hub::cache::Lookup;
use hfcore_hub::{Commit, HubError, RelPath, Revision};
use hfcore_weights::{Limits, ShardIndex};

use super::Request;
use super::selection::{Checkpoint, Selection, inside, names_inside};
use crate::error::Error;
use crate::model_dir::{ModelDir, Origin};

/// The deepest folders that a snapshot is looked through.
const MAX_DEPTH: usize = 16;
/// The most files of a snapshot that are looked at.
const MAX_FILES: usize = 100_000;

/// The model in the cache, if all of it is there.
///
/// What is there is what somebody fetched: for a file that loading does without (a `generation_config.json`), nobody can
/// tell without the network whether the repository has it, unless its list of files is in the cache too.
///
/// `revision` is what to look for: the one asked for, or the commit that a lock file has for it, together with the files
/// that it has. Returns the files that loading reads, too.
///
/// # Errors
/// [`HubError::NotCached`] with `remedy`.
pub(super) fn find(
    request: &Request,
    remedy: &'static str,
    revision: &Revision,
    listed: Option<Vec<String>>,
) -> Result<(ModelDir, Vec<String>), Error> {
    let cache = request.cache.repo(&request.repo);
    let missing = |path: String| {
        Error::from(HubError::NotCached {
            repo: request.repo.clone(),
            revision: request.revision.clone(),
            path,
            cache: cache.cache().root().to_owned(),
            remedy,
            source: None,
        })
    };
    let Some(commit) = cache.commit_of(revision)? else {
        return Err(missing("snapshot".to_owned()));
    };
    let snapshot = cache.snapshot(&commit);
    let listed = listed.unwrap_or_else(|| match cache.read_listing(&commit) {
        Some(files) => files.into_keys().map(|path| path.to_string()).collect(),
        None => files_below(&snapshot),
    });
    let names = names_inside(
        listed.iter().map(String::as_str),
        request.subfolder.as_ref(),
    );
    let selection = Selection::new(names, request.variant.as_deref())?;
    let subfolder = request.subfolder.as_ref();
    let mut used: Vec<String> = selection
        .needed(request.skip_weights)
        .iter()
        .map(|name| inside(subfolder, name))
        .collect();
    let wanted = match &selection.weights {
        Checkpoint::None { wanted, .. } if !request.skip_weights => Some(wanted.as_str()),
        _ => None,
    };
    let has_config = selection.small.iter().any(|name| name == "config.json");
    if let Some(name) = (!has_config).then_some("config.json").or(wanted) {
        return Err(missing(inside(subfolder, name)));
    }
    let is_here = |name: &str| -> Result<bool, Error> {
        let path = RelPath::parse(name).map_err(HubError::from)?;
        Ok(matches!(cache.lookup(&commit, &path)?, Lookup::Found(_)))
    };
    for name in &used {
        if !is_here(name)? {
            return Err(missing(name.clone()));
        }
    }
    if let (Checkpoint::Index(index), false) = (&selection.weights, request.skip_weights) {
        for shard in shards(request, &snapshot, index)? {
            if !is_here(&shard)? {
                return Err(missing(shard));
            }
            used.push(shard);
        }
    }
    Ok((model_dir(request, &snapshot, commit)?, used))
}

/// The model in a snapshot.
pub(super) fn model_dir(
    request: &Request,
    snapshot: &Path,
    commit: Commit,
) -> Result<ModelDir, Error> {
    let subfolder = request.subfolder.as_ref();
    let folder = subfolder.map_or_else(|| snapshot.to_owned(), |path| path.join_to(snapshot));
    let origin = Origin {
        repo: request.repo.id().clone(),
        revision: request.revision.clone(),
        commit,
    };
    Ok(ModelDir::new(folder)?
        .with_variant(request.variant.clone())
        .with_origin(origin, snapshot))
}

/// The shards that the index of a snapshot names, relative to the snapshot.
pub(super) fn shards(
    request: &Request,
    snapshot: &Path,
    index: &str,
) -> Result<Vec<String>, Error> {
    let limits = Limits::default();
    let subfolder = request.subfolder.as_ref();
    let path = snapshot.join(inside(subfolder, index));
    let size = fs::metadata(&path).map(|metadata| metadata.len());
    let io = |source| Error::Io {
        path: path.clone(),
        source,
    };
    let size = size.map_err(io)?;
    if size > limits.max_index_bytes {
        return Err(Error::TooLarge {
            path,
            size,
            limit: limits.max_index_bytes,
        });
    }
    let bytes = fs::read(&path).map_err(io)?;
    let parsed = ShardIndex::parse(&bytes, &limits).map_err(|problem| Error::Weights {
        folder: snapshot.to_owned(),
        source: Box::new(hfcore_weights::WeightsError::Index {
            file: path.clone(),
            problem,
        }),
    })?;
    Ok(parsed
        .shards()
        .iter()
        .map(|shard| inside(subfolder, shard.as_str()))
        .collect())
}

/// The names of all files below `folder`, relative to it with `/`; links are taken for files and not entered.
fn files_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                continue;
            };
            let name = format!("{prefix}{name}");
            if !kind.is_dir() {
                names.push(name);
            } else if depth < MAX_DEPTH {
                open.push((entry.path(), name + "/", depth + 1));
            }
            if names.len() >= MAX_FILES {
                return names;
            }
        }
    }
    names.sort();
    names
}
