//! Operations on rows, and number by number.

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{
    Activation, Tensor, activate, add, add_row, add_tiled, clamped_swiglu, columns, concat_rows,
    gated, gated_halves, gather_rows, l2_normalize, layer_norm, mean_rows, mul, patches, rms_norm,
    scale, softcap, softmax, transpose,
};

use super::super::elementwise::ACTIVATIONS;
use super::{check, exact, numbers, tensor};

#[test]
fn activations() {
    // Every size of argument, both signs, and the ends.
    let mut x = numbers(700, 1, 1.0);
    x.extend(numbers(700, 2, 12.0));
    x.extend(numbers(300, 3, 200.0));
    x.extend((-40..40).map(|e| 2.0_f32.powi(e) * if e % 2 == 0 { 1.0 } else { -1.0 }));
    x.extend([0.0, -0.0, 88.7, -88.7, 1e30, -1e30, f32::NAN]);
    let n = x.len();
    let up = numbers(n, 4, 2.0);
    each_device(|device| {
        for activation in ACTIVATIONS {
            let want: Vec<Exact> = (x.iter())
                .map(|&v| reference::activation(f64::from(v), activation))
                .collect();
            // Products of 1e30 with themselves.
            let want: Vec<Exact> = (want.into_iter())
                .map(|want| match want.value {
                    v if v > f64::from(f32::MAX) => Exact::new(f64::INFINITY),
                    _ => want,
                })
                .collect();
            let what = format!("{activation:?} on {}", device.name());
            let found = activate(tensor(device, &[n], &x), activation);
            let found = found.to_vec().expect("a device that works");
            for (i, (&found, want)) in found.iter().zip(&want).enumerate() {
                let same = want.value.is_infinite() && f64::from(found) == want.value;
                assert!(
                    same || want.accepts(found, 9.0),
                    "{what} of {}: {found}, not {want:?}",
                    x[i]
                );
            }
            if matches!(activation, Activation::Silu | Activation::Gelu) {
                let m = 1700;
                let product: Vec<Exact> = (want[..m].iter().zip(&up))
                    .map(|(f, &up)| f.times(f64::from(up)))
                    .collect();
                let (gate, up) = (
                    tensor(device, &[1, m], &x[..m]),
                    tensor(device, &[1, m], &up[..m]),
                );
                check(&what, &gated(gate, &up, activation), &product, 11.0);
            }
        }
    });
}

#[test]
fn gated_units() {
    let (rows, inner) = (5, 257);
    let x = numbers(rows * 2 * inner, 5, 9.0);
    let halves: Vec<Exact> = (x.chunks_exact(2 * inner))
        .flat_map(|x| {
            let (gate, up) = x.split_at(inner);
            gate.iter().zip(up).map(|(&gate, &up)| {
                reference::activation(f64::from(gate), Activation::GeluTanh).times(f64::from(up))
            })
        })
        .collect();
    let turns: Vec<Exact> = (x.as_chunks::<2>().0.iter())
        .map(|[gate, up]| reference::clamped_swiglu(*gate, *up, 7.0, 1.702))
        .collect();
    each_device(|device| {
        let x = tensor(device, &[rows, 1, 2 * inner], &x);
        let found = gated_halves(&x, Activation::GeluTanh);
        assert_eq!(found.shape(), [rows, 1, inner]);
        check("gated_halves", &found, &halves, 11.0);
        check(
            "clamped_swiglu",
            &clamped_swiglu(&x, 7.0, 1.702),
            &turns,
            12.0,
        );
    });
}

#[test]
fn numbers_one_by_one() {
    let (rows, width) = (6, 341);
    let shape = [rows, width];
    let (a, b) = (numbers(rows * width, 6, 3.0), numbers(rows * width, 7, 3.0));
    let each = |f: &dyn Fn(usize, f32) -> Exact| -> Vec<Exact> {
        a.iter().enumerate().map(|(i, &a)| f(i, a)).collect()
    };
    let sum = |a: f32, b: f32| Exact::sum([a, b].map(f64::from));
    each_device(|device| {
        let x = || tensor(device, &shape, &a);
        let y = tensor(device, &shape, &b);
        let want = each(&|i, a| sum(a, b[i]));
        check("add", &add(x(), &y), &want, 1.0);
        // The same tensor twice.
        let want = each(&|_, a| sum(a, a));
        let twice = x();
        check("add to itself", &add(twice.clone(), &twice), &want, 1.0);
        let want = each(&|i, a| Exact::new(f64::from(a) * f64::from(b[i])));
        check("mul", &mul(x(), &y), &want, 1.0);
        let want = each(&|i, a| sum(a, b[i % width]));
        let row = tensor(device, &[width], &b[..width]);
        check("add_row", &add_row(x(), &row), &want, 1.0);
        let want = each(&|i, a| sum(a, b[i % (3 * width)]));
        let tile = tensor(device, &[3, width], &b[..3 * width]);
        check("add_tiled", &add_tiled(x(), &tile), &want, 1.0);
        let want = each(&|_, a| Exact::new(f64::from(a) * f64::from(0.3_f32)));
        check("scale", &scale(x(), 0.3), &want, 1.0);
        for cap in [0.5, 50.0] {
            let want = each(&|_, a| reference::softcap(a, cap));
            check("softcap", &softcap(x(), cap), &want, 12.0);
        }
        let none = Tensor::from_vec(device, &[0, 3], Vec::new());
        let none = activate(add(none.clone(), &none), Activation::Silu);
        assert_eq!(none.to_vec().expect("nothing"), []);
    });
}

