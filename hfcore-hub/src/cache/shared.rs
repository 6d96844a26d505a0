//! The blobs that repositories of one cache share: `blobs/<xx>/<xet hash>`, to which `blobs/<etag>` of a repository is a
//! relative link (`utils/_shared_blobs.py`). Python puts there what it downloaded by the Xet protocol, which checks that
//! hash, and never what came by plain HTTP; nor does this crate, which uses what is there and removes what nobody needs.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Cache, file};

/// The file that marks `blobs` as the store, and the version of its layout.
const MARKER: &str = ".huggingface-shared-blobs";
const LAYOUT: &[u8] = b"1\n";

impl Cache {
    /// The folder of the shared blobs, if there is one whose layout is known.
    pub(super) fn shared_store(&self) -> Option<PathBuf> {
        let store = self.root.join("blobs");
        let is_folder = store
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir());
        let marked = is_folder
            && file::read_limited(&store.join(MARKER), 16).is_ok_and(|marker| marker == LAYOUT);
        marked.then_some(store)
    }

    /// Whether `real`, which has no links in it, lies where shared blobs do.
    pub(super) fn is_shared_blob(&self, real: &Path) -> bool {
        let Ok(root) = self.root.canonicalize() else {
            return false;
        };
        real.strip_prefix(root.join("blobs")).is_ok_and(is_entry)
    }

    /// The shared blob that `blob`, of a repository, is a link to: a regular file. Nothing for any other link.
    pub(super) fn shared_target(&self, blob: &Path) -> Option<PathBuf> {
        let target = self.shared_link(blob).ok()??;
        let metadata = target.symlink_metadata().ok()?;
        metadata.is_file().then_some(target)
    }

    /// The shared blob that `blob` is a link to, whether or not that is there. An error if it cannot be known.
    pub(super) fn shared_link(&self, blob: &Path) -> std::io::Result<Option<PathBuf>> {
        if self.relative_blob(blob).is_none() {
            return Ok(None);
        }
        match blob.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {}
            Err(error) if !file::is_missing(&error) => return Err(error),
            _ => return Ok(None),
        }
        let target = match fs::read_link(blob) {
            Ok(target) => target,
            Err(error) if file::is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let target = normalise(&blob.parent().unwrap_or(blob).join(target));
        let store = self.root.join("blobs");
        let entry = target.strip_prefix(normalise(&store)).ok();
        Ok(entry
            .filter(|entry| is_entry(entry))
            .map(|entry| store.join(entry)))
    }

    /// All contents in the store, in no order.
    pub(super) fn shared_blobs(&self) -> Vec<PathBuf> {
        let Some(store) = self.shared_store() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for prefix in fs::read_dir(&store).into_iter().flatten().flatten() {
            // Not followed if it is a link.
            if !prefix.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for entry in fs::read_dir(prefix.path()).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if is_file && path.strip_prefix(&store).is_ok_and(is_entry) {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// `<xx>/<xet hash>`, where the hash begins with `xx`.
pub(super) fn is_entry(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_str());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(prefix)), Some(Some(hash)), None) => {
            prefix.len() == 2 && hash.starts_with(prefix) && is_xet_hash(hash)
        }
        _ => false,
    }
}

/// 64 lower-case hexadecimal digits.
pub(super) fn is_xet_hash(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// `path` without `.` and `..`, by its text alone, and without the prefix of Windows' long paths.
pub(super) fn normalise(path: &Path) -> PathBuf {
    #[cfg(windows)]
    let path = &without_long_prefix(path);
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// `\\?\C:\x` is `C:\x`, and `\\?\UNC\server\share` is `\\server\share`.
#[cfg(windows)]
fn without_long_prefix(path: &Path) -> PathBuf {
    let Some(text) = path.to_str() else {
        return path.to_owned();
    };
    if let Some(rest) = text.strip_prefix(r"\\?\UNC\") {
        return format!(r"\\{rest}").into();
    }
    text.strip_prefix(r"\\?\").unwrap_or(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_two_digits_and_the_hash_that_they_begin() {
        let hash = "ab".repeat(32);
        assert!(is_entry(Path::new(&format!("ab/{hash}"))));
        for other in [
            format!("ac/{hash}"),
            format!("ab/{hash}.lock"),
            format!("ab/{}", "AB".repeat(32)),
            format!("ab/{hash}/x"),
            format!("a/{hash}"),
            hash.clone(),
            "ab".to_owned(),
            String::new(),
        ] {
            assert!(!is_entry(Path::new(&other)), "{other}");
        }
    }

    #[test]
    fn paths_are_normalised_by_their_text() {
        for (path, normal) in [
            ("/a/b/../c/./d", "/a/c/d"),
            ("/../a", "/a"),
            ("/a/../../b", "/b"),
        ] {
            assert_eq!(normalise(Path::new(path)), Path::new(normal));
        }
    }
}
