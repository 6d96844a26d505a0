//! The pre-tokenizer: the engine's stages, with those that split at a backtracking pattern replaced by ours.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::pattern::Invert;
use tokenizers::{PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::encode::Cut;
use super::pattern::{CheckedRegex, PatternRecord};
use super::{read, stages};
use crate::error::TokenizeError;

/// GPT-2's pattern, which `ByteLevel` stands for.
static GPT2: LazyLock<CheckedRegex> = LazyLock::new(CheckedRegex::gpt2);

/// The stages in order.
#[derive(Clone, Debug)]
pub(crate) struct CheckedPreTokenizer {
    stages: Vec<Stage>,
    /// The section that it was read from.
    source: Value,
}

#[derive(Clone, Debug)]
enum Stage {
    Split {
        pattern: CheckedRegex,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    },
    /// Splits as GPT-2 does, then writes bytes as printable characters.
    Gpt2 {
        add_prefix_space: bool,
    },
    Engine(Box<PreTokenizerWrapper>),
}

impl CheckedPreTokenizer {
    pub(super) fn read(value: &Value) -> Result<Option<Self>, TokenizeError> {
        if value.is_null() {
            return Ok(None);
        }
        let stages = stages(value, "pre_tokenizer", "pretokenizers")?;
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

    /// The stages that cut the text, where all do but the last, which writes the bytes of each piece as characters.
    pub(super) fn cuts_before_bytes(&self) -> Option<Vec<Cut>> {
        let (last, stages) = self.stages.split_last()?;
        let mut cuts = stages
            .iter()
            .map(|stage| match stage {
                Stage::Split {
                    pattern,
                    behavior: SplitDelimiterBehavior::Isolated,
                    ..
                } => Some(Cut::Pattern(pattern.clone())),
                Stage::Engine(stage) => match **stage {
                    PreTokenizerWrapper::Digits(ref digits) => Some(Cut::Digits {
                        individual: digits.individual_digits,
                    }),
                    _ => None,
                },
                Stage::Split { .. } | Stage::Gpt2 { .. } => None,
            })
            .collect::<Option<Vec<_>>>()?;
        match last {
            Stage::Gpt2 {
                add_prefix_space: false,
            } => cuts.push(Cut::Pattern(GPT2.clone())),
            Stage::Engine(stage) => match **stage {
                PreTokenizerWrapper::ByteLevel(bytes) if !bytes.add_prefix_space => {}
                _ => return None,
            },
            Stage::Gpt2 { .. } | Stage::Split { .. } => return None,
        }
        Some(cuts)
    }
}

#[derive(Deserialize)]
struct SplitRecord {
    pattern: PatternRecord,
    behavior: SplitDelimiterBehavior,
    invert: bool,
}

impl Stage {
    fn read(at: &str, kind: &str, value: &Value) -> Result<Self, TokenizeError> {
        match kind {
            "Split" => {
                let SplitRecord {
                    pattern,
                    behavior,
                    invert,
                } = read(value, at)?;
                return Ok(Self::Split {
                    pattern: CheckedRegex::new(pattern, at)?,
                    behavior,
                    invert,
                });
            }
            "FixedLength"
                if value
                    .get("length")
                    .is_some_and(|length| length.as_u64() == Some(0)) =>
            {
                return Err(TokenizeError::invalid(
                    at,
                    "FixedLength needs a `length` of at least 1, found 0",
                ));
            }
            _ => {}
        }
        Ok(match read(value, at)? {
            PreTokenizerWrapper::ByteLevel(byte_level) if byte_level.use_regex => Self::Gpt2 {
                add_prefix_space: byte_level.add_prefix_space,
            },
            other => Self::Engine(Box::new(other)),
        })
    }
}

impl PreTokenizer for Stage {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Split {
                pattern,
                behavior,
                invert: false,
            } => text.split(|_, part| part.split(pattern, *behavior)),
            Self::Split {
                pattern,
                behavior,
                invert: true,
            } => text.split(|_, part| part.split(Invert(pattern), *behavior)),
            Self::Gpt2 { add_prefix_space } => {
                text.split(|_, mut part| {
                    if *add_prefix_space && !part.get().starts_with(' ') {
                        part.prepend(" ");
                    }
                    part.split(&*GPT2, SplitDelimiterBehavior::Isolated)
                })?;
                ByteLevel::new(false, false, false).pre_tokenize(text)
            }
            Self::Engine(stage) => stage.pre_tokenize(text),
        }
    }
}

impl PreTokenizer for CheckedPreTokenizer {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.stages
            .iter()
            .try_for_each(|stage| stage.pre_tokenize(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokenizers::{OffsetReferential, OffsetType};

    use super::*;

    fn pieces(value: &Value, text: &str) -> Result<Vec<String>, TokenizeError> {
        let stage = CheckedPreTokenizer::read(value)?.unwrap();
        let mut text = PreTokenizedString::from(text);
        stage
            .pre_tokenize(&mut text)
            .map_err(TokenizeError::from_engine)?;
        let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits
            .into_iter()
            .map(|(piece, _, _)| piece.to_owned())
            .collect())
    }

    #[test]
    fn our_byte_level_is_the_engines() {
        let text = "It's  1234\n\n caf\u{e9}\u{3000}!? \t x";
        for add_prefix_space in [false, true] {
            let ours = json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true});
            let mut engine = PreTokenizedString::from(text);
            ByteLevel::new(add_prefix_space, true, true)
                .pre_tokenize(&mut engine)
                .unwrap();
            let engine = engine.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let engine: Vec<_> = engine.into_iter().map(|(piece, _, _)| piece).collect();
            assert_eq!(pieces(&ours, text).unwrap(), engine);
        }
    }

    #[test]
    fn a_split_whose_pattern_gives_up_is_an_error() {
        let value = json!({"type": "Split", "pattern": {"Regex": r"(a*)*\1b(?!c)"}, "behavior": "Isolated", "invert": false});
        let error = pieces(&value, &"a".repeat(100)).unwrap_err();
        assert!(
            matches!(error, TokenizeError::PatternGaveUp { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_fixed_length_of_zero_is_refused() {
        let value =
            json!({"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 0}]});
        assert_eq!(
            pieces(&value, "a").unwrap_err().to_string(),
            "tokenizer.json: pre_tokenizer.pretokenizers[0]: FixedLength needs a `length` of at least 1, found 0"
        );
        assert_eq!(
            pieces(&json!({"type": "FixedLength", "length": 2}), "abc").unwrap(),
            ["ab", "c"]
        );
    }
}
