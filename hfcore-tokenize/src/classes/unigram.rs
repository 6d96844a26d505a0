//! Classes around a unigram model: T5, XLM-RoBERTa, ALBERT and others that come from SentencePiece.
//!
//! Reference: transformers 5.23 `models/{t5,lasr,videoprism,udop,xlm_roberta,camembert,albert,fnet,xlnet,barthez,
//! big_bird,rembert,pegasus,xglm,deberta_v2,mbart,mbart50,layoutxlm,mluke}/tokenization_*.py`.

use serde_json::{Value, json};

use super::arguments::{Token, invalid};
use super::behaviour::{Languages, Order};
use super::class::{Build, Class, Files, IDS_MASK_TYPES, Named, Wrap, as_it_is, text, wrapped};
use super::init::{Init, Ready};
use super::stages::{
    Piece, SPACE, metaspace, normalizers, plain, pre_tokenizers, replace, replace_regex, strip,
    template, token, typed,
};
use super::vocabulary::Vocabulary;
use crate::added_token::AddedToken;
use crate::convert::{MBART_LANGUAGES, MBART50_MORE_LANGUAGES};
use crate::engine::{Definition, ModelKind};
use crate::error::TokenizeError;

const fn class(
    name: &'static str,
    file: &'static str,
    tokens: &'static [Named],
    build: Build,
    finish: fn(&mut Ready) -> Result<(), TokenizeError>,
) -> Class {
    Class::rebuilt(
        name,
        Files::Model(file),
        Some(ModelKind::Unigram),
        tokens,
        build,
        finish,
    )
}

const SPIECE: &str = "spiece.model";
const BPE: &str = "sentencepiece.bpe.model";

const T5_TOKENS: &[Named] = &[
    text("eos_token", "</s>"),
    text("unk_token", "<unk>"),
    text("pad_token", "<pad>"),
];

/// fairseq's tokens.
const FAIRSEQ_TOKENS: &[Named] = &[
    text("bos_token", "<s>"),
    text("eos_token", "</s>"),
    text("sep_token", "</s>"),
    text("cls_token", "<s>"),
    text("unk_token", "<unk>"),
    text("pad_token", "<pad>"),
    text("mask_token", "<mask>"),
];

/// fairseq's tokens, the mask taking the space before it.
const FAIRSEQ_LEFT_TOKENS: &[Named] = &[
    text("bos_token", "<s>"),
    text("eos_token", "</s>"),
    text("sep_token", "</s>"),
    text("cls_token", "<s>"),
    text("unk_token", "<unk>"),
    text("pad_token", "<pad>"),
    wrapped("mask_token", "<mask>", Wrap::Left),
];

/// ALBERT's tokens.
const ALBERT_TOKENS: &[Named] = &[
    text("bos_token", "[CLS]"),
    text("eos_token", "[SEP]"),
    text("unk_token", "<unk>"),
    text("sep_token", "[SEP]"),
    text("pad_token", "<pad>"),
    text("cls_token", "[CLS]"),
    text("mask_token", "[MASK]"),
];

/// `T5Tokenizer`.
pub(super) const T5: Class = class(
    "T5Tokenizer",
    SPIECE,
    T5_TOKENS,
    |init| t5(init, 2),
    t5_ends,
);

/// `LasrTokenizer`: T5's, and a decoder that joins repeated tokens.
pub(super) const LASR: Class = class(
    "LasrTokenizer",
    SPIECE,
    T5_TOKENS,
    |init| t5(init, 3),
    |ready| {
        super::words::joins(ready)?;
        t5_ends(ready)
    },
);

/// `VideoPrismTokenizer`: T5's, without the end.
pub(super) const VIDEO_PRISM: Class = class(
    "VideoPrismTokenizer",
    SPIECE,
    T5_TOKENS,
    |init| t5(init, 2),
    as_it_is,
);

