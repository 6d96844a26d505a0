//! Functions of each number, or of two.

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::{Bits, Call, Gpu, Grid, Operand, Planner, Variant};

/// `y[i] = f(a[i], b[i % period])`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Elementwise {
    pub(crate) function: Function,
    pub(crate) a: Operand,
    pub(crate) b: Option<Operand>,
    pub(crate) len: u32,
    /// Numbers after which `b` begins anew.
    pub(crate) period: u32,
}

/// What is done with each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
    /// `a` times a number.
    Scale(Bits),
    /// `c * tanh(a / c)`.
    Softcap(Bits),
}

impl Function {
    const fn code(self) -> u32 {
        match self {
            Self::Add => 0,
            Self::Mul => 1,
            Self::Scale(_) => 2,
            Self::Softcap(_) => 3,
        }
    }

    const fn factor(self) -> Bits {
        match self {
            Self::Add | Self::Mul => Bits(0),
            Self::Scale(x) | Self::Softcap(x) => x,
        }
    }
}

impl Operation for Elementwise {
    fn operands(&self) -> Vec<&Operand> {
        [&self.a].into_iter().chain(&self.b).collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let bindings = [Some(&self.a), self.b.as_ref(), Some(&outputs[0])];
        planner.call(Call {
            variant: variant(self.function.code()),
            bindings: bindings.into_iter().flatten().map(Into::into).collect(),
            params: vec![self.len, self.period, self.function.factor().0],
            grid: Grid::linear(self.len.div_ceil(256) as usize),
        });
    }
}

fn variant(function: u32) -> Variant {
    Variant::new(
        "elementwise",
        [("FUNCTION", function), ("TWO", u32::from(function < 2))],
    )
}

#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    (0..4).map(variant).collect()
}

/// `f(a, b)`, where `b` is repeated.
pub(crate) fn elementwise(gpu: &Gpu, function: Function, a: &Tensor, b: Option<&Tensor>) -> Tensor {
    let mut recording = gpu.recording();
    let count = |tensor: &Tensor| u32::try_from(tensor.rows() * tensor.width()).unwrap_or(u32::MAX);
    let op = Elementwise {
        function,
        a: recording.operand(a),
        b: b.map(|b| recording.operand(b)),
        len: count(a),
        period: b.map_or(1, count).max(1),
    };
    recording.push_one(a.device(), op, a.shape())
}
