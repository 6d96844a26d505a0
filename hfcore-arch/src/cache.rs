//! What a model remembers of its sequences: keys and values, in pages that sequences share.
//!
//! ```text
//! sequence 0   [page 3][page 7][page 2]          fork     sequence 1   [page 3][page 7][page 2]
//!               32 positions each                                       the same pages, counted
//! ```
//!
//! A fork copies page numbers, not pages; the last page is copied when one of its owners writes to
//! it. So beams, parallel samples, prefix sharing and roll-back are [`fork`](Cache::fork),
//! [`truncate`](Cache::truncate) and [`remove`](Cache::remove). A layer with a sliding window gives
//! the pages behind the window back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hfcore_kernels::{Device, KeyValues, KvDType, KvStore, PAGE, PageId, Tensor};

use crate::error::CacheError;

/// The name of a sequence in a [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(u64);

/// How a cache is kept.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CacheOptions {
    /// The type of keys and values: `f32` is exact; 16 bits halve the memory.
    pub dtype: CacheDType,
}

impl CacheOptions {
    /// Keep keys and values in this type.
    #[must_use]
    pub const fn with_dtype(mut self, dtype: CacheDType) -> Self {
        self.dtype = dtype;
        self
    }
}

/// The type of the keys and values in a [`Cache`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheDType {
    /// [`Bf16`](Self::Bf16) for a model published in `bf16` whose matrix products may round activations to
    /// it (`Precision::Fast`, or `Auto`), as transformers does with such a model; else [`F32`](Self::F32).
    #[default]
    Auto,
    /// Exact.
    F32,
    /// Half the memory; keys and values are rounded to 8 bits of mantissa.
    Bf16,
    /// Half the memory; 11 bits of mantissa, and a range up to 65504.
    F16,
}

/// What one layer remembers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerCacheSpec {
    /// `K`, heads of keys and values.
    pub num_key_value_heads: usize,
    /// `D`, width of a key.
    pub key_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Positions a query sees, itself included; all, if `None`.
    pub sliding_window: Option<usize>,
}

impl LayerCacheSpec {
    /// A layer of `heads` keys and values of width `head_dim`.
    #[must_use]
    pub const fn new(heads: usize, head_dim: usize, sliding_window: Option<usize>) -> Self {
        Self {
            num_key_value_heads: heads,
            key_dim: head_dim,
            value_dim: head_dim,
            sliding_window,
        }
    }
}

/// State of a model's sequences. One per conversation, or one for a whole server.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<Layer>,
    sequences: BTreeMap<SequenceId, Sequence>,
    next: u64,
}

#[derive(Debug)]
struct Layer {
    store: KvStore,
    sliding_window: Option<usize>,
    /// Bytes of one position.
    stride: usize,
}

#[derive(Clone, Debug)]
struct Sequence {
    /// Position of the first token.
    start: usize,
    /// Tokens remembered.
    len: usize,
    layers: Vec<LayerSequence>,
}

#[derive(Clone, Debug, Default)]
struct LayerSequence {
    /// The pages of slots `dropped..`; slot `i` is the `i`-th token of the sequence.
    pages: Vec<PageId>,
    /// Slots given back at the front, a multiple of [`PAGE`].
    dropped: usize,
    /// Keys and values of the encoder's output, where the layer attends to one.
    cross: Option<Arc<(Tensor, Tensor)>>,
}

impl Cache {
    /// An empty cache for layers like these; of `f32`, where the options leave it to the model.
    #[must_use]
    pub fn new(layers: &[LayerCacheSpec], options: &CacheOptions, device: &Device) -> Self {
        let dtype = match options.dtype {
            CacheDType::Auto | CacheDType::F32 => KvDType::F32,
            CacheDType::Bf16 => KvDType::Bf16,
            CacheDType::F16 => KvDType::F16,
        };
        let layers = layers.iter().map(|spec| Layer {
            stride: spec.num_key_value_heads * (spec.key_dim + spec.value_dim) * dtype.size(),
            store: KvStore::new(
                device,
                spec.num_key_value_heads,
                spec.key_dim,
                spec.value_dim,
                dtype,
            ),
            sliding_window: spec.sliding_window,
        });
        Self {
            layers: layers.collect(),
            sequences: BTreeMap::new(),
            next: 0,
        }
    }

    /// A new, empty sequence.
    pub fn add(&mut self) -> SequenceId {
        self.add_at(0)
    }

    /// A new, empty sequence whose first token will stand at `position` instead of 0: what
    /// transformers' `forward` does to a row that begins with padding.
    pub fn add_at(&mut self, position: usize) -> SequenceId {
        let layers = vec![LayerSequence::default(); self.layers.len()];
        self.insert(Sequence {
            start: position,
            len: 0,
            layers,
        })
    }

    /// A copy of `sequence` that goes its own way from here. The pages are shared.
    ///
    /// # Errors
    /// If there is no such sequence.
    pub fn fork(&mut self, sequence: SequenceId) -> Result<SequenceId, CacheError> {
        let copy = self.sequence(sequence)?.clone();
        for (layer, state) in self.layers.iter_mut().zip(&copy.layers) {
            state
                .pages
                .iter()
                .for_each(|&page| layer.store.retain(page));
        }
        Ok(self.insert(copy))
    }

