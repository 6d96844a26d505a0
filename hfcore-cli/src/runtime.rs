//! The options that say where and in what type a model runs.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use hfcore::{AutoModel, AutoModelBuilder, CpuOptions, DType, Device, Head, Precision};

/// Where a model runs, and in what type.
#[derive(Clone, Debug, Args)]
pub(crate) struct Runtime {
    /// The device.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// The type of the weights [default: as published]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<DTypeName>,
    /// How exactly matrices are multiplied [default: auto; of verify: strict]
    #[arg(long, value_enum)]
    precision: Option<PrecisionName>,
    /// CPU threads [default: all]
    #[arg(short, long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DeviceName {
    Cpu,
}

/// The values of `--precision`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionName {
    /// Strict for weights in f32, fast for others
    Auto,
    /// Activations in f32, weights widened exactly
    Strict,
    /// Products of f32 as three of bf16 parts, where that is faster; else strict
    High,
    /// Activations in the type of the weights, or in 8 bits for quantized ones, where that is faster
    Fast,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::Auto => Self::Auto,
            PrecisionName::Strict => Self::Strict,
            PrecisionName::High => Self::High,
            PrecisionName::Fast => Self::Fast,
        }
    }
}

/// The types a model's matrices can be computed with.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum DTypeName {
    #[value(alias = "float32")]
    F32,
    #[value(alias = "float16")]
    F16,
    #[value(alias = "bfloat16")]
    Bf16,
}

impl From<DTypeName> for DType {
    fn from(name: DTypeName) -> Self {
        match name {
            DTypeName::F32 => Self::F32,
            DTypeName::F16 => Self::F16,
            DTypeName::Bf16 => Self::Bf16,
        }
    }
}

impl Runtime {
    /// The device that the options name.
    pub(crate) fn device(&self) -> Device {
        self.device_or(Precision::Auto)
    }

    /// The same, with this precision if none was asked for.
    pub(crate) fn device_or(&self, precision: Precision) -> Device {
        match self.device {
            DeviceName::Cpu => {
                let precision = self.precision.map_or(precision, Into::into);
                let mut options = CpuOptions::default().with_precision(precision);
                options.threads = self.threads;
                Device::cpu_with(&options)
            }
        }
    }

    /// The type of the weights, for reports.
    pub(crate) fn dtype_name(&self) -> &'static str {
        self.dtype
            .map_or("as published", |dtype| DType::from(dtype).name())
    }

    /// How to load a model onto `device`.
    pub(crate) fn builder<T: Head + ?Sized>(&self, device: &Device) -> AutoModelBuilder<T> {
        let builder = AutoModel::<T>::builder().device(device.clone());
        match self.dtype {
            Some(dtype) => builder.dtype(dtype.into()),
            None => builder,
        }
    }
}
