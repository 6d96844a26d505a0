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

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bytes;
mod conv;
mod device;
mod dtype;
#[cfg(test)]
mod effort;
mod elementwise;
mod embedding;
mod float_mode;
#[cfg(feature = "wgpu")]
mod gpu;
mod isa;
mod kv;
mod lanes;
mod linears;
mod math;
mod matmul;
mod moe;
#[cfg(target_arch = "aarch64")]
mod neon;
mod norm;
mod pool;
mod precision;
pub mod probe;
mod quant;
mod recycle;
pub mod reference;
mod rope;
mod rows;
pub mod sample;
mod softmax;
mod tensor;
mod weight;
mod work;

pub use activation::{Activation, activate, clamped_swiglu, gated, gated_halves};
pub use attention::{AttentionParams, AttentionSpan, KeyValues, RelativeBias, attention};
pub use bytes::Bytes;
pub use conv::{conv1d, patches};
pub use device::{CpuOptions, Device, DeviceError};
pub use dtype::DType;
pub use elementwise::{add, add_row, add_tiled, mul, scale, softcap};
pub use embedding::embed;
#[cfg(feature = "wgpu")]
pub use gpu::{
    WgpuAdapter, WgpuAdapterType, WgpuCounters, WgpuForce, WgpuOptions, WgpuPower, WgpuSelect,
    WgpuTier, probe as gpu_probe,
};
pub use isa::Isa;
#[cfg(target_arch = "x86_64")]
pub use isa::{Amx, Avx2, Avx512, Avx512Bf16, Avx512Vnni, AvxVnni};
#[cfg(target_arch = "aarch64")]
pub use isa::{Neon, NeonBf16, NeonDotprod, NeonI8mm};
pub use kv::{KvDType, KvStore, PAGE, PageId};
pub use linears::linears;
pub use moe::{ExpertKind, Experts, Router, Routing, moe, route};
pub use norm::{l2_normalize, layer_norm, rms_norm};
pub use precision::Precision;
pub use quant::{
    GroupSize, Matrix, MatrixRef, Plane, PlaneLayout, PlaneType, QuantError, QuantFormat,
    Quantized, linear,
};
pub use rope::{RopeAngles, RopeLayout, rope};
pub use rows::{columns, concat_rows, gather_rows, mean_rows, transpose};
pub use softmax::softmax;
pub use tensor::Tensor;
pub use weight::Weight;
pub use work::Work;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
