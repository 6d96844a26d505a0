//! [`OptionsError`]: options of encoding that contradict each other, the tokenizer or the text.

/// Options that cannot be met. Most are errors of transformers, too; those that are not are marked, with what it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Padding without a token to pad with.
    #[error(
        "asked to pad, but the tokenizer has no padding token: choose one, as in \
         `tokenizer.set_special_token(\"pad_token\", tokenizer.eos_token())`, or add one with `add_special_tokens`"
    )]
    NoPadToken,
    /// Both are asked for, and cutting would undo the multiple.
    #[error(
        "truncation and padding are both on, but the length {max_length} to cut to is not a multiple of \
         pad_to_multiple_of ({pad_to_multiple_of})"
    )]
    NotAMultiple {
        /// The length to cut to.
        max_length: usize,
        /// The multiple to pad to.
        pad_to_multiple_of: usize,
    },
    /// `pad_to_multiple_of` is 0. (transformers divides by it, or ignores it without truncation.)
    #[error("pad_to_multiple_of is 0; expected at least 1")]
    ZeroMultiple,
    /// The stride leaves nothing to go forward by.
    #[error(
        "a stride of {stride} with max_length {max_length}: of it, {special} are special tokens, so that parts of {room} \
         tokens would not go forward"
    )]
    Stride {
        /// Tokens to repeat.
        stride: usize,
        /// The length to cut to.
        max_length: usize,
        /// Special tokens in it.
        special: usize,
        /// What is left for this text.
        room: usize,
    },
    /// Less room than the special tokens take. (transformers' length goes below zero, wraps, and nothing is cut.)
    #[error("max_length is {max_length}, but {special} special tokens are added")]
    MaxLength {
        /// The length to cut to.
        max_length: usize,
        /// Special tokens that are added.
        special: usize,
    },
    /// `only_second` for a text without a pair.
    #[error("truncation error: second sequence not provided")]
    NoSecond,
    /// Cutting one of two texts to nothing is not enough.
    #[error(
        "truncation error: sequence to truncate too short to respect the provided max_length: it has {found} tokens, and \
         {excess} are too many"
    )]
    TooShort {
        /// Tokens of the text to cut.
        found: usize,
        /// Tokens to cut.
        excess: usize,
    },
    /// A length that would take all memory. (transformers tries.)
    #[error("{what} is {found}; at most {limit} tokens are padded to")]
    Absurd {
        /// The option.
        what: &'static str,
        /// Its value.
        found: usize,
        /// The largest one.
        limit: usize,
    },
    /// Parts that repeat so much, or padding so wide, that it would take all memory. (transformers tries.)
    #[error("{what} would have {found} tokens; at most {limit} are made")]
    TooMany {
        /// `the parts of this text`, `the padded batch`.
        what: &'static str,
        /// How many.
        found: usize,
        /// The largest number.
        limit: usize,
    },
    /// Rows of different lengths where a rectangle is needed.
    #[error(
        "row {row} has {found} tokens and row 0 has {expected}: ask for padding (and truncation) to have rows of one length"
    )]
    Ragged {
        /// The first row that differs.
        row: usize,
        /// Its length.
        found: usize,
        /// The length of the first.
        expected: usize,
    },
    /// An unknown name of a strategy.
    #[error("{found:?} is not a {of} strategy; select one of {known}")]
    Strategy {
        /// `padding` or `truncation`.
        of: &'static str,
        /// The name.
        found: String,
        /// The names that there are.
        known: &'static str,
    },
    /// A name that no special token has.
    #[error("{found:?} is not the name of a special token; there are {known}")]
    SpecialName {
        /// The name.
        found: String,
        /// The names that there are.
        known: String,
    },
}
