//! Unigram: the split of a text with the largest sum of scores (Kudo 2018, <https://arxiv.org/abs/1804.10959>).
//!
//! The sums are made from left to right, in the engine's order, so that ties and rounding fall as they do in Python.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use tokenizers::Token;

use super::matcher::Vocabulary;
use super::trie::Trie;

/// What an unknown character costs below the lowest score (sentencepiece's `kUnkPenalty`).
const UNK_PENALTY: f64 = 10.0;

/// A checked Unigram model.
#[derive(Clone, Debug)]
pub(crate) struct UnigramMatcher {
    vocab: Vocabulary,
    trie: Trie,
    /// By id.
    scores: Vec<f64>,
    unk_id: Option<u32>,
    unk_score: f64,
    byte_fallback: bool,
}

/// The best way to a place in the text.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last piece begins; `u32::MAX` for no way yet.
    start: u32,
    id: u32,
}

impl UnigramMatcher {
    /// The pieces by id, with their scores.
    pub(super) fn new(
        pieces: Vec<(String, f64)>,
        unk_id: Option<u32>,
        byte_fallback: bool,
    ) -> Self {
        let (tokens, scores): (Vec<String>, Vec<f64>) = pieces.into_iter().unzip();
        let vocab = Vocabulary::new(tokens.into_iter().zip(0..));
        let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
        Self {
            trie: Trie::new(vocab.iter()),
            vocab,
            scores,
            unk_id,
            unk_score: lowest - UNK_PENALTY,
            byte_fallback,
        }
    }

    pub(super) fn vocab(&self) -> &Vocabulary {
        &self.vocab
    }

    pub(super) fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for (start, end, known) in self.split(text)? {
            let piece = &text[start..end];
            // Unknown characters may together be a piece whose score was too low.
            if let Some(id) = known.or_else(|| self.vocab.id(piece)) {
                tokens.push(Token::new(id, piece.to_owned(), (start, end)));
                continue;
            }
            match self.bytes(piece) {
                Some(bytes) => {
                    let token = |(id, byte)| Token::new(id, byte, (start, end));
                    tokens.extend(bytes.into_iter().map(token));
                }
                None => tokens.push(Token::new(self.unk()?, piece.to_owned(), (start, end))),
            }
        }
        Ok(tokens)
    }

    fn unk(&self) -> tokenizers::Result<u32> {
        self.unk_id
            .ok_or_else(|| "a character is in no piece, and there is no unk_id".into())
    }

    /// A token `<0xE2>` for each byte, where that is asked for and the vocabulary has them all.
    fn bytes(&self, piece: &str) -> Option<Vec<(u32, String)>> {
        let token = |byte| {
            let token = format!("<0x{byte:02X}>");
            Some((self.vocab.id(&token)?, token))
        };
        self.byte_fallback
            .then(|| piece.bytes().map(token).collect())
            .flatten()
    }

    /// The pieces of the best way, from left to right, with their ids; neighbours that are unknown are one without.
    fn split(&self, text: &str) -> tokenizers::Result<Vec<(usize, usize, Option<u32>)>> {
        let no_way = Best {
            score: 0.0,
            start: u32::MAX,
            id: 0,
        };
        let mut best = vec![no_way; text.len() + 1];
        for (start, c) in text.char_indices() {
            let here = best[start].score;
            let from = u32::try_from(start).map_err(|_| "a text of more than 4 GiB")?;
            let mut known = false;
            let mut offer = |length: usize, score: f64, id| {
                let there = &mut best[start + length];
                let score = score + here;
                if there.start == u32::MAX || score > there.score {
                    *there = Best {
                        score,
                        start: from,
                        id,
                    };
                }
            };
            for (length, id) in self.trie.prefixes(&text.as_bytes()[start..]) {
                offer(length, self.scores[id as usize], id);
                known |= length == c.len_utf8();
            }
            if !known {
                offer(
                    c.len_utf8(),
                    self.unk_score,
                    self.unk_id.unwrap_or(u32::MAX),
                );
                // As in the engine, an error even where a better way around it would come later.
                if self.unk_id.is_none() && best[start + c.len_utf8()].id == u32::MAX {
                    self.unk()?;
                }
            }
        }
        let mut pieces: Vec<(usize, usize, Option<u32>)> = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let Best { start, id, .. } = best[end];
            let start = start as usize;
            let known = (Some(id) != self.unk_id).then_some(id);
            match pieces.last_mut() {
                Some((right, _, None)) if known.is_none() => *right = start,
                _ => pieces.push((start, end, known)),
            }
            end = start;
        }
        pieces.reverse();
        Ok(pieces)
    }
}

impl Serialize for UnigramMatcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let piece = |(id, score): (u32, &f64)| {
            (self.vocab.token(id).unwrap_or_default().to_owned(), *score)
        };
        let pieces: Vec<(String, f64)> = (0..).zip(&self.scores).map(piece).collect();
        let mut model = serializer.serialize_struct("Unigram", 4)?;
        model.serialize_field("type", "Unigram")?;
        model.serialize_field("unk_id", &self.unk_id)?;
        model.serialize_field("vocab", &pieces)?;
        model.serialize_field("byte_fallback", &self.byte_fallback)?;
        model.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(pieces: &[(&str, f64)], unk_id: Option<u32>, byte_fallback: bool) -> UnigramMatcher {
        let pieces = pieces
            .iter()
            .map(|&(piece, score)| (piece.to_owned(), score));
        UnigramMatcher::new(pieces.collect(), unk_id, byte_fallback)
    }

    fn pieces(model: &UnigramMatcher, text: &str) -> Vec<(u32, String)> {
        let tokens = model.tokenize(text).unwrap();
        tokens
            .into_iter()
            .map(|token| (token.id, token.value))
            .collect()
    }

    const SOME: [(&str, f64); 9] = [
        ("<unk>", 0.0),
        ("a", 0.0),
        ("b", 0.0),
        ("c", 0.0),
        ("d", 0.0),
        ("cd", 1.0),
        ("ab", 2.0),
        ("abc", 5.0),
        ("abcd", 10.0),
    ];

    #[test]
    fn the_largest_sum_wins_and_unknown_neighbours_are_one() {
        let model = model(&SOME, Some(0), false);
        let found: Vec<String> = pieces(&model, "abcdacdxx")
            .into_iter()
            .map(|(_, piece)| piece)
            .collect();
        assert_eq!(found, ["abcd", "a", "cd", "xx"]);
        assert_eq!(
            pieces(&model, "xéa"),
            [(0, "xé".to_owned()), (1, "a".to_owned())]
        );
        assert_eq!(pieces(&model, ""), []);
    }

    #[test]
    fn bytes_for_the_unknown_only_if_all_are_there() {
        let both = [
            ("<unk>", 0.0),
            ("a", -1.0),
            ("<0xC3>", -2.0),
            ("<0xA9>", -2.0),
        ];
        let full = model(&both, Some(0), true);
        assert_eq!(
            pieces(&full, "aé"),
            [
                (1, "a".to_owned()),
                (2, "<0xC3>".to_owned()),
                (3, "<0xA9>".to_owned())
            ]
        );
        let half = model(&both[..3], Some(0), true);
        assert_eq!(
            pieces(&half, "aé"),
            [(1, "a".to_owned()), (0, "é".to_owned())]
        );
    }

    #[test]
    fn without_an_unknown_piece_there_is_an_error() {
        let model = model(&SOME[1..], None, false);
        assert_eq!(pieces(&model, "ab").len(), 1);
        assert!(
            model
                .tokenize("x")
                .unwrap_err()
                .to_string()
                .contains("there is no unk_id")
        );
    }
}
