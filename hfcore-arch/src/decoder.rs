//! The decoder-only skeleton: embed, layers, norm, head.
//!
//! A family says what its layers are ([`DecoderLayer`]) and how its configuration becomes numbers
//! ([`DecoderConfig`]); the skeleton owns the rest, the cache and the limits among it.

use hfcore_config::{Keys, RopeParameters, RopeScaling};
use hfcore_kernels::sample::{Best, Choice, Drawn, Sampling, best, sample};
use hfcore_kernels::{
    DType, Precision, RopeAngles, Tensor, concat_rows, gather_rows, scale, softcap,
};

use crate::blocks::{Embedding, Linear, Norm, NormSpec, load_embedding_and_head};
use crate::cache::{Cache, CacheDType, CacheOptions, LayerCacheSpec};
use crate::error::ForwardError;
use crate::loader::Loader;
use crate::model::{CausalLm, Logits, ModelInfo};
use crate::pass::{Limits, Pass};
use crate::probe::{NoProbe, Probe};
use crate::step::Step;

/// Tokens that go through the layers together. A longer step is run in parts, so that the memory of
/// activations is bounded: parts of so many have the speed of any more, and all go the way of many rows
/// through matrix products, so that the numbers are those of the whole.
const MOST_ROWS: usize = 512;

/// A `config.json` as its family reads it.
pub trait Config: Sized {
    /// Read the configuration through the cursor, which collects what is wrong with it.
    ///
    /// The values of keys with a problem are placeholders; the result is used only if there are none.
    fn read(keys: &Keys<'_>) -> Self;
}

/// A configuration that describes a decoder of `Self::Layer`s.
pub trait DecoderConfig: Config {
    /// The residual block.
    type Layer: DecoderLayer + 'static;

    /// The numbers of the model.
    fn spec(&self) -> DecoderSpec<<Self::Layer as DecoderLayer>::Spec>;
}

/// One residual block. A family with wiring of its own implements this.
pub trait DecoderLayer: Sized + Send + Sync {
    /// The numbers of the block.
    type Spec: Clone;

    /// What the block remembers of a sequence.
    fn cache(spec: &Self::Spec) -> LayerCacheSpec;

    /// The block's weights.
    fn load(w: &Loader<'_>, spec: &Self::Spec) -> Self;

    /// `[T, E]` to `[T, E]`.
    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor;
}

/// What a decoder is made of: the skeleton's own numbers, and one spec per layer.
#[derive(Clone, Debug)]
pub struct DecoderSpec<S> {
    /// Where the skeleton's weights lie in the checkpoint.
    pub names: DecoderNames,
    /// `V`.
    pub vocab_size: usize,
    /// `E`.
    pub hidden_size: usize,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// The norm before the head.
    pub norm: NormSpec,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
    /// Whether the head has a bias.
    pub head_bias: bool,
    /// What embeddings are multiplied by.
    pub embed_scale: f32,
    /// What logits are divided by.
    pub logits_scaling: f32,
    /// Logits are squashed to `cap * tanh(logit / cap)`.
    pub logits_softcap: Option<f32>,
    /// Whether positions have a learnt embedding that is added to the tokens'.
    pub learned_positions: bool,
    /// The rotations that layers choose from by index.
    pub ropes: Vec<RopeParameters>,
    /// See [`ModelInfo::recompute_beyond`].
    pub recompute_beyond: Option<usize>,
    /// The layers.
    pub layers: Vec<S>,
}

impl<S> DecoderSpec<S> {
    /// Llama's skeleton around these layers: RMS norm, tied or not, one rotation, no scales.
    #[must_use]
    pub fn new(
        vocab_size: usize,
        hidden_size: usize,
        max_position_embeddings: usize,
        layers: Vec<S>,
    ) -> Self {
        Self {
            names: DecoderNames::LLAMA,
            vocab_size,
            hidden_size,
            max_position_embeddings,
            norm: NormSpec::rms(1e-6),
            tie_word_embeddings: false,
            head_bias: false,
            embed_scale: 1.0,
            logits_scaling: 1.0,
            logits_softcap: None,
            learned_positions: false,
            ropes: Vec::new(),
            recompute_beyond: None,
            layers,
        }
    }

