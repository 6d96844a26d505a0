//! Quantizing, and `linear` with quantized matrices, against their definitions, on every instruction set.

use std::num::NonZeroUsize;

use super::activations::{Activations, Layout};
use super::format::MAX_INPUTS;
use super::kernels::{Kernels, Pass};
use super::quantized::Panel;
use super::{QuantError, QuantFormat, Quantized, linear};
use crate::reference::{self, Exact};
use crate::{Bytes, CpuOptions, DType, Device, Isa, Precision, Tensor, Weight};

const FORMATS: [&str; 4] = ["int8", "int4", "int4-64", "int4-128"];

fn formats() -> impl Iterator<Item = QuantFormat> {
    FORMATS.into_iter().map(|name| name.parse().unwrap())
}

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

/// Numbers of a normal distribution.
fn normal(seed: u64, n: usize) -> Vec<f32> {
    // The sum of twelve uniform numbers has a variance of 12 / 3 = 4.
    let uniform = numbers(seed, 12 * n);
    uniform
        .chunks_exact(12)
        .map(|twelve| twelve.iter().sum::<f32>() / 2.0)
        .collect()
}

fn device(isa: Isa, threads: usize, precision: Precision) -> Device {
    let threads = NonZeroUsize::new(threads).unwrap();
    let options = CpuOptions::default().with_isa(isa).with_threads(threads);
    Device::cpu_with(&options.with_precision(precision))
}

fn tensor(device: &Device, rows: usize, x: &[f32]) -> Tensor {
    Tensor::from_vec(device, &[rows, x.len() / rows], x.to_vec())
}

fn group(format: QuantFormat, inputs: usize) -> usize {
    match format {
        QuantFormat::Int8 => inputs,
        QuantFormat::Int4(group) => group.get(),
    }
}

fn quantize(shape: [usize; 2], w: &[f32], format: QuantFormat) -> Quantized {
    let device = Device::cpu_with(&CpuOptions::default());
    Quantized::quantize(&Weight::from_f32(&shape, w), format, &device).unwrap()
}

/// Every format and instruction set, with and without a bias, one to three threads.
fn check([rows, outputs, inputs]: [usize; 3]) {
    // Rows and groups of different sizes.
    let mut x = numbers(1, rows * inputs);
    for (i, x) in x.iter_mut().enumerate() {
        *x *= (1 + i / 32 % 5) as f32;
    }
    let (w, bias) = (numbers(2, outputs * inputs), numbers(3, outputs));
    for format in formats() {
        let matrix = quantize([outputs, inputs], &w, format);
        let wide = matrix.to_f32();
        for bias in [None, Some(bias.as_slice())] {
            let group = group(format, inputs);
            let want = reference::linear_rounded(&x, &wide, bias, inputs, group);
            // Sums of bytes are exact: what is left is a rounding for each group, of each of the
            // two scales, of their product and of the bias.
            let units = (inputs / group) as f64 + 6.0;
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::tested() {
                for threads in [1, 2, 3] {
                    let device = device(isa, threads, Precision::Auto);
                    let bias =
                        bias.map(|bias| Tensor::from_vec(&device, &[outputs], bias.to_vec()));
                    let y = linear(&tensor(&device, rows, &x), &matrix, bias.as_ref());
                    let y = y.into_vec().unwrap();
                    let what = format!(
                        "{format} [{rows}, {outputs}, {inputs}] {} {threads} threads",
                        isa.name()
                    );
                    match &first {
                        None => {
                            assert_near(&what, &y, &want, units);
                            first = Some(y);
                        }
                        Some(first) => {
                            let same = first.iter().zip(&y).position(|(a, b)| a != b);
                            assert_eq!(same, None, "{what}: other bits than scalar");
                        }
                    }
                }
            }
        }
    }
}

fn assert_near(what: &str, found: &[f32], want: &[Exact], units: f64) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (i, (&found, want)) in found.iter().zip(want).enumerate() {
        assert!(
            want.accepts(found, units),
            "{what}: number {i} is {found}, not {want:?}"
        );
    }
}

