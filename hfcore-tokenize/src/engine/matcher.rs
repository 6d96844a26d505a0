//! The models as the engine runs them: its own for BPE and `WordLevel`, ours for `WordPiece`, Unigram and
//! SentencePiece.
//!
//! The engine's `WordPiece` makes and hashes a new string for each end of each token, so that a word of 100 letters costs
//! 5,000 of them; its Unigram one for each piece that fits. A text meant to be slow takes seconds for a mebibyte. Ours
//! walk a tree of bytes and give the same tokens (`tests/corpus.rs`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};
use tokenizers::models::TrainerWrapper;
use tokenizers::{Model, ModelWrapper, Token};

use super::sentence_piece::SentencePieceMatcher;
use super::unigram::UnigramMatcher;
use super::word_piece::WordPieceMatcher;

/// A model that was checked.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Engine(Box<ModelWrapper>),
    WordPiece(WordPieceMatcher),
    Unigram(UnigramMatcher),
    SentencePiece(SentencePieceMatcher),
}

impl Model for Matcher {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        match self {
            Self::Engine(model) => model.tokenize(word),
            Self::WordPiece(model) => model.tokenize(word),
            Self::Unigram(model) => model.tokenize(word),
            Self::SentencePiece(model) => model.tokenize(word),
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Engine(model) => model.token_to_id(token),
            Self::WordPiece(model) => model.vocab().id(token),
            Self::Unigram(model) => model.vocab().id(token),
            Self::SentencePiece(model) => model.vocab().id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::Engine(model) => model.id_to_token(id),
            Self::WordPiece(model) => model.vocab().token(id).map(str::to_owned),
            Self::Unigram(model) => model.vocab().token(id).map(str::to_owned),
            Self::SentencePiece(model) => model.vocab().token(id).map(str::to_owned),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Self::Engine(model) => model.get_vocab(),
            Self::WordPiece(model) => model.vocab().ids.clone(),
            Self::Unigram(model) => model.vocab().ids.clone(),
            Self::SentencePiece(model) => model.vocab().ids.clone(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Self::Engine(model) => model.get_vocab_size(),
            Self::WordPiece(model) => model.vocab().size,
            Self::Unigram(model) => model.vocab().size,
            Self::SentencePiece(model) => model.vocab().size,
        }
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a checked model is not written as files of its own".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        // Never asked for: nothing is trained here.
        ModelWrapper::from(tokenizers::models::wordlevel::WordLevel::default()).get_trainer()
    }
}

/// The `model` section, as the tokenizers library writes it.
impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Engine(model) => model.serialize(serializer),
            Self::WordPiece(model) => model.serialize(serializer),
            Self::Unigram(model) => model.serialize(serializer),
            Self::SentencePiece(_) => Err(serde::ser::Error::custom(
                "a SentencePiece model that its own library runs has no form in a tokenizer.json; keep its files",
            )),
        }
    }
}

/// The tokens in the order of their ids, as an object of token to id.
impl Serialize for Vocabulary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<(&str, u32)> = self.iter().collect();
        entries.sort_unstable_by_key(|&(_, id)| id);
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (token, id) in entries {
            map.serialize_entry(token, &id)?;
        }
        map.end()
    }
}

/// Tokens and ids, both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary {
    ids: HashMap<String, u32>,
    tokens: HashMap<u32, String>,
    /// Number of tokens; a Unigram's list may have one twice.
    size: usize,
}

impl Vocabulary {
    /// The last of equal tokens counts.
    pub(super) fn new(entries: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut vocabulary = Self::default();
        for (token, id) in entries {
            vocabulary.tokens.insert(id, token.clone());
            vocabulary.ids.insert(token, id);
            vocabulary.size += 1;
        }
        vocabulary
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ids.iter().map(|(token, &id)| (token.as_str(), id))
    }
}
