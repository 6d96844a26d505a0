"""Writes tests/corpus: trained tokenizers of every kind, thousands of texts, and what Python makes of each with each.

    python make_corpus.py                     writes tests/corpus
    python make_corpus.py --seed 7 --out DIR  another corpus, for `HFCORE_CORPUS=DIR cargo test --release --test corpus`
    python make_corpus.py --dump NAME INDEX   prints Python's result for one text (`texts` counts from 0)

Needs transformers 5.23 and tokenizers 0.23. Everything is composed here, from a seed. What is written:

* `texts.json`: the texts. A list `[pattern, repeat]` is a long one; `{"hex": "…"}` are bytes, decoded with replacement
  characters for what is not UTF-8.
* `tokenizers.json`: `shared` sections, and tokenizers that refer to them as `{"shared": name}`.
* `hashes.bin`: for each tokenizer in order, for each text, then for each list of ids to decode, one little-endian u64:
  the bytes of `canonical`, read as one big-endian number, modulo the largest prime below 2^64.
* `results.json`: for each tokenizer the first results in full, for failures that can be read.
"""

import argparse
import array
import base64
import collections
import json
import os
import random
import struct
import sys
import unicodedata

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)
from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
PRIME = 2**64 - 59
# Results that are written in full, and lists of ids that are decoded, per tokenizer.
IN_FULL = 24
DECODED = 240
# Every tenth text is also encoded as a pair with the one after it.
PAIR_EVERY = 10

SCRIPTS = {
    "latin": [(0x61, 0x7A)] * 4 + [(0xDF, 0xF6), (0xF8, 0xFF)],
    "latin-ext": [(0x61, 0x7A), (0x100, 0x17F), (0x1E00, 0x1EFF)],
    "upper": [(0x41, 0x5A)] * 3 + [(0xC0, 0xD6)],
    "greek": [(0x3B1, 0x3C9), (0x391, 0x3A1), (0x1F00, 0x1F07)],
    "cyrillic": [(0x430, 0x44F), (0x410, 0x42F), (0x450, 0x45F)],
    "armenian": [(0x561, 0x586)],
    "hebrew": [(0x5D0, 0x5EA), (0x5B0, 0x5BC)],
    "arabic": [(0x621, 0x63A), (0x641, 0x652), (0x660, 0x669)],
    "devanagari": [(0x905, 0x939), (0x93E, 0x94D), (0x966, 0x96F)],
    "bengali": [(0x985, 0x98C), (0x995, 0x9A8), (0x9BE, 0x9C4)],
    "tamil": [(0xB85, 0xB8A), (0xB95, 0xB9A), (0xBBE, 0xBCD)],
    "thai": [(0xE01, 0xE30), (0xE31, 0xE3A), (0xE40, 0xE4E)],
    "lao": [(0xE81, 0xEB0), (0xEB1, 0xEBC)],
    "tibetan": [(0xF40, 0xF6C), (0xF71, 0xF7E), (0xF0B, 0xF0D)],
    "myanmar": [(0x1000, 0x102A), (0x102B, 0x103E)],
    "georgian": [(0x10D0, 0x10F0), (0x1C90, 0x1CB0)],
    "jamo": [(0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2)],
    "hangul": [(0xAC00, 0xD7A3)],
    "ethiopic": [(0x1200, 0x1248)],
    "khmer": [(0x1780, 0x17B3), (0x17B6, 0x17D3)],
    "hiragana": [(0x3041, 0x3096)],
    "katakana": [(0x30A1, 0x30FA), (0xFF66, 0xFF9D), (0x30FC, 0x30FC)],
    "han": [(0x4E00, 0x4FFF), (0x6700, 0x67FF), (0x3400, 0x3440), (0x20000, 0x20040), (0xF900, 0xF940)],
    "digits": [(0x30, 0x39)] * 3 + [(0x660, 0x669), (0xFF10, 0xFF19), (0xB2, 0xB3), (0xBC, 0xBE), (0x2160, 0x2170),
                                  (0x1D7CE, 0x1D7D7)],
    "symbols": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xBF), (0x2010, 0x2027), (0x2030, 0x205E),
                (0x20A0, 0x20BF), (0x2190, 0x21FF), (0x2200, 0x2240), (0x3001, 0x3011), (0xFF01, 0xFF0F)],
    "compat": [(0xFB00, 0xFB06), (0x2460, 0x2473), (0xFF21, 0xFF5A), (0x3300, 0x3357), (0x2070, 0x2094), (0x1D400, 0x1D433),
               (0xFDF0, 0xFDFC), (0xFE70, 0xFE80), (0x210A, 0x2113)],
    "marks": [(0x300, 0x345), (0x61, 0x7A), (0x20D0, 0x20DC), (0x483, 0x487), (0x1AB0, 0x1ABD)],
    "emoji": [(0x1F600, 0x1F64F), (0x1F468, 0x1F469), (0x1F3FB, 0x1F3FF), (0x200D, 0x200D), (0xFE0F, 0xFE0F), (0x1F1E6, 0x1F1FF),
              (0x2600, 0x26FF)],
    "control": [(0x0, 0x1F), (0x7F, 0x9F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFD),
                (0xAD, 0xAD), (0xE0001, 0xE0020)],
    "astral": [(0x10330, 0x1034A), (0x12000, 0x12020), (0x1D500, 0x1D51C), (0x10FFF0, 0x10FFFF), (0xE000, 0xE010)],
}
ENGLISH = """the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word but not
what all were we when your can said there use an each which she do how their if will up other about out many then them these so
some her would make like him into time has look two more write go see number no way could people my than first water been call who
oil its now find long down day did get come made may part language model attention transformer tokenizer function return value
index matrix vector learning deep neural network unbelievable internationalization straightforwardness running jumped happily
it's don't can't won't I'm we've they're he'll John's DON'T I'M We'Ll rock'n'roll""".split()
CODE = ["def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "fn main() -> Result<(), E> { Ok(()) }",
        "SELECT * FROM t WHERE id = 42 AND name LIKE '%x%';", "<div class=\"x\">&amp;</div>", "https://example.org/a?b=c&d=%20#top",
        "x = {'a': [1, 2.5e-3], \"b\": None}", "#!/bin/sh\nset -e\necho \"$HOME\" | sed 's/a/b/g'\r\n", "\\frac{a}{b} + \\sum_{i=0}^{n} x_i",
        "if (a && b || !c) { return a->b; }", "import numpy as np\n\n\nclass A(B):\n        pass", "0x1F 0b1010 1_000_000 3.14e+10",
        "user@example.com, +49 (0)30 123-456; 2024-02-29T12:00:00Z", "``quoted'' -- and --- dashes...", "\t\t}\n\t}\n}\n\n\n"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u200b", "\x0b", "\x0c", " \n", "\n ",
          "\u1680", "\u202f", "\u205f", " " * 7]
