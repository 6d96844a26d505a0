//! A model folder: which files it has, and which crate reads each.
//!
//! ```text
//! config.json                 required      hfcore-config, PretrainedConfig
//! model.safetensors           one of these  hfcore-weights, Weights
//! model.safetensors.index.json
//! generation_config.json      optional      hfcore-config, GenerationConfig
//! tokenizer.json              for text      hfcore-tokenize, Tokenizer; or the files of slow tokenizers:
//!                                           tokenizer.model, spiece.model, vocab.txt, vocab.json with merges.txt, …
//! tokenizer_config.json       optional      class, special tokens, chat template
//! chat_template.jinja         optional      wins over the one in tokenizer_config.json
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use hfcore_config::{GenerationConfig, PretrainedConfig};
use hfcore_hub::{Commit, RepoId, Revision};
use hfcore_tokenize::{Tokenizer, TokenizerFiles};
use hfcore_weights::{OpenOptions, Weights};

use crate::error::Error;
use crate::pretrained::Pretrained;

/// The largest configuration.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A folder with a model, as the Hub lays it out.
#[derive(Clone, Debug)]
pub struct ModelDir {
    path: PathBuf,
    variant: Option<String>,
    origin: Option<Origin>,
    /// Of a model of the Hub, the folder of the whole repository.
    snapshot: Option<PathBuf>,
}

/// Where on the Hub a model came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The repository.
    pub repo: RepoId,
    /// What was asked for.
    pub revision: Revision,
    /// What it stood for. Asked for instead of the revision, it gives the same bytes for ever.
    pub commit: Commit,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.commit)
    }
}

impl ModelDir {
    /// The folder `path`.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        if path.is_dir() {
            Ok(Self {
                path,
                variant: None,
                origin: None,
                snapshot: None,
            })
        } else {
            Err(Error::NoFolder(path))
        }
    }

    /// The folder of a model that is named as transformers names it: a folder's path, or `org/name` of the Hub.
    ///
    /// # Errors
    /// As [`Pretrained::fetch`].
    pub fn from_pretrained(source: impl Into<Pretrained>) -> Result<Self, Error> {
        source.into().fetch()
    }

    /// Whose weights are those of a variant.
    pub(crate) fn with_variant(mut self, variant: Option<String>) -> Self {
        self.variant = variant;
        self
    }

    /// Which came from the Hub, and is in this snapshot.
    pub(crate) fn with_origin(mut self, origin: Origin, snapshot: &Path) -> Self {
        self.origin = Some(origin);
        self.snapshot = Some(snapshot.to_owned());
        self
    }

    /// The variant of its weights.
    pub(crate) fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Where it lies in the snapshot that it is in.
    pub(crate) fn subfolder(&self) -> &Path {
        let snapshot = self.snapshot.as_deref().unwrap_or(&self.path);
        self.path.strip_prefix(snapshot).unwrap_or(&self.path)
    }

    /// The snapshot that it is in.
    #[cfg(feature = "hub")]
    pub(crate) fn snapshot(&self) -> Option<&Path> {
        self.snapshot.as_deref()
    }

    /// What a lock file records of it: its commit, and every file that the cache has of that, read and hashed.
    ///
    /// # Errors
    /// If it did not come from the Hub, or a file cannot be read.
    #[cfg(feature = "hub")]
    pub fn pin(&self) -> Result<hfcore_hub::LockedRepo, Error> {
        let (Some(origin), Some(snapshot)) = (&self.origin, &self.snapshot) else {
            return Err(hfcore_hub::HubError::Argument {
                what: self.path.display().to_string(),
                why: "it is a folder: only what comes from the Hub has a commit to pin".to_owned(),
            }
            .into());
        };
        let repo = hfcore_hub::Repo::new(hfcore_hub::RepoType::Model, origin.repo.clone());
        let (revision, commit) = (origin.revision.clone(), origin.commit.clone());
        Ok(hfcore_hub::LockedRepo::of_folder(
            repo,
            revision,
            commit,
            snapshot,
            &mut |_| std::ops::ControlFlow::Continue(()),
        )?)
    }

    /// Where on the Hub the model came from, if it did.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn config(&self) -> Result<PretrainedConfig, Error> {
        let remedy = "every model has one; is this the folder that holds the weights?";
        let bytes = self.required("config.json", MAX_CONFIG_BYTES, remedy)?;
        PretrainedConfig::from_slice(&bytes).map_err(|source| self.refused("config.json", source))
    }

    /// The weights, opened and not read.
    ///
    /// # Errors
    /// If there are none or a file is damaged.
    pub fn weights(&self, options: &OpenOptions) -> Result<Weights, Error> {
        let failed = |source| Error::Weights {
            folder: self.path.clone(),
            source: Box::new(source),
        };
        let options = match (&self.variant, &options.variant) {
            (Some(variant), None) => &options.clone().with_variant(variant),
            _ => options,
        };
        Weights::open(&self.path, options).map_err(failed)
    }

    /// `generation_config.json`; what `config.json` says of generation, if there is none.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn generation_config(&self, config: &PretrainedConfig) -> Result<GenerationConfig, Error> {
        const FILE: &str = "generation_config.json";
        match self.optional(FILE, MAX_CONFIG_BYTES)? {
            Some(bytes) => {
                GenerationConfig::from_slice(&bytes).map_err(|source| self.refused(FILE, source))
            }
            None => GenerationConfig::from_model_config(config)
                .map_err(|source| self.refused("config.json", source)),
        }
    }

    /// The tokenizer, as transformers' `AutoTokenizer` makes it of whichever files the folder has: its class by
    /// `tokenizer_config.json` and `config.json`, its vocabulary from `tokenizer.json` or the files of slow
    /// tokenizers, its special tokens and chat templates.
    ///
    /// # Errors
    /// If none of the class's files are there, the class is one that hfcore does not have, or a file is malformed.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let failed = |source| Error::Tokenizer {
            folder: self.path.clone(),
            source,
        };
        let mut files = TokenizerFiles::read(&self.path).map_err(failed)?;
        if let Some(origin) = &self.origin {
            files = files.with_repository(origin.repo.as_str());
        }
        Tokenizer::from_files(&files, None).map_err(failed)
    }

    /// Whether the folder has the file `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    fn required(
        &self,
        file: &'static str,
        limit: u64,
        remedy: &'static str,
    ) -> Result<Vec<u8>, Error> {
        let missing = || Error::NoFile {
            folder: self.path.clone(),
            file,
            remedy,
        };
        self.optional(file, limit)?.ok_or_else(missing)
    }

    fn optional(&self, file: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(file);
        let size = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        if size > limit {
            return Err(Error::TooLarge { path, size, limit });
        }
        fs::read(&path)
            .map(Some)
            .map_err(|source| Error::Io { path, source })
    }

    fn refused(&self, file: &str, source: hfcore_config::ConfigError) -> Error {
        Error::File {
            path: self.path.join(file),
            source,
        }
    }
}
