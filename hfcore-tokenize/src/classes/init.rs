//! From files to a tokenizer: `from_pretrained`, `convert_to_native_format` and `__init__` of transformers'
//! `TokenizersBackend` (`tokenization_utils_tokenizers.py`).

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, NAMES, SPECIFIC, Token, invalid};
use super::behaviour::Behaviour;
use super::class::{Build, Class, Rule, Wrap};
use super::python;
use super::stages::{Piece, template, token, typed};
use super::vocabulary::{self, Source, Vocabulary};
use crate::added_token::AddedToken;
use crate::engine::{Bpe, Built, Definition, Model, Unigram, WordPiece};
use crate::error::{TOKENIZER_CONFIG, TokenizeError};
use crate::files::{CHAT_TEMPLATE_JSON, PROCESSOR_CONFIG, TokenizerFiles};
use crate::special::{Config, Side};

/// What a class builds its tokenizer from.
pub(super) struct Init {
    pub(super) class: &'static Class,
    pub(super) arguments: Arguments,
    pub(super) vocabulary: Vocabulary,
    /// The file that the vocabulary comes from.
    pub(super) file: &'static str,
    /// sentencepiece's character map in base64.
    pub(super) charsmap: Option<String>,
    /// `post_processor` of a tokenizer.json.
    post_processor: Value,
    padding: Value,
    truncation: Value,
}

/// A tokenizer whose engine has all its tokens, before the class's last touches.
pub(super) struct Ready {
    pub(super) built: Built,
    pub(super) arguments: Arguments,
    /// Named tokens in transformers' order, those of the model's own last.
    pub(super) named: Vec<(String, Token)>,
    /// Special tokens without a name.
    pub(super) extra: Vec<Token>,
    pub(super) behaviour: Behaviour,
    padding_side: Side,
    /// Whether the post-processor follows `add_bos_token` and `add_eos_token`.
    follows_switches: bool,
}

/// A tokenizer loaded: the engine, what the configuration says, and what the class does besides.
pub(crate) struct Loaded {
    pub(crate) built: Built,
    pub(crate) config: Config,
    pub(crate) behaviour: Behaviour,
}

/// Loads `files` as a tokenizer of `class`.
pub(super) fn load(class: &'static Class, files: &TokenizerFiles) -> Result<Loaded, TokenizeError> {
    let build = match class.rule {
        Rule::Refused(reason) => {
            return Err(TokenizeError::UnsupportedClass {
                class: class.name.to_owned(),
                reason,
            });
        }
        Rule::AsFile | Rule::Python(_) => None,
        Rule::Code(read) => {
            let arguments = Arguments::read(files, None)?;
            let init = Init::empty(class, arguments, TOKENIZER_CONFIG);
            let mut ready = python::load(class, read, init, files)?;
            (class.finish)(&mut ready)?;
            ready.behaviour.class = class.name;
            return ready.loaded(class, files);
        }
        Rule::Rebuild(build) | Rule::Inherit(build) => Some(build),
    };
    let takes_file = !matches!(class.rule, Rule::Rebuild(_));
    let python = match class.rule {
        Rule::Python(build) => Some(build),
        _ => None,
    };
    let file = files
        .tokenizer_json()
        .filter(|_| python.is_none())
        .map(Definition::from_json)
        .transpose()?;
    let added = file.as_ref().map(|file| file.added_tokens.as_slice());
    let mut arguments = Arguments::read(files, added)?;
    let source = match (file, python) {
        (_, Some(build)) => {
            let mut init = Init::empty(class, arguments, TOKENIZER_CONFIG);
            init.tokens();
            let definition = build(&mut init, files)?;
            arguments = init.arguments;
            Source::Whole(Box::new(definition))
        }
        (Some(definition), None) if takes_file => Source::Whole(Box::new(definition)),
        (Some(definition), None) => Source::File(Box::new(definition)),
        (None, None) => vocabulary::read(class, files, &mut arguments)?,
    };
    let (definition, arguments, post_processor) = match source {
        Source::Whole(definition) => {
            let mut init = Init::empty(class, arguments, definition.file);
            init.tokens();
            (*definition, init.arguments, Value::Null)
        }
        Source::File(definition) => {
            let init = Init::from_definition(class, arguments, *definition);
            init.build(build)?
        }
        Source::Vocabulary {
            vocabulary,
            charsmap,
            file,
        } => {
            let mut init = Init::empty(class, arguments, file);
            init.vocabulary = vocabulary;
            init.charsmap = charsmap;
            init.build(build)?
        }
    };
    let mut ready = Ready::new(class, definition, arguments, &post_processor)?;
    (class.finish)(&mut ready)?;
    ready.behaviour.class = class.name;
    ready.loaded(class, files)
}

