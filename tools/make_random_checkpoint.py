#!/usr/bin/env python3
"""Write a folder of random weights at the shape of a published model, to measure speed with.

    make_random_checkpoint.py SHAPE OUT [--dtype bf16|f16|f32] [--layers N] [--seed N]

SHAPE is one of `SHAPES` below. The folder has config.json, as the Hub has it, and model.safetensors under the
published tensor names; no tokenizer. Matrices are N(0, 1/fan_in), embeddings N(0, 0.01), gains U(0.5, 1.5), so
that activations stay in a sane range. Needs numpy alone; tensors are drawn and written one by one.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Json = dict[str, Any]

COMMON: Json = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "use_cache": True,
}
SHAPES: dict[str, Json] = {
    "Llama-3.2-1B": COMMON
    | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "head_dim": 64,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "vocab_size": 128256,
    },
    "Qwen3-0.6B": COMMON
    | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "head_dim": 128,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 40960,
        "max_window_layers": 28,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    "SmolLM2-135M": COMMON
    | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "max_position_embeddings": 8192,
        "num_attention_heads": 9,
        "num_hidden_layers": 30,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 100000,
        "vocab_size": 49152,
    },
    "BERT-base": {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    },
    "ViT-base": {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 768,
        "image_size": 224,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "num_hidden_layers": 12,
        "patch_size": 16,
        "qkv_bias": True,
    },
}
# --dtype: the name in config.json, the name in safetensors, bytes.
DTYPES = {"bf16": ("bfloat16", "BF16", 2), "f16": ("float16", "F16", 2), "f32": ("float32", "F32", 4)}


def shapes(config: Json) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor, in the order of the file."""
    kinds = {"bert": bert_shapes, "vit": vit_shapes}
    yield from kinds.get(config["model_type"], decoder_shapes)(config)


def bert_shapes(config: Json) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden = config["hidden_size"]
    embeddings = "bert.embeddings"
    yield f"{embeddings}.word_embeddings.weight", (config["vocab_size"], hidden)
    yield f"{embeddings}.position_embeddings.weight", (config["max_position_embeddings"], hidden)
    yield f"{embeddings}.token_type_embeddings.weight", (config["type_vocab_size"], hidden)
    yield from affine(f"{embeddings}.LayerNorm", (hidden,))
    for index in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{index}"
        for name in ("query", "key", "value"):
            yield from affine(f"{layer}.attention.self.{name}", (hidden, hidden))
        yield from affine(f"{layer}.attention.output.dense", (hidden, hidden))
        yield from affine(f"{layer}.attention.output.LayerNorm", (hidden,))
        yield from affine(f"{layer}.intermediate.dense", (config["intermediate_size"], hidden))
        yield from affine(f"{layer}.output.dense", (hidden, config["intermediate_size"]))
        yield from affine(f"{layer}.output.LayerNorm", (hidden,))
    yield from affine("bert.pooler.dense", (hidden, hidden))


def vit_shapes(config: Json) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, patch, channels = config["hidden_size"], config["patch_size"], config["num_channels"]
    patches = (config["image_size"] // patch) ** 2
    yield "vit.embeddings.cls_token", (1, 1, hidden)
    yield "vit.embeddings.position_embeddings", (1, patches + 1, hidden)
    yield from affine("vit.embeddings.patch_embeddings.projection", (hidden, channels, patch, patch))
    for index in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{index}"
        for name in ("query", "key", "value"):
            yield from affine(f"{layer}.attention.attention.{name}", (hidden, hidden))
        yield from affine(f"{layer}.attention.output.dense", (hidden, hidden))
        yield from affine(f"{layer}.intermediate.dense", (config["intermediate_size"], hidden))
        yield from affine(f"{layer}.output.dense", (hidden, config["intermediate_size"]))
        yield from affine(f"{layer}.layernorm_before", (hidden,))
        yield from affine(f"{layer}.layernorm_after", (hidden,))
    yield from affine("vit.layernorm", (hidden,))
    yield from affine("vit.pooler.dense", (hidden, hidden))


def affine(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A weight, and a bias of as many numbers as it has outputs."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def decoder_shapes(config: Json) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Llama and its kin."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    queries = config["num_attention_heads"] * head_dim
    keys = config["num_key_value_heads"] * head_dim
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.q_proj.weight", (queries, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        if config["model_type"] == "qwen3":
            yield f"{layer}.self_attn.q_norm.weight", (head_dim,)
            yield f"{layer}.self_attn.k_norm.weight", (head_dim,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
    yield "model.norm.weight", (hidden,)


def draw(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name.endswith("bias"):
        return random.random(shape, dtype=np.float32) - np.float32(0.5)
    if len(shape) == 1:
        return random.random(shape, dtype=np.float32) + np.float32(0.5)
    is_table = "embed_tokens" in name or "_embeddings.weight" in name or shape[0] == 1
    std = 0.1 if is_table else 1 / math.sqrt(math.prod(shape[1:]))
    values = random.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    return values


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    """The values as they are stored; bf16 rounds to nearest, ties to even."""
    if dtype == "f32":
        return values
    if dtype == "f16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)


def write_checkpoint(config: Json, out: Path, dtype: str, seed: int) -> int:
    """Write the folder; returns the bytes of the weights."""
    torch_dtype, tag, width = DTYPES[dtype]
    out.mkdir(parents=True, exist_ok=True)
    config = {**config, "torch_dtype": torch_dtype}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    header: Json = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes(config):
        end = offset + math.prod(shape) * width
        header[name] = {"dtype": tag, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with (out / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes(config):
            encode(draw(name, shape, random), dtype).tofile(file)
    return offset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--layers", type=int, help="fewer layers than published")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config = dict(SHAPES[arguments.shape])
    if arguments.layers:
        config["num_hidden_layers"] = arguments.layers
    written = write_checkpoint(config, arguments.out, arguments.dtype, arguments.seed)
    print(f"{arguments.out}: {written / 1e6:.0f} MB of {arguments.dtype} weights")


if __name__ == "__main__":
    main()
