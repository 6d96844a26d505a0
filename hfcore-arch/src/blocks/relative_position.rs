//! T5's relative positions: a learnt score for each bucket of distances and each head.
//!
//! Near distances have a bucket each; the others share buckets whose bounds grow as the logarithm, up
//! to `max_distance`, beyond which all are one. Where attention looks both ways, half of the buckets
//! are for keys behind the query and half for those before it.
//!
//! Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>; transformers 5.23 `models/t5/modeling_t5.py`,
//! `T5Attention._relative_position_bucket`.

use hfcore_kernels::{RelativeBias, Tensor};

use crate::loader::Loader;

/// The largest `max_distance`: tables are expanded to one score per distance.
pub const MAX_RELATIVE_DISTANCE: usize = 1 << 16;

/// How distances fall into buckets.
#[derive(Clone, Copy, Debug)]
pub struct RelativePositionSpec {
    /// `H`.
    pub num_heads: usize,
    /// Rows of the table.
    pub num_buckets: usize,
    /// From this distance on, all share the last bucket.
    pub max_distance: usize,
    /// Whether keys before the query have buckets of their own. Causal attention never asks for them.
    pub bidirectional: bool,
}

impl RelativePositionSpec {
    /// Distances with a bucket each.
    const fn max_exact(&self) -> usize {
        if self.bidirectional {
            self.num_buckets / 4
        } else {
            self.num_buckets / 2
        }
    }

    /// Why the formula makes no sense with these numbers, if it does not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let least = if self.bidirectional { 4 } else { 2 };
        if self.num_buckets < least {
            return Some(format!(
                "at least {least} buckets are needed, found {}",
                self.num_buckets
            ));
        }
        let (max, exact) = (self.max_distance, self.max_exact());
        (max <= exact || max > MAX_RELATIVE_DISTANCE).then(|| {
            format!(
                "expected a distance above {exact} and at most {MAX_RELATIVE_DISTANCE}, found {max}"
            )
        })
    }

    /// The bucket of a key `distance` positions after the query (negative: before it).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "torch computes the logarithm of the distance in f32 and truncates; distances are below 2^17"
    )]
    fn bucket(&self, distance: isize) -> usize {
        let (first, buckets) = if self.bidirectional {
            let half = self.num_buckets / 2;
            (if distance > 0 { half } else { 0 }, half)
        } else {
            (0, self.num_buckets)
        };
        let n = if self.bidirectional {
            distance.unsigned_abs()
        } else {
            distance.min(0).unsigned_abs()
        };
        let exact = self.max_exact();
        if n < exact {
            return first + n;
        }
        let log_range = (self.max_distance as f64 / exact as f64).ln() as f32;
        let beyond = (n as f32 / exact as f32).ln() / log_range * (buckets - exact) as f32;
        first + (exact + beyond as usize).min(buckets - 1)
    }
}

/// A score for each head and each distance.
#[derive(Clone, Debug)]
pub struct RelativePositions {
    /// `[H, 2 * max_distance + 1]`, or `[H, max_distance + 1]` where attention is causal.
    table: Tensor,
    zero: usize,
}

impl RelativePositions {
    /// `weight: [num_buckets, H]`, expanded to a score per distance.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &RelativePositionSpec) -> Self {
        let by_bucket = w.published("weight", &[s.num_buckets, s.num_heads]);
        // Of a missing tensor nothing is made: the loader refuses the model.
        let missing = by_bucket.shape() != [s.num_buckets, s.num_heads];
        let ahead = if s.bidirectional { s.max_distance } else { 0 };
        let (heads, width) = if missing {
            (0, 0)
        } else {
            (s.num_heads, s.max_distance + 1 + ahead)
        };
        let scores = by_bucket.to_f32();
        let table = (0..heads).flat_map(|head| {
            let scores = &scores;
            (0..width).map(move |i| {
                let distance = i.cast_signed() - s.max_distance.cast_signed();
                scores[s.bucket(distance) * s.num_heads + head]
            })
        });
        Self {
            table: w.parameter(&[heads, width], table.collect()),
            zero: s.max_distance,
        }
    }

    /// What attention adds to its scores.
    #[must_use]
    pub const fn bias(&self) -> RelativeBias<'_> {
        RelativeBias {
            table: &self.table,
            zero: self.zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(bidirectional: bool, num_buckets: usize, max_distance: usize) -> RelativePositionSpec {
        RelativePositionSpec {
            num_heads: 1,
            num_buckets,
            max_distance,
            bidirectional,
        }
    }

    /// Where each bucket begins, as `T5Attention._relative_position_bucket` of transformers 5.23 gives it.
    #[test]
    fn buckets_begin_where_they_do_in_transformers() {
        let cases: &[(bool, usize, usize, &[isize])] = &[
            (
                true,
                32,
                128,
                &[1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91],
            ),
            (
                false,
                32,
                128,
                &[
                    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 21, 24, 27, 31, 35,
                    40, 46, 52, 59, 67, 77, 87, 99, 113,
                ],
            ),
            (
                true,
                32,
                20,
                &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 18],
            ),
            (false, 12, 64, &[1, 2, 3, 4, 5, 6, 9, 14, 20, 30, 44]),
            (true, 20, 256, &[1, 2, 3, 4, 5, 11, 25, 54, 117]),
        ];
        for &(bidirectional, num_buckets, max_distance, expected) in cases {
            let s = spec(bidirectional, num_buckets, max_distance);
            let starts = |sign: isize| -> Vec<isize> {
                (1..=max_distance.cast_signed() + 50)
                    .filter(|n| s.bucket(sign * n) != s.bucket(sign * (n - 1)))
                    .collect()
            };
            assert_eq!(starts(-1), expected, "{s:?}");
            if bidirectional {
                assert_eq!(starts(1), expected, "{s:?}");
                assert_eq!((s.bucket(-3), s.bucket(3)), (3, num_buckets / 2 + 3));
            } else {
                assert_eq!(
                    (s.bucket(3), s.bucket(0)),
                    (0, 0),
                    "what causal attention never sees"
                );
            }
        }
    }

    #[test]
    fn numbers_without_a_meaning_are_named() {
        assert_eq!(spec(true, 32, 128).problem(), None);
        assert_eq!(
            spec(true, 3, 128).problem().unwrap(),
            "at least 4 buckets are needed, found 3"
        );
        let problem = spec(true, 32, 8).problem().unwrap();
        assert_eq!(
            problem,
            "expected a distance above 8 and at most 65536, found 8"
        );
        assert!(spec(false, 32, 16).problem().is_some());
        assert!(spec(false, 32, 1 << 17).problem().is_some());
    }
}
