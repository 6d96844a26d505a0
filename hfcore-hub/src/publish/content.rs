//! One file that is about to be in a commit: where its bytes are, and what is known of them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use hfcore_weights::RelPath;

use crate::error::HubError;
use crate::hash::{HashKind, Hasher, hash_file};
use crate::http::request::Body;

/// The bytes of a file that is uploaded.
#[derive(Clone)]
#[non_exhaustive]
pub enum Content {
    /// Those of a file on this machine, which must not change until the upload is over.
    File(PathBuf),
    /// These.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// How the Hub wants a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadMode {
    /// Inside the commit: small text.
    Regular,
    /// To the storage of large files, before the commit, which then names its SHA-256.
    Lfs,
}

/// How much of a file the Hub looks at to choose a mode.
const SAMPLE_BYTES: usize = 512;

/// A file to add, as far as it is known.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) path: RelPath,
    content: Content,
    pub(super) size: u64,
    /// The first bytes.
    pub(super) sample: Vec<u8>,
    modified: Option<SystemTime>,
    sha256: OnceLock<String>,
    /// What the Hub answered.
    pub(super) mode: Option<UploadMode>,
    pub(super) git_ignored: bool,
    pub(super) remote_oid: Option<String>,
}

impl Addition {
    /// Looks at its size and its first bytes.
    pub(super) fn new(path: RelPath, content: Content) -> Result<Self, HubError> {
        check_path(&path)?;
        let (size, modified, sample) = match &content {
            Content::Bytes(bytes) => {
                let sample = bytes.iter().take(SAMPLE_BYTES).copied().collect();
                (bytes.len() as u64, None, sample)
            }
            Content::File(file) => look_at(file).map_err(|source| unreadable(file, source))?,
        };
        Ok(Self {
            path,
            content,
            size,
            sample,
            modified,
            sha256: OnceLock::new(),
            mode: None,
            git_ignored: false,
            remote_oid: None,
        })
    }

    /// All of its bytes: for what goes inside the commit.
    pub(super) fn read(&self) -> Result<Vec<u8>, HubError> {
        let bytes = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::File(file) => {
                let mut bytes = Vec::new();
                let limit = self.size + 1; // one more shows that it has grown
                File::open(file)
                    .and_then(|file| file.take(limit).read_to_end(&mut bytes))
                    .map_err(|source| unreadable(file, source))?;
                bytes
            }
        };
        if bytes.len() as u64 != self.size {
            return Err(self.changed());
        }
        Ok(bytes)
    }

    /// The name by which the storage of large files knows it. Computed once, by reading all of it.
    pub(super) fn sha256(&self) -> Result<&str, HubError> {
        self.sha256_watched(&mut |_| ())
    }

    /// The same; `on_bytes` is told of what is read for it.
    pub(super) fn sha256_watched(&self, on_bytes: &mut dyn FnMut(u64)) -> Result<&str, HubError> {
        if let Some(known) = self.sha256.get() {
            return Ok(known);
        }
        let kind = HashKind::Sha256;
        let (hash, length) = match &self.content {
            Content::Bytes(bytes) => (hash_of(kind, bytes), self.size),
            Content::File(file) => {
                let (hash, length) = hash_file(file, kind, on_bytes)?;
                (hash.hex().to_owned(), length)
            }
        };
        if length != self.size {
            return Err(self.changed());
        }
        Ok(self.sha256.get_or_init(|| hash))
    }

    /// A part of it, as a request carries it.
    pub(super) fn body(&self, offset: u64, len: u64) -> Body {
        match &self.content {
            Content::File(path) => Body::File {
                path: path.clone(),
                offset,
                len,
            },
            Content::Bytes(bytes) => {
                let start = to_usize(offset).min(bytes.len());
                let end = start.saturating_add(to_usize(len)).min(bytes.len());
                Body::Bytes {
                    bytes: bytes[start..end].into(),
                    content_type: None,
                }
            }
        }
    }

    /// Refuses a file that is no longer what was hashed: the Hub would keep bytes under a name that is not theirs.
    pub(super) fn check_unchanged(&self) -> Result<(), HubError> {
        let Content::File(file) = &self.content else {
            return Ok(());
        };
        let metadata = fs::metadata(file).map_err(|source| unreadable(file, source))?;
        if metadata.len() != self.size || metadata.modified().ok() != self.modified {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> HubError {
        HubError::Upload {
            path: self.path.to_string(),
            why: "it changed while it was being uploaded; nothing was committed, upload again"
                .to_owned(),
        }
    }
}

/// What the Hub does not take: git's own folder, and the one where tools keep their state.
fn check_path(path: &RelPath) -> Result<(), HubError> {
    let forbidden = path.as_str().split('/').find(|part| {
        // git takes `.GIT` for its own on systems that do.
        part.eq_ignore_ascii_case(".git") || *part == ".cache"
    });
    match forbidden {
        None => Ok(()),
        Some(part) => Err(HubError::Upload {
            path: path.to_string(),
            why: format!("the Hub takes nothing below a folder {part}; leave it out by a pattern"),
        }),
    }
}

/// The hash of bytes that are in memory.
pub(super) fn hash_of(kind: HashKind, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(kind, bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().hex().to_owned()
}

fn look_at(file: &Path) -> io::Result<(u64, Option<SystemTime>, Vec<u8>)> {
    let opened = File::open(file)?;
    let metadata = opened.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        ));
    }
    let mut sample = Vec::new();
    opened.take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
    Ok((metadata.len(), metadata.modified().ok(), sample))
}

fn unreadable(file: &Path, source: io::Error) -> HubError {
    HubError::Io {
        path: file.to_owned(),
        doing: "read",
        source,
    }
}

/// An offset into bytes that are in memory fits.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RelPath {
        RelPath::parse(path).unwrap()
    }

    #[test]
    fn a_sample_is_the_first_512_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let bytes: Vec<u8> = (0..=255).cycle().take(700).collect();
        fs::write(&file, &bytes).unwrap();
        for content in [Content::File(file), Content::Bytes(bytes.clone())] {
            let addition = Addition::new(path("x"), content).unwrap();
            assert_eq!((addition.size, &addition.sample[..]), (700, &bytes[..512]));
            assert_eq!(addition.read().unwrap(), bytes);
            assert_eq!(
                addition.sha256().unwrap(),
                hash_of(HashKind::Sha256, &bytes)
            );
        }
    }

    #[test]
    fn a_file_that_changes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs::write(&file, "abc").unwrap();
        let addition = Addition::new(path("x"), Content::File(file.clone())).unwrap();
        addition.check_unchanged().unwrap();
        fs::write(&file, "abcd").unwrap();
        for error in [
            addition.read().unwrap_err(),
            addition.sha256().unwrap_err(),
            addition.check_unchanged().unwrap_err(),
        ] {
            assert_eq!(
                error.to_string(),
                "x cannot be uploaded: it changed while it was being uploaded; nothing was committed, upload again"
            );
        }
    }

    #[test]
    fn what_the_hub_refuses_is_refused_before_anything_is_sent() {
        for bad in [".git/config", "a/.git/b", "a/.GIT/b", ".cache/x"] {
            let error = Addition::new(path(bad), Content::Bytes(Vec::new())).unwrap_err();
            assert!(
                error.to_string().contains("takes nothing below a folder"),
                "{error}"
            );
        }
        Addition::new(path(".gitignore"), Content::Bytes(Vec::new())).unwrap();
        Addition::new(path("x.cache/y"), Content::Bytes(Vec::new())).unwrap();
    }
}
