//! `map`, `select`, `reject`, `selectattr` and `rejectattr`.

use super::attribute::Path;
use super::find;
use crate::environment::Environment;
use crate::fail;
use crate::python::{Args, Error, Iter, Iterate, Value, quoted};
use crate::tests;

/// The name of a filter or a test that a template gives as a value.
fn callable<'n, T>(
    environment: &Environment<'_>,
    kind: &str,
    name: &'n Value,
    find: fn(&str) -> Option<T>,
) -> Result<T, Error> {
    if let Some(found) = name.as_str().and_then(find) {
        return Ok(found);
    }
    let mut message = format!(
        "No {kind} named {}.",
        crate::python::repr(environment.meter, name)?
    );
    if let Value::Undefined(undefined) = name {
        let error = undefined.error(environment.meter);
        message += &format!(
            " ({}; did you forget to quote the callable name?)",
            error.message()
        );
    }
    Err(fail::runtime(message))
}

/// The arguments of a call that come after the first `skip`, with `item` before them.
fn with_item(item: Value, args: &Args, skip: usize) -> Args {
    let mut positional = Vec::with_capacity(args.positional.len() - skip + 1);
    positional.push(item);
    positional.extend_from_slice(&args.positional[skip..]);
    Args {
        positional,
        keyword: args.keyword.clone(),
    }
}

/// The value that a filter is for, and the other arguments.
fn split(mut args: Args) -> Result<(Value, Args), Error> {
    if args.positional.is_empty() {
        return Err(fail::type_error("a filter without a value"));
    }
    let value = args.positional.remove(0);
    Ok((value, args))
}

/// `do_map`
pub(super) fn map(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let (value, mut args) = split(args)?;
    let meter = environment.meter;
    let mut found = Vec::new();
    if value.truth() {
        let attribute = args
            .keyword
            .iter()
            .position(|(name, _)| name == "attribute");
        let path = match attribute {
            Some(at) if args.positional.is_empty() => {
                let attribute = args.keyword.remove(at).1;
                let default = args.keyword.iter().position(|(name, _)| name == "default");
                let default = default.map(|at| args.keyword.remove(at).1);
                if let Some((name, _)) = args.keyword.first() {
                    return Err(fail::filter_argument(format!(
                        "Unexpected keyword argument {}",
                        quoted(name)
                    )));
                }
                Some(Path::new(&attribute)?.with_default(default))
            }
            _ if args.positional.is_empty() => {
                return Err(fail::filter_argument("map requires a filter argument"));
            }
            _ => None,
        };
        let mut items = Iterate::new(meter, &value)?;
        while let Some(item) = items.next(meter)? {
            meter.step(1)?;
            let item = match &path {
                Some(path) => path.get(environment, &item)?,
                None => {
                    let filter = callable(environment, "filter", &args.positional[0], find)?;
                    filter.call(environment, with_item(item, &args, 1))?
                }
            };
            meter.check((found.len() + 1) * size_of::<Value>())?;
            found.push(item);
        }
    }
    Ok(Value::Iter(Iter::generator(meter, "sync_do_map", found)?))
}

/// `do_select`
pub(super) fn select(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    select_or_reject(environment, args, true, false)
}

/// `do_reject`
pub(super) fn reject(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    select_or_reject(environment, args, false, false)
}

/// `do_selectattr`
pub(super) fn selectattr(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    select_or_reject(environment, args, true, true)
}

/// `do_rejectattr`
pub(super) fn rejectattr(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    select_or_reject(environment, args, false, true)
}

/// `select_or_reject`: items for which a test, or their truth, is `wanted`.
fn select_or_reject(
    environment: &Environment<'_>,
    args: Args,
    wanted: bool,
    by_attribute: bool,
) -> Result<Value, Error> {
    let (value, args) = split(args)?;
    let meter = environment.meter;
    let mut found = Vec::new();
    if value.truth() {
        let path = match (by_attribute, args.positional.first()) {
            (false, _) => None,
            (true, Some(attribute)) => Some(Path::new(attribute)?),
            (true, None) => {
                return Err(fail::filter_argument(
                    "Missing parameter for attribute name",
                ));
            }
        };
        let offset = usize::from(by_attribute);
        let mut items = Iterate::new(meter, &value)?;
        while let Some(item) = items.next(meter)? {
            meter.step(1)?;
            let tested = match &path {
                Some(path) => path.get(environment, &item)?,
                None => item.clone(),
            };
            let passes = match args.positional.get(offset) {
                None => tested.truth(),
                Some(name) => {
                    let test = callable(environment, "test", name, tests::find)?;
                    test.call(environment, with_item(tested, &args, offset + 1))?
                }
            };
            if passes == wanted {
                meter.check((found.len() + 1) * size_of::<Value>())?;
                found.push(item);
            }
        }
    }
    Ok(Value::Iter(Iter::generator(
        meter,
        "select_or_reject",
        found,
    )?))
}
