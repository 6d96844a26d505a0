//! Attention over ragged sequences.
//!
//! `softmax(q k^T * scale + bias) v`, computed in blocks of keys with a running maximum, so that no score
//! outlives its block: Dao et al. 2022, <https://arxiv.org/abs/2205.14135>.
//!
//! One kernel serves prompts and single tokens. Its unit is a block of queries times all query heads of
//! one key/value head: a key is read once for all of them. Keys are cut at fixed positions ([`CHUNK`]), each
//! chunk has its own maximum and sum, and chunks are merged in their order. So a query's result does not
//! depend on how many threads there are, on how many queries come with it, or on the sequences beside it:
//! prompt and single tokens give the same numbers.

mod block;
mod pages;
mod product;

use std::ops::Range;
use std::sync::Mutex;

use crate::device::{Backend, Cpu};
use crate::math::exp;
use crate::{KvStore, PAGE, PageId, Tensor};
use block::{BLOCK, Block, BlockPage, RowBias, process};
use pages::{Pages, padded};

/// Pages of a chunk.
const CHUNK_PAGES: usize = 16;
/// Keys that are always summed by one thread.
const CHUNK: usize = CHUNK_PAGES * PAGE;
/// Pages of a block.
const BLOCK_PAGES: usize = BLOCK / PAGE;
/// Rows, a query times a head each, that share one reading of the keys.
const ROWS: usize = 64;

/// Queries that follow one another in a sequence, and the keys they see.
#[derive(Clone, Debug)]
pub struct AttentionSpan<'a> {
    /// The rows of `q`.
    pub rows: Range<usize>,
    /// The position of the first query.
    pub position: usize,
    /// The keys and values.
    pub keys: KeyValues<'a>,
    /// The position of the first key.
    pub key_position: usize,
}

/// Where keys and values are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyValues<'a> {
    /// In pages.
    Paged {
        /// The store of the layer.
        store: &'a KvStore,
        /// The pages of the sequence, in order.
        pages: &'a [PageId],
        /// Positions written.
        len: usize,
    },
    /// As they were computed.
    Dense {
        /// `[S, K, Dk]`.
        k: &'a Tensor,
        /// `[S, K, Dv]`.
        v: &'a Tensor,
        /// The rows of the sequence in both.
        rows: Range<usize>,
    },
}

/// What all spans of an attention share.
#[derive(Clone, Copy, Debug)]
pub struct AttentionParams<'a> {
    /// What scores are multiplied with, usually `1 / sqrt(D)`.
    pub scale: f32,
    /// Whether a query sees only keys at its position and before.
    pub causal: bool,
    /// How far a query sees: causal, the last `window` positions, its own included; else, `window` positions
    /// to both sides.
    pub window: Option<usize>,
    /// `c` of `c * tanh(score / c)`, applied after the scale (Gemma 2).
    pub softcap: Option<f32>,
    /// A score per head `[H]` that takes part in the softmax and has no value (gpt-oss).
    pub sinks: Option<&'a Tensor>,
    /// Added to scores, last.
    pub bias: Option<RelativeBias<'a>>,
}

/// A bias that depends on the distance between key and query: `table[h][k - q + zero]` for their positions
/// `k` and `q`, where an index beyond the table is that of its end (T5, `ALiBi`).
#[derive(Clone, Copy, Debug)]
pub struct RelativeBias<'a> {
    /// `[H, W]`.
    pub table: &'a Tensor,
    /// The column of distance 0.
    pub zero: usize,
}

