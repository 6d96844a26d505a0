//! Files and snapshots, from the stand-in into the cache.

use std::fs;
use std::sync::{Arc, Mutex};

use crate::scripted::{Asked, Reply, Scripted};
use crate::support::{client, download, files_below, main, model, noise, path, temporary};
use hfcore_hub::{
    Commit, DownloadOptions, Event, HubError, Patterns, Repo, RepoType, Revision, SnapshotOptions,
};
use hfcore_hub_stand_in::{Fault, StandIn};

/// Two small files, one in a folder, and weights on the second host.
fn filled(hub: &StandIn) -> Commit {
    let commit = hub
        .model("org/name")
        .file("config.json", "{}")
        .file("sub/a b#%25.txt", "spaces and all")
        .file("model.safetensors", noise(300_000, 1))
        .create();
    Commit::parse(&commit).unwrap()
}

#[test]
fn a_file_is_downloaded_once() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    for (file, bytes) in [
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", noise(300_000, 1)),
    ] {
        let found = download(&client, file).unwrap();
        assert_eq!(fs::read(&found.path).unwrap(), bytes);
        assert!(found.downloaded && found.from_cache_because.is_none());
        assert_eq!(found.commit, commit);
        let again = download(&client, file).unwrap();
        assert_eq!(again.path, found.path);
        assert!(!again.downloaded);
    }
    assert_eq!(hub.served(""), 300_002);
    // By its commit, a file that is there needs no request at all.
    hub.clear_requests();
    let by_commit = Revision::from(commit.clone());
    let options = DownloadOptions::default();
    let found = client.download(&model(), &by_commit, &path("config.json"), &options);
    assert!(!found.unwrap().downloaded);
    assert!(hub.requests().is_empty());
    // A name with everything that an address would take for something else.
    let found = download(&client, "sub/a b#%25.txt").unwrap();
    assert_eq!(fs::read_to_string(found.path).unwrap(), "spaces and all");
    let cache = folder.path().join("cache/models--org--name");
    assert_eq!(
        fs::read_to_string(cache.join("refs/main")).unwrap(),
        commit.as_str()
    );
}

#[test]
fn forcing_downloads_again() {
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    download(&client, "config.json").unwrap();
    let options = DownloadOptions::default().with_force(true);
    let found = client.download(&model(), &main(), &path("config.json"), &options);
    assert!(found.unwrap().downloaded);
    assert_eq!(hub.served("config.json"), 4);
    let offline = DownloadOptions::default()
        .with_force(true)
        .with_local_files_only(true);
    let error = client.download(&model(), &main(), &path("config.json"), &offline);
    assert_eq!(
        error.unwrap_err().to_string(),
        "`force` cannot be used: `local_files_only` switches the network off"
    );
}

#[test]
fn a_branch_that_moves_brings_what_changed() {
    let (hub, folder) = (StandIn::start(), temporary());
    let first = filled(&hub);
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let options = SnapshotOptions::default();
    let before = client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(before.commit, first);
    let second = hub.edit(
        "org/name",
        "main",
        &[("config.json", Some(b"{\"new\": 1}"))],
    );
    hub.clear_requests();
    let after = client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(after.commit.as_str(), second);
    assert_eq!(hub.served(""), 10, "only what changed");
    let downloaded: Vec<&str> = after
        .files
        .iter()
        .filter(|file| file.downloaded)
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(downloaded, ["config.json"]);
    assert_eq!(
        fs::read_to_string(before.folder.join("config.json")).unwrap(),
        "{}"
    );
}

/// HB-16: the branch moves between the listing and the download.
#[test]
fn a_snapshot_is_of_one_commit() {
    let (hub, folder) = (StandIn::start(), temporary());
    let first = filled(&hub);
    hub.fault(Fault::on("/tree/").once().then(|world| {
        world.edit("org/name", "main", &[("config.json", Some(b"moved"))]);
    }));
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let snapshot = client.snapshot(&model(), &main(), &SnapshotOptions::default());
    let snapshot = snapshot.unwrap();
    assert_eq!(snapshot.commit, first);
    assert_eq!(
        fs::read_to_string(snapshot.folder.join("config.json")).unwrap(),
        "{}"
    );
}

