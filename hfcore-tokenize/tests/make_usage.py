#!/usr/bin/env python3
"""Writes usage.json: what transformers makes of the options of a tokenizer's call, for usage.rs.

    python make_usage.py                 the file
    python make_usage.py --check FOLDER  loads what `cargo run --example save_tokenizer` wrote (a folder for each
                                         tokenizer) with AutoTokenizer, and compares with the originals

Needs transformers 5.23 and the folders that make_tokenizers.py writes.
"""

import hashlib
import json
import logging
import os
import random
import sys
import warnings

from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerFast

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "tokenizers")
NAMES = ["bert", "gpt2", "roberta", "llama2", "llama3", "t5", "gemma", "xlmr"]
TEXTS = [
    "", " ", "Hello world", "the quick brown fox jumps over the lazy dog and runs away from all of them",
    "Ünïcödé — naïve café, 東京は日本の首都です。", "a\tb\n\nc   d", "don't stop, it's 3.14!", "🙂👍🏽 family 👨‍👩‍👧",
    "</s> and <s> [SEP] <|im_start|>user<|im_end|> <mask> NEWTOK newtok", "e\u0301 ﬁ ½ Ⅷ", "x", "one two three four five six",
]
WORDS = [["Hello", "world"], ["don't", "", "stop"], [], ["東京", " is", "big ", "🙂"], ["</s>", "the"], ["a", "b c", "d"]]


def digest(value):
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def kind(error):
    """The kind of an error, as usage.rs names its own."""
    message = str(error)
    for part, name in [("does not have a padding token", "NoPadToken"), ("is not a multiple of", "NotAMultiple"),
                       ("tokenizer stride set to", "Stride"), ("`stride` must be strictly less", "Stride"),
                       ("Second sequence not provided", "NoSecond"), ("too short to respect", "TooShort"),
                       ("modulo by zero", "ZeroMultiple")]:
        if part in message:
            return name
    raise error


def too_short(tok, options, inputs):
    """Whether special tokens alone are too many: Python's length wraps below zero and nothing is cut; we refuse."""
    length = options.get("max_length")
    strategy = options.get("truncation", "longest_first" if "padding" not in options else "do_not_truncate")
    if length is None or strategy == "do_not_truncate" or not options.get("add_special_tokens", True):
        return False
    return any(length < tok.num_special_tokens_to_add("pair" in item) for item in inputs)


def options(rng):
    found = {}
    def sometimes(chance, key, values):
        if rng.random() < chance:
            found[key] = rng.choice(values)
    sometimes(0.35, "add_special_tokens", [False])
    sometimes(0.55, "padding", ["longest", "max_length"])
    sometimes(0.6, "truncation", ["do_not_truncate", "longest_first", "only_first", "only_second", "longest_first"])
    sometimes(0.7, "max_length", [0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24])
    sometimes(0.4, "stride", [0, 1, 2, 3, 7])
    sometimes(0.25, "pad_to_multiple_of", [1, 4, 8, 0])
    sometimes(0.3, "padding_side", ["left", "right"])
    sometimes(0.5, "return_overflowing_tokens", [True])
    sometimes(0.3, "return_token_type_ids", [True, False])
    sometimes(0.2, "return_attention_mask", [True, False])
    sometimes(0.2, "return_special_tokens_mask", [True])
    sometimes(0.2, "return_offsets_mapping", [True])
    sometimes(0.2, "return_length", [True])
    sometimes(0.25, "split_special_tokens", [True, False])
    return found


def inputs(rng):
    """Texts by number; with `pair` a second; with `words` both are numbers of word lists."""
    words = rng.random() < 0.25
    pair = rng.random() < 0.4
    source = WORDS if words else TEXTS
    found = []
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        item = {"text": rng.randrange(len(source))}
        if pair:
            item["pair"] = rng.randrange(len(source))
        found.append(item)
    return words, found


def rows(out):
    """Everything that a row has, in the order of usage.rs."""
    found = []
    for e in out.encodings:
        spans = lambda of: [list(s) if s is not None else None for s in of]
        found.append([e.ids, e.type_ids, e.attention_mask, e.special_tokens_mask, [list(o) for o in e.offsets], e.tokens,
                      e.word_ids, e.sequence_ids,
                      spans(e.token_to_chars(t) for t in range(len(e.ids))), [e.token_to_word(t) for t in range(len(e.ids))],
                      [[e.char_to_token(c, s) for c in range(12)] for s in range(e.n_sequences)],
                      [[e.char_to_word(c, s) for c in range(12)] for s in range(e.n_sequences)],
                      [spans(e.word_to_tokens(w, s) for w in range(6)) for s in range(e.n_sequences)],
                      [spans(e.word_to_chars(w, s) for w in range(6)) for s in range(e.n_sequences)]])
    return found


