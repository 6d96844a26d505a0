//! The vocabulary of a class, out of a tokenizer.json or out of the files of slow tokenizers
//! (`convert_to_native_format` of transformers 5.23).

use super::arguments::{Arguments, Token};
use super::class::{Class, Files, Rule};
use crate::convert::{self, Backend, ModelFile, SentencePiece, TIKTOKEN_PATTERN, Tiktoken};
use crate::engine::{Bpe, Definition, Model, ModelKind, Unigram, WordLevel, WordPiece};
use crate::error::{TOKENIZER_CONFIG, TokenizeError};
use crate::files::TokenizerFiles;

/// Tokens and merges, or pieces and scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Vocabulary {
    #[default]
    None,
    Ids {
        vocab: Vec<(String, u32)>,
        merges: Vec<(String, String)>,
    },
    Pieces(Vec<(String, f64)>),
}

/// What slow files give.
pub(super) enum Source {
    /// A tokenizer that is not the class's to build.
    Whole(Box<Definition>),
    /// A tokenizer.json whose vocabulary the class builds its own around.
    File(Box<Definition>),
    /// What the class builds its own around.
    Vocabulary {
        vocabulary: Vocabulary,
        charsmap: Option<String>,
        file: &'static str,
    },
}

impl Vocabulary {
    /// That of a tokenizer.json's model, for a class that builds a `wanted` model.
    pub(super) fn from_model(model: Model, wanted: Option<ModelKind>) -> Self {
        match model {
            Model::Bpe(Bpe { vocab, merges, .. }) => Self::Ids {
                vocab,
                merges: if wanted == Some(ModelKind::Bpe) || wanted.is_none() {
                    merges
                } else {
                    Vec::new()
                },
            },
            Model::WordPiece(WordPiece { vocab, .. })
            | Model::WordLevel(WordLevel { vocab, .. }) => Self::Ids {
                vocab,
                merges: Vec::new(),
            },
            Model::Unigram(Unigram { vocab, .. }) => match wanted {
                None | Some(ModelKind::Unigram) => Self::Pieces(vocab),
                Some(_) => Self::Ids {
                    vocab: vocab.into_iter().map(|(piece, _)| piece).zip(0..).collect(),
                    merges: Vec::new(),
                },
            },
            // Only classes that read no tokenizer.json have one.
            Model::SentencePiece(_) => Self::None,
        }
    }

    /// Tokens by id, and merges.
    #[allow(clippy::type_complexity, reason = "two lists, named in the line above")]
    pub(super) fn into_bpe(
        self,
        class: &str,
        file: &'static str,
    ) -> Result<(Vec<(String, u32)>, Vec<(String, String)>), TokenizeError> {
        match self {
            Self::Ids { vocab, merges } => Ok((vocab, merges)),
            Self::Pieces(_) | Self::None => Err(other(class, file, "tokens with ids", &self)),
        }
    }

    /// Pieces with scores.
    pub(super) fn into_pieces(
        self,
        class: &str,
        file: &'static str,
    ) -> Result<Vec<(String, f64)>, TokenizeError> {
        match self {
            Self::Pieces(pieces) => Ok(pieces),
            Self::Ids { .. } | Self::None => {
                Err(other(class, file, "pieces with scores (a Unigram)", &self))
            }
        }
    }
}

fn other(class: &str, file: &'static str, wanted: &str, found: &Vocabulary) -> TokenizeError {
    let found = match found {
        Vocabulary::None => "nothing",
        Vocabulary::Ids { .. } => "tokens with ids",
        Vocabulary::Pieces(_) => "pieces with scores",
    };
    TokenizeError::Invalid {
        file,
        at: "model.vocab".to_owned(),
        problem: format!("a {class} is built from {wanted}, found {found}"),
    }
}

/// Reads the class's slow files. The arguments get what a file says about special tokens.
pub(super) fn read(
    class: &'static Class,
    files: &TokenizerFiles,
    arguments: &mut Arguments,
) -> Result<Source, TokenizeError> {
    // Without a tokenizer.json, these are taken before the class's own files.
    let general = ["tekken.json", "tokenizer.model", "tiktoken.model"];
    let own = match class.files {
        Files::Model(name) => Some(name),
        _ => None,
    };
    let name = general
        .into_iter()
        .chain(own)
        .find(|name| files.get(name).is_some());
    match name {
        Some("tekken.json") => Ok(Source::Whole(Box::new(convert::tekken(
            files.get("tekken.json").unwrap_or_default(),
        )?))),
        Some(name) => match ModelFile::read(files.get(name).unwrap_or_default(), name)? {
            ModelFile::SentencePiece(model) => sentencepiece(class, &model, arguments),
            ModelFile::Tiktoken(model) => tiktoken(&model, arguments),
        },
        None => text_files(class, files),
    }
}

