//! What a tensor on the GPU is: numbers that are somewhere, or will be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::Held;

/// Numbers of a tensor. They never change: clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Value(Arc<Cell>);

#[derive(Debug)]
pub(super) struct Cell {
    /// Numbers.
    pub(super) len: usize,
    place: Mutex<Place>,
}

/// Where the numbers are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// With us. They go to the device among the words of each step that uses them.
    Host {
        words: Arc<[u32]>,
        /// The recording that has them already, and where.
        last: Option<(u64, u32)>,
    },
    /// The result of an operation of this recording, its `value`-th.
    Recorded { recording: u64, value: u32 },
    /// On the device.
    Resident(Held),
    /// The device failed before they were there.
    Nowhere,
}

impl Value {
    /// Numbers that are with us.
    pub(crate) fn host(numbers: &[f32]) -> Self {
        let words = numbers.iter().map(|x| x.to_bits()).collect();
        Self::new(numbers.len(), Place::Host { words, last: None })
    }

    /// Numbers that are on the device.
    pub(crate) fn resident(len: usize, held: Held) -> Self {
        Self::new(len, Place::Resident(held))
    }

    pub(super) fn new(len: usize, place: Place) -> Self {
        Self(Arc::new(Cell {
            len,
            place: Mutex::new(place),
        }))
    }

    /// How many numbers they are.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Whether both are the same numbers, not only equal ones.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn place(&self) -> MutexGuard<'_, Place> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody but the caller has it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
