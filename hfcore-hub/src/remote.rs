//! Will it fit? The safetensors headers of a model on the Hub, read by range: a few hundred kilobytes say what gigabytes
//! hold.
//!
//! The reference is `get_safetensors_metadata` of `huggingface_hub` 2.4.0. Headers are held to the same limits and rules as
//! those of local files, the index is checked against them, and everything is read at one commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use hfcore_weights::{HeaderProblem, Limits, RelPath, SafetensorsHeader, ShardIndex};

use crate::error::HubError;
use crate::hub::Hub;
use crate::parallel;
use crate::repo::{Commit, Repo, Revision};
use crate::tree::RepoFile;

/// What is read of a file first. 97 of 100 headers are shorter, as Python's authors found, so that one request is enough.
const FIRST_BYTES: u64 = 100_000;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Which weights are looked at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// A folder of the repository, in place of its root.
    pub subfolder: Option<RelPath>,
    /// `fp16` for `model.fp16.safetensors`.
    pub variant: Option<String>,
    /// How much is read.
    pub limits: Limits,
}

impl RemoteOptions {
    /// A folder of the repository, in place of its root.
    #[must_use]
    pub fn with_subfolder(mut self, folder: RelPath) -> Self {
        self.subfolder = Some(folder);
        self
    }

    /// `fp16` for `model.fp16.safetensors`.
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// How much is read.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// `name` with the variant, in the folder.
    fn path(&self, name: &str) -> Result<RelPath, HubError> {
        let name = match &self.variant {
            // `model.safetensors.index.fp16.json`, and `model.fp16.safetensors`.
            Some(variant) => {
                let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
                format!("{stem}.{variant}.{extension}")
            }
            None => name.to_owned(),
        };
        let path = match &self.subfolder {
            Some(folder) => format!("{}/{name}", folder.as_str()),
            None => name,
        };
        Ok(RelPath::parse(&path)?)
    }
}

/// One weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteFile {
    /// Its path in the repository.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// How many tensors it holds.
    pub tensors: usize,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteTensor {
    /// Its name.
    pub name: String,
    /// Its data type, as safetensors names it: `BF16`.
    pub dtype: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Bytes of its elements.
    pub size_bytes: u64,
    /// Which of the files it is in.
    pub file: usize,
}

impl RemoteTensor {
    /// How many numbers it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        let sizes = self.shape.iter().map(|&size| size as u64);
        sizes.fold(1, u64::saturating_mul)
    }
}

/// The weights of a model, as far as their headers say.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteWeights {
    /// At which commit.
    pub commit: Commit,
    /// The files: one, or the shards in the order of the index.
    pub files: Vec<RemoteFile>,
    /// The tensors, by name.
    pub tensors: Vec<RemoteTensor>,
    /// Bytes of the files that a load needs besides: configuration, tokenizer, templates, the index.
    pub other_bytes: u64,
}

impl RemoteWeights {
    /// Numbers of parameters by data type, as safetensors names it, in the order of the names.
    #[must_use]
    pub fn parameters_by_dtype(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for tensor in &self.tensors {
            let count = counts.entry(&tensor.dtype).or_default();
            *count = count.saturating_add(tensor.elements());
        }
        let counts = counts.into_iter();
        counts.map(|(dtype, n)| (dtype.to_owned(), n)).collect()
    }

