//! Downloads that are killed, again and again: the cache is valid after each, nothing incomplete is ever visible, what
//! has been downloaded is not downloaded again, and a run that is let be completes.
//!
//! 200 kills; `HFCORE_TORTURE=1000 cargo test -p hfcore-hub --features net --test torture` makes it a thousand.

#![cfg(all(feature = "net", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use common::Seeded;
use common::cache_check::{CacheCheck, entries, walk};
use common::child::{self, Mode};
use common::watcher::Watcher;
use hfcore_hub_stand_in::StandIn;

#[test]
fn child() {
    child::run();
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut random = Seeded(43);
    [
        ("config.json", 3_000),
        ("model-00001-of-00002.safetensors", 300_000),
        ("model-00002-of-00002.safetensors", 200_000),
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
    hub
}

/// Where a kill hits.
#[derive(Debug)]
enum Point {
    /// When so many bytes were sent, and are in the cache.
    Settled(u64),
    /// When so many bytes were sent.
    Byte(u64),
    /// When so many requests were made.
    Request(usize),
    /// So many microseconds after the start.
    Time(u64),
}

fn point(random: &mut Seeded, total: u64) -> Point {
    match random.below(8) {
        0..=2 => Point::Settled(1 + random.below(total / 3)),
        3 | 4 => Point::Byte(random.below(total / 2)),
        5 => Point::Request(usize::try_from(random.below(14)).unwrap()),
        // The end, where blobs, links and references are made.
        6 => Point::Byte(total - 1),
        _ => Point::Time(random.below(80_000)),
    }
}

/// Lets the child run up to there. Whether what was sent is in the cache.
fn run_to(point: &Point, hub: &StandIn, cache: &Path, child: &mut Child, already: u64) -> bool {
    let mut running = || child.try_wait().unwrap().is_none();
    match *point {
        Point::Settled(bytes) => {
            hub.hold_after(bytes);
            if !hub.wait_held(&mut running) {
                return false;
            }
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end && running() {
                if in_cache(cache) >= already + hub.served("") {
                    return true;
                }
                thread::sleep(Duration::from_micros(200));
            }
            false
        }
        Point::Byte(bytes) => {
            hub.hold_after(bytes);
            let _ = hub.wait_held(running);
            false
        }
        Point::Request(count) => {
            while hub.requests().len() < count && running() {
                thread::sleep(Duration::from_micros(200));
            }
            false
        }
        Point::Time(micros) => {
            thread::sleep(Duration::from_micros(micros));
            false
        }
    }
}

/// How many bytes of files there are, whole or not.
fn in_cache(cache: &Path) -> u64 {
    let repository = cache.join("models--org--name");
    let mut bytes = 0;
    let mut inodes = std::collections::BTreeSet::new();
    let mut add = |path: &Path| {
        if let Ok(metadata) = path.symlink_metadata()
            && metadata.is_file()
            && inodes.insert(std::os::unix::fs::MetadataExt::ino(&metadata))
        {
            bytes += metadata.len();
        }
    };
    for (_, path) in entries(&repository.join("blobs")) {
        add(&path);
    }
    walk(&repository.join("snapshots"), &mut add);
    bytes
}

/// What every file of the snapshot is.
fn snapshot(cache: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (_, commit) in entries(&cache.join("models--org--name/snapshots")) {
        for (name, path) in entries(&commit) {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

fn kill_downloads(kills: u64, mode: Mode, seed: u64) {
    let files = files();
    let total: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(root.path(), files.clone());
    let mut random = Seeded(seed);
    let (mut killed, mut settled, mut rounds) = (0, 0, 0);
    while killed < kills {
        // Each round downloads into a cache of its own, until a run comes to its end.
        rounds += 1;
        let cache = root.path().join(format!("cache-{rounds}"));
        let mut check = CacheCheck::default();
        let (mut sent, mut lost) = (0, 0);
        loop {
            hub.clear_requests();
            let point = if killed < kills {
                point(&mut random, total)
            } else {
                Point::Time(20_000_000)
            };
            let already = in_cache(&cache);
            let mut child = child::spawn(&hub.endpoint(), &cache, mode);
            let kept = if killed < kills {
                run_to(&point, &hub, &cache, &mut child, already)
            } else {
                child.wait().unwrap();
                true
            };
            // SIGKILL: nothing of it runs any more.
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            hub.release();
            let served = hub.served("");
            sent += served;
            if output.status.success() {
                break;
            }
            assert_eq!(
                output.status.code(),
                None,
                "a download failed by itself, {point:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            killed += 1;
            if kept {
                settled += 1;
            } else {
                lost += served;
            }
            let violations = check.violations(&cache);
            assert!(
                violations.is_empty(),
                "after kill {killed}, {point:?}, round {rounds}:\n{}",
                violations.join("\n")
            );
        }
        check.check(&cache);
        assert_eq!(snapshot(&cache), files, "round {rounds}");
        // What was in the cache when a run was killed was not sent again.
        assert!(
            sent <= total + lost,
            "round {rounds}: {sent} bytes were sent of {total}, and at most {lost} were lost on the way"
        );
        // Nothing is left to download.
        hub.clear_requests();
        child::succeed(child::spawn(&hub.endpoint(), &cache, mode));
        assert_eq!(hub.served(""), 0);
        common::no_leak(&hub);
    }
    assert!(watcher.finish() > 0);
    assert!(
        settled * 8 > kills,
        "only {settled} of {kills} kills say something about what is kept"
    );
}

fn kills() -> u64 {
    std::env::var("HFCORE_TORTURE").map_or(200, |kills| kills.parse().unwrap())
}

#[test]
fn a_killed_download_leaves_a_valid_cache_and_is_continued() {
    let mode = Mode {
        symlinks: true,
        locks: true,
    };
    kill_downloads(kills() * 4 / 5, mode, 1);
}

#[test]
fn a_killed_download_without_symbolic_links_leaves_a_valid_cache_and_is_continued() {
    let mode = Mode {
        symlinks: false,
        locks: true,
    };
    kill_downloads(kills() / 5, mode, 2);
}
