//! Buffers that are used again.
//!
//! A forward pass makes hundreds of tensors, of the same few sizes in each layer. Memory fresh from
//! the system costs a page fault per 4 KiB, more than most operations need to fill it; so a device
//! keeps what its tensors leave behind.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers kept, at most. A forward pass has about a dozen sizes.
const MAX_BUFFERS: usize = 64;
/// Bytes kept, at most: several of the largest activations of a prompt of 512 tokens.
const MAX_BYTES: usize = 256 << 20;

/// What tensors left behind, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recycler(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: VecDeque<Vec<f32>>,
    bytes: usize,
}

impl Kept {
    fn remove(&mut self, index: usize) -> Option<Vec<f32>> {
        let buffer = self.buffers.remove(index)?;
        self.bytes -= bytes(&buffer);
        Some(buffer)
    }
}

fn bytes(buffer: &Vec<f32>) -> usize {
    buffer.capacity() * size_of::<f32>()
}

impl Recycler {
    /// A buffer of `len` numbers that are anything: left over from before, or zeros.
    pub(crate) fn take(&self, len: usize) -> Vec<f32> {
        // One that is much too large would be missed by whoever needs its size.
        let fits = |capacity: usize| capacity >= len && capacity / 2 <= len.max(512);
        let mut buffer = {
            let mut kept = self.lock();
            let best = (kept.buffers.iter().map(Vec::capacity).enumerate())
                .filter(|&(_, capacity)| fits(capacity))
                .min_by_key(|&(_, capacity)| capacity);
            best.and_then(|(index, _)| kept.remove(index))
                .unwrap_or_default()
        };
        if buffer.capacity() < len {
            // `vec!` asks the system for zeroed memory, where growing would write zeros.
            return vec![0.0; len];
        }
        buffer.resize(len, 0.0);
        buffer
    }

    /// Keep `buffer` for later, in place of older ones where there are too many.
    pub(crate) fn put(&self, buffer: Vec<f32>) {
        let size = bytes(&buffer);
        if size == 0 || size > MAX_BYTES {
            return;
        }
        let mut kept = self.lock();
        while kept.buffers.len() == MAX_BUFFERS || kept.bytes + size > MAX_BYTES {
            if kept.remove(0).is_none() {
                break;
            }
        }
        kept.bytes += size;
        kept.buffers.push_back(buffer);
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
        let (small, large) = (vec![1.0; 2000], vec![2.0; 9000]);
        let addresses = [small.as_ptr(), large.as_ptr()];
        recycler.put(small);
        recycler.put(large);
        let taken = recycler.take(1800);
        assert_eq!((taken.as_ptr(), taken.len()), (addresses[0], 1800));
        let fresh = recycler.take(1800);
        assert_eq!(fresh, vec![0.0; 1800], "9000 numbers are too many for 1800");
        let taken = recycler.take(9000);
        assert_eq!(taken.as_ptr(), addresses[1]);
        assert_eq!(recycler.lock().bytes, 0);
    }

    #[test]
    fn a_shorter_use_before_does_not_shorten_the_next() {
        let recycler = Recycler::default();
        recycler.put(vec![1.0; 1000]);
        let short = recycler.take(700);
        assert_eq!(short.len(), 700);
        recycler.put(short);
        assert_eq!(recycler.take(1000).len(), 1000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let recycler = Recycler::default();
        for _ in 0..2 * MAX_BUFFERS {
            recycler.put(vec![0.0; 8]);
        }
        assert_eq!(recycler.lock().buffers.len(), MAX_BUFFERS);
        // Zeroed memory that nobody touches costs nothing.
        let quarter = MAX_BYTES / 4 / size_of::<f32>();
        for _ in 0..9 {
            recycler.put(vec![0.0; quarter]);
        }
        assert!(recycler.lock().bytes <= MAX_BYTES);
        recycler.put(vec![0.0; 4 * quarter + 1]);
        recycler.put(Vec::new());
        let kept = recycler.lock();
        assert_eq!(kept.buffers.len(), 4);
        assert_eq!(kept.bytes, kept.buffers.iter().map(bytes).sum::<usize>());
    }
}
