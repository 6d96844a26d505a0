//! Tokens through their experts.
//!
//! ```text
//! few of an expert     moe_up     act(gate x) * (up x)          a workgroup for 4 numbers of a token's expert
//!                      moe_down   sum of weight * (down ..)     a workgroup for 4 numbers of a token
//! many                 moe_sort   tokens by their experts
//!                      moe_tile   act(gate x) * (up x)          a workgroup for 32 tokens of an expert
//!                      moe_tile   weight * (down ..)
//!                      moe_sum    of the experts of a token
//! ```
//!
//! What is between the two is as many numbers as experts are visited; where a device cannot bind that many,
//! tokens go in several calls. So they do for each part of the experts.

use std::ops::Range;

use crate::Tensor;
use crate::gpu::op::Operation;
use crate::gpu::weights::Layout;
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Region, Variant};

use super::elementwise::BLOCK;
use super::experts::{ExpertsKey, GpuExperts, Stack};
use super::word;

/// Tokens through their experts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moe {
    /// `[T, E]`.
    pub(crate) x: Operand,
    /// `[2, T, k]`, as [`Route`](super::route::Route) writes it.
    pub(crate) routing: Operand,
    /// All of them.
    pub(crate) experts: ExpertsKey,
    /// What is added to the result, `[T, E]`.
    pub(crate) residual: Option<Operand>,
    /// `T`.
    pub(crate) tokens: u32,
    /// `k`.
    pub(crate) k: u32,
}

/// Threads of the kernels of few tokens.
const THREADS: u32 = 64;
/// Slots of a tile.
const TILE: usize = 32;
/// Tokens of each expert, on the average, from which tiles are used. Of fewer, what takes the time is to read the
/// matrices, and a tile is mostly empty.
const MANY: usize = 8;
/// Experts that slots can be sorted by.
const MOST_SORTED: usize = 2048;

