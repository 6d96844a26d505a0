//! The names that every template knows: Jinja's globals as the sandbox and transformers have them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::environment::Function;
use crate::fail;
use crate::interpreter::Interpreter;
use crate::namespace::{Namespace, NamespaceObject};
use crate::python::{
    Args, Caller, Dict, DictBuilder, Error, ErrorKind, Iterate, Meter, Object, Param, Range, Str,
    Value, collect, str, strftime,
};

/// The most numbers that `range` may give: `jinja2.sandbox.MAX_RANGE`.
const MAX_RANGE: usize = 100_000;

/// A function of the template engine.
#[derive(Debug)]
pub(crate) enum Builtin {
    Range,
    Dict,
    /// `dict.fromkeys`
    FromKeys,
    Lipsum,
    Cycler,
    Joiner,
    Namespace,
    RaiseException,
    StrftimeNow,
    Caller(Function),
}

/// All of them, by name; the caller's own come first.
pub(crate) fn all(functions: &[Function]) -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = functions
        .iter()
        .map(|function| {
            (
                function.name,
                Value::object(Builtin::Caller(function.clone())),
            )
        })
        .collect();
    all.extend([
        ("range", Value::object(Builtin::Range)),
        ("dict", Value::object(Builtin::Dict)),
        ("lipsum", Value::object(Builtin::Lipsum)),
        ("cycler", Value::object(Builtin::Cycler)),
        ("joiner", Value::object(Builtin::Joiner)),
        ("namespace", Value::object(Builtin::Namespace)),
        ("raise_exception", Value::object(Builtin::RaiseException)),
        ("strftime_now", Value::object(Builtin::StrftimeNow)),
    ]);
    all
}

impl Interpreter<'_> {
    pub(crate) fn call_builtin(&mut self, builtin: &Builtin, args: Args) -> Result<Value, Error> {
        let meter = self.environment.meter;
        match builtin {
            Builtin::Range => range(args),
            Builtin::Dict => dict(meter, args).map(Value::Dict),
            Builtin::FromKeys => from_keys(meter, args),
            Builtin::Lipsum => Err(fail::unsupported("lipsum, which is random")),
            Builtin::Cycler => cycler(meter, args),
            Builtin::Joiner => joiner(args),
            Builtin::Namespace => {
                let namespace = Namespace::new(meter, &dict(meter, args)?)?;
                self.keep_namespace(namespace.clone());
                Ok(Value::object(NamespaceObject(namespace)))
            }
            Builtin::RaiseException => {
                let bound = args.bind(
                    "_cached_compile_jinja_template.<locals>.raise_exception",
                    0,
                    &[Param::required("message")],
                )?;
                let message = bound[0].as_ref().expect("a required parameter is bound");
                Err(Error::new(
                    ErrorKind::TemplateError,
                    str(meter, message)?.as_str(),
                ))
            }
            Builtin::StrftimeNow => {
                let bound = args.bind(
                    "_cached_compile_jinja_template.<locals>.strftime_now",
                    0,
                    &[Param::required("format")],
                )?;
                let format = bound[0].as_ref().expect("a required parameter is bound");
                let Value::Str(format) = format else {
                    return Err(fail::type_error(format!(
                        "strftime() argument 1 must be str, not {}",
                        format.type_name()
                    )));
                };
                let now = self
                    .environment
                    .now
                    .ok_or_else(|| fail::unsupported("strftime_now without a clock"))?;
                strftime(meter, now, format)
            }
            Builtin::Caller(function) => (function.call)(meter, args),
        }
    }
}

