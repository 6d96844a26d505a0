//! A model without a folder: one step that mixes a whole prompt with a single token, and a fork.
//!
//! `cargo run --release -p hfcore-arch --example steps`
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use hfcore_arch::{CacheOptions, LoadOptions, LogitsFor, Registry, Source, Step};
use hfcore_config::PretrainedConfig;
use hfcore_weights::{TensorView, Weights};

const CONFIG: &[u8] = br#"{"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let config = PretrainedConfig::from_slice(CONFIG)?;
    let weights = random_weights()?;
    let source = Source {
        config: &config,
        weights: &weights,
        options: &LoadOptions::default(),
    };
    let model = Registry::builtin().causal_lm(&source)?.model;

    let mut cache = model.new_cache(&CacheOptions::default());
    let (first, second) = (cache.add(), cache.add());
    model.forward(
        &Step::new().with(first, &[5, 6, 7], LogitsFor::None),
        &mut cache,
    )?;

    // One step: the first sequence goes on by a token while the second brings its whole prompt.
    let step = Step::new().with(first, &[8], LogitsFor::Last).with(
        second,
        &[9, 10, 11, 12],
        LogitsFor::Last,
    );
    let logits = model.forward(&step, &mut cache)?;
    println!("next after 5 6 7 8:   {}", most_likely(logits.row(0)));
    println!("next after 9 10 11 12: {}", most_likely(logits.row(1)));

    // A fork shares what it remembers, and goes its own way from there.
    let fork = cache.fork(first)?;
    let step = Step::new()
        .with(first, &[20], LogitsFor::Last)
        .with(fork, &[30], LogitsFor::Last);
    let logits = model.forward(&step, &mut cache)?;
    println!("… and 20: {}", most_likely(logits.row(0)));
    println!("… or 30:  {}", most_likely(logits.row(1)));
    Ok(())
}

fn most_likely(scores: &[f32]) -> usize {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token)
}

/// The tensors of one layer, under Llama's names.
fn random_weights() -> Result<Weights, Box<dyn Error>> {
    let shapes: [(&str, &[usize]); 12] = [
        ("model.embed_tokens", &[64, 32]),
        ("model.layers.0.input_layernorm", &[32]),
        ("model.layers.0.self_attn.q_proj", &[32, 32]),
        ("model.layers.0.self_attn.k_proj", &[16, 32]),
        ("model.layers.0.self_attn.v_proj", &[16, 32]),
        ("model.layers.0.self_attn.o_proj", &[32, 32]),
        ("model.layers.0.post_attention_layernorm", &[32]),
        ("model.layers.0.mlp.gate_proj", &[48, 32]),
        ("model.layers.0.mlp.up_proj", &[48, 32]),
        ("model.layers.0.mlp.down_proj", &[32, 48]),
        ("model.norm", &[32]),
        ("lm_head", &[64, 32]),
    ];
    let mut noise = (1_u16..).map(|i| f32::from(i).sin());
    let tensors = shapes.map(|(name, shape)| {
        let values: Vec<f32> = noise.by_ref().take(shape.iter().product()).collect();
        (
            format!("{name}.weight"),
            TensorView::from_f32(shape, &values),
        )
    });
    Ok(Weights::from_tensors(tensors)?)
}
