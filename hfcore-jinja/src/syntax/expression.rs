//! Expressions: the second half of `jinja2.parser.Parser`.

use std::sync::Arc;

use super::ast::{
    Arguments, Arithmetic, ArithmeticOp, Branch, Compare, CompareOp, Conditional, Escape, Expr,
    FilterCall, Name, Post, Postfix, Sign, Slot, TestCall,
};
use super::parser::Parser;
use super::token::Token;
use crate::fail;
use crate::filters;
use crate::python::{Error, Str, Value, quoted};
use crate::tests;

/// What can be written where a tuple without parentheses is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum TupleItems {
    /// Any expression.
    Expression,
    /// Anything but `a if b else c`, because `if` follows.
    NoConditional,
}

impl Parser {
    /// `parse_tuple`: an expression, or several with commas.
    pub(crate) fn parse_tuple(
        &mut self,
        items: TupleItems,
        parenthesized: bool,
    ) -> Result<Expr, Error> {
        let mut values = Vec::new();
        let mut is_tuple = false;
        loop {
            if !values.is_empty() {
                self.stream.expect_op(",")?;
            }
            if self.is_tuple_end() {
                break;
            }
            values.push(match items {
                TupleItems::Expression => self.parse_expression()?,
                TupleItems::NoConditional => self.parse_or()?,
            });
            if self.stream.current.is_op(",") {
                is_tuple = true;
            } else {
                break;
            }
        }
        if !is_tuple {
            if let Some(value) = values.pop() {
                return Ok(value);
            }
            if !parenthesized {
                let found = quoted(self.stream.current.describe());
                return self.fail(format!("Expected an expression, got {found}"));
            }
        }
        Ok(Expr::Tuple(values))
    }

    /// Whether a tuple without parentheses ends here. jinja2 means to end it at keywords too (`in`, `recursive`), but
    /// compares them to a tuple of names, which is never equal.
    pub(crate) fn is_tuple_end(&self) -> bool {
        matches!(
            self.stream.current,
            Token::VariableEnd | Token::BlockEnd | Token::Op(")")
        )
    }

    /// `parse_condexpr`: `a if b else c`, however often.
    pub(crate) fn parse_expression(&mut self) -> Result<Expr, Error> {
        let mut branches = Vec::new();
        loop {
            let mut line = self.stream.line;
            let value = self.parse_or()?;
            let mut tests = Vec::new();
            let mut otherwise = false;
            while !otherwise && self.stream.skip_name("if")? {
                tests.push((self.parse_or()?, line));
                otherwise = self.stream.skip_name("else")?;
                line = self.stream.line;
            }
            if tests.is_empty() {
                if branches.is_empty() {
                    return Ok(value);
                }
                return Ok(Expr::Conditional(Box::new(Conditional {
                    branches,
                    otherwise: Some(value),
                })));
            }
            branches.push(Branch { value, tests });
            if !otherwise {
                return Ok(Expr::Conditional(Box::new(Conditional {
                    branches,
                    otherwise: None,
                })));
            }
        }
    }

    pub(crate) fn parse_or(&mut self) -> Result<Expr, Error> {
        self.nested(|parser| {
            let first = parser.parse_and()?;
            if !parser.stream.current.is_name("or") {
                return Ok(first);
            }
            let mut operands = vec![first];
            while parser.stream.skip_name("or")? {
                operands.push(parser.parse_and()?);
            }
            Ok(Expr::Or(operands))
        })
    }

    fn parse_and(&mut self) -> Result<Expr, Error> {
        let first = self.parse_not()?;
        if !self.stream.current.is_name("and") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.stream.skip_name("and")? {
            operands.push(self.parse_not()?);
        }
        Ok(Expr::And(operands))
    }

    fn parse_not(&mut self) -> Result<Expr, Error> {
        let mut count = 0_usize;
        while self.stream.skip_name("not")? {
            count += 1;
        }
        let operand = self.parse_compare()?;
        Ok(if count == 0 {
            operand
        } else {
            Expr::Not(Box::new(operand), count % 2 == 1)
        })
    }

