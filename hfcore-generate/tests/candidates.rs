//! Processors that see the best tokens only: the same tokens whether all scores come to the host or the best, and what
//! such a processor sees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::TableLm;
use hfcore_config::GenerationConfig;
use hfcore_generate::logits_process::{Candidates, SuppressTokens};
use hfcore_generate::{
    Effect, GenerateError, Generator, LogitsProcessor, LogitsProcessorList, Output, Token,
};

const VOCAB: usize = 40;
const INF: f32 = f32::INFINITY;

/// A model whose tokens depend on all tokens before, and on the position, with scores of few bits: some are equal.
fn model() -> TableLm {
    let table = |rows: usize, seed: usize, spread: f32| {
        let number = |i: usize, j: usize| {
            let mixed = (i * VOCAB + j + 1).wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503);
            (((mixed >> 7) % 32) as f32 / 32.0 * spread * 4.0).round() / 4.0
        };
        let row = |i| (0..VOCAB).map(|j| number(i, j)).collect();
        (0..rows).map(row).collect::<Vec<Vec<f32>>>()
    };
    TableLm::new(table(VOCAB, 1, 4.0), table(96, 2, 2.0)).with_history(table(VOCAB, 3, 3.0))
}

fn config(text: &str) -> GenerationConfig {
    GenerationConfig::from_slice(text.as_bytes()).unwrap()
}

/// Flattens what it sees, and makes tokens likelier that follow the last.
fn flatten(tokens: &[u32], scores: &mut [f32]) {
    let last = tokens.last().copied().unwrap_or(0) as usize;
    for (i, score) in scores.iter_mut().enumerate() {
        *score = *score * 0.5
            + if (last..last + 9).contains(&i) {
                0.75
            } else {
                0.0
            };
    }
}

/// Gives a generator its processors.
type With<'a> = &'a dyn for<'b> Fn(Generator<'b>) -> Generator<'b>;

/// What a generation yields, in order, and what it leaves.
type Run = (Vec<Result<Token, String>>, Output);

fn run(generator: Generator<'_>) -> Run {
    let prompts = [vec![1, 2, 3, 4, 5], vec![6], vec![7, 8], vec![9, 10, 11]];
    let mut generation = generator.stream(&prompts).unwrap();
    let items = (generation.by_ref())
        .map(|item| item.map_err(|error| error.to_string()))
        .collect();
    assert_eq!(generation.cached_sequences(), 0, "all state is forgotten");
    (items, generation.into_output())
}

/// By all scores and by the best, and how many of those were asked for.
fn both(model: &TableLm, config: &GenerationConfig, with: With<'_>, what: &str) -> (Run, usize) {
    let asked = || model.best_found.load(Ordering::Relaxed);
    let before = asked();
    let expected = run(with(Generator::new(model, config).with_seed(3)));
    assert_eq!(
        asked(),
        before,
        "{what}: who computes here looks at all scores"
    );
    let found = run(with(Generator::new(model, config).with_seed(3)).with_run_ahead(2));
    assert_eq!(found.0, expected.0, "{what}: the stream");
    assert_eq!(found.1.sequences, expected.1.sequences, "{what}");
    let costs = |run: &Run| {
        let usage = run.1.usage;
        (usage.prompt_tokens, usage.new_tokens, usage.steps)
    };
    assert_eq!(costs(&found), costs(&expected), "{what}: the costs");
    (found, asked() - before)
}

