//! Linear layers of few rows: the kernel `gemv`, and which of its forms a call takes.
//!
//! The time is that of reading the matrices, so all that matters is that many reads are on their way at
//! once, and that nothing else waits: norms, merges and what follows the sums are part of the kernel.

use crate::gpu::{Call, Caps, Grid, Operand, Planner, Variant};

use super::elementwise::act;
#[cfg(test)]
use super::linear::MOST;
use super::linear::{Epilogue, FEW, Linears, Piece};
use super::norm::NormKind;
use super::word;

/// The room for factors of splits in the kernel: rows times heads times splits.
pub(super) const MERGED: u32 = 2048;

/// What tells variants of the kernel from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gemv {
    /// See `weight.wgsl`.
    dtype: u32,
    /// Rows of x that share what is read: one of [`BATCHES`].
    batch: u32,
    norm: Norm,
    merge: bool,
    ragged: bool,
    /// Matrices, of which each has an output unless they are gate and up.
    matrices: u32,
    /// Whether every matrix has one.
    bias: bool,
    residual: bool,
    /// Whether the matrices are gate and up.
    gated: bool,
    /// Whether there is an activation besides.
    activated: bool,
}

/// How the input is normed: the shader's `NORM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Norm {
    None,
    Rms,
    Layer,
}

/// How a workgroup is laid out.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Threads.
    threads: u32,
    /// Threads along the inputs.
    lanes: u32,
    /// Outputs of a group of lanes.
    rows: u32,
}

impl Shape {
    /// Outputs of a workgroup.
    const fn block(self) -> u32 {
        self.threads / self.lanes * self.rows
    }
}

impl Gemv {
    /// The kernel's layout on a device that can do this.
    ///
    /// One row of x: all threads go along the inputs, so that a row of a few kilobytes is read in one or two
    /// steps, several rows at a time; rows of few bits are shorter, and two groups of threads have their own.
    /// More rows of x: groups share what they read of x through the cache. Merging, x is dear: it is made once for
    /// as many outputs as there are registers for. So it is beside few bits a weight, and beside a gain, of which
    /// gate and up need as much as one matrix does.
    fn shape(self, caps: &Caps) -> Shape {
        let few_bits = self.dtype >= 3;
        let threads = if caps.subgroups { 256 } else { 128 };
        // Subgroups belong to one group.
        let group = if caps.subgroups {
            caps.subgroup_size[1].max(64)
        } else {
            64
        };
        match (self.merge, self.batch) {
            (true, batch) => Shape {
                threads,
                lanes: threads,
                rows: 16 / batch.max(2),
            },
            (false, 1) => Shape {
                threads: 128,
                lanes: if few_bits { group } else { 128 },
                rows: if few_bits && !self.gated { 8 } else { 4 },
            },
            (false, _) => Shape {
                threads,
                lanes: group,
                rows: if self.gated { 2 } else { 4 },
            },
        }
    }

    /// Outputs: gate and up have one.
    const fn outs(self) -> u32 {
        if self.gated { 1 } else { self.matrices }
    }

    fn variant(self, caps: &Caps) -> Variant {
        let shape = self.shape(caps);
        let streams = if self.gated { 2 } else { 1 };
        let squares = streams * shape.rows * self.batch;
        let values = squares
            + if self.norm == Norm::Rms {
                self.batch
            } else {
                0
            };
        // With subgroups, of which the smallest have four lanes, a place for each; else for half of the threads.
        let parts = if caps.subgroups {
            shape.threads / 4
        } else {
            shape.threads / 2
        };
        Variant::new(
            "gemv",
            [
                ("DTYPE", self.dtype),
                ("QUADS", [1, 2, 2, 4, 8][self.dtype as usize]),
                ("BATCH", self.batch),
                ("NORM", self.norm as u32),
                ("MERGE", self.merge.into()),
                ("RAGGED", self.ragged.into()),
                ("MATRICES", self.matrices),
                ("OUTS", self.outs()),
                ("STREAMS", streams),
                ("LOOPS", if self.batch > 1 { 1 } else { self.outs() }),
                ("BIAS", self.bias.into()),
                ("RESIDUAL", self.residual.into()),
                ("GATED", self.gated.into()),
                ("ACTIVATED", self.activated.into()),
                ("WG", shape.threads),
                ("LANES", shape.lanes),
                ("ROWS", shape.rows),
                ("BLOCK", shape.block()),
                ("SQUARES", squares),
                ("VALUES", values),
                ("PARTS", parts * values),
            ],
        )
    }
}

/// Rows of x for which there are kernels.
const BATCHES: [u32; 3] = [1, 4, FEW];

/// The fewest of these that `rows` fit.
fn batch(rows: u32) -> u32 {
    BATCHES
        .into_iter()
        .find(|&batch| rows <= batch)
        .unwrap_or(FEW)
}

