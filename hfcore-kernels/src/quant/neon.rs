//! Products with quantized matrices with NEON, with `dotprod` and with `i8mm`.
//!
//! A quarter of a line is four inputs of four outputs, or eight, of which half are in the lower and half in
//! the upper four bits. What becomes of it and of one row's words:
//!
//! ```text
//! dotprod  sdot    [o0 o1 o2 o3]  +=  o0: q0 q1 q2 q3 | .. | o3: ..   times  x0 x1 x2 x3, one lane of four
//! i8mm     smmla   [r0 r1][o0 o1] +=  r0: x0 .. x7 | r1: ..           times  o0: q0 .. q7 | o1: ..
//!                  of the quarters of two lines, or the halves of one, zipped
//! neon     smull   o0: x0 q0 | x1 q1 | x2 q2 | x3 q3 | o1: ..         in 16 bits, with more lines added
//!          sadalp  [o0 o0 o1 o1]  +=  x0 q0 + x1 q1 | x2 q2 + x3 q3 | ..
//! ```
//!
//! int4: bytes are multiplied as they are, 0 to 15. The sums of a group start with what that is too much.

use std::arch::aarch64::*;

use super::format::LINE;
use super::kernels::{Kernels, Pass, Peak, Tile};
use super::quantized::Panel;
use crate::neon::{
    dot_bytes, load, load_bytes, load_words, multiply_bytes, store, widen_bf16_high, widen_bf16_low,
};

/// A table's passes: words that lie side by side, the kernel, then `rows x panels` of each.
macro_rules! passes {
    ($step:literal, $kernel:ident: $($rows:literal x $panels:literal)*) => {
        &[$(Pass { rows: $rows, panels: $panels, step: $step, tiles: false, run: $kernel::<$rows, $panels> }),*]
    };
}

/// Sixteen-bit products; two lines at a time.
pub(super) static PLAIN: Kernels = Kernels {
    int8: passes!(2, int8_plain: 1 x 2 1 x 1 2 x 1 3 x 1),
    int4: passes!(2, int4_plain: 1 x 8 1 x 1 2 x 4 2 x 1 4 x 2 4 x 1),
    peak: Peak {
        products: CHAINS * 8,
        run: peak_plain,
    },
};

/// 16 to 24 of the 32 registers have sums.
pub(super) static DOTPROD: Kernels = Kernels {
    int8: passes!(4, int8_dot: 1 x 4 1 x 1 2 x 3 2 x 1 3 x 2 3 x 1 4 x 1 5 x 1 6 x 1),
    int4: passes!(4, int4_dot: 1 x 8 1 x 1 2 x 4 2 x 1 3 x 2 3 x 1 4 x 2 4 x 1 5 x 1),
    peak: Peak {
        products: CHAINS * 16,
        run: peak_dot,
    },
};

/// 8 to 20 of the registers have sums, of two rows each: with more, the compiler copies them around. With
/// many rows half of a panel at a time, which is zipped once for all of them.
pub(super) static I8MM: Kernels = Kernels {
    int8: &[
        DOTPROD.int8[0],
        DOTPROD.int8[1],
        matrix(2, 2, int8_matrix::<1, 2, 4>),
        matrix(2, 1, int8_matrix::<1, 1, 4>),
        matrix(4, 1, int8_matrix::<2, 1, 4>),
        matrix(6, 1, int8_matrix::<3, 1, 2>),
        matrix(8, 1, int8_matrix::<4, 1, 2>),
        matrix(10, 1, int8_matrix::<5, 1, 2>),
    ],
    int4: &[
        DOTPROD.int4[0],
        DOTPROD.int4[1],
        matrix(2, 4, int4_matrix::<1, 4, 4>),
        matrix(2, 1, int4_matrix::<1, 1, 4>),
        matrix(4, 2, int4_matrix::<2, 2, 4>),
        matrix(4, 1, int4_matrix::<2, 1, 4>),
        matrix(6, 1, int4_matrix::<3, 1, 2>),
        matrix(8, 1, int4_matrix::<4, 1, 2>),
        matrix(10, 1, int4_matrix::<5, 1, 2>),
    ],
    peak: Peak {
        products: CHAINS * 32,
        run: peak_matrix,
    },
};

