"""Which families of timm can be a student: one model of each, tried from network to engine, and timed. One table.

python benchmarks/backbones.py [--work DIR] [--only FAMILY ...] [--size-px 224] [--cpu-s 120] [--write FILE]

A family is one of timm's modules; its smallest model below 30 M parameters that takes square RGB images is built with
random weights and goes through what `edgevl adapt` tries before it trains; where it takes images of one size only, of
that size. Each family has a process of its own and --cpu-s seconds of processor time. With --work an interrupted run
goes on where it was; --write puts the table into FILE.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine, openvino_installed
from edgevl_train.quantise.trial import try_student
from edgevl_train.sections import StudentSection

# isort: split
import timm  # after edgevl_train, which lets it load

DIM = 512
MOST_PARAMETERS = 30e6
MEASURED_S, LEAST_RUNS = 1.0, 10
WALL_FACTOR = 20  # on a busy machine processor time passes slowly; a process that waits for ever still ends


def families() -> list[str]:
    """Those of timm's modules that hold models for square RGB images."""
    return [name for name in timm.list_modules() if _models(name)]


def _models(family: str) -> list[str]:
    found = [name for name in timm.list_models(module=family) if not name.startswith("test_")]
    return [name for name in found if _takes_square_rgb(timm.get_pretrained_cfg(name))]


def _takes_square_rgb(config: Any) -> bool:
    return config is None or (config.input_size[0] == 3 and config.input_size[1] == config.input_size[2])


def smallest(family: str) -> tuple[str, int] | None:
    """The model with the fewest parameters, without a classifier, and how many; built without memory for weights."""
    counts = {}
    for name in _models(family):
        try:
            with torch.device("meta"):
                network = timm.create_model(name, num_classes=0)
        except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError):
            continue  # needs real weights to be built, or a library
        counts[name] = sum(parameter.numel() for parameter in network.parameters())
    name = min(counts, key=lambda each: counts[each], default=None)
    return (name, counts[name]) if name is not None and counts[name] < MOST_PARAMETERS else None


def try_family(family: str, size_px: int, cpu_s: int) -> dict[str, Any]:
    """One row: family, model, parameters, then either ``reason`` or times and cosine."""
    chosen = smallest(family)
    if chosen is None:
        return {"family": family, "model": "", "parameters": 0, "reason": "no model below 30 M parameters"}
    name, parameters = chosen
    row: dict[str, Any] = {"family": family, "model": name, "parameters": parameters}
    print(json.dumps(row | {"reason": f"more than {cpu_s} s"}), flush=True)  # what stands, should this process be ended
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used_s) + cpu_s, int(used_s) + cpu_s))
    with tempfile.TemporaryDirectory() as directory:
        for side in dict.fromkeys((size_px, timm.get_pretrained_cfg(name).input_size[-1])):
            row["size_px"] = side
            try:
                section = StudentSection.model_validate({"name": name, "size_px": side})
                trial = try_student(section, DIM, Path(directory))
                break
            except UserError as error:
                text = str(error).removeprefix(f"student {name!r}").removeprefix(f" at {side} px")
                reason = text.split("; take another")[0].strip(" ,:")
                if not reason.startswith("does not take images"):
                    return row | {"reason": reason}
        else:
            return row | {"reason": reason}
        row |= {"float_layers": trial.float_layers, "cosine": round(trial.cosine, 4)}
        row |= {"float_ms": _mean_ms(trial.fp32, "onnxruntime"), "int8_ms": _mean_ms(trial.int8, "onnxruntime")}
        if openvino_installed():
            row["openvino_ms"] = _mean_ms(trial.int8, "openvino")
    return row


def _mean_ms(file: Path, engine_name: str) -> float:
    """Mean processor time of a run with one image and one thread, which other work on the machine disturbs least.

    Over many runs, because some machines count it in whole ticks of the clock.
    """
    engine = Engine(file, name=engine_name)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, engine.size_px, engine.size_px), dtype=np.uint8)
    engine(pixels)
    runs, used_s, start_s = 0, 0.0, time.process_time()
    while used_s < MEASURED_S or runs < LEAST_RUNS:
        engine(pixels)
        runs, used_s = runs + 1, time.process_time() - start_s
    return round(1e3 * used_s / runs, 2)


