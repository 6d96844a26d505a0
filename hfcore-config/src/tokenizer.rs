//! `tokenizer_config.json`: what is known about a tokenizer beside its `tokenizer.json`.
//!
//! Reference: `tokenization_utils_base.py`, `PreTrainedTokenizerBase.from_pretrained`, transformers 5.23. Paths in the
//! file (`tokenizer_file`, `vocab_file`, `name_or_path`) are data and are never opened; names of chat templates never
//! become file names; `auto_map` is never acted on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{ConfigError, Problem, found};
use crate::json::{integer, number, parse_object};

const FILE: &str = "tokenizer_config.json";

/// Lengths from here on mean "no limit": Python writes `int(1e30)`.
const NO_LIMIT: f64 = 1e12;

/// The largest id in `added_tokens_decoder`.
const MAX_TOKEN_ID: i128 = 1 << 24;

/// The contents of a `tokenizer_config.json`.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct TokenizerConfig {
    /// The Python class, such as `LlamaTokenizerFast`.
    pub tokenizer_class: Option<String>,
    /// The longest input in tokens; `None`: no limit.
    pub model_max_length: Option<usize>,
    /// The special tokens by role: `bos_token`, `eos_token`, `unk_token`, `sep_token`, `pad_token`, `cls_token`,
    /// `mask_token`, and a model's own (`image_token`, …).
    pub special_tokens: BTreeMap<String, AddedToken>,
    /// Further special tokens without a role (`additional_special_tokens`, or a list in `extra_special_tokens`).
    pub additional_special_tokens: Vec<AddedToken>,
    /// The tokens added to the vocabulary, by id.
    pub added_tokens_decoder: BTreeMap<u32, AddedToken>,
    /// Whether a beginning-of-sequence token is put before each sequence, where the file says.
    pub add_bos_token: Option<bool>,
    /// Whether an end-of-sequence token is put after each sequence, where the file says.
    pub add_eos_token: Option<bool>,
    /// Whether a space is put before the first word, where the file says.
    pub add_prefix_space: Option<bool>,
    /// Whether decoding removes spaces before punctuation, where the file says.
    pub clean_up_tokenization_spaces: Option<bool>,
    /// Whether special tokens in a text are taken apart like any text.
    pub split_special_tokens: Option<bool>,
    /// Where padding goes: `right` or `left`.
    pub padding_side: Option<Side>,
    /// Where truncation cuts: `right` or `left`.
    pub truncation_side: Option<Side>,
    /// What the model takes: `input_ids`, `attention_mask`, `token_type_ids`, ….
    pub model_input_names: Option<Vec<String>>,
    /// Chat templates by name; a single one is named `default`.
    pub chat_templates: BTreeMap<String, String>,
    /// The file as it is.
    pub raw: Map<String, Value>,
}

/// An end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The beginning.
    Left,
    /// The end.
    Right,
}

/// A token that is matched in the text before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedToken {
    /// The token's text.
    pub content: String,
    /// Whether white space before it belongs to it.
    pub lstrip: bool,
    /// Whether white space after it belongs to it.
    pub rstrip: bool,
    /// Whether it is found only as a whole word.
    pub single_word: bool,
    /// Whether it is found in the normalised text.
    pub normalized: bool,
    /// Whether decoding can leave it out.
    pub special: bool,
}

impl AddedToken {
    /// A special token of this text, matched exactly.
    #[must_use]
    pub fn special(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
            special: true,
        }
    }

    /// A string, or an object with `content` and flags. The defaults are those of the tokenizers library.
    fn from_json(value: &Value, special: bool) -> Option<Self> {
        match value {
            Value::String(content) => Some(Self {
                special,
                normalized: !special,
                ..Self::special(content.as_str())
            }),
            Value::Object(map) => {
                let flag = |key: &str, default| match map.get(key) {
                    None | Some(Value::Null) => Some(default),
                    Some(value) => value.as_bool(),
                };
                let special = flag("special", special)?;
                Some(Self {
                    content: map.get("content")?.as_str()?.to_owned(),
                    lstrip: flag("lstrip", false)?,
                    rstrip: flag("rstrip", false)?,
                    single_word: flag("single_word", false)?,
                    normalized: flag("normalized", !special)?,
                    special,
                })
            }
            _ => None,
        }
    }
}

const TOKEN: &str = "a string, or an object with `content`";

