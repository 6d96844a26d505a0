//! Functions of the template: their variables, and calls of macros.

use std::borrow::Cow;
use std::sync::Arc;

use super::{CALL_LEVELS, Interpreter};
use crate::fail;
use crate::python::{
    Args, Charge, Dict, Error, Meter, Object, Str, Tuple, Undefined, Value, quoted,
};
use crate::syntax::ast::{Escape, MacroCode};

/// The variables of one call of a function. Functions within it see them too, as long as the render lasts.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) slots: Vec<Option<Value>>,
    /// The call of the function around it.
    pub(super) parent: Option<usize>,
    /// The context that its names are resolved in.
    pub(super) context: usize,
    /// Whether something else may still refer to it when the call ends.
    captured: bool,
    _charge: Charge,
}

impl Activation {
    /// Keeps the variables until the end of the render.
    pub(super) fn capture(&mut self) {
        self.captured = true;
    }
}

/// A macro, or the body of a call block.
#[derive(Debug)]
pub(crate) struct Macro {
    code: Arc<MacroCode>,
    /// The call in which it was defined.
    closure: usize,
}

impl Interpreter<'_> {
    /// A new call of a function with this many variables.
    pub(super) fn activate(
        &mut self,
        slots: u32,
        parent: Option<usize>,
        context: usize,
    ) -> Result<usize, Error> {
        let slots = slots as usize;
        let charge = self.meter().charge(slots * size_of::<Option<Value>>())?;
        let activation = Activation {
            slots: vec![None; slots],
            parent,
            context,
            captured: false,
            _charge: charge,
        };
        Ok(match self.free.pop() {
            Some(at) => {
                self.activations[at] = activation;
                at
            }
            None => {
                self.activations.push(activation);
                self.activations.len() - 1
            }
        })
    }

    /// Keeps the current call's variables until the end of the render.
    pub(super) fn capture(&mut self) -> usize {
        self.activations[self.current].capture();
        self.current
    }

    /// Ends a call.
    pub(super) fn deactivate(&mut self, at: usize) {
        if !self.activations[at].captured {
            self.activations[at].slots.clear();
            self.free.push(at);
        }
    }

    /// A macro that sees the variables of the current call.
    pub(super) fn new_macro(&mut self, code: &Arc<MacroCode>) -> Value {
        Value::object(Macro {
            code: code.clone(),
            closure: self.capture(),
        })
    }

    /// `Macro.__call__`
    pub(super) fn call_macro(&mut self, called: &Macro, args: Args) -> Result<Value, Error> {
        let text = self.macro_text(called, args)?;
        Ok(Value::Str(text.with_markup(self.environment.autoescape)))
    }

    pub(super) fn macro_text(&mut self, called: &Macro, args: Args) -> Result<Str, Error> {
        let code = &*called.code;
        let context = self.activations[called.closure].context;
        let at = self.activate(code.function.slots, Some(called.closure), context)?;
        let before = std::mem::replace(&mut self.current, at);
        let result = self.enter_depth(CALL_LEVELS).and_then(|()| {
            let result = self.macro_body(code, args);
            self.leave_depth(CALL_LEVELS);
            result
        });
        self.current = before;
        self.deactivate(at);
        result
    }

    fn macro_body(&mut self, code: &MacroCode, args: Args) -> Result<Str, Error> {
        self.bind(code, args)?;
        self.enter(&code.function.scope);
        let buffer = self.output.push();
        let result = self.defaults(code).and_then(|()| self.body(&code.body));
        let text = self.output.pop(buffer);
        result?;
        text.finish(self.meter())
    }

    /// The arguments of a call as the macro's variables.
    fn bind(&mut self, code: &MacroCode, args: Args) -> Result<(), Error> {
        let Args {
            mut positional,
            mut keyword,
        } = args;
        let count = code.arguments.len();
        let name = || {
            code.name
                .as_deref()
                .map_or_else(|| "None".to_owned(), quoted)
        };
        let rest = positional.split_off(positional.len().min(count));
        let given = positional.len();
        let mut found_caller = given == count
            && code
                .arguments
                .iter()
                .any(|argument| &*argument.name == "caller");
        for (argument, value) in code.arguments.iter().zip(positional) {
            self.set(argument.slot, Some(value));
        }
        for argument in &code.arguments[given..] {
            let value = take(&mut keyword, &argument.name);
            found_caller |= &*argument.name == "caller";
            self.set(argument.slot, value);
        }
        if let (Some(slot), false) = (code.caller, found_caller) {
            let caller = take(&mut keyword, "caller").filter(|caller| !caller.is_none());
            let caller =
                caller.unwrap_or_else(|| Value::Undefined(Undefined::hint("No caller defined")));
            self.set_local(slot, Some(caller));
        }
        if let Some(slot) = code.kwargs {
            let kwargs = self.keyword_dict(keyword)?;
            self.set_local(slot, Some(kwargs));
        } else if let Some((first, _)) = keyword.first() {
            return Err(fail::type_error(
                if keyword.iter().any(|(name, _)| &**name == "caller") {
                    format!(
                        "macro {} was invoked with two values for the special caller argument. This is most likely a bug.",
                        name()
                    )
                } else {
                    format!(
                        "macro {} takes no keyword argument {}",
                        name(),
                        quoted(first)
                    )
                },
            ));
        }
        if let Some(slot) = code.varargs {
            let varargs = Value::tuple(self.meter(), rest)?;
            self.set_local(slot, Some(varargs));
        } else if !rest.is_empty() {
            return Err(fail::type_error(format!(
                "macro {} takes not more than {count} argument(s)",
                name()
            )));
        }
        Ok(())
    }

    pub(super) fn keyword_dict(&self, keyword: Vec<(String, Value)>) -> Result<Value, Error> {
        let meter = self.meter();
        let mut entries = Vec::with_capacity(keyword.len());
        for (name, value) in keyword {
            entries.push((Value::str(meter, name)?, value));
        }
        Ok(Value::Dict(Dict::new(meter, entries)?))
    }

    /// Arguments that were not given: their defaults, or undefined.
    fn defaults(&mut self, code: &MacroCode) -> Result<(), Error> {
        let required = code.arguments.len() - code.defaults.len();
        for (at, argument) in code.arguments.iter().enumerate() {
            if self.get(argument.slot).is_some() {
                continue;
            }
            let value = match at.checked_sub(required) {
                Some(default) => self.eval(&code.defaults[default])?,
                None => Value::Undefined(Undefined::hint(format!(
                    "parameter {} was not provided",
                    quoted(&argument.name)
                ))),
            };
            self.set(argument.slot, Some(value));
        }
        Ok(())
    }

    /// Whether what is written here is escaped.
    pub(super) fn escapes(&self, escape: Escape) -> bool {
        match escape {
            Escape::Off => false,
            Escape::On => true,
            Escape::Volatile => self.environment.autoescape,
        }
    }
}

