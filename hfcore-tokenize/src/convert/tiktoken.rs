//! `tiktoken.model` and `*.tiktoken`: a line per token, its bytes in base64 and its rank.

use super::ranks::{Ranks, byte_level};
use crate::base64;
use crate::engine::{Added, Definition, MAX_ADDED, MAX_FILE, MAX_VOCAB};
use crate::error::{TOKENIZER_CONFIG, TokenizeError, shortened};

/// The pattern that transformers splits with, whatever the file was trained with (`TikTokenConverter`).
pub(crate) const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A rank file, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tiktoken {
    /// Name of the file in messages.
    file: &'static str,
    ranks: Ranks,
}

impl Tiktoken {
    /// Reads a rank file; `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::TooLarge`], and [`TokenizeError::Invalid`] with the line where that is not base64 with padding,
    /// a space and a number, or where two tokens have one rank.
    pub(crate) fn read(bytes: &[u8], file: &'static str) -> Result<Self, TokenizeError> {
        TokenizeError::check_size(file, bytes, MAX_FILE)?;
        let invalid = |at: String, problem: String| TokenizeError::Invalid { file, at, problem };
        let mut entries = Vec::new();
        for (index, line) in lines(bytes).enumerate() {
            if line.is_empty() {
                continue;
            }
            let entry = entry(line).ok_or_else(|| {
                invalid(
                    format!("line {}", index + 1),
                    format!(
                        "expected a token in base64, a space and its rank, found {:?}",
                        shortened(&String::from_utf8_lossy(&line[..line.len().min(160)]), 40)
                    ),
                )
            })?;
            if entries.len() == MAX_VOCAB {
                let at = format!("line {}", index + 1);
                return Err(invalid(at, format!("more than {MAX_VOCAB} tokens")));
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(invalid("line 1".to_owned(), "no tokens".to_owned()));
        }
        let ranks = Ranks::new(entries).map_err(|problem| invalid("ranks".to_owned(), problem))?;
        Ok(Self { file, ranks })
    }

    /// The number of tokens, without special ones.
    pub(crate) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// The special tokens that transformers adds: those that the configuration's `added_tokens_decoder` places behind
    /// the vocabulary, with fillers between them, and then its `extra_special_tokens`
    /// (`TokenizersBackend._convert_from_tiktoken`).
    ///
    /// # Errors
    ///
    /// An id in `added_tokens_decoder` that would need more fillers than tokens may be added.
    pub(crate) fn special_tokens(
        &self,
        added_tokens_decoder: &[(u64, String)],
        extra_special_tokens: &[String],
    ) -> Result<Vec<String>, TokenizeError> {
        let first = self.len() as u64;
        let last = added_tokens_decoder.iter().map(|&(id, _)| id).max();
        let Some(last) = last.filter(|&last| last >= first) else {
            return Ok(extra_special_tokens.to_vec());
        };
        if last - first >= MAX_ADDED as u64 {
            return Err(TokenizeError::Invalid {
                file: TOKENIZER_CONFIG,
                at: format!("added_tokens_decoder.{last}"),
                problem: format!(
                    "expected an id below {}, for {} tokens are in {}",
                    first + MAX_ADDED as u64,
                    self.len(),
                    self.file
                ),
            });
        }
        let mut specials: Vec<String> = (first..=last)
            .map(|id| format!("<|reserved_token_{id}|>"))
            .collect();
        for (id, token) in added_tokens_decoder {
            let place = id
                .checked_sub(first)
                .and_then(|place| usize::try_from(place).ok());
            if let Some(place) = place {
                specials[place].clone_from(token);
            }
        }
        let placed: std::collections::HashSet<&String> = specials.iter().collect();
        let more: Vec<String> = extra_special_tokens
            .iter()
            .filter(|token| !placed.contains(token))
            .cloned()
            .collect();
        specials.extend(more);
        Ok(specials)
    }

    /// The whole tokenizer (`TikTokenConverter.converted`), with `special_tokens` as added tokens.
    ///
    /// # Errors
    ///
    /// Where the merges would take more memory than a vocabulary of this size can need.
    pub(crate) fn definition(
        &self,
        pattern: &str,
        special_tokens: &[String],
    ) -> Result<Definition, TokenizeError> {
        let bpe = self.ranks.bpe().map_err(|problem| TokenizeError::Invalid {
            file: self.file,
            at: "ranks".to_owned(),
            problem,
        })?;
        let mut definition = byte_level(self.file, bpe, pattern);
        definition.added_tokens = (self.len() as u64..)
            .zip(special_tokens)
            .map(|(id, token)| special(id, token.clone()))
            .collect();
        Ok(definition)
    }
}

/// An added token that is special and not normalized.
pub(super) fn special(id: u64, content: String) -> Added {
    Added {
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
    }
}

/// The lines, ended by `\n`, `\r` or both, as Python's `bytes.splitlines` has them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|&byte| byte == b'\r')
    })
}

