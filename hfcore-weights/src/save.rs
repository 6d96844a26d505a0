//! Writing checkpoints as transformers does: safetensors, sharded with an index where large.
//!
//! Layout of a file: crate safetensors 0.8.0, `serialize` (tensors by falling alignment of their type, then by name;
//! the header padded to 8 bytes). Shards: `huggingface_hub` 2.4.0, `split_state_dict_into_shards_factory`. Index:
//! `json.dumps(…, indent=2, sort_keys=True)`. The files are equal byte for byte to theirs (`tests/save.rs`).

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use thiserror::Error;

use crate::number::u64_of;
use crate::{RelPath, TensorView, WeightsError, folder};

/// How a checkpoint is written; the default is what transformers' `save_pretrained` does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Bytes of tensors after which a new file is begun. A larger tensor gets a file of its own. Default 50 GB.
    pub max_shard_size: u64,
    /// `Some("fp16")` writes `model.fp16.safetensors`.
    pub variant: Option<String>,
    /// `__metadata__` of every file. Default `("format", "pt")`, which transformers wants to see.
    pub metadata: Vec<(String, String)>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            max_shard_size: 50_000_000_000,
            variant: None,
            metadata: vec![("format".to_owned(), "pt".to_owned())],
        }
    }
}

impl SaveOptions {
    /// Sets [`max_shard_size`](Self::max_shard_size), in bytes.
    #[must_use]
    pub fn with_max_shard_size(mut self, bytes: u64) -> Self {
        self.max_shard_size = bytes;
        self
    }

    /// Sets [`variant`](Self::variant).
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// Sets [`metadata`](Self::metadata).
    #[must_use]
    pub fn with_metadata(mut self, metadata: Vec<(String, String)>) -> Self {
        self.metadata = metadata;
        self
    }
}

/// What [`save_pretrained`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The safetensors files, in order.
    pub files: Vec<PathBuf>,
    /// The index, where there are several.
    pub index: Option<PathBuf>,
    /// Bytes of all tensors.
    pub total_size: u64,
}

/// Why a checkpoint was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A tensor that cannot be written.
    #[error("tensor {name:?} cannot be saved: {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A variant that cannot be part of a file name, or a repeated key of the metadata.
    #[error("{0}")]
    Options(String),
}

/// Writes tensors as `model.safetensors`, or as `model-00001-of-0000N.safetensors` and `model.safetensors.index.json`.
///
/// Each file is written beside its place, flushed to the disk and renamed, so that a file under its final name is
/// always whole, and so that the tensors may come from the very checkpoint that is overwritten: its maps keep the old
/// files. Replacing shards removes the old index first and writes the new one last: a folder in which the process died
/// half-way is refused by readers, not mixed. Files of the previous checkpoint that the new one does not have are
/// removed at the end. Tied tensors are to be given once, as transformers does.
///
/// On Windows a file cannot be renamed over one that is mapped: save elsewhere, or load with
/// [`WeightSource::Read`](crate::WeightSource::Read).
///
/// # Errors
/// If a name occurs twice, is `__metadata__`, or a tensor is a placeholder; if writing fails, in which case the
/// temporary files are removed.
pub fn save_pretrained(
    folder: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (String, TensorView)>,
    options: &SaveOptions,
) -> Result<Saved, SaveError> {
    save(folder.as_ref(), tensors.into_iter().collect(), options)
}

fn save(
    folder: &Path,
    tensors: Vec<(String, TensorView)>,
    options: &SaveOptions,
) -> Result<Saved, SaveError> {
    check(&tensors, options)?;
    let variant = options.variant.as_deref();
    let (single, index_name) =
        folder::checkpoint_names(variant).map_err(|error| SaveError::Options(error.to_string()))?;
    let total_size = tensors.iter().map(|(_, tensor)| size(tensor)).sum();
    let shards = split(tensors, options.max_shard_size);
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;

    let stem = single
        .as_str()
        .strip_suffix(".safetensors")
        .expect("it ends so")
        .to_owned();
    let names: Vec<String> = match shards.len() {
        0 | 1 => vec![single.to_string()],
        count => (1..=count)
            .map(|number| format!("{stem}-{number:05}-of-{count:05}.safetensors"))
            .collect(),
    };
    let mut weight_map = BTreeMap::new();
    let mut written = Vec::new();
    for (name, shard) in names.iter().zip(&shards) {
        for (tensor, _) in shard {
            weight_map.insert(tensor.as_str(), name.as_str());
        }
        written.push(Temporary::write(folder, name, |file| {
            write_safetensors(file, shard, &options.metadata, Layout::Python)
        })?);
    }

    let index = (names.len() > 1).then(|| index_name.join_to(folder));
    if let Some(index) = &index {
        let json = index_json(total_size, &weight_map);
        let new_index = Temporary::write(folder, index_name.as_str(), |file| {
            file.write_all(json.as_bytes())
        })?;
        remove(index)?;
        for file in written {
            file.publish()?;
        }
        new_index.publish()?;
        // It would be preferred to the shards by every reader.
        remove(&single.join_to(folder))?;
    } else {
        for file in written {
            file.publish()?;
        }
        remove(&index_name.join_to(folder))?;
    }
    remove_stale_shards(folder, &stem, &names)?;
    sync_folder(folder)?;
    Ok(Saved {
        files: names.iter().map(|name| folder.join(name)).collect(),
        index,
        total_size,
    })
}

