//! The loop on a model that is a table: criteria, errors, cancellation, seeds, state.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};

use common::TableLm;
use hfcore_arch::{CausalLm, EncoderInput, TokenBatch};
use hfcore_config::GenerationConfig;
use hfcore_generate::{
    CancelToken, FinishReason, GenerateError, Generation, Generator, NumericalProblem, Output,
    Token,
};

const NONE: [&[u32]; 0] = [];

fn config() -> GenerationConfig {
    GenerationConfig::default()
}

fn new_tokens(output: &Output) -> Vec<&[u32]> {
    output.sequences.iter().map(|s| s.new_tokens()).collect()
}

fn reasons(output: &Output) -> Vec<FinishReason> {
    output
        .sequences
        .iter()
        .map(|s| s.finish_reason.unwrap())
        .collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, GenerateError>, message: &str) {
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains(message),
        "{error}\nshould contain\n{message}"
    );
}

#[test]
fn tokens_come_step_by_step_with_their_reasons() {
    let model = TableLm::cycle(10, 64);
    let config = config()
        .with_max_new_tokens(4_usize)
        .with_eos_token_id(5_u32);
    let generation = Generator::new(&model, &config)
        .stream(&[vec![1, 2], vec![8]])
        .unwrap();
    let got: Vec<(u32, usize, Option<FinishReason>)> = generation
        .map(|token| {
            token
                .map(|t: Token| (t.id, t.sequence, t.finish_reason))
                .unwrap()
        })
        .collect();
    let end = Some(FinishReason::MaxLength);
    assert_eq!(
        got,
        [
            (3, 0, None),
            (9, 1, None),
            (4, 0, None),
            (0, 1, None),
            (5, 0, Some(FinishReason::Eos)),
            (1, 1, None),
            (2, 1, end)
        ]
    );
}

#[test]
fn a_prompt_is_run_once_and_every_token_once() {
    let model = TableLm::cycle(10, 64);
    let config = config()
        .with_max_new_tokens(5_usize)
        .with_do_sample(true)
        .with_num_return_sequences(3_usize);
    let output = Generator::new(&model, &config)
        .generate(&[[1, 2, 3, 4]])
        .unwrap();
    assert_eq!(output.sequences.len(), 3);
    // The prompt, then four tokens of three sequences: the last ones need no successor.
    assert_eq!(model.run(), 4 + 3 * 4);
    assert_eq!(
        (
            output.usage.prompt_tokens,
            output.usage.new_tokens,
            output.usage.steps
        ),
        (4, 15, 5)
    );
}

#[test]
fn padding_is_that_of_transformers() {
    let model = TableLm::cycle(10, 64);
    let config = config()
        .with_max_new_tokens(3_usize)
        .with_eos_token_id(vec![5, 7]);
    let output = Generator::new(&model, &config)
        .generate(&[vec![1, 4], vec![1]])
        .unwrap();
    assert_eq!(output.padded().unwrap(), [[1, 4, 5, 5, 5], [5, 1, 2, 3, 4]]);
    let config = GenerationConfig::default().with_max_new_tokens(3_usize);
    let output = Generator::new(&model, &config)
        .generate(&[vec![1, 4], vec![1]])
        .unwrap();
    assert_eq!(output.padded(), None, "there is no token to fill with");
}

