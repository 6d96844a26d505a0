//! The kinds of values that fields of a `GenerationConfig` have, each read from JSON and written back the same.

use serde_json::{Map, Value, json};

use crate::json::{integer, number};

/// A field's type: how it looks in JSON.
pub(super) trait Field: Sized {
    /// What a message says was expected.
    const EXPECTED: &'static str;

    /// `None`: not a value of this type.
    fn from_json(value: &Value) -> Option<Self>;

    fn to_json(&self) -> Value;
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Field for usize {
    const EXPECTED: &'static str = "a whole number from 0 to 9007199254740992";

    fn from_json(value: &Value) -> Option<Self> {
        // 2^53: what every JSON reader agrees on, and far from overflowing when lengths are added.
        Self::try_from(integer(value)?)
            .ok()
            .filter(|n| *n as u64 <= 1 << 53)
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Field for u32 {
    const EXPECTED: &'static str = "a token id from 0 to 4294967295";

    fn from_json(value: &Value) -> Option<Self> {
        Self::try_from(integer(value)?).ok()
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Field for f64 {
    const EXPECTED: &'static str = "a finite number";

    fn from_json(value: &Value) -> Option<Self> {
        number(value).filter(|float| float.is_finite())
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Field for String {
    const EXPECTED: &'static str = "a string";

    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

/// What hfcore carries without reading it.
impl Field for Value {
    const EXPECTED: &'static str = "any value";

    fn from_json(value: &Value) -> Option<Self> {
        Some(value.clone())
    }

    fn to_json(&self) -> Value {
        self.clone()
    }
}

impl Field for Vec<u32> {
    const EXPECTED: &'static str = "a list of token ids";

    fn from_json(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(u32::from_json).collect()
    }

    fn to_json(&self) -> Value {
        self.as_slice().into()
    }
}

impl Field for Vec<Vec<u32>> {
    const EXPECTED: &'static str = "a list of lists of token ids";

    fn from_json(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(Vec::from_json).collect()
    }

    fn to_json(&self) -> Value {
        self.iter().map(Field::to_json).collect()
    }
}

/// `sequence_bias`: sequences of tokens, each with what is added to the score of its last token.
impl Field for Vec<(Vec<u32>, f64)> {
    const EXPECTED: &'static str = "a list of pairs of a list of token ids and a number";

    fn from_json(value: &Value) -> Option<Self> {
        let pair = |item: &Value| match item.as_array()?.as_slice() {
            [ids, bias] => Some((Vec::from_json(ids)?, f64::from_json(bias)?)),
            _ => None,
        };
        value.as_array()?.iter().map(pair).collect()
    }

    fn to_json(&self) -> Value {
        self.iter().map(|(ids, bias)| json!([ids, bias])).collect()
    }
}

/// `exponential_decay_length_penalty`: from which generated token on, and the factor.
impl Field for (usize, f64) {
    const EXPECTED: &'static str = "a pair of a whole number and a number";

    fn from_json(value: &Value) -> Option<Self> {
        match value.as_array()?.as_slice() {
            [start, factor] => Some((usize::from_json(start)?, f64::from_json(factor)?)),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        json!([self.0, self.1])
    }
}

/// A value that may also be written as a list of such values: `eos_token_id`, `stop_strings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMany<T> {
    /// `2`
    One(T),
    /// `[2, 107]`
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values, one or many.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl<T> From<T> for OneOrMany<T> {
    fn from(value: T) -> Self {
        Self::One(value)
    }
}

impl<T> From<Vec<T>> for OneOrMany<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Many(values)
    }
}

/// What a setter of [`GenerationConfig`](crate::GenerationConfig) takes for a field of type `T`: a `T`, one
/// value or a list for [`OneOrMany`], `&str` for a text.
///
/// Not `Into`, so that a plain `32` is a number of tokens and needs no suffix.
pub trait Setting<T> {
    /// The value of the field.
    fn into_setting(self) -> T;
}

impl<T> Setting<T> for T {
    fn into_setting(self) -> T {
        self
    }
}

impl<T> Setting<OneOrMany<T>> for T {
    fn into_setting(self) -> OneOrMany<T> {
        OneOrMany::One(self)
    }
}

impl<T> Setting<OneOrMany<T>> for Vec<T> {
    fn into_setting(self) -> OneOrMany<T> {
        OneOrMany::Many(self)
    }
}

impl Setting<String> for &str {
    fn into_setting(self) -> String {
        self.to_owned()
    }
}

impl Setting<OneOrMany<String>> for &str {
    fn into_setting(self) -> OneOrMany<String> {
        OneOrMany::One(self.to_owned())
    }
}

impl Field for OneOrMany<u32> {
    const EXPECTED: &'static str = "a token id from 0 to 4294967295, or a list of them";

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Array(_) => Vec::from_json(value).map(Self::Many),
            _ => u32::from_json(value).map(Self::One),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::One(id) => id.to_json(),
            Self::Many(ids) => ids.to_json(),
        }
    }
}

impl Field for OneOrMany<String> {
    const EXPECTED: &'static str = "a string or a list of strings";

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Array(items) => {
                let texts = items.iter().map(String::from_json);
                texts.collect::<Option<_>>().map(Self::Many)
            }
            _ => String::from_json(value).map(Self::One),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::One(text) => text.to_json(),
            Self::Many(texts) => texts.iter().map(Field::to_json).collect(),
        }
    }
}

/// When beam search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyStopping {
    /// `false`: when no unfinished beam is likely to become better (a heuristic).
    No,
    /// `true`: as soon as there are `num_beams` finished candidates.
    Yes,
    /// `"never"`: when no unfinished beam can become better.
    Never,
}

impl Field for EarlyStopping {
    const EXPECTED: &'static str = "true, false or \"never\"";

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(true) => Some(Self::Yes),
            Value::Bool(false) => Some(Self::No),
            Value::String(text) if text == "never" => Some(Self::Never),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::No => false.into(),
            Self::Yes => true.into(),
            Self::Never => "never".into(),
        }
    }
}

