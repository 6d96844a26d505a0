//! Filters for HTML.

use super::{bind, flag, given, one};
use crate::environment::Environment;
use crate::fail;
use crate::html;
use crate::python::{Args, Error, Iterate, Value, escape_text, quoted, str, write_str};

/// `markupsafe.escape`
pub(super) fn escape(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    html::escaped(environment.meter, &one(args, "escape")?)
}

/// `do_forceescape`
pub(super) fn forceescape(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_forceescape", 0, 1, ["value"])?;
    let text = Value::Str(str(environment.meter, &given(value))?);
    html::escaped(environment.meter, &text)
}

/// `do_mark_safe`
pub(super) fn safe(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_mark_safe", 0, 1, ["value"])?;
    html::markup(environment.meter, &given(value))
}

/// `do_striptags`: tags and comments go, white space becomes single spaces, entities become characters.
pub(super) fn striptags(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_striptags", 0, 1, ["value"])?;
    let meter = environment.meter;
    let text = str(meter, &given(value))?;
    meter.work(text.len().saturating_mul(2))?;
    meter.check(text.len())?;
    let mut stripped = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(start) = rest.find('<') {
        let tag = &rest[start..];
        let end = match tag.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map(|end| end + 7),
            None => tag.find('>').map(|end| end + 1),
        };
        let Some(end) = end else { break };
        stripped.push_str(&rest[..start]);
        rest = &tag[end..];
    }
    stripped.push_str(rest);
    let words: Vec<&str> = stripped
        .split(crate::python::is_space)
        .filter(|word| !word.is_empty())
        .collect();
    unescape(environment, &words.join(" "))
}

/// `html.unescape`, for the entities that `escape` makes and those by number.
fn unescape(environment: &Environment<'_>, text: &str) -> Result<Value, Error> {
    let mut out = environment.meter.text();
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or(""))?;
    for part in parts {
        let known = [
            ("amp;", "&"),
            ("lt;", "<"),
            ("gt;", ">"),
            ("quot;", "\""),
            ("apos;", "'"),
            ("nbsp;", "\u{a0}"),
        ];
        let number = part
            .strip_prefix('#')
            .and_then(|part| part.split_once(';'))
            .and_then(|(digits, rest)| {
                let code = match digits.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                // HTML gives the other codes meanings of their own.
                let c =
                    char::from_u32(code).filter(|c| (' '..='~').contains(c) || *c >= '\u{a0}')?;
                Some((c, rest))
            });
        if let Some((c, rest)) = number {
            out.push(c)?;
            out.push_str(rest)?;
        } else if let Some((name, text)) = known.iter().find(|(name, _)| part.starts_with(name)) {
            out.push_str(text)?;
            out.push_str(&part[name.len()..])?;
        } else if part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '#') {
            let name: String = part
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '#')
                .take(32)
                .collect();
            return Err(fail::unsupported(format!(
                "the entity &{name} in the filter striptags"
            )));
        } else {
            out.push('&')?;
            out.push_str(part)?;
        }
    }
    Ok(Value::Str(out.finish()?))
}

/// `do_xmlattr`
pub(super) fn xmlattr(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [d, autospace] = bind(args, "do_xmlattr", 1, 1, ["d", "autospace"])?;
    let meter = environment.meter;
    let d = given(d);
    let Value::Dict(dict) = &d else {
        if let Value::Undefined(undefined) = &d {
            return Err(undefined.error(meter));
        }
        return Err(super::sequence::no_attribute(&d, "items"));
    };
    let mut out = meter.text();
    for (key, value) in dict.iter() {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let Value::Str(name) = key else {
            return Err(fail::type_error(format!(
                "expected string or bytes-like object, got '{}'",
                key.type_name()
            )));
        };
        let forbidden = |c: char| {
            matches!(
                c,
                ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '/' | '>' | '='
            )
        };
        if name.contains(forbidden) {
            return Err(fail::value_error(format!(
                "Invalid character in attribute name: {}",
                quoted(name)
            )));
        }
        if !out.as_str().is_empty() || flag(autospace.as_ref(), true) {
            out.push(' ')?;
        }
        out.push_str(&html::escape(meter, key)?)?;
        out.push_str("=\"")?;
        out.push_str(&html::escape(meter, value)?)?;
        out.push('"')?;
    }
    Ok(Value::Str(
        out.finish()?.with_markup(environment.autoescape),
    ))
}

/// `urllib.parse.quote`; `query` for a part of a query, where `/` is quoted and a space is `+`.
fn quote(environment: &Environment<'_>, value: &Value, query: bool) -> Result<String, Error> {
    let text = str(environment.meter, value)?;
    let mut out = environment.meter.text();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte))?;
            }
            b'/' if !query => out.push('/')?,
            b' ' if query => out.push('+')?,
            byte => out.push_str(&format!("%{byte:02X}"))?,
        }
    }
    Ok(out.into_string())
}

/// `do_urlencode`
pub(super) fn urlencode(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value] = bind(args, "do_urlencode", 0, 1, ["value"])?;
    let meter = environment.meter;
    let value = given(value);
    let is_iterable = !matches!(value, Value::Str(_)) && Iterate::new(meter, &value).is_ok();
    if !is_iterable {
        return Value::str(meter, quote(environment, &value, false)?);
    }
    let mut out = meter.text();
    let mut push = |key: &Value, value: &Value| {
        if !out.as_str().is_empty() {
            out.push('&')?;
        }
        out.push_str(&quote(environment, key, true)?)?;
        out.push('=')?;
        out.push_str(&quote(environment, value, true)?)
    };
    if let Value::Dict(dict) = &value {
        dict.iter().try_for_each(|(key, value)| push(key, value))?;
    } else {
        let mut pairs = Iterate::new(meter, &value)?;
        while let Some(pair) = pairs.next(meter)? {
            let pair =
                crate::python::collect(meter, &pair).map_err(|error| match error.kind() {
                    crate::python::ErrorKind::TypeError => fail::type_error(format!(
                        "cannot unpack non-iterable {} object",
                        pair.type_name()
                    )),
                    _ => error,
                })?;
            match &pair[..] {
                [key, value] => push(key, value)?,
                short if short.len() < 2 => {
                    return Err(fail::value_error(format!(
                        "not enough values to unpack (expected 2, got {})",
                        short.len()
                    )));
                }
                _ => return Err(fail::value_error("too many values to unpack (expected 2)")),
            }
        }
    }
    Ok(Value::Str(out.finish()?))
}

/// `do_urlize`
pub(super) fn urlize(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, ..] = bind(
        args,
        "do_urlize",
        1,
        1,
        [
            "value",
            "trim_url_limit",
            "nofollow",
            "target",
            "rel",
            "extra_schemes",
        ],
    )?;
    let meter = environment.meter;
    let mut text = meter.text();
    write_str(meter, &given(value), &mut text)?;
    let escaped = escape_text(meter, text.as_str())?;
    // Nothing in such a text can be a link.
    if escaped.contains("://")
        || escaped.contains("www.")
        || escaped.contains('@')
        || escaped.contains('.')
    {
        return Err(fail::unsupported(
            "the filter urlize of text that may hold a link",
        ));
    }
    Value::str(meter, escaped.as_ref())
}
