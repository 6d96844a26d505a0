//! Without a network, or with a Hub that does not answer: the cache answers where Python's does, and says so.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{client, download, files_below, main, model, path, temporary};
use hfcore_hub::{Commit, DownloadOptions, Hub, HubError, Patterns, Revision, SnapshotOptions};
use hfcore_hub_stand_in::{Fault, StandIn};

fn filled(hub: &StandIn) -> Commit {
    let commit = hub
        .model("org/name")
        .file("config.json", "{}")
        .file("tokenizer.json", "[]")
        .create();
    Commit::parse(&commit).unwrap()
}

fn build(hub: &StandIn, folder: &Path) -> Hub {
    client(&hub.endpoint(), folder).build().unwrap()
}

/// An address where nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("http://127.0.0.1:{port}")
}

#[test]
fn offline_never_asks() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    let offline = client(&hub.endpoint(), folder.path())
        .offline(true)
        .build()
        .unwrap();
    let error = download(&offline, "config.json").unwrap_err();
    let HubError::NotCached { remedy, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        *remedy,
        "download it once while the network is on (`hfcore download`)"
    );
    assert!(
        error
            .chain()
            .contains("which the option `offline` switches off"),
        "{}",
        error.chain()
    );
    let error = offline
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }));
    let error = offline.list_files(&model(), &commit).unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }));
    assert!(hub.requests().is_empty());

    build(&hub, folder.path())
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    hub.clear_requests();
    let found = download(&offline, "config.json").unwrap();
    assert_eq!((found.commit, found.downloaded), (commit.clone(), false));
    assert!(matches!(
        found.from_cache_because,
        Some(HubError::Offline { .. })
    ));
    let snapshot = offline
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.files.len(), 2);
    assert_eq!(offline.resolve(&model(), &main()).unwrap(), commit);
    assert_eq!(offline.list_files(&model(), &commit).unwrap().len(), 2);
    // The same by an option of the call.
    let online = build(&hub, folder.path());
    let options = DownloadOptions::default().with_local_files_only(true);
    online
        .download(&model(), &main(), &path("config.json"), &options)
        .unwrap();
    let options = SnapshotOptions::default().with_local_files_only(true);
    online.snapshot(&model(), &main(), &options).unwrap();
    assert!(hub.requests().is_empty());
}

#[test]
fn a_snapshot_that_lacks_a_file_is_no_snapshot() {
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    let some = SnapshotOptions::default().with_patterns(Patterns::all().allow(["config.json"]));
    build(&hub, folder.path())
        .snapshot(&model(), &main(), &some)
        .unwrap();
    let offline = client(&hub.endpoint(), folder.path())
        .offline(true)
        .build()
        .unwrap();
    let snapshot = offline.snapshot(&model(), &main(), &some).unwrap();
    assert_eq!(snapshot.files.len(), 1);
    let error = offline
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("org/name at revision main has no tokenizer.json in the cache"),
        "{error}"
    );
}

/// Python has it so too: only that a revision or a file does not exist is certain.
#[test]
fn a_hub_that_does_not_answer_is_answered_for() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    let online = build(&hub, folder.path());
    online
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    let unreachable = client(&nobody(), folder.path()).build().unwrap();
    let found = download(&unreachable, "config.json").unwrap();
    assert!(matches!(
        found.from_cache_because,
        Some(HubError::Network { .. })
    ));
    assert_eq!(found.commit, commit);
    let snapshot = unreachable
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert!(matches!(
        snapshot.from_cache_because,
        Some(HubError::Network { .. })
    ));

    for fault in [
        Fault::on("/revision/").status(500),
        Fault::on("/revision/").status(503),
        Fault::on("/revision/")
            .status(429)
            .header("Retry-After", "1000"),
        Fault::on("/revision/").status(401),
        Fault::on("/revision/").login_page(),
        Fault::on("/revision/").reset(),
    ] {
        hub.clear_faults();
        hub.clear_requests();
        let name = format!("{fault:?}");
        hub.fault(fault);
        let found = download(&online, "config.json").expect(&name);
        assert!(found.from_cache_because.is_some(), "{name}");
        // Somebody waits for it: no second try while there is an answer.
        assert_eq!(hub.requests().len(), 1, "{name}");
        let snapshot = online
            .snapshot(&model(), &main(), &SnapshotOptions::default())
            .expect(&name);
        assert!(snapshot.from_cache_because.is_some(), "{name}");
    }
    hub.clear_faults();
    hub.fault(Fault::on("/tree/").status(500));
    hub.edit("org/name", "main", &[("config.json", Some(b"new"))]);
    let error = online
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap_err();
    assert!(
        matches!(error, HubError::Status { status: 500, .. }),
        "the cache has nothing of the new commit: {error}"
    );
}

#[test]
fn what_certainly_is_not_there_is_not_taken_from_the_cache() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    hub.world(|world| world.point("org/name", "refs/heads/dev", commit.as_str()));
    let client = build(&hub, folder.path());
    let dev = Revision::parse("gone").unwrap();
    let cache = folder.path().join("cache/models--org--name/refs");
    download(&client, "config.json").unwrap();
    fs::copy(cache.join("main"), cache.join("gone")).unwrap();
    let error = client.download(
        &model(),
        &dev,
        &path("config.json"),
        &DownloadOptions::default(),
    );
    assert!(matches!(error, Err(HubError::RevisionNotFound { .. })));
    let error = client.snapshot(&model(), &dev, &SnapshotOptions::default());
    assert!(matches!(error, Err(HubError::RevisionNotFound { .. })));
}

#[test]
fn without_a_network_and_without_a_cache() {
    let folder = temporary();
    let client = client(&nobody(), folder.path()).build().unwrap();
    let error = download(&client, "config.json").unwrap_err();
    let HubError::NotCached { remedy, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*remedy, "check the connection and try again");
    assert!(
        error
            .chain()
            .contains("could not be reached while looking up org/name"),
        "{}",
        error.chain()
    );
    assert!(files_below(&folder.path().join("cache")).is_empty());
}

/// The cache knows the commit, but not the file.
#[test]
fn a_file_that_was_not_wanted_before_is_not_there() {
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    download(&build(&hub, folder.path()), "config.json").unwrap();
    let unreachable = client(&nobody(), folder.path()).build().unwrap();
    let error = download(&unreachable, "tokenizer.json").unwrap_err();
    let expected = "org/name at revision main has no tokenizer.json in the cache";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("check the connection and try again"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_to_serves_what_it_has() {
    use std::os::unix::fs::PermissionsExt;
    fn make(folder: &Path, mode: u32) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                make(&entry.path(), mode);
            }
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    let client = build(&hub, folder.path());
    client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    let cache = folder.path().join("cache");
    fs::remove_file(cache.join("models--org--name/refs/main")).unwrap();
    make(&cache, 0o555);
    let found = download(&client, "config.json");
    let snapshot = client.snapshot(&model(), &main(), &SnapshotOptions::default());
    make(&cache, 0o755);
    assert!(!found.unwrap().downloaded);
    assert!(snapshot.unwrap().files.iter().all(|file| !file.downloaded));
}
