//! Each operation against its definition, on each instruction set, with several numbers of threads.

mod attention;

use std::num::NonZeroUsize;

use hfcore_kernels::reference::{self, Exact};
use hfcore_kernels::{
    Activation, CpuOptions, Device, ExpertKind, Experts, Isa, RopeAngles, RopeLayout, Router,
    Tensor, Weight, activate, add, add_row, add_tiled, clamped_swiglu, columns, concat_rows,
    conv1d, gated, gated_halves, gather_rows, l2_normalize, layer_norm, mean_rows, moe, mul,
    patches, rms_norm, rope, route, scale, softcap, softmax, transpose,
};

/// Widths around every size of vector and of loops over vectors.
const WIDTHS: [usize; 10] = [1, 2, 7, 16, 31, 63, 64, 65, 257, 4096];

const ACTIVATIONS: [Activation; 9] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::Relu2,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Identity,
];

/// Numbers from -1 to 1 that look random, and are always the same (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u16::try_from((z ^ (z >> 31)) >> 48).expect("16 bits");
        f32::from(bits) / 32768.0 - 1.0
    }

    fn vec(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * size).collect()
    }
}

/// The devices to test on: each instruction set with one, two and three threads.
///
/// With `HFCORE_TEST_SIZE=small`, for emulated processors, with one and three threads, and those sets
/// alone of which the vectors differ: what others have besides is for products with weights.
fn devices() -> Vec<(Isa, usize, Device)> {
    devices_with(&CpuOptions::default())
}

/// [`devices`] that differ from `options` in nothing else.
fn devices_with(options: &CpuOptions) -> Vec<(Isa, usize, Device)> {
    let threads = |n| NonZeroUsize::new(n).expect("not 0");
    let small = std::env::var_os("HFCORE_TEST_SIZE").is_some_and(|size| size == "small");
    let isas = Isa::all()
        .filter(|isa| !small || ["scalar", "avx2", "avx512", "neon"].contains(&isa.name()));
    let all = isas.flat_map(|isa| [1, 2, 3].map(|n| (isa, n)));
    all.filter(|(_, n)| !small || *n != 2)
        .map(|(isa, n)| {
            let options = options.clone().with_isa(isa).with_threads(threads(n));
            (isa, n, Device::cpu_with(&options))
        })
        .collect()
}

/// The first number that is not as defined, in words.
fn disagreement(found: &[f32], want: &[Exact], units: f64) -> Option<String> {
    if found.len() != want.len() {
        return Some(format!("{} numbers, not {}", found.len(), want.len()));
    }
    let index = found
        .iter()
        .zip(want)
        .position(|(&found, want)| !want.accepts(found, units))?;
    let (found, want) = (found[index], want[index]);
    let off =
        (f64::from(found) - want.value).abs() / want.magnitude * f64::from(2.0 / f32::EPSILON);
    Some(format!(
        "number {index} is {found}, not {want:?}: off by {off:.1} units"
    ))
}

/// Run `f` on every device: all results must be as defined, and bit by bit those of other numbers of
/// threads; if `same` also those of other instruction sets.
fn check(
    devices: &[(Isa, usize, Device)],
    what: &str,
    want: &[Exact],
    units: f64,
    same: Same,
    f: impl Fn(&Device) -> Tensor,
) {
    let mut before: Option<(Isa, Vec<f32>)> = None;
    for (isa, threads, device) in devices {
        let found = f(device).into_vec().expect("a CPU gives its numbers");
        let name = isa.name();
        if let Some(message) = disagreement(&found, want, units) {
            panic!("{what} on {name} with {threads} threads: {message}");
        }
        if let Some((other, before)) = &before {
            let must =
                other == isa || same == Same::All || (same == Same::Fused && *other != Isa::Scalar);
            let equal = || {
                found
                    .iter()
                    .zip(before)
                    .all(|(a, b)| a.to_bits() == b.to_bits())
            };
            assert!(
                !must || equal(),
                "{what}: {name} with {threads} threads differs from {}",
                other.name()
            );
        }
        before = Some((*isa, found));
    }
}

/// Which instruction sets agree bit by bit.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    /// All.
    All,
    /// Those with fused multiplication and addition.
    Fused,
    /// None: only numbers of threads.
    Threads,
}

fn tensor(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_vec(device, shape, data.to_vec())
}

fn exact(values: &[f32]) -> Vec<Exact> {
    values.iter().map(|&v| Exact::new(f64::from(v))).collect()
}