impl Init {
    fn empty(class: &'static Class, arguments: Arguments, file: &'static str) -> Self {
        Self {
            class,
            arguments,
            vocabulary: Vocabulary::default(),
            file,
            charsmap: None,
            post_processor: Value::Null,
            padding: Value::Null,
            truncation: Value::Null,
        }
    }

    /// What a class takes out of a tokenizer.json.
    fn from_definition(
        class: &'static Class,
        arguments: Arguments,
        definition: Definition,
    ) -> Self {
        let charsmap = charsmap(&definition.normalizer).map(str::to_owned);
        Self {
            vocabulary: Vocabulary::from_model(definition.model, class.model),
            charsmap,
            post_processor: definition.post_processor,
            padding: definition.padding,
            truncation: definition.truncation,
            ..Self::empty(class, arguments, definition.file)
        }
    }

    /// Gives the class's tokens to the arguments, where the configuration does not.
    pub(super) fn tokens(&mut self) {
        for named in self.class.tokens {
            self.arguments
                .default(named.name, named.token.map_or(Value::Null, Value::from));
            if let (Some(Token::Text(text)), wrap) = (self.arguments.token(named.name), named.wrap)
                && wrap != Wrap::Text
            {
                let token = wrapped(&text, wrap).to_value();
                self.arguments.keys.insert(named.name.to_owned(), token);
            }
        }
    }

    /// What the class builds, its arguments, and the post-processor of a tokenizer.json.
    fn build(
        mut self,
        build: Option<Build>,
    ) -> Result<(Definition, Arguments, Value), TokenizeError> {
        self.tokens();
        let mut definition = match build {
            Some(build) => build(&mut self)?,
            None => unreachable!("a class without rules has no vocabulary apart from its file"),
        };
        definition.padding = self.padding;
        definition.truncation = self.truncation;
        Ok((definition, self.arguments, self.post_processor))
    }

    fn definition(&self, model: Model) -> Definition {
        Definition::new(self.file, model)
    }

    /// A definition with a BPE of the vocabulary and merges.
    pub(super) fn bpe(&mut self, settings: Bpe) -> Result<Definition, TokenizeError> {
        let vocabulary = std::mem::take(&mut self.vocabulary);
        let (vocab, merges) = vocabulary.into_bpe(self.class.name, self.file)?;
        Ok(self.definition(Model::Bpe(Bpe {
            vocab,
            merges,
            ..settings
        })))
    }

    /// A definition with a `WordPiece` of the vocabulary, of transformers' settings.
    pub(super) fn word_piece(&mut self) -> Result<Definition, TokenizeError> {
        let vocabulary = std::mem::take(&mut self.vocabulary);
        let (vocab, _) = vocabulary.into_bpe(self.class.name, self.file)?;
        Ok(self.definition(Model::WordPiece(WordPiece {
            vocab,
            unk_token: self.arguments.text_of("unk_token"),
            continuing_subword_prefix: "##".to_owned(),
            max_input_chars_per_word: 100,
        })))
    }

    /// A definition with a unigram model of the vocabulary.
    pub(super) fn unigram(&mut self, unk_id: usize) -> Result<Definition, TokenizeError> {
        let vocabulary = std::mem::take(&mut self.vocabulary);
        let vocab = vocabulary.into_pieces(self.class.name, self.file)?;
        Ok(self.definition(Model::Unigram(Unigram {
            vocab,
            unk_id: Some(unk_id),
            byte_fallback: false,
        })))
    }

    /// The first piece of the unigram vocabulary that passes the test.
    pub(super) fn position(&self, test: impl Fn(&(String, f64)) -> bool) -> Option<usize> {
        self.position_from(0, test)
    }

    /// The first one from `start` on.
    pub(super) fn position_from(
        &self,
        start: usize,
        test: impl Fn(&(String, f64)) -> bool,
    ) -> Option<usize> {
        let Vocabulary::Pieces(pieces) = &self.vocabulary else {
            return None;
        };
        let rest = pieces.get(start..)?;
        rest.iter().position(test).map(|index| start + index)
    }

