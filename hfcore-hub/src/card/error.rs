//! Why a model card cannot be read, or should not be published.

use std::io;
use std::path::PathBuf;

use super::validate::CardProblem;

/// Why a card cannot be read or published. No model fails to load for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The file could not be read.
    #[error("the card {} could not be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no text.
    #[error("the card is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// In the file.
        offset: usize,
    },
    /// It is longer than is read.
    #[error("the card's {what} has {bytes} bytes, and `{limit}` is {max}")]
    TooLarge {
        /// `file`, or `front matter`.
        what: &'static str,
        /// Its bytes; at least so many.
        bytes: u64,
        /// The field of [`CardLimits`](super::CardLimits).
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// The front matter is no YAML, or YAML of a kind that cards do not have.
    #[error("the card's front matter is refused at line {line}: {why}")]
    Yaml {
        /// Of the file, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The front matter is YAML, and no mapping.
    #[error(
        "the card's front matter is {found}, and a mapping (`key: value` on each line) was expected"
    )]
    NotAMapping {
        /// What it is.
        found: &'static str,
    },
    /// A key is no text.
    #[error("the card's front matter has the key {key}, which is {found}, and text was expected")]
    Key {
        /// Quoted, and cut if it is long.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// The evaluation results are not complete.
    #[error("the card's evaluation results are refused: {place} {why}")]
    ModelIndex {
        /// `model-index[0].results[2].dataset.name`.
        place: String,
        /// `is missing`, `is a list` …
        why: String,
    },
    /// The Hub would not take it.
    #[error("the card is not fit for the Hub: {}", some_of(.problems))]
    Invalid {
        /// Those among its problems that are errors.
        problems: Vec<CardProblem>,
    },
    /// The Hub was asked and would not take it.
    #[error("the Hub refuses the card: {message}")]
    Rejected {
        /// What it said.
        message: String,
    },
}

/// Text from a card for a message: quoted, and cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

fn some_of(problems: &[CardProblem]) -> String {
    let shown: Vec<String> = problems.iter().take(5).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(shown.len());
    let more = if more == 0 {
        String::new()
    } else {
        format!("; and {more} more")
    };
    shown.join("; ") + &more
}
