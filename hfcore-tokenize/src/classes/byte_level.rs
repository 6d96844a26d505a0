//! Classes around a byte-level BPE: GPT-2 and what was trained like it.
//!
//! Reference: transformers 5.23 `models/{gpt2,roberta,codegen,blenderbot,deberta,gpt_neox,cohere,qwen2,qwen3_5,nougat,
//! layoutlmv3,markuplm,luke,whisper}/tokenization_*.py`.

use serde_json::json;

use super::arguments::Token;
use super::class::{
    Build, Class, Files, IDS_MASK_TYPES, IDS_TYPES, Named, Wrap, as_it_is, none, text, wrapped,
};
use super::init::{Init, Ready};
use super::stages::{
    Piece, byte_level, byte_level_decoder, digits, plain, pre_tokenizers, roberta, split,
    split_text, template, token,
};
use crate::added_token::AddedToken;
use crate::engine::{Bpe, Definition, ModelKind};
use crate::error::TokenizeError;

const fn class(
    name: &'static str,
    tokens: &'static [Named],
    build: Build,
    finish: fn(&mut Ready) -> Result<(), TokenizeError>,
) -> Class {
    Class::rebuilt(
        name,
        Files::VocabMerges,
        Some(ModelKind::Bpe),
        tokens,
        build,
        finish,
    )
}

/// `RoBERTa`'s tokens.
const ROBERTA_TOKENS: &[Named] = &[
    text("bos_token", "<s>"),
    text("eos_token", "</s>"),
    text("sep_token", "</s>"),
    text("cls_token", "<s>"),
    text("unk_token", "<unk>"),
    text("pad_token", "<pad>"),
    text("mask_token", "<mask>"),
];

/// `GPT2Tokenizer`.
pub(super) const GPT2: Class = class(
    "GPT2Tokenizer",
    &[
        text("unk_token", "<|endoftext|>"),
        text("bos_token", "<|endoftext|>"),
        text("eos_token", "<|endoftext|>"),
        none("pad_token"),
    ],
    gpt2,
    as_it_is,
);

/// `CodeGenTokenizer`.
pub(super) const CODE_GEN: Class = class(
    "CodeGenTokenizer",
    &[
        text("unk_token", "<|endoftext|>"),
        text("bos_token", "<|endoftext|>"),
        text("eos_token", "<|endoftext|>"),
        none("pad_token"),
    ],
    |init| {
        let mut definition = gpt2(init)?;
        definition.post_processor = json!({"type": "ByteLevel", "add_prefix_space": true,
            "trim_offsets": false, "use_regex": true});
        Ok(definition)
    },
    as_it_is,
);

/// `RobertaTokenizer`, which is BART's too.
pub(super) const ROBERTA: Class = class("RobertaTokenizer", ROBERTA_TOKENS, gpt2, |ready| {
    let trim = ready.arguments.flag("trim_offsets", true)?;
    let prefix = ready.arguments.flag("add_prefix_space", false)?;
    roberta_ends(ready, trim, prefix)
});

/// `LayoutLMv3Tokenizer`, for text alone: boxes are the caller's to keep by word ids.
pub(super) const LAYOUT_LM_V3: Class = class(
    "LayoutLMv3Tokenizer",
    ROBERTA_TOKENS,
    |init| byte_level_bpe(init, true),
    |ready| {
        let prefix = ready.arguments.flag("add_prefix_space", true)?;
        roberta_ends(ready, true, prefix)
    },
)
.taking(&["input_ids", "attention_mask", "bbox"]);

/// `MarkupLMTokenizer`, for text alone: paths are the caller's to keep by word ids.
pub(super) const MARKUP_LM: Class = class(
    "MarkupLMTokenizer",
    &[
        wrapped("bos_token", "<s>", Wrap::Added),
        wrapped("eos_token", "</s>", Wrap::Added),
        wrapped("sep_token", "</s>", Wrap::Added),
        wrapped("cls_token", "<s>", Wrap::Added),
        wrapped("unk_token", "<unk>", Wrap::Added),
        wrapped("pad_token", "<pad>", Wrap::Added),
        wrapped("mask_token", "<mask>", Wrap::Left),
    ],
    gpt2,
    |ready| {
        let (cls, sep) = (ready.special("cls_token")?, ready.special("sep_token")?);
        let single = [token(&cls), Piece::A(0), token(&sep)];
        let pair = [
            token(&cls),
            Piece::A(0),
            token(&sep),
            Piece::B(0),
            token(&sep),
        ];
        ready.set(&template(&single, &pair))
    },
)
.taking(IDS_TYPES);

