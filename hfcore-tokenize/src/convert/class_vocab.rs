//! Vocabularies that a class lays out otherwise than its SentencePiece model does (`convert_from_spm` and
//! `convert_from_spm_model` of transformers 5.23): fairseq's models begin with other special tokens, translation
//! models end with language codes, T5 with sentinels.

use serde_json::{Map, Value};

use super::extract::Extracted;
use super::ids::Ids;
use crate::engine::{Bpe, MAX_ADDED, Model, ModelKind, Unigram};
use crate::error::{TOKENIZER_CONFIG, TokenizeError};

/// The language codes of mBART, in the order of their ids.
pub(crate) const MBART_LANGUAGES: [&str; 25] = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN",
    "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO",
    "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN",
];

/// Those that mBART-50 has after them.
pub(crate) const MBART50_MORE_LANGUAGES: [&str; 27] = [
    "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK",
    "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN",
    "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
];

impl Extracted {
    /// The vocabulary as `class` lays it out; unchanged for a class that keeps the model's. `config` are the arguments
    /// that the class is made with: `tokenizer_config.json`, with the names of the special tokens.
    ///
    /// # Errors
    ///
    /// A class of unigram models over a BPE, and a number in `config` that is none or too large.
    pub(crate) fn laid_out(
        mut self,
        class: &str,
        config: &Map<String, Value>,
    ) -> Result<Self, TokenizeError> {
        let name = |key, default| token(config, key, default);
        let special = |key, default| (token(config, key, default), 0.0);
        let fairseq = |first| {
            vec![
                special(first, "<s>"),
                special("pad_token", "<pad>"),
                special("eos_token", "</s>"),
                special("unk_token", "<unk>"),
            ]
        };
        let mask = || special("mask_token", "<mask>");
        match class {
            "T5Tokenizer" | "VideoPrismTokenizer" => {
                let count = number(config, "extra_ids", 100)?;
                let vocab = self.unigram(class)?;
                vocab.extend((0..count).rev().map(|id| (format!("<extra_id_{id}>"), 0.0)));
            }
            "XLMRobertaTokenizer" | "LayoutXLMTokenizer" => {
                let vocab = self.unigram(class)?;
                put_for(vocab, 3, fairseq("bos_token"));
                vocab.push(mask());
            }
            "CamembertTokenizer" => {
                let vocab = self.unigram(class)?;
                let first = vec![
                    ("<s>NOTUSED".to_owned(), 0.0),
                    special("pad_token", "<pad>"),
                    ("</s>NOTUSED".to_owned(), 0.0),
                    special("unk_token", "<unk>"),
                    ("<unk>NOTUSED".to_owned(), -100.0),
                ];
                put_for(vocab, 1, first);
                vocab.push(mask());
            }
            "MBartTokenizer" => {
                let vocab = self.unigram(class)?;
                put_for(vocab, 3, fairseq("bos_token"));
                vocab.extend(MBART_LANGUAGES.map(|code| (code.to_owned(), 0.0)));
                vocab.push(mask());
            }
            "MBart50Tokenizer" => {
                let vocab = self.unigram(class)?;
                put_for(vocab, 3, fairseq("cls_token"));
                vocab.extend(MBART_LANGUAGES.map(|code| (code.to_owned(), 0.0)));
                vocab.extend(MBART50_MORE_LANGUAGES.map(|code| (code.to_owned(), 0.0)));
                vocab.push(mask());
            }
            "PegasusTokenizer" => {
                let offset = number(config, "offset", 103)?;
                let mut first = vec![special("pad_token", "<pad>"), special("eos_token", "</s>")];
                let mask = name("mask_token", "<mask_1>");
                let sentence = name("mask_token_sent", "<mask_2>");
                if mask != "None" {
                    first.push((mask.clone(), 0.0));
                }
                if sentence != "None" && sentence != mask {
                    first.push((sentence, 0.0));
                }
                first.extend((2..offset).map(|id| (format!("<unk_{id}>"), -100.0)));
                put_for(self.unigram(class)?, 2, first);
            }
            "NllbTokenizer" => {
                let first = [
                    name("bos_token", "<s>"),
                    name("pad_token", "<pad>"),
                    name("eos_token", "</s>"),
                    name("unk_token", "<unk>"),
                ];
                let vocab = self.bpe(class)?;
                let mut renumbered = Ids::default();
                for (token, id) in first.into_iter().zip(0..) {
                    renumbered.set(token, id);
                }
                for (token, _) in std::mem::take(vocab) {
                    if !renumbered.contains(&token) {
                        let id = u32::try_from(renumbered.len());
                        renumbered.set(token, id.expect("at most 4 Mi pieces were read"));
                    }
                }
                *vocab = renumbered.into_vocab();
            }
            "SeamlessM4TTokenizer" => {
                let vocab = self.bpe(class)?;
                let mut renumbered = Ids::default();
                for (token, id) in ["<pad>", "<unk>", "<s>", "</s>"].into_iter().zip(0..) {
                    renumbered.set(token.to_owned(), id);
                }
                for ((token, _), id) in std::mem::take(vocab).into_iter().zip(1..) {
                    renumbered.set(token, id);
                }
                *vocab = renumbered.into_vocab();
            }
            _ => {}
        }
        Ok(self)
    }

