//! `tokenizer_config.json`: which tokens are special, and what they are called.
//!
//! Reference: transformers 5.23 `tokenization_utils_base.py` (`_from_pretrained`, `__init__`) and
//! `tokenization_utils_tokenizers.py` (`TokenizersBackend.__init__`).

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{TOKENIZER_CONFIG, TokenizeError, shortened};

/// The names that every tokenizer has, in transformers' order.
pub(crate) const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// Largest `tokenizer_config.json` in bytes.
const MAX_CONFIG: usize = 16 << 20;
/// From here on a `model_max_length` means that there is none; transformers writes `int(1e30)`.
const NO_LIMIT: f64 = 1e20;

/// The side on which a batch is padded or a text is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Before the first token.
    Left,
    /// After the last token.
    #[default]
    Right,
}

/// What `tokenizer_config.json` says beyond `tokenizer.json`.
pub(crate) struct Config {
    /// Names and tokens, in transformers' order.
    pub(crate) named: Vec<(String, AddedToken)>,
    pub(crate) extra: Vec<AddedToken>,
    /// `added_tokens_decoder` by id.
    pub(crate) added: Vec<AddedToken>,
    pub(crate) padding_side: Side,
    pub(crate) truncation_side: Side,
    pub(crate) model_max_length: Option<usize>,
    pub(crate) model_input_names: Option<Vec<String>>,
    pub(crate) clean_up: bool,
    pub(crate) clean_up_bpe: bool,
    pub(crate) split_special_tokens: bool,
    /// Chat templates by name.
    pub(crate) chat_templates: Vec<(String, String)>,
    /// Tokens that a conversation's texts must not make, beside the special ones.
    pub(crate) chat_control_tokens: Option<Vec<String>>,
    /// Everything that the file says, to be saved again.
    pub(crate) keys: Map<String, Value>,
}

fn invalid(at: impl Into<String>, problem: impl Into<String>) -> TokenizeError {
    TokenizeError::Invalid {
        file: TOKENIZER_CONFIG,
        at: at.into(),
        problem: problem.into(),
    }
}

/// Parses the file; no file is an empty one.
pub(crate) fn parse(json: Option<&[u8]>) -> Result<Map<String, Value>, TokenizeError> {
    json.map_or_else(|| Ok(Map::new()), |json| object(json, TOKENIZER_CONFIG))
}

/// The JSON object of a small file.
fn object(json: &[u8], file: &'static str) -> Result<Map<String, Value>, TokenizeError> {
    TokenizeError::check_size(file, json, MAX_CONFIG)?;
    let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
    serde_json::from_slice(json).map_err(|error| TokenizeError::Json {
        file,
        message: error.to_string(),
    })
}

impl Config {
    /// Reads the keys. `file_added`, `padding` and `truncation` are those of `tokenizer.json`, which gives defaults.
    pub(crate) fn read(
        mut keys: Map<String, Value>,
        file_added: &[AddedToken],
        padding: &Value,
        truncation: &Value,
    ) -> Result<Self, TokenizeError> {
        let decoder = keys.remove("added_tokens_decoder");
        let added = decoder.as_ref().map(added_tokens_decoder).transpose()?;
        let (mut named, extra) = tokens(&keys)?;
        // A name's token has the properties of the added token with its text.
        let known: HashMap<&str, &AddedToken> = added
            .as_deref()
            .unwrap_or(file_added)
            .iter()
            .map(|token| (token.content.as_str(), token))
            .collect();
        if !named.iter().any(|(name, _)| name == "pad_token")
            && let Some(pad) = padding.get("pad_token").and_then(Value::as_str)
        {
            named.push(("pad_token".to_owned(), AddedToken::from(pad, true)));
        }
        for (name, token) in &mut named {
            if NAMES.contains(&name.as_str())
                && let Some(&known) = known.get(token.content.as_str())
            {
                *token = known.clone();
            }
        }
        let rank = |name: &str| {
            NAMES
                .iter()
                .position(|known| *known == name)
                .unwrap_or(NAMES.len())
        };
        named.sort_by_key(|(name, _)| rank(name));
        Ok(Self {
            named,
            extra,
            added: added.unwrap_or_default(),
            padding_side: side(&keys, "padding_side", padding)?,
            truncation_side: side(&keys, "truncation_side", truncation)?,
            model_max_length: max_length(&keys)?,
            model_input_names: texts(&keys, "model_input_names")?,
            clean_up: flag(&keys, "clean_up_tokenization_spaces")?,
            clean_up_bpe: flag(
                &keys,
                "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
            )?,
            split_special_tokens: flag(&keys, "split_special_tokens")?,
            chat_templates: chat_templates(&keys)?,
            chat_control_tokens: texts(&keys, "chat_control_tokens")?,
            keys,
        })
    }
}