FIXED = ["", " ", "  ", "\n", "\t\t", "a", "A b", " leading", "trailing ", "  two  spaces  ", "a\nb\r\nc", "Hello, y'all! How are you \U0001f601 ?",
         "\u00a0nbsp\u00a0x", "tab\tand\u200bzero width", "e\u0301 vs \u00e9 vs \u1e9b\u0323", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
         "It's we'll I'M DON'T", "1234567890 12 3,456.78", "<s>special</s> in text", " <mask> after", "a<mask>b", "漢字とかな交じり文", "สวัสดีครับ",
         "ﷺ ﬁ Ⅷ ㎏ ½", "\u3000wide\u3000space", "\u0000nul\u0001\u001f\u007f", "\U0001f1e9\U0001f1ea flag", "\U00010348 gothic \U0001d54f",
         "\ufffd replacement", "\ufeffbom", "!!!???...", "(a)[b]{c}<d>", "<pad><pad>", "[CLS] x [SEP]", "[UNK]", "[MASK]",
         "<|im_start|>user\nhi<|im_end|>", "<|begin_of_text|><|endoftext|>", " \n \n  x", "ǅ ß ẞ İ ı ŉ ǰ", "שָׁלוֹם", "क्षत्रिय", "ก็",
         "\u202eright to left\u202c", "🤷🏽‍♀️!", "né\u0301é", "▁under▁score", "Ġdot Ċ", "<0x41><0xE2>", "##pieces", "</w> end", "\r",
         "a\u2028b\u2029c", "\u0085next", "\ud7ff\ue000", "x²³¹¼½¾y", "a\u200db\u200cc", "ﬀ ﬆ ﬃ", "\u0345\u0301\u0300", "각", "\u1100\u1161\u11a8",
         "İSTANBUL ΣΑΣ ς", "K\u212a \u2126 \u00c5 \u212b", "ſ 'ſ 'S", "'s's's", "''", "' '", "a'b'c", "``a''", "\"''\"", "´`¨^~", "$^`|~+<=>",
         "a\u0300" * 5, "\u0300a", "- - -", "--a--b--", "----", "a-b_c", "_", "__a__", "\\", "\x1b[31mred\x1b[0m", "NULL\x00\x00\x00",
         "\u0f0b\u0f40", "\u17d2\u1780", "😀😀", "😀 😀", "\u2764\ufe0f", "#\ufe0f\u20e3", "１２３ＡＢＣ", "①②", "…", "‥", "㍿", "¨", "\u2126", "x\u00adx",
         "don't", "dont", " do not ", " n't", " ' ", "a , b . c ! d ?", "a 's b 've c 're d 'm", "<unk>", "< unk >", "</s>", "<S>", "<s", "s>"]
