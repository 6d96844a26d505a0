//! The heads: what a loaded model can do, one small trait each.
//!
//! A model is immutable and shared; what changes lives in a [`Cache`].

use hfcore_kernels::sample::{Best, Choice, Drawn, Sampling, best_rows, sample_rows};
use hfcore_kernels::{Device, Tensor};

use crate::cache::{Cache, CacheOptions, SequenceId};
use crate::error::ForwardError;
use crate::probe::{NoProbe, Probe};
use crate::step::Step;

/// What every model can say of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The `model_type` of its configuration.
    pub model_type: String,
    /// Tokens of the vocabulary: rows of the embedding and width of the logits. 0 where there is none.
    pub vocab_size: usize,
    /// The longest sequence the model allows; of the decoder, where there are two.
    pub max_position_embeddings: usize,
    /// Where it runs.
    pub device: Device,
    /// Whether the numbers of a token depend on how long the longest sequence of its step is, as they do
    /// with dynamic RoPE and LongRoPE. Then a token computed by itself differs from the same token
    /// computed in a longer prompt, as in transformers.
    pub depends_on_length: bool,
    /// The length beyond which generation computes what the cache remembers anew, once, as transformers
    /// does for the family.
    pub recompute_beyond: Option<usize>,
}

impl ModelInfo {
    /// The facts about a model.
    #[must_use]
    pub fn new(
        model_type: &str,
        vocab_size: usize,
        max_position_embeddings: usize,
        device: &Device,
    ) -> Self {
        Self {
            model_type: model_type.to_owned(),
            vocab_size,
            max_position_embeddings,
            device: device.clone(),
            depends_on_length: false,
            recompute_beyond: None,
        }
    }
}

/// Scores of the next token, one row for each that a [`Step`] asked for.
#[derive(Clone, Debug)]
pub struct Logits {
    values: Vec<f32>,
    vocab_size: usize,
}

impl Logits {
    /// Rows of `vocab_size` scores each.
    ///
    /// # Panics
    /// If `values` are not whole rows.
    #[must_use]
    pub fn new(values: Vec<f32>, vocab_size: usize) -> Self {
        assert_eq!(
            values.len() % vocab_size,
            0,
            "Logits::new: whole rows of {vocab_size}"
        );
        Self { values, vocab_size }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab_size
    }

    /// Width of a row.
    #[must_use]
    pub const fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The scores of row `row`, `[V]`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocab_size..][..self.vocab_size]
    }

    /// All rows, `[R, V]` row-major.
    #[must_use]
    pub fn into_vec(self) -> Vec<f32> {
        self.values
    }
}

/// A model that predicts the next token: `…ForCausalLM`, and the decoder of an encoder-decoder.
pub trait CausalLm: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// An empty cache for this model.
    fn new_cache(&self, options: &CacheOptions) -> Cache;

    /// Run the new tokens of `step`, remember them in `cache`, and return the logits asked for.
    ///
    /// `probe` sees intermediate values by name; it costs nothing where it is [`NoProbe`].
    /// On an error the cache is as it was.
    ///
    /// # Errors
    /// If the step is empty, names unknown sequences, tokens outside the vocabulary or more of them
    /// than the context holds, or if the device fails.
    fn forward_probed(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Logits, ForwardError>;

    /// [`forward_probed`](Self::forward_probed) without a probe.
    ///
    /// # Errors
    /// As there.
    fn forward(&self, step: &Step, cache: &mut Cache) -> Result<Logits, ForwardError> {
        self.forward_probed(step, cache, &mut NoProbe)
    }

    /// Run `step`, whose tokens may be [drawn](Step::push_drawn), and choose a token for each of `choices`
    /// from the logits asked for. A device begins with all of it, and is not waited for.
    ///
    /// `recent` are tokens of the sequences that only the device knows yet, for a repetition penalty. This
    /// default reads the logits and chooses on the CPU, which gives the same tokens.
    ///
    /// # Errors
    /// As [`forward_probed`](Self::forward_probed), or if the model returns too few logits. What fails on a
    /// device is told where the tokens are read.
    fn forward_sample(
        &self,
        step: &Step,
        cache: &mut Cache,
        sampling: &Sampling,
        choices: &[Choice<'_>],
        recent: &[&Drawn],
    ) -> Result<Drawn, ForwardError> {
        let logits = self.forward(&step.known()?, cache)?;
        let width = check_logits(self.info(), step, &logits)?;
        Ok(sample_rows(
            &logits.into_vec(),
            width,
            sampling,
            choices,
            recent,
        )?)
    }

    /// Run `step`, and find the `count` best tokens of each of `choices` in the logits asked for, behind the penalty
    /// and the bans: for who chooses among them by more than a [`Sampling`] says. A device begins with all of it,
    /// and sends no more than them.
    ///
    /// This default reads the logits and looks on the CPU, which gives the same tokens.
    ///
    /// # Errors
    /// As [`forward_sample`](Self::forward_sample).
    fn forward_best(
        &self,
        step: &Step,
        cache: &mut Cache,
        count: usize,
        repetition_penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Result<Best, ForwardError> {
        let logits = self.forward(step, cache)?;
        let width = check_logits(self.info(), step, &logits)?;
        let logits = logits.into_vec();
        Ok(best_rows(
            &logits,
            width,
            count,
            repetition_penalty,
            choices,
        ))
    }

    /// How many steps it is worth to go on with before a token is known: 0 where the host does the work, 2
    /// on a GPU, which would wait for the host otherwise.
    fn run_ahead(&self) -> usize {
        0
    }
}

/// The width of `logits`, if they are what `step` asked for.
fn check_logits(info: &ModelInfo, step: &Step, logits: &Logits) -> Result<usize, ForwardError> {
    let (rows, width) = (logits.rows(), logits.vocab_size());
    let expected = (step.logits().len(), info.vocab_size);
    if (rows, width) != expected {
        return Err(ForwardError::Input {
            input: "logits",
            expected: format!("{} rows of {}", expected.0, expected.1),
            found: format!("{rows} rows of {width}"),
        });
    }
    Ok(width)
}

/// Sequences of tokens for an encoder, one after the other, without padding.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TokenBatch {
    /// The tokens of all sequences, `[T]`.
    pub tokens: Vec<u32>,
    /// Which segment each token belongs to, `[T]`; empty: all to the first.
    pub token_types: Vec<u32>,
    /// The length of each sequence, `[B]`.
    pub lengths: Vec<usize>,
}

impl TokenBatch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add a sequence.
    #[must_use]
    pub fn with(mut self, tokens: &[u32]) -> Self {
        self.tokens.extend_from_slice(tokens);
        if !self.token_types.is_empty() {
            self.token_types.resize(self.tokens.len(), 0);
        }
        self.lengths.push(tokens.len());
        self
    }

    /// Add a sequence whose tokens belong to segments: `token_types` is as long as `tokens`.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn with_types(mut self, tokens: &[u32], token_types: &[u32]) -> Self {
        assert_eq!(
            tokens.len(),
            token_types.len(),
            "TokenBatch::with_types: one type a token"
        );
        self.token_types.resize(self.tokens.len(), 0);
        self.token_types.extend_from_slice(token_types);
        self.tokens.extend_from_slice(tokens);
        self.lengths.push(tokens.len());
        self
    }

    /// The rows of each sequence in `[T]`.
    pub fn spans(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.lengths.iter().scan(0, |end, len| {
            let start = *end;
            *end += len;
            Some(start..*end)
        })
    }
}

