//! `x[i]`, `x[a:b:c]` and `in`.

use super::compare::{equals, is_same};
use super::dict::{View, ViewKind};
use super::error::{Error, ErrorKind, type_error, value_error};
use super::iterate::Iterate;
use super::meter::Meter;
use super::repr::repr;
use super::sequence::Range;
use super::text::Str;
use super::value::Value;

/// `object[key]` as Python evaluates it, without the sandbox's fallback to attributes.
///
/// # Errors
/// `TypeError`, `IndexError`, `KeyError`, `UndefinedError`; a limit of the meter.
pub fn item(meter: &Meter, object: &Value, key: &Value) -> Result<Value, Error> {
    let missing =
        |what: &str| Error::new(ErrorKind::IndexError, format!("{what} index out of range"));
    match object {
        Value::Undefined(undefined) => Err(undefined.error(meter)),
        Value::Str(text) => {
            let at = index_of(key, text.length(), "string", "string")?;
            char_at(meter, text, at.ok_or_else(|| missing("string"))?)
        }
        Value::List(list) => {
            let at = index_of(key, list.items().len(), "list", "list")?;
            Ok(list.items()[at.ok_or_else(|| missing("list"))?].clone())
        }
        Value::Tuple(tuple) => {
            let at = index_of(key, tuple.items().len(), "tuple", "tuple")?;
            Ok(tuple.items()[at.ok_or_else(|| missing("tuple"))?].clone())
        }
        Value::Range(range) => {
            let at = index_of(key, range.length(), "range", "range object")?;
            let number = at.and_then(|at| range.get(at));
            number
                .map(Value::Int)
                .ok_or_else(|| missing("range object"))
        }
        Value::Dict(dict) => match dict.get(meter, key)? {
            Some(value) => Ok(value.clone()),
            None => Err(Error::new(ErrorKind::KeyError, repr(meter, key)?)),
        },
        Value::Object(found) => found
            .get_item(meter, key)?
            .ok_or_else(|| not_subscriptable(object)),
        _ => Err(not_subscriptable(object)),
    }
}

fn not_subscriptable(object: &Value) -> Error {
    type_error(format!(
        "'{}' object is not subscriptable",
        object.type_name()
    ))
}

/// The place of an index in a sequence of some length; `None` if it is outside.
fn index_of(
    key: &Value,
    length: usize,
    type_name: &str,
    what: &str,
) -> Result<Option<usize>, Error> {
    let Some(index) = key.as_int() else {
        // CPython's texts differ in the quotes: of str alone it names the type of the index in them.
        let message = match (type_name, key) {
            ("string", _) => format!("string indices must be integers, not '{}'", key.type_name()),
            ("range", _) => format!(
                "range indices must be integers or slices, not {}",
                key.type_name()
            ),
            _ => format!(
                "{type_name} indices must be integers or slices, not {}",
                key.type_name()
            ),
        };
        return Err(type_error(message));
    };
    if type_name != "range" && i64::try_from(index).is_err() {
        return Err(Error::new(
            ErrorKind::IndexError,
            format!(
                "cannot fit '{}' into an index-sized integer",
                key.type_name()
            ),
        ));
    }
    let _ = what;
    let size = i128::try_from(length).expect("a usize fits 128 bits");
    let index = if index < 0 {
        index.saturating_add(size)
    } else {
        index
    };
    Ok(usize::try_from(index).ok().filter(|index| *index < length))
}

/// The code point at an index below the length.
fn char_at(meter: &Meter, text: &Str, at: usize) -> Result<Value, Error> {
    let from = byte_at(meter, text, at)?;
    let c = text[from..].chars().next().map_or(0, char::len_utf8);
    Ok(Value::Str(
        Str::new(meter, &text[from..from + c])?.with_markup(text.is_markup()),
    ))
}

