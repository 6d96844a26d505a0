//! `str.format` and `str.format_map` through the sandbox: fields are looked up as a template looks them up.

use super::args::Args;
use super::error::{Error, ErrorKind, value_error};
use super::escape::escape_text;
use super::index::item;
use super::meter::{Meter, Text};
use super::repr::{ascii, quoted, repr, str};
use super::sandbox::{getattr, getitem};
use super::spec;
use super::text::Str;
use super::unicode;
use super::value::Value;

/// How deep specifications may hold fields.
const DEPTH: i32 = 2;

struct Formatter<'v> {
    meter: &'v Meter,
    positional: &'v [Value],
    keyword: &'v [(String, Value)],
    /// `format_map`'s argument.
    mapping: Option<&'v Value>,
    markup: bool,
    /// The next automatic number; `None` after a field with a number of its own.
    automatic: Option<usize>,
}

/// `format.format(*args)`.
///
/// # Errors
/// What Python raises; a limit of the meter.
pub(super) fn format(meter: &Meter, format: &Str, args: Args) -> Result<Value, Error> {
    Formatter {
        meter,
        positional: &args.positional,
        keyword: &args.keyword,
        mapping: None,
        markup: format.is_markup(),
        automatic: Some(0),
    }
    .run(format)
}

/// `format.format_map(mapping)`.
///
/// # Errors
/// What Python raises; a limit of the meter.
pub(super) fn format_map(meter: &Meter, format: &Str, mapping: &Value) -> Result<Value, Error> {
    Formatter {
        meter,
        positional: &[],
        keyword: &[],
        mapping: Some(mapping),
        markup: format.is_markup(),
        automatic: Some(0),
    }
    .run(format)
}

/// A field: its name, its conversion and its specification.
type Field<'f> = (&'f str, Option<char>, &'f str);

/// The literal text up to the next field, the field, and the rest.
fn next_part(text: &str) -> Result<(&str, Option<Field<'_>>, &str), Error> {
    let Some(at) = text.find(['{', '}']) else {
        return Ok((text, None, ""));
    };
    let brace = &text[at..=at];
    let rest = &text[at + 1..];
    if rest.starts_with(brace) {
        return Ok((&text[..=at], None, &rest[1..]));
    }
    if brace == "}" {
        return Err(value_error("Single '}' encountered in format string"));
    }
    if rest.is_empty() {
        return Err(value_error("Single '{' encountered in format string"));
    }
    let (field, rest) = parse_field(rest)?;
    Ok((&text[..at], Some(field), rest))
}

fn parse_field(text: &str) -> Result<(Field<'_>, &str), Error> {
    let mut at = 0;
    let end = loop {
        let Some(c) = text[at..].chars().next() else {
            return Err(value_error("expected '}' before end of string"));
        };
        match c {
            '{' => return Err(value_error("unexpected '{' in field name")),
            '[' => at = text[at..].find(']').map_or(text.len(), |close| at + close),
            '}' | ':' | '!' => break c,
            c => at += c.len_utf8(),
        }
    };
    let name = &text[..at];
    let mut rest = &text[at + 1..];
    let mut conversion = None;
    match end {
        '}' => return Ok(((name, None, ""), rest)),
        '!' => {
            let c = rest.chars().next().ok_or_else(|| {
                value_error("end of string while looking for conversion specifier")
            })?;
            conversion = Some(c);
            rest = &rest[c.len_utf8()..];
            match rest.chars().next() {
                Some('}') => return Ok(((name, conversion, ""), &rest[1..])),
                Some(':') => rest = &rest[1..],
                Some(_) => {
                    return Err(value_error("expected ':' after conversion specifier"));
                }
                None => {}
            }
        }
        _ => {}
    }
    let mut open = 1_i64;
    let close = rest.bytes().position(|byte| {
        open += i64::from(byte == b'{') - i64::from(byte == b'}');
        open == 0
    });
    let close = close.ok_or_else(|| value_error("unmatched '{' in format spec"))?;
    Ok(((name, conversion, &rest[..close]), &rest[close + 1..]))
}

/// An index or a name: digits alone are an index.
fn index_or_name(meter: &Meter, text: &str) -> Result<Value, Error> {
    let mut number = 0_i64;
    for c in text.chars() {
        let Some(digit) = unicode::decimal(c) else {
            return Value::str(meter, text);
        };
        number = number
            .checked_mul(10)
            .and_then(|number| number.checked_add(i64::from(digit)))
            .ok_or_else(|| value_error("Too many decimal digits in format string"))?;
    }
    if text.is_empty() {
        return Value::str(meter, text);
    }
    Ok(Value::from(number))
}

