//! Matrix products in plain Rust: loops over lanes, which the compiler turns into whatever vectors
//! the target always has (SSE2, NEON).

use super::kernels::{Dot, GROUP, Kernels, Pass, Tile, WidenFn, passes, tails};

/// Bytes of a weight row in a step.
const STEP: usize = 32;
/// Rows and columns of a tile, for registers of four lanes: sixteen of them, or thirty-two.
const ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
const COLUMNS: usize = 8;

pub(super) static KERNELS: Kernels = Kernels {
    dots: [
        Dot {
            step: STEP / 4,
            split: false,
            passes: passes!(dot_f32: 1 x 8 2 x 4 3 x 2 4 x 2),
        },
        Dot {
            step: STEP / 2,
            split: false,
            passes: passes!(dot_f16: 1 x 8 2 x 4 3 x 2 4 x 2),
        },
        Dot {
            step: STEP / 2,
            split: true,
            passes: passes!(dot_bf16: 1 x 8 2 x 4 3 x 2 4 x 2),
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

const fn strict(widen: WidenFn) -> Tile {
    Tile {
        rows: ROWS,
        columns: COLUMNS,
        step: GROUP,
        words: GROUP,
        group: GROUP,
        piece: 256,
        block: 48,
        few: 8,
        widen,
        arrange,
        run: tile::<COLUMNS>,
        narrow: tile::<{ COLUMNS / 2 }>,
        transpose,
    }
}

/// `a * b + c`, rounded once where the target always has the instruction: elsewhere `mul_add` is a
/// slow function call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// An `f16`, widened exactly, without a branch: its exponent is 112 less than that of an `f32`.
#[inline(always)]
fn from_f16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    // Infinities and NaNs are those with all bits of the exponent set.
    let special = if bits & 0x7c00 == 0x7c00 {
        0x7f80_0000
    } else {
        0
    };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

/// The eight numbers of a step of `f32`.
#[inline(always)]
fn part_f32(step: &[u8; STEP], _: usize) -> [f32; 8] {
    let mut part = [0.0; 8];
    for (to, from) in part.iter_mut().zip(step.as_chunks::<4>().0) {
        *to = f32::from_le_bytes(*from);
    }
    part
}

/// The lower or upper half of a step of `f16`, widened.
#[inline(always)]
fn part_f16(step: &[u8; STEP], half: usize) -> [f32; 8] {
    let mut part = [0.0; 8];
    for (to, from) in part
        .iter_mut()
        .zip(step.as_chunks::<16>().0[half].as_chunks::<2>().0)
    {
        *to = from_f16(u16::from_le_bytes(*from));
    }
    part
}

/// The numbers with an even or odd place in a step of `bf16`, widened: they are the upper halves.
#[inline(always)]
fn part_bf16(step: &[u8; STEP], odd: usize) -> [f32; 8] {
    let mut part = [0.0; 8];
    for (to, from) in part.iter_mut().zip(step.as_chunks::<4>().0) {
        let pair = u32::from_le_bytes(*from);
        *to = f32::from_bits(if odd == 0 {
            pair << 16
        } else {
            pair & 0xffff_0000
        });
    }
    part
}

macro_rules! dot {
    ($name:ident, $parts:literal, $part:ident) => {
        /// See [`Pass::run`].
        fn $name<const R: usize, const M: usize>(rows: &[&[u8]], x: &[f32], out: &mut [f32]) {
            let rows: &[&[u8]; R] = rows.try_into().expect("as many rows as the table says");
            let steps = rows[0].len() / STEP;
            let mut weights = [[].as_slice(); R];
            for r in 0..R {
                weights[r] = &rows[r].as_chunks::<STEP>().0[..steps];
            }
            let x = x.as_chunks::<{ 8 * $parts }>().0.as_chunks::<M>().0;
            let (whole, last) = x.split_at(steps);
            let mut sums = [[[0.0; 8]; M]; R];
            let mut step = |weights: [&[u8; STEP]; R], x: &[[f32; 8 * $parts]; M]| {
                for part in 0..$parts {
                    for r in 0..R {
                        let w = $part(weights[r], part);
                        for m in 0..M {
                            let x = &x[m].as_chunks::<8>().0[part];
                            for lane in 0..8 {
                                sums[r][m][lane] = multiply_add(w[lane], x[lane], sums[r][m][lane]);
                            }
                        }
                    }
                }
            };
            for i in 0..steps {
                step(weights.map(|row| &row[i]), &whole[i]);
            }
            if rows[0].len() % STEP != 0 {
                step(tails::<R, STEP>(rows, steps * STEP).each_ref(), &last[0]);
            }
            for r in 0..R {
                for m in 0..M {
                    out[r * M + m] = sums[r][m].iter().sum();
                }
            }
        }
    };
}
dot!(dot_f32, 1, part_f32);
dot!(dot_f16, 2, part_f16);
dot!(dot_bf16, 2, part_bf16);

/// See [`Tile::run`]; `C` columns.
fn tile<const C: usize>(w: &[f32], x: &[f32], steps: usize, tile: &mut [f32], add: bool) {
    let w = &w.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0[..steps];
    let x = &x.as_chunks::<C>().0.as_chunks::<GROUP>().0[..steps];
    let mut sums = [[0.0; C]; ROWS];
    for (w, x) in w.iter().zip(x) {
        for i in 0..GROUP {
            rank_one(&mut sums, w, i, &x[i]);
        }
    }
    for (tile, sums) in tile.as_chunks_mut::<C>().0.iter_mut().zip(&sums) {
        for c in 0..C {
            tile[c] = if add { tile[c] + sums[c] } else { sums[c] };
        }
    }
}

#[inline(always)]
fn rank_one<const C: usize>(
    sums: &mut [[f32; C]; ROWS],
    w: &[[f32; GROUP]; ROWS],
    i: usize,
    x: &[f32; C],
) {
    for r in 0..ROWS {
        for c in 0..C {
            sums[r][c] = multiply_add(w[r][i], x[c], sums[r][c]);
        }
    }
}

macro_rules! widen {
    ($name:ident, $size:literal, $number:expr) => {
        /// See [`Tile::widen`], in groups of eight.
        #[inline(always)]
        pub(super) fn $name<const ROWS: usize>(from: &[u8], to: &mut [f32]) {
            let (groups, rest) = from.as_chunks::<{ $size * GROUP }>();
            let mut to = to.as_chunks_mut::<GROUP>().0.iter_mut().step_by(ROWS);
            for (from, to) in groups.iter().zip(&mut to) {
                for (from, to) in from.as_chunks::<$size>().0.iter().zip(to) {
                    *to = $number(*from);
                }
            }
            if let (Some(to), false) = (to.next(), rest.is_empty()) {
                to.fill(0.0);
                for (from, to) in rest.as_chunks::<$size>().0.iter().zip(to) {
                    *to = $number(*from);
                }
            }
        }
    };
}
widen!(widen_f32, 4, f32::from_le_bytes);
widen!(widen_f16, 2, |bytes| from_f16(u16::from_le_bytes(bytes)));
widen!(widen_bf16, 2, |bytes| f32::from_bits(
    u32::from(u16::from_le_bytes(bytes)) << 16
));

/// See [`Tile::arrange`].
fn arrange(x: &[f32], stride: usize, [rows, inputs]: [usize; 2], to: &mut [f32], width: usize) {
    to.fill(0.0);
    transpose(x, stride, [rows, inputs], to, width);
}

/// See [`Tile::transpose`].
fn transpose(
    from: &[f32],
    from_stride: usize,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
    to_stride: usize,
) {
    for i in 0..rows {
        for j in 0..columns {
            to[j * to_stride + i] = from[i * from_stride + j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let want = half::f16::from_bits(bits).to_f32();
            let found = from_f16(bits);
            assert!(
                found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan()),
                "{bits:#06x}"
            );
        }
    }
}
