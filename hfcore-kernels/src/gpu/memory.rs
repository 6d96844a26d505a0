//! Buffers: who holds them, and what becomes of them when nobody does.
//!
//! A [`Region`] says where numbers are. Nodes and plans are full of regions and hold none. A [`Held`] region
//! belongs to tensors, weights or pages; when the last of them is dropped its buffer is *retired*: what was
//! recorded may still read it, so it is given to others, or freed with the plans that know it, only after
//! the next flush.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::DeviceError;

use super::Caps;
use super::counters::Counters;

/// A buffer of the device, with a number of its own. Steps are full of clones, which count one reference each.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<Numbered>);

struct Numbered {
    id: u64,
    raw: wgpu::Buffer,
}

/// The compiler looks whether what is in a buffer and in a GPU may go to another thread, and be used by several.
pub(super) const fn is_send_and_sync<T: Send + Sync>(_: &T) {}

const _: fn(&Numbered) = |Numbered { id, raw }| {
    is_send_and_sync(id);
    is_send_and_sync(raw);
};

// What holds a tensor is asked whether it is `Send` and `Sync` in every crate above this one. Through wgpu's types the
// answer lies so deep that their compilers give up (`recursion_limit`); here it is found once.
// SAFETY: all fields are, as the check above has it.
unsafe impl Send for Numbered {}
// SAFETY: as for `Send`.
unsafe impl Sync for Numbered {}

/// Part of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Region {
    pub(crate) buffer: Buffer,
    /// Bytes from the beginning; a multiple of the device's alignment.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
}

/// A region that somebody owns; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Held(Arc<Holding>);

#[derive(Debug)]
struct Holding {
    region: Region,
    owner: Option<Arc<Retired>>,
    /// What it lies in, where it shares a buffer with others.
    shard: Option<Held>,
}

/// Buffers that nobody holds since the last flush.
#[derive(Debug, Default)]
struct Retired(Mutex<Vec<Buffer>>);

/// Makes buffers, and takes those of values back.
pub(crate) struct Memory {
    device: wgpu::Device,
    max_buffer: u64,
    /// The most bytes that all buffers may have together.
    budget: Option<u64>,
    /// Bytes of the adapter's memory, if they are known.
    total: Option<u64>,
    counters: Arc<Counters>,
    next: AtomicU64,
    /// Of values: used again.
    values: Arc<Retired>,
    /// Of weights and pages: freed, with the plans that know them.
    others: Arc<Retired>,
    /// Of values, by size.
    free: Mutex<BTreeMap<u64, Vec<Buffer>>>,
    /// What plans will use, and nobody has written to yet.
    fresh: Mutex<Vec<Buffer>>,
}

/// The usages of every buffer that kernels see.
const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Bytes of a buffer for `bytes`: of few sizes, so that buffers fit other values later; never more than a
/// quarter too large.
pub(super) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (bytes.next_power_of_two() / 8).max(64);
    bytes.next_multiple_of(step)
}

