//! Linear layers of many rows, by the products of small matrices that the hardware has: the kernel `gemm_coop`, and which
//! tiles a call takes.
//!
//! The hardware multiplies halves and sums in `f32`. A weight becomes halves exactly: see
//! [`Halves`](crate::gpu::halves::Halves). Activations are rounded: row by row, after a power of two has brought the largest
//! number to the top of the range, so that each keeps 11 bits, three more than a `bf16` has; that is what
//! [`Precision::Fast`](crate::Precision::Fast) allows. Weights in fewer bits are held to their own numbers: their activations are the sum of two
//! halves, 22 bits, and the products are twice as many. `f32` weights are never multiplied here, and nothing is where
//! [`Precision::Strict`](crate::Precision::Strict) or [`High`](crate::Precision::High) was asked for: such a device has no
//! products of matrices.

#[cfg(test)]
mod tests;

use crate::gpu::weights::Format;
use crate::gpu::{Call, Caps, Grid, Operand, Planner, Variant};

use super::elementwise::act;
use super::linear::{Epilogue, Linears};
use super::word;

/// Rows from which whole squares are worth their zeros.
const ROWS: u32 = 16;
/// Inputs of a step.
const STEP: usize = 32;
/// Halves of a row of a tile in workgroup memory: those of a step and some room.
const STRIDE: u32 = 40;
/// Large tiles that keep a large device busy: of fewer, small ones are made.
const BUSY: u32 = 96;

/// How a workgroup is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Of the squares that are multiplied.
    edge: u32,
    /// Numbers of an element of workgroup memory.
    vector: u32,
    rows: u32,
    columns: u32,
    threads: u32,
    /// Parts of the tile, one for a subgroup: below and beside each other.
    pieces: [u32; 2],
    /// Of each tile: 2, one of which is filled while the other is read, or 1.
    buffers: u32,
}

impl Tile {
    /// The tile for a device that multiplies squares of `edge`.
    fn new(caps: &Caps, edge: u32, large: bool) -> Self {
        // Subgroups of less than 16 lanes are software's, for which a step takes long to compile.
        let side = match caps.subgroup_size {
            [_, ..16] if edge == 8 => 32,
            _ if large => 128,
            _ => 64,
        };
        let threads = 2 * side;
        // Lanes that a subgroup most likely has: drivers that can have 32 or 64 take 64, others that leave it open 32.
        // If there are more, they are fewer subgroups, and it takes several rounds; if there are less, some only help.
        let lanes = match caps.subgroup_size {
            [min, max] if min >= 32 => max,
            _ => 32,
        };
        let mut tile = Self {
            edge,
            // Metal loads squares from nothing but scalars; it has those of 8.
            vector: if edge == 16 { 4 } else { 1 },
            rows: side,
            columns: side,
            threads,
            pieces: match threads / lanes {
                0 | 1 => [1, 1],
                2 | 3 => [1, 2],
                4..8 => [2, 2],
                _ => [2, 4],
            },
            buffers: 2,
        };
        if tile.bytes() > caps.workgroup_memory {
            tile.buffers = 1;
        }
        tile
    }

    /// The tile for a call with so many rows and outputs. Of two matrices, it has half of the outputs of each.
    fn of_call(caps: &Caps, edge: u32, rows: u32, outputs: u32, gated: bool) -> Self {
        let small = Self::new(caps, edge, false);
        let large = Self::new(caps, edge, true);
        let tiles = rows.div_ceil(large.rows) * outputs.div_ceil(large.outputs(gated));
        if edge == 16 && large.fits(caps) && tiles >= BUSY {
            large
        } else {
            small
        }
    }

    fn fits(self, caps: &Caps) -> bool {
        self.bytes() <= caps.workgroup_memory && self.threads <= caps.workgroup_threads
    }

    /// Bytes of workgroup memory.
    const fn bytes(self) -> u32 {
        self.buffers * (self.rows + self.columns) * STRIDE * 2 + self.squares() * 4
    }

    /// Numbers of a square of each piece.
    const fn squares(self) -> u32 {
        self.pieces[0] * self.pieces[1] * self.edge * self.edge
    }

    const fn outputs(self, gated: bool) -> u32 {
        if gated {
            self.columns / 2
        } else {
            self.columns
        }
    }
}

/// What tells variants of the kernel from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gemm {
    /// See `weight.wgsl`.
    dtype: u32,
    tile: Tile,
    bias: bool,
    residual: bool,
    /// The activation of gate and up.
    gated: Option<u32>,
}

impl Gemm {
    fn variant(self) -> Variant {
        let Tile {
            edge,
            vector,
            rows,
            columns,
            threads,
            pieces,
            buffers,
        } = self.tile;
        let squares_n = columns / edge / pieces[1];
        Variant::new(
            "gemm_coop",
            [
                ("DTYPE", self.dtype),
                ("EDGE", edge),
                ("VEC", vector),
                ("PER_4", 4 / vector),
                ("ROWS", rows),
                ("COLUMNS", columns),
                ("OUTPUTS", self.tile.outputs(self.gated.is_some())),
                ("WG", threads),
                ("PIECES", pieces[0] * pieces[1]),
                ("PIECES_N", pieces[1]),
                ("FM", rows / edge / pieces[0]),
                ("FN", squares_n),
                (
                    "HALF",
                    if self.gated.is_some() {
                        squares_n / 2
                    } else {
                        squares_n
                    },
                ),
                ("UNROLLED", if edge == 8 { 1 } else { 32 / edge }),
                ("SQUARES", self.tile.squares()),
                ("TAKES", self.tile.squares() / threads),
                ("BUFFERS", buffers),
                ("X_TILE", buffers * rows * STRIDE / vector),
                ("W_TILE", buffers * columns * STRIDE / vector),
                ("X_LOADS", rows * 4 / threads),
                ("W_LOADS", columns * 4 / threads),
                ("BIAS", self.bias.into()),
                ("RESIDUAL", self.residual.into()),
                ("GATED", self.gated.is_some().into()),
                ("ACT", self.gated.unwrap_or(0)),
            ],
        )
    }
}

