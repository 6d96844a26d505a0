//! Iteration: over every iterable value, and generators as values.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dict::{Dict, View};
use super::error::{Error, recursion_error, type_error, unsupported, value_error};
use super::meter::{Charge, MAX_DEPTH, Meter};
use super::sequence::{List, Range, Tuple, depth_over};
use super::text::Str;
use super::value::Value;

/// Makes the items of a generator when they are asked for.
pub trait Source: Send + fmt::Debug {
    /// The next item.
    ///
    /// # Errors
    /// What the generator raises; it ends then.
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error>;
}

/// Levels that a generator adds to what it iterates over: one item may run all of them, in each other.
const GENERATOR_DEPTH: u32 = 4;

/// A generator, or another iterator: clones share one cursor.
#[derive(Clone, Debug)]
pub struct Iter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    type_name: &'static str,
    /// The generator function's name; empty for iterators that are no generators.
    name: &'static str,
    feed: Mutex<Feed>,
    depth: u32,
    _charge: Charge,
}

/// Where the next item comes from.
#[derive(Debug)]
enum Feed {
    Items(std::vec::IntoIter<Value>),
    Source(Box<dyn Source>),
    /// The source is making an item.
    Running,
    Done,
}

impl Iter {
    /// A generator of the function `name`; `depth` is that of the values which `source` holds.
    ///
    /// # Errors
    /// A limit of the meter, or nesting too deep.
    pub fn generator(
        meter: &Meter,
        name: &'static str,
        depth: u32,
        source: impl Source + 'static,
    ) -> Result<Self, Error> {
        let depth = depth.saturating_add(GENERATOR_DEPTH);
        if depth > MAX_DEPTH {
            return Err(recursion_error());
        }
        Ok(Self(Arc::new(Inner {
            type_name: "generator",
            name,
            feed: Mutex::new(Feed::Source(Box::new(source))),
            depth,
            _charge: meter.charge(size_of::<Inner>() + 128)?,
        })))
    }

    /// An iterator of a type such as `list_reverseiterator`.
    ///
    /// # Errors
    /// A limit of the meter, or nesting too deep.
    pub fn iterator(
        meter: &Meter,
        type_name: &'static str,
        items: Vec<Value>,
    ) -> Result<Self, Error> {
        let bytes = items.len().saturating_mul(size_of::<Value>());
        meter.work(bytes)?;
        Ok(Self(Arc::new(Inner {
            type_name,
            name: "",
            depth: depth_over(&items)?,
            feed: Mutex::new(Feed::Items(items.into_iter())),
            _charge: meter.charge(bytes)?,
        })))
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        // A panic while the lock is held leaves nothing half done.
        self.0.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, which no clone will see again.
    ///
    /// # Errors
    /// What the generator raises; `ValueError` if it is asked for an item while it makes one.
    pub fn advance(&self, meter: &Meter) -> Result<Option<Value>, Error> {
        let mut feed = self.feed();
        match &mut *feed {
            Feed::Items(items) => return Ok(items.next()),
            Feed::Done => return Ok(None),
            Feed::Running => return Err(value_error("generator already executing")),
            Feed::Source(_) => {}
        }
        let Feed::Source(mut source) = std::mem::replace(&mut *feed, Feed::Running) else {
            return Ok(None);
        };
        // The lock is free while the source runs: what it runs may meet this generator again.
        drop(feed);
        let item = source.next(meter);
        *self.feed() = match &item {
            Ok(Some(_)) => Feed::Source(source),
            _ => Feed::Done,
        };
        item
    }

    /// Items that are left, as far as they are known: none of a generator's.
    #[must_use]
    pub fn remaining(&self) -> usize {
        match &*self.feed() {
            Feed::Items(items) => items.len(),
            _ => 0,
        }
    }

    /// `type(x).__name__`: `generator`, or what [`Iter::iterator`] was given.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.type_name
    }

    /// `repr(x)`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported): Python prints the address of the object, which is
    /// another one each time.
    pub fn repr(&self) -> Result<String, Error> {
        let kind = match self.0.name {
            "" => self.0.type_name,
            name => name,
        };
        Err(unsupported(format!(
            "printing the iterator {kind}, which Python prints with its address; make a list of it"
        )))
    }

