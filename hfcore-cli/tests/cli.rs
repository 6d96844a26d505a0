//! The program as its users run it: arguments, output and exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hfcore::weights::{OpenOptions, SaveOptions, TensorView, Weights, save_pretrained};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program, with these arguments.
fn hfcore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hfcore"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    hfcore(arguments).output().unwrap()
}

/// What a run that must succeed prints.
#[track_caller]
fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(arguments)).unwrap()
}

/// What a run that must fail with `code` says, having printed nothing.
#[track_caller]
fn failure(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    stderr
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

/// A small random model with outputs of transformers beside it.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A copy of a model folder, to be changed.
fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Change the `config.json` of a folder.
fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

const PROMPT: &str = "Once upon a time";

// generate

#[test]
fn a_prompt_alone_is_continued_by_the_demo_model() {
    let alone = stdout(&["generate", PROMPT, "--max-new-tokens", "12"]);
    assert!(alone.starts_with(PROMPT), "{alone}");
    assert!(alone.trim_end().len() > PROMPT.len(), "{alone}");
    let demo = demo();
    let named = stdout(&["generate", text(&demo), PROMPT, "--max-new-tokens", "12"]);
    assert_eq!(alone, named);
}

#[test]
fn generate_json_has_all_fields() {
    let result = json_of(&["generate", PROMPT, "--json", "--max-new-tokens", "5"]);
    assert_eq!(
        keys(&result),
        [
            "prompt",
            "text",
            "tokens",
            "finish_reason",
            "usage",
            "repo",
            "commit"
        ]
    );
    assert_eq!(result["prompt"], PROMPT);
    assert_eq!(result["tokens"].as_array().unwrap().len(), 5);
    assert_eq!(result["finish_reason"], "length");
    let usage = &result["usage"];
    assert_eq!(
        keys(usage),
        ["prompt_tokens", "new_tokens", "prefill_ms", "decode_ms"]
    );
    assert_eq!(usage["new_tokens"], 5);
    assert!(usage["prompt_tokens"].as_u64().unwrap() > 0);
    assert!(usage["prefill_ms"].as_f64().unwrap() > 0.0);
    // The text streamed is the text of the JSON.
    let streamed = stdout(&["generate", PROMPT, "--max-new-tokens", "5"]);
    assert_eq!(
        streamed,
        format!("{PROMPT}{}\n", result["text"].as_str().unwrap())
    );
}

#[test]
fn max_new_tokens_is_a_limit() {
    for n in [1, 3] {
        let limit = n.to_string();
        let result = json_of(&["generate", PROMPT, "--json", "--max-new-tokens", &limit]);
        assert_eq!(result["tokens"].as_array().unwrap().len(), n);
    }
}

#[test]
fn temperature_zero_does_not_depend_on_the_seed() {
    let with_seed = |seed| {
        let greedy = ["--temperature", "0", "--max-new-tokens", "24"];
        stdout(&[&["generate", PROMPT, "--seed", seed][..], &greedy].concat())
    };
    assert_eq!(with_seed("1"), with_seed("2"));
}

#[test]
fn a_seed_says_which_text() {
    let with_seed = |seed| {
        let sampled = ["--temperature", "1.5", "--max-new-tokens", "24"];
        stdout(&[&["generate", PROMPT, "--seed", seed][..], &sampled].concat())
    };
    assert_eq!(with_seed("1"), with_seed("1"));
    assert_ne!(with_seed("1"), with_seed("2"));
}

#[test]
fn chat_goes_through_the_template() {
    let wish = "Tell me a story about a fox.";
    let chat = ["generate", wish, "--chat", "--max-new-tokens", "8"];
    let result = json_of(&[&chat[..], &["--json"]].concat());
    assert_eq!(
        result["prompt"],
        format!("<|user|>{wish}<|end|><|assistant|>")
    );
    // The answer alone, without the markup of the prompt.
    let answer = stdout(&chat);
    assert_eq!(answer, format!("{}\n", result["text"].as_str().unwrap()));
}

#[test]
fn verbose_times_are_on_standard_error() {
    let arguments = ["generate", PROMPT, "--max-new-tokens", "3"];
    let output = run(&[&arguments[..], &["--verbose"]].concat());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        stdout(&arguments)
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("new: 3 tokens in"), "{stderr}");
}

