//! Rows of a table by token ids: `embed.wgsl`.
//!
//! Ids are words of the step, or numbers that an earlier operation left on the device: the token that was
//! chosen need not come back to be looked up.

use crate::gpu::op::Operation;
use crate::gpu::weights::{Format, MatrixKey};
use crate::gpu::{Call, Gpu, Grid, Operand, Planner, Recording, Variant};
use crate::{Device, MatrixRef, Tensor, Weight};

use super::elementwise::BLOCK;
use super::word;

/// Rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Embed {
    /// `[T]`, whole numbers.
    pub(crate) ids: Operand,
    /// `T`.
    pub(crate) tokens: u32,
    /// `[V, E]`, not quantized.
    pub(crate) table: MatrixKey,
}

/// Parts of a table that are bound at once, where it has several.
const PARTS: usize = 4;

fn variant(format: Format, parts: usize) -> Variant {
    Variant::new("embed", [("DTYPE", format.code()), ("PARTS", word(parts))])
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants(_: &crate::gpu::Caps) -> Vec<Variant> {
    use crate::DType;
    let mut all = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        all.extend([1, PARTS].map(|parts| variant(Format::Plain(dtype), parts)));
    }
    all
}

impl Operation for Embed {
    fn operands(&self) -> Vec<&Operand> {
        vec![&self.ids]
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let layout = self.table.layout();
        let parts: Vec<_> = self.table.parts().collect();
        let at_once = if parts.len() == 1 { 1 } else { PARTS };
        let count = self.tokens * word(layout.inputs);
        for parts in parts.chunks(at_once) {
            let (Some((first, region)), Some((last, _))) = (parts.first(), parts.last()) else {
                continue;
            };
            let mut bindings = vec![(&self.ids).into(), (&outputs[0]).into()];
            // Where fewer are left, the first takes their place; no row is in it.
            let bound = parts.iter().map(|(_, region)| *region);
            for region in bound.chain(std::iter::repeat(*region)).take(at_once) {
                bindings.push((&Operand::Region(region.clone())).into());
            }
            planner.call(Call {
                variant: variant(layout.format, at_once),
                bindings,
                params: vec![
                    count,
                    word(layout.inputs),
                    word(layout.vectors() * 4),
                    word(first.start),
                    word(self.table.part_rows()),
                    word(last.end),
                ],
                grid: Grid::linear((count as usize).div_ceil(BLOCK)),
            });
        }
    }
}

/// The rows of `table` `[V, E]` that are the `tokens` numbers of `ids`: `[tokens, E]`.
pub(crate) fn embed(
    gpu: &Gpu,
    device: &Device,
    table: &Weight,
    tokens: usize,
    ids: impl FnOnce(&mut Recording<'_>) -> Operand,
) -> Tensor {
    let shape = [tokens, table.shape()[1]];
    if shape.contains(&0) {
        return Tensor::from_vec(device, &shape, Vec::new());
    }
    let mut recording = gpu.recording();
    let op = Embed {
        ids: ids(&mut recording),
        tokens: word(tokens),
        table: recording.matrix(MatrixRef::Plain(table)),
    };
    recording.push_one(device, op, &shape)
}
