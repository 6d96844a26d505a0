//! The packed file: what quantizing made of a checkpoint, kept for the next load.
//!
//! Quantizing reads every weight and takes seconds to minutes. So its planes are written to a safetensors
//! file in a cache folder, once for each model and format, and mapped by later loads, which then cost the
//! parse of a header, as loads of checkpoints do; processes share its pages.
//!
//! ```text
//! HFCORE_PACKED_CACHE, or CACHE/hfcore/packed
//!   NAME-LOCATION.int8.safetensors      planes, under TENSOR.PLANE; the largest begin with a cache line
//!     __metadata__  hfcore.packed         the version of what is in it
//!                   hfcore.quantization   int8
//!                   hfcore.source         a hash of what it was made of
//!                   hfcore.planes         a hash of all planes
//!                   hfcore.modified       the time that the file was given
//! ```
//!
//! A file is used only if all of it holds. `hfcore.source` is made of the commit, for a model of the Hub, or
//! the path, sizes and times of files, for a folder; and of the header and a sample of the bytes of each.
//! `hfcore.planes` is checked where the file has another time than it was given: any program that wrote to
//! it, or copied it, changed that. A header that ends early, a plane of another shape and a scale that is
//! not finite are found on every load. What does not hold is made anew, and replaces the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hfcore_arch::QuantizeReport;
use hfcore_kernels::QuantFormat;
use hfcore_weights::{SaveError, TensorView, Weights, available_space, save_file};
use sha2::{Digest, Sha256};

use crate::model_dir::ModelDir;

/// Raised when planes, their names or how they are computed change.
const VERSION: &str = "1";
/// Blocks of a file that are part of its identity, beside its header.
const SAMPLES: u64 = 64;
/// Bytes of each.
const SAMPLE_BYTES: usize = 4096;
/// The longest header that is hashed; the rest is sampled.
const MAX_HEADER: u64 = 100 << 20;
/// What has to stay free on the disk.
const SPARE_BYTES: u64 = 64 << 20;
/// Files of processes that died while writing are removed when they are this old.
const LEFTOVER: Duration = Duration::from_secs(3600);

/// Where quantized weights are kept for the next load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackedCache {
    /// In the folder that `HFCORE_PACKED_CACHE` names (nowhere, if it is `off`), or in `hfcore/packed` of the
    /// user's cache folder: `XDG_CACHE_HOME`, or `.cache` in the home folder.
    #[default]
    Environment,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere: each load quantizes.
    Off,
}

impl PackedCache {
    /// The folder; nothing if it is off, or there is no home.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Environment => {
                folder_of_environment(|name| std::env::var_os(name), std::env::home_dir())
            }
            Self::Folder(folder) => Some(folder.clone()),
            Self::Off => None,
        }
    }
}

fn folder_of_environment(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    match path("HFCORE_PACKED_CACHE") {
        Some(value) if value.as_os_str().eq_ignore_ascii_case("off") => None,
        Some(folder) => Some(folder),
        None => {
            // Relative ones are to be ignored, says the XDG Base Directory Specification.
            let cache = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
            Some(
                cache
                    .or_else(|| Some(home?.join(".cache")))?
                    .join("hfcore/packed"),
            )
        }
    }
}

/// What became of a model's matrices when it was loaded quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantization {
    /// The format of the body's matrices; the language-model head has `int8`.
    pub format: QuantFormat,
    /// Matrices that were quantized.
    pub matrices: usize,
    /// Their bytes, scales included.
    pub bytes: u64,
    /// Where they are kept.
    pub packed: Packed,
}

/// Where quantized weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packed {
    /// In this file of an earlier load, mapped.
    Found(PathBuf),
    /// In this file, which this load has written, mapped.
    Written(PathBuf),
    /// In memory: writing was not asked for.
    Off,
    /// In memory: they could not be written, for this reason.
    Failed(String),
}

/// The packed file of a model, there or not.
#[derive(Debug)]
pub(crate) struct PackedFile {
    path: PathBuf,
    /// What the file must say.
    metadata: BTreeMap<&'static str, String>,
}

