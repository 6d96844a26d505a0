//! [`ChatTemplate`]: a compiled template.
//!
//! Reference: transformers 5.23 `utils/chat_template_utils.py` (`_compile_jinja_template`, `render_jinja_template`):
//! jinja2 with `trim_blocks`, `lstrip_blocks`, loop controls, lenient undefined, and a few globals.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Value as Json;

use super::error::TemplateError;
use super::guard::{self, MAX_STEPS};
use super::message::{ChatOptions, Message};
use super::{json, python, time};

/// Output beyond four times the input, in bytes.
const MAX_OUTPUT: usize = 16 << 20;
/// The mark after the text to continue; transformers' own.
const CONTINUE: &str = "CONTINUE_FINAL_MESSAGE_TAG ";
/// The name of the template in the engine; without an extension nothing is escaped.
const NAME: &str = "chat_template";

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
    environment: Arc<Environment<'static>>,
}

impl ChatTemplate {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Syntax`] with the line, [`TemplateError::TooLarge`].
    pub fn new(source: impl Into<String>) -> Result<Self, TemplateError> {
        let source = source.into();
        guard::check_source(&source)?;
        let environment = guard::deep(|| {
            let mut environment = environment();
            environment
                .add_template_owned(NAME, without_generation_tags(&source))
                .map_err(|error| TemplateError::Syntax {
                    line: error.line().unwrap_or(1),
                    message: message_of(&error),
                })?;
            Ok(environment)
        })?;
        Ok(Self {
            source: source.into(),
            environment: Arc::new(environment),
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
    /// fails, and its limits.
    pub fn render(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        special: impl IntoIterator<Item = (String, Json)>,
    ) -> Result<String, TemplateError> {
        let mut messages: Vec<Json> = messages
            .iter()
            .map(|message| Json::Object(message.prepared()))
            .collect();
        if messages.is_empty() {
            return Err(TemplateError::Conversation(
                "a chat template needs at least one message".to_owned(),
            ));
        }
        let last = if options.continue_final_message {
            Some(open_last(&mut messages, options.add_generation_prompt)?)
        } else {
            None
        };
        let mut context: serde_json::Map<String, Json> = special.into_iter().collect();
        context.extend(options.kwargs.clone());
        context.insert("messages".to_owned(), Json::Array(messages));
        let list = |list: &Option<Vec<Json>>| list.clone().map_or(Json::Null, Json::Array);
        context.insert("tools".to_owned(), list(&options.tools));
        context.insert("documents".to_owned(), list(&options.documents));
        context.insert(
            "add_generation_prompt".to_owned(),
            Json::Bool(options.add_generation_prompt),
        );

        let limit = MAX_OUTPUT + 4 * context.values().map(text_length).sum::<usize>();
        let rendered = guard::deep(|| self.run(&context, options.now, limit))?;
        match last {
            Some(last) => close_last(&rendered, &last),
            None => Ok(rendered),
        }
    }

    fn run(
        &self,
        context: &serde_json::Map<String, Json>,
        now: Option<i64>,
        limit: usize,
    ) -> Result<String, TemplateError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| failure(&error))?;
        let mut values: Vec<(&str, Value)> = context
            .iter()
            .map(|(name, value)| (name.as_str(), json::to_value(value)))
            .collect();
        if !context.contains_key("strftime_now") {
            values.push((
                "strftime_now",
                Value::from_function(move |pattern: &str| strftime(now, pattern)),
            ));
        }
        let mut out = Limited {
            text: Vec::new(),
            limit,
            over: false,
        };
        let result = template
            .render_captured_to(Value::from_pairs(values), &mut out)
            .map(drop);
        if out.over {
            return Err(TemplateError::TooLarge {
                what: "the output",
                found: limit + 1,
                limit,
            });
        }
        result.map_err(|error| failure(&error))?;
        Ok(String::from_utf8(out.text).expect("the engine writes whole strings"))
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the default delimiters"),
    );
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_formatter(python::print);
    environment.set_unknown_method_callback(python::method);
    for name in [
        "replace", "format", "join", "indent", "batch", "slice", "center", "round",
    ] {
        if let Some(filter) = engine_filter(name) {
            environment.add_filter(name, python::guarded(&filter, name));
        }
    }
    environment.add_filter("tojson", json::tojson);
    environment.add_function("raise_exception", raise_exception);
    environment
}

/// A filter of the engine as a callable value.
fn engine_filter(name: &str) -> Option<Value> {
    use minijinja::filters;
    Some(match name {
        "replace" => Value::from_function(filters::replace),
        "format" => Value::from_function(filters::format),
        "join" => Value::from_function(filters::join),
        "indent" => Value::from_function(filters::indent),
        "batch" => Value::from_function(filters::batch),
        "slice" => Value::from_function(filters::slice),
        _ => return None,
    })
}

/// What `raise_exception` was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: Value) -> Result<Value, Error> {
    let message = crate::error::shortened(&message.to_string(), 2000);
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn strftime(now: Option<i64>, pattern: &str) -> Result<String, Error> {
    if pattern.len() > 1024 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "strftime_now: a format of more than 1024 bytes",
        ));
    }
    time::format(now.unwrap_or_else(time::now), pattern)
        .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))
}

/// `{% generation %}` marks the assistant's text for training and renders its body, in a scope of its own.
fn without_generation_tags(source: &str) -> String {
    static TAG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
            .expect("a constant that tests compile")
    });
    TAG.replace_all(source, "{%$1 ${2}with $3%}").into_owned()
}

fn message_of(error: &Error) -> String {
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    crate::error::shortened(&detail, 500)
}

fn failure(error: &Error) -> TemplateError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return TemplateError::Raised(message.clone());
        }
        if cause
            .downcast_ref::<Error>()
            .is_some_and(|error| error.kind() == ErrorKind::OutOfFuel)
        {
            return TemplateError::Steps { limit: MAX_STEPS };
        }
        source = cause.source();
    }
    TemplateError::Failed {
        line: error.line().unwrap_or(0),
        message: message_of(error),
    }
}

/// A writer that stops at a limit.
struct Limited {
    text: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.limit {
            self.over = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of text in a value.
fn text_length(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(list) => list.iter().map(text_length).sum(),
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| key.len() + text_length(value))
            .sum(),
        _ => 8,
    }
}

/// Marks the end of the last message's text and returns that text.
fn open_last(messages: &mut [Json], add_generation_prompt: bool) -> Result<String, TemplateError> {
    let refuse = |why: &str| TemplateError::Conversation(format!("continue_final_message: {why}"));
    if add_generation_prompt {
        return Err(refuse("add_generation_prompt would begin another message"));
    }
    let content = messages
        .last_mut()
        .and_then(|message| message.get_mut("content"));
    let text = match content {
        Some(Json::Array(parts)) => parts.iter_mut().rev().find_map(|part| part.get_mut("text")),
        other => other,
    };
    match text {
        Some(Json::String(text)) => {
            let before = text.clone();
            text.push_str(CONTINUE);
            Ok(before)
        }
        _ => Err(refuse("the last message has no text to continue")),
    }
}

/// Cuts the prompt at the mark.
fn close_last(rendered: &str, last: &str) -> Result<String, TemplateError> {
    let lost = || {
        let why = "continue_final_message: the template does not write the last message as it is";
        TemplateError::Conversation(why.to_owned())
    };
    if !rendered.contains(last.trim()) {
        return Err(lost());
    }
    let at = rendered.rfind(CONTINUE.trim_end()).ok_or_else(lost)?;
    let text = &rendered[..at];
    // A template that trimmed the mark's space would have trimmed the message's own.
    Ok(if rendered[at..].starts_with(CONTINUE) {
        text
    } else {
        text.trim_end()
    }
    .to_owned())
}
