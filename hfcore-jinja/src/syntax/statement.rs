//! Statements: the first half of `jinja2.parser.Parser`.

use std::sync::Arc;

use super::ast::{
    Assign, AssignBlock, Autoescape, Block, BlockCall, Body, CallBlock, Escape, Expr, FilterBlock,
    For, Function, If, Import, Include, LoopFilter, MacroCode, MacroStatement, Name, Post, Scope,
    Sign, Slot, Statement, StatementKind, Target, With,
};
use super::expression::TupleItems;
use super::parser::{EndTokens, Parser};
use super::token::Token;
use crate::fail;
use crate::python::{Error, is_space, quoted};

impl Parser {
    /// Text and statements up to one of `end_tokens`, or to the end of the template.
    pub(crate) fn subparse(&mut self, end_tokens: Option<EndTokens>) -> Result<Body, Error> {
        let mut body = Vec::new();
        self.end_token_stack.extend(end_tokens);
        loop {
            let line = self.stream.line;
            match &self.stream.current {
                Token::Data(text) => {
                    body.push(Statement {
                        line,
                        kind: StatementKind::Data(text.clone()),
                    });
                    self.stream.next()?;
                }
                Token::VariableBegin => {
                    self.stream.next()?;
                    let value = self.parse_tuple(TupleItems::Expression, false)?;
                    body.push(Statement {
                        line,
                        kind: StatementKind::Output(value, Escape::Off),
                    });
                    self.stream.expect_variable_end()?;
                }
                Token::BlockBegin => {
                    self.stream.next()?;
                    if end_tokens.is_some_and(|tags| self.at_tag(tags)) {
                        break;
                    }
                    self.parse_statement(&mut body)?;
                    self.stream.expect_block_end()?;
                }
                // The lexer gives other tokens only within a tag.
                _ => break,
            }
        }
        if end_tokens.is_some() {
            self.end_token_stack.pop();
        }
        Ok(body)
    }

    fn parse_statement(&mut self, body: &mut Body) -> Result<(), Error> {
        let line = self.stream.line;
        let Token::Name(tag) = &self.stream.current else {
            return self.fail("tag name expected");
        };
        let tag = tag.clone();
        if !is_tag(&tag) {
            return Err(self.unknown_tag(&tag, line));
        }
        self.tag_stack.push(tag.clone());
        self.stream.next()?;
        let kind = match &*tag {
            "for" => self.parse_for()?,
            "if" => self.parse_if()?,
            "block" => self.parse_block(line)?,
            "extends" => StatementKind::Extends(self.parse_expression()?),
            "print" => {
                self.parse_print(body)?;
                self.tag_stack.pop();
                return Ok(());
            }
            "macro" => self.parse_macro(line)?,
            "include" => self.parse_include()?,
            "from" => self.parse_from()?,
            "import" => self.parse_import()?,
            "set" => self.parse_set()?,
            "with" => self.parse_with()?,
            "autoescape" => self.parse_autoescape()?,
            "call" => self.parse_call_block(line)?,
            "filter" => self.parse_filter_block()?,
            "generation" => {
                let statements = self.parse_statements_to(&["endgeneration"])?;
                StatementKind::Generation(Arc::new(macro_code(
                    None,
                    Vec::new(),
                    Vec::new(),
                    statements,
                )))
            }
            "break" => StatementKind::Break,
            _ => StatementKind::Continue,
        };
        body.push(Statement { line, kind });
        self.tag_stack.pop();
        Ok(())
    }

    fn parse_set(&mut self) -> Result<StatementKind, Error> {
        let target = self.parse_assign_target(true)?;
        if self.stream.skip_op("=")? {
            let value = self.parse_tuple(TupleItems::Expression, false)?;
            return Ok(StatementKind::Assign(Box::new(Assign {
                target,
                value,
                export: false,
            })));
        }
        let mut filters = Vec::new();
        self.parse_filters(&mut filters, false)?;
        let body = self.parse_statements_to(&["endset"])?;
        Ok(StatementKind::AssignBlock(Box::new(AssignBlock {
            target,
            filters,
            body,
            scope: Scope::default(),
            escape: Escape::Off,
            export: false,
        })))
    }

