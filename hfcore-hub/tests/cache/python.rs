//! One cache, two programs: Python's `huggingface_hub` on the other side, through `tools/check_hub_cache.py`. Skipped where
//! neither `HFCORE_PYTHON` nor `python3` has it; what Python says of the golden cache is asserted without it, too.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use hfcore_hub::Repo;
use hfcore_hub::cache::{Cache, ETag, ListedFile, Lookup};
use serde_json::{Value, json};

use crate::golden::{self, XET};
use crate::support::*;
use crate::whole::to_json;

/// The interpreter, if it has `huggingface_hub` 2.4 or later. One that was named has to have it.
fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let named = std::env::var("HFCORE_PYTHON").ok();
        let python = named.clone().unwrap_or_else(|| "python3".to_owned());
        let version = command(&python, &["version"]).output().ok();
        let version = version.filter(|output| output.status.success());
        let version =
            version.and_then(|output| serde_json::from_slice::<String>(&output.stdout).ok());
        let mut parts = version.iter().flat_map(|version| version.split('.'));
        let mut number = || {
            parts
                .next()
                .and_then(|part| part.parse::<u32>().ok())
                .unwrap_or(0)
        };
        let known = (number(), number()) >= (2, 4);
        assert!(
            known || named.is_none(),
            "HFCORE_PYTHON has huggingface_hub {version:?}, and 2.4 is needed"
        );
        known.then_some(python)
    });
    if python.is_none() {
        eprintln!(
            "SKIPPED: python3 has no huggingface_hub 2.4; HFCORE_PYTHON can name one that has"
        );
    }
    python.as_deref()
}

fn command(python: &str, arguments: &[&str]) -> Command {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/check_hub_cache.py");
    let mut command = Command::new(python);
    command.arg(tool).args(arguments);
    // Nothing of this machine's own cache, settings or token.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HF_") {
            command.env_remove(name);
        }
    }
    command.env("HF_HOME", std::env::temp_dir().join("hfcore-no-such-home"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Python takes a second to start: one does it all.
struct Server {
    child: Child,
    answers: BufReader<ChildStdout>,
}

fn ask(python: &str, cache: &Cache, what: &str, arguments: &[&str], files: &Value) -> Value {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    let mut server = SERVER.lock().unwrap();
    let server = server.get_or_insert_with(|| {
        let mut child = command(python, &["serve"])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Server { child, answers }
    });
    let request = json!({
        "command": what, "cache": cache.root().to_str().unwrap(), "arguments": arguments, "files": files,
        "symlinks": cache.can_symlink(),
    });
    writeln!(server.child.stdin.as_mut().unwrap(), "{request}").unwrap();
    let mut answer = String::new();
    server.answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer)
        .unwrap_or_else(|error| panic!("{what}: {error}: see standard error"))
}

/// Python's scan, and how many warnings it has.
fn scan(python: &str, cache: &Cache) -> Value {
    let mut scanned = ask(python, cache, "scan", &[], &Value::Null);
    scanned["warnings"] = json!(scanned["warnings"].as_array().unwrap().len());
    scanned
}

fn agree(python: &str, cache: &Cache) {
    let (ours, theirs) = (to_json(&cache.scan().unwrap()), scan(python, cache));
    assert_eq!(ours, theirs, "ours: {ours:#}\nPython's: {theirs:#}");
}

fn file(repo: &str, commit: char, path: &str, text: &str, xet: Option<&str>) -> Value {
    let etag = if xet.is_some() {
        sha256(text.as_bytes())
    } else {
        git_sha1(text.as_bytes())
    };
    json!({
        "repo_type": "model", "repo_id": repo, "revision": "refs/pr/2", "commit": commit.to_string().repeat(40),
        "path": path, "etag": etag.as_str(), "text": text, "xet_hash": xet,
    })
}

#[test]
fn python_says_the_same_of_the_golden_cache() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::new();
    golden::lay_out(sandbox.cache.root());
    assert_eq!(scan(python, &sandbox.cache), golden::scanned());
    agree(python, &sandbox.cache);
}

