//! Renders a compiled tree: what the Python code does that jinja2 makes of a template.

mod blocks;
mod call;
mod expression;
mod function;
mod loops;
mod output;
mod statement;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use self::function::Activation;
use self::output::Output;
use crate::environment::Environment;
use crate::globals;
use crate::namespace::Namespace;
use crate::python::{Dict, Error, ErrorKind, Meter, Value};
use crate::syntax::ast::{Load, Scope, Slot, Template};

/// How deep statements, expressions and calls may be nested when they run, where a call counts [`CALL_LEVELS`]: a thread
/// with 512 KiB of stack has room for it, without optimisation.
pub(crate) const MAX_CALL_DEPTH: u32 = 400;

/// What a call of a macro, a block or a recursive loop takes of the depth: the frames of the interpreter between its
/// body and the expression that calls it.
const CALL_LEVELS: u32 = 4;

/// Steps are counted here and handed to the meter in bundles.
const STEP_BUNDLE: u64 = 64;

/// What follows a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
}

/// A render in progress.
pub(crate) struct Interpreter<'t> {
    template: &'t Template,
    pub(crate) environment: Environment<'t>,
    globals: Vec<(&'static str, Value)>,
    /// The caller's variables.
    input: &'t Dict,
    /// What blocks see besides, each layer over the one it came from; the first is the template's own.
    layers: Vec<Layer>,
    activations: Vec<Activation>,
    /// Activations that may be used again.
    free: Vec<usize>,
    current: usize,
    output: Output,
    /// Characters from and to, as the tracker of transformers counts them.
    spans: Vec<Range<usize>>,
    depth: u32,
    steps: u64,
    /// Everything that can hold itself, to be emptied at the end.
    namespaces: Vec<Arc<Namespace>>,
    loops: Vec<loops::LoopContext>,
}

/// `jinja2.runtime.Context`: `vars`, and for a scoped block the variables around it.
#[derive(Debug, Default)]
struct Layer {
    vars: HashMap<Arc<str>, Value>,
    below: Option<usize>,
}

impl<'t> Interpreter<'t> {
    pub(crate) fn new(
        template: &'t Template,
        environment: Environment<'t>,
        input: &'t Dict,
    ) -> Self {
        Self {
            template,
            globals: globals::all(environment.functions),
            environment,
            input,
            layers: vec![Layer::default()],
            activations: Vec::new(),
            free: Vec::new(),
            current: 0,
            output: Output::default(),
            spans: Vec::new(),
            depth: 0,
            steps: 0,
            namespaces: Vec::new(),
            loops: Vec::new(),
        }
    }

    /// Renders the template: its text, and the spans that the assistant said, in characters.
    pub(crate) fn render(mut self) -> Result<(String, Vec<Range<usize>>), Error> {
        let result = self.root();
        // Namespaces and loops may hold themselves.
        self.namespaces
            .iter()
            .for_each(|namespace| namespace.clear());
        self.loops.iter().for_each(loops::LoopContext::clear);
        result?;
        Ok((self.output.finish(), self.spans))
    }

    fn root(&mut self) -> Result<(), Error> {
        let template = self.template;
        self.current = self.activate(template.function.slots, None, 0)?;
        if let Some(slot) = template.self_slot {
            let value = self.template_reference(0);
            self.set(
                Slot {
                    hops: 0,
                    index: slot,
                },
                Some(value),
            );
        }
        self.enter(&template.function.scope);
        self.body(&template.body)?;
        self.flush_steps()
    }

    pub(crate) fn meter(&self) -> &Meter {
        self.environment.meter
    }

    /// One step of work.
    fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        if self.steps < STEP_BUNDLE {
            Ok(())
        } else {
            self.flush_steps()
        }
    }

    fn flush_steps(&mut self) -> Result<(), Error> {
        let steps = std::mem::take(&mut self.steps);
        self.environment.meter.step(steps)
    }

    /// Goes deeper into the template by `levels`; whoever calls it gives them back with [`Self::leave_depth`].
    fn enter_depth(&mut self, levels: u32) -> Result<(), Error> {
        self.depth += levels;
        if self.depth > MAX_CALL_DEPTH {
            self.depth -= levels;
            return Err(Error::new(
                ErrorKind::RecursionError,
                format!(
                    "statements, expressions and macro calls are nested deeper than {MAX_CALL_DEPTH} levels"
                ),
            ));
        }
        Ok(())
    }

    fn leave_depth(&mut self, levels: u32) {
        self.depth -= levels;
    }

    pub(crate) fn keep_namespace(&mut self, namespace: Arc<Namespace>) {
        self.namespaces.push(namespace);
    }

    /// A variable's value, or nothing where Python has `missing`.
    fn get(&self, slot: Slot) -> Option<&Value> {
        let mut at = self.current;
        for _ in 0..slot.hops {
            at = self.activations[at]
                .parent
                .expect("a slot's function is around the one that runs");
        }
        self.activations[at].slots[slot.index as usize].as_ref()
    }

    fn set(&mut self, slot: Slot, value: Option<Value>) {
        let mut at = self.current;
        for _ in 0..slot.hops {
            at = self.activations[at]
                .parent
                .expect("a slot's function is around the one that runs");
        }
        self.activations[at].slots[slot.index as usize] = value;
    }

    fn set_local(&mut self, index: u32, value: Option<Value>) {
        self.activations[self.current].slots[index as usize] = value;
    }

    /// The first values of a frame's variables.
    fn enter(&mut self, scope: &Scope) {
        for (index, load) in &scope.loads {
            let value = match load {
                Load::Parameter => continue,
                Load::Resolve(name) => self.resolve(name),
                Load::Alias(slot) => self.get(*slot).cloned(),
                Load::Undefined => None,
            };
            self.set_local(*index, value);
        }
    }

    /// Forgets a frame's variables.
    fn leave(&mut self, scope: &Scope) {
        for (index, _) in &scope.loads {
            self.set_local(*index, None);
        }
    }

    /// A variable of the context: the template's exports, the caller's, and Jinja's globals.
    fn resolve(&self, name: &str) -> Option<Value> {
        let mut at = Some(self.activations[self.current].context);
        while let Some(layer) = at {
            if let Some(value) = self.layers[layer].vars.get(name) {
                return Some(value.clone());
            }
            at = self.layers[layer].below;
        }
        if let Some(value) = self.input.get_str(name) {
            return Some(value.clone());
        }
        self.globals
            .iter()
            .find(|(global, _)| *global == name)
            .map(|(_, value)| value.clone())
    }
}
