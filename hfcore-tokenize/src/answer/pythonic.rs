//! Calls written as Python: `[weather(city="Rome", days=3), now()]` (Llama 3.2 and 4, Gemma 3).
//!
//! A reader of literals, not of Python: names, calls with keyword arguments, texts, numbers, lists, tuples, dicts,
//! `True`, `False` and `None`. Anything else is no call.

use serde_json::{Map, Number, Value};

use super::call::ToolCall;

/// Deepest nesting of lists and dicts.
const MAX_DEPTH: usize = 64;

/// One call, or a list of calls, perhaps inside `print(…)`.
pub(super) fn calls(text: &str) -> Option<Vec<ToolCall>> {
    let mut reader = Reader { rest: text };
    let mut calls = Vec::new();
    let list = reader.eat("[");
    while !(list && reader.eat("]")) {
        calls.push(reader.call()?);
        let separated = reader.eat(",") || !list && reader.eat(";");
        if list {
            if !separated && reader.peek() != Some(']') {
                return None;
            }
        } else if reader.blank() {
            break;
        }
    }
    reader.blank().then_some(calls)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn blank(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.is_empty()
    }

    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn name(&mut self) -> Option<&'a str> {
        self.peek().filter(|&c| c.is_alphabetic() || c == '_')?;
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name)
    }

    fn call(&mut self) -> Option<ToolCall> {
        let name = self.name()?;
        if !self.eat("(") {
            return None;
        }
        // Gemma's prompt asks for `print(f(…))`.
        if name == "print" {
            let call = self.call()?;
            return self.eat(")").then_some(call);
        }
        let mut arguments = Map::new();
        while !self.eat(")") {
            let key = self.name()?;
            if !self.eat("=") {
                return None;
            }
            let value = self.value(0)?;
            arguments.insert(key.to_owned(), value);
            if !self.eat(",") && self.peek() != Some(')') {
                return None;
            }
        }
        Some(ToolCall::new(name, arguments))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            '"' | '\'' => {
                let mut text = self.text()?;
                // Texts in a row are one.
                while matches!(self.peek(), Some('"' | '\'')) {
                    text.push_str(&self.text()?);
                }
                Some(Value::from(text))
            }
            '[' => self.list("[", "]", depth),
            '(' => self.list("(", ")", depth),
            '{' => {
                self.eat("{");
                let mut object = Map::new();
                while !self.eat("}") {
                    let key = match self.value(depth + 1)? {
                        Value::String(key) => key,
                        key @ (Value::Number(_) | Value::Bool(_) | Value::Null) => key.to_string(),
                        _ => return None,
                    };
                    if !self.eat(":") {
                        return None;
                    }
                    let value = self.value(depth + 1)?;
                    object.insert(key, value);
                    if !self.eat(",") && self.peek() != Some('}') {
                        return None;
                    }
                }
                Some(Value::Object(object))
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            _ => match self.name()? {
                "True" | "true" => Some(Value::Bool(true)),
                "False" | "false" => Some(Value::Bool(false)),
                "None" | "null" => Some(Value::Null),
                _ => None,
            },
        }
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Option<Value> {
        self.eat(open);
        let mut list = Vec::new();
        while !self.eat(close) {
            list.push(self.value(depth + 1)?);
            if !self.eat(",") && !self.rest.trim_start().starts_with(close) {
                return None;
            }
        }
        Some(Value::Array(list))
    }

    fn number(&mut self) -> Option<Value> {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = text.replace('_', "");
        if let Ok(number) = text.parse::<i64>() {
            return Some(Value::from(number));
        }
        if let Ok(number) = text.parse::<u64>() {
            return Some(Value::from(number));
        }
        // Rust reads `inf` and `nan` too; JSON has neither.
        Number::from_f64(text.parse().ok()?).map(Value::Number)
    }

    fn text(&mut self) -> Option<String> {
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| self.rest.starts_with(quote))?;
        self.rest = &self.rest[quote.len()..];
        let mut text = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(quote) {
                self.rest = rest;
                return Some(text);
            }
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            if c == '\\' {
                self.escape(&mut text)?;
            } else {
                text.push(c);
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        let digits = match c {
            '\n' => return Some(()),
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            '\\' | '\'' | '"' => c,
            'x' | 'u' | 'U' => {
                let digits = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = u32::from_str_radix(self.rest.get(..digits)?, 16).ok()?;
                self.rest = &self.rest[digits..];
                char::from_u32(code)?
            }
            // An escape that Python does not know stays as it is.
            other => {
                text.push('\\');
                other
            }
        };
        text.push(digits);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_of_every_kind() {
        let text = r#"[a.b(s="x\n\u00e4" 'y', n=-3, f=1.5e3, t=True, z=None, l=[1, (2,), {}], d={'k': {"m": False}},), c()]"#;
        let arguments = json!({
            "s": "x\nä\u{79}", "n": -3, "f": 1500.0, "t": true, "z": null, "l": [1, [2], {}], "d": {"k": {"m": false}},
        });
        let expected = vec![
            ToolCall::new("a.b", arguments),
            ToolCall::new("c", json!({})),
        ];
        assert_eq!(calls(text), Some(expected));
        assert_eq!(calls("print(f(a=1))"), calls("f(a=1)"));
        assert_eq!(calls("f(a=1)\ng()").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_call() {
        for text in [
            "",
            "[",
            "f",
            "f(1)",
            "f(a=g())",
            "f(a=1",
            "[f()",
            "[f()] x",
            "f(a='x)",
            "f(a=nan)",
            "f(a=\\)",
            "f(a='\\xé')",
        ] {
            assert_eq!(calls(text), None, "{text}");
        }
        assert_eq!(calls(&format!("f(a={}", "[".repeat(100_000))), None);
    }
}
