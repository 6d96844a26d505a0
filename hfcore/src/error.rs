//! The sum of what can go wrong.

use std::io;
use std::path::PathBuf;

use hfcore_arch::{CacheError, ForwardError, ModelError};
use hfcore_config::ConfigError;
use hfcore_generate::GenerateError;
use hfcore_hub::{HubError, NameError};
use hfcore_kernels::DeviceError;
use hfcore_tokenize::{TemplateError, TokenizeError};
use hfcore_weights::WeightsError;

use crate::verify::VerifyError;

/// Why something could not be done. The cause, where there is one, is its `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model folder is not there.
    #[error("{} is not a folder; a model is a folder with config.json, safetensors and tokenizer.json", .0.display())]
    NoFolder(PathBuf),
    /// What was given names neither a folder nor a model of the Hub.
    #[error("{name:?} is not a folder, and cannot be a model of the Hub")]
    NoModel {
        /// What was given.
        name: String,
        /// Why it cannot be.
        source: NameError,
    },
    /// A model could not be had from the Hub or its cache.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A repository has no weights that are read.
    #[error("{origin} has no {wanted}{}", if .instead.is_empty() {
        String::from(" and no other weights: is the model in a subfolder?")
    } else {
        format!("; it has {}: only safetensors are read, and pickles never (https://huggingface.co/spaces/safetensors/convert opens a pull request that converts them; load it with the revision refs/pr/N)", .instead.join(", "))
    })]
    NoWeights {
        /// The repository and its commit.
        origin: String,
        /// The file that would be read first.
        wanted: String,
        /// Weights that it has instead.
        instead: Vec<String>,
    },
    /// A file of the model folder is not there.
    #[error("{} has no {file}: {remedy}", .folder.display())]
    NoFile {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A file could not be read.
    #[error("{} could not be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any file of its kind should be.
    #[error("{} has {size} bytes, and the limit for such a file is {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A JSON file of the folder was refused.
    #[error("{} was refused", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// The weights could not be opened.
    #[error("the weights in {} could not be opened", .folder.display())]
    Weights {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: Box<WeightsError>,
    },
    /// The model in a folder could not be built.
    #[error("the model in {} could not be loaded", .folder.display())]
    Model {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: Box<ModelError>,
    },
    /// The tokenizer of a folder could not be loaded.
    #[error("the tokenizer in {} could not be loaded", .folder.display())]
    Tokenizer {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: TokenizeError,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed")]
    Tokenize(#[from] TokenizeError),
    /// The chat template could not be rendered.
    #[error("the chat template failed")]
    Template(#[from] TemplateError),
    /// The model could not run on its input.
    #[error("the model could not run")]
    Forward(#[from] ForwardError),
    /// The cache could not do what was asked.
    #[error("the cache could not do what was asked")]
    Cache(#[from] CacheError),
    /// Generation could not begin or go on.
    #[error("generation failed")]
    Generate(#[from] GenerateError),
    /// The device failed.
    #[error("the device failed")]
    Device(#[from] DeviceError),
    /// Reference data could not be used.
    #[error("the reference data could not be used")]
    Verify(#[from] VerifyError),
    /// There is no pipeline for a task.
    #[error("there is no pipeline for the task \"{task}\" yet; there is one for {}", .available.join(", "))]
    NoPipeline {
        /// The task.
        task: String,
        /// The tasks that have one.
        available: &'static [&'static str],
    },
}

impl Error {
    /// The error and its causes, outermost first, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
