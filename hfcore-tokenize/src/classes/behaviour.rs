//! What a class does when its tokenizer is used: languages around a text, and decoding of its own.

use std::sync::Arc;

use super::init::Ready;
use super::marian::Marian;
use super::python::Python;
use super::stages::{Piece, template, token};
use super::whisper::Whisper;
use crate::engine::Engine;
use crate::error::{TOKENIZER_CONFIG, TokenizeError, shortened};
use crate::tokenizer::Tokenizer;

/// The behaviour of a loaded tokenizer, beside its engine's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// transformers' name of the class; empty for a tokenizer.json read without one.
    pub(crate) class: &'static str,
    pub(crate) decode: Decode,
    pub(crate) languages: Option<Languages>,
    pub(crate) whisper: Option<Whisper>,
    pub(crate) marian: Option<Marian>,
    pub(crate) python: Option<Arc<Python>>,
}

/// What decoding does besides the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decode {
    /// Nothing.
    #[default]
    Plain,
    /// `</w>` ends a word; blanks around the text are no part of it (`CLIPTokenizer`).
    EndOfWord,
    /// A token that is repeated counts once, and the padding token not at all (`ParakeetTokenizer`).
    Joined {
        /// The id of the padding token.
        pad: Option<u32>,
    },
    /// A prompt before the transcript and times are left out (`WhisperTokenizer`).
    Whisper,
    /// The sentencepiece library joins the tokens (`MarianTokenizer`).
    Pieces,
}

impl Decode {
    /// The ids to decode, where they are others.
    pub(crate) fn ids(self, ids: &[u32]) -> Option<Vec<u32>> {
        let Self::Joined { pad } = self else {
            return None;
        };
        let mut ids = ids.to_vec();
        ids.dedup();
        ids.retain(|&id| Some(id) != pad);
        Some(ids)
    }

    /// The text of what the decoder gave.
    pub(crate) fn text(self, text: String) -> String {
        match self {
            Self::Plain | Self::Joined { .. } | Self::Pieces => text,
            Self::EndOfWord => {
                // Python's `str.strip`.
                let blank = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
                text.replace("</w>", " ").trim_matches(blank).to_owned()
            }
            Self::Whisper => super::whisper::without_times(&text),
        }
    }
}

/// Where the language code of a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `code text </s>`.
    CodeEos,
    /// `text </s> code`.
    EosCode,
    /// `</s> code text </s>`.
    EosCodeEos,
}

/// The languages of a translation model's tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Languages {
    /// Of a text to translate.
    source_order: Order,
    /// Of a translation.
    target_order: Order,
    source: String,
    target: Option<String>,
    eos: (String, u32),
    /// Codes are written `__deu__`.
    underscores: bool,
    /// Translations are encoded now, not texts to translate.
    targets: bool,
}

impl Languages {
    /// Those of a class that puts texts and translations in the same order.
    pub(super) fn new(ready: &Ready, order: Order, source: &str) -> Result<Self, TokenizeError> {
        Ok(Self {
            source_order: order,
            target_order: order,
            source: ready
                .arguments
                .text("src_lang")?
                .unwrap_or_else(|| source.to_owned()),
            target: ready.arguments.text("tgt_lang")?,
            eos: ready.special("eos_token")?,
            underscores: false,
            targets: false,
        })
    }

    /// `SeamlessM4TTokenizer`'s. Its `__init__` ends with the target's tokens, but every call begins by going back to
    /// the source's.
    pub(super) fn seamless(ready: &Ready) -> Result<Self, TokenizeError> {
        let languages = Self::new(ready, Order::CodeEos, "eng")?;
        let target = languages.target.as_deref().unwrap_or("fra");
        Ok(Self {
            target_order: Order::EosCodeEos,
            source: underscored(&languages.source),
            target: Some(underscored(target)),
            underscores: true,
            ..languages
        })
    }

    /// Gives the tokenizer its post-processor.
    pub(super) fn install(self, ready: &mut Ready) -> Result<(), TokenizeError> {
        // A code that the vocabulary lacks is the unknown token here, as in transformers.
        let code = ready.with_id(self.current())?;
        let value = self.post_processor(&code);
        ready.set(&value)?;
        ready.behaviour.languages = Some(self);
        Ok(())
    }

    /// The language of what is encoded now.
    fn current(&self) -> &str {
        match &self.target {
            Some(target) if self.targets => target,
            _ => &self.source,
        }
    }

