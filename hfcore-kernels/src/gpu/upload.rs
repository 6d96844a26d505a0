//! Bringing numbers to the device, to stay.
//!
//! ```text
//! memory map ──► staging buffers, a ring of them ──► shards: large buffers that many tensors share
//!           copied by threads              copied by the device
//! ```
//!
//! A staging buffer is mapped while it is filled. When it is full its copies are submitted, and it is
//! mapped again by the time its turn comes: so host and device work at once, and never more than the ring
//! is needed besides the weights. Copies wait in the open buffer until it is full or something is to be
//! run, which is after them in the queue.
//!
//! Tensors begin at multiples of 256 bytes of a shard, in the order in which they come.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::DeviceError;

use super::Gpu;
use super::counters::Counters;
use super::memory::{Buffer, Held};
use super::value::{Place, Value};

/// Staging buffers of a ring.
const RING: usize = 4;
/// Bytes of the smallest and the largest staging buffer. Tests have all of it in small.
const SLOT: [u64; 2] = if cfg!(test) {
    [4 << 10, 32 << 10]
} else {
    [256 << 10, 32 << 20]
};
/// Bytes of the smallest and the largest shard; a tensor that is larger has one of its own.
const SHARD: [u64; 2] = if cfg!(test) {
    [16 << 10, 1 << 20]
} else {
    [64 << 10, 1 << 30]
};
/// What tensors begin at multiples of.
const ALIGN: u64 = 256;
/// From so many bytes, threads copy together: one does not reach what memory gives.
const SHARED_COPY: usize = if cfg!(test) { 8 << 10 } else { 4 << 20 };
const COPY_THREADS: usize = 4;

/// What is on its way to the device.
#[derive(Default)]
pub(super) struct Uploads {
    /// Whether copies wait to be submitted.
    waiting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Slot>,
    /// From the open staging buffer.
    copies: Vec<Copy>,
    /// The oldest first.
    sent: VecDeque<Sent>,
    shard: Option<Shard>,
    /// Bytes that were placed since the last [`finish`](Gpu::finish_uploads).
    placed: u64,
    /// Bytes that were said to come.
    expected: u64,
}

/// A staging buffer that is mapped.
struct Slot {
    buffer: Buffer,
    used: u64,
}

struct Copy {
    from: u64,
    to: Held,
    to_offset: u64,
    size: u64,
}

/// A staging buffer whose copies were submitted.
struct Sent {
    buffer: Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Arc<AtomicBool>,
}

/// The shard that the next tensor may lie in.
struct Shard {
    held: Held,
    used: u64,
}

impl Gpu {
    /// Numbers that stay: gains, biases, tables. A failure is remembered, for whoever reads.
    pub(crate) fn parameter(&self, numbers: &[f32]) -> Value {
        self.try_parameter(numbers).unwrap_or_else(|error| {
            self.fail(error);
            Value::new(numbers.len(), Place::Nowhere)
        })
    }

    /// The same, that tells of a failure, and leaves the device as it was.
    pub(crate) fn try_parameter(&self, numbers: &[f32]) -> Result<Value, DeviceError> {
        let held = self.upload(bytemuck::cast_slice(numbers))?;
        Ok(Value::resident(numbers.len(), held))
    }

    /// Bytes that stay, followed by zeros to a multiple of 16.
    pub(crate) fn upload(&self, bytes: &[u8]) -> Result<Held, DeviceError> {
        self.check()?;
        let size = (bytes.len().max(1) as u64).next_multiple_of(16);
        if size > self.caps.max_binding {
            return Err(DeviceError::TooLarge {
                wanted: bytes.len(),
                limit: usize::try_from(self.caps.max_binding).unwrap_or(usize::MAX),
            });
        }
        let held = self.place(size)?;
        self.fill(&held, 0, bytes)?;
        Ok(held)
    }

