//! Weights that are nowhere: a shape and a type, over zeroed memory that is never touched.
//!
//! A device made with [`WgpuOptions::with_synthetic_weights`](hfcore_kernels::WgpuOptions) does not upload matrices and
//! tables: it fills them with numbers of its own, and never looks at the host's. Gains of norms are real, and ones. So a
//! model of any size is there as soon as the device has filled its memory, by the code that loads a checkpoint.

use hfcore_arch::{CausalLm, LoadOptions, Quantize, Registry, Source};
use hfcore_config::PretrainedConfig;
use hfcore_kernels::{DType, Device, PlaneType, QuantFormat, Quantized, Weight};
use hfcore_weights::{Bytes, DType as Stored, TensorView, Weights};
use serde_json::Value;

use crate::Error;
use crate::shapes::Shape;

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As published.
    Plain(DType),
    /// Quantized; the head to eight bits.
    Quantized(QuantFormat),
}

impl Format {
    /// `bf16`, `int4`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain(DType::F32) => "f32",
            Self::Plain(DType::F16) => "f16",
            Self::Plain(DType::Bf16) => "bf16",
            Self::Plain(dtype) => dtype.name(),
            Self::Quantized(format) => format.name(),
        }
    }

    /// The format of the language-model head where the body has this one.
    #[must_use]
    pub const fn of_head(self) -> Self {
        match self {
            Self::Plain(_) => self,
            Self::Quantized(_) => Self::Quantized(QuantFormat::Int8),
        }
    }

    /// Bytes of a matrix `[O, I]` as a checkpoint or a packed file holds it: numbers and scales.
    #[must_use]
    pub fn bytes(self, [outputs, inputs]: [usize; 2]) -> u64 {
        match self {
            Self::Plain(dtype) => (outputs * inputs * dtype.size()) as u64,
            Self::Quantized(format) => (format.planes([outputs, inputs]).iter().flatten())
                .map(|plane| plane.bytes_len() as u64)
                .sum(),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = [DType::F32, DType::F16, DType::Bf16].map(Self::Plain);
        match plain.into_iter().find(|format| format.name() == name) {
            Some(format) => Ok(format),
            None => Ok(Self::Quantized(name.parse()?)),
        }
    }
}

/// Zeroed memory that many tensors are views of. Until somebody reads it, it takes none.
#[derive(Clone, Debug)]
pub struct Nothing(Bytes);

impl Nothing {
    /// Enough for a tensor of `len` bytes.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self(Bytes::from_owner(vec![0; len]))
    }

    fn view(&self, dtype: Stored, shape: &[usize]) -> Result<TensorView, Error> {
        let elements = shape.iter().product();
        let len = dtype.byte_len(elements).ok_or("a tensor beyond memory")?;
        Ok(TensorView::new(
            dtype,
            shape.to_vec(),
            self.0.slice(0..len),
        )?)
    }

    fn kernel_bytes(&self, len: usize) -> hfcore_kernels::Bytes {
        hfcore_kernels::Bytes::new(std::sync::Arc::new(self.0.slice(0..len)))
    }

    /// A weight of this shape.
    #[must_use]
    pub fn weight(&self, dtype: DType, shape: &[usize]) -> Weight {
        let len = shape.iter().product::<usize>() * dtype.size();
        Weight::new(dtype, shape, self.kernel_bytes(len))
    }

    /// A quantized matrix of this shape.
    ///
    /// # Errors
    /// If there is no such matrix.
    pub fn quantized(&self, format: QuantFormat, shape: [usize; 2]) -> Result<Quantized, Error> {
        let planes = (format.planes(shape)?)
            .map(|layout| (layout.name, self.kernel_bytes(layout.bytes_len())));
        Ok(Quantized::from_planes(format, shape, &planes)?)
    }
}

/// The checkpoint of `shape` in bf16, matrices over nothing.
///
/// # Errors
/// If the shape is none.
pub fn checkpoint(shape: &Shape) -> Result<Weights, Error> {
    let tensors = shape.tensors();
    let numbers = |shape: &[usize]| shape.iter().product::<usize>();
    let largest = tensors.iter().map(|(_, shape)| numbers(shape)).max();
    let nothing = Nothing::new(2 * largest.unwrap_or(0));
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let tensor = if shape.len() == 1 {
            // 1.0, whose upper half is 0x3f80.
            let ones = [0x80, 0x3f].repeat(numbers(&shape));
            TensorView::new(Stored::BF16, shape, Bytes::from(ones))?
        } else {
            nothing.view(Stored::BF16, &shape)?
        };
        Ok((name, tensor))
    });
    Ok(Weights::from_tensors(
        tensors.collect::<Result<Vec<_>, Error>>()?,
    )?)
}

