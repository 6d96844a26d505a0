//! Attention over ragged sequences.
//!
//! `softmax(q k^T * scale + bias) v`, computed in blocks of keys with a running maximum, so that no score
//! outlives its block: Dao et al. 2022, <https://arxiv.org/abs/2205.14135>.
//!
//! One kernel serves prompts and single tokens. Its unit is a block of queries times all query heads of
//! one key/value head: a key is read once for all of them. Keys are cut at fixed positions ([`CHUNK`]), each
//! chunk has its own maximum and sum, and chunks are merged in their order. So a query's result does not
//! depend on how many threads there are, or on the sequences beside it; nor on how many queries come with it,
//! so that prompt and single tokens give the same numbers, but where [`pairs`] are multiplied for many.

mod block;
mod pages;
mod pairs;
mod product;
mod work;

use std::ops::Range;

use crate::pool::Parts;
use crate::{KvStore, PAGE, PageId, Tensor};
use pages::Pages;
use pairs::Rounding;
use work::{Shape, Work};

/// Pages of a chunk.
const CHUNK_PAGES: usize = 16;
/// Keys that are always summed by one thread.
const CHUNK: usize = CHUNK_PAGES * PAGE;
/// Rows, a query times a head each, that share one reading of the keys: the tiles of the products are
/// small beside it, and scores and values of as many stay in the nearest cache.
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
/// differ in their last bits; all others agree. Of keys and values in `bf16`, with
/// [`Precision::Fast`](crate::Precision::Fast) and many queries, queries and weights are rounded to `bf16` where
/// the processor gains by it.
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
    let mut in_span = vec![false; rows];
    for span in spans {
        span.check(rows, kv_heads, key_dim, value_dim);
        for seen in &mut in_span[span.rows.clone()] {
            assert!(!*seen, "attention: two spans share rows of {:?}", span.rows);
            *seen = true;
        }
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = q.device().on_gpu() {
        if rows * heads * value_dim == 0 {
            return Tensor::zeros(q.device(), &[rows, heads * value_dim]);
        }
        let idle = (0..rows).filter(|&row| !in_span[row]).collect();
        return crate::gpu::ops::attention::attention(gpu, q, spans, params, value_dim, idle);
    }

    let cpu = q.device().on_cpu();
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
        pairs: Rounding::of(cpu),
    };

    if group * value_dim == 0 {
        return out;
    }
    let mut units = Vec::with_capacity(spans.len() * kv_heads);
    for (index, span) in spans.iter().enumerate() {
        let step = ROWS.div_ceil(group);
        for start in span.rows.clone().step_by(step) {
            let rows = start..span.rows.end.min(start + step);
            units.extend((0..kv_heads).map(|head| work.unit(index, head, rows.clone())));
        }
    }
    let width = heads * value_dim;
    for (row, in_span) in out.data_mut().chunks_exact_mut(width).zip(in_span) {
        if !in_span {
            row.fill(0.0);
        }
    }
    work.run(cpu, &units, &Parts::new(out.data_mut()));
    for span in spans {
        let (bytes, pairs) = span.work(params);
        let width = key_dim + value_dim;
        cpu.work
            .add(bytes * kv_heads * width, pairs * heads * width);
    }
    out
}

impl KeyValues<'_> {
    pub(crate) fn heads_and_value_dim(&self) -> (usize, usize) {
        match self {
            Self::Paged { store, .. } => (store.heads(), store.value_dim()),
            Self::Dense { v, .. } => match *v.shape() {
                [_, heads, dim] => (heads, dim),
                _ => panic!("attention: values [S, K, D], found {:?}", v.shape()),
            },
        }
    }

    /// Keys, `S`.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Paged { len, .. } => *len,
            Self::Dense { rows, .. } => rows.len(),
        }
    }
}

impl AttentionSpan<'_> {
    /// What has to be done, for each number of a key or value: bytes that are read, and pairs of a query
    /// and a key.
    fn work(&self, params: &AttentionParams<'_>) -> (usize, usize) {
        let size = match &self.keys {
            KeyValues::Paged { store, .. } => store.dtype().size(),
            KeyValues::Dense { .. } => size_of::<f32>(),
        };
        let seen = || self.rows.clone().map(|row| self.visible(row, params));
        let first = seen().map(|keys| keys.start).min().unwrap_or(0);
        let end = seen().map(|keys| keys.end).max().unwrap_or(0);
        (
            end.saturating_sub(first) * size,
            seen().map(|keys| keys.len()).sum(),
        )
    }

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
    pub(crate) fn visible(&self, row: usize, params: &AttentionParams<'_>) -> Range<usize> {
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
