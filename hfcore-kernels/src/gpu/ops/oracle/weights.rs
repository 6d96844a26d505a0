//! Operations on rows that read weights: tables and convolutions.

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{DType, Tensor, Weight, conv1d, embed};

use super::{check, exact, numbers, tensor};

/// Rows of whole vectors and of odd widths, and a table of more than the least that a device can bind: six parts,
/// of which four are bound at once.
#[test]
fn rows_of_tables() {
    for (dtype, rows, width) in [
        (DType::F32, 9, 33),
        (DType::F16, 9, 33),
        (DType::Bf16, 9, 64),
        (DType::Bf16, 48_000, 61),
    ] {
        let values = numbers(rows * width, 60, 1.0);
        let table = Weight::from_f32(&[rows, width], &values).to_dtype(dtype);
        let values = table.to_f32();
        let ids: Vec<u32> = [0, 1, 4, 2, 3, 2, 5]
            .map(|part| u32::try_from(part * (rows - 1) / 5).expect("small"))
            .to_vec();
        let want: Vec<f32> = (ids.iter())
            .flat_map(|&id| values[id as usize * width..][..width].to_vec())
            .collect();
        each_device(|device| {
            let table = table.to_device(device).expect("a device that works");
            let found = embed(&table, &ids, device);
            assert_eq!(found.shape(), [ids.len(), width]);
            check(&format!("{dtype:?} of {rows}"), &found, &exact(&want), 0.0);
            assert_eq!(embed(&table, &[], device).shape(), [0, width]);
        });
    }
}

#[test]
fn convolutions() {
    for (len, channels, outputs, kernel, stride, padding) in [
        (30, 7, 17, 3, 2, 1),
        (65, 8, 5, 10, 5, 0),
        (4, 2, 3, 6, 1, 1),
    ] {
        let batch = 3;
        let x = numbers(batch * len * channels, 61, 1.0);
        let w = numbers(outputs * channels * kernel, 62, 1.0);
        let bias = numbers(outputs, 63, 1.0);
        let out_len = (len + 2 * padding - kernel) / stride + 1;
        let want: Vec<Exact> = (x.chunks_exact(len * channels))
            .flat_map(|x| reference::conv1d(x, &w, &bias, channels, kernel, stride, padding))
            .collect();
        each_device(|device| {
            let w = Weight::from_f32(&[outputs, channels, kernel], &w)
                .to_device(device)
                .expect("a device that works");
            let bias = tensor(device, &[outputs], &bias);
            let x = tensor(device, &[batch, len, channels], &x);
            let y = conv1d(&x, &w, Some(&bias), stride, padding);
            assert_eq!(y.shape(), [batch, out_len, outputs]);
            check("conv1d", &y, &want, 16.0);
        });
    }
}

/// Windows of more than the least that a device can bind, of sequences that fit: they go one by one.
#[test]
fn sequences_are_convolved_in_groups() {
    let (batch, len, channels, kernel) = (3, 2000, 8, 16);
    let x = numbers(batch * len * channels, 64, 1.0);
    let w = numbers(channels * kernel, 65, 1.0);
    let want: Vec<Exact> = (x.chunks_exact(len * channels))
        .flat_map(|x| reference::conv1d(x, &w, &[0.0], channels, kernel, 2, 0))
        .collect();
    each_device(|device| {
        let w = Weight::from_f32(&[1, channels, kernel], &w)
            .to_device(device)
            .expect("a device that works");
        let x = Tensor::from_vec(device, &[batch, len, channels], x.clone());
        check("conv1d in groups", &conv1d(&x, &w, None, 2, 0), &want, 16.0);
    });
}