/// The bytes of a safetensors file of these tensors.
///
/// # Errors
/// If a name occurs twice, is `__metadata__`, or a tensor is a placeholder.
pub fn to_safetensors(
    tensors: impl IntoIterator<Item = (String, TensorView)>,
    metadata: &[(String, String)],
) -> Result<Vec<u8>, SaveError> {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let options = SaveOptions::default().with_metadata(metadata.to_vec());
    check(&tensors, &options)?;
    let mut bytes = Vec::new();
    write_safetensors(&mut bytes, &tensors, metadata, Layout::Python)
        .map_err(io_error("write", Path::new("memory")))?;
    Ok(bytes)
}

/// Writes one safetensors file at `path`, whose folder exists, laid out to be mapped: a tensor whose size is a multiple
/// of 64 bytes begins at one. Any reader of safetensors reads it.
///
/// It is written beside its place, flushed to the disk and renamed, so that `path` is always whole, or as it was. It
/// gets this time of its last change.
///
/// # Errors
/// As [`save_pretrained`], and if `path` has no file name.
pub fn save_file(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (String, TensorView)>,
    metadata: &[(String, String)],
    modified: SystemTime,
) -> Result<(), SaveError> {
    let path = path.as_ref();
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str))
    else {
        let why = format!("{} has no name of a file", path.display());
        return Err(SaveError::Options(why));
    };
    let tensors: Vec<_> = tensors.into_iter().collect();
    check(
        &tensors,
        &SaveOptions::default().with_metadata(metadata.to_vec()),
    )?;
    let file = Temporary::write(folder, name, |file| {
        write_safetensors(file, &tensors, metadata, Layout::Mapped)
    })?;
    let written = File::options().write(true).open(&file.path);
    written
        .and_then(|written| written.set_modified(modified))
        .map_err(io_error("set the time of", &file.path))?;
    file.publish()?;
    sync_folder(folder)
}

/// Bytes of a size as transformers writes it: `"5GB"`, `"200 MB"`, `"1.5KB"`, in powers of 1000.
///
/// # Errors
/// If the unit is none of `TB`, `GB`, `MB`, `KB`, or no number is before it.
pub fn parse_size(size: &str) -> Result<u64, SaveError> {
    let refuse = || {
        SaveError::Options(format!(
            "{size:?} is no size: expected a number and one of TB, GB, MB, KB"
        ))
    };
    let text = size.trim();
    let cut = text
        .len()
        .checked_sub(2)
        .filter(|&cut| text.is_char_boundary(cut));
    let (number, unit) = text.split_at(cut.ok_or_else(refuse)?);
    let unit = match unit.to_ascii_uppercase().as_str() {
        "TB" => 1e12,
        "GB" => 1e9,
        "MB" => 1e6,
        "KB" => 1e3,
        _ => return Err(refuse()),
    };
    let number: f64 = number.trim().parse().map_err(|_| refuse())?;
    let bytes = number * unit;
    if !(bytes.is_finite() && (0.0..=1e18).contains(&bytes)) {
        return Err(refuse());
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1e18; cut towards zero as Python's int() does"
    )]
    Ok(bytes as u64)
}

