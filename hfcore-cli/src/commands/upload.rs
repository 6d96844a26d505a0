//! `hfcore upload FOLDER org/name`: a folder, or a file, becomes a commit on the Hub.

use std::io::Write;
use std::path::PathBuf;

use hfcore::hub::card::CardTemplate;
use hfcore::hub::publish::{
    CommitInfo, CommitOptions, CreateRepo, FileStatus, UploadMode, UploadNote, UploadOptions,
    UploadPlan,
};
use hfcore::hub::{
    Commit, Environment, Hub, HubError, ModelName, RelPath, Repo, RepoType, Revision,
};
use serde_json::json;

use crate::hub::one_revision;
use crate::output::{self, Result, bytes, counted, message, printable};
use crate::progress::Watch;

/// The arguments of `upload`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The repository is made if there is none. What it has already is not sent again, so an upload that \
    broke off is continued by the same command. `.git`, `.cache/huggingface`, `.DS_Store` and `*.incomplete` are left out."
)]
pub(crate) struct Args {
    /// A folder, or a file.
    path: PathBuf,
    /// `org/name`, `name` in your own account, or `org/name@revision`.
    repo: String,
    /// Where in the repository [default: its root, or the name of the file]
    path_in_repo: Option<String>,
    /// It holds data, and no model.
    #[arg(long)]
    dataset: bool,
    /// A branch, which is made if there is none, or refs/pr/N [default: main]
    #[arg(long, value_name = "REV")]
    revision: Option<Revision>,
    /// A repository that is made is seen by its owners alone.
    #[arg(long)]
    private: bool,
    /// Propose the commit, as a pull request, instead of making it.
    #[arg(long)]
    create_pr: bool,
    /// The first line of the commit's message.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The rest of the commit's message.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only if this commit is the newest.
    #[arg(long, value_name = "COMMIT")]
    parent_commit: Option<String>,
    /// Only files that match this pattern; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// No files that match this pattern; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Delete files of the repository that match this pattern and are not uploaded; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    delete: Vec<String>,
    /// Upload files to which a link leads out of the folder, too.
    #[arg(long)]
    follow_links: bool,
    /// Upload files that hold what looks like an access token, too.
    #[arg(long)]
    allow_secrets: bool,
    /// The licence that the card names, if one is made.
    #[arg(long, value_name = "ID", conflicts_with = "no_card")]
    license: Option<String>,
    /// Add no card (README.md) to a model that has none.
    #[arg(long)]
    no_card: bool,
    /// Say what would be uploaded, and upload nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Upload, or say what would be.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.path.exists() {
        return Err(format!("there is no {}", args.path.display()).into());
    }
    if args.path.is_file()
        && !(args.include.is_empty() && args.exclude.is_empty() && args.delete.is_empty())
    {
        return Err("--include, --exclude and --delete choose among the files of a folder, and this is a file".into());
    }
    let name = ModelName::parse(&args.repo)?;
    let revision = one_revision(args.revision.as_ref(), name.revision.as_ref())?;
    let repo_type = if args.dataset {
        RepoType::Dataset
    } else {
        RepoType::Model
    };
    let repo = Repo::new(repo_type, name.id);
    let watch = Watch::of_upload();
    let environment = Environment::from_process()?;
    let hub = super::login::in_use(environment, watch.progress())?;
    let commit = commit_options(args, revision)?;
    if args.dry_run {
        let plan = plan(args, &hub, &repo, commit)?;
        drop(watch);
        return print_plan(args, &repo, &plan);
    }
    if args.path.is_dir() {
        // Before a repository is made for it.
        let options = upload_options(args, &repo, commit.clone())?;
        hub.check_folder(&args.path, &repo, &options)?;
    }
    let repo = prepare(args, &hub, &repo, &commit.revision)?;
    let info = match args.path.is_file() {
        true => hub.upload_file(&args.path, &file_path(args)?, &repo, &commit)?,
        false => {
            let options = upload_options(args, &repo, commit)?;
            hub.upload_folder(&args.path, &repo, &options)?
        }
    };
    drop(watch);
    print(args, &repo, &info)
}

fn commit_options(args: &Args, revision: Revision) -> Result<CommitOptions> {
    let mut options = CommitOptions::default()
        .with_revision(revision)
        .with_create_pr(args.create_pr)
        .with_allow_secrets(args.allow_secrets);
    options.message.clone_from(&args.message);
    options.description.clone_from(&args.description);
    options.parent = args
        .parent_commit
        .as_deref()
        .map(Commit::parse)
        .transpose()?;
    Ok(options)
}

fn upload_options(args: &Args, repo: &Repo, commit: CommitOptions) -> Result<UploadOptions> {
    let mut options = UploadOptions::default()
        .with_commit(commit)
        .with_ignore(&args.exclude)
        .with_delete(&args.delete)
        .with_follow_links(args.follow_links);
    if !args.include.is_empty() {
        options = options.with_allow(&args.include);
    }
    if let Some(path) = args.path_in_repo.as_deref().filter(|path| *path != ".") {
        options = options.with_path_in_repo(RelPath::parse(path.trim_end_matches('/'))?);
    }
    if !args.no_card && repo.repo_type() == RepoType::Model {
        options.card = card(args, repo)?;
    }
    Ok(options)
}

