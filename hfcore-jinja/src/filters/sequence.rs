//! Filters of sequences.

use super::attribute::Path;
use super::{bind, flag, given, integer, one};
use crate::environment::Environment;
use crate::fail;
use crate::python::{
    Args, Binary, DictBuilder, Error, ErrorKind, Iter, Iterate, Undefined, Value, ViewKind, binary,
    collect, len, quoted, slice as sliced,
};

/// `AttributeError` as Python words it.
pub(super) fn no_attribute(value: &Value, name: &str) -> Error {
    Error::new(
        ErrorKind::AttributeError,
        format!(
            "{} object has no attribute {}",
            quoted(&value.type_name()),
            quoted(name)
        ),
    )
}

/// `len`
pub(super) fn length(_environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    Ok(Value::from(len(&one(args, "len")?)?))
}

/// `do_list`
pub(super) fn list(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "sync_do_list", 0, 1, ["value"])?;
    let values = collect(environment.meter, &given(value))?;
    Value::list(environment.meter, values)
}

/// `do_first`
pub(super) fn first(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [seq] = bind(args, "sync_do_first", 1, 1, ["seq"])?;
    let first = Iterate::new(environment.meter, &given(seq))?.next(environment.meter)?;
    Ok(first
        .unwrap_or_else(|| Value::Undefined(Undefined::hint("No first item, sequence was empty."))))
}

/// `reversed(value)`: the items, and the name of the iterator's type.
fn reversed(
    environment: &Environment<'_>,
    value: &Value,
) -> Result<Option<(Vec<Value>, &'static str)>, Error> {
    let name = match value {
        Value::List(_) => "list_reverseiterator",
        Value::Str(_) | Value::Tuple(_) | Value::Undefined(_) => "reversed",
        Value::Range(_) => "range_iterator",
        Value::Dict(_) => "dict_reversekeyiterator",
        Value::View(view) => match view.kind() {
            ViewKind::Keys => "dict_reversekeyiterator",
            ViewKind::Values => "dict_reversevalueiterator",
            ViewKind::Items => "dict_reverseitemiterator",
        },
        _ => return Ok(None),
    };
    let mut items = collect(environment.meter, value)?;
    items.reverse();
    Ok(Some((items, name)))
}

/// `do_last`
pub(super) fn last(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [seq] = bind(args, "do_last", 1, 1, ["seq"])?;
    let seq = given(seq);
    let Some((items, _)) = reversed(environment, &seq)? else {
        return Err(fail::type_error(format!(
            "'{}' object is not reversible",
            seq.type_name()
        )));
    };
    Ok(items
        .into_iter()
        .next()
        .unwrap_or_else(|| Value::Undefined(Undefined::hint("No last item, sequence was empty."))))
}

/// `do_reverse`
pub(super) fn reverse(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_reverse", 0, 1, ["value"])?;
    let value = given(value);
    let meter = environment.meter;
    if let Value::Str(_) = &value {
        return sliced(meter, &value, &Value::None, &Value::None, &Value::Int(-1));
    }
    if let Some((items, name)) = reversed(environment, &value)? {
        return Ok(Value::Iter(Iter::iterator(meter, name, items)?));
    }
    let mut items = collect(meter, &value).map_err(|error| match error.kind() {
        ErrorKind::TypeError => fail::filter_argument("argument must be iterable"),
        _ => error,
    })?;
    items.reverse();
    Value::list(meter, items)
}

/// `do_random`
pub(super) fn random(_environment: &Environment<'_>, _args: Args) -> Result<Value, Error> {
    Err(fail::unsupported(
        "the filter random: a prompt is to be the same each time",
    ))
}

