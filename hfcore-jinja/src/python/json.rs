//! `json.dumps` as transformers' `tojson` calls it, and values out of and into [`serde_json::Value`].

use super::dict::{Dict, DictBuilder, key};
use super::error::{Error, type_error, unsupported, value_error};
use super::iterate::collect;
use super::meter::{Limits, Meter, Text};
use super::operator::{Binary, binary};
use super::repr::float as float_repr;
use super::sequence::List;
use super::sort::sort_by_key;
use super::text::Str;
use super::value::Value;

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    between: String,
    colon: String,
    sort_keys: bool,
}

/// `json.dumps(value, ensure_ascii, indent, separators, sort_keys)`, with Python's defaults for `None`.
///
/// # Errors
/// `TypeError` for values and keys that JSON does not have; a limit of the meter.
pub fn dumps(
    meter: &Meter,
    value: &Value,
    ensure_ascii: bool,
    indent: &Value,
    separators: &Value,
    sort_keys: bool,
) -> Result<Value, Error> {
    let indent = match indent {
        Value::None => None,
        Value::Str(text) => Some(text.as_str().to_owned()),
        // `' ' * indent`, errors included.
        other => {
            let space = Value::Str(Str::constant(" "));
            let spaces = binary(meter, Binary::Mul, &space, other)?;
            Some(spaces.as_str().unwrap_or_default().to_owned())
        }
    };
    let (between, colon) = match separators {
        Value::None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        Value::None => (", ".to_owned(), ": ".to_owned()),
        pair => {
            let pair = collect(meter, pair).map_err(|error| match pair {
                Value::Bool(_) | Value::Int(_) | Value::Float(_) => type_error(format!(
                    "cannot unpack non-iterable {} object",
                    pair.type_name()
                )),
                _ => error,
            })?;
            let [between, colon] = &pair[..] else {
                return Err(value_error(if pair.len() > 2 {
                    "too many values to unpack (expected 2)".to_owned()
                } else {
                    format!(
                        "not enough values to unpack (expected 2, got {})",
                        pair.len()
                    )
                }));
            };
            let text = |value: &Value, place: u32| match value.as_str() {
                Some(text) => Ok(text.to_owned()),
                None => Err(type_error(format!(
                    "make_encoder() argument {place} must be str, not {}",
                    value.type_name()
                ))),
            };
            let colon = text(colon, 5)?;
            (text(between, 6)?, colon)
        }
    };
    let style = Style {
        ensure_ascii,
        indent,
        between,
        colon,
        sort_keys,
    };
    let mut out = meter.text();
    style.write(meter, value, 0, &mut out)?;
    out.finish().map(Value::Str)
}