    fn post_processor(&self, code: &(String, u32)) -> serde_json::Value {
        let (eos, code) = (token(&self.eos), token(code));
        let order = if self.targets {
            self.target_order
        } else {
            self.source_order
        };
        let around = |texts: &[Piece]| -> Vec<Piece> {
            let (before, after) = match order {
                Order::CodeEos => (vec![code.clone()], vec![eos.clone()]),
                Order::EosCode => (vec![], vec![eos.clone(), code.clone()]),
                Order::EosCodeEos => (vec![eos.clone(), code.clone()], vec![eos.clone()]),
            };
            before
                .into_iter()
                .chain(texts.iter().cloned())
                .chain(after)
                .collect()
        };
        template(
            &around(&[Piece::A(0)]),
            &around(&[Piece::A(0), Piece::B(0)]),
        )
    }

    fn written(&self, code: &str) -> String {
        if self.underscores {
            underscored(code)
        } else {
            code.to_owned()
        }
    }
}

fn underscored(code: &str) -> String {
    if code.contains("__") {
        code.to_owned()
    } else {
        format!("__{code}__")
    }
}

fn id_of(engine: &Engine, key: &'static str, code: &str) -> Result<(String, u32), TokenizeError> {
    match engine.token_to_id(code) {
        Some(id) => Ok((code.to_owned(), id)),
        None => Err(TokenizeError::Invalid {
            file: TOKENIZER_CONFIG,
            at: key.to_owned(),
            problem: format!(
                "the vocabulary has no language code {:?}",
                shortened(code, 40)
            ),
        }),
    }
}

/// Translation models: the language codes around a text.
impl Tokenizer {
    /// The language of texts to translate (`src_lang`); `None` for a tokenizer without languages.
    pub fn src_lang(&self) -> Option<&str> {
        Some(&self.behaviour().languages.as_ref()?.source)
    }

    /// The language to translate into (`tgt_lang`), where it was named.
    pub fn tgt_lang(&self) -> Option<&str> {
        self.behaviour().languages.as_ref()?.target.as_deref()
    }

    /// The same tokenizer for texts in another language, such as `"deu_Latn"` of NLLB or `"de_DE"` of mBART
    /// (transformers' `tokenizer.src_lang = …`). It copies the vocabulary: make one for each language and keep it.
    ///
    /// # Errors
    ///
    /// If the class has no languages, or the vocabulary not this one.
    pub fn with_src_lang(&self, code: &str) -> Result<Self, TokenizeError> {
        self.with_languages("src_lang", code, |languages, code| Languages {
            source: code,
            targets: false,
            ..languages
        })
    }

    /// The same tokenizer with another language to translate into (`tokenizer.tgt_lang = …`). What it encodes stays
    /// a text to translate; [`as_target`](Self::as_target) turns it to translations. The model is told the language
    /// by [`language_id`](Self::language_id) as `forced_bos_token_id`.
    ///
    /// # Errors
    ///
    /// As [`with_src_lang`](Self::with_src_lang).
    pub fn with_tgt_lang(&self, code: &str) -> Result<Self, TokenizeError> {
        self.with_languages("tgt_lang", code, |languages, code| Languages {
            target: Some(code),
            ..languages
        })
    }

    /// The same tokenizer for translations, which are labels in training (`text_target` in transformers). Without a
    /// target language, the source's.
    ///
    /// # Errors
    ///
    /// As [`with_src_lang`](Self::with_src_lang).
    pub fn as_target(&self) -> Result<Self, TokenizeError> {
        let target = self.tgt_lang().or_else(|| self.src_lang());
        let target = target.unwrap_or_default().to_owned();
        self.with_languages("tgt_lang", &target, |languages, code| Languages {
            target: Some(code),
            targets: true,
            ..languages
        })
    }

    /// The id of a language code, in the class's writing: what `forced_bos_token_id` must be to translate into it.
    pub fn language_id(&self, code: &str) -> Option<u32> {
        let languages = self.behaviour().languages.as_ref()?;
        self.engine().token_to_id(&languages.written(code))
    }

    fn with_languages(
        &self,
        key: &'static str,
        code: &str,
        change: impl FnOnce(Languages, String) -> Languages,
    ) -> Result<Self, TokenizeError> {
        let languages =
            self.behaviour()
                .languages
                .clone()
                .ok_or_else(|| TokenizeError::UnsupportedClass {
                    class: self.class().to_owned(),
                    reason: "it has no languages to choose from",
                })?;
        let code = languages.written(code);
        id_of(self.engine(), key, &code)?;
        let languages = change(languages, code);
        let current = id_of(self.engine(), key, languages.current())?;
        let post_processor = languages.post_processor(&current);
        let behaviour = Behaviour {
            languages: Some(languages),
            ..self.behaviour().clone()
        };
        self.with_post_processor(&post_processor, behaviour)
    }
}
