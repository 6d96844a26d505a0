//! What patterns ask about a character, in one byte-sized lookup: its general category, coarsely, and three more sets.
//!
//! The sets are those of regex-syntax (Unicode 16), so a known pattern and the general matcher agree. They are also those
//! of the library that Python's tokenizers uses, of which `tests/patterns.json` holds what it says of every character.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Upper case and title case: `\p{Lu}`, `\p{Lt}`.
pub(super) const UPPER: u16 = 1;
/// `\p{Ll}`.
pub(super) const LOWER: u16 = 1 << 1;
/// Letters without case: `\p{Lm}`, `\p{Lo}`.
pub(super) const UNCASED: u16 = 1 << 2;
/// `\p{M}`.
pub(super) const MARK: u16 = 1 << 3;
/// `\p{N}`.
pub(super) const NUMBER: u16 = 1 << 4;
/// `\s`.
pub(super) const SPACE: u16 = 1 << 5;
/// `\p{P}`.
pub(super) const PUNCTUATION: u16 = 1 << 6;
/// `\p{S}`.
pub(super) const SYMBOL: u16 = 1 << 7;
/// The script `\p{Han}`: letters, numbers, marks and symbols.
pub(super) const HAN: u16 = 1 << 8;
/// `\p{L}`.
pub(super) const LETTER: u16 = UPPER | LOWER | UNCASED;

/// Characters of one block share their high bits.
const BLOCK: usize = 256;

/// The sets of every character.
#[derive(Debug)]
pub(super) struct Classes {
    /// Of the first 128 characters, without a second step.
    ascii: [u16; 128],
    /// Which of `blocks` a character's high bits stand for.
    index: Vec<u16>,
    /// Equal blocks are there once.
    blocks: Vec<[u16; BLOCK]>,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::build);

impl Classes {
    pub(super) fn get() -> &'static Self {
        &CLASSES
    }

    /// The sets that the character `c` is in.
    #[inline]
    pub(super) fn of(&self, c: u32) -> u16 {
        match self.ascii.get(c as usize) {
            Some(&class) => class,
            None => self.blocks[usize::from(self.index[c as usize / BLOCK])][c as usize % BLOCK],
        }
    }

    fn build() -> Self {
        const SETS: [(&str, u16); 9] = [
            (r"[\p{Lu}\p{Lt}]", UPPER),
            (r"\p{Ll}", LOWER),
            (r"[\p{Lm}\p{Lo}]", UNCASED),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"\s", SPACE),
            (r"\p{P}", PUNCTUATION),
            (r"\p{S}", SYMBOL),
            (r"\p{Han}", HAN),
        ];
        let mut flat = vec![0_u16; char::MAX as usize + 1];
        for (source, bit) in SETS {
            let class = regex_syntax::parse(source).expect("a constant that a test parses");
            let HirKind::Class(Class::Unicode(class)) = class.kind() else {
                unreachable!("a class of characters is a class")
            };
            for range in class.ranges() {
                for slot in &mut flat[range.start() as usize..=range.end() as usize] {
                    *slot |= bit;
                }
            }
        }
        let mut blocks: Vec<[u16; BLOCK]> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let index = flat.as_chunks::<BLOCK>().0.iter().map(|block| {
            *known.entry(*block).or_insert_with(|| {
                blocks.push(*block);
                u16::try_from(blocks.len() - 1).expect("there are 4352 blocks at most")
            })
        });
        let index = index.collect();
        Self {
            ascii: std::array::from_fn(|c| flat[c]),
            index,
            blocks,
        }
    }
}

/// The character at byte `at` of a text, and the byte after it. The text is UTF-8 and `at` a boundary in it, so bytes are
/// taken as they are expected.
#[inline]
pub(super) fn decode(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = u32::from(*text.get(at)?);
    let rest = |i: usize| u32::from(text.get(at + i).copied().unwrap_or(0)) & 0x3f;
    Some(match first {
        0..0x80 => (first, at + 1),
        0x80..0xe0 => ((first & 0x1f) << 6 | rest(1), at + 2),
        0xe0..0xf0 => ((first & 0xf) << 12 | rest(1) << 6 | rest(2), at + 3),
        _ => (
            (first & 7) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3),
            at + 4,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_decoded() {
        let text = "aé漢🙂\u{10ffff}";
        let mut at = 0;
        for c in text.chars() {
            let (found, next) = decode(text.as_bytes(), at).unwrap();
            assert_eq!((found, next), (u32::from(c), at + c.len_utf8()));
            at = next;
        }
        assert_eq!(decode(text.as_bytes(), at), None);
    }

    #[test]
    fn a_class_is_what_the_general_matcher_says() {
        let sets = [
            (r"\p{L}", LETTER),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"\s", SPACE),
            (r"\p{P}", PUNCTUATION),
            (r"\p{S}", SYMBOL),
            (r"\p{Han}", HAN),
            (r"\p{Lu}|\p{Lt}", UPPER),
        ];
        let classes = Classes::get();
        for (source, bit) in sets {
            let regex = fancy_regex::Regex::new(source).unwrap();
            let mut buffer = [0; 4];
            for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
                let expected = regex.is_match(c.encode_utf8(&mut buffer)).unwrap();
                assert_eq!(
                    classes.of(u32::from(c)) & bit != 0,
                    expected,
                    "{source} {c:?}"
                );
            }
        }
    }
}