    /// Forget all but the first `len` tokens of `sequence`. To forget all of them is always possible.
    ///
    /// # Errors
    /// If there is no such sequence, it is shorter, or a sliding window has already dropped what the
    /// shorter sequence would need.
    pub fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<(), CacheError> {
        let state = self.sequence(sequence)?;
        if len > state.len {
            return Err(CacheError::TooShort {
                sequence,
                len: state.len,
                wanted: len,
            });
        }
        let shortest = (self.layers.iter().zip(&state.layers))
            .filter(|(_, state)| state.dropped > 0 && len > 0)
            .map(|(layer, state)| state.dropped + layer.sliding_window.unwrap_or(1) - 1)
            .max()
            .unwrap_or(0);
        if len < shortest {
            return Err(CacheError::Evicted {
                sequence,
                wanted: len,
                shortest,
            });
        }
        if let Some(state) = self.sequences.get_mut(&sequence) {
            state.len = len;
            for (layer, state) in self.layers.iter_mut().zip(&mut state.layers) {
                if len == 0 {
                    state.dropped = 0;
                }
                let keep = len.saturating_sub(state.dropped).div_ceil(PAGE);
                state
                    .pages
                    .drain(keep.min(state.pages.len())..)
                    .for_each(|page| layer.store.release(page));
            }
        }
        Ok(())
    }

    /// Forget `sequence`. Pages that no other sequence shares are free again.
    ///
    /// # Errors
    /// If there is no such sequence.
    pub fn remove(&mut self, sequence: SequenceId) -> Result<(), CacheError> {
        let state = self
            .sequences
            .remove(&sequence)
            .ok_or(CacheError::UnknownSequence(sequence))?;
        for (layer, state) in self.layers.iter_mut().zip(state.layers) {
            state
                .pages
                .into_iter()
                .for_each(|page| layer.store.release(page));
        }
        Ok(())
    }

    /// Tokens that `sequence` remembers; `None` if there is no such sequence.
    #[must_use]
    pub fn len(&self, sequence: SequenceId) -> Option<usize> {
        self.sequences.get(&sequence).map(|s| s.len)
    }

    /// The position that the next token of `sequence` will have; `None` if there is no such sequence.
    #[must_use]
    pub fn position(&self, sequence: SequenceId) -> Option<usize> {
        self.sequences.get(&sequence).map(|s| s.start + s.len)
    }

