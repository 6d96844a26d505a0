//! Reading answers: thinking, text and calls of functions, out of what a model wrote.
//!
//! ```text
//! anchor.rs      literal marks and patterns, found in text that still grows
//! region.rs      the state machine: which region the text is in
//! format.rs      the regions of each family's answers, and which family a chat template belongs to
//! call.rs        what a call's text says; pythonic.rs: calls written as Python
//! template.rs    regions as a model's own `response_template` declares them; content.rs, schema.rs: their values
//! mod.rs         AnswerParser: regions become thinking, content and calls, and no text is lost
//! ```

mod anchor;
mod call;
mod content;
mod format;
mod pythonic;
mod region;
mod schema;
mod template;

use std::fmt;

use serde_json::{Map, Value};

use self::call::Syntax;
pub use self::call::ToolCall;
pub use self::format::AnswerFormat;
use self::format::Role;
use self::region::{Closed, Event, Scanner};
use self::schema::Tools;
pub use self::template::{ResponseError, ResponseTemplate};
use crate::chat::Message;
use crate::error::TokenizeError;
use crate::tokenizer::Tokenizer;

/// What an assistant said.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// What it thought before it answered (`reasoning_content`), where it marks it.
    pub thinking: Option<String>,
    /// What it said. A call that does not parse stands here, as it was written.
    pub content: String,
    /// The functions that it wants called.
    pub tool_calls: Vec<ToolCall>,
}

impl Answer {
    /// The message that goes into the conversation.
    pub fn to_message(&self) -> Message {
        let mut message = Message::assistant(self.content.as_str());
        if let Some(thinking) = &self.thinking {
            message = message.with("reasoning_content", thinking.as_str());
        }
        if !self.tool_calls.is_empty() {
            let calls: Vec<Value> = self.tool_calls.iter().map(ToolCall::to_value).collect();
            message = message.with("tool_calls", calls);
        }
        message
    }
}

/// A part of an answer, as soon as it is known.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AnswerEvent {
    /// Thinking goes on.
    Thinking(String),
    /// The answer goes on.
    Content(String),
    /// A function is to be called.
    ToolCall(ToolCall),
}

/// Reads an answer while it is written.
///
/// Give it the text with its special tokens (`skip_special_tokens: false`): they are the marks. Pieces may end
/// anywhere. No text is lost: what looks like a call and is none becomes content; only marks and the blanks beside them go.
///
/// ```
/// use hfcore_tokenize::{AnswerEvent, AnswerFormat, AnswerParser};
///
/// let mut parser = AnswerParser::new(AnswerFormat::Hermes).with_special_tokens(["<|im_end|>"]);
/// let mut shown = String::new();
/// for piece in ["<thi", "nk>It is sunny.</think>\n\nLook: <tool", "_call>{\"name\": \"sun\"}</tool_call><|im_end|>"] {
///     for event in parser.push(piece) {
///         if let AnswerEvent::Content(text) = event {
///             shown += &text;
///         }
///     }
/// }
/// let (_, answer) = parser.finish();
/// assert_eq!(answer.thinking.as_deref(), Some("It is sunny."));
/// assert_eq!((answer.content.as_str(), shown.as_str()), ("Look:", "Look:"));
/// assert_eq!(answer.tool_calls[0].name, "sun");
/// ```
#[derive(Clone)]
pub struct AnswerParser {
    reading: Reading,
    scanner: Scanner,
    roles: Vec<Role>,
    special: Vec<String>,
    tools: Tools,
    content: Trimmed,
    thinking: Trimmed,
    tool_calls: Vec<ToolCall>,
}

/// By what the regions are read.
#[derive(Clone, Debug)]
enum Reading {
    Format(AnswerFormat),
    Template(Box<ResponseTemplate>),
}

impl AnswerParser {
    /// A parser of answers in one of the known formats.
    pub fn new(format: AnswerFormat) -> Self {
        Self::with_reading(Reading::Format(format))
    }

