//! Pages of keys and values on the GPU: where they lie, and how they grow.
//!
//! A store has one buffer, or several where a binding cannot be as large: each then has some of the heads of all
//! pages. A page has, of each head in turn, the keys `[Dk / U, PAGE]` and the values `[PAGE, Dv / U]` in units of 16
//! bytes, `U` numbers, with zeros after the last. The buffers double when pages are written that they have no
//! room for, which is the only time that a step makes something anew.
//!
//! What is written waits until something reads the store: then the rows of all sequences go in one call. Pages
//! that are copied, when sequences part, go before, all of them in one call that is there even where there are
//! none: so a step has the same plan whether its sequences part or not.

use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{heads, word};
use crate::gpu::op::Operation;
use crate::gpu::{Call, Caps, Gpu, Grid, Held, Operand, Planner, Recording, Variant};
use crate::{Device, DeviceError, KvDType, PAGE, Tensor};

/// Bytes of a unit.
const UNIT: usize = 16;
/// Pages that a store has room for at first.
const FIRST_PAGES: usize = 16;
/// The slot of a row that is not written.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What is the same of all pages of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageShape {
    /// Key/value heads.
    pub(crate) heads: u32,
    /// Numbers of a key.
    pub(crate) key_dim: u32,
    /// Numbers of a value.
    pub(crate) value_dim: u32,
    /// How they are stored.
    pub(crate) dtype: KvDType,
}

impl PageShape {
    /// Units of one head of a page.
    fn head_units(self) -> usize {
        let per_unit = UNIT / self.dtype.size();
        let units = |dim: u32| (dim as usize).div_ceil(per_unit);
        (units(self.key_dim) + units(self.value_dim)) * PAGE
    }

    fn head_bytes(self) -> usize {
        self.head_units() * UNIT
    }

    /// Bytes of a page.
    pub(crate) fn bytes(self) -> usize {
        self.heads as usize * self.head_bytes()
    }

    /// Heads of each buffer, of buffers of at most `limit` bytes with `pages` pages.
    fn split(self, pages: usize, limit: u64) -> Result<Vec<Range<u32>>, DeviceError> {
        let head = pages * self.head_bytes();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let each = u32::try_from(limit / head.max(1)).unwrap_or(u32::MAX);
        if each == 0 {
            return Err(DeviceError::TooLarge {
                wanted: head,
                limit,
            });
        }
        Ok((0..self.heads)
            .step_by(each as usize)
            .map(|first| first..self.heads.min(first.saturating_add(each)))
            .collect())
    }
}

/// The pages of a store as an operand: some heads of all pages in each part. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct PageBuffers {
    /// What is in them.
    pub(crate) shape: PageShape,
    /// The buffers, by heads.
    pub(crate) parts: Arc<[PagePart]>,
}

impl PartialEq for PageBuffers {
    fn eq(&self, other: &Self) -> bool {
        let same = || Arc::ptr_eq(&self.parts, &other.parts) || self.parts == other.parts;
        self.shape == other.shape && same()
    }
}

impl Eq for PageBuffers {}

impl Hash for PageBuffers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
        self.parts.hash(state);
    }
}

/// Some heads of all pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PagePart {
    /// Where they lie.
    pub(crate) pages: Operand,
    /// The first head.
    pub(crate) first: u32,
    /// Heads.
    pub(crate) count: u32,
}

impl PageBuffers {
    /// What a node reads or writes.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Operand> {
        self.parts.iter().map(|part| &part.pages)
    }

    /// `STORE` of the kernels.
    pub(crate) fn code(&self) -> u32 {
        code(self.shape.dtype)
    }
}

/// `STORE` of the kernels.
pub(crate) fn code(dtype: KvDType) -> u32 {
    match dtype {
        KvDType::F32 => 0,
        KvDType::Bf16 => 1,
        KvDType::F16 => 2,
    }
}

/// The numbers of a [`KvStore`](crate::KvStore) on a GPU.
#[derive(Debug)]
pub(crate) struct GpuPages {
    device: Device,
    shape: PageShape,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The buffers, and their heads.
    parts: Vec<(Held, Range<u32>)>,
    /// The same as operands name them.
    named_parts: Arc<[PagePart]>,
    /// Pages there is room for.
    capacity: usize,
    /// Pages that have names.
    named: usize,
    /// The recording that used them last.
    last: u64,
    /// Pages to copy: from, to.
    copies: Vec<[u32; 2]>,
    /// What was written and is not recorded yet.
    written: Option<Written>,
}

impl State {
    /// These are the buffers from here on.
    fn put(&mut self, parts: Vec<(Held, Range<u32>)>) {
        let named = parts.iter().map(|(held, heads)| PagePart {
            pages: Operand::Region((**held).clone()),
            first: heads.start,
            count: heads.end - heads.start,
        });
        self.named_parts = named.collect();
        self.parts = parts;
    }
}

