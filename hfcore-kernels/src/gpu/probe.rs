//! What a GPU can do at best, to compare with what is achieved.
//!
//! As [`probe`](crate::probe) is for processors. Decoding is bound by how fast memory is read and by what a dispatch costs
//! on top of its work; both are measured, not looked up. Times are the host's, from submitting on, of many dispatches
//! and of few, so that encoding and waiting fall out: no feature of the device is needed.
//!
//! ```no_run
//! use hfcore_kernels::{Device, gpu_probe};
//!
//! let device = Device::wgpu()?;
//! let costs = gpu_probe::dispatch_costs(&device, 4)?;
//! println!("{}: {:?} s a dispatch", device.name(), costs.dependent_s);
//! # Ok::<(), hfcore_kernels::DeviceError>(())
//! ```

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Device, DeviceError};

pub use super::profile::KernelTime;

use super::memory::Buffer;
use super::profile::Profile;
use super::shader::{Pipeline, Variant};
use super::synthetic::Pattern;
use super::{Gpu, Region};

/// Ways to read that are tried: all combinations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadSweep {
    /// Bytes that a dispatch reads, rounded to what a device can bind. Less than several times its caches tells
    /// nothing of its memory.
    pub bytes: u64,
    /// Threads of a workgroup: of 64, 128 and 256.
    pub workgroup_sizes: Vec<u32>,
    /// Loads of 16 bytes that a thread has in flight: of 1, 4 and 8.
    pub loads: Vec<u32>,
    /// Workgroups, each of which reads every so-many-th part.
    pub workgroups: Vec<u32>,
    /// Samples of each, of which the best counts.
    pub times: usize,
}

impl Default for ReadSweep {
    /// What finds the best of a large GPU.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            workgroup_sizes: WORKGROUP_SIZES.to_vec(),
            loads: LOADS.to_vec(),
            workgroups: (9..=15).map(|n| 1 << n).collect(),
            times: 4,
        }
    }
}

impl ReadSweep {
    /// One way, of few bytes: that it runs, and nothing about speed.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            bytes: 1 << 20,
            workgroup_sizes: vec![64],
            loads: vec![4],
            workgroups: vec![16],
            times: 1,
        }
    }
}

/// How fast memory was read in one way.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReadRate {
    /// Threads of a workgroup.
    pub workgroup_size: u32,
    /// Loads of 16 bytes that a thread has in flight.
    pub loads: u32,
    /// Workgroups.
    pub workgroups: u32,
    /// Bytes that each dispatch read.
    pub bytes: u64,
    /// Bytes a second.
    pub bytes_per_s: f64,
}

const WORKGROUP_SIZES: [u32; 3] = [64, 128, 256];
const LOADS: [u32; 3] = [1, 4, 8];
/// Threads of the kernel that counts.
const STEP_THREADS: u64 = 64;
/// Buffers of dispatches that do not wait for each other.
const INDEPENDENT: usize = 192;

/// Every variant of the kernels.
#[cfg(test)]
pub(super) fn variants() -> Vec<Variant> {
    let reads = WORKGROUP_SIZES.map(|size| LOADS.map(|loads| read_kernel(size, loads)));
    (reads.into_iter().flatten())
        .chain([Variant::new("probe_step", [])])
        .collect()
}

fn read_kernel(workgroup_size: u32, loads: u32) -> Variant {
    Variant::new("probe_read", [("WG", workgroup_size), ("LOADS", loads)])
}