/// `jinja2.sandbox.safe_range`
fn range(args: Args) -> Result<Value, Error> {
    if let Some((name, _)) = args.keyword.first() {
        return Err(fail::type_error(format!(
            "safe_range() got an unexpected keyword argument '{name}'"
        )));
    }
    let given = args.positional.len();
    if given == 0 {
        return Err(fail::type_error(
            "range expected at least 1 argument, got 0",
        ));
    }
    if given > 3 {
        return Err(fail::type_error(format!(
            "range expected at most 3 arguments, got {given}"
        )));
    }
    let mut numbers = Vec::with_capacity(3);
    for value in &args.positional {
        match value {
            Value::Undefined(_) | Value::None | Value::Str(_) | Value::Float(_) => {}
            value => numbers.extend(value.as_int()),
        }
        if numbers.len() == given {
            break;
        }
    }
    for value in &args.positional {
        if value.as_int().is_none() {
            return Err(fail::type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                value.type_name()
            )));
        }
    }
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        _ => (numbers[0], numbers[1], numbers[2]),
    };
    if step == 0 {
        return Err(fail::value_error("range() arg 3 must not be zero"));
    }
    let bound = |number: i128| i64::try_from(number).ok();
    let range = match (bound(start), bound(stop), bound(step)) {
        (Some(start), Some(stop), Some(step)) => Range::new(start, stop, step),
        _ => None,
    };
    range
        .filter(|range| range.length() <= MAX_RANGE)
        .map(Value::Range)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::OverflowError,
                format!(
                    "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE})."
                ),
            )
        })
}

/// `dict(mapping or pairs, name=value)`
fn dict(meter: &Meter, args: Args) -> Result<Dict, Error> {
    let Args {
        positional,
        keyword,
    } = args;
    if positional.len() > 1 {
        return Err(fail::type_error(format!(
            "dict expected at most 1 argument, got {}",
            positional.len()
        )));
    }
    let mut dict = DictBuilder::new(meter);
    match positional.first() {
        None => {}
        Some(Value::Dict(other)) => {
            other
                .iter()
                .try_for_each(|(key, value)| dict.insert(key.clone(), value.clone()))?;
        }
        Some(pairs) => {
            let mut pairs = Iterate::new(meter, pairs)?;
            let mut at = 0;
            while let Some(pair) = pairs.next(meter)? {
                let items = collect(meter, &pair).map_err(|error| match error.kind() {
                    ErrorKind::TypeError => fail::type_error(format!(
                        "cannot convert dictionary update sequence element #{at} to a sequence"
                    )),
                    _ => error,
                })?;
                let [key, value] = &items[..] else {
                    return Err(fail::value_error(format!(
                        "dictionary update sequence element #{at} has length {}; 2 is required",
                        items.len()
                    )));
                };
                dict.insert(key.clone(), value.clone())?;
                at += 1;
            }
        }
    }
    for (name, value) in keyword {
        dict.insert(Value::str(meter, name)?, value)?;
    }
    dict.finish()
}

/// `dict.fromkeys(iterable, value=None)`
fn from_keys(meter: &Meter, args: Args) -> Result<Value, Error> {
    if !args.keyword.is_empty() {
        return Err(fail::type_error(
            "dict.fromkeys() takes no keyword arguments",
        ));
    }
    let (keys, value) = match &args.positional[..] {
        [] => {
            return Err(fail::type_error(
                "fromkeys expected at least 1 argument, got 0",
            ));
        }
        [keys] => (keys, Value::None),
        [keys, value] => (keys, value.clone()),
        more => {
            return Err(fail::type_error(format!(
                "fromkeys expected at most 2 arguments, got {}",
                more.len()
            )));
        }
    };
    let mut keys = Iterate::new(meter, keys)?;
    let mut dict = DictBuilder::new(meter);
    while let Some(key) = keys.next(meter)? {
        dict.insert(key, value.clone())?;
    }
    Ok(Value::Dict(dict.finish()?))
}

impl Object for Builtin {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Dict => "TemplateDict",
            Self::Cycler | Self::Joiner | Self::Namespace => "type",
            Self::FromKeys => "method",
            _ => "function",
        })
    }

    fn module(&self) -> &'static str {
        match self {
            Self::Dict => "transformers.utils.chat_template_utils",
            _ => "builtins",
        }
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        Ok(match (self, name) {
            (Self::Dict, "fromkeys") => Some(Value::object(Self::FromKeys)),
            _ => None,
        })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Ok(match self {
            Self::Cycler => "<class 'jinja2.utils.Cycler'>".to_owned(),
            Self::Joiner => "<class 'jinja2.utils.Joiner'>".to_owned(),
            Self::Namespace => "<class 'transformers.utils.chat_template_utils._cached_compile_jinja_template.<locals>.\
                                TemplateNamespace'>"
                .to_owned(),
            _ => return Err(fail::unsupported("printing a function, which Python prints with its address")),
        })
    }
}

