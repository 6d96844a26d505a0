//! Linear layers of every format against their definition, on each device that is tested.
//!
//! Few shapes, each with what it is for: a software driver compiles each form of a kernel for a tenth of a
//! second or more.

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{Activation, DType, Device, Matrix, Quantized, Tensor, Weight, linear};

use super::linear::{Epilogue, Layer, Linears, Merge, NormPrologue};
use super::norm::NormKind;
use super::oracle::{check, exact, numbers, tensor};

/// Every format, with the numbers that it stands for.
const FORMATS: [&str; 7] = [
    "float32", "float16", "bfloat16", "int8", "int4", "int4-64", "int4-128",
];

/// A matrix in `format`, in the CPU's memory.
pub(super) fn matrix(format: &str, outputs: usize, inputs: usize, seed: u64) -> Matrix {
    let weight = Weight::from_f32(&[outputs, inputs], &numbers(outputs * inputs, seed, 0.5));
    match format {
        "float32" => weight.into(),
        "float16" => weight.to_dtype(DType::F16).into(),
        "bfloat16" => weight.to_dtype(DType::Bf16).into(),
        format => {
            let format = format.parse().unwrap();
            Quantized::quantize(&weight, format, &Device::cpu())
                .unwrap()
                .into()
        }
    }
}

/// Roundings that a sum of products may have: each product's, and each addition's in any order.
fn units(inputs: usize) -> f64 {
    (inputs as f64).sqrt() * 2.0 + 16.0
}

#[test]
fn of_few_rows_and_of_many() {
    // Outputs that no workgroup divides, and inputs that are whole vectors of every format.
    let (outputs, inputs) = (37, 256);
    each_device(|device| {
        for format in FORMATS {
            let host = matrix(format, outputs, inputs, 1);
            let on_device = host.to_device(device).unwrap();
            let bias = numbers(outputs, 2, 1.0);
            let on_gpu = Tensor::parameter(device, &[outputs], bias.clone());
            // Few, as many as share one read, tiles; of one format, few of them too.
            let rows: &[usize] = if format == "bfloat16" {
                &[1, 3, 7, 77]
            } else {
                &[1, 7, 77]
            };
            for &rows in rows {
                let x = numbers(rows * inputs, 3, 1.0);
                let want = reference::linear(&x, &host.to_f32(), Some(&bias), inputs);
                let x = tensor(device, &[rows, inputs], &x);
                let found = linear(&x, &on_device, Some(&on_gpu));
                assert_eq!(found.shape(), [rows, outputs]);
                let what = format!("{format}, {rows} rows on {}", device.name());
                check(&what, &found, &want, units(inputs));
            }
        }
    });
}

#[test]
fn of_inputs_that_are_no_whole_vectors() {
    each_device(|device| {
        for (format, inputs, rows) in [
            ("float32", 7, 18),
            ("float16", 33, 1),
            ("bfloat16", 100, 5),
            ("int8", 70, 18),
            ("int4", 90, 1),
            ("int4-128", 160, 5),
        ] {
            let host = matrix(format, 20, inputs, 1);
            let on_device = host.to_device(device).unwrap();
            let x = numbers(rows * inputs, 3, 1.0);
            let want = reference::linear(&x, &host.to_f32(), None, inputs);
            let found = linear(&tensor(device, &[rows, inputs], &x), &on_device, None);
            let what = format!("{format}, {rows} rows of {inputs} on {}", device.name());
            check(&what, &found, &want, units(inputs));
        }
    });
}

/// Layers with something fused to them.
struct Fused<'a> {
    layers: &'a [&'a Matrix],
    bias: Option<&'a Tensor>,
    norm: Option<(NormKind, &'a Tensor, Option<&'a Tensor>)>,
    residual: Option<&'a Tensor>,
    gated: Option<Activation>,
    activated: Option<Activation>,
}

const EPS: f32 = 1e-3;

