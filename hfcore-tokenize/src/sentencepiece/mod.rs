//! SentencePiece's own encoding, for the classes of transformers that call it: the engine's unigram and BPE models split
//! most texts as it does, but not all.
//!
//! Follows sentencepiece 0.2 (`sentencepiece_processor.cc` and the four models); what a text cannot reach (sampling,
//! n-best, self-tests) is left out.

mod bpe;
mod decode;
mod normalizer;
mod unigram;

use std::collections::HashMap;
use std::ops::Range;

use self::decode::Rules;
use self::normalizer::{Normalizer, SPACE};
use self::unigram::Unigram;
use crate::convert::{ModelType, PieceKind, SentencePiece};
use crate::engine::{MAX_PIECE, Trie};
use crate::error::{TokenizeError, shortened};

/// A model, ready to encode.
#[derive(Clone, Debug)]
pub(crate) struct Processor {
    normalizer: Normalizer,
    pieces: Pieces,
    model: Algorithm,
    /// The ids of `<0x00>` to `<0xFF>`, where unknown characters become those.
    bytes: Option<Vec<u32>>,
    rules: Rules,
}

#[derive(Clone, Debug)]
enum Algorithm {
    Unigram(Unigram),
    Bpe,
    Word,
    Char,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// As the text has it after normalization; for an unknown one that is not a piece of the model.
    pub(crate) piece: String,
    pub(crate) id: u32,
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
}

/// The pieces by text.
#[derive(Clone, Debug)]
struct Pieces {
    /// Normal, user-defined and unused ones.
    usable: HashMap<String, u32>,
    /// Control, unknown and byte pieces.
    reserved: HashMap<String, u32>,
    list: Vec<(PieceKind, f32)>,
    unknown: u32,
}

impl Pieces {
    /// The id of a piece that can come out of a text.
    fn usable(&self, piece: &str) -> Option<u32> {
        self.usable.get(piece).copied()
    }

    /// The id of any piece, the unknown one's for others.
    fn id(&self, piece: &str) -> u32 {
        let reserved = self.reserved.get(piece).copied();
        reserved
            .or_else(|| self.usable(piece))
            .unwrap_or(self.unknown)
    }

    fn score(&self, id: u32) -> f32 {
        self.list[id as usize].1
    }

    fn is_unused(&self, id: u32) -> bool {
        self.list[id as usize].0 == PieceKind::Unused
    }
}

impl Processor {
    /// Takes a model, as it was read.
    ///
    /// # Errors
    ///
    /// What the library refuses: no or two unknown pieces, an empty piece, one that comes twice, byte pieces that are
    /// missing or not asked for. A character map that a text could walk out of, one for decoded text, and pieces of
    /// over 1024 bytes.
    pub(crate) fn new(model: &SentencePiece) -> Result<Self, TokenizeError> {
        let pieces = Pieces::new(model)?;
        let symbols = (0..)
            .zip(&model.pieces)
            .filter(|(_, piece)| piece.kind == PieceKind::UserDefined)
            .map(|(id, piece)| (piece.piece.as_str(), id));
        let normalizer = Normalizer::new(model, Trie::new(symbols))?;
        let algorithm = match model.trainer.model_type {
            ModelType::Unigram => Algorithm::Unigram(Unigram::new(model, pieces.unknown)),
            ModelType::Bpe => Algorithm::Bpe,
            ModelType::Word => Algorithm::Word,
            ModelType::Char => Algorithm::Char,
        };
        let bytes = model.trainer.byte_fallback.then(|| {
            let byte = |byte: u8| pieces.reserved.get(&byte_piece(byte)).copied();
            (0..=255)
                .map(|value| byte(value).ok_or_else(|| byte_piece(value)))
                .collect::<Result<Vec<u32>, String>>()
        });
        let bytes = bytes.transpose().map_err(|missing| {
            let problem = format!("byte_fallback needs all 256 byte pieces, {missing} is missing");
            invalid(model, "trainer_spec.byte_fallback".to_owned(), problem)
        })?;
        Ok(Self {
            normalizer,
            pieces,
            model: algorithm,
            bytes,
            rules: Rules::new(model)?,
        })
    }

