//! The keys and values of a span as pages that products take, wherever they are.

use std::ops::Range;

use super::KeyValues;
use super::block::Numbers;
use super::pairs::{Rounding, interleave};
use crate::isa::multiversion;
use crate::kv::{HeadPage, scatter};
use crate::{Device, KvDType, KvStore, PAGE, PageId, Tensor};

/// Rows, a query times a head each, up to which `bf16` is multiplied where it lies: two tiles.
const DIRECT_ROWS: usize = 16;

/// What products take of a page.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// What is there.
    AsTheyLie,
    /// `f32`.
    Wide,
    /// Words of two `bf16`.
    Pairs(Rounding),
}

impl Form {
    /// Numbers of memory that [`get`](Pages::get) needs.
    pub(super) const fn scratch(self, key_dim: usize, value_dim: usize) -> usize {
        let numbers = PAGE * (key_dim + padded(value_dim));
        match self {
            Self::AsTheyLie => 0,
            Self::Wide => numbers,
            Self::Pairs(_) => numbers / 2,
        }
    }

    /// How queries and weights become what meets it.
    pub(super) const fn rounding(self) -> Option<Rounding> {
        match self {
            Self::Pairs(rounding) => Some(rounding),
            Self::AsTheyLie | Self::Wide => None,
        }
    }
}

/// The width of a value in memory: whole vectors.
pub(super) const fn padded(value_dim: usize) -> usize {
    value_dim.next_multiple_of(16)
}

/// The pages of a span.
pub(super) enum Pages<'a> {
    /// Of a store; widened where they are not whole vectors, or of a type that is.
    Stored {
        store: &'a KvStore,
        pages: &'a [PageId],
        /// Whether values are whole vectors.
        whole: bool,
    },
    /// Made of dense keys and values: `[pages, K, Dk * PAGE + PAGE * W]`.
    Packed { numbers: Tensor, heads: usize },
}

impl<'a> Pages<'a> {
    pub(super) fn new(keys: &KeyValues<'a>, device: &Device) -> Self {
        match keys {
            KeyValues::Paged { store, pages, .. } => {
                let whole = store.value_dim().is_multiple_of(16);
                Self::Stored {
                    store,
                    pages,
                    whole,
                }
            }
            KeyValues::Dense { k, v, rows } => {
                let heads = k.shape()[1];
                Self::Packed {
                    numbers: pack(k, v, rows, device),
                    heads,
                }
            }
        }
    }

    /// What pages become for a unit of `rows` out of `all`, with pairs where they can be multiplied. `bf16` would be
    /// widened again for every tile of rows: of many rows, it is laid out before.
    ///
    /// Pairs are rounded, so that whether there are any must not depend on where units are cut.
    pub(super) fn form(
        &self,
        [rows, all]: [usize; 2],
        key_dim: usize,
        pairs: Option<Rounding>,
    ) -> Form {
        let Self::Stored { store, whole, .. } = self else {
            return Form::AsTheyLie;
        };
        match (store.dtype(), pairs) {
            (KvDType::Bf16, Some(pairs)) if all > DIRECT_ROWS && key_dim.is_multiple_of(2) => {
                Form::Pairs(pairs)
            }
            (KvDType::Bf16, _) if *whole && rows <= DIRECT_ROWS => Form::AsTheyLie,
            (KvDType::F32, _) if *whole => Form::AsTheyLie,
            (KvDType::F32 | KvDType::Bf16 | KvDType::F16, _) => Form::Wide,
        }
    }

    /// The keys `[Dk, PAGE]` and values `[PAGE, W]` of `head` in page number `page` of the span, of which
    /// `valid` positions are written, in `memory` of as many numbers as [`Form::scratch`] says.
    pub(super) fn get<'s>(
        &'s self,
        isa: crate::Isa,
        form: Form,
        [page, valid, head]: [usize; 3],
        memory: &'s mut [f32],
        [key_dim, value_dim]: [usize; 2],
    ) -> (Numbers<'s>, Numbers<'s>) {
        let width = padded(value_dim);
        match self {
            Self::Packed { numbers, heads } => {
                let len = PAGE * (key_dim + width);
                let part = &numbers.data()[(page * heads + head) * len..][..len];
                let (keys, values) = part.split_at(PAGE * key_dim);
                (Numbers::F32(keys), Numbers::F32(values))
            }
            Self::Stored { store, pages, .. } => {
                let from = store.head_page(pages[page], head);
                if matches!(form, Form::AsTheyLie) {
                    match from {
                        HeadPage::F32 { keys, values } => {
                            return (Numbers::F32(keys), Numbers::F32(values));
                        }
                        HeadPage::Bf16 { keys, values } => {
                            return (Numbers::Bf16(keys), Numbers::Bf16(values));
                        }
                        HeadPage::F16 { .. } => {}
                    }
                }
                if let (Form::Pairs(_), HeadPage::Bf16 { keys, values }) = (form, from) {
                    return pair(isa, [keys, values], valid, memory, value_dim);
                }
                let (keys, values) = memory.split_at_mut(PAGE * key_dim);
                match from {
                    HeadPage::F32 { keys: k, values: v } => {
                        keys.copy_from_slice(k);
                        rows(v, values, value_dim, width, <[f32]>::copy_from_slice);
                    }
                    HeadPage::Bf16 { keys: k, values: v } => {
                        widen_bf16(isa, k, keys);
                        rows(v, values, value_dim, width, |to, from| {
                            widen_bf16(isa, from, to);
                        });
                    }
                    HeadPage::F16 { keys: k, values: v } => {
                        widen_f16(isa, k, keys);
                        rows(v, values, value_dim, width, |to, from| {
                            widen_f16(isa, from, to);
                        });
                    }
                }
                (Numbers::F32(keys), Numbers::F32(values))
            }
        }
    }
}