LONG = ["a", " ", "ab ", "\n", "é", "漢", "1", "x\u0301", "👨\u200d👩\u200d👧", "<s>", "the quick brown fox ", "a.b,", "\u0000", "Ａ", "ﷺ", "\u1112\u1161\u11ab",
        "aA1 \n", "'s", "\ufffd", "\u200d", "  x", "ab", "[MASK] ", "á "]
TRICKY = list("ab 'é漢🙂\n\t.,1Ω\u0301\u200d\u3000ÀxY▁ĠİıſKßﬁ½²-_<>/\u00a0\r\u0000\ufffd\u200b가각\u1100\u1161\u11a8กำ")


def added(n):
    """The 32 combinations of an added token's five flags, in contents of several shapes."""
    shapes = ["<t{}>", "Tok{}", " sp{} x", "É{}é", "[x{}]", "ab{}", "\u0130{}", "漢{}"]
    flags = ["lstrip", "rstrip", "single_word", "normalized", "special"]
    return AddedToken(shapes[n % len(shapes)].format(n), **{name: bool(n >> bit & 1) for bit, name in enumerate(flags)})


ADDED = [added(n) for n in range(32)] + [AddedToken("overlap", normalized=False), AddedToken("overlapping", normalized=False),
                                         AddedToken("lapping more", normalized=False, special=True)]


