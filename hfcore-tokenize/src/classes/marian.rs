//! `MarianTokenizer`: Opus-MT's translation models, whose texts the sentencepiece library splits.
//!
//! Reference: transformers 5.23 `models/marian/tokenization_marian.py`, without the library sacremoses, which is never
//! asked there. `source.spm` splits texts and puts translations together; ids are those of `vocab.json`. A text may
//! begin with the language to translate into, `>>deu<<`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::arguments::{invalid, parse};
use super::class::{Class, Files, IDS, Named, Rule, text};
use super::init::{Init, Ready};
use super::stages::{Piece, template, token};
use crate::convert::SentencePiece;
use crate::encoding::Encoding;
use crate::engine::{Definition, MAX_VOCAB, Matcher, Model, SentencePieceModel};
use crate::error::{TokenizeError, shortened};
use crate::files::TokenizerFiles;
use crate::sentencepiece::Processor;
use crate::special::Side;
use crate::tokenizer::Tokenizer;

const SOURCE: &str = "source.spm";
const TARGET: &str = "target.spm";
const VOCAB: &str = "vocab.json";

const TOKENS: &[Named] = &[
    text("unk_token", "<unk>"),
    text("eos_token", "</s>"),
    text("pad_token", "<pad>"),
];

pub(super) const MARIAN: Class = Class {
    name: "MarianTokenizer",
    files: Files::None,
    model: None,
    padding_side: Side::Right,
    inputs: IDS,
    tokens: TOKENS,
    rule: Rule::Python(build),
    finish,
};

/// What decoding needs.
#[derive(Clone, Debug)]
pub(crate) struct Marian {
    source: Arc<Processor>,
}

fn build(init: &mut Init, files: &TokenizerFiles) -> Result<Definition, TokenizeError> {
    let (Some(source), Some(_), Some(vocab)) =
        (files.get(SOURCE), files.get(TARGET), files.get(VOCAB))
    else {
        let found: Vec<&str> = files.names().collect();
        return Err(TokenizeError::NoFiles {
            class: MARIAN.name,
            wanted: format!("{SOURCE}, {TARGET} and {VOCAB}"),
            found: if found.is_empty() {
                "none of any tokenizer".to_owned()
            } else {
                found.join(", ")
            },
        });
    };
    let arguments = &mut init.arguments;
    if arguments.flag("separate_vocabs", false)? {
        return Err(TokenizeError::UnsupportedClass {
            class: MARIAN.name.to_owned(),
            reason: "separate_vocabs gives texts and translations vocabularies of their own, which hfcore does not have yet",
        });
    }
    let options = arguments.keys.get("sp_model_kwargs");
    if options
        .and_then(Value::as_object)
        .is_some_and(|options| !options.is_empty())
    {
        return Err(invalid(
            "sp_model_kwargs",
            "options of the sentencepiece library (sampling) are not supported; remove the key",
        ));
    }
    // The engine looks at what is around such a token in another way.
    if let Some(token) = arguments
        .added_tokens_decoder
        .values()
        .find(|token| token.single_word)
    {
        return Err(invalid(
            "added_tokens_decoder",
            format!(
                "the token {:?} has single_word, which is not supported in a {}",
                shortened(&token.content, 40),
                MARIAN.name
            ),
        ));
    }
    arguments.default("model_max_length", 512);
    let model = SentencePieceModel {
        model: SentencePiece::read(source, SOURCE)?,
        vocab: ids(vocab)?,
        unk_token: arguments.text_of("unk_token"),
        language_codes: true,
    };
    Ok(Definition::new(
        VOCAB,
        Model::SentencePiece(Box::new(model)),
    ))
}

/// The tokens of `vocab.json`. Their ids must be those from 0 on: for one that is missing, Python takes a piece of
/// `source.spm`, which has nothing to do with it.
fn ids(json: &[u8]) -> Result<Vec<(String, u32)>, TokenizeError> {
    let map: Map<String, Value> = parse(json, VOCAB)?;
    let count = map.len();
    let entry = |(token, id): (String, Value)| match id.as_u64().map(u32::try_from) {
        Some(Ok(id)) if (id as usize) < count.min(MAX_VOCAB) => Ok((token, id)),
        _ => Err(TokenizeError::Invalid {
            file: VOCAB,
            at: shortened(&token, 40),
            problem: format!(
                "expected an id below {}, the number of tokens (at most {MAX_VOCAB}), found {id}",
                count.min(MAX_VOCAB)
            ),
        }),
    };
    map.into_iter().map(entry).collect()
}

fn finish(ready: &mut Ready) -> Result<(), TokenizeError> {
    for (&id, token) in &ready.arguments.added_tokens_decoder {
        let found = ready.built.engine.token_to_id(&token.content);
        if found.map(i64::from) != Some(id) {
            return Err(invalid(
                format!("added_tokens_decoder.{id}"),
                format!(
                    "the token {:?} would have the id {found:?}; ids must be those of {VOCAB} or follow them in order",
                    shortened(&token.content, 40)
                ),
            ));
        }
    }
    let eos = token(&ready.special("eos_token")?);
    let single = [Piece::A(0), eos.clone()];
    let pair = [Piece::A(0), Piece::B(1), eos];
    ready.set(&template(&single, &pair))?;
    let Matcher::SentencePiece(model) = ready.built.engine.get_model() else {
        unreachable!("built above");
    };
    let source = Arc::clone(model.processor());
    ready.behaviour.decode = super::Decode::Pieces;
    ready.behaviour.marian = Some(Marian { source });
    Ok(())
}

impl Marian {
    /// The text of tokens: special ones as they are, each with a space behind it, the rest as the library joins them.
    pub(crate) fn join(&self, tokenizer: &Tokenizer, tokens: &[String]) -> String {
        let special = tokenizer.all_special_tokens();
        let mut text = String::new();
        let mut rest = tokens;
        loop {
            let end = rest
                .iter()
                .position(|token| special.contains(&token.as_str()));
            let (pieces, after) = rest.split_at(end.unwrap_or(rest.len()));
            text += &self.source.decode(pieces.iter().map(String::as_str));
            let Some((token, after)) = after.split_first() else {
                break;
            };
            text += token;
            text.push(' ');
            rest = after;
        }
        let text = text.replace('\u{2581}', " ");
        // Python's `str.strip`.
        let blank = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
        text.trim_matches(blank).to_owned()
    }

    /// The masks as the class makes them: every special token is one, but for the unknown one, and with two texts the
    /// type changes one token behind the second's first, where the end of the first would have been.
    pub(crate) fn mark(tokenizer: &Tokenizer, encoding: &mut Encoding, add_special_tokens: bool) {
        for part in &mut encoding.overflowing {
            Self::mark(tokenizer, part, add_special_tokens);
        }
        if !add_special_tokens {
            encoding.type_ids.fill(0);
            return;
        }
        let unknown = tokenizer.unk_token_id();
        let special = tokenizer.get_special_tokens_mask(&encoding.ids);
        encoding.special_tokens_mask = encoding
            .ids
            .iter()
            .zip(special)
            .map(|(&id, special)| if Some(id) == unknown { 0 } else { special })
            .collect();
        let first = encoding.sequences.first().map_or(0, ExactSizeIterator::len);
        if encoding.sequences.len() > 1 {
            for (at, type_id) in encoding.type_ids.iter_mut().enumerate() {
                *type_id = u32::from(at > first);
            }
        }
    }
}
