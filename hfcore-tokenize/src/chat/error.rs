//! What can go wrong with a chat template.

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
    /// The template is not valid, or uses a tag, filter or function that is not implemented.
    #[error("the chat template does not compile, line {line}: {message}")]
    Syntax {
        /// Line in the template, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The template called `raise_exception`.
    #[error("the chat template refuses the conversation: {0}")]
    Raised(String),
    /// An operation failed, such as an attribute of an undefined value.
    #[error("the chat template failed, line {line}: {message}")]
    Failed {
        /// Line in the template, from 1; 0 where it is not known.
        line: usize,
        /// What went wrong.
        message: String,
    },
    /// The template ran for longer than any real one.
    #[error("the chat template took more than {limit} steps")]
    Steps {
        /// The limit.
        limit: u64,
    },
    /// The template, its nesting, a value or its output is larger than allowed.
    #[error("{what} of the chat template is {found}, more than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The conversation is empty, or an option does not fit it.
    #[error("{0}")]
    Conversation(String),
}
