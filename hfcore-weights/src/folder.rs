//! Which files of a model folder are its checkpoint, and which of them may be opened.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::OpenFile;
use crate::{IndexProblem, OpenOptions, RelPath, ShardIndex, WeightsError};

/// The files of a checkpoint, opened and not yet parsed.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) files: Vec<Arc<OpenFile>>,
    /// The index and where it lies, for a checkpoint of several files.
    pub(crate) index: Option<(PathBuf, ShardIndex)>,
}

/// A model folder, its symbolic links resolved.
struct Folder<'a> {
    root: PathBuf,
    /// Folders outside of it that links in it may lead to.
    stores: Vec<PathBuf>,
    options: &'a OpenOptions,
}

/// The name that marks `<cache>/blobs` as `huggingface_hub`'s cache-wide store, and its contents.
const SHARED_STORE_MARKER: (&str, &str) = (".huggingface-shared-blobs", "1\n");

/// Finds and opens the files, in transformers' order: `model.safetensors`, then `model.safetensors.index.json`.
pub(crate) fn open(root: &Path, options: &OpenOptions) -> Result<Checkpoint, WeightsError> {
    let folder = Folder::new(root, options)?;
    let (single, index) = checkpoint_names(options.variant.as_deref())?;
    let listing = folder.list(&[single.as_str(), index.as_str()])?;

    if listing.has(&single) {
        return Ok(Checkpoint {
            files: vec![folder.open(&single)?],
            index: None,
        });
    }
    if listing.has(&index) {
        return folder.open_sharded(&index);
    }
    if let Some(file) = listing.legacy {
        return Err(WeightsError::LegacyFormat {
            folder: root.to_owned(),
            file,
        });
    }
    Err(WeightsError::NoWeights {
        folder: root.to_owned(),
        wanted: single.to_string(),
        index: index.to_string(),
        found: listing.safetensors,
    })
}

/// What the checkpoint of a folder may be called, in transformers' order: one file, else the index of several.
/// `model.safetensors` and `model.safetensors.index.json`, or with the variant `fp16` `model.fp16.safetensors` and
/// `model.safetensors.index.fp16.json`.
///
/// # Errors
/// If the variant cannot be part of a file name.
pub fn checkpoint_names(variant: Option<&str>) -> Result<(RelPath, RelPath), WeightsError> {
    let Some(variant) = variant else {
        return Ok((
            plain("model.safetensors"),
            plain("model.safetensors.index.json"),
        ));
    };
    let refuse = |problem| WeightsError::Variant {
        variant: variant.to_owned(),
        problem,
    };
    RelPath::file_name(variant).map_err(refuse)?;
    let single = RelPath::file_name(&format!("model.{variant}.safetensors"));
    let index = RelPath::file_name(&format!("model.safetensors.index.{variant}.json"));
    Ok((single.map_err(refuse)?, index.map_err(refuse)?))
}

fn plain(name: &str) -> RelPath {
    RelPath::file_name(name).expect("a plain name")
}

/// What is in the folder, as far as it matters.
struct Listing {
    wanted: Vec<String>,
    safetensors: Vec<String>,
    legacy: Option<String>,
}

impl Listing {
    fn has(&self, name: &RelPath) -> bool {
        self.wanted.iter().any(|wanted| wanted == name.as_str())
    }
}

impl<'a> Folder<'a> {
    fn new(root: &Path, options: &'a OpenOptions) -> Result<Self, WeightsError> {
        // A link to the folder itself is the user's own doing: compare with where it leads.
        let root = canonical(root)?;
        Ok(Self {
            stores: stores(&root),
            root,
            options,
        })
    }

    /// Looks for `wanted` without opening anything. Two names that differ in case only are refused: which of them a
    /// program gets would depend on the file system.
    fn list(&self, wanted: &[&str]) -> Result<Listing, WeightsError> {
        let io = |source| WeightsError::Io {
            action: "list",
            path: self.root.clone(),
            source,
        };
        let mut listing = Listing {
            wanted: Vec::new(),
            safetensors: Vec::new(),
            legacy: None,
        };
        for entry in fs::read_dir(&self.root).map_err(io)? {
            // A name that is not Unicode is none of those wanted.
            let Ok(name) = entry.map_err(io)?.file_name().into_string() else {
                continue;
            };
            let folded = name.to_lowercase();
            if wanted.contains(&folded.as_str())
                || wanted.iter().any(|w| w.to_lowercase() == folded)
            {
                let other = listing
                    .wanted
                    .iter()
                    .find(|other| other.to_lowercase() == folded);
                if let Some(other) = other {
                    let (first, second) =
                        (other.clone().min(name.clone()), other.clone().max(name));
                    return Err(WeightsError::AmbiguousCase {
                        folder: self.root.clone(),
                        first,
                        second,
                    });
                }
                listing.wanted.push(name.clone());
            }
            if name.ends_with(".safetensors") && listing.safetensors.len() < 1000 {
                listing.safetensors.push(name);
            } else if is_legacy_checkpoint(&name)
                && listing.legacy.as_ref().is_none_or(|first| name < *first)
            {
                listing.legacy = Some(name);
            }
        }
        listing.safetensors.sort();
        Ok(listing)
    }

