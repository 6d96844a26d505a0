//! `int(x)` and `float(x)`.

use super::error::{Error, ErrorKind, type_error, unsupported, value_error};
use super::meter::Meter;
use super::repr::quoted;
use super::unicode;
use super::value::Value;

/// Digits that `CPython` reads at most, lest the conversion take quadratic time.
const MAX_DIGITS: usize = 4300;

/// White space around a number: the separators among the control characters are none, unlike in `str.strip`.
fn is_space(c: char) -> bool {
    unicode::is_space(c) && !matches!(c, '\u{1c}'..='\u{1f}')
}

/// `int(value)`.
///
/// # Errors
/// `TypeError`, `ValueError`, `OverflowError` as in Python; [`ErrorKind::Unsupported`] beyond 128 bits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the float is checked to be within 128 bits"
)]
pub fn int(meter: &Meter, value: &Value) -> Result<i128, Error> {
    match value {
        Value::Undefined(undefined) => Err(undefined.error(meter)),
        Value::Float(value) if value.is_nan() => {
            Err(value_error("cannot convert float NaN to integer"))
        }
        Value::Float(value) if value.is_infinite() => Err(Error::new(
            ErrorKind::OverflowError,
            "cannot convert float infinity to integer",
        )),
        Value::Float(value) if value.abs() < 2.0_f64.powi(127) => Ok(*value as i128),
        Value::Float(_) => Err(beyond()),
        Value::Str(text) => {
            meter.work(text.len())?;
            int_of_text(text, 10).map_err(|error| match error.kind() {
                ErrorKind::ValueError if text.is_markup() => value_error(format!(
                    "invalid literal for int() with base 10: Markup({})",
                    quoted(text)
                )),
                _ => error,
            })
        }
        value => value.as_int().ok_or_else(|| {
            type_error(format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                value.type_name()
            ))
        }),
    }
}

fn beyond() -> Error {
    unsupported("an integer beyond 128 bits; Python's have no bound")
}

/// `int(text, base)`: digits of any script, underscores between them, white space around them.
///
/// # Errors
/// `ValueError` for what is no such number; [`ErrorKind::Unsupported`] beyond 128 bits.
pub fn int_of_text(text: &str, base: u32) -> Result<i128, Error> {
    if base != 0 && !(2..=36).contains(&base) {
        return Err(value_error("int() base must be >= 2 and <= 36, or 0"));
    }
    let invalid = || {
        value_error(format!(
            "invalid literal for int() with base {base}: {}",
            quoted(text)
        ))
    };
    let trimmed = text.trim_matches(is_space);
    let (negative, digits) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let prefix = match digits.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => 0,
    };
    let prefixed = prefix != 0 && (base == prefix || base == 0);
    let mut rest = digits;
    if prefixed {
        rest = &digits[2..];
        // One underscore may follow the base.
        rest = rest.strip_prefix('_').unwrap_or(rest);
    }
    let radix = match (base, prefixed) {
        (0, true) => prefix,
        (0, false) => 10,
        (base, _) => base,
    };
    let mut number = Some(0_i128);
    let (mut count, mut after_digit) = (0_usize, false);
    for c in rest.chars() {
        if c == '_' {
            if !after_digit {
                return Err(invalid());
            }
            after_digit = false;
            continue;
        }
        let digit = unicode::decimal(c).or_else(|| c.to_digit(36));
        let digit = digit.filter(|digit| *digit < radix).ok_or_else(invalid)?;
        number = number
            .and_then(|number| number.checked_mul(i128::from(radix)))
            .and_then(|number| {
                let digit = i128::from(digit);
                number.checked_add(if negative { -digit } else { digit })
            });
        after_digit = true;
        count += 1;
    }
    if !after_digit {
        return Err(invalid());
    }
    if base == 0 && !prefixed && rest.starts_with('0') && number != Some(0) {
        return Err(invalid());
    }
    if count > MAX_DIGITS && !radix.is_power_of_two() {
        return Err(value_error(format!(
            "Exceeds the limit ({MAX_DIGITS} digits) for integer string conversion: value has {count} digits; use \
             sys.set_int_max_str_digits() to increase the limit"
        )));
    }
    number.ok_or_else(beyond)
}

/// `float(value)`.
///
/// # Errors
/// `TypeError` and `ValueError` as in Python.
#[allow(
    clippy::cast_precision_loss,
    reason = "Python rounds to the nearest float too"
)]
pub fn float(meter: &Meter, value: &Value) -> Result<f64, Error> {
    match value {
        Value::Undefined(undefined) => Err(undefined.error(meter)),
        Value::Float(value) => Ok(*value),
        Value::Str(text) => {
            meter.work(text.len())?;
            float_of_text(text).ok_or_else(|| {
                let shown = quoted(text);
                value_error(if text.is_markup() {
                    format!("could not convert string to float: Markup({shown})")
                } else {
                    format!("could not convert string to float: {shown}")
                })
            })
        }
        value => value.as_int().map(|value| value as f64).ok_or_else(|| {
            type_error(format!(
                "float() argument must be a string or a real number, not '{}'",
                value.type_name()
            ))
        }),
    }
}

fn float_of_text(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(is_space);
    let mut plain = String::with_capacity(trimmed.len());
    let chars: Vec<char> = trimmed.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        if c == '_' {
            let digit = |at: Option<usize>| {
                at.and_then(|at| chars.get(at))
                    .is_some_and(|c| unicode::decimal(*c).is_some())
            };
            if !digit(at.checked_sub(1)) || !digit(Some(at + 1)) {
                return None;
            }
            continue;
        }
        plain.push(match unicode::decimal(c) {
            Some(digit) => char::from_digit(digit, 10)?,
            None => c,
        });
    }
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let named = ["inf", "infinity", "nan"]
        .iter()
        .any(|name| unsigned.eq_ignore_ascii_case(name));
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (named || numeric).then(|| plain.parse().ok())?
}
