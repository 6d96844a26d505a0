//! Which files are meant.

use hfcore::hub::{DownloadOptions, HubError, Patterns, RelPath, Revision, Snapshot};

use hfcore::{Error, Pretrained};

use super::Job;
use super::pin::Pins;
use crate::output::Result;

/// The files that are meant, and of what.
pub(super) struct Choice {
    /// The commit, if it is known already.
    pub(super) revision: Revision,
    /// Whether `revision` is what the revision that was asked for stands for.
    pub(super) is_resolved: bool,
    /// Whether the Hub could not be asked.
    pub(super) is_local: bool,
    pub(super) patterns: Patterns,
    /// The files that have to be there, if they are known by name.
    names: Vec<RelPath>,
}

impl Choice {
    pub(super) fn new(job: &Job<'_>) -> Result<Self> {
        let args = job.args;
        let locked = job.pins.as_ref().map(Pins::commit);
        let revision = locked
            .cloned()
            .map_or_else(|| job.revision.clone(), Revision::from);
        if !args.files.is_empty() {
            let names = args.files.iter().map(|name| RelPath::parse(name));
            let names = names.collect::<std::result::Result<Vec<_>, _>>()?;
            return Ok(Self {
                revision,
                is_resolved: false,
                is_local: false,
                patterns: exactly(&names),
                names,
            });
        }
        if args.all || !args.include.is_empty() || !args.exclude.is_empty() {
            let mut patterns = Patterns::all();
            if !args.include.is_empty() {
                patterns = patterns.allow(&args.include);
            }
            if let Some(subfolder) = &args.source.subfolder {
                let folder = escaped(subfolder.trim_end_matches('/')) + "/";
                patterns = patterns.allow([folder]);
            }
            return Ok(Self {
                revision,
                is_resolved: false,
                is_local: false,
                patterns: patterns.ignore(&args.exclude),
                names: Vec::new(),
            });
        }
        let source = Pretrained::hub_model(job.repo.id().as_str())
            .hub(job.hub.clone())
            .skip_weights(args.skip_weights);
        let source = args
            .source
            .with_options(source)
            .revision(job.revision.as_str());
        let plan = match source.plan() {
            Ok(plan) => plan,
            Err(Error::Hub(HubError::Network { .. } | HubError::Offline { .. }))
                if !args.dry_run =>
            {
                return Self::of_what_is_here(&source);
            }
            Err(error) => return Err(error.into()),
        };
        let names: Vec<RelPath> = plan.files.into_iter().map(|file| file.path).collect();
        Ok(Self {
            revision: plan.commit.into(),
            is_resolved: true,
            is_local: false,
            patterns: exactly(&names),
            names,
        })
    }

    /// Where the Hub cannot be asked, it is enough that all is here that loading cannot do without.
    fn of_what_is_here(source: &Pretrained) -> Result<Self> {
        let dir = source.fetch()?;
        let origin = dir.origin().ok_or("a folder is no model of the Hub")?;
        // What the cache says of the commit; where it says nothing, what is here is all.
        let at_commit = source.clone().revision(origin.commit.as_str());
        let plan = at_commit.local_files_only(true).plan().ok();
        let here = plan.map(|plan| {
            let here = plan.files.into_iter().filter(|file| file.present);
            here.map(|file| file.path).collect::<Vec<_>>()
        });
        Ok(Self {
            revision: origin.commit.clone().into(),
            is_resolved: true,
            is_local: true,
            patterns: here.as_deref().map_or_else(Patterns::all, exactly),
            names: here.unwrap_or_default(),
        })
    }

    /// Refuses files that are not pinned, before anything is downloaded.
    pub(super) fn check_names(&self, job: &Job<'_>, pins: &Pins) -> Result<()> {
        if self.names.is_empty() {
            let plan = job
                .hub
                .plan_snapshot(&job.repo, &self.revision, &job.options(self))?;
            return pins.check_names(plan.files.iter().map(|file| &file.path));
        }
        pins.check_names(&self.names)
    }

    /// Every file that was named is there; the Hub's error, if it has no such file.
    pub(super) fn check_complete(&self, job: &Job<'_>, snapshot: &Snapshot) -> Result<()> {
        for name in &self.names {
            if !snapshot.files.iter().any(|file| file.path == *name) {
                let revision = snapshot.commit.clone().into();
                let options =
                    DownloadOptions::default().with_local_files_only(job.args.source.hub.offline);
                job.hub.download(&job.repo, &revision, name, &options)?;
                return Err(format!(
                    "{name} is passed over: its name cannot be written everywhere"
                )
                .into());
            }
        }
        if snapshot.files.is_empty() {
            return Err(format!("no file of {} is meant", job.repo).into());
        }
        Ok(())
    }
}

/// These files and no others.
fn exactly(names: &[RelPath]) -> Patterns {
    Patterns::all().allow(names.iter().map(|name| escaped(name.as_str())))
}

/// Of what has a meaning in a pattern, only `[` can be in the name of a file.
fn escaped(name: &str) -> String {
    name.replace('[', "[[]")
}
