//! Methods of `str` and `Markup` that build and strip; the rest are sent on to their files.

use super::super::error::{Error, ErrorKind, type_error, unsupported, value_error};
use super::super::escape::escape;
use super::super::format;
use super::super::iterate::Iterate;
use super::super::meter::Meter;
use super::super::text::Str;
use super::super::unicode;
use super::super::value::Value;
use super::case;
use super::search::{affix, find};
use super::split::{keywords, split, splitlines};
use super::{Args, positional};

/// Calls a method of a string.
///
/// # Errors
/// What Python raises; a limit of the meter.
pub(super) fn call(
    meter: &Meter,
    text: &Str,
    name: &'static str,
    args: Args,
) -> Result<Value, Error> {
    meter.work(text.len())?;
    let qualified = format!("str.{name}");
    // What the method makes of the text is a Markup if the text is.
    let make = |made: &str| -> Result<Value, Error> {
        if made.len() == text.len() && made == text.as_str() {
            return Ok(Value::Str(text.clone()));
        }
        Ok(Value::Str(
            Str::new(meter, made)?.with_markup(text.is_markup()),
        ))
    };
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let args = positional(name, &qualified, args, 0, 1)?;
            make(strip(meter, text, name, args.first())?)
        }
        "split" | "rsplit" => split(meter, text, name, args),
        "splitlines" => splitlines(meter, text, args),
        "partition" | "rpartition" => {
            let args = positional(name, &qualified, args, 1, 1)?;
            let separator = text_of(&args[0])?;
            if separator.is_empty() {
                return Err(value_error("empty separator"));
            }
            let found = if name == "partition" {
                text.find(separator)
            } else {
                text.rfind(separator)
            };
            let parts = match found {
                Some(at) => [&text[..at], separator, &text[at + separator.len()..]],
                None if name == "partition" => [text.as_str(), "", ""],
                None => ["", "", text.as_str()],
            };
            let parts: Result<Vec<Value>, Error> = parts.into_iter().map(make).collect();
            Value::tuple(meter, parts?)
        }
        "replace" => replace(meter, text, args),
        "find" | "rfind" | "index" | "rindex" | "count" => find(meter, text, name, args),
        "startswith" | "endswith" => affix(meter, text, name, args),
        "removeprefix" | "removesuffix" => {
            let args = positional(name, &qualified, args, 1, 1)?;
            let Some(affix) = args[0].as_str() else {
                return Err(type_error(format!(
                    "{name}() argument must be str, not {}",
                    none_or_type(&args[0])
                )));
            };
            let rest = if name == "removeprefix" {
                text.strip_prefix(affix)
            } else {
                text.strip_suffix(affix)
            };
            make(rest.unwrap_or(text))
        }
        "join" => {
            let args = positional(name, &qualified, args, 1, 1)?;
            join(meter, text, &args[0])
        }
        "center" | "ljust" | "rjust" => justify(meter, text, name, args),
        "zfill" => {
            let args = positional(name, &qualified, args, 1, 1)?;
            let width = size_of_index(&args[0])?;
            let missing = usize::try_from(width)
                .unwrap_or(0)
                .saturating_sub(text.length());
            let (sign, digits) = match text.as_bytes().first() {
                Some(b'+' | b'-') => text.split_at(1),
                _ => ("", text.as_str()),
            };
            let mut out = meter.text();
            out.push_str(sign)?;
            out.fill('0', missing)?;
            out.push_str(digits)?;
            make(out.as_str())
        }
        "expandtabs" => expandtabs(meter, text, args),
        "format" => format::format(meter, text, args),
        "format_map" => {
            if !args.keyword.is_empty() {
                return Err(type_error("format_map() takes no keyword arguments"));
            }
            let [mapping] = &args.positional[..] else {
                return Err(type_error(format!(
                    "format_map() takes exactly one argument ({} given)",
                    args.positional.len()
                )));
            };
            format::format_map(meter, text, mapping)
        }
        "escape" => {
            let args = positional(name, "Markup.escape", args, 1, 1)?;
            let escaped = escape(meter, &args[0])?;
            Ok(Value::Str(
                Str::new(meter, escaped.as_ref())?.with_markup(true),
            ))
        }
        "encode" | "maketrans" | "translate" | "striptags" | "unescape" => {
            Err(unsupported(format!("{qualified}() in a template")))
        }
        _ => {
            positional(name, &qualified, args, 0, 0)?;
            match case::predicate(text, name) {
                Some(answer) => Ok(Value::Bool(answer)),
                None => {
                    meter.check(text.len().saturating_mul(3))?;
                    make(&case::convert(text, name))
                }
            }
        }
    }
}

/// `None` or the type's name, as argument clinic prints it.
fn none_or_type(value: &Value) -> String {
    match value {
        Value::None => "None".to_owned(),
        value => value.type_name().into_owned(),
    }
}

pub(super) fn text_of(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| type_error(format!("must be str, not {}", value.type_name())))
}

/// An argument that is an `int`: `__index__`.
pub(super) fn size_of_index(value: &Value) -> Result<i64, Error> {
    let Some(value) = value.as_int() else {
        return Err(type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            value.type_name()
        )));
    };
    i64::try_from(value).map_err(|_| {
        Error::new(
            ErrorKind::OverflowError,
            "Python int too large to convert to C ssize_t",
        )
    })
}

