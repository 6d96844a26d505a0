//! Configurations as they were published: nothing in them is refused, and little is unknown.
//!
//! Goldens are written by one version of transformers; the Hub was written by forty.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use hfcore::{PretrainedConfig, Registry};
use serde_json::Value;

/// Keys that files carry and their classes do not define. Each was looked up: none has an influence.
const UNKNOWN: &[&str] = &[
    // Notes of the trainers.
    "is_llama_config",
    "rope_interleaved",
    "output_past",
    // StarCoder 2: of the code it was converted from.
    "attention_softmax_in_fp32",
    "layer_norm_epsilon",
    "scale_attention_softmax_in_fp32",
    "scale_attn_weights",
    // Generation, in configurations older than generation_config.json.
    "cache_implementation",
    "forced_decoder_ids",
    // T5: the length it was trained at; its positions are relative and have no end.
    "n_positions",
    // SmolLM 3: of Qwen's class, from which it was made.
    "max_window_layers",
];

#[test]
fn published_configurations_are_understood() {
    let mut failures = Vec::new();
    for line in include_str!("published_configs.jsonl").lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let name = entry["name"].as_str().unwrap();
        let config = PretrainedConfig::from_slice(entry["config"].to_string().as_bytes()).unwrap();
        let registry = Registry::builtin();
        match registry.find(&config).unwrap().account(&config) {
            Ok(accounting) => {
                let unknown = accounting
                    .unread
                    .iter()
                    .filter(|(key, _)| !UNKNOWN.contains(&key.as_str()));
                failures.extend(
                    unknown.map(|(key, value)| format!("{name}: {key} = {value} is unknown")),
                );
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
