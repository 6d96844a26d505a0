//! A thread that looks at a cache all the time: whatever has a final name is complete from the first instant on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::cache_check::{entries, walk, wrong_name};

/// Watches until it is asked what it saw.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<String>, usize)>,
}

impl Watcher {
    /// Watches the folders of `root`: each is a cache, or has one (`cache`) and a plain folder (`to`). Snapshots, and that
    /// folder, hold nothing but `files`, with these contents.
    pub(crate) fn start(root: &Path, files: BTreeMap<String, Vec<u8>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, root) = (stop.clone(), root.to_owned());
        let thread = thread::spawn(move || {
            let mut state = State::default();
            while !seen.load(Ordering::Relaxed) {
                for (_, cache) in entries(&root) {
                    state.look(&cache, &files);
                    state.look(&cache.join("cache"), &files);
                    state.look_into(&cache.join("to"), &files);
                }
            }
            (state.wrong, state.seen.len())
        });
        Self { stop, thread }
    }

    /// Fails if it saw something incomplete under a final name; says how many different files it looked into.
    #[track_caller]
    pub(crate) fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (wrong, seen) = self.thread.join().unwrap();
        assert!(
            wrong.is_empty(),
            "incomplete files were seen:\n{}",
            wrong.join("\n")
        );
        seen
    }
}

#[derive(Default)]
struct State {
    /// What was looked into: by its path and by the inode that it had.
    seen: BTreeMap<(PathBuf, u64), u64>,
    wrong: Vec<String>,
}

impl State {
    fn look(&mut self, cache: &Path, files: &BTreeMap<String, Vec<u8>>) {
        for (_, repository) in entries(cache) {
            for (name, path) in entries(&repository.join("blobs")) {
                if !name.ends_with(".incomplete") {
                    self.once(&path, |bytes| wrong_name(&name, bytes));
                }
            }
            for (_, commit) in entries(&repository.join("snapshots")) {
                self.look_into(&commit, files);
            }
        }
    }

    fn look_into(&mut self, folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
        let mut found = Vec::new();
        walk(folder, &mut |path| found.push(path.to_owned()));
        for path in found {
            let inside = path.strip_prefix(folder).unwrap_or(&path);
            // What is known about the files of a plain folder, and what is on its way there.
            if inside.starts_with(".cache") {
                continue;
            }
            let expected = files.get(&*inside.to_string_lossy());
            self.once(&path, |bytes| {
                let right = expected.is_some_and(|expected| expected == bytes);
                (!right).then(|| format!("has {} other bytes", bytes.len()))
            });
        }
    }

    /// Looks into a file if it is new; one that is known has to stay as long as it was.
    fn once(&mut self, path: &Path, problem: impl Fn(&[u8]) -> Option<String>) {
        let Ok(link) = path.symlink_metadata() else {
            return;
        };
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&link);
        #[cfg(not(unix))]
        let inode = 0;
        let Ok(len) = fs::metadata(path).map(|m| m.len()) else {
            // A link whose blob is not there yet, or it is gone already.
            if link.is_symlink() && path.symlink_metadata().is_ok() && fs::metadata(path).is_err() {
                self.wrong.push(format!("{} leads nowhere", path.display()));
            }
            return;
        };
        let key = (path.to_owned(), inode);
        match self.seen.get(&key) {
            Some(known) if *known == len => {}
            Some(known) => {
                let text = format!("{} had {known} bytes and has {len}", path.display());
                self.wrong.push(text);
            }
            None => {
                let Ok(bytes) = fs::read(path) else {
                    return;
                };
                if let Some(problem) = problem(&bytes) {
                    self.wrong.push(format!("{} {problem}", path.display()));
                }
                self.seen.insert(key, len);
            }
        }
    }
}