def try_in_process(family: str, size_px: int, cpu_s: int) -> dict[str, Any]:
    """A row by a child, whatever becomes of the child."""
    command = [sys.executable, __file__, "--child", family, "--size-px", str(size_px), "--cpu-s", str(cpu_s)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WALL_FACTOR * cpu_s, check=False)
        output, errors, ended = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as error:
        output, errors, ended = (error.stdout or b"").decode(), "", 0
    rows = [line for line in output.splitlines() if line.startswith("{")]
    if not rows:
        last = (errors.strip().splitlines() or [f"its process ended with {ended}"])[-1]
        return {"family": family, "model": "", "parameters": 0, "reason": last[:200]}
    row: dict[str, Any] = json.loads(rows[-1])
    killed_by_limit = ended in (-9, -24)  # SIGKILL and SIGXCPU
    if ended and not killed_by_limit:
        row["reason"] = f"its process ended with {ended}"
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: those that work first, fastest first, then the others with the reason."""
    works = sorted((row for row in rows if "reason" not in row), key=lambda row: row["int8_ms"])
    lines = [
        "| family | model | M parameters | px | float ms | int8 ms | OpenVINO int8 ms | float layers | cosine |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in works:
        openvino = f"{row['openvino_ms']:.1f}" if "openvino_ms" in row else ""
        lines.append(
            f"| {row['family']} | {row['model']} | {row['parameters'] / 1e6:.1f} | {row['size_px']} | "
            f"{row['float_ms']:.1f} | "
            f"{row['int8_ms']:.1f} | {openvino} | {row['float_layers']} | {row['cosine']:.3f} |"
        )
    lines += ["", "| family | model | M parameters | does not work: the reason |", "|---|---|--:|---|"]
    for row in rows:
        if "reason" in row:
            reason = row["reason"].replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| {row['family']} | {row['model']} | {row['parameters'] / 1e6:.1f} | {reason} |")
    return "\n".join(lines)


def document(rows: list[dict[str, Any]], size_px: int, cpu_s: int) -> str:
    """docs/backbones.md."""
    works = sum("reason" not in row for row in rows)
    some = "each" if len(rows) == len(families()) else len(rows)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("timm", "torch", "onnxruntime"))
    return f"""# Which timm backbones can be a student

Made by `benchmarks/backbones.py`, {libraries}. Of {some} of timm's {len(families())} families the
smallest model below 30 M parameters that takes square RGB images, with random weights, at {size_px} px or the one
size that it takes: traced, quantised, exported, and run in both engines, as `edgevl adapt` tries a student before
it trains it. {works} of {len(rows)} families work; for the others `edgevl adapt` gives the reason that stands
here. Each had {cpu_s} s of processor time.

Times are processor time, the mean of a second's runs of one image with one thread, on a machine that did other work as
well: for the order of the families, not for the last digit ([performance.md](performance.md) has careful ones).
"float layers": convolutions and linear layers that stay float in the int8 file, because their weights are made anew in
each run (standardised, shared). "cosine": of the int8 file's answers to the float network's, both with random weights;
what training makes of it is another matter.

{table(rows)}
"""


def main() -> None:
    """Try every family, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where rows are kept, one file a family")
    parser.add_argument("--only", nargs="+", metavar="FAMILY")
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--cpu-s", type=int, default=120)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size_px, cpu_s = arguments.size_px, arguments.cpu_s
    if arguments.child:
        print(json.dumps(try_family(arguments.child, size_px, cpu_s)), flush=True)
        return
    rows = []
    for family in arguments.only or families():
        kept = arguments.work / f"{family}-{size_px}.json" if arguments.work else None
        if kept and kept.is_file():
            row = json.loads(kept.read_text(encoding="utf-8"))
        else:
            row = try_in_process(family, size_px, cpu_s)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(row), encoding="utf-8")
        rows.append(row)
        print(f"{family}: {row.get('reason') or str(row['int8_ms']) + ' ms'}", file=sys.stderr, flush=True)
    print(table(rows))
    if arguments.write:
        arguments.write.write_text(document(rows, size_px, cpu_s), encoding="utf-8")


if __name__ == "__main__":
    main()
