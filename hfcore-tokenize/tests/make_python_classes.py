"""Writes tests/python_classes.json: tokenizers that are Python code, and what transformers makes of some texts.

    python make_python_classes.py

Needs transformers 5.23. A folder is an entry, its files are in it.
"""

import json
import os
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from transformers import AutoTokenizer

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_classes.json")

TEXTS = ["", " ", "Hello world", "  It's  42 Caf\u00e9s ", "\u4f60\u597d \U0001f642", "a </s> b<pad>c", "one</s>", "x <extra_id_3> y<extra_id_1>2 <extra_id_12>",
         "HELLO|WORLD <unk> A<s>B ", "a\tb\n\u00a0c\u3000<pad> \x1cd", "stra\u00dfe \u0130 \u01c5 \u03a3\u03a3", "MKTAYIAK<mask> QRQ.X-B*", "<cls>M K<eos> T",
         "<sp>ab<spa>abc<ab", "<<sp> <s<spa> <sp", "xabcabcdy bcd", "l<mas<mask>>", "\x00\x7f<unk></s>"]
PAIRS = [(2, 5), (6, 6), (11, 12)]


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} | flags


LETTERS = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|"] + list("ETAONIHSRDLUMWCFGYPBVKXJQZ'") + ["<sp>", "\u00c9"])}
SMALL = {t: i for i, t in enumerate(["[PAD]", "|", "[UNK]"] + list("abcdefghijklmnopqrstuvwxyz") + ["ab", "abc"])}
ESM = ["<cls>", "<pad>", "<eos>", "<unk>"] + list("LAGVSERTIDPKQNFYMHWCXBUZO.-") + ["<null_1>", "<mask>"]


def cases():
    """Name, files, tokenizer_config.json, model_type."""
    byt5 = lambda name, **config: (name, {}, {"tokenizer_class": "ByT5Tokenizer"} | config, "t5")
    ctc = lambda name, vocab, **config: (name, {"vocab.json": vocab}, {"tokenizer_class": "Wav2Vec2CTCTokenizer"} | config, "wav2vec2")
    esm = lambda name, lines, **config: (name, {"vocab.txt": "\n".join(lines)}, {"tokenizer_class": "EsmTokenizer"} | config, "esm")
    decoder = {"0": token("<pad>"), "1": token("</s>"), "2": token("<unk>", rstrip=True), "259": token("<extra_id_0>"), "260": token("<extra_id_3>", lstrip=True)}
    return [
        byt5("byt5"),
        byt5("byt5-none", extra_ids=0),
        byt5("byt5-five", extra_ids=5, clean_up_tokenization_spaces=True),
        byt5("byt5-listed", extra_ids=4, additional_special_tokens=[f"<extra_id_{i}>" for i in range(4)] + ["<sp>"]),
        byt5("byt5-saved", extra_ids=0, added_tokens_decoder=decoder, extra_special_tokens=["<extra_id_0>", "<extra_id_3>"], split_special_tokens=False),
        byt5("byt5-more", extra_ids=0, added_tokens_decoder={"259": token("<sp>", special=False), "260": token("ab", special=False, rstrip=True),
                                                             "261": token("abc", special=False), "262": token("<spa>", lstrip=True), "263": token("bcd")}),
        byt5("byt5-split", split_special_tokens=True),
        ctc("ctc", LETTERS),
        ctc("ctc-lower", LETTERS, do_lower_case=True),
        ctc("ctc-names", SMALL, unk_token="[UNK]", pad_token="[PAD]", bos_token="<s>", eos_token="</s>"),
        ctc("ctc-delimiter", LETTERS, word_delimiter_token="_", replace_word_delimiter_char="-"),
        ctc("ctc-none", SMALL, unk_token="[UNK]", pad_token="[PAD]", bos_token=None, eos_token=None),
        ctc("ctc-language", {"eng": LETTERS, "deu": SMALL}, target_lang="eng"),
        ctc("ctc-nested", {"eng": LETTERS, "deu": SMALL}),
        ctc("ctc-unknown-language", {"eng": LETTERS}, target_lang="fra"),
        ctc("ctc-saved", LETTERS, clean_up_tokenization_spaces=True, added_tokens_decoder={"0": token("<pad>", lstrip=True, rstrip=True, special=False), "34": token("<spa>")}),
        esm("esm", ESM),
        esm("esm-added", ESM, added_tokens_decoder={"33": token("QRQ", special=False, lstrip=True), "34": token("MK")}, extra_special_tokens=["A"]),
        esm("esm-blanks", [t + " " for t in ESM] + ["abc", "ab", "\u4f60", ""]),
    ]


