//! A bias on the token that would complete a sequence.
//!
//! Reference: `SequenceBiasLogitsProcessor`.

use std::collections::HashMap;

use super::{LogitsProcessor, score_mut};
use crate::error::{GenerateError, require};
use crate::math::narrow;

/// Adds a bias to the last token of each sequence whose other tokens are the end of the text; to a
/// sequence of one token always.
#[derive(Clone, Debug)]
pub struct SequenceBias {
    /// Of sequences of one token, and of longer ones by their last token but one.
    always: Vec<(u32, f32)>,
    behind: HashMap<u32, Vec<(Vec<u32>, f32)>>,
    sums: HashMap<u32, f32>,
}

impl SequenceBias {
    /// Sequences of at least one token, each with its bias.
    ///
    /// # Errors
    /// If there is no sequence, or an empty one.
    pub fn new(sequence_bias: &[(Vec<u32>, f64)]) -> Result<Self, GenerateError> {
        Self::named("sequence_bias", sequence_bias)
    }

    pub(super) fn named(
        field: &'static str,
        sequence_bias: &[(Vec<u32>, f64)],
    ) -> Result<Self, GenerateError> {
        let ok = !sequence_bias.is_empty() && sequence_bias.iter().all(|(ids, _)| !ids.is_empty());
        require(
            ok,
            field,
            &sequence_bias,
            "a list of sequences of at least one token",
        )?;
        // As in a Python dict, the last of equal sequences counts.
        let last: HashMap<&[u32], f64> = sequence_bias
            .iter()
            .map(|(ids, bias)| (&ids[..], *bias))
            .collect();
        let mut always = Vec::new();
        let mut behind: HashMap<u32, Vec<(Vec<u32>, f32)>> = HashMap::new();
        for (ids, bias) in last {
            match *ids {
                [] => {}
                [id] => always.push((id, narrow(bias))),
                [.., before, _] => behind
                    .entry(before)
                    .or_default()
                    .push((ids.to_vec(), narrow(bias))),
            }
        }
        // In one order, whatever the maps have: sums of floats depend on it.
        behind
            .values_mut()
            .for_each(|sequences| sequences.sort_by(|a, b| a.0.cmp(&b.0)));
        Ok(Self {
            always,
            behind,
            sums: HashMap::new(),
        })
    }
}

impl SequenceBias {
    /// Whether all sequences are of one token.
    pub(super) fn is_of_tokens(&self) -> bool {
        self.behind.is_empty()
    }
}

impl LogitsProcessor for SequenceBias {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        // Biases of one token are added up before they meet the score, as torch does it.
        self.sums.clear();
        self.sums.extend(self.always.iter().copied());
        let candidates = tokens.last().and_then(|last| self.behind.get(last));
        for (ids, bias) in candidates.into_iter().flatten() {
            if let Some((&last, prefix)) = ids.split_last()
                && tokens.ends_with(prefix)
            {
                *self.sums.entry(last).or_default() += bias;
            }
        }
        for (&token, &bias) in &self.sums {
            if let Some(score) = score_mut(scores, token) {
                *score += bias;
            }
        }
    }
}
