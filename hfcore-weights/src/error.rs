//! Why a checkpoint could not be opened or a tensor not be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::DType;
use crate::fold::some_of;
use crate::rel_path::RelPathError;

/// Why a checkpoint could not be opened, or a tensor of it not be read. Names in it are escaped when printed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `map`, …
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// The folder has no `model.safetensors` and no index.
    #[error("{} has neither {wanted} nor {index}{}", folder.display(), weight_files(.found))]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// The file looked for first.
        wanted: String,
        /// The index looked for then.
        index: String,
        /// Safetensors files that are there under other names.
        found: Vec<String>,
    },

    /// The folder has its weights in a format this crate does not read.
    #[error(
        "{} has its weights as {file} only, a format that is not read (a pickle can run code): convert them to \
         safetensors, in Python with `AutoModel.from_pretrained(folder).save_pretrained(new_folder)`",
        folder.display()
    )]
    LegacyFormat {
        /// The folder.
        folder: PathBuf,
        /// The first such file.
        file: String,
    },

    /// Two names in the folder differ only in case, so which one is meant depends on the file system.
    #[error("{} has both {first:?} and {second:?}: rename one", folder.display())]
    AmbiguousCase {
        /// The folder.
        folder: PathBuf,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },

    /// A safetensors file breaks the format's rules.
    #[error("{file}: {problem}")]
    Header {
        /// The file, or `bytes` for [`Weights::from_bytes`](crate::Weights::from_bytes).
        file: String,
        /// What is wrong.
        problem: HeaderProblem,
    },

    /// The index is malformed, or disagrees with the files.
    #[error("{}: {problem}", file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// What is wrong.
        problem: IndexProblem,
    },

    /// The variant asked for cannot be part of a file name.
    #[error("variant {variant:?} is no part of a file name: {problem}")]
    Variant {
        /// As given.
        variant: String,
        /// Why.
        problem: RelPathError,
    },

    /// A symbolic link in the folder leads out of it.
    #[error(
        "{} is a symbolic link to {}, outside of the model folder and of its Hub cache: replace it by the file, or \
         set `follow_external_links`",
        link.display(), target.display()
    )]
    ExternalLink {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },

    /// A weight file is a folder, a pipe, a device or a socket.
    #[error("{} is {kind}, not a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },

    /// A weight file changed between opening and now, so tensors read from it may be of either version.
    #[error("{} changed while it was in use ({what}): load it again once nothing writes to it", path.display())]
    FileChanged {
        /// Its path.
        path: PathBuf,
        /// What changed.
        what: String,
    },

    /// More bytes than a limit allows.
    #[error("{what} has {bytes} bytes, more than `{limit}` = {max}")]
    TooLarge {
        /// What it is.
        what: String,
        /// How large.
        bytes: u64,
        /// The field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// Its value.
        max: u64,
    },

    /// More tensors than a limit allows, over all shards.
    #[error("the checkpoint has more than `max_tensors` = {max} tensors")]
    TooManyTensors {
        /// [`Limits::max_tensors`](crate::Limits::max_tensors).
        max: usize,
    },

    /// Two shards hold a tensor of the same name.
    #[error("tensor {name:?} is both in {first} and in {second}")]
    DuplicateTensor {
        /// Its name.
        name: String,
        /// One file.
        first: String,
        /// Another.
        second: String,
    },

    /// A rename gives two tensors one name.
    #[error("renaming gives {first:?} and {second:?} the same name {name:?}")]
    RenameCollision {
        /// The common new name.
        name: String,
        /// One old name.
        first: String,
        /// Another.
        second: String,
    },

    /// No tensor of that name.
    #[error("the checkpoint has no tensor {name:?}{}", similar(.near))]
    NoTensor {
        /// As asked for.
        name: String,
        /// One that ends alike, if any.
        near: Option<String>,
    },

    /// The tensor's element type is not one this crate knows.
    #[error("tensor {name:?} has element type {dtype:?}, which is not known")]
    UnknownDType {
        /// The tensor.
        name: String,
        /// As in the header.
        dtype: String,
    },

    /// A part was asked for that the tensor does not have.
    #[error("{what} {start}..{end} of tensor {name:?}, which has shape {shape:?} and type {dtype}")]
    OutOfRange {
        /// `rows` or `columns`.
        what: &'static str,
        /// The tensor.
        name: String,
        /// First one asked for.
        start: usize,
        /// One past the last.
        end: usize,
        /// The tensor's shape.
        shape: Vec<usize>,
        /// The tensor's type.
        dtype: DType,
    },

    /// Bytes, type and shape do not belong together.
    #[error("a {dtype} tensor of shape {shape:?} needs {}, not {found}", byte_count(.expected))]
    ByteCount {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes it needs; `None` where that overflows or does not end on a byte.
        expected: Option<usize>,
        /// Bytes given.
        found: usize,
    },
}