#[test]
fn few_rows_of_activations() {
    for (i, (outputs, inputs)) in [(1, 1), (15, 31), (16, 32), (17, 65), (33, 127), (150, 130)]
        .into_iter()
        .enumerate()
    {
        for rows in 1..=8 {
            if rows < 4 || rows % 3 == i % 3 {
                check([rows, outputs, inputs]);
            }
        }
    }
    check([1, 300, 600]);
}

#[test]
fn many_rows_of_activations() {
    for rows in [9, 10, 11, 12, 13, 16, 17, 25, 31, 33, 49] {
        check([rows, 33, 100]);
    }
    check([40, 150, 70]);
    check([65, 20, 300]);
    // More than one block.
    check([520, 16, 40]);
}

/// What a row gives does not depend on the rows beside it.
#[test]
fn rows_do_not_see_each_other() {
    let (rows, outputs, inputs) = (37, 50, 200);
    let (x, w) = (numbers(4, rows * inputs), numbers(5, outputs * inputs));
    for format in formats() {
        let matrix = quantize([outputs, inputs], &w, format);
        for isa in Isa::tested() {
            let device = device(isa, 2, Precision::Fast);
            let all = linear(&tensor(&device, rows, &x), &matrix, None)
                .into_vec()
                .unwrap();
            for some in [1, 3, 8, 20] {
                let y = linear(&tensor(&device, some, &x[..some * inputs]), &matrix, None);
                assert_eq!(
                    y.into_vec().unwrap(),
                    all[..some * outputs],
                    "{format} {} {some} rows",
                    isa.name()
                );
            }
        }
    }
}

/// With f32 activations the product is the plain one with the numbers that the planes stand for.
#[test]
fn strict_products_are_those_of_the_widened_matrix() {
    for [rows, outputs, inputs] in [[1, 17, 33], [3, 530, 64], [20, 50, 130]] {
        let (x, w) = (numbers(6, rows * inputs), numbers(7, outputs * inputs));
        let bias = numbers(8, outputs);
        for format in formats() {
            let matrix = quantize([outputs, inputs], &w, format);
            let wide = Weight::from_f32(&[outputs, inputs], &matrix.to_f32());
            for isa in Isa::tested() {
                for precision in [Precision::Strict, Precision::High] {
                    let device = device(isa, 2, precision);
                    let x = tensor(&device, rows, &x);
                    let bias = Tensor::from_vec(&device, &[outputs], bias.clone());
                    let found = linear(&x, &matrix, Some(&bias)).into_vec().unwrap();
                    let want = linear(&x, &wide, Some(&bias)).into_vec().unwrap();
                    assert_eq!(found, want, "{format} {} {precision:?}", isa.name());
                }
            }
        }
    }
}

/// Whatever it is multiplied as, a matrix is read once, as it is stored.
#[test]
fn work_is_counted() {
    let matrix = quantize([40, 100], &numbers(19, 4000), QuantFormat::Int8);
    for precision in [Precision::Auto, Precision::Strict] {
        let device = device(Isa::get(), 2, precision);
        let before = device.work();
        drop(linear(&Tensor::zeros(&device, &[3, 100]), &matrix, None));
        let work = device.work() - before;
        assert_eq!(work.bytes, 48 * 128 + 48 * 4, "{precision:?}");
        assert_eq!(work.operations, 2 * 3 * 40 * 100, "{precision:?}");
    }
}

#[test]
fn nothing_to_multiply() {
    for format in formats() {
        for precision in [Precision::Auto, Precision::Strict] {
            let device = device(Isa::get(), 2, precision);
            for [rows, outputs, inputs] in [[0, 3, 4], [2, 0, 4], [0, 0, 0], [1, 0, 0], [2, 3, 0]] {
                let x = Tensor::zeros(&device, &[rows, inputs]);
                let matrix = quantize([outputs, inputs], &vec![1.0; outputs * inputs], format);
                drop(Tensor::from_vec(&device, &[6], vec![f32::NAN; 6]));
                let y = linear(&x, &matrix, None);
                assert_eq!(y.shape(), [rows, outputs]);
                assert_eq!(y.into_vec().unwrap(), vec![0.0; rows * outputs]);
            }
            let bias = Tensor::from_vec(&device, &[2], vec![3.0, 4.0]);
            let matrix = quantize([2, 0], &[], format);
            let y = linear(&Tensor::zeros(&device, &[2, 0]), &matrix, Some(&bias));
            assert_eq!(y.into_vec().unwrap(), [3.0, 4.0, 3.0, 4.0]);
        }
    }
}

