//! Text to ids: `Tokenizer`'s `encode…` and `pad`.
//!
//! Reference: transformers 5.23 `tokenization_utils_base.py` (`__call__`, `_get_padding_truncation_strategies`, `pad`)
//! and `tokenization_utils_tokenizers.py` (`_encode_plus`).

use tokenizers::{Model as _, OffsetType, PostProcessor as _, PreTokenizer as _};

use crate::batch::BatchEncoding;
use crate::classes::Marian;
use crate::encoding::Encoding;
use crate::engine;
use crate::error::{TokenizeError, catch};
use crate::input::{EncodeInput, Source};
use crate::options::{EncodeOptions, Padding, Truncation};
use crate::options_error::OptionsError;
use crate::pad::Fill;
use crate::threads;
use crate::tokenizer::Tokenizer;
use crate::truncate::Cut;

/// What a model takes that does not say so.
const INPUT_NAMES: [&str; 2] = ["input_ids", "attention_mask"];

/// Options, checked and completed by the tokenizer's own.
struct Plan {
    add_special_tokens: bool,
    split_special_tokens: bool,
    cut: Option<Cut>,
    fill: Option<Fill>,
}

impl Tokenizer {
    /// Encodes one text. With `add_special_tokens` the post-processor adds its tokens (`<s>`, `[CLS]`, …), as
    /// `tokenizer(text)` does by default in transformers. Special tokens in the text itself are recognised.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Encode`] for a word that the model has no token for, [`TokenizeError::PatternGaveUp`],
    /// [`TokenizeError::NormalizerGrowth`].
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Encoding, TokenizeError> {
        self.run(&EncodeInput::text(text), &self.plain(add_special_tokens))
    }

