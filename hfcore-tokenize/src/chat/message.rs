//! What a template is given.

use serde_json::{Map, Value};

/// One message: `role` and `content`, and whatever else the template reads (`tool_calls`, `name`,
/// `reasoning_content`, …).
///
/// ```
/// use hfcore_tokenize::{Message, Value};
///
/// let message = Message::new("assistant", "Four.").with("reasoning_content", "2 + 2 = 4");
/// assert_eq!(message.role(), Some("assistant"));
/// assert_eq!(message.content(), Some(&Value::from("Four.")));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The message's keys; those that are null are left out, as transformers does.
    pub fields: Map<String, Value>,
}

impl Message {
    /// A message with a role (`system`, `user`, `assistant`, `tool`) and a content: text, or a list of parts.
    pub fn new(role: impl Into<String>, content: impl Into<Value>) -> Self {
        Self::default()
            .with("role", role.into())
            .with("content", content)
    }

    /// A message of the user.
    pub fn user(content: impl Into<Value>) -> Self {
        Self::new("user", content)
    }

    /// A message of the assistant.
    pub fn assistant(content: impl Into<Value>) -> Self {
        Self::new("assistant", content)
    }

    /// A system message.
    pub fn system(content: impl Into<Value>) -> Self {
        Self::new("system", content)
    }

    /// With another key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(key.into(), value.into());
        self
    }

    /// The role, where it is text.
    pub fn role(&self) -> Option<&str> {
        self.fields.get("role").and_then(Value::as_str)
    }

    /// The content.
    pub fn content(&self) -> Option<&Value> {
        self.fields.get("content")
    }

    /// As the template sees it: no nulls, and reasoning under the names that templates read.
    pub(super) fn prepared(&self) -> Map<String, Value> {
        let mut fields: Map<String, Value> = self
            .fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let names = ["reasoning_content", "thinking", "reasoning"];
        if let Some(reasoning) = names.iter().find_map(|name| fields.get(*name)).cloned() {
            if !fields.contains_key("thinking") {
                fields.shift_insert(0, "thinking".to_owned(), reasoning.clone());
            }
            fields.insert("reasoning_content".to_owned(), reasoning);
        }
        fields
    }
}

/// `{"role": …, "content": …}` as JSON gives it.
impl From<Map<String, Value>> for Message {
    fn from(fields: Map<String, Value>) -> Self {
        Self { fields }
    }
}

/// The options of [`Tokenizer::apply_chat_template`](crate::Tokenizer::apply_chat_template), under transformers' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    /// Ends the prompt with the header of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Leaves the last message open, for the model to continue. Excludes `add_generation_prompt`.
    pub continue_final_message: bool,
    /// JSON schemas of the functions that the model may call.
    pub tools: Option<Vec<Value>>,
    /// Documents to answer from, `{"title": …, "text": …}`.
    pub documents: Option<Vec<Value>>,
    /// A template to use in place of the tokenizer's. Templates are programs: take none from strangers.
    pub chat_template: Option<String>,
    /// The name of one of the tokenizer's templates.
    pub chat_template_name: Option<String>,
    /// The moment that `strftime_now` tells, in seconds since 1970 of the caller's local time. Without it the
    /// system's clock in UTC (transformers takes local time, which the standard library does not know).
    pub now: Option<i64>,
    /// More variables (`enable_thinking`, `reasoning_effort`, …); they override special tokens.
    pub kwargs: Map<String, Value>,
}

impl ChatOptions {
    /// Ends the prompt with the header of the assistant's answer.
    #[must_use]
    pub fn with_add_generation_prompt(mut self, add: bool) -> Self {
        self.add_generation_prompt = add;
        self
    }

    /// With functions that the model may call.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = Some(tools);
        self
    }

    /// With another variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.into(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_go_and_reasoning_gets_its_names() {
        let message = Message::new("assistant", Value::Null).with("reasoning", "hm");
        let prepared = Value::Object(message.prepared());
        let expected = json!({"thinking": "hm", "role": "assistant", "reasoning": "hm", "reasoning_content": "hm"});
        assert_eq!(prepared.to_string(), expected.to_string());
    }
}
