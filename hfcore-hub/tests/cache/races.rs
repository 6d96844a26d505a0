//! Many at once: every one gets the right bytes, and with locks the bytes come once.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hfcore_hub::cache::Lookup;

use crate::support::*;

#[test]
fn many_download_one_file() {
    for mode in MODES {
        for round in 0..10_u8 {
            let sandbox = Sandbox::in_mode(mode);
            let bytes = vec![round; 300_000];
            let etag = sha256(&bytes);
            let downloads = AtomicUsize::new(0);
            let start = Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        // As a process would have: nothing in common but the folder.
                        let repo = sandbox.cache.clone().repo(&repo());
                        start.wait();
                        let (found, new) =
                            download(&repo, &commit('a'), "model.bin", &bytes, &etag).unwrap();
                        assert_eq!(fs::read(found).unwrap(), bytes, "{mode:?}");
                        downloads.fetch_add(usize::from(new), Ordering::Relaxed);
                        repo.write_ref(&revision("main"), &commit('a')).unwrap();
                    });
                }
            });
            if mode.locks {
                assert_eq!(downloads.into_inner(), 1, "{mode:?}");
            }
            let files = sandbox.tree();
            assert_eq!(files.len(), if mode.symlinks { 3 } else { 2 }, "{files:?}");
        }
    }
}

/// One repository, several commits, the same contents under several names.
#[test]
fn many_download_the_same_contents_for_several_commits() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let bytes = vec![3; 100_000];
        let etag = sha256(&bytes);
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for digit in ['a', 'b', 'c', 'd', 'e', 'f'] {
                let (sandbox, bytes, etag, start) = (&sandbox, &bytes, &etag, &start);
                scope.spawn(move || {
                    let repo = sandbox.repo();
                    start.wait();
                    for name in ["one.bin", "x/two.bin"] {
                        download(&repo, &commit(digit), name, bytes, etag).unwrap();
                    }
                });
            }
        });
        for digit in ['a', 'b', 'c', 'd', 'e', 'f'] {
            for name in ["one.bin", "x/two.bin"] {
                let found = sandbox.repo().lookup(&commit(digit), &path(name)).unwrap();
                let Lookup::Found(found) = found else {
                    panic!("{mode:?}: {digit} {name}");
                };
                assert_eq!(fs::read(found).unwrap(), bytes);
            }
        }
        assert!(
            !sandbox
                .tree()
                .iter()
                .any(|line| line.contains("incomplete"))
        );
    }
}

#[test]
fn who_waits_is_told_so_and_the_lock_file_stays() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = sha256(b"x");
    let held = repo.lock(&etag, &mut |_| {});
    assert!(held.is_held());
    let lock_file = sandbox.path(&format!(".locks/models--org--name/{etag}.lock"));
    assert_eq!(held.path(), lock_file);
    let (told, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lock = sandbox
                .repo()
                .lock(&etag, &mut |waited| told.send(waited).unwrap());
            assert!(lock.is_held());
        });
        // Only who waits says anything; then the lock is given back.
        let waited = waiting.recv().unwrap();
        assert!(waited >= Duration::from_secs(1), "{waited:?}");
        drop(held);
    });
    assert!(lock_file.is_file());
    let other = repo.lock(&sha256(b"y"), &mut |_| panic!("nobody else has this one"));
    assert!(other.is_held());
}

#[test]
fn who_waits_may_stop() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = sha256(b"x");
    let _held = repo.lock(&etag, &mut |_| {});
    let stopped = repo.lock_unless_stopped(&etag, &mut |_| ControlFlow::Break(()));
    assert!(stopped.is_none());
    let other = repo.lock_unless_stopped(&sha256(b"y"), &mut |_| ControlFlow::Break(()));
    assert!(other.unwrap().is_held());
}

/// A lock file that somebody deleted: a lock on the old one keeps nobody out.
#[cfg(unix)]
#[test]
fn a_lock_is_on_the_file_that_has_the_name() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = sha256(b"x");
    let old = repo.lock(&etag, &mut |_| {});
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut told = 0;
            let lock = repo.lock(&etag, &mut |_| {
                told += 1;
                if told == 1 {
                    fs::remove_file(old.path()).unwrap();
                }
            });
            lock.is_held()
        });
        // The new file's lock is free, though the old one's is held still.
        assert!(waiting.join().unwrap());
    });
}