/// How fast the device reads its memory, in each way of `sweep`. The best of them is what kernels are compared with.
///
/// # Errors
/// If the device fails.
///
/// # Panics
/// If the device is a CPU, or `sweep` has what there is no kernel for.
#[track_caller]
pub fn read_bandwidth(device: &Device, sweep: &ReadSweep) -> Result<Vec<ReadRate>, DeviceError> {
    let gpu = gpu(device);
    let all = (sweep
        .workgroup_sizes
        .iter()
        .all(|n| WORKGROUP_SIZES.contains(n)))
        && sweep.loads.iter().all(|n| LOADS.contains(n));
    assert!(
        all,
        "read_bandwidth: kernels of {WORKGROUP_SIZES:?} threads and {LOADS:?} loads"
    );
    // Whole parts of every kernel.
    let part = u64::from(WORKGROUP_SIZES[2] * LOADS[2] * 16);
    let bytes = sweep.bytes.min(gpu.caps.max_binding) / part * part;
    let data = Temporary::new(gpu, bytes.max(part))?;
    let region = Region {
        buffer: data.buffer.clone(),
        offset: 0,
        size: bytes.max(part),
    };
    // Zeros might be stored as less than they are.
    gpu.synthesize(&region, Pattern::Bits)?;
    let found = Temporaries::new(gpu, 8, 256)?;
    let mut rates = Vec::new();
    for &workgroup_size in &sweep.workgroup_sizes {
        for &loads in &sweep.loads {
            let pipeline = gpu.pipelines.get(&read_kernel(workgroup_size, loads))?;
            let groups: Vec<_> = (found.iter())
                .map(|found| {
                    let data = (&region.buffer, 0, region.size);
                    gpu.probe_group(&pipeline, [data, (found, 0, 256)])
                })
                .collect();
            for &workgroups in &sweep.workgroups {
                let seconds = one_more([2, 10], sweep.times, |n| {
                    gpu.dispatch(&pipeline, &groups, n, workgroups)
                })?;
                #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
                let bytes_per_s = seconds.map_or(0.0, |seconds| region.size as f64 / seconds);
                rates.push(ReadRate {
                    workgroup_size,
                    loads,
                    workgroups,
                    bytes: region.size,
                    bytes_per_s,
                });
            }
        }
    }
    Ok(rates)
}

/// What dispatches, submissions and answers cost, in seconds, when there is hardly any work in them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DispatchCosts {
    /// A dispatch that needs what the one before wrote; `None`: too little to see.
    pub dependent_s: Option<f64>,
    /// A dispatch that does not.
    pub independent_s: Option<f64>,
    /// Of the host: to encode one whose bind group is there.
    pub encode_s: f64,
    /// Of the host: to submit a thousand of them.
    pub submit_s: f64,
    /// From submitting one to knowing that it is done.
    pub submit_and_wait_s: f64,
}

