//! Model cards: the `README.md` of a repository, with data in its front matter.
//!
//! Reference: `repocard.py` and `repocard_data.py` of `huggingface_hub` 2.4.0. A card is data for people and for search; no
//! model depends on it, and none fails to load because its card cannot be read.

mod data;
mod error;
mod eval_result;
mod field;
mod front_matter;
mod known;
mod template;
mod validate;
mod yaml;

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

pub use data::ModelCardData;
pub use error::CardError;
pub use eval_result::EvalResult;
pub use field::{BaseModelRelation, OneOrMany};
pub use template::CardTemplate;
pub use validate::{CardProblem, Severity};
pub use yaml::{YamlMapping, YamlValue};

use yaml::LineBreak;

/// How much of a card is read: it comes from strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CardLimits {
    /// Bytes of the whole card. Default 16 MiB.
    pub max_card_bytes: u64,
    /// Bytes of its front matter. Default 1 MiB.
    pub max_front_matter_bytes: usize,
    /// Values in the front matter, aliases counted as what they stand for. Default 100 000.
    pub max_nodes: usize,
    /// Lists and mappings within each other. Default 64.
    pub max_depth: usize,
    /// Aliases (`*name`). Default 1 000.
    pub max_aliases: usize,
    /// Bytes of all texts, aliases counted as what they stand for. Default 4 MiB.
    pub max_expanded_bytes: usize,
}

impl Default for CardLimits {
    fn default() -> Self {
        Self {
            max_card_bytes: 16 << 20,
            max_front_matter_bytes: 1 << 20,
            max_nodes: 100_000,
            max_depth: 64,
            max_aliases: 1_000,
            max_expanded_bytes: 4 << 20,
        }
    }
}

/// How a card is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CardOptions {
    /// Evaluation results that are not complete are left untyped instead of being an error.
    pub ignore_metadata_errors: bool,
    /// How much is read.
    pub limits: CardLimits,
}

impl CardOptions {
    /// The defaults, with [`ignore_metadata_errors`](Self::ignore_metadata_errors).
    #[must_use]
    pub fn with_ignore_metadata_errors(mut self, ignore: bool) -> Self {
        self.ignore_metadata_errors = ignore;
        self
    }

    /// These limits.
    #[must_use]
    pub fn with_limits(mut self, limits: CardLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// A model card. `to_string` is the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelCard {
    /// Its front matter.
    pub data: ModelCardData,
    /// What follows the front matter: Markdown, from a stranger. Nothing here turns it into HTML.
    pub text: String,
    /// As the file has them.
    line_break: LineBreak,
}

impl ModelCard {
    /// The file in a repository.
    pub const FILE_NAME: &'static str = "README.md";

    /// Of data and Markdown.
    #[must_use]
    pub fn new(data: ModelCardData, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            data,
            text,
            line_break: LineBreak::Lf,
        }
    }

    /// Reads a card: UTF-8, with or without a byte order mark and front matter.
    ///
    /// # Errors
    /// If it is no text or too large, if its front matter is not YAML of the kind that Python's `safe_load` reads, or not a
    /// mapping from text, or if its `model-index` is not complete.
    pub fn parse(card: &[u8]) -> Result<Self, CardError> {
        Self::parse_with(card, &CardOptions::default())
    }

    /// As [`parse`](Self::parse), with options.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(card: &[u8], options: &CardOptions) -> Result<Self, CardError> {
        let limits = &options.limits;
        let bytes = u64::try_from(card.len()).unwrap_or(u64::MAX);
        if bytes > limits.max_card_bytes {
            return Err(CardError::TooLarge {
                what: "file",
                bytes,
                limit: "max_card_bytes",
                max: limits.max_card_bytes,
            });
        }
        let content = str::from_utf8(card).map_err(|error| CardError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let parts = front_matter::split(content);
        let data = match parts.yaml {
            Some(yaml) => parse_front_matter(yaml, parts.line, options)?,
            None => ModelCardData::default(),
        };
        Ok(Self {
            data,
            text: parts.text.to_owned(),
            line_break: front_matter::line_break(content),
        })
    }

    /// Reads the card at `path`.
    ///
    /// # Errors
    /// If it cannot be read, and as [`parse`](Self::parse).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CardError> {
        Self::load_with(path, &CardOptions::default())
    }

    /// As [`load`](Self::load), with options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(path: impl AsRef<Path>, options: &CardOptions) -> Result<Self, CardError> {
        let path = path.as_ref();
        let max = options.limits.max_card_bytes;
        let mut card = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut card));
        read.map_err(|source| CardError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse_with(&card, options)
    }
}

fn parse_front_matter(
    text: &str,
    first_line: usize,
    options: &CardOptions,
) -> Result<ModelCardData, CardError> {
    let limits = &options.limits;
    if text.len() > limits.max_front_matter_bytes {
        let number = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
        return Err(CardError::TooLarge {
            what: "front matter",
            bytes: number(text.len()),
            limit: "max_front_matter_bytes",
            max: number(limits.max_front_matter_bytes),
        });
    }
    let value = yaml::parse(text, &data::WORDS, limits).map_err(|problem| CardError::Yaml {
        line: first_line + problem.line - 1,
        why: problem.why,
    })?;
    match value {
        YamlValue::Null => Ok(ModelCardData::default()),
        YamlValue::Mapping(mapping) => {
            ModelCardData::from_mapping(mapping, options.ignore_metadata_errors)
        }
        other => Err(CardError::NotAMapping {
            found: other.kind(),
        }),
    }
}

impl fmt::Display for ModelCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line_break = self.line_break.as_str();
        let yaml = self.data.to_yaml_with(self.line_break);
        write!(
            f,
            "---{line_break}{yaml}{line_break}---{line_break}{}",
            self.text
        )
    }
}

impl FromStr for ModelCard {
    type Err = CardError;

    fn from_str(card: &str) -> Result<Self, CardError> {
        Self::parse(card.as_bytes())
    }
}
