#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod added_token;
mod adding;
mod alignment;
mod answer;
mod base64;
mod batch;
mod chat;
mod classes;
mod convert;
mod decode;
mod encode;
mod encoding;
mod engine;
mod error;
mod files;
mod input;
mod options;
mod options_error;
mod pad;
mod save;
mod sentencepiece;
mod special;
mod stream;
mod threads;
mod tokenizer;
mod truncate;
mod vocabulary;

pub use serde_json::Value;

pub use self::added_token::AddedToken;
pub use self::adding::SpecialTokens;
pub use self::answer::{
    Answer, AnswerEvent, AnswerFormat, AnswerParser, ResponseError, ResponseTemplate, ToolCall,
};
pub use self::batch::BatchEncoding;
pub use self::chat::{
    ChatEncoding, ChatOptions, ChatTemplate, ContinueFinalMessage, Message, RenderedChat,
    TemplateError, Tool,
};
pub use self::classes::TimedText;
pub use self::decode::DecodeOptions;
pub use self::encoding::Encoding;
pub use self::error::TokenizeError;
pub use self::files::TokenizerFiles;
pub use self::input::EncodeInput;
pub use self::options::{EncodeOptions, Padding, Truncation};
pub use self::options_error::OptionsError;
pub use self::special::Side;
pub use self::stream::DecodeStream;
pub use self::tokenizer::Tokenizer;
