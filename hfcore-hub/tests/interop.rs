//! One cache, used by this crate and by Python's `huggingface_hub`: what one downloads the other finds.
//!
//! They run where a Python has it (`HFCORE_PYTHON` names it, else `python3`); `HFCORE_REQUIRE_PYTHON=1` demands it.

#![cfg(all(feature = "net", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::cache_check::CacheCheck;
use common::child::{self, Mode};
use common::watcher::Watcher;
use common::{Seeded, client, main, python, repo};
use hfcore_hub::cache::Lookup;
use hfcore_hub::{Cache, DownloadOptions, Hub, HubError, RelPath, Repo, Revision, SnapshotOptions};
use hfcore_hub_stand_in::{Fault, StandIn};

#[test]
fn child() {
    child::run();
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut random = Seeded(3);
    [
        ("config.json", 300),
        ("README.md", 0),
        ("model.safetensors", 60_000),
        ("onnx/model.onnx", 9_000),
        ("a b/\u{e9}%41+&.txt", 100),
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

/// Downloads all, and compares what is there.
#[track_caller]
fn ours(hub: &Hub, revision: &Revision, files: &BTreeMap<String, Vec<u8>>) {
    let snapshot = hub
        .snapshot(&repo(), revision, &SnapshotOptions::default())
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    for (name, bytes) in files {
        let path = RelPath::parse(name).unwrap().join_to(&snapshot.folder);
        assert_eq!(&fs::read(&path).unwrap(), bytes, "{name}");
    }
}

const DOWNLOAD: &str = "
import huggingface_hub as h, os
folder = h.snapshot_download('org/name', revision=os.environ.get('REVISION', 'main'))
print(folder)
";

/// Finds everything without the network, and nothing to complain about.
const FIND: &str = "
import huggingface_hub as h, os
from huggingface_hub.file_download import _CACHED_NO_EXIST
revision = os.environ.get('REVISION', 'main')
folder = h.snapshot_download('org/name', revision=revision, local_files_only=True)
for name in os.environ['NAMES'].split('\\n'):
    path = h.hf_hub_download('org/name', name, revision=revision, local_files_only=True)
    assert os.path.samefile(path, os.path.join(folder, name)), path
    print(len(open(path, 'rb').read()))
info = h.scan_cache_dir()
assert not info.warnings, info.warnings
tree = h.get_cached_repo_tree('org/name', revision=revision)
assert sorted(f.path for f in tree) == sorted(os.environ['NAMES'].split('\\n')), tree
";

fn names(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.keys().cloned().collect::<Vec<_>>().join("\n")
}

/// Python finds what is there, without a request.
#[track_caller]
fn python_finds(
    python: &str,
    hub: &StandIn,
    cache: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    more: &[(&str, &str)],
) {
    hub.clear_requests();
    let names = names(files);
    let mut variables = vec![("NAMES", &*names), ("HF_HUB_OFFLINE", "1")];
    variables.extend(more);
    let found = python::run(python, &hub.endpoint(), cache, &variables, FIND);
    let lengths: Vec<usize> = found.lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<usize> = files.values().map(Vec::len).collect();
    assert_eq!(lengths, expected);
    assert!(hub.requests().is_empty());
}

/// This crate finds what is there, without a request.
#[track_caller]
fn we_find(hub: &StandIn, cache: &Path, files: &BTreeMap<String, Vec<u8>>) {
    hub.clear_requests();
    let offline = client(&hub.endpoint(), cache)
        .offline(true)
        .build()
        .unwrap();
    ours(&offline, &main(), files);
    for (name, bytes) in files {
        let path = RelPath::parse(name).unwrap();
        let file = offline
            .download(&repo(), &main(), &path, &DownloadOptions::default())
            .unwrap();
        assert_eq!(&fs::read(file.path).unwrap(), bytes);
    }
    assert!(hub.requests().is_empty());
    CacheCheck::default().check(cache);
}

#[test]
fn python_finds_what_we_download() {
    let Some(python) = python::python() else {
        return;
    };
    for symlinks in [true, false] {
        let files = files();
        let hub = hub_of(&files);
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cache");
        let client = client(&hub.endpoint(), &cache)
            .symlinks(symlinks)
            .build()
            .unwrap();
        ours(&client, &main(), &files);
        CacheCheck::default().check(&cache);
        python_finds(python, &hub, &cache, &files, &[]);
        // And by the network: it has to ask, and to download nothing.
        hub.clear_requests();
        python::run(python, &hub.endpoint(), &cache, &[], DOWNLOAD);
        assert_eq!(hub.served(""), 0);
    }
}

#[test]
fn python_knows_which_files_we_found_absent() {
    let Some(python) = python::python() else {
        return;
    };
    let hub = hub_of(&files());
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let client = client(&hub.endpoint(), &cache).build().unwrap();
    let absent = RelPath::parse("folder/none.json").unwrap();
    let error = client
        .download(&repo(), &main(), &absent, &DownloadOptions::default())
        .unwrap_err();
    assert!(matches!(error, HubError::EntryNotFound { .. }), "{error}");
    let script = "
import huggingface_hub as h
from huggingface_hub.file_download import _CACHED_NO_EXIST
assert h.try_to_load_from_cache('org/name', 'folder/none.json') is _CACHED_NO_EXIST
assert h.try_to_load_from_cache('org/name', 'folder/other.json') is None
try:
    h.hf_hub_download('org/name', 'another.json')
except h.errors.EntryNotFoundError:
    pass
";
    python::run(python, &hub.endpoint(), &cache, &[], script);
    // What Python found absent, we know.
    let commit = hub
        .world(|world| world.commit_of("org/name", "main"))
        .unwrap();
    let commit = Revision::parse(&commit).unwrap().as_commit().unwrap();
    let found = Cache::new(&cache)
        .repo(&repo())
        .lookup(&commit, &RelPath::parse("another.json").unwrap())
        .unwrap();
    assert!(matches!(found, Lookup::Absent), "{found:?}");
    CacheCheck::default().check(&cache);
}

#[test]
fn we_find_what_python_downloads() {
    let Some(python) = python::python() else {
        return;
    };
    for more in [
        [("HF_HUB_DISABLE_SYMLINKS", "0")],
        [("HF_HUB_DISABLE_SYMLINKS", "1")],
    ] {
        let files = files();
        let hub = hub_of(&files);
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cache");
        python::run(python, &hub.endpoint(), &cache, &more, DOWNLOAD);
        we_find(&hub, &cache, &files);
        let online = client(&hub.endpoint(), &cache).build().unwrap();
        ours(&online, &main(), &files);
        assert_eq!(hub.served(""), 0, "{more:?}");
    }
}

#[test]
fn the_same_repository_by_turns() {
    let Some(python) = python::python() else {
        return;
    };
    let mut files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let client = client(&hub.endpoint(), &cache).build().unwrap();
    let mut check = CacheCheck::default();
    for turn in 0..4 {
        hub.clear_requests();
        if turn % 2 == 0 {
            ours(&client, &main(), &files);
        } else {
            python::run(python, &hub.endpoint(), &cache, &[], DOWNLOAD);
        }
        let changed: u64 = if turn == 0 {
            files.values().map(|bytes| bytes.len() as u64).sum()
        } else {
            files["model.safetensors"].len() as u64
        };
        assert_eq!(hub.served(""), changed, "turn {turn}");
        check.check(&cache);
        python_finds(python, &hub, &cache, &files, &[]);
        we_find(&hub, &cache, &files);
        // The next revision has other weights, and all the rest of the last one.
        let weights = Seeded(turn).bytes(50_000 + usize::try_from(turn).unwrap());
        hub.edit("org/name", "main", &[("model.safetensors", Some(&weights))]);
        files.insert("model.safetensors".to_owned(), weights);
    }
    // Both count the same.
    let script = "
import huggingface_hub as h
info = h.scan_cache_dir()
repo, = info.repos
print(info.size_on_disk, repo.nb_files, len(repo.revisions), sorted(repo.refs))
for revision in sorted(repo.revisions, key=lambda r: r.commit_hash):
    print(revision.commit_hash, revision.size_on_disk, len(revision.files), sorted(revision.refs))
";
    let theirs = python::run(python, &hub.endpoint(), &cache, &[], script);
    let info = Cache::new(&cache).scan().unwrap();
    assert!(info.warnings.is_empty(), "{:?}", info.warnings);
    let [repo] = &info.repos[..] else {
        panic!("{:?}", info.repos);
    };
    let list = |refs: Vec<&str>| {
        format!(
            "[{}]",
            refs.iter()
                .map(|r| format!("'{r}'"))
                .collect::<Vec<_>>()
                .join(", ")
        )
    };
    let mut ours = format!(
        "{} {} {} {}\n",
        info.size,
        repo.blobs,
        repo.revisions.len(),
        list(repo.refs().into_iter().collect())
    );
    let mut revisions: Vec<_> = repo.revisions.iter().collect();
    revisions.sort_by_key(|revision| revision.commit.to_string());
    for revision in revisions {
        let refs = revision.refs.iter().map(String::as_str).collect();
        ours += &format!(
            "{} {} {} {}\n",
            revision.commit,
            revision.size,
            revision.files.len(),
            list(refs)
        );
    }
    assert_eq!(ours, theirs);
}

#[test]
fn other_revisions_and_kinds_have_the_same_names() {
    let Some(python) = python::python() else {
        return;
    };
    let files = files();
    let hub = hub_of(&files);
    let commit = hub.world(|world| {
        let commit = world.commit_of("org/name", "main").unwrap();
        for reference in ["refs/pr/1", "feature/x", "tags/v1.0"] {
            world.point("org/name", reference, &commit);
        }
        commit
    });
    hub.repository("datasets/org/data")
        .file("train.csv", "a,b\n")
        .create();
    for revision in ["refs/pr/1", "feature/x", "v1.0", &commit] {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cache");
        let client = client(&hub.endpoint(), &cache).build().unwrap();
        ours(&client, &Revision::parse(revision).unwrap(), &files);
        python_finds(python, &hub, &cache, &files, &[("REVISION", revision)]);
        let other = root.path().join("other");
        python::run(
            python,
            &hub.endpoint(),
            &other,
            &[("REVISION", revision)],
            DOWNLOAD,
        );
        hub.clear_requests();
        let offline = common::client(&hub.endpoint(), &other)
            .offline(true)
            .build()
            .unwrap();
        ours(&offline, &Revision::parse(revision).unwrap(), &files);
        assert!(hub.requests().is_empty());
        let tree = |cache: &Path| {
            let mut paths = Vec::new();
            common::cache_check::walk(cache, &mut |path| {
                paths.push(path.strip_prefix(cache).unwrap().to_owned());
            });
            paths
        };
        assert_eq!(tree(&cache), tree(&other), "{revision}");
    }
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let client = client(&hub.endpoint(), &cache).build().unwrap();
    let data = Repo::new(
        hfcore_hub::RepoType::Dataset,
        hfcore_hub::RepoId::parse("org/data").unwrap(),
    );
    client
        .snapshot(&data, &main(), &SnapshotOptions::default())
        .unwrap();
    let script = "
import huggingface_hub as h
print(open(h.hf_hub_download('org/data', 'train.csv', repo_type='dataset', local_files_only=True)).read(), end='')
";
    assert_eq!(
        python::run(python, &hub.endpoint(), &cache, &[], script),
        "a,b\n"
    );
}

#[test]
fn contents_that_repositories_share_are_not_downloaded_again() {
    let Some(python) = python::python() else {
        return;
    };
    let weights = Seeded(5).bytes(70_000);
    let hub = StandIn::start();
    hub.model("org/first")
        .xet()
        .file("model.safetensors", weights.clone())
        .create();
    hub.model("org/name")
        .xet()
        .file("model.safetensors", weights.clone())
        .file("config.json", "{}")
        .create();
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    // Downloaded by Python, which moves it where the Xet protocol would have put it.
    let script = "
import huggingface_hub as h, os
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store
path = h.hf_hub_download('org/first', 'model.safetensors')
blob = os.path.realpath(path)
xet = h.get_hf_file_metadata(h.hf_hub_url('org/first', 'model.safetensors')).xet_file_data.file_hash
assert publish_blob_to_shared_store(blob_path=blob, xet_hash=xet, cache_dir=os.environ['HF_HUB_CACHE'], expected_size=70000)
assert os.path.islink(blob)
";
    python::run(python, &hub.endpoint(), &cache, &[], script);
    CacheCheck::default().check(&cache);
    hub.clear_requests();
    let files: BTreeMap<String, Vec<u8>> = [
        ("config.json".to_owned(), b"{}".to_vec()),
        ("model.safetensors".to_owned(), weights),
    ]
    .into();
    let client = client(&hub.endpoint(), &cache).build().unwrap();
    ours(&client, &main(), &files);
    assert_eq!(hub.served("model.safetensors"), 0);
    python_finds(python, &hub, &cache, &files, &[]);
    we_find(&hub, &cache, &files);
    // Python's removal of the first leaves the second whole.
    let script = "
import huggingface_hub as h
info = h.scan_cache_dir()
first, = [r for r in info.repos if r.repo_id == 'org/first']
info.delete_revisions(*[r.commit_hash for r in first.revisions]).execute()
";
    python::run(python, &hub.endpoint(), &cache, &[], script);
    python_finds(python, &hub, &cache, &files, &[]);
    we_find(&hub, &cache, &files);
}

#[test]
fn both_wait_for_the_locks_of_each_other() {
    let Some(python) = python::python() else {
        return;
    };
    let files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let etag = hub
        .world(|world| world.etag_of("org/name", "main", "model.safetensors"))
        .unwrap();
    // Python holds the lock.
    let script = "
import os, sys
from huggingface_hub.utils import WeakFileLock
path = os.path.join(os.environ['HF_HUB_CACHE'], '.locks', 'models--org--name', sys.argv[1] + '.lock')
os.makedirs(os.path.dirname(path), exist_ok=True)
with WeakFileLock(path):
    print('held', flush=True)
    sys.stdin.readline()
";
    let mut holder = Command::new(python)
        .args(["-c", script, &etag])
        .env("HF_HUB_CACHE", &cache)
        .env("HF_HOME", root.path().join("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    let path = RelPath::parse("model.safetensors").unwrap();
    let online = client(&hub.endpoint(), &cache).build().unwrap();
    let waiting = {
        let (online, path) = (online.clone(), path.clone());
        thread::spawn(move || online.download(&repo(), &main(), &path, &DownloadOptions::default()))
    };
    while hub.requests().is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    // Long enough for a download that does not wait.
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    assert_eq!(hub.served(""), 0);
    holder.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(holder.wait().unwrap().success());
    assert!(waiting.join().unwrap().is_ok());

    // Both at once: each file comes once, whoever is first.
    let cache = root.path().join("both");
    hub.clear_requests();
    hub.fault(
        Fault::on("model.safetensors")
            .method("GET")
            .slow(3_000, Duration::from_millis(50)),
    );
    let other = {
        let (endpoint, cache) = (hub.endpoint(), cache.clone());
        thread::spawn(move || python::run(python, &endpoint, &cache, &[], DOWNLOAD))
    };
    while hub.served("model.safetensors") == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let online = client(&hub.endpoint(), &cache).build().unwrap();
    ours(&online, &main(), &files);
    other.join().unwrap();
    for (name, bytes) in &files {
        assert_eq!(hub.served(name), bytes.len() as u64, "{name}");
    }
    CacheCheck::default().check(&cache);
}

#[test]
fn a_race_of_both_downloads_each_file_once() {
    let Some(python) = python::python() else {
        return;
    };
    let files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let watcher = Watcher::start(root.path(), files.clone());
    // So slow that the last Python has started before the first download ends.
    hub.fault(
        Fault::on("model.safetensors")
            .method("GET")
            .slow(1_000, Duration::from_millis(40)),
    );
    let pythons: Vec<_> = (0..4)
        .map(|_| {
            let (endpoint, cache) = (hub.endpoint(), cache.clone());
            thread::spawn(move || python::run(python, &endpoint, &cache, &[], DOWNLOAD))
        })
        .collect();
    let ours: Vec<_> = (0..4)
        .map(|_| child::spawn(&hub.endpoint(), &cache, Mode::USUAL))
        .collect();
    for child in ours {
        child::succeed(child);
    }
    for python in pythons {
        python.join().unwrap();
    }
    for (name, bytes) in &files {
        assert_eq!(hub.served(name), bytes.len() as u64, "{name}");
    }
    assert!(watcher.finish() > 0);
    python_finds(python, &hub, &cache, &files, &[]);
    we_find(&hub, &cache, &files);
}

#[test]
fn what_a_killed_python_left_behind_is_no_harm() {
    let Some(python) = python::python() else {
        return;
    };
    let files = files();
    let hub = hub_of(&files);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    // What it leaves if it is killed while it tries whether links work.
    let trial = cache.join("models--org--name").join("tmpzn1_mxyy");
    fs::create_dir_all(&trial).unwrap();
    fs::write(trial.join("dummy_file_src"), "").unwrap();
    let mut random = Seeded(11);
    for _ in 0..3 {
        hub.hold_after(random.below(60_000));
        let mut child = Command::new(python)
            .args(["-c", DOWNLOAD])
            .env("HF_HUB_CACHE", &cache)
            .env("HF_HOME", root.path().join("home"))
            .env("HF_ENDPOINT", hub.endpoint())
            .env("HF_HUB_DISABLE_XET", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = hub.wait_held(|| child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        hub.release();
        CacheCheck::default().check(&cache);
    }
    let online = client(&hub.endpoint(), &cache).build().unwrap();
    ours(&online, &main(), &files);
    CacheCheck::default().check(&cache);
    python_finds(python, &hub, &cache, &files, &[]);
}
