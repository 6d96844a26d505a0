//! Mixtures of experts: each token goes through some of many multilayer perceptrons.
//!
//! Shazeer et al. 2017, <https://arxiv.org/abs/1701.06538>. Reference: `MixtralSparseMoeBlock` and
//! `GptOssMLP` in transformers.

use crate::elementwise::scale_to;
use crate::softmax::softmax_row;
use crate::{Activation, Isa, Matrix, Tensor, clamped_swiglu, gated, gather_rows, linear, linears};

/// How logits become weights of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Router {
    /// The softmax over all experts, of which the largest are taken (Mixtral, Qwen).
    SoftmaxTopK {
        /// Whether the weights taken are divided by their sum.
        normalize: bool,
    },
    /// The largest logits, and the softmax over these (gpt-oss).
    TopKSoftmax,
}

/// Which experts each token goes to, and with which weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    experts_per_token: usize,
    experts: Vec<usize>,
    weights: Vec<f32>,
}

impl Routing {
    /// A routing by other rules than [`Router`]'s: `experts` and `weights` `[T, k]`.
    ///
    /// # Panics
    /// If they are not as many, or not `k` of each token.
    #[must_use]
    #[track_caller]
    pub fn new(experts_per_token: usize, experts: Vec<usize>, weights: Vec<f32>) -> Self {
        assert_eq!(
            experts.len(),
            weights.len(),
            "Routing::new: experts and weights"
        );
        let whole = experts_per_token > 0 && experts.len().is_multiple_of(experts_per_token);
        assert!(
            whole,
            "Routing::new: {experts_per_token} of each token, found {}",
            experts.len()
        );
        Self {
            experts_per_token,
            experts,
            weights,
        }
    }

    /// The experts of each token, `k`.
    #[must_use]
    pub const fn experts_per_token(&self) -> usize {
        self.experts_per_token
    }

    /// The numbers of the experts, `[T, k]`, those of a token by falling weight.
    #[must_use]
    pub fn experts(&self) -> &[usize] {
        &self.experts
    }

    /// Their weights, `[T, k]`.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }
}

/// The `k` experts of each token, from the router's `logits` `[T, N]`.
///
/// Of equal logits, the expert with the lower number is taken first, as torch does on the CPU.
///
/// # Panics
/// If `k` is 0 or there are fewer experts.
#[must_use]
#[track_caller]
pub fn route(logits: &Tensor, k: usize, router: Router) -> Routing {
    let (count, tokens) = (logits.width(), logits.rows());
    assert!(k > 0 && k <= count, "route: {k} of {count} experts");
    let cpu = logits.device().on_cpu();
    let mut routing = Routing {
        experts_per_token: k,
        experts: Vec::with_capacity(tokens * k),
        weights: Vec::with_capacity(tokens * k),
    };
    let mut all = vec![0.0; count];
    let mut order: Vec<usize> = Vec::with_capacity(count);
    for logits in logits.data().chunks_exact(count) {
        let values = match router {
            Router::SoftmaxTopK { .. } => {
                softmax_row(cpu.isa, logits, &mut all);
                &all
            }
            Router::TopKSoftmax => logits,
        };
        // Sorting is stable: of equal values, the lower number stays first.
        order.clear();
        order.extend(0..count);
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        let taken = &order[..k];
        let mut weights: Vec<f32> = taken.iter().map(|&expert| values[expert]).collect();
        match router {
            Router::SoftmaxTopK { normalize: false } => {}
            Router::SoftmaxTopK { normalize: true } => {
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            Router::TopKSoftmax => {
                let logits = weights.clone();
                softmax_row(cpu.isa, &logits, &mut weights);
            }
        }
        routing.experts.extend_from_slice(taken);
        routing.weights.extend_from_slice(&weights);
    }
    routing
}

/// What an expert computes between its projections.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExpertKind {
    /// `down(activation(gate(x)) * up(x))`.
    Gated(Activation),
    /// `down(clamped_swiglu(gate_up(x)))`, with [`clamped_swiglu`].
    ClampedSwiglu {
        /// The bound of the gate, and on both sides of the other half.
        limit: f32,
        /// The slope of the sigmoid.
        alpha: f32,
    },
}

/// The parameters of all experts: one of each list per expert, or an empty list where they have none.
#[derive(Clone, Debug)]
pub struct Experts {
    /// `[I, E]`; with [`ExpertKind::ClampedSwiglu`] gate and up in one, row by row in turns, `[2 I, E]`.
    pub gate: Vec<Matrix>,
    /// `[I, E]`; empty with [`ExpertKind::ClampedSwiglu`].
    pub up: Vec<Matrix>,
    /// `[E, I]`.
    pub down: Vec<Matrix>,
    /// Of `gate`.
    pub gate_bias: Vec<Tensor>,
    /// Of `up`.
    pub up_bias: Vec<Tensor>,
    /// Of `down`.
    pub down_bias: Vec<Tensor>,
    /// What is between the projections.
    pub kind: ExpertKind,
}

impl Experts {
    /// Experts without biases.
    #[must_use]
    pub const fn new(
        gate: Vec<Matrix>,
        up: Vec<Matrix>,
        down: Vec<Matrix>,
        kind: ExpertKind,
    ) -> Self {
        Self {
            gate,
            up,
            down,
            gate_bias: Vec::new(),
            up_bias: Vec::new(),
            down_bias: Vec::new(),
            kind,
        }
    }

