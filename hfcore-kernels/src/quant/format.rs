//! The types a matrix is quantized to, and how they lie in memory.

use std::fmt;
use std::str::FromStr;

use super::QuantError;

/// Outputs of a panel: those whose weights lie side by side.
pub(super) const PANEL: usize = 16;
/// Bytes of a line, and what planes are aligned to where this crate makes them.
pub(super) const LINE: usize = 64;
/// The most inputs of a matrix: so many products of bytes fit into an `i32`.
pub(super) const MAX_INPUTS: usize = 1 << 17;

/// How the numbers of a [`Quantized`](super::Quantized) matrix are stored.
///
/// The names are `int8`, `int4`, `int4-64` and `int4-128`; see [`parse`](str::parse) and `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuantFormat {
    /// A byte for each weight, a scale for each output: `w ≈ scale[o] * q`, q in -127..=127.
    Int8,
    /// Half a byte for each weight, a scale for each group of inputs of an output:
    /// `w ≈ scale[o, i / group] * (q - 8)`, q in 0..=15.
    Int4(GroupSize),
}

/// Consecutive inputs that share a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupSize {
    /// 32: 4.5 bits a weight.
    #[default]
    G32,
    /// 64: 4.25 bits a weight.
    G64,
    /// 128: 4.125 bits a weight.
    G128,
}

impl GroupSize {
    /// The group of so many inputs: 32, 64 or 128.
    #[must_use]
    pub const fn new(inputs: usize) -> Option<Self> {
        match inputs {
            32 => Some(Self::G32),
            64 => Some(Self::G64),
            128 => Some(Self::G128),
            _ => None,
        }
    }

    /// Its number of inputs.
    #[must_use]
    pub const fn get(self) -> usize {
        match self {
            Self::G32 => 32,
            Self::G64 => 64,
            Self::G128 => 128,
        }
    }
}

/// The type of the numbers of a [`Plane`](super::Plane).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaneType {
    /// A signed byte.
    I8,
    /// An unsigned byte.
    U8,
    /// The upper half of an `f32`.
    Bf16,
    /// IEEE single precision.
    F32,
}

impl PlaneType {
    /// Bytes of one number.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// The name in a safetensors file: `I8`, `U8`, `BF16`, `F32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
        }
    }
}

/// What one of the planes of a matrix is: little-endian numbers, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaneLayout {
    /// `values` or `scales`.
    pub name: &'static str,
    /// The type of its numbers.
    pub element: PlaneType,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl PlaneLayout {
    /// Bytes of the plane.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.element.size()
    }
}

