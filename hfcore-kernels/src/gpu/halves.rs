//! Numbers as halves, which is what hardware multiplies matrices of.
//!
//! A half has 11 bits and a range of 2^-14 to 2^16 in full precision. A matrix is brought to the top of it by one power
//! of two, as it is read: its largest number is then between 2^14 and 2^15. So none overflows, and what becomes less
//! than 2^-14 was less than 2^-28 of the largest; its error, if all of it were lost, is less than that of adding it to
//! a sum in `f32`.
//!
//! | weights | as halves |
//! |---|---|
//! | f16 | themselves |
//! | bf16, times a power of two | exact: 8 bits |
//! | int8, whole numbers up to 127 | exact; their scales are for the sums |
//! | int4, a whole number from -8 to 7 times a bf16, times a power of two | exact: 3 bits times 8 |

use half::bf16;

use crate::{DType, QuantFormat};

use super::weights::Format;

/// How a matrix becomes halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halves {
    /// The power of two that its numbers are multiplied with.
    pub(crate) exponent: i32,
}

/// Bits that a scale of int4 can be multiplied with, at most 8, in binary places.
const INT4_PLACES: i32 = 3;

impl Halves {
    /// Of a matrix in `dtype` with these bytes; `None`, if not all of it can be halves: numbers in `f32` are not, and no
    /// matrix is that has infinities or what is no number.
    pub(crate) fn of_plain(dtype: DType, bytes: &[u8]) -> Option<Self> {
        let most = most(bytes);
        match dtype {
            DType::F16 => (most < 0x7c00).then_some(Self { exponent: 0 }),
            DType::Bf16 => Self::of_bf16(most, 0),
            DType::F32 => None,
        }
    }

    /// Of a matrix in `format` with these scales.
    pub(crate) fn of_quantized(format: QuantFormat, scales: &[u8]) -> Option<Self> {
        match format {
            QuantFormat::Int8 => Some(Self { exponent: 0 }),
            QuantFormat::Int4(_) => Self::of_bf16(most(scales), INT4_PLACES),
        }
    }

    /// Of a matrix whose largest number is this.
    pub(crate) fn of_size(format: Format, largest: f32) -> Option<Self> {
        match format {
            Format::Plain(DType::F32) => None,
            Format::Plain(DType::F16) | Format::Quantized(QuantFormat::Int8) => {
                Some(Self { exponent: 0 })
            }
            Format::Plain(DType::Bf16) | Format::Quantized(QuantFormat::Int4(_)) => {
                Self::of_bf16(bf16::from_f32(largest).to_bits(), 0)
            }
        }
    }

    /// Of numbers that have at most these bits of a `bf16`, and so many places before them.
    fn of_bf16(most: u16, places: i32) -> Option<Self> {
        // 127 more than the exponent.
        let biased = i32::from(most >> 7);
        (biased < 255).then(|| Self {
            exponent: (127 + 14 - biased - places).clamp(-126, 126),
        })
    }
}

/// The bits of the largest number of 16 bits, without its sign.
fn most(bytes: &[u8]) -> u16 {
    // A few at once, so that the compiler makes vectors of it.
    let mut most = [0_u16; 32];
    let (chunks, rest) = bytes.as_chunks::<64>();
    for chunk in chunks {
        for (most, bits) in most.iter_mut().zip(chunk.as_chunks::<2>().0) {
            *most = (*most).max(u16::from_le_bytes(*bits) & 0x7fff);
        }
    }
    let rest = rest.as_chunks::<2>().0.iter();
    rest.map(|bits| u16::from_le_bytes(*bits) & 0x7fff)
        .chain(most)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weight;

    fn of(dtype: DType, numbers: &[f32]) -> Option<i32> {
        let weight = Weight::from_f32(&[1, numbers.len()], numbers).to_dtype(dtype);
        Halves::of_plain(dtype, weight.bytes()).map(|halves| halves.exponent)
    }

    #[test]
    fn the_largest_number_comes_to_the_top_of_the_range() {
        // Each place of a vector, and those after the last.
        for at in [0, 1, 31, 32, 63, 64, 69] {
            for (largest, exponent) in [
                (0.5, 15),
                (-0.75, 15),
                (1.0, 14),
                (65536.0, -2),
                (-3e38, -113),
                (1e-30, 114),
                (1e-38, 126),
            ] {
                let mut numbers = vec![largest / 16.0; 70];
                numbers[at] = largest;
                assert_eq!(
                    of(DType::Bf16, &numbers),
                    Some(exponent),
                    "{largest} at {at}"
                );
                let top = f64::from(largest) * 2.0_f64.powi(exponent);
                assert!(
                    exponent == 126 || (2.0_f64.powi(14)..2.0_f64.powi(15)).contains(&top.abs())
                );
            }
        }
        assert_eq!(of(DType::Bf16, &[0.0; 3]), Some(126));
        assert_eq!(of(DType::F16, &[65504.0, -1e-6]), Some(0));
        assert_eq!(
            Halves::of_plain(DType::Bf16, &[]),
            Some(Halves { exponent: 126 })
        );
    }

    #[test]
    fn what_cannot_be_halves_is_none() {
        for dtype in [DType::Bf16, DType::F16] {
            for wrong in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                assert_eq!(of(dtype, &[1.0, wrong, 2.0]), None, "{dtype:?} {wrong}");
            }
        }
        assert_eq!(of(DType::F32, &[1.0]), None);
    }

    /// Eight times the largest scale is below 2^15.
    #[test]
    fn int4_has_room_for_its_whole_numbers() {
        let scale = bf16::from_f32(0.0117).to_le_bytes();
        let found = Halves::of_quantized("int4".parse().unwrap(), &scale).unwrap();
        let top = 8.0 * 0.0117 * 2.0_f64.powi(found.exponent);
        assert!((2.0_f64.powi(14)..2.0_f64.powi(15)).contains(&top), "{top}");
        let none = bf16::INFINITY.to_le_bytes();
        assert_eq!(Halves::of_quantized("int4".parse().unwrap(), &none), None);
    }
}
