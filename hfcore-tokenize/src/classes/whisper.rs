//! Whisper: the tokens that tell it language and task, prompts, and times in a transcript.
//!
//! Reference: transformers 5.23 `models/whisper/tokenization_whisper.py`.

use std::sync::LazyLock;

use super::behaviour::{Behaviour, Decode};
use super::init::Ready;
use super::languages;
use super::stages::{Piece, template, token};
use crate::decode::DecodeOptions;
use crate::engine::Engine;
use crate::error::{TOKENIZER_CONFIG, TokenizeError, shortened};
use crate::tokenizer::Tokenizer;

fn plain(skip_special_tokens: bool) -> DecodeOptions {
    DecodeOptions::default().with_skip_special_tokens(skip_special_tokens)
}

/// Times such as `<|3.20|>`.
static TIME: LazyLock<fancy_regex::Regex> = LazyLock::new(|| {
    fancy_regex::Regex::new(r"<\|(\d+\.\d+)\|>").expect("a constant that every test compiles")
});

/// Tokens of a segment of 30 seconds.
const SEGMENT: u32 = 1500;
/// Seconds between two times.
const PRECISION: f64 = 0.02;

/// What Whisper is to do with the next recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whisper {
    /// A code such as `de`, in small letters.
    language: Option<String>,
    /// `transcribe` or `translate`.
    task: Option<String>,
    predict_timestamps: bool,
}

/// A part of a transcript with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedText {
    /// What was said.
    pub text: String,
    /// From when to when, in seconds from the beginning.
    pub timestamp: (f64, f64),
}

impl Whisper {
    /// The tokens before a transcript (`prefix_tokens`).
    fn prefix(&self, id: impl Fn(&str) -> Option<u32>) -> Result<Vec<u32>, TokenizeError> {
        let find = |token: &str| {
            id(token)
                .ok_or_else(|| invalid("prefix_tokens", format!("the vocabulary has no {token}")))
        };
        let start = find("<|startoftranscript|>")?;
        let mut tokens = vec![start];
        if let Some(language) = &self.language {
            tokens.push(start + 1 + language_index(language)?);
        }
        if let Some(task) = &self.task {
            tokens.push(match task.as_str() {
                "transcribe" => find("<|transcribe|>")?,
                "translate" => find("<|translate|>")?,
                other => {
                    let problem = format!(
                        "expected \"translate\" or \"transcribe\", found {:?}",
                        shortened(other, 40)
                    );
                    return Err(invalid("task", problem));
                }
            });
        }
        if !self.predict_timestamps {
            tokens.push(find("<|notimestamps|>")?);
        }
        Ok(tokens)
    }

    fn post_processor(
        &self,
        engine: &Engine,
        unk: Option<u32>,
        eos: &(String, u32),
    ) -> Result<serde_json::Value, TokenizeError> {
        let prefix = self.prefix(|token| engine.token_to_id(token).or(unk))?;
        let named = prefix.into_iter().map(|id| {
            let name = engine.id_to_token(id);
            let name = name.ok_or_else(|| {
                invalid(
                    "language",
                    format!("the id {id} of the language is no token's"),
                )
            })?;
            Ok(token(&(name, id)))
        });
        let prefix = named.collect::<Result<Vec<Piece>, TokenizeError>>()?;
        let around = |texts: &[Piece]| -> Vec<Piece> {
            let end = Piece::Token(eos.0.clone(), eos.1, u32::from(texts.len() == 2));
            let parts = prefix.iter().cloned().chain(texts.iter().cloned());
            parts.chain([end]).collect()
        };
        Ok(template(
            &around(&[Piece::A(0)]),
            &around(&[Piece::A(0), Piece::B(1)]),
        ))
    }
}

fn invalid(at: &str, problem: impl Into<String>) -> TokenizeError {
    TokenizeError::Invalid {
        file: TOKENIZER_CONFIG,
        at: at.to_owned(),
        problem: problem.into(),
    }
}

/// The place of a language, given by name or code, among the tokens.
fn language_index(language: &str) -> Result<u32, TokenizeError> {
    let language = language.to_lowercase();
    let named = languages::WHISPER
        .iter()
        .find(|(_, name)| *name == language)
        .map(|&(code, _)| code);
    let alias = languages::WHISPER_ALIASES
        .iter()
        .find(|(name, _)| *name == language)
        .map(|&(_, code)| code);
    let code = named.or(alias).unwrap_or(&language);
    let index = languages::WHISPER
        .iter()
        .position(|(known, _)| *known == code);
    index
        .and_then(|index| u32::try_from(index).ok())
        .ok_or_else(|| {
            invalid(
                "language",
                format!(
                    "expected a name or code of one of Whisper's {} languages, such as \"german\" or \"de\"; found {:?}",
                    languages::WHISPER.len(),
                    shortened(&language, 40)
                ),
            )
        })
}

