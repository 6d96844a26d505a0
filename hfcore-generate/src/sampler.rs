//! From scores to a token: the largest, or one drawn from their softmax.

use hfcore_kernels::sample::{argmax, draw};

use crate::error::NumericalProblem;
use crate::math;
use crate::random::Philox;

/// Chooses the next token of one sequence.
///
/// The `n`-th choice of a sampled sequence depends on its seed, its stream, `n` and the scores, and on
/// nothing else.
#[derive(Clone, Debug)]
pub struct Sampler {
    random: Option<Philox>,
}

impl Sampler {
    /// Takes the token of the largest score, the first among equals.
    #[must_use]
    pub const fn greedy() -> Self {
        Self { random: None }
    }

    /// Draws from the softmax of the scores.
    ///
    /// `stream` tells sequences with one seed apart, such as those of `num_return_sequences`.
    #[must_use]
    pub const fn multinomial(seed: u64, stream: u64) -> Self {
        Self {
            random: Some(Philox::new(seed, stream)),
        }
    }

    /// The next token, an index into `scores`.
    ///
    /// # Errors
    /// If a score is NaN or `+inf`, or none is above `-inf`: there is no distribution to choose from.
    pub fn sample(&mut self, scores: &[f32]) -> Result<usize, NumericalProblem> {
        let best = argmax(scores)?;
        match &mut self.random {
            Some(random) => Ok(draw(scores, random.fraction())?),
            None => Ok(best),
        }
    }

    /// The random number of the next choice, in units of 2^-64, for whoever makes it elsewhere; 0 where
    /// none is needed.
    pub(crate) fn fraction(&mut self) -> u64 {
        self.random.as_mut().map_or(0, Philox::fraction)
    }

    /// `count` different indices, drawn one after the other without replacement from the softmax of
    /// `scores`, in the order drawn; those of probability 0 come last, in their order.
    ///
    /// An exponential race, as torch's `multinomial`: the index with the largest `p / e`, `e ~ Exp(1)`,
    /// is distributed as the first draw, the next largest as the second.
    pub(crate) fn sample_distinct(&mut self, scores: &[f32], count: usize) -> Vec<usize> {
        let mut greedy = Philox::new(0, 0);
        let random = self.random.as_mut().unwrap_or(&mut greedy);
        let keys: Vec<f32> = (math::softmax(scores).into_iter())
            .map(|p| {
                if p > 0.0 {
                    math::narrow(f64::from(p) / -random.uniform().ln())
                } else {
                    0.0
                }
            })
            .collect();
        math::top_k(&keys, count)
            .into_iter()
            .map(|(i, _)| i)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn scores_that_are_no_distribution_are_refused_greedy_and_sampled() {
        let table: [(&[f32], _); 6] = [
            (&[1.0, f32::NAN, 2.0], Err(NumericalProblem::Nan)),
            (&[1.0, INF], Err(NumericalProblem::PositiveInfinity)),
            (&[-INF, -INF], Err(NumericalProblem::NoneLeft)),
            (&[], Err(NumericalProblem::NoneLeft)),
            (&[-INF, -3e38], Ok(1)),
            (&[f32::MIN, -INF], Ok(0)),
        ];
        for (scores, expected) in table {
            assert_eq!(Sampler::greedy().sample(scores), expected, "{scores:?}");
            assert_eq!(
                Sampler::multinomial(1, 0).sample(scores),
                expected,
                "{scores:?}"
            );
        }
        assert_eq!(
            Sampler::greedy().sample(&[2.0, 5.0, 5.0]),
            Ok(1),
            "the first of equals"
        );
    }

    #[test]
    fn samples_follow_the_distribution() {
        let scores = [0.0f32, 1.0, -INF, 2.0, -1.0];
        let probs = math::softmax(&scores);
        let mut sampler = Sampler::multinomial(42, 0);
        let mut counts = [0u32; 5];
        let n = 40_000;
        for _ in 0..n {
            counts[sampler.sample(&scores).unwrap()] += 1;
        }
        assert_eq!(counts[2], 0);
        for (count, p) in counts.iter().zip(&probs) {
            let (got, p) = (f64::from(*count) / f64::from(n), f64::from(*p));
            let sigma = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((got - p).abs() <= 4.0 * sigma, "{counts:?} for {probs:?}");
        }
    }

    #[test]
    fn draws_without_replacement_are_distinct_and_the_first_follows_the_distribution() {
        let scores = [0.0f32, 1.0, -INF, 2.0];
        let probs = math::softmax(&scores);
        let mut sampler = Sampler::multinomial(3, 0);
        let mut counts = [0u32; 4];
        for _ in 0..20_000 {
            let drawn = sampler.sample_distinct(&scores, 4);
            assert_eq!(drawn[3], 2, "probability 0 comes last: {drawn:?}");
            assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);
            counts[drawn[0]] += 1;
        }
        for (count, p) in counts.iter().zip(&probs) {
            assert!(
                (f64::from(*count) / 20_000.0 - f64::from(*p)).abs() < 0.015,
                "{counts:?}"
            );
        }
    }
}
