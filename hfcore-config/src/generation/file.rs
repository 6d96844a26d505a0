//! From and to `generation_config.json`, and from the parameters that old `config.json` files carry.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{ConfigError, Problem};
use crate::json::parse_object;
use crate::pretrained::PretrainedConfig;

use super::GenerationConfig;

const FILE: &str = "generation_config.json";

impl GenerationConfig {
    /// Reads the bytes of a `generation_config.json`.
    ///
    /// # Errors
    ///
    /// Not JSON, fields of the wrong kind, or a combination that transformers refuses on reading: all are listed.
    /// Ranges that depend on how generation runs are checked by [`GenerationConfig::validate`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ConfigError> {
        let map = parse_object(FILE, bytes)?;
        let mut config = Self::default();
        let mut problems = Vec::new();
        for (key, value) in &map {
            // Written by old versions and by `from_model_config`; transformers drops them too.
            if !matches!(key.as_str(), "_commit_hash" | "_from_model_config") {
                problems.extend(config.set(key, sentinel(key, value)).err());
            }
        }
        problems.extend(config.conflicts());
        Self::refuse(problems)?;
        Ok(config)
    }

    /// The parameters in a `config.json`, for models without a `generation_config.json`. Where a field is not at the
    /// top level it is looked for in `decoder`, `generator` or `text_config` (the first that exists).
    ///
    /// # Errors
    ///
    /// Fields of the wrong kind, or a combination that transformers refuses: all are listed.
    pub fn from_model_config(model: &PretrainedConfig) -> Result<Self, ConfigError> {
        let raw = model.raw();
        let mut config = Self::default();
        let mut problems = Vec::new();
        let part = ["decoder", "generator", "text_config"]
            .iter()
            .find_map(|name| raw.get(*name)?.as_object().filter(|part| !part.is_empty()));
        for field in Self::FIELDS {
            let present = |map: &'_ Map<String, Value>| {
                map.get(*field).filter(|value| !value.is_null()).cloned()
            };
            // The version of a `config.json` says nothing about generation.
            if *field != "transformers_version"
                && let Some(value) = present(raw).or_else(|| part.and_then(present))
            {
                problems.extend(config.set(field, sentinel(field, &value)).err());
            }
        }
        // An older spelling of `forced_bos_token_id`.
        if raw.get("force_bos_token_to_be_generated") == Some(&Value::Bool(true)) {
            config.forced_bos_token_id = config.bos_token_id;
        }
        let outputs = [
            config.output_attentions,
            config.output_hidden_states,
            config.output_scores,
            config.output_logits,
        ];
        if outputs.contains(&Some(true)) {
            config.return_dict_in_generate = Some(true);
        }
        problems.extend(config.conflicts());
        Self::refuse(problems)?;
        Ok(config)
    }

    pub(super) fn refuse(problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Problems {
            file: FILE,
            model_type: None,
            problems,
        })
    }

    /// The text of the file, as Python writes it: the fields that are set, and unknown keys, sorted; two spaces of
    /// indentation; ASCII only.
    #[must_use]
    pub fn to_json_string(&self) -> String {
        let mut map = self.set_fields();
        map.remove("compile_config");
        for (key, value) in &self.extra {
            map.insert(key.clone(), value.clone());
        }
        let mut out = String::new();
        write_python(&Value::Object(map), 0, &mut out);
        out + "\n"
    }

    /// Writes `generation_config.json` into the folder `dir`, which is created; an existing file is replaced in one
    /// step.
    ///
    /// # Errors
    ///
    /// The configuration is not valid (what is only an [issue](crate::GenerationIssue) on reading is refused here,
    /// as transformers does), or the file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<PathBuf, ConfigError> {
        let issues = self.validate()?;
        Self::refuse(issues.into_iter().map(Problem::from).collect())?;
        let dir = dir.as_ref();
        let path = dir.join(FILE);
        // Beside the file, so that the rename is within one file system.
        let partial = dir.join(format!(".{FILE}.{}", std::process::id()));
        let write = || {
            std::fs::create_dir_all(dir)?;
            std::fs::write(&partial, self.to_json_string())?;
            std::fs::rename(&partial, &path)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(source) => {
                // The write failed; a left-over is the smaller trouble.
                let _ = std::fs::remove_file(&partial);
                Err(ConfigError::Io { path, source })
            }
        }
    }
}

/// `-1` for "none", which published files have in token ids, is null.
fn sentinel<'v>(key: &str, value: &'v Value) -> &'v Value {
    const NULL: &Value = &Value::Null;
    let is_id = matches!(key, "pad_token_id" | "bos_token_id");
    if is_id && value.as_i64() == Some(-1) {
        NULL
    } else {
        value
    }
}

/// `json.dumps(value, indent=2, sort_keys=True)`.
fn write_python(value: &Value, depth: usize, out: &mut String) {
    let open = |out: &mut String, first: bool| {
        out.push_str(if first { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
    };
    let close = |out: &mut String| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                open(out, i == 0);
                write_text(key, out);
                out.push_str(": ");
                write_python(value, depth + 1, out);
            }
            close(out);
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                open(out, i == 0);
                write_python(item, depth + 1, out);
            }
            close(out);
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        Value::Number(number) => out.push_str(&python_number(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// Characters beyond ASCII as UTF-16 escapes.
fn write_text(text: &str, out: &mut String) {
    for c in Value::from(text).to_string().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// Both write the shortest decimal that reads back the same; Python has two digits in an exponent (`1e-05`), and uses
/// one below 1e-4 and from 1e16 on.
fn python_number(number: &serde_json::Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let size = float.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{float:?}");
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
