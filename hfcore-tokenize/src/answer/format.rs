//! The formats in which families of models write their answers.
//!
//! Each is a few regions: what opens them, what closes them, and what their text is. The text around is the content.

use super::anchor::Anchor;
use super::call::{Syntax, may_be_json_call, may_be_pythonic};
use super::region::Region;

/// How a model marks its thinking and its calls of functions.
///
/// [`AnswerFormat::detect`] finds it in a chat template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerFormat {
    /// Text, and nothing else.
    Plain,
    /// `<think>…</think>`, then text (DeepSeek R1's distilled models, QwQ).
    Thinking,
    /// `<tool_call>{"name": …}</tool_call>` and `<think>` (Hermes, Qwen 2.5 and 3, SmolLM3, Granite 4).
    Hermes,
    /// `<tool_call><function=…><parameter=…>` (Qwen3-Coder, Qwen 3.5).
    QwenCoder,
    /// `<tool_call>name<arg_key>…` (GLM 4.5).
    Glm,
    /// The answer is a JSON object, perhaps after `<|python_tag|>` (Llama 3.1, 3.2 and 3.3).
    Llama3,
    /// The answer is `[f(a=1)]` (Llama 4).
    Llama4,
    /// `[TOOL_CALLS]` and `[THINK]` (Mistral).
    Mistral,
    /// `<｜tool▁call▁begin｜>` (DeepSeek V3, V3.1, R1).
    DeepSeek,
    /// Channels: `<|channel|>analysis<|message|>…` (gpt-oss).
    Harmony,
    /// `Action: ` and a fenced list (Command R and R+).
    CommandR,
    /// `<|START_ACTION|>` and `<|START_THINKING|>` (Command R7B, Command A).
    CommandA,
    /// `<|tool_call|>[…]` (Granite 3).
    Granite,
    /// `<|tool_call|>[…]<|/tool_call|>` or `functools[…]` (Phi-4-mini).
    Phi,
    /// A fenced block `tool_code` with Python calls (Gemma 3).
    Gemma,
    /// `<|tool_call_begin|>functions.f:0…` (Kimi K2).
    Kimi,
}

/// What a region's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Content,
    Thinking,
    Calls(Syntax),
}

const CONTENT: &str = "content";

impl AnswerFormat {
    /// Every format.
    pub const ALL: [Self; 16] = [
        Self::Plain,
        Self::Thinking,
        Self::Hermes,
        Self::QwenCoder,
        Self::Glm,
        Self::Llama3,
        Self::Llama4,
        Self::Mistral,
        Self::DeepSeek,
        Self::Harmony,
        Self::CommandR,
        Self::CommandA,
        Self::Granite,
        Self::Phi,
        Self::Gemma,
        Self::Kimi,
    ];

    /// The format that the models of this chat template answer in, by the marks that the template writes.
    pub fn detect(chat_template: &str) -> Self {
        let has = |marks: &[&str]| marks.iter().all(|mark| chat_template.contains(mark));
        // The most telling first: several families share `<tool_call>` and `<think>`.
        let table: [(&[&str], Self); 17] = [
            (&["<|channel|>", "<|message|>"], Self::Harmony),
            (&["<｜tool▁call▁begin｜>"], Self::DeepSeek),
            (&["<|tool_call_begin|>"], Self::Kimi),
            (&["<|START_ACTION|>"], Self::CommandA),
            (&["Action:", "```json"], Self::CommandR),
            (&["[TOOL_CALLS]"], Self::Mistral),
            (&["[THINK]"], Self::Mistral),
            (&["<arg_key>"], Self::Glm),
            (&["<tool_call>", "<function="], Self::QwenCoder),
            (&["<tool_call>"], Self::Hermes),
            (&["<|/tool_call|>"], Self::Phi),
            (&["functools"], Self::Phi),
            (&["<|tool_call|>"], Self::Granite),
            (&["<|start_header_id|>", "\"parameters\""], Self::Llama3),
            (&["<|python_tag|>"], Self::Llama3),
            (&["<|header_start|>"], Self::Llama4),
            (&["<start_of_turn>"], Self::Gemma),
        ];
        let found = table.into_iter().find(|(marks, _)| has(marks));
        match found {
            Some((_, format)) => format,
            None if has(&["<think>"]) => Self::Thinking,
            None => Self::Plain,
        }
    }

