//! Rows of a table, picked by token ids.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

#[cfg(feature = "wgpu")]
use crate::gpu::{Recording, ops::embedding::embed as gpu_embed};
use crate::{DType, Device, Tensor, Weight};

/// The rows `ids` of `table` `[V, E]`, widened to `f32`: `[T, E]`.
///
/// Reference: `torch.nn.functional.embedding`.
///
/// # Panics
/// If `table` is not a matrix, or an id is not below `V`.
#[must_use]
#[track_caller]
pub fn embed(table: &Weight, ids: &[u32], device: &Device) -> Tensor {
    let &[vocabulary, width] = table.shape() else {
        panic!("embed: a table [V, E], found {:?}", table.shape());
    };
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
        panic!("embed: id {id} of a table of {vocabulary} rows");
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = device.on_gpu() {
        let words = |recording: &mut Recording<'_>| recording.words(ids, ids.len());
        return gpu_embed(gpu, device, table, ids.len(), words);
    }
    let cpu = device.on_cpu();
    let mut out = Tensor::unspecified(device, &[ids.len(), width]);
    let row = width * table.dtype().size();
    let grain = (1_usize << 16).div_ceil(width.max(1));
    cpu.pool
        .for_rows(out.data_mut(), width, grain, |first, rows| {
            for (to, &id) in rows.chunks_exact_mut(width).zip(&ids[first..]) {
                widen(
                    table.dtype(),
                    &table.bytes()[id as usize * row..][..row],
                    to,
                );
            }
        });
    out
}

/// Widen the numbers in `from` to `to`, exactly.
pub(crate) fn widen(dtype: DType, from: &[u8], to: &mut [f32]) {
    match dtype {
        DType::F32 => {
            for (to, from) in to.iter_mut().zip(from.as_chunks::<4>().0) {
                *to = f32::from_le_bytes(*from);
            }
        }
        DType::Bf16 => {
            for (to, from) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                *to = bf16::from_le_bytes(*from).to_f32();
            }
        }
        DType::F16 => {
            // `half` converts slices with the CPU's instructions, where it has them.
            let mut block = [f16::ZERO; 64];
            for (to, from) in to.chunks_mut(64).zip(from.as_chunks::<2>().0.chunks(64)) {
                let block = &mut block[..from.len()];
                for (b, from) in block.iter_mut().zip(from) {
                    *b = f16::from_le_bytes(*from);
                }
                block.convert_to_f32_slice(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_picked_and_widened() {
        let device = Device::cpu();
        let values: Vec<f32> = (0..3 * 70).map(|i| i as f32 * 0.25).collect();
        let table = Weight::from_f32(&[3, 70], &values);
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let table = table.to_dtype(dtype);
            let rounded = table.to_f32();
            let out = embed(&table, &[2, 0, 2], &device);
            assert_eq!(out.shape(), [3, 70]);
            let want: Vec<f32> = [2, 0, 2]
                .iter()
                .flat_map(|&r| rounded[r * 70..][..70].to_vec())
                .collect();
            assert_eq!(out.to_vec().unwrap(), want, "{dtype:?}");
        }
    }

    #[test]
    #[should_panic(expected = "embed: id 3 of a table of 3 rows")]
    fn an_id_beyond_the_table_is_refused() {
        let _ = embed(
            &Weight::from_f32(&[3, 1], &[0.0; 3]),
            &[0, 3],
            &Device::cpu(),
        );
    }
}
