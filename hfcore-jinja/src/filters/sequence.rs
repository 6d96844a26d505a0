//! Filters of sequences.

use std::collections::HashMap;

use super::attribute::Path;
use super::{bind, flag, given, one};
use crate::environment::Environment;
use crate::fail;
use crate::python::{
    Args, Binary, Charge, Error, ErrorKind, Iter, Iterate, List, Meter, Order, Source, Undefined,
    Value, ViewKind, binary, collect, compare, equals, hash, is_same, len, quoted, slice as sliced,
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

/// The depth of the deepest of some values.
pub(super) fn deepest<'v>(values: impl IntoIterator<Item = &'v Value>) -> u32 {
    values.into_iter().map(Value::depth).max().unwrap_or(0)
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
    let value = given(value);
    let depth = value.depth();
    Ok(Value::Iter(Iter::generator(
        environment.meter,
        "do_items",
        depth,
        Items { value, at: 0 },
    )?))
}

/// The generator of `items`.
#[derive(Debug)]
struct Items {
    value: Value,
    at: usize,
}

impl Source for Items {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        match &self.value {
            Value::Undefined(_) => Ok(None),
            Value::Dict(dict) => match dict.at(self.at) {
                Some((key, value)) => {
                    self.at += 1;
                    Value::tuple(meter, vec![key.clone(), value.clone()]).map(Some)
                }
                None => Ok(None),
            },
            _ => Err(fail::type_error("Can only get item pairs from a mapping.")),
        }
    }
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
    let (value, attribute) = (given(value), attribute.unwrap_or(Value::None));
    let depth = value.depth().max(attribute.depth());
    let source = Unique {
        value,
        items: None,
        attribute,
        ignore_case: !flag(case_sensitive.as_ref(), false),
        seen: HashMap::new(),
        charges: Vec::new(),
    };
    Ok(Value::Iter(Iter::generator(
        environment.meter,
        "sync_do_unique",
        depth,
        source,
    )?))
}

/// The generator of `unique`.
#[derive(Debug)]
struct Unique {
    value: Value,
    items: Option<(Iterate, Path)>,
    attribute: Value,
    ignore_case: bool,
    /// The keys so far, by their hash.
    seen: HashMap<u64, Vec<Value>>,
    charges: Vec<Charge>,
}

impl Source for Unique {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        if self.items.is_none() {
            let path = Path::new(&self.attribute)?.ignoring_case(self.ignore_case);
            self.items = Some((Iterate::new(meter, &self.value)?, path));
        }
        let Some((items, path)) = &mut self.items else {
            return Ok(None);
        };
        let environment = Environment {
            meter,
            now: None,
            functions: &[],
            autoescape: false,
        };
        'items: while let Some(item) = items.next(meter)? {
            meter.step(1)?;
            let key = path.get(&environment, &item)?;
            let known = self.seen.entry(hash(meter, &key)?).or_default();
            for other in known.iter() {
                meter.step(1)?;
                if is_same(other, &key) || equals(meter, other, &key)? {
                    continue 'items;
                }
            }
            self.charges.push(meter.charge(size_of::<Value>())?);
            known.push(key);
            return Ok(Some(item));
        }
        Ok(None)
    }
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
    let (value, slices) = (given(value), given(slices));
    let depth = deepest([&value, &slices].into_iter().chain(&fill_with));
    let fill_with = fill_with.filter(|fill| !fill.is_none());
    let source = Slices {
        value,
        slices,
        fill_with,
        seq: None,
        number: 0,
        start: 0,
    };
    Ok(Value::Iter(Iter::generator(
        environment.meter,
        "sync_do_slice",
        depth,
        source,
    )?))
}

/// The generator of `slice`.
#[derive(Debug)]
struct Slices {
    value: Value,
    slices: Value,
    fill_with: Option<Value>,
    /// The items, and how many slices they are cut into.
    seq: Option<(List, usize)>,
    number: usize,
    start: usize,
}

impl Slices {
    fn begin(&self, meter: &Meter) -> Result<(List, usize), Error> {
        let seq = List::new(meter, collect(meter, &self.value)?)?;
        let Some(slices) = self.slices.as_int() else {
            let each = binary(
                meter,
                Binary::FloorDiv,
                &Value::from(seq.items().len()),
                &self.slices,
            )?;
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
        Ok((seq, usize::try_from(slices.max(0)).unwrap_or(usize::MAX)))
    }
}

impl Source for Slices {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        if self.seq.is_none() {
            self.seq = Some(self.begin(meter)?);
        }
        let Some((seq, slices)) = &self.seq else {
            return Ok(None);
        };
        if self.number >= *slices {
            return Ok(None);
        }
        let (each, extra) = (seq.items().len() / slices, seq.items().len() % slices);
        let end = self.start + each + usize::from(self.number < extra);
        meter.check_items(end - self.start + 1)?;
        let mut items = seq.items()[self.start..end].to_vec();
        if let (Some(fill), true) = (&self.fill_with, self.number >= extra) {
            items.push(fill.clone());
        }
        self.start = end;
        self.number += 1;
        Value::list(meter, items).map(Some)
    }
}

/// `do_batch`
pub(super) fn batch(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, linecount, fill_with] =
        bind(args, "do_batch", 0, 2, ["value", "linecount", "fill_with"])?;
    let (value, linecount) = (given(value), given(linecount));
    let depth = deepest([&value, &linecount].into_iter().chain(&fill_with));
    let fill_with = fill_with.filter(|fill| !fill.is_none());
    let source = Batches {
        value,
        linecount,
        fill_with,
        items: None,
        row: Vec::new(),
    };
    Ok(Value::Iter(Iter::generator(
        environment.meter,
        "do_batch",
        depth,
        source,
    )?))
}

/// The generator of `batch`.
#[derive(Debug)]
struct Batches {
    value: Value,
    linecount: Value,
    fill_with: Option<Value>,
    items: Option<Iterate>,
    row: Vec<Value>,
}

impl Source for Batches {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        if self.items.is_none() {
            self.items = Some(Iterate::new(meter, &self.value)?);
        }
        let Some(items) = &mut self.items else {
            return Ok(None);
        };
        let count = self
            .linecount
            .as_int()
            .and_then(|count| usize::try_from(count).ok());
        while let Some(item) = items.next(meter)? {
            meter.step(1)?;
            meter.check((self.row.len() + 1) * size_of::<Value>())?;
            if Some(self.row.len()) == count {
                let row = std::mem::replace(&mut self.row, vec![item]);
                return Value::list(meter, row).map(Some);
            }
            self.row.push(item);
        }
        if self.row.is_empty() {
            return Ok(None);
        }
        let mut row = std::mem::take(&mut self.row);
        if let Some(fill) = &self.fill_with {
            let length = Value::from(row.len());
            if compare(meter, Order::Lt, &length, &self.linecount)? {
                let missing = count.unwrap_or(0).saturating_sub(row.len());
                meter.check_items(missing)?;
                row.extend(std::iter::repeat_n(fill.clone(), missing));
            }
        }
        Value::list(meter, row).map(Some)
    }
}
