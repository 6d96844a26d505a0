//! What can be wrong with a configuration file, said so that its owner can repair it.
//!
//! Reading collects: one [`ConfigError::Problems`] lists everything that is wrong with a file, each entry with the
//! full name of its key (`rope_scaling.factor`), what was expected and what was found.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

/// One thing wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The key with the names of the objects around it: `text_config.hidden_size`. Empty: the whole file.
    pub key: String,
    /// What was expected and what was found, or why the value is refused.
    pub message: String,
}

impl Problem {
    /// A problem with `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "`{}`: {}", self.key, self.message)
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is larger than any real one; it was not parsed.
    #[error(
        "{file} has {bytes} bytes, more than the limit of {limit}: this is not a configuration file"
    )]
    TooLarge {
        /// Which file: `config.json`.
        file: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes ([`crate::MAX_JSON_BYTES`]).
        limit: usize,
    },
    /// The text is not JSON, is nested too deeply, has too many values, or gives one key two values.
    #[error("{file} is not valid JSON: {message}")]
    Json {
        /// Which file.
        file: &'static str,
        /// The parser's words, with line and column.
        message: String,
    },
    /// Keys with bad, missing or unsupported values: all of them.
    #[error("{file} cannot be used{}:{}", of_model(.model_type.as_deref()), as_lines(.problems))]
    Problems {
        /// Which file.
        file: &'static str,
        /// The `model_type` of the file, where it has one.
        model_type: Option<String>,
        /// At least one.
        problems: Vec<Problem>,
    },
    /// A file could not be written.
    #[error("{path} could not be written: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl ConfigError {
    /// The collected problems; empty for the other kinds.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems { problems, .. } => problems,
            _ => &[],
        }
    }
}

fn of_model(model_type: Option<&str>) -> String {
    model_type.map_or_else(String::new, |name| format!(" (model_type {name:?})"))
}

fn as_lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

/// A value as it is shown in a message: its JSON, cut after some 60 bytes whatever its size.
pub(crate) fn found(value: &Value) -> String {
    if let Some(float) = crate::json::tagged_float(value) {
        return if float.is_nan() {
            "NaN".to_owned()
        } else if float > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        };
    }
    let mut out = Bounded(Vec::new());
    let whole = serde_json::to_writer(&mut out, value).is_ok();
    let text = String::from_utf8_lossy(&out.0);
    let kind = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => "",
        Value::String(_) => " (a string)",
        Value::Array(_) => " (a list)",
        Value::Object(_) => " (an object)",
    };
    format!("{text}{}{kind}", if whole { "" } else { "…" })
}

/// Takes the first bytes and then fails, so that a 16 MiB value costs 60 bytes to show.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        const LIMIT: usize = 60;
        let room = LIMIT - self.0.len().min(LIMIT);
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(std::io::Error::other("shown far enough"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_shown_with_its_kind_and_cut() {
        assert_eq!(found(&json!("4096")), "\"4096\" (a string)");
        assert_eq!(found(&json!(null)), "null");
        assert_eq!(found(&json!({"__float__": "-Infinity"})), "-Infinity");
        let long = found(&json!(vec![0; 1_000_000]));
        assert!(long.len() < 80 && long.contains('…'), "{long}");
        // Cut inside a character.
        assert!(found(&json!("é".repeat(100))).len() < 90);
    }

    #[test]
    fn all_problems_are_printed() {
        let error = ConfigError::Problems {
            file: "config.json",
            model_type: Some("llama".into()),
            problems: vec![Problem::new("a", "bad"), Problem::new("", "worse")],
        };
        assert_eq!(
            error.to_string(),
            "config.json cannot be used (model_type \"llama\"):\n  `a`: bad\n  worse"
        );
    }
}