const fn matrix(
    rows: usize,
    panels: usize,
    run: unsafe fn(&[Panel<'_>], &Tile<'_>, &mut [[f32; 16]]),
) -> Pass {
    Pass {
        rows,
        panels,
        step: 2,
        tiles: false,
        run,
    }
}

/// Sums that are added to independently.
const CHAINS: usize = 12;

macro_rules! peak {
    ($name:ident, $features:literal, $multiply:expr) => {
        /// See [`Peak::run`].
        #[target_feature(enable = $features)]
        fn $name(rounds: usize, word: i32) -> f32 {
            let mut factors = [vdupq_n_s8(1); CHAINS];
            for (factor, byte) in factors
                .iter_mut()
                .zip(word.to_le_bytes()[0].cast_signed()..)
            {
                *factor = vdupq_n_s8(byte);
            }
            let mut sums = [vdupq_n_s32(word); CHAINS];
            for round in 0..rounds {
                let x = vdupq_n_s8(round.to_le_bytes()[0].cast_signed());
                for c in 0..CHAINS {
                    sums[c] = $multiply(sums[c], factors[c], x);
                }
            }
            let mut total = 0.0;
            for sum in sums {
                total += vgetq_lane_f32::<0>(vcvtq_f32_s32(sum));
            }
            total
        }
    };
}
peak!(peak_plain, "neon", |sum, a: int8x16_t, b: int8x16_t| {
    vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)))
});
peak!(peak_dot, "neon,dotprod", |sum, a, b| dot_bytes::<0>(
    sum, a, b
));
peak!(
    peak_matrix,
    "neon,i8mm,dotprod",
    |sum, a, b| multiply_bytes(sum, a, b)
);

/// A line: its quarters.
type Line = [[u8; 16]; 4];

/// The lines of a panel.
#[inline]
fn lines<'a>(panel: &Panel<'a>) -> &'a [Line] {
    panel.values.as_chunks::<{ LINE / 4 }>().0.as_chunks().0
}

#[inline]
#[target_feature(enable = "neon")]
fn load_signed(quarter: &[u8; 16]) -> int8x16_t {
    vreinterpretq_s8_u8(load_bytes(quarter))
}

/// The lower and the upper four bits of a quarter of a line: 0 to 15.
#[inline]
#[target_feature(enable = "neon")]
fn load_halves(quarter: &[u8; 16]) -> [int8x16_t; 2] {
    let both = load_bytes(quarter);
    let lower = vandq_u8(both, vdupq_n_u8(15));
    [lower, vshrq_n_u8::<4>(both)].map(|half| vreinterpretq_s8_u8(half))
}

/// int8: four outputs of a row, from quarter `q` of the panel's on.
#[inline]
#[target_feature(enable = "neon")]
fn write_int8(panel: &Panel<'_>, scale: f32, q: usize, sum: int32x4_t, out: &mut [f32; 16]) {
    let scales = vreinterpretq_f32_u8(load_bytes(&panel.scales.as_chunks().0[q]));
    let scales = vmulq_f32(vdupq_n_f32(scale), scales);
    store(
        &mut out.as_chunks_mut().0[q],
        vmulq_f32(vcvtq_f32_s32(sum), scales),
    );
}

/// int4: what group `g` adds to four outputs of a row.
#[inline]
#[target_feature(enable = "neon")]
fn add_int4(
    panel: &Panel<'_>,
    g: usize,
    scale: f32,
    q: usize,
    sum: int32x4_t,
    out: &mut [f32; 16],
) {
    let eight = load_bytes(&panel.scales.as_chunks().0[2 * g + q / 2]);
    let scales = if q.is_multiple_of(2) {
        widen_bf16_low(eight)
    } else {
        widen_bf16_high(eight)
    };
    let scales = vmulq_f32(vdupq_n_f32(scale), scales);
    let out = &mut out.as_chunks_mut().0[q];
    store(out, vfmaq_f32(load(out), vcvtq_f32_s32(sum), scales));
}

