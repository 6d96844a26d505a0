"""Writes tests/templates.json: chat templates in the style of well-known families, and what transformers renders.

    python make_templates.py

Needs transformers 5.23 and jinja2 3.1.6. The templates are written here, not copied.
"""

import json
import os

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates.json")

TEMPLATES = {
    "chatml": """{% for message in messages %}
{%- if loop.first and message.role != 'system' %}
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
""",
    "qwen_tools": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nSignatures within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant' }}
        {%- if loop.index0 > ns.last and reasoning %}
            {{- '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '\\n' + content }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- call.name }}
            {{- '", "arguments": ' }}
            {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    "llama3": """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, got " ~ message["role"] ~ "!") }}
    {%- endif %}
{%- endfor %}
""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}""",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = "model" if (message['role'] == 'assistant') else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
""",
    "phi3": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "smollm": """{%- set ns = namespace(system='', mode='/think') -%}
{%- if messages and messages[0].role == "system" -%}
  {%- set ns.system = messages[0].content -%}
  {%- if "/no_think" in ns.system -%}
    {%- set ns.mode = "/no_think" -%}
    {%- set ns.system = ns.system.replace("/no_think", "").rstrip() -%}
  {%- endif -%}
{%- endif -%}
<|im_start|>system
Reasoning Mode: {{ ns.mode }} {# a comment
over lines #}
{{ ns.system if ns.system else "You are SmolLM." }}<|im_end|>
{% for message in messages if message.role != "system" %}
  {%- if message.role == "assistant" -%}
    {% generation %}
    {{- "<|im_start|>assistant\\n" + (message.content | default("(none)", true)) + "<|im_end|>\\n" -}}
    {% endgeneration %}
  {%- else -%}
    {{- "<|im_start|>" ~ message.role ~ "\\n" ~ message.content ~ "<|im_end|>\\n" -}}
  {%- endif -%}
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<\uff5cUser\uff5c>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{{'<call>' + tool['type'] + '<sep>' + tool['function']['name'] + '\\n```json\\n' + (tool['function']['arguments']|tojson) + '\\n```'}}{%- endfor %}{{ '<end>' }}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is defined and message['content'] is not none and 'tool_calls' not in message %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<\uff5cAssistant\uff5c>' + content + eos_token}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<\uff5cAssistant\uff5c><think>\\n'}}{% endif %}""",
    "macros": """{%- macro kind(schema, depth=0) -%}
{%- if schema.type == "object" -%}
{ {%- for name, prop in schema.properties.items() -%}
{{ name }}{{ '' if name in schema.get('required', []) else '?' }}: {{ kind(prop, depth + 1) }}{{ ", " if not loop.last }}
{%- endfor -%} }
{%- elif schema.type is iterable and schema.type is not string -%}
{{ schema.type | join(" | ") }}
{%- elif schema.enum -%}
{% for e in schema.enum %}{{ e | tojson }}{% if not loop.last %} | {% endif %}{% endfor %}
{%- else -%}
{{ schema.type | default('any') | upper }}
{%- endif -%}
{%- endmacro -%}
{% if tools -%}
{% for tool in tools -%}
type {{ tool.function.name | title }} = (_: {{ kind(tool.function.parameters) }}) => any; // {{ tool.function.description | trim | replace("\\n", " ") }}
{% endfor -%}
{% endif -%}
{% for m in messages %}
  {% if m.role == 'tool' %}
    {% continue %}
  {% endif %}
[{{ loop.index }}/{{ loop.length }}] {{ m.role | upper }}: {{ m.content if m.content is string else (m.content | map(attribute='text') | select('string') | join('+')) }}
  {% if loop.index > 6 %}
    {% break %}
  {% endif %}
{% endfor %}
{{ messages | map(attribute='role') | unique | list | join(',') }};{{ (messages | selectattr('role', 'equalto', 'user') | list | length) * 1.5 }}""",
    "values": """{{ true }} {{ none }} {{ 3 / 2 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1e20 }} {{ [1, 'a', none, true, 1.0] }} {{ {'a': 1, "b": "it's"} }} {{ missing }}|{{ 'x' * 3 }}|{{ "%s-%03d" | format("a", 7) }}|{{ 'a,b,,c'.split(',') }}|{{ ' x '.strip() }}|{{ 'abc'[::-1] }}|{{ 'Hello'[1:3] }}|{{ 'aXbX'.replace('X', '-', 1) }}|{{ 'ab c'.title() }}|{{ [3,1,2] | sort | list }}|{{ {'b': 1, 'a': 2} | dictsort }}|{{ {'b': [1, {'x': "<&>\\u00e9\\"'"}], 'a': none} | tojson }}|{{ {'b': 1, 'a': [], 'c': {}} | tojson(indent=2, sort_keys=true) }}|{{ [1, 2] | tojson(separators=(',', ':')) }}|{{ 'é' | tojson(ensure_ascii=true) }}|{{ range(3) | list }}|{{ 'b' in 'abc' }}|{{ 3 is odd }}|{{ 'a' < 'b' }}|{{ ('a', 'b') }}|{{ 5 | string ~ 1 }}|{{ "line\\n  two" | indent(2) }}|{{ 12.0 }} {{ 0.1 + 0.2 }} {{ 10 | float }}|{{ not true or false }}|{{ messages[0].nothing is defined }}|{{ messages | length }}|{{ messages[0].items() | list | length }}|{{ messages[0].get('nope', 'dflt') }}|{{ 'a\\tb'.splitlines() | first }}|{{ [1,2,3] | last }} {{ [1,2] + [3] }} {{ [[1,2],[3]] | sum(start=[]) }} {{ 3.7 | int }} {{ -3 | abs }} {{ 2.567 | round(1) }} {{ "a" if false }}|{{ bos_token is defined }} {{ pad_token is defined }}
""",
}

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"place\" <now>.\nIn words.", "parameters": {
        "type": "object", "properties": {
            "location": {"type": "string", "description": "Ort, z. B. K\u00f6ln"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": ["integer", "null"]}, "exact": {"type": "number", "default": 1.5}},
        "required": ["location"]}}},
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}}}},
]

U = lambda text: {"role": "user", "content": text}
A = lambda text, **more: {"role": "assistant", "content": text, **more}
S = lambda text: {"role": "system", "content": text}
CALL = [{"type": "function", "id": "c1", "function": {"name": "get_weather", "arguments": {"location": "K\u00f6ln & \"Bonn\"", "days": 2, "x": 1.0}}}]

CASES = [
    {"messages": [U("Hi")]},
    {"messages": [U("Hi")], "add_generation_prompt": True},
    {"messages": [S("Be brief. /no_think "), U("  Hello there  \n"), A("Hi!"), U("Tell me <b>more</b> & 'more'.")], "add_generation_prompt": True},
    {"messages": [U("a"), A("b "), U("c"), A(" d")]},
    {"messages": [U("Weather?"), A(None, tool_calls=CALL), {"role": "tool", "name": "get_weather", "content": "22\u00b0"}, A("It is 22\u00b0.")], "tools": TOOLS},
    {"messages": [S("S\u00fc\u00df \U0001f642"), U("x"), A("<think>\nhm\n</think>\n\n4"), U("y")], "tools": TOOLS, "add_generation_prompt": True},
    {"messages": [U("q"), A("ans", reasoning="because")], "kwargs": {"enable_thinking": False}},
    {"messages": [U("q")], "add_generation_prompt": True, "kwargs": {"enable_thinking": False, "date_string": "1 Jan 2030", "bos_token": "<BOS>"}},
    {"messages": [S("sys"), {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]}], "add_generation_prompt": True},
    {"messages": [A("I begin"), A("and go on"), {"role": "critic", "content": "no"}]},
    {"messages": [U("Write"), A("Once upon a ")], "continue_final_message": True},
    {"messages": [U(f"message {i}") if i % 2 == 0 else A(f"answer {i}") for i in range(9)]},
]


def main():
    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, "<unk>")),
                                  bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    expected = {}
    for name, template in TEMPLATES.items():
        outputs = []
        for case in CASES:
            options = {key: case[key] for key in ("tools", "add_generation_prompt", "continue_final_message") if key in case}
            try:
                text = tok.apply_chat_template(case["messages"], chat_template=template, tokenize=False, **options, **case.get("kwargs", {}))
                outputs.append({"text": text})
            except Exception as error:  # whatever jinja2 or Python raises is an error for us too
                kind = "raised" if type(error).__name__ == "TemplateError" else "failed"
                outputs.append({kind: str(error)})
        expected[name] = outputs
    with open(OUT, "w") as f:
        json.dump({"special": tok.special_tokens_map, "cases": CASES, "templates": TEMPLATES, "expected": expected}, f, indent=1)


if __name__ == "__main__":
    main()
