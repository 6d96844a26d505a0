//! Elementary functions in `f32` that compilers can vectorise.
//!
//! Branches are selections, all arithmetic is plain multiplications and additions in a fixed order: the
//! results are the same on every instruction set. NaN gives NaN. The errors stated are the largest found
//! against `f64` over the whole range, in units in the last place of the result; the tests check them.

/// `e^x`; error below 1.5 ulp. Exactly 0 below -104, infinite above 88.73, denormal results included.
///
/// `e^x = 2^n e^r` with `n = round(x / ln 2)`, so that `|r| <= ln 2 / 2`, where the polynomial of Cephes'
/// `expf` approximates `e^r`.
#[inline(always)]
#[allow(
    clippy::excessive_precision,
    reason = "the coefficients as Cephes prints them"
)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: a number this large has no fraction, so that adding it rounds to integer.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in two parts, the first so short that `n` times it is exact.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

    let x = if x < -105.0 { -105.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let p = 1.987_569_15e-4;
    let p = p * r + 1.398_199_950_7e-3;
    let p = p * r + 8.333_451_907_3e-3;
    let p = p * r + 4.166_579_589_4e-2;
    let p = p * r + 1.666_666_545_9e-1;
    let p = p * r + 5.000_000_120_1e-1;
    let p = p * (r * r) + r + 1.0;
    // `n` is in the low bits of `rounded`. 2^n in two factors, each a normal number, for `n` from -152 to 128.
    let n = rounded
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .cast_signed();
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

/// `2^n` for `n` from -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned())
}

/// `1 / (1 + e^-x)`; error below 2.5 ulp.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    // Both forms of the same; this one does not overflow far below zero.
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// The hyperbolic tangent; error below 2 ulp.
///
/// Near zero Cephes' polynomial, where `1 - 2 / (e^2x + 1)` would cancel.
#[inline(always)]
#[allow(
    clippy::excessive_precision,
    reason = "the coefficients as Cephes prints them"
)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = -5.704_988_727_45e-3;
    let p = p * z + 2.063_908_879_54e-2;
    let p = p * z - 5.373_971_555_31e-2;
    let p = p * z + 1.333_144_220_36e-1;
    let p = p * z - 3.333_328_194_22e-1;
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    (if a < 0.625 { near } else { far }).copysign(x)
}

/// The error function; error below 1.5 ulp.
///
/// Two minimax approximations by N. Juffa: `x + x P(x^2)` near zero, `1 - e^-Q(|x|)` elsewhere.
#[inline(always)]
#[allow(
    clippy::excessive_precision,
    reason = "the coefficients as their author prints them"
)]
pub(crate) fn erf(x: f32) -> f32 {
    let t = x.abs();
    let s = x * x;
    let p = -5.967_616_03e-4;
    let p = p * s + 4.991_194_23e-3;
    let p = p * s - 2.676_813_49e-2;
    let p = p * s + 1.128_199_25e-1;
    let p = p * s - 3.761_253_36e-1;
    let p = p * s + 1.283_791_66e-1;
    let near = p * x + x;

    // Beyond 4 the result is 1, and the polynomial is not made for it.
    let t = if t > 4.0 { 4.0 } else { t };
    let s = t * t;
    let q = -1.728_534_70e-5 * t + 3.831_971_26e-4;
    let u = -3.883_964_38e-3 * t + 2.425_462_19e-2;
    let q = q * s + u;
    let q = q * t - 1.067_778_77e-1;
    let q = q * t - 6.348_466_87e-1;
    let q = q * t - 1.287_175_12e-1;
    let q = q * t - t;
    let far = 1.0 - exp(q);
    if x.abs() < 0.927_734_375 {
        near
    } else {
        far.copysign(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error in units in the last place, over `from..to` in equal steps of the bit pattern
    /// (both signs); ten times as far apart in a small test.
    fn largest_error(f: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        let step = if crate::effort::small() { 9973 } else { 997 };
        for bits in (from.to_bits()..to.to_bits()).step_by(step) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let want = exact(f64::from(x));
                #[allow(clippy::cast_possible_truncation, reason = "rounding is the point")]
                let nearest = want as f32;
                if nearest.is_infinite() {
                    assert_eq!(f(x), nearest, "{x}");
                    continue;
                }
                let ulp = f64::from(nearest.abs().next_up()) - f64::from(nearest.abs());
                let error = (f64::from(f(x)) - want).abs() / ulp;
                if error.is_nan() || error > worst.0 {
                    worst = (error, x);
                }
            }
        }
        worst
    }

    /// From its series and, beyond 3, the continued fraction of its complement.
    fn erf_exact(x: f64) -> f64 {
        crate::reference::erf(x)
    }

    #[test]
    fn errors_are_what_is_documented() {
        let sigmoid_exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (name, error, limit) in [
            ("exp", largest_error(exp, f64::exp, 1e-30, 110.0), 1.5),
            (
                "sigmoid",
                largest_error(sigmoid, sigmoid_exact, 1e-30, 80.0),
                2.5,
            ),
            ("tanh", largest_error(tanh, f64::tanh, 1e-30, 100.0), 2.0),
            ("erf", largest_error(erf, erf_exact, 1e-30, 20.0), 1.5),
        ] {
            assert!(error.0 < limit, "{name}: {} ulp at {}", error.0, error.1);
        }
    }

    #[test]
    fn limits() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-104.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!([sigmoid(-200.0), sigmoid(200.0)], [0.0, 1.0]);
        assert_eq!([tanh(f32::NEG_INFINITY), tanh(f32::INFINITY)], [-1.0, 1.0]);
        assert_eq!([erf(f32::NEG_INFINITY), erf(f32::INFINITY)], [-1.0, 1.0]);
        for f in [exp, sigmoid, tanh, erf] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(tanh(-0.0).is_sign_negative() && erf(-0.0).is_sign_negative());
    }
}