/// Which rule of the safetensors format a file breaks. Offsets count bytes; `data_offsets` count from the end of the
/// header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// Not even a header length.
    #[error(
        "{len} bytes are too few for a safetensors file, which starts with 8 bytes of header length"
    )]
    TooShort {
        /// Bytes of the file.
        len: u64,
    },
    /// The header length is over the limit.
    #[error(
        "header length {header_len} exceeds `max_header_bytes` = {max} (is this a safetensors file?)"
    )]
    TooLong {
        /// The first eight bytes.
        header_len: u64,
        /// [`Limits::max_header_bytes`](crate::Limits::max_header_bytes).
        max: u64,
    },
    /// The header ends beyond the file.
    #[error("header length {header_len} reaches beyond the file's {len} bytes (truncated?)")]
    BeyondEnd {
        /// The first eight bytes.
        header_len: u64,
        /// Bytes of the file.
        len: u64,
    },
    /// The header is not UTF-8.
    #[error("the header is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// In the header.
        offset: usize,
    },
    /// The header does not start with `{`, as the format requires.
    #[error("the header starts with byte {found:#04x} instead of `{{`")]
    NotAnObject {
        /// Its first byte; 0 for an empty header.
        found: u8,
    },
    /// The header is not JSON of the right form.
    #[error("{}header byte {offset}: {message}", of_tensor(.tensor))]
    Json {
        /// The tensor whose description it is in.
        tensor: Option<String>,
        /// In the header.
        offset: usize,
        /// What was expected and found.
        message: String,
    },
    /// A name occurs twice.
    #[error("tensor {name:?} occurs twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A key of a tensor's description, or of `__metadata__`, occurs twice.
    #[error("{}key {key:?} occurs twice", of_tensor(.tensor))]
    DuplicateKey {
        /// The tensor; `None` in `__metadata__` and for `__metadata__` itself.
        tensor: Option<String>,
        /// The key.
        key: String,
    },
    /// A count is over its limit.
    #[error("{}{what}: more than `{limit}` = {max}", of_tensor(.tensor))]
    TooMany {
        /// The tensor, if it is about one.
        tensor: Option<String>,
        /// What was counted.
        what: &'static str,
        /// The field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// Its value.
        max: usize,
    },
    /// A shape whose number of elements, or of bytes, cannot exist.
    #[error("tensor {tensor:?}: shape {shape:?} overflows")]
    ShapeOverflow {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// `data_offsets` do not cover what type and shape need.
    #[error(
        "tensor {tensor:?}: data_offsets [{begin}, {end}] span {} bytes, but {dtype} of shape {shape:?} needs {}",
        i128::from(*end) - i128::from(*begin), byte_count(.expected)
    )]
    SizeMismatch {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: DType,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes it needs; `None` where they are not whole.
        expected: Option<usize>,
        /// First byte.
        begin: u64,
        /// One past the last.
        end: u64,
    },
    /// `data_offsets` run backwards.
    #[error("tensor {tensor:?}: data_offsets [{begin}, {end}] run backwards")]
    Reversed {
        /// The tensor.
        tensor: String,
        /// First byte.
        begin: u64,
        /// One past the last.
        end: u64,
    },
    /// The tensors leave a hole or overlap.
    #[error("tensor {tensor:?}: data_offsets start at {begin}, {} the {expected} where the previous tensor ends",
        if begin > expected { "leaving a hole after" } else { "overlapping" })]
    NotContiguous {
        /// The tensor.
        tensor: String,
        /// Where it starts.
        begin: u64,
        /// Where it should.
        expected: u64,
    },
    /// The tensors end before or after the file does.
    #[error("the tensors need {needed} bytes of data, the file has {found} ({})",
        if needed > found { "truncated?" } else { "something is appended" })]
    WrongLength {
        /// What the header says.
        needed: u64,
        /// What there is.
        found: u64,
    },
}

/// What is wrong with `model.safetensors.index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// Not JSON of the right form.
    #[error("line {line}, column {column}: {message}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was expected and found.
        message: String,
    },
    /// A key occurs twice.
    #[error("key {key:?} occurs twice")]
    DuplicateKey {
        /// A tensor's name, or `weight_map`.
        key: String,
    },
    /// `weight_map` is absent or names no tensor.
    #[error("`weight_map` is {}", if *.absent { "missing" } else { "empty" })]
    NoWeightMap {
        /// Absent, or else empty.
        absent: bool,
    },
    /// A shard's name is not the plain name of a file.
    #[error("`weight_map` of tensor {tensor:?}: {problem}")]
    ShardName {
        /// The first tensor that names it.
        tensor: String,
        /// Why it is refused.
        problem: RelPathError,
    },
    /// A count is over its limit.
    #[error("{what}: more than `{limit}` = {max}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// Its value.
        max: usize,
    },
    /// Two shard names differ only in case, or are links to one file.
    #[error("shards {first:?} and {second:?} are, or on some file systems would be, one file")]
    SameFile {
        /// One name.
        first: String,
        /// Another.
        second: String,
    },
    /// Shards are not in the folder.
    #[error("{} of {shards} shards are missing from the folder: {}", missing.len(), some_of(.missing))]
    MissingShards {
        /// Their names.
        missing: Vec<String>,
        /// How many there should be.
        shards: usize,
    },
    /// Tensors are not in the shard that the index names.
    #[error("{} tensors are not in the shard that `weight_map` names: {}", tensors.len(), some_of(.tensors))]
    WrongShard {
        /// `"name (in FILE, not FILE)"` or `"name (not in FILE)"` each.
        tensors: Vec<String>,
    },
}

fn weight_files(found: &[String]) -> String {
    if found.is_empty() {
        String::new()
    } else {
        format!(
            "; it has {} (a file can be opened by itself with `Weights::from_file`)",
            some_of(found)
        )
    }
}

fn similar(near: &Option<String>) -> String {
    near.as_ref()
        .map(|near| format!(" (it has {near:?})"))
        .unwrap_or_default()
}

fn of_tensor(tensor: &Option<String>) -> String {
    tensor
        .as_ref()
        .map(|tensor| format!("tensor {tensor:?}: "))
        .unwrap_or_default()
}

fn byte_count(expected: &Option<usize>) -> String {
    match expected {
        Some(expected) => format!("{expected} bytes"),
        None => "a number of bytes that is not whole".to_owned(),
    }
}
