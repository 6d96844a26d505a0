//! [`BatchEncoding`]: rows of tokens, and what a model takes of them.

use std::ops::Index;

use crate::encoding::Encoding;
use crate::options::EncodeOptions;
use crate::options_error::OptionsError;

/// The rows of a batch, in the order of the texts; a text that was cut has, if asked for, a row for each part.
///
/// The rows are rectangular where padding was asked for and no part is longer; [`input_ids`](Self::input_ids) and the
/// other flat lists are for a model that takes them as `[B, T]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEncoding {
    rows: Vec<Encoding>,
    samples: Vec<usize>,
    token_type_ids: bool,
    attention_mask: bool,
    special_tokens_mask: bool,
    offset_mapping: bool,
    length: bool,
    overflow: bool,
}

impl BatchEncoding {
    /// Lines the parts up behind the texts that they were cut from. `inputs` are the model's.
    pub(crate) fn new(
        encodings: Vec<Encoding>,
        options: &EncodeOptions,
        inputs: &[impl AsRef<str>],
    ) -> Self {
        let takes = |name: &str| inputs.iter().any(|input| input.as_ref() == name);
        let mut rows = Vec::with_capacity(encodings.len());
        let mut samples = Vec::with_capacity(encodings.len());
        for (sample, mut encoding) in encodings.into_iter().enumerate() {
            let parts = std::mem::take(&mut encoding.overflowing);
            rows.push(encoding);
            rows.extend(parts);
            samples.resize(rows.len(), sample);
        }
        Self {
            rows,
            samples,
            token_type_ids: options
                .return_token_type_ids
                .unwrap_or_else(|| takes("token_type_ids")),
            attention_mask: options
                .return_attention_mask
                .unwrap_or_else(|| takes("attention_mask")),
            special_tokens_mask: options.return_special_tokens_mask,
            offset_mapping: options.return_offsets_mapping,
            length: options.return_length,
            overflow: options.return_overflowing_tokens,
        }
    }

    /// The rows. They hold everything, asked for or not.
    #[must_use]
    pub fn rows(&self) -> &[Encoding] {
        &self.rows
    }

    /// The rows, to keep.
    #[must_use]
    pub fn into_rows(self) -> Vec<Encoding> {
        self.rows
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text that each row is a part of (`overflow_to_sample_mapping`).
    #[must_use]
    pub fn overflow_to_sample_mapping(&self) -> &[usize] {
        &self.samples
    }

    /// The names that transformers' result has: what the model takes, or what was asked for.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("input_ids", true),
            ("token_type_ids", self.token_type_ids),
            ("attention_mask", self.attention_mask),
            ("special_tokens_mask", self.special_tokens_mask),
            ("offset_mapping", self.offset_mapping),
            ("length", self.length),
            ("overflow_to_sample_mapping", self.overflow),
        ];
        keys.into_iter()
            .filter_map(|(key, has)| has.then_some(key))
            .collect()
    }

    /// Tokens of each row.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Ragged`] where they differ: nothing was padded, or parts are longer than the rows.
    pub fn width(&self) -> Result<usize, OptionsError> {
        let expected = self.rows.first().map_or(0, Encoding::len);
        match self.rows.iter().position(|row| row.len() != expected) {
            None => Ok(expected),
            Some(row) => Err(OptionsError::Ragged {
                row,
                found: self.rows[row].len(),
                expected,
            }),
        }
    }

    /// The ids, row after row.
    ///
    /// # Errors
    ///
    /// As [`width`](Self::width).
    pub fn input_ids(&self) -> Result<Vec<i64>, OptionsError> {
        self.flat(|row| &row.ids)
    }

    /// The mask, row after row: 0 for padding. `None` where the model does not take it and it was not asked for.
    ///
    /// # Errors
    ///
    /// As [`width`](Self::width).
    pub fn attention_mask(&self) -> Result<Option<Vec<i64>>, OptionsError> {
        self.attention_mask
            .then(|| self.flat(|row| &row.attention_mask))
            .transpose()
    }

    /// The types, row after row. `None` where the model does not take them and they were not asked for.
    ///
    /// # Errors
    ///
    /// As [`width`](Self::width).
    pub fn token_type_ids(&self) -> Result<Option<Vec<i64>>, OptionsError> {
        self.token_type_ids
            .then(|| self.flat(|row| &row.type_ids))
            .transpose()
    }

    /// 1 for special tokens around a text and for padding, row after row. `None` where it was not asked for.
    ///
    /// # Errors
    ///
    /// As [`width`](Self::width).
    pub fn special_tokens_mask(&self) -> Result<Option<Vec<i64>>, OptionsError> {
        self.special_tokens_mask
            .then(|| self.flat(|row| &row.special_tokens_mask))
            .transpose()
    }

    fn flat(&self, list: impl Fn(&Encoding) -> &Vec<u32>) -> Result<Vec<i64>, OptionsError> {
        let mut flat = Vec::with_capacity(self.width()? * self.rows.len());
        for row in &self.rows {
            flat.extend(list(row).iter().copied().map(i64::from));
        }
        Ok(flat)
    }
}

impl Index<usize> for BatchEncoding {
    type Output = Encoding;

    fn index(&self, row: usize) -> &Encoding {
        &self.rows[row]
    }
}

impl<'a> IntoIterator for &'a BatchEncoding {
    type Item = &'a Encoding;
    type IntoIter = std::slice::Iter<'a, Encoding>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}
