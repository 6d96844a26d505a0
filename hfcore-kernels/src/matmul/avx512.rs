//! Matrix products with AVX-512: sixteen lanes, thirty-two registers.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::x86_64::*;

use super::avx2::{self, prefetch};
use super::kernels::{Dot, Kernels, Pass, Tile, WidenFn, passes, tails};
use super::vectors::kernels;

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
    strict(widen_f32, 48),
    strict(widen_f16, 64),
    strict(widen_bf16, 64),
];

/// Numbers of a weight row that lie side by side: a vector.
const GROUP: usize = 16;

/// Tiles of 12 rows by 2 vectors: 24 of the 32 registers hold them.
const fn strict(widen: WidenFn, few: usize) -> Tile {
    Tile {
        rows: ROWS,
        columns: 32,
        step: GROUP,
        words: GROUP,
        group: GROUP,
        piece: 256,
        block: 48,
        few,
        widen,
        arrange,
        run: tile::<2>,
        narrow: tile::<1>,
        transpose,
    }
}

kernels!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    __m512, 16 lanes, 12 rows, prefetch above 4 columns
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
pub(super) fn sum(lanes: __m512) -> f32 {
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

/// A [`Tile::widen`], from numbers of so many bytes, of which a function makes a vector.
macro_rules! widen {
    ($name:ident, $size:literal, $vector:ident) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn $name(from: &[u8], to: &mut [f32]) {
            let (groups, rest) = from.as_chunks::<{ $size * GROUP }>();
            let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
            for (from, to) in groups.iter().zip(&mut to) {
                store(to, $vector(from));
            }
            if let (Some(to), false) = (to.next(), rest.is_empty()) {
                let [tail] = tails(&[rest], 0);
                store(to, $vector(&tail));
            }
        }
    };
}
widen!(widen_f32, 4, vector_f32);
widen!(widen_f16, 2, vector_f16);
widen!(widen_bf16, 2, vector_bf16);

#[inline]
#[target_feature(enable = "avx512f")]
fn vector_f32(bytes: &[u8; 64]) -> __m512 {
    _mm512_castsi512_ps(load_bytes(bytes))
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
fn vector_f16(bytes: &[u8; 32]) -> __m512 {
    _mm512_cvtph_ps(avx2::load_bytes(bytes))
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
fn vector_bf16(bytes: &[u8; 32]) -> __m512 {
    let words = _mm512_cvtepu16_epi32(avx2::load_bytes(bytes));
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
}

/// See [`Tile::arrange`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn arrange(x: &[f32], stride: usize, [rows, inputs]: [usize; 2], to: &mut [f32], width: usize) {
    // What comes of missing rows is not used, but what lies there could be slow to multiply, as
    // denormal numbers are.
    if rows < width {
        to.fill(0.0);
    } else {
        to[inputs * width..].fill(0.0);
    }
    transpose(x, stride, [rows, inputs], to, width);
}

/// See [`Tile::transpose`]: in squares of 16, of which parts may be missing.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn transpose(
    from: &[f32],
    from_stride: usize,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
    to_stride: usize,
) {
    for j in (0..columns).step_by(16) {
        for i in (0..rows).step_by(16) {
            let (height, width) = ((rows - i).min(16), (columns - j).min(16));
            let mut square = [_mm512_setzero_si512(); 16];
            for (r, row) in square.iter_mut().enumerate().take(height) {
                let start = (i + r) * from_stride + j;
                *row = _mm512_castps_si512(load_some(&from[start..start + width]));
            }
            for (c, column) in transposed(square).into_iter().enumerate().take(width) {
                let start = (j + c) * to_stride + i;
                store_some(&mut to[start..start + height], _mm512_castsi512_ps(column));
            }
        }
    }
}

/// Up to 16 numbers, and zeros.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_some(from: &[f32]) -> __m512 {
    let count = from.len().min(16);
    if count == 0 {
        return zero();
    }
    // SAFETY: as many numbers are read as the mask has bits, which is as many as there are.
    unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (16 - count), from.as_ptr()) }
}

/// The first of 16 numbers, as many as `to` has.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_some(to: &mut [f32], value: __m512) {
    let count = to.len().min(16);
    if count > 0 {
        // SAFETY: as many numbers are written as the mask has bits, which is as many as there are.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), u16::MAX >> (16 - count), value) };
    }
}

/// The transpose of 16 by 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    let zero = [_mm512_setzero_si512(); 16];
    let (mut a, mut b) = (zero, zero);
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // In b[4 i + j], the quarter q is column 4 q + j of the rows 4 i to 4 i + 3.
    for i in 0..4 {
        for j in 0..2 {
            b[4 * i + 2 * j] = _mm512_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
        }
    }
    for i in 0..2 {
        for j in 0..4 {
            a[8 * i + j] = _mm512_shuffle_i32x4::<0x88>(b[8 * i + j], b[8 * i + 4 + j]);
            a[8 * i + 4 + j] = _mm512_shuffle_i32x4::<0xdd>(b[8 * i + j], b[8 * i + 4 + j]);
        }
    }
    for j in 0..8 {
        b[j] = _mm512_shuffle_i32x4::<0x88>(a[j], a[8 + j]);
        b[8 + j] = _mm512_shuffle_i32x4::<0xdd>(a[j], a[8 + j]);
    }
    b
}
