//! Tokens with ids, as Python's dictionaries keep them.

use std::collections::HashMap;

/// Ids by token, in the order in which the tokens first came; a token that comes again changes its id, not its place.
#[derive(Default)]
pub(super) struct Ids {
    vocab: Vec<(String, u32)>,
    places: HashMap<String, usize>,
}

impl Ids {
    pub(super) fn with_capacity(tokens: usize) -> Self {
        Self {
            vocab: Vec::with_capacity(tokens),
            places: HashMap::with_capacity(tokens),
        }
    }

    pub(super) fn set(&mut self, token: String, id: u32) {
        match self.places.get(&token) {
            Some(&place) => self.vocab[place].1 = id,
            None => {
                self.places.insert(token.clone(), self.vocab.len());
                self.vocab.push((token, id));
            }
        }
    }

    pub(super) fn contains(&self, token: &str) -> bool {
        self.places.contains_key(token)
    }

    /// The number of different tokens.
    pub(super) fn len(&self) -> usize {
        self.vocab.len()
    }

    pub(super) fn into_vocab(self) -> Vec<(String, u32)> {
        self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_and_the_last_id() {
        let mut ids = Ids::with_capacity(2);
        for (token, id) in [("a", 0), ("b", 1), ("a", 2)] {
            ids.set(token.to_owned(), id);
        }
        assert_eq!(ids.len(), 2);
        assert!(ids.contains("b") && !ids.contains("c"));
        assert_eq!(ids.into_vocab(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }
}
