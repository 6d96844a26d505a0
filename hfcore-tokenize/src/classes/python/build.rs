//! The three classes, and how one is made from its files (`PythonBackend.__init__`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::split::Splitter;
use super::{Added, Frames, Python, Rule, is_blank};
use crate::added_token::AddedToken;
use crate::classes::arguments::{Token, invalid, parse};
use crate::classes::class::{Class, Files, IDS, Named, Rule as ClassRule, text};
use crate::classes::init::{Init, Ready, special_tokens};
use crate::classes::stages::{Piece, template, token, typed};
use crate::engine::{self, Definition, MAX_ADDED, MAX_PIECE, MAX_VOCAB, Model, WordLevel};
use crate::error::{TOKENIZER_JSON, TokenizeError, shortened};
use crate::files::TokenizerFiles;
use crate::special::Side;

/// What a class takes out of its files and arguments.
pub(in crate::classes) struct Parts {
    file: &'static str,
    vocab: Vec<(String, u32)>,
    vocab_size: usize,
    /// Added tokens by id that the class has before the configuration's.
    own: BTreeMap<u32, AddedToken>,
    /// Whether the vocabulary's tokens of several characters are added tokens that take the blanks around them.
    adds_long: bool,
    /// Whether texts are cut at all tokens of the vocabulary.
    cuts_all: bool,
    rule: Rule,
}

/// Reads the parts of a class.
pub(in crate::classes) type Read = fn(&mut Init, &TokenizerFiles) -> Result<Parts, TokenizeError>;

const fn class(
    name: &'static str,
    tokens: &'static [Named],
    read: Read,
    finish: fn(&mut Ready) -> Result<(), TokenizeError>,
) -> Class {
    Class {
        name,
        files: Files::None,
        model: None,
        padding_side: Side::Right,
        inputs: IDS,
        tokens,
        rule: ClassRule::Code(read),
        finish,
    }
}