/// A card for a folder with a configuration: what is no model is not described as one.
fn card(args: &Args, repo: &Repo) -> Result<Option<String>> {
    let file = args.path.join("config.json");
    let Ok(text) = std::fs::read(&file) else {
        return match &args.license {
            None => Ok(None),
            Some(_) => Err(format!(
                "a card is made from {}, which cannot be read",
                file.display()
            )
            .into()),
        };
    };
    let config = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
    let mut template = CardTemplate::from_config(&config).with_repo(repo.id().clone());
    if let Some(license) = &args.license {
        template = template.with_license(license);
    }
    Ok(Some(template.render().to_string()))
}

/// Where a single file goes.
fn file_path(args: &Args) -> Result<RelPath> {
    let name = match &args.path_in_repo {
        Some(path) => path.clone(),
        None => {
            let name = args.path.file_name().unwrap_or_default();
            let name = name.to_str().ok_or("the name of the file is not Unicode")?;
            name.to_owned()
        }
    };
    Ok(RelPath::parse(&name)?)
}

/// The repository and the branch are there after this.
fn prepare(args: &Args, hub: &Hub, repo: &Repo, revision: &Revision) -> Result<Repo> {
    let mut options = CreateRepo::default().with_exist_ok(true);
    if args.private {
        options = options.with_private(true);
    }
    let made = hub.create_repo(repo, &options)?;
    if made.created {
        message(format_args!("made {}", printable(&made.url)));
    } else if args.private {
        message(format_args!(
            "{} was there, and is as private as it was",
            made.repo
        ));
    }
    let is_branch = revision.as_commit().is_none() && !revision.as_str().starts_with("refs/");
    if is_branch && *revision != Revision::default() {
        match hub.resolve(&made.repo, revision) {
            Err(HubError::RevisionNotFound { .. }) => {
                hub.create_branch(&made.repo, revision)?;
                message(format_args!("made the branch {revision}"));
            }
            resolved => drop(resolved?),
        }
    }
    Ok(made.repo)
}

fn plan(args: &Args, hub: &Hub, repo: &Repo, commit: CommitOptions) -> Result<UploadPlan> {
    let options = upload_options(args, repo, commit)?;
    if !args.path.is_file() {
        return Ok(hub.plan_upload(&args.path, repo, &options)?);
    }
    Err("--dry-run looks through folders, and this is a file".into())
}

fn print_plan(args: &Args, repo: &Repo, plan: &UploadPlan) -> Result<()> {
    tell(&plan.notes);
    let mut out = output::stdout();
    let status = |status| match status {
        FileStatus::New => "new",
        FileStatus::Changed => "changed",
        FileStatus::Unchanged => "unchanged",
        FileStatus::GitIgnored => "ignored",
        _ => "unknown",
    };
    if args.json {
        let files = plan.files.iter().map(|file| {
            json!({
                "path": file.path.as_str(),
                "size": file.size,
                "lfs": file.mode.map(|mode| mode == UploadMode::Lfs),
                "status": status(file.status),
            })
        });
        let result = json!({
            "repo": repo.to_string(),
            "files": files.collect::<Vec<_>>(),
            "deleted": paths(&plan.deleted),
            "notes": texts(&plan.notes),
        });
        return Ok(output::json(&mut out, &result)?);
    }
    for file in &plan.files {
        let (path, size) = (printable(file.path.as_str()), bytes(file.size));
        writeln!(out, "{:9}  {size:>10}  {path}", status(file.status))?;
    }
    for path in &plan.deleted {
        writeln!(out, "{:9}  {:>10}  {path}", "deleted", "")?;
    }
    let sent = plan
        .files
        .iter()
        .filter(|file| matches!(file.status, FileStatus::New | FileStatus::Changed));
    let (count, size) = sent.fold((0, 0), |(count, size), file| (count + 1, size + file.size));
    writeln!(
        out,
        "{} ({}) to {repo}",
        counted(count, "file"),
        bytes(size)
    )?;
    Ok(out.flush()?)
}

fn print(args: &Args, repo: &Repo, info: &CommitInfo) -> Result<()> {
    tell(&info.notes);
    let mut out = output::stdout();
    if args.json {
        let result = json!({
            "repo": repo.to_string(),
            "created": info.created,
            "url": info.url,
            "commit": info.oid.as_str(),
            "pr_url": info.pr_url,
            "pr_num": info.pr_num,
            "added": paths(&info.added),
            "deleted": paths(&info.deleted),
            "unchanged": paths(&info.unchanged),
            "notes": texts(&info.notes),
        });
        return Ok(output::json(&mut out, &result)?);
    }
    if info.created {
        let mut done = format!("uploaded {}", counted(info.added.len(), "file"));
        if !info.deleted.is_empty() {
            done.push_str(&format!(", deleted {}", info.deleted.len()));
        }
        if !info.unchanged.is_empty() {
            done.push_str(&format!(", {} were there already", info.unchanged.len()));
        }
        message(done);
        writeln!(
            out,
            "{}",
            printable(info.pr_url.as_ref().unwrap_or(&info.url))
        )?;
    } else {
        message(if info.unchanged.is_empty() {
            format!(
                "nothing to upload: {} has no such files",
                args.path.display()
            )
        } else {
            format!("nothing changed: {repo} has all of it already")
        });
        writeln!(out, "{}", printable(&info.url))?;
    }
    Ok(out.flush()?)
}

fn tell(notes: &[UploadNote]) {
    for note in notes {
        message(format_args!("note: {}", printable(&note.to_string())));
    }
}

fn texts(notes: &[UploadNote]) -> Vec<String> {
    notes.iter().map(ToString::to_string).collect()
}

fn paths(paths: &[RelPath]) -> Vec<&str> {
    paths.iter().map(RelPath::as_str).collect()
}
