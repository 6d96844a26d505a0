//! The caller's variables, from JSON.

use serde_json::Value as Json;

use crate::python::{Dict, DictBuilder, Error, Limits, Meter, Value, from_json, key};

impl Value {
    /// A value as the caller gives it to a template: `null` is `None`, objects keep their order. It is not charged to
    /// any render.
    ///
    /// # Errors
    ///
    /// Nesting of more than [`MAX_DEPTH`](crate::python::MAX_DEPTH) levels; numbers beyond 128 bits.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        from_json(json)
    }
}

impl Dict {
    /// An object as the caller gives it to a template, in its order.
    ///
    /// # Errors
    ///
    /// As [`Value::from_json`].
    pub fn from_json(entries: &serde_json::Map<String, Json>) -> Result<Self, Error> {
        let meter = Meter::new(Limits {
            steps: u64::MAX,
            memory: usize::MAX,
            output: 0,
        });
        let mut dict = DictBuilder::new(&meter);
        for (name, value) in entries {
            dict.insert(key(name), from_json(value)?)?;
        }
        Ok(dict.finish_constant())
    }
}
