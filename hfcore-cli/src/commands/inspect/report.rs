//! The facts about a model. The fields of [`Report`] are the keys of the JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hfcore::arch::{LoadOptions, Loaded, Source};
use hfcore::weights::{OpenOptions, Weights};
use hfcore::{
    CacheOptions, CausalLm, Device, Error, ModelDir, ModelInfo, PretrainedConfig, Registry,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::rope::{self, Rope};

/// Tokens that a cache is reckoned for where the model sets no limit.
const UNLIMITED: usize = 2048;

/// What a model holds. All keys are always there; what is not known is null or empty.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Where its files are. Of a model of the Hub only those that were needed.
    pub(super) folder: String,
    /// The repository. Null for a folder.
    pub(super) repo: Option<String>,
    /// What its revision stands for. Null for a folder.
    pub(super) commit: Option<String>,
    pub(super) model_type: Option<String>,
    pub(super) architectures: Vec<String>,
    /// What `config.json` says of the type of the weights.
    pub(super) dtype: Option<String>,
    pub(super) transformers_version: Option<String>,
    /// The heads that the family has.
    pub(super) heads: Vec<&'static str>,
    /// Those of them that this folder can be loaded as.
    pub(super) loads_as: Vec<&'static str>,
    /// Why the model cannot be loaded. Null if it can.
    pub(super) refused: Option<String>,
    /// Why names and shapes of the tensors were not compared with what the family needs. Null if they were.
    pub(super) not_checked: Option<String>,
    /// Rotary embeddings: one, or one for each type of layer.
    pub(super) rope: Vec<Rope>,
    /// Keys of `config.json` that the family does not know, and that have no influence.
    pub(super) unread_keys: Map<String, Value>,
    /// Elements of all tensors.
    pub(super) parameters: u64,
    pub(super) parameters_by_dtype: BTreeMap<String, u64>,
    pub(super) weight_bytes: u64,
    /// Tensors of modules that no head has a use for.
    pub(super) unused_tensors: Vec<String>,
    pub(super) files: Vec<File>,
    /// Why the weights cannot be opened. Null if they can.
    pub(super) weights_error: Option<String>,
    /// The longest sequence. Null where there is no limit.
    pub(super) context: Option<usize>,
    /// The tokens that `cache_bytes` is for.
    pub(super) cache_tokens: Option<usize>,
    /// One sequence of so many tokens in the (decoder's) cache, in its default type, f32.
    pub(super) cache_bytes: Option<u64>,
    /// `weight_bytes` and `cache_bytes` together.
    pub(super) memory_bytes: Option<u64>,
    /// What a download would fetch. Null for a folder.
    pub(super) download: Option<Download>,
    /// This machine.
    pub(super) machine: Machine,
    /// Whether weights and cache fit its memory, and the download its disk. Null where one of them is not known.
    pub(super) fits: Option<bool>,
    /// The device that commands run on by default, its instruction set and threads.
    pub(super) device: String,
    pub(super) tokenizer: Option<Tokenizer>,
    /// Why there is no tokenizer. Null if there is one.
    pub(super) tokenizer_error: Option<String>,
    /// With `--tensors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tensors: Option<Vec<Tensor>>,
}

/// A file of weights.
#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) tensors: usize,
}

/// What a download would fetch.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Download {
    /// What loading needs.
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// What of it is not in the cache yet.
    pub(super) missing_files: usize,
    pub(super) missing_bytes: u64,
}

/// What a machine has, in bytes. Null where the system does not tell.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Machine {
    pub(super) memory: Option<u64>,
    /// What programs can have of it now.
    pub(super) memory_available: Option<u64>,
    /// Free, on the disk that the model is on or would be.
    pub(super) disk_available: Option<u64>,
}

/// A tensor of the weights.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// Null, as the shape is, if it is a type that hfcore does not know.
    pub(super) dtype: Option<String>,
    pub(super) shape: Option<Vec<usize>>,
}

/// What a tokenizer is.
#[derive(Debug, Serialize)]
pub(super) struct Tokenizer {
    /// Tokens, those that were added included.
    pub(super) vocab_size: usize,
    /// By role: `bos_token` and so on.
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) chat_templates: Vec<String>,
}

/// The weights, as far as they are known.
pub(super) struct Checkpoint {
    pub(super) tensors: Vec<Tensor>,
    pub(super) bytes: u64,
    pub(super) files: Vec<File>,
    /// To be loaded, if only to see whether they can be; why not, otherwise.
    pub(super) weights: Result<Weights, String>,
}

