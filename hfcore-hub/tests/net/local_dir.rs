//! A folder of plain files, and Python's `local_dir`: what one put there the other leaves alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hfcore_hub::SnapshotOptions;
use hfcore_hub_stand_in::StandIn;

use crate::python;
use crate::support::{client, main, model, noise, temporary};

fn filled(hub: &StandIn) -> BTreeMap<&'static str, Vec<u8>> {
    let files = BTreeMap::from([
        ("config.json", b"{}".to_vec()),
        ("sub/tokenizer.json", b"[]".to_vec()),
        ("model.safetensors", noise(100_000, 11)),
    ]);
    let mut repository = hub.model("org/name");
    for (path, bytes) in &files {
        repository = repository.file(path, bytes.clone());
    }
    repository.create();
    files
}

fn python_downloads(python: &str, hub: &StandIn, cache: &Path, to: &Path) {
    let script = format!(
        "from huggingface_hub import snapshot_download\nsnapshot_download('org/name', local_dir={:?})\n",
        to.to_str().unwrap()
    );
    python::run(python, &hub.endpoint(), cache, &[], &script);
}

fn check(to: &Path, files: &BTreeMap<&str, Vec<u8>>) {
    for (path, bytes) in files {
        assert_eq!(&fs::read(to.join(path)).unwrap(), bytes, "{path}");
    }
}

#[test]
fn python_leaves_alone_what_we_put_there() {
    let Some(python) = python::python() else {
        return;
    };
    let (hub, folder) = (StandIn::start(), temporary());
    let files = filled(&hub);
    let to = folder.path().join("to");
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let options = SnapshotOptions::default().with_to(&to);
    client.snapshot(&model(), &main(), &options).unwrap();
    hub.clear_requests();
    python_downloads(python, &hub, &folder.path().join("other"), &to);
    assert_eq!(hub.served(""), 0);
    check(&to, &files);
}

#[test]
fn we_leave_alone_what_python_put_there() {
    let Some(python) = python::python() else {
        return;
    };
    let (hub, folder) = (StandIn::start(), temporary());
    let files = filled(&hub);
    let to = folder.path().join("to");
    python_downloads(python, &hub, &folder.path().join("other"), &to);
    hub.clear_requests();
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let options = SnapshotOptions::default().with_to(&to);
    let snapshot = client.snapshot(&model(), &main(), &options).unwrap();
    assert!(snapshot.files.iter().all(|file| !file.downloaded));
    assert_eq!(hub.served(""), 0);
    check(&to, &files);
    // What the branch moves to comes for both.
    hub.edit(
        "org/name",
        "main",
        &[("config.json", Some(b"{\"new\": 1}"))],
    );
    hub.clear_requests();
    client.snapshot(&model(), &main(), &options).unwrap();
    python_downloads(python, &hub, &folder.path().join("other"), &to);
    assert_eq!(hub.served(""), 10);
    assert_eq!(fs::read(to.join("config.json")).unwrap(), b"{\"new\": 1}");
}
