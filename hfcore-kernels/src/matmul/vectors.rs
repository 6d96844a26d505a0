//! The kernels of instruction sets that have vectors of `f32` and fused multiplication and addition.
//!
//! They differ in how wide vectors are and how many registers there are, not in what is done with
//! them. A file for such a set, `avx2.rs` say, has small functions of the names below over its vector
//! type, invokes [`kernels`] and makes a table of what comes of it:
//!
//! | | |
//! |---|---|
//! | `zero() -> V`, `splat(f32) -> V` | |
//! | `load(&[f32; L]) -> V`, `store(&mut [f32; L], V)` | of `L` lanes; they need no alignment |
//! | `add(V, V) -> V`, `multiply_add(a: V, b: V, c: V) -> V` | `a * b + c`, rounded once |
//! | `sum(V) -> f32` | of the lanes, in whatever order is fast |
//! | `part_f32::<0>(&[u8; 4 * L]) -> V` | the numbers of a step of a weight |
//! | `part_f16::<H>(&[u8; 4 * L]) -> V` | its lower or upper half, widened |
//! | `part_bf16::<H>(&[u8; 4 * L]) -> V` | its numbers with an even or odd place, widened |
//! | `prefetch(&[u8; 4 * L])` | ask for what comes a little after a step |
//! | `square(&[f32], usize, &mut [f32], usize)` | transpose a square of `SQUARE` by `SQUARE` numbers; `from`, the distance of its rows, `to`, that of its |

