//! Control tokens in what users write: marked before the template runs, and encoded as plain text after it.
//!
//! Reference: transformers 5.23 `mark_control_tokens` and `encode_marked_chat` in `utils/chat_template_utils.py`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::message::Message;
use super::options::ChatOptions;

/// Private characters around a control token of a user.
const START: char = '\u{f0000}';
const END: char = '\u{f0001}';

/// Tokens to look for; where two begin at one place the longer one is found.
pub(super) struct ControlTokens {
    by_first: HashMap<char, Vec<String>>,
}

/// A part of a marked prompt.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// What the template wrote, and what of the users' text is no control token.
    Text(&'a str),
    /// A control token that a user wrote.
    Marked(&'a str),
}

impl ControlTokens {
    pub(super) fn new(tokens: impl IntoIterator<Item = String>) -> Self {
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for token in tokens {
            if let Some(first) = token.chars().next() {
                by_first.entry(first).or_default().push(token);
            }
        }
        for tokens in by_first.values_mut() {
            tokens.sort_by_key(|token| std::cmp::Reverse(token.chars().count()));
        }
        Self { by_first }
    }

    fn at<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let tokens = text
            .chars()
            .next()
            .and_then(|first| self.by_first.get(&first));
        tokens
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|token| text.starts_with(token))
    }

    /// The text with its control tokens marked; marks that it brings along go.
    fn mark_text(&self, text: &str) -> String {
        let text = text.replace([START, END], "");
        let mut marked = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let token = self.at(rest).next();
            if let Some(token) = token {
                marked.push(START);
                marked.push_str(token);
                marked.push(END);
                rest = &rest[token.len()..];
            } else {
                marked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        marked
    }

    /// A value with the control tokens in its texts marked; keys of objects stay.
    fn mark(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mark_text(text)),
            Value::Array(list) => list.iter().map(|item| self.mark(item)).collect(),
            Value::Object(map) => Value::Object(self.mark_map(map)),
            other => other.clone(),
        }
    }

    fn mark_map(&self, map: &Map<String, Value>) -> Map<String, Value> {
        map.iter()
            .map(|(key, value)| (key.clone(), self.mark(value)))
            .collect()
    }

    pub(super) fn mark_messages(&self, messages: &[Message]) -> Vec<Message> {
        messages
            .iter()
            .map(|message| Message::from(self.mark_map(&message.fields)))
            .collect()
    }

    pub(super) fn mark_options(&self, options: &ChatOptions) -> ChatOptions {
        let list = |list: &Option<Vec<Value>>| {
            let list = list.as_ref()?;
            Some(list.iter().map(|item| self.mark(item)).collect())
        };
        ChatOptions {
            tools: list(&options.tools),
            documents: list(&options.documents),
            kwargs: self.mark_map(&options.kwargs),
            ..options.clone()
        }
    }

    /// A rendered prompt in pieces. Marks that a template has torn from their token are dropped, and still separate
    /// the text on either side, so that it cannot join into a token.
    pub(super) fn split<'a>(&self, prompt: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut rest = prompt;
        while let Some(at) = rest.find([START, END]) {
            pieces.push(Piece::Text(&rest[..at]));
            let mark = &rest[at..];
            let after = &mark[START.len_utf8()..];
            let token = if mark.starts_with(START) {
                self.at(after)
                    .find(|token| after[token.len()..].starts_with(END))
                    .map(str::len)
            } else {
                None
            };
            rest = if let Some(length) = token {
                pieces.push(Piece::Marked(&after[..length]));
                &after[length + END.len_utf8()..]
            } else {
                after
            };
        }
        pieces.push(Piece::Text(rest));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marked_and_taken_apart_again() {
        let tokens = ControlTokens::new(["<a>", "<a><b>", "é"].map(str::to_owned));
        let marked = tokens.mark(&json!({"<a>": ["x<a><b>é\u{f0000}<a\u{f0001}>", 1]}));
        let text = marked["<a>"][0].as_str().unwrap();
        assert_eq!(
            text,
            "x\u{f0000}<a><b>\u{f0001}\u{f0000}é\u{f0001}\u{f0000}<a>\u{f0001}"
        );
        use Piece::{Marked, Text};
        assert_eq!(
            tokens.split(text),
            [
                Text("x"),
                Marked("<a><b>"),
                Text(""),
                Marked("é"),
                Text(""),
                Marked("<a>"),
                Text("")
            ]
        );
        // A template that cut a marked token: nothing of the marks is left, and nothing joins.
        assert_eq!(
            tokens.split("\u{f0000}<a\u{f0001}>\u{f0000}"),
            [Text(""), Text("<a"), Text(">"), Text("")]
        );
    }
}
