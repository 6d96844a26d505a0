//! Walks over the names in a tree: `find_undeclared` and `find_all` of jinja2's compiler.

use std::sync::Arc;

use crate::syntax::ast::{
    Arguments, Block, Body, Expr, For, Post, Statement, StatementKind, Target,
};

/// How a name is used (`Name.ctx`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use<'a> {
    Load(&'a Arc<str>),
    Store(&'a Arc<str>),
    Parameter(&'a Arc<str>),
}

/// The names of an expression, all of them loads.
pub(crate) fn expression_names<'a>(expr: &'a Expr, found: &mut dyn FnMut(Use<'a>)) {
    match expr {
        Expr::Const(_) => {}
        Expr::Name(name) => found(Use::Load(&name.name)),
        Expr::Tuple(items)
        | Expr::List(items)
        | Expr::Or(items)
        | Expr::And(items)
        | Expr::Concat(items, _) => {
            items.iter().for_each(|item| expression_names(item, found));
        }
        Expr::Dict(items) => {
            for (key, value) in items {
                expression_names(key, found);
                expression_names(value, found);
            }
        }
        Expr::Not(operand, _) => expression_names(operand, found),
        Expr::Compare(compare) => {
            expression_names(&compare.first, found);
            compare
                .rest
                .iter()
                .for_each(|(_, operand)| expression_names(operand, found));
        }
        Expr::Arithmetic(chain) => {
            expression_names(&chain.first, found);
            chain
                .rest
                .iter()
                .for_each(|(_, operand)| expression_names(operand, found));
        }
        Expr::Unary(signed) => expression_names(&signed.1, found),
        Expr::Postfix(postfix) => {
            expression_names(&postfix.base, found);
            filter_names(&postfix.ops, found);
        }
        Expr::Conditional(conditional) => {
            for branch in &conditional.branches {
                expression_names(&branch.value, found);
                branch
                    .tests
                    .iter()
                    .for_each(|(test, _)| expression_names(test, found));
            }
            conditional
                .otherwise
                .iter()
                .for_each(|value| expression_names(value, found));
        }
    }
}

/// The names in what follows an expression.
pub(crate) fn filter_names<'a>(ops: &'a [Post], found: &mut dyn FnMut(Use<'a>)) {
    for op in ops {
        match op {
            Post::Getattr(_) => {}
            Post::Getitem(item) => expression_names(item, found),
            Post::Slice(parts) => parts
                .iter()
                .flatten()
                .for_each(|part| expression_names(part, found)),
            Post::Call(arguments) => argument_names(arguments, found),
            Post::Filter(call) => argument_names(&call.arguments, found),
            Post::Test(call) => argument_names(&call.arguments, found),
        }
    }
}

fn argument_names<'a>(arguments: &'a Arguments, found: &mut dyn FnMut(Use<'a>)) {
    arguments
        .positional
        .iter()
        .for_each(|value| expression_names(value, found));
    arguments
        .keyword
        .iter()
        .for_each(|(_, value)| expression_names(value, found));
    arguments
        .star
        .iter()
        .for_each(|value| expression_names(value, found));
    arguments
        .double_star
        .iter()
        .for_each(|value| expression_names(value, found));
}

fn target_names<'a>(target: &'a Target, parameter: bool, found: &mut dyn FnMut(Use<'a>)) {
    match target {
        Target::Name(name) => found(if parameter {
            Use::Parameter(&name.name)
        } else {
            Use::Store(&name.name)
        }),
        Target::Namespace(..) => {}
        Target::Tuple(items) => items
            .iter()
            .for_each(|item| target_names(item, parameter, found)),
    }
}

/// The names of statements, in the order of jinja2's nodes, but not those in blocks.
pub(crate) fn body_names<'a>(body: &'a Body, found: &mut dyn FnMut(Use<'a>)) {
    body.iter()
        .for_each(|statement| statement_names(statement, found));
}

fn statement_names<'a>(statement: &'a Statement, found: &mut dyn FnMut(Use<'a>)) {
    match &statement.kind {
        StatementKind::Output(value, _) | StatementKind::Extends(value) => {
            expression_names(value, found);
        }
        StatementKind::Assign(node) => {
            target_names(&node.target, false, found);
            expression_names(&node.value, found);
        }
        StatementKind::AssignBlock(node) => {
            target_names(&node.target, false, found);
            filter_names(&node.filters, found);
            body_names(&node.body, found);
        }
        StatementKind::For(node) => {
            target_names(&node.target, false, found);
            expression_names(&node.iter, found);
            body_names(&node.body, found);
            body_names(&node.otherwise, found);
            node.filter
                .iter()
                .for_each(|filter| expression_names(&filter.test, found));
        }
        StatementKind::If(node) => {
            for (test, body) in &node.branches {
                expression_names(test, found);
                body_names(body, found);
            }
            body_names(&node.otherwise, found);
        }
        StatementKind::Macro(node) => macro_names(&node.code, found),
        StatementKind::CallBlock(node) => {
            expression_names(&node.call, found);
            macro_names(&node.code, found);
        }
        StatementKind::Generation(code) => macro_names(code, found),
        StatementKind::FilterBlock(node) => {
            body_names(&node.body, found);
            filter_names(&node.filters, found);
        }
        StatementKind::With(node) => {
            node.assignments
                .iter()
                .for_each(|(target, _)| target_names(target, true, found));
            node.assignments
                .iter()
                .for_each(|(_, value)| expression_names(value, found));
            body_names(&node.body, found);
        }
        StatementKind::Autoescape(node) => {
            expression_names(&node.value, found);
            body_names(&node.body, found);
        }
        StatementKind::Include(node) => expression_names(&node.template, found),
        StatementKind::Import(node) => expression_names(&node.template, found),
        StatementKind::Data(_)
        | StatementKind::Block(..)
        | StatementKind::Break
        | StatementKind::Continue => {}
    }
}

fn macro_names<'a>(code: &'a crate::syntax::ast::MacroCode, found: &mut dyn FnMut(Use<'a>)) {
    code.arguments
        .iter()
        .for_each(|argument| found(Use::Parameter(&argument.name)));
    code.defaults
        .iter()
        .for_each(|value| expression_names(value, found));
    body_names(&code.body, found);
}

/// Which of `names` are read before anything is assigned to them, in the order of the tree (`find_undeclared`).
pub(crate) fn undeclared<const N: usize>(body: &Body, names: [&str; N]) -> [bool; N] {
    let mut open = [true; N];
    let mut read = [false; N];
    body_names(body, &mut |usage| {
        let (Use::Load(name) | Use::Store(name) | Use::Parameter(name)) = usage;
        for (at, wanted) in names.iter().enumerate() {
            if **name == **wanted {
                match usage {
                    Use::Load(_) => read[at] |= open[at],
                    Use::Store(_) | Use::Parameter(_) => open[at] = false,
                }
            }
        }
    });
    read
}

/// Whether a block that sees local variables stands somewhere in `body`.
pub(crate) fn has_scoped_block(body: &Body, blocks: &[Block]) -> bool {
    body.iter().any(|statement| match &statement.kind {
        StatementKind::Block(index, _) => {
            blocks[*index].scoped || has_scoped_block(&blocks[*index].body, blocks)
        }
        StatementKind::AssignBlock(node) => has_scoped_block(&node.body, blocks),
        StatementKind::For(node) => {
            has_scoped_block(&node.body, blocks) || has_scoped_block(&node.otherwise, blocks)
        }
        StatementKind::If(node) => {
            node.branches
                .iter()
                .any(|(_, body)| has_scoped_block(body, blocks))
                || has_scoped_block(&node.otherwise, blocks)
        }
        StatementKind::Macro(node) => has_scoped_block(&node.code.body, blocks),
        StatementKind::CallBlock(node) => has_scoped_block(&node.code.body, blocks),
        StatementKind::Generation(code) => has_scoped_block(&code.body, blocks),
        StatementKind::FilterBlock(node) => has_scoped_block(&node.body, blocks),
        StatementKind::With(node) => has_scoped_block(&node.body, blocks),
        StatementKind::Autoescape(node) => has_scoped_block(&node.body, blocks),
        _ => false,
    })
}

/// Whether a loop's target, or a `set` within the loop, names `loop`.
pub(crate) fn stores_loop(node: &For) -> bool {
    let mut found = false;
    let mut see = |usage: Use<'_>| {
        if let Use::Store(name) = usage {
            found |= &**name == "loop";
        }
    };
    target_names(&node.target, false, &mut see);
    body_names(&node.body, &mut see);
    body_names(&node.otherwise, &mut see);
    found
}
