//! The methods of Python's own types.

mod case;
mod number;
mod search;
mod sequence;
mod split;
mod text;

use super::args::Args;
use super::error::{Error, type_error};
use super::meter::Meter;
use super::value::Value;

/// The name of the type's method, if it has one of this name.
pub(super) fn find(value: &Value, name: &str) -> Option<&'static str> {
    let names: &[&'static str] = match value {
        Value::Str(text) if text.is_markup() => {
            if let Some(found) = MARKUP.iter().find(|known| **known == name) {
                return Some(found);
            }
            STR
        }
        Value::Str(_) => STR,
        Value::Dict(_) => DICT,
        Value::List(_) => LIST,
        Value::Tuple(_) | Value::Range(_) => &["count", "index"],
        Value::Int(_) | Value::Bool(_) => INT,
        Value::Float(_) => FLOAT,
        Value::View(view) if view.kind() != super::dict::ViewKind::Values => &["isdisjoint"],
        Value::Iter(iter) if iter.type_name() == "generator" => &["close", "send", "throw"],
        _ => &[],
    };
    names.iter().find(|known| **known == name).copied()
}

const STR: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const MARKUP: &[&str] = &["escape", "striptags", "unescape"];
const DICT: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];
const LIST: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse",
    "sort",
];
const INT: &[&str] = &[
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "from_bytes",
    "to_bytes",
];
const FLOAT: &[&str] = &[
    "as_integer_ratio",
    "conjugate",
    "fromhex",
    "hex",
    "is_integer",
];