#[test]
fn gen_01_numerical_errors_end_one_sequence_and_no_other() {
    let inf = f32::INFINITY;
    let mut nan = vec![0.0; 10];
    nan[3] = f32::NAN;
    let mut infinite = vec![0.0; 10];
    infinite[3] = inf;
    let rows = [
        (nan, NumericalProblem::Nan),
        (infinite, NumericalProblem::PositiveInfinity),
        (vec![-inf; 10], NumericalProblem::NoneLeft),
    ];
    let config = config().with_max_new_tokens(3_usize);
    let prompts: Vec<[u32; 1]> = (0..8).map(|token| [token]).collect();
    let whole = Generator::new(&TableLm::cycle(10, 64), &config)
        .generate(&prompts)
        .unwrap();
    for (row, problem) in rows {
        for (sampled, beams) in [(false, 1), (true, 1), (false, 2)] {
            // Only the sequence that begins with 7 comes to 9 within two steps: at position 3.
            let model = TableLm::cycle(10, 64).with_row(9, &row);
            let config = config
                .clone()
                .with_do_sample(sampled)
                .with_top_k(1_usize)
                .with_num_beams(beams as usize);
            let mut generation = Generator::new(&model, &config).stream(&prompts).unwrap();
            let errors: Vec<_> = generation.by_ref().filter_map(Result::err).collect();
            let [
                GenerateError::Numerical {
                    sequence: 7,
                    position: 3,
                    problem: found,
                },
            ] = errors[..]
            else {
                // Two beams also try 9 as the second best of another token; those die quietly or by name.
                assert!(
                    beams > 1
                        && errors
                            .iter()
                            .all(|e| matches!(e, GenerateError::Numerical { .. })),
                    "{errors:?}"
                );
                continue;
            };
            assert_eq!(found, problem);
            let output = generation.into_output();
            assert_eq!(output.sequences[7].finish_reason, Some(FinishReason::Error));
            if beams == 1 {
                assert_eq!(
                    new_tokens(&output)[..7],
                    new_tokens(&whole)[..7],
                    "the neighbours are unchanged"
                );
            }
        }
    }
}

#[test]
fn gen_01_extreme_settings_never_give_a_token_outside_the_vocabulary() {
    let model = TableLm::cycle(10, 64);
    for text in [
        r#"{"do_sample": true, "temperature": 1e-30}"#,
        r#"{"do_sample": true, "temperature": 1e30}"#,
        r#"{"repetition_penalty": 1e-30}"#,
        r#"{"repetition_penalty": 1e30}"#,
        r#"{"no_repeat_ngram_size": 1}"#,
        r#"{"suppress_tokens": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}"#,
    ] {
        let config = GenerationConfig::from_slice(text.as_bytes())
            .unwrap()
            .with_max_new_tokens(30_usize);
        for item in Generator::new(&model, &config).stream(&[[1]]).unwrap() {
            match item {
                Ok(token) => assert!(token.id < 10, "{text}"),
                Err(error) => assert!(
                    matches!(error, GenerateError::Numerical { .. }),
                    "{text}: {error}"
                ),
            }
        }
    }
    // All equal: the first is the largest.
    let flat = TableLm::cycle(10, 64).with_row(3, &[1.5; 10]);
    let output = Generator::new(&flat, &config().with_max_new_tokens(1_usize))
        .generate(&[[3]])
        .unwrap();
    assert_eq!(new_tokens(&output), [[0]]);
}

#[test]
fn gen_03_prompts_and_lengths_have_defined_results() {
    let model = TableLm::cycle(10, 16);
    let run = |config: &GenerationConfig, prompts: &[Vec<u32>]| {
        Generator::new(&model, config).generate(prompts)
    };
    refused(
        run(&config(), &[]),
        "there is no prompt: a batch needs at least one",
    );
    refused(
        run(&config(), &[vec![1], vec![]]),
        "prompt 1 is empty and there is no bos_token_id",
    );
    let output = run(
        &config()
            .with_bos_token_id(4_u32)
            .with_max_new_tokens(2_usize),
        &[vec![]],
    )
    .unwrap();
    assert_eq!(
        (
            output.sequences[0].prompt_len,
            &output.sequences[0].tokens[..]
        ),
        (1, &[4, 5, 6][..])
    );
    refused(
        run(&config(), &[vec![1; 16]]),
        "prompt 0 has 16 tokens, but max_length is 16",
    );
    refused(
        run(&config(), &[vec![1; 17]]),
        "prompt 0 has 17 tokens, but max_length is 16",
    );
    refused(
        run(&config().with_max_new_tokens(10_usize), &[vec![1; 7]]),
        "7 tokens and up to 10 new ones",
    );
    refused(
        run(&config().with_max_new_tokens(usize::MAX), &[vec![1; 7]]),
        "more than the 16 that the model allows",
    );
    refused(
        run(&config().with_max_new_tokens(0_usize), &[vec![1]]),
        "the generation configuration cannot be used",
    );
    let to_the_end = run(&config(), &[vec![1; 7]]).unwrap();
    assert_eq!(
        to_the_end.sequences[0].tokens.len(),
        16,
        "20 new tokens, but no more than the context holds"
    );
    assert_eq!(reasons(&to_the_end), [FinishReason::MaxLength]);
}