/// The last touches of `WhisperTokenizer.__init__`.
pub(super) fn finish(ready: &mut Ready) -> Result<(), TokenizeError> {
    let whisper = Whisper {
        language: ready.arguments.text("language")?,
        task: ready.arguments.text("task")?,
        predict_timestamps: ready.arguments.flag("predict_timestamps", false)?,
    };
    let eos = ready.special("eos_token")?;
    let unk = ready.special("unk_token").ok().map(|(_, id)| id);
    let value = whisper.post_processor(&ready.built.engine, unk, &eos)?;
    ready.set(&value)?;
    ready.behaviour.decode = Decode::Whisper;
    ready.behaviour.whisper = Some(whisper);
    Ok(())
}

/// The text without its times.
pub(super) fn without_times(text: &str) -> String {
    TIME.replace_all(text, "").into_owned()
}

/// Whisper: language, task and times.
impl Tokenizer {
    /// The tokens before a transcript: begin, language, task, and whether there are times (`prefix_tokens`).
    ///
    /// # Errors
    ///
    /// If this is no Whisper tokenizer, or its vocabulary lacks one of the tokens.
    pub fn prefix_tokens(&self) -> Result<Vec<u32>, TokenizeError> {
        let unk = self.unk_token_id();
        self.whisper()?
            .prefix(|token| self.engine().token_to_id(token).or(unk))
    }

    /// The same tokenizer for another language, given by name or code, or another task (`"transcribe"` or
    /// `"translate"`), or with times; what is `None` stays (`set_prefix_tokens`). It copies the vocabulary.
    ///
    /// # Errors
    ///
    /// If this is no Whisper tokenizer, or language or task are none of Whisper's.
    pub fn with_prefix_tokens(
        &self,
        language: Option<&str>,
        task: Option<&str>,
        predict_timestamps: Option<bool>,
    ) -> Result<Self, TokenizeError> {
        let old = self.whisper()?;
        let whisper = Whisper {
            language: language.map(str::to_owned).or_else(|| old.language.clone()),
            task: task.map(str::to_owned).or_else(|| old.task.clone()),
            predict_timestamps: predict_timestamps.unwrap_or(old.predict_timestamps),
        };
        let (eos, unk) = (self.eos()?, self.unk_token_id());
        let value = whisper.post_processor(self.engine(), unk, &eos)?;
        let behaviour = Behaviour {
            whisper: Some(whisper),
            ..self.behaviour().clone()
        };
        self.with_post_processor(&value, behaviour)
    }

    /// What a decoder must begin with after its first token: pairs of position and id
    /// (`get_decoder_prompt_ids`).
    ///
    /// # Errors
    ///
    /// As [`with_prefix_tokens`](Self::with_prefix_tokens).
    pub fn decoder_prompt_ids(
        &self,
        task: Option<&str>,
        language: Option<&str>,
        no_timestamps: bool,
    ) -> Result<Vec<(usize, u32)>, TokenizeError> {
        let old = self.whisper()?;
        let whisper = Whisper {
            language: language.map(str::to_owned).or_else(|| old.language.clone()),
            task: task.map(str::to_owned).or_else(|| old.task.clone()),
            predict_timestamps: !no_timestamps,
        };
        let unk = self.unk_token_id();
        let prefix = whisper.prefix(|token| self.engine().token_to_id(token).or(unk))?;
        Ok((1..).zip(prefix.into_iter().skip(1)).collect())
    }

    /// The ids of a text that goes before the recording, so that the transcript keeps to its words and style
    /// (`get_prompt_ids`).
    ///
    /// # Errors
    ///
    /// If the text contains a special token, and as [`encode`](Self::encode).
    pub fn prompt_ids(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        self.whisper()?;
        let blank = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
        let text = format!(" {}", text.trim_matches(blank));
        let encoding = self.encode_pair("<|startofprev|>", &text, false)?;
        let first_special = self.all_special_ids().first().copied();
        let found = encoding
            .ids
            .iter()
            .skip(1)
            .find(|&&id| first_special.is_some_and(|first| id >= first));
        match found {
            None => Ok(encoding.ids),
            Some(&id) => Err(TokenizeError::Encode(format!(
                "a prompt must not contain the special token {:?}",
                self.id_to_token(id).unwrap_or_default()
            ))),
        }
    }