/// Takes an argument out of those given by name.
fn take(keyword: &mut Vec<(String, Value)>, name: &str) -> Option<Value> {
    let at = keyword.iter().position(|(known, _)| known == name)?;
    Some(keyword.remove(at).1)
}

impl Object for Macro {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("Macro")
    }

    fn module(&self) -> &'static str {
        "jinja2.runtime"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        let code = &self.code;
        let constant = |text: &Arc<str>| Value::Str(Str::constant(&**text));
        Ok(Some(match name {
            "name" => code.name.as_ref().map_or(Value::None, constant),
            "arguments" => {
                let names = code
                    .arguments
                    .iter()
                    .map(|argument| constant(&argument.name))
                    .collect();
                Value::Tuple(Tuple::constant(names)?)
            }
            "catch_kwargs" => Value::Bool(code.kwargs.is_some()),
            "catch_varargs" => Value::Bool(code.varargs.is_some()),
            "caller" => Value::Bool(code.accesses_caller),
            "explicit_caller" => Value::Bool(
                code.arguments
                    .iter()
                    .any(|argument| &*argument.name == "caller"),
            ),
            _ => return Ok(None),
        }))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn repr(&self, _meter: &Meter) -> Result<String, Error> {
        let name = self
            .code
            .name
            .as_deref()
            .map_or_else(|| "anonymous".to_owned(), quoted);
        Ok(format!("<Macro {name}>"))
    }
}
