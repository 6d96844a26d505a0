//! `response_template`: a model's own account of how its answers are to be read, in `tokenizer_config.json`.
//!
//! Reference: transformers 5.23 `utils/chat_parsing/response_templates.py` and `response_parser.py`.

use serde_json::{Map, Value};

use super::anchor::Anchor;
use super::content::{Content, check_transform, transform};
use super::region::{Closed, Event, Region, Scanner};
use super::schema::Tools;

/// A response template that is not valid, or an answer that is not as it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The template is wrong.
    #[error("response_template: {0}")]
    Template(String),
    /// A region of the answer does not parse.
    #[error("the answer's field '{field}' cannot be read: {problem}")]
    Field {
        /// The field.
        field: String,
        /// Why not.
        problem: String,
    },
    /// The answer lacks fields that the template requires.
    #[error("the answer lacks the required fields {0:?}")]
    Missing(Vec<String>),
}

/// A declarative description of an answer: fields, each with what opens and closes it and what its text means.
///
/// ```
/// use hfcore_tokenize::{ResponseTemplate, Value};
///
/// let spec: Value = serde_json::from_str(r#"{
///     "defaults": {"role": "assistant"},
///     "start_anchor": "<|assistant|>",
///     "fields": {
///         "thinking": {"open": "<think>", "close": "</think>"},
///         "content": {"close": "<|end|>"}
///     }
/// }"#)?;
/// let template = ResponseTemplate::new(&spec)?;
/// let message = template.parse("hm</think>Four.<|end|>", "<|user|>2+2?<|assistant|><think>", &[])?;
/// assert_eq!(message["thinking"], "hm");
/// assert_eq!(message["content"], "Four.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResponseTemplate {
    defaults: Map<String, Value>,
    fields: Vec<Field>,
    start: Anchor,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    open: Option<Anchor>,
    close: Option<Anchor>,
    content: Content,
    repeats: bool,
    join: Option<String>,
    optional: bool,
    transform: Option<Value>,
    transform_each: bool,
}

const TEMPLATE_KEYS: [&str; 5] = [
    "version",
    "defaults",
    "fields",
    "start_anchor",
    "start_anchor_pattern",
];
const FIELD_KEYS: [&str; 11] = [
    "open",
    "open_pattern",
    "close",
    "close_pattern",
    "content",
    "content_args",
    "repeats",
    "join",
    "optional",
    "transform",
    "transform_each",
];
/// Most fields, and the longest pattern in bytes: more than any real template has.
const MAX_FIELDS: usize = 64;
const MAX_PATTERN: usize = 4096;