    fn open_sharded(&self, index_name: &RelPath) -> Result<Checkpoint, WeightsError> {
        let index_file = self.open(index_name)?;
        let max = self.options.limits.max_index_bytes;
        if index_file.len() > max {
            return Err(WeightsError::TooLarge {
                what: index_file.path.display().to_string(),
                bytes: index_file.len(),
                limit: "max_index_bytes",
                max,
            });
        }
        let path = index_name.join_to(&self.root);
        let refuse = |problem| WeightsError::Index {
            file: path.clone(),
            problem,
        };
        // A file larger than the address space would have been over the limit, were that one sane.
        let len = usize::try_from(index_file.len()).unwrap_or(usize::MAX);
        let json = index_file.read(0, len)?;
        let index = ShardIndex::parse(json.as_ref(), &self.options.limits).map_err(refuse)?;

        let missing: Vec<String> = index
            .shards()
            .iter()
            // A link to nowhere (an interrupted download) is missing too.
            .filter(|shard| !shard.join_to(&self.root).exists())
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            return Err(refuse(IndexProblem::MissingShards {
                missing,
                shards: index.shards().len(),
            }));
        }
        let files = index
            .shards()
            .iter()
            .map(|shard| self.open(shard))
            .collect::<Result<Vec<_>, _>>()?;
        check_distinct(index.shards(), &files).map_err(refuse)?;
        Ok(Checkpoint {
            files,
            index: Some((path, index)),
        })
    }

    /// Opens a file of the folder. A symbolic link must lead to a place that [`Self::allows`].
    fn open(&self, name: &RelPath) -> Result<Arc<OpenFile>, WeightsError> {
        let path = name.join_to(&self.root);
        let metadata = path.symlink_metadata().map_err(|source| WeightsError::Io {
            action: "open",
            path: path.clone(),
            source,
        })?;
        if !metadata.is_symlink() {
            return OpenFile::open(&path).map(Arc::new);
        }
        let target = canonical(&path)?;
        if !self.allows(&target) {
            return Err(WeightsError::ExternalLink { link: path, target });
        }
        OpenFile::open(&target).map(Arc::new)
    }

    fn allows(&self, target: &Path) -> bool {
        self.options.follow_external_links
            || target.starts_with(&self.root)
            || self.stores.iter().any(|store| target.starts_with(store))
    }
}

/// Where the links of a Hub cache's snapshot lead. `root` is `<cache>/<repo>/snapshots/<commit>`, or below.
///
/// The files are in `<cache>/<repo>/blobs`, which in turn may hold links into `<cache>/blobs`, the store that
/// `huggingface_hub` (2026) shares between repositories and marks. Another repository's `blobs` is neither.
fn stores(root: &Path) -> Vec<PathBuf> {
    let is_folder = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
    };
    let snapshots = root
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "snapshots"));
    let Some(repo) = snapshots.and_then(Path::parent) else {
        return Vec::new();
    };
    let blobs = repo.join("blobs");
    if !is_folder(&blobs) {
        return Vec::new();
    }
    let mut stores = vec![blobs];
    if let Some(cache) = repo.parent() {
        let shared = cache.join("blobs");
        if is_folder(&shared) && has_marker(&shared.join(SHARED_STORE_MARKER.0)) {
            stores.push(shared);
        }
    }
    stores
}

fn has_marker(marker: &Path) -> bool {
    let Ok(file) = OpenFile::open(marker) else {
        return false;
    };
    let mut contents = String::new();
    file.len() == 2
        && fs::File::open(&file.path)
            .and_then(|file| file.take(3).read_to_string(&mut contents))
            .is_ok()
        && contents == SHARED_STORE_MARKER.1
}

/// Two shard names must not be one file, by links or by a file system that folds case or Unicode forms.
fn check_distinct(shards: &[RelPath], files: &[Arc<OpenFile>]) -> Result<(), IndexProblem> {
    let mut seen = std::collections::HashMap::new();
    for (shard, file) in shards.iter().zip(files) {
        let Some(identity) = file.identity() else {
            continue;
        };
        if let Some(first) = seen.insert(identity, shard) {
            return Err(IndexProblem::SameFile {
                first: first.to_string(),
                second: shard.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether a file of this name holds weights in a form that is not read: a pickle, TensorFlow's, Flax's, GGUF.
#[must_use]
pub fn is_legacy_checkpoint(name: &str) -> bool {
    [
        ".bin",
        ".bin.index.json",
        ".pt",
        ".pth",
        ".ckpt",
        ".h5",
        ".msgpack",
        ".gguf",
    ]
    .iter()
    .any(|suffix| name.ends_with(suffix))
        && !matches!(
            name,
            "training_args.bin"
                | "optimizer.pt"
                | "scheduler.pt"
                | "optimizer.bin"
                | "scheduler.bin"
        )
}

fn canonical(path: &Path) -> Result<PathBuf, WeightsError> {
    path.canonicalize().map_err(|source| WeightsError::Io {
        action: "open",
        path: path.to_owned(),
        source,
    })
}
