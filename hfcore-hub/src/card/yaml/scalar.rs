//! What an unquoted word means: YAML 1.1's rules, as `PyYAML`'s `SafeLoader` has them.
//!
//! The reference is `yaml/resolver.py` and `yaml/constructor.py` of `PyYAML` 6.0.3. Its regular expressions are matchers by
//! hand here: they are short, and nothing in them backtracks.

use super::timestamp::{is_timestamp, to_timestamp};
use super::value::YamlValue;

/// What an unquoted word is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    /// Data.
    Value(YamlValue),
    /// `<<`: as a key, the merge of other mappings into this one.
    Merge,
    /// `=`: a key like others, and nothing else anywhere else.
    Default,
    /// It looks like a number or a date and is none: `2024-13-45`.
    Invalid(&'static str),
}

/// An unquoted word, or one behind the tag `!`.
pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "<<" => return Plain::Merge,
        "=" => return Plain::Default,
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Value(YamlValue::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Plain::Value(YamlValue::Bool(true));
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Plain::Value(YamlValue::Bool(false));
        }
        _ => {}
    }
    let parsed = if is_float(text) {
        to_float(text).map(YamlValue::Float)
    } else if is_int(text) {
        to_int(text).map(YamlValue::Int)
    } else if is_timestamp(text) {
        to_timestamp(text).map(YamlValue::Timestamp)
    } else {
        Ok(YamlValue::String(text.to_owned()))
    };
    parsed.map_or_else(Plain::Invalid, Plain::Value)
}

/// Whether an unquoted `text` would be read as something else than this text: by YAML 1.1, which Python's yaml speaks, or by
/// YAML 1.2, which the Hub's JavaScript does. Python itself writes `1e3`, `0o7` and `08` without quotes, and the Hub then
/// reads numbers: a commit such as `5e10234` is lost that way.
pub(super) fn needs_quotes(text: &str) -> bool {
    resolve(text) != Plain::Value(YamlValue::String(text.to_owned())) || is_yaml_1_2_number(text)
}

/// `!!bool` with this text.
pub(super) fn to_bool(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

fn strip_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, accepted: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(accepted)
}

fn digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `[0-9][0-9_]*`
fn is_digits(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && all(text, digit_or_underscore)
}

/// `[1-9][0-9_]*`
fn is_decimal(text: &str) -> bool {
    is_digits(text) && !text.starts_with('0')
}

