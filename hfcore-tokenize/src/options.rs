//! [`EncodeOptions`]: how to encode, with transformers' names and defaults.

use std::str::FromStr;

use crate::options_error::OptionsError;
use crate::special::Side;

/// Whether and how far a batch is padded (`padding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Not at all (`False`, `"do_not_pad"`).
    #[default]
    DoNotPad,
    /// To the longest of the batch (`True`, `"longest"`).
    Longest,
    /// To `max_length`, or to the tokenizer's `model_max_length`; not at all where there is neither
    /// (`"max_length"`).
    MaxLength,
}

/// What loses tokens where a sequence is too long (`truncation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// Nothing (`False`, `"do_not_truncate"`).
    #[default]
    DoNotTruncate,
    /// The longer of the two texts, and both when they are as long (`True`, `"longest_first"`).
    LongestFirst,
    /// The first text (`"only_first"`).
    OnlyFirst,
    /// The second text (`"only_second"`).
    OnlySecond,
}

/// The name as transformers writes it.
impl FromStr for Padding {
    type Err = OptionsError;

    fn from_str(name: &str) -> Result<Self, OptionsError> {
        match name {
            "do_not_pad" => Ok(Self::DoNotPad),
            "longest" => Ok(Self::Longest),
            "max_length" => Ok(Self::MaxLength),
            _ => Err(OptionsError::Strategy {
                of: "padding",
                found: name.to_owned(),
                known: "longest, max_length, do_not_pad",
            }),
        }
    }
}

/// The name as transformers writes it.
impl FromStr for Truncation {
    type Err = OptionsError;

    fn from_str(name: &str) -> Result<Self, OptionsError> {
        match name {
            "do_not_truncate" => Ok(Self::DoNotTruncate),
            "longest_first" => Ok(Self::LongestFirst),
            "only_first" => Ok(Self::OnlyFirst),
            "only_second" => Ok(Self::OnlySecond),
            _ => Err(OptionsError::Strategy {
                of: "truncation",
                found: name.to_owned(),
                known: "only_first, only_second, longest_first, do_not_truncate",
            }),
        }
    }
}

/// The arguments of transformers' `tokenizer(…)`, with its defaults: special tokens are added, nothing is cut, nothing
/// is padded.
///
/// `is_split_into_words` is not among them: whether a text comes in words is what [`EncodeInput`] says.
///
/// [`EncodeInput`]: crate::EncodeInput
///
/// ```
/// use hfcore_tokenize::{EncodeOptions, Padding, Truncation};
///
/// let options = EncodeOptions::default()
///     .with_padding(Padding::Longest)
///     .with_truncation(Truncation::LongestFirst)
///     .with_max_length(384)
///     .with_stride(128)
///     .with_return_overflowing_tokens(true);
/// assert_eq!(options.max_length, Some(384));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// Whether the post-processor adds its tokens (`<s>`, `[CLS]`, …). True unless said otherwise.
    pub add_special_tokens: bool,
    /// Whether and how far to pad.
    pub padding: Padding,
    /// What to cut. `None` is nothing, but where `max_length` is given and nothing is padded, the longest first.
    pub truncation: Option<Truncation>,
    /// The length, special tokens included, to cut and to pad to; the tokenizer's `model_max_length` if `None`.
    pub max_length: Option<usize>,
    /// How many tokens of a part the next part repeats, where a text is cut.
    pub stride: usize,
    /// Pad to a multiple of this.
    pub pad_to_multiple_of: Option<usize>,
    /// The side to pad on; the tokenizer's own if `None`.
    pub padding_side: Option<Side>,
    /// Whether [`BatchEncoding`](crate::BatchEncoding) has `token_type_ids`; as the model takes them if `None`.
    pub return_token_type_ids: Option<bool>,
    /// Whether it has an `attention_mask`; likewise.
    pub return_attention_mask: Option<bool>,
    /// Whether what was cut is kept, in parts of the same length.
    pub return_overflowing_tokens: bool,
    /// Whether it has a `special_tokens_mask`.
    pub return_special_tokens_mask: bool,
    /// Whether it has an `offset_mapping`.
    pub return_offsets_mapping: bool,
    /// Whether it has a `length`.
    pub return_length: bool,
    /// Whether special tokens that the text contains are taken for text; as `tokenizer_config.json` says if `None`.
    pub split_special_tokens: Option<bool>,
    /// Threads that a batch is encoded on. If `None`, as many as there are cores, or one where the environment has
    /// `TOKENIZERS_PARALLELISM=false`. The result is the same for any number.
    pub threads: Option<usize>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            add_special_tokens: true,
            padding: Padding::DoNotPad,
            truncation: None,
            max_length: None,
            stride: 0,
            pad_to_multiple_of: None,
            padding_side: None,
            return_token_type_ids: None,
            return_attention_mask: None,
            return_overflowing_tokens: false,
            return_special_tokens_mask: false,
            return_offsets_mapping: false,
            return_length: false,
            split_special_tokens: None,
            threads: None,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $setter:ident($field:ident: $type:ty) = $value:expr;)*) => {
        impl EncodeOptions {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $setter(mut self, $field: $type) -> Self {
                    self.$field = $value;
                    self
                }
            )*
        }
    };
}

