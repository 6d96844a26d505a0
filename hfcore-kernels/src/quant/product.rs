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
//! `matmul::few`. Several matrices with one input (queries, keys and values; gate and up) are dealt together.

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;

use super::Quantized;
use super::activations::{Activations, Layout};
use super::format::PANEL;
use super::kernels::{Kernels, MAX_PANELS, MAX_SUMS, Pass, Tile};
use crate::device::Cpu;
use crate::pool::Parts;
use crate::{Bytes, DType, Isa, Precision, Tensor, Weight, matmul};

/// Rows of activations that are rounded together, about: their bytes stay in a shared cache.
const BLOCK: usize = 512;
/// Bytes of the matrices in the longest range of panels that are read once: long streams are fast.
const MOST_BYTES: usize = 4 << 20;
/// The same where each tile of several is multiplied with them: they stay in a cache.
const MOST_BYTES_TWICE: usize = 256 << 10;
/// Units per thread, at least, where there is that much to do: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;
/// Panels that are widened together with [`Precision::Strict`].
const STRICT_PANELS: usize = 32;

thread_local! {
    /// A caller's rounded activations.
    static ROUNDED: Cell<Activations> = Cell::new(Activations::default());
}

/// See [`linear`](super::linear).
#[must_use]
#[track_caller]
pub(super) fn linear(x: &Tensor, w: &Quantized, bias: Option<&Tensor>) -> Tensor {
    let [out] = linears(x, [(w, bias)]);
    out
}

/// [`linear`] of `x` with each matrix and bias, all of one format: activations are rounded once, and the
/// threads read all matrices in one go.
///
/// # Panics
/// If the formats differ, or as [`linear`].
#[must_use]
#[track_caller]
pub(crate) fn linears<const N: usize>(
    x: &Tensor,
    layers: [(&Quantized, Option<&Tensor>); N],
) -> [Tensor; N] {
    let mut outs = layers.map(|(w, bias)| {
        let [outputs, inputs] = w.shape();
        let format = w.format();
        let shapes = || {
            format!(
                "x {:?} and {format} weight [{outputs}, {inputs}]",
                x.shape()
            )
        };
        assert!(x.shape().last() == Some(&inputs), "linear: {}", shapes());
        assert!(format == layers[0].0.format(), "linears: formats differ");
        if let Some(bias) = bias {
            let fits = bias.shape() == [outputs];
            assert!(fits, "linear: bias {:?}, {}", bias.shape(), shapes());
        }
        let mut shape = x.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        Tensor::unspecified(x.device(), &shape)
    });
    let cpu = x.device().on_cpu();
    if x.width() == 0 {
        for ((_, bias), out) in layers.iter().zip(&mut outs) {
            let outputs = out.width().max(1);
            for out in out.data_mut().chunks_exact_mut(outputs) {
                match bias {
                    Some(bias) => out.copy_from_slice(bias.data()),
                    None => out.fill(0.0),
                }
            }
        }
        return outs;
    }
    match cpu.precision {
        Precision::Auto | Precision::Fast => {
            let products: Vec<Product<'_>> = (layers.iter().zip(&mut outs))
                .map(|((matrix, bias), out)| Product {
                    matrix,
                    bias: bias.map(Tensor::data),
                    out: Parts::new(out.data_mut()),
                })
                .collect();
            run(cpu, x.data(), &products);
        }
        Precision::Strict | Precision::High => {
            for ((matrix, bias), out) in layers.iter().zip(&mut outs) {
                run_strict(matrix, bias.map(Tensor::data), x, out.data_mut());
            }
        }
    }
    for (matrix, _) in layers {
        let pairs = x.rows() * matrix.outputs * matrix.inputs;
        cpu.work.add(matrix.bytes_len(), pairs);
    }
    outs
}

/// A matrix, and where its product goes.
struct Product<'a> {
    matrix: &'a Quantized,
    bias: Option<&'a [f32]>,
    /// `[rows, outputs]`.
    out: Parts<'a, f32>,
}

