//! What can go wrong with a chat template.

use hfcore_jinja::{Error, ErrorKind, Limits};

use crate::error::shortened;

/// Longest message of a template that is passed on, in bytes: it may quote the conversation.
const MAX_MESSAGE: usize = 2000;

/// A chat template that does not compile, refuses the conversation, or exceeds its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// No template has this name.
    #[error(
        "there is no chat template {wanted:?} (found: {found:?}); pass one in ChatOptions::chat_template"
    )]
    Missing {
        /// The name that was looked for.
        wanted: String,
        /// The names that exist.
        found: Vec<String>,
    },
    /// The template is not valid Jinja.
    #[error("the chat template does not compile, line {line}: {message}")]
    Syntax {
        /// Line in the template, from 1.
        line: usize,
        /// What is wrong, in jinja2's words.
        message: String,
    },
    /// The template called `raise_exception`.
    #[error("the chat template refuses the conversation: {0}")]
    Raised(String),
    /// An operation failed, such as an attribute of an undefined value.
    #[error("the chat template failed, line {line}: {exception}: {message}")]
    Failed {
        /// The exception that Python raises here, such as `UndefinedError`.
        exception: &'static str,
        /// Line in the template, from 1; 0 where it is not known.
        line: usize,
        /// What went wrong, in Python's words.
        message: String,
    },
    /// The template ran for longer than any real one.
    #[error("the chat template took more than {limit} steps")]
    Steps {
        /// The limit.
        limit: u64,
    },
    /// The template, its values or its output are larger than allowed.
    #[error("{what} of the chat template would exceed the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The conversation is empty, or an option does not fit it.
    #[error("{0}")]
    Conversation(String),
}

impl TemplateError {
    /// Of reading the template.
    pub(super) fn of_source(error: &Error) -> Self {
        Self::Syntax {
            line: error.line().unwrap_or(1),
            message: shortened(error.message(), MAX_MESSAGE),
        }
    }

    /// Of rendering it within these limits.
    pub(super) fn of_render(error: &Error, limits: &Limits) -> Self {
        let too_large = |what, limit| Self::TooLarge { what, limit };
        match error.kind() {
            ErrorKind::TemplateError => Self::Raised(shortened(error.message(), MAX_MESSAGE)),
            ErrorKind::Steps => Self::Steps {
                limit: limits.steps,
            },
            ErrorKind::Memory => too_large("the values", limits.memory),
            ErrorKind::Output => too_large("the output", limits.output),
            kind => Self::Failed {
                exception: kind.name(),
                line: error.line().unwrap_or(0),
                message: shortened(error.message(), MAX_MESSAGE),
            },
        }
    }
}
