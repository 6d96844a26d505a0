"""Writes tests/classes: folders with a tokenizer.json, and what AutoTokenizer of transformers makes of them.

    python make_classes.py

Needs transformers 5.23 and tokenizers 0.23, and tests/slow (make_slow.py), whose vocabularies it takes. A few
tokenizer.json are shared by all classes, and none has the stages that its class would build: what comes out shows what
a class takes from the file and what it makes itself. A folder is an entry of classes.json.
"""

import json
import os
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
SLOW = os.path.join(HERE, "slow")
OUT = os.path.join(HERE, "classes")

TEXTS = ["", "Hello world", "  It's  42 Caf\u00e9s ", "a <mask> b[MASK]</s>x", "[CLS] Tea <pad>?", "\u4f60\u597d <extra_id_3> \U0001f642",
         "x\n\ty ``q''", "Gr\u00f6\u00dfe N\u0303 \uff21", "<|endoftext|>DON'T", "the quick the", "<s>one</s> <unk>"]
PAIRS = [(1, 9), (9, 5)]


def read(name):
    with open(os.path.join(SLOW, name), encoding="utf-8") as f:
        return f.read()


def merges(name):
    return [tuple(line.split(" ")) for line in read(name).splitlines() if line and not line.startswith("#version")]


def save(name, tok):
    """Compactly."""
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        f.write(json.dumps(json.loads(tok.to_str()), ensure_ascii=False, separators=(",", ":")))


def spm(name):
    from sentencepiece import sentencepiece_model_pb2 as pb

    model = pb.ModelProto()
    with open(os.path.join(SLOW, name), "rb") as f:
        model.ParseFromString(f.read())
    return model


def files():
    """The shared tokenizer.json."""
    # Byte-level words, but Llama 3's kind of splitting, and a lower-casing normalizer that no class has.
    bytes_ = Tokenizer(models.BPE(json.loads(read("roberta-vocab.json")), merges("roberta-merges.txt"), ignore_merges=True))
    bytes_.normalizer = normalizers.Lowercase()
    bytes_.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{N}{1,2}|\p{L}+|\s+|."), "isolated"),
                                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bytes_.decoder = decoders.ByteLevel()
    bytes_.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True), AddedToken("<|endoftext|>", special=True)])
    bytes_.add_tokens([AddedToken("Tea", single_word=True)])
    bytes_.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A </s>:1 $B:1", special_tokens=[("<s>", bytes_.token_to_id("<s>")), ("</s>", bytes_.token_to_id("</s>"))])
    save("bytes.json", bytes_)

    # Words of WordPiece, cased and split at blanks alone.
    vocab = {}
    for line in read("bert-vocab.txt").splitlines():
        vocab.setdefault(line.rstrip(), len(vocab))
    words = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=12))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.decoder = decoders.WordPiece(cleanup=False)
    words.add_special_tokens(["[CLS]", "[SEP]", AddedToken("[MASK]", lstrip=True, rstrip=True, special=True)])
    words.enable_truncation(64, direction="left")
    words.enable_padding(direction="left", pad_id=vocab["[PAD]"], pad_token="[PAD]")
    save("words.json", words)

    # Pieces with scores, marked words, a character map.
    model = spm("uni.model")
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [(p.piece, p.score) for p in model.pieces[3:]] + [("<mask>", 0.0)]
    pieces += [(t, 0.0) for t in ("[CLS]", "[SEP]", "en_XX", "ro_RO", "<extra_id_3>")]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=3))
    unigram.normalizer = normalizers.Sequence([normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap), normalizers.Lowercase()])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    unigram.decoder = decoders.Metaspace(prepend_scheme="first")
    unigram.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True, special=True)])
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    save("unigram.json", unigram)

    # Marked words of a BPE that falls back to bytes.
    from transformers.convert_slow_tokenizer import SentencePieceExtractor

    got = SentencePieceExtractor(os.path.join(SLOW, "llama.model")).extract(models.BPE)
    marked = Tokenizer(models.BPE(got["vocab"], got["merges"], unk_token="<unk>", byte_fallback=True))
    marked.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    marked.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    marked.add_special_tokens(["<unk>", "<s>", "</s>"])
    marked.add_tokens(["Tea", "eng_Latn", "__eng__"])
    marked.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    save("marked.json", marked)


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} | flags


