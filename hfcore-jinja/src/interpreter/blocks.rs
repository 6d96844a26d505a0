//! `{% block %}`, `self` and `super`: without a loader, a template has no parents.

use std::borrow::Cow;
use std::sync::Arc;

use super::loops::local;
use super::{CALL_LEVELS, Flow, Interpreter, Layer};
use crate::fail;
use crate::python::{Args, Error, Meter, Object, Undefined, Value, quoted};
use crate::syntax::ast::BlockCall;

/// The variable `self`.
#[derive(Debug)]
pub(crate) struct TemplateReference {
    /// The context that its blocks are rendered in.
    layer: usize,
}

/// `self.name`: calling it renders the block.
#[derive(Debug)]
pub(crate) struct BlockReference {
    block: usize,
    name: Arc<str>,
    layer: usize,
}

impl Interpreter<'_> {
    #[inline(never)]
    pub(super) fn block(&mut self, at: usize, call: &BlockCall) -> Result<Flow, Error> {
        let block = &self.template.blocks[at];
        if block.required {
            return Err(fail::runtime(format!(
                "Required block {} not found",
                quoted(&block.name)
            )));
        }
        let mut layer = self.activations[self.current].context;
        if let Some(locals) = &call.locals {
            let vars = locals
                .iter()
                .filter_map(|(name, slot)| Some((name.clone(), self.get(*slot)?.clone())))
                .collect();
            self.layers.push(Layer {
                vars,
                below: Some(layer),
            });
            layer = self.layers.len() - 1;
        }
        self.render_block(at, layer)?;
        Ok(Flow::Next)
    }

    fn render_block(&mut self, at: usize, layer: usize) -> Result<(), Error> {
        let block = &self.template.blocks[at];
        let activation = self.activate(block.function.slots, None, layer)?;
        let before = std::mem::replace(&mut self.current, activation);
        if let Some(slot) = block.self_slot {
            let value = self.template_reference(layer);
            self.set(local(slot), Some(value));
        }
        if let Some(slot) = block.super_slot {
            self.set(local(slot), Some(no_parent(&block.name)));
        }
        self.enter(&block.function.scope);
        let result = self.body(&block.body);
        self.current = before;
        self.deactivate(activation);
        result.map(drop)
    }

    pub(super) fn template_reference(&self, layer: usize) -> Value {
        Value::object(TemplateReference { layer })
    }

    /// `self.name`
    pub(super) fn block_reference(
        &self,
        reference: &TemplateReference,
        name: &str,
    ) -> Option<Value> {
        let at = self
            .template
            .blocks
            .iter()
            .position(|block| &*block.name == name)?;
        let name = self.template.blocks[at].name.clone();
        Some(Value::object(BlockReference {
            block: at,
            name,
            layer: reference.layer,
        }))
    }

    /// `self.name()`
    pub(super) fn call_block_reference(
        &mut self,
        block: &BlockReference,
        args: Args,
    ) -> Result<Value, Error> {
        args.bind("BlockReference.__call__", 1, &[])?;
        let buffer = self.output.push();
        let result = self.enter_depth(CALL_LEVELS).and_then(|()| {
            let result = self.render_block(block.block, block.layer);
            self.leave_depth(CALL_LEVELS);
            result
        });
        let text = self.output.pop(buffer);
        result?;
        let text = text.finish(self.meter())?;
        Ok(Value::Str(text.with_markup(self.environment.autoescape)))
    }
}

fn no_parent(name: &str) -> Value {
    Value::Undefined(Undefined::hint(format!(
        "there is no parent block called {}.",
        quoted(name)
    )))
}

impl Object for TemplateReference {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("TemplateReference")
    }

    fn module(&self) -> &'static str {
        "jinja2.runtime"
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Ok("<TemplateReference None>".to_owned())
    }
}

impl Object for BlockReference {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("BlockReference")
    }

    fn module(&self) -> &'static str {
        "jinja2.runtime"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        Ok(match name {
            "name" => Some(Value::Str(crate::python::Str::constant(&*self.name))),
            "super" => Some(no_parent(&self.name)),
            _ => None,
        })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Err(fail::unsupported(
            "printing a block, which Python prints with its address",
        ))
    }
}
