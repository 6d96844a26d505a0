//! What a forward pass takes and leaves. Memory is bounded by the tokens that go through the layers together, however
//! long the prompt; nothing but keys and values stays; the floating-point mode of every thread is what it was.

#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use hfcore_arch::{CacheOptions, CausalLm, LoadOptions, LogitsFor, Registry, Source, Step};
use hfcore_config::PretrainedConfig;
use hfcore_kernels::{Tensor, probe};
use hfcore_weights::{TensorView, Weights};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const HIDDEN: usize = 64;
const INNER: usize = 512;
const VOCAB: usize = 64;

/// A model whose activations are large beside its keys and values, as those of large models are.
fn model() -> Box<dyn CausalLm> {
    let config = format!(
        r#"{{"model_type": "llama", "vocab_size": {VOCAB}, "hidden_size": {HIDDEN}, "intermediate_size": {INNER},
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1, "max_position_embeddings": 8192,
        "tie_word_embeddings": true}}"#
    );
    let config = PretrainedConfig::from_slice(config.as_bytes()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![HIDDEN / 4, HIDDEN]),
            ("self_attn.v_proj", vec![HIDDEN / 4, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("mlp.gate_proj", vec![INNER, HIDDEN]),
            ("mlp.up_proj", vec![INNER, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INNER]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}"), shape));
        }
    }
    let mut noise = (1_u16..u16::MAX).cycle().map(|i| f32::from(i).sin() / 4.0);
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let values: Vec<f32> = noise.by_ref().take(shape.iter().product()).collect();
        (
            format!("{name}.weight"),
            TensorView::from_f32(&shape, &values),
        )
    });
    let weights = Weights::from_tensors(tensors).unwrap();
    let source = Source {
        config: &config,
        weights: &weights,
        options: &LoadOptions::default(),
    };
    Registry::builtin().causal_lm(&source).unwrap().model
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n)
        .map(|i| u32::try_from(i * 7 % VOCAB).unwrap())
        .collect()
}

/// Bytes that a prompt of `n` tokens takes at its peak beyond what was there, without its keys and values.
fn peak_of_prompt(model: &dyn CausalLm, n: usize) -> usize {
    let step_tokens = tokens(n);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut cache = model.new_cache(&CacheOptions::default());
    let step = Step::new().with(cache.add(), &step_tokens, LogitsFor::Last);
    model.forward(&step, &mut cache).unwrap();
    MEMORY.peak_usage() - before - cache.bytes()
}

// One test: all of the process counts.
#[test]
fn memory_is_bounded_and_numbers_are_the_same() {
    let model = model();
    let modes = probe::float_modes(&model.info().device);
    let one = INNER * size_of::<f32>();
    // What the device keeps for later is there after the first.
    peak_of_prompt(&*model, 512);
    let short = peak_of_prompt(&*model, 512);
    let long = peak_of_prompt(&*model, 4096);
    let for_tokens = 4096 * 64;
    assert!(
        long < short + for_tokens,
        "{long} bytes for 4096 tokens, {short} for 512: a row of the widest activation has {one}"
    );

    // Token by token: after the buffers of one position are there, only pages come.
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequence = cache.add();
    let mut used = Vec::new();
    for (i, token) in tokens(700).into_iter().enumerate() {
        let step = Step::new().with(sequence, &[token], LogitsFor::Last);
        model.forward(&step, &mut cache).unwrap();
        if i % 100 == 99 {
            used.push(MEMORY.current_usage() - cache.bytes());
        }
    }
    let (first, last) = (used[1], used[6]);
    // The numbers of pages, and a state of each chunk of keys. A row of the narrowest activation that
    // stayed for each token would be 128 KiB.
    assert!(
        last < first + (16 << 10),
        "after 200 tokens {first} bytes, after 700 {last}"
    );

    // A probe sees all rows, so that they go through the layers together.
    let mut cache = model.new_cache(&CacheOptions::default());
    let prompt = tokens(1300);
    let at_once = Step::new()
        .with(cache.add(), &prompt[..900], LogitsFor::All)
        .with(cache.add(), &prompt[900..], LogitsFor::Last);
    let mut rows = 0;
    let mut probe = |_: &str, x: &Tensor| rows = x.rows();
    let at_once = model
        .forward_probed(&at_once, &mut cache, &mut probe)
        .unwrap();
    assert_eq!(rows, 1300);
    let in_parts = Step::new()
        .with(cache.add(), &prompt[..900], LogitsFor::All)
        .with(cache.add(), &prompt[900..], LogitsFor::Last);
    let in_parts = model.forward(&in_parts, &mut cache).unwrap();
    assert_eq!(in_parts.rows(), 901);
    let same = at_once.into_vec() == in_parts.into_vec();
    assert!(same, "parts of a prompt give other numbers than all of it");
    assert_eq!(probe::float_modes(&model.info().device), modes);
}
