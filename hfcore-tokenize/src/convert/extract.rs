//! From a SentencePiece model to a vocabulary: what `SentencePieceExtractor` and `SpmConverter` of transformers 5.23 take
//! out of it (`convert_slow_tokenizer.py`).

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::ids::Ids;
use super::merges::splits;
use super::sentencepiece::{ModelType, PieceKind, SentencePiece};
use crate::base64;
use crate::engine::{Added, Bpe, Definition, Model, ModelKind, Unigram};
use crate::error::TokenizeError;

/// What transformers hands to a class that builds its tokenizer around a SentencePiece model's vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extracted {
    /// The file that it comes from, for messages.
    pub(crate) file: &'static str,
    /// A [`Model::Bpe`] with its merges, or a [`Model::Unigram`]; the other settings are for the class to make.
    pub(crate) model: Model,
    /// The control pieces (special) and the user-defined ones (not special), which become
    /// `additional_special_tokens`, whatever the configuration says there.
    pub(crate) additional_special_tokens: Vec<Added>,
    /// `_spm_precompiled_charsmap`, in base64.
    pub(crate) precompiled_charsmap: Option<String>,
}

/// A tokenizer that transformers builds from a SentencePiece model without a class of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backend {
    /// Whole but for the post-processor, which follows `add_bos_token` and `add_eos_token`.
    pub(crate) definition: Definition,
    /// `bos_token`, `eos_token` and `unk_token` where the configuration does not say.
    pub(crate) special_tokens: Vec<(&'static str, String)>,
}

impl SentencePiece {
    /// The vocabulary, as the kind of model that the class wants; without a wish, as the kind that the file was
    /// trained as (any but unigram counts as BPE).
    ///
    /// # Errors
    ///
    /// Where the merges of a BPE would take more memory than a vocabulary of this size can need.
    pub(crate) fn extract(&self, wanted: Option<ModelKind>) -> Result<Extracted, TokenizeError> {
        let unigram = match wanted {
            None => self.trainer.model_type == ModelType::Unigram,
            Some(kind) => kind != ModelKind::Bpe,
        };
        let model = if unigram {
            Model::Unigram(Unigram {
                vocab: self
                    .pieces
                    .iter()
                    .map(|piece| (piece.piece.clone(), f64::from(piece.score)))
                    .collect(),
                unk_id: usize::try_from(self.trainer.unk_id).ok(),
                byte_fallback: false,
            })
        } else {
            Model::Bpe(self.bpe()?)
        };
        let added = (0_u64..)
            .zip(&self.pieces)
            .filter(|(_, piece)| matches!(piece.kind, PieceKind::Control | PieceKind::UserDefined));
        Ok(Extracted {
            file: self.file,
            model,
            additional_special_tokens: added
                .map(|(id, piece)| Added {
                    id,
                    content: piece.piece.clone(),
                    single_word: false,
                    lstrip: false,
                    rstrip: false,
                    normalized: false,
                    special: piece.kind == PieceKind::Control,
                })
                .collect(),
            precompiled_charsmap: self.charsmap(),
        })
    }

    fn charsmap(&self) -> Option<String> {
        let map = &self.normalizer.precompiled_charsmap;
        (!map.is_empty()).then(|| base64::encode(map))
    }

    /// Ids are positions; of a piece that comes twice the last one counts, at the place of the first. The merges come
    /// in the order of the ids of what they make, then of the length of the left part (`generate_merges`).
    fn bpe(&self) -> Result<Bpe, TokenizeError> {
        let mut ids = Ids::with_capacity(self.pieces.len());
        for (id, piece) in (0_u32..).zip(&self.pieces) {
            ids.set(piece.piece.clone(), id);
        }
        let vocab = ids.into_vocab();
        let mut tokens: Vec<(u32, &str)> = vocab
            .iter()
            .map(|(token, id)| (*id, token.as_str()))
            .collect();
        tokens.sort_unstable_by_key(|&(id, _)| id);
        let bytes: Vec<&[u8]> = tokens.iter().map(|(_, token)| token.as_bytes()).collect();
        let splits = splits(&bytes).map_err(|problem| TokenizeError::Invalid {
            file: self.file,
            at: "pieces".to_owned(),
            problem,
        })?;
        let text = |index: u32| tokens[index as usize].1.to_owned();
        let merges = splits
            .iter()
            .map(|split| (text(split.left), text(split.right)))
            .collect();
        Ok(Bpe {
            vocab,
            merges,
            ..Bpe::default()
        })
    }

