"""Writes tests/spm.json: tokenizers that the sentencepiece library runs, and what transformers makes of texts with them.

    python make_spm.py

Needs transformers 5.23, sentencepiece 0.2 and tests/slow (make_slow.py), whose models it takes. A folder is an entry:
its files are either named files of tests/slow or written into the entry itself.
"""

import json
import os
import random
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import sentencepiece as spm
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
SLOW = os.path.join(HERE, "slow")

TEXTS = ["", " ", "Hello world", ">>deu<< It's  42 Caf\u00e9s ", " >>deu<< x", ">>xyz<<the quick", ">>deu the", "a</s>b <pad>", "</s> >>deu<<the <unk>",
         "\u4f60\u597d \U0001f642\U0001f642 \u00bd", "\uff21\uff42\uff43 e\u0301 \ufb01ne\u200bx", "x\n\ty  z ", "<ctl> <s> [U]ser<sep>", "\u2581under\u2581score \u2581",
         "<0x41> unbelievable internationalization", "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u043c\u0438\u0440 na\u00efve", "the <new> quick <x> end"]
PAIRS = [(2, 5), (5, 2), (9, 0), (0, 3), (7, 8)]


def pieces(*names):
    """The pieces of several models, each once."""
    found = {}
    for name in names:
        model = spm.SentencePieceProcessor(os.path.join(SLOW, name))
        for index in range(model.get_piece_size()):
            found.setdefault(model.id_to_piece(index))
    return [piece for piece in found if piece not in ("<unk>", "</s>", "<pad>")]


def vocab(*names, drop=0):
    """A vocab.json as Marian's training writes it; every `drop`th piece is not in it."""
    kept = [piece for index, piece in enumerate(pieces(*names)) if not drop or index % drop]
    tokens = ["</s>", "<unk>", *kept, ">>deu<<", ">>fra<<", "<pad>"]
    return {token: index for index, token in enumerate(tokens)}


def token(content, special=True, **kwargs):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": not special, "special": special} | kwargs


def cases():
    config = {"model_type": "marian"}
    shared = vocab("uni.model", "bpe.model", drop=7)
    last = len(shared)
    yield "plain", {"source.spm": "uni.model", "target.spm": "bpe.model", "vocab.json": shared}, {"source_lang": "en", "target_lang": "de"}, config
    yield "bytes", {"source.spm": "llama.model", "target.spm": "uni.model", "vocab.json": vocab("llama.model", drop=9)}, {"clean_up_tokenization_spaces": True}, config
    yield "named", {"source.spm": "char.model", "target.spm": "word.model", "vocab.json": vocab("char.model", "word.model")}, {
        "tokenizer_class": "MarianTokenizer", "model_max_length": 100, "separate_vocabs": False, "sp_model_kwargs": {},
        "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "additional_special_tokens": ["<new>"]}, None
    yield "added", {"source.spm": "bpe.model", "target.spm": "bpe.model", "vocab.json": shared}, {
        "added_tokens_decoder": {"0": token("</s>"), "1": token("<unk>"), str(last - 1): token("<pad>"), str(last): token("<new>", lstrip=True, rstrip=True),
                                 str(last + 1): token("<x>", special=False)}}, config
    yield "separate", {"source.spm": "uni.model", "target.spm": "bpe.model", "vocab.json": shared, "target_vocab.json": shared}, {"separate_vocabs": True}, config


def record(name, files, tokenizer_config, config):
    with tempfile.TemporaryDirectory() as folder:
        own = {"tokenizer_config.json": tokenizer_config, "config.json": config} | files
        for target, value in own.items():
            if isinstance(value, str):
                os.symlink(os.path.join(SLOW, value), os.path.join(folder, target))
            elif value is not None:
                with open(os.path.join(folder, target), "w") as f:
                    json.dump(value, f)
        tok = AutoTokenizer.from_pretrained(folder)
        entry = {"name": name, "files": files, "tokenizer_config": tokenizer_config, "config": config, "class": type(tok).__name__,
                 "special_tokens": {key: str(value) for key, value in tok._special_tokens_map.items() if value is not None},
                 "extra": [str(token) for token in tok.extra_special_tokens], "padding_side": tok.padding_side, "len": len(tok),
                 "vocab_size": tok.vocab_size, "model_max_length": tok.model_max_length, "cases": [], "random": []}
        if name == "separate":
            return entry
        for index, text in enumerate(TEXTS):
            out = tok(text, return_special_tokens_mask=True)
            ids = out["input_ids"]
            entry["cases"].append({"text": index, "ids": ids, "mask": out["special_tokens_mask"], "tokens": tok.tokenize(text),
                                   "decoded": tok.decode(ids), "skipped": tok.decode(ids, skip_special_tokens=True)})
        for first, second in PAIRS:
            out = tok(TEXTS[first], TEXTS[second], return_special_tokens_mask=True, return_token_type_ids=True)
            entry["cases"].append({"text": first, "pair": second, "ids": out["input_ids"], "mask": out["special_tokens_mask"],
                                   "types": out["token_type_ids"]})
        # Ids that no text gives.
        rng = random.Random(20261121)
        marks = [index for piece, index in tok.get_vocab().items() if piece.startswith(("<", "\u2581"))]
        for count in range(1, 25):
            ids = [rng.choice(marks) if rng.random() < 0.5 else rng.randrange(len(tok)) for _ in range(count % 9 + 1)]
            entry["random"].append({"ids": ids, "decoded": tok.decode(ids), "skipped": tok.decode(ids, skip_special_tokens=True)})
        return entry


def main():
    entries = [record(*case) for case in cases()]
    with open(os.path.join(HERE, "spm.json"), "w") as f:
        f.write('{"texts":' + json.dumps(TEXTS) + ',\n"folders":[\n')
        f.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "]}\n")


if __name__ == "__main__":
    main()
