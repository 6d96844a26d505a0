//! The definition of a choice: which scores survive, and which of them a random number picks.
//!
//! A score of `-inf` is a removed token. Probabilities are [whole numbers](super::weight), sums of them
//! exact; ties are between equal scores only.

use std::cmp::Ordering;

use super::weight::{fraction, least, part, weight};

/// Why there is nothing to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// At least one score is NaN.
    #[error("the scores contain NaN")]
    Nan,
    /// At least one score is `+inf`.
    #[error("the scores contain +inf")]
    PositiveInfinity,
    /// All are `-inf`: every token has been removed.
    #[error("the scores are all -inf")]
    NoneLeft,
}

/// The first index of the largest score.
///
/// # Errors
/// If a score is NaN or `+inf`, or none is above `-inf`.
pub fn argmax(scores: &[f32]) -> Result<usize, SampleError> {
    let mut best = 0;
    let mut max = f32::NEG_INFINITY;
    for (i, &score) in scores.iter().enumerate() {
        if score > max {
            (best, max) = (i, score);
        } else if score.is_nan() {
            return Err(SampleError::Nan);
        }
    }
    match max {
        f32::INFINITY => Err(SampleError::PositiveInfinity),
        f32::NEG_INFINITY => Err(SampleError::NoneLeft),
        _ => Ok(best),
    }
}

/// Draw from the softmax of `scores`: the first index behind which the running sum of weights is above
/// `fraction / 2^64` of all of it.
///
/// # Errors
/// As [`argmax`].
pub fn draw(scores: &[f32], fraction: u64) -> Result<usize, SampleError> {
    let best = argmax(scores)?;
    let max = scores[best];
    let total: u64 = scores.iter().map(|&score| weight(max, score)).sum();
    let target = part(fraction, total);
    let mut sum = 0;
    let passes = |&score: &f32| {
        sum += weight(max, score);
        sum > target
    };
    // `target` is below `total`: one passes.
    Ok(scores.iter().position(passes).unwrap_or(best))
}

