"""Writes tests/patterns.json: what Oniguruma, in the tokenizers wheel, takes for letters, and where it cuts texts.

    python make_patterns.py

Needs tokenizers 0.23. The patterns are those that src/engine/pattern/known.rs matches by hand (read from it) and some that
the general matcher takes.
"""

import json
import os
import random
import re

from tokenizers import Regex, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
RNG = random.Random(20261121)
ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CLASSES = [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"\s", r"\p{P}", r"\p{S}", r"\p{Han}", r"\d"]
OTHERS = [r"\s+$", r"^▁+$", r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", r" ?[^(\s|[.,!?…。，、।۔،])]+", r"\s{2,}|[\n\r\t]",
          r"[0-9][0-9][0-9]", r"\s?\p{L}+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"(?i:'s|'ll)|\h+|a++b", r"\p{L}+(?=\s)|."]
OFTEN = [" ", " ", "  ", "\n", "\r", "\r\n", "\t", "'", "'s", "'S", "'re", "'Ve", "'lL", "'d", "'ſ", "'x", "a", "b", "Z", "É",
         "ß", "ſ", "\u212a", "ǅ", "ʰ", "漢", "々", "〇", "⺀", "の", "é", "\u0301", "\u20dd", "1", "23", "٣", "Ⅷ", "½", "!", "/",
         "//", "_", "$", "😀", "।", "\u00a0", "\u3000", "\u0085", "\u2028", "\u200b", "\0", "\ue000", "\u0378", "ﬆ", "İ", "▁"]


def ranges(characters):
    """Start, then length, of each run, each start relative to the end before."""
    found, end = [], 0
    for c in map(ord, characters):
        if found and c == end:
            found[-1] += 1
        else:
            found += [c - end, 1]
        end = c + 1
    return found


def text():
    parts = []
    for _ in range(RNG.randint(1, 12)):
        parts.append(RNG.choice(OFTEN) if RNG.random() < 0.85 else RNG.choice(ALL[: RNG.choice([0x300, 0x3200, len(ALL)])]))
    return "".join(parts)


def main():
    with open(os.path.join(HERE, "..", "src", "engine", "pattern", "known.rs")) as f:
        table = f.read().split("const KNOWN:")[1].split("\n];")[0]
    known = re.findall(r'^\s*\(?r(?P<hash>#*)"(.*?)"(?P=hash),', table, re.M)
    known = [source for _, source in known]
    known.append(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    everything = "".join(ALL)
    classes = {}
    for source in CLASSES:
        left = set(normalizers.Replace(Regex(source), "").normalize_str(everything))
        classes[source] = ranges(c for c in ALL if c not in left)
    texts = [text() for _ in range(250)]
    pieces = {}
    for source in known + OTHERS:
        split = pre_tokenizers.Split(Regex(source), "isolated")
        pieces[source] = [[len(piece) for piece, _ in split.pre_tokenize_str(text)] for text in texts]
    with open(os.path.join(HERE, "patterns.json"), "w") as f:
        json.dump({"classes": classes, "texts": texts, "known": known, "pieces": pieces}, f, separators=(",", ":"))


if __name__ == "__main__":
    main()
