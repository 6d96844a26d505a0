//! Whole folders.

use hfcore_hub::publish::{
    CommitOptions, CreateRepo, FileStatus, UploadMode, UploadNote, UploadOptions,
};
use hfcore_hub::{HubError, Repo, Revision, SnapshotOptions};
use hfcore_hub_stand_in::StandIn;
use serde_json::json;

use crate::setup::*;

#[test]
fn a_folder_becomes_one_commit() {
    let server = stand_in();
    let hub = client(&server);
    let folder = model_folder();
    let created = hub
        .create_repo(&repo(), &CreateRepo::default().with_private(true))
        .unwrap();
    assert!(created.created);
    assert_eq!(created.url, format!("{}/{ID}", server.endpoint()));
    assert_eq!(server.world(|world| world.is_private(ID)), Some(true));

    let options = UploadOptions::default().with_commit(
        CommitOptions::default()
            .with_message("Add a model")
            .with_description("All of it."),
    );
    let info = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert!(info.created);
    let newest = server.world(|world| world.commit_of(ID, "main")).unwrap();
    assert_eq!(info.oid.as_str(), newest);
    assert_eq!(
        info.url,
        format!("{}/{ID}/commit/{newest}", server.endpoint())
    );
    assert_eq!((info.pr_url, info.pr_num), (None, None));
    let title = server.world(|world| world.title_of(ID, "main")).unwrap();
    assert_eq!(
        (title.0.as_str(), title.1.as_str()),
        ("Add a model", "All of it.")
    );
    let mut added: Vec<String> = info.added.iter().map(ToString::to_string).collect();
    added.sort();
    assert_eq!(added, PUBLISHED);
    assert_published(&server, "main", folder.path(), &PUBLISHED);

    // One question about all files, one about the large ones, four parts and one whole file, one commit.
    assert_eq!(requests(&server, "POST", "/preupload/main").len(), 1);
    let batches = requests(&server, "POST", ".git/info/lfs/objects/batch");
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].json().unwrap()["ref"], json!({"name": "main"}));
    assert_eq!(requests(&server, "PUT", "/upload/").len(), 5);
    assert_eq!(
        requests(&server, "POST", "/api/complete_multipart").len(),
        1
    );
    assert_eq!(requests(&server, "POST", "/objects/verify").len(), 2);
    assert_eq!(requests(&server, "POST", "/commit/main").len(), 1);
    assert_no_leak(&server);

    // And back.
    let cache = tempfile::tempdir().unwrap();
    let downloader = builder(&server, StandIn::READ_TOKEN)
        .cache(cache.path())
        .build()
        .unwrap();
    let snapshot = downloader
        .snapshot(&repo(), &Revision::default(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.commit, info.oid);
    for name in PUBLISHED {
        let there = std::fs::read(snapshot.folder.join(name)).unwrap();
        assert!(
            there == std::fs::read(folder.path().join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let folder = model_folder();
    let options = UploadOptions::default();
    let first = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    server.clear_requests();

    let again = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert!(!again.created);
    assert_eq!((&again.oid, again.url), (&first.oid, first.url));
    assert_eq!(again.unchanged.len(), PUBLISHED.len());
    assert!(requests(&server, "PUT", "").is_empty());
    assert!(requests(&server, "POST", "/commit/").is_empty());

    // Of a change only what changed.
    write(folder.path(), "config.json", b"{}");
    server.clear_requests();
    let changed = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert!(changed.created);
    assert_eq!(changed.added, [path("config.json")]);
    let commits = requests(&server, "POST", "/commit/");
    assert_eq!(
        lines(&commits[0])[1..],
        [
            json!({"key": "file", "value": {"content": "e30=", "path": "config.json", "encoding": "base64"}})
        ]
    );
    assert_published(&server, "main", folder.path(), &PUBLISHED);

    // The storage has it, the repository does not: named, and not sent.
    server.edit(ID, "main", &[("model-00002-of-00002.safetensors", None)]);
    server.clear_requests();
    hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert!(requests(&server, "PUT", "").is_empty());
    assert_published(&server, "main", folder.path(), &PUBLISHED);
}

#[test]
fn a_pull_request_leaves_main_alone() {
    let server = stand_in_with_repo();
    let before = server.world(|world| world.commit_of(ID, "main"));
    // Whoever may not write may propose.
    let hub = builder(&server, StandIn::OTHER_TOKEN).build().unwrap();
    let folder = model_folder();
    let commit = CommitOptions::default().with_create_pr(true);
    let options = UploadOptions::default().with_commit(commit);
    let info = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert_eq!(info.pr_num, Some(1));
    let page = format!("{}/{ID}/discussions/1", server.endpoint());
    assert_eq!(info.pr_url, Some(page));
    assert_eq!(server.world(|world| world.commit_of(ID, "main")), before);
    assert_published(&server, "refs/pr/1", folder.path(), &PUBLISHED);
    for part in ["/preupload/main", "/commit/main"] {
        let asked = requests(&server, "POST", part);
        assert_eq!(asked[0].query, "create_pr=1");
    }
    let batch = requests(&server, "POST", "/objects/batch");
    assert_eq!(batch[0].json().unwrap().get("ref"), None);

    // And more to the same one.
    write(folder.path(), "more.txt", b"more\n");
    let revision = Revision::parse("refs/pr/1").unwrap();
    let owner = client(&server);
    let options =
        UploadOptions::default().with_commit(CommitOptions::default().with_revision(revision));
    owner
        .upload_folder(folder.path(), &repo(), &options)
        .unwrap();
    let mut all = PUBLISHED.to_vec();
    all.insert(5, "more.txt");
    assert_published(&server, "refs/pr/1", folder.path(), &all);
    assert_eq!(requests(&server, "POST", "/commit/refs%2Fpr%2F1").len(), 1);
}

#[test]
fn only_what_is_chosen_goes_where_it_is_told() {
    let server = stand_in();
    server
        .model(ID)
        .file("runs/old.log", "old")
        .file("runs/sub/old.log", "old")
        .file("runs/config.json", "old")
        .file("old.log", "old")
        .file(".gitattributes", "*.bin filter=lfs\n")
        .create();
    let hub = client(&server);
    let folder = lay_out(&[
        ("config.json", b"{}"),
        ("new.log", b"new"),
        ("notes.txt", b"notes"),
        ("sub/new.json", b"{}"),
    ]);
    let options = UploadOptions::default()
        .with_path_in_repo(path("runs"))
        .with_allow(["*.json", "*.log"])
        .with_ignore(["sub/*"])
        .with_delete(["*.log", "*.json"]);
    let info = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert_eq!(info.added, [path("runs/config.json"), path("runs/new.log")]);
    assert_eq!(
        info.deleted,
        [path("runs/old.log"), path("runs/sub/old.log")]
    );
    let commit = &requests(&server, "POST", "/commit/main")[0];
    let keys: Vec<String> = lines(commit)
        .iter()
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        keys,
        ["header", "deletedFile", "deletedFile", "file", "file"]
    );
    let files = server.world(|world| world.files_of(ID, "main"));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            ".gitattributes",
            "old.log",
            "runs/config.json",
            "runs/new.log"
        ]
    );

    // All that is not uploaded, but for what makes the repository work.
    let folder = lay_out(&[("config.json", b"{}")]);
    let options = UploadOptions::default().with_delete(["*"]);
    hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    let files = server.world(|world| world.files_of(ID, "main"));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [".gitattributes", "config.json"]);
}

