//! Matrix products with a weight.
//!
//! The weight is used where it lies, in its own type, and widened on the way. For a [`few`] rows of
//! activations (decoding) the time is that of reading it; for [`many`] (prompts, encoders), that of
//! multiplying. Each has its own kernels for each instruction set, see [`kernels`].

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512bf16;
mod few;
mod kernels;
mod many;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_bf16;
mod scalar;
#[cfg(test)]
mod tests;
mod vectors;

use crate::device::Cpu;
use crate::{DType, Tensor, Weight};
use kernels::{Kernels, Tile};

/// [`linear`](crate::linear) of a plain weight.
#[must_use]
#[track_caller]
pub(crate) fn linear(x: &Tensor, w: &Weight, bias: Option<&Tensor>) -> Tensor {
    let out = uncounted(x, w, bias);
    let cpu = x.device().on_cpu();
    Product::new(x, w, bias).count(cpu);
    out
}

/// [`linear`] with what stands for another weight, which the caller counts.
#[must_use]
#[track_caller]
pub(crate) fn uncounted(x: &Tensor, w: &Weight, bias: Option<&Tensor>) -> Tensor {
    let product = Product::new(x, w, bias);
    let mut out = product.output(x);
    let cpu = x.device().on_cpu();
    product.run(cpu, out.data_mut());
    out
}

/// [`linear`] of `x` with each weight and bias, as one operation of the threads.
#[must_use]
#[track_caller]
pub(crate) fn linears<const N: usize>(
    x: &Tensor,
    layers: [(&Weight, Option<&Tensor>); N],
) -> [Tensor; N] {
    let products = layers.map(|(w, bias)| Product::new(x, w, bias));
    let mut outs = products.each_ref().map(|product| product.output(x));
    let cpu = x.device().on_cpu();
    let alike = |product: &Product<'_>| {
        product.rows * product.outputs * product.inputs > 0 && product.dtype == products[0].dtype
    };
    if N > 0 && products.iter().all(alike) {
        let outs = outs.iter_mut().map(Tensor::data_mut).collect();
        if products[0].is_few(cpu) {
            few::together(cpu, &products, outs);
        } else {
            many::together(cpu, &products, outs);
        }
    } else {
        for (product, out) in products.iter().zip(&mut outs) {
            product.run(cpu, out.data_mut());
        }
    }
    products.iter().for_each(|product| product.count(cpu));
    outs
}

/// What is to be multiplied.
struct Product<'a> {
    /// `[rows, inputs]`.
    x: &'a [f32],
    rows: usize,
    dtype: DType,
    /// `[outputs, inputs]`.
    weight: &'a [u8],
    outputs: usize,
    inputs: usize,
    bias: Option<&'a [f32]>,
}

impl<'a> Product<'a> {
    /// What [`linear`] is asked for, if the shapes agree.
    #[track_caller]
    fn new(x: &'a Tensor, w: &'a Weight, bias: Option<&'a Tensor>) -> Self {
        let &[outputs, inputs] = w.shape() else {
            panic!("linear: a weight [O, I], found {:?}", w.shape());
        };
        let shapes = || format!("x {:?} and weight {:?}", x.shape(), w.shape());
        assert!(x.shape().last() == Some(&inputs), "linear: {}", shapes());
        if let Some(bias) = bias {
            assert!(
                bias.shape() == [outputs],
                "linear: bias {:?}, {}",
                bias.shape(),
                shapes()
            );
        }
        Self {
            x: x.data(),
            rows: x.rows(),
            dtype: w.dtype(),
            weight: w.bytes(),
            outputs,
            inputs,
            bias: bias.map(Tensor::data),
        }
    }

    /// A tensor for the result.
    fn output(&self, x: &Tensor) -> Tensor {
        let mut shape = x.shape().to_vec();
        *shape
            .last_mut()
            .expect("it has the dimension of the inputs") = self.outputs;
        Tensor::unspecified(x.device(), &shape)
    }

    /// Note what there was to do.
    fn count(&self, cpu: &Cpu) {
        let pairs = self.rows * self.outputs * self.inputs;
        cpu.work.add(self.weight.len(), pairs);
    }

    /// Whether reading the weight takes longer than multiplying.
    fn is_few(&self, cpu: &Cpu) -> bool {
        self.rows > 0 && self.inputs > 0 && self.rows <= cpu.tile(self.dtype).few
    }

    fn run(&self, cpu: &Cpu, out: &mut [f32]) {
        if self.rows == 0 || self.outputs == 0 {
            return;
        }
        if self.inputs == 0 {
            for out in out.chunks_exact_mut(self.outputs) {
                match self.bias {
                    Some(bias) => out.copy_from_slice(bias),
                    None => out.fill(0.0),
                }
            }
        } else if self.is_few(cpu) {
            few::few(cpu, self, out);
        } else {
            many::many(cpu, self, out);
        }
    }

    fn row_bytes(&self) -> usize {
        self.inputs * self.dtype.size()
    }

    /// The bytes of row `n` of the weight.
    fn row(&self, n: usize) -> &[u8] {
        &self.weight[n * self.row_bytes()..][..self.row_bytes()]
    }
}

impl Cpu {
    fn kernels(&self) -> &'static Kernels {
        Kernels::of(self.isa)
    }

    /// The tile for weights in `dtype`, as exact as is wanted.
    fn tile(&self, dtype: DType) -> &'static Tile {
        self.kernels().tile(self.precision, dtype)
    }
}

/// Parts of buffers that begin with a cache line: vectors that cross lines take twice as long.
mod aligned {
    const LINE: usize = 64;

    /// The length of a buffer that has `len` numbers from the start of a line on.
    pub(super) const fn len(len: usize) -> usize {
        len + LINE / size_of::<f32>() - 1
    }

    /// The numbers from the start of a line on; a multiple of nothing.
    pub(super) fn slice(buffer: &mut [f32]) -> &mut [f32] {
        let start = buffer
            .as_ptr()
            .align_offset(LINE)
            .min(LINE / size_of::<f32>() - 1);
        &mut buffer[start..]
    }
}
