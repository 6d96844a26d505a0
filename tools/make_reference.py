#!/usr/bin/env python3
"""Write tiny random checkpoints with reference outputs computed by transformers.

    make_reference.py OUT [NAME ...]      write OUT/NAME for every golden, or for those named
    make_reference.py OUT 'llama*'        shell patterns select by name
    make_reference.py --list              print every golden and what it is there for

The goldens themselves (which family, which class, which configuration) are the table in
`reference_table.py`; this file draws the weights, runs the model and writes the folder.

A folder is a model as `save_pretrained` writes it (`config.json`, safetensors, where the class
generates `generation_config.json`) and two files:

    reference.json         the class, its configuration keys, and the cases: call, inputs, outputs, kwargs
    reference.safetensors  "<case>/input.<name>" and "<case>/output.<name>"

Cases, as far as they make sense for the class:

    single            one unpadded sequence (or one image, one spectrogram), the class's own outputs
    batch             two sequences of unequal length: padded on the left for decoders, on the right
                      for encoders and for the encoder side of encoder-decoders
    layers            the inputs of `single`, with `output_hidden_states=True`
    many              eight sequences: enough rows for the kernels of prompts. Of 16-bit goldens alone
    greedy            generation from a batch of unequal prompts
    beam              the same prompts, three beams
    greedy_processed  greedy with repetition penalty, no-repeat n-grams and a minimal length

Sequences are what `generate` returns: Whisper's come without the start token and without trailing padding.

Positions in `single`, `batch` and `layers` are those that forward gives when no `position_ids` are passed.

`layers` names its outputs `hidden_states.<i>` as transformers indexes them (encoder-decoders have
`encoder_hidden_states.<i>` and `decoder_hidden_states.<i>`): index 0 is what enters layer 0 (the embeddings
with everything that is added to them or multiplied in), index i is what leaves the i-th layer, counted
from 1. The last index is what leaves the last layer **after the final norm** of the stack, for decoders,
T5 and Whisper; ViT leaves its final norm out, and a stack without one (BERT) has plain layer output there.

Outputs are those of the widened weights in f32. Of a golden with 16-bit weights each case also says, as
`in_dtype`, how far transformers itself is from them when it computes in that type: the largest and the mean
absolute error of every output over real tokens, and how many tokens of generated sequences are the same.

Weights are drawn so that every parameter moves the output: matrices N(0, 1/fan_in), embeddings N(0, 0.25),
norm gains U(0.5, 1.5), biases N(0, 0.01). Where the output head is tied to the token embeddings these are
N(0, 0.01) and what writes to the residual stream is three times larger: otherwise the head would
recognise the input token and greedy search would repeat it for ever (`TIED_EMBEDDING_STD` has the exceptions).

A golden must not depend on rounding. The seed is raised until each greedy step wins by more than
`MARGIN` and every beam search survives noise of that size; and until the generated text is varied.
Afterwards the folder is loaded again from disk, and must give the outputs that were recorded.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import shutil
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from reference_table import GOLDENS, Golden, Kind

PAD, EOS = 0, 2
FIRST_ORDINARY_ID = 3
SINGLE_LENGTH, BATCH_LENGTH, PROMPT_LENGTH = 13, 17, 9
BATCH_PADDING = 6
MANY_ROWS, MANY_LENGTH = 8, 20
# Of the case `many`, which is for matrix products, the outputs that end a model.
JUDGED = ("logits", "last_hidden_state", "encoder_last_hidden_state", "pooler_output")
MARGIN = 1e-3
MAX_SEEDS = 400
MIN_DISTINCT_TOKENS = 4

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 16, "do_sample": False},
    "beam": {
        "max_new_tokens": 12,
        "do_sample": False,
        "num_beams": 3,
        "length_penalty": 0.8,
        "early_stopping": False,
    },
    "greedy_processed": {
        "max_new_tokens": 16,
        "min_new_tokens": 12,
        "do_sample": False,
        "repetition_penalty": 1.6,
        "no_repeat_ngram_size": 2,
    },
}

Tensors = dict[str, Tensor]


class Unsteady(Exception):
    """This seed's outputs would not pin down a correct implementation; try the next one."""


