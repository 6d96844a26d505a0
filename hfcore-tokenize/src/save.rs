//! `save_pretrained`: the files that transformers and this crate load the same tokenizer from.
//!
//! Reference: transformers 5.23 `tokenization_utils_base.py` (`save_pretrained`, `save_chat_templates`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use tokenizers::{DecoderWrapper, PostProcessorWrapper};

use crate::engine::Matcher;
use crate::error::{TOKENIZER_CONFIG, TOKENIZER_JSON, TokenizeError};
use crate::special::Side;
use crate::tokenizer::Tokenizer;

/// Keys of a configuration that transformers reads and does not write again.
const DROPPED: [&str; 17] = [
    "added_tokens_decoder",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
    "auto_class",
    "chat_template",
    "device_map",
    "files_loaded",
    "init_inputs",
    "max_len",
    "merges_file",
    "name_or_path",
    "slow_tokenizer_class",
    "special_tokens_map_file",
    "tokenizer_class",
    "tokenizer_file",
    "vocab_file",
];

/// `tokenizer.json`, in the order of the tokenizers library.
#[derive(Serialize)]
struct File<'a> {
    version: &'static str,
    truncation: &'a Value,
    padding: &'a Value,
    added_tokens: Vec<Added<'a>>,
    normalizer: Option<&'a Value>,
    pre_tokenizer: Option<&'a Value>,
    post_processor: Option<&'a PostProcessorWrapper>,
    decoder: Option<&'a DecoderWrapper>,
    model: &'a Matcher,
}