/// `UdopTokenizer`, for text alone: boxes are the caller's to keep by word ids.
pub(super) const UDOP: Class = class(
    "UdopTokenizer",
    SPIECE,
    &[
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
    ],
    |init| {
        let unk = init.arguments.text_of("unk_token");
        let unk_id = init.position(|(piece, _)| *piece == unk).unwrap_or(2);
        let mut definition = init.unigram(unk_id)?;
        words_marked(&mut definition, "always");
        Ok(definition)
    },
    t5_ends,
);

/// `XLMRobertaTokenizer`.
pub(super) const XLM_ROBERTA: Class = class(
    "XLMRobertaTokenizer",
    BPE,
    FAIRSEQ_TOKENS,
    |init| {
        let scheme = prefix_scheme(init, "never")?;
        let mut definition = init.unigram(3)?;
        definition.normalizer = init.precompiled().unwrap_or_default();
        words_marked(&mut definition, scheme);
        Ok(definition)
    },
    bos_eos_pairs,
);

/// `CamembertTokenizer`.
pub(super) const CAMEMBERT: Class = Class {
    model: None,
    ..class(
        "CamembertTokenizer",
        BPE,
        &[
            text("bos_token", "<s>"),
            text("eos_token", "</s>"),
            text("sep_token", "</s>"),
            text("cls_token", "<s>"),
            text("unk_token", "<unk>"),
            text("pad_token", "<pad>"),
            wrapped("mask_token", "<mask>", Wrap::LeftSpecial),
        ],
        |init| {
            let keys = &mut init.arguments.keys;
            if keys
                .get("additional_special_tokens")
                .is_none_or(Value::is_null)
            {
                let unused = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];
                keys.insert(
                    "additional_special_tokens".to_owned(),
                    unused.into_iter().collect(),
                );
            }
            let scheme = prefix_scheme(init, "never")?;
            let unk = init.arguments.text_of("unk_token");
            let unk_id = init.position(|(piece, _)| *piece == unk).unwrap_or(0);
            let mut definition = init.unigram(unk_id)?;
            definition.normalizer = init.precompiled().unwrap_or_default();
            words_marked(&mut definition, scheme);
            Ok(definition)
        },
        bos_eos_pairs,
    )
};

/// `AlbertTokenizer`.
pub(super) const ALBERT: Class = class("AlbertTokenizer", SPIECE, ALBERT_TOKENS, albert, as_it_is);

/// `FNetTokenizer`, which takes a tokenizer.json as it is.
pub(super) const FNET: Class =
    Class::inherited("FNetTokenizer", &ALBERT).taking(&["input_ids", "token_type_ids"]);

/// `RemBertTokenizer`.
pub(super) const REM_BERT: Class = class(
    "RemBertTokenizer",
    "sentencepiece.model",
    ALBERT_TOKENS,
    |init| {
        let keep_accents = init.arguments.flag("keep_accents", true)?;
        let lowercase = init.arguments.flag("do_lower_case", false)?;
        let scheme = prefix_scheme(init, "never")?;
        let mut stages = quotes();
        stages.push(replace_regex(" {2,}", " "));
        accents_and_case(&mut stages, keep_accents, lowercase);
        stages.extend(init.precompiled());
        let mut definition = init.unigram(2)?;
        definition.normalizer = normalizers(stages);
        marked(&mut definition, scheme);
        Ok(definition)
    },
    |ready| {
        ready.cls_sep(0)?;
        ready.add_as_special()
    },
);

