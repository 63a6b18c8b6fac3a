"""ONNX Runtime."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.engine.network import INPUT_NAME, OUTPUT_NAME, Network, Port

CPU_ONLY = ("CPUExecutionProvider",)
# Float networks on a GPU: TensorRT makes its own 16-bit form of them. Not tested: no GPU was at hand.
_PROVIDER_OPTIONS: Mapping[str, Mapping[str, Any]] = {"TensorrtExecutionProvider": {"trt_fp16_enable": True}}


def open_network(path: Path, threads: int, providers: Sequence[str]) -> Network:
    """A file in ONNX Runtime.

    Raises:
        UserError: no such file, ONNX Runtime refuses it, or a provider that is not available or does not start.
    """
    available = ort.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing or not providers:
        raise UserError(
            f"execution provider {', '.join(missing) or '(none given)'} is not available: choose among "
            f"{', '.join(available)}"
        )
    session = open_session(path, threads, providers)
    in_use = tuple(session.get_providers())
    if in_use[0] != providers[0]:  # ONNX Runtime falls back to the CPU, and would run the float file there
        raise UserError(
            f"execution provider {providers[0]} is installed but does not start here (in use: {', '.join(in_use)}): "
            "install the libraries that it needs, or choose another"
        )
    inputs, outputs = (tuple(map(_port, ports)) for ports in (session.get_inputs(), session.get_outputs()))

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0]
        return embedding

    return Network(inputs, outputs, bool(inputs) and None in inputs[0].shape[:1], in_use, run)


def _port(port: ort.NodeArg) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in port.shape)
    dtype = str(port.type).removeprefix("tensor(").removesuffix(")")
    return Port(port.name, shape, {"float": "float32"}.get(dtype, dtype))


def open_session(
    path: Path, threads: int, providers: Sequence[str], save_to: Path | None = None, profile_to: Path | None = None
) -> ort.InferenceSession:
    """An ONNX Runtime session as the robot runs it.

    Args:
        save_to: where its optimised graph is written as well.
        profile_to: how the file of its profile begins; written when ``end_profiling`` is called.

    Raises:
        UserError: no such file, or ONNX Runtime refuses it.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; an ONNX student is needed")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Waiting threads must not burn the cores that decoding and the other nodes need.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_to)
    with_options = [(name, dict(_PROVIDER_OPTIONS.get(name, {}))) for name in providers]
    try:
        return ort.InferenceSession(str(path), options, providers=with_options)
    except Exception as error:  # ONNX Runtime's own exception types are not exported under one base class
        raise UserError(f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    """ONNX Runtime's message, without its source files; in plain words where the file is newer than it."""
    newer = re.search(r"model (IR version): (\d+), max supported IR version: (\d+)", text)
    newer = newer or re.search(r"(Opset) (\d+) is under development.*is till opset (\d+)", text, re.DOTALL)
    if newer is None:
        return one_line(text, 300)
    what, needed, known = newer.groups()
    return (
        f"it needs a newer one: its ONNX {what.replace('Opset', 'opset')} is {needed}, this one takes up to {known}; "
        "upgrade onnxruntime (pip install --upgrade onnxruntime), or make the file where this version is installed"
    )