    /// Room for `size` bytes, a multiple of 16, each of which [`fill`](Self::fill) brings once.
    pub(crate) fn place(&self, size: u64) -> Result<Held, DeviceError> {
        let place = || self.uploads.state().place(self, size);
        let no_room = match place() {
            Err(error @ (DeviceError::OutOfMemory { .. } | DeviceError::OverBudget { .. })) => {
                error
            }
            placed => return placed,
        };
        // What nobody holds any longer, an earlier model, is freed when what was recorded has run.
        let used = self.counters().allocated_bytes;
        self.submit();
        if self.counters().allocated_bytes == used {
            return Err(no_room);
        }
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        place()
    }

    /// Bring `bytes` to `at` of `held`, a multiple of 16, followed by zeros to the next one.
    pub(crate) fn fill(&self, held: &Held, at: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.uploads.state().stage(self, held, at, bytes)
    }

    /// About so many bytes will come: shards are made for them.
    pub(crate) fn expect_uploads(&self, bytes: u64) {
        let mut state = self.uploads.state();
        state.expected = state.placed.saturating_add(bytes);
    }

    /// Submit the copies that wait, so that what is submitted next finds the numbers there.
    pub(super) fn send_uploads(&self) {
        if self.uploads.waiting.load(Ordering::Acquire) {
            self.uploads.state().send(self);
        }
    }

    /// Bring all numbers to where they are going, give back what that took, and say how it went.
    pub(crate) fn finish_uploads(&self) -> Result<(), DeviceError> {
        let mut state = self.uploads.state();
        state.send(self);
        for sent in std::mem::take(&mut state.sent) {
            self.memory.freed(&sent.buffer);
        }
        state.shard = None;
        (state.placed, state.expected) = (0, 0);
        drop(state);
        self.wait_for_all()
    }
}

impl Uploads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Room for `size` bytes, in the open shard or a new one.
    fn place(&mut self, gpu: &Gpu, size: u64) -> Result<Held, DeviceError> {
        let room = size.next_multiple_of(ALIGN);
        if let Some(shard) = &mut self.shard
            && shard.held.size - shard.used >= room
        {
            let part = shard.held.part(shard.used, size);
            shard.used += room;
            self.placed += room;
            return Ok(part);
        }
        let [least, most] = SHARD;
        let most = most.min(gpu.caps.max_buffer);
        let next = match self.expected.saturating_sub(self.placed) {
            // A quarter of what there is, so that not much more is empty at the end.
            0 => (self.placed / 4).clamp(least, most / 4),
            rest => rest.clamp(least, most),
        };
        let wanted = next.max(room).next_multiple_of(ALIGN);
        let held = match gpu.memory.shard(wanted) {
            // There may be room for this one where there is none for those that may come.
            Err(DeviceError::OutOfMemory { .. } | DeviceError::OverBudget { .. })
                if wanted > room =>
            {
                gpu.memory.shard(room)?
            }
            made => made?,
        };
        let part = held.part(0, size);
        self.shard = Some(Shard { held, used: room });
        self.placed += room;
        Ok(part)
    }

    /// Copy `bytes`, and zeros to a multiple of 16, into staging buffers, and note where they go.
    fn stage(&mut self, gpu: &Gpu, to: &Held, at: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let mut done = 0;
        while done < bytes.len() || (bytes.is_empty() && done == 0) {
            if self.open.is_none() {
                self.open = Some(self.next_slot(gpu, bytes.len() - done)?);
            }
            let Some(slot) = &mut self.open else { break };
            let room = usize::try_from(slot.buffer.raw().size() - slot.used).unwrap_or(usize::MAX);
            let part = &bytes[done..bytes.len().min(done + room)];
            let size = (part.len().max(1) as u64).next_multiple_of(16);
            write(slot.buffer.raw(), slot.used, size, part).map_err(|_| unmapped(gpu))?;
            self.copies.push(Copy {
                from: slot.used,
                to: to.clone(),
                to_offset: at + done as u64,
                size,
            });
            slot.used += size;
            done += part.len().max(1);
            if slot.used == slot.buffer.raw().size() {
                self.send(gpu);
            }
        }
        gpu.uploads
            .waiting
            .store(!self.copies.is_empty(), Ordering::Release);
        Ok(())
    }

    /// A staging buffer to fill: one that has been copied, or a new one, or the oldest, when it has been.
    fn next_slot(&mut self, gpu: &Gpu, bytes: usize) -> Result<Slot, DeviceError> {
        // Callbacks of maps that are done are called by it.
        let _ = gpu.device.poll(wgpu::PollType::Poll);
        let [least, most] = SLOT;
        let wanted = (self.placed.max(bytes as u64))
            .next_power_of_two()
            .clamp(least, most);
        let is_free = |sent: &Sent| sent.mapped.load(Ordering::Acquire);
        let full = self.sent.len() >= RING;
        let Some(oldest) = self.sent.front() else {
            return new_slot(gpu, wanted);
        };
        let small = oldest.buffer.raw().size() < wanted;
        if !full && (small || !is_free(oldest)) {
            return new_slot(gpu, wanted);
        }
        let _ = gpu.device.poll(wgpu::PollType::Wait {
            submission_index: Some(oldest.submission.clone()),
            timeout: None,
        });
        let Some(oldest) = self.sent.pop_front() else {
            return new_slot(gpu, wanted);
        };
        if !is_free(&oldest) {
            gpu.memory.freed(&oldest.buffer);
            return Err(unmapped(gpu));
        }
        if small {
            gpu.memory.freed(&oldest.buffer);
            return new_slot(gpu, wanted);
        }
        let buffer = oldest.buffer;
        Ok(Slot { buffer, used: 0 })
    }

    /// Submit the copies from the open staging buffer, and have it mapped again when they are done.
    fn send(&mut self, gpu: &Gpu) {
        gpu.uploads.waiting.store(false, Ordering::Release);
        let Some(Slot { buffer, .. }) = self.open.take() else {
            return;
        };
        let raw = buffer.raw();
        raw.unmap();
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for copy in self.copies.drain(..) {
            let to = copy.to.offset + copy.to_offset;
            encoder.copy_buffer_to_buffer(raw, copy.from, copy.to.buffer.raw(), to, copy.size);
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        Counters::add(&gpu.counters.submits, 1);
        let mapped = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&mapped);
        raw.map_async(wgpu::MapMode::Write, .., move |result| {
            done.store(result.is_ok(), Ordering::Release);
        });
        self.sent.push_back(Sent {
            buffer,
            submission,
            mapped,
        });
    }
}