/// A NaN or an infinity makes all outputs of its row NaN, and of no other; zeros and denormal numbers are
/// zeros.
#[test]
fn special_values_stay_in_their_row() {
    let (rows, outputs, inputs) = (6, 20, 100);
    let w = numbers(9, outputs * inputs);
    let mut x = numbers(10, rows * inputs);
    x[inputs + 70] = f32::NAN;
    x[3 * inputs + 99] = f32::NEG_INFINITY;
    x[4 * inputs..5 * inputs].fill(1e-40);
    x[5 * inputs..].fill(-0.0);
    for format in formats() {
        let matrix = quantize([outputs, inputs], &w, format);
        for isa in Isa::tested() {
            let device = device(isa, 1, Precision::Fast);
            let y = linear(&tensor(&device, rows, &x), &matrix, None)
                .into_vec()
                .unwrap();
            for (row, y) in y.chunks_exact(outputs).enumerate() {
                let right = match row {
                    1 | 3 => y.iter().all(|y| y.is_nan()),
                    4 | 5 => y.iter().all(|y| *y == 0.0),
                    _ => y.iter().all(|y| y.is_finite() && *y != 0.0),
                };
                assert!(right, "{format} {} row {row}: {y:?}", isa.name());
            }
        }
    }
}

/// The largest sums that a matrix of the format can have: a planted -128 and as many inputs as there may be.
#[test]
fn sums_do_not_overflow() {
    let inputs = MAX_INPUTS;
    let x = vec![1.0; 2 * inputs];
    for format in formats() {
        let matrix = quantize([1, inputs], &vec![-1.0; inputs], format);
        let planes = matrix.planes().map(|plane| {
            let lowest = if plane.layout.element.name() == "I8" {
                0x80
            } else {
                0x00
            };
            let bytes = match plane.layout.name {
                "values" => Bytes::from(vec![lowest; plane.bytes.as_ref().len()]),
                _ => plane.bytes.clone(),
            };
            (plane.layout.name, bytes)
        });
        let matrix = Quantized::from_planes(format, [1, inputs], &planes).unwrap();
        let want: f64 = matrix.to_f32().iter().map(|w| f64::from(*w)).sum();
        for isa in Isa::tested() {
            let device = device(isa, 1, Precision::Fast);
            for rows in [1, 2] {
                let y = linear(&tensor(&device, rows, &x[..rows * inputs]), &matrix, None);
                for y in y.into_vec().unwrap() {
                    let off = (f64::from(y) / want - 1.0).abs();
                    assert!(off < 1e-4, "{format} {}: {y}, not {want}", isa.name());
                }
            }
        }
    }
}

/// `|w - scale * q|` is at most half a scale (int8), and the planes are the same on every device.
#[test]
fn int8_rounds_to_the_nearest() {
    let (outputs, inputs) = (19, 70);
    let mut w = normal(11, outputs * inputs);
    w[..inputs].fill(0.0); // a row of zeros
    w[inputs..2 * inputs].fill(1e-45); // of denormal numbers
    w[2 * inputs] = f32::MAX;
    let matrix = quantize([outputs, inputs], &w, QuantFormat::Int8);
    let found = matrix.to_f32();
    for (row, (w, found)) in w.chunks(inputs).zip(found.chunks(inputs)).enumerate() {
        let most = w.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let scale = most / 127.0;
        for (w, found) in w.iter().zip(found) {
            let limit = (scale / 2.0 * 1.000_01).max(f32::MIN_POSITIVE);
            assert!((w - found).abs() <= limit, "row {row}: {found} of {w}");
        }
        if row != 1 {
            let largest = found.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
            assert!(
                (largest - most).abs() <= most * 1e-6,
                "row {row}: {largest}"
            );
        }
    }
}