/// `jinja2.utils.Cycler`
#[derive(Debug)]
struct Cycler {
    items: Value,
    at: Mutex<usize>,
}

fn cycler(meter: &Meter, args: Args) -> Result<Value, Error> {
    if let Some((name, _)) = args.keyword.first() {
        return Err(fail::type_error(format!(
            "Cycler.__init__() got an unexpected keyword argument '{name}'"
        )));
    }
    if args.positional.is_empty() {
        return Err(Error::new(
            ErrorKind::RuntimeError,
            "at least one item has to be provided",
        ));
    }
    let items = Value::tuple(meter, args.positional)?;
    Ok(Value::object(CyclerObject(Arc::new(Cycler {
        items,
        at: Mutex::new(0),
    }))))
}

/// A cycler as a value.
#[derive(Debug)]
struct CyclerObject(Arc<Cycler>);

impl Cycler {
    fn items(&self) -> &[Value] {
        match &self.items {
            Value::Tuple(items) => items.items(),
            _ => &[],
        }
    }

    /// The current item, and then the next one if `forward`.
    fn current(&self, forward: bool) -> Value {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let item = self.items()[*at].clone();
        if forward {
            *at = (*at + 1) % self.items().len();
        }
        item
    }
}

impl Object for CyclerObject {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("Cycler")
    }

    fn module(&self) -> &'static str {
        "jinja2.utils"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        Ok(Some(match name {
            "current" => self.0.current(false),
            "items" => self.0.items.clone(),
            "pos" => Value::from(*self.0.at.lock().unwrap_or_else(PoisonError::into_inner)),
            "next" => Value::object(CyclerMethod {
                cycler: self.0.clone(),
                next: true,
            }),
            "reset" => Value::object(CyclerMethod {
                cycler: self.0.clone(),
                next: false,
            }),
            _ => return Ok(None),
        }))
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Err(fail::unsupported(
            "printing a cycler, which Python prints with its address",
        ))
    }

    fn depth(&self) -> u32 {
        self.0.items.depth() + 1
    }
}

/// `cycler.next` and `cycler.reset`
#[derive(Debug)]
struct CyclerMethod {
    cycler: Arc<Cycler>,
    next: bool,
}

impl Object for CyclerMethod {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("method")
    }

    fn call(&self, _caller: &mut dyn Caller, args: Args) -> Result<Value, Error> {
        args.bind(
            if self.next {
                "Cycler.next"
            } else {
                "Cycler.reset"
            },
            1,
            &[],
        )?;
        if self.next {
            return Ok(self.cycler.current(true));
        }
        *self
            .cycler
            .at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = 0;
        Ok(Value::None)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Err(fail::unsupported(
            "printing a method, which Python prints with its address",
        ))
    }

    fn depth(&self) -> u32 {
        self.cycler.items.depth() + 1
    }
}

/// `jinja2.utils.Joiner`
#[derive(Debug)]
struct Joiner {
    separator: Value,
    used: Mutex<bool>,
}

fn joiner(args: Args) -> Result<Value, Error> {
    let mut bound = args.bind("Joiner.__init__", 1, &[Param::optional("sep")])?;
    let separator = bound[0]
        .take()
        .unwrap_or_else(|| Value::Str(Str::constant(", ")));
    Ok(Value::object(Joiner {
        separator,
        used: Mutex::new(false),
    }))
}

impl Object for Joiner {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("Joiner")
    }

    fn module(&self) -> &'static str {
        "jinja2.utils"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        Ok(match name {
            "sep" => Some(self.separator.clone()),
            "used" => Some(Value::Bool(
                *self.used.lock().unwrap_or_else(PoisonError::into_inner),
            )),
            _ => None,
        })
    }

    fn call(&self, _caller: &mut dyn Caller, args: Args) -> Result<Value, Error> {
        args.bind("Joiner.__call__", 1, &[])?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *used, true) {
            return Ok(self.separator.clone());
        }
        Ok(Value::Str(Str::constant("")))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Err(fail::unsupported(
            "printing a joiner, which Python prints with its address",
        ))
    }

    fn depth(&self) -> u32 {
        self.separator.depth() + 1
    }
}
