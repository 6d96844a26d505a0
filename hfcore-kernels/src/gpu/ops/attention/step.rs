//! What a step says of attention: its words and grids, beside the node that stays the same.
//!
//! The words of either kernel are the splits, then an entry for each row or tile, then the page tables, as
//! `attention_span.wgsl` has them.

use std::ops::Range;

use super::super::{few, heads, kv, word};
use super::{Attention, Bias, Deal, Few, Keys, LEFT, Many, Source};
use crate::attention::{AttentionParams, AttentionSpan, KeyValues};
use crate::gpu::{Gpu, Operand, Recording};
use crate::{PAGE, Tensor};

/// Rows of a span, at most, that are each attended to alone.
const FEW: usize = 8;
/// Workgroups that fill a GPU.
const FULL: usize = 512;
/// Splits, at most.
const MOST_SPLITS: usize = 64;
/// Keys of a split, at least: those that a workgroup has in memory at once.
const SPLIT: usize = 128;
/// Times as many that they may be, so that no more splits are left than whoever reads the result merges.
const SEVERAL: usize = 3;
/// Pairs of a query and a head of a tile.
const PAIRS: usize = 64;
/// Words before the entries, and of an entry.
const HEADER: usize = 4;
const ENTRY: usize = 8;
/// Words there is always room for.
const ROOM: usize = 64;
/// No window; and one that is as wide as any context.
const NO_WINDOW: u32 = u32::MAX;
const WIDEST_WINDOW: usize = 1 << 30;

/// Spans that have their keys in the same place.
struct Group<'a, 'b> {
    spans: Vec<&'a AttentionSpan<'b>>,
    /// Rows of no span, which get zeros.
    idle: Vec<usize>,
}