/// An attribute that is no method.
pub(super) fn attribute(value: &Value, name: &str) -> Option<Value> {
    match (value, name) {
        (Value::Int(_) | Value::Bool(_), "real" | "numerator") => value.as_int().map(Value::Int),
        (Value::Int(_) | Value::Bool(_), "imag") => Some(Value::Int(0)),
        (Value::Int(_) | Value::Bool(_), "denominator") => Some(Value::Int(1)),
        (Value::Float(_), "real") => Some(value.clone()),
        (Value::Float(_), "imag") => Some(Value::Float(0.0)),
        (Value::Range(range), "start") => Some(Value::from(range.start())),
        (Value::Range(range), "stop") => Some(Value::from(range.stop())),
        (Value::Range(range), "step") => Some(Value::from(range.step())),
        (Value::Tuple(tuple), name) => tuple.named(name).cloned(),
        (Value::View(view), "mapping") => Some(Value::Dict(view.dict().clone())),
        (Value::Iter(iter), "gi_frame" | "gi_code" | "gi_yieldfrom")
            if iter.type_name() == "generator" =>
        {
            Some(Value::None)
        }
        (Value::Iter(iter), "gi_running" | "gi_suspended") if iter.type_name() == "generator" => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

/// Whether the type has this internal attribute (`__class__`), which the sandbox refuses.
pub(super) fn has_dunder(value: &Value, name: &str) -> bool {
    let Some(name) = name
        .strip_prefix("__")
        .and_then(|name| name.strip_suffix("__"))
    else {
        return false;
    };
    const OBJECT: &[&str] = &[
        "class",
        "delattr",
        "dir",
        "doc",
        "eq",
        "format",
        "ge",
        "getattribute",
        "getstate",
        "gt",
        "hash",
        "init",
        "init_subclass",
        "le",
        "lt",
        "ne",
        "new",
        "reduce",
        "reduce_ex",
        "repr",
        "setattr",
        "sizeof",
        "str",
        "subclasshook",
    ];
    const SEQUENCE: &[&str] = &["add", "contains", "getitem", "iter", "len", "mul", "rmul"];
    const ARITHMETIC: &[&str] = &[
        "abs",
        "add",
        "bool",
        "ceil",
        "divmod",
        "float",
        "floor",
        "floordiv",
        "getnewargs",
        "int",
        "mod",
        "mul",
        "neg",
        "pos",
        "pow",
        "radd",
        "rdivmod",
        "rfloordiv",
        "rmod",
        "rmul",
        "round",
        "rpow",
        "rsub",
        "rtruediv",
        "sub",
        "truediv",
        "trunc",
    ];
    let more: &[&[&str]] = match value {
        Value::Str(text) if text.is_markup() => &[
            SEQUENCE,
            &[
                "getnewargs",
                "mod",
                "rmod",
                "html",
                "html_format",
                "radd",
                "module",
                "slots",
            ],
        ],
        Value::Str(_) => &[SEQUENCE, &["getnewargs", "mod", "rmod"]],
        Value::List(_) => &[
            SEQUENCE,
            &[
                "class_getitem",
                "delitem",
                "iadd",
                "imul",
                "reversed",
                "setitem",
            ],
        ],
        Value::Tuple(_) => &[SEQUENCE, &["class_getitem", "getnewargs"]],
        Value::Dict(_) => &[&[
            "class_getitem",
            "contains",
            "delitem",
            "getitem",
            "ior",
            "iter",
            "len",
            "or",
            "reversed",
            "ror",
            "setitem",
        ]],
        Value::Range(_) => &[&["bool", "contains", "getitem", "iter", "len", "reversed"]],
        Value::Int(_) | Value::Bool(_) => &[
            ARITHMETIC,
            &[
                "and", "index", "invert", "lshift", "or", "rand", "rlshift", "ror", "rrshift",
                "rshift", "rxor", "xor",
            ],
        ],
        Value::Float(_) => &[ARITHMETIC, &["getformat"]],
        Value::None => &[&["bool"]],
        Value::Undefined(_) => &[&[
            "add",
            "aiter",
            "bool",
            "call",
            "complex",
            "div",
            "float",
            "floordiv",
            "getattr",
            "getitem",
            "int",
            "iter",
            "len",
            "mod",
            "module",
            "mul",
            "neg",
            "pos",
            "pow",
            "radd",
            "rdiv",
            "rfloordiv",
            "rmod",
            "rmul",
            "rpow",
            "rsub",
            "rtruediv",
            "slots",
            "sub",
            "truediv",
        ]],
        Value::View(_) => &[&["iter", "len", "reversed", "contains"]],
        Value::Iter(_) => &[&["iter", "next"]],
        Value::Object(object) if object.is_callable() => {
            &[&["call", "name", "qualname", "module", "self"]]
        }
        Value::Object(_) => &[&["module", "dict", "weakref"]],
    };
    OBJECT.contains(&name) || more.iter().any(|names| names.contains(&name))
}

/// Calls a method that [`find`] gave.
///
/// # Errors
/// What the method raises in Python; a limit of the meter.
pub(super) fn call(
    meter: &Meter,
    receiver: &Value,
    name: &'static str,
    args: Args,
) -> Result<Value, Error> {
    meter.step(1)?;
    match receiver {
        Value::Str(text) => text::call(meter, text, name, args),
        Value::Dict(dict) => sequence::dict(meter, dict, name, args),
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => {
            sequence::list(meter, receiver, name, args)
        }
        Value::View(view) => sequence::view(meter, view, name, args),
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => {
            number::call(meter, receiver, name, args)
        }
        _ => Err(type_error(format!(
            "{}.{name}() cannot be called in a template",
            receiver.type_name()
        ))),
    }
}

pub(super) use text::join;

/// The arguments of a C function that takes positions only, `least..=most` of them. `name` is as its messages have it.
pub(super) fn positional(
    name: &str,
    qualified: &str,
    args: Args,
    least: usize,
    most: usize,
) -> Result<Vec<Value>, Error> {
    if !args.keyword.is_empty() {
        return Err(type_error(format!(
            "{qualified}() takes no keyword arguments"
        )));
    }
    let given = args.positional.len();
    if (least..=most).contains(&given) {
        return Ok(args.positional);
    }
    if least == most {
        return Err(type_error(match least {
            0 => format!("{qualified}() takes no arguments ({given} given)"),
            1 => format!("{qualified}() takes exactly one argument ({given} given)"),
            _ => {
                format!("{name} expected {least} arguments, got {given}")
            }
        }));
    }
    let (bound, count) = if given < least {
        ("at least", least)
    } else {
        ("at most", most)
    };
    let plural = if count == 1 { "" } else { "s" };
    Err(type_error(format!(
        "{name} expected {bound} {count} argument{plural}, got {given}"
    )))
}
