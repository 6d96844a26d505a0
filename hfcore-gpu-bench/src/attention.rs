//! Attention alone: one query over a context, which reading keys and values bounds, and a part of a prompt.
//!
//! The output of one is the query of the next, so that no two overlap.

use hfcore_kernels::{
    AttentionParams, AttentionSpan, Device, KeyValues, KvDType, KvStore, PAGE, PageId, Tensor,
    attention,
};

use crate::Error;
use crate::measure::of_one_more;
use crate::products::waves;
use crate::report::Attention;
use crate::shapes::Shape;

/// The last `queries` positions of `context` in a layer of `shape`.
///
/// # Errors
/// If the device fails.
pub fn measure(
    device: &Device,
    shape: &Shape,
    kv: KvDType,
    [queries, context]: [usize; 2],
    times: usize,
) -> Result<Attention, Error> {
    let (heads, kv_heads, dim) = (
        shape.num_attention_heads,
        shape.num_key_value_heads,
        shape.head_dim,
    );
    let layer = Layer::new(device, shape, kv, [queries, context]);
    let ends = if queries == 1 { [8, 40] } else { [1, 4] };
    let seconds = of_one_more(device, ends, times, |n| layer.record(n))?;
    // Keys that the queries see, all together.
    let seen = queries * (context - queries) + queries * (queries + 1) / 2;
    #[expect(clippy::cast_precision_loss, reason = "rates need no 53 bits")]
    let (operations, bytes) = (
        (4 * heads * dim * seen) as f64,
        (2 * kv_heads * dim * context * kv.size()) as f64,
    );
    Ok(Attention {
        queries,
        context,
        heads,
        kv_heads,
        head_dim: dim,
        kv: format!("{kv:?}").to_lowercase(),
        seconds,
        operations_per_s: seconds.map(|seconds| operations / seconds),
        bytes_per_s: seconds.map(|seconds| bytes / seconds),
    })
}

/// Keys and values of a context, and the first queries.
struct Layer {
    q: Tensor,
    store: KvStore,
    pages: Vec<PageId>,
    context: usize,
    scale: f32,
}

impl Layer {
    fn new(device: &Device, shape: &Shape, kv: KvDType, [queries, context]: [usize; 2]) -> Self {
        let (heads, kv_heads, dim) = (
            shape.num_attention_heads,
            shape.num_key_value_heads,
            shape.head_dim,
        );
        let mut store = KvStore::new(device, kv_heads, dim, dim, kv);
        let pages: Vec<_> = (0..context.div_ceil(PAGE)).map(|_| store.alloc()).collect();
        let rows = context.min(512);
        let part = || {
            let numbers = waves(rows * kv_heads * dim);
            Tensor::parameter(device, &[rows, kv_heads, dim], numbers)
        };
        let (k, v) = (part(), part());
        for slot in (0..context).step_by(rows) {
            store.write(&pages, slot, &k, &v, 0..rows.min(context - slot));
        }
        #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
        let scale = (dim as f32).powf(-0.5);
        Self {
            q: Tensor::parameter(device, &[queries, heads, dim], waves(queries * heads * dim)),
            store,
            pages,
            context,
            scale,
        }
    }

    fn record(&self, n: usize) -> Tensor {
        let shape = self.q.shape();
        let params = AttentionParams {
            scale: self.scale,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        let mut q = self.q.clone();
        for _ in 0..n {
            let keys = KeyValues::Paged {
                store: &self.store,
                pages: &self.pages,
                len: self.context,
            };
            let span = AttentionSpan {
                rows: 0..shape[0],
                position: self.context - shape[0],
                keys,
                key_position: 0,
            };
            q = attention(&q, &[span], &params).reshape(shape);
        }
        q
    }
}