impl Memory {
    pub(super) fn new(
        device: &wgpu::Device,
        caps: &Caps,
        [budget, total]: [Option<u64>; 2],
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            device: device.clone(),
            max_buffer: caps.max_buffer,
            budget,
            total,
            counters: Arc::clone(counters),
            next: AtomicU64::new(0),
            values: Arc::default(),
            others: Arc::default(),
            free: Mutex::default(),
            fresh: Mutex::default(),
        }
    }

    /// A buffer of `size` bytes for these uses.
    pub(super) fn buffer(
        &self,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, DeviceError> {
        self.create(size, usage, false)
    }

    /// The same, mapped, to be written to before it is used.
    pub(super) fn mapped_buffer(
        &self,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, DeviceError> {
        self.create(size, usage, true)
    }

    fn create(
        &self,
        size: u64,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<Buffer, DeviceError> {
        if size > self.max_buffer {
            return Err(DeviceError::TooLarge {
                wanted: in_memory(size),
                limit: in_memory(self.max_buffer),
            });
        }
        let used = self.counters.allocated_bytes.load(Ordering::Relaxed);
        if let Some(budget) = self.budget
            && used.saturating_add(size) > budget
        {
            return Err(DeviceError::OverBudget {
                wanted: in_memory(size),
                used: in_memory(used),
                budget: in_memory(budget),
            });
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation,
        });
        if pollster::block_on(scope.pop()).is_some() {
            return Err(DeviceError::OutOfMemory {
                wanted: in_memory(size),
                used: in_memory(used),
                total: self.total.map(in_memory),
            });
        }
        self.counters.created();
        Counters::add(&self.counters.allocated_bytes, size);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Buffer(Arc::new(Numbered { id, raw })))
    }

    /// A buffer of `size` bytes for what kernels read and write.
    pub(super) fn storage(&self, size: u64) -> Result<Buffer, DeviceError> {
        self.buffer(size, STORAGE)
    }

    /// The same, to be used by plans that are made later, and by nobody before.
    pub(super) fn fresh(&self, size: u64) -> Result<Buffer, DeviceError> {
        let buffer = self.storage(size)?;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.push(buffer.clone());
        Ok(buffer)
    }

    /// The [`fresh`](Self::fresh) buffers that were made since this was asked last.
    pub(super) fn take_fresh(&self) -> Vec<Buffer> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A region for `size` bytes of a value that outlives a flush: of a buffer that is free, or a new one.
    pub(super) fn value(&self, size: u64) -> Result<Held, DeviceError> {
        let class = size_class(size);
        let free = (self.free.lock().unwrap_or_else(PoisonError::into_inner))
            .get_mut(&class)
            .and_then(Vec::pop);
        let buffer = match free {
            Some(buffer) => buffer,
            None => self.storage(class)?,
        };
        Ok(Held::new(buffer, size, Some(Arc::clone(&self.values))))
    }

    /// A region of a buffer of its own for `size` bytes of pages.
    pub(crate) fn lasting(&self, size: u64) -> Result<Held, DeviceError> {
        let size = size.next_multiple_of(256);
        let buffer = self.fresh(size)?;
        Ok(Held::new(buffer, size, Some(Arc::clone(&self.others))))
    }

    /// The same for weights, all of which are written before kernels see them.
    pub(super) fn shard(&self, size: u64) -> Result<Held, DeviceError> {
        let size = size.next_multiple_of(256);
        let buffer = self.storage(size)?;
        Ok(Held::new(buffer, size, Some(Arc::clone(&self.others))))
    }

    /// Take back what nobody holds: buffers of values are free again; of the others, the numbers are
    /// returned, and who knows them should forget them.
    pub(super) fn collect(&self) -> Vec<u64> {
        let values = self.values.take();
        if !values.is_empty() {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            for buffer in values {
                free.entry(buffer.raw().size()).or_default().push(buffer);
            }
        }
        let others = self.others.take();
        if !others.is_empty() {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.retain(|buffer| !others.contains(buffer));
        }
        for buffer in &others {
            self.freed(buffer);
        }
        others.into_iter().map(|buffer| buffer.id()).collect()
    }

    /// The buffers that were of values and are free, which are no longer kept.
    pub(super) fn take_free(&self) -> BTreeMap<u64, Vec<Buffer>> {
        std::mem::take(&mut self.free.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Count that a buffer is about to be dropped.
    pub(super) fn freed(&self, buffer: &Buffer) {
        (self.counters.allocated_bytes).fetch_sub(buffer.raw().size(), Ordering::Relaxed);
    }
}

/// Bytes of the device as bytes of memory, of which a 32-bit host may count fewer.
pub(super) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Retired {
    fn take(&self) -> Vec<Buffer> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn new(buffer: Buffer, size: u64, owner: Option<Arc<Retired>>) -> Self {
        Self(Arc::new(Holding {
            region: Region {
                buffer,
                offset: 0,
                size,
            },
            owner,
            shard: None,
        }))
    }

    /// Part of this region, which lives as long as the part does.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        debug_assert!(offset + size <= self.size, "a part lies within");
        Self(Arc::new(Holding {
            region: Region {
                buffer: self.buffer.clone(),
                offset: self.offset + offset,
                size,
            },
            owner: None,
            shard: Some(self.clone()),
        }))
    }
}

impl Deref for Held {
    type Target = Region;

    fn deref(&self) -> &Region {
        &self.0.region
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(owner) = &self.owner {
            let mut retired = owner.0.lock().unwrap_or_else(PoisonError::into_inner);
            retired.push(self.region.buffer.clone());
        }
        drop(self.shard.take());
    }
}

impl Buffer {
    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.0.raw
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Buffer {}

impl Hash for Buffer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} of {} bytes", self.id(), self.raw().size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_close() {
        for bytes in 1..100_000 {
            let class = size_class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(64),
                "{bytes}: {class}"
            );
            assert!(
                bytes < 256 || class <= bytes + bytes / 4 + 64,
                "{bytes}: {class}"
            );
        }
    }
}
