//! A quantized matrix: its planes, made by quantizing or mapped from a file.

use std::ops::Range;

use half::bf16;

use super::QuantFormat;
use super::format::{LINE, PANEL, PlaneLayout};
#[cfg(feature = "wgpu")]
use crate::gpu::GpuMatrix;
use crate::{Bytes, Device, DeviceError};

/// A matrix `[O, I]` of few bits a weight, packed for the products of every instruction set.
///
/// Made by [`quantize`](Self::quantize), or from the planes of one that was
/// ([`from_planes`](Self::from_planes)). Cloning shares the planes.
///
/// ```
/// use hfcore_kernels::{Device, QuantFormat, Quantized, Tensor, Weight, linear};
///
/// let device = Device::cpu();
/// let weight = Weight::from_f32(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.25]);
/// let matrix = Quantized::quantize(&weight, QuantFormat::Int8, &device)?;
/// let x = Tensor::from_vec(&device, &[1, 3], vec![1.0; 3]);
/// let y = linear(&x, &matrix, None).into_vec()?;
/// assert!((y[0] - 6.0).abs() < 0.05 && (y[1] + 0.25).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Quantized {
    pub(super) format: QuantFormat,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) planes: Planes,
}

/// Where the planes are.
#[derive(Clone, Debug)]
pub(super) enum Planes {
    Host {
        values: Bytes,
        scales: Bytes,
    },
    #[cfg(feature = "wgpu")]
    Gpu(GpuMatrix),
}

/// Why a matrix could not be quantized, or planes are none of a quantized matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// No format has this name.
    #[error("unknown quantization {0}: int8, int4, int4-64 or int4-128 is expected")]
    UnknownFormat(String),
    /// Only matrices are quantized.
    #[error("a matrix [O, I] is expected to be quantized, found the shape {0:?}")]
    NoMatrix(Vec<usize>),
    /// More inputs than sums of products fit for, or more numbers than memory has.
    #[error("a matrix [{outputs}, {inputs}] is too large to be quantized")]
    TooLarge {
        /// `O`.
        outputs: usize,
        /// `I`.
        inputs: usize,
    },
    /// A weight that no scale can represent.
    #[error("row {row} of the matrix has a number that is not finite")]
    NotFinite {
        /// The first such row.
        row: usize,
    },
    /// A plane that is not there.
    #[error("the plane {plane} is missing")]
    MissingPlane {
        /// Its name.
        plane: &'static str,
    },
    /// A plane of another size.
    #[error("the plane {plane} has {found} bytes where {expected} are expected")]
    PlaneSize {
        /// Its name.
        plane: &'static str,
        /// Bytes of the format and shape.
        expected: usize,
        /// Bytes of the plane.
        found: usize,
    },
    /// A scale that no weights have.
    #[error("a scale of the outputs {first} to {last} is not finite")]
    BadScale {
        /// The first output of the panel it is in.
        first: usize,
        /// The last.
        last: usize,
    },
}

/// One of the byte planes of a [`Quantized`] matrix.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plane {
    /// What it is.
    pub layout: PlaneLayout,
    /// Its numbers, little-endian.
    pub bytes: Bytes,
}

impl Quantized {
    /// The matrix whose planes are these, by their names.
    ///
    /// The bytes are used where they lie: a memory map serves. They are fastest where each plane begins
    /// with a cache line. Every scale is read; values are not, since any bytes are values.
    ///
    /// # Errors
    /// If a plane of the [format](QuantFormat::planes) is missing or has another size, or a scale is not
    /// finite.
    pub fn from_planes(
        format: QuantFormat,
        [outputs, inputs]: [usize; 2],
        planes: &[(&str, Bytes)],
    ) -> Result<Self, QuantError> {
        let [values, scales] = format.planes([outputs, inputs])?;
        let find = |layout: &PlaneLayout| {
            let plane = layout.name;
            let (_, bytes) = planes
                .iter()
                .find(|(name, _)| *name == plane)
                .ok_or(QuantError::MissingPlane { plane })?;
            let (expected, found) = (layout.bytes_len(), bytes.as_ref().len());
            if found != expected {
                return Err(QuantError::PlaneSize {
                    plane,
                    expected,
                    found,
                });
            }
            Ok(bytes.clone())
        };
        let matrix = Self {
            format,
            outputs,
            inputs,
            planes: Planes::Host {
                values: find(&values)?,
                scales: find(&scales)?,
            },
        };
        matrix.check_scales()?;
        Ok(matrix)
    }

