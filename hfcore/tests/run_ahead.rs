//! Generation on a GPU: the tokens of the CPU, however far ahead of the host it runs, and what a token costs.

#![cfg(feature = "wgpu")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

use hfcore::{
    AutoModelForCausalLm, AutoModelForSeq2SeqLm, Candidates, CausalLm, Device, EncoderInput,
    FinishReason, GenerationConfig, Generator, Seq2Seq, Token, TokenBatch, WgpuCounters,
    WgpuOptions, WgpuSelect,
};

/// The GPU of these tests: the software one, unless `HFCORE_WGPU_ADAPTER` names another. None where there is
/// none, which is said.
fn gpu() -> Option<Device> {
    let select = match std::env::var("HFCORE_WGPU_ADAPTER") {
        Ok(text) if !text.is_empty() => text.parse().unwrap(),
        _ => WgpuSelect::Software,
    };
    match Device::wgpu_with(&WgpuOptions::default().with_adapter(select)) {
        Ok(device) => Some(device),
        Err(error) => {
            let required =
                std::env::var_os("HFCORE_REQUIRE_WGPU").is_some_and(|value| value != "0");
            assert!(!required, "HFCORE_REQUIRE_WGPU is set: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

fn decoder(folder: &Path, device: &Device) -> AutoModelForCausalLm {
    (AutoModelForCausalLm::builder().device(device.clone()))
        .load(folder)
        .unwrap()
}

fn config(text: &str) -> GenerationConfig {
    GenerationConfig::from_slice(text.as_bytes()).unwrap()
}

const SETTINGS: [&str; 4] = [
    r#"{"max_new_tokens": 24, "eos_token_id": [2, 17, 40]}"#,
    r#"{"max_new_tokens": 24, "eos_token_id": [2, 17], "repetition_penalty": 1.3, "suppress_tokens": [5, 9]}"#,
    r#"{"max_new_tokens": 24, "do_sample": true, "temperature": 1.2, "top_k": 20, "top_p": 0.9,
        "num_return_sequences": 2, "eos_token_id": [2, 30, 31, 32, 33]}"#,
    r#"{"max_new_tokens": 16, "do_sample": true, "top_k": 0, "min_p": 0.02, "repetition_penalty": 1.1,
        "min_new_tokens": 6, "eos_token_id": [2, 11, 12, 13]}"#,
];

/// Sequences with their prompts, and why each ended.
type Sequences = Vec<(Vec<u32>, Option<FinishReason>)>;

fn run<P: AsRef<[u32]>>(
    generator: Generator<'_>,
    depth: Option<usize>,
    prompts: &[P],
) -> Sequences {
    let generator = match depth {
        Some(depth) => generator.with_run_ahead(depth),
        None => generator,
    };
    let output = generator.generate(prompts).unwrap();
    let sequence = output.sequences.into_iter();
    sequence
        .map(|sequence| (sequence.tokens, sequence.finish_reason))
        .collect()
}

fn generate(model: &dyn CausalLm, settings: &str, depth: Option<usize>) -> Sequences {
    let prompts: [&[u32]; 3] = [&[5, 9, 41, 7, 100, 3], &[8], &[60, 61]];
    let config = config(settings);
    run(Generator::new(model, &config).with_seed(7), depth, &prompts)
}

#[test]
fn decoders_draw_the_tokens_of_the_cpu_at_every_depth() {
    let Some(gpu) = gpu() else { return };
    for name in ["llama", "gemma2", "gpt2", "mistral-sliding"] {
        let (on_cpu, on_gpu) = (
            decoder(&golden(name), &Device::cpu()),
            decoder(&golden(name), &gpu),
        );
        for settings in SETTINGS {
            let expected = generate(on_cpu.model(), settings, None);
            for depth in [Some(0), None, Some(3)] {
                let found = generate(on_gpu.model(), settings, depth);
                assert_eq!(found, expected, "{name}, {settings}, {depth:?} ahead");
            }
        }
        // The host sees every score.
        let nothing = |_: &[u32], _: &mut [f32]| {};
        let by_host = |model: &dyn CausalLm| {
            let generator =
                Generator::new(model, &config(SETTINGS[2])).with_logits_processor(nothing);
            run(generator, None, &[[8, 9]])
        };
        assert_eq!(
            by_host(on_gpu.model()),
            by_host(on_cpu.model()),
            "{name}, by the host"
        );
    }
}

#[test]
fn encoder_decoders_draw_the_tokens_of_the_cpu_at_every_depth() {
    let Some(gpu) = gpu() else { return };
    let load = |device: &Device| {
        (AutoModelForSeq2SeqLm::builder().device(device.clone()))
            .load(golden("t5"))
            .unwrap()
    };
    let (on_cpu, on_gpu) = (load(&Device::cpu()), load(&gpu));
    let generate = |model: &dyn Seq2Seq, settings: &str, depth: Option<usize>| {
        let input = TokenBatch::new().with(&[5, 9, 41, 7]).with(&[8]);
        let config = config(settings).with_decoder_start_token_id(0_u32);
        let input = EncoderInput::Tokens(input);
        let generator = Generator::encoder_decoder(model, input, &config).with_seed(3);
        run::<[u32; 0]>(generator, depth, &[])
    };
    for settings in [SETTINGS[1], SETTINGS[2]] {
        let expected = generate(on_cpu.model(), settings, None);
        for depth in [Some(0), None, Some(3)] {
            assert_eq!(
                generate(on_gpu.model(), settings, depth),
                expected,
                "{settings}, {depth:?} ahead"
            );
        }
    }
}

/// Halves what it sees, and makes tokens likelier that follow the last.
fn flatten(tokens: &[u32], scores: &mut [f32]) {
    let last = tokens.last().copied().unwrap_or(0) as usize;
    for (i, score) in scores.iter_mut().enumerate() {
        *score = *score * 0.5
            + if (last..last + 40).contains(&i) {
                1.0
            } else {
                0.0
            };
    }
}

/// A processor of candidates sees the same ones wherever the model is, and the tokens are the same; with settings that
/// a device cannot do, too, and with more candidates than are worth it.
#[test]
fn processors_of_candidates_draw_the_tokens_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let others = [
        r#"{"max_new_tokens": 16, "do_sample": true, "typical_p": 0.8, "no_repeat_ngram_size": 2}"#,
        r#"{"max_new_tokens": 16, "do_sample": true, "top_h": 0.7, "forced_eos_token_id": 2}"#,
        r#"{"max_new_tokens": 8, "num_beams": 2}"#,
    ];
    for name in ["llama", "gemma2"] {
        let (on_cpu, on_gpu) = (
            decoder(&golden(name), &Device::cpu()),
            decoder(&golden(name), &gpu),
        );
        for settings in SETTINGS.into_iter().chain(others) {
            let config = config(settings);
            for count in [1, 7, 40, 100] {
                let generate = |model: &dyn CausalLm| {
                    let generator = Generator::new(model, &config)
                        .with_seed(5)
                        .with_logits_processor(Candidates::new(count, flatten).unwrap());
                    run(
                        generator,
                        None,
                        &[&[5, 9, 41, 7, 100, 3][..], &[8], &[60, 61]],
                    )
                };
                let (found, expected) = (generate(on_gpu.model()), generate(on_cpu.model()));
                assert_eq!(found, expected, "{name}, {settings}, {count} candidates");
            }
        }
    }
}

/// `llama` with room for more tokens than it was trained with.
fn long_llama(root: &Path) {
    for entry in fs::read_dir(golden("llama")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), root.join(entry.file_name())).unwrap();
        }
    }
    let file = root.join("config.json");
    let config = fs::read_to_string(&file).unwrap();
    let longer = config.replace(
        "\"max_position_embeddings\": 96",
        "\"max_position_embeddings\": 480",
    );
    assert_ne!(longer, config, "the configuration has a context of 96");
    fs::write(file, longer).unwrap();
}

