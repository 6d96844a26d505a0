//! Filters of text.

use super::attribute::Path;
use super::{bind, flag, given, integer, method, one, soft_str};
use crate::environment::Environment;
use crate::fail;
use crate::html;
use crate::python::{
    Args, Binary, Dict, Error, ErrorKind, Iterate, Str, Value, binary, collect, dumps, len, slice,
    str, write_str,
};

/// A method of `str` without arguments, of the text of a value.
fn plain(
    environment: &Environment<'_>,
    args: Args,
    function: &str,
    name: &str,
) -> Result<Value, Error> {
    let [s] = bind(args, function, 0, 1, ["s"])?;
    let text = soft_str(environment, given(s))?;
    method(environment, &text, name, Vec::new())
}

/// `do_upper`
pub(super) fn upper(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    plain(environment, args, "do_upper", "upper")
}

/// `do_lower`
pub(super) fn lower(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    plain(environment, args, "do_lower", "lower")
}

/// `do_capitalize`
pub(super) fn capitalize(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    plain(environment, args, "do_capitalize", "capitalize")
}

/// `do_center`
pub(super) fn center(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, width] = bind(args, "do_center", 0, 1, ["value", "width"])?;
    let text = soft_str(environment, given(value))?;
    method(
        environment,
        &text,
        "center",
        vec![width.unwrap_or(Value::Int(80))],
    )
}

/// `markupsafe.soft_str`
pub(super) fn string(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let value = one(args, "soft_str")?;
    soft_str(environment, value)
}

/// `do_trim`
pub(super) fn trim(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, chars] = bind(args, "do_trim", 0, 1, ["value", "chars"])?;
    let text = soft_str(environment, given(value))?;
    method(
        environment,
        &text,
        "strip",
        vec![chars.unwrap_or(Value::None)],
    )
}

/// `do_title`: words begin after white space and `-({[<`.
pub(super) fn title(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s] = bind(args, "do_title", 0, 1, ["s"])?;
    let meter = environment.meter;
    let text = str(meter, &soft_str(environment, given(s))?)?;
    let boundary = |c: char| crate::python::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = meter.text();
    let mut rest: &str = &text;
    while !rest.is_empty() {
        let word = rest.find(boundary).unwrap_or(rest.len());
        if word > 0 {
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let part = |text: &str, name: &str| -> Result<Str, Error> {
                str(
                    meter,
                    &method(environment, &Value::str(meter, text)?, name, Vec::new())?,
                )
            };
            out.push_str(&part(&rest[..first], "upper")?)?;
            out.push_str(&part(&rest[first..word], "lower")?)?;
            rest = &rest[word..];
        }
        let blank = rest.find(|c| !boundary(c)).unwrap_or(rest.len());
        out.push_str(&rest[..blank])?;
        rest = &rest[blank..];
    }
    Ok(Value::Str(out.finish()?))
}

/// `do_replace`
pub(super) fn replace(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s, old, new, count] = bind(args, "do_replace", 1, 3, ["s", "old", "new", "count"])?;
    let (s, old, new) = (given(s), given(old), given(new));
    let count = count
        .filter(|count| !count.is_none())
        .unwrap_or(Value::Int(-1));
    let meter = environment.meter;
    if !environment.autoescape {
        let text = |value: &Value| str(meter, value).map(Value::Str);
        return method(
            environment,
            &text(&s)?,
            "replace",
            vec![text(&old)?, text(&new)?, count],
        );
    }
    let is_markup = |value: &Value| matches!(value, Value::Str(text) if text.is_markup());
    let s = if is_markup(&old) || (is_markup(&new) && !is_markup(&s)) {
        html::escaped(meter, &s)?
    } else {
        soft_str(environment, s)?
    };
    let (old, new) = (soft_str(environment, old)?, soft_str(environment, new)?);
    method(environment, &s, "replace", vec![old, new, count])
}

/// `do_join`
pub(super) fn join(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, separator, attribute] =
        bind(args, "sync_do_join", 1, 1, ["value", "d", "attribute"])?;
    let meter = environment.meter;
    let value = given(value);
    let separator = separator.unwrap_or_else(|| Value::Str(Str::constant("")));
    let path = match attribute.filter(|attribute| !attribute.is_none()) {
        Some(attribute) => Some(Path::new(&attribute)?),
        None => None,
    };
    let mut items = Iterate::new(meter, &value)?;
    if environment.autoescape {
        let mut values = Vec::new();
        for item in items.collect(meter)? {
            values.push(match &path {
                Some(path) => path.get(environment, &item)?,
                None => item,
            });
        }
        return html::join_items(meter, &separator, values);
    }
    let separator = str(meter, &separator)?;
    let mut out = meter.text();
    let mut first = true;
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        if !first {
            out.push_str(&separator)?;
        }
        first = false;
        match &path {
            Some(path) => write_str(meter, &path.get(environment, &item)?, &mut out)?,
            None => write_str(meter, &item, &mut out)?,
        }
    }
    Ok(Value::Str(out.finish()?))
}

/// `do_format`
pub(super) fn format(environment: &Environment<'_>, mut args: Args) -> Result<Value, Error> {
    if args.positional.is_empty() {
        return Err(fail::type_error(
            "do_format() missing 1 required positional argument: 'value'",
        ));
    }
    let value = args.positional.remove(0);
    let meter = environment.meter;
    if !args.positional.is_empty() && !args.keyword.is_empty() {
        return Err(fail::filter_argument(
            "can't handle positional and keyword arguments at the same time",
        ));
    }
    let values = if args.keyword.is_empty() {
        Value::tuple(meter, args.positional)?
    } else {
        let mut entries = Vec::with_capacity(args.keyword.len());
        for (name, value) in args.keyword {
            entries.push((Value::str(meter, name)?, value));
        }
        Value::Dict(Dict::new(meter, entries)?)
    };
    binary(meter, Binary::Mod, &soft_str(environment, value)?, &values)
}