impl ResponseTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Template`] names the field and what is wrong with it. Patterns with look-around or
    /// back-references are refused: they cannot be matched in linear time.
    pub fn new(spec: &Value) -> Result<Self, ResponseError> {
        Self::read(spec).map_err(ResponseError::Template)
    }

    fn read(spec: &Value) -> Result<Self, String> {
        let Value::Object(spec) = spec else {
            return Err(format!("expected an object, found {spec}"));
        };
        match spec.get("version") {
            None => {}
            Some(version) if version.as_f64() == Some(1.0) => {}
            Some(version) => return Err(format!("version {version} is not known; 1 is")),
        }
        known_keys(spec, &TEMPLATE_KEYS)?;
        let defaults = match spec.get("defaults") {
            None => Map::new(),
            Some(Value::Object(defaults)) => defaults.clone(),
            Some(_) => return Err("'defaults' must be an object".to_owned()),
        };
        let fields = spec
            .get("fields")
            .and_then(Value::as_object)
            .filter(|fields| !fields.is_empty());
        let fields = fields.ok_or("'fields' must be an object that is not empty")?;
        if fields.len() > MAX_FIELDS {
            return Err(format!(
                "{} fields; at most {MAX_FIELDS} are read",
                fields.len()
            ));
        }
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, spec)| {
                Field::read(name, spec).map_err(|problem| format!("field '{name}': {problem}"))
            })
            .collect::<Result<_, _>>()?;
        let around: Vec<&str> = fields
            .iter()
            .filter(|field| field.open.is_none())
            .map(|field| field.name.as_str())
            .collect();
        if around.len() > 1 {
            return Err(format!(
                "at most one field may omit 'open' and 'open_pattern'; found {around:?}"
            ));
        }
        let start = anchor(spec, "start_anchor", "start_anchor_pattern")?;
        let start = start.ok_or("'start_anchor' or 'start_anchor_pattern' is missing")?;
        Ok(Self {
            defaults,
            fields,
            start,
        })
    }

    /// The message that an answer says. `prefix` is the prompt before it: templates often write the beginning of an
    /// answer (`<think>`) themselves. `tools` give the arguments of calls their types.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Field`] and [`ResponseError::Missing`], as transformers raises. To lose no text, whatever the
    /// model wrote, use an [`AnswerParser`](super::AnswerParser).
    pub fn parse(
        &self,
        text: &str,
        prefix: &str,
        tools: &[Value],
    ) -> Result<Map<String, Value>, ResponseError> {
        let tools = Tools::new(tools);
        let mut scanner = Scanner::new(self.regions());
        let mut events = Vec::new();
        scanner.feed(self.begun(prefix), false, &mut events);
        scanner.feed(text, false, &mut events);
        scanner.feed("", true, &mut events);
        let mut message = self.defaults.clone();
        for event in events {
            let Event::Close(closed) = event else {
                continue;
            };
            let field = &self.fields[closed.region];
            let failed = |problem| ResponseError::Field {
                field: field.name.clone(),
                problem,
            };
            let mut value = field.value(&closed).map_err(failed)?;
            tools.coerce_calls(&mut value);
            let before = message.get_mut(&field.name);
            match (&field.join, before) {
                (Some(join), before) => {
                    let Value::String(text) = value else {
                        return Err(failed("'join' needs each match to be a text".to_owned()));
                    };
                    match before {
                        Some(Value::String(before)) => {
                            before.push_str(join);
                            before.push_str(&text);
                        }
                        _ => {
                            message.insert(field.name.clone(), Value::from(text));
                        }
                    }
                }
                (None, Some(Value::Array(list))) if field.repeats => list.push(value),
                (None, _) => {
                    let value = if field.repeats {
                        Value::Array(vec![value])
                    } else {
                        value
                    };
                    message.insert(field.name.clone(), value);
                }
            }
        }
        let missing = |field: &&Field| !field.optional && !message.contains_key(&field.name);
        let missing: Vec<String> = self
            .fields
            .iter()
            .filter(missing)
            .map(|field| field.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(ResponseError::Missing(missing));
        }
        message.retain(|name, value| self.defaults.contains_key(name) || !is_empty(value));
        Ok(message)
    }

    /// The part of a prompt that belongs to the answer.
    pub(super) fn begun<'a>(&self, prefix: &'a str) -> &'a str {
        &prefix[self.start.last_end(prefix).unwrap_or(0)..]
    }

    pub(super) fn regions(&self) -> Vec<Region> {
        let region = |field: &Field| Region {
            name: field.name.clone(),
            open: field.open.clone(),
            close: field.close.clone(),
            ..Region::default()
        };
        self.fields.iter().map(region).collect()
    }

    /// Name and value of a region that ended.
    pub(super) fn value(&self, closed: &Closed) -> (&str, Result<Value, String>) {
        let field = &self.fields[closed.region];
        (&field.name, field.value(closed))
    }

    /// Whether a field's text may be shown as it comes.
    pub(super) fn streams(&self, region: usize) -> bool {
        let field = &self.fields[region];
        field.content.streams() && field.transform.is_none()
    }
}

impl Field {
    fn read(name: &str, spec: &Value) -> Result<Self, String> {
        let Value::Object(spec) = spec else {
            return Err("expected an object".to_owned());
        };
        known_keys(spec, &FIELD_KEYS)?;
        let flag = |key: &str, default| match spec.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("'{key}' must be a bool, got {other}")),
        };
        let content = match spec.get("content") {
            None => "text",
            Some(Value::String(name)) => name,
            Some(other) => return Err(format!("unknown content parser {other}")),
        };
        let field = Self {
            name: name.to_owned(),
            open: anchor(spec, "open", "open_pattern")?,
            close: anchor(spec, "close", "close_pattern")?,
            content: Content::new(content, spec.get("content_args").unwrap_or(&Value::Null), 0)?,
            repeats: flag("repeats", false)?,
            join: match spec.get("join") {
                None | Some(Value::Null) => None,
                Some(Value::String(join)) => Some(join.clone()),
                Some(other) => return Err(format!("'join' must be a string, got {other}")),
            },
            optional: flag("optional", true)?,
            transform: spec
                .get("transform")
                .filter(|transform| !transform.is_null())
                .cloned(),
            transform_each: flag("transform_each", false)?,
        };
        if field.join.is_some() && !field.repeats {
            return Err("'join' requires 'repeats': true".to_owned());
        }
        match &field.transform {
            Some(transform) => check_transform(transform)?,
            None if field.transform_each => {
                return Err("transform_each is set but no transform was provided".to_owned());
            }
            None => {
                let anchors = field.open.iter().chain(&field.close);
                let groups: Vec<String> = anchors.flat_map(Anchor::group_names).collect();
                if !groups.is_empty() {
                    return Err(format!(
                        "the named groups {groups:?} reach the message only through a 'transform', and there is none"
                    ));
                }
            }
        }
        Ok(field)
    }

    /// The region's text, parsed and transformed.
    fn value(&self, closed: &Closed) -> Result<Value, String> {
        let value = self.content.parse(&closed.body)?;
        let Some(template) = &self.transform else {
            return Ok(value);
        };
        let captures = || {
            closed
                .captures
                .iter()
                .map(|(name, text)| (name.clone(), Value::from(text.as_str())))
        };
        if !self.transform_each {
            let content = [("content".to_owned(), value)];
            return transform(template, &captures().chain(content).collect());
        }
        let Value::Array(items) = value else {
            return Err("transform_each requires the parsed content to be a list".to_owned());
        };
        let each = items.into_iter().map(|item| match item {
            Value::Object(item) => transform(template, &captures().chain(item).collect()),
            other => Err(format!(
                "transform_each requires each list element to be an object, got {other}"
            )),
        });
        each.collect::<Result<_, _>>().map(Value::Array)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn known_keys(spec: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    let unknown: Vec<&String> = spec
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!("unknown keys {unknown:?}; known are {known:?}"))
}

