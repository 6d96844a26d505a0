//! `format(value, spec)`: the format specification mini-language, and floats as C prints them.

use super::error::{Error, ErrorKind, type_error, value_error};
use super::meter::Meter;
use super::repr::{self, float as float_repr};
use super::value::Value;

/// `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`
#[derive(Debug)]
struct Spec {
    fill: char,
    align: char,
    sign: Option<char>,
    positive_zero: bool,
    alternate: bool,
    width: usize,
    /// The separator of digit groups.
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn digits(chars: &[char], at: &mut usize) -> Result<Option<usize>, Error> {
    let start = *at;
    let mut number = 0_usize;
    while let Some(digit) = chars.get(*at).copied().and_then(super::unicode::decimal) {
        number = number
            .checked_mul(10)
            .and_then(|number| number.checked_add(digit as usize))
            .filter(|number| i64::try_from(*number).is_ok())
            .ok_or_else(|| value_error("Too many decimal digits in format string"))?;
        *at += 1;
    }
    Ok((*at > start).then_some(number))
}

impl Spec {
    fn parse(text: &str, align: char, type_name: &str) -> Result<Self, Error> {
        let chars: Vec<char> = text.chars().collect();
        let is_align = |at: usize| matches!(chars.get(at), Some('<' | '>' | '=' | '^'));
        let mut spec = Self {
            fill: ' ',
            align,
            sign: None,
            positive_zero: false,
            alternate: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: None,
        };
        let mut at = 0;
        let (mut filled, mut aligned) = (false, false);
        if is_align(1) {
            (spec.fill, spec.align, at) = (chars[0], chars[1], 2);
            (filled, aligned) = (true, true);
        } else if is_align(0) {
            (spec.align, at) = (chars[0], 1);
            aligned = true;
        }
        let take = |at: &mut usize, wanted: &[char]| {
            let found = chars.get(*at).copied().filter(|c| wanted.contains(c));
            *at += usize::from(found.is_some());
            found
        };
        spec.sign = take(&mut at, &['+', '-', ' ']);
        spec.positive_zero = take(&mut at, &['z']).is_some();
        spec.alternate = take(&mut at, &['#']).is_some();
        if !filled && take(&mut at, &['0']).is_some() {
            spec.fill = '0';
            if !aligned && align == '>' {
                spec.align = '=';
            }
        }
        spec.width = digits(&chars, &mut at)?.unwrap_or(0);
        spec.grouping = take(&mut at, &[',']);
        if take(&mut at, &['_']).is_some() {
            if spec.grouping.is_some() {
                return Err(value_error("Cannot specify both ',' and '_'."));
            }
            spec.grouping = Some('_');
        }
        if spec.grouping == Some('_') && chars.get(at) == Some(&',') {
            return Err(value_error("Cannot specify both ',' and '_'."));
        }
        if take(&mut at, &['.']).is_some() {
            let precision = digits(&chars, &mut at)?;
            spec.precision =
                Some(precision.ok_or_else(|| value_error("Format specifier missing precision"))?);
        }
        if chars.len() - at > 1 {
            return Err(value_error(format!(
                "Invalid format specifier '{text}' for object of type '{type_name}'"
            )));
        }
        spec.kind = chars.get(at).copied();
        if let Some(separator) = spec.grouping {
            let kind = spec
                .kind
                .unwrap_or(if type_name == "str" { 's' } else { 'd' });
            let fits = "defgEG%F".contains(kind) || (separator == '_' && "boxX".contains(kind));
            if !fits {
                return Err(value_error(format!(
                    "Cannot specify '{separator}' with '{kind}'."
                )));
            }
        }
        Ok(spec)
    }

