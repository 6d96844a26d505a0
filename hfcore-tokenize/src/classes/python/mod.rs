//! Classes that are written in Python: they cut texts at added tokens, cut the rest with a few lines of their own, and
//! put tokens together again in the same way.
//!
//! Reference: transformers 5.23 `tokenization_python.py` and
//! `models/{byt5,esm,wav2vec2}/tokenization_*.py`.
//!
//! The engine holds the vocabulary and what goes around a text. A runtime change of the tokens is refused, as are added
//! tokens that are whole words alone.

mod build;
mod split;

use std::collections::{HashMap, HashSet};

use tokenizers::{Encoding, TruncationDirection};

pub(super) use self::build::{BYT5, ESM, Read, WAV2VEC2, load};
use self::split::Splitter;
use crate::error::TokenizeError;

/// A tokenizer of these classes: what happens between texts and tokens.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    splitter: Splitter,
    added: HashMap<String, Added>,
    /// Tokens that decoding leaves out with `skip_special_tokens`.
    skipped: HashSet<String>,
    vocab: HashMap<String, u32>,
    /// transformers' `vocab_size`.
    pub(crate) vocab_size: usize,
    /// The token that stands for others, in texts and for ids; its id where the vocabulary has it.
    unknown: Option<(String, Option<u32>)>,
    /// The token that a text may end with already.
    end: Option<u32>,
    rule: Rule,
}

/// An added token.
#[derive(Clone, Copy, Debug)]
struct Added {
    id: u32,
    /// Whether it takes the blanks to its left, and to its right.
    lstrip: bool,
    rstrip: bool,
}

/// What the class does itself.
#[derive(Clone, Debug)]
enum Rule {
    /// Tokens are bytes, written as the characters of the same number.
    Bytes,
    /// Tokens are what stands between blanks.
    Blanks,
    /// Tokens are characters; what is decoded are the frames of a recording.
    Frames(Frames),
}

/// Connectionist temporal classification.
#[derive(Clone, Debug)]
struct Frames {
    /// Texts are in upper case, and decoded in lower case.
    lowers: bool,
    delimiter: String,
    /// What the delimiter is decoded to.
    replacement: String,
    /// The token of frames in which nothing is said.
    pad: Option<String>,
}

/// A token and its characters of the text.
struct Found {
    token: String,
    start: usize,
    end: usize,
}

impl Python {
    /// One text. `split`: added tokens are text.
    pub(crate) fn sequence(
        &self,
        text: &str,
        word: Option<u32>,
        type_id: u32,
        split: bool,
    ) -> Result<Encoding, TokenizeError> {
        let found = self.tokenize(text, split);
        let ids = found.iter().map(|found| {
            let id = self.id(&found.token);
            id.ok_or_else(|| {
                let what = "a token is not in the vocabulary, and neither is unk_token";
                TokenizeError::Encode(format!("{what}: {:?}", found.token))
            })
        });
        let ids = ids.collect::<Result<Vec<u32>, _>>()?;
        let count = ids.len();
        let offsets = found.iter().map(|found| (found.start, found.end)).collect();
        Ok(Encoding::new(
            ids,
            vec![type_id; count],
            found.into_iter().map(|found| found.token).collect(),
            vec![word; count],
            offsets,
            vec![0; count],
            vec![1; count],
            Vec::new(),
            ahash::AHashMap::new(),
        ))
    }

    fn id(&self, token: &str) -> Option<u32> {
        let added = self.added.get(token).map(|added| added.id);
        added
            .or_else(|| self.vocab.get(token).copied())
            .or_else(|| self.unknown.as_ref()?.1)
    }

    fn tokenize(&self, text: &str, split: bool) -> Vec<Found> {
        let chars: Vec<char> = text.chars().collect();
        let mut found = Vec::new();
        if split {
            self.rule.tokenize(&chars, 0, &mut found);
            return found;
        }
        let mut parts = self.splitter.split(&chars);
        for index in 0..parts.len() {
            let (start, end) = parts[index];
            let token: String = chars[start..end].iter().collect();
            let Some(added) = self.added.get(&token) else {
                continue;
            };
            if added.rstrip
                && let Some((start, end)) = parts.get_mut(index + 1)
            {
                while *start < *end && is_blank(chars[*start]) {
                    *start += 1;
                }
            }
            if added.lstrip
                && let Some((start, end)) = index.checked_sub(1).map(|left| &mut parts[left])
            {
                while *start < *end && is_blank(chars[*end - 1]) {
                    *end -= 1;
                }
            }
        }
        for (start, end) in parts.into_iter().filter(|(start, end)| start < end) {
            let token: String = chars[start..end].iter().collect();
            if self.added.contains_key(&token) {
                found.push(Found { token, start, end });
            } else {
                self.rule.tokenize(&chars[start..end], start, &mut found);
            }
        }
        found
    }