/// Calls for `op`, which writes `outputs`.
pub(super) fn lower(op: &Linears, outputs: &[Operand], planner: &mut Planner<'_>) {
    let norm = match &op.norm {
        None => Norm::None,
        Some(norm) => match norm.kind {
            NormKind::Rms | NormKind::RmsUnitOffset => Norm::Rms,
            NormKind::Layer => Norm::Layer,
            NormKind::L2 | NormKind::Softmax => {
                unreachable!("`takes_norm` says which norms are fused")
            }
        },
    };
    let inputs = match &op.merge {
        Some(merge) => vec![&merge.parts, &merge.words],
        None => vec![&op.x],
    };
    let mut gains = Vec::new();
    if let Some(norm) = &op.norm {
        gains.push(&norm.gain);
        gains.extend(&norm.bias);
    }
    let residual = match &op.epilogue {
        Epilogue::Residual(residual) => Some(residual),
        Epilogue::None | Epilogue::Activated(_) | Epilogue::Gated(_) => None,
    };
    let gated = matches!(op.epilogue, Epilogue::Gated(_));
    let bindings = planner.caps().storage_bindings as usize;
    let taken = inputs.len() + gains.len() + usize::from(residual.is_some());
    for call in op.calls(outputs, bindings.saturating_sub(taken)) {
        let layout = call[0].layout;
        let kernel = Gemv {
            dtype: layout.format.code(),
            batch: batch(op.rows),
            norm,
            merge: op.merge.is_some(),
            ragged: layout.is_ragged(),
            matrices: word(call.len()),
            bias: call[0].bias.is_some(),
            residual: residual.is_some(),
            gated,
            activated: matches!(op.epilogue, Epilogue::Activated(_)),
        };
        let outs = if gated { 1 } else { call.len() };
        let mut bindings = inputs.clone();
        bindings.extend(call.iter().map(|piece| &piece.region));
        bindings.extend(&gains);
        bindings.extend(call.iter().filter_map(|piece| piece.bias));
        bindings.extend(residual);
        bindings.extend(call[..outs].iter().map(|piece| piece.to));
        let block = kernel.shape(planner.caps()).block();
        let groups = call[..outs]
            .iter()
            .map(|piece| piece.outputs.div_ceil(block) as usize)
            .sum();
        let variant = kernel.variant(planner.caps());
        let bindings = bindings.into_iter().map(Into::into).collect();
        planner.call(Call {
            variant,
            bindings,
            params: params(op, &call),
            grid: Grid::linear(groups),
        });
    }
}

/// The words of the kernel's `Params`.
fn params(op: &Linears, call: &[Piece<'_>]) -> Vec<u32> {
    let layout = call[0].layout;
    let outputs = |i: usize| call.get(i).map_or(0, |piece| piece.outputs);
    let offset = match &op.norm {
        Some(norm) if norm.kind == NormKind::RmsUnitOffset => 1.0_f32,
        _ => 0.0,
    };
    let mut params = vec![
        word(layout.inputs),
        word(layout.vectors()),
        op.rows,
        layout.format.group_shift(),
        outputs(0),
        outputs(1),
        outputs(2),
        call[0].first,
        word(layout.outputs),
        op.norm.as_ref().map_or(0, |norm| norm.eps.0),
        offset.to_bits(),
        match op.epilogue {
            Epilogue::Activated(activation) | Epilogue::Gated(activation) => act(activation),
            Epilogue::None | Epilogue::Residual(_) => 0,
        },
    ];
    if let Some(merge) = &op.merge {
        params.extend([merge.heads, merge.value_dim / 4, merge.splits]);
    }
    params
}

/// Every variant that [`lower`] can ask for.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for dtype in 0..5 {
        for batch in BATCHES {
            let plain = Gemv {
                dtype,
                batch,
                norm: Norm::None,
                merge: false,
                ragged: false,
                matrices: 1,
                bias: false,
                residual: false,
                gated: false,
                activated: false,
            };
            for norm in [Norm::None, Norm::Rms, Norm::Layer] {
                // As many as there are bindings for.
                let norms = [0, 1, 2][norm as usize];
                for bias in [false, true] {
                    let each = 2 + u32::from(bias);
                    let most = (caps.storage_bindings - 1 - norms) / each;
                    all.extend((1..=most.min(word(MOST))).map(|matrices| Gemv {
                        norm,
                        matrices,
                        bias,
                        ..plain
                    }));
                }
                all.extend([false, true].map(|bias| Gemv {
                    norm,
                    bias,
                    activated: true,
                    ..plain
                }));
                if norm != Norm::Layer {
                    all.push(Gemv {
                        norm,
                        gated: true,
                        matrices: 2,
                        ..plain
                    });
                }
            }
            for bias in [false, true] {
                all.push(Gemv {
                    bias,
                    ragged: true,
                    ..plain
                });
                all.push(Gemv {
                    bias,
                    residual: true,
                    ..plain
                });
                all.push(Gemv {
                    bias,
                    merge: true,
                    ..plain
                });
                all.push(Gemv {
                    bias,
                    merge: true,
                    residual: true,
                    ..plain
                });
            }
        }
    }
    all.into_iter().map(|kernel| kernel.variant(caps)).collect()
}
