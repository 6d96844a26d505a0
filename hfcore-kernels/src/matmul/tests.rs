//! `linear` against its definition, on every instruction set.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::Product;
use super::few::few;
use super::kernels::Kernels;
use super::many::many;
use crate::{Bytes, CpuOptions, DType, Device, Isa, Precision, Tensor, Weight, effort, linear};

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

fn device(isa: Isa, threads: usize, precision: Precision) -> Device {
    let threads = NonZeroUsize::new(threads).unwrap();
    Device::cpu_with(
        &CpuOptions::default()
            .with_isa(isa)
            .with_threads(threads)
            .with_precision(precision),
    )
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
/// the longest way to a result may lose half a unit in the last place of all that was added. In
/// addition to that, `parts` of all terms may be lost where factors are parts that leave a rest.
fn first_wrong(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    [rows, outputs, inputs]: [usize; 3],
    parts: f64,
    found: &[f32],
) -> Option<String> {
    assert_eq!(found.len(), rows * outputs);
    let additions = inputs.min((inputs / 4).max(1024 + inputs / 256)) + 16;
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
                (additions as f64 * 2_f64.powi(-24) + parts) * size + f64::from(f32::MIN_POSITIVE);
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
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    few: bool,
    precision: Precision,
}

/// What a [`Way`] leaves of activations.
#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    Exact,
    /// They are `bf16`.
    Bf16,
    /// They are, as the weight, two `bf16`.
    Parts,
}

const WAYS: [Way; 5] = [
    Way {
        name: "few",
        few: true,
        precision: Precision::Strict,
    },
    Way {
        name: "few, fast",
        few: true,
        precision: Precision::Fast,
    },
    Way {
        name: "many",
        few: false,
        precision: Precision::Strict,
    },
    Way {
        name: "many, high",
        few: false,
        precision: Precision::High,
    },
    Way {
        name: "many, fast",
        few: false,
        precision: Precision::Fast,
    },
];

/// The instruction sets and [`WAYS`] that differ from each other for weights in `dtype`.
fn ways(dtype: DType) -> impl Iterator<Item = (Isa, Way)> {
    let mut seen = Vec::new();
    Isa::tested().flat_map(move |isa| {
        let exact = !seen.contains(&isa.vectors());
        seen.push(isa.vectors());
        WAYS.into_iter()
            .filter(move |way| match way.precision {
                Precision::Strict => exact,
                _ => way.rounding(isa, dtype, usize::MAX) != Rounding::Exact,
            })
            .map(move |way| (isa, way))
    })
}

impl Way {
    fn rounding(&self, isa: Isa, dtype: DType, rows: usize) -> Rounding {
        let kernels = Kernels::of(isa);
        let tile = kernels.tile(self.precision, dtype);
        let exact = if self.few {
            kernels.rounded(self.precision, dtype, rows).is_none()
        } else {
            std::ptr::eq(tile, kernels.tile(Precision::Strict, dtype))
        };
        match (self.precision, dtype) {
            _ if exact => Rounding::Exact,
            (Precision::Fast, DType::Bf16) => Rounding::Bf16,
            (Precision::High, _) | (Precision::Fast, DType::F16) => Rounding::Parts,
            _ => panic!("{} {dtype:?}: {} has no rule", isa.name(), self.name),
        }
    }
}

impl Rounding {
    /// What is left of activations, and how much of each product a rest that is left out may be.
    fn of(self, x: &[f32]) -> (Vec<f32>, f64) {
        match self {
            Self::Exact => (x.to_vec(), 0.0),
            Self::Bf16 => {
                let rounded = |x: &f32| half::bf16::from_f32(*x).to_f32();
                (x.iter().map(rounded).collect(), 0.0)
            }
            // Of each factor, two parts of 8 bits; and the product of the smaller parts.
            Self::Parts => (x.to_vec(), 3.0 * 2_f64.powi(-18)),
        }
    }
}

