//! Whisper: from the spectrogram of thirty seconds of sound to text.
//!
//! ```text
//! encoder   x = gelu(conv2(gelu(conv1(mel)))) + positions      two frames become one position
//!           h = x + Attention(LayerNorm(x))
//!           y = h + Mlp(LayerNorm(h))                          fc2(gelu(fc1(h)))
//! decoder   the same with CrossAttention(LayerNorm(h)) between both, learnt positions, a tied head
//! ```
//!
//! Paper: Radford et al. 2022, <https://arxiv.org/abs/2212.04356>.
//! Reference: transformers 5.23 `models/whisper/modeling_whisper.py`; golden: `tests/golden/whisper*`.

use std::ops::Range;

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::{
    Activation, Tensor, activate, add_tiled, concat_rows, gather_rows, transpose,
};

use super::read;
use crate::blocks::{
    Attention, AttentionSpec, Conv1d, Conv1dSpec, Mlp, MlpSpec, Norm, NormSpec, ProjectionLayout,
    load_embedding_and_head,
};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, Decoder, DecoderLayer, DecoderNames, DecoderSpec};
use crate::encoder::{EncoderLayer, EncoderStack, equal_spans};
use crate::encoder_decoder::{CrossLayer, Encoded, EncoderDecoder, SourceEncoder};
use crate::error::{ForwardError, ModelError};
use crate::family::{Family, Loaded, Source};
use crate::loader::Loader;
use crate::model::{EncoderInput, Seq2Seq};
use crate::pass::Pass;
use crate::probe::Probe;

/// `whisper`.
pub const FAMILY: Family = Family::new::<WhisperConfig>(&["whisper"]).with_seq2seq(load_seq2seq);

/// Frames that become one position: the strides of both convolutions.
const FRAMES_PER_POSITION: usize = 2;

/// The norms' epsilon is torch's default, and not in the configuration.
const NORM: NormSpec = NormSpec::layer(1e-5);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct WhisperConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `M`, bands of the spectrogram.
    pub num_mel_bins: usize,
    /// `E`.
    pub d_model: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// `H` of the encoder.
    pub encoder_attention_heads: usize,
    /// Width inside the encoder's feed-forward blocks.
    pub encoder_ffn_dim: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// `H` of the decoder.
    pub decoder_attention_heads: usize,
    /// Width inside the decoder's feed-forward blocks.
    pub decoder_ffn_dim: usize,
    /// Their nonlinearity.
    pub activation_function: Activation,
    /// Positions of the encoder; an input has twice as many frames.
    pub max_source_positions: usize,
    /// Positions of the decoder.
    pub max_target_positions: usize,
    /// Whether the head is the decoder's input embedding.
    pub tie_word_embeddings: bool,
    /// `D` of the encoder.
    encoder_head_dim: usize,
    /// `D` of the decoder.
    decoder_head_dim: usize,
}

impl Config for WhisperConfig {
    fn read(keys: &Keys<'_>) -> Self {
        // Of training (`mask_*`, `apply_spec_augment`), of the classification head (`classifier_proj_size`,
        // `use_weighted_layer_sum`), of time stamps of words (`median_filter_width`), of generation
        // (`forced_decoder_ids`). `scale_embedding`: transformers computes the factor and never applies it.
        keys.inert(&[
            "apply_spec_augment",
            "classifier_proj_size",
            "forced_decoder_ids",
            "mask_feature_length",
            "mask_feature_min_masks",
            "mask_feature_prob",
            "mask_time_length",
            "mask_time_min_masks",
            "mask_time_prob",
            "median_filter_width",
            "scale_embedding",
            "use_weighted_layer_sum",
        ]);
        let d_model = keys.dim(keys.spelling(&["d_model", "hidden_size"]));
        let encoder_heads = keys.spelling(&[
            "encoder_attention_heads",
            "num_attention_heads",
            "num_key_value_heads",
        ]);
        let encoder_attention_heads = keys.heads(encoder_heads);
        let decoder_attention_heads = keys.heads("decoder_attention_heads");
        Self {
            vocab_size: keys.dim("vocab_size"),
            num_mel_bins: keys.dim_or("num_mel_bins", 80),
            d_model,
            encoder_layers: keys.layers(keys.spelling(&["encoder_layers", "num_hidden_layers"])),
            encoder_attention_heads,
            encoder_ffn_dim: keys.dim("encoder_ffn_dim"),
            decoder_layers: keys.layers("decoder_layers"),
            decoder_attention_heads,
            decoder_ffn_dim: keys.dim("decoder_ffn_dim"),
            activation_function: read::activation_or(keys, "activation_function", Named::Gelu),
            max_source_positions: keys.dim_or("max_source_positions", 1500),
            max_target_positions: keys.dim_or("max_target_positions", 448),
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", true),
            encoder_head_dim: keys.divide(
                "d_model",
                d_model,
                encoder_heads,
                encoder_attention_heads,
            ),
            decoder_head_dim: keys.divide(
                "d_model",
                d_model,
                "decoder_attention_heads",
                decoder_attention_heads,
            ),
        }
    }
}