#[test]
fn generate_says_what_is_wrong() {
    let error = failure(&["generate", "no/such/folder", PROMPT], 1);
    assert!(
        error.starts_with("error: no/such/folder is not a folder"),
        "{error}"
    );
    let demo = demo();
    let error = failure(&["generate", text(&demo)], 1);
    assert!(error.contains("a PROMPT is needed"), "{error}");
    let error = failure(&["generate"], 2);
    assert!(error.contains("Usage:"), "{error}");
    let error = failure(&["generate", PROMPT, "--temperature=-1"], 1);
    assert!(error.contains("temperature"), "{error}");
    let error = failure(&["generate", PROMPT, "--threads", "0"], 2);
    assert!(error.contains("--threads"), "{error}");
}

// inspect

/// The keys that README.md documents, in their order.
const INSPECT_KEYS: [&str; 29] = [
    "folder",
    "repo",
    "commit",
    "model_type",
    "architectures",
    "dtype",
    "transformers_version",
    "heads",
    "loads_as",
    "refused",
    "not_checked",
    "rope",
    "unread_keys",
    "parameters",
    "parameters_by_dtype",
    "weight_bytes",
    "unused_tensors",
    "files",
    "weights_error",
    "context",
    "cache_tokens",
    "cache_bytes",
    "memory_bytes",
    "download",
    "machine",
    "fits",
    "device",
    "tokenizer",
    "tokenizer_error",
];

#[test]
fn inspect_prints_what_matters() {
    let demo = demo();
    let report = stdout(&["inspect", text(&demo)]);
    for part in [
        text(&demo),
        "llama (LlamaForCausalLM), bfloat16, written by transformers",
        "loads as    CausalLm",
        "context     512 tokens",
        "plain, theta 10000",
        "of weights + ",
        "of cache at 512 tokens",
        "device      cpu (",
        "tokenizer   ",
        "chat        templates: default",
        "model.safetensors (",
    ] {
        assert!(report.contains(part), "no {part:?} in\n{report}");
    }
    assert!(!report.contains("refused"), "{report}");
    assert!(!report.contains("model.embed_tokens.weight"), "{report}");
}

#[test]
fn inspect_json_is_stable() {
    let demo = demo();
    let report = json_of(&["inspect", text(&demo), "--json"]);
    assert_eq!(keys(&report), INSPECT_KEYS);
    assert_eq!(report["model_type"], "llama");
    assert_eq!(report["heads"], json!(["CausalLm"]));
    assert_eq!(report["loads_as"], json!(["CausalLm"]));
    assert_eq!(report["refused"], Value::Null);
    assert_eq!(
        report["rope"],
        json!([{
            "layer_type": null,
            "rope_type": "default",
            "rope_theta": 10000.0,
            "factor": null,
            "partial_rotary_factor": null,
        }])
    );
    assert_eq!(keys(&report["parameters_by_dtype"]), ["BF16"]);
    assert_eq!(report["context"], 512);
    assert_eq!(report["cache_tokens"], 512);
    // Keys and values of 4 layers, 2 heads of width 64, in bf16, as the weights are.
    assert_eq!(report["cache_bytes"], 512 * 4 * 2 * 2 * 64 * 2);
    assert_eq!(
        report["memory_bytes"].as_u64().unwrap(),
        report["weight_bytes"].as_u64().unwrap() + report["cache_bytes"].as_u64().unwrap()
    );
    assert_eq!(
        keys(&report["tokenizer"]),
        ["vocab_size", "special_tokens", "chat_templates"]
    );
    let config: Value =
        serde_json::from_slice(&fs::read(demo.join("config.json")).unwrap()).unwrap();
    assert_eq!(report["tokenizer"]["vocab_size"], config["vocab_size"]);
    assert_eq!(report["tokenizer"]["chat_templates"], json!(["default"]));
    assert_eq!(keys(&report["files"][0]), ["file", "bytes", "tensors"]);

    let halved = json_of(&["inspect", text(&demo), "--json", "--context", "256"]);
    assert_eq!(halved["cache_tokens"], 256);
    assert_eq!(
        halved["cache_bytes"].as_u64().unwrap() * 2,
        report["cache_bytes"].as_u64().unwrap()
    );
}

