//! Products with quantized matrices, written once for the vector instruction sets of x86-64.
//!
//! A line of a panel is loaded once for all rows of a tile, and four inputs of a row, one word, are spread over
//! a vector for all panels. Every lane is an output: nothing is ever added across a vector.
//!
//! On a Zen 4 core, of `vpdpbusd`'s 473 billion operations per second 387 are reached with int8 and 300 to 360
//! with int4, whose unpacking and folding of groups takes the rest:
//!
//! ```sh
//! HFCORE_THREADS=1 cargo bench -p hfcore-kernels --bench quant -- k,v m=128
//! ```

/// The kernels of an instruction set with vectors, [`Pass::run`] of both formats.
///
/// What differs between the sets is in functions of the file that calls this, compiled for `$features`.
/// `Sums` are sixteen `i32`, `Totals` sixteen `f32`.
///
/// * `splat(i32) -> Sums`; `zero() -> Totals`; `store(&mut [f32; 16], Totals)`
/// * `line8(&[u8; 64]) -> Line8`, and `dot8(Sums, &Line8, word: i32) -> Sums`: the products of four inputs are
///   added, with 128 times the inputs if `OFFSET8`
/// * `finish(Sums, scale: f32, scales: &[u8; 64]) -> Totals`: `f32(sums) * (scale * scales)`
/// * `halves(&[u8; 64]) -> [Half; 2]`, and `dot4(Part, &Half, word: i32) -> Part`: the products of four inputs
///   are added, with 8 times the inputs. At most eight times between `begin(Sums) -> Part` and
///   `end(Sums, Part) -> Sums`
/// * `fold(Totals, Sums, scale: f32, scales: &[u8; 32]) -> Totals`: `fma(f32(sums), scale * scales, totals)`
macro_rules! products {
    ($features:literal, $chains:literal) => {
        /// See [`Peak`].
        const PEAK: Peak = Peak {
            products: $chains * 64,
            run: peak,
        };

        /// See [`Peak::run`].
        #[target_feature(enable = $features)]
        fn peak(rounds: usize, word: i32) -> f32 {
            let mut lines = [line8(&[1; 64]); $chains];
            for (line, byte) in lines
                .iter_mut()
                .zip(word.cast_unsigned().to_le_bytes()[0]..)
            {
                *line = line8(&[byte; 64]);
            }
            let mut sums = [splat(word); $chains];
            for round in 0..rounds {
                let word = i32::from_le_bytes([round.to_le_bytes()[0]; 4]);
                for c in 0..$chains {
                    sums[c] = dot8(sums[c], &lines[c], word);
                }
            }
            let mut total = 0.0;
            for sums in sums {
                let mut out = [0.0; 16];
                store(&mut out, finish(sums, 1.0, &[0; 64]));
                total += out[0];
            }
            total
        }

        /// See [`Pass::run`].
        #[target_feature(enable = $features)]
        fn int8<const R: usize, const P: usize>(
            panels: &[Panel<'_>],
            tile: &Tile<'_>,
            out: &mut [[f32; 16]],
        ) {
            let panels: &[Panel<'_>; P] = panels.try_into().expect("as many as the table says");
            let words = tile.words.as_chunks::<R>().0;
            let mut lines = [[].as_slice(); P];
            for p in 0..P {
                lines[p] = &panels[p].values.as_chunks::<64>().0[..words.len()];
            }
            let mut sums = [[splat(0); R]; P];
            if OFFSET8 {
                for r in 0..R {
                    for p in 0..P {
                        sums[p][r] = splat(tile.offsets[r]);
                    }
                }
            }
            for (i, words) in words.iter().enumerate() {
                // Written as one function, so that the sums stay in registers.
                step8(&mut sums, |p| &lines[p][i], words);
            }
            for (p, out) in out.as_chunks_mut::<R>().0.iter_mut().take(P).enumerate() {
                let scales = panels[p].scales.first_chunk().expect("sixteen scales");
                for r in 0..R {
                    store(&mut out[r], finish(sums[p][r], tile.scales[r], scales));
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn step8<'a, const R: usize, const P: usize>(
            sums: &mut [[Sums; R]; P],
            line: impl Fn(usize) -> &'a [u8; 64],
            words: &[i32; R],
        ) {
            let mut lines = [line8(line(0)); P];
            for p in 1..P {
                lines[p] = line8(line(p));
            }
            for r in 0..R {
                for p in 0..P {
                    sums[p][r] = dot8(sums[p][r], &lines[p], words[r]);
                }
            }
        }

        /// See [`Pass::run`].
        #[target_feature(enable = $features)]
        fn int4<const R: usize, const P: usize>(
            panels: &[Panel<'_>],
            tile: &Tile<'_>,
            out: &mut [[f32; 16]],
        ) {
            let panels: &[Panel<'_>; P] = panels.try_into().expect("as many as the table says");
            let words = tile.words.as_chunks::<R>().0.as_chunks::<8>().0;
            let chunks = tile.group / 8;
            let groups = words.len() / chunks;
            let x_scales = &tile.scales.as_chunks::<R>().0[..groups];
            let offsets = &tile.offsets.as_chunks::<R>().0[..groups];
            let mut lines = [[].as_slice(); P];
            let mut scales = [[].as_slice(); P];
            for p in 0..P {
                lines[p] = &panels[p].values.as_chunks::<64>().0.as_chunks::<4>().0[..words.len()];
                scales[p] = &panels[p].scales.as_chunks::<32>().0[..groups];
            }
            let mut totals = [[zero(); R]; P];
            for g in 0..groups {
                let mut start = [splat(0); R];
                for r in 0..R {
                    start[r] = splat(offsets[g][r]);
                }
                let chunks = g * chunks..(g + 1) * chunks;
                if 2 * R * P <= 24 {
                    // All sums stay in registers: the panels advance together, line by line.
                    let mut sums = [start; P];
                    for chunk in chunks {
                        for p in 0..P {
                            step4(&mut sums[p], &lines[p][chunk], &words[chunk]);
                        }
                    }
                    for p in 0..P {
                        fold_all(&mut totals[p], &sums[p], &x_scales[g], &scales[p][g]);
                    }
                } else {
                    for p in 0..P {
                        let mut sums = start;
                        for chunk in chunks.clone() {
                            lines[p][chunk].iter().for_each(prefetch);
                            step4(&mut sums, &lines[p][chunk], &words[chunk]);
                        }
                        fold_all(&mut totals[p], &sums, &x_scales[g], &scales[p][g]);
                    }
                }
            }
            for (p, out) in out.as_chunks_mut::<R>().0.iter_mut().take(P).enumerate() {
                for r in 0..R {
                    store(&mut out[r], totals[p][r]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn fold_all<const R: usize>(
            totals: &mut [Totals; R],
            sums: &[Sums; R],
            x_scales: &[f32; R],
            scales: &[u8; 32],
        ) {
            for r in 0..R {
                totals[r] = fold(totals[r], sums[r], x_scales[r], scales);
            }
        }

        /// Thirty-two inputs.
        #[inline]
        #[target_feature(enable = $features)]
        fn step4<const R: usize>(
            sums: &mut [Sums; R],
            lines: &[[u8; 64]; 4],
            words: &[[i32; R]; 8],
        ) {
            let mut parts = [begin(sums[0]); R];
            for r in 1..R {
                parts[r] = begin(sums[r]);
            }
            for l in 0..4 {
                let [low, high] = halves(&lines[l]);
                for r in 0..R {
                    parts[r] = dot4(parts[r], &low, words[2 * l][r]);
                }
                for r in 0..R {
                    parts[r] = dot4(parts[r], &high, words[2 * l + 1][r]);
                }
            }
            for r in 0..R {
                sums[r] = end(sums[r], parts[r]);
            }
        }
    };
}
pub(super) use products;

/// Bytes of a stream that are asked for early, where much is done with what is read.
const AHEAD: usize = 2048;

/// Ask for what comes [`AHEAD`] bytes after a line.
#[inline]
pub(super) fn prefetch(line: &[u8; 64]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    let ahead = line.as_ptr().wrapping_add(AHEAD);
    // SAFETY: a hint, which is ignored where there is no memory.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
}
