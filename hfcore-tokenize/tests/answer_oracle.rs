//! Answers, against transformers' own parser and as each family writes them.
//!
//! `answers.json` is written by `make_answers.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hfcore_tokenize::{
    Answer, AnswerEvent, AnswerFormat, AnswerParser, ResponseTemplate, ToolCall, Value,
};
use serde_json::json;

#[test]
fn response_templates_read_as_transformers_does() {
    let data: Value = serde_json::from_str(include_str!("answers.json")).unwrap();
    let tools = data["tools"].as_array().unwrap();
    let mut wrong = Vec::new();
    let cases = data["cases"].as_array().unwrap();
    for case in cases {
        let template =
            ResponseTemplate::new(&data["templates"][case["template"].as_str().unwrap()]).unwrap();
        let tools: &[Value] = if case["tools"] == true { tools } else { &[] };
        let text = |key: &str| case[key].as_str().unwrap();
        let message = template.parse(text("text"), text("prefix"), tools);
        let found = message.clone().map_or(Value::Null, Value::Object);
        // Order included.
        if found != case["message"] {
            wrong.push(format!("{case}\nfound {found} {message:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Templates and texts as they come: nothing panics, pieces make no difference, and no word is lost.
#[test]
fn templates_lose_no_text_in_any_pieces() {
    let data: Value = serde_json::from_str(include_str!("answers.json")).unwrap();
    for case in data["cases"].as_array().unwrap() {
        let template =
            ResponseTemplate::new(&data["templates"][case["template"].as_str().unwrap()]).unwrap();
        let parser =
            AnswerParser::from_template(template).with_prompt(case["prefix"].as_str().unwrap());
        let text = case["text"].as_str().unwrap();
        let whole = parser.clone().parse(text);
        assert_eq!(pieces(parser, text, 1), whole, "{case}");
    }
}

/// The answer out of pieces of `size` characters; what the events say must be what the answer says.
fn pieces(mut parser: AnswerParser, text: &str, size: usize) -> Answer {
    let (mut content, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    let mut take = |events: Vec<AnswerEvent>| {
        for event in events {
            match event {
                AnswerEvent::Content(text) => content += &text,
                AnswerEvent::Thinking(text) => thinking += &text,
                AnswerEvent::ToolCall(call) => calls.push(call),
                _ => panic!("an event that the test does not know"),
            }
        }
    };
    let chars: Vec<char> = text.chars().collect();
    for piece in chars.chunks(size) {
        take(parser.push(&piece.iter().collect::<String>()));
    }
    let (events, answer) = parser.finish();
    take(events);
    assert_eq!(content, answer.content);
    assert_eq!(thinking, answer.thinking.clone().unwrap_or_default());
    assert_eq!(calls, answer.tool_calls);
    answer
}

struct Case {
    format: AnswerFormat,
    special: &'static [&'static str],
    prompt: &'static str,
    text: &'static str,
    thinking: Option<&'static str>,
    content: &'static str,
    calls: Vec<ToolCall>,
}

fn case(format: AnswerFormat, text: &'static str, content: &'static str) -> Case {
    Case {
        format,
        special: &[],
        prompt: "",
        text,
        thinking: None,
        content,
        calls: Vec::new(),
    }
}

impl Case {
    fn special(self, special: &'static [&'static str]) -> Self {
        Self { special, ..self }
    }

    fn thinks(self, prompt: &'static str, thinking: &'static str) -> Self {
        Self {
            prompt,
            thinking: Some(thinking),
            ..self
        }
    }

    fn calls(mut self, name: &str, arguments: Value) -> Self {
        self.calls.push(ToolCall::new(name, arguments));
        self
    }

    fn id(mut self, id: &str) -> Self {
        self.calls.last_mut().unwrap().id = Some(id.to_owned());
        self
    }
}

fn cases() -> Vec<Case> {
    use AnswerFormat as F;
    let rome = || json!({"city": "Rome"});
    vec![
        case(F::Plain, "  as it is \n", "  as it is \n"),
        case(F::Plain, "x<|im_end|>", "x").special(&["<|im_end|>"]),
        case(F::Thinking, "<think>\nhm\n</think>\n\nFour.", "Four.").thinks("", "hm"),
        case(F::Thinking, "hm</think>Four.", "Four.").thinks("…<think>\n", "hm"),
        case(F::Thinking, "never ends", "").thinks("<think>", "never ends"),
        case(F::Thinking, "a </think> b", "a </think> b"),
        case(F::Hermes, "Let me see.\n<tool_call>\n{\"name\": \"w\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call><|im_end|>", "Let me see.")
            .special(&["<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"])
            .calls("w", rome()),
        case(F::Hermes, "<tool_call>\n{\"name\": \"a\"}\n</tool_call>\n<tool_call>\n{\"name\": \"b\"}\n</tool_call>", "")
            .calls("a", json!({}))
            .calls("b", json!({})),
        case(F::Hermes, "<tool_call>{\"name\": \"w\", oops}</tool_call> so", "<tool_call>{\"name\": \"w\", oops}</tool_call> so"),
        case(F::Hermes, "<tool_call>{\"name\": \"w\"<|im_end|>", "<tool_call>{\"name\": \"w\"").special(&["<|im_end|>"]),
        case(F::Hermes, "<tool_call>{\"name\": \"w\"}", "").calls("w", json!({})),
        case(F::Hermes, "a < b and <tool", "a < b and <tool"),
        case(F::QwenCoder, "<tool_call>\n<function=w>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>", "").calls("w", rome()),
        case(F::Glm, "<think>x</think>\n<tool_call>w\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>", "").thinks("", "x").calls("w", rome()),
        case(F::Llama3, "{\"name\": \"w\", \"parameters\": {\"city\": \"Rome\"}}<|eot_id|>", "").special(&["<|eot_id|>"]).calls("w", rome()),
        case(F::Llama3, "<|python_tag|>{\"name\": \"w\", \"parameters\": {\"city\": \"Rome\"}}<|eom_id|>", "").special(&["<|eom_id|>", "<|python_tag|>"]).calls("w", rome()),
        case(F::Llama3, "{\"answer\": 42} is JSON", "{\"answer\": 42} is JSON"),
        case(F::Llama3, "{\"name\": \"Bob\", \"age\": 3}\n", "{\"name\": \"Bob\", \"age\": 3}"),
        case(F::Llama3, "See {\"name\": \"w\"}", "See {\"name\": \"w\"}"),
        case(F::Llama3, "<|python_tag|>print(1)<|eom_id|>", "<|python_tag|>print(1)").special(&["<|eom_id|>"]),
        case(F::Llama4, "[w(city=\"Rome\")]<|eot|>", "").special(&["<|eot|>"]).calls("w", rome()),
        case(F::Llama4, "[1] as the source says", "[1] as the source says"),
        case(F::Mistral, "[TOOL_CALLS][{\"name\": \"w\", \"arguments\": {\"city\": \"Rome\"}, \"id\": \"abcdefghi\"}]</s>", "").special(&["</s>", "[TOOL_CALLS]"]).calls("w", rome()).id("abcdefghi"),
        case(F::Mistral, "[THINK]hm[/THINK]Well[TOOL_CALLS]a[ARGS]{}[TOOL_CALLS]w[ARGS]{\"city\": \"Rome\"}</s>", "Well").special(&["</s>", "[ARGS]"]).thinks("", "hm").calls("a", json!({})).calls("w", rome()),
        case(F::DeepSeek, "Ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>w\n```json\n{\"city\": \"Rome\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>", "Ok")
            .special(&["<｜end▁of▁sentence｜>", "<｜tool▁sep｜>", "<｜tool▁calls▁begin｜>"])
            .calls("w", rome()),
        case(F::DeepSeek, "hm</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>w<｜tool▁sep｜>{\"city\": \"Rome\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "").thinks("<｜Assistant｜><think>", "hm").calls("w", rome()),
        case(F::Harmony, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>", "Four.").special(&["<|return|>", "<|channel|>", "<|start|>"]).thinks("", "hm"),
        case(F::Harmony, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.w <|constrain|>json<|message|>{\"city\":\"Rome\"}<|call|>", "").thinks("", "hm").calls("w", rome()),
        case(F::Harmony, " to=functions.w<|channel|>commentary json<|message|>{\"city\":\"Rome\"}<|call|>", "").calls("w", rome()),
        case(F::CommandR, "Action: ```json\n[\n    {\n        \"tool_name\": \"w\",\n        \"parameters\": {\"city\": \"Rome\"}\n    }\n]```", "").calls("w", rome()),
        case(F::CommandA, "<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"w\", \"parameters\": {\"city\": \"Rome\"}}]<|END_ACTION|>", "").thinks("", "hm").calls("w", rome()).id("0"),
        case(F::CommandA, "<|START_RESPONSE|>Four.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", "Four.").special(&["<|END_OF_TURN_TOKEN|>"]),
        case(F::Granite, "<|tool_call|>[{\"name\": \"w\", \"arguments\": {\"city\": \"Rome\"}}]<|end_of_text|>", "").special(&["<|end_of_text|>", "<|tool_call|>"]).calls("w", rome()),
        case(F::Granite, "Here is my thought process:\nhm\nHere is my response:\nFour.", "Four.").thinks("", "hm"),
        case(F::Phi, "<|tool_call|>[{\"name\": \"w\", \"arguments\": {\"city\": \"Rome\"}}]<|/tool_call|>", "").special(&["<|tool_call|>", "<|/tool_call|>"]).calls("w", rome()),
        case(F::Phi, "functools[{\"name\": \"w\", \"arguments\": {\"city\": \"Rome\"}}]", "").calls("w", rome()),
        case(F::Phi, "functools is a module", "functools is a module"),
        case(F::Gemma, "Sure:\n```tool_code\nprint(w(city='Rome'))\n```\n", "Sure:").calls("w", rome()),
        case(F::Gemma, "```tool_code\nimport os\n```", "```tool_code\nimport os\n```"),
        case(F::Kimi, "<|tool_calls_section_begin|><|tool_call_begin|>functions.w:0<|tool_call_argument_begin|>{\"city\": \"Rome\"}<|tool_call_end|><|tool_calls_section_end|>", "").calls("w", rome()).id("functions.w:0"),
    ]
}

#[test]
fn each_family_is_read_in_pieces_of_any_size() {
    for case in cases() {
        let parser = AnswerParser::new(case.format)
            .with_special_tokens(case.special.iter().copied())
            .with_prompt(case.prompt);
        let mut expected = parser.clone().parse(case.text);
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(
                pieces(parser.clone(), case.text, size),
                expected,
                "{:?} in {size}",
                case.text
            );
        }
        assert_eq!(
            expected.thinking.as_deref(),
            case.thinking,
            "{:?} {:?}",
            case.format,
            case.text
        );
        assert_eq!(
            expected.content, case.content,
            "{:?} {:?}",
            case.format, case.text
        );
        assert_eq!(
            std::mem::take(&mut expected.tool_calls),
            case.calls,
            "{:?} {:?}",
            case.format,
            case.text
        );
    }
}

/// Marks in any order, cut anywhere: nothing panics, pieces make no difference, and every word is somewhere.
#[test]
fn no_word_is_lost() {
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let texts: Vec<&str> = cases().iter().map(|case| case.text).collect();
    for round in 0..4000 {
        let format = AnswerFormat::ALL[random(AnswerFormat::ALL.len())];
        let mut text = String::new();
        for part in 0..1 + random(4) {
            let source: Vec<char> = texts[random(texts.len())].chars().collect();
            let (a, b) = (random(source.len()), random(source.len()));
            text.extend(&source[a.min(b)..a.max(b)]);
            text += &format!(" word{part} ");
        }
        let parser = AnswerParser::new(format).with_special_tokens(["</s>", "<|im_end|>"]);
        let answer = pieces(parser.clone(), &text, 1 + random(9));
        assert_eq!(
            answer,
            parser.parse(&text),
            "round {round}: {format:?} {text:?}"
        );
        let said = format!(
            "{}{}{:?}",
            answer.thinking.unwrap_or_default(),
            answer.content,
            answer.tool_calls
        );
        for part in 0..4 {
            let word = format!("word{part}");
            // Arguments are an object: a key that stands twice is there once.
            assert!(
                !text.contains(&word) || said.contains(&word),
                "round {round}: {format:?} {text:?} lost {word}: {said}"
            );
        }
    }
}
