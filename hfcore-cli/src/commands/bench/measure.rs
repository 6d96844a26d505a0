//! Samples of a speed, with the work behind it.

use std::io::{self, Write};
use std::time::Instant;

use hfcore::{Device, Work};
use serde_json::{Value, json};

use super::ceilings::Ceilings;
use super::object;
use crate::output::Result;

/// How fast something was done, again and again.
pub(super) struct Measured {
    /// `pp`, `tg`, `encode`.
    pub(super) name: String,
    /// How it is printed: `pp512`.
    label: String,
    /// What is counted: `tokens`.
    unit: &'static str,
    /// Of these in a run.
    units: usize,
    /// Of these a second, once for each repetition.
    samples: Vec<f64>,
    /// Seconds of the run that warmed up. Of the first thing that is measured it begins with a model that was
    /// loaded and never used.
    first_s: Option<f64>,
    /// What one run had to read and compute.
    work: Work,
}

impl Measured {
    /// `run`, which does `units` of something, once to warm up and then `repetitions` times.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub(super) fn of(
        name: &str,
        label: String,
        (units, unit): (usize, &'static str),
        device: &Device,
        repetitions: usize,
        mut run: impl FnMut() -> Result<Timed>,
    ) -> Result<Self> {
        let mut work = Work::default();
        let mut samples = Vec::with_capacity(repetitions);
        let mut first_s = None;
        for repetition in 0..=repetitions {
            if units == 0 {
                break;
            }
            let timed = run()?;
            work = device.work() - timed.before;
            if repetition > 0 {
                samples.push(units as f64 / timed.seconds);
            } else {
                first_s = Some(timed.seconds);
            }
        }
        Ok(Self {
            name: name.to_owned(),
            label,
            unit,
            units,
            samples,
            first_s,
            work,
        })
    }

    /// The figures, for programs.
    pub(super) fn json(&self, ceilings: Option<&Ceilings>) -> Value {
        let shares = ceilings.and_then(|ceilings| self.shares(ceilings));
        let work = ceilings.map(|_| self.work);
        object([
            ("unit", Some(json!(self.unit))),
            ("per_run", Some(json!(self.units))),
            ("per_s", Some(json!(self.samples))),
            ("first_s", self.first_s.map(|seconds| json!(seconds))),
            ("bytes", work.map(|work| json!(work.bytes))),
            ("operations", work.map(|work| json!(work.operations))),
            ("best_bytes_per_s", shares.as_ref().map(|s| json!(s.read))),
            (
                "best_operations_per_s",
                shares.as_ref().map(|s| json!(s.computed)),
            ),
            (
                "share_of_read",
                shares.as_ref().map(|s| json!(s.share_of_read)),
            ),
            (
                "share_of_multiply",
                shares.as_ref().map(|s| json!(s.share_of_multiply)),
            ),
        ])
    }

    /// Two lines for people; nothing, where nothing was asked for. Without ceilings, where work is not counted, only
    /// the first.
    pub(super) fn print(
        &self,
        out: &mut impl Write,
        ceilings: Option<&Ceilings>,
    ) -> io::Result<()> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let (label, unit) = (&self.label, self.unit);
        writeln!(
            out,
            "  {label:<9} {:.1} {unit}/s (median of {}, best {:.1})",
            median(&self.samples),
            self.samples.len(),
            best(&self.samples)
        )?;
        let Some((ceilings, shares)) =
            ceilings.and_then(|ceilings| Some((ceilings, self.shares(ceilings)?)))
        else {
            return Ok(());
        };
        let (bytes, operations) = self.of_each();
        writeln!(
            out,
            "            {bytes:.1} MB and {operations:.2} GFLOP for each; at best {:.1} GB/s, {:.0} % of what is read, \
             and {:.0} GFLOP/s, {:.0} % of what is multiplied in {}",
            shares.read / 1e9,
            shares.share_of_read * 1e2,
            shares.computed / 1e9,
            shares.share_of_multiply * 1e2,
            ceilings.factors,
        )
    }

    /// Megabytes and GFLOP of one unit.
    #[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
    fn of_each(&self) -> (f64, f64) {
        let units = self.units as f64;
        (
            self.work.bytes as f64 / units / 1e6,
            self.work.operations as f64 / units / 1e9,
        )
    }

    /// The best sample beside the ceilings; `None` without a sample.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    fn shares(&self, ceilings: &Ceilings) -> Option<Shares> {
        if self.samples.is_empty() {
            return None;
        }
        let runs = best(&self.samples) / self.units as f64;
        let (read, computed) = (
            self.work.bytes as f64 * runs,
            self.work.operations as f64 * runs,
        );
        Some(Shares {
            read,
            computed,
            share_of_read: read / ceilings.read,
            share_of_multiply: computed / ceilings.multiply(),
        })
    }
}

/// What the best sample did in a second.
struct Shares {
    read: f64,
    computed: f64,
    share_of_read: f64,
    share_of_multiply: f64,
}

/// How long something took, and what the device had done before it.
pub(super) struct Timed {
    before: Work,
    seconds: f64,
}

impl Timed {
    /// Do it.
    pub(super) fn of(device: &Device, run: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (before, start) = (device.work(), Instant::now());
        run()?;
        device.wait()?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Self { before, seconds })
    }
}

/// Random token ids, the same on every run.
pub(super) struct Tokens {
    vocab_size: usize,
}

impl Tokens {
    pub(super) const fn new(vocab_size: usize) -> Self {
        Self { vocab_size }
    }

    /// A linear congruential generator (Knuth's MMIX) is random enough to spread over the vocabulary.
    pub(super) fn take(&self, n: usize) -> Vec<u32> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let id = (state >> 33) % self.vocab_size as u64;
            u32::try_from(id).expect("31 bits fit 32")
        };
        std::iter::repeat_with(next).take(n).collect()
    }
}

/// The most memory this process ever had resident; `None` where the system does not tell in a file.
pub(super) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

pub(super) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn best(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(0.0, f64::max)
}
