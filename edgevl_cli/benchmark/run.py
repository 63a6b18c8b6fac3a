"""One interleaved run over all models, the processor's peak and the node's path; its figures as plain numbers."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgevl_cli.benchmark.files import FLOAT, TRAINED, Model
from edgevl_cli.benchmark.graph import PEAK_GMACS, PEAK_SIDE, Size, size_of, write_peak
from edgevl_cli.benchmark.machine import cores, load, machine
from edgevl_cli.benchmark.node_path import INFERENCE, PARTS, node_path
from edgevl_cli.benchmark.node_path import available as ros_available
from edgevl_core.base.timing import Task, Timing, measure, ratio, ratio_quartiles
from edgevl_core.engine import CPU_ONLY, Engine, one_image, open_session, openvino_installed

ONNX_RUNTIME, OPENVINO, PYTORCH = "ONNX Runtime", "OpenVINO", "PyTorch"
ENGINE_OF = {ONNX_RUNTIME: "onnxruntime", OPENVINO: "openvino"}
_PEAK, _NODE = "peak", "node: "


@dataclass(frozen=True)
class Entry:
    """One row before it is timed.

    Attributes:
        on_all_cores: the same with as many threads as there are cores, where that was asked for.
    """

    model: Model
    size: Size
    size_px: int
    precision: str
    runtime: str
    task: Task
    on_all_cores: Task | None

    @property
    def key(self) -> str:
        return f"{self.model.name} {self.precision}, {self.runtime}"


def run(
    models: Sequence[Model],
    *,
    seconds: float,
    all_threads: bool = False,
    node: Model | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Time everything, batch 1.

    Args:
        models: at least one.
        seconds: about how long it takes.
        all_threads: time each model on all cores as well.
        node: the student in scene_classifier's path; None: the path is not timed.

    Returns:
        {"run_id", "machine", "load", "settings", "peak_int8_gmac_s", "rows", "node", "left_out"}.
        Ratios are taken round by round. "times_faster_than_teacher": than a teacher's float file in ONNX Runtime;
        "times_faster_than_int8_teacher": than its int8 file, made by the same tool, in the row's own runtime.
    """
    left_out: list[str] = []
    load_start = load()
    with tempfile.TemporaryDirectory() as folder:
        peak = open_session(write_peak(Path(folder) / "peak.onnx"), 1, CPU_ONLY)
    ones = np.ones((PEAK_SIDE, PEAK_SIDE), np.uint8)
    entries = [entry for model in models for entry in _entries(model, all_threads)]
    if not openvino_installed():
        left_out.append("OpenVINO on the int8 files: it is not installed (pip install openvino)")
    tasks: dict[str, Task] = {_PEAK: lambda: peak.run(None, {"x": ones})}
    tasks |= {entry.key: entry.task for entry in entries}
    tasks |= {_all(entry): entry.on_all_cores for entry in entries if entry.on_all_cores is not None}
    if node is not None and not ros_available():
        left_out.append("the node's path: ROS 2 (rclpy) and edgevl's messages are not importable here")
        node = None
    if node is not None:
        path = node_path(Engine(node.files[node.on_robot]), node.preprocess)
        tasks |= {_NODE + part: task for part, task in path.items()}
    timings = measure(tasks, seconds=seconds, on_progress=on_progress)
    return {
        "run_id": timings[_PEAK].run_id,
        "machine": machine(),
        "load": {"start": load_start, "end": load()},
        "busy": load_start > 0.5 * cores(),
        "settings": {"batch": 1, "threads": 1, "rounds": len(timings[_PEAK].seconds), "seconds": seconds},
        "peak_int8_gmac_s": PEAK_GMACS / timings[_PEAK].median_s,
        "rows": [_row(entry, timings, entries) for entry in entries],
        "node": None if node is None else _node_numbers(node, timings),
        "left_out": left_out,
    }


def _entries(model: Model, all_threads: bool) -> Iterator[Entry]:
    size = size_of(model.files[FLOAT])
    for precision, path in model.files.items():
        for runtime, name in ENGINE_OF.items():
            if runtime == OPENVINO and not (precision == model.on_robot != FLOAT and openvino_installed()):
                continue
            engine = Engine(path, name=name)
            wide = one_image(Engine(path, threads=cores(), name=name)) if all_threads and cores() > 1 else None
            yield Entry(model, size, engine.size_px, precision, runtime, one_image(engine), wide)
    if model.network is not None:
        narrow = _in_torch(model.network, engine.size_px, 1)
        wide = _in_torch(model.network, engine.size_px, cores()) if all_threads and cores() > 1 else None
        yield Entry(model, size, engine.size_px, FLOAT, PYTORCH, narrow, wide)


def _in_torch(network: nn.Module, size_px: int, threads: int) -> Task:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, size_px, size_px), dtype=np.uint8))

    def infer() -> Tensor:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            embedding: Tensor = network(pixels)
            return embedding

    return infer


def _row(entry: Entry, timings: dict[str, Timing], entries: Sequence[Entry]) -> dict[str, Any]:
    timing = timings[entry.key]
    own_float = _float_of(entry.model, entries)
    gmacs = entry.size.gmacs
    wide = timings.get(_all(entry))
    return {
        "model": entry.model.name,
        "kind": entry.model.kind,
        "precision": entry.precision,
        "runtime": entry.runtime,
        "size_px": entry.size_px,
        "parameters": entry.size.parameters,
        "gmacs": gmacs,
        "bytes": entry.model.files[entry.precision].stat().st_size,
        "ms": _ms(timing),
        "all_threads_ms": None if wide is None else _ms(wide),
        "times_faster_than_float": None
        if entry is own_float
        else _spread(ratio_quartiles(timings[own_float.key], timing)),
        "times_faster_than_teacher": _times_faster(entry, timings, entries, FLOAT, ONNX_RUNTIME),
        "times_faster_than_int8_teacher": _times_faster(entry, timings, entries, TRAINED, entry.runtime),
        "gmac_s": None if gmacs is None else gmacs / timing.median_s,
        "of_int8_peak": None if gmacs is None else gmacs / PEAK_GMACS * ratio(timings[_PEAK], timing),
    }


def _times_faster(
    entry: Entry, timings: dict[str, Timing], entries: Sequence[Entry], precision: str, runtime: str
) -> dict[str, float]:
    """Teacher -> how many times faster than its file of this precision in this runtime."""
    peers = [e for e in entries if (e.model.kind, e.precision, e.runtime) == ("teacher", precision, runtime)]
    return {peer.model.name: ratio(timings[peer.key], timings[entry.key]) for peer in peers if peer is not entry}


def _float_of(model: Model, entries: Sequence[Entry]) -> Entry:
    """A model's float file in ONNX Runtime: what others are compared with."""
    return next(e for e in entries if (e.model, e.precision, e.runtime) == (model, FLOAT, ONNX_RUNTIME))


def _node_numbers(node: Model, timings: dict[str, Timing]) -> dict[str, Any]:
    parts = {part: timings[_NODE + part] for part in PARTS}
    total_s = sum(timing.median_s for timing in parts.values())
    return {
        "model": node.name,
        "parts": {part: _ms(timing) for part, timing in parts.items()},
        "total_ms": 1e3 * total_s,
        "not_inference": 1 - parts[INFERENCE].median_s / total_s,
    }


def _all(entry: Entry) -> str:
    return f"{entry.key}, all cores"


def _ms(timing: Timing) -> dict[str, float]:
    return _spread(timing.quartiles_ms)


def _spread(quartiles: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("q1", "median", "q3"), quartiles, strict=True))
