//! How matrices lie in the device's memory.
//!
//! A row of a matrix `[O, I]` is the numbers of one output, in the order of the inputs, in vectors of 16 bytes
//! that a lane loads at once; the last one of a row is padded. Rows lie behind each other; behind all rows of
//! a *part* lie their scales:
//!
//! | | vector | padding | scales |
//! |---|---|---|---|
//! | f32 | 4 numbers | 0 | |
//! | f16, bf16 | 8 | 0 | |
//! | int8 | 16, each stored as 128 more | 0 | `f32` `[O]` |
//! | int4 | 32, as in a [`Quantized`]: of eight, k in the lower half of byte k, k + 4 in the upper | 0, to the end of a group | `bf16` `[O, groups]` |
//!
//! A matrix larger than what the device can bind is split by rows into parts of equally many, but for the
//! last. A part is one region, so that a kernel needs one binding for it.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use crate::quant::Plane;
use crate::{DType, DeviceError, Matrix, QuantFormat, Quantized, Weight};

use super::halves::Halves;
use super::{Caps, Gpu, Held, Region};

/// Bytes of the vectors that rows consist of.
const VECTOR: usize = 16;
/// Bytes that are packed before they are staged, by so many threads at most.
const PACKED: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };
const PACK_THREADS: usize = 8;
/// What the rows of a part are a multiple of, where there are several parts: outputs of a panel of a
/// [`Quantized`].
const ROWS: usize = 16;

/// The type of a matrix's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// As published.
    Plain(DType),
    /// In fewer bits.
    Quantized(QuantFormat),
}

impl Format {
    /// What shaders know it by: `DTYPE`.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Plain(DType::F32) => 0,
            Self::Plain(DType::F16) => 1,
            Self::Plain(DType::Bf16) => 2,
            Self::Quantized(QuantFormat::Int8) => 3,
            Self::Quantized(QuantFormat::Int4(_)) => 4,
        }
    }

    /// Numbers of a vector of 16 bytes.
    pub(crate) const fn per_vector(self) -> usize {
        match self {
            Self::Plain(dtype) => VECTOR / dtype.size(),
            Self::Quantized(QuantFormat::Int8) => VECTOR,
            Self::Quantized(QuantFormat::Int4(_)) => 2 * VECTOR,
        }
    }

    /// The base-2 logarithm of how many vectors of a row share a scale; 0 where none do.
    pub(crate) const fn group_shift(self) -> u32 {
        match self {
            Self::Quantized(QuantFormat::Int4(group)) => (group.get() / 32).ilog2(),
            Self::Plain(_) | Self::Quantized(QuantFormat::Int8) => 0,
        }
    }
}

/// What a matrix takes, before it is anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    /// Rows.
    pub(crate) outputs: usize,
    /// Numbers of a row, without padding.
    pub(crate) inputs: usize,
}

impl Layout {
    /// Of a weight of any shape: rows along the first dimension.
    pub(crate) fn of_weight(weight: &Weight) -> Self {
        let (outputs, inner) = weight.shape().split_first().unwrap_or((&1, &[]));
        Self {
            format: Format::Plain(weight.dtype()),
            outputs: *outputs,
            inputs: inner.iter().product(),
        }
    }

    /// Of a quantized matrix.
    pub(crate) fn of_quantized(matrix: &Quantized) -> Self {
        let [outputs, inputs] = matrix.shape();
        Self {
            format: Format::Quantized(matrix.format()),
            outputs,
            inputs,
        }
    }

    /// Of a matrix of either kind.
    pub(crate) fn of_matrix(matrix: &Matrix) -> Self {
        match matrix {
            Matrix::Plain(weight) => Self::of_weight(weight),
            Matrix::Quantized(matrix) => Self::of_quantized(matrix),
        }
    }

    /// Vectors of a row.
    pub(crate) const fn vectors(&self) -> usize {
        let padded = match self.format {
            Format::Quantized(QuantFormat::Int4(group)) => {
                self.inputs.next_multiple_of(group.get())
            }
            Format::Plain(_) | Format::Quantized(QuantFormat::Int8) => self.inputs,
        };
        padded.div_ceil(self.format.per_vector())
    }

