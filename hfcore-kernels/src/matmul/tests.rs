//! `linear` against its definition, on every instruction set.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::Product;
use super::few::few;
use super::many::many;
use crate::device::{Backend, Cpu};
use crate::{Bytes, CpuOptions, DType, Device, Isa, Tensor, Weight, linear};

const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// Numbers in -1..1, the same for the same seed.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn device(isa: Isa, threads: usize) -> Device {
    let threads = NonZeroUsize::new(threads).unwrap();
    Device::cpu_with(&CpuOptions::default().with_isa(isa).with_threads(threads))
}

/// Like `weight`, but `offset` bytes after the start of an allocation.
fn misaligned(weight: &Weight, offset: usize) -> Weight {
    let mut bytes = vec![0xff; offset];
    bytes.extend_from_slice(weight.bytes());
    let end = bytes.len();
    let bytes = Bytes::new(Arc::new(bytes)).slice(offset..end);
    Weight::new(weight.dtype(), weight.shape(), bytes)
}

/// The first of `found` that is not near to the definition, in f64.
///
/// The tolerance is what rounding can do to sums of terms as large as these: each of the additions on
/// the longest way to a result may lose half a unit in the last place of all that was added.
fn first_wrong(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    [rows, outputs, inputs]: [usize; 3],
    found: &[f32],
) -> Option<String> {
    assert_eq!(found.len(), rows * outputs);
    let additions = inputs.min((inputs / 4).max(256 + inputs / 256)) + 16;
    for m in 0..rows {
        for n in 0..outputs {
            let (mut sum, mut size) = (0.0, 0.0);
            for (x, w) in x[m * inputs..][..inputs].iter().zip(&w[n * inputs..]) {
                let term = f64::from(*x) * f64::from(*w);
                sum += term;
                size += term.abs();
            }
            if let Some(bias) = bias {
                sum += f64::from(bias[n]);
                size += f64::from(bias[n]).abs();
            }
            let found = f64::from(found[m * outputs + n]);
            let tolerance =
                additions as f64 * 2_f64.powi(-24) * size + f64::from(f32::MIN_POSITIVE);
            if found.is_nan() || (found - sum).abs() > tolerance {
                return Some(format!(
                    "[{m}, {n}] is {found}, not {sum} within {tolerance:e}"
                ));
            }
        }
    }
    None
}

