//! `reference.json` and `reference.safetensors`: what transformers gave, and for what.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hfcore_weights::{DType, TensorView, Weights};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::VerifyError;

/// The reference data of a folder.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) json: ReferenceJson,
    tensors: Weights,
}

/// `reference.json`.
#[derive(Debug, Deserialize)]
pub(super) struct ReferenceJson {
    /// The version of transformers that wrote it.
    pub(super) transformers: String,
    /// The class that gave the outputs.
    pub(super) architecture: String,
    pub(super) cases: Vec<Case>,
}

/// One call and what it gave.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) call: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    #[serde(default)]
    pub(super) kwargs: Map<String, Value>,
    /// What transformers makes of the case in the type of the weights, where that is a 16-bit type.
    #[serde(default)]
    pub(super) in_dtype: Option<InDType>,
}

/// How far transformers is from its own f32 when it computes in the type of the weights.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InDType {
    /// By output.
    #[serde(default)]
    pub(super) errors: BTreeMap<String, OwnError>,
    /// Tokens of generated sequences that are the same.
    #[serde(default)]
    pub(super) tokens_equal: Option<usize>,
}

/// The error of one output, where it counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[non_exhaustive]
pub struct OwnError {
    /// The largest.
    pub max_abs_error: f64,
    /// The mean.
    pub mean_abs_error: f64,
}

impl Case {
    /// The error that transformers itself makes in an output.
    pub(super) fn own_error(&self, output: &str) -> Option<OwnError> {
        self.in_dtype.as_ref()?.errors.get(output).copied()
    }
}

/// A tensor of the reference: its shape and its numbers.
#[derive(Clone, Debug)]
pub(super) struct Array<T> {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<T>,
}

impl<T> Array<T> {
    /// The last dimension.
    pub(super) fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

impl Reference {
    pub(super) fn open(dir: &Path) -> Result<Self, VerifyError> {
        let path = dir.join("reference.json");
        let bytes = fs::read(&path).map_err(|source| VerifyError::Io {
            path: path.clone(),
            source,
        })?;
        let json = serde_json::from_slice(&bytes).map_err(|error| VerifyError::Json {
            path,
            message: error.to_string(),
        })?;
        let path = dir.join("reference.safetensors");
        let failed = |source| VerifyError::Tensors {
            path: path.clone(),
            source: Box::new(source),
        };
        Ok(Self {
            json,
            tensors: Weights::from_file(&path).map_err(failed)?,
        })
    }

    /// The largest error that transformers itself makes in an output, in any case of the folder.
    pub(super) fn largest_own_error(&self, output: &str) -> f64 {
        let errors = self
            .json
            .cases
            .iter()
            .filter_map(|case| case.own_error(output));
        errors.map(|own| own.max_abs_error).fold(0.0, f64::max)
    }

    /// Whether the case has the input `name`.
    pub(super) fn has_input(case: &Case, name: &str) -> bool {
        case.inputs.iter().any(|input| input == name)
    }

    /// An input of integers, `None` if the case has none of this name.
    pub(super) fn integers(
        &self,
        case: &Case,
        name: &str,
    ) -> Result<Option<Array<i64>>, VerifyError> {
        if !Self::has_input(case, name) {
            return Ok(None);
        }
        self.int(&format!("{}/input.{name}", case.name)).map(Some)
    }

    /// An input of floats, `None` if the case has none of this name.
    pub(super) fn floats(
        &self,
        case: &Case,
        name: &str,
    ) -> Result<Option<Array<f32>>, VerifyError> {
        if !Self::has_input(case, name) {
            return Ok(None);
        }
        self.float(&format!("{}/input.{name}", case.name)).map(Some)
    }

    /// The output `name` of the case.
    pub(super) fn output(&self, case: &Case, name: &str) -> Result<Array<f32>, VerifyError> {
        self.float(&format!("{}/output.{name}", case.name))
    }

    /// The output `name` of the case, of token ids.
    pub(super) fn ids(&self, case: &Case, name: &str) -> Result<Array<i64>, VerifyError> {
        self.int(&format!("{}/output.{name}", case.name))
    }

    fn view(&self, name: &str) -> Result<TensorView, VerifyError> {
        let failed = |source| VerifyError::Tensors {
            path: "reference.safetensors".into(),
            source: Box::new(source),
        };
        self.tensors.get(name).map_err(failed)
    }

    fn float(&self, name: &str) -> Result<Array<f32>, VerifyError> {
        let view = self.view(name)?;
        match view.to_f32() {
            Some(values) => Ok(Array {
                shape: view.shape,
                values,
            }),
            None => Err(VerifyError::DType {
                tensor: name.to_owned(),
                expected: "floats",
                found: format!("{:?}", view.dtype),
            }),
        }
    }

    fn int(&self, name: &str) -> Result<Array<i64>, VerifyError> {
        let view = self.view(name)?;
        if view.dtype != DType::I64 {
            let found = format!("{:?}", view.dtype);
            return Err(VerifyError::DType {
                tensor: name.to_owned(),
                expected: "I64",
                found,
            });
        }
        let values = view
            .bytes
            .as_ref()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b))
            .collect();
        Ok(Array {
            shape: view.shape,
            values,
        })
    }
}
