//! What the tests of downloads share: clients of the stand-in whose waits take no time, and bytes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test binaries have it, and each uses its part of it"
)]

use std::path::Path;
use std::time::Duration;

use hfcore_hub::{
    CachedFile, DownloadOptions, Environment, Hub, HubBuilder, HubError, RelPath, Repo, Revision,
};
use tempfile::TempDir;

/// A client of `endpoint` with a cache and a home in `folder`, whose environment is empty.
pub fn client(endpoint: &str, folder: &Path) -> HubBuilder {
    let environment = Environment::from_lookup(&|_| None, Some(folder.join("home"))).unwrap();
    let milliseconds = Duration::from_millis;
    HubBuilder::new(environment)
        .endpoint(endpoint)
        .cache(folder.join("cache"))
        .etag_timeout(Duration::from_secs(10))
        .download_timeout(Duration::from_secs(10))
        .backoff(milliseconds(1), milliseconds(4), Duration::from_secs(300))
}

pub fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn model() -> Repo {
    Repo::model("org/name").unwrap()
}

pub fn main() -> Revision {
    Revision::default()
}

pub fn path(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

/// Bytes that repeat nowhere near: a part in the wrong place is seen.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// `file` of `org/name` at `main`, with the default options.
pub fn download(hub: &Hub, file: &str) -> Result<CachedFile, HubError> {
    hub.download(&model(), &main(), &path(file), &DownloadOptions::default())
}

/// All regular files and links below a folder, by their paths, sorted.
pub fn files_below(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}
