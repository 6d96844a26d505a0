//! [`Weights`]: the tensors of a checkpoint by name.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder;
use crate::number::{u64_of, usize_of};
use crate::source::{OpenFile, Source};
use crate::table::{Entry, MAX_UNKNOWN, Table};
use crate::view::checked_elements;
use crate::{
    Bytes, DType, IndexProblem, LoadError, LoadReport, OpenOptions, SafetensorsHeader, Scope,
    ShardIndex, TensorView, WeightsError,
};

/// The tensors of one checkpoint, all shards together, by name.
///
/// Opening reads headers only. A tensor's bytes are touched when a kernel reads them (mapped) or when
/// [`get`](Self::get) is called (read; see [`WeightSource`](crate::WeightSource)). Cloning is cheap and shares
/// everything. Tensors keep the files they came from open and mapped; `Weights` itself may be dropped.
///
/// ```
/// use hfcore_weights::{TensorView, Weights};
///
/// let weights = Weights::from_tensors([("a.weight".to_owned(), TensorView::from_f32(&[2, 3], &[0.5; 6]))])?;
/// assert_eq!(weights.info("a.weight")?.shape, [2, 3]);
/// assert_eq!(weights.get("a.weight")?.rows(1..2).to_f32().unwrap(), [0.5; 3]);
/// # Ok::<(), hfcore_weights::WeightsError>(())
/// ```
#[derive(Clone)]
pub struct Weights {
    table: Arc<Table>,
    sources: Arc<[Source]>,
    metadata: Arc<[(String, String)]>,
}

/// What the header says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// The element type.
    pub dtype: DType,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Bytes of the elements.
    pub size_bytes: u64,
    /// The file it is in; `None` for tensors in memory.
    pub file: Option<PathBuf>,
}

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeightFile {
    /// Where it is, symbolic links resolved.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// How many tensors it holds.
    pub tensors: usize,
    /// Whether it is memory-mapped.
    pub is_mapped: bool,
}

impl Weights {
    /// Opens the checkpoint of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json`
    /// names. A tensor that a shard holds beside those of the index is there too, as in transformers.
    ///
    /// # Errors
    /// A folder without weights, or with weights in another format; a file that breaks the rules of safetensors; an
    /// index that names files outside the folder, or disagrees with the shards; a link that leaves the folder;
    /// whatever is larger than [`Limits`](crate::Limits).
    pub fn open(folder: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, WeightsError> {
        let checkpoint = folder::open(folder.as_ref(), options)?;
        let weights = Self::from_files(&checkpoint.files, options)?;
        if let Some((file, index)) = checkpoint.index {
            weights
                .check_index(&index)
                .map_err(|problem| WeightsError::Index { file, problem })?;
        }
        Ok(weights)
    }

    /// Opens one safetensors file, whatever its name. A symbolic link is followed: it was named by the caller.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        Self::from_file_with(path, &OpenOptions::default())
    }

