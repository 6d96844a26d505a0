//! Folders with tokenizers of every class against transformers' `AutoTokenizer` (`make_slow.py`, `make_classes.py`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hfcore_tokenize::{Tokenizer, TokenizerFiles, Value};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(tests().join(path)).unwrap()).unwrap()
}

/// The files of a folder, which an entry names or holds.
fn files(entry: &Value, shared: &str) -> TokenizerFiles {
    let mut files = TokenizerFiles::new();
    for (name, source) in entry["files"].as_object().unwrap() {
        let bytes = match source {
            Value::String(source) => std::fs::read(tests().join(shared).join(source)).unwrap(),
            value => serde_json::to_vec(value).unwrap(),
        };
        files.insert(name, bytes);
    }
    for (name, key) in [
        ("tokenizer_config.json", "tokenizer_config"),
        ("config.json", "config"),
    ] {
        if let Some(value) = entry.get(key).filter(|value| !value.is_null()) {
            files.insert(name, serde_json::to_vec(value).unwrap());
        }
    }
    files
}

fn numbers(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

/// What differs between a folder and its record.
fn differences(entry: &Value, texts: &[&str], shared: &str) -> Vec<String> {
    let tokenizer = Tokenizer::from_files(&files(entry, shared), entry["model_type"].as_str());
    let tokenizer = match (tokenizer, entry.get("refused")) {
        (Ok(_), Some(refused)) => return vec![format!("transformers refuses it: {refused}")],
        (Err(_), Some(_)) => return Vec::new(),
        (Err(error), None) => return vec![format!("does not load: {error}")],
        (Ok(tokenizer), None) => tokenizer,
    };
    let mut found = Vec::new();
    let mut compare = |what: String, ours: String, theirs: String| {
        if ours != theirs {
            found.push(format!("{what}\n    ours   {ours}\n    theirs {theirs}"));
        }
    };
    compare(
        "class".to_owned(),
        tokenizer.class().to_owned(),
        entry["class"].as_str().unwrap().to_owned(),
    );
    let named: BTreeMap<&str, &str> = tokenizer.special_tokens_map().collect();
    let theirs: BTreeMap<&str, &str> = entry["special_tokens"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, token)| (name.as_str(), token.as_str().unwrap()))
        .collect();
    compare(
        "special tokens".to_owned(),
        format!("{named:?}"),
        format!("{theirs:?}"),
    );
    if let Some(extra) = entry.get("extra") {
        let extra: Vec<&str> = extra
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t.as_str().unwrap())
            .collect();
        compare(
            "extra tokens".to_owned(),
            format!("{:?}", tokenizer.extra_special_tokens()),
            format!("{extra:?}"),
        );
    }
    if let Some(side) = entry.get("padding_side") {
        let ours = format!("{:?}", tokenizer.padding_side()).to_lowercase();
        compare(
            "padding side".to_owned(),
            ours,
            side.as_str().unwrap().to_owned(),
        );
    }
    if let Some(length) = entry.get("len") {
        compare(
            "length".to_owned(),
            tokenizer.len().to_string(),
            length.to_string(),
        );
    }
    for case in entry["cases"].as_array().unwrap() {
        let text = texts[usize::try_from(case["text"].as_u64().unwrap()).unwrap()];
        let encoding = match case.get("pair") {
            Some(pair) => {
                let pair = texts[usize::try_from(pair.as_u64().unwrap()).unwrap()];
                tokenizer.encode_pair(text, pair, true)
            }
            None => tokenizer.encode(text, true),
        };
        let at = format!(
            "{text:?} {}",
            case.get("pair")
                .map_or(String::new(), |pair| format!("with {pair}"))
        );
        let encoding = match (encoding, case.get("error")) {
            (Ok(encoding), None) => encoding,
            (Err(_), Some(_)) => continue,
            (Ok(encoding), Some(_)) => {
                compare(
                    format!("{at}: encode"),
                    format!("{:?}", encoding.ids),
                    "an error".to_owned(),
                );
                continue;
            }
            (Err(error), None) => {
                compare(
                    format!("{at}: encode"),
                    error.to_string(),
                    case["ids"].to_string(),
                );
                continue;
            }
        };
        let ids = numbers(&case["ids"]);
        compare(
            format!("{at}: ids {:?}", encoding.tokens),
            format!("{:?}", encoding.ids),
            format!("{ids:?}"),
        );
        if let Some(types) = case.get("types") {
            compare(
                format!("{at}: types"),
                format!("{:?}", encoding.type_ids),
                format!("{:?}", numbers(types)),
            );
        }
        if let Some(offsets) = case.get("offsets") {
            // As differences: start from the last end, length.
            let mut ours = Vec::new();
            let mut end = 0_i64;
            for range in &encoding.char_offsets {
                let (from, to) = (
                    i64::try_from(range.start).unwrap(),
                    i64::try_from(range.end).unwrap(),
                );
                ours.extend([from - end, to - from]);
                end = to;
            }
            let theirs: Vec<i64> = offsets
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_i64().unwrap())
                .collect();
            compare(
                format!("{at}: offsets"),
                format!("{ours:?}"),
                format!("{theirs:?}"),
            );
        }
        for (key, skip) in [("decoded", false), ("skipped", true)] {
            if let Some(decoded) = case.get(key) {
                let ours = tokenizer.decode(&ids, skip);
                compare(
                    format!("{at}: {key}"),
                    format!("{ours:?}"),
                    format!("{:?}", decoded.as_str().unwrap()),
                );
                let mut stream = tokenizer.decode_stream(skip);
                let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
                streamed.extend(stream.finish());
                compare(
                    format!("{at}: {key}, streamed"),
                    format!("{streamed:?}"),
                    format!("{ours:?}"),
                );
            }
        }
    }
    found
}

