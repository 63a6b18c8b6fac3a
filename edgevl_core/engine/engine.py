"""A student behind one call, whichever runtime executes it."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.base.recent import Recent
from edgevl_core.base.timing import Task
from edgevl_core.engine import onnx_runtime, open_vino
from edgevl_core.engine.network import INPUT_NAME, OUTPUT_NAME, Network
from edgevl_core.engine.onnx_runtime import CPU_ONLY

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
ENGINES = (ONNXRUNTIME, OPENVINO)
# These run u8 x s8 integer kernels; CUDA and TensorRT take neither u8 zero points nor int32 biases.
_INT8_PROVIDERS = ("CPUExecutionProvider", "OpenVINOExecutionProvider")


def takes_int8(engine: str, providers: Sequence[str]) -> bool:
    """Whether an engine is given the int8 file; the float one otherwise. The first provider decides."""
    return engine == OPENVINO or not providers or providers[0] in _INT8_PROVIDERS


class Engine:
    """A student: uint8 pixels in, embeddings out. One call at a time.

    Attributes:
        name: one of ENGINES.
        size_px: side S of the network's input.
        embedding_dim: D.
        free_batch: whether one run takes any number of images (False: one).
        providers: what executes it, first choice first.
        threads: of one run.
        recent_s: seconds of the last calls.
    """

    def __init__(
        self,
        onnx_path: Path | str,
        threads: int = 1,
        providers: Sequence[str] = CPU_ONLY,
        name: str = ONNXRUNTIME,
    ) -> None:
        """Open a student's file.

        Args:
            onnx_path: (N, 3, S, S) uint8 "pixels" -> (N, D) float32 "embedding".
            threads: threads of one run, >= 1.
            providers: ONNX Runtime's execution providers, first choice first.
            name: one of ENGINES.

        Raises:
            UserError: no such file, not a student, an engine or a provider that is not available, a thread count
                below 1.
        """
        if threads < 1:
            raise UserError(f"threads={threads}: at least 1 is needed")
        self.path, self.name, self.threads = Path(onnx_path), name, threads
        self._network = _open(self.path, threads, providers, name)
        self.size_px, self.embedding_dim = _check_student(self.path, self._network)
        self.free_batch = self._network.free_batch
        self.providers = self._network.providers
        self.recent_s = Recent()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 3, S, S) uint8 -> (N, D) float32, L2-normalised; N runs of 1 where the batch is fixed."""
        start_s = time.perf_counter()
        if self.free_batch or len(pixels) == 1:
            embeddings = self._network.run(pixels)
        else:
            embeddings = np.concatenate([self._network.run(pixels[i : i + 1]) for i in range(len(pixels))])
        self.recent_s.add(time.perf_counter() - start_s)
        return embeddings

    def run_by(self, run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> "Engine":
        """This student with its network run by ``run``, any number of images at a time, such as in two halves."""
        other = copy.copy(self)
        other._network = replace(self._network, run=run, free_batch=True)
        other.free_batch, other.recent_s = True, Recent()
        return other


def one_image(engine: Engine) -> Task:
    """One run of one image, to be timed."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, engine.size_px, engine.size_px), dtype=np.uint8)
    return lambda: engine(pixels)


def _open(path: Path, threads: int, providers: Sequence[str], name: str) -> Network:
    if name not in ENGINES:
        raise UserError(f"engine {name!r}: accepted are {', '.join(ENGINES)}")
    if name == ONNXRUNTIME:
        return onnx_runtime.open_network(path, threads, providers)
    if tuple(providers) != CPU_ONLY:
        raise UserError(
            f"providers {', '.join(providers) or '(none given)'} with the engine {name}: they are ONNX Runtime's; "
            f"leave them at {CPU_ONLY[0]}"
        )
    return open_vino.open_network(path, threads)


def _check_student(path: Path, network: Network) -> tuple[int, int]:
    """Side of the input, and dimension of the output. Raises UserError where it is no student."""
    inputs, outputs = network.inputs, network.outputs
    if len(inputs) == len(outputs) == 1:
        name, shape, dtype = inputs[0]
        fits = (name, dtype, outputs[0].name) == (INPUT_NAME, "uint8", OUTPUT_NAME) and len(shape) == 4
        dim = outputs[0].shape[1] if len(outputs[0].shape) == 2 else None
        if fits and shape[1] == 3 and shape[2] is not None and shape[2] == shape[3] and dim is not None:
            return shape[2], dim
    found = [f"{port.name} {port.shape} {port.dtype}" for port in (*inputs, *outputs)]
    raise UserError(
        f"{path} is not a student: one input '{INPUT_NAME}' (N, 3, S, S) uint8 and one output '{OUTPUT_NAME}' (N, D) "
        f"are expected, found {', '.join(found)}"
    )
