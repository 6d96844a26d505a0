//! Is a model right? A model folder with reference data beside it, checked case by case.
//!
//! The data are what transformers gave: see `docs/porting-from-transformers.md` for how to write them.
//! `hfcore verify DIR` is this module on the command line.

mod compare;
mod forward;
mod generate;
mod reference;

use std::path::{Path, PathBuf};

use hfcore_arch::{CacheError, ForwardError, Quantize, Registry};
use hfcore_config::PretrainedConfig;
use hfcore_generate::GenerateError;
use hfcore_kernels::{CpuOptions, DType, Device, DeviceError, Precision, QuantFormat};
use hfcore_weights::WeightsError;

pub use self::compare::Difference;
use self::compare::Row;
pub use self::reference::OwnError;
use self::reference::{Case, Reference};
use crate::auto::{
    AutoImageModel, AutoModel, AutoModelForCausalLm, AutoModelForImageClassification,
    AutoModelForMaskedLm, AutoModelForSeq2SeqLm, AutoModelForSequenceClassification, AutoTextModel,
    Head,
};
use crate::error::Error;
use crate::model_dir::ModelDir;
use crate::packed::PackedCache;
use crate::padded::PaddedError;

/// How to verify.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Where to run, and how exactly. The default is the CPU, [`strict`](Precision::Strict).
    pub device: Device,
    /// Convert matrices to this type first. Errors are then reported and not judged, unless the
    /// folder has this type already: rounding weights is an error by itself.
    pub dtype: Option<DType>,
    /// Quantize matrices. What that does to the model is reported; judged is whether products are those with the
    /// numbers that the quantized weights stand for, where the device's precision is [`strict`](Precision::Strict).
    pub quantize: Option<QuantFormat>,
    /// The families to choose from.
    pub registry: Registry,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        let strict = CpuOptions::default().with_precision(Precision::Strict);
        Self {
            device: Device::cpu_with(&strict),
            dtype: None,
            quantize: None,
            registry: Registry::default(),
        }
    }
}

impl VerifyOptions {
    /// Run on this device.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Convert matrices to this type first.
    #[must_use]
    pub fn with_dtype(mut self, dtype: Option<DType>) -> Self {
        self.dtype = dtype;
        self
    }

    /// Quantize matrices.
    #[must_use]
    pub fn with_quantize(mut self, quantize: Option<QuantFormat>) -> Self {
        self.quantize = quantize;
        self
    }

    /// Choose among these families.
    #[must_use]
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }
}

/// What became of every case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The class that gave the reference.
    pub architecture: String,
    /// The version of transformers it was written by.
    pub transformers: String,
    /// The cases, in order.
    pub cases: Vec<CaseResult>,
}

impl Verification {
    /// Whether every case holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.cases.iter().all(|case| case.holds)
    }
}

/// What became of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// The difference of the output that is furthest from its reference, for what it is allowed; of `forward` cases.
    pub difference: Option<Difference>,
    /// The output with that difference.
    pub worst_output: Option<String>,
    /// The largest absolute error that it may have; `None` where it is not judged.
    pub allowed: Option<f64>,
    /// The error that transformers itself makes in that output in the type of the weights, where the folder says.
    pub own_error: Option<OwnError>,
    /// Of quantized weights, the largest difference of an output from the same model in f32, of the numbers that these
    /// weights stand for; where that is judged.
    pub dequantized: Option<Difference>,
    /// Tokens that are equal, and all tokens, of `generate` cases.
    pub tokens: Option<(usize, usize)>,
    /// Of these, the tokens that transformers itself gets right in the type of the weights, where the folder says.
    pub own_tokens: Option<usize>,
    /// Why it does not hold, where a number does not say it.
    pub problem: Option<String>,
}

