//! The product for a few rows of activations: as fast as the weight can be read.
//!
//! One linear stream does not exhaust the memory of most machines, several far apart do. So a unit of
//! work, some consecutive rows of the weight, is cut into as many pieces as the kernel reads rows at a
//! time, and the kernel walks the pieces side by side.

use super::kernels::{Dot, MAX_COLUMNS};
use super::{Product, aligned};
use crate::device::Cpu;
use crate::pool::Parts;

/// Bytes of the weight in a unit of work: some tens of microseconds of reading.
const UNIT_BYTES: usize = 256 << 10;
/// Units per thread, at least, where the weight has the rows: threads are not equally fast.
const UNITS_PER_THREAD: usize = 4;

/// `out` `[m, outputs]` of `product`, for m up to [`MAX_COLUMNS`].
pub(super) fn few(cpu: &Cpu, product: &Product<'_>, out: &mut [f32]) {
    let Product {
        rows: m,
        outputs,
        inputs,
        ..
    } = *product;
    let dot = cpu.kernels().dot(product.dtype);
    let pass = &dot.passes[m - 1];
    let padded = m * inputs.next_multiple_of(dot.step);
    let mut buffer = cpu.recycler.take(aligned::len(padded));
    let x = &mut aligned::slice(&mut buffer)[..padded];
    arrange(dot, product.x, m, x);
    let x = &*x;

    let row_bytes = product.row_bytes();
    let in_bytes = UNIT_BYTES / (row_bytes * pass.rows).max(1);
    let in_share = outputs / (pass.rows * UNITS_PER_THREAD * cpu.pool.threads());
    let piece = in_bytes.min(in_share).max(1);
    let out = Parts::new(out);
    cpu.pool.for_each(outputs, piece * pass.rows, |unit| {
        let piece = unit.len().div_ceil(pass.rows);
        let mut products = [0.0; MAX_COLUMNS * MAX_COLUMNS];
        for i in 0..piece {
            // The last pieces of the last unit may be short; their rows are read for nothing.
            let row = |r: usize| unit.start + r * piece + i;
            let mut rows = [[].as_slice(); MAX_COLUMNS];
            for (r, bytes) in rows[..pass.rows].iter_mut().enumerate() {
                *bytes = product.row(row(r).min(unit.end - 1));
            }
            // SAFETY: the table is the one of the device's instruction set, which the CPU has.
            unsafe { (pass.run)(&rows[..pass.rows], x, &mut products) };
            for (r, products) in products.chunks(m).take(pass.rows).enumerate() {
                let n = row(r);
                if n >= unit.end {
                    break;
                }
                for (column, value) in products.iter().enumerate() {
                    let place = column * outputs + n;
                    // SAFETY: each row of the weight, n, is in one piece of one unit.
                    let to = unsafe { out.part(place..place + 1) };
                    to[0] = product.bias.map_or(*value, |bias| value + bias[n]);
                }
            }
        }
    });
    cpu.recycler.put(buffer);
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
