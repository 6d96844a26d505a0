//! `download`: which files, where to, pinned or not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod hub;

use std::fs;

use hfcore_hub_stand_in::{Fault, Host};
use hub::{Site, files, golden, keys, text};
use serde_json::{Value, json};

/// What loading the demo model needs.
const NEEDED: [&str; 6] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

fn paths(result: &Value) -> Vec<&str> {
    let files = result["files"].as_array().unwrap().iter();
    files.map(|file| file["path"].as_str().unwrap()).collect()
}

#[test]
fn by_default_it_is_what_loading_needs() {
    let site = Site::with_demo();
    let planned = site.json(&["download", "org/demo", "--dry-run", "--json"]);
    assert_eq!(
        keys(&planned),
        [
            "dry_run",
            "repo",
            "revision",
            "commit",
            "files",
            "bytes",
            "missing_files",
            "missing_bytes"
        ]
    );
    assert_eq!(paths(&planned), NEEDED);
    assert_eq!(planned["missing_files"], NEEDED.len());
    assert_eq!(planned["bytes"], planned["missing_bytes"]);
    assert_eq!(site.hub.served("org/demo"), 0, "nothing is downloaded");

    let (folder, said) = site.both(&["download", "org/demo"]);
    assert_eq!(folder.trim_end(), text(&site.snapshot()));
    assert!(said.contains(&site.commit("org/demo")), "{said}");
    assert!(said.contains("6 files"), "{said}");
    assert_eq!(files(&site.snapshot()), NEEDED);

    let again = site.json(&["download", "org/demo", "--json"]);
    assert_eq!(
        keys(&again),
        [
            "repo",
            "revision",
            "commit",
            "folder",
            "files",
            "bytes",
            "downloaded_files",
            "downloaded_bytes",
            "lock_file"
        ]
    );
    assert_eq!(paths(&again), NEEDED);
    assert_eq!(again["downloaded_files"], 0);
    assert_eq!(again["bytes"], planned["bytes"]);
    // And the branch is known without a network.
    site.asked();
    let offline = site.json(&["download", "org/demo", "--offline", "--json"]);
    assert_eq!(offline["commit"], site.commit("org/demo"));
    assert_eq!(site.asked(), 0);
    let (_, said) = site.both(&["download", "org/demo", "--dry-run"]);
    assert!(said.contains("of which 0 (0 B) would be fetched"), "{said}");

    // Asked for again, it is fetched again.
    site.hub.clear_requests();
    let forced = site.json(&["download", "org/demo", "config.json", "--force", "--json"]);
    assert_eq!(forced["downloaded_files"], 1);
    assert!(site.hub.served("config.json") > 0);
}

#[test]
fn files_may_be_chosen() {
    let site = Site::with_demo();
    let chosen = |arguments: &[&str]| {
        let arguments = [&["download", "org/demo", "--dry-run", "--json"], arguments].concat();
        let result = site.json(&arguments);
        paths(&result).join(" ")
    };
    assert_eq!(
        chosen(&["README.md", "onnx/model.onnx"]),
        "README.md onnx/model.onnx"
    );
    assert_eq!(
        chosen(&["--include", "*.json", "--exclude", "token*"]),
        "config.json generation_config.json"
    );
    assert_eq!(
        chosen(&["--exclude", "*.json", "--exclude", "*model*"]),
        "README.md chat_template.jinja"
    );
    assert!(chosen(&["--all"]).contains("pytorch_model.bin"));
    assert!(!chosen(&["--skip-weights"]).contains("model.safetensors"));

    let error = site.failure(&["download", "org/demo", "confg.json"], 1);
    assert!(error.contains("org/demo has no confg.json"), "{error}");
    assert!(error.contains("did you mean config.json?"), "{error}");
    let error = site.failure(&["download", "org/demo", "--include", "*.gguf"], 1);
    assert!(error.contains("no file of org/demo is meant"), "{error}");
    site.failure(&["download", "org/demo", "config.json", "--all"], 2);
    site.failure(&["download", "org/demo", "../config.json"], 1);
}

#[test]
fn a_folder_loads_as_it_is() {
    let site = Site::with_demo();
    let folder = site.home().join("air-gapped");
    let printed = site.stdout(&["download", "org/demo", "--to", text(&folder)]);
    assert_eq!(printed.trim_end(), text(&folder));
    assert_eq!(files(&folder), NEEDED);
    for file in NEEDED {
        assert!(
            folder.join(file).symlink_metadata().unwrap().is_file(),
            "{file} is a plain file"
        );
    }
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        fs::read(hub::demo().join("model.safetensors")).unwrap()
    );
    site.asked();
    let story = [
        "generate",
        text(&folder),
        "Once",
        "--max-new-tokens",
        "3",
        "--json",
    ];
    assert_eq!(site.json(&story)["commit"], Value::Null);
    assert_eq!(site.asked(), 0, "a folder is nobody else's business");
    let again = site.json(&["download", "org/demo", "--to", text(&folder), "--json"]);
    assert_eq!(again["downloaded_files"], 0);
}

