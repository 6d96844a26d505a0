"""Writes tests/slow: folders without tokenizer.json, and what transformers makes of them and of texts with them.

    python make_slow.py

Needs transformers 5.23, tokenizers 0.23, sentencepiece 0.2 and tiktoken. Training is on text composed here, from a fixed
seed. A folder is an entry of slow.json: its files are either named files of tests/slow, which several folders share,
or written into the entry itself.
"""

import base64
import hashlib
import json
import os
import random
import struct
import tempfile
import unicodedata

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import sentencepiece as spm
from make_tokenizers import CODE, CORPUS, OTHER, WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow")
RNG = random.Random(20261121)
LINES = [line.replace("\n", " ") for line in CORPUS] + [code for block in CODE for code in block.split("\n")] * 3

TEXTS = ["", " ", "a", "Hello world", " leading", "trailing  ", "  two  spaces   here ", "a\nb\r\nc\td", "\u00a0nbsp\u00a0x \u3000wide",
         "zero\u200bwidth\u200dand\ufeffbom", "\u0000nul\u0001\u001f\u007f", "e\u0301 vs \u00e9 n\u0303o", "Ａｂｃ １２３ ﬁne ½ ①",
         "👨‍👩‍👧 🇩🇪 👍🏽!", "It's we'll I'M DON'T", "1234567890 12 3,456.78", "!!!???...(a)[b]{c}",
         "<s>special</s> in <pad> text", " <mask> after", "a<mask>b [MASK] c", "[CLS] x [SEP]", "<extra_id_0> and <extra_id_12>x",
         "\n\n  x\n", "x" * 20, "▁under▁score ▁", "Ġdot Ċ", "<0x41><0xE2>", "##pieces un##able", "größer Straße naïve café",
         "Ελλάδα κόσμος Москва привет", "你好世界 自然言語処理 東京都", "مرحبا بالعالم שלום", "नमस्ते दुनिया ไทย",
         "[U]ser [U] defined<sep>piece <sep>", "unbelievable internationalization", "en_XX eng_Latn __eng__ fr_XX", "``quoted'' text", "x = {'a': [1, 2.5e-3]}",
         "\tfor (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n\t}", "\ud7ff\ue000\U00010348\U0001d54f", "<|end|>hi<|reserved_token_903|>",
         "<unk> and <unk>"]
TEXTS += [" ".join(RNG.choice(WORDS + OTHER) for _ in range(RNG.randint(3, 8))) for _ in range(7)]
TEXTS += ["".join(RNG.choice("ab 'é漢🙂\n\t.,1Ω\u0301\u200d\u3000ÀxY  ▁Ġ") for _ in range(RNG.randint(3, 20))) for _ in range(6)]


def rules():
    """A small part of nmt_nfkc: compatibility forms, compositions, and control characters that are dropped."""
    pairs = {chr(c): unicodedata.normalize("NFKC", chr(c)) for c in [*range(0xff01, 0xff5f), 0xbd, 0x2460, 0xfb01, 0xa0, 0x3000]}
    pairs |= {"e\u0301": "é", "n\u0303": "ñ", "\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "\ufeff": " "}
    pairs |= {chr(c): "" for c in [*range(1, 9), 0x1f, 0x7f, 0x200d]}
    path = os.path.join(tempfile.gettempdir(), "rules.tsv")
    with open(path, "w", encoding="utf-8") as f:
        for source, target in pairs.items():
            f.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
    return path


def train(name, unused=0, **options):
    """A SentencePiece model in tests/slow, without what only the trainer needs; every so many pieces are not to be used."""
    from sentencepiece import sentencepiece_model_pb2 as pb

    defaults = {"model_type": "unigram", "vocab_size": 420, "character_coverage": 0.98, "num_threads": 1,
                "hard_vocab_limit": False, "minloglevel": 2, "normalization_rule_name": "identity"}
    prefix = os.path.join(tempfile.gettempdir(), name)
    spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_prefix=prefix, **(defaults | options))
    model = pb.ModelProto()
    with open(prefix + ".model", "rb") as f:
        model.ParseFromString(f.read())
    model.normalizer_spec.normalization_rule_tsv = ""
    model.trainer_spec.model_prefix = "m"
    normal = [piece for piece in model.pieces if piece.type == piece.NORMAL and len(piece.piece) > 1]
    for piece in normal[3::unused] if unused else []:
        piece.type = piece.UNUSED
    with open(os.path.join(OUT, name + ".model"), "wb") as f:
        f.write(model.SerializeToString())


