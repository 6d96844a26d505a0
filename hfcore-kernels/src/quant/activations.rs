//! Activations in bytes, as the kernels want them.
//!
//! `scale = max |x| / 127` of a row (int8) or of a group of a row (int4), and each number becomes the nearest
//! multiple of it, of two the even one. Nothing is fused: the bytes are the same on every instruction set.

use super::QuantFormat;
use super::format::LINE;
use super::kernels::{Pass, Tile};
use crate::device::Cpu;
use crate::isa::multiversion;
use crate::pool::Parts;

/// Numbers that one thread rounds before it asks for more.
const GRAIN: usize = 1 << 14;
/// Inputs that are rounded together: eight words.
const CHUNK: usize = 32;
/// Where the largest number of a group is smaller, the group counts as zeros: its scale would be denormal.
const SMALLEST: f32 = f32::from_bits((127 - 119) << 23);

/// Tiles of rows. Kept for the next product.
#[derive(Debug, Default)]
pub(super) struct Activations {
    words: Vec<i32>,
    /// Where they begin: at a cache line.
    start: usize,
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

/// How many there are of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Inputs that there are.
    pub(super) inputs: usize,
    /// Inputs with those that only fill up.
    padded: usize,
    /// Inputs that share a scale.
    group: usize,
    /// Rows of a tile.
    rows: usize,
    /// [`Pass::step`].
    step: usize,
    /// What is added to the bytes of the matrix, with its sign turned.
    offset: i32,
}

impl Layout {
    pub(super) const fn new(format: QuantFormat, inputs: usize, pass: &Pass) -> Self {
        let padded = format.padded(inputs);
        Self {
            inputs,
            padded,
            group: format.group(padded),
            rows: pass.rows,
            step: pass.step,
            offset: match format {
                QuantFormat::Int8 => -128,
                QuantFormat::Int4(_) => -8,
            },
        }
    }

    /// Words of a row, with those that fill up a step.
    const fn words(&self) -> usize {
        (self.padded / 4).next_multiple_of(self.step)
    }

    const fn tile_words(&self) -> usize {
        self.words() * self.rows
    }

    const fn tile_scales(&self) -> usize {
        self.padded / self.group * self.rows
    }
}

impl Activations {
    /// Round `x` `[rows, inputs]`.
    pub(super) fn round(&mut self, cpu: &Cpu, layout: &Layout, x: &[f32]) {
        let tiles = (x.len() / layout.inputs).div_ceil(layout.rows);
        let (words, scales) = (layout.tile_words(), layout.tile_scales());
        const LINE_WORDS: usize = LINE / size_of::<i32>();
        grow(&mut self.words, tiles * words + LINE_WORDS - 1);
        self.start = (self.words.as_ptr().align_offset(LINE)).min(LINE_WORDS - 1);
        grow(&mut self.scales, tiles * scales);
        grow(&mut self.offsets, tiles * scales);
        let all_words = Parts::new(&mut self.words[self.start..]);
        let all_scales = Parts::new(&mut self.scales);
        let all_offsets = Parts::new(&mut self.offsets);
        let tile_inputs = layout.rows * layout.inputs;
        let grain = GRAIN.div_ceil(tile_inputs);
        cpu.pool.for_each(tiles, grain, |tiles| {
            for tile in tiles {
                let x = &x[tile * tile_inputs..];
                let x = &x[..x.len().min(tile_inputs)];
                let part = tile * scales..(tile + 1) * scales;
                // SAFETY: each tile is dealt once.
                let words = unsafe { all_words.part(tile * words..(tile + 1) * words) };
                // SAFETY: as above.
                let scales = unsafe { all_scales.part(part.clone()) };
                // SAFETY: as above.
                let offsets = unsafe { all_offsets.part(part) };
                if x.len() < tile_inputs || layout.inputs < 4 * layout.words() {
                    words.fill(0);
                    scales.fill(0.0);
                    offsets.fill(0);
                }
                for (r, x) in x.chunks_exact(layout.inputs).enumerate() {
                    round_row(cpu.isa, layout, r, x, words, scales, offsets);
                }
            }
        });
    }

    /// Tile number `index`.
    pub(super) fn tile(&self, layout: &Layout, index: usize) -> Tile<'_> {
        let (words, scales) = (layout.tile_words(), layout.tile_scales());
        Tile {
            words: &self.words[self.start + index * words..][..words],
            scales: &self.scales[index * scales..][..scales],
            offsets: &self.offsets[index * scales..][..scales],
            group: layout.group / 4,
        }
    }
}

fn grow<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
}

multiversion! {
    fn round_row(
        layout: &Layout,
        r: usize,
        x: &[f32],
        words: &mut [i32],
        scales: &mut [f32],
        offsets: &mut [i32],
    ) = round_row_body
}

/// Row `r` of a tile.
#[inline(always)]
fn round_row_body(
    layout: &Layout,
    r: usize,
    x: &[f32],
    words: &mut [i32],
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    for (g, x) in x.chunks(layout.group).enumerate() {
        let (scale, inverse) = scale(x);
        let mut sum = 0;
        for (c, x) in x.chunks(CHUNK).enumerate() {
            let rounded = if let Ok(x) = x.try_into() {
                round(x, inverse, &mut sum)
            } else {
                let mut padded = [0.0; CHUNK];
                padded[..x.len()].copy_from_slice(x);
                round(&padded, inverse, &mut sum)
            };
            let rounded = rounded.as_chunks::<4>().0;
            let first = (g * layout.group + c * CHUNK) / 4;
            let step = layout.step;
            if step == 1 {
                let to = words[first * layout.rows + r..].iter_mut();
                for (to, four) in to.step_by(layout.rows).zip(rounded) {
                    *to = i32::from_le_bytes(*four);
                }
            } else {
                for (word, four) in (first..).zip(rounded) {
                    let place = (word / step * layout.rows + r) * step + word % step;
                    words[place] = i32::from_le_bytes(*four);
                }
            }
        }
        scales[g * layout.rows + r] = scale;
        offsets[g * layout.rows + r] = layout.offset.wrapping_mul(sum);
    }
}

