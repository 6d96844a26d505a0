//! What can go wrong: a file that does not describe a tokenizer, a text that it cannot encode, a template that fails.

use crate::answer::ResponseError;
use crate::chat::TemplateError;
use crate::options_error::OptionsError;

/// A tokenizer that could not be loaded, or a text that it could not encode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// The file is not JSON, or a value has another type than the format says.
    #[error("{file} does not parse: {message}")]
    Json {
        /// Which file.
        file: &'static str,
        /// What the parser says, with line and column.
        message: String,
    },
    /// The file is larger than any real one.
    #[error("{file} has {found} bytes; at most {limit} are read")]
    TooLarge {
        /// Which file.
        file: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A file that is there and cannot be read, or cannot be written.
    #[error("{path}: {message}")]
    Io {
        /// The path of the file.
        path: String,
        /// What the system says.
        message: String,
    },
    /// None of the files that the class of tokenizer is made from.
    #[error("no files for a {class}: looked for {wanted}; found {found}")]
    NoFiles {
        /// transformers' name of the class.
        class: &'static str,
        /// The files that it can be made from.
        wanted: String,
        /// The files that there are.
        found: String,
    },
    /// A class of tokenizer that this crate does not have.
    #[error("the tokenizer class {class} is not supported: {reason}")]
    UnsupportedClass {
        /// transformers' name of the class.
        class: String,
        /// What it needs, and what to do.
        reason: &'static str,
    },
    /// A value that no tokenizer can work with.
    #[error("{file}: {at}: {problem}")]
    Invalid {
        /// Which file.
        file: &'static str,
        /// The path of the value, such as `model.merges[3]`.
        at: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A value with a meaning that this crate does not implement.
    #[error("{file}: {at}: {what} is not supported")]
    Unsupported {
        /// Which file.
        file: &'static str,
        /// The path of the value.
        at: String,
        /// What it asks for.
        what: String,
    },
    /// The engine could not encode this text (no `unk_token` for an unknown word, for example).
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// A regular expression of the tokenizer gave up on this text. Splitting the text elsewhere would give other
    /// tokens than the model was trained with, so there is no result.
    #[error(
        "the tokenizer's pattern {pattern:?} gave up on a text of {length} bytes ({reason}); encode it in parts"
    )]
    PatternGaveUp {
        /// The pattern, shortened to 80 characters.
        pattern: String,
        /// The length in bytes of the text it was matched against.
        length: usize,
        /// The engine's reason.
        reason: String,
    },
    /// The normalizer made a text much longer than any real normalizer does.
    #[error("the normalizer turned {input} bytes into {output}, more than the limit of {limit}")]
    NormalizerGrowth {
        /// Bytes before normalization.
        input: usize,
        /// Bytes that normalization would have produced.
        output: usize,
        /// The limit in bytes: `32 * input + 64`.
        limit: usize,
    },
    /// The engine panicked: a bug in it that validation did not foresee. Nothing was lost but this call.
    #[error("the tokenizer engine panicked while {doing}: {message}")]
    Panicked {
        /// `loading`, `encoding` or `decoding`.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
    /// Options of encoding that cannot be met.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A text of a batch failed.
    #[error("text {index} of the batch: {error}")]
    InBatch {
        /// The position of the text in the batch.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// An id that no token has.
    #[error("the id {id} is no token's; the vocabulary has {len}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Tokens in the vocabulary.
        len: usize,
    },
    /// An argument that no tokenizer can take.
    #[error("{0}")]
    Argument(String),
    /// A `response_template` is wrong, or an answer is not as it says.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// A chat template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Name of the file in messages.
pub(crate) const TOKENIZER_JSON: &str = "tokenizer.json";
/// Name of the file in messages.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

impl TokenizeError {
    /// Refuses bytes of `file` beyond `limit`.
    pub(crate) fn check_size(file: &'static str, bytes: &[u8], limit: usize) -> Result<(), Self> {
        let found = bytes.len();
        if found > limit {
            return Err(Self::TooLarge { file, found, limit });
        }
        Ok(())
    }

    /// `tokenizer.json` is wrong at `at`.
    pub(crate) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            file: TOKENIZER_JSON,
            at: at.into(),
            problem: problem.into(),
        }
    }

    /// `tokenizer.json` asks at `at` for something that is not implemented.
    pub(crate) fn unsupported(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported {
            file: TOKENIZER_JSON,
            at: at.into(),
            what: what.into(),
        }
    }

    /// The same, said of another file: the checks speak of `tokenizer.json`, whatever was converted into it.
    pub(crate) fn of_file(self, file: &'static str) -> Self {
        match self {
            Self::Invalid { at, problem, .. } => Self::Invalid { file, at, problem },
            Self::Unsupported { at, what, .. } => Self::Unsupported { file, at, what },
            other => other,
        }
    }

    /// An error of the engine, or one of ours that travelled through it.
    pub(crate) fn from_engine(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(other) => Self::Encode(other.to_string()),
        }
    }
}

/// Runs `work`, turning a panic of the engine into an error. (With `panic = "abort"` there is no such net; the
/// validation before it is what every known panic meets.)
pub(crate) fn catch<T>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, TokenizeError>,
) -> Result<T, TokenizeError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_else(|| "no message".to_owned());
        Err(TokenizeError::Panicked { doing, message })
    })
}

/// `text` shortened to `most` characters for a message.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let result: Result<(), _> = catch("encoding", || panic!("boom {}", 3));
        assert_eq!(
            result.unwrap_err().to_string(),
            "the tokenizer engine panicked while encoding: boom 3"
        );
    }

    #[test]
    fn messages_are_shortened_at_characters() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
