//! The tokenizer classes of transformers 5.23: which one a repository has, and what it does to its files.
//!
//! A repository names its class, or has one by its `model_type` ([`auto`]). Most classes write `__init__` themselves:
//! they take vocabulary and merges, also out of a `tokenizer.json`, and build normalizer, pre-tokenizer, decoder and
//! post-processor anew from their arguments; only post-processor, character map, padding and truncation of the file
//! survive. The others take the file as it is ([`init`]). So a `tokenizer.json` means what its class says, not what
//! stands in it.
//!
//! One entry in [`table`] is one class: its files, its default tokens, how it builds, and its last touches.

mod arguments;
mod auto;
mod behaviour;
mod byte_level;
mod class;
mod init;
mod languages;
mod marian;
mod metaspace;
mod python;
mod stages;
mod table;
mod unigram;
mod vocabulary;
mod whisper;
mod word_piece;
mod words;

pub(crate) use self::behaviour::{Behaviour, Decode};
pub(crate) use self::init::Loaded;
pub(crate) use self::marian::Marian;
pub use self::whisper::TimedText;
use crate::error::TokenizeError;
use crate::files::TokenizerFiles;

/// Loads `files` as `AutoTokenizer` does.
pub(crate) fn load(
    files: &TokenizerFiles,
    model_type: Option<&str>,
) -> Result<Loaded, TokenizeError> {
    let class = auto::choose(files, model_type)?;
    init::load(class, files)
}
