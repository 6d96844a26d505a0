//! What the benchmarks share: the device that the environment asks for, lines that arguments choose, and times.
#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::env;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use hfcore_kernels::{CpuOptions, Device, Precision};

/// Time for each line.
const TIME: Duration = Duration::from_millis(150);

/// The device, with `HFCORE_THREADS` threads and in `HFCORE_PRECISION` if those are set. `HFCORE_ISA` is
/// read by the library.
pub(crate) fn device() -> Device {
    let mut options = CpuOptions::default();
    let threads = env::var("HFCORE_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok());
    if let Some(threads) = threads.and_then(NonZeroUsize::new) {
        options = options.with_threads(threads);
    }
    let precision = env::var("HFCORE_PRECISION").unwrap_or_default();
    for named in [Precision::Strict, Precision::High, Precision::Fast] {
        if named.name() == precision {
            options = options.with_precision(named);
        }
    }
    Device::cpu_with(&options)
}

/// The lines that the arguments ask for: those that contain all of them.
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    pub(crate) fn from_args() -> Self {
        let words = env::args().skip(1).filter(|arg| !arg.starts_with("--"));
        Self(words.collect())
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.0.iter().all(|word| contains(line, word))
    }
}

/// Whether `line` has `word`, not as the beginning of a longer one: `m=1` is not `m=16`, `int4` not `int4-64`.
fn contains(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let next = line[at + word.len()..].chars().next();
        !(word.ends_with(|c: char| c.is_ascii_digit())
            && next.is_some_and(|c| c.is_ascii_digit() || c == '-'))
    })
}

/// The best and the median of the seconds that a call takes.
pub(crate) fn time(mut run: impl FnMut()) -> (f64, f64) {
    run();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begin.elapsed() < TIME {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}