/// Why reference data could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file could not be read.
    #[error("{} could not be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `reference.json` is malformed.
    #[error("{} is malformed: {message}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// `reference.safetensors` is damaged or lacks a tensor.
    #[error("{} could not be used", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<WeightsError>,
    },
    /// A tensor has another type.
    #[error("{tensor} of reference.safetensors: expected {expected}, found {found}")]
    DType {
        /// The tensor.
        tensor: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// No head is known for the class that gave the reference.
    #[error("reference.json names the class {architecture}, and no head is known for it")]
    Architecture {
        /// The class.
        architecture: String,
    },
}

/// Run every case of the folder.
///
/// A case that fails is a result; an `Err` means that the folder could not be loaded.
///
/// # Errors
/// If the folder or its reference data cannot be loaded.
pub fn verify(path: impl AsRef<Path>, options: &VerifyOptions) -> Result<Verification, Error> {
    let dir = ModelDir::new(path)?;
    let reference = Reference::open(dir.path())?;
    let load = |widened| Heads::load(&dir, &reference.json.architecture, options, widened);
    let heads = load(false)?;
    let published = published_dtype(&dir.config()?);
    let (device, dtype) = (&options.device, options.dtype.unwrap_or(published));
    let row = match options.quantize {
        Some(_) => Row::quantized_on(device),
        None => Row::on(device, published, dtype),
    };
    let exact = match row {
        Row::Dequantized(_) => Some(load(true)?),
        _ => None,
    };
    let under_test = UnderTest { heads, exact, row };
    let cases = reference
        .json
        .cases
        .iter()
        .map(|case| run_case(&under_test, &reference, case));
    let cases = cases.collect();
    let reference::ReferenceJson {
        architecture,
        transformers,
        ..
    } = reference.json;
    Ok(Verification {
        architecture,
        transformers,
        cases,
    })
}

/// The type that `config.json` says of the weights; f32 where it says none.
fn published_dtype(config: &PretrainedConfig) -> DType {
    let published = [DType::F16, DType::Bf16]
        .into_iter()
        .find(|dtype| config.dtype() == Some(dtype.name()));
    published.unwrap_or(DType::F32)
}

/// What is verified, and by which row of the table.
struct UnderTest {
    heads: Heads,
    /// The same in f32, where the row compares with that.
    exact: Option<Heads>,
    row: Row,
}

fn run_case(under_test: &UnderTest, reference: &Reference, case: &Case) -> CaseResult {
    let UnderTest { heads, row, .. } = under_test;
    let result = match case.call.as_str() {
        "forward" => forward_case(under_test, reference, case),
        "generate" => generate::run(heads, reference, case).map(|(equal, all)| CaseResult {
            holds: equal == all || !row.judges_tokens(),
            tokens: Some((equal, all)),
            own_tokens: case.in_dtype.as_ref().and_then(|own| own.tokens_equal),
            ..CaseResult::new(case)
        }),
        other => Err(Failure(format!(
            "the call {other} is not known; forward and generate are"
        ))),
    };
    result.unwrap_or_else(|failure| CaseResult {
        problem: Some(failure.0),
        ..CaseResult::new(case)
    })
}

fn forward_case(
    under_test: &UnderTest,
    reference: &Reference,
    case: &Case,
) -> Result<CaseResult, Failure> {
    let UnderTest { heads, exact, row } = under_test;
    let actual = forward::run(heads, reference, case)?;
    let mut result = CaseResult::new(case);
    let mut worst = f64::NEG_INFINITY;
    for name in &case.outputs {
        let expected = reference.output(case, name)?;
        let mut given = actual
            .iter()
            .filter(|actual| &actual.name == name)
            .peekable();
        if given.peek().is_none() {
            return Err(Failure(format!("the model has no output {name}")));
        }
        for actual in given {
            let difference = compare::compare(actual, &expected).map_err(Failure)?;
            let own_error = case.own_error(name);
            let own = own_error.map(|own| OwnError {
                max_abs_error: reference.largest_own_error(name),
                ..own
            });
            let allowed = row.allowed(&difference, own);
            // 1 is just allowed.
            let badness = match allowed {
                Some(allowed) => (difference.max_abs_error / allowed.max_abs_error)
                    .max(difference.mean_abs_error() / allowed.mean_abs_error),
                None => difference.relative(),
            };
            if badness > worst {
                worst = badness;
                result.holds = allowed.is_none() || badness <= 1.0;
                result.worst_output = Some(name.clone());
                result.difference = Some(difference);
                result.allowed = allowed.map(|allowed| allowed.max_abs_error);
                result.own_error = own_error;
            }
        }
    }
    if let (Row::Dequantized(factor), Some(exact)) = (row, exact) {
        let mut worst = Difference::default();
        for (actual, exact) in actual.iter().zip(&forward::run(exact, reference, case)?) {
            let difference = compare::compare_models(actual, exact).map_err(Failure)?;
            if difference.relative() > worst.relative() {
                worst = difference;
            }
        }
        result.dequantized = Some(worst);
        result.holds &= worst.relative() <= *factor;
    }
    Ok(result)
}

