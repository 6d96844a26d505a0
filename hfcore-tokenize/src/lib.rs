#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod base64;
mod chat;
mod classes;
mod convert;
mod encoding;
mod engine;
mod error;
mod files;
#[allow(dead_code, reason = "the classes that call the library follow")]
mod sentencepiece;
mod special;
mod stream;
mod tokenizer;

pub use serde_json::Value;

pub use self::answer::{
    Answer, AnswerEvent, AnswerFormat, AnswerParser, ResponseError, ResponseTemplate, ToolCall,
};
pub use self::chat::{
    ChatEncoding, ChatOptions, ChatTemplate, ContinueFinalMessage, Message, RenderedChat,
    TemplateError, Tool,
};
pub use self::classes::TimedText;
pub use self::encoding::Encoding;
pub use self::error::TokenizeError;
pub use self::files::TokenizerFiles;
pub use self::special::Side;
pub use self::stream::DecodeStream;
pub use self::tokenizer::Tokenizer;
