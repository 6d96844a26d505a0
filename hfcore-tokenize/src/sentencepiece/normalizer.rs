//! SentencePiece's normalizer (`normalizer.cc`): the longest rule at each place, then the rules about spaces.
//!
//! The tokenizers library has the same rules, but looks them up by grapheme; where a rule reaches over the border of one,
//! or a grapheme begins with one, the two differ.

use crate::convert::SentencePiece;
use crate::engine::{Trie, check_charsmap};
use crate::error::TokenizeError;

/// How a space is written in pieces.
pub(super) const SPACE: &str = "\u{2581}";
/// Output bytes per input byte, as for any normalizer.
const GROWTH: usize = 32;
/// Output bytes for free.
const HEADROOM: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    /// darts-clone's double array.
    units: Vec<u32>,
    /// What rules write, each ended by a zero byte.
    replacements: String,
    /// User-defined pieces, which stay as they are.
    symbols: Trie,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    treat_whitespace_as_suffix: bool,
}

/// A text, normalized.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Normalized {
    pub(super) text: String,
    /// For each byte of `text` the byte of the original that it comes from, and one more for the end.
    pub(super) origins: Vec<usize>,
}

impl Normalizer {
    /// That of a model; `symbols` are its user-defined pieces.
    ///
    /// # Errors
    ///
    /// A character map that a text could walk out of.
    pub(super) fn new(model: &SentencePiece, symbols: Trie) -> Result<Self, TokenizeError> {
        let spec = &model.normalizer;
        let map = &spec.precompiled_charsmap;
        let (mut units, mut replacements) = (Vec::new(), String::new());
        if !map.is_empty() {
            check_charsmap(map).map_err(|problem| TokenizeError::Invalid {
                file: model.file,
                at: "normalizer_spec.precompiled_charsmap".to_owned(),
                problem,
            })?;
            let (length, rest) = map.split_first_chunk::<4>().expect("checked");
            let (trie, blob) = rest.split_at(u32::from_le_bytes(*length) as usize / 4 * 4);
            let chunks = trie.as_chunks::<4>().0.iter();
            units = chunks.map(|unit| u32::from_le_bytes(*unit)).collect();
            replacements = String::from_utf8(blob.to_vec()).expect("checked");
        }
        Ok(Self {
            units,
            replacements,
            symbols,
            add_dummy_prefix: spec.add_dummy_prefix,
            remove_extra_whitespaces: spec.remove_extra_whitespaces,
            escape_whitespaces: spec.escape_whitespaces,
            treat_whitespace_as_suffix: model.trainer.treat_whitespace_as_suffix,
        })
    }

    /// The length of the symbol or character that `text` begins with, and whether it is a symbol.
    pub(super) fn symbol(&self, text: &str) -> (usize, bool) {
        match self.symbols.prefixes(text.as_bytes()).last() {
            Some((length, _)) => (length, true),
            None => (text.chars().next().map_or(0, char::len_utf8), false),
        }
    }

    /// Normalizes a text.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::NormalizerGrowth`].
    pub(super) fn normalize(&self, text: &str) -> Result<Normalized, TokenizeError> {
        let limit = GROWTH * text.len() + HEADROOM;
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while let (" ", length) = self.prefix(rest) {
                rest = &rest[length..];
            }
        }
        if rest.is_empty() {
            return Ok(Normalized::default());
        }
        let space = if self.escape_whitespaces { SPACE } else { " " };
        let mut out = Normalized::default();
        let mut at = text.len() - rest.len();
        if self.add_dummy_prefix && !self.treat_whitespace_as_suffix {
            out.push(space, at);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (mut written, length) = self.prefix(rest);
            if after_space {
                written = written.trim_start_matches(' ');
            }
            for part in written.split_inclusive(' ') {
                match part.strip_suffix(' ') {
                    Some(word) => {
                        out.push(word, at);
                        out.push(space, at);
                    }
                    None => out.push(part, at),
                }
            }
            if out.text.len() > limit {
                return Err(TokenizeError::NormalizerGrowth {
                    input: text.len(),
                    output: out.text.len(),
                    limit,
                });
            }
            if !written.is_empty() {
                after_space = written.ends_with(' ');
            }
            after_space &= self.remove_extra_whitespaces;
            at += length;
            rest = &rest[length..];
        }
        if self.remove_extra_whitespaces {
            while let Some(shorter) = out.text.strip_suffix(space) {
                let length = shorter.len();
                at = out.origins[length];
                out.text.truncate(length);
                out.origins.truncate(length);
            }
        }
        if self.add_dummy_prefix && self.treat_whitespace_as_suffix {
            out.push(space, at);
        }
        out.origins.push(at);
        Ok(out)
    }

    /// What is written for the beginning of `text`, and how long that beginning is.
    fn prefix<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let (length, is_symbol) = self.symbol(text);
        if is_symbol {
            return (&text[..length], length);
        }
        match self.rule(text.as_bytes()) {
            // A rule for a part of a character would leave no text behind it.
            Some((end, value)) if text.is_char_boundary(end) => {
                let written = self.replacements.get(value..).unwrap_or_default();
                (written.split('\0').next().unwrap_or_default(), end)
            }
            _ => (&text[..length], length),
        }
    }

    /// The longest rule that `text` begins with: its length, and where its replacement begins.
    fn rule(&self, text: &[u8]) -> Option<(usize, usize)> {
        let offset = |unit: u32| ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6);
        let mut place = offset(*self.units.first()?);
        let mut longest = None;
        for (index, &byte) in text.iter().enumerate() {
            place ^= usize::from(byte);
            let Some(&unit) = self.units.get(place) else {
                break;
            };
            if unit & 0x8000_00ff != u32::from(byte) {
                break;
            }
            place ^= offset(unit);
            if (unit >> 8) & 1 == 1
                && let Some(leaf) = self.units.get(place)
            {
                longest = Some((index + 1, (leaf & 0x7fff_ffff) as usize));
            }
        }
        longest
    }
}

impl Normalized {
    fn push(&mut self, text: &str, origin: usize) {
        self.text.push_str(text);
        self.origins.resize(self.text.len(), origin);
    }
}
