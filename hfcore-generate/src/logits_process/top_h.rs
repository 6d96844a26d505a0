//! Only the likeliest tokens that carry a part of the entropy.
//!
//! *Top-H decoding* (<https://arxiv.org/abs/2509.02510>). Reference: `TopHLogitsWarper`.

use super::LogitsProcessor;
use crate::error::{GenerateError, require};
use crate::math;

/// The likeliest tokens that are considered at all.
const TOP_N: usize = 100;

/// Of the 100 likeliest tokens, keeps the longest prefix whose entropy terms add up to at most `top_h`
/// of the entropy; always the first.
#[derive(Clone, Copy, Debug)]
pub struct TopH {
    top_h: f32,
}

impl TopH {
    /// A part above 0, at most 1.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(top_h: f64) -> Result<Self, GenerateError> {
        require(
            top_h > 0.0 && top_h <= 1.0,
            "top_h",
            &top_h,
            "a number above 0, at most 1",
        )?;
        Ok(Self {
            top_h: math::narrow(top_h),
        })
    }
}

impl LogitsProcessor for TopH {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        let top = math::top_k(scores, TOP_N);
        let mut log_probs: Vec<f32> = top.iter().map(|&(_, score)| score).collect();
        math::log_softmax(&mut log_probs);
        // `torch.log` of the probabilities, where 0 ln 0 is NaN: such a token, and all behind it, go.
        let terms: Vec<f32> = log_probs
            .iter()
            .map(|l| l.exp())
            .map(|p| -p * p.ln())
            .collect();
        let entropy = (log_probs.iter().zip(&terms)).filter(|(l, _)| **l > f32::NEG_INFINITY);
        let entropy: f64 = entropy.map(|(l, _)| f64::from(-l * l.exp())).sum();
        let tau = math::narrow(entropy) * self.top_h;
        let cumulative = math::cumsum(terms);
        let mut keep: Vec<usize> = (top.iter().zip(&cumulative))
            .enumerate()
            .filter(|(rank, (_, sum))| *rank == 0 || **sum <= tau)
            .map(|(_, (&(i, _), _))| i)
            .collect();
        keep.sort_unstable();
        math::remove_unless(scores, |i, _| keep.binary_search(&i).is_ok());
    }
}
