//! Matrix products with AVX-512: sixteen lanes, thirty-two registers.
//!
//! Everything but the loads and stores is safe; those take arrays, so that they cannot miss.

use std::arch::x86_64::*;

use super::avx2::{self, prefetch};
use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, passes, tails};

/// Bytes of a weight row in a step.
const STEP: usize = 64;
/// Rows and columns of a tile: 24 of the 32 registers hold it.
const ROWS: usize = 12;
const COLUMNS: usize = 32;

pub(super) static KERNELS: Kernels = Kernels {
    f32: Dot {
        step: STEP / 4,
        split: false,
        passes: passes!(dot_f32: 1 x 8 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
        most: 128,
    },
    f16: Dot {
        step: STEP / 2,
        split: false,
        passes: passes!(dot_f16: 1 x 8 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
        most: 128,
    },
    bf16: Dot {
        step: STEP / 2,
        split: true,
        passes: passes!(dot_bf16: 1 x 8 2 x 8 3 x 6 4 x 4 5 x 4 6 x 4 7 x 3 8 x 3),
        most: 128,
    },
    tile: Tile {
        rows: ROWS,
        columns: COLUMNS,
        run: tile::<2>,
        narrow: tile::<1>,
        widen: [
            avx2::widen_f32::<ROWS>,
            avx2::widen_f16::<ROWS>,
            avx2::widen_bf16::<ROWS>,
        ],
        transpose: avx2::transpose,
    },
};

#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[f32; 16]) -> __m512 {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_bytes(from: &[u8; 64]) -> __m512i {
    // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [f32; 16], value: __m512) {
    // SAFETY: `to` is 64 writable bytes; `storeu` needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
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

macro_rules! dot {
    ($name:ident, $step:ident, $part:ident: $parts:literal: $($index:literal)*) => {
        /// See [`Pass::run`].
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn $name<const R: usize, const M: usize>(rows: &[&[u8]], x: &[f32], out: &mut [f32]) {
            let rows: &[&[u8]; R] = rows.try_into().expect("as many rows as the table says");
            let steps = rows[0].len() / STEP;
            let mut weights = [[].as_slice(); R];
            for r in 0..R {
                weights[r] = &rows[r].as_chunks::<STEP>().0[..steps];
            }
            let x = x.as_chunks::<{ 16 * $parts }>().0.as_chunks::<M>().0;
            let (whole, last) = x.split_at(steps);
            let mut sums = [[_mm512_setzero_ps(); M]; R];
            for i in 0..steps {
                if M > 4 {
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
                    out[r * M + m] = _mm512_reduce_add_ps(sums[r][m]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn $step<'a, const R: usize, const M: usize>(
            sums: &mut [[__m512; M]; R],
            weight: impl Fn(usize) -> &'a [u8; STEP],
            x: &[[f32; 16 * $parts]; M],
        ) {
            // Written out, so that the sums stay in registers.
            $({
                let mut w = [_mm512_setzero_ps(); R];
                for r in 0..R {
                    w[r] = $part::<$index>(weight(r));
                }
                for m in 0..M {
                    let x = load(&x[m].as_chunks::<16>().0[$index]);
                    for r in 0..R {
                        sums[r][m] = _mm512_fmadd_ps(w[r], x, sums[r][m]);
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn tile<const V: usize>(w: &[f32], x: &[f32], k: usize, tile: &mut [f32], add: bool) {
    let w = w.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0;
    let x = &x.as_chunks::<16>().0.as_chunks::<V>().0[..k];
    let mut sums = [[_mm512_setzero_ps(); V]; ROWS];
    let (groups, rest) = x.as_chunks::<GROUP>();
    for (w, x) in w.iter().zip(groups) {
        for i in 0..GROUP {
            rank_one(&mut sums, w, i, &x[i]);
        }
    }
    for (i, x) in rest.iter().enumerate() {
        rank_one(&mut sums, &w[groups.len()], i, x);
    }
    let tile = tile.as_chunks_mut::<16>().0.as_chunks_mut::<V>().0;
    for r in 0..ROWS {
        for v in 0..V {
            let before = if add {
                load(&tile[r][v])
            } else {
                _mm512_setzero_ps()
            };
            store(&mut tile[r][v], _mm512_add_ps(before, sums[r][v]));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn rank_one<const V: usize>(
    sums: &mut [[__m512; V]; ROWS],
    w: &[[f32; GROUP]; ROWS],
    i: usize,
    x: &[[f32; 16]; V],
) {
    let mut columns = [_mm512_setzero_ps(); V];
    for v in 0..V {
        columns[v] = load(&x[v]);
    }
    for r in 0..ROWS {
        let w = _mm512_set1_ps(w[r][i]);
        for v in 0..V {
            sums[r][v] = _mm512_fmadd_ps(w, columns[v], sums[r][v]);
        }
    }
}
