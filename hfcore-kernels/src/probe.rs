//! What this machine can do at best, to compare with what is achieved.
//!
//! Decoding is bound by how fast memory is read, prompts by how fast the processor multiplies. Both
//! are measured, not looked up: virtual machines have neighbours, and processors change their clock.
//!
//! ```
//! use hfcore_kernels::{Device, probe};
//!
//! let device = Device::cpu();
//! let flops = probe::multiply_add_rate(&device);
//! println!("{}: {:.0} GFLOP/s", device.name(), flops / 1e9);
//! # assert!(flops > 1e6);
//! ```

pub use crate::float_mode::float_modes;

use std::hint::black_box;
use std::time::Instant;

use crate::Device;
use crate::Isa;
use crate::isa::Vectors;

/// Bytes that are read to measure, one after the other, before any is read again: many times what a cache has that
/// two threads share, so that none is found there. (Sixty-four MiB read again and again come from memory and a cache
/// of 32 MiB: 45 GB/s, where memory gave 33.)
const BYTES: usize = 512 << 20;
/// Bytes of a unit of work, read as [`STREAMS`] streams; their distance is no power of two, whose
/// multiples caches keep in the same few places. Which of them memory gives faster differs between machines.
const UNITS: [usize; 2] = [STREAMS * (33 << 10), STREAMS * (257 << 10)];
/// Parts of the bytes that are timed, one by one: in a short time nobody may interfere.
const PARTS: usize = 8;
/// Streams that are read side by side.
const STREAMS: usize = 8;
/// How often each measurement is made; the best counts.
const TIMES: usize = 8;

/// Vectors that are multiplied and added independently: enough for every processor's latency, and no
/// more than registers.
const CHAINS: usize = 12;
/// Multiplications and additions of each chain in a unit of work.
const ROUNDS: usize = 1 << 14;

/// Bytes per second that the device reads from memory, with all its threads.
///
/// Takes half a gigabyte of memory and half a second.
#[must_use]
pub fn read_bandwidth(device: &Device) -> f64 {
    let cpu = device.on_cpu();
    let words = vec![1_u64; BYTES / size_of::<u64>()];
    let read_part = |part: &[u64], unit: usize| {
        let units: Vec<&[u64]> = part.chunks_exact(unit / size_of::<u64>()).collect();
        let start = Instant::now();
        cpu.pool.for_each(units.len(), 1, |range| {
            for unit in &units[range] {
                black_box(read(cpu.isa, unit));
            }
        });
        (units.len() * unit) as f64 / start.elapsed().as_secs_f64()
    };
    // A part is read again when all others have been.
    let passes = UNITS.into_iter().flat_map(|unit| [unit; TIMES]);
    let rates = passes.flat_map(|unit| {
        let parts = words.chunks_exact(words.len() / PARTS);
        parts.map(move |part| read_part(part, unit))
    });
    rates.fold(0.0, f64::max)
}

/// `f32` operations per second that the device's threads reach together, when a fused
/// multiplication and addition counts as two and nothing else is done.
///
/// Takes some hundredths of a second.
#[must_use]
pub fn multiply_add_rate(device: &Device) -> f64 {
    let cpu = device.on_cpu();
    let units = 16 * cpu.pool.threads();
    let seconds = best(|| {
        cpu.pool.for_each(units, 1, |range| {
            for _ in range {
                black_box(chains(cpu.isa, black_box(0.999)));
            }
        });
    });
    (units * ROUNDS * CHAINS * lanes(cpu.isa) * 2) as f64 / seconds
}

/// [`multiply_add_rate`] of products of `bf16` with sums in `f32`, where the instruction set has
/// instructions for them: what a prompt can be multiplied with, of a model in `bf16`.
///
/// Takes some hundredths of a second.
#[must_use]
pub fn bf16_rate(device: &Device) -> Option<f64> {
    let cpu = device.on_cpu();
    let units = 16 * cpu.pool.threads();
    let flops = bf16_chains(cpu.isa)?;
    let seconds = best(|| {
        cpu.pool.for_each(units, 1, |range| {
            for _ in range {
                black_box(bf16_chains(cpu.isa));
            }
        });
    });
    Some((units * flops) as f64 / seconds)
}