    /// Whether rows have padding, so that more numbers are read of them than there are inputs.
    pub(crate) const fn is_ragged(&self) -> bool {
        self.vectors() * self.format.per_vector() != self.inputs
    }

    /// Bytes of the numbers of `rows`.
    pub(crate) const fn value_bytes(&self, rows: usize) -> usize {
        rows * self.vectors() * VECTOR
    }

    /// Bytes of the scales of `rows`, in whole vectors.
    pub(crate) const fn scale_bytes(&self, rows: usize) -> usize {
        let bytes = match self.format {
            Format::Plain(_) => 0,
            Format::Quantized(QuantFormat::Int8) => rows * 4,
            Format::Quantized(QuantFormat::Int4(_)) => {
                rows * (self.vectors() >> self.format.group_shift()) * 2
            }
        };
        bytes.next_multiple_of(VECTOR)
    }

    /// Bytes of a part of `rows`: numbers, then scales.
    pub(crate) const fn part_bytes(&self, rows: usize) -> usize {
        self.value_bytes(rows) + self.scale_bytes(rows)
    }

    /// Rows of every part but the last.
    ///
    /// # Errors
    /// If the device cannot bind even a few rows.
    pub(crate) fn part_rows(&self, caps: &Caps) -> Result<usize, DeviceError> {
        let limit = usize::try_from(caps.max_binding.min(caps.max_buffer)).unwrap_or(usize::MAX);
        // Regions are made of whole steps of the largest alignment.
        let limit = limit - limit % 256;
        if self.part_bytes(self.outputs) <= limit {
            return Ok(self.outputs);
        }
        let bytes = self.part_bytes(ROWS);
        let rows = limit / bytes.max(1) * ROWS;
        if rows == 0 {
            return Err(DeviceError::TooLarge {
                wanted: bytes,
                limit,
            });
        }
        Ok(rows)
    }

    /// The rows of each part.
    pub(crate) fn parts(&self, part_rows: usize) -> impl Iterator<Item = Range<usize>> {
        let outputs = self.outputs;
        (0..outputs)
            .step_by(part_rows.max(1))
            .map(move |start| start..outputs.min(start + part_rows))
    }
}

/// A matrix that is on the device. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct GpuMatrix {
    key: MatrixKey,
    parts: Arc<[Held]>,
}

/// What a kernel has to know of a matrix. It does not keep it there.
#[derive(Clone, Debug)]
pub(crate) struct MatrixKey(Arc<Keyed>);

#[derive(Debug, PartialEq, Eq)]
struct Keyed {
    layout: Layout,
    part_rows: usize,
    parts: Vec<Region>,
    /// How it becomes halves, where the device multiplies those.
    halves: Option<Halves>,
}

impl MatrixKey {
    /// How it lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Rows of every part but the last.
    pub(crate) fn part_rows(&self) -> usize {
        self.0.part_rows
    }

    /// How it becomes halves, if it can and the device multiplies those.
    pub(crate) fn halves(&self) -> Option<Halves> {
        self.0.halves
    }

    /// The parts: their rows, and where they are.
    pub(crate) fn parts(&self) -> impl ExactSizeIterator<Item = (Range<usize>, &Region)> {
        self.0.parts.iter().enumerate().map(|(i, region)| {
            let start = i * self.0.part_rows;
            let end = self.0.layout.outputs.min(start + self.0.part_rows);
            (start..end, region)
        })
    }
}

impl PartialEq for MatrixKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for MatrixKey {}

impl Hash for MatrixKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Where it begins tells it from all others.
        self.0.parts.first().hash(state);
    }
}

impl GpuMatrix {
    /// Bring a weight to the device.
    pub(crate) fn of_weight(gpu: &Gpu, weight: &Weight) -> Result<Self, DeviceError> {
        let layout = Layout::of_weight(weight);
        if gpu.synthetic_weights {
            return Self::made_up(gpu, layout);
        }
        let halves = || Halves::of_plain(weight.dtype(), weight.bytes());
        Ok(Self::plain(gpu, layout, weight)?.with_halves(gpu, halves))
    }

