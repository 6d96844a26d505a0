//! The arguments that a tokenizer's class is made with: what `from_pretrained` of transformers 5.23 collects from
//! `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `tokenizer.json`
//! (`tokenization_utils_base.py`, `_from_pretrained`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::added_token::AddedToken;
use crate::engine::Added;
use crate::error::{TOKENIZER_CONFIG, TokenizeError, shortened};
use crate::files::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TokenizerFiles};
use crate::special;
pub(super) use crate::special::NAMES;

/// A token as Python has it: a text, or an `AddedToken`. The difference shows when two are compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Text(String),
    Added(AddedToken),
}

impl AddedToken {
    fn from_record(token: &Added) -> Self {
        Self {
            content: token.content.clone(),
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: Some(token.normalized),
            special: token.special,
        }
    }

    /// As a value among the arguments.
    pub(super) fn to_value(&self) -> Value {
        let mut value = json!({
            "__type": "AddedToken", "content": self.content, "single_word": self.single_word,
            "lstrip": self.lstrip, "rstrip": self.rstrip, "special": self.special,
        });
        if let Some(normalized) = self.normalized {
            value["normalized"] = Value::Bool(normalized);
        }
        value
    }
}

impl Token {
    /// A text, or an object with `content`; anything else is none.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Object(map) => {
                let flag = |key: &str| map.get(key).and_then(Value::as_bool);
                Some(Self::Added(AddedToken {
                    content: map.get("content")?.as_str()?.to_owned(),
                    single_word: flag("single_word").unwrap_or(false),
                    lstrip: flag("lstrip").unwrap_or(false),
                    rstrip: flag("rstrip").unwrap_or(false),
                    normalized: flag("normalized"),
                    special: flag("special").unwrap_or(false),
                }))
            }
            _ => None,
        }
    }

    /// An added token as a file has it.
    pub(super) fn from_file(token: &Added) -> Self {
        Self::Added(AddedToken::from_record(token))
    }

    pub(super) fn content(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Added(token) => &token.content,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Added(token) => token.to_value(),
        }
    }

    /// As the engine takes it; a text is a special token.
    pub(super) fn resolved(&self) -> tokenizers::AddedToken {
        match self {
            Self::Text(text) => tokenizers::AddedToken::from(text.as_str(), true),
            Self::Added(token) => token.clone().into_engine(),
        }
    }
}

/// The arguments by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) keys: Map<String, Value>,
    /// `added_tokens_decoder`, by id.
    pub(super) added_tokens_decoder: BTreeMap<i64, AddedToken>,
}

pub(super) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> TokenizeError {
    TokenizeError::Invalid {
        file: TOKENIZER_CONFIG,
        at: at.into(),
        problem: problem.into(),
    }
}

impl Arguments {
    /// Collects them. `in_file`: the added tokens of `tokenizer.json`, where there is one.
    pub(super) fn read(
        files: &TokenizerFiles,
        in_file: Option<&[Added]>,
    ) -> Result<Self, TokenizeError> {
        let mut keys = special::parse(files.get(TOKENIZER_CONFIG))?;
        keys.shift_remove("tokenizer_class");
        keys.shift_remove("init_inputs");
        if in_file.is_some() {
            // Its post-processor says which tokens are put around a text.
            keys.shift_remove("add_bos_token");
            keys.shift_remove("add_eos_token");
        }
        chat_templates(files, &mut keys)?;
        if !keys.get("extra_special_tokens").is_some_and(truthy)
            && let Some(tokens) = keys.shift_remove("additional_special_tokens")
        {
            keys.insert("extra_special_tokens".to_owned(), tokens);
        }
        model_specific(&mut keys);
        let mut arguments = Self {
            keys,
            added_tokens_decoder: BTreeMap::new(),
        };
        match arguments.keys.shift_remove("added_tokens_decoder") {
            Some(decoder) => arguments.added_tokens_decoder(&decoder)?,
            None => arguments.legacy(files, in_file)?,
        }
        arguments.take_properties()?;
        Ok(arguments)
    }

