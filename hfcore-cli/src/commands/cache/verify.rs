//! `hfcore cache verify [MODEL …]`: is what was downloaded what the Hub sent?
//!
//! Every blob is read and compared with the hash that is its name; where a snapshot holds copies instead of links, these are.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use hfcore::hub::cache::{
    BlobVerification, CacheInfo, CacheProblem, CacheWarning, CachedRepo, VerifyProgress,
};
use hfcore::hub::{Cache, Commit, Repo};
use serde_json::{Value, json};

use super::Place;
use crate::output::{self, Result, counted, printable};
use crate::progress::Count;

/// The arguments of `cache verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `org/name` or `datasets/org/name`, as `hfcore cache ls` shows them [default: everything]
    models: Vec<String>,
    /// Take damaged files out of use: the next download fetches them again. `hfcore cache prune` removes their bytes.
    #[arg(long)]
    repair: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Something that is not what the Hub sent.
struct Damage {
    path: PathBuf,
    expected: String,
    found: String,
    /// Taken out of use.
    set_aside: bool,
}

/// What was found.
#[derive(Default)]
struct Findings {
    matching: usize,
    damaged: Vec<Damage>,
    /// Contents that no hash is known of.
    unknown: usize,
    warnings: Vec<CacheWarning>,
}

/// `false` if something is wrong, which has been said.
pub(super) fn run(args: &Args) -> Result<bool> {
    let (cache, info) = args.place.scan()?;
    let mut findings = Findings::default();
    if let Some(info) = &info {
        let repos = repos(args, &cache, info)?;
        findings.look(&cache, info, &repos, args.repair)?;
    } else if let Some(model) = args.models.first() {
        return Err(format!("{model} is not in the cache").into());
    }
    let ok = findings.damaged.is_empty() && !findings.warnings.iter().any(is_damage);
    let mut out = output::stdout();
    if args.json {
        let folder = cache.root().display().to_string();
        output::json(&mut out, &findings.value(&folder, ok))?;
    } else {
        findings.print(&mut out)?;
    }
    Ok(ok)
}

/// The repositories that are named; none: all of them.
fn repos(args: &Args, cache: &Cache, info: &CacheInfo) -> Result<Vec<Repo>> {
    let of = |name: &String| {
        let listed = info.find_repo(name).and_then(CachedRepo::repo);
        // One that is too damaged to be listed can be named as a model.
        let named = || {
            let repo = Repo::model(name).ok()?;
            let is_there = cache.repo(&repo).folder().is_dir();
            is_there.then_some(repo)
        };
        listed
            .or_else(named)
            .ok_or_else(|| format!("{name} is not in the cache {}", cache.root().display()).into())
    };
    args.models.iter().map(of).collect()
}

/// Whether what it warns of makes something unusable. What merely lies there does no harm.
fn is_damage(warning: &CacheWarning) -> bool {
    !matches!(
        warning.problem,
        CacheProblem::NotAFolder
            | CacheProblem::NotARepository
            | CacheProblem::UnknownRepoType(_)
            | CacheProblem::Foreign
    )
}

impl Findings {
    fn look(
        &mut self,
        cache: &Cache,
        info: &CacheInfo,
        repos: &[Repo],
        repair: bool,
    ) -> Result<()> {
        let folders: Vec<PathBuf> = repos
            .iter()
            .map(|repo| cache.repo(repo).folder().to_owned())
            .collect();
        let is_meant = |folder: &std::path::Path| {
            folders.is_empty() || folders.iter().any(|meant| folder.starts_with(meant))
        };
        let meant = info.repos.iter().filter(|repo| is_meant(&repo.folder));
        let meant: Vec<&CachedRepo> = meant.collect();
        let mut count = Count::new("checking", meant.iter().map(|repo| repo.size).sum());
        let mut watch = |progress: &VerifyProgress<'_>| {
            count.at(progress.read);
            ControlFlow::Continue(())
        };
        if repos.is_empty() {
            self.blobs(cache.verify_blobs(&mut watch)?, repair);
        }
        for repo in repos {
            self.blobs(cache.repo(repo).verify_blobs(&mut watch)?, repair);
        }
        for cached in meant {
            let Some(repo) = cached.repo() else { continue };
            for revision in &cached.revisions {
                let copies = revision.files.iter().any(|file| file.blob == file.pointer);
                let commit = Commit::parse(&revision.commit);
                if let (true, Ok(commit)) = (copies, commit) {
                    let found = cache.repo(&repo).verify(&commit, None, &mut watch)?;
                    self.matching += found.matching;
                    self.unknown += found.unknown.len();
                    self.damaged
                        .extend(found.mismatched.into_iter().map(|file| Damage {
                            path: found.folder.join(&file.path),
                            expected: file.expected,
                            found: file.found,
                            set_aside: false,
                        }));
                }
            }
        }
        let warnings = info.warnings.iter();
        self.warnings
            .extend(warnings.filter(|warning| is_meant(&warning.path)).cloned());
        Ok(())
    }

    fn blobs(&mut self, found: BlobVerification, repair: bool) {
        self.matching += found.matching;
        self.unknown += found.unknown.len();
        for blob in found.damaged {
            let done = repair.then(|| blob.set_aside());
            if let Some(Err(error)) = &done {
                output::error(error);
            }
            self.damaged.push(Damage {
                set_aside: matches!(done, Some(Ok(()))),
                path: blob.path,
                expected: blob.expected,
                found: blob.found,
            });
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        for damage in &self.damaged {
            let path = printable(&damage.path.display().to_string());
            let (expected, found) = (&damage.expected, &damage.found);
            writeln!(out, "DAMAGED {path}: expected {expected}, found {found}")?;
        }
        for warning in &self.warnings {
            let word = if is_damage(warning) {
                "DAMAGED"
            } else {
                "note"
            };
            writeln!(out, "{word} {}", printable(&warning.to_string()))?;
        }
        writeln!(
            out,
            "{} what the Hub sent",
            if self.matching == 1 {
                "1 file is".to_owned()
            } else {
                format!("{} files are", self.matching)
            }
        )?;
        if self.unknown > 0 {
            let files = counted(self.unknown, "file");
            writeln!(
                out,
                "{files} cannot be checked: nothing says what their hash is"
            )?;
        }
        out.flush()?;
        if self.damaged.iter().any(|damage| !damage.set_aside) {
            output::message(
                "`hfcore cache verify --repair` takes damaged blobs out of use, and the next download fetches them again; \
                `hfcore download MODEL --force` does both",
            );
        } else if !self.damaged.is_empty() {
            output::message(
                "damaged files are out of use now: the next download fetches them again, `hfcore cache prune` removes them",
            );
        }
        if self.warnings.iter().any(is_damage) {
            output::message("`hfcore download MODEL` fetches what is missing");
        }
        Ok(())
    }

    fn value(&self, folder: &str, ok: bool) -> Value {
        let damaged = self.damaged.iter().map(|damage| {
            json!({
                "path": damage.path.display().to_string(),
                "expected": damage.expected,
                "found": damage.found,
                "set_aside": damage.set_aside,
            })
        });
        json!({
            "folder": folder,
            "ok": ok,
            "matching": self.matching,
            "unknown": self.unknown,
            "damaged": damaged.collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}
