//! JSON as Python's `json.loads` reads it.

use serde_json::Value as Json;

use crate::fail;
use crate::python::{Dict, DictBuilder, Error, Limits, List, Meter, Str, Value};

impl Value {
    /// A value as the caller gives it to a template: `null` is `None`, objects keep their order. It is not charged to
    /// any render.
    ///
    /// # Errors
    ///
    /// Nesting of more than [`MAX_DEPTH`](crate::python::MAX_DEPTH) levels.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        Ok(match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => Self::Int(number.into()),
                (None, Some(number), _) => Self::Int(number.into()),
                (None, None, Some(number)) => Self::Float(number),
                (None, None, None) => {
                    return Err(fail::unsupported(format!("the number {number}")));
                }
            },
            Json::String(text) => Self::Str(Str::constant(&**text)),
            Json::Array(items) => Self::List(List::constant(
                items
                    .iter()
                    .map(Self::from_json)
                    .collect::<Result<_, _>>()?,
            )?),
            Json::Object(entries) => Self::Dict(Dict::from_json(entries)?),
        })
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
        for (key, value) in entries {
            dict.insert(Value::Str(Str::constant(&**key)), Value::from_json(value)?)?;
        }
        Ok(dict.finish_constant())
    }
}
