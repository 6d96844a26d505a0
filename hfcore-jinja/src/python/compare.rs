//! Equality, hashes and order.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use super::dict::{Dict, View, ViewKind};
use super::error::{Error, type_error};
use super::meter::Meter;
use super::sequence::Range;
use super::value::Value;

/// A comparison that orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Order {
    fn symbol(self) -> &'static str {
        match self {
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// `a == b`.
///
/// # Errors
/// A limit of the meter.
pub fn equals(meter: &Meter, a: &Value, b: &Value) -> Result<bool, Error> {
    if let Some(ordering) = numbers(a, b) {
        return Ok(ordering == Some(Ordering::Equal));
    }
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => {
            meter.work(a.len().min(b.len()))?;
            a.as_str() == b.as_str()
        }
        (Value::List(a), Value::List(b)) => a.same(b) || all_equal(meter, a.items(), b.items())?,
        (Value::Tuple(a), Value::Tuple(b)) => a.same(b) || all_equal(meter, a.items(), b.items())?,
        (Value::Dict(a), Value::Dict(b)) => a.same(b) || dicts_equal(meter, a, b)?,
        (Value::Range(a), Value::Range(b)) => ranges_equal(a, b),
        (Value::View(a), Value::View(b)) => views_equal(meter, a, b)?,
        (Value::Iter(a), Value::Iter(b)) => a.same(b),
        (Value::Object(a), Value::Object(_)) => same_object(a, b) || a.equals(b),
        _ => false,
    })
}

fn same_object(a: &Arc<dyn super::object::Object>, b: &Value) -> bool {
    match b {
        Value::Object(b) => std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b)),
        _ => false,
    }
}

/// `a is b`, as far as it can be told: equal small values of one type are one object.
#[must_use]
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Str(a), Value::Str(b)) => {
            a.is_markup() == b.is_markup() && std::ptr::eq(a.as_str(), b.as_str())
        }
        (Value::List(a), Value::List(b)) => a.same(b),
        (Value::Tuple(a), Value::Tuple(b)) => a.same(b),
        (Value::Dict(a), Value::Dict(b)) => a.same(b),
        (Value::Iter(a), Value::Iter(b)) => a.same(b),
        (Value::Object(a), b) => same_object(a, b),
        _ => false,
    }
}

fn all_equal(meter: &Meter, a: &[Value], b: &[Value]) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        meter.step(1)?;
        if !equals(meter, a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn dicts_equal(meter: &Meter, a: &Dict, b: &Dict) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, value) in a.iter() {
        meter.step(1)?;
        match b.get(meter, key)? {
            Some(other) if equals(meter, value, other)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn ranges_equal(a: &Range, b: &Range) -> bool {
    a.length() == b.length()
        && (a.length() == 0 || a.start() == b.start())
        && (a.length() < 2 || a.step() == b.step())
}

fn views_equal(meter: &Meter, a: &View, b: &View) -> Result<bool, Error> {
    if a.kind() != b.kind() {
        // As sets; keys are equal to items where both are empty.
        let sets = a.kind() != ViewKind::Values && b.kind() != ViewKind::Values;
        return Ok(sets && a.dict().is_empty() && b.dict().is_empty());
    }
    Ok(match a.kind() {
        ViewKind::Values => false,
        ViewKind::Items => dicts_equal(meter, a.dict(), b.dict())?,
        ViewKind::Keys => {
            if a.dict().len() != b.dict().len() {
                return Ok(false);
            }
            for (key, _) in a.dict().iter() {
                if b.dict().get(meter, key)?.is_none() {
                    return Ok(false);
                }
            }
            true
        }
    })
}

/// The order of two numbers; the inner `None` is a NaN, the outer one says that they are not both numbers.
fn numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    let (a, b) = match (a, b) {
        (Value::Float(a), Value::Float(b)) => return Some(a.partial_cmp(b)),
        (Value::Float(a), b) => {
            return Some(int_and_float(b.as_int()?, *a).map(Ordering::reverse));
        }
        (a, Value::Float(b)) => return Some(int_and_float(a.as_int()?, *b)),
        (a, b) => (a.as_int()?, b.as_int()?),
    };
    Some(Some(a.cmp(&b)))
}

/// The order of an integer and a float, exactly.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the float's whole part is within 128 bits where it is cast"
)]
fn int_and_float(a: i128, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    // 2^127, which no i128 reaches.
    let bound = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if b >= bound {
        return Some(Ordering::Less);
    }
    if b < -bound {
        return Some(Ordering::Greater);
    }
    let whole = b.trunc();
    let fraction = b - whole;
    Some(a.cmp(&(whole as i128)).then(if fraction > 0.0 {
        Ordering::Less
    } else if fraction < 0.0 {
        Ordering::Greater
    } else {
        Ordering::Equal
    }))
}

