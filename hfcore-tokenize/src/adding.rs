//! Changing a tokenizer: tokens added, names given, sides and lengths set.
//!
//! A [`Tokenizer`] is shared; what changes here is this handle alone. Others, streams among them, keep what they have.

use crate::added_token::AddedToken;
use crate::engine::{MAX_ADDED, MAX_TOKEN};
use crate::error::{TokenizeError, catch, shortened};
use crate::options_error::OptionsError;
use crate::special::{NAMES, Side};
use crate::tokenizer::Tokenizer;

/// Special tokens to give names to, and such without: the argument of transformers' `add_special_tokens`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use hfcore_tokenize::{SpecialTokens, Tokenizer};
///
/// # let json = br#"{"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}}"#;
/// let mut tokenizer = Tokenizer::from_slices(json, None)?;
/// let tokens = SpecialTokens::new().with("pad_token", "[PAD]").with_extra(["<|user|>", "<|tool|>"]);
/// assert_eq!(tokenizer.add_special_tokens(tokens)?, 3);
/// assert_eq!(tokenizer.pad_token_id(), Some(2));
/// assert_eq!(tokenizer.len(), 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    named: Vec<(String, AddedToken)>,
    extra: Vec<AddedToken>,
    keep: bool,
}

impl SpecialTokens {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token for one of the seven names: `bos_token`, `eos_token`, `unk_token`, `sep_token`, `pad_token`,
    /// `cls_token`, `mask_token`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, token: impl Into<AddedToken>) -> Self {
        self.named.push((name.into(), token.into()));
        self
    }

    /// Tokens without a name (`extra_special_tokens`), in place of those that the tokenizer lists.
    #[must_use]
    pub fn with_extra<T: Into<AddedToken>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.extra.extend(tokens.into_iter().map(Into::into));
        self
    }

    /// Keeps the tokens that the tokenizer lists beside the new ones (`replace_extra_special_tokens=False`).
    #[must_use]
    pub fn keeping_extra(mut self) -> Self {
        self.keep = true;
        self
    }
}

