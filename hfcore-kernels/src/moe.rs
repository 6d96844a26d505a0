//! Mixtures of experts: each token goes through some of many multilayer perceptrons.
//!
//! Shazeer et al. 2017, <https://arxiv.org/abs/1701.06538>. Reference: `MixtralSparseMoeBlock` and
//! `GptOssMLP` in transformers.

use crate::elementwise::scale_to;
#[cfg(feature = "wgpu")]
use crate::gpu::ops::experts::{GpuExperts, Loaded};
use crate::softmax::softmax_row;
use crate::{
    Activation, Device, DeviceError, Isa, Matrix, Tensor, clamped_swiglu, gated, gather_rows,
    linear, linears,
};

/// How logits become weights of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
///
/// What [`route`] finds on a GPU stays there: [`moe`] reads it where it is.
#[derive(Clone, Debug)]
pub struct Routing {
    experts_per_token: usize,
    choice: Choice,
}

/// Where a routing is.
#[derive(Clone, Debug)]
enum Choice {
    /// `[T, k]` each.
    Host {
        experts: Vec<usize>,
        weights: Vec<f32>,
    },
    /// `[2, T, k]`: numbers of experts, as the bits of whole numbers, then weights.
    #[cfg(feature = "wgpu")]
    Gpu(Tensor),
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
            choice: Choice::Host { experts, weights },
        }
    }

    /// The experts of each token, `k`.
    #[must_use]
    pub const fn experts_per_token(&self) -> usize {
        self.experts_per_token
    }

    /// The numbers of the experts, `[T, k]`, those of a token by falling weight.
    ///
    /// # Panics
    /// If the routing is on a GPU: [`to_host`](Self::to_host) brings it here.
    #[must_use]
    #[track_caller]
    pub fn experts(&self) -> &[usize] {
        self.host().0
    }

    /// Their weights, `[T, k]`.
    ///
    /// # Panics
    /// As [`experts`](Self::experts).
    #[must_use]
    #[track_caller]
    pub fn weights(&self) -> &[f32] {
        self.host().1
    }

    /// The same routing, read back if it is on a GPU.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory since the last read.
    pub fn to_host(&self) -> Result<Self, DeviceError> {
        match &self.choice {
            Choice::Host { .. } => Ok(self.clone()),
            #[cfg(feature = "wgpu")]
            Choice::Gpu(choice) => {
                let mut experts = choice.to_vec()?;
                let weights = experts.split_off(experts.len() / 2);
                let experts = experts.iter().map(|n| n.to_bits() as usize).collect();
                Ok(Self::new(self.experts_per_token, experts, weights))
            }
        }
    }

    #[track_caller]
    fn host(&self) -> (&[usize], &[f32]) {
        match &self.choice {
            Choice::Host { experts, weights } => (experts, weights),
            #[cfg(feature = "wgpu")]
            Choice::Gpu(choice) => panic!(
                "Routing: on {}, from where `to_host` brings it",
                choice.device().name()
            ),
        }
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
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = logits.device().on_gpu() {
        return Routing {
            experts_per_token: k,
            choice: Choice::Gpu(crate::gpu::ops::route::route(gpu, logits, k, router)),
        };
    }
    let cpu = logits.device().on_cpu();
    let mut experts = Vec::with_capacity(tokens * k);
    let mut all_weights = Vec::with_capacity(tokens * k);
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
        experts.extend_from_slice(taken);
        all_weights.extend_from_slice(&weights);
    }
    Routing::new(k, experts, all_weights)
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

/// The parameters of all experts.
#[derive(Clone, Debug)]
pub struct Experts {
    kind: ExpertKind,
    parameters: Parameters,
}

/// Where the parameters are.
#[derive(Clone, Debug)]
enum Parameters {
    /// One of each list per expert, or an empty list where they have none.
    Host(Lists),
    #[cfg(feature = "wgpu")]
    Gpu(GpuExperts),
}

