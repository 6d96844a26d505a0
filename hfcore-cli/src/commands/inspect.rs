//! `hfcore inspect MODEL`: what a model holds and what it needs.
//!
//! What hfcore would refuse is said, and is no failure: looking is what the command is for. One thing that
//! cannot be read does not hide the others. A model of the Hub is looked at before it is downloaded.

mod machine;
mod remote;
mod report;
mod rope;
mod text;

use crate::model::ModelArgs;
use crate::output::{self, Result};
use remote::Remote;
use report::{Machine, Report};

/// The arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model: a folder, `org/name` or `org/name@revision`. Of one that is not downloaded, only small files and the
    /// headers of the weights are fetched.
    model: String,
    /// List every tensor: type, shape and name.
    #[arg(long)]
    tensors: bool,
    /// The tokens to give the cache's memory for [default: the model's context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ModelArgs,
}

/// Look, and print.
pub(crate) fn run(args: &Args) -> Result<()> {
    let context = args.context.map(usize::try_from).transpose()?;
    let remote = Remote::new(&args.model, &args.source)?;
    let mut report = Report::new(&remote.dir, remote.checkpoint, context, args.tensors)?;
    report.machine(Machine::new(remote.dir.path()), remote.download);
    let mut out = output::stdout();
    if args.json {
        output::json(&mut out, &report)?;
    } else {
        text::print(&mut out, &report)?;
    }
    Ok(())
}
