//! Regular expressions whose failure is an error, and whose matches are those of Python's tokenizers.
//!
//! The patterns of published models are matched by hand ([`known`]), plain text by searching, and all others by
//! fancy-regex: on a linear matcher where there is no look-around, else backtracking with a limit. The engine takes a
//! matcher that reached its limit for one that found no more matches, so the rest of the text would silently become one
//! piece. Here it is [`TokenizeError::PatternGaveUp`]. Python's patterns are written in another dialect ([`syntax`]).

mod known;
mod syntax;
mod unicode;

use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;
use tokenizers::Offsets;
use tokenizers::tokenizer::pattern::Pattern;

use self::known::Known;
use crate::error::{TokenizeError, shortened};

/// Longest source of a pattern, in bytes.
const MAX_SOURCE: usize = 64 << 10;
/// Most memory of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 10 << 20;
/// Backtracking steps for one match.
const MAX_BACKTRACKS: usize = 1_000_000;

/// GPT-2's pattern, which `ByteLevel` stands for (`openai/gpt-2`, `src/encoder.py`).
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A pattern as files write it: `{"Regex": "…"}` or `{"String": "…"}`.
#[derive(Debug, Deserialize)]
pub(super) enum PatternRecord {
    String(String),
    Regex(String),
}

/// A compiled pattern that reports when it gives up.
#[derive(Clone, Debug)]
pub(crate) struct CheckedRegex(Matcher);

#[derive(Clone, Debug)]
enum Matcher {
    Known(Known),
    /// Text to find, at least a character of it.
    Text(String),
    General(Box<Regex>),
}

impl CheckedRegex {
    pub(super) fn new(record: PatternRecord, at: &str) -> Result<Self, TokenizeError> {
        let (PatternRecord::String(source) | PatternRecord::Regex(source)) = &record;
        if source.len() > MAX_SOURCE {
            let problem = format!(
                "the pattern has {} bytes; at most {MAX_SOURCE} are compiled",
                source.len()
            );
            return Err(TokenizeError::invalid(at, problem));
        }
        Ok(Self(match record {
            // Nothing is found before and after each character; the general matcher knows where.
            PatternRecord::String(text) if text.is_empty() => {
                Matcher::General(Box::new(compile("", at)?))
            }
            PatternRecord::String(text) => Matcher::Text(text),
            PatternRecord::Regex(source) => match Known::new(&source) {
                Some(known) => Matcher::Known(known),
                None => Matcher::General(Box::new(compile(&source, at)?)),
            },
        }))
    }

    /// GPT-2's.
    pub(super) fn gpt2() -> Self {
        Self(Matcher::Known(Known::new(GPT2).expect("it is in the list")))
    }

    /// The text to find, where the pattern is plain text.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.0 {
            Matcher::Text(text) => Some(text),
            Matcher::Known(_) | Matcher::General(_) => None,
        }
    }

    /// All of `text` in order, cut at the matches: byte range, and whether it is one.
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<(Offsets, bool)>, TokenizeError> {
        let mut pieces = Vec::new();
        self.for_each(text, |start, end, found| {
            pieces.push(((start, end), found));
        })?;
        Ok(pieces)
    }

    /// Calls `piece` with each byte range of `text` in order, cut at the matches, and whether it is one. An empty text is
    /// one piece.
    pub(super) fn for_each(
        &self,
        text: &str,
        mut piece: impl FnMut(usize, usize, bool),
    ) -> Result<(), TokenizeError> {
        if text.is_empty() {
            piece(0, 0, false);
            return Ok(());
        }
        let mut previous = 0;
        let mut found = |start, end| {
            if previous != start {
                piece(previous, start, false);
            }
            piece(start, end, true);
            previous = end;
        };
        match &self.0 {
            Matcher::Known(known) => {
                known.for_each(text, piece);
                return Ok(());
            }
            Matcher::Text(wanted) => {
                for (start, matched) in text.match_indices(wanted.as_str()) {
                    found(start, start + matched.len());
                }
            }
            Matcher::General(regex) => {
                for matched in regex.find_iter(text) {
                    let matched = matched.map_err(|error| TokenizeError::PatternGaveUp {
                        pattern: shortened(regex.as_str(), 80),
                        length: text.len(),
                        reason: error.to_string(),
                    })?;
                    found(matched.start(), matched.end());
                }
            }
        }
        if previous != text.len() {
            piece(previous, text.len(), false);
        }
        Ok(())
    }
}

/// A pattern in Oniguruma's language, in that of the engine's own matcher, which does not say when it gives up: so
/// only one that needs no backtracking.
pub(super) fn linear(source: &str, at: &str) -> Result<String, TokenizeError> {
    let translated = translate(source, at)?;
    let possessive = ["++", "*+", "?+", "}+"];
    if regex_syntax::parse(&translated).is_err()
        || possessive.iter().any(|sign| translated.contains(sign))
    {
        let what = format!(
            "look-around, a back-reference or a possessive quantifier in the pattern {:?}",
            shortened(source, 80)
        );
        return Err(TokenizeError::unsupported(at, what));
    }
    Ok(translated)
}

fn translate(source: &str, at: &str) -> Result<String, TokenizeError> {
    syntax::translate(source).map_err(|what| {
        let what = format!(
            "{what} in the pattern {:?}, which Python's library reads differently,",
            shortened(source, 80)
        );
        TokenizeError::unsupported(at, what)
    })
}

/// The general matcher for a pattern in Oniguruma's language.
fn compile(source: &str, at: &str) -> Result<Regex, TokenizeError> {
    let translated = translate(source, at)?;
    RegexBuilder::new(&translated)
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

impl Pattern for &CheckedRegex {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        Ok(self.pieces(inside)?)
    }
}

/// What the general matcher makes of a text, for comparison.
#[cfg(test)]
fn general_pieces(regex: &Regex, text: &str) -> Result<Vec<(Offsets, bool)>, TokenizeError> {
    CheckedRegex(Matcher::General(Box::new(regex.clone()))).pieces(text)
}

#[cfg(test)]
mod oracle;
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
    fn text_is_found_as_it_stands() {
        let text = CheckedRegex::new(PatternRecord::String("a.".to_owned()), "here").unwrap();
        assert_eq!(
            text.pieces("aba.a.").unwrap(),
            [((0, 2), false), ((2, 4), true), ((4, 6), true)]
        );
        let empty = CheckedRegex::new(PatternRecord::String(String::new()), "here").unwrap();
        let pieces = empty.pieces("ab").unwrap();
        assert_eq!(
            pieces,
            [
                ((0, 0), true),
                ((0, 1), false),
                ((1, 1), true),
                ((1, 2), false),
                ((2, 2), true)
            ]
        );
    }

    #[test]
    fn another_dialect_is_named() {
        let record = PatternRecord::Regex("(?m)a".to_owned());
        assert_eq!(
            CheckedRegex::new(record, "pre_tokenizer")
                .unwrap_err()
                .to_string(),
            r#"tokenizer.json: pre_tokenizer: the group "(?m)a" in the pattern "(?m)a", which Python's library reads differently, is not supported"#
        );
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
