//! Products for a few rows of activations: as fast as the weights can be read.
//!
//! One linear stream does not exhaust the memory of most machines, several far apart do; and a stream is
//! fast only after it has begun. So the rows of the weight are dealt in ranges that are long at first and
//! short at the end, a range is cut into as many pieces as the kernel reads rows at a time, and the kernel
//! walks the pieces side by side:
//!
//! ```text
//!   rows of the weight   [ range: thread 0          | range: thread 1          | 0    | 1    | 0| 1|..]
//!   of a range           [ piece | piece | piece | .. ]    one row of each at a time
//! ```
//!
//! Several weights that multiply the same activations (queries, keys and values; gate and up) are dealt
//! together, one after the other: one operation of the threads instead of three, and one end of it at
//! which a thread may wait for another.
//!
//! On a Zen 4 with two threads, a loop of nothing but this kernel, made to find these constants and not kept,
//! read 56 to 62 GB/s with 6 rows in ranges of 2 MiB, depending on the width; 51 to 58 in ranges of 256 KiB; 52
//! to 54 with 8 rows in those. What the whole reaches beside the probe:
//! `cargo bench -p hfcore-kernels --bench linear -- bf16 m=1`.

use std::ops::Range;

use super::kernels::{Dot, MAX_ROWS};
use super::{Product, aligned};
use crate::device::Cpu;
use crate::pool::Parts;

/// Bytes of the weight in the longest range of rows.
const MOST_BYTES: usize = 4 << 20;
/// The same where the weight is read once more for further rows of activations: it stays in a cache.
const MOST_BYTES_TWICE: usize = 256 << 10;
/// Bytes of a piece, at least.
const PIECE_BYTES: usize = 4 << 10;

/// `out` `[m, outputs]` of `product`.
pub(super) fn few(cpu: &Cpu, product: &Product<'_>, out: &mut [f32]) {
    together(cpu, std::slice::from_ref(product), vec![out]);
}

/// `outs` `[m, outputs]` of `products`, which all have the same activations and type of weights.
pub(super) fn together(cpu: &Cpu, products: &[Product<'_>], outs: Vec<&mut [f32]>) {
    let Product {
        x,
        rows,
        inputs,
        dtype,
        ..
    } = products[0];
    let rounded = cpu.kernels().rounded(cpu.precision, dtype, rows);
    let (mut words, mut input, mut inputs) = (Vec::new(), x, inputs);
    if let Some(rounded) = rounded {
        let len = (rounded.words)(inputs);
        words = cpu.recycler.take(rows * len);
        for (from, to) in x.chunks_exact(inputs).zip(words.chunks_exact_mut(len)) {
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (rounded.round)(from, to) };
        }
        (input, inputs) = (&words, len);
    }
    let dot = rounded.map_or_else(|| cpu.kernels().dot(dtype), |rounded| &rounded.dot);
    let passes = rows.div_ceil(dot.passes.len());
    let columns = |pass: usize| pass * rows / passes..(pass + 1) * rows / passes;
    let padded = inputs.next_multiple_of(dot.step);
    let mut buffer = cpu.recycler.take(aligned::len(rows * padded));
    let x = &mut aligned::slice(&mut buffer)[..rows * padded];
    for pass in 0..passes {
        let columns = columns(pass);
        let from = &input[columns.start * inputs..columns.end * inputs];
        let to = &mut x[columns.start * padded..columns.end * padded];
        arrange(dot, from, columns.len(), to);
    }
    let x = &*x;

    // The kernel of the first pass reads the most rows at a time, or as many as any other.
    let streams = dot.passes[columns(0).len() - 1].rows;
    let row_bytes = products[0].row_bytes();
    let step = streams * (PIECE_BYTES / row_bytes).max(1);
    let most = if passes == 1 {
        MOST_BYTES
    } else {
        MOST_BYTES_TWICE
    };
    let total = products.iter().map(|product| product.outputs).sum();
    let outs: Vec<_> = outs.into_iter().map(Parts::new).collect();
    cpu.pool
        .for_each_shrinking(total, step, most / row_bytes, |range| {
            let mut first = 0;
            for (product, out) in products.iter().zip(&outs) {
                let start = range.start.max(first) - first;
                let end = (range.end.max(first) - first).min(product.outputs);
                first += product.outputs;
                if start >= end {
                    continue;
                }
                for pass in 0..passes {
                    let columns = columns(pass);
                    let x = &x[columns.start * padded..columns.end * padded];
                    multiply(product, dot, start..end, columns, x, out);
                }
            }
        });
    cpu.recycler.put(buffer);
    cpu.recycler.put(words);
}

/// The rows `unit` of the weight times `x`, the rows `columns` of the activations.
fn multiply(
    product: &Product<'_>,
    dot: &Dot,
    unit: Range<usize>,
    columns: Range<usize>,
    x: &[f32],
    out: &Parts<'_, f32>,
) {
    let pass = &dot.passes[columns.len() - 1];
    let piece = unit.len().div_ceil(pass.rows);
    let mut products = [0.0; MAX_ROWS * MAX_ROWS];
    for i in 0..piece {
        // The last pieces of the last unit may be short; there, a row is read for nothing.
        let row = |r: usize| unit.start + r * piece + i;
        let mut rows = [[].as_slice(); MAX_ROWS];
        for (r, bytes) in rows[..pass.rows].iter_mut().enumerate() {
            *bytes = product.row(row(r).min(unit.end - 1));
        }
        // SAFETY: the table is the one of the device's instruction set, which the CPU has.
        unsafe { (pass.run)(&rows[..pass.rows], x, &mut products) };
        for (r, products) in products.chunks(columns.len()).take(pass.rows).enumerate() {
            let n = row(r);
            if n >= unit.end {
                break;
            }
            for (m, value) in columns.clone().zip(products) {
                let place = m * product.outputs + n;
                // SAFETY: each row of the weight, n, is in one piece of one unit.
                let to = unsafe { out.part(place..place + 1) };
                to[0] = product.bias.map_or(*value, |bias| value + bias[n]);
            }
        }
    }
}

/// The `m` rows of `x` as [`Dot`] wants them: `[steps, m, step]`, padded with zeros.
fn arrange(dot: &Dot, x: &[f32], m: usize, to: &mut [f32]) {
    let inputs = x.len() / m;
    for (i, to) in to.chunks_exact_mut(m * dot.step).enumerate() {
        let start = i * dot.step;
        let end = inputs.min(start + dot.step);
        for (row, to) in to.chunks_exact_mut(dot.step).enumerate() {
            let from = &x[row * inputs..][start..end];
            if from.len() < dot.step {
                to.fill(0.0);
            }
            if dot.split {
                let (even, odd) = to.split_at_mut(dot.step / 2);
                let (pairs, rest) = from.as_chunks::<2>();
                for (pair, (even, odd)) in pairs.iter().zip(even.iter_mut().zip(odd)) {
                    [*even, *odd] = *pair;
                }
                if let [last] = rest {
                    even[pairs.len()] = *last;
                }
            } else {
                to[..from.len()].copy_from_slice(from);
            }
        }
    }
}
