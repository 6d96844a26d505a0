//! Ten trained tokenizers against transformers: ids, offsets, masks, decoding, on texts of every kind.
//!
//! The files are written by `make_tokenizers.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hfcore_tokenize::{Encoding, Side, Tokenizer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    pairs: Vec<Pair>,
    decode: Vec<Decoded>,
    vocab_size: usize,
    len: usize,
    special_tokens_map: Map<String, Value>,
    special_ids: Vec<u32>,
    padding_side: String,
    model_max_length: Option<usize>,
}

#[derive(Deserialize)]
struct Record {
    ids: Vec<u32>,
    /// Starts relative to the end before, ends relative to the start; in characters.
    offsets: Vec<isize>,
    /// Where the mask of special tokens is 1.
    special: Vec<usize>,
    types: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Case {
    text: usize,
    #[serde(flatten)]
    record: Record,
    /// Whether special tokens were added.
    #[serde(default)]
    plain: bool,
    decoded: Option<String>,
    skipped: Option<String>,
}

#[derive(Deserialize)]
struct Pair {
    texts: [usize; 2],
    #[serde(flatten)]
    record: Record,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    decoded: String,
    skipped: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizers")
}

fn json<T: DeserializeOwned>(path: PathBuf) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Calls `check` with every tokenizer, its name, its reference and the texts.
fn each(check: impl Fn(&str, &Tokenizer, &Reference, &[String])) {
    let texts: Vec<String> = json(root().join("texts.json"));
    let mut count = 0;
    for entry in fs::read_dir(root()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let config = fs::read(folder.join("tokenizer_config.json")).unwrap();
        let tokenizer = Tokenizer::from_slices(
            &fs::read(folder.join("tokenizer.json")).unwrap(),
            Some(&config),
        );
        let name = folder.file_name().unwrap().to_str().unwrap();
        let tokenizer = tokenizer.unwrap_or_else(|error| panic!("{name}: {error}"));
        check(
            name,
            &tokenizer,
            &json(folder.join("reference.json")),
            &texts,
        );
        count += 1;
    }
    assert_eq!(count, 10);
}

fn same(encoding: &Encoding, record: &Record, texts: [&str; 2], what: &str) {
    assert_eq!(encoding.ids, record.ids, "ids of {what}");
    let mut end = 0;
    let expected: Vec<Range<usize>> = record
        .offsets
        .chunks(2)
        .map(|pair| {
            let start = end + pair[0];
            end = start + pair[1];
            start.try_into().unwrap()..end.try_into().unwrap()
        })
        .collect();
    assert_eq!(
        encoding.char_offsets, expected,
        "character offsets of {what}"
    );
    for (index, (bytes, chars)) in encoding.offsets.iter().zip(&expected).enumerate() {
        let text = texts[encoding.sequence_ids[index].unwrap_or(0)];
        let counted = text[..bytes.start].chars().count()..text[..bytes.end].chars().count();
        assert_eq!(counted, *chars, "byte offsets of token {index} of {what}");
    }
    let special: Vec<usize> = (0..encoding.len())
        .filter(|&at| encoding.special_tokens_mask[at] == 1)
        .collect();
    assert_eq!(special, record.special, "special tokens of {what}");
    let types = record
        .types
        .clone()
        .unwrap_or_else(|| vec![0; encoding.len()]);
    assert_eq!(encoding.type_ids, types, "type ids of {what}");
    assert_eq!(encoding.attention_mask, vec![1; encoding.len()]);
    assert_eq!(encoding.tokens.len(), encoding.len());
    assert_eq!(encoding.word_ids.len(), encoding.len());
}

#[test]
fn encoding() {
    each(|name, tokenizer, reference, texts| {
        for case in &reference.cases {
            let text = &texts[case.text];
            let what = format!("{name}: {text:?}");
            let encoding = tokenizer.encode(text, true).unwrap();
            same(&encoding, &case.record, [text, ""], &what);
            let plain = tokenizer.encode(text, false).unwrap();
            assert_eq!(
                plain.ids != encoding.ids,
                case.plain,
                "special tokens added to {what}"
            );
        }
        for pair in &reference.pairs {
            let [a, b] = pair.texts.map(|text| texts[text].as_str());
            let encoding = tokenizer.encode_pair(a, b, true).unwrap();
            same(
                &encoding,
                &pair.record,
                [a, b],
                &format!("{name}: {a:?} and {b:?}"),
            );
        }
        let batch = tokenizer.encode_batch(&texts[..5], true).unwrap();
        assert_eq!(batch[3], tokenizer.encode(&texts[3], true).unwrap());
    });
}

/// Decodes at once and as a stream, which must agree.
fn decode(tokenizer: &Tokenizer, ids: &[u32], skip_special_tokens: bool) -> String {
    let whole = tokenizer.decode(ids, skip_special_tokens);
    let mut stream = tokenizer.decode_stream(skip_special_tokens);
    let mut pieces: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
    pieces.extend(stream.finish());
    assert_eq!(pieces, whole, "stream of {ids:?}");
    whole
}

#[test]
fn decoding() {
    each(|name, tokenizer, reference, texts| {
        for case in &reference.cases {
            let text = &texts[case.text];
            let expected =
                [&case.decoded, &case.skipped].map(|decoded| decoded.as_ref().unwrap_or(text));
            let ids = &case.record.ids;
            assert_eq!(
                &decode(tokenizer, ids, false),
                expected[0],
                "{name}: {text:?}"
            );
            assert_eq!(
                &decode(tokenizer, ids, true),
                expected[1],
                "{name}: {text:?} without special tokens"
            );
        }
        for case in &reference.decode {
            assert_eq!(
                decode(tokenizer, &case.ids, false),
                case.decoded,
                "{name}: {:?}",
                case.ids
            );
            assert_eq!(
                decode(tokenizer, &case.ids, true),
                case.skipped,
                "{name}: {:?} without",
                case.ids
            );
        }
        // Any ids at all, also ones that no token has.
        let mut seed = 1_u32;
        for _ in 0..500 {
            let next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) % (u32::try_from(reference.len).unwrap() + 20)
            };
            let ids: Vec<u32> = std::iter::repeat_with(next).take(20).collect();
            decode(tokenizer, &ids, false);
            decode(tokenizer, &ids, true);
        }
    });
}

