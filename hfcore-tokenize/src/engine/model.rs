//! The `model` section: vocabulary, merges, and what is checked of them.
//!
//! The lists are read once, straight into the tables that the engine keeps: a Gemma vocabulary has 256 000 tokens
//! and 500 000 merges, and the engine's own reader goes through a tree of JSON values first.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use tokenizers::ModelWrapper;
use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::models::wordlevel;

use super::matcher::{Matcher, Vocabulary};
use super::sentence_piece::SentencePieceMatcher;
use super::unigram::UnigramMatcher;
use super::word_piece::WordPieceMatcher;
use super::{MAX_PIECE, MAX_TOKEN, MAX_VOCAB};
use crate::convert::SentencePiece;
use crate::error::{TokenizeError, shortened};
use crate::sentencepiece::Processor;

/// Longest word that `WordPiece` looks up; its search is quadratic in this. Real files say 100 or 200.
const MAX_WORD: usize = 10_000;

/// The algorithm that turns a word into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelKind {
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
    SentencePiece,
}

/// The vocabulary and the algorithm of a tokenizer: what a tokenizer.json has under `model`, or what a converter
/// read from another file. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Model {
    Bpe(Bpe),
    WordPiece(WordPiece),
    WordLevel(WordLevel),
    Unigram(Unigram),
    SentencePiece(Box<SentencePieceModel>),
}

/// Merges pairs of neighbours, the first pair of the list first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bpe {
    pub(crate) vocab: Vec<(String, u32)>,
    pub(crate) merges: Vec<(String, String)>,
    pub(crate) unk_token: Option<String>,
    pub(crate) continuing_subword_prefix: Option<String>,
    pub(crate) end_of_word_suffix: Option<String>,
    /// One `unk_token` for a run of unknown characters.
    pub(crate) fuse_unk: bool,
    /// Unknown characters become tokens `<0x00>` to `<0xFF>`.
    pub(crate) byte_fallback: bool,
    /// A word that is a token is taken before any merge.
    pub(crate) ignore_merges: bool,
}

/// Takes the longest token that fits, again and again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WordPiece {
    pub(crate) vocab: Vec<(String, u32)>,
    pub(crate) unk_token: String,
    pub(crate) continuing_subword_prefix: String,
    /// A longer word is unknown.
    pub(crate) max_input_chars_per_word: usize,
}

/// Looks each word up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WordLevel {
    pub(crate) vocab: Vec<(String, u32)>,
    pub(crate) unk_token: String,
}

/// Takes the pieces with the largest sum of scores; the position in the list is the id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Unigram {
    pub(crate) vocab: Vec<(String, f64)>,
    pub(crate) unk_id: Option<usize>,
    /// As [`Bpe::byte_fallback`].
    pub(crate) byte_fallback: bool,
}

/// A SentencePiece model as its own library runs it; ids come from a table, not from the model. A tokenizer.json cannot
/// say this.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SentencePieceModel {
    pub(crate) model: SentencePiece,
    pub(crate) vocab: Vec<(String, u32)>,
    /// The token of pieces that `vocab` does not have.
    pub(crate) unk_token: String,
    /// Whether a text may begin with a token `>>deu<<`, which the model does not see.
    pub(crate) language_codes: bool,
}

impl Model {
    /// The algorithm.
    pub(crate) fn kind(&self) -> ModelKind {
        match self {
            Self::Bpe(_) => ModelKind::Bpe,
            Self::WordPiece(_) => ModelKind::WordPiece,
            Self::WordLevel(_) => ModelKind::WordLevel,
            Self::Unigram(_) => ModelKind::Unigram,
            Self::SentencePiece(_) => ModelKind::SentencePiece,
        }
    }

    /// The engine's model, checked.
    pub(super) fn build(self) -> Result<Matcher, TokenizeError> {
        match self {
            Self::Bpe(bpe) => bpe.build(),
            Self::WordPiece(word_piece) => word_piece.build(),
            Self::WordLevel(word_level) => word_level.build(),
            Self::Unigram(unigram) => unigram.build(),
            Self::SentencePiece(model) => model.build(),
        }
    }
}

