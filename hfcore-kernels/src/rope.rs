//! Rotary position embedding.
//!
//! Su et al. 2021, <https://arxiv.org/abs/2104.09864>. Reference: `apply_rotary_pos_emb` and
//! `LlamaRotaryEmbedding` in transformers' `models/llama/modeling_llama.py`.

use crate::isa::multiversion;
use crate::{Device, Tensor, rows};

/// Cosines and sines of the angles at some positions, for all layers that rotate alike.
#[derive(Clone, Debug)]
pub struct RopeAngles {
    /// `[T, R]`: cosines, then sines.
    table: Tensor,
}

/// Which numbers of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// `i` and `i + R / 2` (Llama, GPT-NeoX).
    Half,
    /// `2 i` and `2 i + 1` (GPT-J, Cohere).
    Interleaved,
}

impl RopeAngles {
    /// The angles `position * inv_freq` of each of `positions` `[T]` and `inv_freq` `[R / 2]`.
    ///
    /// Angles are products in `f32`, as in transformers: at position 100,000 their rounding is a hundredth,
    /// and a model has learned with it. Cosine and sine of that angle are those of the nearest `f32`, then
    /// multiplied by `attention_scaling` (`YaRN`, `LongRoPE`; 1 elsewhere).
    #[must_use]
    pub fn new(
        inv_freq: &[f32],
        attention_scaling: f32,
        positions: &[usize],
        device: &Device,
    ) -> Self {
        let half = inv_freq.len();
        let fill = |row: &mut [f32], position: usize| {
            let (cos, sin) = row.split_at_mut(half);
            for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(inv_freq) {
                let angle = f64::from(position as f32 * frequency);
                *cos = rounded(angle.cos()) * attention_scaling;
                *sin = rounded(angle.sin()) * attention_scaling;
            }
        };
        let shape = [positions.len(), 2 * half];
        #[cfg(feature = "wgpu")]
        if device.on_gpu().is_some() {
            let mut numbers = vec![0.0; positions.len() * 2 * half];
            for (row, &position) in numbers.chunks_exact_mut((2 * half).max(1)).zip(positions) {
                fill(row, position);
            }
            return Self {
                table: Tensor::from_vec(device, &shape, numbers),
            };
        }
        let mut table = Tensor::unspecified(device, &shape);
        // Each costs tens of nanoseconds.
        let grain = 128_usize.div_ceil(half.max(1));
        (device.on_cpu().pool).for_rows(table.data_mut(), 2 * half, grain, |first, rows| {
            for (row, &position) in rows.chunks_exact_mut(2 * half).zip(&positions[first..]) {
                fill(row, position);
            }
        });
        Self { table }
    }

    /// Positions, `T`.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.table.rows()
    }

    /// Numbers of a head that are rotated, `R`.
    #[must_use]
    pub fn rotary_dim(&self) -> usize {
        self.table.width()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn rounded(x: f64) -> f32 {
    x as f32
}

/// Rotate the first `R` numbers of each head of `x` `[T, H, D]`: pairs `(a, b)` become
/// `(a cos - b sin, b cos + a sin)`. The rest of a head stays as it is.
///
/// # Panics
/// If `x` is not `[T, H, D]` with the angles' `T`, or `D` is less than `R`.
#[must_use]
#[track_caller]
pub fn rope(mut x: Tensor, angles: &RopeAngles, layout: RopeLayout) -> Tensor {
    let &[positions, heads, width] = x.shape() else {
        panic!("rope: [T, H, D], found {:?}", x.shape())
    };
    assert_eq!(
        positions,
        angles.positions(),
        "rope: positions of {:?} and of the angles",
        x.shape()
    );
    let rotary = angles.rotary_dim();
    assert!(
        rotary <= width,
        "rope: heads of {width} numbers, {rotary} of them to rotate"
    );
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return crate::gpu::ops::heads::rope(gpu, &x, &angles.table, layout);
    }
    let device = x.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, x.data_mut(), heads * width, |first, x| {
        for (i, x) in x.chunks_exact_mut(heads * width).enumerate() {
            let row = &angles.table.data()[(first + i) * rotary..][..rotary];
            let (cos, sin) = row.split_at(rotary / 2);
            match layout {
                RopeLayout::Half => rotate_halves(cpu.isa, x, width, cos, sin),
                RopeLayout::Interleaved => rotate_pairs(cpu.isa, x, width, cos, sin),
            }
        }
    });
    x
}

multiversion! { fn rotate_halves(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32]) = halves_body }
multiversion! { fn rotate_pairs(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32]) = pairs_body }

#[inline(always)]
fn halves_body(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32]) {
    for head in x.chunks_exact_mut(width) {
        let (first, second) = head[..2 * cos.len()].split_at_mut(cos.len());
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[inline(always)]
fn pairs_body(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32]) {
    for head in x.chunks_exact_mut(width) {
        let (pairs, _) = head.as_chunks_mut::<2>();
        for (([a, b], cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn() {
        let device = Device::cpu();
        let angles = RopeAngles::new(&[std::f32::consts::FRAC_PI_2], 1.0, &[0, 1], &device);
        for (layout, want) in [
            (RopeLayout::Half, [1.0, 2.0, 5.0, -2.0, 1.0, 5.0]),
            (RopeLayout::Interleaved, [1.0, 2.0, 5.0, -2.0, 1.0, 5.0]),
        ] {
            let x = Tensor::from_vec(&device, &[2, 1, 3], vec![1.0, 2.0, 5.0, 1.0, 2.0, 5.0]);
            let y = rope(x, &angles, layout).into_vec().unwrap();
            for (y, want) in y.iter().zip(want) {
                assert!((y - want).abs() < 1e-6, "{layout:?}: {y} {want}");
            }
        }
    }

    #[test]
    fn layouts_pair_different_numbers() {
        let device = Device::cpu();
        let angles = RopeAngles::new(&[std::f32::consts::PI, 0.0], 2.0, &[1], &device);
        let rotate = |layout| {
            let x = Tensor::from_vec(&device, &[1, 1, 4], vec![1.0, 2.0, 3.0, 4.0]);
            rope(x, &angles, layout)
                .into_vec()
                .unwrap()
                .iter()
                .map(|v| v.round())
                .collect::<Vec<_>>()
        };
        assert_eq!(rotate(RopeLayout::Half), [-2.0, 4.0, -6.0, 8.0]);
        assert_eq!(rotate(RopeLayout::Interleaved), [-2.0, -4.0, 6.0, 8.0]);
    }

    #[test]
    #[should_panic(expected = "rope: heads of 2 numbers, 4 of them to rotate")]
    fn heads_must_have_what_is_rotated() {
        let device = Device::cpu();
        let angles = RopeAngles::new(&[1.0, 0.5], 1.0, &[0], &device);
        let _ = rope(
            Tensor::zeros(&device, &[1, 1, 2]),
            &angles,
            RopeLayout::Half,
        );
    }
}