#[test]
fn vocabulary_and_special_tokens() {
    each(|name, tokenizer, reference, _| {
        assert_eq!(tokenizer.vocab_size(), reference.vocab_size, "{name}");
        assert_eq!(tokenizer.len(), reference.len, "{name}");
        assert_eq!(tokenizer.id_bound(), reference.len, "{name}");
        let map: Map<String, Value> = tokenizer
            .special_tokens_map()
            .map(|(name, token)| (name.to_owned(), token.into()))
            .collect();
        assert_eq!(
            Value::Object(map).to_string(),
            Value::Object(reference.special_tokens_map.clone()).to_string()
        );
        let special: Vec<u32> = (0..u32::try_from(tokenizer.id_bound()).unwrap())
            .filter(|&id| tokenizer.is_special(id))
            .collect();
        assert_eq!(special, reference.special_ids, "{name}");
        for id in 0..u32::try_from(tokenizer.id_bound()).unwrap() {
            assert_eq!(
                tokenizer.token_to_id(&tokenizer.id_to_token(id).unwrap()),
                Some(id),
                "{name}"
            );
        }
        assert_eq!(tokenizer.id_to_token(1_000_000), None);
        let side = if reference.padding_side == "left" {
            Side::Left
        } else {
            Side::Right
        };
        assert_eq!(tokenizer.padding_side(), side, "{name}");
        assert_eq!(
            tokenizer.model_max_length(),
            reference.model_max_length,
            "{name}"
        );
        let eos = tokenizer.eos_token().or(tokenizer.sep_token()).unwrap();
        let id = tokenizer
            .eos_token_id()
            .or(tokenizer.sep_token_id())
            .unwrap();
        assert_eq!(tokenizer.id_to_token(id).as_deref(), Some(eos));
    });
}
