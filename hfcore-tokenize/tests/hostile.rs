//! Files that are wrong or meant to harm: each is refused, by name, before the engine sees it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hfcore_tokenize::{
    ChatOptions, ChatTemplate, Message, TemplateError, TokenizeError, Tokenizer, Value,
};
use serde_json::json;

/// A word-level tokenizer with `key` set to `value`.
fn with(key: &str, value: Value) -> Value {
    let mut file = json!({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}});
    file[key] = value;
    file
}

fn load(file: &Value) -> Result<Tokenizer, TokenizeError> {
    Tokenizer::from_slices(file.to_string().as_bytes(), None)
}

fn refused(key: &str, value: Value) -> String {
    load(&with(key, value)).unwrap_err().to_string()
}

#[test]
fn what_makes_the_engine_panic_or_abort() {
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["ab", "ab"]]});
    assert_eq!(
        refused("model", bpe),
        "tokenizer.json: model.merges[0]: \"ab\" and \"ab\" make a token longer than any in the vocabulary"
    );
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]], "continuing_subword_prefix": "##"});
    assert_eq!(
        refused("model", bpe),
        "tokenizer.json: model.merges[0]: \"b\" does not begin with the continuing_subword_prefix \"##\""
    );
    let template = json!({"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]});
    assert_eq!(
        refused("post_processor", template),
        "tokenizer.json: post_processor.single[0]: the template names \"[CLS]\", which special_tokens does not have"
    );
    assert_eq!(
        refused("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        "tokenizer.json: pre_tokenizer: FixedLength needs a `length` of at least 1, found 0"
    );
    assert_eq!(
        refused(
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="})
        ),
        "tokenizer.json: normalizer: precompiled_charsmap: the trie is empty"
    );
    let padding = json!({"strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    assert_eq!(
        refused("padding", padding),
        "tokenizer.json: padding.strategy.Fixed: expected 0..=16777216 tokens, found 1000000000000"
    );
    let tenfold = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    let chained = with(
        "normalizer",
        json!({"type": "Sequence", "normalizers": vec![tenfold; 9]}),
    );
    // The engine would drop this error and go on with the text as far as it got.
    let tokenizer = load(&chained).unwrap();
    assert!(tokenizer.encode("b", false).is_ok());
    let error = tokenizer.encode("a", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the normalizer turned 1 bytes into 100, more than the limit of 96"
    );
}

#[test]
fn other_absurdities() {
    let added = |id: u64, content: &str| {
        json!([{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true}])
    };
    assert_eq!(
        refused("added_tokens", added(2, "")),
        "tokenizer.json: added_tokens[0]: the content is empty"
    );
    assert_eq!(
        refused("added_tokens", added(4_294_967_295, "x")),
        "tokenizer.json: added_tokens[0]: expected an id below 8388608, found 4294967295"
    );
    let stale = json!({"type": "BertProcessing", "sep": ["[SEP]", 99], "cls": ["a", 1]});
    assert_eq!(
        refused("post_processor", stale),
        "tokenizer.json: post_processor.sep: the id 99 is no token's"
    );
    assert_eq!(
        refused("version", json!("2.0")),
        "tokenizer.json: version: the version \"2.0\" is not supported"
    );
    let stride =
        json!({"stride": 1e18, "max_length": 0, "strategy": "LongestFirst", "direction": "Right"});
    assert!(
        refused("truncation", stride)
            .starts_with("tokenizer.json: truncation.stride: expected 0..=16777216")
    );
    assert!(
        Tokenizer::from_slices(b"{", None)
            .unwrap_err()
            .to_string()
            .starts_with("tokenizer.json does not parse: ")
    );
    assert_eq!(
        load(&json!({})).unwrap_err().to_string(),
        "tokenizer.json: model: missing"
    );
    let deep = "[".repeat(100_000);
    assert!(Tokenizer::from_slices(deep.as_bytes(), None).is_err());
    let deep = format!(
        "{{\"normalizer\": {}}}",
        "{\"type\":\"Sequence\",\"normalizers\":[".repeat(50_000)
    );
    assert!(Tokenizer::from_slices(deep.as_bytes(), None).is_err());
}

#[test]
fn sparse_ids_cost_nothing_and_lengths_in_the_file_are_not_applied() {
    let config = br#"{"added_tokens_decoder": {"4294967295": {"content": "<x>", "special": true}}, "model_max_length": 2}"#;
    let padding = json!({"strategy": {"Fixed": 50}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "a"});
    let tokenizer = Tokenizer::from_slices(
        with("padding", padding).to_string().as_bytes(),
        Some(config),
    )
    .unwrap();
    // As in transformers, the token gets the next id, whatever the file says.
    assert_eq!(tokenizer.token_to_id("<x>"), Some(2));
    assert_eq!(
        tokenizer.encode("a a a <x>", true).unwrap().ids,
        [1, 1, 1, 2]
    );
}

#[test]
fn a_word_without_a_token_is_an_error_not_a_panic() {
    let model = json!({"type": "WordLevel", "unk_token": "nowhere", "vocab": {"a": 0}});
    let error = load(&with("model", model))
        .unwrap()
        .encode("b", true)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the text cannot be encoded: "),
        "{error}"
    );
}

fn render(source: &str) -> Result<String, TemplateError> {
    ChatTemplate::new(source)?.render(&[Message::user("hi")], &ChatOptions::default(), [])
}

#[test]
fn templates_that_overflow_the_stack_of_the_engine() {
    // Compiles or is refused; what matters is that this process is still here.
    let sources = [
        format!("{{{{ {}1 }}}}", "-".repeat(32_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(8_000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(16_000)),
        format!("{{{{ 'a'{} }}}}", "|e".repeat(16_000)),
        format!("{{{{ a{} }}}}", "[0]".repeat(10_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(16_000), ")".repeat(16_000)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(10_000)),
        format!(
            "{}{}",
            "{% if 1 %}".repeat(6_000),
            "{% endif %}".repeat(6_000)
        ),
    ];
    for source in sources {
        drop(render(&source));
    }
    let nest = "{% set ns = namespace(a=1) %}{% for i in range(60000) %}{% set ns.a = [ns.a] %}{% endfor %}";
    drop(render(&format!("{nest}{{{{ ns.a | tojson }}}}")));
    drop(render(&format!(
        "{nest}{{% for i in range(60000) %}}{{% set ns.a = [ns.a] %}}{{% endfor %}}"
    )));
}

#[test]
fn templates_that_eat_time_or_memory() {
    let steps = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
    assert_eq!(
        render(steps).unwrap_err().to_string(),
        "the chat template took more than 1000000 steps"
    );
    let long = "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}";
    assert!(
        render(long)
            .unwrap_err()
            .to_string()
            .starts_with("the output of the chat template is")
    );
    assert!(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").is_err());
    let sized = [
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a' | indent(10**9) }}",
        "{{ 'a' | indent(width=10**9) }}",
        "{{ [1] | tojson(indent=10**9) }}",
        "{{ [1] | batch(10**12, 'x') | list }}",
        "{{ [1] | slice(10**12) | list }}",
        "{{ 'a' * 10**10 }}",
        "{{ ([1] * 10**9) | join }}",
        "{{ range(10**12) | list }}",
        "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s | replace('a', 'aaaaaaaaaa') %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = ns.s.replace('a', 'aaaaaaaaaa') %}{% endfor %}",
    ];
    for source in sized {
        assert!(render(source).is_err(), "{source}");
    }
    let source = "x".repeat((128 << 10) + 1);
    assert_eq!(
        ChatTemplate::new(source).unwrap_err().to_string(),
        "the source of the chat template is 131073, more than the limit of 131072"
    );
}

#[test]
fn templates_reach_nothing_but_their_context() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ messages.__class__.mro() }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
    assert_eq!(
        render("{{ messages.__class__ }}|{{ messages[0].__init__ }}").unwrap(),
        "|"
    );
}

#[test]
fn errors_say_where_and_why() {
    let error = ChatTemplate::new("a\n{% if %}").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the chat template does not compile, line 2: "),
        "{error}"
    );
    let error = render("a\n\n{{ messages.x.y }}").unwrap_err();
    assert!(
        matches!(error, TemplateError::Failed { line: 3, .. }),
        "{error}"
    );
    assert_eq!(
        render("{{ raise_exception('no ' ~ messages[0].role) }}")
            .unwrap_err()
            .to_string(),
        "the chat template refuses the conversation: no user"
    );
    let tokenizer = load(&with("decoder", Value::Null)).unwrap();
    assert_eq!(
        tokenizer
            .apply_chat_template(&[Message::user("hi")], &ChatOptions::default())
            .unwrap_err()
            .to_string(),
        "there is no chat template \"default\" (found: []); pass one in ChatOptions::chat_template"
    );
    let broken = tokenizer.with_chat_templates([("default", "{% if %}"), ("tool_use", "tools!")]);
    assert!(broken.encode("a", true).is_ok());
    assert!(
        broken
            .apply_chat_template(&[Message::user("hi")], &ChatOptions::default())
            .is_err()
    );
    let tools = ChatOptions::default().with_tools(vec![json!({})]);
    assert_eq!(
        broken
            .apply_chat_template(&[Message::user("hi")], &tools)
            .unwrap(),
        "tools!"
    );
    assert!(
        broken
            .apply_chat_template(&[], &tools)
            .unwrap_err()
            .to_string()
            .contains("at least one message")
    );
}

#[test]
fn the_clock_can_be_set() {
    let template = ChatTemplate::new("{{ strftime_now('%d %B %Y') }}").unwrap();
    let options = ChatOptions {
        now: Some(1_709_214_305),
        ..ChatOptions::default()
    };
    assert_eq!(
        template.render(&[Message::user("")], &options, []).unwrap(),
        "29 February 2024"
    );
}

#[test]
fn a_pattern_that_gives_up_never_changes_tokens() {
    let hard = json!({"Regex": r"(a*)*\1b(?!c)"});
    let split = json!({"type": "Split", "pattern": hard, "behavior": "Isolated", "invert": false});
    let replace = json!({"type": "Replace", "pattern": hard, "content": ""});
    for (key, value) in [("pre_tokenizer", split), ("normalizer", replace)] {
        let tokenizer = load(&with(key, value)).unwrap();
        assert_eq!(tokenizer.encode("a", false).unwrap().ids, [1]);
        let error = tokenizer.encode(&"a".repeat(100), false).unwrap_err();
        assert!(
            matches!(error, TokenizeError::PatternGaveUp { length: 100, .. }),
            "{error}"
        );
    }
}
