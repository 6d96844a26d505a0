//! The facts about a model folder. The fields of [`Report`] are the keys of the JSON.

use std::collections::BTreeMap;

use hfcore::weights::{OpenOptions, Weights};
use hfcore::{
    AutoImageModel, AutoModel, AutoModelForCausalLm, AutoModelForImageClassification,
    AutoModelForMaskedLm, AutoModelForSeq2SeqLm, AutoModelForSequenceClassification, AutoTextModel,
    CacheOptions, CausalLm, Device, Error, ModelDir, ModelInfo, PretrainedConfig, Registry,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::rope::{self, Rope};

/// Tokens that a cache is reckoned for where the model sets no limit.
const UNLIMITED: usize = 2048;

/// What a folder holds. All keys are always there; what is not known is null or empty.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// The folder, as it was given.
    pub(super) folder: String,
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

/// A tensor of the weights.
#[derive(Debug, Serialize)]
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

impl Report {
    /// Look at the folder; the cache is reckoned for `context` tokens.
    ///
    /// # Errors
    /// If it has no `config.json`: then it is no model folder.
    pub(super) fn new(
        dir: &ModelDir,
        context: Option<usize>,
        tensors: bool,
    ) -> Result<Self, Error> {
        let mut report = Self {
            folder: dir.path().display().to_string(),
            device: Device::default().name(),
            ..Self::default()
        };
        match dir.weights(&OpenOptions::default()) {
            Ok(weights) => report.weights(&weights, tensors),
            Err(error) => report.weights_error = Some(error.chain()),
        }
        report.tokenizer(dir);
        match dir.config() {
            Ok(config) => {
                report.config(&config);
                report.model(dir, &config, context);
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

    fn weights(&mut self, weights: &Weights, tensors: bool) {
        let infos = weights.names().map(|name| (name, weights.info(name).ok()));
        for info in infos.clone().filter_map(|(_, info)| info) {
            let elements: u64 = info.shape.iter().map(|&size| size as u64).product();
            self.parameters += elements;
            *self
                .parameters_by_dtype
                .entry(info.dtype.to_string())
                .or_default() += elements;
        }
        self.weight_bytes = weights.total_bytes();
        self.files = weights
            .files()
            .into_iter()
            .map(|file| File {
                file: file
                    .path
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
                bytes: file.size_bytes,
                tensors: file.tensors,
            })
            .collect();
        self.tensors = tensors.then(|| {
            infos
                .map(|(name, info)| Tensor {
                    name: name.to_owned(),
                    dtype: info.as_ref().map(|info| info.dtype.to_string()),
                    shape: info.map(|info| info.shape),
                })
                .collect()
        });
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

    /// Load the model as everything its family can be. What none of the heads can do without is why it is
    /// refused; that a checkpoint without a classifier is no classifier is nothing to report.
    fn model(&mut self, dir: &ModelDir, config: &PretrainedConfig, context: Option<usize>) {
        let registry = Registry::builtin();
        let family = match registry.find(config) {
            Ok(family) => family,
            Err(error) => {
                self.refused = Some(error.to_string());
                return;
            }
        };
        self.heads = family.heads();
        if let Ok(accounting) = family.account(config) {
            self.unread_keys = accounting.unread.into_iter().collect();
        }
        let mut unused: Option<Vec<String>> = None;
        let mut refused = None;
        for head in self.heads.clone() {
            match self.load(head, dir, context) {
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
                Err(error) => {
                    refused.get_or_insert_with(|| error.chain());
                }
            }
        }
        self.unused_tensors = unused.unwrap_or_default();
        if self.loads_as.is_empty() {
            self.refused = refused;
        }
    }

    /// Load one head, and return the tensors it has no use for.
    fn load(
        &mut self,
        head: &str,
        dir: &ModelDir,
        context: Option<usize>,
    ) -> Result<Vec<String>, Error> {
        let path = dir.path();
        Ok(match head {
            "CausalLm" => {
                let model = AutoModelForCausalLm::load(path)?;
                self.cache(model.model(), context);
                unused(&model)
            }
            "Seq2Seq" => {
                let model = AutoModelForSeq2SeqLm::load(path)?;
                self.cache(model.model(), context);
                unused(&model)
            }
            "TextEncoder" => {
                let model = AutoTextModel::load(path)?;
                self.context(model.info());
                unused(&model)
            }
            "MaskedLm" => unused(&AutoModelForMaskedLm::load(path)?),
            "SequenceClassifier" => unused(&AutoModelForSequenceClassification::load(path)?),
            "ImageEncoder" => unused(&AutoImageModel::load(path)?),
            _ => unused(&AutoModelForImageClassification::load(path)?),
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

fn unused<T: ?Sized>(model: &AutoModel<T>) -> Vec<String> {
    model.report().unused.clone()
}
