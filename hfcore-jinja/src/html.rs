//! `markupsafe`: text that is known to be escaped.

use std::borrow::Cow;

use crate::python::{Error, Meter, Str, Value, str};

/// The text of `markupsafe.escape(value)`.
pub(crate) fn escape<'v>(meter: &Meter, value: &'v Value) -> Result<Cow<'v, str>, Error> {
    crate::python::escape(meter, value)
}

/// `markupsafe.escape(value)`
pub(crate) fn escaped(meter: &Meter, value: &Value) -> Result<Value, Error> {
    Ok(Value::Str(
        Str::new(meter, escape(meter, value)?.as_ref())?.with_markup(true),
    ))
}

/// `markupsafe.Markup(value)`
pub(crate) fn markup(meter: &Meter, value: &Value) -> Result<Value, Error> {
    Ok(Value::Str(str(meter, value)?.with_markup(true)))
}

/// `Markup(separator).join(values)`
pub(crate) fn join(meter: &Meter, separator: &Str, values: &[Value]) -> Result<Value, Error> {
    let mut out = meter.text();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push_str(separator)?;
        }
        out.push_str(&escape(meter, value)?)?;
    }
    Ok(Value::Str(out.finish()?.with_markup(true)))
}

/// The filter `join` where text is escaped.
pub(crate) fn join_items(
    meter: &Meter,
    separator: &Value,
    values: Vec<Value>,
) -> Result<Value, Error> {
    let is_markup = |value: &Value| matches!(value, Value::Str(text) if text.is_markup());
    if is_markup(separator) || values.iter().any(is_markup) {
        let separator = Str::new(meter, escape(meter, separator)?.as_ref())?;
        return join(meter, &separator, &values);
    }
    let separator = str(meter, separator)?;
    let mut out = meter.text();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push_str(&separator)?;
        }
        out.push_str(&str(meter, value)?)?;
    }
    Ok(Value::Str(out.finish()?))
}
