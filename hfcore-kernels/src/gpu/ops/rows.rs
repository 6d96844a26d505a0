//! Numbers in another order, and means of rows.
//!
//! Everything that only moves numbers is one kernel, `copy.wgsl`: columns, rows by their numbers, parts of a
//! concatenation, a convolution's windows and an image's squares. A transpose goes through workgroup memory
//! instead, `transpose.wgsl`. Which rows are taken, and which spans are averaged, are words of the step.

use std::ops::Range;

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Variant};
use crate::rows::with_width;

use super::elementwise::BLOCK;
use super::word;

/// Numbers of `x`, in another order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    /// Which numbers.
    pub(crate) from: From,
    /// The tensor.
    pub(crate) x: Operand,
    /// Numbers of the result.
    pub(crate) count: u32,
    /// Numbers of a row of the result.
    pub(crate) width: u32,
}

/// Where the numbers of a copy come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum From {
    /// Rows of `width`, each from its number `start`.
    Columns {
        /// Numbers of a row of the tensor.
        width: u32,
        /// The first that is taken.
        start: u32,
    },
    /// The rows whose numbers these words are.
    Rows(Operand),
    /// The windows of a convolution over `[B, T, C]`, in the order of its weight `[C, k]`.
    Windows {
        /// `T`.
        len: u32,
        /// `k`.
        kernel: u32,
        /// Windows of a sequence.
        windows: u32,
        /// From one window to the next.
        stride: u32,
        /// Zeros before the first position.
        padding: u32,
        /// `C`.
        channels: u32,
    },
    /// The squares of images `[B, C, H, W]`.
    Patches {
        /// `[H, W]`.
        size: [u32; 2],
        /// Squares down and across.
        squares: [u32; 2],
        /// The side of a square.
        patch: u32,
        /// `C`.
        channels: u32,
    },
}

impl From {
    /// The define `FROM` of the kernel.
    const fn define(&self) -> u32 {
        match self {
            Self::Columns { .. } => 0,
            Self::Rows(_) => 1,
            Self::Windows { .. } => 3,
            Self::Patches { .. } => 4,
        }
    }

    fn params(&self) -> Vec<u32> {
        match *self {
            Self::Columns { width, start } => vec![width, start],
            Self::Rows(_) => Vec::new(),
            Self::Windows {
                len,
                kernel,
                windows,
                stride,
                padding,
                channels,
            } => vec![len, kernel, windows, stride, padding, channels],
            Self::Patches {
                size: [height, width],
                squares: [down, across],
                patch,
                channels,
            } => vec![height, width, down, across, patch, channels],
        }
    }
}

/// `FROM` of a part of a concatenation.
const PART: u32 = 2;

fn copy_variant(from: u32) -> Variant {
    Variant::new("copy", [("FROM", from)])
}

impl Operation for Copy {
    fn operands(&self) -> Vec<&Operand> {
        let mut operands = vec![&self.x];
        if let From::Rows(rows) = &self.from {
            operands.push(rows);
        }
        operands
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let mut bindings = vec![(&self.x).into(), (&outputs[0]).into()];
        if let From::Rows(rows) = &self.from {
            bindings.push(rows.into());
        }
        let mut params = vec![self.count, self.width];
        params.extend(self.from.params());
        planner.call(Call {
            variant: copy_variant(self.from.define()),
            bindings,
            params,
            grid: Grid::linear((self.count as usize).div_ceil(BLOCK)),
        });
    }
}

/// Tensors one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Concat {
    /// Each, and its numbers.
    pub(crate) parts: Vec<(Operand, u32)>,
}

impl Operation for Concat {
    fn operands(&self) -> Vec<&Operand> {
        self.parts.iter().map(|(part, _)| part).collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let mut offset = 0;
        for &(ref part, count) in &self.parts {
            planner.call(Call {
                variant: copy_variant(PART),
                bindings: vec![part.into(), (&outputs[0]).into()],
                params: vec![count, count, offset],
                grid: Grid::linear((count as usize).div_ceil(BLOCK)),
            });
            offset += count;
        }
    }
}

/// The transpose of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transpose {
    /// `[rows, columns]`.
    pub(crate) x: Operand,
    /// Of `x`.
    pub(crate) rows: u32,
    /// Of `x`.
    pub(crate) columns: u32,
}

impl Operation for Transpose {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.x]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let tiles = |n: u32| (n as usize).div_ceil(16);
        planner.call(Call {
            variant: Variant::new("transpose", []),
            bindings: vec![(&self.x).into(), (&outputs[0]).into()],
            params: vec![self.rows, self.columns],
            grid: Grid::linear(tiles(self.rows) * tiles(self.columns)),
        });
    }
}

