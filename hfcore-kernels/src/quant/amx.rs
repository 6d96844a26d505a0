//! Products with quantized matrices with AMX: blocks of 32 rows by two panels.
//!
//! Sixteen lines of a panel are 64 inputs of sixteen outputs, and lie as a tile wants its second operand; 64
//! inputs of sixteen rows, sixteen words side by side, are the first.
//!
//! * int8: sums over all inputs stay in the tiles.
//! * int4: the sums of a group leave the tiles to be scaled. Eight lines of numbers of eight bits are made of a
//!   group of 32, and the other eight lines of the tile are zeros, since the tile of activations has the group
//!   beside it, too.
//!
//! ```text
//! group 0 of 32     a tile of 64 inputs:  x(group 0) x(group 1)      second operand:  q(group 0), zeros
//! group 1                                 the same                                    zeros, q(group 1)
//! ```
//!
//! A few rows are multiplied as with VNNI, which reads several panels at a time.
//!
//! Tested through an emulator of the instructions where the processor has none; **its speed was not measured**.
//! By the figures of `crate::amx`, a block of a group of 32 takes twice the time that its products take, since
//! its sums are stored, scaled and added.

use std::arch::x86_64::*;

use super::avx512::{fold, load, store};
use super::avx512vnni;
use super::kernels::{Kernels, Pass, Peak, Tile};
use super::quantized::Panel;
use crate::amx::{Operand, ROW, ROWS, TILE, int8_block, int8_chains};

/// Rows of activations in a block.
const BLOCK: usize = 2 * ROWS;
/// Words of a row of a tile.
const WORDS: usize = ROW / 4;

pub(super) static KERNELS: Kernels = Kernels {
    int8: &with_tiles(avx512vnni::KERNELS.int8, int8),
    int4: &with_tiles(avx512vnni::KERNELS.int4, int4),
    peak: Peak {
        products: 4 * TILE * ROWS,
        run: peak,
    },
};

/// The kernels of VNNI for up to twelve rows, and this one for more.
const fn with_tiles(
    few: &[Pass],
    run: unsafe fn(&[Panel<'_>], &Tile<'_>, &mut [[f32; 16]]),
) -> [Pass; 15] {
    let blocks = Pass {
        rows: BLOCK,
        panels: 2,
        step: WORDS,
        tiles: true,
        run,
    };
    let mut all = [blocks; 15];
    let mut i = 0;
    while i < few.len() {
        all[i] = few[i];
        i += 1;
    }
    assert!(i == 14, "the last place is that of the blocks");
    all
}

/// Sums of a block: two panels side by side for each row.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([[[i32; 16]; 2]; BLOCK]);

/// Values of two groups of 64, as two tiles for each of two panels.
#[repr(align(64))]
struct Values([[[[u8; ROW]; ROWS]; 2]; 2]);

/// The activations from word `first` of each row on, which is the first of a row of a tile.
fn activations(words: &[i32], first: usize) -> Operand {
    let words = words[first * BLOCK..].as_ptr().cast::<u8>();
    Operand {
        tiles: [words, words.wrapping_add(TILE)],
        stride: ROW,
    }
}

/// See [`Pass::run`].
#[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn int8(panels: &[Panel<'_>], tile: &Tile<'_>, out: &mut [[f32; 16]]) {
    let [first, second] = panels else {
        unreachable!("two panels, as the table says")
    };
    let steps = tile.words.len() / (BLOCK * WORDS);
    for panel in panels {
        assert!(panel.values.len() == steps * TILE, "a line for every word");
    }
    let values = Operand {
        tiles: [first.values.as_ptr(), second.values.as_ptr()],
        stride: ROW,
    };
    let mut sums = Block([[[0; 16]; 2]; BLOCK]);
    let to = (&raw mut sums).cast();
    // SAFETY: the driver configures the tiles where `Pass::tiles` says so. `steps` tiles of words and of
    // the values of each panel were counted above, and the sums are 32 rows of 128 bytes.
    unsafe {
        int8_block::<{ 2 * TILE }, TILE>(
            activations(tile.words, 0),
            values,
            steps,
            to,
            2 * ROW,
            false,
        );
    }
    let outs = out.as_chunks_mut::<BLOCK>().0;
    for ((p, panel), out) in panels.iter().enumerate().zip(outs) {
        let scales = _mm512_castsi512_ps(load(panel.scales.first_chunk().expect("sixteen scales")));
        for r in 0..BLOCK {
            let scales = _mm512_mul_ps(_mm512_set1_ps(tile.scales[r]), scales);
            let sums = _mm512_cvtepi32_ps(load_sums(&sums.0[r][p]));
            store(&mut out[r], _mm512_mul_ps(sums, scales));
        }
    }
}

