//! The checkpoint as blocks see it: a cursor that gives weights of a shape, on a device.
//!
//! A loader is the place where storage meets computation: it knows which storage types kernels read
//! in place and which are converted. Whatever does not fit is collected by
//! [`hfcore_weights::Weights::build`], so nothing here fails and no block has a `?`. What a device has no
//! room for is remembered beside it, and refused when the model is built.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hfcore_kernels::{Bytes, DType, Device, DeviceError, Experts, Matrix, Tensor, Weight};
use hfcore_weights::{Scope, TensorView};

use crate::quantize::{Part, Quantizer, plain};

/// A position in the checkpoint, and where its tensors should go.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    scope: Scope,
    device: &'a Device,
    dtype: Option<DType>,
    quantizer: Option<&'a Quantizer<'a>>,
    failure: Arc<OnceLock<DeviceError>>,
    /// Whether matrices stay in the host's memory.
    keeps_matrices: bool,
}

impl<'a> Loader<'a> {
    /// The root of a checkpoint. Matrices are converted to `dtype`; as published, if `None`.
    #[must_use]
    pub fn new(scope: Scope, device: &'a Device, dtype: Option<DType>) -> Self {
        Self {
            scope,
            device,
            dtype,
            quantizer: None,
            failure: Arc::default(),
            keeps_matrices: false,
        }
    }

    /// Wait until all that was read is where the device computes. Whoever builds a model without
    /// [`Source::load`](crate::Source::load), which does it, asks here whether there was room for all of it.
    ///
    /// # Errors
    /// The first reason why something could not be brought to the device.
    pub fn finish(&self) -> Result<(), DeviceError> {
        // Also after a failure: what was brought passed through memory that is given back.
        let finished = self.device.finish_weights();
        self.failure.get().cloned().map_or(finished, Err)
    }

    /// The same, that quantizes the matrices it gives.
    pub(crate) const fn with_quantizer(mut self, quantizer: Option<&'a Quantizer<'a>>) -> Self {
        self.quantizer = quantizer;
        self
    }

    /// The same, whose matrices stay in the host's memory: for those that are brought to the device together, as
    /// [`experts`](Self::experts) are.
    #[must_use]
    pub fn keeping_matrices(&self) -> Self {
        Self {
            keeps_matrices: true,
            ..self.clone()
        }
    }

