//! What a decoder's `config.json` says, and what a reader of these keys would leave unread.
//!
//! `cargo run -p hfcore-config --example inspect_config -- path/to/config.json`
#![allow(clippy::print_stdout, reason = "an example prints")]

use hfcore_config::{PretrainedConfig, RopeDefaults};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: inspect_config CONFIG_JSON")?;
    let config = PretrainedConfig::from_slice(&std::fs::read(path)?)?;
    println!("model_type     {:?}", config.model_type().unwrap_or("none"));
    println!("architectures  {:?}", config.architectures());
    println!("dtype          {:?}", config.dtype().unwrap_or("none"));
    println!("end tokens     {:?}", config.eos_token_ids());
    if let Some(quantization) = config.quantization_config() {
        println!("quantization   {}", quantization.method.name());
    }

    let keys = config.keys();
    let hidden_size = keys.dim("hidden_size");
    let heads = keys.heads("num_attention_heads");
    let head_dim = keys
        .opt_dim("head_dim")
        .unwrap_or_else(|| keys.divide("hidden_size", hidden_size, "num_attention_heads", heads));
    let layers = keys.layers("num_hidden_layers");
    let max_positions = keys.positions_or("max_position_embeddings", 2048);
    let rope = keys.rope(
        RopeDefaults::partial(10_000.0, 1.0),
        head_dim,
        max_positions,
    );
    let accounting = keys.finish()?;

    println!("shape          {layers} layers, {heads} heads of {head_dim}, width {hidden_size}");
    println!(
        "rope           {} over {} of {head_dim}",
        rope.scaling.rope_type(),
        rope.rotary_dim()
    );
    for (key, value) in accounting.unread {
        println!("unread         {key} = {value}");
    }
    Ok(())
}
