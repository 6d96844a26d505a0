//! Ids to text: `Tokenizer`'s `decode…`.
//!
//! Reference: transformers 5.23 `tokenization_utils_base.py` (`decode`, `batch_decode`) and
//! `tokenization_utils_tokenizers.py` (`_decode`, `convert_tokens_to_string`).

use tokenizers::Decoder as _;

use crate::classes::Decode;
use crate::error::{TokenizeError, catch};
use crate::stream::{DecodeStream, clean_up};
use crate::tokenizer::Tokenizer;

/// How to decode, with transformers' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// Whether special tokens (not other added ones) are left out.
    pub skip_special_tokens: bool,
    /// Whether spaces before punctuation and English contractions are taken out again; as `tokenizer_config.json` says
    /// if `None`. Never for BPE, whose spaces are the text's own, unless the file has transformers'
    /// `clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output`.
    pub clean_up_tokenization_spaces: Option<bool>,
}

impl DecodeOptions {
    /// Sets [`skip_special_tokens`](Self::skip_special_tokens).
    #[must_use]
    pub const fn with_skip_special_tokens(mut self, skip_special_tokens: bool) -> Self {
        self.skip_special_tokens = skip_special_tokens;
        self
    }

    /// Sets [`clean_up_tokenization_spaces`](Self::clean_up_tokenization_spaces).
    #[must_use]
    pub const fn with_clean_up_tokenization_spaces(mut self, clean_up: bool) -> Self {
        self.clean_up_tokenization_spaces = Some(clean_up);
        self
    }
}

impl Tokenizer {
    /// The text of `ids`. `skip_special_tokens` leaves out special tokens (not other added ones). Ids that no token
    /// has are left out, as transformers does; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        self.decode_with(
            ids,
            DecodeOptions::default().with_skip_special_tokens(skip_special_tokens),
        )
    }

    /// The text of `ids`, by options.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hfcore_tokenize::{DecodeOptions, Tokenizer};
    ///
    /// # let json = br#"{"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "well": 1, ",": 2}}}"#;
    /// let tokenizer = Tokenizer::from_slices(json, None)?;
    /// assert_eq!(tokenizer.decode_with(&[1, 2], DecodeOptions::default()), "well ,");
    /// let clean = DecodeOptions::default().with_clean_up_tokenization_spaces(true);
    /// assert_eq!(tokenizer.decode_with(&[1, 2], clean), "well,");
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode_with(&self, ids: &[u32], options: DecodeOptions) -> String {
        let rule = self.behaviour().decode;
        if rule == Decode::Plain {
            return self.decode_plain(ids, options);
        }
        let ids = if rule == Decode::Whisper {
            self.without_prompt(ids, options.skip_special_tokens)
        } else {
            ids
        };
        let changed = rule.ids(ids);
        rule.text(self.decode_plain(changed.as_deref().unwrap_or(ids), options))
    }

    /// Decodes without the rules of the class.
    pub(crate) fn decode_plain(&self, ids: &[u32], options: DecodeOptions) -> String {
        let tokens: Vec<String> = ids
            .iter()
            .filter_map(|&id| self.token_of(id, options.skip_special_tokens))
            .collect();
        let text = if tokens.is_empty() {
            String::new()
        } else {
            self.join(tokens)
        };
        if self.cleans_up(options) {
            clean_up(text)
        } else {
            text
        }
    }

    /// The texts of several lists of ids.
    pub fn batch_decode<I: AsRef<[u32]>>(
        &self,
        sequences: &[I],
        options: DecodeOptions,
    ) -> Vec<String> {
        sequences
            .iter()
            .map(|ids| self.decode_with(ids.as_ref(), options))
            .collect()
    }

    /// Decodes ids one at a time, as they are generated. The pieces together are exactly what
    /// [`decode`](Self::decode) gives for all of them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let json = br#"{"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2}}}"#;
    /// # let tokenizer = hfcore_tokenize::Tokenizer::from_slices(json, None)?;
    /// let mut stream = tokenizer.decode_stream(true);
    /// let mut text = String::new();
    /// for id in [1, 2] {
    ///     text.extend(stream.push(id));
    /// }
    /// text.extend(stream.finish());
    /// assert_eq!(text, tokenizer.decode(&[1, 2], true));
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream {
        self.decode_stream_with(
            DecodeOptions::default().with_skip_special_tokens(skip_special_tokens),
        )
    }

    /// The same by options: the pieces together are what [`decode_with`](Self::decode_with) gives.
    pub fn decode_stream_with(&self, options: DecodeOptions) -> DecodeStream {
        DecodeStream::new(self.clone(), options)
    }

    /// The text of tokens, which need not be in the vocabulary.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Encode`] where the decoder fails on them.
    pub fn convert_tokens_to_string<T: AsRef<str>>(
        &self,
        tokens: &[T],
    ) -> Result<String, TokenizeError> {
        let tokens: Vec<String> = tokens
            .iter()
            .map(|token| token.as_ref().to_owned())
            .collect();
        if let Some(marian) = &self.behaviour().marian {
            return Ok(marian.join(self, &tokens));
        }
        if let Some(python) = &self.behaviour().python {
            return Ok(python.join(&tokens));
        }
        match self.engine().get_decoder() {
            None => Ok(tokens.join(" ")),
            Some(decoder) => catch("decoding", || {
                decoder.decode(tokens).map_err(TokenizeError::from_engine)
            }),
        }
    }

    /// What the decoder makes of tokens of the vocabulary.
    fn join(&self, tokens: Vec<String>) -> String {
        // No decoder that loading let pass fails or panics; should one, its tokens are still better than nothing.
        self.convert_tokens_to_string(&tokens)
            .unwrap_or_else(|_| tokens.concat())
    }

    /// The token that decoding works on; `None` for ids to leave out.
    pub(crate) fn token_of(&self, id: u32, skip_special_tokens: bool) -> Option<String> {
        let token = self.engine().id_to_token(id);
        if let Some(python) = &self.behaviour().python {
            return python.token_of(token, skip_special_tokens);
        }
        token.filter(|token| !(skip_special_tokens && self.skips(token)))
    }

    /// Whether decoding may leave the token out. A class written in Python alone goes by the names and the list of its
    /// configuration, the others by what each added token says of itself.
    pub(crate) fn skips(&self, token: &str) -> bool {
        if let Some(python) = &self.behaviour().python {
            return python.skips(token);
        }
        if self.behaviour().marian.is_some() {
            return self.all_special_tokens().contains(&token);
        }
        self.engine().get_added_vocabulary().is_special_token(token)
    }
}
