//! Linear layers: products with matrices of every format, of few rows and of many.
//!
//! A node is several matrices with one input, what is done to the input as it is read, and what is done to
//! the sums before they are written. Which kernel does it is a matter of the number of rows: `gemv` (see
//! [`few`]) reads each matrix once for up to [`FEW`] of them, [`many`] multiplies tiles.

use crate::gpu::halves::Halves;
use crate::gpu::op::Operation;
use crate::gpu::weights::{Layout, MatrixKey};
use crate::gpu::{Bits, Gpu, Operand, Planner, Recording};
use crate::{Activation, MatrixRef, Tensor};

use super::norm::NormKind;
use super::{coop, few, many, word};

/// Rows of activations up to which reading the matrices is what takes the time, and norms and merges can be
/// part of it.
pub(crate) const FEW: u32 = 8;

/// Linear layers of one input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Linears {
    /// `[rows, inputs]`
    pub(crate) x: Operand,
    pub(crate) rows: u32,
    /// What is done to `x` first. Only where [`takes_norm`](Self::takes_norm) says so.
    pub(crate) norm: Option<Box<NormPrologue>>,
    /// What is read in the place of `x`. Only where [`takes_merge`](Self::takes_merge) says so.
    pub(crate) merge: Option<Box<Merge>>,
    /// One output of the node each, `[rows, outputs]`, unless the epilogue makes one of them.
    pub(crate) layers: Vec<Layer>,
    pub(crate) epilogue: Epilogue,
}

/// A matrix `[outputs, inputs]` and its bias `[outputs]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layer {
    pub(crate) matrix: MatrixKey,
    pub(crate) bias: Option<Operand>,
}

/// A norm of each row of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NormPrologue {
    pub(crate) kind: NormKind,
    /// `[inputs]`
    pub(crate) gain: Operand,
    /// `[inputs]`; of [`NormKind::Layer`] alone.
    pub(crate) bias: Option<Operand>,
    pub(crate) eps: Bits,
}

/// The input is attention over a context in several splits: see `shaders/merge.wgsl`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Merge {
    /// What each split left.
    pub(crate) parts: Operand,
    /// Those of attention: an entry for each row.
    pub(crate) words: Operand,
    pub(crate) heads: u32,
    pub(crate) value_dim: u32,
    /// Room for splits.
    pub(crate) splits: u32,
}

/// What is done to the sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Epilogue {
    /// Nothing but adding the bias.
    None,
    /// Of one layer: this, `[rows, outputs]`, is added. Only where [`takes_residual`](Linears::takes_residual)
    /// says so.
    Residual(Operand),
    /// Of one layer: its activation. Only where [`takes_activation`](Linears::takes_activation) says so.
    Activated(Activation),
    /// Of two layers, gate and up: `activation(gate) * up`. Only where [`takes_gate`](Linears::takes_gate)
    /// says so.
    Gated(Activation),
}

impl Linears {
    /// Whether these can read their input through a norm: see [`NormPrologue`].
    pub(crate) fn takes_norm(&self, kind: NormKind, has_bias: bool) -> bool {
        let usual = match kind {
            NormKind::Rms | NormKind::RmsUnitOffset => !has_bias,
            NormKind::Layer => has_bias && !matches!(self.epilogue, Epilogue::Gated(_)),
            NormKind::L2 | NormKind::Softmax => false,
        };
        let adds = matches!(self.epilogue, Epilogue::Residual(_));
        usual && !adds && self.norm.is_none() && self.takes_prologue()
    }

    /// Whether these can merge what attention left as they read it: see [`Merge`].
    ///
    /// Every workgroup reads what all splits left: of more than a few, to merge them first is faster.
    pub(crate) fn takes_merge(&self, heads: u32, value_dim: u32, splits: u32) -> bool {
        let fits = value_dim.is_multiple_of(4) && self.rows * heads * splits <= few::MERGED;
        fits && self.norm.is_none() && self.layers.len() == 1 && self.takes_prologue()
    }