    /// The part of the checkpoint under `path`.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self {
            scope: self.scope.at(path),
            ..self.clone()
        }
    }

    /// The checkpoint's root, from wherever this is.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            scope: self.scope.root(),
            ..self.clone()
        }
    }

    /// The name of the tensor `name` here, from the root.
    #[must_use]
    pub fn full_name(&self, name: &str) -> String {
        match self.scope.path() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// Whether matrices are quantized.
    #[must_use]
    pub const fn quantizes(&self) -> bool {
        self.quantizer.is_some()
    }

    /// The body of a model: under `prefix`, or here, in a checkpoint that was saved from the body alone.
    /// The module `embedding` tells which: a body has its `weight`.
    #[must_use]
    pub fn body(&self, prefix: &str, embedding: &str) -> Self {
        let body = self.at(prefix);
        let bare = !body.at(embedding).has("weight") && self.at(embedding).has("weight");
        if bare { self.clone() } else { body }
    }

    /// Where tensors go.
    #[must_use]
    pub const fn device(&self) -> &'a Device {
        self.device
    }

    /// Whether the checkpoint has the tensor `name` here. Asking does not count as reading.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.scope.has(name)
    }

    /// Whether the checkpoint has anything under `path`.
    #[must_use]
    pub fn has_module(&self, path: &str) -> bool {
        self.scope.has_module(path)
    }

    /// The tensor `name` is known to have no influence: present or not, it is not read.
    pub fn ignore(&self, name: &str) {
        self.scope.ignore(name);
    }

    /// What the checkpoint has here does not make sense: `name` is refused with the reason.
    pub fn refuse(&self, name: &str, why: &str) {
        self.scope.refuse(name, why);
    }

    /// The weight `name`, never quantized: tables whose rows are looked up, convolutions, routers. It is where
    /// the device computes, and so can no longer be cut or converted: [`published`](Self::published) can.
    #[must_use]
    pub fn weight(&self, name: &str, shape: &[usize]) -> Weight {
        let weight = self.on_host(name, shape);
        self.brought(weight.to_device(self.device), weight)
    }

    /// [`weight`](Self::weight) in the host's memory, to be cut or compared.
    pub(crate) fn on_host(&self, name: &str, shape: &[usize]) -> Weight {
        plain(self.published(name, shape), self.dtype)
    }

    /// The weight `name` as it was published, in the host's memory: what [`matrix_of`](Self::matrix_of) is
    /// given to convert.
    #[must_use]
    pub fn published(&self, name: &str, shape: &[usize]) -> Weight {
        self.stored(name, &self.scope.get(name, shape))
    }

    /// The matrix `name` `[output, input]` of a linear layer: in place, or quantized.
    #[must_use]
    pub fn matrix(&self, name: &str, shape: [usize; 2], part: Part) -> Matrix {
        let weight = self.published(name, &shape);
        self.matrix_of(name, shape, part, || weight)
    }

    /// Rows `range` of the matrix `name` of this shape: one part of a fused projection.
    #[must_use]
    pub fn matrix_rows(&self, name: &str, shape: [usize; 2], range: Range<usize>) -> Matrix {
        let [output, input] = shape;
        let view = self.scope.get(name, &shape);
        let key = row_key(name, &range, output);
        self.matrix_of(&key, [range.len(), input], Part::Body, || {
            self.stored(name, &view.rows(range))
        })
    }

    /// A matrix `[output, input]` that is made of what the checkpoint holds, in the type that was asked
    /// for. `key` names it among the quantized matrices of this place: the tensor's name, and which part
    /// of it this is. `weight` is not called where the matrix is there already.
    #[must_use]
    pub fn matrix_of(
        &self,
        key: &str,
        shape: [usize; 2],
        part: Part,
        weight: impl FnOnce() -> Weight,
    ) -> Matrix {
        let matrix = match self.quantizer {
            None => plain(weight(), self.dtype).into(),
            Some(quantizer) => {
                let name = self.full_name(key);
                match quantizer.matrix(&name, shape, part, self.device, weight) {
                    Ok(matrix) => matrix,
                    Err(error) => {
                        self.scope
                            .refuse(key, format!("it cannot be quantized: {error}"));
                        nothing().into()
                    }
                }
            }
        };
        if self.keeps_matrices {
            return matrix;
        }
        self.brought(matrix.to_device(self.device), matrix)
    }

    /// Experts that were read with [`keeping_matrices`](Self::keeping_matrices), where the device computes.
    #[must_use]
    pub fn experts(&self, experts: Experts) -> Experts {
        self.brought(experts.to_device(self.device), experts)
    }

    /// Whether the tensors `name` of this shape, here and at `other`, are the same numbers: tied, whatever
    /// the configuration says. Asking counts as reading.
    #[must_use]
    pub fn same_numbers(&self, other: &Self, name: &str, shape: &[usize]) -> bool {
        let [a, b] = [self, other].map(|w| w.on_host(name, shape));
        a.dtype() == b.dtype() && a.bytes() == b.bytes()
    }

    /// Numbers to compute with that were made of what the checkpoint holds.
    ///
    /// # Panics
    /// If `values` are not `shape` numbers.
    #[must_use]
    #[track_caller]
    pub fn parameter(&self, shape: &[usize], values: Vec<f32>) -> Tensor {
        let failed = || Tensor::from_vec(self.device, &[0], Vec::new());
        match Tensor::try_parameter(self.device, shape, values) {
            Ok(tensor) => tensor,
            Err(error) => self.brought(Err(error), failed()),
        }
    }

    /// What was brought to the device; if it could not be, a note of that, and what stands for it until the
    /// model is refused.
    fn brought<T>(&self, brought: Result<T, DeviceError>, instead: T) -> T {
        brought.unwrap_or_else(|error| {
            // The first one says what happened; the others are what comes of it.
            let _ = self.failure.set(error);
            instead
        })
    }

    /// The tensor `name` as numbers to compute with: gains, biases, tables.
    #[must_use]
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Tensor {
        self.numbers(name, &self.scope.get(name, shape))
    }

    /// Elements `range` of the vector `name` of length `len`.
    #[must_use]
    pub fn tensor_rows(&self, name: &str, len: usize, range: Range<usize>) -> Tensor {
        self.numbers(name, &self.scope.get(name, &[len]).rows(range))
    }

    fn numbers(&self, name: &str, view: &TensorView) -> Tensor {
        let weight = self.stored(name, view);
        self.parameter(weight.shape(), weight.to_f32())
    }

    /// The one `match` between what checkpoints store and what kernels read.
    fn stored(&self, name: &str, view: &TensorView) -> Weight {
        use hfcore_weights::DType as Stored;
        if view.is_placeholder() {
            return nothing();
        }
        let dtype = match view.dtype {
            Stored::F32 => DType::F32,
            Stored::F16 => DType::F16,
            Stored::BF16 => DType::Bf16,
            Stored::F64 => {
                let wide = view.bytes.as_ref().as_chunks::<8>().0.iter();
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "as transformers rounds f64 weights to f32"
                )]
                let values: Vec<f32> = wide.map(|b| f64::from_le_bytes(*b) as f32).collect();
                return Weight::from_f32(&view.shape, &values);
            }
            other => {
                self.scope.refuse(
                    name,
                    format!(
                        "stored as {other:?}, and only F32, F16, BF16 and F64 can be computed with"
                    ),
                );
                return nothing();
            }
        };
        Weight::new(dtype, &view.shape, Bytes::new(Arc::new(view.bytes.clone())))
    }
}

/// What stands for a weight that is refused, until the model is.
fn nothing() -> Weight {
    Weight::new(DType::F32, &[0, 0], Vec::new().into())
}

/// The name of rows `range` of a tensor that has `rows`.
pub(crate) fn row_key(name: &str, range: &Range<usize>, rows: usize) -> String {
    if *range == (0..rows) {
        name.to_owned()
    } else {
        format!("{name}[{}..{}]", range.start, range.end)
    }
}
