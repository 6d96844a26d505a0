//! The contents of files, and the names that git and LFS give them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Where the bytes are.
#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    Disk(PathBuf),
}

/// The contents of a file, with their names.
#[derive(Debug)]
pub(crate) struct Content {
    bytes: Bytes,
    pub(crate) len: u64,
    /// The SHA-256 in hexadecimal digits: the name in LFS.
    pub(crate) sha256: String,
    /// The SHA-1 of the git blob: the name of a small file.
    pub(crate) git_sha1: String,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let mut git = git_blob(bytes.len() as u64);
        git.update(&bytes);
        Self {
            len: bytes.len() as u64,
            sha256: hex(&Sha256::digest(&bytes)),
            git_sha1: hex(&git.finalize()),
            bytes: Bytes::Memory(bytes),
        }
    }

    /// A file that is read when it is asked for, and must stay as it is.
    pub(crate) fn from_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let (mut sha256, mut git) = (Sha256::new(), git_blob(len));
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            sha256.update(&buffer[..n]);
            git.update(&buffer[..n]);
        }
        Ok(Self {
            bytes: Bytes::Disk(path.to_owned()),
            len,
            sha256: hex(&sha256.finalize()),
            git_sha1: hex(&git.finalize()),
        })
    }

    /// The bytes from `offset` on, at most `len` of them.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let len = len.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(len));
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                Ok(bytes.get(start..start + len).unwrap_or_default().to_vec())
            }
            Bytes::Disk(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = vec![0; len];
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Everything; empty where the file cannot be read any more.
    pub(crate) fn all(&self) -> Vec<u8> {
        usize::try_from(self.len)
            .ok()
            .and_then(|len| self.read(0, len).ok())
            .unwrap_or_default()
    }

    /// The name of its Xet representation. The real one is a Merkle hash over chunks; any 64 digits that depend on the
    /// contents alone do where nobody rebuilds files from chunks.
    pub(crate) fn xet_hash(&self) -> String {
        hex(&Sha256::digest(format!("xet {}", self.sha256)))
    }

    /// What git stores in place of a file in LFS.
    pub(crate) fn pointer(&self) -> String {
        format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
            self.sha256, self.len
        )
    }
}

fn git_blob(len: u64) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {len}\0"))
}

/// The name git gives to these contents.
pub(crate) fn git_sha1(bytes: &[u8]) -> String {
    let mut git = git_blob(bytes.len() as u64);
    git.update(bytes);
    hex(&git.finalize())
}

/// The SHA-1 of a text: what commits and folders are called here.
pub(crate) fn sha1_of(text: &str) -> String {
    hex(&Sha1::digest(text))
}

/// The SHA-256 of a text: what signs an address.
pub(crate) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that a text in base64 stands for; `None` for what is none.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// As one stored block of gzip: no smaller, and encoded all the same.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut chunks = bytes.chunks(0xffff).peekable();
    if chunks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        let len = u16::try_from(chunk.len()).expect("chunks are no longer");
        out.push(u8::from(chunks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(chunk);
    }
    let crc = !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    out.extend(crc.to_le_bytes());
    let len = bytes.len() & 0xffff_ffff;
    out.extend(u32::try_from(len).expect("32 bits are left").to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_git_and_lfs() {
        let content = Content::new(b"hello\n".to_vec());
        // `git hash-object` and `sha256sum` of the same bytes.
        assert_eq!(content.git_sha1, "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(
            content.sha256,
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
        assert_eq!(content.read(1, 3).unwrap(), b"ell");
        assert_eq!(content.read(4, 9).unwrap(), b"o\n");
    }

    #[test]
    fn base64_and_gzip_are_the_real_ones() {
        assert_eq!(from_base64("aGVsbG8K").unwrap(), b"hello\n");
        assert_eq!(from_base64("aGk=").unwrap(), b"hi");
        assert_eq!(from_base64("a b"), None);
        // CRC-32 and length of `hello\n`, as `gzip -l -v` shows them.
        assert_eq!(
            &gzip(b"hello\n")[21..],
            [0x20, 0x30, 0x3a, 0x36, 6, 0, 0, 0]
        );
    }
}