class Texts:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        # Words per script with Zipf's frequencies, so that training has something to find.
        self.words = {"english": ENGLISH}
        for script, ranges in SCRIPTS.items():
            self.words[script] = ["".join(self.character(ranges) for _ in range(self.rng.randint(1, 8))) for _ in range(60)]

    def character(self, ranges):
        return chr(self.rng.randint(*self.rng.choice(ranges)))

    def word(self, script):
        words = self.words[script]
        return words[min(int(self.rng.paretovariate(0.7)) - 1, self.rng.randrange(len(words)))]

    def sentence(self, scripts, n):
        spaced = [s for s in scripts]
        joiner = "" if scripts[0] in ("han", "hiragana", "katakana", "thai", "lao", "khmer", "emoji") and self.rng.random() < 0.7 else " "
        text = joiner.join(self.word(self.rng.choice(spaced)) for _ in range(n))
        return text + self.rng.choice(["", "", ".", "!", "?", "。", ", and so on", "...", " (x)", "\n"])

    def training(self):
        names = list(self.words)
        lines = [self.sentence(["english"], self.rng.randint(4, 20)) for _ in range(900)]
        lines += [self.sentence([script], self.rng.randint(3, 12)) for script in names for _ in range(25)]
        lines += [self.sentence([self.rng.choice(names), "english"], self.rng.randint(3, 12)) for _ in range(300)]
        return lines + CODE * 8 + [space.join(self.word("english") for _ in range(5)) for space in SPACES * 3]

    def all(self, total):
        rng = self.rng
        names = list(self.words)
        texts = list(FIXED) + [f.format("x") if "{}" in f else f for f in CODE]
        contents = [token.content for token in ADDED] + ["<s>", "</s>", "<mask>", "[MASK]", "[SEP]", "<pad>", "<|endoftext|>", "<unk>", "[UNK]",
                                                         "<extra_id_0>", "en_XX", "<|im_start|>", "|", "<0x41>"]

        def soup():
            pieces = [chr(rng.randrange(0x80, 0x3000)).encode(), bytes([rng.randrange(256)]), b"a", b" ", "漢🙂".encode()]
            raw = b"".join(rng.choice(pieces) for _ in range(rng.randint(1, 14)))
            cut = bytearray(raw)
            del cut[rng.randrange(len(cut))]
            return {"hex": bytes(cut).hex()}

        def anywhere():
            found = []
            while len(found) < rng.randint(1, 8):
                code = rng.choice([rng.randrange(0x3000), rng.randrange(0x20000), rng.randrange(0x110000)])
                if not 0xD800 <= code < 0xE000:
                    found.append(chr(code))
            return "".join(found)

        kinds = [
            (10, lambda: self.sentence([rng.choice(names)], rng.randint(1, 9))),
            (8, lambda: self.sentence([rng.choice(names) for _ in range(3)] + ["english"], rng.randint(2, 10))),
            (12, lambda: "".join(rng.choice(TRICKY) for _ in range(rng.randint(1, 22)))),
            (5, anywhere),
            (3, lambda: "".join(rng.choice(CODE)[:rng.randint(3, 30)] for _ in range(3))),
            (4, lambda: "".join(rng.choice([rng.choice(SPACES), rng.choice(SPACES), self.word("english"), "é", "1"]) for _ in range(rng.randint(2, 9)))),
            (3, soup),
            (7, lambda: "".join(rng.choice([rng.choice(contents), rng.choice(contents), rng.choice(SPACES), self.word(rng.choice(names)), "a"])
                                for _ in range(rng.randint(2, 7)))),
            (4, lambda: "".join(self.word(rng.choice(["marks", "jamo", "emoji", "compat", "control", "hebrew", "thai", "devanagari"]))
                                for _ in range(rng.randint(1, 5)))),
            (3, lambda: "".join(rng.choice(["'s", "'S", "n't", "'re", "a", " ", "1", "12", ".", "\n", "'", "B", "é", ",", "\r\n"])
                                for _ in range(rng.randint(2, 14)))),
        ]
        weights = [weight for weight, _ in kinds]
        makers = [maker for _, maker in kinds]
        # The longest are apart: the test decides how many of them a debug build can afford.
        long = [[pattern, 100_000 // len(pattern.encode())] for pattern in LONG[:10]]
        long += [[pattern, rng.choice([30, 100, 1000])] for pattern in LONG for _ in range(2)]
        while len(texts) < total - len(long):
            texts.append(rng.choices(makers, weights)[0]())
        return texts + long


def text_of(entry):
    if isinstance(entry, list):
        return entry[0] * entry[1]
    if isinstance(entry, dict):
        return bytes.fromhex(entry["hex"]).decode("utf-8", errors="replace")
    return entry


def charsmap(pairs):
    """A precompiled_charsmap with the given replacements, laid out as darts-clone does, each node at the first base that fits."""
    blob, root = b"", {}
    for key, value in pairs:
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = len(blob)
        blob += value.encode() + b"\0"
    units, used, bases = [0], [True], set()

    def place(node, at):
        labels = [0 if byte is None else byte for byte in node]
        base = 1
        while base in bases or any((base ^ label) < len(used) and used[base ^ label] for label in labels) or base ^ at >= 1 << 21:
            base += 1
        bases.add(base)
        top = max(base ^ label for label in labels) + 1
        units.extend([0] * (top - len(units)))
        used.extend([False] * (top - len(used)))
        units[at] |= (at ^ base) << 10
        for label in labels:
            used[base ^ label] = True
        if None in node:
            units[at] |= 1 << 8
            units[base] = node[None] | 1 << 31
        for byte, child in node.items():
            if byte is not None:
                units[base ^ byte] |= byte
                place(child, base ^ byte)

    place(root, 0)
    # A text may continue with any byte, so the last block is whole.
    units.extend([0] * (-len(units) % 256))
    data = b"".join(struct.pack("<I", unit) for unit in units)
    return struct.pack("<I", len(data)) + data + blob


def rules():
    codes = [*range(0xA0, 0x180), *range(0x2000, 0x2150), *range(0x2460, 0x2480), *range(0x3000, 0x3010), *range(0x3300, 0x3320),
             *range(0xFB00, 0xFB07), *range(0xFF01, 0xFF60), 0xFDFA]
    found = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in codes}
    found = {char: to for char, to in found.items() if char != to}
    found |= {char: " " for char in "\t\n\r\u200b\u200e\u2028\u2029\ufeff\u0085"} | {chr(code): "" for code in [*range(1, 9), 0x7F, 0xAD]}
    found |= {"e\u0301": "é", "a\u0300": "à", "ab\u0301": "X", "\u1100\u1161": "가"}
    return sorted(found.items())


BYTES = pre_tokenizers.ByteLevel.alphabet()
HEX = [f"<0x{byte:02X}>" for byte in range(256)]
S_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern if isinstance(pattern, str) else pattern, behavior, invert)


def sequence(*stages):
    return pre_tokenizers.Sequence(list(stages))


def train(model, trainer, lines, pre=None, norm=None):
    tok = Tokenizer(model)
    if pre is not None:
        tok.pre_tokenizer = pre
    if norm is not None:
        tok.normalizer = norm
    tok.train_from_iterator(lines, trainer)
    return json.loads(tok.to_str())["model"]


def common(lines, most):
    """The lines with their most frequent characters: a unigram vocabulary has every character of its training."""
    lines = [unicodedata.normalize("NFKC", line) for line in lines]
    kept = {char for char, _ in collections.Counter("".join(lines)).most_common(most)}
    return ["".join(char if char in kept else " " for char in line) for line in lines]


