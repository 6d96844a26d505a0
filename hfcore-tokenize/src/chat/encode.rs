//! Conversations to ids: `apply_chat_template` with `tokenize=True`.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::{Model, Normalizer, OffsetReferential, OffsetType, PreTokenizer};

use super::control::{ControlTokens, Piece};
use super::error::TemplateError;
use super::final_message::is_space;
use super::message::Message;
use super::options::{ChatOptions, ContinueFinalMessage};
use super::template::{ChatTemplate, RenderedChat};
use crate::encoding::Encoding;
use crate::engine;
use crate::error::{TokenizeError, catch};
use crate::tokenizer::Tokenizer;

/// The tokens of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatEncoding {
    /// The prompt that was encoded.
    pub prompt: String,
    /// Its tokens. Where control tokens were sanitized the offsets are unknown: `0..0`.
    pub encoding: Encoding,
    /// 1 for tokens that the template marks as the assistant's, else 0; one entry per token. `None` unless
    /// [`ChatOptions::return_assistant_tokens_mask`] asks for it.
    pub assistant_masks: Option<Vec<u32>>,
}

impl AsRef<[u32]> for ChatEncoding {
    fn as_ref(&self) -> &[u32] {
        &self.encoding.ids
    }
}

fn refuse(why: impl Into<String>) -> TemplateError {
    TemplateError::Conversation(why.into())
}

