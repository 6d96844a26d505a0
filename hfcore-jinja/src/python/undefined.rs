//! `jinja2.Undefined`: what a missing name, attribute or item gives. It may be printed, tested and iterated over; nearly
//! all else raises the error that it carries.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::{Error, ErrorKind};
use super::meter::Meter;
use super::repr::{quoted, repr};
use super::value::Value;

/// An undefined value, and what its error will say.
#[derive(Clone, Debug)]
pub struct Undefined(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: What,
    kind: ErrorKind,
}

#[derive(Debug)]
enum What {
    /// A message of its own.
    Hint(String),
    /// A name that the context does not have.
    Name(String),
    /// An attribute or an item that an object of this type does not have.
    Of(Cow<'static, str>, Value),
}

impl Undefined {
    /// A variable of this name is not there.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self::of(What::Name(name.into()), ErrorKind::UndefinedError)
    }

    /// An object has no such attribute (if the key is a string) or element.
    #[must_use]
    pub fn member(object: &Value, key: Value) -> Self {
        let object = object_type_repr(object);
        let what = match key {
            // Its `repr`; keeping the value would let a template build an endless chain of them.
            Value::Undefined(_) => What::Hint(format!("{object} has no element Undefined")),
            key => What::Of(object, key),
        };
        Self::of(what, ErrorKind::UndefinedError)
    }

    /// Undefined with a message of its own.
    #[must_use]
    pub fn hint(message: impl Into<String>) -> Self {
        Self::of(What::Hint(message.into()), ErrorKind::UndefinedError)
    }

    /// The sandbox keeps an attribute from the template.
    #[must_use]
    pub fn unsafe_attribute(object: &Value, name: &str) -> Self {
        let message = format!(
            "access to attribute {} of {} object is unsafe.",
            quoted(name),
            quoted(&object.type_name())
        );
        Self::of(What::Hint(message), ErrorKind::SecurityError)
    }

    fn of(what: What, kind: ErrorKind) -> Self {
        Self(Arc::new(Inner { what, kind }))
    }

    /// The error of using this value.
    #[must_use]
    pub fn error(&self, meter: &Meter) -> Error {
        match self.message(meter) {
            Ok(message) => Error::new(self.0.kind, message),
            Err(error) => error,
        }
    }

    fn message(&self, meter: &Meter) -> Result<String, Error> {
        Ok(match &self.0.what {
            What::Hint(message) => message.clone(),
            What::Name(name) => format!("{} is undefined", quoted(name)),
            What::Of(object, Value::Str(name)) => {
                format!("{} has no attribute {}", quoted(object), quoted(name))
            }
            What::Of(object, key) => {
                format!("{object} has no element {}", repr(meter, key)?)
            }
        })
    }

    /// The depth of the key that it names.
    pub(super) fn depth(&self) -> u32 {
        match &self.0.what {
            What::Hint(_) | What::Name(_) => 0,
            What::Of(_, key) => key.depth(),
        }
    }
}

/// `jinja2.utils.object_type_repr`.
#[must_use]
pub fn object_type_repr(object: &Value) -> Cow<'static, str> {
    match object {
        Value::None => Cow::Borrowed("None"),
        Value::Undefined(_) => Cow::Borrowed("jinja2.runtime.Undefined object"),
        Value::Str(text) if text.is_markup() => Cow::Borrowed("markupsafe.Markup object"),
        Value::Str(_) => Cow::Borrowed("str object"),
        Value::Dict(_) => Cow::Borrowed("dict object"),
        Value::List(_) => Cow::Borrowed("list object"),
        Value::Object(object) => match object.module() {
            "builtins" => Cow::Owned(format!("{} object", object.type_name())),
            module => Cow::Owned(format!("{module}.{} object", object.type_name())),
        },
        other => Cow::Owned(format!("{} object", other.type_name())),
    }
}
