//! The element types of safetensors files (crate safetensors 0.8, `Dtype`).

use std::fmt;

/// How the elements of a tensor are stored, all little-endian.
///
/// A storage type: what arithmetic is done in is the business of whoever reads the bytes.
/// The order is safetensors' own, by rising alignment: a writer lays the largest out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DType {
    /// One byte, 0 or 1. The format does not enforce this: read it as `byte != 0`, never as Rust's `bool`.
    Bool,
    /// OCP MX 4-bit float (e2m1), two to a byte.
    F4,
    /// OCP MX 6-bit float, 2 exponent bits.
    F6E2M3,
    /// OCP MX 6-bit float, 3 exponent bits.
    F6E3M2,
    /// Unsigned 8-bit integer; also the container of packed formats (MXFP4 blocks, bitsandbytes).
    U8,
    /// Signed 8-bit integer.
    I8,
    /// 8-bit float, 5 exponent bits, with infinities.
    F8E5M2,
    /// 8-bit float, 4 exponent bits, finite only (PyTorch's `float8_e4m3fn`).
    F8E4M3,
    /// A power of two, 8 exponent bits: the scales of MX formats.
    F8E8M0,
    /// `float8_e4m3fnuz`: one zero, one NaN.
    F8E4M3Fnuz,
    /// `float8_e5m2fnuz`: one zero, one NaN.
    F8E5M2Fnuz,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an IEEE 754 single.
    BF16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// IEEE 754 single precision.
    F32,
    /// Two `F32`: real and imaginary part.
    C64,
    /// IEEE 754 double precision.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
}

impl DType {
    /// Every type, in safetensors' order.
    pub const ALL: [Self; 22] = [
        Self::Bool,
        Self::F4,
        Self::F6E2M3,
        Self::F6E3M2,
        Self::U8,
        Self::I8,
        Self::F8E5M2,
        Self::F8E4M3,
        Self::F8E8M0,
        Self::F8E4M3Fnuz,
        Self::F8E5M2Fnuz,
        Self::I16,
        Self::U16,
        Self::F16,
        Self::BF16,
        Self::I32,
        Self::U32,
        Self::F32,
        Self::C64,
        Self::F64,
        Self::I64,
        Self::U64,
    ];

    /// The name in a safetensors header: `"BF16"`, `"F8_E4M3"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::F4 => "F4",
            Self::F6E2M3 => "F6_E2M3",
            Self::F6E3M2 => "F6_E3M2",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::F8E5M2 => "F8_E5M2",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E8M0 => "F8_E8M0",
            Self::F8E4M3Fnuz => "F8_E4M3FNUZ",
            Self::F8E5M2Fnuz => "F8_E5M2FNUZ",
            Self::I16 => "I16",
            Self::U16 => "U16",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::F32 => "F32",
            Self::C64 => "C64",
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::U64 => "U64",
        }
    }

    /// The type of that name in a safetensors header.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bits of one element: 4, 6, 8, 16, 32 or 64.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::F4 => 4,
            Self::F6E2M3 | Self::F6E3M2 => 6,
            Self::Bool
            | Self::U8
            | Self::I8
            | Self::F8E5M2
            | Self::F8E4M3
            | Self::F8E8M0
            | Self::F8E4M3Fnuz
            | Self::F8E5M2Fnuz => 8,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 16,
            Self::I32 | Self::U32 | Self::F32 => 32,
            Self::C64 | Self::F64 | Self::I64 | Self::U64 => 64,
        }
    }

    /// Bytes of `elements` elements, or `None` where that overflows or does not end on a byte.
    #[must_use]
    pub fn byte_len(self, elements: usize) -> Option<usize> {
        let bits = elements.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// The alignment at which a typed load of one element is aligned, in bytes.
    #[must_use]
    pub const fn alignment(self) -> usize {
        match self {
            // A pair of f32.
            Self::C64 => 4,
            _ if self.bits() < 8 => 1,
            _ => self.bits() / 8,
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_round_trip() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_name(dtype.name()), Some(dtype));
            assert_eq!(DType::from_code(dtype.code()), Some(dtype));
        }
        assert_eq!(DType::from_name("f32"), None);
        assert_eq!(DType::from_code(22), None);
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(DType::BF16.byte_len(3), Some(6));
        assert_eq!(DType::F4.byte_len(3), None);
        assert_eq!(DType::F6E2M3.byte_len(4), Some(3));
        assert_eq!(DType::U64.byte_len(usize::MAX / 8), None);
    }
}
