//! Attention on the GPU: single queries split over their keys, and many in tiles.
//!
//! Where queries and keys stand, and which pages a sequence has, are words of the step, and how many splits and
//! tiles there are is its grid. So a node knows rows, heads and widths only, and a sequence that grows keeps its
//! plan until its page table outgrows the room it has, which doubles.
//!
//! Rows of spans with at most eight rows are *few*: a workgroup for each, each head of keys, and each split of the
//! keys. Splits have 128 keys or more, and there are at most as many as fill a GPU: of longer contexts they
//! grow. Where there is but one, there is nothing to merge, and that call is skipped. Rows of other spans are
//! *many*, in tiles.

mod step;

use crate::gpu::op::Operation;
use crate::gpu::{Bind, Bits, Call, Grid, Operand, Planner, Variant};

use super::kv::{PageBuffers, PagePart};
use super::linear::{Linears, Merge};

pub(crate) use step::attention;

/// Units of a value that a workgroup for one query takes.
const COLUMNS: u32 = 128;
/// Vectors of queries that fit a workgroup for one query.
const QUERY_VECTORS: u32 = 256;
/// Splits that are left to merge for what reads the result, at most: each of its workgroups reads all of them.
const LEFT: u32 = 4;

/// Attention of `[T, H, Dk]` to `[T, H * Dv]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attention {
    pub(crate) q: Operand,
    /// Rows of `q`, `T`.
    pub(crate) rows: u32,
    /// `H`.
    pub(crate) heads: u32,
    /// `K`.
    pub(crate) kv_heads: u32,
    /// `Dk`.
    pub(crate) key_dim: u32,
    /// `Dv`.
    pub(crate) value_dim: u32,
    scale: Bits,
    /// 0: none.
    softcap: Bits,
    window: u32,
    causal: bool,
    sinks: Option<Operand>,
    bias: Option<Bias>,
    /// Every row is of one of them.
    pub(crate) sources: Vec<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bias {
    table: Operand,
    width: u32,
    zero: u32,
}

/// Keys and values, and the rows that attend to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    keys: Keys,
    pub(crate) few: Option<Few>,
    pub(crate) many: Option<Many>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Keys {
    Paged(PageBuffers),
    Dense { k: Operand, v: Operand },
}

/// Rows that are each attended to alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Few {
    pub(crate) words: Operand,
    /// Of each part of the keys.
    grids: Vec<Grid>,
    /// Empty where there is one split.
    merge: Grid,
    /// Empty also where splits are few enough to be left to whoever reads the result.
    merge_most: Grid,
    /// Rows.
    pub(crate) entries: u32,
    /// Splits there is room for.
    pub(crate) splits: u32,
}

/// Rows in tiles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Many {
    words: Operand,
    /// Of each part of the keys.
    grids: Vec<Grid>,
    /// Products of a query and a key, at most, which tells how long this may take.
    pairs: u64,
}

/// How heads and numbers are dealt to workgroups.
#[derive(Clone, Copy, Debug)]
struct Deal {
    /// Heads that a workgroup for one query takes.
    tile: u32,
    /// Workgroups for each head of keys, of one query.
    few: u32,
    /// Chunks of 32 numbers of a value that a workgroup for a tile takes.
    chunks: u32,
    /// Workgroups for each head of keys, of one tile.
    many: u32,
}

/// Chunks of a value that there are kernels for.
const CHUNKS: [u32; 5] = [1, 2, 3, 4, 8];

impl Deal {
    fn new(store: u32, group: u32, key_dim: u32, value_dim: u32) -> Self {
        let unit = unit(store);
        let vectors = key_dim.div_ceil(unit) * unit / 4;
        let fits = |&tile: &u32| tile == 1 || tile * vectors <= QUERY_VECTORS;
        // Keys are read once for each tile: as few as possible, and no wider than that takes.
        let tile = ([1, 2, 4, 8].into_iter().filter(fits))
            .min_by_key(|tile| group.div_ceil(*tile))
            .unwrap_or(1);
        let chunks = value_dim.div_ceil(32).max(1);
        let chunks = CHUNKS.into_iter().find(|&n| n >= chunks).unwrap_or(8);
        Self {
            tile,
            few: group.div_ceil(tile) * value_dim.div_ceil(unit).div_ceil(COLUMNS),
            chunks,
            many: value_dim.div_ceil(32 * chunks),
        }
    }
}

