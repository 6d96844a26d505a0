//! What a device has been asked to do, to compare with what it can do.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// What matrix products and attention had to read and compute, as their definitions need it: a weight, or the
/// keys and values of a sequence, counts once for each operation, however often a cache is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Bytes of weights, and of keys and values.
    pub bytes: u64,
    /// Multiplications and additions, each counted as one.
    pub operations: u64,
}

impl Sub for Work {
    type Output = Self;

    /// What was done between two moments.
    fn sub(self, earlier: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_sub(earlier.bytes),
            operations: self.operations.wrapping_sub(earlier.operations),
        }
    }
}

/// The sum of all work of a device.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    bytes: AtomicU64,
    operations: AtomicU64,
}

impl Counter {
    /// An operation that reads `bytes` and does so many multiplications, each with an addition.
    pub(crate) fn add(&self, bytes: usize, multiply_adds: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.operations
            .fetch_add(2 * multiply_adds as u64, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> Work {
        Work {
            bytes: self.bytes.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use crate::{
        AttentionParams, AttentionSpan, Device, KeyValues, Tensor, Weight, attention, linear,
    };

    #[test]
    fn products_and_attention_are_counted() {
        let device = Device::cpu();
        let before = device.work();
        let x = Tensor::zeros(&device, &[5, 7]);
        let _ = linear(&x, &Weight::from_f32(&[3, 7], &[0.0; 21]), None);
        let product = device.work() - before;
        assert_eq!((product.bytes, product.operations), (84, 2 * 5 * 3 * 7));

        // Two causal queries of two heads at positions 2 and 3 over four keys of one head.
        let (q, k, v) = (
            Tensor::zeros(&device, &[2, 2, 4]),
            Tensor::zeros(&device, &[4, 1, 4]),
            Tensor::zeros(&device, &[4, 1, 6]),
        );
        let before = device.work();
        let rows: Range<usize> = 0..4;
        let span = AttentionSpan {
            rows: 0..2,
            position: 2,
            keys: KeyValues::Dense { k: &k, v: &v, rows },
            key_position: 0,
        };
        let params = AttentionParams {
            scale: 1.0,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        let _ = attention(&q, &[span], &params);
        let found = device.work() - before;
        assert_eq!(found.bytes, 4 * (4 + 6) * 4);
        assert_eq!(found.operations, 2 * (3 + 4) * 2 * (4 + 6));
    }
}
