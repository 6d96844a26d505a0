//! `from_pretrained` without a network: what Python has downloaded is found, with the feature `hub` and without.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hfcore::{
    AutoModelForCausalLm, Error, Packed, PackedCache, Pretrained, QuantFormat, hub::HubError,
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The demo as `org/demo` in the cache `root`, as `huggingface_hub` lays it out.
fn lay_out(root: &Path) {
    let repo = root.join("models--org--demo");
    let snapshot = repo.join("snapshots").join(COMMIT);
    for folder in [&snapshot, &repo.join("blobs"), &repo.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-cli/demo");
    for (number, entry) in fs::read_dir(demo).unwrap().enumerate() {
        let entry = entry.unwrap();
        let blob = format!("{number:040x}");
        fs::copy(entry.path(), repo.join("blobs").join(&blob)).unwrap();
        let link = snapshot.join(entry.file_name());
        symlink(Path::new("../../blobs").join(blob), link).unwrap();
    }
}

fn source(root: &Path) -> Pretrained {
    Pretrained::hub_model("org/demo")
        .cache_dir(root)
        .local_files_only(true)
}

#[test]
fn a_model_in_the_cache_is_found() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    for revision in ["main", COMMIT] {
        let source = source(root.path()).revision(revision);
        let model = AutoModelForCausalLm::from_pretrained(source).unwrap();
        let origin = model.origin().unwrap();
        assert_eq!(origin.to_string(), format!("org/demo@{COMMIT}"));
    }
}

/// The commit says which bytes these are: not the folder, and not the time at which they were downloaded.
#[test]
fn a_model_quantized_once_is_found_from_another_cache() {
    let packed = tempfile::tempdir().unwrap();
    let load = |root: &Path| {
        let builder = AutoModelForCausalLm::builder()
            .quantize(QuantFormat::Int8)
            .packed_cache(PackedCache::Folder(packed.path().to_owned()));
        let model = builder.from_pretrained(source(root)).unwrap();
        model.quantization().unwrap().packed.clone()
    };
    let first = tempfile::tempdir().unwrap();
    lay_out(first.path());
    let Packed::Written(file) = load(first.path()) else {
        panic!("nothing was written")
    };
    let name = file.file_name().unwrap().to_string_lossy();
    assert!(name.starts_with("org--demo-"), "{name}");
    let second = tempfile::tempdir().unwrap();
    lay_out(second.path());
    assert_eq!(load(second.path()), Packed::Found(file));
}

#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    let missing = |source: &Pretrained| match source.fetch().unwrap_err() {
        Error::Hub(HubError::NotCached { path, remedy, .. }) => {
            assert!(remedy.contains("hfcore download"), "{remedy}");
            path
        }
        error => panic!("{}", error.chain()),
    };
    let source = source(root.path());
    assert_eq!(missing(&source), "snapshot");
    lay_out(root.path());
    let snapshot = root.path().join("models--org--demo/snapshots").join(COMMIT);
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(missing(&source), "model.safetensors");
    source.clone().skip_weights(true).fetch().unwrap();
    fs::remove_file(snapshot.join("config.json")).unwrap();
    assert_eq!(missing(&source), "config.json");
}

#[test]
fn a_link_that_leaves_the_repository_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    let secret = root.path().join("secret");
    fs::write(&secret, "{}").unwrap();
    let link = root
        .path()
        .join("models--org--demo/snapshots")
        .join(COMMIT)
        .join("tokenizer_config.json");
    fs::remove_file(&link).unwrap();
    symlink(&secret, &link).unwrap();
    let error = source(root.path()).fetch().unwrap_err();
    assert!(
        matches!(error, Error::Hub(HubError::CacheDamaged { .. })),
        "{}",
        error.chain()
    );
}