impl Formatter<'_> {
    fn run(mut self, format: &Str) -> Result<Value, Error> {
        let mut out = self.meter.text();
        self.write(format, DEPTH, &mut out)?;
        Ok(Value::Str(out.finish()?.with_markup(self.markup)))
    }

    fn write(&mut self, format: &str, depth: i32, out: &mut Text<'_>) -> Result<(), Error> {
        if depth < 0 {
            return Err(value_error("Max string recursion exceeded"));
        }
        let meter = self.meter;
        let mut rest = format;
        while !rest.is_empty() {
            meter.step(1)?;
            let (literal, field, after) = next_part(rest)?;
            out.push_str(literal)?;
            rest = after;
            let Some((name, conversion, field_spec)) = field else {
                continue;
            };
            let numbered;
            let name = if name.is_empty() {
                let number = self.automatic.ok_or_else(mixed)?;
                self.automatic = Some(number + 1);
                numbered = number.to_string();
                &numbered
            } else {
                if name.chars().all(unicode::is_digit) {
                    if self.automatic.is_some_and(|number| number > 0) {
                        return Err(mixed());
                    }
                    self.automatic = None;
                }
                name
            };
            let value = self.field(name)?;
            let value = match conversion {
                None => value,
                Some('s') => Value::Str(str(meter, &value)?),
                Some('r') => Value::str(meter, repr(meter, &value)?)?,
                Some('a') => Value::str(meter, ascii(&repr(meter, &value)?))?,
                Some(other) => {
                    return Err(value_error(format!("Unknown conversion specifier {other}")));
                }
            };
            let mut expanded = meter.text();
            self.write(field_spec, depth - 1, &mut expanded)?;
            self.push(&value, expanded.as_str(), out)?;
        }
        Ok(())
    }

    fn push(&self, value: &Value, field_spec: &str, out: &mut Text<'_>) -> Result<(), Error> {
        if !self.markup {
            return out.push_str(&spec::format(self.meter, value, field_spec)?);
        }
        match value {
            Value::Str(text) if text.is_markup() => {
                if !field_spec.is_empty() {
                    return Err(value_error("Unsupported format specification for Markup."));
                }
                out.push_str(text)
            }
            value => {
                let text = spec::format(self.meter, value, field_spec)?;
                out.push_str(&escape_text(self.meter, &text)?)
            }
        }
    }

    fn field(&self, name: &str) -> Result<Value, Error> {
        let meter = self.meter;
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let mut value = self.argument(&index_or_name(meter, &name[..end])?)?;
        let mut rest = &name[end..];
        let empty = || value_error("Empty attribute in format string");
        while let Some(c) = rest.chars().next() {
            match c {
                '.' => {
                    let end = rest[1..].find(['.', '[']).map_or(rest.len(), |at| at + 1);
                    let attribute = &rest[1..end];
                    if attribute.is_empty() {
                        return Err(empty());
                    }
                    value = getattr(meter, &value, attribute)?;
                    rest = &rest[end..];
                }
                '[' => {
                    let end = rest
                        .find(']')
                        .ok_or_else(|| value_error("Missing ']' in format string"))?;
                    if end == 1 {
                        return Err(empty());
                    }
                    value = getitem(meter, &value, &index_or_name(meter, &rest[1..end])?)?;
                    rest = &rest[end + 1..];
                }
                _ => {
                    return Err(value_error(
                        "Only '.' or '[' may follow ']' in format field specifier",
                    ));
                }
            }
        }
        Ok(value)
    }

    fn argument(&self, key: &Value) -> Result<Value, Error> {
        match (key, self.mapping) {
            (Value::Str(_), Some(mapping)) => item(self.meter, mapping, key),
            (Value::Str(name), None) => self
                .keyword
                .iter()
                .find(|(keyword, _)| keyword == name.as_str())
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Error::new(ErrorKind::KeyError, quoted(name))),
            (index, _) => index
                .as_int()
                .and_then(|index| self.positional.get(usize::try_from(index).ok()?))
                .cloned()
                .ok_or_else(|| Error::new(ErrorKind::IndexError, "tuple index out of range")),
        }
    }
}

fn mixed() -> Error {
    value_error("cannot switch from manual field specification to automatic field numbering")
}
