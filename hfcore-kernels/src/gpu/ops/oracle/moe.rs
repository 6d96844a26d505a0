//! Routing, and experts of every format and kind.

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{
    Activation, DType, Device, ExpertKind, Experts, Matrix, Quantized, Router, Routing, Tensor,
    Weight, moe, route,
};

use super::{check, numbers, tensor};

const ROUTERS: [Router; 3] = [
    Router::SoftmaxTopK { normalize: false },
    Router::SoftmaxTopK { normalize: true },
    Router::TopKSoftmax,
];

#[test]
fn tokens_choose_their_experts() {
    for (count, k) in [(6, 6), (100, 8), (1100, 5)] {
        let tokens = 5;
        let mut logits = numbers(tokens * count, 20, 3.0);
        // Of equals, the lower number is first: all of a token alike, and some of another.
        logits[..count].fill(0.25);
        logits[count + 1] = logits[count + 4];
        logits[count + 3] = logits[count + 4];
        each_device(|device| {
            for router in ROUTERS {
                let routing = route(&tensor(device, &[tokens, count], &logits), k, router);
                let routing = routing.to_host().expect("a device that works");
                let want: Vec<_> = (logits.chunks_exact(count))
                    .flat_map(|logits| reference::route(logits, k, router))
                    .collect();
                let (experts, weights): (Vec<usize>, Vec<Exact>) = want.into_iter().unzip();
                assert_eq!(routing.experts(), experts, "{router:?} of {count}");
                let found = tensor(&Device::cpu(), &[tokens, k], routing.weights());
                check(&format!("{router:?} of {count}"), &found, &weights, 12.0);
            }
        });
    }
}

/// Numbers of a mixture of `count` experts, row-major, each expert's after the other's.
struct Mixture {
    count: usize,
    width: usize,
    inner: usize,
    kind: ExpertKind,
    gate: Vec<Matrix>,
    up: Vec<Matrix>,
    down: Vec<Matrix>,
    /// Those of `gate`, `up` and `down`, or nothing.
    biases: [Vec<f32>; 3],
    /// The numbers of each matrix of each list.
    numbers: [Vec<Vec<f32>>; 3],
}

impl Mixture {
    fn new(count: usize, [width, inner]: [usize; 2], format: &str, kind: ExpertKind) -> Self {
        let matrices = |shape: [usize; 2], seed: u64| -> Vec<Matrix> {
            (0..count as u64)
                .map(|i| {
                    let numbers = numbers(shape[0] * shape[1], seed + i, 0.7);
                    let weight = Weight::from_f32(&shape, &numbers);
                    match format {
                        "f32" => weight.into(),
                        "f16" => weight.to_dtype(DType::F16).into(),
                        "bf16" => weight.to_dtype(DType::Bf16).into(),
                        format => {
                            let format = format.parse().expect("a format");
                            Quantized::quantize(&weight, format, &Device::cpu())
                                .expect("finite numbers")
                                .into()
                        }
                    }
                })
                .collect()
        };
        let (rows, up) = match kind {
            ExpertKind::Gated(_) => (inner, matrices([inner, width], 2000)),
            ExpertKind::ClampedSwiglu { .. } => (2 * inner, Vec::new()),
        };
        let (gate, down) = (
            matrices([rows, width], 1000),
            matrices([width, inner], 3000),
        );
        let numbers = [&gate, &up, &down].map(|list| list.iter().map(Matrix::to_f32).collect());
        Self {
            count,
            width,
            inner,
            kind,
            gate,
            up,
            down,
            biases: [const { Vec::new() }; 3],
            numbers,
        }
    }

    fn with_biases(mut self) -> Self {
        let rows = self.gate[0].shape()[0];
        let up = if self.up.is_empty() { 0 } else { self.inner };
        self.biases = [(rows, 31), (up, 32), (self.width, 33)]
            .map(|(rows, seed)| numbers(self.count * rows, seed, 1.0));
        self
    }

    fn experts(&self, device: &Device) -> Experts {
        let biases = self.biases.each_ref().map(|biases| {
            (biases.chunks((biases.len() / self.count).max(1)))
                .map(|bias| tensor(device, &[bias.len()], bias))
                .collect()
        });
        let [gate, up, down] = biases;
        Experts::new(
            self.gate.clone(),
            self.up.clone(),
            self.down.clone(),
            self.kind,
        )
        .with_biases(gate, up, down)
        .to_device(device)
        .expect("a device that works")
    }

