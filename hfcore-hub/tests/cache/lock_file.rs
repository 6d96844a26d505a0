//! `hfcore.lock`: written as it is read, in an order that does not change, and strict about what it pins.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use hfcore_hub::cache::VerifyProgress;
use hfcore_hub::hash::{ContentHash, HashKind};
use hfcore_hub::lock_file::{LOCK_FILE_NAME, LockFile, LockedFile, LockedRepo};
use hfcore_hub::{HubError, Repo, RepoId, RepoType};

use crate::support::*;

fn go_on(_: &VerifyProgress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn pinned(bytes: &[u8], kind: HashKind) -> LockedFile {
    let hash = ContentHash::parse(kind, etag_of(kind, bytes).as_str()).unwrap();
    let size = bytes.len() as u64;
    LockedFile { size, hash }
}

fn example() -> LockedRepo {
    let files = [
        (
            path("model.safetensors"),
            pinned(&[7; 300], HashKind::Sha256),
        ),
        (path("config.json"), pinned(b"{}", HashKind::GitSha1)),
    ];
    LockedRepo::new(
        repo(),
        revision("main"),
        commit('a'),
        files.into_iter().collect(),
    )
}

#[test]
fn the_file_is_for_people_and_for_version_control() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = LockFile::new(folder.path().join(LOCK_FILE_NAME));
    let dataset = Repo::new(RepoType::Dataset, RepoId::parse("a/b").unwrap());
    let empty = BTreeMap::new();
    lock.insert(LockedRepo::new(
        dataset,
        revision("refs/pr/1"),
        commit('b'),
        empty,
    ))
    .unwrap();
    lock.insert(example()).unwrap();
    lock.write().unwrap();
    let text = fs::read_to_string(lock.path()).unwrap();
    let hash = sha256(&[7; 300]);
    let expected = format!(
        r#"{{
  "version": 1,
  "repositories": [
    {{
      "type": "model",
      "id": "org/name",
      "revision": "main",
      "commit": "{a}",
      "files": [
        {{
          "path": "config.json",
          "size": 2,
          "git-sha1": "9e26dfeeb6e641a33dae4961196235bdb965b21b"
        }},
        {{
          "path": "model.safetensors",
          "size": 300,
          "sha256": "{hash}"
        }}
      ]
    }},
    {{
      "type": "dataset",
      "id": "a/b",
      "revision": "refs/pr/1",
      "commit": "{b}",
      "files": []
    }}
  ]
}}
"#,
        a = commit('a'),
        b = commit('b'),
    );
    assert_eq!(text, expected);
    assert_eq!(LockFile::read(lock.path()).unwrap(), lock);
    // Nothing else is left in the folder.
    assert_eq!(tree(folder.path()), [LOCK_FILE_NAME]);
    assert_eq!(LockFile::read_or_new(lock.path()).unwrap(), lock);
    let none = folder.path().join("none.lock");
    assert_eq!(LockFile::read_or_new(&none).unwrap(), LockFile::new(&none));
    assert!(matches!(LockFile::read(&none), Err(HubError::Io { .. })));
}

#[test]
fn what_is_no_lock_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.lock");
    let mut lock = LockFile::new(&file);
    lock.insert(example()).unwrap();
    lock.write().unwrap();
    let good = fs::read_to_string(&file).unwrap();
    let repositories = good.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
    let config = good
        .split_once("        {\n")
        .unwrap()
        .1
        .split_once("}")
        .unwrap()
        .0;
    for (bad, why) in [
        (
            String::new(),
            "EOF while parsing a value at line 1 column 0",
        ),
        ("[]".to_owned(), "its version is null, and 1 is known"),
        (
            good.replace("\"version\": 1", "\"version\": 2"),
            "its version is 2, and 1 is known",
        ),
        (
            good.replace("\"size\": 2", "\"size\": -2"),
            "invalid value: integer `-2`, expected u64",
        ),
        (
            good.replace("\"model\"", "\"modl\""),
            "\"modl\" is no kind of repository",
        ),
        (
            good.replace("org/name", "../name"),
            "is not a repository of the Hub",
        ),
        (
            good.replace("config.json", "../config.json"),
            "is no plain file name",
        ),
        (good.replace(&"a".repeat(40), "main"), "is not a commit"),
        (
            good.replace("git-sha1", "sha256"),
            "config.json of org/name has one hash: a sha256 of 64 or a git-sha1 of 40 hexadecimal digits",
        ),
        (good.replace("git-sha1", "md5"), "unknown field `md5`"),
        (
            good.replace("model.safetensors", "config.json"),
            "config.json of org/name is in it twice",
        ),
        (
            good.replace(
                config,
                &config.replace("\"path\"", "\"sha256\": null, \"path\""),
            ),
            "",
        ),
        (
            good.replacen(repositories, &format!("{repositories},{repositories}"), 1),
            "org/name@main is in it twice",
        ),
    ] {
        fs::write(&file, &bad).unwrap();
        match LockFile::read(&file) {
            Ok(_) if why.is_empty() => {}
            Err(HubError::BadLockFile {
                why: found,
                lock_file,
            }) => {
                assert!(found.contains(why), "{found:?} is not about {why:?}");
                assert_eq!(lock_file, file);
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    // A terabyte, of which nothing is on the disk.
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let error = LockFile::read(&file).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it has more than 67108864 bytes"),
        "{error}"
    );
    assert!(LockFile::read(folder.path()).is_err());
}

#[test]
fn a_revision_is_what_it_was_pinned_to() {
    let mut lock = LockFile::new("hfcore.lock");
    lock.insert(example()).unwrap();
    assert_eq!(
        lock.require(&repo(), &revision("main")).unwrap().commit,
        commit('a')
    );
    // The commit itself is pinned, too.
    assert!(lock.entry(&repo(), &commit('a').into()).is_some());
    let error = lock.require(&repo(), &revision("v2")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hfcore.lock pins org/name to other bytes: it has revision main, and not v2"
    );
    let other = Repo::model("org/other").unwrap();
    let error = lock.require(&other, &revision("main")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hfcore.lock pins org/other to other bytes: it does not have the repository"
    );
    let locked = lock.require(&repo(), &revision("main")).unwrap();
    assert_eq!(lock.expected(locked, &path("config.json")).unwrap().size, 2);
    let error = lock.expected(locked, &path("evil.bin")).unwrap_err();
    assert!(
        error.to_string().ends_with("evil.bin is not in it"),
        "{error}"
    );
    let found = pinned(b"{}", HashKind::GitSha1);
    lock.check_file(locked, &path("config.json"), &found)
        .unwrap();
    let found = pinned(b"[]", HashKind::GitSha1);
    let error = lock
        .check_file(locked, &path("config.json"), &found)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("config.json is to be 2 bytes with git-sha1 9e26"),
        "{error}"
    );
}