/// `XLNetTokenizer`: the end is at the right, and pads are at the left.
pub(super) const XLNET: Class = class(
    "XLNetTokenizer",
    SPIECE,
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("unk_token", "<unk>"),
        text("sep_token", "<sep>"),
        text("pad_token", "<pad>"),
        text("cls_token", "<cls>"),
        wrapped("mask_token", "<mask>", Wrap::Left),
    ],
    |init| {
        let keys = &mut init.arguments.keys;
        if keys
            .get("additional_special_tokens")
            .is_none_or(Value::is_null)
        {
            let more = ["<eop>", "<eod>"];
            keys.insert(
                "additional_special_tokens".to_owned(),
                more.into_iter().collect(),
            );
        }
        let lowercase = init.arguments.flag("do_lower_case", false)?;
        let unk_id = init.arguments.number("unk_id", 0)?;
        let mut stages = quotes();
        accents_and_case(&mut stages, false, lowercase);
        stages.extend(init.precompiled());
        let mut definition = init.unigram(unk_id)?;
        definition.normalizer = normalizers(stages);
        words_marked(&mut definition, "always");
        Ok(definition)
    },
    |ready| {
        let (sep, cls) = (ready.special("sep_token")?, ready.special("cls_token")?);
        let single = [Piece::A(0), token(&sep), typed(&cls, 2)];
        let pair = [
            Piece::A(0),
            token(&sep),
            Piece::B(1),
            typed(&sep, 1),
            typed(&cls, 2),
        ];
        ready.set(&template(&single, &pair))
    },
)
.left();

/// `BarthezTokenizer`.
pub(super) const BARTHEZ: Class = Class {
    model: None,
    ..class(
        "BarthezTokenizer",
        BPE,
        FAIRSEQ_LEFT_TOKENS,
        |init| {
            let scheme = prefix_scheme(init, "never")?;
            let mut definition = init.unigram(3)?;
            definition.normalizer = normalizers(vec![
                replace_regex(r"\s{2,}|[\n\r\t]", " "),
                plain("NFC"),
                strip(false, true),
            ]);
            marked(&mut definition, scheme);
            Ok(definition)
        },
        as_it_is,
    )
};

/// `BigBirdTokenizer`.
pub(super) const BIG_BIRD: Class = class(
    "BigBirdTokenizer",
    SPIECE,
    &[
        wrapped("bos_token", "<s>", Wrap::Added),
        wrapped("eos_token", "</s>", Wrap::Added),
        wrapped("unk_token", "<unk>", Wrap::Added),
        wrapped("pad_token", "<pad>", Wrap::Added),
        wrapped("mask_token", "[MASK]", Wrap::Left),
        wrapped("cls_token", "[CLS]", Wrap::Added),
        wrapped("sep_token", "[SEP]", Wrap::Added),
    ],
    |init| {
        let scheme = prefix_scheme(init, "never")?;
        let unk_id = scoreless_unk(init).unwrap_or(100);
        let mut definition = init.unigram(unk_id)?;
        definition.normalizer =
            normalizers(vec![strip(false, false), replace_regex(" {2,}", SPACE)]);
        marked(&mut definition, scheme);
        Ok(definition)
    },
    |ready| ready.cls_sep(0),
);

/// `PegasusTokenizer`.
pub(super) const PEGASUS: Class = class(
    "PegasusTokenizer",
    SPIECE,
    &[
        text("pad_token", "<pad>"),
        text("eos_token", "</s>"),
        text("unk_token", "<unk>"),
        text("mask_token", "<mask_2>"),
        text("mask_token_sent", "<mask_1>"),
    ],
    pegasus,
    |ready| {
        let eos = ready.special("eos_token")?;
        let single = [Piece::A(0), token(&eos)];
        let pair = [Piece::A(0), Piece::B(0), token(&eos)];
        ready.set(&template(&single, &pair))
    },
);

