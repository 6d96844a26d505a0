//! Trained tokenizers of every kind against Python, on thousands of texts each.
//!
//! `make_corpus.py` writes `corpus/` and says what is in it. A text's result (ids, tokens, offsets, type ids, masks, word
//! and sequence ids, with and without special tokens, decoded both ways, and for some texts as a pair) is compared by
//! one number. To see a result that differs:
//!
//! ```sh
//! HFCORE_CORPUS_DUMP=bert:123 HFCORE_PYTHON=python3 cargo test -p hfcore-tokenize --test corpus -- --nocapture
//! ```
//!
//! `HFCORE_CORPUS` names a folder with another corpus, of another seed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking; the dump is for people"
)]

mod corpus_files;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, process, thread};

use corpus_files::{Corpus, DECODED};
use hfcore_tokenize::{Encoding, Tokenizer};
use serde_json::{Map, Value};

/// The largest prime below 2^64.
const PRIME: u128 = (1 << 64) - 59;
/// Texts of this many bytes and more are encoded by every tenth tokenizer only, where the build is not optimised.
const LONG: usize = 15_000;

/// The bytes whose number is compared.
#[derive(Default)]
struct Canonical(Vec<u8>);

impl Canonical {
    fn words(&mut self, count: usize, numbers: impl IntoIterator<Item = usize>) {
        let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        self.0.extend(word(count));
        for number in numbers {
            self.0.extend(word(number));
        }
    }

    fn strings<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.words(texts.len(), []);
        for text in texts {
            self.0.extend(text.as_ref().as_bytes());
            self.0.push(0xff);
        }
    }

    fn encoding(&mut self, encoding: &Encoding) {
        let count = encoding.ids.len();
        let numbers = |list: &[u32]| list.iter().map(|&n| n as usize).collect::<Vec<_>>();
        self.words(count, numbers(&encoding.ids));
        self.strings(&encoding.tokens);
        self.words(
            2 * count,
            encoding
                .char_offsets
                .iter()
                .flat_map(|at| [at.start, at.end]),
        );
        self.words(count, numbers(&encoding.type_ids));
        self.words(count, numbers(&encoding.special_tokens_mask));
        let word = |id: &Option<u32>| id.map_or(0, |id| id as usize + 1);
        self.words(count, encoding.word_ids.iter().map(word));
        let sequence = |id: &Option<usize>| id.map_or(0, |id| id + 1);
        self.words(count, encoding.sequence_ids.iter().map(sequence));
    }

    /// All of it, after a byte 1, as a big-endian number modulo the prime.
    fn fingerprint(&self) -> u64 {
        let (head, rest) = self.0.split_at(self.0.len() % 8);
        let fold = |number: u128, bytes: &[u8]| {
            let next = |number, &byte| number << 8 | u128::from(byte);
            bytes.iter().fold(number, next)
        };
        let mut number = fold(1, head) % PRIME;
        for eight in rest.as_chunks::<8>().0 {
            number = (number << 64 | u128::from(u64::from_be_bytes(*eight))) % PRIME;
        }
        u64::try_from(number).unwrap()
    }
}

/// The byte at which each character begins, and the end.
fn boundaries(text: &str) -> Vec<usize> {
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect()
}

/// Byte offsets are character offsets in another unit.
fn check_bytes(encoding: &Encoding, texts: &[&str]) -> Result<(), String> {
    let tables: Vec<Vec<usize>> = texts.iter().map(|text| boundaries(text)).collect();
    for index in 0..encoding.ids.len() {
        let table = &tables[encoding.sequence_ids[index].unwrap_or(0)];
        let (bytes, chars) = (&encoding.offsets[index], &encoding.char_offsets[index]);
        if bytes.start != table[chars.start] || bytes.end != table[chars.end] {
            return Err(format!(
                "token {index} has the bytes {bytes:?} and the characters {chars:?}"
            ));
        }
    }
    Ok(())
}

/// Decodes at once and as a stream, which must agree.
fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> Result<[String; 2], String> {
    let mut both = [false, true].map(|skip| tokenizer.decode(ids, skip));
    for (skip, whole) in [false, true].into_iter().zip(&mut both) {
        let mut stream = tokenizer.decode_stream(skip);
        let mut pieces: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        pieces.extend(stream.finish());
        if pieces != *whole {
            return Err(format!("streamed {pieces:?}, decoded {whole:?}"));
        }
    }
    Ok(both)
}

fn one(tokenizer: &Tokenizer, text: &str, pair: Option<&str>) -> Result<u64, String> {
    let encode = |special| {
        tokenizer
            .encode(text, special)
            .map_err(|error| error.to_string())
    };
    let encoding = encode(true)?;
    check_bytes(&encoding, &[text])?;
    let mut canonical = Canonical::default();
    canonical.encoding(&encoding);
    let plain = encode(false)?;
    canonical.words(plain.ids.len(), plain.ids.iter().map(|&id| id as usize));
    canonical.strings(&decode(tokenizer, &encoding.ids)?);
    if let Some(pair) = pair {
        let encoding = tokenizer
            .encode_pair(text, pair, true)
            .map_err(|error| error.to_string())?;
        check_bytes(&encoding, &[text, pair])?;
        canonical.encoding(&encoding);
    }
    Ok(canonical.fingerprint())
}

/// The lists of ids to decode, as `make_corpus.py` draws them.
fn ids_to_decode(tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
    let mut state = 1_u32;
    let mut below = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % n
    };
    let bound = u32::try_from(tokenizer.len()).unwrap() + 3;
    let mut list = || {
        let count = 1 + below(14);
        (0..count).map(|_| below(bound)).collect()
    };
    (0..DECODED).map(|_| list()).collect()
}