/// Operations on bytes per second that the device's threads reach together, when a multiplication and its
/// addition to a sum count as two and nothing else is done: what products with [`Quantized`](crate::Quantized)
/// matrices are compared with.
///
/// Takes some hundredths of a second.
#[must_use]
pub fn int8_rate(device: &Device) -> f64 {
    let cpu = device.on_cpu();
    let units = 16 * cpu.pool.threads();
    let seconds = best(|| {
        cpu.pool.for_each(units, 1, |range| {
            for _ in range {
                crate::quant::peak(cpu.isa, ROUNDS);
            }
        });
    });
    (units * 2 * crate::quant::peak(cpu.isa, ROUNDS)) as f64 / seconds
}

fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..TIMES).map(time).fold(f64::INFINITY, f64::min)
}

/// The sum of all words, read as [`STREAMS`] streams.
fn read(isa: Isa, words: &[u64]) -> u64 {
    let lines = words.as_chunks::<8>().0;
    let length = lines.len() / STREAMS;
    let mut streams = [[].as_slice(); STREAMS];
    for (stream, lines) in streams.iter_mut().zip(lines.chunks_exact(length)) {
        *stream = &lines[..length];
    }
    match isa.vectors() {
        Vectors::Scalar => read_scalar(&streams),
        #[cfg(target_arch = "aarch64")]
        Vectors::Neon(_) => {
            // SAFETY: a `Neon` exists only where the CPU has the features.
            unsafe { neon::read(&streams) }
        }
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2(_) => {
            // SAFETY: an `Avx2` exists only where the CPU has the features.
            unsafe { x86::read_avx2(&streams) }
        }
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512(_) => {
            // SAFETY: an `Avx512` exists only where the CPU has the features.
            unsafe { x86::read_avx512(&streams) }
        }
    }
}

fn read_scalar(streams: &[&[[u64; 8]]; STREAMS]) -> u64 {
    let mut sums = [0_u64; STREAMS];
    for i in 0..streams[0].len() {
        for (sum, stream) in sums.iter_mut().zip(streams) {
            *sum = stream[i]
                .iter()
                .fold(*sum, |sum, word| sum.wrapping_add(*word));
        }
    }
    sums.iter().fold(0, |sum, s| sum.wrapping_add(*s))
}

/// The sum of [`CHAINS`] vectors after [`ROUNDS`] times `v * factor + 1`, which tends to
/// `1 / (1 - factor)`: neither to infinity nor to denormal numbers.
fn chains(isa: Isa, factor: f32) -> f32 {
    match isa.vectors() {
        Vectors::Scalar => chains_scalar(factor),
        #[cfg(target_arch = "aarch64")]
        Vectors::Neon(_) => {
            // SAFETY: a `Neon` exists only where the CPU has the features.
            unsafe { neon::chains(factor) }
        }
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2(_) => {
            // SAFETY: an `Avx2` exists only where the CPU has the features.
            unsafe { x86::chains_avx2(factor) }
        }
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512(_) => {
            // SAFETY: an `Avx512` exists only where the CPU has the features.
            unsafe { x86::chains_avx512(factor) }
        }
    }
}