/// `XGLMTokenizer`: the end comes first.
pub(super) const XGLM: Class = Class {
    files: Files::None,
    ..class(
        "XGLMTokenizer",
        SPIECE,
        &[
            text("bos_token", "<s>"),
            text("eos_token", "</s>"),
            text("sep_token", "</s>"),
            text("cls_token", "<s>"),
            text("unk_token", "<unk>"),
            text("pad_token", "<pad>"),
        ],
        |init| {
            let mut extra = init.arguments.list("additional_special_tokens");
            for index in 0..7 {
                let word = Token::Text(format!("<madeupword{index}>"));
                if !extra.contains(&word) {
                    extra.push(word);
                }
            }
            init.arguments.set_list("additional_special_tokens", &extra);
            let scheme = prefix_scheme(init, "never")?;
            let mut stages: Vec<Value> = init.precompiled().into_iter().collect();
            stages.push(replace_regex(" {2,}", " "));
            let mut definition = init.unigram(3)?;
            definition.normalizer = normalizers(stages);
            marked(&mut definition, scheme);
            Ok(definition)
        },
        |ready| {
            let eos = ready.special("eos_token")?;
            let single = [token(&eos), Piece::A(0)];
            let pair = [
                token(&eos),
                Piece::A(0),
                token(&eos),
                token(&eos),
                Piece::B(0),
            ];
            ready.set(&template(&single, &pair))
        },
    )
};

/// `DebertaV2Tokenizer`.
pub(super) const DEBERTA_V2: Class = class(
    "DebertaV2Tokenizer",
    "spm.model",
    &[
        text("bos_token", "[CLS]"),
        text("eos_token", "[SEP]"),
        text("unk_token", "[UNK]"),
        text("sep_token", "[SEP]"),
        text("cls_token", "[CLS]"),
        text("pad_token", "[PAD]"),
        text("mask_token", "[MASK]"),
    ],
    |init| {
        let arguments = &init.arguments;
        let lowercase = arguments.flag("do_lower_case", false)?;
        let punctuation = arguments.flag("split_by_punct", false)?;
        let unk_id = arguments.number("unk_id", 1)?;
        let scheme = prefix_scheme(init, "first")?;
        let unk_id = scoreless_unk(init).unwrap_or(unk_id);
        let mut definition = init.unigram(unk_id)?;
        let case = lowercase.then(|| plain("Lowercase"));
        let rest = [
            replace_regex(r"\s{2,}|[\n\r\t]", " "),
            plain("NFC"),
            strip(false, true),
        ];
        definition.normalizer = normalizers(case.into_iter().chain(rest).collect());
        let first = punctuation.then(|| json!({"type": "Punctuation", "behavior": "Isolated"}));
        let words = first.into_iter().chain([metaspace(scheme, true)]);
        definition.pre_tokenizer = pre_tokenizers(words.collect());
        definition.decoder = metaspace(scheme, true);
        Ok(definition)
    },
    |ready| ready.cls_sep(0),
)
.taking(IDS_MASK_TYPES);

/// `LayoutXLMTokenizer`, for text alone: boxes are the caller's to keep by word ids.
pub(super) const LAYOUT_XLM: Class = class(
    "LayoutXLMTokenizer",
    BPE,
    FAIRSEQ_LEFT_TOKENS,
    |init| {
        let scheme = prefix_scheme(init, "never")?;
        let mut definition = init.unigram(3)?;
        definition.normalizer =
            normalizers(vec![strip(false, true), replace_regex(" {2,}", SPACE)]);
        marked(&mut definition, scheme);
        Ok(definition)
    },
    |ready| {
        let (cls, sep) = (ready.special("cls_token")?, ready.special("sep_token")?);
        double_sep(ready, &cls, &sep, 0)
    },
);

/// `MLukeTokenizer`, for text alone, without entities.
pub(super) const MLUKE: Class = Class {
    model: None,
    ..class(
        "MLukeTokenizer",
        BPE,
        &[
            text("bos_token", "<s>"),
            text("eos_token", "</s>"),
            text("sep_token", "</s>"),
            text("cls_token", "<s>"),
            text("unk_token", "<unk>"),
            text("pad_token", "<pad>"),
            wrapped("mask_token", "<mask>", Wrap::Left),
            text("entity_1_token", "<ent>"),
            text("entity_2_token", "<ent2>"),
            text("entity_unk_token", "[UNK]"),
            text("entity_pad_token", "[PAD]"),
            text("entity_mask_token", "[MASK]"),
            text("entity_mask2_token", "[MASK2]"),
        ],
        |init| {
            mluke_entities(init);
            let mut definition = init.unigram(0)?;
            definition.normalizer = normalizers(quotes());
            marked(&mut definition, "always");
            Ok(definition)
        },
        |ready| {
            ready.add_as_special()?;
            let (cls, sep) = (ready.special("cls_token")?, ready.special("sep_token")?);
            double_sep(ready, &cls, &sep, 1)
        },
    )
};

