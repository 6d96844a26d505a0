//! [`DecodeStream`]: text as it is generated.

use crate::decode::DecodeOptions;
use crate::engine::{Stream, StreamPlan};
use crate::tokenizer::Tokenizer;

/// A decoder in the middle of a text; see [`Tokenizer::decode_stream`].
///
/// It holds back what a later token may still change: an unfinished character, a run of `<0xE2>` byte tokens (which
/// is text or not as a whole), and where `clean_up_tokenization_spaces` applies, the last word. With a decoder for
/// which nothing can be said before the end (a regular expression over the fused text), all comes at
/// [`finish`](Self::finish).
#[derive(Clone, Debug)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    options: DecodeOptions,
    state: State,
    /// Decoded, but not yet cleaned up.
    pending: String,
}

#[derive(Clone, Debug)]
enum State {
    Running(Stream),
    Waiting(Vec<u32>),
}

impl DecodeStream {
    pub(crate) fn new(tokenizer: Tokenizer, options: DecodeOptions) -> Self {
        let state = match tokenizer.stream_plan() {
            StreamPlan::Stages(steps) => State::Running(Stream::new(steps)),
            StreamPlan::AtTheEnd => State::Waiting(Vec::new()),
        };
        Self {
            tokenizer,
            options,
            state,
            pending: String::new(),
        }
    }

    /// The text that `id` makes final; `None` if it makes none.
    pub fn push(&mut self, id: u32) -> Option<String> {
        let text = match &mut self.state {
            State::Running(stream) => {
                let skip = self.options.skip_special_tokens;
                stream.push(self.tokenizer.token_of(id, skip)?)
            }
            State::Waiting(ids) => {
                ids.push(id);
                return None;
            }
        };
        let text = if self.tokenizer.cleans_up(self.options) {
            self.pending.push_str(&text);
            let rest = self.pending.split_off(settled(&self.pending));
            clean_up(std::mem::replace(&mut self.pending, rest))
        } else {
            text
        };
        (!text.is_empty()).then_some(text)
    }

    /// The rest of the text; `None` if there is none.
    pub fn finish(self) -> Option<String> {
        let text = match self.state {
            State::Running(stream) => {
                let text = self.pending + &stream.finish();
                if self.tokenizer.cleans_up(self.options) {
                    clean_up(text)
                } else {
                    text
                }
            }
            State::Waiting(ids) => self.tokenizer.decode_with(&ids, self.options),
        };
        (!text.is_empty()).then_some(text)
    }
}

/// transformers' `clean_up_tokenization`: no spaces before punctuation and English contractions.
pub(crate) fn clean_up(text: String) -> String {
    let rules = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    let apply = |text: String, (from, to): (&str, &str)| {
        if text.contains(from) {
            text.replace(from, to)
        } else {
            text
        }
    };
    rules.into_iter().fold(text, apply)
}

/// The last place before which [`clean_up`] depends on nothing after it: a space between a letter or digit and an
/// ASCII letter other than `n`. No rule reaches across it, whatever the others did before.
fn settled(text: &str) -> usize {
    let bytes = text.as_bytes();
    let place = |at: usize| {
        bytes[at] == b' '
            && bytes[at - 1].is_ascii_alphanumeric()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 1] != b'n'
    };
    (1..bytes.len().saturating_sub(1))
        .rev()
        .find(|&at| place(at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_up_in_parts_is_cleaning_up() {
        let atoms = [
            " ", "a", "n't", "'", "s", " '", ".", "ve", "n", "?", "é", "7",
        ];
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            let mut text = String::new();
            let (mut parts, mut pending) = (String::new(), String::new());
            for _ in 0..12 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let atom = atoms[(seed >> 16) as usize % atoms.len()];
                text += atom;
                pending += atom;
                let rest = pending.split_off(settled(&pending));
                parts += &clean_up(std::mem::replace(&mut pending, rest));
            }
            parts += &clean_up(pending);
            assert_eq!(parts, clean_up(text.clone()), "{text:?}");
        }
    }

    #[test]
    fn what_is_settled() {
        assert_eq!(settled("do you n't"), 2);
        assert_eq!(settled("it 's"), 0);
        assert_eq!(settled(""), 0);
    }
}
