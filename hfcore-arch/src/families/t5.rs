//! T5: an encoder-decoder whose positions are a learnt score for each distance.
//!
//! ```text
//! h = x + Attention(RmsNorm(x)) + …    scores q kᵀ + bias(distance), not scaled; the first layer's bias serves all
//! g = h + CrossAttention(RmsNorm(h))   in the decoder
//! y = g + Mlp(RmsNorm(g))              wo(relu(wi)), or wo(gelu(wi_0) * wi_1) from version 1.1 on
//! ```
//!
//! Paper: Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>.
//! Reference: transformers 5.23 `models/t5/modeling_t5.py`; golden: `tests/golden/t5*`.

use std::ops::Range;
use std::sync::Arc;

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{
    Attention, AttentionSpec, Embedding, GatedMlp, Linear, Mlp, MlpSpec, Norm, NormSpec,
    ProjectionLayout, RelativePositionSpec, RelativePositions, load_tied_embeddings,
};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, Decoder, DecoderLayer, DecoderNames, DecoderSpec};
use crate::encoder::EncoderLayer;
use crate::encoder_decoder::{CrossLayer, EncoderDecoder};
use crate::error::ModelError;
use crate::family::{Family, Loaded, Source};
use crate::loader::Loader;
use crate::model::{Seq2Seq, TextEncoder};
use crate::pass::Pass;
use crate::text_encoder::{TextEncoderNames, TextEncoderSpec, TextModel};

/// `t5`.
pub const FAMILY: Family = Family::new::<T5Config>(&["t5"])
    .with_seq2seq(load_seq2seq)
    .with_text_encoder(load_encoder);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct T5Config {
    /// `V`.
    pub vocab_size: usize,
    /// `E`.
    pub d_model: usize,
    /// `D`.
    pub d_kv: usize,
    /// Width inside the feed-forward block.
    pub d_ff: usize,
    /// Layers of the encoder.
    pub num_layers: usize,
    /// Layers of the decoder.
    pub num_decoder_layers: usize,
    /// `H`.
    pub num_heads: usize,
    /// Scores that distances share, for each head.
    pub relative_attention_num_buckets: usize,
    /// From here on, all distances share one.
    pub relative_attention_max_distance: usize,
    /// Added to the mean square in norms.
    pub layer_norm_epsilon: f32,
    /// The nonlinearity of the feed-forward block.
    pub dense_act_fn: Activation,
    /// Whether the feed-forward block has a gate.
    pub is_gated_act: bool,
    /// Whether the head sees hidden states divided by `sqrt(E)`.
    pub scale_decoder_outputs: bool,
}

impl Config for T5Config {
    fn read(keys: &Keys<'_>) -> Self {
        keys.refuse_unless_false(
            "is_decoder",
            "T5 is an encoder, or an encoder with a decoder",
        );
        let num_layers = keys.layers(keys.spelling(&["num_layers", "num_hidden_layers"]));
        let (dense_act_fn, is_gated_act) = feed_forward(keys);
        // Version 1.0 shares the head with the embedding and scales what the head sees. Later ones say
        // that they share nothing. transformers ties whatever the file says, and has the checkpoint
        // decide; the key only tells whether to scale.
        let tied = keys.flag_or("tie_word_embeddings", true);
        let config = Self {
            vocab_size: keys.dim("vocab_size"),
            d_model: keys.dim(keys.spelling(&["d_model", "hidden_size"])),
            d_kv: keys.dim(keys.spelling(&["d_kv", "head_dim"])),
            d_ff: keys.dim("d_ff"),
            num_layers,
            num_decoder_layers: keys.layers_or("num_decoder_layers", num_layers),
            num_heads: keys.heads(keys.spelling(&["num_heads", "num_attention_heads"])),
            relative_attention_num_buckets: keys.dim_or("relative_attention_num_buckets", 32),
            relative_attention_max_distance: keys.dim_or("relative_attention_max_distance", 128),
            layer_norm_epsilon: keys.float_or("layer_norm_epsilon", 1e-6),
            dense_act_fn,
            is_gated_act,
            scale_decoder_outputs: keys.flag_or("scale_decoder_outputs", tied),
        };
        for bidirectional in [true, false] {
            if let Some(problem) = config.relative_positions(bidirectional).problem() {
                keys.problem("relative_attention_max_distance", problem);
            }
        }
        config
    }
}

/// The activation and whether there is a gate: `feed_forward_proj` says both (`"relu"`,
/// `"gated-gelu"`), and `dense_act_fn` and `is_gated_act`, which transformers derives from it, override it.
fn feed_forward(keys: &Keys<'_>) -> (Activation, bool) {
    let key = "feed_forward_proj";
    let proj = keys.text_or(key, "relu");
    let (gated, name) = match proj.strip_prefix("gated-") {
        Some(name) => (true, name),
        None => (false, proj.as_str()),
    };
    // What everybody calls gated-gelu was trained with the approximation by tanh.
    let named = if proj == "gated-gelu" {
        Some(Named::GeluPytorchTanh)
    } else {
        Named::from_name(name)
    };
    let named = named.unwrap_or_else(|| {
        keys.problem(
            key,
            format!(
                "expected \"ACT\" or \"gated-ACT\" with the name of an activation, found \"{proj}\""
            ),
        );
        Named::Linear
    });
    (
        read::activation_or(keys, "dense_act_fn", named),
        keys.flag_or("is_gated_act", gated),
    )
}

