//! Regular expressions whose failure is an error.
//!
//! Patterns with look-around run on a backtracking matcher with a limit. The engine takes a matcher that reached
//! its limit for one that found no more matches, so the rest of the text would silently become one piece. Here it
//! is [`TokenizeError::PatternGaveUp`].

use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;
use tokenizers::Offsets;
use tokenizers::tokenizer::pattern::Pattern;

use crate::error::{TokenizeError, shortened};

/// Longest source of a pattern, in bytes.
const MAX_SOURCE: usize = 64 << 10;
/// Most memory of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 10 << 20;
/// Backtracking steps for one match.
const MAX_BACKTRACKS: usize = 1_000_000;

/// A pattern as files write it: `{"Regex": "…"}` or `{"String": "…"}`.
#[derive(Debug, Deserialize)]
pub(super) enum PatternRecord {
    String(String),
    Regex(String),
}

/// A compiled pattern that reports when it gives up.
#[derive(Clone, Debug)]
pub(crate) struct CheckedRegex {
    regex: Regex,
    /// The text to find, where the pattern is plain text.
    literal: Option<String>,
}

impl CheckedRegex {
    pub(super) fn new(record: PatternRecord, at: &str) -> Result<Self, TokenizeError> {
        match record {
            PatternRecord::String(text) => {
                let regex = Self::compile(&fancy_regex::escape(&text), at)?;
                Ok(Self {
                    regex,
                    literal: Some(text),
                })
            }
            PatternRecord::Regex(source) => Ok(Self {
                regex: Self::compile(&source, at)?,
                literal: None,
            }),
        }
    }

    fn compile(source: &str, at: &str) -> Result<Regex, TokenizeError> {
        if source.len() > MAX_SOURCE {
            let problem = format!(
                "the pattern has {} bytes; at most {MAX_SOURCE} are compiled",
                source.len()
            );
            return Err(TokenizeError::invalid(at, problem));
        }
        RegexBuilder::new(source)
            .delegate_size_limit(MAX_COMPILED)
            .backtrack_limit(MAX_BACKTRACKS)
            .build()
            .map_err(|error| {
                TokenizeError::invalid(
                    at,
                    format!(
                        "the pattern {:?} does not compile: {error}",
                        shortened(source, 80)
                    ),
                )
            })
    }

    /// The text to find, where the pattern is plain text.
    pub(super) fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// All of `text` in order, cut at the matches: byte range, and whether it is one.
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<(Offsets, bool)>, TokenizeError> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut previous = 0;
        let mut pieces = Vec::new();
        for found in self.regex.find_iter(text) {
            let found = found.map_err(|error| TokenizeError::PatternGaveUp {
                pattern: shortened(self.regex.as_str(), 80),
                length: text.len(),
                reason: error.to_string(),
            })?;
            if previous != found.start() {
                pieces.push(((previous, found.start()), false));
            }
            pieces.push(((found.start(), found.end()), true));
            previous = found.end();
        }
        if previous != text.len() {
            pieces.push(((previous, text.len()), false));
        }
        Ok(pieces)
    }
}

impl Pattern for &CheckedRegex {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        Ok(self.pieces(inside)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(source: &str) -> CheckedRegex {
        CheckedRegex::new(PatternRecord::Regex(source.to_owned()), "here").unwrap()
    }

    #[test]
    fn pieces_cover_the_text() {
        let pieces = regex(r"\d+(?!x)").pieces("ab12cd3").unwrap();
        assert_eq!(
            pieces,
            [
                ((0, 2), false),
                ((2, 4), true),
                ((4, 6), false),
                ((6, 7), true)
            ]
        );
        assert_eq!(regex("a").pieces("").unwrap(), [((0, 0), false)]);
    }

    #[test]
    fn giving_up_is_an_error_not_a_shorter_list() {
        // The back-reference keeps it off the linear engine.
        let error = regex(r"(a*)*\1b(?!c)")
            .pieces(&"a".repeat(100))
            .unwrap_err();
        assert!(
            matches!(error, TokenizeError::PatternGaveUp { length: 100, .. }),
            "{error}"
        );
    }

    #[test]
    fn bad_patterns_name_their_place() {
        let error =
            CheckedRegex::new(PatternRecord::Regex("(".to_owned()), "pre_tokenizer").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("tokenizer.json: pre_tokenizer: the pattern \"(\" does not compile")
        );
        let long = PatternRecord::Regex("a".repeat(MAX_SOURCE + 1));
        let error = CheckedRegex::new(long, "pre_tokenizer").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the pattern has 65537 bytes; at most 65536"),
            "{error}"
        );
    }
}