#[test]
fn a_snapshot_takes_what_matches_and_says_what_it_skips() {
    let (hub, folder) = (StandIn::start(), temporary());
    hub.model("org/name")
        .file("config.json", "{}")
        .file("sub/a?.txt", "Windows has no such name")
        .file("model.safetensors", noise(300_000, 1))
        .create();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let client = client(&hub.endpoint(), folder.path())
        .progress(Arc::new(move |event: &Event<'_>| {
            let text = match event {
                Event::Plan {
                    files,
                    bytes,
                    present,
                    ..
                } => format!("plan {files} {bytes} {present}"),
                Event::Done { path, downloaded } => format!("done {path} {downloaded}"),
                Event::Start {
                    path,
                    size,
                    resumed,
                } => format!("start {path} {size:?} {resumed}"),
                _ => return,
            };
            seen.lock().unwrap().push(text);
        }))
        .workers(1)
        .build()
        .unwrap();
    let options =
        SnapshotOptions::default().with_patterns(Patterns::all().ignore(["*.safetensors"]));
    let plan = client.plan_snapshot(&model(), &main(), &options).unwrap();
    assert_eq!((plan.files.len(), plan.bytes()), (1, 2));
    assert!(
        files_below(&folder.path().join("cache")).is_empty(),
        "a plan writes nothing"
    );
    let snapshot = client.snapshot(&model(), &main(), &options).unwrap();
    let paths: Vec<&str> = snapshot
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["config.json"]);
    assert_eq!(snapshot.skipped.len(), 1);
    assert_eq!(snapshot.skipped[0].name, "sub/a?.txt");
    assert_eq!(
        *events.lock().unwrap(),
        [
            "plan 1 2 0",
            "start config.json Some(2) 0",
            "done config.json true"
        ]
    );
    let plan = client.plan_snapshot(&model(), &main(), &options).unwrap();
    assert!(plan.files[0].present && plan.bytes() == 0);
    // The rest, later.
    let all = client.snapshot(&model(), &main(), &SnapshotOptions::default());
    let all = all.unwrap();
    assert_eq!(all.files.iter().filter(|file| file.downloaded).count(), 1);
    assert_eq!(hub.served("config.json"), 2);
}

#[test]
fn datasets_and_pull_requests_have_addresses_of_their_own() {
    let (hub, folder) = (StandIn::start(), temporary());
    hub.repository("datasets/org/data")
        .file("x.csv", "1,2")
        .create();
    let commit = hub
        .world(|world| world.commit_of("datasets/org/data", "main"))
        .unwrap();
    hub.world(|world| world.point("datasets/org/data", "refs/pr/1", &commit));
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let repo = Repo::new(RepoType::Dataset, "org/data".parse().unwrap());
    let revision = Revision::parse("refs/pr/1").unwrap();
    let found = client.download(
        &repo,
        &revision,
        &path("x.csv"),
        &DownloadOptions::default(),
    );
    assert_eq!(fs::read_to_string(found.unwrap().path).unwrap(), "1,2");
    let cache = folder.path().join("cache/datasets--org--data");
    assert_eq!(
        fs::read_to_string(cache.join("refs/refs/pr/1")).unwrap(),
        commit
    );
}

#[test]
fn a_listing_comes_in_pages() {
    let (hub, folder) = (StandIn::builder().page_size(3).start(), temporary());
    let mut repository = hub.model("org/name");
    for at in 0..10 {
        repository = repository.file(&format!("f{at}.txt"), vec![at]);
    }
    let commit = Commit::parse(&repository.create()).unwrap();
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let files = client.list_files(&model(), &commit).unwrap();
    assert_eq!(files.len(), 10);
    let pages = hub
        .requests()
        .iter()
        .filter(|r| r.path.contains("/tree/"))
        .count();
    assert!(pages >= 4, "{pages} pages");
    let snapshot = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.files.len(), 10);
    for at in 0..10_u8 {
        let file = snapshot.folder.join(format!("f{at}.txt"));
        assert_eq!(fs::read(file).unwrap(), [at]);
    }
}

#[test]
fn the_first_failure_ends_a_snapshot_and_what_is_there_stays() {
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    hub.fault(Fault::on("model.safetensors").method("GET").corrupt(7));
    let client = client(&hub.endpoint(), folder.path())
        .workers(1)
        .build()
        .unwrap();
    let error = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap_err();
    assert!(matches!(error, HubError::Checksum { .. }), "{error}");
    let cache = folder.path().join("cache/models--org--name");
    assert!(
        !cache.join("refs/main").exists(),
        "the reference comes last"
    );
    hub.clear_faults();
    let snapshot = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(
        fs::read(snapshot.folder.join("model.safetensors")).unwrap(),
        noise(300_000, 1)
    );
}