    /// 1 + the depth of the deepest item.
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

/// A running iteration over a value.
#[derive(Debug)]
pub struct Iterate {
    over: Over,
    at: usize,
}

#[derive(Debug)]
enum Over {
    Nothing,
    /// The position is in bytes.
    Str(Str),
    List(List),
    Tuple(Tuple),
    Dict(Dict),
    Range(Range),
    View(View),
    Iter(Iter),
}

impl Iterate {
    /// `iter(value)`.
    ///
    /// # Errors
    /// `TypeError` if the value is not iterable.
    pub fn new(meter: &Meter, value: &Value) -> Result<Self, Error> {
        let over = match value {
            Value::Undefined(_) => Over::Nothing,
            Value::Str(text) => Over::Str(text.clone()),
            Value::List(list) => Over::List(list.clone()),
            Value::Tuple(tuple) => Over::Tuple(tuple.clone()),
            Value::Dict(dict) => Over::Dict(dict.clone()),
            Value::Range(range) => Over::Range(*range),
            Value::View(view) => Over::View(view.clone()),
            Value::Iter(iter) => Over::Iter(iter.clone()),
            Value::Object(object) => {
                return object.iterate(meter)?.ok_or_else(|| not_iterable(value));
            }
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                return Err(not_iterable(value));
            }
        };
        Ok(Self { over, at: 0 })
    }

    /// The next item.
    ///
    /// # Errors
    /// A limit of the meter.
    pub fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        let at = self.at;
        let item = match &self.over {
            Over::Nothing => None,
            Over::Str(text) => {
                let Some(c) = text[at..].chars().next() else {
                    return Ok(None);
                };
                self.at += c.len_utf8();
                let mut buffer = [0; 4];
                let item = Str::new(meter, &*c.encode_utf8(&mut buffer))?;
                return Ok(Some(Value::Str(item)));
            }
            Over::List(list) => list.items().get(at).cloned(),
            Over::Tuple(tuple) => tuple.items().get(at).cloned(),
            Over::Dict(dict) => dict.at(at).map(|(key, _)| key.clone()),
            Over::Range(range) => range.get(at).map(Value::Int),
            Over::View(view) => view.get(meter, at)?,
            Over::Iter(iter) => iter.advance(meter)?,
        };
        self.at += 1;
        Ok(item)
    }

    /// Items that are left, as far as they are known: none of a generator's.
    #[must_use]
    pub fn remaining(&self) -> usize {
        let length = match &self.over {
            Over::Nothing => 0,
            Over::Str(text) => return text[self.at..].chars().count(),
            Over::List(list) => list.items().len(),
            Over::Tuple(tuple) => tuple.items().len(),
            Over::Dict(dict) => dict.len(),
            Over::Range(range) => range.length(),
            Over::View(view) => view.dict().len(),
            Over::Iter(iter) => return iter.remaining(),
        };
        length.saturating_sub(self.at)
    }

    /// All items that are left.
    ///
    /// # Errors
    /// A limit of the meter.
    pub fn collect(mut self, meter: &Meter) -> Result<Vec<Value>, Error> {
        let count = self.remaining();
        meter.check_items(count)?;
        meter.step(u64::try_from(count).unwrap_or(u64::MAX >> 1))?;
        let mut items = Vec::with_capacity(count);
        while let Some(item) = self.next(meter)? {
            if items.len() == items.capacity() {
                meter.check(items.len().saturating_mul(3 * size_of::<Value>()))?;
                meter.step(1)?;
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// `list(value)`, as a vector.
///
/// # Errors
/// `TypeError` if the value is not iterable; a limit of the meter.
pub fn collect(meter: &Meter, value: &Value) -> Result<Vec<Value>, Error> {
    Iterate::new(meter, value)?.collect(meter)
}

/// `len(value)`.
///
/// # Errors
/// `TypeError` if the value has no length.
pub fn len(value: &Value) -> Result<usize, Error> {
    let length = match value {
        Value::Undefined(_) => Some(0),
        Value::Str(text) => Some(text.length()),
        Value::List(list) => Some(list.items().len()),
        Value::Tuple(tuple) => Some(tuple.items().len()),
        Value::Dict(dict) => Some(dict.len()),
        Value::Range(range) => Some(range.length()),
        Value::View(view) => Some(view.dict().len()),
        Value::Object(object) => object.len()?,
        _ => None,
    };
    length.ok_or_else(|| {
        type_error(format!(
            "object of type '{}' has no len()",
            value.type_name()
        ))
    })
}

fn not_iterable(value: &Value) -> Error {
    type_error(format!("'{}' object is not iterable", value.type_name()))
}
