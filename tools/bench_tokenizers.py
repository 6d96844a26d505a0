#!/usr/bin/env python3
"""Measure tokenizers beside Python's: the same files, the same texts, in turns, and the ratios.

    bench_tokenizers.py [--only NAME] [--rounds 5] [--threads N] [--out DIR] [--program BENCH]

Composes a corpus from a fixed seed (English, code, CJK and other scripts), trains a tokenizer of 32 000 tokens for each
kind on it (kept in DIR, so that a second run is quick), then runs `cargo bench -p hfcore-tokenize --bench encode` as a
server that encodes when it is told to, and the `tokenizers` wheel in this process. Every round takes one sample of
each; the best of the rounds counts. Ids are compared before anything is measured.

Python's side is `Tokenizer.encode`, `encode_batch` and `decode` of the wheel, without transformers' work on top; `ids` is
`encode_batch_fast` beside `encode_batch` without offsets. Needs tokenizers 0.23.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VOCAB = 32_000

GPT2 = None
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
KINDS = ["gpt2", "llama3", "o200k", "qwen2", "bert", "llama2", "xlmr", "t5"]


def words(rng: random.Random, alphabet: str, count: int, longest: int) -> list[str]:
    """Words of a made-up language: syllables over the alphabet, the early ones short and frequent."""
    syllables = ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 3))) for _ in range(300)]
    return ["".join(rng.choice(syllables) for _ in range(rng.randint(1, min(longest, 1 + i // 40)))) for i in range(count)]


class Corpus:
    """Mixed text; the frequency of words falls as Zipf says."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.latin = words(rng, "eeeaaiioutnshrdlcmwfgypbvk", 30_000, 4)
        self.other = {
            "cyrillic": words(rng, "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэ", 8_000, 4),
            "accented": words(rng, "eéèaàâiîoôuùüöäßçñntsrlmdpcv", 8_000, 4),
            "arabic": words(rng, "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", 4_000, 3),
        }
        self.han = [chr(0x4E00 + int(5_000 * rng.random() ** 3)) for _ in range(5_000)]

    def zipf(self, pool: list[str]) -> str:
        return pool[int(len(pool) ** self.rng.random()) - 1]

    def prose(self, pool: list[str]) -> str:
        rng = self.rng
        sentence = [self.zipf(pool) for _ in range(rng.randint(4, 22))]
        sentence[0] = sentence[0].capitalize()
        for i in range(len(sentence)):
            chance = rng.random()
            if chance < 0.03:
                sentence[i] += rng.choice(["'s", "'t", "'re", "'ll"])
            elif chance < 0.08:
                sentence[i] += ","
            elif chance < 0.1:
                sentence[i] = str(rng.randint(0, 10 ** rng.randint(1, 6)))
        return " ".join(sentence) + rng.choice([".", ".", ".", "!", "?", "…"])

    def code(self) -> str:
        rng, name = self.rng, lambda: self.zipf(self.latin)
        lines = [f"def {name()}_{name()}({name()}, {name()}=None):"]
        for _ in range(rng.randint(2, 8)):
            indent = " " * 4 * rng.randint(1, 3)
            lines.append(rng.choice([
                f"{indent}{name()} = {name()}[{rng.randint(0, 99)}] + {rng.random():.4f}",
                f"{indent}if {name()} != \"{name()}\" and not {name()}.{name()}():",
                f"{indent}return {{'{name()}': {name()}({name()}, {rng.randint(0, 4096)})}}  # {name()} {name()}",
                f"{indent}for {name()} in range(len({name()})):",
            ]))
        return "\n".join(lines) + "\n"

    def cjk(self) -> str:
        rng = self.rng
        return "".join(rng.choice(self.han) for _ in range(rng.randint(8, 40))) + rng.choice(["。", "、", "！"])

    def paragraph(self) -> str:
        chance = self.rng.random()
        if chance < 0.6:
            return " ".join(self.prose(self.latin) for _ in range(self.rng.randint(1, 5))) + "\n"
        if chance < 0.8:
            return self.code()
        if chance < 0.9:
            return self.cjk() + "\n"
        if chance < 0.97:
            return self.prose(self.rng.choice(list(self.other.values()))) + "\n"
        return self.rng.choice(["🙂 👍🏽 👨‍👩‍👧\n\n", "\t\t| a | b |\n", "—" * 20 + "\n", "https://example.org/a?b=c&d=%20\r\n"])

    def text(self, size: int) -> str:
        parts, length = [], 0
        while length < size:
            parts.append(self.paragraph())
            length += len(parts[-1].encode())
        return "".join(parts)


