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
pub(crate) fn load_bytes(from: &[u8; 16]) -> uint8x16_t {
    // SAFETY: `from` is 16 readable bytes; `ld1` needs no alignment.
    unsafe { vld1q_u8(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store(to: &mut [f32; 4], value: float32x4_t) {
    // SAFETY: `to` is 16 writable bytes; `st1` needs no alignment.
    unsafe { vst1q_f32(to.as_mut_ptr(), value) }
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
