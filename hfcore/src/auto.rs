//! The auto classes: the right model, configuration or tokenizer for a folder, chosen by its files.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use hfcore_arch::{
    CausalLm, ImageClassifier, ImageEncoder, LoadOptions, Loaded, MaskedLm, ModelError, Quantize,
    QuantizeReport, Registry, Seq2Seq, SequenceClassifier, Source, TextEncoder,
};
use hfcore_config::{Accounting, GenerationConfig, PretrainedConfig};
use hfcore_generate::{Generation, Generator};
use hfcore_kernels::{DType, Device, QuantFormat};
use hfcore_tokenize::Tokenizer;
use hfcore_weights::{LoadReport, OpenOptions, WeightSource, Weights};

use crate::error::Error;
use crate::model_dir::{ModelDir, Origin};
use crate::packed::{Packed, PackedCache, PackedFile, Quantization};
use crate::pretrained::Pretrained;

/// Reads the configuration of a model folder.
#[derive(Clone, Copy, Debug)]
pub struct AutoConfig;

impl AutoConfig {
    /// `config.json` of the model of this name: nothing else is fetched but configurations and the tokenizer.
    ///
    /// # Errors
    /// As [`Pretrained::fetch`], and if it is missing or malformed.
    pub fn from_pretrained(source: impl Into<Pretrained>) -> Result<PretrainedConfig, Error> {
        source.into().skip_weights(true).fetch()?.config()
    }

    /// `config.json` of the folder.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn load(path: impl AsRef<Path>) -> Result<PretrainedConfig, Error> {
        ModelDir::new(path)?.config()
    }
}

/// Reads the tokenizer of a model folder.
#[derive(Clone, Copy, Debug)]
pub struct AutoTokenizer;

impl AutoTokenizer {
    /// The tokenizer of the model of this name; its weights are not fetched.
    ///
    /// # Errors
    /// As [`Pretrained::fetch`] and [`load`](Self::load).
    pub fn from_pretrained(source: impl Into<Pretrained>) -> Result<Tokenizer, Error> {
        source.into().skip_weights(true).fetch()?.tokenizer()
    }

    /// The tokenizer of the folder, of the class that transformers takes for it: see [`ModelDir::tokenizer`].
    ///
    /// # Errors
    /// If there are no files for the class, hfcore does not have it, or a file is malformed.
    pub fn load(path: impl AsRef<Path>) -> Result<Tokenizer, Error> {
        ModelDir::new(path)?.tokenizer()
    }
}

/// A model that predicts the next token.
pub type AutoModelForCausalLm = AutoModel<dyn CausalLm>;
/// A text encoder that predicts masked tokens.
pub type AutoModelForMaskedLm = AutoModel<dyn MaskedLm>;
/// A text encoder that classifies sequences.
pub type AutoModelForSequenceClassification = AutoModel<dyn SequenceClassifier>;
/// An encoder-decoder over text.
pub type AutoModelForSeq2SeqLm = AutoModel<dyn Seq2Seq>;
/// An encoder-decoder from speech to text.
pub type AutoModelForSpeechSeq2Seq = AutoModel<dyn Seq2Seq>;
/// A text encoder without a head.
pub type AutoTextModel = AutoModel<dyn TextEncoder>;
/// An image encoder without a head.
pub type AutoImageModel = AutoModel<dyn ImageEncoder>;
/// A model that classifies images.
pub type AutoModelForImageClassification = AutoModel<dyn ImageClassifier>;

/// A model loaded from a folder or the Hub, seen as a `T`: [`AutoModelForCausalLm`] and its siblings.
///
/// It derefs to its head, so that everything a `T` can do is called on it.
pub struct AutoModel<T: ?Sized> {
    model: Box<T>,
    config: PretrainedConfig,
    generation_config: GenerationConfig,
    report: LoadReport,
    accounting: Accounting,
    quantization: Option<Quantization>,
    origin: Option<Origin>,
}

impl<T: Head + ?Sized> AutoModel<T> {
    /// The model of this name, on the CPU, as published: a folder's path, or `org/name` of the Hub, fetched into the cache
    /// that Python shares.
    ///
    /// # Errors
    /// As [`Pretrained::fetch`] and [`load`](Self::load).
    pub fn from_pretrained(source: impl Into<Pretrained>) -> Result<Self, Error> {
        Self::builder().from_pretrained(source)
    }

    /// The model in the folder `path`, on the CPU, as published. The network is never touched.
    ///
    /// # Errors
    /// If a file is missing or damaged, the family is not registered or lacks this head, or config
    /// and checkpoint do not fit each other.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().load(path)
    }

    /// Ways to load it otherwise.
    #[must_use]
    pub fn builder() -> AutoModelBuilder<T> {
        AutoModelBuilder {
            registry: Registry::builtin(),
            options: LoadOptions::default(),
            weights: OpenOptions::default(),
            packed_cache: PackedCache::default(),
            head: std::marker::PhantomData,
        }
    }
}

