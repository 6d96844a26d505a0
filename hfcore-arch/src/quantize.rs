//! Quantizing while a model is loaded: which matrices, in which format, and what becomes of them.
//!
//! Quantized are the matrices that a step multiplies with: those of [`Linear`](crate::blocks::Linear) in
//! the body, those of experts, and the language-model head, which keeps eight bits where the body has
//! four. Never quantized are embeddings (their rows are looked up, in the published table), routers,
//! convolutions, poolers, heads of classes, and whatever is no matrix.
//!
//! Planes that an earlier load made are used where they lie; the rest are made from the checkpoint, and
//! returned so that the caller may keep them. Nothing is read or written here.

use std::sync::{Mutex, OnceLock, PoisonError};

use hfcore_kernels::{
    Bytes, DType, Device, Matrix, Plane, PlaneType, QuantError, QuantFormat, Quantized, Weight,
};
use hfcore_weights::{DType as Stored, TensorView, Weights};

/// How matrices are quantized while a model is loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Quantize {
    /// The format of the body's matrices.
    pub format: QuantFormat,
    /// What an earlier load made of the same checkpoint: [`QuantizeReport::made`], by name. A matrix that
    /// is not there, or not whole, is made anew.
    pub packed: Option<Weights>,
    /// Keep the numbers that the planes stand for, in f32, instead of the planes: what quantizing alone
    /// does to a model, computed by the kernels of f32.
    pub widened: bool,
}

impl Quantize {
    /// Quantize to this format.
    #[must_use]
    pub const fn new(format: QuantFormat) -> Self {
        Self {
            format,
            packed: None,
            widened: false,
        }
    }

    /// Use these planes, where they fit.
    #[must_use]
    pub fn with_packed(mut self, packed: Option<Weights>) -> Self {
        self.packed = packed;
        self
    }

    /// Keep the quantized numbers in f32.
    #[must_use]
    pub const fn with_widened(mut self, widened: bool) -> Self {
        self.widened = widened;
        self
    }

    const fn format_of(&self, part: Part) -> QuantFormat {
        match part {
            Part::Body => self.format,
            Part::Head => QuantFormat::Int8,
        }
    }
}

/// Where in a model a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In its layers.
    Body,
    /// At its end, where its outputs are tokens: eight bits, also where the body has four.
    Head,
}

/// What was quantized.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeReport {
    /// The format of the body's matrices.
    pub format: QuantFormat,
    /// Matrices in a quantized format.
    pub matrices: usize,
    /// Bytes of their planes.
    pub bytes: u64,
    /// The planes of those that were not in [`Quantize::packed`], under `TENSOR.PLANE`.
    pub made: Vec<(String, TensorView)>,
}

/// One load's quantizing.
#[derive(Debug)]
pub(crate) struct Quantizer<'a> {
    options: &'a Quantize,
    report: Mutex<QuantizeReport>,
    /// The CPU that quantizes for a GPU.
    host: OnceLock<Device>,
}

impl<'a> Quantizer<'a> {
    pub(crate) fn new(options: &'a Quantize) -> Self {
        let report = QuantizeReport {
            format: options.format,
            matrices: 0,
            bytes: 0,
            made: Vec::new(),
        };
        Self {
            options,
            report: Mutex::new(report),
            host: OnceLock::new(),
        }
    }

    pub(crate) fn finish(self) -> QuantizeReport {
        self.report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The matrix `name` of `shape` in the host's memory, from its planes if they are there, else from
    /// `weight`, on the threads of `device` or the host's.
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        part: Part,
        device: &Device,
        weight: impl FnOnce() -> Weight,
    ) -> Result<Matrix, QuantError> {
        let format = self.options.format_of(part);
        let (matrix, made) = match self.packed(name, format, shape) {
            Some(matrix) => (matrix, false),
            None => {
                let weight = weight();
                // What is missing is reported by the loader; a placeholder takes its place until then.
                if weight.shape() != shape {
                    return Ok(weight.into());
                }
                let host = match device.is_wgpu() {
                    true => self.host.get_or_init(Device::cpu),
                    false => device,
                };
                (Quantized::quantize(&weight, format, host)?, true)
            }
        };
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.matrices += 1;
        report.bytes += matrix.bytes_len() as u64;
        if made {
            let planes = matrix.planes().into_iter();
            report
                .made
                .extend(planes.map(|plane| (plane_name(name, plane.layout.name), to_view(&plane))));
        }
        drop(report);
        Ok(if self.options.widened {
            Weight::from_f32(&shape, &matrix.to_f32()).into()
        } else {
            matrix.into()
        })
    }

    /// What the packed planes have under `name`, if they are planes of such a matrix.
    fn packed(&self, name: &str, format: QuantFormat, shape: [usize; 2]) -> Option<Quantized> {
        let packed = self.options.packed.as_ref()?;
        let layouts = format.planes(shape).ok()?;
        let mut planes = Vec::with_capacity(layouts.len());
        for layout in &layouts {
            let view = packed.get(&plane_name(name, layout.name)).ok()?;
            if view.dtype != stored(layout.element)? || view.shape != layout.shape {
                return None;
            }
            planes.push((layout.name, Bytes::new(std::sync::Arc::new(view.bytes))));
        }
        Quantized::from_planes(format, shape, &planes).ok()
    }
}

fn plane_name(matrix: &str, plane: &str) -> String {
    format!("{matrix}.{plane}")
}

fn to_view(plane: &Plane) -> TensorView {
    let bytes = hfcore_weights::Bytes::from_owner(plane.bytes.clone());
    let dtype = stored(plane.layout.element).expect("every type of planes has a name in files");
    TensorView::new(dtype, plane.layout.shape.clone(), bytes)
        .expect("a plane has the bytes of its layout")
}

/// The type of a plane in a file.
fn stored(element: PlaneType) -> Option<Stored> {
    Stored::ALL
        .into_iter()
        .find(|dtype| dtype.to_string() == element.name())
}

/// A plain matrix, in `dtype` if one was asked for.
pub(crate) fn plain(weight: Weight, dtype: Option<DType>) -> Weight {
    match dtype {
        Some(dtype) => weight.to_dtype(dtype),
        None => weight,
    }
}