    /// Expert number `expert` of `x` `[M, E]`: `[M, E]`.
    fn forward(&self, expert: usize, x: &Tensor) -> Tensor {
        let gate = (&self.gate[expert], self.gate_bias.get(expert));
        let inner = match self.kind {
            ExpertKind::Gated(activation) => {
                let up = (&self.up[expert], self.up_bias.get(expert));
                let [gate, up] = linears(x, [gate, up]);
                gated(gate, &up, activation)
            }
            ExpertKind::ClampedSwiglu { limit, alpha } => {
                clamped_swiglu(&linear(x, gate.0, gate.1), limit, alpha)
            }
        };
        linear(&inner, &self.down[expert], self.down_bias.get(expert))
    }
}

/// Each row of `x` `[T, E]` through its experts: the sum of what they give, weighted: `[T, E]`.
///
/// An expert computes all its rows together. The sum is taken by rising number of the expert.
///
/// # Panics
/// If the routing is not of `T` tokens or names an expert that is not there, or shapes disagree.
#[must_use]
#[track_caller]
pub fn moe(x: &Tensor, routing: &Routing, experts: &Experts) -> Tensor {
    let (k, count) = (routing.experts_per_token, experts.gate.len());
    assert_eq!(
        routing.experts.len(),
        x.rows() * k,
        "moe: routing of {:?}",
        x.shape()
    );
    assert_eq!(
        experts.down.len(),
        count,
        "moe: matrices of {count} experts"
    );
    let mut chosen: Vec<Vec<(usize, f32)>> = vec![Vec::new(); count];
    for (i, (&expert, &weight)) in routing.experts.iter().zip(&routing.weights).enumerate() {
        assert!(expert < count, "moe: expert {expert} of {count}");
        chosen[expert].push((i / k, weight));
    }
    let cpu = x.device().on_cpu();
    let mut out = Tensor::zeros(x.device(), x.shape());
    let width = x.width();
    for (expert, chosen) in chosen
        .iter()
        .enumerate()
        .filter(|(_, chosen)| !chosen.is_empty())
    {
        let rows: Vec<usize> = chosen.iter().map(|&(row, _)| row).collect();
        let mut y = experts.forward(expert, &gather_rows(x, &rows));
        for (y, &(row, weight)) in y.data_mut().chunks_exact_mut(width).zip(chosen) {
            add_weighted(
                cpu.isa,
                &mut out.data_mut()[row * width..][..width],
                y,
                weight,
            );
        }
    }
    out
}

/// `out += weight * y`, the product rounded first, as in torch. Leaves the product in `y`.
fn add_weighted(isa: Isa, out: &mut [f32], y: &mut [f32], weight: f32) {
    scale_to(isa, y, weight);
    crate::elementwise::add_to(isa, out, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Quantized, Weight};

    #[test]
    fn the_lower_number_wins_a_tie() {
        let logits = Tensor::from_vec(
            &Device::cpu(),
            &[2, 4],
            vec![0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        );
        let routing = route(&logits, 2, Router::TopKSoftmax);
        assert_eq!(routing.experts(), [1, 2, 0, 1]);
        assert_eq!(routing.weights(), [0.5; 4]);
        let all = route(&logits, 2, Router::SoftmaxTopK { normalize: false });
        assert_eq!(all.weights()[2..], [0.25, 0.25]);
        let normalized = route(&logits, 2, Router::SoftmaxTopK { normalize: true });
        assert_eq!(normalized, routing);
    }

    #[test]
    fn tokens_go_to_their_experts() {
        let device = Device::cpu();
        let one = |v: f32| Matrix::from(Weight::from_f32(&[1, 1], &[v]));
        let experts = Experts::new(
            vec![one(1.0), one(1.0)],
            vec![one(1.0), one(1.0)],
            vec![one(1.0), one(10.0)],
            ExpertKind::Gated(Activation::Relu),
        );
        let x = Tensor::from_vec(&device, &[3, 1], vec![1.0, 2.0, 3.0]);
        let routing = Routing::new(1, vec![1, 0, 1], vec![1.0, 0.5, 2.0]);
        assert_eq!(
            moe(&x, &routing, &experts).into_vec().unwrap(),
            [10.0, 2.0, 180.0]
        );
    }

    /// Quantized experts give what their products, one by one, give.
    #[test]
    fn experts_may_be_quantized() {
        let device = Device::cpu();
        let numbers =
            |n: usize| -> Vec<f32> { (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect() };
        let quantize = |shape: [usize; 2], format: &str| {
            let weight = Weight::from_f32(&shape, &numbers(shape[0] * shape[1]));
            Quantized::quantize(&weight, format.parse().unwrap(), &device).unwrap()
        };
        let (gate, up) = (quantize([24, 40], "int4"), quantize([24, 40], "int8"));
        let down = quantize([40, 24], "int4-64");
        let experts = Experts::new(
            vec![gate.clone().into()],
            vec![up.clone().into()],
            vec![down.clone().into()],
            ExpertKind::Gated(Activation::Silu),
        );
        let x = Tensor::from_vec(&device, &[3, 40], numbers(120));
        let found = moe(&x, &Routing::new(1, vec![0; 3], vec![1.0; 3]), &experts);
        let inner = gated(
            linear(&x, &gate, None),
            &linear(&x, &up, None),
            Activation::Silu,
        );
        assert_eq!(found.data(), linear(&inner, &down, None).data());
    }

    #[test]
    #[should_panic(expected = "route: 5 of 4 experts")]
    fn more_experts_than_there_are() {
        let _ = route(
            &Tensor::zeros(&Device::cpu(), &[1, 4]),
            5,
            Router::TopKSoftmax,
        );
    }
}