#[test]
fn inspect_lists_tensors() {
    let llama = golden("llama");
    let report = stdout(&["inspect", text(&llama), "--tensors"]);
    let line = report
        .lines()
        .find(|line| line.ends_with(" model.embed_tokens.weight"))
        .expect("a line of the embedding");
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["F32", "[199,", "48]", "model.embed_tokens.weight"]
    );
    let report = json_of(&["inspect", text(&llama), "--tensors", "--json"]);
    let mut all = INSPECT_KEYS.to_vec();
    all.push("tensors");
    assert_eq!(keys(&report), all);
    let tensors = report["tensors"].as_array().unwrap();
    assert!(tensors.contains(&json!({
        "name": "model.embed_tokens.weight",
        "dtype": "F32",
        "shape": [199, 48],
    })));
    assert_eq!(report["files"][0]["tensors"], tensors.len());
}

#[test]
fn inspect_notes_keys_without_influence() {
    let folder = copy_of(&demo());
    edit_config(folder.path(), |config| config["mood"] = json!("merry"));
    let report = stdout(&["inspect", text(folder.path())]);
    assert!(
        report.contains(r#"mood = "merry" is no key of llama"#),
        "{report}"
    );
    let report = json_of(&["inspect", text(folder.path()), "--json"]);
    assert_eq!(report["unread_keys"], json!({ "mood": "merry" }));
}

#[test]
fn inspect_of_an_unknown_family_says_all_else() {
    let folder = copy_of(&demo());
    edit_config(folder.path(), |config| {
        config["model_type"] = json!("mystery");
    });
    let report = stdout(&["inspect", text(folder.path())]);
    for part in [
        "refused     model_type \"mystery\" is not registered",
        "plain, theta 10000",
        "of weights",
        "tokenizer   ",
        "model.safetensors (",
    ] {
        assert!(report.contains(part), "no {part:?} in\n{report}");
    }
    let report = json_of(&["inspect", text(folder.path()), "--json"]);
    assert_eq!(keys(&report), INSPECT_KEYS);
    assert_eq!(report["loads_as"], json!([]));
    assert_eq!(report["memory_bytes"], Value::Null);
    assert!(report["weight_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn inspect_of_a_damaged_folder_says_what_is_left() {
    // A width that the tensors do not have.
    let folder = copy_of(&demo());
    edit_config(folder.path(), |config| {
        config["intermediate_size"] = json!(640);
    });
    let report = json_of(&["inspect", text(folder.path()), "--json"]);
    let refused = report["refused"].as_str().unwrap();
    assert!(refused.contains("mlp.gate_proj.weight"), "{refused}");
    assert!(report["tokenizer"]["vocab_size"].is_u64(), "{report}");

    // No weights, and a tokenizer that is none.
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let report = json_of(&["inspect", text(folder.path()), "--json"]);
    assert!(report["weights_error"].is_string(), "{report}");
    assert!(report["tokenizer_error"].is_string(), "{report}");
    assert_eq!(report["model_type"], "llama");

    // A configuration that is no JSON.
    fs::write(folder.path().join("config.json"), "{").unwrap();
    let report = stdout(&["inspect", text(folder.path())]);
    assert!(report.contains("refused     "), "{report}");
}

#[test]
fn inspect_fails_where_there_is_no_model_folder() {
    let error = failure(&["inspect", "no/such/folder"], 1);
    assert!(error.contains("no/such/folder is not a folder"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = failure(&["inspect", text(empty.path())], 1);
    assert!(error.contains("has no config.json"), "{error}");
}

#[test]
fn inspect_knows_models_of_all_kinds() {
    for (folder, heads) in [
        ("bert-masked-lm", json!(["TextEncoder", "MaskedLm"])),
        ("t5", json!(["TextEncoder", "Seq2Seq"])),
        ("whisper", json!(["Seq2Seq"])),
        (
            "vit-image-classification",
            json!(["ImageEncoder", "ImageClassifier"]),
        ),
        ("gpt2", json!(["CausalLm"])),
    ] {
        let report = json_of(&["inspect", text(&golden(folder)), "--json"]);
        assert_eq!(report["loads_as"], heads, "{folder}");
        assert_eq!(report["refused"], Value::Null, "{folder}");
    }
}

// verify

#[test]
fn verify_holds_with_0() {
    for folder in ["llama-bf16-tied", "bert-sequence-classification-bf16"] {
        let report = stdout(&["verify", text(&golden(folder))]);
        assert!(report.contains("  ok   "), "{report}");
        assert!(!report.contains("FAIL"), "{report}");
    }
    let report = json_of(&["verify", text(&golden("llama-bf16-tied")), "--json"]);
    assert_eq!(
        keys(&report),
        [
            "architecture",
            "transformers",
            "device",
            "precision",
            "dtype",
            "holds",
            "cases",
            "repo",
            "commit"
        ]
    );
    assert_eq!(report["holds"], true);
    assert!(!report["cases"].as_array().unwrap().is_empty());
}

#[test]
fn verify_of_quantized_weights_reports_what_that_costs() {
    let report = stdout(&["verify", text(&golden("llama-bf16")), "--dtype", "int8"]);
    assert!(report.contains("mean relative"), "{report}");
    assert!(report.contains("of products"), "{report}");
    assert!(!report.contains("FAIL"), "{report}");
    let llama = golden("llama-bf16");
    let int4 = [
        "--dtype",
        "int4",
        "--group-size",
        "64",
        "--precision",
        "fast",
    ];
    let report = json_of(&[&["verify", text(&llama), "--json"], &int4[..]].concat());
    assert_eq!(report["dtype"], "int4-64");
    assert_eq!(report["precision"], "fast");
    assert_eq!(report["holds"], true);
    let case = &report["cases"][0];
    let error = case["mean_relative_error"].as_f64().unwrap();
    assert!(error > 0.05 && error < 0.5, "{report}");
    assert!(case["max_abs_error_allowed"].is_null());

    for (size, dtype, expected) in [
        ("32", "int8", "--group-size is about --dtype int4"),
        ("48", "int4", "32, 64 or 128 is expected"),
    ] {
        let arguments = ["verify", text(&llama), "--dtype", dtype];
        let error = failure(&[&arguments[..], &["--group-size", size]].concat(), 2);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn quantized_weights_are_kept_where_the_environment_says() {
    let cache = tempfile::tempdir().unwrap();
    let generate = |folder: &str| {
        let arguments = [
            "generate",
            PROMPT,
            "--dtype",
            "int8",
            "--max-new-tokens",
            "8",
        ];
        let mut command = hfcore(&arguments);
        let output = command.env("HFCORE_PACKED_CACHE", folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let kept = |said: &str| said.contains("quantized to int8; kept for the next time");
    let folder = cache.path().join("packed");
    let (text_off, said) = generate("off");
    assert!(!kept(&said), "{said}");
    assert!(!folder.exists());
    let (first, said) = generate(text(&folder));
    assert!(kept(&said) && said.contains(text(&folder)), "{said}");
    let (second, said) = generate(text(&folder));
    assert!(!said.contains("kept"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!([&first, &second], [&text_off, &text_off]);
}

#[test]
fn verify_of_another_model_is_1() {
    let spoiled = copy_of(&golden("llama"));
    let weights = Weights::open(spoiled.path(), &OpenOptions::default()).unwrap();
    let tensors: Vec<_> = weights
        .names()
        .map(|name| {
            let tensor = weights.get(name).unwrap();
            let tensor = if name == "model.norm.weight" {
                let shape = tensor.shape.clone();
                let doubled: Vec<_> = tensor.to_f32().unwrap().iter().map(|x| x * 2.0).collect();
                TensorView::from_f32(&shape, &doubled)
            } else {
                tensor
            };
            (name.to_owned(), tensor)
        })
        .collect();
    let target = tempfile::tempdir().unwrap();
    save_pretrained(target.path(), tensors, &SaveOptions::default()).unwrap();
    for file in ["config.json", "reference.json", "reference.safetensors"] {
        fs::copy(spoiled.path().join(file), target.path().join(file)).unwrap();
    }

    let output = run(&["verify", text(target.path())]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("  FAIL "), "{report}");
    let output = run(&["verify", text(target.path()), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["holds"], false);
}

#[test]
fn verify_of_what_cannot_be_loaded_is_2() {
    let error = failure(&["verify", "no/such/folder"], 2);
    assert!(error.contains("no/such/folder is not a folder"), "{error}");
    // A model without reference data.
    let demo = demo();
    let error = failure(&["verify", text(&demo)], 2);
    assert!(error.contains("reference.json"), "{error}");
    let output = run(&["verify", text(&demo), "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(keys(&report), ["holds", "error"]);
    assert_eq!(report["holds"], false);
}

// bench

#[test]
fn bench_json_has_all_fields() {
    let folder = golden("llama");
    let result = json_of(&[
        "bench",
        text(&folder),
        "--json",
        "-p",
        "8",
        "-n",
        "2",
        "-r",
        "2",
    ]);
    assert_eq!(
        keys(&result),
        [
            "model",
            "model_type",
            "device",
            "dtype",
            "load_ms",
            "peak_rss_bytes",
            "weight_bytes",
            "ceilings",
            "pp",
            "tg",
            "repo",
            "commit",
        ]
    );
    let is_positive = |x: &Value| x.as_f64().unwrap() > 0.0;
    for samples in [
        &result["load_ms"],
        &result["pp"]["per_s"],
        &result["tg"]["per_s"],
    ] {
        let list = samples.as_array().unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.iter().all(is_positive), "{list:?}");
    }
    for ceiling in [
        "read_bytes_per_s",
        "f32_operations_per_s",
        "int8_operations_per_s",
    ] {
        assert!(is_positive(&result["ceilings"][ceiling]), "{ceiling}");
    }
    for row in ["pp", "tg"] {
        for figure in [
            "bytes",
            "operations",
            "best_bytes_per_s",
            "best_operations_per_s",
            "share_of_read",
            "share_of_multiply",
        ] {
            assert!(is_positive(&result[row][figure]), "{row} {figure}");
        }
    }
    // A prompt of 8 tokens reads each matrix once, but for the embedding, which is no product.
    let matrices = result["pp"]["bytes"].as_u64().unwrap();
    assert!(matrices < 2 * result["weight_bytes"].as_u64().unwrap());
    assert!(result["tg"]["bytes"].as_u64().unwrap() > matrices);
    assert!(result["weight_bytes"].as_u64().unwrap() > 0);
    if cfg!(target_os = "linux") {
        assert!(result["peak_rss_bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn bench_measures_what_it_is_asked_to() {
    let folder = golden("llama");
    let result = json_of(&[
        "bench",
        text(&folder),
        "--json",
        "-p",
        "0",
        "-n",
        "2",
        "-r",
        "1",
    ]);
    assert_eq!(result["pp"]["per_s"], json!([]));
    assert_eq!(result["tg"]["per_s"].as_array().unwrap().len(), 1);
    let text_form = stdout(&["bench", text(&folder), "-p", "8", "-n", "2", "-r", "1"]);
    for part in ["weights", "load", "pp8", "tg2", "GFLOP/s", "probes"] {
        assert!(text_form.contains(part), "no {part} in\n{text_form}");
    }
    // With tokens in the cache before, there is more to read.
    let deep = json_of(&[
        "bench",
        text(&folder),
        "--json",
        "-p",
        "0",
        "-n",
        "2",
        "-d",
        "64",
        "-r",
        "1",
    ]);
    let read = |result: &Value| result["tg"]["bytes"].as_u64().unwrap();
    assert!(read(&deep) > read(&result), "{deep} {result}");
    // More tokens than the context holds.
    let error = failure(
        &["bench", text(&folder), "-p", "97", "-n", "0", "-r", "1"],
        1,
    );
    assert!(error.contains("exceed the context of 96"), "{error}");
}

#[test]
fn bench_measures_encoders() {
    let folder = golden("bert-base");
    let result = json_of(&[
        "bench",
        text(&folder),
        "--json",
        "-p",
        "8",
        "-b",
        "3",
        "-r",
        "1",
    ]);
    assert_eq!(result["encode"]["unit"], "sequences");
    assert_eq!(result["encode"]["per_run"], 3);
    assert_eq!(result["encode"]["per_s"].as_array().unwrap().len(), 1);
    let text_form = stdout(&["bench", text(&golden("vit-base")), "-b", "2", "-r", "1"]);
    assert!(text_form.contains("2 images"), "{text_form}");
    let error = failure(&["bench", text(&golden("whisper"))], 1);
    assert!(
        error.contains("whisper is none of them (it has Seq2Seq)"),
        "{error}"
    );
}

// all of them

#[test]
fn help_names_the_flags() {
    let runs_a_model = [
        "--json",
        "--threads",
        "--dtype",
        "--group-size",
        "--precision",
        "--device",
    ];
    for (command, flags) in [
        (
            "generate",
            &[
                "--max-new-tokens",
                "--temperature",
                "--top-k",
                "--top-p",
                "--seed",
                "--chat",
                "--verbose",
            ][..],
        ),
        ("verify", &[]),
        (
            "bench",
            &[
                "--n-prompt",
                "--n-gen",
                "--depth",
                "--batch",
                "--repetitions",
            ],
        ),
    ] {
        let help = stdout(&[command, "--help"]);
        for flag in flags.iter().chain(&runs_a_model) {
            assert!(help.contains(flag), "{command} --help has no {flag}");
        }
    }
    let names_a_model = [
        "--revision",
        "--subfolder",
        "--variant",
        "--locked",
        "--cache-dir",
        "--offline",
    ];
    for command in [
        "generate", "chat", "tokenize", "inspect", "verify", "bench", "download",
    ] {
        let help = stdout(&[command, "--help"]);
        for flag in names_a_model {
            assert!(help.contains(flag), "{command} --help has no {flag}");
        }
    }
    for (command, flags) in [
        (&["inspect"][..], &["--tensors", "--context", "--json"][..]),
        (
            &["download"],
            &[
                "--include",
                "--exclude",
                "--all",
                "--skip-weights",
                "--to",
                "--dry-run",
                "--force",
                "--workers",
                "--lock",
                "--json",
            ],
        ),
        (&["cache", "ls"], &["--revisions", "--json", "--cache-dir"]),
        (&["cache", "verify"], &["--repair", "--json"]),
        (&["cache", "prune"], &["--dry-run", "--yes", "--json"]),
        (&["cache", "rm"], &["--dry-run", "--yes", "--json"]),
        (
            &["search"],
            &[
                "--task",
                "--library",
                "--language",
                "--license",
                "--author",
                "--tag",
                "--sort",
                "--limit",
                "--json",
            ],
        ),
        (&["card"], &["--validate", "--lineage", "--json"]),
    ] {
        let help = stdout(&[command, &["--help"]].concat());
        for flag in flags {
            assert!(help.contains(flag), "{command:?} --help has no {flag}");
        }
    }
    let help = stdout(&["--help"]);
    for command in [
        "generate", "chat", "tokenize", "inspect", "verify", "bench", "download", "cache",
        "search", "card",
    ] {
        assert!(help.contains(command), "--help has no {command}");
    }
}

/// Run with a standard output that nobody reads any more.
fn with_closed_stdout(arguments: &[&str]) -> Output {
    let mut child = hfcore(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap()
}

#[test]
fn nobody_has_to_read_to_the_end() {
    let (demo, llama) = (demo(), golden("llama"));
    for arguments in [
        &["generate", PROMPT, "--max-new-tokens", "4"][..],
        &["generate", PROMPT, "--max-new-tokens", "4", "--json"],
        &["inspect", text(&demo), "--tensors"],
        &["inspect", text(&demo), "--json"],
        &["verify", text(&llama)],
        &["verify", text(&llama), "--json"],
        &["bench", text(&llama), "-p", "4", "-n", "1", "-r", "1"],
        &["--help"],
    ] {
        let output = with_closed_stdout(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn nobody_has_to_read_errors() {
    let mut child = hfcore(&["inspect", "no/such/folder"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
