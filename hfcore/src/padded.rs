//! From padded batches to ragged ones, and back.
//!
//! Inside, there is no padding. Callers who hold `input_ids` and an `attention_mask`, as transformers
//! takes them, convert here.

use std::ops::Range;

/// A padded batch of tokens, `[B, T]`, as the rows of real tokens in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddedBatch {
    rows: Vec<PaddedRow>,
    width: usize,
}

/// The real tokens of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PaddedRow {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Where they lie in the padded row.
    pub columns: Range<usize>,
}

/// Why `input_ids` and `attention_mask` are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaddedError {
    /// The mask has another size than the ids.
    #[error("the attention_mask has {mask} elements and input_ids {ids}")]
    MaskSize {
        /// Elements of the ids.
        ids: usize,
        /// Elements of the mask.
        mask: usize,
    },
    /// The ids are not whole rows.
    #[error("{ids} input_ids are not whole rows of {width}")]
    Ragged {
        /// Elements of the ids.
        ids: usize,
        /// The width of a row.
        width: usize,
    },
    /// An id is negative or beyond 32 bits.
    #[error("token id {id} in row {row} is not a token id")]
    Id {
        /// The row.
        row: usize,
        /// The id.
        id: i64,
    },
    /// A row has no token at all.
    #[error("row {row} of the attention_mask is all zero: there is nothing to attend to")]
    EmptyRow {
        /// The row.
        row: usize,
    },
    /// A row has padding between tokens.
    #[error(
        "row {row} of the attention_mask has zeros between ones; only padding on the left or right can be removed"
    )]
    Hole {
        /// The row.
        row: usize,
    },
}

impl PaddedBatch {
    /// The real tokens of `input_ids` `[B, width]`: those where `attention_mask` is not 0; all, if there is none.
    ///
    /// # Errors
    /// If sizes differ, an id is none, or a row of the mask is empty or has holes.
    pub fn new(
        input_ids: &[i64],
        attention_mask: Option<&[i64]>,
        width: usize,
    ) -> Result<Self, PaddedError> {
        let ids = input_ids.len();
        if width == 0 || !ids.is_multiple_of(width) {
            return Err(PaddedError::Ragged { ids, width });
        }
        if let Some(mask) = attention_mask.filter(|mask| mask.len() != ids) {
            return Err(PaddedError::MaskSize {
                ids,
                mask: mask.len(),
            });
        }
        let rows = input_ids.chunks(width).enumerate().map(|(row, ids)| {
            let columns = match attention_mask {
                Some(mask) => real_columns(&mask[row * width..][..width], row)?,
                None => 0..width,
            };
            let token = |&id| u32::try_from(id).map_err(|_| PaddedError::Id { row, id });
            let tokens = ids[columns.clone()]
                .iter()
                .map(token)
                .collect::<Result<_, _>>()?;
            Ok(PaddedRow { tokens, columns })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, _>>()?,
            width,
        })
    }

    /// The rows, `[B]`.
    #[must_use]
    pub fn rows(&self) -> &[PaddedRow] {
        &self.rows
    }

    /// `T`.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Values of the real tokens, `[sum of lengths, E]`, in their padded places, `[B, T, E]`; zero elsewhere.
    ///
    /// # Panics
    /// If `values` are not as many rows of `E` as there are real tokens.
    #[must_use]
    pub fn pad(&self, values: &[f32], e: usize) -> Vec<f32> {
        let real: usize = self.rows.iter().map(|row| row.tokens.len()).sum();
        assert_eq!(
            values.len(),
            real * e,
            "PaddedBatch::pad: values of {real} tokens"
        );
        let mut padded = vec![0.0; self.rows.len() * self.width * e];
        let mut from = 0;
        for (b, row) in self.rows.iter().enumerate() {
            let to = (b * self.width + row.columns.start) * e;
            let len = row.tokens.len() * e;
            padded[to..to + len].copy_from_slice(&values[from..from + len]);
            from += len;
        }
        padded
    }
}

fn real_columns(mask: &[i64], row: usize) -> Result<Range<usize>, PaddedError> {
    let first = mask
        .iter()
        .position(|&m| m != 0)
        .ok_or(PaddedError::EmptyRow { row })?;
    let end = mask
        .iter()
        .rposition(|&m| m != 0)
        .map_or(first, |last| last + 1);
    if mask[first..end].contains(&0) {
        return Err(PaddedError::Hole { row });
    }
    Ok(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_and_comes_back() {
        let batch = PaddedBatch::new(&[5, 6, 7, 0, 0, 8], Some(&[1, 1, 1, 0, 0, 1]), 3).unwrap();
        assert_eq!(batch.rows()[0].tokens, [5, 6, 7]);
        assert_eq!(
            (
                batch.rows()[1].tokens.as_slice(),
                batch.rows()[1].columns.clone()
            ),
            (&[8][..], 2..3)
        );
        assert_eq!(
            batch.pad(&[1.0, 2.0, 3.0, 4.0], 1),
            [1.0, 2.0, 3.0, 0.0, 0.0, 4.0]
        );
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let new = |mask: &[i64]| PaddedBatch::new(&[1, 2, 3], Some(mask), 3).unwrap_err();
        assert_eq!(new(&[1, 0, 1]), PaddedError::Hole { row: 0 });
        assert_eq!(new(&[0, 0, 0]), PaddedError::EmptyRow { row: 0 });
        assert_eq!(new(&[1, 1]), PaddedError::MaskSize { ids: 3, mask: 2 });
        assert_eq!(
            PaddedBatch::new(&[-1], None, 1).unwrap_err(),
            PaddedError::Id { row: 0, id: -1 }
        );
        assert_eq!(
            PaddedBatch::new(&[1], None, 2).unwrap_err(),
            PaddedError::Ragged { ids: 1, width: 2 }
        );
    }
}
