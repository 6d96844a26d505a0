//! The messages so far.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use hfcore::{Answer, Message};
use serde_json::{Map, Value, json};

use crate::output::Result;

/// A conversation: perhaps a system message, then messages of the user and answers in turn.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn new(system: Option<String>) -> Self {
        let mut conversation = Self::default();
        conversation.set_system(system);
        conversation
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Begins anew under a system message, or none.
    pub(super) fn set_system(&mut self, system: Option<String>) {
        self.messages = system.map(Message::system).into_iter().collect();
    }

    /// Forgets all but the system message.
    pub(super) fn reset(&mut self) {
        let is_system = |message: &Message| message.role() == Some("system");
        let system = usize::from(self.messages.first().is_some_and(is_system));
        self.messages.truncate(system);
    }

    pub(super) fn say(&mut self, text: String) {
        self.messages.push(Message::user(text));
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        self.messages.push(answer.to_message());
    }

    /// Takes back the last message of the user and what came after it; what it said.
    pub(super) fn undo(&mut self) -> Option<String> {
        let is_user = |message: &Message| message.role() == Some("user");
        let at = self.messages.iter().rposition(is_user)?;
        let message = self.messages.drain(at..).next()?;
        message.content().and_then(Value::as_str).map(str::to_owned)
    }

    /// Writes the messages as JSON, a list as transformers' `apply_chat_template` takes it: whole, or not at all.
    pub(super) fn save(&self, file: &Path) -> Result<()> {
        let messages = self.messages.iter().map(|message| &message.fields);
        let mut text = serde_json::to_string_pretty(&messages.collect::<Vec<_>>())?;
        text.push('\n');
        let mut partial = file.as_os_str().to_owned();
        partial.push(".part");
        let write = || -> std::io::Result<()> {
            let mut out = File::create(&partial)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&partial, file)
        };
        write().map_err(|error| format!("{} cannot be written: {error}", file.display()).into())
    }

    /// Reads what [`save`](Self::save) wrote, or any list of messages with roles.
    pub(super) fn load(file: &Path) -> Result<Self> {
        let wrong = |problem: String| format!("{}: {problem}", file.display());
        let bytes = fs::read(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let messages: Vec<Map<String, Value>> = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("expected a JSON list of messages: {error}")))?;
        for (index, message) in messages.iter().enumerate() {
            if !message.get("role").is_some_and(Value::is_string) {
                let found = json!(message);
                return Err(wrong(format!("message {index} has no role: {found}")).into());
            }
        }
        let messages = messages.into_iter().map(Message::from).collect();
        Ok(Self { messages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(conversation: &Conversation) -> Vec<&str> {
        conversation
            .messages()
            .iter()
            .filter_map(Message::role)
            .collect()
    }

    #[test]
    fn what_is_said_can_be_taken_back() {
        let mut conversation = Conversation::new(Some("Be brief.".to_owned()));
        conversation.say("one".to_owned());
        conversation.answered(&Answer::default());
        conversation.say("two".to_owned());
        assert_eq!(conversation.undo().as_deref(), Some("two"));
        assert_eq!(roles(&conversation), ["system", "user", "assistant"]);
        assert_eq!(conversation.undo().as_deref(), Some("one"));
        assert_eq!(conversation.undo(), None);
        assert_eq!(roles(&conversation), ["system"]);
        conversation.say("three".to_owned());
        conversation.reset();
        assert_eq!(roles(&conversation), ["system"]);
        conversation.set_system(None);
        assert_eq!(roles(&conversation), [""; 0]);
    }
}
