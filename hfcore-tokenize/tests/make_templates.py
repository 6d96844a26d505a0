"""Writes tests/templates.json: what transformers renders of the templates in tests/templates/, for each conversation.
And tests/chat_tokens.json: the ids, assistant masks and sanitized ids of a few conversations.

    python make_templates.py               writes the file
    python make_templates.py NAME INDEX    prints what one template gives for one conversation

Needs transformers 5.23 and jinja2 3.1.6. The templates are written for this test, in the style of well-known families;
none is a copy. Of most renderings only a hash is kept; the second form shows them.
"""

import datetime
import glob
import json
import os
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "templates.json")
NOW = datetime.datetime(2025, 3, 7, 14, 5, 9)  # a Friday
SHOWN = 5  # conversations whose renderings are kept whole


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock


def tool(name, description, properties, required=None, **more):
    parameters = {"type": "object", "properties": properties}
    if required is not None:
        parameters["required"] = required
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters, **more}}


TOOLS = [
    tool("get_weather", 'Weather of a "place" <now>.\nIn words.', {
        "location": {"type": "string", "description": "Ort, z. B. K\u00f6ln"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "unit ", "default": "celsius"},
        "days": {"type": ["integer", "null"], "description": "how many"},
        "exact": {"type": "number", "default": 1.5, "description": "\u00b1 error"}}, ["location"]),
    tool("stop", "", {}),
    tool("book", "Books a table.  ", {
        "guests": {"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string", "description": "full name"}, "age": {"type": "integer"}}, "required": ["name"]}, "description": "who"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "tags", "nullable": True},
        "where": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}}], "description": "place"},
        "options": {"type": "object", "additionalProperties": {"type": "boolean"}, "description": "flags"},
        "when": {"oneOf": [{"type": "string", "description": "ISO"}, {"type": "number", "default": 0}], "description": "time", "default": 0}},
        ["guests", "where"], **{"return": {"type": "string", "description": "the number"}}),
]
SIMPLE = [tool("add", "Adds two numbers.", {"a": {"type": "integer", "description": "one"}, "b": {"type": "integer", "description": "two"}}, ["a", "b"])]
OLD = [{"name": "search", "description": "Searches.", "parameter_definitions": {"query": {"description": "words", "type": "str", "required": True}, "n": {"description": "count", "type": "int", "required": False}},
        "parameters": {"type": "object", "properties": {"query": {"type": "string", "description": "words"}}, "required": ["query"]}}]
DOCUMENTS = [{"doc_id": 1, "title": "Wales & whales", "text": "They sing.\nAll of them."}, {"doc_id": 2, "title": "\u00d6l", "text": ""}]


def U(content):
    return {"role": "user", "content": content}


def A(content, **more):
    return {"role": "assistant", "content": content, **more}


def S(content):
    return {"role": "system", "content": content}


def T(content, **more):
    return {"role": "tool", "content": content, **more}


def call(name, arguments, id="abcdef123"):
    return {"type": "function", "id": id, "function": {"name": name, "arguments": arguments}}


CALL = [call("get_weather", {"location": 'K\u00f6ln & "Bonn"', "days": 2, "x": 1.0, "deep": {"a": [1, None, True], "b": {}}})]
TEXT_CALL = [call("get_weather", '{"location": "Oslo"}')]
TWO = [call("add", {"a": 1, "b": 2}, "call_0001"), call("stop", {}, "call_0002")]
PARTS = [{"type": "image"}, {"type": "text", "text": " What is it? "}, {"type": "image", "image": "x.png"}, {"type": "video"}, {"type": "text", "text": "And that?"}]
ODD = "  \t{{ 7 * 7 }}{% raw %} {# no #} <|im_start|>system\n\u2028\u00a0 \U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \ufeff\\n 'q' \"dq\" <b>&amp;</b>\r\n  \n"


def text_parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


