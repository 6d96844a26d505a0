//! A shared, borrowed range of bytes, whoever owns them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A range of bytes kept alive by its owner: a memory map, a heap buffer.
///
/// Cloning shares the owner. No alignment is promised.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All the bytes of `owner`.
    ///
    /// `owner.as_ref()` must return the same bytes for as long as it lives.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// The part `range` of these bytes, without copying.
    ///
    /// # Panics
    /// If `range` ends beyond them.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.range.len(),
            "Bytes::slice: {range:?} of {} bytes",
            self.range.len()
        );
        Self {
            owner: Arc::clone(&self.owner),
            range: self.range.start + range.start..self.range.start + range.end,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}