/// What an encoder takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EncoderInput {
    /// Text.
    Tokens(TokenBatch),
    /// Spectrogram frames, `[B, M, F]`: `M` mel bands, `F` frames.
    Features(Tensor),
}

/// What an encoder gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EncoderOutput {
    /// `last_hidden_state`: `[T, E]` over the sequences of the batch, or `[B, N, E]` for images and audio.
    pub last_hidden_state: Tensor,
    /// `pooler_output`, `[B, E]`, where the model has a pooler.
    pub pooler_output: Option<Tensor>,
}

impl EncoderOutput {
    /// The two outputs.
    #[must_use]
    pub const fn new(last_hidden_state: Tensor, pooler_output: Option<Tensor>) -> Self {
        Self {
            last_hidden_state,
            pooler_output,
        }
    }
}

/// A text encoder without a head: `BertModel` and the like.
pub trait TextEncoder: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// The hidden states of every token, and the pooled output.
    ///
    /// # Errors
    /// If the batch is empty, has tokens outside the vocabulary, or a sequence longer than the context.
    fn encode(
        &self,
        batch: &TokenBatch,
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError>;
}

/// An encoder that predicts masked tokens: `…ForMaskedLM`.
pub trait MaskedLm: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// Logits of every token, `[T, V]`.
    ///
    /// # Errors
    /// As [`TextEncoder::encode`].
    fn logits(&self, batch: &TokenBatch, probe: &mut dyn Probe) -> Result<Tensor, ForwardError>;
}

/// An encoder that sorts whole sequences into classes: `…ForSequenceClassification`.
pub trait SequenceClassifier: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// Logits of every class, `[B, num_labels]`.
    ///
    /// # Errors
    /// As [`TextEncoder::encode`].
    fn logits(&self, batch: &TokenBatch, probe: &mut dyn Probe) -> Result<Tensor, ForwardError>;
}

/// An encoder-decoder: `…ForConditionalGeneration`. Its decoder is a [`CausalLm`] over sequences
/// that were encoded before.
pub trait Seq2Seq: CausalLm {
    /// Run the encoder, and remember what the decoder needs of it under `sequences`, one for each
    /// of the batch's.
    ///
    /// # Errors
    /// If the input is of the wrong kind or shape, empty, too long, or names tokens outside the
    /// vocabulary; if `sequences` are not as many as the batch's or unknown to the cache.
    fn encode_probed(
        &self,
        input: &EncoderInput,
        cache: &mut Cache,
        sequences: &[SequenceId],
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError>;

    /// [`encode_probed`](Self::encode_probed) without a probe.
    ///
    /// # Errors
    /// As there.
    fn encode(
        &self,
        input: &EncoderInput,
        cache: &mut Cache,
        sequences: &[SequenceId],
    ) -> Result<EncoderOutput, ForwardError> {
        self.encode_probed(input, cache, sequences, &mut NoProbe)
    }
}

/// A vision encoder without a head: `ViTModel` and the like.
pub trait ImageEncoder: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// Hidden states of `pixel_values` `[B, C, H, W]`, preprocessed.
    ///
    /// # Errors
    /// If the pixels have another shape than the model takes.
    fn encode(
        &self,
        pixel_values: &Tensor,
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError>;
}

/// A model that sorts images into classes: `…ForImageClassification`.
pub trait ImageClassifier: Send + Sync {
    /// The facts about the model.
    fn info(&self) -> &ModelInfo;

    /// Logits `[B, num_labels]` of `pixel_values` `[B, C, H, W]`, preprocessed.
    ///
    /// # Errors
    /// If the pixels have another shape than the model takes.
    fn logits(&self, pixel_values: &Tensor, probe: &mut dyn Probe) -> Result<Tensor, ForwardError>;
}