impl Fused<'_> {
    /// Record them, if the kernels say that they can; with the number of calls that it took.
    fn run<const N: usize>(&self, device: &Device, x: &Tensor) -> ([Tensor; N], u64) {
        let gpu = device.on_gpu().unwrap();
        let mut recording = gpu.recording();
        let layers: Vec<Layer> = (self.layers.iter())
            .map(|matrix| Layer {
                matrix: recording.matrix((*matrix).into()),
                bias: self.bias.map(|bias| recording.operand(bias)),
            })
            .collect();
        let mut op = Linears {
            x: recording.operand(x),
            rows: u32::try_from(x.rows()).unwrap(),
            norm: None,
            merge: None,
            layers,
            epilogue: Epilogue::None,
        };
        if let Some(residual) = self.residual {
            assert!(op.takes_residual());
            op.epilogue = Epilogue::Residual(recording.operand(residual));
        }
        if let Some(activation) = self.gated {
            assert!(op.takes_gate(activation));
            op.epilogue = Epilogue::Gated(activation);
        }
        if let Some(activation) = self.activated {
            assert!(op.takes_activation());
            op.epilogue = Epilogue::Activated(activation);
        }
        if let Some((kind, gain, bias)) = self.norm {
            assert!(op.takes_norm(kind, bias.is_some()));
            op.norm = Some(Box::new(NormPrologue {
                kind,
                gain: recording.operand(gain),
                bias: bias.map(|bias| recording.operand(bias)),
                eps: EPS.into(),
            }));
        }
        let shapes: [[usize; 2]; N] =
            std::array::from_fn(|i| [x.rows(), self.layers[i].shape()[0]]);
        let tensors = recording.push(device, op, shapes.each_ref().map(<[usize; 2]>::as_slice));
        drop(recording);
        let before = device.wgpu_counters().unwrap().dispatches;
        tensors[0].to_vec().unwrap();
        (tensors, device.wgpu_counters().unwrap().dispatches - before)
    }
}

/// Sums of what `x`, more exact than `f32`, and the matrix stand for.
fn products(x: &[Exact], matrix: &Matrix) -> Vec<Exact> {
    let inputs = matrix.shape()[1];
    let w = matrix.to_f32();
    let row = |x: &[Exact], w: &[f32]| {
        let terms = || x.iter().zip(w);
        Exact {
            value: terms().map(|(x, &w)| x.value * f64::from(w)).sum(),
            magnitude: terms()
                .map(|(x, &w)| x.magnitude * f64::from(w.abs()))
                .sum(),
        }
    };
    (x.chunks(inputs))
        .flat_map(|x| w.chunks(inputs).map(|w| row(x, w)).collect::<Vec<_>>())
        .collect()
}

#[test]
fn norms_are_part_of_products_of_few_rows() {
    let inputs = 256;
    let layers = [(50, "bfloat16"), (9, "bfloat16"), (17, "bfloat16")]
        .map(|(outputs, format)| matrix(format, outputs, inputs, outputs as u64));
    let (gain, shift) = (numbers(inputs, 6, 1.0), numbers(inputs, 7, 1.0));
    let biases = numbers(50, 8, 1.0);
    each_device(|device| {
        let on_device = layers
            .each_ref()
            .map(|matrix| matrix.to_device(device).unwrap());
        let gains = Tensor::parameter(device, &[inputs], gain.clone());
        let shifts = Tensor::parameter(device, &[inputs], shift.clone());
        let on_gpu_biases = Tensor::parameter(device, &[50], biases.clone());
        for (rows, bias) in [(1, None), (7, Some(&on_gpu_biases))] {
            let x = numbers(rows * inputs, 5, 3.0);
            let on_gpu = tensor(device, &[rows, inputs], &x);
            let what = format!("{rows} rows on {}", device.name());

            let rms = Fused {
                layers: &on_device.each_ref(),
                bias,
                norm: Some((NormKind::RmsUnitOffset, &gains, None)),
                residual: None,
                gated: None,
                activated: None,
            };
            let (found, calls) = rms.run::<3>(device, &on_gpu);
            // Three biases are more than the fewest bindings.
            let few_bindings = device.on_gpu().unwrap().caps().storage_bindings < 11;
            let expected = if bias.is_some() && few_bindings { 2 } else { 1 };
            assert_eq!(calls, expected, "queries, keys and values");
            let normed: Vec<Exact> = (x.chunks(inputs))
                .flat_map(|x| reference::rms_norm(x, Some(&gain), EPS, true))
                .collect();
            for (found, matrix) in found.iter().zip(&layers) {
                let mut want = products(&normed, matrix);
                if bias.is_some() {
                    let biases = biases[..matrix.shape()[0]].iter().cycle();
                    for (want, &bias) in want.iter_mut().zip(biases) {
                        *want = *want + Exact::new(f64::from(bias));
                    }
                }
                check(&what, found, &want, units(inputs) + 32.0);
            }

            // Of a product alone; the norm is part of that too.
            let activation = [Activation::Gelu, Activation::Relu2][usize::from(rows > 1)];
            let activated = Fused {
                layers: &[&on_device[0]],
                bias: Some(&on_gpu_biases),
                norm: Some((NormKind::Rms, &gains, None)),
                residual: None,
                gated: None,
                activated: Some(activation),
            };
            let ([found], calls) = activated.run(device, &on_gpu);
            assert_eq!(calls, 1);
            let normed: Vec<Exact> = (x.chunks(inputs))
                .flat_map(|x| reference::rms_norm(x, Some(&gain), EPS, false))
                .collect();
            let want: Vec<Exact> = (products(&normed, &layers[0]).into_iter())
                .zip(biases.iter().cycle())
                .map(|(sum, &bias)| {
                    let sum = sum + Exact::new(f64::from(bias));
                    // Slopes are below 1.2, or that of a square.
                    let slope = 1.2 + 2.0 * sum.value.abs();
                    let value = reference::activation(sum.value, activation).value;
                    Exact {
                        value,
                        magnitude: value.abs() + slope * sum.magnitude,
                    }
                })
                .collect();
            check(&what, &found, &want, units(inputs) + 32.0);

            let layer = Fused {
                layers: &[&on_device[0], &on_device[1]],
                norm: Some((NormKind::Layer, &gains, Some(&shifts))),
                bias: None,
                ..rms
            };
            let (found, calls) = layer.run::<2>(device, &on_gpu);
            assert_eq!(calls, 1);
            let normed: Vec<Exact> = (x.chunks(inputs))
                .flat_map(|x| reference::layer_norm(x, &gain, Some(&shift), EPS))
                .collect();
            for (found, matrix) in found.iter().zip(&layers) {
                check(
                    &what,
                    found,
                    &products(&normed, matrix),
                    units(inputs) + 32.0,
                );
            }
        }
    });
}