    /// The pieces of a text.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::NormalizerGrowth`], where the character map multiplies the text.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<Part>, TokenizeError> {
        let normalized = self.normalizer.normalize(text)?;
        let text = normalized.text.as_str();
        let found = match &self.model {
            Algorithm::Unigram(unigram) => unigram.encode(text),
            Algorithm::Bpe => bpe::encode(&self.pieces, text, |text| self.normalizer.symbol(text)),
            Algorithm::Word => self.split(text, |text| {
                let rest = &text[text.chars().next().map_or(0, char::len_utf8)..];
                text.len() - rest.len() + rest.find(SPACE).unwrap_or(rest.len())
            }),
            Algorithm::Char => self.split(text, |text| self.normalizer.symbol(text).0),
        };
        let mut parts: Vec<Part> = Vec::with_capacity(found.len());
        let mut after_unknown = false;
        for (range, id) in found {
            let piece = &text[range.clone()];
            let origin = normalized.origins[range.start]..normalized.origins[range.end];
            let is_unknown = id == self.pieces.unknown;
            match (&self.bytes, parts.last_mut()) {
                (Some(ids), _) if is_unknown => parts.extend(piece.bytes().map(|byte| Part {
                    piece: byte_piece(byte),
                    id: ids[usize::from(byte)],
                    range: origin.clone(),
                })),
                (_, Some(last)) if is_unknown && after_unknown => {
                    last.piece.push_str(piece);
                    last.range.end = origin.end;
                }
                _ => parts.push(Part {
                    piece: piece.to_owned(),
                    id,
                    range: origin,
                }),
            }
            after_unknown = is_unknown;
        }
        Ok(parts)
    }

    /// Cuts as `length` says, and looks up.
    fn split(&self, text: &str, length: impl Fn(&str) -> usize) -> Vec<(Range<usize>, u32)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = at + length(&text[at..]);
            found.push((at..end, self.pieces.id(&text[at..end])));
            at = end;
        }
        found
    }
}

impl Pieces {
    fn new(model: &SentencePiece) -> Result<Self, TokenizeError> {
        let mut pieces = Self {
            usable: HashMap::new(),
            reserved: HashMap::new(),
            list: Vec::with_capacity(model.pieces.len()),
            unknown: 0,
        };
        let mut unknown = None;
        for (id, piece) in (0_u32..).zip(&model.pieces) {
            let at = || format!("pieces[{id}]");
            let refuse = |problem: &str| Err(invalid(model, at(), problem.to_owned()));
            let text = &piece.piece;
            if text.is_empty() {
                return refuse("the piece is empty");
            }
            if text.len() > MAX_PIECE {
                let problem = format!(
                    "{:?} has {} bytes; at most {MAX_PIECE} can be searched for",
                    shortened(text, 40),
                    text.len()
                );
                return refuse(&problem);
            }
            if piece.kind == PieceKind::Byte && !model.trainer.byte_fallback {
                return refuse("a byte piece in a model without byte_fallback");
            }
            if piece.kind == PieceKind::Unknown && unknown.replace(id).is_some() {
                return refuse("a second unknown piece");
            }
            let map = match piece.kind {
                PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused => {
                    &mut pieces.usable
                }
                PieceKind::Control | PieceKind::Unknown | PieceKind::Byte => &mut pieces.reserved,
            };
            if map.insert(text.clone(), id).is_some() {
                return refuse(&format!("{:?} comes twice", shortened(text, 40)));
            }
            pieces.list.push((piece.kind, piece.score));
        }
        pieces.unknown = unknown
            .ok_or_else(|| invalid(model, "pieces".to_owned(), "no unknown piece".to_owned()))?;
        Ok(pieces)
    }
}