impl T5Config {
    const fn norm(&self) -> NormSpec {
        NormSpec::rms(self.layer_norm_epsilon)
    }

    fn attention(&self) -> AttentionSpec {
        AttentionSpec {
            scale: 1.0,
            layout: ProjectionLayout::Separate(["q", "k", "v", "o"]),
            rope: None,
            ..AttentionSpec::new(self.d_model, self.num_heads, self.num_heads, self.d_kv)
        }
    }

    const fn relative_positions(&self, bidirectional: bool) -> RelativePositionSpec {
        RelativePositionSpec {
            num_heads: self.num_heads,
            num_buckets: self.relative_attention_num_buckets,
            max_distance: self.relative_attention_max_distance,
            bidirectional,
        }
    }

    /// The encoder, around its embedding.
    fn encoder(
        &self,
        w: &Loader<'_>,
        model_type: &str,
        embed_tokens: Embedding,
    ) -> TextModel<T5EncoderLayer> {
        let body = w.at("encoder");
        let relative = self.shared_positions(&body, true);
        let spec = TextEncoderSpec {
            names: TextEncoderNames {
                prefix: "",
                word_embeddings: "",
                position_embeddings: "",
                token_type_embeddings: "",
                embed_norm: "",
                norm: "final_layer_norm",
            },
            vocab_size: self.vocab_size,
            hidden_size: self.d_model,
            // Distances have no end.
            max_position_embeddings: usize::MAX,
            learned_positions: false,
            type_vocab_size: 0,
            embed_norm: None,
            norm: Some(self.norm()),
            tie_word_embeddings: true,
        };
        let layer = |i: usize| {
            let w = body.at(&format!("block.{i}"));
            T5EncoderLayer {
                attention: self.sublayer(&w.at("layer.0"), "SelfAttention"),
                relative: Arc::clone(&relative),
                mlp: T5Mlp::load(&w.at("layer.1"), self),
            }
        };
        TextModel::load(
            &body,
            model_type,
            &spec,
            embed_tokens,
            (0..self.num_layers).map(layer).collect(),
        )
    }

    /// The decoder, around its embedding and its head.
    #[expect(clippy::cast_precision_loss, reason = "a width is small")]
    fn decoder(
        &self,
        w: &Loader<'_>,
        model_type: &str,
        embed_tokens: Embedding,
        lm_head: Linear,
    ) -> Decoder<T5DecoderLayer> {
        let body = w.at("decoder");
        let layer = T5DecoderLayerSpec {
            config: self.clone(),
            relative: self.shared_positions(&body, false),
        };
        let spec = DecoderSpec {
            names: DecoderNames {
                layers: "block",
                norm: "final_layer_norm",
                ..DecoderNames::LLAMA
            },
            norm: self.norm(),
            // Hidden states times d^-½ before the head are logits times d^-½ behind it.
            logits_scaling: if self.scale_decoder_outputs {
                (self.d_model as f32).sqrt()
            } else {
                1.0
            },
            ..DecoderSpec::new(
                self.vocab_size,
                self.d_model,
                usize::MAX,
                vec![layer; self.num_decoder_layers],
            )
        };
        Decoder::load_around(&body, model_type, &spec, embed_tokens, lm_head)
    }

    /// The scores of distances that the first layer has and all use.
    fn shared_positions(&self, body: &Loader<'_>, bidirectional: bool) -> Arc<RelativePositions> {
        let w = body.at("block.0.layer.0.SelfAttention.relative_attention_bias");
        Arc::new(RelativePositions::load(
            &w,
            &self.relative_positions(bidirectional),
        ))
    }

    fn sublayer(&self, w: &Loader<'_>, name: &str) -> T5Attention {
        T5Attention {
            layer_norm: Norm::load(&w.at("layer_norm"), self.d_model, self.norm()),
            attention: Attention::load(&w.at(name), &self.attention()),
        }
    }
}

/// `T5ForConditionalGeneration`.
fn load_seq2seq(source: &Source<'_>) -> Result<Loaded<dyn Seq2Seq>, ModelError> {
    let loaded = source.load(|w, config: &T5Config, model_type| {
        let names = [
            "shared",
            "encoder.embed_tokens",
            "decoder.embed_tokens",
            "lm_head",
        ]
        .map(|name| w.at(name));
        let [_, encoder, decoder, head] =
            load_tied_embeddings(names.each_ref(), config.vocab_size, config.d_model);
        EncoderDecoder::new(
            config.encoder(w, model_type, encoder),
            config.decoder(w, model_type, decoder, Linear::tied(w, &head, None)),
        )
    })?;
    Ok(loaded.map(|model| model as Box<dyn Seq2Seq>))
}

