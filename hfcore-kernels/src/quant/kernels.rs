//! What an instruction set has to offer for products with a quantized matrix.
//!
//! An instruction set is a file beside this one with a [`Kernels`] table in it, and a line in
//! [`Kernels::of`]. A table lists, for each format, kernels for one row of activations, for two, and so on:
//! each multiplies a *tile* of so many rows with so many *panels* of sixteen outputs, over all inputs. Few
//! rows are one tile, and the panels are read side by side, far apart, since several streams exhaust the
//! memory that one does not; many rows are many tiles, each with few panels, since the sums of a tile and
//! its panels are to stay in registers.
//!
//! ```text
//! values of a panel, int8        one line of 64 bytes: 4 inputs of 16 outputs
//!   line 0:  o0: i0 i1 i2 i3 | o1: i0 i1 i2 i3 | ..  | o15: i0 i1 i2 i3
//!   line 1:  o0: i4 i5 i6 i7 | ..
//! values of a panel, int4        one line: 8 inputs; in a byte, the first four are the lower halves
//!   line 0:  o0: i0|i4 i1|i5 i2|i6 i3|i7 | o1: i0|i4 ..
//! words of a tile                 4 inputs of a row in an i32, `step` words of a row side by side
//!   r0: w0 .. | r1: w0 .. | .. | r0: w(step) .. | r1: ..
//! ```

use super::QuantFormat;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::quantized::Panel;
use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512, avx512vnni, avxvnni};
use crate::Isa;

/// The most sums of sixteen outputs that a [`Pass`] has: rows times panels.
pub(super) const MAX_SUMS: usize = 128;
/// The most panels that a [`Pass`] reads side by side.
pub(super) const MAX_PANELS: usize = 8;

/// The kernels of one instruction set.
///
/// The functions are `unsafe` for one reason: the CPU must have the instruction set. Whoever has the
/// table from [`Kernels::of`] has the proof.
pub(super) struct Kernels {
    /// By rising number of rows; among those of one number, by falling number of panels.
    pub(super) int8: &'static [Pass],
    /// As `int8`.
    pub(super) int4: &'static [Pass],
    /// What these are compared with.
    pub(super) peak: Peak,
}

/// Products of bytes and sums of them, in registers: what the processor does at best.
pub(super) struct Peak {
    /// Multiplications for each round.
    pub(super) products: usize,
    /// Arguments: rounds, and a number that the compiler does not know.
    pub(super) run: unsafe fn(usize, i32) -> f32,
}

/// A kernel: a tile of rows of activations times panels.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    /// Rows of activations in a tile.
    pub(super) rows: usize,
    /// Panels.
    pub(super) panels: usize,
    /// Words of a row of activations that lie side by side: a power of two, up to 16.
    pub(super) step: usize,
    /// Whether it uses the tiles of AMX, which are to be configured.
    pub(super) tiles: bool,
    /// Arguments: `panels` panels; the tile; and, to write, sixteen outputs for each row of each panel,
    /// `[panels, rows]`.
    ///
    /// int8: `f32(Σ x q) * (tile.scales[r] * scales[o])`.
    /// int4: over the groups in order, `sum = fma(f32(Σ x (q - 8)), tile.scales[g, r] * scales[g, o], sum)`,
    /// from 0.
    pub(super) run: unsafe fn(&[Panel<'_>], &Tile<'_>, &mut [[f32; 16]]),
}

/// Rows of activations in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile<'a> {
    /// Four inputs each, the first in the lowest byte, -127 to 127: `[words / step, rows, step]`.
    pub(super) words: &'a [i32],
    /// What a one in the bytes stands for, `[groups, rows]`.
    pub(super) scales: &'a [f32],
    /// What the products have too much where q is `q + 128` (int8) or `q + 8` (int4), with its sign turned:
    /// -128 or -8 times the sum of the bytes, `[groups, rows]`. Sums may start with it.
    pub(super) offsets: &'a [i32],
    /// Words in a group: all of a row with int8; 8, 16 or 32 with int4.
    pub(super) group: usize,
}

impl Kernels {
    /// The kernels of `isa`.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa {
            Isa::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(_) => &avxvnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(_) | Isa::Avx512Bf16(_) => &avx512vnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_) => &amx::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => &neon::PLAIN,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod(_) => &neon::DOTPROD,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm(_) | Isa::NeonBf16(_) => &neon::I8MM,
        }
    }

    pub(super) const fn passes(&self, format: QuantFormat) -> &'static [Pass] {
        match format {
            QuantFormat::Int8 => self.int8,
            QuantFormat::Int4(_) => self.int4,
        }
    }
}

/// A table's passes: the kernel, then `rows x panels` of each.
macro_rules! passes {
    ($kernel:ident: $($rows:literal x $panels:literal)*) => {
        &[$(Pass { rows: $rows, panels: $panels, step: 1, tiles: false, run: $kernel::<$rows, $panels> }),*]
    };
}
pub(super) use passes;
