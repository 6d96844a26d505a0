//! The checkpoint as blocks see it: a cursor that gives weights of a shape, on a device.
//!
//! A loader is the place where storage meets computation: it knows which storage types kernels read
//! in place and which are converted. Whatever does not fit is collected by
//! [`hfcore_weights::Weights::build`], so nothing here fails and no block has a `?`.

use std::ops::Range;

use hfcore_kernels::{Bytes, DType, Device, Tensor, Weight};
use hfcore_weights::{Scope, TensorView};

/// A position in the checkpoint, and where its tensors should go.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    scope: Scope,
    device: &'a Device,
    dtype: Option<DType>,
}

impl<'a> Loader<'a> {
    /// The root of a checkpoint. Matrices are converted to `dtype`; as published, if `None`.
    #[must_use]
    pub const fn new(scope: Scope, device: &'a Device, dtype: Option<DType>) -> Self {
        Self {
            scope,
            device,
            dtype,
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

    /// The matrix (or stack of matrices) `name`, in place.
    #[must_use]
    pub fn weight(&self, name: &str, shape: &[usize]) -> Weight {
        self.place(name, &self.scope.get(name, shape))
    }

    /// Rows `range` of the matrix `name` of this shape, in place: one part of a fused projection.
    #[must_use]
    pub fn weight_rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Weight {
        self.place(name, &self.scope.get(name, shape).rows(range))
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

    fn place(&self, name: &str, view: &TensorView) -> Weight {
        let weight = self.stored(name, view);
        match self.dtype {
            Some(dtype) => weight.to_dtype(dtype),
            None => weight,
        }
    }

    fn numbers(&self, name: &str, view: &TensorView) -> Tensor {
        let weight = self.stored(name, view);
        Tensor::from_vec(self.device, weight.shape(), weight.to_f32())
    }

    /// The one `match` between what checkpoints store and what kernels read.
    fn stored(&self, name: &str, view: &TensorView) -> Weight {
        use hfcore_weights::DType as Stored;
        let empty = || Weight::new(DType::F32, &[0, 0], Vec::new().into());
        if view.is_placeholder() {
            return empty();
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
                return empty();
            }
        };
        Weight::new(
            dtype,
            &view.shape,
            Bytes::new(std::sync::Arc::new(view.bytes.clone())),
        )
    }
}
