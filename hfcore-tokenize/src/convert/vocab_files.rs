//! `vocab.txt`, `vocab.json` and `merges.txt`, as the tokenizers library reads them.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::ids::Ids;
use crate::engine::{Bpe, MAX_FILE, MAX_VOCAB, WordPiece};
use crate::error::{TokenizeError, shortened};

/// Name of the file in messages.
const VOCAB_TXT: &str = "vocab.txt";
/// Name of the file in messages.
const VOCAB_JSON: &str = "vocab.json";
/// Name of the file in messages.
const MERGES_TXT: &str = "merges.txt";

/// Reads a `vocab.txt`: a token per line, without the blanks at its end; a token that comes twice has the number of its
/// last line. The settings are the library's: `##` before a continued word, words of at most 100 characters; the
/// unknown token is `[UNK]` until a class says otherwise.
///
/// # Errors
///
/// A file that is not UTF-8, too large, or has too many lines.
pub(crate) fn vocab_txt(bytes: &[u8]) -> Result<WordPiece, TokenizeError> {
    let text = text(bytes, VOCAB_TXT)?;
    let mut ids = Ids::default();
    for (index, line) in text.lines().enumerate() {
        if index == MAX_VOCAB {
            let problem = format!("more than {MAX_VOCAB} tokens");
            return Err(invalid(VOCAB_TXT, index, problem));
        }
        let id = u32::try_from(index).expect("below the limit");
        ids.set(line.trim_end().to_owned(), id);
    }
    Ok(WordPiece {
        vocab: ids.into_vocab(),
        unk_token: "[UNK]".to_owned(),
        continuing_subword_prefix: "##".to_owned(),
        max_input_chars_per_word: 100,
    })
}

/// Reads a `vocab.json`: an object of token to id. An entry that is no number is skipped.
///
/// # Errors
///
/// A file that is no JSON object, too large, or has an id that is negative, broken or above `u32`.
fn vocab_json(bytes: &[u8]) -> Result<Vec<(String, u32)>, TokenizeError> {
    let text = text(bytes, VOCAB_JSON)?;
    let Vocab(ids) = serde_json::from_str(text).map_err(|error| TokenizeError::Json {
        file: VOCAB_JSON,
        message: error.to_string(),
    })?;
    Ok(ids.into_vocab())
}

