//! `hfcore inspect MODEL`: what a model folder holds and what it needs.
//!
//! What hfcore would refuse is said, and is no failure: looking is what the command is for. One thing that
//! cannot be read does not hide the others.

mod report;
mod rope;
mod text;

use std::path::PathBuf;

use hfcore::ModelDir;

use crate::output::{self, Result};
use report::Report;

/// The arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A model folder.
    model: PathBuf,
    /// List every tensor: type, shape and name.
    #[arg(long)]
    tensors: bool,
    /// The tokens to give the cache's memory for [default: the model's context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Look, and print.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = ModelDir::new(&args.model)?;
    let context = args.context.map(usize::try_from).transpose()?;
    let report = Report::new(&dir, context, args.tensors)?;
    let mut out = output::stdout();
    if args.json {
        output::json(&mut out, &report)?;
    } else {
        text::print(&mut out, &report)?;
    }
    Ok(())
}