#[test]
fn activations() {
    let devices = devices();
    let mut random = Random(1);
    for n in [1, 7, 63, 64, 65, 257, 100_003] {
        for size in [1.0, 12.0, 200.0] {
            let x = random.vec(n, size);
            let up = random.vec(n, 2.0);
            for activation in ACTIVATIONS {
                let want: Vec<Exact> = x
                    .iter()
                    .map(|&v| reference::activation(f64::from(v), activation))
                    .collect();
                let what = format!("{activation:?} of {n} up to {size}");
                check(&devices, &what, &want, 5.0, Same::All, |d| {
                    activate(tensor(d, &[n], &x), activation)
                });
                let product: Vec<Exact> = want
                    .iter()
                    .zip(&up)
                    .map(|(f, &up)| f.times(f64::from(up)))
                    .collect();
                check(&devices, &what, &product, 6.0, Same::All, |d| {
                    gated(tensor(d, &[1, n], &x), &tensor(d, &[1, n], &up), activation)
                });
            }
        }
    }
}

#[test]
fn gated_units() {
    let devices = devices();
    let mut random = Random(2);
    for (rows, inner) in [(1, 1), (3, 7), (2, 65), (70, 257), (1, 40_000)] {
        let x = random.vec(rows * 2 * inner, 9.0);
        let halves = x.chunks_exact(2 * inner).flat_map(|x| {
            let (gate, up) = x.split_at(inner);
            gate.iter().zip(up).map(|(&gate, &up)| {
                reference::activation(f64::from(gate), Activation::Silu).times(f64::from(up))
            })
        });
        let halves: Vec<Exact> = halves.collect();
        check(&devices, "gated_halves", &halves, 6.0, Same::All, |d| {
            gated_halves(&tensor(d, &[rows, 2 * inner], &x), Activation::Silu)
        });
        let turns: Vec<Exact> = x
            .chunks_exact(2)
            .map(|x| reference::clamped_swiglu(x[0], x[1], 7.0, 1.702))
            .collect();
        check(&devices, "clamped_swiglu", &turns, 8.0, Same::All, |d| {
            clamped_swiglu(&tensor(d, &[rows, 2 * inner], &x), 7.0, 1.702)
        });
    }
}

#[test]
fn elementwise() {
    let devices = devices();
    let mut random = Random(3);
    for (rows, width) in [(1, 1), (6, 7), (6, 65), (4, 257), (18, 4096)] {
        let (a, b) = (random.vec(rows * width, 3.0), random.vec(rows * width, 3.0));
        let shape = [rows, width];
        let pairs = |f: fn(f64, f64) -> Exact| -> Vec<Exact> {
            a.iter()
                .zip(&b)
                .map(|(&a, &b)| f(f64::from(a), f64::from(b)))
                .collect()
        };
        check(
            &devices,
            "add",
            &pairs(|a, b| Exact::sum([a, b])),
            1.0,
            Same::All,
            |d| add(tensor(d, &shape, &a), &tensor(d, &shape, &b)),
        );
        check(
            &devices,
            "mul",
            &pairs(|a, b| Exact::new(a * b)),
            1.0,
            Same::All,
            |d| mul(tensor(d, &shape, &a), &tensor(d, &shape, &b)),
        );
        let tiled = |tile: usize| -> Vec<Exact> {
            let sum =
                |(i, &a): (usize, &f32)| Exact::sum([a, b[i % (tile * width)]].map(f64::from));
            a.iter().enumerate().map(sum).collect()
        };
        check(&devices, "add_row", &tiled(1), 1.0, Same::All, |d| {
            add_row(tensor(d, &shape, &a), &tensor(d, &[width], &b[..width]))
        });
        if rows.is_multiple_of(2) {
            let tile = rows / 2;
            check(&devices, "add_tiled", &tiled(tile), 1.0, Same::All, |d| {
                add_tiled(
                    tensor(d, &shape, &a),
                    &tensor(d, &[tile, width], &b[..tile * width]),
                )
            });
        }
        let scaled: Vec<Exact> = a
            .iter()
            .map(|&a| Exact::new(f64::from(a) * f64::from(0.3_f32)))
            .collect();
        check(&devices, "scale", &scaled, 1.0, Same::All, |d| {
            scale(tensor(d, &shape, &a), 0.3)
        });
        for cap in [0.5, 50.0] {
            let capped: Vec<Exact> = a.iter().map(|&a| reference::softcap(a, cap)).collect();
            check(&devices, "softcap", &capped, 6.0, Same::All, |d| {
                softcap(tensor(d, &shape, &a), cap)
            });
        }
    }
}

