//! `list`, `tuple` and `range`.

use std::sync::Arc;

use super::error::{Error, recursion_error};
use super::meter::{Charge, MAX_DEPTH, Meter};
use super::value::Value;

/// A shared, immutable `list`.
#[derive(Clone, Debug)]
pub struct List(Arc<Items>);

/// A shared, immutable `tuple`, whose items may have names.
#[derive(Clone, Debug)]
pub struct Tuple {
    items: Arc<Items>,
    /// The type's name and the items' names, of a `namedtuple`.
    names: Option<(&'static str, &'static [&'static str])>,
}

#[derive(Debug)]
struct Items {
    values: Vec<Value>,
    depth: u32,
    _charge: Charge,
}

impl Items {
    fn new(meter: Option<&Meter>, values: Vec<Value>) -> Result<Arc<Self>, Error> {
        let bytes = values.len().saturating_mul(size_of::<Value>());
        let charge = match meter {
            Some(meter) => {
                meter.work(bytes)?;
                meter.charge(bytes)?
            }
            None => Charge::none(),
        };
        Ok(Arc::new(Self {
            depth: depth_over(&values)?,
            values,
            _charge: charge,
        }))
    }
}

/// 1 + the deepest of some values.
pub(super) fn depth_over<'v>(values: impl IntoIterator<Item = &'v Value>) -> Result<u32, Error> {
    let depth = 1 + values.into_iter().map(Value::depth).max().unwrap_or(0);
    if depth > MAX_DEPTH {
        return Err(recursion_error());
    }
    Ok(depth)
}

impl List {
    /// A list made during a render: counted as work, and charged until it is dropped.
    ///
    /// # Errors
    /// A limit of the meter, or nesting deeper than [`MAX_DEPTH`].
    pub fn new(meter: &Meter, values: Vec<Value>) -> Result<Self, Error> {
        Items::new(Some(meter), values).map(Self)
    }

    /// The caller's input: not charged.
    ///
    /// # Errors
    /// Nesting deeper than [`MAX_DEPTH`].
    pub fn constant(values: Vec<Value>) -> Result<Self, Error> {
        Items::new(None, values).map(Self)
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        &self.0.values
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

impl Tuple {
    /// A tuple made during a render: counted as work, and charged until it is dropped.
    ///
    /// # Errors
    /// A limit of the meter, or nesting deeper than [`MAX_DEPTH`].
    pub fn new(meter: &Meter, values: Vec<Value>) -> Result<Self, Error> {
        Ok(Self {
            items: Items::new(Some(meter), values)?,
            names: None,
        })
    }

    /// The caller's input, or a constant of the template: not charged.
    ///
    /// # Errors
    /// Nesting deeper than [`MAX_DEPTH`].
    pub fn constant(values: Vec<Value>) -> Result<Self, Error> {
        Ok(Self {
            items: Items::new(None, values)?,
            names: None,
        })
    }

    /// The same items, which are attributes under these names too: a `namedtuple` that prints as a tuple.
    #[must_use]
    pub fn with_names(mut self, type_name: &'static str, names: &'static [&'static str]) -> Self {
        self.names = Some((type_name, names));
        self
    }

    /// `tuple`, or the name of the `namedtuple`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.names.map_or("tuple", |(type_name, _)| type_name)
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        &self.items.values
    }

    /// The item under a name that [`Tuple::with_names`] gave.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Value> {
        let at = self.names?.1.iter().position(|known| *known == name)?;
        self.items.values.get(at)
    }

    /// 1 + the depth of the deepest item.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.items.depth
    }

    /// Whether both are one object: Python's `is`.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }
}

/// `range`: an arithmetic progression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: i64,
    stop: i64,
    step: i64,
    length: usize,
}

impl Range {
    /// `range(start, stop, step)`; `None` for a step of 0 and for lengths that no list has.
    #[must_use]
    pub fn new(start: i64, stop: i64, step: i64) -> Option<Self> {
        let (from, to, by) = (i128::from(start), i128::from(stop), i128::from(step));
        let length = match by {
            0 => return None,
            by if by > 0 => (to - from + by - 1).max(0) / by,
            by => (from - to - by - 1).max(0) / -by,
        };
        Some(Self {
            start,
            stop,
            step,
            length: usize::try_from(length).ok()?,
        })
    }

    /// The first number.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The bound, which is not reached.
    #[must_use]
    pub fn stop(&self) -> i64 {
        self.stop
    }

    /// The difference of neighbours.
    #[must_use]
    pub fn step(&self) -> i64 {
        self.step
    }

    /// How many numbers there are.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The number at a position below [`Range::length`].
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i128> {
        if index >= self.length {
            return None;
        }
        let index = i128::try_from(index).ok()?;
        Some(i128::from(self.start) + index * i128::from(self.step))
    }

    /// The position of a number.
    #[must_use]
    pub fn position(&self, number: i128) -> Option<usize> {
        let offset = number.checked_sub(i128::from(self.start))?;
        let step = i128::from(self.step);
        if offset % step != 0 {
            return None;
        }
        let index = usize::try_from(offset / step).ok()?;
        (index < self.length).then_some(index)
    }
}
