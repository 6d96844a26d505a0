#!/usr/bin/env python3
"""Measure hfcore beside PyTorch, llama.cpp and ONNX Runtime, in turns, and write the table.

    compare.py MODELS [--llama-cpp DIR] [--only TEXT] [--rounds 3] [--json FILE] [--write docs/performance.md]

MODELS is a folder for random weights at published shapes, made where they are missing. Of each row, every contender
runs once a round, one after the other, so that a bad moment of the machine meets all of them; a figure is the median
of all samples, with the best beside it, and a ratio is one of medians. `--write` replaces what stands between
`<!-- compare -->` and `<!-- /compare -->` in a file. Contenders that are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MARK = "<!-- compare -->", "<!-- /compare -->"


@dataclass
class Contender:
    """A program and the type it computes in. `group` tells what it is compared with."""

    name: str
    group: str
    command: list[str]


@dataclass
class Row:
    """One model at one kind of work."""

    shape: str
    dtype: str
    work: list[str]
    contenders: list[Contender]
    samples: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def hfcore(dtype: str | None = None, *more: str) -> list[str]:
    command = ["HFCORE", "bench", "MODEL", "--json"]
    return command + (["--dtype", dtype] if dtype else []) + list(more)


def python(script: str, *more: str) -> list[str]:
    return [sys.executable, str(HERE / script), *more]


def rows(llama_cpp: Path | None) -> list[Row]:
    def llama(kind: str) -> list[str]:
        return python("llama_cpp.py", "bench", "MODEL", "--build", str(llama_cpp), "--type", kind)

    torch = python("pytorch.py", "MODEL")
    onnx = python("onnx_runtime.py", "MODEL")
    table = []
    for shape, generated in [("Llama-3.2-1B", "16"), ("Qwen3-0.6B", "32"), ("SmolLM2-135M", "64")]:
        contenders = [
            Contender("hfcore bf16", "16 bits", hfcore()),
            Contender("PyTorch bf16", "16 bits", torch),
            Contender("llama.cpp BF16", "16 bits", llama("BF16")),
            Contender("hfcore int8", "8 bits", hfcore("int8")),
            Contender("llama.cpp Q8_0", "8 bits", llama("Q8_0")),
            Contender("hfcore int4", "4 bits", hfcore("int4")),
            Contender("llama.cpp Q4_0", "4 bits", llama("Q4_0")),
            Contender("llama.cpp Q4_K_M", "4 bits", llama("Q4_K_M")),
        ]
        table.append(Row(shape, "bf16", ["-p", "512", "-n", generated, "-r", "2"], contenders))
    # A token at a depth of 4,096 beside one at none.
    deep = [Contender("hfcore bf16", "16 bits", hfcore())]
    table.append(Row("Llama-3.2-1B", "bf16", ["-p", "0", "-n", "16", "-d", "4096", "-r", "1"], deep))
    for work in (["-b", "32", "-p", "128", "-r", "2"], ["-b", "1", "-p", "16", "-r", "20"]):
        sixteen = [Contender("hfcore bf16", "16 bits", hfcore()), Contender("PyTorch bf16", "16 bits", torch)]
        table.append(Row("BERT-base", "bf16", work, sixteen))
        wide = [
            Contender("hfcore f32", "32 bits", hfcore()),
            Contender("PyTorch f32", "32 bits", torch),
            Contender("ONNX Runtime f32", "32 bits", onnx),
            Contender("hfcore int8", "8 bits", hfcore("int8")),
            Contender("ONNX Runtime int8", "8 bits", [*onnx, "--dtype", "int8"]),
        ]
        table.append(Row("BERT-base", "f32", work, wide))
    for dtype, group in (("bf16", "16 bits"), ("f32", "32 bits")):
        images = [Contender(f"hfcore {dtype}", group, hfcore()), Contender(f"PyTorch {dtype}", group, torch)]
        table.append(Row("ViT-base", dtype, ["-b", "8", "-r", "2"], images))
    return table


def missing(contender: Contender, llama_cpp: Path | None) -> str | None:
    """Why a contender cannot run."""
    if contender.name.startswith("llama.cpp") and llama_cpp is None:
        return "llama.cpp was not built (--llama-cpp)"
    for name, module in (("PyTorch", "torch"), ("ONNX", "onnxruntime")):
        if contender.name.startswith(name) and importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return None


def folder(models: Path, row: Row) -> Path:
    path = models / f"{row.shape}-{row.dtype}"
    if not (path / "model.safetensors").exists():
        make = [sys.executable, str(ROOT / "tools" / "make_random_checkpoint.py"), row.shape, str(path)]
        subprocess.run([*make, "--dtype", row.dtype], check=True)
    return path


def measure(row: Row, path: Path, hfcore: Path, rounds: int, threads: int) -> None:
    places = {"MODEL": str(path), "HFCORE": str(hfcore)}
    for number in range(rounds):
        for contender in row.contenders:
            command = [places.get(part, part) for part in contender.command]
            run = subprocess.run([*command, *row.work, "-t", str(threads)], stdout=subprocess.PIPE, check=False)
            if run.returncode:
                print(f"{contender.name}: failed with {run.returncode}", file=sys.stderr)
                continue
            result: dict[str, Any] = json.loads(run.stdout)
            for kind in ("pp", "tg", "encode"):
                samples = result.get(kind, {}).get("per_s", [])
                if samples:
                    row.samples.setdefault((kind, contender.name), []).extend(samples)
                    best = max(samples)
                    print(f"{row.shape} {kind} round {number}: {contender.name} {best:.1f}", file=sys.stderr)


def label(row: Row, kind: str) -> str:
    options = dict(zip(row.work[::2], row.work[1::2], strict=True))
    after = f", {options['-d']} tokens before" if "-d" in options else ""
    if kind == "encode":
        size = f"{options['-b']} x {options['-p']}" if "-p" in options else f"{options['-b']} images"
        return f"{row.shape} {row.dtype}, {size}"
    return f"{row.shape}, {kind}{options['-p' if kind == 'pp' else '-n']}{after}"


def table(measured: list[Row]) -> list[str]:
    lines = ["| model and work | contender | median per second | best | hfcore / this |", "|---|---|---|---|---|"]
    for row in measured:
        for kind in ("pp", "tg", "encode"):
            ours = {
                c.group: statistics.median(row.samples[kind, c.name])
                for c in row.contenders
                if c.name.startswith("hfcore") and (kind, c.name) in row.samples
            }
            present = [contender for contender in row.contenders if (kind, contender.name) in row.samples]
            first = label(row, kind) if present else ""
            for contender in present:
                samples = row.samples[kind, contender.name]
                median, own = statistics.median(samples), contender.name.startswith("hfcore")
                ratio = "" if own or contender.group not in ours else f"**{ours[contender.group] / median:.2f}**"
                lines.append(f"| {first} | {contender.name} | {median:.1f} | {max(samples):.1f} | {ratio} |")
                first = ""
    return lines


def machine(threads: int) -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{name}, {threads} threads of {os.cpu_count()} CPUs{load}, {datetime.date.today().isoformat()}"


def write(path: Path, lines: list[str]) -> None:
    text = path.read_text()
    before, rest = text.split(MARK[0])
    after = rest.split(MARK[1])[1]
    path.write_text("\n".join([before + MARK[0], "", *lines, "", MARK[1]]) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    built = ROOT / "target" / "release" / "hfcore"
    parser.add_argument("--hfcore", type=Path, default=built, help="the program [default: %(default)s]")
    parser.add_argument("--llama-cpp", type=Path, help="where `llama_cpp.py build` built it")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--contenders", default="", help="parts of their names, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()

    started = machine(args.threads)
    measured, absent = [], set()
    for row in rows(args.llama_cpp):
        if args.only not in f"{row.shape}-{row.dtype}":
            continue
        reasons = {c.name: missing(c, args.llama_cpp) for c in row.contenders}
        absent |= {reason for reason in reasons.values() if reason}
        wanted = [part for part in args.contenders.split(",") if part]
        row.contenders = [
            c for c in row.contenders if not reasons[c.name] and (not wanted or any(part in c.name for part in wanted))
        ]
        measure(row, folder(args.models, row), args.hfcore, args.rounds, args.threads)
        measured.append(row)
    lines = [f"{started}; {args.rounds} rounds.", "", *table(measured)]
    lines += [f"\nLeft out: {reason}." for reason in sorted(absent)]
    print("\n".join(lines))
    if args.json:
        samples = [
            {"shape": row.shape, "dtype": row.dtype, "work": row.work, "kind": kind, "contender": name, "per_s": values}
            for row in measured
            for (kind, name), values in row.samples.items()
        ]
        args.json.write_text(json.dumps({"machine": started, "samples": samples}, indent=1) + "\n")
    if args.write:
        write(args.write, lines)


if __name__ == "__main__":
    main()
