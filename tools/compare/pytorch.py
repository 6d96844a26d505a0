#!/usr/bin/env python3
"""Measure a model folder with transformers and PyTorch, by the definitions of `hfcore bench`.

    pytorch.py MODEL [-p 512] [-n 16] [-d 0] [-b 1] [-r 3] [-t THREADS] [--dtype auto|float32|bfloat16|float16]

Of a decoder: pp is one forward pass over `-p` random tokens, logits of the last only; tg is `-n` single tokens one
after the other over transformers' cache; both after `-d` tokens. Of a text encoder, `-b` sequences of `-p` tokens; of
an image encoder, `-b` images. One run of each warms up. Eager, `sdpa`. Prints the JSON fields of `hfcore bench --json`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from samples import Json, config_of, is_decoder, per_second
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache

transformers.utils.logging.disable_progress_bar()


def decoder(model: torch.nn.Module, ids: torch.Tensor, args: argparse.Namespace) -> Json:
    def start() -> DynamicCache:
        cache = DynamicCache(config=model.config)
        if args.depth:
            model(ids[:, : args.depth], past_key_values=cache, logits_to_keep=1)
        return cache

    def prompt(cache: DynamicCache) -> None:
        model(ids[:, : args.n_prompt], past_key_values=cache, logits_to_keep=1)

    def generate(cache: DynamicCache) -> None:
        for i in range(args.n_gen):
            model(ids[:, i : i + 1], past_key_values=cache, logits_to_keep=1)

    return {
        "pp": per_second(args.n_prompt, args.repetitions, prompt, start),
        "tg": per_second(args.n_gen, args.repetitions, generate, start),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-p", "--n-prompt", type=int, default=512)
    parser.add_argument("-n", "--n-gen", type=int, default=16)
    parser.add_argument("-d", "--depth", type=int, default=0)
    parser.add_argument("-b", "--batch", type=int, default=1)
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="auto")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    config = config_of(args.model)
    auto = AutoModelForCausalLM if is_decoder(config) else AutoModel
    start = time.perf_counter()
    model = auto.from_pretrained(args.model, dtype=args.dtype, attn_implementation="sdpa").eval()
    load_ms = (time.perf_counter() - start) * 1e3
    generator = torch.Generator().manual_seed(0)

    with torch.inference_mode():
        if "image_size" in config:
            shape = (args.batch, config.get("num_channels", 3), config["image_size"], config["image_size"])
            pixels = torch.rand(shape, generator=generator).to(model.dtype)
            measured = {"encode": per_second(args.batch, args.repetitions, lambda _: model(pixels))}
        else:
            longest = max(args.n_prompt, args.n_gen, args.depth, 1)
            ids = torch.randint(config["vocab_size"], (args.batch, longest), generator=generator)
            if is_decoder(config):
                measured = decoder(model, ids, args)
            else:
                ids = ids[:, : args.n_prompt]
                measured = {"encode": per_second(args.batch, args.repetitions, lambda _: model(ids))}
    result = {
        "model": args.model,
        "version": torch.__version__,
        "threads": args.threads,
        "dtype": str(model.dtype).removeprefix("torch."),
        "load_ms": [load_ms],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result | measured, indent=2))


if __name__ == "__main__":
    main()
