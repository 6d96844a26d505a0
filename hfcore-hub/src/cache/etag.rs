//! The name that a server gives to the contents of a file, which is the name of the blob in the cache.

use std::fmt;

use hfcore_weights::RelPath;

#[cfg(feature = "net")]
use crate::hash::{ContentHash, HashKind};

/// An `ETag` that can be the name of a file: 1 to 128 of ASCII letters, digits, `.`, `_` and `-`. The Hub's are hashes
/// of the contents, by which they are verified; a mirror's may be anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag(String);

/// What an [`ETag`] says about the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ETagKind {
    /// 64 hexadecimal digits: their SHA-256.
    Sha256,
    /// 40 hexadecimal digits: git's SHA-1 of them.
    GitSha1,
    /// Nothing.
    Opaque,
}

/// Why a server's `ETag` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{etag:?} cannot be the name of a file in the cache: {why}")]
pub struct ETagError {
    etag: String,
    why: &'static str,
}

impl ETag {
    /// Longer ones leave no room for the suffixes of partial files within the 255 bytes of a file's name.
    const MAX_BYTES: usize = 128;

    /// The value of the header, without `W/` and the quotes.
    ///
    /// # Errors
    /// If what is left cannot be the name of a file on every system, or is a name that the cache itself uses.
    pub fn parse(header: &str) -> Result<Self, ETagError> {
        // Python's `_normalize_etag` strips these characters, not the prefix: both must find the same blob.
        let etag = header.trim_start_matches(['W', '/']).trim_matches('"');
        let refuse = |why| {
            let etag = header.chars().take(150).collect();
            Err(ETagError { etag, why })
        };
        if etag.is_empty() || etag.len() > Self::MAX_BYTES {
            return refuse("it has 1 to 128 bytes");
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !etag.bytes().all(allowed) {
            return refuse("it has letters, digits, `.`, `_` and `-` only");
        }
        // `.x.1234.shared` and `x.1234.incomplete` are temporary files; a lock file is `x.lock`.
        if etag.starts_with('.') || [".incomplete", ".lock"].iter().any(|s| etag.ends_with(s)) {
            return refuse("it begins with `.`, or ends with `.incomplete` or `.lock`");
        }
        if RelPath::file_name(etag).is_err() {
            return refuse("it is no plain file name on every system");
        }
        Ok(Self(etag.to_owned()))
    }

    /// Without `W/` and quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it says about the contents.
    #[must_use]
    pub fn kind(&self) -> ETagKind {
        let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match (self.0.len(), self.0.bytes().all(hexadecimal)) {
            (64, true) => ETagKind::Sha256,
            (40, true) => ETagKind::GitSha1,
            _ => ETagKind::Opaque,
        }
    }
}

#[cfg(feature = "net")]
impl ETag {
    /// The etag that the Hub gives to contents with this hash.
    #[must_use]
    pub fn of(hash: &ContentHash) -> Self {
        Self(hash.hex().to_owned())
    }

    /// The hash of the contents that it names, if it is one.
    #[must_use]
    pub fn hash(&self) -> Option<ContentHash> {
        let kind = match self.kind() {
            ETagKind::Sha256 => HashKind::Sha256,
            ETagKind::GitSha1 => HashKind::GitSha1,
            ETagKind::Opaque => return None,
        };
        ContentHash::parse(kind, self.as_str())
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of `TestNormalizeEtag` in the tests of `huggingface_hub`, and what Python makes of odd ones.
    #[test]
    fn headers_become_names_as_in_python() {
        for (header, etag) in [
            (
                "\"a16a55fda99d2f2e7b69cce5cf93ff4ad3049930\"",
                "a16a55fda99d2f2e7b69cce5cf93ff4ad3049930",
            ),
            (
                "W/\"a16a55fda99d2f2e7b69cce5cf93ff4ad3049930\"",
                "a16a55fda99d2f2e7b69cce5cf93ff4ad3049930",
            ),
            ("5d8c-61f2", "5d8c-61f2"),
            ("Wabc", "abc"),
        ] {
            assert_eq!(ETag::parse(header).unwrap().as_str(), etag);
        }
    }

    #[test]
    fn the_number_of_digits_says_which_hash() {
        let kind = |etag: &str| ETag::parse(etag).unwrap().kind();
        assert_eq!(kind(&"0a".repeat(32)), ETagKind::Sha256);
        assert_eq!(kind(&"0a".repeat(20)), ETagKind::GitSha1);
        assert_eq!(kind(&"0A".repeat(20)), ETagKind::Opaque);
        assert_eq!(kind("5d8c-61f2"), ETagKind::Opaque);
    }

    #[test]
    fn hostile_ones_are_refused() {
        let long = "a".repeat(129);
        for bad in [
            "",
            "\"\"",
            "W/",
            "..",
            "\"../../x\"",
            "a/b",
            "a\\b",
            "a\0b",
            "a b",
            "a\nb",
            ".hidden",
            "abc.incomplete",
            "abc.1234abcd.incomplete",
            "abc.lock",
            "nul",
            "con.txt",
            "abc.",
            "caf\u{e9}",
            &long,
        ] {
            assert!(ETag::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            ETag::parse("\"../x\"").unwrap_err().to_string(),
            r#""\"../x\"" cannot be the name of a file in the cache: it has letters, digits, `.`, `_` and `-` only"#
        );
    }
}
