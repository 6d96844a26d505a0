//! What is left of a download that was cut off: continued where that is certain to be right, and else begun anew.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use hfcore_hub::HubError;
use hfcore_hub::cache::{ETag, IfPresent, Partial, RepoCache};

use crate::support::*;

const SIZE: usize = 200_000;

fn contents() -> Vec<u8> {
    (0..SIZE)
        .map(|i| u8::try_from(i * 31 % 251).unwrap())
        .collect()
}

fn begin(repo: &RepoCache, etag: &ETag) -> Partial {
    let lock = repo.lock(etag, &mut |_| {});
    repo.partial(etag, Some(SIZE as u64), &lock).unwrap()
}

/// What a process that was killed leaves: Python's or ours.
fn orphan(repo: &RepoCache, etag: &ETag, digits: &str, bytes: &[u8]) -> PathBuf {
    let blobs = repo.folder().join("blobs");
    let orphan = blobs.join(format!("{etag}.{digits}.incomplete"));
    write(&orphan, bytes);
    orphan
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let bytes = contents();
    for etag in [
        sha256(&bytes),
        git_sha1(&bytes),
        ETag::parse("opaque").unwrap(),
    ] {
        for mode in MODES {
            let sandbox = Sandbox::in_mode(mode);
            let repo = sandbox.repo();
            let mut partial = begin(&repo, &etag);
            partial.write_all(&bytes[..70_000]).unwrap();
            drop(partial);
            let mut partial = begin(&repo, &etag);
            // Without locks nobody can know that the other process is gone, and nothing stays of what it did.
            let there = if mode.locks { 70_000 } else { 0 };
            assert_eq!(partial.resume_from(), there, "{mode:?}");
            partial
                .write_all(&bytes[usize::try_from(there).unwrap()..])
                .unwrap();
            let pointer = repo
                .publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
                .unwrap();
            assert_eq!(fs::read(pointer).unwrap(), bytes);
            assert!(
                !sandbox
                    .tree()
                    .iter()
                    .any(|line| line.contains("incomplete"))
            );
        }
    }
}

#[test]
fn the_longest_orphan_is_taken_up_and_damage_in_it_is_found() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    orphan(&repo, &etag, "00000001", &bytes[..10]);
    let mut damaged = bytes[..150_000].to_vec();
    damaged[77] ^= 1;
    orphan(&repo, &etag, "00000002", &damaged);
    // Of other etags, or no orphans at all.
    orphan(&repo, &sha256(b"other"), "00000003", &bytes);
    write(
        &repo.folder().join(format!("blobs/{etag}.incomplete")),
        &bytes,
    );
    write(
        &repo
            .folder()
            .join(format!("blobs/{etag}.corrupt.incomplete")),
        &bytes,
    );
    let mut partial = begin(&repo, &etag);
    assert_eq!(partial.resume_from(), 150_000);
    partial.write_all(&bytes[150_000..]).unwrap();
    let error = repo
        .publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
        .unwrap_err();
    assert!(matches!(error, HubError::Checksum { .. }), "{error}");
    // The damaged one is out of the way, the other is next.
    assert_eq!(begin(&repo, &etag).resume_from(), 10);
    let mut partial = begin(&repo, &etag);
    partial.write_all(&bytes[10..]).unwrap();
    repo.publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
        .unwrap();
}

#[test]
fn what_somebody_writes_to_is_left_alone() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let mut alive = begin(&repo, &etag);
    alive.write_all(&bytes[..100]).unwrap();
    // The lock of the blob was given back, or never worked: the file's own still says that it is in use.
    let other = begin(&repo, &etag);
    assert_eq!(other.resume_from(), 0);
    assert_ne!(other.path(), alive.path());
    drop((alive, other));
    // Somebody who has the lock of the blob: then it is his.
    let file = orphan(&repo, &etag, "0000000a", &bytes[..5000]);
    let lock = repo.lock(&etag, &mut |_| {});
    let held = File::open(&file).unwrap();
    held.lock().unwrap();
    let partial = repo.partial(&etag, Some(SIZE as u64), &lock).unwrap();
    assert_eq!(partial.resume_from(), 100, "the one that was dropped above");
    drop(held);
    drop(partial);
    assert_eq!(
        repo.partial(&etag, Some(SIZE as u64), &lock)
            .unwrap()
            .resume_from(),
        5000
    );
}

