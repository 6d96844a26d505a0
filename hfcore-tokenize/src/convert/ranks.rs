//! tiktoken's vocabularies: byte strings with ranks, where two neighbours are merged if together they are a token, the
//! one of the lowest rank first. As byte-level BPE that is a vocabulary with all splits as merges.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::byte_level::{alphabet, spelled};
use super::merges::splits;
use crate::engine::{Bpe, Definition, Model};

/// Byte strings with their ranks, each byte string once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ranks(Vec<(Vec<u8>, u32)>);

impl Ranks {
    /// Of a byte string that comes twice the last rank counts.
    ///
    /// # Errors
    ///
    /// Where two byte strings have the same rank.
    pub(super) fn new(entries: Vec<(Vec<u8>, u32)>) -> Result<Self, String> {
        let mut ranks: HashMap<Vec<u8>, u32> = HashMap::with_capacity(entries.len());
        ranks.extend(entries);
        let mut sorted: Vec<(Vec<u8>, u32)> = ranks.into_iter().collect();
        sorted.sort_unstable_by_key(|&(_, rank)| rank);
        match sorted.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            Some(pair) => Err(format!("two tokens have the rank {}", pair[0].1)),
            None => Ok(Self(sorted)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The byte-level BPE: ids are ranks, merges come by the rank of what they make, then by those of their parts
    /// (`TikTokenConverter.extract_vocab_merges_from_model`). A word that is a token is not taken apart.
    pub(super) fn bpe(&self) -> Result<Bpe, String> {
        let tokens: Vec<&[u8]> = self.0.iter().map(|(token, _)| token.as_slice()).collect();
        let mut splits = splits(&tokens)?;
        // By index is by rank.
        splits.sort_by_key(|split| (split.token, split.left, split.right));
        let alphabet = alphabet();
        let names: Vec<String> = tokens
            .iter()
            .map(|token| spelled(token, &alphabet))
            .collect();
        let name = |index: u32| names[index as usize].clone();
        let merges = splits
            .iter()
            .map(|split| (name(split.left), name(split.right)))
            .collect();
        let ranks = self.0.iter().map(|&(_, rank)| rank);
        Ok(Bpe {
            merges,
            vocab: names.into_iter().zip(ranks).collect(),
            ignore_merges: true,
            ..Bpe::default()
        })
    }
}

/// A byte-level BPE with the stages that transformers gives every tiktoken vocabulary: split at `pattern`, bytes as
/// characters, and back. The rest is to be added.
pub(super) fn byte_level(file: &'static str, bpe: Bpe, pattern: &str) -> Definition {
    let mut definition = Definition::new(file, Model::Bpe(bpe));
    definition.pre_tokenizer = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        byte_level_stage(true, false),
    ]});
    definition.post_processor = byte_level_stage(false, true);
    definition.post_processor["add_prefix_space"] = json!(true);
    definition.decoder = byte_level_stage(true, true);
    definition.decoder["add_prefix_space"] = json!(true);
    definition
}

fn byte_level_stage(trim_offsets: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(tokens: &[(&[u8], u32)]) -> Result<Ranks, String> {
        Ranks::new(
            tokens
                .iter()
                .map(|&(token, rank)| (token.to_vec(), rank))
                .collect(),
        )
    }

    #[test]
    fn merges_by_the_ranks_of_their_parts() {
        // "abc" is "ab" + "c" (ranks 4 and 2) or "a" + "bc" (ranks 9 and 3): here the longer left part comes first.
        let ranks = ranks(&[
            (b"a", 9),
            (b"b", 1),
            (b"c", 2),
            (b"bc", 3),
            (b"ab", 4),
            (b"abc", 10),
            (b" ", 11),
        ]);
        let bpe = ranks.unwrap().bpe().unwrap();
        let merges: Vec<String> = bpe
            .merges
            .iter()
            .map(|(left, right)| format!("{left} {right}"))
            .collect();
        assert_eq!(merges, ["b c", "a b", "ab c", "a bc"]);
        assert!(bpe.vocab.contains(&("Ġ".to_owned(), 11)));
        assert!(bpe.ignore_merges);
    }

    #[test]
    fn twice() {
        assert_eq!(
            ranks(&[(b"a", 1), (b"a", 2)]).unwrap().0,
            [(b"a".to_vec(), 2)]
        );
        assert_eq!(
            ranks(&[(b"a", 1), (b"b", 1)]).unwrap_err(),
            "two tokens have the rank 1"
        );
    }
}
