//! The product for many rows of activations: as fast as the processor can multiply.
//!
//! The activations are transposed to *panels* of as many rows as a tile has columns, so that a vector
//! holds one number of each of several rows. Rows of the weight are widened piece by piece into memory
//! that stays in the cache of their thread, which then meets every panel:
//!
//! ```text
//! for a block of activations                      panels are made by all threads
//!   for a block of rows of the weight             dealt to the threads
//!     for a piece of the inputs                   the block's piece is widened
//!       for a panel, for a tile of the block      tile += weight piece * panel piece
//!     tiles are transposed to the output
//! ```
//!
//! A number of the output is the sum over the pieces, in order, of sums over a piece, in order. How the
//! work is cut for the threads has no part in it.

use std::cell::Cell;
use std::ops::Range;

use super::kernels::{GROUP, Tile};
use super::{Product, aligned};
use crate::device::Cpu;
use crate::pool::Parts;

/// Rows of activations in a block: their panels stay in a shared cache.
const BLOCK: usize = 512;
/// Inputs in a piece.
const PIECE: usize = 256;
/// Rows of the weight in a block, where there are enough of them to go round.
const WEIGHT_ROWS: usize = 48;
/// Units per thread, at least, where there is that much to do: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;

thread_local! {
    /// A thread's widened piece of the weight, and its tiles.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The panels of a block of activations, `[panels, inputs, columns]`; the last may be a narrow one,
/// of half the columns.
struct Panels<'a> {
    data: &'a [f32],
    rows: usize,
    inputs: usize,
    columns: usize,
}

impl Panels<'_> {
    fn count(&self) -> usize {
        self.rows.div_ceil(self.columns)
    }

    /// The rows of activations in a panel.
    fn rows(&self, panel: usize) -> Range<usize> {
        panel * self.columns..self.rows.min((panel + 1) * self.columns)
    }

    /// The columns of a panel, rows of zeros included.
    fn width(&self, panel: usize) -> usize {
        if self.rows(panel).len() <= self.columns / 2 {
            self.columns / 2
        } else {
            self.columns
        }
    }

    fn piece(&self, panel: usize, inputs: Range<usize>) -> &[f32] {
        let (start, width) = (panel * self.columns * self.inputs, self.width(panel));
        &self.data[start + inputs.start * width..start + inputs.end * width]
    }
}

/// `out` `[m, outputs]` of `product`, for any m.
pub(super) fn many(cpu: &Cpu, product: &Product<'_>, out: &mut [f32]) {
    let Product {
        outputs, inputs, ..
    } = *product;
    let tile = &cpu.kernels().tile;
    let block = BLOCK.min(product.rows).next_multiple_of(tile.columns);
    let mut buffer = cpu.recycler.take(aligned::len(block * inputs));
    let memory = aligned::slice(&mut buffer);
    let blocks = product
        .x
        .chunks(block * inputs)
        .zip(out.chunks_mut(block * outputs));
    for (x, out) in blocks {
        let rows = x.len() / inputs;
        pack(cpu, tile, x, inputs, memory);
        let panels = Panels {
            data: memory,
            rows,
            inputs,
            columns: tile.columns,
        };
        multiply(cpu, tile, product, &panels, &Parts::new(out));
    }
    cpu.recycler.put(buffer);
}

/// Transpose `x` to panels.
fn pack(cpu: &Cpu, tile: &Tile, x: &[f32], inputs: usize, memory: &mut [f32]) {
    let shape = Panels {
        data: &[],
        rows: x.len() / inputs,
        inputs,
        columns: tile.columns,
    };
    let memory = Parts::new(memory);
    let pieces = inputs.div_ceil(PIECE);
    cpu.pool.for_each(shape.count() * pieces, 1, |unit| {
        for unit in unit {
            let (panel, piece) = (unit / pieces, unit % pieces);
            let (rows, width) = (shape.rows(panel), shape.width(panel));
            let piece = piece * PIECE..inputs.min((piece + 1) * PIECE);
            let start = panel * tile.columns * inputs + piece.start * width;
            // SAFETY: pieces of panels do not overlap, and each is dealt once.
            let to = unsafe { memory.part(start..start + piece.len() * width) };
            if rows.len() < width {
                // What comes of the missing rows is not used, but what lies there could be slow to
                // multiply, as denormal numbers are.
                to.fill(0.0);
            }
            let from = &x[rows.start * inputs + piece.start..];
            transpose(tile, from, inputs, [rows.len(), piece.len()], to, width);
        }
    });
}

/// All rows of the weight times a block of activations.
fn multiply(
    cpu: &Cpu,
    tile: &Tile,
    product: &Product<'_>,
    panels: &Panels<'_>,
    out: &Parts<'_, f32>,
) {
    let outputs = product.outputs;
    // Smaller blocks of the weight, then fewer panels at a time, until all threads have something.
    let wanted = UNITS_PER_THREAD * cpu.pool.threads();
    let mut weight_rows = WEIGHT_ROWS;
    while weight_rows > tile.rows && outputs.div_ceil(weight_rows) < wanted {
        weight_rows -= tile.rows;
    }
    let row_blocks = outputs.div_ceil(weight_rows);
    let panel_blocks = wanted.div_ceil(row_blocks).min(panels.count());
    let panel_block = panels.count().div_ceil(panel_blocks);
    cpu.pool.for_each(row_blocks * panel_blocks, 1, |unit| {
        let mut scratch = SCRATCH.take();
        for unit in unit {
            let (row_block, panel_block_index) = (unit / panel_blocks, unit % panel_blocks);
            let start = row_block * weight_rows;
            let rows = start..outputs.min(start + weight_rows);
            let start = panel_block_index * panel_block;
            let some = start..panels.count().min(start + panel_block);
            if !some.is_empty() {
                block(tile, product, rows, panels, some, &mut scratch, out);
            }
        }
        SCRATCH.set(scratch);
    });
}

