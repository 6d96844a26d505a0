//! What documents say of the repository: the README's table of families is that of the registry and the golden
//! folders, and links lead somewhere.
//!
//! `UPDATE_README=1 cargo test -p hfcore-examples --test readme` writes the table anew.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml spares only functions marked `#[test]`, not their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hfcore::{AutoConfig, PretrainedConfig, Registry};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-arch/tests/golden");
const BEGIN: &str = "<!-- families: begin -->\n";
const END: &str = "<!-- families: end -->\n";

/// Where heads and variants are many, a cell must still fit a screen.
const MAX_VARIANTS: usize = 8;

#[test]
fn the_table_of_families_is_that_of_the_golden_folders() {
    let readme = fs::read_to_string(README).unwrap();
    let begin = readme.find(BEGIN).unwrap() + BEGIN.len();
    let end = readme.find(END).unwrap();
    let table = table();
    if std::env::var_os("UPDATE_README").is_some() {
        let updated = format!("{}{table}{}", &readme[..begin], &readme[end..]);
        fs::write(README, updated).unwrap();
    } else {
        assert_eq!(&readme[begin..end], table, "see the top of {}", file!());
    }
}

/// A row for each registered `model_type`.
fn table() -> String {
    let registry = Registry::builtin();
    let mut goldens: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for folder in fs::read_dir(GOLDEN).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.join("reference.json").is_file() {
            continue;
        }
        let model_type = AutoConfig::load(&folder)
            .unwrap()
            .model_type()
            .unwrap()
            .to_owned();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        goldens.entry(model_type).or_default().push(name);
        versions.insert(version(&folder));
    }
    let count: usize = goldens.values().map(Vec::len).sum();
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    let mut table = format!(
        "\n{count} reference models, computed by transformers {versions}:\n\n\
         | `model_type` | loads as | reference models | among them |\n|---|---|---|---|\n"
    );
    for model_type in registry.model_types() {
        let config = format!("{{\"model_type\": \"{model_type}\"}}");
        let config = PretrainedConfig::from_slice(config.as_bytes()).unwrap();
        let heads = registry.find(&config).unwrap().heads().join(", ");
        let names = goldens.remove(model_type).unwrap_or_default();
        table += &format!(
            "| {model_type} | {heads} | {} | {} |\n",
            names.len(),
            variants(&names)
        );
    }
    assert!(
        goldens.is_empty(),
        "golden folders of no registered family: {goldens:?}"
    );
    table + "\n"
}

/// What comes after the family's name in the names of its folders.
fn variants(names: &[String]) -> String {
    let mut variants: Vec<&str> = names
        .iter()
        .filter_map(|name| name.split_once('-'))
        .map(|(_, variant)| variant)
        .collect();
    variants.sort_unstable();
    let more = variants.len().saturating_sub(MAX_VARIANTS);
    variants.truncate(MAX_VARIANTS);
    match more {
        0 => variants.join(", "),
        _ => format!("{} and {more} more", variants.join(", ")),
    }
}

fn version(folder: &Path) -> String {
    let reference = fs::read(folder.join("reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_slice(&reference).unwrap();
    reference["transformers"].as_str().unwrap().to_owned()
}

#[test]
fn links_to_files_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = markdown(&root);
    documents.extend(markdown(&root.join("docs")));
    for folder in fs::read_dir(&root).unwrap() {
        documents.push(folder.unwrap().path().join("README.md"));
    }
    let (mut links, mut broken) = (0, Vec::new());
    for document in documents.iter().filter(|document| document.is_file()) {
        let text = fs::read_to_string(document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap();
            // Links to items (`crate::Item`) are rustdoc's to check.
            if target.is_empty() || target.contains("://") || target.contains("::") {
                continue;
            }
            links += 1;
            if !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(links > 10, "only {links} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The documents in a folder.
fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}
