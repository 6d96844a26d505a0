//! Methods of `str` and `Markup` that search, split and build.

use super::super::error::{Error, ErrorKind, type_error, unsupported, value_error};
use super::super::escape::escape;
use super::super::format;
use super::super::index::byte_at;
use super::super::iterate::Iterate;
use super::super::meter::Meter;
use super::super::text::Str;
use super::super::unicode;
use super::super::value::Value;
use super::case;
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

fn text_of(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| type_error(format!("must be str, not {}", value.type_name())))
}

/// An argument that is an `int`: `__index__`.
fn size_of_index(value: &Value) -> Result<i64, Error> {
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

/// The arguments of a C function that also takes keywords.
fn keywords(name: &str, args: Args, names: &[&str]) -> Result<Vec<Option<Value>>, Error> {
    let given = args.positional.len() + args.keyword.len();
    if given > names.len() {
        let plural = if names.len() == 1 { "" } else { "s" };
        return Err(type_error(format!(
            "{name}() takes at most {} argument{plural} ({given} given)",
            names.len()
        )));
    }
    let mut bound: Vec<Option<Value>> = args.positional.into_iter().map(Some).collect();
    let positions = bound.len();
    bound.resize(names.len(), None);
    for (keyword, value) in args.keyword {
        match names.iter().position(|known| *known == keyword) {
            Some(at) if at < positions => {
                return Err(type_error(format!(
                    "argument for {name}() given by name ('{keyword}') and position ({})",
                    at + 1
                )));
            }
            Some(at) => bound[at] = Some(value),
            None => {
                return Err(type_error(format!(
                    "'{keyword}' is an invalid keyword argument for {name}()"
                )));
            }
        }
    }
    Ok(bound)
}

fn split(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let bound = keywords(name, args, &["sep", "maxsplit"])?;
    let most = match &bound[1] {
        None => usize::MAX,
        Some(value) => usize::try_from(size_of_index(value)?).unwrap_or(usize::MAX),
    };
    let most = most.saturating_add(1);
    let backwards = name == "rsplit";
    let parts: Vec<&str> = match &bound[0] {
        None | Some(Value::None) => words(meter, text, most, backwards)?,
        Some(Value::Str(separator)) if separator.is_empty() => {
            return Err(value_error("empty separator"));
        }
        Some(Value::Str(separator)) => {
            check_parts(meter, text.matches(separator.as_str()).count().min(most))?;
            if backwards {
                let mut parts: Vec<&str> = text.rsplitn(most, separator.as_str()).collect();
                parts.reverse();
                parts
            } else {
                text.splitn(most, separator.as_str()).collect()
            }
        }
        Some(other) => {
            return Err(type_error(format!(
                "must be str or None, not {}",
                other.type_name()
            )));
        }
    };
    strings(meter, text, &parts)
}

fn strings(meter: &Meter, text: &Str, parts: &[&str]) -> Result<Value, Error> {
    meter.check_items(parts.len())?;
    let mut items = Vec::with_capacity(parts.len());
    for part in parts {
        meter.step(1)?;
        items.push(Value::Str(
            Str::new(meter, *part)?.with_markup(text.is_markup()),
        ));
    }
    Value::list(meter, items)
}

/// Splits at white space, at most into so many words; the last one keeps what follows it.
fn words<'t>(
    meter: &Meter,
    text: &'t str,
    most: usize,
    backwards: bool,
) -> Result<Vec<&'t str>, Error> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = if backwards {
            rest.trim_end_matches(unicode::is_space)
        } else {
            rest.trim_start_matches(unicode::is_space)
        };
        if rest.is_empty() {
            break;
        }
        let end = if words.len() + 1 == most {
            None
        } else if backwards {
            rest.char_indices()
                .rev()
                .find(|&(_, c)| unicode::is_space(c))
                .map(|(at, c)| at + c.len_utf8())
        } else {
            rest.find(unicode::is_space)
        };
        let Some(at) = end else {
            words.push(rest);
            break;
        };
        let (left, right) = rest.split_at(at);
        let (word, other) = if backwards {
            (right, left)
        } else {
            (left, right)
        };
        words.push(word);
        check_parts(meter, words.len())?;
        rest = other;
    }
    if backwards {
        words.reverse();
    }
    Ok(words)
}

