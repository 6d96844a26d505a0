//! JSON as model folders have it: what Python's `json` writes, within limits.
//!
//! Differences from `serde_json::from_slice`:
//! - `NaN`, `Infinity`, `-Infinity` (Python writes them) and numbers beyond f64 (`1e400`) become the object
//!   `{"__float__": "NaN"}`, which is how transformers 5 itself writes them: every reader then refuses them by key.
//! - A key given twice with two different values is an error; Python would silently take the last, other readers
//!   the first, and what a scanner approved would not be what runs. Twice the same value is accepted.
//! - At most [`MAX_JSON_BYTES`] bytes and [`MAX_JSON_VALUES`] values (a list of small numbers takes some 16 times its
//!   text in memory), nested at most 127 deep (`serde_json`'s own limit).
//! - A byte-order mark is skipped.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::ConfigError;

/// The largest configuration file that is parsed: 16 MiB. Real ones have at most a few hundred KiB.
pub const MAX_JSON_BYTES: usize = 16 << 20;

/// The most values (numbers, strings, lists, objects, …) in one configuration file.
pub const MAX_JSON_VALUES: usize = 1 << 20;

const FLOAT_TAG: &str = "__float__";

/// Parses `bytes`, the contents of `file`, whose root must be an object.
pub(crate) fn parse_object(
    file: &'static str,
    bytes: &[u8],
) -> Result<Map<String, Value>, ConfigError> {
    if bytes.len() > MAX_JSON_BYTES {
        return Err(ConfigError::TooLarge {
            file,
            bytes: bytes.len(),
            limit: MAX_JSON_BYTES,
        });
    }
    let json = |message: String| ConfigError::Json { file, message };
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| json(error.to_string()))?;
    // The text is rewritten only where it must be, so that lines and columns in messages are the file's own.
    let value = match parse(text) {
        Ok(value) => value,
        Err(error) => match tag_python_floats(text) {
            Some(tagged) => parse(&tagged).map_err(|error| json(error.to_string()))?,
            None => return Err(json(error.to_string())),
        },
    };
    match value {
        Value::Object(map) if tagged_float_in(&map).is_none() => Ok(map),
        other => Err(json(format!(
            "the root must be an object, found {}",
            crate::error::found(&other)
        ))),
    }
}

fn parse(text: &str) -> serde_json::Result<Value> {
    let values = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict(&values).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The number that `{"__float__": …}` stands for.
pub(crate) fn tagged_float(value: &Value) -> Option<f64> {
    tagged_float_in(value.as_object()?)
}

fn tagged_float_in(object: &Map<String, Value>) -> Option<f64> {
    if object.len() != 1 {
        return None;
    }
    match object.get(FLOAT_TAG)?.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// An object, but not one that stands for a float.
pub(crate) fn object(value: &Value) -> Option<&Map<String, Value>> {
    value
        .as_object()
        .filter(|map| tagged_float_in(map).is_none())
}

/// A JSON number as f64, also the tagged ones.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| tagged_float(value))
}

/// A whole number, also where it is written as a float (`4096.0`, `1e5`).
pub(crate) fn integer(value: &Value) -> Option<i128> {
    if let Some(n) = value.as_u64() {
        return Some(i128::from(n));
    }
    if let Some(n) = value.as_i64() {
        return Some(i128::from(n));
    }
    let float = value.as_f64()?;
    // Beyond 2^100 it is out of every range; the cast would be exact there too, but the number would not fit.
    let whole = float.fract() == 0.0 && float.abs() < 2f64.powi(100);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "integral and below 2^100: exact"
    )]
    whole.then_some(float as i128)
}

/// Replaces, outside strings, Python's float words and overflowing numbers by their tagged form. `None`: nothing to
/// replace.
fn tag_python_floats(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                let start = at;
                while at < bytes.len()
                    && matches!(bytes[at], b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                {
                    at += 1;
                }
                let word = &text[start..at];
                let tag = match word {
                    "NaN" | "Infinity" | "-Infinity" => Some(word),
                    _ if word.ends_with(|c: char| c.is_ascii_digit()) => {
                        match word.parse::<f64>() {
                            Ok(float) if float == f64::INFINITY => Some("Infinity"),
                            Ok(float) if float == f64::NEG_INFINITY => Some("-Infinity"),
                            _ => None,
                        }
                    }
                    _ => None,
                };
                if let Some(tag) = tag {
                    out.push_str(&text[copied..start]);
                    out.push_str(&format!("{{\"{FLOAT_TAG}\":\"{tag}\"}}"));
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// Builds a [`Value`], counting values and comparing repeated keys.
#[derive(Clone, Copy)]
struct Strict<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.set(self.0.get() + 1);
        if self.0.get() > MAX_JSON_VALUES {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_JSON_VALUES} values"
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            match map.get(&key) {
                Some(before) if *before != value => {
                    let shown: String = key.chars().take(60).collect();
                    return Err(A::Error::custom(format_args!(
                        "the key {shown:?} is given twice, with different values"
                    )));
                }
                _ => map.insert(key, value),
            };
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        parse_object("config.json", text.as_bytes())
            .map(Value::Object)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn python_floats_are_tagged_outside_strings_only() {
        let value = read(
            r#"{"a": NaN, "b": [-Infinity, 1e400, -1e999], "c": "NaN \" Infinity", "d": 1.5}"#,
        );
        assert_eq!(
            value.unwrap(),
            json!({
                "a": {"__float__": "NaN"},
                "b": [{"__float__": "-Infinity"}, {"__float__": "Infinity"}, {"__float__": "-Infinity"}],
                "c": "NaN \" Infinity",
                "d": 1.5,
            })
        );
    }

    #[test]
    fn whole_numbers_in_any_spelling() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("4096.0", Some(4096)),
            ("1e5", Some(100_000)),
            ("-1", Some(-1)),
            ("18446744073709551616", Some(1i128 << 64)),
            ("0.5", None),
            ("true", None),
            ("\"4096\"", None),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(integer(&value), expected, "{text}");
        }
    }

    #[test]
    fn repeated_keys() {
        assert_eq!(read(r#"{"a": 1, "a": 1}"#).unwrap(), json!({"a": 1}));
        let message = read(r#"{"x": {"a": 1, "a": 2}}"#).unwrap_err();
        assert!(
            message.contains("the key \"a\" is given twice"),
            "{message}"
        );
    }

    #[test]
    fn limits() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).unwrap_err().contains("recursion limit"));
        let wide = format!("{{\"a\": [{}0]}}", "0,".repeat(MAX_JSON_VALUES));
        assert!(
            read(&wide)
                .unwrap_err()
                .contains("more than 1048576 values")
        );
        let large = vec![b' '; MAX_JSON_BYTES + 1];
        let message = parse_object("config.json", &large).unwrap_err().to_string();
        assert!(
            message.contains("16777217") && message.contains("16777216"),
            "{message}"
        );
    }

    #[test]
    fn not_an_object_not_json_and_a_byte_order_mark() {
        assert!(
            read("[1]")
                .unwrap_err()
                .contains("must be an object, found [1]")
        );
        assert!(read("{\"a\": }").unwrap_err().contains("line 1 column 7"));
        assert!(read("{\"a\": \"\\ud800\"}").is_err());
        assert!(parse_object("config.json", b"{\"a\": \"\xFF\"}").is_err());
        assert_eq!(read("\u{feff}{}").unwrap(), json!({}));
        for text in [
            "",
            "{",
            "{\"a\": \"\\",
            "{\"a\": NaN",
            "NaN",
            "\"",
            "{\"a\": 1}x",
            "{\"a\": nan}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
