//! Matrix products with the `bf16` instructions of ARM: `bfmmla` multiplies two rows of four with two rows
//! of four.
//!
//! The weight is copied as it is; activations are rounded to `bf16`, and not transposed:
//!
//! ```text
//!   a step of the weight       w0: k0 k1 k2 k3 | w1: k0 ..      two words of each row, two rows a vector
//!   a step of activations      x0: k0 k1 k2 k3 | x1: k0 ..
//!   [w0 w1][x0 x1]  +=  w0 x0 | w0 x1 | w1 x0 | w1 x1           each the sum of four products
//! ```
//!
//! The instruction takes denormal numbers for zero and rounds results to odd: twice the error of rounding
//! to nearest, without bias. It does four times the work of a fused multiplication and addition, in
//! the same time on Neoverse V1 by ARM's optimization guide.

use std::arch::aarch64::*;

use super::kernels::{Kernels, Tile, tails};
use super::neon;
use crate::neon::{load, load_half, multiply_bf16, round_bf16, store_half};

pub(super) static KERNELS: Kernels = Kernels {
    dots: neon::DOTS,
    rounded: [None, None, None],
    strict: neon::STRICT,
    high: [None, None, None],
    fast: [None, None, Some(FOURS)],
};

const FOURS: Tile = Tile {
    rows: ROWS,
    columns: COLUMNS,
    step: STEP,
    words: GROUP,
    group: GROUP,
    piece: 512,
    block: 48,
    // Reasoned, not measured: of 16 rows, copying the weight takes as long as multiplying it.
    few: 16,
    widen: copy,
    arrange,
    run: tile::<{ COLUMNS / 2 }>,
    narrow: tile::<{ COLUMNS / 4 }>,
    transpose: neon::transpose,
};

/// Inputs in a step, and the words that they are in.
const STEP: usize = 4;
const GROUP: usize = 2;
/// Rows and columns of a tile: 24 of the 32 registers hold it.
const ROWS: usize = 8;
const COLUMNS: usize = 12;

/// See [`Tile::run`]; `N` pairs of columns.
#[target_feature(enable = "neon,bf16")]
fn tile<const N: usize>(w: &[f32], x: &[f32], steps: usize, tile: &mut [f32], add: bool) {
    const PAIRS: usize = ROWS / 2;
    let w = &w.as_chunks::<4>().0.as_chunks::<PAIRS>().0[..steps];
    let x = &x.as_chunks::<4>().0.as_chunks::<N>().0[..steps];
    let mut sums = [[vdupq_n_f32(0.0); N]; PAIRS];
    for (w, x) in w.iter().zip(x) {
        let mut rows = [vdupq_n_f32(0.0); PAIRS];
        for r in 0..PAIRS {
            rows[r] = load(&w[r]);
        }
        for n in 0..N {
            let columns = load(&x[n]);
            for r in 0..PAIRS {
                sums[r][n] = multiply_bf16(sums[r][n], rows[r], columns);
            }
        }
    }
    let tile = tile.as_chunks_mut::<2>().0.as_chunks_mut::<N>().0;
    for (tile, sums) in tile.as_chunks_mut::<2>().0.iter_mut().zip(&sums) {
        let [upper, lower] = tile;
        for n in 0..N {
            for (to, sum) in [
                (&mut upper[n], vget_low_f32(sums[n])),
                (&mut lower[n], vget_high_f32(sums[n])),
            ] {
                let before = if add { load_half(to) } else { vdup_n_f32(0.0) };
                store_half(to, vadd_f32(before, sum));
            }
        }
    }
}

/// See [`Tile::widen`].
#[target_feature(enable = "neon")]
fn copy(from: &[u8], to: &mut [f32]) {
    let (groups, rest) = from.as_chunks::<{ 4 * GROUP }>();
    let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
    let words = |from: &[u8; 4 * GROUP]| {
        let [first, second] = [0, 1].map(|i| f32::from_le_bytes(from.as_chunks().0[i]));
        [first, second]
    };
    for (from, to) in groups.iter().zip(&mut to) {
        *to = words(from);
    }
    if let (Some(to), false) = (to.next(), rest.is_empty()) {
        let [tail] = tails(&[rest], 0);
        *to = words(&tail);
    }
}

/// See [`Tile::arrange`].
#[target_feature(enable = "neon,bf16")]
fn arrange(x: &[f32], stride: usize, [rows, inputs]: [usize; 2], to: &mut [f32], width: usize) {
    let steps = to.as_chunks_mut::<GROUP>().0;
    for column in 0..width {
        let mut to = steps.iter_mut().skip(column).step_by(width);
        if column >= rows {
            // What comes of missing rows is not used, but must be quick to multiply.
            to.for_each(|to| *to = [0.0; GROUP]);
            continue;
        }
        let (whole, rest) = x[column * stride..][..inputs].as_chunks::<STEP>();
        for (from, to) in whole.iter().zip(&mut to) {
            store_half(to, round_bf16(load(from)));
        }
        if let (Some(to), false) = (to.next(), rest.is_empty()) {
            let mut tail = [0.0; STEP];
            tail[..rest.len()].copy_from_slice(rest);
            store_half(to, round_bf16(load(&tail)));
        }
    }
}