    /// Where products of halves are what the device does, find out whether and how it becomes those.
    pub(super) fn with_halves(
        mut self,
        gpu: &Gpu,
        halves: impl FnOnce() -> Option<Halves>,
    ) -> Self {
        if let (Some(_), Some(key)) = (gpu.caps().cooperative_matrix, Arc::get_mut(&mut self.key.0))
        {
            key.halves = halves();
        }
        self
    }

    fn plain(gpu: &Gpu, layout: Layout, weight: &Weight) -> Result<Self, DeviceError> {
        let row = layout.inputs * weight.dtype().size();
        if layout.value_bytes(1) == row || layout.outputs == 0 {
            // As it lies in the file.
            let part_rows = layout.part_rows(gpu.caps())?;
            let parts = (layout.parts(part_rows))
                .map(|rows| gpu.upload(&weight.bytes()[rows.start * row..rows.end * row]))
                .collect::<Result<_, _>>()?;
            return Ok(Self::new(layout, part_rows, parts));
        }
        let values = |rows, to: &mut [u8]| pack_plain(&layout, weight.bytes(), rows, to);
        Self::packed(gpu, layout, values, |_, _| ())
    }

    /// Bring a quantized matrix to the device.
    pub(crate) fn of_quantized(gpu: &Gpu, matrix: &Quantized) -> Result<Self, DeviceError> {
        let layout = Layout::of_quantized(matrix);
        if gpu.synthetic_weights {
            return Self::made_up(gpu, layout);
        }
        let planes = matrix.planes();
        let values = |rows, to: &mut [u8]| pack_values(&layout, &planes[0], rows, to);
        let scales = |rows, to: &mut [u8]| pack_scales(&layout, &planes[1], rows, to);
        let halves = || Halves::of_quantized(matrix.format(), planes[1].bytes.as_ref());
        Ok(Self::packed(gpu, layout, values, scales)?.with_halves(gpu, halves))
    }

    /// A matrix of which `values` and `scales` write the bytes of the rows that they are given.
    fn packed(
        gpu: &Gpu,
        layout: Layout,
        values: impl Fn(Range<usize>, &mut [u8]) + Sync,
        scales: impl Fn(Range<usize>, &mut [u8]),
    ) -> Result<Self, DeviceError> {
        let part_rows = layout.part_rows(gpu.caps())?;
        // Panels that are packed at once, by threads that have so much to do that it is worth starting them.
        let block = (PACKED / layout.value_bytes(ROWS).max(1)).max(1) * ROWS;
        let threads = thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .min(PACK_THREADS);
        let mut bytes = Vec::new();
        let mut parts = Vec::new();
        for rows in layout.parts(part_rows) {
            let held = gpu.place(layout.part_bytes(rows.len()).max(VECTOR) as u64)?;
            for start in rows.clone().step_by(block) {
                let block = start..rows.end.min(start + block);
                bytes.resize(layout.value_bytes(block.len()), 0);
                let share = block.len().div_ceil(threads).next_multiple_of(ROWS);
                let shares = bytes.chunks_mut(layout.value_bytes(share).max(1));
                thread::scope(|scope| {
                    for (start, to) in block.clone().step_by(share.max(1)).zip(shares) {
                        let rows = start..block.end.min(start + share);
                        let values = &values;
                        scope.spawn(move || values(rows, to));
                    }
                });
                gpu.fill(&held, layout.value_bytes(start - rows.start) as u64, &bytes)?;
            }
            let end = layout.value_bytes(rows.len()) as u64;
            bytes.resize(layout.scale_bytes(rows.len()), 0);
            if !bytes.is_empty() {
                scales(rows, &mut bytes);
                gpu.fill(&held, end, &bytes)?;
            }
            parts.push(held);
        }
        Ok(Self::new(layout, part_rows, parts))
    }

    /// A matrix whose parts, each of `part_rows` rows but the last, are these.
    pub(crate) fn new(layout: Layout, part_rows: usize, parts: Vec<Held>) -> Self {
        let key = MatrixKey(Arc::new(Keyed {
            layout,
            part_rows,
            parts: parts.iter().map(|part| (**part).clone()).collect(),
            halves: None,
        }));
        Self {
            key,
            parts: parts.into(),
        }
    }