/// `x` `[rows, inputs]` times `weight` in one of the [`WAYS`].
fn multiply(
    device: &Device,
    way: &Way,
    x: &[f32],
    weight: &Weight,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let cpu = device.on_cpu();
    let &[outputs, inputs] = weight.shape() else {
        panic!("a matrix")
    };
    let (rows, dtype, weight) = (x.len() / inputs, weight.dtype(), weight.bytes());
    // Whatever is not written shows.
    let mut out = vec![f32::NAN; rows * outputs];
    let run = if way.few { few } else { many };
    run(
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

/// All ways on every instruction set and type, with and without a bias, from misaligned bytes, with
/// one, two and three threads; a small test only with a bias, and with one and three threads.
fn check(shape: [usize; 3]) {
    let [rows, outputs, inputs] = shape;
    let x = numbers(1, rows * inputs);
    let bias = numbers(2, outputs);
    let (threads, biases): (&[usize], &[Option<&[f32]>]) = if effort::small() {
        (&[1, 3], &[Some(&bias)])
    } else {
        (&[1, 2, 3], &[None, Some(&bias)])
    };
    let published = Weight::from_f32(&[outputs, inputs], &numbers(3, outputs * inputs));
    for (i, dtype) in DTYPES.into_iter().enumerate() {
        let weight = misaligned(&published.to_dtype(dtype), 1 + 2 * i);
        let wide = weight.to_f32();
        for (isa, way) in ways(dtype) {
            let device = |threads: &usize| device(isa, *threads, way.precision);
            let devices: Vec<Device> = threads.iter().map(device).collect();
            let (x_left, parts) = way.rounding(isa, dtype, rows).of(&x);
            for &bias in biases {
                let with = bias.is_some();
                let what = format!(
                    "{} {} {dtype:?} {shape:?} bias {with}",
                    way.name,
                    isa.name()
                );
                let mut results = devices
                    .iter()
                    .map(|device| multiply(device, &way, &x, &weight, bias));
                let first = results.next().expect("there is a device");
                if let Some(wrong) = first_wrong(&x_left, &wide, bias, shape, parts, &first) {
                    panic!("{what}: {wrong}");
                }
                for other in results {
                    assert_eq!(first, other, "{what}: another number of threads");
                }
            }
        }
    }
}

/// `linear` chooses one of the ways that [`check`] checks.
#[test]
fn linear_multiplies() {
    let device = Device::cpu();
    for rows in [1, 8, 9, 48, 49, 128, 129, 200] {
        let (x, w) = (numbers(8, rows * 70), numbers(9, 70 * 30));
        let tensor = Tensor::from_vec(&device, &[rows, 70], x.clone());
        let y = linear(&tensor, &Weight::from_f32(&[30, 70], &w), None)
            .into_vec()
            .unwrap();
        assert_eq!(first_wrong(&x, &w, None, [rows, 30, 70], 0.0, &y), None);
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

/// A row has the same numbers beside others as alone: sums have one order, whichever kernel makes them.
#[test]
fn few_rows_do_not_change_each_other() {
    let [outputs, inputs] = [37, 200];
    let x = numbers(15, 8 * inputs);
    let published = Weight::from_f32(&[outputs, inputs], &numbers(16, outputs * inputs));
    for dtype in DTYPES {
        let weight = published.to_dtype(dtype);
        for isa in Isa::tested() {
            let device = device(isa, 1, WAYS[0].precision);
            let run = |x: &[f32]| multiply(&device, &WAYS[0], x, &weight, None);
            let alone: Vec<f32> = x.chunks(inputs).flat_map(run).collect();
            for rows in 2..=8 {
                let beside = run(&x[..rows * inputs]);
                let what = format!("{} {dtype:?}, {rows} rows", isa.name());
                assert_eq!(beside, alone[..rows * outputs], "{what}");
            }
        }
    }
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
/// zeros that pad odd sizes. (An infinity in parts leaves no number.)
#[test]
fn special_values_reach_what_they_enter() {
    for dtype in DTYPES {
        for (isa, way) in ways(dtype) {
            let device = device(isa, 2, way.precision);
            for rows in [1, 2, 8, 9, 17, 40] {
                let in_parts = way.rounding(isa, dtype, rows) == Rounding::Parts;
                for (outputs, inputs) in [(5, 3), (13, 33), (50, 270)] {
                    let mut w = vec![0.5; outputs * inputs];
                    let mut x = vec![1.0; rows * inputs];
                    w[(outputs - 1) * inputs + inputs - 1] = f32::INFINITY; // the last output
                    w[inputs - 1] = f32::NEG_INFINITY; // the first output,
                    w[0] = f32::INFINITY; // which has both
                    x[(rows - 1) * inputs + inputs / 2] = f32::NAN; // the last row
                    let w = Weight::from_f32(&[outputs, inputs], &w).to_dtype(dtype);
                    let y = multiply(&device, &way, &x, &w, None);
                    for (i, y) in y.into_iter().enumerate() {
                        let (m, n) = (i / outputs, i % outputs);
                        let what = format!(
                            "{} {} {dtype:?} [{m}, {n}] of {rows} x {outputs} x {inputs}",
                            way.name,
                            isa.name()
                        );
                        if m == rows - 1 || n == 0 {
                            assert!(y.is_nan(), "{what}: {y}, not NaN");
                        } else if n == outputs - 1 {
                            assert!(
                                y == f32::INFINITY || (in_parts && y.is_nan()),
                                "{what}: {y}"
                            );
                        } else {
                            assert_eq!(y, 0.5 * inputs as f32, "{what}");
                        }
                    }
                }
            }
        }
    }
}

/// Denormal numbers are numbers, but for the instructions that multiply `bf16`, which take them for zero.
#[test]
fn denormal_numbers_count() {
    for (dtype, tiny) in [
        (DType::F32, 1e-40),
        (DType::Bf16, 1e-40),
        (DType::F16, 6e-8),
    ] {
        for (isa, way) in ways(dtype) {
            let device = device(isa, 1, way.precision);
            for rows in [1, 3, 20] {
                let w = Weight::from_f32(&[3, 40], &[tiny; 120]).to_dtype(dtype);
                let exact = w.to_f32()[0] * 40.0;
                assert!(exact > 0.0);
                // In `f16` it is denormal, in parts of `bf16` it is not.
                let rounding = way.rounding(isa, dtype, rows);
                let flushed = rounding != Rounding::Exact && dtype != DType::F16;
                let want = if flushed { 0.0 } else { exact };
                let y = multiply(&device, &way, &vec![1.0; rows * 40], &w, None);
                let near = |y: &f32| (y - want).abs() <= want * 1e-4;
                assert!(
                    y.iter().all(near),
                    "{} {} {dtype:?} {rows}: {y:?}, not {want}",
                    way.name,
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
    assert_eq!(first_wrong(&x, &w, None, shape, 0.0, &right), None);
    for wrong in [right[4] + 1e-3, f32::NAN, 0.0] {
        let mut found = right.clone();
        found[4] = wrong;
        assert!(
            first_wrong(&x, &w, None, shape, 0.0, &found).is_some(),
            "{wrong}"
        );
    }
    // Where the truth is zero nothing but zero is near.
    let zeros = vec![0.0; 150];
    assert_eq!(first_wrong(&x, &zeros, None, shape, 0.0, &[0.0; 6]), None);
    assert!(
        first_wrong(
            &x,
            &zeros,
            None,
            shape,
            0.0,
            &[0.0, 0.0, 1e-30, 0.0, 0.0, 0.0]
        )
        .is_some()
    );
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
