//! `cache`: what is there, whether it is right, and making room.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod hub;

use std::fs;

use hub::{Site, keys, text};
use serde_json::{Value, json};

/// With the small files of the demo model in its cache.
fn with_cache() -> Site {
    let site = Site::with_demo();
    site.stdout(&["download", "org/demo", "--skip-weights"]);
    site
}

/// With another commit of it, on `main`, so that the first is detached.
fn with_two_commits() -> (Site, String, String) {
    let site = with_cache();
    let old = site.commit("org/demo");
    site.hub
        .edit("org/demo", "main", &[("config.json", Some(b"{}"))]);
    site.stdout(&["download", "org/demo", "config.json"]);
    let new = site.commit("org/demo");
    (site, old, new)
}

#[test]
fn ls_lists_models_and_revisions() {
    let (site, old, new) = with_two_commits();
    let (listed, said) = site.both(&["cache", "ls"]);
    let cells: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!(cells.len(), 6, "{listed}");
    assert_eq!(
        (cells[0], cells[3], cells[5]),
        ("model/org/demo", "2", "main")
    );
    assert!(said.contains("1 repository, "), "{said}");
    assert!(said.contains(text(&site.cache())), "{said}");

    let listed = site.stdout(&["cache", "ls", "--revisions"]);
    assert_eq!(listed.lines().count(), 2);
    for (commit, refs) in [(&old, "(detached)"), (&new, "main")] {
        let line = listed.lines().find(|line| line.contains(commit)).unwrap();
        assert!(line.ends_with(refs), "{line}");
    }

    let listed = site.json(&["cache", "ls", "--json"]);
    assert_eq!(
        keys(&listed),
        ["folder", "size", "repos", "incomplete", "warnings"]
    );
    let repo = &listed["repos"][0];
    assert_eq!(
        keys(repo),
        [
            "repo_type",
            "id",
            "folder",
            "size",
            "files",
            "last_accessed",
            "last_modified",
            "revisions"
        ]
    );
    assert_eq!(
        (&repo["repo_type"], &repo["id"]),
        (&json!("model"), &json!("org/demo"))
    );
    assert_eq!(
        keys(&repo["revisions"][0]),
        ["commit", "refs", "folder", "size", "files", "last_modified"]
    );
    assert!(repo["last_accessed"].as_u64().unwrap() > 1_600_000_000);

    // What is wrong is said, and the rest is listed.
    fs::write(site.cache().join("notes.txt"), "?").unwrap();
    let (_, said) = site.both(&["cache", "ls"]);
    assert!(
        said.contains("warning: ") && said.contains("notes.txt"),
        "{said}"
    );
}

#[test]
fn there_need_be_no_cache() {
    let site = Site::new();
    let (listed, said) = site.both(&["cache", "ls"]);
    assert_eq!(listed, "");
    assert!(said.contains("there is no cache at"), "{said}");
    assert_eq!(site.json(&["cache", "ls", "--json"])["repos"], json!([]));
    site.both(&["cache", "verify"]);
    let (_, said) = site.both(&["cache", "prune"]);
    assert!(said.contains("there is nothing to remove"), "{said}");
    let error = site.failure(&["cache", "rm", "org/demo"], 1);
    assert!(error.contains("nothing to remove"), "{error}");
}