    /// The normalizer of the character map.
    pub(super) fn precompiled(&self) -> Option<Value> {
        let map = self.charsmap.as_deref()?;
        Some(json!({"type": "Precompiled", "precompiled_charsmap": map}))
    }
}

/// The character map of a normalizer, which may be one of a sequence.
fn charsmap(normalizer: &Value) -> Option<&str> {
    let one = std::slice::from_ref(normalizer);
    let list = match normalizer.get("normalizers").and_then(Value::as_array) {
        Some(list) => list.as_slice(),
        None => one,
    };
    list.iter()
        .filter(|stage| stage.get("type").and_then(Value::as_str) == Some("Precompiled"))
        .find_map(|stage| stage.get("precompiled_charsmap")?.as_str())
}

fn wrapped(text: &str, wrap: Wrap) -> AddedToken {
    let token = AddedToken::new(text);
    let left = |token| AddedToken {
        lstrip: true,
        ..token
    };
    match wrap {
        Wrap::Text | Wrap::Added => token,
        Wrap::Left => left(token),
        Wrap::LeftSpecial => AddedToken {
            special: true,
            ..left(token)
        },
        Wrap::LeftNormalized => AddedToken {
            special: true,
            normalized: Some(true),
            ..left(token)
        },
        Wrap::LeftPlain => AddedToken {
            normalized: Some(false),
            ..left(token)
        },
        Wrap::Special => AddedToken {
            special: true,
            normalized: Some(false),
            ..token
        },
    }
}

impl Ready {
    /// `TokenizersBackend.__init__` from the engine on.
    fn new(
        class: &Class,
        definition: Definition,
        mut arguments: Arguments,
        post_processor: &Value,
    ) -> Result<Self, TokenizeError> {
        let side = |section: &Value| {
            let side = section.get("direction").and_then(Value::as_str)?;
            Some(side.to_lowercase())
        };
        if let Some(side) = side(&definition.truncation) {
            arguments.default("truncation_side", side);
        }
        if let Some(pad) = definition.padding.get("pad_token").and_then(Value::as_str) {
            arguments.default("pad_token", pad);
            if let Some(side) = side(&definition.padding) {
                arguments.default("padding_side", side);
            }
        }
        let explicit = ["add_bos_token", "add_eos_token"]
            .iter()
            .any(|key| arguments.keys.contains_key(*key));
        let without = definition.post_processor.is_null() && post_processor.is_null();
        let mut built = definition.build()?;
        if !post_processor.is_null() {
            built.set_post_processor(post_processor)?;
        }
        let (named, extra) = special_tokens(&mut arguments)?;
        let mut ready = Self {
            built,
            padding_side: padding_side(class, &arguments)?,
            arguments,
            named,
            extra,
            behaviour: Behaviour::default(),
            follows_switches: explicit || without,
        };
        ready.add_missing()?;
        if ready.follows_switches {
            ready.update_post_processor()?;
        }
        Ok(ready)
    }

    /// A tokenizer whose definition has all its tokens.
    pub(super) fn whole(
        class: &Class,
        definition: Definition,
        arguments: Arguments,
        named: Vec<(String, Token)>,
        extra: Vec<Token>,
    ) -> Result<Self, TokenizeError> {
        Ok(Self {
            built: definition.build()?,
            padding_side: padding_side(class, &arguments)?,
            arguments,
            named,
            extra,
            behaviour: Behaviour::default(),
            follows_switches: false,
        })
    }

    /// Adds `added_tokens_decoder` and the special tokens, as far as the engine does not have them.
    fn add_missing(&mut self) -> Result<(), TokenizeError> {
        let engine = self.built.engine.get_added_vocabulary();
        let known: Vec<&tokenizers::AddedToken> =
            engine.get_added_tokens_decoder().values().collect();
        let decoder = self.arguments.added_tokens_decoder.values();
        let mut missing: Vec<Token> = decoder
            .filter(|token| !known.contains(&&AddedToken::clone(token).into_engine()))
            .map(|token| Token::Added(token.clone()))
            .collect();
        let encoder: std::collections::HashSet<&str> = known
            .iter()
            .map(|token| token.content.as_str())
            .chain(
                self.arguments
                    .added_tokens_decoder
                    .values()
                    .map(|token| token.content.as_str()),
            )
            .collect();
        let named = self.named.iter().map(|(_, token)| token);
        for token in named.chain(&self.extra) {
            if !encoder.contains(token.content()) && !missing.contains(token) {
                missing.push(token.clone());
            }
        }
        let names: Vec<&str> = self
            .named
            .iter()
            .map(|(_, token)| token.content())
            .collect();
        for token in &mut missing {
            if let Token::Added(token) = token {
                token.special |= names.contains(&token.content.as_str());
            }
        }
        self.built
            .add_tokens(missing.iter().map(Token::resolved).collect())
    }