    fn unigram(&mut self, class: &str) -> Result<&mut Vec<(String, f64)>, TokenizeError> {
        let kind = self.model.kind();
        match &mut self.model {
            Model::Unigram(Unigram { vocab, .. }) => Ok(vocab),
            _ => Err(other_model(self.file, class, "Unigram", kind)),
        }
    }

    fn bpe(&mut self, class: &str) -> Result<&mut Vec<(String, u32)>, TokenizeError> {
        let kind = self.model.kind();
        match &mut self.model {
            Model::Bpe(Bpe { vocab, .. }) => Ok(vocab),
            _ => Err(other_model(self.file, class, "BPE", kind)),
        }
    }
}

fn other_model(file: &'static str, class: &str, wanted: &str, found: ModelKind) -> TokenizeError {
    TokenizeError::Invalid {
        file,
        at: "trainer_spec.model_type".to_owned(),
        problem: format!("{class} needs a {wanted} model, found {found:?}"),
    }
}

/// Puts `first` in the place of the first `count` pieces.
fn put_for(vocab: &mut Vec<(String, f64)>, count: usize, first: Vec<(String, f64)>) {
    drop(vocab.splice(..count.min(vocab.len()), first));
}

/// The text of a token in the configuration. One that is null is the text `None`, as Python prints it.
fn token(config: &Map<String, Value>, key: &str, default: &str) -> String {
    match config.get(key) {
        None => default,
        Some(Value::Null) => "None",
        Some(value) => value
            .as_str()
            .or_else(|| value.get("content").and_then(Value::as_str))
            .unwrap_or(default),
    }
    .to_owned()
}

