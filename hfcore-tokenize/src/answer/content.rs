//! What a region's text means: the content parsers and transforms of a response template.
//!
//! Reference: transformers 5.23 `utils/chat_parsing/content_parsers.py`.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde_json::{Map, Number, Value};

/// Deepest nesting of value parsers in a template.
const MAX_DEPTH: usize = 16;

/// How a region's text becomes a value.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text {
        strip: bool,
    },
    Int,
    Float,
    Bool,
    Json {
        unquoted_keys: bool,
        string_delims: Vec<(String, String)>,
        allow_non_json: bool,
        strip: bool,
    },
    XmlInline {
        tag: Box<Regex>,
        value: Box<Option<Self>>,
        merge_duplicates: bool,
    },
    KvLines {
        line_sep: String,
        kv_sep: String,
        value: Box<Option<Self>>,
        strip: bool,
    },
}

impl Content {
    /// The parser `name` with its `content_args`.
    pub(super) fn new(name: &str, arguments: &Value, depth: usize) -> Result<Self, String> {
        let empty = Map::new();
        let arguments = match arguments {
            Value::Null => &empty,
            Value::Object(arguments) => arguments,
            _ => return Err("'content_args' must be a dict".to_owned()),
        };
        if depth > MAX_DEPTH {
            return Err(format!(
                "value parsers are nested more than {MAX_DEPTH} deep"
            ));
        }
        let flag = |key: &str, default| match arguments.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("{name}: '{key}' must be a bool, got {other}")),
        };
        let text = |key: &str, default: &str| match arguments.get(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(other) => Err(format!("{name}: '{key}' must be a text, got {other}")),
        };
        let value = || match arguments.get("value_parser") {
            None | Some(Value::Null) => Ok(Box::new(None)),
            Some(parser) => {
                let name = parser.get("name").map_or(Some("text"), Value::as_str);
                let arguments = parser.get("args").unwrap_or(&Value::Null);
                let name = name.ok_or("'value_parser' must have a text 'name'")?;
                Ok::<_, String>(Box::new(Some(Self::new(name, arguments, depth + 1)?)))
            }
        };
        Ok(match name {
            "text" => Self::Text {
                strip: flag("strip", true)?,
            },
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "json" => Self::Json {
                unquoted_keys: flag("unquoted_keys", false)?,
                string_delims: delimiters(arguments.get("string_delims"))?,
                allow_non_json: flag("allow_non_json", false)?,
                strip: flag("strip", true)?,
            },
            "xml-inline" => {
                let pattern = arguments.get("tag_pattern").and_then(Value::as_str);
                let pattern = pattern.ok_or("xml-inline: 'tag_pattern' content_arg is required")?;
                let tag = Regex::builder()
                    .syntax(syntax::Config::new().dot_matches_new_line(true))
                    .build(pattern)
                    .map_err(|error| {
                        format!("xml-inline: invalid tag_pattern {pattern:?}: {error}")
                    })?;
                let has = |name| tag.group_info().to_index(0.into(), name).is_some();
                if !has("key") {
                    return Err(format!(
                        "xml-inline: tag_pattern must have a named group 'key'. Pattern: {pattern}"
                    ));
                }
                Self::XmlInline {
                    tag: Box::new(tag),
                    value: value()?,
                    merge_duplicates: flag("merge_duplicates", false)?,
                }
            }
            "kv-lines" => Self::KvLines {
                line_sep: text("line_sep", "\n")?,
                kv_sep: text("kv_sep", ":")?,
                value: value()?,
                strip: flag("strip", true)?,
            },
            other => {
                let known = "['bool', 'float', 'int', 'json', 'kv-lines', 'text', 'xml-inline']";
                return Err(format!(
                    "unknown content parser '{other}'. Available: {known}"
                ));
            }
        })
    }

    /// Whether the text is its own value, so that it may be shown as it comes.
    pub(super) fn streams(&self) -> bool {
        matches!(
            self,
            Self::Text { .. } | Self::Int | Self::Float | Self::Bool
        )
    }

    /// The value of a region's text.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text { strip } => Ok(Value::from(stripped(text, *strip))),
            Self::Int => {
                whole(text).ok_or_else(|| format!("expected a whole number, found {text:?}"))
            }
            Self::Float => {
                let number = text
                    .trim()
                    .replace('_', "")
                    .parse()
                    .ok()
                    .and_then(Number::from_f64);
                let number =
                    number.ok_or_else(|| format!("expected a finite number, found {text:?}"))?;
                Ok(Value::Number(number))
            }
            Self::Bool => Ok(Value::Bool(matches!(
                text.trim().to_lowercase().as_str(),
                "true" | "1"
            ))),
            Self::Json {
                unquoted_keys,
                string_delims,
                allow_non_json,
                strip,
            } => {
                let written = dialect(text, *unquoted_keys, string_delims)?;
                match serde_json::from_str(&written) {
                    Ok(value) => Ok(value),
                    Err(_) if *allow_non_json => Ok(Value::from(stripped(text, *strip))),
                    Err(error) => Err(format!(
                        "json parser could not parse region as JSON: {error}"
                    )),
                }
            }
            Self::XmlInline {
                tag,
                value,
                merge_duplicates,
            } => {
                let mut found = Map::new();
                let mut captures = tag.create_captures();
                for at in tag.find_iter(text) {
                    tag.captures(
                        regex_automata::Input::new(text).range(at.range()),
                        &mut captures,
                    );
                    let group = |name| {
                        captures
                            .get_group_by_name(name)
                            .map_or("", |span| &text[span])
                    };
                    let key = group("key").to_owned();
                    let parsed = value.as_ref().as_ref();
                    let parsed = parsed.map_or_else(
                        || Ok(Value::from(group("value"))),
                        |parser| parser.parse(group("value")),
                    )?;
                    match found.get_mut(&key) {
                        Some(Value::Array(list)) if *merge_duplicates => list.push(parsed),
                        Some(first) if *merge_duplicates => {
                            *first = Value::Array(vec![first.take(), parsed]);
                        }
                        _ => {
                            found.insert(key, parsed);
                        }
                    }
                }
                Ok(Value::Object(found))
            }
            Self::KvLines {
                line_sep,
                kv_sep,
                value,
                strip,
            } => {
                let mut found = Map::new();
                for line in text.split(line_sep.as_str()) {
                    let line = stripped(line, *strip);
                    let Some((key, written)) = line.split_once(kv_sep.as_str()) else {
                        continue;
                    };
                    let written = stripped(written, *strip);
                    let parsed = match value.as_ref() {
                        None => Value::from(written),
                        Some(parser) => parser.parse(written)?,
                    };
                    found.insert(stripped(key, *strip).to_owned(), parsed);
                }
                Ok(Value::Object(found))
            }
        }
    }
}

