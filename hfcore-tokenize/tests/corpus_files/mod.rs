//! Reads `corpus/`, which `make_corpus.py` writes.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; not every test reads everything"
)]

use std::path::PathBuf;
use std::{env, fs};

use hfcore_tokenize::Tokenizer;
use serde_json::{Map, Value};

/// As in `make_corpus.py`.
pub(crate) const DECODED: usize = 240;
const PAIR_EVERY: usize = 10;

/// The tokenizers, the texts, and what Python makes of each with each.
pub(crate) struct Corpus {
    pub(crate) folder: PathBuf,
    pub(crate) texts: Vec<String>,
    /// Texts that may be the second of a pair: those that the file has as they are.
    plain: Vec<bool>,
    pub(crate) tokenizers: Vec<(String, Value)>,
    hashes: Vec<u64>,
    pub(crate) results: Map<String, Value>,
}

impl Corpus {
    pub(crate) fn read() -> Self {
        let folder = env::var_os("HFCORE_CORPUS").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
            PathBuf::from,
        );
        let json = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let entries = json("texts.json");
        let entries = entries.as_array().unwrap();
        let mut file = json("tokenizers.json");
        let shared = file["shared"].take();
        let tokenizers = file["tokenizers"].as_array_mut().unwrap();
        let tokenizers = tokenizers.iter_mut().map(|entry| {
            let name = entry["name"].as_str().unwrap().to_owned();
            fill(entry, &shared);
            (name, entry.take())
        });
        let (words, rest) = fs::read(folder.join("hashes.bin")).map_or_else(
            |error| panic!("hashes.bin: {error}"),
            |bytes| {
                let (words, rest) = bytes.as_chunks::<8>();
                (
                    words
                        .iter()
                        .map(|word| u64::from_le_bytes(*word))
                        .collect::<Vec<_>>(),
                    rest.len(),
                )
            },
        );
        assert_eq!(rest, 0);
        let corpus = Self {
            texts: entries.iter().map(text).collect(),
            plain: entries.iter().map(|entry| !entry.is_array()).collect(),
            tokenizers: tokenizers.collect(),
            hashes: words,
            results: json("results.json").as_object().unwrap().clone(),
            folder,
        };
        let per_tokenizer = corpus.texts.len() + DECODED;
        assert_eq!(corpus.hashes.len(), corpus.tokenizers.len() * per_tokenizer);
        corpus
    }

    pub(crate) fn pair(&self, index: usize) -> Option<&str> {
        let next = (index + 1) % self.texts.len();
        (index.is_multiple_of(PAIR_EVERY) && self.plain[next]).then(|| self.texts[next].as_str())
    }

    /// The expected numbers of one tokenizer.
    pub(crate) fn expected(&self, tokenizer: usize) -> &[u64] {
        let count = self.texts.len() + DECODED;
        &self.hashes[tokenizer * count..][..count]
    }

    pub(crate) fn load(&self, tokenizer: usize) -> Tokenizer {
        let (name, json) = &self.tokenizers[tokenizer];
        Tokenizer::from_slices(json.to_string().as_bytes(), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Puts the shared sections where they are referred to.
fn fill(value: &mut Value, shared: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("shared").and_then(Value::as_str) {
                let mut section = shared[name].clone();
                if let Some(Value::Object(with)) = object.get("with") {
                    section.as_object_mut().unwrap().extend(with.clone());
                }
                *value = section;
                return;
            }
            object.values_mut().for_each(|part| fill(part, shared));
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| fill(part, shared)),
        _ => {}
    }
}

fn text(entry: &Value) -> String {
    match entry {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let times = parts[1].as_u64().unwrap();
            parts[0]
                .as_str()
                .unwrap()
                .repeat(usize::try_from(times).unwrap())
        }
        bytes => {
            let hex = bytes["hex"].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}
