//! Against transformers: the folders of tests/slow, which `tests/make_slow.py` describes.

use serde_json::{Value, json};

use super::*;
use crate::engine::{Definition, Model, ModelKind};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/slow/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// 64-bit FNV-1a of the texts, each ended by a zero byte.
fn fnv<T: AsRef<str>>(parts: impl Iterator<Item = T>) -> String {
    let mut value = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.as_ref().bytes().chain([0]) {
            value = (value ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{value:016x}")
}

fn ids(vocab: &[(String, u32)]) -> String {
    let mut sorted: Vec<&(String, u32)> = vocab.iter().collect();
    sorted.sort_by_key(|(_, id)| id);
    fnv(sorted
        .into_iter()
        .flat_map(|(token, id)| [token.clone(), id.to_string()]))
}

/// The vocabulary, and the merges, as `make_slow.py` writes them.
fn digest(model: &Model) -> (String, Option<String>) {
    match model {
        Model::Bpe(bpe) => {
            let merges = bpe.merges.iter().flat_map(|(left, right)| [left, right]);
            (ids(&bpe.vocab), Some(fnv(merges)))
        }
        Model::Unigram(unigram) => {
            #[allow(clippy::cast_possible_truncation, reason = "they come from 32 bits")]
            let bits = |score: f64| format!("{:08x}", (score as f32).to_bits());
            let parts = unigram.vocab.iter();
            let vocab = fnv(parts.flat_map(|(token, score)| [token.clone(), bits(*score)]));
            (vocab, None)
        }
        Model::WordPiece(word_piece) => (ids(&word_piece.vocab), None),
        Model::WordLevel(word_level) => (ids(&word_level.vocab), None),
        Model::SentencePiece(model) => (ids(&model.vocab), None),
    }
}

/// `value` with the character map as its digest.
fn shortened(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for (key, value) in map {
                *value = if key == "precompiled_charsmap" {
                    json!(fnv(value.as_str().into_iter()))
                } else {
                    shortened(value.take())
                };
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| *value = shortened(value.take())),
        _ => {}
    }
    value
}

/// What the readers make of a folder; `kind` is what its class asks for.
fn converted(folder: &Value, kind: ModelKind) -> (Definition, bool) {
    let files = folder["files"].as_object().unwrap();
    let bytes = |name: &str| file(files[name].as_str().unwrap());
    if files.contains_key("vocab.txt") {
        let word_piece = vocab_txt(&bytes("vocab.txt")).unwrap();
        return (
            Definition::new("vocab.txt", Model::WordPiece(word_piece)),
            false,
        );
    }
    if files.contains_key("merges.txt") {
        let bpe = bpe_files(&bytes("vocab.json"), &bytes("merges.txt")).unwrap();
        return (Definition::new("vocab.json", Model::Bpe(bpe)), false);
    }
    if files.contains_key("tekken.json") {
        return (tekken(&bytes("tekken.json")).unwrap(), true);
    }
    let config = folder["tokenizer_config"].as_object().unwrap();
    let decoder: Vec<(u64, String)> = config
        .get("added_tokens_decoder")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(id, token)| {
            (
                id.parse().unwrap(),
                token["content"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let (name, source) = files.iter().next().unwrap();
    let name = match name.as_str() {
        "tiktoken.model" => "tiktoken.model",
        _ => "tokenizer.model",
    };
    match ModelFile::read(&file(source.as_str().unwrap()), name).unwrap() {
        ModelFile::Tiktoken(tiktoken) => {
            let extra: Vec<String> = config
                .get("extra_special_tokens")
                .map(|tokens| serde_json::from_value(tokens.clone()).unwrap())
                .unwrap_or_default();
            let special = tiktoken.special_tokens(&decoder, &extra).unwrap();
            (
                tiktoken.definition(TIKTOKEN_PATTERN, &special).unwrap(),
                true,
            )
        }
        ModelFile::SentencePiece(model) if folder["class"] == "TokenizersBackend" => {
            (model.backend(&decoder).unwrap().definition, true)
        }
        ModelFile::SentencePiece(model) => {
            let extracted = model.extract(Some(kind)).unwrap();
            let class = folder["class"].as_str().unwrap();
            let model = extracted.laid_out(class, config).unwrap().model;
            (Definition::new(name, model), false)
        }
    }
}

#[test]
fn vocabularies_and_merges() {
    let slow: Value = serde_json::from_slice(&file("slow.json")).unwrap();
    let mut compared = 0;
    for folder in slow["folders"].as_array().unwrap() {
        let name = folder["name"].as_str().unwrap();
        // Its class of 5.23 reads no file but tokenizer.json, and makes a vocabulary of eleven tokens.
        if name == "xglm" {
            continue;
        }
        let expected = &folder["definition"];
        let kind = match expected["model"]["type"].as_str().unwrap() {
            "BPE" => ModelKind::Bpe,
            "Unigram" => ModelKind::Unigram,
            "WordPiece" => ModelKind::WordPiece,
            other => panic!("{name}: {other}"),
        };
        let (definition, whole) = converted(folder, kind);
        let (vocab, merges) = digest(&definition.model);
        assert_eq!(definition.model.kind(), kind, "{name}");
        assert_eq!(expected["model"]["vocab"], vocab, "{name}: vocabulary");
        if let Some(merges) = merges {
            assert_eq!(expected["model"]["merges"], merges, "{name}: merges");
        }
        if whole {
            for (section, found) in [
                ("normalizer", &definition.normalizer),
                ("pre_tokenizer", &definition.pre_tokenizer),
                ("decoder", &definition.decoder),
            ] {
                assert_eq!(
                    expected[section],
                    shortened(found.clone()),
                    "{name}: {section}"
                );
            }
            if let Model::Bpe(bpe) = &definition.model {
                for (key, found) in [
                    ("unk_token", json!(bpe.unk_token)),
                    ("fuse_unk", json!(bpe.fuse_unk)),
                    ("byte_fallback", json!(bpe.byte_fallback)),
                    ("ignore_merges", json!(bpe.ignore_merges)),
                ] {
                    assert_eq!(expected["model"][key], found, "{name}: {key}");
                }
            }
        }
        definition.build().unwrap();
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}