/// The planes of the matrices of `shape`, as a packed file has them, over nothing.
fn planes(shape: &Shape, format: QuantFormat) -> Result<Weights, Error> {
    let stored = |element| match element {
        PlaneType::I8 => Ok(Stored::I8),
        PlaneType::U8 => Ok(Stored::U8),
        PlaneType::Bf16 => Ok(Stored::BF16),
        PlaneType::F32 => Ok(Stored::F32),
        other => Err(format!("planes of {other:?}")),
    };
    let mut layouts = Vec::new();
    for (name, shape) in shape.tensors() {
        let Ok(shape) = <[usize; 2]>::try_from(shape) else {
            continue;
        };
        let format = match name.as_str() {
            "model.embed_tokens.weight" | "lm_head.weight" => QuantFormat::Int8,
            _ => format,
        };
        for layout in format.planes(shape)? {
            layouts.push((format!("{name}.{}", layout.name), layout));
        }
    }
    let largest = layouts.iter().map(|(_, layout)| layout.bytes_len()).max();
    let nothing = Nothing::new(largest.unwrap_or(0));
    let tensors = layouts.into_iter().map(|(name, layout)| {
        let dtype = stored(layout.element)?;
        Ok((name, nothing.view(dtype, &layout.shape)?))
    });
    Ok(Weights::from_tensors(
        tensors.collect::<Result<Vec<_>, Error>>()?,
    )?)
}

/// The model of `shape` on `device`, whose matrices the device makes up.
///
/// # Errors
/// If it does not fit the device.
pub fn load(shape: &Shape, format: Format, device: &Device) -> Result<Box<dyn CausalLm>, Error> {
    let Value::Object(config) = shape.config() else {
        return Err("a configuration is an object".into());
    };
    let config = PretrainedConfig::from_map(config)?;
    let weights = checkpoint(shape)?;
    let options = LoadOptions::default().with_device(device.clone());
    let options = match format {
        Format::Plain(DType::Bf16) => options,
        Format::Plain(_) => {
            return Err(format!("models are published in bf16, not {}", format.name()).into());
        }
        Format::Quantized(format) => {
            let packed = planes(shape, format)?;
            options.with_quantize(Some(Quantize::new(format).with_packed(Some(packed))))
        }
    };
    let source = Source {
        config: &config,
        weights: &weights,
        options: &options,
    };
    Ok(Registry::builtin().causal_lm(&source)?.model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::TINY;

    /// Every tensor is asked for by the model and every plane found, or loading fails: on the CPU, where numbers
    /// are the zeros that they are over.
    #[test]
    fn models_are_whole_without_a_file() {
        let device = Device::cpu();
        let int4 = "int4".parse().unwrap();
        for format in [Format::Plain(DType::Bf16), int4] {
            let model = load(&TINY, format, &device).unwrap();
            assert_eq!(model.info().vocab_size, TINY.vocab_size);
        }
        let Value::Object(config) = TINY.config() else {
            unreachable!()
        };
        let packed = planes(&TINY, QuantFormat::Int8).unwrap();
        let quantize = Quantize::new(QuantFormat::Int8).with_packed(Some(packed));
        let options = LoadOptions::default().with_quantize(Some(quantize));
        let source = Source {
            config: &PretrainedConfig::from_map(config).unwrap(),
            weights: &checkpoint(&TINY).unwrap(),
            options: &options,
        };
        let loaded = Registry::builtin().causal_lm(&source).unwrap();
        let report = loaded.quantized.unwrap();
        assert!(report.made.is_empty(), "{:?}", report.made.first());
        // Seven matrices a layer, and the head.
        assert_eq!(report.matrices, 7 * TINY.num_hidden_layers + 1);
        assert!(loaded.accounting.unread.is_empty());
    }

    #[test]
    fn bytes_are_those_of_numbers_and_scales() {
        let shape = [64, 256];
        assert_eq!(Format::Plain(DType::Bf16).bytes(shape), 2 * 64 * 256);
        let int4: Format = "int4-128".parse().unwrap();
        assert_eq!(int4.bytes(shape), 64 * 256 / 2 + 64 * 2 * 2);
        assert_eq!(int4.of_head().bytes(shape), 64 * 256 + 64 * 4);
        assert!("int5".parse::<Format>().is_err());
    }
}
