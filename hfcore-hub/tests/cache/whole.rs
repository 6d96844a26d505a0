//! The whole cache: what it holds, what deleting and pruning free and leave, what checking finds.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use hfcore_hub::HubError;
use hfcore_hub::cache::{Cache, CacheInfo, CacheProblem, DeletePlan, ExpectedFile, VerifyProgress};
use hfcore_hub::hash::{ContentHash, HashKind};
use serde_json::{Value, json};

use crate::golden::{self, CONFIG, OTHER, WEIGHTS, XET};
use crate::support::*;

/// What a scan says, as `tools/check_hub_cache.py scan` prints it.
pub(crate) fn to_json(info: &CacheInfo) -> Value {
    let root = info.cache.root();
    let below = |path: &Path| {
        path.strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let mut repos: Vec<_> = info.repos.iter().collect();
    repos.sort_by_key(|repo| &repo.folder);
    let repos = repos.into_iter().map(|repo| {
        let revisions = repo.revisions.iter().map(|revision| {
            let files = revision.files.iter().map(
                |file| json!({"path": file.path, "blob": below(&file.blob), "size": file.size}),
            );
            json!({
                "commit": revision.commit,
                "size": revision.size,
                "refs": revision.refs,
                "last_modified": seconds(revision.last_modified),
                "files": files.collect::<Value>(),
            })
        });
        json!({
            "type": repo.repo_type.as_str(),
            "id": repo.id,
            "size": repo.size,
            "blobs": repo.blobs,
            "last_accessed": seconds(repo.last_accessed),
            "last_modified": seconds(repo.last_modified),
            "revisions": revisions.collect::<Value>(),
        })
    });
    let incomplete = info.incomplete.iter();
    let unreferenced = info.prune().shared_blobs;
    json!({
        "size": info.size,
        "repos": repos.collect::<Value>(),
        "incomplete": incomplete.map(|file| json!([below(&file.path), file.size])).collect::<Value>(),
        "unreferenced": unreferenced.iter().map(|(path, size)| json!([below(path), size])).collect::<Value>(),
        "warnings": info.warnings.len(),
    })
}

fn golden() -> (Sandbox, CacheInfo) {
    let sandbox = Sandbox::new();
    golden::lay_out(sandbox.cache.root());
    let info = sandbox.cache.scan().unwrap();
    (sandbox, info)
}

fn execute(plan: &DeletePlan) {
    let deleted = plan.execute(&mut go_on);
    assert!(deleted.failures.is_empty(), "{:?}", deleted.failures);
    assert!(!deleted.stopped);
}

#[test]
fn a_scan_has_pythons_numbers() {
    let (_sandbox, info) = golden();
    let found = to_json(&info);
    assert_eq!(found, golden::scanned(), "{found:#}");
    assert_eq!(info.incomplete_size(), 4);
    let repo = info.find_repo("model/org/one").unwrap();
    assert_eq!(
        repo.refs().into_iter().collect::<Vec<_>>(),
        ["main", "refs/pr/1"]
    );
    assert_eq!(repo.cache_id(), "model/org/one");
    assert_eq!(repo.repo().unwrap().folder_name(), "models--org--one");
}

#[test]
fn a_cache_that_is_not_there_is_an_error() {
    let sandbox = Sandbox::new();
    assert!(matches!(sandbox.cache.scan(), Err(HubError::Io { .. })));
    write(sandbox.cache.root(), b"");
    assert!(matches!(sandbox.cache.scan(), Err(HubError::Io { .. })));
}

#[test]
fn what_is_wrong_is_a_warning_and_the_rest_is_listed() {
    type Damage = fn(&Sandbox);
    let damages: [(Damage, CacheProblem); 10] = [
        (|s| write(&s.path("file"), b""), CacheProblem::NotAFolder),
        (
            |s| fs::create_dir(s.path("folder")).unwrap(),
            CacheProblem::NotARepository,
        ),
        (
            |s| fs::create_dir(s.path("things--a--b")).unwrap(),
            CacheProblem::UnknownRepoType("things".to_owned()),
        ),
        (
            |s| fs::create_dir(s.path("models--a--b")).unwrap(),
            CacheProblem::NoSnapshots,
        ),
        (
            |s| {
                fs::create_dir_all(s.path("models--a--b/snapshots")).unwrap();
                write(&s.path("models--a--b/refs"), b"");
            },
            CacheProblem::RefsIsAFile,
        ),
        (
            |s| write(&s.path("models--a--b/snapshots/file"), b""),
            CacheProblem::SnapshotIsAFile,
        ),
        (
            |s| {
                symlink(
                    "../../blobs/x",
                    &s.path("models--a--b/snapshots/c/config.json"),
                );
            },
            CacheProblem::MissingBlob,
        ),
        (
            |s| {
                fs::create_dir_all(s.path("models--a--b/snapshots/c")).unwrap();
                write(&s.path("models--a--b/refs/main"), b"d");
            },
            CacheProblem::DanglingRefs(vec!["main is \"d\"".to_owned()]),
        ),
        (
            // An editor's line end: Python takes it for a part of the commit.
            |s| {
                fs::create_dir_all(s.path("models--a--b/snapshots/c")).unwrap();
                write(&s.path("models--a--b/refs/x/main"), b"c\n");
            },
            CacheProblem::DanglingRefs(vec!["x/main is \"c\\n\"".to_owned()]),
        ),
        (
            // Without its marker, the store is a folder like any other.
            |s| fs::remove_file(s.path("blobs/.huggingface-shared-blobs")).unwrap(),
            CacheProblem::NotARepository,
        ),
    ];
    for (damage, problem) in damages {
        let (sandbox, _) = golden();
        damage(&sandbox);
        let info = sandbox.cache.scan().unwrap();
        let problems: Vec<_> = info
            .warnings
            .iter()
            .map(|warning| &warning.problem)
            .collect();
        assert_eq!(problems, [&problem]);
        assert_eq!(info.repos.len(), 3, "{problem:?}");
    }
}

#[test]
fn names_of_repositories_and_commits_are_found() {
    let (_sandbox, info) = golden();
    let found = |target: &str| -> Vec<String> {
        let revisions = info.find(target).unwrap();
        revisions
            .iter()
            .map(|revision| revision.commit[..2].to_owned())
            .collect()
    };
    assert_eq!(found("org/one"), ["aa", "bb"]);
    assert_eq!(found("model/ORG/One"), ["aa", "bb"]);
    assert_eq!(found("datasets/three"), ["aa"]);
    assert_eq!(found("bbbbbbb"), ["bb"]);
    assert_eq!(found("BBBBBBBB"), ["bb"]);
    assert_eq!(found("org/one@aaaaaaa"), ["aa"]);
    assert_eq!(found(&"c".repeat(40)), ["cc"]);
    for (target, why) in [
        ("three", "it is no repository in the cache, and no commit"),
        ("bbbb", "it is no repository in the cache, and no commit"),
        ("ddddddd", "the cache has no commit that begins so"),
        ("org/two@aaaaaaa", "the cache has no commit that begins so"),
        ("org/x@aaaaaaa", "the cache has no repository org/x"),
    ] {
        let text = info.find(target).unwrap_err().to_string();
        assert_eq!(text, format!("{target:?} cannot be used: {why}"));
    }
    let a = "a".repeat(40);
    assert_eq!(
        info.find("aaaaaaa").unwrap_err().to_string(),
        format!("\"aaaaaaa\" cannot be used: it could be model/org/one@{a} or dataset/three@{a}")
    );
}

#[test]
fn a_revision_takes_only_what_no_other_has() {
    let (sandbox, info) = golden();
    let plan = info.delete_revisions(&info.find("bbbbbbb").unwrap());
    assert_eq!(plan.expected_freed, 2, "its config; the weights stay");
    let before = sandbox.tree();
    execute(&plan);
    let after = sandbox.tree();
    let gone: Vec<_> = before
        .into_iter()
        .filter(|line| !after.contains(line))
        .collect();
    let b = "b".repeat(40);
    assert_eq!(
        gone,
        [
            format!("models--org--one/blobs/{OTHER}"),
            format!("models--org--one/snapshots/{b}/config.json -> ../../blobs/{OTHER}"),
            format!("models--org--one/snapshots/{b}/model.bin -> ../../blobs/{WEIGHTS}"),
        ]
    );
    // Again: nothing is there, and that is no failure.
    execute(&plan);
    // The references to it go with it.
    let plan = info.delete_revisions(&info.find("org/one@aaaaaaa").unwrap());
    let refs: Vec<_> = plan.refs.iter().collect();
    assert_eq!(
        refs,
        [
            &sandbox.path("models--org--one/refs/main"),
            &sandbox.path("models--org--one/refs/refs/pr/1")
        ]
    );
}

#[test]
fn shared_contents_go_with_the_last_that_has_them() {
    let (sandbox, info) = golden();
    let entry = sandbox.path(&format!("blobs/22/{XET}"));
    let refs = sandbox.path(&format!("blobs/22/{XET}.refs"));
    let plan = info.delete_revisions(&info.find("org/one").unwrap());
    assert_eq!(
        plan.expected_freed, 4,
        "two small files: the other repository has the weights"
    );
    execute(&plan);
    assert!(!sandbox.path("models--org--one").exists());
    assert!(entry.exists());
    let expected = format!("models--org--two/blobs/{WEIGHTS}\n");
    assert_eq!(fs::read_to_string(&refs).unwrap(), expected);
    let info = sandbox.cache.scan().unwrap();
    let plan = info.delete_revisions(&info.find("org/two").unwrap());
    assert_eq!(plan.expected_freed, 27);
    execute(&plan);
    assert!(!entry.exists() && !refs.exists());
    // Both at once free them, too.
    let (_sandbox, info) = golden();
    let all: Vec<_> = info.repos.iter().collect();
    assert_eq!(info.delete_repos(&all).expected_freed, 27 + 4 + 5);
}

/// A manifest is a hint, and where it says nothing the contents stay.
#[test]
fn shared_contents_stay_when_it_is_not_known_who_has_them() {
    let strip = |sandbox: &Sandbox, manifest: Option<&[u8]>| {
        let refs = sandbox.path(&format!("blobs/22/{XET}.refs"));
        fs::remove_file(&refs).unwrap();
        if let Some(text) = manifest {
            fs::write(&refs, text).unwrap();
        }
    };
    for manifest in [None, Some(&b"\xff"[..])] {
        let (sandbox, _) = golden();
        strip(&sandbox, manifest);
        let info = sandbox.cache.scan().unwrap();
        let all: Vec<_> = info.repos.iter().collect();
        let plan = info.delete_repos(&all);
        assert_eq!(plan.expected_freed, 4 + 5);
        execute(&plan);
        assert!(sandbox.path(&format!("blobs/22/{XET}")).exists());
        assert_eq!(sandbox.cache.scan().unwrap().prune().shared_blobs.len(), 1);
    }
    // Lines that name nothing of this cache do not keep it.
    let (sandbox, _) = golden();
    let hostile = "../../etc/passwd\n/etc/passwd\nmodels--x/refs/main\nmodels--x/blobs/..\n\n";
    strip(&sandbox, Some(hostile.as_bytes()));
    let info = sandbox.cache.scan().unwrap();
    // But links that are there do, though no line names them: Python would remove what they lead to.
    assert_eq!(
        info.prune().shared_blobs.len(),
        1,
        "the one that was lost before"
    );
    execute(&info.delete_revisions(&info.find("org/two").unwrap()));
    assert!(sandbox.path(&format!("blobs/22/{XET}")).exists());
    let info = sandbox.cache.scan().unwrap();
    execute(&info.delete_revisions(&info.find("org/one").unwrap()));
    assert!(!sandbox.path(&format!("blobs/22/{XET}")).exists());
    // Without locks somebody could be linking to it.
    let (sandbox, _) = golden();
    let blind = sandbox.cache.clone().with_locks(false);
    blind.scan().unwrap().prune().execute(&mut go_on);
    assert_eq!(sandbox.cache.scan().unwrap().prune().shared_blobs.len(), 1);
}

#[test]
fn single_files_go_and_the_rest_stays() {
    let (sandbox, info) = golden();
    let repo = info.find_repo("org/one").unwrap();
    let files: Vec<_> = repo.revisions[0]
        .files
        .iter()
        .filter(|file| file.path == "config.json")
        .collect();
    let plan = info.delete_files(&files);
    assert_eq!(
        plan.expected_freed, 0,
        "another file of the revision has the same contents"
    );
    execute(&plan);
    let info = sandbox.cache.scan().unwrap();
    let repo = info.find_repo("org/one").unwrap();
    assert_eq!(repo.revisions[0].files.len(), 2);
    let all: Vec<_> = repo
        .revisions
        .iter()
        .flat_map(|revision| &revision.files)
        .collect();
    let plan = info.delete_files(&all);
    assert_eq!(plan.expected_freed, 4);
    execute(&plan);
    assert!(
        !sandbox
            .path(&format!("models--org--one/blobs/{CONFIG}"))
            .exists()
    );
    assert!(sandbox.path("models--org--one/refs/main").exists());
    // A copy is its own contents.
    let info = sandbox.cache.scan().unwrap();
    let copy = &info.find_repo("dataset/three").unwrap().revisions[0].files[0];
    let plan = info.delete_files(&[copy]);
    assert_eq!((plan.expected_freed, plan.blobs.len()), (5, 0));
    execute(&plan);
}

#[test]
fn deleting_stops_when_told_and_what_is_left_works() {
    let (sandbox, info) = golden();
    let plan = info.delete_revisions(&info.find("bbbbbbb").unwrap());
    let deleted = plan.execute(&mut |path| {
        if path.starts_with(sandbox.path("models--org--one/blobs")) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(deleted.stopped);
    assert_eq!(deleted.removed, 1);
    assert!(
        sandbox
            .path(&format!("models--org--one/blobs/{OTHER}"))
            .exists()
    );
    assert_eq!(sandbox.cache.scan().unwrap().warnings, []);
}

#[test]
fn what_is_being_downloaded_stays() {
    let (sandbox, info) = golden();
    let repo = sandbox
        .cache
        .repo(&hfcore_hub::Repo::model("org/one").unwrap());
    let etag = hfcore_hub::cache::ETag::parse(OTHER).unwrap();
    let lock = repo.lock(&etag, &mut |_| {});
    for target in ["bbbbbbb", "org/one"] {
        let plan = info.delete_revisions(&info.find(target).unwrap());
        let failures = plan.execute(&mut go_on).failures;
        assert_eq!(failures.len(), 1, "{failures:?}");
        let text = failures[0].chain();
        assert!(
            text.ends_with("another process is downloading it"),
            "{text}"
        );
        assert!(
            sandbox
                .path(&format!("models--org--one/blobs/{OTHER}"))
                .exists()
        );
    }
    drop(lock);
    execute(&info.delete_revisions(&info.find("org/one").unwrap()));
    assert!(!sandbox.path("models--org--one").exists());
}

#[test]
fn pruning_removes_what_nobody_needs() {
    let (sandbox, info) = golden();
    let plan = info.prune();
    assert_eq!(plan.revisions.snapshots.len(), 1);
    assert_eq!(plan.incomplete.len(), 1);
    assert_eq!(plan.shared_blobs.len(), 1);
    assert_eq!(plan.expected_freed, 2 + 4 + 4);
    assert!(!plan.is_empty());
    let deleted = plan.execute(&mut go_on);
    assert!(deleted.failures.is_empty(), "{:?}", deleted.failures);
    assert_eq!(
        deleted.removed, 4,
        "a snapshot, its blob, half a download, a shared blob"
    );
    let info = sandbox.cache.scan().unwrap();
    assert!(info.prune().is_empty());
    assert_eq!(info.warnings, []);
    assert_eq!(info.size, 27 + 2 + 5);
}

#[test]
fn downloads_under_way_are_not_pruned() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let (ours, pythons) = (sha256(b"ours"), sha256(b"pythons"));
    let lock = repo.lock(&ours, &mut |_| {});
    let mut partial = repo.partial(&ours, Some(4), &lock).unwrap();
    partial.write_all(b"ou").unwrap();
    drop(lock);
    // Python holds the lock of the blob alone.
    let pythons_lock = repo.lock(&pythons, &mut |_| {});
    let half = repo
        .folder()
        .join(format!("blobs/{pythons}.12345678.incomplete"));
    write(&half, b"pyt");
    // The snapshots of a repository come with its first file.
    fs::create_dir_all(repo.folder().join("snapshots")).unwrap();
    let plan = || sandbox.cache.scan().unwrap().prune();
    assert_eq!(sandbox.cache.scan().unwrap().incomplete.len(), 2);
    assert!(plan().is_empty());
    let both = |plan: &hfcore_hub::cache::PrunePlan| plan.incomplete.len();
    drop(pythons_lock);
    assert_eq!(both(&plan()), 1);
    let planned = plan();
    let again = repo.lock(&pythons, &mut |_| {});
    // Taken up between the plan and its execution.
    assert_eq!(planned.execute(&mut go_on).removed, 0);
    assert!(half.exists());
    drop((again, partial));
    assert_eq!(both(&plan()), 2);
    // Without locks only age tells.
    let blind = sandbox.cache.clone().with_locks(false);
    assert_eq!(both(&blind.scan().unwrap().prune()), 0);
    age(&half, 25);
    assert_eq!(both(&blind.scan().unwrap().prune()), 1);
    plan().execute(&mut go_on);
    assert_eq!(sandbox.tree(), [""; 0]);
}

#[test]
fn leftovers_of_crashes_are_pruned_after_a_day() {
    let (sandbox, info) = golden();
    info.prune().execute(&mut go_on);
    let b = "b".repeat(40);
    let leftovers = [
        "models--org--one/ref.1234abcd.tmp".to_owned(),
        "models--org--one/refs/refs/pr/1.1234abcd.tmp".to_owned(),
        format!("models--org--one/trees/{b}.1234abcd.tmp"),
        "models--org--one/trees/tmpab12cd.tmp".to_owned(),
        format!("models--org--one/blobs/.{WEIGHTS}.1234abcd.shared"),
        "models--org--one/blobs/tmp_01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        "blobs/.huggingface-shared-blobs.1234abcd.tmp".to_owned(),
        format!("blobs/22/{XET}.refs.1234abcd.tmp"),
        ".locks/symlink-trial.1234abcd.tmp".to_owned(),
    ];
    let innocent = [
        format!("models--org--one/trees/{b}.json"),
        "models--org--one/blobs/1234abcd.tmp".to_owned(),
        "models--org--one/refs/tmp".to_owned(),
    ];
    for file in leftovers.iter().chain(&innocent) {
        // A reference that was not renamed yet is a whole one.
        write(
            &sandbox.path(file),
            if file.contains("/refs/") {
                "a".repeat(40)
            } else {
                String::new()
            }
            .as_bytes(),
        );
    }
    let plan = || sandbox.cache.scan().unwrap().prune();
    assert!(plan().leftovers.is_empty(), "somebody may be writing them");
    for file in leftovers.iter().chain(&innocent) {
        age(&sandbox.path(file), 25);
    }
    let mut expected: Vec<_> = leftovers.iter().map(|file| sandbox.path(file)).collect();
    expected.sort();
    let plan = plan();
    assert_eq!(plan.leftovers, expected);
    plan.execute(&mut go_on);
    assert!(leftovers.iter().all(|file| !sandbox.path(file).exists()));
    assert!(innocent.iter().all(|file| sandbox.path(file).exists()));
}

fn on(_: &VerifyProgress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn damaged_blobs_are_found_and_set_aside() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let config = put(&repo, &commit('a'), "config.json", b"{}");
    put(&repo, &commit('a'), "model.bin", &[7; 300]);
    let opaque = hfcore_hub::cache::ETag::parse("opaque").unwrap();
    download(&repo, &commit('a'), "opaque", b"x", &opaque).unwrap();
    let report = sandbox.cache.verify_blobs(&mut on).unwrap();
    assert_eq!(
        (report.matching, report.damaged.len(), report.unknown.len()),
        (2, 0, 1)
    );
    // One bit of the disk.
    fs::write(repo.find_blob(&git_sha1(b"{}"), None).unwrap(), b"[}").unwrap();
    let mut read = Vec::new();
    let report = repo
        .verify_blobs(&mut |progress| {
            read.push(progress.read);
            on(progress)
        })
        .unwrap();
    assert_eq!(read, [0, 2, 0, 300]);
    let [damaged] = &report.damaged[..] else {
        panic!("{report:?}");
    };
    assert_eq!(damaged.repo, "models--org--name");
    assert_eq!(damaged.expected, format!("git-sha1 {CONFIG}"));
    assert_eq!(damaged.found, format!("git-sha1 {}", git_sha1(b"[}")));
    damaged.set_aside().unwrap();
    assert_eq!(
        repo.lookup(&commit('a'), &path("config.json")).unwrap(),
        hfcore_hub::cache::Lookup::Unknown
    );
    put(&repo, &commit('a'), "config.json", b"{}");
    assert_eq!(fs::read(config).unwrap(), b"{}");
    assert_eq!(sandbox.cache.verify_blobs(&mut on).unwrap().matching, 2);
    let stopped = sandbox
        .cache
        .verify_blobs(&mut |_| ControlFlow::Break(()))
        .unwrap();
    assert!(stopped.stopped && stopped.matching == 0);
}

#[test]
fn a_shared_blob_that_is_damaged_is_unlinked() {
    let (sandbox, _) = golden();
    let report = sandbox.cache.verify_blobs(&mut on).unwrap();
    // What `golden` calls the SHA-256 of the weights is not it.
    assert_eq!(report.damaged.len(), 2, "{report:?}");
    for damaged in &report.damaged {
        damaged.set_aside().unwrap();
    }
    assert!(sandbox.path(&format!("blobs/22/{XET}")).exists());
    assert_eq!(sandbox.cache.verify_blobs(&mut on).unwrap().damaged, []);
}

#[test]
fn a_snapshot_is_compared_with_what_the_hub_says() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        put(&repo, &commit('a'), "config.json", b"{}");
        put(&repo, &commit('a'), "x/model.bin", &[7; 300]);
        let hash = |kind, bytes: &[u8]| ContentHash::parse(kind, etag_of(kind, bytes).as_str());
        let expect = |size: u64, hash| ExpectedFile {
            size: Some(size),
            hash,
        };
        let expected = [
            (
                path("config.json"),
                expect(2, hash(HashKind::GitSha1, b"{}")),
            ),
            (path("vocab.txt"), expect(2, hash(HashKind::GitSha1, b"{}"))),
            (
                path("x/model.bin"),
                expect(300, hash(HashKind::Sha256, &[8; 300])),
            ),
        ];
        let expected = expected.into_iter().collect();
        let report = repo.verify(&commit('a'), Some(&expected), &mut on).unwrap();
        assert_eq!(
            (report.matching, &report.missing[..], report.extra.len()),
            (1, &["vocab.txt".to_owned()][..], 0)
        );
        assert_eq!(report.mismatched.len(), 1);
        assert_eq!(report.mismatched[0].path, "x/model.bin");
        assert!(!report.is_ok());
        put(&repo, &commit('a'), "more.txt", b"more");
        let report = repo.verify(&commit('a'), Some(&expected), &mut on).unwrap();
        assert_eq!(report.extra, ["more.txt"]);

        // By itself the cache knows what it has by the names of blobs; copies have none, until the files are listed.
        let report = repo.verify(&commit('a'), None, &mut on).unwrap();
        assert!(report.is_ok() && report.extra.is_empty());
        let known = if mode.symlinks { (3, 0) } else { (0, 3) };
        assert_eq!((report.matching, report.unknown.len()), known, "{mode:?}");
        let listing = [
            (
                path("config.json"),
                hfcore_hub::cache::ListedFile::new(2, CONFIG.to_owned()),
            ),
            (
                path("x/model.bin"),
                hfcore_hub::cache::ListedFile::new(130, "0".repeat(40))
                    .with_lfs(sha256(&[7; 300]).to_string(), 300),
            ),
        ];
        repo.write_listing(&commit('a'), &listing.into_iter().collect())
            .unwrap();
        let pointer = repo.snapshot(&commit('a')).join("x/model.bin");
        let report = repo.verify(&commit('a'), None, &mut on).unwrap();
        assert!(report.is_ok() && report.matching >= 2, "{report:?}");
        fs::write(&pointer, [9; 300]).unwrap();
        let report = repo.verify(&commit('a'), None, &mut on).unwrap();
        assert_eq!(report.mismatched.len(), 1, "{report:?}");
        let error = repo.verify(&commit('b'), None, &mut on).unwrap_err();
        assert!(matches!(error, HubError::NotCached { .. }), "{error}");
    }
}

