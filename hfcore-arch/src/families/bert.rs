//! BERT: a bidirectional encoder with norms behind each half, learnt positions and segments.
//!
//! ```text
//! h = LayerNorm(x + Attention(x))
//! y = LayerNorm(h + Mlp(h))            down(gelu(up(h)))
//! ```
//!
//! Most sentence encoders (BGE, E5, GTE) are BERTs; their pooling is outside of the model.
//!
//! Paper: Devlin et al. 2018, <https://arxiv.org/abs/1810.04805>.
//! Reference: transformers 5.23 `models/bert/modeling_bert.py`; golden: `tests/golden/bert*`.

use std::ops::Range;

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{
    Attention, AttentionSpec, Linear, Mlp, MlpSpec, Norm, NormSpec, Pooler, PredictionHeadSpec,
    ProjectionLayout,
};
use crate::decoder::Config;
use crate::encoder::EncoderLayer;
use crate::family::Family;
use crate::loader::Loader;
use crate::text_encoder::{
    MaskedLmConfig, SequenceClassifierConfig, SequenceHead, TextEncoderConfig, TextEncoderNames,
    TextEncoderSpec, load_masked_lm, load_sequence_classifier, load_text_encoder,
};

/// `bert`.
pub const FAMILY: Family = Family::new::<BertConfig>(&["bert"])
    .with_text_encoder(load_text_encoder::<BertConfig>)
    .with_masked_lm(load_masked_lm::<BertConfig>)
    .with_sequence_classifier(load_sequence_classifier::<BertConfig>);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct BertConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `E`.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// `H`.
    pub num_attention_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Its nonlinearity.
    pub hidden_act: Activation,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Segments that tokens can belong to.
    pub type_vocab_size: usize,
    /// Added to the variance in norms.
    pub layer_norm_eps: f32,
    /// Whether the scores of masked tokens share the embedding of words.
    pub tie_word_embeddings: bool,
}

impl Config for BertConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let decoder = "BERT as a decoder is not implemented";
        keys.refuse_unless_false("is_decoder", decoder);
        keys.refuse_unless_false("add_cross_attention", decoder);
        keys.only(
            "position_embedding_type",
            &["absolute".into()],
            "relative positions are not implemented",
        );
        let hidden_size = keys.dim("hidden_size");
        let num_attention_heads = keys.heads("num_attention_heads");
        Self {
            vocab_size: keys.dim("vocab_size"),
            hidden_size,
            num_hidden_layers: keys.layers("num_hidden_layers"),
            num_attention_heads,
            head_dim: keys.divide(
                "hidden_size",
                hidden_size,
                "num_attention_heads",
                num_attention_heads,
            ),
            intermediate_size: keys.dim("intermediate_size"),
            hidden_act: read::activation_or(keys, "hidden_act", Named::Gelu),
            max_position_embeddings: keys.positions("max_position_embeddings"),
            type_vocab_size: keys.dim_or("type_vocab_size", 2),
            layer_norm_eps: keys.float_or("layer_norm_eps", 1e-12),
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", true),
        }
    }
}

impl TextEncoderConfig for BertConfig {
    type Layer = BertLayer;

    fn spec(&self) -> TextEncoderSpec {
        TextEncoderSpec {
            names: TextEncoderNames {
                prefix: "bert",
                word_embeddings: "embeddings.word_embeddings",
                position_embeddings: "embeddings.position_embeddings",
                token_type_embeddings: "embeddings.token_type_embeddings",
                embed_norm: "embeddings.LayerNorm",
                norm: "",
            },
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            max_position_embeddings: self.max_position_embeddings,
            learned_positions: true,
            type_vocab_size: self.type_vocab_size,
            embed_norm: Some(NormSpec::layer(self.layer_norm_eps)),
            norm: None,
            tie_word_embeddings: self.tie_word_embeddings,
        }
    }

    fn layers(&self, w: &Loader<'_>) -> Vec<BertLayer> {
        // Buffers of the numbers 0, 1, 2, … and of zeros.
        let embeddings = w.at("embeddings");
        embeddings.ignore("position_ids");
        embeddings.ignore("token_type_ids");
        let layers = w.at("encoder.layer");
        (0..self.num_hidden_layers)
            .map(|i| BertLayer::load(&layers.at(&i.to_string()), self))
            .collect()
    }

    fn pooler(&self, w: &Loader<'_>) -> Option<Pooler> {
        Pooler::load_if_present(
            &w.at("pooler.dense"),
            self.hidden_size,
            self.hidden_size,
            Activation::Tanh,
        )
    }
}

impl MaskedLmConfig for BertConfig {
    fn prediction_head(&self) -> PredictionHeadSpec {
        PredictionHeadSpec {
            dense: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder",
            bias: "cls.predictions",
            hidden_size: self.hidden_size,
            vocab_size: self.vocab_size,
            act: self.hidden_act,
            norm_spec: NormSpec::layer(self.layer_norm_eps),
        }
    }
}

impl SequenceClassifierConfig for BertConfig {
    fn classifier(&self, w: &Loader<'_>, body: &Loader<'_>, num_labels: usize) -> SequenceHead {
        let pooler = body.at("pooler.dense");
        SequenceHead {
            pooler: Pooler::load(
                &pooler,
                self.hidden_size,
                self.hidden_size,
                Activation::Tanh,
            ),
            out_proj: Linear::load_plain(&w.at("classifier"), self.hidden_size, num_labels, true),
        }
    }
}

/// One residual block. Norms are behind the sums.
#[derive(Clone, Debug)]
pub struct BertLayer {
    attention: Attention,
    attention_norm: Norm,
    mlp: Mlp,
    output_norm: Norm,
}

impl BertLayer {
    fn load(w: &Loader<'_>, config: &BertConfig) -> Self {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name| Norm::load(&w.at(name), width, NormSpec::layer(config.layer_norm_eps));
        let attention = AttentionSpec {
            layout: ProjectionLayout::Separate([
                "self.query",
                "self.key",
                "self.value",
                "output.dense",
            ]),
            qkv_bias: true,
            o_bias: true,
            rope: None,
            ..AttentionSpec::new(width, heads, heads, config.head_dim)
        };
        let mlp = MlpSpec {
            hidden_size: width,
            intermediate_size: config.intermediate_size,
            act: config.hidden_act,
            bias: true,
        };
        Self {
            attention: Attention::load(&w.at("attention"), &attention),
            attention_norm: norm("attention.output.LayerNorm"),
            mlp: Mlp::load(w, &mlp, ["intermediate.dense", "output.dense"]),
            output_norm: norm("output.LayerNorm"),
        }
    }
}

impl EncoderLayer for BertLayer {
    fn forward(&self, x: Tensor, spans: &[Range<usize>]) -> Tensor {
        let attended = self.attention.forward_bidirectional(&x, spans, None);
        let h = self.attention_norm.forward(&(x + &attended));
        let fed = self.mlp.forward(&h);
        self.output_norm.forward(&(h + &fed))
    }
}
