"""Writes tests/data/rope.json: inv_freq and attention factors of transformers for every kind of rotary embedding.

    python tests/make_rope.py        (transformers 5.23, torch on the CPU)

Each case is a config.json, the head width, and one entry per sequence length; float32 values are written as the
shortest decimal that reads back to the same bits.
"""

import json
import os
import warnings

import numpy as np
import torch
import transformers
from transformers import Gemma3TextConfig, GPTNeoXConfig, LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def default(config, layer_type=None, partial=False):
    """`compute_default_rope_parameters` of GLM (partial) and Llama (whole head)."""
    parameters = config.rope_parameters if layer_type is None else config.rope_parameters[layer_type]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dim = int(head_dim * parameters.get("partial_rotary_factor", 1.0)) if partial else head_dim
    return 1.0 / (parameters["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float) / dim)), 1.0


def numbers(tensor):
    return [float(np.format_float_scientific(x, unique=True, trim="-")) for x in tensor.float().numpy()]


def entry(config, seq_len, layer_type=None, partial=False):
    parameters = config.rope_parameters if layer_type is None else config.rope_parameters[layer_type]
    kind = parameters["rope_type"]
    if kind == "default":
        inv_freq, scaling = default(config, layer_type, partial)
    else:
        # As at run time: within the model's length the frequencies of construction, beyond it a tensor.
        growing = kind == "longrope" or (kind == "dynamic" and seq_len > config.max_position_embeddings)
        length = torch.tensor(seq_len) if growing else None
        inv_freq, scaling = ROPE_INIT_FUNCTIONS[kind](config, None, seq_len=length, layer_type=layer_type)
    return {"seq_len": seq_len, "inv_freq": numbers(inv_freq), "attention_scaling": float(scaling)}


def llama(lengths=(1,), partial=False, **keys):
    keys = {"hidden_size": 512, "num_attention_heads": 4, "max_position_embeddings": 4096, **keys}
    config = LlamaConfig(num_hidden_layers=1, vocab_size=16, **json.loads(json.dumps(keys)))
    head_dim = config.head_dim
    return {
        "family": "partial" if partial else "whole",
        "config": keys,
        "head_dim": head_dim,
        "entries": [entry(config, n, partial=partial) for n in lengths],
    }


def ramp(n, low, high):
    return [round(low + (high - low) * i / max(n - 1, 1), 4) for i in range(n)]


cases = [
    # default
    llama(),
    llama(rope_theta=500000.0, head_dim=80),
    llama(rope_theta=1e6, head_dim=256),
    llama(rope_theta=10000, head_dim=6),
    llama(rope_parameters={"rope_theta": 1e7, "rope_type": "default"}, head_dim=64),
    llama(partial=True, rope_theta=10000.0, partial_rotary_factor=0.5, head_dim=128),
    llama(partial=True, rope_theta=10000.0, partial_rotary_factor=0.4, head_dim=80),
    llama(partial=True, rope_parameters={"rope_theta": 5e6, "partial_rotary_factor": 0.25, "rope_type": "default"}, head_dim=96),
    # linear
    llama(rope_scaling={"type": "linear", "factor": 2.0}),
    llama(rope_scaling={"rope_type": "linear", "factor": 8}, rope_theta=100000.0, head_dim=256),
    llama(partial=True, rope_parameters={"rope_type": "linear", "factor": 3.3, "rope_theta": 12345.6, "partial_rotary_factor": 0.75}, head_dim=64),
    # dynamic
    llama(lengths=(1, 4095, 4096, 4097, 5000, 8192, 100000), rope_scaling={"type": "dynamic", "factor": 2.0}),
    llama(lengths=(100, 2049, 30000), rope_scaling={"rope_type": "dynamic", "factor": 3.7}, rope_theta=250000.0, head_dim=64, max_position_embeddings=2048),
    llama(lengths=(9000,), partial=True, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4, "partial_rotary_factor": 0.5}, head_dim=64),
    # yarn
    llama(rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, rope_theta=1e6, max_position_embeddings=131072),
    llama(rope_scaling={"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}, head_dim=64, max_position_embeddings=163840),
    llama(rope_scaling={"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 0.5}, head_dim=64, max_position_embeddings=163840),
    llama(rope_scaling={"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 0}, head_dim=64, max_position_embeddings=163840),
    llama(rope_scaling={"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}, rope_theta=150000, head_dim=64, max_position_embeddings=131072),
    llama(rope_scaling={"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 1024}, head_dim=64),
    llama(rope_scaling={"rope_type": "yarn", "factor": 2.5, "attention_factor": 0.9, "beta_fast": 64, "beta_slow": 4}, head_dim=48),
    llama(rope_scaling={"rope_type": "yarn", "factor": 0.5, "beta_fast": 0, "beta_slow": 0}, head_dim=48),
    llama(rope_scaling={"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 2}, head_dim=8),
    # Equal bounds: the guard against a division by zero.
    llama(rope_scaling={"rope_type": "yarn", "factor": 4.0, "beta_fast": 8, "beta_slow": 8, "truncate": False}, head_dim=48),
    llama(partial=True, rope_parameters={"rope_type": "yarn", "factor": 8.0, "rope_theta": 1e4, "partial_rotary_factor": 0.5}, head_dim=64),
    # The top level's original length wins.
    llama(rope_scaling={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512}, original_max_position_embeddings=1024, head_dim=64),
    # longrope
    llama(
        lengths=(1, 1024, 1025, 4096),
        rope_scaling={"rope_type": "longrope", "short_factor": ramp(32, 1, 2), "long_factor": ramp(32, 1.05, 40)},
        original_max_position_embeddings=1024,
        head_dim=64,
    ),
    llama(
        lengths=(10, 5000),
        rope_scaling={"rope_type": "longrope", "short_factor": ramp(24, 1, 1), "long_factor": ramp(24, 1, 8.5), "factor": 32.0, "original_max_position_embeddings": 4096},
        head_dim=48,
    ),
    llama(
        lengths=(10, 5000),
        rope_scaling={"rope_type": "longrope", "short_factor": ramp(12, 1, 3), "long_factor": ramp(12, 2, 9), "attention_factor": 1.25},
        head_dim=24,
    ),
    # llama3
    llama(rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, rope_theta=500000.0, max_position_embeddings=131072),
    llama(rope_scaling={"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, rope_theta=500000.0, max_position_embeddings=131072, head_dim=64),
    llama(rope_parameters={"rope_type": "llama3", "factor": 5, "low_freq_factor": 0.7, "high_freq_factor": 9.3, "rope_theta": 10000}, head_dim=256),
    # proportional
    llama(partial=True, rope_parameters={"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25}, head_dim=512),
    llama(partial=True, rope_parameters={"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.3, "factor": 8.0}, head_dim=100),
    llama(partial=True, rope_parameters={"rope_type": "proportional", "rope_theta": 1e6}, head_dim=64),
    # A truthy old object wins over the new one; an empty one does not.
    llama(rope_scaling={"type": "linear", "factor": 2.0}, rope_parameters={"rope_type": "linear", "factor": 5.0, "rope_theta": 77.0}, head_dim=16),
    llama(rope_scaling={}, rope_parameters={"rope_type": "linear", "factor": 5.0, "rope_theta": 77.0}, head_dim=16),
    # Theta within the object wins over the top level.
    llama(rope_scaling={"type": "linear", "factor": 2.0, "rope_theta": 5000.0}, rope_theta=99.0, head_dim=16),
]

# gpt_neox: its own names at the top level.
for keys in ({"rotary_emb_base": 10000, "rotary_pct": 0.25}, {"rotary_emb_base": 25000, "rotary_pct": 1.0}, {}, {"rope_scaling": {"type": "linear", "factor": 4.0}}):
    config = GPTNeoXConfig(hidden_size=512, num_attention_heads=8, num_hidden_layers=1, **json.loads(json.dumps(keys)))
    cases.append({"family": "gpt_neox", "config": {"max_position_embeddings": 2048, **keys}, "head_dim": 64, "entries": [entry(config, 1, partial=True)]})

# phi3: `su` and `yarn` for longrope; the top level's original length wins.
for kind in ("su", "yarn", "longrope"):
    keys = {"max_position_embeddings": 8192, "original_max_position_embeddings": 512, "rope_scaling": {"type": kind, "original_max_position_embeddings": 600, "short_factor": ramp(16, 1, 2), "long_factor": ramp(16, 1, 20)}}
    config = Phi3Config(hidden_size=128, num_attention_heads=4, num_hidden_layers=1, pad_token_id=0, **json.loads(json.dumps(keys)))
    cases.append({"family": "phi3", "config": keys, "head_dim": 32, "entries": [entry(config, n, partial=True) for n in (512, 513)]})

# gemma3: one rotary embedding per layer type; both spellings. YaRN's `truncate` is looked up beside the layer types.
for keys in (
    {},
    {"rope_theta": 1000000.0, "rope_local_base_freq": 12000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 3e5}, "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}}},
    {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4.0, "truncate": False}, "sliding_attention": None}},
    {"rope_parameters": {"truncate": False, "full_attention": {"rope_type": "yarn", "factor": 4.0}, "sliding_attention": None}},
):
    keys = {"max_position_embeddings": 4096, **keys}
    for layer_type in ("full_attention", "sliding_attention"):
        config = Gemma3TextConfig(hidden_size=128, num_attention_heads=4, head_dim=48, num_hidden_layers=6, **json.loads(json.dumps(keys)))
        cases.append({"family": "gemma3", "layer_type": layer_type, "config": keys, "head_dim": 48, "entries": [entry(config, 1, layer_type)]})

path = os.path.join(os.path.dirname(__file__), "data", "rope.json")
with open(path, "w") as file:
    file.write('{"transformers": "%s", "cases": [\n' % transformers.__version__)
    file.write(",\n".join(json.dumps(case) for case in cases))
    file.write("\n]}\n")
print(len(cases), "cases,", os.path.getsize(path), "bytes")
