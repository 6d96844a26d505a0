//! Text encoders: the body, and the heads that transformers puts on it.
//!
//! ```text
//! x = embed_norm(words[token] + types[type] + positions[0..])     each where the family has it
//! y = norm(layers(x))                                              every token sees its whole sequence
//!
//! …Model                        y, and act(W y[first]) where there is a pooler
//! …ForMaskedLM                  decoder(norm(act(dense(y)))) + bias
//! …ForSequenceClassification    out_proj(act(dense(y[first])))
//! ```
//!
//! A family says what its layers are and where its weights lie ([`TextEncoderConfig`]), and gets every
//! head that it describes ([`MaskedLmConfig`], [`SequenceClassifierConfig`]).

use std::ops::Range;

use hfcore_kernels::{Tensor, gather_rows};

use crate::blocks::{
    Embedding, Norm, NormSpec, Pooler, PredictionHead, PredictionHeadSpec, load_embedding_and_head,
};
use crate::decoder::Config;
use crate::encoder::{EncoderLayer, EncoderStack};
use crate::error::{ForwardError, ModelError};
use crate::family::{Loaded, Source};
use crate::loader::Loader;
use crate::model::{
    EncoderOutput, MaskedLm, ModelInfo, SequenceClassifier, TextEncoder, TokenBatch,
};
use crate::pass::check_tokens;
use crate::probe::Probe;

/// A configuration that describes a text encoder of `Self::Layer`s.
pub trait TextEncoderConfig: Config {
    /// The residual block.
    type Layer: EncoderLayer + 'static;

    /// The numbers of the model.
    fn spec(&self) -> TextEncoderSpec;

    /// The layers; `w` is the body.
    fn layers(&self, w: &Loader<'_>) -> Vec<Self::Layer>;

    /// The pooler of the model without a head, if the class has one; `w` is the body.
    ///
    /// A checkpoint of a model with a head may lack it: then there is no pooled output, never a
    /// random one.
    fn pooler(&self, w: &Loader<'_>) -> Option<Pooler> {
        let _ = w;
        None
    }
}

/// A text encoder with a head that predicts masked tokens.
pub trait MaskedLmConfig: TextEncoderConfig {
    /// The head.
    fn prediction_head(&self) -> PredictionHeadSpec;
}

/// A text encoder with a head that classifies sequences.
pub trait SequenceClassifierConfig: TextEncoderConfig {
    /// What the head sees of the first token, and the head: `w` is the whole model, `body` its body.
    fn classifier(&self, w: &Loader<'_>, body: &Loader<'_>, num_labels: usize) -> SequenceHead;
}

/// What a text encoder is made of, besides its layers.
#[derive(Clone, Debug)]
pub struct TextEncoderSpec {
    /// Where its weights lie in the checkpoint.
    pub names: TextEncoderNames,
    /// `V`.
    pub vocab_size: usize,
    /// `E`.
    pub hidden_size: usize,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Whether positions have a learnt embedding.
    pub learned_positions: bool,
    /// Segments that tokens can belong to; 0 where there is no such thing.
    pub type_vocab_size: usize,
    /// The norm of the embeddings.
    pub embed_norm: Option<NormSpec>,
    /// The norm behind the layers.
    pub norm: Option<NormSpec>,
    /// Whether a head that predicts tokens shares the embedding of words.
    pub tie_word_embeddings: bool,
}

/// Where the weights of a text encoder lie. Names of parts that it does not have are not looked at.
#[derive(Clone, Copy, Debug)]
pub struct TextEncoderNames {
    /// What all but the heads lies under. A checkpoint saved from the body alone lacks it.
    pub prefix: &'static str,
    /// The embedding of words.
    pub word_embeddings: &'static str,
    /// The embedding of positions.
    pub position_embeddings: &'static str,
    /// The embedding of segments.
    pub token_type_embeddings: &'static str,
    /// The norm of the embeddings.
    pub embed_norm: &'static str,
    /// The norm behind the layers.
    pub norm: &'static str,
}

/// A text encoder without a head.
#[derive(Debug)]
pub struct TextModel<L> {
    info: ModelInfo,
    word_embeddings: Embedding,
    position_embeddings: Option<Embedding>,
    token_type_embeddings: Option<Embedding>,
    type_vocab_size: usize,
    embed_norm: Option<Norm>,
    stack: EncoderStack<L>,
    pooler: Option<Pooler>,
}

impl<L: EncoderLayer> TextModel<L> {
    /// The body under `body`, around an embedding of words that is there already.
    #[must_use]
    pub fn load(
        body: &Loader<'_>,
        model_type: &str,
        s: &TextEncoderSpec,
        word_embeddings: Embedding,
        layers: Vec<L>,
    ) -> Self {
        let (names, width) = (&s.names, s.hidden_size);
        let table = |name, rows| Embedding::load(&body.at(name), rows, width);
        let norm =
            |name, spec: Option<NormSpec>| spec.map(|spec| Norm::load(&body.at(name), width, spec));
        Self {
            info: ModelInfo::new(
                model_type,
                s.vocab_size,
                s.max_position_embeddings,
                body.device(),
            ),
            word_embeddings,
            position_embeddings: (s.learned_positions)
                .then(|| table(names.position_embeddings, s.max_position_embeddings)),
            token_type_embeddings: (s.type_vocab_size > 0)
                .then(|| table(names.token_type_embeddings, s.type_vocab_size)),
            type_vocab_size: s.type_vocab_size,
            embed_norm: norm(names.embed_norm, s.embed_norm),
            stack: EncoderStack::new(layers, norm(names.norm, s.norm)),
            pooler: None,
        }
    }