/// `rows` of the weight times the panels `some`.
fn block(
    tile: &Tile,
    product: &Product<'_>,
    rows: Range<usize>,
    panels: &Panels<'_>,
    some: Range<usize>,
    scratch: &mut Vec<f32>,
    out: &Parts<'_, f32>,
) {
    let columns = tile.columns;
    let height = rows.len().next_multiple_of(tile.rows);
    let [widened_len, tiles_len, turned_len] = [
        height * PIECE,
        some.len() * height * columns,
        columns * height,
    ];
    let wanted = aligned::len(widened_len + tiles_len + turned_len);
    if scratch.len() < wanted {
        scratch.resize(wanted, 0.0);
    }
    let (widened, rest) = aligned::slice(scratch).split_at_mut(widened_len);
    let (tiles, turned) = rest.split_at_mut(tiles_len);

    for start in (0..product.inputs).step_by(PIECE) {
        let piece = start..product.inputs.min(start + PIECE);
        widen(tile, product, rows.clone(), piece.clone(), widened);
        for (panel, tiles) in some.clone().zip(tiles.chunks_exact_mut(height * columns)) {
            let x = panels.piece(panel, piece.clone());
            let width = panels.width(panel);
            let run = if width == columns {
                tile.run
            } else {
                tile.narrow
            };
            let tiles = tiles.chunks_exact_mut(tile.rows * width);
            for (w, to) in widened
                .chunks_exact(tile.rows * PIECE)
                .zip(tiles)
                .take(height / tile.rows)
            {
                // SAFETY: the table is the one of the device's instruction set, which the CPU has.
                unsafe { run(w, x, piece.len(), to, start > 0) };
            }
        }
    }

    let turned = &mut turned[..columns * height];
    for (panel, tiles) in some.zip(tiles.chunks_exact(height * columns)) {
        let activations = panels.rows(panel);
        transpose(
            tile,
            tiles,
            panels.width(panel),
            [rows.len(), activations.len()],
            turned,
            height,
        );
        for (m, from) in activations.zip(turned.chunks_exact(height)) {
            let start = m * product.outputs;
            // SAFETY: a unit has rows of the weight and panels together that no other unit has.
            let to = unsafe { out.part(start + rows.start..start + rows.end) };
            match product.bias {
                None => to.copy_from_slice(&from[..to.len()]),
                Some(bias) => {
                    for ((to, from), bias) in to.iter_mut().zip(from).zip(&bias[rows.clone()]) {
                        *to = from + bias;
                    }
                }
            }
        }
    }
}

/// A piece of `rows` of the weight as tiles want it: `[rows / tile.rows, PIECE / GROUP, tile.rows, GROUP]`.
fn widen(
    tile: &Tile,
    product: &Product<'_>,
    rows: Range<usize>,
    piece: Range<usize>,
    to: &mut [f32],
) {
    let size = product.dtype.size();
    let function = tile.widen(product.dtype);
    for (i, to) in to.chunks_exact_mut(PIECE * tile.rows).enumerate() {
        let groups = to.as_chunks_mut::<GROUP>().0;
        for r in 0..tile.rows {
            let row = rows.start + i * tile.rows + r;
            if row < rows.end {
                let from = &product.row(row)[piece.start * size..piece.end * size];
                // SAFETY: the table is the one of the device's instruction set, which the CPU has.
                unsafe { function(from, &mut groups[r..]) };
            } else {
                // Of a tile that reaches beyond the weight: what comes of it is not used.
                groups
                    .iter_mut()
                    .skip(r)
                    .step_by(tile.rows)
                    .for_each(|group| group.fill(0.0));
            }
        }
        if (i + 1) * tile.rows >= rows.len() {
            break;
        }
    }
}

/// Transpose `from`, `[rows, columns]`, each row `from_stride` after the one before, to `to`.
fn transpose(
    tile: &Tile,
    from: &[f32],
    from_stride: usize,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
    to_stride: usize,
) {
    for i in (0..rows).step_by(8) {
        for j in (0..columns).step_by(8) {
            let (from, to) = (&from[i * from_stride + j..], &mut to[j * to_stride + i..]);
            if i + 8 <= rows && j + 8 <= columns {
                // SAFETY: the table is the one of the device's instruction set, which the CPU has.
                unsafe { (tile.transpose)(from, from_stride, to, to_stride) };
                continue;
            }
            for i in 0..(rows - i).min(8) {
                for j in 0..(columns - j).min(8) {
                    to[j * to_stride + i] = from[i * from_stride + j];
                }
            }
        }
    }
}
