//! What an instruction set has to offer for a matrix product.
//!
//! An instruction set is a file beside this one with a [`Kernels`] table in it. To add one, add a
//! variant of [`Isa`], a file, and a line in [`Kernels::of`]; the tests of `linear` run whatever
//! [`Isa::tested`] finds. What the sets with vectors have in common is in [`vectors`](super::vectors).
//! Another way of multiplying (pairs of `bf16`, AMX) is another [`Tile`].

use crate::{DType, Isa, Precision};

use super::scalar;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512, avx512bf16};
#[cfg(target_arch = "aarch64")]
use super::{neon, neon_bf16};

/// The most rows of a weight, and of activations, that any [`Dot`] multiplies in one pass.
pub(super) const MAX_ROWS: usize = 8;

/// Numbers of a weight row that lie side by side in the layout of the tiles of `f32`.
pub(super) const GROUP: usize = 8;

/// The kernels of one instruction set.
///
/// The functions are `unsafe` for one reason: the CPU must have the instruction set. Whoever has the
/// table from [`Kernels::of`] has the proof. (And for one more: the tiles of AMX must be configured
/// around a unit of work, see [`amx::tiles`].)
pub(super) struct Kernels {
    /// One for each of `f32`, `f16` and `bf16`, as everywhere here.
    pub(super) dots: [Dot; 3],
    /// For [`Precision::Fast`], where it is faster than `dots`.
    pub(super) rounded: [Option<Rounded>; 3],
    /// Exact: for [`Precision::Strict`].
    pub(super) strict: [Tile; 3],
    /// For [`Precision::High`], where it is faster than `strict`.
    pub(super) high: [Option<Tile>; 3],
    /// For [`Precision::Fast`], where it is faster than `strict`.
    pub(super) fast: [Option<Tile>; 3],
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
}

/// [`Dot`] of activations that are rounded, to as many words as `step` says for a step of the weight.
pub(super) struct Rounded {
    pub(super) dot: Dot,
    /// The fewest rows of activations for which it is faster: reading takes longer before.
    pub(super) rows: usize,
    /// The words of a row of this many inputs.
    pub(super) words: fn(usize) -> usize,
    /// Round a row. Arguments: its numbers, and its words.
    pub(super) round: unsafe fn(&[f32], &mut [f32]),
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
/// For many rows of activations. A vector holds one number (or pair of numbers) of each of several
/// rows of activations, and is multiplied by single numbers (or pairs) of the weight, so that the
/// weight needs widening but no transposing; the activations, which are smaller, are transposed once.
///
/// Both are laid out by functions of the table, each for the kernel alone, in *words*: an `f32`, or
/// two `bf16` in its place, of which only the bits matter.
pub(super) struct Tile {
    /// Rows of a weight in a tile.
    pub(super) rows: usize,
    /// Rows of activations in a tile. There is a kernel for half as many, too.
    pub(super) columns: usize,
    /// Inputs in a step: both operands are padded with zeros to whole steps.
    pub(super) step: usize,
    /// Words of each row, of the weight and of activations alike, in a step.
    pub(super) words: usize,
    /// Words of a row of the weight that lie side by side; the row after it comes next.
    pub(super) group: usize,
    /// Inputs in a piece, whole steps: what is multiplied before results are added to those before.
    pub(super) piece: usize,
    /// Rows of the weight in a block, whole tiles: a piece of them stays in the cache of a thread.
    pub(super) block: usize,
    /// The most rows of activations for which [`Dot`] is faster.
    pub(super) few: usize,
    /// Lay out a piece of one row of a weight. Arguments: its bytes, and the words of a tile,
    /// `[groups, rows, group]`, from the first word of this row.
    pub(super) widen: WidenFn,
    /// Lay out a piece of a panel of activations. Arguments: numbers from the first on; the distance
    /// of rows; rows and inputs; the words to write, `[steps, words, width]`; the width, of which
    /// columns beyond the rows are zero.
    pub(super) arrange: unsafe fn(&[f32], usize, [usize; 2], &mut [f32], usize),
    /// Arguments: a piece of a tile of the weight, a piece of a panel of activations, steps, the tile
    /// of results `[rows, columns]`, and whether to add to it instead of writing it.
    pub(super) run: TileFn,
    /// The same for half of the columns.
    pub(super) narrow: TileFn,
    /// Transpose. Arguments: from, the distance of its rows, its rows and columns, to, the distance
    /// of its rows.
    pub(super) transpose: unsafe fn(&[f32], usize, [usize; 2], &mut [f32], usize),
}

pub(super) type TileFn = unsafe fn(&[f32], &[f32], usize, &mut [f32], bool);

pub(super) type WidenFn = unsafe fn(&[u8], &mut [f32]);

impl Kernels {
    /// The kernels of `isa`.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa {
            Isa::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) | Isa::AvxVnni(_) => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Avx512Vnni(_) => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16(_) => &avx512bf16::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_) => &amx::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) | Isa::NeonDotprod(_) | Isa::NeonI8mm(_) => &neon::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonBf16(_) => &neon_bf16::KERNELS,
        }
    }

    pub(super) const fn dot(&self, dtype: DType) -> &Dot {
        &self.dots[index(dtype)]
    }

    /// The rounded dot products for `rows` rows of activations, if they are as exact as `precision` wants it.
    pub(super) fn rounded(
        &self,
        precision: Precision,
        dtype: DType,
        rows: usize,
    ) -> Option<&Rounded> {
        let rounded = self.rounded[index(dtype)].as_ref();
        rounded.filter(|rounded| precision.of(dtype) == Precision::Fast && rows >= rounded.rows)
    }

    /// The tile for weights in `dtype` that is as exact as `precision` wants it.
    pub(super) const fn tile(&self, precision: Precision, dtype: DType) -> &Tile {
        let index = index(dtype);
        let other = match precision.of(dtype) {
            Precision::High => &self.high[index],
            Precision::Fast => &self.fast[index],
            Precision::Auto | Precision::Strict => &None,
        };
        match other {
            Some(tile) => tile,
            None => &self.strict[index],
        }
    }
}

const fn index(dtype: DType) -> usize {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Bf16 => 2,
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
