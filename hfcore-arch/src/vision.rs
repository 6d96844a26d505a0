//! Vision encoders over patches, and the heads that transformers puts on them.
//!
//! ```text
//! x = [cls; patches(pixels) Wᵀ + b] + positions      N patches and one token for the whole image
//! y = norm(layers(x))                                every patch sees its whole image
//!
//! …Model                     y, and act(W y[cls]) where there is a pooler
//! …ForImageClassification    W y[cls] + b
//! ```
//!
//! Images are of the size that the positions were learnt for: resizing the table of positions is not
//! implemented, and other sizes are refused.

use hfcore_kernels::{Tensor, Weight, add_tiled, concat_rows, gather_rows, linear, patches};

use crate::blocks::{Linear, Norm, NormSpec, Pooler};
use crate::decoder::Config;
use crate::encoder::{EncoderLayer, EncoderStack, equal_spans};
use crate::error::{ForwardError, ModelError};
use crate::family::{Loaded, Source};
use crate::loader::Loader;
use crate::model::{EncoderOutput, ImageClassifier, ImageEncoder, ModelInfo};
use crate::probe::Probe;
use crate::text_encoder::first_rows;

/// A configuration that describes a vision encoder of `Self::Layer`s.
pub trait ImageEncoderConfig: Config {
    /// The residual block.
    type Layer: EncoderLayer + 'static;

    /// The numbers of the model.
    fn spec(&self) -> ImageEncoderSpec;

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

/// What a vision encoder is made of, besides its layers.
#[derive(Clone, Debug)]
pub struct ImageEncoderSpec {
    /// Where its weights lie in the checkpoint.
    pub names: ImageEncoderNames,
    /// `[H, W]` in pixels, multiples of `patch_size`.
    pub image_size: [usize; 2],
    /// The side of a patch, in pixels.
    pub patch_size: usize,
    /// `C`.
    pub num_channels: usize,
    /// `E`.
    pub hidden_size: usize,
    /// The norm behind the layers.
    pub norm: NormSpec,
}

impl ImageEncoderSpec {
    /// `N`, patches of an image.
    #[must_use]
    pub const fn num_patches(&self) -> usize {
        let [height, width] = self.image_size;
        (height / self.patch_size) * (width / self.patch_size)
    }
}

/// Where the weights of a vision encoder lie.
#[derive(Clone, Copy, Debug)]
pub struct ImageEncoderNames {
    /// What all but the heads lies under. A checkpoint saved from the body alone lacks it.
    pub prefix: &'static str,
    /// The projection of patches.
    pub patch_embeddings: &'static str,
    /// The token for the whole image.
    pub cls_token: &'static str,
    /// The embedding of positions.
    pub position_embeddings: &'static str,
    /// The norm behind the layers.
    pub norm: &'static str,
    /// The classes.
    pub classifier: &'static str,
}

/// A vision encoder without a head.
#[derive(Debug)]
pub struct ImageModel<L> {
    info: ModelInfo,
    spec: ImageEncoderSpec,
    /// The convolution of patches as the matrix it is, `[E, C * P * P]`.
    projection: Weight,
    projection_bias: Tensor,
    cls_token: Tensor,
    position_embeddings: Tensor,
    stack: EncoderStack<L>,
    pooler: Option<Pooler>,
}

impl<L: EncoderLayer> ImageModel<L> {
    /// The body under `body`.
    #[must_use]
    pub fn load(body: &Loader<'_>, model_type: &str, s: &ImageEncoderSpec, layers: Vec<L>) -> Self {
        let (width, positions) = (s.hidden_size, s.num_patches() + 1);
        let projection = body.at(s.names.patch_embeddings);
        let kernel_shape = [width, s.num_channels, s.patch_size, s.patch_size];
        let kernel = projection.weight("weight", &kernel_shape);
        // A missing tensor has another shape, and the loader refuses the model.
        let is_there = kernel.shape() == kernel_shape;
        let flat = |kernel: &Weight| kernel.reshape(&[width, kernel_shape[1..].iter().product()]);
        Self {
            info: ModelInfo::new(model_type, 0, positions, body.device()),
            spec: s.clone(),
            projection: if is_there { flat(&kernel) } else { kernel },
            projection_bias: projection.tensor("bias", &[width]),
            cls_token: body.tensor(s.names.cls_token, &[1, 1, width]),
            position_embeddings: body.tensor(s.names.position_embeddings, &[1, positions, width]),
            stack: EncoderStack::new(
                layers,
                Some(Norm::load(&body.at(s.names.norm), width, s.norm)),
            ),
            pooler: None,
        }
    }

    /// With a pooled output.
    #[must_use]
    pub fn with_pooler(self, pooler: Option<Pooler>) -> Self {
        Self { pooler, ..self }
    }

