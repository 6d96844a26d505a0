//! Rows that are normalised: norms and softmax.
//!
//! A workgroup has a row, and reads it two or three times: `norm.wgsl`.

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Bits, Call, Gpu, Grid, Operand, Planner, Variant};

/// Rows, normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Norm {
    /// How.
    pub(crate) kind: NormKind,
    /// `[rows, width]`.
    pub(crate) x: Operand,
    /// `[width]`.
    pub(crate) gain: Option<Operand>,
    /// `[width]`.
    pub(crate) bias: Option<Operand>,
    /// Added to the mean of squares or the variance; the least length of [`NormKind::L2`].
    pub(crate) eps: Bits,
    /// Rows.
    pub(crate) rows: u32,
    /// Numbers of a row.
    pub(crate) width: u32,
}

/// What a row is divided by, and what is done besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NormKind {
    /// [`rms_norm`](crate::rms_norm).
    Rms,
    /// The same with gains that are stored as their distance from one.
    RmsUnitOffset,
    /// [`layer_norm`](crate::layer_norm).
    Layer,
    /// [`l2_normalize`](crate::l2_normalize).
    L2,
    /// [`softmax`](crate::softmax).
    Softmax,
}

/// Threads for a row of this width: all of the workgroup have several numbers, or the row is short.
const fn threads(width: u32) -> u32 {
    if width <= 512 { 64 } else { 256 }
}

impl Norm {
    fn variant(kind: NormKind, gain: bool, bias: bool, threads: u32) -> Variant {
        let kind = match kind {
            NormKind::Rms | NormKind::RmsUnitOffset => 0,
            NormKind::Layer => 1,
            NormKind::L2 => 2,
            NormKind::Softmax => 3,
        };
        Variant::new(
            "norm",
            [
                ("KIND", kind),
                ("GAIN", gain.into()),
                ("BIAS", bias.into()),
                ("WG", threads),
            ],
        )
    }
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for threads in [64, 256] {
        for (kind, gain, bias) in [
            (NormKind::Rms, false, false),
            (NormKind::Rms, true, false),
            (NormKind::Layer, true, false),
            (NormKind::Layer, true, true),
            (NormKind::L2, false, false),
            (NormKind::Softmax, false, false),
        ] {
            all.push(Norm::variant(kind, gain, bias, threads));
        }
    }
    all
}

impl Operation for Norm {
    fn operands(&self) -> Vec<&Operand> {
        let given = [Some(&self.x), self.gain.as_ref(), self.bias.as_ref()];
        given.into_iter().flatten().collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let (gain, bias) = (self.gain.as_ref(), self.bias.as_ref());
        let bindings = [Some(&self.x), Some(&outputs[0]), gain, bias];
        let offset: f32 = if self.kind == NormKind::RmsUnitOffset {
            1.0
        } else {
            0.0
        };
        let threads = threads(self.width);
        planner.call(Call {
            variant: Self::variant(self.kind, gain.is_some(), bias.is_some(), threads),
            bindings: bindings.into_iter().flatten().map(Into::into).collect(),
            params: vec![self.rows, self.width, self.eps.0, offset.to_bits()],
            grid: Grid::linear(self.rows as usize),
        });
    }
}

/// The rows of `x`, normalised.
pub(crate) fn norm(
    gpu: &Gpu,
    kind: NormKind,
    x: &Tensor,
    gain: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f32,
) -> Tensor {
    if x.rows() * x.width() == 0 {
        return Tensor::from_vec(x.device(), x.shape(), Vec::new());
    }
    let mut r = gpu.recording();
    let op = Norm {
        kind,
        x: r.operand(x),
        gain: gain.map(|gain| r.operand(gain)),
        bias: bias.map(|bias| r.operand(bias)),
        eps: eps.into(),
        rows: super::word(x.rows()),
        width: super::word(x.width()),
    };
    r.push_one(x.device(), op, x.shape())
}
