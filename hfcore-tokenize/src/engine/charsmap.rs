//! sentencepiece's precompiled character map, checked so that no text can walk out of it.
//!
//! Layout: `u32` length of the trie in bytes, the trie (a double array of `u32`, little-endian), then the
//! replacements, each ended by a zero byte. A leaf holds the byte offset of its replacement. The engine follows
//! offsets without looking; so every node that a text can reach is visited here once.

use std::collections::VecDeque;

use tokenizers::normalizers::Precompiled;

use crate::base64;
use crate::error::TokenizeError;

/// Longest replacement in bytes per byte that is replaced; in real maps 11 (U+FDFA).
pub(super) const GROWTH: usize = 32;

/// Decodes and checks a `precompiled_charsmap`.
pub(super) fn read(encoded: &str, at: &str) -> Result<Precompiled, TokenizeError> {
    let bytes = base64::decode(encoded).ok_or_else(|| {
        TokenizeError::invalid(at, "precompiled_charsmap is not base64 with padding")
    })?;
    check(&bytes).map_err(|problem| {
        TokenizeError::invalid(at, format!("precompiled_charsmap: {problem}"))
    })?;
    Precompiled::from(&bytes).map_err(|error| TokenizeError::invalid(at, error.to_string()))
}

/// The double array's unit, as darts-clone packs it.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        (self.0 >> 8) & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & (1 << 9)) >> 6)
    }
}

/// Whether every text stays inside; the error says where it would not.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or("shorter than its length field")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > rest.len() {
        return Err(format!(
            "the trie is said to have {length} bytes, but {} follow",
            rest.len()
        ));
    }
    let (trie, replacements) = rest.split_at(length / 4 * 4);
    let units: Vec<Unit> = trie
        .as_chunks::<4>()
        .0
        .iter()
        .map(|unit| Unit(u32::from_le_bytes(*unit)))
        .collect();
    let replacements =
        std::str::from_utf8(replacements).map_err(|_| "the replacements are not UTF-8")?;
    let root = units.first().ok_or("the trie is empty")?.offset();

    // Shortest way first, so that a node is met with the fewest bytes that lead to it.
    let mut seen = vec![false; units.len()];
    let mut open = VecDeque::from([(root, 1)]);
    while let Some((base, depth)) = open.pop_front() {
        // A text may continue with any byte, so all of `base ^ 0..=255` must be inside.
        if base | 0xff >= units.len() {
            return Err(format!("a node points to unit {base} of {}", units.len()));
        }
        if std::mem::replace(&mut seen[base], true) {
            continue;
        }
        for byte in 1..=255_u32 {
            let unit = units[base ^ byte as usize];
            if unit.label() != byte {
                continue;
            }
            let next = (base ^ byte as usize) ^ unit.offset();
            if unit.has_leaf() {
                let leaf = units
                    .get(next)
                    .ok_or_else(|| format!("a leaf lies at unit {next} of {}", units.len()))?;
                check_replacement(replacements, leaf.value(), depth)?;
            }
            open.push_back((next, depth + 1));
        }
    }
    Ok(())
}

/// `replaced`: bytes that it is put for.
fn check_replacement(replacements: &str, start: usize, replaced: usize) -> Result<(), String> {
    if !replacements.is_char_boundary(start) {
        return Err(format!(
            "a leaf points to byte {start} of {} bytes of replacements",
            replacements.len()
        ));
    }
    let rest = &replacements.as_bytes()[start..];
    let most = GROWTH.saturating_mul(replaced);
    if rest.len() > most && !rest[..=most].contains(&0) {
        return Err(format!(
            "the replacement at byte {start} is longer than {most} bytes, {GROWTH} for each that it is put for"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map with one entry, `byte` to `replacements[value..]`.
    fn map(byte: u8, value: u32, replacements: &[u8]) -> Vec<u8> {
        let mut units = vec![0_u32; 512];
        units[0] = 256 << 10; // the root's children lie at 256 ^ byte
        units[256 ^ usize::from(byte)] = (256 << 10) | (1 << 8) | u32::from(byte);
        units[usize::from(byte)] = value | 0x8000_0000; // the leaf, at (256 ^ byte) ^ 256
        let mut bytes = u32::try_from(units.len() * 4)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend_from_slice(replacements);
        bytes
    }

    #[test]
    fn a_sound_map_is_accepted_and_used() {
        let bytes = map(b'a', 2, b"x\0yz\0");
        // 'a' has a child base at unit 97, whose block is inside.
        assert_eq!(check(&bytes), Ok(()));
        assert_eq!(
            Precompiled::from(&bytes).unwrap().transform("a"),
            Some("yz")
        );
    }

    #[test]
    fn unsound_maps_are_refused() {
        let refused = |bytes: &[u8]| check(bytes).unwrap_err();
        assert_eq!(refused(b"ab"), "shorter than its length field");
        assert_eq!(
            refused(&[0xff; 8]),
            "the trie is said to have 4294967295 bytes, but 4 follow"
        );
        assert_eq!(refused(&[0; 4]), "the trie is empty");
        assert_eq!(
            refused(&map(b'a', 9, b"x\0")),
            "a leaf points to byte 9 of 2 bytes of replacements"
        );
        assert_eq!(
            refused(&map(b'a', 1, "é\0".as_bytes())),
            "a leaf points to byte 1 of 3 bytes of replacements"
        );
        assert_eq!(
            refused(&map(b'a', 0, &[b'x'; 40])),
            "the replacement at byte 0 is longer than 32 bytes, 32 for each that it is put for"
        );
        assert_eq!(
            refused(&map(b'a', 0, &[0xff])),
            "the replacements are not UTF-8"
        );
        let mut root = map(b'a', 0, b"x\0");
        root[4..8].copy_from_slice(&(600_u32 << 10).to_le_bytes());
        assert_eq!(refused(&root), "a node points to unit 600 of 512");
    }
}