#[test]
fn norms() {
    let devices = devices();
    let mut random = Random(4);
    for width in WIDTHS {
        for (rows, offset) in [(1, 0.0), (3, 100.0), (20, 0.0)] {
            let x: Vec<f32> = random
                .vec(rows * width, 2.0)
                .iter()
                .map(|v| v + offset)
                .collect();
            let (gain, bias) = (random.vec(width, 1.5), random.vec(width, 1.5));
            let shape = [rows, width];
            let each = |f: &dyn Fn(&[f32]) -> Vec<Exact>| -> Vec<Exact> {
                x.chunks_exact(width).flat_map(f).collect()
            };
            for unit_offset in [false, true] {
                let want = each(&|x| reference::rms_norm(x, Some(&gain), 1e-6, unit_offset));
                check(
                    &devices,
                    &format!("rms_norm of {width}"),
                    &want,
                    8.0,
                    Same::All,
                    |d| {
                        rms_norm(
                            &tensor(d, &shape, &x),
                            Some(&tensor(d, &[width], &gain)),
                            1e-6,
                            unit_offset,
                        )
                    },
                );
            }
            let want = each(&|x| reference::rms_norm(x, None, 1e-6, false));
            check(
                &devices,
                "rms_norm without gain",
                &want,
                8.0,
                Same::All,
                |d| rms_norm(&tensor(d, &shape, &x), None, 1e-6, false),
            );
            for bias in [None, Some(&bias)] {
                let want =
                    each(&|x| reference::layer_norm(x, &gain, bias.map(Vec::as_slice), 1e-5));
                check(
                    &devices,
                    &format!("layer_norm of {width}"),
                    &want,
                    16.0,
                    Same::All,
                    |d| {
                        let bias = bias.map(|bias| tensor(d, &[width], bias));
                        layer_norm(
                            &tensor(d, &shape, &x),
                            &tensor(d, &[width], &gain),
                            bias.as_ref(),
                            1e-5,
                        )
                    },
                );
            }
            let want = each(&|x| reference::l2_normalize(x, 1e-12));
            check(&devices, "l2_normalize", &want, 8.0, Same::All, |d| {
                l2_normalize(&tensor(d, &shape, &x), 1e-12)
            });
        }
    }
}

#[test]
fn softmax_of_rows() {
    let devices = devices();
    let mut random = Random(5);
    for width in WIDTHS {
        for size in [1.0, 30.0, 1e4] {
            let mut x = random.vec(5 * width, size);
            // Some masked numbers in the second row, all in the third.
            x[width..2 * width]
                .iter_mut()
                .step_by(3)
                .skip(1)
                .for_each(|v| *v = f32::NEG_INFINITY);
            x[2 * width..3 * width].fill(f32::NEG_INFINITY);
            let want: Vec<Exact> = x.chunks_exact(width).flat_map(reference::softmax).collect();
            check(
                &devices,
                &format!("softmax of {width} up to {size}"),
                &want,
                8.0,
                Same::All,
                |d| softmax(&tensor(d, &[5, width], &x)),
            );
        }
    }
}

#[test]
fn rotation() {
    let devices = devices();
    let mut random = Random(6);
    for (width, rotary) in [
        (2, 2),
        (8, 8),
        (64, 64),
        (80, 32),
        (96, 96),
        (128, 128),
        (256, 64),
    ] {
        let exponent = |i: usize| -2.0 * i as f32 / rotary as f32;
        let inv_freq: Vec<f32> = (0..rotary / 2)
            .map(|i| 10_000_f32.powf(exponent(i)))
            .collect();
        let positions = [0, 1, 2, 77, 131_071, 5];
        let heads = 3;
        let x = random.vec(positions.len() * heads * width, 2.0);
        for layout in [RopeLayout::Half, RopeLayout::Interleaved] {
            for scaling in [1.0, 1.3] {
                let rows = x.chunks_exact(width).enumerate();
                let want = rows.flat_map(|(i, x)| {
                    reference::rope(x, &inv_freq, scaling, positions[i / heads], layout)
                });
                let want: Vec<Exact> = want.collect();
                check(
                    &devices,
                    &format!("rope of {rotary} of {width}"),
                    &want,
                    4.0,
                    Same::All,
                    |d| {
                        let angles = RopeAngles::new(&inv_freq, scaling, &positions, d);
                        rope(
                            tensor(d, &[positions.len(), heads, width], &x),
                            &angles,
                            layout,
                        )
                    },
                );
            }
        }
    }
}

