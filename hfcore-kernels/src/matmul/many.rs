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

/// Rows of activations in a block, at least: the weight is read once for each.
const BLOCK: usize = 512;
/// Words of a block, where that are more rows: their panels stay in a shared cache.
const BLOCK_WORDS: usize = 1 << 20;
/// Units per thread, at least, where there is that much to do: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;

/// Panels that are multiplied with one tile of the weight after the other.
const FEW_PANELS: usize = 4;
/// How many rows ahead the beginnings of rows are asked for.
const ROWS_AHEAD: usize = 4;

thread_local! {
    /// A thread's widened piece of the weight, and its tiles.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The panels of a block of activations, `[panels, steps, words, columns]`; the last may be a narrow
/// one, of half the columns.
struct Panels<'a> {
    tile: &'a Tile,
    data: &'a [f32],
    /// The first of its rows of activations, and their number.
    first: usize,
    rows: usize,
    inputs: usize,
}

impl Panels<'_> {
    fn count(&self) -> usize {
        self.rows.div_ceil(self.tile.columns)
    }

    /// The rows of activations in a panel.
    fn rows(&self, panel: usize) -> Range<usize> {
        let start = panel * self.tile.columns;
        self.first + start..self.first + self.rows.min(start + self.tile.columns)
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
    together(cpu, std::slice::from_ref(product), vec![out]);
}