    /// What a node says of it.
    pub(crate) const fn key(&self) -> &MatrixKey {
        &self.key
    }

    /// What keeps it on the device.
    pub(crate) fn held(&self) -> &[Held] {
        &self.parts
    }
}

/// Bring all of `matrix` to byte `at` of `held`, as one part.
pub(crate) fn fill(gpu: &Gpu, matrix: &Matrix, held: &Held, at: u64) -> Result<(), DeviceError> {
    let layout = Layout::of_matrix(matrix);
    let rows = 0..layout.outputs;
    let end = layout.value_bytes(layout.outputs);
    match matrix {
        // As it lies in the file.
        Matrix::Plain(weight) if weight.bytes().len() == end => gpu.fill(held, at, weight.bytes()),
        Matrix::Plain(weight) => {
            let mut bytes = vec![0; end];
            pack_plain(&layout, weight.bytes(), rows, &mut bytes);
            gpu.fill(held, at, &bytes)
        }
        Matrix::Quantized(matrix) => {
            let planes = matrix.planes();
            let mut bytes = vec![0; layout.part_bytes(layout.outputs)];
            let (values, scales) = bytes.split_at_mut(end);
            pack_values(&layout, &planes[0], rows.clone(), values);
            pack_scales(&layout, &planes[1], rows, scales);
            gpu.fill(held, at, &bytes)
        }
    }
}

/// The bytes of `rows` of a plain matrix whose bytes these are.
fn pack_plain(layout: &Layout, bytes: &[u8], rows: Range<usize>, to: &mut [u8]) {
    let Format::Plain(dtype) = layout.format else {
        unreachable!("a plain matrix")
    };
    let row = layout.inputs * dtype.size();
    let from = &bytes[rows.start * row..rows.end * row];
    let padded = layout.value_bytes(1);
    for (to, from) in to.chunks_exact_mut(padded).zip(from.chunks_exact(row)) {
        to[..row].copy_from_slice(from);
        to[row..].fill(0);
    }
}

/// The values of `rows` of a quantized matrix, from its plane.
fn pack_values(layout: &Layout, plane: &Plane, rows: Range<usize>, to: &mut [u8]) {
    // Sixteen outputs lie side by side, four bytes of each; here four bytes of one lie behind each other.
    let line = 4 * ROWS;
    let lines = plane.layout.shape[1];
    // Of int8, bytes become unsigned.
    let flip = match layout.format {
        Format::Quantized(QuantFormat::Int8) => 0x80,
        Format::Plain(_) | Format::Quantized(QuantFormat::Int4(_)) => 0,
    };
    let row_bytes = layout.value_bytes(1).max(1);
    for (row, to) in rows.zip(to.chunks_exact_mut(row_bytes)) {
        let panel = &plane.bytes.as_ref()[row / ROWS * lines * line..][..lines * line];
        let slot = row % ROWS * 4;
        for (to, line) in to
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(panel.chunks_exact(line))
        {
            *to = std::array::from_fn(|i| line[slot + i] ^ flip);
        }
    }
}

