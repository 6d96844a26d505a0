//! What is refused, and with which words: a wrong number is worse than a refusal.
//!
//! Each row takes the golden Llama, spoils one thing, and says what the error must tell. All rows are
//! tried, and all that fail are reported.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::{Path, PathBuf};

use hfcore::arch::LogitsFor;
use hfcore::weights::{OpenOptions, SaveOptions, TensorView, Weights, save_pretrained};
use hfcore::{
    AutoModelForCausalLm, AutoModelForMaskedLm, CacheOptions, Error, GenerationConfig, Generator,
    Step,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

/// A copy of a golden folder, with its configuration and its weights changed.
fn spoiled(
    name: &str,
    config: impl FnOnce(&mut Value),
    weights: impl FnOnce(&mut Vec<(String, TensorView)>),
) -> TempDir {
    let (source, folder) = (golden(name), tempfile::tempdir().unwrap());
    let mut json: Value =
        serde_json::from_slice(&fs::read(source.join("config.json")).unwrap()).unwrap();
    config(&mut json);
    fs::write(
        folder.path().join("config.json"),
        serde_json::to_vec(&json).unwrap(),
    )
    .unwrap();
    let opened = Weights::open(&source, &OpenOptions::default()).unwrap();
    let mut tensors: Vec<_> = opened
        .names()
        .map(|name| (name.to_owned(), opened.get(name).unwrap()))
        .collect();
    weights(&mut tensors);
    save_pretrained(folder.path(), tensors, &SaveOptions::default()).unwrap();
    folder
}

/// Loads, or says why not.
fn load(folder: &Path) -> Result<AutoModelForCausalLm, String> {
    AutoModelForCausalLm::load(folder).map_err(|error| error.chain())
}

/// Every row whose error does not have all the words it should.
fn check(rows: Vec<(&str, Result<(), String>, &[&str])>) {
    let failures: Vec<String> = rows
        .into_iter()
        .filter_map(|(row, result, words)| match result {
            Ok(()) => Some(format!("{row}: accepted")),
            Err(error) => {
                let missing: Vec<_> = words
                    .iter()
                    .filter(|word| !error.contains(**word))
                    .collect();
                (!missing.is_empty()).then(|| format!("{row}: {missing:?} not in: {error}"))
            }
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The golden `name` with one key of its configuration changed, loaded.
fn with_key(name: &str, key: &str, value: Value) -> Result<(), String> {
    let folder = spoiled(name, |config| config[key] = value, |_| ());
    load(folder.path()).map(drop)
}

#[test]
fn configurations() {
    check(vec![
        (
            "an unknown model_type",
            with_key("llama", "model_type", json!("llamma")),
            &["\"llamma\" is not registered", "gemma2, ", "Registry::with"],
        ),
        (
            "an unknown model_type with code of its own",
            {
                let folder = spoiled(
                    "llama",
                    |config| {
                        config["model_type"] = json!("secret");
                        config["auto_map"] =
                            json!({ "AutoModelForCausalLM": "modeling_secret.Secret" });
                    },
                    |_| (),
                );
                load(folder.path()).map(drop)
            },
            &["\"secret\" is not registered", "never runs"],
        ),
        (
            "no model_type",
            with_key("llama", "model_type", Value::Null),
            &["no model_type"],
        ),
        (
            "a quantization",
            with_key(
                "llama",
                "quantization_config",
                json!({ "quant_method": "gptq", "bits": 4 }),
            ),
            &["quant_method = \"gptq\" is not supported", "bfloat16"],
        ),
        (
            "an activation",
            with_key("llama", "hidden_act", json!("mish")),
            &["hidden_act", "mish"],
        ),
        (
            "a rotation",
            with_key(
                "llama",
                "rope_parameters",
                json!({ "rope_type": "spiral", "rope_theta": 1e4 }),
            ),
            &["rope_type", "spiral", "yarn"],
        ),
        (
            "a key of the wrong type",
            with_key("llama", "hidden_size", json!("48")),
            &["hidden_size", "48"],
        ),
        (
            "an absurd size",
            with_key("llama", "hidden_size", json!(1_u64 << 60)),
            &["hidden_size", "16777216"],
        ),
        (
            "no heads",
            with_key("llama", "num_attention_heads", json!(0)),
            &["num_attention_heads"],
        ),
        (
            "heads that do not divide",
            with_key("llama", "num_key_value_heads", json!(3)),
            &["num_key_value_heads", "3"],
        ),
        (
            "a NaN",
            with_key("llama", "rms_norm_eps", json!({ "__float__": "NaN" })),
            &["rms_norm_eps"],
        ),
        (
            "too many layers",
            with_key("llama", "num_hidden_layers", json!(200_000)),
            &["num_hidden_layers", "100000"],
        ),
        (
            "gpt2 with attention to an encoder",
            with_key("gpt2", "add_cross_attention", json!(true)),
            &["add_cross_attention", "not implemented"],
        ),
    ]);
}

#[test]
fn a_head_that_a_family_lacks() {
    let error = AutoModelForMaskedLm::load(golden("llama"))
        .unwrap_err()
        .chain();
    assert!(
        error.contains("llama has no MaskedLm; it can be loaded as CausalLm"),
        "{error}"
    );
}

#[test]
fn keys_the_family_does_not_define_are_noted_and_under_strict_refused() {
    let folder = spoiled(
        "llama",
        |config| config["embedding_multiplier"] = json!(12.0),
        |_| (),
    );
    let model = AutoModelForCausalLm::load(folder.path()).unwrap();
    assert_eq!(
        model.accounting().unread,
        [("embedding_multiplier".to_owned(), json!(12.0))]
    );
    let strict = AutoModelForCausalLm::builder()
        .strict(true)
        .load(folder.path())
        .unwrap_err()
        .chain();
    assert!(
        strict.contains("keys that llama does not define: embedding_multiplier"),
        "{strict}"
    );
}

#[test]
fn checkpoints() {
    let weights = |change: fn(&mut Vec<(String, TensorView)>)| {
        let folder = spoiled("llama", |_| (), change);
        load(folder.path()).map(drop)
    };
    check(vec![
        (
            "missing tensors, all at once and folded",
            weights(|tensors| tensors.retain(|(name, _)| !name.ends_with("q_proj.weight"))),
            &["model.layers.{0,1}.self_attn.q_proj.weight"],
        ),
        (
            "a bias nobody asked for",
            weights(|tensors| {
                let bias = TensorView::from_f32(&[48], &[0.5; 48]);
                tensors.push(("model.layers.1.self_attn.q_proj.bias".to_owned(), bias));
            }),
            &["model.layers.1.self_attn.q_proj.bias"],
        ),
        (
            "another shape",
            weights(|tensors| {
                let norm = tensors
                    .iter_mut()
                    .find(|(name, _)| name == "model.norm.weight")
                    .unwrap();
                norm.1 = TensorView::from_f32(&[47], &[1.0; 47]);
            }),
            &["model.norm.weight", "48", "47"],
        ),
        (
            "a head that is not there",
            weights(|tensors| tensors.retain(|(name, _)| name != "lm_head.weight")),
            &["lm_head.weight"],
        ),
    ]);
}

#[test]
fn a_subtree_that_no_part_of_the_model_reads_is_noted() {
    let folder = spoiled(
        "llama",
        |_| (),
        |tensors| {
            tensors.push((
                "vision_tower.patch.weight".to_owned(),
                TensorView::from_f32(&[2], &[1.0, 2.0]),
            ));
        },
    );
    let model = AutoModelForCausalLm::load(folder.path()).unwrap();
    assert_eq!(model.report().unused, ["vision_tower.patch.weight"]);
}

#[test]
fn folders() {
    let empty = tempfile::tempdir().unwrap();
    let config_only = tempfile::tempdir().unwrap();
    fs::copy(
        golden("llama").join("config.json"),
        config_only.path().join("config.json"),
    )
    .unwrap();
    let huge = tempfile::tempdir().unwrap();
    fs::File::create(huge.path().join("config.json"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let file = golden("llama").join("config.json");
    check(vec![
        (
            "no folder",
            load(Path::new("no/such/model")).map(drop),
            &["no/such/model", "not a folder", "config.json"],
        ),
        ("a file", load(&file).map(drop), &["not a folder"]),
        (
            "no config.json",
            load(empty.path()).map(drop),
            &["has no config.json"],
        ),
        (
            "no weights",
            load(config_only.path()).map(drop),
            &["weights", "model.safetensors"],
        ),
        (
            "a huge config.json",
            load(huge.path()).map(drop),
            &["1073741824 bytes", "limit"],
        ),
        (
            "no tokenizer",
            hfcore::AutoTokenizer::load(golden("llama"))
                .map(drop)
                .map_err(|error| error.chain()),
            &[
                "the tokenizer in",
                "no files for a TokenizersBackend: looked for tokenizer.json, tokenizer.model",
            ],
        ),
        (
            "a task without a pipeline",
            hfcore::pipeline("fortune-telling", golden("llama"))
                .map(drop)
                .map_err(|error| error.chain()),
            &["fortune-telling", "text-generation"],
        ),
    ]);
}

#[test]
fn inputs() {
    let model = AutoModelForCausalLm::load(golden("llama")).unwrap();
    let forward = |tokens: &[u32]| {
        let mut cache = model.new_cache(&CacheOptions::default());
        let step = Step::new().with(cache.add(), tokens, LogitsFor::Last);
        model
            .forward(&step, &mut cache)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let generate = |prompt: &[u32], config: GenerationConfig| {
        let result = Generator::new(model.model(), &config).generate(&[prompt]);
        result.map(drop).map_err(|error| Error::from(error).chain())
    };
    let new = |n: usize| GenerationConfig::default().with_max_new_tokens(n);
    check(vec![
        ("no tokens", forward(&[]), &["empty"]),
        (
            "an unknown token",
            forward(&[1, 199]),
            &["token id 199 is outside the vocabulary of 199"],
        ),
        (
            "too many tokens",
            forward(&[1; 97]),
            &["97 tokens at position 0 exceed the context of 96"],
        ),
        (
            "an unknown token in a prompt",
            generate(&[1, 4_000_000], new(4)),
            &["4000000", "199"],
        ),
        (
            "an empty prompt, without a token to begin with",
            generate(&[], new(4)),
            &["prompt"],
        ),
        (
            "a prompt as long as the context",
            generate(&[1; 96], new(4)),
            &["96"],
        ),
        (
            "a temperature of zero",
            generate(&[1], new(4).with_do_sample(true).with_temperature(0.0)),
            &["temperature"],
        ),
        ("no new tokens", generate(&[1], new(0)), &["max_new_tokens"]),
        (
            "a mode that is not implemented",
            generate(&[1], new(4).with_penalty_alpha(0.6).with_top_k(4)),
            &["penalty_alpha"],
        ),
    ]);
}

#[test]
fn logits_that_are_no_numbers() {
    let folder = spoiled(
        "llama",
        |_| (),
        |tensors| {
            let norm = tensors
                .iter_mut()
                .find(|(name, _)| name == "model.norm.weight")
                .unwrap();
            norm.1 = TensorView::from_f32(&[48], &[f32::NAN; 48]);
        },
    );
    let model = AutoModelForCausalLm::load(folder.path()).unwrap();
    for do_sample in [false, true] {
        let config = GenerationConfig::default()
            .with_max_new_tokens(3)
            .with_do_sample(do_sample);
        let error = Generator::new(model.model(), &config)
            .generate(&[[1_u32, 2]])
            .unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
    }
}

#[test]
fn a_failed_step_leaves_the_cache_as_it_was() {
    let model = AutoModelForCausalLm::load(golden("llama")).unwrap();
    let mut cache = model.new_cache(&CacheOptions::default());
    let sequence = cache.add();
    let step = |tokens: &[u32]| Step::new().with(sequence, tokens, LogitsFor::Last);
    model.forward(&step(&[5, 6, 7]), &mut cache).unwrap();
    let before = model.forward(&step(&[8]), &mut cache).unwrap();
    cache.truncate(sequence, 3).unwrap();
    model.forward(&step(&[8, 500]), &mut cache).unwrap_err();
    assert_eq!(cache.len(sequence), Some(3));
    let after = model.forward(&step(&[8]), &mut cache).unwrap();
    assert_eq!(before.row(0), after.row(0));
}
