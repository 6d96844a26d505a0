//! What describes a tokenizer, as a whole: read from tokenizer.json in one pass, and built into the engine.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::{AddedToken, TokenizerBuilder};

use super::decoder::{self, StreamPlan};
use super::encode::Direct;
use super::model::{Model, ModelKind, ModelRecord};
use super::normalizer::CheckedNormalizer;
use super::pre_tokenizer::CheckedPreTokenizer;
use super::{Engine, MAX_ADDED, MAX_FILE, MAX_TOKEN, MAX_VOCAB, post_processor};
use crate::error::{TOKENIZER_JSON, TokenizeError, shortened};

/// Longest padding and truncation that a file may ask for, in tokens.
const MAX_LENGTH: u64 = 1 << 24;

/// What describes a tokenizer: a tokenizer.json read, other files converted, or either with the rules of a
/// class applied. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    /// The file that it comes from, for messages.
    pub(crate) file: &'static str,
    pub(crate) model: Model,
    /// Tokens found in a text before anything else, in file order.
    pub(crate) added_tokens: Vec<Added>,
    /// The stages, each as a tokenizer.json writes it; null for none.
    pub(crate) normalizer: Value,
    pub(crate) pre_tokenizer: Value,
    pub(crate) post_processor: Value,
    pub(crate) decoder: Value,
    /// Not applied; side and token are defaults of transformers' configuration.
    pub(crate) padding: Value,
    /// Likewise.
    pub(crate) truncation: Value,
}

/// An added token and the id that the file says it has. The engine gives ids itself: the model's, where its
/// vocabulary has the token, else the next free one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Added {
    pub(crate) id: u64,
    pub(crate) content: String,
    pub(crate) single_word: bool,
    pub(crate) lstrip: bool,
    pub(crate) rstrip: bool,
    pub(crate) normalized: bool,
    pub(crate) special: bool,
}

/// The engine, and what is kept beside it.
pub(crate) struct Built {
    pub(crate) engine: Engine,
    pub(crate) model: ModelKind,
    pub(crate) stream: StreamPlan,
    /// As in [`Definition`].
    pub(crate) padding: Value,
    pub(crate) truncation: Value,
    pub(crate) added: Vec<AddedToken>,
    /// The file that it comes from, for messages.
    file: &'static str,
}

impl Built {
    /// Adds tokens that the engine does not know, and gives those that it knows other properties.
    pub(crate) fn add_tokens(&mut self, tokens: Vec<AddedToken>) -> Result<(), TokenizeError> {
        check_added(&tokens).map_err(|error| error.of_file(self.file))?;
        self.engine
            .add_tokens(tokens)
            .map_err(TokenizeError::from_engine)?;
        Ok(())
    }

    /// Another normalizer, checked; it applies to added tokens too.
    pub(crate) fn set_normalizer(&mut self, value: &Value) -> Result<(), TokenizeError> {
        let normalizer =
            CheckedNormalizer::read(value).map_err(|error| error.of_file(self.file))?;
        self.engine
            .with_normalizer(normalizer)
            .map_err(TokenizeError::from_engine)?;
        Ok(())
    }

    /// Another post-processor, checked.
    pub(crate) fn set_post_processor(&mut self, value: &Value) -> Result<(), TokenizeError> {
        set_post_processor(&mut self.engine, value).map_err(|error| error.of_file(self.file))
    }
}

/// Puts a post-processor into the engine, whose tokens must all exist.
pub(crate) fn set_post_processor(engine: &mut Engine, value: &Value) -> Result<(), TokenizeError> {
    let (post_processor, named) = post_processor::read_checked(value)?;
    check_named(engine, named)?;
    engine.with_post_processor(post_processor);
    Ok(())
}

fn check_named(engine: &Engine, named: post_processor::Added) -> Result<(), TokenizeError> {
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
    Ok(())
}

