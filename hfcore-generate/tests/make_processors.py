"""Writes processors.json: what transformers' own processor chains make of seeded scores.

Run with transformers 5.23 and torch: `python make_processors.py`. The chains are built by
`GenerationMixin._get_logits_processor`, so that their order is transformers' too.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
generator = torch.Generator().manual_seed(5)


def normal(n, scale):
    return torch.randn(n, generator=generator) * scale


scores = {"normal": normal(32, 3.0), "flat": normal(32, 0.2), "wide": normal(150, 2.0), "peaked": normal(32, 12.0)}
scores["ties"] = (normal(32, 1.5)).round()
scores["equal"] = torch.full((32,), 0.5)
removed = normal(32, 2.0)
removed[torch.randperm(32, generator=generator)[:20]] = -math.inf
scores["removed"] = removed
one = torch.full((32,), -math.inf)
one[11] = -4.0
scores["one"] = one
broken = normal(32, 2.0)
broken[3], broken[9], broken[17] = math.nan, math.inf, -math.inf
scores["broken"] = broken
scores["huge"] = normal(32, 1e30)

# A text in which 1-, 2- and 3-grams repeat; its last tokens have occurred before.
TOKENS = [5, 7, 9, 5, 7, 11, 2, 30, 5, 7]
ENCODER = [7, 9, 13, 5, 7, 21, 31, 31]


def sample(**fields):
    return {"do_sample": True, "top_k": 0, **fields}


CASES = []


def case(config, over=("normal",), tokens=TOKENS, prompt_len=4, max_length=40):
    for name in over:
        CASES.append((config, name, tokens, prompt_len, max_length))


ALL = ("normal", "flat", "wide", "peaked", "ties", "equal", "removed", "one")
PLAIN = ("normal", "ties", "removed")
for value in (0.1, 0.7, 5.0):
    case(sample(temperature=value), PLAIN)
for value in (1, 5, 32, 50):
    case(sample(top_k=value), ALL)
for value in (0.0, 0.5, 0.9, 0.999):
    case(sample(top_p=value), ALL)
for value in (0.0, 0.02, 0.3, 1.0):
    case(sample(min_p=value), ALL)
for value in (0.05, 0.3, 0.9, 0.99):
    case(sample(typical_p=value), ALL)
for value in (0.0005, 0.02, 0.9):
    case(sample(epsilon_cutoff=value), ALL)
    case(sample(eta_cutoff=value), ALL)
# Not 1: there the last tokens stay or go with the rounding of a sum.
for value in (0.1, 0.4, 0.8, 0.97):
    case(sample(top_h=value), ALL)
# More than one token to keep: beams.
beams = {"num_beams": 3, "eos_token_id": [2, 30]}
for fields in (
    {"top_k": 1}, {"top_p": 0.01}, {"min_p": 1.0}, {"typical_p": 0.05}, {"epsilon_cutoff": 0.9}, {"eta_cutoff": 0.9},
):
    case(sample(**beams, **fields), ALL)
case(sample(num_beams=2, top_p=0.01), ALL)
for value in (1.3, 0.5, 10.0):
    case({"repetition_penalty": value}, PLAIN)
    case({"encoder_repetition_penalty": value}, ("normal", "removed"))
for value in (1, 2, 3, 4, 20):
    case({"no_repeat_ngram_size": value}, PLAIN)
    case({"encoder_no_repeat_ngram_size": value}, PLAIN)
case({"no_repeat_ngram_size": 3}, PLAIN, tokens=[5])
case({"encoder_no_repeat_ngram_size": 3}, PLAIN, tokens=[5])
case({"bad_words_ids": [[9], [7, 11], [5, 7, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2]], "eos_token_id": 2}, PLAIN)
case({"bad_words_ids": [[2]], "eos_token_id": [2, 3]}, PLAIN)
case(
    {"sequence_bias": [[[9], 2.5], [[7, 9], -1.25], [[5, 7, 9], 0.5], [[9, 9], 100.0], [[4], -3.0], [[5, 7, 4], 1e9]]},
    PLAIN,
)
for tokens in (TOKENS, TOKENS[:5]):
    case({"min_length": 8, "eos_token_id": [2, 30]}, PLAIN, tokens=tokens)
    case({"min_new_tokens": 4, "eos_token_id": [2, 30]}, PLAIN, tokens=tokens)
case({"min_length": 80}, PLAIN)
for tokens in ([5], TOKENS):
    case({"forced_bos_token_id": 12}, PLAIN, tokens=tokens)
    case({"forced_bos_token_id": 12, "begin_suppress_tokens": [1, 2]}, PLAIN, tokens=tokens, prompt_len=1)
case({"forced_bos_token_id": 12, "begin_suppress_tokens": [1, 2]}, PLAIN, tokens=[5, 6], prompt_len=1)
for length in (11, 12):
    case({"forced_eos_token_id": 2}, PLAIN, max_length=length)
    case({"forced_eos_token_id": [2, 30]}, PLAIN, max_length=length)
case({"remove_invalid_values": True}, ("broken", "normal", "removed", "huge"))
for start, factor in ((0, 1.1), (2, 1.5), (6, 2.0), (5, 0.5)):
    case({"exponential_decay_length_penalty": [start, factor], "eos_token_id": [2, 30]}, (*PLAIN, "one"))
case({"suppress_tokens": [0, 3, 31, 99]}, PLAIN)
case({"begin_suppress_tokens": [0, 3, 31, 99]}, PLAIN, tokens=TOKENS[:4])
case({"begin_suppress_tokens": [0, 3, 31, 99]}, PLAIN)
case({"renormalize_logits": True}, ("normal", "flat", "wide", "peaked", "removed", "one"))
# Chains: the order shows.
case(sample(repetition_penalty=1.3, temperature=0.7, top_k=10, top_p=0.9), ALL)
case(sample(repetition_penalty=1.3, temperature=0.7, top_k=40, top_p=0.9), ("wide",))
case(sample(temperature=0.6, top_k=20, top_p=0.95, min_p=0.05, renormalize_logits=True), ALL)
case(sample(temperature=1.7, top_h=0.6, top_k=12, top_p=0.8, min_p=0.02, typical_p=0.9), ALL)
case(sample(temperature=2.0, typical_p=0.95, epsilon_cutoff=0.01, eta_cutoff=0.02, renormalize_logits=True), ALL)
case(
    sample(
        sequence_bias=[[[9], 2.5], [[7, 9], -1.25]], encoder_repetition_penalty=1.2, repetition_penalty=1.1,
        no_repeat_ngram_size=2, encoder_no_repeat_ngram_size=3, bad_words_ids=[[1], [7, 4]], min_length=12,
        min_new_tokens=9, eos_token_id=[2, 30], exponential_decay_length_penalty=[1, 1.2], suppress_tokens=[14, 15],
        begin_suppress_tokens=[16], temperature=0.8, top_k=15, top_p=0.9, min_p=0.01, renormalize_logits=True,
    ),
    ALL,
)
case({"repetition_penalty": 1.5, "temperature": 0.1, "top_k": 1, "top_p": 0.1, "min_p": 0.5}, PLAIN)
case({"do_sample": True}, ("wide",))  # the default top_k of 50
case(sample(remove_invalid_values=True, top_k=5), ("broken",))
case(sample(forced_eos_token_id=2, min_new_tokens=20, eos_token_id=2, temperature=0.5), PLAIN, max_length=11)


def model(vocab_size):
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig()
    return model


def plain(row):
    """f32 in the fewest digits that read back the same; what JSON cannot say as text."""
    return [str(x) if not np.isfinite(x) else float(str(x)) for x in row.numpy()]


out = []
for config, name, tokens, prompt_len, max_length in CASES:
    row = scores[name]
    lm = model(len(row))
    resolved, _ = lm._prepare_generation_config(GenerationConfig(**config))
    lm._prepare_special_tokens(resolved, True, device="cpu", batch_size=1)
    resolved.max_length = max_length
    chain = lm._get_logits_processor(
        resolved,
        input_ids_seq_length=prompt_len,
        encoder_input_ids=torch.tensor([ENCODER]),
        device="cpu",
        model_kwargs={},
    )
    result = chain(torch.tensor([tokens]), row[None].clone())[0]
    out.append(
        {
            "config": config, "scores": name, "tokens": tokens, "prompt_len": prompt_len, "max_length": max_length,
            "expected": plain(result),
        }
    )

data = {
    "transformers": transformers.__version__, "torch": torch.__version__, "encoder_tokens": ENCODER,
    "scores": {name: plain(row) for name, row in scores.items()}, "cases": out,
}
lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in out)
data["cases"] = "CASES"
text = json.dumps(data, separators=(",", ":")).replace('"CASES"', "[\n" + lines + "\n]")
path = Path(__file__).with_name("processors.json")
path.write_text(text + "\n")
print(f"{len(out)} cases, {path.stat().st_size} bytes")
