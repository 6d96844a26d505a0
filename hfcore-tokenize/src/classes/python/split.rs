//! Finding added tokens in a text as the Python backend of transformers does (`Trie` of `tokenization_python.py`).
//!
//! It takes the longest token mostly, but not where matches overlap; so its steps are followed one by one.

use std::collections::HashMap;

/// The texts of tokens as a tree of characters.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    next: HashMap<char, usize>,
    /// Whether a token ends here.
    ends: bool,
}

impl Splitter {
    pub(super) fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let mut nodes = vec![Node::default()];
        for token in tokens.into_iter().filter(|token| !token.is_empty()) {
            let mut at = 0;
            for c in token.chars() {
                let new = nodes.len();
                let next = *nodes[at].next.entry(c).or_insert(new);
                if next == new {
                    nodes.push(Node::default());
                }
                at = next;
            }
            nodes[at].ends = true;
        }
        Self { nodes }
    }

    fn step(&self, node: usize, c: char) -> Option<usize> {
        self.nodes[node].next.get(&c).copied()
    }

    /// The parts of a text, in order and none empty, as places of characters.
    pub(super) fn split(&self, text: &[char]) -> Vec<(usize, usize)> {
        let mut cuts = vec![0];
        // Where each match in progress began, and the node that it is at.
        let mut states: Vec<(usize, usize)> = Vec::new();
        let mut skip = 0;
        for (current, &c) in text.iter().enumerate() {
            if current < skip {
                continue;
            }
            let mut failed = Vec::new();
            let mut found = None;
            for index in 0..states.len() {
                let (start, node) = states[index];
                if self.nodes[node].ends {
                    let (place, after) = self.longest(&states, start, current, text);
                    skip = after.unwrap_or(skip);
                    found = Some(place);
                    break;
                } else if let Some(next) = self.step(node, c) {
                    states[index].1 = next;
                } else {
                    failed.push(start);
                }
            }
            if let Some((start, end)) = found {
                cuts.extend([start, end]);
                states.clear();
            } else {
                states.retain(|(start, _)| !failed.contains(start));
            }
            if current >= skip
                && let Some(node) = self.step(0, c)
            {
                states.push((current, node));
            }
        }
        let last = states.iter().find(|&&(_, node)| self.nodes[node].ends);
        if let Some(&(start, _)) = last {
            cuts.extend([start, text.len()]);
        }
        cuts.push(text.len());
        let mut parts = Vec::new();
        let mut start = 0;
        for end in cuts {
            // One before the last cut is left out, as it is there.
            if start < end {
                parts.push((start, end));
                start = end;
            }
        }
        parts
    }

    /// A token that began at `start` ends before `current`: the longest one from there or from an earlier beginning,
    /// and up to where the text is done with, if a token ends at what was looked at.
    fn longest(
        &self,
        states: &[(usize, usize)],
        mut start: usize,
        current: usize,
        text: &[char],
    ) -> ((usize, usize), Option<usize>) {
        let mut end = current;
        let mut skip = None;
        for &(begin, mut node) in states {
            if begin > start {
                break;
            }
            // Those that began earlier have taken the current character already.
            let mut at = if begin < start { current + 1 } else { current };
            end = at;
            if self.nodes[node].ends {
                (start, end, skip) = (begin, at, Some(at));
            }
            while let Some(next) = text.get(at).and_then(|&c| self.step(node, c)) {
                node = next;
                at += 1;
                if self.nodes[node].ends {
                    (start, end, skip) = (begin, at, Some(at));
                }
            }
        }
        ((start, end), skip)
    }
}
