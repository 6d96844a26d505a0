//! Methods of `int` and `float`.

use super::super::error::{Error, ErrorKind, unsupported};
use super::super::meter::Meter;
use super::super::value::Value;
use super::{Args, positional};

pub(super) fn call(
    meter: &Meter,
    receiver: &Value,
    name: &str,
    args: Args,
) -> Result<Value, Error> {
    let qualified = format!("{}.{name}", receiver.type_name());
    if matches!(name, "from_bytes" | "to_bytes" | "fromhex" | "hex") {
        return Err(unsupported(format!("{qualified}() in a template")));
    }
    positional(name, &qualified, args, 0, 0)?;
    match (receiver.as_int(), receiver) {
        (Some(value), _) => match name {
            "bit_length" => Ok(Value::Int(i128::from(
                128 - value.unsigned_abs().leading_zeros(),
            ))),
            "bit_count" => Ok(Value::Int(i128::from(value.unsigned_abs().count_ones()))),
            "as_integer_ratio" => Value::tuple(meter, vec![Value::Int(value), Value::Int(1)]),
            _ => Ok(Value::Int(value)),
        },
        (None, Value::Float(value)) => match name {
            "is_integer" => Ok(Value::Bool(value.is_finite() && value.fract() == 0.0)),
            "as_integer_ratio" => ratio(meter, *value),
            _ => Ok(Value::Float(*value)),
        },
        _ => Err(unsupported(format!("{qualified}() in a template"))),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a whole number below 2^53 after the scaling"
)]
fn ratio(meter: &Meter, value: f64) -> Result<Value, Error> {
    if value.is_nan() {
        return Err(Error::new(
            ErrorKind::ValueError,
            "cannot convert NaN to integer ratio",
        ));
    }
    if value.is_infinite() {
        return Err(Error::new(
            ErrorKind::OverflowError,
            "cannot convert Infinity to integer ratio",
        ));
    }
    let (mut top, mut bottom) = (value, 1_i128);
    while top.fract() != 0.0 {
        top *= 2.0;
        bottom = bottom
            .checked_mul(2)
            .ok_or_else(|| unsupported("an integer beyond 128 bits; Python's have no bound"))?;
    }
    if top.abs() >= 2.0_f64.powi(127) {
        return Err(unsupported(
            "an integer beyond 128 bits; Python's have no bound",
        ));
    }
    Value::tuple(meter, vec![Value::Int(top as i128), Value::Int(bottom)])
}