/// `silu(gate) * up`.
fn gated(gate: Exact, up: Exact) -> Exact {
    let value = reference::activation(gate.value, Activation::Silu).value;
    Exact {
        value: value * up.value,
        // The slope of the activation is below 1.1.
        magnitude: (1.1 * gate.magnitude) * up.value.abs()
            + (value.abs() + f64::from(f32::EPSILON) * gate.magnitude) * up.magnitude,
    }
}

#[test]
fn residuals_and_gates_are_part_of_products() {
    let (outputs, inputs) = (140, 96);
    let bias = numbers(outputs, 8, 1.0);
    each_device(|device| {
        let on_gpu_bias = Tensor::parameter(device, &[outputs], bias.clone());
        let gain = numbers(inputs, 6, 1.0);
        let gains = Tensor::parameter(device, &[inputs], gain.clone());
        // Tiles of both sizes, and rows that fill none.
        for (format, rows) in [("int4", 1), ("int8", 6), ("int4", 20), ("bfloat16", 150)] {
            let [gate, up] = [1, 2].map(|seed| matrix(format, outputs, inputs, seed));
            let [on_gate, on_up] = [&gate, &up].map(|matrix| matrix.to_device(device).unwrap());
            let x = numbers(rows * inputs, 5, 1.0);
            let on_gpu = tensor(device, &[rows, inputs], &x);
            let what = format!("{format}, {rows} rows on {}", device.name());

            let residual = numbers(rows * outputs, 9, 1.0);
            let adds = Fused {
                layers: &[&on_gate],
                bias: Some(&on_gpu_bias),
                norm: None,
                residual: Some(&tensor(device, &[rows, outputs], &residual)),
                gated: None,
                activated: None,
            };
            let ([found], calls) = adds.run(device, &on_gpu);
            assert_eq!(calls, 1, "{what}");
            let want: Vec<Exact> = reference::linear(&x, &gate.to_f32(), Some(&bias), inputs)
                .iter()
                .zip(&residual)
                .map(|(sum, &residual)| Exact {
                    value: sum.value + f64::from(residual),
                    magnitude: sum.magnitude + f64::from(residual.abs()),
                })
                .collect();
            check(&what, &found, &want, units(inputs));

            let few = rows <= 8;
            let gates = Fused {
                layers: &[&on_gate, &on_up],
                bias: None,
                norm: few.then_some((NormKind::Rms, &gains, None)),
                residual: None,
                gated: Some(Activation::Silu),
                activated: None,
            };
            let ([found], calls) = gates.run(device, &on_gpu);
            assert_eq!(calls, 1, "{what}");
            let normed: Vec<Exact> = if few {
                (x.chunks(inputs))
                    .flat_map(|x| reference::rms_norm(x, Some(&gain), EPS, false))
                    .collect()
            } else {
                exact(&x)
            };
            let want: Vec<Exact> = (products(&normed, &gate).iter())
                .zip(products(&normed, &up))
                .map(|(&gate, up)| gated(gate, up))
                .collect();
            check(&what, &found, &want, units(inputs) + 32.0);
        }
    });
}