/// `do_indent`
pub(super) fn indent(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s, width, first, blank] = bind(args, "do_indent", 0, 1, ["s", "width", "first", "blank"])?;
    let meter = environment.meter;
    let s = given(s);
    let indention = match width {
        Some(width @ Value::Str(_)) => width,
        width => {
            let spaces = Value::Str(Str::constant(" "));
            binary(meter, Binary::Mul, &spaces, &width.unwrap_or(Value::Int(4)))?
        }
    };
    let markup = matches!(&s, Value::Str(text) if text.is_markup());
    let newline = Value::Str(Str::constant("\n").with_markup(markup));
    let indention = if markup {
        html::markup(meter, &indention)?
    } else {
        indention
    };
    // A last newline keeps `splitlines` from losing the empty line.
    let s = match &s {
        Value::Str(_) | Value::Undefined(_) => binary(meter, Binary::Add, &s, &newline)?,
        // `+=` makes a list longer by the newline.
        Value::List(_) => return Err(super::sequence::no_attribute(&s, "splitlines")),
        other => {
            return Err(fail::type_error(format!(
                "unsupported operand type(s) for +=: '{}' and 'str'",
                other.type_name()
            )));
        }
    };
    let lines = collect(meter, &method(environment, &s, "splitlines", Vec::new())?)?;
    let indention = str(meter, &indention)?;
    let mut out = meter.text();
    for (at, line) in lines.iter().enumerate() {
        let line = str(meter, line)?;
        if at > 0 {
            out.push('\n')?;
        }
        let indented = if at == 0 {
            flag(first.as_ref(), false)
        } else {
            flag(blank.as_ref(), false) || !line.is_empty()
        };
        if indented {
            out.push_str(&indention)?;
        }
        out.push_str(&line)?;
    }
    Ok(Value::Str(out.finish()?.with_markup(markup)))
}

/// `do_truncate`
pub(super) fn truncate(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s, length, killwords, end, leeway] = bind(
        args,
        "do_truncate",
        1,
        1,
        ["s", "length", "killwords", "end", "leeway"],
    )?;
    let meter = environment.meter;
    let s = given(s);
    let end = end.unwrap_or_else(|| Value::Str(Str::constant("...")));
    let length = integer(length.as_ref(), 255)?;
    let leeway = integer(leeway.filter(|leeway| !leeway.is_none()).as_ref(), 5)?;
    let end_length = i128::try_from(len(&end)?).expect("a usize fits 128 bits");
    let assertion = |message: String| Error::new(ErrorKind::AssertionError, message);
    if length < end_length {
        return Err(assertion(format!(
            "expected length >= {end_length}, got {length}"
        )));
    }
    if leeway < 0 {
        return Err(assertion(format!("expected leeway >= 0, got {leeway}")));
    }
    let has = i128::try_from(len(&s)?).expect("a usize fits 128 bits");
    if has <= length.saturating_add(leeway) {
        return Ok(s);
    }
    let cut = slice(
        meter,
        &s,
        &Value::None,
        &Value::Int(length - end_length),
        &Value::None,
    )?;
    if flag(killwords.as_ref(), false) {
        return binary(meter, Binary::Add, &cut, &end);
    }
    if !matches!(cut, Value::Str(_)) {
        return Err(super::sequence::no_attribute(&cut, "rsplit"));
    }
    let words = method(
        environment,
        &cut,
        "rsplit",
        vec![Value::Str(Str::constant(" ")), Value::Int(1)],
    )?;
    let kept = collect(meter, &words)?.into_iter().next().unwrap_or(cut);
    binary(meter, Binary::Add, &kept, &end)
}

/// `do_wordcount`: runs of letters, digits and underscores.
pub(super) fn wordcount(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [s] = bind(args, "do_wordcount", 0, 1, ["s"])?;
    let text = str(environment.meter, &soft_str(environment, given(s))?)?;
    environment.meter.work(text.len())?;
    let words = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty());
    Ok(Value::from(words.count()))
}

/// `tojson` of transformers: plain `json.dumps`.
pub(super) fn tojson(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [x, ensure_ascii, indent, separators, sort_keys] = bind(
        args,
        "_cached_compile_jinja_template.<locals>.tojson",
        0,
        1,
        ["x", "ensure_ascii", "indent", "separators", "sort_keys"],
    )?;
    dumps(
        environment.meter,
        &given(x),
        flag(ensure_ascii.as_ref(), false),
        &indent.unwrap_or(Value::None),
        &separators.unwrap_or(Value::None),
        flag(sort_keys.as_ref(), false),
    )
}

/// `do_pprint`
pub(super) fn pprint(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_pprint", 0, 1, ["value"])?;
    let value = given(value);
    let text = crate::python::repr(environment.meter, &value)?;
    // `pprint` breaks lines of more than 80 characters, and sorts dicts.
    let simple = !matches!(
        value,
        Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Str(_) | Value::View(_)
    );
    let flat = match &value {
        Value::List(list) => list.items().iter().all(|item| item.depth() == 0),
        Value::Tuple(tuple) => tuple.items().iter().all(|item| item.depth() == 0),
        Value::Dict(dict) => dict.len() <= 1 && value.depth() == 1,
        Value::Str(_) => true,
        _ => false,
    };
    if simple || (flat && text.chars().count() <= 80) {
        return Value::str(environment.meter, text);
    }
    Err(fail::unsupported(
        "the filter pprint of values that do not fit a line",
    ))
}
