//! Conversations: messages in, an answer out, its thinking and its calls of functions told apart from its text.

use std::collections::VecDeque;

use hfcore_config::GenerationConfig;
use hfcore_generate::{CancelToken, FinishReason, GenerateError, Generation, Usage};
use hfcore_tokenize::{Answer, AnswerEvent, AnswerParser, ChatOptions, DecodeStream, Message};

use super::TextGenerationPipeline;
use crate::error::Error;

impl TextGenerationPipeline {
    /// The answer to a conversation.
    ///
    /// # Errors
    /// If the model has no chat template, the template refuses the conversation, or the model fails.
    pub fn chat(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        config: &GenerationConfig,
    ) -> Result<Answer, Error> {
        let mut stream = self.chat_stream(messages, options, config, &CancelToken::new())?;
        stream
            .by_ref()
            .try_for_each(|event| event.map(drop))
            .map(|()| stream.into_answer())
    }

    /// The answer to a conversation as it comes, which another thread can stop: it then ends where it is, with
    /// [`FinishReason::Cancelled`].
    ///
    /// Where neither the caller nor the model's files limit it, it may fill the model's context.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn chat_stream(
        &self,
        messages: &[Message],
        options: &ChatOptions,
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<AnswerStream<'_>, Error> {
        let prompt = self.chat_prompt_with(messages, options)?;
        let config = self.unlimited(config);
        let tools = options.tools.as_deref().unwrap_or_default();
        let parser = self.tokenizer().answer_parser(prompt.text(), tools)?;
        Ok(AnswerStream {
            generation: self.generation(&prompt, &config, cancel)?,
            // The marks of thinking and of calls are special tokens.
            decoder: Some(self.tokenizer().decode_stream(false)),
            parser: Some(parser),
            events: VecDeque::new(),
            answer: Answer::default(),
        })
    }
}

impl TextGenerationPipeline {
    /// With the model's context as the limit, where there is none.
    fn unlimited(&self, config: &GenerationConfig) -> GenerationConfig {
        let model = self.model().generation_config();
        let limits = [config, model].map(|config| (config.max_new_tokens, config.max_length));
        if limits == [(None, None); 2] {
            let context = self.model().model().info().max_position_embeddings;
            return config.clone().with_max_length(context);
        }
        config.clone()
    }
}

/// An answer as it comes: an iterator over its events.
#[derive(Debug)]
pub struct AnswerStream<'a> {
    generation: Generation<'a>,
    decoder: Option<DecodeStream>,
    parser: Option<AnswerParser>,
    events: VecDeque<AnswerEvent>,
    answer: Answer,
}

impl AnswerStream<'_> {
    /// The whole answer; what there is of it, if the stream has not ended.
    #[must_use]
    pub fn into_answer(mut self) -> Answer {
        self.end();
        self.answer
    }

    /// Why it ended; `None` while it has not.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        let sequence = self.generation.sequences().first();
        sequence.and_then(|sequence| sequence.finish_reason)
    }

    /// What it has cost so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.generation.usage()
    }

    /// The text that decoding and parsing held back.
    fn end(&mut self) {
        let rest = self.decoder.take().and_then(DecodeStream::finish);
        if let Some(mut parser) = self.parser.take() {
            self.events.extend(parser.push(&rest.unwrap_or_default()));
            let (events, answer) = parser.finish();
            self.events.extend(events);
            self.answer = answer;
        }
    }
}

impl Iterator for AnswerStream<'_> {
    type Item = Result<AnswerEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            let (Some(decoder), Some(parser)) = (&mut self.decoder, &mut self.parser) else {
                return None;
            };
            match self.generation.next() {
                Some(Ok(token)) => {
                    if let Some(piece) = decoder.push(token.id) {
                        self.events.extend(parser.push(&piece));
                    }
                }
                // Whoever stops an answer wants what there is of it.
                None | Some(Err(GenerateError::Cancelled)) => self.end(),
                Some(Err(error)) => return Some(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hfcore_tokenize::Message;

    use super::*;

    fn demo() -> TextGenerationPipeline {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../hfcore-cli/demo");
        TextGenerationPipeline::load(folder).unwrap()
    }

    #[test]
    fn what_is_said_before_it_is_stopped_is_kept() {
        let pipeline = demo();
        let cancel = CancelToken::new();
        let messages = [Message::user("Tell me a story.")];
        let (options, config) = (ChatOptions::default(), GenerationConfig::default());
        let mut stream = pipeline
            .chat_stream(&messages, &options, &config, &cancel)
            .unwrap();
        let mut said = String::new();
        for event in stream.by_ref() {
            let AnswerEvent::Content(text) = event.unwrap() else {
                panic!("the demo neither thinks nor calls")
            };
            said += &text;
            cancel.cancel();
        }
        assert_eq!(stream.finish_reason(), Some(FinishReason::Cancelled));
        assert_eq!(stream.into_answer().content, said.trim_end());
    }

    #[test]
    fn an_answer_ends_where_the_model_ends_it() {
        let pipeline = demo();
        let messages = [Message::user("Hello!")];
        let config = GenerationConfig::default().with_do_sample(false);
        let answer = pipeline
            .chat(&messages, &ChatOptions::default(), &config)
            .unwrap();
        assert!(answer.content.ends_with(['.', '?', '!']), "{answer:?}");
        let prompt = pipeline.chat_prompt(&messages).unwrap();
        assert_eq!(
            pipeline.generate(prompt, &config).unwrap().text,
            answer.content
        );
    }
}
