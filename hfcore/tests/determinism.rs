//! Same seed, same tokens: on any number of threads, in any company, in any order of steps.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use hfcore::arch::LogitsFor;
use hfcore::{
    AutoModelForCausalLm, Cache, CacheOptions, CpuOptions, Device, GenerationConfig, Generator,
    Step, TextGenerationPipeline,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

fn on_threads(threads: usize) -> AutoModelForCausalLm {
    let options = CpuOptions::default().with_threads(NonZeroUsize::new(threads).unwrap());
    AutoModelForCausalLm::builder()
        .device(Device::cpu_with(&options))
        .load(golden("llama"))
        .unwrap()
}

fn sampling() -> GenerationConfig {
    GenerationConfig::default()
        .with_max_new_tokens(24)
        .with_do_sample(true)
        .with_temperature(1.3)
        .with_top_k(0)
}

fn sample(model: &AutoModelForCausalLm, prompts: &[&[u32]], seeds: &[u64]) -> Vec<Vec<u32>> {
    let output = Generator::new(model.model(), &sampling())
        .with_seeds(seeds)
        .generate(prompts)
        .unwrap();
    output
        .sequences
        .into_iter()
        .map(|sequence| sequence.tokens)
        .collect()
}

#[test]
fn threads_change_no_bit() {
    let tokens: Vec<u32> = (0..90).map(|i| 3 + (i * 37) % 190).collect();
    let logits = |threads| {
        let model = on_threads(threads);
        let mut cache = model.new_cache(&CacheOptions::default());
        let step = Step::new().with(cache.add(), &tokens, LogitsFor::All);
        model.forward(&step, &mut cache).unwrap().into_vec()
    };
    let one = logits(1);
    for threads in [2, 3, 5] {
        assert!(logits(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_alone_and_in_company() {
    let model = on_threads(2);
    let prompts: [&[u32]; 3] = [&[5, 6, 7], &[9], &[11, 12, 13, 14, 15, 16]];
    let together = sample(&model, &prompts, &[1, 2, 3]);
    for (i, prompt) in prompts.into_iter().enumerate() {
        assert_eq!(sample(&model, &[prompt], &[i as u64 + 1])[0], together[i]);
    }
    assert_eq!(sample(&on_threads(3), &prompts, &[1, 2, 3]), together);
    assert_ne!(sample(&model, &prompts, &[4, 5, 6]), together);
}

#[test]
fn models_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<AutoModelForCausalLm>();
    shared::<TextGenerationPipeline>();
    sent::<Cache>();

    let model = on_threads(2);
    let expected = sample(&model, &[&[5, 6, 7]], &[7]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(sample(&model, &[&[5, 6, 7]], &[7]), expected));
        }
    });
}
