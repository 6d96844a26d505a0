//! The product for a few rows of activations: as fast as the weight can be read.
//!
//! One linear stream does not exhaust the memory of most machines, several far apart do. So a unit of
//! work, some consecutive rows of the weight, is cut into as many pieces as the kernel reads rows at a
//! time, and the kernel walks the pieces side by side.

use std::ops::Range;

use super::kernels::{Dot, MAX_ROWS};
use super::{Product, aligned};
use crate::device::Cpu;
use crate::pool::Parts;

/// Bytes of the weight in a unit of work: some tens of microseconds of reading, and no more than stays
/// in a cache for another pass.
const UNIT_BYTES: usize = 256 << 10;
/// Units per thread, at least, where the weight has the rows: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;

/// `out` `[m, outputs]` of `product`, for any m, best for up to `Tile::few`.
pub(super) fn few(cpu: &Cpu, product: &Product<'_>, out: &mut [f32]) {
    let dot = cpu.kernels().dot(product.dtype);
    let columns = |pass: usize| {
        let passes = product.rows.div_ceil(dot.passes.len());
        pass * product.rows / passes..(pass + 1) * product.rows / passes
    };
    let passes = product.rows.div_ceil(dot.passes.len());
    let padded = product.inputs.next_multiple_of(dot.step);
    let mut buffer = cpu.recycler.take(aligned::len(product.rows * padded));
    let x = &mut aligned::slice(&mut buffer)[..product.rows * padded];
    for pass in 0..passes {
        let columns = columns(pass);
        let from = &product.x[columns.start * product.inputs..columns.end * product.inputs];
        arrange(
            dot,
            from,
            columns.len(),
            &mut x[columns.start * padded..columns.end * padded],
        );
    }
    let x = &*x;

    // The kernel of the first pass reads the most rows at a time, or as many as any other.
    let streams = dot.passes[columns(0).len() - 1].rows;
    let in_bytes = UNIT_BYTES / (product.row_bytes() * streams);
    let in_share = product.outputs / (streams * UNITS_PER_THREAD * cpu.pool.threads());
    let piece = in_bytes.min(in_share).max(1);
    let out = Parts::new(out);
    cpu.pool.for_each(product.outputs, piece * streams, |unit| {
        for pass in 0..passes {
            let columns = columns(pass);
            let x = &x[columns.start * padded..columns.end * padded];
            multiply(product, dot, unit.clone(), columns, x, &out);
        }
    });
    cpu.recycler.put(buffer);
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