    fn check_scales(&self) -> Result<(), QuantError> {
        // Not finite is what has all bits of the exponent, in the upper half of the number.
        let special = |[low, high]: [u8; 2]| u16::from_le_bytes([low, high]) & 0x7f80 == 0x7f80;
        for panel in 0..self.panels() {
            let bytes = self.panel(panel).scales;
            // Without an early end, so that it becomes a loop over vectors.
            let bad = match self.format {
                QuantFormat::Int8 => (bytes.as_chunks().0.iter())
                    .fold(false, |bad, [_, _, low, high]| bad | special([*low, *high])),
                QuantFormat::Int4(_) => {
                    (bytes.as_chunks().0.iter()).fold(false, |bad, upper| bad | special(*upper))
                }
            };
            if bad {
                let first = panel * PANEL;
                let last = self.outputs.min(first + PANEL) - 1;
                return Err(QuantError::BadScale { first, last });
            }
        }
        Ok(())
    }

    /// The matrix where `device` computes: itself for the CPU, a copy in its memory for a GPU, which can only
    /// be computed with.
    ///
    /// # Errors
    /// If the device's memory does not suffice, or it cannot hold even a few rows of this matrix.
    ///
    /// # Panics
    /// If it is on another device's memory already.
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Self, DeviceError> {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = device.on_gpu() {
            let matrix = GpuMatrix::of_quantized(gpu, self)?;
            return Ok(Self {
                planes: Planes::Gpu(matrix),
                ..self.clone()
            });
        }
        let _ = (device, self.host());
        Ok(self.clone())
    }

    /// What it is in a GPU's memory.
    ///
    /// # Panics
    /// If it is not there.
    #[cfg(feature = "wgpu")]
    #[track_caller]
    pub(crate) fn on_gpu(&self) -> &GpuMatrix {
        match &self.planes {
            Planes::Gpu(matrix) => matrix,
            Planes::Host { .. } => panic!(
                "a quantized matrix {:?} in the CPU's memory was given to an operation on a GPU: Quantized::to_device brings it there",
                self.shape()
            ),
        }
    }

    /// The values and the scales.
    #[track_caller]
    fn host(&self) -> [&Bytes; 2] {
        match &self.planes {
            Planes::Host { values, scales } => [values, scales],
            #[cfg(feature = "wgpu")]
            Planes::Gpu(_) => panic!("the planes of a quantized matrix in a GPU's memory"),
        }
    }

    /// How the numbers are stored.
    #[must_use]
    pub const fn format(&self) -> QuantFormat {
        self.format
    }

