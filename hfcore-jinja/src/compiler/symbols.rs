//! Which variable a name means: `jinja2.idtracking`.
//!
//! A frame is a scope of the template: its root, a block, a macro, a loop's body, a `with`. Each frame is analysed as a
//! whole before its code is compiled; a name that is only read there means the variable of an outer frame, or else the
//! context's; a name that is assigned there is a variable of its own, which begins as a copy of the outer one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::names::{Use, expression_names};
use crate::syntax::ast::{Body, Expr, Load, Post, Scope, Slot, Statement, StatementKind, Target};

/// A frame's names.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// How many frames are around this one.
    level: u32,
    /// How many functions are around the one it belongs to.
    depth: u32,
    parent: Option<usize>,
    refs: HashMap<Arc<str>, u32>,
    loads: Vec<(u32, Load)>,
    load_at: HashMap<u32, usize>,
    stored: HashSet<Arc<str>>,
    /// The same, in order.
    stores: Vec<Arc<str>>,
}

/// The variables of a function: frames of one level that follow each other share them, as in Python.
#[derive(Debug, Default)]
struct FunctionSlots {
    slots: HashMap<(u32, Arc<str>), u32>,
}

/// All frames of a template, and the functions that are being compiled.
#[derive(Debug, Default)]
pub(crate) struct SymbolTable {
    frames: Vec<Symbols>,
    functions: Vec<FunctionSlots>,
}

impl SymbolTable {
    pub(crate) fn push_function(&mut self) {
        self.functions.push(FunctionSlots::default());
    }

    /// Ends a function and tells how many variables it has.
    pub(crate) fn pop_function(&mut self) -> u32 {
        let function = self.functions.pop().expect("pushed before");
        u32::try_from(function.slots.len()).expect("fewer variables than bytes of source")
    }

    /// A frame in the function that is being compiled.
    pub(crate) fn new_frame(&mut self, parent: Option<usize>) -> usize {
        let level = parent.map_or(0, |parent| self.frames[parent].level + 1);
        let depth = u32::try_from(self.functions.len() - 1).expect("nesting is limited");
        self.frames.push(Symbols {
            level,
            depth,
            parent,
            refs: HashMap::new(),
            loads: Vec::new(),
            load_at: HashMap::new(),
            stored: HashSet::new(),
            stores: Vec::new(),
        });
        self.frames.len() - 1
    }

    /// The variable that `name` means in `frame`, seen from the function that is being compiled.
    pub(crate) fn find_ref(&self, frame: usize, name: &str) -> Option<Slot> {
        let mut at = Some(frame);
        while let Some(frame) = at {
            let symbols = &self.frames[frame];
            if let Some(&index) = symbols.refs.get(name) {
                return Some(Slot {
                    hops: self.depth() - symbols.depth,
                    index,
                });
            }
            at = symbols.parent;
        }
        None
    }

    fn depth(&self) -> u32 {
        u32::try_from(self.functions.len() - 1).expect("nesting is limited")
    }

    fn outer_ref(&self, frame: usize, name: &str) -> Option<Slot> {
        self.find_ref(self.frames[frame].parent?, name)
    }

    fn define(&mut self, frame: usize, name: &Arc<str>, load: Load) -> u32 {
        let symbols = &mut self.frames[frame];
        let function = &mut self.functions[symbols.depth as usize];
        let next =
            u32::try_from(function.slots.len()).expect("fewer variables than bytes of source");
        let index = *function
            .slots
            .entry((symbols.level, name.clone()))
            .or_insert(next);
        symbols.refs.insert(name.clone(), index);
        symbols.set_load(index, load);
        index
    }

    pub(crate) fn declare_parameter(&mut self, frame: usize, name: &Arc<str>) -> u32 {
        self.frames[frame].add_store(name);
        self.define(frame, name, Load::Parameter)
    }

    fn store(&mut self, frame: usize, name: &Arc<str>) {
        self.frames[frame].add_store(name);
        if !self.frames[frame].refs.contains_key(name) {
            let load = self
                .outer_ref(frame, name)
                .map_or(Load::Undefined, Load::Alias);
            self.define(frame, name, load);
        }
    }

    fn load(&mut self, frame: usize, name: &Arc<str>) {
        if self.find_ref(frame, name).is_none() {
            self.define(frame, name, Load::Resolve(name.clone()));
        }
    }

    /// How many frames are around this one; Python's names for its variables have it in them.
    pub(crate) fn level(&self, frame: usize) -> u32 {
        self.frames[frame].level
    }

    /// What entering and leaving the frame does.
    pub(crate) fn scope(&self, frame: usize) -> Scope {
        Scope {
            loads: self.frames[frame].loads.clone(),
        }
    }