/// A file that leads out of the cache is none of it, even if its bytes were the right ones.
#[test]
fn a_snapshot_that_leads_out_of_the_cache_does_not_match() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let outside = sandbox.outside().join("config.json");
    write(&outside, b"{}");
    symlink(&outside, &repo.snapshot(&commit('a')).join("config.json"));
    let hash = ContentHash::parse(HashKind::GitSha1, CONFIG);
    let expected = [(path("config.json"), ExpectedFile { size: None, hash })];
    let report = repo
        .verify(&commit('a'), Some(&expected.into_iter().collect()), &mut on)
        .unwrap();
    assert_eq!(report.mismatched.len(), 1);
    assert!(
        report.mismatched[0].found.contains("it leads out of"),
        "{report:?}"
    );
}

/// Contents that another repository brought, by Python and the Xet protocol.
fn shared(sandbox: &Sandbox, bytes: &[u8]) -> std::path::PathBuf {
    let entry = sandbox.path(&format!("blobs/22/{XET}"));
    write(&sandbox.path("blobs/.huggingface-shared-blobs"), b"1\n");
    write(&entry, bytes);
    entry
}

#[test]
fn contents_that_another_repository_brought_are_linked_to() {
    let sandbox = Sandbox::new();
    let bytes = [7; 300];
    let entry = shared(&sandbox, &bytes);
    let (repo, etag) = (sandbox.repo(), sha256(&bytes));
    let lock = repo.lock(&etag, &mut |_| {});
    let blob = repo.reuse_shared(&etag, XET, 300, &lock).unwrap();
    assert_eq!(repo.find_blob(&etag, Some(300)).unwrap(), blob);
    assert_eq!(repo.find_blob(&etag, Some(299)), None);
    let pointer = repo.link(&commit('a'), &path("model.bin"), &etag).unwrap();
    assert_eq!(
        repo.lookup(&commit('a'), &path("model.bin")).unwrap(),
        hfcore_hub::cache::Lookup::Found(pointer.clone())
    );
    assert_eq!(pointer.canonicalize().unwrap(), entry);
    assert_eq!(
        sandbox.tree(),
        [
            "blobs/.huggingface-shared-blobs".to_owned(),
            format!("blobs/22/{XET}"),
            format!("blobs/22/{XET}.lock"),
            format!("blobs/22/{XET}.refs"),
            format!("models--org--name/blobs/{etag} -> ../../blobs/22/{XET}"),
            format!(
                "models--org--name/snapshots/{}/model.bin -> ../../blobs/{etag}",
                commit('a')
            ),
        ]
    );
    let manifest = fs::read_to_string(sandbox.path(&format!("blobs/22/{XET}.refs"))).unwrap();
    assert_eq!(manifest, format!("models--org--name/blobs/{etag}\n"));
    assert_eq!(sandbox.cache.scan().unwrap().size, 300);
    assert_eq!(sandbox.cache.verify_blobs(&mut on).unwrap().matching, 1);
}

