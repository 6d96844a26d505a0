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
//!
//! Where each row is the newest of a sequence of its own, which is a step of generation, what is done to heads on
//! their way here, the write of keys and values with it, can be part of the same call
//! ([`Attention::with_heads`]).

mod step;

use crate::gpu::op::Operation;
use crate::gpu::{Bind, Bits, Call, Grid, Operand, Planner, Variant};

use super::heads::Heads;
use super::kv::{PageBuffers, PagePart};
use super::linear::{FEW, Linears, Merge};

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
    bias: Option<Box<Bias>>,
    /// Every row is of one of them.
    pub(crate) sources: Vec<Source>,
    /// What makes the queries of `q`, and writes keys and values. Only where [`with_heads`](Self::with_heads) has
    /// put it.
    heads_first: Option<Box<Heads>>,
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
    /// Whether the node before writes the last key of each row that sees any, that is the row's own, and no other row
    /// of this call sees it.
    newest: bool,
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

    /// The words of `Params` in `attention_span.wgsl`, without [`heads_first`](Self::heads_first).
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

    /// The calls of the rows that are attended to alone, of one source.
    fn lower_few(&self, keys: &Keys, few: &Few, to: To<'_>, planner: &mut Planner<'_>) {
        let store = keys.store();
        let tile = self.deal(store).tile;
        for ((pages, first, count), grid) in keys.parts(self.kv_heads).into_iter().zip(&few.grids) {
            let mut bindings = self.common(&few.words);
            bindings.extend(pages);
            bindings.extend(to.bindings());
            planner.call(Call {
                variant: few_variant(store, tile, to.code(), None),
                bindings,
                params: self.params(first, count, few.entries, few.splits),
                grid: *grid,
            });
        }
    }

    /// The same, with what is done to heads first: nothing, and `false`, where the device does not bind as much.
    fn lower_with_heads(
        &self,
        heads: &Heads,
        keys: &Keys,
        few: &Few,
        to: To<'_>,
        planner: &mut Planner<'_>,
    ) -> bool {
        let Some(writes) = &heads.writes else {
            return false;
        };
        let angles = heads.rotation.as_ref().map(|rotation| &rotation.angles);
        let Some((words, begin)) = planner.words(angles.unwrap_or(&few.words), &few.words) else {
            return false;
        };
        let mut common = vec![Bind::from(&self.q), words];
        common.extend(self.sinks.as_ref().map(Bind::from));
        common.extend([&writes.k, &writes.v].map(Bind::from));
        if heads.norm.is_some() {
            let gains = [
                heads
                    .queries
                    .as_ref()
                    .and_then(|queries| queries.gain.as_ref()),
                writes.gain.as_ref(),
            ];
            let [Some(of_queries), Some(of_keys)] = gains else {
                return false;
            };
            common.extend([of_queries, of_keys].map(Bind::from));
        }
        // Those of the pages besides.
        let bindings = common.len() + 1 + to.bindings().len();
        if bindings > planner.caps().storage_bindings as usize {
            return false;
        }
        let store = keys.store();
        let with = With {
            norm: heads.norm.is_some(),
            sinks: self.sinks.is_some(),
        };
        for ((pages, first, count), grid) in keys.parts(self.kv_heads).into_iter().zip(&few.grids) {
            let mut params = self.params(first, count, few.entries, few.splits);
            let rotation = heads.rotation.as_ref();
            let flags = [
                rotation.is_some_and(|rotation| rotation.interleaved),
                heads.norm.is_some_and(|norm| norm.unit_offset),
            ];
            let [interleaved, unit_offset] = flags.map(u32::from);
            params[FLAGS] |= 4 * interleaved + 8 * unit_offset;
            params[ROTARY] = rotation.map_or(0, |rotation| rotation.width);
            params[BEGIN] = begin;
            params.push(heads.norm.map_or(0, |norm| norm.eps.0));
            let mut bindings = common.clone();
            bindings.extend(pages);
            bindings.extend(to.bindings());
            planner.call(Call {
                variant: few_variant(store, self.deal(store).tile, to.code(), Some(with)),
                bindings,
                params,
                grid: *grid,
            });
        }
        true
    }

    /// The same, in one call of each part of the keys or, where that is too much for the device, in more.
    fn lower_alone(&self, keys: &Keys, few: &Few, to: To<'_>, planner: &mut Planner<'_>) {
        let Some(heads) = &self.heads_first else {
            return self.lower_few(keys, few, to, planner);
        };
        if self.lower_with_heads(heads, keys, few, to, planner) {
            return;
        }
        let mut apart = Self {
            heads_first: None,
            ..self.clone()
        };
        if heads.queries.is_some() {
            let numbers = self.rows as usize * self.heads as usize * self.key_dim as usize;
            apart.q = planner.scratch(numbers);
        }
        heads.lower(std::slice::from_ref(&apart.q), planner);
        apart.lower_few(keys, few, to, planner);
    }

    /// Room for what splits of `few` leave to be merged.
    fn parts(&self, few: &Few, planner: &mut Planner<'_>) -> Operand {
        let width = self.heads as usize * (self.value_dim as usize + 2);
        planner.scratch(few.splits as usize * few.entries as usize * width)
    }

    fn merge(&self, few: &Few, [parts, out]: [&Operand; 2], grid: Grid) -> Call {
        let within = parts == out;
        let mut bindings: Vec<Bind> = vec![(&few.words).into(), parts.into()];
        if !within {
            bindings.push(out.into());
        }
        Call {
            variant: merge_variant(within),
            bindings,
            params: vec![few.entries, self.heads, self.value_dim, few.splits],
            grid,
        }
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
    attention: Box<Attention>,
    /// Its `x` is not used.
    linear: Box<Linears>,
}

