//! Matrix products with AVX512-BF16: `vdpbf16ps` multiplies pairs of `bf16` and adds both to an `f32`.
//!
//! The weight is copied as it is, as pairs of inputs; activations are rounded to `bf16` and transposed
//! pair by pair. A vector is then 16 pairs of 16 rows of activations, multiplied by one pair of the
//! weight:
//!
//! ```text
//!   weight w, a row             k0 k1 | k2 k3 | ..               a word each
//!   panel of activations        x0: k0 k1 | x1: k0 k1 | .. x31   a vector of 16 words, twice
//!                               x0: k2 k3 | x1: k2 k3 | ..
//!   sums[w][x]  +=  w(k0) * x(k0) + w(k1) * x(k1)
//! ```
//!
//! Of fewer rows than 49, the weight is read where it lies and nothing is transposed: a vector is 16 pairs of
//! one row, of the weight and of activations. Of fewer than 5, reading takes longer than multiplying without
//! any rounding.
//!
//! The instruction rounds to nearest even, takes denormal numbers for zero and flushes results that
//! would be, whatever the processor's mode. On Zen 4 it is as fast as a fused multiplication and
//! addition, which does half of the work; on Sapphire Rapids it is slower than that and AMX is used.
//!
//! On an AMD EPYC with Zen 4, prompts of 512 reach 83 to 90 % of [`bf16_rate`](crate::probe::bf16_rate):
//! `HFCORE_THREADS=1 cargo bench -p hfcore-kernels --bench linear -- bf16 m=512`.

use std::arch::x86_64::*;

use super::avx2::prefetch;
use super::avx512::{self, add, load, load_bytes, load_some, splat, store, sum, transposed, zero};
use super::kernels::{Dot, Kernels, Pass, Rounded, Tile, passes, tails};
use super::vectors;

pub(super) static KERNELS: Kernels = Kernels {
    dots: avx512::DOTS,
    rounded: [None, None, Some(DOT)],
    strict: avx512::STRICT,
    high: [None, None, None],
    fast: [None, None, Some(PAIRS)],
};

/// Rows of the weight where they lie, for a few rows of activations: words are multiplied as they follow
/// each other.
const DOT: Rounded = Rounded {
    dot: Dot {
        step: GROUP,
        split: false,
        passes: passes!(dot_pairs: 1 x 8 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
    },
    rows: 5,
    words: |inputs| inputs.div_ceil(2 * GROUP) * GROUP,
    round: round_row,
};

const PAIRS: Tile = Tile {
    rows: ROWS,
    columns: 32,
    step: 2 * GROUP,
    words: GROUP,
    group: GROUP,
    piece: 1024,
    block: 48,
    few: 48,
    widen: copy::<ROWS>,
    arrange,
    run: tile::<2>,
    narrow: tile::<1>,
    transpose: avx512::transpose,
};

/// Words of a weight row that lie side by side: a cache line.
const GROUP: usize = 16;
/// Rows of a weight in a tile, of which 2 vectors each fill 24 of the 32 registers.
const ROWS: usize = 12;

vectors::tile!(
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    __m512, 16 lanes, multiply_add
);

/// Bytes of a weight row in a step.
const STEP: usize = 4 * GROUP;

vectors::dot!(
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    __m512, 16, 4, dot_pairs, step_pairs, part_pairs: 1: 0
);

/// The words of a step of a weight.
#[inline]
#[target_feature(enable = "avx512f")]
fn part_pairs<const PART: usize>(step: &[u8; STEP]) -> __m512 {
    _mm512_castsi512_ps(load_bytes(step))
}

/// See [`Rounded::round`].
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn round_row(from: &[f32], to: &mut [f32]) {
    for (from, to) in from.chunks(2 * GROUP).zip(to.as_chunks_mut().0) {
        store(to, _mm512_castsi512_ps(round(from)));
    }
}

/// Sixteen words as pairs of `bf16`.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(words: __m512) -> __m512bh {
    // SAFETY: both are 512 bits, and any bits are numbers.
    #[allow(clippy::disallowed_methods, reason = "there is no cast to this type")]
    unsafe {
        std::mem::transmute(words)
    }
}

/// `c + a.0 * b.0 + a.1 * b.1` for pairs in the words of `a` and `b`.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f")]
pub(crate) fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
    _mm512_dpbf16_ps(c, pairs(a), pairs(b))
}

/// Sixteen pairs, rounded, of up to 32 numbers; zeros after them.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl")]
pub(crate) fn round(from: &[f32]) -> __m512i {
    let mut parts = [zero(); 2];
    if let Some(whole) = from.first_chunk::<32>() {
        let halves = whole.as_chunks::<16>().0;
        parts = [load(&halves[0]), load(&halves[1])];
    } else {
        for (part, from) in parts.iter_mut().zip(from.chunks(16)) {
            *part = load_some(from);
        }
    }
    let rounded = _mm512_cvtne2ps_pbh(parts[1], parts[0]);
    // SAFETY: both are 512 bits, and any bits are numbers.
    #[allow(clippy::disallowed_methods, reason = "there is no cast to this type")]
    unsafe {
        std::mem::transmute(rounded)
    }
}

/// See [`Tile::widen`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn copy<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
    let (groups, rest) = from.as_chunks::<{ 4 * GROUP }>();
    let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
    for (from, to) in groups.iter().zip(&mut to) {
        store(to, _mm512_castsi512_ps(load_bytes(from)));
    }
    if let (Some(to), false) = (to.next(), rest.is_empty()) {
        let [tail] = tails(&[rest], 0);
        store(to, _mm512_castsi512_ps(load_bytes(&tail)));
    }
}

/// Inputs that are rounded before they are transposed: rows are read far enough for the processor to
/// see where that goes.
const STRETCH: usize = 512;

/// See [`Tile::arrange`].
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn arrange(
    x: &[f32],
    stride: usize,
    [rows, inputs]: [usize; 2],
    to: &mut [f32],
    width: usize,
) {
    // [inputs / 32, 16 rows, 16 words]
    let mut rounded = [[_mm512_setzero_si512(); 16]; STRETCH / 32];
    for first in (0..width).step_by(16) {
        for start in (0..inputs).step_by(STRETCH) {
            let length = STRETCH.min(inputs - start);
            for r in 0..16 {
                let words = rounded.iter_mut().map(|words| &mut words[r]);
                if first + r < rows {
                    let row = &x[(first + r) * stride + start..][..length];
                    words
                        .zip(row.chunks(32))
                        .for_each(|(words, from)| *words = round(from));
                } else {
                    words.for_each(|words| *words = _mm512_setzero_si512());
                }
            }
            let to = &mut to[start / 2 * width..];
            for (words, to) in rounded.iter().zip(to.chunks_mut(16 * width)) {
                for (words, to) in transposed(*words)
                    .into_iter()
                    .zip(to.chunks_exact_mut(width))
                {
                    let to = to[first..]
                        .first_chunk_mut()
                        .expect("widths are of vectors");
                    store(to, _mm512_castsi512_ps(words));
                }
            }
        }
    }
}
