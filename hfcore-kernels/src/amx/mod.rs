//! AMX: eight registers that are matrices, and instructions that multiply them.
//!
//! A *tile* is up to 16 rows of 64 bytes. `tdpbf16ps` adds to a tile of 16 by 16 `f32` the product of 16
//! rows of 32 `bf16` and of 32 rows of 16, of which the second operand has pairs of rows interleaved:
//!
//! ```text
//!   a   16 rows of 16 pairs       b   16 rows, each a pair of rows     c   16 rows of 16 sums
//!   a00 a01  a02 a03  ..          b00 b10  b01 b11  ..                 c00 c01 ..
//!   a10 a11  a12 a13  ..          b20 b30  b21 b31  ..                 c10 c11 ..
//! ```
//!
//! `tdpbssd` and its kin do the same with groups of four bytes and sums in `i32`. A multiplication takes
//! 16 cycles on Sapphire Rapids; loading a tile takes half of that, so that four products for four
//! loaded tiles, two by two, keep the multiplier busy.
//!
//! Stable Rust has no intrinsics for these instructions, and knows the registers as something that
//! assembly may overwrite and no more. So whatever uses tiles is one block of assembly, from zeroing
//! them to storing them; only their [configuration](Tiles) outlives it.
//!
//! Tests run these functions on CPUs without AMX too, through an [`emulator`] of the instructions.
//! **How fast they are was not measured in this form**: the loop is that of a prototype which reached
//! 2.2 TFLOP/s on a core of Sapphire Rapids with operands in its caches, where registers alone
//! allow 2.9.

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod emulator;

pub(crate) mod split;

use std::arch::asm;
use std::marker::PhantomData;

use crate::Amx;

/// Bytes of a row of a tile.
pub(crate) const ROW: usize = 64;
/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Bytes of a tile.
pub(crate) const TILE: usize = ROWS * ROW;

/// All eight tiles of this thread, configured to be 16 rows of 64 bytes for as long as this lives.
///
/// The system saves 8 KiB of a thread whose tiles are configured, whenever it interrupts it. So this
/// lives for a unit of work and not for longer.
#[derive(Debug)]
pub(crate) struct Tiles(PhantomData<*const ()>);

/// What `ldtilecfg` reads: the palette; from byte 16 on the bytes per row of each tile, two each; from
/// byte 48 on the rows of each.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

const WHOLE: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

impl Tiles {
    pub(crate) fn configure(_: Amx) -> Self {
        static CONFIGURATION: Configuration = WHOLE;
        // SAFETY: an `Amx` exists only where the CPU has the instruction and the system allows it;
        // it reads the 64 bytes and changes nothing but the tiles, which nobody else uses.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) CONFIGURATION.0.as_ptr(), options(nostack, readonly));
        }
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there was a configuration, so that the CPU has the instruction. No value lives in
        // the tiles between blocks of assembly.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// `$name(rounds)`: so many times (at least one) four products of tiles of zeros, each added to sums of its
/// own: as fast as registers allow.
macro_rules! chains {
    ($($name:ident: $multiply:literal;)+) => {$(
        /// Products with
        #[doc = $multiply]
        ///
        /// # Safety
        /// [`Tiles`] must be configured.
        pub(crate) unsafe fn $name(rounds: usize) {
            // SAFETY: the caller promises that the CPU has the instructions and that tiles are configured;
            // no memory is used.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "tilezero tmm4",
                    "tilezero tmm5",
                    "2:",
                    concat!($multiply, " tmm0, tmm4, tmm5"),
                    concat!($multiply, " tmm1, tmm4, tmm5"),
                    concat!($multiply, " tmm2, tmm4, tmm5"),
                    concat!($multiply, " tmm3, tmm4, tmm5"),
                    "dec {n}",
                    "jnz 2b",
                    n = inout(reg) rounds => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, nomem),
                );
            }
        }
    )+};
}
chains! {
    bf16_chains: "tdpbf16ps";
    int8_chains: "tdpbssd";
}

/// Where the operands of a block lie: two tiles of each, and what follows them along the sum.
///
/// All in bytes: the two tiles of the first step, and from a row of a tile to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) tiles: [*const u8; 2],
    pub(crate) stride: usize,
}