fn check(tensors: &[(String, TensorView)], options: &SaveOptions) -> Result<(), SaveError> {
    let mut names = HashSet::new();
    for (name, tensor) in tensors {
        let refuse = |why: &str| {
            Err(SaveError::Tensor {
                name: name.clone(),
                why: why.to_owned(),
            })
        };
        if name == "__metadata__" {
            return refuse("the format reserves the name");
        }
        if !names.insert(name) {
            return refuse("the name occurs twice");
        }
        if tensor.is_placeholder() {
            return refuse("it is a placeholder");
        }
        let checked = TensorView::new(tensor.dtype, tensor.shape.clone(), tensor.bytes.clone());
        if let Err(error @ WeightsError::ByteCount { .. }) = checked {
            return refuse(&error.to_string());
        }
    }
    let mut keys = HashSet::new();
    for (key, _) in &options.metadata {
        if !keys.insert(key) {
            return Err(SaveError::Options(format!(
                "metadata key {key:?} occurs twice"
            )));
        }
    }
    Ok(())
}

/// Fills shards in the order given. As `huggingface_hub`: a tensor over the limit gets a shard of its own, which does not
/// close the current one.
fn split(
    tensors: Vec<(String, TensorView)>,
    max_shard_size: u64,
) -> Vec<Vec<(String, TensorView)>> {
    let mut shards = Vec::new();
    let (mut current, mut current_size) = (Vec::new(), 0u64);
    for (name, tensor) in tensors {
        let size = size(&tensor);
        if size > max_shard_size {
            shards.push(vec![(name, tensor)]);
            continue;
        }
        if current_size + size > max_shard_size {
            shards.push(std::mem::take(&mut current));
            current_size = 0;
        }
        current.push((name, tensor));
        current_size += size;
    }
    if !current.is_empty() || shards.is_empty() {
        shards.push(current);
    }
    shards
}

fn size(tensor: &TensorView) -> u64 {
    u64_of(tensor.bytes.len())
}

/// In which order tensors lie, and where the first begins.
#[derive(Clone, Copy)]
enum Layout {
    /// As the Python package has it.
    Python,
    /// What can begin with a cache line does.
    Mapped,
}

impl Layout {
    /// What the offset of the first tensor is a multiple of.
    const fn alignment(self) -> usize {
        match self {
            Self::Python => 8,
            Self::Mapped => 64,
        }
    }
}