#[derive(Clone, Debug, Default)]
struct Lists {
    gate: Vec<Matrix>,
    up: Vec<Matrix>,
    down: Vec<Matrix>,
    gate_bias: Vec<Tensor>,
    up_bias: Vec<Tensor>,
    down_bias: Vec<Tensor>,
}

impl Experts {
    /// Experts without biases, one matrix of each list per expert.
    ///
    /// `gate` and `up` `[I, E]`, `down` `[E, I]`. With [`ExpertKind::ClampedSwiglu`] gate and up are in one, row
    /// by row in turns, `[2 I, E]`, and `up` is empty.
    #[must_use]
    pub fn new(gate: Vec<Matrix>, up: Vec<Matrix>, down: Vec<Matrix>, kind: ExpertKind) -> Self {
        let lists = Lists {
            gate,
            up,
            down,
            ..Lists::default()
        };
        Self {
            kind,
            parameters: Parameters::Host(lists),
        }
    }

    /// With a bias for each matrix, those of `gate`, `up` and `down`; none where a list is empty. They are on the
    /// device of the CPU that computes, or wherever [`to_device`](Self::to_device) can read them.
    ///
    /// # Panics
    /// If the experts are on a GPU already.
    #[must_use]
    #[track_caller]
    pub fn with_biases(
        mut self,
        gate_bias: Vec<Tensor>,
        up_bias: Vec<Tensor>,
        down_bias: Vec<Tensor>,
    ) -> Self {
        match &mut self.parameters {
            Parameters::Host(lists) => {
                lists.gate_bias = gate_bias;
                lists.up_bias = up_bias;
                lists.down_bias = down_bias;
            }
            #[cfg(feature = "wgpu")]
            Parameters::Gpu(_) => panic!("Experts::with_biases: the experts are on a GPU"),
        }
        self
    }

    /// What is between the projections.
    #[must_use]
    pub const fn kind(&self) -> ExpertKind {
        self.kind
    }

    /// The experts where `device` computes with them. A CPU does so where they are.
    ///
    /// A GPU gets copies, of all experts behind each other. Experts of different shapes or types, which are no
    /// mixture, stay where they are.
    ///
    /// # Errors
    /// If the device has no memory for them, or was lost.
    pub fn to_device(&self, device: &Device) -> Result<Self, DeviceError> {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = device.on_gpu()
            && let Parameters::Host(lists) = &self.parameters
            && let Some(loaded) = lists.loaded(self.kind)?
        {
            return Ok(Self {
                kind: self.kind,
                parameters: Parameters::Gpu(GpuExperts::upload(gpu, &loaded)?),
            });
        }
        let _ = device;
        Ok(self.clone())
    }

    /// Where they can be computed with by a CPU.
    #[track_caller]
    fn lists(&self) -> &Lists {
        match &self.parameters {
            Parameters::Host(lists) => lists,
            #[cfg(feature = "wgpu")]
            Parameters::Gpu(_) => panic!("moe: the experts are on a GPU, and x is not"),
        }
    }
}