/// Threads of a workgroup that makes a row of halves.
const HALVES_THREADS: u32 = 128;

fn halves_variant(ragged: bool, parts: u32) -> Variant {
    Variant::new(
        "halves",
        [
            ("RAGGED", ragged.into()),
            ("PARTS", parts),
            ("WG", HALVES_THREADS),
        ],
    )
}

/// Halves that each number of the input becomes.
fn parts(op: &Linears) -> u32 {
    let quantized = |format| matches!(format, Format::Quantized(_));
    let any = (op.layers.iter()).any(|layer| quantized(layer.matrix.layout().format));
    if any { 2 } else { 1 }
}

/// Calls for `op`, which writes `outputs`, if the device multiplies matrices such as these; `false`, and none, if not.
pub(super) fn lower(op: &Linears, outputs: &[Operand], planner: &mut Planner<'_>) -> bool {
    let Some(edge) = planner.caps().cooperative_matrix else {
        return false;
    };
    let as_halves = (op.layers.iter()).all(|layer| layer.matrix.halves().is_some());
    let Some(first) = op.layers.first().filter(|_| as_halves && op.rows >= ROWS) else {
        return false;
    };
    let inputs = first.matrix.layout().inputs;
    let parts = parts(op);
    let steps = inputs.div_ceil(STEP);
    // Vectors of eight halves of a row.
    let units = steps * (STEP / 8) * parts as usize;
    let rows = op.rows as usize;
    if inputs == 0 || (rows * units * 16) as u64 > planner.caps().max_binding {
        return false;
    }
    let halves = planner.scratch(rows * units * 4);
    let exponents = planner.scratch(rows);
    planner.call(Call {
        variant: halves_variant(!inputs.is_multiple_of(4), parts),
        bindings: [&op.x, &halves, &exponents].map(Into::into).to_vec(),
        params: vec![op.rows, word(inputs), word(units) / parts],
        grid: Grid::linear(rows),
    });

    let residual = match &op.epilogue {
        Epilogue::Residual(residual) => Some(residual),
        Epilogue::None | Epilogue::Activated(_) | Epilogue::Gated(_) => None,
    };
    let gated = match op.epilogue {
        Epilogue::Activated(_) => unreachable!("`takes_activation` is of few rows"),
        Epilogue::Gated(activation) => Some(act(activation)),
        Epilogue::None | Epilogue::Residual(_) => None,
    };
    // Each piece is a call of its own: the device does those of one input at once.
    for call in op.calls(outputs, 0) {
        let layout = call[0].layout;
        let made = call[0].outputs;
        let tile = Tile::of_call(planner.caps(), edge, op.rows, made, gated.is_some());
        #[cfg(test)]
        let tile = tests::tile().unwrap_or(tile);
        let kernel = Gemm {
            dtype: layout.format.code(),
            tile,
            bias: call.iter().any(|piece| piece.bias.is_some()),
            residual: residual.is_some(),
            gated,
        };
        let mut bindings = vec![&halves, &exponents];
        bindings.extend(call.iter().map(|piece| &piece.region));
        bindings.extend(call.iter().filter_map(|piece| piece.bias));
        bindings.extend(residual);
        bindings.push(call[0].to);
        let exponent = |i: usize| {
            let halves = call.get(i).and_then(|piece| piece.halves);
            halves.map_or(0, |halves| halves.exponent.cast_unsigned())
        };
        planner.call(Call {
            variant: kernel.variant(),
            bindings: bindings.into_iter().map(Into::into).collect(),
            params: vec![
                op.rows,
                word(units),
                word(steps),
                parts,
                word(layout.vectors() * layout.format.per_vector() / 8),
                made,
                call[0].first,
                word(layout.outputs),
                layout.format.group_shift(),
                exponent(0),
                exponent(1),
            ],
            grid: Grid::Fixed([
                op.rows.div_ceil(tile.rows),
                made.div_ceil(tile.outputs(gated.is_some())),
                1,
            ]),
        });
        let matrices = call.len() as u64;
        planner.work(
            matrices * u64::from(parts) * u64::from(op.rows) * u64::from(made) * inputs as u64,
        );
    }
    true
}

/// Every variant that [`lower`] can ask for.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let Some(edge) = caps.cooperative_matrix else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for ragged in [false, true] {
        all.extend([1, 2].map(|parts| halves_variant(ragged, parts)));
    }
    let mut tiles = vec![Tile::new(caps, edge, false)];
    let large = Tile::new(caps, edge, true);
    if edge == 16 && large.fits(caps) {
        tiles.push(large);
    }
    tiles.extend(tests::tiles(caps, edge));
    for dtype in 1..5 {
        for &tile in &tiles {
            for bias in [false, true] {
                let plain = Gemm {
                    dtype,
                    tile,
                    bias,
                    residual: false,
                    gated: None,
                };
                let residual = Gemm {
                    residual: true,
                    ..plain
                };
                all.extend([plain, residual].map(Gemm::variant));
            }
            let gated = |act| Gemm {
                dtype,
                tile,
                bias: false,
                residual: false,
                gated: Some(act),
            };
            all.extend((0..3).map(|act| gated(act).variant()));
        }
    }
    all
}
