//! The Hub that commands ask.

use std::path::PathBuf;

use clap::Args;
use hfcore::hub::{Environment, Hub, HubBuilder, Revision};

use crate::output::Result;
use crate::progress::Watch;

/// Under which the options stand in the help.
pub(crate) const HEADING: &str = "The Hub";

/// Where what the Hub has is kept, and whether the Hub is asked at all.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct HubArgs {
    /// The folder of the cache [default: as `HF_HUB_CACHE` or `HF_HOME` say]
    #[arg(long, value_name = "DIR", help_heading = HEADING)]
    cache_dir: Option<PathBuf>,
    /// Use what was downloaded, and never the network.
    #[arg(long, help_heading = HEADING)]
    pub(crate) offline: bool,
}

impl HubArgs {
    /// As the environment says, and the options in place of it.
    pub(crate) fn builder(&self, watch: &Watch) -> Result<HubBuilder> {
        let mut environment = Environment::from_process()?;
        if let Some(folder) = &self.cache_dir {
            environment.cache.clone_from(folder);
        }
        if self.offline {
            environment.offline = Some("--offline");
        }
        let name = concat!("hfcore-cli/", env!("CARGO_PKG_VERSION"));
        Ok(HubBuilder::new(environment)
            .progress(watch.progress())
            .user_agent(name))
    }

    pub(crate) fn hub(&self, watch: &Watch) -> Result<Hub> {
        Ok(self.builder(watch)?.build()?)
    }
}

/// The revision that was asked for in one way or the other, or in both if it is the same one.
pub(crate) fn one_revision(
    option: Option<&Revision>,
    in_name: Option<&Revision>,
) -> Result<Revision> {
    match (option, in_name) {
        (Some(option), Some(name)) if option != name => {
            Err(format!("--revision says {option}, and the name says {name}").into())
        }
        (revision, other) => Ok(revision.or(other).cloned().unwrap_or_default()),
    }
}
