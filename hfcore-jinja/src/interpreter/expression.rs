//! Expressions.

use super::Interpreter;
use crate::fail;
use crate::python::{
    Args, Binary, Error, Str, Tuple, Undefined, Value, binary, negative, positive, quoted,
};
use crate::syntax::ast::{
    Arguments, Arithmetic, ArithmeticOp, Compare, CompareOp, Conditional, Escape, Expr, FilterCall,
    Name, Post, Postfix, Sign, TestCall,
};

impl Interpreter<'_> {
    /// The value of an expression.
    pub(crate) fn eval(&mut self, expr: &Expr) -> Result<Value, Error> {
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => Ok(self.variable(name)),
            _ => {
                self.step()?;
                self.enter_depth(1)?;
                let value = self.operation(expr);
                self.leave_depth(1);
                value
            }
        }
    }

    fn variable(&self, name: &Name) -> Value {
        match self.get(name.slot) {
            Some(value) => value.clone(),
            None => undefined_name(name),
        }
    }

    /// An expression that has others in it.
    fn operation(&mut self, expr: &Expr) -> Result<Value, Error> {
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => Ok(self.variable(name)),
            Expr::Postfix(postfix) => self.postfix(postfix),
            Expr::Tuple(items) => self.tuple(items),
            Expr::List(items) => self.list(items),
            Expr::Dict(items) => self.dict(items),
            Expr::Or(operands) => self.first_where(operands, true),
            Expr::And(operands) => self.first_where(operands, false),
            Expr::Not(operand, odd) => Ok(Value::Bool(self.eval(operand)?.truth() != *odd)),
            Expr::Compare(compare) => self.compare(compare),
            Expr::Arithmetic(chain) => self.arithmetic(chain),
            Expr::Concat(operands, escape) => self.concat(operands, *escape),
            Expr::Unary(signed) => self.unary(&signed.0, &signed.1),
            Expr::Conditional(conditional) => self.conditional(conditional),
        }
    }

    fn values(&mut self, items: &[Expr]) -> Result<Vec<Value>, Error> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    #[inline(never)]
    fn tuple(&mut self, items: &[Expr]) -> Result<Value, Error> {
        let values = self.values(items)?;
        Ok(Value::Tuple(Tuple::new(self.meter(), values)?))
    }

    #[inline(never)]
    fn list(&mut self, items: &[Expr]) -> Result<Value, Error> {
        let values = self.values(items)?;
        Value::list(self.meter(), values)
    }

    #[inline(never)]
    fn dict(&mut self, items: &[(Expr, Expr)]) -> Result<Value, Error> {
        let mut entries = Vec::with_capacity(items.len());
        for (key, value) in items {
            entries.push((self.eval(key)?, self.eval(value)?));
        }
        Ok(Value::Dict(crate::python::Dict::new(
            self.meter(),
            entries,
        )?))
    }

    /// The first operand whose truth is `truth`, or the last one: `or`, `and`.
    #[inline(never)]
    fn first_where(&mut self, operands: &[Expr], truth: bool) -> Result<Value, Error> {
        let (last, others) = operands.split_last().expect("two operands at least");
        for operand in others {
            let value = self.eval(operand)?;
            if value.truth() == truth {
                return Ok(value);
            }
        }
        self.eval(last)
    }

    #[inline(never)]
    fn compare(&mut self, compare: &Compare) -> Result<Value, Error> {
        let mut left = self.eval(&compare.first)?;
        for (op, operand) in &compare.rest {
            let right = self.eval(operand)?;
            if !self.compare_values(*op, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn compare_values(&self, op: CompareOp, left: &Value, right: &Value) -> Result<bool, Error> {
        use crate::python::{Order, compare, contains, equals};
        let meter = self.meter();
        match op {
            CompareOp::Eq => equals(meter, left, right),
            CompareOp::Ne => Ok(!equals(meter, left, right)?),
            CompareOp::Lt => compare(meter, Order::Lt, left, right),
            CompareOp::Le => compare(meter, Order::Le, left, right),
            CompareOp::Gt => compare(meter, Order::Gt, left, right),
            CompareOp::Ge => compare(meter, Order::Ge, left, right),
            CompareOp::In => contains(meter, right, left),
            CompareOp::NotIn => Ok(!contains(meter, right, left)?),
        }
    }

    #[inline(never)]
    fn arithmetic(&mut self, chain: &Arithmetic) -> Result<Value, Error> {
        let mut left = self.eval(&chain.first)?;
        for (op, operand) in &chain.rest {
            let right = self.eval(operand)?;
            left = self.calculate(*op, &left, &right)?;
        }
        Ok(left)
    }

    fn calculate(&self, op: ArithmeticOp, left: &Value, right: &Value) -> Result<Value, Error> {
        let meter = self.meter();
        let op = match op {
            ArithmeticOp::Add => Binary::Add,
            ArithmeticOp::Sub => Binary::Sub,
            ArithmeticOp::Mul => Binary::Mul,
            ArithmeticOp::Div => Binary::TrueDiv,
            ArithmeticOp::FloorDiv => Binary::FloorDiv,
            ArithmeticOp::Mod => Binary::Mod,
            ArithmeticOp::Pow => Binary::Pow,
        };
        binary(meter, op, left, right)
    }

    /// `str_join`, or `markup_join` where text is escaped.
    #[inline(never)]
    fn concat(&mut self, operands: &[Expr], escape: Escape) -> Result<Value, Error> {
        let values = self.values(operands)?;
        let meter = self.meter();
        if escape == Escape::On
            && values
                .iter()
                .any(|value| matches!(value, Value::Str(text) if text.is_markup()))
        {
            return crate::html::join(meter, &Str::constant("").with_markup(true), &values);
        }
        let mut text = meter.text();
        for value in &values {
            match value {
                Value::Str(value) => text.push_str(value)?,
                value => text.push_str(&crate::python::str(meter, value)?)?,
            }
        }
        Ok(Value::Str(text.finish()?))
    }

    #[inline(never)]
    fn unary(&mut self, signs: &[Sign], operand: &Expr) -> Result<Value, Error> {
        let mut value = self.eval(operand)?;
        for sign in signs.iter().rev() {
            self.step()?;
            value = match sign {
                Sign::Neg => negative(self.meter(), &value)?,
                Sign::Pos => positive(self.meter(), &value)?,
            };
        }
        Ok(value)
    }

    #[inline(never)]
    fn conditional(&mut self, conditional: &Conditional) -> Result<Value, Error> {
        'branches: for branch in &conditional.branches {
            let (decides, inner) = branch.tests.split_last().expect("one test at least");
            if !self.eval(&decides.0)?.truth() {
                if std::ptr::eq(branch, conditional.branches.last().expect("this one"))
                    && conditional.otherwise.is_none()
                {
                    return Ok(no_else(decides.1));
                }
                continue 'branches;
            }
            for (test, line) in inner.iter().rev() {
                if !self.eval(test)?.truth() {
                    return Ok(no_else(*line));
                }
            }
            return self.eval(&branch.value);
        }
        self.eval(
            conditional
                .otherwise
                .as_ref()
                .expect("the last branch without one has returned"),
        )
    }

    #[inline(never)]
    fn postfix(&mut self, postfix: &Postfix) -> Result<Value, Error> {
        let base = self.eval(&postfix.base)?;
        self.posts(base, &postfix.ops)
    }

    /// Attributes, items, calls, filters and tests, from left to right.
    pub(super) fn posts(&mut self, mut value: Value, ops: &[Post]) -> Result<Value, Error> {
        let mut ops = ops.iter();
        while let Some(op) = ops.next() {
            self.step()?;
            value = match op {
                Post::Getattr(name) => match ops.as_slice().first() {
                    Some(Post::Call(arguments)) => {
                        ops.next();
                        self.call_method(&value, name, arguments)?
                    }
                    _ => self.getattr(&value, name)?,
                },
                Post::Getitem(item) => {
                    let item = self.eval(item)?;
                    self.getitem(&value, &item)?
                }
                Post::Slice(parts) => self.slice(&value, parts)?,
                Post::Call(arguments) => {
                    let args = self.arguments(arguments)?;
                    self.call(&value, args)?
                }
                Post::Filter(call) => self.filter(value, call)?,
                Post::Test(call) => self.test(value, call)?,
            };
        }
        Ok(value)
    }

    #[inline(never)]
    fn slice(&mut self, value: &Value, parts: &[Option<Expr>; 3]) -> Result<Value, Error> {
        let mut bounds = [Value::None, Value::None, Value::None];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            if let Some(part) = part {
                *bound = self.eval(part)?;
            }
        }
        let [start, stop, step] = &bounds;
        crate::python::slice(self.meter(), value, start, stop, step)
    }

    #[inline(never)]
    fn filter(&mut self, value: Value, call: &FilterCall) -> Result<Value, Error> {
        let args = self.arguments_after(value, &call.arguments)?;
        match call.filter {
            Some(filter) => filter.call(&self.environment, args),
            None => Err(fail::runtime(format!(
                "No filter named {} found.",
                quoted(&call.name)
            ))),
        }
    }

    #[inline(never)]
    fn test(&mut self, value: Value, call: &TestCall) -> Result<Value, Error> {
        let args = self.arguments_after(value, &call.arguments)?;
        let Some(test) = call.test else {
            return Err(fail::runtime(format!(
                "No test named {} found.",
                quoted(&call.name)
            )));
        };
        Ok(Value::Bool(
            test.call(&self.environment, args)? != call.negated,
        ))
    }

    /// The arguments of a filter or a test, the value first.
    fn arguments_after(&mut self, value: Value, arguments: &Arguments) -> Result<Args, Error> {
        let mut args = self.arguments(arguments)?;
        args.positional.insert(0, value);
        Ok(args)
    }
}

#[cold]
fn undefined_name(name: &Name) -> Value {
    Value::Undefined(Undefined::name(&*name.name))
}

#[cold]
fn no_else(line: u32) -> Value {
    Value::Undefined(Undefined::hint(format!(
        "the inline if-expression on line {line} evaluated to false and no else section was defined."
    )))
}
