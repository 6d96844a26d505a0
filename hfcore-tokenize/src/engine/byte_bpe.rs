//! Byte-level BPE from the text's own bytes to ids.
//!
//! The engine writes each byte as a printable character, keeps for every one of them where it came from, and merges the
//! characters' strings. Here the bytes stay where they are and only ids are merged; the tokens are the same, since each
//! character stands for one byte. Words that were seen are remembered, per thread that encodes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;

use ahash::AHashMap;

use super::MAX_VOCAB;
use super::model::Bpe;

/// Words with more bytes than this use a heap; a scan for the next merge is quadratic.
const SCANNED: usize = 48;
/// Longest word that is remembered, in bytes.
const REMEMBERED: usize = 64;
/// How many words are remembered before all are forgotten; with their ids about 4 MB.
const WORDS: usize = 1 << 15;
/// The rank of a pair that does not merge.
const NEVER: u32 = u32::MAX;

/// The tables of a byte-level BPE.
#[derive(Debug)]
pub(super) struct ByteBpe {
    /// The id of each byte alone.
    bytes: [u32; 256],
    /// Rank and merged id of a pair of ids.
    merges: AHashMap<(u32, u32), (u32, u32)>,
    /// Bytes and text of each token by id; zero for ids without.
    lengths: Vec<u32>,
    tokens: Vec<Box<str>>,
    /// Tokens by their text, where a word that is one is taken whole.
    whole: Option<AHashMap<Box<str>, u32>>,
    /// What encoders remember when none of them is at work.
    memories: Mutex<Vec<Memory>>,
}

/// Words seen, and room to work in.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Where in `ids` the ids of a word are.
    words: AHashMap<Box<[u8]>, (u32, u32)>,
    ids: Vec<u32>,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    text: String,
}

/// A token under way.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    id: u32,
    /// Rank and id of the merge with the next symbol.
    rank: u32,
    merged: u32,
    /// Neighbours by index; only for the heap.
    previous: u32,
    next: u32,
}

/// No neighbour.
const NONE: u32 = u32::MAX;
/// The id of a symbol that went into the one before.
const GONE: u32 = u32::MAX;

