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

use super::kernels::Tile;
use super::{Product, aligned};
use crate::device::Cpu;
use crate::pool::Parts;

/// Rows of activations in a block: their panels stay in a shared cache.
const BLOCK: usize = 512;
/// Units per thread, at least, where there is that much to do: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;

thread_local! {
    /// A thread's widened piece of the weight, and its tiles.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The panels of a block of activations, `[panels, steps, words, columns]`; the last may be a narrow
/// one, of half the columns.
struct Panels<'a> {
    tile: &'a Tile,
    data: &'a [f32],
    rows: usize,
    inputs: usize,
}

impl Panels<'_> {
    fn count(&self) -> usize {
        self.rows.div_ceil(self.tile.columns)
    }

    /// The rows of activations in a panel.
    fn rows(&self, panel: usize) -> Range<usize> {
        panel * self.tile.columns..self.rows.min((panel + 1) * self.tile.columns)
    }

    /// The columns of a panel, those of zeros included.
    fn width(&self, panel: usize) -> usize {
        if self.rows(panel).len() <= self.tile.columns / 2 {
            self.tile.columns / 2
        } else {
            self.tile.columns
        }
    }

    /// Where the words of `inputs` of a panel are.
    fn place(&self, panel: usize, inputs: &Range<usize>) -> Range<usize> {
        let (tile, width) = (self.tile, self.width(panel));
        let start = panel * tile.columns * tile.words_of(self.inputs);
        start + tile.words_of(inputs.start) * width..start + tile.words_of(inputs.end) * width
    }
}

impl Tile {
    /// The words of this many inputs of a row, with those that make the last step whole.
    const fn words_of(&self, inputs: usize) -> usize {
        inputs.div_ceil(self.step) * self.words
    }

    /// The pieces of this many inputs.
    fn pieces(&self, inputs: usize) -> impl Iterator<Item = Range<usize>> {
        (0..inputs)
            .step_by(self.piece)
            .map(move |start| start..inputs.min(start + self.piece))
    }
}

/// `out` `[m, outputs]` of `product`, for any m.
pub(super) fn many(cpu: &Cpu, product: &Product<'_>, out: &mut [f32]) {
    let Product {
        outputs, inputs, ..
    } = *product;
    let tile = cpu.tile(product.dtype);
    let block = BLOCK.min(product.rows).next_multiple_of(tile.columns);
    let mut buffer = cpu
        .recycler
        .take(aligned::len(block * tile.words_of(inputs)));
    let memory = aligned::slice(&mut buffer);
    let blocks = product
        .x
        .chunks(block * inputs)
        .zip(out.chunks_mut(block * outputs));
    for (x, out) in blocks {
        pack(cpu, tile, x, inputs, memory);
        let panels = Panels {
            tile,
            data: memory,
            rows: x.len() / inputs,
            inputs,
        };
        multiply(cpu, tile, product, &panels, &Parts::new(out));
    }
    cpu.recycler.put(buffer);
}

/// Transpose `x` to panels.
fn pack(cpu: &Cpu, tile: &Tile, x: &[f32], inputs: usize, memory: &mut [f32]) {
    let shape = Panels {
        tile,
        data: &[],
        rows: x.len() / inputs,
        inputs,
    };
    let memory = Parts::new(memory);
    let pieces: Vec<_> = tile.pieces(inputs).collect();
    cpu.pool.for_each(shape.count() * pieces.len(), 1, |unit| {
        for unit in unit {
            let (panel, piece) = (unit / pieces.len(), &pieces[unit % pieces.len()]);
            let (rows, width) = (shape.rows(panel), shape.width(panel));
            // SAFETY: pieces of panels do not overlap, and each is dealt once.
            let to = unsafe { memory.part(shape.place(panel, piece)) };
            let from = &x[rows.start * inputs + piece.start..];
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (tile.arrange)(from, inputs, [rows.len(), piece.len()], to, width) };
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
    let mut weight_rows = tile.block;
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
    // With one piece, the tiles of a panel are not needed when those of the next are made.
    let one_piece = product.inputs <= tile.piece;
    let kept = if one_piece { 1 } else { some.len() };
    let [widened_len, tiles_len, turned_len] = [
        height * tile.words_of(product.inputs.min(tile.piece)),
        kept * height * columns,
        columns * height,
    ];
    let wanted = aligned::len(widened_len + tiles_len + turned_len);
    if scratch.len() < wanted {
        scratch.resize(wanted, 0.0);
    }
    let (widened, rest) = aligned::slice(scratch).split_at_mut(widened_len);
    let (tiles, turned) = rest.split_at_mut(tiles_len);
    let turned = &mut turned[..turned_len];

    for piece in tile.pieces(product.inputs) {
        let length = tile.words_of(piece.len());
        widen(tile, product, &rows, &piece, widened);
        for (i, panel) in some.clone().enumerate() {
            let x = &panels.data[panels.place(panel, &piece)];
            let width = panels.width(panel);
            let run = if width == columns {
                tile.run
            } else {
                tile.narrow
            };
            let tiles = &mut tiles[if one_piece { 0 } else { i } * height * columns..];
            for (w, to) in widened
                .chunks_exact(tile.rows * length)
                .zip(tiles.chunks_exact_mut(tile.rows * width))
                .take(height / tile.rows)
            {
                let steps = piece.len().div_ceil(tile.step);
                // SAFETY: the table is the one of the device's instruction set, which the CPU has.
                unsafe { run(w, x, steps, to, piece.start > 0) };
            }
            if piece.end == product.inputs {
                let activations = panels.rows(panel);
                finish(
                    tile,
                    product,
                    &rows,
                    activations,
                    [tiles, turned],
                    width,
                    out,
                );
            }
        }
    }
}

/// Write the tiles of a panel, `[rows, width]`, to the output, with the bias.
fn finish(
    tile: &Tile,
    product: &Product<'_>,
    rows: &Range<usize>,
    activations: Range<usize>,
    [tiles, turned]: [&mut [f32]; 2],
    width: usize,
    out: &Parts<'_, f32>,
) {
    let height = turned.len() / tile.columns;
    let shape = [rows.len(), activations.len()];
    // SAFETY: the table is the one of the device's instruction set, which the CPU has.
    unsafe { (tile.transpose)(tiles, width, shape, turned, height) };
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

/// A piece of `rows` of the weight as tiles want it, one tile after the other.
fn widen(
    tile: &Tile,
    product: &Product<'_>,
    rows: &Range<usize>,
    piece: &Range<usize>,
    to: &mut [f32],
) {
    let size = product.dtype.size();
    let length = tile.rows * tile.words_of(piece.len());
    let tiles = to.chunks_exact_mut(length);
    for (first, to) in rows.clone().step_by(tile.rows).zip(tiles) {
        if first + tile.rows > rows.end {
            // Of a tile that reaches beyond the weight: what comes of it is not used.
            to.fill(0.0);
        }
        for row in first..rows.end.min(first + tile.rows) {
            let from = &product.row(row)[piece.start * size..piece.end * size];
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (tile.widen)(from, &mut to[(row - first) * tile.group..]) };
        }
    }
}
