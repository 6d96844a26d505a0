"""What every measured program has in common: random tokens, timed runs, and one JSON object on standard output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def per_second(
    units: int, repetitions: int, run: Callable[[Any], Any], prepare: Callable[[], Any] = lambda: None
) -> Json:
    """How many of `units` are done in a second, once for each repetition, after a run that does not count.

    What `prepare` does before each run, and hands to it, is not timed.
    """
    samples = []
    for _ in range(repetitions + 1 if units else 0):
        prepared = prepare()
        start = time.perf_counter()
        run(prepared)
        samples.append(units / (time.perf_counter() - start))
    return {"per_s": samples[1:]}


def config_of(model: str) -> Json:
    return json.loads((Path(model) / "config.json").read_text())


def is_decoder(config: Json) -> bool:
    return config["architectures"][0].endswith("ForCausalLM")