fn walk(path: &str, shared: &str) {
    let record = json(path);
    let texts: Vec<&str> = record["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    let mut report = String::new();
    let folders = record["folders"].as_array().unwrap();
    assert!(folders.len() > 50);
    let mut wrong = 0;
    for entry in folders {
        // Where transformers finds no file of its name, it makes a tokenizer of nothing but the special tokens.
        if entry["class"] == "XGLMTokenizer"
            && entry["files"].get("sentencepiece.bpe.model").is_some()
        {
            let error = Tokenizer::from_files(&files(entry, shared), Some("xglm")).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("no files for a XGLMTokenizer: looked for tokenizer.json")
            );
            continue;
        }
        let found = differences(entry, &texts, shared);
        if !found.is_empty() {
            wrong += 1;
            report += &format!("{}: {} differences\n", entry["name"], found.len());
            for one in found.iter().take(3) {
                report += &format!("  {one}\n");
            }
        }
    }
    assert!(
        report.is_empty(),
        "{wrong} of {} folders differ\n{report}",
        folders.len()
    );
}

#[test]
fn folders_without_tokenizer_json() {
    walk("slow/slow.json", "slow");
}

#[test]
fn folders_with_tokenizer_json() {
    walk("classes/classes.json", "classes");
}

/// A folder of `classes.json`.
fn load(name: &str) -> Tokenizer {
    let record = json("classes/classes.json");
    let folders = record["folders"].as_array().unwrap();
    let entry = folders.iter().find(|entry| entry["name"] == name).unwrap();
    Tokenizer::from_files(&files(entry, "classes"), None).unwrap()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, true).unwrap().ids
}

/// Numbers as transformers gives them for the same folders after the same assignments.
#[test]
fn languages_of_translation_models() {
    let nllb = load("NllbTokenizer");
    assert_eq!((nllb.src_lang(), nllb.tgt_lang()), (Some("eng_Latn"), None));
    assert_eq!(ids(&nllb, "Tea"), [621, 620, 2]);
    let german = nllb.with_src_lang("deu_Latn").unwrap();
    assert_eq!(ids(&german, "Tea"), [666, 620, 2]);
    let pair = german.encode_pair("Tea", "Tea", true).unwrap();
    assert_eq!(pair.ids, [666, 620, 620, 2]);
    let french = german.with_tgt_lang("fra_Latn").unwrap();
    assert_eq!(ids(&french, "Tea"), [666, 620, 2]);
    assert_eq!(ids(&french.as_target().unwrap(), "Tea"), [680, 620, 2]);
    assert_eq!(french.language_id("fra_Latn"), Some(680));
    // The first one is as it was.
    assert_eq!(ids(&nllb, "Tea"), [621, 620, 2]);

    let mbart = load("mbart-ro");
    assert_eq!(ids(&mbart, "Tea"), [7, 3, 16, 134, 2, 262]);
    let target = mbart.as_target().unwrap();
    assert_eq!(ids(&target, "Tea"), [7, 3, 16, 134, 2, 261]);

    let seamless = load("seamless-deu");
    assert_eq!(seamless.src_lang(), Some("__deu__"));
    assert_eq!(ids(&seamless, "Tea"), [624, 620, 2]);
    assert_eq!(seamless.language_id("eng"), seamless.token_to_id("__eng__"));

    let unknown = nllb.with_src_lang("xxx_Latn").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "tokenizer_config.json: src_lang: the vocabulary has no language code \"xxx_Latn\""
    );
    let none = load("BertTokenizer").with_src_lang("de").unwrap_err();
    assert_eq!(
        none.to_string(),
        "the tokenizer class BertTokenizer is not supported: it has no languages to choose from"
    );
}

