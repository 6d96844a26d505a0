//! Samples of a time, and what one more of something takes.

use std::time::Instant;

use hfcore_kernels::{Device, DeviceError, Tensor, gpu_probe};

/// Seconds that something took, once for each sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
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

/// The seconds that one more takes of the device: `record(n)` records n of them, whose result it returns, and does not
/// wait. What is timed begins when all of it is submitted, so that recording and encoding are not in it, and what it costs
/// to wait is the same for few as for many and falls out. Of each the shortest of `times` counts.
///
/// `None` where many took no longer than few: the thing is below what can be seen.
///
/// # Errors
/// If the device fails.
pub fn of_one_more(
    device: &Device,
    ends: [usize; 2],
    times: usize,
    mut record: impl FnMut(usize) -> Tensor,
) -> Result<Option<f64>, DeviceError> {
    gpu_probe::one_more(ends, times, |n| {
        let result = record(n);
        device.submit();
        let start = Instant::now();
        gpu_probe::synchronize(device)?;
        let took = start.elapsed();
        drop(result);
        Ok(took)
    })
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
}
