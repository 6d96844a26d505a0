//! The normalizer, with a budget: chained replacements in a file could otherwise multiply a text without end.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper, Offsets};

use super::pattern::{CheckedRegex, PatternRecord};
use super::{charsmap, read, stages};
use crate::error::TokenizeError;

/// Output bytes per input byte; full compatibility decomposition needs 11.
const GROWTH: usize = 32;
/// Output bytes for free, for what is put before even an empty text.
const HEADROOM: usize = 64;

/// The stages in order.
#[derive(Clone, Debug)]
pub(crate) struct CheckedNormalizer {
    stages: Vec<Stage>,
    /// The section that it was read from.
    source: Value,
}

#[derive(Clone, Debug)]
enum Stage {
    Replace {
        pattern: CheckedRegex,
        content: String,
    },
    Prepend(String),
    Engine {
        stage: Box<NormalizerWrapper>,
        /// Most bytes that it makes of one.
        growth: usize,
    },
}

/// Bytes that are normalized to see how long the whole would become.
const SAMPLE: usize = 16 << 10;

impl CheckedNormalizer {
    pub(super) fn read(value: &Value) -> Result<Option<Self>, TokenizeError> {
        if value.is_null() {
            return Ok(None);
        }
        let stages = stages(value, "normalizer", "normalizers")?;
        let stages = stages
            .into_iter()
            .map(|(at, kind, value)| Stage::read(&at, kind, value));
        Ok(Some(Self {
            stages: stages.collect::<Result<_, _>>()?,
            source: value.clone(),
        }))
    }

    /// The section that it was read from.
    pub(crate) const fn source(&self) -> &Value {
        &self.source
    }

    /// Whether it is NFC and nothing else.
    pub(super) fn is_nfc(&self) -> bool {
        matches!(&self.stages[..], [Stage::Engine { stage, .. }] if matches!(**stage, NormalizerWrapper::NFC(_)))
    }
}

#[derive(Deserialize)]
struct ReplaceRecord {
    pattern: PatternRecord,
    content: String,
}

impl Stage {
    fn read(at: &str, kind: &str, value: &Value) -> Result<Self, TokenizeError> {
        Ok(match kind {
            "Replace" => {
                let record: ReplaceRecord = read(value, at)?;
                Self::Replace {
                    pattern: CheckedRegex::new(record.pattern, at)?,
                    content: record.content,
                }
            }
            "Prepend" => match value.get("prepend").and_then(Value::as_str) {
                Some(text) => Self::Prepend(text.to_owned()),
                None => {
                    return Err(TokenizeError::invalid(
                        at,
                        "a Prepend needs a text `prepend`",
                    ));
                }
            },
            "Precompiled" => {
                let base64 = value
                    .get("precompiled_charsmap")
                    .and_then(Value::as_str)
                    .ok_or_else(|| {
                        TokenizeError::invalid(
                            at,
                            "a Precompiled normalizer needs a text `precompiled_charsmap`",
                        )
                    })?;
                Self::Engine {
                    stage: Box::new(NormalizerWrapper::Precompiled(charsmap::read(base64, at)?)),
                    growth: charsmap::GROWTH,
                }
            }
            _ => Self::Engine {
                stage: Box::new(read(value, at)?),
                growth: match kind {
                    "Strip" | "StripAccents" | "Nmt" => 1,
                    "ByteLevel" => 2,
                    // U+0130, U+1D160, U+0390.
                    "Lowercase" | "NFC" | "NFD" => 3,
                    // U+FDFA: 3 bytes become 33. BertNormalizer decomposes, and puts two spaces around an ideograph.
                    _ => 11,
                },
            },
        })
    }

    fn apply(
        &self,
        text: &mut NormalizedString,
        allow: impl Fn(usize) -> Result<(), TokenizeError>,
    ) -> tokenizers::Result<()> {
        match self {
            Self::Replace { pattern, content } => {
                let pieces = pattern.pieces(text.get())?;
                let length = pieces
                    .iter()
                    .map(|((start, end), found)| if *found { content.len() } else { end - start });
                allow(length.fold(0, usize::saturating_add))?;
                text.replace(Found(pieces), content)
            }
            Self::Prepend(prefix) => {
                if !text.is_empty() {
                    allow(text.len().saturating_add(prefix.len()))?;
                    text.prepend(prefix);
                }
                Ok(())
            }
            Self::Engine { stage, growth } => {
                // Only where a stage before has used up some of the budget can this one exceed it.
                if allow(text.len().saturating_mul(*growth)).is_err() {
                    allow(length_after(stage, text.get())?)?;
                }
                stage.normalize(text)
            }
        }
    }
}

/// How many bytes `stage` would make of `text`, one part after the other: a little more than of the whole, where
/// characters that would be composed are parted.
fn length_after(stage: &NormalizerWrapper, text: &str) -> tokenizers::Result<usize> {
    let (mut rest, mut length) = (text, 0);
    while !rest.is_empty() {
        let most = SAMPLE.min(rest.len());
        let boundary = (0..=most).rev().find(|&at| rest.is_char_boundary(at));
        let (part, after) = rest.split_at(boundary.unwrap_or(most));
        let mut part = NormalizedString::from(part);
        stage.normalize(&mut part)?;
        length += part.len();
        rest = after;
    }
    Ok(length)
}

