//! Jinja's filters: `jinja2.filters`, and transformers' `tojson`.

mod attribute;
mod html;
mod number;
mod select;
mod sequence;
mod sort;
mod text;
mod wrap;

use crate::environment::Environment;
use crate::fail;
use crate::python::{Args, Caller, Error, Meter, Param, Value, call_method};

/// A filter by its name in templates. The value comes first among its arguments.
pub(crate) struct Filter {
    name: &'static str,
    run: fn(&Environment<'_>, Args) -> Result<Value, Error>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.name).finish()
    }
}

impl Filter {
    pub(crate) fn call(&self, environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
        (self.run)(environment, args)
    }
}

/// The filter of this name.
pub(crate) fn find(name: &str) -> Option<&'static Filter> {
    let at = FILTERS
        .binary_search_by(|filter| filter.name.cmp(name))
        .ok()?;
    Some(&FILTERS[at])
}

macro_rules! filters {
    ($($name:literal => $run:path,)*) => {
        [$(Filter { name: $name, run: $run }),*]
    };
}

/// By name, in order.
static FILTERS: [Filter; 54] = filters![
    "abs" => number::abs,
    "attr" => attribute::attr,
    "batch" => sequence::batch,
    "capitalize" => text::capitalize,
    "center" => text::center,
    "count" => sequence::length,
    "d" => attribute::default,
    "default" => attribute::default,
    "dictsort" => sort::dictsort,
    "e" => html::escape,
    "escape" => html::escape,
    "filesizeformat" => number::filesizeformat,
    "first" => sequence::first,
    "float" => number::float,
    "forceescape" => html::forceescape,
    "format" => text::format,
    "groupby" => sort::groupby,
    "indent" => text::indent,
    "int" => number::int,
    "items" => sequence::items,
    "join" => text::join,
    "last" => sequence::last,
    "length" => sequence::length,
    "list" => sequence::list,
    "lower" => text::lower,
    "map" => select::map,
    "max" => sort::max,
    "min" => sort::min,
    "pprint" => text::pprint,
    "random" => sequence::random,
    "reject" => select::reject,
    "rejectattr" => select::rejectattr,
    "replace" => text::replace,
    "reverse" => sequence::reverse,
    "round" => number::round,
    "safe" => html::safe,
    "select" => select::select,
    "selectattr" => select::selectattr,
    "slice" => sequence::slice,
    "sort" => sort::sort,
    "string" => text::string,
    "striptags" => html::striptags,
    "sum" => number::sum,
    "title" => text::title,
    "tojson" => text::tojson,
    "trim" => text::trim,
    "truncate" => text::truncate,
    "unique" => sequence::unique,
    "upper" => text::upper,
    "urlencode" => html::urlencode,
    "urlize" => html::urlize,
    "wordcount" => text::wordcount,
    "wordwrap" => wrap::wordwrap,
    "xmlattr" => html::xmlattr,
];

/// Binds arguments to the parameters of a Python function, of which the first `required` have no default; `hidden`
/// parameters before them are filled in by jinja2.
pub(crate) fn bind<const N: usize>(
    args: Args,
    function: &str,
    hidden: usize,
    required: usize,
    names: [&'static str; N],
) -> Result<[Option<Value>; N], Error> {
    let mut params = [Param::optional(""); N];
    for (at, name) in names.into_iter().enumerate() {
        params[at] = if at < required {
            Param::required(name)
        } else {
            Param::optional(name)
        };
    }
    let bound = args.bind(function, hidden, &params)?;
    Ok(bound.try_into().expect("one value for each parameter"))
}

/// The arguments of a function that Python implements in C and that takes exactly one.
pub(crate) fn one(args: Args, function: &str) -> Result<Value, Error> {
    if !args.keyword.is_empty() {
        return Err(fail::type_error(format!(
            "{function}() takes no keyword arguments"
        )));
    }
    let count = args.positional.len();
    let mut values = args.positional.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(fail::type_error(format!(
            "{function}() takes exactly one argument ({count} given)"
        ))),
    }
}

/// A required argument, once bound.
pub(crate) fn given(value: Option<Value>) -> Value {
    value.expect("a required parameter is bound")
}

/// A flag, with its default.
pub(crate) fn flag(value: Option<&Value>, default: bool) -> bool {
    value.map_or(default, Value::truth)
}

/// An integer argument, with its default.
pub(crate) fn integer(value: Option<&Value>, default: i128) -> Result<i128, Error> {
    match value {
        None => Ok(default),
        Some(value) => value.as_int().ok_or_else(|| {
            fail::type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                value.type_name()
            ))
        }),
    }
}

/// Calls a method of Python's `str` on a string.
pub(crate) fn method(
    environment: &Environment<'_>,
    text: &Value,
    name: &str,
    args: Vec<Value>,
) -> Result<Value, Error> {
    call_method(
        &mut Account(environment.meter),
        text,
        name,
        Args::positional(args),
    )
}

/// A caller that has nothing but the account.
struct Account<'m>(&'m Meter);

impl Caller for Account<'_> {
    fn meter(&self) -> &Meter {
        self.0
    }
}

/// `markupsafe.soft_str`: a string as it is, anything else as `str(value)`.
pub(crate) fn soft_str(environment: &Environment<'_>, value: Value) -> Result<Value, Error> {
    match value {
        Value::Str(_) => Ok(value),
        value => Ok(Value::Str(crate::python::str(environment.meter, &value)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::FILTERS;

    #[test]
    fn the_table_is_sorted() {
        assert!(FILTERS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
