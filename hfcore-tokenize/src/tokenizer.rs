//! [`Tokenizer`]: text to ids and back.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokenizers::{AddedToken, Decoder};

use crate::chat::{ChatTemplate, TemplateError};
use crate::classes::{self, Behaviour, Decode, Loaded};
use crate::encoding::Encoding;
use crate::engine::{self, Built, Definition, Engine, ModelKind, StreamPlan};
use crate::error::{TokenizeError, catch};
use crate::files::TokenizerFiles;
use crate::special::{self, Config, Side};
use crate::stream::{DecodeStream, clean_up};

/// A tokenizer as a model folder describes it. Cloning is cheap; all methods take `&self` and may run in parallel.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let json = br#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
/// #   "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "hello": 1, "world": 2}}}"#;
/// let tokenizer = hfcore_tokenize::Tokenizer::from_slices(json, None)?;
/// let encoding = tokenizer.encode("hello world", true)?;
/// assert_eq!(encoding.ids, [1, 2]);
/// assert_eq!(encoding.offsets, [0..5, 6..11]);
/// assert_eq!(tokenizer.decode(&encoding.ids, true), "hello world");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    engine: Engine,
    stream: StreamPlan,
    behaviour: Behaviour,
    vocab_size: usize,
    len: usize,
    named: Vec<(String, String)>,
    extra: Vec<String>,
    padding_side: Side,
    truncation_side: Side,
    model_max_length: Option<usize>,
    model_input_names: Option<Vec<String>>,
    clean_up: bool,
    chat_control_tokens: Option<Vec<String>>,
    templates: Vec<NamedTemplate>,
}

/// A template that is compiled when it is first used: one that is broken does not keep anyone from encoding.
#[derive(Clone)]
struct NamedTemplate {
    name: String,
    source: String,
    compiled: OnceLock<Result<ChatTemplate, TemplateError>>,
}

impl NamedTemplate {
    fn new((name, source): (String, String)) -> Self {
        Self {
            name,
            source,
            compiled: OnceLock::new(),
        }
    }

    fn get(&self) -> Result<&ChatTemplate, TemplateError> {
        self.compiled
            .get_or_init(|| ChatTemplate::new(&self.source))
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json` and, where the folder has one, its `tokenizer_config.json`.
    ///
    /// As transformers 5 does (`TokenizersBackend`): `tokenizer.json` is taken as it is, so `add_bos_token` and
    /// `add_eos_token` of the other file have no effect; tokens named there that the vocabulary does not have are
    /// added; padding and truncation written in the file are not applied.
    ///
    /// # Errors
    ///
    /// [`TokenizeError`] names the value in the file that is not valid, not supported or absurd.
    pub fn from_slices(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
    ) -> Result<Self, TokenizeError> {
        catch("loading", || {
            Self::load(tokenizer_json, tokenizer_config_json)
        })
    }

    fn load(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
    ) -> Result<Self, TokenizeError> {
        let keys = special::parse(tokenizer_config_json)?;
        let mut built = Definition::from_json(tokenizer_json)?.build()?;
        let config = Config::read(keys, &built.added, &built.padding, &built.truncation)?;
        add_special(&mut built.engine, &config)?;
        let behaviour = Behaviour {
            class: "TokenizersBackend",
            ..Behaviour::default()
        };
        Ok(Self::assemble(built, config, behaviour))
    }

    /// Loads the tokenizer of a repository as `AutoTokenizer` of transformers 5.23 does. The class is the one that
    /// `tokenizer_config.json` or `config.json` names, or that the model type has; what the class builds itself it
    /// builds from the vocabulary, whichever file that is in, also where a `tokenizer.json` says otherwise.
    /// `model_type` is that of `config.json`, and is read there if it is `None`.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::NoFiles`] names the files that were looked for; [`TokenizeError::UnsupportedClass`] says what
    /// a class needs; others name the value in a file that is not valid, not supported or absurd.
    pub fn from_files(
        files: &TokenizerFiles,
        model_type: Option<&str>,
    ) -> Result<Self, TokenizeError> {
        catch("loading", || {
            let Loaded {
                built,
                config,
                behaviour,
            } = classes::load(files, model_type)?;
            Ok(Self::assemble(built, config, behaviour))
        })
    }