    /// The tokenizer without a class (`SpmConverter.build_tokenizer_from_spm_proto`). `added_tokens_decoder` is the
    /// configuration's: a BPE's token whose id it gives to another name gets that name.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract), and where a unigram model has no unknown piece.
    pub(crate) fn backend(
        &self,
        added_tokens_decoder: &[(u64, String)],
    ) -> Result<Backend, TokenizeError> {
        let Extracted {
            file,
            mut model,
            additional_special_tokens,
            precompiled_charsmap,
        } = self.extract(None)?;
        let byte_fallback = self.trainer.byte_fallback;
        match &mut model {
            Model::Unigram(unigram) => {
                if unigram.unk_id.is_none() {
                    return Err(TokenizeError::Invalid {
                        file,
                        at: "trainer_spec.unk_id".to_owned(),
                        problem: format!(
                            "expected the id of the unknown piece, found {}",
                            self.trainer.unk_id
                        ),
                    });
                }
                unigram.byte_fallback = byte_fallback;
            }
            Model::Bpe(bpe) => {
                rename(&mut bpe.vocab, added_tokens_decoder);
                bpe.unk_token = Some(self.trainer.unk_piece.clone());
                bpe.fuse_unk = true;
                bpe.byte_fallback = byte_fallback;
            }
            Model::WordPiece(_) | Model::WordLevel(_) | Model::SentencePiece(_) => {}
        }
        let mut definition = Definition::new(file, model);
        definition.added_tokens = additional_special_tokens;
        let mut normalizers: Vec<Value> =
            precompiled_charsmap.into_iter().map(precompiled).collect();
        normalizers.push(replace(" ", "\u{2581}"));
        definition.normalizer = json!({"type": "Sequence", "normalizers": normalizers});
        let mut decoders = vec![replace("\u{2581}", " ")];
        if byte_fallback {
            decoders.extend([json!({"type": "ByteFallback"}), json!({"type": "Fuse"})]);
        }
        definition.decoder = json!({"type": "Sequence", "decoders": decoders});

        let trainer = &self.trainer;
        let named = [
            ("bos_token", trainer.bos_id, &trainer.bos_piece, "<s>"),
            ("eos_token", trainer.eos_id, &trainer.eos_piece, "</s>"),
            ("unk_token", trainer.unk_id, &trainer.unk_piece, "<unk>"),
        ];
        let special_tokens = named.into_iter().filter(|&(_, id, ..)| id >= 0);
        Ok(Backend {
            definition,
            special_tokens: special_tokens
                .map(|(name, _, piece, default)| {
                    let piece = if piece.is_empty() { default } else { piece };
                    (name, piece.to_owned())
                })
                .collect(),
        })
    }
}

fn precompiled(charsmap: String) -> Value {
    json!({"type": "Precompiled", "precompiled_charsmap": charsmap})
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})
}

