//! [`EncodeInput`]: a text, or words, alone or with a second.

use std::borrow::Cow;

/// What one encoding is made of: a text or its words, and perhaps a second to go with it (a question and a passage, a
/// premise and a hypothesis).
///
/// Words are what transformers takes with `is_split_into_words`: each is encoded by itself, [`Encoding::word_ids`]
/// count them, and [`Encoding::offsets`] count within each.
///
/// [`Encoding::word_ids`]: crate::Encoding::word_ids
/// [`Encoding::offsets`]: crate::Encoding::offsets
///
/// ```
/// use hfcore_tokenize::EncodeInput;
///
/// let text = EncodeInput::from("a text");
/// let pair = EncodeInput::from(("a question", "a passage"));
/// let words = EncodeInput::words(["New", "York"]);
/// assert_ne!(words, EncodeInput::words(["New", "York"]).with_pair_words(["is", "big"]));
/// # let _ = (text, pair);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeInput<'a> {
    pub(crate) text: Source<'a>,
    pub(crate) pair: Option<Source<'a>>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    Text(Cow<'a, str>),
    Words(Vec<Cow<'a, str>>),
}

impl Source<'_> {
    /// What Python takes for false, and so for no second text at all.
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Words(words) => words.is_empty(),
        }
    }

    /// The size in bytes, to share work out.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Words(words) => words.iter().map(|word| word.len()).sum(),
        }
    }
}

impl<'a> EncodeInput<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: Source::Text(text.into()),
            pair: None,
        }
    }

    /// A text that is split into words already (`is_split_into_words`).
    pub fn words<W: Into<Cow<'a, str>>>(words: impl IntoIterator<Item = W>) -> Self {
        Self {
            text: Source::Words(words.into_iter().map(Into::into).collect()),
            pair: None,
        }
    }

    /// With a second text.
    #[must_use]
    pub fn with_pair(mut self, pair: impl Into<Cow<'a, str>>) -> Self {
        self.pair = Some(Source::Text(pair.into()));
        self
    }

    /// With the words of a second text.
    #[must_use]
    pub fn with_pair_words<W: Into<Cow<'a, str>>>(
        mut self,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        self.pair = Some(Source::Words(words.into_iter().map(Into::into).collect()));
        self
    }

    /// As transformers takes a single input: an empty second text is none.
    pub(crate) fn without_empty_pair(mut self) -> Self {
        if self.pair.as_ref().is_some_and(Source::is_empty) {
            self.pair = None;
        }
        self
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.bytes() + self.pair.as_ref().map_or(0, Source::bytes)
    }
}

impl<'a> From<&'a str> for EncodeInput<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl<'a> From<&'a String> for EncodeInput<'a> {
    fn from(text: &'a String) -> Self {
        Self::text(text)
    }
}

impl From<String> for EncodeInput<'_> {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// A text and its pair.
impl<'a, A: Into<Cow<'a, str>>, B: Into<Cow<'a, str>>> From<(A, B)> for EncodeInput<'a> {
    fn from((text, pair): (A, B)) -> Self {
        Self::text(text).with_pair(pair)
    }
}
