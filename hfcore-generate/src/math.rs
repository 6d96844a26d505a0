//! Softmax and its relatives over one row of scores, with torch's types: the values are `f32`, sums
//! over them are taken in `f64`.

use std::cmp::Ordering;

/// The largest value; `-inf` of nothing. NaN is passed over.
pub(crate) fn max(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `exp(x - max) / sum`; all NaN where nothing is finite, as torch has it.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f32> {
    let max = max(scores);
    let mut sum = 0.0;
    let mut probs: Vec<f32> = (scores.iter())
        .map(|&x| {
            let e = if x == f32::NEG_INFINITY && max > x {
                0.0
            } else {
                (x - max).exp()
            };
            sum += f64::from(e);
            e
        })
        .collect();
    let sum = narrow(sum);
    probs.iter_mut().for_each(|p| *p /= sum);
    probs
}

/// `x - max - ln(sum(exp(x - max)))`, in place.
pub(crate) fn log_softmax(scores: &mut [f32]) {
    let max = max(scores);
    let sum: f64 = scores.iter().map(|&x| f64::from((x - max).exp())).sum();
    let log_sum = narrow(sum.ln());
    // In this order, as torch: `max + log_sum` would lose the small differences of large scores.
    scores.iter_mut().for_each(|x| *x = (*x - max) - log_sum);
}

/// `-sum(p ln p)` of `softmax(scores)`; terms of probability 0 are 0.
pub(crate) fn entropy(scores: &[f32]) -> f32 {
    let mut log_probs = scores.to_vec();
    log_softmax(&mut log_probs);
    let sum: f64 = (log_probs.iter())
        .filter(|&&l| l > f32::NEG_INFINITY)
        .map(|&l| f64::from(l * l.exp()))
        .sum();
    -narrow(sum)
}

/// Running sums, each rounded to `f32`, kept in `f64`: torch's `cumsum`.
pub(crate) fn cumsum(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let mut sum = 0.0;
    values
        .into_iter()
        .map(|v| {
            sum += f64::from(v);
            narrow(sum)
        })
        .collect()
}

/// torch's order: the two zeros are equal, and NaN is the largest.
pub(crate) fn order(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `k`-th largest value, `k` from 1. NaN counts as the largest, as in torch.
///
/// `k` is at most the number of values.
pub(crate) fn kth_largest(values: &[f32], k: usize) -> f32 {
    let mut copy = values.to_vec();
    *copy.select_nth_unstable_by(k - 1, |a, b| order(*b, *a)).1
}

/// The `k` largest values and their indices, largest first, the lower index first among equals.
pub(crate) fn top_k(values: &[f32], k: usize) -> Vec<(usize, f32)> {
    let k = k.min(values.len());
    if k == 0 {
        return Vec::new();
    }
    let order = |a: &usize, b: &usize| order(values[*b], values[*a]).then(a.cmp(b));
    let mut indices: Vec<usize> = (0..values.len()).collect();
    if k < indices.len() {
        indices.select_nth_unstable_by(k - 1, order);
        indices.truncate(k);
    }
    indices.sort_unstable_by(order);
    indices.into_iter().map(|i| (i, values[i])).collect()
}

/// Set every score to `-inf` but those that `keep` names.
pub(crate) fn remove_unless(scores: &mut [f32], mut keep: impl FnMut(usize, f32) -> bool) {
    for (i, score) in scores.iter_mut().enumerate() {
        if !keep(i, *score) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Rounded to the nearest `f32`, as a Python float is where it meets a tensor.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
pub(crate) const fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_nothing_finite_is_nan_and_of_one_is_one() {
        assert!(softmax(&[f32::NEG_INFINITY; 3]).iter().all(|p| p.is_nan()));
        assert_eq!(softmax(&[f32::NEG_INFINITY, 7.0]), [0.0, 1.0]);
        let mut x = [0.0, 0.0];
        log_softmax(&mut x);
        assert!((x[0] + 2f32.ln()).abs() < 1e-7);
        assert!((entropy(&[3.0, 3.0, f32::NEG_INFINITY]) - 2f32.ln()).abs() < 1e-7);
    }

    #[test]
    fn top_k_takes_the_lower_index_among_equals() {
        assert_eq!(top_k(&[1.0, 3.0, 3.0, 2.0], 2), [(1, 3.0), (2, 3.0)]);
        assert_eq!(top_k(&[1.0], 5), [(0, 1.0)]);
        assert_eq!(
            top_k(&[-0.0, 0.0, -1.0], 1),
            [(0, 0.0)],
            "the zeros are equal"
        );
        assert_eq!(
            top_k(&[1.0, -f32::NAN, 2.0], 2)[1],
            (2, 2.0),
            "NaN is the largest, whatever its sign"
        );
        assert_eq!(kth_largest(&[1.0, 3.0, 3.0, 2.0], 3), 2.0);
    }
}