fn strip<'t>(
    meter: &Meter,
    text: &'t Str,
    name: &str,
    chars: Option<&Value>,
) -> Result<&'t str, Error> {
    let (left, right) = (name != "rstrip", name != "lstrip");
    let cut = |is: &dyn Fn(char) -> bool| {
        let mut rest = text.as_str();
        if left {
            rest = rest.trim_start_matches(is);
        }
        if right {
            rest = rest.trim_end_matches(is);
        }
        rest
    };
    match chars {
        None | Some(Value::None) => Ok(cut(&unicode::is_space)),
        Some(Value::Str(chars)) => {
            meter.step(u64::try_from(chars.length()).unwrap_or(u64::MAX >> 1))?;
            let set: std::collections::HashSet<char> = chars.chars().collect();
            Ok(cut(&|c| set.contains(&c)))
        }
        Some(_) => Err(type_error(format!("{name} arg must be None or str"))),
    }
}

fn replace(meter: &Meter, text: &Str, args: Args) -> Result<Value, Error> {
    let args = positional("replace", "str.replace", args, 2, 3)?;
    let argument = |at: usize| {
        args[at].as_str().ok_or_else(|| {
            type_error(format!(
                "replace() argument {} must be str, not {}",
                at + 1,
                none_or_type(&args[at])
            ))
        })
    };
    let old = argument(0)?;
    let escaped;
    let new = if text.is_markup() {
        escaped = escape(meter, &args[1])?;
        escaped.as_ref()
    } else {
        argument(1)?
    };
    let count = match args.get(2) {
        None => usize::MAX,
        Some(count) => usize::try_from(size_of_index(count)?).unwrap_or(usize::MAX),
    };
    let places = if old.is_empty() {
        text.length() + 1
    } else {
        text.matches(old).count()
    };
    let places = places.min(count);
    if places == 0 {
        return Ok(Value::Str(text.clone()));
    }
    meter.check(
        text.len()
            .saturating_add(new.len().saturating_mul(places))
            .saturating_sub(old.len().saturating_mul(places)),
    )?;
    let made = text.replacen(old, new, count);
    Ok(Value::Str(
        Str::new(meter, made)?.with_markup(text.is_markup()),
    ))
}

/// `separator.join(values)`.
///
/// # Errors
/// `TypeError` for what is not iterable and for items that are no strings; a limit of the meter.
pub(in super::super) fn join(
    meter: &Meter,
    separator: &Str,
    values: &Value,
) -> Result<Value, Error> {
    let markup = separator.is_markup();
    let mut items = Iterate::new(meter, values).map_err(|error| match error.kind() {
        ErrorKind::TypeError if !markup => type_error("can only join an iterable"),
        _ => error,
    })?;
    let mut out = meter.text();
    let mut at = 0_usize;
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        if at > 0 {
            out.push_str(separator)?;
        }
        match &item {
            Value::Str(text) if !markup => out.push_str(text)?,
            item if markup => out.push_str(&escape(meter, item)?)?,
            item => {
                return Err(type_error(format!(
                    "sequence item {at}: expected str instance, {} found",
                    item.type_name()
                )));
            }
        }
        at += 1;
    }
    Ok(Value::Str(out.finish()?.with_markup(markup)))
}

fn justify(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let args = positional(name, &format!("str.{name}"), args, 1, 2)?;
    let width = size_of_index(&args[0])?;
    let escaped;
    let fill = match args.get(1) {
        None => " ",
        Some(fill) if text.is_markup() => {
            escaped = escape(meter, fill)?;
            escaped.as_ref()
        }
        Some(fill) => fill.as_str().ok_or_else(|| {
            type_error(format!(
                "The fill character must be a unicode character, not {}",
                fill.type_name()
            ))
        })?,
    };
    let mut chars = fill.chars();
    let (Some(fill), None) = (chars.next(), chars.next()) else {
        return Err(type_error(
            "The fill character must be exactly one character long",
        ));
    };
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.length());
    if missing == 0 {
        return Ok(Value::Str(text.clone()));
    }
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // CPython puts the odd one to the left where the width is odd.
        _ => missing / 2 + (missing & width & 1),
    };
    let mut out = meter.text();
    out.fill(fill, left)?;
    out.push_str(text)?;
    out.fill(fill, missing - left)?;
    Ok(Value::Str(out.finish()?.with_markup(text.is_markup())))
}

fn expandtabs(meter: &Meter, text: &Str, args: Args) -> Result<Value, Error> {
    let bound = keywords("expandtabs", args, &["tabsize"])?;
    let size = match &bound[0] {
        None => 8,
        Some(value) => {
            let size = size_of_index(value)?;
            i32::try_from(size).map_err(|_| {
                Error::new(
                    ErrorKind::OverflowError,
                    "Python int too large to convert to C int",
                )
            })?
        }
    };
    let size = usize::try_from(size).unwrap_or(0);
    let mut out = meter.text();
    let mut column = 0_usize;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let missing = size - column % size;
                out.fill(' ', missing)?;
                column += missing;
            }
            '\t' => {}
            c => {
                column = if matches!(c, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
                out.push(c)?;
            }
        }
    }
    Ok(Value::Str(out.finish()?.with_markup(text.is_markup())))
}
