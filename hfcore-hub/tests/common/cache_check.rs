//! What is true of a cache at any time, whatever happened to whoever wrote to it:
//!
//! 1. a blob has the contents that its name promises;
//! 2. what a snapshot holds leads to a blob of the same repository or to a shared one, or is a copy with the right
//!    contents;
//! 3. a reference is a commit and nothing else;
//! 4. nothing incomplete has a final name (at any instant: see `watcher.rs`);
//! 5. a blob is never changed;
//! 6. what is left behind has a name that says so;
//! 7. a lock file is never deleted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What was there, to compare the next look with.
#[derive(Default)]
pub(crate) struct CacheCheck {
    blobs: BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)>,
    locks: Vec<PathBuf>,
}

impl CacheCheck {
    /// Looks at the whole cache.
    ///
    /// # Panics
    ///
    /// If something is not as it always has to be; with all of what is not.
    #[track_caller]
    pub(crate) fn check(&mut self, root: &Path) {
        let violations = self.violations(root);
        assert!(
            violations.is_empty(),
            "the cache {} is not valid:\n{}",
            root.display(),
            violations.join("\n")
        );
    }

    /// What is wrong.
    pub(crate) fn violations(&mut self, root: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut blobs = BTreeMap::new();
        for (name, path) in entries(root) {
            match &*name {
                "CACHEDIR.TAG" => {}
                ".locks" => {}
                "blobs" => shared_blobs(&path, &mut wrong),
                _ if name.starts_with("models--") || name.starts_with("datasets--") => {
                    repository(&path, &mut blobs, &mut wrong);
                }
                _ if is_leftover(&name) => {}
                _ => wrong.push(format!("{name} is no part of a cache")),
            }
        }
        for (path, (inode, modified, hash)) in &self.blobs {
            if let Some((i, m, h)) = blobs.get(path)
                && i == inode
                && (m != modified || h != hash)
            {
                wrong.push(format!("{} was changed", path.display()));
            }
        }
        for lock in &self.locks {
            if !lock.exists() {
                wrong.push(format!("{} was deleted", lock.display()));
            }
        }
        self.blobs = blobs;
        self.locks.clear();
        walk(&root.join(".locks"), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".lock") {
                self.locks.push(path.to_owned());
            } else if !is_leftover(&name) {
                wrong.push(format!("{} is no lock file", path.display()));
            }
        });
        wrong
    }
}

type Blobs = BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)>;

fn repository(folder: &Path, blobs: &mut Blobs, wrong: &mut Vec<String>) {
    for (name, path) in entries(folder) {
        match &*name {
            "blobs" => {
                for (name, path) in entries(&path) {
                    if !is_leftover(&name) {
                        blob(folder, &name, &path, blobs, wrong);
                    }
                }
            }
            "snapshots" => {
                for (commit, path) in entries(&path) {
                    if !is_hex(&commit, 40) {
                        wrong.push(format!("snapshots/{commit} is no commit"));
                    }
                    snapshot(folder, &commit, &path, wrong);
                }
            }
            "refs" => walk(&path, &mut |path| {
                let commit = fs::read_to_string(path).unwrap_or_default();
                if !is_hex(&commit, 40) {
                    wrong.push(format!("{} holds {commit:?}", path.display()));
                }
            }),
            ".no_exist" => walk(&path, &mut |path| {
                if fs::metadata(path).map_or(1, |m| m.len()) != 0 {
                    wrong.push(format!("{} is not empty", path.display()));
                }
            }),
            "trees" => {
                for (name, path) in entries(&path) {
                    if is_leftover(&name) {
                        continue;
                    }
                    let known = name.strip_suffix(".json").is_some_and(|n| is_hex(n, 40));
                    let json = fs::read(&path)
                        .ok()
                        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
                    if !known || json.is_none() {
                        wrong.push(format!("trees/{name} is no listing"));
                    }
                }
            }
            _ if is_leftover(&name) || is_python_trial(&name, &path) => {}
            _ => wrong.push(format!("{} is no part of a repository", path.display())),
        }
    }
}