/// `ByT5Tokenizer`: a text's bytes, and `</s>`.
pub(in crate::classes) const BYT5: Class = class(
    "ByT5Tokenizer",
    &[
        text("eos_token", "</s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
    ],
    byt5,
    |ready| {
        let eos = token(&ready.special("eos_token")?);
        let single = [Piece::A(0), eos.clone()];
        let pair = [Piece::A(0), eos.clone(), Piece::B(0), eos];
        ready.set(&template(&single, &pair))
    },
);

/// `Wav2Vec2CTCTokenizer`: characters, and speech recognised frame by frame.
pub(in crate::classes) const WAV2VEC2: Class = class(
    "Wav2Vec2CTCTokenizer",
    &[
        text("bos_token", "<s>"),
        text("eos_token", "</s>"),
        text("unk_token", "<unk>"),
        text("pad_token", "<pad>"),
        text("word_delimiter_token", DELIMITER),
    ],
    wav2vec2,
    |_| Ok(()),
);

/// `EsmTokenizer`: proteins.
pub(in crate::classes) const ESM: Class = class(
    "EsmTokenizer",
    &[
        text("unk_token", "<unk>"),
        text("cls_token", "<cls>"),
        text("pad_token", "<pad>"),
        text("mask_token", "<mask>"),
        text("eos_token", "<eos>"),
    ],
    esm,
    |ready| {
        let (cls, eos) = (ready.special("cls_token")?, ready.special("eos_token")?);
        let single = [token(&cls), Piece::A(0), token(&eos)];
        let second = [Piece::B(1), typed(&eos, 1)];
        let pair: Vec<Piece> = single.iter().cloned().chain(second).collect();
        ready.set(&template(&single, &pair))
    },
);

/// What stands for a space, whatever the configuration says: `from_pretrained` takes its `word_delimiter_token` for one
/// of the model's own special tokens, and the class is made without.
const DELIMITER: &str = "|";

fn byt5(init: &mut Init, _: &TokenizerFiles) -> Result<Parts, TokenizeError> {
    let arguments = &mut init.arguments;
    let extra_ids = arguments.number("extra_ids", 125)?;
    let key = "additional_special_tokens";
    let given = arguments.list(key);
    if extra_ids > 0 && arguments.keys.get(key).is_none_or(Value::is_null) {
        let name = |id| Token::Text(format!("<extra_id_{id}>"));
        arguments.set_list(key, &(0..extra_ids).map(name).collect::<Vec<_>>());
    } else if extra_ids > 0 && !given.is_empty() {
        let mut sentinels: Vec<&str> = given.iter().map(Token::content).collect();
        sentinels.retain(|token| token.contains("extra_id"));
        sentinels.sort_unstable();
        sentinels.dedup();
        if sentinels.len() != extra_ids {
            let problem = format!(
                "expected the extra_ids {extra_ids} tokens with \"extra_id\", found {}",
                sentinels.len()
            );
            return Err(invalid(key, problem));
        }
    }
    let mut own = BTreeMap::new();
    for (id, name) in (0..).zip(["pad_token", "eos_token", "unk_token"]) {
        let token = match arguments.token(name) {
            Some(Token::Added(token)) => token,
            Some(Token::Text(text)) => AddedToken {
                lstrip: true,
                rstrip: true,
                ..AddedToken::new(text)
            },
            None => return Err(invalid(name, "this class needs the token, found none")),
        };
        arguments.keys.insert(name.to_owned(), token.to_value());
        own.insert(id, token);
    }
    let byte = |byte: u8| (char::from(byte).to_string(), u32::from(byte) + 3);
    Ok(Parts {
        file: crate::error::TOKENIZER_CONFIG,
        vocab: (0..=u8::MAX).map(byte).collect(),
        vocab_size: 256,
        own,
        adds_long: false,
        cuts_all: false,
        rule: Rule::Bytes,
    })
}

fn wav2vec2(init: &mut Init, files: &TokenizerFiles) -> Result<Parts, TokenizeError> {
    const FILE: &str = "vocab.json";
    let arguments = &mut init.arguments;
    let json = file(files, "Wav2Vec2CTCTokenizer", FILE)?;
    let mut vocab: Map<String, Value> = parse(json, FILE)?;
    let at = |at: String, problem: String| TokenizeError::Invalid {
        file: FILE,
        at,
        problem,
    };
    if let Some(language) = arguments.text("target_lang")? {
        vocab = match vocab.shift_remove(&language) {
            Some(Value::Object(vocab)) => vocab,
            Some(_) => return Err(at(language, "expected an object of token to id".to_owned())),
            None => {
                let known: Vec<&str> = vocab.keys().take(10).map(String::as_str).collect();
                let problem = format!(
                    "the file has no language {:?}, but {}",
                    shortened(&language, 40),
                    shortened(&known.join(", "), 80)
                );
                return Err(invalid("target_lang", problem));
            }
        };
    }
    let id = |(token, id): (String, Value)| {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let number = number.filter(|&id| (id as usize) < MAX_VOCAB);
        number.map(|id| (token.clone(), id)).ok_or_else(|| {
            let problem = if id.is_object() {
                "it holds vocabularies by language; name one as target_lang".to_owned()
            } else {
                format!(
                    "expected an id below {MAX_VOCAB}, found {}",
                    shortened(&id.to_string(), 20)
                )
            };
            at(format!("{:?}", shortened(&token, 40)), problem)
        })
    };
    let vocab = vocab.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
    let replacement = match arguments.keys.get("replace_word_delimiter_char") {
        None => Some(" ".to_owned()),
        Some(_) => arguments.text("replace_word_delimiter_char")?,
    };
    if arguments.text("word_delimiter_token")?.is_none() {
        return Err(invalid(
            "word_delimiter_token",
            "expected a text, found null",
        ));
    }
    Ok(Parts {
        file: FILE,
        vocab_size: vocab.len(),
        vocab,
        own: BTreeMap::new(),
        adds_long: true,
        cuts_all: false,
        rule: Rule::Frames(Frames {
            lowers: arguments.flag("do_lower_case", false)?,
            delimiter: DELIMITER.to_owned(),
            replacement: replacement.ok_or_else(|| {
                invalid("replace_word_delimiter_char", "expected a text, found null")
            })?,
            pad: arguments
                .token("pad_token")
                .map(|token| token.content().to_owned()),
        }),
    })
}

fn esm(_: &mut Init, files: &TokenizerFiles) -> Result<Parts, TokenizeError> {
    const FILE: &str = "vocab.txt";
    let text = std::str::from_utf8(file(files, "EsmTokenizer", FILE)?).map_err(|error| {
        TokenizeError::Invalid {
            file: FILE,
            at: format!("byte {}", error.valid_up_to()),
            problem: "expected UTF-8".to_owned(),
        }
    })?;
    let text = text.replace("\r\n", "\n");
    // Python's `str.splitlines`, which gives no empty line at the end.
    let ends = |c| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines: Vec<&str> = text.split(ends).collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let tokens = lines
        .iter()
        .map(|line| line.trim_matches(is_blank).to_owned());
    let vocab: Vec<(String, u32)> = tokens.zip(0..).collect();
    Ok(Parts {
        file: FILE,
        vocab_size: vocab.len(),
        vocab,
        own: BTreeMap::new(),
        adds_long: false,
        cuts_all: true,
        rule: Rule::Blanks,
    })
}

fn file<'a>(
    files: &'a TokenizerFiles,
    class: &'static str,
    name: &'static str,
) -> Result<&'a [u8], TokenizeError> {
    files.get(name).ok_or_else(|| TokenizeError::NoFiles {
        class,
        wanted: name.to_owned(),
        found: match files.names().collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "none of any tokenizer".to_owned(),
            names => names,
        },
    })
}