/// [`attention`](crate::attention), when all has been checked, and of some numbers.
#[track_caller]
pub(crate) fn attention(
    gpu: &Gpu,
    q: &Tensor,
    spans: &[AttentionSpan<'_>],
    params: &AttentionParams<'_>,
    value_dim: usize,
    idle: Vec<usize>,
) -> Tensor {
    let &[rows, heads, key_dim] = q.shape() else {
        unreachable!("the shape was checked")
    };
    heads::check_width(key_dim);
    let (kv_heads, _) = spans[0].keys.heads_and_value_dim();
    let mut recording = gpu.recording();
    // Of each source the spans, in order.
    let mut groups: Vec<Group<'_, '_>> = Vec::new();
    for span in spans {
        let same = |group: &&mut Group<'_, '_>| same_source(gpu, &group.spans[0].keys, &span.keys);
        match groups.iter_mut().find(same) {
            Some(group) => group.spans.push(span),
            None => groups.push(Group {
                spans: vec![span],
                idle: Vec::new(),
            }),
        }
    }
    groups[0].idle = idle;
    let mut op = Attention {
        heads_first: None,
        q: recording.operand(q),
        rows: word(rows),
        heads: word(heads),
        kv_heads: word(kv_heads),
        key_dim: word(key_dim),
        value_dim: word(value_dim),
        scale: params.scale.into(),
        softcap: params.softcap.unwrap_or(0.0).into(),
        window: params
            .window
            .map_or(NO_WINDOW, |window| word(window.min(WIDEST_WINDOW))),
        causal: params.causal,
        sinks: params.sinks.map(|sinks| recording.operand(sinks)),
        bias: params.bias.map(|bias| {
            Box::new(Bias {
                table: recording.operand(bias.table),
                width: word(bias.table.width()),
                zero: word(bias.zero),
            })
        }),
        sources: Vec::new(),
    };
    for group in &groups {
        let (keys, written) = match &group.spans[0].keys {
            KeyValues::Paged { store, .. } => {
                let (buffers, written) = store.on_gpu().read(&mut recording);
                (Keys::Paged(buffers), written)
            }
            KeyValues::Dense { k, v, .. } => {
                let [k, v] = [k, v].map(|x| recording.operand(x));
                (Keys::Dense { k, v }, Vec::new())
            }
        };
        let source = source(&mut recording, &op, keys, &written, group, params);
        op.sources.push(source);
    }
    recording.push_one(q.device(), op, &[rows, heads * value_dim])
}

fn same_source(gpu: &Gpu, a: &KeyValues<'_>, b: &KeyValues<'_>) -> bool {
    match (a, b) {
        (KeyValues::Paged { store: a, .. }, KeyValues::Paged { store: b, .. }) => {
            std::ptr::eq(*a, *b)
        }
        (KeyValues::Dense { k, v, .. }, KeyValues::Dense { k: k2, v: v2, .. }) => {
            k.gpu_value(gpu).is(k2.gpu_value(gpu)) && v.gpu_value(gpu).is(v2.gpu_value(gpu))
        }
        _ => false,
    }
}

fn source(
    recording: &mut Recording<'_>,
    op: &Attention,
    keys: Keys,
    written: &[u32],
    group: &Group<'_, '_>,
    params: &AttentionParams<'_>,
) -> Source {
    let deal = op.deal(keys.store());
    let spans = group.spans.iter().filter(|span| !span.rows.is_empty());
    let (few, many): (Vec<_>, Vec<_>) = spans.partition(|span| span.rows.len() <= FEW);
    let counts: Vec<u32> = (keys.parts(op.kv_heads).iter())
        .map(|(_, _, count)| *count)
        .collect();
    let few = (!few.is_empty() || !group.idle.is_empty()).then(|| Few {
        newest: are_newest(&few, &group.idle, written, params),
        ..few_rows(recording, op, deal, &counts, &few, &group.idle, params)
    });
    let many = (!many.is_empty()).then(|| tiles(recording, op, deal, &counts, &many, params));
    Source { keys, few, many }
}

/// The words of a step for entries and the page tables that they point to.
struct Words {
    words: Vec<u32>,
    entries: usize,
    /// Where the table of the next span goes.
    tables: Vec<u32>,
}

impl Words {
    fn new(entries: usize) -> Self {
        let mut words = Vec::with_capacity(HEADER + ENTRY * entries);
        words.resize(HEADER, 0);
        Self {
            words,
            entries,
            tables: Vec::new(),
        }
    }

    /// Add the page table of a span, or find where its dense keys begin.
    fn keys(&mut self, span: &AttentionSpan<'_>) -> u32 {
        match &span.keys {
            KeyValues::Paged { pages, .. } => {
                let at = HEADER + ENTRY * self.entries + self.tables.len();
                self.tables.extend(pages.iter().map(|page| page.number()));
                word(at)
            }
            KeyValues::Dense { rows, .. } => word(rows.start),
        }
    }

    /// Add an entry, from pair `pair` on of `rows`, of which the first query stands at `slot`.
    fn entry(&mut self, rows: Range<usize>, pair: usize, len: usize, slot: i32, keys: u32) {
        let entry = [word(rows.start), word(rows.len()), word(pair), word(len)];
        self.words.extend(entry);
        self.words.extend([slot.cast_unsigned(), keys, 0, 0]);
    }

    fn finish(mut self, recording: &mut Recording<'_>) -> Operand {
        debug_assert_eq!(self.words.len(), HEADER + ENTRY * self.entries, "entries");
        self.words.append(&mut self.tables);
        let room = self.words.len().next_power_of_two().max(ROOM);
        recording.words(&self.words, room)
    }
}

/// The slot of a span's first query: its position less that of the first key.
fn first_slot(span: &AttentionSpan<'_>) -> i32 {
    let [position, key_position] = [span.position, span.key_position]
        .map(|position| i32::try_from(position).unwrap_or(i32::MAX / 2));
    position - key_position
}

fn few_rows(
    recording: &mut Recording<'_>,
    op: &Attention,
    deal: Deal,
    counts: &[u32],
    spans: &[&AttentionSpan<'_>],
    idle: &[usize],
    params: &AttentionParams<'_>,
) -> Few {
    let rows: usize = spans.iter().map(|span| span.rows.len()).sum();
    let entries = rows + idle.len();
    let groups = entries * (op.kv_heads * deal.few) as usize;
    let bytes = entries * op.heads as usize * (op.value_dim as usize + 2) * 4;
    let limit = usize::try_from(recording.gpu().caps().max_binding).unwrap_or(usize::MAX);
    // What a projection that merges has room for is more than fills a GPU, but of many heads.
    let merged = few::MERGED as usize / (entries * op.heads as usize);
    let room = (FULL / groups.max(1))
        .min(limit / bytes)
        .min(merged.max(LEFT as usize))
        .clamp(1, MOST_SPLITS);

    let mut words = Words::new(entries);
    let mut longest = 0;
    for span in spans {
        let keys = words.keys(span);
        for (row, slot) in span.rows.clone().zip(first_slot(span)..) {
            let seen = span.visible(row, params);
            longest = longest.max(seen.end - seen.start / PAGE * PAGE);
            words.entry(row..row + 1, 0, span.keys.len(), slot, keys);
        }
    }
    for &row in idle {
        words.entry(row..row + 1, 0, 0, 0, 0);
    }
    // Up to a few blocks each, no more splits than may be left: a merge takes longer than a block.
    let left = longest.div_ceil(LEFT as usize).next_multiple_of(SPLIT);
    let size = if left <= SEVERAL * SPLIT && room >= LEFT as usize {
        left.max(SPLIT)
    } else {
        (longest.div_ceil(room).max(SPLIT)).next_multiple_of(PAGE)
    };
    let splits = word(longest.div_ceil(size).max(1));
    let left = if splits <= LEFT { splits } else { 1 };
    words.words[..3].copy_from_slice(&[left, word(size), splits]);
    let grids = (counts.iter())
        .map(|count| recording.grid([splits, count * deal.few, word(entries)]))
        .collect();
    let mut merge = |needed: bool| {
        recording.grid(if needed {
            [op.heads, word(entries), 1]
        } else {
            [0; 3]
        })
    };
    let (merge, merge_most) = (merge(splits > 1), merge(splits > LEFT));
    Few {
        words: words.finish(recording),
        grids,
        merge,
        merge_most,
        entries: word(entries),
        splits: word(room),
        newest: false,
    }
}

/// Whether each of these sequences has one row, which sees a last key that is its own and `written`, the slots of all
/// rows, says is written now, and which no other sequence has; and nothing is written besides.
fn are_newest(
    spans: &[&AttentionSpan<'_>],
    idle: &[usize],
    written: &[u32],
    params: &AttentionParams<'_>,
) -> bool {
    let rows = spans.len() + idle.len();
    if rows != written.len() || rows > FEW || idle.iter().any(|&row| written[row] != kv::NOWHERE) {
        return false;
    }
    let newest = |span: &AttentionSpan<'_>| {
        let KeyValues::Paged { pages, len, .. } = span.keys else {
            return false;
        };
        let Some(own) = span.position.checked_sub(span.key_position) else {
            return false;
        };
        let row = span.rows.start;
        let seen = span.visible(row, params);
        span.rows.len() == 1
            && seen.end == len
            && seen.start <= own
            && own + 1 == len
            && written[row] == kv::slot(pages[own / PAGE].number(), own)
    };
    let page = |span: &AttentionSpan<'_>| written[span.rows.start] / word(PAGE);
    let has = |span: &AttentionSpan<'_>, page: u32| match span.keys {
        KeyValues::Paged { pages, .. } => pages.iter().any(|own| own.number() == page),
        KeyValues::Dense { .. } => true,
    };
    spans.iter().all(|span| newest(span))
        && spans.iter().enumerate().all(|(i, span)| {
            let page = page(span);
            (spans.iter().enumerate()).all(|(j, other)| i == j || !has(other, page))
        })
}

fn tiles(
    recording: &mut Recording<'_>,
    op: &Attention,
    deal: Deal,
    counts: &[u32],
    spans: &[&AttentionSpan<'_>],
    params: &AttentionParams<'_>,
) -> Many {
    let group = (op.heads / op.kv_heads) as usize;
    let tiles = |span: &AttentionSpan<'_>| (span.rows.len() * group).div_ceil(PAIRS);
    let entries = spans.iter().map(|span| tiles(span)).sum();
    let mut words = Words::new(entries);
    let mut pairs = 0_u64;
    for span in spans {
        let keys = words.keys(span);
        // The last see the most keys, and begin first.
        for tile in (0..tiles(span)).rev() {
            words.entry(
                span.rows.clone(),
                tile * PAIRS,
                span.keys.len(),
                first_slot(span),
                keys,
            );
        }
        let last = span.visible(span.rows.end - 1, params);
        pairs += span.rows.len() as u64 * (last.len() as u64).next_power_of_two();
    }
    let grids = (counts.iter())
        .map(|count| recording.grid([word(entries), count * deal.many, 1]))
        .collect();
    Many {
        words: words.finish(recording),
        grids,
        pairs,
    }
}