/// Settings, and whether a device can find the best tokens for them.
const SETTINGS: [(&str, bool); 20] = [
    (r#"{"max_new_tokens": 20, "eos_token_id": [3, 8]}"#, true),
    (
        r#"{"max_new_tokens": 20, "eos_token_id": 3, "repetition_penalty": 1.7}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "repetition_penalty": 0.8, "top_k": 0}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "eos_token_id": 3, "do_sample": true, "num_return_sequences": 3}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "temperature": 0.7, "top_k": 0}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "temperature": 1.5, "top_k": 4}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "temperature": 1.5, "top_p": 0.8}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "top_k": 5, "top_p": 0.9, "min_p": 0.1}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "typical_p": 0.7}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "eta_cutoff": 0.05, "epsilon_cutoff": 0.02}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "do_sample": true, "top_h": 0.6, "renormalize_logits": true}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 12, "eos_token_id": 3, "min_new_tokens": 6, "suppress_tokens": [1, 2],
        "begin_suppress_tokens": [5, 6]}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 10, "forced_eos_token_id": [3, 7], "do_sample": true}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 10, "bad_words_ids": [[4], [9], [9, 11]], "do_sample": true}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 20, "no_repeat_ngram_size": 2, "do_sample": true, "top_p": 0.9}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 14, "prefill_chunk_size": 2, "do_sample": true}"#,
        true,
    ),
    (
        r#"{"max_new_tokens": 9, "use_cache": false, "do_sample": true}"#,
        false,
    ),
    (
        r#"{"max_new_tokens": 9, "sequence_bias": [[[7], 2.0]], "do_sample": true}"#,
        false,
    ),
    (r#"{"max_new_tokens": 9, "num_beams": 3}"#, false),
    (
        r#"{"max_new_tokens": 9, "num_beams": 3, "do_sample": true}"#,
        false,
    ),
];

#[test]
fn the_best_give_what_all_scores_give_where_the_others_are_removed() {
    let model = model();
    for (settings, on_device) in SETTINGS {
        let config = config(settings);
        for count in [1, 2, 5, 19, 20, 40, 1000] {
            let what = format!("{settings}, {count} candidates");
            let with: With<'_> = &|generator| {
                generator.with_logits_processor(Candidates::new(count, flatten).unwrap())
            };
            let (found, asked) = both(&model, &config, with, &what);
            // Twice so many words must be fewer than there are scores.
            let expected = match on_device && count < VOCAB / 2 {
                true => found.1.usage.new_tokens * count,
                false => 0,
            };
            assert_eq!(asked, expected, "{what}: so many are sent");
            if count == 1 && !settings.contains("num_beams") {
                continue;
            }
            let free = run(Generator::new(&model, &config).with_seed(3));
            let expected: Vec<_> = free.1.sequences.iter().map(|s| &s.tokens).collect();
            let found: Vec<_> = found.1.sequences.iter().map(|s| &s.tokens).collect();
            assert_ne!(found, expected, "{what}: the processor does something");
        }
    }
}

/// Notes down what is left when it comes by.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Left>>>);

/// Tokens that are left, and their scores.
type Left = Vec<(usize, f32)>;

impl Witness {
    fn seen(&self) -> Vec<Left> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl LogitsProcessor for Witness {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        let left = scores.iter().copied().enumerate();
        let left = left.filter(|(_, score)| *score > -INF).collect();
        self.0.lock().unwrap().push(left);
    }

    fn effect(&self) -> Effect {
        Effect::Candidates(3)
    }
}

#[test]
fn a_processor_sees_its_candidates_behind_penalties_and_removals_before_temperature() {
    let mut row = vec![0.0; 16];
    row[..8].copy_from_slice(&[2.0, 5.0, 4.0, 3.25, 3.0, 3.0, -1.0, 3.0]);
    let model = (0..16).fold(TableLm::cycle(16, 64), |model, token| {
        model.with_row(token, &row)
    });
    let config = config(
        r#"{"max_new_tokens": 3, "do_sample": true, "temperature": 0.1, "top_k": 1, "suppress_tokens": [2],
            "repetition_penalty": 2.0}"#,
    );
    for ahead in [0, 1] {
        let witness = Witness::default();
        Generator::new(&model, &config)
            .with_run_ahead(ahead)
            .with_logits_processor(witness.clone())
            .generate(&[[9]])
            .unwrap();
        // Of those with 3.0 the lower ones; then 1 has occurred, then 3.
        assert_eq!(
            witness.seen(),
            [
                [(1, 5.0), (3, 3.25), (4, 3.0)],
                [(3, 3.25), (4, 3.0), (5, 3.0)],
                [(4, 3.0), (5, 3.0), (7, 3.0)],
            ],
            "{ahead} ahead"
        );
    }
}

/// Forbids a fourth of the tokens, those like the last.
struct NotAlike;

impl LogitsProcessor for NotAlike {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        let last = tokens.last().map_or(0, |&last| last as usize);
        for score in scores.iter_mut().skip(last % 4).step_by(4) {
            *score = -INF;
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByTokens
    }
}

