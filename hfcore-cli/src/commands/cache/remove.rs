//! Removing: what goes is said, somebody is asked, and then it is done.

use std::ops::ControlFlow;
use std::path::Path;

use hfcore::hub::cache::{CachedRevision, Deleted};
use serde_json::{Value, json};

use crate::output::{self, Result, bytes};

/// How much is asked before anything is removed.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Where nobody can be asked, in a pipe, it is needed.
    #[arg(short, long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Told of each file and folder before it goes.
type OnPath<'a> = dyn FnMut(&Path) -> ControlFlow<()> + 'a;
/// Does it.
pub(super) type Execute<'a> = dyn Fn(&mut OnPath<'_>) -> Vec<Deleted> + 'a;

/// What is to go.
pub(super) struct Removal<'a> {
    /// A line for each thing, for people.
    pub(super) lines: Vec<String>,
    /// The same for programs.
    pub(super) what: Value,
    /// Bytes that will be free.
    pub(super) freed: u64,
    pub(super) execute: &'a Execute<'a>,
}

/// Removes, unless it is only to be said or nobody agrees; `false` if something could not be removed.
pub(super) fn remove(removal: &Removal<'_>, options: &Options) -> Result<bool> {
    let freed = bytes(removal.freed);
    if !options.json || !options.dry_run {
        for line in &removal.lines {
            output::message(output::printable(line));
        }
    }
    let (mut removed, mut failures) = (0, Vec::new());
    let question = format!("Remove this, and free {freed}?");
    let done =
        !options.dry_run && !removal.lines.is_empty() && output::confirm(&question, options.yes)?;
    if done {
        for deleted in (removal.execute)(&mut |_| ControlFlow::Continue(())) {
            removed += deleted.removed;
            failures.extend(deleted.failures);
        }
    }
    for failure in &failures {
        output::error(failure);
    }
    let mut out = output::stdout();
    if options.json {
        let result = json!({
            "dry_run": options.dry_run,
            "removed": done,
            "bytes": removal.freed,
            "what": removal.what,
            "failures": failures.iter().map(hfcore::hub::HubError::chain).collect::<Vec<_>>(),
        });
        output::json(&mut out, &result)?;
    } else if removal.lines.is_empty() {
        output::message("there is nothing to remove");
    } else if options.dry_run {
        output::message(format_args!("would free {freed}"));
    } else if !done {
        output::message("nothing was removed");
    } else if failures.is_empty() {
        output::message(format_args!("freed {freed}"));
    } else {
        output::message(format_args!(
            "removed {removed} files and folders; the rest is as it was"
        ));
    }
    Ok(failures.is_empty())
}

/// What stands for a revision.
pub(super) fn references(revision: &CachedRevision) -> String {
    if revision.refs.is_empty() {
        return "(detached)".to_owned();
    }
    let refs: Vec<&str> = revision.refs.iter().map(String::as_str).collect();
    refs.join(", ")
}