    fn parse_compare(&mut self) -> Result<Expr, Error> {
        let first = self.parse_sum()?;
        let mut rest = Vec::new();
        while let Some(op) = self.compare_op()? {
            rest.push((op, self.parse_sum()?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expr::Compare(Box::new(Compare { first, rest }))
        })
    }

    /// The comparison that comes next, and past it.
    fn compare_op(&mut self) -> Result<Option<CompareOp>, Error> {
        let op = match &self.stream.current {
            Token::Op("==") => CompareOp::Eq,
            Token::Op("!=") => CompareOp::Ne,
            Token::Op("<") => CompareOp::Lt,
            Token::Op("<=") => CompareOp::Le,
            Token::Op(">") => CompareOp::Gt,
            Token::Op(">=") => CompareOp::Ge,
            token if token.is_name("in") => CompareOp::In,
            token if token.is_name("not") => {
                if !self.stream.look()?.is_name("in") {
                    return Ok(None);
                }
                self.stream.next()?;
                CompareOp::NotIn
            }
            _ => return Ok(None),
        };
        self.stream.next()?;
        Ok(Some(op))
    }

    /// `parse_math1`
    fn parse_sum(&mut self) -> Result<Expr, Error> {
        self.parse_chain(Self::parse_concat, |op| match op {
            "+" => Some(ArithmeticOp::Add),
            "-" => Some(ArithmeticOp::Sub),
            _ => None,
        })
    }

    fn parse_concat(&mut self) -> Result<Expr, Error> {
        let first = self.parse_product()?;
        if !self.stream.current.is_op("~") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.stream.skip_op("~")? {
            operands.push(self.parse_product()?);
        }
        Ok(Expr::Concat(operands, Escape::Off))
    }

    /// `parse_math2`
    fn parse_product(&mut self) -> Result<Expr, Error> {
        self.parse_chain(Self::parse_power, |op| match op {
            "*" => Some(ArithmeticOp::Mul),
            "/" => Some(ArithmeticOp::Div),
            "//" => Some(ArithmeticOp::FloorDiv),
            "%" => Some(ArithmeticOp::Mod),
            _ => None,
        })
    }

    /// `parse_pow`: to the left, unlike Python.
    fn parse_power(&mut self) -> Result<Expr, Error> {
        self.parse_chain(Self::parse_unary, |op| {
            (op == "**").then_some(ArithmeticOp::Pow)
        })
    }

    /// Operators of one precedence.
    fn parse_chain(
        &mut self,
        operand: fn(&mut Self) -> Result<Expr, Error>,
        operator: fn(&str) -> Option<ArithmeticOp>,
    ) -> Result<Expr, Error> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Token::Op(op) = self.stream.current {
            let Some(op) = operator(op) else { break };
            self.stream.next()?;
            rest.push((op, operand(self)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expr::Arithmetic(Box::new(Arithmetic { first, rest }))
        })
    }

    /// `parse_unary`: attributes and calls bind closer than a sign, filters and tests do not.
    fn parse_unary(&mut self) -> Result<Expr, Error> {
        let mut signs = Vec::new();
        loop {
            match self.stream.current {
                Token::Op("-") => signs.push(Sign::Neg),
                Token::Op("+") => signs.push(Sign::Pos),
                _ => break,
            }
            self.stream.next()?;
        }
        let base = self.parse_primary()?;
        let mut ops = Vec::new();
        self.parse_postfix(&mut ops)?;
        if signs.is_empty() {
            self.parse_filter_expr(&mut ops)?;
            return Ok(postfix(base, ops));
        }
        let signed = Expr::Unary(Box::new((signs, postfix(base, ops))));
        let mut ops = Vec::new();
        self.parse_filter_expr(&mut ops)?;
        Ok(postfix(signed, ops))
    }

    /// A name, a literal, or something in brackets.
    pub(crate) fn parse_primary(&mut self) -> Result<Expr, Error> {
        match &self.stream.current {
            Token::Name(name) => {
                let expr = match &**name {
                    "true" | "True" => Expr::Const(Value::Bool(true)),
                    "false" | "False" => Expr::Const(Value::Bool(false)),
                    "none" | "None" => Expr::Const(Value::None),
                    _ => Expr::Name(Box::new(Name {
                        name: name.clone(),
                        slot: Slot::default(),
                    })),
                };
                self.stream.next()?;
                Ok(expr)
            }
            Token::Str(text) => {
                let mut text = text.clone();
                self.stream.next()?;
                if matches!(self.stream.current, Token::Str(_)) {
                    let mut joined = text.to_string();
                    while let Token::Str(more) = &self.stream.current {
                        joined += more;
                        self.stream.next()?;
                    }
                    text = joined.into();
                }
                Ok(Expr::Const(Value::Str(Str::constant(&*text))))
            }
            &Token::Integer(value) => {
                self.stream.next()?;
                Ok(Expr::Const(Value::Int(value)))
            }
            &Token::Float(value) => {
                self.stream.next()?;
                Ok(Expr::Const(Value::Float(value)))
            }
            Token::Op("(") => {
                self.stream.next()?;
                let value = self.parse_tuple(TupleItems::Expression, true)?;
                self.stream.expect_op(")")?;
                Ok(value)
            }
            Token::Op("[") => self.parse_list(),
            Token::Op("{") => self.parse_dict(),
            found => {
                let found = quoted(found.describe());
                self.fail(format!("unexpected {found}"))
            }
        }
    }

    fn parse_list(&mut self) -> Result<Expr, Error> {
        self.stream.expect_op("[")?;
        let mut items = Vec::new();
        while !self.stream.current.is_op("]") {
            if !items.is_empty() {
                self.stream.expect_op(",")?;
            }
            if self.stream.current.is_op("]") {
                break;
            }
            items.push(self.parse_expression()?);
        }
        self.stream.expect_op("]")?;
        Ok(Expr::List(items))
    }

    fn parse_dict(&mut self) -> Result<Expr, Error> {
        self.stream.expect_op("{")?;
        let mut items = Vec::new();
        while !self.stream.current.is_op("}") {
            if !items.is_empty() {
                self.stream.expect_op(",")?;
            }
            if self.stream.current.is_op("}") {
                break;
            }
            let key = self.parse_expression()?;
            self.stream.expect_op(":")?;
            items.push((key, self.parse_expression()?));
        }
        self.stream.expect_op("}")?;
        Ok(Expr::Dict(items))
    }

    /// Attributes, items and calls.
    fn parse_postfix(&mut self, ops: &mut Vec<Post>) -> Result<(), Error> {
        loop {
            let op = match self.stream.current {
                Token::Op(".") => self.parse_attribute()?,
                Token::Op("[") => self.parse_subscript()?,
                Token::Op("(") => Post::Call(Box::new(self.parse_call_args()?)),
                _ => return Ok(()),
            };
            ops.push(op);
        }
    }

    /// Filters and tests, and calls of what they give.
    fn parse_filter_expr(&mut self, ops: &mut Vec<Post>) -> Result<(), Error> {
        loop {
            match &self.stream.current {
                Token::Op("|") => self.parse_filters(ops, false)?,
                Token::Op("(") => ops.push(Post::Call(Box::new(self.parse_call_args()?))),
                token if token.is_name("is") => ops.push(self.parse_test()?),
                _ => return Ok(()),
            }
        }
    }

    fn parse_attribute(&mut self) -> Result<Post, Error> {
        self.stream.expect_op(".")?;
        let line = self.stream.line;
        match self.stream.next()? {
            Token::Name(name) => Ok(Post::Getattr(name)),
            Token::Integer(index) => Ok(Post::Getitem(Expr::Const(Value::Int(index)))),
            _ => Err(fail::syntax("expected name or number", line)),
        }
    }

    fn parse_subscript(&mut self) -> Result<Post, Error> {
        self.stream.expect_op("[")?;
        let line = self.stream.line;
        let mut items = Vec::new();
        while !self.stream.current.is_op("]") {
            if !items.is_empty() {
                self.stream.expect_op(",")?;
            }
            items.push(self.parse_subscribed()?);
        }
        self.stream.expect_op("]")?;
        if items.len() == 1 {
            return Ok(items.remove(0));
        }
        let items = items.into_iter().map(|item| match item {
            Post::Getitem(item) => Ok(item),
            // jinja2 makes Python code of it, which Python refuses.
            _ => Err(fail::python_syntax("invalid syntax", line)),
        });
        Ok(Post::Getitem(Expr::Tuple(items.collect::<Result<_, _>>()?)))
    }

    /// One item in brackets: an expression or a slice.
    fn parse_subscribed(&mut self) -> Result<Post, Error> {
        let start = if self.stream.current.is_op(":") {
            None
        } else {
            Some(self.parse_expression()?)
        };
        if !self.stream.current.is_op(":") {
            return Ok(Post::Getitem(start.expect("no colon came first")));
        }
        self.stream.next()?;
        let ends = |parser: &Self| matches!(parser.stream.current, Token::Op("]" | ","));
        let stop = if self.stream.current.is_op(":") || ends(self) {
            None
        } else {
            Some(self.parse_expression()?)
        };
        let mut step = None;
        if self.stream.skip_op(":")? && !ends(self) {
            step = Some(self.parse_expression()?);
        }
        Ok(Post::Slice(Box::new([start, stop, step])))
    }

    pub(crate) fn parse_call_args(&mut self) -> Result<Arguments, Error> {
        let line = self.stream.line;
        self.stream.expect_op("(")?;
        let mut arguments = Arguments::default();
        let ensure = |allowed: bool| {
            if allowed {
                Ok(())
            } else {
                Err(fail::syntax(
                    "invalid syntax for function call expression",
                    line,
                ))
            }
        };
        let mut require_comma = false;
        while !self.stream.current.is_op(")") {
            if require_comma {
                self.stream.expect_op(",")?;
                if self.stream.current.is_op(")") {
                    break;
                }
            }
            if self.stream.current.is_op("*") {
                ensure(arguments.star.is_none() && arguments.double_star.is_none())?;
                self.stream.next()?;
                arguments.star = Some(self.parse_expression()?);
            } else if self.stream.current.is_op("**") {
                ensure(arguments.double_star.is_none())?;
                self.stream.next()?;
                arguments.double_star = Some(self.parse_expression()?);
            } else if let Some(key) = self.keyword()? {
                ensure(arguments.double_star.is_none())?;
                self.stream.next()?;
                self.stream.next()?;
                let value = self.parse_expression()?;
                if arguments.keyword.iter().any(|(name, _)| *name == key) {
                    return Err(fail::python_syntax(
                        format!("keyword argument repeated: {key}"),
                        line,
                    ));
                }
                arguments.keyword.push((key, value));
            } else {
                let first = arguments.star.is_none()
                    && arguments.double_star.is_none()
                    && arguments.keyword.is_empty();
                ensure(first)?;
                arguments.positional.push(self.parse_expression()?);
            }
            require_comma = true;
        }
        self.stream.expect_op(")")?;
        Ok(arguments)
    }

    /// The name of a keyword argument, if one comes next.
    fn keyword(&mut self) -> Result<Option<Arc<str>>, Error> {
        let Token::Name(name) = &self.stream.current else {
            return Ok(None);
        };
        let name = name.clone();
        Ok(self.stream.look()?.is_op("=").then_some(name))
    }

    /// `a.b.c`, as filters and tests may be called.
    fn dotted_name(&mut self) -> Result<Arc<str>, Error> {
        let name = self.stream.expect_any_name()?;
        if !self.stream.current.is_op(".") {
            return Ok(name);
        }
        let mut dotted = name.to_string();
        while self.stream.skip_op(".")? {
            dotted.push('.');
            dotted += &self.stream.expect_any_name()?;
        }
        Ok(dotted.into())
    }

    /// `|name(arguments)`, however often; `inline` for a filter block, where the first has no `|`.
    pub(crate) fn parse_filters(
        &mut self,
        ops: &mut Vec<Post>,
        mut inline: bool,
    ) -> Result<(), Error> {
        while inline || self.stream.skip_op("|")? {
            inline = false;
            let line = self.stream.line;
            let name = self.dotted_name()?;
            let arguments = if self.stream.current.is_op("(") {
                self.parse_call_args()?
            } else {
                Arguments::default()
            };
            let filter = filters::find(&name);
            ops.push(Post::Filter(Box::new(FilterCall {
                name,
                filter,
                arguments,
                line,
            })));
        }
        Ok(())
    }

    fn parse_test(&mut self) -> Result<Post, Error> {
        let line = self.stream.line;
        self.stream.next()?;
        let negated = self.stream.skip_name("not")?;
        let name = self.dotted_name()?;
        let arguments = match &self.stream.current {
            Token::Op("(") => self.parse_call_args()?,
            Token::Name(word) if matches!(&**word, "else" | "or" | "and") => Arguments::default(),
            Token::Name(word) if &**word == "is" => {
                return self.fail("You cannot chain multiple tests with is");
            }
            Token::Name(_)
            | Token::Str(_)
            | Token::Integer(_)
            | Token::Float(_)
            | Token::Op("[" | "{") => {
                let base = self.parse_primary()?;
                let mut ops = Vec::new();
                self.parse_postfix(&mut ops)?;
                Arguments {
                    positional: vec![postfix(base, ops)],
                    ..Arguments::default()
                }
            }
            _ => Arguments::default(),
        };
        let test = tests::find(&name);
        Ok(Post::Test(Box::new(TestCall {
            name,
            test,
            negated,
            arguments,
            line,
        })))
    }
}

fn postfix(base: Expr, ops: Vec<Post>) -> Expr {
    if ops.is_empty() {
        base
    } else {
        Expr::Postfix(Box::new(Postfix { base, ops }))
    }
}
