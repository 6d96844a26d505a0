//! The floating-point mode of threads: rounding, traps, and whether denormal numbers count as zero.
//!
//! Nothing here sets it. `MXCSR` (x86-64) and `FPCR` (64-bit ARM) belong to whoever calls, and Rust assumes that
//! they are as a program finds them. That denormal numbers are slow on many processors is met by not
//! making any: where a softmax underflows there are exact zeros, and padding is zeros.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::Device;

/// How long a thread is waited for that does not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// The bits of the processor's floating-point mode on each of the device's threads, the caller's among
/// them; without those that only tell what has happened. On processors that this does not know: zeros.
///
/// Threads that are busy with another caller's operation for some seconds are left out.
#[must_use]
pub fn float_modes(device: &Device) -> Vec<u64> {
    let cpu = device.on_cpu();
    let modes: Mutex<HashMap<ThreadId, u64>> = Mutex::default();
    let seen = || modes.lock().unwrap_or_else(PoisonError::into_inner);
    let (threads, since) = (cpu.pool.threads(), Instant::now());
    cpu.pool.for_each(threads, 1, |_| {
        seen().insert(thread::current().id(), float_mode());
        // Whoever leaves early would be dealt another number.
        while seen().len() < threads && since.elapsed() < PATIENCE {
            thread::yield_now();
        }
    });
    seen().values().copied().collect()
}

#[cfg(target_arch = "x86_64")]
fn float_mode() -> u64 {
    /// All but the flags of exceptions that have occurred.
    const CONTROL: u32 = 0xffc0;
    let mut mxcsr = 0_u32;
    // SAFETY: the instruction, which every processor of this architecture has, writes four bytes to where
    // `mxcsr` is, and changes nothing else.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
    }
    u64::from(mxcsr & CONTROL)
}

#[cfg(target_arch = "aarch64")]
fn float_mode() -> u64 {
    let fpcr: u64;
    // SAFETY: the instruction reads a register that every program may read.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags));
    }
    fpcr
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn float_mode() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{
        Activation, AttentionParams, AttentionSpan, CpuOptions, DType, Isa, KeyValues, Matrix,
        Precision, QuantFormat, Quantized, Tensor, Weight, activate, attention, gated, layer_norm,
        linear, rms_norm, softmax,
    };

    /// The mode that programs are started with.
    const DEFAULT: u64 = if cfg!(target_arch = "x86_64") {
        0x1f80
    } else {
        0
    };

    #[test]
    fn operations_leave_the_mode_of_every_thread_as_it_was() {
        for isa in Isa::tested() {
            for precision in [Precision::Auto, Precision::Strict, Precision::High] {
                let options = CpuOptions::default()
                    .with_isa(isa)
                    .with_precision(precision)
                    .with_threads(NonZeroUsize::new(3).unwrap());
                let device = Device::cpu_with(&options);
                assert_eq!(float_modes(&device), [DEFAULT; 3]);
                run_operations(&device);
                assert_eq!(float_modes(&device), [DEFAULT; 3], "{}", device.name());
            }
        }
    }

    /// Operations of all kinds, on numbers some of which are denormal.
    fn run_operations(device: &Device) {
        let (rows, width) = (200, 64);
        let numbers = |n: usize| {
            (0..n)
                .map(|i| (i * 7 % 13) as f32 - 6.0)
                .collect::<Vec<_>>()
        };
        let mut values = numbers(rows * width);
        values.iter_mut().step_by(128).for_each(|v| *v = 1e-40);
        let x = Tensor::from_vec(device, &[rows, width], values);
        let plain = Weight::from_f32(&[width, width], &numbers(width * width));
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let _ = linear(&x, &Matrix::from(plain.to_dtype(dtype)), None);
        }
        let quantized = Quantized::quantize(&plain, QuantFormat::Int8, device).unwrap();
        let y = linear(&x, &Matrix::from(quantized), None);
        let gain = Tensor::from_vec(device, &[width], numbers(width));
        let y = layer_norm(&rms_norm(&y, None, 1e-5, false), &gain, None, 1e-5);
        let y = softmax(&gated(activate(y, Activation::Gelu), &x, Activation::Silu));
        let q = y.reshape(&[rows, 4, 16]);
        let keys = KeyValues::Dense {
            k: &q,
            v: &q,
            rows: 0..rows,
        };
        let span = AttentionSpan {
            rows: 0..rows,
            position: 0,
            keys,
            key_position: 0,
        };
        let params = AttentionParams {
            scale: 0.25,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        let _ = attention(&q, &[span], &params);
    }
}