/// `[0-5]?[0-9]`
fn is_sixty(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

fn is_int(text: &str) -> bool {
    let text = strip_sign(text);
    if let Some(binary) = text.strip_prefix("0b") {
        return !binary.is_empty() && all(binary, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return !hexadecimal.is_empty() && all(hexadecimal, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(octal) = text.strip_prefix('0') {
        return all(octal, |b| matches!(b, b'0'..=b'7' | b'_'));
    }
    let mut parts = text.split(':');
    parts.next().is_some_and(is_decimal) && parts.all(is_sixty)
}

fn is_float(text: &str) -> bool {
    let unsigned = strip_sign(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, fraction)) = unsigned.split_once('.') else {
        return false;
    };
    if whole.contains(':') {
        let mut parts = whole.split(':');
        return parts.next().is_some_and(is_digits)
            && parts.all(is_sixty)
            && all(fraction, digit_or_underscore);
    }
    let fraction = match fraction.split_once(['e', 'E']) {
        Some((fraction, exponent)) => {
            // YAML 1.1 asks for a sign here, so that `1.0e3` is text.
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or_default();
            if digits.is_empty() || !all(digits, |b| b.is_ascii_digit()) {
                return false;
            }
            fraction
        }
        None => fraction,
    };
    if whole.is_empty() {
        // Without digits before the point there is no sign, and there are digits behind it.
        return unsigned == text && is_digits(fraction);
    }
    is_digits(whole) && all(fraction, digit_or_underscore)
}

/// Numbers by YAML 1.2's core schema, or by js-yaml, which also skips `_`.
fn is_yaml_1_2_number(text: &str) -> bool {
    let unsigned = strip_sign(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let unsigned = unsigned.replace('_', "");
    for (prefix, radix) in [("0o", 8), ("0x", 16), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(strip_sign(exponent))),
        None => (unsigned.as_str(), None),
    };
    let digits = |text: &str| all(text, |b| b.is_ascii_digit());
    if exponent.is_some_and(|exponent| exponent.is_empty() || !digits(exponent)) {
        return false;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction)
}

/// `!!int` with this text: `construct_yaml_int`.
pub(super) fn to_int(text: &str) -> Result<i128, &'static str> {
    const NONE: &str = "it is no whole number";
    const LARGE: &str = "the number is too large";
    let text = text.replace('_', "");
    let negative = text.starts_with('-');
    let digits = strip_sign(&text);
    let radix = |digits: &str, radix| {
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(NONE);
        }
        i128::from_str_radix(digits, radix).map_err(|_| LARGE)
    };
    let value = if let Some(digits) = digits.strip_prefix("0b") {
        radix(digits, 2)?
    } else if let Some(digits) = digits.strip_prefix("0x") {
        radix(digits, 16)?
    } else if digits.starts_with('0') {
        radix(digits, 8)?
    } else {
        let mut value = 0i128;
        for part in digits.split(':') {
            let part = radix(part, 10)?;
            let shifted = value.checked_mul(60).ok_or(LARGE)?;
            value = shifted.checked_add(part).ok_or(LARGE)?;
        }
        value
    };
    Ok(if negative { -value } else { value })
}

/// `!!float` with this text: `construct_yaml_float`.
pub(super) fn to_float(text: &str) -> Result<f64, &'static str> {
    const NONE: &str = "it is no number";
    let text = text.replace('_', "").to_lowercase();
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let digits = strip_sign(&text);
    let number = |part: &str| {
        let decimal = !part.is_empty() && all(part, |b| b.is_ascii_digit() || b".e+-".contains(&b));
        let parsed = if decimal { part.parse().ok() } else { None };
        parsed.ok_or(NONE)
    };
    Ok(sign
        * match digits {
            ".inf" => f64::INFINITY,
            ".nan" => f64::NAN,
            _ if digits.contains(':') => {
                // From the right, as the reference sums: the last bit depends on the order.
                let (mut value, mut base) = (0.0, 1.0);
                for part in digits.rsplit(':') {
                    value += number(part)? * base;
                    base *= 60.0;
                }
                value
            }
            _ => number(digits)?,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> YamlValue {
        match resolve(text) {
            Plain::Value(value) => value,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    /// Expected: `yaml.safe_load` of `PyYAML` 6.0.3.
    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+12", 12),
            ("1_000", 1000),
            ("010", 8),
            ("0_7", 7),
            ("0x1F", 31),
            ("-0x_f", -15),
            ("0b101", 5),
            ("1:30", 90),
            ("-1:30:15", -5415),
            ("190:20:30", 685_230),
        ] {
            assert_eq!(value(text), YamlValue::Int(expected), "{text}");
        }
        let large = "1".repeat(60);
        for (text, why) in [
            ("0b_", "it is no whole number"),
            ("0x__", "it is no whole number"),
            (&large, "the number is too large"),
        ] {
            assert_eq!(resolve(text), Plain::Invalid(why), "{text}");
        }
    }

    #[test]
    fn numbers_with_a_point() {
        for (text, expected) in [
            ("1.", 1.0),
            (".5", 0.5),
            ("-1.5e+3", -1500.0),
            ("1_0.2_5", 10.25),
            ("1:30.5", 90.5),
            (".inf", f64::INFINITY),
            ("-.Inf", f64::NEG_INFINITY),
            (".NaN", f64::NAN),
            ("1.0e-400", 0.0),
            ("1.0e+400", f64::INFINITY),
        ] {
            assert_eq!(value(text), YamlValue::Float(expected), "{text}");
        }
    }

    #[test]
    fn words_that_stay_text() {
        for text in [
            "1e3",
            "1.0e3",
            "0o17",
            "08",
            "0x",
            "0b2",
            "1:60",
            "1:2:",
            "-.5",
            "+.nan",
            ".",
            "-",
            "nO",
            "y",
            "n",
            "NUll",
            "Inf",
            "1.2.3",
            "1,000",
            "_1",
            "2024-1-1",
            "2024-01-01x",
            "2024-01-01 ",
            "2024-01-01 1:2:3",
            "2024-01-01T12:00:00+1:0",
            "a",
            "===",
            "<<<",
            "2024-01-01T12:00:00 ",
        ] {
            assert_eq!(value(text), YamlValue::String(text.into()), "{text}");
        }
    }

    #[test]
    fn what_either_yaml_would_change_needs_quotes() {
        for text in [
            "",
            "~",
            "no",
            "On",
            "null",
            "1",
            "1.5",
            "0x10",
            "1:30",
            "2024-01-01",
            "=",
            "<<",
            "2024-13-45",
            "1e3",
            "5e10234",
            "08",
            "0o17",
            "1_0e5",
            "+.5",
            "-.5",
            "1.0e3",
        ] {
            assert!(needs_quotes(text), "{text}");
        }
        for text in [
            "nb", "y", "1.2.3", "mit", "e5", "1e", ".", "-", "0o8", "v1", "1e5a",
        ] {
            assert!(!needs_quotes(text), "{text}");
        }
    }
}
