//! From names to variables: what `jinja2.compiler` decides when it makes Python code of a tree.
//!
//! jinja2 compiles a template to Python functions: one for the root, one for each block, macro, call block, recursive
//! loop and loop filter. Here the tree is kept, and each name in it gets the [`Slot`] of the variable that the Python
//! code would use; each frame gets the loads that the code would begin with. The order of the visits is that of jinja2's
//! compiler, so that the first error found is the same one.

mod names;
mod symbols;

use std::sync::Arc;

use self::names::{has_scoped_block, undeclared};
use self::symbols::SymbolTable;
use crate::fail;
use crate::python::{Error, ErrorKind, quoted};
use crate::syntax::ast::{
    Arguments, Block, Body, Escape, Expr, For, Function, MacroCode, Name, Post, Scope, Slot,
    Statement, StatementKind, Target, Template,
};

/// What is known where a statement stands: `jinja2.compiler.Frame`.
#[derive(Clone, Copy, Debug)]
struct Frame {
    symbols: usize,
    /// At the root, or in an `if` there.
    toplevel: bool,
    /// In an `if`: filters and tests that do not exist are an error only when they are called.
    soft: bool,
    /// Whether `break` has a loop to leave.
    in_loop: bool,
}

impl Frame {
    fn root(symbols: usize) -> Self {
        Self {
            symbols,
            toplevel: true,
            soft: false,
            in_loop: false,
        }
    }

    fn inner(self, symbols: usize) -> Self {
        Self {
            symbols,
            toplevel: false,
            soft: false,
            in_loop: self.in_loop,
        }
    }

    fn soft(self) -> Self {
        Self { soft: true, ..self }
    }
}

/// Fills in the slots and scopes of a template.
///
/// # Errors
///
/// `TemplateAssertionError` with jinja2's messages (unknown filters and tests, blocks defined twice, …); `SyntaxError`
/// where Python refuses jinja2's code (`break` outside of a loop).
pub(crate) fn compile(template: &mut Template) -> Result<(), Error> {
    let mut compiler = Compiler {
        table: SymbolTable::default(),
        escape: Escape::Off,
        blocks: Vec::new(),
        extends: 0,
    };
    for (at, block) in template.blocks.iter().enumerate() {
        if template.blocks[..at]
            .iter()
            .any(|other| other.name == block.name)
        {
            return Err(fail::assertion(
                format!("block {} defined twice", quoted(&block.name)),
                block.line,
            ));
        }
    }
    compiler.blocks = std::mem::take(&mut template.blocks);
    compiler.root(template)?;
    for at in 0..compiler.blocks.len() {
        compiler.block(at)?;
    }
    template.blocks = compiler.blocks;
    Ok(())
}

struct Compiler {
    table: SymbolTable,
    /// Autoescaping where the compiler stands.
    escape: Escape,
    blocks: Vec<Block>,
    /// `extends` tags so far.
    extends: usize,
}

impl Compiler {
    fn root(&mut self, template: &mut Template) -> Result<(), Error> {
        self.table.push_function();
        let frame = Frame::root(self.table.new_frame(None));
        let [uses_self] = undeclared(&template.body, ["self"]);
        template.self_slot =
            uses_self.then(|| self.table.declare_parameter(frame.symbols, &"self".into()));
        self.table.analyze_body(frame.symbols, &template.body);
        self.body(frame, &mut template.body)?;
        template.function = self.end_function(frame);
        Ok(())
    }

    fn block(&mut self, at: usize) -> Result<(), Error> {
        let mut body = std::mem::take(&mut self.blocks[at].body);
        self.table.push_function();
        let symbols = self.table.new_frame(None);
        let frame = Frame {
            toplevel: false,
            ..Frame::root(symbols)
        };
        let [uses_self, uses_super] = undeclared(&body, ["self", "super"]);
        let self_slot = uses_self.then(|| self.table.declare_parameter(symbols, &"self".into()));
        let super_slot = uses_super.then(|| self.table.declare_parameter(symbols, &"super".into()));
        self.table.analyze_body(symbols, &body);
        self.body(frame, &mut body)?;
        let function = self.end_function(frame);
        let block = &mut self.blocks[at];
        (
            block.body,
            block.function,
            block.self_slot,
            block.super_slot,
        ) = (body, function, self_slot, super_slot);
        Ok(())
    }