    /// The same skeleton around other layers.
    #[must_use]
    pub fn map_layers<T>(self, f: impl FnMut(S) -> T) -> DecoderSpec<T> {
        DecoderSpec {
            names: self.names,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            max_position_embeddings: self.max_position_embeddings,
            norm: self.norm,
            tie_word_embeddings: self.tie_word_embeddings,
            head_bias: self.head_bias,
            embed_scale: self.embed_scale,
            logits_scaling: self.logits_scaling,
            logits_softcap: self.logits_softcap,
            learned_positions: self.learned_positions,
            ropes: self.ropes,
            recompute_beyond: self.recompute_beyond,
            layers: self.layers.into_iter().map(f).collect(),
        }
    }

    /// The longest sequence the model allows: what its positions are made for, extended as its
    /// rotation extends them.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a length times a positive factor"
    )]
    pub fn max_positions(&self) -> usize {
        let extended = |rope: &RopeParameters| match rope.scaling {
            // The base grows with the sequence, without end.
            RopeScaling::Dynamic { .. } => usize::MAX,
            RopeScaling::Yarn {
                factor,
                original_max_position_embeddings: original,
                ..
            } => (original as f64 * factor) as usize,
            _ => 0,
        };
        self.ropes
            .iter()
            .map(extended)
            .fold(self.max_position_embeddings, usize::max)
    }
}

/// Where a decoder's weights lie.
#[derive(Clone, Copy, Debug)]
pub struct DecoderNames {
    /// What all but the head lies under. A checkpoint saved from the body alone lacks it.
    pub prefix: &'static str,
    /// The input embedding.
    pub embed_tokens: &'static str,
    /// The embedding of positions, where there is one.
    pub embed_positions: &'static str,
    /// The layers.
    pub layers: &'static str,
    /// The last norm.
    pub norm: &'static str,
    /// The head. Where a family has had several names for it, the newest is first.
    pub lm_head: &'static [&'static str],
}

impl DecoderNames {
    /// `model.embed_tokens`, `model.layers`, `model.norm`, `lm_head`.
    pub const LLAMA: Self = Self {
        prefix: "model",
        embed_tokens: "embed_tokens",
        embed_positions: "",
        layers: "layers",
        norm: "norm",
        lm_head: &["lm_head"],
    };
}

/// A decoder with its language-model head.
#[derive(Debug)]
pub struct Decoder<L> {
    info: ModelInfo,
    embed_tokens: Embedding,
    embed_positions: Option<Embedding>,
    layers: Vec<L>,
    norm: Norm,
    lm_head: Linear,
    cache: Vec<LayerCacheSpec>,
    ropes: Vec<RopeParameters>,
    embed_scale: f32,
    logits_scaling: f32,
    logits_softcap: Option<f32>,
}

impl<L: DecoderLayer> Decoder<L> {
    /// The model that `spec` describes.
    #[must_use]
    pub fn load(w: &Loader<'_>, model_type: &str, spec: &DecoderSpec<L::Spec>) -> Self {
        let names = &spec.names;
        let (vocab_size, hidden_size) = (spec.vocab_size, spec.hidden_size);
        let body = w.body(names.prefix, names.embed_tokens);
        let head = names
            .lm_head
            .iter()
            .map(|name| w.at(name))
            .find(|head| head.has("weight"));
        let head = head.unwrap_or_else(|| w.at(names.lm_head[0]));
        let (embed_tokens, lm_head) = load_embedding_and_head(
            &body.at(names.embed_tokens),
            &head,
            vocab_size,
            hidden_size,
            spec.tie_word_embeddings,
            spec.head_bias,
        );
        Self::load_around(&body, model_type, spec, embed_tokens, lm_head)
    }

