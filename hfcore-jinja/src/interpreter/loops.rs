//! `for`, and the variable `loop`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CALL_LEVELS, Flow, Interpreter};
use crate::fail;
use crate::python::{
    Args, Caller, Charge, Error, Iterate, Meter, Object, Param, Undefined, Value, equals, len,
    quoted,
};
use crate::syntax::ast::{For, Slot};

/// `jinja2.runtime.LoopContext`
#[derive(Clone, Debug)]
pub(crate) struct LoopContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    depth0: usize,
    /// The loop, and the call in which it is written, of a recursive one.
    recursive: Option<(Arc<For>, usize)>,
}

#[derive(Debug)]
struct State {
    /// Nothing while the next item is being looked for.
    source: Option<Source>,
    /// `len` of what is iterated over, if it has one.
    length: Option<usize>,
    /// Turns so far.
    index: usize,
    after: Option<Value>,
    current: Option<Value>,
    before: Option<Value>,
    last_changed: Option<Vec<Value>>,
    /// Of the loop, and of the values of `changed`.
    charges: Vec<Charge>,
}

/// The items of a loop.
#[derive(Debug)]
pub(super) struct Source {
    items: Iterate,
    /// `{% for … if … %}`: the loop, and the call of its filter function.
    filter: Option<(Arc<For>, usize)>,
}

/// Where the body of a loop gets its items.
enum Items {
    Plain(Source),
    Extended(LoopContext),
}