impl WhisperConfig {
    fn encoder_layer(&self) -> WhisperLayerSpec {
        self.layer(
            self.encoder_attention_heads,
            self.encoder_head_dim,
            self.encoder_ffn_dim,
        )
    }

    fn decoder_layer(&self) -> WhisperLayerSpec {
        self.layer(
            self.decoder_attention_heads,
            self.decoder_head_dim,
            self.decoder_ffn_dim,
        )
    }

    fn layer(&self, heads: usize, head_dim: usize, intermediate_size: usize) -> WhisperLayerSpec {
        WhisperLayerSpec {
            attention: AttentionSpec {
                layout: ProjectionLayout::Separate(["q_proj", "k_proj", "v_proj", "out_proj"]),
                qkv_bias: true,
                k_bias: false,
                o_bias: true,
                rope: None,
                ..AttentionSpec::new(self.d_model, heads, heads, head_dim)
            },
            mlp: MlpSpec {
                hidden_size: self.d_model,
                intermediate_size,
                act: self.activation_function,
                bias: true,
            },
        }
    }

    fn decoder(&self) -> DecoderSpec<WhisperLayerSpec> {
        let layers = vec![self.decoder_layer(); self.decoder_layers];
        DecoderSpec {
            names: DecoderNames {
                embed_positions: "embed_positions",
                norm: "layer_norm",
                ..DecoderNames::LLAMA
            },
            norm: NORM,
            learned_positions: true,
            ..DecoderSpec::new(
                self.vocab_size,
                self.d_model,
                self.max_target_positions,
                layers,
            )
        }
    }
}

/// `WhisperForConditionalGeneration`.
fn load_seq2seq(source: &Source<'_>) -> Result<Loaded<dyn Seq2Seq>, ModelError> {
    let loaded = source.load(|w, config: &WhisperConfig, model_type| {
        let body = w.body("model", "decoder.embed_tokens");
        let decoder = body.at("decoder");
        let (embed_tokens, proj_out) = load_embedding_and_head(
            &decoder.at("embed_tokens"),
            &w.at("proj_out"),
            config.vocab_size,
            config.d_model,
            config.tie_word_embeddings,
            false,
        );
        EncoderDecoder::<_, WhisperDecoderLayer>::new(
            WhisperEncoder::load(&body.at("encoder"), config),
            Decoder::load_around(
                &decoder,
                model_type,
                &config.decoder(),
                embed_tokens,
                proj_out,
            ),
        )
    })?;
    Ok(loaded.map(|model| model as Box<dyn Seq2Seq>))
}

/// From spectrograms to hidden states.
#[derive(Debug)]
pub struct WhisperEncoder {
    conv1: Conv1d,
    conv2: Conv1d,
    /// `[max_source_positions, E]`: sinusoids, which every checkpoint has.
    embed_positions: Tensor,
    stack: EncoderStack<WhisperEncoderLayer>,
    num_mel_bins: usize,
    max_source_positions: usize,
}

impl WhisperEncoder {
    fn load(w: &Loader<'_>, config: &WhisperConfig) -> Self {
        let (width, positions) = (config.d_model, config.max_source_positions);
        let conv = |name, input, stride| {
            Conv1d::load(
                &w.at(name),
                Conv1dSpec {
                    input,
                    output: width,
                    kernel_size: 3,
                    stride,
                    padding: 1,
                },
            )
        };
        let (layers, spec) = (w.at("layers"), config.encoder_layer());
        let layers = (0..config.encoder_layers)
            .map(|i| WhisperEncoderLayer::load(&layers.at(&i.to_string()), &spec));
        Self {
            conv1: conv("conv1", config.num_mel_bins, 1),
            conv2: conv("conv2", width, FRAMES_PER_POSITION),
            embed_positions: w
                .at("embed_positions")
                .tensor("weight", &[positions, width]),
            stack: EncoderStack::new(
                layers.collect(),
                Some(Norm::load(&w.at("layer_norm"), width, NORM)),
            ),
            num_mel_bins: config.num_mel_bins,
            max_source_positions: positions,
        }
    }
}

