//! Encoding and decoding speed, for `tools/bench_tokenizers.py`, which runs Python's in turns with it.
//!
//! `cargo bench -p hfcore-tokenize --bench encode -- --serve DIR` reads lines: `ids KIND TEXTS` answers with a fingerprint
//! of all ids, `time KIND WHAT TEXTS` with seconds. DIR holds `KIND.json` and `texts.json` (lists of texts by name).
//! `WHAT` is `single` (one text after the other), `batch` (all cores), `ids` (a batch without offsets), or `decode`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring: it ends where something is wrong, and its answers are printed"
)]

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::Instant;

use hfcore_tokenize::Tokenizer;

/// A tokenizer, and for each list of texts the ids of each of them.
type Loaded = (Tokenizer, HashMap<String, Vec<Vec<u32>>>);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let Some(position) = args.iter().position(|arg| arg == "--serve") else {
        println!("needs --serve DIR; run tools/bench_tokenizers.py");
        return;
    };
    let folder = Path::new(&args[position + 1]);
    let texts = fs::read(folder.join("texts.json")).unwrap();
    let texts: HashMap<String, Vec<String>> = serde_json::from_slice(&texts).unwrap();
    let mut tokenizers: HashMap<String, Loaded> = HashMap::new();
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let (tokenizer, encoded) = tokenizers.entry(words[1].to_owned()).or_insert_with(|| {
            let json = fs::read(folder.join(format!("{}.json", words[1]))).unwrap();
            (Tokenizer::from_slices(&json, None).unwrap(), HashMap::new())
        });
        let name = *words.last().unwrap();
        let group = &texts[name];
        if words[0] == "ids" {
            let ids = tokenizer.encode_ids_batch(group, true).unwrap();
            let same = tokenizer.encode_batch(group, true).unwrap();
            assert!(ids.iter().eq(same.iter().map(|encoding| &encoding.ids)));
            answer(&fingerprint(&ids).to_string());
            encoded.insert(name.to_owned(), ids);
            continue;
        }
        let start = Instant::now();
        match words[2] {
            "single" => {
                let encodings = group
                    .iter()
                    .map(|text| tokenizer.encode(text, true).unwrap());
                drop(black_box(encodings.collect::<Vec<_>>()));
            }
            "batch" => drop(black_box(tokenizer.encode_batch(group, true).unwrap())),
            "ids" => drop(black_box(tokenizer.encode_ids_batch(group, true).unwrap())),
            "decode" => {
                let decoded = encoded[name].iter().map(|ids| tokenizer.decode(ids, true));
                drop(black_box(decoded.collect::<Vec<_>>()));
            }
            other => {
                answer(&format!("error: no measurement {other:?}"));
                continue;
            }
        }
        answer(&start.elapsed().as_secs_f64().to_string());
    }
}

fn answer(line: &str) {
    println!("{line}");
    io::stdout().flush().unwrap();
}

/// FNV-1a over all ids and the length of each list.
fn fingerprint(sequences: &[Vec<u32>]) -> u64 {
    let mut found = 0xcbf2_9ce4_8422_2325_u64;
    for ids in sequences {
        let values = ids.iter().copied().map(u64::from);
        for value in values.chain([ids.len() as u64]) {
            found = (found ^ value).wrapping_mul(0x0100_0000_01b3);
        }
    }
    found
}
