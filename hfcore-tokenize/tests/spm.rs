//! Tokenizers that the sentencepiece library runs in transformers, against what it gives there (`make_spm.py`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hfcore_tokenize::{DecodeOptions, Encoding, Tokenizer, TokenizerFiles, Value};
use serde_json::json;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn record() -> Value {
    serde_json::from_slice(&std::fs::read(tests().join("spm.json")).unwrap()).unwrap()
}

fn files(entry: &Value) -> TokenizerFiles {
    let mut files = TokenizerFiles::new();
    for (name, source) in entry["files"].as_object().unwrap() {
        let bytes = match source {
            Value::String(source) => std::fs::read(tests().join("slow").join(source)).unwrap(),
            value => serde_json::to_vec(value).unwrap(),
        };
        files.insert(name, bytes);
    }
    for (name, key) in [
        ("tokenizer_config.json", "tokenizer_config"),
        ("config.json", "config"),
    ] {
        if !entry[key].is_null() {
            files.insert(name, serde_json::to_vec(&entry[key]).unwrap());
        }
    }
    files
}

fn folder(name: &str) -> Value {
    let record = record();
    let folders = record["folders"].as_array().unwrap();
    let found = folders.iter().find(|entry| entry["name"] == name);
    found.unwrap().clone()
}