# ---- weights ---------------------------------------------------------------------------------------------


# For families that multiply embeddings (Gemma) or logits (T5) by a factor of their width.
TIED_EMBEDDING_STD = {"gemma": 0.03, "gemma2": 0.03, "gemma3_text": 0.03, "t5": 0.3}
RESIDUAL_WRITERS = (
    "o_proj.weight",
    "out_proj.weight",
    "down_proj",
    "down_proj.weight",
    "fc2.weight",
    "c_proj.weight",
    ".wo.weight",
    ".o.weight",
    "dense_4h_to_h.weight",
    "attention.dense.weight",
)


def is_embedding(name: str) -> bool:
    """Tables that are looked up or added, not multiplied."""
    return name.endswith(("wte.weight", "wpe.weight", "embed_in.weight", "shared.weight", "_token")) or (
        "embed" in name and "projection" not in name
    )


def fan_in(name: str, parameter: Tensor, transposed: bool) -> int:
    """How many inputs each output of this matrix sums over."""
    if parameter.ndim == 3 and "experts" in name:
        return parameter.shape[-2] if transposed else parameter.shape[-1]
    return parameter.shape[0] if transposed else math.prod(parameter.shape[1:])


def draw_weights(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Give every parameter a value that the output depends on; see the module's text."""

    def normal(parameter: Tensor, std: float) -> None:
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    tied = bool(getattr(model.config, "tie_word_embeddings", False)) and model.can_generate()
    embedding_std = TIED_EMBEDDING_STD.get(model.config.model_type, 0.1) if tied else 0.5
    conv1d = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D)}
    input_major_experts = model.config.model_type == "gpt_oss"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                normal(parameter, 0.1)
            elif is_embedding(name):
                position = "position" in name or "wpe" in name
                normal(parameter, 0.5 if position else embedding_std)
            elif name.endswith("sinks"):
                normal(parameter, 1.0)
            elif parameter.ndim >= 2:
                gain = 3.0 if tied and name.endswith(RESIDUAL_WRITERS) else 1.0
                transposed = name in conv1d or input_major_experts
                normal(parameter, gain / math.sqrt(fan_in(name, parameter, transposed)))
            else:
                # Gains that the family adds one to (Gemma) start at zero.
                lowest = 0.5 if parameter.mean() > 0.5 else -0.5
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + lowest)
    model.tie_weights()
    model.eval()