def call(tok, words, items, chosen):
    source = WORDS if words else TEXTS
    text = [source[item["text"]] for item in items]
    pair = [source[item["pair"]] for item in items] if "pair" in items[0] else None
    return tok(text, pair, is_split_into_words=words, **chosen)


def product(name, tok):
    """Cases: o, the options; i, pairs of texts by number; w, whether these are lists of words; l, truncation on the left;
    p, the padding token set to that of the end; r, the digest of all that comes out, or the kind of the error."""
    rng = random.Random(f"usage {name}")
    had_pad = tok.pad_token
    cases = []
    while len(cases) < 260:
        chosen = options(rng)
        words, items = inputs(rng)
        # Python takes a batch that begins with an empty list of words for a single empty input.
        if words and not WORDS[items[0]["text"]]:
            items[0]["text"] = 0
        tok.truncation_side = rng.choice(["right", "right", "left"])
        given = had_pad is None and rng.random() < 0.85
        tok.pad_token = tok.eos_token if given else had_pad
        result = "ZeroMultiple" if chosen.get("pad_to_multiple_of") == 0 else None
        if result is None:
            try:
                out = call(tok, words, items, chosen)
            except BaseException as error:
                result = kind(error)
            else:
                # Thousands of parts, each padded, only make the test slow.
                if sum(map(len, out["input_ids"])) > 3000:
                    continue
                found = [list(out.keys()), out.get("overflow_to_sample_mapping"), out.get("length"), rows(out)]
                result = "MaxLength" if too_short(tok, chosen, items) else digest(found)
        case = {"o": chosen, "i": [list(item.values()) for item in items], "r": result}
        flags = {"w": words, "l": tok.truncation_side == "left", "p": given}
        cases.append(case | {key: True for key, flag in flags.items() if flag})
    tok.truncation_side, tok.pad_token = "right", had_pad
    return cases


def pads(name, tok):
    """`pad` of rows of ids."""
    rng = random.Random(f"pad {name}")
    cases = []
    for _ in range(40):
        ids = [[rng.randrange(300) for _ in range(rng.randint(1, 9))] for _ in range(rng.randint(1, 4))]
        chosen = {}
        for chance, key, values in [(0.8, "padding", ["longest", "max_length", "do_not_pad"]), (0.5, "max_length", [1, 5, 12]),
                                    (0.4, "pad_to_multiple_of", [1, 4, 7]), (0.4, "padding_side", ["left", "right"])]:
            if rng.random() < chance:
                chosen[key] = rng.choice(values)
        chosen.setdefault("padding", "longest")
        if chosen["padding"] == "max_length" and "max_length" not in chosen and tok.model_max_length > 600:
            continue
        try:
            out = tok.pad({"input_ids": ids}, **chosen)
        except ValueError as error:
            cases.append({"ids": ids, "options": chosen, "error": kind(error)})
            continue
        cases.append({"ids": ids, "options": chosen, "rows": digest([out["input_ids"], out["attention_mask"]])})
    return cases


def decodes(name, tok):
    rng = random.Random(f"decode {name}")
    found = []
    for _ in range(40):
        ids = [rng.randrange(len(tok) + 3) for _ in range(rng.randint(0, 10))]
        tokens = tok.convert_ids_to_tokens(ids)
        known = [token for token in tokens if token is not None]
        found.append([ids, digest([
            [tok.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
             for skip in (False, True) for clean in (None, False, True)],
            tok.batch_decode([ids, ids[:2]]), tokens, tok.convert_ids_to_tokens(ids, skip_special_tokens=True),
            tok.convert_tokens_to_string(known), tok.convert_tokens_to_ids(known + ["no such token"]),
            tok.get_special_tokens_mask(ids, already_has_special_tokens=True)])])
    return found


def vocabulary(tok):
    return {"special": [tok.num_special_tokens_to_add(False), tok.num_special_tokens_to_add(True)],
            "all_special_tokens": tok.all_special_tokens, "all_special_ids": tok.all_special_ids,
            "special_tokens_map": tok.special_tokens_map, "extra": tok.extra_special_tokens,
            "added": list(tok.get_added_vocab().items()), "len": len(tok), "vocab_size": tok.vocab_size,
            "vocab": digest(sorted(tok.get_vocab().items())),
            "tokenize": [digest(tok.tokenize(text)) for text in TEXTS]}


