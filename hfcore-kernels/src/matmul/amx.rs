//! Matrix products with AMX: tiles of 32 by 32 results.
//!
//! The operands lie as for [`vdpbf16ps`](super::avx512bf16), of which a step is exactly a row of tiles:
//!
//! ```text
//!   weight        [steps, 32 rows, 16 pairs of inputs]       two tiles, first operand of tdpbf16ps
//!   activations   [steps, 16 pairs of inputs, 32 columns]    two tiles, side by side, the second
//!   results       [32 rows, 32 columns]                      two by two tiles
//! ```
//!
//! A block of the weight that fills half of the second cache meets one panel of activations after the
//! other; of up to 2048 inputs, results stay in tiles until they are whole.
//!
//! Weights in `f16`, and in `f32` where *high* precision is asked for, are multiplied [in
//! parts](crate::amx::split): an `f16` of 11 bits is two `bf16` of 8 exactly, and activations lose what is
//! below 16 bits, where transformers in `f16` leaves 11. An infinity has no parts: it becomes NaN, as do
//! numbers beyond the largest `bf16`, 3.39e38.
//!
//! **Written for Sapphire Rapids after measured prototypes, and run by the tests through an emulator:
//! how fast it is in this form was not measured.** `few` is where reading the weight, at 10 GB/s for a
//! core, takes as long as multiplying it with `f32`.

use std::arch::x86_64::*;

use super::avx2;
use super::avx512::{self, load, load_bytes, store, transposed};
use super::avx512bf16::{self, round};
use super::kernels::{Kernels, Tile, WidenFn};
use crate::Isa;
use crate::amx::{
    Operand, ROW, TILE, Tiles, bf16_block, bf16_narrow,
    split::{split_block, split_narrow},
};
use crate::device::Cpu;

pub(super) static KERNELS: Kernels = Kernels {
    dots: avx512::DOTS,
    rounded: [None, None, None],
    strict: avx512::STRICT,
    high: [
        Some(parts(split_f32)),
        Some(parts(split_f16)),
        Some(parts(split_bf16)),
    ],
    fast: [None, Some(parts(split_f16)), Some(PAIRS)],
};

/// Rows of a weight, and columns, in a tile of results.
const SIDE: usize = 32;
/// Words of a row in a step, of one part.
const WORDS: usize = 16;
/// Words of a step of the weight, of one part.
const PART: usize = SIDE * WORDS;

const PAIRS: Tile = Tile {
    rows: SIDE,
    columns: SIDE,
    step: 2 * WORDS,
    words: WORDS,
    group: WORDS,
    piece: 2048,
    block: 256,
    few: 8,
    widen: avx512bf16::copy::<SIDE>,
    arrange: avx512bf16::arrange,
    run: pairs::<SIDE>,
    narrow: pairs::<{ SIDE / 2 }>,
    transpose: avx512::transpose,
};

const fn parts(widen: WidenFn) -> Tile {
    Tile {
        words: 2 * WORDS,
        piece: 1024,
        few: 16,
        widen,
        arrange: arrange_parts,
        run: in_parts::<SIDE>,
        narrow: in_parts::<{ SIDE / 2 }>,
        ..PAIRS
    }
}

/// What lets the thread use tiles for a unit of work.
pub(super) fn tiles(cpu: &Cpu) -> Option<Tiles> {
    match cpu.isa {
        Isa::Amx(amx) => Some(Tiles::configure(amx)),
        _ => None,
    }
}

/// See [`Tile::run`]; of [`SIDE`] columns, or half of it.
///
/// # Safety
/// [`tiles`] must be there.
unsafe fn pairs<const WIDTH: usize>(
    w: &[f32],
    x: &[f32],
    steps: usize,
    tile: &mut [f32],
    add: bool,
) {
    check(w, x, steps, tile, [PART, WORDS * WIDTH, SIDE * WIDTH]);
    let start = w.as_ptr().cast::<u8>();
    let w = Operand {
        tiles: [start, start.wrapping_add(TILE)],
        stride: ROW,
    };
    let start = x.as_ptr().cast::<u8>();
    let x = Operand {
        tiles: [start, start.wrapping_add(ROW)],
        stride: 4 * WIDTH,
    };
    let (to, stride) = (tile.as_mut_ptr().cast(), 4 * WIDTH);
    if WIDTH == SIDE {
        // SAFETY: tiles are configured, by promise; `check` saw that all is as long as is used.
        unsafe { bf16_block::<{ 4 * PART }, { 4 * PART }>(w, x, steps, to, stride, add) };
    } else {
        // SAFETY: as above, of half the columns.
        unsafe { bf16_narrow::<{ 4 * PART }, { 2 * PART }>(w, x, steps, to, stride, add) };
    }
}

