//! Sixteen processes that download one model into one cache at the same time.
//!
//! `HFCORE_TORTURE=1000` makes it 200 rounds of each kind.

#![cfg(all(feature = "net", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use common::Seeded;
use common::cache_check::{CacheCheck, entries};
use common::child::{self, Mode};
use common::watcher::Watcher;
use hfcore_hub_stand_in::{Fault, StandIn};

#[test]
fn child() {
    child::run();
}

const PROCESSES: usize = 16;

fn rounds() -> u64 {
    std::env::var("HFCORE_TORTURE").map_or(2, |kills| kills.parse::<u64>().unwrap() / 5)
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut random = Seeded(16);
    [
        ("config.json", 2_000),
        ("model.safetensors", 100_000),
        ("tokenizer.json", 20_000),
    ]
    .map(|(name, len)| (name.to_owned(), random.bytes(len)))
    .into()
}

fn hub_of(files: &BTreeMap<String, Vec<u8>>) -> StandIn {
    let hub = StandIn::start();
    let mut model = hub.model("org/name");
    for (name, bytes) in files {
        model = model.file(name, bytes.clone());
    }
    model.create();
    // Slow enough that all come while the first is at it.
    hub.fault(
        Fault::on("model.safetensors")
            .method("GET")
            .slow(2_000, Duration::from_millis(4)),
    );
    hub
}

fn start(hub: &StandIn, cache: &Path, mode: Mode) -> Vec<Child> {
    (0..PROCESSES)
        .map(|_| child::spawn(&hub.endpoint(), cache, mode))
        .collect()
}

fn snapshot(cache: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (_, commit) in entries(&cache.join("models--org--name/snapshots")) {
        for (name, path) in entries(&commit) {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// Races, and looks at the cache after each.
fn race(mode: Mode, after: impl Fn(&StandIn, &BTreeMap<String, Vec<u8>>)) {
    let files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(root.path(), files.clone());
    for round in 0..rounds() {
        let cache = root.path().join(format!("cache-{round}"));
        hub.clear_requests();
        for child in start(&hub, &cache, mode) {
            child::succeed(child);
        }
        CacheCheck::default().check(&cache);
        assert_eq!(snapshot(&cache), files);
        after(&hub, &files);
    }
    assert!(watcher.finish() > 0);
    common::no_leak(&hub);
}

#[test]
fn with_locks_each_file_is_downloaded_once() {
    let mode = Mode::USUAL;
    race(mode, |hub, files| {
        for (name, bytes) in files {
            assert_eq!(hub.served(name), bytes.len() as u64, "{name}");
        }
    });
}

#[test]
fn without_locks_everything_is_right_nevertheless() {
    let mode = Mode {
        locks: false,
        ..Mode::USUAL
    };
    race(mode, |hub, files| {
        for (name, bytes) in files {
            assert!(hub.served(name) >= bytes.len() as u64, "{name}");
        }
    });
}

#[test]
fn without_symbolic_links_everything_is_right() {
    let mode = Mode {
        symlinks: false,
        ..Mode::USUAL
    };
    race(mode, |_, _| {});
}

#[test]
fn into_one_folder_everything_is_right() {
    let files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(root.path(), files.clone());
    let mode = Mode {
        to_folder: true,
        ..Mode::USUAL
    };
    for round in 0..rounds() {
        let cache = root.path().join(format!("round-{round}/cache"));
        hub.clear_requests();
        for child in start(&hub, &cache, mode) {
            child::succeed(child);
        }
        for (name, bytes) in &files {
            let path = cache.with_file_name("to").join(name);
            assert_eq!(&fs::read(path).unwrap(), bytes);
            assert_eq!(hub.served(name), bytes.len() as u64, "{name}");
        }
    }
    assert!(watcher.finish() > 0);
}

#[test]
fn half_of_them_are_killed_and_the_others_complete() {
    let files = files();
    let total: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(root.path(), files.clone());
    let mut random = Seeded(7);
    for round in 0..rounds() * 2 {
        let mode = Mode {
            locks: round % 2 == 0,
            ..Mode::USUAL
        };
        let cache = root.path().join(format!("cache-{round}"));
        let mut check = CacheCheck::default();
        let mut children = start(&hub, &cache, mode);
        for _ in 0..PROCESSES / 2 {
            // Whoever holds the lock may be among them, or nobody.
            hub.hold_after(random.below(total / 8));
            let mut last =
                children.swap_remove(usize::try_from(random.below(children.len() as u64)).unwrap());
            let _ = hub.wait_held(|| last.try_wait().unwrap().is_none());
            last.kill().unwrap();
            last.wait().unwrap();
            hub.release();
            check.check(&cache);
        }
        for child in children {
            child::succeed(child);
        }
        check.check(&cache);
        assert_eq!(snapshot(&cache), files);
        hub.clear_requests();
        child::succeed(child::spawn(&hub.endpoint(), &cache, mode));
        assert_eq!(hub.served(""), 0);
    }
    assert!(watcher.finish() > 0);
}
