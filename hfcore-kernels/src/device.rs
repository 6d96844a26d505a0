//! Where tensors live and operations run.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::pool::Pool;
use crate::recycle::Recycler;
use crate::work::{Counter, Work};
use crate::{Isa, Precision};

/// Where tensors live and operations run. Cloning shares it.
///
/// A CPU device owns its threads: models that share a device share them.
#[derive(Clone, Debug)]
pub struct Device(Arc<Backend>);

/// What a [`Device`] is. The wgpu backend will be the second.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Backend {
    Cpu(Cpu),
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
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device's memory is exhausted.
    #[error("out of device memory: {wanted} bytes were wanted")]
    OutOfMemory {
        /// Bytes that were wanted.
        wanted: usize,
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

    /// A name for people and reports: `cpu (avx512, 2 threads)`, with the precision if one was asked for.
    #[must_use]
    pub fn name(&self) -> String {
        let Backend::Cpu(cpu) = &*self.0;
        let (isa, threads) = (cpu.isa.name(), cpu.pool.threads());
        match cpu.precision {
            Precision::Auto => format!("cpu ({isa}, {threads} threads)"),
            precision => format!("cpu ({isa}, {threads} threads, {})", precision.name()),
        }
    }

    /// What matrix products and attention on this device had to read and compute so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let Backend::Cpu(cpu) = &*self.0;
        cpu.work.sum()
    }

    /// How exact its matrix products are.
    #[must_use]
    pub fn precision(&self) -> Precision {
        let Backend::Cpu(cpu) = &*self.0;
        cpu.precision
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.0
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}