#[test]
fn contents_that_are_not_the_right_ones_are_not_used() {
    let bytes = [7; 300];
    let etag = sha256(&bytes);
    type Damage = fn(&Sandbox, &Path);
    let damages: [Damage; 7] = [
        |_, entry| fs::write(entry, [7; 299]).unwrap(),
        // Of the right length: Python would use them.
        |_, entry| fs::write(entry, [8; 300]).unwrap(),
        |_, entry| fs::remove_file(entry).unwrap(),
        |sandbox, entry| {
            fs::rename(entry, sandbox.outside().join("x")).unwrap();
            symlink(sandbox.outside().join("x"), entry);
        },
        |_, entry| {
            fs::remove_file(entry).unwrap();
            pipe(entry);
        },
        |sandbox, _| fs::remove_file(sandbox.path("blobs/.huggingface-shared-blobs")).unwrap(),
        |sandbox, _| fs::write(sandbox.path("blobs/.huggingface-shared-blobs"), b"2\n").unwrap(),
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let sandbox = Sandbox::new();
        let entry = shared(&sandbox, &bytes);
        damage(&sandbox, &entry);
        let repo = sandbox.repo();
        let lock = repo.lock(&etag, &mut |_| {});
        assert_eq!(repo.reuse_shared(&etag, XET, 300, &lock), None, "{index}");
        assert!(
            !sandbox.tree().iter().any(|line| line.contains("models--")),
            "{index}"
        );
    }
    let sandbox = Sandbox::new();
    shared(&sandbox, &bytes);
    let off: [Cache; 3] = [
        sandbox.cache.clone().with_shared_blobs(false),
        sandbox.cache.clone().with_symlinks(false),
        sandbox.cache.clone().with_locks(false),
    ];
    for cache in off {
        let repo = cache.repo(&repo());
        let lock = repo.lock(&etag, &mut |_| {});
        assert_eq!(repo.reuse_shared(&etag, XET, 300, &lock), None);
    }
    let repo = sandbox.repo();
    let lock = repo.lock(&etag, &mut |_| {});
    for hash in ["", "../../x", &XET[..63], &XET.to_uppercase()] {
        assert_eq!(repo.reuse_shared(&etag, hash, 300, &lock), None, "{hash}");
    }
    assert!(repo.reuse_shared(&etag, XET, 300, &lock).is_some());
}
