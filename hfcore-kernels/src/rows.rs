//! Rows of tensors: how they are dealt to threads, and picked, cut, joined, turned and averaged.

use std::ops::Range;

use crate::Tensor;
use crate::device::Cpu;
use crate::elementwise::{add_to, scale_to};
#[cfg(feature = "wgpu")]
use crate::gpu::ops::rows as gpu_rows;

/// Numbers that one thread works at before it asks for more: some microseconds of the cheapest
/// operation, several times what it costs to deal them.
const GRAIN: usize = 1 << 14;

/// Run `f` on parts of `data`, rows of `width`, on the device's threads: the number of the first row, and
/// the rows.
pub(crate) fn for_each_mut(
    cpu: &Cpu,
    data: &mut [f32],
    width: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    cpu.pool
        .for_rows(data, width, GRAIN.div_ceil(width.max(1)), f);
}

/// The shape of `x` with rows of another width.
pub(crate) fn with_width(x: &Tensor, width: usize) -> Vec<usize> {
    let mut shape = x.shape().to_vec();
    match shape.last_mut() {
        Some(last) => *last = width,
        None => shape.push(width),
    }
    shape
}

/// The numbers `range` of each row of `x` `[.., W]`: `[.., range.len()]`.
///
/// # Panics
/// If the rows end before the range.
#[must_use]
#[track_caller]
pub fn columns(x: &Tensor, range: Range<usize>) -> Tensor {
    let from = x.width();
    let inside = range.start <= range.end && range.end <= from;
    assert!(inside, "columns: {range:?} of {:?}", x.shape());
    let width = range.len();
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return gpu_rows::columns(gpu, x, &range);
    }
    let mut out = Tensor::unspecified(x.device(), &with_width(x, width));
    let cpu = x.device().on_cpu();
    for_each_mut(cpu, out.data_mut(), width, |first, out| {
        let x = &x.data()[first * from..];
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(from)) {
            out.copy_from_slice(&x[range.clone()]);
        }
    });
    out
}

/// Rows of `x` `[.., W]` in another order, some perhaps never, some repeatedly: `[rows.len(), W]`.
///
/// # Panics
/// If there is no such row.
#[must_use]
#[track_caller]
pub fn gather_rows(x: &Tensor, rows: &[usize]) -> Tensor {
    if let Some(row) = rows.iter().find(|&&row| row >= x.rows()) {
        panic!("gather_rows: row {row} of {:?}", x.shape());
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return gpu_rows::gather_rows(gpu, x, rows);
    }
    let width = x.width();
    let mut out = Tensor::unspecified(x.device(), &[rows.len(), width]);
    let cpu = x.device().on_cpu();
    for_each_mut(cpu, out.data_mut(), width, |first, out| {
        for (out, &row) in out.chunks_exact_mut(width).zip(&rows[first..]) {
            out.copy_from_slice(&x.data()[row * width..][..width]);
        }
    });
    out
}

/// The rows of all `parts`, one after the other: `[sum of rows, W]`.
///
/// # Panics
/// If there is no part, or their widths differ.
#[must_use]
#[track_caller]
pub fn concat_rows(parts: &[&Tensor]) -> Tensor {
    let first = parts.first().expect("concat_rows: at least one part");
    let width = first.width();
    for part in parts {
        assert_eq!(
            part.width(),
            width,
            "concat_rows: {:?} after {:?}",
            part.shape(),
            first.shape()
        );
    }
    let rows = parts.iter().map(|part| part.rows()).sum();
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = first.device().on_gpu() {
        return gpu_rows::concat_rows(gpu, parts, &[rows, width]);
    }
    let mut out = Tensor::unspecified(first.device(), &[rows, width]);
    let mut rest = out.data_mut();
    for part in parts {
        let (to, after) = rest.split_at_mut(part.data().len());
        to.copy_from_slice(part.data());
        rest = after;
    }
    out
}

