//! Products with quantized matrices with AVX2: sixteen outputs are two vectors.
//!
//! How sums of bytes stay exact without VNNI is told in [`avx512`](super::avx512).

use std::arch::x86_64::*;

use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;
use super::x86::{prefetch, products};

pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 4 1 x 2 2 x 2 3 x 1 4 x 1),
    int4: passes!(int4: 1 x 4 1 x 2 2 x 2 3 x 1 4 x 1),
    peak: PEAK,
};

pub(super) type Sums = [__m256i; 2];
pub(super) type Totals = [__m256; 2];
type Half = [__m256i; 2];
type Part = [__m256i; 2];
/// A line as it is.
type Line8 = [__m256i; 2];

/// Sums start from zero.
const OFFSET8: bool = false;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(from: &[u8; 64]) -> [__m256i; 2] {
    let halves = from.as_chunks::<32>().0;
    [load_half(&halves[0]), load_half(&halves[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(from: &[u8; 32]) -> __m256i {
    // SAFETY: `from` is 32 readable bytes; `loadu` needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(to: &mut [f32; 16], value: Totals) {
    for (to, value) in to.as_chunks_mut::<8>().0.iter_mut().zip(value) {
        // SAFETY: `to` is 32 writable bytes; `storeu` needs no alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(value: i32) -> Sums {
    [_mm256_set1_epi32(value); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn zero() -> Totals {
    [_mm256_setzero_ps(); 2]
}

/// `f32(sums) * (scale * scales)`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn finish(sums: Sums, scale: f32, scales: &[u8; 64]) -> Totals {
    let (scale, scales, mut totals) = (_mm256_set1_ps(scale), load(scales), zero());
    for h in 0..2 {
        let scales = _mm256_mul_ps(scale, _mm256_castsi256_ps(scales[h]));
        totals[h] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[h]), scales);
    }
    totals
}

/// `fma(f32(sums), scale * scales, totals)`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn fold(mut totals: Totals, sums: Sums, scale: f32, scales: &[u8; 32]) -> Totals {
    let (scale, scales) = (_mm256_set1_ps(scale), load_half(scales));
    let scales = [
        _mm256_castsi256_si128(scales),
        _mm256_extracti128_si256::<1>(scales),
    ];
    for h in 0..2 {
        let scales = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(scales[h]));
        let scales = _mm256_mul_ps(scale, _mm256_castsi256_ps(scales));
        totals[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[h]), scales, totals[h]);
    }
    totals
}

/// The lower and the upper halves of the bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn halves(line: &[u8; 64]) -> [[__m256i; 2]; 2] {
    let ([a, b], mask) = (load(line), _mm256_set1_epi8(15));
    let high = |v| _mm256_and_si256(_mm256_srli_epi16::<4>(v), mask);
    [
        [_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)],
        [high(a), high(b)],
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn line8(line: &[u8; 64]) -> Line8 {
    load(line)
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot8(mut sums: Sums, line: &Line8, word: i32) -> Sums {
    let x = _mm256_set1_epi32(word);
    for h in 0..2 {
        let x = _mm256_sign_epi8(x, line[h]);
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(line[h]), x);
        sums[h] = _mm256_add_epi32(sums[h], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn begin(_: Sums) -> Part {
    [_mm256_setzero_si256(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot4(mut part: Part, half: &Half, word: i32) -> Part {
    let x = _mm256_set1_epi32(word);
    for h in 0..2 {
        part[h] = _mm256_add_epi16(part[h], _mm256_maddubs_epi16(half[h], x));
    }
    part
}

#[inline]
#[target_feature(enable = "avx2")]
fn end(mut sums: Sums, part: Part) -> Sums {
    for h in 0..2 {
        let part = _mm256_madd_epi16(part[h], _mm256_set1_epi16(1));
        sums[h] = _mm256_add_epi32(sums[h], part);
    }
    sums
}

products!("avx2,fma,f16c", 6);
