//! `split`, `rsplit` and `splitlines`.

use super::super::error::{Error, type_error, value_error};
use super::super::meter::Meter;
use super::super::text::Str;
use super::super::unicode;
use super::super::value::Value;
use super::Args;
use super::text::size_of_index;

/// The arguments of a C function that also takes keywords.
pub(super) fn keywords(
    name: &str,
    args: Args,
    names: &[&str],
) -> Result<Vec<Option<Value>>, Error> {
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

pub(super) fn split(meter: &Meter, text: &Str, name: &str, args: Args) -> Result<Value, Error> {
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

pub(super) fn splitlines(meter: &Meter, text: &Str, args: Args) -> Result<Value, Error> {
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
