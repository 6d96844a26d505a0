//! [`Tool`]: the JSON schema of a function that the model may call.

use serde_json::{Map, Value, json};

/// A function that the model may call, as transformers' `get_json_schema` describes one.
///
/// ```
/// use hfcore_tokenize::Tool;
/// use serde_json::json;
///
/// let tool = Tool::function("get_weather", "The weather of a place.")
///     .parameter("place", "A town and its country.", json!({"type": "string"}))
///     .optional("unit", "Celsius if left out.", json!({"type": "string", "enum": ["celsius", "fahrenheit"]}))
///     .returns("Degrees.", json!({"type": "number"}));
/// assert_eq!(
///     tool.schema(),
///     json!({"type": "function", "function": {
///         "name": "get_weather",
///         "description": "The weather of a place.",
///         "parameters": {
///             "type": "object",
///             "properties": {
///                 "place": {"type": "string", "description": "A town and its country."},
///                 "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Celsius if left out."},
///             },
///             "required": ["place"],
///         },
///         "return": {"type": "number", "description": "Degrees."},
///     }})
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    name: String,
    description: String,
    properties: Map<String, Value>,
    required: Vec<String>,
    returns: Option<Value>,
}

impl Tool {
    /// A function without parameters.
    pub fn function(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            properties: Map::new(),
            required: Vec::new(),
            returns: None,
        }
    }

    /// With a parameter that every call has. `schema` is its JSON schema without a description.
    #[must_use]
    pub fn parameter(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        schema: Value,
    ) -> Self {
        let name = name.into();
        self.required.push(name.clone());
        self.optional(name, description, schema)
    }

    /// With a parameter that a call may leave out.
    #[must_use]
    pub fn optional(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        schema: Value,
    ) -> Self {
        self.properties
            .insert(name.into(), described(schema, description.into()));
        self
    }

    /// With what a call gives. Most templates leave it out.
    #[must_use]
    pub fn returns(mut self, description: impl Into<String>, schema: Value) -> Self {
        self.returns = Some(described(schema, description.into()));
        self
    }

    /// The schema, with its keys in transformers' order, which templates print.
    pub fn schema(self) -> Value {
        let mut parameters = json!({"type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            parameters["required"] = self.required.into();
        }
        let mut function = json!({
            "name": self.name,
            "description": self.description,
            "parameters": parameters,
        });
        if let Some(returns) = self.returns {
            function["return"] = returns;
        }
        json!({"type": "function", "function": function})
    }
}

fn described(mut schema: Value, description: String) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}
