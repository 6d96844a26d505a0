//! How attention is cut into units and chunks, dealt to threads, and put together again.

use std::ops::Range;

use super::block::{BLOCK, Block, BlockPage, RowBias, process, weight};
use super::pages::{Form, Pages, padded};
use super::pairs::Rounding;
use super::{AttentionParams, AttentionSpan, CHUNK, CHUNK_PAGES};
use crate::PAGE;
use crate::device::Cpu;
use crate::pool::Parts;

/// Pages of a block.
const BLOCK_PAGES: usize = BLOCK / PAGE;

/// Heads, and their widths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) heads: usize,
    pub(super) group: usize,
    pub(super) key_dim: usize,
    pub(super) value_dim: usize,
}

/// All that units read.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) q: &'a [f32],
    pub(super) spans: &'a [AttentionSpan<'a>],
    pub(super) pages: &'a [Pages<'a>],
    pub(super) params: &'a AttentionParams<'a>,
    pub(super) shape: Shape,
    /// How pairs of `bf16` are made, where that is wanted.
    pub(super) pairs: Option<Rounding>,
}

/// A block of queries with the heads that share a key/value head.
pub(super) struct Unit {
    span: usize,
    head: usize,
    rows: Range<usize>,
    /// The keys that any of the queries sees.
    keys: Range<usize>,
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
            let (a, b) = (weight(self.max[row] - base), weight(other.max[row] - base));
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
    pub(super) fn unit(&self, span: usize, head: usize, rows: Range<usize>) -> Unit {
        // Both ends rise with the row.
        let first = self.spans[span].visible(rows.start, self.params);
        let last = self.spans[span].visible(rows.end - 1, self.params);
        Unit {
            span,
            head,
            rows,
            keys: first.start.min(last.end)..last.end,
        }
    }

