//! Arithmetic: `+ - * / // % **` and the signs.

use super::dict::ViewKind;
use super::error::{Error, ErrorKind, type_error, unsupported};
use super::escape::escape;
use super::meter::Meter;
use super::percent;
use super::value::Value;

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    TrueDiv,
    /// `//`
    FloorDiv,
    /// `%`
    Mod,
    /// `**`
    Pow,
}

impl Binary {
    /// As it is written, and as `TypeError` names it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::TrueDiv => "/",
            Self::FloorDiv => "//",
            Self::Mod => "%",
            Self::Pow => "** or pow()",
        }
    }
}

/// `a op b`.
///
/// # Errors
/// What Python raises; [`ErrorKind::Unsupported`] for integers beyond 128 bits and complex results; a limit of the
/// meter.
pub fn binary(meter: &Meter, op: Binary, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return integers(op, x, y);
    }
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return floats(op, x.float(), y.float()).map(Value::Float);
    }
    if let Value::Undefined(undefined) = a {
        return Err(undefined.error(meter));
    }
    match (op, a, b) {
        (Binary::Mod, Value::Str(format), _) => return percent::format(meter, format, b),
        (_, _, Value::Undefined(undefined)) => return Err(undefined.error(meter)),
        (Binary::Add, _, _) => return add(meter, a, b),
        (Binary::Sub, Value::View(view), _) | (Binary::Sub, _, Value::View(view))
            if view.kind() != ViewKind::Values =>
        {
            return Err(unsupported("a set: the difference of dict views"));
        }
        (Binary::Mul, _, _) => {
            if let Some(product) = repeated(meter, a, b)? {
                return Ok(product);
            }
        }
        _ => {}
    }
    Err(no_operator(op, a, b))
}

fn no_operator(op: Binary, a: &Value, b: &Value) -> Error {
    type_error(format!(
        "unsupported operand type(s) for {}: '{}' and '{}'",
        op.symbol(),
        a.type_name(),
        b.type_name()
    ))
}

fn add(meter: &Meter, a: &Value, b: &Value) -> Result<Value, Error> {
    let other = |name: &str| {
        type_error(format!(
            "can only concatenate {name} (not \"{}\") to {name}",
            b.type_name()
        ))
    };
    match (a, b) {
        (Value::Str(x), Value::Str(y)) => {
            let markup = x.is_markup() || y.is_markup();
            if !markup {
                meter.check(x.len().saturating_add(y.len()))?;
                return Value::str(meter, [x.as_str(), y.as_str()].concat());
            }
            let (x, y) = (escape(meter, a)?, escape(meter, b)?);
            let mut out = meter.text();
            out.push_str(&x)?;
            out.push_str(&y)?;
            Ok(Value::Str(out.finish()?.with_markup(true)))
        }
        (Value::List(x), Value::List(y)) => {
            Value::list(meter, joined(meter, x.items(), y.items())?)
        }
        (Value::Tuple(x), Value::Tuple(y)) => {
            Value::tuple(meter, joined(meter, x.items(), y.items())?)
        }
        // Markup's own `+` leaves the complaint to the interpreter.
        (Value::Str(text), _) if text.is_markup() => Err(no_operator(Binary::Add, a, b)),
        (Value::Str(_), _) => Err(other("str")),
        (Value::List(_), _) => Err(other("list")),
        (Value::Tuple(_), _) => Err(other("tuple")),
        _ => Err(no_operator(Binary::Add, a, b)),
    }
}

fn joined(meter: &Meter, a: &[Value], b: &[Value]) -> Result<Vec<Value>, Error> {
    meter.check_items(a.len().saturating_add(b.len()))?;
    Ok([a, b].concat())
}

fn repeated(meter: &Meter, a: &Value, b: &Value) -> Result<Option<Value>, Error> {
    let is_sequence =
        |value: &Value| matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_));
    let (sequence, count) = match (is_sequence(a), is_sequence(b)) {
        (true, _) => (a, b),
        (false, true) => (b, a),
        (false, false) => return Ok(None),
    };
    let is_markup = |value: &Value| matches!(value, Value::Str(text) if text.is_markup());
    let Some(count) = count.as_int() else {
        // Markup's own `*` asks for an index instead.
        let other = if is_markup(a) { b } else { a };
        if is_markup(a) || is_markup(b) {
            return Err(type_error(format!(
                "'{}' object cannot be interpreted as an integer",
                other.type_name()
            )));
        }
        return Err(type_error(format!(
            "can't multiply sequence by non-int of type '{}'",
            count.type_name()
        )));
    };
    if i64::try_from(count).is_err() {
        return Err(Error::new(
            ErrorKind::OverflowError,
            "cannot fit 'int' into an index-sized integer",
        ));
    }
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    let items = |items: &[Value]| -> Result<Vec<Value>, Error> {
        let length = items.len().saturating_mul(count);
        meter.check_items(length)?;
        Ok(items.iter().cloned().cycle().take(length).collect())
    };
    Ok(Some(match sequence {
        Value::Str(text) => {
            meter.check(text.len().saturating_mul(count))?;
            let repeated = super::text::Str::new(meter, text.repeat(count))?;
            Value::Str(repeated.with_markup(text.is_markup()))
        }
        Value::List(list) => Value::list(meter, items(list.items())?)?,
        Value::Tuple(tuple) => Value::tuple(meter, items(tuple.items())?)?,
        _ => return Ok(None),
    }))
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Float(value) => Some(Self::Float(*value)),
            value => value.as_int().map(Self::Int),
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "Python rounds to the nearest float too; 128 bits never overflow one"
    )]
    fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