    fn added_tokens_decoder(&mut self, decoder: &Value) -> Result<(), TokenizeError> {
        let at = "added_tokens_decoder";
        let Value::Object(entries) = decoder else {
            return Err(invalid(at, "expected an object of id to token"));
        };
        for (id, value) in entries {
            let at = || format!("{at}[{:?}]", shortened(id, 20));
            let number: i64 = id
                .trim()
                .parse()
                .map_err(|_| invalid(at(), "the key is not an id"))?;
            let Some(Token::Added(token)) = Token::from_value(value) else {
                return Err(invalid(at(), "expected an object with a text `content`"));
            };
            self.added_tokens_decoder.insert(number, token);
        }
        Ok(())
    }

    /// What repositories of before transformers 4.33 have instead.
    fn legacy(
        &mut self,
        files: &TokenizerFiles,
        in_file: Option<&[Added]>,
    ) -> Result<(), TokenizeError> {
        if let Some(json) = files.get(SPECIAL_TOKENS_MAP) {
            let map: Map<String, Value> = parse(json, SPECIAL_TOKENS_MAP)?;
            for (key, mut value) in map {
                if key == "extra_special_tokens" {
                    self.merge_extra(&mut value);
                } else if let Value::Object(token) = &mut value {
                    token.insert("special".to_owned(), Value::Bool(true));
                    token.insert("__type".to_owned(), Value::from("AddedToken"));
                }
                self.keys.insert(key, value);
            }
            if let Some(Value::Object(tokens)) = self.keys.get("extra_special_tokens") {
                let tokens = tokens.clone();
                self.keys.shift_remove("extra_special_tokens");
                let specific = self
                    .keys
                    .entry(SPECIFIC)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(specific) = specific {
                    specific.extend(tokens);
                }
            }
        }
        if let Some(json) = files.get(ADDED_TOKENS) {
            let special = self.special_texts();
            let tokens: Map<String, Value> = parse(json, ADDED_TOKENS)?;
            for (content, id) in tokens {
                let id = id.as_i64().ok_or_else(|| TokenizeError::Invalid {
                    file: ADDED_TOKENS,
                    at: format!("{:?}", shortened(&content, 40)),
                    problem: format!("expected an id, found {}", shortened(&id.to_string(), 20)),
                })?;
                let special = special.contains(&content);
                let token = AddedToken {
                    normalized: Some(!special),
                    special,
                    ..AddedToken::new(content)
                };
                self.added_tokens_decoder.insert(id, token);
            }
        }
        for token in in_file.into_iter().flatten() {
            let id = i64::try_from(token.id).unwrap_or(i64::MAX);
            self.added_tokens_decoder
                .insert(id, AddedToken::from_record(token));
        }
        Ok(())
    }

    fn merge_extra(&self, value: &mut Value) {
        let Value::Array(new) = value else { return };
        let mut merged = match self.keys.get("extra_special_tokens") {
            Some(Value::Array(list)) => list.clone(),
            _ => Vec::new(),
        };
        for token in new.drain(..) {
            let mut token = token;
            if let Value::Object(map) = &mut token {
                map.insert("special".to_owned(), Value::Bool(true));
            }
            if !merged.contains(&token) {
                merged.push(token);
            }
        }
        *new = merged;
    }

    /// The texts of all tokens that have a name or are listed.
    fn special_texts(&self) -> Vec<String> {
        let named = NAMES.iter().filter_map(|&name| self.token(name));
        let extra = self.list("extra_special_tokens");
        named
            .chain(extra)
            .map(|token| token.content().to_owned())
            .collect()
    }

    /// A named token has the properties of the added token with its text.
    fn take_properties(&mut self) -> Result<(), TokenizeError> {
        for name in NAMES {
            let Some(value) = self.keys.get(name) else {
                continue;
            };
            if value.is_null() {
                continue;
            }
            let Some(token) = Token::from_value(value) else {
                return Err(invalid(
                    name,
                    format!(
                        "expected a token (a text, or an object with `content`), found {}",
                        shortened(&value.to_string(), 40)
                    ),
                ));
            };
            // The last one with this text counts.
            let known = self.added_tokens_decoder.values().rev();
            if let Some(known) = known
                .into_iter()
                .find(|known| known.content == token.content())
            {
                self.keys.insert(name.to_owned(), known.to_value());
            }
        }
        Ok(())
    }