    /// `[B * (N + 1), E]` of images `[B, C, H, W]`: the token for the whole image, then its patches.
    ///
    /// # Errors
    /// If the pixels have another shape than the model takes.
    pub fn hidden_states(
        &self,
        pixel_values: &Tensor,
        probe: &mut dyn Probe,
    ) -> Result<Tensor, ForwardError> {
        let batch = self.check(pixel_values)?;
        let num_patches = self.spec.num_patches();
        let patches = patches(pixel_values, self.spec.patch_size);
        let patches = linear(&patches, &self.projection, Some(&self.projection_bias));
        // Row 0 of `all` is the token, patch `j` of image `i` row `1 + i * N + j`.
        let all = concat_rows(&[&self.cls_token, &patches]);
        let rows = (0..batch)
            .flat_map(|i| std::iter::once(0).chain(1 + i * num_patches..=(i + 1) * num_patches));
        let x = gather_rows(&all, &rows.collect::<Vec<_>>());
        let x = add_tiled(x, &self.position_embeddings);
        Ok(self
            .stack
            .forward(x, &equal_spans(batch, num_patches + 1), probe))
    }

    /// `[B, E]` of `[B * (N + 1), E]`: the tokens for the whole images.
    fn cls_rows(&self, x: &Tensor) -> Tensor {
        let len = self.spec.num_patches() + 1;
        first_rows(x, &equal_spans(x.rows() / len, len))
    }

    /// `Ok` with the number of images, if they can be run.
    fn check(&self, pixel_values: &Tensor) -> Result<usize, ForwardError> {
        let ([height, width], channels) = (self.spec.image_size, self.spec.num_channels);
        match *pixel_values.shape() {
            [0, _, _, _] => Err(ForwardError::Input {
                input: "pixel_values",
                expected: "at least one image".to_owned(),
                found: format!("{:?}", pixel_values.shape()),
            }),
            [batch, c, h, w] if [c, h, w] == [channels, height, width] => Ok(batch),
            _ => Err(ForwardError::Input {
                input: "pixel_values",
                expected: format!(
                    "[B, {channels}, {height}, {width}] (positions are not interpolated to other image sizes)"
                ),
                found: format!("{:?}", pixel_values.shape()),
            }),
        }
    }
}

impl<L: EncoderLayer> ImageEncoder for ImageModel<L> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode(
        &self,
        pixel_values: &Tensor,
        probe: &mut dyn Probe,
    ) -> Result<EncoderOutput, ForwardError> {
        let x = self.hidden_states(pixel_values, probe)?;
        let pooled = self
            .pooler
            .as_ref()
            .map(|pooler| pooler.forward(&self.cls_rows(&x)));
        let len = self.spec.num_patches() + 1;
        let shape = [x.rows() / len, len, self.spec.hidden_size];
        Ok(EncoderOutput::new(x.reshape(&shape), pooled))
    }
}

/// `…ForImageClassification`.
#[derive(Debug)]
pub struct ImageClassifierModel<L> {
    body: ImageModel<L>,
    classifier: Linear,
}

impl<L: EncoderLayer> ImageClassifier for ImageClassifierModel<L> {
    fn info(&self) -> &ModelInfo {
        &self.body.info
    }

    fn logits(&self, pixel_values: &Tensor, probe: &mut dyn Probe) -> Result<Tensor, ForwardError> {
        let x = self.body.hidden_states(pixel_values, probe)?;
        Ok(self.classifier.forward(&self.body.cls_rows(&x)))
    }
}

/// Load `…Model`.
///
/// # Errors
/// If the configuration is refused or the checkpoint does not fit.
pub fn load_image_encoder<C: ImageEncoderConfig>(
    source: &Source<'_>,
) -> Result<Loaded<dyn ImageEncoder>, ModelError> {
    let loaded = source.load(|w, config: &C, model_type| {
        let body = body(w, &config.spec().names);
        ImageModel::load(&body, model_type, &config.spec(), config.layers(&body))
            .with_pooler(config.pooler(&body))
    })?;
    Ok(loaded.map(|model| model as Box<dyn ImageEncoder>))
}

/// Load `…ForImageClassification`, with as many classes as the configuration has labels.
///
/// # Errors
/// If the configuration is refused or the checkpoint does not fit.
pub fn load_image_classifier<C: ImageEncoderConfig>(
    source: &Source<'_>,
) -> Result<Loaded<dyn ImageClassifier>, ModelError> {
    let num_labels = source.config.num_labels();
    let loaded = source.load(|w, config: &C, model_type| {
        let s = config.spec();
        let body = body(w, &s.names);
        ImageClassifierModel {
            body: ImageModel::load(&body, model_type, &s, config.layers(&body)),
            classifier: Linear::load_plain(
                &w.at(s.names.classifier),
                s.hidden_size,
                num_labels,
                true,
            ),
        }
    })?;
    Ok(loaded.map(|model| model as Box<dyn ImageClassifier>))
}

fn body<'a>(w: &Loader<'a>, names: &ImageEncoderNames) -> Loader<'a> {
    w.body(names.prefix, names.patch_embeddings)
}