#[test]
fn what_python_downloads_is_found() {
    let Some(python) = python() else { return };
    for mode in [Mode::of(true, true), Mode::of(false, true)] {
        let sandbox = Sandbox::in_mode(mode);
        let weights = "weights ".repeat(50);
        let files = json!([
            file("org/name", 'a', "config.json", "{}", None),
            file("org/name", 'a', "x/y/config.json", "{}", None),
            file("org/name", 'a', "model.bin", &weights, Some(XET)),
            file("org/name", 'b', "model.bin", &weights, Some(XET)),
            file("org/other", 'c', "model.bin", &weights, Some(XET)),
        ]);
        let pointers = ask(python, &sandbox.cache, "download", &[], &files);
        for (index, pointer) in pointers.as_array().unwrap().iter().enumerate() {
            let wanted = &files[index];
            let repo = sandbox
                .cache
                .repo(&Repo::model(wanted["repo_id"].as_str().unwrap()).unwrap());
            let commit = hfcore_hub::Commit::parse(wanted["commit"].as_str().unwrap()).unwrap();
            let found = repo
                .lookup(&commit, &path(wanted["path"].as_str().unwrap()))
                .unwrap();
            let expected = sandbox.path(pointer.as_str().unwrap());
            assert_eq!(found, Lookup::Found(expected.clone()), "{mode:?}");
            assert_eq!(
                fs::read_to_string(expected).unwrap(),
                wanted["text"].as_str().unwrap()
            );
        }
        let repo = sandbox.repo();
        assert_eq!(
            repo.commit_of(&revision("refs/pr/2")).unwrap(),
            Some(commit('b'))
        );
        agree(python, &sandbox.cache);
        let report = sandbox
            .cache
            .verify_blobs(&mut |_| std::ops::ControlFlow::Continue(()))
            .unwrap();
        assert_eq!(report.damaged, []);
        assert_eq!(report.matching, if mode.symlinks { 3 } else { 0 });
        // And used: nothing of it is downloaded again.
        let text = weights.as_bytes();
        let etag = sha256(text);
        assert!(
            !download(&repo, &commit('b'), "model.bin", text, &etag)
                .unwrap()
                .1
        );
        let again = download(&repo, &commit('d'), "copy.bin", text, &etag).unwrap();
        assert_eq!(again.1, !mode.symlinks);
        agree(python, &sandbox.cache);
    }
}

#[test]
fn python_finds_what_is_downloaded() {
    let Some(python) = python() else { return };
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        put(&repo, &commit('a'), "config.json", b"{}");
        put(&repo, &commit('a'), "x/y/config.json", b"{}");
        put(
            &repo,
            &commit('a'),
            "x/model.bin",
            "weights ".repeat(50).as_bytes(),
        );
        put(&repo, &commit('b'), "config.json", b"[]");
        repo.write_absent(&commit('a'), &path("x/vocab.txt"))
            .unwrap();
        repo.write_ref(&revision("refs/pr/1"), &commit('a'))
            .unwrap();
        let paths = [
            "config.json",
            "x/y/config.json",
            "x/model.bin",
            "x/vocab.txt",
            "nothing",
        ];
        let arguments = [&["model", "org/name", "refs/pr/1"][..], &paths].concat();
        let found = ask(python, &sandbox.cache, "find", &arguments, &Value::Null);
        let a = "a".repeat(40);
        for (path, contents) in [
            ("config.json", "{}"),
            ("x/y/config.json", "{}"),
            ("x/model.bin", &"weights ".repeat(50)),
        ] {
            let pointer = format!("models--org--name/snapshots/{a}/{path}");
            let expected = json!({"known": pointer, "offline": pointer, "contents": contents});
            assert_eq!(found[path], expected, "{mode:?} {path}");
        }
        let absent = json!({"known": "absent", "offline": null, "contents": null});
        assert_eq!(found["x/vocab.txt"], absent);
        assert_eq!(found["nothing"]["known"], Value::Null);
        agree(python, &sandbox.cache);
        assert_eq!(sandbox.cache.scan().unwrap().warnings, []);
        // Nor does Python download any of it again.
        let before = sandbox.tree();
        let files = json!([file("org/name", 'a', "config.json", "{}", None)]);
        ask(python, &sandbox.cache, "download", &[], &files);
        let new: Vec<_> = sandbox
            .tree()
            .into_iter()
            .filter(|line| !before.contains(line))
            .collect();
        assert_eq!(new, ["models--org--name/refs/refs/pr/2"]);
        let verified = ask(
            python,
            &sandbox.cache,
            "verify",
            &["model", "org/name", &a],
            &Value::Null,
        );
        assert_eq!(verified["mismatched"], json!([]));
        assert_eq!(
            verified["matching"].as_array().unwrap().len(),
            if mode.symlinks { 3 } else { 0 }
        );
    }
}

