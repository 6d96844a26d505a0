//! Only tokens with at least a part of the likeliest one's probability.
//!
//! Nguyen et al., *Turning Up the Heat: Min-p Sampling* (<https://arxiv.org/abs/2407.01082>).
//! Reference: `MinPLogitsWarper`.

use hfcore_kernels::sample::keep_min_p;

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};

/// Removes tokens less likely than `min_p` times the likeliest.
#[derive(Clone, Copy, Debug)]
pub struct MinP {
    min_p: f64,
    min_tokens_to_keep: usize,
}

impl MinP {
    /// A part from 0 to 1.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(min_p: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        require(
            (0.0..=1.0).contains(&min_p),
            "min_p",
            &min_p,
            "a number from 0 to 1",
        )?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            min_p,
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for MinP {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        keep_min_p(scores, self.min_p, self.min_tokens_to_keep);
    }
}
