//! The files of a tokenizer, by name: read from a folder, or put together by whoever has them elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{TOKENIZER_CONFIG, TOKENIZER_JSON, TokenizeError};

/// Largest vocabulary file in bytes; the largest published `tokenizer.json` has about 33 MB.
const MAX_VOCABULARY: u64 = 256 << 20;
/// Largest of the other files in bytes.
const MAX_SMALL: u64 = 16 << 20;
/// Most files in `additional_chat_templates`.
const MAX_TEMPLATES: usize = 256;

/// The folder of further chat templates.
pub(crate) const CHAT_TEMPLATES: &str = "additional_chat_templates";
/// The file whose template wins over the one in `tokenizer_config.json`.
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Where processors of 2024 keep their template: `{"chat_template": …}`.
pub(crate) const CHAT_TEMPLATE_JSON: &str = "chat_template.json";
/// Where processors of 2025 keep theirs, among other things.
pub(crate) const PROCESSOR_CONFIG: &str = "processor_config.json";
/// Names of special tokens, before transformers 4.33.
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
/// Added tokens of slow tokenizers, before transformers 4.33.
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";
/// The model's configuration, which may name the tokenizer's class.
pub(crate) const CONFIG: &str = "config.json";

/// Files that describe a tokenizer beside its vocabulary.
const SMALL: [&str; 12] = [
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    CHAT_TEMPLATE,
    CHAT_TEMPLATE_JSON,
    PROCESSOR_CONFIG,
    CONFIG,
    "normalizer.json",
    "word_shape.json",
    "word_pronunciation.json",
    "byte_maps.json",
    "emoji.json",
];
/// Files that hold a vocabulary, under the names that transformers' tokenizer classes give them
/// (`vocab_files_names`).
const VOCABULARIES: [&str; 24] = [
    TOKENIZER_JSON,
    "tokenizer.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "spm_char.model",
    "source.spm",
    "target.spm",
    "tiktoken.model",
    "tekken.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "dict.txt",
    "prophetnet.tokenizer",
    "vocab-src.json",
    "vocab-tgt.json",
    "target_vocab.json",
    "entity_vocab.json",
    "vocab.bpe",
    "encoder.json",
    "qwen.tiktoken",
];

/// The files that a tokenizer is loaded from, by their names in the model folder.
///
/// ```
/// # fn main() -> Result<(), hfcore_tokenize::TokenizeError> {
/// use hfcore_tokenize::{Tokenizer, TokenizerFiles};
///
/// let mut files = TokenizerFiles::new();
/// files.insert("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n");
/// let tokenizer = Tokenizer::from_files(&files, Some("bert"))?;
/// assert_eq!(tokenizer.encode("Hello", true)?.ids, [2, 5, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles {
    files: BTreeMap<String, Vec<u8>>,
    repository: Option<String>,
}

impl TokenizerFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the name that the Hub has for the repository, such as `google/umt5-small`: for a few, transformers knows
    /// that the class they name is wrong.
    #[must_use]
    pub fn with_repository(mut self, name: impl Into<String>) -> Self {
        self.repository = Some(name.into());
        self
    }

    /// The repository's name, where it is known.
    pub(crate) fn repository(&self) -> Option<&str> {
        self.repository.as_deref()
    }

    /// Reads from the folder `dir` what tokenizers use: the vocabularies under all names that transformers knows,
    /// `tokenizer_config.json` and what belongs to it, chat templates, and `config.json`, whose `model_type` and
    /// `tokenizer_class` choose the class. Other files are not touched.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Io`] for a file that cannot be read, [`TokenizeError::TooLarge`] for one that no tokenizer
    /// has. A file that is missing is no error here.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self, TokenizeError> {
        let dir = dir.as_ref();
        let mut files = Self::new();
        for name in SMALL {
            files.read_one(dir, name, MAX_SMALL)?;
        }
        for name in VOCABULARIES {
            files.read_one(dir, name, MAX_VOCABULARY)?;
        }
        for name in files.versioned() {
            files.read_one(dir, &name, MAX_VOCABULARY)?;
        }
        for name in template_names(dir) {
            files.read_one(dir, &name, MAX_SMALL)?;
        }
        Ok(files)
    }

    /// Whether [`read`](Self::read) would read a file of this name, given relative to the folder with `/`: what to fetch of
    /// a folder that is elsewhere.
    #[must_use]
    pub fn reads(name: &str) -> bool {
        if let Some(template) = name.strip_prefix(CHAT_TEMPLATES) {
            return template.starts_with('/')
                && template.ends_with(".jinja")
                && !template[1..].contains('/');
        }
        SMALL.contains(&name) || VOCABULARIES.contains(&name) || is_versioned(name)
    }

    /// Whether a file of this name is the vocabulary of a slow tokenizer, which is not needed where there is a
    /// `tokenizer.json`.
    #[must_use]
    pub fn is_slow_vocabulary(name: &str) -> bool {
        name != TOKENIZER_JSON && VOCABULARIES.contains(&name)
    }

    fn read_one(&mut self, dir: &Path, name: &str, limit: u64) -> Result<(), TokenizeError> {
        let path = dir.join(name);
        let failed = |error: &std::io::Error| TokenizeError::Io {
            path: path.display().to_string(),
            message: error.to_string(),
        };
        let size = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        if size > limit {
            return Err(TokenizeError::TooLarge {
                file: known(name),
                found: usize::try_from(size).unwrap_or(usize::MAX),
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            });
        }
        let bytes = fs::read(&path).map_err(|error| failed(&error))?;
        self.files.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// Adds a file, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(name.into(), bytes.into());
    }

    /// The bytes of a file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The names of the files that are there, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The `tokenizer.json` to read. `fast_tokenizer_files` of `tokenizer_config.json` may list several, named after
    /// the first version of transformers that reads them; the last one of at most 5.23 counts
    /// (`get_fast_tokenizer_file` in `tokenization_utils_base.py`).
    pub(crate) fn tokenizer_json(&self) -> Option<&[u8]> {
        self.versioned()
            .last()
            .map_or_else(|| self.get(TOKENIZER_JSON), |name| self.get(name))
    }

    /// The listed files up to the first that is too new, in the order of their names, as transformers walks them (so
    /// that `tokenizer.10.0.0.json` hides what comes after it).
    fn versioned(&self) -> Vec<String> {
        let config: Option<Value> = self
            .get(TOKENIZER_CONFIG)
            .and_then(|json| serde_json::from_slice(json).ok());
        let listed = config
            .as_ref()
            .and_then(|config| config.get("fast_tokenizer_files"))
            .and_then(Value::as_array);
        let version = |name: &&str| {
            let text = name.strip_prefix("tokenizer.")?.strip_suffix(".json")?;
            let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
            parts
        };
        let mut found: Vec<(Vec<u32>, String)> = listed
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter_map(|name| Some((version(&name)?, name.to_owned())))
            .take(MAX_TEMPLATES)
            .collect();
        found.sort_by(|(_, left), (_, right)| left.cmp(right));
        found
            .into_iter()
            .take_while(|(version, _)| version.as_slice() <= &[5, 23, u32::MAX][..])
            .map(|(_, name)| name)
            .collect()
    }

    /// Chat templates that are files of their own: `default` from `chat_template.jinja`, and those of
    /// `additional_chat_templates/` by file stem.
    pub(crate) fn chat_templates(&self) -> Result<Vec<(String, String)>, TokenizeError> {
        let additional = self.files.iter().filter_map(|(name, bytes)| {
            let name = name.strip_prefix(CHAT_TEMPLATES)?.strip_prefix('/')?;
            Some((name.strip_suffix(".jinja")?, bytes.as_slice()))
        });
        let default = self.get(CHAT_TEMPLATE).map(|bytes| ("default", bytes));
        default
            .into_iter()
            .chain(additional)
            .map(|(name, bytes)| {
                let text = std::str::from_utf8(bytes).map_err(|error| TokenizeError::Json {
                    file: CHAT_TEMPLATE,
                    message: error.to_string(),
                })?;
                Ok((name.to_owned(), text.to_owned()))
            })
            .collect()
    }
}

