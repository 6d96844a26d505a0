"""What huggingface_hub makes of a table of model cards: the golden data of hfcore-hub's card tests.

    python tools/make_card_golden.py            # writes hfcore-hub/tests/info/cards.json
    python tools/make_card_golden.py --check    # fails if it would change

Needs huggingface_hub 2.4.0 and PyYAML 6.0.3. Each case is a card, and either the kind of error that Python raises, or the
card's data, its text, its evaluation results and the file that Python writes from them. Values that JSON does not have are
written as objects with one key that starts with `$`.
"""

import argparse
import datetime
import json
import math
import pathlib
import sys

import huggingface_hub
import yaml
from huggingface_hub import ModelCard

TARGET = pathlib.Path(__file__).parent.parent / "hfcore-hub/tests/info/cards.json"


def front(body, text="\n# Title\n"):
    return f"---\n{body}\n---\n{text}"


INDEX = """model-index:
- name: my-model
  results:
  - task:
      type: text-classification
      name: Text Classification
    dataset:
      type: glue
      name: GLUE
      config: sst2
      split: validation
      revision: 5503434ddd753f426f4b38109466949a1217c2bb
      args: {language: en, shots: [1, 2]}
    metrics:
    - type: accuracy
      value: 0.9105504587155964
      name: Accuracy
      verified: true
      verifyToken: eyJ
    - type: f1
      value: 20.0 ± 1.2
      args: {average: macro}
      config: default
  - task: {type: automatic-speech-recognition}
    dataset: {type: common_voice, name: Common Voice (French)}
    metrics: [{type: wer, value: 12}]
    source: {name: Leaderboard, url: https://example.org/board}"""