/// All `products` with `x` `[rows, inputs]`, rounded to bytes.
fn run(cpu: &Cpu, x: &[f32], products: &[Product<'_>]) {
    let Some(Product { matrix, .. }) = products.first() else {
        return;
    };
    let (format, inputs) = (matrix.format, matrix.inputs);
    let rows = x.len() / inputs;
    let panels = products.iter().map(|product| product.matrix.panels()).sum();
    if rows == 0 || panels == 0 {
        return;
    }
    let passes = Kernels::of(cpu.isa).passes(format);
    let block = rows.div_ceil(rows.div_ceil(BLOCK));
    let mut activations = ROUNDED.take();
    for (first, x) in (0..rows).step_by(block).zip(x.chunks(block * inputs)) {
        let rows = first..first + x.len() / inputs;
        let pass = choose(passes, rows.len(), panels, cpu.pool.threads());
        let layout = Layout::new(format, inputs, pass);
        activations.round(cpu, &layout, x);
        let tile = |index: usize| activations.tile(&layout, index);
        let tiles = Tiles {
            pass,
            rows,
            tile: &tile,
        };
        tiles.deal(cpu, products, panels);
    }
    ROUNDED.set(activations);
}

/// Tiles of activations.
struct Tiles<'a, F> {
    /// The kernel that they are made for.
    pass: &'a Pass,
    /// The rows of `x` that they have.
    rows: Range<usize>,
    tile: &'a F,
}

impl<'a, F: Fn(usize) -> Tile<'a> + Sync> Tiles<'a, F> {
    /// Multiply them with all `panels` of the `products`.
    fn deal(&self, cpu: &Cpu, products: &[Product<'_>], panels: usize) {
        let pass = self.pass;
        let tiles = self.rows.len().div_ceil(pass.rows);
        let panel_bytes = products[0].matrix.panel_bytes();
        if tiles == 1 {
            let most = MOST_BYTES / panel_bytes;
            (cpu.pool).for_each_shrinking(panels, pass.panels, most, |range| {
                self.multiply(cpu, products, range, 0..1);
            });
            return;
        }
        let wanted = UNITS_PER_THREAD * cpu.pool.threads();
        let in_bytes = MOST_BYTES_TWICE / (panel_bytes * pass.panels);
        let in_share = panels / (pass.panels * wanted);
        let unit_panels = in_bytes.min(in_share).max(1) * pass.panels;
        let panel_units = panels.div_ceil(unit_panels);
        let tile_units = wanted.div_ceil(panel_units).min(tiles);
        let unit_tiles = tiles.div_ceil(tile_units);
        cpu.pool.for_each(panel_units * tile_units, 1, |units| {
            for unit in units {
                let (panel, tile) = (unit / tile_units * unit_panels, unit % tile_units);
                let range = panel..panels.min(panel + unit_panels);
                let some = tile * unit_tiles..tiles.min((tile + 1) * unit_tiles);
                self.multiply(cpu, products, range, some);
            }
        });
    }

    /// The panels `range`, counted through all products, times the tiles `some`.
    fn multiply(
        &self,
        cpu: &Cpu,
        products: &[Product<'_>],
        range: Range<usize>,
        some: Range<usize>,
    ) {
        let _configured = self.pass.tiles.then(|| configure(cpu.isa));
        let mut first = 0;
        for product in products {
            let start = range.start.max(first) - first;
            let end = range.end.max(first) - first;
            first += product.matrix.panels();
            let unit = start..end.min(product.matrix.panels());
            for index in some.clone().filter(|_| !unit.is_empty()) {
                let first = self.rows.start + index * self.pass.rows;
                let rows = first..self.rows.end.min(first + self.pass.rows);
                product.multiply(self.pass, unit.clone(), rows, &(self.tile)(index));
            }
        }
    }
}

impl Product<'_> {
    /// The panels `unit` times a tile, which has the rows `rows` of the activations.
    fn multiply(&self, pass: &Pass, unit: Range<usize>, rows: Range<usize>, tile: &Tile<'_>) {
        let piece = unit.len().div_ceil(pass.panels);
        let mut sums = [[0.0; PANEL]; MAX_SUMS];
        let all = self.matrix.all();
        let mut panels = [all.get(unit.start); MAX_PANELS];
        for i in 0..piece {
            // The last pieces may be short; there, a panel is multiplied for nothing.
            let index = |p: usize| unit.start + p * piece + i;
            for (p, panel) in panels[..pass.panels].iter_mut().enumerate() {
                *panel = all.get(index(p).min(unit.end - 1));
            }
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (pass.run)(&panels[..pass.panels], tile, &mut sums) };
            for (p, sums) in sums.chunks(pass.rows).take(pass.panels).enumerate() {
                if index(p) < unit.end {
                    self.write(index(p), rows.clone(), sums);
                }
            }
        }
    }

    /// The outputs of a panel for `rows` of activations, with the bias.
    fn write(&self, panel: usize, rows: Range<usize>, sums: &[[f32; PANEL]]) {
        let outputs = self.matrix.outputs;
        let first = panel * PANEL;
        let range = first..outputs.min(first + PANEL);
        for (row, sums) in rows.zip(sums) {
            let start = row * outputs;
            // SAFETY: each panel is in one piece of a unit, and each of its tiles in one unit.
            let to = unsafe { self.out.part(start + range.start..start + range.end) };
            add_bias(to, sums, self.bias.map(|bias| &bias[range.clone()]));
        }
    }
}