    fn end_function(&mut self, frame: Frame) -> Function {
        let scope = self.table.scope(frame.symbols);
        Function {
            scope,
            slots: self.table.pop_function(),
        }
    }

    /// A frame within `frame`, in the same function.
    fn inner(&mut self, frame: Frame) -> Frame {
        frame.inner(self.table.new_frame(Some(frame.symbols)))
    }

    fn slot(&self, frame: Frame, name: &str) -> Result<Slot, Error> {
        self.table.find_ref(frame.symbols, name).ok_or_else(|| {
            Error::new(
                ErrorKind::AssertionError,
                format!(
                    "Tried to resolve a name to a reference that was unknown to the frame ({})",
                    quoted(name)
                ),
            )
        })
    }

    fn body(&mut self, frame: Frame, body: &mut Body) -> Result<(), Error> {
        body.iter_mut()
            .try_for_each(|statement| self.statement(frame, statement))
    }

    fn statement(&mut self, frame: Frame, statement: &mut Statement) -> Result<(), Error> {
        let line = statement.line;
        match &mut statement.kind {
            StatementKind::Data(_) => Ok(()),
            StatementKind::Output(value, escape) => {
                // A constant is printed while jinja2 compiles, when it does not know yet that it is to be escaped.
                let constant = self.escape == Escape::Volatile && is_constant(value, self.escape);
                *escape = if constant { Escape::Off } else { self.escape };
                self.expression(frame, value)
            }
            StatementKind::Assign(node) => {
                node.export = frame.toplevel;
                self.target(frame, &mut node.target)?;
                self.expression(frame, &mut node.value)
            }
            StatementKind::AssignBlock(node) => {
                node.export = frame.toplevel;
                node.escape = self.escape;
                let inner = self.inner(frame);
                self.table.analyze_body(inner.symbols, &node.body);
                self.body(inner, &mut node.body)?;
                self.target(frame, &mut node.target)?;
                self.filters(inner, &mut node.filters)?;
                node.scope = self.table.scope(inner.symbols);
                Ok(())
            }
            StatementKind::For(node) => self.for_loop(frame, unique(node), line),
            StatementKind::If(node) => {
                let soft = frame.soft();
                for (test, body) in &mut node.branches {
                    self.expression(soft, test)?;
                    self.body(soft, body)?;
                }
                self.body(soft, &mut node.otherwise)
            }
            StatementKind::Macro(node) => {
                node.export = frame.toplevel;
                self.macro_body(frame, unique(&mut node.code), line)?;
                self.name(frame, &mut node.name)
            }
            StatementKind::CallBlock(node) => {
                self.macro_body(frame, unique(&mut node.code), line)?;
                self.expression(frame, &mut node.call)
            }
            StatementKind::Generation(code) => self.macro_body(frame, unique(code), line),
            StatementKind::FilterBlock(node) => {
                node.escape = self.escape;
                let inner = self.inner(frame);
                self.table.analyze_body(inner.symbols, &node.body);
                self.table.analyze_filters(inner.symbols, &node.filters);
                self.body(inner, &mut node.body)?;
                self.filters(inner, &mut node.filters)?;
                node.scope = self.table.scope(inner.symbols);
                Ok(())
            }
            StatementKind::With(node) => {
                let inner = self.inner(frame);
                for (target, _) in &node.assignments {
                    self.table.declare_target(inner.symbols, target);
                }
                self.table.analyze_body(inner.symbols, &node.body);
                for (target, value) in &mut node.assignments {
                    self.target(inner, target)?;
                    self.expression(frame, value)?;
                }
                self.body(inner, &mut node.body)?;
                node.scope = self.table.scope(inner.symbols);
                Ok(())
            }
            StatementKind::Autoescape(node) => {
                let inner = self.inner(frame);
                self.table.analyze_expression(inner.symbols, &node.value);
                self.table.analyze_body(inner.symbols, &node.body);
                self.expression(inner, &mut node.value)?;
                let before = self.escape;
                self.escape = match &node.value {
                    Expr::Const(value) if value.truth() => Escape::On,
                    Expr::Const(_) => Escape::Off,
                    _ => Escape::Volatile,
                };
                self.body(inner, &mut node.body)?;
                self.escape = before;
                node.scope = self.table.scope(inner.symbols);
                Ok(())
            }
            StatementKind::Block(at, call) => {
                if self.blocks[*at].scoped {
                    call.locals = Some(self.table.dump_stores(frame.symbols));
                }
                Ok(())
            }
            StatementKind::Extends(template) => {
                if !frame.toplevel {
                    return Err(fail::assertion(
                        "cannot use extend from a non top-level scope",
                        line,
                    ));
                }
                self.extends += 1;
                self.expression(frame, template)
            }
            StatementKind::Include(node) => self.expression(frame, &mut node.template),
            StatementKind::Import(node) => self.expression(frame, &mut node.template),
            StatementKind::Break if !frame.in_loop => {
                Err(fail::python_syntax("'break' outside loop", line))
            }
            StatementKind::Continue if !frame.in_loop => {
                Err(fail::python_syntax("'continue' not properly in loop", line))
            }
            StatementKind::Break | StatementKind::Continue => Ok(()),
        }
    }