impl QuantFormat {
    /// The name in options and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int4(GroupSize::G32) => "int4",
            Self::Int4(GroupSize::G64) => "int4-64",
            Self::Int4(GroupSize::G128) => "int4-128",
        }
    }

    /// The planes of a matrix `[outputs, inputs]`: `values`, then `scales`.
    ///
    /// | | `values` | `scales` |
    /// |---|---|---|
    /// | int8 | `I8` `[O/16, I/4, 16, 4]` | `F32` `[O/16, 16]` |
    /// | int4 | `U8` `[O/16, I/8, 16, 4]` | `BF16` `[O/16, I/group, 16]` |
    ///
    /// O is rounded up to a multiple of 16, I to one of 64 (int8) or of the group (int4). The last two
    /// dimensions of `values` are a cache line: four (eight) consecutive inputs of each of sixteen
    /// consecutive outputs. In int4, a byte has input k in its lower half and k + 4 in its upper.
    ///
    /// # Errors
    /// If there are more than 131,072 inputs, or more numbers than memory.
    pub fn planes(self, [outputs, inputs]: [usize; 2]) -> Result<[PlaneLayout; 2], QuantError> {
        let too_large = || QuantError::TooLarge { outputs, inputs };
        if inputs > MAX_INPUTS {
            return Err(too_large());
        }
        // The largest size that any of the planes has, in bytes.
        (outputs.checked_next_multiple_of(PANEL))
            .and_then(|outputs| outputs.checked_mul(self.padded(inputs).max(4)))
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or_else(too_large)?;
        Ok(self.layout([outputs, inputs]))
    }

    /// [`planes`](Self::planes) of a matrix that is not too large.
    pub(super) fn layout(self, [outputs, inputs]: [usize; 2]) -> [PlaneLayout; 2] {
        let (panels, inputs) = (outputs.div_ceil(PANEL), self.padded(inputs));
        let plane = |name, element, shape: &[usize]| PlaneLayout {
            name,
            element,
            shape: shape.to_vec(),
        };
        match self {
            Self::Int8 => [
                plane("values", PlaneType::I8, &[panels, inputs / 4, PANEL, 4]),
                plane("scales", PlaneType::F32, &[panels, PANEL]),
            ],
            Self::Int4(group) => [
                plane("values", PlaneType::U8, &[panels, inputs / 8, PANEL, 4]),
                plane(
                    "scales",
                    PlaneType::Bf16,
                    &[panels, inputs / group.get(), PANEL],
                ),
            ],
        }
    }

    /// Inputs that share a scale of the activations, of `inputs` that are [`padded`](Self::padded): all,
    /// or a group.
    pub(super) const fn group(self, inputs: usize) -> usize {
        match self {
            Self::Int8 => inputs,
            Self::Int4(group) => group.get(),
        }
    }

    /// The inputs of a panel: a multiple of what one step of any kernel takes.
    pub(super) const fn padded(self, inputs: usize) -> usize {
        inputs.next_multiple_of(match self {
            Self::Int8 => 64,
            Self::Int4(group) => group.get(),
        })
    }

    /// Bytes of the values of a panel of `inputs` that are [`padded`](Self::padded).
    pub(super) const fn panel_bytes(self, inputs: usize) -> usize {
        match self {
            Self::Int8 => PANEL * inputs,
            Self::Int4(_) => PANEL * inputs / 2,
        }
    }

    /// Bytes of the scales of a panel of `inputs` that are [`padded`](Self::padded).
    pub(super) const fn panel_scale_bytes(self, inputs: usize) -> usize {
        match self {
            Self::Int8 => PANEL * 4,
            Self::Int4(group) => PANEL * 2 * (inputs / group.get()),
        }
    }
}

impl fmt::Display for QuantFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for QuantFormat {
    type Err = QuantError;

    fn from_str(name: &str) -> Result<Self, QuantError> {
        match name {
            "int8" => Ok(Self::Int8),
            "int4" | "int4-32" => Ok(Self::Int4(GroupSize::G32)),
            "int4-64" => Ok(Self::Int4(GroupSize::G64)),
            "int4-128" => Ok(Self::Int4(GroupSize::G128)),
            _ => Err(QuantError::UnknownFormat(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for group in [32, 64, 128] {
            let format = QuantFormat::Int4(GroupSize::new(group).unwrap());
            assert_eq!(format.name().parse::<QuantFormat>().unwrap(), format);
            assert_eq!(
                format!("int4-{group}").parse::<QuantFormat>().unwrap(),
                format
            );
        }
        assert_eq!("int8".parse::<QuantFormat>().unwrap(), QuantFormat::Int8);
        let error = "int5".parse::<QuantFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown quantization int5: int8, int4, int4-64 or int4-128 is expected"
        );
    }

    #[test]
    fn sizes_are_rounded_up_and_cannot_overflow() {
        let [values, scales] = QuantFormat::Int8.planes([17, 65]).unwrap();
        assert_eq!(values.shape, [2, 32, 16, 4]);
        assert_eq!(scales.shape, [2, 16]);
        assert_eq!((values.bytes_len(), scales.bytes_len()), (4096, 128));
        let int4 = QuantFormat::Int4(GroupSize::G32);
        let [values, scales] = int4.planes([17, 65]).unwrap();
        assert_eq!(values.shape, [2, 12, 16, 4]);
        assert_eq!(scales.shape, [2, 3, 16]);
        assert_eq!((values.bytes_len(), scales.bytes_len()), (1536, 192));
        for shape in [[1, MAX_INPUTS + 1], [usize::MAX, 4], [usize::MAX / 64, 64]] {
            assert!(QuantFormat::Int8.planes(shape).is_err(), "{shape:?}");
            assert!(int4.planes(shape).is_err(), "{shape:?}");
        }
    }
}
