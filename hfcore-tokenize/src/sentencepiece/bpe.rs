//! Merging the two neighbours whose piece has the best score, the leftmost of equals (`bpe_model.cc`).

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::Pieces;

/// A piece in the making.
#[derive(Clone)]
struct Symbol {
    /// Empty once it was merged into the one before.
    range: Range<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    /// User-defined: never merged.
    frozen: bool,
}

/// Two neighbours that together are a piece.
struct Pair {
    left: usize,
    right: usize,
    score: f32,
    length: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        // Scores are finite; as in the original, the two zeros are equal.
        let score = self.score.partial_cmp(&other.score);
        score
            .unwrap_or(Ordering::Equal)
            .then(Reverse(self.left).cmp(&Reverse(other.left)))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

/// How a piece that is not to be used was made: the length of its left part.
type Made<'a> = HashMap<&'a str, usize>;

struct Merger<'a> {
    pieces: &'a Pieces,
    text: &'a str,
    symbols: Vec<Symbol>,
    agenda: BinaryHeap<Pair>,
    made: Made<'a>,
}

/// The pieces of a normalized text, by their bytes. `symbol` says how long the user-defined piece or character is that a
/// text begins with, and which of the two it is.
pub(super) fn encode(
    pieces: &Pieces,
    text: &str,
    symbol: impl Fn(&str) -> (usize, bool),
) -> Vec<(Range<usize>, u32)> {
    let mut symbols: Vec<Symbol> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (length, frozen) = symbol(&text[at..]);
        symbols.push(Symbol {
            range: at..at + length,
            previous: symbols.len().checked_sub(1),
            next: Some(symbols.len() + 1).filter(|_| at + length < text.len()),
            frozen,
        });
        at += length;
    }
    let mut merger = Merger {
        pieces,
        text,
        symbols,
        agenda: BinaryHeap::new(),
        made: HashMap::new(),
    };
    for right in 1..merger.symbols.len() {
        merger.consider(Some(right - 1), Some(right));
    }
    while let Some(pair) = merger.agenda.pop() {
        merger.merge(&pair);
    }
    let mut found = Vec::new();
    let mut next = (!merger.symbols.is_empty()).then_some(0);
    while let Some(index) = next {
        let symbol = &merger.symbols[index];
        // Taken apart again from the left, for as long as pieces are not to be used.
        let mut open = vec![symbol.range.clone()];
        while let Some(range) = open.pop() {
            let piece = &text[range.clone()];
            let id = pieces.id(piece);
            match merger.made.get(piece).filter(|_| pieces.is_unused(id)) {
                Some(left) => {
                    let middle = range.start + left;
                    open.extend([middle..range.end, range.start..middle]);
                }
                None => found.push((range, id)),
            }
        }
        next = symbol.next;
    }
    found
}

impl<'a> Merger<'a> {
    /// Puts a pair on the agenda, if it makes a piece.
    fn consider(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        let (first, second) = (&self.symbols[left], &self.symbols[right]);
        if first.frozen || second.frozen {
            return;
        }
        let text: &'a str = self.text;
        let piece = &text[first.range.start..second.range.end];
        let Some(id) = self.pieces.usable(piece) else {
            return;
        };
        if self.pieces.is_unused(id) {
            self.made.insert(piece, first.range.len());
        }
        self.agenda.push(Pair {
            left,
            right,
            score: self.pieces.score(id),
            length: piece.len(),
        });
    }

    fn merge(&mut self, pair: &Pair) {
        let (left, right) = (&self.symbols[pair.left], &self.symbols[pair.right]);
        if left.range.is_empty()
            || right.range.is_empty()
            || left.range.len() + right.range.len() != pair.length
        {
            return;
        }
        let (previous, next, end) = (left.previous, right.next, right.range.end);
        self.symbols[pair.right].range = end..end;
        self.symbols[pair.left].range.end = end;
        self.symbols[pair.left].next = next;
        if let Some(next) = next {
            self.symbols[next].previous = Some(pair.left);
        }
        self.consider(previous, Some(pair.left));
        self.consider(Some(pair.left), next);
    }
}