/// The scales of `rows` of a quantized matrix, from its plane.
fn pack_scales(layout: &Layout, plane: &Plane, rows: Range<usize>, to: &mut [u8]) {
    let scales = plane.bytes.as_ref();
    if let Format::Quantized(QuantFormat::Int4(_)) = layout.format {
        let groups = plane.layout.shape[1];
        let scales = scales.as_chunks::<2>().0;
        let mut to = to.as_chunks_mut::<2>().0.iter_mut();
        for row in rows {
            let panel = &scales[row / ROWS * groups * ROWS..][..groups * ROWS];
            let of_row = panel.iter().skip(row % ROWS).step_by(ROWS);
            for (scale, to) in of_row.zip(&mut to) {
                *to = *scale;
            }
        }
    } else {
        // Panels of sixteen scales, one behind the other.
        let from = &scales[rows.start * 4..rows.end * 4];
        to[..from.len()].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
    }

    /// The numbers of a part, as a shader reads them.
    fn widened(layout: &Layout, rows: usize, bytes: &[u8]) -> Vec<f32> {
        let (values, scales) = bytes.split_at(layout.value_bytes(rows));
        let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
        let mut found = Vec::new();
        for row in 0..rows {
            let values = &values[row * layout.value_bytes(1)..];
            for k in 0..layout.inputs {
                found.push(match layout.format {
                    Format::Plain(DType::F32) => {
                        f32::from_le_bytes(values[4 * k..][..4].try_into().unwrap())
                    }
                    Format::Plain(DType::F16) => {
                        half::f16::from_bits(half(&values[2 * k..])).to_f32()
                    }
                    Format::Plain(DType::Bf16) => {
                        half::bf16::from_bits(half(&values[2 * k..])).to_f32()
                    }
                    Format::Quantized(QuantFormat::Int8) => {
                        let scale = f32::from_le_bytes(scales[4 * row..][..4].try_into().unwrap());
                        scale * (f32::from(values[k]) - 128.0)
                    }
                    Format::Quantized(QuantFormat::Int4(_)) => {
                        let groups = layout.vectors() >> layout.format.group_shift();
                        let group = (k / 32) >> layout.format.group_shift();
                        let scale = half(&scales[2 * (row * groups + group)..]);
                        let byte = values[k / 8 * 4 + k % 4];
                        let q = if k % 8 < 4 { byte & 15 } else { byte >> 4 };
                        half::bf16::from_bits(scale).to_f32() * (f32::from(q) - 8.0)
                    }
                });
            }
        }
        found
    }

    #[test]
    fn parts_hold_the_numbers_of_their_rows() {
        for inputs in [1, 5, 32, 33, 128, 200] {
            let weight = Weight::from_f32(&[37, inputs], &numbers(37 * inputs));
            for dtype in [DType::F32, DType::F16, DType::Bf16] {
                let weight = weight.to_dtype(dtype);
                let layout = Layout::of_weight(&weight);
                for rows in [0..37, 16..32, 32..37] {
                    let mut bytes = vec![0xaa; layout.part_bytes(rows.len())];
                    pack_plain(&layout, weight.bytes(), rows.clone(), &mut bytes);
                    assert_eq!(
                        widened(&layout, rows.len(), &bytes),
                        weight.rows(rows).to_f32()
                    );
                }
            }
            for format in ["int8", "int4", "int4-64", "int4-128"] {
                let format = format.parse().unwrap();
                let matrix = Quantized::quantize(&weight, format, &Device::cpu()).unwrap();
                let layout = Layout::of_quantized(&matrix);
                for rows in [0..37, 16..32, 32..37] {
                    let mut bytes = vec![0xaa; layout.part_bytes(rows.len())];
                    let (values, scales) = bytes.split_at_mut(layout.value_bytes(rows.len()));
                    pack_values(&layout, &matrix.planes()[0], rows.clone(), values);
                    pack_scales(&layout, &matrix.planes()[1], rows.clone(), scales);
                    let expected = matrix.rows(rows.clone()).to_f32();
                    assert_eq!(
                        widened(&layout, rows.len(), &bytes),
                        expected,
                        "{format} {inputs}"
                    );
                }
            }
        }
    }

    #[test]
    fn parts_fit_what_can_be_bound() {
        let caps = Caps {
            max_binding: 1 << 20,
            ..crate::gpu::testing::caps()
        };
        let layout = |format, outputs, inputs| Layout {
            format,
            outputs,
            inputs,
        };
        let bf16 = Format::Plain(DType::Bf16);
        // 1 KiB a row: 1024 rows fit.
        assert_eq!(layout(bf16, 1024, 512).part_rows(&caps).unwrap(), 1024);
        assert_eq!(layout(bf16, 1025, 512).part_rows(&caps).unwrap(), 1024);
        let parts: Vec<_> = layout(bf16, 2500, 512).parts(1024).collect();
        assert_eq!(parts, [0..1024, 1024..2048, 2048..2500]);
        // 544 bytes a row with its scales, in sixteens.
        let int4 = Format::Quantized("int4".parse().unwrap());
        assert_eq!(layout(int4, 5000, 1024).part_rows(&caps).unwrap(), 1808);
        assert!(layout(bf16, 17, 1 << 17).part_rows(&caps).is_err());
        assert_eq!(layout(bf16, 0, 0).parts(0).count(), 0);
    }
}