    fn unknown(&self, type_name: &str) -> Error {
        let kind = self.kind.unwrap_or(' ');
        let code = match kind {
            '!'..='~' => kind.to_string(),
            other => format!("\\x{:x}", u32::from(other)),
        };
        value_error(format!(
            "Unknown format code '{code}' for object of type '{type_name}'"
        ))
    }
}

/// `format(value, spec)`.
///
/// # Errors
/// `ValueError` for a specification that does not fit, `TypeError` for a value that takes none; a limit of the meter.
pub(super) fn format(meter: &Meter, value: &Value, spec: &str) -> Result<String, Error> {
    meter.work(spec.len().saturating_mul(4))?;
    if spec.is_empty() {
        let mut out = meter.text();
        repr::write_str(meter, value, &mut out)?;
        return Ok(out.into_string());
    }
    let type_name = value.type_name();
    match value {
        Value::Str(text) => text_field(meter, text, spec, &type_name),
        Value::Int(_) | Value::Bool(_) => {
            let spec = Spec::parse(spec, '>', &type_name)?;
            integer(meter, value.as_int().unwrap_or(0), spec, &type_name)
        }
        Value::Float(number) => {
            let spec = Spec::parse(spec, '>', "float")?;
            match spec.kind {
                None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => {
                    float(meter, *number, &spec)
                }
                Some(_) => Err(spec.unknown("float")),
            }
        }
        _ => Err(type_error(format!(
            "unsupported format string passed to {type_name}.__format__"
        ))),
    }
}

fn text_field(meter: &Meter, text: &str, spec: &str, type_name: &str) -> Result<String, Error> {
    let spec = Spec::parse(spec, '<', type_name)?;
    if !matches!(spec.kind, None | Some('s')) {
        return Err(spec.unknown(type_name));
    }
    let refusal = match spec.sign {
        Some(' ') => Some("Space not allowed in string format specifier"),
        Some(_) => Some("Sign not allowed in string format specifier"),
        None if spec.positive_zero => {
            Some("Negative zero coercion (z) not allowed in string format specifier")
        }
        None if spec.alternate => Some("Alternate form (#) not allowed in string format specifier"),
        None if spec.align == '=' => Some("'=' alignment not allowed in string format specifier"),
        None => None,
    };
    if let Some(refusal) = refusal {
        return Err(value_error(refusal));
    }
    let end = match spec.precision {
        Some(most) => text
            .char_indices()
            .nth(most)
            .map_or(text.len(), |(at, _)| at),
        None => text.len(),
    };
    pad(meter, "", &text[..end], &spec)
}

/// Fills up to the width; with `=` between the sign (or base) and the digits.
fn pad(meter: &Meter, head: &str, body: &str, spec: &Spec) -> Result<String, Error> {
    let length = head.chars().count() + body.chars().count();
    let missing = spec.width.saturating_sub(length);
    let (before, between) = match spec.align {
        '<' => (0, 0),
        '^' => (missing / 2, 0),
        '=' => (0, missing),
        _ => (missing, 0),
    };
    let mut out = meter.text();
    out.fill(spec.fill, before)?;
    out.push_str(head)?;
    out.fill(spec.fill, between)?;
    out.push_str(body)?;
    out.fill(spec.fill, missing - before - between)?;
    Ok(out.into_string())
}

fn sign_of(negative: bool, sign: Option<char>) -> &'static str {
    match (negative, sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a float type asks for the nearest float, as in Python"
)]
fn integer(meter: &Meter, value: i128, spec: Spec, type_name: &str) -> Result<String, Error> {
    let kind = spec.kind.unwrap_or('d');
    if "eEfFgG%".contains(kind) {
        return float(meter, value as f64, &spec);
    }
    if !"bcdnoxX".contains(kind) {
        return Err(spec.unknown(type_name));
    }
    if spec.precision.is_some() {
        return Err(value_error(
            "Precision not allowed in integer format specifier",
        ));
    }
    if spec.positive_zero {
        return Err(value_error(
            "Negative zero coercion (z) not allowed in integer format specifier",
        ));
    }
    if kind == 'c' {
        if spec.sign.is_some() {
            return Err(value_error(
                "Sign not allowed with integer format specifier 'c'",
            ));
        }
        if spec.alternate {
            return Err(value_error(
                "Alternate form (#) not allowed with integer format specifier 'c'",
            ));
        }
        if i64::try_from(value).is_err() {
            return Err(Error::new(
                ErrorKind::OverflowError,
                "Python int too large to convert to C long",
            ));
        }
        return pad(meter, "", &character(value)?.to_string(), &spec);
    }
    let magnitude = value.unsigned_abs();
    let (base, digits) = match kind {
        'b' => ("0b", format!("{magnitude:b}")),
        'o' => ("0o", format!("{magnitude:o}")),
        'x' => ("0x", format!("{magnitude:x}")),
        'X' => ("0X", format!("{magnitude:X}")),
        _ => ("", magnitude.to_string()),
    };
    let mut head = sign_of(value < 0, spec.sign).to_owned();
    if spec.alternate {
        head += base;
    }
    let group = if "boxX".contains(kind) { 4 } else { 3 };
    let digits = grouped(meter, &digits, group, head.len(), &spec)?;
    pad(meter, &head, &digits, &spec)
}

/// The character of a code point, as `%c` takes it.
pub(super) fn character(code: i128) -> Result<char, Error> {
    let code = u32::try_from(code).ok().filter(|code| *code < 0x11_0000);
    let code =
        code.ok_or_else(|| Error::new(ErrorKind::OverflowError, "%c arg not in range(0x110000)"))?;
    char::from_u32(code)
        .ok_or_else(|| super::error::unsupported("a lone surrogate, which no UTF-8 text holds"))
}

