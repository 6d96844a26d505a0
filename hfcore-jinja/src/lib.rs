#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod compiler;
mod environment;
mod fail;
mod filters;
mod globals;
mod html;
mod interpreter;
mod json;
mod namespace;
pub mod python;
mod syntax;
mod template;
mod tests;

pub use self::environment::{Function, FunctionCall};
pub use self::python::{
    Args, Dict, DictBuilder, Error, ErrorKind, Limits, List, Meter, Str, Tuple, Value,
};
pub use self::template::{Options, Rendered, Template};
