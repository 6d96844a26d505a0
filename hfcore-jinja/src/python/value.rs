//! A Python value.

use std::borrow::Cow;
use std::sync::Arc;

use super::dict::{Dict, View};
use super::error::Error;
use super::iterate::Iter;
use super::meter::Meter;
use super::object::Object;
use super::sequence::{List, Range, Tuple};
use super::text::Str;
use super::undefined::Undefined;

/// A Python value as a template meets it. Clones share what they hold, and nothing of it changes but what an
/// [`Object`] keeps for itself and the cursor of an [`Iter`].
#[derive(Clone, Debug)]
pub enum Value {
    /// `jinja2.Undefined`.
    Undefined(Undefined),
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`, of 128 bits; beyond them is an error.
    Int(i128),
    /// `float`.
    Float(f64),
    /// `str` or `markupsafe.Markup`.
    Str(Str),
    /// `list`.
    List(List),
    /// `tuple`.
    Tuple(Tuple),
    /// `dict`.
    Dict(Dict),
    /// `range`.
    Range(Range),
    /// `dict_keys`, `dict_values` or `dict_items`.
    View(View),
    /// A generator or another iterator: one cursor, shared by its clones.
    Iter(Iter),
    /// Anything else.
    Object(Arc<dyn Object>),
}

impl Value {
    /// A string made during a render, charged.
    ///
    /// # Errors
    /// A limit of the meter.
    pub fn str(meter: &Meter, text: impl Into<Box<str>> + AsRef<str>) -> Result<Self, Error> {
        Str::new(meter, text).map(Self::Str)
    }

    /// A list made during a render, charged.
    ///
    /// # Errors
    /// As [`List::new`].
    pub fn list(meter: &Meter, values: Vec<Self>) -> Result<Self, Error> {
        List::new(meter, values).map(Self::List)
    }

    /// A tuple made during a render, charged.
    ///
    /// # Errors
    /// As [`Tuple::new`].
    pub fn tuple(meter: &Meter, values: Vec<Self>) -> Result<Self, Error> {
        Tuple::new(meter, values).map(Self::Tuple)
    }

    /// An object.
    pub fn object(object: impl Object) -> Self {
        Self::Object(Arc::new(object))
    }

    /// `type(x).__name__`.
    #[must_use]
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(text) if text.is_markup() => "Markup",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(tuple) => tuple.type_name(),
            Self::Dict(_) => "dict",
            Self::Range(_) => "range",
            Self::View(view) => view.type_name(),
            Self::Iter(iter) => iter.type_name(),
            Self::Object(object) => return object.type_name(),
        })
    }

    /// `bool(x)`.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(list) => !list.items().is_empty(),
            Self::Tuple(tuple) => !tuple.items().is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
            Self::Range(range) => range.length() > 0,
            Self::View(view) => !view.dict().is_empty(),
            Self::Iter(_) => true,
            Self::Object(object) => object.truth(),
        }
    }

    /// How deep containers are nested in this one, itself included; 0 for what holds nothing.
    #[must_use]
    pub fn depth(&self) -> u32 {
        match self {
            Self::Undefined(undefined) => undefined.depth(),
            Self::List(list) => list.depth(),
            Self::Tuple(tuple) => tuple.depth(),
            Self::Dict(dict) => dict.depth(),
            Self::View(view) => view.dict().depth().saturating_add(1),
            Self::Iter(iter) => iter.depth(),
            Self::Object(object) => object.depth(),
            _ => 0,
        }
    }

    /// The string that this is, `Markup` included.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The integer that this is, `True` and `False` included: `__index__`.
    #[must_use]
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// Whether this is `Undefined`.
    #[must_use]
    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// Whether this is `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// `callable(x)`. `Undefined` counts, as it defines `__call__` (to raise its error).
    #[must_use]
    pub fn is_callable(&self) -> bool {
        match self {
            Self::Undefined(_) => true,
            Self::Object(object) => object.is_callable(),
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(i128::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i128::try_from(value).expect("a usize fits 128 bits"))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Str> for Value {
    fn from(value: Str) -> Self {
        Self::Str(value)
    }
}

impl From<Dict> for Value {
    fn from(value: Dict) -> Self {
        Self::Dict(value)
    }
}

impl From<List> for Value {
    fn from(value: List) -> Self {
        Self::List(value)
    }
}

impl From<Tuple> for Value {
    fn from(value: Tuple) -> Self {
        Self::Tuple(value)
    }
}