def trained(lines):
    """The models, by name."""
    bpe = lambda size, special, **options: trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **options)
    metaspace = pre_tokenizers.Metaspace()
    made = {
        "bytes": train(models.BPE(), bpe(1100, ["<|endoftext|>"] + S_TOKENS, initial_alphabet=BYTES), lines,
                       pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "spm": train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
                     bpe(900, ["<unk>", "<s>", "</s>"] + HEX, limit_alphabet=160), lines, metaspace),
        "wordpiece": train(models.WordPiece(unk_token="[UNK]"),
                           trainers.WordPieceTrainer(vocab_size=1000, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=300,
                                                     show_progress=False), lines, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer()),
        "wordpiece_cased": train(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20),
                                 trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=300,
                                                           show_progress=False), lines, pre_tokenizers.BertPreTokenizer()),
        "unigram": train(models.Unigram(), trainers.UnigramTrainer(vocab_size=900, special_tokens=S_TOKENS, unk_token="<unk>", show_progress=False),
                         common(lines, 350), metaspace, normalizers.NFKC()),
        "clip": train(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
                      bpe(1000, ["<|startoftext|>", "<|endoftext|>"], initial_alphabet=BYTES, end_of_word_suffix="</w>"), lines,
                      sequence(split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", True),
                               pre_tokenizers.ByteLevel(add_prefix_space=False)), normalizers.Lowercase()),
        "openai": train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), bpe(800, ["<unk>"], end_of_word_suffix="</w>", limit_alphabet=200),
                        lines, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer()),
        "prefixed": train(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"), bpe(800, ["[UNK]"], continuing_subword_prefix="##",
                                                                                            limit_alphabet=200), lines, pre_tokenizers.Whitespace()),
        "words": train(models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=700, special_tokens=["[UNK]", "[PAD]", "|"],
                                                                                    show_progress=False), lines, pre_tokenizers.Whitespace()),
    }
    # A CLIP-like vocabulary needs both forms of each byte.
    vocab = made["clip"]["vocab"]
    for char in BYTES:
        for form in (char, char + "</w>"):
            vocab.setdefault(form, len(vocab))
    # Unigram with bytes: pieces of the lowest score.
    made["unigram_bytes"] = json.loads(json.dumps(made["unigram"]))
    made["unigram_bytes"]["vocab"] += [[piece, -20.0] for piece in HEX]
    made["unigram_bytes"]["byte_fallback"] = True
    for model in made.values():
        for entry in model["vocab"] if isinstance(model["vocab"], list) else []:
            entry[1] = round(entry[1], 6)
    return made


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""", r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""", r"""\s*[\r\n]+""", r"""\s+(?!\S)""", r"""\s+"""])
DEEPSEEK = [r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-" + "\u1f7d\uff21-\uff3a\uff41-\uff5a]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK3 = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def kinds(map64):
    """Name, model, and the sections of each tokenizer."""
    N, P, D, X = normalizers, pre_tokenizers, decoders, processors
    byte_pre = lambda *stages: sequence(*stages, P.ByteLevel(add_prefix_space=False, use_regex=False))
    splits = lambda patterns: [split(Regex(pattern)) for pattern in patterns]
    bert = X.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    spm_decoder = lambda *tail: D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), *tail])
    bos = X.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    uni = X.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
    precompiled = N.Precompiled(map64)
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    s_added = [AddedToken(token, special=True, normalized=False) for token in S_TOKENS[:4]] + [mask]
    spm_added = [AddedToken(token, special=True, normalized=False) for token in ["<unk>", "<s>", "</s>"]]
    b_added = [AddedToken(token, special=True, normalized=False) for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]]
    eot = [AddedToken("<|endoftext|>", special=True, normalized=False)]
    make = lambda name, model, norm=None, pre=None, post=None, decoder=None, tokens=(), **options: (
        name, model, options, norm, pre, post, decoder, list(tokens))
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    found = [
        make("gpt2", "bytes", None, P.ByteLevel(add_prefix_space=False), X.ByteLevel(trim_offsets=False), D.ByteLevel(), eot),
        make("gpt2_trim", "bytes", None, P.ByteLevel(add_prefix_space=True), X.ByteLevel(trim_offsets=True), D.ByteLevel(), eot, dropout=0.0),
        make("roberta", "bytes", None, P.ByteLevel(add_prefix_space=True),
             X.RobertaProcessing(("</s>", 3), ("<s>", 1), trim_offsets=True, add_prefix_space=True), D.ByteLevel(), s_added),
        make("roberta_plain", "bytes", N.NFC(), P.ByteLevel(add_prefix_space=False),
             X.RobertaProcessing(("</s>", 3), ("<s>", 1), trim_offsets=True, add_prefix_space=False), D.ByteLevel(), s_added),
        make("llama3", "bytes", None, byte_pre(split(Regex(LLAMA3))),
             X.Sequence([X.ByteLevel(trim_offsets=False), X.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])]), D.ByteLevel(),
             s_added + [AddedToken("<|im_start|>", special=True, normalized=False)], ignore_merges=True),
        make("qwen2", "bytes", N.NFC(), byte_pre(split(Regex(QWEN2))), X.ByteLevel(trim_offsets=False), D.ByteLevel(), eot + [
            AddedToken("<|im_start|>", special=True, normalized=False), AddedToken("<|im_end|>", special=True, normalized=False)]),
        make("deepseek", "bytes", N.Sequence([]), byte_pre(*splits(DEEPSEEK), P.Digits(individual_digits=True)), X.ByteLevel(trim_offsets=True),
             D.ByteLevel(), eot),
        make("deepseek3", "bytes", None, byte_pre(*splits(DEEPSEEK3)), X.ByteLevel(trim_offsets=False), D.ByteLevel(), eot),
        make("o200k", "bytes", None, byte_pre(split(Regex(O200K))), X.ByteLevel(trim_offsets=False), D.ByteLevel(), eot),
        make("cl100k", "bytes", None, byte_pre(split(Regex(CL100K), "removed", True)), None, D.ByteLevel(), eot),
        make("starcoder", "bytes", None, sequence(P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)), None, D.ByteLevel(), eot),
        make("byte_normalizer", "bytes", N.Sequence([N.NFD(), N.ByteLevel()]), None, None, D.ByteLevel(), eot + [AddedToken("É3é"), AddedToken("Tok1")]),
        make("llama2", "spm", N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, bos, spm_decoder(D.Strip(" ", 1, 0)), spm_added),
        make("gemma", "spm", N.Replace(" ", "▁"), split(" ", "merged_with_previous"), bos, spm_decoder(), spm_added + [
            AddedToken("<mask>", lstrip=True), AddedToken("\n\n", normalized=False)]),
        make("mistral_first", "spm", None, P.Metaspace(prepend_scheme="first", split=False), bos, spm_decoder(D.Strip(" ", 1, 0)), spm_added),
        make("metaspace_always", "spm", None, P.Metaspace(prepend_scheme="always", split=True), None, D.Metaspace(prepend_scheme="always"), spm_added),
        make("metaspace_never", "spm", N.Strip(left=True, right=False), P.Metaspace(prepend_scheme="never", split=True), None,
             D.Metaspace(prepend_scheme="never"), spm_added, fuse_unk=False, byte_fallback=False),
        make("metaspace_nosplit", "spm", N.Strip(left=False, right=True), P.Metaspace(prepend_scheme="always", split=False), None,
             D.Sequence([D.Fuse(), D.Metaspace()]), spm_added, byte_fallback=False),
        make("no_unk", "spm", None, None, None, D.Sequence([D.ByteFallback(), D.Strip("▁", 2, 0)]), (), unk_token=None, byte_fallback=False),
        make("bert", "wordpiece", N.BertNormalizer(lowercase=True), P.BertPreTokenizer(), bert, D.WordPiece(cleanup=True), b_added),
        make("bert_cased", "wordpiece_cased", N.BertNormalizer(lowercase=False), P.BertPreTokenizer(),
             X.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), D.WordPiece(cleanup=False), b_added),
        make("bert_flags", "wordpiece", N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
             P.BertPreTokenizer(), bert, D.WordPiece(prefix="##", cleanup=False), b_added),
        make("bert_accents", "wordpiece", N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=True),
             P.BertPreTokenizer(), None, D.WordPiece(), b_added),
        make("distilbert", "wordpiece", N.Sequence([N.NFD(), N.Lowercase(), N.StripAccents()]), P.Whitespace(), bert, D.WordPiece(), b_added,
             max_input_chars_per_word=7),
        make("t5", "unigram", precompiled, sequence(P.WhitespaceSplit(), P.Metaspace()),
             X.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 2)]), D.Metaspace(), s_added),
        make("xlmr", "unigram", N.Sequence([precompiled, N.Replace(Regex(" {2,}"), " ")]), P.Metaspace(), uni, D.Metaspace(), s_added),
        make("mbart", "unigram", N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]), P.Metaspace(),
             X.TemplateProcessing("$A </s> <pad>", "$A $B </s> <pad>", [("</s>", 2), ("<pad>", 1)]), D.Metaspace(),
             s_added + [AddedToken("en_XX", special=True, normalized=False)]),
        make("albert", "unigram", N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), precompiled,
                                              N.Replace(Regex(" {2,}"), " ")]), sequence(P.WhitespaceSplit(), P.Metaspace()), uni, D.Metaspace(), s_added),
        make("unigram_bytes", "unigram_bytes", N.NFKC(), P.Metaspace(prepend_scheme="first"), uni,
             D.Sequence([D.ByteFallback(), D.Metaspace(prepend_scheme="first")]), s_added),
        make("unigram_whole", "unigram", N.Replace(" ", "▁"), None, None, D.Replace(Regex("▁+"), " "), s_added),
        make("words", "words", None, P.Whitespace(), None, None, ()),
        make("words_strip", "words", N.Sequence([N.Strip(), N.Lowercase(), N.NFC()]), P.WhitespaceSplit(), None,
             D.CTC(pad_token="[PAD]", word_delimiter_token="|", cleanup=True), [AddedToken("[PAD]", special=True)]),
        make("clip", "clip", N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]),
             sequence(split(Regex(CLIP), "removed", True), P.ByteLevel(add_prefix_space=False)),
             X.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False, add_prefix_space=False), D.BPEDecoder("</w>"),
             [AddedToken("<|startoftext|>", special=True, normalized=True), AddedToken("<|endoftext|>", special=True, normalized=False)]),
        make("openai", "openai", N.BertNormalizer(lowercase=True), P.BertPreTokenizer(), None, D.BPEDecoder("</w>"), [AddedToken("<unk>", special=True)]),
        make("prefixed", "prefixed", N.NFKD(), P.WhitespaceSplit(), None, D.WordPiece(cleanup=True), [AddedToken("[UNK]", special=True)]),
        make("prefixed_fused", "prefixed", N.StripAccents(), P.CharDelimiterSplit(" "), None, None, (), fuse_unk=True),
        make("scripts", "spm", N.NFKC(), sequence(P.UnicodeScripts(), P.Metaspace(prepend_scheme="never", split=False)), None, D.Fuse(), spm_added),
        make("fixed_length", "bytes", None, sequence(P.FixedLength(length=3), P.ByteLevel(add_prefix_space=False, use_regex=False)), None, D.ByteLevel(), eot),
        make("digits_together", "bytes", None, sequence(P.Digits(individual_digits=False), P.Punctuation("contiguous"),
                                                       P.ByteLevel(add_prefix_space=True)), X.ByteLevel(trim_offsets=True), D.ByteLevel(), eot),
        make("added_bytes", "bytes", None, P.ByteLevel(add_prefix_space=False), X.ByteLevel(trim_offsets=True), D.ByteLevel(), ADDED),
        make("added_lower", "unigram", N.Sequence([N.NFKD(), N.Lowercase(), N.StripAccents()]), P.Metaspace(), uni, D.Metaspace(), s_added + ADDED),
    ]
    patterns = [r"\w+", r"\d|é", " ", r"[^\s\p{L}]+", r"^\s*|\b"]
    for number, behavior in enumerate(behaviors):
        other = behaviors[(number + 2) % 5]
        found.append(make(f"split_{behavior}", "bytes", None, byte_pre(
            split(Regex(patterns[number]), behavior), P.Punctuation(other), split(Regex(r"\p{Lu}?\p{L}+"), other, True),
            split("a" if number % 2 else "the", behavior)), None, D.ByteLevel(), eot))
    return found