    /// Row `row` of `matrices[expert]` times `x`, plus its bias.
    fn product(&self, list: usize, expert: usize, row: usize, x: &[Exact]) -> Exact {
        let numbers = &self.numbers[list][expert];
        let rows = numbers.len() / x.len();
        let bias = self.biases[list].get(expert * rows + row).copied();
        let weights = &numbers[row * x.len()..][..x.len()];
        (weights.iter().zip(x))
            .map(|(w, x)| x.times(f64::from(*w)))
            .fold(Exact::new(bias.map_or(0.0, f64::from)), |sum, term| {
                sum + term
            })
    }

    /// What `expert` makes of `x`.
    fn expert(&self, expert: usize, x: &[Exact]) -> Vec<Exact> {
        let inner: Vec<Exact> = (0..self.inner)
            .map(|i| {
                let (gate, up, value, factor) = match self.kind {
                    ExpertKind::Gated(function) => {
                        let gate = self.product(0, expert, i, x);
                        let f = reference::activation(gate.value, function);
                        (gate, self.product(1, expert, i, x), f, 1.0)
                    }
                    ExpertKind::ClampedSwiglu { limit, alpha } => {
                        let gate = self.product(0, expert, 2 * i, x);
                        let up = self.product(0, expert, 2 * i + 1, x);
                        let limit = f64::from(limit);
                        let bounded = gate.value.min(limit);
                        let slope = 1.0 / (1.0 + (-f64::from(alpha) * bounded).exp());
                        let up = Exact {
                            value: up.value.clamp(-limit, limit) + 1.0,
                            magnitude: up.magnitude + 1.0,
                        };
                        // The slope of the gated number is at most about alpha.
                        (gate, up, Exact::new(bounded * slope), 2.0)
                    }
                };
                Exact {
                    value: value.value * up.value,
                    magnitude: factor * gate.magnitude * up.value.abs()
                        + value.magnitude * up.value.abs()
                        + value.value.abs() * up.magnitude,
                }
            })
            .collect();
        (0..self.width)
            .map(|row| self.product(2, expert, row, &inner))
            .collect()
    }

    /// Holds `moe` of `tokens` tokens on each device to the definition.
    fn hold(&self, what: &str, tokens: usize, k: usize) {
        self.hold_to(what, tokens, k, false);
    }

    /// The same, of `x` plus what its experts make of it, or without.
    fn hold_to(&self, what: &str, tokens: usize, k: usize, with_residual: bool) {
        let x = numbers(tokens * self.width, 40, 1.0);
        // Experts at the ends and twice the same for neighbours, whatever the number.
        let numbers_of: Vec<usize> = (0..tokens * k)
            .map(|i| (i / k * 3 + i % k * (self.count / k)) % self.count)
            .collect();
        let weights: Vec<f32> = numbers(tokens * k, 41, 0.5)
            .iter()
            .map(|w| w + 0.6)
            .collect();
        let mut want = vec![Exact::default(); tokens * self.width];
        if with_residual {
            want = x.iter().map(|&v| Exact::new(f64::from(v))).collect();
        }
        for (i, (&expert, &weight)) in numbers_of.iter().zip(&weights).enumerate() {
            let token = i / k;
            let row: Vec<Exact> = (x[token * self.width..][..self.width].iter())
                .map(|&v| Exact::new(f64::from(v)))
                .collect();
            let y = self.expert(expert, &row);
            for (out, y) in want[token * self.width..].iter_mut().zip(y) {
                *out = *out + y.times(f64::from(weight));
            }
        }
        each_device(|device| {
            let experts = self.experts(device);
            let routing = Routing::new(k, numbers_of.clone(), weights.clone());
            let x = tensor(device, &[tokens, self.width], &x);
            let found = if with_residual {
                &x + moe(&x, &routing, &experts)
            } else {
                moe(&x, &routing, &experts)
            };
            check(what, &found, &want, 6.0);
        });
    }
}

const SILU: ExpertKind = ExpertKind::Gated(Activation::Silu);
const CLAMPED: ExpertKind = ExpertKind::ClampedSwiglu {
    limit: 1.0,
    alpha: 1.702,
};

#[test]
fn experts_of_every_format() {
    for (format, size) in [
        ("f32", [17, 33]),
        ("bf16", [40, 18]),
        ("f16", [64, 32]),
        ("int8", [48, 33]),
        ("int4", [64, 40]),
        ("int4-128", [128, 130]),
    ] {
        Mixture::new(5, size, format, SILU).hold(format, 3, 2);
    }
}