def cases():
    """Name, shared file, tokenizer_config.json, config.json."""
    found = []

    def one(name, file, model_type=None, config=None, **tokenizer_config):
        config = {"model_type": model_type} | (config or {}) if model_type else config
        found.append((name, file, tokenizer_config, config))

    def of(file, *names, **options):
        for name in names:
            one(name, file, tokenizer_class=name, **options)

    # Every class by its name.
    of("bytes.json", "GPT2Tokenizer", "RobertaTokenizer", "BartTokenizerFast", "CodeGenTokenizer", "BlenderbotTokenizer", "DebertaTokenizer",
       "GPTNeoXTokenizer", "CohereTokenizer", "Qwen2Tokenizer", "Qwen3_5Tokenizer", "NougatTokenizer", "WhisperTokenizer", "CLIPTokenizer",
       "OpenAIGPTTokenizer", "HerbertTokenizer", "EsmcTokenizer", "PreTrainedTokenizerFast", "NoSuchTokenizer", "ParakeetTokenizer", "LukeTokenizer",
       "PreTrainedTokenizer", "BloomTokenizerFast")
    of("words.json", "BertTokenizer", "DistilBertTokenizerFast", "ConvBertTokenizer", "DPRReaderTokenizer", "DPRReaderTokenizerFast", "FunnelTokenizer",
       "MPNetTokenizer", "SplinterTokenizer", "ElectraTokenizerFast", "PreTrainedTokenizerFast", "Qwen2Tokenizer")
    of("unigram.json", "T5Tokenizer", "XLMRobertaTokenizer", "CamembertTokenizer", "AlbertTokenizer", "FNetTokenizer", "XLNetTokenizer",
       "BarthezTokenizer", "BigBirdTokenizer", "RemBertTokenizer", "PegasusTokenizer", "XGLMTokenizer", "DebertaV2Tokenizer", "LasrTokenizer",
       "VideoPrismTokenizer", "MBartTokenizer", "MBart50Tokenizer", "MLukeTokenizer", "PreTrainedTokenizerFast", "LlamaTokenizer")
    of("marked.json", "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "Siglip2Tokenizer", "Tipsv2Tokenizer", "NllbTokenizer",
       "SeamlessM4TTokenizer", "ReformerTokenizer", "PreTrainedTokenizerFast", "T5Tokenizer")
    # Their arguments.
    one("gpt2-prefix", "bytes.json", "gpt2", add_prefix_space=True, add_bos_token=True, pad_token="<|endoftext|>")
    one("roberta-offsets", "bytes.json", "roberta", trim_offsets=False, add_prefix_space=True, mask_token=token("<mask>", lstrip=True) | {"__type": "AddedToken"})
    one("qwen2-names", "bytes.json", "qwen2_vl", image_token="<image>", additional_special_tokens=["<a>", "<b>"], bos_token="<bos>")
    one("qwen2-dict", "bytes.json", "qwen2_vl", extra_special_tokens={"image_token": "<image>", "eoi": "<eoi>"})
    one("qwen2-decoder", "bytes.json", "qwen2_vl", added_tokens_decoder={"400": token("<x>"), "401": token("Tea", special=False, rstrip=True),
                                                                        "5": token("<mask>")}, eos_token="<x>")
    one("split-special", "bytes.json", "gpt2", split_special_tokens=True)
    one("bert-cased", "words.json", "bert", do_lower_case=False, tokenize_chinese_chars=False, strip_accents=True, padding_side="right")
    one("bert-names", "words.json", "bert", cls_token="<cls>", sep_token="<sep>", mask_token="<mask>", clean_up_tokenization_spaces=True)
    one("llama-legacy", "marked.json", tokenizer_class="LlamaTokenizer", legacy=True, add_bos_token=False, add_eos_token=True)
    one("llama-bare", "marked.json", tokenizer_class="LlamaTokenizerFast", add_prefix_space=False)
    one("t5-ids", "unigram.json", "t5", extra_ids=5)
    one("t5-listed", "unigram.json", "t5", extra_ids=2, additional_special_tokens=["<extra_id_0>", "<extra_id_3>"])
    one("mbart-ro", "unigram.json", "mbart", src_lang="ro_RO", tgt_lang="en_XX")
    one("mbart50-ro", "unigram.json", tokenizer_class="MBart50Tokenizer", src_lang="ro_RO")
    one("nllb-legacy", "marked.json", tokenizer_class="NllbTokenizer", legacy_behaviour=True, src_lang="deu_Latn")
    one("nllb-own", "marked.json", tokenizer_class="NllbTokenizerFast", additional_special_tokens=["fra_Latn"], src_lang="fra_Latn")
    one("seamless-deu", "marked.json", "seamless_m4t", src_lang="deu", additional_special_tokens=["__deu__"])
    one("albert-cased", "unigram.json", "albert", do_lower_case=False, keep_accents=True, add_prefix_space=False)
    one("xlnet-case", "unigram.json", "xlnet", do_lower_case=True, unk_id=3)
    one("deberta-v2-punct", "unigram.json", "deberta-v2", split_by_punct=True, do_lower_case=True, unk_id=3)
    one("xlmr-bare", "unigram.json", "xlm-roberta", add_prefix_space=False, bos_token="[CLS]", eos_token="[SEP]")
    one("splinter-left", "words.json", "splinter", padding_side="left")
    one("whisper-de", "bytes.json", "whisper", language="german", task="transcribe", unk_token="<unk>",
        additional_special_tokens=["<|startoftranscript|>", "<|en|>", "<|zh|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|notimestamps|>"])
    # Which class.
    for model_type in ("bert", "gpt2", "phi3", "mistral", "llama", "nomic_bert", "modernbert", "qwen2", "qwen3", "nosuch", "xlm-roberta-xl", "nllb", "mt5"):
        file = {"bert": "words.json", "nomic_bert": "words.json", "mt5": "unigram.json"}.get(model_type, "bytes.json")
        one("type-" + model_type, file, model_type)
    one("byte-llama", "bytes.json", "idefics2", tokenizer_class="LlamaTokenizerFast")
    one("byte-llama-config", "bytes.json", "idefics2", {"tokenizer_class": "LlamaTokenizer"})
    one("disagree", "bytes.json", "bert", tokenizer_class="GPT2Tokenizer")
    one("disagree-unknown", "words.json", "bert", tokenizer_class="RetriBertTokenizer")
    one("disagree-general", "words.json", "bert", tokenizer_class="PreTrainedTokenizerFast")
    one("disagree-wrong", "bytes.json", "qwen2", tokenizer_class="LlamaTokenizer")
    one("disagree-wrong-type", "marked.json", "phi3", tokenizer_class="LlamaTokenizer")
    one("registered-general", "bytes.json", "granite", tokenizer_class="GPT2Tokenizer")
    one("config-class", "words.json", "nosuch", {"tokenizer_class": "BertTokenizerFast"})
    one("encoder-decoder", "words.json", "encoder-decoder", {"encoder": {"model_type": "bert"}, "decoder": {"model_type": "bert", "is_decoder": True}})
    one("no-config", "words.json", tokenizer_class="BertTokenizerFast")
    one("nothing", "marked.json")
    one("auto-map", "bytes.json", "gpt2", auto_map={"AutoTokenizer": ["code.Slow", None]})
    one("auto-map-wrong", "bytes.json", "qwen2", auto_map={"AutoTokenizer": ["code.Slow", None]}, tokenizer_class="CodeTokenizer")
    return found


