//! What the tests share: files made by hand, and folders that vanish.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary includes this file and uses a part; clippy.toml spares only functions marked `#[test]`"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed when dropped.
pub struct TempFolder(PathBuf);

impl TempFolder {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("hfcore-weights-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        // The system's folder of temporary files may be behind a link.
        Self(path.canonicalize().unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A safetensors file of this header and data.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// A file of `F32` vectors, each of four values that start with its number.
pub fn vectors(names: &[&str]) -> Vec<u8> {
    let mut header = Vec::new();
    let mut data = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let (begin, end) = (i * 16, i * 16 + 16);
        header.push(format!(
            r#""{name}":{{"dtype":"F32","shape":[4],"data_offsets":[{begin},{end}]}}"#
        ));
        for j in 0..4u8 {
            let value = f32::from(u8::try_from(i).unwrap() * 4 + j);
            data.extend_from_slice(&value.to_le_bytes());
        }
    }
    file(&format!("{{{}}}", header.join(",")), &data)
}

/// An index of these tensors and files.
pub fn index(weight_map: &[(&str, &str)]) -> String {
    let entries: Vec<String> = weight_map
        .iter()
        .map(|(name, file)| format!("{name:?}: {file:?}"))
        .collect();
    format!(
        r#"{{"metadata": {{"total_size": 1}}, "weight_map": {{{}}}}}"#,
        entries.join(", ")
    )
}

/// xorshift64: the same numbers on every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }

    /// A few bytes changed, inserted, removed or copied, as a fuzzer does; `words` are spliced in now and then.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, words: &[&[u8]]) {
        for _ in 0..1 + self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next().to_le_bytes()[3],
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, b"0123456789{}[]\":,-.eE\\ "[self.below(23)]),
                4 => bytes.truncate(at),
                5 => {
                    let to = (at + 1 + self.below(24)).min(bytes.len());
                    let copy = bytes[at..to].to_vec();
                    let into = self.below(bytes.len());
                    bytes.splice(into..into, copy);
                }
                _ => {
                    let word = words[self.below(words.len())];
                    let to = (at + self.below(word.len() + 1)).min(bytes.len());
                    bytes.splice(at..to, word.iter().copied());
                }
            }
        }
    }
}
