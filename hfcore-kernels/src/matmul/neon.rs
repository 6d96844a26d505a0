//! Matrix products with NEON: four lanes, thirty-two registers.
//!
//! Two registers make a vector here. A wide core (Neoverse V1, Apple M1) starts four fused
//! multiplications in a cycle and ends them four cycles later: sixteen must be under way, also where
//! each of eight rows of a weight has but one sum.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::aarch64::*;

use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, WidenFn, passes, tails};
use super::scalar;
use super::vectors::kernels;
use crate::neon::{load as load_four, load_bytes, prefetch, store as store_four};
use crate::neon::{widen_bf16_high, widen_bf16_low, widen_f16_high, widen_f16_low};

pub(super) static KERNELS: Kernels = Kernels {
    dots: DOTS,
    rounded: [None, None, None],
    strict: STRICT,
    high: [None, None, None],
    fast: [None, None, None],
};

pub(super) const DOTS: [Dot; 3] = [
    Dot {
        step: STEP / 4,
        split: false,
        passes: passes!(dot_f32: 1 x 8 2 x 4 3 x 3 4 x 3 5 x 2 6 x 2),
    },
    Dot {
        step: STEP / 2,
        split: false,
        passes: passes!(dot_f16: 1 x 8 2 x 4 3 x 3 4 x 3 5 x 2 6 x 2),
    },
    Dot {
        step: STEP / 2,
        split: false,
        passes: passes!(dot_bf16: 1 x 8 2 x 4 3 x 3 4 x 3 5 x 2 6 x 2),
    },
];

pub(super) const STRICT: [Tile; 3] = [
    strict(widen_f32::<ROWS>),
    strict(widen_f16::<ROWS>),
    strict(widen_bf16::<ROWS>),
];

/// Tiles of 6 rows by 2 vectors: 24 of the 32 registers hold them, and a vector is loaded for every 2.4
/// multiplications.
const fn strict(widen: WidenFn) -> Tile {
    Tile {
        rows: ROWS,
        columns: 16,
        step: GROUP,
        words: GROUP,
        group: GROUP,
        piece: 256,
        block: 48,
        // Reasoned, not measured: of 32 rows, widening is a tenth of the multiplications.
        few: 32,
        widen,
        arrange,
        run: tile::<2>,
        narrow: tile::<1>,
        transpose,
    }
}

/// Eight lanes.
#[derive(Clone, Copy)]
struct Eight(float32x4_t, float32x4_t);

kernels!(
    #[target_feature(enable = "neon")]
    Eight, 8 lanes, 6 rows, squares of 4, prefetch above 3 columns
);

#[inline]
#[target_feature(enable = "neon")]
fn load(from: &[f32; 8]) -> Eight {
    let halves = from.as_chunks().0;
    Eight(load_four(&halves[0]), load_four(&halves[1]))
}

#[inline]
#[target_feature(enable = "neon")]
fn store(to: &mut [f32; 8], value: Eight) {
    let halves = to.as_chunks_mut().0;
    store_four(&mut halves[0], value.0);
    store_four(&mut halves[1], value.1);
}

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Eight {
    splat(0.0)
}

#[inline]
#[target_feature(enable = "neon")]
fn splat(number: f32) -> Eight {
    let four = vdupq_n_f32(number);
    Eight(four, four)
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: Eight, b: Eight) -> Eight {
    Eight(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1))
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(a: Eight, b: Eight, c: Eight) -> Eight {
    Eight(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1))
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "neon")]
fn sum(lanes: Eight) -> f32 {
    vaddvq_f32(vaddq_f32(lanes.0, lanes.1))
}

/// The eight numbers of a step of `f32`.
#[inline]
#[target_feature(enable = "neon")]
fn part_f32<const PART: usize>(step: &[u8; STEP]) -> Eight {
    let [low, high] = [0, 1].map(|half| load_bytes(&step.as_chunks().0[half]));
    Eight(vreinterpretq_f32_u8(low), vreinterpretq_f32_u8(high))
}

/// The lower or upper half of a step of `f16`, widened.
#[inline]
#[target_feature(enable = "neon")]
fn part_f16<const PART: usize>(step: &[u8; STEP]) -> Eight {
    let halves = load_bytes(&step.as_chunks().0[PART]);
    Eight(widen_f16_low(halves), widen_f16_high(halves))
}

/// The lower or upper half of a step of `bf16`, widened: with zeros between them there is no need to
/// have those with even and odd places apart.
#[inline]
#[target_feature(enable = "neon")]
fn part_bf16<const PART: usize>(step: &[u8; STEP]) -> Eight {
    let halves = load_bytes(&step.as_chunks().0[PART]);
    Eight(widen_bf16_low(halves), widen_bf16_high(halves))
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "neon")]
fn widen_f16<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    let (groups, rest) = from.as_chunks::<{ 2 * GROUP }>();
    let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
    let widen = |from, to| {
        let halves = load_bytes(from);
        store(to, Eight(widen_f16_low(halves), widen_f16_high(halves)));
    };
    for (from, to) in groups.iter().zip(&mut to) {
        widen(from, to);
    }
    if let (Some(to), false) = (to.next(), rest.is_empty()) {
        let [tail] = tails(&[rest], 0);
        widen(&tail, to);
    }
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "neon")]
fn widen_f32<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    scalar::widen_f32::<ROWS>(from, to);
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "neon")]
fn widen_bf16<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    scalar::widen_bf16::<ROWS>(from, to);
}

/// Transpose 4 by 4 numbers.
#[inline]
#[target_feature(enable = "neon")]
fn square(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let row = |i: usize| {
        let row = from[i * from_stride..].first_chunk();
        load_four(row.expect("four rows of four"))
    };
    // a0 b0 a2 b2 and a1 b1 a3 b3 of rows a and b: pairs, which are then moved whole.
    let pairs = |a, b| {
        let (even, odd) = (vtrn1q_f32(a, b), vtrn2q_f32(a, b));
        (vreinterpretq_f64_f32(even), vreinterpretq_f64_f32(odd))
    };
    let (upper, lower) = (pairs(row(0), row(1)), pairs(row(2), row(3)));
    let columns = [
        vtrn1q_f64(upper.0, lower.0),
        vtrn1q_f64(upper.1, lower.1),
        vtrn2q_f64(upper.0, lower.0),
        vtrn2q_f64(upper.1, lower.1),
    ];
    for (i, column) in columns.into_iter().enumerate() {
        let to = to[i * to_stride..].first_chunk_mut();
        store_four(
            to.expect("four rows of four"),
            vreinterpretq_f32_f64(column),
        );
    }
}
