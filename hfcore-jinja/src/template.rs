//! A template, and one render of it.

use std::ops::Range;

use crate::environment::{Environment, Function};
use crate::interpreter::Interpreter;
use crate::python::{Dict, Error, Limits, Meter};
use crate::{compiler, syntax};

/// A template that was read once and can be rendered often, on any thread.
#[derive(Debug)]
pub struct Template {
    tree: syntax::ast::Template,
    source_bytes: usize,
}

/// What a render has besides its variables.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The bounds of the render; without them those of [`Limits::for_input`] for the bytes of the template.
    pub limits: Option<Limits>,
    /// The time that `strftime_now` tells: seconds since 1970-01-01 00:00:00 on the clock that is to be shown, so local
    /// time is UTC's plus the zone's offset. Without it the function is refused. [`now`](crate::python::now) is UTC's.
    pub now: Option<i64>,
    /// Functions besides Jinja's own, or instead of those of the same name.
    pub functions: Vec<Function>,
}

/// What a render gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Where in the text the bodies of `{% generation %}` blocks went, in bytes, as transformers' tracker counts: in the
    /// order of their ends, and off by what was not yet written if a block stands in a macro or another buffer.
    pub generation_spans: Vec<Range<usize>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateSyntaxError`](crate::ErrorKind::TemplateSyntaxError) and
    /// [`ErrorKind::TemplateAssertionError`](crate::ErrorKind::TemplateAssertionError) with jinja2's messages;
    /// [`ErrorKind::SyntaxError`](crate::ErrorKind::SyntaxError) where Python refuses jinja2's code;
    /// [`ErrorKind::RecursionError`](crate::ErrorKind::RecursionError) for nesting of more than 60 levels.
    pub fn new(source: &str) -> Result<Self, Error> {
        let mut tree = syntax::parse(source)?;
        compiler::compile(&mut tree)?;
        Ok(Self {
            tree,
            source_bytes: source.len(),
        })
    }

    /// Renders the template with these variables.
    ///
    /// # Errors
    ///
    /// What Python raises, by its [kind](Error::kind) and with its message; a limit of `options`; and
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for what only Python does.
    pub fn render(&self, variables: &Dict, options: &Options) -> Result<Rendered, Error> {
        let limits = options
            .limits
            .unwrap_or_else(|| Limits::for_input(self.source_bytes));
        let meter = Meter::new(limits);
        let environment = Environment {
            meter: &meter,
            now: options.now,
            functions: &options.functions,
            autoescape: false,
        };
        let (text, spans) = Interpreter::new(&self.tree, environment, variables).render()?;
        let generation_spans = byte_spans(&text, spans);
        Ok(Rendered {
            text,
            generation_spans,
        })
    }
}

/// Spans of characters as spans of bytes; what lies beyond the text ends with it.
fn byte_spans(text: &str, spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    if spans.is_empty() {
        return Vec::new();
    }
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let byte = |at: usize| starts.get(at).copied().unwrap_or(text.len());
    spans
        .into_iter()
        .map(|span| byte(span.start)..byte(span.end))
        .collect()
}
