//! The tree of a template: `jinja2.nodes`, with chains as lists.
//!
//! `a + b + c`, `x|f|g`, `a or b or c`, `not not x`, `--x`, `a if b else c if d else e` are one node each with a list of
//! operands, where jinja2 nests a node per operator. So depth comes from brackets and blocks alone, which the parser
//! counts, and neither the interpreter nor `Drop` can be driven into deep recursion by a long chain.

use std::sync::Arc;

use crate::filters::Filter;
use crate::python::Value;
use crate::tests::Test;

/// A template: what is rendered, and the blocks in it.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) body: Body,
    pub(crate) function: Function,
    /// Where `self` goes, if it is used.
    pub(crate) self_slot: Option<u32>,
    pub(crate) blocks: Vec<Block>,
}

/// Statements in order.
pub(crate) type Body = Vec<Statement>;

/// A statement and the line it begins on.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) line: u32,
    pub(crate) kind: StatementKind,
}

#[derive(Debug)]
pub(crate) enum StatementKind {
    /// Template text.
    Data(Arc<str>),
    /// `{{ … }}`, and each item of `{% print …, … %}`.
    Output(Expr, Escape),
    /// `{% set target = value %}`
    Assign(Box<Assign>),
    /// `{% set target | filters %} … {% endset %}`
    AssignBlock(Box<AssignBlock>),
    For(Arc<For>),
    If(Box<If>),
    /// `{% macro name(arguments) %} … {% endmacro %}`
    Macro(Box<MacroStatement>),
    /// `{% call(arguments) f() %} … {% endcall %}`
    CallBlock(Box<CallBlock>),
    /// `{% generation %} … {% endgeneration %}`: what the assistant says, called as `caller` by the tracker.
    Generation(Arc<MacroCode>),
    FilterBlock(Box<FilterBlock>),
    With(Box<With>),
    Autoescape(Box<Autoescape>),
    /// `{% block %}`, by its place in [`Template::blocks`].
    Block(usize, Box<BlockCall>),
    Extends(Expr),
    Include(Box<Include>),
    Import(Box<Import>),
    Break,
    Continue,
}

/// What is known of autoescaping where an expression stands (`frame.eval_ctx`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Escape {
    #[default]
    Off,
    On,
    /// Only known when it runs.
    Volatile,
}

/// A variable: `index` in the function that is `hops` functions out from the one that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slot {
    pub(crate) hops: u32,
    pub(crate) index: u32,
}

/// What a frame does with its variables when it is entered and left (`enter_frame`, `leave_frame`).
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) loads: Vec<(u32, Load)>,
}

/// The first value of a variable in a frame (`idtracking.VAR_LOAD_…`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Load {
    /// Given by whoever enters the frame.
    Parameter,
    /// The context's variable of this name.
    Resolve(Arc<str>),
    /// The value of the variable of an outer frame.
    Alias(Slot),
    Undefined,
}

/// The code of a function: its frame and how many variables it and the frames within it have.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) scope: Scope,
    pub(crate) slots: u32,
}

#[derive(Debug)]
pub(crate) struct Assign {
    pub(crate) target: Target,
    pub(crate) value: Expr,
    /// Whether blocks can see the variable (`context.vars`).
    pub(crate) export: bool,
}

#[derive(Debug)]
pub(crate) struct AssignBlock {
    pub(crate) target: Target,
    pub(crate) filters: Vec<Post>,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
    pub(crate) escape: Escape,
    pub(crate) export: bool,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) filter: Option<LoopFilter>,
    /// The function that `loop(…)` calls, in a recursive loop.
    pub(crate) recursive: Option<Function>,
    /// The variable `loop`, where it is used.
    pub(crate) loop_slot: Option<u32>,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
    pub(crate) otherwise: Body,
    pub(crate) otherwise_scope: Scope,
    pub(crate) escape: Escape,
}

/// `{% for … if test %}`: a generator function with its own variables.
#[derive(Debug)]
pub(crate) struct LoopFilter {
    pub(crate) target: Target,
    pub(crate) test: Expr,
    pub(crate) function: Function,
}

#[derive(Debug)]
pub(crate) struct If {
    /// `if` and every `elif`.
    pub(crate) branches: Vec<(Expr, Body)>,
    pub(crate) otherwise: Body,
}

#[derive(Debug)]
pub(crate) struct MacroStatement {
    pub(crate) name: Name,
    pub(crate) code: Arc<MacroCode>,
    pub(crate) export: bool,
}

/// What macros and call blocks have in common.
#[derive(Debug)]
pub(crate) struct MacroCode {
    /// Nothing for a call block.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) arguments: Vec<Name>,
    /// Of the last arguments.
    pub(crate) defaults: Vec<Expr>,
    pub(crate) body: Body,
    pub(crate) function: Function,
    /// Where `caller` goes, if the body uses it and it is no argument.
    pub(crate) caller: Option<u32>,
    pub(crate) kwargs: Option<u32>,
    pub(crate) varargs: Option<u32>,
    /// Whether the body uses `caller` at all.
    pub(crate) accesses_caller: bool,
}