/// `outs` `[m, outputs]` of `products`, which all have the same activations and type of weights: those are
/// transposed once, and the threads part once.
pub(super) fn together(cpu: &Cpu, products: &[Product<'_>], outs: Vec<&mut [f32]>) {
    let Product {
        x,
        rows,
        inputs,
        dtype,
        ..
    } = products[0];
    let tile = cpu.tile(dtype);
    let most = BLOCK.max(BLOCK_WORDS / tile.words_of(inputs));
    let block = most.min(rows).next_multiple_of(tile.columns);
    let mut buffer = cpu
        .recycler
        .take(aligned::len(block * tile.words_of(inputs)));
    let memory = aligned::slice(&mut buffer);
    let outs: Vec<_> = outs.into_iter().map(Parts::new).collect();
    for first in (0..rows).step_by(block) {
        let last = rows.min(first + block);
        pack(cpu, tile, &x[first * inputs..last * inputs], inputs, memory);
        let panels = Panels {
            tile,
            data: memory,
            first,
            rows: last - first,
            inputs,
        };
        multiply(cpu, products, &panels, &outs);
    }
    cpu.recycler.put(buffer);
}

/// Transpose `x` to panels.
fn pack(cpu: &Cpu, tile: &Tile, x: &[f32], inputs: usize, memory: &mut [f32]) {
    let shape = Panels {
        tile,
        data: &[],
        first: 0,
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

/// All rows of the weights times a block of activations.
fn multiply(cpu: &Cpu, products: &[Product<'_>], panels: &Panels<'_>, outs: &[Parts<'_, f32>]) {
    let tile = panels.tile;
    // Smaller blocks of the weight, then fewer panels at a time, until all threads have something.
    let wanted = UNITS_PER_THREAD * cpu.pool.threads();
    let blocks = |rows: usize| {
        let blocks = products
            .iter()
            .map(|product| product.outputs.div_ceil(rows));
        blocks.sum::<usize>()
    };
    let mut weight_rows = tile.block;
    while weight_rows > tile.rows && blocks(weight_rows) < wanted {
        weight_rows -= tile.rows;
    }
    let row_blocks = blocks(weight_rows);
    if row_blocks == 0 {
        return;
    }
    let panel_blocks = wanted.div_ceil(row_blocks).min(panels.count());
    let panel_block = panels.count().div_ceil(panel_blocks);
    cpu.pool.for_each(row_blocks * panel_blocks, 1, |unit| {
        #[cfg(target_arch = "x86_64")]
        let _tiles = super::amx::tiles(cpu);
        let mut scratch = SCRATCH.take();
        for unit in unit {
            let (mut row_block, panel_block_index) = (unit / panel_blocks, unit % panel_blocks);
            let mut which = 0;
            while row_block >= products[which].outputs.div_ceil(weight_rows) {
                row_block -= products[which].outputs.div_ceil(weight_rows);
                which += 1;
            }
            let (product, out) = (&products[which], &outs[which]);
            let start = row_block * weight_rows;
            let rows = start..product.outputs.min(start + weight_rows);
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
    // A few panels stay in the first cache beside one tile of the weight; of many, each is met by all
    // tiles of the block while it is there.
    let together = if some.len() <= FEW_PANELS {
        tile.rows
    } else {
        height
    };
    // With one piece, the results of a panel are not needed when those of the next are made.
    let at_once = product.inputs <= tile.piece && together == height;
    let kept = if at_once { 1 } else { some.len() };
    let [widened_len, tiles_len, turned_len] = [
        together * tile.words_of(product.inputs.min(tile.piece)),
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
        let length = tile.rows * tile.words_of(piece.len());
        let steps = piece.len().div_ceil(tile.step);
        for first in (0..height).step_by(together) {
            let group = rows.start + first..rows.end.min(rows.start + first + together);
            widen(tile, product, &group, &piece, widened);
            for (i, panel) in some.clone().enumerate() {
                let x = &panels.data[panels.place(panel, &piece)];
                let width = panels.width(panel);
                let run = if width == columns {
                    tile.run
                } else {
                    tile.narrow
                };
                let start = if at_once { 0 } else { i * height * columns };
                let last = piece.end == product.inputs && first + together == height;
                if last {
                    for m in panels.rows(panel) {
                        let start = m * product.outputs;
                        // SAFETY: a unit has rows of the weight and panels together that no other has.
                        prefetch(unsafe { out.part(start + rows.start..start + rows.end) });
                    }
                }
                let results = &mut tiles[start..start + height * width];
                let to = results[first * width..].chunks_exact_mut(tile.rows * width);
                for (w, to) in widened
                    .chunks_exact(length)
                    .zip(to)
                    .take(together / tile.rows)
                {
                    // SAFETY: the table is the one of the device's instruction set, which the CPU has, and
                    // tiles are configured where there are such.
                    unsafe { run(w, x, steps, to, piece.start > 0) };
                }
                if last {
                    finish(
                        tile,
                        product,
                        &rows,
                        panels.rows(panel),
                        [results, turned],
                        width,
                        out,
                    );
                }
            }
        }
    }
}

/// Write the results of a panel, `[rows, width]`, to the output, with the bias.
fn finish(
    tile: &Tile,
    product: &Product<'_>,
    rows: &Range<usize>,
    activations: Range<usize>,
    [results, turned]: [&mut [f32]; 2],
    width: usize,
    out: &Parts<'_, f32>,
) {
    let height = turned.len() / tile.columns;
    let shape = [rows.len(), activations.len()];
    // SAFETY: the table is the one of the device's instruction set, which the CPU has.
    unsafe { (tile.transpose)(results, width, shape, turned, height) };
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
    let next = piece.end..product.inputs.min(piece.end + tile.piece);
    for (first, to) in rows.clone().step_by(tile.rows).zip(tiles) {
        if first + tile.rows > rows.end {
            // Of a tile that reaches beyond the weight: what comes of it is not used.
            to.fill(0.0);
        }
        for row in first..rows.end.min(first + tile.rows) {
            let bytes = product.row(row);
            let from = &bytes[piece.start * size..piece.end * size];
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (tile.widen)(from, &mut to[(row - first) * tile.group..]) };
            prefetch(&bytes[next.start * size..next.end * size]);
            if piece.start == 0 && row + ROWS_AHEAD < product.outputs {
                prefetch(&product.row(row + ROWS_AHEAD)[..piece.end * size]);
            }
        }
    }
}

/// Ask for memory that will soon be read, or written.
fn prefetch<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in memory.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, of memory that is there.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}
