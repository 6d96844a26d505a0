//! Samples of a time, and what one more of something takes.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Seconds that something took, once for each sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// `run`, once to warm up and then `times` times.
    ///
    /// # Errors
    /// What `run` fails with.
    pub fn of<E>(times: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<Self, E> {
        run()?;
        let mut samples = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            run()?;
            samples.push(start.elapsed().as_secs_f64());
        }
        Ok(Self(samples))
    }

    /// The middle one; of an even number the later of two; `None` if there is none.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// The shortest; `None` if there is none.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<T: IntoIterator<Item = Duration>>(samples: T) -> Self {
        Self(samples.into_iter().map(|s| s.as_secs_f64()).collect())
    }
}

/// The seconds that one more takes: `run(n)` does n of them and waits, and what it does besides (recording, submitting,
/// waiting for an answer) is the same for few as for many and falls out. Of each the shortest of `times` counts.
///
/// `None` where many took no longer than few: the thing is below what can be seen.
///
/// # Errors
/// What `run` fails with.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub fn of_one_more<E>(
    [few, many]: [usize; 2],
    times: usize,
    mut run: impl FnMut(usize) -> Result<(), E>,
) -> Result<Option<f64>, E> {
    let mut best = [f64::INFINITY; 2];
    // In turns, so that a bad moment of the machine meets both.
    for round in 0..=times {
        for (best, n) in best.iter_mut().zip([few, many]) {
            let start = Instant::now();
            run(n)?;
            if round > 0 {
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
    }
    let seconds = (best[1] - best[0]) / (many - few) as f64;
    Ok((seconds.is_finite() && seconds > 0.0).then_some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_shortest() {
        let samples = Samples(vec![3.0, 1.0, 2.0]);
        assert_eq!((samples.median(), samples.best()), (Some(2.0), Some(1.0)));
        assert_eq!(Samples::default().median(), None);
        assert_eq!(Samples::default().best(), None);
    }

    #[test]
    fn the_first_run_of_each_does_not_count() {
        let mut runs = Vec::new();
        let result: Result<_, ()> = of_one_more([1, 3], 2, |n| {
            runs.push(n);
            Ok(())
        });
        assert_eq!(runs, [1, 3, 1, 3, 1, 3]);
        assert!(result.is_ok());
        // What takes as long for many as for few cannot be seen.
        let none: Result<_, ()> = of_one_more([1, 3], 0, |_| Ok(()));
        assert_eq!(none, Ok(None));
    }
}