impl Tokenizer {
    /// The prompt of a conversation, as the model was trained on it. Encode it with `add_special_tokens: false`: the
    /// template has written them already. [`encode_chat`](Self::encode_chat) does both.
    ///
    /// # Errors
    ///
    /// [`TemplateError`]: no template, a message that it refuses, an option that needs tokens, or its limits.
    pub fn apply_chat_template(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<String, TemplateError> {
        if options.sanitize_control_tokens || options.return_assistant_tokens_mask {
            return Err(refuse(
                "sanitize_control_tokens and return_assistant_tokens_mask say how tokens are made: use encode_chat",
            ));
        }
        Ok(self.render_chat(messages, options)?.text)
    }

    /// The prompts of several conversations. They are rendered one after the other.
    ///
    /// # Errors
    ///
    /// As [`apply_chat_template`](Self::apply_chat_template), for the first conversation that fails.
    pub fn apply_chat_template_batch<M: AsRef<[Message]>>(
        &self,
        conversations: &[M],
        options: &ChatOptions,
    ) -> Result<Vec<String>, TemplateError> {
        conversations
            .iter()
            .map(|messages| self.apply_chat_template(messages.as_ref(), options))
            .collect()
    }

    /// The tokens of a conversation: its prompt, encoded without adding special tokens. To cut or to pad them, give the
    /// prompt of [`apply_chat_template`](Self::apply_chat_template) to [`encode_with`](Self::encode_with), or those of
    /// [`apply_chat_template_batch`](Self::apply_chat_template_batch) to
    /// [`encode_batch_with`](Self::encode_batch_with), with `add_special_tokens: false`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let json = br#"{"pre_tokenizer": {"type": "Whitespace"},
    /// #   "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "user": 1, "assistant": 2, "hi": 3}}}"#;
    /// use hfcore_tokenize::{ChatOptions, Message, Tokenizer};
    ///
    /// let template = "{% for m in messages %}{{ m.role }} {% if m.role == 'assistant' %}{% generation %}\
    ///     {{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %} {% endfor %}";
    /// let tokenizer = Tokenizer::from_slices(json, None)?.with_chat_templates([("default", template)]);
    /// let options = ChatOptions { return_assistant_tokens_mask: true, ..ChatOptions::default() };
    /// let chat = tokenizer.encode_chat(&[Message::user("hi"), Message::assistant("hi")], &options)?;
    /// assert_eq!(chat.encoding.ids, [1, 3, 2, 3]);
    /// assert_eq!(chat.assistant_masks, Some(vec![0, 0, 0, 1]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TokenizeError::Template`] as [`apply_chat_template`](Self::apply_chat_template) and for options that exclude
    /// each other, and the errors of [`encode`](Self::encode).
    pub fn encode_chat(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<ChatEncoding, TokenizeError> {
        if options.return_assistant_tokens_mask {
            if options.continue_final_message != ContinueFinalMessage::No {
                let why = "continue_final_message excludes return_assistant_tokens_mask";
                return Err(refuse(why).into());
            }
            if options.sanitize_control_tokens {
                let why = "sanitize_control_tokens excludes return_assistant_tokens_mask";
                return Err(refuse(why).into());
            }
        }
        if options.sanitize_control_tokens {
            return self.encode_sanitized(messages, options);
        }
        let rendered = self.render_chat(messages, options)?;
        let encoding = self.encode(&rendered.text, false)?;
        let assistant_masks = options
            .return_assistant_tokens_mask
            .then(|| assistant_mask(&rendered, &encoding));
        Ok(ChatEncoding {
            prompt: rendered.text,
            encoding,
            assistant_masks,
        })
    }

    /// The tokens of several conversations; nothing is padded.
    ///
    /// # Errors
    ///
    /// As [`encode_chat`](Self::encode_chat), for the first conversation that fails.
    pub fn encode_chat_batch<M: AsRef<[Message]>>(
        &self,
        conversations: &[M],
        options: &ChatOptions,
    ) -> Result<Vec<ChatEncoding>, TokenizeError> {
        conversations
            .iter()
            .map(|messages| self.encode_chat(messages.as_ref(), options))
            .collect()
    }

    /// The template that the options choose: given as text, by name, or by what there is.
    fn chosen_template(
        &self,
        options: &ChatOptions,
    ) -> Result<Cow<'_, ChatTemplate>, TemplateError> {
        Ok(match &options.chat_template {
            Some(source) => Cow::Owned(ChatTemplate::new(source.as_str())?),
            None => Cow::Borrowed(self.chat_template(
                options.chat_template_name.as_deref(),
                options.tools.is_some(),
            )?),
        })
    }

    fn render_chat(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<RenderedChat, TemplateError> {
        let special = self
            .special_tokens_map()
            .map(|(name, token)| (name.to_owned(), Value::from(token)));
        self.chosen_template(options)?
            .render_chat(messages, options, special)
    }

    fn encode_sanitized(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<ChatEncoding, TokenizeError> {
        let template = self.chosen_template(options)?;
        let control = ControlTokens::new(self.control_tokens(&template));
        let rendered = self.render_chat(
            &control.mark_messages(messages),
            &control.mark_options(options),
        )?;
        let added = self.engine().get_added_vocabulary();
        let all = ControlTokens::new(added.get_vocab().keys().cloned());
        let newline = self.encode("\n", false)?.ids;
        let mut ids = Vec::new();
        let mut prompt = String::new();
        for (index, piece) in all.split(&rendered.text).into_iter().enumerate() {
            let plain = |text: &str| self.encode_without_added_tokens(text);
            let usual = |text: &str| Ok(self.encode(text, false)?.ids);
            match piece {
                Piece::Text(text) => {
                    prompt.push_str(text);
                    if index == 0 {
                        ids.extend(usual(text)?);
                    } else if !text.is_empty() {
                        ids.extend(in_the_middle(text, &newline, usual)?);
                    }
                }
                Piece::Marked(token) => {
                    prompt.push_str(token);
                    let found = in_the_middle(token, &newline, plain)?;
                    if self
                        .token_to_id(token)
                        .is_some_and(|id| found.contains(&id))
                    {
                        let why = format!(
                            "sanitize_control_tokens: {token:?} is the same token when it is plain text"
                        );
                        return Err(refuse(why).into());
                    }
                    ids.extend(found);
                }
            }
        }
        Ok(ChatEncoding {
            prompt,
            encoding: self.bare_encoding(ids),
            assistant_masks: None,
        })
    }

    /// The special tokens, and the added ones that the template writes (not those of spaces alone, which are text
    /// there), or that `chat_control_tokens` names.
    fn control_tokens(&self, template: &ChatTemplate) -> Vec<String> {
        let added = self
            .engine()
            .get_added_vocabulary()
            .get_added_tokens_decoder();
        let named = self.chat_control_tokens();
        let written = |token: &str| match named {
            Some(named) => named.iter().any(|name| name == token),
            None => template.source().contains(token) && !token.chars().all(is_space),
        };
        added
            .values()
            .filter(|token| token.special || written(&token.content))
            .map(|token| token.content.clone())
            .collect()
    }

    /// The ids of a text in which no added token is recognised.
    fn encode_without_added_tokens(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        if let Some(python) = &self.behaviour().python {
            return Ok(python.sequence(text, None, 0, true)?.get_ids().to_vec());
        }
        catch("encoding", || {
            engine::watched(|| {
                let engine = self.engine();
                let mut text = tokenizers::PreTokenizedString::from(normalized(engine, text)?);
                if let Some(pre_tokenizer) = engine.get_pre_tokenizer() {
                    pre_tokenizer
                        .pre_tokenize(&mut text)
                        .map_err(TokenizeError::from_engine)?;
                }
                let splits = text.get_splits(OffsetReferential::Original, OffsetType::None);
                let mut ids = Vec::new();
                for (split, _, _) in splits {
                    let tokens = engine.get_model().tokenize(split);
                    let tokens = tokens.map_err(TokenizeError::from_engine)?;
                    ids.extend(tokens.into_iter().map(|token| token.id));
                }
                Ok(ids)
            })
        })
    }

    /// An encoding of which only the ids are known.
    fn bare_encoding(&self, ids: Vec<u32>) -> Encoding {
        let count = ids.len();
        Encoding {
            tokens: ids
                .iter()
                .map(|&id| self.id_to_token(id).unwrap_or_default())
                .collect(),
            offsets: vec![0..0; count],
            char_offsets: vec![0..0; count],
            special_tokens_mask: vec![0; count],
            attention_mask: vec![1; count],
            type_ids: vec![0; count],
            sequence_ids: vec![Some(0); count],
            word_ids: vec![None; count],
            ids,
            ..Encoding::default()
        }
    }
}

/// A text as the normalizer leaves it.
fn normalized(engine: &engine::Engine, text: &str) -> Result<String, TokenizeError> {
    let mut normalized = tokenizers::NormalizedString::from(text);
    if let Some(normalizer) = engine.get_normalizer() {
        normalizer
            .normalize(&mut normalized)
            .map_err(TokenizeError::from_engine)?;
    }
    Ok(normalized.get().to_owned())
}

/// The ids of a piece that does not begin a text: after a newline, so that no prefix space is added.
fn in_the_middle(
    piece: &str,
    newline: &[u32],
    encode: impl Fn(&str) -> Result<Vec<u32>, TokenizeError>,
) -> Result<Vec<u32>, TokenizeError> {
    let ids = encode(&format!("\n{piece}"))?;
    match ids.strip_prefix(newline) {
        Some(ids) => Ok(ids.to_vec()),
        None => encode(piece),
    }
}

/// 1 for the tokens in the template's generation blocks. A block that ends in the first token, or in none, lasts to the
/// end: so transformers counts.
fn assistant_mask(rendered: &RenderedChat, encoding: &Encoding) -> Vec<u32> {
    let token_at = |byte: usize| {
        encoding
            .offsets
            .iter()
            .position(|offsets| offsets.contains(&byte))
    };
    let mut mask = vec![0; encoding.len()];
    for span in &rendered.generation_spans {
        let Some(first) = token_at(span.start) else {
            break;
        };
        let last = span.end.checked_sub(1).and_then(token_at);
        let end = last
            .filter(|&last| last > 0)
            .map_or(mask.len(), |last| last + 1);
        for token in mask.get_mut(first..end).into_iter().flatten() {
            *token = 1;
        }
    }
    mask
}
