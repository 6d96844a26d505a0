//! Filling rows up to one length.

use crate::encoding::Encoding;
use crate::options::{EncodeOptions, Padding};
use crate::options_error::OptionsError;
use crate::special::Side;

/// Longest row that is padded to, in tokens.
const MAX_LENGTH: usize = 1 << 24;
/// Most tokens in a padded batch.
const MAX_TOKENS: usize = 1 << 27;

/// How to pad.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// The length to pad to; the longest row's if `None`.
    length: Option<usize>,
    multiple: usize,
    side: Side,
    id: u32,
    token: String,
}

impl Fill {
    /// What `options` ask for. `max_length` is the one to pad to, `pad` the token and its id, `side` the tokenizer's.
    pub(crate) fn new(
        options: &EncodeOptions,
        max_length: Option<usize>,
        pad: Option<(&str, u32)>,
        side: Side,
    ) -> Result<Option<Self>, OptionsError> {
        let multiple = options.pad_to_multiple_of.unwrap_or(1);
        if multiple == 0 {
            return Err(OptionsError::ZeroMultiple);
        }
        let length = match (options.padding, max_length) {
            (Padding::DoNotPad, _) | (Padding::MaxLength, None) => return Ok(None),
            (Padding::MaxLength, Some(length)) => Some(length),
            (Padding::Longest, _) => None,
        };
        let Some((token, id)) = pad else {
            return Err(OptionsError::NoPadToken);
        };
        let lengths = [
            ("max_length", length),
            ("pad_to_multiple_of", Some(multiple)),
        ];
        for (what, found) in lengths {
            if let Some(found) = found.filter(|&found| found > MAX_LENGTH) {
                return Err(OptionsError::Absurd {
                    what,
                    found,
                    limit: MAX_LENGTH,
                });
            }
        }
        Ok(Some(Self {
            length,
            multiple,
            side: options.padding_side.unwrap_or(side),
            id,
            token: token.to_owned(),
        }))
    }

    /// Pads the rows and the parts that were cut from them.
    pub(crate) fn apply(&self, rows: &mut [Encoding]) -> Result<(), OptionsError> {
        let longest = || rows.iter().map(Encoding::len).max().unwrap_or(0);
        let length = self.length.unwrap_or_else(longest);
        let length = length
            .checked_next_multiple_of(self.multiple)
            .unwrap_or(usize::MAX);
        let count: usize = rows.iter().map(|row| 1 + row.overflowing.len()).sum();
        let found = count.saturating_mul(length);
        if found > MAX_TOKENS {
            return Err(OptionsError::TooMany {
                what: "the padded batch",
                found,
                limit: MAX_TOKENS,
            });
        }
        for row in rows {
            self.row(row, length);
            for part in &mut row.overflowing {
                self.row(part, length);
            }
        }
        Ok(())
    }

    fn row(&self, row: &mut Encoding, length: usize) {
        let missing = length.saturating_sub(row.len());
        if missing == 0 {
            return;
        }
        let at = match self.side {
            Side::Left => 0,
            Side::Right => row.len(),
        };
        fill(&mut row.ids, at, missing, self.id);
        fill(&mut row.tokens, at, missing, self.token.clone());
        fill(&mut row.offsets, at, missing, 0..0);
        fill(&mut row.char_offsets, at, missing, 0..0);
        fill(&mut row.special_tokens_mask, at, missing, 1);
        fill(&mut row.attention_mask, at, missing, 0);
        fill(&mut row.type_ids, at, missing, 0);
        fill(&mut row.sequence_ids, at, missing, None);
        fill(&mut row.word_ids, at, missing, None);
        if self.side == Side::Left {
            for tokens in &mut row.sequences {
                *tokens = tokens.start + missing..tokens.end + missing;
            }
        }
    }
}

fn fill<T: Clone>(list: &mut Vec<T>, at: usize, count: usize, value: T) {
    list.splice(at..at, std::iter::repeat_n(value, count));
}
