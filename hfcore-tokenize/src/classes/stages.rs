//! Stages as a `tokenizer.json` writes them, by the names and defaults that the classes of transformers use.

use serde_json::{Map, Value, json};

/// The mark that stands for a space.
pub(super) const SPACE: &str = "\u{2581}";

/// `Metaspace(replacement="▁", …)`, the pre-tokenizer and the decoder.
pub(super) fn metaspace(prepend_scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": prepend_scheme, "split": split})
}

/// `ByteLevel(…)`, the pre-tokenizer.
pub(super) fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": use_regex})
}

/// `ByteLevel()`, the decoder.
pub(super) fn byte_level_decoder() -> Value {
    byte_level(true, true)
}

/// `Split(Regex(pattern), …)`.
pub(super) fn split(pattern: &str, behavior: &str, invert: bool) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert})
}

/// `Split("text", …)`.
pub(super) fn split_text(text: &str, behavior: &str) -> Value {
    json!({"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": false})
}

/// `Replace("text", content)`.
pub(super) fn replace(text: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": text}, "content": content})
}

/// `Replace(Regex(pattern), content)`.
pub(super) fn replace_regex(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": content})
}

/// A stage that has no settings.
pub(super) fn plain(kind: &str) -> Value {
    json!({"type": kind})
}

/// `Strip(left=…, right=…)`, the normalizer.
pub(super) fn strip(left: bool, right: bool) -> Value {
    json!({"type": "Strip", "strip_left": left, "strip_right": right})
}

/// `Digits(individual_digits=True)`.
pub(super) fn digits() -> Value {
    json!({"type": "Digits", "individual_digits": true})
}

/// `Sequence([…])` of normalizers.
pub(super) fn normalizers(list: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": list})
}

/// `Sequence([…])` of pre-tokenizers.
pub(super) fn pre_tokenizers(list: Vec<Value>) -> Value {
    json!({"type": "Sequence", "pretokenizers": list})
}

/// `Sequence([…])` of decoders.
pub(super) fn decoders(list: Vec<Value>) -> Value {
    json!({"type": "Sequence", "decoders": list})
}

/// `BertNormalizer(…)`.
pub(super) fn bert_normalizer(
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
) -> Value {
    json!({"type": "BertNormalizer", "clean_text": clean_text, "handle_chinese_chars": handle_chinese_chars,
        "strip_accents": strip_accents, "lowercase": lowercase})
}

/// `WordPiece(prefix=…)`, the decoder.
pub(super) fn word_piece_decoder(prefix: &str) -> Value {
    json!({"type": "WordPiece", "prefix": prefix, "cleanup": true})
}

/// `BPEDecoder(suffix="</w>")`.
pub(super) fn end_of_word_decoder() -> Value {
    json!({"type": "BPEDecoder", "suffix": "</w>"})
}

/// `RobertaProcessing(sep, cls, …)`.
pub(super) fn roberta(
    sep: (String, u32),
    cls: (String, u32),
    trim_offsets: bool,
    add_prefix_space: bool,
) -> Value {
    json!({"type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
        "trim_offsets": trim_offsets, "add_prefix_space": add_prefix_space})
}

/// A part of a template: the first text, the second, or a token; with the type that its tokens get.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    A(u32),
    B(u32),
    Token(String, u32, u32),
}

/// A token with its id, of type 0.
pub(super) fn token(token: &(String, u32)) -> Piece {
    Piece::Token(token.0.clone(), token.1, 0)
}

/// A token with its id, of a type.
pub(super) fn typed(token: &(String, u32), type_id: u32) -> Piece {
    Piece::Token(token.0.clone(), token.1, type_id)
}

/// `TemplateProcessing(single=…, pair=…)` with the tokens that it uses.
pub(super) fn template(single: &[Piece], pair: &[Piece]) -> Value {
    let mut tokens = Map::new();
    let mut part = |pieces: &[Piece]| -> Value {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::A(type_id) => json!({"Sequence": {"id": "A", "type_id": type_id}}),
                Piece::B(type_id) => json!({"Sequence": {"id": "B", "type_id": type_id}}),
                Piece::Token(token, id, type_id) => {
                    let entry = json!({"id": token, "ids": [id], "tokens": [token]});
                    tokens.insert(token.clone(), entry);
                    json!({"SpecialToken": {"id": token, "type_id": type_id}})
                }
            })
            .collect()
    };
    let (single, pair) = (part(single), part(pair));
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
}