impl Interpreter<'_> {
    #[inline(never)]
    pub(super) fn for_loop(&mut self, node: &Arc<For>) -> Result<Flow, Error> {
        let iterable = self.eval(&node.iter)?;
        match &node.recursive {
            None => self.iterate(node, &iterable, None),
            Some(_) => {
                let closure = self.capture();
                let text = self.recurse(node, closure, &iterable, 0)?;
                let Value::Str(text) = &text else {
                    unreachable!("a loop's text is a string")
                };
                self.output.write(self.environment.meter, text)?;
                Ok(Flow::Next)
            }
        }
    }

    /// The function `loop` that jinja2 makes of a recursive loop.
    fn recurse(
        &mut self,
        node: &Arc<For>,
        closure: usize,
        iterable: &Value,
        depth: usize,
    ) -> Result<Value, Error> {
        let slots = node
            .recursive
            .as_ref()
            .expect("only recursive loops are called")
            .slots;
        let context = self.activations[closure].context;
        let at = self.activate(slots, Some(closure), context)?;
        let before = std::mem::replace(&mut self.current, at);
        let buffer = self.output.push();
        let result = self.enter_depth(CALL_LEVELS).and_then(|()| {
            let result = self.iterate(node, iterable, Some((closure, depth)));
            self.leave_depth(CALL_LEVELS);
            result
        });
        let text = self.output.pop(buffer);
        self.current = before;
        self.deactivate(at);
        result?;
        let escape = self.escapes(node.escape);
        Ok(Value::Str(text.finish(self.meter())?.with_markup(escape)))
    }

    fn iterate(
        &mut self,
        node: &Arc<For>,
        iterable: &Value,
        recursion: Option<(usize, usize)>,
    ) -> Result<Flow, Error> {
        let items = Iterate::new(self.meter(), iterable)?;
        let filter = match &node.filter {
            None => None,
            Some(filter) => {
                // It is written in the function around a recursive loop.
                let parent = recursion.map_or(self.current, |(closure, _)| closure);
                let context = self.activations[parent].context;
                let at = self.activate(filter.function.slots, Some(parent), context)?;
                let before = std::mem::replace(&mut self.current, at);
                self.enter(&filter.function.scope);
                if node.loop_slot.is_some() {
                    self.capture();
                }
                self.current = before;
                if node.loop_slot.is_some() {
                    self.activations[parent].capture();
                }
                Some((node.clone(), at))
            }
        };
        let filtered = filter.as_ref().map(|(_, at)| *at);
        let source = Source { items, filter };
        let mut items = match node.loop_slot {
            None => Items::Plain(source),
            Some(slot) => {
                let length = if filtered.is_some() {
                    None
                } else {
                    len(iterable).ok()
                };
                let charge = self.meter().charge(size_of::<Inner>())?;
                let context = LoopContext::new(node, source, length, recursion, charge);
                self.set_index(slot, Value::object(context.clone()));
                Items::Extended(context)
            }
        };
        let result = self.turns(node, &mut items);
        if let (Some(at), None) = (filtered, node.loop_slot) {
            self.deactivate(at);
        }
        let (flow, ran) = result?;
        self.leave(&node.scope);
        if flow == Flow::Next && !ran && !node.otherwise.is_empty() {
            self.enter(&node.otherwise_scope);
            let flow = self.body(&node.otherwise)?;
            self.leave(&node.otherwise_scope);
            return Ok(flow);
        }
        Ok(Flow::Next)
    }

    /// The body for every item, and whether it got to its end once: else the `else` follows.
    fn turns(&mut self, node: &For, items: &mut Items) -> Result<(Flow, bool), Error> {
        let mut ran = false;
        loop {
            let item = match items {
                Items::Plain(source) => self.pull(source)?,
                Items::Extended(context) => self.loop_next(context)?,
            };
            let Some(item) = item else {
                return Ok((Flow::Next, ran));
            };
            self.step()?;
            self.store(&node.target, item)?;
            self.enter(&node.scope);
            match self.body(&node.body)? {
                Flow::Next => ran = true,
                Flow::Continue => {}
                Flow::Break => return Ok((Flow::Next, ran)),
            }
        }
    }

    /// The next item that the loop's filter lets through.
    fn pull(&mut self, source: &mut Source) -> Result<Option<Value>, Error> {
        loop {
            let Some(item) = source.items.next(self.environment.meter)? else {
                return Ok(None);
            };
            let Some((node, at)) = &source.filter else {
                return Ok(Some(item));
            };
            self.step()?;
            let filter = node.filter.as_ref().expect("it has one");
            let before = std::mem::replace(&mut self.current, *at);
            let passes = self
                .store(&filter.target, item.clone())
                .and_then(|()| self.eval(&filter.test));
            self.current = before;
            if passes?.truth() {
                return Ok(Some(item));
            }
        }
    }

    /// The next item for `context`, without a turn of the loop.
    fn loop_pull(&mut self, context: &LoopContext) -> Result<Option<Value>, Error> {
        let Some(mut source) = context.state().source.take() else {
            return Err(fail::value_error("generator already executing"));
        };
        let item = self.pull(&mut source);
        context.state().source = Some(source);
        item
    }

    /// `LoopContext.__next__`
    fn loop_next(&mut self, context: &LoopContext) -> Result<Option<Value>, Error> {
        let after = context.state().after.take();
        let item = match after {
            Some(item) => Some(item),
            None => self.loop_pull(context)?,
        };
        if let Some(item) = &item {
            let mut state = context.state();
            state.index += 1;
            state.before = state.current.replace(item.clone());
        }
        Ok(item)
    }

    /// `LoopContext._peek_next`
    fn loop_peek(&mut self, context: &LoopContext) -> Result<Option<Value>, Error> {
        let after = context.state().after.clone();
        if after.is_some() {
            return Ok(after);
        }
        let item = self.loop_pull(context)?;
        context.state().after.clone_from(&item);
        Ok(item)
    }

    /// `LoopContext.length`
    fn loop_length(&mut self, context: &LoopContext) -> Result<usize, Error> {
        if let Some(length) = context.state().length {
            return Ok(length);
        }
        let mut items = Vec::new();
        while let Some(item) = self.loop_pull(context)? {
            self.environment
                .meter
                .check((items.len() + 1) * size_of::<Value>())?;
            items.push(item);
        }
        let list = Value::list(self.meter(), items)?;
        let mut state = context.state();
        let length = len(&list)? + state.index + usize::from(state.after.is_some());
        state.source = Some(Source {
            items: Iterate::new(self.environment.meter, &list)?,
            filter: None,
        });
        state.length = Some(length);
        Ok(length)
    }

    /// An attribute of `loop`, or nothing if there is none of this name.
    pub(super) fn loop_attribute(
        &mut self,
        context: &LoopContext,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let index = context.state().index;
        let number = |index: usize| Value::from(index);
        let signed = |length: usize, index: usize| {
            let length = i128::try_from(length).expect("a usize fits 128 bits");
            Value::Int(length - i128::try_from(index).expect("a usize fits 128 bits"))
        };
        Ok(Some(match name {
            "index" => number(index),
            "index0" => signed(index, 1),
            "first" => Value::Bool(index == 1),
            "last" => Value::Bool(self.loop_peek(context)?.is_none()),
            "length" => number(self.loop_length(context)?),
            "revindex" => signed(self.loop_length(context)? + 1, index),
            "revindex0" => signed(self.loop_length(context)?, index),
            "depth" => number(context.0.depth0 + 1),
            "depth0" => number(context.0.depth0),
            "previtem" if index == 1 => {
                Value::Undefined(Undefined::hint("there is no previous item"))
            }
            "previtem" => match context.state().before.clone() {
                Some(item) => item,
                None => {
                    return Err(fail::unsupported(
                        "loop.previtem before the loop's first turn",
                    ));
                }
            },
            "nextitem" => match self.loop_peek(context)? {
                Some(item) => item,
                None => Value::Undefined(Undefined::hint("there is no next item")),
            },
            "cycle" | "changed" => {
                let name = if name == "cycle" { "cycle" } else { "changed" };
                Value::object(LoopMethod {
                    context: context.clone(),
                    name,
                })
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn call_loop_method(
        &mut self,
        context: &LoopContext,
        name: &str,
        args: Args,
    ) -> Result<Value, Error> {
        if name == "changed" && context.state().last_changed.is_none() {
            self.loops.push(context.clone());
        }
        context.method(self.meter(), name, args)
    }

    /// `loop(items)`: the body of a recursive loop, for other items.
    pub(super) fn call_loop(&mut self, context: &LoopContext, args: Args) -> Result<Value, Error> {
        let bound = args.bind("LoopContext.__call__", 1, &[Param::required("iterable")])?;
        let [Some(iterable)] = &bound[..] else {
            unreachable!("a required parameter is bound")
        };
        let Some((node, closure)) = &context.0.recursive else {
            return Err(fail::type_error(
                "The loop must have the 'recursive' marker to be called recursively.",
            ));
        };
        self.recurse(node, *closure, iterable, context.0.depth0 + 1)
    }
}

impl LoopContext {
    fn new(
        node: &Arc<For>,
        source: Source,
        length: Option<usize>,
        recursion: Option<(usize, usize)>,
        charge: Charge,
    ) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                source: Some(source),
                length,
                index: 0,
                after: None,
                current: None,
                before: None,
                last_changed: None,
                charges: vec![charge],
            }),
            depth0: recursion.map_or(0, |(_, depth)| depth),
            recursive: recursion.map(|(closure, _)| (node.clone(), closure)),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the values of `changed`, which may hold the loop itself.
    pub(super) fn clear(&self) {
        let values = self.state().last_changed.take();
        drop(values);
    }

    fn method(&self, meter: &Meter, name: &str, args: Args) -> Result<Value, Error> {
        if let Some((keyword, _)) = args.keyword.first() {
            return Err(fail::type_error(format!(
                "LoopContext.{name}() got an unexpected keyword argument {}",
                quoted(keyword)
            )));
        }
        let values = args.positional;
        if name == "cycle" {
            if values.is_empty() {
                return Err(fail::type_error("no items for cycling given"));
            }
            let at = self
                .state()
                .index
                .checked_sub(1)
                .unwrap_or(values.len() - 1)
                % values.len();
            return Ok(values[at].clone());
        }
        let last = self.state().last_changed.clone();
        let same = match &last {
            Some(last) if last.len() == values.len() => {
                let mut same = true;
                for (a, b) in last.iter().zip(&values) {
                    same = same && (crate::python::is_same(a, b) || equals(meter, a, b)?);
                }
                same
            }
            _ => false,
        };
        if !same {
            let charge = meter.charge(values.len() * size_of::<Value>())?;
            let mut state = self.state();
            state.charges.truncate(1);
            state.charges.push(charge);
            let old = state.last_changed.replace(values);
            // What it held may be the last of its kind: it is dropped when the lock is not held any more.
            drop(state);
            drop(old);
        }
        Ok(Value::Bool(!same))
    }
}

impl Object for LoopContext {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("LoopContext")
    }

    fn module(&self) -> &'static str {
        "jinja2.runtime"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        let known = matches!(
            name,
            "index"
                | "index0"
                | "first"
                | "last"
                | "length"
                | "revindex"
                | "revindex0"
                | "depth"
                | "depth0"
                | "previtem"
                | "nextitem"
                | "cycle"
                | "changed"
        );
        if known {
            return Err(fail::unsupported(format!(
                "the attribute {name} of a loop, but as loop.{name}"
            )));
        }
        Ok(None)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn len(&self) -> Result<Option<usize>, Error> {
        match self.state().length {
            Some(length) => Ok(Some(length)),
            None => Err(fail::unsupported(
                "the length of a loop over a generator, but as loop.length",
            )),
        }
    }

    fn iterate(&self, _meter: &Meter) -> Result<Option<Iterate>, Error> {
        Err(fail::unsupported("iterating over the variable loop"))
    }

    fn truth(&self) -> bool {
        self.state().length != Some(0)
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        let state = self.state();
        match state.length {
            Some(length) => Ok(format!("<LoopContext {}/{length}>", state.index)),
            None => Err(fail::unsupported("printing a loop over a generator")),
        }
    }
}

/// `loop.cycle` and `loop.changed` as values.
#[derive(Debug)]
struct LoopMethod {
    context: LoopContext,
    name: &'static str,
}

impl Object for LoopMethod {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("method")
    }

    fn call(&self, caller: &mut dyn Caller, args: Args) -> Result<Value, Error> {
        if self.name == "changed" {
            return Err(fail::unsupported(
                "loop.changed as a value; call it where it is named",
            ));
        }
        self.context.method(caller.meter(), self.name, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        Err(fail::unsupported(format!(
            "printing the method loop.{}",
            self.name
        )))
    }
}

/// The slot of a variable of the function that runs.
pub(super) fn local(index: u32) -> Slot {
    Slot { hops: 0, index }
}