    /// The marks around thinking.
    pub(super) fn thinking(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Thinking
            | Self::Hermes
            | Self::QwenCoder
            | Self::Glm
            | Self::DeepSeek
            | Self::Granite
            | Self::Kimi => Some(("<think>", "</think>")),
            Self::Mistral => Some(("[THINK]", "[/THINK]")),
            Self::CommandA => Some(("<|START_THINKING|>", "<|END_THINKING|>")),
            Self::Plain
            | Self::Llama3
            | Self::Llama4
            | Self::Harmony
            | Self::CommandR
            | Self::Phi
            | Self::Gemma => None,
        }
    }

    /// The regions, each with its role. `ends` are the tokens that end an answer; they also close what is open.
    pub(super) fn regions(self, ends: &[String]) -> Vec<(Region, Role)> {
        let mut table = Table {
            regions: Vec::new(),
            ends,
        };
        if let Some((open, close)) = self.thinking() {
            table.region(Role::Thinking, open, &[close]);
        }
        match self {
            Self::Plain | Self::Thinking => {}
            Self::Hermes => {
                table.region(Role::Calls(Syntax::Json), "<tool_call>", &["</tool_call>"]);
            }
            Self::QwenCoder => table.region(
                Role::Calls(Syntax::Parameters),
                "<tool_call>",
                &["</tool_call>"],
            ),
            Self::Glm => table.region(
                Role::Calls(Syntax::ArgKeys),
                "<tool_call>",
                &["</tool_call>"],
            ),
            Self::Llama3 => {
                table.region(Role::Calls(Syntax::Json), "<|python_tag|>", &[]);
                table.beginning("{", Syntax::Json, may_be_json_call);
            }
            Self::Llama4 => {
                table.region(
                    Role::Calls(Syntax::Pythonic),
                    "<|python_start|>",
                    &["<|python_end|>"],
                );
                table.beginning("[", Syntax::Pythonic, may_be_pythonic);
            }
            Self::Mistral => table.region(Role::Calls(Syntax::Mistral), "[TOOL_CALLS]", &[]),
            Self::DeepSeek => {
                table.region(
                    Role::Calls(Syntax::DeepSeek),
                    "<｜tool▁call▁begin｜>",
                    &["<｜tool▁call▁end｜>"],
                );
                table.marks(&["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"]);
            }
            Self::Harmony => table.harmony(),
            Self::CommandR => table.region(Role::Calls(Syntax::Json), "Action: ```json", &["```"]),
            Self::CommandA => {
                table.region(
                    Role::Calls(Syntax::Json),
                    "<|START_ACTION|>",
                    &["<|END_ACTION|>"],
                );
                table.marks(&[
                    "<|START_RESPONSE|>",
                    "<|END_RESPONSE|>",
                    "<|START_TEXT|>",
                    "<|END_TEXT|>",
                ]);
            }
            Self::Granite => {
                table.region(Role::Calls(Syntax::Json), "<|tool_call|>", &[]);
                table.region(Role::Calls(Syntax::Json), "<tool_call>", &["</tool_call>"]);
                // Granite 3.2 says it in words.
                let (open, close) = ("Here is my thought process:", "Here is my response:");
                table.region(Role::Thinking, open, &[close]);
                table.last().at_start = true;
            }
            Self::Phi => {
                table.region(
                    Role::Calls(Syntax::Json),
                    "<|tool_call|>",
                    &["<|/tool_call|>"],
                );
                table.region(Role::Calls(Syntax::Json), "functools", &[]);
                table.last().at_start = true;
            }
            Self::Gemma => table.region(Role::Calls(Syntax::Pythonic), "```tool_code", &["```"]),
            Self::Kimi => {
                table.region(
                    Role::Calls(Syntax::Kimi),
                    "<|tool_call_begin|>",
                    &["<|tool_call_end|>"],
                );
                table.marks(&["<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"]);
            }
        }
        table.finish()
    }
}

struct Table<'a> {
    regions: Vec<(Region, Role)>,
    ends: &'a [String],
}

