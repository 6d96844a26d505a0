//! What stands between the matrix products, at the shapes of published models: attention, norms, activations, rotary
//! embeddings.
//!
//! ```sh
//! cargo bench -p hfcore-kernels --bench operations                     # everything
//! cargo bench -p hfcore-kernels --bench operations -- Llama attention  # lines that contain all of these
//! ```
//!
//! `HFCORE_ISA` and `HFCORE_THREADS` choose the instruction set and the threads. Bytes are those of tensors, and keys
//! and values, that an operation reads or writes; operations are counted for attention alone. Most of it lies in caches,
//! as it does in a model.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod common;

use hfcore_kernels::{
    Activation, AttentionParams, AttentionSpan, Device, KeyValues, KvDType, KvStore, PAGE,
    RopeAngles, RopeLayout, Tensor, activate, add, attention, gated, layer_norm, probe, rms_norm,
    rope,
};

use common::{Wanted, time};

/// A model's widths.
struct Model {
    name: &'static str,
    hidden: usize,
    inner: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

const DECODERS: [Model; 3] = [
    Model {
        name: "Llama-3.2-1B",
        hidden: 2048,
        inner: 8192,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
    },
    Model {
        name: "Qwen3-0.6B",
        hidden: 1024,
        inner: 3072,
        heads: 16,
        kv_heads: 8,
        head_dim: 128,
    },
    Model {
        name: "SmolLM2-135M",
        hidden: 576,
        inner: 1536,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
    },
];
const ENCODER: Model = Model {
    name: "BERT-base",
    hidden: 768,
    inner: 3072,
    heads: 12,
    kv_heads: 12,
    head_dim: 64,
};

fn main() {
    let bench = Bench {
        wanted: Wanted::from_args(),
        device: common::device(),
    };
    println!(
        "{}: multiplies {:.0} GFLOP/s",
        bench.device.name(),
        probe::multiply_add_rate(&bench.device) / 1e9
    );
    println!(
        "{:52} {:>9} {:>9}  {:>6}  {:>7}",
        "operation", "best µs", "median", "GB/s", "GFLOP/s"
    );
    for model in &DECODERS {
        for (rows, depth) in [(1, 512), (1, 4096), (512, 512), (512, 4096)] {
            bench.decoder_attention(model, rows, depth);
        }
        for rows in [1, 512] {
            bench.decoder_rest(model, rows);
        }
    }
    for (sequences, tokens) in [(1, 16), (32, 128)] {
        bench.encoder_attention(&ENCODER, sequences, tokens);
        bench.encoder_rest(&ENCODER, sequences * tokens);
    }
}

struct Bench {
    wanted: Wanted,
    device: Device,
}

impl Bench {
    /// A line, if it is wanted. Each call of `run` gets what `prepare` made once.
    fn line<T>(
        &self,
        line: &str,
        numbers: usize,
        prepare: impl FnOnce() -> T,
        run: impl Fn(&T) -> Tensor,
    ) {
        if !self.wanted.has(line) {
            return;
        }
        let prepared = prepare();
        let before = self.device.work();
        drop(run(&prepared));
        let work = self.device.work() - before;
        let (best, median) = time(|| drop(run(&prepared)));
        let bytes = match work.bytes {
            0 => (numbers * size_of::<f32>()) as u64,
            counted => counted,
        };
        println!(
            "{line:52} {:9.1} {:9.1}  {:6.1}  {:7.1}",
            best * 1e6,
            median * 1e6,
            bytes as f64 / best / 1e9,
            work.operations as f64 / best / 1e9,
        );
    }

    /// Numbers between -0.5 and 0.5.
    fn tensor(&self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let values = (0..count).map(|i: usize| (i * 7 % 17) as f32 / 16.0 - 0.5);
        Tensor::from_vec(&self.device, shape, values.collect())
    }