/// Keys `[Dk, PAGE]` and values `[PAGE, Dv]` in pairs of rows, the values' with zeros after them. Positions that
/// are not written are none.
fn pair<'s>(
    isa: crate::Isa,
    [keys, values]: [&[u16]; 2],
    valid: usize,
    memory: &'s mut [f32],
    value_dim: usize,
) -> (Numbers<'s>, Numbers<'s>) {
    let (k, v) = memory.split_at_mut(keys.len() / 2);
    for (from, to) in keys.chunks_exact(2 * PAGE).zip(k.chunks_exact_mut(PAGE)) {
        let (first, second) = from.split_at(PAGE);
        interleave(isa, first, Some(second), to);
    }
    let written = values[..valid * value_dim].chunks(2 * value_dim);
    for (from, to) in written.zip(v.chunks_exact_mut(padded(value_dim))) {
        let (first, second) = from.split_at(value_dim);
        let (to, rest) = to.split_at_mut(value_dim);
        interleave(isa, first, Some(second).filter(|row| !row.is_empty()), to);
        rest.fill(0.0);
    }
    (Numbers::Pairs(k), Numbers::Pairs(v))
}

/// Rows of `value_dim` numbers to rows of `width`, with zeros after them.
fn rows<T>(
    from: &[T],
    to: &mut [f32],
    value_dim: usize,
    width: usize,
    copy: impl Fn(&mut [f32], &[T]),
) {
    if value_dim == width {
        return copy(to, from);
    }
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(value_dim)) {
        copy(&mut to[..value_dim], from);
        to[value_dim..].fill(0.0);
    }
}

/// Pages of the rows `range` of `k` `[S, K, Dk]` and `v` `[S, K, Dv]`.
fn pack(k: &Tensor, v: &Tensor, range: &Range<usize>, device: &Device) -> Tensor {
    let &[_, heads, key_dim] = k.shape() else {
        unreachable!("the shape of dense keys was checked")
    };
    let value_dim = v.width();
    let width = padded(value_dim);
    let len = PAGE * (key_dim + width);
    let mut out = Tensor::unspecified(device, &[range.len().div_ceil(PAGE) * heads, len]);
    let cpu = device.on_cpu();
    cpu.pool.for_rows(out.data_mut(), len, 4, |first, out| {
        for (i, out) in out.chunks_exact_mut(len).enumerate() {
            let (page, head) = ((first + i) / heads, (first + i) % heads);
            let (keys, values) = out.split_at_mut(PAGE * key_dim);
            let start = range.start + page * PAGE;
            for (position, row) in (start..range.end.min(start + PAGE)).enumerate() {
                scatter(
                    &k.data()[(row * heads + head) * key_dim..][..key_dim],
                    keys,
                    position,
                );
                let to = &mut values[position * width..][..width];
                to[..value_dim]
                    .copy_from_slice(&v.data()[(row * heads + head) * value_dim..][..value_dim]);
                to[value_dim..].fill(0.0);
            }
        }
    });
    out
}

multiversion! { fn widen_bf16(from: &[u16], to: &mut [f32]) = widen_bf16_body }
multiversion! { fn widen_f16(from: &[u16], to: &mut [f32]) = widen_f16_body }

#[inline(always)]
fn widen_bf16_body(from: &[u16], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from) << 16);
    }
}

#[inline(always)]
fn widen_f16_body(from: &[u16], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f16_to_f32(from);
    }
}

/// Exact, without branches, so that it vectorises.
#[inline(always)]
fn f16_to_f32(bits: u16) -> f32 {
    /// 2^112: the difference of the exponents' biases. The product is exact, denormal numbers included.
    const REBIAS: f32 = f32::from_bits(0x7780_0000);
    let bits = u32::from(bits);
    let magnitude = (f32::from_bits((bits & 0x7fff) << 13) * REBIAS).to_bits();
    let special = if bits & 0x7c00 == 0x7c00 {
        0x7f80_0000
    } else {
        0
    };
    f32::from_bits(magnitude | special | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::Isa;

    #[test]
    fn all_numbers_of_16_bits_are_widened_exactly() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0.0; all.len()];
        for isa in Isa::all() {
            for (name, widen, exact) in [
                (
                    "f16",
                    widen_f16 as fn(Isa, &[u16], &mut [f32]),
                    (|b| f16::from_bits(b).to_f32()) as fn(u16) -> f32,
                ),
                ("bf16", widen_bf16, |b| bf16::from_bits(b).to_f32()),
            ] {
                widen(isa, &all, &mut wide);
                for (&bits, &wide) in all.iter().zip(&wide) {
                    let exact = exact(bits);
                    let same =
                        wide.to_bits() == exact.to_bits() || (wide.is_nan() && exact.is_nan());
                    assert!(
                        same,
                        "{name} {bits:#x} on {}: {wide}, not {exact}",
                        isa.name()
                    );
                }
            }
        }
    }
}
