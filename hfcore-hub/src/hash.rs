//! Hashes of contents, as the Hub uses them: SHA-256 for what lies in LFS, git's SHA-1 of a blob for the rest
//! (`huggingface_hub/utils/sha.py`). The crates use the CPU's own instructions where it has some.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::cache::{file, io_error};
use crate::error::HubError;

/// How many bytes are read at once: large enough that the calls do not show, small enough for the second-level cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashKind {
    /// SHA-256 of the bytes: 64 digits. What LFS names a file by.
    Sha256,
    /// SHA-1 of `blob LENGTH\0` and the bytes: 40 digits. What git names a file by.
    GitSha1,
}

impl HashKind {
    /// `sha256` or `git-sha1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::GitSha1 => "git-sha1",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::GitSha1 => 40,
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash of a file's contents, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash {
    kind: HashKind,
    hex: String,
}

impl ContentHash {
    /// A hash from its digits, of either case; nothing if it has other characters or another number of them.
    #[must_use]
    pub fn parse(kind: HashKind, hex: &str) -> Option<Self> {
        if hex.len() != kind.digits() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let hex = hex.to_ascii_lowercase();
        Some(Self { kind, hex })
    }

    /// Which hash it is.
    #[must_use]
    pub const fn kind(&self) -> HashKind {
        self.kind
    }

    /// The digits, in lower case.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for ContentHash {
    /// `sha256 …` or `git-sha1 …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.hex)
    }
}

/// A hash being made of bytes that arrive in parts.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    GitSha1(Sha1),
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.kind()).finish()
    }
}

impl Hasher {
    /// A hash of `len` bytes. Git hashes the length first; SHA-256 does not need it.
    #[must_use]
    pub fn new(kind: HashKind, len: u64) -> Self {
        Self(match kind {
            HashKind::Sha256 => State::Sha256(Sha256::new()),
            HashKind::GitSha1 => {
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {len}\0").as_bytes());
                State::GitSha1(sha1)
            }
        })
    }

    /// Which hash it makes.
    #[must_use]
    pub const fn kind(&self) -> HashKind {
        match &self.0 {
            State::Sha256(_) => HashKind::Sha256,
            State::GitSha1(_) => HashKind::GitSha1,
        }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(sha256) => sha256.update(bytes),
            State::GitSha1(sha1) => sha1.update(bytes),
        }
    }

    /// The hash of all of them.
    #[must_use]
    pub fn finish(self) -> ContentHash {
        let kind = self.kind();
        let hex = match self.0 {
            State::Sha256(sha256) => hexadecimal(&sha256.finalize()),
            State::GitSha1(sha1) => hexadecimal(&sha1.finalize()),
        };
        ContentHash { kind, hex }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

/// The hash of exactly `len` bytes of `reader`; `on_bytes` is told how many each read brought.
///
/// # Errors
/// Those of the reader; `UnexpectedEof` if it ends before.
pub fn hash_reader(
    kind: HashKind,
    len: u64,
    reader: &mut dyn Read,
    on_bytes: &mut dyn FnMut(u64),
) -> io::Result<ContentHash> {
    let mut hasher = Hasher::new(kind, len);
    feed(&mut hasher, len, reader, on_bytes)?;
    Ok(hasher.finish())
}

/// Gives exactly `len` bytes of `reader` to `hasher`.
pub(crate) fn feed(
    hasher: &mut Hasher,
    len: u64,
    reader: &mut dyn Read,
    on_bytes: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = len;
    while left > 0 {
        let want = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match reader.read(&mut buffer[..want]) {
            Ok(0) => {
                let why = format!("{left} of {len} bytes are missing");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            Ok(read) => {
                hasher.update(&buffer[..read]);
                // A reader that claims more than it was given room for has panicked above.
                left -= read as u64;
                on_bytes(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The hash and the length of a regular file, followed through symbolic links; anything else is refused without being
/// opened. `on_bytes` is told how many each read brought.
///
/// # Errors
/// If it cannot be read, is no regular file, or shrinks meanwhile.
pub fn hash_file(
    path: &Path,
    kind: HashKind,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(ContentHash, u64), HubError> {
    let file = file::open_following(path).map_err(io_error(path, "opened"))?;
    hash_open_file(&file, kind, on_bytes).map_err(io_error(path, "read"))
}

/// The same of an open file, from where it stands.
pub(crate) fn hash_open_file(
    mut file: &File,
    kind: HashKind,
    on_bytes: &mut dyn FnMut(u64),
) -> io::Result<(ContentHash, u64)> {
    let len = file.metadata()?.len();
    Ok((hash_reader(kind, len, &mut file, on_bytes)?, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(kind: HashKind, bytes: &[u8]) -> ContentHash {
        hash_reader(kind, bytes.len() as u64, &mut &bytes[..], &mut |_| {}).unwrap()
    }

    /// `printf 'Hello, World!' | sha256sum` and `| git hash-object --stdin`.
    #[test]
    fn known_hashes() {
        assert_eq!(
            hash(HashKind::Sha256, b"Hello, World!").to_string(),
            "sha256 dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f"
        );
        assert_eq!(
            hash(HashKind::GitSha1, b"Hello, World!").to_string(),
            "git-sha1 b45ef6fec89518d314f546fd6c3025367b721684"
        );
        assert_eq!(
            hash(HashKind::GitSha1, b"").hex(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
    }

    #[test]
    fn parts_do_not_matter() {
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|i| (i * 7 % 251) as u8).collect();
        for kind in [HashKind::Sha256, HashKind::GitSha1] {
            let mut hasher = Hasher::new(kind, bytes.len() as u64);
            for part in bytes.chunks(8191) {
                hasher.update(part);
            }
            assert_eq!(hasher.finish(), hash(kind, &bytes));
        }
    }

    #[test]
    fn a_short_reader_is_an_error() {
        let error = hash_reader(HashKind::Sha256, 5, &mut &b"abc"[..], &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "2 of 5 bytes are missing");
    }

    #[test]
    fn digits_are_checked() {
        assert!(ContentHash::parse(HashKind::GitSha1, &"a".repeat(40)).is_some());
        let upper = ContentHash::parse(HashKind::Sha256, &"AB".repeat(32)).unwrap();
        assert_eq!(upper.hex(), "ab".repeat(32));
        for bad in ["", "abc", &"g".repeat(40), &"a".repeat(64)] {
            assert_eq!(ContentHash::parse(HashKind::GitSha1, bad), None, "{bad}");
        }
    }
}
