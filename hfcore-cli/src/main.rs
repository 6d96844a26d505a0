//! The `hfcore` command line: models of a folder or of the Hugging Face Hub, run, inspected, measured, fetched and found.

#![forbid(unsafe_code)]

mod commands;
mod demo;
mod hub;
mod model;
mod output;
mod progress;
mod runtime;
mod sampling;
mod style;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run Hugging Face models: point it at a model folder, or at a model of the Hub.
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
    /// Say what a model holds, what it needs, and whether it fits, before it is downloaded too.
    Inspect(commands::inspect::Args),
    /// Check a model against the reference data beside it.
    Verify(commands::verify::Args),
    /// List the devices that models can run on, and what each can do.
    Devices(commands::devices::Args),
    /// Measure loading, prompt processing and generation, as llama-bench defines them.
    Bench(commands::bench::Args),
    /// Download a model, or files of its repository; pin it, or be held to what was pinned.
    Download(commands::download::Args),
    /// List, check and remove what was downloaded.
    Cache(commands::cache::Args),
    /// Search for models on the Hub.
    Search(commands::search::Args),
    /// Show or check a model card.
    Card(commands::card::Args),
    /// Upload a folder or a file to the Hub.
    Upload(commands::upload::Args),
    /// Store an access token, for this program and for Python's.
    Login(commands::login::Args),
    /// Forget stored access tokens.
    Logout(commands::login::LogoutArgs),
    /// Say whose access token is in use.
    Whoami(commands::login::WhoamiArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate(args) => commands::generate::run(&args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Tokenize(args) => commands::tokenize::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Verify(args) => return commands::verify::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Download(args) => commands::download::run(&args),
        Command::Cache(args) => return finish(commands::cache::run(&args)),
        Command::Search(args) => commands::search::run(&args),
        Command::Card(args) => return finish(commands::card::run(&args)),
        Command::Upload(args) => commands::upload::run(&args),
        Command::Login(args) => commands::login::login(&args),
        Command::Logout(args) => commands::login::logout(&args),
        Command::Whoami(args) => commands::login::whoami(&args),
    };
    finish(result.map(|()| true))
}

/// Success if it was done and all is well; a command that says that something is not has said what.
fn finish(result: output::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if output::is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&*error);
            ExitCode::FAILURE
        }
    }
}