fn blob(folder: &Path, name: &str, path: &Path, blobs: &mut Blobs, wrong: &mut Vec<String>) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    if metadata.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        let shared = folder.parent().unwrap_or(folder).join("blobs");
        let inside = path
            .canonicalize()
            .is_ok_and(|real| shared.canonicalize().is_ok_and(|s| real.starts_with(s)));
        if target.is_absolute() || !inside {
            wrong.push(format!("{} leads to {}", path.display(), target.display()));
        }
    } else if !metadata.is_file() {
        wrong.push(format!("{} is no file", path.display()));
    }
    let Ok(bytes) = fs::read(path) else {
        wrong.push(format!("{} cannot be read", path.display()));
        return;
    };
    if let Some(problem) = wrong_name(name, &bytes) {
        wrong.push(format!("{} {problem}", path.display()));
    }
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    if let Ok(modified) = metadata.modified() {
        let hash = Sha256::digest(&bytes).to_vec();
        blobs.insert(path.to_owned(), (inode, modified, hash));
    }
}

/// Why a blob's contents are not those that its name promises.
pub(crate) fn wrong_name(name: &str, bytes: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let found = if is_hex(name, 64) {
        hex(&Sha256::digest(bytes))
    } else if is_hex(name, 40) {
        let mut git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
        git.update(bytes);
        hex(&git.finalize())
    } else {
        return None;
    };
    (found != name).then(|| format!("has {} bytes, of which the hash is {found}", bytes.len()))
}

fn snapshot(folder: &Path, commit: &str, path: &Path, wrong: &mut Vec<String>) {
    let listing: Value = fs::read(folder.join("trees").join(format!("{commit}.json")))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let own = folder.join("blobs").canonicalize();
    let shared = folder
        .parent()
        .unwrap_or(folder)
        .join("blobs")
        .canonicalize();
    walk(path, &mut |file| {
        let is_link = file.symlink_metadata().is_ok_and(|m| m.is_symlink());
        if is_link {
            let target = fs::read_link(file).unwrap_or_default();
            let up = target
                .components()
                .all(|c| matches!(c, Component::ParentDir | Component::Normal(_)));
            let real = file.canonicalize();
            let inside = real.is_ok_and(|real| {
                own.as_ref().is_ok_and(|own| real.starts_with(own))
                    || shared.as_ref().is_ok_and(|s| real.starts_with(s))
            });
            if !up || !inside {
                wrong.push(format!("{} leads to {}", file.display(), target.display()));
                return;
            }
        }
        let Ok(bytes) = fs::read(file) else {
            wrong.push(format!("{} cannot be read", file.display()));
            return;
        };
        let inside = file.strip_prefix(path).unwrap_or(file);
        let entry = &listing["files"][&*inside.to_string_lossy()];
        let promised = entry["lfs_sha256"]
            .as_str()
            .or_else(|| entry["blob_id"].as_str());
        if let Some(problem) = promised.and_then(|name| wrong_name(name, &bytes)) {
            wrong.push(format!("{} {problem}", file.display()));
        }
    });
}

fn shared_blobs(folder: &Path, wrong: &mut Vec<String>) {
    walk(folder, &mut |path| {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        let mut parts = inside.iter().map(|part| part.to_string_lossy());
        let name = parts.next().unwrap_or_default();
        if name.starts_with('.') || is_leftover(&inside.to_string_lossy()) {
            return;
        }
        let hash = parts.next().unwrap_or_default();
        // Beside it are its lock, and which repositories have a link to it.
        let hash = hash
            .strip_suffix(".refs")
            .or(hash.strip_suffix(".lock"))
            .unwrap_or(&hash);
        if !is_hex(hash, 64) || !hash.starts_with(&*name) {
            wrong.push(format!("{} is no shared blob", path.display()));
        }
    });
}

/// A name that says that whatever has it can be removed.
fn is_leftover(name: &str) -> bool {
    name.ends_with(".incomplete") || name.ends_with(".tmp")
}

/// The folder in which a Python that was killed tried whether links work: `tempfile`'s name, with nothing in it but the
/// two files of `are_symlinks_supported`.
fn is_python_trial(name: &str, path: &Path) -> bool {
    let random = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let named = name
        .strip_prefix("tmp")
        .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(random));
    let tried = |(name, _): (String, _)| name.starts_with("dummy_file_");
    named && path.is_dir() && entries(path).into_iter().all(tried)
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Names and paths in a folder, in order; nothing if there is none.
pub(crate) fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect();
    entries.sort();
    entries
}

/// Every file below a folder; links are not followed.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for (_, path) in entries(folder) {
        if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}