    fn parse_for(&mut self) -> Result<StatementKind, Error> {
        let target = self.parse_assign_target(false)?;
        self.stream.expect_name("in")?;
        let iter = self.parse_tuple(TupleItems::NoConditional, false)?;
        let test = if self.stream.skip_name("if")? {
            Some(self.parse_expression()?)
        } else {
            None
        };
        let filter = test.map(|test| LoopFilter {
            target: target.clone(),
            test,
            function: Function::default(),
        });
        let recursive = self.stream.skip_name("recursive")?.then(Function::default);
        let body = self.parse_statements(&["endfor", "else"])?;
        let otherwise = if self.stream.next()?.is_name("endfor") {
            Vec::new()
        } else {
            self.parse_statements_to(&["endfor"])?
        };
        Ok(StatementKind::For(Arc::new(For {
            target,
            iter,
            filter,
            recursive,
            loop_slot: None,
            body,
            scope: Scope::default(),
            otherwise,
            otherwise_scope: Scope::default(),
            escape: Escape::Off,
        })))
    }

    fn parse_if(&mut self) -> Result<StatementKind, Error> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let test = self.parse_tuple(TupleItems::NoConditional, false)?;
            branches.push((test, self.parse_statements(&["elif", "else", "endif"])?));
            let token = self.stream.next()?;
            if token.is_name("elif") {
                continue;
            }
            if token.is_name("else") {
                otherwise = self.parse_statements_to(&["endif"])?;
            }
            return Ok(StatementKind::If(Box::new(If {
                branches,
                otherwise,
            })));
        }
    }

    fn parse_with(&mut self) -> Result<StatementKind, Error> {
        let mut assignments = Vec::new();
        while self.stream.current != Token::BlockEnd {
            if !assignments.is_empty() {
                self.stream.expect_op(",")?;
            }
            let target = self.parse_assign_target(false)?;
            self.stream.expect_op("=")?;
            assignments.push((target, self.parse_expression()?));
        }
        let body = self.parse_statements_to(&["endwith"])?;
        Ok(StatementKind::With(Box::new(With {
            assignments,
            body,
            scope: Scope::default(),
        })))
    }

    fn parse_autoescape(&mut self) -> Result<StatementKind, Error> {
        let value = self.parse_expression()?;
        let body = self.parse_statements_to(&["endautoescape"])?;
        Ok(StatementKind::Autoescape(Box::new(Autoescape {
            value,
            body,
            scope: Scope::default(),
        })))
    }

    fn parse_block(&mut self, line: u32) -> Result<StatementKind, Error> {
        let name = self.stream.expect_any_name()?;
        let scoped = self.stream.skip_name("scoped")?;
        let required = self.stream.skip_name("required")?;
        if self.stream.current.is_op("-") {
            return self.fail(
                "Block names in Jinja have to be valid Python identifiers and may not contain hyphens, use an \
                 underscore instead.",
            );
        }
        let body = self.parse_statements_to(&["endblock"])?;
        let blank = |statement: &Statement| match &statement.kind {
            StatementKind::Data(text) => text.chars().all(is_space),
            _ => false,
        };
        if required && !body.iter().all(blank) {
            return self.fail("Required blocks can only contain comments or whitespace");
        }
        self.stream.skip_name(&name)?;
        let call = BlockCall {
            locals: scoped.then(Vec::new),
        };
        self.blocks.push(Block {
            name,
            line,
            scoped,
            required,
            body,
            function: Function::default(),
            self_slot: None,
            super_slot: None,
        });
        Ok(StatementKind::Block(self.blocks.len() - 1, Box::new(call)))
    }

    /// `with context` and `without context`.
    fn parse_import_context(&mut self) -> Result<bool, Error> {
        let with = self.stream.current.is_name("with") || self.stream.current.is_name("without");
        if with && self.stream.look()?.is_name("context") {
            self.stream.next()?;
            self.stream.next()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn parse_include(&mut self) -> Result<StatementKind, Error> {
        let template = self.parse_expression()?;
        let mut ignore_missing = false;
        if self.stream.current.is_name("ignore") && self.stream.look()?.is_name("missing") {
            ignore_missing = true;
            self.stream.next()?;
            self.stream.next()?;
        }
        self.parse_import_context()?;
        Ok(StatementKind::Include(Box::new(Include {
            template,
            ignore_missing,
        })))
    }

    fn parse_import(&mut self) -> Result<StatementKind, Error> {
        let template = self.parse_expression()?;
        self.stream.expect_name("as")?;
        let name = self.parse_name_target()?;
        self.parse_import_context()?;
        Ok(StatementKind::Import(Box::new(Import {
            template,
            names: vec![name],
        })))
    }

    fn parse_from(&mut self) -> Result<StatementKind, Error> {
        let template = self.parse_expression()?;
        self.stream.expect_name("import")?;
        let mut names = Vec::new();
        loop {
            if !names.is_empty() {
                self.stream.expect_op(",")?;
            }
            if !matches!(self.stream.current, Token::Name(_)) {
                self.stream.expect_any_name()?;
            }
            if self.parse_import_context()? {
                break;
            }
            let line = self.stream.line;
            let name = self.parse_name_target()?;
            if name.starts_with('_') {
                return Err(fail::assertion(
                    "names starting with an underline can not be imported",
                    line,
                ));
            }
            names.push(if self.stream.skip_name("as")? {
                self.parse_name_target()?
            } else {
                name
            });
            if self.parse_import_context()? || !self.stream.current.is_op(",") {
                break;
            }
        }
        Ok(StatementKind::Import(Box::new(Import { template, names })))
    }

    /// `(arguments)` of a macro or a call block: names and the defaults of the last of them.
    fn parse_signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>), Error> {
        let mut arguments: Vec<Name> = Vec::new();
        let mut defaults = Vec::new();
        self.stream.expect_op("(")?;
        while !self.stream.current.is_op(")") {
            if !arguments.is_empty() {
                self.stream.expect_op(",")?;
            }
            let name = self.parse_name_target()?;
            if self.stream.skip_op("=")? {
                defaults.push(self.parse_expression()?);
            } else if !defaults.is_empty() {
                return self.fail("non-default argument follows default argument");
            }
            arguments.push(Name {
                name,
                slot: Slot::default(),
            });
        }
        self.stream.expect_op(")")?;
        Ok((arguments, defaults))
    }

    fn parse_call_block(&mut self, line: u32) -> Result<StatementKind, Error> {
        let (arguments, defaults) = if self.stream.current.is_op("(") {
            self.parse_signature()?
        } else {
            (Vec::new(), Vec::new())
        };
        let call = self.parse_expression()?;
        if !matches!(&call, Expr::Postfix(postfix) if matches!(postfix.ops.last(), Some(Post::Call(_))))
        {
            return Err(fail::syntax("expected call", line));
        }
        let body = self.parse_statements_to(&["endcall"])?;
        let code = Arc::new(macro_code(None, arguments, defaults, body));
        Ok(StatementKind::CallBlock(Box::new(CallBlock { call, code })))
    }

    fn parse_filter_block(&mut self) -> Result<StatementKind, Error> {
        let mut filters = Vec::new();
        self.parse_filters(&mut filters, true)?;
        let body = self.parse_statements_to(&["endfilter"])?;
        Ok(StatementKind::FilterBlock(Box::new(FilterBlock {
            filters,
            body,
            scope: Scope::default(),
            escape: Escape::Off,
        })))
    }

    fn parse_macro(&mut self, _line: u32) -> Result<StatementKind, Error> {
        let name = self.parse_name_target()?;
        let (arguments, defaults) = self.parse_signature()?;
        let body = self.parse_statements_to(&["endmacro"])?;
        let code = Arc::new(macro_code(Some(name.clone()), arguments, defaults, body));
        let name = Name {
            name,
            slot: Slot::default(),
        };
        Ok(StatementKind::Macro(Box::new(MacroStatement {
            name,
            code,
            export: false,
        })))
    }

    fn parse_print(&mut self, body: &mut Body) -> Result<(), Error> {
        let mut first = true;
        while self.stream.current != Token::BlockEnd {
            if !first {
                self.stream.expect_op(",")?;
            }
            first = false;
            let line = self.stream.line;
            let value = self.parse_expression()?;
            body.push(Statement {
                line,
                kind: StatementKind::Output(value, Escape::Off),
            });
        }
        Ok(())
    }

    /// `parse_assign_target(name_only=True)`
    fn parse_name_target(&mut self) -> Result<Arc<str>, Error> {
        let line = self.stream.line;
        let name = self.stream.expect_any_name()?;
        if matches!(
            &*name,
            "true" | "false" | "none" | "True" | "False" | "None"
        ) {
            return Err(fail::syntax("can't assign to 'name'", line));
        }
        Ok(name)
    }

    /// `parse_assign_target`: names and tuples of them.
    fn parse_assign_target(&mut self, with_namespace: bool) -> Result<Target, Error> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        let mut line = self.stream.line;
        loop {
            if !targets.is_empty() {
                self.stream.expect_op(",")?;
            }
            if self.is_tuple_end() {
                break;
            }
            targets.push((self.parse_target_item(with_namespace)?, line));
            if !self.stream.current.is_op(",") {
                break;
            }
            is_tuple = true;
            line = self.stream.line;
        }
        if is_tuple {
            let items: Option<Vec<Target>> =
                targets.into_iter().map(|(item, _)| item.ok()).collect();
            return items
                .map(Target::Tuple)
                .ok_or_else(|| cannot_assign("tuple", line));
        }
        match targets.pop() {
            Some((item, line)) => item.map_err(|class| cannot_assign(class, line)),
            None => {
                let found = quoted(self.stream.current.describe());
                self.fail(format!("Expected an expression, got {found}"))
            }
        }
    }

    /// One item of a target, or the class of the expression that cannot be one.
    fn parse_target_item(
        &mut self,
        with_namespace: bool,
    ) -> Result<Result<Target, &'static str>, Error> {
        let value = self.parse_primary()?;
        if let Expr::Name(name) = &value
            && with_namespace
            && self.stream.skip_op(".")?
        {
            let attribute = self.stream.expect_any_name()?;
            return Ok(Ok(Target::Namespace((**name).clone(), attribute)));
        }
        Ok(target(value))
    }
}