    /// Every name that is assigned in the frame or around it (`dump_stores`).
    pub(crate) fn dump_stores(&self, frame: usize) -> Vec<(Arc<str>, Slot)> {
        let mut found = HashSet::new();
        let mut all = Vec::new();
        let mut at = Some(frame);
        while let Some(inner) = at {
            for name in &self.frames[inner].stores {
                if found.insert(name.clone()) {
                    let slot = self
                        .find_ref(frame, name)
                        .expect("what is stored has a variable");
                    all.push((name.clone(), slot));
                }
            }
            at = self.frames[inner].parent;
        }
        all
    }

    /// Loads every name in an expression.
    pub(crate) fn analyze_expression(&mut self, frame: usize, expr: &Expr) {
        expression_names(expr, &mut |usage| {
            if let Use::Load(name) = usage {
                self.load(frame, name);
            }
        });
    }

    pub(crate) fn analyze_filters(&mut self, frame: usize, filters: &[Post]) {
        super::names::filter_names(filters, &mut |usage| {
            if let Use::Load(name) = usage {
                self.load(frame, name);
            }
        });
    }

    fn analyze_target(&mut self, frame: usize, target: &Target) {
        match target {
            Target::Name(name) => self.store(frame, &name.name),
            Target::Namespace(name, _) => self.load(frame, &name.name),
            Target::Tuple(items) => items
                .iter()
                .for_each(|item| self.analyze_target(frame, item)),
        }
    }

    /// Declares the names of a loop's or a `with`'s target.
    pub(crate) fn declare_target(&mut self, frame: usize, target: &Target) {
        match target {
            Target::Name(name) => drop(self.declare_parameter(frame, &name.name)),
            Target::Namespace(name, _) => self.load(frame, &name.name),
            Target::Tuple(items) => items
                .iter()
                .for_each(|item| self.declare_target(frame, item)),
        }
    }

    pub(crate) fn analyze_body(&mut self, frame: usize, body: &Body) {
        for statement in body {
            self.analyze_statement(frame, statement);
        }
    }

    /// What a statement does to the names of the frame it stands in; frames within it are analysed when their turn comes.
    fn analyze_statement(&mut self, frame: usize, statement: &Statement) {
        match &statement.kind {
            StatementKind::Output(value, _) | StatementKind::Extends(value) => {
                self.analyze_expression(frame, value);
            }
            StatementKind::Assign(assign) => {
                self.analyze_expression(frame, &assign.value);
                self.analyze_target(frame, &assign.target);
            }
            StatementKind::AssignBlock(assign) => self.analyze_target(frame, &assign.target),
            StatementKind::For(node) => self.analyze_expression(frame, &node.iter),
            StatementKind::If(node) => {
                let before = self.frames[frame].stores.len();
                for (test, body) in &node.branches {
                    self.analyze_expression(frame, test);
                    self.analyze_body(frame, body);
                }
                self.analyze_body(frame, &node.otherwise);
                self.branch_update(frame, before);
            }
            StatementKind::Macro(node) => self.store(frame, &node.name.name),
            StatementKind::CallBlock(node) => self.analyze_expression(frame, &node.call),
            StatementKind::FilterBlock(node) => self.analyze_filters(frame, &node.filters),
            StatementKind::With(node) => {
                node.assignments
                    .iter()
                    .for_each(|(_, value)| self.analyze_expression(frame, value));
            }
            StatementKind::Include(node) => self.analyze_expression(frame, &node.template),
            StatementKind::Import(node) => {
                self.analyze_expression(frame, &node.template);
                node.names.iter().for_each(|name| self.store(frame, name));
            }
            StatementKind::Data(_)
            | StatementKind::Generation(_)
            | StatementKind::Autoescape(_)
            | StatementKind::Block(..)
            | StatementKind::Break
            | StatementKind::Continue => {}
        }
    }

    /// Names that were first assigned in a branch, after the first `before` of the frame's: they have a value even if
    /// the branch is not taken.
    fn branch_update(&mut self, frame: usize, before: usize) {
        for at in before..self.frames[frame].stores.len() {
            let name = self.frames[frame].stores[at].clone();
            let index = self.frames[frame].refs[&name];
            let load = self
                .outer_ref(frame, &name)
                .map_or_else(|| Load::Resolve(name), Load::Alias);
            self.frames[frame].set_load(index, load);
        }
    }
}

impl Symbols {
    fn add_store(&mut self, name: &Arc<str>) {
        if self.stored.insert(name.clone()) {
            self.stores.push(name.clone());
        }
    }

    fn set_load(&mut self, index: u32, load: Load) {
        match self.load_at.get(&index) {
            Some(&at) => self.loads[at].1 = load,
            None => {
                self.load_at.insert(index, self.loads.len());
                self.loads.push((index, load));
            }
        }
    }
}
