//! Functions of each number, of one tensor or of two.
//!
//! One kernel, `elementwise.wgsl`: where the numbers of a pair lie, what is done to the first, and what to both
//! are defines of it.

use crate::gpu::op::Operation;
use crate::gpu::{Bits, Call, Gpu, Grid, Operand, Planner, Variant};
use crate::{Activation, Tensor};

/// A function of each number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Elementwise {
    /// Which.
    pub(crate) function: Function,
    /// The first tensor, or the only one.
    pub(crate) a: Operand,
    /// The second, of functions of two.
    pub(crate) b: Option<Operand>,
    /// Numbers of the result.
    pub(crate) len: u32,
    /// Numbers of the second tensor, which is used again and again; of [`Function::GatedHalves`], numbers of a
    /// half.
    pub(crate) period: u32,
}

/// What is computed of a number `a` of the first tensor and `b` of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
    /// `a * factor`.
    Scale(Bits),
    /// `cap * tanh(a / cap)`.
    Softcap(Bits),
    /// `activation(a)`.
    Activate(Activation),
    /// `activation(a) * b`.
    Gated(Activation),
    /// The same of one tensor, whose rows have all of `a`, then as many of `b`.
    GatedHalves(Activation),
    /// [`clamped_swiglu`](crate::clamped_swiglu) of one tensor, whose rows have `a` and `b` by turns.
    ClampedSwiglu {
        /// The bound of the gate, and on both sides of the other half.
        limit: Bits,
        /// The slope of the sigmoid.
        alpha: Bits,
    },
}

/// Numbers of a workgroup of kernels that have one thread for each of some numbers.
pub(crate) const BLOCK: usize = 1024;

/// The number of an activation in kernels: the define `ACT` of `activation.wgsl`.
pub(crate) const fn act(activation: Activation) -> u32 {
    match activation {
        Activation::Silu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::QuickGelu => 3,
        Activation::Relu => 4,
        Activation::Relu2 => 5,
        Activation::Tanh => 6,
        Activation::Sigmoid => 7,
        Activation::Identity => 8,
    }
}

/// Every activation.
#[cfg(test)]
pub(crate) const ACTIVATIONS: [Activation; 9] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::Relu2,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Identity,
];

const IDENTITY: u32 = act(Activation::Identity);

impl Function {
    /// `OPERANDS`, `UNARY`, `ACT` and `COMBINE` of the kernel; `is_periodic` where the second tensor is shorter.
    const fn defines(self, is_periodic: bool) -> [u32; 4] {
        let two = if is_periodic { 2 } else { 1 };
        match self {
            Self::Add => [two, 0, IDENTITY, 1],
            Self::Mul => [two, 0, IDENTITY, 2],
            Self::Scale(_) => [0, 1, IDENTITY, 0],
            Self::Softcap(_) => [0, 2, IDENTITY, 0],
            Self::Activate(activation) => [0, 0, act(activation), 0],
            Self::Gated(activation) => [two, 0, act(activation), 2],
            Self::GatedHalves(activation) => [3, 0, act(activation), 2],
            Self::ClampedSwiglu { .. } => [4, 0, IDENTITY, 3],
        }
    }

    /// `factor` and `alpha` of the kernel's parameters.
    const fn params(self) -> [u32; 2] {
        match self {
            Self::Scale(Bits(factor)) | Self::Softcap(Bits(factor)) => [factor, 0],
            Self::ClampedSwiglu { limit, alpha } => [limit.0, alpha.0],
            _ => [0, 0],
        }
    }

    fn variant(self, is_periodic: bool) -> Variant {
        let [operands, unary, act, combine] = self.defines(is_periodic);
        Variant::new(
            "elementwise",
            [
                ("OPERANDS", operands),
                ("UNARY", unary),
                ("ACT", act),
                ("COMBINE", combine),
            ],
        )
    }
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let none = Bits(0);
    let mut functions = vec![
        Function::Add,
        Function::Mul,
        Function::Scale(none),
        Function::Softcap(none),
        Function::ClampedSwiglu {
            limit: none,
            alpha: none,
        },
    ];
    for activation in ACTIVATIONS {
        functions.push(Function::Activate(activation));
        functions.push(Function::Gated(activation));
        functions.push(Function::GatedHalves(activation));
    }
    let mut all: Vec<_> = functions.into_iter().map(|f| f.variant(false)).collect();
    all.push(Function::Add.variant(true));
    all
}

impl Operation for Elementwise {
    fn operands(&self) -> Vec<&Operand> {
        std::iter::once(&self.a).chain(&self.b).collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let bindings = self.operands().into_iter().chain(outputs);
        let [factor, alpha] = self.function.params();
        let is_periodic = self.b.is_some() && self.period != self.len;
        planner.call(Call {
            variant: self.function.variant(is_periodic),
            bindings: bindings.map(Into::into).collect(),
            params: vec![self.len, self.period, factor, alpha],
            grid: Grid::linear((self.len as usize).div_ceil(BLOCK)),
        });
    }
}

/// `function` of each number of `a`, and of `b`, which is used again and again if it is shorter: as `a`.
pub(crate) fn elementwise(gpu: &Gpu, function: Function, a: &Tensor, b: Option<&Tensor>) -> Tensor {
    let period = b.map_or(1, |b| b.rows() * b.width());
    record(gpu, function, a, b, period, a.shape())
}

/// `function` of the numbers in rows of `a`, two and two: of the shape `shape`, half the numbers.
pub(crate) fn paired(gpu: &Gpu, function: Function, a: &Tensor, shape: &[usize]) -> Tensor {
    record(gpu, function, a, None, a.width() / 2, shape)
}

fn record(
    gpu: &Gpu,
    function: Function,
    a: &Tensor,
    b: Option<&Tensor>,
    period: usize,
    shape: &[usize],
) -> Tensor {
    let numbers = shape.iter().product::<usize>();
    if numbers == 0 {
        return Tensor::from_vec(a.device(), shape, Vec::new());
    }
    let mut recording = gpu.recording();
    let op = Elementwise {
        function,
        a: recording.operand(a),
        b: b.map(|b| recording.operand(b)),
        len: super::word(numbers),
        period: super::word(period),
    };
    recording.push_one(a.device(), op, shape)
}