impl Lists {
    /// All of them for a GPU, if they are alike.
    #[cfg(feature = "wgpu")]
    fn loaded(&self, kind: ExpertKind) -> Result<Option<Loaded<'_>>, DeviceError> {
        let count = self.down.len();
        let [two, inner] = match kind {
            ExpertKind::Gated(_) => [1, 1],
            ExpertKind::ClampedSwiglu { .. } => [0, 2],
        };
        let alike = |list: &[Matrix], like: Option<&Matrix>| {
            let seen = |matrix: &Matrix| (matrix.shape(), matrix.type_name());
            list.iter()
                .all(|matrix| Some(seen(matrix)) == like.map(seen))
        };
        let (Some(gate), Some(down)) = (self.gate.first(), self.down.first()) else {
            return Ok(None);
        };
        let fits = match (gate.shape().as_slice(), down.shape().as_slice()) {
            (&[rows, width], &[outputs, inputs]) => {
                rows == inner * inputs && width == outputs && rows * width > 0
            }
            _ => false,
        };
        let counts = [self.gate.len(), self.up.len()] == [count, two * count];
        let all = alike(&self.gate, Some(gate))
            && alike(&self.up, Some(gate))
            && alike(&self.down, Some(down));
        if !(fits && counts && all) {
            return Ok(None);
        }
        // Of each expert, one list's after the other; zeros for a list that is empty where another is not.
        let numbers = |lists: &[&[Tensor]], rows: usize| -> Result<Vec<f32>, DeviceError> {
            let mut numbers = Vec::new();
            if lists.iter().any(|list| !list.is_empty()) {
                for (expert, list) in (0..count).flat_map(|i| lists.iter().map(move |l| (i, l))) {
                    match list.get(expert) {
                        Some(bias) => numbers.extend(bias.to_vec()?),
                        None => numbers.resize(numbers.len() + rows, 0.0),
                    }
                }
            }
            Ok(numbers)
        };
        let of_gate: &[&[Tensor]] = match kind {
            ExpertKind::Gated(_) => &[&self.gate_bias, &self.up_bias],
            ExpertKind::ClampedSwiglu { .. } => &[&self.gate_bias],
        };
        Ok(Some(Loaded {
            gate: &self.gate,
            up: &self.up,
            down: &self.down,
            up_bias: numbers(of_gate, gate.shape()[0])?,
            down_bias: numbers(&[&self.down_bias], down.shape()[0])?,
            kind,
        }))
    }

    /// Expert number `expert` of `x` `[M, E]`: `[M, E]`.
    fn forward(&self, kind: ExpertKind, expert: usize, x: &Tensor) -> Tensor {
        let gate = (&self.gate[expert], self.gate_bias.get(expert));
        let inner = match kind {
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
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return on_gpu(gpu, x, routing, experts);
    }
    let (k, lists) = (routing.experts_per_token, experts.lists());
    let count = lists.gate.len();
    let (numbers, weights) = routing.host();
    assert_eq!(
        numbers.len(),
        x.rows() * k,
        "moe: routing of {:?}",
        x.shape()
    );
    assert_eq!(lists.down.len(), count, "moe: matrices of {count} experts");
    let mut chosen: Vec<Vec<(usize, f32)>> = vec![Vec::new(); count];
    for (i, (&expert, &weight)) in numbers.iter().zip(weights).enumerate() {
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
        let mut y = lists.forward(experts.kind, expert, &gather_rows(x, &rows));
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

/// [`moe`] where `x` is on a GPU, and so are the experts.
#[cfg(feature = "wgpu")]
#[track_caller]
fn on_gpu(
    gpu: &std::sync::Arc<crate::gpu::Gpu>,
    x: &Tensor,
    routing: &Routing,
    experts: &Experts,
) -> Tensor {
    let Parameters::Gpu(experts) = &experts.parameters else {
        panic!(
            "moe: x is on {}, and the experts are not: `Experts::to_device`",
            gpu.name()
        )
    };
    let (k, count) = (routing.experts_per_token, experts.count());
    assert_eq!(
        x.width(),
        experts.down_shape()[0],
        "moe: {:?} and experts of another width",
        x.shape()
    );
    let chosen;
    let choice = match &routing.choice {
        Choice::Gpu(choice) => choice,
        Choice::Host { experts, weights } => {
            let mut words = Vec::with_capacity(2 * experts.len());
            for &expert in experts {
                assert!(expert < count, "moe: expert {expert} of {count}");
                let word = u32::try_from(expert).expect("experts are fewer than 2^32");
                words.push(f32::from_bits(word));
            }
            words.extend(weights);
            chosen = Tensor::from_vec(x.device(), &[2, experts.len() / k, k], words);
            &chosen
        }
    };
    assert_eq!(
        choice.shape(),
        [2, x.rows(), k],
        "moe: routing of {:?}",
        x.shape()
    );
    crate::gpu::ops::moe::moe(gpu, x, choice, k, experts)
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
        assert_eq!(normalized.experts(), routing.experts());
        assert_eq!(normalized.weights(), routing.weights());
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