    /// [`from_file`](Self::from_file) with options (`variant` and links have no meaning here).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file_with(
        path: impl AsRef<Path>,
        options: &OpenOptions,
    ) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let path = path.canonicalize().map_err(|source| WeightsError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        let file = Arc::new(OpenFile::open(&path)?);
        Self::from_files(&[file], options)
    }

    /// A safetensors file in memory.
    ///
    /// # Errors
    /// If the bytes break the rules of safetensors.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let options = OpenOptions::default();
        let header =
            SafetensorsHeader::from_file_bytes(&bytes, &options.limits).map_err(|problem| {
                WeightsError::Header {
                    file: "bytes".to_owned(),
                    problem,
                }
            })?;
        let source = Source::Bytes {
            data: Bytes::from(bytes).last(header.data_len()),
            file: None,
        };
        Ok(Self {
            table: Arc::new(header.table),
            sources: Arc::new([source]),
            metadata: header.metadata.into(),
        })
    }

    /// A checkpoint of tensors in memory, or of another checkpoint's.
    ///
    /// # Errors
    /// If a name occurs twice, or a tensor has not the bytes its shape needs.
    pub fn from_tensors(
        tensors: impl IntoIterator<Item = (String, TensorView)>,
    ) -> Result<Self, WeightsError> {
        let mut table = Table::default();
        let mut sources = Vec::new();
        for (name, tensor) in tensors {
            let tensor = TensorView::new(tensor.dtype, tensor.shape, tensor.bytes)?;
            let name = table.push_name(&name);
            let dims = table.dims_len();
            for &dim in &tensor.shape {
                table.push_dim(dim);
            }
            let entry = Entry {
                name,
                dims: table.dims_since(dims),
                dtype: tensor.dtype.code(),
                source: u32::try_from(sources.len()).map_err(|_| WeightsError::TooManyTensors {
                    max: usize::try_from(u32::MAX).unwrap_or(usize::MAX),
                })?,
                begin: 0,
                end: u64_of(tensor.bytes.len()),
            };
            table.push(entry);
            sources.push(Source::Bytes {
                data: tensor.bytes,
                file: None,
            });
        }
        sort(&mut table, &sources)?;
        Ok(Self {
            table: Arc::new(table),
            sources: sources.into(),
            metadata: Arc::new([]),
        })
    }

    /// Parses files into one table; file and source have the same number.
    fn from_files(files: &[Arc<OpenFile>], options: &OpenOptions) -> Result<Self, WeightsError> {
        let limits = &options.limits;
        check_total(files, options)?;
        let mut table = Table::default();
        let mut sources = Vec::with_capacity(files.len());
        let mut metadata = Vec::new();
        for file in files {
            let (header, source) = Arc::clone(file).parse(options.source, limits)?;
            if table.len() + header.len() > limits.max_tensors {
                return Err(WeightsError::TooManyTensors {
                    max: limits.max_tensors,
                });
            }
            // Shards repeat the same metadata; where they do not, the first one counts, as in transformers.
            if sources.is_empty() {
                metadata = header.metadata;
            }
            let number = u32::try_from(sources.len()).expect("`max_shards` was checked");
            if table.append(header.table, number).is_none() {
                return Err(WeightsError::UnknownDType {
                    name: file.path.display().to_string(),
                    dtype: format!("one of more than {MAX_UNKNOWN}"),
                });
            }
            sources.push(source);
        }
        sort(&mut table, &sources)?;
        Ok(Self {
            table: Arc::new(table),
            sources: sources.into(),
            metadata: metadata.into(),
        })
    }

    /// Every tensor is in the shard that the index names.
    fn check_index(&self, index: &ShardIndex) -> Result<(), IndexProblem> {
        let mut wrong = Vec::new();
        for (name, shard) in index.weight_map() {
            let expected = &index.shards()[shard];
            match self.table.find(name) {
                None => wrong.push(format!("{name:?} (not in {expected})")),
                Some(found) => {
                    let source = usize_of(self.table.entry(found).source);
                    if source != shard {
                        let found = &index.shards()[source];
                        wrong.push(format!("{name:?} (in {found}, not {expected})"));
                    }
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(IndexProblem::WrongShard { tensors: wrong })
        }
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensors' names, in ascending order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.table
            .entries()
            .iter()
            .map(|entry| self.table.name(entry))
    }

    /// Whether there is a tensor of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.table.find(name).is_some()
    }

    /// Whether there is a tensor whose name starts with `path` and a dot.
    #[must_use]
    pub fn contains_module(&self, path: &str) -> bool {
        !self.table.with_prefix(&format!("{path}.")).is_empty()
    }

    /// Type, shape and size of a tensor, without touching its bytes.
    ///
    /// # Errors
    /// If there is no such tensor, or its element type is not known.
    pub fn info(&self, name: &str) -> Result<TensorInfo, WeightsError> {
        let (entry, dtype) = self.find(name)?;
        let source = &self.sources[usize_of(entry.source)];
        Ok(TensorInfo {
            dtype,
            shape: self.table.shape(entry).to_vec(),
            size_bytes: entry.end - entry.begin,
            file: source.file().map(|file| file.path.clone()),
        })
    }

    /// A tensor: of a mapped file, its place in the map; of a file that is read, a copy made now.
    ///
    /// # Errors
    /// If there is no such tensor, its element type is not known, or its file cannot be read or became shorter.
    pub fn get(&self, name: &str) -> Result<TensorView, WeightsError> {
        let (entry, dtype) = self.find(name)?;
        self.view(entry, dtype)
    }

    /// Rows `range` of a tensor's first dimension: what [`TensorView::rows`] gives, but of a file that is read only
    /// those rows are.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the tensor has not those rows, or they do not fill whole bytes (`F4`, `F6`).
    pub fn get_rows(&self, name: &str, range: Range<usize>) -> Result<TensorView, WeightsError> {
        let (entry, dtype) = self.find(name)?;
        let mut shape = self.table.shape(entry).to_vec();
        let out_of_range = |shape: &[usize]| WeightsError::OutOfRange {
            what: "rows",
            name: name.to_owned(),
            start: range.start,
            end: range.end,
            shape: shape.to_vec(),
            dtype,
        };
        let row = shape
            .get(1..)
            .and_then(checked_elements)
            .and_then(|elements| dtype.byte_len(elements));
        let (Some(row), Some(&rows)) = (row, shape.first()) else {
            return Err(out_of_range(&shape));
        };
        if range.start > range.end || range.end > rows {
            return Err(out_of_range(&shape));
        }
        shape[0] = range.len();
        // No overflow: both are within the tensor.
        let bytes_before = |rows: usize| u64_of(rows * row);
        let bytes = self.sources[usize_of(entry.source)].bytes(
            entry.begin + bytes_before(range.start),
            entry.begin + bytes_before(range.end),
        )?;
        TensorView::new(dtype, shape, bytes)
    }

    /// Columns `range` of a tensor's last dimension, copied: what [`TensorView::columns`] gives. Of a mapped file only
    /// those columns are touched; of a file that is read, the tensor is read and the rest dropped.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the tensor has not those columns, or they do not fill whole bytes (`F4`, `F6`).
    pub fn get_columns(&self, name: &str, range: Range<usize>) -> Result<TensorView, WeightsError> {
        let (entry, dtype) = self.find(name)?;
        let shape = self.table.shape(entry);
        let is_whole = |columns| dtype.byte_len(columns).is_some();
        match shape.last() {
            Some(&columns)
                if range.start <= range.end
                    && range.end <= columns
                    && is_whole(columns)
                    && is_whole(range.start)
                    && is_whole(range.end) =>
            {
                Ok(self.view(entry, dtype)?.columns(range))
            }
            _ => Err(WeightsError::OutOfRange {
                what: "columns",
                name: name.to_owned(),
                start: range.start,
                end: range.end,
                shape: shape.to_vec(),
                dtype,
            }),
        }
    }

    /// The files, in the order of the index.
    #[must_use]
    pub fn files(&self) -> Vec<WeightFile> {
        let mut tensors = vec![0; self.sources.len()];
        for entry in self.table.entries() {
            tensors[usize_of(entry.source)] += 1;
        }
        self.sources
            .iter()
            .zip(tensors)
            .filter_map(|(source, tensors)| {
                let file = source.file()?;
                Some(WeightFile {
                    path: file.path.clone(),
                    size_bytes: file.len(),
                    tensors,
                    is_mapped: source.is_mapped(),
                })
            })
            .collect()
    }

    /// Bytes of all tensors together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.table
            .entries()
            .iter()
            .map(|entry| entry.end - entry.begin)
            .sum()
    }

    /// Elements of all tensors together: the parameters that are stored. Packed formats count their containers.
    #[must_use]
    pub fn total_elements(&self) -> u64 {
        let elements = |entry| checked_elements(self.table.shape(entry)).unwrap_or(0);
        self.table
            .entries()
            .iter()
            .map(|entry| u64_of(elements(entry)))
            .fold(0, u64::saturating_add)
    }

    /// `__metadata__` of the first file, in file order: `("format", "pt")` as a rule.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The same tensors under the names that `rename` gives them, for checkpoints whose names differ from those a
    /// family asks for.
    ///
    /// # Errors
    /// If two tensors get the same name.
    pub fn rename(&self, rename: impl Fn(&str) -> String) -> Result<Self, WeightsError> {
        let table = self
            .table
            .renamed(rename)
            .map_err(|(first, second, name)| WeightsError::RenameCollision {
                name,
                first: self.table.name(self.table.entry(first)).to_owned(),
                second: self.table.name(self.table.entry(second)).to_owned(),
            })?;
        Ok(Self {
            table: Arc::new(table),
            ..self.clone()
        })
    }

    /// Builds a model from the checkpoint, or says everything that does not fit, at once.
    ///
    /// `build` asks a [`Scope`] for tensors by name and shape, and needs no error handling: what is missing is noted
    /// and a placeholder given, and the model made of placeholders is dropped here. A tensor nobody asked for is an
    /// error where its neighbours were asked for, and noted in the report where it is part of something else (see
    /// [`LoadError::unexpected_keys`]).
    ///
    /// # Errors
    /// If tensors are missing, of another shape or stray; if `build` refused something; if a file changed meanwhile.
    pub fn build<T>(&self, build: impl FnOnce(&Scope) -> T) -> Result<(T, LoadReport), LoadError> {
        let scope = Scope::new(self.clone());
        let model = build(&scope);
        let report = scope.finish(self.check_unchanged().err())?;
        Ok((model, report))
    }

    /// Asks the file system whether the files are as they were when they were opened. [`build`](Self::build) does so
    /// at its end; mapped tensors stay exposed for as long as they live (see [`WeightSource`](crate::WeightSource)).
    ///
    /// # Errors
    /// [`WeightsError::FileChanged`] for the first that was truncated, extended or written to.
    pub fn check_unchanged(&self) -> Result<(), WeightsError> {
        self.sources
            .iter()
            .filter_map(Source::file)
            .try_for_each(|file| file.check_unchanged())
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn view(&self, entry: &Entry, dtype: DType) -> Result<TensorView, WeightsError> {
        let bytes = self.sources[usize_of(entry.source)].bytes(entry.begin, entry.end)?;
        TensorView::new(dtype, self.table.shape(entry).to_vec(), bytes)
    }

    fn find(&self, name: &str) -> Result<(&Entry, DType), WeightsError> {
        let Some(index) = self.table.find(name) else {
            return Err(WeightsError::NoTensor {
                name: name.to_owned(),
                near: self.near(name),
            });
        };
        let entry = self.table.entry(index);
        match self.table.dtype(entry) {
            Ok(dtype) => Ok((entry, dtype)),
            Err(dtype) => Err(WeightsError::UnknownDType {
                name: name.to_owned(),
                dtype: dtype.to_owned(),
            }),
        }
    }

    /// A tensor whose name is the same but for a prefix.
    fn near(&self, name: &str) -> Option<String> {
        self.names()
            .find(|other| {
                other.ends_with(&format!(".{name}")) || name.ends_with(&format!(".{other}"))
            })
            .map(str::to_owned)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("tensors", &self.len())
            .field("total_bytes", &self.total_bytes())
            .field("files", &self.files())
            .finish_non_exhaustive()
    }
}

