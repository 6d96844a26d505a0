//! Matrices of eight or four bits a weight, and their products.
//!
//! Decoding takes the time of reading the weights, so half or a quarter of the bytes is twice to four
//! times the speed; and products of bytes are the fastest that processors have.
//!
//! ```text
//! Quantized::quantize   weight [O, I] -> planes: values and scales            pack
//! linear                activations -> bytes, once for all outputs            activations
//!                       panels of sixteen outputs times tiles of rows         product, kernels
//! ```
//!
//! Products of bytes are summed exactly, and what is done in `f32` has one order: results are the same to
//! the bit on every instruction set, for every number of rows and of threads. With
//! [`Precision::Strict`](crate::Precision) activations stay `f32`, and the product is that with
//! [`Quantized::to_f32`].

mod activations;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
mod format;
mod kernels;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod product;
mod quantized;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use format::{GroupSize, PlaneLayout, PlaneType, QuantFormat};
pub use matrix::{Matrix, MatrixRef, linear};
pub(crate) use product::{linears, peak};
pub use quantized::{Plane, QuantError, Quantized};
