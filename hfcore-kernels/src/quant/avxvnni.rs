//! Products with quantized matrices with AVX-VNNI: [`avx512vnni`](super::avx512vnni) with two vectors for
//! sixteen outputs.

use std::arch::x86_64::*;

use super::avx2::{Sums, Totals, finish, fold, halves, load, splat, store, zero};
use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;
use super::x86::{prefetch, products};

pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 4 1 x 2 2 x 2 3 x 2 4 x 1 5 x 1 6 x 1),
    int4: passes!(int4: 1 x 4 1 x 2 2 x 2 3 x 1 4 x 1),
    peak: PEAK,
};

type Line8 = [__m256i; 2];
type Half = [__m256i; 2];
type Part = [__m256i; 2];

/// Sums start with the tile's offsets.
const OFFSET8: bool = true;

#[inline]
#[target_feature(enable = "avx2")]
fn line8(line: &[u8; 64]) -> Line8 {
    let ([a, b], sign) = (load(line), _mm256_set1_epi8(-128));
    [_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign)]
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot8(sums: Sums, line: &Line8, word: i32) -> Sums {
    let x = _mm256_set1_epi32(word);
    [
        _mm256_dpbusd_avx_epi32(sums[0], line[0], x),
        _mm256_dpbusd_avx_epi32(sums[1], line[1], x),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn begin(sums: Sums) -> Part {
    sums
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot4(part: Part, half: &Half, word: i32) -> Part {
    dot8(part, half, word)
}

#[inline]
#[target_feature(enable = "avx2")]
fn end(_: Sums, part: Part) -> Sums {
    part
}

products!("avxvnni,avx2,fma,f16c", 6);
