//! Where a folder may keep its chat templates and its account of answers, and which wins.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hfcore_tokenize::{
    AnswerEvent, ChatOptions, Message, TokenizeError, Tokenizer, TokenizerFiles, Value,
};
use serde_json::json;

const TOKENIZER: &str = r#"{"version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
    "added_tokens": [{"id": 2, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}}"#;

fn load(files: &[(&str, &str)]) -> Result<Tokenizer, TokenizeError> {
    let mut all = TokenizerFiles::new();
    all.insert("tokenizer.json", TOKENIZER);
    for (name, text) in files {
        all.insert(*name, *text);
    }
    Tokenizer::from_files(&all, None)
}

#[test]
fn the_places_of_a_template() {
    let jinja = ("chat_template.jinja", "jinja");
    let more = ("additional_chat_templates/rag.jinja", "more");
    let text = ("tokenizer_config.json", r#"{"chat_template": "config"}"#);
    let list = (
        "tokenizer_config.json",
        r#"{"chat_template": [{"name": "default", "template": "list"}, {"name": "tool_use", "template": "tools"}]}"#,
    );
    let legacy = ("chat_template.json", r#"{"chat_template": "legacy"}"#);
    let processor = ("processor_config.json", r#"{"chat_template": "processor"}"#);
    let messages = [Message::user("hi")];
    let rendered = |files: &[(&str, &str)], options: &ChatOptions| {
        load(files).unwrap().apply_chat_template(&messages, options)
    };
    let plain = ChatOptions::default();
    for (files, expected) in [
        (&[jinja, text, legacy, processor][..], "jinja"),
        (&[jinja, more, list], "jinja"),
        (&[text, legacy, processor], "config"),
        (&[list, legacy], "list"),
        (&[legacy, processor], "legacy"),
        (&[processor], "processor"),
    ] {
        assert_eq!(rendered(files, &plain).unwrap(), expected, "{files:?}");
    }
    let rag = ChatOptions {
        chat_template_name: Some("rag".to_owned()),
        ..ChatOptions::default()
    };
    assert_eq!(rendered(&[jinja, more], &rag).unwrap(), "more");
    let tools = ChatOptions::default().with_tools([json!({"name": "f"})]);
    assert_eq!(rendered(&[list], &tools).unwrap(), "tools");
    let message = rendered(&[], &plain).unwrap_err().to_string();
    assert!(message.contains("template"), "{message}");
}

#[test]
fn answers_are_read_as_the_folder_says() {
    let template = r#"{"chat_template": "<tool_call>{{ messages[0].content }}<think>\n"}"#;
    let tokenizer = load(&[("tokenizer_config.json", template)]).unwrap();
    let prompt = tokenizer
        .apply_chat_template(&[Message::user("a")], &ChatOptions::default())
        .unwrap();
    let mut parser = tokenizer.answer_parser(&prompt, &[]).unwrap();
    let events = parser.push("hm</think>Yes.<|end|>");
    let expected = [
        AnswerEvent::Thinking("hm".to_owned()),
        AnswerEvent::Content("Yes.".to_owned()),
    ];
    assert_eq!(events, expected);
    let missing = tokenizer.parse_response("", "", &[]).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("tokenizer_config.json has none")
    );

    let spec = json!({"chat_template": "", "response_template": {
        "start_anchor": "A:", "fields": {"thinking": {"open": "((", "close": "))"}, "content": {}},
    }});
    let tokenizer = load(&[("tokenizer_config.json", &spec.to_string())]).unwrap();
    let answer = tokenizer
        .answer_parser("A:((", &[])
        .unwrap()
        .parse("hm)) Yes.");
    assert_eq!(
        (answer.thinking.as_deref(), answer.content.as_str()),
        (Some("hm"), "Yes.")
    );
    let message = tokenizer.parse_response("hm)) Yes.", "A:((", &[]).unwrap();
    assert_eq!(
        Value::Object(message),
        json!({"thinking": "hm", "content": "Yes."})
    );

    let wrong = json!({"response_template": {"fields": {}}}).to_string();
    let tokenizer = load(&[("tokenizer_config.json", &wrong)]).unwrap();
    let message = tokenizer.answer_parser("", &[]).unwrap_err().to_string();
    assert!(
        message.starts_with("response_template: 'fields'"),
        "{message}"
    );
}
