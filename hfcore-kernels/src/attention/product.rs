//! The matrix products of attention: small, with the right side as it lies in pages, `f32` or `bf16`, or in
//! pairs of `bf16`.
//!
//! Pairs are words of two numbers that follow each other along the inner dimension, of both sides: one
//! instruction multiplies sixteen of them.
//!
//! ```text
//!   a, a row       k0 k1 | k2 k3 | ..                     a word each
//!   b              k0 k1 of column 0 | .. of column 1     the rows 0 and 1
//!                  k2 k3 of column 0 | ..                 the rows 2 and 3
//! ```
//!
//! A tile of the result stays in registers while it runs along the inner dimension; a compiler does not
//! keep arrays there on its own, so that the tile is written for each instruction set, by one macro.

use crate::Isa;
use crate::isa::Vectors;

/// `a b`: `a` `[rows, ..]` with `a_step` numbers from row to row, `b` in panels of `columns` numbers. Of pairs,
/// both are counted in words.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, T> {
    pub(super) a: &'a [f32],
    pub(super) a_step: usize,
    pub(super) rows: usize,
    pub(super) panels: &'a [Panel<'a, T>],
    /// A multiple of 16.
    pub(super) columns: usize,
    /// Whether to add to what is there.
    pub(super) add: bool,
}

/// A part of the right side of a product: `b` `[depth, columns]`, which meets the columns of the left side
/// from `a_start` on.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a, T> {
    pub(super) b: &'a [T],
    pub(super) depth: usize,
    pub(super) a_start: usize,
}

impl<T> Default for Panel<'_, T> {
    fn default() -> Self {
        Self {
            b: &[],
            depth: 0,
            a_start: 0,
        }
    }
}

/// What the right side of a product is made of.
pub(super) trait Operand {
    type Number: Copy;

    /// Write the product to, or add it to, `c` `[rows, columns]` with `c_step` numbers from row to row.
    ///
    /// Each number of `c` is one sum in the order of the panels' rows, whichever tile it is in: it depends
    /// on its row of `a` alone. Fused where the instruction set has that.
    fn product(isa: Isa, p: &Product<'_, Self::Number>, c: &mut [f32], c_step: usize);
}

/// `f32`.
pub(super) struct Wide;
/// The bits of `bf16`, which are widened on the way.
pub(super) struct Bits;
/// Words of two `bf16`, with the left side in words, too.
pub(super) struct Pairs;

macro_rules! operand {
    ($operand:ident, $number:ty, $module:ident) => {
        impl Operand for $operand {
            type Number = $number;

            fn product(isa: Isa, p: &Product<'_, $number>, c: &mut [f32], c_step: usize) {
                match isa.vectors() {
                    Vectors::Scalar => scalar::$module::product(p, c, c_step),
                    #[cfg(target_arch = "aarch64")]
                    Vectors::Neon(_) => {
                        // SAFETY: a `Neon` exists only where the CPU has the features.
                        unsafe { neon::$module::product(p, c, c_step) }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Vectors::Avx2(_) => {
                        // SAFETY: an `Avx2` exists only where the CPU has these features.
                        unsafe { avx2::$module::product(p, c, c_step) }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Vectors::Avx512(_) => {
                        // SAFETY: an `Avx512` exists only where the CPU has these features.
                        unsafe { avx512::$module::product(p, c, c_step) }
                    }
                }
            }
        }
    };
}
operand!(Wide, f32, of_f32);
operand!(Bits, u16, of_bf16);

impl Operand for Pairs {
    type Number = f32;

    /// # Panics
    /// If the instruction set [has no products of pairs](super::pairs::Rounding).
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(unused_variables, reason = "none has")
    )]
    fn product(isa: Isa, p: &Product<'_, f32>, c: &mut [f32], c_step: usize) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16(_) => {
                // SAFETY: an `Avx512Bf16` exists only where the CPU has these features.
                unsafe { avx512::of_pairs::product(p, c, c_step) }
            }
            _ => panic!("{} multiplies no pairs", isa.name()),
        }
    }
}