fn number(config: &Map<String, Value>, key: &str, default: usize) -> Result<usize, TokenizeError> {
    let Some(value) = config.get(key) else {
        return Ok(default);
    };
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .filter(|&number| number <= MAX_ADDED)
        .ok_or_else(|| TokenizeError::Invalid {
            file: TOKENIZER_CONFIG,
            at: key.to_owned(),
            problem: format!("expected 0..={MAX_ADDED}, found {value}"),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unigram() -> Extracted {
        let pieces = ["<unk>", "<s>", "</s>", "a", "b"];
        Extracted {
            file: "spiece.model",
            model: Model::Unigram(Unigram {
                vocab: pieces
                    .iter()
                    .map(|piece| ((*piece).to_owned(), -1.0))
                    .collect(),
                unk_id: Some(0),
                byte_fallback: false,
            }),
            additional_special_tokens: Vec::new(),
            precompiled_charsmap: None,
        }
    }

    fn bpe() -> Extracted {
        let pieces = ["<unk>", "<s>", "</s>", "a", "b"];
        let vocab = pieces
            .iter()
            .map(|piece| (*piece).to_owned())
            .zip(0..)
            .collect();
        Extracted {
            model: Model::Bpe(Bpe {
                vocab,
                ..Bpe::default()
            }),
            ..unigram()
        }
    }

    fn laid_out(extracted: Extracted, class: &str, config: &Value) -> Result<Vec<String>, String> {
        let config = config.as_object().unwrap();
        let extracted = extracted
            .laid_out(class, config)
            .map_err(|error| error.to_string())?;
        let mut tokens: Vec<(u32, String)> = match extracted.model {
            Model::Unigram(unigram) => (0..)
                .zip(unigram.vocab)
                .map(|(id, (token, _))| (id, token))
                .collect(),
            Model::Bpe(bpe) => bpe
                .vocab
                .into_iter()
                .map(|(token, id)| (id, token))
                .collect(),
            other => panic!("{other:?}"),
        };
        tokens.sort();
        Ok(tokens
            .into_iter()
            .map(|(id, token)| format!("{id} {token}"))
            .collect())
    }

    #[test]
    fn first_and_last_tokens() {
        let none = json!({});
        assert_eq!(
            laid_out(unigram(), "XLMRobertaTokenizer", &none).unwrap(),
            [
                "0 <s>", "1 <pad>", "2 </s>", "3 <unk>", "4 a", "5 b", "6 <mask>"
            ]
        );
        assert_eq!(
            laid_out(unigram(), "CamembertTokenizer", &none).unwrap(),
            [
                "0 <s>NOTUSED",
                "1 <pad>",
                "2 </s>NOTUSED",
                "3 <unk>",
                "4 <unk>NOTUSED",
                "5 <s>",
                "6 </s>",
                "7 a",
                "8 b",
                "9 <mask>"
            ]
        );
        let mbart = laid_out(unigram(), "MBartTokenizer", &none).unwrap();
        assert_eq!(
            (mbart.len(), mbart[6].as_str(), mbart[31].as_str()),
            (32, "6 ar_AR", "31 <mask>")
        );
        let mbart50 = laid_out(unigram(), "MBart50Tokenizer", &none).unwrap();
        assert_eq!(mbart50[57..], ["57 sl_SI", "58 <mask>"]);
        let t5 = laid_out(unigram(), "T5Tokenizer", &json!({"extra_ids": 3})).unwrap();
        assert_eq!(
            t5[4..],
            ["4 b", "5 <extra_id_2>", "6 <extra_id_1>", "7 <extra_id_0>"]
        );
        let pegasus =
            json!({"offset": 4, "mask_token": {"content": "<mask_2>"}, "mask_token_sent": null});
        assert_eq!(
            laid_out(unigram(), "PegasusTokenizer", &pegasus).unwrap(),
            [
                "0 <pad>",
                "1 </s>",
                "2 <mask_2>",
                "3 <unk_2>",
                "4 <unk_3>",
                "5 </s>",
                "6 a",
                "7 b"
            ]
        );
        assert_eq!(
            laid_out(bpe(), "NllbTokenizer", &none).unwrap(),
            ["0 <s>", "1 <pad>", "2 </s>", "3 <unk>", "4 a", "5 b"]
        );
        assert_eq!(
            laid_out(bpe(), "SeamlessM4TTokenizer", &none).unwrap(),
            ["0 <pad>", "1 <unk>", "2 <s>", "3 </s>", "4 a", "5 b"]
        );
        assert_eq!(
            laid_out(bpe(), "LlamaTokenizer", &none).unwrap()[0],
            "0 <unk>"
        );
    }

    #[test]
    fn refusals() {
        assert_eq!(
            laid_out(bpe(), "CamembertTokenizer", &json!({})).unwrap_err(),
            "spiece.model: trainer_spec.model_type: CamembertTokenizer needs a Unigram model, found Bpe"
        );
        assert_eq!(
            laid_out(unigram(), "T5Tokenizer", &json!({"extra_ids": 1e18})).unwrap_err(),
            "tokenizer_config.json: extra_ids: expected 0..=1048576, found 1e+18"
        );
        assert_eq!(
            laid_out(unigram(), "PegasusTokenizer", &json!({"offset": -1})).unwrap_err(),
            "tokenizer_config.json: offset: expected 0..=1048576, found -1"
        );
    }

    #[test]
    fn a_vocabulary_shorter_than_its_special_tokens() {
        let mut short = unigram();
        if let Model::Unigram(unigram) = &mut short.model {
            unigram.vocab.truncate(1);
        }
        assert_eq!(
            laid_out(short, "XLMRobertaTokenizer", &json!({})).unwrap(),
            ["0 <s>", "1 <pad>", "2 </s>", "3 <unk>", "4 <mask>"]
        );
    }
}
