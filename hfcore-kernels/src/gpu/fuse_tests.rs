//! Layers as families write them: the numbers are the CPU's, and the kernels are as few as can be.

use crate::{
    Activation, AttentionParams, AttentionSpan, CpuOptions, DType, Device, KeyValues, KvDType,
    KvStore, Matrix, PAGE, Precision, RopeAngles, RopeLayout, Tensor, Weight, attention, gated,
    layer_norm, linear, linears, rms_norm, rope,
};

use super::testing::{each_device, numbers};

/// `E`, `H`, `K`, `D` and `I` of a small layer.
const SIZES: [usize; 5] = [64, 4, 2, 16, 96];

/// A decoder layer: Llama's, with Qwen 3's norms of heads, or with layer norms and biases.
struct Layer {
    matrices: Vec<Matrix>,
    gains: Vec<Tensor>,
    biases: Vec<Tensor>,
    head_norms: bool,
    layer_norms: bool,
    store: KvStore,
    pages: Vec<crate::PageId>,
    len: usize,
}

impl Layer {
    fn new(device: &Device, seed: u64, head_norms: bool, layer_norms: bool) -> Self {
        let [e, h, k, d, i] = SIZES;
        let matrix = |n: u64, [outputs, inputs]: [usize; 2]| {
            let weight = Weight::from_f32(
                &[outputs, inputs],
                &numbers(outputs * inputs, seed + n, 0.5),
            );
            let weight = weight.to_dtype(DType::Bf16).to_device(device).unwrap();
            Matrix::from(weight)
        };
        let shapes = [
            [h * d, e],
            [k * d, e],
            [k * d, e],
            [e, h * d],
            [i, e],
            [i, e],
            [e, i],
        ];
        let tensor = |width, n| Tensor::parameter(device, &[width], numbers(width, seed + n, 0.5));
        Self {
            matrices: (0..)
                .zip(shapes)
                .map(|(n, shape)| matrix(n, shape))
                .collect(),
            gains: [(e, 20), (e, 21), (d, 22), (d, 23)]
                .map(|(w, n)| tensor(w, n))
                .into(),
            biases: shapes.iter().map(|shape| tensor(shape[0], 30)).collect(),
            head_norms,
            layer_norms,
            store: KvStore::new(device, k, d, d, KvDType::F32),
            pages: Vec::new(),
            len: 0,
        }
    }

    /// Keys and values of `rows` tokens, to which nothing attends yet.
    fn remember(&mut self, rows: usize) {
        let [_, _, k, d, _] = SIZES;
        let x = |seed| {
            let numbers = numbers(rows * k * d, seed, 0.5);
            Tensor::from_vec(self.gains[0].device(), &[rows, k, d], numbers)
        };
        let (key, v) = (x(3), x(5));
        while self.pages.len() * PAGE < self.len + rows {
            self.pages.push(self.store.alloc());
        }
        self.store.write(&self.pages, self.len, &key, &v, 0..rows);
        self.len += rows;
    }

    fn norm(&self, x: &Tensor, which: usize) -> Tensor {
        let gain = &self.gains[which];
        if self.layer_norms {
            layer_norm(x, gain, Some(&self.biases[3]), 1e-5)
        } else {
            rms_norm(x, Some(gain), 1e-5, false)
        }
    }