impl SentencePieceModel {
    fn build(self) -> Result<Matcher, TokenizeError> {
        let vocab = checked(self.vocab, MAX_TOKEN)?;
        let unknown = *vocab.get(&self.unk_token).ok_or_else(|| {
            let problem = format!("the vocabulary has no {:?}", shortened(&self.unk_token, 40));
            TokenizeError::invalid("unk_token", problem)
        })?;
        Ok(Matcher::SentencePiece(SentencePieceMatcher::new(
            Processor::new(&self.model)?,
            Vocabulary::new(vocab),
            unknown,
            self.language_codes,
        )))
    }
}

impl Bpe {
    fn build(self) -> Result<Matcher, TokenizeError> {
        let vocab = checked(self.vocab, MAX_TOKEN)?;
        let prefix = self.continuing_subword_prefix.unwrap_or_default();
        let longest = vocab.keys().map(String::len).max().unwrap_or(0);
        for (rank, (left, right)) in self.merges.iter().enumerate() {
            // The engine copies both parts into a buffer as long as the longest token, less the prefix.
            let Some(rest) = right.strip_prefix(prefix.as_str()) else {
                let problem = format!(
                    "{right:?} does not begin with the continuing_subword_prefix {prefix:?}"
                );
                return Err(TokenizeError::invalid(
                    format!("model.merges[{rank}]"),
                    problem,
                ));
            };
            if left.len() + rest.len() > longest {
                let problem = format!(
                    "{:?} and {:?} make a token longer than any in the vocabulary",
                    shortened(left, 40),
                    shortened(right, 40)
                );
                return Err(TokenizeError::invalid(
                    format!("model.merges[{rank}]"),
                    problem,
                ));
            }
        }
        let mut builder = BpeBuilder::new().vocab_and_merges(vocab, self.merges);
        if let Some(unk) = self.unk_token {
            builder = builder.unk_token(unk);
        }
        if !prefix.is_empty() {
            builder = builder.continuing_subword_prefix(prefix);
        }
        if let Some(suffix) = self.end_of_word_suffix {
            builder = builder.end_of_word_suffix(suffix);
        }
        let bpe = builder
            .fuse_unk(self.fuse_unk)
            .byte_fallback(self.byte_fallback)
            .ignore_merges(self.ignore_merges)
            .build()
            .map_err(|error| TokenizeError::invalid("model.merges", error.to_string()))?;
        Ok(Matcher::Engine(Box::new(ModelWrapper::BPE(bpe))))
    }
}

impl WordPiece {
    fn build(self) -> Result<Matcher, TokenizeError> {
        let most = self.max_input_chars_per_word;
        if most > MAX_WORD {
            let problem =
                format!("expected at most {MAX_WORD}, found {most}: the search is quadratic in it");
            return Err(TokenizeError::invalid(
                "model.max_input_chars_per_word",
                problem,
            ));
        }
        let vocab = checked(self.vocab, MAX_PIECE)?;
        Ok(Matcher::WordPiece(WordPieceMatcher::new(
            Vocabulary::new(vocab),
            self.unk_token,
            &self.continuing_subword_prefix,
            most,
        )))
    }
}

impl WordLevel {
    fn build(self) -> Result<Matcher, TokenizeError> {
        let word_level = wordlevel::WordLevel::builder()
            .vocab(checked(self.vocab, MAX_TOKEN)?)
            .unk_token(self.unk_token)
            .build()
            .map_err(|error| TokenizeError::invalid("model", error.to_string()))?;
        Ok(Matcher::Engine(Box::new(ModelWrapper::WordLevel(
            word_level,
        ))))
    }
}

impl Unigram {
    fn build(self) -> Result<Matcher, TokenizeError> {
        let vocab = self.vocab;
        if vocab.len() > MAX_VOCAB {
            return Err(too_many(vocab.len()));
        }
        if let Some(index) = vocab.iter().position(|(token, _)| token.len() > MAX_PIECE) {
            return Err(too_long(&vocab[index].0, MAX_PIECE));
        }
        let count = vocab.len();
        let unk_id = self.unk_id.map(|id| {
            let id = u32::try_from(id).ok().filter(|&id| (id as usize) < count);
            let problem = || format!("expected an id below {count}, the number of pieces");
            id.ok_or_else(|| TokenizeError::invalid("model.unk_id", problem()))
        });
        Ok(Matcher::Unigram(UnigramMatcher::new(
            vocab,
            unk_id.transpose()?,
            self.byte_fallback,
        )))
    }
}