/// The same planes whatever the instruction set and the number of threads, from every type.
#[test]
fn planes_are_the_same_everywhere() {
    let w = Weight::from_f32(&[50, 200], &normal(12, 50 * 200));
    for format in formats() {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let w = w.to_dtype(dtype);
            let wide = Weight::from_f32(w.shape(), &w.to_f32());
            let want = planes(&quantize([50, 200], &wide.to_f32(), format));
            for isa in Isa::tested() {
                for threads in [1, 3] {
                    let device = device(isa, threads, Precision::Auto);
                    let matrix = Quantized::quantize(&w, format, &device).unwrap();
                    assert_eq!(planes(&matrix), want, "{format} {dtype:?} {}", isa.name());
                }
            }
        }
    }
}

fn planes(matrix: &Quantized) -> [Vec<u8>; 2] {
    matrix.planes().map(|plane| plane.bytes.as_ref().to_vec())
}

/// The mean squared error of quantizing normal numbers, as a share of their mean square.
///
/// int8: of a row of 2048, the largest is near 3.5, so a step is 3.5 / 127 and its square over 12, the
/// variance of what is rounded off, 6e-5. int4 is compared with the best of 320 scales for each group,
/// found by trying: 0.65 %, 0.80 % and 0.93 % for groups of 32, 64 and 128.
#[test]
fn errors_of_quantizing_are_those_of_theory() {
    let (outputs, inputs) = (32, 2048);
    let w = normal(13, outputs * inputs);
    let square = |x: f64| x * x;
    let size: f64 = w.iter().map(|w| square(f64::from(*w))).sum();
    for (format, limit) in formats().zip([7e-5, 0.0068, 0.0084, 0.0098]) {
        let found = quantize([outputs, inputs], &w, format).to_f32();
        let pairs = w.iter().zip(&found);
        let lost: f64 = pairs.map(|(w, f)| square(f64::from(w - f))).sum();
        let share = lost / size;
        assert!(share < limit, "{format}: {share:.2e} is lost");
        assert!(
            share > limit / 2.0,
            "{format}: {share:.2e} is too good to be true"
        );
    }
}

/// Groups whose numbers are all one, zero or tiny, and a last group that is not full.
#[test]
fn int4_of_simple_groups() {
    for format in formats().skip(1) {
        let size = group(format, 0);
        let mut w = vec![0.0; 2 * size + 5];
        w[..size].fill(-0.75);
        w[2 * size..].copy_from_slice(&[1e-42, 0.0, -1e-42, 0.0, 1e-43]);
        let found = quantize([1, w.len()], &w, format).to_f32();
        for (w, found) in w.iter().zip(&found) {
            assert!(
                (w - found).abs() <= 0.75 / 256.0 * w.abs() + f32::MIN_POSITIVE,
                "{found} of {w}"
            );
        }
        let w = [f32::MAX, f32::MIN, 1.0];
        let found = quantize([1, 3], &w, format).to_f32();
        assert!(found.iter().all(|w| w.is_finite()), "{found:?}");
    }
}

/// Multiplying with a denormal number is slow, and its inverse may be none: no scale is one.
#[test]
fn scales_are_not_denormal() {
    for format in formats() {
        for size in [1e-44, 1e-39, 1e-37] {
            let w: Vec<f32> = numbers(20, 300).iter().map(|w| w * size).collect();
            let [_, scales] = quantize([3, 100], &w, format).planes();
            for upper in scales.bytes.as_ref().as_chunks::<2>().0 {
                // Of an `f32`, both halves: the lower one of a normal number may be anything.
                let upper = u16::from_le_bytes(*upper);
                let int4 = matches!(format, QuantFormat::Int4(_));
                assert!(
                    !int4 || upper & 0x7f80 != 0 || upper & 0x7fff == 0,
                    "{size:e}"
                );
            }
            if format == QuantFormat::Int8 {
                for scale in scales.bytes.as_ref().as_chunks().0 {
                    let scale = f32::from_le_bytes(*scale);
                    assert!(scale == 0.0 || scale.is_normal(), "{size:e}: {scale:e}");
                }
            }
        }
    }
}