/// See [`Tile::run`], of numbers in parts; of [`SIDE`] columns, or half of it.
///
/// # Safety
/// [`tiles`] must be there.
unsafe fn in_parts<const WIDTH: usize>(
    w: &[f32],
    x: &[f32],
    steps: usize,
    tile: &mut [f32],
    add: bool,
) {
    check(
        w,
        x,
        steps,
        tile,
        [2 * PART, 2 * WORDS * WIDTH, SIDE * WIDTH],
    );
    let (w, x, to) = (
        w.as_ptr().cast(),
        x.as_ptr().cast(),
        tile.as_mut_ptr().cast(),
    );
    if WIDTH == SIDE {
        // SAFETY: tiles are configured, by promise; `check` saw that all is as long as is used.
        unsafe { split_block(w, x, steps, to, add) };
    } else {
        // SAFETY: as above, of half the columns.
        unsafe { split_narrow(w, x, steps, to, add) };
    }
}

/// That there is at least one step, and memory for all of them.
fn check(w: &[f32], x: &[f32], steps: usize, tile: &[f32], [of_w, of_x, of_tile]: [usize; 3]) {
    let enough = w.len() >= steps * of_w && x.len() >= steps * of_x && tile.len() >= of_tile;
    assert!(steps > 0 && enough, "{steps} steps");
}

/// The numbers of pairs in two parts, rounded: of the numbers, and of what the first part leaves of them.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn split(numbers: &[f32; 32]) -> [__m512i; 2] {
    let upper = round(numbers);
    let mut rest = [0.0; 32];
    // Of a pair, the second is the upper half of its word.
    let pairs = [
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper)),
        _mm512_castsi512_ps(_mm512_and_si512(
            upper,
            _mm512_set1_epi32(0xffff_0000_u32.cast_signed()),
        )),
    ];
    let order = |first| {
        let lanes = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        let lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
        _mm512_permutex2var_ps(pairs[0], lanes, pairs[1])
    };
    let (halves, rests) = (numbers.as_chunks::<16>().0, rest.as_chunks_mut::<16>().0);
    store(&mut rests[0], _mm512_sub_ps(load(&halves[0]), order(0)));
    store(&mut rests[1], _mm512_sub_ps(load(&halves[1]), order(8)));
    [upper, round(&rest)]
}

/// A [`Tile::widen`] in parts, from numbers of so many bytes that a function makes `f32` of, or parts.
macro_rules! split {
    ($name:ident, $size:literal, $parts:ident) => {
        #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn $name(from: &[u8], to: &mut [f32]) {
            for (from, to) in from.chunks(32 * $size).zip(to.chunks_mut(2 * PART)) {
                let mut step = [0; 32 * $size];
                step[..from.len()].copy_from_slice(from);
                let [upper, lower] = $parts(&step);
                let (first, second) = to.split_at_mut(PART);
                let whole = "parts are whole rows";
                store(
                    first.first_chunk_mut().expect(whole),
                    _mm512_castsi512_ps(upper),
                );
                store(
                    second.first_chunk_mut().expect(whole),
                    _mm512_castsi512_ps(lower),
                );
            }
        }
    };
}
split!(split_f32, 4, parts_of_f32);
split!(split_f16, 2, parts_of_f16);
split!(split_bf16, 2, parts_of_bf16);

#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn parts_of_f32(step: &[u8; 128]) -> [__m512i; 2] {
    let mut numbers = [0.0; 32];
    for (number, bytes) in numbers.iter_mut().zip(step.as_chunks::<4>().0) {
        *number = f32::from_le_bytes(*bytes);
    }
    split(&numbers)
}

#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn parts_of_f16(step: &[u8; 64]) -> [__m512i; 2] {
    let mut numbers = [0.0; 32];
    let halves = step.as_chunks::<32>().0.iter();
    for (to, from) in numbers.as_chunks_mut::<16>().0.iter_mut().zip(halves) {
        store(to, _mm512_cvtph_ps(avx2::load_bytes(from)));
    }
    split(&numbers)
}

/// They are their upper parts.
#[inline]
#[target_feature(enable = "avx512f")]
fn parts_of_bf16(step: &[u8; 64]) -> [__m512i; 2] {
    [load_bytes(step), _mm512_setzero_si512()]
}

/// See [`Tile::arrange`], in parts: `[steps, 2 parts, 16 words, width]`.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn arrange_parts(
    x: &[f32],
    stride: usize,
    [rows, inputs]: [usize; 2],
    to: &mut [f32],
    width: usize,
) {
    for first in (0..width).step_by(16) {
        for (start, to) in (0..inputs)
            .step_by(32)
            .zip(to.chunks_mut(2 * WORDS * width))
        {
            let length = 32.min(inputs - start);
            let mut parts = [[_mm512_setzero_si512(); 16]; 2];
            for r in 0..16.min(rows.saturating_sub(first)) {
                let mut numbers = [0.0; 32];
                let from = (first + r) * stride + start;
                numbers[..length].copy_from_slice(&x[from..from + length]);
                [parts[0][r], parts[1][r]] = split(&numbers);
            }
            let words = parts.into_iter().flat_map(|part| transposed(part));
            for (to, words) in to.chunks_exact_mut(width).zip(words) {
                let to = to[first..]
                    .first_chunk_mut()
                    .expect("widths are of vectors");
                store(to, _mm512_castsi512_ps(words));
            }
        }
    }
}