/// Before anything is mapped or read: are the files together within the limits?
fn check_total(files: &[Arc<OpenFile>], options: &OpenOptions) -> Result<(), WeightsError> {
    let limits = &options.limits;
    let total = |counts: &dyn Fn(&OpenFile) -> bool| {
        files
            .iter()
            .filter(|file| counts(file))
            .fold(0u64, |total, file| total.saturating_add(file.len()))
    };
    let what = || match files {
        [file] => file.path.display().to_string(),
        _ => format!("the checkpoint in {}", folder_of(files)),
    };
    let all = total(&|_| true);
    if all > limits.max_checkpoint_bytes {
        return Err(WeightsError::TooLarge {
            what: what(),
            bytes: all,
            limit: "max_checkpoint_bytes",
            max: limits.max_checkpoint_bytes,
        });
    }
    let read = total(&|file| !file.is_to_be_mapped(options.source));
    if read > limits.max_read_bytes {
        return Err(WeightsError::TooLarge {
            what: format!("{}, which is to be read and not mapped,", what()),
            bytes: read,
            limit: "max_read_bytes",
            max: limits.max_read_bytes,
        });
    }
    Ok(())
}

fn sort(table: &mut Table, sources: &[Source]) -> Result<(), WeightsError> {
    let place = |entry: &Entry| {
        sources[usize_of(entry.source)]
            .file()
            .map_or_else(|| "memory".to_owned(), |file| file_name(&file.path))
    };
    table
        .sort()
        .map_err(|(first, second)| WeightsError::DuplicateTensor {
            name: table.name(&first).to_owned(),
            first: place(&first),
            second: place(&second),
        })
}

fn folder_of(files: &[Arc<OpenFile>]) -> String {
    let folder = files.first().and_then(|file| file.path.parent());
    folder
        .map(|folder| folder.display().to_string())
        .unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
