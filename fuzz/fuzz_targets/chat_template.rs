//! Any text as a chat template: it does not compile, or it renders a conversation with tools, or it says why not; within
//! its budgets, so libFuzzer's own limits of time and memory are never met.
#![no_main]

use hfcore_tokenize::{ChatOptions, ChatTemplate, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source) else {
        return;
    };
    let messages = [Message::user("What is 1+1? <|im_end|>")];
    let tool = serde_json::json!({"type": "function", "function": {"name": "f", "description": "d",
        "parameters": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}});
    for options in [
        ChatOptions::default(),
        ChatOptions::default().with_tools(vec![tool]),
    ] {
        if let Err(error) = template.render(&messages, &options, []) {
            assert!(error.to_string().len() < 1 << 16);
        }
    }
});
