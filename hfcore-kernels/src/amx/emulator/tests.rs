//! The emulator against plain arithmetic, and against the CPU where that knows the instructions.

use std::arch::asm;

use super::*;
use crate::amx::{Operand, TILE, Tiles, bf16_block, bf16_narrow, int8_block};
use crate::{Amx, Isa};

fn amx() -> Option<Amx> {
    Isa::tested().find_map(|isa| match isa {
        Isa::Amx(amx) => Some(amx),
        _ => None,
    })
}

/// Small whole numbers, of which products and sums are exact.
fn small(seed: usize, n: usize) -> Vec<i32> {
    (0..n)
        .map(|i| ((i * 37 + seed * 11 + i / 7) % 23) as i32 - 11)
        .collect()
}

fn bf16(number: i32) -> [u8; 2] {
    half::bf16::from_f32(number as f32).to_le_bytes()
}

/// `a` `[32, steps * group]` and `b` `[steps * group, 32]`, as tiles that lie one after the other.
fn operands(steps: usize, group: usize) -> (Vec<i32>, Vec<i32>) {
    let inputs = 16 * group * steps;
    (small(1, 32 * inputs), small(2, inputs * 32))
}

/// Tiles of both operands, `[steps, 2 tiles]`, with `group` numbers to a word.
fn tiles<const G: usize, const S: usize>(
    (a, b): &(Vec<i32>, Vec<i32>),
    steps: usize,
    bytes: impl Fn(i32) -> [u8; S],
) -> (Vec<u8>, Vec<u8>) {
    let inputs = 16 * G * steps;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for step in 0..steps {
        for tile in 0..2 {
            for row in 0..16 {
                for word in 0..16 {
                    for i in 0..G {
                        let input = step * 16 * G + word * G + i;
                        left.extend(bytes(a[(tile * 16 + row) * inputs + input]));
                        let input = step * 16 * G + row * G + i;
                        right.extend(bytes(b[input * 32 + tile * 16 + word]));
                    }
                }
            }
        }
    }
    (left, right)
}

fn exact((a, b): &(Vec<i32>, Vec<i32>), m: usize, n: usize) -> i32 {
    let inputs = a.len() / 32;
    (0..inputs).map(|k| a[m * inputs + k] * b[k * 32 + n]).sum()
}

fn operand(tiles: &[u8]) -> Operand {
    Operand {
        tiles: [tiles.as_ptr(), tiles[TILE..].as_ptr()],
        stride: ROW,
    }
}

const STEP: usize = 2 * TILE;

#[test]
fn blocks_multiply() {
    let Some(amx) = amx() else { return };
    for steps in [1, 2, 5] {
        let wide = operands(steps, 2);
        let (a, b) = tiles::<2, 2>(&wide, steps, bf16);
        let mut c = vec![1.0_f32; 32 * 40];
        let _tiles = Tiles::configure(amx);
        for (round, add) in [(1, false), (2, true)] {
            // SAFETY: as many tiles as steps, and 32 rows of 40 numbers.
            unsafe {
                bf16_block::<STEP, STEP>(
                    operand(&a),
                    operand(&b),
                    steps,
                    c.as_mut_ptr().cast(),
                    160,
                    add,
                );
            }
            for (i, found) in c.iter().enumerate() {
                let (m, n) = (i / 40, i % 40);
                let want = if n < 32 {
                    round * exact(&wide, m, n)
                } else {
                    1
                };
                assert_eq!(
                    *found, want as f32,
                    "{steps} steps, [{m}, {n}], adding {add}"
                );
            }
        }
        for (round, add) in [(1, false), (2, true)] {
            if !add {
                c.fill(7.0);
            }
            // SAFETY: as above, 16 numbers of a row.
            unsafe {
                bf16_narrow::<STEP, STEP>(
                    operand(&a),
                    operand(&b),
                    steps,
                    c.as_mut_ptr().cast(),
                    160,
                    add,
                );
            }
            for (i, found) in c.iter().enumerate() {
                let (m, n) = (i / 40, i % 40);
                let want = if n < 16 {
                    round * exact(&wide, m, n)
                } else {
                    7
                };
                assert_eq!(*found, want as f32, "{steps} steps, narrow, [{m}, {n}]");
            }
        }
        let bytes = operands(steps, 4);
        let (a, b) = tiles::<4, 1>(&bytes, steps, |n| (n as i8).to_le_bytes());
        let mut c = vec![5_i32; 32 * 32];
        // SAFETY: as many tiles as steps, and 32 rows of 32 numbers.
        unsafe {
            int8_block::<STEP, STEP>(
                operand(&a),
                operand(&b),
                steps,
                c.as_mut_ptr().cast(),
                128,
                true,
            );
        }
        for (i, found) in c.iter().enumerate() {
            assert_eq!(
                *found,
                5 + exact(&bytes, i / 32, i % 32),
                "{steps} steps of bytes"
            );
        }
    }
}