/// The transpose of `x` `[R, C]`: `[C, R]`.
///
/// # Panics
/// If `x` is not a matrix.
#[must_use]
#[track_caller]
pub fn transpose(x: &Tensor) -> Tensor {
    let &[rows, columns] = x.shape() else {
        panic!("transpose: a matrix, found {:?}", x.shape())
    };
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return gpu_rows::transpose(gpu, x, [rows, columns]);
    }
    let mut out = Tensor::unspecified(x.device(), &[columns, rows]);
    let cpu = x.device().on_cpu();
    for_each_mut(cpu, out.data_mut(), rows, |first, out| {
        // Tiles whose lines of cache are all still there when the next number of each is wanted.
        const TILE: usize = 16;
        for (tile, out) in out.chunks_mut(TILE * rows).enumerate() {
            let column = first + tile * TILE;
            for row in (0..rows).step_by(TILE) {
                for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                    for r in row..rows.min(row + TILE) {
                        out[r] = x.data()[r * columns + column + c];
                    }
                }
            }
        }
    });
    out
}

/// The mean of the rows of each span of `x` `[.., W]`: `[spans.len(), W]`.
///
/// # Panics
/// If a span is empty or ends beyond `x`.
#[must_use]
#[track_caller]
pub fn mean_rows(x: &Tensor, spans: &[Range<usize>]) -> Tensor {
    for span in spans {
        let inside = span.start < span.end && span.end <= x.rows();
        assert!(inside, "mean_rows: rows {span:?} of {:?}", x.shape());
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return gpu_rows::mean_rows(gpu, x, spans);
    }
    let width = x.width();
    let mut out = Tensor::zeros(x.device(), &[spans.len(), width]);
    let cpu = x.device().on_cpu();
    cpu.pool.for_rows(out.data_mut(), width, 1, |first, out| {
        for (out, span) in out.chunks_exact_mut(width).zip(&spans[first..]) {
            for row in x.data()[span.start * width..span.end * width].chunks_exact(width) {
                add_to(cpu.isa, out, row);
            }
            scale_to(cpu.isa, out, 1.0 / span.len() as f32);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn counting(shape: &[usize]) -> Tensor {
        let numbers = (0..shape.iter().product::<usize>())
            .map(|i| i as f32)
            .collect();
        Tensor::from_vec(&Device::cpu(), shape, numbers)
    }

    #[test]
    fn rows_are_picked_cut_and_joined() {
        let x = counting(&[3, 2]);
        assert_eq!(
            gather_rows(&x, &[2, 0, 2]).into_vec().unwrap(),
            [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]
        );
        let column = columns(&counting(&[3, 1, 2]), 1..2);
        assert_eq!(column.shape(), [3, 1, 1]);
        assert_eq!(column.into_vec().unwrap(), [1.0, 3.0, 5.0]);
        let joined = concat_rows(&[&x, &counting(&[1, 2])]);
        assert_eq!(joined.shape(), [4, 2]);
        assert_eq!(joined.into_vec().unwrap()[4..], [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(columns(&x, 1..1).shape(), [3, 0]);
        assert_eq!(gather_rows(&x, &[]).shape(), [0, 2]);
    }

    #[test]
    fn a_transpose_twice_is_nothing() {
        for (rows, width) in [(1, 1), (3, 70), (65, 33), (200, 170)] {
            let x = counting(&[rows, width]);
            let t = transpose(&x);
            assert_eq!(t.shape(), [width, rows]);
            assert_eq!(t.data()[(width - 1) * rows], (width - 1) as f32);
            assert_eq!(transpose(&t).data(), x.data());
        }
    }

    #[test]
    fn means() {
        let x = counting(&[4, 2]);
        let mean = mean_rows(&x, &[0..2, 3..4]);
        assert_eq!(mean.into_vec().unwrap(), [1.0, 2.0, 6.0, 7.0]);
    }

    #[test]
    #[should_panic(expected = "mean_rows: rows 2..2 of [4, 2]")]
    fn nothing_has_no_mean() {
        let _ = mean_rows(&counting(&[4, 2]), std::slice::from_ref(&(2..2)));
    }

    #[test]
    #[should_panic(expected = "gather_rows: row 3 of [3, 2]")]
    fn a_row_that_is_not_there() {
        let _ = gather_rows(&counting(&[3, 2]), &[3]);
    }
}
