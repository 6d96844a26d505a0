//! `hfcore card MODEL`: what a model card says, and whether the Hub would take it.
//!
//! ```text
//! mod.rs       the arguments, and where the card comes from
//! show.rs      a card for people
//! lineage.rs   the models that it was made from
//! ```

mod lineage;
mod show;

use std::path::{Path, PathBuf};

use hfcore::hub::card::{CardOptions, CardProblem, EvalResult, ModelCard, Severity};
use hfcore::hub::{DownloadOptions, Hub, ModelName, RelPath, Repo, RepoType, Revision};
use serde_json::{Value, json};

use crate::hub::{self, HubArgs};
use crate::output::{self, Result};
use crate::progress::Watch;

/// The arguments of `card`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `org/name` or `org/name@revision`, a folder with a README.md, or a card's file.
    model: String,
    /// A branch, a tag, a commit or refs/pr/N [default: main]
    #[arg(long, value_name = "REV")]
    revision: Option<Revision>,
    /// Say what is wrong with it instead of what it says; fail if the Hub would refuse it.
    #[arg(long)]
    validate: bool,
    /// Follow the models that it was made from, back to the first.
    #[arg(long)]
    lineage: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// A card, and where it was found.
struct Found {
    file: PathBuf,
    /// The repository and its commit.
    origin: Option<(Repo, String)>,
    card: ModelCard,
}

/// Show, or check; `false` if the Hub would refuse the card, which has been said.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let watch = Watch::new();
    let (found, hub) = find(args, &watch)?;
    let data = &found.card.data;
    let problems = data.problems();
    let is_error = |problem: &CardProblem| problem.severity == Severity::Error;
    let fit = !problems.iter().any(is_error);
    let lineage = match args.lineage {
        true => Some(lineage::of(args, hub, &watch, data)?),
        false => None,
    };
    drop(watch);
    let mut out = output::stdout();
    if args.json {
        let results = data.eval_results.iter().flatten();
        let mut result = json!({
            "file": found.file.display().to_string(),
            "repo": found.origin.as_ref().map(|(repo, _)| repo.to_string()),
            "commit": found.origin.as_ref().map(|(_, commit)| commit),
            "data": data.to_json(),
            "eval_results": results.map(result_value).collect::<Vec<_>>(),
            "text": found.card.text,
            "fit": fit,
            "problems": problems.iter().map(problem_value).collect::<Vec<_>>(),
        });
        if let Some(lineage) = &lineage {
            result["lineage"] = lineage::value(lineage);
        }
        output::json(&mut out, &result)?;
    } else if args.validate {
        show::problems(&mut out, &problems)?;
    } else {
        show::card(&mut out, &found.card, found.origin.as_ref())?;
    }
    if let (Some(lineage), false) = (&lineage, args.json) {
        lineage::print(&mut out, lineage)?;
    }
    Ok(fit || !args.validate)
}

/// The card, and the Hub if one was asked.
fn find(args: &Args, watch: &Watch) -> Result<(Found, Option<Hub>)> {
    let path = Path::new(&args.model);
    // A card that is not complete can be shown, and what is missing is among its problems.
    let options = CardOptions::default().with_ignore_metadata_errors(true);
    let file = match (path.is_dir(), path.is_file()) {
        (true, _) => Some(path.join(ModelCard::FILE_NAME)),
        (_, true) => Some(path.to_owned()),
        _ => None,
    };
    if let Some(file) = file {
        if args.revision.is_some() {
            return Err(
                format!("{} is on this machine: it has no revisions", file.display()).into(),
            );
        }
        let card = ModelCard::load_with(&file, &options)?;
        let found = Found {
            file,
            origin: None,
            card,
        };
        return Ok((found, None));
    }
    let name = ModelName::parse(&args.model)
        .map_err(|error| format!("{} is neither a folder nor a file, and {error}", args.model))?;
    let revision = hub::one_revision(args.revision.as_ref(), name.revision.as_ref())?;
    let repo = Repo::new(RepoType::Model, name.id);
    let hub = args.hub.hub(watch)?;
    let path = RelPath::parse(ModelCard::FILE_NAME)?;
    let cached = hub.download(&repo, &revision, &path, &DownloadOptions::default())?;
    let card = ModelCard::load_with(&cached.path, &options)?;
    let found = Found {
        file: cached.path,
        origin: Some((repo, cached.commit.to_string())),
        card,
    };
    Ok((found, Some(hub)))
}

fn problem_value(problem: &CardProblem) -> Value {
    json!({
        "severity": show::severity(problem.severity),
        "field": problem.field,
        "message": problem.message,
    })
}

fn result_value(result: &EvalResult) -> Value {
    json!({
        "task_type": result.task_type,
        "task_name": result.task_name,
        "dataset_type": result.dataset_type,
        "dataset_name": result.dataset_name,
        "dataset_config": result.dataset_config,
        "dataset_split": result.dataset_split,
        "dataset_revision": result.dataset_revision,
        "dataset_args": result.dataset_args.as_ref().map(hfcore::hub::card::YamlValue::to_json),
        "metric_type": result.metric_type,
        "metric_name": result.metric_name,
        "metric_value": result.metric_value.to_json(),
        "metric_config": result.metric_config,
        "metric_args": result.metric_args.as_ref().map(hfcore::hub::card::YamlValue::to_json),
        "verified": result.verified,
        "source_name": result.source_name,
        "source_url": result.source_url,
    })
}
