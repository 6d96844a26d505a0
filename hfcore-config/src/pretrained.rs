//! `config.json`: the part that all models have, and the way to the rest.
//!
//! Reference: `configuration_utils.py`, `PreTrainedConfig`, transformers 5.23. Both spellings are read: transformers 4
//! (`torch_dtype`) and 5 (`dtype`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{ConfigError, Problem, found};
use crate::json::{integer, object, parse_object};
use crate::keys::Keys;
use crate::quantization::QuantizationConfig;

/// The contents of a `config.json`.
///
/// Its common keys are checked on reading; what a family computes with is read through [`PretrainedConfig::keys`].
/// Nothing in it is ever executed or opened: `auto_map`, paths and names of other repositories are only data.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainedConfig {
    raw: Map<String, Value>,
    common: Common,
}

/// The common keys, checked.
#[derive(Clone, Debug, PartialEq, Default)]
struct Common {
    model_type: Option<String>,
    architectures: Vec<String>,
    dtype: Option<String>,
    transformers_version: Option<String>,
    bos_token_id: Option<u32>,
    eos_token_ids: Vec<u32>,
    pad_token_id: Option<u32>,
    decoder_start_token_id: Option<u32>,
    is_encoder_decoder: bool,
    tie_word_embeddings: Option<bool>,
    id2label: BTreeMap<usize, String>,
    num_labels: Option<usize>,
    quantization_config: Option<QuantizationConfig>,
}

impl PretrainedConfig {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    ///
    /// Not JSON, too large, or one of the common keys has a value of the wrong kind: all such keys are listed.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::from_map(parse_object("config.json", bytes)?)
    }

    /// Takes an object that was already parsed.
    ///
    /// # Errors
    ///
    /// One of the common keys has a value of the wrong kind: all such keys are listed.
    pub fn from_map(raw: Map<String, Value>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let common = Common::read(&raw, &mut problems);
        if problems.is_empty() {
            Ok(Self { raw, common })
        } else {
            Err(ConfigError::Problems {
                file: "config.json",
                model_type: common.model_type,
                problems,
            })
        }
    }

    /// `model_type`, the name that chooses the architecture. Files from before transformers 3 have none.
    #[must_use]
    pub fn model_type(&self) -> Option<&str> {
        self.common.model_type.as_deref()
    }

    /// `architectures`: Python class names, usually one, such as `LlamaForCausalLM`.
    #[must_use]
    pub fn architectures(&self) -> &[String] {
        &self.common.architectures
    }

    /// `dtype`, in old files `torch_dtype`: the type of the weights, such as `bfloat16`.
    #[must_use]
    pub fn dtype(&self) -> Option<&str> {
        self.common.dtype.as_deref()
    }

    /// The version of transformers that wrote the file.
    #[must_use]
    pub fn transformers_version(&self) -> Option<&str> {
        self.common.transformers_version.as_deref()
    }

    /// The beginning-of-sequence token.
    #[must_use]
    pub fn bos_token_id(&self) -> Option<u32> {
        self.common.bos_token_id
    }

    /// The end-of-sequence tokens; the file has a number or a list.
    #[must_use]
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.common.eos_token_ids
    }

    /// The padding token. `-1`, which some files have, is `None`.
    #[must_use]
    pub fn pad_token_id(&self) -> Option<u32> {
        self.common.pad_token_id
    }

    /// The token with which a decoder starts.
    #[must_use]
    pub fn decoder_start_token_id(&self) -> Option<u32> {
        self.common.decoder_start_token_id
    }

    /// Whether the model has an encoder and a decoder.
    #[must_use]
    pub fn is_encoder_decoder(&self) -> bool {
        self.common.is_encoder_decoder
    }

    /// `tie_word_embeddings`, where the file says; the default depends on the family.
    #[must_use]
    pub fn tie_word_embeddings(&self) -> Option<bool> {
        self.common.tie_word_embeddings
    }

    /// The names of the classes of a classifier, by class.
    #[must_use]
    pub fn id2label(&self) -> &BTreeMap<usize, String> {
        &self.common.id2label
    }

    /// The number of classes of a classifier: of `id2label`, else `num_labels`, else 2 (transformers leaves the
    /// default out of the file).
    #[must_use]
    pub fn num_labels(&self) -> usize {
        if self.common.id2label.is_empty() {
            self.common.num_labels.unwrap_or(2)
        } else {
            self.common.id2label.len()
        }
    }

    /// How the weights are quantized, if they are.
    #[must_use]
    pub fn quantization_config(&self) -> Option<&QuantizationConfig> {
        self.common.quantization_config.as_ref()
    }

    /// Whether the repository brings its own Python code (`auto_map`). It is never run.
    #[must_use]
    pub fn auto_map(&self) -> bool {
        self.raw.get("auto_map").is_some_and(|map| !map.is_null())
    }

    /// A cursor that accounts for every key. See [`Keys`].
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(&self.raw, self.model_type())
    }

    /// The configuration of a part: `text_config`, `vision_config`, `encoder`, … `None` where the key is absent or
    /// null.
    ///
    /// # Errors
    ///
    /// Not an object, or a common key in it has a value of the wrong kind.
    pub fn sub_config(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some(value) = self.raw.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        match object(value) {
            Some(map) => Self::from_map(map.clone()).map(Some),
            None => Err(ConfigError::Problems {
                file: "config.json",
                model_type: self.common.model_type.clone(),
                problems: vec![Problem::new(
                    key,
                    format!("expected an object, found {}", found(value)),
                )],
            }),
        }
    }

    /// The file as it is.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