impl Attention {
    /// This, with what `heads` does, the node before: where it makes the queries, if any are made, and writes the
    /// newest keys and values. `None` where they do not go together: where a row sees more of what is written than
    /// its own key, prompts, where rows are many, or beside a bias.
    pub(crate) fn with_heads(&self, heads: &Heads) -> Option<Self> {
        let (Keys::Paged(buffers), few) = self.alone()? else {
            return None;
        };
        let writes = heads.writes.as_ref()?;
        let queries = heads.queries.as_ref();
        let same_heads = queries
            .is_none_or(|queries| (queries.heads, queries.width) == (self.heads, self.key_dim));
        let plain = heads.norm.is_none() && heads.rotation.is_none();
        let takes = few.newest
            && self.rows <= FEW
            && heads.rows == self.rows
            && writes.buffers == *buffers
            && same_heads
            && (queries.is_some() || plain)
            && self.bias.is_none()
            && self.heads_first.is_none();
        takes.then(|| Self {
            q: queries.map_or_else(|| self.q.clone(), |queries| queries.x.clone()),
            heads_first: Some(Box::new(heads.clone())),
            ..self.clone()
        })
    }

    /// This, and `linear` of its result and of nothing else, where they go together.
    pub(crate) fn with_linear(&self, linear: &Linears) -> Option<AttentionLinear> {
        let (_, few) = self.alone()?;
        let takes = few.splits > 1
            && linear.rows == self.rows
            && linear.takes_merge(self.heads, self.value_dim, few.splits);
        takes.then(|| AttentionLinear {
            attention: Box::new(self.clone()),
            linear: Box::new(linear.clone()),
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

    fn has_effects(&self) -> bool {
        self.attention.has_effects()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let Self { attention, linear } = self;
        let Some((keys, few)) = attention.alone() else {
            unreachable!("`with_linear` has looked")
        };
        let parts = attention.parts(few, planner);
        attention.lower_alone(keys, few, To::Parts(&parts), planner);
        if few.splits > LEFT {
            planner.call(attention.merge(few, [&parts, &parts], few.merge_most));
        }
        let merged = Linears {
            merge: Some(Box::new(Merge {
                parts,
                words: few.words.clone(),
                heads: attention.heads,
                value_dim: attention.value_dim,
                splits: few.splits,
            })),
            ..Linears::clone(linear)
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
        let heads = self.heads_first.iter().flat_map(|heads| heads.operands());
        all.extend(heads.filter(|&operand| *operand != self.q));
        all
    }

    fn has_effects(&self) -> bool {
        self.heads_first.is_some()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let out = &outputs[0];
        for source in &self.sources {
            match &source.few {
                Some(few) if few.splits > 1 => {
                    let parts = self.parts(few, planner);
                    self.lower_alone(&source.keys, few, To::Either([out, &parts]), planner);
                    planner.call(self.merge(few, [&parts, out], few.merge));
                }
                Some(few) => self.lower_alone(&source.keys, few, To::Whole(out), planner),
                None => {}
            }
            if let Some(many) = &source.many {
                self.lower_many(&source.keys, many, &outputs[0], planner);
            }
        }
    }
}

/// Where the rows that are attended to alone leave their results: `OUT`.
#[derive(Clone, Copy, Debug)]
enum To<'a> {
    /// There is one split.
    Whole(&'a Operand),
    /// With the parts, in the order of entries, also where there is one.
    Parts(&'a Operand),
    /// In the first where there is one split, else in parts.
    Either([&'a Operand; 2]),
}

impl To<'_> {
    const fn code(self) -> u32 {
        match self {
            Self::Whole(_) => 1,
            Self::Parts(_) => 2,
            Self::Either(_) => 3,
        }
    }

    fn bindings(&self) -> Vec<Bind> {
        match *self {
            Self::Whole(to) | Self::Parts(to) => vec![to.into()],
            Self::Either(both) => both.map(Bind::from).into(),
        }
    }
}

/// What there is beside heads that come as they are multiplied.
#[derive(Clone, Copy, Debug)]
struct With {
    norm: bool,
    sinks: bool,
}

/// Places of some words of `Params` in `attention_span.wgsl`.
const FLAGS: usize = 3;
const ROTARY: usize = 4;
const BEGIN: usize = 5;

fn few_variant(store: u32, tile: u32, out: u32, heads: Option<With>) -> Variant {
    let defines = [
        ("STORE", store),
        ("TILE", tile),
        ("LANES", (256 / tile).min(128)),
        ("OUT", out),
        ("HEADS", heads.is_some().into()),
        ("NORM", heads.is_some_and(|with| with.norm).into()),
        ("SINKS", heads.is_some_and(|with| with.sinks).into()),
    ];
    Variant::new("attention_few", defines)
}

fn many_variant(store: u32, chunks: u32) -> Variant {
    Variant::new("attention_many", [("STORE", store), ("CHUNKS", chunks)])
}

fn merge_variant(within: bool) -> Variant {
    Variant::new("attention_merge", [("WITHIN", within.into())])
}

/// Every variant that can be asked for on a device that can do this.
#[cfg(test)]
pub(crate) fn variants(caps: &crate::gpu::Caps) -> Vec<Variant> {
    let mut all = [true, false].map(merge_variant).to_vec();
    for store in 0..=DENSE {
        for tile in [1, 2, 4, 8] {
            for out in [1, 2, 3] {
                all.push(few_variant(store, tile, out, None));
                for [norm, sinks] in [[false; 2], [true, false], [false, true], [true; 2]] {
                    let with = With { norm, sinks };
                    let bindings = 5 + 2 * u32::from(norm) + u32::from(sinks) + 1 + out / 3;
                    if store != DENSE && bindings <= caps.storage_bindings {
                        all.push(few_variant(store, tile, out, Some(with)));
                    }
                }
            }
        }
        all.extend(CHUNKS.map(|chunks| many_variant(store, chunks)));
    }
    all
}
