#!/usr/bin/env python3
"""Measure a model folder with transformers and PyTorch, by the definitions of `hfcore bench`.

    bench_pytorch.py MODEL [-p 512] [-n 16] [-r 3] [-t THREADS] [--dtype auto|float32|bfloat16|float16]

pp is one forward pass over `-p` random tokens, logits of the last only; tg is `-n` single tokens one after the other
over transformers' cache. One run of each warms up. Prints the JSON fields that `hfcore bench --json` prints, so that
the two can be run in turns and compared as ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

transformers.utils.logging.disable_progress_bar()


def samples(tokens: int, repetitions: int, run: Callable[[], None]) -> list[float]:
    """Tokens per second, once for each repetition, after one run that does not count."""
    if tokens == 0:
        return []
    run()
    rates = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        rates.append(tokens / (time.perf_counter() - start))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-p", "--n-prompt", type=int, default=512)
    parser.add_argument("-n", "--n-gen", type=int, default=16)
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="auto")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=args.dtype, attn_implementation="sdpa").eval()
    load_ms = (time.perf_counter() - start) * 1e3
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (1, max(args.n_prompt, args.n_gen, 1)), generator=generator)

    def prompt() -> None:
        model(ids[:, : args.n_prompt], past_key_values=DynamicCache(config=model.config), logits_to_keep=1)

    def generate() -> None:
        cache = DynamicCache(config=model.config)
        for i in range(args.n_gen):
            model(ids[:, i : i + 1], past_key_values=cache, logits_to_keep=1)

    with torch.inference_mode():
        result = {
            "model": args.model,
            "torch": torch.__version__,
            "threads": args.threads,
            "dtype": str(model.dtype).removeprefix("torch."),
            "load_ms": [load_ms],
            "pp_tokens_per_s": samples(args.n_prompt, args.repetitions, prompt),
            "tg_tokens_per_s": samples(args.n_gen, args.repetitions, generate),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