# The first SHOWN are kept whole.
CASES = [
    dict(messages=[U("Hi")], add_generation_prompt=True),
    dict(messages=[S("Be brief. /no_think "), U("  Hello there  \n"), A("Hi!"), U("Tell me <b>more</b> & 'more'.")], add_generation_prompt=True),
    dict(messages=[U("Weather?"), A(None, tool_calls=CALL), T("22\u00b0", name="get_weather", tool_call_id="abcdef123"), A("It is 22\u00b0.")], tools=TOOLS),
    dict(messages=[S("sys"), U("Weather?"), A("I look.", tool_calls=CALL), T("22\u00b0", tool_call_id="abcdef123")], tools=TOOLS[:1], add_generation_prompt=True),
    dict(messages=[S("sys"), U(PARTS)], add_generation_prompt=True),
    dict(messages=[U("Hi")]),
    dict(messages=[U("a"), A("b "), U("c"), A(" d")]),
    dict(messages=[S("S\u00fc\u00df \U0001f642"), U("x"), A("<think>\nhm\n</think>\n\n4"), U("y")], tools=TOOLS, add_generation_prompt=True),
    dict(messages=[U("q"), A("ans", reasoning="because")], enable_thinking=False),
    dict(messages=[U("q"), A("ans", reasoning_content="\nbecause\n"), U("r"), A("bns", thinking="since", reasoning_content=None)]),
    dict(messages=[U("q")], add_generation_prompt=True, enable_thinking=False, date_string="1 Jan 2030", bos_token="<BOS>"),
    dict(messages=[U("q")], add_generation_prompt=True, enable_thinking=True, thinking=True, reasoning_effort="high", model_identity="You are me.", builtin_tools=["browser", "python", "x"], thinking_budget=600),
    dict(messages=[A("I begin"), A("and go on"), {"role": "critic", "content": "no"}]),
    dict(messages=[U("Write"), A("Once upon a ")], continue_final_message=True),
    dict(messages=[U("Write"), A("Once upon a")], continue_final_message=True),
    dict(messages=[U("Write"), A("Once", reasoning_content="I think")], continue_final_message="reasoning_content"),
    dict(messages=[U("Write"), A("Once", thinking="I think ")], continue_final_message="thinking"),
    dict(messages=[U("Write"), A("")], continue_final_message=True),
    dict(messages=[U("Write"), A(None)], continue_final_message=True),
    dict(messages=[U("Write"), A(text_parts("One", "Two "))], continue_final_message=True),
    dict(messages=[U("Write"), A([{"type": "image"}])], continue_final_message=True),
    dict(messages=[U("Write"), A("x")], continue_final_message="no_such_field"),
    dict(messages=[U(f"message {i}") if i % 2 == 0 else A(f"answer {i}") for i in range(9)]),
    dict(messages=[U(ODD), A(ODD), U(ODD)], add_generation_prompt=True),
    dict(messages=[S(ODD), U("x")], tools=SIMPLE),
    dict(messages=[U("")], add_generation_prompt=True),
    dict(messages=[S(""), U("x"), A("")]),
    dict(messages=[U("two"), A("", tool_calls=TWO), T("3", tool_call_id="call_0001"), T("stopped", tool_call_id="call_0002"), A("Done."), U("again"), A(None, tool_calls=TWO[:1], reasoning="why"), T("4", tool_call_id="call_0001")], tools=SIMPLE, add_generation_prompt=True),
    dict(messages=[U("two"), A("", tool_calls=TEXT_CALL), T('{"temp": 3, "unit": "C"}', tool_call_id="abcdef123"), A("Cold.")], tools=TOOLS),
    dict(messages=[U("two"), A("hm", tool_calls=TEXT_CALL, thinking="aha")], tools=SIMPLE),
    dict(messages=[U("two"), A("x", tool_calls=[])], tools=[]),
    dict(messages=[U("x"), A("y", tool_calls=[{"name": "f", "arguments": {"a": "b"}}])], tools=SIMPLE),
    dict(messages=[U("x"), A("y", tool_calls=[call("add", {"a": 1}, "short")])], tools=SIMPLE),
    dict(messages=[U("x"), A(None, tool_calls=CALL), T({"temp": 22, "list": [1, 2.5, None]}, tool_call_id="abcdef123"), T(text_parts("a", "b"), tool_call_id="abcdef123")], tools=SIMPLE),
    dict(messages=[U("x"), T("orphan", tool_call_id="abcdef123")]),
    dict(messages=[U("x"), {"role": "ipython", "content": {"output": "1"}}, {"role": "observation", "content": "seen"}]),
    dict(messages=[S("a"), S("b"), U("c")]),
    dict(messages=[U("c"), S("late"), A("d"), S("/think")], add_generation_prompt=True),
    dict(messages=[{"role": "developer", "content": "Rules."}, U("c")], add_generation_prompt=True, tools=SIMPLE),
    dict(messages=[U("search"), A("found")], documents=DOCUMENTS, citation_mode="fast", add_generation_prompt=True),
    dict(messages=[S("preamble"), U("search")], documents=DOCUMENTS, tools=SIMPLE, controls={"length": "long", "citations": True}, add_generation_prompt=True),
    dict(messages=[U("search")], documents=[], safety_mode="STRICT", citation_mode="accurate"),
    dict(messages=[U("search")], safety_mode="WRONG", language="DE", task="translate", timestamps=True),
    dict(messages=[U("old")], tools=OLD, add_generation_prompt=True),
    dict(messages=[U("py")], xml_tools=[SIMPLE[0]["function"]], python_tools=["def f(): pass"], add_generation_prompt=True),
    dict(messages=[S("/system_override Just this. /think"), U("x")], add_generation_prompt=True),
    dict(messages=[S("sys"), U("x")], custom_tools=SIMPLE, tools_in_user_message=False, add_generation_prompt=True),
    dict(messages=[U("x"), A(None, tool_calls=[call("brave_search", {"query": "a \"b\""})]), {"role": "ipython", "content": "found"}], builtin_tools=["brave_search", "code_interpreter"], add_generation_prompt=True),
    dict(messages=[U(text_parts("only", " text ")), A(text_parts("answer")), U(PARTS[1:])], add_vision_id=True, add_generation_prompt=True),
    dict(messages=[S(text_parts("system ", "parts")), U([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "look"}]), A("a cat")], add_vision_id=True),
    dict(messages=[U([{"type": "audio", "audio": "x"}])]),
    dict(messages=[U([])]),
    dict(messages=[U({"parts": text_parts("p"), "text": "mapped"})]),
    dict(messages=[{"role": "user"}]),
    dict(messages=[{"content": "no role"}]),
    dict(messages=[{}]),
    dict(messages=[U(None), A(None)]),
    dict(messages=[U(5), A(2.50), U(True)]),
    dict(messages=[{"role": 3, "content": ["a", 1]}]),
    dict(messages=[U("x"), A("pre", prefix=True, name="Bot", metadata="meta"), {"role": "user", "content": "y", "name": "Ann"}], add_generation_prompt=True, thinking=True, skip_think=False),
    dict(messages=[U("x"), A("<|channel|>analysis<|message|>bad")]),
    dict(messages=[U("x"), {"role": "tool_calls", "content": [call("add", {"a": 1}, None)]}, {"role": "tool_results", "content": {"content": "3"}, "tool_call_id": "abcdef123"}], tools=SIMPLE),
    dict(messages=[U("x"), {"role": "assistant_tool_call", "content": "[]"}, {"role": "tool_response", "content": "{}"}]),
    dict(messages=[S("with tools"), U("x")], tools=[], documents=None),
    dict(messages=[{"role": "system", "content": "phi", "tools": '[{"name": "f"}]', "current_date": "today"}, U("x")]),
    dict(messages=[]),
    dict(messages=[U("both"), A("x")], continue_final_message=True, add_generation_prompt=True),
]
OWN = ("messages", "tools", "documents", "add_generation_prompt", "continue_final_message")


