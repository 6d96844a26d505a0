//! The options that say where and in what type a model runs.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hfcore::{
    AutoModel, CpuOptions, DType, Device, GroupSize, Head, ModelDir, Packed, Precision, QuantFormat,
};
#[cfg(feature = "wgpu")]
use hfcore::{DeviceError, WgpuSelect};

use crate::output;

/// Where a model runs, and in what type.
#[derive(Clone, Debug, Args)]
pub(crate) struct Runtime {
    /// The device: cpu, wgpu for a GPU, or wgpu:INDEX or wgpu:NAME for one of those that `hfcore devices` lists
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = DeviceName::parse)]
    device: DeviceName,
    /// The type of the weights [default: as published]
    #[arg(long, value_enum)]
    dtype: Option<DTypeName>,
    /// With --dtype int4, how many weights share a scale: 32, 64 or 128 [default: 32]
    #[arg(long, value_name = "N", value_parser = group_size)]
    group_size: Option<GroupSize>,
    /// How exactly matrices are multiplied [default: auto; of verify: strict]
    #[arg(long, value_enum)]
    precision: Option<PrecisionName>,
    /// CPU threads [default: all]
    #[arg(short, long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// The values of `--device`.
#[derive(Clone, Debug)]
enum DeviceName {
    Cpu,
    /// A GPU: the one that is chosen so, else the environment's or the fastest.
    #[cfg(feature = "wgpu")]
    Wgpu(Option<WgpuSelect>),
}

impl DeviceName {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, which) = match text.split_once(':') {
            Some((kind, which)) => (kind, Some(which)),
            None => (text, None),
        };
        match (kind, which) {
            ("cpu", None) => Ok(Self::Cpu),
            #[cfg(feature = "wgpu")]
            ("wgpu", which) => (which.map(str::parse).transpose())
                .map(Self::Wgpu)
                .map_err(|error: DeviceError| error.to_string()),
            #[cfg(not(feature = "wgpu"))]
            ("wgpu", _) => Err(
                "this program was built without GPUs: build it with the feature wgpu".to_owned(),
            ),
            _ => Err("cpu, wgpu, wgpu:INDEX or wgpu:NAME is expected".to_owned()),
        }
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum DTypeName {
    #[value(alias = "float32")]
    F32,
    #[value(alias = "float16")]
    F16,
    #[value(alias = "bfloat16")]
    Bf16,
    /// A byte a weight, and a scale for each output; quantized once, and kept in the packed cache
    Int8,
    /// Half a byte a weight, and a scale for each group of --group-size; kept likewise
    Int4,
}

fn group_size(text: &str) -> Result<GroupSize, String> {
    let size = text.parse().ok().and_then(GroupSize::new);
    size.ok_or_else(|| "32, 64 or 128 is expected".to_owned())
}

impl Runtime {
    /// The device that the options name.
    ///
    /// # Errors
    /// If there is none like that, or an option is about another kind of device.
    pub(crate) fn device(&self) -> output::Result<Device> {
        self.device_or(Precision::Auto)
    }

    /// The same, with this precision if none was asked for.
    ///
    /// # Errors
    /// As [`device`](Self::device).
    pub(crate) fn device_or(&self, precision: Precision) -> output::Result<Device> {
        match &self.device {
            DeviceName::Cpu => {
                let precision = self.precision.map_or(precision, Into::into);
                let mut options = CpuOptions::default().with_precision(precision);
                options.threads = self.threads;
                Ok(Device::cpu_with(&options))
            }
            #[cfg(feature = "wgpu")]
            DeviceName::Wgpu(select) => {
                if self.threads.is_some() {
                    return Err("--threads is about --device cpu".into());
                }
                let precision = self.precision.map_or(precision, Into::into);
                let mut options = hfcore::wgpu_options()?.with_precision(precision);
                if let Some(select) = select {
                    options = options.with_adapter(select.clone());
                }
                Ok(Device::wgpu_with(&options)?)
            }
        }
    }

    /// The type to convert matrices to, if they are not quantized.
    pub(crate) fn dtype(&self) -> Option<DType> {
        match self.dtype? {
            DTypeName::F32 => Some(DType::F32),
            DTypeName::F16 => Some(DType::F16),
            DTypeName::Bf16 => Some(DType::Bf16),
            DTypeName::Int8 | DTypeName::Int4 => None,
        }
    }

    /// The format to quantize matrices to.
    ///
    /// # Errors
    /// If a group size is given that nothing has.
    pub(crate) fn quantize(&self) -> output::Result<Option<QuantFormat>> {
        match (self.dtype, self.group_size) {
            (Some(DTypeName::Int4), group) => {
                Ok(Some(QuantFormat::Int4(group.unwrap_or_default())))
            }
            (_, Some(_)) => Err("--group-size is about --dtype int4".into()),
            (Some(DTypeName::Int8), None) => Ok(Some(QuantFormat::Int8)),
            (_, None) => Ok(None),
        }
    }

    /// The name of the type of the weights, for reports.
    pub(crate) fn dtype_name(&self) -> &'static str {
        match (self.quantize(), self.dtype()) {
            (Ok(Some(format)), _) => format.name(),
            (_, Some(dtype)) => dtype.name(),
            (_, None) => "as published",
        }
    }

    /// The model of `dir` on `device`.
    pub(crate) fn load<T: Head + ?Sized>(
        &self,
        dir: &ModelDir,
        device: &Device,
    ) -> output::Result<AutoModel<T>> {
        let mut builder = AutoModel::<T>::builder().device(device.clone());
        if let Some(dtype) = self.dtype() {
            builder = builder.dtype(dtype);
        }
        let Some(format) = self.quantize()? else {
            return Ok(builder.from_pretrained(dir)?);
        };
        let model = said_if_slow(format, || builder.quantize(format).from_pretrained(dir))?;
        say_packed(&model);
        Ok(model)
    }
}

/// Loading, which says what it does if that takes longer than people wait.
fn said_if_slow<T>(format: QuantFormat, load: impl FnOnce() -> T) -> T {
    let (finished, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                output::message(format_args!("quantizing to {format} ..."));
            }
        });
        let loaded = load();
        drop(finished);
        loaded
    })
}

/// Says what became of quantized weights, where that is not what happens on every load.
fn say_packed<T: ?Sized>(model: &AutoModel<T>) {
    let Some(quantization) = model.quantization() else {
        return;
    };
    let format = quantization.format;
    match &quantization.packed {
        Packed::Written(path) => {
            let bytes = output::bytes(quantization.bytes);
            let path = path.display();
            output::message(format_args!(
                "quantized to {format}; kept for the next time: {path} ({bytes})"
            ));
        }
        Packed::Failed(why) => output::message(format_args!(
            "note: quantized to {format}, and not kept for the next time: {why}"
        )),
        _ => {}
    }
}
