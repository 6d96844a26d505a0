//! `tojson` as Python's `json.dumps` writes it, and JSON into template values.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python;

/// Deepest nesting; Python's own limit is about this.
const MAX_DEPTH: usize = 1000;
/// Widest indentation in characters.
const MAX_INDENT: usize = 64;

/// The filter, with transformers' arguments in its order. Unlike Jinja's own it escapes nothing for HTML.
pub(super) fn tojson(
    value: &Value,
    positional: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    if positional.len() > 4 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let argument = |index: usize, name: &str| -> Result<Value, Error> {
        Ok(match positional.get(index) {
            Some(value) => value.clone(),
            None => kwargs.get::<Option<Value>>(name)?.unwrap_or_default(),
        })
    };
    let style = Style::new(
        &argument(0, "ensure_ascii")?,
        &argument(1, "indent")?,
        &argument(2, "separators")?,
        &argument(3, "sort_keys")?,
    )?;
    kwargs.assert_all_used()?;
    let mut out = String::new();
    style.write(value, 0, &mut out)?;
    Ok(Value::from_safe_string(out))
}

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    between: String,
    colon: String,
    sort_keys: bool,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

impl Style {
    fn new(
        ensure_ascii: &Value,
        indent: &Value,
        separators: &Value,
        sort_keys: &Value,
    ) -> Result<Self, Error> {
        let indent = match indent.as_str() {
            _ if indent.is_none() || indent.is_undefined() => None,
            Some(text) => Some(text.to_owned()),
            None => {
                let width = i64::try_from(indent.clone())
                    .or_else(|_| bool::try_from(indent.clone()).map(i64::from))?;
                Some(" ".repeat(usize::try_from(width.clamp(0, 1 << 20)).unwrap_or(0)))
            }
        };
        if indent
            .as_ref()
            .is_some_and(|indent| indent.len() > MAX_INDENT)
        {
            return Err(invalid(format!(
                "tojson: an indent of more than {MAX_INDENT} characters"
            )));
        }
        let (between, colon) = if separators.is_none() || separators.is_undefined() {
            (
                if indent.is_some() { "," } else { ", " }.to_owned(),
                ": ".to_owned(),
            )
        } else {
            let text = |index| Ok::<_, Error>(separators.get_item_by_index(index)?.to_string());
            (text(0)?, text(1)?)
        };
        Ok(Self {
            ensure_ascii: ensure_ascii.is_true(),
            indent,
            between,
            colon,
            sort_keys: sort_keys.is_true(),
        })
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!(
                "tojson: nested more than {MAX_DEPTH} deep"
            )));
        }
        if out.len() > python::MAX_TEXT {
            return Err(python::too_long(out.len()));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.list('{', '}', depth, keys.len(), out, |index, out| {
                    let key = &keys[index];
                    match key.kind() {
                        ValueKind::String => self.string(key.as_str().unwrap_or_default(), out),
                        ValueKind::Number => self.string(&number(key), out),
                        ValueKind::Bool => {
                            self.string(if key.is_true() { "true" } else { "false" }, out);
                        }
                        ValueKind::None => self.string("null", out),
                        other => return Err(invalid(format!("tojson: {other} cannot be a key"))),
                    }
                    out.push_str(&self.colon);
                    self.write(&value.get_item(key)?, depth + 1, out)
                })?;
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list('[', ']', depth, items.len(), out, |index, out| {
                    self.write(&items[index], depth + 1, out)
                })?;
            }
            other => return Err(invalid(format!("tojson: {other} is not JSON"))),
        }
        Ok(())
    }

    fn list(
        &self,
        open: char,
        close: char,
        depth: usize,
        count: usize,
        out: &mut String,
        mut item: impl FnMut(usize, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = &self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(indent.as_str(), depth));
            }
        };
        out.push(open);
        for index in 0..count {
            if index > 0 {
                out.push_str(&self.between);
            }
            line(depth + 1, out);
            item(index, out)?;
        }
        if count > 0 {
            line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && !c.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(float) if float.is_nan() => "NaN".to_owned(),
        Ok(float) if float.is_infinite() => {
            if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Ok(float) => python::float(float),
        Err(_) => value.to_string(),
    }
}

/// JSON as a template value; objects keep their order.
pub(super) fn to_value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (_, _, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => list.iter().map(to_value).collect(),
        Json::Object(map) => object(map),
    }
}

/// A JSON object as a template value.
pub(super) fn object(map: &serde_json::Map<String, serde_json::Value>) -> Value {
    Value::from_pairs(
        map.iter()
            .map(|(key, value)| (key.as_str(), to_value(value))),
    )
}