/// The name of a byte's piece.
fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn invalid(model: &SentencePiece, at: String, problem: String) -> TokenizeError {
    TokenizeError::Invalid {
        file: model.file,
        at,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::convert::{NormalizerSpec, Piece, TrainerSpec};

    fn model(pieces: &[(&str, f32, PieceKind)], model_type: ModelType) -> SentencePiece {
        SentencePiece {
            file: "m.model",
            pieces: pieces
                .iter()
                .map(|&(piece, score, kind)| Piece {
                    piece: piece.to_owned(),
                    score,
                    kind,
                })
                .collect(),
            trainer: TrainerSpec {
                model_type,
                ..TrainerSpec::default()
            },
            normalizer: NormalizerSpec::default(),
            denormalizes: false,
        }
    }

    fn refused(model: &SentencePiece) -> String {
        Processor::new(model).unwrap_err().to_string()
    }

    #[test]
    fn what_the_library_refuses() {
        use PieceKind::{Byte, Normal, Unknown};
        let unigram = |pieces: &[(&str, f32, PieceKind)]| model(pieces, ModelType::Unigram);
        let unknown = ("<unk>", 0.0, Unknown);
        let cases = [
            (unigram(&[("a", 0.0, Normal)]), "pieces: no unknown piece"),
            (
                unigram(&[unknown, ("?", 0.0, Unknown)]),
                "pieces[1]: a second unknown piece",
            ),
            (
                unigram(&[unknown, ("a", 0.0, Normal), ("a", 0.0, Normal)]),
                "pieces[2]: \"a\" comes twice",
            ),
            (
                unigram(&[unknown, ("", 0.0, Normal)]),
                "pieces[1]: the piece is empty",
            ),
            (
                unigram(&[unknown, ("<0x00>", 0.0, Byte)]),
                "pieces[1]: a byte piece in a model without byte_fallback",
            ),
        ];
        for (model, message) in cases {
            assert_eq!(refused(&model), format!("m.model: {message}"));
        }
        let mut bytes = unigram(&[unknown, ("<0x00>", 0.0, Byte)]);
        bytes.trainer.byte_fallback = true;
        assert_eq!(
            refused(&bytes),
            "m.model: trainer_spec.byte_fallback: byte_fallback needs all 256 byte pieces, <0x01> is missing"
        );
        let mut rewrites = unigram(&[unknown]);
        rewrites.denormalizes = true;
        assert_eq!(
            refused(&rewrites),
            "m.model: denormalizer_spec: a character map for decoded text is not supported; train the model without \
             denormalization rules"
        );
        let mut map = unigram(&[unknown]);
        map.normalizer.precompiled_charsmap = vec![0xff; 8];
        assert!(
            refused(&map).starts_with("m.model: normalizer_spec.precompiled_charsmap: the trie")
        );
    }

    #[test]
    fn an_unused_piece_of_any_length_is_taken_apart() {
        // Each piece is made of the one before and one more letter, and none is to be used: a recursion for each would
        // be as deep as the piece is long.
        let line = "a".repeat(1000);
        let mut pieces = vec![
            ("<unk>", 0.0, PieceKind::Unknown),
            ("a", 0.0, PieceKind::Normal),
        ];
        pieces.extend((2..=line.len()).map(|length| (&line[..length], 1.0, PieceKind::Unused)));
        let mut model = model(&pieces, ModelType::Bpe);
        model.normalizer.add_dummy_prefix = false;
        let parts = Processor::new(&model).unwrap().encode(&line).unwrap();
        assert_eq!(parts.len(), 1000);
        assert!(parts.iter().all(|part| part.id == 1));
    }

    fn file(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/slow/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn as_the_library_encodes() {
        let slow: Value = serde_json::from_slice(&file("slow.json")).unwrap();
        let texts: Vec<String> = serde_json::from_value(slow["texts"].clone()).unwrap();
        let mut compared = 0;
        for (name, cases) in slow["processors"].as_object().unwrap() {
            let model = SentencePiece::read(&file(&format!("{name}.model")), "m.model").unwrap();
            let processor = Processor::new(&model).unwrap();
            for (text, case) in texts.iter().zip(cases.as_array().unwrap()) {
                let parts = processor.encode(text).unwrap();
                let ids: Vec<u32> = parts.iter().map(|part| part.id).collect();
                let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
                assert_eq!(ids, expected, "{name}: {text:?}");
                if let Some(offsets) = case.get("offsets") {
                    // Of an unknown character's bytes the library gives the end to the last alone.
                    let both = if processor.bytes.is_some() { 1 } else { 2 };
                    let places = |list: &[usize]| -> Vec<usize> {
                        list.chunks(2)
                            .flat_map(|place| place[..both].to_vec())
                            .collect()
                    };
                    let found: Vec<usize> = parts
                        .iter()
                        .flat_map(|part| [part.range.start, part.range.end])
                        .collect();
                    let expected: Vec<usize> = serde_json::from_value(offsets.clone()).unwrap();
                    assert_eq!(places(&found), places(&expected), "{name}: {text:?}");
                }
                compared += ids.len();
            }
        }
        assert!(compared > 5000, "{compared}");
    }
}