#[derive(Serialize)]
struct Added<'a> {
    id: u32,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl Tokenizer {
    /// Writes the tokenizer into the folder `dir`, which is made if it is not there: `tokenizer.json`,
    /// `tokenizer_config.json`, and the chat templates as `chat_template.jinja` and `additional_chat_templates/*.jinja`.
    /// `AutoTokenizer` of transformers loads it, and so does this crate, with the same results. Returns the paths of
    /// the files; other files in the folder are left alone.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Io`]; [`TokenizeError::Argument`] for a template whose name is no file name.
    pub fn save_pretrained(&self, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>, TokenizeError> {
        let dir = dir.as_ref();
        self.check_python("its code reads no tokenizer.json; keep its own files")?;
        // All is made before anything is written.
        let mut files = vec![
            (dir.join(TOKENIZER_CONFIG), self.config_json()?),
            (dir.join(TOKENIZER_JSON), self.tokenizer_json()?),
        ];
        let more = dir.join("additional_chat_templates");
        for (name, source) in self.chat_template_sources() {
            let path = if name == "default" {
                dir.join("chat_template.jinja")
            } else if is_file_name(name) {
                more.join(format!("{name}.jinja"))
            } else {
                return Err(TokenizeError::Argument(format!(
                    "the chat template's name {name:?} is no file name"
                )));
            };
            files.push((path, source.as_bytes().to_vec()));
        }
        for (path, bytes) in &files {
            write(path, bytes)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// The bytes of a `tokenizer.json` that says what this tokenizer is.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Json`] should the engine not be able to write its model.
    pub fn tokenizer_json(&self) -> Result<Vec<u8>, TokenizeError> {
        let engine = self.engine();
        let added = engine.get_added_vocabulary().get_added_tokens_decoder();
        let mut added: Vec<Added<'_>> = added
            .iter()
            .map(|(&id, token)| Added {
                id,
                content: &token.content,
                single_word: token.single_word,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
                normalized: token.normalized,
                special: token.special,
            })
            .collect();
        added.sort_unstable_by_key(|token| token.id);
        let (padding, truncation) = self.file_sections();
        let file = File {
            version: "1.0",
            truncation,
            padding,
            added_tokens: added,
            normalizer: engine.get_normalizer().map(|stage| stage.source()),
            pre_tokenizer: engine.get_pre_tokenizer().map(|stage| stage.source()),
            post_processor: engine.get_post_processor(),
            decoder: engine.get_decoder(),
            model: engine.get_model(),
        };
        serde_json::to_vec_pretty(&file).map_err(|error| TokenizeError::Json {
            file: TOKENIZER_JSON,
            message: error.to_string(),
        })
    }

    /// `tokenizer_config.json` as transformers writes it: what was read, with what is set now; sorted.
    fn config_json(&self) -> Result<Vec<u8>, TokenizeError> {
        let mut keys = self.config_keys().clone();
        for key in DROPPED {
            keys.remove(key);
        }
        let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        set("backend", "tokenizers".into());
        set("tokenizer_class", self.saved_class().into());
        set("model_max_length", self.model_max_length().into());
        // What transformers notes of the loading; written so that the file is the one that it writes.
        set("is_local", true.into());
        set("local_files_only", false.into());
        let (padding, truncation) = self.file_sections();
        for (key, value) in defaults(padding, truncation) {
            set(key, value);
        }
        for (name, token) in self.special_tokens_map() {
            set(name, token.into());
        }
        if !self.extra_special_tokens().is_empty() {
            set("extra_special_tokens", self.extra_special_tokens().into());
        }
        for name in crate::special::NAMES {
            if self.special_token(name).is_none() {
                keys.remove(name);
            }
        }
        let sides = [
            ("padding_side", self.padding_side()),
            ("truncation_side", self.truncation_side()),
        ];
        for (key, side) in sides {
            if side == Side::Left || keys.contains_key(key) {
                keys.insert(key.to_owned(), name_of(side).into());
            }
        }
        let own: Map<String, Value> = self
            .special_tokens_map()
            .filter(|(name, _)| !crate::special::NAMES.contains(name))
            .map(|(name, token)| (name.to_owned(), token.into()))
            .collect();
        if !own.is_empty() {
            keys.insert("model_specific_special_tokens".to_owned(), own.into());
        }
        let failed = |error: serde_json::Error| TokenizeError::Json {
            file: TOKENIZER_CONFIG,
            message: error.to_string(),
        };
        let sorted = sorted(Value::Object(keys));
        let mut text = serde_json::to_string_pretty(&sorted).map_err(failed)?;
        if self.model_max_length().is_none() {
            // `int(1e30)`, which is no number of serde_json's.
            text = text.replacen(
                "\n  \"model_max_length\": null",
                "\n  \"model_max_length\": 1000000000000000019884624838656",
                1,
            );
        }
        text.push('\n');
        Ok(text.into_bytes())
    }
}

/// What transformers takes over from the padding and truncation of a `tokenizer.json`.
fn defaults(padding: &Value, truncation: &Value) -> Vec<(&'static str, Value)> {
    let lower = |value: &Value| match value.as_str() {
        Some(text) => text.to_lowercase().into(),
        None => Value::Null,
    };
    let mut found = Vec::new();
    if !padding.is_null() {
        let fixed = padding["strategy"]["Fixed"].clone();
        found.push(("max_length", fixed));
        found.push(("pad_to_multiple_of", padding["pad_to_multiple_of"].clone()));
        found.push(("pad_token_type_id", padding["pad_type_id"].clone()));
        found.push(("padding_side", lower(&padding["direction"])));
    }
    if !truncation.is_null() {
        let strategy = match truncation["strategy"].as_str() {
            Some("OnlyFirst") => "only_first",
            Some("OnlySecond") => "only_second",
            _ => "longest_first",
        };
        found.push(("max_length", truncation["max_length"].clone()));
        found.push(("stride", truncation["stride"].clone()));
        found.push(("truncation_side", lower(&truncation["direction"])));
        found.push(("truncation_strategy", strategy.into()));
    }
    found
}

fn name_of(side: Side) -> &'static str {
    match side {
        Side::Left => "left",
        Side::Right => "right",
    }
}

/// The same value with the keys of its objects in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(entries.collect())
        }
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Whether a name stays in the folder that it is put into.
fn is_file_name(name: &str) -> bool {
    let odd = |char: char| matches!(char, '/' | '\\' | ':') || char.is_control();
    !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && !name.contains(odd)
}

/// Writes beside the file and puts it into its place, so that nobody sees half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), TokenizeError> {
    let failed = |error: std::io::Error| TokenizeError::Io {
        path: path.display().to_string(),
        message: error.to_string(),
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // What is left of it is of no use; that it cannot be removed either is no other error.
        drop(fs::remove_file(&beside));
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_templates_stay_in_their_folder() {
        for name in ["", "..", ".hidden", "a/b", "a\\b", "c:d", "a\0"] {
            assert!(!is_file_name(name), "{name:?}");
        }
        assert!(is_file_name("tool_use"));
        assert!(is_file_name("rag v2.1"));
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = serde_json::json!({"b": [{"d": 1, "c": 2}], "a": 0});
        assert_eq!(sorted(value).to_string(), r#"{"a":0,"b":[{"c":2,"d":1}]}"#);
    }
}
