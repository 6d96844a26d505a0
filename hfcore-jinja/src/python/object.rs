//! Values that are neither Python's containers nor its numbers and strings: functions, bound methods, and what Jinja
//! adds (`namespace`, `loop`, macros, `cycler`, `joiner`).

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use super::args::Args;
use super::error::{Error, type_error};
use super::iterate::Iterate;
use super::meter::Meter;
use super::value::Value;

/// Who calls an object: the interpreter, or a test.
pub trait Caller {
    /// The render's account.
    fn meter(&self) -> &Meter;
}

/// An object with attributes, items and a call of its own. The defaults are those of a Python object that defines none
/// of these.
#[allow(
    clippy::len_without_is_empty,
    reason = "a protocol's slot, as Python's `__len__`"
)]
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// `type(x).__name__`.
    fn type_name(&self) -> Cow<'static, str>;

    /// `type(x).__module__`.
    fn module(&self) -> &'static str {
        "builtins"
    }

    /// An attribute as `getattr` finds it, before the sandbox looks at it; `None` raises `AttributeError`.
    ///
    /// # Errors
    /// What the attribute itself raises.
    fn get_attr(&self, _meter: &Meter, _name: &str) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    /// An item; `None` means that the object has no items or not this one.
    ///
    /// # Errors
    /// What the access raises, but for `TypeError`, `KeyError` and `IndexError`, which are `None`.
    fn get_item(&self, _meter: &Meter, _key: &Value) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    /// Calls it.
    ///
    /// # Errors
    /// What the call raises; `TypeError` if it cannot be called.
    fn call(&self, _caller: &mut dyn Caller, _args: Args) -> Result<Value, Error> {
        Err(type_error(format!(
            "'{}' object is not callable",
            self.type_name()
        )))
    }

    /// `callable(x)`.
    fn is_callable(&self) -> bool {
        false
    }

    /// `bool(x)`.
    fn truth(&self) -> bool {
        true
    }

    /// `len(x)`; `None` if it has none.
    ///
    /// # Errors
    /// What `len` raises.
    fn len(&self) -> Result<Option<usize>, Error> {
        Ok(None)
    }

    /// `iter(x)`; `None` if it is not iterable.
    ///
    /// # Errors
    /// What the iteration raises.
    fn iterate(&self, _meter: &Meter) -> Result<Option<Iterate>, Error> {
        Ok(None)
    }

    /// `repr(x)`.
    ///
    /// # Errors
    /// A limit of the meter.
    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Ok(match self.module() {
            "builtins" => format!("<{} object>", self.type_name()),
            module => format!("<{module}.{} object>", self.type_name()),
        })
    }

    /// `str(x)`.
    ///
    /// # Errors
    /// A limit of the meter.
    fn str(&self, meter: &Meter) -> Result<String, Error> {
        self.repr(meter)
    }

    /// `x == y` for two objects that are not the same one.
    fn equals(&self, _other: &Value) -> bool {
        false
    }

    /// How deep the object's own values are nested; 0 for one that holds none.
    fn depth(&self) -> u32 {
        0
    }
}

impl dyn Object {
    /// The object as the type that it is.
    #[must_use]
    pub fn downcast_ref<T: Object>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
