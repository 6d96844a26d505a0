//! Models by their name on the Hub, in the commands that load them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod hub;

use hfcore::weights::SaveOptions;
use hub::{Site, golden, keys};
use serde_json::{Value, json};

const PROMPT: &str = "Once upon a time";
const SHORT: [&str; 2] = ["--max-new-tokens", "4"];

fn generate<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", model, PROMPT][..], &SHORT, more].concat()
}

#[test]
fn a_model_is_fetched_once_and_runs_without_a_network() {
    let site = Site::with_demo();
    let commit = site.commit("org/demo");
    let first = site.json(&generate("org/demo", &["--json"]));
    assert_eq!(
        keys(&first),
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
    assert_eq!(first["repo"], "org/demo");
    assert_eq!(first["commit"], commit);
    // As the demo that is part of the program does, which came from no repository.
    let demo = site.json(&[&["generate", PROMPT, "--json"][..], &SHORT].concat());
    assert_eq!(first["text"], demo["text"]);
    assert_eq!(
        (&demo["repo"], &demo["commit"]),
        (&Value::Null, &Value::Null)
    );
    // Neither pickles nor graphs nor the card came with it.
    for unused in ["pytorch_model.bin", "model.onnx", "README.md"] {
        assert_eq!(site.hub.served(unused), 0, "{unused}");
    }
    assert!(site.asked() > 0);

    for offline in [&["--offline"][..], &[]] {
        let arguments = generate("org/demo", &[&["--json"], offline].concat());
        let mut command = site.hfcore(&arguments);
        if offline.is_empty() {
            command.env("HF_HUB_OFFLINE", "1");
        }
        let output = command.output().unwrap();
        assert!(output.status.success());
        let again: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(again["text"], first["text"]);
        assert_eq!(again["commit"], commit);
        assert_eq!(site.asked(), 0);
    }
}

#[test]
fn a_model_that_is_not_here_cannot_be_had_offline() {
    let site = Site::with_demo();
    let error = site.failure(&generate("org/demo", &["--offline"]), 1);
    assert!(
        error.contains("org/demo at revision main has no"),
        "{error}"
    );
    assert!(error.contains("in the cache"), "{error}");
    assert_eq!(site.asked(), 0);
}

#[test]
fn a_revision_may_be_named_and_a_commit_stays() {
    let site = Site::with_demo();
    let old = site.commit("org/demo");
    let config: Value =
        serde_json::from_slice(&std::fs::read(hub::demo().join("config.json")).unwrap()).unwrap();
    let mut other = config;
    other["mood"] = json!("merry");
    site.hub.edit(
        "org/demo",
        "main",
        &[("config.json", Some(other.to_string().as_bytes()))],
    );
    let new = site.commit("org/demo");
    assert_ne!(old, new);
    let at = |name: &str, more: &[&str]| {
        let result = site.json(&[&["tokenize", name, "Hello", "--json"], more].concat());
        result["commit"].as_str().unwrap().to_owned()
    };
    assert_eq!(at("org/demo", &[]), new);
    assert_eq!(at(&format!("org/demo@{old}"), &[]), old);
    assert_eq!(at("org/demo", &["--revision", &old]), old);
    // A commit that is here is asked of nobody.
    site.asked();
    assert_eq!(at("org/demo", &["--revision", &old, "--offline"]), old);
    assert_eq!(site.asked(), 0);

    let error = site.failure(&["tokenize", "org/demo@v9", "Hello"], 1);
    assert!(error.contains("org/demo has no revision v9"), "{error}");
    let error = site.failure(
        &["tokenize", "org/demo@main", "Hello", "--revision", "v1"],
        1,
    );
    assert!(error.contains("has another one"), "{error}");
}

#[test]
fn verbose_says_the_commit() {
    let site = Site::with_demo();
    let (_, said) = site.both(&generate("org/demo", &["--verbose"]));
    let commit = site.commit("org/demo");
    assert!(
        said.contains(&format!("model: org/demo@{commit}")),
        "{said}"
    );
}

#[test]
fn a_lone_text_is_a_text_whatever_it_reads_like() {
    let site = Site::with_demo();
    let (text, said) = site.both(&[&["generate", "org/demo"][..], &SHORT].concat());
    assert!(text.starts_with("org/demo"), "{text}");
    assert!(said.contains("the demo model is used"), "{said}");
    assert_eq!(site.asked(), 0);
    let error = site.failure(&["generate", PROMPT, "--revision", "v1"], 1);
    assert!(error.contains("--revision is about a model"), "{error}");
}

#[test]
fn errors_say_what_to_do() {
    let site = Site::with_demo();
    site.hub
        .model("org/gated")
        .folder(&golden("llama"))
        .unwrap()
        .gated(&[])
        .create();
    let error = site.failure(&generate("org/dmeo", &[]), 1);
    assert!(error.contains("org/dmeo is not on"), "{error}");
    assert!(error.contains("hfcore login"), "{error}");
    let error = site.failure(&generate("org/gated", &[]), 1);
    assert!(error.contains("org/gated is gated: visit"), "{error}");
    let error = site.failure(&generate("a/b/c", &[]), 1);
    assert!(error.contains("a/b/c is not a folder"), "{error}");
    let error = site.failure(&generate("no model", &[]), 1);
    assert!(error.contains("cannot be a model of the Hub"), "{error}");
    site.hub
        .model("org/pickle")
        .file("config.json", r#"{"model_type": "llama"}"#)
        .file("pytorch_model.bin", "a pickle")
        .create();
    let error = site.failure(&generate("org/pickle", &[]), 1);
    assert!(error.contains("only safetensors are read"), "{error}");
    assert_eq!(site.hub.served("pytorch_model.bin"), 0);
}

/// The account is named, the token is not.
#[test]
fn no_token_is_printed() {
    let site = Site::new();
    site.hub
        .model("org/gated")
        .folder(&golden("llama"))
        .unwrap()
        .gated(&[])
        .create();
    let token = hfcore_hub_stand_in::StandIn::OTHER_TOKEN;
    let output = site
        .hfcore(&generate("org/gated", &["--verbose"]))
        .env("HF_TOKEN", token)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("as bob, whose token is in use"), "{said}");
    assert!(!said.contains("hf_"), "{said}");
    assert!(site.hub.leaks().is_empty());
}

#[test]
fn every_command_takes_a_name() {
    let site = Site::with_demo();
    let commit = site.commit("org/demo");
    let bench = [
        "bench", "org/demo", "--json", "-p", "4", "-n", "2", "-r", "1",
    ];
    let bench = site.json(&bench);
    assert_eq!(bench["model"], "org/demo");
    assert_eq!(
        (&bench["repo"], &bench["commit"]),
        (&json!("org/demo"), &json!(commit))
    );
    let output = site
        .hfcore(&[
            "chat",
            "org/demo",
            "--max-new-tokens",
            "4",
            "--system",
            "Be brief.",
        ])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());

    site.hub
        .model("org/llama")
        .folder(&golden("llama"))
        .unwrap()
        .create();
    let verified = site.json(&["verify", "org/llama", "--json"]);
    assert_eq!(verified["holds"], true);
    assert_eq!(verified["commit"], site.commit("org/llama"));
    let verified = site.json(&["verify", "org/llama", "--json", "--offline"]);
    assert_eq!(verified["holds"], true);
    let error = site.failure(&["verify", "org/demo"], 2);
    assert!(error.contains("org/demo has no reference.json"), "{error}");
}

