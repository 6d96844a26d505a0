//! Where tensors live and operations run.

use std::num::NonZeroUsize;
use std::sync::Arc;

#[cfg(feature = "wgpu")]
use crate::gpu::{Gpu, WgpuAdapter, WgpuCounters, WgpuOptions};
use crate::pool::Pool;
use crate::recycle::Recycler;
use crate::work::{Counter, Work};
use crate::{Isa, Precision};

/// Where tensors live and operations run. Cloning shares it.
///
/// A CPU device owns its threads: models that share a device share them.
#[derive(Clone, Debug)]
pub struct Device(Arc<Backend>);

/// What a [`Device`] is.
#[derive(Debug)]
enum Backend {
    Cpu(Cpu),
    #[cfg(feature = "wgpu")]
    Wgpu(Arc<Gpu>),
}

/// The CPU: an instruction set and threads.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) pool: Pool,
    pub(crate) recycler: Recycler,
    pub(crate) work: Counter,
}

/// How to use the CPU.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CpuOptions {
    /// Threads, the caller's included. Unset: as many as the machine gives this process.
    pub threads: Option<NonZeroUsize>,
    /// The instruction set. Unset: [`Isa::get`].
    pub isa: Option<Isa>,
    /// How exact matrix products are.
    pub precision: Precision,
}

impl CpuOptions {
    /// Use this many threads.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Use this instruction set.
    #[must_use]
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Multiply matrices this exactly.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
}

/// Why a device could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no such device.
    #[error("no GPU can be used: {why}")]
    NoAdapter {
        /// What was looked for, and what was found.
        why: String,
    },
    /// The device's memory is exhausted.
    #[error(
        "out of device memory: {wanted} bytes were wanted besides {used} in use{}; a smaller model, a smaller type of \
         weights or a shorter context may fit",
        .total.map_or_else(String::new, |total| format!(", and the device has {total}"))
    )]
    OutOfMemory {
        /// Bytes that were wanted.
        wanted: usize,
        /// Bytes of buffers that this device has already.
        used: usize,
        /// Bytes of the device's memory, other programs' included, if they are known.
        total: Option<usize>,
    },
    /// The device would need more memory than it was given.
    #[error(
        "{wanted} bytes of device memory were wanted besides {used} in use, and the budget is {budget}"
    )]
    OverBudget {
        /// Bytes that were wanted.
        wanted: usize,
        /// Bytes of buffers that this device has already.
        used: usize,
        /// The most that it may have.
        budget: usize,
    },
    /// An option that means nothing.
    #[error("{option} is expected to be {expected}; found {found:?}")]
    InvalidOption {
        /// What it is about.
        option: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// One tensor is larger than the device can handle.
    #[error(
        "a tensor of {wanted} bytes is more than the {limit} that this device can bind: use shorter or fewer sequences at once"
    )]
    TooLarge {
        /// Bytes of the tensor.
        wanted: usize,
        /// The most that the device takes.
        limit: usize,
    },
    /// The device is gone: what was on it is lost. A model can be loaded again, on a new device.
    #[error("the device was lost: {reason}")]
    Lost {
        /// What the driver says.
        reason: String,
    },
    /// The driver refused what we asked for: a bug in hfcore or in the driver.
    #[error("the device's driver refused a command: {message}")]
    Internal {
        /// What it says.
        message: String,
    },
}

impl Device {
    /// The CPU, with all the threads the machine gives and its best instruction set.
    #[must_use]
    pub fn cpu() -> Self {
        Self::cpu_with(&CpuOptions::default())
    }

    /// The CPU, as `options` say.
    #[must_use]
    pub fn cpu_with(options: &CpuOptions) -> Self {
        let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = options.threads.unwrap_or_else(available).get();
        let isa = options.isa.unwrap_or_else(Isa::get);
        Self(Arc::new(Backend::Cpu(Cpu {
            isa,
            precision: options.precision,
            pool: Pool::new(threads),
            recycler: Recycler::default(),
            work: Counter::default(),
        })))
    }

    /// A GPU: the first that is not software, of those that wgpu reaches.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    #[cfg(feature = "wgpu")]
    pub fn wgpu() -> Result<Self, DeviceError> {
        Self::wgpu_with(&WgpuOptions::default())
    }

    /// A GPU, as `options` say.
    ///
    /// # Errors
    /// If there is none like that, or it cannot be used.
    #[cfg(feature = "wgpu")]
    pub fn wgpu_with(options: &WgpuOptions) -> Result<Self, DeviceError> {
        Gpu::open(options).map(Self::of_gpu)
    }

