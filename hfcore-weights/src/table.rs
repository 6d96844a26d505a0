//! The tensors of a checkpoint: sorted by name, a few words each.
//!
//! A hostile header can describe millions of tensors in 100 MB. One `String`, one `Vec` and one hash entry for each is
//! sixteen times the header (measured on the reference implementation); here names and dimensions lie end to end in two
//! buffers and an entry is 48 bytes.

use std::ops::Range;

use crate::DType;
use crate::number::usize_of;

/// One tensor: where its name, its dimensions and its bytes are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: Span,
    pub(crate) dims: Span,
    /// A [`DType`]'s code, or [`UNKNOWN`] plus an index into the names of unknown types.
    pub(crate) dtype: u8,
    /// Which file.
    pub(crate) source: u32,
    /// First byte, from the end of the header.
    pub(crate) begin: u64,
    /// One past the last.
    pub(crate) end: u64,
}

/// Dtype codes from here on are types that this crate does not know.
const UNKNOWN: u8 = 128;
/// A format has a few types; a file with more unknown ones than this is not a newer version but noise.
pub(crate) const MAX_UNKNOWN: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: usize,
    len: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        // A u32 fits the usize of every supported platform.
        self.start..self.start + usize_of(self.len)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: String,
    dims: Vec<usize>,
    entries: Vec<Entry>,
    unknown_dtypes: Vec<String>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn name(&self, entry: &Entry) -> &str {
        &self.names[entry.name.range()]
    }

    pub(crate) fn shape(&self, entry: &Entry) -> &[usize] {
        &self.dims[entry.dims.range()]
    }

    /// The type, or the name of one that is not known.
    pub(crate) fn dtype(&self, entry: &Entry) -> Result<DType, &str> {
        DType::from_code(entry.dtype)
            .ok_or_else(|| self.unknown_dtypes[usize::from(entry.dtype - UNKNOWN)].as_str())
    }

    /// The index of the tensor of that name. The table must be sorted.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| self.name(entry).cmp(name))
            .ok()
    }

    /// The tensors whose names start with `prefix`. The table must be sorted.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Range<usize> {
        let start = self
            .entries
            .partition_point(|entry| self.name(entry) < prefix);
        let len =
            self.entries[start..].partition_point(|entry| self.name(entry).starts_with(prefix));
        start..start + len
    }

    /// Appends a name and returns its place; [`truncate_names`](Self::truncate_names) takes it back.
    pub(crate) fn push_name(&mut self, name: &str) -> Span {
        let start = self.names.len();
        self.names.push_str(name);
        Span {
            start,
            len: u32::try_from(name.len()).expect("names are shorter than `max_header_bytes`"),
        }
    }

    pub(crate) fn name_at(&self, span: Span) -> &str {
        &self.names[span.range()]
    }

    /// Forgets the last name pushed.
    pub(crate) fn truncate_names(&mut self, span: Span) {
        self.names.truncate(span.start);
    }

    pub(crate) fn dims_len(&self) -> usize {
        self.dims.len()
    }

    pub(crate) fn push_dim(&mut self, dim: usize) {
        self.dims.push(dim);
    }

    /// The dimensions pushed since there were `start`.
    pub(crate) fn dims_since(&self, start: usize) -> Span {
        Span {
            start,
            len: u32::try_from(self.dims.len() - start).expect("rank is limited"),
        }
    }

    pub(crate) fn dims_at(&self, span: Span) -> &[usize] {
        &self.dims[span.range()]
    }

    /// The code of an unknown type, or `None` if there are too many of them.
    pub(crate) fn unknown_dtype(&mut self, name: &str) -> Option<u8> {
        let index = match self.unknown_dtypes.iter().position(|known| known == name) {
            Some(index) => index,
            None if self.unknown_dtypes.len() == MAX_UNKNOWN => return None,
            None => {
                self.unknown_dtypes.push(name.to_owned());
                self.unknown_dtypes.len() - 1
            }
        };
        Some(UNKNOWN + u8::try_from(index).expect("fewer than MAX_UNKNOWN"))
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Adds all tensors of `other` as those of file `source`. To be sorted afterwards.
    ///
    /// `None` if there are too many unknown types.
    #[must_use]
    pub(crate) fn append(&mut self, mut other: Self, source: u32) -> Option<()> {
        if self.entries.is_empty() {
            for entry in &mut other.entries {
                entry.source = source;
            }
            *self = other;
            return Some(());
        }
        let (names, dims) = (self.names.len(), self.dims.len());
        let codes: Option<Vec<u8>> = other
            .unknown_dtypes
            .iter()
            .map(|name| self.unknown_dtype(name))
            .collect();
        let codes = codes?;
        self.names.push_str(&other.names);
        self.dims.extend_from_slice(&other.dims);
        self.entries.extend(other.entries.iter().map(|entry| {
            let mut entry = *entry;
            entry.name.start += names;
            entry.dims.start += dims;
            entry.source = source;
            if entry.dtype >= UNKNOWN {
                entry.dtype = codes[usize::from(entry.dtype - UNKNOWN)];
            }
            entry
        }));
        Some(())
    }

    /// Sorts by name; `Err` holds two entries of one name.
    pub(crate) fn sort(&mut self) -> Result<(), (Entry, Entry)> {
        if !self.entries.is_sorted_by_key(|entry| self.name(entry)) {
            // Sorting numbers and moving each entry once is twice as fast as sorting the entries.
            let mut order: Vec<(u64, u32)> = (0u32..)
                .zip(&self.entries)
                .map(|(index, entry)| (first_bytes(self.name(entry)), index))
                .collect();
            let name = |index: u32| self.name(&self.entries[usize_of(index)]);
            order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| name(a.1).cmp(name(b.1))));
            let sorted = order
                .iter()
                .map(|&(_, index)| self.entries[usize_of(index)]);
            self.entries = sorted.collect();
        }
        match self
            .entries
            .windows(2)
            .find(|pair| self.name(&pair[0]) == self.name(&pair[1]))
        {
            Some(pair) => Err((pair[0], pair[1])),
            None => Ok(()),
        }
    }

    /// The indices of the tensors in the order of their bytes, or `None` if that is the order they are in.
    pub(crate) fn by_offset(&self) -> Option<Vec<u32>> {
        if self
            .entries
            .is_sorted_by_key(|entry| (entry.begin, entry.end))
        {
            return None;
        }
        let len = u32::try_from(self.entries.len()).expect("the number of tensors is limited");
        let mut order: Vec<u32> = (0..len).collect();
        order.sort_by_key(|&index| {
            let entry = &self.entries[usize_of(index)];
            (entry.begin, entry.end)
        });
        Some(order)
    }

    /// The same tensors under other names; `Err` holds the indices of two of this table's that would share one, and it.
    pub(crate) fn renamed(
        &self,
        rename: impl Fn(&str) -> String,
    ) -> Result<Self, (usize, usize, String)> {
        let mut table = Self {
            dims: self.dims.clone(),
            unknown_dtypes: self.unknown_dtypes.clone(),
            ..Self::default()
        };
        let mut renamed: Vec<(Entry, usize)> = Vec::with_capacity(self.len());
        for (index, entry) in self.entries.iter().enumerate() {
            let name = table.push_name(&rename(self.name(entry)));
            renamed.push((Entry { name, ..*entry }, index));
        }
        renamed.sort_by(|(a, _), (b, _)| table.name(a).cmp(table.name(b)));
        if let Some(pair) = renamed
            .windows(2)
            .find(|pair| table.name(&pair[0].0) == table.name(&pair[1].0))
        {
            return Err((pair[0].1, pair[1].1, table.name(&pair[0].0).to_owned()));
        }
        table.entries = renamed.into_iter().map(|(entry, _)| entry).collect();
        Ok(table)
    }

    /// Gives back what the buffers have too much.
    pub(crate) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.dims.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}

/// The first eight bytes as a number that orders as they do.
fn first_bytes(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let len = name.len().min(8);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    u64::from_be_bytes(bytes)
}
