//! Speed under bad conditions: beside a process that takes a processor, and with denormal weights.
//!
//! `cargo bench -p hfcore-kernels --bench adverse`. Times are those of 40 operations, products of a decoder layer of Llama-3.2-1B:
//! of one row ("decode") and of 128 ("prompt"). The last column is how often the first case of its
//! block goes into a line's time: a machine of two processors of which another process takes one has at
//! best three quarters of itself left, if the system shares fairly, and one thread at worst a half.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod common;

use std::env;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::process::{Child, Command};
use std::time::Instant;

use hfcore_kernels::{CpuOptions, DType, Device, Matrix, Tensor, Weight, linear};

/// Set for the process that does nothing but take a processor.
const BUSY: &str = "HFCORE_BENCH_BUSY";
/// Outputs and inputs.
const SHAPE: [usize; 2] = [2048, 2048];
/// Matrices, more than caches hold.
const MATRICES: usize = 10;
/// How often all of them are multiplied.
const TIMES: usize = 4;

fn main() {
    if env::var_os(BUSY).is_some() {
        let mut x = 0_u64;
        loop {
            x = black_box(x.wrapping_add(1));
        }
    }
    let wanted = common::Wanted::from_args();
    let threads =
        NonZeroUsize::get(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    println!(
        "{:44} {:>9} {:>9}  {:>5}",
        "", "best ms", "median ms", "ratio"
    );
    for (name, rows) in [("decode", 1), ("prompt", 128)] {
        let mut free = None;
        for (threads, busy) in [
            (threads, 0),
            (threads, 1),
            (threads, threads),
            (1, 0),
            (1, 1),
        ] {
            let line = format!("{name}, {threads} threads, {busy} busy processes");
            if wanted.has(&line) {
                let busy: Vec<Busy> = (0..busy).map(|_| Busy::start()).collect();
                let options =
                    CpuOptions::default().with_threads(NonZeroUsize::new(threads).expect("some"));
                report(&line, &Device::cpu_with(&options), rows, 1.0, &mut free);
                drop(busy);
            }
        }
    }
    for (name, rows) in [("decode", 1), ("prompt", 128)] {
        let mut normal = None;
        // The smallest normal `bf16` is 2⁻¹²⁶.
        for (kind, tiny) in [
            ("normal", 1.0),
            ("1/128 denormal", 1e-39),
            ("all denormal", 1e-39),
        ] {
            let line = format!("{name}, {kind} weights");
            if wanted.has(&line) {
                let tiny = if kind.starts_with("all") { -tiny } else { tiny };
                report(&line, &common::device(), rows, tiny, &mut normal);
            }
        }
    }
}

/// A process that takes a processor until it is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let this = env::current_exe().expect("the path of this program");
        Self(
            Command::new(this)
                .env(BUSY, "1")
                .spawn()
                .expect("a process"),
        )
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // If it cannot be ended it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measure the products of `rows` rows, and print them beside the best time of `first`.
///
/// `tiny` is every 128th number of the weights or, if negative, its magnitude all of them.
fn report(line: &str, device: &Device, rows: usize, tiny: f32, first: &mut Option<f64>) {
    let [outputs, inputs] = SHAPE;
    let value = |i: usize| match i % 128 {
        _ if tiny < 0.0 => -tiny,
        0 => tiny,
        j => (j % 17) as f32 / 16.0 - 0.5,
    };
    let values: Vec<f32> = (0..outputs * inputs).map(value).collect();
    let weight = Weight::from_f32(&SHAPE, &values).to_dtype(DType::Bf16);
    let copy = || Weight::new(DType::Bf16, &SHAPE, weight.bytes().to_vec().into());
    let matrices: Vec<Matrix> = (0..MATRICES).map(|_| copy().into()).collect();
    let x = Tensor::from_vec(device, &[rows, inputs], vec![0.5; rows * inputs]);
    let run = || {
        for _ in 0..TIMES {
            for matrix in &matrices {
                black_box(linear(&x, matrix, None));
            }
        }
    };
    run();
    // Long enough for the system to have taken every thread off its processor some times.
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begin.elapsed().as_secs_f64() < 1.5 {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (best, median) = (times[0], times[times.len() / 2]);
    let first = *first.get_or_insert(median);
    println!(
        "{line:44} {:9.2} {:9.2}  {:5.2}",
        best * 1e3,
        median * 1e3,
        first / median
    );
}
