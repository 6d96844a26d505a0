//! Products with quantized matrices with AVX-512 and VNNI.
//!
//! `vpdpbusd` adds four products of unsigned with signed bytes, exactly. The weight is the unsigned side, with
//! 128 added to int8 (one `xor` a line), and sums start with what that adds, its sign turned; the other side
//! is four inputs of a row, spread from memory.

use std::arch::x86_64::*;

use super::avx512::{Sums, Totals, finish, fold, halves, load, splat, store, zero};
use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;
use super::x86::{prefetch, products};

pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 6 1 x 2 2 x 6 2 x 2 3 x 6 4 x 6 5 x 4 6 x 4 7 x 3 8 x 3 9 x 2 10 x 2 11 x 2 12 x 2),
    int4: passes!(int4: 1 x 4 1 x 2 2 x 4 2 x 2 3 x 4 4 x 3 5 x 4 6 x 3 7 x 2 8 x 2 9 x 1 10 x 1 11 x 1 12 x 1),
    peak: PEAK,
};

type Line8 = __m512i;
type Half = __m512i;
type Part = __m512i;

/// Sums start with the tile's offsets.
const OFFSET8: bool = true;

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn line8(line: &[u8; 64]) -> Line8 {
    _mm512_xor_si512(load(line), _mm512_set1_epi8(-128))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot8(sums: Sums, line: &Line8, word: i32) -> Sums {
    _mm512_dpbusd_epi32(sums, *line, _mm512_set1_epi32(word))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn begin(sums: Sums) -> Part {
    sums
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot4(part: Part, half: &Half, word: i32) -> Part {
    _mm512_dpbusd_epi32(part, *half, _mm512_set1_epi32(word))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn end(_: Sums, part: Part) -> Sums {
    part
}

products!(
    "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c",
    12
);
