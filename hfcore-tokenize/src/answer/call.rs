//! How models write a call of a function, and what it says.
//!
//! Every reader gives `None` for text that is not such a call; the text then stays text.

use serde_json::{Map, Value};

use super::pythonic;

/// A function that the model wants called.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The call's own id, where the format has one (Mistral, Command R7B, Kimi K2).
    pub id: Option<String>,
    /// The function.
    pub name: String,
    /// Its arguments: a JSON object.
    pub arguments: Value,
}

impl ToolCall {
    /// A call without an id.
    pub fn new(name: impl Into<String>, arguments: impl Into<Value>) -> Self {
        Self {
            id: None,
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    /// The entry of a message's `tool_calls`: `{"type": "function", "function": {"name": …, "arguments": …}}`.
    pub fn to_value(&self) -> Value {
        let mut call = Map::new();
        if let Some(id) = &self.id {
            call.insert("id".to_owned(), Value::from(id.as_str()));
        }
        let mut function = Map::new();
        function.insert("name".to_owned(), Value::from(self.name.as_str()));
        function.insert("arguments".to_owned(), self.arguments.clone());
        call.insert("type".to_owned(), Value::from("function"));
        call.insert("function".to_owned(), Value::Object(function));
        Value::Object(call)
    }

    /// From an object in any of the shapes that models write: `name` or `tool_name`, with `arguments` or
    /// `parameters`, alone or under `function`.
    pub(super) fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let text = |keys: &[&str], object: &Map<String, Value>| {
            let value = keys.iter().find_map(|key| object.get(*key))?;
            value.as_str().map(str::to_owned)
        };
        let function = object
            .get("function")
            .and_then(Value::as_object)
            .unwrap_or(object);
        let name = text(&["name", "tool_name"], function)
            // `"function": "name"`, as Llama 3.1 writes now and then.
            .or_else(|| text(&["function"], object))
            .filter(|name| !name.is_empty())?;
        let arguments = ["arguments", "parameters"]
            .iter()
            .find_map(|key| function.get(*key));
        // An object that has a name and other things is no call: `{"name": "Bob", "age": 3}`.
        const KNOWN: [&str; 8] = [
            "name",
            "tool_name",
            "type",
            "function",
            "id",
            "tool_call_id",
            "arguments",
            "parameters",
        ];
        if arguments.is_none() && !function.keys().all(|key| KNOWN.contains(&key.as_str())) {
            return None;
        }
        Some(Self {
            id: text(&["id", "tool_call_id"], object),
            name,
            arguments: match arguments {
                None | Some(Value::Null) => Value::Object(Map::new()),
                Some(Value::Object(arguments)) => Value::Object(arguments.clone()),
                // Some models write the object as text.
                Some(Value::String(text)) => object_of(text)?,
                Some(_) => return None,
            },
        })
    }
}

/// How the text of a call's region is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// One JSON object or a list of them, or several in a row.
    Json,
    /// `f(a=1)`, or a list of such calls.
    Pythonic,
    /// `<function=f><parameter=a>1</parameter></function>` (Qwen3-Coder).
    Parameters,
    /// `f` and then `<arg_key>a</arg_key><arg_value>1</arg_value>` (GLM 4.5).
    ArgKeys,
    /// A JSON list, or `f[CALL_ID]id[ARGS]{…}` (Mistral).
    Mistral,
    /// `f<｜tool▁sep｜>{…}`, or `function<｜tool▁sep｜>f` and a fenced block (DeepSeek).
    DeepSeek,
    /// `functions.f:0<|tool_call_argument_begin|>{…}` (Kimi K2).
    Kimi,
    /// The function is named before the region; the body has the arguments (gpt-oss).
    Named,
}

impl Syntax {
    /// The calls that `body` writes; `name` is the function named before it.
    pub(super) fn read(self, body: &str, name: Option<&str>) -> Option<Vec<ToolCall>> {
        let body = body.trim();
        let calls = match self {
            Self::Json => json_calls(body),
            Self::Pythonic => pythonic::calls(fenced(body)),
            Self::Parameters => parameters(body),
            Self::ArgKeys => arg_keys(body),
            Self::Mistral => mistral(body),
            Self::DeepSeek => deepseek(body),
            Self::Kimi => kimi(body),
            Self::Named => named(name?, body),
        };
        calls.filter(|calls| !calls.is_empty())
    }

    /// Whether the arguments are bare text, whose type only the function's schema tells.
    pub(super) fn writes_text(self) -> bool {
        matches!(self, Self::Parameters | Self::ArgKeys)
    }
}

/// Whether text that begins an answer may be calls as JSON: an object whose first key is one of a call's.
pub(super) fn may_be_json_call(text: &str) -> bool {
    let mut rest = text.trim_start();
    if let Some(list) = rest.strip_prefix('[') {
        rest = list.trim_start();
    }
    const KEYS: [&str; 7] = [
        "name",
        "type",
        "function",
        "parameters",
        "arguments",
        "tool_name",
        "id",
    ];
    let opening = |key: &&str| {
        let expected = format!("\"{key}\"");
        let Some(object) = rest.strip_prefix('{') else {
            return rest.is_empty();
        };
        let object = object.trim_start();
        object.starts_with(&expected) || expected.starts_with(object)
    };
    KEYS.iter().any(opening)
}