    fn takes_prologue(&self) -> bool {
        let whole = |layer: &Layer| !layer.matrix.layout().is_ragged();
        (1..=FEW).contains(&self.rows) && self.merge.is_none() && self.layers.iter().all(whole)
    }

    /// Whether this, which is one matrix, can add a residual.
    pub(crate) fn takes_residual(&self) -> bool {
        let alone = self.layers.len() == 1 && self.epilogue == Epilogue::None;
        alone && self.norm.is_none() && !self.layers[0].matrix.layout().is_ragged()
    }

    /// Whether this, which is one matrix, can be followed by an activation in the same kernel.
    pub(crate) fn takes_activation(&self) -> bool {
        self.takes_residual() && self.merge.is_none() && (1..=FEW).contains(&self.rows)
    }

    /// Whether these, gate and up, can be one kernel: `activation(gate) * up`.
    pub(crate) fn takes_gate(&self, activation: Activation) -> bool {
        let [gate, up] = self.layers.as_slice() else {
            return false;
        };
        let usual = self.rows <= FEW
            || matches!(
                activation,
                Activation::Silu | Activation::Gelu | Activation::GeluTanh
            );
        let norm = self
            .norm
            .as_ref()
            .is_none_or(|norm| norm.kind != NormKind::Layer);
        usual
            && norm
            && self.merge.is_none()
            && self.epilogue == Epilogue::None
            && gate.bias.is_none()
            && up.bias.is_none()
            && gate.matrix.layout() == up.matrix.layout()
            && !gate.matrix.layout().is_ragged()
    }
}

impl Operation for Linears {
    fn operands(&self) -> Vec<&Operand> {
        let mut operands = Vec::new();
        if self.merge.is_none() {
            operands.push(&self.x);
        }
        if let Some(norm) = &self.norm {
            operands.push(&norm.gain);
            operands.extend(&norm.bias);
        }
        if let Some(merge) = &self.merge {
            operands.extend([&merge.parts, &merge.words]);
        }
        operands.extend(self.layers.iter().filter_map(|layer| layer.bias.as_ref()));
        if let Epilogue::Residual(residual) = &self.epilogue {
            operands.push(residual);
        }
        operands
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        if self.rows == 0 {
            return;
        }
        if self.rows <= FEW {
            few::lower(self, outputs, planner);
        } else {
            assert!(
                self.norm.is_none() && self.merge.is_none(),
                "many rows are normed and merged by kernels of their own"
            );
            if !coop::lower(self, outputs, planner) {
                many::lower(self, outputs, planner);
            }
        }
    }
}

/// One part of a layer for one call: rows of the matrix, and where the results go.
pub(super) struct Piece<'a> {
    pub(super) layout: &'a Layout,
    pub(super) region: Operand,
    /// How the matrix becomes halves.
    pub(super) halves: Option<Halves>,
    /// Of the part: outputs, and the number of the first.
    pub(super) outputs: u32,
    pub(super) first: u32,
    pub(super) bias: Option<&'a Operand>,
    pub(super) to: &'a Operand,
}

impl Linears {
    /// The parts of each layer, with the results' place; gate and up go to the same.
    pub(super) fn pieces<'a>(&'a self, outputs: &'a [Operand]) -> Vec<Vec<Piece<'a>>> {
        let to = outputs.iter().chain(std::iter::repeat(&outputs[0]));
        (self.layers.iter().zip(to))
            .map(|(layer, to)| {
                (layer.matrix.parts())
                    .map(|(rows, region)| Piece {
                        layout: layer.matrix.layout(),
                        region: Operand::Region(region.clone()),
                        halves: layer.matrix.halves(),
                        outputs: word(rows.len()),
                        first: word(rows.start),
                        bias: layer.bias.as_ref(),
                        to,
                    })
                    .collect()
            })
            .collect()
    }