#[test]
fn gen_04_tokens_outside_the_vocabulary_are_refused() {
    let model = TableLm::cycle(10, 16);
    refused(
        Generator::new(&model, &config()).generate(&[vec![1], vec![3, 10]]),
        "prompt 1 has token id 10, outside the vocabulary of 10",
    );
    refused(
        Generator::new(&model, &config().with_bos_token_id(u32::MAX)).generate(&[[]]),
        "prompt 0 has token id 4294967295",
    );
    refused(
        Generator::new(&model, &config().with_bad_words_ids(vec![vec![10]])).generate(&[[1]]),
        "bad_words_ids has token id 10",
    );
}

#[test]
fn gen_06_stop_strings_stop_within_the_token_that_completes_them() {
    // Token t is the letter 'a' + t.
    let text = |ids: &[u32]| {
        ids.iter()
            .map(|&id| char::from_u32(u32::from(b'a') + id).unwrap())
            .collect::<String>()
    };
    let model = TableLm::cycle(10, 64);
    let config = config().with_stop_strings(vec!["xyz".to_owned(), "def".to_owned()]);
    for beams in [1_usize, 2] {
        let config = config.clone().with_num_beams(beams);
        let output = Generator::new(&model, &config)
            .with_text(text)
            .generate(&[vec![1], vec![3, 4], vec![5]])
            .unwrap();
        assert_eq!(new_tokens(&output)[0], [2, 3, 4, 5], "the string stays");
        assert_eq!(new_tokens(&output)[1], [5], "it may begin in the prompt");
        assert_eq!(
            output.sequences[2].tokens[..].len(),
            1 + 10,
            "and is not found where it ended in the prompt"
        );
        assert_eq!(reasons(&output), [FinishReason::StopString { index: 1 }; 3]);
    }
    refused(
        Generator::new(&model, &config).generate(&[[1]]),
        "stop_strings are set but nothing turns tokens into text",
    );
    let empty = GenerationConfig::default().with_stop_strings(String::new());
    refused(
        Generator::new(&model, &empty)
            .with_text(text)
            .generate(&[[1]]),
        "configuration cannot be used",
    );
}

#[test]
fn criteria_of_ones_own_and_time() {
    let model = TableLm::cycle(10, 64);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    let criterion = move |tokens: &[u32], scores: &[f32]| {
        record.lock().unwrap().push((tokens.to_vec(), scores.len()));
        tokens.ends_with(&[4])
    };
    let output = Generator::new(&model, &config())
        .with_stopping_criteria(criterion)
        .generate(&[[2]])
        .unwrap();
    assert_eq!(
        (new_tokens(&output)[0], reasons(&output)[0]),
        (&[3, 4][..], FinishReason::StoppingCriteria)
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [(vec![2, 3], 10), (vec![2, 3, 4], 10)]
    );
    // No time at all: the first token is the last, as transformers looks at the clock behind it.
    let output = Generator::new(&model, &config().with_max_time(0.0))
        .generate(&[[2], [5]])
        .unwrap();
    assert_eq!(
        (new_tokens(&output), reasons(&output)),
        (vec![&[3][..], &[6]], vec![FinishReason::MaxTime; 2])
    );
    let output = Generator::new(&model, &config().with_max_time(1e300))
        .generate(&[[2]])
        .unwrap();
    assert_eq!(reasons(&output), [FinishReason::MaxLength]);
}

#[test]
fn a_processor_of_ones_own_changes_the_choice() {
    let model = TableLm::cycle(10, 64);
    let config = config().with_max_new_tokens(3_usize);
    let processor = |tokens: &[u32], scores: &mut [f32]| scores[tokens.len()] = 100.0;
    let output = Generator::new(&model, &config)
        .with_logits_processor(processor)
        .generate(&[[7]])
        .unwrap();
    assert_eq!(new_tokens(&output), [[1, 2, 3]]);
}