    /// All parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let counts = self.tensors.iter().map(RemoteTensor::elements);
        counts.fold(0, u64::saturating_add)
    }

    /// Bytes of all tensors: what memory a load needs at least, or maps.
    #[must_use]
    pub fn tensor_bytes(&self) -> u64 {
        let sizes = self.tensors.iter().map(|tensor| tensor.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes of the weight files: what they take on a disk.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes of a whole download.
    #[must_use]
    pub fn download_bytes(&self) -> u64 {
        self.file_bytes().saturating_add(self.other_bytes)
    }
}

impl Hub {
    /// What the weights of `repo` are, without downloading them: the headers of `model.safetensors`, or of the shards that
    /// `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// If the repository has neither, a header breaks the format's rules, the index and the headers contradict each other,
    /// or the Hub cannot be asked.
    pub fn remote_weights(
        &self,
        repo: &Repo,
        revision: &Revision,
        options: &RemoteOptions,
    ) -> Result<RemoteWeights, HubError> {
        let commit = self.resolve(repo, revision)?;
        let listing = self.list_files(repo, &commit)?;
        let find = |path: &RelPath| listing.iter().find(|file| file.path == *path);
        let (single, index_path) = (options.path(SINGLE)?, options.path(INDEX)?);
        let remote = Remote {
            hub: self,
            repo,
            commit: &commit,
            limits: &options.limits,
            header_bytes: AtomicU64::new(0),
        };
        let (paths, index) = if find(&single).is_some() {
            (vec![single], None)
        } else if let Some(file) = find(&index_path) {
            let index = remote.read_index(file)?;
            let shards = index.shards().iter();
            let paths: Result<_, HubError> = shards
                .map(|shard| match &options.subfolder {
                    Some(folder) => Ok(RelPath::parse(&format!("{folder}/{shard}"))?),
                    None => Ok(shard.clone()),
                })
                .collect();
            (paths?, Some(index))
        } else {
            return Err(HubError::NoRemoteWeights {
                repo: repo.clone(),
                revision: revision.clone(),
                expected: format!("{single} or {index_path}"),
                found: weight_files(&listing),
            });
        };
        let files = paths.iter().map(|path| {
            let size = find(path).and_then(|file| file.size);
            size.map(|size| (path.clone(), size)).ok_or_else(|| {
                let why = if find(path).is_some() {
                    "the Hub does not say its size"
                } else {
                    "the index names it, and the repository does not have it"
                };
                remote.refuse(path, why)
            })
        });
        let files: Vec<(RelPath, u64)> = files.collect::<Result<_, _>>()?;
        let headers = parallel::run(self.workers(), &files, |(path, size), _| {
            remote.read_header(path, *size)
        })?;
        let weights = RemoteWeights {
            other_bytes: other_bytes(&listing, options.subfolder.as_ref()),
            commit: commit.clone(),
            tensors: tensors(&headers),
            files: files
                .into_iter()
                .zip(&headers)
                .map(|((path, size), header)| RemoteFile {
                    path,
                    size,
                    tensors: header.len(),
                })
                .collect(),
        };
        weights.check(index.as_ref()).map_err(|why| {
            let path = index
                .as_ref()
                .map_or(&weights.files[0].path, |_| &index_path);
            remote.refuse(path, why)
        })?;
        Ok(weights)
    }
}

/// What the reading of one repository has in common.
struct Remote<'a> {
    hub: &'a Hub,
    repo: &'a Repo,
    commit: &'a Commit,
    limits: &'a Limits,
    /// Of all files so far.
    header_bytes: AtomicU64,
}

impl Remote<'_> {
    fn refuse(&self, path: &RelPath, why: impl Into<String>) -> HubError {
        HubError::RemoteWeights {
            repo: self.repo.clone(),
            path: path.clone(),
            why: why.into(),
        }
    }

    fn read(&self, path: &RelPath, from: u64, to: u64) -> Result<Vec<u8>, HubError> {
        let bytes = self
            .hub
            .read_range(self.repo, self.commit, path, from..to)?;
        if bytes.len() as u64 == to - from {
            Ok(bytes)
        } else {
            let why = format!(
                "{} bytes came of its {} from byte {from} on, and its size says that there are more",
                bytes.len(),
                to - from
            );
            Err(self.refuse(path, why))
        }
    }

    fn read_index(&self, file: &RepoFile) -> Result<ShardIndex, HubError> {
        let max = self.limits.max_index_bytes;
        let size = match file.size {
            Some(size @ 1..) if size <= max => size,
            size => {
                let size =
                    size.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
                let why = format!(
                    "it has {size} bytes, and 1 to `max_index_bytes` = {max} were expected"
                );
                return Err(self.refuse(&file.path, why));
            }
        };
        let json = self.read(&file.path, 0, size)?;
        ShardIndex::parse(&json, self.limits)
            .map_err(|problem| self.refuse(&file.path, problem.to_string()))
    }

    fn read_header(&self, path: &RelPath, size: u64) -> Result<SafetensorsHeader, HubError> {
        if size == 0 {
            return Err(self.refuse(path, "it is empty"));
        }
        let mut bytes = self.read(path, 0, size.min(FIRST_BYTES))?;
        let Some(first) = bytes.first_chunk() else {
            let problem = HeaderProblem::TooShort { len: size };
            return Err(self.refuse(path, problem.to_string()));
        };
        let broken = |problem: HeaderProblem| self.refuse(path, problem.to_string());
        let length = SafetensorsHeader::length(*first, size, self.limits).map_err(broken)?;
        let before = self.header_bytes.fetch_add(length, Ordering::Relaxed);
        let max = self.limits.max_header_bytes;
        if before.saturating_add(length) > max {
            let why =
                format!("with it the headers have more than `max_header_bytes` = {max} bytes");
            return Err(self.refuse(path, why));
        }
        let (have, end) = (bytes.len() as u64, 8 + length);
        if have < end {
            bytes.extend(self.read(path, have, end)?);
        }
        let end = usize::try_from(end).expect("so many bytes are in memory");
        SafetensorsHeader::parse(&bytes[8..end], size - 8 - length, self.limits).map_err(broken)
    }
}

