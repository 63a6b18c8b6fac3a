"""OpenVINO, where the package ``openvino`` is installed (the extra ``openvino``)."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.engine.network import INPUT_NAME, Network, Port

_DEVICE = "CPU"


def openvino_installed() -> bool:
    """Whether the package ``openvino`` can be imported here."""
    return find_spec("openvino") is not None


def open_network(path: Path, threads: int) -> Network:
    """A file in OpenVINO, compiled for one image and for a pair: with the batch left open it is slower.

    What is float in the file is computed in 32 bit, as in ONNX Runtime; left to itself OpenVINO takes 16 where the
    processor has them.

    Raises:
        UserError: OpenVINO is not installed, no such file, or it refuses the file.
    """
    if not openvino_installed():
        raise UserError("engine openvino: the package openvino is not installed: pip install openvino")
    if not path.is_file():
        raise UserError(f"{path}: no such file; an ONNX student is needed")
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        core = _core()
        model = core.read_model(str(path))
        inputs, outputs = (tuple(map(_port, ports)) for ports in (model.inputs, model.outputs))
        fixed = len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] is not None
        requests = {}
        for count in (1,) if fixed else (1, 2):
            if not fixed:
                model.reshape({model.inputs[0]: [count, *model.inputs[0].partial_shape[1:]]})
            requests[count] = core.compile_model(model, _DEVICE, settings).create_infer_request()
    except RuntimeError as error:
        reason = one_line(str(error).strip().splitlines()[-1], 300)
        raise UserError(f"{path} cannot be loaded by OpenVINO {openvino.__version__}: {reason}") from error

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        found, start = [], 0
        while start < len(pixels):
            count = min(max(requests), len(pixels) - start)
            requests[count].infer({INPUT_NAME: pixels[start : start + count]})
            # A copy, because the next run writes there.
            found.append(np.array(requests[count].get_output_tensor().data, dtype=np.float32))
            start += count
        return found[0] if len(found) == 1 else np.concatenate(found)

    return Network(inputs, outputs, not fixed, (_DEVICE,), run)


@cache
def _core() -> Any:
    """OpenVINO's CPU plug-in, one for the life of the process.

    On processors with AMX it gives the thread that loads it a stack for signal handlers, and frees that when it goes,
    from whichever thread: the next SIGTERM to this one was a segmentation fault.
    """
    import openvino

    return openvino.Core()


def _port(port: Any) -> Port:
    shape = tuple(int(size.get_length()) if size.is_static else None for size in port.partial_shape)
    return Port(str(port.any_name), shape, str(port.element_type.to_dtype()))
