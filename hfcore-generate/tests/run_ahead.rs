//! Running ahead changes nothing but the time: the same tokens, reasons, order and costs, with every depth,
//! and as where the host sees every score.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::TableLm;
use hfcore_arch::{EncoderInput, TokenBatch};
use hfcore_config::GenerationConfig;
use hfcore_generate::{
    CancelToken, Effect, FinishReason, GenerateError, Generator, LogitsProcessor, NumericalProblem,
    Output, Token,
};

const VOCAB: usize = 24;

/// A model whose tokens depend on all tokens before, and on the position.
fn model() -> TableLm {
    let table = |rows: usize, seed: usize, spread: f32| {
        let number = |i: usize, j: usize| {
            let mixed = (i * VOCAB + j + 1).wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503);
            ((mixed >> 7) % 1000) as f32 / 1000.0 * spread
        };
        let row = |i| (0..VOCAB).map(|j| number(i, j)).collect();
        (0..rows).map(row).collect::<Vec<Vec<f32>>>()
    };
    TableLm::new(table(VOCAB, 1, 4.0), table(96, 2, 2.0)).with_history(table(VOCAB, 3, 3.0))
}

fn config(text: &str) -> GenerationConfig {
    GenerationConfig::from_slice(text.as_bytes()).unwrap()
}

/// What a generation yields, in order, and what it leaves.
type Run = (Vec<Result<Token, String>>, Output);

fn run(generator: Generator<'_>, prompts: &[Vec<u32>]) -> Run {
    let mut generation = generator.stream(prompts).unwrap();
    let items = (generation.by_ref())
        .map(|item| item.map_err(|error| error.to_string()))
        .collect();
    assert_eq!(generation.cached_sequences(), 0, "all state is forgotten");
    (items, generation.into_output())
}

fn same(found: &Run, expected: &Run, what: &str) {
    assert_eq!(found.0, expected.0, "{what}: the stream");
    assert_eq!(found.1.sequences, expected.1.sequences, "{what}");
    let costs = |run: &Run| {
        let usage = run.1.usage;
        (usage.prompt_tokens, usage.new_tokens, usage.steps)
    };
    assert_eq!(costs(found), costs(expected), "{what}: the costs");
}

/// All settings that a device can do by itself, some together, in a batch whose sequences end at different
/// times.
const SETTINGS: [&str; 14] = [
    r#"{"max_new_tokens": 20, "eos_token_id": [3, 8]}"#,
    r#"{"max_length": 9}"#,
    r#"{"max_new_tokens": 1}"#,
    r#"{"max_new_tokens": 30, "eos_token_id": 3, "repetition_penalty": 1.7}"#,
    r#"{"max_new_tokens": 20, "eos_token_id": 3, "do_sample": true, "num_return_sequences": 3}"#,
    r#"{"max_new_tokens": 30, "eos_token_id": 3, "do_sample": true, "temperature": 0.7, "top_k": 0}"#,
    r#"{"max_new_tokens": 30, "eos_token_id": 3, "do_sample": true, "temperature": 1.5, "top_p": 0.8}"#,
    r#"{"max_new_tokens": 30, "do_sample": true, "top_k": 5, "min_p": 0.1, "repetition_penalty": 0.8}"#,
    r#"{"max_new_tokens": 12, "eos_token_id": 3, "min_new_tokens": 6, "suppress_tokens": [1, 2],
        "begin_suppress_tokens": [5, 6]}"#,
    r#"{"max_new_tokens": 10, "eos_token_id": 3, "forced_eos_token_id": [3, 7], "do_sample": true}"#,
    r#"{"max_new_tokens": 10, "bad_words_ids": [[4], [9], [11]], "do_sample": true}"#,
    r#"{"max_new_tokens": 20, "bad_words_ids": [[4], [9, 11]]}"#,
    r#"{"max_new_tokens": 30, "no_repeat_ngram_size": 2, "do_sample": true, "top_p": 0.9}"#,
    r#"{"max_new_tokens": 14, "eos_token_id": 3, "prefill_chunk_size": 2, "do_sample": true}"#,
];