/// Attention of queries `q` `[T, H, Dk]` over the keys and values of their spans: `[T, H * Dv]`.
///
/// Query head `h` reads key/value head `h / (H / K)`. A query that sees no key gets zeros, as does a row
/// that is in no span. Keys and values that a query does not see have no influence on it, unless they are
/// infinite or not numbers.
///
/// Accumulation is in `f32`, fused where the instruction set has that, so that results on the scalar path
/// differ in their last bits; all others agree.
///
/// # Panics
/// If shapes disagree, spans share rows, or a page is missing or free.
#[must_use]
#[track_caller]
pub fn attention(q: &Tensor, spans: &[AttentionSpan<'_>], params: &AttentionParams<'_>) -> Tensor {
    let &[rows, heads, key_dim] = q.shape() else {
        panic!("attention: queries [T, H, D], found {:?}", q.shape())
    };
    if let Some(sinks) = params.sinks {
        assert_eq!(sinks.shape(), [heads], "attention: shape of the sinks");
    }
    if let Some(bias) = params.bias {
        let fits = matches!(*bias.table.shape(), [h, w] if h == heads && w > 0);
        assert!(
            fits,
            "attention: a bias [{heads}, W], found {:?}",
            bias.table.shape()
        );
    }
    let Some(first) = spans.first() else {
        panic!("attention: no spans, so that the width of a value is not known")
    };
    let (kv_heads, value_dim) = first.keys.heads_and_value_dim();
    assert!(
        kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "attention: {heads} query heads over {kv_heads} key/value heads"
    );
    for span in spans {
        span.check(rows, kv_heads, key_dim, value_dim);
    }

    let Backend::Cpu(cpu) = q.device().backend();
    let mut out = Tensor::unspecified(q.device(), &[rows, heads * value_dim]);
    let group = heads / kv_heads;
    let pages: Vec<Pages<'_>> = spans
        .iter()
        .map(|span| Pages::new(&span.keys, q.device()))
        .collect();
    let shape = Shape {
        heads,
        group,
        key_dim,
        value_dim,
    };
    let work = Work {
        q: q.data(),
        spans,
        pages: &pages,
        params,
        shape,
    };

    // What a unit writes: of each of its rows, the heads of its group.
    let mut cells: Vec<Option<&mut [f32]>> = match group * value_dim {
        0 => return out,
        width => out.data_mut().chunks_exact_mut(width).map(Some).collect(),
    };
    let mut units = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let step = ROWS.div_ceil(group);
        for start in span.rows.clone().step_by(step) {
            let rows = start..span.rows.end.min(start + step);
            for head in 0..kv_heads {
                let cells = rows.clone().map(|row| cells[row * kv_heads + head].take());
                let cells = cells.collect::<Option<Vec<_>>>();
                let cells =
                    cells.unwrap_or_else(|| panic!("attention: two spans share rows of {rows:?}"));
                units.push(work.unit(index, head, rows.clone(), cells));
            }
        }
    }
    cells.into_iter().flatten().for_each(|cell| cell.fill(0.0));
    work.run(cpu, &units);
    drop(units);
    out
}

impl KeyValues<'_> {
    fn heads_and_value_dim(&self) -> (usize, usize) {
        match self {
            Self::Paged { store, .. } => (store.heads(), store.value_dim()),
            Self::Dense { v, .. } => match *v.shape() {
                [_, heads, dim] => (heads, dim),
                _ => panic!("attention: values [S, K, D], found {:?}", v.shape()),
            },
        }
    }

    /// Keys, `S`.
    fn len(&self) -> usize {
        match self {
            Self::Paged { len, .. } => *len,
            Self::Dense { rows, .. } => rows.len(),
        }
    }
}

