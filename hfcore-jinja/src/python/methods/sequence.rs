//! Methods of `dict`, `list`, `tuple`, `range` and dict views. Those that change their object are refused by the sandbox
//! before they come here.

use super::super::compare::{equals, is_same};
use super::super::dict::{Dict, DictBuilder, View, ViewKind};
use super::super::error::{Error, type_error, value_error};
use super::super::index::view_contains;
use super::super::iterate::{Iterate, len};
use super::super::meter::Meter;
use super::super::repr::repr;
use super::super::value::Value;
use super::{Args, positional};

fn refused(type_name: &str, name: &str) -> Error {
    type_error(format!(
        "{type_name}.{name}() would change the {type_name}, which templates may not"
    ))
}

pub(super) fn dict(meter: &Meter, dict: &Dict, name: &str, args: Args) -> Result<Value, Error> {
    let qualified = format!("dict.{name}");
    let view = |kind| Ok(Value::View(View::new(dict.clone(), kind)));
    match name {
        "get" => {
            let args = positional(name, &qualified, args, 1, 2)?;
            Ok(match dict.get(meter, &args[0])? {
                Some(value) => value.clone(),
                None => args.get(1).cloned().unwrap_or(Value::None),
            })
        }
        "fromkeys" => {
            let args = positional(name, &qualified, args, 1, 2)?;
            let value = args.get(1).cloned().unwrap_or(Value::None);
            let mut made = DictBuilder::new(meter);
            let mut keys = Iterate::new(meter, &args[0])?;
            while let Some(key) = keys.next(meter)? {
                made.insert(key, value.clone())?;
            }
            made.finish().map(Value::Dict)
        }
        "items" | "keys" | "values" | "copy" => {
            positional(name, &qualified, args, 0, 0)?;
            match name {
                "items" => view(ViewKind::Items),
                "keys" => view(ViewKind::Keys),
                "values" => view(ViewKind::Values),
                // Nothing changes a dict, so a copy is the dict itself.
                _ => Ok(Value::Dict(dict.clone())),
            }
        }
        _ => Err(refused("dict", name)),
    }
}

pub(super) fn list(
    meter: &Meter,
    receiver: &Value,
    name: &str,
    args: Args,
) -> Result<Value, Error> {
    let type_name = receiver.type_name();
    let qualified = format!("{type_name}.{name}");
    match name {
        "copy" => {
            positional(name, &qualified, args, 0, 0)?;
            Ok(receiver.clone())
        }
        "count" => {
            let args = positional(name, &qualified, args, 1, 1)?;
            let mut count = 0_usize;
            let mut items = Iterate::new(meter, receiver)?;
            while let Some(item) = items.next(meter)? {
                meter.step(1)?;
                count += usize::from(is_same(&item, &args[0]) || equals(meter, &item, &args[0])?);
            }
            Ok(Value::from(count))
        }
        "index" => {
            let most = if matches!(receiver, Value::Range(_)) {
                1
            } else {
                3
            };
            let args = positional(name, &qualified, args, 1, most)?;
            let length = len(receiver)?;
            let start = bound(args.get(1), length, 0)?;
            let stop = bound(args.get(2), length, length)?;
            let mut items = Iterate::new(meter, receiver)?;
            let mut at = 0_usize;
            while let Some(item) = items.next(meter)? {
                meter.step(1)?;
                if at >= stop {
                    break;
                }
                if at >= start && (is_same(&item, &args[0]) || equals(meter, &item, &args[0])?) {
                    return Ok(Value::from(at));
                }
                at += 1;
            }
            Err(value_error(match receiver {
                Value::List(_) => format!("{} is not in list", repr(meter, &args[0])?),
                Value::Tuple(_) => "tuple.index(x): x not in tuple".to_owned(),
                _ if args[0].as_int().is_some() => {
                    format!("{} is not in range", repr(meter, &args[0])?)
                }
                _ => "sequence.index(x): x not in sequence".to_owned(),
            }))
        }
        _ => Err(refused(&type_name, name)),
    }
}

/// A bound of `index`: from the end if negative, and within the sequence.
fn bound(value: Option<&Value>, length: usize, default: usize) -> Result<usize, Error> {
    let Some(value) = value else {
        return Ok(default);
    };
    let Some(at) = value.as_int() else {
        return Err(type_error(
            "slice indices must be integers or have an __index__ method",
        ));
    };
    let size = i128::try_from(length).expect("a usize fits 128 bits");
    let at = if at < 0 {
        at.saturating_add(size).max(0)
    } else {
        at
    };
    Ok(usize::try_from(at).unwrap_or(usize::MAX).min(length))
}

pub(super) fn view(meter: &Meter, view: &View, name: &str, args: Args) -> Result<Value, Error> {
    let args = positional(name, &format!("{}.{name}", view.type_name()), args, 1, 1)?;
    let mut items = Iterate::new(meter, &args[0])?;
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        if view_contains(meter, view, &item)? {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}
