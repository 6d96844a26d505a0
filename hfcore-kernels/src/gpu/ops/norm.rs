//! Norms of rows.

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Bits, Call, Gpu, Grid, Operand, Planner, Variant};

/// Rows of `x`, normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) x: Operand,
    pub(crate) gain: Option<Operand>,
    pub(crate) bias: Option<Operand>,
    pub(crate) eps: Bits,
    pub(crate) rows: u32,
    pub(crate) width: u32,
}

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NormKind {
    /// `x / sqrt(mean(x²) + eps) * gain`.
    Rms,
    /// `x / sqrt(mean(x²) + eps) * (1 + gain)`.
    RmsUnitOffset,
    /// `(x - mean) / sqrt(var + eps) * gain + bias`.
    Layer,
}

impl Operation for Norm {
    fn operands(&self) -> Vec<&Operand> {
        [&self.x]
            .into_iter()
            .chain(&self.gain)
            .chain(&self.bias)
            .collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let bindings = [
            Some(&self.x),
            self.gain.as_ref(),
            self.bias.as_ref(),
            Some(&outputs[0]),
        ];
        planner.call(Call {
            variant: variant(self.kind as u32, self.gain.is_some(), self.bias.is_some()),
            bindings: bindings.into_iter().flatten().map(Into::into).collect(),
            params: vec![self.rows, self.width, self.eps.0],
            grid: Grid::linear(self.rows as usize),
        });
    }
}

fn variant(kind: u32, gain: bool, bias: bool) -> Variant {
    Variant::new(
        "norm",
        [
            ("KIND", kind),
            ("GAIN", u32::from(gain)),
            ("BIAS", u32::from(bias)),
        ],
    )
}

#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let all = [
        (0, false, false),
        (0, true, false),
        (1, true, false),
        (2, true, false),
        (2, true, true),
    ];
    all.map(|(kind, gain, bias)| variant(kind, gain, bias))
        .to_vec()
}

/// The norm `kind` of each row of `x`.
pub(crate) fn norm(
    gpu: &Gpu,
    kind: NormKind,
    x: &Tensor,
    gain: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f32,
) -> Tensor {
    let mut recording = gpu.recording();
    let op = Norm {
        kind,
        x: recording.operand(x),
        gain: gain.map(|gain| recording.operand(gain)),
        bias: bias.map(|bias| recording.operand(bias)),
        eps: eps.into(),
        rows: u32::try_from(x.rows()).unwrap_or(u32::MAX),
        width: u32::try_from(x.width()).unwrap_or(u32::MAX),
    };
    recording.push_one(x.device(), op, x.shape())
}
