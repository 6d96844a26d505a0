//! Nothing in a cache is believed: not where a link leads, not what a reference says, not that a file is one.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use hfcore_hub::HubError;
use hfcore_hub::cache::{CacheProblem, IfPresent, Lookup, RepoCache};

use crate::support::*;

const FOLDER: &str = "models--org--name";

fn lookup(repo: &RepoCache, file: &str) -> Result<Lookup, HubError> {
    repo.lookup(&commit('a'), &path(file))
}

fn refused(sandbox: &Sandbox, file: &str) -> String {
    match lookup(&sandbox.repo(), file) {
        Err(error @ HubError::CacheDamaged { .. }) => message(sandbox, &error),
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn links_out_of_the_repository_are_refused() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "config.json", b"{}");
    let snapshot = repo.snapshot(&commit('a'));
    let secret = sandbox.outside().join("secret");
    write(&secret, b"secret");
    symlink(&secret, &snapshot.join("absolute"));
    symlink("../../../../outside/secret", &snapshot.join("relative"));
    symlink(sandbox.outside(), &snapshot.join("folder"));
    // A chain: to a blob, which is a link itself.
    symlink(&secret, &repo.folder().join("blobs/5d8c-61f2"));
    symlink("../../blobs/5d8c-61f2", &snapshot.join("chain"));
    // Another repository's blob, another commit's file, a reference, a download under way.
    let other = sandbox
        .cache
        .repo(&hfcore_hub::Repo::model("org/other").unwrap());
    put(&other, &commit('a'), "config.json", b"[]");
    let others_blob = format!("../../../models--org--other/blobs/{}", git_sha1(b"[]"));
    symlink(others_blob, &snapshot.join("others"));
    put(&repo, &commit('b'), "x/model.bin", &[1; 200]);
    symlink(format!("../{}/x", "b".repeat(40)), &snapshot.join("commit"));
    fs::write(repo.folder().join("blobs/abc.12345678.incomplete"), b"half").unwrap();
    symlink(
        "../../blobs/abc.12345678.incomplete",
        &snapshot.join("half"),
    );

    for file in ["absolute", "relative", "folder/secret", "chain", "others"] {
        let text = refused(&sandbox, file);
        let begin = format!(
            "CACHE/{FOLDER}/snapshots/{}/{file} in the cache is not used",
            "a".repeat(40)
        );
        assert!(text.starts_with(&begin), "{text}");
        assert!(
            text.contains("it leads out of the repository's blobs, to "),
            "{text}"
        );
    }
    assert!(refused(&sandbox, "half").contains("which is no blob"));
    // A folder of the commit that is a link to another commit's: what it leads to is a blob of this repository.
    assert!(matches!(
        lookup(&repo, "commit/model.bin"),
        Ok(Lookup::Found(_))
    ));
    // That the blob is a link to somewhere else is seen before anything is linked to it.
    let etag = hfcore_hub::cache::ETag::parse("5d8c-61f2").unwrap();
    assert_eq!(repo.find_blob(&etag, None), None);
    for cache in [&sandbox.cache, &sandbox.cache.clone().with_symlinks(false)] {
        let error = cache
            .repo(&crate::support::repo())
            .link(&commit('c'), &path("new"), &etag)
            .unwrap_err();
        assert!(
            matches!(error, HubError::Io { doing: "found", .. }),
            "{error}"
        );
    }
    // A new download takes its place, and does not write through it.
    let (found, new) = download(&repo, &commit('c'), "new", b"123456", &etag).unwrap();
    assert!(new);
    assert_eq!(fs::read(found).unwrap(), b"123456");
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[test]
fn links_that_stay_inside_are_followed() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "x/config.json", b"{}");
    let snapshot = repo.snapshot(&commit('a'));
    symlink("x", &snapshot.join("y"));
    symlink("x/config.json", &snapshot.join("link"));
    for file in ["y/config.json", "link"] {
        assert!(
            matches!(lookup(&repo, file), Ok(Lookup::Found(_))),
            "{file}"
        );
    }
    // The user has put the repository, and the cache, on another disk.
    let elsewhere = sandbox.outside().join("disk");
    fs::rename(repo.folder(), &elsewhere).unwrap();
    symlink(&elsewhere, repo.folder());
    assert!(matches!(
        lookup(&repo, "x/config.json"),
        Ok(Lookup::Found(_))
    ));
    put(&repo, &commit('a'), "z", b"1");
    let cache = sandbox.outside().join("cache");
    symlink(sandbox.cache.root(), &cache);
    let repo = hfcore_hub::Cache::new(cache).repo(&repo.repo().clone());
    for file in ["x/config.json", "z"] {
        assert!(
            matches!(lookup(&repo, file), Ok(Lookup::Found(_))),
            "{file}"
        );
    }
}