/// `LukeTokenizer`, for text alone, without entities.
pub(super) const LUKE: Class = class(
    "LukeTokenizer",
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        text("mask_token", "<mask>"),
        text("entity_1_token", "<ent>"),
        text("entity_2_token", "<ent2>"),
        text("entity_unk_token", "[UNK]"),
        text("entity_pad_token", "[PAD]"),
        text("entity_mask_token", "[MASK]"),
        text("entity_mask2_token", "[MASK2]"),
    ],
    |init| {
        luke_entities(init);
        byte_level_bpe(init, false)
    },
    |ready| roberta_ends(ready, true, true),
);

/// `BlenderbotTokenizer`.
pub(super) const BLENDERBOT: Class = class(
    "BlenderbotTokenizer",
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        wrapped("mask_token", "<mask>", Wrap::LeftPlain),
    ],
    |init| byte_level_bpe(init, true),
    as_it_is,
);

/// `DebertaTokenizer`.
pub(super) const DEBERTA: Class = class(
    "DebertaTokenizer",
    &[
        text("bos_token", "[CLS]"),
        text("eos_token", "[SEP]"),
        text("unk_token", "[UNK]"),
        text("sep_token", "[SEP]"),
        text("cls_token", "[CLS]"),
        text("pad_token", "[PAD]"),
        text("mask_token", "[MASK]"),
    ],
    gpt2,
    |ready| {
        let (cls, sep) = (ready.special("cls_token")?, ready.special("sep_token")?);
        let single = [token(&cls), Piece::A(0), token(&sep)];
        let pair = [
            token(&cls),
            Piece::A(0),
            token(&sep),
            token(&sep),
            Piece::B(0),
            token(&sep),
        ];
        ready.set(&template(&single, &pair))
    },
)
.taking(IDS_MASK_TYPES);

/// `GPTNeoXTokenizer`.
pub(super) const GPT_NEOX: Class = class(
    "GPTNeoXTokenizer",
    &[
        text("unk_token", "<|endoftext|>"),
        text("bos_token", "<|endoftext|>"),
        text("eos_token", "<|endoftext|>"),
        text("pad_token", "<|padding|>"),
    ],
    |init| {
        let mut definition = gpt2(init)?;
        definition.normalizer = plain("NFC");
        Ok(definition)
    },
    Ready::update_post_processor,
);

/// `CohereTokenizer`.
pub(super) const COHERE: Class = class(
    "CohereTokenizer",
    &[
        text("unk_token", "<UNK>"),
        text("bos_token", "<BOS_TOKEN>"),
        text("eos_token", "<|END_OF_TURN_TOKEN|>"),
        text("pad_token", "<PAD>"),
        text("cls_token", "<CLS>"),
        text("sep_token", "<SEP>"),
        text("mask_token", "<MASK_TOKEN>"),
    ],
    |init| {
        let mut definition = gpt2(init)?;
        definition.normalizer = plain("NFC");
        definition.pre_tokenizer = pre_tokenizers(vec![digits(), definition.pre_tokenizer]);
        Ok(definition)
    },
    Ready::add_as_special,
)
.left();

const QWEN_TOKENS: &[Named] = &[
    text("unk_token", "<|endoftext|>"),
    none("bos_token"),
    text("eos_token", "<|endoftext|>"),
    text("pad_token", "<|endoftext|>"),
];

/// Qwen 2's words.
const QWEN2_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5's, where marks belong to words.
const QWEN3_5_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `Qwen2Tokenizer`.
pub(super) const QWEN2: Class = class(
    "Qwen2Tokenizer",
    QWEN_TOKENS,
    |init| qwen(init, QWEN2_PATTERN),
    Ready::add_texts_as_special,
);

/// `Qwen3_5Tokenizer`.
pub(super) const QWEN3_5: Class = Class {
    files: Files::Model("tokenizer.model"),
    ..class(
        "Qwen3_5Tokenizer",
        QWEN_TOKENS,
        |init| qwen(init, QWEN3_5_PATTERN),
        as_it_is,
    )
};

