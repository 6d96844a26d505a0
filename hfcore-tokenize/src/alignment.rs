//! From tokens to words and characters, and back.
//!
//! transformers' names, on one row. Positions of characters count as Python counts them; `sequence` is 0 or 1, the text
//! that is meant where there are two.

use std::ops::Range;

use crate::encoding::Encoding;

impl Encoding {
    /// How many texts it is made of: 1, or 2 for a pair.
    #[must_use]
    pub fn n_sequences(&self) -> usize {
        self.sequences.len()
    }

    /// The tokens of a text; none where there is no such text.
    fn sequence(&self, sequence: usize) -> Range<usize> {
        self.sequences.get(sequence).cloned().unwrap_or(0..0)
    }

    /// The text that a token comes from; `None` for special tokens around it, and beyond the end.
    #[must_use]
    pub fn token_to_sequence(&self, token: usize) -> Option<usize> {
        self.sequence_ids.get(token).copied().flatten()
    }

    /// The word that a token comes from; `None` for special tokens around the text.
    #[must_use]
    pub fn token_to_word(&self, token: usize) -> Option<u32> {
        self.token_to_sequence(token)?;
        self.word_ids.get(token).copied().flatten()
    }

    /// The characters that a token stands for; `None` for special tokens around the text.
    #[must_use]
    pub fn token_to_chars(&self, token: usize) -> Option<Range<usize>> {
        self.token_to_sequence(token)?;
        self.char_offsets.get(token).cloned()
    }

    /// The bytes that a token stands for, in its text or word; `None` for special tokens around the text.
    #[must_use]
    pub fn token_to_bytes(&self, token: usize) -> Option<Range<usize>> {
        self.token_to_sequence(token)?;
        self.offsets.get(token).cloned()
    }

    /// The first token that stands for a character; `None` for characters that no token has (blanks, often).
    #[must_use]
    pub fn char_to_token(&self, char: usize, sequence: usize) -> Option<usize> {
        self.sequence(sequence)
            .find(|&token| self.char_offsets[token].contains(&char))
    }

    /// The word that a character is in.
    #[must_use]
    pub fn char_to_word(&self, char: usize, sequence: usize) -> Option<u32> {
        self.token_to_word(self.char_to_token(char, sequence)?)
    }

    /// The tokens of a word; `None` where it has none.
    #[must_use]
    pub fn word_to_tokens(&self, word: u32, sequence: usize) -> Option<Range<usize>> {
        let range = self.sequence(sequence);
        let mut tokens = range
            .take_while(|&token| self.word_ids[token] <= Some(word))
            .filter(|&token| self.word_ids[token] == Some(word));
        let first = tokens.next()?;
        Some(first..tokens.last().unwrap_or(first) + 1)
    }

    /// The characters of a word; `None` where it has no token.
    #[must_use]
    pub fn word_to_chars(&self, word: u32, sequence: usize) -> Option<Range<usize>> {
        let tokens = self.word_to_tokens(word, sequence)?;
        Some(self.char_offsets[tokens.start].start..self.char_offsets[tokens.end - 1].end)
    }
}