    /// A parser of answers as a model's own `response_template` describes them: its fields `thinking`,
    /// `reasoning_content` or `reasoning`, `tool_calls` and `content`; any other field is content.
    pub fn from_template(template: ResponseTemplate) -> Self {
        Self::with_reading(Reading::Template(Box::new(template)))
    }

    fn with_reading(reading: Reading) -> Self {
        let plain = matches!(reading, Reading::Format(AnswerFormat::Plain));
        let parser = Self {
            reading,
            scanner: Scanner::new(Vec::new()),
            roles: Vec::new(),
            special: Vec::new(),
            tools: Tools::default(),
            content: Trimmed {
                verbatim: plain,
                ..Trimmed::default()
            },
            thinking: Trimmed::default(),
            tool_calls: Vec::new(),
        };
        parser.prepared()
    }

    fn prepared(mut self) -> Self {
        let (regions, roles) = match &self.reading {
            Reading::Format(format) => format.regions(&self.special).into_iter().unzip(),
            Reading::Template(template) => {
                let regions = template.regions();
                let role = |name: &str| match name {
                    "thinking" | "reasoning_content" | "reasoning" => Role::Thinking,
                    "tool_calls" => Role::Calls(Syntax::Json),
                    _ => Role::Content,
                };
                let roles = regions.iter().map(|region| role(&region.name)).collect();
                (regions, roles)
            }
        };
        self.scanner = Scanner::new(regions);
        self.roles = roles;
        self
    }

