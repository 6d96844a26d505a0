//! A SentencePiece model: what of `sentencepiece_model.proto` decides about tokens.
//!
//! Read as the reference implementation of protocol buffers reads it: unknown fields, fields of another wire type and
//! enumeration values without a name are skipped, a field that comes twice counts with its last value, a message that
//! comes twice is merged. Of the messages of a file, `self_test_data` says nothing about tokens and is skipped, and of
//! `denormalizer_spec` only whether it has rules is read.

use super::protobuf::{Fields, Value};
use crate::engine::{MAX_FILE, MAX_TOKEN, MAX_VOCAB};
use crate::error::{TokenizeError, shortened};

/// A file, read. The position of a piece is its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SentencePiece {
    /// Name of the file in messages.
    pub(crate) file: &'static str,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) trainer: TrainerSpec,
    pub(crate) normalizer: NormalizerSpec,
    /// Whether decoded text goes through a character map of its own.
    pub(crate) denormalizes: bool,
}

/// A piece; spaces are written as U+2581.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) piece: String,
    /// Log probability (unigram), or less the rank (BPE).
    pub(crate) score: f32,
    pub(crate) kind: PieceKind,
}

/// `SentencePiece.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Normal,
    Unknown,
    /// Never comes out of a text.
    Control,
    /// One piece wherever it stands in a text.
    UserDefined,
    /// Never used, but taken apart.
    Unused,
    /// `<0x00>` to `<0xFF>`.
    Byte,
}

/// `TrainerSpec.ModelType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelType {
    Unigram,
    Bpe,
    Word,
    Char,
}

/// What of `TrainerSpec` still matters after training.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrainerSpec {
    pub(crate) model_type: ModelType,
    pub(crate) byte_fallback: bool,
    pub(crate) treat_whitespace_as_suffix: bool,
    /// -1 for none.
    pub(crate) unk_id: i32,
    /// -1 for none.
    pub(crate) bos_id: i32,
    /// -1 for none.
    pub(crate) eos_id: i32,
    pub(crate) unk_piece: String,
    pub(crate) bos_piece: String,
    pub(crate) eos_piece: String,
    /// What the unknown piece is decoded to.
    pub(crate) unk_surface: String,
}

/// What is done to a text before it is cut.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NormalizerSpec {
    /// Empty for none.
    pub(crate) precompiled_charsmap: Vec<u8>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
    pub(crate) escape_whitespaces: bool,
}

impl Default for TrainerSpec {
    /// The defaults of the format.
    fn default() -> Self {
        Self {
            model_type: ModelType::Unigram,
            byte_fallback: false,
            treat_whitespace_as_suffix: false,
            unk_id: 0,
            bos_id: 1,
            eos_id: 2,
            unk_piece: "<unk>".to_owned(),
            bos_piece: "<s>".to_owned(),
            eos_piece: "</s>".to_owned(),
            unk_surface: " \u{2047} ".to_owned(),
        }
    }
}