#[test]
fn the_first_that_does_more_than_to_remove_decides() {
    let model = model();
    let sampled = config(r#"{"max_new_tokens": 20, "do_sample": true, "repetition_penalty": 1.2}"#);
    let five = || Candidates::new(5, flatten).unwrap();
    let three = || Candidates::new(3, flatten).unwrap();
    let nested = || LogitsProcessorList::new().with(NotAlike).with(five());
    let cases: [(&str, With<'_>, usize); 7] = [
        (
            "removals, candidates",
            &|g| {
                g.with_logits_processor(NotAlike)
                    .with_logits_processor(five())
            },
            5,
        ),
        (
            "candidates, removals",
            &|g| {
                g.with_logits_processor(five())
                    .with_logits_processor(NotAlike)
            },
            5,
        ),
        (
            "candidates, fewer",
            &|g| {
                g.with_logits_processor(five())
                    .with_logits_processor(three())
            },
            5,
        ),
        (
            "candidates, more",
            &|g| {
                g.with_logits_processor(three())
                    .with_logits_processor(five())
            },
            3,
        ),
        (
            "candidates, anything",
            &|g| {
                g.with_logits_processor(five())
                    .with_logits_processor(flatten)
            },
            5,
        ),
        (
            "anything, candidates",
            &|g| {
                g.with_logits_processor(flatten)
                    .with_logits_processor(five())
            },
            0,
        ),
        // A list that removes first is no processor of candidates; what it does is the same.
        ("a list", &|g| g.with_logits_processor(nested()), 0),
    ];
    let mut runs = Vec::new();
    for (what, with, count) in cases {
        let (found, asked) = both(&model, &sampled, with, what);
        assert_eq!(asked, found.1.usage.new_tokens * count, "{what}");
        runs.push(found.1.sequences);
    }
    assert_eq!(runs[0], runs[6], "a list does what its processors do");
    assert_ne!(runs[0], runs[1], "the order matters");
    assert_ne!(runs[2], runs[3]);
    assert_ne!(runs[4], runs[5]);
    let effect = |list: LogitsProcessorList<'_>| list.effect();
    assert_eq!(
        effect(LogitsProcessorList::new().with(five()).with(flatten)),
        Effect::Candidates(5)
    );
    assert_eq!(
        effect(LogitsProcessorList::new().with(SuppressTokens::new(&[1]))),
        Effect::RemovesByLength
    );
    assert_eq!(effect(nested()), Effect::Any);
}

/// Counts how often it is run.
struct Counted(Arc<AtomicUsize>, Effect);

impl LogitsProcessor for Counted {
    fn process(&mut self, _: &[u32], _: &mut [f32]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn effect(&self) -> Effect {
        self.1
    }
}

#[test]
fn every_processor_is_run_once_for_a_token() {
    let model = model();
    let greedy = config(r#"{"max_new_tokens": 20}"#);
    for ahead in [0, 1] {
        let effects = [
            Effect::RemovesByLength,
            Effect::RemovesByTokens,
            Effect::Candidates(4),
            Effect::RemovesByTokens,
            Effect::Any,
        ];
        let counts = effects.map(|effect| (Arc::default(), effect));
        let mut generator = Generator::new(&model, &greedy).with_run_ahead(ahead);
        for (count, effect) in &counts {
            generator = generator.with_logits_processor(Counted(Arc::clone(count), *effect));
        }
        generator.generate(&[[1], [2]]).unwrap();
        for (count, effect) in counts {
            let count = count.load(Ordering::Relaxed);
            assert_eq!(count, 40, "{effect:?}, {ahead} ahead");
        }
    }
}

/// What a grammar does: where none of the candidates will do, it demands a token that is none.
#[test]
fn a_token_that_was_removed_can_be_brought_back() {
    let model = model();
    let sampled = config(r#"{"max_new_tokens": 20, "do_sample": true, "top_k": 0}"#);
    let demand = |tokens: &[u32], scores: &mut [f32]| {
        for odd in scores.iter_mut().skip(1).step_by(2) {
            *odd = -INF;
        }
        if scores.iter().all(|score| *score == -INF) {
            scores[39 - tokens.len() % 7] = 0.0;
        }
    };
    let with: With<'_> =
        &|generator| generator.with_logits_processor(Candidates::new(2, demand).unwrap());
    let (found, asked) = both(&model, &sampled, with, "a demand");
    assert_eq!(asked, found.1.usage.new_tokens * 2);
    let mut new = found
        .1
        .sequences
        .iter()
        .flat_map(|s| s.new_tokens().to_vec());
    assert!(new.any(|token| token % 2 == 1), "it was demanded");
}

#[test]
fn criteria_see_the_same_scores() {
    let model = model();
    let sampled =
        config(r#"{"max_new_tokens": 20, "do_sample": true, "temperature": 0.5, "top_k": 3}"#);
    let mut seen = Vec::new();
    for ahead in [0, 1] {
        let scores: Mutex<Vec<Vec<u32>>> = Mutex::default();
        let criterion = |tokens: &[u32], row: &[f32]| {
            scores
                .lock()
                .unwrap()
                .push(row.iter().map(|x| x.to_bits()).collect());
            tokens.len() > 9
        };
        let generator = Generator::new(&model, &sampled)
            .with_run_ahead(ahead)
            .with_logits_processor(Candidates::new(8, flatten).unwrap())
            .with_stopping_criteria(criterion);
        let before = model.best_found.load(Ordering::Relaxed);
        let found = run(generator).1.sequences;
        let asked = model.best_found.load(Ordering::Relaxed) - before;
        assert_eq!(asked > 0, ahead > 0);
        seen.push((found, scores.into_inner().unwrap()));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].1.iter().all(|row| row.len() == VOCAB));
}

#[test]
fn what_has_no_distribution_ends_its_sequence_only() {
    let mut row = vec![0.0; 10];
    row[2] = f32::NAN;
    let model = TableLm::cycle(10, 64).with_row(5, &row);
    let greedy = config(r#"{"max_new_tokens": 6}"#);
    for ahead in [0, 1] {
        let output = (Generator::new(&model, &greedy).with_run_ahead(ahead))
            .with_logits_processor(Candidates::new(2, |_: &[u32], _: &mut [f32]| {}).unwrap());
        let mut generation = output.stream(&[vec![3], vec![6]]).unwrap();
        let errors = generation.by_ref().filter_map(Result::err);
        let errors: Vec<_> = errors.map(|error| error.to_string()).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].contains("token 3 of sequence 0 contain NaN"),
            "{errors:?}"
        );
        let output = generation.into_output();
        assert_eq!(output.sequences[0].new_tokens(), [4, 5]);
        assert_eq!(output.sequences[1].new_tokens(), [7, 8, 9, 0, 1, 2]);
    }
}

#[test]
fn where_nothing_is_left_it_is_said_alike() {
    let model = model();
    let nothing_at_nine = |tokens: &[u32], scores: &mut [f32]| {
        if tokens.len() == 9 {
            scores.fill(-INF);
        }
    };
    for renormalize in [false, true] {
        let sampled = config(&format!(
            r#"{{"max_new_tokens": 20, "do_sample": true, "top_p": 0.9, "renormalize_logits": {renormalize}}}"#
        ));
        let with: With<'_> = &|generator| {
            generator.with_logits_processor(Candidates::new(4, nothing_at_nine).unwrap())
        };
        let (found, _) = both(&model, &sampled, with, "nothing left");
        let errors = found.0.iter().filter(|item| item.is_err());
        assert_eq!(errors.count(), 4, "{:?}", found.0);
    }
}

#[test]
fn no_candidates_are_refused_by_name() {
    struct Nothing;
    impl LogitsProcessor for Nothing {
        fn process(&mut self, _: &[u32], _: &mut [f32]) {}

        fn effect(&self) -> Effect {
            Effect::Candidates(0)
        }
    }
    let message = "the number of candidates of a logits processor must be at least 1, but is 0";
    let error = Candidates::new(0, flatten).map(drop).unwrap_err();
    assert_eq!(error.to_string(), message);
    let model = model();
    let greedy = config(r#"{"max_new_tokens": 6}"#);
    let refused = |error: GenerateError| {
        assert!(matches!(error, GenerateError::Setting { .. }));
        assert_eq!(error.to_string(), message);
    };
    let generator = || Generator::new(&model, &greedy);
    refused(
        generator()
            .with_logits_processor(Nothing)
            .generate(&[[1]])
            .unwrap_err(),
    );
    let nested = LogitsProcessorList::new().with(NotAlike).with(Nothing);
    refused(
        generator()
            .with_logits_processor(nested)
            .generate(&[[1]])
            .unwrap_err(),
    );
}