/// Those of all files, by name.
fn tensors(headers: &[SafetensorsHeader]) -> Vec<RemoteTensor> {
    let mut tensors: Vec<RemoteTensor> = headers
        .iter()
        .enumerate()
        .flat_map(|(file, header)| {
            header
                .tensors()
                .map(move |(name, dtype, shape, range)| RemoteTensor {
                    name: name.to_owned(),
                    dtype: dtype.map_or_else(str::to_owned, |dtype| dtype.to_string()),
                    shape: shape.to_vec(),
                    size_bytes: range.end - range.start,
                    file,
                })
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

impl RemoteWeights {
    /// No tensor twice, and each where the index says.
    fn check(&self, index: Option<&ShardIndex>) -> Result<(), String> {
        let path = |file: usize| &self.files[file].path;
        let mut pairs = self.tensors.windows(2);
        if let Some(pair) = pairs.find(|pair| pair[0].name == pair[1].name) {
            let (name, first, second) = (&pair[0].name, path(pair[0].file), path(pair[1].file));
            return Err(format!("tensor {name:?} is in {first} and in {second}"));
        }
        let places: HashMap<&str, usize> = self
            .tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.file))
            .collect();
        let mut wrong = index
            .into_iter()
            .flat_map(ShardIndex::weight_map)
            .filter(|(name, shard)| places.get(name) != Some(shard))
            .map(|(name, shard)| match places.get(name) {
                Some(&file) => format!("{name:?} (in {}, not {})", path(file), path(shard)),
                None => format!("{name:?} (not in {})", path(shard)),
            });
        let first: Vec<String> = wrong.by_ref().take(5).collect();
        if first.is_empty() {
            return Ok(());
        }
        let count = first.len() + wrong.count();
        Err(format!(
            "{count} of its tensors are not in the shard that it names: {}{}",
            first.join(", "),
            if count > first.len() { " …" } else { "" }
        ))
    }
}

/// What a load takes besides the weights: small files with these endings, in the folder itself.
fn other_bytes(listing: &[RepoFile], subfolder: Option<&RelPath>) -> u64 {
    const ENDINGS: [&str; 6] = [".json", ".jinja", ".txt", ".model", ".tiktoken", ".spm"];
    let prefix = subfolder.map_or_else(String::new, |folder| format!("{folder}/"));
    let files = listing.iter().filter(|file| {
        let name = file.path.as_str().strip_prefix(&prefix);
        name.is_some_and(|name| {
            !name.contains('/') && ENDINGS.iter().any(|ending| name.ends_with(ending))
        })
    });
    let sizes = files.filter_map(|file| file.size);
    sizes.fold(0, u64::saturating_add)
}

/// What there is instead of safetensors, some of it.
fn weight_files(listing: &[RepoFile]) -> Vec<String> {
    const ENDINGS: [&str; 9] = [
        ".safetensors",
        ".bin",
        ".gguf",
        ".pt",
        ".pth",
        ".ckpt",
        ".h5",
        ".msgpack",
        ".onnx",
    ];
    let names = listing.iter().map(|file| file.path.as_str());
    let weights = names.filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
    weights.take(5).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_transformers_names_them() {
        let options = RemoteOptions::default();
        assert_eq!(options.path(SINGLE).unwrap().as_str(), "model.safetensors");
        let options = options
            .with_variant("fp16")
            .with_subfolder(RelPath::parse("text_encoder").unwrap());
        assert_eq!(
            options.path(SINGLE).unwrap().as_str(),
            "text_encoder/model.fp16.safetensors"
        );
        assert_eq!(
            options.path(INDEX).unwrap().as_str(),
            "text_encoder/model.safetensors.index.fp16.json"
        );
        assert!(
            RemoteOptions::default()
                .with_variant("../x")
                .path(SINGLE)
                .is_err()
        );
    }
}