    /// The model that `spec` describes, whose body is at `body`, around an embedding and a head that are
    /// there already: those that the decoder of an encoder-decoder shares with its encoder.
    #[must_use]
    pub fn load_around(
        body: &Loader<'_>,
        model_type: &str,
        spec: &DecoderSpec<L::Spec>,
        embed_tokens: Embedding,
        lm_head: Linear,
    ) -> Self {
        let (names, hidden_size) = (&spec.names, spec.hidden_size);
        let embed_positions = spec.learned_positions.then(|| {
            Embedding::load(
                &body.at(names.embed_positions),
                spec.max_position_embeddings,
                hidden_size,
            )
        });
        let layers = body.at(names.layers);
        Self {
            info: ModelInfo {
                depends_on_length: spec.ropes.iter().any(RopeParameters::depends_on_length),
                recompute_beyond: spec.recompute_beyond,
                ..ModelInfo::new(
                    model_type,
                    spec.vocab_size,
                    spec.max_positions(),
                    body.device(),
                )
            },
            embed_tokens,
            embed_positions,
            layers: (spec.layers.iter().enumerate())
                .map(|(i, layer)| L::load(&layers.at(&i.to_string()), layer))
                .collect(),
            norm: Norm::load(&body.at(names.norm), hidden_size, spec.norm),
            lm_head,
            cache: spec.layers.iter().map(L::cache).collect(),
            ropes: spec.ropes.clone(),
            embed_scale: spec.embed_scale,
            logits_scaling: spec.logits_scaling,
            logits_softcap: spec.logits_softcap,
        }
    }

    /// The layers, in order.
    #[must_use]
    pub fn layers(&self) -> &[L] {
        &self.layers
    }

    /// `[T, E]`: the tokens' embeddings as the first layer sees them.
    fn embed(&self, step: &Step, pass: &Pass<'_>) -> Tensor {
        let x = match step.drawn() {
            None => self.embed_tokens.forward(step.tokens()),
            Some(drawn) => (self.embed_tokens).forward_drawn(&drawn.tokens, &drawn.rows),
        };
        let x = if self.embed_scale == 1.0 {
            x
        } else {
            scale(x, self.embed_scale)
        };
        match &self.embed_positions {
            Some(embed_positions) => x + &embed_positions.forward(&position_ids(pass.positions())),
            None => x,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            vocab_size: self.info.vocab_size,
            max_positions: self.info.max_position_embeddings,
            num_layers: self.layers.len(),
        }
    }

    /// `[R, E]`: what the head sees of the rows the step asks for. The sequences have grown.
    fn body(&self, step: &Step, mut pass: Pass<'_>) -> Tensor {
        pass.set_ropes(rope_angles(&self.ropes, &pass, &self.info));
        let mut x = self.embed(step, &pass);
        pass.record(|| "embed_tokens".to_owned(), &x);
        for (i, layer) in self.layers.iter().enumerate() {
            pass.enter(i);
            x = layer.forward(x, &mut pass);
            pass.record(|| format!("layers.{i}"), &x);
        }
        // Rows nobody asked for stop here; a probe sees all of them.
        let x = if pass.is_probed() {
            let normed = self.norm.forward(&x);
            pass.record(|| "norm".to_owned(), &normed);
            gather_rows(&normed, step.logits())
        } else {
            self.norm.forward(&gather_rows(&x, step.logits()))
        };
        pass.finish();
        x
    }

