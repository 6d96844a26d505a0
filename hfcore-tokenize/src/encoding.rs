//! The result of encoding a text.

use std::ops::Range;

use crate::input::{EncodeInput, Source};

/// Tokens of one text, or of two in a row, with special tokens around. All lists have one entry per token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// The ids (`input_ids`).
    pub ids: Vec<u32>,
    /// The tokens as the vocabulary writes them (`Ġhello`, `▁hello`, `##lo`).
    pub tokens: Vec<String>,
    /// The bytes of the text (or, if words were encoded, of the word) that each token stands for; `0..0` for tokens
    /// that the text does not contain. Always at character boundaries: tokens that share the bytes of one character
    /// have its whole range.
    pub offsets: Vec<Range<usize>>,
    /// The same in characters, as transformers' `offset_mapping` counts them.
    pub char_offsets: Vec<Range<usize>>,
    /// 1 for tokens that the post-processor added and for padding, else 0. (A special token in the text itself has 0, but
    /// 1 in a `MarianTokenizer`.)
    pub special_tokens_mask: Vec<u32>,
    /// 1 for each token, 0 for padding.
    pub attention_mask: Vec<u32>,
    /// Which of two texts a token belongs to, as the model wants it (`token_type_ids`).
    pub type_ids: Vec<u32>,
    /// 0 or 1: the text that a token comes from; `None` for added tokens.
    pub sequence_ids: Vec<Option<usize>>,
    /// The number of the word (as the pre-tokenizer splits, or of those given) in its text; `None` for added tokens.
    pub word_ids: Vec<Option<u32>>,
    /// What was cut, in parts of the same length, where `return_overflowing_tokens` asks for it.
    pub overflowing: Vec<Self>,
    /// The tokens of each text.
    pub(crate) sequences: Vec<Range<usize>>,
}

impl Encoding {
    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// From the engine's encoding, whose offsets count characters.
    pub(crate) fn new(encoding: &tokenizers::Encoding, input: &EncodeInput<'_>) -> Self {
        let tables = [Some(&input.text), input.pair.as_ref()].map(|source| source.map(Bytes::new));
        // Parts of a pair hold parts themselves in the engine, all of which are in the first list already.
        let parts = encoding.get_overflowing().iter();
        Self {
            overflowing: parts.map(|part| Self::convert(part, &tables)).collect(),
            ..Self::convert(encoding, &tables)
        }
    }

    fn convert(encoding: &tokenizers::Encoding, tables: &[Option<Bytes<'_>>; 2]) -> Self {
        let sequence_ids = encoding.get_sequence_ids();
        let char_offsets: Vec<Range<usize>> = encoding
            .get_offsets()
            .iter()
            .map(|&(start, end)| start..end)
            .collect();
        let word_ids = encoding.get_word_ids().to_vec();
        let to_bytes = |token: usize| {
            let range = &char_offsets[token];
            let table = sequence_ids[token].and_then(|sequence| tables[sequence.min(1)].as_ref());
            table.map_or(0..0, |table| table.bytes(range, word_ids[token]))
        };
        let sequences = (0..encoding.n_sequences()).map(|sequence| {
            let has = |id: &Option<usize>| *id == Some(sequence);
            match sequence_ids.iter().position(has) {
                Some(first) => first..sequence_ids.iter().rposition(has).map_or(first, |l| l + 1),
                None => 0..0,
            }
        });
        Self {
            ids: encoding.get_ids().to_vec(),
            tokens: encoding.get_tokens().to_vec(),
            offsets: (0..char_offsets.len()).map(to_bytes).collect(),
            special_tokens_mask: encoding.get_special_tokens_mask().to_vec(),
            attention_mask: encoding.get_attention_mask().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            overflowing: Vec::new(),
            sequences: sequences.collect(),
            char_offsets,
            sequence_ids,
            word_ids,
        }
    }
}

/// Where the characters of a text, or of each of its words, begin.
enum Bytes<'a> {
    Text(Starts<'a>),
    Words(Vec<Starts<'a>>),
}

impl<'a> Bytes<'a> {
    fn new(source: &'a Source<'_>) -> Self {
        match source {
            Source::Text(text) => Self::Text(Starts::new(text)),
            Source::Words(words) => {
                Self::Words(words.iter().map(|word| Starts::new(word)).collect())
            }
        }
    }

    fn bytes(&self, chars: &Range<usize>, word: Option<u32>) -> Range<usize> {
        let starts = match self {
            Self::Text(starts) => Some(starts),
            Self::Words(words) => word.and_then(|word| words.get(word as usize)),
        };
        starts.map_or(0..0, |starts| starts.of(chars.start)..starts.of(chars.end))
    }
}

/// The byte at which each character of a text begins, and the end; no table where they are the same.
struct Starts<'a> {
    text: &'a str,
    table: Option<Vec<usize>>,
}

impl<'a> Starts<'a> {
    fn new(text: &'a str) -> Self {
        let table = || {
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect()
        };
        Self {
            text,
            table: (!text.is_ascii()).then(table),
        }
    }

    fn of(&self, char: usize) -> usize {
        match &self.table {
            None => char.min(self.text.len()),
            Some(table) => table[char.min(table.len() - 1)],
        }
    }
}

/// The ids: what a model takes.
impl AsRef<[u32]> for Encoding {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}