/// Separates groups of digits; zeros that fill up to the width are grouped too. `beside` counts what else takes room.
fn grouped(
    meter: &Meter,
    digits: &str,
    group: usize,
    beside: usize,
    spec: &Spec,
) -> Result<String, Error> {
    let Some(separator) = spec.grouping else {
        return Ok(digits.to_owned());
    };
    let zeros = spec.fill == '0' && spec.align == '=';
    let mut width = if zeros {
        spec.width.saturating_sub(beside)
    } else {
        0
    };
    meter.check(width.saturating_mul(2))?;
    meter.work(width)?;
    let mut reversed = digits.chars().rev();
    let mut left = digits.len();
    let mut out = Vec::new();
    loop {
        let size = group.min(left.max(width).max(1));
        for _ in 0..size {
            out.push(reversed.next().unwrap_or('0'));
        }
        left = left.saturating_sub(size);
        width = width.saturating_sub(size);
        if left == 0 && width == 0 {
            break;
        }
        out.push(separator);
        width = width.saturating_sub(1);
    }
    Ok(out.into_iter().rev().collect())
}

fn float(meter: &Meter, value: f64, spec: &Spec) -> Result<String, Error> {
    let (kind, value, percent) = match spec.kind {
        Some('%') => ('f', value * 100.0, "%"),
        Some('n') => ('g', value, ""),
        Some(kind) => (kind, value, ""),
        None => ('r', value, ""),
    };
    let mut text = float_text(meter, value.abs(), kind, spec.precision, spec.alternate)?;
    let mut negative = value.is_sign_negative() && !value.is_nan();
    if spec.positive_zero && negative && text.chars().all(|c| !matches!(c, '1'..='9' | 'i')) {
        negative = false;
    }
    text += percent;
    let head = sign_of(negative, spec.sign);
    let whole = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    if whole > 0 {
        let (digits, rest) = text.split_at(whole);
        text = grouped(meter, digits, 3, head.len() + rest.len(), spec)? + rest;
    }
    pad(meter, head, &text, spec)
}

/// A float that is not negative, by `e`, `f`, `g` (or in capitals); `r` is `repr`, or with a precision a `g` that keeps
/// one digit after the point.
///
/// # Errors
/// `ValueError` for an absurd precision; a limit of the meter.
pub(super) fn float_text(
    meter: &Meter,
    value: f64,
    kind: char,
    precision: Option<usize>,
    alternate: bool,
) -> Result<String, Error> {
    let capital = kind.is_ascii_uppercase();
    let cased = |text: String| {
        if capital {
            text.to_ascii_uppercase()
        } else {
            text
        }
    };
    if value.is_nan() {
        return Ok(cased("nan".to_owned()));
    }
    if value.is_infinite() {
        return Ok(cased("inf".to_owned()));
    }
    if precision.is_some_and(|precision| i32::try_from(precision).is_err()) {
        return Err(value_error("precision too big"));
    }
    if kind == 'r' && precision.is_none() {
        return Ok(float_repr(value));
    }
    let precision = precision.unwrap_or(6);
    meter.check(precision)?;
    meter.work(precision)?;
    // No double has more digits than this; zeros follow.
    let exact = precision.min(1100);
    let zeros = "0".repeat(precision - exact);
    let text = match kind.to_ascii_lowercase() {
        'f' => {
            let point = if precision == 0 && alternate { "." } else { "" };
            format!("{value:.exact$}{zeros}{point}")
        }
        'e' => {
            let (digits, exponent) = scientific(value, exact);
            let point = if precision == 0 && alternate { "." } else { "" };
            format!("{digits}{zeros}{point}{}", exponent_text(exponent))
        }
        _ => general(value, exact.max(1), kind == 'r', alternate),
    };
    Ok(cased(text))
}

fn scientific(value: f64, precision: usize) -> (String, i32) {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').expect("the format writes an exponent");
    (digits.to_owned(), exponent.parse().expect("a small number"))
}

fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.abs())
}

fn general(value: f64, precision: usize, keep_point: bool, alternate: bool) -> String {
    let (digits, exponent) = scientific(value, precision - 1);
    let places = i32::try_from(precision).unwrap_or(i32::MAX);
    let trimmed = |text: String| {
        if alternate {
            return if text.contains('.') { text } else { text + "." };
        }
        if !text.contains('.') {
            return text;
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if exponent < -4 || exponent >= places - i32::from(keep_point) {
        return trimmed(digits) + &exponent_text(exponent);
    }
    let decimals = usize::try_from(places - 1 - exponent).unwrap_or(0);
    let text = trimmed(format!("{value:.decimals$}"));
    if keep_point && !text.contains('.') {
        return text + ".0";
    }
    text
}
