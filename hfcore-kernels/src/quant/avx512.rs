//! Products with quantized matrices with AVX-512, on processors without VNNI.
//!
//! `vpmaddubsw` multiplies unsigned with signed bytes and adds pairs in sixteen bits, where large numbers
//! would be cut off. So int8 takes the magnitude of the weight and gives its sign to the activation: at most
//! 2 * 128 * 127 < 2¹⁵. Of int4, 15 * 127 * 2 is so small that eight products are added before they are
//! widened.

use std::arch::x86_64::*;

use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;
use super::x86::{prefetch, products};

pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 6 1 x 2 2 x 6 2 x 2 3 x 6 4 x 4 5 x 4 6 x 3 7 x 3 8 x 2 9 x 2 10 x 2),
    int4: passes!(int4: 1 x 4 1 x 2 2 x 4 2 x 2 3 x 4 4 x 3 5 x 4 6 x 3 7 x 2 8 x 2 9 x 1 10 x 1 11 x 1 12 x 1),
    peak: PEAK,
};

pub(super) type Sums = __m512i;
pub(super) type Totals = __m512;
type Half = __m512i;
type Part = __m512i;

/// A line's magnitudes, and which of its numbers are negative.
#[derive(Clone, Copy)]
struct Line8 {
    magnitudes: __m512i,
    negative: __mmask64,
}

/// Sums start from zero.
const OFFSET8: bool = false;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[u8; 64]) -> __m512i {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut [f32; 16], value: Totals) {
    // SAFETY: `to` is 64 writable bytes; `storeu` needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(value: i32) -> Sums {
    _mm512_set1_epi32(value)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn zero() -> Totals {
    _mm512_setzero_ps()
}

/// `f32(sums) * (scale * scales)`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn finish(sums: Sums, scale: f32, scales: &[u8; 64]) -> Totals {
    let scales = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_castsi512_ps(load(scales)));
    _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scales)
}

/// `fma(f32(sums), scale * scales, totals)`.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) fn fold(totals: Totals, sums: Sums, scale: f32, scales: &[u8; 32]) -> Totals {
    // SAFETY: `scales` is 32 readable bytes; `loadu` needs no alignment.
    let scales = unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) };
    let scales = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(scales)));
    let scales = _mm512_mul_ps(_mm512_set1_ps(scale), scales);
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scales, totals)
}

/// The lower and the upper halves of the bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn halves(line: &[u8; 64]) -> [__m512i; 2] {
    let (line, mask) = (load(line), _mm512_set1_epi8(15));
    [
        _mm512_and_si512(line, mask),
        _mm512_and_si512(_mm512_srli_epi16::<4>(line), mask),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn line8(line: &[u8; 64]) -> Line8 {
    let line = load(line);
    Line8 {
        magnitudes: _mm512_abs_epi8(line),
        negative: _mm512_movepi8_mask(line),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot8(sums: Sums, line: &Line8, word: i32) -> Sums {
    let x = _mm512_set1_epi32(word);
    let x = _mm512_mask_sub_epi8(x, line.negative, _mm512_setzero_si512(), x);
    let pairs = _mm512_maddubs_epi16(line.magnitudes, x);
    _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn begin(_: Sums) -> Part {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot4(part: Part, half: &Half, word: i32) -> Part {
    _mm512_add_epi16(part, _mm512_maddubs_epi16(*half, _mm512_set1_epi32(word)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn end(sums: Sums, part: Part) -> Sums {
    _mm512_add_epi32(sums, _mm512_madd_epi16(part, _mm512_set1_epi16(1)))
}

products!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", 12);
