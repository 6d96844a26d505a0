//! `format % values`, printf's way.

use super::convert;
use super::error::{Error, ErrorKind, type_error, value_error};
use super::escape::escape_text;
use super::index::item;
use super::meter::{Meter, Text};
use super::repr::{ascii, repr, str};
use super::spec::{character, float_text};
use super::text::Str;
use super::value::Value;

/// One `%` directive.
#[derive(Debug, Default)]
struct Directive {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// The values, and how many of them are used.
struct Arguments<'v> {
    meter: &'v Meter,
    values: &'v [Value],
    used: usize,
    mapping: Option<&'v Value>,
    /// The format is a `Markup`: what it prints is escaped.
    markup: bool,
}

impl Arguments<'_> {
    fn next(&mut self) -> Result<Value, Error> {
        let value = self.values.get(self.used).cloned();
        self.used += 1;
        value.ok_or_else(|| type_error("not enough arguments for format string"))
    }
}

/// `format % values`.
///
/// # Errors
/// What Python raises; a limit of the meter.
pub(super) fn format(meter: &Meter, format: &Str, values: &Value) -> Result<Value, Error> {
    let single = std::slice::from_ref(values);
    let mut arguments = Arguments {
        meter,
        values: match values {
            Value::Tuple(tuple) => tuple.items(),
            _ => single,
        },
        used: 0,
        // What can be indexed is a mapping to this operator, and need not be used up.
        mapping: match values {
            Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_) => Some(values),
            _ => None,
        },
        markup: format.is_markup(),
    };
    let mut out = meter.text();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at])?;
        rest = &rest[at + 1..];
        rest = directive(&mut arguments, format, rest, &mut out)?;
    }
    out.push_str(rest)?;
    if arguments.used < arguments.values.len() && arguments.mapping.is_none() {
        return Err(type_error(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(Value::Str(out.finish()?.with_markup(format.is_markup())))
}

fn incomplete() -> Error {
    value_error("incomplete format")
}

/// Reads one directive and prints its value; the rest of the format.
fn directive<'f>(
    arguments: &mut Arguments<'_>,
    format: &Str,
    mut rest: &'f str,
    out: &mut Text<'_>,
) -> Result<&'f str, Error> {
    let meter = arguments.meter;
    if let Some(after) = rest.strip_prefix('%') {
        out.push('%')?;
        return Ok(after);
    }
    let mut keyed = None;
    if rest.starts_with('(') {
        let Some(mapping) = arguments.mapping else {
            return Err(type_error("format requires a mapping"));
        };
        let mut open = 0_i64;
        let end = rest.bytes().position(|byte| {
            open += i64::from(byte == b'(') - i64::from(byte == b')');
            open == 0
        });
        let end = end.ok_or_else(|| value_error("incomplete format key"))?;
        let key = Str::new(meter, &rest[1..end])?.with_markup(format.is_markup());
        keyed = Some(item(meter, mapping, &Value::Str(key))?);
        rest = &rest[end + 1..];
    }
    let mut found = Directive::default();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => found.left = true,
            '+' => found.plus = true,
            ' ' => found.space = true,
            '#' => found.alternate = true,
            '0' => found.zero = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    if let Some(width) = number(arguments, &mut rest, "width too big")? {
        found.left |= width < 0;
        found.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
    }
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        let precision = number(arguments, &mut rest, "precision too big")?.unwrap_or(0);
        found.precision = Some(usize::try_from(precision).unwrap_or(0));
    }
    rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
    let c = rest.chars().next().ok_or_else(incomplete)?;
    let after = &rest[c.len_utf8()..];
    let value = match keyed {
        Some(value) => value,
        None => arguments.next()?,
    };
    let index = format.len() - rest.len();
    let (sign, base, body) = convert(arguments, &found, c, &value, || {
        format[..index].chars().count()
    })?;
    let numeric = !matches!(c, 's' | 'r' | 'a' | 'c');
    let length = sign.len() + base.len() + body.chars().count();
    let missing = found.width.saturating_sub(length);
    let (before, zeros, behind) = if found.left {
        (0, 0, missing)
    } else if found.zero && numeric {
        (0, missing, 0)
    } else {
        (missing, 0, 0)
    };
    out.fill(' ', before)?;
    out.push_str(sign)?;
    out.push_str(base)?;
    out.fill('0', zeros)?;
    out.push_str(&body)?;
    out.fill(' ', behind)?;
    Ok(after)
}

/// A width or a precision: digits, or `*` for an argument.
fn number(
    arguments: &mut Arguments<'_>,
    rest: &mut &str,
    too_big: &str,
) -> Result<Option<i64>, Error> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        let value = arguments.next()?;
        let (Value::Int(_) | Value::Bool(_)) = value else {
            return Err(type_error("* wants int"));
        };
        let value = value.as_int().unwrap_or(0);
        return i64::try_from(value).map(Some).map_err(|_| {
            Error::new(
                ErrorKind::OverflowError,
                "Python int too large to convert to C ssize_t",
            )
        });
    }
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    if end == 0 {
        return Ok(None);
    }
    let digits = &rest[..end];
    *rest = &rest[end..];
    digits.parse().map(Some).map_err(|_| value_error(too_big))
}

