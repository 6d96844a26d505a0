//! Sums with one order on every instruction set.
//!
//! A sum from left to right is a chain of dependent additions that no compiler may reorder. The sums
//! here are kept in [`LANES`] parts, which fill the vectors of every instruction set, and the parts are
//! added in pairs: several times faster, closer to the true sum, and the same number everywhere.

/// Parts of a sum: four vectors of 512 bits, eight of 256, sixteen of 128.
const LANES: usize = 64;

/// The sum of `f(v)` over `x`.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut parts = [0.0f32; LANES];
    for chunk in chunks {
        for (part, &v) in parts.iter_mut().zip(chunk) {
            *part += f(v);
        }
    }
    for (part, &v) in parts.iter_mut().zip(tail) {
        *part += f(v);
    }
    total(parts)
}

/// The largest of `x`; `-inf` of none. A NaN among them is passed over.
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut parts = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (part, &v) in parts.iter_mut().zip(chunk) {
            *part = larger(*part, v);
        }
    }
    for (part, &v) in parts.iter_mut().zip(tail) {
        *part = larger(*part, v);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            parts[i] = larger(parts[i], parts[i + width]);
        }
        width /= 2;
    }
    parts[0]
}

/// The sum of all parts, in pairs.
#[inline(always)]
fn total(mut parts: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            parts[i] += parts[i + width];
        }
        width /= 2;
    }
    parts[0]
}

/// `b` if it is larger than `a`, else `a`: one instruction, where `f32::max` takes three for NaN's sake.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_counts_once() {
        for n in [0, 1, 63, 64, 65, 200] {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum_of(&x, |v| v), (n * (n + 1) / 2) as f32, "n={n}");
            let max = if n == 0 { f32::NEG_INFINITY } else { n as f32 };
            assert_eq!(max_of(&x), max, "n={n}");
            let negative: Vec<f32> = x.iter().map(|v| -v).collect();
            assert_eq!(max_of(&negative), if n == 0 { max } else { -1.0 }, "n={n}");
        }
    }
}
