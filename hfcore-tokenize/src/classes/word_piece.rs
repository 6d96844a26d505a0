//! Classes around a `WordPiece` vocabulary: BERT and what was trained like it.
//!
//! Reference: transformers 5.23 `models/{bert,distilbert,dpr,funnel,layoutlmv2,mpnet,splinter}/tokenization_*.py`.

use super::class::{Class, Files, IDS, IDS_MASK_TYPES, IDS_TYPES, Named, Wrap, text, wrapped};
use super::init::{Init, Ready};
use super::stages::{
    Piece, bert_normalizer, plain, roberta, template, token, typed, word_piece_decoder,
};
use crate::engine::{Definition, ModelKind};
use crate::error::TokenizeError;

const TOKENS: &[Named] = &[
    text("unk_token", "[UNK]"),
    text("sep_token", "[SEP]"),
    text("pad_token", "[PAD]"),
    text("cls_token", "[CLS]"),
    text("mask_token", "[MASK]"),
];

/// `BertTokenizer`.
pub(super) const BERT: Class = Class::rebuilt(
    "BertTokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    TOKENS,
    bert,
    |ready| ready.cls_sep(0),
)
.taking(IDS_TYPES);

/// `DistilBertTokenizer`.
pub(super) const DISTILBERT: Class = BERT.named("DistilBertTokenizer").taking(IDS);

/// The slow names of DPR's tokenizers, which keep `do_lower_case` to themselves: the text is always in lower case.
pub(super) const DPR: Class = Class::rebuilt(
    "DPRQuestionEncoderTokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    TOKENS,
    |init| {
        init.arguments.keys.shift_remove("do_lower_case");
        bert(init)
    },
    |ready| ready.cls_sep(0),
)
.taking(IDS_TYPES);

/// `LayoutLMv2Tokenizer`, for text alone: boxes are the caller's to keep by word ids.
pub(super) const LAYOUT_LM_V2: Class = Class::rebuilt(
    "LayoutLMv2Tokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    TOKENS,
    |init| {
        init.arguments.default("model_max_length", 512);
        bert(init)
    },
    |ready| ready.cls_sep(0),
)
.taking(IDS_MASK_TYPES);

/// `FunnelTokenizer`: the first token is of type 2.
pub(super) const FUNNEL: Class = Class::rebuilt(
    "FunnelTokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    &[
        text("unk_token", "<unk>"),
        text("sep_token", "<sep>"),
        text("pad_token", "<pad>"),
        text("cls_token", "<cls>"),
        text("mask_token", "<mask>"),
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
    ],
    funnel,
    |ready| ready.cls_sep(2),
);

/// `MPNetTokenizer`.
pub(super) const MPNET: Class = Class::rebuilt(
    "MPNetTokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    &[
        wrapped("bos_token", "<s>", Wrap::Added),
        wrapped("eos_token", "</s>", Wrap::Added),
        wrapped("sep_token", "</s>", Wrap::Added),
        wrapped("cls_token", "<s>", Wrap::Added),
        wrapped("unk_token", "[UNK]", Wrap::Added),
        wrapped("pad_token", "<pad>", Wrap::Added),
        wrapped("mask_token", "<mask>", Wrap::Left),
    ],
    bert,
    |ready| {
        let (sep, cls) = (ready.special("sep_token")?, ready.special("cls_token")?);
        ready.set(&roberta(sep, cls, true, false))
    },
);

/// `SplinterTokenizer`: of two texts, a question token and a full stop follow the question.
pub(super) const SPLINTER: Class = Class::rebuilt(
    "SplinterTokenizer",
    Files::VocabTxt,
    Some(ModelKind::WordPiece),
    &[
        text("unk_token", "[UNK]"),
        text("sep_token", "[SEP]"),
        text("pad_token", "[PAD]"),
        text("cls_token", "[CLS]"),
        text("mask_token", "[MASK]"),
        text("question_token", "[QUESTION]"),
    ],
    bert,
    splinter_pairs,
);

fn bert(init: &mut Init) -> Result<Definition, TokenizeError> {
    let clean_text = true;
    stages(init, clean_text, "##")
}

fn funnel(init: &mut Init) -> Result<Definition, TokenizeError> {
    let clean_text = init.arguments.flag("clean_text", true)?;
    let prefix = init.arguments.text("wordpieces_prefix")?;
    stages(init, clean_text, prefix.as_deref().unwrap_or("##"))
}

fn stages(
    init: &mut Init,
    clean_text: bool,
    decoder_prefix: &str,
) -> Result<Definition, TokenizeError> {
    let arguments = &init.arguments;
    let lowercase = arguments.flag("do_lower_case", true)?;
    let chinese = arguments.flag("tokenize_chinese_chars", true)?;
    let strip_accents = match arguments.keys.get("strip_accents") {
        None | Some(serde_json::Value::Null) => None,
        Some(_) => Some(arguments.flag("strip_accents", false)?),
    };
    let mut definition = init.word_piece()?;
    definition.normalizer = bert_normalizer(clean_text, chinese, strip_accents, lowercase);
    definition.pre_tokenizer = plain("BertPreTokenizer");
    definition.decoder = word_piece_decoder(decoder_prefix);
    Ok(definition)
}

fn splinter_pairs(ready: &mut Ready) -> Result<(), TokenizeError> {
    let (cls, sep) = (ready.special("cls_token")?, ready.special("sep_token")?);
    let question = ready.special("question_token")?;
    let dot = ready.with_id(".")?;
    let single = [token(&cls), Piece::A(0), token(&sep)];
    let asks = [token(&question), token(&dot)];
    let mut pair = vec![token(&cls), Piece::A(0)];
    if ready.pads_right() {
        pair.extend(asks);
        pair.extend([token(&sep), Piece::B(1), typed(&sep, 1)]);
    } else {
        pair.extend([token(&sep), Piece::B(1)]);
        pair.extend(asks);
        pair.push(typed(&sep, 1));
    }
    ready.set(&template(&single, &pair))
}
