//! The whole use of a tokenizer against transformers: every option of a call, padding, decoding, adding, saving.
//!
//! The results are written by `make_usage.py`; what a row holds is compared by digests of the same JSON.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use hfcore_tokenize::{
    AddedToken, BatchEncoding, DecodeOptions, EncodeInput, EncodeOptions, Encoding, OptionsError,
    Side, SpecialTokens, TokenizeError, Tokenizer,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

mod digest;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    words: Vec<Vec<String>>,
    tokenizers: Map<String, Value>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tokenizers")
        .join(name)
}

fn load(folder: &Path) -> Tokenizer {
    let json = fs::read(folder.join("tokenizer.json")).unwrap();
    let config = fs::read(folder.join("tokenizer_config.json")).unwrap();
    Tokenizer::from_slices(&json, Some(&config)).unwrap()
}

/// Calls `check` with every tokenizer, its name and what Python made of it.
fn each(check: impl Fn(&str, Tokenizer, &Value, &Golden)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/usage.json");
    let golden: Golden = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.tokenizers.len(), 8);
    for (name, value) in &golden.tokenizers {
        check(name, load(&folder(name)), value, &golden);
    }
}

fn side(value: &Value) -> Side {
    if value == "left" {
        Side::Left
    } else {
        Side::Right
    }
}

fn options(value: &Value) -> EncodeOptions {
    let mut options = EncodeOptions::default();
    for (key, value) in value.as_object().unwrap() {
        let flag = || value.as_bool().unwrap();
        let number = || usize::try_from(value.as_u64().unwrap()).unwrap();
        let text = || value.as_str().unwrap();
        options = match key.as_str() {
            "add_special_tokens" => options.with_add_special_tokens(flag()),
            "padding" => options.with_padding(text().parse().unwrap()),
            "truncation" => options.with_truncation(text().parse().unwrap()),
            "max_length" => options.with_max_length(number()),
            "stride" => options.with_stride(number()),
            "pad_to_multiple_of" => options.with_pad_to_multiple_of(number()),
            "padding_side" => options.with_padding_side(side(value)),
            "return_overflowing_tokens" => options.with_return_overflowing_tokens(flag()),
            "return_token_type_ids" => options.with_return_token_type_ids(flag()),
            "return_attention_mask" => options.with_return_attention_mask(flag()),
            "return_special_tokens_mask" => options.with_return_special_tokens_mask(flag()),
            "return_offsets_mapping" => options.with_return_offsets_mapping(flag()),
            "return_length" => options.with_return_length(flag()),
            "split_special_tokens" => options.with_split_special_tokens(flag()),
            other => panic!("{other}"),
        };
    }
    options
}