/// Numbers of a unit of 16 bytes.
const fn unit(store: u32) -> u32 {
    if store == 1 || store == 2 { 8 } else { 4 }
}

/// `STORE` of dense keys.
const DENSE: u32 = 3;

impl Keys {
    /// `STORE` of the kernels.
    fn store(&self) -> u32 {
        match self {
            Self::Paged(buffers) => buffers.code(),
            Self::Dense { .. } => DENSE,
        }
    }

    fn operands(&self) -> Vec<&Operand> {
        match self {
            Self::Paged(buffers) => buffers.operands().collect(),
            Self::Dense { k, v } => vec![k, v],
        }
    }

    /// What is bound, with the first head and how many there are.
    fn parts(&self, kv_heads: u32) -> Vec<(Vec<Bind>, u32, u32)> {
        match self {
            Self::Paged(buffers) => (buffers.parts.iter())
                .map(
                    |PagePart {
                         pages,
                         first,
                         count,
                     }| (vec![pages.into()], *first, *count),
                )
                .collect(),
            Self::Dense { k, v } => vec![(vec![k.into(), v.into()], 0, kv_heads)],
        }
    }
}

impl Attention {
    fn deal(&self, store: u32) -> Deal {
        let group = self.heads / self.kv_heads;
        Deal::new(store, group, self.key_dim, self.value_dim)
    }

    fn params(&self, first: u32, count: u32, rows: u32, splits: u32) -> Vec<u32> {
        let (width, zero) = self
            .bias
            .as_ref()
            .map_or((0, 0), |bias| (bias.width, bias.zero));
        vec![
            self.scale.0,
            self.softcap.0,
            self.window,
            u32::from(self.causal) + 2 * u32::from(self.sinks.is_some()),
            width,
            zero,
            self.heads,
            self.heads / self.kv_heads,
            count,
            first,
            self.key_dim,
            self.value_dim,
            rows,
            splits,
        ]
    }

    /// What both kernels bind first.
    fn common(&self, words: &Operand) -> Vec<Bind> {
        let bias = self.bias.as_ref().map(|bias| &bias.table);
        let sinks = self.sinks.as_ref();
        vec![
            (&self.q).into(),
            words.into(),
            sinks.unwrap_or(&self.q).into(),
            bias.unwrap_or(&self.q).into(),
        ]
    }

    /// The result, where it is whole, goes to `out`; returned are the parts of the others. Merged are all, or only
    /// those with more splits than may be left to whoever reads them.
    fn lower_few(
        &self,
        keys: &Keys,
        few: &Few,
        all: bool,
        out: &Operand,
        planner: &mut Planner<'_>,
    ) -> Operand {
        let width = self.heads as usize * (self.value_dim as usize + 2);
        let room = few.splits as usize * few.entries as usize * width;
        let parts = planner.scratch(if few.splits > 1 { room } else { 1 });
        let store = keys.store();
        for ((bindings, first, count), grid) in
            keys.parts(self.kv_heads).into_iter().zip(&few.grids)
        {
            let mut bound = self.common(&few.words);
            bound.extend(bindings);
            bound.extend([out.into(), (&parts).into()]);
            planner.call(Call {
                variant: few_variant(store, self.deal(store).tile),
                bindings: bound,
                params: self.params(first, count, few.entries, few.splits),
                grid: *grid,
            });
        }
        if few.splits > if all { 1 } else { LEFT } {
            planner.call(Call {
                variant: merge_variant(),
                bindings: vec![(&few.words).into(), (&parts).into(), out.into()],
                params: vec![few.entries, self.heads, self.value_dim, few.splits],
                grid: if all { few.merge } else { few.merge_most },
            });
        }
        parts
    }

    /// The rows that are attended to alone, if that is all of them, and of one source.
    fn alone(&self) -> Option<(&Keys, &Few)> {
        let [source] = self.sources.as_slice() else {
            return None;
        };
        let few = source.few.as_ref().filter(|few| few.entries == self.rows)?;
        source.many.is_none().then_some((&source.keys, few))
    }