impl PackedFile {
    /// The file for the weights of `dir` in `format`.
    ///
    /// # Errors
    /// If a file of the weights cannot be looked at.
    pub(crate) fn new(
        folder: &Path,
        dir: &ModelDir,
        weights: &Weights,
        format: QuantFormat,
    ) -> io::Result<Self> {
        let location = location(dir)?;
        let mut key = hash(location.as_bytes());
        key.truncate(16);
        let name: String = (label(dir).chars())
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .take(64)
            .collect();
        let metadata = BTreeMap::from([
            ("hfcore.packed", VERSION.to_owned()),
            ("hfcore.quantization", format.name().to_owned()),
            ("hfcore.source", source(dir, &location, weights)?),
        ]);
        Ok(Self {
            path: folder.join(format!(
                "{}-{key}.{format}.safetensors",
                name.trim_start_matches('.')
            )),
            metadata,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `other` stands for the same bytes: nobody changed the checkpoint in between.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.path == other.path && self.metadata == other.metadata
    }

    /// Its planes, mapped; nothing if there is no such file or it does not hold.
    pub(crate) fn open(&self) -> Option<Weights> {
        let file = File::open(&self.path).ok()?;
        let weights = Weights::from_file(&self.path).ok()?;
        let found: BTreeMap<&str, &str> = weights.metadata().collect();
        let expected = |(key, value): (&&str, &String)| found.get(key) == Some(&value.as_str());
        if !self.metadata.iter().all(expected) {
            return None;
        }
        let given = found.get("hfcore.modified")?.parse().ok()?;
        let given = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(given))?;
        if file.metadata().ok()?.modified().ok()? != given {
            let planes = weights
                .names()
                .map(|name| Some((name, weights.get(name).ok()?)))
                .collect::<Option<Vec<_>>>()?;
            if found.get("hfcore.planes")? != &hash_planes(planes.iter().map(|(n, p)| (*n, p))) {
                return None;
            }
            // It is whole, and has been copied. Where its time cannot be set, it is hashed again next time.
            let _ = file.set_modified(given);
        }
        Some(weights)
    }

    /// Write what `report` made, beside those planes of `old` that it has no other of.
    ///
    /// # Errors
    /// If the disk is full, or the file cannot be written.
    pub(crate) fn write(
        &self,
        report: QuantizeReport,
        old: Option<&Weights>,
    ) -> Result<(), PackedError> {
        let mut planes: BTreeMap<String, TensorView> = report.made.into_iter().collect();
        if let Some(old) = old {
            for name in old
                .names()
                .filter(|name| !planes.contains_key(*name))
                .collect::<Vec<_>>()
            {
                if let Ok(plane) = old.get(name) {
                    planes.insert(name.to_owned(), plane);
                }
            }
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let io = |source| PackedError::Io {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(io)?;
        remove_leftovers(&self.path);
        let wanted: u64 = planes.values().map(|plane| plane.bytes.len() as u64).sum();
        // Where it cannot be asked, writing will tell.
        if let Ok(free) = available_space(folder)
            && free < wanted.saturating_add(SPARE_BYTES)
        {
            return Err(PackedError::Full {
                path: folder.to_owned(),
                wanted,
                free,
            });
        }
        // Whole seconds, and even: every file system keeps them.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let given = now.map_or(0, |now| now.as_secs() & !1);
        let hash = hash_planes(planes.iter().map(|(name, plane)| (name.as_str(), plane)));
        let own = [
            ("hfcore.planes", hash),
            ("hfcore.modified", given.to_string()),
        ];
        let metadata = self.metadata.clone().into_iter().chain(own);
        let metadata: Vec<_> = metadata
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(given);
        Ok(save_file(&self.path, planes, &metadata, modified)?)
    }
}

/// Why quantized weights could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackedError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} has {free} bytes free, and {wanted} are needed", .path.display())]
    Full {
        path: PathBuf,
        wanted: u64,
        free: u64,
    },
    #[error("{}", chain(.0))]
    Save(#[from] SaveError),
}

/// A message with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Temporary files of processes that died, of the packed file `path`.
fn remove_leftovers(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let prefix = format!(".{}.", name.to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let old = || {
            let modified = entry.metadata().ok()?.modified().ok()?;
            Some(modified.elapsed().ok()? > LEFTOVER)
        };
        if name.starts_with(&prefix) && name.ends_with(".tmp") && old() == Some(true) {
            // Somebody else may have been first.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What people know the model by.
fn label(dir: &ModelDir) -> String {
    match dir.origin() {
        Some(origin) => origin.repo.as_str().replace('/', "--"),
        None => {
            let path = dir.path().canonicalize();
            let path = path.as_deref().unwrap_or(dir.path());
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
    }
}

/// What tells a model from all others: one packed file is kept of each.
fn location(dir: &ModelDir) -> io::Result<String> {
    let variant = dir.variant().unwrap_or_default();
    Ok(match dir.origin() {
        Some(origin) => format!("hub {origin} {} {variant}", dir.subfolder().display()),
        None => format!("folder {} {variant}", dir.path().canonicalize()?.display()),
    })
}

/// A hash of what identifies the checkpoint's bytes.
fn source(dir: &ModelDir, location: &str, weights: &Weights) -> io::Result<String> {
    use std::fmt::Write;
    let mut text = format!("{location}\n");
    for file in weights.files() {
        let mut opened = File::open(&file.path)?;
        let metadata = opened.metadata()?;
        let size = metadata.len();
        // Of the Hub's files the commit says which they are, and a second download has another time.
        let modified = match dir.origin() {
            Some(_) => 0,
            None => metadata
                .modified()?
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos()),
        };
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let content = sample(&mut opened, size)?;
        writeln!(text, "{name} {size} {modified} {content}").expect("a String grows");
    }
    Ok(hash(text.as_bytes()))
}

/// A hash of the header of a safetensors file, and of blocks all over it.
fn sample(file: &mut File, size: u64) -> io::Result<String> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let header = u64::from_le_bytes(length).min(MAX_HEADER).min(size - 8);
    let mut hasher = Sha256::new();
    let mut bytes = Vec::new();
    (&mut *file).take(header).read_to_end(&mut bytes)?;
    hasher.update(&bytes);
    let data = size - 8 - header;
    bytes.resize(SAMPLE_BYTES, 0);
    for i in 0..SAMPLES {
        // No overflow: files are below 2^57 bytes.
        let last = data.saturating_sub(SAMPLE_BYTES as u64);
        file.seek(SeekFrom::Start(8 + header + last * i / (SAMPLES - 1)))?;
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read(&mut bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        hasher.update(&bytes[..filled]);
    }
    Ok(hexadecimal(hasher))
}

fn hash(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hexadecimal(hasher)
}

fn hexadecimal(hasher: Sha256) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("a String grows");
    }
    text
}

/// Of all planes, by rising name.
fn hash_planes<'a>(planes: impl Iterator<Item = (&'a str, &'a TensorView)>) -> String {
    let mut hasher = Sha256::new();
    for (name, plane) in planes {
        hasher.update(name.as_bytes());
        hasher.update((plane.bytes.len() as u64).to_le_bytes());
        hasher.update(plane.bytes.as_ref());
    }
    hexadecimal(hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_variable_or_the_users_cache() {
        let folder = |variables: &[(&str, &str)], home: Option<&str>| {
            let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
            let value = |name: &str| find(name).map(|(_, value)| OsString::from(value));
            folder_of_environment(value, home.map(PathBuf::from))
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(folder(&[("HFCORE_PACKED_CACHE", "/a")], None), path("/a"));
        assert_eq!(folder(&[("HFCORE_PACKED_CACHE", "off")], Some("/h")), None);
        assert_eq!(
            folder(
                &[("HFCORE_PACKED_CACHE", ""), ("XDG_CACHE_HOME", "/x")],
                Some("/h")
            ),
            path("/x/hfcore/packed")
        );
        assert_eq!(
            folder(&[("XDG_CACHE_HOME", "x")], Some("/h")),
            path("/h/.cache/hfcore/packed")
        );
        assert_eq!(folder(&[], None), None);
        assert_eq!(PackedCache::Off.folder(), None);
    }
}