def sentencepieces():
    tsv = rules()
    ids = {"bos_id": 1, "eos_id": 2, "unk_id": 0}
    # fairseq's and Llama's order.
    train("uni", normalization_rule_tsv=tsv, user_defined_symbols=["<sep>", "[U]"], control_symbols=["<ctl>"], **ids)
    # T5's order.
    train("t5", normalization_rule_tsv=tsv, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, vocab_size=360, unused=5)
    # ALBERT's.
    train("albert", pad_id=0, unk_id=1, bos_id=2, eos_id=3, bos_piece="[CLS]", eos_piece="[SEP]", control_symbols=["[MASK]"],
          normalization_rule_tsv=tsv, vocab_size=360)
    train("bytes", byte_fallback=True, split_digits=True, add_dummy_prefix=False, remove_extra_whitespaces=False, vocab_size=560,
          allow_whitespace_only_pieces=True, user_defined_symbols=["▁▁", "▁▁▁▁"], **ids)
    train("llama", model_type="bpe", byte_fallback=True, split_digits=True, vocab_size=620, remove_extra_whitespaces=False,
          allow_whitespace_only_pieces=True, user_defined_symbols=["[U]"], control_symbols=["<ctl>"], **ids)
    train("gemma", model_type="bpe", byte_fallback=True, split_digits=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>",
          eos_piece="<eos>", vocab_size=600, add_dummy_prefix=False, remove_extra_whitespaces=False,
          user_defined_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁", "▁▁▁"])
    train("bpe", model_type="bpe", normalization_rule_tsv=tsv, vocab_size=420, unused=6, **ids)
    train("suffix", treat_whitespace_as_suffix=True, vocab_size=300, **ids)
    train("word", model_type="word", vocab_size=60, **ids)
    train("char", model_type="char", vocab_size=80, **ids)


def byte_level(name, size, special, suffix=""):
    """vocab.json and merges.txt, by name."""
    tok = Tokenizer(models.BPE(**({"end_of_word_suffix": suffix} if suffix else {})))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                        **({"end_of_word_suffix": suffix} if suffix else {})))
    model = json.loads(tok.to_str())["model"]
    write(name + "-vocab.json", json.dumps(model["vocab"], ensure_ascii=False, separators=(",", ":")))
    write(name + "-merges.txt", "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]))


def plain_bpe(name):
    """Words with a suffix, as OpenAI's first GPT and HerBERT have them."""
    tok = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator((line.lower() for line in LINES), trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], end_of_word_suffix="</w>", show_progress=False))
    model = json.loads(tok.to_str())["model"]
    write(name + "-vocab.json", json.dumps(model["vocab"], ensure_ascii=False, separators=(",", ":")))
    write(name + "-merges.txt", "#version: 0.2\r\n" + "".join(" ".join(pair) + "\r\n" for pair in model["merges"]))


def word_piece():
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator((line.lower() for line in LINES), trainers.WordPieceTrainer(
        vocab_size=420, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "<pad>", "</s>", "<unk>",
                                                             "<mask>", "<cls>", "<sep>", "[QUESTION]", "."]))
    tokens = sorted(tok.get_vocab().items(), key=lambda entry: entry[1])
    lines = [token for token, _ in tokens]
    # A line that comes twice, one with blanks at its end, and an empty one.
    lines[40:40] = ["the", "quick  ", ""]
    write("bert-vocab.txt", "\n".join(lines) + "\n")