impl ByteBpe {
    /// The tables, where the model is one of bytes: no affixes, and every byte a token, so that nothing is unknown.
    pub(super) fn new(model: &Bpe) -> Option<Self> {
        let affix =
            |affix: &Option<String>| affix.as_deref().is_some_and(|affix| !affix.is_empty());
        if affix(&model.continuing_subword_prefix) || affix(&model.end_of_word_suffix) {
            return None;
        }
        let bound = model.vocab.iter().map(|&(_, id)| id as usize + 1).max()?;
        if bound > MAX_VOCAB {
            return None;
        }
        let mut ids = AHashMap::with_capacity(model.vocab.len());
        let (mut lengths, mut tokens) = (vec![0; bound], vec![Box::from(""); bound]);
        for (token, id) in &model.vocab {
            ids.insert(token.as_str(), *id);
            lengths[*id as usize] = u32::try_from(token.chars().count()).ok()?;
            tokens[*id as usize] = Box::from(token.as_str());
        }
        let mut bytes = [0; 256];
        let mut buffer = [0; 4];
        for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
            *id = *ids.get(&*byte_char(byte).encode_utf8(&mut buffer))?;
        }
        let mut merges = AHashMap::with_capacity(model.merges.len());
        let mut text = String::new();
        for (rank, (left, right)) in model.merges.iter().enumerate() {
            text.clear();
            text.push_str(left);
            text.push_str(right);
            let rank = u32::try_from(rank).ok().filter(|&rank| rank < NEVER)?;
            let pair = (*ids.get(left.as_str())?, *ids.get(right.as_str())?);
            merges.insert(pair, (rank, *ids.get(text.as_str())?));
        }
        let whole = || {
            ids.iter()
                .map(|(&token, &id)| (Box::from(token), id))
                .collect()
        };
        Some(Self {
            bytes,
            merges,
            lengths,
            tokens,
            whole: model.ignore_merges.then(whole),
            memories: Mutex::default(),
        })
    }

    /// How many bytes of text a token stands for.
    pub(super) fn length(&self, id: u32) -> usize {
        self.lengths[id as usize] as usize
    }

    /// The token as the vocabulary writes it.
    pub(super) fn token(&self, id: u32) -> &str {
        &self.tokens[id as usize]
    }

    /// Runs `work` with a memory of its own.
    pub(super) fn with_memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        let kept = self.memories.lock().ok().and_then(|mut kept| kept.pop());
        let mut memory = kept.unwrap_or_default();
        let result = work(&mut memory);
        // A word of megabytes is no reason to keep its room.
        memory.symbols.shrink_to(1 << 16);
        memory.heap.shrink_to(1 << 16);
        memory.text.shrink_to(1 << 16);
        if let Ok(mut memories) = self.memories.lock() {
            memories.push(memory);
        }
        result
    }

    /// Appends the ids of a word, which is not empty.
    #[inline]
    pub(super) fn encode(&self, word: &[u8], memory: &mut Memory, out: &mut Vec<u32>) {
        if let [byte] = word {
            out.push(self.bytes[usize::from(*byte)]);
            return;
        }
        if word.len() > REMEMBERED {
            self.merge(word, memory, out);
            return;
        }
        if let Some(&(start, end)) = memory.words.get(word) {
            out.extend_from_slice(&memory.ids[start as usize..end as usize]);
            return;
        }
        let first = out.len();
        self.merge(word, memory, out);
        if memory.words.len() == WORDS {
            memory.words.clear();
            memory.ids.clear();
        }
        // At most `WORDS * REMEMBERED` ids, which is far below 2³².
        #[allow(clippy::cast_possible_truncation, reason = "see above")]
        let at = |ids: &Vec<u32>| ids.len() as u32;
        let start = at(&memory.ids);
        memory.ids.extend_from_slice(&out[first..]);
        memory.words.insert(word.into(), (start, at(&memory.ids)));
    }

    fn merge(&self, word: &[u8], memory: &mut Memory, out: &mut Vec<u32>) {
        if let Some(whole) = &self.whole {
            memory.text.clear();
            memory.text.extend(word.iter().map(|&byte| byte_char(byte)));
            if let Some(&id) = whole.get(memory.text.as_str()) {
                out.push(id);
                return;
            }
        }
        memory.symbols.clear();
        memory.symbols.extend(word.iter().map(|&byte| Symbol {
            id: self.bytes[usize::from(byte)],
            rank: NEVER,
            merged: 0,
            previous: NONE,
            next: NONE,
        }));
        let few = word.len() <= SCANNED || u32::try_from(word.len()).is_err();
        for i in 1..memory.symbols.len() {
            let pair = (memory.symbols[i - 1].id, memory.symbols[i].id);
            self.rank(&mut memory.symbols[i - 1], pair.1);
        }
        if few {
            self.merge_scanning(&mut memory.symbols);
        } else {
            self.merge_with_heap(&mut memory.symbols, &mut memory.heap);
        }
        let left = memory.symbols.iter().filter(|symbol| symbol.id != GONE);
        out.extend(left.map(|symbol| symbol.id));
    }

    /// Notes what becomes of a symbol and the next one.
    #[inline]
    fn rank(&self, symbol: &mut Symbol, next: u32) {
        (symbol.rank, symbol.merged) = match self.merges.get(&(symbol.id, next)) {
            Some(&found) => found,
            None => (NEVER, 0),
        };
    }

    /// Merges the pair of the lowest rank, the first one of equals, until none is left.
    fn merge_scanning(&self, symbols: &mut Vec<Symbol>) {
        loop {
            let mut best = (NEVER, 0);
            for (i, symbol) in symbols.iter().enumerate() {
                if symbol.rank < best.0 {
                    best = (symbol.rank, i);
                }
            }
            let (rank, at) = best;
            if rank == NEVER {
                return;
            }
            symbols[at].id = symbols[at].merged;
            symbols.remove(at + 1);
            match symbols.get(at + 1).map(|next| next.id) {
                Some(next) => self.rank(&mut symbols[at], next),
                None => symbols[at].rank = NEVER,
            }
            if at > 0 {
                let id = symbols[at].id;
                self.rank(&mut symbols[at - 1], id);
            }
        }
    }

    /// The same for long words: candidates wait in a heap, and one whose pair has changed since is passed over.
    fn merge_with_heap(&self, symbols: &mut [Symbol], heap: &mut BinaryHeap<Reverse<(u32, u32)>>) {
        heap.clear();
        let index = |i: usize| u32::try_from(i).expect("longer words are scanned");
        let last = symbols.len() - 1;
        for (i, symbol) in symbols.iter_mut().enumerate() {
            symbol.previous = i.checked_sub(1).map_or(NONE, index);
            symbol.next = if i == last { NONE } else { index(i + 1) };
            if symbol.rank != NEVER {
                heap.push(Reverse((symbol.rank, index(i))));
            }
        }
        while let Some(Reverse((rank, at))) = heap.pop() {
            let symbol = symbols[at as usize];
            // A rank belongs to one pair, so an equal rank is the same pair.
            if symbol.id == GONE || symbol.rank != rank {
                continue;
            }
            let right = symbols[symbol.next as usize];
            symbols[symbol.next as usize].id = GONE;
            let current = &mut symbols[at as usize];
            (current.id, current.next, current.rank) = (symbol.merged, right.next, NEVER);
            if right.next != NONE {
                symbols[right.next as usize].previous = at;
                let next = symbols[right.next as usize].id;
                self.rank(&mut symbols[at as usize], next);
                if symbols[at as usize].rank != NEVER {
                    heap.push(Reverse((symbols[at as usize].rank, at)));
                }
            }
            if symbol.previous != NONE {
                let previous = &mut symbols[symbol.previous as usize];
                self.rank(previous, symbol.merged);
                if previous.rank != NEVER {
                    heap.push(Reverse((previous.rank, symbol.previous)));
                }
            }
        }
    }
}

