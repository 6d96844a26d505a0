//! `hfcore download MODEL [FILE …]`: into the cache, or to a folder; what loading needs, or whatever is asked for.
//!
//! ```text
//! mod.rs      the arguments, and what is done with them
//! choice.rs   which files
//! pin.rs      lock files: pinning what was downloaded, and being held to what was pinned
//! show.rs     what was done, or would be
//! ```

mod choice;
mod pin;
mod show;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use hfcore::hub::{Hub, ModelName, Repo, RepoType, Revision, Snapshot, SnapshotOptions};

use self::choice::Choice;
use self::pin::Pins;
use crate::hub::one_revision;
use crate::model::ModelArgs;
use crate::output::{self, Result};
use crate::progress::Watch;

/// The arguments of `download`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `org/name` or `org/name@revision`.
    model: String,
    /// These files, by their paths in the repository [default: what loading the model needs]
    #[arg(value_name = "FILE", conflicts_with_all = ["all", "include", "exclude", "skip_weights", "variant", "subfolder"])]
    files: Vec<String>,
    /// Files that match: `*` stands for anything. Repeatable.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["all", "skip_weights", "variant", "subfolder"])]
    include: Vec<String>,
    /// Without files that match; of all files, if nothing else is said. Repeatable.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["skip_weights", "variant", "subfolder"])]
    exclude: Vec<String>,
    /// Every file of the repository, pickles and all.
    #[arg(long, conflicts_with_all = ["skip_weights", "variant"])]
    all: bool,
    /// Configuration and tokenizer alone.
    #[arg(long)]
    skip_weights: bool,
    /// Into this folder, as plain files, and not into the cache: it loads as it is, on a machine without network too.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Say what would be fetched, and how much it is.
    #[arg(long)]
    dry_run: bool,
    /// Fetch what is there already, too.
    #[arg(long)]
    force: bool,
    /// How many files are fetched at once.
    #[arg(long, value_name = "N", default_value = "8")]
    workers: NonZeroUsize,
    /// Pin what was downloaded: its commit and its hashes go into this file [FILE: hfcore.lock]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "hfcore.lock",
        conflicts_with_all = ["locked", "dry_run"]
    )]
    lock: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ModelArgs,
}

/// Download, and say what.
pub(crate) fn run(args: &Args) -> Result<()> {
    let watch = Watch::new();
    let job = Job::new(args, &watch)?;
    let choice = Choice::new(&job)?;
    if args.dry_run {
        let plan = job
            .hub
            .plan_snapshot(&job.repo, &choice.revision, &job.options(&choice))?;
        drop(watch);
        return show::plan(&mut output::stdout(), &job, &plan);
    }
    if let Some(pins) = &job.pins {
        choice.check_names(&job, pins)?;
    }
    let snapshot = job
        .hub
        .snapshot(&job.repo, &choice.revision, &job.options(&choice))?;
    choice.check_complete(&job, &snapshot)?;
    if let Some(pins) = &job.pins {
        pins.check(&snapshot)?;
    }
    if choice.is_resolved && job.pins.is_none() && args.to.is_none() && !args.source.hub.offline {
        // What the branch stood for is found again without a network. A cache that cannot be written to is no reason to
        // fail: the files are there.
        let cache = job.hub.cache().repo(&job.repo);
        let _ = cache.write_ref(&job.revision, &snapshot.commit);
    }
    drop(watch);
    if let Some(file) = &args.lock {
        pin::write(file, &job, &snapshot)?;
    }
    show::done(&mut output::stdout(), &job, &snapshot)
}

/// What is to be done.
struct Job<'a> {
    args: &'a Args,
    hub: Hub,
    repo: Repo,
    /// What was asked for.
    revision: Revision,
    /// What a lock file holds it to.
    pins: Option<Pins>,
}

impl<'a> Job<'a> {
    fn new(args: &'a Args, watch: &Watch) -> Result<Self> {
        let name = ModelName::parse(&args.model)?;
        let asked = args
            .source
            .revision
            .as_deref()
            .map(Revision::parse)
            .transpose()?;
        let revision = one_revision(asked.as_ref(), name.revision.as_ref())?;
        let repo = Repo::new(RepoType::Model, name.id);
        let hub = args.source.hub.builder(watch)?;
        let hub = hub.workers(args.workers.get()).build()?;
        let pins = args.source.locked.as_deref();
        let pins = pins
            .map(|file| Pins::read(file, &repo, &revision))
            .transpose()?;
        Ok(Self {
            args,
            hub,
            repo,
            revision,
            pins,
        })
    }

    fn options(&self, choice: &Choice) -> SnapshotOptions {
        let options = SnapshotOptions::default()
            .with_patterns(choice.patterns.clone())
            .with_force(self.args.force)
            .with_local_files_only(self.args.source.hub.offline || choice.is_local);
        match &self.args.to {
            Some(folder) => options.with_to(folder),
            None => options,
        }
    }

    /// The folder that loads: of a model in a subfolder, that one.
    fn folder(&self, snapshot: &Snapshot) -> PathBuf {
        match &self.args.source.subfolder {
            Some(subfolder) => snapshot.folder.join(subfolder),
            None => snapshot.folder.clone(),
        }
    }
}