/// Whether text that begins an answer may be a list of Python calls: `[`, a name, `(`.
pub(super) fn may_be_pythonic(text: &str) -> bool {
    let Some(rest) = text.trim_start().strip_prefix('[') else {
        return text.trim().is_empty();
    };
    let rest = rest.trim_start();
    let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let after = rest.trim_start_matches(name);
    let begins = rest
        .chars()
        .next()
        .is_none_or(|c| c.is_alphabetic() || c == '_');
    begins && (after.is_empty() || after.starts_with('('))
}

/// A JSON object, read from text.
fn object_of(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Value::Object(Map::new()));
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Text inside a fenced block, where there is one.
fn fenced(body: &str) -> &str {
    let Some(inner) = body.strip_prefix("```") else {
        return body;
    };
    let inner = inner
        .split_once('\n')
        .map_or(inner, |(_language, rest)| rest);
    inner.trim_end().strip_suffix("```").unwrap_or(inner).trim()
}

/// Objects and lists of objects, with `;`, `,` or blanks between.
fn json_calls(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = fenced(body);
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let end = values.byte_offset();
        match value {
            Value::Object(object) => calls.push(ToolCall::from_object(&object)?),
            Value::Array(list) => {
                for value in &list {
                    calls.push(ToolCall::from_object(value.as_object()?)?);
                }
            }
            _ => return None,
        }
        rest =
            rest[end..].trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | ','));
    }
    Some(calls)
}

/// The text between `open` and `close`, and what follows; `None` where `text` does not begin with `open`.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(open)?.split_once(close)
}

fn parameters(body: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (name, mut inner) = between(rest, "<function=", ">")?;
        let mut arguments = Map::new();
        loop {
            inner = inner.trim_start();
            let Some((key, value)) = between(inner, "<parameter=", ">") else {
                break;
            };
            let (value, after) = value.split_once("</parameter>")?;
            // The template writes the value on lines of its own.
            let value = value.strip_prefix('\n').unwrap_or(value);
            let value = value.strip_suffix('\n').unwrap_or(value);
            arguments.insert(key.trim().to_owned(), Value::from(value));
            inner = after;
        }
        rest = inner.strip_prefix("</function>")?.trim_start();
        calls.push(ToolCall::new(name.trim(), arguments));
    }
    Some(calls)
}

fn arg_keys(body: &str) -> Option<Vec<ToolCall>> {
    let (name, mut rest) = body.split_at(body.find("<arg_key>").unwrap_or(body.len()));
    let mut arguments = Map::new();
    while !rest.is_empty() {
        let (key, after) = between(rest, "<arg_key>", "</arg_key>")?;
        let (value, after) = between(after.trim_start(), "<arg_value>", "</arg_value>")?;
        arguments.insert(key.trim().to_owned(), Value::from(value));
        rest = after.trim_start();
    }
    let name = name.trim();
    let plain = !name.is_empty() && !name.contains(char::is_whitespace);
    plain.then(|| vec![ToolCall::new(name, arguments)])
}

fn mistral(body: &str) -> Option<Vec<ToolCall>> {
    if body.starts_with(['[', '{']) {
        return json_calls(body);
    }
    let call = |text: &str| {
        let (head, arguments) = match text.split_once("[ARGS]") {
            Some((head, arguments)) => (head, arguments),
            None => text.split_at(text.find('{')?),
        };
        let (name, id) = match head.split_once("[CALL_ID]") {
            Some((name, id)) => (name, Some(id.trim().to_owned())),
            None => (head, None),
        };
        let name = name.trim();
        let plain = !name.is_empty() && !name.contains(char::is_whitespace);
        let arguments = object_of(arguments).filter(|_| plain)?;
        Some(ToolCall {
            id,
            ..ToolCall::new(name, arguments)
        })
    };
    body.split("[TOOL_CALLS]")
        .filter(|part| !part.trim().is_empty())
        .map(call)
        .collect()
}

fn deepseek(body: &str) -> Option<Vec<ToolCall>> {
    let (name, arguments) = body.split_once("<｜tool▁sep｜>")?;
    let (name, arguments) = match name.trim() {
        // V3 and R1: the kind, the name on a line, and a fenced block.
        "function" => arguments.split_once('\n').unwrap_or((arguments, "")),
        name => (name, arguments),
    };
    let arguments = object_of(fenced(arguments.trim()))?;
    Some(vec![ToolCall::new(name.trim(), arguments)]).filter(|_| !name.trim().is_empty())
}