    /// The token that decoding works on; `None` for ids to leave out.
    pub(crate) fn token_of(&self, token: Option<String>, skips: bool) -> Option<String> {
        let shown = |token: &String| !(skips && self.skips(token));
        let unknown = || Some(self.unknown.as_ref()?.0.clone());
        match self.rule {
            Rule::Bytes => token.filter(shown),
            // Ids are left out, and those of no token are none of a special one.
            Rule::Blanks if token.is_none() => unknown(),
            Rule::Blanks => token.filter(shown),
            // Tokens are left out.
            Rule::Frames(_) => token.or_else(unknown).filter(shown),
        }
    }

    /// Whether decoding leaves a token out with `skip_special_tokens`.
    pub(crate) fn skips(&self, token: &str) -> bool {
        self.skipped.contains(token)
    }

    /// A text that ends with its end token already, without it: another one is put there.
    pub(crate) fn without_end(&self, mut encoding: Encoding) -> Encoding {
        if self.end.is_some() && encoding.get_ids().last().copied() == self.end {
            encoding.truncate(encoding.len() - 1, 0, TruncationDirection::Right);
            encoding.take_overflowing();
        }
        encoding
    }

    /// The text of tokens (`convert_tokens_to_string`).
    pub(crate) fn join(&self, tokens: &[String]) -> String {
        match &self.rule {
            Rule::Blanks => tokens.join(" "),
            Rule::Frames(frames) => frames.join(tokens),
            Rule::Bytes => {
                let mut bytes = Vec::new();
                for token in tokens {
                    let byte = self
                        .vocab
                        .get(token)
                        .filter(|_| !self.added.contains_key(token));
                    let byte = byte.and_then(|_| u8::try_from(token.chars().next()?).ok());
                    match byte {
                        Some(byte) => bytes.push(byte),
                        None => bytes.extend(token.as_bytes()),
                    }
                }
                // What is no character is left out.
                bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
            }
        }
    }
}

impl Rule {
    /// The tokens of a part of a text that begins at the character `base`.
    fn tokenize(&self, part: &[char], base: usize, found: &mut Vec<Found>) {
        let mut push = |token: String, start: usize, end: usize| {
            found.push(Found {
                token,
                start: base + start,
                end: base + end,
            });
        };
        match self {
            Self::Bytes => {
                for (at, c) in part.iter().enumerate() {
                    for &byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
                        push(char::from(byte).to_string(), at, at + 1);
                    }
                }
            }
            Self::Blanks => {
                let mut at = 0;
                for word in part.split(|&c| is_blank(c)) {
                    if !word.is_empty() {
                        push(word.iter().collect(), at, at + word.len());
                    }
                    at += word.len() + 1;
                }
            }
            Self::Frames(frames) => {
                for (at, &c) in part.iter().enumerate() {
                    if c == ' ' {
                        for c in frames.delimiter.chars() {
                            push(c.to_string(), at, at + 1);
                        }
                    } else if frames.lowers {
                        for c in c.to_uppercase() {
                            push(c.to_string(), at, at + 1);
                        }
                    } else {
                        push(c.to_string(), at, at + 1);
                    }
                }
            }
        }
    }
}

impl Frames {
    /// A token that is repeated counts once, and that of silence not at all.
    fn join(&self, tokens: &[String]) -> String {
        let mut text = String::new();
        let mut last = None;
        for token in tokens {
            if last.replace(token) == Some(token) || self.pad.as_ref() == Some(token) {
                continue;
            }
            let is_delimiter = *token == self.delimiter;
            text.push_str(if is_delimiter {
                &self.replacement
            } else {
                token
            });
        }
        let text = text.trim_matches(is_blank);
        if self.lowers {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    }
}

/// Python's `str.isspace` of a character.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
