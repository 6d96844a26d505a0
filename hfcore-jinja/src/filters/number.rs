//! Filters of numbers.

use super::attribute::Path;
use super::{bind, flag, given, integer, one};
use crate::environment::Environment;
use crate::fail;
use crate::python::{
    Args, Binary, Error, ErrorKind, Iterate, Value, binary, float as to_float, int as to_int,
    int_of_text,
};

/// `abs`
pub(super) fn abs(_environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let value = one(args, "abs")?;
    match &value {
        Value::Float(number) => Ok(Value::Float(number.abs())),
        value => match value.as_int() {
            Some(number) => number.checked_abs().map(Value::Int).ok_or_else(too_large),
            None => Err(fail::type_error(format!(
                "bad operand type for abs(): '{}'",
                value.type_name()
            ))),
        },
    }
}

fn too_large() -> Error {
    fail::unsupported("an integer of more than 127 bits")
}

/// `int(number)`, towards zero.
fn truncated(environment: &Environment<'_>, number: f64) -> Result<i128, Error> {
    to_int(environment.meter, &Value::Float(number))
}

/// `do_int`
pub(super) fn int(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, default, base] = bind(args, "do_int", 0, 1, ["value", "default", "base"])?;
    let value = given(value);
    let first = match &value {
        Value::Str(text) => match base.unwrap_or(Value::Int(10)).as_int() {
            // Every base that is none is refused alike.
            Some(base) => int_of_text(text, u32::try_from(base).unwrap_or(1)),
            None => Err(fail::type_error("an integer is required")),
        },
        value => to_int(environment.meter, value),
    };
    let error = match first {
        Ok(number) => return Ok(Value::Int(number)),
        Err(error) => error,
    };
    if !matches!(error.kind(), ErrorKind::TypeError | ErrorKind::ValueError) {
        return Err(error);
    }
    // So `"42.23"|int` is 42.
    match to_float(environment.meter, &value).and_then(|number| truncated(environment, number)) {
        Ok(number) => Ok(Value::Int(number)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::TypeError | ErrorKind::ValueError | ErrorKind::OverflowError
            ) =>
        {
            Ok(default.unwrap_or(Value::Int(0)))
        }
        Err(error) => Err(error),
    }
}

/// `do_float`
pub(super) fn float(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, default] = bind(args, "do_float", 0, 1, ["value", "default"])?;
    match to_float(environment.meter, &given(value)) {
        Ok(number) => Ok(Value::Float(number)),
        Err(error) if matches!(error.kind(), ErrorKind::TypeError | ErrorKind::ValueError) => {
            Ok(default.unwrap_or(Value::Float(0.0)))
        }
        Err(error) => Err(error),
    }
}

/// `do_sum`
pub(super) fn sum(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [iterable, attribute, start] = bind(
        args,
        "sync_do_sum",
        1,
        1,
        ["iterable", "attribute", "start"],
    )?;
    let meter = environment.meter;
    let path = match attribute.filter(|attribute| !attribute.is_none()) {
        Some(attribute) => Some(Path::new(&attribute)?),
        None => None,
    };
    let mut items = Iterate::new(meter, &given(iterable))?;
    let mut total = start.unwrap_or(Value::Int(0));
    if matches!(total, Value::Str(_)) {
        return Err(fail::type_error(
            "sum() can't sum strings [use ''.join(seq) instead]",
        ));
    }
    while let Some(item) = items.next(meter)? {
        meter.step(1)?;
        let item = match &path {
            Some(path) => path.get(environment, &item)?,
            None => item,
        };
        total = binary(meter, Binary::Add, &total, &item)?;
    }
    Ok(total)
}

/// `do_round`
pub(super) fn round(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, precision, method] =
        bind(args, "do_round", 0, 1, ["value", "precision", "method"])?;
    let (value, precision) = (given(value), precision.unwrap_or(Value::Int(0)));
    let method = match &method {
        None => "common",
        Some(method) => match method.as_str() {
            Some(method @ ("common" | "ceil" | "floor")) => method,
            _ => {
                return Err(fail::filter_argument(
                    "method must be common, ceil or floor",
                ));
            }
        },
    };
    if method == "common" {
        return rounded(environment, &value, &precision);
    }
    let meter = environment.meter;
    let scale = binary(meter, Binary::Pow, &Value::Int(10), &precision)?;
    let whole = match binary(meter, Binary::Mul, &value, &scale)? {
        Value::Float(number) => truncated(
            environment,
            if method == "ceil" {
                number.ceil()
            } else {
                number.floor()
            },
        )?,
        other => other.as_int().ok_or_else(|| {
            fail::type_error(format!("must be real number, not {}", other.type_name()))
        })?,
    };
    binary(meter, Binary::TrueDiv, &Value::Int(whole), &scale)
}