#[test]
fn the_files_of_a_commit_are_listed_for_both() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let files = [
        (
            path("config.json"),
            ListedFile::new(2, golden::CONFIG.to_owned()),
        ),
        (
            path("x/caf\u{e9}.bin"),
            ListedFile::new(130, "0".repeat(40))
                .with_lfs("1".repeat(64), 7)
                .with_xet_hash(XET.to_owned()),
        ),
    ];
    let files = files.into_iter().collect();
    repo.write_listing(&commit('a'), &files).unwrap();
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let arguments = ["model", "org/name", &a, &b];
    let listed = ask(python, &sandbox.cache, "listing", &arguments, &Value::Null);
    let expected = json!({
        "config.json": {"size": 2, "blob_id": golden::CONFIG},
        "x/caf\u{e9}.bin": {
            "size": 130, "blob_id": "0".repeat(40), "lfs_sha256": "1".repeat(64), "lfs_size": 7, "xet_hash": XET,
        },
    });
    assert_eq!(listed, expected);
    assert_eq!(repo.read_listing(&commit('b')).unwrap(), files);
}

#[test]
fn what_is_damaged_is_damaged_for_both() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::new();
    golden::lay_out(sandbox.cache.root());
    let put = |path: &str| write(&sandbox.path(path), b"x");
    put("file");
    put("folder/x");
    put("things--a--b/x");
    put("models--a--1/x");
    put("models--a--2/snapshots/file");
    put("models--a--3/snapshots/c/config.json");
    put("models--a--3/refs");
    put("models--a--4/snapshots/c/config.json");
    write(&sandbox.path("models--a--4/refs/main"), b"d");
    write(&sandbox.path("models--a--5/refs/main"), b"c\n");
    put("models--a--5/snapshots/c/config.json");
    symlink(
        "../../blobs/x",
        &sandbox.path("models--a--6/snapshots/c/x/config.json"),
    );
    symlink(
        "config.json",
        &sandbox.path("models--a--7/snapshots/c/config.json"),
    );
    // Odd, and not damaged: no revision, an empty one, folders behind links, a hidden file, a chain of links.
    fs::create_dir_all(sandbox.path("models--b--1/snapshots")).unwrap();
    fs::create_dir_all(sandbox.path("spaces--b--2/snapshots/c")).unwrap();
    put("models--b--3/snapshots/c/.hidden/file");
    put("models--b--3/snapshots/c/Thumbs.db");
    put("models--b--3/snapshots/.DS_Store");
    put("kernels--b--4--c/blobs/x");
    let snapshot = "kernels--b--4--c/snapshots/c";
    symlink("../../blobs/x", &sandbox.path(&format!("{snapshot}/one")));
    symlink("one", &sandbox.path(&format!("{snapshot}/two")));
    symlink("../c", &sandbox.path(&format!("{snapshot}/folder")));
    put("kernels--b--4--c/blobs/x.incomplete");
    put("models--a--1/blobs/x.incomplete");
    for (path, hours) in [
        ("models--b--3/snapshots/c/.hidden/file", 7),
        ("kernels--b--4--c/blobs/x", 8),
    ] {
        golden::at(&sandbox.path(path), hours);
    }
    agree(python, &sandbox.cache);
    let info = sandbox.cache.scan().unwrap();
    assert_eq!(info.warnings.len(), 10, "{:#?}", info.warnings);
    assert_eq!(info.repos.len(), 7);
}

/// Each plan frees what Python's would, and leaves what Python leaves.
#[test]
fn deleting_leaves_what_python_leaves() {
    let Some(python) = python() else { return };
    let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    for commits in [
        vec![&b],
        vec![&c],
        vec![&b, &c],
        vec![&a],
        vec![&a, &b],
        vec![&a, &b, &c],
    ] {
        let (ours, theirs) = (Sandbox::new(), Sandbox::new());
        for sandbox in [&ours, &theirs] {
            golden::lay_out(sandbox.cache.root());
            // Python takes a commit for one of the whole cache.
            fs::remove_dir_all(sandbox.path("datasets--three")).unwrap();
        }
        let arguments: Vec<&str> = commits.iter().map(|commit| commit.as_str()).collect();
        let info = ours.cache.scan().unwrap();
        let revisions: Vec<_> = commits
            .iter()
            .flat_map(|commit| info.find(commit).unwrap())
            .collect();
        let plan = info.delete_revisions(&revisions);
        let freed = ask(python, &ours.cache, "plan", &arguments, &Value::Null);
        assert_eq!(
            json!({"expected_freed": plan.expected_freed}),
            freed,
            "{arguments:?}"
        );
        assert!(plan.execute(&mut go_on).failures.is_empty());
        ask(python, &theirs.cache, "delete", &arguments, &Value::Null);
        assert_eq!(ours.tree(), theirs.tree(), "{arguments:?}");
        let manifest = format!("blobs/22/{XET}.refs");
        let read = |sandbox: &Sandbox| fs::read(sandbox.path(&manifest)).ok();
        assert_eq!(read(&ours), read(&theirs), "{arguments:?}");
        agree(python, &ours.cache);
    }
}