def train(kind: str, lines: list[str]):
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    byte_level = {"gpt2": GPT2, "llama3": CL100K, "o200k": O200K, "qwen2": QWEN2}
    if kind in byte_level:
        tok = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
        pattern = byte_level[kind]
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if pattern:
            tok.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        if kind == "qwen2":
            tok.normalizer = normalizers.NFC()
        tok.decoder = decoders.ByteLevel()
        tok.post_processor = processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<|endoftext|>"], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "bert":
        tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tok.normalizer = normalizers.BertNormalizer(lowercase=True)
        tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tok.decoder = decoders.WordPiece()
        tok.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
                                                           [("[CLS]", 2), ("[SEP]", 3)])
        trainer = trainers.WordPieceTrainer(vocab_size=VOCAB, show_progress=False,
                                            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    elif kind == "llama2":
        tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        # Trained on words, as SentencePiece does; used on whole texts.
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        special = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=special, show_progress=False, limit_alphabet=6000)
    else:
        tok = Tokenizer(models.Unigram())
        tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        if kind == "t5":
            tok.normalizer = normalizers.NFKC()
            tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        tok.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=VOCAB, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
                                          unk_token="<unk>", show_progress=False)
    tok.train_from_iterator(lines, trainer)
    if kind == "llama2":
        data = json.loads(tok.to_str())
        data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 3]
        data["pre_tokenizer"] = None
        tok = Tokenizer.from_str(json.dumps(data))
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                         decoders.Strip(" ", 1, 0)])
        tok.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    return tok


def prepare(out: Path, kinds: list[str]) -> None:
    """Writes the tokenizers and texts that `out` does not have yet."""
    out.mkdir(parents=True, exist_ok=True)
    measured = Corpus(7)
    shared = Corpus(7)
    # Other text of the same languages than what is trained on.
    measured.rng.seed(8)
    texts = out / "texts.json"
    if not texts.exists():
        cut = measured.text(5_000_000).encode()
        documents = [cut[i : i + 10_000].decode(errors="ignore") for i in range(0, len(cut), 10_000)]
        short = [cut[i : i + 100].decode(errors="ignore") for i in range(0, 1_000_000, 100)]
        one = measured.text(1_000_000)
        texts.write_text(json.dumps({"documents": documents, "short": short, "one": [one]}))
    lines = None
    for kind in kinds:
        path = out / f"{kind}.json"
        if not path.exists():
            print(f"training {kind}", file=sys.stderr)
            lines = lines or shared.text(6_000_000).splitlines(keepends=True)
            path.write_text(train(kind, lines).to_str())


class Server:
    """The Rust side: one line asks, one line answers with seconds."""

    def __init__(self, out: Path, threads: int, program: str | None) -> None:
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        build = ["cargo", "bench", "--quiet", "-p", "hfcore-tokenize", "--bench", "encode", "--"]
        command = [*([program] if program else build), "--serve", str(out.absolute())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        cwd=HERE.parent, env=environment)

    def ask(self, *words: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            sys.exit(f"{' '.join(words)}: {answer or 'no answer'}")
        return answer


def fingerprint(sequences: list[list[int]]) -> int:
    """Of ids: FNV-1a over all of them, as the Rust side computes it."""
    found = 0xCBF29CE484222325
    for ids in sequences:
        for value in [*ids, len(ids)]:
            found = (found ^ value) * 0x100000001B3 % 2**64
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--program", help="the benchmark, built already")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hfcore-bench-tokenizers")
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    kinds = args.only or KINDS
    prepare(args.out, kinds)

    from tokenizers import Tokenizer

    texts = json.loads((args.out / "texts.json").read_text())
    size = {name: sum(len(text.encode()) for text in group) for name, group in texts.items()}
    server = Server(args.out, args.threads, args.program)
    print("MB/s of text, hfcore / Python = ratio; best of", args.rounds)
    for kind in kinds:
        tok = Tokenizer.from_file(str(args.out / f"{kind}.json"))
        decoded = [encoding.ids for encoding in tok.encode_batch(texts["documents"])]
        runs = {
            "single documents": lambda: [tok.encode(text) for text in texts["documents"]],
            "single short": lambda: [tok.encode(text) for text in texts["short"]],
            "single one": lambda: [tok.encode(text) for text in texts["one"]],
            "batch documents": lambda: tok.encode_batch(texts["documents"]),
            "batch short": lambda: tok.encode_batch(texts["short"]),
            "ids documents": lambda: tok.encode_batch_fast(texts["documents"]),
            "decode documents": lambda: [tok.decode(ids) for ids in decoded],
        }
        for name in ["documents", "short", "one"]:
            theirs = fingerprint([encoding.ids for encoding in tok.encode_batch(texts[name])])
            if server.ask("ids", kind, name) != str(theirs):
                sys.exit(f"{kind}: other ids than Python's on {name}")
        print(kind)
        for name, run in runs.items():
            ours, theirs = [], []
            for _ in range(args.rounds):
                start = time.perf_counter()
                run()
                theirs.append(time.perf_counter() - start)
                ours.append(float(server.ask("time", kind, *name.split())))
            rate = [size[name.split()[1]] / min(seconds) / 1e6 for seconds in (ours, theirs)]
            print(f"  {name:18} {rate[0]:8.2f} / {rate[1]:8.2f} = {rate[0] / rate[1]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
