//! Files that are wrong or meant to harm: each is refused, by name, before the engine sees it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hfcore_tokenize::{TokenizeError, Tokenizer, Value};
use serde_json::json;

/// A word-level tokenizer with `key` set to `value`.
fn with(key: &str, value: Value) -> Value {
    let mut file = json!({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}});
    file[key] = value;
    file
}

fn load(file: &Value) -> Result<Tokenizer, TokenizeError> {
    Tokenizer::from_slices(file.to_string().as_bytes(), None)
}

fn refused(key: &str, value: Value) -> String {
    load(&with(key, value)).unwrap_err().to_string()
}

#[test]
fn what_makes_the_engine_panic_or_abort() {
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["ab", "ab"]]});
    assert_eq!(
        refused("model", bpe),
        "tokenizer.json: model.merges[0]: \"ab\" and \"ab\" make a token longer than any in the vocabulary"
    );
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]], "continuing_subword_prefix": "##"});
    assert_eq!(
        refused("model", bpe),
        "tokenizer.json: model.merges[0]: \"b\" does not begin with the continuing_subword_prefix \"##\""
    );
    let template = json!({"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]});
    assert_eq!(
        refused("post_processor", template),
        "tokenizer.json: post_processor.single[0]: the template names \"[CLS]\", which special_tokens does not have"
    );
    assert_eq!(
        refused("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        "tokenizer.json: pre_tokenizer: FixedLength needs a `length` of at least 1, found 0"
    );
    assert_eq!(
        refused(
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="})
        ),
        "tokenizer.json: normalizer: precompiled_charsmap: the trie is empty"
    );
    let padding = json!({"strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    assert_eq!(
        refused("padding", padding),
        "tokenizer.json: padding.strategy.Fixed: expected 0..=16777216 tokens, found 1000000000000"
    );
    let tenfold = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    let chained = with(
        "normalizer",
        json!({"type": "Sequence", "normalizers": vec![tenfold; 9]}),
    );
    // The engine would drop this error and go on with the text as far as it got.
    let tokenizer = load(&chained).unwrap();
    assert!(tokenizer.encode("b", false).is_ok());
    let error = tokenizer.encode("a", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the normalizer turned 1 bytes into 100, more than the limit of 96"
    );
}

#[test]
fn other_absurdities() {
    let added = |id: u64, content: &str| {
        json!([{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true}])
    };
    assert_eq!(
        refused("added_tokens", added(2, "")),
        "tokenizer.json: added_tokens[0]: the content is empty"
    );
    assert_eq!(
        refused("added_tokens", added(4_294_967_295, "x")),
        "tokenizer.json: added_tokens[0]: expected an id below 8388608, found 4294967295"
    );
    let stale = json!({"type": "BertProcessing", "sep": ["[SEP]", 99], "cls": ["a", 1]});
    assert_eq!(
        refused("post_processor", stale),
        "tokenizer.json: post_processor.sep: the id 99 is no token's"
    );
    assert_eq!(
        refused("version", json!("2.0")),
        "tokenizer.json: version: the version \"2.0\" is not supported"
    );
    let stride =
        json!({"stride": 1e18, "max_length": 0, "strategy": "LongestFirst", "direction": "Right"});
    assert!(
        refused("truncation", stride)
            .starts_with("tokenizer.json: truncation.stride: expected 0..=16777216")
    );
    assert!(
        Tokenizer::from_slices(b"{", None)
            .unwrap_err()
            .to_string()
            .starts_with("tokenizer.json does not parse: ")
    );
    assert_eq!(
        load(&json!({})).unwrap_err().to_string(),
        "tokenizer.json: model: missing"
    );
    let deep = "[".repeat(100_000);
    assert!(Tokenizer::from_slices(deep.as_bytes(), None).is_err());
    let deep = format!(
        "{{\"normalizer\": {}}}",
        "{\"type\":\"Sequence\",\"normalizers\":[".repeat(50_000)
    );
    assert!(Tokenizer::from_slices(deep.as_bytes(), None).is_err());
}

#[test]
fn sparse_ids_cost_nothing_and_lengths_in_the_file_are_not_applied() {
    let config = br#"{"added_tokens_decoder": {"4294967295": {"content": "<x>", "special": true}}, "model_max_length": 2}"#;
    let padding = json!({"strategy": {"Fixed": 50}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "a"});
    let tokenizer = Tokenizer::from_slices(
        with("padding", padding).to_string().as_bytes(),
        Some(config),
    )
    .unwrap();
    // As in transformers, the token gets the next id, whatever the file says.
    assert_eq!(tokenizer.token_to_id("<x>"), Some(2));
    assert_eq!(
        tokenizer.encode("a a a <x>", true).unwrap().ids,
        [1, 1, 1, 2]
    );
}

#[test]
fn a_word_without_a_token_is_an_error_not_a_panic() {
    let model = json!({"type": "WordLevel", "unk_token": "nowhere", "vocab": {"a": 0}});
    let error = load(&with("model", model))
        .unwrap()
        .encode("b", true)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the text cannot be encoded: "),
        "{error}"
    );
}

#[test]
fn a_pattern_that_gives_up_never_changes_tokens() {
    let hard = json!({"Regex": r"(a*)*\1b(?!c)"});
    let split = json!({"type": "Split", "pattern": hard, "behavior": "Isolated", "invert": false});
    let replace = json!({"type": "Replace", "pattern": hard, "content": ""});
    for (key, value) in [("pre_tokenizer", split), ("normalizer", replace)] {
        let tokenizer = load(&with(key, value)).unwrap();
        assert_eq!(tokenizer.encode("a", false).unwrap().ids, [1]);
        let error = tokenizer.encode(&"a".repeat(100), false).unwrap_err();
        assert!(
            matches!(error, TokenizeError::PatternGaveUp { length: 100, .. }),
            "{error}"
        );
    }
}

/// reliability: a replacement, a normalizer of the engine and a character map that together multiply a text.
#[test]
fn normalizers_that_grow_end_at_the_budget() {
    let sequence = |stages: Value| json!({"type": "Sequence", "normalizers": stages});
    let wide = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "\u{fdfa}"});
    let grow = sequence(json!([wide, {"type": "NFKD"}, {"type": "NFKC"}]));
    let error = load(&with("normalizer", grow))
        .unwrap()
        .encode(&"a".repeat(1 << 16), false)
        .unwrap_err();
    assert!(
        matches!(
            error,
            TokenizeError::NormalizerGrowth {
                limit: 2_097_216,
                ..
            }
        ),
        "{error}"
    );
    // Nothing is put in between any two characters.
    let between =
        json!({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "y".repeat(100)});
    let error = load(&with("normalizer", between))
        .unwrap()
        .encode(&"a".repeat(1000), false)
        .unwrap_err();
    assert!(
        matches!(error, TokenizeError::NormalizerGrowth { .. }),
        "{error}"
    );
}

