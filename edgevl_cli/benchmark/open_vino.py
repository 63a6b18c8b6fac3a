"""The same int8 files in OpenVINO, where that is installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgevl_core.engine import INPUT_NAME
from edgevl_core.timing import Task


def available() -> bool:
    """Whether the package ``openvino`` can be imported here."""
    return find_spec("openvino") is not None


def inference(path: Path, size_px: int) -> Task:
    """One image on one thread; what is float in the file stays 32 bit, as in ONNX Runtime."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({INPUT_NAME: [1, 3, size_px, size_px]})
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, size_px, size_px), dtype=np.uint8)
    return lambda: request.infer({INPUT_NAME: pixels})