    /// The GPUs that wgpu reaches, the fastest kind first and software last; what
    /// [`WgpuSelect::Index`](crate::WgpuSelect::Index) counts.
    #[cfg(feature = "wgpu")]
    #[must_use]
    pub fn wgpu_adapters() -> Vec<WgpuAdapter> {
        crate::gpu::adapters()
    }

    /// What is known of the GPU it is; `None` for a CPU.
    #[cfg(feature = "wgpu")]
    #[must_use]
    pub fn wgpu_adapter(&self) -> Option<&WgpuAdapter> {
        self.on_gpu().map(|gpu| gpu.adapter())
    }

    /// About so many bytes of weights will be brought to this device: it makes room as it goes, in larger
    /// pieces. A CPU needs to know nothing.
    pub fn expect_weights(&self, bytes: u64) {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = self.on_gpu() {
            gpu.expect_uploads(bytes);
        }
        #[cfg(not(feature = "wgpu"))]
        let _ = bytes;
    }

    /// Wait until all weights that were brought to this device are there, and give back the memory that they
    /// passed through. On a CPU they are where they were.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory.
    pub fn finish_weights(&self) -> Result<(), DeviceError> {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = self.on_gpu() {
            return gpu.finish_uploads();
        }
        Ok(())
    }

    #[cfg(feature = "wgpu")]
    pub(crate) fn of_gpu(gpu: Arc<Gpu>) -> Self {
        Self(Arc::new(Backend::Wgpu(gpu)))
    }

    /// A name for people and reports: `cpu (avx512, 2 threads)`, with the precision if one was asked for.
    #[must_use]
    pub fn name(&self) -> String {
        #[allow(
            clippy::infallible_destructuring_match,
            reason = "with the feature wgpu there is another"
        )]
        let cpu = match &*self.0 {
            Backend::Cpu(cpu) => cpu,
            #[cfg(feature = "wgpu")]
            Backend::Wgpu(gpu) => return gpu.name().to_owned(),
        };
        let (isa, threads) = (cpu.isa.name(), cpu.pool.threads());
        match cpu.precision {
            Precision::Auto => format!("cpu ({isa}, {threads} threads)"),
            precision => format!("cpu ({isa}, {threads} threads, {})", precision.name()),
        }
    }

    /// What matrix products and attention on this device had to read and compute so far. Of a GPU, nothing
    /// is known.
    #[must_use]
    pub fn work(&self) -> Work {
        match &*self.0 {
            Backend::Cpu(cpu) => cpu.work.sum(),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu(_) => Work::default(),
        }
    }

    /// How exact its matrix products are.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match &*self.0 {
            Backend::Cpu(cpu) => cpu.precision,
            #[cfg(feature = "wgpu")]
            Backend::Wgpu(gpu) => gpu.precision(),
        }
    }

    /// What a GPU was asked to do so far; `None` for a CPU.
    #[cfg(feature = "wgpu")]
    #[must_use]
    pub fn wgpu_counters(&self) -> Option<WgpuCounters> {
        self.on_gpu().map(|gpu| gpu.counters())
    }

    /// Whether it is a GPU.
    #[must_use]
    pub fn is_wgpu(&self) -> bool {
        match &*self.0 {
            Backend::Cpu(_) => false,
            #[cfg(feature = "wgpu")]
            Backend::Wgpu(_) => true,
        }
    }

    /// Begin with all that operations on this device have recorded so far, without waiting for it. A CPU has
    /// done it already. To read numbers does it too; this is for those who record more than they read.
    pub fn submit(&self) {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = self.on_gpu() {
            gpu.submit();
        }
    }

    /// Lose the GPU, as when its driver is reset: for tests of what comes after that.
    #[cfg(feature = "wgpu")]
    #[doc(hidden)]
    pub fn lose(&self) {
        if let Some(gpu) = self.on_gpu() {
            gpu.lose();
        }
    }

    /// Wait until all that operations on this device have recorded so far is done. A CPU has done it already.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.submit();
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = self.on_gpu() {
            return gpu.wait_for_all();
        }
        Ok(())
    }

    /// The GPU it is.
    #[cfg(feature = "wgpu")]
    pub(crate) fn on_gpu(&self) -> Option<&Arc<Gpu>> {
        match &*self.0 {
            Backend::Cpu(_) => None,
            Backend::Wgpu(gpu) => Some(gpu),
        }
    }

    /// The CPU it is.
    ///
    /// # Panics
    /// If it is a GPU: an operation that computes with the CPU's numbers has looked for one before.
    #[track_caller]
    pub(crate) fn on_cpu(&self) -> &Cpu {
        match &*self.0 {
            Backend::Cpu(cpu) => cpu,
            #[cfg(feature = "wgpu")]
            Backend::Wgpu(gpu) => panic!("this operation has no kernel for {}", gpu.name()),
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}
