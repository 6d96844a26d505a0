//! The stack that every encoder ends in: layers in which each position sees its whole sequence.
//!
//! Text, images and sound differ in what comes before it ([`text_encoder`](crate::TextModel),
//! [`vision`](crate::ImageModel), the audio front ends of single families).

use std::ops::Range;

use hfcore_kernels::Tensor;

use crate::blocks::Norm;
use crate::probe::Probe;

/// One residual block of an encoder. A family with wiring of its own implements this.
pub trait EncoderLayer: Send + Sync {
    /// `[T, E]` to `[T, E]`. The rows of one span are one sequence and see each other, no others.
    fn forward(&self, x: Tensor, spans: &[Range<usize>]) -> Tensor;
}

/// Layers, and the norm behind the last, where there is one.
#[derive(Clone, Debug)]
pub struct EncoderStack<L> {
    layers: Vec<L>,
    norm: Option<Norm>,
}

impl<L: EncoderLayer> EncoderStack<L> {
    /// A stack of these layers.
    #[must_use]
    pub const fn new(layers: Vec<L>, norm: Option<Norm>) -> Self {
        Self { layers, norm }
    }

    /// `[T, E]` to `[T, E]`. The probe sees `embed_tokens` (the input), `layers.0` and so on, and `norm`.
    #[must_use]
    pub fn forward(&self, x: Tensor, spans: &[Range<usize>], probe: &mut dyn Probe) -> Tensor {
        let record = |probe: &mut dyn Probe, path: &dyn Fn() -> String, x: &Tensor| {
            if probe.is_active() {
                probe.record(&path(), x);
            }
        };
        record(probe, &|| "embed_tokens".to_owned(), &x);
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, spans);
            record(probe, &|| format!("layers.{i}"), &x);
        }
        let Some(norm) = &self.norm else { return x };
        let x = norm.forward(&x);
        record(probe, &|| "norm".to_owned(), &x);
        x
    }
}

/// `count` spans of `len` rows each, one after the other: images, or audio of a fixed length.
pub(crate) fn equal_spans(count: usize, len: usize) -> Vec<Range<usize>> {
    (0..count).map(|i| i * len..(i + 1) * len).collect()
}