    /// transformers' name of the tokenizer's class, such as `Qwen2Tokenizer`; `TokenizersBackend` for the general one.
    pub fn class(&self) -> &'static str {
        self.0.behaviour.class
    }

    pub(crate) fn behaviour(&self) -> &Behaviour {
        &self.0.behaviour
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The ids of all special tokens with or without a name, in transformers' order (`all_special_ids`).
    pub(crate) fn special_ids(&self) -> impl Iterator<Item = u32> {
        let mut seen = std::collections::HashSet::new();
        let named = self.0.named.iter().map(|(_, token)| token);
        named
            .chain(&self.0.extra)
            .filter(move |token| seen.insert(token.as_str()))
            .filter_map(|token| self.token_to_id(token))
    }

    /// A copy with another post-processor.
    pub(crate) fn with_post_processor(
        &self,
        post_processor: &Value,
        behaviour: Behaviour,
    ) -> Result<Self, TokenizeError> {
        let mut inner = self.0.with_templates(self.0.templates.clone());
        engine::set_post_processor(&mut inner.engine, post_processor)?;
        inner.behaviour = behaviour;
        Ok(Self(Arc::new(inner)))
    }

    /// Puts together what was loaded: an engine that has all its tokens, the names of the special ones, and what the
    /// class does besides.
    pub(crate) fn assemble(built: Built, config: Config, behaviour: Behaviour) -> Self {
        let Built {
            mut engine,
            model,
            stream,
            ..
        } = built;
        engine.set_encode_special_tokens(config.split_special_tokens);
        // What a class does to a decoded text it does to the whole.
        let stream = if behaviour.decode == Decode::Plain {
            stream
        } else {
            StreamPlan::AtTheEnd
        };
        let text = |token: AddedToken| token.content;
        Self(Arc::new(Inner {
            vocab_size: engine.get_vocab_size(false),
            len: engine.get_vocab_size(true),
            engine,
            stream,
            behaviour,
            named: config
                .named
                .into_iter()
                .map(|(name, token)| (name, text(token)))
                .collect(),
            extra: config.extra.into_iter().map(text).collect(),
            padding_side: config.padding_side,
            truncation_side: config.truncation_side,
            model_max_length: config.model_max_length,
            model_input_names: config.model_input_names,
            clean_up: config.clean_up && (model != ModelKind::Bpe || config.clean_up_bpe),
            chat_control_tokens: config.chat_control_tokens,
            templates: config
                .chat_templates
                .into_iter()
                .map(NamedTemplate::new)
                .collect(),
        }))
    }

    /// With the templates of `chat_template.jinja` (named `default`) and `additional_chat_templates/*.jinja` (named
    /// by file stem), in place of those in `tokenizer_config.json`.
    #[must_use]
    pub fn with_chat_templates<N: Into<String>, T: Into<String>>(
        self,
        templates: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        let templates = templates
            .into_iter()
            .map(|(name, source)| NamedTemplate::new((name.into(), source.into())));
        let templates = templates.collect();
        Self(Arc::new(match Arc::try_unwrap(self.0) {
            Ok(inner) => Inner { templates, ..inner },
            Err(shared) => shared.with_templates(templates),
        }))
    }

    /// Encodes one text. With `add_special_tokens` the post-processor adds its tokens (`<s>`, `[CLS]`, …), as
    /// `tokenizer(text)` does by default in transformers. Special tokens in the text itself are recognised.
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Encode`] for a word that the model has no token for, [`TokenizeError::PatternGaveUp`],
    /// [`TokenizeError::NormalizerGrowth`].
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Encoding, TokenizeError> {
        catch("encoding", || {
            engine::watched(|| {
                let encoding = self.0.engine.encode_char_offsets(text, add_special_tokens);
                let encoding = encoding.map_err(TokenizeError::from_engine)?;
                Ok(Encoding::new(&encoding, [text, ""]))
            })
        })
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
        catch("encoding", || {
            engine::watched(|| {
                let encoding = self
                    .0
                    .engine
                    .encode_char_offsets((text, pair), add_special_tokens);
                let encoding = encoding.map_err(TokenizeError::from_engine)?;
                Ok(Encoding::new(&encoding, [text, pair]))
            })
        })
    }

    /// Encodes each text by itself; nothing is padded. Runs on all cores, on rayon's threads; on this one alone where the
    /// variable `TOKENIZERS_PARALLELISM` is `false`, as in Python.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), for the first text that fails.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        add_special_tokens: bool,
    ) -> Result<Vec<Encoding>, TokenizeError> {
        engine::in_parallel(texts, |text| self.encode(text.as_ref(), add_special_tokens))
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
        catch("encoding", || {
            engine::watched(|| {
                let encoding = self.0.engine.encode_ids(text, add_special_tokens);
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
    /// As [`encode`](Self::encode), for the first text that fails.
    pub fn encode_ids_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        add_special_tokens: bool,
    ) -> Result<Vec<Vec<u32>>, TokenizeError> {
        engine::in_parallel(texts, |text| {
            self.encode_ids(text.as_ref(), add_special_tokens)
        })
    }

    /// The text of `ids`. `skip_special_tokens` leaves out special tokens (not other added ones). Ids that no token
    /// has are left out, as transformers does; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let rule = self.0.behaviour.decode;
        if rule == Decode::Plain {
            return self.decode_plain(ids, skip_special_tokens);
        }
        let ids = if rule == Decode::Whisper {
            self.without_prompt(ids, skip_special_tokens)
        } else {
            ids
        };
        let changed = rule.ids(ids);
        rule.text(self.decode_plain(changed.as_deref().unwrap_or(ids), skip_special_tokens))
    }

    /// Decodes without the rules of the class.
    pub(crate) fn decode_plain(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let tokens: Vec<String> = ids
            .iter()
            .filter_map(|&id| self.token_of(id, skip_special_tokens))
            .collect();
        if tokens.is_empty() {
            return String::new();
        }
        let text = match self.0.engine.get_decoder() {
            None => tokens.join(" "),
            // No decoder that loading let pass fails or panics; should one, its tokens are still better than nothing.
            Some(decoder) => catch("decoding", || {
                decoder
                    .decode(tokens.clone())
                    .map_err(TokenizeError::from_engine)
            })
            .unwrap_or_else(|_| tokens.concat()),
        };
        if self.0.clean_up {
            clean_up(text)
        } else {
            text
        }
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
        DecodeStream::new(self.clone(), skip_special_tokens)
    }

    /// The token that decoding works on; `None` for ids to leave out.
    pub(crate) fn token_of(&self, id: u32, skip_special_tokens: bool) -> Option<String> {
        let added = self.0.engine.get_added_vocabulary();
        self.0
            .engine
            .id_to_token(id)
            .filter(|token| !(skip_special_tokens && added.is_special_token(token)))
    }

    /// The tokens that [`decode`](Self::decode) leaves out with `skip_special_tokens`.
    pub(crate) fn skipped_tokens(&self) -> impl Iterator<Item = &str> {
        let added = self.0.engine.get_added_vocabulary();
        let tokens = added.get_added_tokens_decoder().values();
        tokens
            .filter(|token| token.special)
            .map(|token| token.content.as_str())
    }

    pub(crate) fn stream_plan(&self) -> &StreamPlan {
        &self.0.stream
    }

    pub(crate) fn cleans_up(&self) -> bool {
        self.0.clean_up
    }

    /// The id of a token as the vocabulary writes it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.engine.token_to_id(token)
    }

    /// The token of an id, as the vocabulary writes it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        let added = self
            .0
            .engine
            .get_added_vocabulary()
            .get_added_tokens_decoder();
        added
            .get(&id)
            .map(|token| token.content.clone())
            .or_else(|| self.0.engine.id_to_token(id))
    }

    /// Number of tokens in the model's vocabulary, without added ones (transformers' `vocab_size`).
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// Number of tokens, added ones included (transformers' `len(tokenizer)`).
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The largest id of any token plus one: what an embedding needs rows for. More than [`len`](Self::len) where the
    /// ids have gaps.
    pub fn id_bound(&self) -> usize {
        let added = self
            .0
            .engine
            .get_added_vocabulary()
            .get_vocab()
            .values()
            .copied();
        let model = self.0.engine.get_vocab(false).into_values();
        added.chain(model).max().map_or(0, |id| id as usize + 1)
    }

    /// Whether the token of `id` is special, so that `skip_special_tokens` leaves it out.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.0.engine.get_added_vocabulary();
        self.0
            .engine
            .id_to_token(id)
            .is_some_and(|token| added.is_special_token(&token))
    }

    /// The token with a name such as `bos_token` or, of a model's own, `image_token`.
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.0
            .named
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, token)| token.as_str())
    }

    /// The names that are set and their tokens, in transformers' order (`special_tokens_map`).
    pub fn special_tokens_map(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .named
            .iter()
            .map(|(name, token)| (name.as_str(), token.as_str()))
    }

    /// Special tokens without a name (`extra_special_tokens`, before transformers 5 `additional_special_tokens`).
    pub fn extra_special_tokens(&self) -> &[String] {
        &self.0.extra
    }

    /// The token that begins a text.
    pub fn bos_token(&self) -> Option<&str> {
        self.special_token("bos_token")
    }

    /// The token that ends a text.
    pub fn eos_token(&self) -> Option<&str> {
        self.special_token("eos_token")
    }

    /// The token for what the vocabulary does not have.
    pub fn unk_token(&self) -> Option<&str> {
        self.special_token("unk_token")
    }

    /// The token between two texts.
    pub fn sep_token(&self) -> Option<&str> {
        self.special_token("sep_token")
    }

    /// The token that fills a batch up.
    pub fn pad_token(&self) -> Option<&str> {
        self.special_token("pad_token")
    }

    /// The token whose output stands for the whole text.
    pub fn cls_token(&self) -> Option<&str> {
        self.special_token("cls_token")
    }

    /// The token to be guessed.
    pub fn mask_token(&self) -> Option<&str> {
        self.special_token("mask_token")
    }

    /// The id of [`bos_token`](Self::bos_token).
    pub fn bos_token_id(&self) -> Option<u32> {
        self.token_to_id(self.bos_token()?)
    }

    /// The id of [`eos_token`](Self::eos_token).
    pub fn eos_token_id(&self) -> Option<u32> {
        self.token_to_id(self.eos_token()?)
    }

    /// The id of [`unk_token`](Self::unk_token).
    pub fn unk_token_id(&self) -> Option<u32> {
        self.token_to_id(self.unk_token()?)
    }

    /// The id of [`sep_token`](Self::sep_token).
    pub fn sep_token_id(&self) -> Option<u32> {
        self.token_to_id(self.sep_token()?)
    }

    /// The id of [`pad_token`](Self::pad_token).
    pub fn pad_token_id(&self) -> Option<u32> {
        self.token_to_id(self.pad_token()?)
    }

    /// The id of [`cls_token`](Self::cls_token).
    pub fn cls_token_id(&self) -> Option<u32> {
        self.token_to_id(self.cls_token()?)
    }

    /// The id of [`mask_token`](Self::mask_token).
    pub fn mask_token_id(&self) -> Option<u32> {
        self.token_to_id(self.mask_token()?)
    }

    /// The side on which the model wants a batch padded.
    pub fn padding_side(&self) -> Side {
        self.0.padding_side
    }

    /// The side on which a text that is too long loses tokens.
    pub fn truncation_side(&self) -> Side {
        self.0.truncation_side
    }

    /// Longest sequence in tokens that the model takes; `None` where the file names none (or `1e30`, which means it).
    pub fn model_max_length(&self) -> Option<usize> {
        self.0.model_max_length
    }

    /// What the model takes (`input_ids`, `token_type_ids`, `attention_mask`), where the file says it.
    pub fn model_input_names(&self) -> Option<&[String]> {
        self.0.model_input_names.as_deref()
    }

    /// The names of the chat templates; empty where there is none.
    pub fn chat_template_names(&self) -> impl Iterator<Item = &str> {
        self.0
            .templates
            .iter()
            .map(|template| template.name.as_str())
    }

    /// The chat template with a name; without one the only template, or `tool_use` when there are tools and it
    /// exists, or `default`.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Missing`] where there is none, and any error of compiling it.
    pub fn chat_template(
        &self,
        name: Option<&str>,
        with_tools: bool,
    ) -> Result<&ChatTemplate, TemplateError> {
        let templates = &self.0.templates;
        let find = |name: &str| {
            templates
                .iter()
                .rev()
                .find(|template| template.name == name)
        };
        let found = match (name, templates.as_slice()) {
            (Some(name), _) => find(name),
            (None, [only]) if only.name == "default" => Some(only),
            (None, _) => with_tools
                .then(|| find("tool_use"))
                .flatten()
                .or_else(|| find("default")),
        };
        let missing = || TemplateError::Missing {
            wanted: name.unwrap_or("default").to_owned(),
            found: self.chat_template_names().map(str::to_owned).collect(),
        };
        found.ok_or_else(missing)?.get()
    }

    /// `chat_control_tokens` of `tokenizer_config.json`.
    pub(crate) fn chat_control_tokens(&self) -> Option<&[String]> {
        self.0.chat_control_tokens.as_deref()
    }
}

