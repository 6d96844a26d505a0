//! Heads on their way to attention: queries and keys normalised and rotated, keys and values written to pages.
//!
//! One payload says any part of it: [`rope`] records queries that are rotated, and writing to a store records keys
//! and values as they are. A norm of each head, the rotation of queries, that of keys and the write are one
//! call once they are put together ([`Heads::joined`]), where the device binds as many buffers; else two.

use crate::gpu::op::Operation;
use crate::gpu::{Bind, Bits, Call, Gpu, Grid, Operand, Planner, Recording, Variant};
use crate::{RopeLayout, Tensor};

use super::kv::PageBuffers;
use super::word;

/// Numbers of a head that the kernel has room for.
pub(crate) const WIDEST: u32 = 1024;
/// Storage buffers that everything at once needs.
const BINDINGS: u32 = 9;

/// What is done with the heads of `rows` rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Heads {
    pub(crate) rows: u32,
    /// Of queries and keys, if there is one.
    pub(crate) norm: Option<HeadNorm>,
    /// Of queries and keys, if there is one.
    pub(crate) rotation: Option<Rotation>,
    /// Becomes the output.
    pub(crate) queries: Option<Queries>,
    /// Written to pages.
    pub(crate) writes: Option<Box<Writes>>,
}

/// RMS over each head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeadNorm {
    pub(crate) eps: Bits,
    /// Gains are stored less one.
    pub(crate) unit_offset: bool,
}

/// A rotation of the first numbers of each head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rotation {
    /// `[T, R]`: cosines, then sines.
    pub(crate) angles: Operand,
    /// `R`.
    pub(crate) width: u32,
    pub(crate) interleaved: bool,
}

/// `[T, H, D]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queries {
    pub(crate) x: Operand,
    /// `[D]`, where there is a norm.
    pub(crate) gain: Option<Operand>,
    pub(crate) heads: u32,
    pub(crate) width: u32,
}

/// Keys `[T, K, Dk]` and values `[T, K, Dv]`, of which rows with a slot are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writes {
    pub(crate) k: Operand,
    /// `[Dk]`, where there is a norm.
    pub(crate) gain: Option<Operand>,
    pub(crate) v: Operand,
    /// `[T]`: `page * PAGE + position`, or all bits set.
    pub(crate) slots: Operand,
    pub(crate) buffers: PageBuffers,
}

impl Heads {
    /// This write of keys and values, done together with what `queries` does to queries, and with what
    /// `keys` does to the keys, which must be of the same kind: `None` where that is not one kernel's.
    ///
    /// `keys` are the nodes that made what is written, `queries` those that made other rows alike: each a
    /// rotation, with the norm it rotates the result of.
    pub(crate) fn joined(&self, queries: &Self, keys: &Self) -> Option<Self> {
        let (write, q, k) = (
            self.writes.as_ref()?,
            queries.queries.as_ref()?,
            keys.queries.as_ref()?,
        );
        let shape = write.buffers.shape;
        let plain = self.queries.is_none() && self.norm.is_none() && self.rotation.is_none();
        let alike = queries.norm == keys.norm
            && queries.rotation == keys.rotation
            && queries.rows == self.rows
            && keys.rows == self.rows
            && queries.writes.is_none()
            && keys.writes.is_none()
            && q.width == shape.key_dim
            && (k.heads, k.width) == (shape.heads, shape.key_dim);
        (plain && alike).then(|| Self {
            rows: self.rows,
            norm: keys.norm,
            rotation: keys.rotation.clone(),
            queries: Some(q.clone()),
            writes: Some(Box::new(Writes {
                k: k.x.clone(),
                gain: k.gain.clone(),
                ..Writes::clone(write)
            })),
        })
    }

    /// This rotation, of what `norm` makes of `x` with `gain` `[D]`, row by row of the width of a head.
    pub(crate) fn normed(&self, norm: HeadNorm, x: &Operand, gain: &Operand) -> Option<Self> {
        let queries = self.queries.as_ref()?;
        (self.norm.is_none() && self.writes.is_none()).then(|| Self {
            norm: Some(norm),
            queries: Some(Queries {
                x: x.clone(),
                gain: Some(gain.clone()),
                ..*queries
            }),
            ..self.clone()
        })
    }

    fn params(&self, first: u32, count: u32) -> Vec<u32> {
        let shape = self.writes.as_ref().map(|writes| writes.buffers.shape);
        let queries = self.queries.as_ref();
        let rotation = self.rotation.as_ref();
        let flags = [
            self.norm.is_some(),
            self.norm.is_some_and(|norm| norm.unit_offset),
            rotation.is_some_and(|rotation| rotation.interleaved),
        ];
        vec![
            self.rows,
            queries.map_or(0, |queries| queries.heads),
            shape.map_or(0, |shape| shape.heads),
            first,
            count,
            queries.map_or_else(
                || shape.map_or(0, |shape| shape.key_dim),
                |queries| queries.width,
            ),
            shape.map_or(0, |shape| shape.value_dim),
            rotation.map_or(0, |rotation| rotation.width),
            flags
                .iter()
                .rev()
                .fold(0, |flags, &on| 2 * flags + u32::from(on)),
            self.norm.map_or(0, |norm| norm.eps.0),
        ]
    }
}