/// Keep the `k` largest scores, and all that equal the last of them. NaN counts as the largest.
///
/// # Panics
/// If `k` is 0.
#[track_caller]
pub fn keep_top_k(scores: &mut [f32], k: usize) {
    assert!(k > 0, "keep_top_k: at least one");
    if k < scores.len() {
        let mut copy = scores.to_vec();
        let threshold = *copy.select_nth_unstable_by(k - 1, |a, b| order(*b, *a)).1;
        for score in scores {
            if *score < threshold {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// Keep the `k` largest scores and no more: of those that equal the last of them the first. NaN counts as the largest.
///
/// # Panics
/// If `k` is 0.
#[track_caller]
pub fn keep_best(scores: &mut [f32], k: usize) {
    assert!(k > 0, "keep_best: at least one");
    let is_left = |score: &f32| *score != f32::NEG_INFINITY;
    if scores.iter().filter(|score| is_left(score)).count() <= k {
        return;
    }
    let mut copy = scores.to_vec();
    let last = *copy.select_nth_unstable_by(k - 1, |a, b| order(*b, *a)).1;
    let better = scores.iter().filter(|score| order(**score, last).is_gt());
    let mut equal = k - better.count();
    for score in scores {
        let kept = match order(*score, last) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => {
                let kept = equal > 0;
                equal -= usize::from(kept);
                kept
            }
        };
        if !kept {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// The indices of the `k` largest scores, the largest first, and of equals the first; of all, if there are fewer.
pub(super) fn best_of(scores: &[f32], k: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| order(scores[*b], scores[*a]).then(a.cmp(b));
    let mut indices: Vec<usize> = (0..scores.len()).collect();
    if k < indices.len() {
        indices.select_nth_unstable_by(k - 1, order);
        indices.truncate(k);
    }
    indices.sort_unstable_by(order);
    indices
}

/// Keep the smallest set of likeliest tokens whose probabilities add up to `p` or more, and at least
/// `min_tokens_to_keep`: from the least likely on, the first among equals first, tokens go while their
/// running sum is at most `1 - p` (rounded to `f32`). Scores that are no distribution stay as they are.
///
/// Reference: `TopPLogitsWarper`, `generation/logits_process.py`, transformers 5.23.
pub fn keep_top_p(scores: &mut [f32], p: f64, min_tokens_to_keep: usize) {
    let Ok(best) = argmax(scores) else {
        return;
    };
    let max = scores[best];
    let survivors = |wanted: &dyn Fn(f32) -> bool| -> Vec<usize> {
        (0..scores.len()).filter(|&i| wanted(scores[i])).collect()
    };
    // What has no weight goes first; it matters only where so many are to be kept.
    let mut ascending = survivors(&|score| weight(max, score) > 0);
    if ascending.len() < min_tokens_to_keep {
        ascending = survivors(&|score| score > f32::NEG_INFINITY);
    }
    ascending.sort_by(|&a, &b| order(scores[a], scores[b]));
    let weights: Vec<u64> = ascending.iter().map(|&i| weight(max, scores[i])).collect();
    let target = part(removable(p), weights.iter().sum());
    let last = ascending.len().saturating_sub(min_tokens_to_keep);
    let mut sum = 0;
    let kept = weights[..last].iter().position(|weight| {
        sum += weight;
        sum > target
    });
    let mut keep = vec![false; scores.len()];
    for &i in &ascending[kept.unwrap_or(last)..] {
        keep[i] = true;
    }
    for (score, keep) in scores.iter_mut().zip(keep) {
        if !keep {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Remove tokens less likely than `min_p` (rounded to `f32`) times the likeliest, but keep at least
/// `min_tokens_to_keep`. Scores that are no distribution stay as they are.
///
/// Reference: `MinPLogitsWarper`, `generation/logits_process.py`, transformers 5.23.
pub fn keep_min_p(scores: &mut [f32], min_p: f64, min_tokens_to_keep: usize) {
    let Ok(best) = argmax(scores) else {
        return;
    };
    let (max, least) = (scores[best], least(narrow(min_p)));
    let removed = |score: f32| score > f32::NEG_INFINITY && weight(max, score) < least;
    let mut kept = scores.to_vec();
    if min_tokens_to_keep > 1 && scores.iter().any(|&score| removed(score)) {
        let mut descending: Vec<usize> = (0..scores.len()).collect();
        descending.sort_by(|&a, &b| order(scores[b], scores[a]));
        kept.fill(f32::NEG_INFINITY);
        for &i in descending.iter().take(min_tokens_to_keep) {
            kept[i] = scores[i];
        }
        for (kept, &score) in kept.iter_mut().zip(&*scores) {
            if !removed(score) {
                *kept = score;
            }
        }
    } else {
        for kept in &mut kept {
            if removed(*kept) {
                *kept = f32::NEG_INFINITY;
            }
        }
    }
    scores.copy_from_slice(&kept);
}

/// `1 - p` as transformers' comparison of tensors sees it, in units of 2^-64.
pub(super) fn removable(p: f64) -> u64 {
    fraction(narrow(1.0 - p))
}

/// The score of a token that has occurred: divided by the penalty, or multiplied where it is negative.
///
/// Reference: `RepetitionPenaltyLogitsProcessor`, `generation/logits_process.py`, transformers 5.23.
#[must_use]
pub fn penalized(score: f32, penalty: f32) -> f32 {
    if score < 0.0 {
        score * penalty
    } else {
        score / penalty
    }
}

/// torch's order: the two zeros are equal, and NaN is the largest.
pub(super) fn order(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Rounded to the nearest `f32`, as a Python float is where it meets a tensor.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
pub(super) const fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn scores_that_are_no_distribution_are_refused() {
        let table: [(&[f32], _); 7] = [
            (&[1.0, f32::NAN, 2.0], Err(SampleError::Nan)),
            (&[INF, f32::NAN], Err(SampleError::Nan)),
            (&[1.0, INF], Err(SampleError::PositiveInfinity)),
            (&[-INF, -INF], Err(SampleError::NoneLeft)),
            (&[], Err(SampleError::NoneLeft)),
            (&[-INF, -3e38], Ok(1)),
            (&[f32::MIN, -INF], Ok(0)),
        ];
        for (scores, expected) in table {
            assert_eq!(argmax(scores), expected, "{scores:?}");
            assert_eq!(draw(scores, 1 << 63), expected, "{scores:?}");
            let mut kept = scores.to_vec();
            keep_top_p(&mut kept, 0.5, 1);
            keep_min_p(&mut kept, 0.5, 1);
            assert_eq!(draw(&kept, 1 << 63), expected, "{scores:?}");
        }
        assert_eq!(argmax(&[2.0, 5.0, 5.0]), Ok(1), "the first of equals");
        assert_eq!(argmax(&[-0.0, 0.0]), Ok(0), "the zeros are equal");
    }

    #[test]
    fn a_fraction_picks_the_token_whose_share_it_falls_into() {
        let scores = [1.0, -INF, 1.0, 1.0, 1.0];
        for (quarter, token) in [(0, 0), (1, 2), (2, 3), (3, 4)] {
            assert_eq!(draw(&scores, quarter << 62), Ok(token));
            assert_eq!(draw(&scores, (quarter << 62) + ((1 << 62) - 1)), Ok(token));
        }
    }

    #[test]
    fn nucleus_and_min_p_cut_where_they_say() {
        let cut = |p: f64, keep| {
            let mut scores = [0.0f32; 4];
            keep_top_p(&mut scores, p, keep);
            scores.map(|score| score == 0.0)
        };
        assert_eq!(
            cut(0.75, 1),
            [false, true, true, true],
            "a sum of 1 - p still goes"
        );
        assert_eq!(cut(0.76, 1), [true; 4]);
        assert_eq!(cut(0.0, 1), [false, false, false, true]);
        assert_eq!(cut(0.0, 3), [false, true, true, true]);
        let halves = [0.0, -2f32.ln(), -2.0 * 2f32.ln(), -INF];
        let mut scores = halves;
        keep_min_p(&mut scores, 0.4, 1);
        assert_eq!(scores, [halves[0], halves[1], -INF, -INF]);
        let mut scores = halves;
        keep_min_p(&mut scores, 1.0, 2);
        assert_eq!(scores, [halves[0], halves[1], -INF, -INF]);
    }

    #[test]
    fn the_best_are_so_many_and_the_first_of_equals() {
        let scores = [1.0, 3.0, 2.0, -0.0, 2.0, 2.0, 0.0, -INF, f32::NAN];
        for k in 1..=10 {
            let mut kept = scores;
            keep_best(&mut kept, k);
            let best = best_of(&scores, k);
            let order = [8, 1, 2, 4, 5, 0, 3, 6, 7];
            assert_eq!(best, order[..k.min(9)]);
            for (i, (kept, score)) in kept.iter().zip(scores).enumerate() {
                let expected = if best.contains(&i) { score } else { -INF };
                assert_eq!(kept.to_bits(), expected.to_bits(), "{i} of {k}");
            }
        }
    }

    #[test]
    fn top_k_keeps_ties_with_the_last() {
        let mut scores = [1.0, 3.0, 2.0, 2.0, -1.0];
        keep_top_k(&mut scores, 2);
        assert_eq!(scores, [-INF, 3.0, 2.0, 2.0, -INF]);
    }
}