fn check_added(tokens: &[AddedToken]) -> Result<(), TokenizeError> {
    if tokens.len() > MAX_ADDED {
        let problem = format!("{} tokens; at most {MAX_ADDED} are read", tokens.len());
        return Err(TokenizeError::invalid("added_tokens", problem));
    }
    match tokens.iter().find(|token| token.content.len() > MAX_TOKEN) {
        None => Ok(()),
        Some(token) => Err(TokenizeError::invalid(
            format!("added_tokens[{:?}]", shortened(&token.content, 40)),
            format!(
                "the content has {} bytes; at most {MAX_TOKEN} are read",
                token.content.len()
            ),
        )),
    }
}

#[derive(Deserialize)]
struct Sections<'a> {
    version: Option<String>,
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    added_tokens: Option<Vec<Added>>,
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

impl Definition {
    /// A tokenizer of this model alone: no stages, no added tokens.
    pub(crate) fn new(file: &'static str, model: Model) -> Self {
        Self {
            file,
            model,
            added_tokens: Vec::new(),
            normalizer: Value::Null,
            pre_tokenizer: Value::Null,
            post_processor: Value::Null,
            decoder: Value::Null,
            padding: Value::Null,
            truncation: Value::Null,
        }
    }

    /// Reads a tokenizer.json.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, TokenizeError> {
        TokenizeError::check_size(TOKENIZER_JSON, json, MAX_FILE)?;
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
        let model = sections
            .model
            .ok_or_else(|| TokenizeError::invalid("model", "missing"))?;
        let record: ModelRecord = serde_json::from_str(model.get())
            .map_err(|error| TokenizeError::invalid("model", error.to_string()))?;
        Ok(Self {
            file: TOKENIZER_JSON,
            model: record.read()?,
            added_tokens: sections.added_tokens.unwrap_or_default(),
            normalizer: sections.normalizer,
            pre_tokenizer: sections.pre_tokenizer,
            post_processor: sections.post_processor,
            decoder: sections.decoder,
            padding: sections.padding,
            truncation: sections.truncation,
        })
    }

    /// Checks everything and builds the engine.
    pub(crate) fn build(self) -> Result<Built, TokenizeError> {
        let file = self.file;
        self.build_checked().map_err(|error| error.of_file(file))
    }

    fn build_checked(self) -> Result<Built, TokenizeError> {
        check_lengths(&self.padding, &self.truncation)?;
        let kind = self.model.kind();
        let normalizer = CheckedNormalizer::read(&self.normalizer)?;
        let pre_tokenizer = CheckedPreTokenizer::read(&self.pre_tokenizer)?;
        let direct = Direct::new(&self.model, normalizer.as_ref(), pre_tokenizer.as_ref());
        let model = self.model.build()?;
        let (decoder, stream) = decoder::read_checked(&self.decoder)?;
        let (post_processor, named) = post_processor::read_checked(&self.post_processor)?;
        let engine = TokenizerBuilder::new()
            .with_model(model)
            .with_normalizer(normalizer)
            .with_pre_tokenizer(pre_tokenizer)
            .with_post_processor(post_processor)
            .with_decoder(decoder)
            .build()
            .map_err(TokenizeError::from_engine)?;
        let mut engine = Engine::new(engine, direct);

        let added = added_tokens(self.added_tokens)?;
        engine
            .add_tokens(added.iter().cloned())
            .map_err(|error| TokenizeError::invalid("added_tokens", error.to_string()))?;
        check_named(&engine, named)?;
        Ok(Built {
            file: self.file,
            engine,
            model: kind,
            stream,
            padding: self.padding,
            truncation: self.truncation,
            added,
        })
    }
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

fn added_tokens(records: Vec<Added>) -> Result<Vec<AddedToken>, TokenizeError> {
    if records.len() > MAX_ADDED {
        let problem = format!("{} tokens; at most {MAX_ADDED} are read", records.len());
        return Err(TokenizeError::invalid("added_tokens", problem));
    }
    let check = |(index, record): (usize, Added)| {
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
