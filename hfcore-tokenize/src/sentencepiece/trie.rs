//! A tree of byte strings: what stands at the beginning of a text, found byte by byte.

use std::ops::Range;

/// No value.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
pub(super) struct Trie {
    /// The root first; the children of a node lie side by side, by their byte.
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Node {
    first_child: u32,
    children: u16,
    value: u32,
}

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Trie {
    /// A tree of distinct keys with their values, which are below `u32::MAX`.
    pub(super) fn new<'a>(keys: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut keys: Vec<(&[u8], u32)> = keys
            .into_iter()
            .map(|(key, value)| (key.as_bytes(), value))
            .collect();
        keys.sort_unstable();
        let mut trie = Self::default();
        trie.push(0);
        // For each node in turn, the keys that lead through it and how much of them.
        let mut open: Vec<(Range<usize>, usize)> = vec![(0..keys.len(), 0)];
        let mut next = 0;
        while next < open.len() {
            let (mut range, depth) = open[next].clone();
            if let Some((key, value)) = keys.get(range.start)
                && !range.is_empty()
                && key.len() == depth
            {
                trie.nodes[next].value = *value;
                range.start += 1;
            }
            trie.nodes[next].first_child =
                u32::try_from(trie.nodes.len()).expect("a file has fewer bytes");
            while !range.is_empty() {
                let byte = keys[range.start].0[depth];
                let rest = &keys[range.clone()];
                let end = range.start + rest.partition_point(|(key, _)| key[depth] == byte);
                open.push((range.start..end, depth + 1));
                trie.push(byte);
                trie.nodes[next].children += 1;
                range.start = end;
            }
            next += 1;
        }
        trie
    }

    fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.nodes.push(Node {
            first_child: 0,
            children: 0,
            value: NONE,
        });
    }

    pub(super) fn root(&self) -> Place {
        Place(0)
    }

    /// The place after one more byte.
    pub(super) fn step(&self, place: Place, byte: u8) -> Option<Place> {
        let node = &self.nodes[place.0];
        let first = node.first_child as usize;
        let children = &self.bytes[first..first + usize::from(node.children)];
        let child = children.binary_search(&byte).ok()?;
        Some(Place(first + child))
    }

    /// The value of the key that ends here.
    pub(super) fn value(&self, place: Place) -> Option<u32> {
        Some(self.nodes[place.0].value).filter(|&value| value != NONE)
    }

    /// The length of the longest key that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut place = self.root();
        let mut longest = None;
        for (length, &byte) in text.iter().enumerate() {
            match self.step(place, byte) {
                Some(next) => place = next,
                None => break,
            }
            if self.value(place).is_some() {
                longest = Some(length + 1);
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_is_none() {
        let keys = ["a", "ab", "abcd", "b", "é", "éa", "▁"];
        let trie = Trie::new(keys.into_iter().zip(0..));
        let find = |text: &str| {
            let mut place = trie.root();
            for byte in text.bytes() {
                place = trie.step(place, byte)?;
            }
            trie.value(place)
        };
        for (key, value) in keys.into_iter().zip(0..) {
            assert_eq!(find(key), Some(value), "{key}");
        }
        for none in ["", "abc", "abcde", "c", "\u{e8}"] {
            assert_eq!(find(none), None, "{none}");
        }
        assert_eq!(trie.longest(b"abcx"), Some(2));
        assert_eq!(trie.longest(b"xab"), None);
        assert_eq!(Trie::new([]).longest(b"a"), None);
    }
}
