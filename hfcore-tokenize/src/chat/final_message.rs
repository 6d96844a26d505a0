//! `continue_final_message`: the prompt ends where the last message does.
//!
//! A mark goes behind the text to be continued, and the rendered prompt is cut at the mark. Reference: transformers 5.23
//! `render_jinja_template` in `utils/chat_template_utils.py`.

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::message::REASONING;
use super::options::ContinueFinalMessage;

/// The mark after the text to continue; transformers' own.
const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// A last message that was marked.
pub(super) struct Open {
    /// Its text as it was.
    text: String,
}

fn refuse(why: impl std::fmt::Display) -> TemplateError {
    TemplateError::Conversation(format!("continue_final_message: {why}"))
}

/// Marks the end of the last message's text. `None` where nothing is to be continued.
pub(super) fn open(
    messages: &mut [Value],
    which: &ContinueFinalMessage,
    source: &str,
) -> Result<Option<Open>, TemplateError> {
    let field = match which {
        ContinueFinalMessage::No => return Ok(None),
        ContinueFinalMessage::Content => "content",
        ContinueFinalMessage::Field(field) => field,
    };
    let Some(Value::Object(last)) = messages.last_mut() else {
        return Err(refuse("there is no message to continue"));
    };
    let Some(text) = last.get(field).cloned() else {
        return Err(refuse(format!(
            "the last message has no {field:?} to continue"
        )));
    };
    // Reasoning has several names; whichever the template reads is marked.
    let fields: Vec<&str> = if REASONING.contains(&field) {
        let same = |name: &&str| last.get(*name) == Some(&text);
        REASONING.into_iter().filter(same).collect()
    } else {
        vec![field]
    };
    if !fields.iter().any(|&field| source.contains(field)) {
        return Err(refuse(format!(
            "the template does not write the field {field:?}"
        )));
    }
    let text = match text {
        Value::Array(_) => mark_last_part(last, field)?,
        Value::String(text) => {
            for name in fields {
                last.insert(name.to_owned(), Value::from(format!("{text}{MARK}")));
            }
            text
        }
        _ => {
            return Err(refuse(format!(
                "expected {field:?} of the last message to be text or a list of parts"
            )));
        }
    };
    Ok(Some(Open { text }))
}

/// Marks the last part with a text and returns that text.
fn mark_last_part(last: &mut Map<String, Value>, field: &str) -> Result<String, TemplateError> {
    let parts = last.get_mut(field).and_then(Value::as_array_mut);
    let text = parts
        .into_iter()
        .flatten()
        .rev()
        .find_map(|part| part.get_mut("text"));
    match text {
        Some(Value::String(text)) => {
            let before = text.clone();
            text.push_str(MARK);
            Ok(before)
        }
        _ => Err(refuse("no part of the last message has a text to continue")),
    }
}

impl Open {
    /// Cuts the prompt at the mark.
    pub(super) fn close(&self, rendered: &str) -> Result<String, TemplateError> {
        let lost = || refuse("the template does not write the last message as it is");
        if !rendered.contains(self.text.trim_matches(is_space)) {
            return Err(lost());
        }
        let at = rendered.rfind(MARK.trim_end()).ok_or_else(lost)?;
        let text = &rendered[..at];
        // A template that trimmed the mark's space would have trimmed the message's own.
        Ok(if rendered[at..].starts_with(MARK) {
            text
        } else {
            text.trim_end_matches(is_space)
        }
        .to_owned())
    }
}

/// Python's `str.isspace`, which counts four separators that Unicode does not.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn continued(last: Value, which: impl Into<ContinueFinalMessage>) -> Result<String, String> {
        let mut messages = vec![last];
        let open = open(
            &mut messages,
            &which.into(),
            "message.content reasoning_content",
        )
        .map_err(|error| error.to_string())?
        .expect("something to continue");
        let text = messages[0].to_string();
        Ok(format!(
            "{} {}",
            open.close(&text).map_err(|error| error.to_string())?,
            text.matches(MARK).count()
        ))
    }

    #[test]
    fn marks_every_name_of_the_field_and_cuts_at_the_last() {
        let message = json!({"content": "Once "});
        assert_eq!(continued(message, true).unwrap(), "{\"content\":\"Once  1");
        let message = json!({"reasoning_content": "a", "thinking": "a", "reasoning": "b"});
        assert_eq!(
            continued(message, "thinking").unwrap(),
            "{\"reasoning_content\":\"aCONTINUE_FINAL_MESSAGE_TAG \",\"thinking\":\"a 2"
        );
        let message = json!({"content": [{"text": "a"}, {"type": "image"}]});
        assert_eq!(
            continued(message, true).unwrap(),
            "{\"content\":[{\"text\":\"a 1"
        );
    }

    #[test]
    fn what_cannot_be_continued() {
        let refused = [
            (json!({}), "the last message has no \"content\" to continue"),
            (
                json!({"content": [{"type": "image"}]}),
                "no part of the last message has a text to continue",
            ),
            (
                json!({"content": 5}),
                "expected \"content\" of the last message to be text or a list of parts",
            ),
        ];
        for (message, why) in refused {
            assert_eq!(
                continued(message, true).unwrap_err(),
                format!("continue_final_message: {why}")
            );
        }
        assert_eq!(
            continued(json!({"name": "a"}), "name").unwrap_err(),
            "continue_final_message: the template does not write the field \"name\""
        );
        let open = Open {
            text: " a ".to_owned(),
        };
        assert_eq!(
            open.close("x a CONTINUE_FINAL_MESSAGE_TAG|").unwrap(),
            "x a"
        );
        assert!(open.close("x b CONTINUE_FINAL_MESSAGE_TAG").is_err());
        assert!(open.close("x a").is_err());
    }
}