/// See [`Pass::run`].
#[target_feature(enable = "neon,dotprod")]
fn int8_dot<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let words = tile.words.as_chunks::<4>().0.as_chunks::<R>().0;
    let lines = panels.map(|panel| &lines(&panel).as_chunks::<4>().0[..words.len()]);
    let mut sums = [[[vdupq_n_s32(0); 4]; R]; P];
    for (i, words) in words.iter().enumerate() {
        let mut x = [vdupq_n_s8(0); R];
        for r in 0..R {
            x[r] = load_words(&words[r]);
        }
        // One loop of the panels for each line: longer loops are not unrolled, and keep sums in memory.
        add_line::<0, R, P>(&mut sums, |p| &lines[p][i][0], &x);
        add_line::<1, R, P>(&mut sums, |p| &lines[p][i][1], &x);
        add_line::<2, R, P>(&mut sums, |p| &lines[p][i][2], &x);
        add_line::<3, R, P>(&mut sums, |p| &lines[p][i][3], &x);
    }
    for (p, out) in out.as_chunks_mut::<R>().0.iter_mut().take(P).enumerate() {
        for r in 0..R {
            for q in 0..4 {
                write_int8(&panels[p], tile.scales[r], q, sums[p][r][q], &mut out[r]);
            }
        }
    }
}

/// A line of each panel times one word of each row.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_line<'a, const LANE: usize, const R: usize, const P: usize>(
    sums: &mut [[[int32x4_t; 4]; R]; P],
    line: impl Fn(usize) -> &'a Line,
    x: &[int8x16_t; R],
) {
    for p in 0..P {
        for q in 0..4 {
            let line = load_signed(&line(p)[q]);
            for r in 0..R {
                sums[p][r][q] = dot_bytes::<LANE>(sums[p][r][q], line, x[r]);
            }
        }
    }
}

/// See [`Pass::run`].
#[target_feature(enable = "neon,dotprod")]
fn int4_dot<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let outs = &mut out.as_chunks_mut::<R>().0[..P];
    outs.fill([[0.0; 16]; R]);
    let words = tile.words.as_chunks::<4>().0.as_chunks::<R>().0;
    for (g, words) in words.chunks_exact(tile.group / 4).enumerate() {
        let (scales, offsets) = (&tile.scales[g * R..][..R], &tile.offsets[g * R..][..R]);
        for (panel, out) in panels.iter().zip(&mut *outs) {
            let mut sums = [[vdupq_n_s32(0); 4]; R];
            for r in 0..R {
                sums[r] = [vdupq_n_s32(offsets[r]); 4];
            }
            let lines = &lines(panel).as_chunks::<2>().0[g * words.len()..];
            for (words, [first, second]) in words.iter().zip(lines) {
                let mut x = [vdupq_n_s8(0); R];
                for r in 0..R {
                    x[r] = load_words(&words[r]);
                }
                add_double_line::<0, 1, R>(&mut sums, first, &x);
                add_double_line::<2, 3, R>(&mut sums, second, &x);
            }
            for r in 0..R {
                for q in 0..4 {
                    add_int4(panel, g, scales[r], q, sums[r][q], &mut out[r]);
                }
            }
        }
    }
}

/// A line of eight inputs times two words of each row.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_double_line<const LOWER: usize, const UPPER: usize, const R: usize>(
    sums: &mut [[int32x4_t; 4]; R],
    line: &Line,
    x: &[int8x16_t; R],
) {
    for q in 0..4 {
        let [lower, upper] = load_halves(&line[q]);
        for r in 0..R {
            sums[r][q] = dot_bytes::<LOWER>(sums[r][q], lower, x[r]);
        }
        for r in 0..R {
            sums[r][q] = dot_bytes::<UPPER>(sums[r][q], upper, x[r]);
        }
    }
}