/// [`Operand::product`] with vectors of `$lanes` numbers, in tiles of two vectors, or one, by `$rows` rows,
/// in a module for each type of numbers.
///
/// Expects `Vector`, `load`, `load_bf16`, `store`, `splat` and `mul_add` around it.
macro_rules! products {
    ($(#[$features:meta])? $lanes:literal lanes, $rows:literal rows) => {
        const LANES: usize = $lanes;

        pub(super) mod of_f32 {
            products!(@of $([$features])? $rows, f32, load, mul_add);
        }
        pub(super) mod of_bf16 {
            products!(@of $([$features])? $rows, u16, load_bf16, mul_add);
        }
    };
    (@of $([$features:meta])? $rows:literal, $number:ty, $load:ident, $mul_add:ident) => {
        use super::*;
        use crate::attention::product::{Panel, Product};

        $(#[$features])?
        pub(in crate::attention::product) fn product(
            p: &Product<'_, $number>,
            c: &mut [f32],
            c_step: usize,
        ) {
            let mut column = 0;
            while p.columns - column >= 2 * LANES {
                strip::<2>(p, column, c, c_step);
                column += 2 * LANES;
            }
            while column < p.columns {
                strip::<1>(p, column, c, c_step);
                column += LANES;
            }
        }

        /// The columns of `N` vectors.
        #[inline]
        $(#[$features])?
        fn strip<const N: usize>(
            p: &Product<'_, $number>,
            column: usize,
            c: &mut [f32],
            c_step: usize,
        ) {
            let mut row = 0;
            while row < p.rows {
                let c = &mut c[row * c_step + column..];
                row += match p.rows - row {
                    $rows.. => tile::<N, $rows>(p, row, column, c, c_step),
                    4.. => tile::<N, 4>(p, row, column, c, c_step),
                    2.. => tile::<N, 2>(p, row, column, c, c_step),
                    _ => tile::<N, 1>(p, row, column, c, c_step),
                };
            }
        }

        /// `M` rows of the columns of `N` vectors. Returns `M`.
        #[inline]
        $(#[$features])?
        fn tile<const N: usize, const M: usize>(
            p: &Product<'_, $number>,
            row: usize,
            column: usize,
            c: &mut [f32],
            c_step: usize,
        ) -> usize {
            let mut sums = [[splat(0.0); N]; M];
            if p.add {
                for m in 0..M {
                    let c = &c[m * c_step..].as_chunks().0[..N];
                    for n in 0..N {
                        sums[m][n] = load(&c[n]);
                    }
                }
            }
            for &Panel { b, depth, a_start } in p.panels {
                if depth == 0 {
                    continue;
                }
                let mut a = [[].as_slice(); M];
                for m in 0..M {
                    a[m] = &p.a[(row + m) * p.a_step + a_start..][..depth];
                }
                for (k, b) in b.chunks_exact(p.columns).enumerate().take(depth) {
                    let b = &b[column..].as_chunks().0[..N];
                    let mut line = [splat(0.0); N];
                    for n in 0..N {
                        line[n] = $load(&b[n]);
                    }
                    for m in 0..M {
                        let x = splat(a[m][k]);
                        for n in 0..N {
                            sums[m][n] = $mul_add(x, line[n], sums[m][n]);
                        }
                    }
                }
            }
            for m in 0..M {
                let c = &mut c[m * c_step..].as_chunks_mut().0[..N];
                for n in 0..N {
                    store(&mut c[n], sums[m][n]);
                }
            }
            M
        }
    };
}

mod scalar {
    //! Arrays of the size of the vectors that every target has.

    products!(4 lanes, 6 rows);

    type Vector = [f32; LANES];

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Vector {
        *from
    }

    #[inline(always)]
    fn load_bf16(from: &[u16; LANES]) -> Vector {
        from.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }

    #[inline(always)]
    fn store(to: &mut [f32; LANES], v: Vector) {
        *to = v;
    }

    #[inline(always)]
    fn splat(x: f32) -> Vector {
        [x; LANES]
    }

    #[inline(always)]
    fn mul_add(a: Vector, b: Vector, c: Vector) -> Vector {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    products!(#[target_feature(enable = "avx2,fma,f16c")] 8 lanes, 6 rows);

    #[inline]
    #[target_feature(enable = "avx")]
    fn load(from: &[f32; LANES]) -> __m256 {
        // SAFETY: `from` is 32 readable bytes; `loadu` needs no alignment.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_bf16(from: &[u16; LANES]) -> __m256 {
        // SAFETY: `from` is 16 readable bytes; `loadu` needs no alignment.
        let bits = unsafe { _mm_loadu_si128(from.as_ptr().cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn store(to: &mut [f32; LANES], v: __m256) {
        // SAFETY: `to` is 32 writable bytes; `storeu` needs no alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use crate::matmul::avx512bf16::multiply_add as mul_add_pairs;

    products!(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")] 16 lanes, 8 rows);

    pub(super) mod of_pairs {
        products!(
            @of [target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            8, f32, load, mul_add_pairs
        );
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(from: &[f32; LANES]) -> __m512 {
        // SAFETY: `from` is 64 readable bytes; `loadu` needs no alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_bf16(from: &[u16; LANES]) -> __m512 {
        // SAFETY: `from` is 32 readable bytes; `loadu` needs no alignment.
        let bits = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [f32; LANES], v: __m512) {
        // SAFETY: `to` is 64 writable bytes; `storeu` needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use crate::neon::{load, store};

    products!(#[target_feature(enable = "neon")] 4 lanes, 8 rows);

    #[inline]
    #[target_feature(enable = "neon")]
    fn load_bf16(from: &[u16; LANES]) -> float32x4_t {
        // SAFETY: `from` is 8 readable bytes.
        let bits = unsafe { vld1_u16(from.as_ptr()) };
        vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(bits)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn splat(x: f32) -> float32x4_t {
        vdupq_n_f32(x)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vfmaq_f32(c, a, b)
    }
}
