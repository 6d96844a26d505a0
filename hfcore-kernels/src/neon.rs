//! NEON for every kernel: loads and stores that cannot miss, and the instructions that stable Rust has no
//! intrinsics for, each as one line of assembler.
//!
//! ```text
//! fcvtl   four f16                         -> four f32, exactly              every CPU
//! sdot    four lanes of 4 x i8 times 4    -> added to four i32             dotprod
//! smmla   [2, 8] i8 times [2, 8] i8 ^T    -> added to [2, 2] i32           i8mm
//! bfmmla  [2, 4] bf16 times [2, 4] bf16 ^T -> added to [2, 2] f32          bf16
//! ```

use std::arch::aarch64::*;
use std::arch::asm;

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load(from: &[f32; 4]) -> float32x4_t {
    // SAFETY: `from` is 16 readable bytes; `ld1` needs no alignment.
    unsafe { vld1q_f32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_half(from: &[f32; 2]) -> float32x2_t {
    // SAFETY: `from` is 8 readable bytes; `ld1` needs no alignment.
    unsafe { vld1_f32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_bytes(from: &[u8; 16]) -> uint8x16_t {
    // SAFETY: `from` is 16 readable bytes; `ld1` needs no alignment.
    unsafe { vld1q_u8(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_words(from: &[i32; 4]) -> int8x16_t {
    // SAFETY: `from` is 16 readable bytes; `ld1` needs no alignment.
    let words = unsafe { vld1q_s32(from.as_ptr()) };
    vreinterpretq_s8_s32(words)
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store(to: &mut [f32; 4], value: float32x4_t) {
    // SAFETY: `to` is 16 writable bytes; `st1` needs no alignment.
    unsafe { vst1q_f32(to.as_mut_ptr(), value) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_half(to: &mut [f32; 2], value: float32x2_t) {
    // SAFETY: `to` is 8 writable bytes; `st1` needs no alignment.
    unsafe { vst1_f32(to.as_mut_ptr(), value) }
}

/// Bytes of a stream that are asked for early: what arrives while they are multiplied.
const AHEAD: usize = 1024;

/// Ask for what comes [`AHEAD`] bytes after a step: the next row, where this one ends.
#[inline]
pub(crate) fn prefetch<const B: usize>(step: &[u8; B]) {
    let ahead = step.as_ptr().wrapping_add(AHEAD);
    // SAFETY: a hint, which is ignored where there is no memory.
    unsafe {
        asm!("prfm pldl1keep, [{0}]", in(reg) ahead, options(readonly, nostack, preserves_flags));
    }
}

/// The lower four `f16`, widened. Every 64-bit ARM has the instruction, but intrinsics are younger than the
/// oldest compiler that is promised.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_f16_low(halves: uint8x16_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: it writes the register that it says, and nothing else.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

/// The upper four `f16`, widened.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_f16_high(halves: uint8x16_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: it writes the register that it says, and nothing else.
    unsafe {
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) wide, in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

/// The lower four `bf16`, widened: they are the upper halves.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_bf16_low(halves: uint8x16_t) -> float32x4_t {
    vreinterpretq_f32_u16(vzip1q_u16(vdupq_n_u16(0), vreinterpretq_u16_u8(halves)))
}

/// The upper four `bf16`, widened.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_bf16_high(halves: uint8x16_t) -> float32x4_t {
    vreinterpretq_f32_u16(vzip2q_u16(vdupq_n_u16(0), vreinterpretq_u16_u8(halves)))
}

/// To lane `i` of `sum`, the product of bytes `4 i..4 i + 4` of `a` with four bytes of `b`, those of its
/// lane `LANE`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn dot_bytes<const LANE: usize>(
    mut sum: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    // SAFETY: it writes the register that it says, and nothing else; this function has the feature.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]", inout(vreg) sum, in(vreg) a, in(vreg) b,
            const LANE, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// To `sum`, `[2, 2]`, the product of `a` `[2, 8]` with the transpose of `b` `[2, 8]`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) fn multiply_bytes(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: it writes the register that it says, and nothing else; this function has the feature.
    unsafe {
        asm!("smmla {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Four numbers, rounded to `bf16`, of which two are in the bits of each number of the result.
#[inline]
#[target_feature(enable = "neon,bf16")]
pub(crate) fn round_bf16(four: float32x4_t) -> float32x2_t {
    let rounded: float32x2_t;
    // SAFETY: it writes the register that it says, and nothing else; this function has the feature.
    unsafe {
        asm!("bfcvtn {0:v}.4h, {1:v}.4s", out(vreg) rounded, in(vreg) four,
            options(pure, nomem, nostack, preserves_flags));
    }
    rounded
}

/// To `sum`, `[2, 2]`, the product of `a` `[2, 4]` with the transpose of `b` `[2, 4]`: two `bf16` are in the
/// bits of each of their numbers.
#[inline]
#[target_feature(enable = "neon,bf16")]
pub(crate) fn multiply_bf16(mut sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: it writes the register that it says, and nothing else; this function has the feature.
    unsafe {
        asm!("bfmmla {0:v}.4s, {1:v}.8h, {2:v}.8h", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::{NeonBf16, NeonDotprod, NeonI8mm};

    /// Bytes of which any two differ, of both signs, the extremes among them.
    fn bytes<const N: usize>(first: i8) -> [i8; N] {
        let mut bytes = [0; N];
        let mut byte = first;
        for to in &mut bytes {
            *to = byte;
            byte = byte.wrapping_mul(37).wrapping_add(101);
        }
        bytes[N / 2] = -128;
        bytes[N - 1] = 127;
        bytes
    }

    fn words(bytes: [i8; 16]) -> [i32; 4] {
        let word = |i: usize| bytes.as_chunks::<4>().0[i].map(i8::cast_unsigned);
        [0, 1, 2, 3].map(|i| i32::from_le_bytes(word(i)))
    }

    /// The products of all rows of `a` with all rows of `b`, of `N` numbers each.
    fn products<const N: usize>(a: &[i8], b: &[i8]) -> Vec<i32> {
        let dot = |a: &[i8; N], b: &[i8; N]| {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
        };
        let rows = a.as_chunks().0.iter();
        rows.flat_map(|a| b.as_chunks().0.iter().map(move |b| dot(a, b)))
            .collect()
    }

    #[target_feature(enable = "neon")]
    fn lanes(x: int32x4_t) -> [i32; 4] {
        let mut lanes = [0; 4];
        // SAFETY: `lanes` is 16 writable bytes.
        unsafe { vst1q_s32(lanes.as_mut_ptr(), x) };
        lanes
    }

    #[test]
    fn four_bytes_times_four() {
        #[target_feature(enable = "neon,dotprod")]
        fn run(a: [i8; 16], b: [i8; 16]) -> [[i32; 4]; 4] {
            let (sum, a, b) = (
                vdupq_n_s32(1000),
                load_words(&words(a)),
                load_words(&words(b)),
            );
            [
                lanes(dot_bytes::<0>(sum, a, b)),
                lanes(dot_bytes::<1>(sum, a, b)),
                lanes(dot_bytes::<2>(sum, a, b)),
                lanes(dot_bytes::<3>(sum, a, b)),
            ]
        }
        if NeonDotprod::new().is_none() {
            return;
        }
        let (a, b) = (bytes(3), bytes(-77));
        // SAFETY: the CPU has the feature.
        let found = unsafe { run(a, b) };
        let want = products::<4>(&b, &a);
        assert!(
            found
                .iter()
                .flatten()
                .zip(want)
                .all(|(f, w)| *f == w + 1000)
        );
    }

    #[test]
    fn matrices_of_bytes() {
        #[target_feature(enable = "neon,i8mm")]
        fn run(a: [i8; 16], b: [i8; 16]) -> [i32; 4] {
            let (a, b) = (load_words(&words(a)), load_words(&words(b)));
            lanes(multiply_bytes(vdupq_n_s32(-5), a, b))
        }
        if NeonI8mm::new().is_none() {
            return;
        }
        let (a, b) = (bytes(3), bytes(-77));
        // SAFETY: the CPU has the feature.
        let found = unsafe { run(a, b) };
        let want: Vec<i32> = products::<8>(&a, &b).iter().map(|w| w - 5).collect();
        assert_eq!(found.as_slice(), want);
    }

    /// Small whole numbers, of which products and sums are exact; rounding is to nearest even.
    #[test]
    fn matrices_of_bf16() {
        #[target_feature(enable = "neon,bf16")]
        fn run(a: &[f32; 8], b: &[f32; 8]) -> [f32; 4] {
            let [a, b] = [a, b].map(|x| {
                let rows = x.as_chunks().0;
                vcombine_f32(round_bf16(load(&rows[0])), round_bf16(load(&rows[1])))
            });
            let mut to = [0.0; 4];
            store(&mut to, multiply_bf16(vdupq_n_f32(0.5), a, b));
            to
        }
        if NeonBf16::new().is_none() {
            return;
        }
        // The last is between 256 and 258, and rounded to 256; the one before to 260, from 259.
        let a = [1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 259.0, 257.0];
        let b = [7.0, 1.0, -3.0, 2.0, 11.0, 5.0, 1.0, -1.0];
        // SAFETY: the CPU has the feature.
        let found = unsafe { run(&a, &b) };
        let round = |x: f32| bf16::from_f32(x).to_f32();
        for (i, a) in a.as_chunks::<4>().0.iter().enumerate() {
            for (j, b) in b.as_chunks::<4>().0.iter().enumerate() {
                let want: f32 = a.iter().zip(b).map(|(a, b)| round(*a) * round(*b)).sum();
                assert_eq!(found[2 * i + j], want + 0.5);
            }
        }
        assert_eq!(found[3], -55.0 + 30.0 + 260.0 - 256.0 + 0.5);
    }

    #[test]
    fn every_number_of_16_bits_is_widened_exactly() {
        #[target_feature(enable = "neon")]
        fn run(halves: &[u8; 16]) -> [[f32; 4]; 4] {
            let halves = load_bytes(halves);
            let mut to = [[0.0; 4]; 4];
            store(&mut to[0], widen_f16_low(halves));
            store(&mut to[1], widen_f16_high(halves));
            store(&mut to[2], widen_bf16_low(halves));
            store(&mut to[3], widen_bf16_high(halves));
            to
        }
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for halves in all.as_chunks::<16>().0 {
            // SAFETY: every CPU of the target has the feature.
            let found = unsafe { run(halves) };
            for (i, half) in halves.as_chunks::<2>().0.iter().enumerate() {
                let bits = u16::from_le_bytes(*half);
                for (found, want) in [
                    (found[i / 4][i % 4], f16::from_bits(bits).to_f32()),
                    (found[2 + i / 4][i % 4], bf16::from_bits(bits).to_f32()),
                ] {
                    let same = found.to_bits() == want.to_bits();
                    assert!(same || found.is_nan() && want.is_nan(), "{bits:#06x}");
                }
            }
        }
    }
}