#[test]
fn the_folders_of_a_repository_are_no_links() {
    for (part, file) in [("blobs", "config.json"), ("snapshots", "config.json")] {
        for mode in MODES {
            let sandbox = Sandbox::in_mode(mode);
            let repo = sandbox.repo();
            let other = sandbox.outside().join(part);
            fs::create_dir_all(&other).unwrap();
            fs::create_dir_all(repo.folder()).unwrap();
            symlink(&other, &repo.folder().join(part));
            let etag = git_sha1(b"{}");
            let error = download(&repo, &commit('a'), file, b"{}", &etag).unwrap_err();
            assert!(
                matches!(error, HubError::CacheDamaged { .. }),
                "{mode:?}: {error}"
            );
            assert_eq!(fs::read_dir(&other).unwrap().count(), 0, "{mode:?}");
        }
    }
    // What is there already is not read through one either.
    let sandbox = Sandbox::new();
    put(&sandbox.repo(), &commit('a'), "config.json", b"{}");
    let blobs = sandbox.path(&format!("{FOLDER}/blobs"));
    let other = sandbox.outside().join("blobs");
    fs::rename(&blobs, &other).unwrap();
    symlink(&other, &blobs);
    refused(&sandbox, "config.json");
}

#[test]
fn snapshots_are_not_written_through_links() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let outside = sandbox.outside();
        symlink(&outside, &repo.snapshot(&commit('a')).join("folder"));
        let etag = git_sha1(b"{}");
        for file in ["folder/x", "folder/y/x"] {
            let error = download(&repo, &commit('a'), file, b"{}", &etag).unwrap_err();
            let text = message(&sandbox, &error);
            assert!(
                text.ends_with(
                    "/folder in the cache is not used: it is a link, where a folder has to be"
                ),
                "{text}"
            );
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        // The file itself may be a link: it is replaced.
        let secret = outside.join("secret");
        write(&secret, b"secret");
        let pointer = repo.snapshot(&commit('c')).join("file");
        symlink(&secret, &pointer);
        let lock = repo.lock(&etag, &mut |_| {});
        let mut partial = repo.partial(&etag, Some(2), &lock).unwrap();
        // What could not be published above may be taken up.
        partial.restart().unwrap();
        partial.write_all(b"{}").unwrap();
        repo.publish(partial, &commit('c'), &path("file"), IfPresent::Keep)
            .unwrap();
        assert_eq!(fs::read(&pointer).unwrap(), b"{}");
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
    }
}

/// Opening a pipe for reading waits for whoever writes to it: for ever.
#[test]
fn pipes_are_never_waited_for() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = git_sha1(b"{}");
    pipe(&repo.snapshot(&commit('a')).join("pipe"));
    pipe(&repo.folder().join("blobs").join(etag.as_str()));
    symlink(
        format!("../../blobs/{etag}"),
        &repo.snapshot(&commit('a')).join("blob"),
    );
    pipe(&repo.folder().join("refs/main"));
    pipe(&repo.folder().join(format!("trees/{}.json", commit('a'))));
    pipe(&sandbox.path(&format!(".locks/{FOLDER}/{etag}.lock")));

    assert!(refused(&sandbox, "pipe").ends_with("it is no regular file"));
    assert!(refused(&sandbox, "blob").ends_with("it is no regular file"));
    let error = repo.commit_of(&revision("main")).unwrap_err();
    assert_eq!(
        message(&sandbox, &error),
        format!(
            "CACHE/{FOLDER}/refs/main in the cache is not used: it is a pipe, a socket or a device and no regular file"
        )
    );
    assert_eq!(repo.read_listing(&commit('a')), None);
    assert_eq!(repo.find_blob(&etag, None), None);
    assert!(!repo.lock(&etag, &mut |_| {}).is_held());
    // All of them give way to what belongs there.
    put(&repo, &commit('b'), "config.json", b"{}");
    assert!(matches!(
        repo.lookup(&commit('b'), &path("config.json")),
        Ok(Lookup::Found(_))
    ));
    repo.write_ref(&revision("main"), &commit('b')).unwrap();
    assert_eq!(
        repo.commit_of(&revision("main")).unwrap(),
        Some(commit('b'))
    );
    // The whole cache, too, is looked through without waiting.
    pipe(&repo.folder().join("refs/other"));
    pipe(&sandbox.cache.root().join("pipe"));
    let info = sandbox.cache.scan().unwrap();
    assert_eq!(info.warnings.len(), 2, "{:?}", info.warnings);
    assert!(info.prune().is_empty());
    fs::remove_file(repo.folder().join("refs/other")).unwrap();
    let report = sandbox
        .cache
        .verify_blobs(&mut |_| ControlFlow::Continue(()));
    assert_eq!(report.unwrap().matching, 1);
}