fn kimi(body: &str) -> Option<Vec<ToolCall>> {
    let (id, arguments) = body.split_once("<|tool_call_argument_begin|>")?;
    let id = id.trim();
    let name = id.rsplit_once(':').map_or(id, |(name, _index)| name);
    let name = name.strip_prefix("functions.").unwrap_or(name);
    let arguments = object_of(arguments).filter(|_| !name.is_empty())?;
    Some(vec![ToolCall {
        id: Some(id.to_owned()),
        ..ToolCall::new(name, arguments)
    }])
}

fn named(name: &str, body: &str) -> Option<Vec<ToolCall>> {
    Some(vec![ToolCall::new(name, object_of(body)?)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_in_every_shape() {
        let weather = ToolCall::new("weather", json!({"city": "Rome"}));
        for body in [
            r#"{"name": "weather", "arguments": {"city": "Rome"}}"#,
            r#"{"name": "weather", "parameters": {"city": "Rome"}}"#,
            r#"{"name": "weather", "arguments": "{\"city\": \"Rome\"}"}"#,
            r#"{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}"#,
            r#"{"type": "function", "function": "weather", "parameters": {"city": "Rome"}}"#,
            r#"[{"tool_name": "weather", "parameters": {"city": "Rome"}}]"#,
            "```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n```",
        ] {
            assert_eq!(
                Syntax::Json.read(body, None),
                Some(vec![weather.clone()]),
                "{body}"
            );
        }
        let two = r#"{"name": "a"}; {"name": "b", "arguments": null}"#;
        let empty = |name: &str| ToolCall::new(name, json!({}));
        assert_eq!(
            Syntax::Json.read(two, None),
            Some(vec![empty("a"), empty("b")])
        );
        for body in [
            "",
            "[]",
            "{}",
            "[1]",
            r#"{"name": ""}"#,
            r#"{"name": "a", "arguments": 3}"#,
            r#"{"name": "a"} b"#,
            r#"{"name": "a""#,
        ] {
            assert_eq!(Syntax::Json.read(body, None), None, "{body}");
        }
    }

    #[test]
    fn each_family() {
        let expected = Some(vec![ToolCall::new("f", json!({"a": 1}))]);
        assert_eq!(
            Syntax::DeepSeek.read("function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```", None),
            expected
        );
        assert_eq!(
            Syntax::DeepSeek.read("f<｜tool▁sep｜>{\"a\": 1}", None),
            expected
        );
        assert_eq!(
            Syntax::Mistral.read("[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", None),
            expected
        );
        assert_eq!(Syntax::Mistral.read("f[ARGS]{\"a\": 1}", None), expected);
        assert_eq!(Syntax::Mistral.read("f{\"a\": 1}", None), expected);
        assert_eq!(Syntax::Pythonic.read("[f(a=1)]", None), expected);
        assert_eq!(Syntax::Named.read("{\"a\": 1}", Some("f")), expected);
        let text = Some(vec![ToolCall::new("f", json!({"a": "1", "b": "x\ny"}))]);
        let body = "<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx\ny\n</parameter>\n</function>";
        assert_eq!(Syntax::Parameters.read(body, None), text);
        let body = "f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n<arg_value>x\ny</arg_value>";
        assert_eq!(Syntax::ArgKeys.read(body, None), text);
        let kimi = Syntax::Kimi
            .read("functions.f:0<|tool_call_argument_begin|>{\"a\": 1}", None)
            .unwrap();
        assert_eq!(
            (kimi[0].name.as_str(), kimi[0].id.as_deref()),
            ("f", Some("functions.f:0"))
        );
        let two = Syntax::Mistral
            .read("f[CALL_ID]123[ARGS]{}[TOOL_CALLS]g[ARGS]{}", None)
            .unwrap();
        assert_eq!(
            (two.len(), two[0].id.as_deref(), two[1].name.as_str()),
            (2, Some("123"), "g")
        );
    }

    #[test]
    fn half_a_call_is_none() {
        for (syntax, body) in [
            (Syntax::Parameters, "<function=f><parameter=a>1</function>"),
            (Syntax::ArgKeys, "f <arg_key>a</arg_key>"),
            (Syntax::Mistral, "f g{}"),
            (Syntax::DeepSeek, "f<｜tool▁sep｜>[1]"),
            (Syntax::Kimi, "f {}"),
            (Syntax::Named, "{"),
        ] {
            assert_eq!(syntax.read(body, Some("f")), None, "{body}");
        }
    }

    #[test]
    fn a_beginning_tells() {
        for text in [
            "",
            "{",
            "{\"na",
            "{ \"name\"",
            "[ {\"type\": 1",
            "[",
            "{\"parameters\"",
        ] {
            assert!(may_be_json_call(text), "{text}");
        }
        for text in ["{\"answer\": 1", "{1", "[1", "x"] {
            assert!(!may_be_json_call(text), "{text}");
        }
        for text in ["", "[", "[get_w", "[a.b(", " [f(x"] {
            assert!(may_be_pythonic(text), "{text}");
        }
        for text in ["[1, 2]", "[a, b]", "a", "[\"x\""] {
            assert!(!may_be_pythonic(text), "{text}");
        }
    }
}
