//! What a tokenizer class is: its files, its default tokens, and how it builds a tokenizer around a vocabulary.

use crate::engine::{Definition, ModelKind};
use crate::error::TokenizeError;
use crate::files::TokenizerFiles;
use crate::special::Side;

use super::init::{Init, Ready};
use super::python;

/// A class of transformers.
pub(super) struct Class {
    pub(super) name: &'static str,
    /// The vocabulary files that it names (`vocab_files_names`), beside `tokenizer.json`.
    pub(super) files: Files,
    /// The model that it builds (`model`); unset where it takes what the file has.
    pub(super) model: Option<ModelKind>,
    pub(super) padding_side: Side,
    /// What the model takes (`model_input_names`).
    pub(super) inputs: &'static [&'static str],
    /// Its tokens by name, where the configuration does not give them.
    pub(super) tokens: &'static [Named],
    pub(super) rule: Rule,
    /// The last touches, when all tokens have their ids.
    pub(super) finish: fn(&mut Ready) -> Result<(), TokenizeError>,
}

/// The files of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// `tokenizer.json` alone.
    None,
    /// None at all: the vocabulary is the class's own.
    Constant,
    /// A SentencePiece model of this name.
    Model(&'static str),
    /// `vocab.txt`.
    VocabTxt,
    /// `vocab.json` and `merges.txt`.
    VocabMerges,
}

/// A token that has a name.
pub(super) struct Named {
    pub(super) name: &'static str,
    /// Unset: none, unless the configuration has it.
    pub(super) token: Option<&'static str>,
    pub(super) wrap: Wrap,
}

/// What a class makes of a token that is given as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// Nothing.
    Text,
    /// `AddedToken(token, lstrip=False, rstrip=False)`.
    Added,
    /// `AddedToken(token, lstrip=True, rstrip=False)`.
    Left,
    /// `AddedToken(token, lstrip=True, special=True)`.
    LeftSpecial,
    /// `AddedToken(token, lstrip=True, normalized=True, special=True)`.
    LeftNormalized,
    /// `AddedToken(token, lstrip=True, normalized=False)`.
    LeftPlain,
    /// `AddedToken(token, normalized=False, special=True)`.
    Special,
}

/// How the class makes its tokenizer.
pub(super) enum Rule {
    /// A tokenizer.json is taken as it is, and a SentencePiece model as its file says.
    AsFile,
    /// Its `__init__` takes the vocabulary and builds every stage anew. A tokenizer.json gives vocabulary, merges,
    /// character map, post-processor, padding and truncation; its other stages are dropped.
    Rebuild(Build),
    /// It has its parent's `__init__`, which makes the difference that a tokenizer.json is taken as it is.
    Inherit(Build),
    /// It is written in Python alone: it builds from files of its own, and takes no tokenizer.json.
    Python(BuildFromFiles),
    /// It is Python code, which this crate has in its own words.
    Code(python::Read),
    /// No engine can express it, or it needs a library that hfcore does not have. What to do.
    Refused(&'static str),
}

/// Builds a definition around a vocabulary.
pub(super) type Build = fn(&mut Init) -> Result<Definition, TokenizeError>;

/// Builds a definition out of files of its own.
pub(super) type BuildFromFiles =
    fn(&mut Init, &TokenizerFiles) -> Result<Definition, TokenizeError>;

/// A token given as it is.
pub(super) const fn text(name: &'static str, token: &'static str) -> Named {
    Named {
        name,
        token: Some(token),
        wrap: Wrap::Text,
    }
}

/// A token that the class wraps.
pub(super) const fn wrapped(name: &'static str, token: &'static str, wrap: Wrap) -> Named {
    Named {
        name,
        token: Some(token),
        wrap,
    }
}

/// A token that is none by default.
pub(super) const fn none(name: &'static str) -> Named {
    Named {
        name,
        token: None,
        wrap: Wrap::Text,
    }
}

/// Nothing more to do.
pub(super) fn as_it_is(_: &mut Ready) -> Result<(), TokenizeError> {
    Ok(())
}

/// `input_ids` and `attention_mask`.
pub(super) const IDS: &[&str] = &["input_ids", "attention_mask"];
/// With the types second.
pub(super) const IDS_TYPES: &[&str] = &["input_ids", "token_type_ids", "attention_mask"];
/// With the types last.
pub(super) const IDS_MASK_TYPES: &[&str] = &["input_ids", "attention_mask", "token_type_ids"];

impl Class {
    /// A class whose `__init__` builds everything.
    pub(super) const fn rebuilt(
        name: &'static str,
        files: Files,
        model: Option<ModelKind>,
        tokens: &'static [Named],
        build: Build,
        finish: fn(&mut Ready) -> Result<(), TokenizeError>,
    ) -> Self {
        Self {
            name,
            files,
            model,
            padding_side: Side::Right,
            inputs: IDS,
            tokens,
            rule: Rule::Rebuild(build),
            finish,
        }
    }

    /// A class that takes the file as it is.
    pub(super) const fn as_file(name: &'static str) -> Self {
        Self {
            name,
            files: Files::Model("tokenizer.model"),
            model: None,
            padding_side: Side::Right,
            inputs: IDS,
            tokens: &[],
            rule: Rule::AsFile,
            finish: as_it_is,
        }
    }

    /// A class that hfcore does not have.
    pub(super) const fn refused(name: &'static str, remedy: &'static str) -> Self {
        Self {
            name,
            files: Files::None,
            model: None,
            padding_side: Side::Right,
            inputs: IDS,
            tokens: &[],
            rule: Rule::Refused(remedy),
            finish: as_it_is,
        }
    }

    /// A class that adds nothing to its parent, not even an `__init__`.
    pub(super) const fn inherited(name: &'static str, parent: &Self) -> Self {
        Self {
            name,
            files: parent.files,
            model: parent.model,
            padding_side: parent.padding_side,
            inputs: parent.inputs,
            tokens: parent.tokens,
            rule: match parent.rule {
                Rule::Rebuild(build) | Rule::Inherit(build) => Rule::Inherit(build),
                Rule::AsFile => Rule::AsFile,
                Rule::Python(build) => Rule::Python(build),
                Rule::Code(read) => Rule::Code(read),
                Rule::Refused(remedy) => Rule::Refused(remedy),
            },
            finish: parent.finish,
        }
    }

    /// The same under another name.
    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// That pads on the left.
    pub(super) const fn left(self) -> Self {
        Self {
            padding_side: Side::Left,
            ..self
        }
    }

    /// That takes these inputs.
    pub(super) const fn taking(self, inputs: &'static [&'static str]) -> Self {
        Self { inputs, ..self }
    }
}