/// The engine's table, with distinct tokens, distinct ids, and ids below the limit.
fn checked(entries: Vec<(String, u32)>, longest: usize) -> Result<Vocab, TokenizeError> {
    if entries.len() > MAX_VOCAB {
        return Err(too_many(entries.len()));
    }
    let mut vocab = Vocab::with_capacity(entries.len());
    let mut taken = HashSet::with_capacity(entries.len());
    for (token, id) in entries {
        if token.len() > longest {
            return Err(too_long(&token, longest));
        }
        let at = || format!("model.vocab[{:?}]", shortened(&token, 40));
        if id as usize >= MAX_VOCAB {
            return Err(TokenizeError::invalid(
                at(),
                format!("expected an id below {MAX_VOCAB}, found {id}"),
            ));
        }
        if !taken.insert(id) {
            return Err(TokenizeError::invalid(
                at(),
                format!("the id {id} is another token's already"),
            ));
        }
        if vocab.contains_key(&token) {
            return Err(TokenizeError::invalid(at(), "the token is listed twice"));
        }
        vocab.insert(token, id);
    }
    Ok(vocab)
}

/// The section as it is written.
#[derive(Deserialize)]
pub(super) struct ModelRecord {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Option<VocabRecord>,
    merges: Option<Vec<MergeRecord>>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    unk_id: Option<usize>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    max_input_chars_per_word: Option<usize>,
}

impl ModelRecord {
    /// The type, deduced as the engine does where a file of 2020 does not say.
    fn kind(&self) -> Result<ModelKind, TokenizeError> {
        match self.kind.as_deref() {
            Some("BPE") => Ok(ModelKind::Bpe),
            Some("WordPiece") => Ok(ModelKind::WordPiece),
            Some("WordLevel") => Ok(ModelKind::WordLevel),
            Some("Unigram") => Ok(ModelKind::Unigram),
            Some(other) => Err(TokenizeError::unsupported(
                "model.type",
                format!(
                    "the model {:?} (known are BPE, WordPiece, WordLevel and Unigram)",
                    shortened(other, 40)
                ),
            )),
            None if self.merges.is_some() => Ok(ModelKind::Bpe),
            None if self.max_input_chars_per_word.is_some() => Ok(ModelKind::WordPiece),
            None if matches!(self.vocab, Some(VocabRecord::Scores(_))) => Ok(ModelKind::Unigram),
            None => Ok(ModelKind::WordLevel),
        }
    }

    /// What it means.
    pub(super) fn read(self) -> Result<Model, TokenizeError> {
        let kind = self.kind()?;
        if let Some(dropout) = self.dropout.filter(|&dropout| dropout != 0.0) {
            let what = format!("BPE dropout {dropout}, which gives other tokens at every call,");
            return Err(TokenizeError::unsupported("model.dropout", what));
        }
        let vocab = self.vocab.ok_or_else(|| missing("vocab"))?;
        let unk = |token: Option<String>| token.ok_or_else(|| missing("unk_token"));
        Ok(match kind {
            ModelKind::Bpe => {
                let merges = self.merges.ok_or_else(|| missing("merges"))?;
                let merges = merges.into_iter().enumerate();
                let merges = merges.filter_map(|(rank, merge)| merge.into_pair(rank).transpose());
                Model::Bpe(Bpe {
                    vocab: vocab.into_ids()?,
                    merges: merges.collect::<Result<_, _>>()?,
                    unk_token: self.unk_token,
                    continuing_subword_prefix: self.continuing_subword_prefix,
                    end_of_word_suffix: self.end_of_word_suffix,
                    fuse_unk: self.fuse_unk.unwrap_or(false),
                    byte_fallback: self.byte_fallback.unwrap_or(false),
                    ignore_merges: self.ignore_merges.unwrap_or(false),
                })
            }
            ModelKind::WordPiece => Model::WordPiece(WordPiece {
                max_input_chars_per_word: self
                    .max_input_chars_per_word
                    .ok_or_else(|| missing("max_input_chars_per_word"))?,
                vocab: vocab.into_ids()?,
                continuing_subword_prefix: self
                    .continuing_subword_prefix
                    .ok_or_else(|| missing("continuing_subword_prefix"))?,
                unk_token: unk(self.unk_token)?,
            }),
            ModelKind::WordLevel => Model::WordLevel(WordLevel {
                vocab: vocab.into_ids()?,
                unk_token: unk(self.unk_token)?,
            }),
            ModelKind::Unigram => Model::Unigram(Unigram {
                vocab: vocab.into_scores()?,
                unk_id: self.unk_id,
                byte_fallback: self.byte_fallback.unwrap_or(false),
            }),
            ModelKind::SentencePiece => {
                return Err(TokenizeError::invalid(
                    "model.type",
                    "not a model of this file",
                ));
            }
        })
    }
}