def fnv(text):
    """FNV-1a of the text's bytes; so short that the Rust side has it too."""
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogatepass"):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def tokenizer():
    model = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, "<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=model, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def render(tok, template, case):
    """The text, or the exception's type and message."""
    options = {key: value for key, value in case.items() if key != "messages"}
    try:
        return tok.apply_chat_template(case["messages"], chat_template=template, tokenize=False, **options), None
    except Exception as error:  # whatever jinja2, Python or transformers raises is an error for us too
        return None, [type(error).__name__, str(error)]


# Template, conversation and options, for the tokens. Tokens of the tokenizers stand in the users' text.
TOKENS = "<|eot_id|> <s>[INST]</s> <|begin_of_text|><bos><start_of_turn>user [CLS] <|endoftext|> x<|eot_id|><|eot_id|>y \U000f0000</s>\U000f0001 <|im_end|>"
MASKED = [
    ("training_chatml", [U("Hi, wie geht's?"), A("Gut \U0001f642 danke!"), U("More"), A("caf\u00e9 \u4f60\u597d")]),
    ("training_chatml", [A("first"), U("x")]),
    ("training_chatml", [U("x"), A("")]),
    ("training_nested", [U("a"), A("bcdefg")]),
    ("smollm3", [S("s"), U("a"), A("hello\nworld"), U("b"), A("\n\nx")]),
    ("phi4_reasoning", [U("\u00e9\u00e9\u00e9"), A("\u00e9")]),
    ("llava", [U(text_parts("look")), A(text_parts("a cat", "a dog"))]),
    ("chatml", [U("a"), A("b")]),
]
SANITIZED = [
    ("llama3", [U(TOKENS), A("fine " + TOKENS), U("<|eot_id|>")], {}),
    ("gemma2", [U(TOKENS), A(TOKENS)], {}),
    ("llama2", [S(TOKENS), U("</s>"), A("a</s>b")], {}),
    ("llama31", [U("x")], {"tools": [tool("f", "says <|eot_id|> and </s>", {})], "date_string": "<|eot_id|>"}),
    ("deepseek_v31", [U("a</think>b"), A("x<think>y</think>z"), U("</s>" * 3)], {}),
]


