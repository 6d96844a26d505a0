//! `str()` and `repr()`.

use super::dict::ViewKind;
use super::error::Error;
use super::meter::{Meter, Text};
use super::text::Str;
use super::unicode;
use super::value::Value;

/// `str(value)`, a plain `str`.
///
/// # Errors
/// A limit of the meter.
pub fn str(meter: &Meter, value: &Value) -> Result<Str, Error> {
    if let Value::Str(text) = value {
        return Ok(text.clone().with_markup(false));
    }
    let mut out = meter.text();
    write_str(meter, value, &mut out)?;
    out.finish()
}

/// Appends `str(value)`.
///
/// # Errors
/// A limit of the meter.
pub fn write_str(meter: &Meter, value: &Value, out: &mut Text<'_>) -> Result<(), Error> {
    match value {
        Value::Str(text) => out.push_str(text),
        Value::Undefined(_) => Ok(()),
        Value::Object(object) => out.push_str(&object.str(meter)?),
        value => write_repr(meter, value, out),
    }
}

/// `repr(value)`.
///
/// # Errors
/// A limit of the meter.
pub fn repr(meter: &Meter, value: &Value) -> Result<String, Error> {
    let mut out = meter.text();
    write_repr(meter, value, &mut out)?;
    Ok(out.into_string())
}

/// Appends `repr(value)`.
///
/// # Errors
/// A limit of the meter.
pub fn write_repr(meter: &Meter, value: &Value, out: &mut Text<'_>) -> Result<(), Error> {
    meter.step(1)?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Str(text) if text.is_markup() => {
            out.push_str("Markup(")?;
            write_quoted(text, out)?;
            out.push(')')
        }
        Value::Str(text) => write_quoted(text, out),
        Value::List(list) => {
            out.push('[')?;
            write_items(meter, list.items().iter(), out)?;
            out.push(']')
        }
        Value::Tuple(tuple) => {
            out.push('(')?;
            write_items(meter, tuple.items().iter(), out)?;
            out.push_str(if tuple.items().len() == 1 { ",)" } else { ")" })
        }
        Value::Dict(dict) => {
            out.push('{')?;
            for (at, (key, value)) in dict.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ")?;
                }
                write_repr(meter, key, out)?;
                out.push_str(": ")?;
                write_repr(meter, value, out)?;
            }
            out.push('}')
        }
        Value::Range(range) => out.push_str(&match range.step() {
            1 => format!("range({}, {})", range.start(), range.stop()),
            step => format!("range({}, {}, {step})", range.start(), range.stop()),
        }),
        Value::View(view) => {
            out.push_str(view.type_name())?;
            out.push_str("([")?;
            match view.kind() {
                ViewKind::Keys => write_items(meter, view.dict().iter().map(|(k, _)| k), out)?,
                ViewKind::Values => write_items(meter, view.dict().iter().map(|(_, v)| v), out)?,
                ViewKind::Items => {
                    for (at, (key, value)) in view.dict().iter().enumerate() {
                        out.push_str(if at > 0 { ", (" } else { "(" })?;
                        write_items(meter, [key, value].into_iter(), out)?;
                        out.push(')')?;
                    }
                }
            }
            out.push_str("])")
        }
        Value::Iter(iter) => out.push_str(&iter.repr()?),
        Value::Object(object) => out.push_str(&object.repr(meter)?),
    }
}

fn write_items<'v>(
    meter: &Meter,
    items: impl Iterator<Item = &'v Value>,
    out: &mut Text<'_>,
) -> Result<(), Error> {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(", ")?;
        }
        write_repr(meter, item, out)?;
    }
    Ok(())
}

fn write_quoted(text: &str, out: &mut Text<'_>) -> Result<(), Error> {
    let quote = quote_of(text);
    out.push(quote)?;
    // Whatever needs no escape goes in one piece.
    let mut rest = text;
    while let Some(at) = rest.find(|c| needs_escape(c, quote)) {
        out.push_str(&rest[..at])?;
        let c = rest[at..]
            .chars()
            .next()
            .expect("find gave the place of one");
        let mut escaped = String::new();
        push_escaped(c, &mut escaped);
        out.push_str(&escaped)?;
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest)?;
    out.push(quote)
}

fn quote_of(text: &str) -> char {
    if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    }
}

fn needs_escape(c: char, quote: char) -> bool {
    c == quote || c == '\\' || !unicode::is_printable(c)
}

fn push_escaped(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\'' | '"' | '\\' => {
            out.push('\\');
            out.push(c);
        }
        c => match u32::from(c) {
            code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        },
    }
}

/// `repr` of a short string: a name, a type.
#[must_use]
pub fn quoted(text: &str) -> String {
    let quote = quote_of(text);
    let mut out = String::from(quote);
    for c in text.chars() {
        if needs_escape(c, quote) {
            push_escaped(c, &mut out);
        } else {
            out.push(c);
        }
    }
    out.push(quote);
    out
}

/// `repr` with everything beyond ASCII escaped: `ascii()`.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            push_escaped(c, &mut out);
        }
    }
    out
}

/// `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
#[must_use]
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("the format writes an exponent");
    let exponent: i32 = exponent.parse().expect("a small number");
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (0.1, "0.1"),
            (123_456.789, "123456.789"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn quotes_as_python_chooses_them() {
        assert_eq!(quoted("a'b"), "\"a'b\"");
        assert_eq!(quoted("a'\"b"), "'a\\'\"b'");
        assert_eq!(
            quoted("\u{7f}\u{ad}\u{e9}\u{2028}\u{1f600}\\\n"),
            "'\\x7f\\xad\u{e9}\\u2028\u{1f600}\\\\\\n'"
        );
    }
}