setters! {
    /// Sets [`add_special_tokens`](Self::add_special_tokens).
    with_add_special_tokens(add_special_tokens: bool) = add_special_tokens;
    /// Sets [`padding`](Self::padding).
    with_padding(padding: Padding) = padding;
    /// Sets [`truncation`](Self::truncation).
    with_truncation(truncation: Truncation) = Some(truncation);
    /// Sets [`max_length`](Self::max_length).
    with_max_length(max_length: usize) = Some(max_length);
    /// Sets [`stride`](Self::stride).
    with_stride(stride: usize) = stride;
    /// Sets [`pad_to_multiple_of`](Self::pad_to_multiple_of).
    with_pad_to_multiple_of(pad_to_multiple_of: usize) = Some(pad_to_multiple_of);
    /// Sets [`padding_side`](Self::padding_side).
    with_padding_side(padding_side: Side) = Some(padding_side);
    /// Sets [`return_token_type_ids`](Self::return_token_type_ids).
    with_return_token_type_ids(return_token_type_ids: bool) = Some(return_token_type_ids);
    /// Sets [`return_attention_mask`](Self::return_attention_mask).
    with_return_attention_mask(return_attention_mask: bool) = Some(return_attention_mask);
    /// Sets [`return_overflowing_tokens`](Self::return_overflowing_tokens).
    with_return_overflowing_tokens(return_overflowing_tokens: bool) = return_overflowing_tokens;
    /// Sets [`return_special_tokens_mask`](Self::return_special_tokens_mask).
    with_return_special_tokens_mask(return_special_tokens_mask: bool) = return_special_tokens_mask;
    /// Sets [`return_offsets_mapping`](Self::return_offsets_mapping).
    with_return_offsets_mapping(return_offsets_mapping: bool) = return_offsets_mapping;
    /// Sets [`return_length`](Self::return_length).
    with_return_length(return_length: bool) = return_length;
    /// Sets [`split_special_tokens`](Self::split_special_tokens).
    with_split_special_tokens(split_special_tokens: bool) = Some(split_special_tokens);
    /// Sets [`threads`](Self::threads).
    with_threads(threads: usize) = Some(threads);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_by_name() {
        assert_eq!("longest".parse(), Ok(Padding::Longest));
        assert_eq!("only_second".parse(), Ok(Truncation::OnlySecond));
        assert_eq!(
            "long".parse::<Padding>().unwrap_err().to_string(),
            "\"long\" is not a padding strategy; select one of longest, max_length, do_not_pad"
        );
        assert!("".parse::<Truncation>().is_err());
    }
}
