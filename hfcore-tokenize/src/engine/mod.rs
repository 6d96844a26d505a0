//! From `tokenizer.json` to the tokenizers crate's engine: everything is checked here, before the engine sees it.
//!
//! The engine trusts its file: seven shapes of it panic, abort or eat all memory. So each section is read by us,
//! checked, and only then handed over. Stages that use a backtracking regular expression or that can grow the
//! text are ours, because the engine takes a regex that gave up for one that did not match.

mod byte_bpe;
mod charsmap;
mod decoder;
mod encode;
mod file;
mod matcher;
mod model;
mod normalizer;
mod pattern;
mod post_processor;
mod pre_tokenizer;
mod sentence_piece;
mod trie;
mod unigram;
mod word_piece;

use serde_json::Value;
use tokenizers::{DecoderWrapper, PostProcessorWrapper, TokenizerImpl};

pub(crate) use self::charsmap::check as check_charsmap;
pub(crate) use self::decoder::{Stream, StreamPlan};
pub(crate) use self::encode::Engine;
pub(crate) use self::file::{Added, Built, Definition, set_post_processor};
pub(crate) use self::matcher::Matcher;
pub(crate) use self::model::{
    Bpe, Model, ModelKind, SentencePieceModel, Unigram, WordLevel, WordPiece,
};
use self::normalizer::CheckedNormalizer;
pub(crate) use self::normalizer::watched;
use self::pre_tokenizer::CheckedPreTokenizer;
pub(crate) use self::trie::Trie;
use crate::error::TokenizeError;

/// The tokenizers crate's engine with our checked stages in it.
type Inner = TokenizerImpl<
    Matcher,
    CheckedNormalizer,
    CheckedPreTokenizer,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Largest `tokenizer.json` in bytes; the largest published are about 33 MB.
pub(crate) const MAX_FILE: usize = 256 << 20;
/// Largest vocabulary, and one more than the largest id.
pub(crate) const MAX_VOCAB: usize = 4 << 20;
/// Most added tokens.
pub(crate) const MAX_ADDED: usize = 1 << 20;
/// Longest token in bytes.
pub(crate) const MAX_TOKEN: usize = 64 << 10;
/// Longest token in bytes of a WordPiece or Unigram model, which look at all of it at each place of a text. The longest
/// published have a few hundred (runs of spaces).
pub(crate) const MAX_PIECE: usize = 1024;
/// Most stages in a normalizer, pre-tokenizer, post-processor or decoder, nested ones included.
const MAX_STAGES: usize = 256;

/// The stages of a section, with the path of each: a `Sequence` is replaced by its parts, in order.
fn stages<'a>(
    value: &'a Value,
    at: &str,
    list_key: &str,
) -> Result<Vec<(String, &'a str, &'a Value)>, TokenizeError> {
    let mut found = Vec::new();
    flatten(value, at, list_key, &mut found)?;
    Ok(found)
}

fn flatten<'a>(
    value: &'a Value,
    at: &str,
    list_key: &str,
    found: &mut Vec<(String, &'a str, &'a Value)>,
) -> Result<(), TokenizeError> {
    let kind = value.get("type").and_then(Value::as_str).ok_or_else(|| {
        TokenizeError::invalid(
            at,
            "expected an object with a `type`, as the tokenizers library writes since 0.8",
        )
    })?;
    if found.len() >= MAX_STAGES {
        return Err(TokenizeError::invalid(
            at,
            format!("more than {MAX_STAGES} stages"),
        ));
    }
    if kind != "Sequence" {
        found.push((at.to_owned(), kind, value));
        return Ok(());
    }
    let parts = value
        .get(list_key)
        .and_then(Value::as_array)
        .ok_or_else(|| {
            TokenizeError::invalid(at, format!("a Sequence needs a list `{list_key}`"))
        })?;
    for (index, part) in parts.iter().enumerate() {
        flatten(part, &format!("{at}.{list_key}[{index}]"), list_key, found)?;
    }
    Ok(())
}

/// Reads one stage with the engine's own reader.
fn read<T: serde::de::DeserializeOwned>(value: &Value, at: &str) -> Result<T, TokenizeError> {
    serde_json::from_value(value.clone())
        .map_err(|error| TokenizeError::invalid(at, error.to_string()))
}