#[test]
fn files_are_added_to_a_commit_and_never_changed() {
    let mut lock = LockFile::new("hfcore.lock");
    lock.insert(example()).unwrap();
    let more = |digit, name: &str, bytes: &[u8]| {
        let files = [(path(name), pinned(bytes, HashKind::GitSha1))];
        LockedRepo::new(
            repo(),
            revision("main"),
            commit(digit),
            files.into_iter().collect(),
        )
    };
    lock.insert(more('a', "vocab.txt", b"x")).unwrap();
    assert_eq!(
        lock.entry(&repo(), &revision("main")).unwrap().files.len(),
        3
    );
    let error = lock.insert(more('a', "vocab.txt", b"y")).unwrap_err();
    assert!(matches!(error, HubError::Locked { .. }), "{error}");
    assert_eq!(
        lock.entry(&repo(), &revision("main")).unwrap().files.len(),
        3
    );
    // Another commit is another set of files.
    lock.insert(more('b', "vocab.txt", b"y")).unwrap();
    let locked = lock.entry(&repo(), &revision("main")).unwrap();
    assert_eq!(
        (locked.commit.clone(), locked.files.len()),
        (commit('b'), 1)
    );
    assert!(lock.remove(&repo(), &revision("main")).is_some());
    assert_eq!(lock.repos().count(), 0);
}

#[test]
fn a_snapshot_is_pinned_and_checked() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let cached = sandbox.repo();
        put(&cached, &commit('a'), "config.json", b"{}");
        put(&cached, &commit('a'), "x/model.bin", &[7; 300]);
        let folder = cached.snapshot(&commit('a'));
        let pin = || {
            LockedRepo::of_folder(repo(), revision("main"), commit('a'), &folder, &mut go_on)
                .unwrap()
        };
        let locked = pin();
        // As the Hub names them, where links show that.
        let kind = if mode.symlinks {
            HashKind::GitSha1
        } else {
            HashKind::Sha256
        };
        assert_eq!(
            locked.files[&path("config.json")],
            pinned(b"{}", kind),
            "{mode:?}"
        );
        assert_eq!(
            locked.files[&path("x/model.bin")],
            pinned(&[7; 300], HashKind::Sha256)
        );
        let mut lock = LockFile::new(sandbox.outside().join(LOCK_FILE_NAME));
        lock.insert(locked.clone()).unwrap();
        lock.check(&locked, &folder, &mut go_on).unwrap();
        // More files do no harm: they may not be used.
        put(&cached, &commit('a'), "more.txt", b"more");
        lock.check(&locked, &folder, &mut go_on).unwrap();

        let config = folder.join("config.json");
        fs::remove_file(&config).unwrap();
        let refused = || lock.check(&locked, &folder, &mut go_on).unwrap_err();
        assert!(
            refused()
                .to_string()
                .ends_with("to other bytes: config.json is missing")
        );
        // Of the same length.
        fs::write(&config, b"[]").unwrap();
        let text = refused().to_string();
        assert!(text.contains("config.json is to be "), "{text}");
        fs::write(&config, b"").unwrap();
        let text = refused().to_string();
        assert!(
            text.ends_with("config.json is to be 2 bytes and is 0 bytes"),
            "{text}"
        );
        fs::remove_file(&config).unwrap();
        fs::create_dir(&config).unwrap();
        let text = refused().to_string();
        assert!(
            text.ends_with("and is it is a folder and no regular file"),
            "{text}"
        );
        let stopped = lock.check(&locked, &folder, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(HubError::Argument { .. })));
    }
}