/// A block of two by two tiles, summed over steps of which each is a tile of each operand.
///
/// `$name::<A, B>(a, b, steps, c, stride, add)`, where the tiles of a step lie `A` and `B` bytes after
/// those of the one before. `c` is 32 rows of 32 numbers, `stride` bytes apart, to which the
/// product is added, or over which it is written.
///
/// The loads for a step are among the multiplications of the one before: 4 multiplications and 4 loads
/// took 87 cycles in this order with all operands in the first cache, and no order took less.
macro_rules! blocks {
    ($($name:ident: $multiply:literal;)+) => {$(
        /// Two tiles of `a` by two of `b`, multiplied with
        #[doc = $multiply]
        ///
        /// # Safety
        /// [`Tiles`] must be configured. The operands must be tiles in readable memory, `steps` (at
        /// least 1) of them, and `c` 32 writable rows of 128 bytes.
        pub(crate) unsafe fn $name<const A: usize, const B: usize>(
            a: Operand,
            b: Operand,
            steps: usize,
            c: *mut u8,
            stride: usize,
            add: bool,
        ) {
            // SAFETY: the caller promises that all of it may be read and written, and that there is
            // at least one step; it is not more than is read: the loads in the loop are for a next
            // step that exists.
            unsafe {
                asm!(
                    "test {add:e}, {add:e}",
                    "jz 3f",
                    "tileloadd tmm0, [{c} + {stride}]",
                    "tileloadd tmm1, [{c} + {stride} + 64]",
                    "tileloadd tmm2, [{d} + {stride}]",
                    "tileloadd tmm3, [{d} + {stride} + 64]",
                    "jmp 4f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "4:",
                    "tileloadd tmm5, [{b0} + {sb}]",
                    "tileloadd tmm4, [{a0} + {sa}]",
                    "tileloadd tmm6, [{a1} + {sa}]",
                    "tileloadd tmm7, [{b1} + {sb}]",
                    "dec {n}",
                    "jz 5f",
                    "2:",
                    concat!($multiply, " tmm0, tmm4, tmm5"),
                    concat!($multiply, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm4, [{a0} + {sa} + {da}]",
                    concat!($multiply, " tmm2, tmm6, tmm5"),
                    "tileloadd tmm5, [{b0} + {sb} + {db}]",
                    concat!($multiply, " tmm3, tmm6, tmm7"),
                    "tileloadd tmm6, [{a1} + {sa} + {da}]",
                    "tileloadd tmm7, [{b1} + {sb} + {db}]",
                    "add {a0}, {da}",
                    "add {a1}, {da}",
                    "add {b0}, {db}",
                    "add {b1}, {db}",
                    "dec {n}",
                    "jnz 2b",
                    "5:",
                    concat!($multiply, " tmm0, tmm4, tmm5"),
                    concat!($multiply, " tmm1, tmm4, tmm7"),
                    concat!($multiply, " tmm2, tmm6, tmm5"),
                    concat!($multiply, " tmm3, tmm6, tmm7"),
                    "tilestored [{c} + {stride}], tmm0",
                    "tilestored [{c} + {stride} + 64], tmm1",
                    "tilestored [{d} + {stride}], tmm2",
                    "tilestored [{d} + {stride} + 64], tmm3",
                    a0 = inout(reg) a.tiles[0] => _,
                    a1 = inout(reg) a.tiles[1] => _,
                    b0 = inout(reg) b.tiles[0] => _,
                    b1 = inout(reg) b.tiles[1] => _,
                    sa = in(reg) a.stride,
                    sb = in(reg) b.stride,
                    c = in(reg) c,
                    d = in(reg) c.wrapping_add(ROWS * stride),
                    stride = in(reg) stride,
                    n = inout(reg) steps => _,
                    add = in(reg) u32::from(add),
                    da = const A,
                    db = const B,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    )+};
}
blocks! {
    bf16_block: "tdpbf16ps";
    int8_block: "tdpbssd";
}

/// As [`bf16_block`], of two tiles of `a` by the first of `b`.
///
/// # Safety
/// As of that; `c` must be 32 writable rows of 64 bytes.
pub(crate) unsafe fn bf16_narrow<const A: usize, const B: usize>(
    a: Operand,
    b: Operand,
    steps: usize,
    c: *mut u8,
    stride: usize,
    add: bool,
) {
    // SAFETY: as above; nothing is loaded ahead.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {stride}]",
            "tileloadd tmm2, [{d} + {stride}]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm2",
            "2:",
            "tileloadd tmm5, [{b0} + {sb}]",
            "tileloadd tmm4, [{a0} + {sa}]",
            "tileloadd tmm6, [{a1} + {sa}]",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tdpbf16ps tmm2, tmm6, tmm5",
            "add {a0}, {da}",
            "add {a1}, {da}",
            "add {b0}, {db}",
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {stride}], tmm0",
            "tilestored [{d} + {stride}], tmm2",
            a0 = inout(reg) a.tiles[0] => _,
            a1 = inout(reg) a.tiles[1] => _,
            b0 = inout(reg) b.tiles[0] => _,
            sa = in(reg) a.stride,
            sb = in(reg) b.stride,
            c = in(reg) c,
            d = in(reg) c.wrapping_add(ROWS * stride),
            stride = in(reg) stride,
            n = inout(reg) steps => _,
            add = in(reg) u32::from(add),
            da = const A,
            db = const B,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