def rank_files():
    """The bytes and the most common byte pairs, as tiktoken's trainer would rank them."""
    ranks = {bytes([b]): b for b in range(256)}
    words = [word.encode() for line in LINES for word in tiktoken_split(line)]
    words = [[bytes([b]) for b in word] for word in words]
    while len(ranks) < 480:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        ranks[best[0] + best[1]] = len(ranks)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i:i + 2] = [best[0] + best[1]]
                i += 1
    write("ranks.tiktoken", "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    vocab = [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for token, rank in ranks.items()]
    special = [{"rank": i, "token_str": token, "is_control": True}
               for i, token in enumerate(["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>"])]
    tekken = {"config": {"pattern": TEKKEN, "num_vocab_tokens": 480, "default_vocab_size": 460 + 10, "default_num_special_tokens": 10,
                         "version": "v11"}, "vocab": vocab, "special_tokens": special}
    write("tekken.json", json.dumps(tekken, separators=(",", ":")))


TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def tiktoken_split(line):
    import regex

    return regex.findall(r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+", line)


def write(name, text):
    with open(os.path.join(OUT, name), "w", encoding="utf-8", newline="") as f:
        f.write(text)


def cases():
    """Name, files (of tests/slow, by the name that they have in the folder), tokenizer_config.json, config.json."""
    def one(name, model_type, files, **config):
        found.append((name, files, config, {"model_type": model_type}))

    found = []
    sp = lambda source, name="tokenizer.model": {name: source + ".model"}
    one("llama", "idefics2", sp("llama"), tokenizer_class="LlamaTokenizer")
    one("llama-legacy", "idefics2", sp("llama"), tokenizer_class="LlamaTokenizer", legacy=True, add_bos_token=True, add_eos_token=True)
    one("llama-bare", "idefics2", sp("llama"), tokenizer_class="LlamaTokenizer", add_prefix_space=False, add_bos_token=False)
    one("code_llama", "code_llama", sp("llama"), tokenizer_class="CodeLlamaTokenizer")
    one("llama-decoder", "idefics2", sp("llama"), tokenizer_class="LlamaTokenizer", added_tokens_decoder={
        str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        for i, t in [(0, "<unk>"), (1, "<s>"), (2, "</s>"), (620, "<|end|>")]})
    one("gemma", "gemma", sp("gemma"), tokenizer_class="GemmaTokenizer")
    one("t5", "t5", sp("t5", "spiece.model"), tokenizer_class="T5Tokenizer")
    one("t5-ids", "t5", sp("t5", "spiece.model"), extra_ids=20)
    one("udop", "udop", sp("t5", "spiece.model"))
    one("xlm-roberta", "xlm-roberta", sp("uni", "sentencepiece.bpe.model"))
    one("camembert", "camembert", sp("uni", "sentencepiece.bpe.model"))
    one("mbart", "mbart", sp("uni", "sentencepiece.bpe.model"))
    one("mbart-ro", "mbart", sp("uni", "sentencepiece.bpe.model"), src_lang="ro_RO", tgt_lang="en_XX")
    one("mbart50", "mbart", sp("uni", "sentencepiece.bpe.model"), tokenizer_class="MBart50Tokenizer", src_lang="fr_XX")
    one("nllb", "m2m_100", sp("bpe", "sentencepiece.bpe.model"), tokenizer_class="NllbTokenizer")
    one("nllb-legacy", "m2m_100", sp("bpe", "sentencepiece.bpe.model"), tokenizer_class="NllbTokenizer", src_lang="fra_Latn", legacy_behaviour=True)
    one("seamless", "seamless_m4t", sp("bpe", "sentencepiece.bpe.model"))
    one("xlnet", "xlnet", sp("uni", "spiece.model"))
    one("albert", "albert", sp("albert", "spiece.model"))
    one("albert-cased", "albert", sp("albert", "spiece.model"), do_lower_case=False, keep_accents=True)
    one("big_bird", "big_bird", sp("albert", "spiece.model"))
    one("deberta-v2", "deberta-v2", sp("albert", "spm.model"))
    one("deberta-v2-punct", "deberta-v2", sp("albert", "spm.model"), split_by_punct=True, do_lower_case=True)
    one("pegasus", "pegasus", sp("t5", "spiece.model"))
    one("reformer", "reformer", sp("bpe", "spiece.model"))
    one("barthez", "mbart", sp("uni", "sentencepiece.bpe.model"), tokenizer_class="BarthezTokenizer")
    one("rembert", "rembert", sp("albert", "sentencepiece.model"))
    one("xglm", "xglm", sp("uni", "sentencepiece.bpe.model"))
    one("fnet", "fnet", sp("albert", "spiece.model"))
    # Without a class.
    one("backend-bpe", "phi3", sp("llama"))
    one("backend-bpe-bos", "phi3", sp("llama"), add_bos_token=True, add_eos_token=True, pad_token="<unk>")
    one("backend-unigram", "phi3", sp("uni"))
    one("backend-bytes", "phi3", sp("bytes"))
    one("backend-suffix", "phi3", sp("suffix"))
    one("backend-word", "phi3", sp("word"))
    one("backend-char", "phi3", sp("char"))
    one("backend-renamed", "phi3", sp("gemma"), added_tokens_decoder={
        "4": {"content": "<image>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}})
    one("tiktoken", "kimi_linear", {"tiktoken.model": "ranks.tiktoken"})
    one("tiktoken-named", "kimi_linear", {"tokenizer.model": "ranks.tiktoken"}, extra_special_tokens=["<|end|>"])
    one("tiktoken-decoder", "kimi_linear", {"tiktoken.model": "ranks.tiktoken"}, bos_token="<|begin|>", eos_token="<|end|>", added_tokens_decoder={
        str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        for i, t in [(480, "<|begin|>"), (481, "<|end|>"), (485, "<|pad|>")]}, extra_special_tokens=["<|end|>", "<|more|>"])
    one("tekken", "granite", {"tekken.json": "tekken.json"})
    # Vocabularies in text.
    bert = {"vocab.txt": "bert-vocab.txt"}
    one("bert", "bert", bert)
    one("bert-cased", "bert", bert, do_lower_case=False, tokenize_chinese_chars=False)
    one("bert-accents", "bert", bert, do_lower_case=True, strip_accents=False)
    one("electra", "electra", bert, tokenizer_class="ElectraTokenizer")
    one("mpnet", "mpnet", bert)
    one("funnel", "funnel", bert)
    one("splinter", "splinter", bert)
    one("layoutlm", "layoutlm", bert)
    gpt = lambda name: {"vocab.json": name + "-vocab.json", "merges.txt": name + "-merges.txt"}
    one("gpt2", "gpt2", gpt("gpt2"))
    one("gpt2-prefix", "gpt2", gpt("gpt2"), add_prefix_space=True, add_bos_token=True)
    one("codegen", "codegen", gpt("gpt2"), tokenizer_class="CodeGenTokenizer")
    one("whisper", "whisper", gpt("gpt2"))
    one("qwen2", "qwen2_moe", gpt("gpt2"))
    one("roberta", "roberta", gpt("roberta"))
    one("bart", "bart", gpt("roberta"))
    one("longformer", "longformer", gpt("roberta"))
    one("blenderbot", "blenderbot", gpt("roberta"))
    one("layoutlmv3", "layoutlmv3", gpt("roberta"))
    one("markuplm", "markuplm", gpt("roberta"), tags_dict={"a": 0, "div": 1})
    one("deberta", "deberta", gpt("roberta"))
    one("clip", "clip", gpt("clip"))
    one("openai-gpt", "openai-gpt", gpt("herbert"))
    one("herbert", "bert", gpt("herbert"), tokenizer_class="HerbertTokenizer")
    return found


def processors():
    """What the sentencepiece library makes of the texts: ids, and for some texts starts and ends in bytes."""
    found = {}
    for name in ("uni", "t5", "albert", "bytes", "llama", "gemma", "bpe", "suffix", "word", "char"):
        sp = spm.SentencePieceProcessor(model_file=os.path.join(OUT, name + ".model"))
        found[name] = []
        for index, text in enumerate(TEXTS):
            proto = sp.encode(text, return_type="proto")
            case = {"ids": [piece.id for piece in proto.pieces]}
            if index % 5 == 0:
                case["offsets"] = [place for piece in proto.pieces for place in (piece.begin, piece.end)]
            found[name].append(case)
    return found


def fnv(parts):
    """64-bit FNV-1a, which a few lines compute anywhere."""
    value = 0xcbf29ce484222325
    for part in parts:
        for byte in part.encode() + b"\0":
            value = (value ^ byte) * 0x100000001b3 % 2**64
    return f"{value:016x}"


def digest(tok):
    """The backend's definition; lists that take up space as digests of what a reader of the same format computes."""
    whole = json.loads(tok.to_str())
    model = whole["model"]
    if model["type"] == "Unigram":
        # In 32 bits: copying a tokenizer, as transformers does, changes the last of 64 bits.
        vocab = [part for token, score in model["vocab"] for part in (token, struct.pack(">f", score).hex())]
    else:
        vocab = [part for token, id in sorted(model["vocab"].items(), key=lambda entry: entry[1]) for part in (token, str(id))]
    model["vocab"] = fnv(vocab)
    if "merges" in model:
        model["merges"] = fnv(part for pair in model["merges"] for part in pair)
    for key in ("truncation", "padding", "version"):
        del whole[key]

    def shorten(value):
        if isinstance(value, dict):
            return {key: shorten(fnv([v]) if key == "precompiled_charsmap" else v) for key, v in value.items()}
        return [shorten(v) for v in value] if isinstance(value, list) else value

    # The added tokens: id, content and the flags that are set.
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    whole["added_tokens"] = [[t["id"], t["content"], "".join(flag[0] for flag in flags if t[flag])] for t in whole["added_tokens"]]
    return shorten(whole)


def main():
    os.makedirs(OUT, exist_ok=True)
    sentencepieces()
    byte_level("gpt2", 400, ["<|endoftext|>"])
    byte_level("roberta", 400, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    byte_level("clip", 700, ["<|startoftext|>", "<|endoftext|>"], suffix="</w>")
    plain_bpe("herbert")
    word_piece()
    rank_files()
    folders = []
    for name, files, tokenizer_config, config in cases():
        with tempfile.TemporaryDirectory() as folder:
            for target, source in files.items():
                os.symlink(os.path.join(OUT, source), os.path.join(folder, target))
            for target, value in (("tokenizer_config.json", tokenizer_config), ("config.json", config)):
                with open(os.path.join(folder, target), "w") as f:
                    json.dump(value, f)
            entry = {"name": name, "files": files, "tokenizer_config": tokenizer_config, "model_type": config["model_type"]}
            try:
                tok = AutoTokenizer.from_pretrained(folder, mistral_format=False)
            except Exception as error:
                print(name, "refused:", str(error)[:200])
                entry["refused"] = str(error)[:200].replace(folder, "FOLDER")
                folders.append(entry)
                continue
            entry["class"] = type(tok).__name__
            entry["definition"] = digest(tok._tokenizer)
            entry["special_tokens"] = tok.special_tokens_map
            entry["cases"] = []
            # Those that need boxes or markup beside a text have only their definition compared.
            for index, text in enumerate([] if name in ("udop", "layoutlmv3", "markuplm") else TEXTS):
                # Of a folder that differs from another in its settings, every fourth text.
                if "-" in name and name not in ("xlm-roberta", "deberta-v2", "openai-gpt", "backend-bpe") and index % 4 != 2:
                    continue
                out = tok(text, return_offsets_mapping=True)
                ids = out["input_ids"]
                case = {"text": index, "ids": ids}
                # Offsets and decoded texts for some texts only, which keeps the file small.
                if index % 5 == 0:
                    offsets, end = [], 0
                    for start, stop in out["offset_mapping"]:
                        offsets += [start - end, stop - start]
                        end = stop
                    case["offsets"] = offsets
                    case["decoded"] = tok.decode(ids)
                    if (skipped := tok.decode(ids, skip_special_tokens=True)) != case["decoded"]:
                        case["skipped"] = skipped
                entry["cases"].append(case)
            print(name, entry["class"], len(tok))
            folders.append(entry)
    with open(os.path.join(OUT, "slow.json"), "w") as f:
        f.write('{"texts":' + json.dumps(TEXTS) + ',\n"processors":' + json.dumps(processors(), separators=(",", ":"))
                + ',\n"folders":[\n')
        f.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in folders) + "]}\n")


if __name__ == "__main__":
    main()
