"""Everything that needs an NVIDIA GPU, checked by one command of under 8 minutes: a table and JSON.

python benchmarks/gpu.py [--json FILE] [--checks multiply train embed serve] [--most-s 450] [--cpu]

multiply: the device's peak. train: stage 1 at 224 px in 32 bits, bfloat16 and float16 (AMP), images a second and their
share of that peak. embed: a ViT-L-14 teacher's embeddings of several views. serve: the float and the s8 file in ONNX
Runtime's CUDA and TensorRT providers (pip install onnxruntime-gpu), against the CPU's answers. Nothing is downloaded:
weights are random and images made up, which speed does not depend on. --cpu runs all of it at tiny sizes on the CPU, to
know that it runs through. Exit code 0: all passed; 1: a check failed, as its row says; 2: no GPU.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from gpu_parts.checks import CHECKS, Bench, Row, make_bench
from gpu_parts.device import facts
from gpu_parts.made import FULL, TINY
from rich.console import Console
from rich.table import Table

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import one_line


def run(bench: Bench, checks: list[str], most_s: float) -> Iterator[Row]:
    """The rows of each check; one that fails is told and passed over, and no row is begun after ``most_s``."""
    start_s = time.monotonic()
    for name in checks:
        try:
            found = CHECKS[name](bench)
            while time.monotonic() - start_s <= most_s:
                row = next(found, None)
                if row is None:
                    break
                yield row
            else:
                yield Row(name, fault=f"left out, or cut off: {most_s:g} s are over; --checks {name} runs it alone")
        except Exception as error:
            yield Row(name, fault=one_line(f"{type(error).__name__}: {error}", 200))


def show(known: dict[str, object], rows: list[Row]) -> None:
    """The table."""
    table = Table(title=", ".join(f"{name} {value}" for name, value in known.items()), title_justify="left")
    for column in ("check", "figures", ""):
        table.add_column(column)
    for row in rows:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in row.figures.items())
        table.add_row(row.check, figures, f"failed: {row.fault}" if row.fault else "passed")
    Console(width=140).print(table)


def main(command: list[str] | None = None) -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write it here; otherwise it follows the table")
    parser.add_argument("--checks", nargs="+", choices=list(CHECKS), default=list(CHECKS))
    parser.add_argument("--most-s", type=float, default=450.0, help="nothing is begun later")
    parser.add_argument("--cpu", action="store_true", help="tiny sizes on the CPU")
    arguments = parser.parse_args(command)
    if not arguments.cpu and not torch.cuda.is_available():
        print(
            f"benchmarks/gpu.py: torch {torch.__version__} finds no NVIDIA GPU here: run it where there is one, with "
            "torch's CUDA build, or pass --cpu to see it run at tiny sizes",
            file=sys.stderr,
        )
        return 2
    device, sizes = ("cpu", TINY) if arguments.cpu else ("cuda", FULL)
    start_s = time.monotonic()
    rows = list(run(make_bench(sizes, device), arguments.checks, arguments.most_s))
    known = facts(device) | {"seconds": round(time.monotonic() - start_s, 1)}
    show(known, rows)
    text = json.dumps(known | {"rows": [asdict(row) for row in rows]}, indent=1)
    if arguments.json:
        atomic_write(arguments.json, text.encode())
    else:
        print(text)
    return 1 if any(row.fault for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