/// A configuration with tiles 0 (2 rows of 3 words), 1 (2 rows of 4) and 2 (4 rows of 3).
fn small_tiles() -> crate::amx::Configuration {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    for (tile, (rows, words)) in [(2, 3), (2, 4), (4, 3)].into_iter().enumerate() {
        bytes[16 + 2 * tile] = 4 * words;
        bytes[48 + tile] = rows;
    }
    crate::amx::Configuration(bytes)
}

/// One instruction on small tiles: what it leaves in 3 rows of 16 bytes.
macro_rules! on_small_tiles {
    ($instruction:literal, $a:expr, $b:expr, $c:expr) => {{
        let configuration = small_tiles();
        let (a, b, mut c): ([[u8; 16]; 2], [[u8; 12]; 4], [[u8; 16]; 3]) = ($a, $b, $c);
        // SAFETY: the operands are as large as the configuration says, in the forms of addresses
        // that compilers use: the index first, no index, upper registers, a displacement.
        unsafe {
            asm!(
                "ldtilecfg [r12]",
                "tileloadd tmm0, [{c} + {row}]",
                "tileloaddt1 tmm1, [r13 + r14*2 - 64]",
                "tileloadd tmm2, [{b} + {twelve} + 0x12345]",
                $instruction,
                "tilestored [{c} + {row}], tmm0",
                "tilerelease",
                in("r12") configuration.0.as_ptr(),
                in("r13") a.as_ptr().wrapping_byte_add(64),
                in("r14") 8_usize,
                b = in(reg) b.as_ptr().wrapping_byte_sub(0x12345),
                c = in(reg) c.as_mut_ptr(),
                row = in(reg) 16_usize,
                twelve = in(reg) 12_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _,
                options(nostack),
            );
        }
        c
    }};
}

#[test]
fn bytes_with_and_without_signs() {
    if amx().is_none() {
        return;
    }
    let mut a = [[0; 16]; 2];
    let mut b = [[0; 12]; 4];
    for (i, byte) in a.as_flattened_mut().iter_mut().enumerate() {
        *byte = (i * 53 + 100) as u8;
    }
    for (i, byte) in b.as_flattened_mut().iter_mut().enumerate() {
        *byte = (i * 71 + 3) as u8;
    }
    let found = [
        on_small_tiles!("tdpbssd tmm0, tmm1, tmm2", a, b, [[1; 16]; 3]),
        on_small_tiles!("tdpbsud tmm0, tmm1, tmm2", a, b, [[1; 16]; 3]),
        on_small_tiles!("tdpbusd tmm0, tmm1, tmm2", a, b, [[1; 16]; 3]),
        on_small_tiles!("tdpbuud tmm0, tmm1, tmm2", a, b, [[1; 16]; 3]),
    ];
    let number = |byte: u8, sign: bool| {
        if sign {
            i32::from(byte as i8)
        } else {
            byte.into()
        }
    };
    for (found, signs) in
        found
            .iter()
            .zip([[true, true], [true, false], [false, true], [false, false]])
    {
        for m in 0..3 {
            for n in 0..4 {
                let mut want = 0x0101_0101;
                for k in 0..if m < 2 && n < 3 { 16 } else { 0 } {
                    want += number(a[m][k], signs[0]) * number(b[k / 4][4 * n + k % 4], signs[1]);
                }
                let found = i32::from_le_bytes(*found[m].as_chunks::<4>().0[n..].first().unwrap());
                assert_eq!(found, want, "[{m}, {n}], signs {signs:?}");
            }
        }
    }
}

