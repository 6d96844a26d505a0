//! The result of encoding a text.

use std::ops::Range;

/// Tokens of one text, or of two in a row, with special tokens around. All lists have one entry per token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// The ids (`input_ids`).
    pub ids: Vec<u32>,
    /// The tokens as the vocabulary writes them (`Ġhello`, `▁hello`, `##lo`).
    pub tokens: Vec<String>,
    /// The bytes of the text that each token stands for; `0..0` for tokens that the text does not contain. Always at
    /// character boundaries: tokens that share the bytes of one character have its whole range.
    pub offsets: Vec<Range<usize>>,
    /// The same in characters, as transformers' `offset_mapping` counts them.
    pub char_offsets: Vec<Range<usize>>,
    /// 1 for tokens that the post-processor added, else 0. (A special token in the text itself has 0.)
    pub special_tokens_mask: Vec<u32>,
    /// 1 for each token; padding is the caller's.
    pub attention_mask: Vec<u32>,
    /// Which of two texts a token belongs to, as the model wants it (`token_type_ids`).
    pub type_ids: Vec<u32>,
    /// 0 or 1: the text that a token comes from; `None` for added tokens.
    pub sequence_ids: Vec<Option<usize>>,
    /// The number of the word (as the pre-tokenizer splits) in its text; `None` for added tokens.
    pub word_ids: Vec<Option<u32>>,
}

impl Encoding {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// From the engine's encoding, whose offsets count characters.
    pub(crate) fn new(encoding: &tokenizers::Encoding, texts: [&str; 2]) -> Self {
        let byte_of = texts.map(byte_of_char);
        let sequence_ids = encoding.get_sequence_ids();
        let char_offsets: Vec<Range<usize>> = encoding
            .get_offsets()
            .iter()
            .map(|&(start, end)| start..end)
            .collect();
        let to_bytes = |(range, sequence): (&Range<usize>, &Option<usize>)| {
            let which = sequence.unwrap_or(0).min(1);
            let byte = |at: usize| match &byte_of[which] {
                None => at.min(texts[which].len()),
                Some(table) => table[at.min(table.len() - 1)],
            };
            byte(range.start)..byte(range.end)
        };
        Self {
            ids: encoding.get_ids().to_vec(),
            tokens: encoding.get_tokens().to_vec(),
            offsets: char_offsets
                .iter()
                .zip(&sequence_ids)
                .map(to_bytes)
                .collect(),
            char_offsets,
            special_tokens_mask: encoding.get_special_tokens_mask().to_vec(),
            attention_mask: encoding.get_attention_mask().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            sequence_ids,
            word_ids: encoding.get_word_ids().to_vec(),
        }
    }
}

/// The byte at which each character begins, and the end; `None` where they are the same.
fn byte_of_char(text: &str) -> Option<Vec<usize>> {
    let table = || {
        text.char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect()
    };
    (!text.is_ascii()).then(table)
}

/// The ids: what a model takes.
impl AsRef<[u32]> for Encoding {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}