/// Named and extra tokens.
type Tokens = (Vec<(String, AddedToken)>, Vec<AddedToken>);

fn tokens(keys: &Map<String, Value>) -> Result<Tokens, TokenizeError> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let extra = match keys.get("extra_special_tokens") {
        Some(extra) if !empty(extra) => Some(("extra_special_tokens", extra)),
        _ => keys
            .get("additional_special_tokens")
            .map(|extra| ("additional_special_tokens", extra)),
    };
    let mut named = Vec::new();
    let mut list = Vec::new();
    match extra {
        None | Some((_, Value::Null)) => {}
        Some((key, Value::Array(tokens))) => {
            for (index, value) in tokens.iter().enumerate() {
                list.push(token(value, &format!("{key}[{index}]"))?);
            }
        }
        Some((key, Value::Object(tokens))) => {
            for (name, value) in tokens {
                named.push((name.clone(), token(value, &format!("{key}.{name}"))?));
            }
        }
        Some((key, other)) => {
            return Err(invalid(
                key,
                format!(
                    "expected a list of tokens or an object of names, found {}",
                    kind(other)
                ),
            ));
        }
    }
    // How transformers 5 saves names that are not the seven.
    if let Some(Value::Object(own)) = keys.get("model_specific_special_tokens") {
        for (name, value) in own {
            let at = format!("model_specific_special_tokens.{name}");
            named.push((name.clone(), token(value, &at)?));
        }
    }
    for (name, value) in keys.iter() {
        let standard = NAMES.contains(&name.as_str());
        match value {
            Value::Null => {}
            Value::String(_) | Value::Object(_) if standard => {
                named.push((name.clone(), token(value, name)?));
            }
            _ if standard => {
                return Err(invalid(
                    name,
                    format!("expected a token, found {}", kind(value)),
                ));
            }
            // Any other `*_token` is a name of the model's own: image_token, boi_token, …
            Value::String(_) if name.ends_with("_token") => {
                named.push((name.clone(), token(value, name)?));
            }
            Value::Object(map) if name.ends_with("_token") && map.contains_key("content") => {
                named.push((name.clone(), token(value, name)?));
            }
            _ => {}
        }
    }
    // A name counts once: a later one of the same name takes its place.
    let mut once: Vec<(String, AddedToken)> = Vec::with_capacity(named.len());
    for (name, token) in named {
        match once.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = token,
            None => once.push((name, token)),
        }
    }
    Ok((once, list))
}

/// A token: its text, or an object with its text and properties.
fn token(value: &Value, at: &str) -> Result<AddedToken, TokenizeError> {
    let content = match value {
        Value::String(text) => text,
        Value::Object(map) => match map.get("content") {
            Some(Value::String(text)) => text,
            _ => return Err(invalid(at, "expected an object with a text `content`")),
        },
        other => {
            return Err(invalid(
                at,
                format!(
                    "expected a text or an object with `content`, found {}",
                    kind(other)
                ),
            ));
        }
    };
    if content.len() > 64 << 10 {
        return Err(invalid(
            at,
            format!(
                "the token has {} bytes; at most 65536 are read",
                content.len()
            ),
        ));
    }
    let property = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = property("special").unwrap_or(value.is_string());
    Ok(AddedToken::from(content.as_str(), special)
        .single_word(property("single_word").unwrap_or(false))
        .lstrip(property("lstrip").unwrap_or(false))
        .rstrip(property("rstrip").unwrap_or(false))
        .normalized(property("normalized").unwrap_or(!special)))
}