/// Likewise.
#[test]
fn whisper() {
    let german = load("whisper-de");
    assert_eq!(german.prefix_tokens().unwrap(), [402, 405, 407, 409]);
    assert_eq!(ids(&german, "Tea"), [402, 405, 407, 409, 401, 400]);
    let chinese = german
        .with_prefix_tokens(Some("zh"), Some("translate"), Some(true))
        .unwrap();
    assert_eq!(ids(&chinese, "Tea"), [402, 404, 406, 401, 400]);
    assert_eq!(
        chinese
            .decoder_prompt_ids(Some("transcribe"), Some("english"), true)
            .unwrap(),
        [(1, 403), (2, 407), (3, 409)]
    );
    assert_eq!(
        german.prompt_ids(" the quick\n").unwrap(),
        [408, 311, 225, 85, 89, 77, 71, 79]
    );
    assert!(
        german
            .prompt_ids("the <|endoftext|>")
            .unwrap_err()
            .to_string()
            .contains("\"<|endoftext|>\"")
    );
    let refused = german.with_prefix_tokens(Some("klingon"), None, None);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("tokenizer_config.json: language: expected a name or code")
    );

    let heard = [
        408, 88, 265, 402, 410, 88, 265, 460, 460, 85, 89, 510, 420, 77, 71, 450,
    ];
    assert_eq!(
        german.decode(&heard, false),
        "<|startofprev|>the<|startoftranscript|>thequic"
    );
    assert_eq!(german.decode(&heard, true), "thequic");
    let timed = "<|0.00|>the<|1.00|><|1.00|>qu<|2.00|><|30.20|>ic<|30.80|>";
    assert_eq!(german.decode_with_timestamps(&heard, true).unwrap(), timed);
    let parts = german.timed_texts(&heard).unwrap();
    let found: Vec<String> = parts
        .iter()
        .map(|part| {
            let (from, to) = part.timestamp;
            format!("{from:.2}-{to:.2} {}", part.text)
        })
        .collect();
    assert_eq!(found, ["0.00-1.00 the", "1.00-2.00 qu", "30.20-30.80 ic"]);
    assert!(load("BertTokenizer").prefix_tokens().is_err());
}

#[test]
fn refusals_name_files_and_remedies() {
    let mut files = TokenizerFiles::new();
    files.insert("config.json", r#"{"model_type": "bert"}"#);
    let none = Tokenizer::from_files(&files, None).unwrap_err();
    assert_eq!(
        none.to_string(),
        "no files for a BertTokenizer: looked for tokenizer.json, vocab.txt, tokenizer.model, tekken.json, \
         tiktoken.model; found config.json"
    );
    files.insert("config.json", r#"{"model_type": "biogpt"}"#);
    let library = Tokenizer::from_files(&files, None).unwrap_err().to_string();
    assert!(
        library.starts_with(
            "the tokenizer class BioGptTokenizer is not supported: it splits text with"
        ),
        "{library}"
    );
    files.insert("config.json", r#"{"model_type": "nosuch"}"#);
    let code = r#"{"auto_map": {"AutoTokenizer": ["x.Slow", null]}, "tokenizer_class": "MadeUp"}"#;
    files.insert("tokenizer_config.json", code);
    let code = Tokenizer::from_files(&files, None).unwrap_err().to_string();
    assert!(
        code.contains("MadeUp") && code.contains("Python code in the repository"),
        "{code}"
    );
}
