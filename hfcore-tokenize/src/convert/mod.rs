//! Every vocabulary file that a repository may hold beside, or instead of, a `tokenizer.json`, read into the same
//! [`Definition`](crate::engine::Definition).
//!
//! As in transformers 5.23 there are two steps. Here a file becomes a vocabulary with scores or merges, and what the file
//! itself says of special tokens and normalization; which class a repository has, and what that class builds around the
//! vocabulary, is not known here. The tokenizers that need no class (a SentencePiece model of an unknown one, tiktoken,
//! tekken) come out whole.
//!
//! | File | Reader |
//! |---|---|
//! | `tokenizer.model`, `spiece.model`, `sentencepiece.bpe.model`, `*.spm` | [`ModelFile::read`], [`SentencePiece`] |
//! | `tiktoken.model`, `*.tiktoken` | [`Tiktoken`] |
//! | `tekken.json` | [`tekken`] |
//! | `vocab.txt` | [`vocab_txt`] |
//! | `vocab.json` with `merges.txt` | [`bpe_files`] |

mod byte_level;
mod class_vocab;
mod extract;
mod ids;
mod merges;
mod protobuf;
mod ranks;
mod sentencepiece;
mod tekken;
mod tiktoken;
mod vocab_files;

#[cfg(test)]
mod tests;

pub(crate) use self::class_vocab::{MBART_LANGUAGES, MBART50_MORE_LANGUAGES};
pub(crate) use self::extract::Backend;
pub(crate) use self::sentencepiece::{ModelType, PieceKind, SentencePiece};
#[cfg(test)]
pub(crate) use self::sentencepiece::{NormalizerSpec, Piece, TrainerSpec};
pub(crate) use self::tekken::read as tekken;
pub(crate) use self::tiktoken::{PATTERN as TIKTOKEN_PATTERN, Tiktoken};
pub(crate) use self::vocab_files::{bpe_files, vocab_txt};
use crate::error::TokenizeError;

/// A file called `*.model`, which is one or the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ModelFile {
    SentencePiece(SentencePiece),
    Tiktoken(Tiktoken),
}

impl ModelFile {
    /// Reads it: `tiktoken.model` as tiktoken, any other as SentencePiece, and as tiktoken where it is none.
    ///
    /// # Errors
    ///
    /// What is wrong with the SentencePiece model, where it is neither; of a text, what is wrong with its lines.
    pub(crate) fn read(bytes: &[u8], file: &'static str) -> Result<Self, TokenizeError> {
        let tiktoken = || Tiktoken::read(bytes, file).map(Self::Tiktoken);
        if file == "tiktoken.model" {
            return tiktoken();
        }
        let error = match SentencePiece::read(bytes, file) {
            Ok(model) => return Ok(Self::SentencePiece(model)),
            Err(error) => error,
        };
        let is_text = !bytes.is_empty()
            && bytes
                .iter()
                .take(64)
                .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        tiktoken().map_err(|other| if is_text { other } else { error })
    }
}

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn one_name_for_two_formats() {
        let ranks = b"YQ== 0\nYg== 1\n";
        let read = |bytes: &[u8]| ModelFile::read(bytes, "tokenizer.model");
        assert!(matches!(read(ranks), Ok(ModelFile::Tiktoken(_))));
        let spm = sentencepiece::tests::Writer::default().piece("a", 0.0, 1).0;
        assert!(matches!(read(&spm), Ok(ModelFile::SentencePiece(_))));
        assert!(ModelFile::read(&spm, "tiktoken.model").is_err());
        assert_eq!(
            read(b"<html>not found</html>").unwrap_err().to_string(),
            "tokenizer.model: line 1: expected a token in base64, a space and its rank, found \"<html>not found</html>\""
        );
        assert_eq!(
            read(&[0x0a, 0xff]).unwrap_err().to_string(),
            "tokenizer.model: ModelProto: byte 2: expected 1 bytes, and 0 are left"
        );
    }
}
