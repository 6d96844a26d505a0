//! File names that come out of files: never trusted, never joined to a path before they pass here.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A relative path that stays inside the folder it is joined to, by the rules of POSIX *and* of Windows, on every
/// system: a checkpoint that opens on one machine opens on all, and what is refused on one is refused on all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is no plain file name: {why}", shorten(.name))]
pub struct RelPathError {
    name: String,
    why: &'static str,
}

/// The longest name of one file on the usual file systems.
const MAX_PART_BYTES: usize = 255;
/// Below the limits of Linux (4096) and of Windows with long paths; far above anything published.
const MAX_PATH_BYTES: usize = 1024;

impl RelPath {
    /// Parts separated by `/`, each the plain name of a file or folder.
    ///
    /// # Errors
    /// Refuses absolute paths, drive letters, UNC paths and streams (`:` and `\` anywhere), `.` and `..`, empty parts,
    /// control characters, the characters and device names that Windows reserves, trailing dots and spaces, parts
    /// longer than 255 bytes.
    pub fn parse(path: &str) -> Result<Self, RelPathError> {
        let refuse = |why| {
            Err(RelPathError {
                name: path.to_owned(),
                why,
            })
        };
        if path.len() > MAX_PATH_BYTES {
            return refuse("it is longer than 1024 bytes");
        }
        for part in path.split('/') {
            if let Err(why) = check_part(part) {
                return refuse(why);
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The plain name of a file, without any folder: what the index may call a shard.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and if there is a `/`.
    pub fn file_name(name: &str) -> Result<Self, RelPathError> {
        if name.contains('/') {
            return Err(RelPathError {
                name: name.to_owned(),
                why: "it has a `/`",
            });
        }
        Self::parse(name)
    }

    /// As given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path inside `folder`.
    #[must_use]
    pub fn join_to(&self, folder: &Path) -> PathBuf {
        let mut path = folder.to_owned();
        path.extend(self.0.split('/'));
        path
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("it is empty, or starts or ends with `/`");
    }
    if part == "." || part == ".." {
        return Err("it has a `.` or `..` part");
    }
    if part.len() > MAX_PART_BYTES {
        return Err("it has a part longer than 255 bytes");
    }
    if part.contains(['\\', ':']) {
        return Err(
            "it has a `\\` or `:`, which Windows takes for a separator, a drive or a stream",
        );
    }
    if part.contains(['<', '>', '"', '|', '?', '*']) {
        return Err("it has one of `< > \" | ? *`, which Windows reserves");
    }
    if part.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("it has a control or formatting character");
    }
    if part.ends_with(['.', ' ']) || part.starts_with(' ') {
        return Err("it starts with a space, or ends with a dot or a space, which Windows drops");
    }
    if is_device(part) {
        return Err("it is the name of a device on Windows");
    }
    Ok(())
}

/// Characters that make two different names look alike: zero-width ones and those that reverse the direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `CON`, `nul.safetensors`, `COM1` …: Windows opens the device, whatever the extension and the folder.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let stem = stem.to_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
        return true;
    }
    let number = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    // The superscript digits count as digits there.
    number.is_some_and(|n| {
        matches!(
            n,
            "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
        )
    })
}

/// The name quoted and escaped, cut where it is absurdly long.
fn shorten(name: &str) -> String {
    if name.chars().count() <= 80 {
        format!("{name:?}")
    } else {
        let start: String = name.chars().take(60).collect();
        format!("{start:?}… ({} bytes)", name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in [
            "model.safetensors",
            "model-00001-of-00002.safetensors",
            "model.fp16-00001-of-00002.safetensors",
            ".hidden",
            "a b.safetensors",
            "modèle.safetensors",
            "..a",
            "console.safetensors",
            "COM10",
            "null",
        ] {
            assert_eq!(RelPath::file_name(name).unwrap().as_str(), name);
        }
        assert!(RelPath::parse("onnx/model.onnx").is_ok());
    }

    /// IX-01.
    #[test]
    fn names_that_escape_or_mean_something_else_are_refused() {
        let long = "x".repeat(5000);
        let long_part = "x".repeat(256);
        let refused = [
            "",
            ".",
            "..",
            "/",
            "//",
            "../x",
            "../../x",
            "a/../../b",
            "a/..",
            "./a",
            "a/.",
            "a//b",
            "/etc/passwd",
            "a/",
            "\\\\host\\share",
            "C:\\x",
            "C:x",
            "c:/x",
            "\\x",
            "a\\b",
            "..\\x",
            "x:ads",
            "a\0b",
            "a\nb",
            "a\tb",
            "a\u{7f}",
            "CON",
            "con",
            "Con.safetensors",
            "nul",
            "NUL.txt",
            "AUX.a.b",
            "COM1",
            "lpt9.safetensors",
            "COM¹",
            "con .x",
            "x.",
            "x ",
            " x",
            "x/ ",
            "a?b",
            "a*b",
            "a<b",
            "a>b",
            "a|b",
            "a\"b",
            "a\u{202e}b",
            "a\u{200b}b",
            "\u{feff}a",
            &long,
            &long_part,
        ];
        let passed: Vec<_> = refused
            .iter()
            .filter(|name| RelPath::parse(name).is_ok())
            .collect();
        assert!(passed.is_empty(), "{passed:?}");
        assert!(RelPath::file_name("a/b").is_err());
    }

    #[test]
    fn the_refusal_is_short_and_escaped() {
        assert_eq!(
            RelPath::file_name("../../etc\n").unwrap_err().to_string(),
            r#""../../etc\n" is no plain file name: it has a `/`"#
        );
        let error = RelPath::file_name(&"é".repeat(4000))
            .unwrap_err()
            .to_string();
        assert!(error.len() < 400, "{error}");
    }

    /// Whatever passes stays inside, and reads back as the same parts.
    #[test]
    fn what_passes_stays_inside() {
        let alphabet: Vec<char> = "ab./\\: ~c\0C0N*é\u{301}".chars().collect();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut passed = 0;
        for _ in 0..200_000 {
            let mut name = String::new();
            for _ in 0..1 + seed % 8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                name.push(alphabet[usize::try_from(seed >> 40).unwrap() % alphabet.len()]);
            }
            if let Ok(path) = RelPath::parse(&name) {
                passed += 1;
                let joined = path.join_to(Path::new("/root/folder"));
                let inner = joined.strip_prefix("/root/folder").unwrap();
                assert!(
                    inner
                        .components()
                        .all(|part| matches!(part, std::path::Component::Normal(_))),
                    "{name:?}"
                );
                assert_eq!(inner.to_str().unwrap().replace('\\', "/"), name);
            }
        }
        assert!(passed > 1000, "{passed}");
    }
}
