//! Threads that share one operation.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of threads, the caller's among them.
#[derive(Debug)]
pub(crate) struct Pool {
    threads: usize,
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads }
    }

    /// The threads that take part, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Run `f` over `0..n` in chunks of `grain`, dealt to the threads as they come free.
    ///
    /// Returns when all is done. `f` must give the same result however the range is cut.
    pub(crate) fn for_each(&self, n: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
        let grain = grain.max(1);
        if self.threads == 1 || n <= grain {
            if n > 0 {
                f(0..n);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let start = next.fetch_add(grain, Ordering::Relaxed);
                if start >= n {
                    break;
                }
                f(start..n.min(start + grain));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(work);
            }
            work();
        });
    }
}
