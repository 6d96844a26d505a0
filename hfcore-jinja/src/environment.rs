//! What filters, tests and functions know of the render: jinja2's `environment` and `eval_ctx`.

use std::fmt;
use std::sync::Arc;

use crate::namespace::Namespace;
use crate::python::{Args, Error, Meter, Value};

/// A function that templates can call besides Jinja's own.
#[derive(Clone)]
pub struct Function {
    /// The name in templates.
    pub name: &'static str,
    /// What it does.
    pub call: FunctionCall,
}

/// A function of a template: the render's account, and the arguments.
pub type FunctionCall = Arc<dyn Fn(&Meter, Args) -> Result<Value, Error> + Send + Sync>;

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The surroundings of a filter, a test or a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment<'t> {
    pub(crate) meter: &'t Meter,
    /// Seconds since 1970 on the clock that is to be shown.
    pub(crate) now: Option<i64>,
    pub(crate) functions: &'t [Function],
    /// `eval_ctx.autoescape`, which `{% autoescape %}` changes.
    pub(crate) autoescape: bool,
}

/// The namespace that a value is.
pub(crate) fn namespace(value: &Value) -> Option<Arc<Namespace>> {
    let Value::Object(object) = value else {
        return None;
    };
    object
        .downcast_ref::<crate::namespace::NamespaceObject>()
        .map(|object| object.0.clone())
}