    /// `[O, I]`, without what the planes are padded with.
    #[must_use]
    pub const fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Bytes of all planes: what one product of few rows reads.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        let planes = self.format.layout(self.shape());
        planes.iter().map(PlaneLayout::bytes_len).sum()
    }

    /// The planes, to be written to a file: `values`, then `scales`.
    ///
    /// # Panics
    /// If it was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn planes(&self) -> [Plane; 2] {
        let [values, scales] = self.format.layout(self.shape());
        let [host_values, host_scales] = self.host();
        [(values, host_values), (scales, host_scales)].map(|(layout, bytes)| Plane {
            layout,
            bytes: bytes.clone(),
        })
    }

    /// The outputs `range`, without copying.
    ///
    /// # Panics
    /// If the range does not begin at a multiple of 16, or ends at none and before the last output:
    /// sixteen outputs lie in each other. (To cut elsewhere, cut the weight before it is quantized.)
    #[must_use]
    #[track_caller]
    pub fn rows(&self, range: Range<usize>) -> Self {
        let inside = range.start <= range.end && range.end <= self.outputs;
        let whole = range.start.is_multiple_of(PANEL)
            && (range.end.is_multiple_of(PANEL) || range.end == self.outputs);
        assert!(
            inside && whole,
            "Quantized::rows: {range:?} of {:?}, in sixteens",
            self.shape()
        );
        let inputs = self.format.padded(self.inputs);
        let panels = range.start / PANEL..range.end.div_ceil(PANEL);
        let [values, scales] = self.host();
        let cut = |bytes: &Bytes, size: usize| bytes.slice(panels.start * size..panels.end * size);
        Self {
            format: self.format,
            outputs: range.len(),
            inputs: self.inputs,
            planes: Planes::Host {
                values: cut(values, self.format.panel_bytes(inputs)),
                scales: cut(scales, self.format.panel_scale_bytes(inputs)),
            },
        }
    }

    /// The numbers that the planes stand for, `[O, I]`, each rounded once: `scale * q`.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut to = vec![0.0; self.outputs * self.inputs];
        if self.inputs > 0 {
            for (panel, to) in to.chunks_mut(PANEL * self.inputs).enumerate() {
                self.widen_panel(panel, to);
            }
        }
        to
    }

    /// The outputs of a panel, as [`to_f32`](Self::to_f32); the last panel may have fewer than sixteen.
    pub(super) fn widen_panel(&self, panel: usize, to: &mut [f32]) {
        let from = self.panel(panel);
        let (lines, _) = from.values.as_chunks::<LINE>();
        let four = |line: &[u8; LINE], o: usize| -> [u8; 4] { line.as_chunks().0[o] };
        for (o, to) in to.chunks_exact_mut(self.inputs).enumerate() {
            match self.format {
                QuantFormat::Int8 => {
                    let scale = f32::from_le_bytes(from.scales.as_chunks().0[o]);
                    for (to, line) in to.chunks_mut(4).zip(lines) {
                        for (to, q) in to.iter_mut().zip(four(line, o)) {
                            *to = scale * f32::from(q.cast_signed());
                        }
                    }
                }
                QuantFormat::Int4(group) => {
                    let group = group.get();
                    let groups = to.chunks_mut(group).zip(lines.chunks_exact(group / 8));
                    for (g, (to, lines)) in groups.enumerate() {
                        let scale = from.scales.as_chunks().0[g * PANEL + o];
                        let scale = bf16::from_le_bytes(scale).to_f32();
                        for (to, line) in to.chunks_mut(8).zip(lines) {
                            let pairs = four(line, o);
                            let halves = pairs
                                .map(|q| q & 15)
                                .into_iter()
                                .chain(pairs.map(|q| q >> 4));
                            for (to, q) in to.iter_mut().zip(halves) {
                                *to = scale * (f32::from(q) - 8.0);
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Bytes of the values of a panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.format.panel_bytes(self.format.padded(self.inputs))
    }

    pub(super) fn panel(&self, index: usize) -> Panel<'_> {
        self.all().get(index)
    }

    /// All panels, where they are found at once: whoever owns the planes is asked for them here alone.
    pub(super) fn all(&self) -> Panels<'_> {
        let inputs = self.format.padded(self.inputs);
        let [values, scales] = self.host().map(AsRef::as_ref);
        Panels {
            values,
            scales,
            value_bytes: self.format.panel_bytes(inputs),
            scale_bytes: self.format.panel_scale_bytes(inputs),
        }
    }
}

/// The panels of a matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels<'a> {
    values: &'a [u8],
    scales: &'a [u8],
    /// Of a panel.
    value_bytes: usize,
    scale_bytes: usize,
}

impl<'a> Panels<'a> {
    pub(super) fn get(&self, index: usize) -> Panel<'a> {
        Panel {
            values: &self.values[index * self.value_bytes..][..self.value_bytes],
            scales: &self.scales[index * self.scale_bytes..][..self.scale_bytes],
        }
    }
}

/// Sixteen outputs of a matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel<'a> {
    /// Lines of 64 bytes, see [`QuantFormat::planes`].
    pub(super) values: &'a [u8],
    /// int8: sixteen `f32`. int4: sixteen `bf16` for each group.
    pub(super) scales: &'a [u8],
}