ADDED = [
    [{"content": "NEW", "special": False}, {"content": "Hello"}],
    [{"content": "wörld", "normalized": False, "lstrip": True}, {"content": "x", "single_word": True, "rstrip": True}],
    [{"content": "</s>", "special": True}, {"content": ""}, {"content": "fox", "special": True}, {"content": "fox", "special": True}],
]


def adding(folder):
    """Steps of additions, each with what is returned and what the tokenizer then makes of the texts."""
    tok = PreTrainedTokenizerFast.from_pretrained(folder)
    steps = []
    texts = TEXTS + ["NEW Helloworld  wörld x xx fox <|tool|>  [PAD]"]
    def step(what, returned):
        steps.append(what | {"returned": returned, "after": digest([
            [tok(text)["input_ids"] for text in texts], [tok.decode(tok(text)["input_ids"], skip_special_tokens=True) for text in texts],
            len(tok), list(tok.get_added_vocab().items()), tok.all_special_tokens,
            [id for id in tok.all_special_ids if id is not None]])})
    for tokens in ADDED:
        made = [AddedToken(**token) for token in tokens]
        step({"tokens": tokens}, tok.add_tokens(made))
    step({"special": {"pad_token": "[PAD]"}}, tok.add_special_tokens({"pad_token": "[PAD]"}))
    step({"special": {}, "extra": ["<|tool|>", "fox"]}, tok.add_special_tokens({"extra_special_tokens": ["<|tool|>", "fox"]}))
    step({"special": {"cls_token": "fox"}, "extra": ["<|tool|>", "<|more|>"], "keep": True},
         tok.add_special_tokens({"cls_token": "fox", "extra_special_tokens": ["<|tool|>", "<|more|>"]}, replace_extra_special_tokens=False))
    tok.eos_token = "no such token"
    tok.bos_token = None
    step({"set": {"eos_token": "no such token", "bos_token": None}}, tok.eos_token_id if tok.eos_token_id is not None else -1)
    return steps


def saved(tok, folder):
    tok.save_pretrained(folder)
    with open(os.path.join(folder, "tokenizer_config.json")) as f:
        # A length of 10**30 is read as the float that it is nearest to.
        config = f.read().replace(str(10**30), str(int(1e30)))
    with open(os.path.join(folder, "tokenizer.json"), "rb") as f:
        whole = hashlib.blake2b(f.read(), digest_size=8).hexdigest()
    return {"config": config, "file": whole}


def check(root):
    """The tokenizers that we saved, loaded by AutoTokenizer, against those that they were made from."""
    for name in NAMES:
        ours = AutoTokenizer.from_pretrained(os.path.join(root, name))
        theirs = PreTrainedTokenizerFast.from_pretrained(os.path.join(ROOT, name))
        with open(os.path.join(ROOT, "texts.json")) as f:
            texts = json.load(f) + TEXTS
        for text in texts:
            a, b = ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True)
            assert a == b, (name, text)
            assert ours.decode(a["input_ids"]) == theirs.decode(b["input_ids"]), (name, text)
        assert ours.special_tokens_map == theirs.special_tokens_map and len(ours) == len(theirs)
        assert ours.all_special_ids == theirs.all_special_ids and ours.get_vocab() == theirs.get_vocab()
        assert ours.padding_side == theirs.padding_side and type(ours) is type(theirs)
        assert ours.model_max_length == theirs.model_max_length or min(ours.model_max_length, theirs.model_max_length) > 1e20
        print(name, "is the same on", len(texts), "texts")


def main():
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2])
    import tempfile
    made = {}
    for name in NAMES:
        folder = os.path.join(ROOT, name)
        tok = PreTrainedTokenizerFast.from_pretrained(folder)
        with tempfile.TemporaryDirectory() as temporary:
            files = saved(PreTrainedTokenizerFast.from_pretrained(folder), temporary)
        made[name] = {"saved": files, "vocabulary": vocabulary(tok), "product": product(name, tok), "pad": pads(name, tok),
                      "decode": decodes(name, tok), "adding": adding(folder)}
    with open(os.path.join(HERE, "usage.json"), "w") as f:
        json.dump({"texts": TEXTS, "words": WORDS, "tokenizers": made}, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
