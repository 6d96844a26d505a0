//! Attention of some rows over one block of keys: scores, softmax, values.

use std::ops::Range;

use super::pairs::Rounding;
use super::product::{Bits, Operand, Pairs, Panel, Product, Wide};
use crate::elementwise::softcap_body;
use crate::isa::multiversion;
use crate::lanes::{larger, max_of, sum_of};
use crate::math::exp;
use crate::{Isa, PAGE};

/// Keys of a block.
pub(super) const BLOCK: usize = 4 * PAGE;

/// Rows that meet a block of keys, and what is known of them so far.
pub(super) struct Block<'a> {
    /// `[M, Dk]`; where keys are in pairs, the words of these.
    pub(super) q: &'a [f32],
    /// Numbers, or words, of a query.
    pub(super) depth: usize,
    /// How weights become pairs, where values are.
    pub(super) rounding: Option<Rounding>,
    /// Numbers of a value in memory, `W`, a multiple of 16.
    pub(super) width: usize,
    /// Those of `first_column..columns`; the others are empty.
    pub(super) pages: &'a [BlockPage<'a>; BLOCK / PAGE],
    /// The first key that is there, a multiple of [`PAGE`].
    pub(super) first_column: usize,
    /// The end of the last page that is there.
    pub(super) columns: usize,
    pub(super) scale: f32,
    pub(super) softcap: Option<f32>,
    /// What a row sees.
    pub(super) row: &'a dyn Fn(usize) -> RowBias<'a>,
    /// `[M, BLOCK]`, for scores and weights.
    pub(super) scores: &'a mut [f32],
    /// `[M]`: the largest score so far.
    pub(super) max: &'a mut [f32],
    /// `[M]`: the sum of weights, relative to that.
    pub(super) sum: &'a mut [f32],
    /// `[M, W]`: the sum of values times weights.
    pub(super) values: &'a mut [f32],
}

/// One head of a page.
#[derive(Clone, Copy, Default)]
pub(super) struct BlockPage<'a> {
    /// `[Dk, PAGE]`.
    pub(super) keys: Numbers<'a>,
    /// `[PAGE, W]`.
    pub(super) values: Numbers<'a>,
    /// Keys that have been written.
    pub(super) valid: usize,
}

/// Keys or values as they lie in a page, or widened. All pages of a block are of one type.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    /// The bits.
    Bf16(&'a [u16]),
    /// Words, each of two `bf16` of the same column: `[Dk / 2, PAGE]` of keys, `[PAGE / 2, W]` of values.
    Pairs(&'a [f32]),
}

impl Default for Numbers<'_> {
    fn default() -> Self {
        Self::F32(&[])
    }
}

impl<'a> Numbers<'a> {
    /// The numbers, or words, if they are `f32`.
    const fn f32(self) -> &'a [f32] {
        match self {
            Self::F32(numbers) | Self::Pairs(numbers) => numbers,
            Self::Bf16(_) => &[],
        }
    }

    /// The bits if they are `bf16`.
    const fn bf16(self) -> &'a [u16] {
        match self {
            Self::Bf16(bits) => bits,
            Self::F32(_) | Self::Pairs(_) => &[],
        }
    }
}

/// What a row sees of a block.
pub(super) struct RowBias<'a> {
    /// The columns of the keys that it sees.
    pub(super) seen: Range<usize>,
    /// A table, and the index into it of column 0, which may be beyond both of its ends.
    pub(super) bias: Option<(&'a [f32], isize)>,
}

/// Add a block of keys to the rows' states.
pub(super) fn process(isa: Isa, block: &mut Block<'_>) {
    match block.pages[block.first_column / PAGE].keys {
        Numbers::F32(_) => process_as::<Wide>(isa, block, Numbers::f32),
        Numbers::Bf16(_) => process_as::<Bits>(isa, block, Numbers::bf16),
        Numbers::Pairs(_) => process_as::<Pairs>(isa, block, Numbers::f32),
    }
}

