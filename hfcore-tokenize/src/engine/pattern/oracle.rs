//! The patterns against Python's library: `tests/patterns.json`, written by `tests/make_patterns.py`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CheckedRegex, PatternRecord};

#[derive(Deserialize)]
pub(super) struct Oracle {
    /// For each class its runs: start relative to the end before, and length.
    classes: BTreeMap<String, Vec<u32>>,
    texts: Vec<String>,
    /// The patterns that should be matched by hand.
    pub(super) known: Vec<String>,
    /// For each pattern and text the lengths of the pieces, in characters.
    pieces: BTreeMap<String, Vec<Vec<usize>>>,
}

pub(super) fn read() -> Oracle {
    serde_json::from_str(include_str!("../../../tests/patterns.json")).unwrap()
}

fn regex(source: &str) -> CheckedRegex {
    CheckedRegex::new(PatternRecord::Regex(source.to_owned()), "here").unwrap()
}

#[test]
fn every_character_is_in_the_classes_that_python_finds_it_in() {
    for (source, runs) in read().classes {
        let mut expected = vec![false; 0x11_0000];
        let mut end = 0;
        for run in runs.as_chunks::<2>().0 {
            let start = end + run[0];
            end = start + run[1];
            expected[start as usize..end as usize].fill(true);
        }
        let regex = fancy_regex::Regex::new(&source).unwrap();
        let mut buffer = [0; 4];
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let found = regex.is_match(c.encode_utf8(&mut buffer)).unwrap();
            assert_eq!(found, expected[c as usize], "{source} {c:?}");
        }
    }
}

#[test]
fn texts_are_cut_where_python_cuts_them() {
    let oracle = read();
    for (source, expected) in &oracle.pieces {
        let regex = regex(source);
        for (text, expected) in oracle.texts.iter().zip(expected) {
            // Empty pieces are dropped by both engines later.
            let pieces = regex.pieces(text).unwrap().into_iter();
            let lengths = pieces.filter(|((start, end), _)| start < end);
            let lengths: Vec<usize> = lengths
                .map(|((start, end), _)| text[start..end].chars().count())
                .collect();
            assert_eq!(&lengths, expected, "{source} on {text:?}");
        }
    }
}
