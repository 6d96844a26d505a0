//! Products with quantized matrices at the shapes of a published model, next to what the machine can do at best.
//!
//! ```sh
//! cargo bench -p hfcore-kernels --bench quant                    # everything
//! cargo bench -p hfcore-kernels --bench quant -- gate int4 m=1   # lines that contain all of these
//! ```
//!
//! `HFCORE_ISA` and `HFCORE_THREADS` choose the instruction set and the threads. A matrix is never used twice
//! in a row: calls walk through more memory than caches hold, as decoding does. Times are the best and the
//! median of the calls; shares are of the probes' figures, of the best.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod common;

use common::{Wanted, device, time};
use hfcore_kernels::{Bytes, Device, QuantFormat, Quantized, Tensor, Weight, linear, probe};

/// Name, outputs, inputs.
const SHAPES: [(&str, usize, usize); 5] = [
    ("Llama-3.2-1B q,o", 2048, 2048),
    ("Llama-3.2-1B k,v", 512, 2048),
    ("Llama-3.2-1B gate,up", 8192, 2048),
    ("Llama-3.2-1B down", 2048, 8192),
    ("Llama-3.2-1B head", 128_256, 2048),
];
const ROWS: [usize; 7] = [1, 2, 4, 8, 16, 128, 512];
const FORMATS: [&str; 4] = ["int8", "int4", "int4-64", "int4-128"];

/// Bytes of matrices that calls walk through.
const MEMORY: usize = 320 << 20;

fn main() {
    let wanted = Wanted::from_args();
    let device = device();
    let (bandwidth, rate) = (probe::read_bandwidth(&device), probe::int8_rate(&device));
    println!(
        "{}: reads {:.1} GB/s, multiplies bytes with {:.0} GOP/s",
        device.name(),
        bandwidth / 1e9,
        rate / 1e9
    );
    println!(
        "{:44} {:>9} {:>9}  {:>6} {:>5}  {:>7} {:>5}",
        "matrix, format, rows", "best µs", "median", "GB/s", "share", "GOP/s", "share"
    );
    quantizing(&device, &wanted);
    for (name, outputs, inputs) in SHAPES {
        for format in FORMATS {
            let lines = ROWS.map(|rows| {
                let line = format!("{name} [{outputs}, {inputs}] {format} m={rows}");
                (rows, line)
            });
            let lines = lines.iter().filter(|(_, line)| wanted.has(line));
            let mut matrices = Vec::new();
            for (rows, line) in lines {
                if matrices.is_empty() {
                    let format = format.parse().expect("a format");
                    matrices = make(&device, format, [outputs, inputs]);
                }
                let bytes = matrices[0].bytes_len();
                let (best, median) = measure(&device, &matrices, *rows);
                let read = bytes as f64 / best;
                let multiplied = (2 * rows * outputs * inputs) as f64 / best;
                println!(
                    "{line:44} {:9.1} {:9.1}  {:6.1} {:4.0}%  {:7.1} {:4.0}%",
                    best * 1e6,
                    median * 1e6,
                    read / 1e9,
                    100.0 * read / bandwidth,
                    multiplied / 1e9,
                    100.0 * multiplied / rate
                );
            }
        }
    }
}

/// How fast weights are quantized.
fn quantizing(device: &Device, wanted: &Wanted) {
    let shape = [2048, 2048];
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|i| (i % 251) as f32 / 125.0 - 1.0)
        .collect();
    let weight = Weight::from_f32(&shape, &values).to_dtype(hfcore_kernels::DType::Bf16);
    for format in FORMATS {
        let line = format!("quantize {shape:?} to {format}");
        if !wanted.has(&line) {
            continue;
        }
        let format: QuantFormat = format.parse().expect("a format");
        let (best, _) = time(|| {
            drop(Quantized::quantize(&weight, format, device).expect("finite numbers"));
        });
        let rate = values.len() as f64 / best;
        println!(
            "{line:44} {:9.1} {:22.2} G weights/s",
            best * 1e6,
            rate / 1e9
        );
    }
}

/// Matrices that are together larger than caches.
fn make(device: &Device, format: QuantFormat, shape: [usize; 2]) -> Vec<Quantized> {
    // A matrix of one panel is quantized; the planes of a large one repeat it.
    let [outputs, inputs] = shape;
    let values: Vec<f32> = (0..16 * inputs)
        .map(|i| (i * 7919 % 1013) as f32 / 506.0 - 1.0)
        .collect();
    let panel = Quantized::quantize(&Weight::from_f32(&[16, inputs], &values), format, device)
        .expect("finite numbers");
    let one = || {
        let planes = panel.planes().map(|plane| {
            let bytes = plane.bytes.as_ref().repeat(outputs.div_ceil(16));
            (plane.layout.name, aligned(&bytes))
        });
        Quantized::from_planes(format, shape, &planes).expect("planes of this shape")
    };
    let first = one();
    let count = MEMORY.div_ceil(first.bytes_len());
    let mut all = vec![first];
    all.resize_with(count, one);
    all
}

/// The bytes, from the start of a cache line on.
fn aligned(bytes: &[u8]) -> Bytes {
    let mut memory = vec![0; bytes.len() + 63];
    let start = memory.as_ptr().align_offset(64).min(63);
    memory[start..start + bytes.len()].copy_from_slice(bytes);
    Bytes::from(memory).slice(start..start + bytes.len())
}

/// The best and the median of the seconds of a call.
fn measure(device: &Device, matrices: &[Quantized], rows: usize) -> (f64, f64) {
    let [_, inputs] = matrices[0].shape();
    let x: Vec<f32> = (0..rows * inputs)
        .map(|i| (i % 17) as f32 / 16.0 - 0.5)
        .collect();
    let x = Tensor::from_vec(device, &[rows, inputs], x);
    let mut matrices = matrices.iter().cycle();
    time(|| {
        let matrix = matrices.next().expect("there is at least one");
        drop(linear(&x, matrix, None));
    })
}