impl<T: ?Sized> AutoModel<T> {
    /// `config.json`.
    #[must_use]
    pub const fn config(&self) -> &PretrainedConfig {
        &self.config
    }

    /// Where on the Hub it came from, and at which commit; nothing for a folder.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// `generation_config.json`.
    #[must_use]
    pub const fn generation_config(&self) -> &GenerationConfig {
        &self.generation_config
    }

    /// Tensors of the checkpoint that the model has no use for.
    #[must_use]
    pub const fn report(&self) -> &LoadReport {
        &self.report
    }

    /// Keys of `config.json` that the family does not define, among others.
    #[must_use]
    pub const fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// What quantizing made of its matrices, and where that is kept; nothing if it was not asked for.
    #[must_use]
    pub const fn quantization(&self) -> Option<&Quantization> {
        self.quantization.as_ref()
    }

    /// The head itself.
    #[must_use]
    pub fn model(&self) -> &T {
        &self.model
    }
}

impl AutoModel<dyn CausalLm> {
    /// Continue `prompt` token by token: an iterator. What `config` leaves unset is the model's, then
    /// transformers' default.
    ///
    /// [`Generator`] has all there is besides: batches, seeds, processors and criteria of one's own.
    ///
    /// # Errors
    /// If the prompt or the configuration cannot be used.
    pub fn generate(
        &self,
        prompt: impl AsRef<[u32]>,
        config: &GenerationConfig,
    ) -> Result<Generation<'_>, Error> {
        let config = config.clone().merge(&self.generation_config);
        Ok(Generator::new(self.model(), &config).stream(&[prompt])?)
    }
}

impl<T: ?Sized> Deref for AutoModel<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.model
    }
}

impl<T: ?Sized> fmt::Debug for AutoModel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoModel")
            .field("model_type", &self.config.model_type())
            .finish_non_exhaustive()
    }
}

/// How an [`AutoModel`] is loaded.
#[derive(Debug)]
pub struct AutoModelBuilder<T: ?Sized> {
    registry: Registry,
    options: LoadOptions,
    weights: OpenOptions,
    packed_cache: PackedCache,
    head: std::marker::PhantomData<fn() -> Box<T>>,
}