#[test]
fn gen_08_cancelling_ends_everything_and_frees_the_cache() {
    let model = TableLm::cycle(10, 4096);
    for (beams, after) in (1..=3_usize).flat_map(|beams| (0..12).map(move |after| (beams, after))) {
        let config = config()
            .with_max_new_tokens(1000_usize)
            .with_num_beams(beams)
            .with_prefill_chunk_size(3_usize);
        let cancel = CancelToken::new();
        let (inner, mut calls) = (cancel.clone(), 0);
        let generator = Generator::new(&model, &config)
            .with_cancel(&cancel)
            .with_logits_processor(move |_: &[u32], _: &mut [f32]| {
                calls += 1;
                if calls > after {
                    inner.cancel();
                }
            });
        let mut generation = generator.stream(&[vec![1; 20], vec![2]]).unwrap();
        let items: Vec<_> = generation.by_ref().collect();
        let (last, tokens) = items.split_last().unwrap();
        assert!(matches!(last, Err(GenerateError::Cancelled)), "{last:?}");
        assert!(tokens.len() <= after + 1 && tokens.iter().all(Result::is_ok));
        assert!(generation.next().is_none(), "it has ended");
        assert!(nothing_cached(&generation), "all sequences are forgotten");
        assert_eq!(
            reasons(&generation.into_output()),
            [FinishReason::Cancelled; 2]
        );
    }
    let cancel = CancelToken::new();
    cancel.cancel();
    let early = Generator::new(&model, &config())
        .with_cancel(&cancel)
        .generate(&[[1]]);
    refused(early, "generation was cancelled");
}

/// Whether no sequence is left in the cache.
fn nothing_cached(generation: &Generation<'_>) -> bool {
    generation.cached_sequences() == 0
}

#[test]
fn finished_sequences_leave_the_cache_at_once() {
    let model = TableLm::cycle(10, 64);
    for text in [
        r#"{"eos_token_id": 5, "max_new_tokens": 9}"#,
        r#"{"eos_token_id": 5, "max_new_tokens": 9, "use_cache": false}"#,
        r#"{"eos_token_id": 5, "max_new_tokens": 9, "num_beams": 3}"#,
        r#"{"eos_token_id": 5, "max_new_tokens": 9, "num_beams": 3, "use_cache": false}"#,
        r#"{"eos_token_id": 5, "max_new_tokens": 9, "do_sample": true, "num_return_sequences": 3}"#,
    ] {
        let config = GenerationConfig::from_slice(text.as_bytes()).unwrap();
        let mut generation = Generator::new(&model, &config).stream(&[[4], [1]]).unwrap();
        while generation.next().is_some() {
            let open = generation
                .sequences()
                .iter()
                .filter(|s| s.finish_reason.is_none())
                .count();
            assert!(generation.cached_sequences() <= open, "{text}");
        }
        assert!(nothing_cached(&generation), "{text}");
    }
}

