//! Arguments written as bare text, given the types that the function's JSON schema says.
//!
//! Reference: `_schema_types`, `_coerce` and `ResponseParser._coerce_tool_calls` in transformers 5.23
//! `utils/chat_parsing/response_parser.py`.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::content::whole;

/// The parameters of functions, by the functions' names.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools(HashMap<String, Map<String, Value>>);

impl Tools {
    /// From schemas as a chat template takes them: `{"type": "function", "function": {…}}`, or what is inside.
    pub(super) fn new(tools: &[Value]) -> Self {
        let parameters = |tool: &Value| {
            let function = tool.get("function").unwrap_or(tool);
            let name = function.get("name")?.as_str()?;
            let properties = function
                .get("parameters")
                .and_then(|parameters| parameters.get("properties"));
            let properties = properties.and_then(Value::as_object).cloned();
            Some((name.to_owned(), properties.unwrap_or_default()))
        };
        Self(tools.iter().filter_map(parameters).collect())
    }

    /// Gives texts among the arguments of `function` the types of its schema, where they fit.
    pub(super) fn coerce(&self, function: &str, arguments: &mut Value) {
        let (Some(properties), Value::Object(arguments)) = (self.0.get(function), arguments) else {
            return;
        };
        for (key, argument) in arguments {
            let types = properties.get(key).map(types).unwrap_or_default();
            if types.is_empty() {
                continue;
            }
            match argument {
                Value::String(text) => *argument = typed(text, &types),
                // The same key several times, collected.
                Value::Array(list) if !types.contains(&"array") => {
                    for value in list {
                        if let Value::String(text) = value {
                            *value = typed(text, &types);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The same, in the `tool_calls` that a response template made.
    pub(super) fn coerce_calls(&self, value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|value| self.coerce_calls(value)),
            Value::Object(call) => {
                let Some(function) = call.get_mut("function") else {
                    return;
                };
                let name = function
                    .get("name")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                if let (Some(name), Some(arguments)) = (name, function.get_mut("arguments")) {
                    self.coerce(&name, arguments);
                }
            }
            _ => {}
        }
    }
}

/// The types that a schema allows, in order; `nullable` adds `null`.
fn types(schema: &Value) -> Vec<&str> {
    let mut found = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for union in ["anyOf", "oneOf"] {
        let choices = schema.get(union).and_then(Value::as_array);
        found.extend(choices.into_iter().flatten().flat_map(types));
    }
    let nullable = match schema.get("nullable") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(_) => true,
    };
    if nullable && !found.contains(&"null") {
        found.push("null");
    }
    found
}

/// The text as the first of `types` that it fits; text that fits none stays.
fn typed(text: &str, types: &[&str]) -> Value {
    let float = || {
        text.trim()
            .replace('_', "")
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
    };
    let integral = |number: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "integral, and of a size that both types hold exactly"
        )]
        let whole = number as i64;
        (number.fract() == 0.0 && number.abs() < 9e15).then(|| Value::from(whole))
    };
    let fits = |kind: &&str| match *kind {
        "integer" => whole(text).or_else(|| float().and_then(integral)),
        "number" => whole(text).or_else(|| {
            let number = float()?;
            let exact = integral(number).filter(|_| !text.contains('.'));
            exact.or_else(|| Number::from_f64(number).map(Value::Number))
        }),
        "boolean" => match text.trim().to_lowercase().as_str() {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        "null" => matches!(text.trim(), "null" | "None").then_some(Value::Null),
        "object" => serde_json::from_str(text).ok().filter(Value::is_object),
        "array" => serde_json::from_str(text).ok().filter(Value::is_array),
        _ => None,
    };
    types
        .iter()
        .find_map(fits)
        .unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_take_the_types_of_the_schema() {
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"properties": {
            "n": {"type": "integer"}, "x": {"type": "number"}, "b": {"type": "boolean"}, "s": {"type": "string"},
            "o": {"anyOf": [{"type": "object"}, {"type": "integer"}]}, "z": {"type": "integer", "nullable": true},
            "l": {"type": "array"}, "w": {"type": ["integer", "string"]},
        }}}});
        let mut arguments = json!({
            "n": "3.0", "x": "2", "b": "True", "s": "7", "o": "{\"a\": 1}", "z": "None", "l": "[1]", "w": "many", "u": "1",
        });
        Tools::new(&[tool]).coerce("f", &mut arguments);
        let expected = json!({
            "n": 3, "x": 2, "b": true, "s": "7", "o": {"a": 1}, "z": null, "l": [1], "w": "many", "u": "1",
        });
        assert_eq!(arguments, expected);
        assert_eq!(typed("2.50", &["number"]), json!(2.5));
        assert_eq!(typed("1e3", &["number"]), json!(1000));
        assert_eq!(typed("nan", &["number"]), json!("nan"));
    }
}