/// The byte at which a code point starts; the text's length for an index at its end or beyond.
pub(super) fn byte_at(meter: &Meter, text: &Str, index: usize) -> Result<usize, Error> {
    if text.is_ascii() {
        return Ok(index.min(text.len()));
    }
    meter.work(index.min(text.len()))?;
    Ok(text
        .char_indices()
        .nth(index)
        .map_or(text.len(), |(at, _)| at))
}

/// The places of a slice in a sequence: start, step, and how many.
#[derive(Clone, Copy, Debug)]
struct Places {
    start: i128,
    step: i128,
    count: usize,
}

fn bound(value: &Value) -> Result<Option<i128>, Error> {
    match value {
        Value::None => Ok(None),
        value => value.as_int().map(Some).ok_or_else(|| {
            type_error(
                "slice indices must be integers or None or have an __index__ method".to_owned(),
            )
        }),
    }
}

/// Python's `slice.indices`.
fn places(length: usize, start: &Value, stop: &Value, step: &Value) -> Result<Places, Error> {
    let size = i128::try_from(length).expect("a usize fits 128 bits");
    let step = bound(step)?.unwrap_or(1);
    if step == 0 {
        return Err(value_error("slice step cannot be zero"));
    }
    // Steps beyond any length act alike.
    let step = step.clamp(-(1 << 64), 1 << 64);
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let place = |value: Option<i128>, default: i128| match value {
        None => default,
        Some(at) if at < 0 => at.saturating_add(size).max(low),
        Some(at) => at.min(high),
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let start = place(bound(start)?, first);
    let stop = place(bound(stop)?, last);
    let count = if step > 0 {
        (stop - start + step - 1).max(0) / step
    } else {
        (start - stop - step - 1).max(0) / -step
    };
    Ok(Places {
        start,
        step,
        count: usize::try_from(count).expect("no more than the length"),
    })
}

impl Places {
    fn iter(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |turn| {
            let turn = i128::try_from(turn).expect("a usize fits 128 bits");
            usize::try_from(self.start + turn * self.step).expect("places lie in the sequence")
        })
    }
}

