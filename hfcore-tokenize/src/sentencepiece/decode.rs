//! Pieces to text (`SentencePieceProcessor::Decode`).

use super::Processor;
use super::normalizer::SPACE;
use crate::convert::{PieceKind, SentencePiece};
use crate::error::TokenizeError;

/// What of a model decoding needs beside its pieces.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What the unknown piece is written as.
    unk_surface: String,
    /// Whether one space at the beginning of the text is the encoder's.
    drops_first_space: bool,
    /// Whether all spaces there are.
    drops_first_spaces: bool,
}

impl Rules {
    /// Those of a model.
    ///
    /// # Errors
    ///
    /// A model that rewrites decoded text.
    pub(super) fn new(model: &SentencePiece) -> Result<Self, TokenizeError> {
        if model.denormalizes {
            return Err(super::invalid(
                model,
                "denormalizer_spec".to_owned(),
                "a character map for decoded text is not supported; train the model without denormalization rules"
                    .to_owned(),
            ));
        }
        let spec = &model.normalizer;
        Ok(Self {
            unk_surface: model.trainer.unk_surface.clone(),
            drops_first_space: spec.add_dummy_prefix || spec.remove_extra_whitespaces,
            drops_first_spaces: spec.remove_extra_whitespaces,
        })
    }
}

impl Processor {
    /// The text of pieces, which need not be the model's.
    pub(crate) fn decode<'a>(&self, pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut at_start = true;
        let mut dropped = false;
        for piece in pieces {
            let id = self.pieces.id(piece);
            let kind = self.pieces.list[id as usize].0;
            if kind == PieceKind::Byte {
                // `<0x41>`, as it is in the table of bytes.
                let byte = self.bytes.as_ref().and_then(|ids| {
                    let value = ids.iter().position(|&known| known == id)?;
                    u8::try_from(value).ok()
                });
                bytes.extend(byte);
                continue;
            }
            push_bytes(&mut text, &mut bytes);
            if dropped || !text.is_empty() {
                at_start = false;
            }
            dropped = false;
            match kind {
                PieceKind::Control => {}
                PieceKind::Unknown if self.pieces.reserved.contains_key(piece) => {
                    text.push_str(&self.rules.unk_surface);
                }
                PieceKind::Unknown => text.push_str(piece),
                _ => {
                    let rest = if at_start && self.rules.drops_first_space {
                        piece.strip_prefix(SPACE)
                    } else {
                        None
                    };
                    dropped = rest.is_some() && !self.rules.drops_first_spaces;
                    text.push_str(&rest.unwrap_or(piece).replace(SPACE, " "));
                }
            }
        }
        push_bytes(&mut text, &mut bytes);
        text
    }
}

/// Writes bytes as text, U+FFFD for each that is in no character.
fn push_bytes(text: &mut String, bytes: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use crate::convert::SentencePiece;
    use crate::sentencepiece::Processor;

    /// As the library's `decode` gives it for the same pieces.
    #[test]
    fn pieces_of_every_kind() {
        let decode = |name: &str, pieces: &[&str]| {
            let path = format!("{}/tests/slow/{name}.model", env!("CARGO_MANIFEST_DIR"));
            let model = SentencePiece::read(&std::fs::read(path).unwrap(), "m.model").unwrap();
            let processor = Processor::new(&model).unwrap();
            processor.decode(pieces.iter().copied())
        };
        let bytes = [
            "<0xE6>",
            "<0x41>",
            "▁",
            "▁a",
            "<0xC3>",
            "<0xA9>",
            "foo▁bar",
            "<unk>",
            "</s>",
        ];
        assert_eq!(decode("bytes", &bytes), "\u{fffd}A  aéfoo▁bar \u{2047} ");
        // Of the spaces at the beginning, one is dropped, or all.
        let spaces = ["▁", "▁", "▁a", "▁b"];
        assert_eq!(decode("llama", &spaces), "  a b");
        assert_eq!(decode("bpe", &spaces), "a b");
        assert_eq!(decode("bpe", &["<unk>", "▁a"]), " \u{2047}  a");
        assert_eq!(decode("llama", &["", "▁a"]), "a");
        assert_eq!(decode("llama", &["▁zzq", "▁b"]), "▁zzq b");
        assert_eq!(decode("uni", &["<ctl>", "▁a▁b"]), "▁a▁b");
        assert_eq!(decode("suffix", &["a▁", "▁"]), "a  ");
        assert_eq!(decode("uni", &[]), "");
    }
}
