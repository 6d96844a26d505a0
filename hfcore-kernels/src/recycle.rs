//! Buffers that are used again.
//!
//! A forward pass makes hundreds of tensors, of the same few sizes in each layer. Memory fresh from
//! the system costs a page fault per 4 KiB, more than most operations need to fill it; so a device
//! keeps what its tensors leave behind.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers kept, at most: a forward pass has some dozens at the same time.
const MAX_BUFFERS: usize = 256;
/// Bytes kept, at most: several of the largest activations of a prompt of 512 tokens.
const MAX_BYTES: usize = 128 << 20;
/// Sizes: between a power of two and the next, four.
const SIZES: usize = 4 * usize::BITS as usize;
/// The numbers of the smallest buffer.
const SMALLEST: usize = 64;

/// What tensors left behind.
#[derive(Debug, Default)]
pub(crate) struct Recycler(Mutex<Kept>);

/// Buffers by size, in each the oldest first, with the time at which they came.
#[derive(Debug)]
struct Kept {
    sizes: Vec<Vec<(u64, Vec<f32>)>>,
    buffers: usize,
    bytes: usize,
    now: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            sizes: (0..SIZES).map(|_| Vec::new()).collect(),
            buffers: 0,
            bytes: 0,
            now: 0,
        }
    }
}

impl Kept {
    fn forget(&mut self, buffer: &Vec<f32>) {
        self.buffers -= 1;
        self.bytes -= bytes(buffer);
    }

    /// Give the oldest buffer back to the system. `false` if there is none.
    fn evict(&mut self) -> bool {
        let oldest = (self.sizes.iter_mut())
            .filter(|size| !size.is_empty())
            .min_by_key(|size| size[0].0);
        let buffer = oldest.map(|size| size.remove(0).1);
        buffer.inspect(|buffer| self.forget(buffer)).is_some()
    }
}

fn bytes(buffer: &Vec<f32>) -> usize {
    buffer.capacity() * size_of::<f32>()
}

/// The largest size that is no more than `capacity`, and its place. There must be [`SMALLEST`].
fn size_within(capacity: usize) -> (usize, usize) {
    let bits = capacity.ilog2();
    let quarter = capacity >> (bits - 2);
    (quarter << (bits - 2), 4 * bits as usize + quarter - 4)
}

/// The smallest size that is no less than `len`, and its place.
fn size_for(len: usize) -> (usize, usize) {
    let len = len.max(SMALLEST);
    let step = 1_usize << (len.ilog2() - 2);
    size_within(len.next_multiple_of(step))
}

impl Recycler {
    /// A buffer of `len` numbers that are anything: left over from before, or zeros.
    pub(crate) fn take(&self, len: usize) -> Vec<f32> {
        let (size, place) = size_for(len);
        let kept = {
            let mut kept = self.lock();
            let buffer = kept.sizes[place].pop().map(|(_, buffer)| buffer);
            buffer.inspect(|buffer| kept.forget(buffer))
        };
        // `vec!` asks the system for zeroed memory, where growing would write zeros.
        let mut buffer = kept.unwrap_or_else(|| vec![0.0; size]);
        buffer.resize(len, 0.0);
        buffer
    }

    /// Keep `buffer` for later, in place of older ones where there are too many.
    pub(crate) fn put(&self, buffer: Vec<f32>) {
        let size = bytes(&buffer);
        if buffer.capacity() < SMALLEST || size > MAX_BYTES {
            return;
        }
        let (_, place) = size_within(buffer.capacity());
        let mut kept = self.lock();
        while kept.buffers == MAX_BUFFERS || kept.bytes + size > MAX_BYTES {
            if !kept.evict() {
                break;
            }
        }
        kept.now += 1;
        kept.buffers += 1;
        kept.bytes += size;
        let now = kept.now;
        kept.sizes[place].push((now, buffer));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_to_whoever_needs_its_size() {
        let recycler = Recycler::default();
        let (small, large) = (vec![1.0; 2048], vec![2.0; 9000]);
        let addresses = [small.as_ptr(), large.as_ptr()];
        recycler.put(small);
        recycler.put(large);
        let taken = recycler.take(1800);
        assert_eq!((taken.as_ptr(), taken.len()), (addresses[0], 1800));
        let fresh = recycler.take(1800);
        assert_eq!(fresh, vec![0.0; 1800], "9000 numbers are too many for 1800");
        let taken = recycler.take(8000);
        assert_eq!(taken.as_ptr(), addresses[1]);
        assert_eq!(recycler.lock().bytes, 0);
    }

    #[test]
    fn sizes_are_close_and_hold_what_is_asked() {
        let lens = (0..5000).chain([1 << 20, (1 << 20) + 1, (7 << 28) - 3]);
        for len in lens {
            let (size, place) = size_for(len);
            assert!(
                size >= len && size <= SMALLEST.max(len + len / 4 + 1),
                "{len}: {size}"
            );
            assert_eq!(size_within(size), (size, place), "{len}");
            assert!(size_within(size + 1).1 >= place && place < SIZES);
        }
    }

    #[test]
    fn a_shorter_use_before_does_not_shorten_the_next() {
        let recycler = Recycler::default();
        recycler.put(vec![1.0; 1024]);
        let short = recycler.take(900);
        assert_eq!(short.len(), 900);
        recycler.put(short);
        assert_eq!(recycler.take(1000).len(), 1000);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let recycler = Recycler::default();
        for _ in 0..2 * MAX_BUFFERS {
            recycler.put(vec![0.0; SMALLEST]);
        }
        recycler.put(vec![0.0; SMALLEST - 1]);
        recycler.put(Vec::new());
        assert_eq!(recycler.lock().buffers, MAX_BUFFERS);
        // Zeroed memory that nobody touches costs nothing.
        let quarter = MAX_BYTES / 4 / size_of::<f32>();
        for _ in 0..9 {
            recycler.put(vec![0.0; quarter]);
        }
        assert!(recycler.lock().bytes <= MAX_BYTES);
        recycler.put(vec![0.0; 4 * quarter + 1]);
        let kept = recycler.lock();
        assert_eq!(kept.buffers, 4, "the small ones were older");
        let sum = |size: &Vec<(u64, Vec<f32>)>| size.iter().map(|(_, b)| bytes(b)).sum::<usize>();
        assert_eq!(kept.bytes, kept.sizes.iter().map(sum).sum::<usize>());
    }
}
