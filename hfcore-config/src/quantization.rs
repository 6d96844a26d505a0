//! `quantization_config`: how the weights in the checkpoint are stored.
//!
//! Typed for the methods whose layout is known (`quantizers/auto.py`, `utils/quantization_config.py`, transformers
//! 5.23). A method that is not known here is kept by name, so that the loader can refuse it by name: quantized
//! weights are never taken for plain ones.

use serde_json::{Map, Value};

use crate::error::{Problem, found};
use crate::json::{integer, object};

/// A `quantization_config`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QuantizationConfig {
    /// `quant_method`, with its fields.
    pub method: QuantizationMethod,
    /// Modules whose weights are not quantized: `modules_to_not_convert`, `llm_int8_skip_modules` or `ignore`.
    pub modules_to_not_convert: Vec<String>,
    /// The object as it is in the file.
    pub raw: Map<String, Value>,
}

/// The methods, with what is needed to read their tensors.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum QuantizationMethod {
    /// `gptq`: `qweight`, `qzeros`, `scales`, `g_idx`.
    Gptq {
        /// Bits of one weight: 2, 3, 4 or 8.
        bits: usize,
        /// Input rows that share a scale; `None` (in the file -1): all of them.
        group_size: Option<usize>,
        /// Whether rows were quantized in the order of their activation, so that `g_idx` is not a plain count.
        desc_act: bool,
        /// Whether zero points are left out.
        sym: bool,
        /// `gptq`, or `gptq_v2`, whose zero points are not stored minus one.
        checkpoint_format: String,
    },
    /// `awq`: `qweight`, `qzeros`, `scales`.
    Awq {
        /// Bits of one weight: 4.
        bits: usize,
        /// Input rows that share a scale; `None` (in the file -1): all of them.
        group_size: Option<usize>,
        /// Whether there are zero points.
        zero_point: bool,
        /// The packing: `gemm`, `gemv`, ….
        version: String,
    },
    /// bitsandbytes `LLM.int8()`: `weight` in i8 with `SCB`.
    BitsAndBytes8bit,
    /// bitsandbytes with 4-bit blocks: `weight` in u8 with `absmax`, `quant_map`, ….
    BitsAndBytes4bit {
        /// `nf4` or `fp4`.
        quant_type: String,
        /// Whether the block scales are quantized themselves.
        use_double_quant: bool,
        /// The type in which bytes are stored: `uint8`.
        quant_storage: String,
    },
    /// `fp8` with one scale per block (`deepseek_v3`): `weight` with `weight_scale_inv`.
    Fp8 {
        /// Rows and columns of a block; `None`: one scale per tensor.
        weight_block_size: Option<(usize, usize)>,
        /// `dynamic` or `static`.
        activation_scheme: String,
    },
    /// `mxfp4`: `*_blocks` and `*_scales` (gpt-oss).
    Mxfp4,
    /// `compressed-tensors`: the schemes are in [`QuantizationConfig::raw`] under `config_groups`.
    CompressedTensors {
        /// `pack-quantized`, `float-quantized`, ….
        format: String,
    },
    /// Any other method, by its name.
    Other(String),
}

impl QuantizationMethod {
    /// The name as transformers has it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Gptq { .. } => "gptq",
            Self::Awq { .. } => "awq",
            Self::BitsAndBytes8bit => "bitsandbytes_8bit",
            Self::BitsAndBytes4bit { .. } => "bitsandbytes_4bit",
            Self::Fp8 { .. } => "fp8",
            Self::Mxfp4 => "mxfp4",
            Self::CompressedTensors { .. } => "compressed-tensors",
            Self::Other(name) => name,
        }
    }
}

impl QuantizationConfig {
    /// Reads `quantization_config` (in some files `compression_config`) of a `config.json`.
    pub(crate) fn from_config(
        config: &Map<String, Value>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let present =
            |key: &'static str| Some((key, config.get(key).filter(|value| !value.is_null())?));
        let (key, value) =
            present("quantization_config").or_else(|| present("compression_config"))?;
        let Some(raw) = object(value) else {
            problems.push(Problem::new(
                key,
                format!("expected an object, found {}", found(value)),
            ));
            return None;
        };
        Some(Self::read(key, raw, problems))
    }