#[test]
fn links_are_not_needed() {
    let (hub, folder) = (StandIn::start(), temporary());
    filled(&hub);
    let client = client(&hub.endpoint(), folder.path())
        .symlinks(false)
        .build()
        .unwrap();
    let snapshot = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    for file in &snapshot.files {
        let place = file.path.join_to(&snapshot.folder);
        assert!(place.symlink_metadata().unwrap().is_file());
    }
    let again = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert!(again.files.iter().all(|file| !file.downloaded));
    assert_eq!(hub.served(""), 300_016);
}

#[test]
fn a_part_of_a_file_is_read() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let bytes = noise(300_000, 1);
    let read = |range| client.read_range(&model(), &commit, &path("model.safetensors"), range);
    assert_eq!(read(0..8).unwrap(), &bytes[..8]);
    assert_eq!(read(100..1100).unwrap(), &bytes[100..1100]);
    assert_eq!(read(299_990..300_100).unwrap(), &bytes[299_990..]);
    assert!(read(300_000..300_001).is_err());
    assert!(matches!(read(5..5), Err(HubError::Argument { .. })));
    assert!(matches!(read(0..u64::MAX), Err(HubError::Argument { .. })));
    hub.fault(Fault::on("model.safetensors").method("GET").ignore_range());
    assert_eq!(read(100..1100).unwrap(), &bytes[100..1100]);
    hub.clear_faults();
    hub.fault(
        Fault::on("model.safetensors")
            .method("GET")
            .once()
            .cut_after(300),
    );
    assert_eq!(read(100..1100).unwrap(), &bytes[100..1100]);
    for lie in [
        "bytes 0-999/300000",
        "bytes 100-1100/300000",
        "bytes 100-1098/300000",
        "nonsense",
    ] {
        hub.clear_faults();
        hub.fault(
            Fault::on("model.safetensors")
                .method("GET")
                .header("Content-Range", lie),
        );
        assert!(
            matches!(read(100..1100), Err(HubError::BadReply { .. })),
            "{lie}"
        );
    }
    assert!(files_below(&folder.path().join("cache")).is_empty());
}

#[test]
fn a_folder_of_plain_files() {
    let (hub, folder) = (StandIn::start(), temporary());
    let commit = filled(&hub);
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let to = folder.path().join("air-gapped");
    let options = SnapshotOptions::default().with_to(&to);
    let plan = client.plan_snapshot(&model(), &main(), &options).unwrap();
    assert!(plan.files.iter().all(|file| !file.present) && !to.exists());
    let first = client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(first.folder, to);
    assert_eq!(
        fs::read(to.join("model.safetensors")).unwrap(),
        noise(300_000, 1)
    );
    let metadata = to.join(".cache/huggingface/download/config.json.metadata");
    let metadata = fs::read_to_string(metadata).unwrap();
    assert!(metadata.starts_with(commit.as_str()));
    let visible: Vec<String> = files_below(&to)
        .into_iter()
        .filter(|name| !name.starts_with(".cache/"))
        .collect();
    assert_eq!(
        visible,
        ["config.json", "model.safetensors", "sub/a b#%25.txt"]
    );
    assert!(
        !folder
            .path()
            .join("cache/models--org--name/snapshots")
            .exists()
    );
    // Nothing changed, even if nothing were remembered: by its hash.
    fs::remove_dir_all(to.join(".cache/huggingface/download")).unwrap();
    let again = client.snapshot(&model(), &main(), &options).unwrap();
    assert!(again.files.iter().all(|file| !file.downloaded));
    // What was changed comes back, and only that.
    fs::write(to.join("config.json"), "[]").unwrap();
    fs::remove_dir_all(to.join(".cache/huggingface/download")).unwrap();
    let mended = client.snapshot(&model(), &main(), &options).unwrap();
    let downloaded: Vec<bool> = mended.files.iter().map(|file| file.downloaded).collect();
    assert_eq!(downloaded, [true, false, false]);
    assert_eq!(fs::read_to_string(to.join("config.json")).unwrap(), "{}");
    assert_eq!(hub.served("model.safetensors"), 300_000);
    // One file, the same way.
    let options = DownloadOptions::default().with_to(&to);
    let found = client
        .download(&model(), &main(), &path("config.json"), &options)
        .unwrap();
    assert!(!found.downloaded && found.path == to.join("config.json"));
    let error = client.download(&model(), &main(), &path(".cache/huggingface/x"), &options);
    assert!(matches!(error, Err(HubError::Argument { .. })));
}