    /// The last `rows` tokens of `depth`.
    fn decoder_attention(&self, model: &Model, rows: usize, depth: usize) {
        let params = params(model, true);
        for (dtype, dtype_name) in [(KvDType::F32, "f32"), (KvDType::Bf16, "bf16")] {
            let line = format!(
                "{} attention m={rows} depth={depth} {dtype_name}",
                model.name
            );
            let kv = [depth, model.kv_heads, model.head_dim];
            let prepare = || {
                let mut store = KvStore::new(
                    &self.device,
                    model.kv_heads,
                    model.head_dim,
                    model.head_dim,
                    dtype,
                );
                let pages: Vec<_> = (0..depth.div_ceil(PAGE)).map(|_| store.alloc()).collect();
                store.write(&pages, 0, &self.tensor(&kv), &self.tensor(&kv), 0..depth);
                let q = self.tensor(&[rows, model.heads, model.head_dim]);
                (store, pages, q)
            };
            self.line(&line, 0, prepare, |(store, pages, q)| {
                let span = AttentionSpan {
                    rows: 0..rows,
                    position: depth - rows,
                    keys: KeyValues::Paged {
                        store,
                        pages,
                        len: depth,
                    },
                    key_position: 0,
                };
                attention(q, &[span], &params)
            });
        }
    }

    fn encoder_attention(&self, model: &Model, sequences: usize, tokens: usize) {
        let params = params(model, false);
        let line = format!("{} attention {sequences}x{tokens}", model.name);
        let shape = [sequences * tokens, model.heads, model.head_dim];
        let prepare = || [(); 3].map(|()| self.tensor(&shape));
        self.line(&line, 0, prepare, |[q, k, v]| {
            let span = |sequence: usize| {
                let rows = sequence * tokens..(sequence + 1) * tokens;
                AttentionSpan {
                    rows: rows.clone(),
                    position: 0,
                    keys: KeyValues::Dense { k, v, rows },
                    key_position: 0,
                }
            };
            let spans: Vec<_> = (0..sequences).map(span).collect();
            attention(q, &spans, &params)
        });
    }

    fn decoder_rest(&self, model: &Model, rows: usize) {
        let (name, hidden, inner) = (model.name, model.hidden, model.inner);
        let gain = self.tensor(&[hidden]);
        self.line(
            &format!("{name} rms_norm [{rows}, {hidden}]"),
            2 * rows * hidden,
            || self.tensor(&[rows, hidden]),
            |x| rms_norm(x, Some(&gain), 1e-5, false),
        );
        self.line(
            &format!("{name} residual add [{rows}, {hidden}]"),
            3 * rows * hidden,
            || [(); 2].map(|()| self.tensor(&[rows, hidden])),
            |[a, b]| add(a.clone(), b),
        );
        self.line(
            &format!("{name} silu(gate) * up [{rows}, {inner}]"),
            3 * rows * inner,
            || [(); 2].map(|()| self.tensor(&[rows, inner])),
            |[gate, up]| gated(gate.clone(), up, Activation::Silu),
        );
        let frequencies: Vec<f32> = (0..model.head_dim / 2)
            .map(|i| 1e4_f32.powf(-2.0 * i as f32 / model.head_dim as f32))
            .collect();
        let positions: Vec<usize> = (0..rows).collect();
        let angles = RopeAngles::new(&frequencies, 1.0, &positions, &self.device);
        let shape = [rows, model.heads, model.head_dim];
        self.line(
            &format!("{name} rope {shape:?}"),
            2 * shape.iter().product::<usize>(),
            || self.tensor(&shape),
            |x| rope(x.clone(), &angles, RopeLayout::Half),
        );
    }

    fn encoder_rest(&self, model: &Model, rows: usize) {
        let (name, hidden, inner) = (model.name, model.hidden, model.inner);
        let [gain, bias] = [(); 2].map(|()| self.tensor(&[hidden]));
        self.line(
            &format!("{name} layer_norm [{rows}, {hidden}]"),
            2 * rows * hidden,
            || self.tensor(&[rows, hidden]),
            |x| layer_norm(x, &gain, Some(&bias), 1e-12),
        );
        self.line(
            &format!("{name} gelu [{rows}, {inner}]"),
            2 * rows * inner,
            || self.tensor(&[rows, inner]),
            |x| activate(x.clone(), Activation::Gelu),
        );
    }
}

fn params(model: &Model, causal: bool) -> AttentionParams<'static> {
    AttentionParams {
        scale: 1.0 / (model.head_dim as f32).sqrt(),
        causal,
        window: None,
        softcap: None,
        sinks: None,
        bias: None,
    }
}