impl Checkpoint {
    /// Those of a folder.
    pub(super) fn of_folder(dir: &ModelDir) -> Result<Self, String> {
        let weights = dir
            .weights(&OpenOptions::default())
            .map_err(|error| error.chain())?;
        let tensor = |name: &str| {
            let info = weights.info(name).ok();
            Tensor {
                name: name.to_owned(),
                dtype: info.as_ref().map(|info| info.dtype.to_string()),
                shape: info.map(|info| info.shape),
            }
        };
        let names = names_by_content(dir);
        let file = |file: hfcore::weights::WeightFile| {
            let own = || {
                file.path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            };
            File {
                file: names
                    .get(&file.path)
                    .cloned()
                    .or_else(own)
                    .unwrap_or_default(),
                bytes: file.size_bytes,
                tensors: file.tensors,
            }
        };
        Ok(Self {
            tensors: weights.names().map(tensor).collect(),
            bytes: weights.total_bytes(),
            files: weights.files().into_iter().map(file).collect(),
            weights: Ok(weights),
        })
    }
}

/// The files of a folder by where their contents are: in a cache, those are called by their hash.
fn names_by_content(dir: &ModelDir) -> BTreeMap<PathBuf, String> {
    let entries = std::fs::read_dir(dir.path())
        .into_iter()
        .flatten()
        .flatten();
    let named = entries.filter_map(|entry| {
        let content = entry.path().canonicalize().ok()?;
        Some((content, entry.file_name().into_string().ok()?))
    });
    named.collect()
}

impl Report {
    /// Look at what `dir` has, and at a checkpoint that may be elsewhere; the cache is reckoned for `context` tokens.
    ///
    /// # Errors
    /// If there is no `config.json`: then it is no model.
    pub(super) fn new(
        dir: &ModelDir,
        checkpoint: Result<Checkpoint, String>,
        context: Option<usize>,
        tensors: bool,
    ) -> Result<Self, Error> {
        let origin = dir.origin();
        let mut report = Self {
            folder: dir.path().display().to_string(),
            repo: origin.map(|origin| origin.repo.to_string()),
            commit: origin.map(|origin| origin.commit.to_string()),
            device: Device::default().name(),
            ..Self::default()
        };
        let weights = match checkpoint {
            Ok(checkpoint) => Ok(report.weights(checkpoint, tensors)),
            Err(error) => {
                report.weights_error = Some(error.clone());
                Err(error)
            }
        };
        report.tokenizer(dir);
        match dir.config() {
            Ok(config) => {
                report.config(&config);
                report.model(dir, &config, weights, context);
            }
            Err(error @ (Error::NoFile { .. } | Error::Io { .. })) => return Err(error),
            Err(error) => report.refused = Some(error.chain()),
        }
        if let Some(cache) = report.cache_bytes {
            report.memory_bytes = Some(report.weight_bytes.saturating_add(cache));
        }
        Ok(report)
    }

    fn config(&mut self, config: &PretrainedConfig) {
        self.model_type = config.model_type().map(str::to_owned);
        self.architectures = config.architectures().to_vec();
        self.dtype = config.dtype().map(str::to_owned);
        self.transformers_version = config.transformers_version().map(str::to_owned);
        self.rope = rope::of(config.raw());
    }

    /// What there is to load, if it is to be tried; else why it is not.
    fn weights(&mut self, checkpoint: Checkpoint, tensors: bool) -> Result<Weights, String> {
        for tensor in &checkpoint.tensors {
            let (Some(dtype), Some(shape)) = (&tensor.dtype, &tensor.shape) else {
                continue;
            };
            let dims = shape.iter().map(|&size| size as u64);
            let elements = dims.fold(1, u64::saturating_mul);
            self.parameters = self.parameters.saturating_add(elements);
            let of_dtype = self.parameters_by_dtype.entry(dtype.clone()).or_default();
            *of_dtype = of_dtype.saturating_add(elements);
        }
        self.weight_bytes = checkpoint.bytes;
        self.files = checkpoint.files;
        self.tensors = tensors.then_some(checkpoint.tensors);
        checkpoint.weights
    }

    fn tokenizer(&mut self, dir: &ModelDir) {
        match dir.tokenizer() {
            Ok(tokenizer) => {
                let special = tokenizer.special_tokens_map();
                self.tokenizer = Some(Tokenizer {
                    vocab_size: tokenizer.len(),
                    special_tokens: special
                        .map(|(role, token)| (role.to_owned(), token.to_owned()))
                        .collect(),
                    chat_templates: tokenizer.chat_template_names().map(str::to_owned).collect(),
                });
            }
            Err(error) => self.tokenizer_error = Some(error.chain()),
        }
    }