/// A repository cannot write where the folder's own knowledge is, nor through a link that someone left in it.
#[cfg(unix)]
#[test]
fn a_folder_is_not_left() {
    let (hub, folder) = (StandIn::start(), temporary());
    hub.model("org/name")
        .file("config.json", "{}")
        .file("sub/x.txt", "out?")
        .file("sub/deep/y.txt", "out?")
        .file(".cache/huggingface/download/config.json.metadata", "lies")
        .create();
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let (to, outside) = (folder.path().join("to"), folder.path().join("outside"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("precious"), "mine").unwrap();
    std::os::unix::fs::symlink(&outside, to.join("sub")).unwrap();
    let options = SnapshotOptions::default().with_to(&to);
    let error = client.snapshot(&model(), &main(), &options).unwrap_err();
    assert!(error.to_string().contains("it leads to"), "{error}");
    assert_eq!(files_below(&outside), ["precious"]);
    assert!(!outside.join("deep").exists());
    fs::remove_file(to.join("sub")).unwrap();
    // A link where a file goes is replaced, and what it leads to is not touched.
    fs::create_dir_all(to.join("sub")).unwrap();
    std::os::unix::fs::symlink(outside.join("precious"), to.join("sub/x.txt")).unwrap();
    let snapshot = client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(
        fs::read_to_string(outside.join("precious")).unwrap(),
        "mine"
    );
    assert_eq!(fs::read_to_string(to.join("sub/x.txt")).unwrap(), "out?");
    let names: Vec<&str> = snapshot.skipped.iter().map(|file| &*file.name).collect();
    assert_eq!(names, [".cache/huggingface/download/config.json.metadata"]);
    let metadata = to.join(".cache/huggingface/download/config.json.metadata");
    assert!(
        fs::read_to_string(metadata)
            .unwrap()
            .starts_with(snapshot.commit.as_str())
    );
}

/// The same contents under two names take one download.
#[test]
fn equal_files_are_downloaded_once() {
    let (hub, folder) = (StandIn::start(), temporary());
    let bytes = noise(100_000, 4);
    let mut repository = hub.model("org/name");
    for at in 0..6 {
        repository = repository.lfs(&format!("copy{at}.bin"), bytes.clone());
    }
    repository.create();
    let client = client(&hub.endpoint(), folder.path()).build().unwrap();
    let snapshot = client
        .snapshot(&model(), &main(), &SnapshotOptions::default())
        .unwrap();
    assert_eq!(snapshot.files.len(), 6);
    assert_eq!(hub.served(""), 100_000);
}

/// A handshake for each of many small files would take longer than the files.
#[test]
fn connections_are_used_again() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    /// Git's SHA-1 of `hello\n`.
    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    let folder = temporary();
    let hub = Scripted::start(|asked: &Asked| {
        if asked.target.contains("/tree/") {
            let file =
                |at| format!(r#"{{"type": "file", "path": "f{at}", "size": 6, "oid": "{HELLO}"}}"#);
            let files: Vec<String> = (0..20).map(file).collect();
            return Reply::json(&format!("[{}]", files.join(",")));
        }
        if asked.target.contains("/revision/") {
            return Reply::json(&format!(r#"{{"sha": "{COMMIT}"}}"#));
        }
        if asked.target.starts_with("/stored") {
            return Reply::new(200).body("hello\n");
        }
        Reply::redirect(302, "/stored").body("Found. Redirecting.")
    });
    let client = client(&hub.endpoint(), folder.path())
        .workers(1)
        .build()
        .unwrap();
    let options = SnapshotOptions::default().with_force(true);
    client.snapshot(&model(), &main(), &options).unwrap();
    assert_eq!(hub.asked().len(), 2 + 20 * 2);
    // One for questions and one for files, whose waiting times differ.
    assert_eq!(hub.connections(), 2);
}