/// Makes a tokenizer of such a class.
pub(in crate::classes) fn load(
    class: &'static Class,
    read: Read,
    mut init: Init,
    files: &TokenizerFiles,
) -> Result<Ready, TokenizeError> {
    if files.get(TOKENIZER_JSON).is_some() {
        return Err(TokenizeError::UnsupportedClass {
            class: class.name.to_owned(),
            reason: "it is written in Python and does not read the tokenizer.json beside it; remove that file, or \
                name PreTrainedTokenizerFast as tokenizer_class to use it",
        });
    }
    init.tokens();
    let parts = read(&mut init, files)?;
    let mut arguments = init.arguments;
    let (named, extra) = special_tokens(&mut arguments)?;
    let mut special: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for token in named.iter().map(|(_, token)| token).chain(&extra) {
        if seen.insert(token.content().to_owned()) {
            special.push(token.content().to_owned());
        }
    }

    let base: HashMap<String, u32> = parts.vocab.iter().cloned().collect();
    let added = added_tokens(&parts, &base, &arguments.added_tokens_decoder, &special)?;
    let mut vocab = parts.vocab;
    vocab.extend(
        added
            .iter()
            .filter(|(_, token)| !base.contains_key(&token.content))
            .map(|(&id, token)| (token.content.clone(), id)),
    );
    let unknown = arguments.token("unk_token").map(|token| {
        let id = base.get(token.content()).copied();
        (token.content().to_owned(), id)
    });
    let cuts: Vec<&str> = added
        .values()
        .map(|token| token.content.as_str())
        .chain(
            parts
                .cuts_all
                .then_some(base.keys())
                .into_iter()
                .flatten()
                .map(String::as_str),
        )
        .collect();
    if let Some(long) = cuts.iter().find(|token| token.len() > MAX_PIECE) {
        return Err(TokenizeError::Invalid {
            file: parts.file,
            at: format!("{:?}", shortened(long, 40)),
            problem: format!(
                "the token has {} bytes; at most {MAX_PIECE} can be searched for",
                long.len()
            ),
        });
    }
    let delimiter = match &parts.rule {
        Rule::Frames(frames) => Some(frames.delimiter.clone()),
        Rule::Bytes | Rule::Blanks => None,
    };
    let python = Python {
        splitter: Splitter::new(cuts),
        added: added
            .iter()
            .map(|(&id, token)| {
                let added = Added {
                    id,
                    lstrip: token.lstrip,
                    rstrip: token.rstrip,
                };
                (token.content.clone(), added)
            })
            .collect(),
        skipped: special
            .into_iter()
            .filter(|token| Some(token) != delimiter.as_ref())
            .collect(),
        vocab: base,
        vocab_size: parts.vocab_size,
        unknown,
        end: arguments
            .token("eos_token")
            .filter(|_| matches!(parts.rule, Rule::Bytes))
            .and_then(|token| {
                let mut ids = added.iter();
                ids.find(|(_, known)| known.content == token.content())
            })
            .map(|(&id, _)| id),
        rule: parts.rule,
    };
    let model = Model::WordLevel(WordLevel {
        vocab,
        unk_token: arguments.text_of("unk_token"),
    });
    let mut definition = Definition::new(parts.file, model);
    definition.added_tokens = added
        .into_iter()
        .map(|(id, token)| engine::Added {
            id: u64::from(id),
            normalized: token.normalized.unwrap_or(!token.special),
            content: token.content,
            single_word: false,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            special: token.special,
        })
        .collect();
    let mut ready = Ready::whole(class, definition, arguments, named, extra)?;
    ready.behaviour.python = Some(Arc::new(python));
    Ok(ready)
}

