//! The values of a card's fields that are neither text nor a list alone.

use super::yaml::YamlValue;

/// One text or a list of them: cards say `language: en` and `language: [en, fr]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOrMany {
    /// A text on its own.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    /// All of them, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_slice().iter().map(String::as_str)
    }

    pub(super) fn read(value: &YamlValue) -> Option<Self> {
        match value {
            YamlValue::Sequence(items) => {
                let items = items.iter().filter(|item| !item.is_null());
                let texts: Option<Vec<_>> = items.map(YamlValue::scalar_text).collect();
                texts.map(Self::Many)
            }
            scalar => scalar.scalar_text().map(Self::One),
        }
    }

    pub(super) fn write(&self) -> YamlValue {
        match self {
            Self::One(text) => text.as_str().into(),
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

impl From<&str> for OneOrMany {
    fn from(text: &str) -> Self {
        Self::One(text.to_owned())
    }
}

impl From<String> for OneOrMany {
    fn from(text: String) -> Self {
        Self::One(text)
    }
}

impl From<Vec<String>> for OneOrMany {
    fn from(texts: Vec<String>) -> Self {
        Self::Many(texts)
    }
}

/// How a model came from its base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BaseModelRelation {
    /// Weights to be added to the base model's.
    Adapter,
    /// The base model, trained further.
    Finetune,
    /// Several base models, combined.
    Merge,
    /// The base model in fewer bits.
    Quantized,
}

impl BaseModelRelation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Adapter, Self::Finetune, Self::Merge, Self::Quantized];

    /// As cards write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Finetune => "finetune",
            Self::Merge => "merge",
            Self::Quantized => "quantized",
        }
    }

    /// The relation that cards write so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|relation| relation.as_str() == name)
    }
}
