//! A shared range of bytes: of a memory map, or of the heap.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use crate::number::u64_of;

/// A range of bytes kept alive by its owner. Cloning and slicing share the owner and copy nothing.
///
/// No alignment is promised: safetensors does not enforce any (see [`TensorView::to_aligned`]).
///
/// [`TensorView::to_aligned`]: crate::TensorView::to_aligned
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All the bytes of `owner`, which must return the same ones for as long as it lives.
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let range = 0..owner.as_ref().len();
        Self {
            owner: Arc::new(owner),
            range,
        }
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_owner([])
    }

    /// A copy whose first byte lies on a 64-byte boundary, so that any typed or vector load of it is aligned.
    #[must_use]
    pub fn copy_aligned(bytes: &[u8]) -> Self {
        let mut aligned = AlignedVec::zeroed(bytes.len());
        aligned.as_mut().copy_from_slice(bytes);
        Self::from_owner(aligned)
    }

    /// The part `range` of these bytes, without copying.
    ///
    /// # Panics
    /// If `range` ends beyond them.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "bytes {range:?} of {}",
            self.len()
        );
        Self {
            owner: Arc::clone(&self.owner),
            range: self.range.start + range.start..self.range.start + range.end,
        }
    }

    /// The last `len` bytes, or all if there are fewer.
    pub(crate) fn last(&self, len: u64) -> Self {
        let before = u64_of(self.len()).saturating_sub(len);
        let start = usize::try_from(before).unwrap_or(self.len());
        self.slice(start..self.len())
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_owner(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}

/// A heap buffer whose contents start on a cache line.
///
/// A `Vec` with up to 63 bytes of padding in front: no `unsafe`, and large ones still come zeroed from the system.
pub(crate) struct AlignedVec {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedVec {
    const ALIGNMENT: usize = 64;

    pub(crate) fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + Self::ALIGNMENT - 1];
        let start = bytes.as_ptr().align_offset(Self::ALIGNMENT);
        let mut aligned = Self { bytes, start };
        aligned.bytes.truncate(start + len);
        aligned
    }

    /// The `len` bytes of `file` from `offset`; a shorter file is `UnexpectedEof`, no memory is `OutOfMemory`.
    pub(crate) fn read(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        let capacity = len
            .checked_add(Self::ALIGNMENT - 1)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let mut bytes: Vec<u8> = Vec::new();
        bytes
            .try_reserve_exact(capacity)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        let start = bytes.as_ptr().align_offset(Self::ALIGNMENT);
        bytes.resize(start, 0);
        let reader = At { file, offset };
        let read = reader.take(u64_of(len)).read_to_end(&mut bytes)?;
        if read < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { bytes, start })
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

impl AsRef<[u8]> for AlignedVec {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Positioned reads: the file's own cursor is not moved, so threads may share the `File`.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(self.file, buffer, self.offset)?;
        self.offset += u64_of(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_a_slice_counts_from_it() {
        let bytes = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let slice = bytes.slice(2..6).slice(1..3);
        assert_eq!(slice.as_ref(), [3, 4]);
        assert_eq!(slice.len(), 2);
        assert!(slice.slice(2..2).is_empty());
    }

    #[test]
    #[should_panic(expected = "bytes 1..4 of 3")]
    fn a_slice_beyond_the_end_panics() {
        let _ = Bytes::from(vec![1, 2, 3]).slice(1..4);
    }

    #[test]
    fn aligned_copies_start_on_a_cache_line() {
        for len in [0, 1, 63, 64, 65, 100_000] {
            let source: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let copy = Bytes::copy_aligned(&source);
            assert_eq!(copy.as_ref(), source);
            assert_eq!(copy.as_ref().as_ptr().align_offset(64), 0);
        }
    }
}
