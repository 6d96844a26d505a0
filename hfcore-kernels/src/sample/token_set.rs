//! A set of tokens, one bit each.

/// A set of tokens of a vocabulary: those that may not be chosen, or those that have occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSet {
    /// Bit `t % 32` of word `t / 32` is token `t`. Bits beyond the vocabulary are 0.
    words: Vec<u32>,
    vocab_size: usize,
}

impl TokenSet {
    /// No token of a vocabulary.
    #[must_use]
    pub fn new(vocab_size: usize) -> Self {
        Self {
            words: vec![0; vocab_size.div_ceil(32)],
            vocab_size,
        }
    }

    /// Tokens there are.
    #[must_use]
    pub const fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Add a token. One outside the vocabulary is passed over.
    pub fn insert(&mut self, token: u32) {
        if (token as usize) < self.vocab_size {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    /// Remove a token.
    pub fn remove(&mut self, token: u32) {
        if (token as usize) < self.vocab_size {
            self.words[token as usize / 32] &= !(1 << (token % 32));
        }
    }

    /// Whether `token` is in the set.
    #[must_use]
    pub fn contains(&self, token: u32) -> bool {
        (token as usize) < self.vocab_size
            && self.words[token as usize / 32] >> (token % 32) & 1 == 1
    }

    /// Remove every token.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Add every token of the vocabulary.
    pub fn fill(&mut self) {
        self.words.fill(u32::MAX);
        let rest = self.vocab_size % 32;
        if let Some(last) = self.words.last_mut().filter(|_| rest > 0) {
            *last = (1 << rest) - 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The tokens, the lowest first.
    #[allow(clippy::cast_possible_truncation, reason = "tokens have 32 bits")]
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = |(i, &word): (usize, &u32)| {
            (0..32)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| (i as u32) * 32 + bit)
        };
        self.words.iter().enumerate().flat_map(bits)
    }

    /// The bits, as a device reads them.
    #[cfg_attr(
        not(feature = "wgpu"),
        allow(dead_code, reason = "read by devices that are not the CPU")
    )]
    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_in_and_out_and_those_outside_are_passed_over() {
        let mut set = TokenSet::new(70);
        for token in [0, 31, 32, 69, 70, u32::MAX] {
            set.insert(token);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 31, 32, 69]);
        set.remove(31);
        set.remove(1000);
        assert!(!set.contains(31) && set.contains(69) && !set.contains(70));
        set.fill();
        assert_eq!(set.iter().count(), 70);
        set.clear();
        assert!(set.is_empty() && set.vocab_size() == 70);
        let mut whole = TokenSet::new(64);
        whole.fill();
        assert_eq!(whole.iter().count(), 64);
    }
}