fn missing(key: &str) -> TokenizeError {
    TokenizeError::invalid(format!("model.{key}"), "missing")
}

fn too_many(found: usize) -> TokenizeError {
    TokenizeError::invalid(
        "model.vocab",
        format!("{found} tokens; at most {MAX_VOCAB} are read"),
    )
}

fn too_long(token: &str, most: usize) -> TokenizeError {
    let problem = format!(
        "{:?} has {} bytes; at most {most} are read",
        shortened(token, 40),
        token.len()
    );
    TokenizeError::invalid("model.vocab", problem)
}

/// `{"token": id, …}` or `[["token", score], …]`.
enum VocabRecord {
    Ids(Vec<(String, u64)>),
    Scores(Vec<(String, f64)>),
}

impl VocabRecord {
    fn into_ids(self) -> Result<Vec<(String, u32)>, TokenizeError> {
        let Self::Ids(entries) = self else {
            return Err(TokenizeError::invalid(
                "model.vocab",
                "expected an object of token to id, found a list",
            ));
        };
        let id = |(token, id): (String, u64)| match u32::try_from(id) {
            Ok(id) => Ok((token, id)),
            Err(_) => Err(TokenizeError::invalid(
                format!("model.vocab[{:?}]", shortened(&token, 40)),
                format!("expected an id below {MAX_VOCAB}, found {id}"),
            )),
        };
        entries.into_iter().map(id).collect()
    }