    /// Encodes two texts into one sequence, as the post-processor joins them. [`Encoding::sequence_ids`] says which of
    /// them a token's offsets count in.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_pair(
        &self,
        text: &str,
        pair: &str,
        add_special_tokens: bool,
    ) -> Result<Encoding, TokenizeError> {
        let input = EncodeInput::from((text, pair));
        self.run(&input, &self.plain(add_special_tokens))
    }

    /// Encodes each text by itself, on all cores; nothing is padded.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), as a [`TokenizeError::InBatch`] that says which text it is: the first that fails.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        add_special_tokens: bool,
    ) -> Result<Vec<Encoding>, TokenizeError> {
        let inputs: Vec<_> = texts
            .iter()
            .map(|text| EncodeInput::text(text.as_ref()))
            .collect();
        self.run_all(&inputs, &self.plain(add_special_tokens), None)
    }

    /// The ids that [`encode`](Self::encode) gives, in less time: tokens, offsets and words are not made.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_ids(
        &self,
        text: &str,
        add_special_tokens: bool,
    ) -> Result<Vec<u32>, TokenizeError> {
        if self.behaviour().python.is_some() {
            return Ok(self.encode(text, add_special_tokens)?.ids);
        }
        catch("encoding", || {
            engine::watched(|| {
                let encoding = self.engine().encode_ids(text, add_special_tokens);
                Ok(encoding
                    .map_err(TokenizeError::from_engine)?
                    .get_ids()
                    .to_vec())
            })
        })
    }

    /// [`encode_ids`](Self::encode_ids) of each text, on all cores as [`encode_batch`](Self::encode_batch).
    ///
    /// # Errors
    ///
    /// As [`encode_batch`](Self::encode_batch).
    pub fn encode_ids_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        add_special_tokens: bool,
    ) -> Result<Vec<Vec<u32>>, TokenizeError> {
        let bytes = texts.iter().map(|text| text.as_ref().len()).sum();
        let threads = threads::count(None, texts.len(), bytes);
        in_order(threads::map(texts, threads, |text| {
            self.encode_ids(text.as_ref(), add_special_tokens)
        }))
    }

    /// Encodes a text or a pair, or the words of either, as `tokenizer(…)` does in transformers: cut, padded, with what
    /// was cut in [`Encoding::overflowing`]. As there, a second text that is empty is none.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`TokenizeError::Options`] for options that contradict each other, the
    /// tokenizer or the text.
    pub fn encode_with<'a>(
        &self,
        input: impl Into<EncodeInput<'a>>,
        options: &EncodeOptions,
    ) -> Result<Encoding, TokenizeError> {
        let plan = self.plan(options)?;
        let mut encoding = self.run(&input.into().without_empty_pair(), &plan)?;
        if let Some(fill) = &plan.fill {
            fill.apply(std::slice::from_mut(&mut encoding))?;
        }
        Ok(encoding)
    }

    /// Encodes a batch of texts, pairs or words on all cores, as `tokenizer([…])` does in transformers.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hfcore_tokenize::{EncodeOptions, Padding, Tokenizer};
    ///
    /// # let json = br#"{"pre_tokenizer": {"type": "Whitespace"},
    /// #   "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "<pad>": 3}}}"#;
    /// let tokenizer = Tokenizer::from_slices(json, Some(br#"{"pad_token": "<pad>"}"#))?;
    /// let options = EncodeOptions::default().with_padding(Padding::Longest);
    /// let batch = tokenizer.encode_batch_with(["a b a", "b"], &options)?;
    /// assert_eq!(batch.width()?, 3);
    /// assert_eq!(batch.input_ids()?, [1, 2, 1, 2, 3, 3]);
    /// assert_eq!(batch.attention_mask()?.unwrap(), [1, 1, 1, 1, 0, 0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode_with`](Self::encode_with); what a text is to blame for is a [`TokenizeError::InBatch`] that says
    /// which.
    pub fn encode_batch_with<'a, I: Into<EncodeInput<'a>>>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        options: &EncodeOptions,
    ) -> Result<BatchEncoding, TokenizeError> {
        let plan = self.plan(options)?;
        let inputs: Vec<EncodeInput<'a>> = inputs.into_iter().map(Into::into).collect();
        let mut encodings = self.run_all(&inputs, &plan, options.threads)?;
        if let Some(fill) = &plan.fill {
            fill.apply(&mut encodings)?;
        }
        Ok(self.batch(encodings, options))
    }

    /// Pads what is encoded already, by the same options; those that are not about padding or about what is returned
    /// have no meaning here.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Options`].
    pub fn pad(
        &self,
        encodings: impl IntoIterator<Item = Encoding>,
        options: &EncodeOptions,
    ) -> Result<BatchEncoding, TokenizeError> {
        let max_length = options.max_length.or(self.model_max_length());
        let pad = self.pad_token().zip(self.pad_token_id());
        let fill = Fill::new(options, max_length, pad, self.padding_side())?;
        let mut encodings: Vec<Encoding> = encodings.into_iter().collect();
        if let Some(fill) = fill {
            fill.apply(&mut encodings)?;
        }
        Ok(self.batch(encodings, options))
    }

    /// An encoding of ids alone, without a text: to [`pad`](Self::pad) them.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::UnknownId`] for an id that no token has.
    pub fn encoding_of_ids(&self, ids: &[u32]) -> Result<Encoding, TokenizeError> {
        let token = |&id: &u32| {
            let token = self.engine().id_to_token(id);
            token.ok_or(TokenizeError::UnknownId {
                id,
                len: self.len(),
            })
        };
        let tokens = ids.iter().map(token).collect::<Result<_, _>>()?;
        let count = ids.len();
        Ok(Encoding {
            ids: ids.to_vec(),
            tokens,
            offsets: vec![0..0; count],
            char_offsets: vec![0..0; count],
            special_tokens_mask: self.get_special_tokens_mask(ids),
            attention_mask: vec![1; count],
            type_ids: vec![0; count],
            sequence_ids: vec![None; count],
            word_ids: vec![None; count],
            ..Encoding::default()
        })
    }

    /// The tokens of a text, as the vocabulary writes them.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn tokenize(
        &self,
        text: &str,
        pair: Option<&str>,
        add_special_tokens: bool,
    ) -> Result<Vec<String>, TokenizeError> {
        let encoding = match pair.filter(|pair| !pair.is_empty()) {
            Some(pair) => self.encode_pair(text, pair, add_special_tokens),
            None => self.encode(text, add_special_tokens),
        };
        Ok(encoding?.tokens)
    }

    /// How many special tokens the post-processor adds to a text, or to a pair.
    #[must_use]
    pub fn num_special_tokens_to_add(&self, pair: bool) -> usize {
        self.engine()
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(pair))
    }

    fn batch(&self, encodings: Vec<Encoding>, options: &EncodeOptions) -> BatchEncoding {
        match self.model_input_names() {
            Some(names) => BatchEncoding::new(encodings, options, names),
            None => BatchEncoding::new(encodings, options, &INPUT_NAMES),
        }
    }

    fn plain(&self, add_special_tokens: bool) -> Plan {
        Plan {
            add_special_tokens,
            split_special_tokens: self.splits_special_tokens(),
            cut: None,
            fill: None,
        }
    }

    fn plan(&self, options: &EncodeOptions) -> Result<Plan, OptionsError> {
        let strategy = options.truncation.unwrap_or({
            if options.max_length.is_some() && options.padding == Padding::DoNotPad {
                Truncation::LongestFirst
            } else {
                Truncation::DoNotTruncate
            }
        });
        let max_length = options.max_length.or(self.model_max_length());
        let pad = self.pad_token().zip(self.pad_token_id());
        let fill = Fill::new(options, max_length, pad, self.padding_side())?;
        let max_length = max_length.filter(|_| strategy != Truncation::DoNotTruncate);
        if let (Some(max_length), Some(_), Some(pad_to_multiple_of)) =
            (max_length, &fill, options.pad_to_multiple_of)
            && !max_length.is_multiple_of(pad_to_multiple_of)
        {
            return Err(OptionsError::NotAMultiple {
                max_length,
                pad_to_multiple_of,
            });
        }
        let cut = max_length.map(|max_length| Cut {
            strategy,
            max_length,
            stride: options.stride,
            side: self.truncation_side(),
            keep: options.return_overflowing_tokens,
            python: self.behaviour().python.is_some(),
        });
        if let Some(cut) = cut.as_ref().filter(|cut| !cut.python) {
            self.check_stride(cut)?;
        }
        Ok(Plan {
            add_special_tokens: options.add_special_tokens,
            split_special_tokens: options
                .split_special_tokens
                .unwrap_or(self.splits_special_tokens()),
            cut,
            fill,
        })
    }

    /// The engine checks a stride before it has a text, by the special tokens of a single one, added or not.
    fn check_stride(&self, cut: &Cut) -> Result<(), OptionsError> {
        let special = self.num_special_tokens_to_add(false);
        match cut.max_length.checked_sub(special) {
            Some(room) if room < cut.stride => Err(OptionsError::Stride {
                stride: cut.stride,
                max_length: cut.max_length,
                special,
                room,
            }),
            _ => Ok(()),
        }
    }

    fn run_all(
        &self,
        inputs: &[EncodeInput<'_>],
        plan: &Plan,
        threads: Option<usize>,
    ) -> Result<Vec<Encoding>, TokenizeError> {
        let bytes = inputs.iter().map(EncodeInput::bytes).sum();
        let threads = threads::count(threads, inputs.len(), bytes);
        in_order(threads::map(inputs, threads, |input| self.run(input, plan)))
    }

    /// Encodes and cuts; padding needs the whole batch.
    fn run(&self, input: &EncodeInput<'_>, plan: &Plan) -> Result<Encoding, TokenizeError> {
        if plan.cut.as_ref().is_some_and(|cut| cut.python && cut.keep) {
            self.check_python(
                "it returns no overflowing tokens of its own form; cut a text in parts before",
            )?;
        }
        catch("encoding", || {
            let text = self.sequence(&input.text, 0, plan)?;
            let pair = input.pair.as_ref();
            let pair = pair.map(|pair| self.sequence(pair, 1, plan)).transpose()?;
            let (text, pair) = match &plan.cut {
                None => (text, pair),
                Some(cut) => {
                    let special = if plan.add_special_tokens {
                        self.num_special_tokens_to_add(pair.is_some())
                    } else {
                        0
                    };
                    cut.apply(text, pair, special)?
                }
            };
            let (text, pair) = match &self.behaviour().python {
                Some(python) if plan.add_special_tokens => (
                    python.without_end(text),
                    pair.map(|pair| python.without_end(pair)),
                ),
                _ => (text, pair),
            };
            let whole = self
                .engine()
                .post_process(text, pair, plan.add_special_tokens)
                .map_err(TokenizeError::from_engine)?;
            let mut encoding = Encoding::new(&whole, input);
            if self.behaviour().marian.is_some() {
                Marian::mark(self, &mut encoding, plan.add_special_tokens);
            }
            Ok(encoding)
        })
    }

    fn sequence(
        &self,
        source: &Source<'_>,
        type_id: u32,
        plan: &Plan,
    ) -> Result<tokenizers::Encoding, TokenizeError> {
        match source {
            Source::Text(text) => self.one(text, None, type_id, plan),
            Source::Words(words) => {
                let words = (0..).zip(words.iter().map(AsRef::<str>::as_ref));
                let word = |(index, word)| self.one(word, Some(index), type_id, plan);
                words.map(word).collect()
            }
        }
    }

    /// The engine's `encode_single_sequence`, which is private there: one text, or one word.
    fn one(
        &self,
        text: &str,
        word: Option<u32>,
        type_id: u32,
        plan: &Plan,
    ) -> Result<tokenizers::Encoding, TokenizeError> {
        let engine = self.engine();
        if let Some(python) = &self.behaviour().python {
            return python.sequence(text, word, type_id, plan.split_special_tokens);
        }
        if word.is_none() && plan.split_special_tokens == self.splits_special_tokens() {
            return engine::watched(|| {
                engine
                    .sequence(text, type_id, true)
                    .map_err(TokenizeError::from_engine)
            });
        }
        let added = self.added_vocabulary(plan.split_special_tokens);
        let mut pieces =
            engine::watched(|| Ok(added.extract_and_normalize(engine.get_normalizer(), text)))?;
        if let Some(pre_tokenizer) = engine.get_pre_tokenizer() {
            pre_tokenizer
                .pre_tokenize(&mut pieces)
                .map_err(TokenizeError::from_engine)?;
        }
        engine
            .get_model()
            .tokenize_in_pretokenized(&mut pieces, None)
            .and_then(|()| pieces.into_encoding(word, type_id, OffsetType::Byte))
            .map(|mut encoding| {
                count_characters(encoding.get_offsets_mut(), text);
                encoding
            })
            .map_err(TokenizeError::from_engine)
    }
}

/// All results, or the first error and whose it is.
fn in_order<T>(results: Vec<Result<T, TokenizeError>>) -> Result<Vec<T>, TokenizeError> {
    let named = |(index, result): (usize, Result<T, TokenizeError>)| {
        result.map_err(|error| TokenizeError::InBatch {
            index,
            error: Box::new(error),
        })
    };
    results.into_iter().enumerate().map(named).collect()
}

/// From bytes to characters, as the engine does it, whose own table is a hash map with an entry for each byte.
fn count_characters(offsets: &mut [(usize, usize)], text: &str) {
    if text.is_ascii() {
        return;
    }
    let mut char_of = Vec::with_capacity(text.len());
    for (index, char) in text.chars().enumerate() {
        char_of.extend(std::iter::repeat_n(index, char.len_utf8()));
    }
    for (start, end) in offsets {
        if let Some(&first) = char_of.get(*start) {
            let last = || end.checked_sub(1).and_then(|last| char_of.get(last));
            *end = match char_of.get(*end) {
                Some(&end) => end,
                None => last().map_or(first + 1, |&last| last + 1),
            };
            *start = first;
        }
    }
}
