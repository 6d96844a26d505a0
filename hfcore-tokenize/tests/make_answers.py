#!/usr/bin/env python3
"""Writes answers.json: answers read by transformers' own `parse_response`, for tests/answer_oracle.rs.

    python hfcore-tokenize/tests/make_answers.py

Templates in the manner of several families and some that use each content parser; for each, texts that are right, cut
off, out of order or wrong. The expected value is the message, or null where transformers raises.
"""

import json
import pathlib
import random

from transformers.utils.chat_parsing import parse_response

HERE = pathlib.Path(__file__).parent
TOOLS = [
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
        "n": {"type": "integer"}, "x": {"type": "number"}, "b": {"type": "boolean"}, "s": {"type": "string"},
        "o": {"type": ["object", "null"]}, "l": {"anyOf": [{"type": "array"}, {"type": "integer"}]}}}}},
]
CALL = {"type": "function", "function": "{content}"}
NAMED = {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}
THINK = {"open": "<think>", "close": "</think>"}

TEMPLATES = {
    "json calls": {
        "defaults": {"role": "assistant"}, "start_anchor": "<|a|>\n",
        "fields": {
            "reasoning_content": THINK,
            "tool_calls": {"open_pattern": r"\s*<call>", "close": "</call>", "repeats": True, "content": "json", "transform": CALL},
            "content": {"close_pattern": r"\s*(?:<\|end\|>|<\|stop\|>)"},
        },
    },
    "tags": {
        "defaults": {"role": "assistant", "content": ""}, "start_anchor": ["<|a|>", "<|b|>"],
        "fields": {
            "thinking": THINK,
            "tool_calls": {
                "open_pattern": r"\s*<call>\s*<function=(?P<name>[^>\n]+)>", "close_pattern": r"</function>\s*</call>", "repeats": True,
                "content": "xml-inline",
                "content_args": {"tag_pattern": r"<p=(?P<key>[^>\n]+)>\s*(?P<value>.*?)\s*</p>", "merge_duplicates": True},
                "transform": NAMED,
            },
            "content": {"close": ["<|end|>", "<|end|><|stop|>"]},
        },
    },
    "dialect": {
        "start_anchor_pattern": r"<\|turn>\w+\n",
        "fields": {
            "tool_calls": {
                "open_pattern": r"<\|call>(?P<name>\w+)", "close": "<call|>", "repeats": True, "content": "json",
                "content_args": {"unquoted_keys": True, "string_delims": [["<q>", "<q>"], ["«", "»"]]},
                "transform": NAMED,
            },
            "content": {"close": ["<turn|>", "<eos>"]},
        },
    },
    "list of calls": {
        "start_anchor": "A:", "defaults": {"role": "assistant"},
        "fields": {
            "tool_calls": {"open": "[CALLS]", "close_pattern": r"$", "content": "json", "transform_each": True,
                           "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{arguments}"}}},
            "content": {"content": "text", "content_args": {"strip": False}},
        },
    },
    "values": {
        "start_anchor": "A:",
        "fields": {
            "count": {"open": "#", "close": ";", "content": "int"},
            "score": {"open": "%", "close": ";", "content": "float"},
            "done": {"open": "!", "close": ";", "content": "bool", "optional": False},
            "facts": {"open": "{", "close": "}", "content": "kv-lines", "content_args": {"line_sep": ",", "kv_sep": "=", "value_parser": {"name": "json", "args": {"allow_non_json": True}}}},
            "notes": {"open": "(", "close": ")", "repeats": True, "join": " | "},
        },
    },
}
PARTS = {
    "json calls": ["<think>", "</think>", " hm\n", "Text é", "\n", "<call>", "</call>", '{"name": "f", "arguments": {"n": "7", "x": "2.5", "s": "7"}}', '{"name": "g"}', "<|end|>", "<|stop|>", " <", "<|en", "{", "\n\n"],
    "tags": ["<think>", "</think>", "a b", "\n<call>\n<function=f>", "<p=n>3.0</p>", "<p=n>x</p>", "<p=b>\nTrue\n</p>", "<p=l>[1, 2]</p>", "<p=o>null</p>", "</function>\n</call>", "<|end|>", "<|stop|>", "<call>", "é ", "<p=x>1e2</p>"],
    "dialect": ["<|call>f", "{n:<q>1<q>}", "{s:«a, b:{c}»,l:[1,2],o:{k:<q>\"<q>}}", "<call|>", "text ", "<turn|>", "<eos>", "{", "<|call>g{}<call|>", "<q>", "\n"],
    "list of calls": [" one ", "[CALLS]", '[{"name": "f", "arguments": {"b": "1"}}, {"name": "g", "arguments": {}}]', "[]", "[1]", "[CALL", '{"name": 1}'],
    "values": ["#", " 1_000 ", "42", ";", "%", "2.5", "1e3", "!", "true", "1", "no", "{", "a=1, b = [2] ,c", "}", "(", "note", ")", "other"],
}
PREFIXES = {
    "json calls": ["", "<|u|>hi<|a|>\n", "<think>x<|a|>\n<think>\n", "no anchor <think>"],
    "tags": ["", "<|a|>x<|b|><think>", "<|a|>"],
    "dialect": ["", "<|turn>user\nhi<|turn>model\n"],
    "list of calls": ["", "A: Q: A:", "A:[CALLS]"],
    "values": ["", "A:!true;"],
}


def main():
    random.seed(11)
    cases = []
    for name, template in TEMPLATES.items():
        seen = set()
        right = {
            "json calls": ["hm</think>Text<call>" + PARTS["json calls"][7] + "</call>\n<call>" + PARTS["json calls"][8] + "</call><|end|>\n<|stop|>", "Text<|end|>"],
            "values": ["#42;%1e3;!1;{a=1, b = [2] ,c}(note)(other)", "!true;(a)"],
            "list of calls": ['one [CALLS][{"name": "f", "arguments": {"b": "1"}}]'],
        }.get(name, [])
        while len(seen) < 110:
            text = right.pop() if right else "".join(random.choices(PARTS[name], k=random.randint(1, 9)))
            prefix = random.choice(PREFIXES[name])
            tools = random.random() < 0.6
            if (text, prefix) in seen:
                continue
            seen.add((text, prefix))
            try:
                message = parse_response(text, template, prefix=prefix, tools=TOOLS if tools else None)
            except Exception:  # noqa: BLE001: any refusal is a refusal
                message = None
            cases.append({"template": name, "text": text, "prefix": prefix, "tools": tools, "message": message})
    out = {"tools": TOOLS, "templates": TEMPLATES, "cases": cases}
    (HERE / "answers.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
    kept = sum(case["message"] is not None for case in cases)
    print(f"{len(cases)} cases, {kept} with a message")


if __name__ == "__main__":
    main()