/// `do_items`
pub(super) fn items(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_items", 0, 1, ["value"])?;
    let meter = environment.meter;
    let items = match given(value) {
        Value::Undefined(_) => Vec::new(),
        Value::Dict(dict) => {
            meter.check_items(dict.len())?;
            let pair = |(key, value): (&Value, &Value)| {
                Value::tuple(meter, vec![key.clone(), value.clone()])
            };
            dict.iter().map(pair).collect::<Result<_, _>>()?
        }
        _ => return Err(fail::type_error("Can only get item pairs from a mapping.")),
    };
    Ok(Value::Iter(Iter::generator(meter, "do_items", items)?))
}

/// `do_unique`
pub(super) fn unique(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, case_sensitive, attribute] = bind(
        args,
        "sync_do_unique",
        1,
        1,
        ["value", "case_sensitive", "attribute"],
    )?;
    let meter = environment.meter;
    let path = Path::new(&attribute.unwrap_or(Value::None))?
        .ignoring_case(!flag(case_sensitive.as_ref(), false));
    let mut seen = DictBuilder::new(meter);
    let mut items = Iterate::new(meter, &given(value))?;
    let mut found = Vec::new();
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        let key = path.get(environment, &item)?;
        let before = seen.len();
        seen.insert(key, Value::None)?;
        if seen.len() > before {
            meter.check((found.len() + 1) * size_of::<Value>())?;
            found.push(item);
        }
    }
    Ok(Value::Iter(Iter::generator(
        meter,
        "sync_do_unique",
        found,
    )?))
}

/// `do_slice`
pub(super) fn slice(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, slices, fill_with] = bind(
        args,
        "sync_do_slice",
        0,
        2,
        ["value", "slices", "fill_with"],
    )?;
    let meter = environment.meter;
    let seq = collect(meter, &given(value))?;
    let slices = given(slices);
    let Some(slices) = slices.as_int() else {
        let each = binary(meter, Binary::FloorDiv, &Value::from(seq.len()), &slices)?;
        return Err(fail::type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            each.type_name()
        )));
    };
    if slices == 0 {
        return Err(Error::new(
            ErrorKind::ZeroDivisionError,
            "integer division or modulo by zero",
        ));
    }
    let slices = usize::try_from(slices.max(0)).unwrap_or(usize::MAX);
    meter.check_items(slices)?;
    let (each, extra) = (
        seq.len().checked_div(slices).unwrap_or(0),
        seq.len().checked_rem(slices).unwrap_or(0),
    );
    let fill_with = fill_with.filter(|fill| !fill.is_none());
    let mut start = 0;
    let mut found = Vec::new();
    for number in 0..slices {
        let end = start + each + usize::from(number < extra);
        let mut items = seq[start..end].to_vec();
        if let (Some(fill), true) = (&fill_with, number >= extra) {
            items.push(fill.clone());
        }
        start = end;
        found.push(Value::list(meter, items)?);
    }
    Ok(Value::Iter(Iter::generator(meter, "sync_do_slice", found)?))
}

/// `do_batch`
pub(super) fn batch(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, linecount, fill_with] =
        bind(args, "do_batch", 0, 2, ["value", "linecount", "fill_with"])?;
    let meter = environment.meter;
    let count = integer(linecount.as_ref(), 0)?;
    let mut items = Iterate::new(meter, &given(value))?;
    let mut row = Vec::new();
    let mut rows = Vec::new();
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        if usize::try_from(count).is_ok_and(|count| row.len() == count) {
            rows.push(Value::list(meter, std::mem::take(&mut row))?);
        }
        meter.check((row.len() + 1) * size_of::<Value>())?;
        row.push(item);
    }
    if !row.is_empty() {
        if let Some(fill) = fill_with.filter(|fill| !fill.is_none()) {
            let missing = usize::try_from(count)
                .unwrap_or(0)
                .saturating_sub(row.len());
            meter.check_items(missing)?;
            row.extend(std::iter::repeat_n(fill, missing));
        }
        rows.push(Value::list(meter, row)?);
    }
    Ok(Value::Iter(Iter::generator(meter, "do_batch", rows)?))
}