/// `T5EncoderModel`.
fn load_encoder(source: &Source<'_>) -> Result<Loaded<dyn TextEncoder>, ModelError> {
    let loaded = source.load(|w, config: &T5Config, model_type| {
        let names = ["shared", "encoder.embed_tokens"].map(|name| w.at(name));
        let [_, embed_tokens] =
            load_tied_embeddings(names.each_ref(), config.vocab_size, config.d_model);
        config.encoder(w, model_type, embed_tokens)
    })?;
    Ok(loaded.map(|model| model as Box<dyn TextEncoder>))
}

/// An attention and the norm before it.
#[derive(Clone, Debug)]
struct T5Attention {
    layer_norm: Norm,
    attention: Attention,
}

/// The feed-forward block and the norm before it.
#[derive(Clone, Debug)]
struct T5Mlp {
    layer_norm: Norm,
    dense: Dense,
}

#[derive(Clone, Debug)]
enum Dense {
    Plain(Mlp),
    Gated(GatedMlp),
}

impl T5Mlp {
    fn load(w: &Loader<'_>, config: &T5Config) -> Self {
        let s = MlpSpec {
            hidden_size: config.d_model,
            intermediate_size: config.d_ff,
            act: config.dense_act_fn,
            bias: false,
        };
        // The name stayed when the activation changed.
        let dense = w.at("DenseReluDense");
        let up = |name| Linear::load(&dense.at(name), config.d_model, config.d_ff, false);
        let gated = || {
            let wo = Linear::load(&dense.at("wo"), config.d_ff, config.d_model, false);
            GatedMlp::new(up("wi_0"), up("wi_1"), wo, config.dense_act_fn)
        };
        Self {
            layer_norm: Norm::load(&w.at("layer_norm"), config.d_model, config.norm()),
            dense: if config.is_gated_act {
                Dense::Gated(gated())
            } else {
                Dense::Plain(Mlp::load(&dense, &s, ["wi", "wo"]))
            },
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let normed = self.layer_norm.forward(x);
        match &self.dense {
            Dense::Plain(mlp) => mlp.forward(&normed),
            Dense::Gated(mlp) => mlp.forward(&normed),
        }
    }
}

/// One residual block of the encoder.
#[derive(Clone, Debug)]
pub struct T5EncoderLayer {
    attention: T5Attention,
    relative: Arc<RelativePositions>,
    mlp: T5Mlp,
}

impl EncoderLayer for T5EncoderLayer {
    fn forward(&self, x: Tensor, spans: &[Range<usize>]) -> Tensor {
        let T5Attention {
            layer_norm,
            attention,
        } = &self.attention;
        let h = &x
            + attention.forward_bidirectional(
                &layer_norm.forward(&x),
                spans,
                Some(self.relative.bias()),
            );
        &h + self.mlp.forward(&h)
    }
}

/// The numbers of a [`T5DecoderLayer`], and the scores that it shares.
#[derive(Clone, Debug)]
pub struct T5DecoderLayerSpec {
    config: T5Config,
    relative: Arc<RelativePositions>,
}

/// One residual block of the decoder.
#[derive(Clone, Debug)]
pub struct T5DecoderLayer {
    attention: T5Attention,
    relative: Arc<RelativePositions>,
    cross_attention: T5Attention,
    mlp: T5Mlp,
}

impl DecoderLayer for T5DecoderLayer {
    type Spec = T5DecoderLayerSpec;

    fn cache(s: &T5DecoderLayerSpec) -> LayerCacheSpec {
        s.config.attention().cache()
    }

    fn load(w: &Loader<'_>, s: &T5DecoderLayerSpec) -> Self {
        // Some old files have a bias of the first cross-attention, which nothing reads.
        w.at("layer.1.EncDecAttention.relative_attention_bias")
            .ignore("weight");
        Self {
            attention: s.config.sublayer(&w.at("layer.0"), "SelfAttention"),
            relative: Arc::clone(&s.relative),
            cross_attention: s.config.sublayer(&w.at("layer.1"), "EncDecAttention"),
            mlp: T5Mlp::load(&w.at("layer.2"), &s.config),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let T5Attention {
            layer_norm,
            attention,
        } = &self.attention;
        let h = &x
            + attention.forward_biased(&layer_norm.forward(&x), pass, Some(self.relative.bias()));
        let T5Attention {
            layer_norm,
            attention,
        } = &self.cross_attention;
        let g = &h + attention.forward_cross(&layer_norm.forward(&h), pass);
        &g + self.mlp.forward(&g)
    }
}

impl CrossLayer for T5DecoderLayer {
    fn cross_key_values(&self, encoded: &Tensor) -> (Tensor, Tensor) {
        self.cross_attention.attention.cross_key_values(encoded)
    }
}
