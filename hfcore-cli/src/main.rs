//! The `hfcore` command line: generate, chat, tokenize, inspect, verify and bench, on any model folder.

#![forbid(unsafe_code)]

mod commands;
mod demo;
mod output;
mod runtime;
mod sampling;
mod style;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run Hugging Face models: point it at a model folder.
#[derive(Debug, Parser)]
#[command(name = "hfcore", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Continue a text.
    Generate(commands::generate::Args),
    /// Talk with a model.
    Chat(commands::chat::Args),
    /// Show the tokens of a text.
    Tokenize(commands::tokenize::Args),
    /// Say what a model folder holds and what it needs.
    Inspect(commands::inspect::Args),
    /// Check a model against the reference data beside it.
    Verify(commands::verify::Args),
    /// Measure loading, prompt processing and generation, as llama-bench defines them.
    Bench(commands::bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate(args) => commands::generate::run(&args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Tokenize(args) => commands::tokenize::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Verify(args) => return commands::verify::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&*error);
            ExitCode::FAILURE
        }
    }
}
