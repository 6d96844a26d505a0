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
