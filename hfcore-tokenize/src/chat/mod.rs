//! Chat templates: a conversation to the prompt that the model was trained on.

mod error;
mod guard;
mod json;
mod message;
mod python;
mod template;
mod time;

pub use self::error::TemplateError;
pub use self::message::{ChatOptions, Message};
pub use self::template::ChatTemplate;
