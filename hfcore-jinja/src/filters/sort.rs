//! `sort`, `dictsort`, `groupby`, `min` and `max`.

use super::attribute::{Path, lowered, paths};
use super::{bind, flag, given};
use crate::environment::Environment;
use crate::fail;
use crate::python::{
    Args, Error, Iterate, Meter, Order, Tuple, Undefined, Value, collect, compare, equals,
    sort_by_key,
};

/// `sorted(values, key=…, reverse=…)`, of values with their keys.
fn sorted(meter: &Meter, values: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>, Error> {
    let sorted = sort_by_key(meter, values, reverse)?;
    Ok(sorted.into_iter().map(|(_, value)| value).collect())
}

/// `do_sort`
pub(super) fn sort(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, reverse, case_sensitive, attribute] = bind(
        args,
        "do_sort",
        1,
        1,
        ["value", "reverse", "case_sensitive", "attribute"],
    )?;
    let paths = paths(
        &attribute.unwrap_or(Value::None),
        !flag(case_sensitive.as_ref(), false),
    )?;
    let meter = environment.meter;
    let mut values = Vec::new();
    for item in collect(meter, &given(value))? {
        let mut keys = Vec::with_capacity(paths.len());
        for path in &paths {
            keys.push(path.get(environment, &item)?);
        }
        values.push((Value::list(meter, keys)?, item));
    }
    let values = sorted(meter, values, reverse_flag(reverse)?)?;
    Value::list(meter, values)
}

/// `sorted` takes a number here, where filters take anything.
fn reverse_flag(reverse: Option<Value>) -> Result<bool, Error> {
    match reverse {
        None => Ok(false),
        Some(value) => value.as_int().map(|number| number != 0).ok_or_else(|| {
            fail::type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                value.type_name()
            ))
        }),
    }
}

/// `do_dictsort`
pub(super) fn dictsort(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, case_sensitive, by, reverse] = bind(
        args,
        "do_dictsort",
        0,
        1,
        ["value", "case_sensitive", "by", "reverse"],
    )?;
    let meter = environment.meter;
    let value = given(value);
    let by_value = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => false,
        Some("value") => true,
        _ => {
            return Err(fail::filter_argument(
                "You can only sort by either \"key\" or \"value\"",
            ));
        }
    };
    let Value::Dict(dict) = &value else {
        if let Value::Undefined(undefined) = &value {
            return Err(undefined.error(meter));
        }
        return Err(crate::filters::sequence::no_attribute(&value, "items"));
    };
    let ignore_case = !flag(case_sensitive.as_ref(), false);
    meter.check_items(dict.len())?;
    let mut values = Vec::with_capacity(dict.len());
    for (key, item) in dict.iter() {
        let by = if by_value { item } else { key }.clone();
        let by = if ignore_case {
            lowered(environment, by)?
        } else {
            by
        };
        values.push((by, Value::tuple(meter, vec![key.clone(), item.clone()])?));
    }
    let values = sorted(meter, values, reverse_flag(reverse)?)?;
    Value::list(meter, values)
}

/// `do_groupby`
pub(super) fn groupby(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, attribute, default, case_sensitive] = bind(
        args,
        "sync_do_groupby",
        1,
        2,
        ["value", "attribute", "default", "case_sensitive"],
    )?;
    let meter = environment.meter;
    let shown = Path::new(&given(attribute))?.with_default(default);
    let path = shown
        .clone()
        .ignoring_case(!flag(case_sensitive.as_ref(), false));
    let mut values = Vec::new();
    for item in collect(meter, &given(value))? {
        values.push((path.get(environment, &item)?, item));
    }
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted(meter, values, false)? {
        let key = path.get(environment, &item)?;
        match groups.last_mut() {
            Some((last, items)) if equals(meter, last, &key)? => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut list = Vec::with_capacity(groups.len());
    for (mut key, items) in groups {
        if path.ignore_case {
            key = shown.get(environment, &items[0])?;
        }
        let pair = Tuple::new(meter, vec![key, Value::list(meter, items)?])?;
        list.push(Value::Tuple(
            pair.with_names("_GroupTuple", &["grouper", "list"]),
        ));
    }
    Value::list(meter, list)
}

/// `do_min`
pub(super) fn min(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    extreme(environment, args, "do_min", Order::Lt)
}

/// `do_max`
pub(super) fn max(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    extreme(environment, args, "do_max", Order::Gt)
}

fn extreme(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    order: Order,
) -> Result<Value, Error> {
    let [value, case_sensitive, attribute] = bind(
        args,
        function,
        1,
        1,
        ["value", "case_sensitive", "attribute"],
    )?;
    let meter = environment.meter;
    let path = Path::new(&attribute.unwrap_or(Value::None))?
        .ignoring_case(!flag(case_sensitive.as_ref(), false));
    let mut items = Iterate::new(meter, &given(value))?;
    let Some(mut best) = items.next(meter)? else {
        return Ok(Value::Undefined(Undefined::hint(
            "No aggregated item, sequence was empty.",
        )));
    };
    let mut best_key = path.get(environment, &best)?;
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        let key = path.get(environment, &item)?;
        if compare(meter, order, &key, &best_key)? {
            (best, best_key) = (item, key);
        }
    }
    Ok(best)
}
