//! Rotary frequencies against transformers: every kind, both spellings, many lengths.
//!
//! The table is `tests/data/rope.json`, written by `tests/make_rope.py`. Tolerance: 2 units in the last place of f32
//! for each frequency, and at least 99 of 100 equal to the bit: torch's vectorised `pow` (SLEEF) is not always the
//! nearest float, and that bit passes through up to two more roundings. The attention factor, computed in doubles:
//! equal after rounding to f32.
#![allow(clippy::unwrap_used, reason = "a test")]

use hfcore_config::{LayerRope, LayerType, PretrainedConfig, RopeDefaults, RopeParameters};
use serde_json::Value;

fn table() -> Vec<Value> {
    let text = include_str!("data/rope.json");
    let table: Value = serde_json::from_str(text).unwrap();
    table["cases"].as_array().unwrap().clone()
}

/// Reads the case as the family in it would.
fn read(case: &Value) -> Result<RopeParameters, String> {
    let config = PretrainedConfig::from_map(case["config"].as_object().unwrap().clone());
    let config = config.map_err(|error| error.to_string())?;
    let keys = config.keys();
    let head_dim = usize::try_from(case["head_dim"].as_u64().unwrap()).unwrap();
    let max = keys.positions_or("max_position_embeddings", 4096);
    let rope = match case["family"].as_str().unwrap() {
        "whole" => keys.rope(RopeDefaults::whole(10_000.0), head_dim, max),
        "partial" | "phi3" => keys.rope(RopeDefaults::partial(10_000.0, 1.0), head_dim, max),
        "gpt_neox" => keys.rope_spelled(
            "rotary_emb_base",
            "rotary_pct",
            RopeDefaults::partial(10_000.0, 0.25),
            head_dim,
            max,
        ),
        "gemma3" => {
            let layer = |layer_type, theta_key, scaled, theta| LayerRope {
                layer_type,
                theta_key,
                scaled,
                defaults: RopeDefaults::whole(theta),
                head_dim,
            };
            let layers = [
                layer(LayerType::FullAttention, "rope_theta", true, 1e6),
                layer(
                    LayerType::SlidingAttention,
                    "rope_local_base_freq",
                    false,
                    1e4,
                ),
            ];
            let wanted = LayerType::from_name(case["layer_type"].as_str().unwrap()).unwrap();
            keys.rope_by_layer_type(&layers, max)[&wanted].clone()
        }
        family => panic!("{family}"),
    };
    keys.finish().map_err(|error| error.to_string())?;
    Ok(rope)
}

/// The distance of two non-negative floats, counted in floats between them.
fn ulps(a: f32, b: f32) -> u32 {
    a.to_bits().abs_diff(b.to_bits())
}

#[test]
fn frequencies_equal_transformers() {
    let mut failures = Vec::new();
    let (mut worst, mut exact, mut compared) = (0, 0, 0);
    for case in table() {
        let name = format!(
            "{} {} {}",
            case["family"], case["layer_type"], case["config"]
        );
        let rope = match read(&case) {
            Ok(rope) => rope,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        for entry in case["entries"].as_array().unwrap() {
            let seq_len = usize::try_from(entry["seq_len"].as_u64().unwrap()).unwrap();
            let expected: Vec<f32> = entry["inv_freq"]
                .as_array()
                .unwrap()
                .iter()
                .map(f32_of)
                .collect();
            let found = rope.frequencies(seq_len);
            if found.inv_freq.len() != expected.len() || rope.rotary_dim() != 2 * expected.len() {
                failures.push(format!(
                    "{name} at {seq_len}: {} frequencies",
                    found.inv_freq.len()
                ));
                continue;
            }
            for (i, (a, b)) in found.inv_freq.iter().zip(&expected).enumerate() {
                let off = ulps(*a, *b);
                worst = worst.max(off);
                exact += usize::from(off == 0);
                compared += 1;
                if off > 2 {
                    failures.push(format!(
                        "{name} at {seq_len}: [{i}] {a:e}, expected {b:e}, {off} ulp"
                    ));
                }
            }
            let attention = f32_of(&entry["attention_scaling"]);
            if ulps(found.attention_scaling, attention) > 0 {
                failures.push(format!(
                    "{name} at {seq_len}: attention factor {}, expected {attention}",
                    found.attention_scaling
                ));
            }
        }
    }
    println!("{compared} frequencies, {exact} equal to the bit, worst {worst} ulp");
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(compared > 2500, "{compared}");
    assert!(
        exact * 100 > compared * 99,
        "only {exact} of {compared} equal to the bit"
    );
}

#[test]
fn lengths_matter_only_where_they_say_so() {
    for case in table() {
        let rope = read(&case).unwrap();
        let changes = rope.frequencies(1) != rope.frequencies(1 << 20);
        assert_eq!(changes, rope.depends_on_length(), "{}", case["config"]);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the file has f32 values")]
fn f32_of(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}