fn new_slot(gpu: &Gpu, size: u64) -> Result<Slot, DeviceError> {
    let size = size.min(gpu.caps.max_buffer);
    let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
    let buffer = gpu.memory.mapped_buffer(size, usage)?;
    Ok(Slot { buffer, used: 0 })
}

/// Why a staging buffer is not mapped: the device failed.
fn unmapped(gpu: &Gpu) -> DeviceError {
    match gpu.check() {
        Err(error) => error,
        Ok(()) => DeviceError::Lost {
            reason: "a staging buffer could not be mapped".to_owned(),
        },
    }
}

/// Write `bytes` to `at` of the mapped `buffer`, and zeros up to `size`, a multiple of 16.
fn write(
    buffer: &wgpu::Buffer,
    at: u64,
    size: u64,
    bytes: &[u8],
) -> Result<(), wgpu::MapRangeError> {
    let available = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = match bytes.len() {
        0..SHARED_COPY => 1,
        _ => available.min(COPY_THREADS),
    };
    let share = bytes.len().div_ceil(threads).next_multiple_of(256);
    let mut views = Vec::with_capacity(threads);
    for (i, part) in bytes.chunks(share.max(256)).enumerate() {
        let from = (i * share) as u64;
        let len = (part.len() as u64).next_multiple_of(16);
        views.push((
            buffer.get_mapped_range_mut(at + from..at + from + len)?,
            part,
        ));
    }
    if bytes.is_empty() {
        views.push((buffer.get_mapped_range_mut(at..at + size)?, bytes));
    }
    let copy = |(mut view, part): (wgpu::BufferViewMut, &[u8])| {
        view.slice(..part.len()).copy_from_slice(part);
        if view.len() > part.len() {
            view.slice(part.len()..).fill(0);
        }
    };
    let first = views.pop();
    thread::scope(|scope| {
        for other in views {
            scope.spawn(move || copy(other));
        }
        first.into_iter().for_each(copy);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::gpu::testing::{each_device, open, turn};
    use crate::gpu::{Gpu, Value, WgpuForce, WgpuOptions};
    use crate::{Device, DeviceError, Tensor, add, scale};

    /// Words that differ from each other and between seeds.
    fn words(n: usize, seed: u32) -> Vec<f32> {
        let word = |i: u32| f32::from_bits((i ^ (seed << 20)) & 0x3fff_ffff);
        (0..).take(n).map(word).collect()
    }

    fn read(gpu: &Gpu, value: &Value) -> Vec<u32> {
        let numbers = gpu.read(value.clone()).unwrap();
        numbers.into_iter().map(f32::to_bits).collect()
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    /// Small and large ones, more than the ring holds, some larger than a shard; what is recorded between
    /// finds them there.
    #[test]
    fn what_is_brought_is_what_was_there() {
        each_device(|device| {
            let gpu = device.on_gpu().unwrap();
            let sizes = [1, 3, 64, 2047, 8192, 5, 30_000, 12_345, 7, 260_000, 4, 8191];
            let mut kept = Vec::new();
            for (seed, n) in (0..).zip(sizes) {
                let numbers = words(n, seed);
                kept.push((gpu.try_parameter(&numbers).unwrap(), numbers));
                if seed == 5 {
                    let (value, numbers) = &kept[3];
                    let tensor = Tensor::of_gpu(device, &[numbers.len()], value.clone());
                    let doubled = scale(tensor, 2.0).into_vec().unwrap();
                    assert!(doubled.iter().zip(numbers).all(|(d, x)| *d == 2.0 * x));
                }
            }
            for (value, numbers) in &kept {
                assert!(read(gpu, value) == bits(numbers), "{}", numbers.len());
            }
            let before = device.wgpu_counters().unwrap().allocated_bytes;
            gpu.finish_uploads().unwrap();
            let ring = before - device.wgpu_counters().unwrap().allocated_bytes;
            assert!(ring > 0 && ring <= 4 * super::SLOT[1], "{ring}");
            for (value, numbers) in kept.iter().rev() {
                assert!(read(gpu, value) == bits(numbers), "{}", numbers.len());
            }
        });
    }

    #[test]
    fn bytes_are_followed_by_zeros() {
        each_device(|device| {
            let gpu = device.on_gpu().unwrap();
            for n in [1, 15, 16, 17, 9001] {
                let bytes = vec![0xab; n];
                let held = gpu.upload(&bytes).unwrap();
                let len = n.next_multiple_of(16) / 4;
                let found = read(gpu, &Value::resident(len, held));
                let found: Vec<u8> = found.iter().flat_map(|w| w.to_le_bytes()).collect();
                assert!(found[..n] == bytes, "{n}");
                assert!(found[n..].iter().all(|b| *b == 0), "{n}");
            }
        });
    }

    #[test]
    fn shards_are_as_large_as_what_is_expected() {
        let _turn = turn();
        let Some(gpu) = open(&WgpuOptions::default()) else {
            return;
        };
        gpu.expect_uploads(100 * 1024);
        let values: Vec<_> = (0..100)
            .map(|seed| gpu.try_parameter(&words(256, seed)).unwrap())
            .collect();
        let ring = super::SLOT.map(|slot| slot * super::RING as u64);
        let used = gpu.counters().allocated_bytes;
        assert!(used <= 100 * 1024 + ring[1], "{used}");
        gpu.finish_uploads().unwrap();
        assert_eq!(gpu.counters().allocated_bytes, 100 * 1024);
        // A shard is freed with the last of its tensors.
        drop(values);
        gpu.submit();
        assert_eq!(gpu.counters().allocated_bytes, 0);
    }

    #[test]
    fn a_budget_is_kept_and_what_is_dropped_makes_room() {
        let _turn = turn();
        let options = WgpuOptions::default().with_memory_budget(1 << 20);
        let Some(gpu) = open(&options) else {
            return;
        };
        let device = Device::of_gpu(gpu);
        let gpu = device.on_gpu().unwrap();
        let half = words(1 << 17, 1);
        let first = gpu.try_parameter(&half).unwrap();
        let Err(DeviceError::OverBudget {
            wanted,
            used,
            budget,
        }) = gpu.try_parameter(&half)
        else {
            panic!("two halves and their way there are more than the whole")
        };
        assert_eq!((wanted, budget), (1 << 19, 1 << 20));
        assert!(used >= 1 << 19 && used + wanted > budget, "{used}");
        // Nothing broke: the device computes, and has room when there is less on it.
        let x = Tensor::of_gpu(&device, &[1 << 17], first);
        let y = add(x.clone(), &x).into_vec();
        assert!(
            matches!(y, Err(DeviceError::OverBudget { .. })),
            "for its result there is none"
        );
    }

    #[test]
    fn a_failed_upload_leaves_the_device_as_it_was() {
        let _turn = turn();
        let force = WgpuForce::minimal();
        let options = WgpuOptions::default()
            .with_force(force)
            .with_memory_budget(7 << 19);
        let Some(gpu) = open(&options) else {
            return;
        };
        let device = Device::of_gpu(gpu);
        let gpu = device.on_gpu().unwrap();
        let too_large = gpu.upload(&vec![0; (1 << 20) + 1]).unwrap_err();
        assert!(
            matches!(
                too_large,
                DeviceError::TooLarge {
                    limit: 1_048_576,
                    ..
                }
            ),
            "{too_large}"
        );
        let quarter = words(1 << 18, 2);
        let a = gpu.try_parameter(&quarter).unwrap();
        let b = gpu.try_parameter(&quarter).unwrap();
        let c = gpu.try_parameter(&quarter).unwrap();
        let error = gpu.try_parameter(&quarter).unwrap_err();
        assert!(matches!(error, DeviceError::OverBudget { .. }), "{error}");
        drop((a, b, c));
        // Their memory is found when it is looked for.
        let again = gpu.try_parameter(&quarter).unwrap();
        assert!(read(gpu, &again) == bits(&quarter));
        let x = Tensor::from_vec(&device, &[2], vec![1.0, 2.0]);
        assert_eq!(scale(x, 2.0).into_vec().unwrap(), [2.0, 4.0]);
    }

    /// Every later read says so, and what comes of it can be had again on a new device.
    #[test]
    fn a_lost_device_is_told_and_another_takes_its_place() {
        let _turn = turn();
        let model = |device: &Device| Tensor::parameter(device, &[3], vec![1.0, 2.0, 3.0]);
        let run = |weight: &Tensor| add(scale(weight.clone(), 2.0), weight).into_vec();
        let Some(gpu) = open(&WgpuOptions::default()) else {
            return;
        };
        let device = Device::of_gpu(gpu);
        let weight = model(&device);
        assert_eq!(run(&weight).unwrap(), [3.0, 6.0, 9.0]);
        let recorded = scale(weight.clone(), 5.0);
        device.lose();
        let lost = |result: Result<Vec<f32>, DeviceError>| {
            let error = result.unwrap_err();
            assert!(matches!(error, DeviceError::Lost { .. }), "{error}");
        };
        lost(recorded.into_vec());
        lost(run(&weight));
        lost(weight.to_vec());
        let new = Tensor::from_vec(&device, &[1], vec![1.0]);
        lost(scale(new, 2.0).into_vec());
        let error = device.on_gpu().unwrap().try_parameter(&[1.0]).unwrap_err();
        assert!(matches!(error, DeviceError::Lost { .. }), "{error}");
        assert!(device.finish_weights().is_err());
        let device = Device::of_gpu(open(&WgpuOptions::default()).unwrap());
        assert_eq!(run(&model(&device)).unwrap(), [3.0, 6.0, 9.0]);
    }
}