fn stripped(text: &str, strip: bool) -> &str {
    if strip { text.trim() } else { text }
}

/// A whole number as Python's `int` reads it.
pub(super) fn whole(text: &str) -> Option<Value> {
    let text = text.trim().replace('_', "");
    text.parse::<i64>()
        .map(Value::from)
        .or_else(|_| text.parse::<u64>().map(Value::from))
        .ok()
}

fn delimiters(value: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(open), Value::String(close)])
            if !open.is_empty() && !close.is_empty() =>
        {
            Some((open.clone(), close.clone()))
        }
        _ => None,
    };
    let pairs = value
        .as_array()
        .and_then(|pairs| pairs.iter().map(pair).collect());
    pairs.ok_or_else(|| "json: 'string_delims' must be a list of pairs of texts".to_owned())
}

/// Rewrites what models write for JSON into JSON: texts between markers of their own, keys without quotes.
fn dialect(
    text: &str,
    unquoted_keys: bool,
    delimiters: &[(String, String)],
) -> Result<String, String> {
    // Texts are taken out first, so that keys are not looked for inside them.
    const MARK: char = '\u{1}';
    if !delimiters.is_empty() && text.contains([MARK, '\u{2}']) {
        return Err("json: the text contains the characters \\x01 or \\x02, which stand for texts taken out".to_owned());
    }
    let mut texts: Vec<String> = Vec::new();
    let mut working = text.to_owned();
    for (open, close) in delimiters {
        let mut out = String::with_capacity(working.len());
        let mut rest = working.as_str();
        while let Some((before, inner, after)) = split_delimited(rest, open, close) {
            out.push_str(before);
            out.push_str(&format!("{MARK}{}\u{2}", texts.len()));
            texts.push(inner.to_owned());
            rest = after;
        }
        out.push_str(rest);
        working = out;
    }
    if unquoted_keys {
        working = quote_keys(&working);
    }
    if texts.is_empty() {
        return Ok(working);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = working.as_str();
    while let Some((before, after)) = rest.split_once(MARK) {
        let (index, after) = after.split_once('\u{2}').unwrap_or((after, ""));
        let inner = index.parse().ok().and_then(|index: usize| texts.get(index));
        out.push_str(before);
        out.push_str(&Value::from(inner.map_or("", String::as_str)).to_string());
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn split_delimited<'a>(
    text: &'a str,
    open: &str,
    close: &str,
) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(open)?;
    let (inner, after) = rest.split_once(close)?;
    Some((before, inner, after))
}

/// `{key:` and `,key:` become `{"key":` and `,"key":`.
fn quote_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(at) = rest.find(['{', ',']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        let end = after.find(|c| !word(c)).unwrap_or(after.len());
        if end > 0 && after[end..].starts_with(':') {
            out.push_str(&format!("\"{}\":", &after[..end]));
            rest = &after[end + 1..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The name in a text that is wholly a placeholder: `{content.args}`.
fn placeholder(text: &str) -> Option<&str> {
    let path = text.strip_prefix('{')?.strip_suffix('}')?;
    is_path(path).then_some(path)
}

fn is_path(path: &str) -> bool {
    path.split('.')
        .all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// Refuses a text that mixes a placeholder with other text, anywhere in a transform.
pub(super) fn check_transform(transform: &Value) -> Result<(), String> {
    match transform {
        Value::Object(map) => map.values().try_for_each(check_transform),
        Value::Array(list) => list.iter().try_for_each(check_transform),
        Value::String(text) if placeholder(text).is_none() => {
            let inside = text
                .split('{')
                .skip(1)
                .any(|part| part.split_once('}').is_some_and(|(path, _)| is_path(path)));
            if inside {
                return Err(format!(
                    "transform string {text:?} mixes a {{placeholder}} with literal text. Use either a whole-string placeholder (e.g. \"{{content}}\") or a plain literal; string interpolation is not supported."
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The transform with its placeholders filled from `scope`.
pub(super) fn transform(template: &Value, scope: &Map<String, Value>) -> Result<Value, String> {
    match template {
        Value::Object(map) => {
            let filled = map
                .iter()
                .map(|(key, value)| Ok((key.clone(), transform(value, scope)?)));
            filled.collect::<Result<_, String>>().map(Value::Object)
        }
        Value::Array(list) => {
            let filled = list.iter().map(|value| transform(value, scope));
            filled.collect::<Result<_, _>>().map(Value::Array)
        }
        Value::String(text) => match placeholder(text) {
            None => Ok(template.clone()),
            Some(path) => {
                let mut keys = path.split('.');
                let root = keys.next().unwrap_or_default();
                let undefined = || format!("transform placeholder '{{{path}}}' is not defined");
                let mut value = scope.get(root).ok_or_else(undefined)?;
                for key in keys {
                    let missing =
                        || format!("transform placeholder '{{{path}}}' is missing key '{key}'");
                    value = value
                        .get(key)
                        .filter(|_| value.is_object())
                        .ok_or_else(missing)?;
                }
                Ok(value.clone())
            }
        },
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(name: &str, arguments: Value, text: &str) -> Result<Value, String> {
        Content::new(name, &arguments, 0)?.parse(text)
    }

    #[test]
    fn json_as_models_write_it() {
        let arguments = json!({"unquoted_keys": true, "string_delims": [["<|\"|>", "<|\"|>"]]});
        let text = r#"{city:<|"|>a {b:1}, "c"<|"|>,n:[1,2],o:{x:true}}"#;
        let expected = json!({"city": "a {b:1}, \"c\"", "n": [1, 2], "o": {"x": true}});
        assert_eq!(parse("json", arguments, text), Ok(expected));
        assert_eq!(
            parse("json", json!({"allow_non_json": true}), " x "),
            Ok(json!("x"))
        );
        assert!(
            parse("json", json!({}), "{")
                .unwrap_err()
                .contains("could not parse")
        );
    }

    #[test]
    fn tags_and_lines() {
        let tags = json!({"tag_pattern": "<(?P<key>\\w+)>(?P<value>.*?)</\\w+>", "merge_duplicates": true, "value_parser": {"name": "int"}});
        assert_eq!(
            parse("xml-inline", tags.clone(), "<a>1</a> <b>2</b><a>3</a>"),
            Ok(json!({"a": [1, 3], "b": 2}))
        );
        assert!(
            parse("xml-inline", tags, "<a>x</a>")
                .unwrap_err()
                .contains("whole number")
        );
        assert_eq!(
            parse("kv-lines", json!({}), "a: 1\nnone\n b:c:d"),
            Ok(json!({"a": "1", "b": "c:d"}))
        );
        let message = Content::new("xml-inline", &json!({"tag_pattern": "<a>"}), 0).unwrap_err();
        assert!(message.contains("named group 'key'"));
        assert!(
            Content::new("yaml", &Value::Null, 0)
                .unwrap_err()
                .starts_with("unknown content parser 'yaml'")
        );
    }

    #[test]
    fn placeholders() {
        let Value::Object(scope) = json!({"content": {"a": {"b": 1}}, "name": "f"}) else {
            panic!()
        };
        let template = json!({"n": "{name}", "v": ["{content.a.b}", "plain", 3]});
        assert_eq!(
            transform(&template, &scope),
            Ok(json!({"n": "f", "v": [1, "plain", 3]}))
        );
        assert!(
            transform(&json!("{other}"), &scope)
                .unwrap_err()
                .contains("not defined")
        );
        assert!(
            transform(&json!("{name.x}"), &scope)
                .unwrap_err()
                .contains("missing key")
        );
        assert!(check_transform(&json!({"a": ["x {name}"]})).is_err());
        assert_eq!(check_transform(&json!("{ not a path }")), Ok(()));
    }
}