/// `object[start:stop:step]`; `None` stands for a bound that is left out.
///
/// # Errors
/// `TypeError` for what cannot be sliced, `ValueError` for a step of 0, `UndefinedError`; a limit of the meter.
pub fn slice(
    meter: &Meter,
    object: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value, Error> {
    match object {
        Value::Undefined(undefined) => Err(undefined.error(meter)),
        Value::Str(text) => {
            let places = places(text.length(), start, stop, step)?;
            slice_str(meter, text, places)
        }
        Value::List(list) => {
            let places = places(list.items().len(), start, stop, step)?;
            meter.check_items(places.count)?;
            let items = places.iter().map(|at| list.items()[at].clone());
            Value::list(meter, items.collect())
        }
        Value::Tuple(tuple) => {
            let places = places(tuple.items().len(), start, stop, step)?;
            meter.check_items(places.count)?;
            let items = places.iter().map(|at| tuple.items()[at].clone());
            Value::tuple(meter, items.collect())
        }
        Value::Range(range) => {
            let length = range.length();
            let first = places(length, start, stop, step)?;
            let at = |place: i128| i128::from(range.start()) + place * i128::from(range.step());
            // CPython computes the bounds themselves, not only the members.
            let step_value = bound(step)?
                .unwrap_or(1)
                .saturating_mul(i128::from(range.step()));
            let stop_place = stop_place(length, stop, first.step)?;
            let narrow = |number: i128| {
                i64::try_from(number)
                    .map_err(|_| super::error::unsupported("a range beyond 64 bits".to_owned()))
            };
            Range::new(
                narrow(at(first.start))?,
                narrow(at(stop_place))?,
                narrow(step_value)?,
            )
            .map(Value::Range)
            .ok_or_else(|| value_error("range() arg 3 must not be zero"))
        }
        Value::Dict(_) => Err(type_error("unhashable type: 'slice'")),
        _ => Err(not_subscriptable(object)),
    }
}

fn stop_place(length: usize, stop: &Value, step: i128) -> Result<i128, Error> {
    let size = i128::try_from(length).expect("a usize fits 128 bits");
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    Ok(match bound(stop)? {
        None if step > 0 => high,
        None => low,
        Some(at) if at < 0 => at.saturating_add(size).max(low),
        Some(at) => at.min(high),
    })
}

fn slice_str(meter: &Meter, text: &Str, places: Places) -> Result<Value, Error> {
    if places.count == text.length() && places.step == 1 {
        return Ok(Value::Str(text.clone()));
    }
    let markup = text.is_markup();
    if places.step == 1 {
        let start = usize::try_from(places.start).unwrap_or(0);
        let from = byte_at(meter, text, start)?;
        let to = if text.is_ascii() {
            from + places.count
        } else {
            meter.work(places.count)?;
            text[from..]
                .char_indices()
                .nth(places.count)
                .map_or(text.len(), |(at, _)| from + at)
        };
        let to = if places.count == 0 { from } else { to };
        return Ok(Value::Str(
            Str::new(meter, &text[from..to])?.with_markup(markup),
        ));
    }
    meter.check_items(text.length() / 8)?;
    let mut out = meter.text();
    if text.is_ascii() {
        let bytes = text.as_bytes();
        for at in places.iter() {
            out.push(char::from(bytes[at]))?;
        }
    } else {
        meter.check(text.length().saturating_mul(4))?;
        let chars: Vec<char> = text.chars().collect();
        for at in places.iter() {
            out.push(chars[at])?;
        }
    }
    Ok(Value::Str(out.finish()?.with_markup(markup)))
}

/// `item in container`.
///
/// # Errors
/// `TypeError` for what contains nothing; a limit of the meter.
pub fn contains(meter: &Meter, container: &Value, item: &Value) -> Result<bool, Error> {
    match container {
        Value::Str(text) => match item {
            Value::Str(part) => {
                meter.work(text.len())?;
                Ok(text.contains(part.as_str()))
            }
            _ => Err(type_error(format!(
                "'in <string>' requires string as left operand, not {}",
                item.type_name()
            ))),
        },
        Value::Dict(dict) => Ok(dict.get(meter, item)?.is_some()),
        Value::List(list) => any_equal(meter, list.items(), item),
        Value::Tuple(tuple) => any_equal(meter, tuple.items(), item),
        Value::Range(range) if item.as_int().is_some() => Ok(item
            .as_int()
            .is_some_and(|number| range.position(number).is_some())),
        Value::View(view) => view_contains(meter, view, item),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Err(type_error(format!(
            "argument of type '{}' is not iterable",
            container.type_name()
        ))),
        _ => {
            let mut items = Iterate::new(meter, container).map_err(|error| {
                if error.kind() == ErrorKind::TypeError {
                    type_error(format!(
                        "argument of type '{}' is not iterable",
                        container.type_name()
                    ))
                } else {
                    error
                }
            })?;
            while let Some(found) = items.next(meter)? {
                meter.step(1)?;
                if equals(meter, &found, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

fn any_equal(meter: &Meter, items: &[Value], item: &Value) -> Result<bool, Error> {
    for found in items {
        meter.step(1)?;
        if is_same(found, item) || equals(meter, found, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn view_contains(meter: &Meter, view: &View, item: &Value) -> Result<bool, Error> {
    match (view.kind(), item) {
        (ViewKind::Keys, item) => Ok(view.dict().get(meter, item)?.is_some()),
        (ViewKind::Items, Value::Tuple(pair)) => match pair.items() {
            [key, value] => match view.dict().get(meter, key)? {
                Some(found) => equals(meter, found, value),
                None => Ok(false),
            },
            _ => Ok(false),
        },
        (ViewKind::Items, _) => Ok(false),
        (ViewKind::Values, item) => {
            for (_, value) in view.dict().iter() {
                meter.step(1)?;
                if equals(meter, value, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}
