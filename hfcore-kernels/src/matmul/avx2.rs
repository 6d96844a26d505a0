//! Matrix products with AVX2, FMA and F16C: eight lanes, sixteen registers.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::x86_64::*;

use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, passes, tails};
use super::scalar;

/// Bytes of a weight row in a step.
const STEP: usize = 32;
/// Bytes of each stream that are asked for early: what arrives while they are multiplied.
const AHEAD: usize = 1024;
/// Rows and columns of a tile: 12 of the 16 registers hold it.
const ROWS: usize = 6;
const COLUMNS: usize = 16;

pub(super) static KERNELS: Kernels = Kernels {
    f32: Dot {
        step: STEP / 4,
        split: false,
        passes: passes!(dot_f32: 1 x 8 2 x 4 3 x 3 4 x 3),
        most: 128,
    },
    f16: Dot {
        step: STEP / 2,
        split: false,
        passes: passes!(dot_f16: 1 x 8 2 x 4 3 x 3 4 x 3),
        most: 128,
    },
    bf16: Dot {
        step: STEP / 2,
        split: true,
        passes: passes!(dot_bf16: 1 x 8 2 x 4 3 x 3 4 x 3),
        most: 128,
    },
    tile: Tile {
        rows: ROWS,
        columns: COLUMNS,
        run: tile::<2>,
        narrow: tile::<1>,
        widen: [widen_f32::<ROWS>, widen_f16::<ROWS>, widen_bf16::<ROWS>],
        transpose,
    },
};

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

/// Ask for what comes [`AHEAD`] bytes after a step: the next row, where this one ends.
///
/// The processor's own prefetching stops at pages, at which rows often begin. It is enough where next to
/// nothing is done with what is read, and better then.
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

macro_rules! dot {
    ($name:ident, $step:ident, $part:ident: $parts:literal: $($index:literal)*) => {
        /// See [`Pass::run`].
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name<const R: usize, const M: usize>(rows: &[&[u8]], x: &[f32], out: &mut [f32]) {
            let rows: &[&[u8]; R] = rows.try_into().expect("as many rows as the table says");
            let steps = rows[0].len() / STEP;
            let mut weights = [[].as_slice(); R];
            for r in 0..R {
                weights[r] = &rows[r].as_chunks::<STEP>().0[..steps];
            }
            let x = x.as_chunks::<{ 8 * $parts }>().0.as_chunks::<M>().0;
            let (whole, last) = x.split_at(steps);
            let mut sums = [[_mm256_setzero_ps(); M]; R];
            for i in 0..steps {
                if M > 3 {
                    weights.iter().for_each(|row| prefetch(&row[i]));
                }
                $step(&mut sums, |r| &weights[r][i], &whole[i]);
            }
            if rows[0].len() % STEP != 0 {
                let tails = tails::<R, STEP>(rows, steps * STEP);
                $step(&mut sums, |r| &tails[r], &last[0]);
            }
            for r in 0..R {
                for m in 0..M {
                    out[r * M + m] = sum(sums[r][m]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $step<'a, const R: usize, const M: usize>(
            sums: &mut [[__m256; M]; R],
            weight: impl Fn(usize) -> &'a [u8; STEP],
            x: &[[f32; 8 * $parts]; M],
        ) {
            // Written out, so that the sums stay in registers.
            $({
                let mut w = [_mm256_setzero_ps(); R];
                for r in 0..R {
                    w[r] = $part::<$index>(weight(r));
                }
                for m in 0..M {
                    let x = load(&x[m].as_chunks::<8>().0[$index]);
                    for r in 0..R {
                        sums[r][m] = _mm256_fmadd_ps(w[r], x, sums[r][m]);
                    }
                }
            })*
        }
    };
}
dot!(dot_f32, step_f32, part_f32: 1: 0);
dot!(dot_f16, step_f16, part_f16: 2: 0 1);
dot!(dot_bf16, step_bf16, part_bf16: 2: 0 1);

/// See [`Tile::run`]; `V` vectors of columns.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const V: usize>(w: &[f32], x: &[f32], k: usize, tile: &mut [f32], add: bool) {
    let w = w.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0;
    let x = &x.as_chunks::<8>().0.as_chunks::<V>().0[..k];
    let mut sums = [[_mm256_setzero_ps(); V]; ROWS];
    let (groups, rest) = x.as_chunks::<GROUP>();
    for (w, x) in w.iter().zip(groups) {
        for i in 0..GROUP {
            rank_one(&mut sums, w, i, &x[i]);
        }
    }
    for (i, x) in rest.iter().enumerate() {
        rank_one(&mut sums, &w[groups.len()], i, x);
    }
    let tile = tile.as_chunks_mut::<8>().0.as_chunks_mut::<V>().0;
    for r in 0..ROWS {
        for v in 0..V {
            let before = if add {
                load(&tile[r][v])
            } else {
                _mm256_setzero_ps()
            };
            store(&mut tile[r][v], _mm256_add_ps(before, sums[r][v]));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn rank_one<const V: usize>(
    sums: &mut [[__m256; V]; ROWS],
    w: &[[f32; GROUP]; ROWS],
    i: usize,
    x: &[[f32; 8]; V],
) {
    let mut columns = [_mm256_setzero_ps(); V];
    for v in 0..V {
        columns[v] = load(&x[v]);
    }
    for r in 0..ROWS {
        let w = _mm256_set1_ps(w[r][i]);
        for v in 0..V {
            sums[r][v] = _mm256_fmadd_ps(w, columns[v], sums[r][v]);
        }
    }
}

/// See [`Tile::widen`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_f16<const ROWS: usize>(from: &[u8], to: &mut [[f32; GROUP]]) {
    let (groups, rest) = from.as_chunks::<{ 2 * GROUP }>();
    let mut to = to.iter_mut().step_by(ROWS);
    for (from, to) in groups.iter().zip(&mut to) {
        store(to, _mm256_cvtph_ps(load_half(from)));
    }
    if let (Some(to), false) = (to.next(), rest.is_empty()) {
        let [tail] = tails(&[rest], 0);
        store(to, _mm256_cvtph_ps(load_half(&tail)));
    }
}

/// See [`Tile::widen`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_f32<const ROWS: usize>(from: &[u8], to: &mut [[f32; GROUP]]) {
    scalar::widen_f32::<ROWS>(from, to);
}

/// See [`Tile::widen`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_bf16<const ROWS: usize>(from: &[u8], to: &mut [[f32; GROUP]]) {
    scalar::widen_bf16::<ROWS>(from, to);
}

/// See [`Tile::transpose`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn transpose(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
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
