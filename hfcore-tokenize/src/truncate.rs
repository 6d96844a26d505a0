//! Cutting what is too long, before special tokens come around it.
//!
//! The rules are those of the tokenizers library (`utils/truncation.rs`, `Encoding::truncate`), which panics where a
//! stride does not fit and always makes all parts: here a stride that does not fit is an error, parts are made only
//! when they are wanted, and how many tokens they would have is known before there are any.

use tokenizers::{Encoding, TruncationDirection};

use crate::options::Truncation;
use crate::options_error::OptionsError;
use crate::special::Side;

/// Most tokens in all parts of one text.
const MAX_TOKENS: usize = 1 << 25;

/// How to cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) strategy: Truncation,
    /// The length with special tokens.
    pub(crate) max_length: usize,
    pub(crate) stride: usize,
    pub(crate) side: Side,
    /// Whether to keep the other parts.
    pub(crate) keep: bool,
    /// Whether the longer of two texts is found as classes written in Python do.
    pub(crate) python: bool,
}

impl Cut {
    /// Cuts one or two texts so that `special` tokens more have room.
    pub(crate) fn apply(
        &self,
        first: Encoding,
        second: Option<Encoding>,
        special: usize,
    ) -> Result<(Encoding, Option<Encoding>), OptionsError> {
        let room = self
            .max_length
            .checked_sub(special)
            .ok_or(OptionsError::MaxLength {
                max_length: self.max_length,
                special,
            })?;
        let lengths = (first.len(), second.as_ref().map(Encoding::len));
        let (one, two) = self.lengths(lengths.0, lengths.1, room)?;
        let parts = |have: usize, want: usize| self.parts(have, want, special);
        let first_parts = parts(lengths.0, one)?;
        let second_parts = parts(lengths.1.unwrap_or(0), two)?;
        if self.keep {
            // Each part of the one goes with each of the other.
            let wide = one.max(1).saturating_add(two).saturating_add(special);
            let found = first_parts
                .saturating_mul(second_parts)
                .saturating_mul(wide);
            if first_parts.saturating_mul(second_parts) > 1 && found > MAX_TOKENS {
                return Err(OptionsError::TooMany {
                    what: "the parts of this text",
                    found,
                    limit: MAX_TOKENS,
                });
            }
        }
        Ok((
            self.cut(first, one),
            second.map(|second| self.cut(second, two)),
        ))
    }

    /// The lengths to cut to.
    fn lengths(
        &self,
        one: usize,
        two: Option<usize>,
        room: usize,
    ) -> Result<(usize, usize), OptionsError> {
        let total = one + two.unwrap_or(0);
        if room == 0 {
            return Ok((0, 0));
        }
        let excess = total.saturating_sub(room);
        if excess == 0 {
            return Ok((one, two.unwrap_or(0)));
        }
        let shorter = |found: usize| match found > excess {
            true => Ok(found - excess),
            false => Err(OptionsError::TooShort { found, excess }),
        };
        match (self.strategy, two) {
            (Truncation::OnlyFirst, _) => Ok((shorter(one)?, two.unwrap_or(0))),
            (Truncation::OnlySecond, None) => Err(OptionsError::NoSecond),
            (Truncation::OnlySecond, Some(two)) => Ok((one, shorter(two)?)),
            (_, None) => Ok((room, 0)),
            (_, Some(two)) if self.python => {
                // The difference first, then half each; of equal texts the second loses more.
                let first = one.abs_diff(two).min(excess);
                let rest = excess - first;
                Ok(if one > two {
                    (one - first - rest / 2, two - (rest - rest / 2))
                } else {
                    (one - rest / 2, two - first - (rest - rest / 2))
                })
            }
            (_, Some(two)) => {
                let short = one.min(two);
                let mut short_to = short;
                let mut long = if short > room {
                    short
                } else {
                    short.max(room - short)
                };
                if short + long > room {
                    short_to = room / 2;
                    long = short_to + room % 2;
                }
                Ok(if one > two {
                    (long, short_to)
                } else {
                    (short_to, long)
                })
            }
        }
    }

