//! What the machine can do at best, found in the same run.

use std::fmt;

use hfcore::{Device, probe};
use serde_json::{Value, json};

/// What the probes found, per second.
pub(super) struct Ceilings {
    /// Bytes read from memory.
    pub(super) read: f64,
    /// Operations on `f32`.
    pub(super) multiply_add: f64,
}

impl Ceilings {
    /// Takes some tenths of a second.
    pub(super) fn of(device: &Device) -> Self {
        Self {
            read: probe::read_bandwidth(device),
            multiply_add: probe::multiply_add_rate(device),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "read_bytes_per_s": self.read,
            "multiply_add_per_s": self.multiply_add,
        })
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory {:.1} GB/s, f32 {:.0} GFLOP/s",
            self.read / 1e9,
            self.multiply_add / 1e9
        )
    }
}