#[test]
fn gitignore_is_honoured_and_noted() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let folder = lay_out(&[
        (".gitignore", b"secret.txt\nbig.bin\n"),
        ("secret.txt", b"x"),
        ("big.bin", b"x"),
        ("kept.txt", b"x"),
    ]);
    let info = hub
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
    assert_eq!(
        info.notes,
        [
            UploadNote::GitIgnored {
                path: path("big.bin")
            },
            UploadNote::GitIgnored {
                path: path("secret.txt")
            }
        ]
    );
    assert_published(&server, "main", folder.path(), &[".gitignore", "kept.txt"]);
    assert!(requests(&server, "PUT", "").is_empty());
}

#[test]
fn a_card_is_added_where_there_is_none() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let folder = lay_out(&[("config.json", b"{}")]);
    let card = "---\nlicense: mit\n---\n# Made by a program\n";
    let options = UploadOptions::default().with_card(card);
    hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    let there = || server.world(|world| world.bytes_of(ID, "main", "README.md"));
    assert_eq!(there().unwrap(), card.as_bytes());

    // Its owner wrote another: it stays.
    server.edit(ID, "main", &[("README.md", Some(b"# Mine\n"))]);
    write(folder.path(), "config.json", b"{ }");
    let info = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    assert_eq!(info.notes, [UploadNote::CardKept]);
    assert_eq!(info.added, [path("config.json")]);
    assert_eq!(there().unwrap(), b"# Mine\n");

    // That of the folder is the author's word.
    write(folder.path(), "README.md", b"# New\n");
    let info = hub.upload_folder(folder.path(), &repo(), &options).unwrap();
    let message = "empty or missing yaml metadata in repo card".to_owned();
    assert_eq!(info.notes, [UploadNote::Card { message }]);
    assert_eq!(there().unwrap(), b"# New\n");
}

