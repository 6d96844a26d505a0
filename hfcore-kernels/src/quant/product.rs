//! The product with a quantized matrix.
//!
//! Activations are rounded to bytes, once, in tiles of rows. Panels are dealt to the threads in units;
//! a unit walks all tiles, or some of them where there are fewer units than threads want:
//!
//! ```text
//! for a unit of panels and tiles                dealt to the threads
//!   for a tile                                  stays in the first cache
//!     for some panels of the unit               which stays in the second
//!       sums in registers, over all inputs
//! ```
//!
//! The panels that a kernel reads side by side are far apart in the unit: several streams, as in
//! `matmul::few`.

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;

use super::Quantized;
use super::activations::{Activations, Layout};
use super::format::PANEL;
use super::kernels::{Kernels, MAX_SUMS, Pass, Tile};
use crate::device::{Backend, Cpu};
use crate::pool::Parts;
use crate::{Bytes, DType, Isa, Precision, Tensor, Weight, matmul};

/// Rows of activations that are rounded together, about: their bytes stay in a shared cache.
const BLOCK: usize = 512;
/// Bytes of the matrix in a unit of work.
const UNIT_BYTES: usize = 256 << 10;
/// The same where the matrix is read once: streams are to be long.
const STREAM_BYTES: usize = 2 << 20;
/// Units per thread, at least, where there is that much to do: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;
/// Panels that are widened together with [`Precision::Strict`].
const STRICT_PANELS: usize = 32;

thread_local! {
    /// A caller's rounded activations.
    static ROUNDED: Cell<Activations> = Cell::new(Activations::default());
}

/// See [`linear`](super::linear).
#[track_caller]
pub(super) fn linear(x: &Tensor, w: &Quantized, bias: Option<&Tensor>) -> Tensor {
    let [outputs, inputs] = w.shape();
    let shapes = || {
        format!(
            "x {:?} and {} weight [{outputs}, {inputs}]",
            x.shape(),
            w.format()
        )
    };
    assert!(x.shape().last() == Some(&inputs), "linear: {}", shapes());
    if let Some(bias) = bias {
        let fits = bias.shape() == [outputs];
        assert!(fits, "linear: bias {:?}, {}", bias.shape(), shapes());
    }
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let Backend::Cpu(cpu) = x.device().backend();
    let mut out = Tensor::unspecified(x.device(), &shape);
    let product = Product {
        matrix: w,
        bias: bias.map(Tensor::data),
    };
    if inputs == 0 {
        for out in out.data_mut().chunks_exact_mut(outputs.max(1)) {
            match product.bias {
                Some(bias) => out.copy_from_slice(bias),
                None => out.fill(0.0),
            }
        }
        return out;
    }
    match cpu.precision {
        Precision::Auto | Precision::Fast => {
            product.run(cpu, x.data(), out.data_mut());
            cpu.work.add(w.bytes_len(), x.rows() * outputs * inputs);
        }
        Precision::Strict | Precision::High => product.run_strict(x, out.data_mut()),
    }
    out
}

/// What is multiplied with activations.
struct Product<'a> {
    matrix: &'a Quantized,
    bias: Option<&'a [f32]>,
}