CASES = {
    # The frame.
    "plain": front("language: en\nlicense: mit"),
    "no front matter": "# Title\ntext\n",
    "empty file": "",
    "empty front matter": "---\n\n---\ntext\n",
    "only a comment": front("# nothing"),
    "crlf": "---\r\nlicense: mit\r\ntags:\r\n- a\r\n---\r\ntext\r\nmore\r\n",
    "cr": "---\rlicense: mit\r---\ntext",
    "crlf without entries": "---\r\n---\r\n",
    "lf without entries": "---\n---\n",
    "mixed line ends": "---\r\nlicense: mit\n---\ntext\r\n",
    "blank lines before": "\n\n---\nlicense: mit\n---\ntext",
    "spaces after the end": "---\nlicense: mit\n---  \t\ntext",
    "no line after the end": "---\nlicense: mit\n---",
    "not closed": "---\nlicense: mit\ntext\n",
    "rule in the text": front("license: mit", "a\n\n---\n\nb\n"),
    "trailing spaces of the text": front("license: mit", "  \n\n\ttext  \n\n"),
    "byte order mark": "\ufeff---\nlicense: mit\n---\ntext",
    "list": front("- a\n- b"),
    "word": front("hello"),
    "number": front("42"),
    "two documents": front("a: 1\n...\nb: 2"),
    "document end": front("a: 1\n..."),
    "directive": front("%YAML 1.1\na: 1"),
    # Words by YAML 1.1.
    "truth": front("a: [true, True, TRUE, false, yes, Yes, YES, no, No, NO, on, On, ON, off, Off, OFF, y, n, Y, N, tRue]"),
    "nothing": front("x:\n  a: null\n  b: ~\n  c:\n  d: Null\n  e: NULL\n  f: nULL\n  g: ''"),
    "whole numbers": front("a: [0, -0, +1, 12_345, 0x1F, 0b101, 017, 0o17, 08, 1:30, 190:20:30, -1:0, 99999999999999999999]"),
    "fractions": front("a: [1.5, -0.0, 1., .5, -.5, 1e3, 1.0e3, 1.5e+3, 1.5E-3, 1_0.5, 1:30.5, 6.02e+23, 1.0e-7]"),
    "no numbers": front("a: [.inf, -.INF, +.Inf, .nan, .NaN, +.nan, inf, nan, NaN, '.inf']"),
    "dates": front("a: [2024-01-31, 2024-1-31, 2024-01-31T10:00:00Z, 2024-01-31 10:00:00.5 +02:00, 2024-01-31 1:00:00]"),
    "no date": front("a: 2024-02-31"),
    "no month": front("a: 2024-13-01"),
    "no hour": front("a: 2024-01-01 25:00:00"),
    "quoted words": front("a: ['yes', \"no\", '1', \"0x10\", '2024-01-31', '~', 'null', \"1:30\", '1e3', '']"),
    "versions": front("a: [1.2.3, v1, 1.0, 2, 1.10, 3.8+, 4.46.0.dev0]"),
    "hashes": front("a: ['5e10234', 5e10234, '0123456', 0123456, 'e10', e10]"),
    "equals": front("a: {=: 1}"),
    "equals as a value": front("a: ="),
    "lone merge": front("a: <<"),
    # Languages.
    "language list": front("language: [en, fr, de]"),
    "languages in lines": front("language:\n- en\n- fr"),
    "languages flush and indented": front("language:\n  - en\n  - fr\ntags:\n- a"),
    "norwegian": front("language: [nb, no]"),
    "norwegian quoted": front("language:\n- 'no'\n- nb"),
    # Styles.
    "quotes": front("a: 'it''s'\nb: \"tab\\tnew\\nline \\u00e9 \\x41 \\U0001F600\"\nc: it's"),
    "literal": front("a: |\n  one\n   two\n\n  three\nb: |-\n  x\n  y\nc: |+\n  z\n\nd: end"),
    "folded": front("a: >\n  one\n  two\n\n  three\n    four\nb: >-\n  x\n  y"),
    "literal at the end": front("a: |\n  one\n  two"),
    "literal at the end, kept": front("a: |+\n  one\n  two"),
    "literal at the end, with a line after it": front("a: |\n  one\n  two\n"),
    "literal at the end, with spaces after it": front("a: |\n  one\n  two\n  "),
    "literal at the end, with a comment after it": front("a: |\n  one\n  two\n# end"),
    "literal at the end, with a line of spaces": front("a: |\n  one\n    "),
    "literal of nothing at the end": front("a: |"),
    "folded at the end": front("a: >\n  one\n  two"),
    "folded at the end, in a list": front("a:\n- >\n  one\n\n  two"),
    "plain over lines": front("a: one\n  two\n  three\nb: x"),
    "quoted over lines": front("a: 'one\n  two\n\n  three'\nb: \"x \\\n  y\""),
    "flow": front("a: {b: [1, 2, {c: d}], e: }\nf: []\ng: {}"),
    "flow over lines": front("a: [\n  1,\n  2,\n]\nb: {\n  c: d,\n}"),
    "comments": front("# head\na: 1 # one\nb: 'x # y'\nc: x#y\n# end"),
    "nested lists": front("a:\n- - 1\n  - 2\n- - 3\n-\n  - 4"),
    "lists of mappings": front("widget:\n- text: Hello\n  example_title: Greeting\n- text: 'Question?'\n  output:\n    text: Answer"),
    "unicode": front("a: 日本語\nb: 👀 emoji\nc: é\nd: \"\\u2028\"\n日本: ключ"),
    "colons and hashes": front("a: 'x: y'\nb: 'x #y'\nc: x:y\nd: http://example.org/#a\ne: '- x'\nf: -x\ng: '? x'"),
    "first characters": front("a: ['#a', '&a', '*a', '!a', '|a', '>a', '%a', '@a', '`a', '{a', '[a', ',a', '''a', '\"a', '?a', ':a', '-a', '- a']"),
    "spaces at the edges": front("a: [' x', 'x ', ' ', '  ', \"x\\n\", \"\\nx\", \"x \\ny\", \"x\\n y\"]"),
    "control characters": front("a: [\"\\0\", \"\\x07\", \"\\x1b\", \"\\x7f\", \"\\x85\", \"\\ufeff\"]"),
    "long text": front("a: " + "word " * 60 + "\nb: '" + "it''s a longer sentence, " * 12 + "'"),
    "long text without spaces": front("a: " + "x" * 300),
    "long text with escapes": front('a: "' + "tab\\t and more " * 20 + '"'),
    "several lines in quotes": front('a: "one\\ntwo\\n\\nthree\\n"\nb: {c: "x\\ny"}'),
    "long keys": front("? " + "k" * 130 + "\n: v\n" + "k" * 120 + ": v"),
    "keys of every kind": front("a: {1: a, 1.5: b, true: c, null: d, 2024-01-31: e, 'yes': f, '': g, 'a: b': h}"),
    "key with a line break": front('a: {"x\\ny": 1}'),
    "tabs": front("a:\t1\nb: x\t\nc: [1,\t2]"),
    "tab as indention": front("a:\n\tb: 1"),
    "nbsp at the end": front("a: x\u00a0\nb: y"),
    # Structure.
    "duplicate keys": front("license: mit\ntags: [a]\nlicense: apache-2.0"),
    "equal keys": front("a: {1: x, 1.0: y, true: z}"),
    "anchors": front("a: &x [1, 2]\nb: *x\nc: &y {k: v}\nd: *y\ne: &s text\nf: *s"),
    "merge": front("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3, r: 4}\nc: {r: 5, <<: *x}"),
    "merge of several": front("a: &x {p: 1, q: 1}\nb: &y {q: 2, r: 2}\nc: {<<: [*x, *y], s: 3}"),
    "merge of text": front("a: {<<: text}"),
    "unknown alias": front("a: *x"),
    "anchor in itself": front("a: &x [*x]"),
    "list as a key": front("? [1, 2]\n: x"),
    "number as a key": front("1: x\nlicense: mit"),
    "null as a key": front("~: x"),
    "tags of types": front("a: !!str 12\nb: !!int '12'\nc: !!float 1\nd: !!bool 'yes'\ne: !!null x\nf: !!seq [1]\ng: !!map {a: 1}\nh: ! 12"),
    "date by its tag": front("a: !!timestamp '2024-01-31'"),
    "set": front("a: !!set {x}"),
    "binary": front("a: !!binary aGVsbG8="),
    "ordered map": front("a: !!omap [x: 1, y: 2]"),
    "python tag": front("a: !!python/object/apply:os.system ['true']"),
    "own tag": front("a: !mine x"),
    "not closed flow": front("a: [1, 2"),
    "not closed quote": front("a: 'x"),
    "bad indention": front("a:\n  b: 1\n c: 2"),
    "mapping in a word": front("a: b: c"),
    "reserved character": front("a: @x"),
    "percent": front("a: %x"),
    "control character": front("a: x\x01y"),
    "nul": front("a: x\0y"),
    # Cards.
    "evaluation": front("language: en\n" + INDEX + "\nlicense: mit"),
    "evaluation and more": front(INDEX + "\nwidget:\n- text: x\ninference: false"),
    "evaluation of one dataset twice": front(
        "model-index:\n- name: m\n  results:\n"
        + "".join(
            f"  - task: {{type: t}}\n    dataset: {{type: d, name: D}}\n    metrics: [{{type: {m}, value: 1.0}}]\n" for m in "ab"
        ).rstrip()
    ),
    "evaluation that diverged": front(
        "model-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {type: d, name: D}\n    metrics: [{type: l, value: .nan}, {type: k, value: -.inf}]"
    ),
    "evaluation without results": front("model-index:\n- name: m\n  results: []"),
    "evaluation of nothing": front("model-index: []\nlicense: mit"),
    "evaluation without a name": front("model-index:\n- results: []"),
    "evaluation without a dataset": front("model-index:\n- name: m\n  results:\n  - task: {type: t}\n    metrics: []"),
    "evaluation as a mapping": front("model-index: {name: m, results: []}"),
    "evaluation with nulls": front(
        "model-index:\n- name: m\n  results:\n  - task: {type: t, name: null}\n    dataset: {type: d, name: D, config: ~}\n    metrics: [{type: a, value: 1}]\n    source:"
    ),
    "model name alone": front("model_name: m\nlicense: mit"),
    "model name and index": front("model_name: other\n" + INDEX),
    "tags twice": front("tags: [a, b, a, c, b]"),
    "tag alone": front("tags: a"),
    "nulls": front("license: null\ntags: ~\nbase_model:\nlanguage: en"),
    "base models": front("base_model: [org/a, org/b]\nbase_model_relation: merge\ndatasets: org/data\nmetrics: [accuracy]"),
    "licence": front("license: other\nlicense_name: my-license\nlicense_link: LICENSE"),
    "order": front("zeta: 1\nlicense: mit\nalpha: 2\nlanguage: en\ntags: [b, a]"),
    "llama": front(
        "language:\n- en\n- de\npipeline_tag: text-generation\ntags:\n- facebook\n- llama-3\nlicense: llama3.1\nextra_gated_prompt: >-\n  ### LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n\n  Version Release Date: July 23, 2024\n\n  \"Agreement\" means: the terms\n\n  1. a\n  2. b\nextra_gated_fields:\n  First Name: text\n  Date of birth: date_picker\n  geo: ip_location\n  Job title:\n    type: select\n    options:\n    - Student\n    - AI researcher\n    - Other\n  By clicking Submit below I accept the terms of the license and acknowledge that the information I provide will be collected stored processed and shared: checkbox\nextra_gated_button_content: Submit"
    ),
    "trainer": front(
        "library_name: transformers\nlicense: apache-2.0\nbase_model: distilbert-base-uncased\ntags:\n- generated_from_trainer\nmetrics:\n- accuracy\nmodel-index:\n- name: out\n  results: []"
    ),
    "carbon": front("co2_eq_emissions:\n  emissions: 1.45e-05\n  source: codecarbon\n  geographical_location: 'Stockholm, Sweden'\n  hours_used: 12"),
    "sentence transformers": front(
        "widget:\n- source_sentence: A man is eating food.\n  sentences:\n  - A man eats.\n  - \"He said: 'no'\"\n  - |\n    several\n    lines\npipeline_tag: sentence-similarity"
    ),
}


def encode(value):
    """As JSON, with `$` objects for what JSON does not have."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else {"$int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": yaml.dump(value).split("\n")[0]}
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat(" ")}
    if isinstance(value, datetime.date):
        return {"$time": value.isoformat()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"$pairs": [[encode(key), encode(item)] for key, item in value.items()]}
    return {"$other": type(value).__name__}


def outcome(card):
    try:
        parsed = ModelCard(card.removeprefix("\ufeff"))
        results = parsed.data.eval_results
        return {
            "data": encode(parsed.data.to_dict()),
            "text": parsed.text,
            "results": None if results is None else [encode(vars(result)) for result in results],
            "written": str(parsed),
        }
    except Exception as error:  # whatever Python raises is its answer
        return {"error": type(error).__name__}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    versions = {"huggingface_hub": huggingface_hub.__version__, "pyyaml": yaml.__version__}
    cases = [{"name": name, "card": card, **outcome(card)} for name, card in CASES.items()]
    text = json.dumps({"versions": versions, "cases": cases}, ensure_ascii=False, indent=1) + "\n"
    if not arguments.check:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET} is not what this script writes")


if __name__ == "__main__":
    main()
