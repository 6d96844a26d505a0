//! Attributes by name, and `attr` and `default`.

use super::{bind, flag, given};
use crate::environment::Environment;
use crate::fail;
use crate::python::{Args, Error, Str, Undefined, Value, get_attr, getattr, getitem};

/// `make_attrgetter`: a dotted path of items.
#[derive(Clone, Debug)]
pub(super) struct Path {
    parts: Vec<Value>,
    /// What stands for an undefined part.
    default: Option<Value>,
    /// Whether strings are taken in lower case.
    pub(super) ignore_case: bool,
}

impl Path {
    /// `_prepare_attribute_parts`
    pub(super) fn new(attribute: &Value) -> Result<Self, Error> {
        let parts = match attribute {
            Value::None => Vec::new(),
            Value::Str(text) => text.split('.').map(part).collect::<Result<_, _>>()?,
            other => vec![other.clone()],
        };
        Ok(Self {
            parts,
            default: None,
            ignore_case: false,
        })
    }

    pub(super) fn with_default(self, default: Option<Value>) -> Self {
        Self {
            default: default.filter(|default| !default.is_none()),
            ..self
        }
    }

    pub(super) fn ignoring_case(self, ignore_case: bool) -> Self {
        Self {
            ignore_case,
            ..self
        }
    }

    /// The value at the path.
    pub(super) fn get(&self, environment: &Environment<'_>, item: &Value) -> Result<Value, Error> {
        let mut item = item.clone();
        for part in &self.parts {
            environment.meter.step(1)?;
            item = getitem(environment.meter, &item, part)?;
            if let (Value::Undefined(_), Some(default)) = (&item, &self.default) {
                item = default.clone();
            }
        }
        if self.ignore_case {
            lowered(environment, item)
        } else {
            Ok(item)
        }
    }
}

/// `ignore_case`
pub(super) fn lowered(environment: &Environment<'_>, value: Value) -> Result<Value, Error> {
    match &value {
        Value::Str(_) => super::method(environment, &value, "lower", Vec::new()),
        _ => Ok(value),
    }
}

fn part(text: &str) -> Result<Value, Error> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Value::Str(Str::constant(text)));
    }
    text.parse()
        .map(Value::Int)
        .map_err(|_| fail::unsupported(format!("the index {text}")))
}

/// `make_multi_attrgetter`: paths with commas between them.
pub(super) fn paths(attribute: &Value, ignore_case: bool) -> Result<Vec<Path>, Error> {
    let path = |attribute: &Value| Ok(Path::new(attribute)?.ignoring_case(ignore_case));
    match attribute {
        Value::Str(text) => text
            .split(',')
            .map(|part| path(&Value::Str(Str::constant(part))))
            .collect(),
        other => Ok(vec![path(other)?]),
    }
}

/// `do_attr`
pub(super) fn attr(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [object, name] = bind(args, "do_attr", 1, 2, ["obj", "name"])?;
    let (object, name) = (given(object), given(name));
    if let Value::Undefined(undefined) = &object {
        return Err(undefined.error(environment.meter));
    }
    let Value::Str(text) = &name else {
        return Err(fail::type_error(format!(
            "attribute name must be string, not '{}'",
            name.type_name()
        )));
    };
    match get_attr(environment.meter, &object, text)? {
        Some(_) => getattr(environment.meter, &object, text),
        None => Ok(Value::Undefined(Undefined::member(&object, name))),
    }
}

/// `do_default`
pub(super) fn default(_environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, default, boolean] = bind(
        args,
        "do_default",
        0,
        1,
        ["value", "default_value", "boolean"],
    )?;
    let value = given(value);
    if value.is_undefined() || (flag(boolean.as_ref(), false) && !value.truth()) {
        return Ok(default.unwrap_or_else(|| Value::Str(Str::constant(""))));
    }
    Ok(value)
}