/// What `attention_merge.wgsl` makes of the same parts, as a product with the unit matrix.
#[test]
fn splits_of_attention_are_merged_as_they_are_read() {
    let (rows, heads, value_dim, splits) = (3, 5, 8, 4);
    let inputs = heads * value_dim;
    let mut unit = vec![0.0; inputs * inputs];
    for i in 0..inputs {
        unit[i * inputs + i] = 1.0;
    }
    let unit = Weight::from_f32(&[inputs, inputs], &unit).to_dtype(DType::Bf16);
    let values = numbers(splits * rows * inputs, 1, 1.0);
    let scores = numbers(splits * rows * heads, 2, 4.0);
    let mut sums: Vec<f32> = (numbers(splits * rows * heads, 3, 1.0).iter())
        .map(|sum| sum.abs() + 0.5)
        .collect();
    // A split that saw no key, and a row that saw none at all.
    sums[3] = 0.0;
    let mut values_of_parts = values.clone();
    values_of_parts[3 * value_dim..4 * value_dim].fill(0.0);
    for split in 0..splits {
        let pair = (split * rows + 2) * heads + 4;
        sums[pair] = 0.0;
        values_of_parts[pair * value_dim..(pair + 1) * value_dim].fill(0.0);
    }
    let statistics = scores
        .iter()
        .zip(&sums)
        .flat_map(|(&score, &sum)| [score, sum]);
    let parts: Vec<f32> = values_of_parts.iter().copied().chain(statistics).collect();
    // The rows of the entries.
    let order = [2, 0, 1];
    each_device(|device| {
        let gpu = device.on_gpu().unwrap();
        let unit = unit.to_device(device).unwrap();
        let parts_on_gpu = tensor(device, &[parts.len()], &parts);
        for used in [1, 3] {
            let mut words = vec![used, 0, 0, 0];
            for row in order {
                words.extend([row, 0, 0, 0, 0, 0, 0, 0]);
            }
            let mut recording = gpu.recording();
            let mut op = Linears {
                x: recording.operand(&parts_on_gpu),
                rows: 3,
                norm: None,
                merge: None,
                layers: vec![Layer {
                    matrix: recording.matrix((&unit).into()),
                    bias: None,
                }],
                epilogue: Epilogue::None,
            };
            assert!(
                op.takes_merge(5, 8, 4) && !op.takes_merge(5, 7, 4) && !op.takes_merge(5, 8, 400)
            );
            op.merge = Some(Box::new(Merge {
                parts: recording.operand(&parts_on_gpu),
                words: recording.words(&words, words.len()),
                heads: 5,
                value_dim: 8,
                splits: 4,
            }));
            let found = recording.push_one(device, op, &[rows, inputs]);
            drop(recording);
            let mut want = exact(&vec![0.0; rows * inputs]);
            for (entry, &row) in order.iter().enumerate() {
                let whole = exact(&values_of_parts[entry * inputs..(entry + 1) * inputs]);
                want[row as usize * inputs..(row as usize + 1) * inputs].clone_from_slice(&whole);
                if used > 1 {
                    for column in 0..inputs {
                        let pair = |s: usize| (s * rows + entry) * heads + column / value_dim;
                        let seen = || (0..3).filter(|&s| sums[pair(s)] > 0.0);
                        let weight = |s: usize| f64::from(scores[pair(s)]).exp();
                        let total: f64 = seen().map(|s| weight(s) * f64::from(sums[pair(s)])).sum();
                        let terms = seen().map(|s| {
                            weight(s) * f64::from(values[(s * rows + entry) * inputs + column])
                                / total
                        });
                        want[row as usize * inputs + column] = Exact::sum(terms);
                    }
                }
            }
            check(&format!("{used} splits"), &found, &want, 64.0);
        }
    });
}

