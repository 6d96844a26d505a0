//! Tokenizers that are Python code in transformers, against what it makes of some texts (`make_python_classes.py`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use hfcore_tokenize::{EncodeOptions, Tokenizer, TokenizerFiles, Truncation, Value};

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python_classes.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn files(entry: &Value) -> TokenizerFiles {
    let mut files = TokenizerFiles::new();
    for (name, value) in entry["files"].as_object().unwrap() {
        let bytes = match value {
            Value::String(text) => text.clone().into_bytes(),
            value => serde_json::to_vec(value).unwrap(),
        };
        files.insert(name, bytes);
    }
    let config = serde_json::to_vec(&entry["tokenizer_config"]).unwrap();
    files.insert("tokenizer_config.json", config);
    files
}

fn load(entry: &Value) -> Result<Tokenizer, String> {
    Tokenizer::from_files(&files(entry), entry["model_type"].as_str())
        .map_err(|error| error.to_string())
}

fn entry(name: &str) -> Value {
    let golden = golden();
    let folders = golden["folders"].as_array().unwrap();
    folders
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap()
        .clone()
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip: bool) -> String {
    let mut stream = tokenizer.decode_stream(skip);
    let mut text: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
    text.extend(stream.finish());
    text
}

fn check(entry: &Value, texts: &[String]) -> Vec<String> {
    let tokenizer = match (load(entry), entry.get("refused")) {
        (Ok(_), Some(refused)) => return vec![format!("transformers refuses it: {refused}")],
        (Err(_), Some(_)) => return Vec::new(),
        (Err(error), None) => return vec![error],
        (Ok(tokenizer), None) => tokenizer,
    };
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: Value, theirs: &Value| {
        if ours != *theirs {
            found.push(format!("{what}\n    ours   {ours}\n    theirs {theirs}"));
        }
    };
    compare("class", tokenizer.class().into(), &entry["class"]);
    compare("len", tokenizer.len().into(), &entry["len"]);
    compare(
        "vocab_size",
        tokenizer.vocab_size().into(),
        &entry["vocab_size"],
    );
    compare(
        "special",
        tokenizer.all_special_tokens().into(),
        &entry["special"],
    );
    compare(
        "special_ids",
        tokenizer.all_special_ids().into(),
        &entry["special_ids"],
    );
    let added = tokenizer.added_tokens_decoder().into_iter();
    let added = added.map(|(id, token)| {
        serde_json::json!([
            id,
            token.content(),
            token.lstrip(),
            token.rstrip(),
            token.special()
        ])
    });
    compare("added", added.collect(), &entry["added"]);
    let decode = |ids: &[u32], skip: bool| -> Value {
        let text = tokenizer.decode(ids, skip);
        assert_eq!(streamed(&tokenizer, ids, skip), text, "{ids:?}");
        text.into()
    };
    for case in entry["cases"].as_array().unwrap() {
        let of = |index: usize| Some(texts[count(case["texts"].get(index)?)].as_str());
        let text = of(0).unwrap();
        let encoding = match of(1) {
            Some(pair) => tokenizer.encode_pair(text, pair, true).unwrap(),
            None => tokenizer.encode(text, true).unwrap(),
        };
        let at = format!("{text:?} {:?}: ", of(1));
        compare(
            &(at.clone() + "ids"),
            encoding.ids.clone().into(),
            &case["ids"],
        );
        if let Some(tokens) = case.get("tokens") {
            compare(
                &(at.clone() + "tokens"),
                tokenizer.tokenize(text, of(1), false).unwrap().into(),
                tokens,
            );
            // Where a text ends with its end token, their mask and types are longer than the ids.
            if case["mask"].as_array().unwrap().len() == encoding.ids.len() {
                compare(
                    &(at.clone() + "mask"),
                    encoding.special_tokens_mask.clone().into(),
                    &case["mask"],
                );
                compare(
                    &(at.clone() + "types"),
                    encoding.type_ids.clone().into(),
                    &case["types"],
                );
            }
        }
        if let Some(bare) = case.get("bare") {
            let ids = tokenizer.encode_ids(text, false).unwrap();
            compare(&(at.clone() + "bare"), ids.len().into(), bare);
        }
        let ids = numbers(&case["ids"]);
        compare(
            &(at.clone() + "decoded"),
            decode(&ids, false),
            &case["decoded"],
        );
        let skipped = case.get("skipped").unwrap_or(&case["decoded"]);
        compare(&(at + "skipped"), decode(&ids, true), skipped);
    }
    for case in entry["decodes"].as_array().unwrap() {
        let ids = numbers(&case["ids"]);
        compare(
            &format!("{ids:?} decoded"),
            decode(&ids, false),
            &case["decoded"],
        );
        compare(
            &format!("{ids:?} skipped"),
            decode(&ids, true),
            &case["skipped"],
        );
    }
    for cut in entry["cuts"].as_array().unwrap() {
        let length = count(&cut[0]);
        let options = EncodeOptions::default()
            .with_truncation(Truncation::LongestFirst)
            .with_max_length(length);
        let pair = (texts[3].as_str(), texts[2].as_str());
        let ids = tokenizer.encode_with(pair, &options).unwrap().ids;
        compare(&format!("cut to {length}"), ids.into(), &cut[1]);
    }
    found
}