/// The token and the rank of a line.
fn entry(line: &[u8]) -> Option<(Vec<u8>, u32)> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c);
    let mut parts = line.split(blank).filter(|part| !part.is_empty());
    let (token, rank) = (parts.next()?, parts.next()?);
    if parts.next().is_some() || !rank.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let token = base64::decode(std::str::from_utf8(token).ok()?)?;
    let rank = std::str::from_utf8(rank).ok()?.parse().ok()?;
    Some((token, rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tiktoken, String> {
        Tiktoken::read(text.as_bytes(), "tiktoken.model").map_err(|error| error.to_string())
    }

    #[test]
    fn a_file() {
        let file = read("YQ== 0\r\nYg== 1\n\n YWI=\t2 \nIA== 3").unwrap();
        assert_eq!(file.len(), 4);
        let definition = file.definition(PATTERN, &["<|end|>".to_owned()]).unwrap();
        assert_eq!(definition.added_tokens[0].id, 4);
        assert_eq!(definition.added_tokens[0].content, "<|end|>");
        definition.build().unwrap();
    }

    #[test]
    fn special_tokens_and_their_fillers() {
        let file = read("YQ== 0\nYg== 1").unwrap();
        let text = |tokens: &[&str]| -> Vec<String> {
            tokens.iter().map(|token| (*token).to_owned()).collect()
        };
        let decoder = [
            (4, "<e>".to_owned()),
            (0, "a".to_owned()),
            (2, "<c>".to_owned()),
        ];
        let extra = text(&["<c>", "<x>"]);
        assert_eq!(
            file.special_tokens(&decoder, &extra).unwrap(),
            text(&["<c>", "<|reserved_token_3|>", "<e>", "<x>"])
        );
        assert_eq!(file.special_tokens(&decoder[1..2], &extra).unwrap(), extra);
        let far = [(4_000_000_000, "x".to_owned())];
        assert_eq!(
            file.special_tokens(&far, &[]).unwrap_err().to_string(),
            "tokenizer_config.json: added_tokens_decoder.4000000000: expected an id below 1048578, for 2 tokens are in tiktoken.model"
        );
    }

    #[test]
    fn refusals() {
        let expected = "expected a token in base64, a space and its rank, found";
        for (text, found) in [
            ("YQ== 0\nYQ", "YQ"),
            ("YQ== 0\nYQ== 1 2", "YQ== 1 2"),
            ("YQ== 0\nYQ=! 1", "YQ=! 1"),
            ("YQ== 0\nYQ== -1", "YQ== -1"),
            ("YQ== 0\nYQ== 5000000000", "YQ== 5000000000"),
        ] {
            assert_eq!(
                read(text).unwrap_err(),
                format!("tiktoken.model: line 2: {expected} {found:?}")
            );
        }
        assert_eq!(read("").unwrap_err(), "tiktoken.model: line 1: no tokens");
        assert_eq!(
            read("YQ== 0\nYg== 0").unwrap_err(),
            "tiktoken.model: ranks: two tokens have the rank 0"
        );
        let binary = Tiktoken::read(&[0xff; 500], "tiktoken.model")
            .unwrap_err()
            .to_string();
        assert!(
            binary.starts_with("tiktoken.model: line 1: expected a token"),
            "{binary}"
        );
    }
}