/// Matches that were found already, with the check of their sum.
struct Found(Vec<(Offsets, bool)>);

impl Pattern for Found {
    fn find_matches(&self, _inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        Ok(self.0.clone())
    }
}

thread_local! {
    /// Why normalizing failed on this thread. The engine drops a normalizer's error and goes on with the text as it
    /// is, so the error takes this way round it.
    static FAILED: RefCell<Option<TokenizeError>> = const { RefCell::new(None) };
}

/// Runs `encode`, which normalizes on this thread; a normalizer that failed is an error.
pub(crate) fn watched<T>(
    encode: impl FnOnce() -> Result<T, TokenizeError>,
) -> Result<T, TokenizeError> {
    FAILED.take();
    let result = encode();
    FAILED.take().map_or(result, Err)
}

impl Normalizer for CheckedNormalizer {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        self.run(text).inspect_err(|error| {
            let ours = error.downcast_ref::<TokenizeError>().cloned();
            FAILED.set(Some(
                ours.unwrap_or_else(|| TokenizeError::Encode(error.to_string())),
            ));
        })
    }
}

impl CheckedNormalizer {
    fn run(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let input = text.len();
        let limit = input.saturating_mul(GROWTH).saturating_add(HEADROOM);
        let allow = |output| {
            if output > limit {
                Err(TokenizeError::NormalizerGrowth {
                    input,
                    output,
                    limit,
                })
            } else {
                Ok(())
            }
        };
        for stage in &self.stages {
            stage.apply(text, allow)?;
            allow(text.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normalize(value: Value, text: &str) -> Result<String, TokenizeError> {
        let normalizer = CheckedNormalizer::read(&value)?.unwrap();
        let mut text = NormalizedString::from(text);
        normalizer
            .normalize(&mut text)
            .map_err(TokenizeError::from_engine)?;
        Ok(text.get().to_owned())
    }

    #[test]
    fn stages_run_in_order() {
        let value = json!({"type": "Sequence", "normalizers": [
            {"type": "Lowercase"},
            {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]});
        assert_eq!(normalize(value.clone(), "Ab C").unwrap(), "▁ab▁c");
        assert_eq!(normalize(value, "").unwrap(), "");
    }

    #[test]
    fn chained_replacements_end_at_the_budget() {
        let tenfold =
            json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
        let value = json!({"type": "Sequence", "normalizers": vec![tenfold; 9]});
        let error = normalize(value, &"a".repeat(100)).unwrap_err();
        assert_eq!(
            error,
            TokenizeError::NormalizerGrowth {
                input: 100,
                output: 10_000,
                limit: 3264
            }
        );
    }

    #[test]
    fn stages_of_the_engine_are_within_the_budget_too() {
        // Each `a` becomes the letter that compatibility decomposition makes 33 bytes of.
        let value = json!({"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "\u{fdfa}"}, {"type": "NFKD"}]});
        assert_eq!(normalize(value.clone(), "ab").unwrap().len(), 34);
        let error = normalize(value, &"a".repeat(1 << 16)).unwrap_err();
        assert_eq!(
            error,
            TokenizeError::NormalizerGrowth {
                input: 1 << 16,
                output: 33 << 16,
                limit: (32 << 16) + 64,
            }
        );
        let harmless = json!({"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "bbbbbb"}, {"type": "NFKD"}]});
        assert_eq!(
            normalize(harmless, &"a".repeat(50_000)).unwrap().len(),
            300_000
        );
    }

    #[test]
    fn no_character_grows_by_more_than_its_stage_may() {
        for kind in [
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Lowercase",
            "StripAccents",
            "Nmt",
            "BertNormalizer",
            "ByteLevel",
            "Strip",
        ] {
            let value = json!({"type": kind, "clean_text": true, "handle_chinese_chars": true, "strip_accents": false,
                "lowercase": true, "strip_left": true, "strip_right": true});
            let Stage::Engine { stage, growth } = Stage::read("here", kind, &value).unwrap() else {
                panic!("{kind}")
            };
            for c in '\0'..='\u{2ffff}' {
                let mut text = NormalizedString::from(c.to_string());
                stage.normalize(&mut text).unwrap();
                assert!(
                    text.len() <= growth * c.len_utf8(),
                    "{kind} of {c:?} has {}",
                    text.len()
                );
            }
        }
    }

    #[test]
    fn stages_that_cannot_be_read_name_their_place() {
        let value = json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"}]});
        let message = normalize(value, "").unwrap_err().to_string();
        assert_eq!(
            message,
            "tokenizer.json: normalizer.normalizers[1]: precompiled_charsmap: shorter than its length field"
        );
        let message = normalize(json!({"type": "Telepathy"}), "")
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("tokenizer.json: normalizer: "),
            "{message}"
        );
        let message = normalize(json!({"strip_left": true}), "")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("expected an object with a `type`"),
            "{message}"
        );
    }
}
