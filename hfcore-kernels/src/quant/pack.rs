//! Quantizing: from a weight to planes.
//!
//! Sixteen rows of the weight are widened and laid side by side, so that a vector holds an input of each,
//! and become a panel. Both formats round to nearest, ties to even:
//!
//! * int8: `scale = max |w| / 127` of the row.
//! * int4: the scale is the `bf16` with the smallest sum of squared errors among a few. If the largest number
//!   of a group, by magnitude, is m, these are `m / -9, m / -8.5 .. m / -5.5` (so that m becomes -8, the end
//!   of -8..=7 that is farther from 0, or is cut to it), and the least-squares fit to the best of them.
//!   On normal numbers the error is 2 % above that of the best of 320 scales.
//!
//! Nothing is fused, so that planes are the same whatever the instruction set.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::format::{LINE, PANEL};
use super::quantized::Planes;
use super::{QuantError, QuantFormat, Quantized};
use crate::device::Cpu;
use crate::embedding::widen;
use crate::isa::multiversion;
use crate::pool::Parts;
use crate::{Bytes, Device, Weight};

/// The largest scale of which 127 are a number.
const LARGEST: f32 = (f32::MAX / 127.0).next_down();

/// An input of each output of a panel.
type Lanes = [f32; PANEL];

impl Quantized {
    /// The matrix `weight` `[O, I]` in fewer bits, on all threads of `device`.
    ///
    /// The same planes on every device.
    ///
    /// # Errors
    /// If `weight` is no matrix, is too large, or has a NaN or an infinity.
    pub fn quantize(
        weight: &Weight,
        format: QuantFormat,
        device: &Device,
    ) -> Result<Self, QuantError> {
        let &[outputs, inputs] = weight.shape() else {
            return Err(QuantError::NoMatrix(weight.shape().to_vec()));
        };
        let [values, scales] = format.planes([outputs, inputs])?;
        let cpu = device.on_cpu();
        let mut values = Plane::new(values.bytes_len());
        let mut scales = Plane::new(scales.bytes_len());
        let first_bad = AtomicUsize::new(usize::MAX);
        if outputs > 0 && inputs > 0 {
            let planes = [&mut values, &mut scales].map(|plane| Parts::new(plane.bytes()));
            pack(cpu, weight, format, &planes, &first_bad);
        }
        match first_bad.into_inner() {
            usize::MAX => Ok(Self {
                format,
                outputs,
                inputs,
                planes: Planes::Host {
                    values: values.into_bytes(),
                    scales: scales.into_bytes(),
                },
            }),
            row => Err(QuantError::NotFinite { row }),
        }
    }
}

