//! Which of many byte strings a text begins with.

/// Strings with a number each, as a tree of bytes whose nodes lie level by level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// The last byte of each node's string: those of one node's children are next to each other, in order.
    labels: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first child; the others follow.
    children: u32,
    count: u16,
    /// Whether `value` is one.
    ends: bool,
    value: u32,
}

impl Trie {
    /// The last of equal strings counts.
    pub(crate) fn new<'a>(strings: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut sorted: Vec<(&[u8], u32)> = strings
            .into_iter()
            .map(|(string, value)| (string.as_bytes(), value))
            .collect();
        // Stable, so that equal strings stay in order.
        sorted.sort_by_key(|&(string, _)| string);
        let mut trie = Self::default();
        trie.push(0);
        // Of each node in turn: the strings below it, which are next to each other, and their common length.
        let mut open = std::collections::VecDeque::from([(0, 0..sorted.len(), 0)]);
        while let Some((node, mut range, depth)) = open.pop_front() {
            while range.start < range.end && sorted[range.start].0.len() == depth {
                trie.nodes[node].ends = true;
                trie.nodes[node].value = sorted[range.start].1;
                range.start += 1;
            }
            trie.nodes[node].children = index(trie.nodes.len());
            while range.start < range.end {
                let label = sorted[range.start].0[depth];
                let same =
                    sorted[range.clone()].partition_point(|(string, _)| string[depth] == label);
                open.push_back((trie.nodes.len(), range.start..range.start + same, depth + 1));
                trie.push(label);
                trie.nodes[node].count += 1;
                range.start += same;
            }
        }
        trie
    }

    fn push(&mut self, label: u8) {
        self.labels.push(label);
        self.nodes.push(Node {
            children: 0,
            count: 0,
            ends: false,
            value: 0,
        });
    }

    /// The lengths and numbers of the strings that `text` begins with, shortest first; not of the empty one.
    pub(crate) fn prefixes<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = (usize, u32)> + 't {
        let mut at = self.nodes.first();
        text.iter()
            .enumerate()
            .map_while(move |(depth, &byte)| {
                let node = at?;
                let first = node.children as usize;
                let labels = &self.labels[first..first + usize::from(node.count)];
                let found = if labels.len() <= 8 {
                    labels.iter().position(|&label| label == byte)
                } else {
                    labels.binary_search(&byte).ok()
                };
                at = found.map(|child| &self.nodes[first + child]);
                at.map(|node| (depth + 1, node))
            })
            .filter_map(|(length, node)| node.ends.then_some((length, node.value)))
    }
}

/// There are no more nodes than bytes in a file, and files have at most 256 MiB.
fn index(node: usize) -> u32 {
    u32::try_from(node).expect("fewer nodes than bytes in a file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_found_shortest_first() {
        let trie = Trie::new([
            ("ab", 1),
            ("a", 2),
            ("abcd", 3),
            ("é", 4),
            ("b", 5),
            ("ab", 6),
            ("", 7),
        ]);
        let found = |text: &str| trie.prefixes(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("abcx"), [(1, 2), (2, 6)]);
        assert_eq!(found("abcd"), [(1, 2), (2, 6), (4, 3)]);
        assert_eq!(found("éa"), [(2, 4)]);
        assert_eq!(found("x"), []);
        assert_eq!(found(""), []);
        assert_eq!(Trie::default().prefixes(b"a").count(), 0);
    }

    #[test]
    fn many_children_and_long_strings() {
        let all: Vec<String> = (0..300_u32)
            .map(|code| char::from_u32(code).unwrap().to_string().repeat(3))
            .collect();
        let trie = Trie::new(
            all.iter()
                .zip(0..)
                .map(|(string, value)| (string.as_str(), value)),
        );
        for (string, value) in all.iter().zip(0..) {
            let found: Vec<_> = trie.prefixes(string.as_bytes()).collect();
            assert_eq!(found, [(string.len(), value)]);
        }
        // A node per byte, and no recursion.
        let long = "x".repeat(1 << 20);
        assert_eq!(
            Trie::new([(long.as_str(), 9)])
                .prefixes(long.as_bytes())
                .next(),
            Some((1 << 20, 9))
        );
    }
}
