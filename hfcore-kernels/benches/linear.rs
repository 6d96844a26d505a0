//! `linear` at the shapes of published models, next to what the machine can do at best.
//!
//! ```sh
//! cargo bench -p hfcore-kernels                       # everything
//! cargo bench -p hfcore-kernels -- Llama bf16 m=1     # lines that contain all of these
//! ```
//!
//! `HFCORE_ISA` and `HFCORE_THREADS` choose the instruction set and the threads. A weight is never
//! used twice in a row: calls walk through more memory than caches hold, as decoding does. Times are
//! the best and the median of the calls; shares are of the probes' figures, of the best.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::env;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hfcore_kernels::{Bytes, CpuOptions, DType, Device, Tensor, Weight, linear, probe};

/// Name, outputs, inputs.
const SHAPES: [(&str, usize, usize); 15] = [
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
const ROWS: [usize; 7] = [1, 4, 8, 16, 48, 128, 512];
const DTYPES: [(DType, &str); 3] = [
    (DType::F32, "f32"),
    (DType::F16, "f16"),
    (DType::Bf16, "bf16"),
];

/// MiB of weights that calls walk through, unless `HFCORE_BENCH_MIB` says otherwise: with few, they are
/// multiplied from caches.
const MEMORY: usize = 640;
/// Time for each line.
const TIME: Duration = Duration::from_millis(150);

fn main() {
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let mut options = CpuOptions::default();
    let threads = env::var("HFCORE_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok());
    if let Some(threads) = threads.and_then(NonZeroUsize::new) {
        options = options.with_threads(threads);
    }
    let device = Device::cpu_with(&options);
    let bandwidth = probe::read_bandwidth(&device);
    let flops = probe::multiply_add_rate(&device);
    println!(
        "{}: reads {:.1} GB/s, multiplies {:.0} GFLOP/s",
        device.name(),
        bandwidth / 1e9,
        flops / 1e9
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
    for (name, outputs, inputs) in SHAPES {
        for (dtype, dtype_name) in DTYPES {
            for rows in ROWS {
                let line = format!("{name} [{outputs}, {inputs}] {dtype_name} m={rows}");
                if !wanted.iter().all(|word| contains(&line, word)) {
                    continue;
                }
                let bytes = outputs * inputs * dtype.size();
                let mut times = measure(&device, &memory, dtype, [rows, outputs, inputs]);
                times.sort_by(f64::total_cmp);
                let (best, median) = (times[0], times[times.len() / 2]);
                let (read, multiplied) = (
                    bytes as f64 / best,
                    (2 * rows * outputs * inputs) as f64 / best,
                );
                println!(
                    "{line:44} {:9.1} {:9.1}  {:6.1} {:4.0}%  {:7.1} {:4.0}%",
                    best * 1e6,
                    median * 1e6,
                    read / 1e9,
                    100.0 * read / bandwidth,
                    multiplied / 1e9,
                    100.0 * multiplied / flops
                );
            }
        }
    }
}

/// Whether `line` has `word`, not as the beginning of a longer number: `m=1` is not `m=16`.
fn contains(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let next = line[at + word.len()..].chars().next();
        !(word.ends_with(|c: char| c.is_ascii_digit()) && next.is_some_and(|c| c.is_ascii_digit()))
    })
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

/// Seconds of each call.
fn measure(
    device: &Device,
    memory: &Bytes,
    dtype: DType,
    [rows, outputs, inputs]: [usize; 3],
) -> Vec<f64> {
    let bytes = outputs * inputs * dtype.size();
    let x: Vec<f32> = (0..rows * inputs)
        .map(|i| (i % 17) as f32 / 16.0 - 0.5)
        .collect();
    let x = Tensor::from_vec(device, &[rows, inputs], x);
    let len = memory.as_ref().len();
    if bytes > len {
        // Too large to have two of them; it is larger than caches by itself.
        let weight = Weight::new(dtype, &[outputs, inputs], vec![0x3d; bytes].into());
        return repeat(|| drop(linear(&x, &weight, None)));
    }
    let mut start = 0;
    repeat(|| {
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

fn repeat(mut run: impl FnMut()) -> Vec<f64> {
    run();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begin.elapsed() < TIME {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times
}
