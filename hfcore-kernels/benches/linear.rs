//! `linear` at the shapes of published models, next to what the machine can do at best.
//!
//! ```sh
//! cargo bench -p hfcore-kernels --bench linear                       # everything
//! cargo bench -p hfcore-kernels --bench linear -- Llama bf16 m=1     # lines that contain all of these
//! ```
//!
//! `HFCORE_ISA`, `HFCORE_THREADS` and `HFCORE_PRECISION` choose the instruction set, the threads and
//! the precision. A weight is never used twice in a row: calls walk through more memory than caches
//! hold, as decoding does. Times are the best and the median of the calls; shares are of the probes'
//! figures, of the best: of the rate of products of `bf16` where many rows are multiplied by those, else of
//! `f32`.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod common;

use std::env;
use std::sync::Arc;

use common::{Wanted, device, time};
use hfcore_kernels::{Bytes, DType, Device, Precision, Tensor, Weight, linear, probe};

/// Name, outputs, inputs.
type Shape = (&'static str, usize, usize);

/// Decoders: of one token or some, and of prompts.
const DECODERS: [Shape; 15] = [
    ("Llama-3.2-1B q,o", 2048, 2048),
    ("Llama-3.2-1B k,v", 512, 2048),
    ("Llama-3.2-1B gate,up", 8192, 2048),
    ("Llama-3.2-1B down", 2048, 8192),
    ("Llama-3.2-1B head", 128_256, 2048),
    ("Qwen3-0.6B q", 2048, 1024),
    ("Qwen3-0.6B k,v", 1024, 1024),
    ("Qwen3-0.6B o", 1024, 2048),
    ("Qwen3-0.6B gate,up", 3072, 1024),
    ("Qwen3-0.6B down", 1024, 3072),
    ("SmolLM2-135M q,o", 576, 576),
    ("SmolLM2-135M k,v", 192, 576),
    ("SmolLM2-135M gate,up", 1536, 576),
    ("SmolLM2-135M down", 576, 1536),
    ("SmolLM2-135M head", 49_152, 576),
];
const DECODER_ROWS: [usize; 9] = [1, 4, 8, 12, 16, 32, 64, 128, 512];
/// Encoders: of a sentence, and of batches.
const ENCODERS: [Shape; 3] = [
    ("BERT,ViT-base q,k,v,o", 768, 768),
    ("BERT,ViT-base up", 3072, 768),
    ("BERT,ViT-base down", 768, 3072),
];
const ENCODER_ROWS: [usize; 4] = [16, 128, 2048, 4096];
const DTYPES: [(DType, &str); 3] = [
    (DType::F32, "f32"),
    (DType::F16, "f16"),
    (DType::Bf16, "bf16"),
];

/// MiB of weights that calls walk through, unless `HFCORE_BENCH_MIB` says otherwise: with few, they are
/// multiplied from caches.
const MEMORY: usize = 640;

fn main() {
    let wanted = Wanted::from_args();
    let device = device();
    let bandwidth = probe::read_bandwidth(&device);
    let flops = probe::multiply_add_rate(&device);
    let bf16_flops = probe::bf16_rate(&device);
    println!(
        "{}: reads {:.1} GB/s, multiplies {:.0} GFLOP/s, of bf16 {:.0}",
        device.name(),
        bandwidth / 1e9,
        flops / 1e9,
        bf16_flops.unwrap_or(flops) / 1e9
    );
    println!(
        "{:44} {:>9} {:>9}  {:>6} {:>5}  {:>7} {:>5}",
        "weight, type, rows", "best µs", "median", "GB/s", "share", "GFLOP/s", "share"
    );

    let memory = env::var("HFCORE_BENCH_MIB")
        .ok()
        .and_then(|mib| mib.parse().ok())
        .unwrap_or(MEMORY);
    let memory = numbers(memory << 20);
    let decoders = DECODERS
        .iter()
        .map(|shape| (shape, DECODER_ROWS.as_slice()));
    let encoders = ENCODERS
        .iter()
        .map(|shape| (shape, ENCODER_ROWS.as_slice()));
    for (&(name, outputs, inputs), rows) in decoders.chain(encoders) {
        for (dtype, dtype_name) in DTYPES {
            for &rows in rows {
                let line = format!("{name} [{outputs}, {inputs}] {dtype_name} m={rows}");
                if !wanted.has(&line) {
                    continue;
                }
                let (best, median) = measure(&device, &memory, dtype, [rows, outputs, inputs]);
                let bytes = outputs * inputs * dtype.size();
                let read = bytes as f64 / best;
                let multiplied = (2 * rows * outputs * inputs) as f64 / best;
                let rounded =
                    dtype == DType::Bf16 && device.precision().of(dtype) == Precision::Fast;
                let most = bf16_flops.filter(|_| rounded).unwrap_or(flops);
                println!(
                    "{line:44} {:9.1} {:9.1}  {:6.1} {:4.0}%  {:7.1} {:4.0}%",
                    best * 1e6,
                    median * 1e6,
                    read / 1e9,
                    100.0 * read / bandwidth,
                    multiplied / 1e9,
                    100.0 * multiplied / most
                );
            }
        }
    }
}

/// Bytes that are ordinary numbers near 1 in every type: `f16`, `bf16`, and `f32`, of which every
/// second pair of bytes is the upper half.
fn numbers(len: usize) -> Bytes {
    let mut state = 1_u32;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, low, sign, _] = state.to_le_bytes();
        bytes.extend([low, 0x3d | sign & 0x80]);
    }
    Bytes::new(Arc::new(bytes))
}

/// Seconds of the best call, and of the median.
fn measure(
    device: &Device,
    memory: &Bytes,
    dtype: DType,
    [rows, outputs, inputs]: [usize; 3],
) -> (f64, f64) {
    let bytes = outputs * inputs * dtype.size();
    let x: Vec<f32> = (0..rows * inputs)
        .map(|i| (i % 17) as f32 / 16.0 - 0.5)
        .collect();
    let x = Tensor::from_vec(device, &[rows, inputs], x);
    let len = memory.as_ref().len();
    if bytes > len {
        // Too large to have two of them; it is larger than caches by itself.
        let weight = Weight::new(dtype, &[outputs, inputs], vec![0x3d; bytes].into());
        return time(|| drop(linear(&x, &weight, None)));
    }
    let mut start = 0;
    time(|| {
        if start + bytes > len {
            start = 0;
        }
        let weight = Weight::new(
            dtype,
            &[outputs, inputs],
            memory.slice(start..start + bytes),
        );
        start += bytes;
        drop(linear(&x, &weight, None));
    })
}
