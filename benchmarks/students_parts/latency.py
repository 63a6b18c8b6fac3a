"""How long each student takes: its files with random weights, in both engines, interleaved in one run."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevl_cli.benchmark.machine import machine
from edgevl_core.base.timing import Task, measure, ratio_quartiles
from edgevl_core.engine import Engine, one_image, openvino_installed
from edgevl_train.quantise.trial import try_student
from edgevl_train.sections import StudentSection
from students_parts.candidates import REFERENCE, Candidate

EMBED_DIM = 512


def timed(candidates: Sequence[Candidate], size_px: int, seconds: float) -> dict[str, Any]:
    """Times of one image with one thread.

    Returns:
        {"run_id", "machine", "size_px", "rounds", "reference", "by": name -> {"parameters", "float_layers", "float",
        "int8", "openvino"}}, the last three {"ms", "ratio"} with quartiles; ratio: to the reference's int8 file in
        ONNX Runtime, round by round. Without OpenVINO its times are missing.
    """
    networks = {candidate.network.name: candidate.network for candidate in candidates}
    networks.setdefault(REFERENCE, Candidate(REFERENCE, REFERENCE))
    tasks: dict[str, Task] = {}
    by: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, network) in enumerate(networks.items()):
            folder = Path(directory) / str(number)
            folder.mkdir()
            section = StudentSection.model_validate(network.section(size_px, Path()))
            trial = try_student(section, EMBED_DIM, folder)
            by[name] = {"parameters": trial.parameters, "float_layers": trial.float_layers}
            tasks[f"{name}/float"] = one_image(Engine(trial.fp32))
            tasks[f"{name}/int8"] = one_image(Engine(trial.int8))
            if openvino_installed():
                tasks[f"{name}/openvino"] = one_image(Engine(trial.int8, name="openvino"))
        timings = measure(tasks, seconds=seconds)
    reference = timings[f"{REFERENCE}/int8"]
    for key, timing in timings.items():
        name, _, kind = key.rpartition("/")
        ratios = ratio_quartiles(timing, reference)
        by[name][kind] = {"ms": list(timing.quartiles_ms), "ratio": list(ratios)}
    return {
        "run_id": reference.run_id,
        "machine": machine(),
        "size_px": size_px,
        "rounds": len(reference.seconds),
        "reference": REFERENCE,
        "by": by,
    }
