//! Every operation by its definition, in `f64` over plain slices.
//!
//! Slow on purpose: one loop per sum, in the order of the formula. The tests hold all kernels to these,
//! and whoever writes a backend can do the same. Slices are single rows where the operation works on rows.

use std::ops::Range;

use crate::{Activation, RopeLayout, Router};

/// A number by definition, and the size of what was added up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exact {
    /// The number.
    pub value: f64,
    /// What it would be if no term of its sums cancelled another: errors of rounding are proportional to
    /// it. 0 where every term is 0, and then the result must be 0.
    pub magnitude: f64,
}

impl Exact {
    /// A number that is not a sum.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self {
            value,
            magnitude: value.abs(),
        }
    }

    /// The sum of `terms`.
    #[must_use]
    pub fn sum(terms: impl IntoIterator<Item = f64>) -> Self {
        terms
            .into_iter()
            .fold(Self::default(), |sum, term| sum + Self::new(term))
    }

    /// Multiplied with a number.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            magnitude: self.magnitude * factor.abs(),
        }
    }

    /// Whether `found` is this number up to `units` roundings to `f32` of its magnitude.
    ///
    /// It may always be off by the smallest normal `f32`, as where denormal numbers are taken for zero.
    /// Of a magnitude of 0, only 0 is accepted; of NaN, only NaN.
    #[must_use]
    pub fn accepts(self, found: f32, units: f64) -> bool {
        if self.value.is_nan() || self.magnitude.is_nan() {
            return found.is_nan();
        }
        let unit = f64::from(f32::EPSILON / 2.0);
        let normal = f64::from(f32::MIN_POSITIVE);
        let limit = if self.magnitude == 0.0 {
            0.0
        } else {
            units * unit * self.magnitude + normal
        };
        (f64::from(found) - self.value).abs() <= limit
    }
}

impl std::ops::Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            magnitude: self.magnitude + other.magnitude,
        }
    }
}

fn wide(x: &[f32]) -> impl Iterator<Item = f64> + Clone {
    x.iter().map(|&v| f64::from(v))
}

fn dot(a: &[f32], b: &[f32]) -> Exact {
    assert_eq!(a.len(), b.len(), "a dot product of rows of one length");
    Exact::sum(wide(a).zip(wide(b)).map(|(a, b)| a * b))
}