    /// Compute all `units`, no two of which have a head and a row in common, and write them to `out`
    /// `[T, H, Dv]`.
    pub(super) fn run(&self, cpu: &Cpu, units: &[Unit], out: &Parts<'_, f32>) {
        let width = padded(self.shape.value_dim);
        let recycler = &cpu.recycler;
        let chunks: Vec<Range<usize>> = units.iter().map(|unit| self.chunks(unit)).collect();
        let items: usize = chunks.iter().map(Range::len).sum();
        // Few long units: deal their chunks, and merge afterwards.
        if units.len() < 3 * cpu.pool.threads() && items > units.len() && cpu.pool.threads() > 1 {
            let lens = |unit: &Unit| State::len(self.rows(unit), width);
            // Each chunk with the place of its state.
            let mut parts = Vec::with_capacity(items);
            let mut total = 0;
            for (unit, chunks) in units.iter().zip(&chunks) {
                for chunk in chunks.clone() {
                    parts.push((unit, chunk, total));
                    total += lens(unit);
                }
            }
            let mut states = recycler.take(total);
            let places = Parts::new(&mut states);
            cpu.pool.for_each(parts.len(), 1, |range| {
                for &(unit, chunk, place) in &parts[range] {
                    // SAFETY: places are one behind the other, and each chunk is dealt once.
                    let part = unsafe { places.part(place..place + lens(unit)) };
                    let mut scratch = recycler.take(self.scratch_len(unit));
                    let mut state = State::new(part, self.rows(unit));
                    let mut scratch_parts = self.scratch(unit, &mut scratch);
                    self.chunk(cpu, unit, chunk, &mut scratch_parts, &mut state);
                    recycler.put(scratch);
                }
            });
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
                self.finish(unit, &mut state, out);
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
                self.finish(unit, &mut total, out);
                recycler.put(memory);
            }
        });
    }

    /// Queries times heads, `M`.
    fn rows(&self, unit: &Unit) -> usize {
        unit.rows.len() * self.shape.group
    }

    fn chunks(&self, unit: &Unit) -> Range<usize> {
        if unit.keys.is_empty() {
            return 0..0;
        }
        let phase = self.spans[unit.span].phase() * PAGE;
        (unit.keys.start + phase) / CHUNK..(unit.keys.end + phase).div_ceil(CHUNK)
    }

    fn scratch_len(&self, unit: &Unit) -> usize {
        let Shape {
            key_dim, value_dim, ..
        } = self.shape;
        let page = self.form(unit).scratch(key_dim, value_dim);
        self.rows(unit) * (key_dim + BLOCK) + page * BLOCK_PAGES
    }

    /// What pages become for a unit.
    fn form(&self, unit: &Unit) -> Form {
        let Shape { group, key_dim, .. } = self.shape;
        let all = self.spans[unit.span].rows.len() * group;
        self.pages[unit.span].form([self.rows(unit), all], key_dim, self.pairs)
    }

    /// Memory for a unit, with its queries in it: row by row, for each query the heads of the group; in pairs
    /// where keys are.
    fn scratch<'s>(&self, unit: &Unit, memory: &'s mut [f32]) -> Scratch<'s> {
        let Shape {
            heads,
            group,
            key_dim,
            ..
        } = self.shape;
        let form = self.form(unit);
        let (q, rest) = memory.split_at_mut(self.rows(unit) * key_dim);
        let (scores, pages) = rest.split_at_mut(self.rows(unit) * BLOCK);
        let width = group * key_dim;
        let queries = unit.rows.clone().map(|row| {
            let start = (row * heads + unit.head * group) * key_dim;
            &self.q[start..start + width]
        });
        match form.rounding() {
            _ if width == 0 => {}
            None => {
                let to = q.chunks_exact_mut(width);
                to.zip(queries)
                    .for_each(|(to, from)| to.copy_from_slice(from));
            }
            Some(rounding) => {
                let to = q.chunks_exact_mut(width / 2);
                to.zip(queries)
                    .for_each(|(to, from)| rounding.round(from, to));
            }
        }
        Scratch {
            form,
            q,
            scores,
            pages,
        }
    }

    /// The state of a unit after the keys of one chunk.
    fn chunk(
        &self,
        cpu: &Cpu,
        unit: &Unit,
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
        let rounding = scratch.form.rounding();
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
            let len = scratch.pages.len() / BLOCK_PAGES;
            let mut block_pages: [BlockPage<'_>; BLOCK_PAGES] = Default::default();
            let mut rest = &mut *scratch.pages;
            for (i, to) in block_pages[in_block..]
                .iter_mut()
                .enumerate()
                .take(pages_end - page)
            {
                let (memory, after) = rest.split_at_mut(len);
                rest = after;
                let valid = PAGE.min(span.keys.len() - (page + i) * PAGE);
                let which = [page + i, valid, unit.head];
                let widths = [key_dim, value_dim];
                let (keys, values) = pages.get(cpu.isa, scratch.form, which, memory, widths);
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
                    depth: if rounding.is_some() {
                        key_dim / 2
                    } else {
                        key_dim
                    },
                    rounding,
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
    fn finish(&self, unit: &Unit, state: &mut State<'_>, out: &Parts<'_, f32>) {
        let Shape {
            heads,
            group,
            value_dim,
            ..
        } = self.shape;
        let width = padded(value_dim);
        let first_head = unit.head * group;
        for (i, row) in unit.rows.clone().enumerate() {
            let place = (row * heads + first_head) * value_dim;
            // SAFETY: the caller of `run` promises that no other unit has these heads of this row.
            let cell = unsafe { out.part(place..place + group * value_dim) };
            for (g, out) in cell.chunks_exact_mut(value_dim).enumerate() {
                let row = i * group + g;
                let (max, mut sum) = (state.max[row], state.sum[row]);
                let mut factor = 1.0;
                if let Some(sinks) = self.params.sinks {
                    let sink = sinks.data()[first_head + g];
                    let larger = max.max(sink);
                    let base = if larger == f32::NEG_INFINITY {
                        0.0
                    } else {
                        larger
                    };
                    factor = weight(max - base);
                    sum = sum * factor + weight(sink - base);
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
    form: Form,
    /// `[M, Dk]`, or the words of these.
    q: &'a [f32],
    /// `[M, BLOCK]`.
    scores: &'a mut [f32],
    /// Pages of a block that are not multiplied as they lie.
    pages: &'a mut [f32],
}
