//! Random numbers from a seed, a stream and a count: Philox4x32-10.
//!
//! A counter-based generator: the `n`-th number is a function of `(seed, stream, n)` and of nothing
//! else, so what a sequence draws does not depend on its neighbours, on threads or on the machine.
//!
//! Salmon, Moraes, Dror, Shaw: *Parallel Random Numbers: As Easy as 1, 2, 3* (SC 2011). Also torch's
//! generator on CUDA. The known answers below are those of the authors' Random123 library.

/// The numbers of one stream of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
    count: u64,
}

impl Philox {
    /// The beginning of `stream` of `seed`.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        Self {
            key: halves(seed),
            stream: halves(stream),
            count: 0,
        }
    }

    /// The next number, uniform in `(0, 1)`: 52 random bits and a half, never 0 and never 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact in f64")]
    pub(crate) fn uniform(&mut self) -> f64 {
        self.fraction() as f64 * 2f64.powi(-64)
    }

    /// The same number in units of 2^-64.
    pub(crate) fn fraction(&mut self) -> u64 {
        let [a, b] = halves(self.count);
        self.count += 1;
        let [x, y, ..] = philox([a, b, self.stream[0], self.stream[1]], self.key);
        let bits = (u64::from(y) << 32 | u64::from(x)) >> 12;
        (bits << 12) | (1 << 11)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of a word")]
const fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// Ten rounds on one counter.
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [lo0, hi0] = halves(0xD251_1F53 * u64::from(c[0]));
        let [lo1, hi1] = halves(0xCD9E_8D57 * u64::from(c[2]));
        c = [hi1 ^ c[1] ^ key[0], lo1, hi0 ^ c[3] ^ key[1], lo0];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_is_uniform_and_streams_differ() {
        let mut random = Philox::new(7, 0);
        let mean = (0..10_000).map(|_| random.uniform()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert_eq!(Philox::new(7, 1).uniform(), Philox::new(7, 1).uniform());
        assert_ne!(Philox::new(7, 1).uniform(), Philox::new(7, 0).uniform());
        assert_ne!(Philox::new(8, 0).uniform(), Philox::new(7, 0).uniform());
        let (uniform, fraction) = (Philox::new(9, 3).uniform(), Philox::new(9, 3).fraction());
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact in f64")]
        let fraction = fraction as f64;
        assert_eq!(uniform * 2f64.powi(64), fraction);
    }
}
