#!/usr/bin/env python3
"""Measure a decoder's folder with llama.cpp, by its own llama-bench.

    llama_cpp.py build DIR
    llama_cpp.py bench MODEL --build DIR [--type BF16|F32|Q8_0|Q4_0|Q4_K_M] [-p 512] [-n 16] [-d 0] [-r 3] [-t THREADS]

`build` downloads the source of the llama-cpp-python package and builds the llama.cpp in it for this processor.
`bench` writes the folder's tensors as GGUF beside them, once for each type (`model-Q4_0.gguf`), and runs llama-bench
with flash attention on pinned, polling threads. Only the speed means something: queries and keys are not permuted as
llama.cpp wants them, and there is no vocabulary. Prints the JSON fields of `hfcore bench --json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from samples import Json, config_of

PACKAGE = "llama-cpp-python"
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OTHER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def build(to: Path) -> None:
    """llama-bench and llama-quantize for this processor, in `to`/bin."""
    to.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "scikit-build-core"], check=True)
    download = [*pip, "download", "--no-deps", "--no-build-isolation", "--no-binary", PACKAGE, "-d", to, PACKAGE]
    subprocess.run(download, check=True)
    archive = max(to.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    source = to / archive.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"
    options = ["GGML_NATIVE=ON", "LLAMA_CURL=OFF", "BUILD_SHARED_LIBS=OFF", "CMAKE_BUILD_TYPE=Release"]
    options += [f"LLAMA_BUILD_{part}=OFF" for part in ("TESTS", "EXAMPLES", "SERVER")]
    defines = [f"-D{option}" for option in options]
    subprocess.run(["cmake", "-G", "Ninja", "-S", source, "-B", to, *defines], check=True)
    subprocess.run(["ninja", "-C", to, "llama-bench", "llama-quantize"], check=True)


def name_of(tensor: str) -> str:
    module = tensor.removesuffix(".weight")
    if layer := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module):
        return f"blk.{layer[1]}.{LAYER[layer[2]]}.weight"
    return f"{OTHER[module]}.weight"


def convert(model: Path, to: Path) -> None:
    """The folder as GGUF, in the type that it is stored in; norms in f32."""
    import gguf

    config = config_of(str(model))
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(to, config["model_type"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(config["rope_theta"]))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    types = {"BF16": gguf.GGMLQuantizationType.BF16, "F16": gguf.GGMLQuantizationType.F16}
    with (model / "model.safetensors").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: Json = json.loads(file.read(size))
        header.pop("__metadata__", None)
        data = np.memmap(file, mode="r", offset=8 + size)
    for tensor, entry in header.items():
        start, end = entry["data_offsets"]
        name, bytes_, shape = name_of(tensor), data[start:end], entry["shape"]
        if len(shape) == 1 and entry["dtype"] == "BF16":
            wide = bytes_.view(np.uint16).astype(np.uint32) << 16
            writer.add_tensor(name, wide.view(np.float32))
        elif entry["dtype"] == "F32" or len(shape) == 1:
            number = np.float32 if entry["dtype"] == "F32" else np.float16
            writer.add_tensor(name, bytes_.view(number).astype(np.float32).reshape(shape))
        else:
            writer.add_tensor(name, bytes_.reshape(shape[0], -1), raw_dtype=types[entry["dtype"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_of(model: Path, kind: str, build: Path) -> Path:
    stored = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}[config_of(str(model))["torch_dtype"]]
    source, to = model / f"model-{stored}.gguf", model / f"model-{kind}.gguf"
    if not source.exists():
        convert(model, source)
    if not to.exists():
        quantize = [build / "bin" / "llama-quantize", source, to, kind]
        subprocess.run(quantize, check=True, stdout=sys.stderr)
    return to


def bench(args: argparse.Namespace) -> Json:
    path = gguf_of(args.model, args.type, args.build)
    command = [args.build / "bin" / "llama-bench", "-m", path, "-p", args.n_prompt, "-n", args.n_gen]
    command += ["-d", args.depth, "-r", args.repetitions, "-t", args.threads, "-o", "json", "-fa", "1"]
    command += ["--cpu-strict", "1", "-C", hex((1 << args.threads) - 1), "--poll", "100"]
    run = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    rows = json.loads(run.stdout)
    result: Json = {"model": str(args.model), "dtype": args.type, "threads": args.threads}
    for row in rows:
        result["version"] = f"{row['build_number']} ({row['build_commit']})"
        result["pp" if row["n_prompt"] else "tg"] = {"per_s": row["samples_ts"]}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("to", type=Path)
    measure = commands.add_parser("bench")
    measure.add_argument("model", type=Path)
    measure.add_argument("--build", type=Path, required=True)
    measure.add_argument("--type", default="BF16")
    measure.add_argument("-p", "--n-prompt", type=int, default=512)
    measure.add_argument("-n", "--n-gen", type=int, default=16)
    measure.add_argument("-d", "--depth", type=int, default=0)
    measure.add_argument("-r", "--repetitions", type=int, default=3)
    measure.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.command == "build":
        build(args.to)
    else:
        print(json.dumps(bench(args), indent=2))


if __name__ == "__main__":
    main()
