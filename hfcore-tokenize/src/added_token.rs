//! [`AddedToken`]: a token that is found in a text before anything else is done to it.

/// A token to add to a vocabulary, with the properties of transformers' `AddedToken`.
///
/// ```
/// use hfcore_tokenize::AddedToken;
///
/// let token = AddedToken::new("<|tool|>").with_special(true).with_lstrip(true);
/// assert_eq!(token.content(), "<|tool|>");
/// assert!(!token.normalized());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    pub(crate) content: String,
    pub(crate) single_word: bool,
    pub(crate) lstrip: bool,
    pub(crate) rstrip: bool,
    /// Unset: the opposite of `special`, also when that changes later.
    pub(crate) normalized: Option<bool>,
    pub(crate) special: bool,
}

impl AddedToken {
    /// A token that is not special and takes no blanks.
    pub fn new(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: None,
            special: false,
        }
    }

    /// Whether it is only found as a whole word: with no letter, digit or underscore beside it.
    #[must_use]
    pub fn with_single_word(mut self, single_word: bool) -> Self {
        self.single_word = single_word;
        self
    }

    /// Whether it takes the blanks before it.
    #[must_use]
    pub fn with_lstrip(mut self, lstrip: bool) -> Self {
        self.lstrip = lstrip;
        self
    }

    /// Whether it takes the blanks after it.
    #[must_use]
    pub fn with_rstrip(mut self, rstrip: bool) -> Self {
        self.rstrip = rstrip;
        self
    }

    /// Whether it is looked for, itself normalized, in the normalized text. Unless this is said, it is so for tokens
    /// that are not special.
    #[must_use]
    pub fn with_normalized(mut self, normalized: bool) -> Self {
        self.normalized = Some(normalized);
        self
    }

    /// Whether decoding with `skip_special_tokens` leaves it out.
    #[must_use]
    pub fn with_special(mut self, special: bool) -> Self {
        self.special = special;
        self
    }

    /// The text.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Whether it is only found as a whole word.
    #[must_use]
    pub const fn single_word(&self) -> bool {
        self.single_word
    }

    /// Whether it takes the blanks before it.
    #[must_use]
    pub const fn lstrip(&self) -> bool {
        self.lstrip
    }

    /// Whether it takes the blanks after it.
    #[must_use]
    pub const fn rstrip(&self) -> bool {
        self.rstrip
    }

    /// Whether it is looked for in the normalized text.
    #[must_use]
    pub fn normalized(&self) -> bool {
        self.normalized.unwrap_or(!self.special)
    }

    /// Whether it is special.
    #[must_use]
    pub const fn special(&self) -> bool {
        self.special
    }

    pub(crate) fn from_engine(token: &tokenizers::AddedToken) -> Self {
        Self {
            content: token.content.clone(),
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: Some(token.normalized),
            special: token.special,
        }
    }

    pub(crate) fn into_engine(self) -> tokenizers::AddedToken {
        let normalized = self.normalized();
        tokenizers::AddedToken {
            content: self.content,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized,
            special: self.special,
        }
    }
}

/// A token that is not special.
impl From<&str> for AddedToken {
    fn from(content: &str) -> Self {
        Self::new(content)
    }
}

/// A token that is not special.
impl From<String> for AddedToken {
    fn from(content: String) -> Self {
        Self::new(content)
    }
}