/// As [`chains`], of products of `bf16`. The operations it took, if there are such products.
fn bf16_chains(isa: Isa) -> Option<usize> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16(_) => {
            // SAFETY: an `Avx512Bf16` exists only where the CPU has the features.
            black_box(unsafe { x86::chains_bf16(black_box(0.5)) });
            // Sixteen lanes of two products and two sums.
            Some(ROUNDS * CHAINS * 64)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(amx) => {
            let _tiles = crate::amx::Tiles::configure(amx);
            // SAFETY: the tiles are configured.
            unsafe { crate::amx::bf16_chains(ROUNDS) };
            // Four tiles of 16 by 16 sums of 32 products.
            Some(ROUNDS * 4 * 16 * 16 * 64)
        }
        #[cfg(target_arch = "aarch64")]
        Isa::NeonBf16(_) => {
            // SAFETY: a `NeonBf16` exists only where the CPU has the features.
            black_box(unsafe { neon::chains_bf16(black_box(0.5)) });
            // Two vectors of four lanes of four products and four sums.
            Some(ROUNDS * CHAINS * 64)
        }
        _ => None,
    }
}

/// Lanes of the vectors in [`chains`].
fn lanes(isa: Isa) -> usize {
    match isa.vectors() {
        Vectors::Scalar => 4,
        // Two vectors: a core that starts four in a cycle needs more than twelve under way.
        #[cfg(target_arch = "aarch64")]
        Vectors::Neon(_) => 8,
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2(_) => 8,
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512(_) => 16,
    }
}

fn chains_scalar(factor: f32) -> f32 {
    let mut chains = [[1.0_f32; 4]; CHAINS];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            for number in chain {
                // `mul_add` is a function call where the target does not have the instruction.
                *number = if cfg!(target_arch = "aarch64") {
                    number.mul_add(factor, 1.0)
                } else {
                    *number * factor + 1.0
                };
            }
        }
    }
    // Opaque, or the compiler would lay the numbers out for this sum, not for the loop.
    black_box(chains).as_flattened().iter().sum()
}

/// Intrinsics, because loops over lanes become whatever the compiler thinks best, gathers even.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{CHAINS, ROUNDS, STREAMS};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn read_avx2(streams: &[&[[u64; 8]]; STREAMS]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); STREAMS];
        let length = streams[0].len();
        let streams = streams.map(|stream| &stream[..length]);
        for i in 0..length {
            for (sum, stream) in sums.iter_mut().zip(&streams) {
                for half in stream[i].as_chunks::<4>().0 {
                    // SAFETY: `half` is 32 readable bytes; `loadu` needs no alignment.
                    let half = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
                    *sum = _mm256_add_epi64(*sum, half);
                }
            }
        }
        let sum = sums
            .into_iter()
            .fold(_mm256_setzero_si256(), |a, b| _mm256_add_epi64(a, b));
        let pair = _mm_add_epi64(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let total = _mm_cvtsi128_si64(_mm_add_epi64(pair, _mm_unpackhi_epi64(pair, pair)));
        total.cast_unsigned()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_avx512(streams: &[&[[u64; 8]]; STREAMS]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); STREAMS];
        let length = streams[0].len();
        let streams = streams.map(|stream| &stream[..length]);
        for i in 0..length {
            for (sum, stream) in sums.iter_mut().zip(&streams) {
                // SAFETY: it is 64 readable bytes; `loadu` needs no alignment.
                let line = unsafe { _mm512_loadu_si512(stream[i].as_ptr().cast()) };
                *sum = _mm512_add_epi64(*sum, line);
            }
        }
        let sum = sums
            .into_iter()
            .fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi64(a, b));
        _mm512_reduce_add_epi64(sum).cast_unsigned()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn chains_avx2(factor: f32) -> f32 {
        let (factor, one) = (_mm256_set1_ps(factor), _mm256_set1_ps(1.0));
        let mut chains = [one; CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, factor, one);
            }
        }
        let sum = chains
            .into_iter()
            .fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b));
        let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn chains_avx512(factor: f32) -> f32 {
        let (factor, one) = (_mm512_set1_ps(factor), _mm512_set1_ps(1.0));
        let mut chains = [one; CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, factor, one);
            }
        }
        let sum = chains
            .into_iter()
            .fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
        _mm512_reduce_add_ps(sum)
    }

    /// Adds twice `factor * factor` in each round: a normal number, and soon a sum that stays.
    #[target_feature(enable = "avx512bf16,avx512f")]
    pub(super) fn chains_bf16(factor: f32) -> f32 {
        let factor = _mm512_set1_ps(factor);
        let factors = _mm512_cvtne2ps_pbh(factor, factor);
        let mut chains = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, factors, factors);
            }
        }
        let sum = chains
            .into_iter()
            .fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
        _mm512_reduce_add_ps(sum)
    }
}