#[test]
fn decoders_that_grow_are_refused() {
    let tenfold = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    assert_eq!(
        refused(
            "decoder",
            json!({"type": "Sequence", "decoders": vec![tenfold; 9]})
        ),
        "tokenizer.json: decoder.decoders[1]: decoding that makes a text 100 times as long is not supported"
    );
}

#[test]
fn long_pieces_and_words_are_refused_by_a_limit_that_names_itself() {
    let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["x".repeat(60_000), -1.0]]});
    assert!(refused("model", unigram).ends_with("has 60000 bytes; at most 1024 are read"));
    let word_piece = json!({"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"?": 0, "x".repeat(2000): 1}});
    assert!(refused("model", word_piece).ends_with("has 2000 bytes; at most 1024 are read"));
}

/// As much work as there is text, whatever is in it: each took seconds with the engine's own models, or would if it
/// looked at all of a word for each of its letters.
#[test]
fn one_letter_again_and_again_is_encoded_by_every_model() {
    let tokens: Vec<String> = (1..100).map(|count| "a".repeat(count)).collect();
    let ids = |prefix: &str| -> Value {
        let tokens = tokens.iter().map(|token| format!("{prefix}{token}"));
        tokens
            .chain(["a".to_owned(), "?".to_owned()])
            .zip(0..)
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .map(|(token, id)| (token, Value::from(id)))
            .collect()
    };
    let scores: Vec<Value> = tokens.iter().map(|token| json!([token, -1.0])).collect();
    let merges: Vec<[&str; 2]> = tokens
        .iter()
        .map(|token| [token.as_str(), "a"])
        .take(98)
        .collect();
    let models = [
        json!({"type": "Unigram", "vocab": scores}),
        json!({"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 10_000, "vocab": ids("##")}),
        json!({"type": "BPE", "vocab": ids(""), "merges": merges}),
    ];
    for model in models {
        let kind = model["type"].clone();
        let mut file = with("model", model);
        file["pre_tokenizer"] = Value::Null;
        let tokenizer = load(&file).unwrap();
        // A mebibyte, where the build is optimised.
        let length: usize = if cfg!(debug_assertions) {
            1 << 17
        } else {
            1 << 20
        };
        let text = "a".repeat(length);
        let count = tokenizer.encode(&text, false).unwrap().len();
        // WordPiece takes it for one unknown word.
        assert!(count == 1 || length / 99 <= count, "{kind}: {count}");
        file["pre_tokenizer"] = json!({"type": "FixedLength", "length": 9_999});
        let words = load(&file).unwrap().encode(&text, false).unwrap();
        assert!(words.len() >= length / 99, "{kind}: {}", words.len());
    }
}

#[test]
fn many_and_overlapping_added_tokens() {
    let added = |content: String, id: usize| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": false})
    };
    let nested: Vec<Value> = (1..=64)
        .map(|count| added("<".repeat(count), count + 1))
        .chain((0..20_000).map(|at| added(format!("<tok{at}>"), at + 66)))
        .collect();
    let tokenizer = load(&with("added_tokens", nested.into())).unwrap();
    // The longest first, as always.
    let encoding = tokenizer
        .encode(&format!("{} <tok19999>", "<".repeat(70)), false)
        .unwrap();
    assert_eq!(
        encoding.tokens,
        ["<".repeat(64), "<".repeat(6), "<tok19999>".to_owned()]
    );
    let one = added("x".to_owned(), 2).to_string() + ",";
    let many = format!(
        r#"{{"added_tokens": [{}{}], "model": {{"type": "WordLevel", "unk_token": "?", "vocab": {{"?": 0}}}}}}"#,
        one.repeat(1 << 20),
        one.trim_end_matches(',')
    );
    assert_eq!(
        Tokenizer::from_slices(many.as_bytes(), None)
            .unwrap_err()
            .to_string(),
        "tokenizer.json: added_tokens: 1048577 tokens; at most 1048576 are read"
    );
    // A token that the normalizer makes nothing of is found between any two characters, as in Python.
    let mut file = with(
        "added_tokens",
        json!([{"id": 2, "content": "\u{301}", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": true, "special": false}]),
    );
    file["normalizer"] = json!({"type": "StripAccents"});
    let tokenizer = load(&file).unwrap();
    for (text, ids) in [
        ("a a", &[1, 1][..]),
        ("ab", &[1, 0]),
        ("\u{301}", &[]),
        ("", &[]),
    ] {
        assert_eq!(tokenizer.encode(text, false).unwrap().ids, ids, "{text:?}");
    }
}

#[test]
fn decoding_any_ids_and_long_runs_of_bytes() {
    let vocab: Value = (0..256)
        .map(|byte| (format!("<0x{byte:02X}>"), Value::from(byte)))
        .chain([
            ("a".to_owned(), Value::from(300)),
            ("?".to_owned(), Value::from(4_000_000)),
        ])
        .collect();
    let mut file = with(
        "model",
        json!({"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true}),
    );
    file["decoder"] =
        json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]});
    file["pre_tokenizer"] = Value::Null;
    let tokenizer = load(&file).unwrap();
    assert_eq!(
        tokenizer.decode(&[u32::MAX, 299, 300, 5_000_000], true),
        "a"
    );
    // A run of bytes is text or not as a whole.
    let mut ids: Vec<u32> = [0xe2, 0x82, 0xac].repeat(300_000);
    assert_eq!(tokenizer.decode(&ids, false), "€".repeat(300_000));
    ids.pop();
    assert_eq!(tokenizer.decode(&ids, false), "\u{fffd}".repeat(899_999));
    let mut stream = tokenizer.decode_stream(false);
    assert!(ids.iter().all(|&id| stream.push(id).is_none()));
    assert_eq!(stream.finish().unwrap().chars().count(), 899_999);
    assert_eq!(
        tokenizer.encode("€a", false).unwrap().ids,
        [0xe2, 0x82, 0xac, 300]
    );
}
