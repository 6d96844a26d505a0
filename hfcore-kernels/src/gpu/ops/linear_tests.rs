//! Linear layers of every format against their definition, on each device that is tested.
//!
//! Few shapes, each with what it is for: a software driver compiles each form of a kernel for a tenth of a
//! second or more.

use crate::gpu::testing::each_device;
use crate::reference;
use crate::{DType, Device, Matrix, Quantized, Tensor, Weight, linear, linears};

use super::oracle::{check, numbers, tensor};

/// Every format, with the numbers that it stands for.
const FORMATS: [&str; 7] = [
    "float32", "float16", "bfloat16", "int8", "int4", "int4-64", "int4-128",
];

/// A matrix in `format`, in the CPU's memory.
fn matrix(format: &str, outputs: usize, inputs: usize, seed: u64) -> Matrix {
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
            for rows in [1, 2, 3, 7, 77] {
                let x = numbers(rows * inputs, 3, 1.0);
                let with_bias = rows != 2;
                let bias = with_bias.then_some(bias.as_slice());
                let want = reference::linear(&x, &host.to_f32(), bias, inputs);
                let bias = bias.map(|bias| Tensor::parameter(device, &[outputs], bias.to_vec()));
                let found = linear(
                    &tensor(device, &[rows, inputs], &x),
                    &on_device,
                    bias.as_ref(),
                );
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
        for (format, inputs) in [
            ("float32", 7),
            ("float16", 33),
            ("bfloat16", 100),
            ("int8", 70),
            ("int4", 90),
            ("int4-128", 160),
        ] {
            let host = matrix(format, 20, inputs, 1);
            let on_device = host.to_device(device).unwrap();
            for rows in [1, 5, 18] {
                let x = numbers(rows * inputs, 3, 1.0);
                let want = reference::linear(&x, &host.to_f32(), None, inputs);
                let found = linear(&tensor(device, &[rows, inputs], &x), &on_device, None);
                let what = format!("{format}, {rows} rows of {inputs} on {}", device.name());
                check(&what, &found, &want, units(inputs));
            }
        }
    });
}

#[test]
fn several_of_one_input_are_one_call() {
    let inputs = 64;
    each_device(|device| {
        let [q, k, v] = [(50, "bfloat16"), (9, "bfloat16"), (16, "int8")]
            .map(|(outputs, format)| matrix(format, outputs, inputs, outputs as u64));
        let [dq, dk, dv] = [&q, &k, &v].map(|matrix| matrix.to_device(device).unwrap());
        let bias = numbers(16, 4, 1.0);
        let on_device = Tensor::parameter(device, &[16], bias.clone());
        for rows in [1, 3, 20] {
            let x = numbers(rows * inputs, 5, 1.0);
            let on_gpu = tensor(device, &[rows, inputs], &x);
            let found = linears(&on_gpu, [(&dq, None), (&dk, None), (&dv, Some(&on_device))]);
            let before = device.wgpu_counters().unwrap().dispatches;
            for ((found, matrix), bias) in
                found
                    .iter()
                    .zip([&q, &k, &v])
                    .zip([None, None, Some(bias.as_slice())])
            {
                let want = reference::linear(&x, &matrix.to_f32(), bias, inputs);
                check(&format!("{rows} rows"), found, &want, units(inputs));
            }
            let calls = device.wgpu_counters().unwrap().dispatches - before;
            assert_eq!(calls, if rows == 20 { 3 } else { 2 }, "{rows} rows");
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
