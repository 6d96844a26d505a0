//! The choice of experts: `route.wgsl`.
//!
//! It stays on the device, where the kernels of experts read it.

use crate::gpu::op::Operation;
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Variant};
use crate::{Router, Tensor};

use super::word;

/// The experts of each token: `[2, T, k]`, their numbers and the bits of their weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    /// `[tokens, experts]`.
    pub(crate) logits: Operand,
    /// How they become weights.
    pub(crate) router: Router,
    /// `T`.
    pub(crate) tokens: u32,
    /// `N`.
    pub(crate) experts: u32,
    /// `k`.
    pub(crate) k: u32,
}

/// Threads of a token.
const THREADS: u32 = 64;
/// Values that a thread holds at most.
const MOST_HELD: u32 = 16;

fn variant(router: Router, held: u32) -> Variant {
    let router = match router {
        Router::SoftmaxTopK { normalize: false } => 0,
        Router::SoftmaxTopK { normalize: true } => 1,
        Router::TopKSoftmax => 2,
    };
    let defines = [("ROUTER", router), ("HELD", held), ("WG", THREADS)];
    Variant::new("route", defines)
}

/// Values that a thread holds of so many; 0 where they are too many.
const fn held(experts: u32) -> u32 {
    let each = experts.div_ceil(THREADS).next_power_of_two();
    if each <= MOST_HELD { each } else { 0 }
}

impl Operation for Route {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.logits]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        planner.call(Call {
            variant: variant(self.router, held(self.experts)),
            bindings: vec![(&self.logits).into(), (&outputs[0]).into()],
            params: vec![self.tokens, self.experts, self.k],
            grid: Grid::linear(self.tokens as usize),
        });
    }
}

/// The `k` experts of each row of `logits` `[T, N]`, as [`Route`] writes them.
pub(crate) fn route(gpu: &Gpu, logits: &Tensor, k: usize, router: Router) -> Tensor {
    let shape = [2, logits.rows(), k];
    if shape.contains(&0) {
        return Tensor::from_vec(logits.device(), &shape, Vec::new());
    }
    let mut recording = gpu.recording();
    let op = Route {
        logits: recording.operand(logits),
        router,
        tokens: word(logits.rows()),
        experts: word(logits.width()),
        k: word(k),
    };
    recording.push_one(logits.device(), op, &shape)
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    let routers = [
        Router::SoftmaxTopK { normalize: false },
        Router::SoftmaxTopK { normalize: true },
        Router::TopKSoftmax,
    ];
    let each = |router| [0, 1, 2, 4, 8, 16].map(|held| variant(router, held));
    routers.into_iter().flat_map(each).collect()
}
