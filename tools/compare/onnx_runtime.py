#!/usr/bin/env python3
"""Measure a text encoder with ONNX Runtime, by the definitions of `hfcore bench`.

    onnx_runtime.py MODEL [-p 128] [-b 32] [-r 3] [-t THREADS] [--dtype float32|int8]

The folder is exported by PyTorch once, beside the model's weights (`model.onnx`); int8 is ONNX Runtime's dynamic
quantization of that (`model.int8.onnx`). All graph optimisations, spinning threads. Prints the JSON fields of
`hfcore bench --json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import onnxruntime
from samples import config_of, per_second


def exported(model: Path) -> Path:
    """The encoder as an ONNX file with free batch and length."""
    path = model / "model.onnx"
    if path.exists():
        return path
    import torch
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        """Ids in, hidden states out: no mask, as no sequence is padded."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids).last_hidden_state

    encoder = Encoder(AutoModel.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval())
    batch, length = torch.export.Dim("batch", min=1, max=1024), torch.export.Dim("length", min=2, max=512)
    torch.onnx.export(
        encoder,
        (torch.ones(2, 16, dtype=torch.int64),),
        str(path),
        input_names=["input_ids"],
        output_names=["last_hidden_state"],
        dynamic_shapes={"input_ids": {0: batch, 1: length}},
        dynamo=True,
    )
    return path


def quantized(path: Path) -> Path:
    to = path.with_suffix(".int8.onnx")
    if not to.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(str(path), str(to), weight_type=QuantType.QInt8)
    return to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-p", "--n-prompt", type=int, default=128)
    parser.add_argument("-b", "--batch", type=int, default=32)
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", choices=["float32", "int8"], default="float32")
    args = parser.parse_args()

    # The exporter talks, and standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        path = exported(args.model)
        if args.dtype == "int8":
            path = quantized(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    vocabulary = config_of(str(args.model))["vocab_size"]
    ids = np.random.default_rng(0).integers(vocabulary, size=(args.batch, args.n_prompt), dtype=np.int64)
    result = {
        "model": str(args.model),
        "version": onnxruntime.__version__,
        "threads": args.threads,
        "dtype": args.dtype,
        "encode": per_second(args.batch, args.repetitions, lambda _: session.run(None, {"input_ids": ids})),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
