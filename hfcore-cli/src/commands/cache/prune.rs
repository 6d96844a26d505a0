//! `hfcore cache prune`: removing what nobody needs.

use hfcore::hub::cache::{CacheInfo, PrunePlan};
use serde_json::json;

use super::Place;
use super::remove::{Options, Removal, remove};
use crate::output::{Result, bytes, counted};

/// The arguments of `cache prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let (_, info) = args.place.scan()?;
    let plan = info.as_ref().map(CacheInfo::prune);
    let (lines, what) = match (&info, &plan) {
        (Some(info), Some(plan)) => described(info, plan),
        _ => (Vec::new(), json!({})),
    };
    let removal = Removal {
        lines,
        what,
        freed: plan.as_ref().map_or(0, |plan| plan.expected_freed),
        execute: &|on_path| plan.iter().map(|plan| plan.execute(on_path)).collect(),
    };
    remove(&removal, &args.options)
}

/// What goes.
fn described(info: &CacheInfo, plan: &PrunePlan) -> (Vec<String>, serde_json::Value) {
    let mut lines = Vec::new();
    let mut revisions = Vec::new();
    for repo in &info.repos {
        for revision in repo
            .revisions
            .iter()
            .filter(|revision| revision.refs.is_empty())
        {
            let (id, commit, size) = (repo.cache_id(), &revision.commit, revision.size);
            lines.push(format!("{id} {commit} (detached, {})", bytes(size)));
            revisions.push(json!({ "id": id, "commit": commit, "size": size }));
        }
    }
    if !plan.incomplete.is_empty() {
        let size = plan.incomplete.iter().map(|file| file.size).sum();
        let n = counted(plan.incomplete.len(), "download");
        lines.push(format!("{n}, cut off ({})", bytes(size)));
    }
    if !plan.shared_blobs.is_empty() {
        let size = plan.shared_blobs.iter().map(|(_, size)| size).sum();
        let n = counted(plan.shared_blobs.len(), "shared blob");
        lines.push(format!("{n} without a repository ({})", bytes(size)));
    }
    if !plan.leftovers.is_empty() {
        lines.push(counted(plan.leftovers.len(), "temporary file"));
    }
    let what = json!({
        "revisions": revisions,
        "incomplete": plan.incomplete.len(),
        "shared_blobs": plan.shared_blobs.len(),
        "temporary_files": plan.leftovers.len(),
    });
    (lines, what)
}
