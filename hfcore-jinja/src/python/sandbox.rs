//! Attributes and items as `jinja2.sandbox.ImmutableSandboxedEnvironment` gives them to a template.

use std::borrow::Cow;

use super::args::Args;
use super::error::{Error, ErrorKind, type_error};
use super::index::item;
use super::meter::Meter;
use super::methods;
use super::object::{Caller, Object};
use super::undefined::Undefined;
use super::value::Value;

/// A method with its object: `'text'.upper`.
#[derive(Debug)]
struct BoundMethod {
    receiver: Value,
    name: &'static str,
}

impl Object for BoundMethod {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("builtin_function_or_method")
    }

    fn call(&self, caller: &mut dyn Caller, args: Args) -> Result<Value, Error> {
        methods::call(caller.meter(), &self.receiver, self.name, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        let address = std::ptr::from_ref(self).addr();
        Ok(format!(
            "<built-in method {} of {} object at 0x{address:x}>",
            self.name,
            self.receiver.type_name()
        ))
    }

    fn equals(&self, other: &Value) -> bool {
        let Value::Object(other) = other else {
            return false;
        };
        other.downcast_ref::<Self>().is_some_and(|other| {
            self.name == other.name && super::compare::is_same(&self.receiver, &other.receiver)
        })
    }

    fn depth(&self) -> u32 {
        self.receiver.depth()
    }
}

/// `getattr(value, name)` of Python; `None` is its `AttributeError`.
///
/// # Errors
/// What the attribute raises: `UndefinedError` of an undefined value.
pub fn get_attr(meter: &Meter, value: &Value, name: &str) -> Result<Option<Value>, Error> {
    match value {
        Value::Undefined(undefined) => {
            if name.starts_with("__") && name.ends_with("__") {
                return Ok(methods::has_dunder(value, name).then_some(Value::None));
            }
            return Err(undefined.error(meter));
        }
        Value::Object(object) => {
            if let Some(found) = object.get_attr(meter, name)? {
                return Ok(Some(found));
            }
        }
        _ => {
            if let Some(name) = methods::find(value, name) {
                return Ok(Some(Value::object(BoundMethod {
                    receiver: value.clone(),
                    name,
                })));
            }
            if let Some(found) = methods::attribute(value, name) {
                return Ok(Some(found));
            }
        }
    }
    // Internal attributes are there, and never safe: their value is not looked at.
    Ok(methods::has_dunder(value, name).then_some(Value::None))
}

fn is_safe(value: &Value, name: &str) -> bool {
    if name.starts_with('_') {
        return false;
    }
    let refused: &[&str] = match value {
        Value::Dict(_) => &["clear", "pop", "popitem", "setdefault", "update"],
        Value::List(_) => &[
            "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
        ],
        Value::Iter(iter) if iter.type_name() == "generator" => &["gi_frame", "gi_code"],
        _ => &[],
    };
    !refused.contains(&name)
}

/// `value.name` in a template: the attribute, else the item, else undefined.
///
/// # Errors
/// `UndefinedError` of an undefined value; what an object's own attributes raise; a limit of the meter.
pub fn getattr(meter: &Meter, value: &Value, name: &str) -> Result<Value, Error> {
    // Most often a dict's key: nothing is allocated for it.
    if let Value::Dict(dict) = value
        && !name.starts_with('_')
        && methods::find(value, name).is_none()
    {
        return Ok(match dict.get_str(name) {
            Some(found) => found.clone(),
            None => Value::Undefined(Undefined::member(value, super::dict::key(name))),
        });
    }
    if let Some(found) = get_attr(meter, value, name)? {
        if is_safe(value, name) {
            return Ok(found);
        }
        return Ok(Value::Undefined(Undefined::unsafe_attribute(value, name)));
    }
    let key = super::dict::key(name);
    match item(meter, value, &key) {
        Ok(found) => Ok(found),
        Err(error) if is_lookup(&error) => Ok(Value::Undefined(Undefined::member(value, key))),
        Err(error) => Err(error),
    }
}

fn is_lookup(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TypeError | ErrorKind::KeyError | ErrorKind::IndexError
    )
}

/// `value[key]` in a template: the item, else (for a string key) the attribute, else undefined.
///
/// # Errors
/// As [`getattr`].
pub fn getitem(meter: &Meter, value: &Value, key: &Value) -> Result<Value, Error> {
    match (value, key) {
        // Missing keys are common, and building a KeyError's text for each is not free.
        (Value::Dict(dict), Value::Str(name)) => {
            meter.work(name.len())?;
            if let Some(found) = dict.get_str(name) {
                return Ok(found.clone());
            }
        }
        _ => match item(meter, value, key) {
            Ok(found) => return Ok(found),
            Err(error) if is_lookup(&error) => {}
            Err(error) => return Err(error),
        },
    }
    if let Value::Str(name) = key
        && let Some(found) = get_attr(meter, value, name)?
    {
        if is_safe(value, name) {
            return Ok(found);
        }
        return Ok(Value::Undefined(Undefined::unsafe_attribute(value, name)));
    }
    Ok(Value::Undefined(Undefined::member(value, key.clone())))
}

/// `function(*args)`.
///
/// # Errors
/// What the call raises; `TypeError` for what cannot be called.
pub fn call(caller: &mut dyn Caller, function: &Value, args: Args) -> Result<Value, Error> {
    match function {
        Value::Undefined(undefined) => Err(undefined.error(caller.meter())),
        Value::Object(object) => object.call(caller, args),
        other => Err(type_error(format!(
            "'{}' object is not callable",
            other.type_name()
        ))),
    }
}

/// `value.name(*args)` in a template, without making the bound method where there is one.
///
/// # Errors
/// As [`getattr`] and [`call`].
pub fn call_method(
    caller: &mut dyn Caller,
    value: &Value,
    name: &str,
    args: Args,
) -> Result<Value, Error> {
    if let Some(method) = methods::find(value, name)
        && is_safe(value, name)
    {
        return methods::call(caller.meter(), value, method, args);
    }
    let function = getattr(caller.meter(), value, name)?;
    call(caller, &function, args)
}
