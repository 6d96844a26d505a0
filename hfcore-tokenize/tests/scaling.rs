//! How time grows with the length of a text, for every tokenizer of the corpus and the texts that are hardest for it.
//!
//! Not part of the ordinary suite, which measures no time:
//!
//! ```sh
//! cargo test --release -p hfcore-tokenize --test scaling -- --ignored --nocapture
//! ```
//!
//! Twice the text may take 2.6 times as long (the merge queue of BPE is `n log n`), and a mebibyte at most two seconds,
//! whatever is in it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking; the figures are for people"
)]

mod corpus_files;

use std::time::{Duration, Instant};

use corpus_files::Corpus;
use hfcore_tokenize::Tokenizer;

/// What a text may be made of, again and again.
fn units() -> Vec<String> {
    let word = "a".repeat(99);
    let mut units: Vec<String> = [
        "a", " ", "\n", "é", "漢", "1", "'", "aA1 \n", "x\u{301}", "ab ", "<s>", "<mask> ",
        "\u{0}", "!", "ﷺ", "\u{fffd}",
    ]
    .map(str::to_owned)
    .into();
    units.push(format!("{word} "));
    units.push(format!("{}x", " ".repeat(500)));
    units.push("the quick brown fox ".to_owned());
    units
}

fn time(tokenizer: &Tokenizer, text: &str) -> Duration {
    let start = Instant::now();
    // A text may be refused (a normalizer that grows, a word without a token); that has to be as quick.
    drop(tokenizer.encode(text, false));
    start.elapsed()
}

fn text(unit: &str, bytes: usize) -> String {
    unit.repeat(bytes / unit.len())
}

#[test]
#[ignore = "measures time: minutes, and only of a release build"]
fn a_mebibyte_takes_no_seconds_and_twice_the_text_twice_the_time() {
    let corpus = Corpus::read();
    let mut slow = Vec::new();
    for at in 0..corpus.tokenizers.len() {
        let tokenizer = corpus.load(at);
        let (name, _) = &corpus.tokenizers[at];
        let mut worst = (Duration::ZERO, String::new());
        for unit in units() {
            let short = text(&unit, 1 << 19);
            let long = text(&unit, 1 << 20);
            let (mut once, mut twice) = (time(&tokenizer, &short), time(&tokenizer, &long));
            // Noise: the best of three.
            if twice > Duration::from_millis(200) {
                for _ in 0..2 {
                    once = once.min(time(&tokenizer, &short));
                    twice = twice.min(time(&tokenizer, &long));
                }
                if twice > Duration::from_secs(2) || twice.as_secs_f64() > 2.6 * once.as_secs_f64()
                {
                    slow.push(format!("{name}, {unit:.20?}: {once:?}, {twice:?}"));
                    println!("{}", slow.last().unwrap());
                }
            }
            if twice > worst.0 {
                worst = (twice, unit);
            }
        }
        println!("{name}: at most {:?}, of {:.20?}", worst.0, worst.1);
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
#[ignore = "measures time: minutes, and only of a release build"]
fn sixteen_mebibytes_of_one_character() {
    let corpus = Corpus::read();
    for wanted in ["gpt2", "llama2", "bert", "t5", "words", "o200k"] {
        let at = corpus
            .tokenizers
            .iter()
            .position(|(name, _)| name == wanted)
            .unwrap();
        let tokenizer = corpus.load(at);
        for unit in ["a", " ", "漢"] {
            let times: Vec<Duration> = [22, 23, 24]
                .map(|bits| time(&tokenizer, &text(unit, 1 << bits)))
                .into();
            println!("{wanted}, {unit:?}: {times:?}");
            for pair in times.windows(2) {
                assert!(
                    pair[1].as_secs_f64() < 3.0 * pair[0].as_secs_f64() + 0.1,
                    "{wanted}, {unit:?}: {times:?}"
                );
            }
        }
    }
}
