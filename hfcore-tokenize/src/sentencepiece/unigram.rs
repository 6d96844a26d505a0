//! The pieces with the largest sum of scores (`unigram_model.cc`, `EncodeOptimized`), in the arithmetic of the original:
//! sums are kept in 32 bits, so that ties fall as they do there.

use std::ops::Range;

use crate::convert::{PieceKind, SentencePiece};
use crate::engine::Trie;

/// What an unknown character costs more than the worst piece.
const UNKNOWN_PENALTY: f32 = 10.0;
/// What each byte of a user-defined piece but the first is worth, so that it is preferred to its parts. As measured of
/// sentencepiece 0.2.3; its own score does not count, and in older versions neither does its length.
const SYMBOL_BONUS: f32 = 0.1;

#[derive(Clone, Debug)]
pub(super) struct Unigram {
    /// Pieces that a text can have.
    pieces: Trie,
    scores: Vec<Score>,
    unknown_score: f32,
    unknown: u32,
}

#[derive(Clone, Copy, Debug)]
enum Score {
    Normal(f32),
    UserDefined,
    Unused,
}

/// The best way to the end of a piece.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    start: usize,
}

impl Unigram {
    pub(super) fn new(model: &SentencePiece, unknown: u32) -> Self {
        let usable = |kind| {
            matches!(
                kind,
                PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused
            )
        };
        let normal = model
            .pieces
            .iter()
            .filter(|piece| piece.kind == PieceKind::Normal)
            .map(|piece| piece.score);
        let worst = normal.fold(f32::MAX, f32::min);
        let pieces = (0..)
            .zip(&model.pieces)
            .filter(|(_, piece)| usable(piece.kind))
            .map(|(id, piece)| (piece.piece.as_str(), id));
        Self {
            pieces: Trie::new(pieces),
            scores: model
                .pieces
                .iter()
                .map(|piece| match piece.kind {
                    PieceKind::UserDefined => Score::UserDefined,
                    PieceKind::Unused => Score::Unused,
                    _ => Score::Normal(piece.score),
                })
                .collect(),
            unknown_score: worst - UNKNOWN_PENALTY,
            unknown,
        }
    }

    /// The pieces of a normalized text, by their bytes.
    #[allow(clippy::cast_precision_loss, reason = "pieces have at most 1024 bytes")]
    pub(super) fn encode(&self, text: &str) -> Vec<(Range<usize>, u32)> {
        let bytes = text.as_bytes();
        let mut best: Vec<Option<Best>> = vec![None; bytes.len() + 1];
        for (start, character) in text.char_indices() {
            let so_far = best[start].map_or(0.0, |best| best.score);
            let single = character.len_utf8();
            let mut has_single = false;
            for (length, id) in self.pieces.prefixes(&bytes[start..]) {
                let score = match self.scores[id as usize] {
                    Score::Unused => continue,
                    Score::UserDefined => SYMBOL_BONUS * (length as f32 - 1.0),
                    Score::Normal(score) => score,
                };
                let score = score + so_far;
                let target = &mut best[start + length];
                if target.is_none_or(|target| score > target.score) {
                    *target = Some(Best { id, score, start });
                }
                has_single |= length == single;
            }
            if !has_single {
                let score = self.unknown_score + so_far;
                let target = &mut best[start + single];
                if target.is_none_or(|target| score > target.score) {
                    *target = Some(Best {
                        id: self.unknown,
                        score,
                        start,
                    });
                }
            }
        }
        let mut found = Vec::new();
        let mut end = bytes.len();
        while let Some(Best { id, start, .. }) = best[end].filter(|_| end > 0) {
            found.push((start..end, id));
            end = start;
        }
        found.reverse();
        found
    }
}
