//! Only the `k` largest scores, and all that equal the last of them.
//!
//! Reference: `TopKLogitsWarper`.

use hfcore_kernels::sample::keep_top_k;

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};

/// Keeps the `k` likeliest tokens; ties with the last are kept too.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    top_k: usize,
}

impl TopK {
    /// The `top_k` likeliest, at least 1 and at least `min_tokens_to_keep`.
    ///
    /// # Errors
    /// If one of them is 0.
    pub fn new(top_k: usize, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        require(top_k > 0, "top_k", &top_k, "at least 1")?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            top_k: top_k.max(min_tokens_to_keep),
        })
    }
}

impl LogitsProcessor for TopK {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        keep_top_k(scores, self.top_k);
    }
}