#[test]
fn weights_in_several_files_are_one_model() {
    let site = Site::with_demo();
    let folder = hub::resaved(&SaveOptions::default().with_max_shard_size(2_000_000));
    site.hub
        .model("org/sharded")
        .folder(folder.path())
        .unwrap()
        .create();
    // Before anything large is here: only the index and the headers are read.
    let remote = site.json(&["inspect", "org/sharded", "--json"]);
    let local = site.json(&["inspect", hub::text(folder.path()), "--json"]);
    let shards = remote["files"].as_array().unwrap().len();
    assert!(shards > 2, "{remote}");
    for key in [
        "files",
        "parameters",
        "weight_bytes",
        "loads_as",
        "memory_bytes",
    ] {
        assert_eq!(remote[key], local[key], "{key}");
    }
    assert_eq!(remote["download"]["missing_files"], shards);
    let planned = site.json(&["download", "org/sharded", "--dry-run", "--json"]);
    assert_eq!(planned["missing_files"], shards);
    assert!(site.hub.served(".safetensors") < 1_000_000);

    let sharded = site.json(&generate("org/sharded", &["--json"]));
    let demo = site.json(&generate("org/demo", &["--json"]));
    assert_eq!(sharded["tokens"], demo["tokens"]);
    site.asked();
    site.json(&generate("org/sharded", &["--json", "--offline"]));
    assert_eq!(site.asked(), 0);
    // One of them is gone: it is missed, and nothing else is loaded in its place.
    let name = remote["files"][1]["file"].as_str().unwrap();
    let snapshots = site.cache().join("models--org--sharded/snapshots");
    std::fs::remove_file(snapshots.join(site.commit("org/sharded")).join(name)).unwrap();
    let error = site.failure(&generate("org/sharded", &["--offline"]), 1);
    assert!(
        error.contains(&format!("has no {name} in the cache")),
        "{error}"
    );
}