#[test]
fn folders_are_no_files() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = git_sha1(b"{}");
    fs::create_dir_all(repo.folder().join("refs/main/x")).unwrap();
    fs::create_dir_all(repo.folder().join("blobs").join(etag.as_str())).unwrap();
    fs::create_dir_all(sandbox.path(&format!(".locks/{FOLDER}/{etag}.lock"))).unwrap();
    fs::create_dir_all(repo.folder().join(format!("trees/{}.json", commit('a')))).unwrap();
    let absent = format!(".no_exist/{}/config.json", commit('a'));
    fs::create_dir_all(repo.folder().join(absent)).unwrap();
    assert_eq!(repo.commit_of(&revision("main")).unwrap(), None);
    assert_eq!(repo.read_listing(&commit('a')), None);
    assert_eq!(repo.find_blob(&etag, None), None);
    assert_eq!(lookup(&repo, "config.json").unwrap(), Lookup::Unknown);
    assert!(!repo.lock(&etag, &mut |_| {}).is_held());
    let error = repo.write_ref(&revision("main"), &commit('a')).unwrap_err();
    assert_eq!(
        message(&sandbox, &error),
        format!("CACHE/{FOLDER}/refs/main could not be written")
    );
    let error = download(&repo, &commit('a'), "config.json", b"{}", &etag).unwrap_err();
    assert_eq!(
        message(&sandbox, &error),
        format!("CACHE/{FOLDER}/blobs/{etag} could not be renamed")
    );
    assert!(!sandbox.tree().iter().any(|line| line.contains(".tmp")));
}

#[test]
fn links_in_a_circle_are_refused() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let snapshot = repo.snapshot(&commit('a'));
    symlink("b", &snapshot.join("a"));
    symlink("a", &snapshot.join("b"));
    symlink(".", &snapshot.join("here"));
    refused(&sandbox, "a");
    // Found, or not, but never for ever.
    assert_eq!(lookup(&repo, "here/here/here/x").unwrap(), Lookup::Unknown);
    let info = sandbox.cache.scan().unwrap();
    assert_eq!(info.warnings.len(), 1);
}

#[test]
fn a_reference_is_a_commit_or_nothing() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let main = sandbox.path(&format!("{FOLDER}/refs/main"));
    let long = "a".repeat(10_000);
    for garbage in [
        "",
        "main",
        "../../../etc",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0",
        "\u{feff}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        &long,
    ] {
        write(&main, garbage.as_bytes());
        let error = repo.commit_of(&revision("main")).unwrap_err();
        let text = message(&sandbox, &error);
        assert!(
            text.starts_with(&format!(
                "CACHE/{FOLDER}/refs/main in the cache is not used: "
            )),
            "{text}"
        );
        assert!(text.len() < 500, "{text}");
    }
    write(&main, b"\xff\xfe");
    assert!(repo.commit_of(&revision("main")).is_err());
    // A terabyte, of which nothing is on the disk.
    fs::File::create(&main).unwrap().set_len(1 << 40).unwrap();
    let error = repo.commit_of(&revision("main")).unwrap_err();
    assert!(
        error.to_string().ends_with("it has more than 1024 bytes"),
        "{error}"
    );
    // A link, even to a commit.
    fs::remove_file(&main).unwrap();
    let commit_file = sandbox.outside().join("commit");
    write(&commit_file, "a".repeat(40).as_bytes());
    symlink(&commit_file, &main);
    let error = repo.commit_of(&revision("main")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it is a symbolic link and no regular file"),
        "{error}"
    );
    // It is replaced, not written through.
    repo.write_ref(&revision("main"), &commit('b')).unwrap();
    assert_eq!(fs::read(&commit_file).unwrap(), "a".repeat(40).as_bytes());
    assert_eq!(
        repo.commit_of(&revision("main")).unwrap(),
        Some(commit('b'))
    );
}

