//! Conversions between widths of numbers that cannot fail on the platforms that are supported.

const _: () = assert!(
    usize::BITS >= 32 && usize::BITS <= 64,
    "only 32- and 64-bit platforms are supported"
);

#[allow(
    clippy::cast_possible_truncation,
    reason = "usize has at least 32 bits: asserted above"
)]
pub(crate) const fn usize_of(number: u32) -> usize {
    number as usize
}

pub(crate) const fn u64_of(number: usize) -> u64 {
    number as u64
}
