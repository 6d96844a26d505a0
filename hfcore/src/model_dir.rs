//! A model folder: which files it has, and which crate reads each.
//!
//! ```text
//! config.json                 required      hfcore-config, PretrainedConfig
//! model.safetensors           one of these  hfcore-weights, Weights
//! model.safetensors.index.json
//! generation_config.json      optional      hfcore-config, GenerationConfig
//! tokenizer.json              for text      hfcore-tokenize, Tokenizer
//! tokenizer_config.json       optional      special tokens, chat template
//! chat_template.jinja         optional      wins over the one in tokenizer_config.json
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use hfcore_config::{GenerationConfig, PretrainedConfig};
use hfcore_tokenize::Tokenizer;
use hfcore_weights::{OpenOptions, Weights};

use crate::error::Error;

/// The largest `tokenizer.json`; Gemma's, among the largest, has 33 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
/// The largest of the other text files.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The file whose template wins over those in `tokenizer_config.json`.
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// A folder with a model, as the Hub lays it out.
#[derive(Clone, Debug)]
pub struct ModelDir {
    path: PathBuf,
}

impl ModelDir {
    /// The folder `path`.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        if path.is_dir() {
            Ok(Self { path })
        } else {
            Err(Error::NoFolder(path))
        }
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

    /// The tokenizer, with its special tokens and chat template.
    ///
    /// # Errors
    /// If there is no `tokenizer.json` or a file is malformed.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let remedy = "only tokenizer.json is read yet; Python's save_pretrained of a fast tokenizer writes it";
        let json = self.required("tokenizer.json", MAX_TOKENIZER_BYTES, remedy)?;
        let config = self.optional("tokenizer_config.json", MAX_CONFIG_BYTES)?;
        let tokenizer = Tokenizer::from_slices(&json, config.as_deref())?;
        let Some(template) = self.optional(CHAT_TEMPLATE, MAX_CONFIG_BYTES)? else {
            return Ok(tokenizer);
        };
        let template = String::from_utf8(template).map_err(|error| Error::Io {
            path: self.path.join(CHAT_TEMPLATE),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        Ok(tokenizer.with_chat_templates([("default", template)]))
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