def untie_head(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Give a class that always ties its head one of its own, as checkpoints may (T5 v1.1)."""
    shape = model.lm_head.weight.shape
    model.lm_head.weight = torch.nn.Parameter(torch.randn(shape, generator=generator) / math.sqrt(shape[1]))


def round_weights(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Round the weights to `dtype` but keep them in f32: the reference runs on the widened values."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype).float())


# ---- inputs ----------------------------------------------------------------------------------------------


class Inputs:
    """Draws the inputs of the cases."""

    def __init__(self, golden: Golden, model: PreTrainedModel, generator: torch.Generator) -> None:
        self.golden = golden
        self.config = model.config
        self.generator = generator

    def ids(self, rows: int, length: int) -> Tensor:
        vocab_size = self.config.vocab_size
        return torch.randint(FIRST_ORDINARY_ID, vocab_size, (rows, length), generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def text(self, rows: int, length: int, *, pad_left: int = 0, pad_right: int = 0) -> Tensors:
        """`rows` sequences; the second is shorter by the padding."""
        input_ids = self.ids(rows, length)
        mask = torch.ones_like(input_ids)
        if pad_left:
            mask[1, :pad_left] = 0
        if pad_right:
            mask[1, -pad_right:] = 0
        return {"input_ids": input_ids.masked_fill(mask == 0, PAD), "attention_mask": mask}

    def forward(self, rows: int) -> Tensors:
        length = SINGLE_LENGTH if rows == 1 else BATCH_LENGTH if rows == 2 else MANY_LENGTH
        padding = 0 if rows == 1 else BATCH_PADDING
        match self.golden.kind:
            case Kind.DECODER:
                return self.text(rows, length, pad_left=padding)
            case Kind.ENCODER:
                inputs = self.text(rows, length, pad_right=padding)
                second_segment = (torch.arange(length) > length // 2).long().expand(rows, -1)
                return {**inputs, "token_type_ids": second_segment * inputs["attention_mask"]}
            case Kind.ENCODER_DECODER:
                inputs = self.text(rows, length, pad_right=padding)
                return {**inputs, "decoder_input_ids": self.decoder_ids(rows)}
            case Kind.VISION:
                size = self.config.image_size
                return {"pixel_values": self.normal(rows, self.config.num_channels, size, size)}
            case Kind.AUDIO_TO_TEXT:
                return {**self.spectrogram(rows), "decoder_input_ids": self.decoder_ids(rows)}

    def decoder_ids(self, rows: int) -> Tensor:
        start = torch.full((rows, 1), self.config.decoder_start_token_id)
        return torch.cat([start, self.ids(rows, 6)], dim=1)

    def spectrogram(self, rows: int) -> Tensors:
        # The encoder's convolutions halve the frames.
        frames = 2 * self.config.max_source_positions
        return {"input_features": self.normal(rows, self.config.num_mel_bins, frames)}

    def prompts(self) -> Tensors:
        padding = self.golden.prompt_padding
        match self.golden.kind:
            case Kind.AUDIO_TO_TEXT:
                return self.spectrogram(2)
            case Kind.ENCODER_DECODER:
                return self.text(2, PROMPT_LENGTH, pad_right=padding)
            case _:
                return self.text(2, PROMPT_LENGTH, pad_left=padding)


# ---- cases -----------------------------------------------------------------------------------------------


class Noise(LogitsProcessor):
    """Disturbs scores by up to half of `MARGIN` either way, as another order of summation might."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores + (torch.rand(scores.shape, generator=self.generator) - 0.5) * MARGIN


def fresh(model: PreTrainedModel) -> PreTrainedModel:
    """The model as it was loaded: dynamic RoPE goes on with the longest sequence it has seen in earlier calls."""
    for module in model.modules():
        if hasattr(module, "max_seq_len_cached") and isinstance(getattr(module, "original_inv_freq", None), Tensor):
            module.max_seq_len_cached = module.original_max_seq_len
            module.register_buffer("inv_freq", module.original_inv_freq.clone(), persistent=False)
    return model


def search(model: PreTrainedModel, prompts: Tensors, options: dict[str, Any]) -> Tensor:
    """Generated sequences, if they are beyond doubt and worth checking; else raises `Unsteady`."""
    details = fresh(model).generate(**prompts, **options, return_dict_in_generate=True, output_scores=True)
    steps = len(details.scores)
    for row, generated in enumerate(details.sequences[:, -steps:]):
        stop = (generated == EOS).nonzero()
        length = int(stop[0]) + 1 if len(stop) else steps
        distinct = len(set(generated[:length].tolist()))
        if distinct < MIN_DISTINCT_TOKENS:
            raise Unsteady(f"only {distinct} distinct tokens generated")
        if "num_beams" not in options:
            for scores in details.scores[:length]:
                first, second = scores[row].topk(2).values
                if first - second < MARGIN:
                    raise Unsteady("a greedy step is decided by rounding")
    # Whisper returns other sequences (without the prompt and the end) when details are not asked for.
    sequences = fresh(model).generate(**prompts, **options)
    if "num_beams" in options:
        for seed in range(4):
            noisy = fresh(model).generate(**prompts, **options, logits_processor=[Noise(seed)])
            if not torch.equal(noisy, sequences):
                raise Unsteady("beam search is decided by rounding")
    return sequences


def named_outputs(output: dict[str, Any]) -> Tensors:
    """The tensors among a forward call's outputs, by the name transformers gives them."""
    return {name: value for name, value in output.items() if torch.is_tensor(value)}


def hidden_states(output: dict[str, Any]) -> Tensors:
    """Every stack's hidden states as `<stack>.<index>`."""
    return {
        f"{stack}.{index}": state
        for stack in ("hidden_states", "encoder_hidden_states", "decoder_hidden_states")
        for index, state in enumerate(output.get(stack) or ())
    }


class Cases:
    """What goes into reference.json and reference.safetensors."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.tensors: Tensors = {}

    def record(self, name: str, call: str, inputs: Tensors, outputs: Tensors, **extra: Any) -> None:
        for key, value in outputs.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise ValueError(f"{name}/output.{key} is not finite")
        self.entries.append({"name": name, "call": call, "inputs": list(inputs), "outputs": list(outputs), **extra})
        for side, tensors in (("input", inputs), ("output", outputs)):
            for key, value in tensors.items():
                self.tensors[f"{name}/{side}.{key}"] = value.contiguous().clone()


@torch.no_grad()
def run_cases(golden: Golden, model: PreTrainedModel, generator: torch.Generator) -> Cases:
    draw = Inputs(golden, model, generator)
    cases = Cases()
    single = draw.forward(1)
    cases.record("single", "forward", single, named_outputs(fresh(model)(**single)))
    batch = draw.forward(2)
    cases.record("batch", "forward", batch, named_outputs(fresh(model)(**batch)))
    cases.record("layers", "forward", single, hidden_states(fresh(model)(**single, output_hidden_states=True)))
    if golden.generates:
        prompts = draw.prompts()
        for name, settings in SEARCHES.items():
            options = {**settings, "pad_token_id": PAD, "eos_token_id": EOS}
            sequences = search(model, prompts, options)
            cases.record(name, "generate", prompts, {"sequences": sequences}, kwargs=options)
    if golden.dtype != torch.float32:
        many = draw.forward(MANY_ROWS)
        outputs = named_outputs(fresh(model)(**many))
        cases.record("many", "forward", many, {name: outputs[name] for name in JUDGED if name in outputs})
    return cases


# ---- what transformers makes of it in the type of the weights --------------------------------------------


def real_tokens(case: dict[str, Any], inputs: Tensors, output: Tensor) -> Tensor:
    """Where `output` counts: everywhere, or where the mask over its positions is 1."""
    for name in ("attention_mask", "decoder_attention_mask"):
        mask = inputs.get(name)
        if mask is not None and output.ndim == 3 and tuple(output.shape[:2]) == tuple(mask.shape):
            return mask.bool()
    return torch.ones(output.shape[:1], dtype=torch.bool)


@torch.no_grad()
def add_errors_in_dtype(golden: Golden, folder: Path, cases: Cases) -> None:
    """Run every case in the type of the weights, as `from_pretrained(dtype=...)` gives it to users."""
    model = golden.model_class.from_pretrained(folder, attn_implementation="eager", dtype=golden.dtype).eval()
    for entry in cases.entries:
        name = entry["name"]
        inputs = {key: cases.tensors[f"{name}/input.{key}"] for key in entry["inputs"]}
        given = {key: value.to(golden.dtype) if value.is_floating_point() else value for key, value in inputs.items()}
        expected = {key: cases.tensors[f"{name}/output.{key}"] for key in entry["outputs"]}
        if entry["call"] == "generate":
            found, wanted = fresh(model).generate(**given, **entry["kwargs"]), expected["sequences"]
            width = min(found.shape[1], wanted.shape[1])
            equal = (found[:, :width] == wanted[:, :width]).sum().item()
            entry["in_dtype"] = {"tokens_equal": equal}
            continue
        layers = name == "layers"
        found = fresh(model)(**given, output_hidden_states=layers)
        found = hidden_states(found) if layers else named_outputs(found)
        errors = {}
        for key, reference in expected.items():
            counted = real_tokens(entry, inputs, reference)
            error = (found[key].float() - reference).abs()[counted]
            errors[key] = {"max_abs_error": error.max().item(), "mean_abs_error": error.mean().item()}
        entry["in_dtype"] = {"errors": errors}


# ---- folders ---------------------------------------------------------------------------------------------


def build(golden: Golden, seed: int) -> tuple[PreTrainedModel, Cases]:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = golden.model_class(golden.config(attn_implementation="eager")).float()
    draw_weights(model, generator)
    if golden.untie_head:
        untie_head(model, generator)
    round_weights(model, golden.dtype)
    return model, run_cases(golden, model, generator)


def build_steady(golden: Golden) -> tuple[PreTrainedModel, Cases, int]:
    """The first seed, counted from one that depends on the golden's name, with outputs beyond doubt."""
    first = zlib.crc32(golden.name.encode()) % 1_000_000
    reasons: dict[str, int] = {}
    for seed in range(first, first + MAX_SEEDS):
        try:
            return *build(golden, seed), seed
        except Unsteady as reason:
            reasons[str(reason)] = reasons.get(str(reason), 0) + 1
    raise RuntimeError(f"no steady seed in {MAX_SEEDS}: {reasons}")


def rewrite_files(golden: Golden, folder: Path) -> None:
    """Turn what transformers 5 saves into what the Hub holds, where the golden asks for it."""
    if golden.rewrite_config:
        path = folder / "config.json"
        config = golden.rewrite_config(json.loads(path.read_text()))
        path.write_text(json.dumps(config, indent=2) + "\n")
    if golden.rewrite_keys:
        path = folder / "model.safetensors"
        tensors = golden.rewrite_keys(load_file(path))
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def check_folder(golden: Golden, folder: Path, cases: Cases) -> None:
    """Load the folder from disk and compare its outputs with the recorded ones."""
    model, report = golden.model_class.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    strays = {key: names for key, names in report.items() if names and key != "unexpected_keys"}
    if strays:
        raise RuntimeError(f"transformers loads the folder only in part: {strays}")
    model.eval()
    for name in ("single", "batch"):
        entry = next(entry for entry in cases.entries if entry["name"] == name)
        inputs = {key: cases.tensors[f"{name}/input.{key}"] for key in entry["inputs"]}
        with torch.no_grad():
            outputs = named_outputs(fresh(model)(**inputs))
        for key in entry["outputs"]:
            expected = cases.tensors[f"{name}/output.{key}"]
            error = (outputs[key] - expected).abs().max().item()
            if error > 1e-6 * max(1.0, expected.abs().max().item()):
                raise RuntimeError(f"{name}/{key} differs by {error:.2e} once saved and loaded")


def write_folder(golden: Golden, out: Path) -> str:
    """Write OUT/<name>; returns a line for the log."""
    model, cases, seed = build_steady(golden)
    folder = out / golden.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.to(golden.dtype).save_pretrained(
        folder, max_shard_size=golden.max_shard_size, save_original_format=golden.save_original_format
    )
    rewrite_files(golden, folder)
    if golden.dtype != torch.float32:
        add_errors_in_dtype(golden, folder, cases)
    reference = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.partition("+")[0],
        "note": golden.note,
        "model_type": model.config.model_type,
        "architecture": golden.architecture,
        "seed": seed,
        "config_keys": sorted(golden.config_class().to_dict()),
        "cases": cases.entries,
    }
    (folder / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")
    save_file(cases.tensors, folder / "reference.safetensors", {"format": "pt"})
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
    check_folder(golden, folder, cases)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1000
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"{golden.name:36} {parameters:7} parameters {size:6.0f} kB {len(cases.entries)} cases, seed {seed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, help="the folder to write goldens into")
    parser.add_argument("names", nargs="*", default=["*"], help="goldens to write; shell patterns")
    parser.add_argument("--list", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    if arguments.list or arguments.out is None:
        for golden in GOLDENS:
            print(f"{golden.name:36} {golden.architecture:34} {golden.note}")
        return 0
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    chosen = [g for g in GOLDENS if any(fnmatch.fnmatchcase(g.name, name) for name in arguments.names)]
    failures = 0
    for golden in chosen:
        try:
            print(write_folder(golden, arguments.out), flush=True)
        except Exception as error:  # one broken golden must not hide the others
            failures += 1
            print(f"{golden.name:36} FAILED {type(error).__name__}: {error}", flush=True)
    print(f"{len(chosen) - failures} written, {failures} failed")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