    fn lower_many(&self, keys: &Keys, many: &Many, out: &Operand, planner: &mut Planner<'_>) {
        let store = keys.store();
        let width = u64::from(self.key_dim) + u64::from(self.value_dim);
        for ((bindings, first, count), grid) in
            keys.parts(self.kv_heads).into_iter().zip(&many.grids)
        {
            let mut all = self.common(&many.words);
            all.extend(bindings);
            all.push(out.into());
            planner.call(Call {
                variant: many_variant(store, self.deal(store).chunks),
                bindings: all,
                params: self.params(first, count, self.rows, 0),
                grid: *grid,
            });
            let heads = u64::from(count * (self.heads / self.kv_heads));
            planner.work(many.pairs.saturating_mul(heads * width));
        }
    }
}

/// Attention, and the projection of its result, which merges splits as it reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AttentionLinear {
    attention: Attention,
    /// Its `x` is not used.
    linear: Linears,
}

impl Attention {
    /// This, and `linear` of its result and of nothing else, where they go together.
    pub(crate) fn with_linear(&self, linear: &Linears) -> Option<AttentionLinear> {
        let (_, few) = self.alone()?;
        let takes = few.splits > 1
            && linear.rows == self.rows
            && linear.takes_merge(self.heads, self.value_dim, few.splits);
        takes.then(|| AttentionLinear {
            attention: self.clone(),
            linear: linear.clone(),
        })
    }
}

impl Operation for AttentionLinear {
    fn operands(&self) -> Vec<&Operand> {
        let mut all = self.attention.operands();
        let of_linear = self.linear.operands();
        all.extend(
            of_linear
                .into_iter()
                .filter(|&operand| *operand != self.linear.x),
        );
        all
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let Self { attention, linear } = self;
        let Some((keys, few)) = attention.alone() else {
            unreachable!("`with_linear` has looked")
        };
        let width = attention.heads as usize * attention.value_dim as usize;
        let whole = planner.scratch(attention.rows as usize * width);
        let parts = attention.lower_few(keys, few, false, &whole, planner);
        let merged = Linears {
            x: whole,
            merge: Some(Merge {
                parts,
                words: few.words.clone(),
                heads: attention.heads,
                value_dim: attention.value_dim,
                splits: few.splits,
            }),
            ..linear.clone()
        };
        merged.lower(outputs, planner);
    }
}

impl Operation for Attention {
    fn operands(&self) -> Vec<&Operand> {
        let mut all = vec![&self.q];
        all.extend(&self.sinks);
        all.extend(self.bias.as_ref().map(|bias| &bias.table));
        for source in &self.sources {
            all.extend(source.keys.operands());
            all.extend(source.few.as_ref().map(|few| &few.words));
            all.extend(source.many.as_ref().map(|many| &many.words));
        }
        all
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        for source in &self.sources {
            if let Some(few) = &source.few {
                self.lower_few(&source.keys, few, true, &outputs[0], planner);
            }
            if let Some(many) = &source.many {
                self.lower_many(&source.keys, many, &outputs[0], planner);
            }
        }
    }
}

fn few_variant(store: u32, tile: u32) -> Variant {
    // Dense keys and values are two bindings.
    let whole = if store == DENSE { 6 } else { 5 };
    let defines = [
        ("STORE", store),
        ("TILE", tile),
        ("LANES", (256 / tile).min(128)),
        ("WHOLE", whole),
        ("PARTS", whole + 1),
    ];
    Variant::new("attention_few", defines)
}

fn many_variant(store: u32, chunks: u32) -> Variant {
    Variant::new("attention_many", [("STORE", store), ("CHUNKS", chunks)])
}

fn merge_variant() -> Variant {
    Variant::new("attention_merge", [])
}

/// Every variant that can be asked for.
#[cfg(test)]
pub(crate) fn variants() -> Vec<Variant> {
    let mut all = vec![merge_variant()];
    for store in 0..=DENSE {
        all.extend([1, 2, 4, 8].map(|tile| few_variant(store, tile)));
        all.extend(CHUNKS.map(|chunks| many_variant(store, chunks)));
    }
    all
}