    /// With a pooled output.
    #[must_use]
    pub fn with_pooler(self, pooler: Option<Pooler>) -> Self {
        Self { pooler, ..self }
    }

    /// Hidden states `[T, E]`, and the rows of each sequence.
    ///
    /// # Errors
    /// If the batch is empty or inconsistent, names tokens or types outside the vocabularies, or has a
    /// sequence that is too long.
    pub fn hidden_states(
        &self,
        batch: &TokenBatch,
        probe: &mut dyn Probe,
    ) -> Result<(Tensor, Vec<Range<usize>>), ForwardError> {
        let spans = self.check(batch)?;
        let mut x = self.word_embeddings.forward(&batch.tokens);
        if let Some(table) = &self.token_type_embeddings {
            let types = &batch.token_types;
            let first = vec![
                0;
                if types.is_empty() {
                    batch.tokens.len()
                } else {
                    0
                }
            ];
            x = x + &table.forward(if types.is_empty() { &first } else { types });
        }
        if let Some(table) = &self.position_embeddings {
            let positions: Vec<u32> = spans
                .iter()
                .flat_map(|rows| (0..).take(rows.len()))
                .collect();
            x = x + &table.forward(&positions);
        }
        if let Some(norm) = &self.embed_norm {
            x = norm.forward(&x);
        }
        Ok((self.stack.forward(x, &spans, probe), spans))
    }

    /// `Ok` with the rows of each sequence, if the batch can be run.
    fn check(&self, batch: &TokenBatch) -> Result<Vec<Range<usize>>, ForwardError> {
        let TokenBatch {
            tokens,
            token_types,
            lengths,
        } = batch;
        if tokens.is_empty() || lengths.contains(&0) {
            return Err(ForwardError::Empty);
        }
        let total = lengths
            .iter()
            .try_fold(0usize, |sum, len| sum.checked_add(*len));
        if total != Some(tokens.len()) {
            let found = format!("{lengths:?}");
            return Err(ForwardError::Input {
                input: "lengths",
                expected: format!("lengths whose sum is the {} tokens", tokens.len()),
                found,
            });
        }
        if !token_types.is_empty() && token_types.len() != tokens.len() {
            return Err(ForwardError::Input {
                input: "token_types",
                expected: format!("none, or one for each of the {} tokens", tokens.len()),
                found: format!("{}", token_types.len()),
            });
        }
        check_tokens(tokens, self.info.vocab_size)?;
        // A model without segments takes the type that everybody means by none.
        let type_vocab_size = self.type_vocab_size.max(1);
        if let Some(&token_type) = token_types.iter().find(|&&t| t as usize >= type_vocab_size) {
            return Err(ForwardError::TokenTypeOutOfRange {
                token_type,
                type_vocab_size,
            });
        }
        let max = self.info.max_position_embeddings;
        if let Some(&new) = lengths.iter().find(|&&len| len > max) {
            return Err(ForwardError::ContextFull {
                position: 0,
                new,
                max,
            });
        }
        Ok(batch.spans().collect())
    }
}

impl<L: EncoderLayer> TextEncoder for TextModel<L> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode(
        &self,
        batch: &TokenBatch,
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError> {
        let (x, spans) = self.hidden_states(batch, probe)?;
        let pooled = self
            .pooler
            .as_ref()
            .map(|pooler| pooler.forward(&first_rows(&x, &spans)));
        Ok(EncoderOutput::new(x, pooled))
    }
}

/// `…ForMaskedLM`.
#[derive(Debug)]
pub struct MaskedLmModel<L> {
    body: TextModel<L>,
    head: PredictionHead,
}

impl<L: EncoderLayer> MaskedLm for MaskedLmModel<L> {
    fn info(&self) -> &ModelInfo {
        &self.body.info
    }