    /// The special tokens of the tokenizer (`<|im_end|>`, `</s>`, …): they are no text, and end what is open. Those that
    /// the format itself uses keep their meaning. A response template names its own. Call this before any text is given.
    #[must_use]
    pub fn with_special_tokens<T: Into<String>>(
        mut self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Self {
        if let Reading::Format(format) = &self.reading {
            let used: Vec<String> = format
                .regions(&[])
                .into_iter()
                .map(|(region, _)| region.name)
                .collect();
            let close = format.thinking().map(|(_, close)| close);
            let own = |token: &String| {
                token.is_empty()
                    || used.contains(token)
                    || close == Some(token.as_str())
                    || is_mark(*format, token)
            };
            self.special = tokens
                .into_iter()
                .map(Into::into)
                .filter(|token| !own(token))
                .collect();
        }
        self.prepared()
    }

    /// The schemas of the functions: arguments that the format writes as bare text get their types.
    #[must_use]
    pub fn with_tools(mut self, tools: &[Value]) -> Self {
        self.tools = Tools::new(tools);
        self
    }

    /// The prompt before the answer: templates often write its beginning (`<think>`) themselves. Call this last, before
    /// any text is given.
    #[must_use]
    pub fn with_prompt(mut self, prompt: &str) -> Self {
        let begun = match &self.reading {
            Reading::Template(template) => template.begun(prompt),
            Reading::Format(format) => match format.thinking() {
                Some((open, _)) if prompt.trim_end().ends_with(open) => open,
                _ => "",
            },
        };
        let mut events = Vec::new();
        self.scanner.feed(begun, false, &mut events);
        // What the prompt says already is not the model's.
        self
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) -> Vec<AnswerEvent> {
        self.take(text, false)
    }

    /// The rest, and the whole answer.
    pub fn finish(mut self) -> (Vec<AnswerEvent>, Answer) {
        let events = self.take("", true);
        let thinking = Some(self.thinking.text).filter(|text| !text.is_empty());
        let answer = Answer {
            thinking,
            content: self.content.text,
            tool_calls: self.tool_calls,
        };
        (events, answer)
    }

    /// The whole answer at once.
    pub fn parse(mut self, text: &str) -> Answer {
        self.push(text);
        self.finish().1
    }

    fn take(&mut self, text: &str, complete: bool) -> Vec<AnswerEvent> {
        let (mut regions, mut events) = (Vec::new(), Vec::new());
        self.scanner.feed(text, complete, &mut regions);
        for event in regions {
            match event {
                Event::Chunk(region, text) => self.chunk(region, &text, &mut events),
                Event::Close(closed) => self.closed(closed, &mut events),
                Event::Open(_) | Event::Withdrawn(_) => {}
            }
        }
        events
    }

    /// Text that needs no reading is given on at once.
    fn chunk(&mut self, region: usize, text: &str, events: &mut Vec<AnswerEvent>) {
        if self.streams(region) {
            match self.roles[region] {
                Role::Content => self.say(text, events),
                Role::Thinking => {
                    let text = self.thinking.push(text);
                    events.extend(text.map(AnswerEvent::Thinking));
                }
                Role::Calls(_) => {}
            }
        }
    }

    fn streams(&self, region: usize) -> bool {
        match &self.reading {
            Reading::Format(_) => true,
            Reading::Template(template) => template.streams(region),
        }
    }

    fn say(&mut self, text: &str, events: &mut Vec<AnswerEvent>) {
        events.extend(self.content.push(text).map(AnswerEvent::Content));
    }

    fn closed(&mut self, closed: Closed, events: &mut Vec<AnswerEvent>) {
        let calls = match (self.roles[closed.region], &self.reading) {
            (Role::Thinking, _) if self.streams(closed.region) => {
                self.thinking.boundary();
                self.content.boundary();
                return;
            }
            (Role::Content, _) if self.streams(closed.region) => return,
            (Role::Calls(syntax), Reading::Format(_)) => {
                let name = closed.captures.first().map(|(_, name)| name.as_str());
                let calls = syntax.read(&closed.body, name);
                calls.map(|mut calls| {
                    for call in calls.iter_mut().filter(|_| syntax.writes_text()) {
                        self.tools.coerce(&call.name, &mut call.arguments);
                    }
                    calls
                })
            }
            (Role::Calls(_), Reading::Template(template)) => {
                template.value(&closed).1.ok().and_then(|mut value| {
                    self.tools.coerce_calls(&mut value);
                    let list = match value {
                        Value::Array(list) => list,
                        one => vec![one],
                    };
                    list.iter()
                        .map(|value| ToolCall::from_object(value.as_object()?))
                        .collect()
                })
            }
            // Thinking or content that is not plain text in the template: its value, where it is a text.
            (role, Reading::Template(template)) => {
                if let Ok(Value::String(text)) = template.value(&closed).1 {
                    let target = if role == Role::Thinking {
                        &mut self.thinking
                    } else {
                        &mut self.content
                    };
                    let said = target.push(&text);
                    target.boundary();
                    let event = if role == Role::Thinking {
                        AnswerEvent::Thinking
                    } else {
                        AnswerEvent::Content
                    };
                    events.extend(said.map(event));
                    return;
                }
                None
            }
            (Role::Thinking | Role::Content, Reading::Format(_)) => return,
        };
        match calls {
            Some(calls) => {
                self.content.boundary();
                events.extend(calls.iter().cloned().map(AnswerEvent::ToolCall));
                self.tool_calls.extend(calls);
            }
            None => {
                let Closed {
                    open, body, close, ..
                } = closed;
                let end = if self.special.contains(&close) {
                    ""
                } else {
                    close.as_str()
                };
                self.say(&format!("{open}{body}{end}"), events);
            }
        }
    }
}

impl Tokenizer {
    /// The `response_template` of `tokenizer_config.json`, where the model has one.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Response`] where it is not valid.
    pub fn response_template(&self) -> Result<Option<ResponseTemplate>, TokenizeError> {
        match self.config_keys().get("response_template") {
            None | Some(Value::Null) => Ok(None),
            Some(spec) => Ok(Some(ResponseTemplate::new(spec)?)),
        }
    }

