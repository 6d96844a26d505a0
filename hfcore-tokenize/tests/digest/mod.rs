//! The digest that `make_usage.py` gives JSON: `BLAKE2b` of 8 bytes over Python's `json.dumps(…, separators=(",", ":"))`.

use std::fmt::Write as _;

use serde_json::Value;

/// The digest of a value, written as Python writes it: ASCII, with `\u` for the rest.
pub(crate) fn of(value: &Value) -> String {
    let mut ascii = String::new();
    for char in value.to_string().chars() {
        match char {
            ' '..='~' => ascii.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(ascii, "\\u{unit:04x}").unwrap();
                }
            }
        }
    }
    of_bytes(ascii.as_bytes())
}

/// The digest of bytes, in hexadecimal.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in &blake2b(bytes)[..8] {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// `BLAKE2b` (RFC 7693) with a digest of 8 bytes, without a key.
fn blake2b(bytes: &[u8]) -> [u8; 64] {
    let mut h = IV;
    h[0] ^= 0x0101_0000 ^ 8;
    let blocks = bytes.len().div_ceil(128).max(1);
    for index in 0..blocks {
        let from = index * 128;
        let part = &bytes[from..bytes.len().min(from + 128)];
        let mut block = [0_u8; 128];
        block[..part.len()].copy_from_slice(part);
        let last = index + 1 == blocks;
        compress(&mut h, &block, (from + part.len()) as u128, last);
    }
    let mut digest = [0; 64];
    for (bytes, word) in digest.chunks_mut(8).zip(h) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn compress(h: &mut [u64; 8], block: &[u8; 128], count: u128, last: bool) {
    let m: Vec<u64> = block
        .chunks(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let mut v = [0; 16];
    v[..8].copy_from_slice(h);
    v[8..].copy_from_slice(&IV);
    v[12] ^= u64::try_from(count & u128::from(u64::MAX)).unwrap();
    if last {
        v[14] = !v[14];
    }
    let mut mix = |a: usize, b: usize, c: usize, d: usize, x: u64, y: u64| {
        v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
        v[d] = (v[d] ^ v[a]).rotate_right(32);
        v[c] = v[c].wrapping_add(v[d]);
        v[b] = (v[b] ^ v[c]).rotate_right(24);
        v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
        v[d] = (v[d] ^ v[a]).rotate_right(16);
        v[c] = v[c].wrapping_add(v[d]);
        v[b] = (v[b] ^ v[c]).rotate_right(63);
    };
    for round in 0..12 {
        let s = &SIGMA[round % 10];
        mix(0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for at in 0..8 {
        h[at] ^= v[at] ^ v[at + 8];
    }
}
