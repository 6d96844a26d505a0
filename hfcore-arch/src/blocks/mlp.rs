//! The feed-forward half of a layer.

use hfcore_kernels::{Activation, Tensor, activate, gated};

use super::linear::Linear;
use crate::loader::Loader;

/// The numbers of a feed-forward block.
#[derive(Clone, Copy, Debug)]
pub struct MlpSpec {
    /// Width in and out.
    pub hidden_size: usize,
    /// Width between.
    pub intermediate_size: usize,
    /// The nonlinearity.
    pub act: Activation,
    /// Whether the projections have biases.
    pub bias: bool,
}

/// `down(act(gate(x)) * up(x))`: SwiGLU and its kin. Shazeer 2020, <https://arxiv.org/abs/2002.05202>.
#[derive(Clone, Debug)]
pub struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    act: Activation,
}

impl GatedMlp {
    /// `gate_proj`, `up_proj` and `down_proj`.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &MlpSpec) -> Self {
        let up = |name| Linear::load(&w.at(name), s.hidden_size, s.intermediate_size, s.bias);
        let down_proj = Linear::load(
            &w.at("down_proj"),
            s.intermediate_size,
            s.hidden_size,
            s.bias,
        );
        Self {
            gate_proj: up("gate_proj"),
            up_proj: up("up_proj"),
            down_proj,
            act: s.act,
        }
    }

    /// `gate_up_proj`, gate first, and `down_proj`.
    #[must_use]
    pub fn load_fused(w: &Loader<'_>, s: &MlpSpec) -> Self {
        let halves = [s.intermediate_size; 2];
        let [gate_proj, up_proj] =
            Linear::load_fused(&w.at("gate_up_proj"), s.hidden_size, halves, s.bias);
        let down_proj = Linear::load(
            &w.at("down_proj"),
            s.intermediate_size,
            s.hidden_size,
            s.bias,
        );
        Self {
            gate_proj,
            up_proj,
            down_proj,
            act: s.act,
        }
    }

    /// Made of layers that are there already.
    #[must_use]
    pub const fn new(
        gate_proj: Linear,
        up_proj: Linear,
        down_proj: Linear,
        act: Activation,
    ) -> Self {
        Self {
            gate_proj,
            up_proj,
            down_proj,
            act,
        }
    }

    /// `[T, E]` to `[T, E]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [gate, up] = Linear::forward_each([&self.gate_proj, &self.up_proj], x);
        self.down_proj.forward(&gated(gate, &up, self.act))
    }
}

/// `down(act(up(x)))`.
#[derive(Clone, Debug)]
pub struct Mlp {
    up: Linear,
    down: Linear,
    act: Activation,
}

impl Mlp {
    /// The two projections under these names.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &MlpSpec, [up, down]: [&str; 2]) -> Self {
        Self {
            up: Linear::load(&w.at(up), s.hidden_size, s.intermediate_size, s.bias),
            down: Linear::load(&w.at(down), s.intermediate_size, s.hidden_size, s.bias),
            act: s.act,
        }
    }

    /// Made of layers that are there already.
    #[must_use]
    pub const fn new(up: Linear, down: Linear, act: Activation) -> Self {
        Self { up, down, act }
    }

    /// `[T, E]` to `[T, E]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.down.forward(&activate(self.up.forward(x), self.act))
    }
}
