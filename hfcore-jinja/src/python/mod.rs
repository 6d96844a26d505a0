//! Python as templates see it: values, operators, methods and formatting.
//!
//! Everything that makes a value takes a [`Meter`], which bounds the work and the memory of a render. Errors have the
//! names and the texts that `CPython` 3.11 and Jinja 3.1 give them.

mod args;
mod compare;
mod convert;
mod dict;
mod error;
mod escape;
mod format;
mod index;
mod iterate;
mod json;
mod meter;
mod methods;
mod object;
mod operator;
mod percent;
mod repr;
mod sandbox;
mod sequence;
mod sort;
mod spec;
mod text;
mod time;
mod undefined;
mod unicode;
mod unicode_tables;
mod value;

pub use args::{Args, Param};
pub use compare::{Order, compare, equals, hash, is_same};
pub use convert::{float, int, int_of_text};
pub use dict::{Dict, DictBuilder, View, ViewKind, key};
pub use error::{Error, ErrorKind};
pub use escape::{escape, escape_text};
pub use index::{contains, item, slice};
pub use iterate::{Iter, Iterate, Source, collect, len};
pub use json::{dumps, from_json, to_json};
pub use meter::{Charge, Limits, MAX_DEPTH, Meter, Text};
pub use object::{Caller, Object};
pub use operator::{Binary, binary, negative, positive};
pub use repr::{quoted, repr, str, write_repr, write_str};
pub use sandbox::{call, call_method, get_attr, getattr, getitem};
pub use sequence::{List, Range, Tuple};
pub use sort::sort_by_key;
pub use text::Str;
pub use time::{now, strftime};
pub use undefined::{Undefined, object_type_repr};
pub(crate) use unicode::is_space;
pub use value::Value;

/// `separator.join(values)`.
///
/// # Errors
/// `TypeError` for what is not iterable and for items that are no strings; a limit of the meter.
pub fn join(meter: &Meter, separator: &Str, values: &Value) -> Result<Value, Error> {
    methods::join(meter, separator, values)
}

/// `format(value, spec)`, and with an empty specification `str(value)`.
///
/// # Errors
/// As Python; a limit of the meter.
pub fn format_value(meter: &Meter, value: &Value, spec: &str) -> Result<String, Error> {
    spec::format(meter, value, spec)
}