#[test]
fn every_depth_gives_the_same() {
    let model = model();
    let prompts = vec![vec![1, 2, 3, 4, 5], vec![6], vec![7, 8], vec![9, 10, 11]];
    for settings in SETTINGS {
        let config = config(settings);
        for seed in 0..6 {
            let generator = || Generator::new(&model, &config).with_seed(seed);
            // A processor that may do anything: the host sees every score.
            let nothing = |_: &[u32], _: &mut [f32]| {};
            let expected = run(generator().with_logits_processor(nothing), &prompts);
            for depth in 0..=4 {
                let found = run(generator().with_run_ahead(depth), &prompts);
                same(
                    &found,
                    &expected,
                    &format!("{settings}, {depth} ahead, seed {seed}"),
                );
            }
        }
    }
}

#[test]
fn without_a_cache_and_with_an_encoder_it_is_the_same() {
    let model = model();
    let prompts = vec![vec![1, 2], vec![6]];
    let base = r#"{"max_new_tokens": 9, "eos_token_id": 3, "do_sample": true, "decoder_start_token_id": 1"#;
    let cached = config(&format!("{base}}}"));
    let expected = run(Generator::new(&model, &cached), &prompts);
    let uncached = config(&format!("{base}, \"use_cache\": false}}"));
    let found = run(
        Generator::new(&model, &uncached).with_run_ahead(2),
        &prompts,
    );
    same(&found, &expected, "without a cache");
    let input = || EncoderInput::Tokens(TokenBatch::new().with(&[1, 2]).with(&[3]));
    let encoded = |depth| {
        let generator = Generator::encoder_decoder(&model, input(), &cached);
        run(generator.with_run_ahead(depth), &[])
    };
    same(&encoded(2), &encoded(0), "with an encoder");
}

