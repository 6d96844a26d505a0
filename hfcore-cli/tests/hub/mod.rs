//! The program beside a Hub of its own, with a home of its own.

#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hfcore::weights::{OpenOptions, SaveOptions, Weights, save_pretrained};
use hfcore_hub_stand_in::StandIn;
use serde_json::Value;
use tempfile::TempDir;

/// A Hub, and the home of a user of it.
pub(crate) struct Site {
    pub(crate) hub: StandIn,
    home: TempDir,
}

/// A card of the demo model.
pub(crate) const CARD: &str = "---
license: mit
language: [en]
pipeline_tag: text-generation
library_name: transformers
base_model: org/base
base_model_relation: finetune
tags: [stories]
model-index:
- name: demo
  results:
  - task: {type: text-generation, name: Stories}
    dataset: {type: tiny, name: Tiny Stories, split: test}
    metrics:
    - {type: perplexity, value: 7.25, name: Perplexity}
---
# Demo

It tells stories.
";

impl Site {
    /// An empty Hub.
    pub(crate) fn new() -> Self {
        Self {
            hub: StandIn::start(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// A Hub with the demo model, and with files beside it that loading has no use for.
    pub(crate) fn with_demo() -> Self {
        let site = Self::new();
        site.hub
            .model("org/demo")
            .folder(&demo())
            .unwrap()
            .file("README.md", CARD)
            .file("pytorch_model.bin", "a pickle")
            .file("onnx/model.onnx", "a graph")
            .create();
        site
    }

    pub(crate) fn commit(&self, id: &str) -> String {
        self.hub.world(|world| world.commit_of(id, "main")).unwrap()
    }

    /// The home of the user.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The cache.
    pub(crate) fn cache(&self) -> PathBuf {
        self.home().join("hf/hub")
    }

    /// The blob of a file of the demo model, which is there.
    pub(crate) fn blob(&self, file: &str) -> PathBuf {
        let snapshot = self.snapshot();
        fs::canonicalize(snapshot.join(file)).unwrap()
    }

    /// The folder of the demo model in the cache.
    pub(crate) fn snapshot(&self) -> PathBuf {
        let snapshots = self.cache().join("models--org--demo/snapshots");
        snapshots.join(self.commit("org/demo"))
    }

    /// The program, with these arguments, in the home.
    pub(crate) fn hfcore(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hfcore"));
        // Nothing of who runs the tests: neither a token nor a cache.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let is_foreign = ["HF_", "HUGGING", "TRANSFORMERS_", "XDG_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if is_foreign || name.to_ascii_uppercase().ends_with("_PROXY") {
                command.env_remove(&*name);
            }
        }
        command
            .args(arguments)
            .env("HF_ENDPOINT", self.hub.endpoint())
            .env("HF_HOME", self.home().join("hf"))
            .env("HOME", self.home())
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.hfcore(arguments).output().unwrap()
    }

    /// What a run that must succeed prints.
    #[track_caller]
    pub(crate) fn stdout(&self, arguments: &[&str]) -> String {
        self.both(arguments).0
    }

    /// The same, and what it says beside it.
    #[track_caller]
    pub(crate) fn both(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.stdout(arguments)).unwrap()
    }

    /// What a run that must fail with `code` says.
    #[track_caller]
    pub(crate) fn failure(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        stderr
    }

    /// How often the Hub was asked since the last time.
    pub(crate) fn asked(&self) -> usize {
        let asked = self.hub.requests().len();
        self.hub.clear_requests();
        asked
    }
}

pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

/// The demo model with its weights in several files, or as a variant of them, in a folder of its own.
pub(crate) fn resaved(options: &SaveOptions) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(demo()).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "model.safetensors" {
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    let weights = Weights::open(demo(), &OpenOptions::default()).unwrap();
    let tensors = weights
        .names()
        .map(|name| (name.to_owned(), weights.get(name).unwrap()));
    save_pretrained(folder.path(), tensors, options).unwrap();
    folder
}

/// A small random model with outputs of transformers beside it.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hfcore-arch/tests/golden")
        .join(name)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The files below `folder`, in order; what programs keep there for themselves does not count.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            if entry.path().is_dir() {
                open.push((entry.path(), format!("{prefix}{name}/")));
            } else {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    found.sort();
    found
}
