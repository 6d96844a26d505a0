//! The processors against transformers' own, alone and in chains: `processors.json`, written by
//! `make_processors.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{floats, tokens};
use hfcore_config::GenerationConfig;
use hfcore_generate::logits_process::{Chain, ChainInput};
use hfcore_generate::{GenerateError, LogitsProcessorList};
use serde_json::Value;

/// What is wrong with `got`, if anything: other tokens left, or another score by more than `1e-6` of it.
fn difference(got: &[f32], expected: &[f32]) -> Option<String> {
    if got.len() != expected.len() {
        return Some(format!("{} scores, expected {}", got.len(), expected.len()));
    }
    got.iter()
        .zip(expected)
        .enumerate()
        .find_map(|(i, (&got, &expected))| {
            let same = got == expected
                || got.is_nan() && expected.is_nan()
                || expected.is_finite() && (got - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            (!same).then(|| format!("token {i}: {got}, expected {expected}"))
        })
}

/// Which of equal scores is kept is up to torch's sort, which is not stable and differs between CPUs: the
/// results of equal scores are put in order, so that only how many of them are kept counts.
fn sort_ties(given: &[f32], scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    for (i, score) in given.iter().enumerate() {
        let ties: Vec<usize> = (0..given.len()).filter(|&j| given[j] == *score).collect();
        if ties.first() == Some(&i) && ties.len() > 1 {
            let mut values: Vec<f32> = ties.iter().map(|&j| scores[j]).collect();
            values.sort_by(f32::total_cmp);
            ties.iter()
                .zip(values)
                .for_each(|(&j, value)| sorted[j] = value);
        }
    }
    sorted
}

#[test]
fn processors_agree_with_transformers() {
    let data: Value = serde_json::from_str(include_str!("processors.json")).unwrap();
    let encoder_tokens = tokens(&data["encoder_tokens"]);
    let mut failures = Vec::new();
    let cases = data["cases"].as_array().unwrap();
    assert!(cases.len() > 400, "the golden data are all there");
    for (i, case) in cases.iter().enumerate() {
        let config = GenerationConfig::from_slice(case["config"].to_string().as_bytes()).unwrap();
        let given = floats(&data["scores"][case["scores"].as_str().unwrap()]);
        let mut scores = given.clone();
        let size = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
        let input = ChainInput {
            prompt_len: size("prompt_len"),
            max_length: size("max_length"),
            encoder_tokens: Some(&encoder_tokens),
            vocab_size: scores.len(),
        };
        let mut chain = Chain::new(&config, &input).unwrap();
        chain.process(
            &mut LogitsProcessorList::new(),
            &tokens(&case["tokens"]),
            &mut scores,
        );
        let (got, expected) = (
            sort_ties(&given, &scores),
            sort_ties(&given, &floats(&case["expected"])),
        );
        if let Some(difference) = difference(&got, &expected) {
            failures.push(format!(
                "case {i}, {} of {}: {difference}",
                case["config"], case["scores"]
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn the_comparison_rejects_what_is_wrong() {
    let inf = f32::INFINITY;
    for (got, expected) in [
        ([0.0, 1.0], [-inf, 1.0]),
        ([-inf, 1.0], [0.0, 1.0]),
        ([0.0, 1.0], [0.0, 1.000_01]),
        ([f32::NAN, 1.0], [0.0, 1.0]),
        ([0.0, 1.0], [0.0, f32::NAN]),
        ([inf, 1.0], [-inf, 1.0]),
        ([1e-5, 1.0], [0.0, 1.0]),
    ] {
        assert!(
            difference(&got, &expected).is_some(),
            "{got:?} {expected:?}"
        );
    }
    assert!(difference(&[-inf, f32::NAN, 2.0], &[-inf, f32::NAN, 2.0]).is_none());
}

#[test]
fn a_users_processor_runs_between_the_processors_and_the_warpers() {
    let config = GenerationConfig::default()
        .with_suppress_tokens(vec![0])
        .with_do_sample(true)
        .with_temperature(0.5)
        .with_top_k(2_usize);
    let input = ChainInput {
        prompt_len: 1,
        max_length: 9,
        encoder_tokens: None,
        vocab_size: 4,
    };
    let mut chain = Chain::new(&config, &input).unwrap();
    let mut seen = Vec::new();
    let mut user = LogitsProcessorList::new().with(|tokens: &[u32], scores: &mut [f32]| {
        assert_eq!(tokens, [7]);
        seen = scores.to_vec();
        scores[2] += 10.0;
    });
    let mut scores = [4.0, 1.0, 2.0, 3.0];
    chain.process(&mut user, &[7], &mut scores);
    drop(user);
    assert_eq!(
        seen,
        [f32::NEG_INFINITY, 1.0, 2.0, 3.0],
        "suppressed already, not yet divided"
    );
    assert_eq!(scores, [f32::NEG_INFINITY, f32::NEG_INFINITY, 24.0, 6.0]);
}

#[test]
fn tokens_outside_the_vocabulary_are_refused_by_field() {
    let input = ChainInput {
        prompt_len: 1,
        max_length: 9,
        encoder_tokens: None,
        vocab_size: 4,
    };
    for (text, field) in [
        (r#"{"bad_words_ids": [[1, 4]]}"#, "bad_words_ids"),
        (r#"{"sequence_bias": [[[9], 1.0]]}"#, "sequence_bias"),
        (r#"{"forced_bos_token_id": 4}"#, "forced_bos_token_id"),
        (
            r#"{"forced_eos_token_id": [0, 4294967295]}"#,
            "forced_eos_token_id",
        ),
        (
            r#"{"exponential_decay_length_penalty": [1, 1.1], "eos_token_id": 5}"#,
            "eos_token_id",
        ),
    ] {
        let config = GenerationConfig::from_slice(text.as_bytes()).unwrap();
        let error = Chain::new(&config, &input).unwrap_err();
        let named = matches!(&error, GenerateError::TokenOutOfRange { place, vocab_size: 4, .. } if place == field);
        assert!(named, "{text}: {error}");
    }
    // As in transformers, what can never be produced need not be suppressed, and never ends anything.
    let harmless = r#"{"suppress_tokens": [99], "begin_suppress_tokens": [99], "eos_token_id": 99, "min_length": 3}"#;
    let config = GenerationConfig::from_slice(harmless.as_bytes()).unwrap();
    let mut scores = [1.0; 4];
    Chain::new(&config, &input).unwrap().process(
        &mut LogitsProcessorList::new(),
        &[1],
        &mut scores,
    );
    assert_eq!(scores, [1.0; 4]);
}

#[test]
fn processors_of_an_encoder_need_text() {
    let input = ChainInput {
        prompt_len: 1,
        max_length: 9,
        encoder_tokens: None,
        vocab_size: 4,
    };
    let config = GenerationConfig::default().with_encoder_repetition_penalty(1.2);
    let error = Chain::new(&config, &input).unwrap_err().to_string();
    assert_eq!(
        error,
        "encoder_repetition_penalty = 1.2 is not supported: the encoder's input is no text; unset it"
    );
}

#[test]
fn extremes_do_not_panic() {
    use hfcore_generate::LogitsProcessor;
    use hfcore_generate::logits_process::*;
    let inf = f32::INFINITY;
    let rows: [&[f32]; 9] = [
        &[],
        &[f32::NAN; 3],
        &[inf; 3],
        &[-inf; 3],
        &[inf, -inf, f32::NAN],
        &[f32::MAX, f32::MIN, 0.0],
        &[1.0],
        &[0.0; 3],
        &[-0.0, 0.0, f32::MIN_POSITIVE],
    ];
    for row in rows {
        let mut all: Vec<Box<dyn LogitsProcessor>> = vec![
            Box::new(Temperature::new(1e-30).unwrap()),
            Box::new(TopH::new(0.5).unwrap()),
            Box::new(TopK::new(2, 1).unwrap()),
            Box::new(TopP::new(0.5, 5).unwrap()),
            Box::new(MinP::new(0.5, 5).unwrap()),
            Box::new(TypicalP::new(0.5, 5).unwrap()),
            Box::new(EpsilonCutoff::new(0.5, 5).unwrap()),
            Box::new(EtaCutoff::new(0.5, 5).unwrap()),
            Box::new(RepetitionPenalty::new(1e30).unwrap()),
            Box::new(NoRepeatNGram::new(1).unwrap()),
            Box::new(ExponentialDecayLengthPenalty::new((0, 1e30), &[0, 7], 0)),
            Box::new(LogitNormalization::new()),
            Box::new(RemoveInvalidValues::new()),
        ];
        for processor in &mut all {
            let mut scores = row.to_vec();
            processor.process(&[0, 1, 99, u32::MAX], &mut scores);
            assert_eq!(scores.len(), row.len());
        }
    }
    for error in [
        Temperature::new(0.0).unwrap_err(),
        Temperature::new(1e-60).unwrap_err(),
        TopK::new(0, 1).unwrap_err(),
        TopP::new(1.5, 1).unwrap_err(),
        TopP::new(f64::NAN, 1).unwrap_err(),
        MinP::new(-0.1, 1).unwrap_err(),
        TypicalP::new(1.0, 1).unwrap_err(),
        TopH::new(0.0).unwrap_err(),
        RepetitionPenalty::new(0.0).unwrap_err(),
        NoRepeatNGram::new(0).unwrap_err(),
        SequenceBias::new(&[]).unwrap_err(),
        NoBadWords::new(&[vec![]], &[]).unwrap_err(),
    ] {
        assert!(error.to_string().contains(" must be "), "{error}");
    }
}
