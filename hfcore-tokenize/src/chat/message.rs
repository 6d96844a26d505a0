//! [`Message`]: one message of a conversation.

use serde_json::{Map, Value};

/// The names that a message's reasoning goes by; templates read the first, and `GPT-OSS`'s the second.
pub(super) const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

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
        let reasoning = REASONING.iter().find_map(|name| fields.get(*name)).cloned();
        if let Some(reasoning) = reasoning {
            // The name comes first, and keeps a value that it has already.
            let thinking = fields
                .shift_remove("thinking")
                .unwrap_or_else(|| reasoning.clone());
            fields.shift_insert(0, "thinking".to_owned(), thinking);
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
        let message = Message::new("assistant", "4")
            .with("thinking", "a")
            .with("reasoning_content", "b");
        let prepared = Value::Object(message.prepared());
        let expected =
            json!({"thinking": "a", "role": "assistant", "content": "4", "reasoning_content": "b"});
        assert_eq!(prepared.to_string(), expected.to_string());
    }
}