/// [`process`] pages of the type that `of` takes out of them.
fn process_as<'a, T: Operand>(
    isa: Isa,
    block: &mut Block<'a>,
    of: fn(Numbers<'a>) -> &'a [T::Number],
) {
    let Block {
        q,
        depth,
        width,
        pages,
        first_column,
        columns,
        rounding,
        ..
    } = *block;
    let rows = block.max.len();
    let each = pages[..columns / PAGE].iter().zip((0..).step_by(PAGE));
    for (page, to) in each.skip(first_column / PAGE) {
        let keys = [Panel {
            b: of(page.keys),
            depth,
            a_start: 0,
        }];
        let keys = Product {
            a: q,
            a_step: depth,
            rows,
            panels: &keys,
            columns: PAGE,
            add: false,
        };
        T::product(isa, &keys, &mut block.scores[to..], BLOCK);
    }

    weigh(isa, block);

    // Weights of keys that meet in one number of the values' product.
    let together = if rounding.is_some() { 2 } else { 1 };
    if let Some(rounding) = rounding {
        for scores in block.scores.chunks_exact_mut(BLOCK) {
            rounding.round_in_place(&mut scores[..columns]);
        }
    }
    let mut panels = [Panel::default(); BLOCK / PAGE];
    for (i, (panel, page)) in panels.iter_mut().zip(pages).enumerate() {
        *panel = Panel {
            b: of(page.values),
            depth: page.valid.div_ceil(together),
            a_start: i * PAGE / together,
        };
    }
    let values = Product {
        a: block.scores,
        a_step: BLOCK,
        rows,
        panels: &panels,
        columns: width,
        add: true,
    };
    T::product(isa, &values, block.values, width);
}

/// `e^x` of how far a score is below the largest, or exactly 0 where that would be a denormal number: beside the
/// largest it has no weight, and on many processors its product would take a hundred times as long.
#[inline(always)]
pub(super) fn weight(x: f32) -> f32 {
    /// `e^-87` is 1.4 times the smallest normal number.
    const LEAST: f32 = -87.0;
    let weight = exp(x);
    if x < LEAST { 0.0 } else { weight }
}

multiversion! {
    /// Turn scores into weights, relative to the largest score so far.
    fn weigh(block: &mut Block<'_>) = weigh_body
}

#[inline(always)]
fn weigh_body(block: &mut Block<'_>) {
    let Block { width, columns, .. } = *block;
    for row in 0..block.max.len() {
        let RowBias { seen, bias } = (block.row)(row);
        let scores = &mut block.scores[row * BLOCK..][..columns];
        if seen.is_empty() {
            scores.fill(0.0);
            continue;
        }
        // Of the first pages, which may not be there, nothing was computed.
        scores[..seen.start].fill(f32::NEG_INFINITY);
        scores[seen.end..].fill(f32::NEG_INFINITY);
        let visible = &mut scores[seen.clone()];
        for score in &mut *visible {
            *score *= block.scale;
        }
        if let Some(cap) = block.softcap {
            softcap_body(visible, cap);
        }
        if let Some((table, first)) = bias {
            let last = table.len() - 1;
            for (score, column) in visible.iter_mut().zip(seen.start.cast_signed()..) {
                *score += table[usize::try_from(first + column).unwrap_or(0).min(last)];
            }
        }
        let values = &mut block.values[row * width..][..width];
        let max = larger(block.max[row], max_of(scores));
        if max > block.max[row] {
            let factor = weight(block.max[row] - max);
            block.max[row] = max;
            block.sum[row] *= factor;
            for value in values {
                *value *= factor;
            }
        }
        // All scores may be `-inf` by their bias, or NaN, which stays NaN.
        let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
        for score in &mut *scores {
            *score = weight(*score - base);
        }
        block.sum[row] += sum_of(scores, |v| v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_normal_numbers_or_zero() {
        for i in 0..2000 {
            let x = -(i as f32) / 16.0;
            let weight = weight(x);
            assert!(weight == 0.0 || weight.is_normal(), "{x}: {weight:e}");
            assert_eq!(weight == 0.0, x < -87.0, "{x}");
        }
        assert_eq!(weight(f32::NEG_INFINITY), 0.0);
        assert!(weight(f32::NAN).is_nan());
    }
}