#[test]
fn denormal_numbers_are_zero_and_halves_are_summed_apart() {
    if amx().is_none() {
        return;
    }
    let pair = |even: f32, odd: f32| {
        let [a, b] = half::bf16::from_f32(even).to_le_bytes();
        let [c, d] = half::bf16::from_f32(odd).to_le_bytes();
        [a, b, c, d]
    };
    let mut a = [[0; 16]; 2];
    let mut b = [[0; 12]; 4];
    a[0][..4].copy_from_slice(&pair(1e-39, 1.0)); // denormal times large: nothing
    b[0][..4].copy_from_slice(&pair(1e38, 0.0));
    a[1][..4].copy_from_slice(&pair(1e-20, 1e-20)); // a product that is denormal: nothing
    b[0][4..8].copy_from_slice(&pair(1e-20, 0.0));
    let zeros = on_small_tiles!("tdpbf16ps tmm0, tmm1, tmm2", a, b, [[0; 16]; 3]);
    let at = |c: &[[u8; 16]; 3], m: usize, n: usize| f32::from_le_bytes(c[m].as_chunks::<4>().0[n]);
    assert_eq!(at(&zeros, 0, 0), 0.0);
    assert_eq!(at(&zeros, 1, 1), 0.0);
    // 2^24 + 1 is 2^24 in f32: with even and odd products apart, the two ones survive.
    let (mut a, mut b) = ([[0; 16]; 2], [[0; 12]; 4]);
    for (k, [even, odd]) in [[16_777_216.0, 1.0], [0.0, 1.0]].into_iter().enumerate() {
        a[0][4 * k..][..4].copy_from_slice(&pair(even, odd));
        b[k][..4].copy_from_slice(&pair(1.0, 1.0));
    }
    let sums = on_small_tiles!("tdpbf16ps tmm0, tmm1, tmm2", a, b, [[0; 16]; 3]);
    assert_eq!(at(&sums, 0, 0), 16_777_218.0);
    let zero = on_small_tiles!("tilezero tmm0", a, b, [[9; 16]; 3]);
    assert_eq!(zero[0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9]);
    assert_eq!(zero[2], [9; 16]);
}

/// The loops that kernels count, against the CPU's own counting.
#[test]
fn counting_is_that_of_the_cpu() {
    if amx().is_none() {
        return;
    }
    for (start, count) in [
        (0_u64, 1_u64),
        (u64::MAX - 40, 3),
        (i64::MAX as u64 - 100, 2),
        (77, 300),
    ] {
        let (mut emulated, mut rounds) = (start, 0_u64);
        let (flags_emulated, flags_found): (u64, u64);
        let mut found = start;
        // SAFETY: registers and the stack alone are used; the tiles are configured and released.
        unsafe {
            asm!(
                "ldtilecfg [{configuration}]",
                "2:",
                "tilezero tmm0",
                "add {emulated}, 8",
                "add {rounds}, 1000",
                "add {emulated}, -5",
                "dec {n}",
                "jnz 2b",
                "add {emulated}, 0x1234",
                "pushfq",
                "pop {flags}",
                "tilerelease",
                configuration = in(reg) small_tiles().0.as_ptr(),
                emulated = inout(reg) emulated,
                rounds = inout(reg) rounds,
                n = inout(reg) count => _,
                flags = out(reg) flags_emulated,
                out("tmm0") _,
            );
        }
        // SAFETY: as above.
        unsafe {
            asm!(
                "2:",
                "add {found}, 8",
                "add {found}, -5",
                "dec {n}",
                "jnz 2b",
                "add {found}, 0x1234",
                "pushfq",
                "pop {flags}",
                found = inout(reg) found,
                n = inout(reg) count => _,
                flags = out(reg) flags_found,
            );
        }
        assert_eq!((emulated, rounds), (found, 1000 * count));
        assert_eq!(flags_emulated, flags_found);
    }
}

/// What the CPU would refuse is not carried out: here, on tiles without a configuration.
#[test]
fn what_is_not_configured_is_refused() {
    if amx().is_none() {
        return;
    }
    let mut state = INITIAL;
    assert!(state.shape(0).is_none());
    assert!(multiply(&mut state, [0, 1, 2], bf16_row).is_none());
    state.shapes = [(16, 64); 8];
    assert!(multiply(&mut state, [0, 1, 2], bf16_row).is_some());
    assert!(multiply(&mut state, [0, 1, 1], bf16_row).is_none());
    assert!(multiply(&mut state, [8, 1, 2], bf16_row).is_none());
    state.shapes[2] = (15, 64);
    assert!(multiply(&mut state, [0, 1, 2], bf16_row).is_none());
}