def build(name, shared, options, norm, pre, post, decoder, tokens):
    """The tokenizer.json as Python writes it."""
    model = {**shared, **options}
    empty = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
             "post_processor": None, "decoder": None, "model": model}
    tok = Tokenizer.from_str(json.dumps(empty))
    if norm is not None:
        tok.normalizer = norm
    if pre is not None:
        tok.pre_tokenizer = pre
    if post is not None:
        tok.post_processor = post
    if decoder is not None:
        tok.decoder = decoder
    tok.add_tokens(tokens)
    return json.loads(tok.to_str())


def words(numbers):
    packed = array.array("I", [len(numbers), *numbers])
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def strings(texts):
    return struct.pack("<I", len(texts)) + b"".join(text.encode() + b"\xff" for text in texts)


def encoded(enc):
    offsets = [at for pair in enc.offsets for at in pair]
    word_ids = [0 if at is None else at + 1 for at in enc.word_ids]
    sequence_ids = [0 if at is None else at + 1 for at in enc.sequence_ids]
    return (words(enc.ids) + strings(enc.tokens) + words(offsets) + words(enc.type_ids) + words(enc.special_tokens_mask) + words(word_ids)
            + words(sequence_ids))


def fingerprint(data):
    return int.from_bytes(b"\x01" + data, "big") % PRIME