impl Product<'_> {
    /// `out` `[rows, outputs]` of `x` `[rows, inputs]`, rounded to bytes.
    fn run(&self, cpu: &Cpu, x: &[f32], out: &mut [f32]) {
        let [outputs, inputs] = self.matrix.shape();
        let rows = x.len() / inputs;
        if rows == 0 || outputs == 0 {
            return;
        }
        let passes = Kernels::of(cpu.isa).passes(self.matrix.format());
        let blocks = rows.div_ceil(BLOCK);
        let block = rows.div_ceil(blocks);
        let mut activations = ROUNDED.take();
        for (x, out) in x
            .chunks(block * inputs)
            .zip(out.chunks_mut(block * outputs))
        {
            let rows = x.len() / inputs;
            let pass = choose(passes, rows, self.matrix.panels(), cpu.pool.threads());
            let layout = Layout::new(self.matrix.format(), inputs, pass);
            activations.round(cpu, &layout, x);
            let tile = |index: usize| activations.tile(&layout, index);
            self.multiply(cpu, pass, rows, &tile, &Parts::new(out));
        }
        ROUNDED.set(activations);
    }

    /// All panels times `rows` rows, of which `tile` gives the tiles.
    fn multiply<'t>(
        &self,
        cpu: &Cpu,
        pass: &Pass,
        rows: usize,
        tile: &(impl Fn(usize) -> Tile<'t> + Sync),
        out: &Parts<'_, f32>,
    ) {
        let (panels, tiles) = (self.matrix.panels(), rows.div_ceil(pass.rows));
        let panel_bytes = self.matrix.panel(0).values.len();
        let wanted = UNITS_PER_THREAD * cpu.pool.threads();
        // What only one tile is multiplied with need not stay in a cache.
        let in_bytes =
            if tiles > 1 { UNIT_BYTES } else { STREAM_BYTES } / (panel_bytes * pass.panels);
        let in_share = panels / (pass.panels * wanted);
        let piece = in_bytes.min(in_share).max(1);
        let unit_panels = piece * pass.panels;
        let panel_units = panels.div_ceil(unit_panels);
        let tile_units = wanted.div_ceil(panel_units).min(tiles);
        let unit_tiles = tiles.div_ceil(tile_units);
        cpu.pool.for_each(panel_units * tile_units, 1, |units| {
            for unit in units {
                let (panel, tile_unit) = (unit / tile_units * unit_panels, unit % tile_units);
                let unit = panel..panels.min(panel + unit_panels);
                let end = tiles.min((tile_unit + 1) * unit_tiles);
                for index in tile_unit * unit_tiles..end {
                    let first = index * pass.rows;
                    let rows = first..rows.min(first + pass.rows);
                    self.tile(pass, unit.clone(), rows, &tile(index), out);
                }
            }
        });
    }

    /// The panels of a unit times a tile, which has the rows `rows` of the activations.
    fn tile(
        &self,
        pass: &Pass,
        unit: Range<usize>,
        rows: Range<usize>,
        tile: &Tile<'_>,
        out: &Parts<'_, f32>,
    ) {
        let piece = unit.len().div_ceil(pass.panels);
        let mut sums = [[0.0; PANEL]; MAX_SUMS];
        for i in 0..piece {
            // The last pieces of the last unit may be short; there, a panel is multiplied for nothing.
            let index = |p: usize| unit.start + p * piece + i;
            let mut panels = [self.matrix.panel(unit.start); 16];
            for (p, panel) in panels[..pass.panels].iter_mut().enumerate() {
                *panel = self.matrix.panel(index(p).min(unit.end - 1));
            }
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (pass.run)(&panels[..pass.panels], tile, &mut sums) };
            for (p, sums) in sums.chunks(pass.rows).take(pass.panels).enumerate() {
                if index(p) < unit.end {
                    self.write(index(p), rows.clone(), sums, out);
                }
            }
        }
    }

    /// The outputs of a panel for `rows` of activations, with the bias.
    fn write(&self, panel: usize, rows: Range<usize>, sums: &[[f32; PANEL]], out: &Parts<'_, f32>) {
        let [outputs, _] = self.matrix.shape();
        let first = panel * PANEL;
        let range = first..outputs.min(first + PANEL);
        for (row, sums) in rows.zip(sums) {
            let start = row * outputs;
            // SAFETY: each panel is in one piece of a unit, and each of its tiles in one unit.
            let to = unsafe { out.part(start + range.start..start + range.end) };
            let sums = &sums[..to.len()];
            match self.bias {
                None => to.copy_from_slice(sums),
                Some(bias) => {
                    for ((to, sum), bias) in to.iter_mut().zip(sums).zip(&bias[range.clone()]) {
                        *to = sum + bias;
                    }
                }
            }
        }
    }

    /// `out` `[rows, outputs]` of `x` `[rows, inputs]` as it is: the product with widened panels, some at a
    /// time.
    fn run_strict(&self, x: &Tensor, out: &mut [f32]) {
        let Backend::Cpu(cpu) = x.device().backend();
        let [outputs, inputs] = self.matrix.shape();
        for first in (0..self.matrix.panels()).step_by(STRICT_PANELS) {
            let range = first * PANEL..outputs.min((first + STRICT_PANELS) * PANEL);
            let mut wide = vec![0; range.len() * inputs * size_of::<f32>()];
            let parts = Parts::new(&mut wide);
            let row = inputs * size_of::<f32>();
            cpu.pool.for_each(range.len().div_ceil(PANEL), 1, |panels| {
                let mut panel = vec![0.0; PANEL * inputs];
                for index in panels {
                    let rows = index * PANEL..range.len().min((index + 1) * PANEL);
                    let panel = &mut panel[..rows.len() * inputs];
                    self.matrix.widen_panel(first + index, panel);
                    // SAFETY: each panel is dealt once.
                    let to = unsafe { parts.part(rows.start * row..rows.end * row) };
                    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(panel) {
                        *to = from.to_le_bytes();
                    }
                }
            });
            let wide = Weight::new(DType::F32, &[range.len(), inputs], Bytes::from(wide));
            let y = matmul::linear(x, &wide, None);
            let rows = out
                .chunks_exact_mut(outputs)
                .zip(y.data().chunks_exact(range.len()));
            for (out, y) in rows {
                let out = &mut out[range.clone()];
                match self.bias {
                    None => out.copy_from_slice(y),
                    Some(bias) => {
                        for ((to, y), bias) in out.iter_mut().zip(y).zip(&bias[range.clone()]) {
                            *to = y + bias;
                        }
                    }
                }
            }
        }
    }
}

/// The kernel for `rows` rows: in as few tiles as can be, of as few rows as can be. Of those for the same
/// rows, the one with the most panels that gives every thread some, or else the one with the fewest.
fn choose(passes: &'static [Pass], rows: usize, panels: usize, threads: usize) -> &'static Pass {
    let most = passes.last().expect("a table has kernels").rows;
    let wanted = rows.div_ceil(rows.div_ceil(most));
    let height = (passes.iter().map(|pass| pass.rows))
        .find(|&height| height >= wanted)
        .expect("no more rows than the most");
    let mut of_height = passes.iter().filter(|pass| pass.rows == height);
    let goes_round = |pass: &&Pass| panels >= pass.panels * threads;
    let last = of_height.clone().next_back();
    of_height
        .find(goes_round)
        .or(last)
        .expect("a kernel of this height")
}

/// Multiplications of bytes in so many rounds of the instruction set's best, which are done.
pub(crate) fn peak(isa: Isa, rounds: usize) -> usize {
    let peak = &Kernels::of(isa).peak;
    // SAFETY: the table is the one of the device's instruction set, which the CPU has.
    black_box(unsafe { (peak.run)(rounds, black_box(3)) });
    rounds * peak.products
}