impl AttentionSpan<'_> {
    #[track_caller]
    fn check(&self, q_rows: usize, kv_heads: usize, key_dim: usize, value_dim: usize) {
        let Self { rows, keys, .. } = self;
        assert!(
            rows.start <= rows.end && rows.end <= q_rows,
            "attention: rows {rows:?} of {q_rows} queries"
        );
        match keys {
            KeyValues::Paged { store, pages, len } => {
                let found = [store.heads(), store.key_dim(), store.value_dim()];
                let wanted = [kv_heads, key_dim, value_dim];
                assert_eq!(
                    found, wanted,
                    "attention: heads and widths of keys and values"
                );
                assert!(
                    *len <= pages.len() * PAGE,
                    "attention: {len} positions in {} pages of {PAGE}",
                    pages.len()
                );
                pages.iter().for_each(|&page| store.held(page));
            }
            KeyValues::Dense { k, v, rows } => {
                for (name, x, dim) in [("keys", k, key_dim), ("values", v, value_dim)] {
                    let fits = matches!(*x.shape(), [s, heads, d]
                        if heads == kv_heads && d == dim && rows.start <= rows.end && rows.end <= s);
                    assert!(
                        fits,
                        "attention: rows {rows:?} of {name} [S, {kv_heads}, {dim}], found {:?}",
                        x.shape()
                    );
                }
            }
        }
    }

    /// The keys that the query in row `row` sees.
    fn visible(&self, row: usize, params: &AttentionParams<'_>) -> Range<usize> {
        let len = self.keys.len();
        let query = self.position + (row - self.rows.start);
        let (start, end) = match (params.causal, params.window) {
            (true, None) => (0, query + 1),
            (true, Some(window)) => ((query + 1).saturating_sub(window), query + 1),
            (false, None) => (0, usize::MAX),
            (false, Some(window)) => {
                let end = query.saturating_add(window).saturating_add(1);
                (query.saturating_sub(window), end)
            }
        };
        let end = end.saturating_sub(self.key_position).min(len);
        start.saturating_sub(self.key_position).min(end)..end
    }

    /// Pages before the first, up to where blocks and chunks begin: these are at fixed positions, even
    /// when a sequence has given its first pages back.
    fn phase(&self) -> usize {
        if self.key_position.is_multiple_of(PAGE) {
            self.key_position / PAGE % CHUNK_PAGES
        } else {
            0
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    group: usize,
    key_dim: usize,
    value_dim: usize,
}

/// All that units read.
#[derive(Clone, Copy)]
struct Work<'a> {
    q: &'a [f32],
    spans: &'a [AttentionSpan<'a>],
    pages: &'a [Pages<'a>],
    params: &'a AttentionParams<'a>,
    shape: Shape,
}

/// A block of queries with the heads that share a key/value head.
struct Unit<'a> {
    span: usize,
    head: usize,
    rows: Range<usize>,
    /// The keys that any of the queries sees.
    keys: Range<usize>,
    cells: Mutex<Vec<&'a mut [f32]>>,
}

/// Of some rows the largest score, the sum of weights and the weighted sum of values.
struct State<'a> {
    max: &'a mut [f32],
    sum: &'a mut [f32],
    /// `[M, W]`, with the width `W` of a value padded to whole vectors.
    values: &'a mut [f32],
}

impl<'a> State<'a> {
    /// Numbers of a state of `rows`.
    fn len(rows: usize, width: usize) -> usize {
        rows * (width + 2)
    }

    /// A state in `numbers` as they are.
    fn new(numbers: &'a mut [f32], rows: usize) -> Self {
        let (max, rest) = numbers.split_at_mut(rows);
        let (sum, values) = rest.split_at_mut(rows);
        Self { max, sum, values }
    }

    /// Of no keys.
    fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.values.fill(0.0);
    }

    /// Of the keys of `self`, then those of `other`.
    fn merge(&mut self, other: &State<'_>) {
        let width = self.values.len() / self.max.len();
        for row in 0..self.max.len() {
            let max = self.max[row].max(other.max[row]);
            let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
            let (a, b) = (exp(self.max[row] - base), exp(other.max[row] - base));
            self.max[row] = max;
            self.sum[row] = self.sum[row] * a + other.sum[row] * b;
            let values = &mut self.values[row * width..][..width];
            for (v, other) in values.iter_mut().zip(&other.values[row * width..]) {
                *v = *v * a + other * b;
            }
        }
    }
}

