//! Classes around a BPE over words that end in `</w>`, and one over letters alone.
//!
//! Reference: transformers 5.23 `models/{clip,herbert,openai,esmc}/tokenization_*.py`.

use serde_json::{Value, json};

use super::behaviour::Decode;
use super::class::{Class, Files, as_it_is, none, text};
use super::init::{Init, Ready};
use super::stages::{
    Piece, bert_normalizer, byte_level, byte_level_decoder, end_of_word_decoder, normalizers,
    plain, pre_tokenizers, replace_regex, roberta, split, template, token,
};
use super::vocabulary::Vocabulary;
use crate::engine::{Bpe, Definition, ModelKind};
use crate::error::TokenizeError;

/// Ends a word.
const END: &str = "</w>";

/// `CLIPTokenizer`.
pub(super) const CLIP: Class = Class::rebuilt(
    "CLIPTokenizer",
    Files::VocabMerges,
    Some(ModelKind::Bpe),
    &[
        text("unk_token", "<|endoftext|>"),
        text("bos_token", "<|startoftext|>"),
        text("eos_token", "<|endoftext|>"),
        text("pad_token", "<|endoftext|>"),
    ],
    clip,
    |ready| {
        let (eos, bos) = (ready.special("eos_token")?, ready.special("bos_token")?);
        ready.behaviour.decode = Decode::EndOfWord;
        ready.set(&roberta(eos, bos, false, false))
    },
);

/// `OpenAIGPTTokenizer`.
pub(super) const OPENAI_GPT: Class = Class::rebuilt(
    "OpenAIGPTTokenizer",
    Files::VocabMerges,
    Some(ModelKind::Bpe),
    &[text("unk_token", "<unk>")],
    |init| {
        let mut definition = end_of_word(init)?;
        definition.normalizer = bert_normalizer(true, true, None, true);
        Ok(definition)
    },
    as_it_is,
);

/// `HerbertTokenizer`.
pub(super) const HERBERT: Class = Class::rebuilt(
    "HerbertTokenizer",
    Files::VocabMerges,
    Some(ModelKind::Bpe),
    &[
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        text("mask_token", "<mask>"),
        text("sep_token", "</s>"),
    ],
    |init| {
        let mut definition = end_of_word(init)?;
        definition.normalizer = bert_normalizer(true, true, Some(false), false);
        Ok(definition)
    },
    |ready| {
        // The ids are the class's, whatever the vocabulary says.
        let sep = ready.special("sep_token")?.0;
        let cls = ready.special("cls_token")?.0;
        ready.set(&json!({"type": "BertProcessing", "sep": [sep, 2], "cls": [cls, 0]}))
    },
);

/// `ParakeetTokenizer`: as the file says, but that a token repeated over time counts once.
pub(super) const PARAKEET: Class = Class {
    finish: joins,
    ..Class::as_file("ParakeetTokenizer")
};

/// Speech recognition that gives a token for each step in time.
pub(super) fn joins(ready: &mut Ready) -> Result<(), TokenizeError> {
    let pad = ready.named_token("pad_token").and_then(|pad| ready.id(pad));
    ready.behaviour.decode = Decode::Joined { pad };
    Ok(())
}

/// `EsmcTokenizer`, whose vocabulary is a constant.
pub(super) const ESMC: Class = Class::rebuilt(
    "EsmcTokenizer",
    Files::Constant,
    Some(ModelKind::Bpe),
    &[
        text("unk_token", "<unk>"),
        text("cls_token", "<cls>"),
        text("pad_token", "<pad>"),
        text("mask_token", "<mask>"),
        text("eos_token", "<eos>"),
        none("bos_token"),
        text("chain_break_token", "|"),
    ],
    |init| {
        let letters = [
            "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D",
            "P", "K", "Q", "N", "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-",
            "|", "<mask>",
        ];
        init.vocabulary = Vocabulary::Ids {
            vocab: letters.into_iter().map(str::to_owned).zip(0..).collect(),
            merges: Vec::new(),
        };
        let keys = &mut init.arguments.keys;
        if keys.get("bos_token").is_none_or(Value::is_null)
            && let Some(cls) = keys.get("cls_token").cloned()
        {
            keys.insert("bos_token".to_owned(), cls);
        }
        let unk = init.arguments.text_of("unk_token");
        init.bpe(Bpe {
            unk_token: Some(unk),
            ..Bpe::default()
        })
    },
    |ready| {
        let (cls, eos) = (ready.special("cls_token")?, ready.special("eos_token")?);
        let single = [token(&cls), Piece::A(0), token(&eos)];
        ready.set(&template(&single, &[Piece::A(0), Piece::B(1)]))
    },
);

fn clip(init: &mut Init) -> Result<Definition, TokenizeError> {
    let words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let mut definition = bpe(init)?;
    definition.normalizer = normalizers(vec![
        plain("NFC"),
        replace_regex(r"\s+", " "),
        plain("Lowercase"),
    ]);
    definition.pre_tokenizer =
        pre_tokenizers(vec![split(words, "Removed", true), byte_level(false, true)]);
    definition.decoder = byte_level_decoder();
    Ok(definition)
}

fn end_of_word(init: &mut Init) -> Result<Definition, TokenizeError> {
    let mut definition = bpe(init)?;
    definition.pre_tokenizer = plain("BertPreTokenizer");
    definition.decoder = end_of_word_decoder();
    Ok(definition)
}

fn bpe(init: &mut Init) -> Result<Definition, TokenizeError> {
    let unk = init.arguments.text_of("unk_token");
    init.bpe(Bpe {
        unk_token: Some(unk),
        end_of_word_suffix: Some(END.to_owned()),
        ..Bpe::default()
    })
}