/// Four inputs of four outputs, and the next four of the same, as eight inputs of two and of two outputs.
#[inline]
#[target_feature(enable = "neon")]
fn zip(first: int8x16_t, second: int8x16_t) -> [int8x16_t; 2] {
    let [first, second] = [first, second].map(|four| vreinterpretq_s32_s8(four));
    [vzip1q_s32(first, second), vzip2q_s32(first, second)].map(|two| vreinterpretq_s8_s32(two))
}

/// Two rows of two outputs, and of the next two, as four outputs of one row and of the next.
#[inline]
#[target_feature(enable = "neon")]
fn unzip([first, second]: [int32x4_t; 2]) -> [int32x4_t; 2] {
    let [first, second] = [first, second].map(|pair| vreinterpretq_s64_s32(pair));
    [vzip1q_s64(first, second), vzip2q_s64(first, second)].map(|row| vreinterpretq_s32_s64(row))
}

/// See [`Pass::run`]: `2 N` rows, of `Q` quarters of the outputs at a time.
#[target_feature(enable = "neon,i8mm,dotprod")]
fn int8_matrix<const N: usize, const P: usize, const Q: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let words = tile.words.as_chunks::<4>().0.as_chunks::<N>().0;
    let lines = panels.map(|panel| &lines(&panel).as_chunks::<2>().0[..words.len()]);
    let outs = out.as_chunks_mut::<2>().0.as_chunks_mut::<N>().0;
    for start in (0..4).step_by(Q) {
        let mut sums = [[[[vdupq_n_s32(0); 2]; Q]; N]; P];
        for (i, words) in words.iter().enumerate() {
            for p in 0..P {
                let [first, second] = &lines[p][i];
                for q in 0..Q {
                    let [first, second] = [first, second].map(|line| load_signed(&line[start + q]));
                    let pairs = zip(first, second);
                    for n in 0..N {
                        let x = load_words(&words[n]);
                        for i in 0..2 {
                            sums[p][n][q][i] = multiply_bytes(sums[p][n][q][i], x, pairs[i]);
                        }
                    }
                }
            }
        }
        for (p, out) in outs.iter_mut().take(P).enumerate() {
            for n in 0..N {
                for q in 0..Q {
                    for (r, sum) in unzip(sums[p][n][q]).into_iter().enumerate() {
                        let scale = tile.scales[2 * n + r];
                        write_int8(&panels[p], scale, start + q, sum, &mut out[n][r]);
                    }
                }
            }
        }
    }
}

/// See [`Pass::run`]: `2 N` rows, of `Q` quarters of the outputs at a time.
#[target_feature(enable = "neon,i8mm,dotprod")]
fn int4_matrix<const N: usize, const P: usize, const Q: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let outs = &mut out.as_chunks_mut::<2>().0.as_chunks_mut::<N>().0[..P];
    outs.fill([[[0.0; 16]; 2]; N]);
    let words = tile.words.as_chunks::<4>().0.as_chunks::<N>().0;
    for (g, words) in words.chunks_exact(tile.group / 2).enumerate() {
        let scales = &tile.scales.as_chunks::<2>().0[g * N..][..N];
        let offsets = &tile.offsets.as_chunks::<2>().0[g * N..][..N];
        for (panel, out) in panels.iter().zip(&mut *outs) {
            let lines = &lines(panel)[g * words.len()..];
            for start in (0..4).step_by(Q) {
                let mut sums = [[[vdupq_n_s32(0); 2]; Q]; N];
                for n in 0..N {
                    let [first, second] = offsets[n].map(|offset| vdup_n_s32(offset));
                    sums[n] = [[vcombine_s32(first, second); 2]; Q];
                }
                for (words, line) in words.iter().zip(lines) {
                    for q in 0..Q {
                        let [lower, upper] = load_halves(&line[start + q]);
                        let pairs = zip(lower, upper);
                        for n in 0..N {
                            let x = load_words(&words[n]);
                            for i in 0..2 {
                                sums[n][q][i] = multiply_bytes(sums[n][q][i], x, pairs[i]);
                            }
                        }
                    }
                }
                for n in 0..N {
                    for q in 0..Q {
                        for (r, sum) in unzip(sums[n][q]).into_iter().enumerate() {
                            add_int4(panel, g, scales[n][r], start + q, sum, &mut out[n][r]);
                        }
                    }
                }
            }
        }
    }
}

