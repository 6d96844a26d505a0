//! Attention of some rows over one block of keys: scores, softmax, values.

use std::ops::Range;

use crate::PAGE;
use crate::elementwise::softcap_body;
use crate::lanes::{larger, max_of, mul_add, multiversion_fused, sum_of};
use crate::math::exp;

/// Keys of a block.
pub(super) const BLOCK: usize = 4 * PAGE;

/// Rows that meet a block of keys, and what is known of them so far.
pub(super) struct Block<'a> {
    /// `[M, Dk]`.
    pub(super) q: &'a [f32],
    /// `Dk`.
    pub(super) depth: usize,
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
    pub(super) keys: &'a [f32],
    /// `[PAGE, W]`.
    pub(super) values: &'a [f32],
    /// Keys that have been written.
    pub(super) valid: usize,
}

/// What a row sees of a block.
pub(super) struct RowBias<'a> {
    /// The columns of the keys that it sees.
    pub(super) seen: Range<usize>,
    /// A table, and the index into it of column 0, which may be beyond both of its ends.
    pub(super) bias: Option<(&'a [f32], isize)>,
}

multiversion_fused! {
    /// Add a block of keys to the rows' states.
    pub(super) fn process(block: &mut Block<'_>) = process_body
}

#[inline(always)]
fn process_body<const VECTOR: usize>(block: &mut Block<'_>) {
    let Block {
        q,
        depth,
        width,
        pages,
        first_column,
        columns,
        ..
    } = *block;
    let rows = block.max.len();
    for (page, to) in pages[..columns / PAGE]
        .iter()
        .zip((0..).step_by(PAGE))
        .skip(first_column / PAGE)
    {
        let keys = [Panel {
            b: page.keys,
            depth,
            a_start: 0,
        }];
        product::<VECTOR>(
            q,
            depth,
            rows,
            &keys,
            PAGE,
            PAGE,
            &mut block.scores[to..],
            BLOCK,
            false,
        );
    }

    for row in 0..rows {
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
            let factor = exp(block.max[row] - max);
            block.max[row] = max;
            block.sum[row] *= factor;
            for value in values {
                *value *= factor;
            }
        }
        // All scores may be `-inf` by their bias, or NaN, which stays NaN.
        let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
        for score in &mut *scores {
            *score = exp(*score - base);
        }
        block.sum[row] += sum_of(scores, |v| v);
    }

    let mut panels = [Panel {
        b: &[],
        depth: 0,
        a_start: 0,
    }; BLOCK / PAGE];
    for (i, (panel, page)) in panels.iter_mut().zip(pages).enumerate() {
        *panel = Panel {
            b: page.values,
            depth: page.valid,
            a_start: i * PAGE,
        };
    }
    product::<VECTOR>(
        block.scores,
        BLOCK,
        rows,
        &panels,
        width,
        width,
        block.values,
        width,
        true,
    );
}

/// A part of the right side of a product: `b` `[depth, ..]`, which meets the columns of the left side from
/// `a_start` on.
#[derive(Clone, Copy)]
struct Panel<'a> {
    b: &'a [f32],
    depth: usize,
    a_start: usize,
}

/// `c = a b`, or `c += a b`: `a` `[rows, ..]` with `a_step` numbers from row to row, `b` in panels with
/// `b_step`, `c` `[rows, columns]` with `c_step`. `columns` is a multiple of 16.
///
/// Each number of `c` is one sum in the order of the panels' rows, whichever tile it is in.
#[inline(always)]
fn product<const VECTOR: usize>(
    a: &[f32],
    a_step: usize,
    rows: usize,
    panels: &[Panel<'_>],
    columns: usize,
    b_step: usize,
    c: &mut [f32],
    c_step: usize,
    add: bool,
) {
    let mut column = 0;
    while column < columns {
        // Tiles that fill the registers: of 32 with 16 numbers, 16 with 8, 16 with 4.
        if VECTOR == 16 && columns - column >= 32 {
            strip::<VECTOR, 32, 8>(a, a_step, rows, panels, column, b_step, c, c_step, add);
            column += 32;
        } else if VECTOR >= 8 {
            strip::<VECTOR, 16, 4>(a, a_step, rows, panels, column, b_step, c, c_step, add);
            column += 16;
        } else {
            strip::<VECTOR, 8, 4>(a, a_step, rows, panels, column, b_step, c, c_step, add);
            column += 8;
        }
    }
}

/// Columns `column..column + N` of [`product`], `M` rows at a time.
#[inline(always)]
fn strip<const VECTOR: usize, const N: usize, const M: usize>(
    a: &[f32],
    a_step: usize,
    rows: usize,
    panels: &[Panel<'_>],
    column: usize,
    b_step: usize,
    c: &mut [f32],
    c_step: usize,
    add: bool,
) {
    let mut row = 0;
    while row < rows {
        let a = &a[row * a_step..];
        let c = &mut c[row * c_step + column..];
        row += match rows - row {
            left if left >= M => {
                tile::<VECTOR, N, M>(a, a_step, panels, column, b_step, c, c_step, add)
            }
            left if left >= 4 => {
                tile::<VECTOR, N, 4>(a, a_step, panels, column, b_step, c, c_step, add)
            }
            2 | 3 => tile::<VECTOR, N, 2>(a, a_step, panels, column, b_step, c, c_step, add),
            _ => tile::<VECTOR, N, 1>(a, a_step, panels, column, b_step, c, c_step, add),
        };
    }
}

/// `M` rows and `N` columns of [`product`] in registers. Returns `M`.
#[inline(always)]
fn tile<const VECTOR: usize, const N: usize, const M: usize>(
    a: &[f32],
    a_step: usize,
    panels: &[Panel<'_>],
    column: usize,
    b_step: usize,
    c: &mut [f32],
    c_step: usize,
    add: bool,
) -> usize {
    let mut sums = [[0.0f32; N]; M];
    if add {
        for (i, sums) in sums.iter_mut().enumerate() {
            sums.copy_from_slice(&c[i * c_step..][..N]);
        }
    }
    for panel in panels {
        if panel.depth == 0 {
            continue;
        }
        let a: [&[f32]; M] =
            std::array::from_fn(|i| &a[i * a_step + panel.a_start..][..panel.depth]);
        let b = &panel.b[..panel.depth * b_step];
        for (k, line) in b.chunks_exact(b_step).enumerate() {
            let line: &[f32; N] = line[column..]
                .first_chunk()
                .expect("columns are a multiple of N");
            for i in 0..M {
                let x = a[i][k];
                for j in 0..N {
                    sums[i][j] = mul_add::<VECTOR>(x, line[j], sums[i][j]);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        c[i * c_step..][..N].copy_from_slice(sums);
    }
    M
}
