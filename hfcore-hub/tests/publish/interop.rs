//! The same folder, published by Python and by us: the same questions, the same commit, the same repository.

use hfcore_hub::publish::{CommitOptions, UploadOptions};
use hfcore_hub_stand_in::{Request, StandIn};
use serde_json::Value;

use crate::python;
use crate::setup::*;

/// What a request asks, without what differs between two clients and two runs.
fn asked(server: &StandIn) -> Vec<(String, Vec<Value>)> {
    let api = |request: &Request| {
        request.method == "POST"
            && [
                "/preupload/",
                "/commit/",
                "/objects/batch",
                "/objects/verify",
                "validate-yaml",
                "complete_multipart",
            ]
            .iter()
            .any(|part| request.path.contains(part))
    };
    let mut all: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| api(request))
        .map(|request| {
            let query = if request.path.contains("complete_multipart") {
                ""
            } else {
                &request.query
            };
            (format!("{}?{query}", request.path), lines(request))
        })
        .collect();
    // The order of the end of two uploads is that of chance.
    all.sort_by_key(|(path, body)| (path.clone(), format!("{body:?}")));
    // Python checks a card twice.
    all.dedup_by(|a, b| a == b && a.0.contains("validate-yaml"));
    all
}

/// The parts, wherever they went.
fn parts(server: &StandIn) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = requests(server, "PUT", "/upload/")
        .into_iter()
        .map(|request| request.body)
        .collect();
    parts.sort();
    parts
}

const UPLOAD: &str = "
import sys, json
from huggingface_hub import HfApi
api = HfApi()
info = api.upload_folder(repo_id='org/name', folder_path=FOLDER, commit_message='Add', commit_description='All',
    create_pr=PR, delete_patterns=['*.old'])
print(json.dumps([info.oid, info.pr_url, info.pr_num if info.pr_url else None]))
";

#[test]
fn python_asks_what_we_ask() {
    let Some(python) = python::python() else {
        return;
    };
    let folder = model_folder();
    write(folder.path(), ".gitignore", b"ignored.txt\n");
    write(folder.path(), "ignored.txt", b"x");
    // Python takes an unfinished download for a file.
    std::fs::remove_file(folder.path().join("model.safetensors.12345678.incomplete")).unwrap();
    for create_pr in [false, true] {
        let begin = || {
            let server = stand_in();
            server
                .model(ID)
                .file("config.json", "{\"model_type\": \"llama\"}\n")
                .file("gone.old", "x")
                .create();
            server
        };
        let theirs = begin();
        let cache = tempfile::tempdir().unwrap();
        let script = UPLOAD
            .replace("FOLDER", &format!("{:?}", folder.path().to_str().unwrap()))
            .replace("PR", if create_pr { "True" } else { "False" });
        let token = [("HF_TOKEN", StandIn::WRITE_TOKEN)];
        let cache = cache.path().join("hub");
        let printed = python::run(python, &theirs.endpoint(), &cache, &token, &script);

        let ours = begin();
        let commit = CommitOptions::default()
            .with_message("Add")
            .with_description("All")
            .with_create_pr(create_pr);
        let options = UploadOptions::default()
            .with_commit(commit)
            .with_delete(["*.old"]);
        let info = client(&ours)
            .upload_folder(folder.path(), &repo(), &options)
            .unwrap();

        assert_eq!(asked(&ours), asked(&theirs));
        assert_eq!(parts(&ours), parts(&theirs));
        let expected: Value = serde_json::from_str(printed.trim()).unwrap();
        assert_eq!(expected[2].as_u64(), info.pr_num);
        assert_eq!(expected[1].is_string(), info.pr_url.is_some());
        let revision = if create_pr { "refs/pr/1" } else { "main" };
        assert_eq!(
            ours.world(|world| world.files_of(ID, revision)),
            theirs.world(|world| world.files_of(ID, revision))
        );
    }
}

#[test]
fn python_downloads_what_we_published() {
    let Some(python) = python::python() else {
        return;
    };
    let server = stand_in_with_repo();
    let folder = model_folder();
    client(&server)
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let script =
        "from huggingface_hub import snapshot_download\nprint(snapshot_download('org/name'))";
    let cache = home.path().join("hub");
    let printed = python::run(python, &server.endpoint(), &cache, &[], script);
    let snapshot = std::path::Path::new(printed.trim());
    for name in PUBLISHED {
        let theirs = std::fs::read(snapshot.join(name)).unwrap();
        assert!(
            theirs == std::fs::read(folder.path().join(name)).unwrap(),
            "{name}"
        );
    }
}
