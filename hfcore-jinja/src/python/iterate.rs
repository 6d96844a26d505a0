//! Iteration: over every iterable value, and generators as values.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::dict::{Dict, View};
use super::error::{Error, type_error};
use super::meter::{Charge, Meter};
use super::sequence::{List, Range, Tuple, depth_over};
use super::text::Str;
use super::value::Value;

/// A generator, or another iterator: its items are made already, and clones share one cursor over them.
#[derive(Clone, Debug)]
pub struct Iter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    type_name: &'static str,
    /// The generator function's name; empty for iterators that are no generators.
    name: &'static str,
    items: Vec<Value>,
    cursor: AtomicUsize,
    depth: u32,
    _charge: Charge,
}

impl Iter {
    /// A generator of the function `name`.
    ///
    /// # Errors
    /// A limit of the meter, or nesting too deep.
    pub fn generator(meter: &Meter, name: &'static str, items: Vec<Value>) -> Result<Self, Error> {
        Self::new(meter, "generator", name, items)
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
        Self::new(meter, type_name, "", items)
    }

    fn new(
        meter: &Meter,
        type_name: &'static str,
        name: &'static str,
        items: Vec<Value>,
    ) -> Result<Self, Error> {
        let bytes = items.len().saturating_mul(size_of::<Value>());
        meter.work(bytes)?;
        Ok(Self(Arc::new(Inner {
            type_name,
            name,
            depth: depth_over(&items)?,
            items,
            cursor: AtomicUsize::new(0),
            _charge: meter.charge(bytes)?,
        })))
    }

    /// The next item, which no clone will see again.
    #[must_use]
    pub fn advance(&self) -> Option<Value> {
        let at = self.0.cursor.load(Ordering::Relaxed);
        let item = self.0.items.get(at)?;
        self.0.cursor.store(at + 1, Ordering::Relaxed);
        Some(item.clone())
    }

    /// Items that are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.0.items.len() - self.0.cursor.load(Ordering::Relaxed)
    }

    /// `type(x).__name__`: `generator`, or what [`Iter::iterator`] was given.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.type_name
    }

    /// `repr(x)`; the address is that of this process, as in Python.
    #[must_use]
    pub fn repr(&self) -> String {
        let Inner {
            type_name, name, ..
        } = &*self.0;
        let address = Arc::as_ptr(&self.0).addr();
        match *name {
            "" => format!("<{type_name} object at 0x{address:x}>"),
            name => format!("<{type_name} object {name} at 0x{address:x}>"),
        }
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
            Over::Iter(iter) => iter.advance(),
        };
        self.at += 1;
        Ok(item)
    }

    /// Items that are left.
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
