//! Linear layers of many rows: the kernel `gemm`, and which tiles a call takes.

#[cfg(test)]
use crate::gpu::Caps;
use crate::gpu::{Call, Grid, Operand, Planner, Variant};

use super::elementwise::act;
use super::linear::{Epilogue, Linears};
use super::word;

/// What tells variants of the kernel from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gemm {
    /// See `weight.wgsl`.
    dtype: u32,
    /// Rows and outputs of a thread: the tile has sixteen times as many.
    side: u32,
    ragged: bool,
    bias: bool,
    residual: bool,
    /// The activation of gate and up.
    gated: Option<u32>,
}

/// Bytes of workgroup memory of the large tiles; those of the small ones are what every device has.
const LARGE_BYTES: u32 = 2 * 128 * 32 * 4;
/// Tiles that keep a large device busy: of fewer, small ones are made. Tests have few rows.
const BUSY: u32 = if cfg!(test) { 2 } else { 64 };

impl Gemm {
    /// Rows and outputs of a tile.
    const fn edge(self) -> u32 {
        16 * self.side
    }

    /// Outputs of a tile: those of gate and up share it.
    const fn outputs(self) -> u32 {
        match self.gated {
            Some(_) => self.edge() / 2,
            None => self.edge(),
        }
    }

    fn variant(self) -> Variant {
        let quads = [1, 2, 2, 4, 8][self.dtype as usize];
        // Vectors of 16 bytes of a row that hold 32 inputs, and of all rows of the tile.
        let step = 8 / quads;
        let units = self.edge() * step;
        Variant::new(
            "gemm",
            [
                ("DTYPE", self.dtype),
                ("QUADS", quads),
                ("SIDE", self.side),
                ("EDGE", self.edge()),
                ("OUTPUTS", self.outputs()),
                ("COLUMNS", self.outputs() / 16),
                ("SUMS", self.side * self.side),
                ("TILE", self.edge() * 8),
                ("STEP", step),
                ("UNITS", units),
                ("X_LOADS", self.edge() * 8 / 256),
                ("W_LOADS", units.div_ceil(256)),
                ("RAGGED", self.ragged.into()),
                ("BIAS", self.bias.into()),
                ("RESIDUAL", self.residual.into()),
                ("GATED", self.gated.is_some().into()),
                ("ACT", self.gated.unwrap_or(0)),
            ],
        )
    }
}

/// Calls for `op`, which writes `outputs`.
pub(super) fn lower(op: &Linears, outputs: &[Operand], planner: &mut Planner<'_>) {
    let residual = match &op.epilogue {
        Epilogue::Residual(residual) => Some(residual),
        Epilogue::None | Epilogue::Activated(_) | Epilogue::Gated(_) => None,
    };
    let gated = match op.epilogue {
        Epilogue::Activated(_) => unreachable!("`takes_activation` is of few rows"),
        Epilogue::Gated(activation) => Some(act(activation)),
        Epilogue::None | Epilogue::Residual(_) => None,
    };
    // Without room for others, each piece is a call of its own.
    for call in op.calls(outputs, 0) {
        let layout = call[0].layout;
        let mut kernel = Gemm {
            dtype: layout.format.code(),
            side: 8,
            ragged: layout.is_ragged(),
            bias: call.iter().any(|piece| piece.bias.is_some()),
            residual: residual.is_some(),
            gated,
        };
        let tiles = |kernel: Gemm| {
            let columns = call[0].outputs.div_ceil(kernel.outputs());
            [columns, op.rows.div_ceil(kernel.edge())]
        };
        let busy = tiles(kernel).iter().product::<u32>() >= BUSY;
        if !busy || planner.caps().workgroup_memory < LARGE_BYTES {
            kernel.side = 4;
        }
        let [columns, rows] = tiles(kernel);
        let mut bindings = vec![&op.x];
        bindings.extend(call.iter().map(|piece| &piece.region));
        bindings.extend(call.iter().filter_map(|piece| piece.bias));
        bindings.extend(residual);
        bindings.push(call[0].to);
        let bindings = bindings.into_iter().map(Into::into).collect();
        planner.call(Call {
            variant: kernel.variant(),
            bindings,
            params: vec![
                word(layout.inputs),
                word(layout.vectors()),
                op.rows,
                layout.format.group_shift(),
                call[0].outputs,
                call[0].first,
                word(layout.outputs),
            ],
            grid: Grid::Fixed([columns, rows, 1]),
        });
        let outputs: u64 = call.iter().map(|piece| u64::from(piece.outputs)).sum();
        planner.work(u64::from(op.rows) * outputs * layout.inputs as u64);
    }
}

/// Every variant that [`lower`] can ask for.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    let sides = if caps.workgroup_memory < LARGE_BYTES {
        &[4][..]
    } else {
        &[4, 8]
    };
    for dtype in 0..5 {
        for &side in sides {
            for bias in [false, true] {
                let plain = Gemm {
                    dtype,
                    side,
                    ragged: false,
                    bias,
                    residual: false,
                    gated: None,
                };
                all.extend([
                    plain,
                    Gemm {
                        ragged: true,
                        ..plain
                    },
                    Gemm {
                        residual: true,
                        ..plain
                    },
                ]);
                if !bias {
                    all.extend((0..3).map(|gated| Gemm {
                        gated: Some(gated),
                        ..plain
                    }));
                }
            }
        }
    }
    all.into_iter().map(Gemm::variant).collect()
}
