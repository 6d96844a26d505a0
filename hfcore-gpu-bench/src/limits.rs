//! What the device does at best: how fast it reads, and what comes on top of any work.

use std::time::Instant;

use hfcore_kernels::gpu_probe::{self, ReadSweep};
use hfcore_kernels::{DType, Device, DeviceError, Weight};

use crate::Error;
use crate::report::{Fixed, Read, ReadRate};

/// How fast memory is read, in each way of `sweep`.
///
/// # Errors
/// If the device fails.
pub fn read(device: &Device, sweep: &ReadSweep) -> Result<Read, DeviceError> {
    let rates = gpu_probe::read_bandwidth(device, sweep)?;
    let best = rates.iter().map(|rate| rate.bytes_per_s);
    Ok(Read {
        bytes: rates.first().map_or(0, |rate| rate.bytes),
        best_bytes_per_s: best.fold(0.0, f64::max),
        sweep: (rates.iter())
            .map(|rate| ReadRate {
                workgroup_size: rate.workgroup_size,
                loads: rate.loads,
                workgroups: rate.workgroups,
                bytes_per_s: rate.bytes_per_s,
            })
            .collect(),
        upload_bytes_per_s: None,
    })
}

/// Bytes a second from the host's memory into a weight, of `bytes` at once. `device` must not make weights up.
///
/// # Errors
/// If the device fails.
pub fn upload(device: &Device, bytes: usize, times: usize) -> Result<f64, Error> {
    let row = 4096;
    let shape = [bytes / 2 / row, row];
    let weight = Weight::new(DType::Bf16, &shape, vec![1; 2 * shape[0] * row].into());
    let mut best = f64::INFINITY;
    for _ in 0..=times {
        let start = Instant::now();
        let there = weight.to_device(device)?;
        gpu_probe::synchronize(device)?;
        best = best.min(start.elapsed().as_secs_f64());
        drop(there);
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    let bytes = (2 * shape[0] * row) as f64;
    Ok(bytes / best)
}

/// What dispatches, submissions and answers cost: each the best of `times`.
///
/// # Errors
/// If the device fails.
pub fn fixed(device: &Device, times: usize) -> Result<Fixed, DeviceError> {
    let costs = gpu_probe::dispatch_costs(device, times)?;
    let each = |sizes: [u64; 3], cost: fn(&Device, u64, usize) -> Result<f64, DeviceError>| {
        let each = sizes.map(|bytes| Ok((bytes, cost(device, bytes, times)?)));
        each.into_iter().collect::<Result<Vec<_>, DeviceError>>()
    };
    Ok(Fixed {
        dependent_dispatch_s: costs.dependent_s,
        independent_dispatch_s: costs.independent_s,
        encode_dispatch_s: costs.encode_s,
        submit_s: costs.submit_s,
        submit_and_wait_s: costs.submit_and_wait_s,
        // A token, a few thousand candidates, all logits of a large vocabulary.
        read_back_s: each([4, 32 << 10, 600 << 10], gpu_probe::read_back)?,
        // A token's words: few, of a long context, and of a part of a prompt.
        write_s: each([1 << 10, 16 << 10, 1 << 20], gpu_probe::write)?,
    })
}