/// The error function, to about 1e-15: its series near zero, the continued fraction of its complement
/// elsewhere.
#[must_use]
pub fn erf(x: f64) -> f64 {
    let t = x.abs();
    let value = if t < 2.5 {
        // 2 / sqrt(pi) * e^(-t^2) * sum of 2^n t^(2n+1) / (1 * 3 * .. * (2n+1)), which cancels nowhere.
        let (mut term, mut sum) = (t, t);
        for n in 1..80 {
            term *= 2.0 * t * t / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        sum * (-t * t).exp() * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        // e^(-t^2) / sqrt(pi) / (t + (1/2) / (t + 1 / (t + (3/2) / (t + ..))))
        let mut fraction = t;
        for n in (1..=120).rev() {
            fraction = t + f64::from(n) / 2.0 / fraction;
        }
        1.0 - (-t * t).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    };
    if t == 0.0 { x } else { value.copysign(x) }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The sigmoid of a number that is rounded itself: far below zero, that rounding is the larger error.
fn sigmoid_of_product(x: f64) -> Exact {
    Exact {
        value: sigmoid(x),
        magnitude: sigmoid(x) * (1.0 + x.abs()),
    }
}

/// [`activate`](crate::activate) of one number.
///
/// The two forms of GELU are defined with a sum `1 + erf(..)` or `1 + tanh(..)`, which cancels for
/// negative numbers, here as in torch.
#[must_use]
pub fn activation(v: f64, activation: Activation) -> Exact {
    let gelu = |inner: f64| (Exact::new(1.0) + Exact::new(inner)).times(0.5 * v);
    match activation {
        Activation::Silu => Exact::new(v * sigmoid(v)),
        Activation::Gelu => gelu(erf(v / 2.0_f64.sqrt())),
        Activation::GeluTanh => {
            gelu(((2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v.powi(3))).tanh())
        }
        Activation::QuickGelu => sigmoid_of_product(1.702 * v).times(v),
        Activation::Relu => Exact::new(if v < 0.0 { 0.0 } else { v }),
        Activation::Relu2 => Exact::new(if v < 0.0 { 0.0 } else { v * v }),
        Activation::Tanh => Exact::new(v.tanh()),
        Activation::Sigmoid => Exact::new(sigmoid(v)),
        Activation::Identity => Exact::new(v),
    }
}

/// [`clamped_swiglu`](crate::clamped_swiglu) of one pair.
#[must_use]
pub fn clamped_swiglu(gate: f32, up: f32, limit: f32, alpha: f32) -> Exact {
    let limit = f64::from(limit);
    let gate = f64::from(gate).min(limit);
    let up = f64::from(up).clamp(-limit, limit);
    let sigmoid = sigmoid_of_product(f64::from(alpha) * gate);
    let up = Exact::new(up) + Exact::new(1.0);
    Exact {
        value: up.value * gate * sigmoid.value,
        magnitude: up.magnitude * gate.abs() * sigmoid.magnitude,
    }
}

/// [`softcap`](crate::softcap) of one number.
#[must_use]
pub fn softcap(x: f32, cap: f32) -> Exact {
    Exact::new(f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh())
}

/// [`rms_norm`](crate::rms_norm) of a row.
#[must_use]
pub fn rms_norm(x: &[f32], gain: Option<&[f32]>, eps: f32, unit_offset: bool) -> Vec<Exact> {
    let mean = wide(x).map(|v| v * v).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean + f64::from(eps)).sqrt();
    let offset = if unit_offset { 1.0 } else { 0.0 };
    let factor = |i: usize| {
        gain.map_or(Exact::new(1.0), |gain| {
            Exact::new(f64::from(gain[i])) + Exact::new(offset)
        })
    };
    wide(x)
        .enumerate()
        .map(|(i, v)| factor(i).times(v * scale))
        .collect()
}

/// [`layer_norm`](crate::layer_norm) of a row.
#[must_use]
pub fn layer_norm(x: &[f32], gain: &[f32], bias: Option<&[f32]>, eps: f32) -> Vec<Exact> {
    let n = x.len() as f64;
    let mean = Exact::sum(wide(x)).times(1.0 / n);
    let variance = wide(x).map(|v| (v - mean.value).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + f64::from(eps)).sqrt();
    let bias = |i: usize| Exact::new(bias.map_or(0.0, |bias| f64::from(bias[i])));
    let row = wide(x).zip(wide(gain)).enumerate();
    row.map(|(i, (v, gain))| (Exact::new(v) + mean.times(-1.0)).times(scale * gain) + bias(i))
        .collect()
}

/// [`l2_normalize`](crate::l2_normalize) of a row.
#[must_use]
pub fn l2_normalize(x: &[f32], eps: f32) -> Vec<Exact> {
    let length = wide(x)
        .map(|v| v * v)
        .sum::<f64>()
        .sqrt()
        .max(f64::from(eps));
    wide(x).map(|v| Exact::new(v / length)).collect()
}

/// The softmax of scores, each with its error's magnitude, and of a score that has no place in the result.
///
/// Of a score's error, a weight has the same in proportion to itself.
fn weights(scores: &[Exact], sink: Option<f32>) -> Vec<Exact> {
    let sink = sink.map_or(f64::NEG_INFINITY, f64::from);
    let max = scores.iter().map(|score| score.value).fold(sink, f64::max);
    if max == f64::NEG_INFINITY {
        return vec![Exact::default(); scores.len()];
    }
    let sum = scores
        .iter()
        .map(|score| (score.value - max).exp())
        .sum::<f64>()
        + (sink - max).exp();
    let finite = scores
        .iter()
        .filter(|score| score.value > f64::NEG_INFINITY);
    let error = 1.0
        + finite
            .map(|score| score.magnitude)
            .fold(max.abs(), f64::max);
    let weight = |score: &Exact| (score.value - max).exp() / sum;
    scores
        .iter()
        .map(|score| Exact {
            value: weight(score),
            magnitude: weight(score) * error,
        })
        .collect()
}

/// [`softmax`](crate::softmax) of a row.
#[must_use]
pub fn softmax(x: &[f32]) -> Vec<Exact> {
    weights(&wide(x).map(Exact::new).collect::<Vec<_>>(), None)
}

/// [`rope`](crate::rope) of one head at one position. The angle is a product in `f32` by definition.
#[must_use]
pub fn rope(
    x: &[f32],
    inv_freq: &[f32],
    attention_scaling: f32,
    position: usize,
    layout: RopeLayout,
) -> Vec<Exact> {
    let mut out: Vec<Exact> = wide(x).map(Exact::new).collect();
    let half = inv_freq.len();
    for (i, &frequency) in inv_freq.iter().enumerate() {
        let (a, b) = match layout {
            RopeLayout::Half => (i, i + half),
            RopeLayout::Interleaved => (2 * i, 2 * i + 1),
        };
        let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
        let (x, y) = (f64::from(x[a]), f64::from(x[b]));
        out[a] = Exact::sum([x * cos, -y * sin]).times(f64::from(attention_scaling));
        out[b] = Exact::sum([y * cos, x * sin]).times(f64::from(attention_scaling));
    }
    out
}

/// [`linear`](crate::linear): `x` `[T, I]`, `w` `[O, I]`, `bias` `[O]`: `[T, O]`.
#[must_use]
pub fn linear(x: &[f32], w: &[f32], bias: Option<&[f32]>, inputs: usize) -> Vec<Exact> {
    let mut out = Vec::new();
    for x in x.chunks_exact(inputs) {
        for (o, w) in w.chunks_exact(inputs).enumerate() {
            out.push(dot(x, w) + Exact::new(bias.map_or(0.0, |bias| f64::from(bias[o]))));
        }
    }
    out
}

/// `x` as a product with a [`Quantized`](crate::Quantized) matrix sees it: in each group of so many numbers (a
/// row, of int8), multiples of the largest magnitude over 127.
#[must_use]
pub fn rounded_activations(x: &[f32], group: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for x in x.chunks(group) {
        let most = x.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        // As in `f32`, in which a number may be half way between two multiples.
        let (scale, inverse) = (most / 127.0, 127.0 / most);
        let round = |v: f32| f64::from(scale) * f64::from((v * inverse).round_ties_even());
        out.extend(x.iter().map(|&v| if most == 0.0 { 0.0 } else { round(v) }));
    }
    out
}

/// [`linear`](crate::linear) with a [`Quantized`](crate::Quantized) matrix of the numbers `w` `[O, I]`
/// ([`to_f32`](crate::Quantized::to_f32)), and activations rounded in groups.
#[must_use]
pub fn linear_rounded(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    inputs: usize,
    group: usize,
) -> Vec<Exact> {
    let mut out = Vec::new();
    for x in x.chunks_exact(inputs) {
        let x = rounded_activations(x, group);
        for (o, w) in w.chunks_exact(inputs).enumerate() {
            let terms = x.iter().zip(wide(w)).map(|(x, w)| x * w);
            out.push(Exact::sum(terms) + Exact::new(bias.map_or(0.0, |bias| f64::from(bias[o]))));
        }
    }
    out
}

/// [`mean_rows`](crate::mean_rows) of one span of `x` `[T, W]`.
#[must_use]
pub fn mean_rows(x: &[f32], width: usize, span: Range<usize>) -> Vec<Exact> {
    let rows = span.len() as f64;
    let mean = |c: usize| {
        Exact::sum(span.clone().map(|row| f64::from(x[row * width + c]))).times(1.0 / rows)
    };
    (0..width).map(mean).collect()
}

/// [`conv1d`](crate::conv1d) of one sequence: `x` `[T, C]`, `w` `[O, C, k]`, `bias` `[O]`: `[T', O]`.
#[must_use]
pub fn conv1d(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Vec<Exact> {
    let len = x.len() / channels;
    let mut out = Vec::new();
    for t in 0..=(len + 2 * padding - kernel) / stride {
        for (w, &bias) in w.chunks_exact(channels * kernel).zip(bias) {
            let mut sum = Exact::new(f64::from(bias));
            for (c, j) in (0..channels).flat_map(|c| (0..kernel).map(move |j| (c, j))) {
                // Position `at - padding`, where that is one.
                let at = t * stride + j;
                if at >= padding && at - padding < len {
                    let x = x[(at - padding) * channels + c];
                    sum = sum + Exact::new(f64::from(x) * f64::from(w[c * kernel + j]));
                }
            }
            out.push(sum);
        }
    }
    out
}

/// [`patches`](crate::patches) of one image: `pixels` `[C, H, W]`.
#[must_use]
pub fn patches(pixels: &[f32], [channels, height, width]: [usize; 3], patch: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for (row, column) in
        (0..height / patch).flat_map(|row| (0..width / patch).map(move |column| (row, column)))
    {
        for c in 0..channels {
            for (y, x) in (0..patch).flat_map(|y| (0..patch).map(move |x| (y, x))) {
                out.push(pixels[(c * height + row * patch + y) * width + column * patch + x]);
            }
        }
    }
    out
}

/// [`route`](crate::route) of one token: experts and weights.
///
/// # Panics
/// If there are fewer than `k` experts.
#[must_use]
pub fn route(logits: &[f32], k: usize, router: Router) -> Vec<(usize, Exact)> {
    let all = softmax(logits);
    // One at a time, the largest that is left, the first of equals.
    let mut taken: Vec<usize> = Vec::new();
    for _ in 0..k {
        let left = (0..logits.len()).filter(|expert| !taken.contains(expert));
        let best = left.reduce(|best, expert| {
            if logits[expert] > logits[best] {
                expert
            } else {
                best
            }
        });
        taken.push(best.expect("there are k experts"));
    }
    let weights = match router {
        Router::SoftmaxTopK { normalize: false } => {
            taken.iter().map(|&expert| all[expert]).collect()
        }
        // To divide by the sum of those taken is the softmax over those taken.
        Router::SoftmaxTopK { normalize: true } | Router::TopKSoftmax => softmax(
            &taken
                .iter()
                .map(|&expert| logits[expert])
                .collect::<Vec<_>>(),
        ),
    };
    taken.into_iter().zip(weights).collect()
}

/// What an expert of kind [`Gated`](crate::ExpertKind::Gated) makes of a row `x` `[E]`: `gate` and `up` `[I, E]`,
/// `down` `[E, I]`, without biases.
#[must_use]
pub fn gated_expert(
    x: &[f32],
    gate: &[f32],
    up: &[f32],
    down: &[f32],
    function: Activation,
) -> Vec<Exact> {
    let width = x.len();
    let (gate, up) = (linear(x, gate, None, width), linear(x, up, None, width));
    let product = |(gate, up): (Exact, Exact)| {
        let f = activation(gate.value, function);
        // Errors of the three: of the gate, whose slope is about 1, of its function, of the other half.
        let error = gate.magnitude * up.value.abs()
            + f.magnitude * up.value.abs()
            + f.value.abs() * up.magnitude;
        Exact {
            value: f.value * up.value,
            magnitude: error,
        }
    };
    let inner: Vec<Exact> = gate.into_iter().zip(up).map(product).collect();
    let row = |down: &[f32]| {
        let terms = inner.iter().zip(wide(down)).map(|(x, w)| x.times(w));
        terms.fold(Exact::default(), |sum, term| sum + term)
    };
    down.chunks_exact(inner.len()).map(row).collect()
}

/// Whether a query at position `query` sees the key at `key`, as [`AttentionParams`](crate::AttentionParams)
/// define it.
#[must_use]
pub fn sees(query: usize, key: usize, causal: bool, window: Option<usize>) -> bool {
    match (causal, window) {
        (true, None) => key <= query,
        (true, Some(window)) => key <= query && key + window > query,
        (false, None) => true,
        (false, Some(window)) => key.abs_diff(query) <= window,
    }
}

/// [`attention`](crate::attention) of one head of one query `q` `[Dk]` over the keys that it sees: each with
/// its value and its bias. `[Dv]`.
#[must_use]
pub fn attention(
    q: &[f32],
    keys: &[(&[f32], &[f32], f32)],
    value_dim: usize,
    scale: f32,
    cap: Option<f32>,
    sink: Option<f32>,
) -> Vec<Exact> {
    let score = |&(key, _, bias): &(&[f32], &[f32], f32)| {
        let mut score = dot(q, key).times(f64::from(scale));
        if let Some(cap) = cap {
            // The slope is at most 1: the error does not grow.
            score.value = f64::from(cap) * (score.value / f64::from(cap)).tanh();
        }
        score + Exact::new(f64::from(bias))
    };
    let weights = weights(&keys.iter().map(score).collect::<Vec<_>>(), sink);
    let term = |d: usize| {
        let terms = weights
            .iter()
            .zip(keys)
            .map(move |(weight, key)| weight.times(f64::from(key.1[d])));
        terms.fold(Exact::default(), |sum, term| sum + term)
    };
    (0..value_dim).map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_by_table() {
        // Abramowitz and Stegun, table 7.1, and mpmath beyond.
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.4999, 0.999_592_830_099_666_5),
            (2.5, 0.999_593_047_982_555),
            (3.0, 0.999_977_909_503_001_4),
        ] {
            assert!((erf(x) - want).abs() < 2e-15, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }

    #[test]
    fn only_the_right_number_is_accepted() {
        let exact = Exact::sum([1.0, -1.0]);
        assert!(exact.accepts(0.0, 1.0) && exact.accepts(1e-7, 1.0));
        assert!(!exact.accepts(2e-7, 1.0));
        let zero = Exact::sum([0.0, 0.0]);
        assert!(zero.accepts(0.0, 100.0) && zero.accepts(-0.0, 100.0));
        assert!(!zero.accepts(1e-45, 100.0));
        assert!(!zero.accepts(f32::NAN, 100.0) && !exact.accepts(f32::NAN, 100.0));
        assert!(Exact::new(f64::NAN).accepts(f32::NAN, 1.0));
        assert!(!Exact::new(f64::NAN).accepts(0.0, 1.0));
        assert!(!Exact::new(1.0).accepts(f32::INFINITY, 1.0));
    }

    #[test]
    fn a_weight_of_masked_scores_is_nothing() {
        let weights = softmax(&[0.0, f32::NEG_INFINITY]);
        assert_eq!(weights[0].value, 1.0);
        assert_eq!(weights[1], Exact::default());
        assert_eq!(softmax(&[f32::NEG_INFINITY]), [Exact::default()]);
    }
}
