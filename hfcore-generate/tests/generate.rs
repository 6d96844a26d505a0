//! Greedy decoding and beam search against transformers' own `generate`: `generate.json`, written by
//! `make_generate.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{TableLm, floats, rows};
use hfcore_arch::{EncoderInput, TokenBatch};
use hfcore_config::GenerationConfig;
use hfcore_generate::{Generator, Output};
use serde_json::Value;

fn data() -> (Value, TableLm) {
    let data: Value = serde_json::from_str(include_str!("generate.json")).unwrap();
    let table = |key: &str| data[key].as_array().unwrap().iter().map(floats).collect();
    let model = TableLm::new(table("bigram"), table("position")).with_history(table("history"));
    (data, model)
}

fn run(model: &TableLm, case: &Value, extra: &str) -> Output {
    let mut config = case["config"].clone();
    for (key, value) in serde_json::from_str::<Value>(extra)
        .unwrap()
        .as_object()
        .unwrap()
    {
        config[key] = value.clone();
    }
    let config = GenerationConfig::from_slice(config.to_string().as_bytes()).unwrap();
    let generator = match &case["encoder"] {
        Value::Null => Generator::new(model, &config),
        encoder => {
            let batch = rows(encoder)
                .iter()
                .fold(TokenBatch::new(), |batch, row| batch.with(row));
            Generator::encoder_decoder(model, EncoderInput::Tokens(batch), &config)
        }
    };
    generator.generate(&rows(&case["prompts"])).unwrap()
}

/// Every case of the golden data, with `extra` settings that must not change anything.
fn all_cases_agree(extra: &str) {
    let (data, model) = data();
    let cases = data["cases"].as_array().unwrap();
    assert!(cases.len() > 120, "the golden data are all there");
    let mut failures = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let output = run(&model, case, extra);
        let (got, expected) = (output.padded().unwrap(), rows(&case["sequences"]));
        if got != expected {
            failures.push(format!(
                "case {i}, {}:\n  {got:?}, expected\n  {expected:?}",
                case["config"]
            ));
        }
        if case["scores"].is_array() {
            for (sequence, expected) in output.sequences.iter().zip(floats(&case["scores"])) {
                let got = sequence.score.unwrap();
                if (got - expected).abs() > 1e-5 * expected.abs().max(1.0) {
                    failures.push(format!(
                        "case {i}, {}: score {got}, expected {expected}",
                        case["config"]
                    ));
                }
            }
        }
        assert!(
            output.sequences.iter().all(|s| s.finish_reason.is_some()),
            "case {i}: every end has a reason"
        );
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn tokens_are_those_of_transformers() {
    all_cases_agree("{}");
}

#[test]
fn tokens_are_the_same_without_a_cache() {
    all_cases_agree(r#"{"use_cache": false}"#);
}

#[test]
fn tokens_are_the_same_with_prompts_in_chunks() {
    all_cases_agree(r#"{"prefill_chunk_size": 2}"#);
}

#[test]
fn a_batch_gives_what_each_prompt_gives_alone() {
    let (data, model) = data();
    for case in data["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["encoder"].is_null())
    {
        let together = run(&model, case, "{}");
        let mut apart = Vec::new();
        for prompt in case["prompts"].as_array().unwrap() {
            let mut alone = case.clone();
            alone["prompts"] = Value::Array(vec![prompt.clone()]);
            apart.extend(run(&model, &alone, "{}").sequences);
        }
        assert_eq!(together.sequences, apart, "{}", case["config"]);
    }
}
