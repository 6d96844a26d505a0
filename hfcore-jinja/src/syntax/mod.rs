//! From the template's text to its tree: jinja2's `lexer.py`, `parser.py` and `nodes.py`.

pub(crate) mod ast;
mod escapes;
mod expression;
mod lexer;
mod parser;
mod statement;
mod stream;
mod token;

pub(crate) use self::parser::parse;
