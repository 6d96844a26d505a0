//! Numbers in, numbers out: the operations that transformers are made of.
//!
//! An operation is a function over [`Tensor`]s and [`Weight`]s in a file of its own. It has a
//! definition in plain `f64`, and a CPU kernel compiled for every instruction set
//! and chosen at run time ([`Isa`]). Nothing here knows about models, files or text.
//!
//! * Activations are `f32` and so are all accumulations ([`Tensor`]).
//! * Matrices stay in the type they were published in, `f32`, `f16` or `bf16`, and are widened inside
//!   the kernels ([`Weight`]): a weight is a borrowed range of somebody's bytes, usually a memory map.
//! * Shapes are the caller's duty: operations panic, with the caller's line, where shapes disagree.
//!   What depends on files and users is checked before it comes here.

mod bytes;
mod device;
mod dtype;
mod embedding;
mod isa;
mod matmul;
mod pool;
mod recycle;
mod tensor;
mod weight;

pub use bytes::Bytes;
pub use device::{CpuOptions, Device, DeviceError};
pub use dtype::DType;
pub use embedding::embed;
pub use isa::Isa;
#[cfg(target_arch = "x86_64")]
pub use isa::{Avx2, Avx512};
pub use matmul::linear;
pub use tensor::Tensor;
pub use weight::Weight;
