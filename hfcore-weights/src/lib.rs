#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! | file | what |
//! |---|---|
//! | `weights.rs` | [`Weights`]: open a folder, a file, bytes; tensors by name; renames |
//! | `scope.rs` | [`Scope`]: the cursor that a model is built through |
//! | `report.rs`, `fold.rs` | [`LoadError`] and [`LoadReport`], and how their names are folded |
//! | `view.rs`, `bytes.rs`, `dtype.rs` | [`TensorView`], [`Bytes`], [`DType`] |
//! | `header.rs` | the safetensors header: the parser of untrusted bytes |
//! | `index.rs`, `rel_path.rs` | `model.safetensors.index.json` and the file names in it |
//! | `folder.rs` | which files of a folder are the checkpoint; symbolic links |
//! | `source.rs`, `file_system.rs` | map or read; this crate's `unsafe` |
//! | `table.rs` | tensors sorted by name, a few words each |
//! | `save.rs` | [`save_pretrained`], and [`save_file`] for one that is to be mapped |
//! | `options.rs`, `error.rs` | [`OpenOptions`], [`Limits`], [`WeightsError`] |
//! | `number.rs` | widths of numbers |

mod bytes;
mod dtype;
mod error;
mod file_system;
mod fold;
mod folder;
mod header;
mod index;
mod number;
mod options;
mod rel_path;
mod report;
mod save;
mod scope;
mod source;
mod table;
mod view;
mod weights;

pub use bytes::Bytes;
pub use dtype::DType;
pub use error::{HeaderProblem, IndexProblem, WeightsError};
pub use file_system::{available_space, is_on_local_disk};
pub use folder::{checkpoint_names, is_legacy_checkpoint};
pub use header::SafetensorsHeader;
pub use index::ShardIndex;
pub use options::{Limits, OpenOptions, WeightSource};
pub use rel_path::{RelPath, RelPathError};
pub use report::{LoadError, LoadReport, Mismatch, Problem};
pub use save::{
    SaveError, SaveOptions, Saved, parse_size, save_file, save_pretrained, to_safetensors,
};
pub use scope::Scope;
pub use view::TensorView;
pub use weights::{TensorInfo, WeightFile, Weights};