#[test]
fn a_model_may_be_in_a_subfolder_and_a_variant() {
    let site = Site::new();
    let folder = hub::resaved(&SaveOptions::default().with_variant("small"));
    let mut repository = site.hub.model("org/parts").file("README.md", "# Parts");
    for name in hub::files(folder.path()) {
        let bytes = std::fs::read(folder.path().join(&name)).unwrap();
        repository = repository.file(&format!("text/{name}"), bytes);
    }
    repository.create();
    let parts = ["--subfolder", "text", "--variant", "small"];
    let remote = [&["inspect", "org/parts", "--json"][..], &parts].concat();
    let remote = site.json(&remote);
    assert_eq!(remote["files"][0]["file"], "model.small.safetensors");
    assert_eq!(remote["loads_as"], json!(["CausalLm"]));
    let result = site.json(&generate("org/parts", &[&parts[..], &["--json"]].concat()));
    let demo = site.json(&[&["generate", PROMPT, "--json"][..], &SHORT].concat());
    assert_eq!(result["tokens"], demo["tokens"]);
    let printed = site.stdout(&[&["download", "org/parts"][..], &parts].concat());
    assert!(printed.trim_end().ends_with("/text"), "{printed}");
    let to = site.home().join("to");
    let to_folder = [
        &["download", "org/parts", "--to", hub::text(&to)][..],
        &parts,
    ]
    .concat();
    let printed = site.stdout(&to_folder);
    site.stdout(&["tokenize", printed.trim_end(), "Hello"]);
    // Without the variant there are no weights that are read.
    let error = site.failure(&generate("org/parts", &["--subfolder", "text"]), 1);
    assert!(error.contains("has no text/model.safetensors"), "{error}");
    assert!(error.contains("model.small.safetensors"), "{error}");
}

#[test]
fn a_hub_that_cannot_be_reached_does_not_keep_a_model_from_running() {
    let site = Site::with_demo();
    let first = site.json(&generate("org/demo", &["--json"]));
    let unreachable = |arguments: &[&str]| {
        let mut command = site.hfcore(arguments);
        // Nobody listens there.
        command.env("HF_ENDPOINT", "http://127.0.0.1:1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let again = unreachable(&generate("org/demo", &["--json"]));
    assert_eq!(again["tokens"], first["tokens"]);
    let report = unreachable(&["inspect", "org/demo", "--json"]);
    assert_eq!(report["loads_as"], json!(["CausalLm"]));
    let downloaded = unreachable(&["download", "org/demo", "--json"]);
    assert_eq!(downloaded["downloaded_files"], 0);
    assert_eq!(downloaded["commit"], first["commit"]);
    // Nor where the cache does not say what there is, as older programs have left it.
    std::fs::remove_dir_all(site.cache().join("models--org--demo/trees")).unwrap();
    let again = unreachable(&generate("org/demo", &["--json"]));
    assert_eq!(again["tokens"], first["tokens"]);
    let report = unreachable(&["inspect", "org/demo", "--json"]);
    assert_eq!(report["loads_as"], json!(["CausalLm"]));
    assert_eq!(report["download"], Value::Null);
}
