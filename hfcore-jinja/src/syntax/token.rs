//! Tokens, and how error messages speak of them.

use std::sync::Arc;

/// What the lexer found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Text outside of tags.
    Data(Arc<str>),
    /// `{{`
    VariableBegin,
    /// `}}`
    VariableEnd,
    /// `{%`
    BlockBegin,
    /// `%}`
    BlockEnd,
    /// A name or keyword; the parser tells them apart.
    Name(Arc<str>),
    /// A string literal, unescaped.
    Str(Arc<str>),
    /// An integer literal.
    Integer(i128),
    /// A float literal.
    Float(f64),
    /// An operator, as it is written.
    Op(&'static str),
    /// The end of the template.
    Eof,
}

impl Token {
    /// Whether this is the name `name`.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        matches!(self, Self::Name(found) if &**found == name)
    }

    /// Whether this is the operator `op`.
    pub(crate) fn is_op(&self, op: &str) -> bool {
        matches!(self, Self::Op(found) if *found == op)
    }

    /// `jinja2.lexer.describe_token`.
    pub(crate) fn describe(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Op(op) => op,
            Self::Data(_) => "template data / text",
            Self::VariableBegin => "begin of print statement",
            Self::VariableEnd => "end of print statement",
            Self::BlockBegin => "begin of statement block",
            Self::BlockEnd => "end of statement block",
            Self::Str(_) => "string",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Eof => "end of template",
        }
    }
}

/// Every operator of the language, longest first, as the lexer tries them.
pub(crate) const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];