fn added_tokens_decoder(value: &Value) -> Result<Vec<AddedToken>, TokenizeError> {
    let at = "added_tokens_decoder";
    let Value::Object(entries) = value else {
        return Err(invalid(
            at,
            format!("expected an object of id to token, found {}", kind(value)),
        ));
    };
    let mut tokens = Vec::with_capacity(entries.len());
    for (id, value) in entries {
        let at = format!("{at}[{:?}]", shortened(id, 20));
        let Ok(id) = id.parse::<u64>() else {
            return Err(invalid(at, "the key is not an id"));
        };
        tokens.push((id, token(value, &at)?));
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

fn side(keys: &Map<String, Value>, key: &str, section: &Value) -> Result<Side, TokenizeError> {
    let of_file = section
        .get("direction")
        .and_then(Value::as_str)
        .map(str::to_lowercase);
    match keys.get(key) {
        Some(Value::String(side)) if side == "left" => Ok(Side::Left),
        Some(Value::String(side)) if side == "right" => Ok(Side::Right),
        None | Some(Value::Null) => Ok(if of_file.as_deref() == Some("left") {
            Side::Left
        } else {
            Side::Right
        }),
        Some(other) => Err(invalid(
            key,
            format!(
                "expected \"left\" or \"right\", found {}",
                shortened(&other.to_string(), 40)
            ),
        )),
    }
}

fn max_length(keys: &Map<String, Value>) -> Result<Option<usize>, TokenizeError> {
    let (key, value) = match (keys.get("model_max_length"), keys.get("max_len")) {
        (Some(value), _) => ("model_max_length", value),
        (None, Some(value)) => ("max_len", value),
        (None, None) => return Ok(None),
    };
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(length), _) if length >= 1 => Ok(usize::try_from(length)
                .ok()
                .filter(|_| (length as f64) < NO_LIMIT)),
            (_, Some(length)) if length >= NO_LIMIT => Ok(None),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked: integral, 1..1e20"
            )]
            (_, Some(length)) if length >= 1.0 && length.fract() == 0.0 => {
                Ok(Some(length as usize))
            }
            _ => Err(invalid(
                key,
                format!("expected a number of tokens of at least 1, found {number}"),
            )),
        },
        other => Err(invalid(
            key,
            format!("expected a number of tokens, found {}", kind(other)),
        )),
    }
}

fn flag(keys: &Map<String, Value>, key: &str) -> Result<bool, TokenizeError> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(invalid(
            key,
            format!("expected true or false, found {}", kind(other)),
        )),
    }
}

fn texts(keys: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>, TokenizeError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => match list.iter().map(text).collect() {
            Some(texts) => Ok(Some(texts)),
            None => Err(invalid(key, "expected a list of texts")),
        },
        Some(other) => Err(invalid(
            key,
            format!("expected a list of texts, found {}", kind(other)),
        )),
    }
}