/// `NougatTokenizer`.
pub(super) const NOUGAT: Class = class(
    "NougatTokenizer",
    &[
        text("unk_token", "<unk>"),
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("pad_token", "<pad>"),
    ],
    nougat,
    |ready| {
        let (bos, eos) = (ready.special("bos_token")?, ready.special("eos_token")?);
        let single = [token(&bos), Piece::A(0), token(&eos)];
        ready.set(&template(&single, &[Piece::A(0), Piece::B(1)]))
    },
);

/// `WhisperTokenizer`.
pub(super) const WHISPER: Class = class(
    "WhisperTokenizer",
    &[
        wrapped("bos_token", "<|endoftext|>", Wrap::Special),
        wrapped("eos_token", "<|endoftext|>", Wrap::Special),
        wrapped("unk_token", "<|endoftext|>", Wrap::Special),
    ],
    gpt2,
    super::whisper::finish,
);

fn gpt2(init: &mut Init) -> Result<Definition, TokenizeError> {
    byte_level_bpe(init, false)
}

fn byte_level_bpe(
    init: &mut Init,
    default_prefix_space: bool,
) -> Result<Definition, TokenizeError> {
    let prefix_space = init
        .arguments
        .flag("add_prefix_space", default_prefix_space)?;
    let mut definition = init.bpe(Bpe::default())?;
    definition.pre_tokenizer = byte_level(prefix_space, true);
    definition.decoder = byte_level_decoder();
    Ok(definition)
}

fn qwen(init: &mut Init, pattern: &str) -> Result<Definition, TokenizeError> {
    let prefix_space = init.arguments.flag("add_prefix_space", false)?;
    let mut definition = init.bpe(Bpe::default())?;
    definition.normalizer = plain("NFC");
    definition.pre_tokenizer = pre_tokenizers(vec![
        split(pattern, "Isolated", false),
        byte_level(prefix_space, false),
    ]);
    definition.decoder = byte_level_decoder();
    Ok(definition)
}

fn nougat(init: &mut Init) -> Result<Definition, TokenizeError> {
    // The class gives its expression as a text, so it is looked for as it stands.
    let punctuation =
        "[\\(\\)\\[\\]\\{\\}]|([!\\\"#\\$%\\&'\\*\\+,\\-\\./:;<=>\\?\\\\\\^_`\\|\\~])\\1*";
    let mut definition = init.bpe(Bpe::default())?;
    definition.normalizer = plain("NFKC");
    definition.pre_tokenizer = pre_tokenizers(vec![
        split_text("SPL1T-TH1S-Pl3A5E", "Removed"),
        digits(),
        split_text(punctuation, "Isolated"),
        split_text("\n", "Isolated"),
        byte_level(false, true),
    ]);
    definition.decoder = byte_level_decoder();
    Ok(definition)
}

fn roberta_ends(
    ready: &mut Ready,
    trim_offsets: bool,
    add_prefix_space: bool,
) -> Result<(), TokenizeError> {
    let (sep, cls) = (ready.special("sep_token")?, ready.special("cls_token")?);
    ready.set(&roberta(sep, cls, trim_offsets, add_prefix_space))
}

/// The marks around entities are special tokens.
fn luke_entities(init: &mut Init) {
    let arguments = &mut init.arguments;
    let mut extra = arguments.list("extra_special_tokens");
    extra.extend(arguments.list("additional_special_tokens"));
    arguments.keys.shift_remove("additional_special_tokens");
    for (name, old_name, default) in [
        ("entity_1_token", "entity_token_1", "<ent>"),
        ("entity_2_token", "entity_token_2", "<ent2>"),
    ] {
        let given = arguments.keys.shift_remove(old_name);
        let given = given.as_ref().and_then(Token::from_value);
        let entity = match given.or_else(|| arguments.token(name)) {
            Some(Token::Added(token)) => token,
            Some(Token::Text(text)) => AddedToken::new(text),
            None => AddedToken::new(default),
        };
        let content = entity.content.clone();
        if !extra.iter().any(|known| known.content() == content) {
            extra.push(Token::Added(entity));
        }
        arguments.keys.insert(name.to_owned(), content.into());
    }
    arguments.set_list("extra_special_tokens", &extra);
    arguments.default(
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        true,
    );
}
