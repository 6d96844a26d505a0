//! What an instruction set has to offer for a matrix product.
//!
//! An instruction set is a file beside this one with a [`Kernels`] table in it. To add one, add a
//! variant of [`Isa`], a file, and a line in [`Kernels::of`]; the tests of `linear` run whatever
//! [`Isa::all`] finds. To add another way of multiplying (AMX tiles, `vdpbf16ps`, integer dot
//! products), add a field here, `Option` where only some have it, and its choice in `linear`.

use crate::isa::Vectors;
use crate::{DType, Isa};

use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// The most rows of a weight, and of activations, that any [`Dot`] multiplies in one pass.
pub(super) const MAX_ROWS: usize = 8;

/// Numbers of a weight row that lie side by side in [`Tile`]'s layout.
pub(super) const GROUP: usize = 8;

/// The kernels of one instruction set.
///
/// The functions are `unsafe` for one reason: the CPU must have the instruction set. Whoever has the
/// table from [`Kernels::of`] has the proof.
pub(super) struct Kernels {
    pub(super) f32: Dot,
    pub(super) f16: Dot,
    pub(super) bf16: Dot,
    pub(super) tile: Tile,
}

/// Rows of a weight, as they lie in memory, times a few rows of activations.
///
/// For a few rows of activations, where reading the weight takes longer than multiplying. Sums run
/// along the rows in a number of lanes that depends on nothing but the instruction set and type.
pub(super) struct Dot {
    /// Numbers that are multiplied at once; activations are padded with zeros to a multiple.
    pub(super) step: usize,
    /// In the activations of a step, those with an even place come first, then those with an odd one.
    pub(super) split: bool,
    /// The kernel for one row of activations, for two, and so on; more take several passes.
    pub(super) passes: &'static [Pass],
    /// The most rows of activations for which this is faster than [`Tile`].
    pub(super) most: usize,
}

/// A [`Dot`] kernel for one number of rows of activations.
pub(super) struct Pass {
    /// Rows of the weight that are read at the same time.
    pub(super) rows: usize,
    /// Arguments: the bytes of `rows` rows of a weight; the activations, `[steps, columns, step]`,
    /// padded with zeros; and the products, `[rows, columns]`, to write.
    pub(super) run: unsafe fn(&[&[u8]], &[f32], &mut [f32]),
}

/// A tile of an outer product: some rows of a weight times some rows of activations.
///
/// For many rows of activations. A vector holds one number of each of several rows of activations,
/// and is multiplied by single numbers of the weight, so that the weight needs widening but no
/// transposing; the activations, which are smaller, are transposed once.
pub(super) struct Tile {
    /// Rows of a weight in a tile.
    pub(super) rows: usize,
    /// Rows of activations in a tile. There is a kernel for half as many, too.
    pub(super) columns: usize,
    /// Arguments: the weight, `[k / GROUP, rows, GROUP]`; the activations, `[k, columns]`; k; the
    /// tile `[rows, columns]`; and whether to add to the tile instead of writing it.
    pub(super) run: TileFn,
    /// The same for half of the columns.
    pub(super) narrow: TileFn,
    /// Widen a piece of one row of a weight to every `rows`-th group. Arguments: the bytes, the groups
    /// from the row's first to the end. One function for each of `f32`, `f16` and `bf16`.
    pub(super) widen: [WidenFn; 3],
    /// Transpose an 8 by 8 block. Arguments: from, its row stride, to, its row stride.
    pub(super) transpose: unsafe fn(&[f32], usize, &mut [f32], usize),
}

pub(super) type TileFn = unsafe fn(&[f32], &[f32], usize, &mut [f32], bool);

pub(super) type WidenFn = unsafe fn(&[u8], &mut [[f32; GROUP]]);

impl Kernels {
    /// The kernels of `isa`.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa.vectors() {
            Vectors::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Vectors::Neon(_) => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2(_) => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512(_) => &avx512::KERNELS,
        }
    }

    pub(super) const fn dot(&self, dtype: DType) -> &Dot {
        match dtype {
            DType::F32 => &self.f32,
            DType::F16 => &self.f16,
            DType::Bf16 => &self.bf16,
        }
    }
}

impl Tile {
    /// The function that widens `dtype`.
    pub(super) const fn widen(&self, dtype: DType) -> WidenFn {
        match dtype {
            DType::F32 => self.widen[0],
            DType::F16 => self.widen[1],
            DType::Bf16 => self.widen[2],
        }
    }
}

/// The passes of a [`Dot`]: the kernel, then how many rows it reads with one column, two, and so on.
macro_rules! passes {
    ($kernel:ident: $($columns:literal x $rows:literal)*) => {
        &[$(Pass { rows: $rows, run: $kernel::<$rows, $columns> }),*]
    };
}
pub(super) use passes;

/// The bytes of `rows` at `step`, which begins `at` bytes into the rows and may reach beyond their
/// end: zeros are there.
pub(super) fn tails<const R: usize, const B: usize>(rows: &[&[u8]; R], at: usize) -> [[u8; B]; R] {
    let mut tails = [[0; B]; R];
    for (tail, row) in tails.iter_mut().zip(rows) {
        tail[..row.len() - at].copy_from_slice(&row[at..]);
    }
    tails
}