    /// `bos_token` and `eos_token` around a text, as `add_bos_token` and `add_eos_token` say.
    pub(super) fn update_post_processor(&mut self) -> Result<(), TokenizeError> {
        let around = |ready: &Self, switch, name| -> Result<Option<(String, u32)>, TokenizeError> {
            let wanted = ready.arguments.flag(switch, false)? && ready.named_token(name).is_some();
            wanted.then(|| ready.special(name)).transpose()
        };
        let bos = around(self, "add_bos_token", "bos_token")?;
        let eos = around(self, "add_eos_token", "eos_token")?;
        let part = |piece: Piece, type_id: u32| {
            let bos = bos.iter().map(|bos| typed(bos, type_id));
            let eos = eos.iter().map(|eos| typed(eos, type_id));
            bos.chain([piece]).chain(eos).collect::<Vec<_>>()
        };
        let single = part(Piece::A(0), 0);
        let pair: Vec<Piece> = single.iter().cloned().chain(part(Piece::B(1), 1)).collect();
        self.built.set_post_processor(&template(&single, &pair))
    }

    /// The text of a named token.
    pub(super) fn named_token(&self, name: &str) -> Option<&str> {
        let found = self.named.iter().find(|(known, _)| known == name);
        found.map(|(_, token)| token.content())
    }

    /// The id of a token, or that of `unk_token`.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let engine = &self.built.engine;
        engine
            .token_to_id(token)
            .or_else(|| engine.token_to_id(self.named_token("unk_token")?))
    }

    /// A token and its id, which every token has that a post-processor needs.
    pub(super) fn with_id(&self, token: &str) -> Result<(String, u32), TokenizeError> {
        let id = self.id(token).ok_or_else(|| {
            invalid(
                "post_processor",
                format!("the token {token:?} has no id, and there is no unk_token"),
            )
        })?;
        Ok((token.to_owned(), id))
    }

    /// A named token and its id.
    pub(super) fn special(&self, name: &str) -> Result<(String, u32), TokenizeError> {
        let token = self
            .named_token(name)
            .ok_or_else(|| invalid(name, "this class needs the token, found none"))?;
        self.with_id(token)
    }

    /// `<cls> $A <sep>` and, of two texts, `<cls> $A <sep> $B <sep>`, the second of type 1.
    pub(super) fn cls_sep(&mut self, cls_type: u32) -> Result<(), TokenizeError> {
        let (cls, sep) = (self.special("cls_token")?, self.special("sep_token")?);
        let single = [typed(&cls, cls_type), Piece::A(0), token(&sep)];
        let pair: Vec<Piece> = single
            .iter()
            .cloned()
            .chain([Piece::B(1), typed(&sep, 1)])
            .collect();
        self.set(&template(&single, &pair))
    }

    /// Another normalizer.
    pub(super) fn set_normalizer(&mut self, normalizer: &Value) -> Result<(), TokenizeError> {
        self.built.set_normalizer(normalizer)
    }

    /// Another post-processor.
    pub(super) fn set(&mut self, post_processor: &Value) -> Result<(), TokenizeError> {
        self.built.set_post_processor(post_processor)
    }

    /// `_post_init`: the special tokens once more, as special ones.
    pub(super) fn add_as_special(&mut self) -> Result<(), TokenizeError> {
        let named = self.named.iter().map(|(_, token)| token);
        let tokens = named.chain(&self.extra).map(|token| {
            let mut token = match token {
                Token::Text(text) => {
                    tokenizers::AddedToken::from(text.as_str(), true).normalized(false)
                }
                Token::Added(token) => AddedToken {
                    special: true,
                    ..token.clone()
                }
                .into_engine(),
            };
            token.special = true;
            token
        });
        let tokens = tokens.collect();
        self.built.add_tokens(tokens)?;
        if self.follows_switches {
            // This takes back what the class may have put around texts.
            self.update_post_processor()?;
        }
        Ok(())
    }

    /// All special tokens once more, from their texts alone (`Qwen2Tokenizer.__init__`).
    pub(super) fn add_texts_as_special(&mut self) -> Result<(), TokenizeError> {
        let named = self.named.iter().map(|(_, token)| token);
        let tokens = named
            .chain(&self.extra)
            .map(|token| tokenizers::AddedToken::from(token.content(), true))
            .collect();
        self.built.add_tokens(tokens)
    }

    /// Whether a batch is padded on the right.
    pub(super) fn pads_right(&self) -> bool {
        self.padding_side == Side::Right
    }

    fn loaded(self, class: &Class, files: &TokenizerFiles) -> Result<Loaded, TokenizeError> {
        let mut keys = self.arguments.keys;
        keys.retain(|name, _| {
            !NAMES.contains(&name.as_str())
                && name != "extra_special_tokens"
                && name != "additional_special_tokens"
                && !name.ends_with("_token")
        });
        // A processor's template, where the tokenizer has none.
        for name in [CHAT_TEMPLATE_JSON, PROCESSOR_CONFIG] {
            if keys.get("chat_template").is_none_or(Value::is_null)
                && let Some(json) = files.get(name)
            {
                let file: Map<String, Value> = super::arguments::parse(json, name)?;
                if let Some(template) = file.get("chat_template") {
                    keys.insert("chat_template".to_owned(), template.clone());
                }
            }
        }
        let mut config = Config::read(keys, &[], &Value::Null, &Value::Null)?;
        config.padding_side = self.padding_side;
        config
            .model_input_names
            .get_or_insert_with(|| class.inputs.iter().map(|&name| name.to_owned()).collect());
        let resolved = |token: &Token| token.resolved();
        config.named = self
            .named
            .iter()
            .map(|(name, token)| (name.clone(), resolved(token)))
            .collect();
        config.extra = self.extra.iter().map(resolved).collect();
        Ok(Loaded {
            built: self.built,
            config,
            behaviour: self.behaviour,
        })
    }
}

