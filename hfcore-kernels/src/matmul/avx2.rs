//! Matrix products with AVX2, FMA and F16C: eight lanes, sixteen registers.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::x86_64::*;

use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, WidenFn, passes, tails};
use super::scalar;
use super::vectors::kernels;

/// Bytes of each stream that are asked for early: what arrives while they are multiplied.
const AHEAD: usize = 1024;

pub(super) static KERNELS: Kernels = Kernels {
    dots: [
        Dot {
            step: STEP / 4,
            split: false,
            passes: passes!(dot_f32: 1 x 8 2 x 4 3 x 3 4 x 3),
        },
        Dot {
            step: STEP / 2,
            split: false,
            passes: passes!(dot_f16: 1 x 8 2 x 4 3 x 3 4 x 3),
        },
        Dot {
            step: STEP / 2,
            split: true,
            // A step keeps its words beside what it makes of them: four columns leave registers for two rows.
            passes: passes!(dot_bf16: 1 x 8 2 x 4 3 x 3 4 x 2),
        },
    ],
    rounded: [None, None, None],
    strict: [
        strict(widen_f32::<ROWS>),
        strict(widen_f16::<ROWS>),
        strict(widen_bf16::<ROWS>),
    ],
    high: [None, None, None],
    fast: [None, None, None],
};

/// Tiles of 6 rows by 2 vectors: 12 of the 16 registers hold them.
const fn strict(widen: WidenFn) -> Tile {
    Tile {
        rows: ROWS,
        columns: 16,
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
    #[target_feature(enable = "avx2,fma,f16c")]
    __m256, 8 lanes, 6 rows, squares of 8, prefetch above 3 columns
);

#[inline]
#[target_feature(enable = "avx")]
fn load(from: &[f32; 8]) -> __m256 {
    // SAFETY: `from` is 32 readable bytes; `loadu` needs no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx")]
pub(super) fn load_bytes(from: &[u8; 32]) -> __m256i {
    // SAFETY: `from` is 32 readable bytes; `loadu` needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_half(from: &[u8; 16]) -> __m128i {
    // SAFETY: `from` is 16 readable bytes; `loadu` needs no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn store(to: &mut [f32; 8], value: __m256) {
    // SAFETY: `to` is 32 writable bytes; `storeu` needs no alignment.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "avx")]
fn zero() -> __m256 {
    _mm256_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx")]
fn splat(number: f32) -> __m256 {
    _mm256_set1_ps(number)
}

#[inline]
#[target_feature(enable = "avx")]
fn add(a: __m256, b: __m256) -> __m256 {
    _mm256_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
    _mm256_fmadd_ps(a, b, c)
}

/// Ask for what comes [`AHEAD`] bytes after a step: the next row, where this one ends.
#[inline]
pub(super) fn prefetch<const B: usize>(step: &[u8; B]) {
    let ahead = step.as_ptr().wrapping_add(AHEAD);
    // SAFETY: a hint, which is ignored where there is no memory.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
}

/// The eight numbers of a step of `f32`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn part_f32<const PART: usize>(step: &[u8; STEP]) -> __m256 {
    _mm256_castsi256_ps(load_bytes(step))
}

/// The lower or upper half of a step of `f16`, widened.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn part_f16<const PART: usize>(step: &[u8; STEP]) -> __m256 {
    _mm256_cvtph_ps(load_half(&step.as_chunks::<16>().0[PART]))
}

/// The numbers with an even or odd place in a step of `bf16`, widened: they are the upper halves.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn part_bf16<const PART: usize>(step: &[u8; STEP]) -> __m256 {
    let pairs = load_bytes(step);
    _mm256_castsi256_ps(if PART == 0 {
        _mm256_slli_epi32::<16>(pairs)
    } else {
        _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()))
    })
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum(lanes: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(lanes),
        _mm256_extractf128_ps::<1>(lanes),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_f16<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    let (groups, rest) = from.as_chunks::<{ 2 * GROUP }>();
    let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
    for (from, to) in groups.iter().zip(&mut to) {
        store(to, _mm256_cvtph_ps(load_half(from)));
    }
    if let (Some(to), false) = (to.next(), rest.is_empty()) {
        let [tail] = tails(&[rest], 0);
        store(to, _mm256_cvtph_ps(load_half(&tail)));
    }
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_f32<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    scalar::widen_f32::<ROWS>(from, to);
}

/// See [`Tile::widen`], in groups of eight.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_bf16<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    scalar::widen_bf16::<ROWS>(from, to);
}

/// Transpose 8 by 8 numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn square(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let row = |i: usize| {
        load(
            from[i * from_stride..]
                .first_chunk()
                .expect("eight rows of eight"),
        )
    };
    let mut pairs = [_mm256_setzero_ps(); 8];
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(row(2 * i), row(2 * i + 1));
        pairs[2 * i + 1] = _mm256_unpackhi_ps(row(2 * i), row(2 * i + 1));
    }
    let mut fours = [_mm256_setzero_ps(); 8];
    for i in 0..2 {
        for j in 0..2 {
            let (a, b) = (pairs[4 * i + j], pairs[4 * i + j + 2]);
            fours[4 * i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
            fours[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
        }
    }
    for i in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]);
        let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]);
        store(
            to[i * to_stride..]
                .first_chunk_mut()
                .expect("eight rows of eight"),
            low,
        );
        store(
            to[(4 + i) * to_stride..]
                .first_chunk_mut()
                .expect("eight rows of eight"),
            high,
        );
    }
}