    fn for_loop(&mut self, frame: Frame, node: &mut For, line: u32) -> Result<(), Error> {
        node.escape = self.escape;
        let [uses_loop] = undeclared(&node.body, ["loop"]);
        let extended = node.recursive.is_some()
            || uses_loop
            || has_scoped_block(&node.body, &self.blocks)
            || has_scoped_block(&node.otherwise, &self.blocks);

        if let Some(filter) = &mut node.filter {
            self.table.push_function();
            let mut test = self.inner(frame);
            test.in_loop = false;
            self.table.declare_target(test.symbols, &filter.target);
            self.table.analyze_expression(test.symbols, &filter.test);
            self.target(test, &mut filter.target)?;
            self.expression(test, &mut filter.test)?;
            filter.function = self.end_function(test);
        }
        if names::stores_loop(node) {
            return Err(fail::assertion(
                "Can't assign to special loop variable in for-loop target",
                line,
            ));
        }
        self.expression(frame, &mut node.iter)?;

        if node.recursive.is_some() {
            self.table.push_function();
        }
        let mut inner = self.inner(frame);
        inner.in_loop = true;
        node.loop_slot =
            extended.then(|| self.table.declare_parameter(inner.symbols, &"loop".into()));
        self.table.declare_target(inner.symbols, &node.target);
        self.table.analyze_body(inner.symbols, &node.body);
        self.target(inner, &mut node.target)?;
        self.body(inner, &mut node.body)?;
        node.scope = self.table.scope(inner.symbols);

        let mut otherwise = self.inner(frame);
        otherwise.in_loop &= node.recursive.is_none();
        self.table.analyze_body(otherwise.symbols, &node.otherwise);
        self.body(otherwise, &mut node.otherwise)?;
        node.otherwise_scope = self.table.scope(otherwise.symbols);
        if let Some(function) = &mut node.recursive {
            *function = Function {
                scope: Scope::default(),
                slots: self.table.pop_function(),
            };
        }
        Ok(())
    }