#[test]
fn a_plan_changes_nothing() {
    let server = stand_in();
    server
        .model(ID)
        .file("config.json", "old")
        .file("same.txt", "same")
        .create();
    let hub = client(&server);
    let folder = lay_out(&[
        (".gitignore", b"left.txt"),
        ("config.json", b"{}"),
        ("left.txt", b"x"),
        ("model.safetensors", b"x"),
        ("same.txt", b"same"),
        ("weights.pt", b"\x80\x02}q\0."),
    ]);
    let options = UploadOptions::default();
    let plan = hub.plan_upload(folder.path(), &repo(), &options).unwrap();
    let seen: Vec<_> = plan
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.mode.unwrap(), file.status))
        .collect();
    assert_eq!(
        seen,
        [
            (".gitignore", UploadMode::Regular, FileStatus::New),
            ("config.json", UploadMode::Regular, FileStatus::Changed),
            ("left.txt", UploadMode::Regular, FileStatus::GitIgnored),
            ("model.safetensors", UploadMode::Lfs, FileStatus::New),
            ("same.txt", UploadMode::Regular, FileStatus::Unchanged),
            ("weights.pt", UploadMode::Lfs, FileStatus::New),
        ]
    );
    assert_eq!(
        plan.notes,
        [
            UploadNote::Pickle {
                path: path("weights.pt")
            },
            UploadNote::GitIgnored {
                path: path("left.txt")
            }
        ]
    );
    let changing = server
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET" && !request.path.contains("/preupload/"));
    assert_eq!(changing.count(), 0);

    // A repository that is yet to be made is empty.
    let other = Repo::model("org/other").unwrap();
    let plan = hub.plan_upload(folder.path(), &other, &options).unwrap();
    assert!(
        plan.files
            .iter()
            .all(|file| file.mode.is_none() && file.status == FileStatus::New)
    );
    let error = hub
        .upload_folder(folder.path(), &other, &options)
        .unwrap_err();
    assert!(
        matches!(error, HubError::RepositoryNotFound { .. }),
        "{error}"
    );
}

#[test]
fn many_files_are_asked_about_in_turns() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let folder = tempfile::tempdir().unwrap();
    for n in 0..300 {
        write(
            folder.path(),
            &format!("{n:03}.txt"),
            n.to_string().as_bytes(),
        );
        write(folder.path(), &format!("{n:03}.bin"), &bytes(10 + n));
    }
    let info = hub
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
    assert_eq!(info.added.len(), 600);
    assert_eq!(requests(&server, "POST", "/preupload/").len(), 3);
    assert_eq!(requests(&server, "POST", "/objects/batch").len(), 2);
    assert_eq!(requests(&server, "PUT", "/upload/").len(), 300);
    assert_eq!(server.world(|world| world.files_of(ID, "main")).len(), 600);
}
