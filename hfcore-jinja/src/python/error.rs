//! Errors under the names of Python's and Jinja's exceptions, with the text that Python gives them.

use std::fmt;

/// Which exception Python would have raised, or which bound of this crate was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source is no template.
    TemplateSyntaxError,
    /// The source is a template that cannot be compiled: unknown filters, a block defined twice.
    TemplateAssertionError,
    /// Python refuses the code that Jinja makes of the template: `break` outside of a loop.
    SyntaxError,
    /// A template to be included is not there.
    TemplatesNotFound,
    /// An undefined value was used.
    UndefinedError,
    /// The sandbox refuses this access.
    SecurityError,
    /// A value of the wrong type.
    TypeError,
    /// A value of the right type that cannot be used.
    ValueError,
    /// A dict has no such key. The message is the key's `repr`, as in Python.
    KeyError,
    /// A sequence has no such index.
    IndexError,
    /// Division by zero.
    ZeroDivisionError,
    /// A number beyond what its type holds.
    OverflowError,
    /// An object has no such attribute.
    AttributeError,
    /// A condition of Jinja's own code does not hold.
    AssertionError,
    /// Python's error for what is none of the others.
    RuntimeError,
    /// Jinja's error at run time.
    TemplateRuntimeError,
    /// A filter was called with arguments that it does not take.
    FilterArgumentError,
    /// `raise_exception` of a chat template.
    TemplateError,
    /// Nesting beyond [`MAX_DEPTH`](super::MAX_DEPTH), or calls beyond the limit.
    RecursionError,
    /// A step of iteration that is not there (`next` of an empty iterator).
    StopIteration,
    /// The limit on work was reached.
    Steps,
    /// The limit on live memory was reached, or one value would pass it.
    Memory,
    /// The limit on output was reached.
    Output,
    /// Python goes on here and this crate does not: integers beyond 128 bits, complex numbers, `bytes`.
    Unsupported,
}

impl ErrorKind {
    /// The exception's name as a traceback prints it; for the crate's own bounds, a word of its own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TemplateSyntaxError => "TemplateSyntaxError",
            Self::TemplateAssertionError => "TemplateAssertionError",
            Self::SyntaxError => "SyntaxError",
            Self::TemplatesNotFound => "TemplatesNotFound",
            Self::AssertionError => "AssertionError",
            Self::RuntimeError => "RuntimeError",
            Self::UndefinedError => "UndefinedError",
            Self::SecurityError => "SecurityError",
            Self::TypeError => "TypeError",
            Self::ValueError => "ValueError",
            Self::KeyError => "KeyError",
            Self::IndexError => "IndexError",
            Self::ZeroDivisionError => "ZeroDivisionError",
            Self::OverflowError => "OverflowError",
            Self::AttributeError => "AttributeError",
            Self::TemplateRuntimeError => "TemplateRuntimeError",
            Self::FilterArgumentError => "FilterArgumentError",
            Self::TemplateError => "TemplateError",
            Self::RecursionError => "RecursionError",
            Self::StopIteration => "StopIteration",
            Self::Steps => "StepLimit",
            Self::Memory => "MemoryLimit",
            Self::Output => "OutputLimit",
            Self::Unsupported => "Unsupported",
        }
    }

    /// Whether this is a bound of the crate's own, which Python does not have.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Steps | Self::Memory | Self::Output)
    }
}

/// An error of a template: the exception, its message, and the line of the template if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    line: Option<usize>,
}

impl Error {
    /// An exception with the message that `str(exception)` gives.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            line: None,
        }
    }

    /// The exception.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exception's message, `str(exception)` in Python.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line of the template, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The same error at a line; the innermost line that was given first stays.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)?;
        match self.line {
            Some(line) => write!(f, " (line {line} of the template)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

pub(crate) fn type_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::TypeError, message)
}

pub(crate) fn value_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ValueError, message)
}

pub(crate) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

pub(crate) fn recursion_error() -> Error {
    Error::new(
        ErrorKind::RecursionError,
        format!(
            "values are nested deeper than {} levels",
            super::meter::MAX_DEPTH
        ),
    )
}
