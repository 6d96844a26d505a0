//! WordPiece: the longest token that a word begins with, then the longest that its rest begins with, and so on.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use tokenizers::Token;

use super::matcher::Vocabulary;
use super::trie::Trie;

/// A checked WordPiece model.
#[derive(Clone, Debug)]
pub(crate) struct WordPieceMatcher {
    vocab: Vocabulary,
    /// The tokens that a word may begin with: all of them.
    first: Trie,
    /// Those for the rest of a word, without the prefix (`##`) that says so.
    rest: Trie,
    unk_token: String,
    prefix: String,
    most: usize,
}

impl WordPieceMatcher {
    /// `most`: characters of the longest word that is not unknown.
    pub(super) fn new(vocab: Vocabulary, unk_token: String, prefix: &str, most: usize) -> Self {
        let rest = vocab
            .iter()
            .filter_map(|(token, id)| Some((token.strip_prefix(prefix)?, id)));
        Self {
            first: Trie::new(vocab.iter()),
            rest: Trie::new(rest),
            vocab,
            unk_token,
            prefix: prefix.to_owned(),
            most,
        }
    }

    pub(super) fn vocab(&self) -> &Vocabulary {
        &self.vocab
    }

    pub(super) fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        // No word has more characters than bytes.
        let short = word.len() <= self.most || word.chars().count() <= self.most;
        match short.then(|| self.split(word)).flatten() {
            Some(tokens) => Ok(tokens),
            None => {
                let id = self.vocab.id(&self.unk_token).ok_or_else(|| {
                    format!(
                        "the unk_token {:?} is not in the vocabulary",
                        self.unk_token
                    )
                })?;
                Ok(vec![Token::new(
                    id,
                    self.unk_token.clone(),
                    (0, word.len()),
                )])
            }
        }
    }

    /// The tokens; `None` where nothing fits.
    fn split(&self, word: &str) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        let mut start = 0;
        while start < word.len() {
            let trie = if start == 0 { &self.first } else { &self.rest };
            let (length, id) = trie.prefixes(&word.as_bytes()[start..]).last()?;
            let token = self.vocab.token(id)?.to_owned();
            tokens.push(Token::new(id, token, (start, start + length)));
            start += length;
        }
        Some(tokens)
    }
}

impl Serialize for WordPieceMatcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut model = serializer.serialize_struct("WordPiece", 5)?;
        model.serialize_field("type", "WordPiece")?;
        model.serialize_field("unk_token", &self.unk_token)?;
        model.serialize_field("continuing_subword_prefix", &self.prefix)?;
        model.serialize_field("max_input_chars_per_word", &self.most)?;
        model.serialize_field("vocab", &self.vocab)?;
        model.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(prefix: &str, most: usize, word: &str) -> Vec<String> {
        let vocab = [
            "[UNK]", "un", "##aff", "##able", "##a", "a", "##", "é", "##é",
        ];
        let vocab = Vocabulary::new(vocab.map(str::to_owned).into_iter().zip(0..));
        let model = WordPieceMatcher::new(vocab, "[UNK]".to_owned(), prefix, most);
        let tokens = model.tokenize(word).unwrap();
        tokens
            .into_iter()
            .map(|token| format!("{}@{}", token.value, token.offsets.0))
            .collect()
    }

    #[test]
    fn the_longest_token_is_taken() {
        assert_eq!(
            tokens("##", 100, "unaffable"),
            ["un@0", "##aff@2", "##able@5"]
        );
        assert_eq!(tokens("##", 100, "unx"), ["[UNK]@0"]);
        // A word may begin as a rest does.
        assert_eq!(tokens("##", 100, "##a"), ["##a@0"]);
        assert_eq!(tokens("", 100, "una"), ["un@0", "a@2"]);
    }

    #[test]
    fn long_words_are_unknown_by_their_characters() {
        assert_eq!(tokens("##", 3, "ééé"), ["é@0", "##é@2", "##é@4"]);
        assert_eq!(tokens("##", 3, "éééé"), ["[UNK]@0"]);
    }

    #[test]
    fn without_the_unknown_token_there_is_an_error() {
        let model = WordPieceMatcher::new(Vocabulary::default(), "?".to_owned(), "##", 9);
        assert_eq!(
            model.tokenize("x").unwrap_err().to_string(),
            "the unk_token \"?\" is not in the vocabulary"
        );
    }
}
