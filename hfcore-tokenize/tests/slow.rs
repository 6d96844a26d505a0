//! Folders without tokenizer.json against transformers: ids, offsets, decoding and special tokens.
//!
//! The folders are described and written by `make_slow.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hfcore_tokenize::{TokenizeError, Tokenizer, TokenizerFiles, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Slow {
    texts: Vec<String>,
    folders: Vec<Folder>,
}

#[derive(Deserialize)]
struct Folder {
    name: String,
    /// Name in the folder, and the file of tests/slow that it is.
    files: BTreeMap<String, String>,
    tokenizer_config: Value,
    model_type: String,
    class: String,
    special_tokens: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: usize,
    ids: Vec<u32>,
    /// Starts relative to the end before, ends relative to the start; in characters.
    offsets: Option<Vec<isize>>,
    decoded: Option<String>,
    /// Where it is another text.
    skipped: Option<String>,
}

fn slow() -> Slow {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow");
    serde_json::from_slice(&fs::read(root.join("slow.json")).unwrap()).unwrap()
}

fn load(folder: &Folder) -> Result<Tokenizer, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow");
    let mut files = TokenizerFiles::new();
    for (name, source) in &folder.files {
        files.insert(name.as_str(), fs::read(root.join(source)).unwrap());
    }
    let config = serde_json::to_vec(&folder.tokenizer_config).unwrap();
    files.insert("tokenizer_config.json", config);
    Tokenizer::from_files(&files, Some(&folder.model_type)).map_err(|error| error.to_string())
}

/// Calls `check` with every folder that transformers loads whole, its tokenizer and the texts; all that differs is
/// listed, the first of each folder.
fn each(check: impl Fn(&Folder, &Tokenizer, &[String]) -> Result<(), String>) {
    let Slow { texts, folders } = slow();
    let mut failed = Vec::new();
    let mut count = 0;
    for folder in &folders {
        // Its class of 5.23 reads no file but tokenizer.json, and makes a vocabulary of eleven tokens.
        if folder.name == "xglm" {
            continue;
        }
        let checked = load(folder).and_then(|tokenizer| check(folder, &tokenizer, &texts));
        if let Err(problem) = checked {
            failed.push(format!("{}: {problem}", folder.name));
        }
        count += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count > 60, "{count}");
}

/// The error says what was found, what was expected and where.
fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T, at: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{at}: found {found:?}, expected {expected:?}"))
}

#[test]
fn ids_and_offsets() {
    each(|folder, tokenizer, texts| {
        for case in &folder.cases {
            let text = &texts[case.text];
            let at = format!("{text:?}");
            let found = tokenizer.encode(text, true).unwrap();
            same(&found.ids, &case.ids, &at)?;
            let Some(offsets) = &case.offsets else {
                continue;
            };
            let mut end = 0;
            let mut relative = Vec::new();
            for range in &found.char_offsets {
                let start = isize::try_from(range.start).unwrap();
                let stop = isize::try_from(range.end).unwrap();
                relative.extend([start - end, stop - start]);
                end = stop;
            }
            same(&relative, offsets, &format!("{at}, offsets"))?;
        }
        Ok(())
    });
}

#[test]
fn decoded() {
    each(|folder, tokenizer, texts| {
        for case in &folder.cases {
            let Some(decoded) = &case.decoded else {
                continue;
            };
            let skipped = case.skipped.as_ref().unwrap_or(decoded);
            let at = format!("{:?}", texts[case.text]);
            same(&tokenizer.decode(&case.ids, false), decoded, &at)?;
            let at = format!("{at}, without special tokens");
            same(&tokenizer.decode(&case.ids, true), skipped, &at)?;
        }
        Ok(())
    });
}

#[test]
fn classes_and_special_tokens() {
    each(|folder, tokenizer, _| {
        same(&tokenizer.class(), &folder.class.as_str(), "class")?;
        for (name, token) in &folder.special_tokens {
            if let Value::String(token) = token {
                same(&tokenizer.special_token(name), &Some(token.as_str()), name)?;
            }
        }
        Ok(())
    });
}

/// The next number of a small generator, below `limit`.
fn next(state: &mut u64, limit: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % limit
}

#[test]
fn damaged_files_are_read_or_refused() {
    let alive = |result: Result<Tokenizer, TokenizeError>, at: &str| match result {
        Err(TokenizeError::Panicked { message, .. }) => panic!("{at}: {message}"),
        Err(_) => None,
        Ok(tokenizer) => Some(tokenizer),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow");
    let cases = [
        ("llama.model", "tokenizer.model", "LlamaTokenizer"),
        ("bytes.model", "tokenizer.model", "PreTrainedTokenizerFast"),
        (
            "uni.model",
            "sentencepiece.bpe.model",
            "XLMRobertaTokenizer",
        ),
        ("t5.model", "spiece.model", "T5Tokenizer"),
        ("bpe.model", "sentencepiece.bpe.model", "NllbTokenizer"),
        (
            "ranks.tiktoken",
            "tiktoken.model",
            "PreTrainedTokenizerFast",
        ),
        ("tekken.json", "tekken.json", "PreTrainedTokenizerFast"),
        ("bert-vocab.txt", "vocab.txt", "BertTokenizer"),
    ];
    let text = "Hello <s>wörld\u{ff11}\u{301} \u{2581}漢 \u{0}";
    let (mut state, mut read, mut refused) = (7_u64, 0, 0);
    for (source, name, class) in cases {
        let whole = fs::read(root.join(source)).unwrap();
        for round in 0..60 {
            let mut bytes = whole.clone();
            match round % 3 {
                0 => bytes.truncate(next(&mut state, whole.len())),
                1 => {
                    let at = next(&mut state, whole.len());
                    let value = u8::try_from(next(&mut state, 256)).unwrap();
                    bytes[at] = value;
                }
                _ => {
                    // A stretch that comes twice, or is missing.
                    let start = next(&mut state, whole.len());
                    let end = (start + next(&mut state, 64)).min(whole.len());
                    let again = [&whole[start..end], &whole[start..end]].concat();
                    let put = if round % 2 == 0 { again } else { Vec::new() };
                    drop(bytes.splice(start..end, put));
                }
            }
            let mut files = TokenizerFiles::new();
            files.insert(name, bytes);
            let config = format!("{{\"tokenizer_class\": \"{class}\"}}");
            files.insert("tokenizer_config.json", config);
            let at = format!("{source}, round {round}");
            match alive(Tokenizer::from_files(&files, None), &at) {
                None => refused += 1,
                Some(tokenizer) => {
                    read += 1;
                    if let Ok(encoding) = tokenizer.encode(text, true) {
                        let _ = tokenizer.decode(&encoding.ids, false);
                    }
                }
            }
        }
    }
    assert!(read > 50 && refused > 50, "{read} read, {refused} refused");
}
