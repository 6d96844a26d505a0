//! The parser's state, and what statements and expressions share: `jinja2.parser.Parser`.

use super::ast::{Block, Body, Function, Template};
use super::stream::TokenStream;
use super::token::Token;
use crate::fail;
use crate::python::{Error, quoted};

/// How deep brackets and blocks may be nested, together. Python gives up at about 70 brackets or 100 blocks;
/// the frames of this many fit a stack of 512 KiB without optimisation.
pub(crate) const MAX_NESTING: usize = 60;

/// What ends the statements being parsed.
pub(crate) type EndTokens = &'static [&'static str];

/// A parser in the middle of a template.
pub(crate) struct Parser {
    pub(crate) stream: TokenStream,
    /// The tags that are open, for error messages.
    pub(crate) tag_stack: Vec<std::sync::Arc<str>>,
    /// What would close them, for error messages.
    pub(crate) end_token_stack: Vec<EndTokens>,
    /// The blocks so far, inner ones before outer ones.
    pub(crate) blocks: Vec<Block>,
    nesting: usize,
}

/// The tree of a template; the compiler fills in its slots.
///
/// # Errors
///
/// `TemplateSyntaxError` and `TemplateAssertionError` with jinja2's messages; nesting of more than [`MAX_NESTING`].
pub(crate) fn parse(source: &str) -> Result<Template, Error> {
    let mut parser = Parser {
        stream: TokenStream::new(source)?,
        tag_stack: Vec::new(),
        end_token_stack: Vec::new(),
        blocks: Vec::new(),
        nesting: 0,
    };
    let body = parser.subparse(None)?;
    Ok(Template {
        body,
        function: Function::default(),
        self_slot: None,
        blocks: parser.blocks,
    })
}

impl Parser {
    /// Runs `parse` one level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.nesting == MAX_NESTING {
            return Err(fail::nesting(self.stream.line, MAX_NESTING));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    /// A syntax error at the current token.
    pub(crate) fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(fail::syntax(message, self.stream.line))
    }

    /// An error for a tag that means nothing here, or for the end of the template (`name` is nothing).
    fn fail_tags(&self, name: Option<&str>, end_tokens: Option<EndTokens>, line: u32) -> Error {
        let mut looking = self.end_token_stack.clone();
        looking.extend(end_tokens);
        let mut message = match name {
            None => "Unexpected end of template.".to_owned(),
            Some(name) => format!("Encountered unknown tag {}.", quoted(name)),
        };
        if let Some(innermost) = looking.last() {
            let tags: Vec<String> = innermost.iter().map(|tag| quoted(tag)).collect();
            let tags = tags.join(" or ");
            if name.is_some_and(|name| looking.iter().any(|tags| tags.contains(&name))) {
                message += &format!(
                    " You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for \
                     {tags}."
                );
            } else {
                message += &format!(" Jinja was looking for the following tags: {tags}.");
            }
        }
        if let Some(tag) = self.tag_stack.last() {
            message += &format!(
                " The innermost block that needs to be closed is {}.",
                quoted(tag)
            );
        }
        fail::syntax(message, line)
    }

    pub(crate) fn unknown_tag(&self, name: &str, line: u32) -> Error {
        self.fail_tags(Some(name), None, line)
    }

    /// Whether the current token is one of `tags`.
    pub(crate) fn at_tag(&self, tags: EndTokens) -> bool {
        matches!(&self.stream.current, Token::Name(name) if tags.contains(&&**name))
    }

    /// The statements of a block, up to one of `end_tokens`, which stays the current token.
    pub(crate) fn parse_statements(&mut self, end_tokens: EndTokens) -> Result<Body, Error> {
        // Python's colon is allowed.
        self.stream.skip_op(":")?;
        self.stream.expect_block_end()?;
        let body = self.nested(|parser| parser.subparse(Some(end_tokens)))?;
        if self.stream.current == Token::Eof {
            return Err(self.fail_tags(None, Some(end_tokens), self.stream.line));
        }
        Ok(body)
    }

    /// The statements of a block whose end has but one name, past that name.
    pub(crate) fn parse_statements_to(&mut self, end_tokens: EndTokens) -> Result<Body, Error> {
        let body = self.parse_statements(end_tokens)?;
        self.stream.next()?;
        Ok(body)
    }
}