/// The added tokens by id: the class's, the configuration's over them, special ones that neither has, and what of the
/// vocabulary the class adds.
fn added_tokens(
    parts: &Parts,
    base: &HashMap<String, u32>,
    decoder: &BTreeMap<i64, AddedToken>,
    special: &[String],
) -> Result<BTreeMap<u32, AddedToken>, TokenizeError> {
    let mut added = parts.own.clone();
    for (&id, token) in decoder {
        let at = || format!("added_tokens_decoder[\"{id}\"]");
        let number = u32::try_from(id)
            .ok()
            .filter(|&id| (id as usize) < MAX_VOCAB);
        let number =
            number.ok_or_else(|| invalid(at(), format!("expected an id below {MAX_VOCAB}")))?;
        if token.single_word {
            return Err(invalid(at(), "single_word is not supported for this class"));
        }
        added.insert(number, token.clone());
    }
    if added.len() + special.len() > MAX_ADDED {
        return Err(invalid(
            "added_tokens_decoder",
            format!("more than {MAX_ADDED} tokens"),
        ));
    }
    let mut ids: HashMap<String, u32> = HashMap::new();
    for (&id, token) in &added {
        let other = ids.insert(token.content.clone(), id);
        if let Some(other) = other.or(base.get(&token.content).copied())
            && other != id
        {
            let problem = format!(
                "the token {:?} has the id {other} already",
                shortened(&token.content, 40)
            );
            return Err(invalid(format!("added_tokens_decoder[\"{id}\"]"), problem));
        }
    }
    // The next id is the number of tokens, whatever their ids are.
    let count = base
        .keys()
        .filter(|token| !ids.contains_key(*token))
        .count()
        + ids.len();
    let mut next = u32::try_from(count).unwrap_or(u32::MAX);
    for token in special {
        if token.is_empty() || ids.contains_key(token) {
            continue;
        }
        let id = base.get(token).copied().unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        let properties = AddedToken {
            special: true,
            normalized: Some(false),
            ..AddedToken::new(token.as_str())
        };
        if let Some(other) = added.insert(id, properties) {
            let problem = format!(
                "its token {:?} has the id that {:?} gets, as the number of tokens before it",
                shortened(&other.content, 40),
                shortened(token, 40)
            );
            return Err(invalid(format!("added_tokens_decoder[\"{id}\"]"), problem));
        }
    }
    if parts.adds_long {
        for (token, id) in base
            .iter()
            .filter(|(token, _)| token.chars().nth(1).is_some())
        {
            let properties = AddedToken {
                lstrip: true,
                rstrip: true,
                normalized: Some(false),
                ..AddedToken::new(token.as_str())
            };
            added.insert(*id, properties);
        }
    }
    Ok(added)
}