fn variant(
    name: &'static str,
    layout: &Layout,
    bias: bool,
    more: &[(&'static str, u32)],
) -> Variant {
    let defines = [
        ("DTYPE", layout.format.code()),
        ("QUADS", word(layout.format.per_vector() / 4)),
        ("RAGGED", layout.is_ragged().into()),
        ("BIAS", bias.into()),
    ];
    Variant::new(name, defines.into_iter().chain(more.iter().copied()))
}

fn up_variant(layout: &Layout, bias: bool, kind: u32) -> Variant {
    variant(
        "moe_up",
        layout,
        bias,
        &[("KIND", kind), ("SUMS", 8), ("WG", THREADS)],
    )
}

fn down_variant(layout: &Layout, bias: bool, residual: bool) -> Variant {
    let more = [("SUMS", 4), ("WG", THREADS), ("RESIDUAL", residual.into())];
    variant("moe_down", layout, bias, &more)
}

fn sum_variant(residual: bool) -> Variant {
    Variant::new("moe_sum", [("RESIDUAL", residual.into())])
}

fn tile_variant(layout: &Layout, bias: bool, kind: u32, half: u32) -> Variant {
    variant("moe_tile", layout, bias, &[("KIND", kind), ("HALF", half)])
}

impl Operation for Moe {
    fn operands(&self) -> Vec<&Operand> {
        let given = [Some(&self.x), Some(&self.routing), self.residual.as_ref()];
        given.into_iter().flatten().collect()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let (tokens, k) = (self.tokens as usize, self.k as usize);
        let experts = &*self.experts;
        let (inner, width) = (experts.inner, experts.up.layout.inputs);
        let is_many = tokens * k >= MANY * experts.count && experts.count <= MOST_SORTED;
        let row = if is_many { inner.max(width) } else { inner };
        let limit = usize::try_from(planner.caps().max_binding).unwrap_or(usize::MAX);
        let at_once = (limit / (k * row * size_of::<f32>()).max(1)).clamp(1, tokens);
        for first in (0..tokens).step_by(at_once) {
            let tokens = first..tokens.min(first + at_once);
            if is_many {
                self.many(tokens, &outputs[0], planner);
            } else {
                self.few(tokens, &outputs[0], planner);
            }
        }
    }
}

/// A part of experts, for a call: where it is, and the words `first` and `count`.
fn parts(stack: &Stack, count: usize) -> impl Iterator<Item = (Operand, [u32; 2])> {
    stack.parts().map(move |(first, region)| {
        let experts = stack.part_experts.min(count - first);
        let region = Operand::Region(region.clone());
        (region, [word(first), word(experts)])
    })
}

/// `stride`, `other`, `chunks` and `group_shift` of the kernels' parameters.
fn lie(stack: &Stack) -> [u32; 4] {
    let [other, stride] = stack.strides();
    let layout = &stack.layout;
    [
        stride,
        other,
        word(layout.vectors()),
        layout.format.group_shift(),
    ]
}

fn bound(bias: Option<&Region>) -> Option<Operand> {
    bias.cloned().map(Operand::Region)
}

impl Moe {
    /// Multiplications of one matrix for each of the slots of these tokens.
    fn work(&self, tokens: &Range<usize>) -> u64 {
        let experts = &*self.experts;
        let each = experts.inner * experts.up.layout.inputs;
        tokens.len() as u64 * u64::from(self.k) * each as u64
    }

    fn few(&self, tokens: Range<usize>, out: &Operand, planner: &mut Planner<'_>) {
        let experts = &*self.experts;
        let k = self.k as usize;
        let (inner, width) = (experts.inner, experts.up.layout.inputs);
        let slots = tokens.len() * k;
        let middle = planner.scratch(slots * inner);
        let (up_bias, down_bias) = (
            bound(experts.up_bias.as_ref()),
            bound(experts.down_bias.as_ref()),
        );
        for (region, part) in parts(&experts.up, experts.count) {
            let bindings = [&self.routing, &region, &self.x, &middle];
            let mut params = vec![word(slots), word(tokens.start * k), self.k];
            params.extend([word(width), word(inner)]);
            params.extend(part);
            params.extend(lie(&experts.up));
            params.extend(experts.kind.params());
            planner.call(Call {
                variant: up_variant(&experts.up.layout, up_bias.is_some(), experts.kind.define()),
                bindings: (bindings.into_iter().chain(&up_bias))
                    .map(Into::into)
                    .collect(),
                params,
                grid: Grid::linear(slots * inner.div_ceil(4)),
            });
            planner.work(2 * self.work(&tokens));
        }
        for (region, part) in parts(&experts.down, experts.count) {
            // All parts but the first add to what is there.
            let adds = part[0] > 0;
            let residual = self.residual.as_ref().filter(|_| !adds);
            let bindings = [&self.routing, &region, &middle, out];
            let [stride, _, chunks, group_shift] = lie(&experts.down);
            let mut params = vec![
                word(tokens.len()),
                word(tokens.start),
                self.tokens,
                self.k,
                word(inner),
                word(width),
            ];
            params.extend(part);
            params.extend([stride, chunks, group_shift, adds.into()]);
            planner.call(Call {
                variant: down_variant(
                    &experts.down.layout,
                    down_bias.is_some(),
                    residual.is_some(),
                ),
                bindings: (bindings.into_iter().chain(&down_bias).chain(residual))
                    .map(Into::into)
                    .collect(),
                params,
                grid: Grid::linear(tokens.len() * width.div_ceil(4)),
            });
            planner.work(self.work(&tokens));
        }
    }

    fn many(&self, tokens: Range<usize>, out: &Operand, planner: &mut Planner<'_>) {
        let experts = &*self.experts;
        let k = self.k as usize;
        let (inner, width) = (experts.inner, experts.up.layout.inputs);
        let slots = tokens.len() * k;
        // Each expert has at most one tile that is not full.
        let tiles = slots / TILE + experts.count.min(slots);
        let plan = planner.scratch(3 * tiles + slots);
        planner.call(Call {
            variant: Variant::new("moe_sort", []),
            bindings: vec![(&self.routing).into(), (&plan).into()],
            params: vec![
                word(slots),
                word(tokens.start * k),
                word(experts.count),
                word(tiles),
            ],
            grid: Grid::Fixed([1, 1, 1]),
        });
        let middle = planner.scratch(slots * inner);
        let shares = planner.scratch(slots * width);
        let halves = [
            (
                &experts.up,
                &experts.up_bias,
                &self.x,
                &middle,
                [width, inner],
            ),
            (
                &experts.down,
                &experts.down_bias,
                &middle,
                &shares,
                [inner, width],
            ),
        ];
        for (half, (stack, bias, from, to, [width, outputs])) in (0..).zip(halves) {
            let bias = bound(bias.as_ref());
            let (kind, rows, times) = match half {
                0 => (experts.kind.define(), TILE, 2),
                _ => (0, 2 * TILE, 1),
            };
            for (region, part) in parts(stack, experts.count) {
                let mut bindings = vec![&plan, &region, from, to];
                if half == 1 {
                    bindings.push(&self.routing);
                }
                bindings.extend(&bias);
                let mut params = vec![
                    word(tiles),
                    word(tokens.start * k),
                    self.tokens * self.k,
                    self.k,
                    word(width),
                    word(outputs),
                ];
                params.extend(part);
                params.extend(lie(stack));
                params.extend(experts.kind.params());
                planner.call(Call {
                    variant: tile_variant(&stack.layout, bias.is_some(), kind, half),
                    bindings: bindings.into_iter().map(Into::into).collect(),
                    params,
                    grid: Grid::linear(tiles * outputs.div_ceil(rows)),
                });
                planner.work(times * self.work(&tokens));
            }
        }
        let count = tokens.len() * width;
        planner.call(Call {
            variant: sum_variant(self.residual.is_some()),
            bindings: ([&shares, out].into_iter().chain(&self.residual))
                .map(Into::into)
                .collect(),
            params: vec![word(count), word(tokens.start * width), self.k, word(width)],
            grid: Grid::linear(count.div_ceil(BLOCK)),
        });
    }
}

/// Each row of `x` `[T, E]` through its experts: see [`crate::moe`], which has checked shapes.
pub(crate) fn moe(
    gpu: &Gpu,
    x: &Tensor,
    routing: &Tensor,
    k: usize,
    experts: &GpuExperts,
) -> Tensor {
    if x.rows() * x.width() == 0 {
        return x.clone();
    }
    let mut recording = gpu.recording();
    let op = Moe {
        x: recording.operand(x),
        routing: recording.operand(routing),
        experts: experts.key(&mut recording),
        residual: None,
        tokens: word(x.rows()),
        k: word(k),
    };
    recording.push_one(x.device(), op, x.shape())
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    use crate::gpu::weights::Format;
    use crate::{DType, GroupSize, QuantFormat};
    let mut all = vec![
        Variant::new("moe_sort", []),
        sum_variant(false),
        sum_variant(true),
    ];
    let formats = [
        Format::Plain(DType::F32),
        Format::Plain(DType::F16),
        Format::Plain(DType::Bf16),
        Format::Quantized(QuantFormat::Int8),
        Format::Quantized(QuantFormat::Int4(GroupSize::G32)),
    ];
    for (format, inputs, bias) in (formats.iter())
        .flat_map(|format| [32, 33].map(|inputs| (*format, inputs)))
        .flat_map(|(format, inputs)| [false, true].map(|bias| (format, inputs, bias)))
    {
        let layout = Layout {
            format,
            outputs: 1,
            inputs,
        };
        for kind in [0, 1] {
            all.push(up_variant(&layout, bias, kind));
            all.push(tile_variant(&layout, bias, kind, 0));
        }
        all.extend([false, true].map(|residual| down_variant(&layout, bias, residual)));
        all.push(tile_variant(&layout, bias, 0, 1));
    }
    all
}