#[test]
fn no_more_is_run_than_the_depth() {
    let prompts = [vec![1, 2, 3]];
    let config = config(r#"{"max_new_tokens": 20, "eos_token_id": 8}"#);
    let cycle = || TableLm::cycle(10, 64);
    let run = |depth| {
        let model = cycle();
        let output = Generator::new(&model, &config)
            .with_run_ahead(depth)
            .generate(&prompts);
        assert_eq!(output.unwrap().sequences[0].new_tokens(), [4, 5, 6, 7, 8]);
        model.run()
    };
    // The prompt and four tokens; the end needs no successor, but who runs ahead has run some.
    assert_eq!([run(0), run(1), run(2), run(3)], [7, 8, 9, 10]);
    assert_eq!(run(100), run(3), "at most three");
    // Where the last step is known before, nothing is run behind it.
    let model = cycle();
    let config = GenerationConfig::default().with_max_new_tokens(5_usize);
    let output = Generator::new(&model, &config)
        .with_run_ahead(2)
        .generate(&prompts)
        .unwrap();
    assert_eq!((model.run(), output.usage.steps), (7, 5));
}

#[test]
fn stop_strings_end_in_flight() {
    let model = TableLm::cycle(10, 64);
    let config = config(r#"{"max_new_tokens": 20, "stop_strings": ["56"]}"#);
    let text = |ids: &[u32]| ids.iter().map(ToString::to_string).collect::<String>();
    let generator = || Generator::new(&model, &config).with_text(text);
    let prompts = vec![vec![1], vec![4, 9]];
    let expected = run(generator(), &prompts);
    assert_eq!(
        expected.1.sequences[0].finish_reason,
        Some(FinishReason::StopString { index: 0 })
    );
    same(
        &run(generator().with_run_ahead(3), &prompts),
        &expected,
        "stop strings",
    );
}

#[test]
fn what_has_no_distribution_ends_its_sequence_only() {
    let mut row = vec![0.0; 10];
    row[2] = f32::NAN;
    let model = TableLm::cycle(10, 64).with_row(5, &row);
    let config = config(r#"{"max_new_tokens": 6}"#);
    let prompts = vec![vec![3], vec![6], vec![4]];
    for depth in 0..=3 {
        let mut generation = (Generator::new(&model, &config).with_run_ahead(depth))
            .stream(&prompts)
            .unwrap();
        let errors: Vec<_> = generation.by_ref().filter_map(Result::err).collect();
        let place = |error: &GenerateError| match error {
            GenerateError::Numerical {
                sequence,
                position,
                problem: NumericalProblem::Nan,
            } => (*sequence, *position),
            other => panic!("{other}"),
        };
        assert_eq!(
            errors.iter().map(place).collect::<Vec<_>>(),
            [(2, 2), (0, 3)]
        );
        let output = generation.into_output();
        assert_eq!(output.sequences[1].new_tokens(), [7, 8, 9, 0, 1, 2]);
        assert_eq!(output.sequences[0].new_tokens(), [4, 5]);
    }
}

#[test]
fn a_cancelled_generation_lands_nothing_more() {
    let model = TableLm::cycle(10, 64);
    let config = config(r#"{"max_new_tokens": 20}"#);
    let cancel = CancelToken::new();
    let mut generation = (Generator::new(&model, &config)
        .with_run_ahead(2)
        .with_cancel(&cancel))
    .stream(&[[1]])
    .unwrap();
    let first: Vec<u32> = generation
        .by_ref()
        .take(3)
        .map(|token| token.unwrap().id)
        .collect();
    assert_eq!(first, [2, 3, 4]);
    cancel.cancel();
    assert!(matches!(
        generation.next(),
        Some(Err(GenerateError::Cancelled))
    ));
    assert!(generation.next().is_none());
    assert_eq!(
        (generation.cached_sequences(), generation.cache_bytes()),
        (0, 0)
    );
    let output = generation.into_output();
    assert_eq!(output.sequences[0].new_tokens(), [2, 3, 4]);
    assert_eq!(
        output.sequences[0].finish_reason,
        Some(FinishReason::Cancelled)
    );
}

/// Forbids the token before the last: what it removes depends on the tokens.
struct NotAgain(Effect);

impl LogitsProcessor for NotAgain {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if let [.., before, _] = tokens {
            scores[*before as usize] = f32::NEG_INFINITY;
        }
    }

    fn effect(&self) -> Effect {
        self.0
    }
}

/// Allows odd and even tokens in turn: what it removes depends on the length only.
struct OddOrEven;

impl LogitsProcessor for OddOrEven {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        for score in scores.iter_mut().skip(tokens.len() % 2).step_by(2) {
            *score = f32::NEG_INFINITY;
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}

#[test]
fn a_processor_that_only_removes_tokens_says_so_and_gives_the_same() {
    let model = model();
    let prompts = vec![vec![1, 2, 3], vec![6]];
    let config = config(r#"{"max_new_tokens": 20, "do_sample": true, "top_k": 4}"#);
    let by = |effect| {
        let generator = Generator::new(&model, &config).with_logits_processor(NotAgain(effect));
        run(generator.with_run_ahead(2), &prompts)
    };
    let free = run(Generator::new(&model, &config), &prompts);
    let expected = by(Effect::Any);
    assert_ne!(free.1.sequences, expected.1.sequences, "it does something");
    same(&by(Effect::RemovesByTokens), &expected, "by tokens");
    let odd = |depth| {
        let generator = Generator::new(&model, &config).with_logits_processor(OddOrEven);
        run(generator.with_run_ahead(depth), &prompts)
    };
    same(&odd(3), &odd(0), "by length");
    assert_ne!(odd(0).1.sequences, free.1.sequences);
}
