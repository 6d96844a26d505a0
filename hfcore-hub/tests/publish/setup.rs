//! A stand-in, a client of it, and folders to publish.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hfcore_hub::{Environment, Event, Hub, HubBuilder, RelPath, Repo, Token};
use hfcore_hub_stand_in::{Host, Request, StandIn};
use serde_json::Value;
use tempfile::TempDir;

/// The length of a part of a large file on [`stand_in`].
pub(crate) const PART: usize = 1000;
/// Where everything is published.
pub(crate) const ID: &str = "org/name";

/// A stand-in that cuts large files into small parts.
pub(crate) fn stand_in() -> StandIn {
    StandIn::builder()
        .lfs_threshold(2000)
        .part_size(PART as u64)
        .start()
}

/// With an empty repository [`ID`].
pub(crate) fn stand_in_with_repo() -> StandIn {
    let server = stand_in();
    server.model(ID).create();
    server
}

pub(crate) fn repo() -> Repo {
    Repo::model(ID).unwrap()
}

pub(crate) fn path(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

/// The environment of a user whose home is `home`, with nothing set.
pub(crate) fn environment(home: &Path) -> Environment {
    Environment::from_lookup(&|_| None, Some(home.to_owned())).unwrap()
}

/// A client with `token` that does not wait long.
pub(crate) fn builder(server: &StandIn, token: &str) -> HubBuilder {
    HubBuilder::new(environment(Path::new("/nowhere")))
        .endpoint(&server.endpoint())
        .token(Token::parse(token).unwrap())
        .backoff(
            Duration::from_millis(1),
            Duration::from_millis(5),
            Duration::from_millis(50),
        )
        .workers(3)
}

pub(crate) fn client(server: &StandIn) -> Hub {
    builder(server, StandIn::WRITE_TOKEN).build().unwrap()
}

/// The bytes of large files: each part is different.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn lay_out(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// A model folder: small files, large ones in one piece and in four parts, and what is not to be published.
pub(crate) fn model_folder() -> TempDir {
    lay_out(&[
        ("README.md", b"---\nlicense: mit\n---\n# A model\n"),
        ("config.json", b"{\"model_type\": \"llama\"}\n"),
        ("model-00001-of-00002.safetensors", &bytes(3 * PART + 500)),
        ("model-00002-of-00002.safetensors", &bytes(700)),
        ("vocab/na\u{ef}ve words.txt", "caf\u{e9}\n".as_bytes()),
        ("empty.bin", b""),
        (".git/HEAD", b"ref: refs/heads/main\n"),
        (".cache/huggingface/download/x.lock", b""),
        ("model.safetensors.12345678.incomplete", b"x"),
    ])
}

/// The files of [`model_folder`] that are to be in the repository.
pub(crate) const PUBLISHED: [&str; 6] = [
    "README.md",
    "config.json",
    "empty.bin",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "vocab/na\u{ef}ve words.txt",
];

/// The repository has exactly these files of `folder`, and the `.gitattributes` that it began with.
#[track_caller]
pub(crate) fn assert_published(server: &StandIn, revision: &str, folder: &Path, files: &[&str]) {
    server.world(|world| {
        let names = world.files_of(ID, revision).into_iter();
        let mut names: Vec<String> = names.map(|(name, _)| name).collect();
        names.retain(|name| name != ".gitattributes");
        assert_eq!(names, files);
        for name in files {
            let there = world.bytes_of(ID, revision, name).unwrap();
            assert!(there == fs::read(folder.join(name)).unwrap(), "{name}");
        }
    });
}

/// The requests with this method whose path has this in it.
pub(crate) fn requests(server: &StandIn, method: &str, part: &str) -> Vec<Request> {
    let mut requests = server.requests();
    requests.retain(|request| request.method == method && request.path.contains(part));
    requests
}

/// The lines of a commit.
pub(crate) fn lines(commit: &Request) -> Vec<Value> {
    let lines = commit.body.split(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The token went to the Hub with every request of its API, and to nobody else.
#[track_caller]
pub(crate) fn assert_no_leak(server: &StandIn) {
    let leaks = server.leaks();
    assert!(leaks.is_empty(), "a token left: {leaks:?}");
    for request in server.requests() {
        let has_token = request.header("authorization").is_some();
        // The end of an upload in parts is signed, as its parts are.
        let signed = request.host == Host::Cdn || request.path == "/api/complete_multipart";
        assert_eq!(has_token, !signed, "{} {}", request.method, request.path);
    }
}

/// Everything that was told of a file that is published.
pub(crate) type Watched = Arc<Mutex<Vec<(String, i64)>>>;

/// A client that writes down the bytes it says it sent.
pub(crate) fn watched_client(server: &StandIn) -> (Hub, Watched) {
    let watched = Watched::default();
    let notes = Arc::clone(&watched);
    let progress = move |event: &Event<'_>| {
        if let Event::Sent { path, bytes } = event {
            notes.lock().unwrap().push(((*path).to_owned(), *bytes));
        }
    };
    let hub = builder(server, StandIn::WRITE_TOKEN)
        .progress(Arc::new(progress))
        .build()
        .unwrap();
    (hub, watched)
}
