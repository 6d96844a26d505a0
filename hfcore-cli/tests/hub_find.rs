//! `search`, `card` and `inspect` of what is not downloaded.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod hub;

use std::fs;

use hub::{CARD, Site, golden, keys, text};
use serde_json::{Value, json};

#[test]
fn search_finds_and_says_what_loads() {
    let site = Site::with_demo();
    site.hub
        .model("org/mystery")
        .file("config.json", r#"{"model_type": "mystery"}"#)
        .file("model.safetensors", "")
        .info("downloads", 1234)
        .info("likes", 5)
        .info("lastModified", "2025-07-01T12:00:00.000Z")
        .info("tags", json!(["safetensors", "license:mit"]))
        .create();
    let found = site.stdout(&["search", "mystery"]);
    assert_eq!(found, "org/mystery\t1.2 K\t5\t\t2025-07-01\tno\n");
    let found = site.json(&["search", "demo", "--json"]);
    let demo = &found[0];
    assert_eq!(
        keys(demo),
        [
            "id",
            "author",
            "sha",
            "downloads",
            "likes",
            "pipeline_tag",
            "library_name",
            "license",
            "gated",
            "private",
            "last_modified",
            "parameters",
            "model_type",
            "loads",
            "tags"
        ]
    );
    assert_eq!(demo["id"], "org/demo");
    assert_eq!(
        (&demo["model_type"], &demo["loads"]),
        (&json!("llama"), &json!(true))
    );
    assert_eq!(
        (&demo["license"], &demo["pipeline_tag"]),
        (&json!("mit"), &json!("text-generation"))
    );

    let (found, said) = site.both(&["search", "nothing like it"]);
    assert_eq!(found, "");
    assert!(said.contains("no such model was found"), "{said}");
    let error = site.failure(&["search", "--sort", "size"], 2);
    assert!(
        error.contains("expected one of downloads, likes"),
        "{error}"
    );

    // The Hub is asked for what is meant.
    site.hub.clear_requests();
    site.stdout(&[
        "search",
        "--task",
        "text-generation",
        "--library",
        "transformers",
        "--language",
        "en",
        "--license",
        "mit",
        "--author",
        "org",
        "--tag",
        "stories",
        "--sort",
        "likes",
        "--limit",
        "3",
    ]);
    let query = site.hub.requests()[0].query.clone();
    for part in [
        "filter=transformers",
        "filter=en",
        "filter=license%3Amit",
        "filter=stories",
        "author=org",
        "pipeline_tag=text-generation",
        "sort=likes",
        "limit=3",
    ] {
        assert!(query.contains(part), "no {part} in {query}");
    }
}

#[test]
fn a_card_is_shown() {
    let site = Site::with_demo();
    let shown = site.stdout(&["card", "org/demo"]);
    for part in [
        &format!("org/demo@{}", site.commit("org/demo")),
        "task        text-generation",
        "licence     mit",
        "languages   en",
        "base model  org/base (finetune)",
        "tags        stories",
        "Stories  Tiny Stories  test   Perplexity  7.25",
        "It tells stories.",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let card = site.json(&["card", "org/demo", "--json"]);
    assert_eq!(
        keys(&card),
        [
            "file",
            "repo",
            "commit",
            "data",
            "eval_results",
            "text",
            "fit",
            "problems"
        ]
    );
    assert_eq!(card["repo"], "org/demo");
    assert_eq!(card["data"]["license"], "mit");
    assert_eq!(card["eval_results"][0]["metric_value"], 7.25);
    assert_eq!(card["fit"], true);
    // What was shown is here now.
    site.asked();
    site.stdout(&["card", "org/demo", "--offline"]);
    assert_eq!(site.asked(), 0);
    let error = site.failure(&["card", "org/llama"], 1);
    assert!(error.contains("org/llama is not on"), "{error}");
    site.hub
        .model("org/bare")
        .file("config.json", "{}")
        .create();
    let error = site.failure(&["card", "org/bare"], 1);
    assert!(error.contains("org/bare has no README.md"), "{error}");
}

#[test]
fn a_card_is_checked_before_it_is_published() {
    let site = Site::new();
    let file = site.home().join("README.md");
    fs::write(&file, CARD).unwrap();
    let checked = site.stdout(&["card", text(&file), "--validate"]);
    assert!(checked.contains("0 errors"), "{checked}");
    // As the folder that it is in.
    site.stdout(&["card", text(site.home()), "--validate"]);

    fs::write(
        &file,
        CARD.replace("language: [en]", "language: [english?]"),
    )
    .unwrap();
    let output = site.run(&["card", text(&file), "--validate"]);
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains("error: `language"), "{found}");
    let card = site.json(&["card", text(&file), "--json"]);
    assert_eq!(card["fit"], false);
    assert_eq!(keys(&card["problems"][0]), ["severity", "field", "message"]);

    fs::write(&file, "---\na: [\n---\n").unwrap();
    let error = site.failure(&["card", text(&file)], 1);
    assert!(error.contains("front matter is refused at line"), "{error}");
    let error = site.failure(&["card", "nowhere/README.md/x"], 1);
    assert!(error.contains("is neither a folder nor a file"), "{error}");
    assert_eq!(site.asked(), 0);
}

#[test]
fn lineage_goes_back_to_the_first() {
    let site = Site::with_demo();
    let card = |base: &str| format!("---\nbase_model: {base}\n---\n");
    site.hub
        .model("org/base")
        .file("README.md", card("org/first"))
        .create();
    let shown = site.stdout(&["card", "org/demo", "--lineage"]);
    assert!(shown.contains("  org/base (finetune)\n"), "{shown}");
    assert!(
        shown.contains("    org/first, of which org/base was made"),
        "{shown}"
    );
    assert!(
        shown.contains("nothing is known of its own origin"),
        "{shown}"
    );
    let lineage = &site.json(&["card", "org/demo", "--lineage", "--json"])["lineage"];
    assert_eq!(lineage.as_array().unwrap().len(), 2);
    assert_eq!(lineage[1]["depth"], 2);
    // A card that is not published yet names models that are.
    let file = site.home().join("README.md");
    fs::write(&file, card("org/base")).unwrap();
    let lineage = &site.json(&["card", text(&file), "--lineage", "--json"])["lineage"];
    assert_eq!(lineage[0]["id"], "org/base");
    assert_eq!(lineage[1]["id"], "org/first");
    assert_eq!(lineage[1]["depth"], 2);
}

/// What matters of a report about a model, wherever it is.
fn facts(report: &Value) -> Value {
    let mut facts = report.clone();
    let changing = ["folder", "repo", "commit", "download", "machine", "fits"];
    facts
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !changing.contains(&key.as_str()));
    facts
}