    fn forward(&mut self, x: Tensor) -> Tensor {
        let [_, h, k, d, _] = SIZES;
        let rows = x.rows();
        let [wq, wk, wv, wo, gate, up, down] = self.matrices.as_slice() else {
            unreachable!()
        };
        let bias = |n: usize| self.layer_norms.then(|| &self.biases[n]);
        let normed = self.norm(&x, 0);
        let [q, key, v] = linears(&normed, [(wq, bias(0)), (wk, bias(1)), (wv, bias(2))]);
        drop(normed);
        let (mut q, mut key) = (q.reshape(&[rows, h, d]), key.reshape(&[rows, k, d]));
        if self.head_norms {
            q = rms_norm(&q, Some(&self.gains[2]), 1e-5, false);
            key = rms_norm(&key, Some(&self.gains[3]), 1e-5, false);
        }
        let positions: Vec<usize> = (self.len..self.len + rows).collect();
        let inverse: Vec<f32> = (0..d / 2).map(|i| 1.0 / (1 << i) as f32).collect();
        let angles = RopeAngles::new(&inverse, 1.0, &positions, x.device());
        let q = rope(q, &angles, RopeLayout::Half);
        let key = rope(key, &angles, RopeLayout::Half);
        while self.pages.len() * PAGE < self.len + rows {
            self.pages.push(self.store.alloc());
        }
        let v = v.reshape(&[rows, k, d]);
        self.store.write(&self.pages, self.len, &key, &v, 0..rows);
        let (position, len) = (self.len, self.len + rows);
        self.len = len;
        let keys = KeyValues::Paged {
            store: &self.store,
            pages: &self.pages,
            len,
        };
        let span = AttentionSpan {
            rows: 0..rows,
            position,
            keys,
            key_position: 0,
        };
        let params = AttentionParams {
            scale: 0.25,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        let attended = attention(&q, &[span], &params);
        drop((q, key, v));
        let x = x + &linear(&attended, wo, bias(3));
        drop(attended);
        let normed = self.norm(&x, 1);
        let inner = {
            let [g, u] = linears(&normed, [(gate, bias(4)), (up, bias(5))]);
            gated(g, &u, Activation::Silu)
        };
        drop(normed);
        &x + linear(&inner, down, bias(6))
    }
}

/// What two layers make of a prompt and then of single tokens, and the kernels of the last token.
fn run(
    device: &Device,
    head_norms: bool,
    layer_norms: bool,
    tokens: usize,
) -> (Vec<Vec<f32>>, u64) {
    let mut layers = [1, 2].map(|seed| Layer::new(device, 100 * seed, head_norms, layer_norms));
    let mut forward = |rows: usize, seed: u64| {
        let x = Tensor::from_vec(
            device,
            &[rows, SIZES[0]],
            numbers(rows * SIZES[0], seed, 0.5),
        );
        layers
            .iter_mut()
            .fold(x, |x, layer| layer.forward(x))
            .into_vec()
            .unwrap()
    };
    let mut outputs = vec![forward(11, 7)];
    let mut dispatches = 0;
    for seed in (8..).take(tokens) {
        let count = || {
            device
                .wgpu_counters()
                .map_or(0, |counters| counters.dispatches)
        };
        let before = count();
        outputs.push(forward(1, seed));
        dispatches = count() - before;
    }
    (outputs, dispatches)
}

#[test]
fn a_layer_is_five_kernels_and_the_numbers_are_the_cpus() {
    let cpu = Device::cpu_with(&CpuOptions::default().with_precision(Precision::Strict));
    each_device(|device| {
        for (head_norms, layer_norms) in [(false, false), (true, false), (false, true)] {
            // With biases, queries, keys and values have too many buffers for one kernel, and gates are by themselves.
            let most = 2 * (5 + if layer_norms { 4 } else { 0 });
            let (expected, _) = run(&cpu, head_norms, layer_norms, 3);
            let (found, dispatches) = run(device, head_norms, layer_norms, 3);
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                let error = (found - expected).abs();
                assert!(
                    error <= 2e-5 * expected.abs().max(1.0),
                    "{found} for {expected}"
                );
            }
            assert!(
                dispatches <= most,
                "{dispatches} kernels for two layers on {}, norms of heads: {head_norms}",
                device.name()
            );
        }
    });
}

/// The kernels stay five when the context has more keys than one workgroup takes, and are one more, whatever its length,
/// when it has more splits than are left to the projection.
#[test]
fn a_long_context_costs_one_kernel_more_at_most() {
    let cpu = Device::cpu_with(&CpuOptions::default().with_precision(Precision::Strict));
    let token = |layer: &mut Layer, device: &Device| {
        let x = Tensor::from_vec(device, &[1, SIZES[0]], numbers(SIZES[0], 4, 0.5));
        layer.forward(x).into_vec().unwrap()
    };
    let context = |device: &Device, len: usize| {
        let mut layer = Layer::new(device, 100, true, false);
        layer.remember(len);
        // Brings what is remembered.
        let _ = token(&mut layer, device);
        layer
    };
    for (len, kernels) in [(700, 5), (1500, 5), (1600, 6), (4000, 6)] {
        let expected = token(&mut context(&cpu, len), &cpu);
        each_device(|device| {
            let mut layer = context(device, len);
            let count = || device.wgpu_counters().unwrap().dispatches;
            let before = count();
            let found = token(&mut layer, device);
            assert_eq!(count() - before, kernels, "{len} keys");
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 2e-5 * expected.abs().max(1.0));
            }
        });
    }
}
