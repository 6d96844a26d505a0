//! Thousands of broken tokenizer.json files, the same on every run: none may panic, and what loads must work.
//!
//! The targets for libFuzzer are in `fuzz/` at the repository's root and hold the same invariants.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus_files;

use corpus_files::Corpus;
use hfcore_tokenize::{TokenizeError, Tokenizer};
use serde_json::{Value, json};

/// Small deterministic generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// The files of the corpus with the first tokens of their vocabularies, so that a mutant hits something else too.
fn seeds() -> Vec<Value> {
    let corpus = Corpus::read();
    let small = |(_, file): &(String, Value)| {
        let mut file = file.clone();
        match &mut file["model"]["vocab"] {
            Value::Object(vocab) => {
                let kept = vocab.iter().filter(|(_, id)| id.as_u64().unwrap() < 60);
                *vocab = kept
                    .map(|(token, id)| (token.clone(), id.clone()))
                    .collect();
            }
            Value::Array(pieces) => pieces.truncate(60),
            _ => {}
        }
        if let Some(Value::Array(merges)) = file["model"].get("merges").cloned().as_ref() {
            let vocab = &file["model"]["vocab"];
            let token = |part: &Value| vocab.get(part.as_str().unwrap()).is_some();
            let kept = merges.iter().filter(|merge| {
                let joined: String = [&merge[0], &merge[1]]
                    .map(|part| part.as_str().unwrap())
                    .concat();
                token(&merge[0]) && token(&merge[1]) && vocab.get(&joined).is_some()
            });
            file["model"]["merges"] = kept.take(20).cloned().collect();
        }
        file
    };
    corpus.tokenizers.iter().map(small).collect()
}

/// Values that files were seen to break at.
fn bad_values() -> Vec<Value> {
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let mut values = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(7),
        json!(1e18),
        json!(4_294_967_295_u32),
        json!(18_446_744_073_709_551_615_u64),
        json!(0.5),
        json!(""),
        json!("a"),
        json!(" "),
        json!("\u{0}"),
        json!("é"),
        json!("</s>"),
        json!("##"),
        json!("[UNK]"),
        json!([]),
        json!({}),
        json!([[]]),
        json!(["a", "b"]),
        json!([["a", 0]]),
        json!({"a": 0}),
        json!("a".repeat(70_000)),
        json!("Removed"),
        json!("AAAA"),
        json!({"Regex": "(a+)+$"}),
        json!({"Regex": "(?=a)"}),
        json!({"Regex": ""}),
        json!({"Regex": "("}),
        json!({"Regex": r"(a*)*\1b"}),
        json!({"String": ""}),
        json!({"String": "a"}),
        replace(json!({"Regex": "x*"}), "yy"),
        replace(json!({"String": "a"}), "aaaaaaaaaaaaaaaaaaaaaaaaa"),
        json!({"SpecialToken": {"id": "nowhere", "type_id": 0}}),
        json!({"Sequence": {"id": "B", "type_id": 9}}),
        json!({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 4_000_000_000_u32}}], "pair": [],
            "special_tokens": {}}),
    ];
    for kind in [
        "NFKD",
        "Lowercase",
        "StripAccents",
        "Nmt",
        "ByteLevel",
        "Fuse",
        "ByteFallback",
        "Whitespace",
        "UnicodeScripts",
        "BertPreTokenizer",
        "Metaspace",
        "FixedLength",
        "Sequence",
        "BPE",
        "WordPiece",
        "Unigram",
        "WordLevel",
        "CTC",
        "Strip",
    ] {
        values.push(json!(kind));
        values.push(json!({"type": kind, "length": 1, "content": "a", "start": 1, "stop": 0, "replacement": "▁", "prepend_scheme": "first",
            "split": true, "add_prefix_space": true, "trim_offsets": true, "use_regex": true, "strip_left": true, "strip_right": true,
            "pad_token": "a", "word_delimiter_token": "|", "cleanup": true}));
    }
    values
}