impl Table<'_> {
    /// Text between literal marks.
    fn region(&mut self, role: Role, open: &str, close: &[&str]) {
        let close: Vec<&str> = close
            .iter()
            .copied()
            .chain(self.ends.iter().map(String::as_str))
            .collect();
        let region = Region {
            name: open.to_owned(),
            open: Some(Anchor::literals([open])),
            close: (!close.is_empty()).then(|| Anchor::literals(close)),
            ..Region::default()
        };
        self.regions.push((region, role));
    }

    /// Calls that are the whole answer, told by how it begins.
    fn beginning(&mut self, open: &str, syntax: Syntax, viable: fn(&str) -> bool) {
        self.region(Role::Calls(syntax), open, &[]);
        let region = self.last();
        region.at_start = true;
        region.keeps_anchor = true;
        region.viable = Some(viable);
    }

    fn last(&mut self) -> &mut Region {
        let (region, _) = self.regions.last_mut().expect("follows a call of `region`");
        region
    }

    /// Marks that are left out of the text.
    fn marks(&mut self, marks: &[&str]) {
        marks.iter().for_each(|mark| self.mark(mark));
    }

    fn mark(&mut self, mark: &str) {
        let open = Some(Anchor::literals([mark]));
        let region = Region {
            name: mark.to_owned(),
            open,
            mark: true,
            ..Region::default()
        };
        self.regions.push((region, Role::Content));
    }

    fn harmony(&mut self) {
        let pattern =
            |source: &str| Some(Anchor::pattern(source).expect("a constant that tests build"));
        let close = || pattern(r"<\|(?:end|call|return)\|>");
        let mut add = |name: &str, role, open: &str| {
            let region = Region {
                name: name.to_owned(),
                open: pattern(open),
                close: close(),
                ..Region::default()
            };
            self.regions.push((region, role));
        };
        // The recipient stands in the header of the channel or before it; `<|constrain|>json` names the arguments' type.
        let to = r"to=(?:functions\.)?(?P<name>[\w.-]+)";
        let kind = r"(?:\s*<\|constrain\|>\s*)?\s*\w*\s*<\|message\|>";
        add(
            "call",
            Role::Calls(Syntax::Named),
            &format!(r"<\|channel\|>\s*\w+\s+{to}{kind}"),
        );
        add(
            "call to",
            Role::Calls(Syntax::Named),
            &format!(r"(?:<\|start\|>assistant)?\s*{to}\s*<\|channel\|>\s*\w+{kind}"),
        );
        add(
            "analysis",
            Role::Thinking,
            r"(?:<\|start\|>assistant)?\s*<\|channel\|>\s*analysis\s*<\|message\|>",
        );
        add(
            "final",
            Role::Content,
            &format!(r"(?:<\|start\|>assistant)?\s*<\|channel\|>\s*(?:final|commentary){kind}"),
        );
        self.marks(&["<|start|>assistant"]);
    }

    fn finish(mut self) -> Vec<(Region, Role)> {
        // An ending token outside of any region.
        for end in self.ends {
            self.mark(end);
        }
        self.regions.push((
            Region {
                name: CONTENT.to_owned(),
                ..Region::default()
            },
            Role::Content,
        ));
        self.regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_tell_their_format() {
        for (template, format) in [
            (
                "{{ '<|channel|>analysis<|message|>' }}",
                AnswerFormat::Harmony,
            ),
            ("<tool_call>\n{\"name\": <think>", AnswerFormat::Hermes),
            ("<tool_call>\n<function=x>", AnswerFormat::QwenCoder),
            ("<tool_call>{{ name }}<arg_key>", AnswerFormat::Glm),
            ("<|start_header_id|> \"parameters\": ", AnswerFormat::Llama3),
            ("[AVAILABLE_TOOLS] [TOOL_CALLS]", AnswerFormat::Mistral),
            ("<think>", AnswerFormat::Thinking),
            ("<|im_start|>", AnswerFormat::Plain),
        ] {
            assert_eq!(AnswerFormat::detect(template), format, "{template}");
        }
    }

    #[test]
    fn every_format_has_one_region_around() {
        for format in AnswerFormat::ALL {
            let regions = format.regions(&["</s>".to_owned()]);
            let around = regions
                .iter()
                .filter(|(region, _)| region.open.is_none())
                .count();
            assert_eq!(around, 1, "{format:?}");
        }
    }
}