/// 1 MiB of a binding is passed: rows of the matrix are in parts, on the device with the least.
#[test]
fn of_matrices_in_parts() {
    let (outputs, inputs) = (1500, 256);
    each_device(|device| {
        let host = matrix("float32", outputs, inputs, 1);
        let on_device = host.to_device(device).unwrap();
        let up = matrix("float32", outputs, inputs, 2);
        let on_up = up.to_device(device).unwrap();
        let bias = numbers(outputs, 2, 1.0);
        let on_gpu = Tensor::parameter(device, &[outputs], bias.clone());
        for rows in [1, 9] {
            let x = numbers(rows * inputs, 3, 1.0);
            let want = reference::linear(&x, &host.to_f32(), Some(&bias), inputs);
            let found = linear(
                &tensor(device, &[rows, inputs], &x),
                &on_device,
                Some(&on_gpu),
            );
            check(&format!("{rows} rows"), &found, &want, units(inputs));

            // Gate and up are split alike.
            let layers = [&on_device, &on_up];
            let gates = Fused {
                layers: &layers,
                bias: None,
                norm: None,
                residual: None,
                gated: Some(Activation::Silu),
                activated: None,
            };
            let ([found], calls) = gates.run(device, &tensor(device, &[rows, inputs], &x));
            let is_least = device.on_gpu().unwrap().caps().max_binding <= 1 << 20;
            assert_eq!(calls, if is_least { 2 } else { 1 });
            let gate = reference::linear(&x, &host.to_f32(), None, inputs);
            let want: Vec<Exact> = (gate.into_iter())
                .zip(reference::linear(&x, &up.to_f32(), None, inputs))
                .map(|(gate, up)| gated(gate, up))
                .collect();
            check(&format!("{rows} rows, gated"), &found, &want, units(inputs));
        }
    });
}

#[test]
fn sixteen_bits_are_exact_to_the_smallest() {
    // Powers of two, so that every product is exact: denormal numbers of f16, the largest, and signs.
    let values: Vec<f32> = (0..32)
        .map(|i| match i {
            0 => 65504.0,
            1 => -65504.0,
            i => 2.0_f32.powi(-24 + i) * if i % 2 == 0 { 1.0 } else { -1.0 },
        })
        .collect();
    each_device(|device| {
        for dtype in [DType::F16, DType::Bf16] {
            let weight = Weight::from_f32(&[32, 8], &{
                let mut all = vec![0.0; 256];
                for (i, v) in values.iter().enumerate() {
                    all[i * 8 + i % 8] = *v;
                }
                all
            })
            .to_dtype(dtype);
            let x = Tensor::from_vec(device, &[1, 8], vec![1.0; 8]);
            let found = linear(&x, &weight.to_device(device).unwrap(), None);
            let want: Vec<f32> = (weight.to_f32().chunks(8))
                .map(|row| row.iter().sum())
                .collect();
            assert_eq!(found.into_vec().unwrap(), want, "{dtype:?}");
        }
    });
}

#[test]
fn nothing_times_nothing() {
    each_device(|device| {
        let none = Weight::from_f32(&[3, 0], &[]).to_device(device).unwrap();
        let bias = Tensor::parameter(device, &[3], vec![1.0, 2.0, 3.0]);
        let x = Tensor::from_vec(device, &[2, 0], Vec::new());
        let found = linear(&x, &none, Some(&bias)).into_vec().unwrap();
        assert_eq!(found, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        let empty = Weight::from_f32(&[0, 4], &[]).to_device(device).unwrap();
        let x = Tensor::from_vec(device, &[2, 4], vec![1.0; 8]);
        assert_eq!(linear(&x, &empty, None).shape(), [2, 0]);
    });
}

#[test]
#[should_panic(expected = "Weight::to_device brings it there")]
fn a_weight_that_was_not_brought_to_the_device() {
    let ran = std::cell::Cell::new(false);
    each_device(|device| {
        ran.set(true);
        let weight = Weight::from_f32(&[1, 2], &[1.0, 2.0]);
        let _ = linear(&Tensor::zeros(device, &[1, 2]), &weight, None);
    });
    assert!(ran.get(), "no device: Weight::to_device brings it there");
}