#[test]
fn seeds_decide_and_neighbours_do_not() {
    let model = TableLm::new(
        (0..10)
            .map(|t| (0..10).map(|i| f32::sin((t * 10 + i) as f32)).collect())
            .collect(),
        vec![vec![0.0; 10]; 64],
    );
    let config = config()
        .with_max_new_tokens(20_usize)
        .with_do_sample(true)
        .with_num_return_sequences(2_usize);
    let run = |prompts: &[Vec<u32>], seeds: &[u64]| {
        Generator::new(&model, &config)
            .with_seeds(seeds)
            .generate(prompts)
            .unwrap()
            .sequences
    };
    let (a, b, c) = (vec![1, 2], vec![3], vec![4, 5, 6]);
    let together = run(&[a.clone(), b.clone(), c.clone()], &[11, 12, 13]);
    let alone: Vec<_> = [(a.clone(), 11), (b.clone(), 12), (c.clone(), 13)]
        .into_iter()
        .flat_map(|(prompt, seed)| run(&[prompt], &[seed]))
        .collect();
    assert_eq!(together, alone);
    assert_eq!(
        run(&[c, a.clone()], &[13, 11])[2..],
        together[..2],
        "nor does the order"
    );
    assert_ne!(
        together[0].tokens, together[1].tokens,
        "two sequences of one prompt differ"
    );
    assert_ne!(
        run(std::slice::from_ref(&a), &[99])[0].tokens,
        together[0].tokens
    );
    let seeded = Generator::new(&model, &config)
        .with_seed(11)
        .generate(&[a.clone(), b, a.clone()])
        .unwrap();
    assert_eq!(
        seeded.sequences[..4],
        together[..4],
        "prompt i has seed + i"
    );
    assert_ne!(
        seeded.sequences[4].tokens, seeded.sequences[0].tokens,
        "equal prompts of a batch differ"
    );
    let threads: Vec<_> = std::thread::scope(|scope| {
        let run = || run(std::slice::from_ref(&a), &[11]);
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    });
    assert!(
        threads
            .iter()
            .all(|sequences| sequences[..] == together[..2])
    );
    let error = Generator::new(&model, &config)
        .with_seeds(&[1])
        .generate(&[[1], [2]])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "seeds: expected one for each of the 2 prompts, found 1"
    );
}

#[test]
fn sampled_tokens_follow_the_processed_distribution() {
    let scores = [1.0, 0.5, 0.0, -0.5, 2.0, -1.0, 0.2, 0.1, -2.0, 1.5];
    let model = TableLm::cycle(10, 64).with_row(3, &scores);
    let n = 4000_usize;
    let config = config()
        .with_max_new_tokens(1_usize)
        .with_do_sample(true)
        .with_temperature(0.8)
        .with_top_k(4_usize)
        .with_num_return_sequences(n);
    let output = Generator::new(&model, &config).generate(&[[3]]).unwrap();
    let mut counts = [0.0f64; 10];
    output
        .sequences
        .iter()
        .for_each(|s| counts[s.tokens[1] as usize] += 1.0 / n as f64);
    let kept = [4, 9, 0, 1];
    let total: f64 = kept
        .iter()
        .map(|&i| (f64::from(scores[i]) / 0.8).exp())
        .sum();
    for (i, got) in counts.into_iter().enumerate() {
        let p = if kept.contains(&i) {
            (f64::from(scores[i]) / 0.8).exp() / total
        } else {
            0.0
        };
        assert!(
            (got - p).abs() <= 4.0 * (p * (1.0 - p) / n as f64).sqrt(),
            "token {i}: {got}, expected {p}"
        );
    }
}

#[test]
fn beam_sampling_follows_its_seed_and_finds_likely_sequences() {
    let model = TableLm::cycle(10, 64);
    let config = config()
        .with_max_new_tokens(6_usize)
        .with_do_sample(true)
        .with_num_beams(4_usize);
    let config = config.with_num_return_sequences(4_usize);
    let run = |seed| {
        Generator::new(&model, &config)
            .with_seed(seed)
            .generate(&[[1]])
            .unwrap()
    };
    assert_eq!(run(5).sequences, run(5).sequences);
    let distinct: std::collections::BTreeSet<_> = (0..20).map(|seed| run(seed).padded()).collect();
    assert!(distinct.len() > 1, "seeds differ");
    // Each right step has probability e^5 / (e^5 + 9) = 0.94: four beams hardly ever miss them all.
    let right = (0..20)
        .filter(|&seed| run(seed).sequences[0].tokens == [1, 2, 3, 4, 5, 6, 7])
        .count();
    assert!(right >= 15, "{right} of 20");
}

#[test]
fn beams_that_cannot_be_are_refused() {
    let model = TableLm::cycle(3, 64);
    let beams = config()
        .with_num_beams(2_usize)
        .with_eos_token_id(vec![0, 1, 2]);
    refused(
        Generator::new(&model, &beams).generate(&[[1]]),
        "num_beams must be so few",
    );
    let steep = config().with_num_beams(2_usize).with_length_penalty(1e6);
    refused(
        Generator::new(&model, &steep).generate(&[[1]]),
        "length_penalty must be a power",
    );
    let greedy = config().with_num_return_sequences(2_usize);
    refused(
        Generator::new(&model, &greedy).generate(&[[1]]),
        "the generation configuration cannot be used",
    );
}

