//! Products of numbers in two parts of `bf16`: `x = high + low`, each rounded to 8 bits.
//!
//! Of the four products of parts, the one of both lower parts is left out, as it is smaller than what
//! the parts leave of a number:
//!
//! ```text
//!   a * b  ~  a.high * b.low  +  a.high * b.high  +  a.low * b.high
//! ```
//!
//! Three multiplications of tiles for one, each twenty times as fast as `f32`: PyTorch's
//! `set_float32_matmul_precision("high")`, and Henry et al. 2019, <https://arxiv.org/abs/1904.06376>.

use std::arch::asm;

use super::{ROWS, TILE};

/// Bytes of a step of the first operand: two tiles of upper parts, then two of lower ones.
const A: usize = 4 * TILE;

/// Two tiles of `a` by two of `b`, in parts, summed over `steps`, into `c`.
///
/// A step of `a` is `[2 parts, 32 rows, 64 bytes]`, one of `b` `[2 parts, 16 rows, 128 bytes]`, and `c`
/// is `[32, 32]`, to which the product is added, or over which it is written.
///
/// # Safety
/// [`Tiles`](super::Tiles) must be configured. `a` and `b` must be `steps` (at least 1) readable steps
/// and `c` 4096 writable bytes.
pub(crate) unsafe fn split_block(a: *const u8, b: *const u8, steps: usize, c: *mut u8, add: bool) {
    // SAFETY: the caller promises that all of it may be read and written; nothing is loaded ahead.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {sb}]",
            "tileloadd tmm1, [{c} + {sb} + 64]",
            "tileloadd tmm2, [{d} + {sb}]",
            "tileloadd tmm3, [{d} + {sb} + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{a} + {sa}]",
            "tileloadd tmm6, [{b} + {sb} + 2048]",
            "tileloadd tmm7, [{b} + {sb} + 2112]",
            "tileloadd tmm5, [{a} + {sa} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tileloadd tmm6, [{b} + {sb}]",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "tileloadd tmm7, [{b} + {sb} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm4, [{a} + {sa} + 2048]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "tileloadd tmm5, [{a} + {sa} + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {step_a}",
            "add {b}, 4096",
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {sb}], tmm0",
            "tilestored [{c} + {sb} + 64], tmm1",
            "tilestored [{d} + {sb}], tmm2",
            "tilestored [{d} + {sb} + 64], tmm3",
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            c = in(reg) c,
            d = in(reg) c.wrapping_add(ROWS * 128),
            sa = in(reg) 64_usize,
            sb = in(reg) 128_usize,
            n = inout(reg) steps => _,
            add = in(reg) u32::from(add),
            step_a = const A,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Two tiles of `a` by one of `b`: a step of `b` is `[2 parts, 16 rows, 64 bytes]`, and `c` is `[32, 16]`.
///
/// # Safety
/// As above; `c` must be 2048 writable bytes.
pub(crate) unsafe fn split_narrow(a: *const u8, b: *const u8, steps: usize, c: *mut u8, add: bool) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {s}]",
            "tileloadd tmm2, [{c} + {s} + 1024]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm2",
            "2:",
            "tileloadd tmm4, [{a} + {s}]",
            "tileloadd tmm6, [{b} + {s} + 1024]",
            "tileloadd tmm5, [{a} + {s} + 1024]",
            "tileloadd tmm7, [{b} + {s}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm0, tmm4, tmm7",
            "tileloadd tmm4, [{a} + {s} + 2048]",
            "tdpbf16ps tmm2, tmm5, tmm7",
            "tileloadd tmm5, [{a} + {s} + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm7",
            "add {a}, {step_a}",
            "add {b}, 2048",
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {s}], tmm0",
            "tilestored [{c} + {s} + 1024], tmm2",
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            c = in(reg) c,
            s = in(reg) 64_usize,
            n = inout(reg) steps => _,
            add = in(reg) u32::from(add),
            step_a = const A,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
