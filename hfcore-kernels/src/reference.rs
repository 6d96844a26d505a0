//! Every operation by its definition, in `f64` over plain slices.
//!
//! Slow on purpose: one loop per sum, in the order of the formula. The tests hold all kernels to these,
//! and whoever writes a backend can do the same.

/// The error function, to about 1e-15: its series near zero, the continued fraction of its complement
/// elsewhere.
#[must_use]
pub fn erf(x: f64) -> f64 {
    let t = x.abs();
    let value = if t < 2.5 {
        // 2 / sqrt(pi) * sum of (-1)^n t^(2n+1) / (n! (2n+1))
        let (mut term, mut sum) = (t, t);
        for n in 1..80 {
            let n = f64::from(n);
            term *= -t * t / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        // e^(-t^2) / sqrt(pi) / (t + (1/2) / (t + 1 / (t + (3/2) / (t + ..))))
        let mut fraction = t;
        for n in (1..=120).rev() {
            fraction = t + f64::from(n) / 2.0 / fraction;
        }
        1.0 - (-t * t).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    };
    if t == 0.0 { x } else { value.copysign(x) }
}