def main():
    entries = []
    for name, files, tokenizer_config, model_type in cases():
        entry = {"name": name, "files": files, "tokenizer_config": tokenizer_config, "model_type": model_type}
        with tempfile.TemporaryDirectory() as folder:
            for target, value in (files | {"tokenizer_config.json": tokenizer_config, "config.json": {"model_type": model_type}}).items():
                with open(os.path.join(folder, target), "w", encoding="utf-8") as f:
                    f.write(value if isinstance(value, str) else json.dumps(value))
            try:
                tok = AutoTokenizer.from_pretrained(folder)
            except Exception as error:
                print(name, "refused:", repr(error)[:150])
                entry["refused"] = type(error).__name__
                entries.append(entry)
                continue
        entry |= {"class": type(tok).__name__, "len": len(tok), "vocab_size": tok.vocab_size, "special": tok.all_special_tokens,
                  "special_ids": tok.all_special_ids, "added": sorted((i, t.content, t.lstrip, t.rstrip, t.special) for i, t in tok.added_tokens_decoder.items()),
                  "cases": [], "decodes": []}
        for one in [(i,) for i in range(len(TEXTS))] + PAIRS:
            out = tok(*(TEXTS[i] for i in one), return_special_tokens_mask=True, return_token_type_ids=True)
            ids = out["input_ids"]
            entry["cases"].append({"texts": one, "ids": ids, "decoded": tok.decode(ids)})
            if (skipped := tok.decode(ids, skip_special_tokens=True)) != entry["cases"][-1]["decoded"]:
                entry["cases"][-1]["skipped"] = skipped
            # As many again of a folder that differs from another in its settings would say nothing new.
            if "-" not in name or len(one) > 1:
                entry["cases"][-1] |= {"mask": out["special_tokens_mask"], "types": out["token_type_ids"], "tokens": [token for i in one for token in tok.tokenize(TEXTS[i])]}
            if len(one) == 1:
                entry["cases"][-1]["bare"] = len(tok(TEXTS[one[0]], add_special_tokens=False)["input_ids"])
        n = len(tok)
        # Repeated ids, bytes that are no text, and ids from everywhere.
        lists = [[5, 5, 0, 5, 6, 6, 4, 4, 7, 0, 0, 7], [4, 9, 4, 4, 12, 1, 2, 3, 4], [1, 1, 0, 1], [n - 1, n - 1, 0, n - 2, 8, n - 1], list(range(min(n, 30))), list(range(3, 24, 2))]
        if "byt5" in name:
            lists += [[231, 192, 163, 231, 193, 68, 130, 3 + 0xF0, 3 + 0x9F, 3 + 0x99, 0, 3 + 0x82], [3 + 0xE4, 3 + 0xBD, 3 + 0xA0, 3 + 0xFF, 3 + 0xED, 3 + 0xA0, 3 + 0x80]]
        else:
            lists += [[5, n + 50, 6, n + 7]]
        for ids in lists:
            entry["decodes"].append({"ids": ids, "decoded": tok.decode(ids), "skipped": tok.decode(ids, skip_special_tokens=True)})
        cut = lambda **options: tok(TEXTS[3], TEXTS[2], truncation="longest_first", **options)["input_ids"]
        entry["cuts"] = [[length, cut(max_length=length)] for length in (5, 8, 11, 14, 19)]
        entries.append(entry)
        print(name, entry["class"], n)
    with open(OUT, "w", encoding="utf-8") as f:
        f.write('{"texts":' + json.dumps(TEXTS) + ',\n"folders":[\n')
        f.write(",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries) + "]}\n")


if __name__ == "__main__":
    main()