    /// Decodes with times such as `<|3.20|>` in the text (`decode_with_timestamps=True`).
    ///
    /// # Errors
    ///
    /// If this is no Whisper tokenizer.
    pub fn decode_with_timestamps(
        &self,
        ids: &[u32],
        skip_special_tokens: bool,
    ) -> Result<String, TokenizeError> {
        self.whisper()?;
        let ids = self.without_prompt(ids, skip_special_tokens);
        let begin = self.time_begin();
        let mut outputs: Vec<Result<String, Vec<u32>>> = vec![Err(Vec::new())];
        let (mut latest, mut before, mut last_but_one) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (index, &id) in ids.iter().enumerate() {
            if id < begin {
                if let Some(Err(ids)) = outputs.last_mut() {
                    ids.push(id);
                }
                continue;
            }
            let time = f64::from(id - begin) * PRECISION;
            if time < latest {
                // The next segment has begun.
                let single_ending =
                    index >= 2 && !(ids[index - 1] >= begin && ids[index - 2] >= begin);
                if single_ending {
                    before += PRECISION * f64::from(SEGMENT);
                } else {
                    latest = last_but_one;
                    before += last_but_one;
                    outputs.truncate(outputs.len().saturating_sub(2));
                }
            }
            last_but_one = latest;
            latest = time;
            outputs.push(Ok(format!("<|{:.2}|>", time + before)));
            outputs.push(Err(Vec::new()));
        }
        let text = |part: Result<String, Vec<u32>>| match part {
            Ok(time) => time,
            Err(ids) if ids.is_empty() => String::new(),
            Err(ids) => self.decode_plain(&ids, plain(skip_special_tokens)),
        };
        Ok(outputs.into_iter().map(text).collect())
    }

    /// The parts of a transcript between two times (`output_offsets=True`).
    ///
    /// # Errors
    ///
    /// If this is no Whisper tokenizer.
    pub fn timed_texts(&self, ids: &[u32]) -> Result<Vec<TimedText>, TokenizeError> {
        self.whisper()?;
        let begin = self.time_begin();
        let is_time = |index: usize| ids.get(index).is_some_and(|&id| id >= begin);
        let times: Vec<usize> = (0..ids.len()).filter(|&index| is_time(index)).collect();
        let mut ends: Vec<usize> = times
            .iter()
            .filter(|&&index| is_time(index + 1))
            .map(|index| index + 1)
            .collect();
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Ok(Vec::new());
        };
        if ends.is_empty() && times.len() <= 1 {
            return Ok(Vec::new());
        }
        if !ends.contains(&(last + 1)) {
            ends.push(last + 1);
        }
        let seconds = |steps: i64| steps as f64 * PRECISION;
        let (mut start, mut latest, mut before) = (first, 0_i64, 0_i64);
        let mut found = Vec::new();
        for end in ends {
            let part = ids.get(start..end).unwrap_or_default();
            if let [from, .., to] = part {
                let (from, to) = (
                    i64::from(*from) - i64::from(begin),
                    i64::from(*to) - i64::from(begin),
                );
                if from < latest {
                    let single_ending = start >= 2 && !(is_time(start - 2) && is_time(start - 1));
                    before += if single_ending {
                        i64::from(SEGMENT)
                    } else {
                        latest
                    };
                }
                latest = to;
                found.push(TimedText {
                    text: without_times(&self.decode_plain(part, plain(false))),
                    timestamp: (
                        seconds(from) + seconds(before),
                        seconds(to) + seconds(before),
                    ),
                });
            }
            start = end;
        }
        Ok(found)
    }

    /// The ids after a prompt that the decoder was given (`_strip_prompt`).
    pub(crate) fn without_prompt<'a>(
        &self,
        ids: &'a [u32],
        skip_special_tokens: bool,
    ) -> &'a [u32] {
        let prompt = self.token_to_id("<|startofprev|>");
        if !skip_special_tokens || prompt.is_none() || ids.first().copied() != prompt {
            return ids;
        }
        let start = self.token_to_id("<|startoftranscript|>");
        match ids.iter().position(|&id| Some(id) == start) {
            Some(at) => &ids[at..],
            None => &[],
        }
    }

    /// The id of `<|0.00|>`: behind the last special token.
    fn time_begin(&self) -> u32 {
        self.all_special_ids().last().map_or(0, |id| id + 1)
    }

    fn eos(&self) -> Result<(String, u32), TokenizeError> {
        let eos = self.eos_token().map(str::to_owned);
        eos.zip(self.eos_token_id())
            .ok_or_else(|| invalid("eos_token", "Whisper needs it, found none"))
    }

    fn whisper(&self) -> Result<&Whisper, TokenizeError> {
        self.behaviour()
            .whisper
            .as_ref()
            .ok_or_else(|| TokenizeError::UnsupportedClass {
                class: self.class().to_owned(),
                reason: "only a WhisperTokenizer has languages and tasks of speech",
            })
    }
}