/// The means of spans of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MeanRows {
    /// `[.., width]`.
    pub(crate) x: Operand,
    /// The first row and the end of each span.
    pub(crate) spans: Operand,
    /// How many spans.
    pub(crate) count: u32,
    /// Numbers of a row.
    pub(crate) width: u32,
}

impl Operation for MeanRows {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.x, &self.spans]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let across = (self.width as usize).div_ceil(32);
        planner.call(Call {
            variant: Variant::new("mean_rows", []),
            bindings: vec![(&self.x).into(), (&outputs[0]).into(), (&self.spans).into()],
            params: vec![self.width, self.count],
            grid: Grid::linear(across * self.count as usize),
        });
    }
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let others = ["transpose", "mean_rows"].map(|name| Variant::new(name, []));
    (0..5).map(copy_variant).chain(others).collect()
}

/// A copy of this shape; nothing is recorded where it has no numbers.
pub(super) fn copy(gpu: &Gpu, x: &Tensor, from: From, shape: &[usize]) -> Tensor {
    let numbers = shape.iter().product::<usize>();
    let mut r = gpu.recording();
    let op = Copy {
        from,
        x: r.operand(x),
        count: word(numbers),
        width: word(shape.last().copied().unwrap_or(1)),
    };
    r.push_one(x.device(), op, shape)
}

/// The numbers `range` of each row.
pub(crate) fn columns(gpu: &Gpu, x: &Tensor, range: &Range<usize>) -> Tensor {
    let shape = with_width(x, range.len());
    if x.rows() * range.len() == 0 {
        return Tensor::from_vec(x.device(), &shape, Vec::new());
    }
    let from = From::Columns {
        width: word(x.width()),
        start: word(range.start),
    };
    copy(gpu, x, from, &shape)
}

/// Rows by their numbers. All rows in order are `x` itself.
pub(crate) fn gather_rows(gpu: &Gpu, x: &Tensor, rows: &[usize]) -> Tensor {
    let width = x.width();
    let shape = [rows.len(), width];
    if rows.len() * width == 0 {
        return Tensor::from_vec(x.device(), &shape, Vec::new());
    }
    if rows.iter().copied().eq(0..x.rows()) {
        return x.clone().reshape(&shape);
    }
    let mut r = gpu.recording();
    let words: Vec<u32> = rows.iter().map(|&row| word(row)).collect();
    let op = Copy {
        from: From::Rows(r.words(&words, words.len())),
        x: r.operand(x),
        count: word(rows.len() * width),
        width: word(width),
    };
    r.push_one(x.device(), op, &shape)
}

/// The rows of all parts, of one width.
pub(crate) fn concat_rows(gpu: &Gpu, parts: &[&Tensor], shape: &[usize]) -> Tensor {
    let device = parts[0].device();
    if shape.contains(&0) {
        return Tensor::from_vec(device, shape, Vec::new());
    }
    let parts: Vec<_> = parts.iter().filter(|part| part.rows() > 0).collect();
    if let [part] = parts.as_slice() {
        return Tensor::clone(part).reshape(shape);
    }
    let mut r = gpu.recording();
    let part = |part: &&&Tensor| (r.operand(part), word(part.rows() * part.width()));
    let op = Concat {
        parts: parts.iter().map(part).collect(),
    };
    r.push_one(device, op, shape)
}

/// The transpose of `[rows, columns]`.
pub(crate) fn transpose(gpu: &Gpu, x: &Tensor, [rows, columns]: [usize; 2]) -> Tensor {
    let shape = [columns, rows];
    if rows * columns == 0 {
        return Tensor::from_vec(x.device(), &shape, Vec::new());
    }
    let mut r = gpu.recording();
    let op = Transpose {
        x: r.operand(x),
        rows: word(rows),
        columns: word(columns),
    };
    r.push_one(x.device(), op, &shape)
}

/// The mean of the rows of each span.
pub(crate) fn mean_rows(gpu: &Gpu, x: &Tensor, spans: &[Range<usize>]) -> Tensor {
    let shape = [spans.len(), x.width()];
    if spans.len() * x.width() == 0 {
        return Tensor::from_vec(x.device(), &shape, Vec::new());
    }
    let words: Vec<u32> = spans
        .iter()
        .flat_map(|span| [word(span.start), word(span.end)])
        .collect();
    let mut r = gpu.recording();
    let op = MeanRows {
        spans: r.words(&words, words.len()),
        x: r.operand(x),
        count: word(spans.len()),
        width: word(x.width()),
    };
    r.push_one(x.device(), op, &shape)
}