impl<T: Head + ?Sized> AutoModelBuilder<T> {
    /// Run on this device. Models that share a device share its threads. It also says how exactly matrices are
    /// multiplied: [`CpuOptions::with_precision`](crate::CpuOptions::with_precision).
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.options = self.options.with_device(device);
        self
    }

    /// Convert matrices to this type. Unset: as published.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.options = self.options.with_dtype(Some(dtype));
        self
    }

    /// Quantize the matrices of linear layers to eight or four bits, from the type they were published in.
    ///
    /// The language-model head has eight bits in both; embeddings, norms, routers, convolutions, poolers and
    /// heads of classes stay as they are. Quantizing is done once: see [`packed_cache`](Self::packed_cache).
    /// What it costs in numbers `hfcore verify --dtype int8` prints, and `docs/numerics.md` says.
    #[must_use]
    pub fn quantize(self, format: QuantFormat) -> Self {
        self.quantize_as(Some(Quantize::new(format)))
    }

    /// The same, with all it can be told.
    pub(crate) fn quantize_as(mut self, quantize: Option<Quantize>) -> Self {
        self.options = self.options.with_quantize(quantize);
        self
    }

    /// Where quantized weights are kept, for the next load to map: unset, in the user's cache folder.
    ///
    /// That they cannot be kept is no error: [`AutoModel::quantization`] says so.
    #[must_use]
    pub fn packed_cache(mut self, cache: PackedCache) -> Self {
        self.packed_cache = cache;
        self
    }

    /// Choose among these families.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Refuse keys of `config.json` that the family does not define, instead of noting them.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.options = self.options.with_strict(strict);
        self
    }

    /// Map weight files, or read them: a map must not be written to while the model lives.
    #[must_use]
    pub fn weight_source(mut self, source: WeightSource) -> Self {
        self.weights = self.weights.with_source(source);
        self
    }

    /// The model in the folder `path`.
    ///
    /// # Errors
    /// As [`AutoModel::load`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<AutoModel<T>, Error> {
        self.load_dir(&ModelDir::new(path)?)
    }

    /// The model of this name.
    ///
    /// # Errors
    /// As [`AutoModel::from_pretrained`].
    pub fn from_pretrained(self, source: impl Into<Pretrained>) -> Result<AutoModel<T>, Error> {
        self.load_dir(&source.into().fetch()?)
    }

    fn load_dir(self, dir: &ModelDir) -> Result<AutoModel<T>, Error> {
        let config = dir.config()?;
        let generation_config = dir.generation_config(&config)?;
        // The family is looked up before weights are opened: it is the better error.
        let failed = |source| Error::Model {
            folder: dir.path().to_path_buf(),
            source: Box::new(source),
        };
        self.registry.find(&config).map_err(failed)?;
        let (loaded, quantization) = match &self.options.quantize {
            Some(quantize) => self.load_quantized(dir, &config, quantize)?,
            None => {
                let weights = dir.weights(&self.weights)?;
                let loaded = self.load_weights(dir, &config, &weights, &self.options)?;
                (loaded, None)
            }
        };
        Ok(AutoModel {
            model: loaded.model,
            config,
            generation_config,
            report: loaded.report,
            accounting: loaded.accounting,
            quantization,
            origin: dir.origin().cloned(),
        })
    }

    fn load_weights(
        &self,
        dir: &ModelDir,
        config: &PretrainedConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Loaded<T>, Error> {
        let source = Source {
            config,
            weights,
            options,
        };
        T::load(&self.registry, &source).map_err(|source| Error::Model {
            folder: dir.path().to_path_buf(),
            source: Box::new(source),
        })
    }

    /// With the planes of the packed file, which is written if they were not there.
    fn load_quantized(
        &self,
        dir: &ModelDir,
        config: &PretrainedConfig,
        quantize: &Quantize,
    ) -> Result<(Loaded<T>, Option<Quantization>), Error> {
        let file = |weights: &Weights| match self.packed_cache.folder() {
            Some(folder) => PackedFile::new(&folder, dir, weights, quantize.format)
                .map(Some)
                .map_err(|error| error.to_string()),
            None => Ok(None),
        };
        // Opened after it was looked at: of a checkpoint that is replaced meanwhile, `file` is not what is loaded,
        // and the second look finds that.
        let packed = file(&dir.weights(&self.weights)?);
        let weights = dir.weights(&self.weights)?;
        let old = packed.as_ref().ok().and_then(|file| file.as_ref()?.open());
        let load = |planes: Option<Weights>| {
            let quantize = quantize.clone().with_packed(planes);
            let options = self.options.clone().with_quantize(Some(quantize));
            let mut loaded = self.load_weights(dir, config, &weights, &options)?;
            let report = loaded.quantized.take();
            Ok::<_, Error>((loaded, report.expect("it was asked for")))
        };
        let (mut loaded, report) = load(old.clone())?;
        let quantization = |report: &QuantizeReport, packed| Quantization {
            format: report.format,
            matrices: report.matrices,
            bytes: report.bytes,
            packed,
        };
        let mut result = quantization(&report, Packed::Off);
        let changed = "the checkpoint changed while it was loaded";
        result.packed = match packed {
            Err(why) => Packed::Failed(why),
            Ok(None) => Packed::Off,
            Ok(Some(packed)) if report.made.is_empty() => Packed::Found(packed.path().to_owned()),
            Ok(Some(packed)) => match file(&weights) {
                Ok(Some(now)) if now.is(&packed) => match packed.write(report, old.as_ref()) {
                    Ok(()) => {
                        // From here on the planes are pages of the file, which processes share.
                        if let Some(planes) = packed.open() {
                            drop((loaded, old));
                            let (mapped, report) = load(Some(planes))?;
                            loaded = mapped;
                            result = quantization(&report, Packed::Off);
                        }
                        Packed::Written(packed.path().to_owned())
                    }
                    Err(error) => Packed::Failed(error.to_string()),
                },
                Ok(_) => Packed::Failed(changed.to_owned()),
                Err(why) => Packed::Failed(why),
            },
        };
        Ok((loaded, Some(result)))
    }
}

/// A head that an [`AutoModel`] can be loaded as.
pub trait Head {
    /// Load it through the registry.
    ///
    /// # Errors
    /// If the family is unknown or has no such head, or config and checkpoint do not fit.
    fn load(registry: &Registry, source: &Source<'_>) -> Result<Loaded<Self>, ModelError>;
}

macro_rules! heads {
    ($($head:ident: $load:ident),* $(,)?) => {
        $(impl Head for dyn $head {
            fn load(registry: &Registry, source: &Source<'_>) -> Result<Loaded<Self>, ModelError> {
                registry.$load(source)
            }
        })*
    };
}

heads! {
    CausalLm: causal_lm,
    MaskedLm: masked_lm,
    SequenceClassifier: sequence_classifier,
    Seq2Seq: seq2seq,
    TextEncoder: text_encoder,
    ImageEncoder: image_encoder,
    ImageClassifier: image_classifier,
}
