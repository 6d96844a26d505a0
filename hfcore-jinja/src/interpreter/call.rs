//! Calls, and access to attributes and items.

use super::Interpreter;
use super::blocks::{BlockReference, TemplateReference};
use super::function::Macro;
use super::loops::LoopContext;
use crate::fail;
use crate::globals::Builtin;
use crate::python::{
    Args, Caller, Error, Iterate, Meter, Object, Value, call_method, getattr, getitem,
};
use crate::syntax::ast::Arguments;

/// Every call goes through this method of jinja2, which Python's messages about arguments name.
const CALL: &str = "jinja2.sandbox.SandboxedEnvironment.call()";

impl Caller for Interpreter<'_> {
    fn meter(&self) -> &Meter {
        self.environment.meter
    }
}

impl Interpreter<'_> {
    /// Arguments in Python's order: all positional ones come first.
    pub(super) fn arguments(&mut self, arguments: &Arguments) -> Result<Args, Error> {
        let mut positional = Vec::with_capacity(arguments.positional.len() + 1);
        for value in &arguments.positional {
            positional.push(self.eval(value)?);
        }
        let mut args = Args {
            positional,
            keyword: Vec::with_capacity(arguments.keyword.len()),
        };
        if let Some(values) = &arguments.star {
            self.star(&mut args, values)?;
        }
        for (name, value) in &arguments.keyword {
            let value = self.eval(value)?;
            args.keyword.push((name.to_string(), value));
        }
        if let Some(values) = &arguments.double_star {
            self.double_star(&mut args, values)?;
        }
        Ok(args)
    }

    #[inline(never)]
    fn star(&mut self, args: &mut Args, values: &crate::syntax::ast::Expr) -> Result<(), Error> {
        let values = self.eval(values)?;
        let meter = self.environment.meter;
        let iterate = Iterate::new(meter, &values).map_err(|error| match error.kind() {
            crate::python::ErrorKind::TypeError => fail::type_error(format!(
                "Value after * must be an iterable, not {}",
                values.type_name()
            )),
            _ => error,
        })?;
        args.positional.extend(iterate.collect(meter)?);
        Ok(())
    }

    #[inline(never)]
    fn double_star(
        &mut self,
        args: &mut Args,
        values: &crate::syntax::ast::Expr,
    ) -> Result<(), Error> {
        let values = self.eval(values)?;
        let Value::Dict(dict) = &values else {
            return Err(fail::type_error(format!(
                "{CALL} argument after ** must be a mapping, not {}",
                values.type_name()
            )));
        };
        self.environment.meter.check_items(dict.len())?;
        for (name, value) in dict.iter() {
            let Some(name) = name.as_str() else {
                return Err(fail::type_error("keywords must be strings"));
            };
            if args.keyword.iter().any(|(known, _)| known == name) {
                return Err(fail::type_error(format!(
                    "{CALL} got multiple values for keyword argument '{name}'"
                )));
            }
            args.keyword.push((name.to_owned(), value.clone()));
        }
        Ok(())
    }

    /// `environment.call`
    pub(super) fn call(&mut self, callee: &Value, args: Args) -> Result<Value, Error> {
        self.step()?;
        match callee {
            Value::Object(object) => self.call_object(&**object, args),
            Value::Undefined(undefined) => Err(undefined.error(self.meter())),
            other => Err(fail::type_error(format!(
                "'{}' object is not callable",
                other.type_name()
            ))),
        }
    }

    fn call_object(&mut self, object: &dyn Object, args: Args) -> Result<Value, Error> {
        if let Some(called) = object.downcast_ref::<Macro>() {
            return self.call_macro(called, args);
        }
        if let Some(builtin) = object.downcast_ref::<Builtin>() {
            return self.call_builtin(builtin, args);
        }
        if let Some(context) = object.downcast_ref::<LoopContext>() {
            return self.call_loop(context, args);
        }
        if let Some(block) = object.downcast_ref::<BlockReference>() {
            return self.call_block_reference(block, args);
        }
        object.call(self, args)
    }

    /// `value.name(arguments)`
    #[inline(never)]
    pub(super) fn call_method(
        &mut self,
        value: &Value,
        name: &str,
        arguments: &Arguments,
    ) -> Result<Value, Error> {
        if let Value::Object(object) = value
            && let Some(context) = object.downcast_ref::<LoopContext>()
            && matches!(name, "cycle" | "changed")
        {
            let context = context.clone();
            let args = self.arguments(arguments)?;
            return self.call_loop_method(&context, name, args);
        }
        if matches!(value, Value::Object(_) | Value::Undefined(_)) {
            let callee = self.getattr(value, name)?;
            let args = self.arguments(arguments)?;
            return self.call(&callee, args);
        }
        let args = self.arguments(arguments)?;
        self.step()?;
        call_method(self, value, name, args)
    }

    /// `environment.getattr`
    pub(super) fn getattr(&mut self, value: &Value, name: &str) -> Result<Value, Error> {
        if let Value::Object(object) = value {
            if let Some(context) = object.downcast_ref::<LoopContext>() {
                let context = context.clone();
                if let Some(found) = self.loop_attribute(&context, name)? {
                    return Ok(found);
                }
            } else if let Some(reference) = object.downcast_ref::<TemplateReference>()
                && let Some(found) = self.block_reference(reference, name)
            {
                return Ok(found);
            }
        }
        getattr(self.meter(), value, name)
    }

    /// `environment.getitem`
    pub(super) fn getitem(&mut self, value: &Value, item: &Value) -> Result<Value, Error> {
        if let (Value::Object(object), Value::Str(name)) = (value, item)
            && (object.downcast_ref::<LoopContext>().is_some()
                || object.downcast_ref::<TemplateReference>().is_some())
        {
            return self.getattr(value, name);
        }
        getitem(self.meter(), value, item)
    }
}