/// Gives the tokens of these ids other names, where nobody has the name yet.
fn rename(vocab: &mut [(String, u32)], names: &[(u64, String)]) {
    if names.is_empty() {
        return;
    }
    let mut places: HashMap<u64, usize> = HashMap::with_capacity(vocab.len());
    let mut taken: HashSet<String> = HashSet::with_capacity(vocab.len());
    for (place, (token, id)) in vocab.iter().enumerate() {
        places.insert(u64::from(*id), place);
        taken.insert(token.clone());
    }
    for (id, name) in names {
        let Some(&place) = places.get(id) else {
            continue;
        };
        let token = &mut vocab[place].0;
        // Python takes an empty name for none.
        if !token.is_empty() && token != name && !taken.contains(name) {
            taken.remove(token);
            taken.insert(name.clone());
            token.clone_from(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sentencepiece::tests::Writer;
    use super::*;

    fn model(writer: &Writer) -> SentencePiece {
        SentencePiece::read(&writer.0, "tokenizer.model").unwrap()
    }

    fn bpe_file() -> Writer {
        Writer::default()
            .bytes(2, &Writer::default().number(3, 2).number(35, 1).0)
            .piece("<unk>", 0.0, 2)
            .piece("<s>", 0.0, 3)
            .piece("</s>", 0.0, 3)
            .piece("ab", -0.0, 1)
            .piece("aba", -1.0, 1)
            .piece("[X]", 0.0, 4)
            .piece("a", -2.0, 1)
            .piece("b", -3.0, 1)
            .piece("ba", -4.0, 1)
    }

    #[test]
    fn merges_by_id_and_length() {
        let extracted = model(&bpe_file()).extract(None).unwrap();
        let Model::Bpe(bpe) = &extracted.model else {
            panic!("{:?}", extracted.model);
        };
        let merges: Vec<(&str, &str)> = bpe
            .merges
            .iter()
            .map(|(left, right)| (left.as_str(), right.as_str()))
            .collect();
        assert_eq!(merges, [("a", "b"), ("a", "ba"), ("ab", "a"), ("b", "a")]);
        let added: Vec<(u64, &str, bool)> = extracted
            .additional_special_tokens
            .iter()
            .map(|token| (token.id, token.content.as_str(), token.special))
            .collect();
        assert_eq!(
            added,
            [(1, "<s>", true), (2, "</s>", true), (5, "[X]", false)]
        );
    }

    #[test]
    fn the_class_says_which_model() {
        let unigram = model(&bpe_file())
            .extract(Some(ModelKind::Unigram))
            .unwrap();
        let Model::Unigram(unigram) = unigram.model else {
            panic!("{:?}", unigram.model);
        };
        assert_eq!(unigram.vocab[4], ("aba".to_owned(), -1.0));
        assert_eq!(unigram.unk_id, Some(0));
    }

    #[test]
    fn a_piece_that_comes_twice() {
        let twice = model(&bpe_file().piece("ab", -5.0, 1))
            .extract(None)
            .unwrap();
        let Model::Bpe(bpe) = twice.model else {
            panic!("{:?}", twice.model);
        };
        assert_eq!(bpe.vocab[3], ("ab".to_owned(), 9));
        assert_eq!(bpe.merges.last().unwrap().1, "b");
    }

    #[test]
    fn a_backend_renames_placeholders() {
        let names = [(5, "<image>".to_owned()), (6, "b".to_owned())];
        let backend = model(&bpe_file()).backend(&names).unwrap();
        let Model::Bpe(bpe) = &backend.definition.model else {
            panic!("{:?}", backend.definition.model);
        };
        assert_eq!(bpe.vocab[5], ("<image>".to_owned(), 5));
        assert_eq!(bpe.vocab[6], ("a".to_owned(), 6));
        assert!(bpe.byte_fallback && bpe.fuse_unk);
        assert_eq!(
            backend.special_tokens,
            [
                ("bos_token", "<s>".to_owned()),
                ("eos_token", "</s>".to_owned()),
                ("unk_token", "<unk>".to_owned()),
            ]
        );
        backend.definition.build().unwrap();
    }

    #[test]
    fn a_unigram_without_an_unknown_piece() {
        let file = Writer::default()
            .bytes(2, &Writer::default().number(40, u64::MAX).0)
            .piece("a", 0.0, 1);
        assert_eq!(
            model(&file).backend(&[]).unwrap_err().to_string(),
            "tokenizer.model: trainer_spec.unk_id: expected the id of the unknown piece, found -1"
        );
    }
}