/// Products of the lower eight, and of the upper eight bytes: added to, in 16 bits.
#[inline]
#[target_feature(enable = "neon")]
fn add_short(sums: [int16x8_t; 2], a: int8x16_t, word: i32) -> [int16x8_t; 2] {
    let x = vreinterpretq_s8_s32(vdupq_n_s32(word));
    [
        vmlal_s8(sums[0], vget_low_s8(a), vget_low_s8(x)),
        vmlal_high_s8(sums[1], a, x),
    ]
}

/// Two halves of each of two outputs, and of the next two, as four outputs.
#[inline]
#[target_feature(enable = "neon")]
fn add_long(sums: &mut [int32x4_t; 2], short: [int16x8_t; 2]) {
    for i in 0..2 {
        sums[i] = vpadalq_s16(sums[i], short[i]);
    }
}

/// See [`Pass::run`].
#[target_feature(enable = "neon")]
fn int8_plain<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let words = tile.words.as_chunks::<2>().0.as_chunks::<R>().0;
    let lines = panels.map(|panel| &lines(&panel).as_chunks::<2>().0[..words.len()]);
    let mut sums = [[[[vdupq_n_s32(0); 2]; 4]; R]; P];
    for (i, words) in words.iter().enumerate() {
        for p in 0..P {
            let [first, second] = &lines[p][i];
            for q in 0..4 {
                let (first, second) = (load_signed(&first[q]), load_signed(&second[q]));
                for r in 0..R {
                    // Two products of 127 by -128 at most: -32512, which 16 bits hold.
                    let short = add_short([vdupq_n_s16(0); 2], first, words[r][0]);
                    let short = add_short(short, second, words[r][1]);
                    add_long(&mut sums[p][r][q], short);
                }
            }
        }
    }
    for (p, out) in out.as_chunks_mut::<R>().0.iter_mut().take(P).enumerate() {
        for r in 0..R {
            for q in 0..4 {
                let [first, second] = sums[p][r][q];
                let sum = vpaddq_s32(first, second);
                write_int8(&panels[p], tile.scales[r], q, sum, &mut out[r]);
            }
        }
    }
}

/// See [`Pass::run`].
#[target_feature(enable = "neon")]
fn int4_plain<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    /// Lines of the smallest group: 16 bits hold the sum of its eight products, of 127 by 15 at most.
    const LINES: usize = 4;
    let panels: &[Panel<'_>; P] = panels.try_into().expect("as many panels as the table says");
    let outs = &mut out.as_chunks_mut::<R>().0[..P];
    outs.fill([[0.0; 16]; R]);
    let words = tile.words.as_chunks::<2>().0.as_chunks::<R>().0;
    let words = words.as_chunks::<LINES>().0;
    for (g, words) in words.chunks_exact(tile.group / (2 * LINES)).enumerate() {
        let (scales, offsets) = (&tile.scales[g * R..][..R], &tile.offsets[g * R..][..R]);
        for (panel, out) in panels.iter().zip(&mut *outs) {
            let lines = &lines(panel).as_chunks::<LINES>().0[g * words.len()..];
            for q in 0..4 {
                let mut sums = [[vdupq_n_s32(0); 2]; R];
                for (words, lines) in words.iter().zip(lines) {
                    let mut short = [[vdupq_n_s16(0); 2]; R];
                    for i in 0..LINES {
                        let [lower, upper] = load_halves(&lines[i][q]);
                        for r in 0..R {
                            short[r] = add_short(short[r], lower, words[i][r][0]);
                            short[r] = add_short(short[r], upper, words[i][r][1]);
                        }
                    }
                    for r in 0..R {
                        add_long(&mut sums[r], short[r]);
                    }
                }
                for r in 0..R {
                    let [first, second] = sums[r];
                    let sum = vaddq_s32(vpaddq_s32(first, second), vdupq_n_s32(offsets[r]));
                    add_int4(panel, g, scales[r], q, sum, &mut out[r]);
                }
            }
        }
    }
}
