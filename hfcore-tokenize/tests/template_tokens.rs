//! Conversations as tokens: the assistant's masks, and control tokens of users as plain text, beside transformers'.
//!
//! `chat_tokens.json` is written by `make_templates.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use hfcore_tokenize::{ChatOptions, Message, TokenizeError, Tokenizer, Value};
use serde::Deserialize;
use serde_json::Map;

#[derive(Deserialize)]
struct Case {
    tokenizer: String,
    template: String,
    kind: String,
    messages: Vec<Map<String, Value>>,
    options: Map<String, Value>,
    ids: Option<Vec<u32>>,
    mask: Option<Vec<u32>>,
    error: Option<(String, String)>,
}

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

fn tokenizer(name: &str, template: &str) -> Tokenizer {
    let folder = tests().join("tokenizers").join(name);
    let json = fs::read(folder.join("tokenizer.json")).unwrap();
    let config = fs::read(folder.join("tokenizer_config.json")).ok();
    let source = fs::read_to_string(tests().join(format!("templates/{template}.jinja"))).unwrap();
    Tokenizer::from_slices(&json, config.as_deref())
        .unwrap()
        .with_chat_templates([("default", source)])
}

#[test]
fn masks_and_control_tokens() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("chat_tokens.json")).unwrap();
    assert!(cases.len() >= 70);
    let mut differ = Vec::new();
    for case in &cases {
        let tokenizer = tokenizer(&case.tokenizer, &case.template);
        let messages: Vec<Message> = case.messages.iter().cloned().map(Message::from).collect();
        let mut kwargs = case.options.clone();
        let tools = kwargs.remove("tools");
        let options = ChatOptions {
            tools: tools.map(|tools| tools.as_array().unwrap().clone()),
            kwargs,
            now: Some(1_741_356_309),
            return_assistant_tokens_mask: case.kind == "mask",
            sanitize_control_tokens: case.kind == "sanitize",
            ..ChatOptions::default()
        };
        let found = tokenizer.encode_chat(&messages, &options);
        let same = match (&found, &case.error) {
            (Ok(found), None) => {
                Some(&found.encoding.ids) == case.ids.as_ref() && found.assistant_masks == case.mask
            }
            (Err(TokenizeError::Template(_)), Some(_)) => true,
            _ => false,
        };
        if !same {
            differ.push(format!(
                "{} {} {}\n expected {:?} {:?} {:?}\n found    {:?}",
                case.tokenizer,
                case.template,
                case.kind,
                case.ids,
                case.mask,
                case.error,
                found.map(|found| (found.encoding.ids, found.assistant_masks))
            ));
        }
    }
    assert!(
        differ.is_empty(),
        "{} differ\n{}",
        differ.len(),
        differ.join("\n")
    );
}

#[test]
fn options_that_exclude_each_other() {
    let tokenizer = tokenizer("llama3", "chatml");
    let messages = [Message::assistant("a")];
    let refused = |options: ChatOptions| {
        tokenizer
            .encode_chat(&messages, &options)
            .unwrap_err()
            .to_string()
    };
    let mask = ChatOptions {
        return_assistant_tokens_mask: true,
        ..ChatOptions::default()
    };
    assert_eq!(
        refused(mask.clone().with_continue_final_message(true)),
        "continue_final_message excludes return_assistant_tokens_mask"
    );
    let both = ChatOptions {
        sanitize_control_tokens: true,
        ..mask.clone()
    };
    assert_eq!(
        refused(both),
        "sanitize_control_tokens excludes return_assistant_tokens_mask"
    );
    assert_eq!(
        tokenizer
            .apply_chat_template(&messages, &mask)
            .unwrap_err()
            .to_string(),
        "sanitize_control_tokens and return_assistant_tokens_mask say how tokens are made: use encode_chat"
    );
}