    /// `[R, V]`: run `step`; the scores of the rows it asks for, if it asks for any.
    fn logits(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Option<Tensor>, ForwardError> {
        let pass = Pass::begin(step, cache, probe, &self.limits())?;
        let is_long = step.tokens().len() > MOST_ROWS;
        let x = if is_long && !pass.is_probed() && !self.info.depends_on_length {
            // All of it can be run, or nothing would have changed.
            drop(pass);
            let parts = step.parts(MOST_ROWS);
            let parts = parts
                .iter()
                .map(|part| {
                    let pass = Pass::begin(part, cache, probe, &self.limits())?;
                    let x = self.body(part, pass);
                    // So that a GPU works at this part while the next is recorded, and has a plan for each.
                    self.info.device.submit();
                    Ok(x)
                })
                .collect::<Result<Vec<_>, ForwardError>>()?;
            concat_rows(&parts.iter().collect::<Vec<_>>())
        } else {
            self.body(step, pass)
        };
        Ok((!step.logits().is_empty()).then(|| self.head(&x)))
    }

    /// `[R, V]`: scores of the rows the step asks for.
    fn head(&self, x: &Tensor) -> Tensor {
        let logits = self.lm_head.forward(x);
        let logits = if self.logits_scaling == 1.0 {
            logits
        } else {
            scale(logits, 1.0 / self.logits_scaling)
        };
        match self.logits_softcap {
            Some(cap) => softcap(logits, cap),
            None => logits,
        }
    }
}

impl<L: DecoderLayer> CausalLm for Decoder<L> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn new_cache(&self, options: &CacheOptions) -> Cache {
        let bf16 = DType::Bf16;
        let is_fast = self.info.device.precision().of(bf16) == Precision::Fast;
        let dtype = match options.dtype {
            CacheDType::Auto if is_fast && self.embed_tokens.weight().dtype() == bf16 => {
                CacheDType::Bf16
            }
            dtype => dtype,
        };
        Cache::new(&self.cache, &options.with_dtype(dtype), &self.info.device)
    }

    fn forward_probed(
        &self,
        step: &Step,
        cache: &mut Cache,
        probe: &mut dyn Probe,
    ) -> Result<Logits, ForwardError> {
        let logits = match self.logits(step, cache, probe)? {
            Some(logits) => logits.into_vec()?,
            None => {
                // Nobody reads; what was remembered is on its way all the same.
                self.info.device.submit();
                Vec::new()
            }
        };
        Ok(Logits::new(logits, self.info.vocab_size))
    }

    fn forward_sample(
        &self,
        step: &Step,
        cache: &mut Cache,
        sampling: &Sampling,
        choices: &[Choice<'_>],
        recent: &[&Drawn],
    ) -> Result<Drawn, ForwardError> {
        let Some(logits) = self.logits(step, cache, &mut NoProbe)? else {
            self.info.device.submit();
            return Ok(Drawn::known(Vec::new()));
        };
        let drawn = sample(&logits, sampling, choices, recent);
        drop(logits);
        drawn.submit();
        Ok(drawn)
    }

    fn forward_best(
        &self,
        step: &Step,
        cache: &mut Cache,
        count: usize,
        repetition_penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Result<Best, ForwardError> {
        let Some(logits) = self.logits(step, cache, &mut NoProbe)? else {
            self.info.device.submit();
            return Ok(Best::known(count, Vec::new()));
        };
        let best = best(&logits, count, repetition_penalty, choices);
        drop(logits);
        best.submit();
        Ok(best)
    }

    fn run_ahead(&self) -> usize {
        if self.info.device.is_wgpu() { 2 } else { 0 }
    }
}

/// The rotations at the positions of a step.
///
/// Kinds whose frequencies change with the length look at the longest sequence of the step, as
/// transformers looks at the whole batch.
pub(crate) fn rope_angles(
    ropes: &[RopeParameters],
    pass: &Pass<'_>,
    info: &ModelInfo,
) -> Vec<RopeAngles> {
    let seq_len = pass
        .positions()
        .iter()
        .max()
        .map_or(0, |position| position + 1);
    (ropes.iter())
        .map(|rope| {
            let frequencies = rope.frequencies(seq_len);
            RopeAngles::new(
                &frequencies.inv_freq,
                frequencies.attention_scaling,
                pass.positions(),
                &info.device,
            )
        })
        .collect()
}

/// Positions as rows of a table. They are below the context, which fits 32 bits.
pub(crate) fn position_ids(positions: &[usize]) -> Vec<u32> {
    let id =
        |&position| u32::try_from(position).expect("positions are checked against the context");
    positions.iter().map(id).collect()
}