/// The value as its sign, its base and the rest.
fn convert<'s>(
    arguments: &Arguments<'_>,
    directive: &Directive,
    c: char,
    value: &Value,
    index: impl Fn() -> usize,
) -> Result<(&'s str, &'s str, String), Error> {
    let meter = arguments.meter;
    let sign = |negative: bool| match negative {
        true => "-",
        false if directive.plus => "+",
        false if directive.space => " ",
        false => "",
    };
    match c {
        's' | 'r' | 'a' => {
            let mut text = match c {
                's' => match value {
                    // A Markup is not escaped again.
                    Value::Str(text) if arguments.markup && text.is_markup() => {
                        text.as_str().to_owned()
                    }
                    value => {
                        let text = str(meter, value)?;
                        escaped(arguments, text.as_str())?
                    }
                },
                _ => escaped(arguments, &repr(meter, value)?)?,
            };
            if c == 'a' {
                text = ascii(&text);
            }
            if let Some(precision) = directive.precision
                && let Some((at, _)) = text.char_indices().nth(precision)
            {
                text.truncate(at);
            }
            Ok(("", "", text))
        }
        'c' => {
            let c = match value {
                Value::Str(text) if text.length() == 1 && !arguments.markup => {
                    return Ok(("", "", text.as_str().to_owned()));
                }
                value if !arguments.markup => value.as_int(),
                _ => None,
            };
            let code = c.ok_or_else(|| type_error("%c requires int or char"))?;
            Ok(("", "", character(code)?.to_string()))
        }
        'd' | 'i' | 'u' => {
            let number = whole(arguments, c, value)?;
            let digits = number.unsigned_abs().to_string();
            Ok((sign(number < 0), "", padded(meter, directive, digits)?))
        }
        'x' | 'X' | 'o' => {
            let type_name = if arguments.markup {
                "_MarkupEscapeHelper".into()
            } else {
                value.type_name()
            };
            let number = value.as_int().filter(|_| !arguments.markup);
            let number = number.ok_or_else(|| {
                type_error(format!(
                    "%{c} format: an integer is required, not {type_name}"
                ))
            })?;
            let magnitude = number.unsigned_abs();
            let (base, digits) = match c {
                'x' => ("0x", format!("{magnitude:x}")),
                'X' => ("0X", format!("{magnitude:X}")),
                _ => ("0o", format!("{magnitude:o}")),
            };
            let base = if directive.alternate { base } else { "" };
            Ok((sign(number < 0), base, padded(meter, directive, digits)?))
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = real(arguments, value)?;
            let text = float_text(
                meter,
                number.abs(),
                c,
                directive.precision,
                directive.alternate,
            )?;
            let negative = number.is_sign_negative() && !number.is_nan();
            Ok((sign(negative), "", text))
        }
        c => Err(value_error(format!(
            "unsupported format character '{}' (0x{:x}) at index {}",
            if matches!(c, ' '..='~') { c } else { '?' },
            u32::from(c),
            index()
        ))),
    }
}

fn escaped(arguments: &Arguments<'_>, text: &str) -> Result<String, Error> {
    if arguments.markup {
        return Ok(escape_text(arguments.meter, text)?.into_owned());
    }
    Ok(text.to_owned())
}

/// At least as many digits as the precision says.
fn padded(meter: &Meter, directive: &Directive, digits: String) -> Result<String, Error> {
    let missing = directive
        .precision
        .unwrap_or(0)
        .saturating_sub(digits.len());
    if missing == 0 {
        return Ok(digits);
    }
    if directive
        .precision
        .is_some_and(|most| i32::try_from(most).is_err())
    {
        return Err(value_error("precision too large"));
    }
    let mut out = meter.text();
    out.fill('0', missing)?;
    out.push_str(&digits)?;
    Ok(out.into_string())
}

fn whole(arguments: &Arguments<'_>, c: char, value: &Value) -> Result<i128, Error> {
    let converted = match value {
        Value::Float(_) | Value::Undefined(_) => convert::int(arguments.meter, value),
        value if arguments.markup => convert::int(arguments.meter, value),
        value => match value.as_int() {
            Some(number) => return Ok(number),
            None => Err(type_error("")),
        },
    };
    match converted {
        Ok(number) => Ok(number),
        Err(error) if error.kind() == ErrorKind::TypeError => Err(type_error(format!(
            "%{c} format: a real number is required, not {}",
            if arguments.markup {
                "_MarkupEscapeHelper".into()
            } else {
                value.type_name()
            }
        ))),
        Err(error) => Err(error),
    }
}

fn real(arguments: &Arguments<'_>, value: &Value) -> Result<f64, Error> {
    match value {
        Value::Str(_) if !arguments.markup => Err(type_error(format!(
            "must be real number, not {}",
            value.type_name()
        ))),
        _ => convert::float(arguments.meter, value).map_err(|error| match error.kind() {
            ErrorKind::TypeError => {
                type_error(format!("must be real number, not {}", value.type_name()))
            }
            _ => error,
        }),
    }
}