#[test]
fn rows_moved_and_averaged() {
    let devices = devices();
    let mut random = Random(7);
    for (rows, width) in [(1, 1), (5, 7), (33, 65), (70, 257), (9, 4096)] {
        let x = random.vec(rows * width, 1.0);
        let shape = [rows, width];
        let cut = width / 3..width - width / 4;
        let want: Vec<f32> = x
            .chunks_exact(width)
            .flat_map(|row| row[cut.clone()].to_vec())
            .collect();
        check(&devices, "columns", &exact(&want), 0.0, Same::All, |d| {
            columns(&tensor(d, &shape, &x), cut.clone())
        });
        let picked: Vec<usize> = (0..2 * rows).map(|i| i * 7 % rows).collect();
        let want: Vec<f32> = picked
            .iter()
            .flat_map(|&row| x[row * width..][..width].to_vec())
            .collect();
        check(
            &devices,
            "gather_rows",
            &exact(&want),
            0.0,
            Same::All,
            |d| gather_rows(&tensor(d, &shape, &x), &picked),
        );
        check(
            &devices,
            "concat_rows",
            &exact(&[&x[..], &want].concat()),
            0.0,
            Same::All,
            |d| {
                concat_rows(&[
                    &tensor(d, &shape, &x),
                    &tensor(d, &[2 * rows, width], &want),
                ])
            },
        );
        let want: Vec<f32> = (0..width * rows)
            .map(|i| x[i % rows * width + i / rows])
            .collect();
        check(&devices, "transpose", &exact(&want), 0.0, Same::All, |d| {
            transpose(&tensor(d, &shape, &x))
        });
        let spans = [0..rows, rows / 2..rows / 2 + 1, 0..1];
        let want: Vec<Exact> = spans
            .iter()
            .flat_map(|s| reference::mean_rows(&x, width, s.clone()))
            .collect();
        check(&devices, "mean_rows", &want, 8.0, Same::All, |d| {
            mean_rows(&tensor(d, &shape, &x), &spans)
        });
    }
}

#[test]
fn convolutions() {
    let devices = devices();
    let mut random = Random(8);
    for (len, channels, outputs, kernel, stride, padding) in [
        (1, 1, 1, 1, 1, 0),
        (9, 3, 5, 3, 1, 1),
        (30, 80, 17, 3, 2, 1),
        (65, 7, 33, 10, 5, 0),
        (4, 2, 3, 6, 1, 1),
    ] {
        let batch = 2;
        let x = random.vec(batch * len * channels, 1.0);
        let w = random.vec(outputs * channels * kernel, 1.0);
        let bias = random.vec(outputs, 1.0);
        let out_len = (len + 2 * padding - kernel) / stride + 1;
        let sequences = x.chunks_exact(len * channels);
        let want: Vec<Exact> = sequences
            .flat_map(|x| reference::conv1d(x, &w, &bias, channels, kernel, stride, padding))
            .collect();
        check(&devices, "conv1d", &want, 16.0, Same::Threads, |d| {
            let w = Weight::from_f32(&[outputs, channels, kernel], &w);
            let bias = tensor(d, &[outputs], &bias);
            let y = conv1d(
                &tensor(d, &[batch, len, channels], &x),
                &w,
                Some(&bias),
                stride,
                padding,
            );
            assert_eq!(y.shape(), [batch, out_len, outputs]);
            y
        });
    }
    for ([channels, height, width], patch) in [
        ([1, 1, 1], 1),
        ([3, 8, 6], 2),
        ([3, 50, 31], 14),
        ([2, 5, 5], 6),
    ] {
        let pixels = random.vec(2 * channels * height * width, 1.0);
        let images = pixels.chunks_exact(channels * height * width);
        let want: Vec<f32> = images
            .flat_map(|image| reference::patches(image, [channels, height, width], patch))
            .collect();
        check(&devices, "patches", &exact(&want), 0.0, Same::All, |d| {
            let y = patches(&tensor(d, &[2, channels, height, width], &pixels), patch);
            assert_eq!(
                y.shape(),
                [
                    2 * (height / patch) * (width / patch),
                    channels * patch * patch
                ]
            );
            y
        });
    }
}