/// `round(value, precision)`
fn rounded(
    environment: &Environment<'_>,
    value: &Value,
    precision: &Value,
) -> Result<Value, Error> {
    if value.as_int().is_none() && !matches!(value, Value::Float(_)) {
        return Err(fail::type_error(format!(
            "type {} doesn't define __round__ method",
            value.type_name()
        )));
    }
    let places = if precision.is_none() {
        None
    } else {
        Some(integer(Some(precision), 0)?)
    };
    match value {
        Value::Float(number) => match places {
            None => {
                // Half to even.
                let text = format!("{number:.0}");
                truncated(environment, text.parse().unwrap_or(*number)).map(Value::Int)
            }
            Some(places) => Ok(Value::Float(round_float(*number, places)?)),
        },
        value => {
            let number = value.as_int().expect("tested before");
            match places {
                Some(places) if places < 0 => round_integer(number, places).map(Value::Int),
                _ => Ok(Value::Int(number)),
            }
        }
    }
}

/// To a number of decimal places, half to even of the exact value, as Python.
fn round_float(number: f64, places: i128) -> Result<f64, Error> {
    if !number.is_finite() || places > 400 {
        return Ok(number);
    }
    if places < -308 {
        return Ok(0.0 * number);
    }
    if let Ok(places) = usize::try_from(places) {
        return Ok(format!("{number:.places$}")
            .parse()
            .expect("a number was printed"));
    }
    // Digits before the point go: those that stay, and the exact rest for the rounding.
    let drop = usize::try_from(-places).expect("between 1 and 308");
    let exact = format!("{:.1074}", number.abs());
    let (whole, fraction) = exact.split_once('.').expect("digits were asked for");
    let padded = format!("{whole:0>width$}", width = drop + 1);
    let (kept, dropped) = padded.split_at(padded.len() - drop);
    let rest: String = dropped.chars().chain(fraction.chars()).collect();
    let half = format!("5{}", "0".repeat(rest.len() - 1));
    let odd = kept.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let up = rest > half || (rest == half && odd);
    let mut digits: Vec<u8> = kept.bytes().collect();
    if up {
        let nines = digits
            .iter()
            .rev()
            .take_while(|digit| **digit == b'9')
            .count();
        let keep = digits.len() - nines;
        digits[keep..].fill(b'0');
        match keep.checked_sub(1) {
            Some(last) => digits[last] += 1,
            None => digits.insert(0, b'1'),
        }
    }
    let text: String = digits
        .into_iter()
        .map(char::from)
        .chain(std::iter::repeat_n('0', drop))
        .collect();
    let result: f64 = text.parse().expect("digits were written");
    if result.is_infinite() {
        return Err(Error::new(
            ErrorKind::OverflowError,
            "rounded value too large to represent",
        ));
    }
    Ok(result.copysign(number))
}

/// To tens, hundreds, …; half to even.
fn round_integer(number: i128, places: i128) -> Result<i128, Error> {
    let power = u32::try_from(-places)
        .ok()
        .and_then(|places| 10_i128.checked_pow(places));
    let Some(power) = power else { return Ok(0) };
    let low = number.rem_euclid(power);
    let down = number - low;
    let twice = low.checked_mul(2).ok_or_else(too_large)?;
    let up = twice > power || (twice == power && (down / power) % 2 != 0);
    if up {
        down.checked_add(power).ok_or_else(too_large)
    } else {
        Ok(down)
    }
}

/// `do_filesizeformat`
pub(super) fn filesizeformat(environment: &Environment<'_>, args: Args) -> Result<Value, Error> {
    let [value, binary] = bind(args, "do_filesizeformat", 0, 1, ["value", "binary"])?;
    let bytes = to_float(environment.meter, &given(value))?;
    let binary = flag(binary.as_ref(), false);
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    #[allow(clippy::float_cmp, reason = "Python compares exactly here")]
    let text = if bytes == 1.0 {
        "1 Byte".to_owned()
    } else if bytes < base {
        format!("{} Bytes", truncated(environment, bytes)?)
    } else {
        let mut unit = base;
        let mut letter = 'Y';
        for next in ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'] {
            unit *= base;
            letter = next;
            if bytes < unit {
                break;
            }
        }
        let letter = if binary {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        let i = if binary { "i" } else { "" };
        format!("{:.1} {letter}{i}B", base * bytes / unit)
    };
    Value::str(environment.meter, text)
}