/// The printable character that a byte is written as (`bytes_to_unicode` of `openai/gpt-2`): itself in Latin-1 where that
/// can be seen, else one from U+0100 on.
fn byte_char(byte: u8) -> char {
    let hidden = match byte {
        0..=0x20 => u32::from(byte),
        0x7f..=0xa0 => u32::from(byte) - 0x7f + 0x21,
        0xad => 0x43,
        _ => return char::from(byte),
    };
    char::from_u32(0x100 + hidden).expect("below U+0144")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_the_engine_writes_them() {
        use tokenizers::pre_tokenizers::byte_level::ByteLevel;
        use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

        let alphabet = ByteLevel::alphabet();
        assert!((0..=u8::MAX).all(|byte| alphabet.contains(&byte_char(byte))));
        let text: String = (0..0x100).filter_map(char::from_u32).collect();
        let mut engine = PreTokenizedString::from(text.as_str());
        ByteLevel::new(false, false, false)
            .pre_tokenize(&mut engine)
            .unwrap();
        let written: String = text.bytes().map(byte_char).collect();
        let splits = engine.get_splits(OffsetReferential::Original, OffsetType::Byte);
        assert_eq!(splits[0].0, written);
    }

    #[test]
    fn the_heap_merges_as_the_scan_does() {
        let mut vocab: Vec<(String, u32)> = (0..=u8::MAX)
            .map(|byte| (byte_char(byte).to_string(), u32::from(byte)))
            .collect();
        let mut merges = Vec::new();
        for (left, right) in [
            ("b", "a"),
            ("a", "b"),
            ("a", "a"),
            ("ab", "ab"),
            ("aa", "b"),
            ("ba", "a"),
            ("aa", "aa"),
        ] {
            vocab.push((
                format!("{left}{right}"),
                u32::try_from(vocab.len()).unwrap(),
            ));
            merges.push((left.to_owned(), right.to_owned()));
        }
        let bpe = ByteBpe::new(&Bpe {
            vocab,
            merges,
            ..Bpe::default()
        })
        .unwrap();
        let mut state = 1_u32;
        for length in 2..200 {
            let word: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"aaabbc"[(state >> 16) as usize % 6]
                })
                .collect();
            let start = |byte: &u8| Symbol {
                id: bpe.bytes[usize::from(*byte)],
                rank: NEVER,
                merged: 0,
                previous: NONE,
                next: NONE,
            };
            let mut scanned: Vec<Symbol> = word.iter().map(start).collect();
            for i in 1..scanned.len() {
                let next = scanned[i].id;
                bpe.rank(&mut scanned[i - 1], next);
            }
            let mut heaped = scanned.clone();
            bpe.merge_scanning(&mut scanned);
            bpe.merge_with_heap(&mut heaped, &mut BinaryHeap::new());
            let ids = |symbols: &[Symbol]| -> Vec<u32> {
                symbols
                    .iter()
                    .map(|s| s.id)
                    .filter(|&id| id != GONE)
                    .collect()
            };
            assert_eq!(ids(&heaped), ids(&scanned), "{word:?}");
        }
    }

    #[test]
    fn models_that_are_not_of_bytes_are_left_to_the_engine() {
        let vocab = vec![("a".to_owned(), 0)];
        assert!(
            ByteBpe::new(&Bpe {
                vocab,
                ..Bpe::default()
            })
            .is_none()
        );
    }
}
