//! Who needs a shared blob: `<xet hash>.refs` beside it names the links of repositories, one a line, relative to the
//! cache. It is a hint: each line is checked against the file system, and where it is missing or cannot be read the blob
//! stays (`utils/_shared_blobs.py`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Cache, file, shared};
use crate::repo::RepoType;

/// Some hundred thousand links; a larger file is no manifest.
const MAX_BYTES: u64 = 64 << 20;
/// Everybody who uses the cache uses the manifests and their locks, as in Python.
pub(super) const MODE: u32 = 0o666;

impl Cache {
    /// Keeps everybody else from adding a link to the shared blob `entry`, or removing it. Nothing where locks do not
    /// work: the blob is then neither linked to nor removed.
    pub(super) fn lock_shared(&self, entry: &Path) -> Option<File> {
        let wait = &mut |_| ControlFlow::Continue(());
        match self.wait_for(&beside(entry, "lock"), MODE, wait) {
            ControlFlow::Continue(lock) => lock,
            ControlFlow::Break(()) => None,
        }
    }

    /// The links to `entry` that its manifest names and that are there. Nothing if that cannot be known.
    fn references(&self, entry: &Path) -> Option<BTreeSet<PathBuf>> {
        let manifest = file::read_limited(&beside(entry, "refs"), MAX_BYTES).ok()?;
        let mut references = BTreeSet::new();
        for line in std::str::from_utf8(&manifest).ok()?.lines() {
            let blob = self.root.join(line);
            if self.relative_blob(&blob).as_deref() != Some(line) {
                continue;
            }
            if self.shared_link(&blob).ok()?.as_deref() == Some(entry) {
                references.insert(blob);
            }
        }
        Some(references)
    }

    /// `models--org--name/blobs/<etag>`, if `blob` is one of this cache, as manifests name it.
    pub(super) fn relative_blob(&self, blob: &Path) -> Option<String> {
        let relative = blob.strip_prefix(&self.root).ok()?;
        let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
        let [folder, "blobs", name] = parts?[..] else {
            return None;
        };
        let (plural, id) = folder.split_once("--")?;
        let known = RepoType::ALL.iter().any(|kind| kind.plural() == plural);
        let plain = !id.is_empty() && !name.is_empty() && !relative.as_os_str().is_empty();
        let line = format!("{folder}/blobs/{name}");
        (known && plain && !line.contains(['\n', '\r'])).then_some(line)
    }

    /// How many bytes removing the links `blobs` frees of the shared blob `entry`: all, or none if another link stays.
    pub(super) fn shared_bytes_freed(&self, entry: &Path, blobs: &BTreeSet<PathBuf>) -> u64 {
        match self.references(entry) {
            Some(references) if !references.is_empty() && references.is_subset(blobs) => {
                len_of(entry)
            }
            _ => 0,
        }
    }

    /// The shared blobs that blobs of repositories link to, whatever manifests say.
    pub(super) fn linked_shared_blobs(&self) -> BTreeSet<PathBuf> {
        let repos = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let blobs = repos.flat_map(|repo| fs::read_dir(repo.path().join("blobs")));
        let links = blobs.flatten().flatten();
        let targets = links.filter_map(|link| self.shared_link(&link.path()).ok()?);
        targets.collect()
    }

    /// The shared blobs that no repository needs, with their sizes in bytes.
    pub(super) fn unreferenced_shared_blobs(&self) -> Vec<(PathBuf, u64)> {
        let linked = self.linked_shared_blobs();
        let mut entries = self.shared_blobs();
        entries.sort();
        entries.retain(|entry| {
            let known = self.references(entry);
            known.is_some_and(|known| known.is_empty()) && !linked.contains(entry)
        });
        let measured = entries.into_iter().map(|entry| (len_of(&entry), entry));
        measured.map(|(len, entry)| (entry, len)).collect()
    }

    /// Removes the shared blob `entry` if no repository needs it, and returns how many bytes that freed. `linked` are those
    /// that were linked to a moment ago: a manifest that lost a line, and by which Python would go, costs nothing here. Who
    /// has made a link since has added it to the manifest before.
    pub(super) fn sweep_shared_blob(
        &self,
        entry: &Path,
        linked: &BTreeSet<PathBuf>,
    ) -> io::Result<u64> {
        let Some(store) = self.shared_store() else {
            return Ok(0);
        };
        if !entry.strip_prefix(&store).is_ok_and(shared::is_entry) {
            return Ok(0);
        }
        let Some(_lock) = self.lock_shared(entry) else {
            return Ok(0);
        };
        let Some(references) = self.references(entry) else {
            return Ok(0);
        };
        let manifest = beside(entry, "refs");
        if !references.is_empty() {
            self.rewrite(&manifest, &references)?;
            return Ok(0);
        }
        if linked.contains(entry) || !entry.symlink_metadata()?.is_file() {
            return Ok(0);
        }
        let len = len_of(entry);
        fs::remove_file(entry)?;
        // Without its blob it says nothing.
        let _ = fs::remove_file(&manifest);
        Ok(len)
    }

    /// Drops the lines that name links which are gone.
    fn rewrite(&self, manifest: &Path, references: &BTreeSet<PathBuf>) -> io::Result<()> {
        let lines: Option<Vec<String>> = references.iter().map(|r| self.relative_blob(r)).collect();
        let text = lines.ok_or(io::ErrorKind::InvalidData)?.join("\n") + "\n";
        let name = manifest.file_name().unwrap_or_default().to_string_lossy();
        let temporary = manifest.with_file_name(format!("{name}.{}.tmp", file::unique()));
        let written = file::write_new(&temporary, text.as_bytes())
            .and_then(|()| File::open(&temporary))
            .map(|file| file::set_mode(&file, MODE))
            .and_then(|()| fs::rename(&temporary, manifest));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// `<xet hash>.<suffix>`.
pub(super) fn beside(entry: &Path, suffix: &str) -> PathBuf {
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    entry.with_file_name(format!("{name}.{suffix}"))
}

fn len_of(path: &Path) -> u64 {
    path.symlink_metadata().map_or(0, |metadata| metadata.len())
}