# Files of before transformers 4.33, beside the shared one.
LEGACY = [
    ("legacy-map", "marked.json", {}, {"special_tokens_map.json": {"bos_token": token("<s>"), "pad_token": "<pad>", "additional_special_tokens": ["<x>"]}}),
    ("legacy-added", "words.json", {"tokenizer_class": "BertTokenizer"}, {"added_tokens.json": {"<new>": 600, "[CLS]": 2}, "special_tokens_map.json": {"sep_token": "<sep>"}}),
    ("legacy-not", "words.json", {"added_tokens_decoder": {"3": token("[SEP]")}}, {"special_tokens_map.json": {"sep_token": "<sep>"}, "added_tokens.json": {"<new>": 600}}),
]


def record(name, file, tokenizer_config, config, more):
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.join(OUT, file), os.path.join(folder, "tokenizer.json"))
        own = {"tokenizer_config.json": tokenizer_config, "config.json": config} | more
        for target, value in own.items():
            if value is not None:
                with open(os.path.join(folder, target), "w") as f:
                    json.dump(value, f)
        entry = {"name": name, "files": {"tokenizer.json": file} | more, "tokenizer_config": tokenizer_config, "config": config}
        try:
            tok = AutoTokenizer.from_pretrained(folder, mistral_format=False)
        except Exception as error:
            print(name, "refused:", type(error).__name__, str(error)[:160])
            return entry | {"refused": str(error)[:160].replace(folder, "FOLDER")}
        print(name, type(tok).__name__, len(tok))
        entry |= {"class": type(tok).__name__, "special_tokens": {key: str(value) for key, value in tok._special_tokens_map.items() if value is not None},
                  "extra": tok.extra_special_tokens, "padding_side": tok.padding_side, "len": len(tok), "cases": []}
        for index, text in enumerate(TEXTS):
            try:
                out = tok(text, return_offsets_mapping=index % 3 == 2)
            except Exception:
                # A word that the model has no token for.
                entry["cases"].append({"text": index, "error": True})
                continue
            case = {"text": index, "ids": out["input_ids"]}
            if index % 3 == 2:
                offsets, end = [], 0
                for start, stop in out["offset_mapping"]:
                    offsets += [start - end, stop - start]
                    end = stop
                case["offsets"] = offsets
            if index % 3 != 1:
                case["decoded"] = tok.decode(out["input_ids"])
                if (skipped := tok.decode(out["input_ids"], skip_special_tokens=True)) != case["decoded"]:
                    case["skipped"] = skipped
            entry["cases"].append(case)
        for first, second in PAIRS:
            try:
                out = tok(TEXTS[first], TEXTS[second], return_token_type_ids=True)
            except Exception:
                continue
            entry["cases"].append({"text": first, "pair": second, "ids": out["input_ids"], "types": out["token_type_ids"]})
        return entry


def main():
    os.makedirs(OUT, exist_ok=True)
    files()
    entries = [record(*case, {}) for case in cases()]
    entries += [record(name, file, config, None, more) for name, file, config, more in LEGACY]
    with open(os.path.join(OUT, "classes.json"), "w") as f:
        f.write('{"texts":' + json.dumps(TEXTS) + ',\n"folders":[\n')
        f.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "]}\n")


if __name__ == "__main__":
    main()