    /// How many parts `have` tokens make, of which each has `want`.
    fn parts(&self, have: usize, want: usize, special: usize) -> Result<usize, OptionsError> {
        if want >= have {
            return Ok(1);
        }
        if want == 0 {
            return Ok(2);
        }
        let step = want.saturating_sub(self.stride);
        if step == 0 {
            return Err(OptionsError::Stride {
                stride: self.stride,
                max_length: self.max_length,
                special,
                room: want,
            });
        }
        Ok(1 + (have - want).div_ceil(step))
    }

    fn cut(&self, mut encoding: Encoding, length: usize) -> Encoding {
        let have = encoding.len();
        if length >= have {
            return encoding;
        }
        let direction = match self.side {
            Side::Left => TruncationDirection::Left,
            Side::Right => TruncationDirection::Right,
        };
        if self.keep {
            encoding.truncate(length, self.stride, direction);
            return encoding;
        }
        let range = match self.side {
            Side::Left => have - length..have,
            Side::Right => 0..length,
        };
        Encoding::new(
            encoding.get_ids()[range.clone()].to_vec(),
            encoding.get_type_ids()[range.clone()].to_vec(),
            encoding.get_tokens()[range.clone()].to_vec(),
            encoding.get_word_ids()[range.clone()].to_vec(),
            encoding.get_offsets()[range.clone()].to_vec(),
            encoding.get_special_tokens_mask()[range.clone()].to_vec(),
            encoding.get_attention_mask()[range].to_vec(),
            Vec::new(),
            Default::default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(strategy: Truncation, max_length: usize, stride: usize) -> Cut {
        Cut {
            strategy,
            max_length,
            stride,
            side: Side::Right,
            keep: true,
            python: false,
        }
    }

    fn encoding(length: u32) -> Encoding {
        Encoding::from_tokens(
            (0..length)
                .map(|id| tokenizers::Token::new(id, String::new(), (0, 0)))
                .collect(),
            0,
        )
    }

    #[test]
    fn the_longest_loses_first() {
        let cut = cut(Truncation::LongestFirst, 10, 0);
        assert_eq!(cut.lengths(3, Some(20), 10), Ok((3, 7)));
        assert_eq!(cut.lengths(20, Some(3), 10), Ok((7, 3)));
        assert_eq!(cut.lengths(20, Some(20), 9), Ok((4, 5)));
        assert_eq!(cut.lengths(21, Some(20), 9), Ok((5, 4)));
        assert_eq!(cut.lengths(4, Some(4), 10), Ok((4, 4)));
        assert_eq!(cut.lengths(40, None, 10), Ok((10, 0)));
    }

    #[test]
    fn parts_are_counted_as_they_are_made() {
        for (have, want, stride) in [
            (10, 3, 0),
            (10, 3, 2),
            (10, 4, 1),
            (7, 6, 5),
            (5, 5, 4),
            (9, 0, 0),
        ] {
            let cut = cut(Truncation::LongestFirst, want, stride);
            let made = cut.apply(encoding(have), None, 0).unwrap().0;
            assert_eq!(
                cut.parts(have as usize, want, 0),
                Ok(1 + made.get_overflowing().len()),
                "{have} {want} {stride}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let apply = |cut: Cut, one, two: Option<u32>, special| {
            cut.apply(encoding(one), two.map(encoding), special)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            apply(cut(Truncation::LongestFirst, 4, 2), 9, None, 2),
            "a stride of 2 with max_length 4: of it, 2 are special tokens, so that parts of 2 tokens would not go forward"
        );
        assert_eq!(
            apply(cut(Truncation::LongestFirst, 1, 0), 9, None, 2),
            "max_length is 1, but 2 special tokens are added"
        );
        assert_eq!(
            apply(cut(Truncation::OnlySecond, 4, 0), 9, None, 0),
            "truncation error: second sequence not provided"
        );
        assert!(
            apply(cut(Truncation::OnlyFirst, 4, 0), 2, Some(9), 0)
                .ends_with("it has 2 tokens, and 7 are too many")
        );
        // A million parts of the one for each of the other.
        assert!(
            apply(
                cut(Truncation::LongestFirst, 2, 0),
                1 << 16,
                Some(1 << 16),
                0
            )
            .starts_with("the parts of this text would have ")
        );
    }
}