#[test]
fn beams_with_nothing_left_end_with_what_they_have() {
    // Behind 1 only 2 (the end) and 3 are left; behind 3 nothing is.
    let inf = f32::INFINITY;
    let mut row = [-inf; 10];
    (row[2], row[3]) = (1.0, 0.0);
    let dead = |_: &[u32], _: &mut [f32]| {};
    let model = TableLm::cycle(10, 64).with_row(1, &row);
    let config = config()
        .with_num_beams(2_usize)
        .with_eos_token_id(2_u32)
        .with_bad_words_ids(
            (0..10)
                .filter(|id| *id != 2)
                .map(|id| vec![3, id])
                .collect::<Vec<_>>(),
        );
    let output = Generator::new(&model, &config)
        .with_logits_processor(dead)
        .generate(&[[1]])
        .unwrap();
    assert_eq!(new_tokens(&output), [[2]]);
}

#[test]
fn an_encoder_decoder_needs_a_start_and_matching_rows() {
    let model = TableLm::cycle(10, 64);
    let input = || EncoderInput::Tokens(TokenBatch::new().with(&[1, 2]).with(&[3]));
    let run = |config: &GenerationConfig, prompts: &[&[u32]]| {
        Generator::encoder_decoder(&model, input(), config).generate(prompts)
    };
    refused(
        run(&config(), &NONE),
        "decoder_start_token_id or bos_token_id has to be set",
    );
    let start = config()
        .with_decoder_start_token_id(4_u32)
        .with_max_new_tokens(2_usize);
    assert_eq!(new_tokens(&run(&start, &NONE).unwrap()), [[5, 6], [5, 6]]);
    refused(
        run(&start, &[&[1]]),
        "prompts: expected one for each of the 2 prompts, found 1",
    );
    let three = config().with_decoder_start_token_id(vec![1, 2, 3]);
    refused(
        run(&three, &NONE),
        "decoder_start_token_id: expected one for each of the 2 prompts, found 3",
    );
    let output = run(&start, &[&[7], &[8]]).unwrap();
    assert_eq!(output.sequences[1].tokens, [4, 8, 9, 0]);
    let nothing = EncoderInput::Tokens(TokenBatch::new());
    refused(
        Generator::encoder_decoder(&model, nothing, &start).generate(&NONE),
        "there is no prompt",
    );
}

#[test]
fn forward_errors_end_the_iterator_with_their_cause() {
    /// Promises a wider vocabulary than it has.
    struct Liar(TableLm, hfcore_arch::ModelInfo);
    impl CausalLm for Liar {
        fn info(&self) -> &hfcore_arch::ModelInfo {
            &self.1
        }
        fn new_cache(&self, options: &hfcore_arch::CacheOptions) -> hfcore_arch::Cache {
            self.0.new_cache(options)
        }
        fn forward_probed(
            &self,
            step: &hfcore_arch::Step,
            cache: &mut hfcore_arch::Cache,
            probe: &mut dyn hfcore_arch::Probe,
        ) -> Result<hfcore_arch::Logits, hfcore_arch::ForwardError> {
            self.0.forward_probed(step, cache, probe)
        }
    }
    let info = hfcore_arch::ModelInfo::new("liar", 12, 64, &hfcore_kernels::Device::cpu());
    let model = Liar(TableLm::cycle(10, 64), info);
    refused(
        Generator::new(&model, &config()).generate(&[[1]]),
        "the model returned 1 rows of 10 logits, expected 1 of 12",
    );
    let mut generation = Generator::new(&model, &config()).stream(&[[11]]).unwrap();
    assert!(matches!(
        generation.next(),
        Some(Err(GenerateError::Forward(_)))
    ));
    assert!(generation.next().is_none());
    assert_eq!(reasons(&generation.into_output()), [FinishReason::Error]);
}

#[test]
fn a_generation_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Generation<'_>>();
    assert_send::<Generator<'_>>();
    assert_send::<GenerateError>();
}
