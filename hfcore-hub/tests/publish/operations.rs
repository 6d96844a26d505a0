//! Commits by hand: add, copy, delete; repositories and branches.

use hfcore_hub::publish::{CommitOperation, CommitOptions, Content, CreateRepo};
use hfcore_hub::{HubError, Repo, RepoId, RepoType, Revision};
use hfcore_hub_stand_in::{Fault, StandIn};
use serde_json::json;

use crate::setup::*;

fn add(at: &str, bytes: &[u8]) -> CommitOperation {
    CommitOperation::add(path(at), Content::Bytes(bytes.to_owned()))
}

fn copy(from: &str, to: &str) -> CommitOperation {
    CommitOperation::Copy {
        from: path(from),
        revision: None,
        path: path(to),
    }
}

#[test]
fn operations_of_every_kind_in_one_commit() {
    let server = stand_in();
    server
        .model(ID)
        .file("small.txt", "small")
        .file("large.bin", bytes(3000))
        .file("logs/a.txt", "a")
        .file("logs/b/c.txt", "c")
        .file("gone.txt", "x")
        .create();
    let hub = client(&server);
    let operations = vec![
        CommitOperation::DeleteFolder { path: path("logs") },
        CommitOperation::delete(path("gone.txt")),
        add("logs/a.txt", b"a"), // the same bytes: deleted above, so it is added
        add("new.bin", &bytes(2 * PART + 1)),
        copy("small.txt", "small-copy.txt"),
        copy("large.bin", "large-copy.bin"),
    ];
    let options = CommitOptions::default().with_message("All at once");
    let info = hub.create_commit(&repo(), operations, &options).unwrap();
    assert_eq!(info.deleted, [path("logs"), path("gone.txt")]);
    server.world(|world| {
        let names: Vec<String> = world
            .files_of(ID, "main")
            .into_iter()
            .map(|f| f.0)
            .collect();
        assert_eq!(
            names,
            [
                "large-copy.bin",
                "large.bin",
                "logs/a.txt",
                "new.bin",
                "small-copy.txt",
                "small.txt"
            ]
        );
        assert_eq!(
            world.bytes_of(ID, "main", "large-copy.bin").unwrap(),
            bytes(3000)
        );
        assert_eq!(
            world.bytes_of(ID, "main", "small-copy.txt").unwrap(),
            b"small"
        );
        assert_eq!(
            world.bytes_of(ID, "main", "new.bin").unwrap(),
            bytes(2 * PART + 1)
        );
    });
    let commit = &requests(&server, "POST", "/commit/main")[0];
    assert_eq!(commit.header("content-type"), Some("application/x-ndjson"));
    let lines = lines(commit);
    assert_eq!(
        lines[0],
        json!({"key": "header", "value": {"summary": "All at once", "description": ""}})
    );
    assert_eq!(
        lines[1],
        json!({"key": "deletedFolder", "value": {"path": "logs"}})
    );

    let error = hub
        .create_commit(&repo(), vec![copy("nowhere", "x")], &options)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("org/name has no nowhere at revision main"),
        "{error}"
    );
}

#[test]
fn one_file() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let folder = lay_out(&[("local", b"{}")]);
    let options = CommitOptions::default();
    let file = folder.path().join("local");
    hub.upload_file(&file, &path("a/config.json"), &repo(), &options)
        .unwrap();
    server.world(|world| {
        assert_eq!(world.bytes_of(ID, "main", "a/config.json").unwrap(), b"{}");
        let title = world.title_of(ID, "main").unwrap().0;
        assert_eq!(title, "Upload a/config.json with hfcore");
    });
    let missing = folder.path().join("missing");
    let error = hub
        .upload_file(&missing, &path("x"), &repo(), &options)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("missing could not be read"),
        "{error}"
    );
}