#[derive(Debug)]
pub(crate) struct CallBlock {
    /// A `Postfix` that ends with a call.
    pub(crate) call: Expr,
    pub(crate) code: Arc<MacroCode>,
}

#[derive(Debug)]
pub(crate) struct FilterBlock {
    pub(crate) filters: Vec<Post>,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
    pub(crate) escape: Escape,
}

#[derive(Debug)]
pub(crate) struct With {
    pub(crate) assignments: Vec<(Target, Expr)>,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) struct Autoescape {
    pub(crate) value: Expr,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
}

/// A block where it stands: that is where it is rendered.
#[derive(Debug, Default)]
pub(crate) struct BlockCall {
    /// The variables that a scoped block sees besides the context's.
    pub(crate) locals: Option<Vec<(Arc<str>, Slot)>>,
}

/// A block as the function that it is.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: Arc<str>,
    pub(crate) line: u32,
    pub(crate) scoped: bool,
    pub(crate) required: bool,
    pub(crate) body: Body,
    pub(crate) function: Function,
    /// Where `self` and `super` go, if the body uses them.
    pub(crate) self_slot: Option<u32>,
    pub(crate) super_slot: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Include {
    pub(crate) template: Expr,
    pub(crate) ignore_missing: bool,
}

/// `import` and `from … import`.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) template: Expr,
    /// The names that it would set.
    pub(crate) names: Vec<Arc<str>>,
}

/// `foo`, as it is read or assigned.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) name: Arc<str>,
    pub(crate) slot: Slot,
}

/// What can be assigned to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Name(Name),
    /// `namespace.attribute`
    Namespace(Name, Arc<str>),
    Tuple(Vec<Self>),
}

/// An expression.
#[derive(Debug)]
pub(crate) enum Expr {
    Const(Value),
    Name(Box<Name>),
    Tuple(Vec<Self>),
    List(Vec<Self>),
    Dict(Vec<(Self, Self)>),
    /// `a or b or c`
    Or(Vec<Self>),
    And(Vec<Self>),
    /// An odd number of `not`, or an even one.
    Not(Box<Self>, bool),
    Compare(Box<Compare>),
    /// Operators of one precedence, from left to right.
    Arithmetic(Box<Arithmetic>),
    /// `a ~ b ~ c`
    Concat(Vec<Self>, Escape),
    /// Signs, from the outermost.
    Unary(Box<(Vec<Sign>, Self)>),
    /// `.name`, `[item]`, `(arguments)`, `|filter` and `is test`, one after the other.
    Postfix(Box<Postfix>),
    /// `a if b else c`
    Conditional(Box<Conditional>),
}

#[derive(Debug)]
pub(crate) struct Compare {
    pub(crate) first: Expr,
    pub(crate) rest: Vec<(CompareOp, Expr)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub(crate) struct Arithmetic {
    pub(crate) first: Expr,
    pub(crate) rest: Vec<(ArithmeticOp, Expr)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ArithmeticOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

impl ArithmeticOp {
    /// Its class in `jinja2.nodes`, in lower case.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::FloorDiv => "floordiv",
            Self::Mod => "mod",
            Self::Pow => "pow",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sign {
    Neg,
    Pos,
}

#[derive(Debug)]
pub(crate) struct Postfix {
    pub(crate) base: Expr,
    pub(crate) ops: Vec<Post>,
}

#[derive(Debug)]
pub(crate) enum Post {
    Getattr(Arc<str>),
    Getitem(Expr),
    Slice(Box<[Option<Expr>; 3]>),
    Call(Box<Arguments>),
    Filter(Box<FilterCall>),
    Test(Box<TestCall>),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Expr>,
    pub(crate) keyword: Vec<(Arc<str>, Expr)>,
    /// `*values`
    pub(crate) star: Option<Expr>,
    /// `**values`
    pub(crate) double_star: Option<Expr>,
}

#[derive(Debug)]
pub(crate) struct FilterCall {
    pub(crate) name: Arc<str>,
    /// Nothing for one that does not exist, which matters when it is called.
    pub(crate) filter: Option<&'static Filter>,
    pub(crate) arguments: Arguments,
    pub(crate) line: u32,
}

#[derive(Debug)]
pub(crate) struct TestCall {
    pub(crate) name: Arc<str>,
    pub(crate) test: Option<&'static Test>,
    pub(crate) negated: bool,
    pub(crate) arguments: Arguments,
    pub(crate) line: u32,
}

#[derive(Debug)]
pub(crate) struct Conditional {
    pub(crate) branches: Vec<Branch>,
    /// The last `else`; without one the value is undefined.
    pub(crate) otherwise: Option<Expr>,
}

/// `value if test`, or `value if test1 if test2`, where the last test decides between this branch and the next, and
/// the others between the value and an undefined one.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) value: Expr,
    /// Each with the line that the message of the undefined value names.
    pub(crate) tests: Vec<(Expr, u32)>,
}
