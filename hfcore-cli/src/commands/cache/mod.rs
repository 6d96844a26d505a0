//! `hfcore cache ls | verify | prune | rm`: what was downloaded, and making room.
//!
//! ```text
//! ls.rs       what is there
//! verify.rs   is it what the Hub sent?
//! prune.rs    removing what nobody needs
//! rm.rs       removing what is named
//! remove.rs   what both have in common: saying what goes, asking, doing it
//! ```

mod ls;
mod prune;
mod remove;
mod rm;
mod verify;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use hfcore::hub::cache::CacheInfo;
use hfcore::hub::{Cache, Environment};

use crate::output::{self, Result};

/// The arguments of `cache`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what was downloaded: sizes, when it was last used, what is wrong.
    Ls(ls::Args),
    /// Check that every file is what the Hub sent.
    Verify(verify::Args),
    /// Remove what nobody needs: revisions that no branch or tag stands for, downloads that were cut off.
    Prune(prune::Args),
    /// Remove models, or revisions of them.
    Rm(rm::Args),
}

/// Which cache.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of the cache [default: as `HF_HUB_CACHE` or `HF_HOME` say]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

impl Place {
    fn cache(&self) -> Result<Cache> {
        let environment = Environment::from_process()?;
        let folder = self.cache_dir.as_ref().unwrap_or(&environment.cache);
        Ok(Cache::new(folder)
            .with_symlinks(environment.symlinks)
            .with_shared_blobs(environment.shared_blobs))
    }

    /// What is in it; nothing, and a message, if there is none yet.
    fn scan(&self) -> Result<(Cache, Option<CacheInfo>)> {
        let cache = self.cache()?;
        if !cache.root().exists() {
            let folder = cache.root().display();
            output::message(format_args!("there is no cache at {folder} yet"));
            return Ok((cache, None));
        }
        let info = cache.scan()?;
        Ok((cache, Some(info)))
    }
}

/// Do what is asked; `false` if something is wrong with the cache, which has been said.
pub(crate) fn run(args: &Args) -> Result<bool> {
    match &args.command {
        Command::Ls(args) => ls::run(args).map(|()| true),
        Command::Verify(args) => verify::run(args),
        Command::Prune(args) => prune::run(args),
        Command::Rm(args) => rm::run(args),
    }
}

/// Seconds since 1970.
fn unix_seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