/// Tiles: some full, some of one slot, and experts that nobody visits.
#[test]
fn many_tokens_of_every_format() {
    for (format, size) in [
        ("f32", [17, 33]),
        ("bf16", [72, 34]),
        ("int8", [48, 65]),
        ("int4", [64, 40]),
    ] {
        let what = format!("many of {format}");
        Mixture::new(4, size, format, SILU).hold(&what, 41, 2);
    }
    (Mixture::new(3, [16, 37], "f32", CLAMPED).with_biases()).hold("many, clamped", 40, 2);
    let gelu = ExpertKind::Gated(Activation::GeluTanh);
    (Mixture::new(3, [40, 18], "bf16", gelu).with_biases()).hold("many with biases", 40, 3);
}

#[test]
fn biases_and_the_clamped_unit() {
    let gelu = ExpertKind::Gated(Activation::GeluTanh);
    (Mixture::new(3, [16, 9], "f32", gelu).with_biases()).hold("gated with biases", 4, 3);
    (Mixture::new(4, [24, 11], "bf16", CLAMPED).with_biases()).hold("clamped", 3, 2);
    (Mixture::new(4, [64, 32], "int8", CLAMPED).with_biases()).hold("clamped int8", 3, 2);
    Mixture::new(2, [64, 32], "int4", CLAMPED).hold("clamped int4", 1, 1);
}

/// More than the least that a device can bind: experts in several parts, of which a token visits some.
#[test]
fn experts_in_parts() {
    let mixture = Mixture::new(70, [64, 64], "f32", SILU);
    mixture.hold_to("parts", 3, 4, true);
    mixture.hold_to("many, parts", 10, 60, true);
}

/// What is between the projections is more than the least that a device can bind: tokens go in two calls, of few
/// tokens of an expert and of many.
#[test]
fn tokens_in_groups() {
    for count in [600, 60] {
        let mixture = Mixture::new(count, [4, 64], "f32", SILU);
        mixture.hold_to(&format!("groups, {count} experts"), 70, 60, true);
    }
}

/// What stands for matrices that a checkpoint lacks is left where it is, until the model is refused.
#[test]
fn what_is_no_mixture_stays_on_the_host() {
    let nothing = || Matrix::from(Weight::from_f32(&[0, 0], &[]));
    let some = || Matrix::from(Weight::from_f32(&[2, 2], &[1.0; 4]));
    each_device(|device| {
        for [gate, up, down] in [
            [vec![nothing()], vec![nothing()], vec![nothing()]],
            [vec![some(); 2], vec![some(), nothing()], vec![some(); 2]],
            [vec![], vec![], vec![]],
        ] {
            let experts = Experts::new(gate, up, down, SILU);
            let experts = experts.to_device(device).expect("nothing is brought");
            assert_eq!(experts.kind(), SILU);
            let x = tensor(device, &[1, 2], &[1.0; 2]);
            let routing = Routing::new(1, vec![0], vec![1.0]);
            let run = std::panic::AssertUnwindSafe(|| moe(&x, &routing, &experts));
            assert!(
                std::panic::catch_unwind(run).is_err(),
                "nothing to compute with"
            );
        }
    });
}

/// The routing is never read back between the two, and the plan does not depend on it.
#[test]
fn from_logits_to_tokens() {
    let mixture = Mixture::new(6, [17, 33], "f32", SILU);
    let run = |device: &Device, experts: &Experts, seed: u64| -> Tensor {
        let (x, logits) = (numbers(9 * 17, seed, 1.0), numbers(9 * 6, seed + 1, 3.0));
        let routing = route(
            &tensor(device, &[9, 6], &logits),
            2,
            Router::SoftmaxTopK { normalize: true },
        );
        let x = tensor(device, &[9, 17], &x);
        &x + moe(&x, &routing, experts)
    };
    let cpu = Device::cpu();
    let of_cpu = mixture.experts(&cpu);
    each_device(|device| {
        let counters = || device.wgpu_counters().expect("a GPU");
        let experts = mixture.experts(device);
        for seed in [50, 60, 70] {
            let want = run(&cpu, &of_cpu, seed).to_vec().expect("numbers");
            let before = counters();
            let found = run(device, &experts, seed).into_vec();
            let found = found.expect("a device that works");
            for (found, want) in found.iter().zip(&want) {
                let error = (found - want).abs();
                assert!(error < 1e-5 * (1.0 + want.abs()), "{found}, not {want}");
            }
            let after = counters();
            let dispatches = after.dispatches - before.dispatches;
            assert_eq!(dispatches, 3, "the choice, and two halves of experts");
            if seed > 50 {
                assert_eq!(after.submits - before.submits, 1);
                assert_eq!(after.created_objects, before.created_objects, "step {seed}");
            }
        }
    });
}
