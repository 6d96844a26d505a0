//! [`Tokenizer`]: text to ids and back.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};
use tokenizers::{AddedToken, AddedVocabulary};

use crate::chat::{ChatTemplate, TemplateError};
use crate::classes::{self, Behaviour, Decode, Loaded};
use crate::decode::DecodeOptions;
use crate::engine::{self, Built, Definition, Engine, ModelKind, StreamPlan};
use crate::error::{TokenizeError, catch};
use crate::files::TokenizerFiles;
use crate::special::{self, Config, Side};

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

#[derive(Clone)]
pub(crate) struct Inner {
    /// Shared by handles that differ in names or sides alone.
    engine: Arc<Engine>,
    /// The added tokens with the other rule for special ones in a text, once it is asked for.
    other_split: OnceLock<AddedVocabulary>,
    stream: StreamPlan,
    behaviour: Behaviour,
    vocab_size: usize,
    len: usize,
    pub(crate) named: Vec<(String, String)>,
    pub(crate) extra: Vec<String>,
    pub(crate) padding_side: Side,
    pub(crate) truncation_side: Side,
    pub(crate) model_max_length: Option<usize>,
    model_input_names: Option<Vec<String>>,
    /// Whether to clean up decoded text where the caller does not say.
    clean_up: bool,
    /// Whether cleaning up may be asked for at all.
    may_clean_up: bool,
    chat_control_tokens: Option<Vec<String>>,
    templates: Vec<NamedTemplate>,
    /// `tokenizer_config.json`, to be saved again.
    keys: Map<String, Value>,
    /// The sections of `tokenizer.json` that are not applied, to be saved again.
    padding: Value,
    truncation: Value,
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

    /// Refuses what a class written in Python does otherwise.
    pub(crate) fn check_python(&self, reason: &'static str) -> Result<(), TokenizeError> {
        match &self.0.behaviour.python {
            None => Ok(()),
            Some(_) => Err(TokenizeError::UnsupportedClass {
                class: self.class().to_owned(),
                reason,
            }),
        }
    }

    pub(crate) fn behaviour(&self) -> &Behaviour {
        &self.0.behaviour
    }

    /// A copy with another post-processor.
    pub(crate) fn with_post_processor(
        &self,
        post_processor: &Value,
        behaviour: Behaviour,
    ) -> Result<Self, TokenizeError> {
        let mut changed = self.clone();
        let inner = changed.inner_mut();
        engine::set_post_processor(Arc::make_mut(&mut inner.engine), post_processor)?;
        inner.behaviour = behaviour;
        Ok(changed)
    }

    /// Puts together what was loaded: an engine that has all its tokens, the names of the special ones, and what the
    /// class does besides.
    pub(crate) fn assemble(built: Built, config: Config, behaviour: Behaviour) -> Self {
        let Built {
            mut engine,
            model,
            stream,
            padding,
            truncation,
            ..
        } = built;
        engine.set_encode_special_tokens(config.split_special_tokens);
        // What a class does to a decoded text it does to the whole.
        let stream = if behaviour.decode == Decode::Plain && behaviour.python.is_none() {
            stream
        } else {
            StreamPlan::AtTheEnd
        };
        let text = |token: AddedToken| token.content;
        Self(Arc::new(Inner {
            vocab_size: match &behaviour.python {
                Some(python) => python.vocab_size,
                None => engine.get_vocab_size(false),
            },
            len: engine.get_vocab_size(true),
            engine: Arc::new(engine),
            other_split: OnceLock::new(),
            stream,
            behaviour,
            keys: config.keys,
            padding,
            truncation,
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
            clean_up: config.clean_up,
            may_clean_up: model != ModelKind::Bpe || config.clean_up_bpe,
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
        let mut changed = self;
        changed.inner_mut().templates = templates;
        changed
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// This handle's own, to be changed; others keep theirs.
    pub(crate) fn inner_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    /// Takes an engine with other added tokens.
    pub(crate) fn replace_engine(&mut self, engine: Engine) {
        let len = engine.get_vocab_size(true);
        let inner = self.inner_mut();
        inner.engine = Arc::new(engine);
        inner.len = len;
        inner.other_split = OnceLock::new();
    }

    /// The tokens that [`decode`](Self::decode) leaves out with `skip_special_tokens`.
    pub(crate) fn skipped_tokens(&self) -> impl Iterator<Item = &str> {
        let added = self.0.engine.get_added_vocabulary();
        let tokens = added.get_added_tokens_decoder().values();
        tokens
            .map(|token| token.content.as_str())
            .filter(|token| self.skips(token))
    }

    pub(crate) fn splits_special_tokens(&self) -> bool {
        self.0.engine.get_encode_special_tokens()
    }

    /// The added tokens, with special ones in a text taken for tokens or, if `split`, for text.
    pub(crate) fn added_vocabulary(&self, split: bool) -> &AddedVocabulary {
        let own = self.0.engine.get_added_vocabulary();
        if split == own.get_encode_special_tokens() {
            return own;
        }
        self.0.other_split.get_or_init(|| {
            let mut other = own.clone();
            other.set_encode_special_tokens(split);
            other
        })
    }

    pub(crate) fn stream_plan(&self) -> &StreamPlan {
        &self.0.stream
    }

    pub(crate) fn cleans_up(&self, options: DecodeOptions) -> bool {
        let asked = options.clean_up_tokenization_spaces;
        self.0.may_clean_up && asked.unwrap_or(self.0.clean_up)
    }

    pub(crate) fn config_keys(&self) -> &Map<String, Value> {
        &self.0.keys
    }

    /// The `padding` and `truncation` sections of `tokenizer.json`.
    pub(crate) fn file_sections(&self) -> (&Value, &Value) {
        (&self.0.padding, &self.0.truncation)
    }

    /// The name of the class to save.
    pub(crate) fn saved_class(&self) -> &str {
        match self.class() {
            "" => "TokenizersBackend",
            class => class,
        }
    }

    /// The chat templates and their names.
    pub(crate) fn chat_template_sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .templates
            .iter()
            .map(|template| (template.name.as_str(), template.source.as_str()))
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