    fn macro_body(&mut self, frame: Frame, code: &mut MacroCode, line: u32) -> Result<(), Error> {
        self.table.push_function();
        let mut inner = self.inner(frame);
        inner.in_loop = false;
        let symbols = inner.symbols;
        self.analyze_macro(symbols, code);

        for (at, argument) in code.arguments.iter().enumerate() {
            if code.arguments[..at]
                .iter()
                .any(|other| other.name == argument.name)
            {
                let level = self.table.level(symbols);
                return Err(fail::python_syntax(
                    format!(
                        "duplicate argument 'l_{level}_{}' in function definition",
                        argument.name
                    ),
                    line,
                ));
            }
        }
        let explicit = |name: &str| {
            code.arguments
                .iter()
                .position(|argument| &*argument.name == name)
        };
        let [caller, kwargs, varargs] = undeclared(&code.body, ["caller", "kwargs", "varargs"]);
        code.accesses_caller = caller;
        if caller {
            match explicit("caller") {
                Some(at) if code.arguments.len() - at > code.defaults.len() => {
                    return Err(fail::assertion(
                        "When defining macros or call blocks the special \"caller\" argument must be omitted or be \
                         given a default.",
                        line,
                    ));
                }
                Some(_) => {}
                None => code.caller = Some(self.table.declare_parameter(symbols, &"caller".into())),
            }
        }
        if kwargs && explicit("kwargs").is_none() {
            code.kwargs = Some(self.table.declare_parameter(symbols, &"kwargs".into()));
        }
        if varargs && explicit("varargs").is_none() {
            code.varargs = Some(self.table.declare_parameter(symbols, &"varargs".into()));
        }
        self.analyze_macro(symbols, code);

        for argument in &mut code.arguments {
            argument.slot = self.slot(inner, &argument.name)?;
        }
        for value in &mut code.defaults {
            self.expression(inner, value)?;
        }
        self.body(inner, &mut code.body)?;
        code.function = self.end_function(inner);
        Ok(())
    }

    fn analyze_macro(&mut self, symbols: usize, code: &MacroCode) {
        for argument in &code.arguments {
            self.table.declare_parameter(symbols, &argument.name);
        }
        for value in &code.defaults {
            self.table.analyze_expression(symbols, value);
        }
        self.table.analyze_body(symbols, &code.body);
    }

    fn name(&self, frame: Frame, name: &mut Name) -> Result<(), Error> {
        name.slot = self.slot(frame, &name.name)?;
        Ok(())
    }

    fn target(&self, frame: Frame, target: &mut Target) -> Result<(), Error> {
        match target {
            Target::Name(name) | Target::Namespace(name, _) => self.name(frame, name),
            Target::Tuple(items) => items
                .iter_mut()
                .try_for_each(|item| self.target(frame, item)),
        }
    }

    fn expressions<'a>(
        &self,
        frame: Frame,
        exprs: impl IntoIterator<Item = &'a mut Expr>,
    ) -> Result<(), Error> {
        exprs
            .into_iter()
            .try_for_each(|expr| self.expression(frame, expr))
    }

    fn expression(&self, frame: Frame, expr: &mut Expr) -> Result<(), Error> {
        match expr {
            Expr::Const(_) => Ok(()),
            Expr::Name(name) => self.name(frame, name),
            Expr::Tuple(items) | Expr::List(items) | Expr::Or(items) | Expr::And(items) => {
                self.expressions(frame, items)
            }
            Expr::Concat(items, escape) => {
                // Constants are joined as plain strings.
                let constant = items.iter().all(|item| is_constant(item, self.escape));
                *escape = if constant { Escape::Off } else { self.escape };
                self.expressions(frame, items)
            }
            Expr::Dict(items) => items
                .iter_mut()
                .try_for_each(|(key, value)| self.expressions(frame, [key, value])),
            Expr::Not(operand, _) => self.expression(frame, operand),
            Expr::Compare(compare) => {
                self.expression(frame, &mut compare.first)?;
                self.expressions(frame, compare.rest.iter_mut().map(|(_, operand)| operand))
            }
            Expr::Arithmetic(chain) => {
                self.expression(frame, &mut chain.first)?;
                self.expressions(frame, chain.rest.iter_mut().map(|(_, operand)| operand))
            }
            Expr::Unary(signed) => self.expression(frame, &mut signed.1),
            Expr::Postfix(postfix) => {
                self.check_names(frame, &postfix.ops)?;
                self.expression(frame, &mut postfix.base)?;
                self.posts(frame, &mut postfix.ops)
            }
            Expr::Conditional(conditional) => {
                let soft = frame.soft();
                for branch in &mut conditional.branches {
                    self.expression(soft, &mut branch.value)?;
                    self.expressions(soft, branch.tests.iter_mut().map(|(test, _)| test))?;
                }
                self.expressions(soft, &mut conditional.otherwise)
            }
        }
    }

    /// The filters of a `set` or `filter` block.
    fn filters(&self, frame: Frame, filters: &mut [Post]) -> Result<(), Error> {
        self.check_names(frame, filters)?;
        self.posts(frame, filters)
    }

    /// Outermost first, as jinja2 finds them.
    fn check_names(&self, frame: Frame, ops: &[Post]) -> Result<(), Error> {
        if frame.soft {
            return Ok(());
        }
        for op in ops.iter().rev() {
            let (kind, name, line) = match op {
                Post::Filter(call) if call.filter.is_none() => ("filter", &call.name, call.line),
                Post::Test(call) if call.test.is_none() => ("test", &call.name, call.line),
                _ => continue,
            };
            return Err(fail::assertion(
                format!("No {kind} named {}.", quoted(name)),
                line,
            ));
        }
        Ok(())
    }

    fn posts(&self, frame: Frame, ops: &mut [Post]) -> Result<(), Error> {
        ops.iter_mut().try_for_each(|op| match op {
            Post::Getattr(_) => Ok(()),
            Post::Getitem(item) => self.expression(frame, item),
            Post::Slice(parts) => self.expressions(frame, parts.iter_mut().flatten()),
            Post::Call(arguments) => self.arguments(frame, arguments),
            Post::Filter(call) => self.arguments(frame, &mut call.arguments),
            Post::Test(call) => self.arguments(frame, &mut call.arguments),
        })
    }

    fn arguments(&self, frame: Frame, arguments: &mut Arguments) -> Result<(), Error> {
        self.expressions(frame, &mut arguments.positional)?;
        self.expressions(frame, arguments.keyword.iter_mut().map(|(_, value)| value))?;
        self.expressions(frame, &mut arguments.star)?;
        self.expressions(frame, &mut arguments.double_star)
    }
}