impl TokenizerConfig {
    /// Reads the bytes of a `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// Not JSON, or keys with values of the wrong kind: all are listed.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ConfigError> {
        let raw = parse_object(FILE, bytes)?;
        let mut problems = Vec::new();
        let mut read = Reader {
            raw: &raw,
            problems: &mut problems,
        };
        let (special_tokens, additional_special_tokens) = read.special_tokens();
        let mut config = Self {
            tokenizer_class: read.text("tokenizer_class"),
            model_max_length: read.model_max_length(),
            special_tokens,
            additional_special_tokens,
            added_tokens_decoder: read.added_tokens(),
            add_bos_token: read.flag("add_bos_token"),
            add_eos_token: read.flag("add_eos_token"),
            add_prefix_space: read.flag("add_prefix_space"),
            clean_up_tokenization_spaces: read.flag("clean_up_tokenization_spaces"),
            split_special_tokens: read.flag("split_special_tokens"),
            padding_side: read.side("padding_side"),
            truncation_side: read.side("truncation_side"),
            model_input_names: read.texts("model_input_names"),
            chat_templates: read.chat_templates(),
            raw: Map::new(),
        };
        if !problems.is_empty() {
            return Err(ConfigError::Problems {
                file: FILE,
                model_type: None,
                problems,
            });
        }
        config.raw = raw;
        Ok(config)
    }

    /// The text of the special token with this role: `bos_token`, `eos_token`, ….
    #[must_use]
    pub fn token(&self, role: &str) -> Option<&str> {
        let token = self.special_tokens.get(role);
        token.map(|token| token.content.as_str())
    }

    /// The chat template of this name; `None` for the one named `default`.
    #[must_use]
    pub fn chat_template(&self, name: Option<&str>) -> Option<&str> {
        let template = self.chat_templates.get(name.unwrap_or("default"));
        template.map(String::as_str)
    }
}

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

    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.present(key)?;
        let result = read(value);
        if result.is_none() {
            self.expected(key, expected, value);
        }
        result
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.read(key, "a list of strings", |value| {
            let text = |item: &Value| item.as_str().map(str::to_owned);
            value.as_array()?.iter().map(text).collect()
        })
    }

    fn side(&mut self, key: &str) -> Option<Side> {
        self.read(key, "\"left\" or \"right\"", |value| {
            match value.as_str()? {
                "left" => Some(Side::Left),
                "right" => Some(Side::Right),
                _ => None,
            }
        })
    }

    fn model_max_length(&mut self) -> Option<usize> {
        let key = "model_max_length";
        if self
            .present(key)
            .and_then(number)
            .is_some_and(|n| n >= NO_LIMIT)
        {
            return None;
        }
        self.read(key, "a whole number above 0", |value| {
            usize::try_from(integer(value)?).ok().filter(|n| *n > 0)
        })
    }

    /// Every `*_token` with a token in it, `additional_special_tokens`, and `extra_special_tokens` (an object by role
    /// or, before transformers 5, a list).
    fn special_tokens(&mut self) -> (BTreeMap<String, AddedToken>, Vec<AddedToken>) {
        let mut roles = BTreeMap::new();
        for (key, value) in self.raw {
            let is_role = key.ends_with("_token") && !key.starts_with("add_");
            // `bos_token: false` and the like are in some files, and mean none.
            if is_role && !matches!(value, Value::Null | Value::Bool(_)) {
                match AddedToken::from_json(value, true) {
                    Some(token) => drop(roles.insert(key.clone(), token)),
                    None => self.expected(key, TOKEN, value),
                }
            }
        }
        let mut others = Vec::new();
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            match self.present(key) {
                None => {}
                Some(Value::Object(tokens)) if key == "extra_special_tokens" => {
                    for (role, value) in tokens {
                        match AddedToken::from_json(value, true) {
                            Some(token) => drop(roles.insert(role.clone(), token)),
                            None => self.expected(&format!("{key}.{role}"), TOKEN, value),
                        }
                    }
                }
                Some(value) => {
                    let tokens = value.as_array().and_then(|items| {
                        let token = |item| AddedToken::from_json(item, true);
                        items.iter().map(token).collect::<Option<Vec<_>>>()
                    });
                    match tokens {
                        Some(tokens) => others.extend(tokens),
                        None => self.expected(key, "a list of tokens", value),
                    }
                }
            }
        }
        (roles, others)
    }

    fn added_tokens(&mut self) -> BTreeMap<u32, AddedToken> {
        let key = "added_tokens_decoder";
        let expected = "an object from token ids up to 16777216 to tokens";
        let tokens = self.read(key, expected, Value::as_object);
        let mut added = BTreeMap::new();
        for (id, value) in tokens.into_iter().flatten() {
            let number = id.parse::<u32>().ok();
            let number = number.filter(|id| i128::from(*id) <= MAX_TOKEN_ID);
            match number.zip(AddedToken::from_json(value, false)) {
                Some((id, token)) => drop(added.insert(id, token)),
                None => {
                    let id: String = id.chars().take(60).collect();
                    self.expected(&format!("{key}.{id}"), expected, value);
                }
            }
        }
        added
    }

    fn chat_templates(&mut self) -> BTreeMap<String, String> {
        let expected = "a string, or a list of objects with `name` and `template`";
        let templates = self.read("chat_template", expected, |value| match value {
            Value::String(text) => Some(BTreeMap::from([("default".to_owned(), text.clone())])),
            Value::Array(items) => {
                let named = |item: &Value| {
                    let name = item.get("name")?.as_str()?.to_owned();
                    Some((name, item.get("template")?.as_str()?.to_owned()))
                };
                items.iter().map(named).collect()
            }
            _ => None,
        });
        templates.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_they_are() {
        let config = TokenizerConfig::from_slice(
            br#"{
                "add_bos_token": true, "add_prefix_space": null,
                "added_tokens_decoder": {
                    "0": {"content": "<unk>", "lstrip": false, "normalized": false, "rstrip": false,
                          "single_word": false, "special": true},
                    "7": {"content": "  ", "normalized": true, "special": false}
                },
                "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": true},
                "eos_token": "</s>", "pad_token": null, "sep_token": false,
                "additional_special_tokens": ["<|im_start|>"],
                "extra_special_tokens": {"image_token": "<image>"},
                "chat_template": [{"name": "default", "template": "a"}, {"name": "../../etc/passwd", "template": "b"}],
                "model_max_length": 1000000000000000019884624838656,
                "padding_side": "left", "tokenizer_class": "LlamaTokenizer"
            }"#,
        )
        .unwrap();
        assert_eq!(config.token("bos_token"), Some("<s>"));
        assert!(config.special_tokens["bos_token"].lstrip);
        assert_eq!(
            (config.token("eos_token"), config.token("pad_token")),
            (Some("</s>"), None)
        );
        assert_eq!(config.token("image_token"), Some("<image>"));
        assert_eq!(
            config.additional_special_tokens,
            [AddedToken::special("<|im_start|>")]
        );
        assert_eq!(
            config.added_tokens_decoder[&0],
            AddedToken::special("<unk>")
        );
        assert!(config.added_tokens_decoder[&7].normalized);
        assert_eq!(
            (config.model_max_length, config.padding_side),
            (None, Some(Side::Left))
        );
        assert_eq!(
            (config.add_bos_token, config.add_prefix_space),
            (Some(true), None)
        );
        assert_eq!(config.chat_template(None), Some("a"));
        assert_eq!(config.chat_template(Some("../../etc/passwd")), Some("b"));
    }

    #[test]
    fn every_bad_key_is_named() {
        let error = TokenizerConfig::from_slice(
            br#"{"bos_token": 1, "model_max_length": -1, "padding_side": "up", "add_eos_token": "yes",
                 "added_tokens_decoder": {"x": "a", "99999999": "b", "3": {}}, "chat_template": [{"name": "a"}],
                 "extra_special_tokens": {"a": []}, "additional_special_tokens": "a", "model_input_names": [1]}"#,
        )
        .unwrap_err();
        let keys: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(
            keys,
            [
                "bos_token",
                "additional_special_tokens",
                "extra_special_tokens.a",
                "model_max_length",
                "added_tokens_decoder.x",
                "added_tokens_decoder.99999999",
                "added_tokens_decoder.3",
                "add_eos_token",
                "padding_side",
                "model_input_names",
                "chat_template",
            ]
        );
    }

    #[test]
    fn lengths() {
        let length = |text: &str| {
            let file = format!("{{\"model_max_length\": {text}}}");
            TokenizerConfig::from_slice(file.as_bytes()).map(|config| config.model_max_length)
        };
        assert_eq!(length("512").unwrap(), Some(512));
        assert_eq!(length("512.0").unwrap(), Some(512));
        assert_eq!(length("Infinity").unwrap(), None);
        assert!(length("NaN").is_err() && length("0").is_err() && length("\"512\"").is_err());
    }
}
