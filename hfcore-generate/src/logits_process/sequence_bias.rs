//! A bias on the token that would complete a sequence.
//!
//! Reference: `SequenceBiasLogitsProcessor`.

use super::{LogitsProcessor, score_mut};
use crate::error::{GenerateError, require};
use crate::math::narrow;

/// Adds a bias to the last token of each sequence whose other tokens are the end of the text; to a
/// sequence of one token always.
#[derive(Clone, Debug)]
pub struct SequenceBias {
    biases: Vec<(Vec<u32>, f32)>,
    sums: Vec<(u32, f32)>,
}

impl SequenceBias {
    /// Sequences of at least one token, each with its bias.
    ///
    /// # Errors
    /// If there is no sequence, or an empty one.
    pub fn new(sequence_bias: &[(Vec<u32>, f64)]) -> Result<Self, GenerateError> {
        Self::named("sequence_bias", sequence_bias)
    }

    pub(super) fn named(field: &'static str, sequence_bias: &[(Vec<u32>, f64)]) -> Result<Self, GenerateError> {
        let ok = !sequence_bias.is_empty() && sequence_bias.iter().all(|(ids, _)| !ids.is_empty());
        require(ok, field, &sequence_bias, "a list of sequences of at least one token")?;
        // As in a Python dict, the last of two equal sequences counts, in the place of the first.
        let mut biases: Vec<(Vec<u32>, f32)> = Vec::with_capacity(sequence_bias.len());
        for (ids, bias) in sequence_bias {
            match biases.iter_mut().find(|(known, _)| known == ids) {
                Some((_, known)) => *known = narrow(*bias),
                None => biases.push((ids.clone(), narrow(*bias))),
            }
        }
        Ok(Self { biases, sums: Vec::new() })
    }
}

impl LogitsProcessor for SequenceBias {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        // Biases of one token are added up before they meet the score, as torch does it.
        self.sums.clear();
        for (ids, bias) in &self.biases {
            let Some((&last, prefix)) = ids.split_last() else { continue };
            if tokens.ends_with(prefix) {
                match self.sums.iter_mut().find(|(token, _)| *token == last) {
                    Some((_, sum)) => *sum += bias,
                    None => self.sums.push((last, *bias)),
                }
            }
        }
        for &(token, bias) in &self.sums {
            if let Some(score) = score_mut(scores, token) {
                *score += bias;
            }
        }
    }
}
