//! What a YAML document holds, as Python's `yaml.safe_load` has it.
//!
//! JSON is too small for it: cards have dates, infinities, `.nan` where a metric diverged, and keys that are numbers. All
//! of them survive being read and written again.

use std::fmt;

use super::float;

/// A value of a model card's front matter.
///
/// Two of them are equal if they are the same data: `.nan` equals itself, and the order of a mapping's keys counts.
#[derive(Debug, Clone, Default)]
pub enum YamlValue {
    /// `null`, `~`, or nothing at all.
    #[default]
    Null,
    /// `true`, and by YAML 1.1 also `yes` and `on`.
    Bool(bool),
    /// A whole number: decimal, `0x…`, `0b…`, octal with a leading zero, or base 60 (`1:30`).
    Int(i128),
    /// A number with a point, `.inf`, `.nan`.
    Float(f64),
    /// Text.
    String(String),
    /// A date (`2024-01-31`) or a time (`2024-01-31 12:00:00+00:00`), as Python's `isoformat(" ")` writes it.
    Timestamp(String),
    /// A list.
    Sequence(Vec<Self>),
    /// Keys and their values.
    Mapping(YamlMapping),
}

impl PartialEq for YamlValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::String(a), Self::String(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Sequence(a), Self::Sequence(b)) => a == b,
            (Self::Mapping(a), Self::Mapping(b)) => a == b,
            _ => false,
        }
    }
}

impl YamlValue {
    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one. Whole numbers above 2^53 are rounded.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "documented")]
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match self {
            Self::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&YamlMapping> {
        match self {
            Self::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What it is called in a message: `a list`, `a number` …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "text",
            Self::Timestamp(_) => "a date",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// A scalar as text, the way YAML writes it; nothing for `null`, lists and mappings.
    #[must_use]
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Null | Self::Sequence(_) | Self::Mapping(_) => None,
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Float(value) => Some(float::to_yaml(*value)),
            Self::String(text) | Self::Timestamp(text) => Some(text.clone()),
        }
    }

    /// As JSON. What JSON cannot hold becomes text, the way YAML writes it: dates, `.nan`, `.inf`, numbers beyond 64 bits,
    /// keys that are no text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => {
                let number = i64::try_from(*value).map(Value::from);
                let number = number.or_else(|_| u64::try_from(*value).map(Value::from));
                number.unwrap_or_else(|_| Value::String(value.to_string()))
            }
            Self::Float(value) => serde_json::Number::from_f64(*value)
                .map_or_else(|| Value::String(float::to_yaml(*value)), Value::Number),
            Self::String(text) | Self::Timestamp(text) => Value::String(text.clone()),
            Self::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Self::Mapping(mapping) => Value::Object(mapping.to_json()),
        }
    }
}

impl From<serde_json::Value> for YamlValue {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => number
                .as_i128()
                .map(Self::Int)
                .or_else(|| number.as_f64().map(Self::Float))
                .unwrap_or_else(|| Self::String(number.to_string())),
            Value::String(text) => Self::String(text),
            Value::Array(items) => items.into_iter().collect(),
            Value::Object(entries) => Self::Mapping(entries.into()),
        }
    }
}

impl From<&str> for YamlValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for YamlValue {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for YamlValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for YamlValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<u64> for YamlValue {
    fn from(value: u64) -> Self {
        Self::Int(value.into())
    }
}

impl From<YamlMapping> for YamlValue {
    fn from(mapping: YamlMapping) -> Self {
        Self::Mapping(mapping)
    }
}

impl<T: Into<Self>> FromIterator<T> for YamlValue {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Sequence(items.into_iter().map(Into::into).collect())
    }
}

/// Keys with their values, in the order of the file.
#[derive(Clone, Default, PartialEq)]
pub struct YamlMapping {
    /// No key occurs twice.
    entries: Vec<(YamlValue, YamlValue)>,
}

impl YamlMapping {
    /// Without entries.
    #[must_use]
    pub const fn new() -> Self {
        let entries = Vec::new();
        Self { entries }
    }

    /// Of entries whose keys the caller knows to be distinct.
    pub(in crate::card) const fn of_distinct(entries: Vec<(YamlValue, YamlValue)>) -> Self {
        Self { entries }
    }

    pub(super) fn into_entries(self) -> Vec<(YamlValue, YamlValue)> {
        self.entries
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key that is text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&YamlValue> {
        let found = self.entries.iter().find(|(k, _)| k.as_str() == Some(key));
        found.map(|(_, value)| value)
    }

    /// Gives a key its value; a new key goes to the end. Returns what it had before.
    pub fn insert(
        &mut self,
        key: impl Into<YamlValue>,
        value: impl Into<YamlValue>,
    ) -> Option<YamlValue> {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// Takes a key out, and returns what it had.
    pub fn remove(&mut self, key: &str) -> Option<YamlValue> {
        let at = self
            .entries
            .iter()
            .position(|(k, _)| k.as_str() == Some(key))?;
        Some(self.entries.remove(at).1)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&YamlValue, &YamlValue)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// As JSON; see [`YamlValue::to_json`].
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let name = |key: &YamlValue| key.scalar_text().unwrap_or_else(|| "null".to_owned());
        let entries = self.entries.iter();
        entries
            .map(|(key, value)| (name(key), value.to_json()))
            .collect()
    }
}

impl fmt::Debug for YamlMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for YamlMapping {
    fn from(entries: serde_json::Map<String, serde_json::Value>) -> Self {
        let entries = entries.into_iter();
        Self::of_distinct(
            entries
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl<K: Into<YamlValue>, V: Into<YamlValue>> FromIterator<(K, V)> for YamlMapping {
    /// Of two equal keys the later one's value counts, in the place of the first.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut mapping = Self::new();
        for (key, value) in entries {
            mapping.insert(key, value);
        }
        mapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_goes_in_and_comes_out_as_it_was() {
        let value =
            json!({"b": [1, -2.5, null, true, "x"], "a": {"z": 18_446_744_073_709_551_615_u64}});
        assert_eq!(YamlValue::from(value.clone()).to_json(), value);
    }

    #[test]
    fn what_json_cannot_hold_becomes_text() {
        let mapping: YamlMapping = [
            (YamlValue::Int(1), YamlValue::Float(f64::NAN)),
            (YamlValue::Null, YamlValue::Float(f64::NEG_INFINITY)),
            (
                YamlValue::Bool(true),
                YamlValue::Timestamp("2024-01-31".into()),
            ),
            ("big".into(), YamlValue::Int(i128::MAX)),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            YamlValue::from(mapping).to_json(),
            json!({
                "1": ".nan", "null": "-.inf", "true": "2024-01-31",
                "big": "170141183460469231731687303715884105727"
            })
        );
    }

    #[test]
    fn a_key_keeps_its_place_when_its_value_changes() {
        let mut mapping: YamlMapping = [("a", "1"), ("b", "2")].into_iter().collect();
        assert_eq!(mapping.insert("a", "3"), Some("1".into()));
        assert_eq!(mapping.insert("c", "4"), None);
        let keys: Vec<_> = mapping.iter().filter_map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c"]);
        assert_eq!(mapping.remove("a"), Some("3".into()));
        assert_eq!(mapping.len(), 2);
    }

    #[test]
    fn nan_is_the_same_data_as_nan() {
        assert_eq!(YamlValue::Float(f64::NAN), YamlValue::Float(f64::NAN));
        assert_ne!(YamlValue::Float(1.0), YamlValue::Int(1));
    }
}