impl Default for NormalizerSpec {
    /// The defaults of the format.
    fn default() -> Self {
        Self {
            precompiled_charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl SentencePiece {
    /// Reads a model; `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::TooLarge`], and [`TokenizeError::Invalid`] where the file is cut off or no protocol buffer,
    /// has no pieces or too many, or a piece that is not UTF-8, is too long, or has a score that is no number.
    pub(crate) fn read(bytes: &[u8], file: &'static str) -> Result<Self, TokenizeError> {
        TokenizeError::check_size(file, bytes, MAX_FILE)?;
        let mut model = Self {
            file,
            pieces: Vec::new(),
            trainer: TrainerSpec::default(),
            normalizer: NormalizerSpec::default(),
            denormalizes: false,
        };
        model
            .merge(bytes)
            .map_err(|(at, problem)| TokenizeError::Invalid { file, at, problem })?;
        if model.pieces.is_empty() {
            let problem = "no pieces: expected a SentencePiece model".to_owned();
            return Err(TokenizeError::Invalid {
                file,
                at: "pieces".to_owned(),
                problem,
            });
        }
        Ok(model)
    }

    /// The error's place and text.
    fn merge(&mut self, bytes: &[u8]) -> Result<(), (String, String)> {
        for field in Fields::new(bytes, 0) {
            let within = |name: &'static str| move |problem| (name.to_owned(), problem);
            match field.map_err(within("ModelProto"))? {
                (1, Value::Bytes(piece, at)) => {
                    let index = self.pieces.len();
                    let within = |problem| (format!("pieces[{index}]"), problem);
                    if index == MAX_VOCAB {
                        return Err(within(format!("more than {MAX_VOCAB} pieces")));
                    }
                    self.pieces.push(Piece::read(piece, at).map_err(within)?);
                }
                (2, Value::Bytes(spec, at)) => {
                    self.trainer
                        .merge(spec, at)
                        .map_err(within("trainer_spec"))?;
                }
                (3, Value::Bytes(spec, at)) => {
                    let merged = self.normalizer.merge(spec, at);
                    merged.map_err(within("normalizer_spec"))?;
                }
                (5, Value::Bytes(spec, at)) => {
                    let mut denormalizer = NormalizerSpec::default();
                    let merged = denormalizer.merge(spec, at);
                    merged.map_err(within("denormalizer_spec"))?;
                    self.denormalizes |= !denormalizer.precompiled_charsmap.is_empty();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn read(bytes: &[u8], at: usize) -> Result<Self, String> {
        let mut piece = Self {
            piece: String::new(),
            score: 0.0,
            kind: PieceKind::Normal,
        };
        for field in Fields::new(bytes, at) {
            match field? {
                (1, Value::Bytes(text, at)) => piece.piece = read_text(text, at)?,
                (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
                (3, Value::Varint(kind)) => {
                    piece.kind = match read_enumeration(kind) {
                        1 => PieceKind::Normal,
                        2 => PieceKind::Unknown,
                        3 => PieceKind::Control,
                        4 => PieceKind::UserDefined,
                        5 => PieceKind::Unused,
                        6 => PieceKind::Byte,
                        _ => piece.kind,
                    };
                }
                _ => {}
            }
        }
        let shown = || shortened(&piece.piece, 40);
        if piece.piece.len() > MAX_TOKEN {
            return Err(format!(
                "{:?} has {} bytes; at most {MAX_TOKEN} are read",
                shown(),
                piece.piece.len()
            ));
        }
        if !piece.score.is_finite() {
            return Err(format!("{:?} has the score {}", shown(), piece.score));
        }
        Ok(piece)
    }
}

impl TrainerSpec {
    fn merge(&mut self, bytes: &[u8], at: usize) -> Result<(), String> {
        for field in Fields::new(bytes, at) {
            match field? {
                (3, Value::Varint(model_type)) => {
                    self.model_type = match read_enumeration(model_type) {
                        1 => ModelType::Unigram,
                        2 => ModelType::Bpe,
                        3 => ModelType::Word,
                        4 => ModelType::Char,
                        _ => self.model_type,
                    };
                }
                (24, Value::Varint(flag)) => self.treat_whitespace_as_suffix = flag != 0,
                (35, Value::Varint(flag)) => self.byte_fallback = flag != 0,
                (40, Value::Varint(id)) => self.unk_id = read_enumeration(id),
                (41, Value::Varint(id)) => self.bos_id = read_enumeration(id),
                (42, Value::Varint(id)) => self.eos_id = read_enumeration(id),
                (44, Value::Bytes(text, at)) => self.unk_surface = read_text(text, at)?,
                (45, Value::Bytes(text, at)) => self.unk_piece = read_text(text, at)?,
                (46, Value::Bytes(text, at)) => self.bos_piece = read_text(text, at)?,
                (47, Value::Bytes(text, at)) => self.eos_piece = read_text(text, at)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl NormalizerSpec {
    fn merge(&mut self, bytes: &[u8], at: usize) -> Result<(), String> {
        for field in Fields::new(bytes, at) {
            match field? {
                (2, Value::Bytes(map, _)) => self.precompiled_charsmap = map.to_vec(),
                (3, Value::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Value::Varint(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Value::Varint(flag)) => self.escape_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// An `int32` or an enumeration: the lower half of the number.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the format says that the upper half is dropped"
)]
fn read_enumeration(value: u64) -> i32 {
    (value as u32).cast_signed()
}

fn read_text(bytes: &[u8], at: usize) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "byte {}: a text that is not UTF-8",
            at + error.valid_up_to()
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes messages, for tests.
    #[derive(Default)]
    pub(crate) struct Writer(pub(crate) Vec<u8>);

    impl Writer {
        fn varint(&mut self, mut value: u64) {
            while value > 0x7f {
                self.0.push(0x80 | u8::try_from(value & 0x7f).unwrap());
                value >>= 7;
            }
            self.0.push(u8::try_from(value).unwrap());
        }

        pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
            self.varint(field << 3);
            self.varint(value);
            self
        }

        pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
            self.varint(field << 3 | 5);
            self.0.extend(value.to_le_bytes());
            self
        }

        pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
            self.varint(field << 3 | 2);
            self.varint(value.len() as u64);
            self.0.extend(value);
            self
        }

        pub(crate) fn piece(self, text: &str, score: f32, kind: u64) -> Self {
            let piece = Self::default()
                .bytes(1, text.as_bytes())
                .float(2, score)
                .number(3, kind);
            self.bytes(1, &piece.0)
        }
    }

    fn read(bytes: &[u8]) -> Result<SentencePiece, String> {
        SentencePiece::read(bytes, "tokenizer.model").map_err(|error| error.to_string())
    }

    #[test]
    fn the_fields_and_their_defaults() {
        let plain = read(&Writer::default().bytes(1, b"").0).unwrap();
        assert_eq!(plain.pieces.len(), 1);
        assert_eq!(plain.pieces[0].kind, PieceKind::Normal);
        assert_eq!(plain.trainer, TrainerSpec::default());
        assert_eq!(plain.normalizer, NormalizerSpec::default());

        let trainer = Writer::default()
            .number(3, 2)
            .number(24, 1)
            .number(35, 1)
            .number(40, 3)
            .number(41, u64::MAX)
            .bytes(44, b"?")
            .bytes(45, b"[UNK]")
            .bytes(200, b"an extension");
        let normalizer = Writer::default()
            .bytes(1, b"nmt_nfkc")
            .bytes(2, &[1, 2])
            .number(3, 0);
        let file = Writer::default()
            .piece("<unk>", 0.0, 2)
            .piece("\u{2581}a", -1.5, 1)
            .bytes(2, &trainer.0)
            .bytes(3, &normalizer.0)
            .bytes(4, b"self_test_data")
            .bytes(5, &Writer::default().number(3, 0).0);
        let model = read(&file.0).unwrap();
        assert!(!model.denormalizes);
        assert!(read(&file.bytes(5, &normalizer.0).0).unwrap().denormalizes);
        assert_eq!(model.pieces[0].kind, PieceKind::Unknown);
        assert_eq!(model.pieces[1].piece, "\u{2581}a");
        assert_eq!(model.pieces[1].score.to_bits(), (-1.5_f32).to_bits());
        assert_eq!(model.trainer.model_type, ModelType::Bpe);
        assert!(model.trainer.byte_fallback && model.trainer.treat_whitespace_as_suffix);
        assert_eq!((model.trainer.unk_id, model.trainer.bos_id), (3, -1));
        assert_eq!(model.trainer.unk_piece, "[UNK]");
        assert_eq!(model.trainer.unk_surface, "?");
        assert_eq!(model.normalizer.precompiled_charsmap, [1, 2]);
        assert!(!model.normalizer.add_dummy_prefix && model.normalizer.escape_whitespaces);
    }

    #[test]
    fn what_is_unknown_is_skipped_and_what_comes_twice_is_merged() {
        // A wire type that the field does not have, a type without a name, and a second message.
        let piece = Writer::default()
            .bytes(1, b"a")
            .number(1, 7)
            .number(3, 6)
            .number(3, 9);
        let file = Writer::default()
            .bytes(1, &piece.0)
            .number(2, 5)
            .bytes(2, &Writer::default().number(3, 2).number(3, 77).0)
            .bytes(2, &Writer::default().number(35, 1).0);
        let model = read(&file.0).unwrap();
        assert_eq!(model.pieces[0].piece, "a");
        assert_eq!(model.pieces[0].kind, PieceKind::Byte);
        assert_eq!(model.trainer.model_type, ModelType::Bpe);
        assert!(model.trainer.byte_fallback);
    }

    #[test]
    fn refusals() {
        let cases: [(Vec<u8>, &str); 7] = [
            (
                Vec::new(),
                "tokenizer.model: pieces: no pieces: expected a SentencePiece model",
            ),
            (
                vec![0x0a, 9, 1],
                "tokenizer.model: ModelProto: byte 2: expected 9 bytes, and 1 are left",
            ),
            (
                Writer::default()
                    .piece("a", 0.0, 1)
                    .bytes(1, &[0x0a, 4, b'b'])
                    .0,
                "tokenizer.model: pieces[1]: byte 16: expected 4 bytes, and 1 are left",
            ),
            (
                Writer::default()
                    .bytes(1, &Writer::default().bytes(1, &[b'x', 0xff]).0)
                    .0,
                "tokenizer.model: pieces[0]: byte 5: a text that is not UTF-8",
            ),
            (
                Writer::default().piece("a", f32::NAN, 1).0,
                "tokenizer.model: pieces[0]: \"a\" has the score NaN",
            ),
            (
                Writer::default().piece(&"x".repeat(70_000), 0.0, 1).0,
                "tokenizer.model: pieces[0]: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\" has 70000 bytes; at most 65536 are read",
            ),
            (
                Writer::default().bytes(2, &[0x0f]).0,
                "tokenizer.model: trainer_spec: byte 3: the wire type 7 is unknown",
            ),
        ];
        for (bytes, message) in cases {
            assert_eq!(read(&bytes).unwrap_err(), message);
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_answer() {
        let file = Writer::default()
            .piece("<unk>", 0.0, 2)
            .piece("ab", -1.0, 1)
            .bytes(2, &Writer::default().number(3, 2).bytes(45, b"<unk>").0)
            .bytes(3, &Writer::default().bytes(2, &[0; 9]).0)
            .0;
        for cut in 0..file.len() {
            let _ = read(&file[..cut]);
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[cut] ^= 1 << bit;
                let _ = read(&changed);
            }
        }
    }
}
