//! `find` and its kin, `count`, `startswith` and `endswith`.

use super::super::error::{Error, type_error, value_error};
use super::super::index::byte_at;
use super::super::meter::Meter;
use super::super::text::Str;
use super::super::value::Value;
use super::Args;
use super::text::text_of;

/// A slice of the text by optional bounds in code points: its bytes, and how many code points come before it. `None`
/// where the bounds exclude even an empty text.
fn within(
    meter: &Meter,
    text: &Str,
    start: Option<&Value>,
    stop: Option<&Value>,
) -> Result<Option<(usize, usize, usize)>, Error> {
    let size = i128::try_from(text.length()).expect("a usize fits 128 bits");
    let place = |value: Option<&Value>, default: i128| -> Result<i128, Error> {
        match value {
            None | Some(Value::None) => Ok(default),
            Some(value) => {
                let at = value.as_int().ok_or_else(|| {
                    type_error("slice indices must be integers or None or have an __index__ method")
                })?;
                Ok(if at < 0 {
                    at.saturating_add(size).max(0)
                } else {
                    at
                })
            }
        }
    };
    let (start, stop) = (place(start, 0)?, place(stop, size)?.min(size));
    if start > stop {
        return Ok(None);
    }
    let first = usize::try_from(start).expect("not above the length");
    let last = usize::try_from(stop).expect("not above the length");
    Ok(Some((
        byte_at(meter, text, first)?,
        byte_at(meter, text, last)?,
        first,
    )))
}

/// The arguments of `find` and its kin: what is searched, and the bounds.
fn search_args(name: &str, args: Args) -> Result<Vec<Value>, Error> {
    if !args.keyword.is_empty() {
        return Err(type_error(format!("{name}() takes no keyword arguments")));
    }
    let given = args.positional.len();
    match given {
        0 => Err(type_error(format!(
            "{name}() takes at least 1 argument (0 given)"
        ))),
        1..=3 => Ok(args.positional),
        _ => Err(type_error(format!(
            "{name}() takes at most 3 arguments ({given} given)"
        ))),
    }
}

pub(super) fn find(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let args = search_args(name, args)?;
    let bounds = within(meter, text, args.get(1), args.get(2));
    let part = text_of(&args[0])?;
    let bounds = bounds?;
    if name == "count" {
        let count = bounds.map_or(0, |(from, to, _)| {
            let within = &text[from..to];
            if part.is_empty() {
                within.chars().count() + 1
            } else {
                within.matches(part).count()
            }
        });
        return Ok(Value::from(count));
    }
    let found = bounds.and_then(|(from, to, before)| {
        let within = &text[from..to];
        let at = if name.starts_with('r') {
            within.rfind(part)
        } else {
            within.find(part)
        }?;
        Some(before + within[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if name.ends_with("index") => Err(value_error("substring not found")),
        None => Ok(Value::Int(-1)),
    }
}

pub(super) fn affix(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let args = search_args(name, args)?;
    let bounds = within(meter, text, args.get(1), args.get(2))?;
    let fits = |affix: &str| {
        bounds.is_some_and(|(from, to, _)| {
            let within = &text[from..to];
            if name == "startswith" {
                within.starts_with(affix)
            } else {
                within.ends_with(affix)
            }
        })
    };
    match &args[0] {
        Value::Str(affix) => Ok(Value::Bool(fits(affix))),
        Value::Tuple(tuple) => {
            for affix in tuple.items() {
                meter.step(1)?;
                let Some(affix) = affix.as_str() else {
                    return Err(type_error(format!(
                        "tuple for {name} must only contain str, not {}",
                        affix.type_name()
                    )));
                };
                if fits(affix) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        other => Err(type_error(format!(
            "{name} first arg must be str or a tuple of str, not {}",
            other.type_name()
        ))),
    }
}