    fn logits(&self, batch: &TokenBatch, probe: &mut dyn Probe) -> Result<Tensor, ForwardError> {
        let (x, _) = self.body.hidden_states(batch, probe)?;
        Ok(self.head.forward(&x))
    }
}

/// The head of `…ForSequenceClassification`: a layer over the first token, and the classes.
#[derive(Clone, Debug)]
pub struct SequenceHead {
    /// `act(W x + b)`.
    pub pooler: Pooler,
    /// `[B, E]` to `[B, num_labels]`.
    pub out_proj: crate::blocks::Linear,
}

/// `…ForSequenceClassification`.
#[derive(Debug)]
pub struct SequenceClassifierModel<L> {
    body: TextModel<L>,
    head: SequenceHead,
}

impl<L: EncoderLayer> SequenceClassifier for SequenceClassifierModel<L> {
    fn info(&self) -> &ModelInfo {
        &self.body.info
    }

    fn logits(&self, batch: &TokenBatch, probe: &mut dyn Probe) -> Result<Tensor, ForwardError> {
        let (x, spans) = self.body.hidden_states(batch, probe)?;
        let pooled = self.head.pooler.forward(&first_rows(&x, &spans));
        Ok(self.head.out_proj.forward(&pooled))
    }
}

/// `[B, E]`: the first row of each span.
pub(crate) fn first_rows(x: &Tensor, spans: &[Range<usize>]) -> Tensor {
    let rows: Vec<usize> = spans.iter().map(|rows| rows.start).collect();
    gather_rows(x, &rows)
}

/// Load `…Model`.
///
/// # Errors
/// If the configuration is refused or the checkpoint does not fit.
pub fn load_text_encoder<C: TextEncoderConfig>(
    source: &Source<'_>,
) -> Result<Loaded<dyn TextEncoder>, ModelError> {
    let loaded = source.load(|w, config: &C, model_type| {
        let body = body(w, &config.spec().names);
        load_body(&body, model_type, config).with_pooler(config.pooler(&body))
    })?;
    Ok(loaded.map(|model| model as Box<dyn TextEncoder>))
}

/// Load `…ForMaskedLM`.
///
/// # Errors
/// If the configuration is refused or the checkpoint does not fit.
pub fn load_masked_lm<C: MaskedLmConfig>(
    source: &Source<'_>,
) -> Result<Loaded<dyn MaskedLm>, ModelError> {
    let loaded = source.load(|w, config: &C, model_type| {
        let (s, head) = (config.spec(), config.prediction_head());
        let body = body(w, &s.names);
        let (words, decoder) = load_embedding_and_head(
            &body.at(s.names.word_embeddings),
            &w.at(head.decoder),
            s.vocab_size,
            s.hidden_size,
            s.tie_word_embeddings,
            false,
        );
        MaskedLmModel {
            body: TextModel::load(&body, model_type, &s, words, config.layers(&body)),
            head: PredictionHead::load(w, &head, decoder),
        }
    })?;
    Ok(loaded.map(|model| model as Box<dyn MaskedLm>))
}

/// Load `…ForSequenceClassification`, with as many classes as the configuration has labels.
///
/// # Errors
/// If the configuration is refused or the checkpoint does not fit.
pub fn load_sequence_classifier<C: SequenceClassifierConfig>(
    source: &Source<'_>,
) -> Result<Loaded<dyn SequenceClassifier>, ModelError> {
    let num_labels = source.config.num_labels();
    let loaded = source.load(|w, config: &C, model_type| {
        let body = body(w, &config.spec().names);
        SequenceClassifierModel {
            body: load_body(&body, model_type, config),
            head: config.classifier(w, &body, num_labels),
        }
    })?;
    Ok(loaded.map(|model| model as Box<dyn SequenceClassifier>))
}

fn body<'a>(w: &Loader<'a>, names: &TextEncoderNames) -> Loader<'a> {
    w.body(names.prefix, names.word_embeddings)
}

fn load_body<C: TextEncoderConfig>(
    body: &Loader<'_>,
    model_type: &str,
    config: &C,
) -> TextModel<C::Layer> {
    let s = config.spec();
    let words = Embedding::load(
        &body.at(s.names.word_embeddings),
        s.vocab_size,
        s.hidden_size,
    );
    TextModel::load(body, model_type, &s, words, config.layers(body))
}
