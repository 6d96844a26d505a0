//! Jinja's tests, `x is test`: `jinja2.tests`.

use crate::environment::Environment;
use crate::fail;
use crate::filters::{self, bind, given};
use crate::python::{
    Args, Binary, Error, Iterate, Order, Value, binary, compare, contains, equals, is_same, len,
    str,
};

/// A test by its name in templates. The value comes first among its arguments.
pub(crate) struct Test {
    name: &'static str,
    run: fn(&Environment<'_>, Args) -> Result<bool, Error>,
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Test").field(&self.name).finish()
    }
}

impl Test {
    pub(crate) fn call(&self, environment: &Environment<'_>, args: Args) -> Result<bool, Error> {
        (self.run)(environment, args)
    }
}

/// The test of this name.
pub(crate) fn find(name: &str) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.name == name)
}

macro_rules! tests {
    ($($name:literal => $run:expr,)*) => {
        [$(Test { name: $name, run: $run }),*]
    };
}

static TESTS: [Test; 39] = tests![
    "odd" => |environment, args| remainder(environment, args, "test_odd", 1),
    "even" => |environment, args| remainder(environment, args, "test_even", 0),
    "divisibleby" => divisibleby,
    "defined" => |_, args| Ok(!value(args, "test_defined")?.is_undefined()),
    "undefined" => |_, args| Ok(value(args, "test_undefined")?.is_undefined()),
    "filter" => |environment, args| named(environment, args, "test_filter", |name| filters::find(name).is_some()),
    "test" => |environment, args| named(environment, args, "test_test", |name| find(name).is_some()),
    "none" => |_, args| Ok(value(args, "test_none")?.is_none()),
    "boolean" => |_, args| Ok(matches!(value(args, "test_boolean")?, Value::Bool(_))),
    "false" => |_, args| Ok(matches!(value(args, "test_false")?, Value::Bool(false))),
    "true" => |_, args| Ok(matches!(value(args, "test_true")?, Value::Bool(true))),
    "integer" => |_, args| Ok(matches!(value(args, "test_integer")?, Value::Int(_))),
    "float" => |_, args| Ok(matches!(value(args, "test_float")?, Value::Float(_))),
    "lower" => |environment, args| cased(environment, args, "test_lower", "islower"),
    "upper" => |environment, args| cased(environment, args, "test_upper", "isupper"),
    "string" => |_, args| Ok(matches!(value(args, "test_string")?, Value::Str(_))),
    "mapping" => |_, args| Ok(matches!(value(args, "test_mapping")?, Value::Dict(_))),
    "number" => |_, args| Ok(matches!(value(args, "test_number")?, Value::Bool(_) | Value::Int(_) | Value::Float(_))),
    "sequence" => sequence,
    "iterable" => |environment, args| iterable(environment, args),
    "callable" => |_, args| Ok(filters::one(args, "callable")?.is_callable()),
    "sameas" => sameas,
    "escaped" => |_, args| Ok(matches!(value(args, "test_escaped")?, Value::Str(text) if text.is_markup())),
    "in" => |environment, args| {
        let [value, seq] = bind(args, "test_in", 0, 2, ["value", "seq"])?;
        contains(environment.meter, &given(seq), &given(value))
    },
    "==" => |environment, args| equal(environment, args, "eq"),
    "eq" => |environment, args| equal(environment, args, "eq"),
    "equalto" => |environment, args| equal(environment, args, "eq"),
    "!=" => |environment, args| Ok(!equal(environment, args, "ne")?),
    "ne" => |environment, args| Ok(!equal(environment, args, "ne")?),
    ">" => |environment, args| ordered(environment, args, "gt", Order::Gt),
    "gt" => |environment, args| ordered(environment, args, "gt", Order::Gt),
    "greaterthan" => |environment, args| ordered(environment, args, "gt", Order::Gt),
    "ge" => |environment, args| ordered(environment, args, "ge", Order::Ge),
    ">=" => |environment, args| ordered(environment, args, "ge", Order::Ge),
    "<" => |environment, args| ordered(environment, args, "lt", Order::Lt),
    "lt" => |environment, args| ordered(environment, args, "lt", Order::Lt),
    "lessthan" => |environment, args| ordered(environment, args, "lt", Order::Lt),
    "<=" => |environment, args| ordered(environment, args, "le", Order::Le),
    "le" => |environment, args| ordered(environment, args, "le", Order::Le),
];

/// The only argument of a test.
fn value(args: Args, function: &str) -> Result<Value, Error> {
    let [value] = bind(args, function, 0, 1, ["value"])?;
    Ok(given(value))
}

fn remainder(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    wanted: i128,
) -> Result<bool, Error> {
    let value = value(args, function)?;
    let rest = binary(environment.meter, Binary::Mod, &value, &Value::Int(2))?;
    equals(environment.meter, &rest, &Value::Int(wanted))
}

fn divisibleby(environment: &Environment<'_>, args: Args) -> Result<bool, Error> {
    let [value, num] = bind(args, "test_divisibleby", 0, 2, ["value", "num"])?;
    let rest = binary(environment.meter, Binary::Mod, &given(value), &given(num))?;
    equals(environment.meter, &rest, &Value::Int(0))
}

/// Whether there is a filter or a test of this name; asking needs a hashable value.
fn named(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    exists: fn(&str) -> bool,
) -> Result<bool, Error> {
    let [value] = bind(args, function, 1, 1, ["value"])?;
    let value = given(value);
    crate::python::hash(environment.meter, &value)?;
    Ok(value.as_str().is_some_and(exists))
}

fn cased(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    method: &str,
) -> Result<bool, Error> {
    let text = Value::Str(str(environment.meter, &value(args, function)?)?);
    Ok(filters::method(environment, &text, method, Vec::new())?.truth())
}

/// Whether the value has a length and items.
fn sequence(_environment: &Environment<'_>, args: Args) -> Result<bool, Error> {
    let value = value(args, "test_sequence")?;
    Ok(len(&value).is_ok() && !matches!(value, Value::View(_) | Value::Object(_)))
}

fn iterable(environment: &Environment<'_>, args: Args) -> Result<bool, Error> {
    let value = value(args, "test_iterable")?;
    Ok(match &value {
        // A loop is an iterator, which is not to be advanced for this.
        Value::Object(object) => object.type_name() == "LoopContext",
        value => Iterate::new(environment.meter, value).is_ok(),
    })
}

fn sameas(_environment: &Environment<'_>, args: Args) -> Result<bool, Error> {
    let [value, other] = bind(args, "test_sameas", 0, 2, ["value", "other"])?;
    Ok(is_same(&given(value), &given(other)))
}

/// The two arguments of a function of Python's module `operator`.
fn two(args: Args, function: &str) -> Result<[Value; 2], Error> {
    if !args.keyword.is_empty() {
        return Err(fail::type_error(format!(
            "_operator.{function}() takes no keyword arguments"
        )));
    }
    let count = args.positional.len();
    args.positional
        .try_into()
        .map_err(|_| fail::type_error(format!("{function} expected 2 arguments, got {count}")))
}

fn equal(environment: &Environment<'_>, args: Args, function: &str) -> Result<bool, Error> {
    let [a, b] = two(args, function)?;
    equals(environment.meter, &a, &b)
}

fn ordered(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    order: Order,
) -> Result<bool, Error> {
    let [a, b] = two(args, function)?;
    compare(environment.meter, order, &a, &b)
}