/// Memory of a plane, from the start of a cache line on.
struct Plane {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Plane {
    fn new(len: usize) -> Self {
        let memory = vec![0; len + LINE - 1];
        let start = memory.as_ptr().align_offset(LINE).min(LINE - 1);
        Self { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from(self.memory).slice(self.start..self.start + self.len)
    }
}

/// All panels of `weight`. The first row that has a number that is not finite is written to `first_bad`.
fn pack(
    cpu: &Cpu,
    weight: &Weight,
    format: QuantFormat,
    [values, scales]: &[Parts<'_, u8>; 2],
    first_bad: &AtomicUsize,
) {
    let &[outputs, inputs] = weight.shape() else {
        unreachable!("a matrix")
    };
    let padded = format.padded(inputs);
    let (value_bytes, scale_bytes) = (format.panel_bytes(padded), format.panel_scale_bytes(padded));
    cpu.pool.for_each(outputs.div_ceil(PANEL), 1, |panels| {
        let mut panel = vec![[0.0; PANEL]; padded];
        for index in panels {
            let rows = index * PANEL..outputs.min((index + 1) * PANEL);
            if rows.len() < PANEL {
                panel.fill([0.0; PANEL]);
            }
            if let Some(o) = turn(weight, rows.clone(), &mut panel) {
                first_bad.fetch_min(rows.start + o, Ordering::Relaxed);
                return;
            }
            // SAFETY: each panel is dealt once.
            let values = unsafe { values.part(index * value_bytes..(index + 1) * value_bytes) };
            // SAFETY: as above.
            let scales = unsafe { scales.part(index * scale_bytes..(index + 1) * scale_bytes) };
            match format {
                QuantFormat::Int8 => pack_int8(cpu.isa, &panel, values, scales),
                QuantFormat::Int4(group) => {
                    pack_int4(cpu.isa, &panel, group.get(), values, scales);
                }
            }
        }
    });
}

/// Widen `rows` of `weight` and lay them side by side. The first that has a number that is not finite, if any
/// has.
fn turn(weight: &Weight, rows: Range<usize>, panel: &mut [Lanes]) -> Option<usize> {
    /// Inputs that are turned together: what is written stays in the first cache.
    const BLOCK: usize = 64;
    let size = weight.dtype().size();
    let inputs = weight.shape()[1];
    let mut finite = [true; PANEL];
    for (block, panel) in panel.chunks_mut(BLOCK).enumerate() {
        let start = (block * BLOCK).min(inputs);
        let len = BLOCK.min(inputs - start);
        let mut row = [0.0; BLOCK];
        for (o, n) in rows.clone().enumerate() {
            let bytes = &weight.bytes()[(n * inputs + start) * size..][..len * size];
            widen(weight.dtype(), bytes, &mut row[..len]);
            for (lanes, w) in panel.iter_mut().zip(&row[..len]) {
                lanes[o] = *w;
                finite[o] &= w.is_finite();
            }
        }
    }
    finite.iter().position(|finite| !finite)
}

multiversion! { fn pack_int8(panel: &[Lanes], values: &mut [u8], scales: &mut [u8]) = pack_int8_body }
multiversion! {
    fn pack_int4(panel: &[Lanes], group: usize, values: &mut [u8], scales: &mut [u8]) = pack_int4_body
}

#[inline(always)]
fn pack_int8_body(panel: &[Lanes], values: &mut [u8], scales: &mut [u8]) {
    let mut most = [0.0; PANEL];
    for lanes in panel {
        for (most, w) in most.iter_mut().zip(lanes) {
            *most = crate::lanes::larger(*most, w.abs());
        }
    }
    let steps: Lanes = most.map(|most| not_denormal((most / 127.0).min(LARGEST)));
    for (to, scale) in scales.as_chunks_mut::<4>().0.iter_mut().zip(steps) {
        *to = scale.to_le_bytes();
    }
    // A row of zeros has a scale of zero, and is divided by one.
    let divisors: Lanes = steps.map(|scale| if scale == 0.0 { 1.0 } else { scale });
    for (lanes, to) in panel
        .as_chunks::<4>()
        .0
        .iter()
        .zip(values.as_chunks_mut::<LINE>().0)
    {
        for (i, lanes) in lanes.iter().enumerate() {
            for o in 0..PANEL {
                to[4 * o + i] = low_byte(nearest(lanes[o] / divisors[o]));
            }
        }
    }
}

#[inline(always)]
fn pack_int4_body(panel: &[Lanes], group: usize, values: &mut [u8], scales: &mut [u8]) {
    let lines = values.chunks_exact_mut(group * PANEL / 2);
    let scales = scales.as_chunks_mut::<{ 2 * PANEL }>().0;
    for ((panel, lines), scales) in panel.chunks_exact(group).zip(lines).zip(scales) {
        let steps = fit(panel);
        for (to, step) in scales.as_chunks_mut::<2>().0.iter_mut().zip(steps) {
            let [_, _, low, high] = step.to_le_bytes();
            *to = [low, high];
        }
        let inverses = steps.map(inverse);
        let eights = panel.as_chunks::<8>().0.iter();
        for (lanes, to) in eights.zip(lines.as_chunks_mut::<LINE>().0) {
            for i in 0..4 {
                for o in 0..PANEL {
                    let low = low_byte(four_bits(lanes[i][o], inverses[o]) + 8.0);
                    let high = low_byte(four_bits(lanes[i + 4][o], inverses[o]) + 8.0);
                    to[4 * o + i] = low | high << 4;
                }
            }
        }
    }
}

/// The scales of a group of inputs, numbers of `bf16`.
#[inline(always)]
fn fit(group: &[Lanes]) -> Lanes {
    let mut extremes = [0.0_f32; PANEL];
    for lanes in group {
        for (extreme, w) in extremes.iter_mut().zip(lanes) {
            *extreme = if w.abs() > extreme.abs() {
                *w
            } else {
                *extreme
            };
        }
    }
    // Where squares are infinite this one stays: eight of it are a number whatever the rounding.
    let mut best = extremes.map(|m| to_bf16(m / -9.0));
    let mut least = error(group, &best);
    for divisor in [-8.5, -8.0, -7.5, -7.0, -6.5, -6.0, -5.5] {
        let steps = extremes.map(|m| to_bf16(m / divisor));
        choose(&mut best, &mut least, steps, error(group, &steps));
    }
    let inverses = best.map(inverse);
    let (mut above, mut below) = ([0.0; PANEL], [0.0; PANEL]);
    for lanes in group {
        for o in 0..PANEL {
            let q = four_bits(lanes[o], inverses[o]);
            above[o] += lanes[o] * q;
            below[o] += q * q;
        }
    }
    let mut fitted = best;
    for o in 0..PANEL {
        // Where it is no number, so is the error, and the scale is not chosen.
        fitted[o] = to_bf16(above[o] / below[o]);
    }
    choose(&mut best, &mut least, fitted, error(group, &fitted));
    best
}

#[inline(always)]
fn choose(best: &mut Lanes, least: &mut Lanes, steps: Lanes, errors: Lanes) {
    for o in 0..PANEL {
        if errors[o] < least[o] {
            best[o] = steps[o];
            least[o] = errors[o];
        }
    }
}

/// The sum of the squares of what rounding with these scales loses.
#[inline(always)]
fn error(group: &[Lanes], steps: &Lanes) -> Lanes {
    let inverses = steps.map(inverse);
    let mut errors = [0.0; PANEL];
    for lanes in group {
        for o in 0..PANEL {
            let lost = lanes[o] - steps[o] * four_bits(lanes[o], inverses[o]);
            errors[o] += lost * lost;
        }
    }
    errors
}

/// The nearest number of four bits to `w / scale`: -8 to 7.
#[inline(always)]
fn four_bits(w: f32, inverse: f32) -> f32 {
    let q = nearest(w * inverse);
    let q = if q < 7.0 { q } else { 7.0 };
    if q > -8.0 { q } else { -8.0 }
}

#[inline(always)]
fn inverse(step: f32) -> f32 {
    if step == 0.0 { 0.0 } else { 1.0 / step }
}

/// The nearest whole number, of two the even one; below 2²² in magnitude.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    // From here to twice this, neighbouring numbers are one apart.
    const SHIFT: f32 = (3 << 22) as f32;
    (x + SHIFT) - SHIFT
}

/// A whole number from -128 to 255 as a byte.
#[inline(always)]
fn low_byte(x: f32) -> u8 {
    const SHIFT: f32 = (3 << 22) as f32;
    let [low, ..] = (x + SHIFT).to_le_bytes();
    low
}

/// The nearest `bf16`, of two the even one, but no denormal number.
#[inline(always)]
fn to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    not_denormal(f32::from_bits(rounded))
}

/// `x`, or the smallest normal number of its sign in place of a smaller one; zero is zero.
#[inline(always)]
fn not_denormal(x: f32) -> f32 {
    let small = x.abs() < f32::MIN_POSITIVE && x != 0.0;
    if small {
        f32::MIN_POSITIVE.copysign(x)
    } else {
        x
    }
}
