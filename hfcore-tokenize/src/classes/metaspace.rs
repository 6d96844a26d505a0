//! Classes around a BPE over words that begin with `▁`: Llama, Gemma, NLLB and others that come from SentencePiece.
//!
//! Reference: transformers 5.23 `models/{llama,code_llama,gemma,siglip2,tipsv2,nllb,seamless_m4t,reformer}/
//! tokenization_*.py`.

use serde_json::{Value, json};

use super::behaviour::{Languages, Order};
use super::class::{Class, Files, Named, Wrap, as_it_is, none, text, wrapped};
use super::init::{Init, Ready};
use super::languages;
use super::stages::{
    SPACE, decoders, metaspace, normalizers, plain, pre_tokenizers, replace, replace_regex,
    split_text, strip,
};
use crate::engine::{Bpe, Definition, ModelKind};
use crate::error::TokenizeError;

/// `LlamaTokenizer`.
pub(super) const LLAMA: Class = Class::rebuilt(
    "LlamaTokenizer",
    Files::Model("tokenizer.model"),
    Some(ModelKind::Bpe),
    &[
        text("unk_token", "<unk>"),
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
    ],
    llama,
    as_it_is,
)
.left();

/// `CodeLlamaTokenizer`.
pub(super) const CODE_LLAMA: Class = Class::rebuilt(
    "CodeLlamaTokenizer",
    Files::Model("tokenizer.model"),
    Some(ModelKind::Bpe),
    &[
        text("unk_token", "<unk>"),
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("prefix_token", "▁<PRE>"),
        text("middle_token", "▁<MID>"),
        text("suffix_token", "▁<SUF>"),
        text("eot_token", "▁<EOT>"),
        text("fill_token", "<FILL_ME>"),
    ],
    code_llama,
    as_it_is,
)
.left();

const GEMMA_TOKENS: &[Named] = &[
    text("unk_token", "<unk>"),
    text("bos_token", "<bos>"),
    text("eos_token", "<eos>"),
    text("pad_token", "<pad>"),
    text("mask_token", "<mask>"),
];

/// `GemmaTokenizer`.
pub(super) const GEMMA: Class = Class::rebuilt(
    "GemmaTokenizer",
    Files::None,
    Some(ModelKind::Bpe),
    GEMMA_TOKENS,
    gemma,
    as_it_is,
)
.left();

/// `Siglip2Tokenizer`: Gemma's, in lower case.
pub(super) const SIGLIP2: Class = Class::rebuilt(
    "Siglip2Tokenizer",
    Files::None,
    Some(ModelKind::Bpe),
    GEMMA_TOKENS,
    gemma,
    |ready| {
        // Added tokens were normalized before the class put `Lowercase` first, which does not change them again.
        ready.set_normalizer(&normalizers(vec![plain("Lowercase"), replace(" ", SPACE)]))
    },
)
.left();

/// `Tipsv2Tokenizer`.
pub(super) const TIPS_V2: Class = Class::rebuilt(
    "Tipsv2Tokenizer",
    Files::Model("tokenizer.model"),
    Some(ModelKind::Bpe),
    &[
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        none("bos_token"),
        none("eos_token"),
    ],
    tips_v2,
    as_it_is,
);

/// `ReformerTokenizer`.
pub(super) const REFORMER: Class = Class::rebuilt(
    "ReformerTokenizer",
    Files::Model("spiece.model"),
    Some(ModelKind::Bpe),
    &[text("eos_token", "</s>"), text("unk_token", "<unk>")],
    |init| {
        init.arguments
            .default("additional_special_tokens", Vec::<Value>::new());
        let unk = init.arguments.text_of("unk_token");
        let mut definition = init.bpe(Bpe {
            unk_token: Some(unk),
            fuse_unk: true,
            ..Bpe::default()
        })?;
        if let Some(map) = init.precompiled() {
            definition.normalizer = normalizers(vec![map, replace_regex(" {2,}", " ")]);
        }
        around(&mut definition, "always");
        Ok(definition)
    },
    Ready::add_as_special,
);

/// `NllbTokenizer`.
pub(super) const NLLB: Class = Class::rebuilt(
    "NllbTokenizer",
    Files::Model("sentencepiece.bpe.model"),
    Some(ModelKind::Bpe),
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        wrapped("mask_token", "<mask>", Wrap::LeftNormalized),
    ],
    nllb,
    |ready| {
        let order = if ready.arguments.flag("legacy_behaviour", false)? {
            Order::EosCode
        } else {
            Order::CodeEos
        };
        Languages::new(ready, order, "eng_Latn")?.install(ready)
    },
);

/// `SeamlessM4TTokenizer`.
pub(super) const SEAMLESS_M4T: Class = Class::rebuilt(
    "SeamlessM4TTokenizer",
    Files::Model("sentencepiece.bpe.model"),
    Some(ModelKind::Bpe),
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
    ],
    seamless_m4t,
    |ready| Languages::seamless(ready)?.install(ready),
);