/// All places in a value, as paths.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(object) => {
            // Vocabularies are long and all alike.
            for (key, part) in object.iter().take(12) {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(part, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(parts) => {
            for (index, part) in parts.iter().enumerate().take(6) {
                places(part, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn mutate(file: &mut Value, others: &[Value], bad: &[Value], random: &mut Random) {
    let mut all = Vec::new();
    places(file, "", &mut all);
    let path = random.of(&all).clone();
    let by = match random.below(4) {
        // The same place of another file, or another place of this one.
        0 => random.of(others).pointer(&path).cloned(),
        1 => file.pointer(random.of::<String>(&all)).cloned(),
        _ => Some(random.of(bad).clone()),
    };
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    match (by, file.pointer_mut(parent)) {
        (Some(by), _) if !path.is_empty() => *file.pointer_mut(&path).unwrap() = by,
        (None, Some(Value::Object(object))) => {
            object.remove(key);
        }
        _ => {}
    }
}

/// What holds of every file: it is refused without a panic, or it encodes and decodes without one.
fn check(file: &[u8], config: Option<&[u8]>) -> bool {
    let alive = |error: TokenizeError| {
        assert!(
            !matches!(error, TokenizeError::Panicked { .. }),
            "{error}\n{}",
            String::from_utf8_lossy(file)
        );
        error
    };
    let Ok(tokenizer) = Tokenizer::from_slices(file, config).map_err(alive) else {
        return false;
    };
    for text in [
        "",
        " a",
        "the <s>x</s>  é漢🙂\n\t1²\u{301}",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\u{fdfa}ab [MASK] ##a",
    ] {
        let encoded = tokenizer
            .encode(text, true)
            .and_then(|first| Ok([first, tokenizer.encode_pair(text, "b", true)?]));
        let Ok(encodings) = encoded.map_err(alive) else {
            continue;
        };
        for encoding in encodings {
            let count = encoding.ids.len();
            assert!(encoding.tokens.len() == count && encoding.offsets.len() == count);
            let skip = count % 2 == 0;
            let whole = tokenizer.decode(&encoding.ids, skip);
            let mut stream = tokenizer.decode_stream(skip);
            let mut pieces: String = encoding
                .ids
                .iter()
                .filter_map(|&id| stream.push(id))
                .collect();
            pieces.extend(stream.finish());
            assert_eq!(pieces, whole, "{}", String::from_utf8_lossy(file));
        }
    }
    tokenizer.decode(&[0, 1, 2, 59, 60, u32::MAX], false);
    true
}

#[test]
fn mutated_files_are_refused_or_work() {
    let (seeds, bad) = (seeds(), bad_values());
    let mut random = Random(0x5eed);
    let mut loaded = 0;
    for round in 0..3000 {
        let mut file = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut file, &seeds, &bad, &mut random);
        }
        loaded += usize::from(check(file.to_string().as_bytes(), None));
    }
    // The mutants are neither all refused nor all harmless.
    assert!((300..2700).contains(&loaded), "{loaded}");
}

#[test]
fn files_cut_and_scrambled_are_refused_or_work() {
    let seeds: Vec<String> = seeds().iter().map(Value::to_string).collect();
    let mut random = Random(0xbadc0de);
    for round in 0..1500 {
        let mut bytes = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..=random.below(4) {
            let (at, to) = (random.below(bytes.len()), random.below(bytes.len()));
            match random.below(5) {
                0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                1 => bytes[at] = *random.of(b"{}[]\",:0189nulltrue\\-e."),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    bytes.drain(at.min(to)..at.max(to).min(at.min(to) + 40));
                }
                _ => {
                    let part = bytes[at..(at + 30).min(bytes.len())].to_vec();
                    bytes.splice(to..to, part);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        check(&bytes, None);
    }
}

#[test]
fn mutated_configurations_are_refused_or_work() {
    let tokenizer = seeds().swap_remove(0).to_string();
    let seed = json!({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": true, "special": true}, "pad_token": null,
        "additional_special_tokens": ["<x>", {"content": "<y>", "normalized": true}], "model_max_length": 512, "padding_side": "left",
        "truncation_side": "right", "clean_up_tokenization_spaces": true, "add_bos_token": true, "split_special_tokens": false,
        "added_tokens_decoder": {"0": {"content": "<z>", "single_word": true}, "77": {"content": "w", "rstrip": true}},
        "chat_template": [{"name": "default", "template": "{{ messages }}"}], "model_input_names": ["input_ids"],
        "extra_special_tokens": {"image_token": "<i>"}, "tokenizer_class": "GPT2Tokenizer"});
    let bad = bad_values();
    let mut random = Random(0xc0ffee);
    let mut loaded = 0;
    for _ in 0..1500 {
        let mut config = seed.clone();
        for _ in 0..=random.below(2) {
            mutate(&mut config, std::slice::from_ref(&seed), &bad, &mut random);
        }
        loaded += usize::from(check(
            tokenizer.as_bytes(),
            Some(config.to_string().as_bytes()),
        ));
    }
    assert!((100..1480).contains(&loaded), "{loaded}");
}