#[test]
fn experts() {
    let devices = devices();
    let mut random = Random(9);
    let (tokens, count, width, inner) = (9, 6, 17, 33);
    let x = random.vec(tokens * width, 1.0);
    let logits = random.vec(tokens * count, 3.0);
    let mut matrices =
        |n: usize| -> Vec<Vec<f32>> { (0..count).map(|_| random.vec(n, 0.7)).collect() };
    let (gate, up, down) = (
        matrices(inner * width),
        matrices(inner * width),
        matrices(inner * width),
    );
    let weights = |all: &[Vec<f32>], shape: [usize; 2]| {
        (all.iter())
            .map(|w| Weight::from_f32(&shape, w).into())
            .collect()
    };
    let experts = Experts::new(
        weights(&gate, [inner, width]),
        weights(&up, [inner, width]),
        weights(&down, [width, inner]),
        ExpertKind::Gated(Activation::Silu),
    );
    for k in [1, 2, 6] {
        for router in [
            Router::SoftmaxTopK { normalize: false },
            Router::SoftmaxTopK { normalize: true },
            Router::TopKSoftmax,
        ] {
            let chosen: Vec<_> = logits
                .chunks_exact(count)
                .map(|logits| reference::route(logits, k, router))
                .collect();
            let numbers: Vec<usize> = chosen.iter().flatten().map(|&(expert, _)| expert).collect();
            let want: Vec<Exact> = chosen.iter().flatten().map(|&(_, weight)| weight).collect();
            check(
                &devices,
                &format!("route {k} by {router:?}"),
                &want,
                8.0,
                Same::All,
                |d| {
                    let routing = route(&tensor(d, &[tokens, count], &logits), k, router);
                    assert_eq!(routing.experts(), numbers);
                    tensor(d, &[tokens, k], routing.weights())
                },
            );
            let mut want = vec![Exact::default(); tokens * width];
            for ((chosen, x), out) in chosen
                .iter()
                .zip(x.chunks(width))
                .zip(want.chunks_mut(width))
            {
                for &(expert, weight) in chosen {
                    let y = reference::gated_expert(
                        x,
                        &gate[expert],
                        &up[expert],
                        &down[expert],
                        Activation::Silu,
                    );
                    for (out, y) in out.iter_mut().zip(y) {
                        let magnitude = y.magnitude * weight.magnitude;
                        *out = *out
                            + Exact {
                                value: y.value * weight.value,
                                magnitude,
                            };
                    }
                }
            }
            check(
                &devices,
                &format!("moe {k} by {router:?}"),
                &want,
                16.0,
                Same::Threads,
                |d| {
                    let routing = route(&tensor(d, &[tokens, count], &logits), k, router);
                    moe(&tensor(d, &[tokens, width], &x), &routing, &experts)
                },
            );
        }
    }
}

#[test]
fn experts_with_biases_and_a_clamped_unit() {
    // One expert, its own definition in terms of operations that are held to theirs above.
    let device = Device::cpu();
    let mut random = Random(10);
    let (width, inner) = (5, 7);
    let x = tensor(&device, &[3, width], &random.vec(3 * width, 2.0));
    let gate_up = Weight::from_f32(&[2 * inner, width], &random.vec(2 * inner * width, 3.0));
    let down = Weight::from_f32(&[width, inner], &random.vec(width * inner, 1.0));
    let gate_bias = tensor(&device, &[2 * inner], &random.vec(2 * inner, 1.0));
    let down_bias = tensor(&device, &[width], &random.vec(width, 1.0));
    let inner = clamped_swiglu(
        &hfcore_kernels::linear(&x, &gate_up, Some(&gate_bias)),
        7.0,
        1.702,
    );
    let want = hfcore_kernels::linear(&inner, &down, Some(&down_bias));
    let kind = ExpertKind::ClampedSwiglu {
        limit: 7.0,
        alpha: 1.702,
    };
    let experts = Experts::new(vec![gate_up.into()], vec![], vec![down.into()], kind).with_biases(
        vec![gate_bias],
        vec![],
        vec![down_bias],
    );
    let routing = hfcore_kernels::Routing::new(1, vec![0; 3], vec![1.0; 3]);
    assert_eq!(
        moe(&x, &routing, &experts).into_vec().unwrap(),
        want.into_vec().unwrap()
    );
}