/// A lock file is opened for writing: one that is a link would be somebody else's file.
#[test]
fn a_lock_file_is_no_link() {
    let sandbox = Sandbox::new();
    let etag = git_sha1(b"{}");
    let target = sandbox.outside().join("target");
    symlink(
        &target,
        &sandbox.path(&format!(".locks/{FOLDER}/{etag}.lock")),
    );
    assert!(!sandbox.repo().lock(&etag, &mut |_| {}).is_held());
    assert!(!target.exists());
    put(&sandbox.repo(), &commit('a'), "config.json", b"{}");
}

/// What a deletion removes is of the cache, whatever links say.
#[test]
fn deleting_stays_inside() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "config.json", b"{}");
    put(&repo, &commit('b'), "other.json", b"[]");
    let outside = sandbox.outside();
    let secret = outside.join("secret");
    write(&secret, b"a secret of 24 bytes ....");
    write(&outside.join("x.incomplete"), b"x");
    let snapshot = repo.snapshot(&commit('a'));
    symlink(&secret, &snapshot.join("file"));
    symlink(&outside, &snapshot.join("folder"));
    let before = tree(&outside);

    let info = sandbox.cache.scan().unwrap();
    let warnings: Vec<String> = info.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [format!(
            "{} is outside the repository's blobs, and a file of a snapshot links to it",
            secret.display()
        )]
    );
    assert!(info.incomplete.is_empty());
    let revisions = info.find(&"a".repeat(40)).unwrap();
    let plan = info.delete_revisions(&revisions);
    assert_eq!(plan.expected_freed, 2, "the blob, and not the secret");
    assert!(plan.execute(&mut go_on).failures.is_empty());
    assert_eq!(tree(&outside), before);
    assert!(!snapshot.exists());
    assert!(info.prune().execute(&mut go_on).failures.is_empty());
    assert_eq!(tree(&outside), before);
    let info = sandbox.cache.scan().unwrap();
    let all: Vec<_> = info.repos.iter().collect();
    assert!(
        info.delete_repos(&all)
            .execute(&mut go_on)
            .failures
            .is_empty()
    );
    assert_eq!(tree(&outside), before);
    assert_eq!(sandbox.tree(), [""; 0]);
    assert!(Path::new(&secret).exists());
}

/// With Python's `hf cache prune` every folder of a home to which `snapshots` leads would be a revision to delete.
#[test]
fn folders_that_are_links_are_not_deleted_through() {
    for part in ["blobs", "refs", "snapshots", "snapshots/c"] {
        let sandbox = Sandbox::new();
        let outside = sandbox.outside();
        write(&outside.join("documents/letter"), b"dear");
        write(&outside.join("x.incomplete"), b"x");
        write(&outside.join("main.12345678.tmp"), b"x");
        for file in ["documents/letter", "x.incomplete", "main.12345678.tmp"] {
            age(&outside.join(file), 100);
        }
        let repo = sandbox.repo();
        put(&repo, &commit('a'), "config.json", b"{}");
        if part != "snapshots/c" {
            let _ = fs::remove_dir_all(repo.folder().join(part));
        }
        symlink(&outside, &repo.folder().join(part));
        let before = tree(&outside);
        let info = sandbox.cache.scan().unwrap();
        let problems: Vec<_> = info
            .warnings
            .iter()
            .map(|warning| &warning.problem)
            .collect();
        assert_eq!(problems, [&CacheProblem::LinkedFolder], "{part}");
        assert!(info.incomplete.is_empty());
        assert!(info.prune().is_empty(), "{part}");
        let _ = repo
            .verify_blobs(&mut |_| ControlFlow::Continue(()))
            .unwrap();
        assert_eq!(tree(&outside), before);
    }
    // A repository that is a link as a whole: the link goes, as with Python.
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "config.json", b"{}");
    let elsewhere = sandbox.outside().join("disk");
    fs::rename(repo.folder(), &elsewhere).unwrap();
    symlink(&elsewhere, repo.folder());
    let before = tree(&elsewhere);
    let info = sandbox.cache.scan().unwrap();
    let plan = info.delete_revisions(&info.find("org/name").unwrap());
    assert!(plan.execute(&mut go_on).failures.is_empty());
    assert_eq!(tree(&elsewhere), before);
    assert_eq!(sandbox.tree(), [""; 0]);
}