/// See [`Pass::run`].
#[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn int4(panels: &[Panel<'_>], tile: &Tile<'_>, out: &mut [[f32; 16]]) {
    let outs = out.as_chunks_mut::<BLOCK>().0;
    let outs: &mut [_; 2] = outs.first_chunk_mut().expect("two panels");
    outs.as_flattened_mut().fill([0.0; 16]);
    let groups = tile.scales.len() / BLOCK;
    let rounded = (groups * tile.group).next_multiple_of(WORDS);
    assert!(tile.words.len() == rounded * BLOCK, "whole rows of tiles");
    let steps = (tile.group / WORDS).max(1);
    let mut values = Values([[[[0; ROW]; ROWS]; 2]; 2]);
    // Of two groups, so that totals are read and written once for both.
    let mut sums = [Block([[[0; 16]; 2]; BLOCK]); 2];
    for first in (0..groups).step_by(2) {
        let some = first..groups.min(first + 2);
        for (g, sums) in some.clone().zip(&mut sums) {
            let word = g * tile.group;
            // Of a group of 32, the lines of the other half of the tile are zeros.
            let half = word % WORDS;
            for (panel, values) in panels.iter().zip(&mut values.0) {
                let lines = &panel.values.as_chunks::<ROW>().0[word / 2..][..tile.group / 2];
                if tile.group < WORDS {
                    values[0][WORDS / 2 - half..][..WORDS / 2].fill([0; ROW]);
                }
                let to = values.as_flattened_mut()[half..].as_chunks_mut::<2>().0;
                for (line, to) in lines.iter().zip(to) {
                    unpack(line, to);
                }
            }
            let [a, b] = &values.0;
            let values = Operand {
                tiles: [a.as_ptr().cast(), b.as_ptr().cast()],
                stride: ROW,
            };
            let words = activations(tile.words, word - half);
            let to = (&raw mut *sums).cast();
            // SAFETY: the driver configures the tiles where `Pass::tiles` says so. The activations were found
            // to be whole tiles, of which `steps` begin here; so many there are of the values, one or
            // two; and the sums are 32 rows of 128 bytes.
            unsafe {
                int8_block::<{ 2 * TILE }, TILE>(words, values, steps, to, 2 * ROW, false);
            }
        }
        for (p, out) in outs.iter_mut().enumerate() {
            let scales = &panels[p].scales.as_chunks::<32>().0[some.clone()];
            for r in 0..BLOCK {
                let mut total = load_total(&out[r]);
                for ((g, sums), scales) in some.clone().zip(&sums).zip(scales) {
                    let sums = load_sums(&sums.0[r][p]);
                    total = fold(total, sums, tile.scales[g * BLOCK + r], scales);
                }
                store(&mut out[r], total);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_total(from: &[f32; 16]) -> __m512 {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_sums(from: &[i32; 16]) -> __m512i {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The sixteen-times-eight numbers of a line of int4 as two lines of bytes, -8 to 7.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn unpack(line: &[u8; ROW], to: &mut [[u8; ROW]; 2]) {
    let halves = super::avx512::halves(line);
    for (half, to) in halves.into_iter().zip(to) {
        let half = _mm512_sub_epi8(half, _mm512_set1_epi8(8));
        // SAFETY: `to` is 64 writable bytes; `storeu` needs no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), half) };
    }
}

/// See [`Peak::run`].
fn peak(rounds: usize, _: i32) -> f32 {
    // SAFETY: the probe configures the tiles.
    unsafe { int8_chains(rounds.max(1)) };
    0.0
}
