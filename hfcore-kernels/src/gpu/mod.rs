//! Any GPU that wgpu reaches.
//!
//! ```text
//! operation ──► Recording: one node each, of what does not change from token to token,
//!                          and step words, of what does
//!    read ────► Plan:      found by the nodes, or made: fuse, lower to calls of kernels,
//!                          give values buffers, make pipelines and bind groups
//!               replay:    write the step words, encode the calls in one pass, submit
//! ```
//!
//! Operations are recorded and run when somebody reads a number. What was recorded is its own key: a step
//! whose nodes are those of an earlier one, which is every token but the first, makes nothing anew and only
//! encodes. No operation fails: what goes wrong is remembered, and told to whoever reads.
//!
//! Everything that knows the crate `wgpu` is below this module.

mod adapter;
mod caps;
mod counters;
mod fuse;
#[cfg(test)]
mod fuse_tests;
mod halves;
mod memory;
#[cfg(test)]
mod noop;
mod op;
pub(crate) mod ops;
mod plan;
pub mod probe;
mod profile;
mod read;
mod record;
mod replay;
mod shader;
mod synthetic;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod upload;
mod value;
pub(crate) mod weights;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use adapter::list as adapters;
pub use adapter::{WgpuAdapter, WgpuAdapterType, WgpuOptions, WgpuPower, WgpuSelect};
pub(crate) use caps::Caps;
pub use caps::{WgpuForce, WgpuTier};
pub use counters::WgpuCounters;
pub(crate) use memory::{Held, Region};
pub(crate) use op::{Bits, Operand};
pub(crate) use plan::{Bind, Call, Grid, Planner, fold};
pub(crate) use read::Reading;
pub(crate) use record::Recording;
pub(crate) use shader::Variant;
pub(crate) use value::Value;
pub(crate) use weights::GpuMatrix;

use crate::{DeviceError, Precision};
use counters::Counters;
use memory::{Memory, is_send_and_sync};
use plan::{Arena, Plans};
use profile::Profile;
use read::Readers;
use record::Recorders;
use shader::Pipelines;
use upload::Uploads;

/// A GPU: its queue, what was recorded for it, and the plans that were made of earlier recordings.
pub(crate) struct Gpu {
    name: String,
    precision: Precision,
    adapter: WgpuAdapter,
    /// Whether numbers of weights are made up here.
    synthetic_weights: bool,
    caps: Caps,
    device: wgpu::Device,
    queue: wgpu::Queue,
    memory: Memory,
    uploads: Uploads,
    pipelines: Pipelines,
    counters: Arc<Counters>,
    failure: Arc<Failure>,
    state: Mutex<State>,
}

const _: fn(&Gpu) = |gpu| {
    // All of them: a field that is new is missing here.
    let Gpu {
        name,
        precision,
        adapter,
        synthetic_weights,
        caps,
        device,
        queue,
        memory,
        uploads,
        pipelines,
        counters,
        failure,
        state,
    } = gpu;
    is_send_and_sync(name);
    is_send_and_sync(precision);
    is_send_and_sync(adapter);
    is_send_and_sync(synthetic_weights);
    is_send_and_sync(caps);
    is_send_and_sync(device);
    is_send_and_sync(queue);
    is_send_and_sync(memory);
    is_send_and_sync(uploads);
    is_send_and_sync(pipelines);
    is_send_and_sync(counters);
    is_send_and_sync(failure);
    is_send_and_sync(state);
};

// Said here so that crates above need not look through wgpu's types, as for buffers (`memory.rs`).
// SAFETY: all fields are, as the check above has it.
unsafe impl Send for Gpu {}
// SAFETY: as for `Send`.
unsafe impl Sync for Gpu {}

/// What changes as operations are recorded and run.
struct State {
    recorders: Recorders,
    plans: Plans,
    arena: Arena,
    readers: Readers,
    /// While somebody asks what kernels take.
    profile: Option<Profile>,
}

/// The first thing that went wrong. Nothing is right after it.
#[derive(Default)]
pub(crate) struct Failure(Mutex<Option<DeviceError>>);

impl Failure {
    fn set(&self, error: DeviceError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            // A device that is gone refuses everything, before it says that it is gone.
            Some(DeviceError::Internal { .. }) if matches!(error, DeviceError::Lost { .. }) => {
                *first = Some(error);
            }
            Some(_) => {}
            None => *first = Some(error),
        }
    }

    fn get(&self) -> Option<DeviceError> {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner)).clone()
    }
}

impl Gpu {
    /// The GPU that `options` choose.
    pub(crate) fn open(options: &WgpuOptions) -> Result<Arc<Self>, DeviceError> {
        let opened = adapter::open(options)?;
        Ok(Arc::new(Self::new(opened)))
    }

    fn new(opened: adapter::Opened) -> Self {
        let adapter::Opened {
            name,
            precision,
            device,
            queue,
            caps,
            info: adapter,
            memory_budget,
            synthetic_weights,
        } = opened;
        let failure = Arc::new(Failure::default());
        let on_error = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error| on_error.set(told(&error))));
        let on_lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |_, reason| {
            on_lost.set(DeviceError::Lost { reason });
        });
        let counters = Arc::new(Counters::default());
        Self {
            name,
            precision,
            memory: Memory::new(&device, &caps, [memory_budget, adapter.memory], &counters),
            uploads: Uploads::default(),
            adapter,
            synthetic_weights,
            pipelines: Pipelines::new(&device, &caps, &counters),
            state: Mutex::new(State {
                recorders: Recorders::new(&caps),
                plans: Plans::default(),
                arena: Arena::default(),
                readers: Readers::default(),
                profile: None,
            }),
            caps,
            device,
            queue,
            counters,
            failure,
        }
    }

    /// For people: the adapter and how it is reached.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is known of the adapter.
    pub(crate) const fn adapter(&self) -> &WgpuAdapter {
        &self.adapter
    }

    /// How exact it is.
    pub(crate) const fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) const fn caps(&self) -> &Caps {
        &self.caps
    }

    pub(crate) fn counters(&self) -> WgpuCounters {
        self.counters.snapshot()
    }

    /// What went wrong so far.
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        let Some(error) = self.failure.get() else {
            return Ok(());
        };
        if matches!(error, DeviceError::Internal { .. }) {
            // Perhaps it is gone, which it says when it is asked.
            let _ = self.device.poll(wgpu::PollType::Poll);
            return self.failure.get().map_or(Err(error), Err);
        }
        Err(error)
    }

    /// Lose the device.
    pub(crate) fn lose(&self) {
        self.device.destroy();
    }

    /// Wait until all that was submitted is done.
    pub(crate) fn wait_for_all(&self) -> Result<(), DeviceError> {
        // That it ends badly is told to the device's callbacks, who tell `check`.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()
    }

    /// Remember that something went wrong, for whoever reads.
    pub(crate) fn fail(&self, error: DeviceError) {
        self.failure.set(error);
    }

    /// Add to what is recorded.
    pub(crate) fn recording(&self) -> Recording<'_> {
        Recording::new(self, self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of an operation, a bug in a family, leaves at worst a node that nobody reads.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("name", &self.name)
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

/// What wgpu says went wrong, as we say it.
fn told(error: &wgpu::Error) -> DeviceError {
    match error {
        wgpu::Error::OutOfMemory { .. } => DeviceError::OutOfMemory {
            wanted: 0,
            used: 0,
            total: None,
        },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            DeviceError::Internal {
                message: description.clone(),
            }
        }
    }
}