/// A way to multiply, whatever `linear` would choose.
type Way = fn(&Cpu, &Product<'_>, &mut [f32]);
const WAYS: [(&str, Way); 2] = [("few", few), ("many", many)];

/// `x` `[rows, inputs]` times `weight` in one of the [`WAYS`].
fn multiply(
    device: &Device,
    way: Way,
    x: &[f32],
    weight: &Weight,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let Backend::Cpu(cpu) = device.backend();
    let &[outputs, inputs] = weight.shape() else {
        panic!("a matrix")
    };
    let (rows, dtype, weight) = (x.len() / inputs, weight.dtype(), weight.bytes());
    // Whatever is not written shows.
    let mut out = vec![f32::NAN; rows * outputs];
    way(
        cpu,
        &Product {
            x,
            rows,
            dtype,
            weight,
            outputs,
            inputs,
            bias,
        },
        &mut out,
    );
    out
}

/// Both ways on every instruction set and type, with and without a bias, from misaligned bytes, with
/// one, two and three threads.
fn check(shape: [usize; 3]) {
    let [rows, outputs, inputs] = shape;
    let x = numbers(1, rows * inputs);
    let bias = numbers(2, outputs);
    let published = Weight::from_f32(&[outputs, inputs], &numbers(3, outputs * inputs));
    for isa in Isa::tested() {
        let devices = [1, 2, 3].map(|threads| device(isa, threads));
        for (i, dtype) in DTYPES.into_iter().enumerate() {
            let weight = misaligned(&published.to_dtype(dtype), 1 + 2 * i);
            let wide = weight.to_f32();
            for bias in [None, Some(bias.as_slice())] {
                for (name, way) in WAYS {
                    let with = bias.is_some();
                    let what = format!("{name} {} {dtype:?} {shape:?} bias {with}", isa.name());
                    let [first, others @ ..] = devices
                        .each_ref()
                        .map(|device| multiply(device, way, &x, &weight, bias));
                    if let Some(wrong) = first_wrong(&x, &wide, bias, shape, &first) {
                        panic!("{what}: {wrong}");
                    }
                    for other in others {
                        assert_eq!(first, other, "{what}: another number of threads");
                    }
                }
            }
        }
    }
}

/// `linear` chooses one of the ways that [`check`] checks.
#[test]
fn linear_multiplies() {
    let device = Device::cpu();
    for rows in [1, 8, 9, 127, 128, 129, 200] {
        let (x, w) = (numbers(8, rows * 70), numbers(9, 70 * 30));
        let tensor = Tensor::from_vec(&device, &[rows, 70], x.clone());
        let y = linear(&tensor, &Weight::from_f32(&[30, 70], &w), None)
            .into_vec()
            .unwrap();
        assert_eq!(first_wrong(&x, &w, None, [rows, 30, 70], &y), None);
    }
}

#[test]
fn few_rows_of_activations() {
    for rows in 1..=8 {
        for (outputs, inputs) in [
            (1, 1),
            (3, 31),
            (7, 32),
            (9, 33),
            (17, 64),
            (65, 100),
            (130, 257),
        ] {
            check([rows, outputs, inputs]);
        }
    }
    check([1, 1031, 576]);
    check([3, 300, 1500]);
}

#[test]
fn many_rows_of_activations() {
    for rows in [9, 12, 16, 17, 31, 32, 33, 47, 49, 64, 65] {
        for (outputs, inputs) in [
            (1, 1),
            (5, 8),
            (12, 9),
            (13, 63),
            (47, 65),
            (100, 255),
            (49, 257),
        ] {
            check([rows, outputs, inputs]);
        }
    }
}

#[test]
fn blocks_of_activations_and_pieces_of_inputs() {
    check([511, 25, 40]);
    check([512, 3, 17]);
    check([513, 50, 300]);
    check([1030, 13, 520]);
    check([70, 400, 1025]);
}

#[test]
fn nothing_to_multiply() {
    let device = Device::cpu();
    for [rows, outputs, inputs] in [[0, 3, 4], [2, 0, 4], [0, 0, 0], [1, 0, 0]] {
        let x = Tensor::zeros(&device, &[rows, inputs]);
        let w = Weight::from_f32(&[outputs, inputs], &vec![1.0; outputs * inputs]);
        assert_eq!(linear(&x, &w, None).shape(), [rows, outputs]);
    }
    let x = Tensor::zeros(&device, &[2, 0]);
    let w = Weight::from_f32(&[2, 0], &[]);
    let bias = Tensor::from_vec(&device, &[2], vec![3.0, 4.0]);
    // Memory that was used before must not show.
    drop(Tensor::from_vec(&device, &[4], vec![f32::NAN; 4]));
    assert_eq!(linear(&x, &w, None).into_vec().unwrap(), [0.0; 4]);
    assert_eq!(
        linear(&x, &w, Some(&bias)).into_vec().unwrap(),
        [3.0, 4.0, 3.0, 4.0]
    );
}

#[test]
fn all_dimensions_but_the_last_are_rows() {
    let device = Device::cpu();
    let x = Tensor::from_vec(&device, &[2, 3, 1, 2], numbers(4, 12));
    let w = Weight::from_f32(&[5, 2], &numbers(5, 10));
    let y = linear(&x, &w, None);
    assert_eq!(y.shape(), [2, 3, 1, 5]);
    let flat = linear(&x.reshape(&[6, 2]), &w, None);
    assert_eq!(y.into_vec().unwrap(), flat.into_vec().unwrap());
}

/// NaN and infinity reach exactly the outputs that they enter, and nothing else is touched by the
/// zeros that pad odd sizes.
#[test]
fn special_values_reach_what_they_enter() {
    for isa in Isa::tested() {
        let device = device(isa, 2);
        for rows in [1, 2, 8, 9, 17, 40] {
            for (outputs, inputs) in [(5, 3), (13, 33), (50, 270)] {
                for dtype in DTYPES {
                    let mut w = vec![0.5; outputs * inputs];
                    let mut x = vec![1.0; rows * inputs];
                    w[(outputs - 1) * inputs + inputs - 1] = f32::INFINITY; // the last output
                    w[inputs - 1] = f32::NEG_INFINITY; // the first output,
                    w[0] = f32::INFINITY; // which has both
                    x[(rows - 1) * inputs + inputs / 2] = f32::NAN; // the last row
                    let w = Weight::from_f32(&[outputs, inputs], &w).to_dtype(dtype);
                    let ways = WAYS.map(|(_, way)| multiply(&device, way, &x, &w, None));
                    for (i, y) in ways.into_iter().flat_map(|y| y.into_iter().enumerate()) {
                        let (m, n) = (i / outputs, i % outputs);
                        let what = format!(
                            "{} {dtype:?} [{m}, {n}] of {rows} x {outputs} x {inputs}",
                            isa.name()
                        );
                        if m == rows - 1 || n == 0 {
                            assert!(y.is_nan(), "{what}: {y}, not NaN");
                        } else if n == outputs - 1 {
                            assert_eq!(y, f32::INFINITY, "{what}");
                        } else {
                            assert_eq!(y, 0.5 * inputs as f32, "{what}");
                        }
                    }
                }
            }
        }
    }
}

/// Denormal numbers are numbers.
#[test]
fn denormal_numbers_count() {
    for isa in Isa::tested() {
        let device = device(isa, 1);
        for rows in [1, 3, 20] {
            for (dtype, tiny) in [
                (DType::F32, 1e-40),
                (DType::Bf16, 1e-40),
                (DType::F16, 6e-8),
            ] {
                let w = Weight::from_f32(&[3, 40], &[tiny; 120]).to_dtype(dtype);
                let want = w.to_f32()[0] * 40.0;
                assert!(want > 0.0);
                let x = vec![1.0; rows * 40];
                let y = WAYS
                    .map(|(_, way)| multiply(&device, way, &x, &w, None))
                    .concat();
                let near = |y: &f32| (y - want).abs() <= want * 1e-4;
                assert!(
                    y.iter().all(near),
                    "{} {dtype:?} {rows}: {y:?}, not {want}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn the_comparison_sees_what_is_wrong() {
    let shape = [2, 3, 50];
    let (x, w) = (numbers(6, 100), numbers(7, 150));
    let device = Device::cpu();
    let y = linear(
        &Tensor::from_vec(&device, &[2, 50], x.clone()),
        &Weight::from_f32(&[3, 50], &w),
        None,
    );
    let right = y.into_vec().unwrap();
    assert_eq!(first_wrong(&x, &w, None, shape, &right), None);
    for wrong in [right[4] + 1e-3, f32::NAN, 0.0] {
        let mut found = right.clone();
        found[4] = wrong;
        assert!(
            first_wrong(&x, &w, None, shape, &found).is_some(),
            "{wrong}"
        );
    }
    // Where the truth is zero nothing but zero is near.
    let zeros = vec![0.0; 150];
    assert_eq!(first_wrong(&x, &zeros, None, shape, &[0.0; 6]), None);
    assert!(first_wrong(&x, &zeros, None, shape, &[0.0, 0.0, 1e-30, 0.0, 0.0, 0.0]).is_some());
}

#[test]
#[should_panic(expected = "linear: x [2, 3] and weight [4, 5]")]
fn inputs_must_agree() {
    let device = Device::cpu();
    let _ = linear(
        &Tensor::zeros(&device, &[2, 3]),
        &Weight::from_f32(&[4, 5], &[0.0; 20]),
        None,
    );
}

#[test]
#[should_panic(expected = "linear: bias [3], x [2, 5] and weight [4, 5]")]
fn a_bias_has_a_number_per_output() {
    let device = Device::cpu();
    let (x, bias) = (
        Tensor::zeros(&device, &[2, 5]),
        Tensor::zeros(&device, &[3]),
    );
    let _ = linear(&x, &Weight::from_f32(&[4, 5], &[0.0; 20]), Some(&bias));
}
