"""Runs a student's ONNX file with ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgevl_core.errors import UserError

INPUT_NAME, OUTPUT_NAME = "pixels", "embedding"


class Engine:
    """One ONNX Runtime session: uint8 pixels in, embeddings out.

    Attributes:
        size_px: side S of the network's input.
        embedding_dim: D.
        free_batch: whether N may be any number (False: always 1).
        providers: the execution providers in use, first choice first.
    """

    def __init__(
        self, onnx_path: Path | str, threads: int = 1, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        """Open a session.

        Args:
            onnx_path: a student's file: (N, 3, S, S) uint8 "pixels" -> (N, D) float32 "embedding".
            threads: threads of one run, >= 1.
            providers: ONNX Runtime execution providers, first choice first.

        Raises:
            UserError: no such file, not a student, a provider that is not available, a thread count below 1.
        """
        if threads < 1:
            raise UserError(f"threads={threads}: at least 1 is needed")
        available = ort.get_available_providers()
        missing = [name for name in providers if name not in available]
        if missing or not providers:
            raise UserError(
                f"execution provider {', '.join(missing) or '(none given)'} is not available: choose among "
                f"{', '.join(available)}"
            )
        self.path = Path(onnx_path)
        self._session = open_session(self.path, threads, providers)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if (
            (len(inputs), len(outputs)) != (1, 1)
            or (inputs[0].name, inputs[0].type, outputs[0].name) != (INPUT_NAME, "tensor(uint8)", OUTPUT_NAME)
            or len(shape) != 4
            or shape[1] != 3
            or not isinstance(shape[2], int)
            or shape[2] != shape[3]
        ):
            raise UserError(
                f"{self.path} is not a student: one input '{INPUT_NAME}' (N, 3, S, S) uint8 and one output "
                f"'{OUTPUT_NAME}' are expected, found {inputs[0].name} {shape} {inputs[0].type} -> "
                f"{outputs[0].name}"
            )
        self.size_px: int = shape[2]
        self.embedding_dim = int(outputs[0].shape[1])
        self.free_batch = not isinstance(shape[0], int)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 3, S, S) uint8 -> (N, D) float32, L2-normalised; N runs of 1 where the batch is fixed."""
        if self.free_batch or len(pixels) == 1:
            return self._run(pixels)
        return np.concatenate([self._run(pixels[i : i + 1]) for i in range(len(pixels))])

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = self._session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0]
        return embedding


def open_session(
    path: Path, threads: int, providers: Sequence[str], save_to: Path | None = None
) -> ort.InferenceSession:
    """An ONNX Runtime session as the robot runs it; ``save_to``: where its optimised graph is written as well.

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
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's own exception types are not exported under one base class
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: {reason}") from error
