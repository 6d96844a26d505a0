//! `map`, `select`, `reject`, `selectattr` and `rejectattr`.

use super::attribute::Path;
use super::find;
use super::sequence::deepest;
use crate::environment::Environment;
use crate::fail;
use crate::python::{Args, Charge, Error, Iter, Iterate, Meter, Source, Value, quoted};
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

/// The arguments of one of these filters: the iterable, and what is done with its items. Nothing is looked at before
/// the first item is asked for.
#[derive(Debug)]
struct Start {
    autoescape: bool,
    value: Value,
    args: Args,
    charge: Charge,
}

impl Start {
    fn new(environment: &Environment<'_>, args: Args) -> Result<Self, Error> {
        let (value, args) = split(args)?;
        let count = args.positional.len() + args.keyword.len();
        let charge = environment.meter.charge(count * size_of::<Value>())?;
        Ok(Self {
            autoescape: environment.autoescape,
            value,
            args,
            charge,
        })
    }

    fn depth(&self) -> u32 {
        let keyword = self.args.keyword.iter().map(|(_, value)| value);
        deepest(
            self.args
                .positional
                .iter()
                .chain(keyword)
                .chain([&self.value]),
        )
    }
}

fn environment(meter: &Meter, autoescape: bool) -> Environment<'_> {
    Environment {
        meter,
        now: None,
        functions: &[],
        autoescape,
    }
}

/// `do_map`
pub(super) fn map(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let start = Start::new(environment, args)?;
    let depth = start.depth();
    let iter = Iter::generator(environment.meter, "sync_do_map", depth, Map::Start(start))?;
    Ok(Value::Iter(iter))
}

/// The generator of `map`.
#[derive(Debug)]
enum Map {
    Start(Start),
    Attribute {
        items: Iterate,
        path: Path,
        autoescape: bool,
    },
    Filter {
        items: Iterate,
        args: Args,
        autoescape: bool,
        _charge: Charge,
    },
    Nothing,
}

impl Map {
    fn begin(start: Start, meter: &Meter) -> Result<Self, Error> {
        let Start {
            autoescape,
            value,
            mut args,
            charge,
        } = start;
        if !value.truth() {
            return Ok(Self::Nothing);
        }
        let attribute = args
            .keyword
            .iter()
            .position(|(name, _)| name == "attribute");
        match attribute {
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
                let path = Path::new(&attribute)?.with_default(default);
                Ok(Self::Attribute {
                    items: Iterate::new(meter, &value)?,
                    path,
                    autoescape,
                })
            }
            _ if args.positional.is_empty() => {
                Err(fail::filter_argument("map requires a filter argument"))
            }
            _ => Ok(Self::Filter {
                items: Iterate::new(meter, &value)?,
                args,
                autoescape,
                _charge: charge,
            }),
        }
    }
}

impl Source for Map {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        if let Self::Start(_) = self {
            let Self::Start(start) = std::mem::replace(self, Self::Nothing) else {
                return Ok(None);
            };
            *self = Self::begin(start, meter)?;
        }
        meter.step(1)?;
        match self {
            Self::Start(_) | Self::Nothing => Ok(None),
            Self::Attribute {
                items,
                path,
                autoescape,
            } => match items.next(meter)? {
                Some(item) => path.get(&environment(meter, *autoescape), &item).map(Some),
                None => Ok(None),
            },
            Self::Filter {
                items,
                args,
                autoescape,
                ..
            } => match items.next(meter)? {
                Some(item) => {
                    let environment = environment(meter, *autoescape);
                    let filter = callable(&environment, "filter", &args.positional[0], find)?;
                    filter
                        .call(&environment, with_item(item, args, 1))
                        .map(Some)
                }
                None => Ok(None),
            },
        }
    }
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
    let start = Start::new(environment, args)?;
    let depth = start.depth();
    let select = Select {
        start: Some(start),
        running: None,
        wanted,
        by_attribute,
    };
    Ok(Value::Iter(Iter::generator(
        environment.meter,
        "select_or_reject",
        depth,
        select,
    )?))
}

/// The generator of the other four.
#[derive(Debug)]
struct Select {
    start: Option<Start>,
    running: Option<Selecting>,
    wanted: bool,
    by_attribute: bool,
}

#[derive(Debug)]
struct Selecting {
    items: Iterate,
    path: Option<Path>,
    args: Args,
    autoescape: bool,
    _charge: Charge,
}

impl Select {
    fn begin(&self, start: Start, meter: &Meter) -> Result<Option<Selecting>, Error> {
        let Start {
            autoescape,
            value,
            args,
            charge,
        } = start;
        if !value.truth() {
            return Ok(None);
        }
        let path = match (self.by_attribute, args.positional.first()) {
            (false, _) => None,
            (true, Some(attribute)) => Some(Path::new(attribute)?),
            (true, None) => {
                return Err(fail::filter_argument(
                    "Missing parameter for attribute name",
                ));
            }
        };
        Ok(Some(Selecting {
            items: Iterate::new(meter, &value)?,
            path,
            args,
            autoescape,
            _charge: charge,
        }))
    }
}

impl Source for Select {
    fn next(&mut self, meter: &Meter) -> Result<Option<Value>, Error> {
        if let Some(start) = self.start.take() {
            self.running = self.begin(start, meter)?;
        }
        let Some(Selecting {
            items,
            path,
            args,
            autoescape,
            ..
        }) = &mut self.running
        else {
            return Ok(None);
        };
        let environment = environment(meter, *autoescape);
        let offset = usize::from(self.by_attribute);
        while let Some(item) = items.next(meter)? {
            meter.step(1)?;
            let tested = match path {
                Some(path) => path.get(&environment, &item)?,
                None => item.clone(),
            };
            let passes = match args.positional.get(offset) {
                None => tested.truth(),
                Some(name) => {
                    let test = callable(&environment, "test", name, tests::find)?;
                    test.call(&environment, with_item(tested, args, offset + 1))?
                }
            };
            if passes == self.wanted {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}