#[test]
fn norms() {
    // One number, fewer than threads, more, and the other number of threads.
    for (rows, width, offset) in [(3, 1, 0.0), (5, 7, 100.0), (4, 257, 100.0), (2, 1031, 0.0)] {
        let x: Vec<f32> = (numbers(rows * width, 8, 2.0).iter())
            .map(|v| v + offset)
            .collect();
        let (gain, bias) = (numbers(width, 9, 1.5), numbers(width, 10, 1.5));
        let each = |f: &dyn Fn(&[f32]) -> Vec<Exact>| -> Vec<Exact> {
            x.chunks_exact(width).flat_map(f).collect()
        };
        each_device(|device| {
            let x = tensor(device, &[rows, width], &x);
            let g = Tensor::parameter(device, &[width], gain.clone());
            let b = tensor(device, &[width], &bias);
            for unit_offset in [false, true] {
                let want = each(&|x| reference::rms_norm(x, Some(&gain), 1e-6, unit_offset));
                let found = rms_norm(&x, Some(&g), 1e-6, unit_offset);
                check(&format!("rms_norm of {width}"), &found, &want, 10.0);
            }
            let want = each(&|x| reference::rms_norm(x, None, 1e-6, false));
            check(
                "rms_norm without gain",
                &rms_norm(&x, None, 1e-6, false),
                &want,
                10.0,
            );
            let want = each(&|x| reference::layer_norm(x, &gain, None, 1e-5));
            check("layer_norm", &layer_norm(&x, &g, None, 1e-5), &want, 18.0);
            let want = each(&|x| reference::layer_norm(x, &gain, Some(&bias), 1e-5));
            let found = layer_norm(&x, &g, Some(&b), 1e-5);
            check("layer_norm with bias", &found, &want, 18.0);
            let want = each(&|x| reference::l2_normalize(x, 1e-12));
            check("l2_normalize", &l2_normalize(&x, 1e-12), &want, 10.0);
        });
    }
    each_device(|device| {
        let zeros = tensor(device, &[2, 3], &[0.0; 6]);
        check(
            "l2_normalize of zeros",
            &l2_normalize(&zeros, 1e-12),
            &exact(&[0.0; 6]),
            0.0,
        );
    });
}

#[test]
fn softmax_of_rows() {
    for (width, size) in [(1, 1.0), (65, 30.0), (700, 1e4)] {
        let mut x = numbers(5 * width, 11, size);
        // Some masked numbers in the second row, all in the third, and one that is none in the last.
        (x[width..2 * width].iter_mut().step_by(3).skip(1)).for_each(|v| *v = f32::NEG_INFINITY);
        x[2 * width..3 * width].fill(f32::NEG_INFINITY);
        let want: Vec<Exact> = (x[..4 * width].chunks_exact(width))
            .flat_map(reference::softmax)
            .collect();
        x[4 * width] = f32::NAN;
        each_device(|device| {
            let found = softmax(&tensor(device, &[5, width], &x));
            let (rows, last) = (0..4, [4]);
            let rows = gather_rows(&found, &rows.collect::<Vec<_>>());
            check(&format!("softmax of {width}"), &rows, &want, 10.0);
            let last = gather_rows(&found, &last).to_vec().expect("a row");
            assert!(last.iter().all(|v| v.is_nan()), "{width}: {last:?}");
        });
    }
}

#[test]
fn rows_moved_and_averaged() {
    for (rows, width) in [(1, 1), (33, 65)] {
        let x = numbers(rows * width, 12, 1.0);
        let cut = width / 3..width - width / 4;
        let columns_of: Vec<f32> = (x.chunks_exact(width))
            .flat_map(|row| row[cut.clone()].to_vec())
            .collect();
        let picked: Vec<usize> = (0..2 * rows).map(|i| i * 7 % rows).collect();
        let gathered: Vec<f32> = (picked.iter())
            .flat_map(|&row| x[row * width..][..width].to_vec())
            .collect();
        let turned: Vec<f32> = (0..width * rows)
            .map(|i| x[i % rows * width + i / rows])
            .collect();
        let spans = [0..rows, rows / 2..rows / 2 + 1, 0..1];
        let means: Vec<Exact> = (spans.iter())
            .flat_map(|s| reference::mean_rows(&x, width, s.clone()))
            .collect();
        each_device(|device| {
            let all = tensor(device, &[rows, width], &x);
            check(
                "columns",
                &columns(&all, cut.clone()),
                &exact(&columns_of),
                0.0,
            );
            let some = gather_rows(&all, &picked);
            assert_eq!(some.shape(), [2 * rows, width]);
            check("gather_rows", &some, &exact(&gathered), 0.0);
            let none = columns(&all, 0..0);
            assert_eq!(none.shape(), [rows, 0]);
            let nothing = gather_rows(&all, &[]);
            let joined = concat_rows(&[&all, &nothing, &some, &all]);
            assert_eq!(joined.shape(), [4 * rows, width]);
            let want = [&x[..], &gathered, &x].concat();
            check("concat_rows", &joined, &exact(&want), 0.0);
            check("transpose", &transpose(&all), &exact(&turned), 0.0);
            check("mean_rows", &mean_rows(&all, &spans), &means, 8.0);
        });
    }
}

#[test]
fn patches_of_images() {
    for ([channels, height, width], patch) in [([3, 50, 31], 14), ([2, 5, 5], 6)] {
        let size = channels * height * width;
        let pixels = numbers(2 * size, 13, 1.0);
        let want: Vec<f32> = (pixels.chunks_exact(size))
            .flat_map(|image| reference::patches(image, [channels, height, width], patch))
            .collect();
        each_device(|device| {
            let found = patches(
                &tensor(device, &[2, channels, height, width], &pixels),
                patch,
            );
            let squares = (height / patch) * (width / patch);
            assert_eq!(found.shape(), [2 * squares, channels * patch * patch]);
            check("patches", &found, &exact(&want), 0.0);
        });
    }
}