/// Where the host has to see scores, a token makes nothing either, and no more comes back than it sees.
#[test]
fn what_the_host_sees_is_all_that_is_read_back() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    long_llama(folder.path());
    let model = decoder(folder.path(), &gpu);
    let vocab_size = model.model().info().vocab_size;
    let settings = r#"{"max_new_tokens": 300, "do_sample": true, "repetition_penalty": 1.2, "suppress_tokens": [3]}"#;
    let config = config(settings);
    for (count, bytes) in [
        (1, 8),
        (40, 40 * 8),
        // Half of the tokens with their scores are as much as all scores.
        (vocab_size.div_ceil(2), vocab_size * 4),
        (usize::MAX, vocab_size * 4),
    ] {
        let generator = Generator::new(model.model(), &config);
        let generator = match count {
            usize::MAX => generator.with_logits_processor(flatten),
            _ => generator.with_logits_processor(Candidates::new(count, flatten).unwrap()),
        };
        let mut generation = generator.stream(&[[1, 5, 9]]).unwrap();
        let [before, after] = two_hundred_tokens(&gpu, &mut generation, &format!("{count}"));
        let read = after.read_bytes - before.read_bytes;
        assert_eq!(read, 200 * bytes as u64, "{count}");
    }
}

/// The counters before and after tokens that cost one submission each, and for which nothing is made.
fn two_hundred_tokens(
    gpu: &Device,
    generation: &mut impl Iterator<Item = Result<Token, hfcore::GenerateError>>,
    what: &str,
) -> [WgpuCounters; 2] {
    let [before, after] = [60, 200].map(|tokens| {
        for token in generation.by_ref().take(tokens) {
            token.unwrap();
        }
        gpu.wgpu_counters().unwrap()
    });
    assert_eq!(after.created_objects, before.created_objects, "{what}");
    assert_eq!(after.allocated_bytes, before.allocated_bytes, "{what}");
    assert_eq!(after.plans, before.plans, "{what}");
    assert_eq!(after.submits - before.submits, 200, "{what}");
    [before, after]
}

/// Per token: one submission, as many kernels as ever, nothing made, nothing allocated.
#[test]
fn a_token_costs_one_submission_and_makes_nothing() {
    const LAYERS: u64 = 2;
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    long_llama(folder.path());
    let model = decoder(folder.path(), &gpu);
    for (settings, most) in [
        (r#"{"max_new_tokens": 300}"#, 6 * LAYERS + 6),
        (
            r#"{"max_new_tokens": 300, "do_sample": true, "top_k": 40, "top_p": 0.95}"#,
            6 * LAYERS + 6,
        ),
        (
            r#"{"max_new_tokens": 300, "repetition_penalty": 1.2, "suppress_tokens": [3]}"#,
            6 * LAYERS + 6,
        ),
    ] {
        let mut generation = (Generator::new(model.model(), &config(settings)))
            .stream(&[[1, 5, 9]])
            .unwrap();
        let [before, after] = two_hundred_tokens(&gpu, &mut generation, settings);
        let dispatches = after.dispatches - before.dispatches;
        assert_eq!(
            dispatches % 200,
            0,
            "{settings}: every token is like the last"
        );
        assert!(
            dispatches / 200 <= most,
            "{settings}: {} kernels a token",
            dispatches / 200
        );
    }
}