/// The tiles of AMX, ready for its kernels for as long as this lives.
#[cfg(target_arch = "x86_64")]
fn configure(isa: Isa) -> Option<crate::amx::Tiles> {
    match isa {
        Isa::Amx(amx) => Some(crate::amx::Tiles::configure(amx)),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
const fn configure(_: Isa) -> Option<()> {
    None
}

/// Write `sums`, of which there may be more, plus the bias.
fn add_bias(to: &mut [f32], sums: &[f32], bias: Option<&[f32]>) {
    match bias {
        None => to.copy_from_slice(&sums[..to.len()]),
        Some(bias) => {
            for ((to, sum), bias) in to.iter_mut().zip(sums).zip(bias) {
                *to = sum + bias;
            }
        }
    }
}

/// `out` `[rows, outputs]` of `x` `[rows, inputs]` as it is: the product with widened panels, some at a time.
fn run_strict(matrix: &Quantized, bias: Option<&[f32]>, x: &Tensor, out: &mut [f32]) {
    let cpu = x.device().on_cpu();
    let [outputs, inputs] = matrix.shape();
    for first in (0..matrix.panels()).step_by(STRICT_PANELS) {
        let range = first * PANEL..outputs.min((first + STRICT_PANELS) * PANEL);
        let row = inputs * size_of::<f32>();
        let mut wide = vec![0; range.len() * row];
        let parts = Parts::new(&mut wide);
        cpu.pool.for_each(range.len().div_ceil(PANEL), 1, |panels| {
            let mut panel = vec![0.0; PANEL * inputs];
            for index in panels {
                let rows = index * PANEL..range.len().min((index + 1) * PANEL);
                let panel = &mut panel[..rows.len() * inputs];
                matrix.widen_panel(first + index, panel);
                // SAFETY: each panel is dealt once.
                let to = unsafe { parts.part(rows.start * row..rows.end * row) };
                for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(panel) {
                    *to = from.to_le_bytes();
                }
            }
        });
        let wide = Weight::new(DType::F32, &[range.len(), inputs], Bytes::from(wide));
        let y = matmul::uncounted(x, &wide, None);
        let rows = (out.chunks_exact_mut(outputs)).zip(y.data().chunks_exact(range.len()));
        for (out, y) in rows {
            add_bias(
                &mut out[range.clone()],
                y,
                bias.map(|bias| &bias[range.clone()]),
            );
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
    let _configured = configure(isa);
    // SAFETY: the table is the one of the device's instruction set, which the CPU has.
    black_box(unsafe { (peak.run)(rounds, black_box(3)) });
    rounds * peak.products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_of_every_instruction_set() {
        for isa in Isa::tested() {
            let products = peak(isa, 3);
            assert!(products > 0 && products.is_multiple_of(3), "{}", isa.name());
        }
    }

    /// As few tiles as can be, of as few rows as can be, and panels for every thread.
    #[test]
    fn kernels_are_chosen_by_rows_and_panels() {
        let isa = Isa::tested().last().expect("there is always one");
        for format in ["int8", "int4"] {
            let passes = Kernels::of(isa).passes(format.parse().unwrap());
            let most = passes.last().unwrap().rows;
            for rows in 1..200 {
                let pass = choose(passes, rows, 1000, 4);
                assert_eq!(rows.div_ceil(pass.rows), rows.div_ceil(most), "{rows}");
                let padded = rows.next_multiple_of(pass.rows);
                assert!(padded - rows < most, "{rows} in tiles of {}", pass.rows);
            }
            let (many, few) = (choose(passes, 1, 1000, 4), choose(passes, 1, 8, 4));
            assert!(few.panels <= 2 && few.panels <= many.panels);
        }
    }
}