/// The name that `make_usage.py` has for an error.
fn kind(error: &TokenizeError) -> &'static str {
    match error {
        TokenizeError::InBatch { error, .. } => kind(error),
        TokenizeError::Options(error) => match error {
            OptionsError::NoPadToken => "NoPadToken",
            OptionsError::NotAMultiple { .. } => "NotAMultiple",
            OptionsError::ZeroMultiple => "ZeroMultiple",
            OptionsError::Stride { .. } => "Stride",
            OptionsError::MaxLength { .. } => "MaxLength",
            OptionsError::NoSecond => "NoSecond",
            OptionsError::TooShort { .. } => "TooShort",
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

fn span(range: Option<std::ops::Range<usize>>) -> Value {
    range.map_or(Value::Null, |range| json!([range.start, range.end]))
}

fn row(e: &Encoding) -> Value {
    let tokens = || 0..e.len();
    let spans = |list: &[std::ops::Range<usize>]| -> Value {
        list.iter().map(|range| span(Some(range.clone()))).collect()
    };
    let sequences =
        |of: &dyn Fn(usize) -> Value| -> Value { (0..e.n_sequences()).map(of).collect() };
    json!([
        e.ids,
        e.type_ids,
        e.attention_mask,
        e.special_tokens_mask,
        spans(&e.char_offsets),
        e.tokens,
        e.word_ids,
        e.sequence_ids,
        tokens()
            .map(|t| span(e.token_to_chars(t)))
            .collect::<Value>(),
        tokens()
            .map(|t| json!(e.token_to_word(t)))
            .collect::<Value>(),
        sequences(&|s| (0..12).map(|c| json!(e.char_to_token(c, s))).collect()),
        sequences(&|s| (0..12).map(|c| json!(e.char_to_word(c, s))).collect()),
        sequences(&|s| (0..6).map(|w| span(e.word_to_tokens(w, s))).collect()),
        sequences(&|s| (0..6).map(|w| span(e.word_to_chars(w, s))).collect()),
    ])
}

fn batch(batch: &BatchEncoding) -> Value {
    let keys = batch.keys();
    let samples = keys
        .contains(&"overflow_to_sample_mapping")
        .then(|| batch.overflow_to_sample_mapping());
    let lengths: Vec<usize> = batch.rows().iter().map(Encoding::len).collect();
    let lengths = keys.contains(&"length").then_some(lengths);
    json!([
        keys,
        samples,
        lengths,
        batch.rows().iter().map(row).collect::<Value>()
    ])
}

/// Byte offsets say the same as character offsets.
fn bytes_are_characters(e: &Encoding, input: &[Value], golden: &Golden, words: bool) {
    for token in 0..e.len() {
        let Some(sequence) = e.token_to_sequence(token) else {
            assert_eq!(e.offsets[token], 0..0);
            continue;
        };
        let number = usize::try_from(input[sequence].as_u64().unwrap()).unwrap();
        let text = if words {
            &golden.words[number][e.word_ids[token].unwrap() as usize]
        } else {
            &golden.texts[number]
        };
        let bytes = &e.offsets[token];
        let count = |end: usize| text[..end].chars().count();
        let chars = &e.char_offsets[token];
        assert_eq!(count(bytes.start)..count(bytes.end), *chars, "{text:?}");
    }
}

#[test]
fn every_option_of_a_call() {
    each(|name, tokenizer, expected, golden| {
        for case in expected["product"].as_array().unwrap() {
            let words = case["w"] == true;
            let mut tokenizer = tokenizer.clone();
            if case["l"] == true {
                tokenizer.set_truncation_side(Side::Left);
            }
            if case["p"] == true {
                tokenizer.set_pad_token(tokenizer.eos_token().unwrap().to_owned());
            }
            let at = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
            let items = case["i"].as_array().unwrap();
            let input = |item: &Value| {
                let [text, pair] = [0, 1].map(|which| item.get(which).map(at));
                let text = text.unwrap();
                match (words, pair) {
                    (false, None) => EncodeInput::text(golden.texts[text].as_str()),
                    (false, Some(pair)) => {
                        EncodeInput::from((&*golden.texts[text], &*golden.texts[pair]))
                    }
                    (true, None) => EncodeInput::words(golden.words[text].iter().map(|w| &**w)),
                    (true, Some(pair)) => {
                        EncodeInput::words(golden.words[text].iter().map(|w| &**w))
                            .with_pair_words(golden.words[pair].iter().map(|w| &**w))
                    }
                }
            };
            let options = options(&case["o"]).with_threads(1 + items.len() % 3);
            let result = match tokenizer.encode_batch_with(items.iter().map(input), &options) {
                Err(error) => kind(&error).to_owned(),
                Ok(found) => {
                    for (encoding, &sample) in
                        found.rows().iter().zip(found.overflow_to_sample_mapping())
                    {
                        let item = items[sample].as_array().unwrap();
                        bytes_are_characters(encoding, item, golden, words);
                    }
                    let value = batch(&found);
                    let result = digest::of(&value);
                    if case["r"] != *result {
                        println!("{value}");
                    }
                    result
                }
            };
            assert_eq!(case["r"], *result, "{name}: {case}");
        }
    });
}

#[test]
fn padding_of_ids() {
    each(|name, tokenizer, expected, _| {
        for case in expected["pad"].as_array().unwrap() {
            let ids: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone()).unwrap();
            let encodings = ids
                .iter()
                .map(|ids| tokenizer.encoding_of_ids(ids).unwrap());
            match tokenizer.pad(encodings, &options(&case["options"])) {
                Err(error) => assert_eq!(case["error"], kind(&error), "{name}: {case}"),
                Ok(batch) => {
                    let list = |of: fn(&Encoding) -> &Vec<u32>| -> Value {
                        batch.rows().iter().map(|row| json!(of(row))).collect()
                    };
                    let value = json!([list(|row| &row.ids), list(|row| &row.attention_mask)]);
                    assert_eq!(case["rows"], *digest::of(&value), "{name}: {case} {value}");
                }
            }
        }
    });
}

#[test]
fn decoding() {
    each(|name, tokenizer, expected, _| {
        for case in expected["decode"].as_array().unwrap() {
            let ids: Vec<u32> = serde_json::from_value(case[0].clone()).unwrap();
            let mut decoded = Vec::new();
            for skip in [false, true] {
                for clean in [None, Some(false), Some(true)] {
                    let mut options = DecodeOptions::default().with_skip_special_tokens(skip);
                    if let Some(clean) = clean {
                        options = options.with_clean_up_tokenization_spaces(clean);
                    }
                    let text = tokenizer.decode_with(&ids, options);
                    let mut stream = tokenizer.decode_stream_with(options);
                    let mut pieces = String::new();
                    ids.iter().for_each(|&id| pieces.extend(stream.push(id)));
                    pieces.extend(stream.finish());
                    assert_eq!(pieces, text, "{name}: {ids:?}");
                    decoded.push(text);
                }
            }
            let tokens = tokenizer.convert_ids_to_tokens(&ids, false);
            let mut known: Vec<String> = tokens.iter().flatten().cloned().collect();
            let joined = tokenizer.convert_tokens_to_string(&known).unwrap();
            known.push("no such token".to_owned());
            let value = json!([
                decoded,
                tokenizer.batch_decode(
                    &[&ids[..], &ids[..ids.len().min(2)]],
                    DecodeOptions::default()
                ),
                tokens,
                tokenizer.convert_ids_to_tokens(&ids, true),
                joined,
                tokenizer.convert_tokens_to_ids(&known),
                tokenizer.get_special_tokens_mask(&ids),
            ]);
            assert_eq!(case[1], *digest::of(&value), "{name}: {value}");
        }
    });
}

fn added(tokenizer: &Tokenizer) -> Value {
    let added = tokenizer.get_added_vocab().into_iter();
    added.map(|(token, id)| json!([token, id])).collect()
}

#[test]
fn vocabulary() {
    each(|name, tokenizer, expected, golden| {
        let expected = &expected["vocabulary"];
        let same = |key: &str, found: Value| assert_eq!(expected[key], found, "{key} of {name}");
        let special = [false, true].map(|pair| tokenizer.num_special_tokens_to_add(pair));
        same("special", json!(special));
        same("all_special_tokens", json!(tokenizer.all_special_tokens()));
        same("all_special_ids", json!(tokenizer.all_special_ids()));
        let named = tokenizer.special_tokens_map();
        let named: Map<String, Value> = named
            .map(|(name, token)| (name.to_owned(), token.into()))
            .collect();
        same("special_tokens_map", named.into());
        same("extra", json!(tokenizer.extra_special_tokens()));
        same("added", added(&tokenizer));
        same("len", json!(tokenizer.len()));
        same("vocab_size", json!(tokenizer.vocab_size()));
        // Python sorts texts by code points, which is the order of their bytes.
        let mut vocab: Vec<(String, u32)> = tokenizer.get_vocab().into_iter().collect();
        vocab.sort();
        same("vocab", digest::of(&json!(vocab)).into());
        let tokens = golden
            .texts
            .iter()
            .map(|text| tokenizer.tokenize(text, None, false).unwrap());
        same(
            "tokenize",
            tokens.map(|tokens| digest::of(&json!(tokens))).collect(),
        );
    });
}

fn token(value: &Value) -> AddedToken {
    let flag = |key: &str| value[key] == true;
    let token = AddedToken::new(value["content"].as_str().unwrap())
        .with_single_word(flag("single_word"))
        .with_lstrip(flag("lstrip"))
        .with_rstrip(flag("rstrip"))
        .with_special(flag("special"));
    match value["normalized"].as_bool() {
        Some(normalized) => token.with_normalized(normalized),
        None => token,
    }
}

#[test]
fn adding_tokens() {
    each(|name, mut tokenizer, expected, golden| {
        let before = tokenizer.clone();
        let mut texts = golden.texts.clone();
        texts.push("NEW Helloworld  wörld x xx fox <|tool|>  [PAD]".to_owned());
        for step in expected["adding"].as_array().unwrap() {
            let returned = if let Some(tokens) = step["tokens"].as_array() {
                tokenizer.add_tokens(tokens.iter().map(token)).unwrap()
            } else if let Some(named) = step["special"].as_object() {
                let mut tokens = SpecialTokens::new();
                for (name, token) in named {
                    tokens = tokens.with(name.as_str(), token.as_str().unwrap());
                }
                let extra: Vec<String> =
                    serde_json::from_value(step["extra"].clone()).unwrap_or_default();
                tokens = tokens.with_extra(extra);
                if step["keep"] == true {
                    tokens = tokens.keeping_extra();
                }
                tokenizer.add_special_tokens(tokens).unwrap()
            } else {
                for (name, token) in step["set"].as_object().unwrap() {
                    tokenizer.set_special_token(name, token.as_str()).unwrap();
                }
                let id = tokenizer.eos_token_id().map_or(-1, i64::from);
                assert_eq!(step["returned"], id, "{name}: {step}");
                usize::MAX
            };
            if returned != usize::MAX {
                assert_eq!(step["returned"], returned, "{name}: {step}");
            }
            let ids: Vec<Vec<u32>> = texts
                .iter()
                .map(|text| tokenizer.encode(text, true).unwrap().ids)
                .collect();
            let decoded: Vec<String> = ids.iter().map(|ids| tokenizer.decode(ids, true)).collect();
            let value = json!([
                ids,
                decoded,
                tokenizer.len(),
                added(&tokenizer),
                tokenizer.all_special_tokens(),
                tokenizer.all_special_ids(),
            ]);
            assert_eq!(step["after"], *digest::of(&value), "{name}: {step} {value}");
        }
        // Nobody else's tokenizer has changed.
        assert_eq!(before.len(), load(&folder(name)).len());
    });
}

#[test]
fn saving() {
    each(|name, tokenizer, expected, golden| {
        let dir = std::env::temp_dir().join(format!("hfcore-usage-{}-{name}", std::process::id()));
        let files = tokenizer.save_pretrained(&dir).unwrap();
        assert_eq!(files.len(), 2);
        let config = fs::read_to_string(dir.join("tokenizer_config.json")).unwrap();
        let json = fs::read(dir.join("tokenizer.json")).unwrap();
        let again = load(&dir);
        let second = dir.join("again");
        again.save_pretrained(&second).unwrap();
        assert_eq!(
            fs::read(second.join("tokenizer.json")).unwrap(),
            json,
            "{name}"
        );
        assert_eq!(
            fs::read_to_string(second.join("tokenizer_config.json")).unwrap(),
            config,
            "{name}"
        );
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(
            config,
            expected["saved"]["config"].as_str().unwrap(),
            "{name}"
        );
        assert_eq!(
            digest::of_bytes(&json),
            expected["saved"]["file"].as_str().unwrap(),
            "{name}"
        );
        for text in &golden.texts {
            assert_eq!(again.encode(text, true), tokenizer.encode(text, true));
        }
    });
}
