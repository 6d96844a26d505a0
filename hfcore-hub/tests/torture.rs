//! Downloads that are killed, again and again: the cache is valid after each, nothing incomplete is ever visible, what
//! has been downloaded is not downloaded again, and a run that is let be completes.
//!
//! 200 kills; `HFCORE_TORTURE=1000 cargo test -p hfcore-hub --features net --test torture` makes it a thousand.

#![cfg(all(feature = "net", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
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

/// How many bytes of files there are, whole or not, each counted once.
fn in_cache(cache: &Path) -> u64 {
    let (mut bytes, mut inodes) = (0, BTreeSet::new());
    let mut add = |path: &Path| {
        if let Ok(metadata) = path.symlink_metadata()
            && metadata.is_file()
            && inodes.insert(std::os::unix::fs::MetadataExt::ino(&metadata))
        {
            bytes += metadata.len();
        }
    };
    let to = cache.with_file_name("to");
    for root in [cache, &to.join(STAGING)] {
        let repository = root.join("models--org--name");
        walk(&repository.join("blobs"), &mut add);
        walk(&repository.join("snapshots"), &mut add);
    }
    for (name, path) in entries(&to) {
        if name != ".cache" {
            walk(&path, &mut add);
            add(&path);
        }
    }
    bytes
}

/// Where files are on their way into a folder: a cache of its own.
const STAGING: &str = ".cache/huggingface/hfcore";

/// What every file of the snapshot, or of the folder, is.
fn result(cache: &Path, mode: Mode) -> BTreeMap<String, Vec<u8>> {
    let folders = if mode.to_folder {
        vec![("to".to_owned(), cache.with_file_name("to"))]
    } else {
        entries(&cache.join("models--org--name/snapshots"))
    };
    let mut found = BTreeMap::new();
    for (name, path) in folders.iter().flat_map(|(_, folder)| entries(folder)) {
        if name != ".cache" {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// What is wrong with the cache, and with the folder.
fn violations(checks: &mut [CacheCheck; 2], cache: &Path, mode: Mode) -> Vec<String> {
    let mut wrong = checks[0].violations(cache);
    if mode.to_folder {
        wrong.extend(checks[1].violations(&cache.with_file_name("to").join(STAGING)));
    }
    wrong
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
        let cache = root.path().join(format!("round-{rounds}/cache"));
        let mut checks = <[CacheCheck; 2]>::default();
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
            let violations = violations(&mut checks, &cache, mode);
            assert!(
                violations.is_empty(),
                "after kill {killed}, {point:?}, round {rounds}:\n{}",
                violations.join("\n")
            );
        }
        assert!(violations(&mut checks, &cache, mode).is_empty());
        assert_eq!(result(&cache, mode), files, "round {rounds}");
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
    kill_downloads(kills() * 6 / 10, Mode::USUAL, 1);
}

#[test]
fn a_killed_download_without_symbolic_links_leaves_a_valid_cache_and_is_continued() {
    let mode = Mode {
        symlinks: false,
        ..Mode::USUAL
    };
    kill_downloads(kills() * 2 / 10, mode, 2);
}

#[test]
fn a_killed_download_into_a_folder_leaves_whole_files_and_is_continued() {
    let mode = Mode {
        to_folder: true,
        ..Mode::USUAL
    };
    kill_downloads(kills() * 2 / 10, mode, 3);
}

/// A file that cannot grow is what a full disk, or a quota, is to a download.
#[test]
fn a_download_without_room_fails_and_is_continued() {
    let files = files();
    let total: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(root.path(), files.clone());
    let mut random = Seeded(4);
    for (round, to_folder) in [false, true, false, true].into_iter().enumerate() {
        let cache = root.path().join(format!("round-{round}/cache"));
        let mut checks = <[CacheCheck; 2]>::default();
        let mode = Mode {
            to_folder,
            ..Mode::USUAL
        };
        hub.clear_requests();
        // The largest file has 586 blocks.
        let mut blocks = 0;
        for _ in 0..4 {
            blocks += 20 + random.below(100);
            let limited = Mode {
                limit: Some(blocks),
                ..mode
            };
            let child = child::spawn(&hub.endpoint(), &cache, limited);
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(101), "{blocks} blocks");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("could not be written"), "{said}");
            let wrong = violations(&mut checks, &cache, mode);
            assert!(wrong.is_empty(), "{blocks} blocks: {wrong:?}");
        }
        child::succeed(child::spawn(&hub.endpoint(), &cache, mode));
        assert_eq!(result(&cache, mode), files);
        assert!(violations(&mut checks, &cache, mode).is_empty());
        assert!(hub.served("") >= total);
    }
    assert!(watcher.finish() > 0);
}