impl CaseResult {
    fn new(case: &Case) -> Self {
        Self {
            name: case.name.clone(),
            holds: false,
            difference: None,
            worst_output: None,
            allowed: None,
            own_error: None,
            dequantized: None,
            tokens: None,
            own_tokens: None,
            problem: None,
        }
    }
}

/// Why a case could not even be compared.
struct Failure(String);

macro_rules! failures {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        })*
    };
}
failures!(
    CacheError,
    DeviceError,
    ForwardError,
    GenerateError,
    PaddedError,
    VerifyError
);

/// The model under test, as the head that the reference's class is.
enum Heads {
    CausalLm(AutoModelForCausalLm),
    Seq2Seq(AutoModelForSeq2SeqLm),
    MaskedLm(AutoModelForMaskedLm),
    SequenceClassifier(AutoModelForSequenceClassification),
    TextEncoder(AutoTextModel),
    ImageEncoder(AutoImageModel),
    ImageClassifier(AutoModelForImageClassification),
}

impl Heads {
    fn load(
        dir: &ModelDir,
        architecture: &str,
        options: &VerifyOptions,
        widened: bool,
    ) -> Result<Self, Error> {
        let suffix = |suffix: &str| architecture.ends_with(suffix);
        Ok(if suffix("ForCausalLM") || suffix("LMHeadModel") {
            Self::CausalLm(load(dir, options, widened)?)
        } else if suffix("ForConditionalGeneration") || suffix("ForSeq2SeqLM") {
            Self::Seq2Seq(load(dir, options, widened)?)
        } else if suffix("ForMaskedLM") {
            Self::MaskedLm(load(dir, options, widened)?)
        } else if suffix("ForSequenceClassification") {
            Self::SequenceClassifier(load(dir, options, widened)?)
        } else if suffix("ForImageClassification") {
            Self::ImageClassifier(load(dir, options, widened)?)
        } else if suffix("Model") {
            let config = dir.config()?;
            let family = options.registry.find(&config);
            let failed = |source| Error::Model {
                folder: dir.path().to_path_buf(),
                source: Box::new(source),
            };
            if family.map_err(failed)?.heads().contains(&"ImageEncoder") {
                Self::ImageEncoder(load(dir, options, widened)?)
            } else {
                Self::TextEncoder(load(dir, options, widened)?)
            }
        } else {
            return Err(VerifyError::Architecture {
                architecture: architecture.to_owned(),
            }
            .into());
        })
    }
}

fn load<T: Head + ?Sized>(
    dir: &ModelDir,
    options: &VerifyOptions,
    widened: bool,
) -> Result<AutoModel<T>, Error> {
    let quantize = |format| Quantize::new(format).with_widened(widened);
    let builder = AutoModel::<T>::builder()
        .device(options.device.clone())
        .registry(options.registry.clone())
        .quantize_as(options.quantize.map(quantize))
        .packed_cache(PackedCache::Off);
    let builder = match options.dtype {
        Some(dtype) => builder.dtype(dtype),
        None => builder,
    };
    builder.load(dir.path())
}