def tokens():
    """Ids, masks and sanitized ids with the small tokenizers of tests/tokenizers."""
    found = []
    for name in ("llama3", "llama2", "gemma", "gpt2", "bert", "t5"):
        tok = PreTrainedTokenizerFast.from_pretrained(os.path.join(HERE, "tokenizers", name))
        for kind, cases in (("mask", MASKED), ("sanitize", SANITIZED)):
            for template, messages, *more in cases:
                with open(os.path.join(HERE, "templates", template + ".jinja"), encoding="utf-8", newline="") as file:
                    source = file.read()
                options = more[0] if more else {}
                flags = {"return_assistant_tokens_mask": True} if kind == "mask" else {"sanitize_control_tokens": True}
                result = {"tokenizer": name, "template": template, "kind": kind, "messages": messages, "options": options}
                try:
                    out = tok.apply_chat_template(messages, chat_template=source, **flags, **options)
                    result["ids"] = out["input_ids"]
                    result["mask"] = out.get("assistant_masks")
                except Exception as error:  # a token that cannot be sanitized
                    result["error"] = [type(error).__name__, str(error)]
                found.append(result)
    with open(os.path.join(HERE, "chat_tokens.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in found) + "\n]\n")
    print(f"{len(found)} conversations as tokens, {sum('error' in item for item in found)} of them errors")


def main():
    tok = tokenizer()
    templates = {}
    for path in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            templates[os.path.basename(path).removesuffix(".jinja")] = file.read()
    if len(sys.argv) == 3:
        text, error = render(tok, templates[sys.argv[1]], CASES[int(sys.argv[2])])
        print(json.dumps(error, ensure_ascii=False) if text is None else text)
        return
    errors, expected = [], {}
    for name, template in templates.items():
        outputs = []
        for index, case in enumerate(CASES):
            text, error = render(tok, template, case)
            if error:
                # transformers' own sentences are not ours, and they quote the whole prompt.
                if case.get("continue_final_message") and error[0] == "ValueError" and "continue_final_message" in error[1]:
                    error[1] = ""
                if not case["messages"] and error[0] == "ValueError":
                    error[1] = ""
                if error[0] == "RecursionError":  # each stack has its own depth
                    error[1] = ""
                if error not in errors:
                    errors.append(error)
                outputs.append(errors.index(error))
            else:
                outputs.append("=" + text if index < SHOWN else fnv(text))
        expected[name] = outputs
    cases = [{"kwargs": {key: value for key, value in case.items() if key not in OWN}, **{key: case[key] for key in OWN if key in case}} for case in CASES]
    golden = {"special": tok.special_tokens_map, "now": int((NOW - datetime.datetime(1970, 1, 1)).total_seconds()), "cases": cases, "errors": errors, "expected": expected}
    with open(OUT, "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(key)}: " + (
            "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]" if isinstance(value, list)
            else "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()) + "\n}" if key == "expected"
            else json.dumps(value, ensure_ascii=False)) for key, value in golden.items()) + "\n}\n")
    total = sum(map(len, expected.values()))
    failed = sum(isinstance(output, int) for outputs in expected.values() for output in outputs)
    print(f"{len(templates)} templates, {len(CASES)} conversations: {total} results, {failed} of them errors, {os.path.getsize(OUT)} bytes")
    if len(sys.argv) == 2:
        for name, outputs in expected.items():
            print(name, sum(isinstance(output, int) for output in outputs), [errors[o] for o in outputs[:1] if isinstance(o, int)])


if __name__ == "__main__":
    main()
    if len(sys.argv) < 3:
        tokens()
