//! [`ChatTemplate`]: a compiled template.
//!
//! Reference: transformers 5.23 `utils/chat_template_utils.py` (`_compile_jinja_template`, `render_jinja_template`). The
//! language itself is `hfcore-jinja`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use hfcore_jinja::{Dict, Limits, Options, Template};
use serde_json::{Map, Value};

use super::error::TemplateError;
use super::message::Message;
use super::options::{ChatOptions, ContinueFinalMessage};
use super::{final_message, guard};

/// The variables that have options of their own.
const RESERVED: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// A compiled chat template. Cloning is cheap.
///
/// ```
/// use hfcore_tokenize::{ChatOptions, ChatTemplate, Message};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let template = ChatTemplate::new("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")?;
/// let prompt = template.render(&[Message::user("Hi")], &ChatOptions::default(), [])?;
/// assert_eq!(prompt, "<user>Hi");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ChatTemplate {
    source: Arc<str>,
    template: Arc<Template>,
}

/// A rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderedChat {
    /// The prompt.
    pub text: String,
    /// Where the bodies of `{% generation %}` blocks went, in bytes of the text, in the order of their ends.
    pub generation_spans: Vec<Range<usize>>,
}

impl ChatTemplate {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Syntax`] with the line, [`TemplateError::TooLarge`].
    pub fn new(source: impl Into<String>) -> Result<Self, TemplateError> {
        let source: String = source.into();
        guard::check_source(&source)?;
        let template = guard::deep(|| {
            Template::new(&source).map_err(|error| TemplateError::of_source(&error))
        })?;
        Ok(Self {
            source: source.into(),
            template: Arc::new(template),
        })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt of a conversation. `special` are the tokenizer's named tokens (`bos_token`, …).
    ///
    /// # Errors
    ///
    /// [`TemplateError::Raised`] where the template refuses the conversation, [`TemplateError::Failed`] where it
    /// fails, [`TemplateError::Conversation`] for options that do not fit, and the limits.
    pub fn render(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        special: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<String, TemplateError> {
        Ok(self.render_chat(messages, options, special)?.text)
    }

    /// As [`render`](Self::render), with the places of what the template marks as the assistant's.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_chat(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        special: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<RenderedChat, TemplateError> {
        check(messages, options)?;
        let special: Vec<(String, Value)> = special.into_iter().collect();
        // What the caller gives may nest: it is copied where there is stack for it.
        guard::deep(|| self.render_here(messages, options, special))
    }

    fn render_here(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        special: Vec<(String, Value)>,
    ) -> Result<RenderedChat, TemplateError> {
        let mut messages: Vec<Value> = messages
            .iter()
            .map(|message| Value::Object(message.prepared()))
            .collect();
        let open =
            final_message::open(&mut messages, &options.continue_final_message, &self.source)?;
        let mut context: Map<String, Value> = special.into_iter().collect();
        context.extend(options.kwargs.clone());
        context.insert("messages".to_owned(), Value::Array(messages));
        let list = |list: &Option<Vec<Value>>| list.clone().map_or(Value::Null, Value::Array);
        context.insert("tools".to_owned(), list(&options.tools));
        context.insert("documents".to_owned(), list(&options.documents));
        context.insert(
            "add_generation_prompt".to_owned(),
            Value::Bool(options.add_generation_prompt),
        );
        let mut rendered = self.run(&context, options.now)?;
        if let Some(open) = open {
            rendered.text = open.close(&rendered.text)?;
        }
        Ok(rendered)
    }

    fn run(
        &self,
        context: &Map<String, Value>,
        now: Option<i64>,
    ) -> Result<RenderedChat, TemplateError> {
        let input = self.source.len() + context.values().map(text_length).sum::<usize>();
        let limits = Limits::for_input(input);
        let options = Options {
            limits: Some(limits),
            now: Some(now.unwrap_or_else(hfcore_jinja::python::now)),
            functions: Vec::new(),
        };
        let rendered = Dict::from_json(context)
            .and_then(|variables| self.template.render(&variables, &options))
            .map_err(|error| TemplateError::of_render(&error, &limits))?;
        Ok(RenderedChat {
            text: rendered.text,
            generation_spans: rendered.generation_spans,
        })
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Whether the options fit each other and the conversation.
fn check(messages: &[Message], options: &ChatOptions) -> Result<(), TemplateError> {
    let refuse = |why: String| Err(TemplateError::Conversation(why));
    if messages.is_empty() {
        return refuse("a chat template needs at least one message".to_owned());
    }
    if options.continue_final_message != ContinueFinalMessage::No && options.add_generation_prompt {
        return refuse(
            "continue_final_message: add_generation_prompt would begin another message; set one of them"
                .to_owned(),
        );
    }
    if let Some(name) = RESERVED
        .iter()
        .find(|&&name| options.kwargs.contains_key(name))
    {
        return refuse(format!(
            "kwargs: {name:?} is given by its own argument, not as a variable"
        ));
    }
    for (what, list) in [("tools", &options.tools), ("documents", &options.documents)] {
        let wrong = list.iter().flatten().position(|item| !item.is_object());
        if let Some(index) = wrong {
            return refuse(format!("{what}[{index}]: expected a JSON object"));
        }
    }
    Ok(())
}

/// Bytes of text in a value.
fn text_length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(text_length).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| key.len() + text_length(value))
            .sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(options: ChatOptions) -> String {
        ChatTemplate::new("{{ messages }}")
            .unwrap()
            .render(&[Message::user("a")], &options, [])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn options_that_do_not_fit() {
        assert_eq!(
            refused(ChatOptions::default().with_tools([json!({}), json!("f")])),
            "tools[1]: expected a JSON object"
        );
        assert_eq!(
            refused(ChatOptions::default().with_documents([json!(1)])),
            "documents[0]: expected a JSON object"
        );
        assert_eq!(
            refused(ChatOptions::default().with("messages", json!([]))),
            "kwargs: \"messages\" is given by its own argument, not as a variable"
        );
        assert_eq!(
            refused(
                ChatOptions::default()
                    .with_add_generation_prompt(true)
                    .with_continue_final_message(true)
            ),
            "continue_final_message: add_generation_prompt would begin another message; set one of them"
        );
    }
}