    fn read(key: &str, raw: &Map<String, Value>, problems: &mut Vec<Problem>) -> Self {
        let mut fields = Fields { key, raw, problems };
        let method = fields.method();
        let mut modules_to_not_convert = Vec::new();
        for list in ["modules_to_not_convert", "llm_int8_skip_modules", "ignore"] {
            modules_to_not_convert.extend(fields.texts(list));
        }
        Self {
            method,
            modules_to_not_convert,
            raw: raw.clone(),
        }
    }
}

struct Fields<'a> {
    key: &'a str,
    raw: &'a Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    fn method(&mut self) -> QuantizationMethod {
        let four = self.flag("load_in_4bit", false);
        let eight = self.flag("load_in_8bit", false);
        let name = self.text("quant_method", "");
        // Files from before `quant_method` are bitsandbytes'. With it, bitsandbytes writes both flags.
        match name.as_str() {
            "bitsandbytes" | "bitsandbytes_4bit" | "bitsandbytes_8bit" | "" if four || eight => {
                if four {
                    QuantizationMethod::BitsAndBytes4bit {
                        quant_type: self.text("bnb_4bit_quant_type", "fp4"),
                        use_double_quant: self.flag("bnb_4bit_use_double_quant", false),
                        quant_storage: self.text("bnb_4bit_quant_storage", "uint8"),
                    }
                } else {
                    QuantizationMethod::BitsAndBytes8bit
                }
            }
            "" => {
                self.problem(
                    "quant_method",
                    "is missing; expected the name of a quantization method",
                );
                QuantizationMethod::Other(String::new())
            }
            "gptq" => QuantizationMethod::Gptq {
                bits: self.bits(),
                group_size: self.group_size(),
                desc_act: self.flag("desc_act", false),
                sym: self.flag("sym", true),
                checkpoint_format: self.text("checkpoint_format", "gptq"),
            },
            "awq" => QuantizationMethod::Awq {
                bits: self.bits(),
                group_size: self.group_size(),
                zero_point: self.flag("zero_point", true),
                version: self.text("version", "gemm").to_lowercase(),
            },
            "fp8" => QuantizationMethod::Fp8 {
                weight_block_size: self.block_size(),
                activation_scheme: self.text("activation_scheme", "dynamic"),
            },
            "mxfp4" => QuantizationMethod::Mxfp4,
            "compressed-tensors" => QuantizationMethod::CompressedTensors {
                format: self.text("format", "dense"),
            },
            _ => QuantizationMethod::Other(name),
        }
    }

    fn problem(&mut self, field: &str, message: impl Into<String>) {
        let path = format!("{}.{field}", self.key);
        self.problems.push(Problem::new(path, message));
    }

    fn present(&self, field: &str) -> Option<&'a Value> {
        self.raw.get(field).filter(|value| !value.is_null())
    }

    fn expected(&mut self, field: &str, expected: &str, value: &Value) {
        self.problem(
            field,
            format!("expected {expected}, found {}", found(value)),
        );
    }

    fn text(&mut self, field: &str, default: &str) -> String {
        match self.present(field) {
            None => default.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                self.expected(field, "a string", other);
                default.to_owned()
            }
        }
    }

    fn flag(&mut self, field: &str, default: bool) -> bool {
        match self.present(field) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.expected(field, "true or false", other);
                default
            }
        }
    }

    fn texts(&mut self, field: &str) -> Vec<String> {
        let Some(value) = self.present(field) else {
            return Vec::new();
        };
        let items = value.as_array().and_then(|items| {
            let text = |item: &Value| item.as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<Vec<_>>>()
        });
        items.unwrap_or_else(|| {
            self.expected(field, "a list of strings", value);
            Vec::new()
        })
    }

    fn bits(&mut self) -> usize {
        let value = self.present("bits").or_else(|| self.present("w_bit"));
        let bits = value
            .and_then(integer)
            .and_then(|n| usize::try_from(n).ok());
        match bits {
            Some(bits @ 1..=8) => bits,
            _ => {
                let null = Value::Null;
                self.expected("bits", "a whole number from 1 to 8", value.unwrap_or(&null));
                4
            }
        }
    }

    /// -1 means one group for all rows.
    fn group_size(&mut self) -> Option<usize> {
        let value = self
            .present("group_size")
            .or_else(|| self.present("q_group_size"));
        let Some(value) = value else {
            return Some(128);
        };
        match integer(value) {
            Some(-1) => None,
            Some(n @ 1..=0x100_0000) => usize::try_from(n).ok(),
            _ => {
                self.expected(
                    "group_size",
                    "-1 or a whole number from 1 to 16777216",
                    value,
                );
                Some(128)
            }
        }
    }

    fn block_size(&mut self) -> Option<(usize, usize)> {
        let value = self.present("weight_block_size")?;
        let side = |value: &Value| {
            let side = integer(value).and_then(|n| usize::try_from(n).ok());
            side.filter(|n| (1..=1 << 20).contains(n))
        };
        let block = match value.as_array().map(Vec::as_slice) {
            Some([rows, columns]) => side(rows).zip(side(columns)),
            _ => None,
        };
        if block.is_none() {
            self.expected(
                "weight_block_size",
                "two whole numbers from 1 to 1048576",
                value,
            );
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> (Option<QuantizationConfig>, Vec<String>) {
        let config = Map::from_iter([("quantization_config".to_owned(), value)]);
        let mut problems = Vec::new();
        let quantization = QuantizationConfig::from_config(&config, &mut problems);
        (
            quantization,
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn the_methods_and_their_fields() {
        let method = |value| {
            let (config, problems) = read(value);
            assert!(problems.is_empty(), "{problems:?}");
            config.unwrap().method
        };
        assert_eq!(
            method(
                json!({"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": true, "sym": true})
            ),
            QuantizationMethod::Gptq {
                bits: 4,
                group_size: None,
                desc_act: true,
                sym: true,
                checkpoint_format: "gptq".into(),
            }
        );
        assert_eq!(
            method(
                json!({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "GEMM"})
            ),
            QuantizationMethod::Awq {
                bits: 4,
                group_size: Some(64),
                zero_point: true,
                version: "gemm".into(),
            }
        );
        // Before `quant_method` there were only these two.
        assert_eq!(
            method(json!({"load_in_8bit": true})),
            QuantizationMethod::BitsAndBytes8bit
        );
        let four = json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"});
        assert_eq!(method(four).name(), "bitsandbytes_4bit");
        assert_eq!(
            method(json!({"quant_method": "fp8", "weight_block_size": [128, 128]})),
            QuantizationMethod::Fp8 {
                weight_block_size: Some((128, 128)),
                activation_scheme: "dynamic".into(),
            }
        );
        assert_eq!(
            method(json!({"quant_method": "vptq"})),
            QuantizationMethod::Other("vptq".into())
        );
        let (config, _) =
            read(json!({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}));
        assert_eq!(config.unwrap().modules_to_not_convert, ["lm_head"]);
    }

    #[test]
    fn bad_fields_are_named() {
        for (value, problem) in [
            (json!("gptq"), "`quantization_config`: expected an object"),
            (json!({}), "`quantization_config.quant_method`: is missing"),
            (
                json!({"quant_method": 4}),
                "`quantization_config.quant_method`: expected a string",
            ),
            (
                json!({"quant_method": "gptq"}),
                "`quantization_config.bits`: expected",
            ),
            (
                json!({"quant_method": "gptq", "bits": 1e30}),
                "`quantization_config.bits`: expected",
            ),
            (
                json!({"quant_method": "awq", "bits": 4, "group_size": 0}),
                "`quantization_config.group_size`: expected",
            ),
            (
                json!({"quant_method": "fp8", "weight_block_size": [0, 1]}),
                "weight_block_size`: expected",
            ),
            (
                json!({"quant_method": "mxfp4", "ignore": 1}),
                "`quantization_config.ignore`: expected",
            ),
        ] {
            let (_, problems) = read(value.clone());
            assert!(
                problems.iter().any(|found| found.contains(problem)),
                "{value}: {problems:?}"
            );
        }
    }
}
