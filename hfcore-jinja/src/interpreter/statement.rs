//! Statements.

use super::function::Macro;
use super::{Flow, Interpreter};
use crate::environment;
use crate::fail;
use crate::python::{Args, Error, ErrorKind, Iterate, Str, Value};
use crate::syntax::ast::{
    Assign, AssignBlock, Autoescape, Body, CallBlock, Escape, Expr, FilterBlock, If, Include,
    MacroCode, MacroStatement, Post, Slot, Statement, StatementKind, Target, With,
};

impl Interpreter<'_> {
    pub(super) fn body(&mut self, body: &Body) -> Result<Flow, Error> {
        for statement in body {
            let flow = self
                .statement(statement)
                .map_err(|error| error.at_line(statement.line as usize))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Flow, Error> {
        self.step()?;
        match &statement.kind {
            StatementKind::Data(text) => self
                .output
                .write(self.environment.meter, text)
                .map(|()| Flow::Next),
            StatementKind::Output(value, escape) => self.print(value, *escape),
            StatementKind::Assign(node) => self.assign(node),
            StatementKind::If(node) => self.nested(|interpreter| interpreter.if_block(node)),
            StatementKind::For(node) => self.nested(|interpreter| interpreter.for_loop(node)),
            StatementKind::AssignBlock(node) => {
                self.nested(|interpreter| interpreter.assign_block(node))
            }
            StatementKind::Macro(node) => self.define_macro(node),
            StatementKind::CallBlock(node) => {
                self.nested(|interpreter| interpreter.call_block(node))
            }
            StatementKind::Generation(code) => {
                self.nested(|interpreter| interpreter.generation(code))
            }
            StatementKind::FilterBlock(node) => {
                self.nested(|interpreter| interpreter.filter_block(node))
            }
            StatementKind::With(node) => self.nested(|interpreter| interpreter.with(node)),
            StatementKind::Autoescape(node) => {
                self.nested(|interpreter| interpreter.autoescape(node))
            }
            StatementKind::Block(at, call) => {
                self.nested(|interpreter| interpreter.block(*at, call))
            }
            StatementKind::Extends(template) => self.load(template),
            StatementKind::Import(node) => self.load(&node.template),
            StatementKind::Include(node) => self.include(node),
            StatementKind::Break => Ok(Flow::Break),
            StatementKind::Continue => Ok(Flow::Continue),
        }
    }

    /// Runs a statement that holds others.
    fn nested(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        self.enter_depth(1)?;
        let result = run(self);
        self.leave_depth(1);
        result
    }

    fn print(&mut self, value: &Expr, escape: Escape) -> Result<Flow, Error> {
        let value = self.eval(value)?;
        let escape = self.escapes(escape);
        self.write_value(&value, escape)?;
        Ok(Flow::Next)
    }

    /// Writes `str(value)`, or `escape(value)`.
    fn write_value(&mut self, value: &Value, escape: bool) -> Result<(), Error> {
        let meter = self.environment.meter;
        match value {
            Value::Str(text) if !escape || text.is_markup() => self.output.write(meter, text),
            value if escape => {
                let text = crate::html::escape(meter, value)?;
                self.output.write(meter, &text)
            }
            value => {
                let text = crate::python::str(meter, value)?;
                self.output.write(meter, &text)
            }
        }
    }

    /// Writes what a call or filter block gives: it goes into the output as it is, where only strings can be joined.
    fn write_text(&mut self, value: &Value) -> Result<Flow, Error> {
        let Value::Str(text) = value else {
            return Err(fail::type_error(format!(
                "sequence item: expected str instance, {} found",
                value.type_name()
            )));
        };
        self.output.write(self.environment.meter, text)?;
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn assign(&mut self, node: &Assign) -> Result<Flow, Error> {
        self.check_namespaces(&node.target)?;
        let value = self.eval(&node.value)?;
        self.store(&node.target, value)?;
        if node.export {
            self.export(&node.target);
        }
        Ok(Flow::Next)
    }

    /// Before anything is evaluated: `a.b` may be assigned to only if `a` is a namespace.
    fn check_namespaces(&self, target: &Target) -> Result<(), Error> {
        match target {
            Target::Name(_) => Ok(()),
            Target::Namespace(name, _) => match self.get(name.slot) {
                Some(value) if environment::namespace(value).is_some() => Ok(()),
                _ => Err(fail::runtime(
                    "cannot assign attribute on non-namespace object",
                )),
            },
            Target::Tuple(items) => items
                .iter()
                .try_for_each(|item| self.check_namespaces(item)),
        }
    }

    pub(super) fn store(&mut self, target: &Target, value: Value) -> Result<(), Error> {
        match target {
            Target::Name(name) => {
                self.set(name.slot, Some(value));
                Ok(())
            }
            Target::Namespace(name, attribute) => {
                let held = self.get(name.slot);
                match held.and_then(environment::namespace) {
                    Some(namespace) => namespace.set(self.meter(), attribute, value),
                    None => Err(no_item_assignment(held)),
                }
            }
            Target::Tuple(items) => self.unpack(items, &value),
        }
    }

    #[inline(never)]
    fn unpack(&mut self, targets: &[Target], value: &Value) -> Result<(), Error> {
        let meter = self.environment.meter;
        let mut iterate = Iterate::new(meter, value).map_err(|error| match error.kind() {
            ErrorKind::TypeError => fail::type_error(format!(
                "cannot unpack non-iterable {} object",
                value.type_name()
            )),
            _ => error,
        })?;
        let mut values = Vec::with_capacity(targets.len());
        while values.len() < targets.len() {
            let Some(item) = iterate.next(meter)? else {
                return Err(fail::value_error(format!(
                    "not enough values to unpack (expected {}, got {})",
                    targets.len(),
                    values.len()
                )));
            };
            values.push(item);
        }
        if iterate.next(meter)?.is_some() {
            return Err(fail::value_error(format!(
                "too many values to unpack (expected {})",
                targets.len()
            )));
        }
        targets
            .iter()
            .zip(values)
            .try_for_each(|(target, value)| self.store(target, value))
    }

    /// Makes the names of a target visible to blocks.
    fn export(&mut self, target: &Target) {
        if self.template.blocks.is_empty() {
            return;
        }
        match target {
            Target::Name(name) => {
                if let Some(value) = self.get(name.slot).cloned() {
                    self.layers[0].vars.insert(name.name.clone(), value);
                }
            }
            Target::Namespace(..) => {}
            Target::Tuple(items) => items.iter().for_each(|item| self.export(item)),
        }
    }

    #[inline(never)]
    fn if_block(&mut self, node: &If) -> Result<Flow, Error> {
        for (test, body) in &node.branches {
            if self.eval(test)?.truth() {
                return self.body(body);
            }
        }
        self.body(&node.otherwise)
    }

    #[inline(never)]
    fn assign_block(&mut self, node: &AssignBlock) -> Result<Flow, Error> {
        self.enter(&node.scope);
        let buffer = self.output.push();
        let flow = self.body(&node.body);
        let text = self.output.pop(buffer);
        let flow = flow?;
        if flow != Flow::Next {
            return Ok(flow);
        }
        let mut text = text.finish(self.meter())?;
        if !node.filters.is_empty() {
            text = text.with_markup(self.escapes(node.escape));
        }
        let mut value = self.filtered(text, &node.filters)?;
        if self.environment.autoescape {
            value = crate::html::markup(self.meter(), &value)?;
        }
        self.store(&node.target, value)?;
        if node.export {
            self.export(&node.target);
        }
        self.leave(&node.scope);
        Ok(Flow::Next)
    }

    fn filtered(&mut self, text: Str, filters: &[Post]) -> Result<Value, Error> {
        self.posts(Value::Str(text), filters)
    }

    #[inline(never)]
    fn define_macro(&mut self, node: &MacroStatement) -> Result<Flow, Error> {
        let value = self.new_macro(&node.code);
        self.set(node.name.slot, Some(value.clone()));
        if node.export && !self.template.blocks.is_empty() {
            self.layers[0].vars.insert(node.name.name.clone(), value);
        }
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn call_block(&mut self, node: &CallBlock) -> Result<Flow, Error> {
        let caller = self.new_macro(&node.code);
        let Expr::Postfix(postfix) = &node.call else {
            unreachable!("the parser asks for a call")
        };
        let Some((Post::Call(arguments), before)) = postfix.ops.split_last() else {
            unreachable!("the parser asks for a call")
        };
        let base = self.eval(&postfix.base)?;
        let callee = self.posts(base, before)?;
        let mut args = self.arguments(arguments)?;
        args.keyword.push(("caller".to_owned(), caller));
        let value = self.call(&callee, args)?;
        self.write_text(&value)
    }

    /// The tracker of transformers: calls the body, and remembers where in the output its text went.
    #[inline(never)]
    fn generation(&mut self, code: &std::sync::Arc<MacroCode>) -> Result<Flow, Error> {
        let start = self.output.characters();
        let caller = self.new_macro(code);
        let Value::Object(object) = &caller else {
            unreachable!("a macro is an object")
        };
        let caller = object.downcast_ref::<Macro>().expect("it was made as one");
        let text = self.macro_text(caller, Args::default())?;
        self.spans.push(start..start + text.length());
        self.output.write(self.environment.meter, &text)?;
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn filter_block(&mut self, node: &FilterBlock) -> Result<Flow, Error> {
        self.enter(&node.scope);
        let buffer = self.output.push();
        let flow = self.body(&node.body);
        let text = self.output.pop(buffer);
        let flow = flow?;
        if flow != Flow::Next {
            return Ok(flow);
        }
        let text = text
            .finish(self.meter())?
            .with_markup(self.escapes(node.escape));
        let value = self.filtered(text, &node.filters)?;
        self.write_text(&value)?;
        self.leave(&node.scope);
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn with(&mut self, node: &With) -> Result<Flow, Error> {
        self.enter(&node.scope);
        for (target, value) in &node.assignments {
            let value = self.eval(value)?;
            self.store(target, value)?;
        }
        let flow = self.body(&node.body)?;
        self.leave(&node.scope);
        Ok(flow)
    }

    #[inline(never)]
    fn autoescape(&mut self, node: &Autoescape) -> Result<Flow, Error> {
        self.enter(&node.scope);
        let before = self.environment.autoescape;
        self.environment.autoescape = self.eval(&node.value)?.truth();
        let flow = self.body(&node.body)?;
        // A `break` leaves it as it is: jinja2 does not get to the line that restores it.
        if flow == Flow::Next {
            self.environment.autoescape = before;
        }
        self.leave(&node.scope);
        Ok(flow)
    }

    /// `extends` and `import`
    #[inline(never)]
    fn load(&mut self, template: &Expr) -> Result<Flow, Error> {
        self.eval(template)?;
        Err(no_loader())
    }

    /// `environment.get_or_select_template`
    #[inline(never)]
    fn include(&mut self, node: &Include) -> Result<Flow, Error> {
        let names = self.eval(&node.template)?;
        match &names {
            Value::Str(_) | Value::Undefined(_) => Err(no_loader()),
            names if !names.truth() => {
                if node.ignore_missing {
                    return Ok(Flow::Next);
                }
                Err(Error::new(
                    ErrorKind::TemplatesNotFound,
                    "Tried to select from an empty list of templates.",
                ))
            }
            names => match Iterate::new(self.meter(), names)?.next(self.meter())? {
                Some(_) => Err(no_loader()),
                None => Err(Error::new(
                    ErrorKind::TemplatesNotFound,
                    "none of the templates given were found: ",
                )),
            },
        }
    }

    pub(super) fn set_index(&mut self, index: u32, value: Value) {
        self.set(Slot { hops: 0, index }, Some(value));
    }
}

/// What Python says to `object["name"] = value`: only `set` without a block looks first whether it is a namespace.
fn no_item_assignment(object: Option<&Value>) -> Error {
    match object {
        Some(Value::Dict(_)) => fail::unsupported("changing a dict by a set block"),
        Some(Value::List(_)) => {
            fail::type_error("list indices must be integers or slices, not str")
        }
        Some(other) => fail::type_error(format!(
            "'{}' object does not support item assignment",
            other.type_name()
        )),
        None => fail::type_error("'_MissingType' object does not support item assignment"),
    }
}

fn no_loader() -> Error {
    fail::type_error("no loader for this environment specified")
}
