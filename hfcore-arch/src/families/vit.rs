//! The vision transformer: an image as a sequence of patches.
//!
//! ```text
//! h = x + Attention(LayerNorm(x))      every patch sees the whole image
//! y = h + Mlp(LayerNorm(h))            fc2(gelu(fc1(h)))
//! ```
//!
//! Paper: Dosovitskiy et al. 2020, <https://arxiv.org/abs/2010.11929>.
//! Reference: transformers 5.23 `models/vit/modeling_vit.py`; golden: `tests/golden/vit*`.

use std::ops::Range;

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{
    Attention, AttentionSpec, Mlp, MlpSpec, Norm, NormSpec, Pooler, ProjectionLayout,
};
use crate::decoder::Config;
use crate::encoder::EncoderLayer;
use crate::family::Family;
use crate::loader::Loader;
use crate::vision::{
    ImageEncoderConfig, ImageEncoderNames, ImageEncoderSpec, load_image_classifier,
    load_image_encoder,
};

/// `vit`.
pub const FAMILY: Family = Family::new::<VitConfig>(&["vit"])
    .with_image_encoder(load_image_encoder::<VitConfig>)
    .with_image_classifier(load_image_classifier::<VitConfig>);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct VitConfig {
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
    /// Added to the variance in norms.
    pub layer_norm_eps: f32,
    /// Height and width of an image.
    pub image_size: [usize; 2],
    /// The side of a patch.
    pub patch_size: usize,
    /// Colours.
    pub num_channels: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Width of the pooled output.
    pub pooler_output_size: usize,
    /// Its nonlinearity.
    pub pooler_act: Activation,
}

impl Config for VitConfig {
    fn read(keys: &Keys<'_>) -> Self {
        // The stride of the decoder of masked image modelling, which is another head.
        keys.inert(&["encoder_stride"]);
        let hidden_size = keys.dim("hidden_size");
        let num_attention_heads = keys.heads("num_attention_heads");
        let image_size = sides(keys, "image_size", 224);
        let [patch_size, patch_width] = sides(keys, "patch_size", 16);
        if patch_size != patch_width {
            keys.problem(
                "patch_size",
                format!("only square patches are supported, found {patch_size} by {patch_width}"),
            );
        } else if image_size.iter().any(|side| side % patch_size != 0) {
            let [height, width] = image_size;
            keys.problem(
                "image_size",
                format!("{height} by {width} is not made of whole patches of {patch_size}"),
            );
        }
        Self {
            hidden_size,
            num_hidden_layers: keys.layers("num_hidden_layers"),
            num_attention_heads,
            head_dim: match keys.opt_dim("head_dim") {
                Some(head_dim) => head_dim,
                None => keys.divide(
                    "hidden_size",
                    hidden_size,
                    "num_attention_heads",
                    num_attention_heads,
                ),
            },
            intermediate_size: keys.dim("intermediate_size"),
            hidden_act: read::activation_or(keys, "hidden_act", Named::Gelu),
            layer_norm_eps: keys.float_or("layer_norm_eps", 1e-12),
            image_size,
            patch_size,
            num_channels: keys.dim_or("num_channels", 3),
            qkv_bias: keys.flag_or("qkv_bias", true),
            pooler_output_size: keys.dim_or("pooler_output_size", hidden_size),
            pooler_act: read::activation_or(keys, "pooler_act", Named::Tanh),
        }
    }
}

/// A size that is a number or a list of height and width.
fn sides(keys: &Keys<'_>, key: &str, default: usize) -> [usize; 2] {
    if !keys.value(key).is_some_and(serde_json::Value::is_array) {
        return [keys.dim_or(key, default); 2];
    }
    match keys.dims(key).as_deref() {
        Some(&[height, width]) if height > 0 && width > 0 => [height, width],
        None => [1, 1],
        Some(other) => {
            keys.problem(
                key,
                format!("expected a number, or height and width, found {other:?}"),
            );
            [1, 1]
        }
    }
}

impl ImageEncoderConfig for VitConfig {
    type Layer = VitLayer;

    fn spec(&self) -> ImageEncoderSpec {
        ImageEncoderSpec {
            names: ImageEncoderNames {
                prefix: "vit",
                patch_embeddings: "embeddings.patch_embeddings.projection",
                cls_token: "embeddings.cls_token",
                position_embeddings: "embeddings.position_embeddings",
                norm: "layernorm",
                classifier: "classifier",
            },
            image_size: self.image_size,
            patch_size: self.patch_size,
            num_channels: self.num_channels,
            hidden_size: self.hidden_size,
            norm: NormSpec::layer(self.layer_norm_eps),
        }
    }

    fn layers(&self, w: &Loader<'_>) -> Vec<VitLayer> {
        // Of masked image modelling.
        w.at("embeddings").ignore("mask_token");
        let new = w.at("layers.0.layernorm_before").has("weight");
        let (layers, names) = if new {
            (w.at("layers"), &VitNames::V5)
        } else {
            (w.at("encoder.layer"), &VitNames::V4)
        };
        (0..self.num_hidden_layers)
            .map(|i| VitLayer::load(&layers.at(&i.to_string()), self, names))
            .collect()
    }

    fn pooler(&self, w: &Loader<'_>) -> Option<Pooler> {
        Pooler::load_if_present(
            &w.at("pooler.dense"),
            self.hidden_size,
            self.pooler_output_size,
            self.pooler_act,
        )
    }
}

/// What the parts of a layer are called in a checkpoint.
#[derive(Clone, Copy, Debug)]
struct VitNames {
    attention: [&'static str; 4],
    mlp: [&'static str; 2],
}

impl VitNames {
    /// As on the Hub, and as transformers 5 still saves.
    const V4: Self = Self {
        attention: [
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
        ],
        mlp: ["intermediate.dense", "output.dense"],
    };
    /// As the modules of transformers 5 are called.
    const V5: Self = Self {
        attention: [
            "attention.q_proj",
            "attention.k_proj",
            "attention.v_proj",
            "attention.o_proj",
        ],
        mlp: ["mlp.fc1", "mlp.fc2"],
    };
}

/// One residual block.
#[derive(Clone, Debug)]
pub struct VitLayer {
    layernorm_before: Norm,
    attention: Attention,
    layernorm_after: Norm,
    mlp: Mlp,
}

impl VitLayer {
    fn load(w: &Loader<'_>, config: &VitConfig, names: &VitNames) -> Self {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name| Norm::load(&w.at(name), width, NormSpec::layer(config.layer_norm_eps));
        let attention = AttentionSpec {
            layout: ProjectionLayout::Separate(names.attention),
            qkv_bias: config.qkv_bias,
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
            layernorm_before: norm("layernorm_before"),
            attention: Attention::load(w, &attention),
            layernorm_after: norm("layernorm_after"),
            mlp: Mlp::load(w, &mlp, names.mlp),
        }
    }
}

impl EncoderLayer for VitLayer {
    fn forward(&self, x: Tensor, spans: &[Range<usize>]) -> Tensor {
        let h = &x
            + self
                .attention
                .forward_bidirectional(&self.layernorm_before.forward(&x), spans, None);
        &h + self.mlp.forward(&self.layernorm_after.forward(&h))
    }
}