/// Whether jinja2 computes the expression while it compiles.
fn is_constant(expr: &Expr, escape: Escape) -> bool {
    let constant = |expr: &Expr| is_constant(expr, escape);
    let arguments = |arguments: &Arguments| {
        arguments.positional.iter().all(constant)
            && arguments.keyword.iter().all(|(_, value)| constant(value))
            && arguments.star.iter().all(constant)
            && arguments.double_star.iter().all(constant)
    };
    match expr {
        Expr::Const(_) => true,
        Expr::Name(_) => false,
        Expr::Tuple(items)
        | Expr::List(items)
        | Expr::Or(items)
        | Expr::And(items)
        | Expr::Concat(items, _) => items.iter().all(constant),
        Expr::Dict(items) => items
            .iter()
            .all(|(key, value)| constant(key) && constant(value)),
        Expr::Not(operand, _) => constant(operand),
        Expr::Compare(compare) => {
            constant(&compare.first) && compare.rest.iter().all(|(_, operand)| constant(operand))
        }
        Expr::Arithmetic(chain) => {
            constant(&chain.first) && chain.rest.iter().all(|(_, operand)| constant(operand))
        }
        Expr::Unary(signed) => constant(&signed.1),
        Expr::Conditional(conditional) => {
            conditional.otherwise.as_ref().is_some_and(constant)
                && conditional.branches.iter().all(|branch| {
                    constant(&branch.value) && branch.tests.iter().all(|(test, _)| constant(test))
                })
        }
        Expr::Postfix(postfix) => {
            constant(&postfix.base)
                && postfix.ops.iter().all(|op| match op {
                    Post::Getattr(_) => true,
                    Post::Getitem(item) => constant(item),
                    Post::Slice(parts) => parts.iter().flatten().all(constant),
                    Post::Call(_) => false,
                    Post::Filter(call) => {
                        let of_context = matches!(
                            &*call.name,
                            "map" | "random" | "reject" | "rejectattr" | "select" | "selectattr"
                        );
                        escape != Escape::Volatile && !of_context && arguments(&call.arguments)
                    }
                    Post::Test(call) => escape != Escape::Volatile && arguments(&call.arguments),
                })
        }
    }
}

/// The tree is shared only when it runs.
fn unique<T>(shared: &mut Arc<T>) -> &mut T {
    Arc::get_mut(shared).expect("nothing else holds the tree while it is compiled")
}