    fn into_scores(self) -> Result<Vec<(String, f64)>, TokenizeError> {
        match self {
            Self::Scores(scores) => Ok(scores),
            Self::Ids(_) => Err(TokenizeError::invalid(
                "model.vocab",
                "a Unigram needs a list of [token, score] pairs",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for VocabRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = VocabRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of token to id, or a list of [token, score]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabRecord, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(VocabRecord::Ids(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VocabRecord, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(VocabRecord::Scores(entries))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `["left", "right"]`, or before tokenizers 0.20 `"left right"`.
enum MergeRecord {
    Pair(String, String),
    Line(String),
}

impl MergeRecord {
    /// The two parts; `None` for the header line of a `merges.txt`.
    fn into_pair(self, rank: usize) -> Result<Option<(String, String)>, TokenizeError> {
        match self {
            Self::Pair(left, right) => Ok(Some((left, right))),
            Self::Line(line) if line.starts_with("#version") => Ok(None),
            Self::Line(line) => match line.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => {
                    Ok(Some((left.to_owned(), right.to_owned())))
                }
                _ => {
                    let problem = format!(
                        "expected two tokens and a space between, found {:?}",
                        shortened(&line, 40)
                    );
                    Err(TokenizeError::invalid(
                        format!("model.merges[{rank}]"),
                        problem,
                    ))
                }
            },
        }
    }
}

impl<'de> Deserialize<'de> for MergeRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MergeRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: [\"left\", \"right\"] or \"left right\"")
            }

            fn visit_str<E>(self, line: &str) -> Result<MergeRecord, E> {
                Ok(MergeRecord::Line(line.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeRecord, A::Error> {
                let short = || serde::de::Error::invalid_length(0, &Self);
                let left = seq.next_element()?.ok_or_else(short)?;
                let right = seq.next_element()?.ok_or_else(short)?;
                match seq.next_element::<serde::de::IgnoredAny>()? {
                    None => Ok(MergeRecord::Pair(left, right)),
                    Some(_) => Err(serde::de::Error::invalid_length(3, &Self)),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(model: Value) -> String {
        let record: ModelRecord = serde_json::from_value(model).unwrap();
        build(record).unwrap_err().to_string()
    }

    fn build(record: ModelRecord) -> Result<ModelKind, TokenizeError> {
        let model = record.read()?;
        let kind = model.kind();
        model.build().map(|_| kind)
    }

    #[test]
    fn merges_that_the_engine_would_panic_at() {
        let vocab = json!({"a": 0, "b": 1, "ab": 2});
        let longer = json!({"type": "BPE", "vocab": vocab, "merges": [["a", "b"], ["ab", "ab"]]});
        assert_eq!(
            refused(longer),
            "tokenizer.json: model.merges[1]: \"ab\" and \"ab\" make a token longer than any in the vocabulary"
        );
        let prefix = json!({"type": "BPE", "vocab": vocab, "merges": ["a b"], "continuing_subword_prefix": "####"});
        assert_eq!(
            refused(prefix),
            "tokenizer.json: model.merges[0]: \"b\" does not begin with the continuing_subword_prefix \"####\""
        );
        let unknown = json!({"type": "BPE", "vocab": vocab, "merges": [["a", "c"]]});
        assert_eq!(
            refused(unknown),
            "tokenizer.json: model.merges: Token `c` out of vocabulary"
        );
        let three = json!({"type": "BPE", "vocab": vocab, "merges": ["a b c"]});
        assert_eq!(
            refused(three),
            "tokenizer.json: model.merges[0]: expected two tokens and a space between, found \"a b c\""
        );
    }

    #[test]
    fn a_prefix_is_left_out_of_the_merged_token() {
        let vocab = json!({"a": 0, "##b": 1, "ab": 2});
        let model = json!({"type": "BPE", "vocab": vocab, "merges": [["a", "##b"]], "continuing_subword_prefix": "##"});
        let record: ModelRecord = serde_json::from_value(model).unwrap();
        assert_eq!(build(record).unwrap(), ModelKind::Bpe);
    }

    #[test]
    fn vocabularies() {
        let model = |vocab: Value| json!({"type": "WordLevel", "unk_token": "a", "vocab": vocab});
        assert_eq!(
            refused(model(json!({"a": 0, "b": 0}))),
            "tokenizer.json: model.vocab[\"b\"]: the id 0 is another token's already"
        );
        assert_eq!(
            refused(model(json!({"a": 4_294_967_295_u32}))),
            "tokenizer.json: model.vocab[\"a\"]: expected an id below 4194304, found 4294967295"
        );
        assert_eq!(
            refused(model(json!([["a", 0.0]]))),
            "tokenizer.json: model.vocab: expected an object of token to id, found a list"
        );
        let long = "x".repeat(MAX_TOKEN + 1);
        assert!(
            refused(model(json!({long: 0}))).ends_with("has 65537 bytes; at most 65536 are read")
        );
        let twice = r#"{"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "a": 1}}"#;
        let record: ModelRecord = serde_json::from_str(twice).unwrap();
        assert!(
            build(record)
                .unwrap_err()
                .to_string()
                .ends_with("the token is listed twice")
        );
    }

    #[test]
    fn what_is_missing_or_absurd_is_named() {
        assert_eq!(
            refused(json!({"type": "BPE", "merges": []})),
            "tokenizer.json: model.vocab: missing"
        );
        assert_eq!(
            refused(json!({"type": "BPE", "vocab": {}})),
            "tokenizer.json: model.merges: missing"
        );
        assert!(
            refused(json!({"type": "Tekken"}))
                .starts_with("tokenizer.json: model.type: the model \"Tekken\"")
        );
        assert!(
            refused(json!({"type": "BPE", "vocab": {}, "merges": [], "dropout": 0.1}))
                .contains("BPE dropout 0.1")
        );
        let word_piece = json!({"type": "WordPiece", "unk_token": "a", "vocab": {"a": 0},
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 1_000_000_000_000_u64});
        assert!(refused(word_piece).contains("expected at most 10000, found 1000000000000"));
        let unigram = json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7});
        assert_eq!(
            refused(unigram),
            "tokenizer.json: model.unk_id: expected an id below 1, the number of pieces"
        );
    }

    #[test]
    fn files_of_2020_do_not_say_their_type() {
        let kind = |model: Value| build(serde_json::from_value(model).unwrap()).unwrap();
        assert_eq!(
            kind(json!({"vocab": {"a": 0}, "merges": ["#version: 0.2"]})),
            ModelKind::Bpe
        );
        assert_eq!(kind(json!({"vocab": [["a", 0.0]]})), ModelKind::Unigram);
        assert_eq!(
            kind(json!({"vocab": {"a": 0}, "unk_token": "a"})),
            ModelKind::WordLevel
        );
        let word_piece = json!({"vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
        assert_eq!(kind(word_piece), ModelKind::WordPiece);
    }
}