/// `MBartTokenizer`.
pub(super) const MBART: Class = class(
    "MBartTokenizer",
    BPE,
    FAIRSEQ_LEFT_TOKENS,
    |init| {
        let mut extra: Vec<Token> = MBART_LANGUAGES
            .iter()
            .map(|&code| Token::Text(code.to_owned()))
            .collect();
        for token in init.arguments.list("additional_special_tokens") {
            if !extra.contains(&token) {
                extra.push(token);
            }
        }
        init.arguments.set_list("additional_special_tokens", &extra);
        let mut definition = init.unigram(3)?;
        words_marked(&mut definition, "always");
        Ok(definition)
    },
    |ready| Languages::new(ready, Order::EosCode, "en_XX")?.install(ready),
);

/// `MBart50Tokenizer`.
pub(super) const MBART50: Class = class(
    "MBart50Tokenizer",
    BPE,
    &[
        text("eos_token", "</s>"),
        text("sep_token", "</s>"),
        text("cls_token", "<s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        wrapped("mask_token", "<mask>", Wrap::Left),
    ],
    mbart50,
    |ready| {
        for code in mbart50_codes() {
            if !ready.extra.iter().any(|known| known.content() == code) {
                ready.extra.push(Token::Text(code.to_owned()));
            }
        }
        Languages::new(ready, Order::CodeEos, "en_XX")?.install(ready)
    },
);

/// `always` where a space is put before a text, else `otherwise`.
fn prefix_scheme(init: &Init, otherwise: &'static str) -> Result<&'static str, TokenizeError> {
    let prefix = init.arguments.flag("add_prefix_space", true)?;
    Ok(if prefix { "always" } else { otherwise })
}

/// Words marked before.
fn marked(definition: &mut Definition, scheme: &str) {
    definition.pre_tokenizer = metaspace(scheme, true);
    definition.decoder = metaspace(scheme, true);
}

/// Split at blanks, and the words marked before.
fn words_marked(definition: &mut Definition, scheme: &str) {
    marked(definition, scheme);
    let marks = std::mem::take(&mut definition.pre_tokenizer);
    definition.pre_tokenizer = pre_tokenizers(vec![plain("WhitespaceSplit"), marks]);
}

/// TeX's quotes to plain ones.
fn quotes() -> Vec<Value> {
    vec![replace("``", "\""), replace("''", "\"")]
}

fn accents_and_case(stages: &mut Vec<Value>, keep_accents: bool, lowercase: bool) {
    if !keep_accents {
        stages.extend([plain("NFKD"), plain("StripAccents")]);
    }
    if lowercase {
        stages.push(plain("Lowercase"));
    }
}

/// Where the unknown token is, if its score is 0.
fn scoreless_unk(init: &Init) -> Option<usize> {
    let unk = init.arguments.text_of("unk_token");
    init.position(|(piece, score)| *piece == unk && *score == 0.0)
}

fn albert(init: &mut Init) -> Result<Definition, TokenizeError> {
    let keep_accents = init.arguments.flag("keep_accents", false)?;
    let lowercase = init.arguments.flag("do_lower_case", true)?;
    let scheme = prefix_scheme(init, "never")?;
    let mut stages = quotes();
    accents_and_case(&mut stages, keep_accents, lowercase);
    stages.extend(init.precompiled());
    let cls = (
        "[CLS]".to_owned(),
        albert_id(init, &init.arguments.text_of("cls_token"))?,
    );
    let sep = (
        "[SEP]".to_owned(),
        albert_id(init, &init.arguments.text_of("sep_token"))?,
    );
    let mut definition = init.unigram(1)?;
    definition.normalizer = normalizers(stages);
    words_marked(&mut definition, scheme);
    let single = [token(&cls), Piece::A(0), token(&sep)];
    let pair = [
        token(&cls),
        Piece::A(0),
        token(&sep),
        Piece::B(1),
        typed(&sep, 1),
    ];
    definition.post_processor = template(&single, &pair);
    Ok(definition)
}

/// The post-processor is made before tokens are added, so the vocabulary must have them.
fn albert_id(init: &Init, token: &str) -> Result<u32, TokenizeError> {
    let position = init.position(|(piece, _)| piece == token);
    position
        .and_then(|position| u32::try_from(position).ok())
        .ok_or_else(|| {
            invalid(
                "cls_token",
                format!(
                    "the vocabulary of an {} needs the token {token:?}",
                    init.class.name
                ),
            )
        })
}

/// `bos $A eos` and `bos $A eos eos $B eos`.
fn bos_eos_pairs(ready: &mut Ready) -> Result<(), TokenizeError> {
    let (bos, eos) = (ready.special("bos_token")?, ready.special("eos_token")?);
    double_sep(ready, &bos, &eos, 0)
}

fn double_sep(
    ready: &mut Ready,
    first: &(String, u32),
    last: &(String, u32),
    second_type: u32,
) -> Result<(), TokenizeError> {
    let single = [token(first), Piece::A(0), token(last)];
    let pair = [
        token(first),
        Piece::A(0),
        token(last),
        token(last),
        Piece::B(second_type),
        typed(last, second_type),
    ];
    ready.set(&template(&single, &pair))
}

fn t5(init: &mut Init, unk_id: usize) -> Result<Definition, TokenizeError> {
    let arguments = &mut init.arguments;
    let count = arguments.number("extra_ids", 100)?;
    let sentinels = (0..count).map(|index| Token::Text(format!("<extra_id_{index}>")));
    let given = arguments
        .keys
        .get("additional_special_tokens")
        .is_some_and(|list| !list.is_null());
    if given {
        let mut list = arguments.list("additional_special_tokens");
        let found = list
            .iter()
            .filter(|token| token.content().contains("<extra_id_"))
            .count();
        if found == 0 {
            list.extend(sentinels);
            arguments.set_list("additional_special_tokens", &list);
        } else if count > 0 && count != found {
            return Err(invalid(
                "additional_special_tokens",
                format!("extra_ids is {count}, but {found} tokens `<extra_id_…>` are listed"),
            ));
        }
    } else {
        let list: Vec<Token> = sentinels.collect();
        arguments.set_list("additional_special_tokens", &list);
    }
    let mut definition = init.unigram(unk_id)?;
    definition.normalizer = init.precompiled().unwrap_or_default();
    words_marked(&mut definition, "always");
    Ok(definition)
}

/// Each text ends in `</s>`, whatever `eos_token` is called.
fn t5_ends(ready: &mut Ready) -> Result<(), TokenizeError> {
    let end = ("</s>".to_owned(), ready.special("eos_token")?.1);
    let single = [Piece::A(0), token(&end)];
    let pair = [Piece::A(0), token(&end), Piece::B(0), token(&end)];
    ready.set(&template(&single, &pair))
}

fn pegasus(init: &mut Init) -> Result<Definition, TokenizeError> {
    let arguments = &mut init.arguments;
    let offset = arguments.number("offset", 103)?;
    let sentence = arguments.token("mask_token_sent");
    let given = arguments.list("additional_special_tokens");
    let listed = sentence
        .as_ref()
        .is_some_and(|sentence| given.contains(sentence));
    let mut extra: Vec<Token> = sentence.filter(|_| !listed).into_iter().collect();
    extra.extend((2..offset).map(|index| Token::Text(format!("<unk_{index}>"))));
    arguments.set_list("additional_special_tokens", &extra);
    let unk = arguments.text_of("unk_token");
    let unk_id = init.position_from(1, |(piece, score)| *piece == unk && *score == 0.0);
    let unk_id = unk_id.ok_or_else(|| {
        invalid(
            "unk_token",
            format!("the vocabulary needs {unk:?} with the score 0, behind the first piece"),
        )
    })?;
    let blanks = replace_regex(" {2,}", " ");
    let first = init
        .precompiled()
        .unwrap_or_else(|| replace_regex(r"\n", " "));
    let mut definition = init.unigram(unk_id)?;
    definition.normalizer = normalizers(vec![first, blanks]);
    marked(&mut definition, "always");
    Ok(definition)
}

fn mbart50_codes() -> impl Iterator<Item = &'static str> {
    MBART_LANGUAGES
        .iter()
        .chain(&MBART50_MORE_LANGUAGES)
        .copied()
}

fn mbart50(init: &mut Init) -> Result<Definition, TokenizeError> {
    if let Vocabulary::Pieces(pieces) = &mut init.vocabulary {
        let coded = mbart50_codes().any(|code| pieces.iter().any(|(piece, _)| piece == code));
        if !coded {
            let arguments = &init.arguments;
            let first = ["cls_token", "pad_token", "eos_token", "unk_token"]
                .map(|name| (arguments.text_of(name), 0.0));
            let count = pieces.len().min(3);
            pieces.splice(..count, first);
            pieces.extend(mbart50_codes().map(|code| (code.to_owned(), 0.0)));
            pieces.push((arguments.text_of("mask_token"), 0.0));
        }
    }
    let mut extra = init.arguments.list("additional_special_tokens");
    extra.extend(mbart50_codes().map(|code| Token::Text(code.to_owned())));
    init.arguments.set_list("additional_special_tokens", &extra);
    let mut stages: Vec<Value> = init.precompiled().into_iter().collect();
    stages.push(replace_regex(" {2,}", " "));
    let mut definition = init.unigram(3)?;
    definition.normalizer = normalizers(stages);
    marked(&mut definition, "always");
    Ok(definition)
}

/// The marks around entities, and entities themselves, are special tokens.
fn mluke_entities(init: &mut Init) {
    let arguments = &mut init.arguments;
    let mut extra = arguments.list("extra_special_tokens");
    extra.extend(arguments.list("additional_special_tokens"));
    arguments.keys.shift_remove("additional_special_tokens");
    let mut push = |token: AddedToken| {
        if !extra.iter().any(|known| known.content() == token.content) {
            extra.push(Token::Added(token));
        }
    };
    for (name, old_name, default) in [
        ("entity_1_token", "entity_token_1", "<ent>"),
        ("entity_2_token", "entity_token_2", "<ent2>"),
    ] {
        let given = arguments.keys.shift_remove(old_name);
        let given = given.as_ref().and_then(Token::from_value);
        let entity = match given.or_else(|| arguments.token(name)) {
            Some(Token::Added(token)) => token,
            Some(Token::Text(text)) => AddedToken::new(format!("{SPACE}{text}")),
            None => AddedToken::new(format!("{SPACE}{default}")),
        };
        arguments
            .keys
            .insert(name.to_owned(), entity.content.as_str().into());
        push(entity);
    }
    for name in [
        "entity_unk_token",
        "entity_pad_token",
        "entity_mask_token",
        "entity_mask2_token",
    ] {
        push(AddedToken {
            special: true,
            normalized: Some(false),
            ..AddedToken::new(arguments.text_of(name))
        });
    }
    arguments.set_list("extra_special_tokens", &extra);
    arguments.default(
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        true,
    );
}
