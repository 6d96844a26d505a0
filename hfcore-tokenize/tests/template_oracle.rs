//! Chat templates in the style of 80 families against transformers' rendering, byte for byte, errors included.
//!
//! The templates are in `templates/`; `templates.json` is written by `make_templates.py`, which also shows a rendering of
//! which the file has only a hash.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hfcore_tokenize::{
    ChatOptions, ChatTemplate, ContinueFinalMessage, Message, TemplateError, Value,
};
use serde::Deserialize;
use serde_json::Map;

#[derive(Deserialize)]
struct Golden {
    special: Map<String, Value>,
    /// The clock's seconds.
    now: i64,
    cases: Vec<Case>,
    /// Exceptions: type and message.
    errors: Vec<(String, String)>,
    expected: BTreeMap<String, Vec<Expected>>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Map<String, Value>>,
    #[serde(default)]
    add_generation_prompt: bool,
    #[serde(default)]
    continue_final_message: Value,
    tools: Option<Vec<Value>>,
    documents: Option<Vec<Value>>,
    kwargs: Map<String, Value>,
}

/// `=` and a text, or the hash of one; or a place in the list of errors.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Text(String),
    Error(usize),
}

/// FNV-1a.
fn hash(text: &str) -> String {
    let step = |value: u64, &byte: &u8| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!(
        "{:016x}",
        text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
    )
}

fn options(case: &Case, now: i64) -> ChatOptions {
    ChatOptions {
        add_generation_prompt: case.add_generation_prompt,
        continue_final_message: match &case.continue_final_message {
            Value::String(field) => field.as_str().into(),
            value => ContinueFinalMessage::from(value == true),
        },
        tools: case.tools.clone(),
        documents: case.documents.clone(),
        now: Some(now),
        kwargs: case.kwargs.clone(),
        ..ChatOptions::default()
    }
}

/// What transformers gave, if it is not what we give.
fn difference(
    found: &Result<String, TemplateError>,
    expected: &Expected,
    errors: &[(String, String)],
) -> Option<String> {
    match (found, expected) {
        (Ok(text), Expected::Text(expected)) => {
            let same = match expected.strip_prefix('=') {
                Some(whole) => text == whole,
                None => &hash(text) == expected,
            };
            (!same).then(|| expected.clone())
        }
        (Err(error), Expected::Error(index)) => {
            let (kind, message) = &errors[*index];
            let same = match error {
                TemplateError::Raised(found) => kind == "TemplateError" && found == message,
                TemplateError::Failed {
                    exception,
                    message: found,
                    ..
                } => exception == kind && (found == message || kind == "RecursionError"),
                // transformers' own checks: ours say it in other words.
                TemplateError::Conversation(_) => {
                    message.is_empty() || kind == "TypeError" || kind == "ValueError"
                }
                _ => false,
            };
            (!same).then(|| format!("{kind}: {message}"))
        }
        (Ok(_), Expected::Error(index)) => Some(format!("{:?}", errors[*index])),
        (Err(_), Expected::Text(expected)) => Some(expected.clone()),
    }
}

#[test]
fn rendering() {
    let golden: Golden = serde_json::from_str(include_str!("templates.json")).unwrap();
    assert!(golden.expected.len() >= 80);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        golden.expected.len(),
        "templates.json is older than the templates"
    );
    let mut differ = Vec::new();
    for (name, outputs) in &golden.expected {
        let source = fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let template = ChatTemplate::new(source).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(outputs.len(), golden.cases.len());
        for (index, (case, expected)) in golden.cases.iter().zip(outputs).enumerate() {
            let messages: Vec<Message> = case.messages.iter().cloned().map(Message::from).collect();
            let options = options(case, golden.now);
            let found = template.render(&messages, &options, golden.special.clone());
            if let Some(expected) = difference(&found, expected, &golden.errors) {
                differ.push(format!(
                    "{name} {index}\n expected {expected}\n found    {found:?}"
                ));
            }
        }
    }
    assert!(
        differ.is_empty(),
        "{} differ\n{}",
        differ.len(),
        differ[..differ.len().min(40)].join("\n")
    );
}