#[test]
fn as_transformers_has_them() {
    let golden = golden();
    let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
    let folders = golden["folders"].as_array().unwrap();
    let different = folders.iter().flat_map(|entry| {
        let found = check(entry, &texts);
        found
            .into_iter()
            .map(move |what| format!("{}: {what}", entry["name"]))
    });
    let different: Vec<String> = different.collect();
    assert!(
        different.is_empty(),
        "{} differ\n{}",
        different.len(),
        different.join("\n")
    );
    assert!(folders.len() > 15);
}

#[test]
fn what_is_refused() {
    let refused = |entry: &Value| load(entry).unwrap_err();
    assert_eq!(
        refused(&entry("ctc-unknown-language")),
        "tokenizer_config.json: target_lang: the file has no language \"fra\", but eng"
    );
    assert_eq!(
        refused(&entry("ctc-nested")),
        "vocab.json: \"eng\": it holds vocabularies by language; name one as target_lang"
    );
    let mut alone = entry("esm");
    alone["files"] = serde_json::json!({});
    assert_eq!(
        refused(&alone),
        "no files for a EsmTokenizer: looked for vocab.txt; found tokenizer_config.json"
    );
    let mut beside = entry("byt5");
    beside["files"] = serde_json::json!({"tokenizer.json": "{}"});
    assert!(refused(&beside).contains("does not read the tokenizer.json beside it"));
    let mut word = entry("byt5-saved");
    word["tokenizer_config"]["added_tokens_decoder"]["260"]["single_word"] = true.into();
    assert_eq!(
        refused(&word),
        "tokenizer_config.json: added_tokens_decoder[\"260\"]: single_word is not supported for this class"
    );
    word["tokenizer_config"]["added_tokens_decoder"] =
        serde_json::json!({"70": {"content": "<x>"}});
    assert_eq!(
        refused(&word),
        "tokenizer_config.json: model.vocab[\"<x>\"]: the id 70 is another token's already"
    );
    let mut twice = entry("esm");
    twice["files"]["vocab.txt"] = "<unk>\n<pad>\n<mask>\nA\nA\n<cls>\n<eos>".into();
    assert_eq!(
        refused(&twice),
        "vocab.txt: model.vocab[\"A\"]: the token is listed twice"
    );
    let mut tokenizer = load(&entry("ctc")).unwrap();
    let rest = EncodeOptions::default()
        .with_truncation(Truncation::LongestFirst)
        .with_max_length(2)
        .with_return_overflowing_tokens(true);
    let rest = tokenizer.encode_with("HELLO", &rest).unwrap_err();
    assert!(rest.to_string().contains("cut a text in parts"));
    assert!(
        tokenizer
            .add_tokens(["new"])
            .unwrap_err()
            .to_string()
            .contains("added_tokens_decoder")
    );
    let folder = std::env::temp_dir().join("hfcore-python-class");
    assert!(
        tokenizer
            .save_pretrained(&folder)
            .unwrap_err()
            .to_string()
            .contains("keep its own files")
    );
}
