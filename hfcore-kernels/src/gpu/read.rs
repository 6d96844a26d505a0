//! Reading numbers back: the only place where anybody waits for the device.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use crate::DeviceError;

use super::counters::Counters;
use super::memory::{Buffer, size_class};
use super::replay::copy;
use super::value::{Place, Value};
use super::{Gpu, Region};

/// Buffers that numbers are read through, by size.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) free: BTreeMap<u64, Vec<Buffer>>,
}

/// Words that are read.
#[derive(Debug)]
#[must_use]
pub(crate) enum Reading {
    /// They are with us.
    Here(Arc<[u32]>),
    /// They are on their way.
    Coming(Ticket),
}

/// Where words will be when the device has come so far.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket {
    buffer: Buffer,
    bytes: u64,
    submission: Option<wgpu::SubmissionIndex>,
}

impl Readers {
    /// Copy `len` numbers of `region` to where they can be read.
    pub(super) fn copy(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        region: &Region,
        len: usize,
    ) -> Result<Ticket, DeviceError> {
        let class = size_class(region.size);
        let buffer = match self.free.get_mut(&class).and_then(Vec::pop) {
            Some(buffer) => buffer,
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                gpu.memory.buffer(class, usage)?
            }
        };
        let whole = Region {
            buffer: buffer.clone(),
            offset: 0,
            size: region.size,
        };
        copy(encoder, region, &whole);
        let bytes = len as u64 * 4;
        Counters::add(&gpu.counters.read_bytes, bytes);
        Ok(Ticket {
            buffer,
            bytes,
            submission: None,
        })
    }
}

impl Ticket {
    pub(super) fn submitted(&mut self, submission: wgpu::SubmissionIndex) {
        self.submission = Some(submission);
    }
}

impl Gpu {
    /// Begin to read `value`: run what was recorded, and copy it to where it can be read. Where nobody else
    /// has the value, the device forgets it.
    pub(crate) fn begin_read(&self, value: Value) -> Result<Reading, DeviceError> {
        let mut state = self.state();
        let (place, len) = (value.place().clone(), value.len());
        drop(value);
        let ticket = match place {
            Place::Host { words, .. } => return Ok(Reading::Here(words)),
            Place::Recorded { recording, value } => {
                self.flush(&mut state, Some(recording), Some(value))
            }
            Place::Resident(held) => {
                self.check()?;
                let mut encoder = self.encoder();
                let mut ticket = (state.readers).copy(self, &mut encoder, &held, len)?;
                ticket.submitted(self.submit_commands(encoder));
                Some(ticket)
            }
            Place::Nowhere => None,
        };
        self.check()?;
        match ticket {
            Some(ticket) => Ok(Reading::Coming(ticket)),
            None => Err(DeviceError::Internal {
                message: "a value was never computed".to_owned(),
            }),
        }
    }

    /// Wait for numbers that [`begin_read`](Self::begin_read) began to read.
    pub(crate) fn finish_read(&self, reading: Reading) -> Result<Vec<u32>, DeviceError> {
        let Ticket {
            buffer,
            bytes,
            submission,
        } = match reading {
            Reading::Here(words) => return Ok(words.to_vec()),
            Reading::Coming(ticket) => ticket,
        };
        let raw = buffer.raw();
        let (done, told) = mpsc::channel();
        raw.map_async(
            wgpu::MapMode::Read,
            0..bytes.next_multiple_of(8).max(8),
            move |result| {
                // Nobody listens where the wait below failed.
                let _ = done.send(result.is_ok());
            },
        );
        let waited = self.device.poll(wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        });
        // Told by whoever polls: another thread that does so now may have it in hand, and tell after we have waited.
        let mapped = waited.is_ok() && told.recv() == Ok(true);
        self.check()?;
        let lost = || DeviceError::Lost {
            reason: "numbers could not be read back".to_owned(),
        };
        if !mapped {
            return Err(lost());
        }
        let view = raw
            .get_mapped_range(0..bytes.next_multiple_of(8).max(8))
            .map_err(|_| lost())?;
        let words = (view.as_chunks::<4>().0.iter())
            .take(usize::try_from(bytes / 4).unwrap_or(usize::MAX))
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect();
        drop(view);
        raw.unmap();
        let mut state = self.state();
        (state.readers.free.entry(raw.size()).or_default()).push(buffer);
        Ok(words)
    }

    /// Forget numbers that were to be read: nobody waits for them any more.
    pub(crate) fn abandon_read(&self, reading: Reading) {
        if let Reading::Coming(Ticket { buffer, .. }) = reading {
            // What is still being copied to it comes before whatever is next.
            let mut state = self.state();
            let size = buffer.raw().size();
            (state.readers.free.entry(size).or_default()).push(buffer);
        }
    }

    /// The numbers of `value`.
    pub(crate) fn read(&self, value: Value) -> Result<Vec<f32>, DeviceError> {
        let words = self.finish_read(self.begin_read(value)?)?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// Run what was recorded so far, without waiting for it.
    pub(crate) fn submit(&self) {
        let mut state = self.state();
        let none = self.flush(&mut state, None, None);
        debug_assert!(none.is_none(), "nothing was to be read");
    }
}
