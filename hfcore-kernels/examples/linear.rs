//! How long a linear layer takes on this machine, and how long it must take at least.
//!
//! ```sh
//! cargo run --release -p hfcore-kernels --example linear -- 512 2048 2048   # rows, outputs, inputs
//! ```
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::env;
use std::time::Instant;

use hfcore_kernels::{DType, Device, Tensor, Weight, linear, probe};

fn main() {
    let mut sizes = env::args()
        .skip(1)
        .map(|arg| arg.parse().expect("sizes are numbers"));
    let mut size = |default: usize| sizes.next().unwrap_or(default);
    let (rows, outputs, inputs) = (size(1), size(2048), size(2048));

    let device = Device::cpu();
    let (bandwidth, flops) = (
        probe::read_bandwidth(&device),
        probe::multiply_add_rate(&device),
    );
    println!(
        "{}: {:.1} GB/s, {:.0} GFLOP/s",
        device.name(),
        bandwidth / 1e9,
        flops / 1e9
    );

    let numbers = |n: usize| {
        (0..n)
            .map(|i| (i % 31) as f32 / 16.0 - 1.0)
            .collect::<Vec<f32>>()
    };
    let x = Tensor::from_vec(&device, &[rows, inputs], numbers(rows * inputs));
    let w = Weight::from_f32(&[outputs, inputs], &numbers(outputs * inputs));
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let w = w.to_dtype(dtype);
        let time = |_| {
            let start = Instant::now();
            drop(linear(&x, &w, None));
            start.elapsed().as_secs_f64()
        };
        let best = (0..20).map(time).fold(f64::INFINITY, f64::min);
        let reading = w.bytes().len() as f64 / bandwidth;
        let multiplying = (2 * rows * outputs * inputs) as f64 / flops;
        println!(
            "{:8} {:8.1} µs; reading takes {:.1} µs from memory, multiplying {:.1} µs",
            dtype.name(),
            best * 1e6,
            reading * 1e6,
            multiplying * 1e6
        );
    }
}
