//! `hfcore cache ls`: what was downloaded.

use hfcore::hub::cache::{CacheInfo, CachedRepo, CachedRevision};
use serde_json::{Value, json};

use super::{Place, unix_seconds};
use crate::output::{self, Result, ago, bytes, counted};
use crate::table::{Table, number, text};

/// The arguments of `cache ls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A line for each revision, not for each repository.
    #[arg(long)]
    revisions: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let (cache, info) = args.place.scan()?;
    let mut out = output::stdout();
    if args.json {
        let folder = cache.root().display().to_string();
        output::json(&mut out, &value(&folder, info.as_ref()))?;
        return Ok(());
    }
    let Some(info) = info else { return Ok(()) };
    if args.revisions {
        revisions(&info).print(&mut out)?;
    } else {
        repos(&info).print(&mut out)?;
    }
    let repos = match info.repos.len() {
        1 => "1 repository".to_owned(),
        n => format!("{n} repositories"),
    };
    let folder = cache.root().display();
    output::message(format_args!("{repos}, {} in {folder}", bytes(info.size)));
    if !info.incomplete.is_empty() {
        output::message(format_args!(
            "{}, cut off or under way, {}; `hfcore cache prune` removes the former",
            counted(info.incomplete.len(), "download"),
            bytes(info.incomplete_size())
        ));
    }
    for warning in &info.warnings {
        output::message(format_args!(
            "warning: {}",
            output::printable(&warning.to_string())
        ));
    }
    Ok(())
}

fn repos(info: &CacheInfo) -> Table<6> {
    let mut table = Table::new([
        text("REPOSITORY"),
        number("SIZE"),
        number("FILES"),
        number("REVISIONS"),
        text("LAST USED"),
        text("REFS"),
    ]);
    for repo in &info.repos {
        let refs: Vec<&str> = repo.refs().into_iter().collect();
        table.row([
            repo.cache_id(),
            bytes(repo.size),
            repo.blobs.to_string(),
            repo.revisions.len().to_string(),
            ago(repo.last_accessed),
            refs.join(", "),
        ]);
    }
    table
}

fn revisions(info: &CacheInfo) -> Table<6> {
    let mut table = Table::new([
        text("REPOSITORY"),
        text("COMMIT"),
        number("SIZE"),
        number("FILES"),
        text("WRITTEN"),
        text("REFS"),
    ]);
    for repo in &info.repos {
        for revision in &repo.revisions {
            table.row([
                repo.cache_id(),
                revision.commit.clone(),
                bytes(revision.size),
                revision.files.len().to_string(),
                ago(revision.last_modified),
                super::remove::references(revision),
            ]);
        }
    }
    table
}

fn value(folder: &str, info: Option<&CacheInfo>) -> Value {
    let repos = info.map_or(&[][..], |info| &info.repos);
    let incomplete = info.map_or(&[][..], |info| &info.incomplete);
    let warnings = info.map_or(&[][..], |info| &info.warnings);
    json!({
        "folder": folder,
        "size": info.map_or(0, |info| info.size),
        "repos": repos.iter().map(repo_value).collect::<Vec<_>>(),
        "incomplete": incomplete.iter().map(|file| json!({
            "path": file.path.display().to_string(),
            "size": file.size,
        })).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn repo_value(repo: &CachedRepo) -> Value {
    json!({
        "repo_type": repo.repo_type.as_str(),
        "id": repo.id,
        "folder": repo.folder.display().to_string(),
        "size": repo.size,
        "files": repo.blobs,
        "last_accessed": unix_seconds(repo.last_accessed),
        "last_modified": unix_seconds(repo.last_modified),
        "revisions": repo.revisions.iter().map(revision_value).collect::<Vec<_>>(),
    })
}

fn revision_value(revision: &CachedRevision) -> Value {
    json!({
        "commit": revision.commit,
        "refs": revision.refs,
        "folder": revision.folder.display().to_string(),
        "size": revision.size,
        "files": revision.files.len(),
        "last_modified": unix_seconds(revision.last_modified),
    })
}