impl Operation for Heads {
    fn operands(&self) -> Vec<&Operand> {
        let rotation = self.rotation.iter().map(|rotation| &rotation.angles);
        let queries = self
            .queries
            .iter()
            .flat_map(|q| [&q.x].into_iter().chain(&q.gain));
        let writes = self.writes.iter().flat_map(|w| {
            let read = [&w.k, &w.v, &w.slots].into_iter().chain(&w.gain);
            read.chain(w.buffers.operands())
        });
        rotation.chain(queries).chain(writes).collect()
    }

    fn has_effects(&self) -> bool {
        self.writes.is_some()
    }

    fn lower(&self, outputs: &[Operand], planner: &mut Planner<'_>) {
        let rotation = self.rotation.as_ref().map(|rotation| &rotation.angles);
        let mut queries = self.queries.as_ref();
        let axes = |heads: u32| {
            let [y, z, _] = crate::gpu::fold(self.rows as usize);
            Grid::Fixed([heads, y, z])
        };
        let of_queries = |q: &Queries| -> Vec<Bind> {
            let gain = q.gain.as_ref().unwrap_or(&q.x);
            vec![(&q.x).into(), gain.into(), (&outputs[0]).into()]
        };
        for part in self
            .writes
            .iter()
            .flat_map(|writes| writes.buffers.parts.iter())
        {
            let Some(writes) = &self.writes else { break };
            // The queries go with the first part.
            let with = queries.take_if(|_| planner.caps().storage_bindings >= BINDINGS);
            let mut bindings = vec![rotation.unwrap_or(&writes.k).into()];
            bindings.extend(with.map(of_queries).into_iter().flatten());
            let gain = writes.gain.as_ref().unwrap_or(&writes.k);
            bindings
                .extend([&writes.k, gain, &writes.v, &writes.slots, &part.pages].map(Bind::from));
            let heads = with.map_or(0, |queries| queries.heads) + 2 * part.count;
            let parts = if with.is_some() {
                Parts::All
            } else {
                Parts::KeysAndValues
            };
            planner.call(Call {
                variant: variant(parts, writes.buffers.code()),
                bindings,
                params: self.params(part.first, part.count),
                grid: axes(heads),
            });
        }
        if let Some(queries) = queries {
            let mut bindings = vec![rotation.unwrap_or(&queries.x).into()];
            bindings.extend(of_queries(queries));
            planner.call(Call {
                variant: variant(Parts::Queries, 0),
                bindings,
                params: self.params(0, 0),
                grid: axes(queries.heads),
            });
        }
    }
}

/// What a kernel does: `PARTS`.
#[derive(Clone, Copy, Debug)]
enum Parts {
    Queries = 1,
    KeysAndValues = 2,
    All = 3,
}

fn variant(parts: Parts, store: u32) -> Variant {
    Variant::new("heads", [("PARTS", parts as u32), ("STORE", store)])
}

/// Every variant that can be asked for on a device that can do this.
#[cfg(test)]
pub(crate) fn variants(caps: &crate::gpu::Caps) -> Vec<Variant> {
    let mut all = vec![variant(Parts::Queries, 0)];
    for store in 0..3 {
        all.push(variant(Parts::KeysAndValues, store));
        if caps.storage_bindings >= BINDINGS {
            all.push(variant(Parts::All, store));
        }
    }
    all
}

#[track_caller]
pub(crate) fn check_width(width: usize) {
    assert!(
        width <= WIDEST as usize,
        "a head of {width} numbers: the kernels of a GPU have room for {WIDEST}"
    );
}

/// [`rope`](crate::rope), with angles `[T, R]`.
#[track_caller]
pub(crate) fn rope(gpu: &Gpu, x: &Tensor, angles: &Tensor, layout: RopeLayout) -> Tensor {
    let &[rows, heads, width] = x.shape() else {
        unreachable!("the shape was checked")
    };
    check_width(width);
    let mut recording = gpu.recording();
    let op = Heads {
        rows: word(rows),
        norm: None,
        rotation: Some(Rotation {
            angles: recording.operand(angles),
            width: word(angles.width()),
            interleaved: layout == RopeLayout::Interleaved,
        }),
        queries: Some(Queries {
            x: recording.operand(x),
            gain: None,
            heads: word(heads),
            width: word(width),
        }),
        writes: None,
    };
    recording.push_one(x.device(), op, x.shape())
}

/// Write rows of keys and values to the pages of `slots`.
pub(crate) fn write(
    recording: &mut Recording<'_>,
    k: &Tensor,
    v: &Tensor,
    slots: &[u32],
    buffers: PageBuffers,
) {
    let op = Heads {
        rows: word(slots.len()),
        norm: None,
        rotation: None,
        queries: None,
        writes: Some(Box::new(Writes {
            k: recording.operand(k),
            gain: None,
            v: recording.operand(v),
            slots: recording.words(slots, slots.len()),
            buffers,
        })),
    };
    let [] = recording.push(k.device(), op, []);
}
