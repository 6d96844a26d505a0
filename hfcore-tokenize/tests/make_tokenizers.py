"""Writes tests/tokenizers: small trained tokenizers, and what transformers makes of a few hundred texts with them.

    python make_tokenizers.py

Needs transformers 5.23 and tokenizers 0.23. Training is on text composed here, from a fixed seed.
"""

import base64
import json
import os
import random
import struct

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)
from transformers import PreTrainedTokenizerFast

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")
RNG = random.Random(20260722)

WORDS = """the quick brown fox jumps over lazy dog hello world a story of small things that grow into great ones
when light falls on water she said he'll they've we're it's don't can't won't I'm John's 2024 number tokenizer
language model attention transformer function return value index matrix vector learning deep neural network
unbelievable internationalization straightforwardness running jumped happily""".split()
OTHER = """größer Straße naïve café façade señor mañana œuvre Ελλάδα κόσμος Москва привет мир здравствуйте 你好世界
自然言語処理 こんにちは 東京都 안녕하세요 세계 مرحبا بالعالم שלום עולם नमस्ते दुनिया ไทย สวัสดี Việt Nam İstanbul ığdır
Łódź žluťoučký kůň 🙂 👍🏽 👨‍👩‍👧 🇩🇪 ﬁne ½ ① Ａｂｃ e\u0301a\u0308""".split()
CODE = ["def f(x):\n    return x ** 2", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}", "fn main() -> Result<(), E> { Ok(()) }",
        "SELECT * FROM t WHERE id = 42;", "<div class=\"x\">&amp;</div>", "https://example.org/a?b=c&d=%20", "x = {'a': [1, 2.5e-3]}"]


def sentence(n):
    pool = WORDS * 3 + OTHER
    return " ".join(RNG.choice(pool) for _ in range(n))


def corpus():
    lines = [sentence(RNG.randint(3, 20)) + RNG.choice([".", "!", "?", ", and so on", ""]) for _ in range(1500)]
    return lines + CODE * 5


def texts():
    fixed = ["", " ", "  ", "\n", "\t\t", "a", "A b", " leading", "trailing ", "  two  spaces  ", "a\nb\r\nc", "\u00a0nbsp\u00a0x",
             "\u3000wide\u3000space", "tab\tand\u200bzero width", "\u0000nul\u0001\u001f\u007f", "e\u0301 vs \u00e9", "\u1e9b\u0323",
             "\U0001f468\u200d\U0001f469\u200d\U0001f467 family", "\U0001f1e9\U0001f1ea flag", "\U00010348 gothic \U0001d54f",
             "\ufffd replacement", "\ufeffbom", "It's we'll I'M DON'T", "1234567890 12 3,456.78", "!!!???...", "(a)[b]{c}<d>",
             "<s>special</s> in text", "<pad><pad>", " <mask> after", "a<mask>b", "[CLS] x [SEP]", "<|im_start|>user\nhi<|im_end|>",
             "NEWTOKnewtok", " \n \n  x", "x" * 120, "ab" * 40, "é" * 40, "漢字" * 12, " " * 40, "\n" * 20, "a " * 30,
             "ﷺ ﬁ Ⅷ ㎏", "ǅ ß ẞ İ ı", "שָׁלוֹם", "क्षत्रिय", "ก็", "\u202eright to left\u202c", "🤷🏽‍♀️!", "né\u0301é", "▁under▁score", "Ġdot Ċ",
             "<0x41><0xE2>", "##pieces", "</w> end", "\r", "a\u2028b\u2029c", "\u0085next", "\ud7ff\ue000"]
    mixed = [sentence(RNG.randint(1, 7)) for _ in range(110)]
    alphabet = "ab 'é漢🙂\n\t.,1Ω\u0301\u200d\u3000ÀxY  <s>▁Ġ"
    noise = ["".join(RNG.choice(alphabet) for _ in range(RNG.randint(1, 20))) for _ in range(100)]
    spaced = [RNG.choice([" ", "  ", "\n", "\t"]).join(RNG.choice(WORDS + OTHER) for _ in range(4)) for _ in range(40)]
    return fixed + CODE + mixed + noise + spaced