/// The kernels, for `L` lanes: `dot_f32`, `dot_f16`, `dot_bf16` (see [`Pass`](super::kernels::Pass)),
/// and for tiles of `ROWS` rows `tile::<V>` of `V` vectors of columns, `arrange` and `transpose` (see
/// [`Tile`](super::kernels::Tile)).
///
/// Without squares, `arrange` and `transpose` are left to the file.
///
/// With more columns than `prefetch`, the processor's own prefetching is not enough: it stops at
/// pages, at which rows often begin, and multiplying takes the time that guessing would need.
macro_rules! kernels {
    (
        #[$features:meta]
        $vector:ty, $lanes:literal lanes, $rows:literal rows, squares of $square:literal,
        prefetch above $few:literal columns
    ) => {
        $crate::matmul::vectors::kernels!(
            #[$features]
            $vector, $lanes lanes, $rows rows, prefetch above $few columns
        );
        $crate::matmul::vectors::transpose!(#[$features] $square);
    };
    (
        #[$features:meta]
        $vector:ty, $lanes:literal lanes, $rows:literal rows, prefetch above $few:literal columns
    ) => {
        /// Bytes of a weight row in a step.
        const STEP: usize = 4 * $lanes;
        /// Rows of a weight in a tile.
        const ROWS: usize = $rows;

        $crate::matmul::vectors::dot!(#[$features] $vector, $lanes, $few, dot_f32, step_f32, part_f32: 1: 0);
        $crate::matmul::vectors::dot!(#[$features] $vector, $lanes, $few, dot_f16, step_f16, part_f16: 2: 0 1);
        $crate::matmul::vectors::dot!(#[$features] $vector, $lanes, $few, dot_bf16, step_bf16, part_bf16: 2: 0 1);

        $crate::matmul::vectors::tile!(#[$features] $vector, $lanes lanes, multiply_add);
    };
}
pub(super) use kernels;

/// A [`Pass`](super::kernels::Pass) for weights of which a step is so many vectors.
macro_rules! dot {
    (
        #[$features:meta] $vector:ty, $lanes:literal, $few:literal,
        $name:ident, $step:ident, $part:ident: $parts:literal: $($index:literal)*
    ) => {
        /// See [`Pass::run`].
        #[$features]
        fn $name<const R: usize, const M: usize>(rows: &[&[u8]], x: &[f32], out: &mut [f32]) {
            let rows: &[&[u8]; R] = rows.try_into().expect("as many rows as the table says");
            let steps = rows[0].len() / STEP;
            let mut weights = [[].as_slice(); R];
            for r in 0..R {
                weights[r] = &rows[r].as_chunks::<STEP>().0[..steps];
            }
            let x = x.as_chunks::<{ $lanes * $parts }>().0.as_chunks::<M>().0;
            let (whole, last) = x.split_at(steps);
            let mut sums = [[zero(); M]; R];
            for i in 0..steps {
                if M > $few {
                    weights.iter().for_each(|row| prefetch(&row[i]));
                }
                $step(&mut sums, |r| &weights[r][i], &whole[i]);
            }
            if rows[0].len() % STEP != 0 {
                let tails = tails::<R, STEP>(rows, steps * STEP);
                $step(&mut sums, |r| &tails[r], &last[0]);
            }
            for r in 0..R {
                for m in 0..M {
                    out[r * M + m] = sum(sums[r][m]);
                }
            }
        }

        #[inline]
        #[$features]
        fn $step<'a, const R: usize, const M: usize>(
            sums: &mut [[$vector; M]; R],
            weight: impl Fn(usize) -> &'a [u8; STEP],
            x: &[[f32; $lanes * $parts]; M],
        ) {
            // Written out, so that the sums stay in registers.
            $({
                let mut w = [zero(); R];
                for r in 0..R {
                    w[r] = $part::<$index>(weight(r));
                }
                for m in 0..M {
                    let x = load(&x[m].as_chunks::<$lanes>().0[$index]);
                    for r in 0..R {
                        sums[r][m] = multiply_add(w[r], x, sums[r][m]);
                    }
                }
            })*
        }
    };
}
pub(super) use dot;

/// `arrange` and `transpose` out of squares.
macro_rules! transpose {
    (#[$features:meta] $square:literal) => {
        /// See [`Tile::arrange`].
        #[$features]
        pub(super) fn arrange(
            x: &[f32],
            stride: usize,
            [rows, inputs]: [usize; 2],
            to: &mut [f32],
            width: usize,
        ) {
            // What comes of missing rows is not used, but what lies there could be slow to multiply,
            // as denormal numbers are.
            if rows < width {
                to.fill(0.0);
            } else {
                to[inputs * width..].fill(0.0);
            }
            transpose(x, stride, [rows, inputs], to, width);
        }

        /// See [`Tile::transpose`].
        #[$features]
        pub(super) fn transpose(
            from: &[f32],
            from_stride: usize,
            [rows, columns]: [usize; 2],
            to: &mut [f32],
            to_stride: usize,
        ) {
            for i in (0..rows).step_by($square) {
                for j in (0..columns).step_by($square) {
                    let (from, to) = (&from[i * from_stride + j..], &mut to[j * to_stride + i..]);
                    if i + $square <= rows && j + $square <= columns {
                        square(from, from_stride, to, to_stride);
                        continue;
                    }
                    for i in 0..(rows - i).min($square) {
                        for j in 0..(columns - j).min($square) {
                            to[j * to_stride + i] = from[i * from_stride + j];
                        }
                    }
                }
            }
        }
    };
}
pub(super) use transpose;

/// `tile::<V>`: a [`Tile::run`](super::kernels::Tile::run) for tiles of `ROWS` rows and `V` vectors of
/// columns, of words that the last function multiplies and adds.
macro_rules! tile {
    (#[$features:meta] $vector:ty, $lanes:literal lanes, $multiply_add:ident) => {
        /// See [`Tile::run`]; `V` vectors of columns.
        #[$features]
        fn tile<const V: usize>(
            w: &[f32],
            x: &[f32],
            steps: usize,
            tile: &mut [f32],
            add_to: bool,
        ) {
            let w = &w.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0[..steps];
            let x = &x
                .as_chunks::<$lanes>()
                .0
                .as_chunks::<V>()
                .0
                .as_chunks::<GROUP>()
                .0[..steps];
            let mut sums = [[zero(); V]; ROWS];
            for (w, x) in w.iter().zip(x) {
                for i in 0..GROUP {
                    rank_one(&mut sums, w, i, &x[i]);
                }
            }
            let tile = tile.as_chunks_mut::<$lanes>().0.as_chunks_mut::<V>().0;
            for r in 0..ROWS {
                for v in 0..V {
                    let before = if add_to { load(&tile[r][v]) } else { zero() };
                    store(&mut tile[r][v], add(before, sums[r][v]));
                }
            }
        }

        #[inline]
        #[$features]
        fn rank_one<const V: usize>(
            sums: &mut [[$vector; V]; ROWS],
            w: &[[f32; GROUP]; ROWS],
            i: usize,
            x: &[[f32; $lanes]; V],
        ) {
            let mut columns = [zero(); V];
            for v in 0..V {
                columns[v] = load(&x[v]);
            }
            for r in 0..ROWS {
                let w = splat(w[r][i]);
                for v in 0..V {
                    sums[r][v] = $multiply_add(w, columns[v], sums[r][v]);
                }
            }
        }
    };
}
pub(super) use tile;
