//! `inv_freq`, computed in f32 in the order of torch's operations.
//!
//! A frequency that is off by its last bits turns, at position 100 000, into an angle that is off by a visible amount:
//! so the table must be torch's table, not a better one. Where Python computes in doubles (`int(head_dim · partial)`,
//! the bounds of YaRN, attention factors), so does this; where it computes on float32 tensors, every operation here
//! is one f32 operation, and a Python number that meets a tensor is rounded to f32 first. `1 / tensor` is torch's
//! `reciprocal`, so `c / tensor` is `(1/x)·c`, two roundings. What remains different is the last bit of `pow` where
//! torch's (SLEEF) is not the nearest float.

use std::f64::consts::PI;

use super::{RopeParameters, RopeScaling};

/// A table of frequencies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RopeFrequencies {
    /// Radians per position, for each pair of rotated elements: `rotary_dim / 2` of them.
    pub inv_freq: Vec<f32>,
    /// The factor of cos and of sin, hence squared in the attention scores.
    pub attention_scaling: f32,
}

impl RopeParameters {
    /// The frequencies for a sequence of `seq_len` positions (the largest position plus one).
    ///
    /// Only `dynamic` and `longrope` depend on `seq_len`. transformers chooses once per forward, for the whole batch,
    /// and with `dynamic` keeps the frequencies of the longest sequence seen until a sequence is shorter than
    /// `max_position_embeddings`; here they depend on nothing but `seq_len`.
    #[must_use]
    pub fn frequencies(&self, seq_len: usize) -> RopeFrequencies {
        RopeFrequencies {
            inv_freq: self.inv_freq(seq_len),
            attention_scaling: match &self.scaling {
                RopeScaling::Yarn {
                    attention_factor, ..
                }
                | RopeScaling::LongRope {
                    attention_factor, ..
                } => f32_of(*attention_factor),
                _ => 1.0,
            },
        }
    }

    /// `int(head_dim · partial_rotary_factor)`: the divisor of the exponents, also where it is odd.
    pub(super) fn dim(&self) -> usize {
        whole(as_f64(self.head_dim) * self.partial_rotary_factor).min(self.head_dim)
    }

    pub(super) fn num_frequencies(&self) -> usize {
        match self.scaling {
            RopeScaling::Proportional { .. } => self.head_dim / 2,
            // arange(0, dim, 2)
            _ => self.dim().div_ceil(2),
        }
    }