class Lcg:
    """The ids to decode, drawn as the test draws them."""

    def __init__(self):
        self.state = 1

    def below(self, n):
        self.state = (self.state * 1_664_525 + 1_013_904_223) % 2**32
        return (self.state >> 8) % n

    def ids(self, bound):
        return [self.below(bound) for _ in range(1 + self.below(14))]


class Answers:
    def __init__(self, tokenizer_json):
        self.hf = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(tokenizer_json)))
        self.tok = self.hf.backend_tokenizer

    def decode(self, ids):
        return [self.hf.decode(ids), self.hf.decode(ids, skip_special_tokens=True)]

    def one(self, text, pair):
        enc = self.tok.encode(text)
        plain = self.tok.encode(text, add_special_tokens=False)
        data = encoded(enc) + words(plain.ids) + strings(self.decode(enc.ids))
        if pair is not None:
            data += encoded(self.tok.encode(text, pair))
        return data, enc, plain

    def full(self, text, pair):
        _, enc, plain = self.one(text, pair)
        out = self.hf(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        assert out["input_ids"] == enc.ids and out["offset_mapping"] == enc.offsets and out["special_tokens_mask"] == enc.special_tokens_mask
        decoded, skipped = self.decode(enc.ids)
        record = {"ids": enc.ids, "tokens": enc.tokens, "offsets": [at for span in enc.offsets for at in span], "words": enc.word_ids,
                  "special": [at for at, flag in enumerate(enc.special_tokens_mask) if flag], "decoded": decoded}
        if skipped != decoded:
            record["skipped"] = skipped
        if plain.ids != enc.ids:
            record["plain"] = plain.ids
        return record


def corpus(seed, total):
    texts = Texts(seed)
    shared = trained(texts.training())
    map_bytes = charsmap(rules())
    tokenizers = []
    for name, model, *sections in kinds(map_bytes):
        tokenizers.append((name, model, sections[0], build(name, shared[model], *sections)))
    return texts.all(total), shared, base64.b64encode(map_bytes).decode(), tokenizers


def refer(value, map64):
    """With the character map as a reference."""
    if isinstance(value, dict):
        return {key: refer(part, map64) for key, part in value.items()}
    if isinstance(value, list):
        return [refer(part, map64) for part in value]
    return {"shared": "charsmap"} if value == map64 else value


def pair_of(texts, at):
    return text_of(texts[at + 1]) if at % PAIR_EVERY == 0 and not isinstance(texts[at + 1 if at + 1 < len(texts) else 0], list) else None


def write(out, seed, total):
    os.makedirs(out, exist_ok=True)
    texts, shared, map64, tokenizers = corpus(seed, total)
    dump = lambda name, value: open(os.path.join(out, name), "w", encoding="utf-8").write(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    dump("texts.json", texts)
    shared["charsmap"] = map64
    listed, hashes, results = [], bytearray(), {}
    for name, model, options, full in tokenizers:
        listed.append({"name": name, "model": {"shared": model, "with": options}, **refer({key: part for key, part in full.items() if key != "model"}, map64)})
        answers = Answers(full)
        for at, entry in enumerate(texts):
            hashes += struct.pack("<Q", fingerprint(answers.one(text_of(entry), pair_of(texts, at))[0]))
        lcg, bound = Lcg(), len(answers.hf) + 3
        for _ in range(DECODED):
            hashes += struct.pack("<Q", fingerprint(strings(answers.decode(lcg.ids(bound)))))
        results[name] = [answers.full(text_of(entry), pair_of(texts, at)) for at, entry in enumerate(texts[:IN_FULL])]
        print(name, len(answers.hf), file=sys.stderr)
    dump("tokenizers.json", {"shared": shared, "tokenizers": listed})
    dump("results.json", results)
    with open(os.path.join(out, "hashes.bin"), "wb") as f:
        f.write(hashes)


def show(out, name, index):
    """Python's result for one text of the corpus in `out`."""
    load = lambda file: json.load(open(os.path.join(out, file), encoding="utf-8"))
    texts, made = load("texts.json"), load("tokenizers.json")
    entry = next(entry for entry in made["tokenizers"] if entry["name"] == name)

    def fill(value):
        if isinstance(value, dict) and "shared" in value:
            part = made["shared"][value["shared"]]
            return {**part, **value["with"]} if "with" in value else part
        if isinstance(value, dict):
            return {key: fill(part) for key, part in value.items()}
        return [fill(part) for part in value] if isinstance(value, list) else value

    answers = Answers(fill({key: part for key, part in entry.items() if key != "name"}))
    if index >= len(texts):
        lcg = Lcg()
        ids = [lcg.ids(len(answers.hf) + 3) for _ in range(index - len(texts) + 1)][-1]
        print(json.dumps({"decode": ids, "decoded": answers.decode(ids)}))
        return
    text, pair = text_of(texts[index]), pair_of(texts, index)
    print(json.dumps({"text": text[:2000], **answers.full(text, pair)}))
    if pair is not None:
        enc = answers.tok.encode(text, pair)
        print(json.dumps({"pair": pair, "ids": enc.ids, "tokens": enc.tokens, "offsets": enc.offsets, "words": enc.word_ids, "types": enc.type_ids}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--texts", type=int, default=5200)
    parser.add_argument("--out", default=os.path.join(HERE, "corpus"))
    parser.add_argument("--dump", nargs=2, metavar=("NAME", "INDEX"))
    given = parser.parse_args()
    if given.dump:
        show(given.out, given.dump[0], int(given.dump[1]))
    else:
        write(given.out, given.seed, given.texts)
