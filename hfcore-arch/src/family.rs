//! A family: the `model_type`s it answers for, and the heads it can be loaded as.

use hfcore_config::{Accounting, ConfigError, PretrainedConfig};
use hfcore_kernels::{DType, Device, QuantFormat};
use hfcore_weights::{LoadReport, Weights};

use crate::decoder::{Config, Decoder, DecoderConfig};
use crate::error::ModelError;
use crate::loader::Loader;
use crate::model::{
    CausalLm, ImageClassifier, ImageEncoder, MaskedLm, Seq2Seq, SequenceClassifier, TextEncoder,
};
use crate::quantize::{Quantize, QuantizeReport, Quantizer};

/// How a model is loaded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where it runs.
    pub device: Device,
    /// The type of its matrices; as published, if `None`.
    pub dtype: Option<DType>,
    /// Quantize the matrices of linear layers, from the type they were published in.
    pub quantize: Option<Quantize>,
    /// Refuse keys of `config.json` that the family does not define, instead of noting them.
    pub strict: bool,
}

impl LoadOptions {
    /// Run on this device.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Convert matrices to this type.
    #[must_use]
    pub fn with_dtype(mut self, dtype: Option<DType>) -> Self {
        self.dtype = dtype;
        self
    }

    /// Quantize matrices.
    #[must_use]
    pub fn with_quantize(mut self, quantize: Option<Quantize>) -> Self {
        self.quantize = quantize;
        self
    }

    /// Refuse keys of `config.json` that the family does not define.
    #[must_use]
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }
}

/// A model, and what was found beside it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded<T: ?Sized> {
    /// The model.
    pub model: Box<T>,
    /// What became of the checkpoint's tensors.
    pub report: LoadReport,
    /// What became of the configuration's keys.
    pub accounting: Accounting,
    /// What was quantized, if that was asked for.
    pub quantized: Option<QuantizeReport>,
}

impl<T: ?Sized> Loaded<T> {
    /// The same, seen as another trait.
    pub fn map<U: ?Sized>(self, f: impl FnOnce(Box<T>) -> Box<U>) -> Loaded<U> {
        Loaded {
            model: f(self.model),
            report: self.report,
            accounting: self.accounting,
            quantized: self.quantized,
        }
    }
}

/// Everything a model is loaded from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// `config.json`.
    pub config: &'a PretrainedConfig,
    /// The checkpoint.
    pub weights: &'a Weights,
    /// How.
    pub options: &'a LoadOptions,
}

impl Source<'_> {
    /// Read the configuration as a `C`, all keys accounted for.
    ///
    /// # Errors
    /// If a value is malformed, not implemented, or, under `strict`, a key is unknown to the family.
    pub fn read_config<C: Config>(&self) -> Result<(C, Accounting), ModelError> {
        let keys = self.config.keys();
        let config = C::read(&keys);
        let accounting = keys.finish()?;
        if self.options.strict && !accounting.unread.is_empty() {
            let model_type = self.config.model_type().unwrap_or_default().to_owned();
            let keys = accounting
                .unread
                .iter()
                .map(|(key, _)| key.clone())
                .collect();
            return Err(ModelError::UnreadKeys { model_type, keys });
        }
        Ok((config, accounting))
    }

    /// About how many bytes the weights have as they are computed with, all of the checkpoint's.
    fn bytes_on_device(&self) -> u64 {
        let LoadOptions {
            dtype, quantize, ..
        } = self.options;
        let elements = self.weights.total_elements();
        match (quantize, dtype) {
            (Some(quantize), _) if quantize.format == QuantFormat::Int8 => elements,
            (Some(_), _) => elements / 16 * 9,
            (None, Some(dtype)) => elements.saturating_mul(dtype.size() as u64),
            (None, None) => self.weights.total_bytes(),
        }
    }

    /// Build a model from a configuration `C` and the checkpoint.
    ///
    /// # Errors
    /// If the configuration is refused, the checkpoint does not fit, or the device has no room for it.
    pub fn load<C: Config, M>(
        &self,
        build: impl FnOnce(&Loader<'_>, &C, &str) -> M,
    ) -> Result<Loaded<M>, ModelError> {
        let (config, accounting) = self.read_config::<C>()?;
        let model_type = self.config.model_type().unwrap_or_default();
        let LoadOptions { device, dtype, .. } = self.options;
        let quantizer = self.options.quantize.as_ref().map(Quantizer::new);
        device.expect_weights(self.bytes_on_device());
        let built = self.weights.build(|scope| {
            let loader = Loader::new(scope.clone(), device, *dtype);
            let loader = loader.with_quantizer(quantizer.as_ref());
            let model = build(&loader, &config, model_type);
            (model, loader.finish())
        });
        let ((model, brought), report) = built?;
        brought?;
        Ok(Loaded {
            model: Box::new(model),
            report,
            accounting,
            quantized: quantizer.map(Quantizer::finish),
        })
    }
}