#[test]
fn pruning_leaves_what_python_leaves() {
    let Some(python) = python() else { return };
    let (ours, theirs) = (Sandbox::new(), Sandbox::new());
    for sandbox in [&ours, &theirs] {
        golden::lay_out(sandbox.cache.root());
        write(
            &sandbox.path("models--org--one/blobs/x.1234abcd.corrupt.incomplete"),
            b"x",
        );
    }
    let deleted = ours.cache.scan().unwrap().prune().execute(&mut go_on);
    assert!(deleted.failures.is_empty(), "{:?}", deleted.failures);
    let status = ask(python, &theirs.cache, "prune", &[], &Value::Null);
    assert_eq!(status, json!({"status": 0}));
    assert_eq!(ours.tree(), theirs.tree());
    agree(python, &ours.cache);
}

/// Python brings the contents, we link to them, and they stay until both are gone, whoever deletes.
#[test]
fn contents_are_shared_with_python() {
    let Some(python) = python() else { return };
    let weights = "weights ".repeat(50);
    let etag = sha256(weights.as_bytes());
    for python_deletes_first in [false, true] {
        let sandbox = Sandbox::new();
        let files = json!([file("org/python", 'a', "model.bin", &weights, Some(XET))]);
        ask(python, &sandbox.cache, "download", &[], &files);
        let repo = sandbox.repo();
        let lock = repo.lock(&etag, &mut |_| {});
        let blob = repo
            .reuse_shared(&etag, XET, weights.len() as u64, &lock)
            .unwrap();
        drop(lock);
        repo.link(&commit('b'), &path("model.bin"), &etag).unwrap();
        repo.write_ref(&revision("main"), &commit('b')).unwrap();
        assert_eq!(
            fs::read_link(&blob).unwrap(),
            fs::read_link(sandbox.path(&format!("models--org--python/blobs/{etag}"))).unwrap()
        );
        agree(python, &sandbox.cache);
        assert_eq!(sandbox.cache.scan().unwrap().size, weights.len() as u64);
        let arguments = ["model", "org/name", "main", "model.bin"];
        let found = ask(python, &sandbox.cache, "find", &arguments, &Value::Null);
        assert_eq!(found["model.bin"]["contents"], json!(weights));

        let ours = |digit: char| {
            let info = sandbox.cache.scan().unwrap();
            let plan = info.delete_revisions(&info.find(commit(digit).as_str()).unwrap());
            assert!(plan.execute(&mut go_on).failures.is_empty());
            plan.expected_freed
        };
        let theirs = |digit: char| {
            let commit = digit.to_string().repeat(40);
            let freed = ask(python, &sandbox.cache, "delete", &[&commit], &Value::Null);
            freed["expected_freed"].as_u64().unwrap()
        };
        let (first, second) = if python_deletes_first {
            (theirs('b'), ours('a'))
        } else {
            (ours('a'), theirs('b'))
        };
        assert_eq!((first, second), (0, weights.len() as u64));
        let left = sandbox.tree();
        let expected = [
            "blobs/.huggingface-shared-blobs".to_owned(),
            format!("blobs/22/{XET}.lock"),
        ];
        assert_eq!(left, expected);
    }
}

/// A Python that holds a lock until it is told to let go.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn locks_keep_python_out_and_are_kept_out_by_it() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::new();
    let etag = ETag::parse(golden::CONFIG).unwrap();
    let repo = sandbox.repo();
    let root = sandbox.cache.root().to_str().unwrap();
    let hold = |seconds: &[&str]| {
        let arguments = [
            &["lock", root, "model", "org/name", etag.as_str()][..],
            seconds,
        ]
        .concat();
        let mut child = command(python, &arguments).spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        (Holder(child), line)
    };
    // Ours first: Python gives up after half a second, as it was told to.
    let lock = repo.lock(&etag, &mut |_| {});
    let (_, line) = hold(&["0.5"]);
    assert_eq!(line.trim(), "\"Timeout\"");
    drop(lock);
    // Then Python's: ours comes when Python is told to let go, which is when we say that we wait.
    let (holder, line) = hold(&[]);
    assert_eq!(line.trim(), "\"locked\"");
    let mut holder = Some(holder);
    let mut told = 0;
    let lock = repo.lock(&etag, &mut |_| {
        told += 1;
        holder = None;
    });
    assert!(lock.is_held());
    assert_eq!(told, 1);
}