    fn inv_freq(&self, seq_len: usize) -> Vec<f32> {
        let dim = self.dim();
        let theta = f32_of(self.rope_theta);
        match &self.scaling {
            RopeScaling::Default => reciprocals(powers(theta, dim)),
            RopeScaling::Linear { factor } => {
                let factor = f32_of(*factor);
                let inv_freq = reciprocals(powers(theta, dim));
                inv_freq.into_iter().map(|f| f / factor).collect()
            }
            RopeScaling::Dynamic { factor } => {
                reciprocals(powers(self.dynamic_base(*factor, seq_len), dim))
            }
            RopeScaling::Yarn {
                factor,
                original_max_position_embeddings,
                beta_fast,
                beta_slow,
                truncate,
                ..
            } => {
                let original = as_f64(*original_max_position_embeddings);
                let bounds = self.yarn_bounds(original, *beta_fast, *beta_slow, *truncate);
                yarn(powers(theta, dim), f32_of(*factor), bounds, dim)
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                original_max_position_embeddings,
                ..
            } => {
                let long = seq_len > *original_max_position_embeddings;
                let factors = if long { long_factor } else { short_factor };
                let powers = powers(theta, dim).into_iter();
                let scaled = powers
                    .zip(factors)
                    .map(|(power, factor)| f32_of(*factor) * power);
                reciprocals(scaled.collect())
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => llama3(
                reciprocals(powers(theta, dim)),
                *factor,
                *low_freq_factor,
                *high_freq_factor,
                as_f64(*original_max_position_embeddings),
            ),
            RopeScaling::Proportional { factor } => {
                let factor = f32_of(*factor);
                let head_dim = as_f64(self.head_dim);
                let angles = whole((self.partial_rotary_factor * head_dim / 2.0).floor());
                let angles = angles.min(self.head_dim / 2);
                let powers = (0..angles).map(|i| power(theta, i, self.head_dim));
                let mut inv_freq = reciprocals(powers.collect());
                inv_freq.resize(self.head_dim / 2, 0.0);
                inv_freq.into_iter().map(|f| f / factor).collect()
            }
        }
    }

    /// The base of `dynamic`. Up to `max_position_embeddings` it is the one computed when the model is built, in
    /// Python's doubles; beyond, `seq_len` is a tensor of no dimensions, and torch computes in f32.
    fn dynamic_base(&self, factor: f64, seq_len: usize) -> f32 {
        let dim = as_f64(self.dim());
        let exponent = dim / (dim - 2.0);
        let max = as_f64(self.max_position_embeddings);
        if seq_len <= self.max_position_embeddings {
            f32_of(self.rope_theta * (factor * max / max - (factor - 1.0)).powf(exponent))
        } else {
            let stretched = f32_of(as_f64(seq_len)) * f32_of(factor) / f32_of(max);
            let grown = stretched - f32_of(factor - 1.0);
            // A tensor to the power of a Python number: torch's scalar kernel computes this one in double.
            f32_of(f64::from(grown).powf(exponent)) * f32_of(self.rope_theta)
        }
    }

    /// `find_correction_range`: the dimensions between which YaRN goes over from keeping to interpolating.
    fn yarn_bounds(
        &self,
        original: f64,
        beta_fast: f64,
        beta_slow: f64,
        truncate: bool,
    ) -> (f64, f64) {
        let dim = as_f64(self.dim());
        let correction_dim = |rotations: f64| {
            (dim * (original / (rotations * 2.0 * PI)).ln()) / (2.0 * self.rope_theta.ln())
        };
        let (mut low, mut high) = (correction_dim(beta_fast), correction_dim(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low.max(0.0), high.min(dim - 1.0))
    }
}

fn yarn(powers: Vec<f32>, factor: f32, (low, mut high): (f64, f64), dim: usize) -> Vec<f32> {
    if low == high {
        high += 0.001; // the reference's guard against a division by zero
    }
    let (start, width) = (f32_of(low), f32_of(high - low));
    // The reference makes the ramp of `dim // 2` entries: for an odd `dim` it is one shorter than the powers and the
    // product fails in torch; reading refuses that.
    let ramp = (0..dim / 2).map(|i| ((f32_of(as_f64(i)) - start) / width).clamp(0.0, 1.0));
    let blend = |(power, ramp): (f32, f32)| {
        let extrapolation = 1.0 / power;
        let interpolation = 1.0 / (factor * power);
        let kept = 1.0 - ramp;
        interpolation * (1.0 - kept) + extrapolation * kept
    };
    powers.into_iter().zip(ramp).map(blend).collect()
}

fn llama3(
    inv_freq: Vec<f32>,
    factor: f64,
    low_freq_factor: f64,
    high_freq_factor: f64,
    original: f64,
) -> Vec<f32> {
    let low_freq_wavelen = f32_of(original / low_freq_factor);
    let high_freq_wavelen = f32_of(original / high_freq_factor);
    let band = f32_of(high_freq_factor - low_freq_factor);
    let (factor, original, low) = (f32_of(factor), f32_of(original), f32_of(low_freq_factor));
    let scale = |f: f32| {
        let wavelen = (1.0 / f) * f32_of(2.0 * PI);
        if wavelen > low_freq_wavelen {
            f / factor
        } else if wavelen < high_freq_wavelen {
            f
        } else {
            let smooth = ((1.0 / wavelen) * original - low) / band;
            (1.0 - smooth) * f / factor + smooth * f
        }
    };
    inv_freq.into_iter().map(scale).collect()
}

/// `base ** (arange(0, dim, 2) / dim)`, each power rounded once (it is computed in double): SLEEF's is rounded once
/// in 99.5 % of cases.
fn powers(base: f32, dim: usize) -> Vec<f32> {
    (0..dim.div_ceil(2)).map(|i| power(base, i, dim)).collect()
}

fn power(base: f32, i: usize, dim: usize) -> f32 {
    f32_of(f64::from(base).powf(f64::from(f32_of(as_f64(2 * i)) / f32_of(as_f64(dim)))))
}

fn reciprocals(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|value| 1.0 / value).collect()
}

/// Rounded to f32, as torch does with a Python number that meets a float32 tensor.
#[allow(clippy::cast_possible_truncation, reason = "the rounding is meant")]
fn f32_of(value: f64) -> f32 {
    value as f32
}

/// Sizes and positions are below 2³²: exact.
#[allow(clippy::cast_precision_loss, reason = "sizes are below 2^53: exact")]
pub(super) fn as_f64(value: usize) -> f64 {
    value as f64
}

/// Python's `int()` of a non-negative float.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and callers bound the result"
)]
pub(super) fn whole(value: f64) -> usize {
    value as usize
}