#[test]
fn inspect_knows_a_model_before_it_is_downloaded() {
    let site = Site::with_demo();
    let remote = site.json(&["inspect", "org/demo", "--json"]);
    let weights = fs::metadata(hub::demo().join("model.safetensors"))
        .unwrap()
        .len();
    assert!(
        site.hub.served("model.safetensors") <= 200_000,
        "headers alone are read"
    );
    let local = site.json(&["inspect", text(&hub::demo()), "--json"]);
    assert_eq!(keys(&remote), keys(&local));
    assert_eq!(facts(&remote), facts(&local));
    assert_eq!(remote["repo"], "org/demo");
    assert_eq!(remote["commit"], site.commit("org/demo"));
    assert_eq!(remote["loads_as"], json!(["CausalLm"]));
    assert_eq!(remote["not_checked"], Value::Null);
    let download = &remote["download"];
    assert_eq!(
        keys(download),
        ["files", "bytes", "missing_files", "missing_bytes"]
    );
    assert_eq!(
        (&download["files"], &download["missing_files"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(download["missing_bytes"], weights);
    assert_eq!(
        keys(&remote["machine"]),
        ["memory", "memory_available", "disk_available"]
    );

    let shown = site.stdout(&["inspect", "org/demo"]);
    for part in [
        &format!("org/demo@{}", site.commit("org/demo")),
        "loads as    CausalLm",
        "download    ",
        "of which 1 (6.3 MiB) are to be fetched",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }

    // Downloaded, it is the same, and needs no network.
    site.stdout(&["download", "org/demo"]);
    let here = site.json(&["inspect", "org/demo", "--json"]);
    assert_eq!(facts(&here), facts(&local));
    assert_eq!(here["download"]["missing_bytes"], 0);
    site.asked();
    let offline = site.json(&["inspect", "org/demo", "--json", "--offline"]);
    assert_eq!(facts(&offline), facts(&local));
    assert_eq!(site.asked(), 0);
}

#[test]
fn inspect_says_what_would_be_refused() {
    let site = Site::new();
    let demo = |name: &str, edit: &dyn Fn(&mut Value)| {
        let config = fs::read(hub::demo().join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        edit(&mut config);
        site.hub
            .model(name)
            .folder(&hub::demo())
            .unwrap()
            .file("config.json", config.to_string())
            .create();
        site.json(&["inspect", name, "--json"])
    };
    // A tensor has another shape than the configuration says.
    let wide = demo("org/wide", &|config| {
        config["intermediate_size"] = json!(640);
    });
    let refused = wide["refused"].as_str().unwrap();
    assert!(refused.contains("mlp.gate_proj.weight"), "{refused}");
    assert_eq!(wide["loads_as"], json!([]));
    let unknown = demo("org/unknown", &|config| {
        config["model_type"] = json!("mystery");
    });
    assert!(unknown["refused"].as_str().unwrap().contains("mystery"));
    assert!(unknown["parameters"].as_u64().unwrap() > 1_000_000);

    site.hub
        .model("org/pickle")
        .file("config.json", r#"{"model_type": "llama"}"#)
        .file("pytorch_model.bin", "a pickle")
        .create();
    let pickle = site.json(&["inspect", "org/pickle", "--json"]);
    assert!(
        pickle["weights_error"]
            .as_str()
            .unwrap()
            .contains("pytorch_model.bin")
    );
    site.hub.model("org/empty").file("README.md", "").create();
    let error = site.failure(&["inspect", "org/empty"], 1);
    assert!(error.contains("config.json"), "{error}");
    // A header that cannot be.
    site.hub
        .model("org/lies")
        .folder(&golden("llama"))
        .unwrap()
        .file("model.safetensors", "not a header at all")
        .create();
    let lies = site.json(&["inspect", "org/lies", "--json"]);
    assert!(
        lies["weights_error"]
            .as_str()
            .unwrap()
            .contains("model.safetensors"),
        "{lies}"
    );
}

/// Families of all kinds, also those whose matrices are turned when they are loaded.
#[test]
fn inspect_compares_tensors_without_their_bytes() {
    let site = Site::new();
    for name in [
        "gpt2",
        "mixtral-stacked",
        "t5-gated",
        "vit-base",
        "bert-masked-lm",
    ] {
        let id = format!("org/{name}");
        site.hub.model(&id).folder(&golden(name)).unwrap().create();
        let remote = site.json(&["inspect", &id, "--json"]);
        let local = site.json(&["inspect", text(&golden(name)), "--json"]);
        assert_eq!(remote["loads_as"], local["loads_as"], "{name}");
        assert_eq!(remote["unused_tensors"], local["unused_tensors"], "{name}");
        assert_eq!(
            remote["parameters_by_dtype"], local["parameters_by_dtype"],
            "{name}"
        );
        assert_eq!(remote["not_checked"], Value::Null, "{name}");
    }
}
