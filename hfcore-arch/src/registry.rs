//! Which family answers for a `model_type`. A value, so that any crate can add its own.

use hfcore_config::PretrainedConfig;

use crate::error::ModelError;
use crate::families;
use crate::family::{Family, Load, Loaded, Source};
use crate::model::{
    CausalLm, ImageClassifier, ImageEncoder, MaskedLm, Seq2Seq, SequenceClassifier, TextEncoder,
};

/// The families that can be loaded. Later entries override earlier ones.
#[derive(Clone, Debug)]
pub struct Registry {
    families: Vec<Family>,
}

impl Registry {
    /// No families.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            families: Vec::new(),
        }
    }

    /// The families of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            families: families::ALL.to_vec(),
        }
    }

    /// With one more family.
    #[must_use]
    pub fn with(mut self, family: Family) -> Self {
        self.families.push(family);
        self
    }

    /// Every `model_type` that is answered for, sorted.
    #[must_use]
    pub fn model_types(&self) -> Vec<&'static str> {
        let mut types: Vec<_> = self
            .families
            .iter()
            .flat_map(|family| family.model_types())
            .copied()
            .collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// The family that `config.json` names.
    ///
    /// # Errors
    /// If it names none, or one that is not registered.
    pub fn find(&self, config: &PretrainedConfig) -> Result<&Family, ModelError> {
        let model_type = config.model_type().ok_or(ModelError::NoModelType)?;
        let found = self
            .families
            .iter()
            .rev()
            .find(|family| family.model_types().contains(&model_type));
        found.ok_or_else(|| ModelError::UnknownModelType {
            model_type: model_type.to_owned(),
            registered: self.model_types().into_iter().map(str::to_owned).collect(),
            auto_map: config.auto_map(),
        })
    }

    /// Load `…ForCausalLM`.
    ///
    /// # Errors
    /// If the family is unknown or has no such head, or config or checkpoint do not fit.
    pub fn causal_lm(&self, source: &Source<'_>) -> Result<Loaded<dyn CausalLm>, ModelError> {
        self.load(source, "CausalLm", |family| family.causal_lm)
    }

    /// Load a text encoder without a head.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn text_encoder(&self, source: &Source<'_>) -> Result<Loaded<dyn TextEncoder>, ModelError> {
        self.load(source, "TextEncoder", |family| family.text_encoder)
    }

    /// Load `…ForMaskedLM`.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn masked_lm(&self, source: &Source<'_>) -> Result<Loaded<dyn MaskedLm>, ModelError> {
        self.load(source, "MaskedLm", |family| family.masked_lm)
    }

    /// Load `…ForSequenceClassification`.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn sequence_classifier(
        &self,
        source: &Source<'_>,
    ) -> Result<Loaded<dyn SequenceClassifier>, ModelError> {
        self.load(source, "SequenceClassifier", |family| {
            family.sequence_classifier
        })
    }

    /// Load an encoder-decoder, `…ForConditionalGeneration`.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn seq2seq(&self, source: &Source<'_>) -> Result<Loaded<dyn Seq2Seq>, ModelError> {
        self.load(source, "Seq2Seq", |family| family.seq2seq)
    }

    /// Load an image encoder without a head.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn image_encoder(
        &self,
        source: &Source<'_>,
    ) -> Result<Loaded<dyn ImageEncoder>, ModelError> {
        self.load(source, "ImageEncoder", |family| family.image_encoder)
    }

    /// Load `…ForImageClassification`.
    ///
    /// # Errors
    /// As [`causal_lm`](Self::causal_lm).
    pub fn image_classifier(
        &self,
        source: &Source<'_>,
    ) -> Result<Loaded<dyn ImageClassifier>, ModelError> {
        self.load(source, "ImageClassifier", |family| family.image_classifier)
    }

    fn load<T: ?Sized>(
        &self,
        source: &Source<'_>,
        head: &'static str,
        choose: impl Fn(&Family) -> Option<Load<T>>,
    ) -> Result<Loaded<T>, ModelError> {
        let family = self.find(source.config)?;
        if let Some(quantization) = source.config.quantization_config() {
            return Err(ModelError::Quantized {
                method: quantization.method.name().to_owned(),
            });
        }
        let load = choose(family).ok_or_else(|| ModelError::NoSuchHead {
            model_type: source.config.model_type().unwrap_or_default().to_owned(),
            head,
            available: family.heads(),
        })?;
        load(source)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}