/// `a < b` and its kin.
///
/// # Errors
/// `TypeError` for types that have no order; `UndefinedError`; a limit of the meter.
pub fn compare(meter: &Meter, order: Order, a: &Value, b: &Value) -> Result<bool, Error> {
    if let Some(ordering) = numbers(a, b) {
        return Ok(ordering.is_some_and(|ordering| order.holds(ordering)));
    }
    if let Value::Undefined(undefined) = a {
        return Err(undefined.error(meter));
    }
    if let Value::Undefined(undefined) = b {
        return Err(undefined.error(meter));
    }
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => {
            meter.work(a.len().min(b.len()))?;
            // UTF-8 keeps the order of code points.
            Ok(order.holds(a.as_str().cmp(b.as_str())))
        }
        (Value::List(a), Value::List(b)) => sequences(meter, order, a.items(), b.items()),
        (Value::Tuple(a), Value::Tuple(b)) => sequences(meter, order, a.items(), b.items()),
        (Value::View(a), Value::View(b))
            if a.kind() != ViewKind::Values && b.kind() != ViewKind::Values =>
        {
            subsets(meter, order, a, b)
        }
        _ => Err(type_error(format!(
            "'{}' not supported between instances of '{}' and '{}'",
            order.symbol(),
            a.type_name(),
            b.type_name()
        ))),
    }
}

fn sequences(meter: &Meter, order: Order, a: &[Value], b: &[Value]) -> Result<bool, Error> {
    for (a, b) in a.iter().zip(b) {
        meter.step(1)?;
        if !equals(meter, a, b)? {
            return compare(meter, order, a, b);
        }
    }
    Ok(order.holds(a.len().cmp(&b.len())))
}

/// Dict views are ordered as sets are.
fn subsets(meter: &Meter, order: Order, a: &View, b: &View) -> Result<bool, Error> {
    let (small, big, strict) = match order {
        Order::Lt => (a, b, true),
        Order::Le => (a, b, false),
        Order::Gt => (b, a, true),
        Order::Ge => (b, a, false),
    };
    let (few, many) = (small.dict().len(), big.dict().len());
    if few > many || (strict && few == many) {
        return Ok(false);
    }
    for index in 0..few {
        meter.step(1)?;
        let item = small.get(meter, index)?.unwrap_or(Value::None);
        if !super::index::view_contains(meter, big, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The key of this process's hashes: a template cannot know it, so it cannot make keys collide.
fn state() -> &'static RandomState {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new)
}

/// The hash of a string.
pub(super) fn hash_str(text: &str) -> u64 {
    state().hash_one((0_u8, text))
}

/// `hash(value)`: equal values have equal hashes.
///
/// # Errors
/// `TypeError` for types that have none; a limit of the meter.
pub fn hash(meter: &Meter, value: &Value) -> Result<u64, Error> {
    let state = state();
    Ok(match value {
        Value::Str(text) => {
            meter.work(text.len())?;
            hash_str(text)
        }
        Value::Bool(value) => state.hash_one((1_u8, i128::from(*value))),
        Value::Int(value) => match float_twin(*value) {
            // Integers that are floats too hash as the float does.
            Some(value) => state.hash_one((1_u8, value)),
            None => state.hash_one((2_u8, value)),
        },
        Value::Float(value) => match int_twin(*value) {
            Some(value) => state.hash_one((1_u8, value)),
            None => state.hash_one((3_u8, value.to_bits())),
        },
        Value::None => state.hash_one(4_u8),
        Value::Undefined(_) => state.hash_one(5_u8),
        Value::Tuple(tuple) => {
            let mut hashes = Vec::with_capacity(tuple.items().len());
            for item in tuple.items() {
                meter.step(1)?;
                hashes.push(hash(meter, item)?);
            }
            state.hash_one((6_u8, hashes))
        }
        Value::Range(range) => state.hash_one((7_u8, range.length())),
        Value::Iter(_) => state.hash_one(8_u8),
        Value::Object(_) => state.hash_one(9_u8),
        Value::View(view) if view.kind() == ViewKind::Values => state.hash_one(10_u8),
        Value::List(_) | Value::Dict(_) | Value::View(_) => {
            return Err(type_error(format!(
                "unhashable type: '{}'",
                value.type_name()
            )));
        }
    })
}

/// The integer itself if a float can equal it.
fn float_twin(value: i128) -> Option<i128> {
    let zeros = value.trailing_zeros().min(127);
    let bits = 128 - value.unsigned_abs().leading_zeros();
    (value == 0 || bits - zeros <= 53).then_some(value)
}

/// The integer that a float equals.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the value is a whole number within 128 bits"
)]
fn int_twin(value: f64) -> Option<i128> {
    let bound = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    (value.trunc() == value && value >= -bound && value < bound).then_some(value as i128)
}
