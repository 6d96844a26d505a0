//! Products of matrices in hardware against `f64`, on whichever device there is that has them; for one without a GPU see
//! `tools/test-coop`.

use std::sync::{Mutex, PoisonError};

use half::f16;

use super::*;
use crate::gpu::ops::linear::Layer;
use crate::gpu::ops::linear_tests::matrix;
use crate::gpu::ops::oracle::{check, numbers, tensor};
use crate::gpu::testing::{open, turn};
use crate::gpu::{WgpuForce, WgpuOptions};
use crate::reference::{self, Exact};
use crate::{Activation, DType, Device, Precision, Tensor, Weight, linear};

/// The tile that is taken while a test says so.
static TILE: Mutex<Option<Tile>> = Mutex::new(None);

pub(super) fn tile() -> Option<Tile> {
    *TILE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(tile: Option<Tile>) {
    *TILE.lock().unwrap_or_else(PoisonError::into_inner) = tile;
}

/// Tiles that only tests take: one that two subgroups make, or one, in several rounds; and the same in vectors,
/// with as many buffers as the small tile has not.
pub(super) fn tiles(caps: &Caps, edge: u32) -> [Tile; 2] {
    let small = Tile::new(caps, edge, false);
    let rounds = Tile {
        rows: 2 * edge,
        columns: 4 * edge,
        threads: 2 * caps.subgroup_size[1].min(64),
        pieces: [2, 2],
        ..small
    };
    let vectors = Tile {
        vector: 4,
        buffers: 3 - small.buffers,
        ..rounds
    };
    [rounds, vectors]
}

/// Run `test` on the device that tests run on, and tell it the edge of its matrices; if it has none, say
/// so.
fn on_matrices(test: impl Fn(&Device, u32)) {
    let _turn = turn();
    let Some(gpu) = open(&WgpuOptions::default()) else {
        return;
    };
    let Some(edge) = gpu.caps().cooperative_matrix else {
        eprintln!(
            "SKIPPED: {} multiplies no matrices (tools/test-coop has one that does)",
            gpu.name()
        );
        return;
    };
    take(None);
    test(&Device::of_gpu(gpu), edge);
}

/// The factors that rows of `inputs` are for a matrix in `format`: halves, or where that has few bits itself, themselves.
fn rounded(x: &[f32], inputs: usize, format: &str) -> Vec<f32> {
    if format.starts_with("int") {
        return x.to_vec();
    }
    let row = |row: &[f32]| {
        let most = row.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let biased = i32::try_from(most.to_bits() >> 23).unwrap();
        let scale = 2.0_f64.powi((141 - biased).clamp(-126, 126));
        #[allow(clippy::cast_possible_truncation, reason = "halves are exact in f32")]
        let half = |v: &f32| (f16::from_f64(f64::from(*v) * scale).to_f64() / scale) as f32;
        row.iter().map(half).collect::<Vec<_>>()
    };
    x.chunks_exact(inputs).flat_map(row).collect()
}

/// Roundings that a sum of products may have: each product's, and each addition's in any order; two more of
/// a factor that is two halves.
fn units(inputs: usize) -> f64 {
    (inputs as f64).sqrt() * 2.0 + 18.0
}

fn calls(device: &Device, run: impl FnOnce() -> Tensor) -> (Tensor, u64) {
    let count = || device.wgpu_counters().unwrap().dispatches;
    let before = count();
    let found = run();
    device.submit();
    (found, count() - before)
}

/// Every format, of rows, outputs and inputs that no tile divides: equal to `f64` on the halves that activations
/// are rounded to, or on themselves, up to sums in `f32`.
#[test]
fn every_format_as_halves() {
    on_matrices(|device, _| {
        for (format, inputs) in [
            ("float16", 100),
            ("bfloat16", 71),
            ("int8", 64),
            ("int4", 100),
            ("int4-64", 192),
        ] {
            let [rows, outputs] = [77, 90];
            let host = matrix(format, outputs, inputs, 1);
            let on_device = host.to_device(device).unwrap();
            let x = numbers(rows * inputs, 3, 1.0);
            let bias = numbers(outputs, 2, 1.0);
            let factors = rounded(&x, inputs, format);
            let want = reference::linear(&factors, &host.to_f32(), Some(&bias), inputs);
            let bias = Tensor::parameter(device, &[outputs], bias);
            let x = tensor(device, &[rows, inputs], &x);
            let (found, calls) = calls(device, || linear(&x, &on_device, Some(&bias)));
            let what = format!("{format} on {}", device.name());
            check(&what, &found, &want, units(inputs));
            assert_eq!(calls, 2, "{what}: halves and their product");
        }
    });
}

/// What follows a product.
#[derive(Clone, Copy, Debug)]
enum Fused {
    Residual,
    Gated(Activation),
}

/// What follows a product is part of it, with every tile there is.
#[test]
fn epilogues_with_every_tile() {
    on_matrices(|device, edge| {
        let caps = device.on_gpu().unwrap().caps();
        let [rounds, vectors] = tiles(caps, edge);
        let large = Tile::new(caps, edge, true);
        // A driver compiles for seconds: not each with each. And each has rows of its own, as it is another plan.
        take(Some(rounds));
        fused(device, "bfloat16", 34, Fused::Gated(Activation::GeluTanh));
        take(Some(vectors));
        fused(device, "int8", 35, Fused::Residual);
        take(None);
        fused(device, "int8", 36, Fused::Gated(Activation::Silu));
        if edge == 16 && large.fits(caps) {
            take(Some(large));
            fused(device, "bfloat16", 37, Fused::Residual);
            fused(device, "int4", 38, Fused::Gated(Activation::Gelu));
        }
        take(None);
    });
}

fn fused(device: &Device, format: &str, rows: usize, what: Fused) {
    let [outputs, inputs] = [45, 64];
    let x = numbers(rows * inputs, 3, 1.0);
    let factors = rounded(&x, inputs, format);
    let matrices = [4, 5].map(|seed| matrix(format, outputs, inputs, seed));
    let [gate, up] = (matrices.each_ref())
        .map(|matrix| reference::linear(&factors, &matrix.to_f32(), None, inputs));
    let residual = numbers(rows * outputs, 6, 1.0);
    let want: Vec<Exact> = match what {
        Fused::Residual => (gate.iter().zip(&residual))
            .map(|(&y, &r)| y + Exact::new(f64::from(r)))
            .collect(),
        Fused::Gated(activation) => (gate.iter().zip(&up))
            .map(|(gate, up)| {
                let found = reference::activation(gate.value, activation).times(up.value);
                Exact {
                    magnitude: found.magnitude + gate.magnitude * up.magnitude,
                    ..found
                }
            })
            .collect(),
    };

    let on_device = matrices
        .each_ref()
        .map(|matrix| matrix.to_device(device).unwrap());
    let x = tensor(device, &[rows, inputs], &x);
    let residual = tensor(device, &[rows, outputs], &residual);
    let mut recording = device.on_gpu().unwrap().recording();
    let (epilogue, count) = match what {
        Fused::Residual => (Epilogue::Residual(recording.operand(&residual)), 1),
        Fused::Gated(activation) => (Epilogue::Gated(activation), 2),
    };
    let layers = (on_device[..count].iter())
        .map(|matrix| Layer {
            matrix: recording.matrix(matrix.into()),
            bias: None,
        })
        .collect();
    let op = Linears {
        x: recording.operand(&x),
        rows: word(rows),
        norm: None,
        merge: None,
        layers,
        epilogue,
    };
    let found = recording.push_one(device, op, &[rows, outputs]);
    drop(recording);
    let (found, calls) = calls(device, || found);
    check(
        &format!("{what:?} of {format}"),
        &found,
        &want,
        units(inputs),
    );
    assert_eq!(calls, 2, "{what:?} of {format}");
}

/// Rows and matrices of every size: each is brought into range by a power of two of its own.
#[test]
fn numbers_of_every_size() {
    on_matrices(|device, _| {
        let [outputs, inputs] = [16, 32];
        let mut x = numbers(16 * inputs, 3, 1.0);
        for (row, x) in x.chunks_exact_mut(inputs).enumerate() {
            let scale = [1.0, 1e-30, 1e30, 1e-12, 0.0][row % 5];
            x.iter_mut().for_each(|v| *v *= scale);
        }
        // In one row, numbers down to 2^-28 of the largest.
        (x[..inputs].iter_mut().zip(0..)).for_each(|(v, i)| *v *= 2.0_f32.powi(-i % 29));
        for size in [1e-6_f32, 1.0, 3e4, 1e6] {
            let mut w = numbers(outputs * inputs, 4, size);
            (w[..inputs].iter_mut().zip(0..)).for_each(|(v, i)| *v *= 2.0_f32.powi(-i % 29));
            let host = Weight::from_f32(&[outputs, inputs], &w).to_dtype(DType::Bf16);
            let on_device = host.to_device(device).unwrap();
            let want = reference::linear(
                &rounded(&x, inputs, "bfloat16"),
                &host.to_f32(),
                None,
                inputs,
            );
            let x = tensor(device, &[16, inputs], &x);
            let found = linear(&x, &on_device, None);
            // What is far below the largest of its row may be lost.
            let want: Vec<Exact> =
                (want
                    .iter()
                    .zip(x.to_vec().unwrap().chunks(inputs).flat_map(|row| {
                        let most = row.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                        std::iter::repeat_n(most, outputs)
                    })))
                .map(|(want, most)| Exact {
                    magnitude: want.magnitude + f64::from(most * size) * 2.0_f64.powi(-2),
                    ..*want
                })
                .collect();
            check(&format!("weights of {size}"), &found, &want, units(inputs));
        }
    });
}

/// What is no number stays none, and in its row; a matrix that has an infinity is multiplied in `f32`.
#[test]
fn infinities() {
    on_matrices(|device, _| {
        let [rows, inputs] = [17, 32];
        let mut x = vec![1.0; rows * inputs];
        x[3 * inputs + 5] = f32::NAN;
        x[4 * inputs + 31] = f32::INFINITY;
        let weight = Weight::from_f32(&[2, inputs], &vec![0.25; 2 * inputs]);
        let weight = weight.to_dtype(DType::Bf16).to_device(device).unwrap();
        let x = tensor(device, &[rows, inputs], &x);
        let found = linear(&x, &weight, None).into_vec().unwrap();
        for (row, found) in found.chunks(2).enumerate() {
            let right = |y: &f32| match row {
                3 => y.is_nan(),
                4 => *y == f32::INFINITY,
                _ => *y == 8.0,
            };
            assert!(found.iter().all(right), "row {row}: {found:?}");
        }
        let mut w = vec![0.25; 2 * inputs];
        w[inputs] = f32::INFINITY;
        for dtype in [DType::Bf16, DType::F16] {
            let weight = Weight::from_f32(&[2, inputs], &w).to_dtype(dtype);
            let weight = weight.to_device(device).unwrap();
            let ones = tensor(device, &[rows, inputs], &vec![1.0; rows * inputs]);
            let (found, calls) = calls(device, || linear(&ones, &weight, None));
            assert_eq!(calls, 1, "in f32");
            let found = found.into_vec().unwrap();
            assert!(
                found.chunks(2).all(|y| y == [8.0, f32::INFINITY]),
                "{found:?}"
            );
        }
    });
}

/// Neither `f32` weights nor few rows nor a device that is to be exact have halves.
#[test]
fn what_is_not_rounded() {
    let run = |device: &Device, format: &str, rows: usize| {
        let weight = matrix(format, 16, 32, 1).to_device(device).unwrap();
        let x = tensor(device, &[rows, 32], &numbers(rows * 32, 2, 1.0));
        calls(device, || linear(&x, &weight, None)).1
    };
    on_matrices(|device, _| {
        assert_eq!(run(device, "bfloat16", 16), 2);
        assert_eq!(run(device, "bfloat16", 15), 1);
        assert_eq!(run(device, "float32", 64), 1);
    });
    let _turn = turn();
    for precision in [Precision::Strict, Precision::High] {
        if let Some(gpu) = open(&WgpuOptions::default().with_precision(precision)) {
            assert_eq!(
                run(&Device::of_gpu(gpu), "bfloat16", 64),
                1,
                "{precision:?}"
            );
        }
    }
    let force = WgpuForce {
        no_cooperative_matrix: true,
        ..WgpuForce::default()
    };
    if let Some(gpu) = open(&WgpuOptions::default().with_force(force)) {
        assert_eq!(run(&Device::of_gpu(gpu), "bfloat16", 64), 1);
    }
}

/// The same numbers in every run, and a part of the rows is the same as in all of them.
#[test]
fn rows_do_not_depend_on_each_other() {
    on_matrices(|device, _| {
        let weight = matrix("bfloat16", 70, 96, 1).to_device(device).unwrap();
        let x = numbers(70 * 96, 2, 1.0);
        let all = linear(&tensor(device, &[70, 96], &x), &weight, None)
            .into_vec()
            .unwrap();
        let some = linear(&tensor(device, &[20, 96], &x[50 * 96..]), &weight, None);
        assert_eq!(some.into_vec().unwrap(), all[50 * 70..]);
    });
}