/// What a one in the bytes of `x` stands for, and what `x` is multiplied with.
#[inline(always)]
fn scale(x: &[f32]) -> (f32, f32) {
    // Without their sign, the bits of numbers have the order of the numbers, and NaN is the largest.
    let most = (x.iter()).fold(0, |most, x| (x.to_bits() & (u32::MAX >> 1)).max(most));
    let most = f32::from_bits(most);
    if most.is_finite() && most >= SMALLEST {
        (most / 127.0, 127.0 / most)
    } else if most.is_finite() {
        (0.0, 0.0)
    } else {
        (f32::NAN, 0.0)
    }
}

/// The bytes of `x`, whose sum is added to `sum`.
#[inline(always)]
fn round(x: &[f32; CHUNK], inverse: f32, sum: &mut i32) -> [u8; CHUNK] {
    // From here to twice this, neighbouring numbers are one apart, and end with the bits of a whole number.
    const SHIFT: f32 = (3 << 22) as f32;
    let mut bytes = [0; CHUNK];
    for (byte, x) in bytes.iter_mut().zip(x) {
        let bits = (x * inverse + SHIFT).to_bits();
        *sum = sum.wrapping_add(bits.wrapping_sub(SHIFT.to_bits()).cast_signed());
        [*byte, ..] = bits.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::super::kernels::Kernels;
    use super::*;
    use crate::{CpuOptions, Device, Isa};

    /// The bytes of input `i` of row `r` of a tile.
    fn byte(tile: &Tile<'_>, pass: &Pass, r: usize, i: usize) -> i8 {
        let (word, step) = (i / 4, pass.step);
        let word = tile.words[(word / step * pass.rows + r) * step + word % step];
        word.to_le_bytes()[i % 4].cast_signed()
    }

    #[test]
    fn bytes_are_the_nearest_and_their_place_is_the_tiles() {
        let formats = ["int8", "int4", "int4-64", "int4-128"].map(|name| name.parse().unwrap());
        for (rows, inputs) in [(1, 1), (3, 70), (5, 129), (40, 256), (33, 600)] {
            let mut x: Vec<f32> = (0..rows * inputs)
                .map(|i| ((i * 7919 % 1013) as f32 / 506.0 - 1.0) * (1 + i % 5) as f32)
                .collect();
            x[0] = 2.5; // ties are rounded to even, and the largest is 127
            for isa in Isa::all() {
                let threads = NonZeroUsize::new(2).unwrap();
                let options = CpuOptions::default().with_isa(isa).with_threads(threads);
                let device = Device::cpu_with(&options);
                let cpu = device.on_cpu();
                for format in formats {
                    for pass in Kernels::of(isa).passes(format) {
                        check(cpu, format, pass, inputs, &x);
                    }
                }
            }
        }
    }

    fn check(cpu: &Cpu, format: QuantFormat, pass: &Pass, inputs: usize, x: &[f32]) {
        let layout = Layout::new(format, inputs, pass);
        // What was there before must not show.
        let words = vec![-1; 7];
        let mut activations = Activations {
            words,
            ..Activations::default()
        };
        activations.round(cpu, &layout, x);
        let rows = x.len() / inputs;
        for row in 0..rows.next_multiple_of(pass.rows) {
            let tile = activations.tile(&layout, row / pass.rows);
            let r = row % pass.rows;
            for g in 0..layout.padded / layout.group {
                let input = |i: usize| {
                    let there = row < rows && i < inputs;
                    if there { x[row * inputs + i] } else { 0.0 }
                };
                let range = g * layout.group..(g + 1) * layout.group;
                let most = range.clone().map(|i| input(i).abs()).fold(0.0, f32::max);
                let scale = tile.scales[g * pass.rows + r];
                assert_eq!(scale, most / 127.0, "{format} row {row} group {g}");
                let mut sum = 0;
                for i in range {
                    let q = byte(&tile, pass, r, i);
                    sum += i32::from(q);
                    let want = if most == 0.0 {
                        0.0
                    } else {
                        (input(i) * (127.0 / most)).round_ties_even()
                    };
                    assert_eq!(f32::from(q), want, "{format} row {row} input {i}");
                }
                assert_eq!(tile.offsets[g * pass.rows + r], layout.offset * sum);
            }
        }
    }

    #[test]
    fn what_has_no_scale() {
        for (x, want) in [
            ([0.0, -0.0], (0.0, 0.0)),
            ([1e-40, 0.0], (0.0, 0.0)),
            ([1.0, f32::INFINITY], (f32::NAN, 0.0)),
            ([f32::NAN, 1.0], (f32::NAN, 0.0)),
            ([254.0, -1.0], (2.0, 0.5)),
        ] {
            let found = scale(&x);
            assert_eq!(found.0.to_bits(), want.0.to_bits(), "{x:?}");
            assert_eq!(found.1, want.1, "{x:?}");
        }
        let (_, inverse) = scale(&[SMALLEST]);
        assert!(inverse.is_finite());
        assert!(scale(&[SMALLEST]).0.is_normal());
    }
}