#[test]
fn a_branch_that_moved_is_a_conflict() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let first = hub
        .create_commit(&repo(), vec![add("a", b"1")], &CommitOptions::default())
        .unwrap();
    let theirs = server.edit(ID, "main", &[("theirs", Some(b"x"))]);
    let options = CommitOptions::default().with_parent(first.oid);
    let error = hub
        .create_commit(&repo(), vec![add("a", b"2")], &options)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "org/name changed at revision main meanwhile (A commit has happened since. Please refresh and try again.): nothing \
         was committed; look at what is new, then upload again"
    );
    assert_eq!(
        server.world(|world| world.commit_of(ID, "main")).unwrap(),
        theirs
    );
    let parent = hfcore_hub::Commit::parse(&theirs).unwrap();
    let options = CommitOptions::default().with_parent(parent);
    hub.create_commit(&repo(), vec![add("a", b"2")], &options)
        .unwrap();
}

/// The commit may have been made when its answer is lost: it is not sent a second time.
#[test]
fn a_commit_is_sent_once() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    server.fault(Fault::on("/commit/").once().status(500));
    let error = hub
        .create_commit(&repo(), vec![add("a", b"1")], &CommitOptions::default())
        .unwrap_err();
    assert!(
        matches!(error, HubError::Status { status: 500, .. }),
        "{error}"
    );
    assert_eq!(requests(&server, "POST", "/commit/").len(), 1);
}

#[test]
fn repositories_come_and_go() {
    let server = stand_in();
    let hub = client(&server);
    let data = Repo::new(RepoType::Dataset, RepoId::parse("org/data").unwrap());
    let options = CreateRepo::default();
    let created = hub.create_repo(&data, &options).unwrap();
    assert_eq!(
        created.url,
        format!("{}/datasets/org/data", server.endpoint())
    );
    let error = hub.create_repo(&data, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("datasets/org/data is on {} already", server.endpoint())
    );
    let exist_ok = CreateRepo::default().with_exist_ok(true);
    assert!(!hub.create_repo(&data, &exist_ok).unwrap().created);

    // Without a namespace it is the account's.
    let own = hub
        .create_repo(&Repo::model("mine").unwrap(), &options)
        .unwrap();
    assert_eq!(own.repo, Repo::model("alice/mine").unwrap());
    let asked = requests(&server, "POST", "/api/repos/create");
    assert_eq!(
        asked.last().unwrap().json().unwrap(),
        json!({"name": "mine", "organization": null, "type": "model"})
    );

    // One who may not make it may use it if it is there.
    let reader = builder(&server, StandIn::READ_TOKEN).build().unwrap();
    assert!(!reader.create_repo(&data, &exist_ok).unwrap().created);
    let other = Repo::model("org/other").unwrap();
    let error = reader.create_repo(&other, &exist_ok).unwrap_err();
    assert!(matches!(error, HubError::Forbidden { .. }), "{error}");

    hub.delete_repo(&data).unwrap();
    let error = hub.delete_repo(&data).unwrap_err();
    assert!(
        matches!(error, HubError::RepositoryNotFound { .. }),
        "{error}"
    );
}

#[test]
fn a_busy_hub_is_asked_again() {
    let server = stand_in();
    let busy = json!({"error": "Cannot create repo: another conflicting operation is in progress"});
    let busy = Fault::on("/api/repos/create").times(2).reply(
        409,
        "application/json",
        busy.to_string().into_bytes(),
    );
    server.fault(busy);
    // The stand-in makes it whatever it then says.
    server.fault(
        Fault::on("/api/repos/create")
            .after(1)
            .then(|world| world.remove(ID)),
    );
    let created = client(&server)
        .create_repo(&repo(), &CreateRepo::default())
        .unwrap();
    assert!(created.created);
    assert_eq!(requests(&server, "POST", "/api/repos/create").len(), 3);
}

#[test]
fn a_branch_is_made_where_main_is() {
    let server = stand_in();
    let commit = server.model(ID).file("a", "x").create();
    let hub = client(&server);
    let branch = Revision::parse("feature/x").unwrap();
    hub.create_branch(&repo(), &branch).unwrap();
    hub.create_branch(&repo(), &branch).unwrap();
    assert_eq!(
        server.world(|world| world.commit_of(ID, "feature/x")),
        Some(commit)
    );
    let options = CommitOptions::default().with_revision(branch);
    hub.create_commit(&repo(), vec![add("b", b"y")], &options)
        .unwrap();
    server.world(|world| {
        assert_eq!(world.bytes_of(ID, "feature/x", "b").unwrap(), b"y");
        assert_eq!(world.bytes_of(ID, "main", "b"), None);
    });
}
