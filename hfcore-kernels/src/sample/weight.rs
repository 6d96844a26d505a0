//! The softmax weight of a score as a whole number: `exp(score - max)` in units of 2^-43.
//!
//! Whole numbers add up to the same sum in any order, on any device. That is what lets a GPU with
//! hundreds of threads draw the very token that the CPU draws: no rounding of a sum is left to differ in.
//! The exponential itself is made of 32-bit products for the same reason; the devices' own `exp` are
//! approximations of their makers' choice.
//!
//! ```text
//! D = (max - score) in units of 2^-27, cut towards zero       0 <= D < 2^32, else the weight is 0
//! T = D log2(e)                                               n bits before the point, 32 behind it
//! w = 2^-n * table[first 5 bits behind the point] * 2^-(rest) the last by its series to the 4th power
//! ```
//!
//! Weights are right to a part in 2^26 as long as they are above 2^-16 of the largest, and to 2^-43 of
//! the largest below that. The shader `sample_weight.wgsl` is this file once more.

/// The weight of the largest score.
pub(crate) const ONE: u64 = 1 << 43;

/// Scores a row may have: so many weights, in four parts of 12 bits each, still add up in 32 bits.
pub const MOST_SCORES: usize = 1 << 20;

/// `log2(e)` in units of 2^-31.
const LOG2_E: u64 = 3_098_164_009;

/// `ln(2)` in units of 2^-32.
const LN_2: u32 = 2_977_044_472;

/// `2^(-k / 32)` in units of 2^-31.
pub(super) const ROOTS: [u32; 32] = [
    0x8000_0000,
    0x7d41_d96e,
    0x7a92_be8b,
    0x77f2_5cce,
    0x7560_6374,
    0x72dc_8374,
    0x7066_6f76,
    0x6dfd_dbcc,
    0x6ba2_7e65,
    0x6954_0ec9,
    0x6712_460b,
    0x64dc_dec3,
    0x62b3_9509,
    0x6096_2665,
    0x5e84_51d0,
    0x5c7d_d7a4,
    0x5a82_799a,
    0x5891_fac1,
    0x56ac_1f75,
    0x54d0_ad5a,
    0x52ff_6b55,
    0x5138_2182,
    0x4f7a_9930,
    0x4dc6_9cdd,
    0x4c1b_f829,
    0x4a7a_77d4,
    0x48e1_e9ba,
    0x4752_1cc6,
    0x45ca_e0f2,
    0x444c_0740,
    0x42d5_61b4,
    0x4166_c34c,
];

/// The weight of `score` where the largest is `max`: [`ONE`] for the largest, 0 for `-inf`.
///
/// `max` is finite and `score` is no NaN and not above it.
pub(crate) fn weight(max: f32, score: f32) -> u64 {
    distance(max, score).map_or(0, exp_neg)
}

/// `max - score` in units of 2^-27; `None` from 32 on, where nothing is left of the weight.
fn distance(max: f32, score: f32) -> Option<u32> {
    // Beyond this, neighbouring numbers are further apart than any distance that matters.
    const FAR: f32 = (1_u64 << 36) as f32;
    if score == max {
        return Some(0);
    }
    if max.abs() >= FAR || score.abs() >= FAR {
        return None;
    }
    u32::try_from(fixed(max) - fixed(score)).ok()
}

/// `x` in units of 2^-27, cut towards zero. Exact in `f64`, whose product with a power of two is.
#[allow(
    clippy::cast_possible_truncation,
    reason = "below 2^63; the cut is what is wanted"
)]
fn fixed(x: f32) -> i64 {
    (f64::from(x) * f64::from(1 << 27)) as i64
}

/// `exp(-d)` in units of 2^-43, `d` in units of 2^-27.
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn exp_neg(d: u32) -> u64 {
    let t = (u64::from(d) * LOG2_E) >> 26;
    let (n, f) = ((t >> 32) as u32, t as u32);
    let root = ROOTS[(f >> 27) as usize];
    // x = ln(2) * what is behind the first five bits, in units of 2^-37; powers in 2^-42, 2^-47, 2^-52.
    let x = high(f << 5, LN_2);
    let x2 = high(x, x);
    let x3 = high(x2, x);
    let x4 = high(x3, x);
    let fall = x - (x2 >> 6) + ((x3 / 6) >> 10) - ((x4 / 24) >> 15);
    let mantissa = root - (high(root, fall) >> 5);
    (u64::from(mantissa) << 12) >> n
}

/// The upper half of the product.
#[allow(clippy::cast_possible_truncation, reason = "the upper half")]
const fn high(a: u32, b: u32) -> u32 {
    ((a as u64 * b as u64) >> 32) as u32
}

/// `floor(fraction * total / 2^64)`.
#[allow(clippy::cast_possible_truncation, reason = "below total")]
pub(crate) const fn part(fraction: u64, total: u64) -> u64 {
    ((fraction as u128 * total as u128) >> 64) as u64
}

/// `x`, from 0 to 1, in units of 2^-64; 1 is the largest such number. Exact for an `f32` above 2^-40.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 1, and `as` saturates at 2^64"
)]
pub(crate) fn fraction(x: f32) -> u64 {
    (f64::from(x) * 2f64.powi(64)) as u64
}

/// The least weight that is not below `x`, from 0 to 1, times the largest.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to 2^43"
)]
pub(crate) fn least(x: f32) -> u64 {
    (f64::from(x) * ONE as f64).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_exponentials() {
        for i in 0..200_000_u32 {
            let d = f64::from(i) * 1.507e-4;
            #[allow(clippy::cast_possible_truncation, reason = "a sample")]
            let score = (10.0 - d) as f32;
            let exact = (f64::from(score) - 10.0).exp() * ONE as f64;
            let got = weight(10.0, score) as f64;
            assert!(
                (got - exact).abs() <= exact * 1.2e-8 + 1.5,
                "{score}: {got}, not {exact}"
            );
        }
        assert_eq!(weight(3.5, 3.5), ONE);
        assert_eq!(weight(3.5, f32::NEG_INFINITY), 0);
        assert_eq!(weight(1e30, 0.999_999e30), 0);
        assert_eq!(weight(1e30, 1e30), ONE);
        assert_eq!(weight(0.0, -31.9), 0);
        assert_eq!(weight(-0.0, 0.0), ONE);
    }

    #[test]
    fn a_larger_score_has_no_smaller_weight() {
        // Around each place where the table's next entry begins, and at the largest.
        for k in 0..64_u32 {
            let at = f64::from(k) / 32.0 * 2f64.ln() * f64::from(1 << 27);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a place"
            )]
            let at = at as u32;
            for d in at.saturating_sub(2000)..at + 2000 {
                assert!(exp_neg(d) >= exp_neg(d + 1), "{d}");
            }
        }
    }

    #[test]
    fn parts_are_exact() {
        assert_eq!(part(1 << 63, 7), 3);
        assert_eq!(part(u64::MAX, u64::MAX), u64::MAX - 1);
        assert_eq!(
            (fraction(0.0), fraction(0.5), fraction(1.0)),
            (0, 1 << 63, u64::MAX)
        );
        assert_eq!((least(0.0), least(0.5), least(1.0)), (0, ONE / 2, ONE));
    }
}
