//! Matrix products with AVX-512: sixteen lanes, thirty-two registers.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::x86_64::*;

use super::avx2::{self, prefetch, square};
use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, WidenFn, passes, tails};
use super::vectors::kernels;

pub(super) static KERNELS: Kernels = Kernels {
    dots: DOTS,
    strict: STRICT,
    high: [None, None, None],
    fast: [None, None, None],
};

pub(super) const DOTS: [Dot; 3] = [
    Dot {
        step: STEP / 4,
        split: false,
        passes: passes!(dot_f32: 1 x 6 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
    },
    Dot {
        step: STEP / 2,
        split: false,
        passes: passes!(dot_f16: 1 x 6 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
    },
    Dot {
        step: STEP / 2,
        split: true,
        passes: passes!(dot_bf16: 1 x 6 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
    },
];

pub(super) const STRICT: [Tile; 3] = [
    strict(avx2::widen_f32::<ROWS>),
    strict(avx2::widen_f16::<ROWS>),
    strict(avx2::widen_bf16::<ROWS>),
];

/// Tiles of 12 rows by 2 vectors: 24 of the 32 registers hold them.
const fn strict(widen: WidenFn) -> Tile {
    Tile {
        rows: ROWS,
        columns: 32,
        step: GROUP,
        words: GROUP,
        group: GROUP,
        piece: 256,
        block: 48,
        few: 128,
        widen,
        arrange,
        run: tile::<2>,
        narrow: tile::<1>,
        transpose,
    }
}

kernels!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    __m512, 16 lanes, 12 rows, squares of 8, prefetch above 4 columns
);

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[f32; 16]) -> __m512 {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_bytes(from: &[u8; 64]) -> __m512i {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut [f32; 16], value: __m512) {
    // SAFETY: `to` is 64 writable bytes; `storeu` needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn zero() -> __m512 {
    _mm512_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(number: f32) -> __m512 {
    _mm512_set1_ps(number)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, c)
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum(lanes: __m512) -> f32 {
    _mm512_reduce_add_ps(lanes)
}

/// The sixteen numbers of a step of `f32`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn part_f32<const PART: usize>(step: &[u8; STEP]) -> __m512 {
    _mm512_castsi512_ps(load_bytes(step))
}

/// The lower or upper half of a step of `f16`, widened.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn part_f16<const PART: usize>(step: &[u8; STEP]) -> __m512 {
    let halves = step.as_chunks::<32>().0;
    _mm512_cvtph_ps(avx2::load_bytes(&halves[PART]))
}

/// The numbers with an even or odd place in a step of `bf16`, widened: they are the upper halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn part_bf16<const PART: usize>(step: &[u8; STEP]) -> __m512 {
    let pairs = load_bytes(step);
    _mm512_castsi512_ps(if PART == 0 {
        _mm512_slli_epi32::<16>(pairs)
    } else {
        _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()))
    })
}
