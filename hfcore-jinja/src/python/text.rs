//! `str`, and `markupsafe.Markup`, which is a `str` that is known to be escaped.

use std::sync::Arc;

use super::error::Error;
use super::meter::{Charge, Meter};

/// A shared, immutable string. Its length and its indices count code points, as in Python.
#[derive(Clone, Debug)]
pub struct Str {
    inner: Arc<Inner>,
    markup: bool,
}

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    /// Code points; equal to the bytes if all are ASCII.
    length: usize,
    _charge: Charge,
}

impl Str {
    /// A string made during a render: counted as work, and charged until it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`](super::ErrorKind::Memory) or [`ErrorKind::Steps`](super::ErrorKind::Steps).
    pub fn new(meter: &Meter, text: impl Into<Box<str>> + AsRef<str>) -> Result<Self, Error> {
        let bytes = text.as_ref().len();
        meter.work(bytes)?;
        let charge = meter.charge(bytes)?;
        Ok(Self::with_charge(text.into(), charge))
    }

    /// A constant of the template, or the caller's input: not charged.
    #[must_use]
    pub fn constant(text: impl Into<Box<str>>) -> Self {
        Self::with_charge(text.into(), Charge::none())
    }

    fn with_charge(text: Box<str>, charge: Charge) -> Self {
        Self {
            inner: Arc::new(Inner {
                length: text.chars().count(),
                text,
                _charge: charge,
            }),
            markup: false,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.inner.text
    }

    /// Code points: Python's `len`.
    #[must_use]
    pub fn length(&self) -> usize {
        self.inner.length
    }

    /// Whether a code point is a byte everywhere in the text.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.inner.length == self.inner.text.len()
    }

    /// Whether this is a `Markup`.
    #[must_use]
    pub fn is_markup(&self) -> bool {
        self.markup
    }

    /// The same text as a `Markup`, or as a plain `str`.
    #[must_use]
    pub fn with_markup(mut self, markup: bool) -> Self {
        self.markup = markup;
        self
    }
}

impl std::ops::Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}