fn decoded(tokenizer: &Tokenizer, ids: &[u32]) -> Result<u64, String> {
    let mut canonical = Canonical::default();
    canonical.strings(&decode(tokenizer, ids)?);
    Ok(canonical.fingerprint())
}

/// What differs, one line each, and how many more.
struct Failures {
    lines: String,
    count: usize,
}

impl Failures {
    fn check(&mut self, index: usize, what: &str, found: Result<u64, String>, expected: u64) {
        let problem = match found {
            Ok(found) if found == expected => return,
            Ok(_) => "differs".to_owned(),
            Err(error) => error,
        };
        self.count += 1;
        if self.count <= 4 {
            let start: String = what.chars().take(60).collect();
            let _ = writeln!(self.lines, "    {index}: {start:?}: {problem}");
        }
    }
}

#[test]
fn every_text_as_python_has_it() {
    let corpus = Corpus::read();
    if let Ok(wanted) = env::var("HFCORE_CORPUS_DUMP") {
        return dump(&corpus, &wanted);
    }
    assert!(corpus.tokenizers.len() >= 40 && corpus.texts.len() >= 5000);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut report = String::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= corpus.tokenizers.len() {
                return report;
            }
            report += &check(&corpus, at);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let report: String = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(
        report.is_empty(),
        "results differ from Python's; HFCORE_CORPUS_DUMP=name:index shows one\n{report}"
    );
}

/// The report on one tokenizer: nothing, if all is as expected.
fn check(corpus: &Corpus, at: usize) -> String {
    let tokenizer = corpus.load(at);
    let expected = corpus.expected(at);
    let (name, _) = &corpus.tokenizers[at];
    let mut failures = Failures {
        lines: String::new(),
        count: 0,
    };
    full_results(corpus, name, &tokenizer, &mut failures);
    for (index, text) in corpus.texts.iter().enumerate() {
        if cfg!(debug_assertions) && text.len() >= LONG && !(at + index).is_multiple_of(10) {
            continue;
        }
        let found = one(&tokenizer, text, corpus.pair(index));
        failures.check(index, text, found, expected[index]);
    }
    let first = corpus.texts.len();
    for (index, ids) in ids_to_decode(&tokenizer).into_iter().enumerate() {
        let found = decoded(&tokenizer, &ids);
        failures.check(
            first + index,
            &format!("{ids:?}"),
            found,
            expected[first + index],
        );
    }
    if failures.count == 0 {
        return String::new();
    }
    format!(
        "  {name}: {} of {}\n{}",
        failures.count,
        expected.len(),
        failures.lines
    )
}

/// The first results are there in full: a difference is shown as it is.
fn full_results(corpus: &Corpus, name: &str, tokenizer: &Tokenizer, failures: &mut Failures) {
    for (text, expected) in corpus
        .texts
        .iter()
        .zip(corpus.results[name].as_array().unwrap())
    {
        let found = match full(tokenizer, text) {
            Ok(found) => found,
            Err(error) => Value::from(error),
        };
        if found != *expected {
            let _ = writeln!(
                failures.lines,
                "    {text:?}\n      Python {expected}\n      here   {found}"
            );
        }
    }
}

/// A result as `results.json` has it.
fn full(tokenizer: &Tokenizer, text: &str) -> Result<Value, String> {
    let encode = |special| {
        tokenizer
            .encode(text, special)
            .map_err(|error| error.to_string())
    };
    let (encoding, plain) = (encode(true)?, encode(false)?);
    let [decoded, skipped] = decode(tokenizer, &encoding.ids)?;
    let offsets: Vec<usize> = encoding
        .char_offsets
        .iter()
        .flat_map(|at| [at.start, at.end])
        .collect();
    let special: Vec<usize> = (0..encoding.ids.len())
        .filter(|&at| encoding.special_tokens_mask[at] == 1)
        .collect();
    let mut record = Map::new();
    record.insert("ids".into(), encoding.ids.clone().into());
    record.insert("tokens".into(), encoding.tokens.clone().into());
    record.insert("offsets".into(), offsets.into());
    record.insert(
        "words".into(),
        encoding
            .word_ids
            .iter()
            .map(|&id| Value::from(id))
            .collect(),
    );
    record.insert("special".into(), special.into());
    if skipped != decoded {
        record.insert("skipped".into(), skipped.into());
    }
    record.insert("decoded".into(), decoded.into());
    if plain.ids != encoding.ids {
        record.insert("plain".into(), plain.ids.into());
    }
    Ok(record.into())
}

/// Prints one result, ours and (where `HFCORE_PYTHON` names an interpreter) Python's.
fn dump(corpus: &Corpus, wanted: &str) {
    let (name, index) = wanted.split_once(':').expect("name:index");
    let index: usize = index.parse().unwrap();
    let at = corpus
        .tokenizers
        .iter()
        .position(|(known, _)| known == name)
        .expect("a tokenizer of the corpus");
    let tokenizer = corpus.load(at);
    if let Some(text) = corpus.texts.get(index) {
        println!(
            "{:?}",
            full(&tokenizer, text).map(|found| found.to_string())
        );
        if let Some(pair) = corpus.pair(index) {
            println!("{:?}", tokenizer.encode_pair(text, pair, true));
        }
    } else {
        let ids = &ids_to_decode(&tokenizer)[index - corpus.texts.len()];
        println!("{ids:?}: {:?}", decode(&tokenizer, ids));
    }
    if let Some(python) = env::var_os("HFCORE_PYTHON") {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/make_corpus.py");
        let run = process::Command::new(python)
            .arg(script)
            .args(["--out".as_ref(), corpus.folder.as_os_str()])
            .args(["--dump", name, &index.to_string()])
            .status();
        assert!(run.unwrap().success());
    }
}