/// What dispatches cost. Takes a few thousand of them; each cost is the best of `times` samples.
///
/// # Errors
/// If the device fails, or does not count as it should.
///
/// # Panics
/// If the device is a CPU.
#[track_caller]
pub fn dispatch_costs(device: &Device, times: usize) -> Result<DispatchCosts, DeviceError> {
    let gpu = gpu(device);
    let pipeline = gpu.pipelines.get(&Variant::new("probe_step", []))?;
    let counts = Temporaries::new(gpu, INDEPENDENT, STEP_THREADS * 4)?;
    let group = |count| gpu.probe_group(&pipeline, [(count, 0, STEP_THREADS * 4)]);
    let groups: Vec<_> = counts.iter().map(group).collect();
    let mut done = 0;
    let dependent_s = one_more([100, 1100], times, |n| {
        done += n;
        gpu.dispatch(&pipeline, &groups[..1], n, 1)
    })?;
    let counted = gpu.words_of(&counts.0[0], STEP_THREADS * 4)?;
    if counted.iter().any(|&count| count as usize != done) {
        return Err(DeviceError::Internal {
            message: format!("{done} dispatches that each add 1 came to {counted:?}"),
        });
    }
    let independent_s = one_more([INDEPENDENT / 8, INDEPENDENT], times.max(2), |n| {
        gpu.dispatch(&pipeline, &groups, n, 1)
    })?;
    const ENCODED: usize = 1000;
    let (mut encode_s, mut submit_s, mut submit_and_wait_s) =
        (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..=times {
        let start = Instant::now();
        let commands = gpu.encoded(&pipeline, &groups, ENCODED, 1);
        let encoded = Instant::now();
        let submission = gpu.queue.submit([commands]);
        let submitted = Instant::now();
        gpu.wait(submission)?;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let each = (encoded - start).as_secs_f64() / ENCODED as f64;
        encode_s = encode_s.min(each);
        submit_s = submit_s.min((submitted - encoded).as_secs_f64());
        let commands = gpu.encoded(&pipeline, &groups, 1, 1);
        let start = Instant::now();
        gpu.wait(gpu.queue.submit([commands]))?;
        submit_and_wait_s = submit_and_wait_s.min(start.elapsed().as_secs_f64());
    }
    Ok(DispatchCosts {
        dependent_s,
        independent_s,
        encode_s,
        submit_s,
        submit_and_wait_s,
    })
}

/// Seconds from submitting a copy of `bytes` to having them in the host's memory: the best of `times`.
///
/// # Errors
/// If the device fails.
///
/// # Panics
/// If the device is a CPU.
#[track_caller]
pub fn read_back(device: &Device, bytes: u64, times: usize) -> Result<f64, DeviceError> {
    let gpu = gpu(device);
    let bytes = bytes.next_multiple_of(8).max(8);
    let source = Temporary::new(gpu, bytes)?;
    let mut best = f64::INFINITY;
    for _ in 0..=times {
        let start = Instant::now();
        gpu.words_of(&source.buffer, bytes)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Seconds of the host to write `bytes` of a step to a buffer, with the submission that they wait for: the best of
/// `times`.
///
/// # Errors
/// If the device fails.
///
/// # Panics
/// If the device is a CPU.
#[track_caller]
pub fn write(device: &Device, bytes: u64, times: usize) -> Result<f64, DeviceError> {
    let gpu = gpu(device);
    let bytes = bytes.next_multiple_of(8).max(8);
    let target = Temporary::new(gpu, bytes)?;
    let words = vec![0_u8; usize::try_from(bytes).unwrap_or(usize::MAX)];
    let mut best = f64::INFINITY;
    for _ in 0..=times {
        let start = Instant::now();
        gpu.queue.write_buffer(target.buffer.raw(), 0, &words);
        let submission = gpu.queue.submit([]);
        best = best.min(start.elapsed().as_secs_f64());
        gpu.wait(submission)?;
    }
    Ok(best)
}

/// Seconds that one more of something takes: the difference between `many` and `few`, of which `run` tells what they took;
/// what is the same for both falls out. Of each the shortest of `times` counts, after one to warm up.
///
/// `None` where many took no longer than few: it is too little to see.
///
/// # Errors
/// What `run` fails with.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub fn one_more<E>(
    [few, many]: [usize; 2],
    times: usize,
    mut run: impl FnMut(usize) -> Result<Duration, E>,
) -> Result<Option<f64>, E> {
    let mut best = [f64::INFINITY; 2];
    // In turns, so that a bad moment of the machine meets both.
    for round in 0..=times.max(1) {
        for (best, n) in best.iter_mut().zip([few, many]) {
            let took = run(n)?;
            if round > 0 {
                *best = best.min(took.as_secs_f64());
            }
        }
    }
    let seconds = (best[1] - best[0]) / (many - few) as f64;
    Ok((seconds > 0.0).then_some(seconds))
}

/// Wait until all that was recorded and submitted is done.
///
/// # Errors
/// If the device failed.
///
/// # Panics
/// If the device is a CPU.
#[track_caller]
pub fn synchronize(device: &Device) -> Result<(), DeviceError> {
    let gpu = gpu(device);
    gpu.submit();
    let submission = gpu.queue.submit([]);
    gpu.wait(submission)
}

/// What `work` returns, and what each kernel that it ran took, longest first.
///
/// # Errors
/// If the device was not opened for it ([`WgpuOptions::with_profiling`](crate::WgpuOptions::with_profiling)), its adapter
/// has no clock between dispatches, or it fails.
///
/// # Panics
/// If the device is a CPU.
#[track_caller]
pub fn profile<T>(
    device: &Device,
    work: impl FnOnce() -> T,
) -> Result<(T, Vec<KernelTime>), DeviceError> {
    let gpu = gpu(device);
    if !gpu.caps.timestamps {
        return Err(DeviceError::InvalidOption {
            option: "a device whose kernels are timed",
            expected: "opened with profiling, of an adapter with clocks between dispatches",
            found: device.name(),
        });
    }
    synchronize(device)?;
    gpu.state().profile = Some(Profile::new(gpu));
    let result = work();
    synchronize(device)?;
    let profile = gpu.state().profile.take();
    let times = profile.map_or_else(|| Ok(Vec::new()), |profile| profile.times(gpu));
    Ok((result, times?))
}

#[track_caller]
fn gpu(device: &Device) -> &Gpu {
    let gpu = device.on_gpu();
    gpu.unwrap_or_else(|| panic!("gpu_probe: {} is no GPU", device.name()))
}

impl Gpu {
    fn encoded(
        &self,
        pipeline: &Pipeline,
        groups: &[wgpu::BindGroup],
        n: usize,
        workgroups: u32,
    ) -> wgpu::CommandBuffer {
        let mut encoder =
            (self.device).create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for group in groups.iter().cycle().take(n) {
                pass.set_pipeline(pipeline.raw());
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(workgroups, 1, 1);
            }
        }
        encoder.finish()
    }

    /// `n` dispatches in one submission: what it takes from submitting to knowing that all are done.
    fn dispatch(
        &self,
        pipeline: &Pipeline,
        groups: &[wgpu::BindGroup],
        n: usize,
        workgroups: u32,
    ) -> Result<Duration, DeviceError> {
        let commands = self.encoded(pipeline, groups, n, workgroups);
        let start = Instant::now();
        self.wait(self.queue.submit([commands]))?;
        Ok(start.elapsed())
    }

    fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        let waited = self.device.poll(wgpu::PollType::Wait {
            submission_index: Some(submission),
            timeout: None,
        });
        self.check()?;
        waited.map(|_| ()).map_err(|error| DeviceError::Lost {
            reason: error.to_string(),
        })
    }

    /// The first `bytes` of a buffer, through one that is made for them once the time is taken.
    pub(super) fn words_of(&self, source: &Buffer, bytes: u64) -> Result<Vec<u32>, DeviceError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let target = Temporary {
            buffer: self.memory.buffer(bytes, usage)?,
            gpu: self,
        };
        let raw = target.buffer.raw();
        let mut encoder =
            (self.device).create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(source.raw(), 0, raw, 0, bytes);
        let submission = self.queue.submit([encoder.finish()]);
        let (done, told) = mpsc::channel();
        raw.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens where the wait below failed.
            let _ = done.send(result.is_ok());
        });
        self.wait(submission)?;
        let lost = || DeviceError::Lost {
            reason: "numbers could not be read back".to_owned(),
        };
        if told.try_recv() != Ok(true) {
            return Err(lost());
        }
        let view = raw.get_mapped_range(..).map_err(|_| lost())?;
        let words = view.as_chunks::<4>().0.iter();
        Ok(words.map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }
}