impl Tokenizer {
    /// Adds tokens that are found in a text before anything else. Those that the vocabulary does not have get the next
    /// free ids; those that it has keep theirs and are found in the same way.
    ///
    /// Returns how many were added or got other properties. A model that is to know them needs rows for them in its
    /// embedding.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hfcore_tokenize::{AddedToken, Tokenizer};
    ///
    /// # let json = br#"{"pre_tokenizer": {"type": "Whitespace"},
    /// #   "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}}"#;
    /// let mut tokenizer = Tokenizer::from_slices(json, None)?;
    /// assert_eq!(tokenizer.add_tokens(["new-york"])?, 1);
    /// assert_eq!(tokenizer.add_tokens([AddedToken::new("x").with_single_word(true)])?, 1);
    /// assert_eq!(tokenizer.encode("a new-york x xa", true)?.ids, [1, 2, 3, 0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Argument`] for tokens that are too long or too many, or that the normalizer makes the same.
    pub fn add_tokens<T: Into<AddedToken>>(
        &mut self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<usize, TokenizeError> {
        let tokens: Vec<AddedToken> = tokens.into_iter().map(Into::into).collect();
        if tokens.is_empty() {
            return Ok(0);
        }
        let known = self.engine().get_added_vocabulary().get_vocab().len();
        if known + tokens.len() > MAX_ADDED {
            return Err(argument(format!(
                "{} tokens to add to {known}; at most {MAX_ADDED} are held",
                tokens.len()
            )));
        }
        let long = |token: &&AddedToken| token.content().len() > MAX_TOKEN;
        if let Some(token) = tokens.iter().find(long) {
            return Err(argument(format!(
                "the token {:?} has {} bytes; at most {MAX_TOKEN} are held",
                shortened(token.content(), 40),
                token.content().len()
            )));
        }
        self.check_python(
            "tokens are added to it in added_tokens_decoder of tokenizer_config.json alone",
        )?;
        // A clone takes the change, so that one that fails half way leaves this tokenizer as it is.
        let mut engine = self.engine().clone();
        let tokens = tokens.into_iter().map(AddedToken::into_engine);
        let count = catch("adding tokens", || {
            crate::engine::watched(|| {
                engine
                    .add_tokens(tokens)
                    .map_err(|error| argument(error.to_string()))
            })
        })?;
        self.replace_engine(engine);
        Ok(count)
    }

    /// Adds special tokens, and gives those their names that have one.
    ///
    /// Returns how many were added or got other properties.
    ///
    /// # Errors
    ///
    /// [`OptionsError::SpecialName`] for a name that is none of the seven; as [`add_tokens`](Self::add_tokens).
    pub fn add_special_tokens(&mut self, tokens: SpecialTokens) -> Result<usize, TokenizeError> {
        let SpecialTokens { named, extra, keep } = tokens;
        for (name, _) in &named {
            if !NAMES.contains(&name.as_str()) {
                return Err(unknown_name(name, NAMES.iter().copied()).into());
            }
        }
        let had = self.extra_special_tokens().to_vec();
        let extra: Vec<AddedToken> = extra
            .into_iter()
            .filter(|token| !keep || !had.iter().any(|had| had == token.content()))
            .collect();
        let all = named.iter().map(|(_, token)| token).chain(&extra);
        let all: Vec<AddedToken> = all.map(|token| token.clone().with_special(true)).collect();
        let mut changed = self.clone();
        let count = changed.add_tokens(all)?;
        let texts = extra.iter().map(|token| token.content().to_owned());
        if keep {
            changed.set_extra(had.into_iter().chain(texts).collect());
        } else if !extra.is_empty() {
            changed.set_extra(texts.collect());
        }
        for (name, token) in named {
            changed.set_name(&name, Some(token.content().to_owned()));
        }
        *self = changed;
        Ok(count)
    }

    /// Gives a name, such as `pad_token`, to a token, or takes it away. The vocabulary stays as it is: a token that it
    /// does not have has the id of `unk_token`.
    ///
    /// # Errors
    ///
    /// [`OptionsError::SpecialName`] for a name that is none of the seven and none of the tokenizer's own.
    pub fn set_special_token(
        &mut self,
        name: &str,
        token: Option<&str>,
    ) -> Result<(), OptionsError> {
        if !NAMES.contains(&name) && self.special_token(name).is_none() {
            let own = self.special_tokens_map().map(|(name, _)| name);
            let own = own.filter(|name| !NAMES.contains(name));
            return Err(unknown_name(name, NAMES.iter().copied().chain(own)));
        }
        self.set_name(name, token.map(str::to_owned));
        Ok(())
    }

    /// Sets the token to pad with, which is often [`eos_token`](Self::eos_token).
    pub fn set_pad_token(&mut self, token: impl Into<String>) {
        self.set_name("pad_token", Some(token.into()));
    }

    /// Sets the token that ends a text. The post-processor, if it adds one, goes on adding its own.
    pub fn set_eos_token(&mut self, token: impl Into<String>) {
        self.set_name("eos_token", Some(token.into()));
    }

    /// Sets the token that begins a text. The post-processor, if it adds one, goes on adding its own.
    pub fn set_bos_token(&mut self, token: impl Into<String>) {
        self.set_name("bos_token", Some(token.into()));
    }

    /// Sets the side on which a batch is padded.
    pub fn set_padding_side(&mut self, side: Side) {
        self.inner_mut().padding_side = side;
    }

    /// Sets the side on which a text that is too long loses tokens.
    pub fn set_truncation_side(&mut self, side: Side) {
        self.inner_mut().truncation_side = side;
    }

    /// Sets the longest sequence that the model takes; `None` for no limit.
    pub fn set_model_max_length(&mut self, tokens: Option<usize>) {
        self.inner_mut().model_max_length = tokens;
    }

    fn set_extra(&mut self, tokens: Vec<String>) {
        self.inner_mut().extra = tokens;
    }

    fn set_name(&mut self, name: &str, token: Option<String>) {
        let named = &mut self.inner_mut().named;
        let at = named.iter().position(|(known, _)| known == name);
        match (at, token) {
            (Some(at), Some(token)) => named[at].1 = token,
            (Some(at), None) => {
                named.remove(at);
            }
            (None, Some(token)) => {
                // The seven stand in their order, before the tokenizer's own.
                let rank = |name: &str| NAMES.iter().position(|known| *known == name);
                let mine = rank(name).unwrap_or(NAMES.len());
                let at = named
                    .iter()
                    .position(|(known, _)| rank(known).unwrap_or(NAMES.len()) > mine)
                    .unwrap_or(named.len());
                named.insert(at, (name.to_owned(), token));
            }
            (None, None) => {}
        }
    }
}

fn argument(problem: String) -> TokenizeError {
    TokenizeError::Argument(problem)
}

fn unknown_name<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> OptionsError {
    OptionsError::SpecialName {
        found: shortened(found, 40),
        known: known.collect::<Vec<_>>().join(", "),
    }
}