impl SourceEncoder for WhisperEncoder {
    fn encode(&self, input: &EncoderInput, probe: &mut dyn Probe) -> Result<Encoded, ForwardError> {
        let (bands, frames) = (
            self.num_mel_bins,
            FRAMES_PER_POSITION * self.max_source_positions,
        );
        let refuse = |found| {
            let expected = format!(
                "spectrograms [B, {bands}, {frames}]; shorter sound is padded with silence first"
            );
            ForwardError::Input {
                input: "input_features",
                expected,
                found,
            }
        };
        let features = match input {
            EncoderInput::Features(features) => features,
            EncoderInput::Tokens(_) => return Err(refuse("tokens".to_owned())),
        };
        let batch = match *features.shape() {
            [batch, m, f] if batch > 0 && [m, f] == [bands, frames] => batch,
            _ => return Err(refuse(format!("{:?}", features.shape()))),
        };
        // The file has bands of frames, a convolution wants frames of bands.
        let by_frame = |i: usize| {
            let rows: Vec<usize> = (i * bands..(i + 1) * bands).collect();
            transpose(&gather_rows(features, &rows))
        };
        let by_frame: Vec<Tensor> = (0..batch).map(by_frame).collect();
        let x = concat_rows(&by_frame.iter().collect::<Vec<_>>()).reshape(&[batch, frames, bands]);
        let x = activate(self.conv1.forward(&x), Activation::Gelu);
        let x = activate(self.conv2.forward(&x), Activation::Gelu);
        let (positions, width) = (self.max_source_positions, x.width());
        let x = add_tiled(
            x.reshape(&[batch * positions, width]),
            &self.embed_positions,
        );
        let spans = equal_spans(batch, positions);
        let x = self.stack.forward(x, &spans, probe);
        Ok(Encoded {
            hidden_states: x.reshape(&[batch, positions, width]),
            spans,
        })
    }
}

/// The numbers of a layer.
#[derive(Clone, Debug)]
pub struct WhisperLayerSpec {
    /// Attention to itself and, in the decoder, to the source.
    pub attention: AttentionSpec,
    /// The feed-forward block.
    pub mlp: MlpSpec,
}

/// One residual block of the encoder. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct WhisperEncoderLayer {
    self_attn_layer_norm: Norm,
    self_attn: Attention,
    final_layer_norm: Norm,
    mlp: Mlp,
}

impl WhisperEncoderLayer {
    fn load(w: &Loader<'_>, s: &WhisperLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, NORM);
        Self {
            self_attn_layer_norm: norm("self_attn_layer_norm"),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            final_layer_norm: norm("final_layer_norm"),
            mlp: Mlp::load(w, &s.mlp, ["fc1", "fc2"]),
        }
    }
}

impl EncoderLayer for WhisperEncoderLayer {
    fn forward(&self, x: Tensor, spans: &[Range<usize>]) -> Tensor {
        let h = &x
            + self.self_attn.forward_bidirectional(
                &self.self_attn_layer_norm.forward(&x),
                spans,
                None,
            );
        &h + self.mlp.forward(&self.final_layer_norm.forward(&h))
    }
}

/// One residual block of the decoder. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct WhisperDecoderLayer {
    self_attn_layer_norm: Norm,
    self_attn: Attention,
    encoder_attn_layer_norm: Norm,
    encoder_attn: Attention,
    final_layer_norm: Norm,
    mlp: Mlp,
}

impl DecoderLayer for WhisperDecoderLayer {
    type Spec = WhisperLayerSpec;

    fn cache(s: &WhisperLayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &WhisperLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, NORM);
        Self {
            self_attn_layer_norm: norm("self_attn_layer_norm"),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            encoder_attn_layer_norm: norm("encoder_attn_layer_norm"),
            encoder_attn: Attention::load(&w.at("encoder_attn"), &s.attention),
            final_layer_norm: norm("final_layer_norm"),
            mlp: Mlp::load(w, &s.mlp, ["fc1", "fc2"]),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let h = &x
            + self
                .self_attn
                .forward(&self.self_attn_layer_norm.forward(&x), pass);
        let g = &h
            + self
                .encoder_attn
                .forward_cross(&self.encoder_attn_layer_norm.forward(&h), pass);
        &g + self.mlp.forward(&self.final_layer_norm.forward(&g))
    }
}

impl CrossLayer for WhisperDecoderLayer {
    fn cross_key_values(&self, encoded: &Tensor) -> (Tensor, Tensor) {
        self.encoder_attn.cross_key_values(encoded)
    }
}