impl Inner {
    /// A copy with other templates, for a tokenizer that others share.
    fn with_templates(&self, templates: Vec<NamedTemplate>) -> Self {
        Self {
            engine: self.engine.clone(),
            stream: self.stream.clone(),
            behaviour: self.behaviour.clone(),
            named: self.named.clone(),
            extra: self.extra.clone(),
            model_input_names: self.model_input_names.clone(),
            chat_control_tokens: self.chat_control_tokens.clone(),
            templates,
            ..*self
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.0.vocab_size)
            .field("len", &self.0.len)
            .field("special_tokens", &self.0.named)
            .field("model_max_length", &self.0.model_max_length)
            .finish_non_exhaustive()
    }
}

/// Adds what the configuration names and `tokenizer.json` does not have, in transformers' order.
fn add_special(engine: &mut Engine, config: &Config) -> Result<(), TokenizeError> {
    let vocabulary = engine.get_added_vocabulary();
    let known = |token: &AddedToken| {
        let id = vocabulary.get_vocab().get(&token.content)?;
        vocabulary.get_added_tokens_decoder().get(id)
    };
    let mut tokens: Vec<AddedToken> = config
        .added
        .iter()
        .filter(|&token| known(token) != Some(token))
        .cloned()
        .collect();
    let named = || config.named.iter().map(|(_, token)| token);
    for token in named().chain(&config.extra) {
        let listed = engine
            .get_added_vocabulary()
            .get_vocab()
            .contains_key(&token.content)
            || tokens.iter().any(|other| other.content == token.content);
        if !listed {
            tokens.push(token.clone());
        }
    }
    for token in &mut tokens {
        token.special |= named().any(|named| named.content == token.content);
    }
    tokens.retain(|token| !token.content.is_empty());
    engine
        .add_tokens(tokens)
        .map_err(TokenizeError::from_engine)?;
    Ok(())
}
