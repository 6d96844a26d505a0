//! Matrix products alone: of one row of activations, which reading the matrix bounds, and of many, which multiplying does.
//!
//! Each product adds the result of the one before, as the output projection and the down projection of a layer add the
//! residual: so no two overlap, and what is found is what a step has to wait for. Matrices are gone through in turn, of
//! which there are more than caches hold.

use hfcore_kernels::{DType, Device, Matrix, Tensor, linear};

use crate::Error;
use crate::measure::of_one_more;
use crate::report::{Gemm, Gemv};
use crate::shapes::Shape;
use crate::synthetic::{Format, Nothing};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Bytes of matrices that are gone through in turn: several times the caches.
    pub bytes: u64,
    /// Samples of each.
    pub times: usize,
}

/// A product of some models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The models that have it.
    pub models: Vec<String>,
    /// `qkv`, `o`, `gate_up`, `down`, `lm_head`.
    pub role: &'static str,
    /// `[O, I]`.
    pub shape: [usize; 2],
}

/// The products of `models`, each once.
#[must_use]
pub fn products(models: &[Shape]) -> Vec<Product> {
    let mut products: Vec<Product> = Vec::new();
    for model in models {
        for (matrix, _) in model.products() {
            let (role, shape) = (matrix.role, [matrix.outputs, matrix.inputs]);
            let known = (products.iter_mut()).find(|p| p.role == role && p.shape == shape);
            match known {
                Some(product) => product.models.push(model.name.to_owned()),
                None => products.push(Product {
                    models: vec![model.name.to_owned()],
                    role,
                    shape,
                }),
            }
        }
    }
    products
}

/// One row of activations times `product` in `format`; `best_read` is what memory gives.
///
/// # Errors
/// If the device fails.
pub fn gemv(
    device: &Device,
    product: &Product,
    format: Format,
    effort: Effort,
    best_read: Option<f64>,
) -> Result<Gemv, Error> {
    let [outputs, inputs] = product.shape;
    let bytes = format.bytes(product.shape);
    let copies = usize::try_from(effort.bytes.div_ceil(bytes))?.clamp(2, 64);
    let chain = Chain::new(device, 1, product.shape, format, copies)?;
    let [few, many] = [copies, 5 * copies];
    let seconds = of_one_more(device, [few, many], effort.times, |n| chain.record(n))?;
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    let share = |seconds: f64| Some(bytes as f64 / seconds / best_read?);
    Ok(Gemv {
        models: product.models.clone(),
        role: product.role.to_owned(),
        outputs,
        inputs,
        format: format.name().to_owned(),
        bytes,
        seconds,
        share_of_read: seconds.and_then(share),
    })
}

/// `rows` of activations times a matrix `[O, I]` in `format`.
///
/// # Errors
/// If the device fails.
pub fn gemm(
    device: &Device,
    rows: usize,
    [outputs, inputs]: [usize; 2],
    format: Format,
    times: usize,
) -> Result<Gemm, Error> {
    let chain = Chain::new(device, rows, [outputs, inputs], format, 2)?;
    let seconds = of_one_more(device, [1, 4], times, |n| chain.record(n))?;
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    let operations = (2 * rows * outputs * inputs) as f64;
    Ok(Gemm {
        rows,
        outputs,
        inputs,
        format: format.name().to_owned(),
        seconds,
        operations_per_s: seconds.map(|seconds| operations / seconds),
    })
}

/// `y = y + x Wᵀ`, again and again.
struct Chain {
    x: Tensor,
    y: Tensor,
    matrices: Vec<Matrix>,
}

impl Chain {
    fn new(
        device: &Device,
        rows: usize,
        [outputs, inputs]: [usize; 2],
        format: Format,
        copies: usize,
    ) -> Result<Self, Error> {
        let nothing = Nothing::new(usize::try_from(format.bytes([outputs, inputs]))?);
        let matrix = || {
            let matrix: Matrix = match format {
                Format::Plain(dtype) => nothing.weight(dtype, &[outputs, inputs]).into(),
                Format::Quantized(format) => nothing.quantized(format, [outputs, inputs])?.into(),
            };
            Ok::<_, Error>(matrix.to_device(device)?)
        };
        Ok(Self {
            x: Tensor::parameter(device, &[rows, inputs], waves(rows * inputs)),
            y: Tensor::parameter(device, &[rows, outputs], vec![0.0; rows * outputs]),
            matrices: (0..copies)
                .map(|_| matrix())
                .collect::<Result<_, Error>>()?,
        })
    }

    fn record(&self, n: usize) -> Tensor {
        let mut y = self.y.clone();
        for matrix in self.matrices.iter().cycle().take(n) {
            y = linear(&self.x, matrix, None) + &y;
        }
        y
    }
}

/// Numbers of size 1 that are all different.
#[must_use]
pub fn waves(n: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    let wave = |i: usize| (i as f32 * 0.7).sin();
    (0..n).map(wave).collect()
}

/// The formats that products are measured in.
pub const FORMATS: [&str; 3] = ["bf16", "int8", "int4"];

/// The type that products of many rows are measured in beside [`FORMATS`]: what there is to multiply without
/// narrower numbers.
pub const WIDE: Format = Format::Plain(DType::F32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::MODELS;

    #[test]
    fn a_product_that_models_share_is_measured_once() {
        let products = products(&MODELS);
        let shared: Vec<_> = products.iter().filter(|p| p.models.len() > 1).collect();
        assert!(shared.iter().any(|p| {
            p.role == "qkv" && p.shape == [6144, 4096] && p.models == ["Llama-3.1-8B", "Qwen3-8B"]
        }));
        let all: usize = products.iter().map(|p| p.models.len()).sum();
        assert_eq!(all, 5 * MODELS.len());
    }
}