#[test]
fn verify_finds_what_changed_and_repairs_it() {
    let site = with_cache();
    assert!(
        site.stdout(&["cache", "verify"])
            .contains("5 files are what the Hub sent")
    );
    let blob = site.blob("config.json");
    let mut bytes = fs::read(&blob).unwrap();
    bytes[5] ^= 1;
    fs::write(&blob, bytes).unwrap();

    let output = site.run(&["cache", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(
        found.contains(&format!("DAMAGED {}: expected git-sha1 ", text(&blob))),
        "{found}"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`hfcore cache verify --repair`"), "{said}");

    let output = site.run(&["cache", "verify", "org/demo", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        keys(&found),
        ["folder", "ok", "matching", "unknown", "damaged", "warnings"]
    );
    assert_eq!(
        (&found["ok"], &found["matching"]),
        (&json!(false), &json!(4))
    );
    assert_eq!(found["damaged"][0]["path"], text(&blob));
    assert_eq!(found["damaged"][0]["set_aside"], false);
    assert!(
        site.failure(&["cache", "verify", "org/other"], 1)
            .contains("org/other is not in the cache")
    );

    // Taken out of use: it is fetched again when it is needed.
    let said = site.failure(&["cache", "verify", "--repair"], 1);
    assert!(said.contains("out of use now"), "{said}");
    assert!(!blob.exists());
    let output = site.run(&["cache", "verify"]);
    assert_eq!(output.status.code(), Some(1), "a link to nothing is left");
    site.stdout(&["download", "org/demo", "--skip-weights"]);
    assert!(
        site.stdout(&["cache", "verify"])
            .contains("5 files are what the Hub sent")
    );
}

#[test]
fn prune_removes_what_nobody_needs() {
    let (site, old, new) = with_two_commits();
    let cut_off = site
        .cache()
        .join("models--org--demo/blobs")
        .join(format!("{}.0123abcd.incomplete", "a".repeat(64)));
    fs::write(&cut_off, "half").unwrap();

    let (_, said) = site.both(&["cache", "prune", "--dry-run"]);
    assert!(
        said.contains(&format!("model/org/demo {old} (detached, ")),
        "{said}"
    );
    assert!(said.contains("1 download, cut off (4 B)"), "{said}");
    assert!(said.contains("would free"), "{said}");
    let planned = site.json(&["cache", "prune", "--dry-run", "--json"]);
    assert_eq!(
        keys(&planned),
        ["dry_run", "removed", "bytes", "what", "failures"]
    );
    assert_eq!(planned["what"]["revisions"][0]["commit"], old);
    assert_eq!(planned["what"]["incomplete"], 1);

    // Nobody can be asked here.
    let error = site.failure(&["cache", "prune"], 1);
    assert!(error.contains("say --yes"), "{error}");
    assert!(cut_off.exists());

    let (_, said) = site.both(&["cache", "prune", "--yes"]);
    assert!(said.contains("freed "), "{said}");
    assert!(!cut_off.exists());
    let left = site.json(&["cache", "ls", "--json"]);
    let revisions = left["repos"][0]["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 1);
    assert_eq!(revisions[0]["commit"], new);
    let (_, said) = site.both(&["cache", "prune", "--yes"]);
    assert!(said.contains("there is nothing to remove"), "{said}");
}

#[test]
fn rm_removes_what_is_named() {
    let (site, old, new) = with_two_commits();
    let error = site.failure(&["cache", "rm", "org/other", "--yes"], 1);
    assert!(error.contains("org/other"), "{error}");
    let error = site.failure(&["cache", "rm", "org/demo"], 1);
    assert!(error.contains("say --yes"), "{error}");
    let (_, said) = site.both(&["cache", "rm", "org/demo", "--dry-run"]);
    assert!(said.contains("model/org/demo, all of it"), "{said}");

    // One revision, by its branch; what the other one shares stays.
    let (_, said) = site.both(&["cache", "rm", "org/demo@main", "--yes"]);
    assert!(
        said.contains(&format!("model/org/demo {new} (main, ")),
        "{said}"
    );
    let left = site.json(&["cache", "ls", "--json"]);
    assert_eq!(left["repos"][0]["revisions"][0]["commit"], old);
    site.stdout(&["tokenize", &format!("org/demo@{old}"), "Hello", "--offline"]);

    // The other one, by the beginning of its commit: then nothing is left.
    let short = &old[..8];
    let removed = site.json(&["cache", "rm", short, "--yes", "--json"]);
    assert_eq!(removed["removed"], true);
    assert_eq!(
        removed["what"],
        json!([{ "id": "model/org/demo", "commits": [old], "all": true }])
    );
    assert_eq!(site.json(&["cache", "ls", "--json"])["repos"], json!([]));
}