    /// The sequences, oldest first.
    pub fn sequences(&self) -> impl Iterator<Item = SequenceId> + '_ {
        self.sequences.keys().copied()
    }

    /// Layers of the model this cache was made for.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// Bytes of the pages in use. What sequences share counts once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.store.bytes()).sum()
    }

    /// Bytes that a sequence of `len` tokens takes, whole pages counted, when all are remembered at once.
    #[must_use]
    pub fn bytes_for(&self, len: usize) -> usize {
        let positions = |layer: &Layer| {
            let kept = layer
                .sliding_window
                .map_or(len, |window| len.min(window + PAGE));
            kept.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX)
        };
        (self.layers.iter())
            .map(|layer| positions(layer).saturating_mul(layer.stride))
            .fold(0, usize::saturating_add)
    }

    /// Remember the encoder's keys and values, `[S, K, D]` each, for `layer` of `sequence`.
    ///
    /// # Errors
    /// If there is no such sequence.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn set_cross(
        &mut self,
        sequence: SequenceId,
        layer: usize,
        keys: Tensor,
        values: Tensor,
    ) -> Result<(), CacheError> {
        let state = self
            .sequences
            .get_mut(&sequence)
            .ok_or(CacheError::UnknownSequence(sequence))?;
        state.layers[layer].cross = Some(Arc::new((keys, values)));
        Ok(())
    }

    /// The encoder's keys and values for `layer` of `sequence`.
    pub(crate) fn cross(&self, sequence: SequenceId, layer: usize) -> Option<&(Tensor, Tensor)> {
        self.sequences
            .get(&sequence)?
            .layers
            .get(layer)?
            .cross
            .as_deref()
    }

    /// Write keys and values of `rows` of `k` and `v` to `layer`, behind what `sequence` remembers.
    ///
    /// The sequence grows only with [`commit`](Self::commit), when all layers have written.
    pub(crate) fn write(
        &mut self,
        sequence: SequenceId,
        layer: usize,
        k: &Tensor,
        v: &Tensor,
        rows: Range<usize>,
    ) {
        let Some(state) = self.sequences.get_mut(&sequence) else {
            return;
        };
        let (slot, end) = (state.len, state.len + rows.len());
        let Layer { store, .. } = &mut self.layers[layer];
        let state = &mut state.layers[layer];
        // Pages that are written to must be this sequence's own. What is behind `slot` is not kept: it is
        // what a step that failed had written.
        let first = (slot - state.dropped) / PAGE;
        for (i, page) in state.pages.iter_mut().enumerate().skip(first) {
            if store.ref_count(*page) > 1 {
                let used = if i == first { slot % PAGE } else { 0 };
                let own = store.copy_page(*page, used);
                store.release(*page);
                *page = own;
            }
        }
        while state.dropped + state.pages.len() * PAGE < end {
            state.pages.push(store.alloc());
        }
        store.write(&state.pages, slot - state.dropped, k, v, rows);
    }

    /// What `layer` remembers of `sequence` once `new` tokens are written, and the position of its
    /// first key.
    pub(crate) fn key_values(
        &self,
        sequence: SequenceId,
        layer: usize,
        new: usize,
    ) -> (KeyValues<'_>, usize) {
        let state = &self.sequences[&sequence];
        let LayerSequence { pages, dropped, .. } = &state.layers[layer];
        let len = state.len + new - dropped;
        (
            KeyValues::Paged {
                store: &self.layers[layer].store,
                pages,
                len,
            },
            state.start + dropped,
        )
    }

    /// All layers have written `new` tokens of `sequence`: it grows, and windows move on.
    pub(crate) fn commit(&mut self, sequence: SequenceId, new: usize) {
        let Some(state) = self.sequences.get_mut(&sequence) else {
            return;
        };
        state.len += new;
        for (layer, layer_state) in self.layers.iter_mut().zip(&mut state.layers) {
            let Some(window) = layer.sliding_window else {
                continue;
            };
            // The next query sees the `window - 1` tokens before it. One page more is kept, so that
            // a roll-back of a few tokens is always possible.
            let needed = (state.len + 1).saturating_sub(window).saturating_sub(PAGE);
            let pages = needed.saturating_sub(layer_state.dropped) / PAGE;
            layer_state
                .pages
                .drain(..pages)
                .for_each(|page| layer.store.release(page));
            layer_state.dropped += pages * PAGE;
        }
    }

    fn sequence(&self, sequence: SequenceId) -> Result<&Sequence, CacheError> {
        self.sequences
            .get(&sequence)
            .ok_or(CacheError::UnknownSequence(sequence))
    }

    fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.sequences.insert(id, sequence);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(window: Option<usize>) -> (Cache, Device) {
        let device = Device::cpu();
        (
            Cache::new(
                &[LayerCacheSpec::new(1, 2, window)],
                &CacheOptions::default(),
                &device,
            ),
            device,
        )
    }

    fn grow(cache: &mut Cache, device: &Device, sequence: SequenceId, n: usize) {
        let x = Tensor::zeros(device, &[n, 1, 2]);
        cache.write(sequence, 0, &x, &x, 0..n);
        cache.commit(sequence, n);
    }

    #[test]
    fn forks_share_pages_until_they_write() {
        let (mut cache, device) = cache(None);
        let a = cache.add();
        grow(&mut cache, &device, a, PAGE + 1);
        let one = cache.bytes();
        let b = cache.fork(a).unwrap();
        assert_eq!(cache.bytes(), one, "a fork costs nothing");
        grow(&mut cache, &device, b, 1);
        assert_eq!(
            cache.bytes(),
            one / 2 * 3,
            "the last page was copied, the first is shared"
        );
        assert_eq!(
            (cache.len(a), cache.len(b)),
            (Some(PAGE + 1), Some(PAGE + 2))
        );
        cache.remove(a).unwrap();
        assert_eq!(cache.bytes(), one);
        cache.remove(b).unwrap();
        assert_eq!(cache.bytes(), 0);
        assert_eq!(cache.fork(a), Err(CacheError::UnknownSequence(a)));
    }

    #[test]
    fn truncating_gives_pages_back_and_cannot_lengthen() {
        let (mut cache, device) = cache(None);
        let a = cache.add();
        grow(&mut cache, &device, a, 2 * PAGE);
        cache.truncate(a, PAGE).unwrap();
        assert_eq!(cache.len(a), Some(PAGE));
        let page = cache.bytes();
        cache.truncate(a, 0).unwrap();
        assert_eq!((cache.bytes(), page > 0), (0, true));
        assert_eq!(cache.bytes_for(PAGE - 1), page);
        assert_eq!(cache.bytes_for(usize::MAX), usize::MAX);
        let error = cache.truncate(a, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sequence SequenceId(0) has 0 tokens and cannot be cut to 1"
        );
    }

    #[test]
    fn a_window_drops_pages_and_refuses_to_go_back_behind_them() {
        let (mut cache, device) = cache(Some(4));
        let a = cache.add_at(3);
        for _ in 0..10 * PAGE {
            grow(&mut cache, &device, a, 1);
        }
        assert_eq!(
            (cache.len(a), cache.position(a)),
            (Some(10 * PAGE), Some(10 * PAGE + 3))
        );
        assert!(
            cache.layers[0].store.bytes() <= 3 * PAGE * 2 * 2 * 4,
            "at most three pages: {}",
            cache.bytes()
        );
        assert_eq!(cache.bytes_for(usize::MAX), cache.bytes_for(4 + PAGE));
        cache.truncate(a, 10 * PAGE - 5).unwrap();
        assert!(matches!(
            cache.truncate(a, PAGE),
            Err(CacheError::Evicted { wanted: PAGE, .. })
        ));
    }
}
