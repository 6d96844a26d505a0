//! What each kernel of a stretch of work takes: the device's clock, written between dispatches.
//!
//! The clock is written when all work before it is done. So a kernel's time is from the end of the one before to its
//! own: waiting for it included, and what overlaps counted once; the times of a submission add up to all of it. Only for
//! a device that was opened for it, [`WgpuOptions::profiling`](super::WgpuOptions), and only while somebody asks: each
//! dispatch waits for the one before then, needed or not.

use std::collections::HashMap;

use crate::DeviceError;

use super::Gpu;
use super::shader::{Pipeline, Variant};

/// What one kernel with one grid took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The kernel and its defines that are not 0: `gemv DTYPE=2 WG=128`.
    pub kernel: String,
    /// Its workgroups: calls with others are told apart.
    pub grid: [u32; 3],
    /// How often it was started.
    pub calls: u64,
    /// Seconds of all calls together.
    pub seconds: f64,
}

/// Clocks of a query set, at most: what wgpu allows.
const MOST: u32 = 4096;

/// Times that are being written.
pub(super) struct Profile {
    set: wgpu::QuerySet,
    /// What came before each clock: nothing, at the beginning of a pass, or a kernel.
    marks: Vec<Option<(Variant, [u32; 3])>>,
    /// Kernels for which there was no clock left.
    missed: u64,
}

impl Profile {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let set = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: MOST,
        });
        Self {
            set,
            marks: Vec::new(),
            missed: 0,
        }
    }

    /// A pass begins.
    pub(super) fn begin(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        self.mark(pass, None);
    }

    /// A kernel was started.
    pub(super) fn after(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &Pipeline,
        grid: [u32; 3],
    ) {
        self.mark(pass, Some((pipeline.variant().clone(), grid)));
    }

    fn mark(&mut self, pass: &mut wgpu::ComputePass<'_>, what: Option<(Variant, [u32; 3])>) {
        match u32::try_from(self.marks.len()) {
            Ok(index) if index < MOST => {
                pass.write_timestamp(&self.set, index);
                self.marks.push(what);
            }
            _ => self.missed += u64::from(what.is_some()),
        }
    }

    /// The times, longest first. All that was submitted is done.
    pub(super) fn times(self, gpu: &Gpu) -> Result<Vec<KernelTime>, DeviceError> {
        if self.missed > 0 {
            return Err(DeviceError::Internal {
                message: format!(
                    "{} dispatches were to be timed, and there are clocks for {MOST}",
                    self.missed + self.marks.len() as u64
                ),
            });
        }
        let count = u32::try_from(self.marks.len()).unwrap_or(MOST);
        if count == 0 {
            return Ok(Vec::new());
        }
        let bytes = u64::from(count) * 8;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.memory.buffer(bytes, usage)?;
        let mut encoder = gpu.encoder();
        encoder.resolve_query_set(&self.set, 0..count, resolved.raw(), 0);
        gpu.submit_commands(encoder);
        let words = gpu.words_of(&resolved, bytes);
        gpu.memory.freed(&resolved);
        let clocks: Vec<u64> = (words?.as_chunks::<2>().0.iter())
            .map(|[low, high]| u64::from(*high) << 32 | u64::from(*low))
            .collect();
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let mut times: HashMap<(Variant, [u32; 3]), (u64, f64)> = HashMap::new();
        for (pair, mark) in clocks.windows(2).zip(&self.marks[1..]) {
            let Some(key) = mark else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a time needs no 53 bits")]
            let seconds = pair[1].saturating_sub(pair[0]) as f64 * period;
            let (calls, total) = times.entry(key.clone()).or_default();
            *calls += 1;
            *total += seconds;
        }
        let mut times: Vec<_> = (times.into_iter())
            .map(|((variant, grid), (calls, seconds))| KernelTime {
                kernel: variant.to_string(),
                grid,
                calls,
                seconds,
            })
            .collect();
        times.sort_by(|a, b| {
            (b.seconds.total_cmp(&a.seconds)).then_with(|| a.kernel.cmp(&b.kernel))
        });
        Ok(times)
    }
}