fn cannot_assign(class: &str, line: u32) -> Error {
    fail::syntax(format!("can't assign to {}", quoted(class)), line)
}

/// An expression as a target, or its class in `jinja2.nodes`, in lower case.
fn target(value: Expr) -> Result<Target, &'static str> {
    Err(match value {
        Expr::Name(name) => return Ok(Target::Name(*name)),
        Expr::Tuple(items) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(target).collect();
            return items.map(Target::Tuple).map_err(|_| "tuple");
        }
        Expr::Const(_) => "const",
        Expr::List(_) => "list",
        Expr::Dict(_) => "dict",
        Expr::Or(_) => "or",
        Expr::And(_) => "and",
        Expr::Not(..) => "not",
        Expr::Compare(_) => "compare",
        Expr::Arithmetic(chain) => chain.rest.last().expect("a chain has operators").0.class(),
        Expr::Concat(..) => "concat",
        Expr::Unary(signed) => match signed.0[0] {
            Sign::Neg => "neg",
            Sign::Pos => "pos",
        },
        Expr::Postfix(postfix) => match postfix.ops.last().expect("one at least") {
            Post::Getattr(_) => "getattr",
            Post::Getitem(_) | Post::Slice(_) => "getitem",
            Post::Call(_) => "call",
            Post::Filter(_) => "filter",
            Post::Test(call) if call.negated => "not",
            Post::Test(_) => "test",
        },
        Expr::Conditional(_) => "condexpr",
    })
}

fn macro_code(
    name: Option<Arc<str>>,
    arguments: Vec<Name>,
    defaults: Vec<Expr>,
    body: Body,
) -> MacroCode {
    MacroCode {
        name,
        arguments,
        defaults,
        body,
        function: Function::default(),
        caller: None,
        kwargs: None,
        varargs: None,
        accesses_caller: false,
    }
}

/// The tags of jinja2, of its loop controls and of transformers.
fn is_tag(name: &str) -> bool {
    matches!(
        name,
        "for"
            | "if"
            | "block"
            | "extends"
            | "print"
            | "macro"
            | "include"
            | "from"
            | "import"
            | "set"
            | "with"
            | "autoescape"
            | "call"
            | "filter"
            | "generation"
            | "break"
            | "continue"
    )
}
