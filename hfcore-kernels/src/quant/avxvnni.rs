//! Products with quantized matrices with AVX-VNNI: [`avx512vnni`](super::avx512vnni) with two vectors for
//! sixteen outputs.

use std::arch::x86_64::*;

use super::avx2::{Sums, Totals, finish, fold, halves, load, splat, store, zero};
use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;
use super::x86::{prefetch, products};

macro_rules! kernels {
    ($features:literal, $multiply:ident) => {
        pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 4 1 x 2 2 x 2 3 x 2 4 x 1 5 x 1 6 x 1),
    int4: passes!(int4: 1 x 4 1 x 2 2 x 2 3 x 1 4 x 1),
            peak: PEAK,
        };

        type Line8 = [__m256i; 2];
        type Half = [__m256i; 2];
        type Part = [__m256i; 2];

        /// Sums start with the tile's offsets.
        const OFFSET8: bool = true;

        #[inline]
        #[target_feature(enable = "avx2")]
        fn line8(line: &[u8; 64]) -> Line8 {
            let ([a, b], sign) = (load(line), _mm256_set1_epi8(-128));
            [_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign)]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn dot8(sums: Sums, line: &Line8, word: i32) -> Sums {
            let x = _mm256_set1_epi32(word);
            [
                $multiply(sums[0], line[0], x),
                $multiply(sums[1], line[1], x),
            ]
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn begin(sums: Sums) -> Part {
            sums
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn dot4(part: Part, half: &Half, word: i32) -> Part {
            dot8(part, half, word)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn end(_: Sums, part: Part) -> Sums {
            part
        }

        products!($features, 6);
    };
}
kernels!("avxvnni,avx2,fma,f16c", _mm256_dpbusd_avx_epi32);

/// The same with AVX-512's encoding of the instruction, for processors that have only that.
#[cfg(test)]
mod tests {
    use super::super::tests::agrees_with_scalar;
    use super::*;
    use crate::{Avx512Vnni, QuantFormat};

    kernels!(
        "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c",
        _mm256_dpbusd_epi32
    );

    #[test]
    fn sums_are_exact() {
        if Avx512Vnni::new().is_none() {
            eprintln!("skipped: this processor has no avx512vnni");
            return;
        }
        for format in ["int8", "int4", "int4-64", "int4-128"] {
            let format: QuantFormat = format.parse().unwrap();
            for pass in KERNELS.passes(format) {
                agrees_with_scalar(pass, format);
            }
        }
    }
}
