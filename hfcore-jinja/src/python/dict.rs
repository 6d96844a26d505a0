//! `dict`, in the order of insertion, and its views.

use std::collections::HashMap;
use std::sync::Arc;

use super::compare::{equals, hash};
use super::error::{Error, recursion_error};
use super::meter::{Charge, MAX_DEPTH, Meter};
use super::text::Str;
use super::value::Value;

/// Dicts up to this size are searched from the front.
const SMALL: usize = 8;
/// Marks the end of a chain of entries with the same hash.
const END: u32 = u32::MAX;

/// A shared, immutable `dict`. Keys are any hashable values, equal as in Python: `1`, `1.0` and `True` are one key.
#[derive(Clone, Debug)]
pub struct Dict(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    /// From a hash to its last entry; empty for small dicts.
    index: HashMap<u64, u32>,
    depth: u32,
    _charge: Charge,
}

#[derive(Debug)]
struct Entry {
    key: Value,
    value: Value,
    hash: u64,
    /// The entry before this one with the same hash.
    next: u32,
}

/// A dict under construction.
#[derive(Debug)]
pub struct DictBuilder<'m> {
    meter: &'m Meter,
    entries: Vec<Entry>,
    index: HashMap<u64, u32>,
    depth: u32,
}

impl<'m> DictBuilder<'m> {
    /// An empty one.
    #[must_use]
    pub fn new(meter: &'m Meter) -> Self {
        Self {
            meter,
            entries: Vec::new(),
            index: HashMap::new(),
            depth: 1,
        }
    }

    /// Sets a key. One that is there keeps its place and its key, as in Python.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed; a limit of the meter; nesting deeper than [`MAX_DEPTH`].
    pub fn insert(&mut self, key: Value, value: Value) -> Result<(), Error> {
        let hash = hash(self.meter, &key)?;
        self.depth = self.depth.max(1 + key.depth()).max(1 + value.depth());
        if self.depth > MAX_DEPTH {
            return Err(recursion_error());
        }
        if let Some(at) = find(self.meter, &self.entries, &self.index, hash, &key)? {
            self.entries[at].value = value;
            return Ok(());
        }
        self.meter.step(1)?;
        self.meter.check(self.entries.len() * size_of::<Entry>())?;
        let at = u32::try_from(self.entries.len()).map_err(|_| recursion_error())?;
        self.entries.push(Entry {
            key,
            value,
            hash,
            next: END,
        });
        if self.entries.len() == SMALL + 1 {
            for at in 0..=at {
                self.link(at);
            }
        } else if self.entries.len() > SMALL {
            self.link(at);
        }
        Ok(())
    }

    /// How many keys there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn link(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        entry.next = self.index.insert(entry.hash, at).unwrap_or(END);
    }

    /// The dict, charged until it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`](super::ErrorKind::Memory).
    pub fn finish(self) -> Result<Dict, Error> {
        let bytes = self.entries.len() * size_of::<Entry>() + self.index.len() * 16;
        let charge = self.meter.charge(bytes)?;
        Ok(self.with_charge(charge))
    }

    /// The dict as the caller's input: not charged.
    #[must_use]
    pub fn finish_constant(self) -> Dict {
        self.with_charge(Charge::none())
    }

    fn with_charge(self, charge: Charge) -> Dict {
        Dict(Arc::new(Inner {
            entries: self.entries,
            index: self.index,
            depth: self.depth,
            _charge: charge,
        }))
    }
}

fn find(
    meter: &Meter,
    entries: &[Entry],
    index: &HashMap<u64, u32>,
    hash: u64,
    key: &Value,
) -> Result<Option<usize>, Error> {
    if entries.len() <= SMALL {
        for (at, entry) in entries.iter().enumerate() {
            if entry.hash == hash && equals(meter, &entry.key, key)? {
                return Ok(Some(at));
            }
        }
        return Ok(None);
    }
    let mut next = index.get(&hash).copied().unwrap_or(END);
    while let Some(entry) = entries.get(next as usize) {
        if equals(meter, &entry.key, key)? {
            return Ok(Some(next as usize));
        }
        next = entry.next;
    }
    Ok(None)
}

impl Dict {
    /// A dict made during a render, of pairs of a key and a value.
    ///
    /// # Errors
    /// As [`DictBuilder::insert`].
    pub fn new(
        meter: &Meter,
        pairs: impl IntoIterator<Item = (Value, Value)>,
    ) -> Result<Self, Error> {
        let mut dict = DictBuilder::new(meter);
        for (key, value) in pairs {
            dict.insert(key, value)?;
        }
        dict.finish()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed; a limit of the meter.
    pub fn get(&self, meter: &Meter, key: &Value) -> Result<Option<&Value>, Error> {
        let hash = hash(meter, key)?;
        let at = find(meter, &self.0.entries, &self.0.index, hash, key)?;
        Ok(at.map(|at| &self.0.entries[at].value))
    }

    /// The value of a string key.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        let hash = super::compare::hash_str(key);
        let entries = &self.0.entries;
        let is_it = |entry: &&Entry| entry.hash == hash && entry.key.as_str() == Some(key);
        if entries.len() <= SMALL {
            return entries.iter().find(is_it).map(|entry| &entry.value);
        }
        let mut next = self.0.index.get(&hash).copied().unwrap_or(END);
        while let Some(entry) = entries.get(next as usize) {
            if is_it(&entry) {
                return Some(&entry.value);
            }
            next = entry.next;
        }
        None
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> + DoubleEndedIterator {
        self.0
            .entries
            .iter()
            .map(|entry| (&entry.key, &entry.value))
    }

    /// The pair at a place of the order.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(&Value, &Value)> {
        let entry = self.0.entries.get(index)?;
        Some((&entry.key, &entry.value))
    }

    /// 1 + the depth of the deepest key or value.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.0.depth
    }

    /// Whether both are one object: Python's `is`.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A string key as a value, for building dicts.
#[must_use]
pub fn key(text: &str) -> Value {
    Value::Str(Str::constant(text))
}

/// Which view of a dict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// `dict_keys`.
    Keys,
    /// `dict_values`.
    Values,
    /// `dict_items`.
    Items,
}

/// `dict.keys()`, `dict.values()` or `dict.items()`.
#[derive(Clone, Debug)]
pub struct View {
    dict: Dict,
    kind: ViewKind,
}

impl View {
    /// A view of a dict.
    #[must_use]
    pub fn new(dict: Dict, kind: ViewKind) -> Self {
        Self { dict, kind }
    }

    /// The dict that is viewed.
    #[must_use]
    pub fn dict(&self) -> &Dict {
        &self.dict
    }

    /// What of it is viewed.
    #[must_use]
    pub fn kind(&self) -> ViewKind {
        self.kind
    }

    /// `type(x).__name__`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            ViewKind::Keys => "dict_keys",
            ViewKind::Values => "dict_values",
            ViewKind::Items => "dict_items",
        }
    }

    /// The item at a place of the order.
    ///
    /// # Errors
    /// A limit of the meter (an item of `items()` is a new tuple).
    pub fn get(&self, meter: &Meter, index: usize) -> Result<Option<Value>, Error> {
        let Some((key, value)) = self.dict.at(index) else {
            return Ok(None);
        };
        Ok(Some(match self.kind {
            ViewKind::Keys => key.clone(),
            ViewKind::Values => value.clone(),
            ViewKind::Items => Value::tuple(meter, vec![key.clone(), value.clone()])?,
        }))
    }
}
