//! What the GPU was asked to do, counted: so that a test notices what a token costs.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was asked of a GPU so far. The difference of two says what lies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WgpuCounters {
    /// Kernels started.
    pub dispatches: u64,
    /// Submissions to the queue.
    pub submits: u64,
    /// Buffers, bind groups, pipelines and shader modules made.
    pub created_objects: u64,
    /// Bytes of buffers that exist now.
    pub allocated_bytes: u64,
    /// Bytes of results that were copied to where the host reads them.
    pub read_bytes: u64,
    /// Plans made, each the first of its kind.
    pub plans: u64,
    /// Steps for which a plan was there already.
    pub replays: u64,
    /// Time spent on the CPU to find plans, make them and encode, in nanoseconds.
    pub encode_nanos: u64,
    /// Time spent in the driver, while it took what was submitted, in nanoseconds. Software adapters may wait there for
    /// what was submitted before.
    pub submit_nanos: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) dispatches: AtomicU64,
    pub(super) submits: AtomicU64,
    pub(super) created_objects: AtomicU64,
    pub(super) allocated_bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    pub(super) plans: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) encode_nanos: AtomicU64,
    pub(super) submit_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn created(&self) {
        Self::add(&self.created_objects, 1);
    }

    pub(super) fn snapshot(&self) -> WgpuCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WgpuCounters {
            dispatches: get(&self.dispatches),
            submits: get(&self.submits),
            created_objects: get(&self.created_objects),
            allocated_bytes: get(&self.allocated_bytes),
            read_bytes: get(&self.read_bytes),
            plans: get(&self.plans),
            replays: get(&self.replays),
            encode_nanos: get(&self.encode_nanos),
            submit_nanos: get(&self.submit_nanos),
        }
    }
}