def charsmap(pairs):
    """A precompiled_charsmap with the given replacements, built as darts-clone lays a double array out."""
    blob, where = b"", {}
    for key, value in pairs:
        where[key.encode()] = len(blob)
        blob += value.encode() + b"\0"
    units = [0] * 256
    trie = {}
    for key, value in where.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = value

    def place(node, at):
        """Gives the children of the unit at `at` a block of their own."""
        base = len(units)
        units.extend([0] * 256)
        offset = at ^ base
        # The block's first unit is free for the leaf: no text contains the byte 0.
        units[at] |= offset << 10
        if None in node:
            units[at] |= 1 << 8
            units[base] = node[None] | 1 << 31
        for byte, child in node.items():
            if byte is not None:
                units[base ^ byte] |= byte
                place(child, base ^ byte)

    place(trie, 0)
    data = b"".join(struct.pack("<I", unit) for unit in units)
    return struct.pack("<I", len(data)) + data + blob


def byte_bpe(pre, special, vocab_size=700):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(CORPUS, trainer)
    return tok


def gpt2():
    tok = byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "model_max_length": 1024,
                 "clean_up_tokenization_spaces": True}


def roberta():
    tok = byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "<pad>", "</s>", "<unk>"])
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    return tok, {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "mask_token": mask, "unk_token": "<unk>",
                 "cls_token": "<s>", "sep_token": "</s>"}


def llama3():
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r"\s+(?!\S)|\s+")
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated", invert=False),
                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok = byte_bpe(pre, [])
    tok.add_special_tokens(["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"])
    tok.add_tokens([AddedToken("NEWTOK", normalized=False), AddedToken("newtok", single_word=True)])
    bos = "<|begin_of_text|>"
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(f"{bos} $A", f"{bos} $A {bos}:1 $B:1", [(bos, tok.token_to_id(bos))])])
    return tok, {"bos_token": bos, "eos_token": "<|im_end|>", "add_bos_token": False, "pad_token": "<|brand_new|>",
                 "additional_special_tokens": ["<|im_start|>"], "model_max_length": 131072}


def spm_bpe(name):
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False, limit_alphabet=90)
    if name == "llama2":
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tail = [decoders.Strip(" ", 1, 0)]
    else:
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tail = [decoders.Strip(" ", 1, 0)]
        if name == "gemma":
            tok.normalizer = normalizers.Replace(" ", "▁")
            tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous", invert=False)
            tail = []
    tok.train_from_iterator(CORPUS, trainer)
    # The bytes are part of the vocabulary, not added tokens.
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["id"] < 3]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + tail)
    tok.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    added = {str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                      "special": True} for i, c in enumerate(["<unk>", "<s>", "</s>"])}
    if name == "gemma":
        added["700"] = {"content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False,
                        "special": False}
    return tok, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": 10**30,
                 "added_tokens_decoder": added, "padding_side": "left"}


def bert(cleanup):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tok.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=800, special_tokens=special, show_progress=False))
    tok.decoder = decoders.WordPiece(cleanup=cleanup)
    tok.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
                                                       [("[CLS]", 2), ("[SEP]", 3)])
    tok.enable_padding(pad_id=0, pad_token="[PAD]", length=12)
    tok.enable_truncation(4)
    return tok, {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
                 "mask_token": "[MASK]", "clean_up_tokenization_spaces": True, "model_max_length": 512}