fn beyond() -> Error {
    unsupported("an integer beyond 128 bits; Python's have no bound")
}

fn zero_division(message: &str) -> Error {
    Error::new(ErrorKind::ZeroDivisionError, message)
}

fn integers(op: Binary, a: i128, b: i128) -> Result<Value, Error> {
    let result = match op {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::TrueDiv => return true_division(a, b).map(Value::Float),
        Binary::FloorDiv if b == 0 => {
            return Err(zero_division("integer division or modulo by zero"));
        }
        Binary::Mod if b == 0 => return Err(zero_division("integer modulo by zero")),
        Binary::FloorDiv => a.checked_div(b).map(|quotient| {
            let inexact = a.wrapping_rem(b) != 0;
            quotient - i128::from(inexact && (a < 0) != (b < 0))
        }),
        Binary::Mod => {
            let rest = a.wrapping_rem(b);
            Some(if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            })
        }
        Binary::Pow if b < 0 => {
            return floats(op, Number::Int(a).float(), Number::Int(b).float()).map(Value::Float);
        }
        Binary::Pow => match (a, u32::try_from(b)) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (a, Ok(b)) => a.checked_pow(b),
            _ => None,
        },
    };
    result.map(Value::Int).ok_or_else(beyond)
}

/// The correctly rounded quotient of two integers.
#[allow(
    clippy::cast_precision_loss,
    reason = "the operands are exact below 2^53; else the quotient is rounded once, from its bits"
)]
fn true_division(a: i128, b: i128) -> Result<f64, Error> {
    if b == 0 {
        return Err(zero_division("division by zero"));
    }
    let exact = 1_u128 << 53;
    let (x, y) = (a.unsigned_abs(), b.unsigned_abs());
    let negative = (a < 0) != (b < 0);
    let magnitude = if x <= exact && y <= exact {
        x as f64 / y as f64
    } else {
        long_division(x, y)
    };
    Ok(if negative { -magnitude } else { magnitude })
}

/// A quotient by its bits: 64 of them with a sticky last one, which is then rounded once.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "this is the one rounding"
)]
fn long_division(x: u128, y: u128) -> f64 {
    let mut bits = x / y;
    let mut rest = x % y;
    let mut shift = 0_i32;
    while bits < 1 << 64 && shift < 1100 && (rest != 0 || bits == 0) {
        // rest < y < 2^128, so doubling may carry out of the word.
        let carry = rest >> 127 == 1;
        rest = rest.wrapping_shl(1);
        bits <<= 1;
        if carry || rest >= y {
            rest = rest.wrapping_sub(y);
            bits |= 1;
        }
        shift += 1;
    }
    if rest != 0 {
        bits |= 1;
    }
    bits as f64 * 2.0_f64.powi(-shift)
}

fn floats(op: Binary, a: f64, b: f64) -> Result<f64, Error> {
    Ok(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::TrueDiv if b == 0.0 => return Err(zero_division("float division by zero")),
        Binary::TrueDiv => a / b,
        Binary::FloorDiv if b == 0.0 => {
            return Err(zero_division("float floor division by zero"));
        }
        Binary::Mod if b == 0.0 => return Err(zero_division("float modulo")),
        Binary::FloorDiv => divmod(a, b).0,
        Binary::Mod => divmod(a, b).1,
        Binary::Pow => return power(a, b),
    })
}

/// `divmod` of floats: the remainder has the divisor's sign.
fn divmod(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), rest);
    }
    let floor = quotient.floor();
    let floor = if quotient - floor > 0.5 {
        floor + 1.0
    } else {
        floor
    };
    (floor, rest)
}

fn power(a: f64, b: f64) -> Result<f64, Error> {
    if a == 0.0 && b < 0.0 {
        return Err(zero_division("0.0 cannot be raised to a negative power"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(unsupported(
            "a complex number: a negative base with a fractional power",
        ));
    }
    let power = a.powf(b);
    if power.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Error::new(
            ErrorKind::OverflowError,
            "(34, 'Numerical result out of range')",
        ));
    }
    Ok(power)
}

/// `-a`.
///
/// # Errors
/// `TypeError`, `UndefinedError`; [`ErrorKind::Unsupported`] beyond 128 bits.
pub fn negative(meter: &Meter, a: &Value) -> Result<Value, Error> {
    match a {
        Value::Float(value) => Ok(Value::Float(-value)),
        _ => match unary(meter, '-', a)?.checked_neg() {
            Some(value) => Ok(Value::Int(value)),
            None => Err(beyond()),
        },
    }
}

/// `+a`.
///
/// # Errors
/// `TypeError`, `UndefinedError`.
pub fn positive(meter: &Meter, a: &Value) -> Result<Value, Error> {
    match a {
        Value::Float(value) => Ok(Value::Float(*value)),
        _ => unary(meter, '+', a).map(Value::Int),
    }
}

fn unary(meter: &Meter, sign: char, a: &Value) -> Result<i128, Error> {
    if let Value::Undefined(undefined) = a {
        return Err(undefined.error(meter));
    }
    a.as_int().ok_or_else(|| {
        type_error(format!(
            "bad operand type for unary {sign}: '{}'",
            a.type_name()
        ))
    })
}