    /// Whether it fits this machine; `download` is what is to be fetched first.
    pub(super) fn machine(&mut self, machine: Machine, download: Option<Download>) {
        // All of its memory, not what is free now: other programs end. What is mapped and not used need not stay.
        let memory = match (self.memory_bytes, machine.memory) {
            (Some(needed), Some(there)) => Some(needed <= there),
            _ => None,
        };
        let disk = match (&download, machine.disk_available) {
            (Some(download), Some(there)) => Some(download.missing_bytes <= there),
            (None, _) => Some(true),
            (_, None) => None,
        };
        self.fits = match (memory, disk) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        self.machine = machine;
        self.download = download;
    }

    /// Load the model as everything its family can be. What none of the heads can do without is why it is
    /// refused; that a checkpoint without a classifier is no classifier is nothing to report.
    fn model(
        &mut self,
        dir: &ModelDir,
        config: &PretrainedConfig,
        weights: Result<Result<Weights, String>, String>,
        context: Option<usize>,
    ) {
        let registry = Registry::builtin();
        let family = match registry.find(config) {
            Ok(family) => family,
            Err(error) => {
                self.refused = Some(error.to_string());
                return;
            }
        };
        self.heads = family.heads();
        match family.account(config) {
            Ok(accounting) => self.unread_keys = accounting.unread.into_iter().collect(),
            Err(error) => {
                self.refused = Some(hfcore::arch::ModelError::from(error).to_string());
            }
        }
        if let Err(error) = dir.generation_config(config) {
            self.refused = Some(error.chain());
        }
        let weights = match weights {
            Ok(Ok(weights)) => weights,
            Ok(Err(why)) => {
                self.not_checked = Some(why);
                return;
            }
            Err(error) => {
                self.refused.get_or_insert(error);
                return;
            }
        };
        let options = LoadOptions::default();
        let source = Source {
            config,
            weights: &weights,
            options: &options,
        };
        let mut unused: Option<Vec<String>> = None;
        let mut refused = None;
        for head in self.heads.clone() {
            match self.load(head, &registry, &source, context) {
                Ok(rest) => {
                    self.loads_as.push(head);
                    // Another head's tensors have a use after all.
                    unused = Some(match unused {
                        Some(mut unused) => {
                            unused.retain(|name| rest.contains(name));
                            unused
                        }
                        None => rest,
                    });
                }
                Err(source) => {
                    let error = Error::Model {
                        folder: dir.path().to_owned(),
                        source: Box::new(source),
                    };
                    refused.get_or_insert_with(|| error.chain());
                }
            }
        }
        self.unused_tensors = unused.unwrap_or_default();
        if self.refused.is_some() {
            self.loads_as.clear();
        } else if self.loads_as.is_empty() {
            self.refused = refused;
        }
    }

    /// Load one head, and return the tensors it has no use for.
    fn load(
        &mut self,
        head: &str,
        registry: &Registry,
        source: &Source<'_>,
        context: Option<usize>,
    ) -> Result<Vec<String>, hfcore::ModelError> {
        Ok(match head {
            "CausalLm" => {
                let loaded = registry.causal_lm(source)?;
                self.cache(&*loaded.model, context);
                unused(loaded)
            }
            "Seq2Seq" => {
                let loaded = registry.seq2seq(source)?;
                self.cache(&*loaded.model, context);
                unused(loaded)
            }
            "TextEncoder" => {
                let loaded = registry.text_encoder(source)?;
                self.context(loaded.model.info());
                unused(loaded)
            }
            "MaskedLm" => unused(registry.masked_lm(source)?),
            "SequenceClassifier" => unused(registry.sequence_classifier(source)?),
            "ImageEncoder" => unused(registry.image_encoder(source)?),
            _ => unused(registry.image_classifier(source)?),
        })
    }

    fn cache<T: CausalLm + ?Sized>(&mut self, model: &T, context: Option<usize>) {
        self.context(model.info());
        let tokens = context.or(self.context).unwrap_or(UNLIMITED);
        let bytes = model.new_cache(&CacheOptions::default()).bytes_for(tokens);
        self.cache_tokens = Some(tokens);
        self.cache_bytes = Some(bytes as u64);
    }

    fn context(&mut self, info: &ModelInfo) {
        // Positions that are computed as they come have no end.
        self.context = Some(info.max_position_embeddings).filter(|&context| context < usize::MAX);
    }
}

fn unused<T: ?Sized>(loaded: Loaded<T>) -> Vec<String> {
    loaded.report.unused
}