impl Style {
    fn write(
        &self,
        meter: &Meter,
        value: &Value,
        depth: usize,
        out: &mut Text<'_>,
    ) -> Result<(), Error> {
        meter.step(1)?;
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&json_float(*number)),
            Value::Str(text) => self.string(text, out),
            Value::List(list) => self.array(meter, list.items(), depth, out),
            Value::Tuple(tuple) => self.array(meter, tuple.items(), depth, out),
            Value::Dict(dict) => self.object(meter, dict, depth, out),
            other => Err(type_error(format!(
                "Object of type {} is not JSON serializable",
                other.type_name()
            ))),
        }
    }

    fn new_line(&self, depth: usize, out: &mut Text<'_>) -> Result<(), Error> {
        if let Some(indent) = &self.indent {
            out.push('\n')?;
            for _ in 0..depth {
                out.push_str(indent)?;
            }
        }
        Ok(())
    }

    fn array(
        &self,
        meter: &Meter,
        items: &[Value],
        depth: usize,
        out: &mut Text<'_>,
    ) -> Result<(), Error> {
        if items.is_empty() {
            return out.push_str("[]");
        }
        out.push('[')?;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push_str(&self.between)?;
            }
            self.new_line(depth + 1, out)?;
            self.write(meter, item, depth + 1, out)?;
        }
        self.new_line(depth, out)?;
        out.push(']')
    }

    fn object(
        &self,
        meter: &Meter,
        dict: &Dict,
        depth: usize,
        out: &mut Text<'_>,
    ) -> Result<(), Error> {
        if dict.is_empty() {
            return out.push_str("{}");
        }
        meter.check_items(dict.len())?;
        let mut entries: Vec<(Value, &Value)> = dict
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect();
        if self.sort_keys {
            entries = sort_by_key(meter, entries, false)?;
        }
        out.push('{')?;
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if at > 0 {
                out.push_str(&self.between)?;
            }
            self.new_line(depth + 1, out)?;
            match &key {
                Value::Str(text) => self.string(text, out)?,
                Value::None => out.push_str("\"null\"")?,
                Value::Bool(true) => out.push_str("\"true\"")?,
                Value::Bool(false) => out.push_str("\"false\"")?,
                Value::Int(number) => out.push_str(&format!("\"{number}\""))?,
                Value::Float(number) => out.push_str(&format!("\"{}\"", json_float(*number)))?,
                other => {
                    return Err(type_error(format!(
                        "keys must be str, int, float, bool or None, not {}",
                        other.type_name()
                    )));
                }
            }
            out.push_str(&self.colon)?;
            self.write(meter, value, depth + 1, out)?;
        }
        self.new_line(depth, out)?;
        out.push('}')
    }

    fn string(&self, text: &str, out: &mut Text<'_>) -> Result<(), Error> {
        out.push('"')?;
        let mut rest = text;
        let special = |c: char| {
            matches!(c, '"' | '\\' | '\0'..='\u{1f}')
                || (self.ensure_ascii && !matches!(c, ' '..='~'))
        };
        while let Some(at) = rest.find(special) {
            out.push_str(&rest[..at])?;
            let c = rest[at..]
                .chars()
                .next()
                .expect("find gave the place of one");
            match c {
                '"' => out.push_str("\\\"")?,
                '\\' => out.push_str("\\\\")?,
                '\n' => out.push_str("\\n")?,
                '\r' => out.push_str("\\r")?,
                '\t' => out.push_str("\\t")?,
                '\u{8}' => out.push_str("\\b")?,
                '\u{c}' => out.push_str("\\f")?,
                c => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"))?;
                    }
                }
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.push_str(rest)?;
        out.push('"')
    }
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        float_repr(value)
    }
}

/// A value of the caller's JSON; its strings and containers are not charged to a render.
///
/// # Errors
/// Nesting deeper than [`MAX_DEPTH`](super::MAX_DEPTH); a number that is neither of 128 bits nor a float.
pub fn from_json(json: &serde_json::Value) -> Result<Value, Error> {
    let free = Meter::new(Limits {
        steps: u64::MAX,
        memory: usize::MAX,
        output: usize::MAX,
    });
    read(&free, json)
}

fn read(free: &Meter, json: &serde_json::Value) -> Result<Value, Error> {
    Ok(match json {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::String(text) => Value::Str(Str::constant(text.as_str())),
        serde_json::Value::Number(number) => number_of(number)?,
        serde_json::Value::Array(items) => {
            let items: Result<Vec<Value>, Error> =
                items.iter().map(|item| read(free, item)).collect();
            Value::List(List::constant(items?)?)
        }
        serde_json::Value::Object(entries) => {
            let mut dict = DictBuilder::new(free);
            for (name, value) in entries {
                dict.insert(key(name), read(free, value)?)?;
            }
            Value::Dict(dict.finish_constant())
        }
    })
}

fn number_of(number: &serde_json::Number) -> Result<Value, Error> {
    if let Some(value) = number.as_i64() {
        return Ok(Value::from(value));
    }
    if let Some(value) = number.as_u64() {
        return Ok(Value::Int(i128::from(value)));
    }
    let text = number.to_string();
    if let Ok(value) = text.parse() {
        return Ok(Value::Int(value));
    }
    number
        .as_f64()
        .map(Value::Float)
        .ok_or_else(|| unsupported(format!("the number {text} of the input")))
}

/// A value as JSON, keys as `json.dumps` writes them.
///
/// # Errors
/// As [`dumps`]; `ValueError` for a float that JSON does not have, [`ErrorKind::Unsupported`](super::ErrorKind) for an
/// integer beyond 64 bits.
pub fn to_json(meter: &Meter, value: &Value) -> Result<serde_json::Value, Error> {
    let text = dumps(meter, value, false, &Value::None, &Value::None, false)?;
    serde_json::from_str(text.as_str().unwrap_or_default())
        .map_err(|error| value_error(format!("not JSON: {error}")))
}
