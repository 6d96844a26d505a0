//! Bad values in every key of every family's `config.json`: an error or a model that runs, never a panic.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hfcore::arch::{LoadOptions, LogitsFor, Source};
use hfcore::weights::{OpenOptions, Weights};
use hfcore::{
    CacheOptions, CausalLm, CpuOptions, Device, NoProbe, PretrainedConfig, Registry, Step, Tensor,
    TokenBatch,
};
use serde_json::{Map, Value, json};

/// One golden folder of each `model_type`.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-arch/tests/golden");
    let mut all: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    let mut seen = BTreeSet::new();
    all.retain(|folder| {
        let Ok(bytes) = fs::read(folder.join("config.json")) else {
            return false;
        };
        let config: Value = serde_json::from_slice(&bytes).unwrap();
        // Shards are the business of another test.
        folder.join("model.safetensors").is_file() && seen.insert(config["model_type"].to_string())
    });
    all
}

fn bad_values() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(99_999),
        json!(1_000_003),
        json!(2.5),
        json!(1e300),
        json!(u64::MAX),
        json!("nonsense"),
        json!(true),
        json!(false),
        Value::Null,
        json!([]),
        json!([1, "two", null]),
        json!({}),
        json!({ "__float__": "NaN" }),
    ]
}

/// Load as whatever the family can be, and run it on a little input.
fn load_and_run(
    config: &PretrainedConfig,
    weights: &Weights,
    options: &LoadOptions,
) -> Result<(), String> {
    let source = Source {
        config,
        weights,
        options,
    };
    let registry = Registry::builtin();
    let heads = registry
        .find(config)
        .map_err(|error| error.to_string())?
        .heads();
    let text = |error: hfcore::ModelError| error.to_string();
    for head in heads {
        match head {
            "CausalLm" => step(&*registry.causal_lm(&source).map_err(text)?.model)?,
            "Seq2Seq" => drop(registry.seq2seq(&source).map_err(text)?),
            "TextEncoder" => {
                let model = registry.text_encoder(&source).map_err(text)?.model;
                let batch = TokenBatch::new().with(&[1, 2, 3]);
                model
                    .encode(&batch, &mut NoProbe)
                    .map_err(|error| error.to_string())?;
            }
            "ImageEncoder" => {
                let model = registry.image_encoder(&source).map_err(text)?.model;
                let pixels = Tensor::zeros(&options.device, &[1, 3, 32, 32]);
                model
                    .encode(&pixels, &mut NoProbe)
                    .map_err(|error| error.to_string())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn step(model: &dyn CausalLm) -> Result<(), String> {
    let mut cache = model.new_cache(&CacheOptions::default());
    let step = Step::new().with(cache.add(), &[1, 2, 3], LogitsFor::All);
    model
        .forward(&step, &mut cache)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// `map` with the value at `path` replaced.
fn with(map: &Map<String, Value>, path: &[&str], value: &Value) -> Map<String, Value> {
    let mut map = map.clone();
    let (last, parents) = path.split_last().unwrap();
    let mut object = &mut map;
    for parent in parents {
        object = object[*parent].as_object_mut().unwrap();
    }
    object.insert((*last).to_owned(), value.clone());
    map
}

#[test]
fn no_value_of_any_key_makes_a_family_panic() {
    let one_thread = CpuOptions::default().with_threads(std::num::NonZeroUsize::MIN);
    let options = LoadOptions::default().with_device(Device::cpu_with(&one_thread));
    let mut panics = Vec::new();
    let mut refused = 0;
    for folder in folders() {
        let bytes = fs::read(folder.join("config.json")).unwrap();
        let config: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
        let weights = Weights::open(&folder, &OpenOptions::default()).unwrap();
        let mut paths: Vec<Vec<&str>> = Vec::new();
        for (key, value) in &config {
            paths.push(vec![key]);
            paths.extend(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(inner, _)| vec![key.as_str(), inner]),
            );
        }
        for path in paths {
            for value in bad_values() {
                let spoiled = with(&config, &path, &value);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let config =
                        PretrainedConfig::from_map(spoiled).map_err(|error| error.to_string())?;
                    load_and_run(&config, &weights, &options)
                }));
                match result {
                    Err(_) => panics.push(format!(
                        "{}: {} = {value}",
                        folder.display(),
                        path.join(".")
                    )),
                    Ok(Err(_)) => refused += 1,
                    Ok(Ok(())) => {}
                }
            }
        }
    }
    assert!(
        panics.is_empty(),
        "{} panics:\n{}",
        panics.len(),
        panics.join("\n")
    );
    assert!(
        refused > 2000,
        "only {refused} refusals: are bad values read at all?"
    );
}
