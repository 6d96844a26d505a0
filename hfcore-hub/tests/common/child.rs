//! Processes that download: the test binary itself, started again with a variable that tells it to.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hfcore_hub::SnapshotOptions;

use super::{client, main, repo};

const VARIABLE: &str = "HFCORE_TEST_CHILD";

/// How a child goes about it.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) symlinks: bool,
    pub(crate) locks: bool,
    /// Into the plain folder `to` beside the cache.
    pub(crate) to_folder: bool,
    /// No file that it writes can grow beyond so many blocks of 512 bytes, as on a disk that is full.
    pub(crate) limit: Option<u64>,
}

impl Mode {
    /// As it is by default.
    pub(crate) const USUAL: Self = Self {
        symlinks: true,
        locks: true,
        to_folder: false,
        limit: None,
    };
}

/// What a child does: downloads the snapshot of `main`, and fails if it cannot. Nothing in a test binary that was not
/// started as a child. Each test binary has a test `child` that calls it.
pub(crate) fn run() {
    let Ok(task) = std::env::var(VARIABLE) else {
        return;
    };
    let mut parts = task.split('\n');
    let mut part = || parts.next().unwrap();
    let (endpoint, cache) = (part(), part());
    let hub = client(endpoint, Path::new(cache))
        .symlinks(part() == "true")
        .locks(part() == "true")
        .build()
        .unwrap();
    let mut options = SnapshotOptions::default();
    if part() == "true" {
        options = options.with_to(Path::new(cache).with_file_name("to"));
    }
    if let Err(error) = hub.snapshot(&repo(), &main(), &options) {
        panic!("{}", error.chain());
    }
}

/// Starts a child.
pub(crate) fn spawn(endpoint: &str, cache: &Path, mode: Mode) -> Child {
    let task = format!(
        "{endpoint}\n{}\n{}\n{}\n{}",
        cache.to_str().unwrap(),
        mode.symlinks,
        mode.locks,
        mode.to_folder
    );
    let own = std::env::current_exe().unwrap();
    let mut command = match mode.limit {
        None => Command::new(own),
        Some(blocks) => {
            let mut shell = Command::new("sh");
            // Without the signal, which would kill it: writing fails.
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            shell.args(["-c", &script]).arg(own);
            shell
        }
    };
    command
        .args(["--exact", "child", "--test-threads=1", "--nocapture", "-q"])
        .env(VARIABLE, task)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a child that is to succeed.
#[track_caller]
pub(crate) fn succeed(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "a download failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