/// Intrinsics, for the same reason.
#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::{CHAINS, ROUNDS, STREAMS};
    use crate::neon::{multiply_bf16, round_bf16};

    #[target_feature(enable = "neon")]
    pub(super) fn read(streams: &[&[[u64; 8]]; STREAMS]) -> u64 {
        let mut sums = [vdupq_n_u64(0); STREAMS];
        let length = streams[0].len();
        let streams = streams.map(|stream| &stream[..length]);
        for i in 0..length {
            for (sum, stream) in sums.iter_mut().zip(&streams) {
                for quarter in stream[i].as_chunks::<2>().0 {
                    // SAFETY: `quarter` is 16 readable bytes; `ld1` needs no alignment.
                    let quarter = unsafe { vld1q_u64(quarter.as_ptr()) };
                    *sum = vaddq_u64(*sum, quarter);
                }
            }
        }
        let sum = sums
            .into_iter()
            .fold(vdupq_n_u64(0), |a, b| vaddq_u64(a, b));
        vaddvq_u64(sum)
    }

    #[target_feature(enable = "neon")]
    pub(super) fn chains(factor: f32) -> f32 {
        let (factor, one) = (vdupq_n_f32(factor), vdupq_n_f32(1.0));
        let mut chains = [one; 2 * CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = vfmaq_f32(one, *chain, factor);
            }
        }
        let sum = chains
            .into_iter()
            .fold(vdupq_n_f32(0.0), |a, b| vaddq_f32(a, b));
        vaddvq_f32(sum)
    }

    /// Adds four times `factor * factor` in each round.
    #[target_feature(enable = "neon,bf16")]
    pub(super) fn chains_bf16(factor: f32) -> f32 {
        let factors = round_bf16(vdupq_n_f32(factor));
        let factors = vcombine_f32(factors, factors);
        let mut chains = [vdupq_n_f32(0.0); 2 * CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = multiply_bf16(*chain, factors, factors);
            }
        }
        let sum = chains
            .into_iter()
            .fold(vdupq_n_f32(0.0), |a, b| vaddq_f32(a, b));
        vaddvq_f32(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read() {
        let words: Vec<u64> = (0..1024).collect();
        for isa in Isa::all() {
            assert_eq!(read(isa, &words), 1023 * 512, "{}", isa.name());
        }
    }

    #[test]
    fn chains_of_bf16_are_computed() {
        for isa in Isa::tested() {
            #[cfg(target_arch = "x86_64")]
            if let Isa::Avx512Bf16(_) = isa {
                // SAFETY: the value proves the features.
                let found = unsafe { x86::chains_bf16(0.5) };
                assert_eq!(found, (ROUNDS * CHAINS * 16) as f32 / 2.0);
            }
            #[cfg(target_arch = "aarch64")]
            if let Isa::NeonBf16(_) = isa {
                // SAFETY: the value proves the features.
                let found = unsafe { neon::chains_bf16(0.5) };
                assert_eq!(found, (ROUNDS * CHAINS * 8) as f32);
            }
            let has = ["avx512bf16", "amx", "bf16"].contains(&isa.name());
            assert_eq!(bf16_chains(isa).is_some(), has, "{}", isa.name());
        }
    }

    #[test]
    fn chains_are_computed() {
        for isa in Isa::all() {
            let want = (2 * CHAINS * lanes(isa)) as f32;
            let found = chains(isa, 0.5);
            assert!(
                (found - want).abs() < 1e-3,
                "{}: {found}, not {want}",
                isa.name()
            );
        }
    }
}
