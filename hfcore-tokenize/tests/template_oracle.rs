//! Chat templates in the style of twelve families against transformers' rendering, byte for byte.
//!
//! The file is written by `make_templates.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hfcore_tokenize::{ChatOptions, ChatTemplate, Message, TemplateError, Value};
use serde::Deserialize;
use serde_json::Map;

#[derive(Deserialize)]
struct Golden {
    special: Map<String, Value>,
    cases: Vec<Case>,
    templates: Map<String, Value>,
    expected: std::collections::BTreeMap<String, Vec<Expected>>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Map<String, Value>>,
    #[serde(default)]
    add_generation_prompt: bool,
    #[serde(default)]
    continue_final_message: bool,
    tools: Option<Vec<Value>>,
    #[serde(default)]
    kwargs: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Text(String),
    Raised(String),
    Failed(serde::de::IgnoredAny),
}

#[test]
fn rendering() {
    let golden: Golden = serde_json::from_str(include_str!("templates.json")).unwrap();
    assert_eq!(golden.templates.len(), 12);
    let mut differ = Vec::new();
    for (name, source) in &golden.templates {
        let template = ChatTemplate::new(source.as_str().unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for (index, (case, expected)) in golden.cases.iter().zip(&golden.expected[name]).enumerate()
        {
            let messages: Vec<Message> = case.messages.iter().cloned().map(Message::from).collect();
            let mut options =
                ChatOptions::default().with_add_generation_prompt(case.add_generation_prompt);
            options.continue_final_message = case.continue_final_message;
            options.tools.clone_from(&case.tools);
            options.kwargs.clone_from(&case.kwargs);
            let found = template.render(&messages, &options, golden.special.clone());
            let same = match (&found, expected) {
                (Ok(found), Expected::Text(text)) => found == text,
                (Err(TemplateError::Raised(found)), Expected::Raised(message)) => found == message,
                (
                    Err(TemplateError::Failed { .. } | TemplateError::Conversation(_)),
                    Expected::Failed(_),
                ) => true,
                _ => false,
            };
            if !same {
                differ.push(format!(
                    "{name}, case {index}\n expected {expected:?}\n found    {found:?}"
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
