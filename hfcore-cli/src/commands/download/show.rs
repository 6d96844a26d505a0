//! What was downloaded, or would be.

use std::io::Write;

use hfcore::hub::{Snapshot, SnapshotPlan};
use serde_json::json;

use super::Job;
use crate::output::{self, Result, bytes, counted, printable};
use crate::table::{Table, number, text};

/// The folder on standard output, for programs to take, and the rest beside it.
pub(super) fn done(out: &mut impl Write, job: &Job<'_>, snapshot: &Snapshot) -> Result<()> {
    let folder = job.folder(snapshot);
    skipped(&snapshot.skipped);
    if let Some(why) = &snapshot.from_cache_because {
        output::message(format_args!(
            "note: the Hub was not asked, and this is what was there: {}",
            why.chain()
        ));
    }
    let fetched = snapshot.files.iter().filter(|file| file.downloaded);
    let (mut n, mut fetched_bytes) = (0, 0_u64);
    for file in fetched {
        n += 1;
        fetched_bytes = fetched_bytes.saturating_add(file.size);
    }
    let all = snapshot.files.iter().map(|file| file.size).sum();
    if job.args.json {
        let files = snapshot.files.iter().map(|file| {
            json!({
                "path": file.path.as_str(),
                "size": file.size,
                "downloaded": file.downloaded,
            })
        });
        let result = json!({
            "repo": job.repo.to_string(),
            "revision": job.revision.as_str(),
            "commit": snapshot.commit.as_str(),
            "folder": folder.display().to_string(),
            "files": files.collect::<Vec<_>>(),
            "bytes": all,
            "downloaded_files": n,
            "downloaded_bytes": fetched_bytes,
            "lock_file": job.args.lock.as_ref().map(|file| file.display().to_string()),
        });
        output::json(out, &result)?;
        return Ok(());
    }
    output::message(format_args!(
        "{}@{}: {} ({}), {}",
        job.repo,
        snapshot.commit,
        counted(snapshot.files.len(), "file"),
        bytes(all),
        if n == 0 {
            "all there already".to_owned()
        } else {
            format!("{n} of them fetched ({})", bytes(fetched_bytes))
        }
    ));
    writeln!(out, "{}", folder.display())?;
    out.flush()?;
    Ok(())
}

/// What would be done.
pub(super) fn plan(out: &mut impl Write, job: &Job<'_>, plan: &SnapshotPlan) -> Result<()> {
    skipped(&plan.skipped);
    let missing = plan.files.iter().filter(|file| !file.present).count();
    let all = plan.files.iter().filter_map(|file| file.size).sum();
    if job.args.json {
        let files = plan.files.iter().map(|file| {
            json!({ "path": file.path.as_str(), "size": file.size, "present": file.present })
        });
        let result = json!({
            "dry_run": true,
            "repo": job.repo.to_string(),
            "revision": job.revision.as_str(),
            "commit": plan.commit.as_str(),
            "files": files.collect::<Vec<_>>(),
            "bytes": all,
            "missing_files": missing,
            "missing_bytes": plan.bytes(),
        });
        output::json(out, &result)?;
        return Ok(());
    }
    let mut table = Table::new([number("SIZE"), text("STATE"), text("FILE")]);
    for file in &plan.files {
        table.row([
            file.size.map_or_else(|| "?".to_owned(), bytes),
            if file.present { "there" } else { "to fetch" }.to_owned(),
            file.path.to_string(),
        ]);
    }
    table.print(out)?;
    output::message(format_args!(
        "{}@{}: {} ({}), of which {} ({}) would be fetched",
        job.repo,
        plan.commit,
        counted(plan.files.len(), "file"),
        bytes(all),
        missing,
        bytes(plan.bytes())
    ));
    Ok(())
}

fn skipped(files: &[hfcore::hub::SkippedFile]) {
    for file in files {
        output::message(format_args!(
            "note: {} is passed over: {}",
            printable(&file.name),
            printable(&file.why)
        ));
    }
}