/// A watermark in the choice of tokens, <https://arxiv.org/abs/2306.04634>.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WatermarkingConfig {
    /// The part of the vocabulary that is favoured, in `0..=1`.
    pub greenlist_ratio: f64,
    /// What is added to the scores of favoured tokens.
    pub bias: f64,
    /// The key of the hash.
    pub hashing_key: usize,
    /// Whether the candidate token itself seeds the choice (`selfhash`) or only the tokens before it (`lefthash`).
    pub seeding_scheme: String,
    /// How many earlier tokens seed the choice; at least 1.
    pub context_width: usize,
}

impl Default for WatermarkingConfig {
    fn default() -> Self {
        Self {
            greenlist_ratio: 0.25,
            bias: 2.0,
            hashing_key: 15_485_863,
            seeding_scheme: "lefthash".to_owned(),
            context_width: 1,
        }
    }
}

impl Field for WatermarkingConfig {
    const EXPECTED: &'static str =
        "an object with greenlist_ratio, bias, hashing_key, seeding_scheme, context_width";

    fn from_json(value: &Value) -> Option<Self> {
        let mut config = Self::default();
        for (key, value) in value.as_object()? {
            match key.as_str() {
                "greenlist_ratio" => config.greenlist_ratio = f64::from_json(value)?,
                "bias" => config.bias = f64::from_json(value)?,
                "hashing_key" => config.hashing_key = usize::from_json(value)?,
                "seeding_scheme" => config.seeding_scheme = String::from_json(value)?,
                "context_width" => config.context_width = usize::from_json(value)?,
                _ => return None,
            }
        }
        Some(config)
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("bias".into(), self.bias.to_json());
        map.insert("context_width".into(), self.context_width.to_json());
        map.insert("greenlist_ratio".into(), self.greenlist_ratio.to_json());
        map.insert("hashing_key".into(), self.hashing_key.to_json());
        map.insert("seeding_scheme".into(), self.seeding_scheme.to_json());
        Value::Object(map)
    }
}