fn sentencepiece(
    class: &'static Class,
    model: &SentencePiece,
    arguments: &mut Arguments,
) -> Result<Source, TokenizeError> {
    let source;
    let tokens;
    if matches!(class.rule, Rule::AsFile | Rule::Inherit(_)) {
        let Backend {
            mut definition,
            special_tokens,
        } = model.backend(&placed(arguments))?;
        tokens = std::mem::take(&mut definition.added_tokens);
        for (name, token) in special_tokens {
            arguments.default(name, token);
        }
        source = Source::Whole(Box::new(definition));
    } else {
        let extracted = model
            .extract(class.model)?
            .laid_out(class.name, &arguments.keys)?;
        tokens = extracted.additional_special_tokens;
        if let Model::Unigram(unigram) = &extracted.model
            && let Some(unk_id) = unigram.unk_id
        {
            arguments.keys.insert("unk_id".to_owned(), unk_id.into());
        }
        source = Source::Vocabulary {
            vocabulary: Vocabulary::from_model(extracted.model, class.model),
            charsmap: extracted.precompiled_charsmap,
            file: extracted.file,
        };
    }
    let tokens: Vec<Token> = tokens.iter().map(Token::from_file).collect();
    arguments.set_list("additional_special_tokens", &tokens);
    Ok(source)
}

fn tiktoken(model: &Tiktoken, arguments: &Arguments) -> Result<Source, TokenizeError> {
    let extra: Vec<String> = arguments
        .list("extra_special_tokens")
        .iter()
        .map(|token| token.content().to_owned())
        .collect();
    let special = model.special_tokens(&placed(arguments), &extra)?;
    let definition = model.definition(TIKTOKEN_PATTERN, &special)?;
    Ok(Source::Whole(Box::new(definition)))
}

/// `added_tokens_decoder` as ids and texts.
fn placed(arguments: &Arguments) -> Vec<(u64, String)> {
    let decoder = &arguments.added_tokens_decoder;
    decoder
        .iter()
        .filter_map(|(&id, token)| Some((u64::try_from(id).ok()?, token.content.clone())))
        .collect()
}

fn text_files(class: &'static Class, files: &TokenizerFiles) -> Result<Source, TokenizeError> {
    let (model, file) = match class.files {
        Files::Constant => {
            return Ok(Source::Vocabulary {
                vocabulary: Vocabulary::None,
                charsmap: None,
                file: TOKENIZER_CONFIG,
            });
        }
        Files::VocabTxt => {
            let vocab = files
                .get("vocab.txt")
                .ok_or_else(|| missing(class, files))?;
            (Model::WordPiece(convert::vocab_txt(vocab)?), "vocab.txt")
        }
        Files::VocabMerges => {
            let (Some(vocab), Some(merges)) = (files.get("vocab.json"), files.get("merges.txt"))
            else {
                return Err(missing(class, files));
            };
            (Model::Bpe(convert::bpe_files(vocab, merges)?), "vocab.json")
        }
        Files::None | Files::Model(_) => return Err(missing(class, files)),
    };
    Ok(Source::Vocabulary {
        vocabulary: Vocabulary::from_model(model, class.model),
        charsmap: None,
        file,
    })
}

/// The error that names the files looked for.
fn missing(class: &'static Class, files: &TokenizerFiles) -> TokenizeError {
    let own = match class.files {
        Files::None | Files::Constant => "",
        Files::Model(name) => name,
        Files::VocabTxt => "vocab.txt",
        Files::VocabMerges => "vocab.json with merges.txt",
    };
    let general = ["tokenizer.model", "tekken.json", "tiktoken.model"];
    let mut wanted = vec!["tokenizer.json"];
    wanted.extend(Some(own).filter(|own| !own.is_empty()));
    if !matches!(class.rule, Rule::Refused(_)) {
        wanted.extend(general.iter().filter(|&&name| name != own));
    }
    let found: Vec<&str> = files.names().collect();
    TokenizeError::NoFiles {
        class: class.name,
        wanted: wanted.join(", "),
        found: if found.is_empty() {
            "none of any tokenizer".to_owned()
        } else {
            found.join(", ")
        },
    }
}