fn padding_side(class: &Class, arguments: &Arguments) -> Result<Side, TokenizeError> {
    Ok(match arguments.text("padding_side")?.as_deref() {
        Some("left") => Side::Left,
        Some(_) => Side::Right,
        None => class.padding_side,
    })
}

/// Named tokens and unnamed ones.
type Tokens = (Vec<(String, Token)>, Vec<Token>);

/// The special tokens among the arguments (`PreTrainedTokenizerBase.__init__`).
pub(super) fn special_tokens(arguments: &mut Arguments) -> Result<Tokens, TokenizeError> {
    if !arguments.keys.contains_key("extra_special_tokens")
        && let Some(tokens) = arguments.keys.shift_remove("additional_special_tokens")
    {
        arguments
            .keys
            .insert("extra_special_tokens".to_owned(), tokens);
    }
    let mut named: Vec<(String, Token)> = Vec::new();
    for name in NAMES {
        if let Some(token) = arguments.token(name) {
            named.push((name.to_owned(), token));
        }
    }
    // Names of the model's own: first those among the arguments, then those collected before.
    let mut specific: Map<String, Value> = Map::new();
    for (name, value) in &arguments.keys {
        if name.ends_with("_token")
            && !NAMES.contains(&name.as_str())
            && Token::from_value(value).is_some()
        {
            specific.insert(name.clone(), value.clone());
        }
    }
    if let Some(Value::Object(explicit)) = arguments.keys.get(SPECIFIC) {
        specific.extend(explicit.clone());
    }
    let extra = match arguments.keys.get("extra_special_tokens") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => {
            let token = |(index, value): (usize, &Value)| {
                Token::from_value(value).ok_or_else(|| {
                    invalid(
                        format!("extra_special_tokens[{index}]"),
                        "expected a text or an object with `content`",
                    )
                })
            };
            list.iter()
                .enumerate()
                .map(token)
                .collect::<Result<_, _>>()?
        }
        Some(Value::Object(map)) => {
            for (name, value) in map {
                specific.insert(name.clone(), value.clone());
            }
            Vec::new()
        }
        Some(_) => {
            return Err(invalid(
                "extra_special_tokens",
                "expected a list of tokens or an object of names",
            ));
        }
    };
    for (name, value) in specific {
        let token = Token::from_value(&value).ok_or_else(|| {
            invalid(
                &name,
                "expected a token: a text, or an object with `content`",
            )
        })?;
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = token,
            None => named.push((name, token)),
        }
    }
    Ok((named, extra))
}