/// How a head is loaded.
pub type Load<T> = fn(&Source<'_>) -> Result<Loaded<T>, ModelError>;

/// The `model_type`s that one family answers for, and how each of its heads is loaded.
///
/// A `const` in the family's file:
///
/// ```ignore
/// pub const FAMILY: Family = Family::decoder::<LlamaConfig>(&["llama"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Family {
    model_types: &'static [&'static str],
    account: fn(&PretrainedConfig) -> Result<Accounting, ConfigError>,
    pub(crate) causal_lm: Option<Load<dyn CausalLm>>,
    pub(crate) text_encoder: Option<Load<dyn TextEncoder>>,
    pub(crate) masked_lm: Option<Load<dyn MaskedLm>>,
    pub(crate) sequence_classifier: Option<Load<dyn SequenceClassifier>>,
    pub(crate) seq2seq: Option<Load<dyn Seq2Seq>>,
    pub(crate) image_encoder: Option<Load<dyn ImageEncoder>>,
    pub(crate) image_classifier: Option<Load<dyn ImageClassifier>>,
}

impl Family {
    /// A family without heads yet, whose configuration is a `C`.
    #[must_use]
    pub const fn new<C: Config>(model_types: &'static [&'static str]) -> Self {
        Self {
            model_types,
            account: account::<C>,
            causal_lm: None,
            text_encoder: None,
            masked_lm: None,
            sequence_classifier: None,
            seq2seq: None,
            image_encoder: None,
            image_classifier: None,
        }
    }

    /// A family of decoders.
    #[must_use]
    pub const fn decoder<C: DecoderConfig>(model_types: &'static [&'static str]) -> Self {
        Self {
            causal_lm: Some(load_decoder::<C>),
            ..Self::new::<C>(model_types)
        }
    }

    /// With a head that predicts the next token.
    #[must_use]
    pub const fn with_causal_lm(self, load: Load<dyn CausalLm>) -> Self {
        Self {
            causal_lm: Some(load),
            ..self
        }
    }

    /// With a text encoder.
    #[must_use]
    pub const fn with_text_encoder(self, load: Load<dyn TextEncoder>) -> Self {
        Self {
            text_encoder: Some(load),
            ..self
        }
    }

    /// With a head that predicts masked tokens.
    #[must_use]
    pub const fn with_masked_lm(self, load: Load<dyn MaskedLm>) -> Self {
        Self {
            masked_lm: Some(load),
            ..self
        }
    }

    /// With a head that classifies sequences.
    #[must_use]
    pub const fn with_sequence_classifier(self, load: Load<dyn SequenceClassifier>) -> Self {
        Self {
            sequence_classifier: Some(load),
            ..self
        }
    }

    /// With an encoder-decoder.
    #[must_use]
    pub const fn with_seq2seq(self, load: Load<dyn Seq2Seq>) -> Self {
        Self {
            seq2seq: Some(load),
            ..self
        }
    }

    /// With an image encoder.
    #[must_use]
    pub const fn with_image_encoder(self, load: Load<dyn ImageEncoder>) -> Self {
        Self {
            image_encoder: Some(load),
            ..self
        }
    }

    /// With a head that classifies images.
    #[must_use]
    pub const fn with_image_classifier(self, load: Load<dyn ImageClassifier>) -> Self {
        Self {
            image_classifier: Some(load),
            ..self
        }
    }

    /// The `model_type`s this family answers for.
    #[must_use]
    pub const fn model_types(&self) -> &'static [&'static str] {
        self.model_types
    }

    /// What the family makes of the keys of `config`: read, declared inert, or unknown to it.
    ///
    /// # Errors
    /// If it refuses the configuration.
    pub fn account(&self, config: &PretrainedConfig) -> Result<Accounting, ConfigError> {
        (self.account)(config)
    }

    /// The heads the family can be loaded as, by the names of their traits.
    #[must_use]
    pub fn heads(&self) -> Vec<&'static str> {
        let heads = [
            ("CausalLm", self.causal_lm.is_some()),
            ("TextEncoder", self.text_encoder.is_some()),
            ("MaskedLm", self.masked_lm.is_some()),
            ("SequenceClassifier", self.sequence_classifier.is_some()),
            ("Seq2Seq", self.seq2seq.is_some()),
            ("ImageEncoder", self.image_encoder.is_some()),
            ("ImageClassifier", self.image_classifier.is_some()),
        ];
        heads
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _)| name)
            .collect()
    }
}

fn account<C: Config>(config: &PretrainedConfig) -> Result<Accounting, ConfigError> {
    let keys = config.keys();
    let _ = C::read(&keys);
    keys.finish()
}

fn load_decoder<C: DecoderConfig>(source: &Source<'_>) -> Result<Loaded<dyn CausalLm>, ModelError> {
    let loaded = source.load(|w, config: &C, model_type| {
        Decoder::<C::Layer>::load(w, model_type, &config.spec())
    })?;
    Ok(loaded.map(|model| model as Box<dyn CausalLm>))
}
