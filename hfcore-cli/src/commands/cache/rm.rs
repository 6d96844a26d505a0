//! `hfcore cache rm MODEL[@REVISION] …`: removing what is named.

use hfcore::hub::cache::{CacheInfo, CachedRepo, CachedRevision};
use serde_json::{Value, json};

use super::Place;
use super::remove::{Options, Removal, references, remove};
use crate::output::{Result, bytes};

/// The arguments of `cache rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `org/name`, `org/name@REVISION` or `datasets/org/name`, as `hfcore cache ls` shows them; a branch, a tag, a commit
    /// or its beginning. A commit alone will do.
    #[arg(value_name = "MODEL[@REVISION]", required = true)]
    targets: Vec<String>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let (cache, info) = args.place.scan()?;
    let Some(info) = info else {
        return Err(format!("{} is not there: nothing to remove", cache.root().display()).into());
    };
    let mut revisions: Vec<&CachedRevision> = Vec::new();
    let mut empty: Vec<&CachedRepo> = Vec::new();
    for target in &args.targets {
        match info.find_repo(target) {
            Some(repo) if repo.revisions.is_empty() => empty.push(repo),
            _ => revisions.extend(find(&info, target)?),
        }
    }
    let plans = [info.delete_revisions(&revisions), info.delete_repos(&empty)];
    let (lines, what) = described(&info, &revisions, &empty);
    let removal = Removal {
        lines,
        what,
        freed: plans.iter().map(|plan| plan.expected_freed).sum(),
        execute: &|on_path| plans.iter().map(|plan| plan.execute(on_path)).collect(),
    };
    remove(&removal, &args.options)
}

/// The revisions that `target` means: by a branch or a tag too, which the cache has by its commit.
fn find<'a>(info: &'a CacheInfo, target: &str) -> Result<Vec<&'a CachedRevision>> {
    if let Some((name, reference)) = target.split_once('@')
        && let Some(repo) = info.find_repo(name)
    {
        let stands = |revision: &&CachedRevision| revision.refs.contains(reference);
        if let Some(revision) = repo.revisions.iter().find(stands) {
            return Ok(vec![revision]);
        }
    }
    Ok(info.find(target)?)
}

/// What goes, in the order of the cache.
fn described(
    info: &CacheInfo,
    revisions: &[&CachedRevision],
    empty: &[&CachedRepo],
) -> (Vec<String>, Value) {
    let (mut lines, mut what) = (Vec::new(), Vec::new());
    for repo in &info.repos {
        let is_gone = |revision: &&CachedRevision| {
            revisions.iter().any(|gone| gone.folder == revision.folder)
        };
        let gone: Vec<_> = repo.revisions.iter().filter(is_gone).collect();
        let all = gone.len() == repo.revisions.len();
        if all && (!gone.is_empty() || empty.iter().any(|other| other.folder == repo.folder)) {
            lines.push(format!(
                "{}, all of it ({})",
                repo.cache_id(),
                bytes(repo.size)
            ));
        } else {
            lines.extend(gone.iter().map(|revision| {
                let (id, commit) = (repo.cache_id(), &revision.commit);
                let (refs, size) = (references(revision), bytes(revision.size));
                format!("{id} {commit} ({refs}, {size})")
            }));
        }
        let commits: Vec<&str> = gone.iter().map(|revision| &*revision.commit).collect();
        if !commits.is_empty() || empty.iter().any(|other| other.folder == repo.folder) {
            what.push(json!({ "id": repo.cache_id(), "commits": commits, "all": all }));
        }
    }
    (lines, Value::Array(what))
}