#[test]
fn without_the_lock_of_the_blob_nothing_is_taken_up() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    orphan(&repo, &etag, "00000001", &bytes[..10]);
    let lock = sandbox
        .cache
        .clone()
        .with_locks(false)
        .repo(&crate::support::repo())
        .lock(&etag, &mut |_| {});
    assert!(!lock.is_held());
    let partial = repo.partial(&etag, Some(SIZE as u64), &lock).unwrap();
    assert_eq!(partial.resume_from(), 0);
    let another = repo.lock(&sha256(b"another"), &mut |_| {});
    let partial = repo.partial(&etag, Some(SIZE as u64), &another).unwrap();
    assert_eq!(partial.resume_from(), 0);
}

/// Between giving a blob its name and removing the other name lies a moment in which a process may be killed.
#[cfg(unix)]
#[test]
fn the_second_name_of_a_blob_is_no_orphan() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "model.bin", &bytes);
    let blob = repo.find_blob(&etag, None).unwrap();
    let second = blob.with_file_name(format!("{etag}.0000abcd.incomplete"));
    fs::hard_link(&blob, &second).unwrap();
    assert_eq!(begin(&repo, &etag).resume_from(), 0);
    assert_eq!(fs::read(&blob).unwrap(), bytes);
}

#[test]
fn orphans_that_are_too_long_empty_or_no_files_are_passed_over() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    orphan(&repo, &etag, "00000001", &[1; SIZE + 1]);
    orphan(&repo, &etag, "00000002", b"");
    fs::create_dir(
        repo.folder()
            .join(format!("blobs/{etag}.00000003.incomplete")),
    )
    .unwrap();
    #[cfg(unix)]
    {
        pipe(
            &repo
                .folder()
                .join(format!("blobs/{etag}.00000004.incomplete")),
        );
        let secret = sandbox.outside().join("secret");
        write(&secret, b"secret");
        symlink(
            &secret,
            &repo
                .folder()
                .join(format!("blobs/{etag}.00000005.incomplete")),
        );
        begin(&repo, &etag).write_all(b"x").unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
        // What was written just now.
        assert_eq!(begin(&repo, &etag).resume_from(), 1);
    }
    #[cfg(not(unix))]
    assert_eq!(begin(&repo, &etag).resume_from(), 0);
}

#[test]
fn beginning_anew_takes_another_file() {
    let bytes = contents();
    let etag = sha256(&bytes);
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let mut partial = begin(&repo, &etag);
        partial.write_all(b"not the beginning").unwrap();
        let before = partial.path().to_owned();
        partial.restart().unwrap();
        assert_ne!(partial.path(), before);
        assert!(!before.exists());
        assert_eq!(partial.resume_from(), 0);
        partial.write_all(&bytes).unwrap();
        repo.publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
            .unwrap();
        begin(&repo, &etag).discard();
        assert!(
            !sandbox
                .tree()
                .iter()
                .any(|line| line.contains("incomplete"))
        );
    }
}

#[test]
fn all_of_it_may_be_there_already() {
    let bytes = contents();
    let etag = sha256(&bytes);
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    orphan(&repo, &etag, "00000001", &bytes);
    let partial = begin(&repo, &etag);
    assert_eq!(partial.resume_from(), SIZE as u64);
    let pointer = repo
        .publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
        .unwrap();
    assert_eq!(fs::read(pointer).unwrap(), bytes);
}
