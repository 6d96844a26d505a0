//! What filters, tests and functions know of the render: jinja2's `environment` and `eval_ctx`.

use std::fmt;
use std::sync::Arc;

use crate::namespace::Namespace;
use crate::python::{Args, Error, Meter, Value};

/// The local time, for `strftime_now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01 00:00:00 of the wall clock that is to be shown (local time, as if it were UTC).
    pub local_seconds: i64,
    /// Microseconds within the second, 0 to 999999.
    pub microseconds: u32,
}

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
    pub(crate) now: Option<Now>,
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
