//! `jinja2.lexer.TokenStream`: the current token, and a look at the next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lexer::Lexer;
use super::token::Token;
use crate::fail;
use crate::python::{Error, quoted};

/// The tokens of a template, one of them current.
pub(crate) struct TokenStream {
    lexer: Lexer,
    pushed: VecDeque<(u32, Token)>,
    /// The token to be parsed next.
    pub(crate) current: Token,
    /// Its line, from 1.
    pub(crate) line: u32,
}

impl TokenStream {
    pub(crate) fn new(source: &str) -> Result<Self, Error> {
        let mut stream = Self {
            lexer: Lexer::new(source),
            pushed: VecDeque::new(),
            current: Token::BlockEnd,
            line: 1,
        };
        stream.next()?;
        Ok(stream)
    }

    /// Goes one token ahead and gives the one left behind.
    pub(crate) fn next(&mut self) -> Result<Token, Error> {
        let following = match self.pushed.pop_front() {
            Some(token) => Some(token),
            None if self.current == Token::Eof => return Ok(Token::Eof),
            None => self.lexer.next()?,
        };
        let left = match following {
            Some((line, token)) => {
                self.line = line;
                std::mem::replace(&mut self.current, token)
            }
            None => std::mem::replace(&mut self.current, Token::Eof),
        };
        Ok(left)
    }

    /// The token after the current one.
    pub(crate) fn look(&mut self) -> Result<&Token, Error> {
        if self.pushed.is_empty() {
            let following = self.lexer.next()?.unwrap_or((self.line, Token::Eof));
            self.pushed.push_back(following);
        }
        Ok(&self.pushed[0].1)
    }

    pub(crate) fn skip_name(&mut self, name: &str) -> Result<bool, Error> {
        let found = self.current.is_name(name);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(crate) fn skip_op(&mut self, op: &str) -> Result<bool, Error> {
        let found = self.current.is_op(op);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(crate) fn expect_op(&mut self, op: &str) -> Result<(), Error> {
        if self.skip_op(op)? {
            Ok(())
        } else {
            Err(self.unexpected(op))
        }
    }

    pub(crate) fn expect_name(&mut self, name: &str) -> Result<(), Error> {
        if self.skip_name(name)? {
            Ok(())
        } else {
            Err(self.unexpected(name))
        }
    }

    /// Any name.
    pub(crate) fn expect_any_name(&mut self) -> Result<Arc<str>, Error> {
        match &self.current {
            Token::Name(name) => {
                let name = name.clone();
                self.next()?;
                Ok(name)
            }
            _ => Err(self.unexpected("name")),
        }
    }

    pub(crate) fn expect_block_end(&mut self) -> Result<(), Error> {
        if self.current != Token::BlockEnd {
            return Err(self.unexpected(Token::BlockEnd.describe()));
        }
        self.next().map(drop)
    }

    pub(crate) fn expect_variable_end(&mut self) -> Result<(), Error> {
        if self.current != Token::VariableEnd {
            return Err(self.unexpected(Token::VariableEnd.describe()));
        }
        self.next().map(drop)
    }

    fn unexpected(&self, expected: &str) -> Error {
        let expected = quoted(expected);
        let message = match &self.current {
            Token::Eof => format!("unexpected end of template, expected {expected}."),
            found => format!(
                "expected token {expected}, got {}",
                quoted(found.describe())
            ),
        };
        fail::syntax(message, self.line)
    }
}
