//! Several linear layers of the same input.

#[cfg(feature = "wgpu")]
use crate::MatrixRef;
use crate::{Matrix, Quantized, Tensor, linear, matmul, quant};

/// [`linear`] of `x` with each matrix and bias: queries, keys and values; gate and up.
///
/// The results are those of [`linear`] to the bit. The threads go through all matrices in one go, so that there
/// is one wait for the last of them and not one for each, and many rows of `x` are laid out once for all.
///
/// # Panics
/// As [`linear`].
#[must_use]
#[track_caller]
pub fn linears<const N: usize>(x: &Tensor, layers: [(&Matrix, Option<&Tensor>); N]) -> [Tensor; N] {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        let layers = layers.map(|(matrix, bias)| (MatrixRef::from(matrix), bias));
        return crate::gpu::ops::linear::linears(gpu, x, layers);
    }
    let plain = layers.map(|(matrix, bias)| match matrix {
        Matrix::Plain(weight) => Some((weight, bias)),
        Matrix::Quantized(_) => None,
    });
    if plain.iter().all(Option::is_some) {
        return matmul::linears(x, plain.map(|layer| layer.expect("all are plain")));
    }
    let quantized = layers.map(|(matrix, bias)| match matrix {
        Matrix::Quantized(matrix) => Some((matrix, bias)),
        Matrix::Plain(_) => None,
    });
    let format = |layer: &Option<(&Quantized, _)>| layer.map(|(matrix, _)| matrix.format());
    if (quantized.iter()).all(|layer| layer.is_some() && format(layer) == format(&quantized[0])) {
        return quant::linears(x, quantized.map(|layer| layer.expect("all are quantized")));
    }
    layers.map(|(matrix, bias)| linear(x, matrix, bias))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{CpuOptions, DType, Device, Isa, QuantFormat, Weight};

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state >> 9 | 0x3f80_0000) - 1.5
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    fn matrix(outputs: usize, inputs: usize, dtype: DType) -> Matrix {
        let seed = u32::try_from(outputs).unwrap();
        let weight = Weight::from_f32(&[outputs, inputs], &numbers(outputs * inputs, seed));
        weight.to_dtype(dtype).into()
    }

    /// Matrices of one type and of several, quantized and not, of few rows and of many.
    #[test]
    fn together_as_alone_to_the_bit() {
        let inputs = 70;
        for isa in Isa::tested() {
            for threads in [1, 2, 3] {
                let options = CpuOptions::default()
                    .with_isa(isa)
                    .with_threads(NonZeroUsize::new(threads).unwrap());
                let device = Device::cpu_with(&options);
                let bias = Tensor::from_vec(&device, &[33], numbers(33, 5));
                for rows in [1, 3, 9, 200] {
                    let x = Tensor::from_vec(&device, &[rows, inputs], numbers(rows * inputs, 3));
                    for dtypes in [[DType::Bf16; 3], [DType::F16, DType::F32, DType::F16]] {
                        let [a, b, c] = [(129, 0), (33, 1), (1, 2)]
                            .map(|(outputs, i)| matrix(outputs, inputs, dtypes[i]));
                        let together = linears(&x, [(&a, None), (&b, Some(&bias)), (&c, None)]);
                        let alone = [
                            linear(&x, &a, None),
                            linear(&x, &b, Some(&bias)),
                            linear(&x, &c, None),
                        ];
                        for (together, alone) in together.iter().zip(&alone) {
                            assert_eq!(together.shape(), alone.shape());
                            assert_eq!(
                                together.to_vec().unwrap(),
                                alone.to_vec().unwrap(),
                                "{} {threads} threads {rows} rows {dtypes:?}",
                                isa.name()
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn quantized_ones_among_them() {
        let device = Device::cpu();
        let x = Tensor::from_vec(&device, &[2, 64], numbers(128, 3));
        let Matrix::Plain(plain) = matrix(20, 64, DType::F32) else {
            unreachable!()
        };
        let quantized = Quantized::quantize(&plain, QuantFormat::Int8, &device).unwrap();
        let quantized = Matrix::from(quantized);
        let plain = Matrix::from(plain);
        let [a, b] = linears(&x, [(&plain, None), (&quantized, None)]);
        assert_eq!(a.data(), linear(&x, &plain, None).data());
        assert_eq!(b.data(), linear(&x, &quantized, None).data());
    }

    /// Of one format, of which panels are dealt together, and of several.
    #[test]
    fn quantized_together_as_alone_to_the_bit() {
        let inputs = 70;
        let int4 = "int4".parse().unwrap();
        for isa in Isa::tested() {
            for threads in [1, 3] {
                let options = CpuOptions::default()
                    .with_isa(isa)
                    .with_threads(NonZeroUsize::new(threads).unwrap());
                let device = Device::cpu_with(&options);
                let bias = Tensor::from_vec(&device, &[33], numbers(33, 5));
                for formats in [
                    [QuantFormat::Int8; 3],
                    [int4; 3],
                    [int4, QuantFormat::Int8, int4],
                ] {
                    let [a, b, c] = [(400, 0), (33, 1), (1, 2)].map(|(outputs, i)| {
                        let Matrix::Plain(weight) = matrix(outputs, inputs, DType::F32) else {
                            unreachable!()
                        };
                        Matrix::from(Quantized::quantize(&weight, formats[i], &device).unwrap())
                    });
                    for rows in [1, 3, 40] {
                        let x =
                            Tensor::from_vec(&device, &[rows, inputs], numbers(rows * inputs, 3));
                        let together = linears(&x, [(&a, None), (&b, Some(&bias)), (&c, None)]);
                        let alone = [
                            linear(&x, &a, None),
                            linear(&x, &b, Some(&bias)),
                            linear(&x, &c, None),
                        ];
                        for (together, alone) in together.iter().zip(&alone) {
                            assert_eq!(together.shape(), alone.shape());
                            assert_eq!(together.data(), alone.data(), "{} {rows}", isa.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "linear: x [1, 3] and weight [2, 4]")]
    fn shapes_must_agree() {
        let (a, b) = (matrix(5, 3, DType::F32), matrix(2, 4, DType::F32));
        let _ = linears(
            &Tensor::zeros(&Device::cpu(), &[1, 3]),
            [(&a, None), (&b, None)],
        );
    }
}