#[test]
fn planes_make_the_matrix_again_and_rows_are_cut_from_it() {
    let (outputs, inputs) = (50, 100);
    let w = numbers(14, outputs * inputs);
    for format in formats() {
        let matrix = quantize([outputs, inputs], &w, format);
        let planes = matrix.planes();
        let sizes = format.planes([outputs, inputs]).unwrap();
        assert_eq!(planes.clone().map(|plane| plane.layout), sizes);
        let total: usize = sizes.iter().map(|layout| layout.bytes_len()).sum();
        assert_eq!(matrix.bytes_len(), total);
        let named = planes.map(|plane| (plane.layout.name, plane.bytes));
        let again = Quantized::from_planes(format, [outputs, inputs], &named).unwrap();
        let wide = matrix.to_f32();
        assert_eq!(again.to_f32(), wide);
        for range in [0..16, 16..48, 32..50, 48..50, 0..50, 16..16] {
            let part = matrix.rows(range.clone());
            assert_eq!(part.shape(), [range.len(), inputs]);
            assert_eq!(
                part.to_f32(),
                wide[range.start * inputs..range.end * inputs]
            );
        }
    }
}

/// Planes may lie anywhere in a file.
#[test]
fn alignment_changes_nothing() {
    let (rows, outputs, inputs) = (19, 70, 200);
    let x = numbers(21, rows * inputs);
    for format in formats() {
        let matrix = quantize([outputs, inputs], &numbers(22, outputs * inputs), format);
        let planes = matrix.planes().map(|plane| {
            let mut bytes = vec![0xff; 3];
            bytes.extend_from_slice(plane.bytes.as_ref());
            let end = bytes.len();
            (plane.layout.name, Bytes::from(bytes).slice(3..end))
        });
        let moved = Quantized::from_planes(format, [outputs, inputs], &planes).unwrap();
        for isa in Isa::tested() {
            let device = device(isa, 2, Precision::Fast);
            for rows in [1, rows] {
                let x = tensor(&device, rows, &x[..rows * inputs]);
                let want = linear(&x, &matrix, None);
                assert_eq!(
                    linear(&x, &moved, None).data(),
                    want.data(),
                    "{}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "Quantized::rows: 8..16 of [50, 3], in sixteens")]
fn panels_are_not_cut() {
    let _ = quantize([50, 3], &[1.0; 150], QuantFormat::Int8).rows(8..16);
}

#[test]
fn hostile_planes_are_refused() {
    let shape = [20, 70];
    for format in formats() {
        let planes = quantize(shape, &numbers(15, 1400), format).planes();
        let named = planes.map(|plane| (plane.layout.name, plane.bytes));
        let with = |planes: &[(&str, Bytes)]| Quantized::from_planes(format, shape, planes);
        for (i, (name, bytes)) in named.iter().enumerate() {
            let error = with(&named[1 - i..2 - i]).unwrap_err();
            assert!(matches!(error, QuantError::MissingPlane { plane } if plane == *name));
            let len = bytes.as_ref().len();
            for found in [0, len - 1, len + 1, len + 64] {
                let mut planes = named.clone();
                planes[i].1 = Bytes::from(vec![0; found]);
                let error = with(&planes).unwrap_err();
                let expected = QuantError::PlaneSize {
                    plane: if i == 0 { "values" } else { "scales" },
                    expected: len,
                    found,
                };
                assert_eq!(error, expected);
            }
        }
        for at in [0, named[1].1.as_ref().len() - 1] {
            for exponent in [0x7f, 0xff] {
                let mut scales = named[1].1.as_ref().to_vec();
                let at = at / 4 * 4;
                scales[at..at + 4].copy_from_slice(&[0x80, exponent, 0x80, exponent]);
                let planes = [named[0].clone(), ("scales", Bytes::from(scales))];
                let first = if at == 0 { 0 } else { 16 };
                let last = if at == 0 { 15 } else { 19 };
                assert_eq!(
                    with(&planes).unwrap_err(),
                    QuantError::BadScale { first, last }
                );
            }
        }
        for shape in [[usize::MAX, 70], [20, usize::MAX], [4, MAX_INPUTS + 1]] {
            let error = Quantized::from_planes(format, shape, &named).unwrap_err();
            assert!(matches!(error, QuantError::TooLarge { .. }), "{error}");
        }
        let error = Quantized::from_planes(format, [0, 70], &named).unwrap_err();
        assert!(matches!(error, QuantError::PlaneSize { .. }), "{error}");
    }
}

#[test]
fn what_cannot_be_quantized_is_refused() {
    let device = Device::cpu();
    for format in formats() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for dtype in [DType::F32, DType::F16, DType::Bf16] {
                let mut w = numbers(16, 40 * 70);
                (w[39 * 70 + 69], w[18 * 70 + 3]) = (bad, bad);
                let w = Weight::from_f32(&[40, 70], &w).to_dtype(dtype);
                let error = Quantized::quantize(&w, format, &device).unwrap_err();
                assert_eq!(error, QuantError::NotFinite { row: 18 });
            }
        }
        let cube = Weight::from_f32(&[1, 2, 3], &[0.0; 6]);
        let error = Quantized::quantize(&cube, format, &device).unwrap_err();
        assert_eq!(error, QuantError::NoMatrix(vec![1, 2, 3]));
        let long = Weight::from_f32(&[1, MAX_INPUTS + 1], &vec![0.0; MAX_INPUTS + 1]);
        let error = Quantized::quantize(&long, format, &device).unwrap_err();
        assert!(matches!(error, QuantError::TooLarge { .. }));
    }
}

#[test]
#[should_panic(expected = "linear: x [2, 3] and int8 weight [4, 5]")]
fn inputs_must_agree() {
    let matrix = quantize([4, 5], &[0.0; 20], QuantFormat::Int8);
    let _ = linear(&Tensor::zeros(&Device::cpu(), &[2, 3]), &matrix, None);
}

#[test]
#[should_panic(expected = "linear: bias [3], x [2, 5] and int8 weight [4, 5]")]
fn a_bias_has_a_number_per_output() {
    let device = Device::cpu();
    let matrix = quantize([4, 5], &[0.0; 20], QuantFormat::Int8);
    let (x, bias) = (
        Tensor::zeros(&device, &[2, 5]),
        Tensor::zeros(&device, &[3]),
    );
    let _ = linear(&x, &matrix, Some(&bias));
}

/// One kernel against the scalar one, to the bit, whatever the device has.
#[allow(
    dead_code,
    reason = "of kernels that are tested in another instruction set's place"
)]
pub(super) fn agrees_with_scalar(pass: &Pass, format: QuantFormat) {
    let device = device(Isa::Scalar, 1, Precision::Fast);
    let cpu = device.on_cpu();
    let inputs = 200;
    let x = numbers(17, pass.rows * inputs);
    let matrix = quantize(
        [16 * pass.panels, inputs],
        &normal(18, 16 * pass.panels * inputs),
        format,
    );
    let panels: Vec<_> = (0..pass.panels).map(|p| matrix.panel(p)).collect();
    let run = |pass: &Pass, panels: &[Panel<'_>], x: &[f32]| {
        let layout = Layout::new(format, inputs, pass);
        let mut activations = Activations::default();
        activations.round(cpu, &layout, x);
        let mut out = vec![[f32::NAN; 16]; panels.len() * pass.rows];
        // SAFETY: who calls this knows that the CPU has what the kernel needs.
        unsafe { (pass.run)(panels, &activations.tile(&layout, 0), &mut out) };
        out
    };
    let found = run(pass, &panels, &x);
    let scalar = &Kernels::of(Isa::Scalar).passes(format)[0];
    for (p, panel) in panels.iter().enumerate() {
        for (r, x) in x.chunks_exact(inputs).enumerate() {
            let want = run(scalar, &[*panel], x);
            assert_eq!(
                found[p * pass.rows + r],
                want[0],
                "{format} {} x {}",
                pass.rows,
                pass.panels
            );
        }
    }
}
