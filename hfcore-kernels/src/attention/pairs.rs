//! Keys, values, queries and weights as pairs of `bf16`, for instruction sets that multiply those.
//!
//! Keys and values in `bf16` lose nothing by it; queries and weights are rounded, as PyTorch's are where a
//! model runs in `bf16`.

use crate::device::Cpu;
use crate::isa::multiversion;
use crate::{DType, Precision};

/// Makes pairs, where they may be made and can be multiplied.
#[derive(Clone, Copy)]
pub(super) enum Rounding {
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(crate::Avx512Bf16),
}

impl Rounding {
    /// If activations may be rounded to `bf16`, and the processor gains by it. (With AMX it does not: there,
    /// a product of pairs takes as long as two of numbers.)
    pub(super) fn of(cpu: &Cpu) -> Option<Self> {
        if cpu.precision.of(DType::Bf16) != Precision::Fast {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        if let crate::Isa::Avx512Bf16(proof) = cpu.isa {
            return Some(Self::Avx512Bf16(proof));
        }
        None
    }

    /// Round `from` to as many pairs as `to` has words.
    pub(super) fn round(self, from: &[f32], to: &mut [f32]) {
        assert_eq!(from.len(), 2 * to.len(), "two numbers a word");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) => {
                // SAFETY: an `Avx512Bf16` exists only where the CPU has these features.
                unsafe { avx512bf16::round(from, to) }
            }
        }
    }

    /// Round an even number of `numbers`, the first half of which become the words.
    pub(super) fn round_in_place(self, numbers: &mut [f32]) {
        assert!(numbers.len().is_multiple_of(2), "two numbers a word");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) => {
                // SAFETY: an `Avx512Bf16` exists only where the CPU has these features.
                unsafe { avx512bf16::round_in_place(numbers) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512bf16 {
    use std::arch::x86_64::_mm512_castsi512_ps;

    use crate::matmul::avx512::store_some;
    use crate::matmul::avx512bf16::round as pairs;

    /// Numbers that are rounded at once.
    const STEP: usize = 32;

    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub(super) fn round(from: &[f32], to: &mut [f32]) {
        for (from, to) in from.chunks(STEP).zip(to.chunks_mut(STEP / 2)) {
            store_some(to, _mm512_castsi512_ps(pairs(from)));
        }
    }

    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub(super) fn round_in_place(numbers: &mut [f32]) {
        let mut start = 0;
        while start < numbers.len() {
            let end = numbers.len().min(start + STEP);
            let words = pairs(&numbers[start..end]);
            // Never beyond what has been read.
            store_some(&mut numbers[start / 2..end / 2], _mm512_castsi512_ps(words));
            start = end;
        }
    }
}

multiversion! {
    /// Two rows of `bf16` as one of pairs; without the second, with zeros in its place.
    pub(super) fn interleave(first: &[u16], second: Option<&[u16]>, to: &mut [f32]) = interleave_body
}

#[inline(always)]
fn interleave_body(first: &[u16], second: Option<&[u16]>, to: &mut [f32]) {
    match second {
        Some(second) => {
            for ((to, &first), &second) in to.iter_mut().zip(first).zip(second) {
                *to = f32::from_bits(u32::from(first) | u32::from(second) << 16);
            }
        }
        None => {
            for (to, &first) in to.iter_mut().zip(first) {
                *to = f32::from_bits(u32::from(first));
            }
        }
    }
}