impl<'a> Work<'a> {
    fn unit<'c>(
        &self,
        span: usize,
        head: usize,
        rows: Range<usize>,
        cells: Vec<&'c mut [f32]>,
    ) -> Unit<'c> {
        // Both ends rise with the row.
        let first = self.spans[span].visible(rows.start, self.params);
        let last = self.spans[span].visible(rows.end - 1, self.params);
        Unit {
            span,
            head,
            rows,
            keys: first.start.min(last.end)..last.end,
            cells: Mutex::new(cells),
        }
    }

    fn run(&self, cpu: &Cpu, units: &[Unit<'_>]) {
        let width = padded(self.shape.value_dim);
        let recycler = &cpu.recycler;
        let chunks: Vec<Range<usize>> = units.iter().map(|unit| self.chunks(unit)).collect();
        let items: usize = chunks.iter().map(Range::len).sum();
        // Few long units: deal their chunks, and merge afterwards.
        if units.len() < 3 * cpu.pool.threads() && items > units.len() && cpu.pool.threads() > 1 {
            let lens = |unit: &Unit<'_>| State::len(self.rows(unit), width);
            let total: usize = units
                .iter()
                .zip(&chunks)
                .map(|(unit, chunks)| chunks.len() * lens(unit))
                .sum();
            let mut states = recycler.take(total);
            let mut parts = Vec::with_capacity(items);
            let mut rest = states.as_mut_slice();
            for (unit, chunks) in units.iter().zip(&chunks) {
                for chunk in chunks.clone() {
                    let (part, after) = rest.split_at_mut(lens(unit));
                    parts.push((unit, chunk, Mutex::new(part)));
                    rest = after;
                }
            }
            cpu.pool.for_each(parts.len(), 1, |range| {
                for (unit, chunk, part) in &parts[range] {
                    let mut part = part.lock().expect("a part is locked once");
                    let mut scratch = recycler.take(self.scratch_len(unit));
                    let mut state = State::new(&mut part, self.rows(unit));
                    let mut scratch_parts = self.scratch(unit, &mut scratch);
                    self.chunk(cpu, unit, *chunk, &mut scratch_parts, &mut state);
                    recycler.put(scratch);
                }
            });
            drop(parts);
            let mut rest = states.as_mut_slice();
            for (unit, chunks) in units.iter().zip(&chunks) {
                let (all, after) = rest.split_at_mut(chunks.len() * lens(unit));
                rest = after;
                let mut total = recycler.take(lens(unit));
                let mut state = State::new(&mut total, self.rows(unit));
                state.clear();
                for part in all.chunks_exact_mut(lens(unit)) {
                    state.merge(&State::new(part, self.rows(unit)));
                }
                self.finish(unit, &mut state);
                recycler.put(total);
            }
            recycler.put(states);
            return;
        }
        cpu.pool.for_each(units.len(), 1, |range| {
            for i in range {
                let unit = &units[i];
                let rows = self.rows(unit);
                let len = State::len(rows, width);
                let mut memory = recycler.take(2 * len + self.scratch_len(unit));
                let (total, rest) = memory.split_at_mut(len);
                let (part, scratch) = rest.split_at_mut(len);
                let (mut total, mut part) = (State::new(total, rows), State::new(part, rows));
                let mut scratch = self.scratch(unit, scratch);
                total.clear();
                for chunk in chunks[i].clone() {
                    self.chunk(cpu, unit, chunk, &mut scratch, &mut part);
                    total.merge(&part);
                }
                self.finish(unit, &mut total);
                recycler.put(memory);
            }
        });
    }

    /// Queries times heads, `M`.
    fn rows(&self, unit: &Unit<'_>) -> usize {
        unit.rows.len() * self.shape.group
    }

    fn chunks(&self, unit: &Unit<'_>) -> Range<usize> {
        if unit.keys.is_empty() {
            return 0..0;
        }
        let phase = self.spans[unit.span].phase() * PAGE;
        (unit.keys.start + phase) / CHUNK..(unit.keys.end + phase).div_ceil(CHUNK)
    }

    fn scratch_len(&self, unit: &Unit<'_>) -> usize {
        let wide = self.pages[unit.span].scratch(self.shape.key_dim, self.shape.value_dim);
        self.rows(unit) * (self.shape.key_dim + BLOCK) + wide * BLOCK_PAGES
    }

    /// Memory for a unit, with its queries in it: row by row, for each query the heads of the group.
    fn scratch<'s>(&self, unit: &Unit<'_>, memory: &'s mut [f32]) -> Scratch<'s> {
        let Shape {
            heads,
            group,
            key_dim,
            ..
        } = self.shape;
        let (q, rest) = memory.split_at_mut(self.rows(unit) * key_dim);
        let (scores, wide) = rest.split_at_mut(self.rows(unit) * BLOCK);
        let width = group * key_dim;
        if width > 0 {
            for (to, row) in q.chunks_exact_mut(width).zip(unit.rows.clone()) {
                to.copy_from_slice(&self.q[(row * heads + unit.head * group) * key_dim..][..width]);
            }
        }
        Scratch { q, scores, wide }
    }

    /// The state of a unit after the keys of one chunk.
    fn chunk(
        &self,
        cpu: &Cpu,
        unit: &Unit<'_>,
        chunk: usize,
        scratch: &mut Scratch<'_>,
        state: &mut State<'_>,
    ) {
        state.clear();
        let Shape {
            group,
            key_dim,
            value_dim,
            ..
        } = self.shape;
        let (span, pages) = (&self.spans[unit.span], &self.pages[unit.span]);
        let phase = span.phase();
        let first = (unit.keys.start / PAGE).max((chunk * CHUNK_PAGES).saturating_sub(phase));
        let end = unit
            .keys
            .end
            .div_ceil(PAGE)
            .min((chunk + 1) * CHUNK_PAGES - phase);
        let mut page = first;
        while page < end {
            // The block that this page is in; `start` is where it would begin if all pages were there.
            let in_block = (page + phase) % BLOCK_PAGES;
            let pages_end = end.min(page + BLOCK_PAGES - in_block);
            let columns = (in_block + pages_end - page) * PAGE;
            let wide = scratch.wide.len() / BLOCK_PAGES;
            let mut block_pages: [BlockPage<'_>; BLOCK_PAGES] = Default::default();
            let mut rest = &mut *scratch.wide;
            for (i, to) in block_pages[in_block..]
                .iter_mut()
                .enumerate()
                .take(pages_end - page)
            {
                let (memory, after) = rest.split_at_mut(wide);
                rest = after;
                let (keys, values) =
                    pages.get(cpu.isa, page + i, unit.head, memory, key_dim, value_dim);
                let valid = PAGE.min(span.keys.len() - (page + i) * PAGE);
                *to = BlockPage {
                    keys,
                    values,
                    valid,
                };
            }
            let row = |r: usize| {
                let row = unit.rows.start + r / group;
                let seen = span.visible(row, self.params);
                let column = |slot: usize| {
                    (slot + in_block * PAGE)
                        .saturating_sub(page * PAGE)
                        .clamp(in_block * PAGE, columns)
                };
                let bias = self.params.bias.map(|bias| {
                    let width = bias.table.width();
                    let head = unit.head * group + r % group;
                    let table = &bias.table.data()[head * width..][..width];
                    // Positions are far below 2^63.
                    let key = (span.key_position + page * PAGE).cast_signed();
                    let query = (span.position + row - span.rows.start).cast_signed();
                    let first =
                        key - (in_block * PAGE).cast_signed() - query + bias.zero.cast_signed();
                    (table, first)
                });
                RowBias {
                    seen: column(seen.start)..column(seen.end),
                    bias,
                }
            };
            process(
                cpu.isa,
                &mut Block {
                    q: scratch.q,
                    depth: key_dim,
                    width: padded(value_dim),
                    pages: &block_pages,
                    first_column: in_block * PAGE,
                    columns,
                    scale: self.params.scale,
                    softcap: self.params.softcap,
                    row: &row,
                    scores: &mut *scratch.scores,
                    max: &mut *state.max,
                    sum: &mut *state.sum,
                    values: &mut *state.values,
                },
            );
            page = pages_end;
        }
    }

    /// Divide by the sums, and write the rows.
    fn finish(&self, unit: &Unit<'_>, state: &mut State<'_>) {
        let Shape {
            group, value_dim, ..
        } = self.shape;
        let width = padded(value_dim);
        let mut cells = unit.cells.lock().expect("a unit is finished once");
        for (i, cell) in cells.iter_mut().enumerate() {
            for (g, out) in cell.chunks_exact_mut(value_dim).enumerate() {
                let row = i * group + g;
                let (max, mut sum) = (state.max[row], state.sum[row]);
                let mut factor = 1.0;
                if let Some(sinks) = self.params.sinks {
                    let sink = sinks.data()[unit.head * group + g];
                    let larger = max.max(sink);
                    let base = if larger == f32::NEG_INFINITY {
                        0.0
                    } else {
                        larger
                    };
                    factor = exp(max - base);
                    sum = sum * factor + exp(sink - base);
                }
                // Of no key, the sum is exactly 0. NaN is not.
                let factor = if sum == 0.0 { 0.0 } else { factor / sum };
                for (out, value) in out.iter_mut().zip(&state.values[row * width..]) {
                    *out = value * factor;
                }
            }
        }
    }
}

/// A unit's memory.
struct Scratch<'a> {
    /// `[M, Dk]`.
    q: &'a [f32],
    /// `[M, BLOCK]`.
    scores: &'a mut [f32],
    /// Pages of a block that are not `f32` as they lie.
    wide: &'a mut [f32],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    const PARAMS: AttentionParams<'_> = AttentionParams {
        scale: 1.0,
        causal: true,
        window: None,
        softcap: None,
        sinks: None,
        bias: None,
    };

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor::from_vec(&Device::cpu(), shape, data.to_vec())
    }

    /// Three positions with equal scores, so that a result is the mean of the values seen.
    fn means(params: &AttentionParams<'_>, position: usize, key_position: usize) -> Vec<f32> {
        let q = tensor(&[3, 1, 1], &[0.0; 3]);
        let v = tensor(&[3, 1, 1], &[3.0, 6.0, 12.0]);
        let keys = KeyValues::Dense {
            k: &q,
            v: &v,
            rows: 0..3,
        };
        let span = AttentionSpan {
            rows: 0..3,
            position,
            keys,
            key_position,
        };
        attention(&q, &[span], params).into_vec().unwrap()
    }

    #[test]
    fn what_a_query_sees() {
        assert_eq!(means(&PARAMS, 0, 0), [3.0, 4.5, 7.0]);
        assert_eq!(means(&PARAMS, 7, 7), [3.0, 4.5, 7.0]);
        assert_eq!(
            means(&PARAMS, 0, 1),
            [0.0, 3.0, 4.5],
            "before all keys: zeros"
        );
        let two = AttentionParams {
            window: Some(2),
            ..PARAMS
        };
        assert_eq!(means(&two, 0, 0), [3.0, 4.5, 9.0]);
        let all = AttentionParams {
            causal: false,
            ..PARAMS
        };
        assert_eq!(means(&all, 0, 0), [7.0; 3]);
        let near = AttentionParams {
            window: Some(1),
            ..all
        };
        assert_eq!(means(&near, 0, 0), [4.5, 7.0, 9.0]);
        assert_eq!(means(&near, 3, 0), [12.0, 0.0, 0.0]);
    }

    #[test]
    fn a_sink_takes_a_share() {
        let sinks = tensor(&[1], &[0.0]);
        let params = AttentionParams {
            sinks: Some(&sinks),
            ..PARAMS
        };
        assert_eq!(means(&params, 0, 0), [1.5, 3.0, 5.25]);
    }

    #[test]
    #[should_panic(expected = "attention: two spans share rows of 0..3")]
    fn rows_belong_to_one_span() {
        let q = tensor(&[3, 1, 1], &[0.0; 3]);
        let keys = KeyValues::Dense {
            k: &q,
            v: &q,
            rows: 0..3,
        };
        let span = AttentionSpan {
            rows: 0..3,
            position: 0,
            keys,
            key_position: 0,
        };
        let _ = attention(&q, &[span.clone(), span], &PARAMS);
    }

    #[test]
    #[should_panic(expected = "attention: 33 positions in 1 pages of 32")]
    fn pages_must_hold_the_positions() {
        let mut store = KvStore::new(&Device::cpu(), 1, 1, 1, crate::KvDType::F32);
        let pages = [store.alloc()];
        let keys = KeyValues::Paged {
            store: &store,
            pages: &pages,
            len: 33,
        };
        let span = AttentionSpan {
            rows: 0..1,
            position: 0,
            keys,
            key_position: 0,
        };
        let _ = attention(&tensor(&[1, 1, 1], &[0.0]), &[span], &PARAMS);
    }
}