/// Reads a `vocab.json` and its `merges.txt`: a line for each merge, two tokens and a space between. Lines that begin
/// with `#version` are skipped wherever they stand; of a pair that comes twice the last line counts.
///
/// # Errors
///
/// As [`vocab_json`]; in `merges.txt` any other line, an empty one too, and tokens that the vocabulary lacks.
pub(crate) fn bpe_files(vocab: &[u8], merges: &[u8]) -> Result<Bpe, TokenizeError> {
    let vocab = vocab_json(vocab)?;
    let known: HashSet<&str> = vocab.iter().map(|(token, _)| token.as_str()).collect();
    let mut pairs = Vec::new();
    for (index, line) in text(merges, MERGES_TXT)?.lines().enumerate() {
        if line.starts_with("#version") {
            continue;
        }
        let (left, right) = line
            .split_once(' ')
            .filter(|(_, right)| !right.contains(' '))
            .ok_or_else(|| {
                let problem = format!(
                    "expected two tokens and a space between, found {:?}",
                    shortened(line, 40)
                );
                invalid(MERGES_TXT, index, problem)
            })?;
        if let Some(unknown) = [left, right]
            .into_iter()
            .find(|token| !known.contains(token))
        {
            let problem = format!("{VOCAB_JSON} has no token {:?}", shortened(unknown, 40));
            return Err(invalid(MERGES_TXT, index, problem));
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    Ok(Bpe {
        vocab,
        merges: pairs,
        ..Bpe::default()
    })
}

fn text<'a>(bytes: &'a [u8], file: &'static str) -> Result<&'a str, TokenizeError> {
    TokenizeError::check_size(file, bytes, MAX_FILE)?;
    std::str::from_utf8(bytes).map_err(|error| TokenizeError::Invalid {
        file,
        at: format!("byte {}", error.valid_up_to()),
        problem: "not UTF-8".to_owned(),
    })
}

fn invalid(file: &'static str, index: usize, problem: String) -> TokenizeError {
    TokenizeError::Invalid {
        file,
        at: format!("line {}", index + 1),
        problem,
    }
}

/// An object of token to id.
struct Vocab(Ids);

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of token to id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut ids = Ids::default();
                while let Some((token, id)) = map.next_entry::<String, Value>()? {
                    if !id.is_number() {
                        continue;
                    }
                    let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                    let number = number.ok_or_else(|| {
                        let token = shortened(&token, 40);
                        serde::de::Error::custom(format_args!("{token:?} has the id {id}"))
                    })?;
                    ids.set(token, number);
                }
                Ok(Vocab(ids))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Definition, Model};

    #[test]
    fn lines_of_tokens() {
        let word_piece =
            vocab_txt("[PAD]\r\n[UNK]  \n\n##c \u{a0}\nab\n[PAD]\n".as_bytes()).unwrap();
        let vocab: Vec<(&str, u32)> = word_piece
            .vocab
            .iter()
            .map(|(token, id)| (token.as_str(), *id))
            .collect();
        assert_eq!(
            vocab,
            [("[PAD]", 5), ("[UNK]", 1), ("", 2), ("##c", 3), ("ab", 4)]
        );
        Definition::new(VOCAB_TXT, Model::WordPiece(word_piece))
            .build()
            .unwrap();
        assert_eq!(
            vocab_txt(b"a\n\xff").unwrap_err().to_string(),
            "vocab.txt: byte 2: not UTF-8"
        );
    }

    #[test]
    fn objects_of_ids() {
        let vocab = vocab_json(br#"{"a": 0, "note": "x", "b": 3, "a": 7}"#).unwrap();
        assert_eq!(vocab, [("a".to_owned(), 7), ("b".to_owned(), 3)]);
        for (json, message) in [
            (
                "[]",
                "invalid type: sequence, expected an object of token to id at line 1 column 0",
            ),
            (r#"{"a": -1}"#, "\"a\" has the id -1 at line 1 column 9"),
            (r#"{"a": 1.5}"#, "\"a\" has the id 1.5 at line 1 column 10"),
            (
                r#"{"a": 4294967296}"#,
                "\"a\" has the id 4294967296 at line 1 column 17",
            ),
        ] {
            assert_eq!(
                vocab_json(json.as_bytes()).unwrap_err().to_string(),
                format!("vocab.json does not parse: {message}")
            );
        }
    }

    #[test]
    fn merges_by_line() {
        let vocab = br##"{"a": 0, "b": 1, "ab": 2, "#version": 3, "#": 4}"##;
        let merges = |text: &str| {
            let bpe = bpe_files(vocab, text.as_bytes()).map_err(|error| error.to_string())?;
            Ok(bpe.merges.len())
        };
        assert_eq!(merges("#version: 0.2\na b\r\na b"), Ok(2));
        assert_eq!(merges("# a\n#version: 0.2\n"), Ok(1));
        assert_eq!(merges(""), Ok(0));
        let expected = "expected two tokens and a space between, found";
        for (text, message) in [
            ("a b\n\na b", format!("line 2: {expected} \"\"")),
            ("a b ", format!("line 1: {expected} \"a b \"")),
            ("a  b", format!("line 1: {expected} \"a  b\"")),
            ("a\tb", format!("line 1: {expected} \"a\\tb\"")),
            (
                "\u{feff}#version: 0.2",
                "line 1: vocab.json has no token \"\\u{feff}#version:\"".to_owned(),
            ),
            ("a q", "line 1: vocab.json has no token \"q\"".to_owned()),
        ] {
            assert_eq!(merges(text), Err(format!("merges.txt: {message}")));
        }
    }
}
