"""Does TensorRT's own compiler take the s8 file of each student? One table, no GPU needed.

python benchmarks/tensorrt_builds.py [--students NAME ...] [--files FILE ...] [--json FILE]

TensorRT for RTX parses a file and compiles it for a GPU that is not there: pip install tensorrt-rtx-cu13-libs
tensorrt-rtx-cu13-bindings (Linux x86-64; NVIDIA's licence). For each preset student with random weights: its float
file, its s8 file, and for comparison the int8 file of CPUs, which breaks TensorRT's rules. --files: ONNX files instead,
such as RUN/onnx/s8.onnx. Columns: what the compiler said, and how many bytes of weights the compiled engine holds: a
quarter of the float file's where it computes in int8. It is compiled, not run: no answers are compared
here (benchmarks/gpu.py does, with the full TensorRT). Exit code 1: an s8 file was not taken; 2: TensorRT for RTX is not
installed.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import one_line
from edgevl_train.quantise import calibrate, export_fp32, export_int8, export_s8, fake_quantise, fuse
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import build_student
from edgevl_train.student.presets import PRESETS

EMBED_DIM = 512
KINDS = ("float", "s8", "int8")
MOST_IMAGES = 8


@dataclass(frozen=True)
class Row:
    """One file; ``weights_mb``: of the compiled engine, None where there is none; ``fault``: why."""

    student: str
    kind: str
    file_mb: float
    weights_mb: float | None
    seconds: float
    fault: str


def students_files(name: str, directory: Path) -> Iterator[tuple[str, Path]]:
    """(kind, file) of a preset student with random weights, calibrated with noise."""
    torch.manual_seed(0)
    section = StudentSection(name=name)
    student = build_student(name, EMBED_DIM, head=section.head, size_px=section.size_px).eval()
    noise = np.random.default_rng(0).integers(0, 256, (4, 3, section.size_px, section.size_px), dtype=np.uint8)
    with torch.no_grad():
        quantised = calibrate(fake_quantise(fuse(student)), [torch.from_numpy(noise)])
    files = {kind: directory / f"{name}_{kind}.onnx" for kind in KINDS}
    export_fp32(student, files["float"], section.size_px)
    export_s8(quantised, files["s8"], section.size_px)
    export_int8(quantised, files["int8"], section.size_px)
    yield from files.items()


class _Said:
    """What the compiler said: errors, and the bytes of weights."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.weights: int | None = None

    def hear(self, is_error: bool, text: str) -> None:
        if is_error:
            self.errors.append(text)
        if found := re.search(r"Total Weights Memory: (\d+) bytes", text):
            self.weights = int(found[1])


def compiled(tensorrt: Any, file: Path) -> tuple[_Said, bool]:
    """What came of one file: strongly typed, as QDQ wants it, for one image and up to ``MOST_IMAGES``."""
    said = _Said()

    class Logger(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            said.hear(severity in (tensorrt.ILogger.ERROR, tensorrt.ILogger.INTERNAL_ERROR), text)

    logger = Logger()
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(file.read_bytes()):
        said.errors = [parser.get_error(number).desc() for number in range(parser.num_errors)]
        return said, False
    settings, profile = builder.create_builder_config(), builder.create_optimization_profile()
    pixels = network.get_input(0)
    shape = tuple(pixels.shape)[1:]
    profile.set_shape(pixels.name, (1, *shape), (1, *shape), (MOST_IMAGES, *shape))
    settings.add_optimization_profile(profile)
    return said, builder.build_serialized_network(network, settings) is not None


def tried(tensorrt: Any, files: Iterator[tuple[str, str, Path]]) -> Iterator[Row]:
    """A row of each file."""
    for student, kind, file in files:
        start_s = time.monotonic()
        said, done = compiled(tensorrt, file)
        fault = "" if done else one_line("; ".join(said.errors) or "nothing was said", 160)
        weights = said.weights / 1e6 if done and said.weights is not None else None
        yield Row(student, kind, file.stat().st_size / 1e6, weights, time.monotonic() - start_s, fault)


def show(rows: Sequence[Row], version: str) -> None:
    """The table."""
    table = Table(title=f"TensorRT for RTX {version}, compiled without a GPU", title_justify="left")
    for column in ("student", "file", "MB", "MB of weights compiled", "s", ""):
        table.add_column(column)
    for row in rows:
        weights = "" if row.weights_mb is None else f"{row.weights_mb:.1f}"
        said = f"refused: {row.fault}" if row.fault else "taken"
        table.add_row(row.student, row.kind, f"{row.file_mb:.1f}", weights, f"{row.seconds:.1f}", said)
    Console(width=150).print(table)


def main(command: list[str] | None = None) -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(command)
    try:
        import_module("tensorrt_rtx_libs")  # loads what the bindings need
        tensorrt = import_module("tensorrt_rtx_bindings")
    except ImportError as error:
        print(
            f"benchmarks/tensorrt_builds.py: {error}: pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as directory:
        if arguments.files:
            given = ((str(file.parent.parent.name), file.stem, file) for file in arguments.files)
        else:
            given = (
                (name, kind, file)
                for name in arguments.students
                for kind, file in students_files(name, Path(directory))
            )
        rows = list(tried(tensorrt, given))
    show(rows, tensorrt.__version__)
    if arguments.json:
        atomic_write(arguments.json, json.dumps([asdict(row) for row in rows], indent=1).encode())
    return 1 if any(row.kind == "s8" and row.fault for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
