//! Errors of the template engine, by Python's name for each.

use crate::python::{Error, ErrorKind};

fn at(kind: ErrorKind, message: impl Into<String>, line: u32) -> Error {
    Error::new(kind, message).at_line(line as usize)
}

/// jinja2 refuses the template while it reads it.
pub(crate) fn syntax(message: impl Into<String>, line: u32) -> Error {
    at(ErrorKind::TemplateSyntaxError, message, line)
}

/// jinja2 refuses the template while it makes code of it.
pub(crate) fn assertion(message: impl Into<String>, line: u32) -> Error {
    at(ErrorKind::TemplateAssertionError, message, line)
}

/// Python refuses the code that jinja2 makes of the template. Its message would name a line of that code.
pub(crate) fn python_syntax(message: impl Into<String>, line: u32) -> Error {
    at(ErrorKind::SyntaxError, message, line)
}

/// The template is nested too deeply.
pub(crate) fn nesting(line: u32, limit: usize) -> Error {
    at(
        ErrorKind::RecursionError,
        format!("brackets and blocks are nested deeper than {limit} levels"),
        line,
    )
}

/// Python would go on; this crate does not.
pub(crate) fn unsupported(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

/// `TypeError`
pub(crate) fn type_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::TypeError, message)
}

/// `ValueError`
pub(crate) fn value_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ValueError, message)
}

/// `TemplateRuntimeError`
pub(crate) fn runtime(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::TemplateRuntimeError, message)
}

/// `FilterArgumentError`
pub(crate) fn filter_argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::FilterArgumentError, message)
}