/// Rows of keys and values, and where they go.
#[derive(Debug)]
struct Written {
    k: Tensor,
    v: Tensor,
    /// Of each row.
    slots: Vec<u32>,
    /// The pages of these.
    pages: Vec<u32>,
}

impl GpuPages {
    /// No pages yet, on a device that is a GPU.
    pub(crate) fn new(device: &Device, shape: PageShape) -> Self {
        Self {
            device: device.clone(),
            shape,
            state: Mutex::default(),
        }
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> usize {
        self.shape.bytes()
    }

    /// There are pages `0..pages` now.
    pub(crate) fn named(&mut self, pages: usize) {
        self.state().named = pages;
    }

    /// Write `rows` of `k` and `v` to the slots from `slot` on of a sequence with these pages.
    pub(crate) fn write(
        &mut self,
        pages: &[u32],
        slot: usize,
        k: &Tensor,
        v: &Tensor,
        rows: Range<usize>,
    ) {
        let mut state = self.state();
        let new = &pages[slot / PAGE..(slot + rows.len()).div_ceil(PAGE)];
        let gpu = self.gpu();
        let joins = state.written.as_ref().is_some_and(|written| {
            let same = |a: &Tensor, b: &Tensor| a.gpu_value(gpu).is(b.gpu_value(gpu));
            same(&written.k, k)
                && same(&written.v, v)
                && (written.slots[rows.clone()].iter()).all(|&slot| slot == NOWHERE)
                && !new.iter().any(|page| written.pages.contains(page))
        });
        if !joins && state.written.is_some() {
            self.record(&mut gpu.recording(), &mut state);
        }
        let written = state.written.get_or_insert_with(|| Written {
            k: k.clone(),
            v: v.clone(),
            slots: vec![NOWHERE; k.shape()[0]],
            pages: Vec::new(),
        });
        for (row, slot) in rows.zip(slot..) {
            written.slots[row] = self::slot(pages[slot / PAGE], slot);
        }
        written.pages.extend_from_slice(new);
    }

    /// Copy page `from` to page `to`.
    pub(crate) fn copy(&mut self, from: u32, to: u32) {
        let mut state = self.state();
        // All copies are done at once, and before what is written.
        let written = |page| (state.written.as_ref()).is_some_and(|w| w.pages.contains(&page));
        let copied = |page| state.copies.iter().any(|copy| copy[1] == page);
        let read = |page| state.copies.iter().any(|copy| copy[0] == page);
        if [from, to]
            .into_iter()
            .any(|page| written(page) || copied(page))
            || read(to)
        {
            self.record(&mut self.gpu().recording(), &mut state);
        }
        state.copies.push([from, to]);
    }

    /// The pages for a node that reads them, as all that was written before leaves them, and the slots of what the
    /// node before it writes: none where that is another.
    pub(crate) fn read(&self, recording: &mut Recording<'_>) -> (PageBuffers, Vec<u32>) {
        let mut state = self.state();
        let written = self.record(recording, &mut state);
        (self.buffers(recording, &mut state), written)
    }

    /// Record what waits. Returned are the slots that the last node writes.
    fn record(&self, recording: &mut Recording<'_>, state: &mut State) -> Vec<u32> {
        if state.capacity < state.named || state.capacity == 0 {
            self.grow(recording, state);
        }
        let copies = mem::take(&mut state.copies);
        let written = state.written.take();
        if copies.is_empty() && written.is_none() {
            return Vec::new();
        }
        let buffers = self.buffers(recording, state);
        self.record_copies(recording, &copies, &buffers);
        let Some(Written { k, v, slots, .. }) = written else {
            return Vec::new();
        };
        heads::write(recording, &k, &v, &slots, buffers);
        slots
    }

    fn record_copies(
        &self,
        recording: &mut Recording<'_>,
        copies: &[[u32; 2]],
        buffers: &PageBuffers,
    ) {
        let count = u32::try_from(copies.len()).expect("pages are fewer than 2^32");
        let room = copies.len().next_power_of_two().max(16);
        let op = PageCopies {
            pairs: recording.words(copies.as_flattened(), 2 * room),
            counts: (buffers.parts.iter())
                .map(|part| recording.grid([4, part.count, count.min(Caps::MAX_GROUPS)]))
                .collect(),
            buffers: buffers.clone(),
        };
        let [] = recording.push(&self.device, op, []);
    }

    fn buffers(&self, recording: &mut Recording<'_>, state: &mut State) -> PageBuffers {
        recording.after(state.last);
        state.last = recording.number();
        for (held, _) in &state.parts {
            recording.keep(held);
        }
        PageBuffers {
            shape: self.shape,
            parts: Arc::clone(&state.named_parts),
        }
    }

    /// Make room for all pages that have names, and for as many again where that can be had.
    fn grow(&self, recording: &mut Recording<'_>, state: &mut State) {
        let gpu = recording.gpu();
        let limit = gpu.caps().max_binding.min(gpu.caps().max_buffer);
        let most = usize::try_from(limit).unwrap_or(usize::MAX) / self.shape.head_bytes().max(1);
        let doubled = state.named.next_power_of_two().max(FIRST_PAGES);
        let wanted = doubled.min(most).max(state.named);
        let made = self.make(gpu, wanted, limit).map(|parts| (parts, wanted));
        let made = made.or_else(|_| {
            let parts = self.make(gpu, state.named, limit)?;
            Ok((parts, state.named))
        });
        let (parts, capacity) = match made {
            Ok(made) => made,
            Err(error) => {
                // A read will tell, and nothing runs before that.
                gpu.fail(error);
                return;
            }
        };
        if state.capacity > 0 {
            let from = self.buffers(recording, state);
            state.put(parts);
            let to = self.buffers(recording, state);
            let pages = u32::try_from(state.capacity).expect("pages are fewer than 2^32");
            let [] = recording.push(&self.device, Moved { from, to, pages }, []);
        } else {
            state.put(parts);
        }
        state.capacity = capacity;
    }

    fn make(
        &self,
        gpu: &Gpu,
        capacity: usize,
        limit: u64,
    ) -> Result<Vec<(Held, Range<u32>)>, DeviceError> {
        let split = self.shape.split(capacity, limit)?;
        let make = |heads: Range<u32>| {
            let bytes = capacity * heads.len() * self.shape.head_bytes();
            Ok((gpu.memory.lasting(bytes as u64)?, heads))
        };
        split.into_iter().map(make).collect()
    }

    fn gpu(&self) -> &Gpu {
        self.device.on_gpu().expect("made for a GPU")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slot `at` of a sequence, in its page, as rows that are written have it.
pub(crate) const fn slot(page: u32, at: usize) -> u32 {
    page * POSITIONS + position(at)
}

/// Positions of a page.
#[allow(clippy::cast_possible_truncation, reason = "it is 32")]
const POSITIONS: u32 = PAGE as u32;

#[allow(clippy::cast_possible_truncation, reason = "less than a page")]
const fn position(slot: usize) -> u32 {
    (slot % PAGE) as u32
}

/// Pages copied to others of their store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageCopies {
    /// Pairs of pages, from and to.
    pairs: Operand,
    /// Of each part, how many.
    counts: Vec<Grid>,
    buffers: PageBuffers,
}

impl Operation for PageCopies {
    fn operands(&self) -> Vec<&Operand> {
        [&self.pairs]
            .into_iter()
            .chain(self.buffers.operands())
            .collect()
    }

    fn has_effects(&self) -> bool {
        true
    }

    fn lower(&self, _: &[Operand], planner: &mut Planner<'_>) {
        let units = word(self.buffers.shape.head_units());
        for (part, grid) in self.buffers.parts.iter().zip(&self.counts) {
            planner.call(Call {
                variant: copy(true),
                bindings: vec![(&self.pairs).into(), (&part.pages).into()],
                params: vec![units, part.count, part.count, 0, 0, 0],
                grid: *grid,
            });
        }
    }
}

/// All pages of a store that has grown, brought to where they are now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moved {
    from: PageBuffers,
    to: PageBuffers,
    pages: u32,
}

impl Operation for Moved {
    fn operands(&self) -> Vec<&Operand> {
        self.from.operands().chain(self.to.operands()).collect()
    }

    fn has_effects(&self) -> bool {
        true
    }

    fn lower(&self, _: &[Operand], planner: &mut Planner<'_>) {
        let units = word(self.from.shape.head_units());
        for from in self.from.parts.iter() {
            for to in self.to.parts.iter() {
                let first = from.first.max(to.first);
                let end = (from.first + from.count).min(to.first + to.count);
                if first >= end {
                    continue;
                }
                let params = [
                    from.count,
                    to.count,
                    first - from.first,
                    first - to.first,
                    self.pages,
                ];
                planner.call(Call {
                    variant: copy(false),
                    bindings: vec![(&from.pages).into(), (&to.pages).into()],
                    params: [units].into_iter().chain(params).collect(),
                    grid: Grid::Fixed([4, end - first, self.pages.min(Caps::MAX_GROUPS)]),
                });
            }
        }
    }
}

fn copy(within: bool) -> Variant {
    Variant::new("kv_copy", [("SAME", u32::from(within))])
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants() -> Vec<Variant> {
    [true, false].map(copy).to_vec()
}
