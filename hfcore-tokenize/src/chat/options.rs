//! [`ChatOptions`]: how a conversation becomes a prompt.

use serde_json::{Map, Value};

use super::message::Message;
use super::tool::Tool;

/// Whether, and where, the last message stays open for the model to continue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContinueFinalMessage {
    /// The last message is closed like the others.
    #[default]
    No,
    /// Its `content` is continued; of a list of parts, the last text.
    Content,
    /// The field with this name is continued, such as `reasoning_content`.
    Field(String),
}

impl From<bool> for ContinueFinalMessage {
    fn from(content: bool) -> Self {
        if content { Self::Content } else { Self::No }
    }
}

impl From<&str> for ContinueFinalMessage {
    fn from(field: &str) -> Self {
        Self::Field(field.to_owned())
    }
}

/// The options of [`Tokenizer::apply_chat_template`](crate::Tokenizer::apply_chat_template), under transformers' names.
///
/// ```
/// use hfcore_tokenize::{ChatOptions, Tool};
///
/// let options = ChatOptions::default()
///     .with_add_generation_prompt(true)
///     .with_tools([Tool::function("now", "The time of day.")])
///     .with("enable_thinking", false);
/// assert_eq!(options.kwargs["enable_thinking"], false);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    /// Ends the prompt with the header of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Leaves the last message open, for the model to continue. Excludes `add_generation_prompt`.
    pub continue_final_message: ContinueFinalMessage,
    /// JSON schemas of the functions that the model may call; [`Tool`] writes them.
    pub tools: Option<Vec<Value>>,
    /// Documents to answer from, `{"title": …, "text": …}`.
    pub documents: Option<Vec<Value>>,
    /// A template to use in place of the tokenizer's. Its work and memory are bounded, but it writes the prompt: one
    /// from a stranger makes the model say what the stranger likes.
    pub chat_template: Option<String>,
    /// The name of one of the tokenizer's templates.
    pub chat_template_name: Option<String>,
    /// The moment that `strftime_now` tells, in seconds since 1970 of the caller's local time. Without it the
    /// system's clock in UTC. transformers takes local time, and so do the pipelines of the facade; this crate does not
    /// look at the system's time zone.
    pub now: Option<i64>,
    /// More variables (`enable_thinking`, `reasoning_effort`, `date_string`, …); they override special tokens.
    pub kwargs: Map<String, Value>,
    /// Where the text of messages, tools, documents and variables contains control tokens, they are encoded as the
    /// ordinary text that they are; only those of the template count as tokens. For
    /// [`Tokenizer::encode_chat`](crate::Tokenizer::encode_chat); excludes `return_assistant_tokens_mask`.
    pub sanitize_control_tokens: bool,
    /// Tells which tokens the template marks as the assistant's with `{% generation %}`. For
    /// [`Tokenizer::encode_chat`](crate::Tokenizer::encode_chat); excludes `continue_final_message`.
    pub return_assistant_tokens_mask: bool,
}

impl ChatOptions {
    /// Ends the prompt with the header of the assistant's answer.
    #[must_use]
    pub fn with_add_generation_prompt(mut self, add: bool) -> Self {
        self.add_generation_prompt = add;
        self
    }

    /// Leaves the last message open: `true` for its content, or the name of a field.
    #[must_use]
    pub fn with_continue_final_message(mut self, which: impl Into<ContinueFinalMessage>) -> Self {
        self.continue_final_message = which.into();
        self
    }

    /// With functions that the model may call: [`Tool`]s or JSON schemas.
    #[must_use]
    pub fn with_tools<T: Into<Value>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.tools = Some(tools.into_iter().map(Into::into).collect());
        self
    }

    /// With documents to answer from.
    #[must_use]
    pub fn with_documents<T: Into<Value>>(
        mut self,
        documents: impl IntoIterator<Item = T>,
    ) -> Self {
        self.documents = Some(documents.into_iter().map(Into::into).collect());
        self
    }

    /// With another variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.into(), value.into());
        self
    }
}

impl From<Tool> for Value {
    fn from(tool: Tool) -> Self {
        tool.schema()
    }
}

/// A message as the object that it is.
impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Self::Object(message.fields)
    }
}