fn write_safetensors(
    file: &mut dyn Write,
    tensors: &[(String, TensorView)],
    metadata: &[(String, String)],
    layout: Layout,
) -> io::Result<()> {
    let mut tensors: Vec<&(String, TensorView)> = tensors.iter().collect();
    tensors.sort_by(|(a_name, a), (b_name, b)| {
        let ragged = |tensor: &TensorView| !tensor.bytes.len().is_multiple_of(layout.alignment());
        match layout {
            Layout::Python => b.dtype.cmp(&a.dtype),
            Layout::Mapped => ragged(a).cmp(&ragged(b)),
        }
        .then_with(|| a_name.cmp(b_name))
    });

    let mut header = String::from("{");
    if !metadata.is_empty() {
        let entries: Vec<String> = metadata
            .iter()
            .map(|(key, value)| format!("{}:{}", json(key), json(value)))
            .collect();
        write!(header, "\"__metadata__\":{{{}}}", entries.join(",")).expect("a String grows");
    }
    let mut offset = 0;
    for (name, tensor) in &tensors {
        if header.len() > 1 {
            header.push(',');
        }
        let dims: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        let end = offset + size(tensor);
        write!(
            header,
            r#"{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{offset},{end}]}}"#,
            json(name),
            tensor.dtype,
            dims.join(",")
        )
        .expect("a String grows");
        offset = end;
    }
    header.push('}');
    let length = size_of::<u64>();
    let padded = (length + header.len()).next_multiple_of(layout.alignment()) - length;
    header.extend(std::iter::repeat_n(' ', padded - header.len()));

    file.write_all(&u64_of(padded).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (_, tensor) in tensors {
        file.write_all(tensor.bytes.as_ref())?;
    }
    Ok(())
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// As Python's `json.dumps`, which escapes whatever is not ASCII.
fn json_ascii(text: &str) -> String {
    let mut ascii = String::new();
    for c in json(text).chars() {
        if matches!(c, ' '..='~') {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(ascii, "\\u{unit:04x}").expect("a String grows");
            }
        }
    }
    ascii
}

fn index_json(total_size: u64, weight_map: &BTreeMap<&str, &str>) -> String {
    let entries: Vec<String> = weight_map
        .iter()
        .map(|(name, file)| format!("    {}: {}", json_ascii(name), json_ascii(file)))
        .collect();
    format!(
        "{{\n  \"metadata\": {{\n    \"total_size\": {total_size}\n  }},\n  \"weight_map\": {{\n{}\n  }}\n}}\n",
        entries.join(",\n")
    )
}

/// A file that is not yet under its name, and is removed if it never gets there.
struct Temporary {
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Temporary {
    fn write(
        folder: &Path,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Self, SaveError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
        // Never over another's file.
        let file = File::create_new(&path).map_err(io_error("create", &path))?;
        let temporary = Self {
            target: folder.join(name),
            path,
            published: false,
        };
        let io = |source| io_error("write", &temporary.path)(source);
        let mut file = BufWriter::with_capacity(1 << 20, file);
        write(&mut file).map_err(io)?;
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        Ok(temporary)
    }

    fn publish(mut self) -> Result<(), SaveError> {
        fs::rename(&self.path, &self.target).map_err(io_error("replace", &self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // Nothing is to be done about a failure here; the name says what the file is.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove(path: &Path) -> Result<(), SaveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove the old", path)(error))
        }
        _ => Ok(()),
    }
}

/// Shards of the previous checkpoint: `STEM-ddddd-of-ddddd.safetensors`, as transformers finds them.
fn remove_stale_shards(folder: &Path, stem: &str, written: &[String]) -> Result<(), SaveError> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_shard(&name, stem) && !written.contains(&name) && RelPath::file_name(&name).is_ok() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn is_shard(name: &str, stem: &str) -> bool {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .and_then(|rest| rest.split_once("-of-"))
        .is_some_and(|(number, count)| digits(number) && digits(count))
}

/// Makes the renames last, where a folder can be flushed.
fn sync_folder(folder: &Path) -> Result<(), SaveError> {
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("flush", folder))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_owned();
    move |source| SaveError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_transformers() {
        assert_eq!(parse_size("5MB").unwrap(), 5_000_000);
        assert_eq!(parse_size(" 1.5 gb ").unwrap(), 1_500_000_000);
        for bad in ["5", "5MiB", "MB", "-1GB", "nanGB", "infGB", "", "é", "5é"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_size("5 apples").unwrap_err().to_string(),
            r#""5 apples" is no size: expected a number and one of TB, GB, MB, KB"#
        );
    }

    #[test]
    fn a_large_tensor_does_not_close_the_current_shard() {
        let tensor = |n: usize| TensorView::from_f32(&[n], &vec![0.0; n]);
        let sizes = [6, 6, 2, 6, 2, 2, 12, 1];
        let tensors = sizes
            .iter()
            .enumerate()
            .map(|(i, &n)| (i.to_string(), tensor(n)));
        let shards = split(tensors.collect(), 44);
        let names: Vec<String> = shards
            .iter()
            .map(|shard| shard.iter().map(|(name, _)| name.as_str()).collect())
            .collect();
        assert_eq!(names, ["0", "12", "6", "3457"]);
    }

    #[test]
    fn a_file_to_be_mapped_begins_tensors_with_lines() {
        let folder = std::env::temp_dir().join(format!("hfcore-save-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("packed.safetensors");
        let tensor = |n: u8| TensorView::from_f32(&[n.into()], &vec![f32::from(n); n.into()]);
        let tensors = [("a", 8), ("b", 16), ("c", 3), ("d", 32)];
        let tensors = tensors.map(|(name, n)| (name.to_owned(), tensor(n)));
        let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 30);
        let metadata = [("key".to_owned(), "value".to_owned())];
        save_file(&path, tensors.clone(), &metadata, modified).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
        let bytes = fs::read(&path).unwrap();
        for (name, n) in [("b", 16usize), ("d", 32)] {
            let tensor = tensors.iter().find(|(other, _)| other == name).unwrap();
            let at = bytes
                .windows(4 * n)
                .position(|part| part == tensor.1.bytes.as_ref());
            assert!(at.is_some_and(|at| at % 64 == 0), "{name} at {at:?}");
        }
        let weights = crate::Weights::from_file(&path).unwrap();
        for (name, tensor) in &tensors {
            let read = weights.get(name).unwrap();
            assert_eq!(read.bytes.as_ref(), tensor.bytes.as_ref(), "{name}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(save_file("/", tensors, &[], modified).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_shards_of_the_same_stem_are_stale() {
        assert!(is_shard("model-00001-of-00002.safetensors", "model"));
        assert!(!is_shard("model.safetensors", "model"));
        assert!(!is_shard("model.fp16-00001-of-00002.safetensors", "model"));
        assert!(is_shard(
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16"
        ));
        assert!(!is_shard("model-1-of-2.safetensors", "model"));
        assert!(!is_shard("model-00001-of-00002.safetensors.bak", "model"));
    }
}