/// `tokenizer.4.0.0.json`, as `fast_tokenizer_files` lists them.
fn is_versioned(name: &str) -> bool {
    name.starts_with("tokenizer.") && name.ends_with(".json") && !name.contains('/')
}

/// `additional_chat_templates/*.jinja` in `dir`, sorted.
fn template_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join(CHAT_TEMPLATES)).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_suffix(".jinja").is_some())
        .take(MAX_TEMPLATES)
        .map(|name| format!("{CHAT_TEMPLATES}/{name}"))
        .collect();
    names.sort();
    names
}

/// The name for messages.
pub(crate) fn known(name: &str) -> &'static str {
    SMALL
        .into_iter()
        .chain(VOCABULARIES)
        .find(|&known| known == name)
        .unwrap_or(TOKENIZER_JSON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_what_is_read() {
        for name in [
            "tokenizer.json",
            "tokenizer_config.json",
            "config.json",
            "merges.txt",
            "tokenizer.4.0.0.json",
            "chat_template.jinja",
            "additional_chat_templates/rag.jinja",
        ] {
            assert!(TokenizerFiles::reads(name), "{name}");
        }
        for name in [
            "model.safetensors",
            "README.md",
            "onnx/tokenizer.json",
            "additional_chat_templates",
            "additional_chat_templates/a/b.jinja",
            "additional_chat_templates_x.jinja",
            "trainer_state.json",
        ] {
            assert!(!TokenizerFiles::reads(name), "{name}");
        }
    }

    #[test]
    fn only_what_tokenizers_use_is_read() {
        let dir = std::env::temp_dir().join(format!("hfcore-files-{}", std::process::id()));
        fs::create_dir_all(dir.join(CHAT_TEMPLATES)).unwrap();
        for name in [
            "tokenizer.json",
            "model.safetensors",
            "additional_chat_templates/rag.jinja",
            "additional_chat_templates/notes.txt",
        ] {
            fs::write(dir.join(name), name).unwrap();
        }
        let files = TokenizerFiles::read(&dir).unwrap();
        let found: Vec<&str> = files.names().collect();
        assert_eq!(
            found,
            ["additional_chat_templates/rag.jinja", "tokenizer.json"]
        );
        assert_eq!(files.get("tokenizer.json"), Some(&b"tokenizer.json"[..]));
        let templates = files.chat_templates().unwrap();
        assert_eq!(templates[0].0, "rag");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_newest_version_that_is_not_too_new() {
        let mut files = TokenizerFiles::new();
        files.insert("tokenizer.json", "plain");
        assert_eq!(files.tokenizer_json(), Some(&b"plain"[..]));
        let listed = r#"{"fast_tokenizer_files": ["tokenizer.4.42.0.json", "tokenizer.json", "tokenizer.4.0.0.json", "tokenizer.6.0.0.json"]}"#;
        files.insert("tokenizer_config.json", listed);
        files.insert("tokenizer.4.0.0.json", "four");
        files.insert("tokenizer.4.42.0.json", "forty-two");
        files.insert("tokenizer.6.0.0.json", "six");
        assert_eq!(files.tokenizer_json(), Some(&b"forty-two"[..]));
    }
}