    /// A token among the arguments.
    pub(super) fn token(&self, name: &str) -> Option<Token> {
        Token::from_value(self.keys.get(name)?)
    }

    /// `str(token)`: what Python prints of it, which is `None` for none.
    pub(super) fn text_of(&self, name: &str) -> String {
        self.token(name)
            .map_or_else(|| "None".to_owned(), |token| token.content().to_owned())
    }

    /// A list of tokens; empty where there is none.
    pub(super) fn list(&self, name: &str) -> Vec<Token> {
        let list = self.keys.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Token::from_value)
            .collect()
    }

    /// Sets a list of tokens.
    pub(super) fn set_list(&mut self, name: &str, tokens: &[Token]) {
        let tokens = tokens.iter().map(Token::to_value).collect();
        self.keys.insert(name.to_owned(), Value::Array(tokens));
    }

    /// Sets what is not there (a null is there).
    pub(super) fn default(&mut self, name: &str, value: impl Into<Value>) {
        if !self.keys.contains_key(name) {
            self.keys.insert(name.to_owned(), value.into());
        }
    }

    /// A switch; null is off.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, TokenizeError> {
        match self.keys.get(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(invalid(
                name,
                format!(
                    "expected true or false, found {}",
                    shortened(&other.to_string(), 40)
                ),
            )),
        }
    }

    /// A switch whose null means the default.
    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, TokenizeError> {
        match self.keys.get(name) {
            Some(Value::Null) => Ok(default),
            _ => self.flag(name, default),
        }
    }

    /// A count.
    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, TokenizeError> {
        let Some(value) = self.keys.get(name) else {
            return Ok(default);
        };
        let number = value.as_u64().filter(|&number| number <= 1 << 20);
        number
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| {
                invalid(
                    name,
                    format!(
                        "expected 0..=1048576, found {}",
                        shortened(&value.to_string(), 40)
                    ),
                )
            })
    }

    /// A text; none where it is missing or null.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, TokenizeError> {
        match self.keys.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(invalid(
                name,
                format!(
                    "expected a text, found {}",
                    shortened(&other.to_string(), 40)
                ),
            )),
        }
    }
}

/// Python's truth.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
    }
}

/// Where tokens of the model's own, by name, are kept.
pub(super) const SPECIFIC: &str = "model_specific_special_tokens";

/// Moves tokens with names of the model's own (`image_token`, …) under one key.
fn model_specific(keys: &mut Map<String, Value>) {
    let mut specific = Map::new();
    let own = |(name, value): (&String, &Value)| {
        let own = value.is_string() && name.ends_with("_token") && !NAMES.contains(&name.as_str());
        own.then(|| name.clone())
    };
    let names: Vec<String> = keys.iter().filter_map(own).collect();
    for name in names {
        if let Some(value) = keys.shift_remove(&name) {
            specific.insert(name, value);
        }
    }
    if let Some(Value::Object(tokens)) = keys.get("extra_special_tokens") {
        specific.extend(tokens.clone());
        keys.shift_remove("extra_special_tokens");
    }
    if !specific.is_empty() {
        keys.insert(SPECIFIC.to_owned(), Value::Object(specific));
    }
}

/// Files win over the templates in `tokenizer_config.json`.
fn chat_templates(
    files: &TokenizerFiles,
    keys: &mut Map<String, Value>,
) -> Result<(), TokenizeError> {
    let templates = files.chat_templates()?;
    let value = match templates.as_slice() {
        [] => return Ok(()),
        [(name, only)] if name == "default" => Value::from(only.as_str()),
        all => all
            .iter()
            .map(|(name, template)| json!({"name": name, "template": template}))
            .collect(),
    };
    keys.insert("chat_template".to_owned(), value);
    Ok(())
}

/// Reads a small JSON file.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    json: &[u8],
    file: &'static str,
) -> Result<T, TokenizeError> {
    let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
    serde_json::from_slice(json).map_err(|error| TokenizeError::Json {
        file,
        message: error.to_string(),
    })
}
