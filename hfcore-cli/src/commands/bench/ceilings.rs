//! What the machine can do at best, found in the same run.

use std::fmt;

use hfcore::{DType, Device, Precision, PretrainedConfig, probe};
use serde_json::{Value, json};

use crate::runtime::Runtime;

/// What the probes found, per second.
pub(super) struct Ceilings {
    /// Bytes read from memory.
    pub(super) read: f64,
    /// Operations on `f32`.
    f32: f64,
    /// Operations on `bf16`, where there are instructions for them.
    bf16: Option<f64>,
    /// Operations on bytes.
    int8: f64,
    /// Which of the three the model's products of many rows come to at best.
    pub(super) factors: &'static str,
}

impl Ceilings {
    /// Takes some tenths of a second.
    pub(super) fn of(device: &Device, runtime: &Runtime, config: &PretrainedConfig) -> Self {
        let bf16 = probe::bf16_rate(device);
        let published = || {
            let keys = config.keys();
            let named = |key| keys.value(key).and_then(Value::as_str);
            let name = named("dtype").or_else(|| named("torch_dtype"));
            let all = [DType::F32, DType::F16, DType::Bf16];
            all.into_iter().find(|dtype| Some(dtype.name()) == name)
        };
        let dtype = runtime.dtype().or_else(published).unwrap_or(DType::F32);
        let fast = |dtype| device.precision().of(dtype) == Precision::Fast;
        let quantized = matches!(runtime.quantize(), Ok(Some(_)));
        let factors = if quantized && device.precision() != Precision::Strict {
            "int8"
        } else if !quantized && dtype == DType::Bf16 && fast(dtype) && bf16.is_some() {
            "bf16"
        } else {
            "f32"
        };
        Self {
            read: probe::read_bandwidth(device),
            f32: probe::multiply_add_rate(device),
            bf16,
            int8: probe::int8_rate(device),
            factors,
        }
    }

    /// The rate of products of these factors.
    pub(super) fn multiply(&self) -> f64 {
        match self.factors {
            "int8" => self.int8,
            "bf16" => self.bf16.unwrap_or(self.f32),
            _ => self.f32,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "read_bytes_per_s": self.read,
            "f32_operations_per_s": self.f32,
            "bf16_operations_per_s": self.bf16,
            "int8_operations_per_s": self.int8,
            "factors": self.factors,
        })
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory {:.1} GB/s, f32 {:.0} GFLOP/s",
            self.read / 1e9,
            self.f32 / 1e9
        )?;
        if let Some(bf16) = self.bf16 {
            write!(f, ", bf16 {:.0}", bf16 / 1e9)?;
        }
        write!(f, ", int8 {:.0}", self.int8 / 1e9)
    }
}
