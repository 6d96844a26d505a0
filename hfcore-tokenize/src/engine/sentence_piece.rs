//! A SentencePiece model run as its own library runs it, with ids from another table.

use std::sync::Arc;

use tokenizers::Token;

use super::matcher::Vocabulary;
use crate::sentencepiece::Processor;

/// A checked model.
#[derive(Clone, Debug)]
pub(crate) struct SentencePieceMatcher {
    processor: Arc<Processor>,
    vocab: Vocabulary,
    /// The id of pieces that the table does not have.
    unknown: u32,
    language_codes: bool,
}

impl SentencePieceMatcher {
    pub(super) fn new(
        processor: Processor,
        vocab: Vocabulary,
        unknown: u32,
        language_codes: bool,
    ) -> Self {
        Self {
            processor: Arc::new(processor),
            vocab,
            unknown,
            language_codes,
        }
    }

    pub(super) fn vocab(&self) -> &Vocabulary {
        &self.vocab
    }

    pub(crate) fn processor(&self) -> &Arc<Processor> {
        &self.processor
    }

    pub(super) fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let code = match text.find("<<") {
            Some(at) if self.language_codes && text.starts_with(">>") => at + "<<".len(),
            _ => 0,
        };
        let (code, rest) = text.split_at(code);
        let id = |piece: &str| self.vocab.id(piece).unwrap_or(self.unknown);
        let mut tokens = Vec::new();
        if !code.is_empty() {
            tokens.push(Token::new(id(code), code.to_owned(), (0, code.len())));
        }
        let parts = self.processor.encode(rest)?;
        tokens.extend(parts.into_iter().map(|part| {
            let place = (code.len() + part.range.start, code.len() + part.range.end);
            Token::new(id(&part.piece), part.piece, place)
        }));
        Ok(tokens)
    }
}