impl Common {
    fn read(raw: &Map<String, Value>, problems: &mut Vec<Problem>) -> Self {
        let mut read = Reader { raw, problems };
        let quantization_config = QuantizationConfig::from_config(raw, read.problems);
        Self {
            model_type: read.text("model_type"),
            architectures: read.texts("architectures"),
            // Where a file has both, transformers keeps `dtype`.
            dtype: read
                .text("dtype")
                .or(read.text("torch_dtype"))
                .map(|name| name.strip_prefix("torch.").unwrap_or(&name).to_owned()),
            transformers_version: read.text("transformers_version"),
            bos_token_id: read.token("bos_token_id"),
            eos_token_ids: read.tokens("eos_token_id"),
            pad_token_id: read.token("pad_token_id"),
            decoder_start_token_id: read.tokens("decoder_start_token_id").first().copied(),
            is_encoder_decoder: read.flag("is_encoder_decoder").unwrap_or(false),
            tie_word_embeddings: read.flag("tie_word_embeddings"),
            id2label: read.labels("id2label"),
            num_labels: read.number("num_labels"),
            quantization_config,
        }
    }
}

/// Reads keys of the root, collecting problems.
struct Reader<'a> {
    raw: &'a Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn present(&self, key: &str) -> Option<&'a Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn expected(&mut self, key: &str, expected: &str, value: &Value) {
        let message = format!("expected {expected}, found {}", found(value));
        self.problems.push(Problem::new(key, message));
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.present(key)?;
        if value.as_str().is_none() {
            self.expected(key, "a string", value);
        }
        value.as_str().map(str::to_owned)
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.present(key) else {
            return Vec::new();
        };
        let items = value.as_array().map(|items| {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>()
        });
        items.flatten().unwrap_or_else(|| {
            self.expected(key, "a list of strings", value);
            Vec::new()
        })
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.present(key)?;
        if value.as_bool().is_none() {
            self.expected(key, "true or false", value);
        }
        value.as_bool()
    }

    fn number(&mut self, key: &str) -> Option<usize> {
        let value = self.present(key)?;
        let number = integer(value).and_then(|n| usize::try_from(n).ok());
        let number = number.filter(|n| *n <= crate::keys::MAX_DIM);
        if number.is_none() {
            self.expected(key, "a whole number from 0 to 16777216", value);
        }
        number
    }

    fn token(&mut self, key: &str) -> Option<u32> {
        let value = self.present(key)?;
        let id = integer(value);
        // Some published files say -1 for "none"; transformers only warns.
        if id == Some(-1) {
            return None;
        }
        let id = id.and_then(|id| u32::try_from(id).ok());
        if id.is_none() {
            self.expected(key, "a token id from 0 to 4294967295", value);
        }
        id
    }

    fn tokens(&mut self, key: &str) -> Vec<u32> {
        match self.present(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let ids = items
                    .iter()
                    .map(|item| integer(item).and_then(|id| u32::try_from(id).ok()))
                    .collect::<Option<Vec<_>>>();
                ids.unwrap_or_else(|| {
                    self.expected(
                        key,
                        "token ids from 0 to 4294967295",
                        &Value::Array(items.clone()),
                    );
                    Vec::new()
                })
            }
            Some(_) => self.token(key).into_iter().collect(),
        }
    }

    fn labels(&mut self, key: &str) -> BTreeMap<usize, String> {
        let Some(value) = self.present(key) else {
            return BTreeMap::new();
        };
        let labels = value.as_object().and_then(|object| {
            let label = |(id, name): (&String, &Value)| {
                let name = name
                    .as_str()
                    .map_or_else(|| name.to_string(), str::to_owned);
                id.trim().parse().ok().map(|id: usize| (id, name))
            };
            object.iter().map(label).collect()
        });
        labels.unwrap_or_else(|| {
            self.expected(key, "an object from class numbers to names", value);
            BTreeMap::new()
        })
    }
}
