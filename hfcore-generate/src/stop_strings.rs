//! Stop strings, found in the text of tokens as they come.
//!
//! Reference: `StopStringCriteria` (`generation/stopping_criteria.py`): a string stops the sequence if
//! it is in the text and its end lies within the newest token; the token may go on behind it, and the
//! string may begin in the prompt.
//!
//! A token's text depends on its neighbours: characters are split between tokens, decoders strip and
//! join spaces. So a window of the last tokens is decoded with and without the newest one, and what the
//! two texts do not share is new. The window is as long as the longest string, so a token costs the
//! same at any length of the sequence.

use crate::error::{GenerateError, require};

/// Turns tokens into text: a tokenizer's `decode`, without skipping special tokens, so that these can be
/// stop strings too. Any closure is one.
///
/// Incomplete characters become U+FFFD, as decoders do.
pub trait TokenText: Send + Sync {
    /// The text of `ids`.
    fn text(&self, ids: &[u32]) -> String;
}

impl<F: Fn(&[u32]) -> String + Send + Sync> TokenText for F {
    fn text(&self, ids: &[u32]) -> String {
        self(ids)
    }
}

/// The bytes of the longest character.
const MAX_CHAR: usize = 4;

/// The stop strings of a generation.
pub struct StopStrings<'a> {
    strings: Vec<String>,
    longest: usize,
    text: Box<dyn TokenText + 'a>,
}

impl<'a> StopStrings<'a> {
    /// Search for `strings`, none of which is empty, in what `text` makes of tokens.
    ///
    /// # Errors
    /// If one is empty: it would stop everything.
    pub fn new(strings: &[String], text: impl TokenText + 'a) -> Result<Self, GenerateError> {
        require(
            strings.iter().all(|s| !s.is_empty()),
            "stop_strings",
            &strings,
            "strings that are not empty",
        )?;
        let longest = strings.iter().map(String::len).max().unwrap_or(0);
        Ok(Self {
            strings: strings.to_vec(),
            longest,
            text: Box::new(text),
        })
    }

    /// The index of the first string that ends within the last of `tokens`.
    #[must_use]
    pub fn ends(&self, tokens: &[u32]) -> Option<usize> {
        let before = tokens.len().checked_sub(1)?;
        // A string of n bytes has n - 1 bytes before the newest token, or fewer; a few more make sure
        // that neither a split character nor a stripped space at the window's edge is part of it.
        let wanted = self.longest + 2 * MAX_CHAR;
        let mut window = wanted + 1;
        let (old, new) = loop {
            let start = tokens.len().saturating_sub(window);
            let old = self.text.text(&tokens[start..before]);
            // Tokens without text, such as special ones that a decoder skips, make the window too short.
            if old.len() < wanted && start > 0 {
                window *= 2;
                continue;
            }
            break (old, self.text.text(&tokens[start..]));
        };
        let shared = old
            .bytes()
            .zip(new.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        self.strings.iter().position(|string| {
            // An end behind `shared` is a start behind `shared - len`.
            let first = (shared + 1).saturating_sub(string.len());
            new.as_bytes()[first.min(new.len())..]
                .windows(string.len())
                .any(|w| w == string.as_bytes())
        })
    }
}

impl std::fmt::Debug for StopStrings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopStrings")
            .field("strings", &self.strings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    /// One token for each byte below 256, and a few of several bytes.
    const WORDS: [&str; 6] = ["END", "ND", "\n\n", "é", "E", "xENDy"];

    fn bytes(ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .flat_map(|&id| match id.checked_sub(256) {
                Some(word) => WORDS[word as usize].as_bytes().to_vec(),
                None => vec![u8::try_from(id).unwrap()],
            })
            .collect()
    }

    fn decode(ids: &[u32]) -> String {
        String::from_utf8_lossy(&bytes(ids)).into_owned()
    }

    fn stops(strings: &[&str]) -> StopStrings<'static> {
        StopStrings::new(
            &strings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(),
            decode,
        )
        .unwrap()
    }

    #[test]
    fn strings_are_found_across_tokens_and_characters_and_only_where_they_end() {
        let end = stops(&["END"]);
        let table: [(&[u32], Option<usize>); 8] = [
            (&[256], Some(0)),
            (&[65, 69, 257], Some(0)),
            (&[65, 69], None),
            (&[256, 65], None),    // it ended in the token before
            (&[65, 261], Some(0)), // the token goes on behind it
            (&[69, 78, 68], Some(0)),
            (&[78, 68], None),
            (&[], None),
        ];
        for (tokens, expected) in table {
            assert_eq!(end.ends(tokens), expected, "{tokens:?}");
        }
        // "é" is C3 A9: the string ends with the second byte's token.
        let accent = stops(&["x", "é!"]);
        assert_eq!(accent.ends(&[0xC3]), None);
        assert_eq!(accent.ends(&[0xC3, 0xA9]), None);
        assert_eq!(accent.ends(&[0xC3, 0xA9, 33]), Some(1));
        // A token that completes the string and begins a character is not waited for.
        let newline = stops(&["\n\n"]);
        assert_eq!(newline.ends(&[10, 10, 0xC3]), None);
        assert_eq!(newline.ends(&[10, 10]), Some(0));
    }

    #[test]
    fn an_empty_string_is_refused() {
        let error = StopStrings::new(&["a".into(), String::new()], decode).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stop_strings must be strings that are not empty, but is [\"a\", \"\"]"
        );
    }

    #[test]
    fn streaming_finds_what_a_search_of_the_whole_text_finds() {
        let strings = ["END", "ab", "é", "aba", "\n\n"];
        let stop = stops(&strings);
        let mut random = Philox::new(11, 0);
        let alphabet = [
            97, 98, 69, 78, 68, 10, 0xC3, 0xA9, 256, 257, 258, 259, 260, 261,
        ];
        for round in 0..2000 {
            let mut tokens = Vec::new();
            for _ in 0..12 {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "below 14"
                )]
                tokens.push(alphabet[(random.uniform() * 14.0) as usize]);
                let whole = bytes(&tokens);
                let border = bytes(&tokens[..tokens.len() - 1]).len();
                let expected = strings.iter().position(|string| {
                    let s = string.as_bytes();
                    whole
                        .windows(s.len())
                        .enumerate()
                        .any(|(at, w)| w == s && at + s.len() > border)
                });
                assert_eq!(
                    stop.ends(&tokens),
                    expected,
                    "round {round}: {:?}",
                    decode(&tokens)
                );
            }
        }
    }
}