/// Whether so many parts of a text may still be made into strings of a list.
fn check_parts(meter: &Meter, parts: usize) -> Result<(), Error> {
    // A value in the list, and what each string is charged beside its bytes.
    meter.check(parts.saturating_mul(size_of::<Value>() + 64))
}

fn splitlines(meter: &Meter, text: &Str, args: Args) -> Result<Value, Error> {
    let bound = keywords("splitlines", args, &["keepends"])?;
    let keep = bound[0].as_ref().is_some_and(Value::truth);
    let mut lines = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, ending) = match rest.find(unicode::is_line_break) {
            None => (rest.len(), 0),
            Some(at) if rest[at..].starts_with("\r\n") => (at, 2),
            Some(at) => (at, rest[at..].chars().next().map_or(0, char::len_utf8)),
        };
        check_parts(meter, lines.len())?;
        lines.push(&rest[..line + if keep { ending } else { 0 }]);
        rest = &rest[line + ending..];
    }
    strings(meter, text, &lines)
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

/// A slice of the text by optional bounds in code points: its bytes, and how many code points come before it. `None`
/// where the bounds exclude even an empty text.
fn within(
    meter: &Meter,
    text: &Str,
    start: Option<&Value>,
    stop: Option<&Value>,
) -> Result<Option<(usize, usize, usize)>, Error> {
    let size = i128::try_from(text.length()).expect("a usize fits 128 bits");
    let place = |value: Option<&Value>, default: i128| -> Result<i128, Error> {
        match value {
            None | Some(Value::None) => Ok(default),
            Some(value) => {
                let at = value.as_int().ok_or_else(|| {
                    type_error("slice indices must be integers or None or have an __index__ method")
                })?;
                Ok(if at < 0 {
                    at.saturating_add(size).max(0)
                } else {
                    at
                })
            }
        }
    };
    let (start, stop) = (place(start, 0)?, place(stop, size)?.min(size));
    if start > stop {
        return Ok(None);
    }
    let first = usize::try_from(start).expect("not above the length");
    let last = usize::try_from(stop).expect("not above the length");
    Ok(Some((
        byte_at(meter, text, first)?,
        byte_at(meter, text, last)?,
        first,
    )))
}

/// The arguments of `find` and its kin: what is searched, and the bounds.
fn search_args(name: &str, args: Args) -> Result<Vec<Value>, Error> {
    if !args.keyword.is_empty() {
        return Err(type_error(format!("{name}() takes no keyword arguments")));
    }
    let given = args.positional.len();
    match given {
        0 => Err(type_error(format!(
            "{name}() takes at least 1 argument (0 given)"
        ))),
        1..=3 => Ok(args.positional),
        _ => Err(type_error(format!(
            "{name}() takes at most 3 arguments ({given} given)"
        ))),
    }
}

fn find(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let args = search_args(name, args)?;
    let bounds = within(meter, text, args.get(1), args.get(2));
    let part = text_of(&args[0])?;
    let bounds = bounds?;
    if name == "count" {
        let count = bounds.map_or(0, |(from, to, _)| {
            let within = &text[from..to];
            if part.is_empty() {
                within.chars().count() + 1
            } else {
                within.matches(part).count()
            }
        });
        return Ok(Value::from(count));
    }
    let found = bounds.and_then(|(from, to, before)| {
        let within = &text[from..to];
        let at = if name.starts_with('r') {
            within.rfind(part)
        } else {
            within.find(part)
        }?;
        Some(before + within[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if name.ends_with("index") => Err(value_error("substring not found")),
        None => Ok(Value::Int(-1)),
    }
}

fn affix(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
    let args = search_args(name, args)?;
    let bounds = within(meter, text, args.get(1), args.get(2))?;
    let fits = |affix: &str| {
        bounds.is_some_and(|(from, to, _)| {
            let within = &text[from..to];
            if name == "startswith" {
                within.starts_with(affix)
            } else {
                within.ends_with(affix)
            }
        })
    };
    match &args[0] {
        Value::Str(affix) => Ok(Value::Bool(fits(affix))),
        Value::Tuple(tuple) => {
            for affix in tuple.items() {
                meter.step(1)?;
                let Some(affix) = affix.as_str() else {
                    return Err(type_error(format!(
                        "tuple for {name} must only contain str, not {}",
                        affix.type_name()
                    )));
                };
                if fits(affix) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        other => Err(type_error(format!(
            "{name} first arg must be str or a tuple of str, not {}",
            other.type_name()
        ))),
    }
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