fn load(entry: &Value) -> Result<Tokenizer, hfcore_tokenize::TokenizeError> {
    Tokenizer::from_files(&files(entry), None)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn check_decoded(at: &str, tokenizer: &Tokenizer, ids: &[u32], case: &Value) {
    for (key, skip) in [("decoded", false), ("skipped", true)] {
        let decoded = tokenizer.decode(ids, skip);
        assert_eq!(decoded, case[key], "{at}: {key} {ids:?}");
        let mut stream = tokenizer.decode_stream(skip);
        let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        streamed.extend(stream.finish());
        assert_eq!(streamed, decoded, "{at}: {key}, streamed");
    }
}

#[test]
fn as_transformers_has_it() {
    let record = record();
    let texts: Vec<String> = read(&record["texts"]);
    let mut compared = 0;
    for entry in record["folders"].as_array().unwrap() {
        if entry["name"] == "separate" {
            continue;
        }
        let name = entry["name"].as_str().unwrap();
        let tokenizer = load(entry).unwrap();
        assert_eq!(tokenizer.class(), entry["class"]);
        let named: BTreeMap<&str, &str> = tokenizer.special_tokens_map().collect();
        let theirs: BTreeMap<String, String> = read(&entry["special_tokens"]);
        assert!(
            named
                .into_iter()
                .eq(theirs.iter().map(|(name, token)| (&**name, &**token)))
        );
        assert_eq!(
            tokenizer.extra_special_tokens(),
            read::<Vec<String>>(&entry["extra"])
        );
        assert_eq!(json!(tokenizer.len()), entry["len"], "{name}");
        assert_eq!(json!(tokenizer.vocab_size()), entry["vocab_size"], "{name}");
        assert_eq!(
            json!(tokenizer.model_max_length()),
            entry["model_max_length"]
        );
        for case in entry["cases"].as_array().unwrap() {
            let text = &texts[read::<usize>(&case["text"])];
            let at = format!("{name}: {text:?} {}", case["pair"]);
            let encoding = match case.get("pair") {
                Some(pair) => tokenizer.encode_pair(text, &texts[read::<usize>(pair)], true),
                None => tokenizer.encode(text, true),
            };
            let encoding = encoding.unwrap();
            let ids: Vec<u32> = read(&case["ids"]);
            assert_eq!(encoding.ids, ids, "{at} {:?}", encoding.tokens);
            assert_eq!(
                encoding.special_tokens_mask,
                read::<Vec<u32>>(&case["mask"]),
                "{at}"
            );
            if let Some(types) = case.get("types") {
                assert_eq!(encoding.type_ids, read::<Vec<u32>>(types), "{at}");
                continue;
            }
            let (eos, tokens) = encoding.tokens.split_last().unwrap();
            // A token that takes the blanks around it has them, as in every tokenizer here.
            let tokens: Vec<&str> = tokens
                .iter()
                .map(|token| if token == " <new> " { "<new>" } else { token })
                .collect();
            assert_eq!(tokens, read::<Vec<String>>(&case["tokens"]), "{at}");
            assert_eq!(eos, "</s>");
            assert_eq!(tokenizer.encode_ids(text, true).unwrap(), ids);
            check_places(&at, text, &encoding);
            check_decoded(&at, &tokenizer, &ids, case);
            compared += ids.len();
        }
        for case in entry["random"].as_array().unwrap() {
            check_decoded(name, &tokenizer, &read::<Vec<u32>>(&case["ids"]), case);
        }
    }
    assert!(compared > 500, "{compared}");
}

/// Offsets, which Python does not have: in order, on characters, and those of a special token hold it.
fn check_places(at: &str, text: &str, encoding: &Encoding) {
    let (_, places) = encoding.offsets.split_last().unwrap();
    let mut last = 0;
    for (place, token) in places.iter().zip(&encoding.tokens) {
        let part = text
            .get(place.clone())
            .unwrap_or_else(|| panic!("{at}: {place:?}"));
        assert!(place.start >= last, "{at}: {place:?}");
        last = place.start;
        if token == "</s>" || token == ">>deu<<" {
            assert_eq!(part, token, "{at}");
        }
    }
}

#[test]
fn without_special_tokens_nothing_is_marked() {
    let tokenizer = load(&folder("plain")).unwrap();
    let encoding = tokenizer.encode_pair("a</s>b", "the", false).unwrap();
    assert_eq!(encoding.ids, [10, 0, 5, 126, 11]);
    assert_eq!(encoding.special_tokens_mask, [0; 5]);
    assert_eq!(encoding.type_ids, [0; 5]);
    let clean = DecodeOptions::default().with_clean_up_tokenization_spaces(true);
    assert_eq!(
        tokenizer.decode_with(&[10, 0, 5, 126, 11], clean),
        "a</s> b the"
    );
}

#[test]
fn a_tokenizer_json_beside_it_is_not_read() {
    let entry = folder("plain");
    let mut files = files(&entry);
    files.insert("tokenizer.json", "no JSON at all");
    assert!(Tokenizer::from_files(&files, None).is_ok());
}

#[test]
fn what_is_refused() {
    let refused = |entry: &Value| load(entry).unwrap_err().to_string();
    assert_eq!(
        refused(&folder("separate")),
        "the tokenizer class MarianTokenizer is not supported: separate_vocabs gives texts and translations \
         vocabularies of their own, which hfcore does not have yet"
    );
    let with = |change: &dyn Fn(&mut Value)| {
        let mut entry = folder("plain");
        change(&mut entry);
        refused(&entry)
    };
    let missing = with(&|entry| {
        entry["files"].as_object_mut().unwrap().remove("target.spm");
    });
    assert!(
        missing.starts_with(
            "no files for a MarianTokenizer: looked for source.spm, target.spm and vocab.json; found "
        ),
        "{missing}"
    );
    assert_eq!(
        with(&|entry| entry["files"]["vocab.json"]["▁the"] = json!(400)),
        "vocab.json: ▁the: expected an id below 400, the number of tokens (at most 4194304), found 400"
    );
    assert_eq!(
        with(&|entry| entry["files"]["vocab.json"]["▁the"] = json!("1")),
        "vocab.json: ▁the: expected an id below 400, the number of tokens (at most 4194304), found \"1\""
    );
    let twice = with(&|entry| entry["files"]["vocab.json"]["▁the"] = json!(3));
    assert!(twice.ends_with("is another token's already"), "{twice}");
    assert_eq!(
        with(&|entry| entry["tokenizer_config"]["unk_token"] = json!("[UNK]")),
        "vocab.json: unk_token: the vocabulary has no \"[UNK]\""
    );
    assert_eq!(
        with(&|entry| entry["tokenizer_config"]["sp_model_kwargs"] =
            json!({"enable_sampling": true})),
        "tokenizer_config.json: sp_model_kwargs: options of the sentencepiece library (sampling) are not supported; \
         remove the key"
    );
    let added = |id: &str, single_word: bool| {
        json!({id: {"content": "<q>", "lstrip": false, "rstrip": false, "single_word": single_word,
                    "normalized": false, "special": true}})
    };
    let elsewhere = with(&|entry| {
        entry["tokenizer_config"]["added_tokens_decoder"] = added("500", false);
    });
    assert_eq!(
        elsewhere,
        "tokenizer_config.json: added_tokens_decoder.500: the token \"<q>\" would have the id Some(400); ids must be \
         those of vocab.json or follow them in order"
    );
    let alone = with(&|entry| {
        entry["tokenizer_config"]["added_tokens_decoder"] = added("400", true);
    });
    assert_eq!(
        alone,
        "tokenizer_config.json: added_tokens_decoder: the token \"<q>\" has single_word, which is not supported in a \
         MarianTokenizer"
    );
    let tokenizer = load(&folder("plain")).unwrap();
    let saved = tokenizer.tokenizer_json().unwrap_err().to_string();
    assert!(
        saved.contains("has no form in a tokenizer.json; keep its files"),
        "{saved}"
    );
}