def unigram(name):
    tok = Tokenizer(models.Unigram())
    rules = [("\u00a0", " "), ("ﬁ", "fi"), ("½", "1\u20442"), ("①", "1"), ("Ａ", "A"), ("\u3000", " "), ("e\u0301", "é"), ("\n", " "),
             ("\t", " "), ("\u200b", " "), ("ﷺ", "صلى الله عليه وسلم"), ("Ⅷ", "VIII")]
    precompiled = normalizers.Precompiled(charsmap(rules))
    if name == "t5":
        tok.normalizer = precompiled
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        special = ["<pad>", "</s>", "<unk>"]
    else:
        tok.normalizer = normalizers.Sequence([precompiled, normalizers.Replace(Regex(" {2,}"), " "), normalizers.NFKC()])
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False)
    tok.train_from_iterator(CORPUS, trainer)
    tok.decoder = decoders.Metaspace()
    eos = tok.token_to_id("</s>")
    if name == "t5":
        tok.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", eos)])
    else:
        tok.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", eos)])
        tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    config = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "model_max_length": 512,
              "extra_special_tokens": ["<extra_id_0>", "<extra_id_1>"]}
    if name == "xlmr":
        config |= {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return tok, config


def record(tok, text, pair=None):
    out = tok(text, pair, return_offsets_mapping=True, return_special_tokens_mask=True, return_token_type_ids=True)
    # Small numbers make a small file: each start relative to the end before it, each end to its start.
    offsets, end = [], 0
    for start, stop in out["offset_mapping"]:
        offsets += [start - end, stop - start]
        end = stop
    found = {"ids": out["input_ids"], "offsets": offsets,
             "special": [i for i, flag in enumerate(out["special_tokens_mask"]) if flag]}
    if any(out["token_type_ids"]):
        found["types"] = out["token_type_ids"]
    return found


def main():
    os.makedirs(OUT, exist_ok=True)
    made = {"gpt2": gpt2(), "roberta": roberta(), "llama3": llama3(), "llama2": spm_bpe("llama2"), "metaspace": spm_bpe("metaspace"),
            "gemma": spm_bpe("gemma"), "bert": bert(True), "bert_plain": bert(False), "t5": unigram("t5"), "xlmr": unigram("xlmr")}
    all_texts = texts()
    with open(os.path.join(OUT, "texts.json"), "w") as f:
        json.dump(all_texts, f, ensure_ascii=True)
    for name, (tok, config) in made.items():
        folder = os.path.join(OUT, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            f.write(json.dumps(json.loads(tok.to_str()), ensure_ascii=False, separators=(",", ":")))
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump(config, f)
        hf = PreTrainedTokenizerFast.from_pretrained(folder)
        # Every text for a few; for the others every sixth of the composed ones, which keeps the folder small.
        step = 1 if name == "llama3" else 7
        cases = []
        for i, text in enumerate(all_texts):
            if i % step and i > 50:
                continue
            ids = hf(text, add_special_tokens=True)["input_ids"]
            cases.append({"text": i, **record(hf, text), "plain": hf(text, add_special_tokens=False)["input_ids"] != ids,
                          "decoded": hf.decode(ids), "skipped": hf.decode(ids, skip_special_tokens=True)})
        pairs = [{"texts": [i, i + 7], **record(hf, all_texts[i], all_texts[i + 7])} for i in range(5, 60, 6)]
        n = len(hf) + 2
        shuffled = [[RNG.randrange(n) for _ in range(RNG.randint(1, 12))] for _ in range(40)]
        reference = {
            "cases": cases, "pairs": pairs,
            "decode": [{"ids": ids, "decoded": hf.decode(ids), "skipped": hf.decode(ids, skip_special_tokens=True)}
                       for ids in shuffled],
            "vocab_size": hf.vocab_size, "len": len(hf), "special_tokens_map": hf.special_tokens_map,
            "special_ids": [i for i, t in hf.added_tokens_decoder.items() if t.special],
            "padding_side": hf.padding_side,
            "model_max_length": hf.model_max_length if hf.model_max_length < 1e20 else None,
        }
        # Decoded texts that are the text itself are left out.
        for case in cases:
            for key in ("decoded", "skipped"):
                if case[key] == all_texts[case["text"]]:
                    del case[key]
            if not case["plain"]:
                del case["plain"]
        with open(os.path.join(folder, "reference.json"), "w") as f:
            json.dump(reference, f, ensure_ascii=True, separators=(",", ":"))


CORPUS = corpus()

if __name__ == "__main__":
    main()