/// The anchor under `literal` or `pattern`, if there is one.
fn anchor(
    spec: &Map<String, Value>,
    literal: &str,
    pattern: &str,
) -> Result<Option<Anchor>, String> {
    let texts = match (spec.get(literal), spec.get(pattern)) {
        (Some(_), Some(_)) => {
            return Err(format!("cannot specify both '{literal}' and '{pattern}'"));
        }
        (None, None) => return Ok(None),
        (None, Some(Value::String(source))) if source.len() <= MAX_PATTERN => {
            let anchor = Anchor::pattern(source);
            return anchor
                .map(Some)
                .map_err(|problem| format!("invalid {pattern} {source:?}: {problem}"));
        }
        (None, Some(_)) => {
            return Err(format!(
                "'{pattern}' must be a text of at most {MAX_PATTERN} bytes"
            ));
        }
        (Some(Value::String(one)), None) => vec![one.as_str()],
        (Some(Value::Array(several)), None) => {
            let texts: Option<Vec<&str>> = several.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| format!("'{literal}' list must contain only strings"))?
        }
        (Some(_), None) => return Err(format!("'{literal}' must be a string or list of strings")),
    };
    if texts.is_empty() || texts.contains(&"") {
        return Err(format!(
            "'{literal}' must have at least one literal and none that is empty"
        ));
    }
    Ok(Some(Anchor::literals(texts)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_refused() {
        let refused = |spec: Value| ResponseTemplate::new(&spec).unwrap_err().to_string();
        let with = |field: Value| refused(json!({"start_anchor": "x", "fields": {"f": field}}));
        for (message, part) in [
            (refused(json!([])), "expected an object"),
            (
                refused(json!({"version": 2, "fields": {"f": {}}})),
                "version 2 is not known",
            ),
            (refused(json!({"fields": {}})), "'fields' must be"),
            (refused(json!({"fields": {"f": {}}})), "'start_anchor'"),
            (
                refused(json!({"start_anchor": "x", "extra": 1, "fields": {"f": {}}})),
                "unknown keys [\"extra\"]",
            ),
            (
                refused(json!({"start_anchor": "x", "fields": {"a": {}, "b": {}}})),
                "at most one field may omit",
            ),
            (
                with(json!({"open": "a", "open_pattern": "b"})),
                "cannot specify both",
            ),
            (with(json!({"open": ""})), "none that is empty"),
            (with(json!({"open_pattern": "("})), "invalid open_pattern"),
            (with(json!({"open_pattern": "a(?=b)"})), "look-around"),
            (with(json!({"open_pattern": "(?P<n>a)"})), "named groups"),
            (with(json!({"join": ","})), "requires 'repeats'"),
            (with(json!({"transform_each": true})), "no transform"),
            (
                with(json!({"content": "yaml"})),
                "unknown content parser 'yaml'",
            ),
            (
                with(json!({"transform": "a {content}"})),
                "mixes a {placeholder}",
            ),
            (with(json!({"opens": "a"})), "unknown keys [\"opens\"]"),
        ] {
            assert!(
                message.starts_with("response_template: ") && message.contains(part),
                "{message}"
            );
        }
    }
}
