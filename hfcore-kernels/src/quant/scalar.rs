//! Products with quantized matrices in plain Rust: the definition that all others are held to.

use super::format::LINE;
use super::kernels::{Kernels, Pass, Peak, Tile, passes};
use super::quantized::Panel;

pub(super) static KERNELS: Kernels = Kernels {
    int8: passes!(int8: 1 x 1 2 x 1 4 x 1),
    int4: passes!(int4: 1 x 1 2 x 1 4 x 1),
    peak: Peak {
        products: LINE,
        run: peak,
    },
};

/// See [`Pass::run`].
fn int8<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let words = tile.words.as_chunks::<R>().0;
    for (panel, out) in panels.iter().zip(out.as_chunks_mut::<R>().0) {
        let mut sums = [[0; 16]; R];
        for (line, words) in panel.values.as_chunks::<LINE>().0.iter().zip(words) {
            add_products(&mut sums, &line.map(u8::cast_signed), words);
        }
        let scales = panel.scales.as_chunks::<4>().0;
        for r in 0..R {
            for o in 0..16 {
                let scale = tile.scales[r] * f32::from_le_bytes(scales[o]);
                out[r][o] = sums[r][o] as f32 * scale;
            }
        }
    }
}

/// See [`Pass::run`].
fn int4<const R: usize, const P: usize>(
    panels: &[Panel<'_>],
    tile: &Tile<'_>,
    out: &mut [[f32; 16]],
) {
    let group = tile.group / 2;
    for (panel, out) in panels.iter().zip(out.as_chunks_mut::<R>().0) {
        *out = [[0.0; 16]; R];
        let words = tile.words.as_chunks::<R>().0.as_chunks::<2>().0;
        let lines = panel.values.as_chunks::<LINE>().0;
        let groups = words.chunks_exact(group).zip(lines.chunks_exact(group));
        for (g, (words, lines)) in groups.enumerate() {
            let mut sums = [[0; 16]; R];
            for ([low, high], line) in words.iter().zip(lines) {
                add_products(&mut sums, &line.map(|q| (q & 15).cast_signed() - 8), low);
                add_products(&mut sums, &line.map(|q| (q >> 4).cast_signed() - 8), high);
            }
            let scales = &panel.scales.as_chunks::<2>().0[16 * g..];
            for r in 0..R {
                for o in 0..16 {
                    let scale = f32::from_bits(u32::from(u16::from_le_bytes(scales[o])) << 16);
                    let scale = tile.scales[g * R + r] * scale;
                    out[r][o] = (sums[r][o] as f32).mul_add(scale, out[r][o]);
                }
            }
        }
    }
}

/// Four inputs of sixteen outputs times those of `R` rows.
#[inline(always)]
fn add_products<const R: usize>(sums: &mut [[i32; 16]; R], line: &[i8; LINE], words: &[i32; R]) {
    for (sums, word) in sums.iter_mut().zip(words) {
        let x = word.to_le_bytes().map(|x| i32::from(x.cast_signed()));
        for (sum, q) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
            for i in 0..4 {
                *sum = sum.wrapping_add(x[i] * i32::from(q[i]));
            }
        }
    }
}

/// See [`Peak::run`].
fn peak(rounds: usize, word: i32) -> f32 {
    let line = [word.to_le_bytes()[0].cast_signed(); LINE];
    let mut sums = [[word; 16]];
    for round in 0..rounds {
        let word = i32::from_le_bytes([round.to_le_bytes()[0]; 4]);
        add_products(&mut sums, &line, &[word]);
    }
    sums.as_flattened()
        .iter()
        .fold(0, |a: i32, b| a.wrapping_add(*b)) as f32
}