/// One template, or a list of `{"name": …, "template": …}`.
fn chat_templates(keys: &Map<String, Value>) -> Result<Vec<(String, String)>, TokenizeError> {
    let key = "chat_template";
    let named = |(index, value): (usize, &Value)| match (value.get("name"), value.get("template")) {
        (Some(Value::String(name)), Some(Value::String(template))) => {
            Ok((name.clone(), template.clone()))
        }
        _ => Err(invalid(
            format!("{key}[{index}]"),
            "expected an object with texts `name` and `template`",
        )),
    };
    match keys.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(template)) => Ok(vec![("default".to_owned(), template.clone())]),
        Some(Value::Array(list)) => list.iter().enumerate().map(named).collect(),
        Some(other) => Err(invalid(
            key,
            format!(
                "expected a template or a list of named ones, found {}",
                kind(other)
            ),
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keys: Value) -> Result<Config, TokenizeError> {
        let Value::Object(keys) = keys else { panic!() };
        Config::read(keys, &[], &Value::Null, &Value::Null)
    }

    #[test]
    fn tokens_are_texts_or_objects() {
        let config = read(json!({
            "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": true},
            "bos_token": "<s>", "pad_token": null, "image_token": "<image>", "add_bos_token": true,
            "additional_special_tokens": ["<a>", {"content": "<b>"}],
        }))
        .unwrap();
        let named: Vec<_> = config
            .named
            .iter()
            .map(|(name, token)| (name.as_str(), token.content.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("image_token", "<image>")
            ]
        );
        assert!(config.named[1].1.lstrip);
        let extra: Vec<_> = config
            .extra
            .iter()
            .map(|token| token.content.as_str())
            .collect();
        assert_eq!(extra, ["<a>", "<b>"]);
    }

    #[test]
    fn a_name_takes_the_properties_of_its_added_token() {
        let config = read(json!({
            "mask_token": "<mask>",
            "added_tokens_decoder": {"9": {"content": "z", "special": false}, "4": {"content": "<mask>", "lstrip": true, "special": true}},
        }))
        .unwrap();
        assert!(config.named[0].1.lstrip);
        assert_eq!(
            config
                .added
                .iter()
                .map(|token| token.content.as_str())
                .collect::<Vec<_>>(),
            ["<mask>", "z"]
        );
    }

    #[test]
    fn lengths_and_sides() {
        let length = |value: Value| {
            read(json!({"model_max_length": value})).map(|config| config.model_max_length)
        };
        assert_eq!(length(json!(1e30)).unwrap(), None);
        assert_eq!(
            length(serde_json::from_str("1000000000000000019884624838656").unwrap()).unwrap(),
            None
        );
        assert_eq!(length(json!(2048)).unwrap(), Some(2048));
        assert_eq!(length(json!(512.0)).unwrap(), Some(512));
        assert_eq!(length(json!(null)).unwrap(), None);
        for bad in [json!(0), json!(-1), json!(0.5), json!("2048")] {
            assert!(
                length(bad.clone())
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("model_max_length"),
                "{bad}"
            );
        }
        assert_eq!(
            read(json!({"padding_side": "left"})).unwrap().padding_side,
            Side::Left
        );
        assert!(
            read(json!({"padding_side": "up"}))
                .err()
                .unwrap()
                .to_string()
                .contains("found \"up\"")
        );
        let keys = Map::new();
        let config = Config::read(
            keys,
            &[],
            &json!({"direction": "Left", "pad_token": "<pad>"}),
            &Value::Null,
        )
        .unwrap();
        assert_eq!(
            (config.padding_side, config.named[0].1.content.as_str()),
            (Side::Left, "<pad>")
        );
    }

    #[test]
    fn wrong_types_are_refused_by_name() {
        let refused = |keys: Value| read(keys).err().unwrap().to_string();
        assert_eq!(
            refused(json!({"eos_token": 3})),
            "tokenizer_config.json: eos_token: expected a token, found a number"
        );
        assert_eq!(
            refused(json!({"added_tokens_decoder": {"x": "y"}})),
            "tokenizer_config.json: added_tokens_decoder[\"x\"]: the key is not an id"
        );
        assert_eq!(
            refused(json!({"chat_template": [{"name": "default"}]})),
            "tokenizer_config.json: chat_template[0]: expected an object with texts `name` and `template`"
        );
        assert!(
            parse(Some(b"{"))
                .unwrap_err()
                .to_string()
                .starts_with("tokenizer_config.json does not parse: ")
        );
    }
}
