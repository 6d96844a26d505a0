//! A mixture of experts: a router, and feed-forward blocks of which each token visits a few.
//!
//! ```text
//! y = Σ over the chosen e:  weight[e] * Expert[e](x)
//! ```
//!
//! Checkpoints hold experts one by one (transformers 4) or stacked (as transformers 5 names them); both
//! are read in place, as a list of views.

use std::ops::Range;

use hfcore_kernels::{ExpertKind, Experts, Matrix, Router, Tensor, Weight, moe, route};

use super::linear::Linear;
use crate::loader::{Loader, row_key};
use crate::quantize::Part;

/// The numbers of a mixture.
#[derive(Clone, Debug)]
pub struct MoeSpec {
    /// `E`.
    pub hidden_size: usize,
    /// Width inside an expert.
    pub intermediate_size: usize,
    /// Number of experts.
    pub num_experts: usize,
    /// Experts that each token visits.
    pub num_experts_per_tok: usize,
    /// How the router's scores become a choice.
    pub router: Router,
    /// What an expert computes.
    pub kind: ExpertKind,
    /// Where the weights lie.
    pub layout: MoeLayout,
}

/// Where a mixture's weights lie.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MoeLayout {
    /// The router's name, and the names of gate, up and down of a single expert `experts.{i}`; or
    /// stacked: `experts.gate_up_proj` `[N, 2I, E]`, gate first, and `experts.down_proj` `[N, E, I]`.
    Gated {
        /// The router.
        router: &'static str,
        /// Gate, up, down.
        names: [&'static str; 3],
    },
    /// gpt-oss: a router with a bias; stacked and transposed `experts.gate_up_proj` `[N, E, 2I]`, gate
    /// and up by turns, `experts.down_proj` `[N, I, E]`, and a bias of each.
    Interleaved {
        /// The router.
        router: &'static str,
    },
}

/// A mixture of experts.
#[derive(Clone, Debug)]
pub struct Moe {
    router: Linear,
    experts: Experts,
    num_experts_per_tok: usize,
    rule: Router,
}

impl Moe {
    /// The router and all experts.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &MoeSpec) -> Self {
        // A GPU finds an expert by its number, and wants all of them behind each other.
        let experts = w.at("experts").keeping_matrices();
        let (router, experts) = match s.layout {
            MoeLayout::Gated { router, names } => {
                let experts = if experts.has("gate_up_proj") {
                    stacked(&experts, s)
                } else {
                    single(&experts, s, names)
                };
                (
                    Linear::load_plain(&w.at(router), s.hidden_size, s.num_experts, false),
                    experts,
                )
            }
            MoeLayout::Interleaved { router } => (
                Linear::load_plain(&w.at(router), s.hidden_size, s.num_experts, true),
                interleaved(&experts, s),
            ),
        };
        Self {
            router,
            experts: w.experts(experts),
            num_experts_per_tok: s.num_experts_per_tok,
            rule: s.router,
        }
    }

    /// `[T, E]` to `[T, E]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let routing = route(&self.router.forward(x), self.num_experts_per_tok, self.rule);
        moe(x, &routing, &self.experts)
    }
}

fn single(w: &Loader<'_>, s: &MoeSpec, [gate, up, down]: [&str; 3]) -> Experts {
    let (e, i) = (s.hidden_size, s.intermediate_size);
    let each = |name: &str, shape: [usize; 2]| {
        (0..s.num_experts)
            .map(|n| w.at(&n.to_string()).at(name))
            .map(|w| w.matrix("weight", shape, Part::Body))
            .collect()
    };
    Experts::new(
        each(gate, [i, e]),
        each(up, [i, e]),
        each(down, [e, i]),
        s.kind,
    )
}

fn stacked(w: &Loader<'_>, s: &MoeSpec) -> Experts {
    let (n, e, i) = (s.num_experts, s.hidden_size, s.intermediate_size);
    let gate_up = Stack::load(w, "gate_up_proj", [n, 2 * i, e]);
    let down = Stack::load(w, "down_proj", [n, e, i]);
    Experts::new(
        gate_up.matrices(w, 0..i),
        gate_up.matrices(w, i..2 * i),
        down.matrices(w, 0..e),
        s.kind,
    )
}

/// The kernels want rows of outputs; these experts lie the other way round and are turned once.
fn interleaved(w: &Loader<'_>, s: &MoeSpec) -> Experts {
    let (n, e, i) = (s.num_experts, s.hidden_size, s.intermediate_size);
    let biases = |name, width| {
        let bias = w.on_host(name, &[n, width]);
        let rows = bias.shape()[0];
        (0..rows)
            .map(|n| Tensor::from_vec(w.device(), &[width], bias.rows(n..n + 1).to_f32()))
            .collect()
    };
    Experts::new(
        Stack::load(w, "gate_up_proj", [n, e, 2 * i]).turned(w),
        Vec::new(),
        Stack::load(w, "down_proj", [n, i, e]).turned(w),
        s.kind,
    )
    .with_biases(
        biases("gate_up_proj_bias", 2 * i),
        Vec::new(),
        biases("down_proj_bias", e),
    )
}

/// Matrices `[A, B]` of all experts in one tensor `[N, A, B]`.
struct Stack {
    name: &'static str,
    weight: Weight,
    size: [usize; 2],
}

impl Stack {
    fn load(w: &Loader<'_>, name: &'static str, [n, a, b]: [usize; 3]) -> Self {
        Self {
            name,
            weight: w.published(name, &[n, a, b]),
            size: [a, b],
        }
    }

    /// Those of each expert, by its number; none, where the tensor is missing.
    fn each(&self) -> impl Iterator<Item = (usize, Weight)> {
        let count = match self.weight.shape() {
            [n, _, _] => *n,
            _ => 0,
        };
        (0..count).map(|n| (n, self.weight.rows(n..n + 1).reshape(&self.size)))
    }

    /// Rows `rows` of each matrix.
    fn matrices(&self, w: &Loader<'_>, rows: Range<usize>) -> Vec<Matrix> {
        let [a, b] = self.size;
        let matrix = |(n, weight): (usize, Weight)| {
            let key = row_key(&format!("{}[{n}]", self.name), &rows, a);
            let rows = rows.clone();
            w.matrix_of(&key, [rows.len(), b], Part::Body, || weight.rows(rows))
        };
        self.each().map(matrix).collect()
    }

    /// The transpose of each matrix.
    fn turned(&self, w: &Loader<'_>) -> Vec<Matrix> {
        let [a, b] = self.size;
        let matrix = |(n, weight): (usize, Weight)| {
            let key = format!("{}[{n}]", self.name);
            w.matrix_of(&key, [b, a], Part::Body, || weight.transposed())
        };
        self.each().map(matrix).collect()
    }
}
