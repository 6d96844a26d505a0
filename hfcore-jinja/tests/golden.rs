//! Every template of `golden.json` gives what jinja2 gave (`make_golden.py` says how it was made).

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::HashMap;
use std::sync::OnceLock;

use hfcore_jinja::{Dict, Error, ErrorKind, Options, Rendered, Template};
use serde_json::Value as Json;

fn golden() -> &'static Json {
    static GOLDEN: OnceLock<Json> = OnceLock::new();
    GOLDEN.get_or_init(|| serde_json::from_str(include_str!("golden.json")).unwrap())
}

fn contexts() -> HashMap<&'static str, Dict> {
    let contexts = golden()["contexts"].as_object().unwrap();
    contexts
        .iter()
        .map(|(name, values)| {
            (
                &**name,
                Dict::from_json(values.as_object().unwrap()).unwrap(),
            )
        })
        .collect()
}

fn options() -> Options {
    // 2024-07-26 09:05:03.
    Options {
        now: Some(1_721_984_703),
        ..Options::default()
    }
}

fn render(template: &str, context: &Dict) -> Result<Rendered, Error> {
    Template::new(template)?.render(context, &options())
}

/// Spans of bytes as spans of characters.
fn characters(rendered: &Rendered) -> Vec<[usize; 2]> {
    let count = |bytes: usize| rendered.text[..bytes].chars().count();
    rendered
        .generation_spans
        .iter()
        .map(|span| [count(span.start), count(span.end)])
        .collect()
}

#[test]
fn renders_as_jinja2() {
    let contexts = contexts();
    let mut wrong = Vec::new();
    for case in golden()["cases"].as_array().unwrap() {
        let template = case["template"].as_str().unwrap();
        let context = &contexts[case["context"].as_str().unwrap()];
        let found = render(template, context);
        let expected = match (case["text"].as_str(), case["error"].as_str()) {
            (Some(text), _) => format!(
                "{text}\n{}",
                case.get("spans").unwrap_or(&Json::Array(Vec::new()))
            ),
            (None, Some(error)) => format!("{error}: {}", case["message"].as_str().unwrap()),
            (None, None) => panic!("a case without a result: {template}"),
        };
        let found = match &found {
            Ok(rendered) => format!(
                "{}\n{}",
                rendered.text,
                serde_json::to_string(&characters(rendered)).unwrap()
            ),
            Err(error) => format!("{}: {}", error.kind().name(), error.message()),
        };
        if found != expected {
            wrong.push(format!(
                "{template:?}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What Python does at random, or prints with an address, is refused by its name.
#[test]
fn refuses_what_is_not_reproducible() {
    let cases = [
        (
            "{{ [1]|random }}",
            "the filter random: a prompt is to be the same each time",
        ),
        ("{{ lipsum() }}", "lipsum, which is random"),
        (
            "{{ range }}",
            "printing a function, which Python prints with its address",
        ),
        (
            "{{ cycler(1) }}",
            "printing a cycler, which Python prints with its address",
        ),
        (
            "{{ joiner() }}",
            "printing a joiner, which Python prints with its address",
        ),
        (
            "{{ '\\ud83d' }}",
            "half of a surrogate pair (\\ud83d) in a string, which is no character",
        ),
        (
            "{{ 1e999 }}",
            "the number 1e999, which is infinite as a float",
        ),
    ];
    for (template, message) in cases {
        let error =
            render(template, &Dict::from_json(&serde_json::Map::new()).unwrap()).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Unsupported, message),
            "{template}"
        );
    }
}

/// Errors name the line of the statement that they come from.
#[test]
fn errors_know_their_line() {
    let cases = [
        ("a\n{{ x.y }}", 2),
        ("{% if true %}\n\n{{ 1 / 0 }}{% endif %}", 3),
        ("\n{% for x in y %}\n{% endif %}", 3),
        ("{% macro m() %}\n{{ 1 / 0 }}\n{% endmacro %}\n{{ m() }}", 2),
        ("\n\n{{ 'a'|nofilter }}", 3),
    ];
    for (template, line) in cases {
        let error =
            render(template, &Dict::from_json(&serde_json::Map::new()).unwrap()).unwrap_err();
        assert_eq!(error.line(), Some(line), "{template}: {error}");
    }
}