    /// The message that an answer says by the model's `response_template`, as transformers' `parse_response` reads it:
    /// [`ResponseTemplate::parse`].
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Response`] where there is no template, it is not valid, or the answer is not as it says.
    pub fn parse_response(
        &self,
        text: &str,
        prefix: &str,
        tools: &[Value],
    ) -> Result<Map<String, Value>, TokenizeError> {
        let missing = || ResponseError::Template("tokenizer_config.json has none".to_owned());
        let template = self.response_template()?.ok_or_else(missing)?;
        Ok(template.parse(text, prefix, tools)?)
    }

    /// A parser of the answers that follow `prompt`, which the chat template made: by the model's own
    /// `response_template`, or in the format that the chat template tells ([`AnswerFormat::detect`]). `tools` are the
    /// schemas that the template was given.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Template`] where there is no chat template, [`TokenizeError::Response`] for a response template that
    /// is not valid.
    pub fn answer_parser(
        &self,
        prompt: &str,
        tools: &[Value],
    ) -> Result<AnswerParser, TokenizeError> {
        let parser = match self.response_template()? {
            Some(template) => AnswerParser::from_template(template),
            None => {
                let template = self.chat_template(None, !tools.is_empty())?;
                AnswerParser::new(AnswerFormat::detect(template.source()))
            }
        };
        Ok(parser
            .with_special_tokens(self.skipped_tokens())
            .with_tools(tools)
            .with_prompt(prompt))
    }
}

/// Whether a special token is one of the format's marks that are part of a longer pattern or a call's inside.
fn is_mark(format: AnswerFormat, token: &str) -> bool {
    let marks: &[&str] = match format {
        AnswerFormat::Harmony => &[
            "<|channel|>",
            "<|message|>",
            "<|constrain|>",
            "<|start|>",
            "<|end|>",
            "<|call|>",
            "<|return|>",
        ],
        AnswerFormat::Hermes | AnswerFormat::QwenCoder => &["</tool_call>"],
        AnswerFormat::Glm => &[
            "</tool_call>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
        ],
        AnswerFormat::Llama4 => &["<|python_end|>"],
        AnswerFormat::Mistral => &["[ARGS]", "[CALL_ID]"],
        AnswerFormat::DeepSeek => &["<｜tool▁sep｜>", "<｜tool▁call▁end｜>"],
        AnswerFormat::CommandA => &["<|END_ACTION|>"],
        AnswerFormat::Granite => &["</tool_call>"],
        AnswerFormat::Phi => &["<|/tool_call|>"],
        AnswerFormat::Kimi => &["<|tool_call_end|>", "<|tool_call_argument_begin|>"],
        _ => &[],
    };
    marks.contains(&token)
}

impl fmt::Debug for AnswerParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerParser")
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

/// Text without the blanks at its ends, given on as soon as it is known that they are not at its end.
#[derive(Clone, Debug, Default)]
struct Trimmed {
    text: String,
    /// Blanks that may be the last.
    held: String,
    /// A region stood here: the blanks beside it become one line break.
    boundary: bool,
    /// Nothing is trimmed.
    verbatim: bool,
}

impl Trimmed {
    /// Adds text; what of it is certain.
    fn push(&mut self, text: &str) -> Option<String> {
        if self.verbatim {
            self.text.push_str(text);
            return Some(text.to_owned()).filter(|text| !text.is_empty());
        }
        let solid = text.trim_end().len();
        let (said, blanks) = text.split_at(solid);
        if said.is_empty() {
            self.held.push_str(blanks);
            return None;
        }
        let mut out = if self.text.is_empty() {
            said.trim_start().to_owned()
        } else if self.boundary {
            format!("\n{}", said.trim_start())
        } else {
            format!("{}{said}", self.held)
        };
        self.boundary = false;
        blanks.clone_into(&mut self.held);
        self.text.push_str(&out);
        out.shrink_to_fit();
        Some(out)
    }

    fn boundary(&mut self) {
        self.boundary = true;
    }
}