/// A buffer that is counted as gone when it is.
struct Temporary<'a> {
    buffer: Buffer,
    gpu: &'a Gpu,
}

impl<'a> Temporary<'a> {
    fn new(gpu: &'a Gpu, bytes: u64) -> Result<Self, DeviceError> {
        let buffer = gpu.memory.storage(bytes)?;
        Ok(Self { buffer, gpu })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        self.gpu.memory.freed(&self.buffer);
    }
}

/// Several buffers of one size.
struct Temporaries<'a>(Vec<Buffer>, &'a Gpu);

impl<'a> Temporaries<'a> {
    fn new(gpu: &'a Gpu, count: usize, bytes: u64) -> Result<Self, DeviceError> {
        let mut all = Self(Vec::with_capacity(count), gpu);
        for _ in 0..count {
            all.0.push(gpu.memory.storage(bytes)?);
        }
        Ok(all)
    }

    fn iter(&self) -> std::slice::Iter<'_, Buffer> {
        self.0.iter()
    }
}

impl Drop for Temporaries<'_> {
    fn drop(&mut self) {
        for buffer in &self.0 {
            self.1.memory.freed(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{each_device, open, turn};
    use super::*;
    use crate::{DType, PlaneType, Tensor, WgpuOptions, rms_norm, scale};

    #[test]
    fn one_more_is_the_difference_of_the_shortest() {
        // The first of each warms up, and takes longest; then few take 10 and 9 ms, many 31 and 29.
        let mut took = [900, 900, 10, 31, 9, 29].into_iter();
        let mut runs = Vec::new();
        let result: Result<_, ()> = one_more([1, 3], 2, |n| {
            runs.push(n);
            Ok(Duration::from_millis(took.next().unwrap()))
        });
        assert_eq!(runs, [1, 3, 1, 3, 1, 3]);
        let seconds = result.unwrap().unwrap();
        assert!((seconds - 0.010).abs() < 1e-9, "{seconds}");
        // What takes as long for many as for few cannot be seen.
        let none: Result<_, ()> = one_more([1, 3], 2, |_| Ok(Duration::from_millis(5)));
        assert_eq!(none, Ok(None));
        let error: Result<_, &str> = one_more([1, 3], 2, |_| Err("lost"));
        assert_eq!(error, Err("lost"));
    }

    /// Counts, which a lost dispatch or a missing barrier would change, are looked at by the probe itself.
    #[test]
    fn dispatches_are_all_done_one_after_the_other() {
        each_device(|device| {
            let costs = dispatch_costs(device, 1).unwrap();
            assert!(costs.encode_s > 0.0 && costs.submit_s > 0.0, "{costs:?}");
            assert!(costs.submit_and_wait_s > costs.encode_s, "{costs:?}");
            assert!(read_back(device, 4, 1).unwrap() > 0.0);
            assert!(write(device, 4096, 1).unwrap() > 0.0);
            synchronize(device).unwrap();
        });
    }

    /// Of every kernel: a word that makes the reads look needed is found wherever it lies, so all are read.
    #[test]
    fn memory_is_read_to_the_last_word() {
        each_device(|device| {
            let gpu = gpu(device);
            let before = gpu.counters().allocated_bytes;
            let bytes = 1_u64 << 19;
            {
                let data = Temporary::new(gpu, bytes).unwrap();
                let found = Temporary::new(gpu, 256).unwrap();
                for (workgroup_size, loads) in [(64, 4), (256, 8)] {
                    let pipeline = gpu
                        .pipelines
                        .get(&read_kernel(workgroup_size, loads))
                        .unwrap();
                    let parts = [(&data.buffer, 0, bytes), (&found.buffer, 0, 256)];
                    let group = [gpu.probe_group(&pipeline, parts)];
                    for (word, workgroups) in [(0, 3), (bytes / 8 + 5, 1), (bytes / 4 - 1, 3)] {
                        let put = |buffer: &Buffer, at, word: u32| {
                            gpu.queue
                                .write_buffer(buffer.raw(), at, &word.to_le_bytes());
                        };
                        put(&found.buffer, 0, 0);
                        put(&data.buffer, word * 4, 0x9e37_79b9);
                        gpu.dispatch(&pipeline, &group, 1, workgroups).unwrap();
                        put(&data.buffer, word * 4, 0);
                        let seen = gpu.words_of(&found.buffer, 8).unwrap()[0];
                        assert_eq!(seen, 0x9e37_79b9, "word {word}, {workgroup_size} x {loads}");
                    }
                }
            }
            let rates = read_bandwidth(device, &ReadSweep::quick()).unwrap();
            assert_eq!((rates.len(), rates[0].bytes), (1, 1 << 20));
            assert_eq!(
                gpu.counters().allocated_bytes,
                before,
                "the probe keeps nothing"
            );
        });
    }

    /// Every dispatch is timed, by kernel and grid, and no kernel that was not asked for.
    #[test]
    fn kernels_are_timed_while_somebody_asks() {
        let _turn = turn();
        let options = WgpuOptions::default().with_profiling(true);
        let Some(gpu) = open(&options) else { return };
        let device = Device::of_gpu(gpu);
        if !device.on_gpu().unwrap().caps.timestamps {
            eprintln!("SKIPPED: no clocks between dispatches on {}", device.name());
            return;
        }
        let run = |rows: usize| {
            let x = Tensor::from_vec(&device, &[rows, 64], vec![1.0; rows * 64]);
            rms_norm(&scale(x, 2.0), None, 1e-5, false)
                .to_vec()
                .unwrap()
        };
        run(3);
        let (numbers, times) = profile(&device, || [run(3), run(3), run(70)].concat()).unwrap();
        assert_eq!(numbers.len(), 76 * 64);
        let calls = |name: &str| {
            let named = times.iter().filter(|time| time.kernel.starts_with(name));
            let mut calls: Vec<_> = named.map(|time| (time.grid, time.calls)).collect();
            calls.sort_unstable();
            calls
                .into_iter()
                .map(|(_, calls)| calls)
                .collect::<Vec<_>>()
        };
        assert_eq!(calls("norm"), [2, 1], "{times:?}");
        assert_eq!(
            times.iter().map(|time| time.calls).sum::<u64>(),
            6,
            "{times:?}"
        );
        assert!(
            times
                .iter()
                .all(|time| time.seconds >= 0.0 && time.seconds < 60.0)
        );
        assert!(
            times.iter().any(|time| time.seconds > 0.0),
            "the clock runs: {times:?}"
        );
        let (_, none) = profile(&device, || ()).unwrap();
        assert!(none.is_empty());
        let plain = Device::of_gpu(open(&WgpuOptions::default()).unwrap());
        let error = profile(&plain, || ()).unwrap_err();
        assert!(
            matches!(error, DeviceError::InvalidOption { .. }),
            "{error}"
        );
    }

    /// What is made up is finite, small, of both signs, and not the same in the next region.
    #[test]
    fn made_up_numbers_are_finite_and_small() {
        each_device(|device| {
            let gpu = gpu(device);
            let bytes = 2048_u64;
            let held = gpu.memory.lasting(2 * bytes).unwrap();
            let part = |offset| Region {
                buffer: held.buffer.clone(),
                offset: held.offset + offset,
                size: bytes,
            };
            let halves = |words: &[u32]| -> Vec<f32> {
                let both = |w: &u32| [f32::from_bits(w << 16), f32::from_bits(w & 0xffff_0000)];
                words.iter().flat_map(both).collect()
            };
            let made = |pattern| {
                for offset in [0, bytes] {
                    gpu.synthesize(&part(offset), pattern).unwrap();
                }
                let words = gpu.words_of(&held.buffer, 2 * bytes).unwrap();
                let (first, second) = words.split_at(words.len() / 2);
                assert_ne!(first, second, "{pattern:?}");
                words
            };
            for (dtype, widen) in [
                (DType::Bf16, Some(&halves as &dyn Fn(&[u32]) -> Vec<f32>)),
                (DType::F32, None),
            ] {
                let words = made(Pattern::Numbers(dtype));
                let numbers = match widen {
                    Some(widen) => widen(&words),
                    None => words.iter().map(|&w| f32::from_bits(w)).collect(),
                };
                assert!(numbers.iter().all(|x| x.abs() <= 1.0 / 64.0), "{dtype:?}");
                #[expect(clippy::cast_precision_loss, reason = "a thousand")]
                let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
                assert!(mean.abs() < 1e-3, "{dtype:?}: {mean}");
                assert!(numbers.iter().any(|x| *x > 0.012) && numbers.iter().any(|x| *x < -0.012));
            }
            let scales = halves(&made(Pattern::Scales(PlaneType::Bf16, 8)));
            assert!(
                scales
                    .iter()
                    .all(|x| (0.9 / 1024.0..1.0 / 512.0).contains(x))
            );
            // From the middle of a row on, which is no place for a binding to begin.
            let zeros = part(0);
            gpu.queue
                .write_buffer(zeros.buffer.raw(), zeros.offset, &[0; 2048]);
            let region = Region {
                offset: held.offset + 300,
                size: 1000,
                ..part(0)
            };
            gpu.synthesize(&region, Pattern::Numbers(DType::F32))
                .unwrap();
            let words = gpu.words_of(&held.buffer, bytes).unwrap();
            let written: Vec<_> = (words.iter().enumerate())
                .filter(|(_, word)| **word != 0)
                .map(|(i, _)| i)
                .collect();
            assert_eq!(written, (75..325).collect::<Vec<_>>());
            let ones: u32 = made(Pattern::Bits).iter().map(|w| w.count_ones()).sum();
            assert!((15_000..17_800).contains(&ones), "{ones} of 32768 bits");
        });
    }
}
