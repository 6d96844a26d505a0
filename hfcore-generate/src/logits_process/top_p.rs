//! Only the likeliest tokens that together have probability `p`: nucleus sampling.
//!
//! Holtzman et al., *The Curious Case of Neural Text Degeneration* (<https://arxiv.org/abs/1904.09751>).
//! Reference: `TopPLogitsWarper`: sorted upwards, tokens go while their running sum is `<= 1 - p`.

use hfcore_kernels::sample::keep_top_p;

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};

/// Keeps the smallest set of likeliest tokens whose probabilities add up to `p` or more.
#[derive(Clone, Copy, Debug)]
pub struct TopP {
    top_p: f64,
    min_tokens_to_keep: usize,
}

impl TopP {
    /// A probability from 0 to 1.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(top_p: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        require(
            (0.0..=1.0).contains(&top_p),
            "top_p",
            &top_p,
            "a number from 0 to 1",
        )?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            top_p,
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for TopP {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        keep_top_p(scores, self.top_p, self.min_tokens_to_keep);
    }
}
