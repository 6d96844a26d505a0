//! Chat templates: a conversation to the prompt that the model was trained on.

mod control;
mod encode;
mod error;
mod final_message;
mod guard;
mod message;
mod options;
mod template;
mod tool;

pub use self::encode::ChatEncoding;
pub use self::error::TemplateError;
pub use self::message::Message;
pub use self::options::{ChatOptions, ContinueFinalMessage};
pub use self::template::{ChatTemplate, RenderedChat};
pub use self::tool::Tool;