/// Words marked before, in the model and back.
fn around(definition: &mut Definition, prepend_scheme: &str) {
    definition.pre_tokenizer = metaspace(prepend_scheme, true);
    definition.decoder = metaspace(prepend_scheme, true);
}

/// Marks to spaces, byte tokens to characters, all in one text.
fn marks_and_bytes() -> Vec<Value> {
    vec![replace(SPACE, " "), plain("ByteFallback"), plain("Fuse")]
}

fn llama(init: &mut Init) -> Result<Definition, TokenizeError> {
    let prefix_space = init.arguments.flag_or("add_prefix_space", true)?;
    let legacy = init.arguments.flag("legacy", false)?;
    let mut definition = init.bpe(Bpe {
        fuse_unk: true,
        byte_fallback: true,
        ..Bpe::default()
    })?;
    let scheme = match (prefix_space, legacy) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    definition.pre_tokenizer = metaspace(scheme, false);
    let mut stages = marks_and_bytes();
    if prefix_space {
        stages.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    definition.decoder = decoders(stages);
    Ok(definition)
}

fn code_llama(init: &mut Init) -> Result<Definition, TokenizeError> {
    let arguments = &mut init.arguments;
    let prefix_space = arguments.flag_or("add_prefix_space", true)?;
    arguments.default("add_bos_token", true);
    let mut extra = arguments.list("additional_special_tokens");
    for name in [
        "prefix_token",
        "middle_token",
        "suffix_token",
        "eot_token",
        "fill_token",
    ] {
        extra.extend(arguments.token(name));
    }
    arguments.set_list("additional_special_tokens", &extra);
    let unk = arguments.text_of("unk_token");
    let mut definition = init.bpe(Bpe {
        fuse_unk: true,
        byte_fallback: true,
        unk_token: Some(unk),
        ..Bpe::default()
    })?;
    definition.pre_tokenizer = metaspace(if prefix_space { "first" } else { "never" }, false);
    let mut stages = marks_and_bytes();
    stages.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    definition.decoder = decoders(stages);
    Ok(definition)
}

fn gemma(init: &mut Init) -> Result<Definition, TokenizeError> {
    let unk = init.arguments.text_of("unk_token");
    let mut definition = init.bpe(Bpe {
        fuse_unk: true,
        byte_fallback: true,
        unk_token: Some(unk),
        ..Bpe::default()
    })?;
    definition.normalizer = replace(" ", SPACE);
    definition.pre_tokenizer = split_text(" ", "MergedWithPrevious");
    definition.decoder = decoders(marks_and_bytes());
    Ok(definition)
}

fn tips_v2(init: &mut Init) -> Result<Definition, TokenizeError> {
    init.arguments.default("model_max_length", 64);
    let lowercase = init.arguments.flag("do_lower_case", true)?;
    let mut definition = init.bpe(Bpe {
        fuse_unk: true,
        byte_fallback: true,
        ..Bpe::default()
    })?;
    let first = lowercase.then(|| plain("Lowercase"));
    definition.normalizer = normalizers(first.into_iter().chain(init.precompiled()).collect());
    definition.pre_tokenizer =
        pre_tokenizers(vec![plain("WhitespaceSplit"), metaspace("always", true)]);
    definition.decoder = decoders(vec![
        metaspace("always", true),
        plain("ByteFallback"),
        plain("Fuse"),
    ]);
    Ok(definition)
}

fn nllb(init: &mut Init) -> Result<Definition, TokenizeError> {
    let arguments = &mut init.arguments;
    let given = |name: &str| arguments.keys.get(name).filter(|value| !value.is_null());
    let extra = match (
        given("extra_special_tokens"),
        given("additional_special_tokens"),
    ) {
        (Some(extra), _) | (None, Some(extra)) => extra.clone(),
        (None, None) => languages::NLLB.iter().copied().collect(),
    };
    arguments.keys.shift_remove("additional_special_tokens");
    arguments
        .keys
        .insert("extra_special_tokens".to_owned(), extra);
    let unk = arguments.text_of("unk_token");
    let mut definition = init.bpe(Bpe {
        unk_token: Some(unk),
        fuse_unk: true,
        ..Bpe::default()
    })?;
    if let Some(map) = init.precompiled() {
        definition.normalizer = normalizers(vec![map, replace_regex(" {2,}", " ")]);
    }
    around(&mut definition, "always");
    Ok(definition)
}

fn seamless_m4t(init: &mut Init) -> Result<Definition, TokenizeError> {
    let unk = init.arguments.text_of("unk_token");
    let mut definition = init.bpe(Bpe {
        unk_token: Some(unk),
        fuse_unk: true,
        ..Bpe::default()
    })?;
    definition.normalizer = normalizers(vec![
        replace_regex(r"[\n\r\t]", " "),
        plain("NFKC"),
        strip(false, true),
        replace_regex(" +▁", SPACE),
        replace_regex("^▁+$", ""),
        replace_regex(" {2,}", SPACE),
    ]);
    around(&mut definition, "first");
    Ok(definition)
}