    /// The calls to make: pieces that share one each, at most [`MOST`], all with a bias or none,
    /// and as many as there are bindings for, `free`. Gate and up always do.
    pub(super) fn calls<'a>(&'a self, outputs: &'a [Operand], free: usize) -> Vec<Vec<Piece<'a>>> {
        let mut pieces = self.pieces(outputs);
        if let (Epilogue::Gated(_), [gate, up]) = (&self.epilogue, pieces.as_mut_slice()) {
            return (gate.drain(..).zip(up.drain(..)))
                .map(|(gate, up)| vec![gate, up])
                .collect();
        }
        let mut calls: Vec<Vec<Piece<'a>>> = Vec::new();
        for pieces in pieces {
            let whole = pieces.len() == 1;
            for piece in pieces {
                match calls.last_mut() {
                    Some(call) if whole && joins(call, &piece, free) => call.push(piece),
                    _ => calls.push(vec![piece]),
                }
            }
        }
        calls
    }
}

/// Matrices of a call, at most.
pub(super) const MOST: usize = 3;

/// Whether `piece` can be part of `call`, which so far is one.
fn joins(call: &[Piece<'_>], piece: &Piece<'_>, free: usize) -> bool {
    let first = &call[0];
    let each = 2 + usize::from(first.bias.is_some());
    // Parts are alone: they share an output.
    let is_whole = |piece: &Piece<'_>| word(piece.layout.outputs) == piece.outputs;
    call.len() < MOST.min(free / each)
        && is_whole(first)
        && is_whole(piece)
        && first.layout.format == piece.layout.format
        && first.bias.is_some() == piece.bias.is_some()
}

impl Recording<'_> {
    /// A matrix for a node.
    ///
    /// # Panics
    /// If it is not on the device.
    #[track_caller]
    pub(crate) fn matrix(&mut self, matrix: MatrixRef<'_>) -> MatrixKey {
        let matrix = match matrix {
            MatrixRef::Plain(weight) => weight.on_gpu(),
            MatrixRef::Quantized(matrix) => matrix.on_gpu(),
        };
        for part in matrix.held() {
            self.keep(part);
        }
        matrix.key().clone()
    }
}

/// The outputs of a matrix that fits `x` and `bias`.
#[track_caller]
fn checked(x: &Tensor, matrix: MatrixRef<'_>, bias: Option<&Tensor>) -> usize {
    let shape = match matrix {
        MatrixRef::Plain(weight) => weight.shape().to_vec(),
        MatrixRef::Quantized(matrix) => matrix.shape().to_vec(),
    };
    let &[outputs, inputs] = shape.as_slice() else {
        panic!("linear: a weight [O, I], found {shape:?}");
    };
    let shapes = || format!("x {:?} and weight {shape:?}", x.shape());
    assert!(x.shape().last() == Some(&inputs), "linear: {}", shapes());
    if let Some(bias) = bias {
        let fits = bias.shape() == [outputs];
        assert!(fits, "linear: bias {:?}, {}", bias.shape(), shapes());
    }
    outputs
}

/// `x` times the transpose of each matrix, plus its bias: see [`crate::linear`].
///
/// # Panics
/// If shapes disagree, or anything is not on this device.
#[track_caller]
pub(crate) fn linears<const N: usize>(
    gpu: &Gpu,
    x: &Tensor,
    layers: [(MatrixRef<'_>, Option<&Tensor>); N],
) -> [Tensor; N] {
    let shapes = layers.map(|(matrix, bias)| {
        let mut shape = x.shape().to_vec();
        let outputs = checked(x, matrix, bias);
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        shape
    });
    let mut recording = gpu.recording();
    let mut nodes = Vec::with_capacity(N);
    for (matrix, bias) in layers {
        let matrix = recording.matrix(matrix);
        nodes.push(Layer {
            matrix,
            bias: bias.map(|bias| recording.operand(bias)),
        });
    }
    let op = Linears {
        x: recording.operand(x),
        rows: word(x.rows()),
        norm: None,
        merge: None,
        layers: nodes,
        epilogue: Epilogue::None,
    };
    recording.push(x.device(), op, shapes.each_ref().map(Vec::as_slice))
}
