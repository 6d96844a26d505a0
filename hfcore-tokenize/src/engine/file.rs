//! `tokenizer.json` as a whole: one pass that reads every section into what the engine needs.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::{AddedToken, TokenizerBuilder};

use super::decoder::{self, StreamPlan};
use super::model::{ModelKind, ModelRecord};
use super::normalizer::CheckedNormalizer;
use super::pre_tokenizer::CheckedPreTokenizer;
use super::{Engine, MAX_ADDED, MAX_FILE, MAX_TOKEN, MAX_VOCAB, post_processor};
use crate::error::{TOKENIZER_JSON, TokenizeError, shortened};

/// Longest padding and truncation that a file may ask for, in tokens.
const MAX_LENGTH: u64 = 1 << 24;

/// What a `tokenizer.json` holds.
pub(crate) struct File {
    pub(crate) engine: Engine,
    pub(crate) model: ModelKind,
    pub(crate) stream: StreamPlan,
    /// The `padding` section, whose side and token are defaults of transformers' configuration.
    pub(crate) padding: Value,
    /// The `truncation` section; likewise.
    pub(crate) truncation: Value,
    /// The added tokens in file order.
    pub(crate) added: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Sections<'a> {
    version: Option<String>,
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    added_tokens: Option<Vec<AddedRecord>>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AddedRecord {
    id: u64,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

/// Reads, checks and builds.
pub(crate) fn load(json: &[u8]) -> Result<File, TokenizeError> {
    let found = json.len();
    if found > MAX_FILE {
        return Err(TokenizeError::TooLarge {
            file: TOKENIZER_JSON,
            found,
            limit: MAX_FILE,
        });
    }
    let parse = |error: serde_json::Error| TokenizeError::Json {
        file: TOKENIZER_JSON,
        message: error.to_string(),
    };
    let json = std::str::from_utf8(json).map_err(|error| TokenizeError::Json {
        file: TOKENIZER_JSON,
        message: error.to_string(),
    })?;
    let sections: Sections<'_> =
        serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(parse)?;
    if let Some(version) = sections
        .version
        .as_deref()
        .filter(|&version| version != "1.0")
    {
        return Err(TokenizeError::unsupported(
            "version",
            format!("the version {:?}", shortened(version, 40)),
        ));
    }
    check_lengths(&sections.padding, &sections.truncation)?;

    let model = sections
        .model
        .ok_or_else(|| TokenizeError::invalid("model", "missing"))?;
    let record: ModelRecord = serde_json::from_str(model.get())
        .map_err(|error| TokenizeError::invalid("model", error.to_string()))?;
    let (kind, model) = record.build()?;
    let (decoder, stream) = decoder::read_checked(&sections.decoder)?;
    let (post_processor, named) = post_processor::read_checked(&sections.post_processor)?;
    let mut engine = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(CheckedNormalizer::read(&sections.normalizer)?)
        .with_pre_tokenizer(CheckedPreTokenizer::read(&sections.pre_tokenizer)?)
        .with_post_processor(post_processor)
        .with_decoder(decoder)
        .build()
        .map_err(TokenizeError::from_engine)?;

    let added = added_tokens(sections.added_tokens.unwrap_or_default())?;
    engine
        .add_tokens(added.iter().cloned())
        .map_err(|error| TokenizeError::invalid("added_tokens", error.to_string()))?;
    for (at, id) in named {
        if u32::try_from(id)
            .ok()
            .and_then(|id| engine.id_to_token(id))
            .is_none()
        {
            return Err(TokenizeError::invalid(
                at,
                format!("the id {id} is no token's"),
            ));
        }
    }
    let Sections {
        padding,
        truncation,
        ..
    } = sections;
    Ok(File {
        engine,
        model: kind,
        stream,
        padding,
        truncation,
        added,
    })
}

/// The sections are not applied (transformers switches both off at each call that does not ask for them), but a
/// length that would exhaust memory says that the file is not meant well.
fn check_lengths(padding: &Value, truncation: &Value) -> Result<(), TokenizeError> {
    let fixed = padding
        .get("strategy")
        .and_then(|strategy| strategy.get("Fixed"));
    let lengths = [
        ("padding.strategy.Fixed", fixed),
        (
            "padding.pad_to_multiple_of",
            padding.get("pad_to_multiple_of"),
        ),
        ("truncation.stride", truncation.get("stride")),
    ];
    for (at, length) in lengths {
        if let Some(length) = length.filter(|length| !length.is_null())
            && length.as_u64().is_none_or(|length| length > MAX_LENGTH)
        {
            return Err(TokenizeError::invalid(
                at,
                format!("expected 0..={MAX_LENGTH} tokens, found {length}"),
            ));
        }
    }
    Ok(())
}

fn added_tokens(records: Vec<AddedRecord>) -> Result<Vec<AddedToken>, TokenizeError> {
    if records.len() > MAX_ADDED {
        let problem = format!("{} tokens; at most {MAX_ADDED} are read", records.len());
        return Err(TokenizeError::invalid("added_tokens", problem));
    }
    let check = |(index, record): (usize, AddedRecord)| {
        let at = || format!("added_tokens[{index}]");
        if record.content.is_empty() {
            return Err(TokenizeError::invalid(at(), "the content is empty"));
        }
        if record.content.len() > MAX_TOKEN {
            let problem = format!(
                "the content has {} bytes; at most {MAX_TOKEN} are read",
                record.content.len()
            );
            return Err(TokenizeError::invalid(at(), problem));
        }
        if record.id >= 2 * MAX_VOCAB as u64 {
            let problem = format!(
                "expected an id below {}, found {}",
                2 * MAX_VOCAB,
                record.id
            );
            return Err(TokenizeError::invalid(at(), problem));
        }
        Ok(AddedToken {
            content: record.content,
            single_word: record.single_word,
            lstrip: record.lstrip,
            rstrip: record.rstrip,
            normalized: record.normalized,
            special: record.special,
        })
    };
    records.into_iter().enumerate().map(check).collect()
}