#[test]
fn what_was_pinned_is_had_or_nothing() {
    let site = Site::with_demo();
    let old = site.commit("org/demo");
    let (_, said) = site.both(&["download", "org/demo", "--lock"]);
    assert!(
        said.contains(&format!("hfcore.lock: org/demo@main is {old} (6 files)")),
        "{said}"
    );
    let lock: Value =
        serde_json::from_slice(&fs::read(site.home().join("hfcore.lock")).unwrap()).unwrap();
    assert_eq!(lock["repositories"][0]["commit"], old);
    let pinned = lock["repositories"][0]["files"].as_array().unwrap();
    let weights = pinned
        .iter()
        .find(|file| file["path"] == "model.safetensors")
        .unwrap();
    assert_eq!(weights["sha256"].as_str().unwrap().len(), 64);

    // main moves: those who are held to the lock file stay.
    let config = fs::read_to_string(hub::demo().join("config.json")).unwrap() + " ";
    site.hub.edit(
        "org/demo",
        "main",
        &[("config.json", Some(config.as_bytes()))],
    );
    let new = site.commit("org/demo");
    let story = [
        "generate",
        "org/demo",
        "Once",
        "--max-new-tokens",
        "3",
        "--json",
    ];
    let locked = site.json(&[&story[..], &["--locked"]].concat());
    assert_eq!(locked["commit"], old);
    let elsewhere = format!("--locked={}", text(&site.home().join("hfcore.lock")));
    assert_eq!(
        site.json(&[&story[..], &[&*elsewhere]].concat())["commit"],
        old
    );
    assert_eq!(site.json(&story)["commit"], new);
    // On another machine too.
    let other = site.home().join("other");
    let other = [
        "download",
        "org/demo",
        "--locked",
        "--json",
        "--cache-dir",
        text(&other),
    ];
    assert_eq!(site.json(&other)["commit"], old);
    let to = site.home().join("to");
    let to = [
        "download",
        "org/demo",
        "--locked",
        "--json",
        "--to",
        text(&to),
    ];
    assert_eq!(site.json(&to)["commit"], old);

    // What is not pinned is not had.
    let error = site.failure(&["download", "org/demo", "README.md", "--locked"], 1);
    assert!(error.contains("README.md is not in it"), "{error}");
    let error = site.failure(&["generate", "org/demo@v1", "Once", "--locked"], 1);
    assert!(
        error.contains("it has revision main, and not v1"),
        "{error}"
    );
    let error = site.failure(&["generate", "org/demo", "Once", "--locked=none.lock"], 1);
    assert!(error.contains("none.lock"), "{error}");

    // Bytes that changed are refused, not run.
    let snapshots = site.cache().join("models--org--demo/snapshots");
    let blob = fs::canonicalize(snapshots.join(&old).join("config.json")).unwrap();
    fs::write(&blob, fs::read_to_string(&blob).unwrap() + "\n").unwrap();
    let error = site.failure(&[&story[..], &["--locked", "--offline"]].concat(), 1);
    assert!(error.contains("pins org/demo to other bytes"), "{error}");
    assert!(error.contains("config.json is to be"), "{error}");

    // The lock file follows if it is told to.
    let (_, said) = site.both(&["download", "org/demo", "--lock"]);
    assert!(
        said.contains(&format!("was {old} and is {new} now")),
        "{said}"
    );
    let lock: Value =
        serde_json::from_slice(&fs::read(site.home().join("hfcore.lock")).unwrap()).unwrap();
    assert_eq!(lock["repositories"][0]["commit"], new);
}

#[test]
fn what_goes_wrong_is_said_and_does_no_harm() {
    let site = Site::with_demo();
    // Cut off once: it goes on, and that is said.
    let cut = Fault::on("model.safetensors").at(Host::Cdn).once();
    site.hub.fault(cut.cut_after(1_000_000));
    let (_, said) = site.both(&["download", "org/demo"]);
    assert!(said.contains("failed ("), "{said}");
    assert!(said.contains("trying again in"), "{said}");
    assert!(
        !said.contains('\r') && !said.contains('\u{1b}'),
        "no bars in a pipe: {said:?}"
    );
    // Signed addresses are secrets.
    assert!(!said.contains("Signature") && !said.contains('?'), "{said}");
    assert_eq!(
        fs::read(site.snapshot().join("model.safetensors")).unwrap(),
        fs::read(hub::demo().join("model.safetensors")).unwrap()
    );

    let other = site.home().join("damaged");
    site.hub.clear_faults();
    site.hub.fault(Fault::on("config.json").corrupt(3));
    let error = site.failure(&["download", "org/demo", "--cache-dir", text(&other)], 1);
    assert!(
        error.contains("config.json of org/demo is damaged"),
        "{error}"
    );
    let shown = json!(files(&other));
    assert!(
        !shown.to_string().contains("snapshots/config.json"),
        "{shown}"
    );
}

#[test]
fn missing_and_closed_models_are_told_apart() {
    let site = Site::with_demo();
    site.hub
        .model("org/gated")
        .folder(&golden("llama"))
        .unwrap()
        .gated(&[])
        .create();
    site.hub
        .model("org/private")
        .file("config.json", "{}")
        .private()
        .create();
    let error = site.failure(&["download", "org/gated"], 1);
    assert!(error.contains("org/gated is gated: visit"), "{error}");
    let error = site.failure(&["download", "org/private"], 1);
    assert!(
        error.contains("is not on") && error.contains("or is private"),
        "{error}"
    );
    let error = site.failure(&["download", "org/demo@v2"], 1);
    assert!(error.contains("has no revision v2"), "{error}");
    let error = site.failure(&["download", "../demo"], 1);
    assert!(error.contains("is not a repository of the Hub"), "{error}");
}
